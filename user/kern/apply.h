/* SPDX-License-Identifier: Apache-2.0 */
/* State of the plan tables between two applies, and their late deletions. */
#pragma once

#include <bpf/libbpf.h>

#include "core/vec.h"
#include "kern/rows.h"

struct hr_kern;

enum kern_stale_kind { STALE_TABLE, STALE_KEY, STALE_SWEEP };

/* Rows that nothing leads to any more, with the time from which nobody reads them either. */
struct kern_stale {
	uint64_t at; /* monotonic ms */
	enum kern_stale_kind kind;
	struct kern_table *table; /* TABLE: a reference */
	/* KEY: of an id-keyed map; kept when `live` (a map of struct hr_rows, by its offset) has
	 * the key again by then */
	const struct bpf_map *map;
	size_t live;
	unsigned char key[8];
};

/* Programs hold a row for microseconds; a preempted one, for as long as the scheduler likes. */
#define KERN_GRACE_MS 2000

struct hr_apply {
	struct hr_rows *rows; /* what the tables hold; NULL before the first apply */
	struct kern_numbers numbers;
	struct kern_replies replies;
	HR_VEC(struct kern_stale) stale;
	unsigned char used_routes[HR_ROUTES_MAX], used_eps[HR_EPS_MAX]; /* counters are not zero */
};

/* ---- apply.c */
void kern_reset_ep(struct hr_kern *k, uint32_t ep);

/* ---- stale.c */
/* A row that `rows` (a map of struct hr_rows, by its offset) has not any more. */
void kern_stale_key(struct hr_kern *k, const struct bpf_map *m, size_t rows, const void *key,
		    size_t len, uint64_t at);
/* Everything that `have` has and `want` has not, except vips and names. */
void kern_stale_add(struct hr_kern *k, const struct hr_rows *have, const struct hr_rows *want,
		    uint64_t at);
/* All rows of the plan tables that are not in the rows of then: what a killed agent left. */
void kern_stale_sweep(struct hr_kern *k, uint64_t at);
bool kern_stale_pending(const struct hr_kern *k);
void kern_stale_free(struct hr_kern *k);
/* Zeroes a row of counters that was used for something else, and notes that it is used. */
void kern_counters_zero(const struct bpf_map *m, unsigned char *used, uint32_t id);

/* ---- adopt.c */
/* Table numbers go on after the highest that is in the tables. */
void kern_adopted_numbers(struct hr_kern *k);
/* Places of replies that its rules name are not given to others at once. */
void kern_adopted_replies(struct hr_kern *k);
