// SPDX-License-Identifier: Apache-2.0
/*
 * Retries: which failures and answers the route wants tried again, how often, how soon, and
 * whether the request can be sent again at all.
 */
#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"

#define BACKOFF_MS 25
#define DEFAULT_ATTEMPTS 2 /* Istio: two more tries of the default policy */

static const struct {
	const char *word;
	uint32_t bit;
} conditions[] = {
	{"5xx", PX_RETRY_5XX},
	{"gateway-error", PX_RETRY_GATEWAY},
	{"reset", PX_RETRY_RESET},
	{"reset-before-request", PX_RETRY_RESET_BEFORE},
	{"connect-failure", PX_RETRY_CONNECT},
	{"retriable-4xx", PX_RETRY_4XX},
	{"envoy-ratelimited", PX_RETRY_RATELIMITED},
	{"cancelled", PX_RETRY_CANCELLED},
	{"deadline-exceeded", PX_RETRY_DEADLINE},
	{"internal", PX_RETRY_INTERNAL},
	{"resource-exhausted", PX_RETRY_EXHAUSTED},
	{"unavailable", PX_RETRY_UNAVAILABLE},
	{"refused-stream", PX_RETRY_REFUSED},
};

static void want(struct px_req *r, const char *word)
{
	uint64_t status;

	for (size_t i = 0; i < HR_ARRAY_SIZE(conditions); i++)
		if (hr_streq(conditions[i].word, word))
			r->retry_on |= conditions[i].bit;
	if (!hr_parse_u64(word, 599, &status) && r->n_retry_status < HR_ARRAY_SIZE(r->retry_status))
		r->retry_status[r->n_retry_status++] = (uint16_t)status;
}

static bool has_body(const struct px_req *r)
{
	return r->body.framing != HR_BODY_NONE &&
	       !(r->body.framing == HR_BODY_LENGTH && !r->msg.content_length);
}

void px_retry_setup(struct px_req *r)
{
	const struct hr_http_route *http = r->match.route ? r->match.route->http : NULL;
	const struct hr_retries *rt = http && http->retries.set ? &http->retries : NULL;

	r->attempts_left = DEFAULT_ATTEMPTS;
	r->avoid_previous = true;
	r->backoff_ms = BACKOFF_MS;
	if (rt) {
		r->attempts_left = HR_MAX(rt->attempts, 0);
		r->avoid_previous = rt->retry_ignore_previous_hosts != 0;
		if (rt->backoff > 0)
			r->backoff_ms = rt->backoff;
	}
	if (rt && rt->retry_on.len)
		for (size_t i = 0; i < rt->retry_on.len; i++)
			want(r, rt->retry_on.data[i]);
	else
		r->retry_on = PX_RETRY_CONNECT | PX_RETRY_REFUSED | PX_RETRY_TIMEOUT |
			      PX_RETRY_UNAVAILABLE | PX_RETRY_CANCELLED;
	if (r->cluster)
		px_budget_request(r);
	r->wire.keep = r->attempts_left > 0 &&
		       (!has_body(r) || r->n_retry_status || (r->retry_on & ~PX_RETRY_CONNECT));
}

bool px_retry_safe(const struct px_req *r)
{
	static const char *const safe[] = {"GET", "HEAD", "OPTIONS", "TRACE"};
	struct hr_slice method = hr_http_str(&r->msg, r->msg.method);

	if (has_body(r) || !r->wire.keep)
		return false;
	for (size_t i = 0; i < HR_ARRAY_SIZE(safe); i++)
		if (hr_slice_eq(method, hr_slice_of(safe[i])))
			return true;
	return false;
}

/* ---- one more try ---- */

/* After every second try the priorities that were tried have had their chance (what Istio sets in
 * Envoy). */
#define TRIES_A_PRIORITY 2

const struct hr_plan_ep *px_retry_remote(const struct px_req *r)
{
	const struct hr_http_route *http = r->match.route ? r->match.route->http : NULL;
	size_t n = r->n_avoid - r->n_avoid % TRIES_A_PRIORITY;

	if (!n || !http || http->retries.retry_remote_localities != 1)
		return NULL;
	return hr_plan_pick_remote(r->hold->plan, r->cluster, &r->c->w->px->words,
				   px_random(r->c->w), r->avoid, n);
}

static bool allowed(struct px_req *r)
{
	if (!r->wire.keep && r->any_sent) { /* it is not all here any more */
		if (r->attempts_left)
			r->no_retry = "body-too-long";
		return false;
	}
	if (!r->attempts_left) {
		r->retried_out = r->tries > 1;
		return false;
	}
	px_budget_release(r);
	if (px_budget_take(r))
		return true;
	r->no_retry = "budget";
	return false;
}

