// SPDX-License-Identifier: Apache-2.0
/* The words of retryOn: read once, for the kernel and for the proxy. */
#include "plan/compile/retry.h"

#include "core/cleanup.h"

#define STATUS_FIRST 100u
#define STATUS_LAST (STATUS_FIRST + 64 * HR_STATUS_WORDS - 1)

/* Istio's defaults. */
#define ATTEMPTS 2
#define BACKOFF_MS 25

static const struct {
	const char *word;
	uint32_t bit;
	unsigned from, to; /* answers that are tried again; 0: none */
} conditions[] = {
	{"5xx", HR_RETRY_5XX, 500, 599},
	{"gateway-error", HR_RETRY_GATEWAY, 502, 504},
	{"retriable-4xx", HR_RETRY_4XX, 409, 409},
	{"reset", HR_RETRY_RESET, 0, 0},
	{"reset-before-request", HR_RETRY_RESET_BEFORE, 0, 0},
	{"connect-failure", HR_RETRY_CONNECT, 0, 0},
	{"refused-stream", HR_RETRY_REFUSED, 0, 0},
	{"envoy-ratelimited", HR_RETRY_RATELIMITED, 0, 0},
	{"retriable-headers", HR_RETRY_HEADERS, 0, 0},
	{"cancelled", HR_RETRY_CANCELLED, 0, 0},
	{"deadline-exceeded", HR_RETRY_DEADLINE, 0, 0},
	{"internal", HR_RETRY_INTERNAL, 0, 0},
	{"resource-exhausted", HR_RETRY_EXHAUSTED, 0, 0},
	{"unavailable", HR_RETRY_UNAVAILABLE, 0, 0},
};

static void add(struct hr_plan_retry *r, unsigned from, unsigned to)
{
	for (unsigned code = from; code <= to && code <= STATUS_LAST; code++)
		if (code >= STATUS_FIRST)
			r->status[(code - STATUS_FIRST) / 64] |= 1ULL << (code - STATUS_FIRST) % 64;
	r->any_status = true;
}

static void condition(struct hr_plan_retry *r, const char *word)
{
	uint64_t code;

	for (size_t i = 0; i < HR_ARRAY_SIZE(conditions); i++) {
		if (!hr_streq(word, conditions[i].word))
			continue;
		r->on |= conditions[i].bit;
		if (conditions[i].from)
			add(r, conditions[i].from, conditions[i].to);
	}
	if (!hr_parse_u64(word, STATUS_LAST, &code))
		add(r, (unsigned)code, (unsigned)code);
}

void hr_plan_retry(const struct hr_http_route *http, struct hr_plan_retry *out)
{
	const struct hr_retries *r = http && http->retries.set ? &http->retries : NULL;

	*out = (struct hr_plan_retry){
		.attempts = ATTEMPTS, .backoff_ms = BACKOFF_MS, .avoid_previous = true};
	if (r) {
		out->attempts = (uint32_t)HR_MAX(r->attempts, 0);
		out->avoid_previous = r->retry_ignore_previous_hosts != 0;
		if (r->backoff > 0)
			out->backoff_ms = (uint32_t)HR_MIN(r->backoff, UINT32_MAX);
		if (r->per_try_timeout > 0)
			out->per_try_ms = (uint32_t)HR_MIN(r->per_try_timeout, UINT32_MAX);
	}
	if (!out->attempts)
		return;
	for (size_t i = 0; r && i < r->retry_on.len; i++)
		condition(out, r->retry_on.data[i]);
	if (!r || !r->retry_on.len)
		out->on = HR_RETRY_CONNECT | HR_RETRY_REFUSED | HR_RETRY_TRY_TIMEOUT |
			  HR_RETRY_UNAVAILABLE | HR_RETRY_CANCELLED;
	out->replay = out->any_status || out->per_try_ms || (out->on & HR_RETRY_RESET);
	out->agent_only = out->on & (HR_RETRY_HEADERS | HR_RETRY_RATELIMITED);
}
