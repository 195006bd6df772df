// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/2 connections to servers: shared by the requests of one worker, from one namespace to one
 * address. A request's px_up is a stream of one of them.
 *
 *	px_pool.h2 -> px_h2 --carries-- px_up (socket)
 *	                \-- streams: px_up (stream) -- px_req
 */
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"

/* ---- which protocol ---- */

bool px_h2_upstream(const struct px_req *r)
{
	const struct hr_plan_cluster *k = r->cluster;
	bool client = r->c->conn != NULL;

	if (r->msg.upgrade && !client &&
	    !hr_http_has_token(hr_http_get(&r->msg, HR_SLICE("upgrade")), HR_SLICE("h2c")))
		return false; /* a WebSocket, say: only HTTP/1.1 has a way to say that */
	switch (k ? hr_plan_speaks(k) : HR_SPEAKS_AS_CLIENT) {
	case HR_SPEAKS_HTTP1:
		break;
	case HR_SPEAKS_HTTP2:
		return true;
	case HR_SPEAKS_AS_CLIENT:
		return client;
	}
	return false;
}

/* ---- maxConnections ---- */

/* The places of a cluster's connections are shared by all workers. While requests of others wait
 * for one, a worker gives new requests to its connection only half of the time, so that it can
 * become idle and leave its place to them; these look for it more often than that. */
#define TURN_MS 100

static struct hr_cluster_rt *rt_of(const struct px_h2 *x)
{
	return &x->w->px->cluster_rt[x->cluster];
}

/* UINT32_MAX: there is no bound. */
static uint32_t max_connections(const struct px_req *r)
{
	return r->cluster && r->cluster->pool ? px_limit(r->cluster->pool->max_connections)
					      : UINT32_MAX;
}

static bool place_take(struct px_h2 *x, const struct px_req *r)
{
	uint32_t max = max_connections(r), others;

	x->cluster = max == UINT32_MAX ? 0 : r->cluster_id;
	if (!x->cluster)
		return true;
	others = px_breaker_http1(rt_of(x));
	if (others >= max || !px_count_take(&rt_of(x)->h2_connections, max - others))
		return false;
	x->placed = true;
	x->placed_since = hr_loop_now(x->w->loop);
	return true;
}

static void place_leave(struct px_h2 *x)
{
	if (!x->placed)
		return;
	x->placed = false;
	__atomic_fetch_sub(&rt_of(x)->h2_connections, 1, __ATOMIC_RELAXED);
	px_breaker_wake(x->w, x->cluster);
}

static bool others_turn(const struct px_h2 *x)
{
	uint64_t age = hr_loop_now(x->w->loop) - x->placed_since;

	return age / TURN_MS % 2 && px_breaker_others_wait(x->w, x->cluster);
}

/* ---- life of a connection ---- */

void px_h2_up_free(struct px_h2 *x)
{
	place_leave(x);
	hr_timer_stop(&x->timer);
	hr_list_del(&x->dirty);
	hr_list_del(&x->link);
	if (x->u)
		px_up_close(TAKE_PTR(x->u));
	hr_h2_free(x->h);
	free(x);
}

static struct px_h2 *up_new(struct px_worker *w, struct px_pool *p)
{
	struct px_h2 *x = calloc(1, sizeof(*x));

	if (!x || hr_h2_new(&x->h, HR_H2_CLIENT, hr_loop_now(w->loop))) {
		free(x);
		return NULL;
	}
	x->w = w;
	x->idle_since = hr_loop_now(w->loop);
	hr_list_init(&x->dirty);
	hr_list_init(&x->streams);
	hr_list_add_head(&p->h2, &x->link);
	x->max_requests = p->conns.max_requests;
	x->max_streams = p->conns.max_streams;
	x->ping_ms = p->conns.ping_ms;
	x->pong_ms = p->conns.pong_ms ? p->conns.pong_ms : p->conns.ping_ms;
	x->max_age = p->conns.age_ms;
	x->max_idle = p->conns.idle_ms ? p->conns.idle_ms : UINT64_MAX;
	x->born = x->idle_since;
	x->u = px_up_new(w, p, NULL);
	if (!x->u) {
		px_h2_up_free(x);
		return NULL;
	}
	x->u->carries = x;
	return x;
}

/* No stream more; the connection ends with its last one. GOAWAY is said then: a server that hears
 * it before the head of the last request may close at once. */
static void retire(struct px_h2 *x)
{
	if (x->draining)
		return;
	x->draining = true;
	hr_list_del(&x->link);
	if (!x->n)
		hr_h2_goaway(x->h, true);
	px_h2_touch(x);
}

static bool has_room(const struct px_h2 *x)
{
	uint64_t max = hr_h2_peer_streams(x->h);

	if (x->max_streams)
		max = HR_MIN(max, x->max_streams);
	if (x->max_age && hr_loop_now(x->w->loop) - x->born >= x->max_age)
		return false;
	return !x->draining && x->u && x->u->state != PX_UP_FAILED && !x->u->s.hup && x->n < max;
}

