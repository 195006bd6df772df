/* SPDX-License-Identifier: Apache-2.0 */
/* What a route's retries ask of the kernel, which gives the first answer by itself. */
#pragma once

#include "plan/plan.h"

struct hr_plan_retry {
	uint32_t per_try_ms; /* perTryTimeout, 0: none */
	bool replay;	     /* a request may have to be sent again after it was sent whole */
	bool any_status;     /* some bit of `status` is set */
	uint64_t status[HR_STATUS_WORDS]; /* bit (code - 100): answers that are tried again */
};

/*
 * Istio HTTPRetry, Envoy x-envoy-retry-on. A native request is connected already, so
 * connect-failure never needs more than the kernel does; words of gRPC are for HTTP/2, which the
 * agent carries. False: a condition that the kernel cannot see in an answer (retriable-headers,
 * envoy-ratelimited): the route is the agent's.
 */
bool hr_plan_retry(const struct hr_http_route *http, struct hr_plan_retry *out);
