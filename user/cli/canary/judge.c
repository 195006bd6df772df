// SPDX-License-Identifier: Apache-2.0
// The verdict on one step of a canary.
#include "cli/canary/judge.h"

static const uint64_t bounds_us[HR_LAT_BUCKETS] = HR_LAT_BOUNDS_US;

double hr_judge_bound(double ms)
{
	for (size_t i = 0; i < HR_LAT_BUCKETS; i++)
		if ((double)bounds_us[i] / 1000 >= ms)
			return (double)bounds_us[i] / 1000;
	return -1;
}

static double slower_than(const struct hr_delta *d, double ms)
{
	double n = d->buckets[HR_LAT_BUCKETS];

	for (size_t i = 0; i < HR_LAT_BUCKETS; i++)
		if ((double)bounds_us[i] / 1000 > ms)
			n += d->buckets[i];
	return n;
}

enum hr_judgement hr_judge(const struct hr_judge *j, const struct hr_delta *d, bool over,
			   struct hr_strbuf *why)
{
	double base = d->requests > j->min_requests ? d->requests : j->min_requests;
	double failed = d->requests - d->good;
	double slow = j->max_p99_ms < 0 ? 0 : slower_than(d, j->max_p99_ms);

	if (j->max_error >= 0 && failed > j->max_error * base) {
		hr_sb_printf(why, "%.0f of %.0f requests failed, %g %% is allowed", failed,
			     d->requests, 100 * j->max_error);
		return HR_JUDGE_BREACH;
	}
	if (slow > 0.01 * base) {
		hr_sb_printf(why, "%.0f of %.0f requests took longer than %g ms, 1 %% is allowed",
			     slow, d->requests, j->max_p99_ms);
		return HR_JUDGE_BREACH;
	}
	return over && d->requests >= j->min_requests ? HR_JUDGE_PASS : HR_JUDGE_WAIT;
}
