// SPDX-License-Identifier: Apache-2.0
// Differences of counters, and quantiles of them.
#include "cli/counters.h"

#include <math.h>
#include <stdio.h>

static const uint64_t bounds_us[HR_LAT_BUCKETS] = HR_LAT_BOUNDS_US;

static double at(const json_t *counters, const char *key, size_t i)
{
	return (double)json_integer_value(json_array_get(json_object_get(counters, key), i));
}

static double requests(const json_t *counters)
{
	return (double)json_integer_value(json_object_get(counters, "requests"));
}

/* Counters start again with an agent that was restarted: then the new value is the difference. */
static double grown(double from, double to)
{
	return to >= from ? to - from : to;
}

struct hr_delta hr_delta(const json_t *from, const json_t *to)
{
	struct hr_delta d = {.requests = grown(requests(from), requests(to))};

	for (size_t i = 1; i < 5; i++)
		d.good += grown(at(from, "status", i), at(to, "status", i));
	for (size_t i = 0; i <= HR_LAT_BUCKETS; i++)
		d.buckets[i] = grown(at(from, "latency", i), at(to, "latency", i));
	return d;
}

double hr_delta_quantile(const struct hr_delta *d, double q)
{
	double total = 0, before = 0;

	for (size_t i = 0; i <= HR_LAT_BUCKETS; i++)
		total += d->buckets[i];
	for (size_t i = 0; total > 0 && i < HR_LAT_BUCKETS; i++) {
		double low = i ? (double)bounds_us[i - 1] : 0;

		if (before + d->buckets[i] < q * total || d->buckets[i] == 0) {
			before += d->buckets[i];
			continue;
		}
		low += ((double)bounds_us[i] - low) * (q * total - before) / d->buckets[i];
		return low / 1000;
	}
	return total > 0 ? HUGE_VAL : -1;
}

void hr_quantile_text(double ms, char *buf, size_t size)
{
	if (ms < 0)
		snprintf(buf, size, "-");
	else if (isinf(ms))
		snprintf(buf, size, "> %.0f ms", (double)bounds_us[HR_LAT_BUCKETS - 1] / 1000);
	else
		snprintf(buf, size, "%.*f ms", ms < 10 ? 2 : 0, ms);
}
