// SPDX-License-Identifier: Apache-2.0
/*
 * One client: reads request heads, runs one request after the other in order, and ends the
 * connection so that the last answer arrives.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"

static void on_timer(void *ctx);

/* ---- life ---- */

void px_client_wake_at(struct px_client *c, uint32_t ms)
{
	hr_timer_start(c->w->loop, &c->timer, ms, on_timer, c);
}

static void on_again(void *ctx)
{
	px_client_run(ctx);
}

static void again(struct px_client *c)
{
	if (!hr_timer_running(&c->again))
		hr_timer_start(c->w->loop, &c->again, 0, on_again, c);
}

struct px_client *px_client_new(struct px_worker *w, int fd, const struct hr_door *door,
				uint64_t netns)
{
	struct px_client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct px_client){.w = w,
				.s.fd = fd,
				.state = PX_CLIENT_HEAD,
				.netns = netns,
				.cookie = door->conn,
				.proto = door->proto,
				.dst_port = ntohs(door->dst_port_be),
				.source = px_source_get(w->px, door->workload),
				.workload = door->workload,
				.why = (uint16_t)door->why};
	memcpy(c->dst.ip, door->dst_ip, sizeof(c->dst.ip));
	hr_list_add_tail(&w->clients, &c->link);
	PX_COUNT(w->connections);
	atomic_fetch_add_explicit(&w->px->n_clients, 1, memory_order_relaxed);
	px_client_start(c);
	return c;
}

void px_client_start(struct px_client *c)
{
	px_client_progress(c);
	hr_timer_start(c->w->loop, &c->timer, c->w->px->opts.idle_timeout_ms, on_timer, c);
}

static void client_free(struct px_client *c)
{
	px_req_free(TAKE_PTR(c->req));
	if (c->mirror) {
		hr_list_del(&c->link);
		c->w->n_mirrors--;
		px_source_put(c->source);
		px_out_free(&c->out);
		free(c);
		return;
	}
	px_out_free(&c->out);
	if (!c->conn) {
		hr_list_del(&c->link);
		PX_ADD(c->w->connections, -1);
		atomic_fetch_sub_explicit(&c->w->px->n_clients, 1, memory_order_relaxed);
		px_source_put(c->source);
		free(c->sni);
	}
	free(c);
}

void px_client_close(struct px_client *c, bool reset)
{
	if (c->closed)
		return;
	c->closed = true;
	hr_timer_stop(&c->timer);
	hr_timer_stop(&c->again);
	if (c->req && c->req->begun)
		px_req_end(c->req);
	px_tunnel_end(c);
	if (c->stream)
		px_h2_stream_end(c, reset);
	if (c->h2)
		px_h2_down_end(c);
	if (c->relay)
		px_relay_client_done(c);
	if (c->g)
		px_g_detach(c);
	px_side_close(c->w, &c->s, reset);
	if (!c->running)
		client_free(c);
}

size_t px_client_read(struct px_client *c)
{
	if (c->mirror)
		return 0; /* all of it is there */
	if (c->stream)
		return px_h2_stream_read(c);
	return c->g ? px_g_read(c) : px_side_read(c->w, &c->s);
}

size_t px_client_write(struct px_client *c, const char *p, size_t n)
{
	size_t before = px_out_len(&c->out), took;

	if (c->mirror) {
		px_out_reset(&c->out);
		return n;
	}
	if (c->stream)
		took = px_h2_stream_write(c, p, n);
	else if (c->g)
		took = px_g_write(c, p, n);
	else
		took = px_side_write(&c->s, &c->out, p, n, SIZE_MAX);
	if (took || px_out_len(&c->out) != before)
		px_client_progress(c);
	return took;
}

bool px_client_flushed(struct px_client *c)
{
	px_client_write(c, NULL, 0);
	return !px_out_len(&c->out) && !(c->stream && hr_h2_pending(c->stream));
}

/* ---- the end ---- */

/* What is queued goes out, then our FIN; then the client's bytes are read and dropped for a while,
 * or a reset caused by them would overtake the answer. */
void px_client_linger(struct px_client *c)
{
	c->state = PX_CLIENT_LINGER;
	px_buf_drop(c->w, &c->s.in);
	hr_timer_start(c->w->loop, &c->timer, PX_LINGER_MS, on_timer, c);
}

static bool linger(struct px_client *c)
{
	px_client_write(c, NULL, 0);
	if (px_out_len(&c->out) && !c->s.werror)
		return false;
	if (!c->s.shut)
		px_client_shutdown(c);
	while (px_client_read(c))
		px_buf_drop(c->w, &c->s.in);
	if (c->s.eof || c->s.error || c->s.werror || (c->g && c->peer_gone))
		px_client_close(c, false);
	return false;
}

