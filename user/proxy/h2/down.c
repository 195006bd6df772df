// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/2 connections of clients: by prior knowledge or after "Upgrade: h2c". Each stream becomes a
 * px_client below the connection's.
 */
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"

/* Between the announcement of GOAWAY and GOAWAY itself: streams that were on their way arrive. */
#define DRAIN_NOTICE_MS 200

/* ---- streams ---- */

static struct px_client *stream_client(struct px_client *conn, struct hr_h2_stream *s)
{
	struct px_client *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct px_client){
		.w = conn->w,
		.s.fd = -1,
		.s.readable = true,
		.s.writable = true,
		.state = PX_CLIENT_HEAD,
		.cookie = conn->cookie,
		.netns = conn->netns,
		.dst = conn->dst,
		.dst_port = conn->dst_port,
		.src = conn->src,
		.src_port = conn->src_port,
		.source = conn->source,
		.workload = conn->workload,
		.proto = conn->proto,
		.http_seen = true,
		.why = conn->why,
		.conn = conn,
		.stream = s,
	};
	hr_list_init(&c->link);
	s->user = c;
	px_client_start(c);
	return c;
}

size_t px_h2_stream_read(struct px_client *c)
{
	size_t n = px_h2_read(c->w, c->stream, &c->s);

	if (n)
		px_h2_touch(c->conn->h2); /* room for more is announced */
	return n;
}

size_t px_h2_stream_write(struct px_client *c, const char *p, size_t n)
{
	size_t before = px_out_len(&c->out), took = px_h2_write(c->stream, &c->out, p, n);

	if (took || px_out_len(&c->out) != before)
		px_h2_touch(c->conn->h2);
	return took;
}

void px_h2_stream_end(struct px_client *c, bool reset)
{
	struct hr_h2_stream *s = TAKE_PTR(c->stream);

	px_h2_touch(c->conn->h2);
	hr_h2_done(s, reset || !c->peer_gone ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL);
}

/* ---- connections ---- */

static bool begin(struct px_client *c)
{
	struct px_h2 *x = calloc(1, sizeof(*x));

	if (!x || hr_h2_new(&x->h, HR_H2_SERVER, hr_loop_now(c->w->loop))) {
		free(x);
		return false;
	}
	x->w = c->w;
	x->c = c;
	hr_list_init(&x->dirty);
	hr_list_init(&x->link);
	hr_list_init(&x->streams);
	c->h2 = x;
	c->state = PX_CLIENT_H2;
	c->http_seen = true;
	if (c->w->going)
		px_h2_down_drain(c);
	px_h2_touch(x);
	return true;
}

bool px_h2_start(struct px_client *c)
{
	px_req_free(TAKE_PTR(c->req));
	c->head_since = 0;
	if (begin(c))
		return true;
	px_client_close(c, true);
	return false;
}

static bool upgrade_wanted(const struct px_client *c)
{
	const struct hr_http_msg *m = &c->req->msg;
	const struct hr_http_field *settings = hr_http_find(m, HR_SLICE("http2-settings"), NULL);

	if (!m->upgrade || c->conn || c->relay || c->w->going || !settings ||
	    hr_http_find(m, HR_SLICE("http2-settings"), settings))
		return false;
	return hr_http_has_token(hr_http_get(m, HR_SLICE("upgrade")), HR_SLICE("h2c")) &&
	       hr_http_has_token(hr_http_get(m, HR_SLICE("connection")),
				 HR_SLICE("http2-settings")) &&
	       (m->framing == HR_BODY_NONE || (m->framing == HR_BODY_LENGTH && !m->content_length));
}

