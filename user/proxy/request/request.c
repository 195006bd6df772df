// SPDX-License-Identifier: Apache-2.0
/*
 * The cycle of one request: match, act, try an endpoint, relay, end.
 *
 *	begin -> route -> [DELAY] -> [PENDING] -> CONNECT -> EXCHANGE -> end
 *	            \                               ^           |
 *	             \-> REPLY -> end               \--BACKOFF--/
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "http/path.h"
#include "proxy/internal.h"
#include "proxy/upstream/preface.h"

#define FREE_REQS 64

/* ---- life ---- */

struct px_req *px_req_new(struct px_client *c)
{
	struct px_worker *w = c->w;
	struct px_req *r = w->free_reqs;
	char *head = NULL;
	size_t head_cap = 0;

	if (r) {
		w->free_reqs = r->next_free;
		w->n_free_reqs--;
		head = r->head;
		head_cap = r->head_cap;
	} else {
		r = malloc(sizeof(*r));
		if (!r)
			return NULL;
	}
	/* the two messages are large, and their parser initialises them */
	memset(&r->zero_from, 0, sizeof(*r) - offsetof(struct px_req, zero_from));
	r->c = c;
	r->next_free = NULL;
	r->head = head;
	r->head_cap = head_cap;
	r->flags = r->no_retry = "";
	r->grpc_status = -1;
	hr_list_init(&r->wait);
	hr_list_init(&r->copies);
	hr_http_init(&r->msg, HR_HTTP_REQUEST, false);
	return r;
}

void px_req_free(struct px_req *r)
{
	struct px_worker *w;

	if (!r)
		return;
	w = r->c->w;
	px_out_free(&r->wire);
	px_out_free(&r->path);
	px_out_free(&r->target);
	px_out_free(&r->new_path);
	px_hold_put(TAKE_PTR(r->hold));
	if (w->n_free_reqs >= FREE_REQS) {
		free(r->head);
		free(r);
		return;
	}
	r->next_free = w->free_reqs;
	w->free_reqs = r;
	w->n_free_reqs++;
}

void px_req_free_all(struct px_worker *w)
{
	while (w->free_reqs) {
		struct px_req *r = w->free_reqs;

		w->free_reqs = r->next_free;
		free(r->head);
		free(r);
	}
}

static void stop_timers(struct px_req *r)
{
	hr_timer_stop(&r->wait_timer);
	hr_timer_stop(&r->timeout);
	hr_timer_stop(&r->per_try);
	if (!hr_list_empty(&r->wait))
		px_breaker_unqueue(r);
}

void px_inflight_lower(struct hr_proxy *px, uint32_t ep, uint32_t cluster)
{
	if (ep && ep < HR_EPS_MAX)
		__atomic_fetch_sub(&px->ep_rt[ep].inflight.by.agent, 1, __ATOMIC_RELAXED);
	if (cluster && cluster < HR_CLUSTERS_MAX)
		__atomic_fetch_sub(&px->cluster_rt[cluster].inflight.by.agent, 1, __ATOMIC_RELAXED);
}

void px_req_leave(struct px_req *r, bool reusable)
{
	struct px_up *u = TAKE_PTR(r->up);

	hr_timer_stop(&r->per_try);
	if (u)
		r->last_reused = u->reused;
	if (u && u->stream) {
		r->grpc_status = u->stream->grpc_status;
		r->messages = u->stream->messages.n;
	}
	if (u && reusable)
		px_up_idle(u);
	else if (u)
		px_up_close(u);
	px_inflight_lower(r->c->w->px, r->in_ep ? r->ep_id : 0, 0);
	r->in_ep = false;
}

static bool up_reusable(const struct px_req *r)
{
	return r->up && r->resp_done && r->req_sent && r->resp.keep_alive && !r->up->s.werror &&
	       r->resp.framing != HR_BODY_UNTIL_CLOSE;
}

void px_req_end(struct px_req *r)
{
	struct px_worker *w = r->c->w;

	if (r->ended)
		return;
	r->ended = true;
	px_mirror_cut(r);
	stop_timers(r);
	px_stat_request(r);
	px_req_leave(r, up_reusable(r));
	px_breaker_leave(r);
	px_budget_release(r);
	PX_ADD(w->active, -1);
}

/* ---- begin ---- */

static void begin(struct px_req *r)
{
	struct px_client *c = r->c;

	r->begun = true;
	r->t0_us = px_now_us();
	r->why = c->why;
	if (c->g)
		c->why = HR_WHY_BINDING; /* the reason was the first request's */
	PX_COUNT(c->w->requests);
	PX_COUNT(c->w->active);
}

