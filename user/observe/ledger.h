/* SPDX-License-Identifier: Apache-2.0 */
/*
 * istio_* metrics, from rows to names. Kernel and proxy count by ids (headrace/abi_meter.h); ids
 * are given again, workloads and endpoints come and go, and a counter that Prometheus reads must
 * never fall. So the ledger remembers what the ids of each row meant, and when they mean something
 * else, or nothing any more, it takes the row out and keeps its numbers under the old names.
 */
#pragma once

#include "core/map.h"
#include "core/vec.h"
#include "kern/meters.h"

struct hr_meters;
struct hr_ledger;

/* All that has one set of labels. */
struct hr_series {
	char *labels;
	enum hr_meter_proto proto;
	struct hr_meter http;
	struct hr_tcp_meter tcp;
	HR_VEC(struct hr_series_odd {
		uint32_t status;
		uint64_t n;
	})
	odd; /* statuses that have no counter in `http` */
};

struct hr_ledger *hr_ledger_new(void);
void hr_ledger_free(struct hr_ledger *l);
/* Before ids get another meaning, and after they got it (a plan, a workload that leaves). */
void hr_ledger_sweep(struct hr_ledger *l, const struct hr_meters *m);
/* A sweep, and what there is: labels ("a=\"b\",c=\"d\"") -> struct hr_series. For
 * hr_ledger_free_series. */
struct hr_map *hr_ledger_read(struct hr_ledger *l, const struct hr_meters *m);
void hr_ledger_free_series(struct hr_map *series);
/* What found no row of its own so far: requests and connections, after a read. */
uint64_t hr_ledger_overflow(const struct hr_ledger *l);
