// SPDX-License-Identifier: Apache-2.0
/* Which answers a route wants tried again, for the kernel; the agent's own rules are in
 * proxy/request/retry.c and must say the same. */
#include "plan/compile/retry.h"

#include "core/cleanup.h"

#define STATUS_FIRST 100u
#define STATUS_LAST (STATUS_FIRST + 64 * HR_STATUS_WORDS - 1)

static void add(struct hr_plan_retry *r, unsigned from, unsigned to)
{
	for (unsigned code = from; code <= to && code <= STATUS_LAST; code++)
		if (code >= STATUS_FIRST)
			r->status[(code - STATUS_FIRST) / 64] |= 1ULL << (code - STATUS_FIRST) % 64;
	r->any_status = r->replay = true;
}

/* False: the kernel cannot tell. */
static bool condition(struct hr_plan_retry *r, const char *word)
{
	uint64_t code;

	if (hr_streq(word, "5xx")) {
		add(r, 500, 599);
	} else if (hr_streq(word, "gateway-error")) {
		add(r, 502, 504);
	} else if (hr_streq(word, "retriable-4xx")) {
		add(r, 409, 409);
	} else if (hr_streq(word, "reset")) {
		r->replay = true;
	} else if (!hr_parse_u64(word, 599, &code)) {
		add(r, (unsigned)code, (unsigned)code);
	} else if (hr_streq(word, "retriable-headers") || hr_streq(word, "envoy-ratelimited")) {
		return false;
	}
	return true;
}

bool hr_plan_retry(const struct hr_http_route *http, struct hr_plan_retry *out)
{
	const struct hr_retries *r = &http->retries;

	*out = (struct hr_plan_retry){};
	if (!r->set)
		return true;
	if (r->per_try_timeout > 0)
		out->per_try_ms = (uint32_t)HR_MIN(r->per_try_timeout, UINT32_MAX);
	if (r->attempts == 0)
		return true;
	out->replay = out->per_try_ms != 0;
	for (size_t i = 0; i < r->retry_on.len; i++)
		if (!condition(out, r->retry_on.data[i]))
			return false;
	return true;
}