void px_req_bad(struct px_client *c, const struct hr_http_error *e)
{
	struct px_req *r = c->req;

	c->state = PX_CLIENT_REQUEST;
	begin(r);
	r->bad = true;
	r->body.done = true;
	c->close = true;
	px_reply(r, e->status, "DPE", e->reason);
}

struct hr_slice px_path_and_query(struct px_req *r)
{
	if (!r->msg.has_query)
		return (struct hr_slice){};
	if (!r->target.len) {
		px_out_add(&r->target, r->path.p, r->path.len);
		px_out_lit(&r->target, "?");
		px_out_slice(&r->target, hr_http_str(&r->msg, r->msg.query));
	}
	return (struct hr_slice){r->target.p, r->target.len};
}

static struct hr_slice header_value(void *ctx, struct hr_slice name)
{
	struct px_req *r = ctx;

	if (hr_slice_eq(name, HR_SLICE(":path")))
		return px_path_and_query(r);
	return hr_http_joined(&r->msg, name, &r->c->w->joins);
}

const struct hr_plan_vip *px_vip_of(const struct px_client *c, const struct hr_plan *plan)
{
	struct hr_vip_key key = {.port_be = htons(c->dst_port)};

	memcpy(key.ip, c->dst.ip, sizeof(key.ip));
	return hr_plan_vip_at(plan, &key);
}

bool px_req_canonical(struct px_req *r)
{
	struct hr_slice raw = hr_http_path(&r->msg);
	char path[HR_REQLINE_MAX];
	size_t n;

	if (r->msg.form == HR_TARGET_ASTERISK) {
		px_out_lit(&r->path, "*");
	} else {
		if (raw.n > sizeof(path) || hr_path_canon(raw, HR_PATH_BASE, path, &n))
			return false;
		px_out_add(&r->path, path, n);
	}
	px_out_lit(&r->path, "\0");
	r->path.len--;
	return true;
}

struct hr_slice px_scheme(const struct px_req *r)
{
	struct hr_slice said = hr_http_get(&r->msg, HR_SLICE("x-forwarded-proto"));
	bool https = r->msg.form == HR_TARGET_ABSOLUTE ? r->msg.https
						       : hr_slice_ieq(said, HR_SLICE("https"));

	return https ? HR_SLICE("https") : HR_SLICE("http");
}

/* Of the target; {NULL, 0}: it names none. */
static struct hr_slice scheme_of(const struct px_req *r)
{
	if (r->msg.form != HR_TARGET_ABSOLUTE)
		return (struct hr_slice){};
	return r->msg.https ? HR_SLICE("https") : HR_SLICE("http");
}

bool px_req_match(struct px_req *r)
{
	const struct hr_plan *plan = r->hold->plan;
	const struct hr_plan_vip *vip = px_vip_of(r->c, plan);
	const struct px_identity *who = r->c->source;
	struct hr_plan_req q = {
		.method = hr_http_str(&r->msg, r->msg.method),
		.path = {r->path.p, r->path.len},
		.query = hr_http_str(&r->msg, r->msg.query),
		.host = px_authority(r),
		.scheme = scheme_of(r),
		.port = vip ? vip->port : r->c->dst_port,
		.fallback_vhost = vip ? vip->vhost : HR_NONE,
		.header = header_value,
		.header_ctx = r,
		.source_ns = who ? who->ns : NULL,
		.source_labels = px_source_labels(r->c, plan),
	};

	hr_http_joins_reset(&r->c->w->joins);
	hr_plan_match(plan, &q, &r->match);
	r->route_id = r->match.route ? r->match.route->id : 0;
	return r->match.route;
}

void px_req_begin(struct px_client *c)
{
	struct px_req *r = c->req;

	begin(r);
	r->req_head = r->msg.head_len;
	if (!r->msg.keep_alive || c->w->draining)
		c->close = true;
	hr_http_body_init(&r->body, &r->msg);
	r->hold = px_hold_get(c->w);
	if (!r->hold) {
		px_reply(r, 503, "UH", PX_BODY_UH);
		return;
	}
	if (!px_req_canonical(r)) {
		c->close = true;
		px_reply(r, 400, "DPE", "path is not valid");
		return;
	}
	px_req_match(r);
	px_req_route(r);
}

/* ---- time ---- */

static void on_timeout(void *ctx)
{
	struct px_req *r = ctx;

	r->timed_out = true;
	px_client_run(r->c);
}

static void on_try_timeout(void *ctx)
{
	struct px_req *r = ctx;

	r->try_timed_out = true;
	px_client_run(r->c);
}

