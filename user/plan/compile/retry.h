/* SPDX-License-Identifier: Apache-2.0 */
/* A route's retries, with the words of retryOn read: what the kernel keeps back and the proxy tries
 * again is one set of bits. */
#pragma once

#include "plan/plan.h"

enum hr_retry_on {
	HR_RETRY_CONNECT = 1 << 0,
	HR_RETRY_RESET = 1 << 1,
	HR_RETRY_RESET_BEFORE = 1 << 2,
	HR_RETRY_5XX = 1 << 3,
	HR_RETRY_GATEWAY = 1 << 4,
	HR_RETRY_4XX = 1 << 5,
	HR_RETRY_TRY_TIMEOUT = 1 << 6, /* no word of its own: in the default policy */
	HR_RETRY_RATELIMITED = 1 << 7,
	HR_RETRY_HEADERS = 1 << 8,
	HR_RETRY_REFUSED = 1 << 9,
	/* gRPC statuses */
	HR_RETRY_CANCELLED = 1 << 10,
	HR_RETRY_DEADLINE = 1 << 11,
	HR_RETRY_INTERNAL = 1 << 12,
	HR_RETRY_EXHAUSTED = 1 << 13,
	HR_RETRY_UNAVAILABLE = 1 << 14,
};

struct hr_plan_retry {
	uint32_t on;	   /* enum hr_retry_on */
	uint32_t attempts; /* after the first try; 0: none, and nothing below but per_try_ms is set
			    */
	uint32_t per_try_ms; /* perTryTimeout, 0: none */
	uint32_t backoff_ms; /* base */
	bool avoid_previous;
	bool replay;	 /* a request may have to be sent again after it was sent whole */
	bool any_status; /* some bit of `status` is set */
	/* A condition that the kernel cannot see in an answer (retriable-headers,
	 * envoy-ratelimited): the route is the agent's. */
	bool agent_only;
	uint64_t status[HR_STATUS_WORDS]; /* bit (code - 100): answers that are tried again */
};

/*
 * Istio HTTPRetry, Envoy x-envoy-retry-on; NULL, or no block: Istio's default policy. A native
 * request is connected already, so connect-failure never needs more than the kernel does; words of
 * gRPC are for HTTP/2, which the agent carries.
 */
void hr_plan_retry(const struct hr_http_route *http, struct hr_plan_retry *out);

static inline bool hr_plan_retries_status(const struct hr_plan_retry *r, unsigned code)
{
	unsigned bit = code - 100;

	return bit < 64 * HR_STATUS_WORDS && (r->status[bit / 64] >> bit % 64 & 1);
}