/* ---- streams ---- */

/* A connection that has room and, if the cluster's number is bounded, a place: best one in use.
 * NULL with *full: there is no place. NULL: no memory. */
static struct px_h2 *conn_for(struct px_req *r, struct px_pool *p, bool *full)
{
	bool bounded = max_connections(r) != UINT32_MAX;
	uint32_t cluster = bounded ? r->cluster_id : 0;
	struct px_h2 *idle = NULL, *x;

	hr_list_for_each (l, &p->h2) {
		x = hr_list_entry(l, struct px_h2, link);
		if (bounded && x->cluster == cluster && others_turn(x)) {
			*full = true;
			return NULL;
		}
		if (r->fresh || !has_room(x))
			continue;
		if (x->n && x->cluster == cluster)
			return x;
		if (!x->n && !idle)
			idle = x;
		if (idle && !bounded)
			break;
	}
	if (bounded && px_breaker_behind(r)) {
		*full = true;
		return NULL;
	}
	x = idle ? idle : up_new(r->c->w, p);
	if (!x || place_take(x, r))
		return x;
	*full = true;
	if (x != idle)
		px_h2_up_free(x);
	return NULL;
}

struct px_up *px_h2_up_get(struct px_req *r, bool *full)
{
	const struct hr_plan_conns *conns = r->cluster ? &r->cluster->conns : NULL;
	struct px_worker *w = r->c->w;
	struct px_pool *p = px_pool_of(w, r->c->netns, &r->addr, r->port, conns);
	struct px_up *u = calloc(1, sizeof(*u));
	struct px_h2 *x = p && u ? conn_for(r, p, full) : NULL;

	if (!x)
		goto fail;
	*u = (struct px_up){.w = w,
			    .pool = p,
			    .owner = r->c,
			    .s.fd = -1,
			    .s.readable = true,
			    .s.writable = true,
			    .state = x->ready ? PX_UP_READY : PX_UP_CONNECTING,
			    .h2 = x,
			    .stream = hr_h2_open(x->h, u)};
	if (!u->stream) {
		if (!x->n)
			place_leave(x);
		goto fail;
	}
	hr_list_add_tail(&x->streams, &u->link);
	x->n++;
	if (++x->nreq == x->max_requests)
		retire(x);
	if (x->u->state == PX_UP_FAILED) { /* at once: there is no event of that */
		u->state = PX_UP_FAILED;
		u->s.error = x->u->s.error;
		px_h2_touch(x);
	}
	return u;
fail:
	free(u);
	return NULL;
}

size_t px_h2_up_read(struct px_up *u)
{
	size_t n = px_h2_read(u->w, u->stream, &u->s);

	if (n)
		px_h2_touch(u->h2);
	else if (u->stream->reset && !u->s.error)
		u->s.error = ECONNRESET;
	return n;
}

size_t px_h2_up_write(struct px_up *u, struct px_out *o, const char *p, size_t n)
{
	size_t before = px_out_len(o), took = px_h2_write(u->stream, o, p, n);

	if (took || px_out_len(o) != before)
		px_h2_touch(u->h2);
	return took;
}

void px_h2_up_done(struct px_up *u)
{
	struct px_h2 *x = u->h2;

	hr_h2_done(TAKE_PTR(u->stream), NGHTTP2_CANCEL);
	hr_list_del(&u->link);
	px_buf_drop(u->w, &u->s.in);
	free(u);
	if (!--x->n) {
		place_leave(x);
		if (x->draining)
			hr_h2_goaway(x->h, true);
	}
	x->idle_since = hr_loop_now(x->w->loop);
	px_h2_touch(x); /* which also ends it when it was the last */
}

/* ---- events ---- */

/* The connection is lost, or was never made: its streams learn it. What they hold stays theirs. */
static void lost(struct px_h2 *x)
{
	bool made = x->ready;
	int error = x->u->s.error ? x->u->s.error : ECONNRESET;
	struct hr_list now;

	hr_list_del(&x->link);
	x->draining = true;
	px_up_close(TAKE_PTR(x->u));
	place_leave(x);
	hr_timer_stop(&x->timer);
	hr_list_init(&now);
	while (!hr_list_empty(&x->streams)) {
		struct px_up *u = hr_list_entry(x->streams.next, struct px_up, link);

		hr_list_del(&u->link);
		hr_list_add_tail(&now, &u->link);
		if (!made)
			u->state = PX_UP_FAILED;
		if (!made || !u->stream->in_end)
			u->s.error = error;
		u->stream->closed = true; /* what is written to it is dropped */
	}
	while (!hr_list_empty(&now)) {
		struct px_up *u = hr_list_entry(now.next, struct px_up, link);

		hr_list_del(&u->link);
		hr_list_add_tail(&x->streams, &u->link);
		px_client_run(u->owner);
	}
}

