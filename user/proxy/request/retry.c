// SPDX-License-Identifier: Apache-2.0
/*
 * Retries: which failures and answers the route wants tried again, how often, how soon, and
 * whether the request can be sent again at all.
 */
#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"

static bool has_body(const struct px_req *r)
{
	return r->body.framing != HR_BODY_NONE &&
	       !(r->body.framing == HR_BODY_LENGTH && !r->msg.content_length);
}

void px_retry_setup(struct px_req *r)
{
	r->retry = r->match.route ? r->match.route->retry : NULL;
	if (!r->retry)
		r->retry = &r->c->w->px->retry;
	r->attempts_left = r->retry->attempts;
	if (r->cluster)
		px_budget_request(r);
	r->wire.keep = r->attempts_left > 0 &&
		       (!has_body(r) || r->retry->any_status || (r->retry->on & ~HR_RETRY_CONNECT));
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
	uint64_t base = r->retry->backoff_ms, high = base;

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
	const uint32_t reset = HR_RETRY_5XX | HR_RETRY_GATEWAY | HR_RETRY_RESET;
	uint32_t wanted = reset;

	if (stale(r, f))
		return true;
	px_outlier_failure(r, f);
	if (!r->retry)
		return false;
	if (f == PX_FAIL_CONNECT)
		wanted |= HR_RETRY_CONNECT | HR_RETRY_RESET_BEFORE;
	else if (f == PX_FAIL_REFUSED)
		wanted |= HR_RETRY_REFUSED | HR_RETRY_RESET_BEFORE;
	else if (f == PX_FAIL_RESET && !r->any_sent)
		wanted |= HR_RETRY_RESET_BEFORE;
	else if (f == PX_FAIL_TRY_TIMEOUT)
		wanted |= HR_RETRY_TRY_TIMEOUT;
	if (!(r->retry->on & wanted) || !allowed(r))
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
	} codes[] = {{1, HR_RETRY_CANCELLED},
		     {4, HR_RETRY_DEADLINE},
		     {8, HR_RETRY_EXHAUSTED},
		     {13, HR_RETRY_INTERNAL},
		     {14, HR_RETRY_UNAVAILABLE}};
	int code = px_grpc_parse(hr_http_get(&r->resp, HR_SLICE("grpc-status")));

	if (code < 0 || !px_is_grpc(r))
		return false;
	for (size_t i = 0; i < HR_ARRAY_SIZE(codes); i++)
		if (codes[i].code == code)
			return r->retry->on & codes[i].bit;
	return false;
}

static bool status_wanted(const struct px_req *r, unsigned status)
{
	/* who limits rates wants no retries, unless the route says so */
	if (hr_http_find(&r->resp, HR_SLICE("x-envoy-ratelimited"), NULL))
		return r->retry->on & HR_RETRY_RATELIMITED;
	if (hr_plan_retries_status(r->retry, status))
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
	if (!r->retry)
		return false;
	if (!status_wanted(r, status) || !allowed(r)) {
		if (r->retried_out)
			r->flags = "URX";
		return false;
	}
	px_req_leave(r, r->up && swallow(r));
	schedule(r);
	return true;
}
