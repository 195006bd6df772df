/* SPDX-License-Identifier: Apache-2.0 */
/* What a route does and what a cluster limits, in words: for dump, diff and explain. */
#pragma once

#include "plan/plan.h"

/* The retry policy in effect: a route that names none has the mesh's default (Istio). */
struct hr_retry_words {
	int attempts;
	int64_t per_try_timeout; /* ms, -1: none */
	const char *const *on;
	size_t n_on;
};
/* false: none. */
bool hr_route_retries(const struct hr_plan_route *r, struct hr_retry_words *out);

/* "timeout 3000 ms, retries 3 on 5xx,reset, fault abort 503 10 %"; nothing when the route only
 * sends on. Each part starts with " ". */
void hr_route_words(const struct hr_http_route *h, struct hr_strbuf *out);
/* "HTTP/1.1", "HTTP/2", "as the client". */
const char *hr_speaks_word(const struct hr_plan_cluster *c);
/* "maxConnections 100, outlier 5xx 5 ...": each part starts with " ". */
/* " LEAST_REQUEST", " Maglev by header ...", then shares of localities and warm-up. */
void hr_balance_words(const struct hr_plan_cluster *c, struct hr_strbuf *out);
void hr_policy_words(const struct hr_plan_cluster *c, struct hr_strbuf *out);