static void try_now(void *ctx)
{
	struct px_req *r = ctx;

	px_req_try(r);
	px_client_run(r->c);
}

/* Envoy's fully jittered backoff: up to base * (2^n - 1), at most ten times the base. */
static void schedule(struct px_req *r)
{
	struct px_worker *w = r->c->w;
	uint64_t base = (uint64_t)r->backoff_ms, high = base;

	for (unsigned i = 1; i < r->tries && high < 10 * base; i++)
		high = 2 * high + base;
	high = HR_MIN(high, 10 * base);
	r->attempts_left--;
	r->state = PX_REQ_BACKOFF;
	hr_timer_start(w->loop, &r->wait_timer, px_random(w) % (high + 1), try_now, r);
}

/* A kept connection that the server closed just then is no failure of the server. */
static bool stale(struct px_req *r, enum px_failure f)
{
	if (f != PX_FAIL_RESET || !r->last_reused || r->stale_retried)
		return false;
	if (r->any_sent && !px_retry_safe(r))
		return false;
	r->stale_retried = r->fresh = true;
	r->tries--;
	if (r->n_avoid)
		r->n_avoid--;
	px_req_try(r);
	return true;
}

bool px_retry_failure(struct px_req *r, enum px_failure f)
{
	const uint32_t reset = PX_RETRY_5XX | PX_RETRY_GATEWAY | PX_RETRY_RESET;
	uint32_t wanted = reset;

	if (stale(r, f))
		return true;
	px_outlier_failure(r, f);
	if (f == PX_FAIL_CONNECT)
		wanted |= PX_RETRY_CONNECT | PX_RETRY_RESET_BEFORE;
	else if (f == PX_FAIL_REFUSED)
		wanted |= PX_RETRY_REFUSED | PX_RETRY_RESET_BEFORE;
	else if (f == PX_FAIL_RESET && !r->any_sent)
		wanted |= PX_RETRY_RESET_BEFORE;
	else if (f == PX_FAIL_TRY_TIMEOUT)
		wanted |= PX_RETRY_TIMEOUT;
	if (!(r->retry_on & wanted) || !allowed(r))
		return false;
	schedule(r);
	return true;
}

/* ---- answers that are tried again ---- */

/* The status of a gRPC answer that has no body: it is in its head. */
static bool grpc_wanted(const struct px_req *r)
{
	static const struct {
		int code;
		uint32_t bit;
	} codes[] = {{1, PX_RETRY_CANCELLED},
		     {4, PX_RETRY_DEADLINE},
		     {8, PX_RETRY_EXHAUSTED},
		     {13, PX_RETRY_INTERNAL},
		     {14, PX_RETRY_UNAVAILABLE}};
	int code = px_grpc_parse(hr_http_get(&r->resp, HR_SLICE("grpc-status")));

	if (code < 0 || !px_is_grpc(r))
		return false;
	for (size_t i = 0; i < HR_ARRAY_SIZE(codes); i++)
		if (codes[i].code == code)
			return r->retry_on & codes[i].bit;
	return false;
}

static bool status_wanted(const struct px_req *r, unsigned status)
{
	/* who limits rates wants no retries, unless the route says so */
	if (hr_http_find(&r->resp, HR_SLICE("x-envoy-ratelimited"), NULL))
		return r->retry_on & PX_RETRY_RATELIMITED;
	if ((r->retry_on & PX_RETRY_5XX) && status >= 500)
		return true;
	if ((r->retry_on & PX_RETRY_GATEWAY) && status >= 502 && status <= 504)
		return true;
	if ((r->retry_on & PX_RETRY_4XX) && status == 409)
		return true;
	for (size_t i = 0; i < r->n_retry_status; i++)
		if (r->retry_status[i] == status)
			return true;
	return grpc_wanted(r);
}

/* The unwanted answer is here in full: its connection can go on. */
static bool swallow(struct px_req *r)
{
	struct px_buf *in = &r->up->s.in;
	size_t n = r->resp.framing == HR_BODY_LENGTH ? r->resp.content_length : 0;

	if (r->resp.framing > HR_BODY_LENGTH || n != px_buf_len(in) || !r->req_sent ||
	    !r->resp.keep_alive)
		return false;
	px_buf_use(r->c->w, in, n);
	return true;
}

bool px_retry_status(struct px_req *r, unsigned status)
{
	if (!status_wanted(r, status) || !allowed(r)) {
		if (r->retried_out)
			r->flags = "URX";
		return false;
	}
	px_req_leave(r, r->up && swallow(r));
	schedule(r);
	return true;
}
