/* SPDX-License-Identifier: Apache-2.0 */
/* What happened between two looks at the same counters (docs/CONTROL.md "counters"). */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "headrace/abi.h"

struct hr_delta {
	double requests, good; /* ended; of those 1xx to 4xx */
	double buckets[HR_LAT_BUCKETS + 1];
};

/* `from` may be NULL. Counters that are smaller than before began again: an agent was restarted. */
struct hr_delta hr_delta(const json_t *from, const json_t *to);
/* Milliseconds, evenly spread within a bucket. -1: no request; HUGE_VAL: beyond the last bound. */
double hr_delta_quantile(const struct hr_delta *d, double q);
/* "12.5 ms", "> 3600000 ms", "-". */
void hr_quantile_text(double ms, char *buf, size_t size);