/* The client has said all: the route's time begins to count (Envoy's rule). */
void px_req_received(struct px_req *r)
{
	struct hr_loop *l = r->c->w->loop;
	const struct hr_http_route *http = r->match.route ? r->match.route->http : NULL;
	int64_t timeout = r->match.route ? r->match.route->timeout : -1;
	int64_t grpc = px_grpc_timeout(r);

	/* Istio lets Envoy heed grpc-timeout, and the route's timeout bounds it */
	if (grpc > 0 && r->match.vhost)
		timeout = timeout > 0 ? HR_MIN(timeout, grpc) : grpc;
	if (r->c->mirror && timeout <= 0)
		timeout = HR_MIRROR_TIMEOUT_MS;
	if (timeout > 0 && !hr_timer_running(&r->timeout) && !r->timed_out)
		hr_timer_start(l, &r->timeout, (uint64_t)timeout, on_timeout, r);
	if (http && http->retries.set && http->retries.per_try_timeout > 0 && !r->started && r->up)
		hr_timer_start(l, &r->per_try, (uint64_t)http->retries.per_try_timeout,
			       on_try_timeout, r);
}

static uint64_t rest(int64_t whole, uint64_t gone)
{
	return (uint64_t)whole > gone ? (uint64_t)whole - gone : 0;
}

void px_req_elapsed(struct px_req *r, uint64_t ms)
{
	struct hr_loop *l = r->c->w->loop;
	const struct hr_plan_route *route = r->match.route;

	if (route->timeout > 0)
		hr_timer_start(l, &r->timeout, rest(route->timeout, ms), on_timeout, r);
	if (route->http && route->http->retries.set && route->http->retries.per_try_timeout > 0 &&
	    r->up && !r->started)
		hr_timer_start(l, &r->per_try, rest(route->http->retries.per_try_timeout, ms),
			       on_try_timeout, r);
}

void px_req_stalled(struct px_req *r, const struct hr_http_error *e)
{
	r->c->close = true;
	r->body.done = true;
	px_req_leave(r, false);
	if (r->started)
		px_client_abort(r->c);
	else if (r->req_sent || r->state != PX_REQ_EXCHANGE)
		px_reply(r, 504, "SI", "stream timeout");
	else
		px_reply(r, e->status, "SI", e->reason);
}

/* ---- tries ---- */

/* Where this try goes. False: nowhere, and that is answered. */
static bool aim(struct px_req *r)
{
	struct px_client *c = r->c;

	if (r->cluster && r->cluster->lb == HR_LB_PASSTHROUGH) {
		if (px_is_own_door(c->w->px, &c->dst, c->dst_port)) {
			px_reply(r, 503, "UH", PX_BODY_UH);
			return false;
		}
		r->addr = c->dst;
		r->port = c->dst_port;
	} else if (r->cluster) {
		r->ep = px_retry_remote(r);
		if (!r->ep)
			r->ep = hr_plan_pick_ep(r->hold->plan, r->cluster, &c->w->px->words,
						px_random(c->w), r->hashed ? &r->hash : NULL,
						r->avoid,
						r->retry->avoid_previous ? r->n_avoid : 0);
		if (!r->ep) {
			px_reply(r, 503, "UH", PX_BODY_UH);
			return false;
		}
		r->addr = r->ep->addr;
		r->port = r->ep->port;
		r->ep_id = r->ep->id;
		r->in_ep = true;
		__atomic_fetch_add(&c->w->px->ep_rt[r->ep->id].inflight.by.agent, 1,
				   __ATOMIC_RELAXED);
		if (r->n_avoid < PX_TRIES_MAX)
			r->avoid[r->n_avoid++] = r->ep->id;
	}
	return true;
}

/* All connections that the cluster may have are in use: this was no try yet. */
static void wait_for_place(struct px_req *r, unsigned n_avoid)
{
	px_req_leave(r, false);
	r->ep = NULL;
	r->ep_id = 0;
	r->n_avoid = n_avoid;
	r->tries--;
	px_breaker_wait(r);
}

