/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of istio_* metrics (headrace/abi_meter.h) on this side: how they are counted, and how they
 * are read out of the kernel and of the proxy alike.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "headrace/abi.h"

struct hr_kern;

/* Who reads rows. Each function may be NULL. */
struct hr_meter_sink {
	void *ctx;
	/* Shall this row be taken out, so that it begins at zero when it is met again? NULL: none.
	 */
	bool (*take)(void *ctx, const struct hr_meter_key *key);
	void (*meter)(void *ctx, const struct hr_meter_key *key, const struct hr_meter *m);
	void (*odd)(void *ctx, const struct hr_odd_key *key, uint64_t n);
	void (*tcp)(void *ctx, const struct hr_meter_key *key, const struct hr_tcp_meter *m);
};

/* Index in hr_meter.codes; HR_CODES: the status has none, and needs a row of odd_codes. */
uint32_t hr_meter_code(unsigned status);
/* The status that an index stands for, "404", "5xx" or "0". */
const char *hr_meter_code_text(uint32_t code, char buf[static 4]);
/* "-", "UF,URX". */
const char *hr_flag_text(uint32_t flag);
/* As the access log has it: "" for none. */
const char *hr_flag_log(uint32_t flag);
/* HR_FLAG_OTHER: no words that we say. */
enum hr_flag hr_flag_of(const char *text);

/* Counts a request, but for its status. */
void hr_meter_count(struct hr_meter *m, uint64_t us, uint64_t tx, uint64_t rx);
void hr_meter_add(struct hr_meter *to, const struct hr_meter *from);
uint64_t hr_meter_requests(const struct hr_meter *m);

/* All rows that the programs have made. Main thread. */
void hr_kern_meters(struct hr_kern *k, const struct hr_meter_sink *to);
