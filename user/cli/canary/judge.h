/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a canary well? Judged by its own requests of one step, so early that a bad one is taken back
 * before it had many, and never without having seen enough. Pure.
 *
 *	failed > max_error x max(requests, min_requests)    breach, at once: even if all that are
 *	                                                    still to come were good
 *	slow   > 1 %       x max(requests, min_requests)    the same
 *	requests < min_requests                             wait, also when the time is over
 */
#pragma once

#include <stdbool.h>

#include "cli/counters.h"
#include "core/str.h"

struct hr_judge {
	double max_error;    /* 0..1; < 0: not judged */
	double max_p99_ms;   /* < 0: not judged */
	double min_requests; /* at least 1 */
};

enum hr_judgement { HR_JUDGE_WAIT, HR_JUDGE_PASS, HR_JUDGE_BREACH };

/* `over`: the step was watched long enough. A breach is told in `why`. */
enum hr_judgement hr_judge(const struct hr_judge *j, const struct hr_delta *d, bool over,
			   struct hr_strbuf *why);
/* Latencies are counted in buckets: the smallest bound that is not below `ms`, or -1 beyond the
 * last. */
double hr_judge_bound(double ms);