static void on_ping(void *ctx);

static void ping_again(struct px_h2 *x)
{
	if (x->ping_ms)
		hr_timer_start(x->w->loop, &x->timer, x->ping_ms, on_ping, x);
}

static void on_pong_due(void *ctx)
{
	struct px_h2 *x = ctx;

	if (hr_h2_pongs(x->h) != x->pongs) {
		ping_again(x);
		return;
	}
	hr_debug("HTTP/2: no answer to a ping: the connection is given up");
	x->u->s.error = ETIMEDOUT;
	px_h2_up_run(x);
}

static void on_ping(void *ctx)
{
	struct px_h2 *x = ctx;

	x->pongs = hr_h2_pongs(x->h);
	hr_h2_ping(x->h);
	px_h2_touch(x);
	hr_timer_start(x->w->loop, &x->timer, x->pong_ms, on_pong_due, x);
}

static void connected(struct px_h2 *x)
{
	struct hr_list now;

	x->ready = true;
	ping_again(x);
	px_h2_touch(x);
	hr_list_init(&now);
	while (!hr_list_empty(&x->streams)) {
		struct hr_list *l = x->streams.next;

		hr_list_del(l);
		hr_list_add_tail(&now, l);
	}
	while (!hr_list_empty(&now)) {
		struct px_up *u = hr_list_entry(now.next, struct px_up, link);

		hr_list_del(&u->link);
		hr_list_add_tail(&x->streams, &u->link);
		u->state = PX_UP_READY;
		px_client_run(u->owner);
	}
}

static void deliver(struct px_h2 *x)
{
	struct hr_h2_stream *s;

	while ((s = hr_h2_next(x->h))) {
		struct px_up *u = s->user;

		if (!u)
			continue;
		u->s.readable = true;
		u->refused |= s->refused;
		px_client_run(u->owner);
	}
}

static void receive(struct px_h2 *x)
{
	struct px_side *s = &x->u->s;

	for (int i = 0; px_side_read(x->w, s); i++) {
		hr_h2_recv(x->h, px_buf_at(&s->in), px_buf_len(&s->in), hr_loop_now(x->w->loop));
		px_buf_drop(x->w, &s->in);
		px_h2_touch(x);
		deliver(x);
		if (i == PX_TURNS)
			break; /* the flush comes back to it */
	}
}

static void flush(struct px_h2 *x)
{
	struct px_out none = {};

	for (int i = 0; i < PX_TURNS; i++) {
		struct hr_slice out = hr_h2_out(x->h);
		size_t took = px_side_write(&x->u->s, &none, out.p, out.n, SIZE_MAX);

		hr_h2_out_used(x->h, took);
		if (!took || took < out.n || out.n < HR_H2_OUT_HIGH)
			return;
	}
	px_h2_touch(x);
}

static bool broken(struct px_h2 *x)
{
	struct px_up *u = x->u;

	if (hr_h2_flood(x->h))
		hr_warn("HTTP/2: server's connection closed: %s", hr_h2_flood(x->h));
	return u->state == PX_UP_FAILED || u->s.eof || u->s.error || u->s.werror ||
	       (hr_h2_over(x->h) && !hr_h2_out(x->h).n);
}

static void step(struct px_h2 *x)
{
	if (!x->u)
		return;
	if (x->u->state == PX_UP_READY && !x->ready)
		connected(x);
	if (x->ready)
		receive(x);
	deliver(x);
	if (x->due && x->ready) {
		x->due = false;
		flush(x);
		deliver(x);
	} else if (x->ready && x->u->s.writable) {
		px_h2_touch(x);
	}
	if (!hr_h2_peer_streams(x->h) && !hr_list_empty(&x->link)) {
		hr_list_del(&x->link); /* the server said GOAWAY */
		x->draining = true;
	}
	if (broken(x))
		lost(x);
}

void px_h2_up_run(struct px_h2 *x)
{
	if (x->running) {
		x->rerun = true;
		return;
	}
	x->running = true;
	do {
		x->rerun = false;
		step(x);
	} while (x->rerun);
	x->running = false;
	if (!x->n && (x->draining || !x->u))
		px_h2_up_free(x);
}

void px_h2_pool_sweep(struct px_pool *p, bool gone, uint64_t now)
{
	hr_list_for_each (l, &p->h2) {
		struct px_h2 *x = hr_list_entry(l, struct px_h2, link);

		if (!x->n && !x->running &&
		    now - x->idle_since >= (gone ? 1000 : HR_UPSTREAM_IDLE_MS))
			retire(x);
	}
}

void px_h2_pool_retire(struct px_pool *p)
{
	while (!hr_list_empty(&p->h2))
		retire(hr_list_entry(p->h2.next, struct px_h2, link));
}

void px_h2_pool_close(struct px_pool *p)
{
	while (!hr_list_empty(&p->h2))
		px_h2_up_free(hr_list_entry(p->h2.next, struct px_h2, link));
}