void px_client_shutdown(struct px_client *c)
{
	if (c->g) {
		c->s.shut = true;
		px_g_shutdown(c);
		return;
	}
	px_side_shutdown(&c->s);
}

void px_client_abort(struct px_client *c)
{
	/* an answer whose end is the end of the connection must not look complete */
	bool reset = c->req && c->req->started && c->req->mode == PX_BODY_PAYLOAD;

	px_client_close(c, reset);
}

void px_client_next(struct px_client *c)
{
	px_out_reset(&c->out);
	px_req_free(TAKE_PTR(c->req));
	px_client_progress(c);
	c->state = PX_CLIENT_HEAD;
	if (c->relay || c->mirror || c->conn)
		px_client_close(c, false);
	else if (c->close || c->w->draining)
		px_client_linger(c);
}

/* ---- heads ---- */

static const char h2_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* 1: it is, 0: cannot say yet, -1: no. */
static int h2_preface_check(const struct px_client *c)
{
	size_t n = HR_MIN(px_buf_len(&c->s.in), sizeof(h2_preface) - 1);

	if (c->http_seen || !n || memcmp(px_buf_at(&c->s.in), h2_preface, n))
		return -1;
	return n == sizeof(h2_preface) - 1;
}

static void head_error(struct px_client *c, const struct hr_http_error *e)
{
	px_req_bad(c, e);
	c->state = PX_CLIENT_REQUEST;
}

void px_client_begin(struct px_client *c)
{
	c->http_seen = true;
	c->state = PX_CLIENT_REQUEST;
	px_req_begin(c);
}

/* The head leaves the input buffer, so that the body can flow through it. */
static void head_complete(struct px_client *c)
{
	struct px_req *r = c->req;
	size_t n = r->msg.head_len;

	if (r->head_cap < n) {
		char *p = realloc(r->head, n);

		if (!p) {
			px_client_close(c, true);
			return;
		}
		r->head = p;
		r->head_cap = n;
	}
	memcpy(r->head, px_buf_at(&c->s.in), n);
	r->msg.base = r->head;
	px_buf_use(c->w, &c->s.in, n);
	if (!px_h2_upgrade(c))
		px_client_begin(c);
}

static bool parse(struct px_client *c)
{
	struct px_req *r = c->req;
	int h2;

	if (!r) {
		r = c->req = px_req_new(c);
		if (!r) {
			px_client_close(c, true);
			return false;
		}
	}
	if (c->stream && c->stream->error.status) {
		head_error(c, &c->stream->error);
		return true;
	}
	h2 = h2_preface_check(c);
	if (h2 > 0)
		return px_h2_start(c);
	if (h2 == 0 && px_buf_len(&c->s.in) >= 4)
		return false; /* "PRI " is no method of HTTP/1 */
	switch (hr_http_parse(&r->msg, px_buf_at(&c->s.in), px_buf_len(&c->s.in))) {
	case HR_HTTP_OK:
		head_complete(c);
		return true;
	case HR_HTTP_ERROR:
		head_error(c, &r->msg.error);
		return true;
	case HR_HTTP_MORE:
		break;
	}
	return false;
}

static bool head(struct px_client *c)
{
	bool have = (px_buf_len(&c->s.in) && !c->head_partial) ||
		    (c->stream && c->stream->error.status);

	/* After a take-over requests come before the first plan: they wait (px_plan_adopt). */
	if (!c->w->hold)
		return false;
	if (!have && !px_client_read(c)) {
		if (c->s.eof || c->s.error || c->peer_gone)
			px_client_close(c, false);
		else if (c->g && !c->req && px_g_release(c))
			px_client_close(c, false);
		else if (!c->g && !c->req && c->w->draining)
			px_client_close(c, false); /* between two requests */
		return false;
	}
	px_client_progress(c);
	c->head_partial = false;
	if (parse(c))
		return true;
	if (c->closed)
		return false;
	if (!c->head_since) {
		c->head_since = hr_loop_now(c->w->loop);
		px_client_wake_at(c, c->w->px->opts.header_timeout_ms);
	}
	c->head_partial = true;
	return c->s.readable;
}

/* ---- time ---- */