void px_req_try(struct px_req *r)
{
	struct px_client *c = r->c;
	unsigned n_avoid = r->n_avoid;
	bool full = false;

	r->tries++;
	r->any_sent = r->req_sent = r->resp_partial = false;
	r->wire.off = 0;
	if (r->tries > 1)
		px_head_attempt(r);
	if (!aim(r))
		return;
	r->resp_head_bytes = 0;
	hr_http_init(&r->resp, HR_HTTP_RESPONSE,
		     hr_slice_eq(hr_http_str(&r->msg, r->msg.method), HR_SLICE("HEAD")));
	if (px_h2_upstream(r))
		r->up = px_h2_up_get(r, &full);
	else
		r->up = px_up_get(c, &r->addr, r->port, r->cluster ? &r->cluster->conns : NULL,
				  r->fresh || px_preface_wanted(r->cluster, false));
	if (full) {
		wait_for_place(r, n_avoid);
		return;
	}
	if (r->up && px_preface_wanted(r->cluster, false) &&
	    px_preface_set(r->up, r->cluster, c, false))
		px_up_close(TAKE_PTR(r->up));
	if (!r->up) {
		px_req_leave(r, false);
		px_reply(r, 503, "UF", PX_BODY_UF);
		return;
	}
	r->up->nreq++;
	r->state = PX_REQ_CONNECT;
	if (r->body.done)
		px_req_received(r);
}

static void connect_failed(struct px_req *r)
{
	hr_debug("upstream connection failed: %s", strerror(r->up->s.error));
	px_req_failed(r, PX_FAIL_CONNECT);
}

static bool try_connected(struct px_req *r)
{
	struct px_up *u = r->up;

	if (u->state == PX_UP_FAILED) {
		connect_failed(r);
		return true;
	}
	if (u->state != PX_UP_READY)
		return false;
	if (u->reused && !px_up_alive(u)) {
		/* closed while it was idle, or there are bytes that nobody asked for: they are no
		 * answer to this request */
		px_req_leave(r, false);
		r->tries--;
		r->n_avoid -= r->n_avoid != 0;
		px_req_try(r);
		return true;
	}
	r->state = PX_REQ_EXCHANGE;
	return true;
}

void px_req_failed(struct px_req *r, enum px_failure f)
{
	px_req_leave(r, false);
	if (r->started) {
		r->flags = f == PX_FAIL_GARBAGE ? "UPE" : "UC";
		px_outlier_failure(r, f);
		px_client_abort(r->c);
		return;
	}
	if (px_retry_failure(r, f))
		return;
	px_reply_failure(r, f);
}

/* ---- run ---- */

static bool timeouts(struct px_req *r)
{
	/* the answer is here in full: its server was in time, whatever the client takes to read */
	if (r->resp_head && r->resp_body.done)
		r->timed_out = false;
	if (r->timed_out) {
		r->timed_out = false;
		hr_timer_stop(&r->timeout);
		if (r->in_ep && !r->resp_head)
			px_outlier(r, 504, true);
		px_req_leave(r, false);
		if (r->started) {
			r->flags = "UT";
			px_client_abort(r->c);
		} else {
			stop_timers(r);
			px_reply(r, 504, "UT", PX_BODY_UT);
		}
		return true;
	}
	if (r->try_timed_out) {
		r->try_timed_out = false;
		if (!r->started) {
			px_req_failed(r, PX_FAIL_TRY_TIMEOUT);
			return true;
		}
	}
	return false;
}

/* Answer out, request in: the connection is at a boundary. */
static bool finish(struct px_req *r)
{
	struct px_client *c = r->c;

	px_buf_use(c->w, &c->s.in, r->vetted); /* was not wanted any more */
	r->vetted = 0;
	if (!r->body.done && !c->close && !c->conn) {
		if (r->up && !up_reusable(r))
			px_req_leave(r, false); /* it does not get the rest of the request */
		return px_relay_discard(r);
	}
	r->answered = true;
	px_req_end(r);
	px_client_next(c);
	return !c->closed;
}

static bool exchange(struct px_req *r)
{
	struct px_client *c = r->c;
	bool moved = false;

	if (!r->resp_done) {
		moved = px_relay_request(r);
		if (c->closed || r->state != PX_REQ_EXCHANGE || c->state != PX_CLIENT_REQUEST)
			return moved;
		moved |= px_relay_response(r);
		if (c->closed || r->state != PX_REQ_EXCHANGE || c->state != PX_CLIENT_REQUEST)
			return true;
	}
	if (!r->resp_done)
		return moved;
	return px_client_flushed(c) ? finish(r) : false;
}

bool px_req_run(struct px_req *r)
{
	struct px_client *c = r->c;

	if (c->s.werror || c->s.error || c->peer_gone) {
		r->flags = "DC";
		px_client_close(c, false);
		return false;
	}
	if (timeouts(r))
		return !c->closed;
	switch (r->state) {
	case PX_REQ_DELAY:
	case PX_REQ_PENDING:
	case PX_REQ_BACKOFF:
		return false;
	case PX_REQ_CONNECT:
		return try_connected(r);
	case PX_REQ_EXCHANGE:
		return exchange(r);
	case PX_REQ_REPLY:
		return px_client_flushed(c) ? finish(r) : false;
	}
	return false;
}