bool px_h2_upgrade(struct px_client *c)
{
	const struct hr_http_msg *m = &c->req->msg;
	struct hr_h2_stream *s;
	struct px_client *sc;

	if (!upgrade_wanted(c) || !begin(c))
		return false;
	if (hr_h2_upgrade(c->h2->h, hr_http_get(m, HR_SLICE("http2-settings")),
			  hr_slice_eq(hr_http_str(m, m->method), HR_SLICE("HEAD")), &s)) {
		px_h2_down_end(c); /* the settings are none: HTTP/1.1 it stays */
		return false;
	}
	sc = stream_client(c, s);
	if (!sc) {
		px_client_close(c, true);
		return true;
	}
	px_out_lit(&c->out, "HTTP/1.1 101 Switching Protocols\r\n"
			    "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
	sc->req = TAKE_PTR(c->req);
	sc->req->c = sc;
	px_client_begin(sc);
	px_client_run(sc);
	return true;
}

/* Streams that changed: new ones get a client, those of others go on. */
static void deliver(struct px_client *c)
{
	struct hr_h2_stream *s;

	while (!c->closed && (s = hr_h2_next(c->h2->h))) {
		struct px_client *sc = s->user;

		if (!sc && s->reset) {
			hr_h2_done(s, NGHTTP2_NO_ERROR);
			continue;
		}
		if (!sc)
			sc = stream_client(c, s);
		if (!sc) {
			hr_h2_done(s, NGHTTP2_INTERNAL_ERROR);
			continue;
		}
		sc->s.readable = true;
		sc->peer_gone |= s->reset;
		px_client_run(sc);
	}
}

/* One write: what does not go out stays in the connection's own queue. */
static void flush(struct px_client *c)
{
	struct px_h2 *x = c->h2;

	for (int i = 0; i < PX_TURNS; i++) {
		struct hr_slice out = hr_h2_out(x->h);
		size_t took = px_client_write(c, out.p, out.n);

		hr_h2_out_used(x->h, took);
		if (!took || took < out.n || out.n < HR_H2_OUT_HIGH)
			return;
	}
	px_h2_touch(x); /* others first */
}

/* The connection ends when it is broken, or both have said all. */
static bool over(struct px_client *c)
{
	struct px_h2 *x = c->h2;

	if (c->s.error || c->s.werror || c->s.eof || c->peer_gone) {
		px_client_close(c, false);
		return true;
	}
	if (!hr_h2_over(x->h) || px_out_len(&c->out) || hr_h2_out(x->h).n)
		return false;
	if (hr_h2_flood(x->h))
		hr_warn("HTTP/2: connection closed: %s", hr_h2_flood(x->h));
	px_h2_down_end(c);
	px_client_linger(c);
	return true;
}

bool px_h2_down_run(struct px_client *c)
{
	struct px_h2 *x = c->h2;
	bool got = false;

	if (!c->w->hold)
		return false;
	if (px_buf_len(&c->s.in) || px_client_read(c)) {
		got = true;
		hr_h2_recv(x->h, px_buf_at(&c->s.in), px_buf_len(&c->s.in),
			   hr_loop_now(c->w->loop));
		px_buf_drop(c->w, &c->s.in);
		px_client_progress(c);
		px_h2_touch(x);
	}
	deliver(c);
	if (x->due) {
		x->due = false;
		flush(c);
		deliver(c);
	} else if (c->s.writable) {
		px_h2_touch(x);
	}
	if (c->closed || over(c))
		return !c->closed;
	if (!hr_h2_in_block(x->h)) {
		c->head_since = 0;
	} else if (!c->head_since) {
		c->head_since = hr_loop_now(c->w->loop);
		px_client_wake_at(c, c->w->px->opts.header_timeout_ms);
	}
	return got;
}

/* ---- time, and the end ---- */

uint64_t px_h2_down_due(const struct px_client *c)
{
	const struct hr_proxy_opts *o = &c->w->px->opts;

	if (c->head_since) /* a header block that does not end */
		return c->head_since + o->header_timeout_ms;
	/* streams have their own time */
	if (hr_h2_any(c->h2->h))
		return hr_loop_now(c->w->loop) + o->idle_timeout_ms;
	return c->progress + o->idle_timeout_ms;
}

static void drained(void *ctx)
{
	struct px_h2 *x = ctx;

	hr_h2_goaway(x->h, true);
	px_h2_touch(x);
}

void px_h2_down_drain(struct px_client *c)
{
	struct px_h2 *x = c->h2;

	if (x->draining)
		return;
	x->draining = true;
	hr_h2_goaway(x->h, false);
	hr_timer_start(c->w->loop, &x->timer, DRAIN_NOTICE_MS, drained, x);
	px_h2_touch(x);
}

void px_h2_down_end(struct px_client *c)
{
	struct px_h2 *x = c->h2;
	struct hr_h2_stream *s;

	while ((s = hr_h2_any(x->h))) {
		struct px_client *sc = s->user;

		if (!sc) {
			hr_h2_done(s, NGHTTP2_CANCEL);
			continue;
		}
		sc->peer_gone = true;
		if (sc->req && sc->req->begun)
			sc->req->flags = "DC";
		px_client_close(sc, false);
	}
	c->h2 = NULL;
	hr_timer_stop(&x->timer);
	hr_list_del(&x->dirty);
	hr_h2_free(x->h);
	free(x);
}