static void on_timer(void *ctx)
{
	static const struct hr_http_error slow = {408, "request head too slow"};
	static const struct hr_http_error stalled = {408, "request stalled"};
	struct px_client *c = ctx;
	uint64_t now = hr_loop_now(c->w->loop);
	uint64_t idle = c->w->px->opts.idle_timeout_ms, due;

	if (c->state == PX_CLIENT_TUNNEL)
		idle = c->tunnel_idle_ms;
	due = idle ? c->progress + idle : UINT64_MAX;

	if (c->state == PX_CLIENT_LINGER) {
		if (c->g && !c->peer_gone) { /* its bytes are ours until it closes */
			hr_timer_start(c->w->loop, &c->timer, PX_LINGER_MS, on_timer, c);
			return;
		}
		px_client_close(c, px_out_len(&c->out) != 0);
		return;
	}
	if ((c->state == PX_CLIENT_HEAD || c->state == PX_CLIENT_HELLO) && c->head_since)
		due = c->head_since + c->w->px->opts.header_timeout_ms;
	if (c->state == PX_CLIENT_H2)
		due = px_h2_down_due(c);
	if (now < due) {
		if (due != UINT64_MAX)
			hr_timer_start(c->w->loop, &c->timer, due - now, on_timer, c);
		return;
	}
	if (c->state == PX_CLIENT_HEAD && c->req) {
		head_error(c, &slow);
		px_client_run(c);
	} else if (c->state == PX_CLIENT_REQUEST) {
		px_req_stalled(c->req, &stalled);
		px_client_run(c);
	} else {
		px_client_close(c, false);
	}
}

/* ---- events ---- */

/* Its FIN has come while a request of it is under way: a close, or "that was all I have to ask"? */
static void look_at_end(struct px_client *c)
{
	struct hr_kern *kern = c->w->px->opts.kern;

	if (!c->s.hup || c->end_asked || c->g || !kern || !c->cookie)
		return;
	c->end_asked = true;
	if (hr_kern_door_closed(kern, c->cookie, c->w->index))
		c->peer_gone = true;
}

static bool step(struct px_client *c)
{
	switch (c->state) {
	case PX_CLIENT_NEW:
		px_tunnel_open(c);
		return !c->closed;
	case PX_CLIENT_DETECT:
		return px_tunnel_detect(c);
	case PX_CLIENT_HELLO:
		return px_tunnel_hello(c);
	case PX_CLIENT_HEAD:
		return head(c);
	case PX_CLIENT_REQUEST:
		c->head_since = 0;
		look_at_end(c);
		return px_req_run(c->req);
	case PX_CLIENT_TUNNEL:
		return px_tunnel_run(c);
	case PX_CLIENT_LINGER:
		return linger(c);
	case PX_CLIENT_H2:
		return px_h2_down_run(c);
	}
	return false;
}

void px_client_run(struct px_client *c)
{
	unsigned turns = 0;

	if (c->running) {
		c->rerun = true;
		return;
	}
	c->running = true;
	do {
		c->rerun = false;
		while (!c->closed && step(c)) {
			if (++turns >= 2 * HR_REQS_PER_TURN) {
				again(c); /* others first */
				c->rerun = false;
				break;
			}
		}
	} while (c->rerun && !c->closed);
	c->running = false;
	if (c->closed)
		client_free(c);
}

void px_clients_run(struct px_worker *w)
{
	hr_list_for_each (l, &w->clients)
		px_client_run(hr_list_entry(l, struct px_client, link));
}

static void on_client(void *ctx, uint32_t events)
{
	struct px_client *c = ctx;

	px_side_event(&c->s, events);
	if (events & (EPOLLHUP | EPOLLERR))
		c->peer_gone = true;
	px_client_run(c);
}

struct closed {
	struct px_worker *w;
	uint64_t cookie;
};

static void closed(void *ctx)
{
	_cleanup_free_ struct closed *m = ctx;

	hr_list_for_each (l, &m->w->clients) {
		struct px_client *c = hr_list_entry(l, struct px_client, link);

		if (c->cookie != m->cookie || c->g)
			continue;
		c->peer_gone = true;
		px_client_run(c);
		return;
	}
}

void px_client_closed(struct px_worker *w, uint64_t cookie)
{
	struct closed *m = malloc(sizeof(*m));

	if (!m)
		return; /* it is seen when the answer is written */
	*m = (struct closed){w, cookie};
	if (hr_loop_post(w->loop, closed, m) < 0)
		free(m);
}

void px_client_accept(struct px_worker *w, int fd, const struct hr_door *door, uint64_t netns,
		      const struct hr_addr *src, uint16_t src_port)
{
	struct px_client *c = px_client_new(w, fd, door, netns);
	int r;

	if (!c) {
		hr_closep(&fd);
		return;
	}
	c->src = *src;
	c->src_port = src_port;
	c->s.writable = true;
	r = px_side_watch(w->loop, &c->s, on_client, c);
	if (r) {
		hr_err("cannot watch a connection: %s", strerror(-r));
		px_client_close(c, true);
		return;
	}
	if (c->proto == HR_PROTO_TCP || c->proto == HR_PROTO_AUTO) {
		c->state = PX_CLIENT_NEW;
		px_client_run(c);
	}
}
