// SPDX-License-Identifier: Apache-2.0
/*
 * One HTTP/2 connection: nghttp2's session, its callbacks, and the streams' buffers.
 */
#include "http/h2.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "http/h2int.h"

/* Allocation that a buffer keeps when it is empty. */
#define BUF_KEEP 4096
/* Bytes given to nghttp2 at once: a flood that was noticed goes on for no longer. Its own limits on
 * what we count ourselves are set to be met later than that. */
#define PIECE 4096

/* ---- buffers ---- */

void hr_h2_buf_add(struct hr_h2_buf *b, const void *p, size_t n)
{
	size_t cap = HR_MAX(b->cap, (size_t)256);

	if (!n)
		return;
	if (b->off && b->len + n > b->cap) {
		memmove(b->p, b->p + b->off, b->len - b->off);
		b->len -= b->off;
		b->off = 0;
	}
	while (cap < b->len + n)
		cap *= 2;
	if (cap > b->cap) {
		char *q = realloc(b->p, cap);

		if (!q) {
			hr_err("out of memory");
			abort();
		}
		b->p = q;
		b->cap = cap;
	}
	memcpy(b->p + b->len, p, n);
	b->len += n;
}

void hr_h2_buf_use(struct hr_h2_buf *b, size_t n)
{
	b->off += n;
	if (b->off < b->len)
		return;
	b->off = b->len = 0;
	if (b->cap > BUF_KEEP) {
		free(b->p);
		*b = (struct hr_h2_buf){};
	}
}

/* ---- streams ---- */

struct hr_h2_stream *hr_h2_stream_new(struct hr_h2 *h, int32_t id, void *user)
{
	struct hr_h2_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->h = h;
	s->id = id;
	s->user = user;
	s->opened_ms = h->now_ms;
	s->grpc_status = -1;
	hr_list_add_tail(&h->streams, &s->link);
	hr_list_init(&s->ready);
	return s;
}

void hr_h2_stream_free(struct hr_h2_stream *s)
{
	struct hr_h2_buf *const bufs[] = {&s->text,    &s->data,     &s->front, &s->fields,
					  &s->cookies, &s->trailers, &s->out,	&s->out_text};

	if (s->unread)
		nghttp2_session_consume_connection(s->h->session, s->unread);
	for (size_t i = 0; i < HR_ARRAY_SIZE(bufs); i++)
		free(bufs[i]->p);
	hr_list_del(&s->link);
	hr_list_del(&s->ready);
	free(s);
}

void hr_h2_mark(struct hr_h2_stream *s)
{
	if (!s->orphan && hr_list_empty(&s->ready))
		hr_list_add_tail(&s->h->ready, &s->ready);
}

static struct hr_h2_stream *stream_of(struct hr_h2 *h, int32_t id)
{
	return id > 0 ? nghttp2_session_get_stream_user_data(h->session, id) : NULL;
}

/* ---- callbacks: what comes ---- */

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *ctx)
{
	(void)session;
	hr_h2_limit_begin(ctx, hd);
	return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *f, void *ctx)
{
	struct hr_h2 *h = ctx;
	struct hr_h2_stream *s = stream_of(h, f->hd.stream_id);

	if (f->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (h->flood)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (!s && h->role == HR_H2_SERVER && f->headers.cat == NGHTTP2_HCAT_REQUEST) {
		s = hr_h2_stream_new(h, f->hd.stream_id, NULL);
		if (!s)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		nghttp2_session_set_stream_user_data(session, s->id, s);
		hr_h2_limit_opened(h);
	}
	h->in_block = true;
	if (s)
		hr_h2_block_begin(s);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name,
		     size_t nname, const uint8_t *value, size_t nvalue, uint8_t flags, void *ctx)
{
	struct hr_h2_stream *s = stream_of(ctx, f->hd.stream_id);

	(void)session;
	(void)flags;
	if (s)
		hr_h2_block_field(s, (struct hr_slice){(const char *)name, nname},
				  (struct hr_slice){(const char *)value, nvalue});
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
		   void *ctx)
{
	struct hr_h2_stream *s = stream_of(ctx, id);

	(void)flags;
	if (s && s->framing == HR_BODY_LENGTH) {
		if (n > s->left) { /* nghttp2 has looked at it; the text must never be longer */
			nghttp2_session_consume_connection(session, n);
			return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id,
							 NGHTTP2_PROTOCOL_ERROR);
		}
		s->left -= n;
	}
	if (!s || s->orphan || s->framing == HR_BODY_NONE) {
		nghttp2_session_consume_connection(session, n);
		return 0;
	}
	if (s->grpc)
		hr_grpc_messages(&s->messages, p, n);
	hr_h2_buf_add(&s->data, p, n);
	s->unread += (uint32_t)n;
	hr_h2_mark(s);
	return 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *f, void *ctx)
{
	struct hr_h2 *h = ctx;
	struct hr_h2_stream *s = stream_of(h, f->hd.stream_id);
	bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;

	(void)session;
	hr_h2_limit_recv(h, f);
	switch (f->hd.type) {
	case NGHTTP2_HEADERS:
		h->in_block = false;
		if (s)
			hr_h2_block_end(s, end);
		break;
	case NGHTTP2_DATA:
		break;
	case NGHTTP2_RST_STREAM:
		hr_h2_limit_reset(h, s);
		return 0;
	case NGHTTP2_PING:
		h->pongs += f->hd.flags & NGHTTP2_FLAG_ACK;
		return 0;
	case NGHTTP2_SETTINGS:
		h->settled |= !(f->hd.flags & NGHTTP2_FLAG_ACK);
		return 0;
	default:
		return 0;
	}
	if (s && end)
		s->in_end = true;
	if (s)
		hr_h2_mark(s);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx)
{
	struct hr_h2 *h = ctx;
	struct hr_h2_stream *s = stream_of(h, id);

	(void)session;
	if (!s)
		return 0;
	s->closed = true;
	s->code = code;
	s->reset = !s->in_end || (h->role == HR_H2_SERVER && !s->out_sent);
	s->refused = s->reset && code == NGHTTP2_REFUSED_STREAM;
	hr_h2_buf_use(&s->out, hr_h2_buf_len(&s->out));
	if (s->orphan)
		hr_h2_stream_free(s);
	else
		hr_h2_mark(s);
	return 0;
}

/* ---- callbacks: what goes ---- */

static ssize_t on_send(nghttp2_session *session, const uint8_t *p, size_t n, int flags, void *ctx)
{
	struct hr_h2 *h = ctx;

	(void)session;
	(void)flags;
	if (hr_h2_buf_len(&h->out) >= HR_H2_OUT_HIGH)
		return NGHTTP2_ERR_WOULDBLOCK;
	hr_h2_buf_add(&h->out, p, n);
	return (ssize_t)n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *f, const uint8_t *framehd,
			size_t n, nghttp2_data_source *source, void *ctx)
{
	struct hr_h2 *h = ctx;
	struct hr_h2_stream *s = source->ptr;

	(void)session;
	(void)f;
	if (hr_h2_buf_len(&h->out) >= HR_H2_OUT_HIGH)
		return NGHTTP2_ERR_WOULDBLOCK;
	hr_h2_buf_add(&h->out, framehd, 9);
	hr_h2_buf_add(&h->out, hr_h2_buf_at(&s->out), n);
	hr_h2_buf_use(&s->out, n);
	h->earned += HR_H2_UPDATES_EARNED;
	if (s->blocked || !hr_h2_buf_len(&s->out)) {
		s->blocked = false;
		hr_h2_mark(s);
	}
	return 0;
}

/* Resets that answer what the peer did wrong. */
static bool provoked(uint32_t code)
{
	return code == NGHTTP2_PROTOCOL_ERROR || code == NGHTTP2_STREAM_CLOSED ||
	       code == NGHTTP2_FLOW_CONTROL_ERROR || code == NGHTTP2_REFUSED_STREAM ||
	       code == NGHTTP2_FRAME_SIZE_ERROR;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *f, void *ctx)
{
	struct hr_h2 *h = ctx;
	struct hr_h2_stream *s = stream_of(h, f->hd.stream_id);

	if (f->hd.type == NGHTTP2_RST_STREAM && provoked(f->rst_stream.error_code))
		hr_h2_limit_reset(h, s);
	if (!s || (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA) ||
	    !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	s->out_sent = true;
	hr_h2_mark(s);
	/* an answer before the request's end: the rest is not wanted (RFC 9113 section 8.1) */
	if (s->orphan && !s->in_end)
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
	return 0;
}

/* A request that is not sent any more: the peer has said GOAWAY, or its user left before. nghttp2
 * has the stream open, and closes it after this: we are not there any more. */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *f, int error, void *ctx)
{
	struct hr_h2 *h = ctx;

	if (h->role != HR_H2_CLIENT || f->hd.type != NGHTTP2_HEADERS)
		return 0;
	hr_list_for_each (l, &h->streams) {
		struct hr_h2_stream *s = hr_list_entry(l, struct hr_h2_stream, link);

		if (s->id != f->hd.stream_id || s->closed)
			continue;
		nghttp2_session_set_stream_user_data(session, s->id, NULL);
		s->closed = s->reset = true;
		s->refused = error == NGHTTP2_ERR_START_STREAM_NOT_ALLOWED ||
			     error == NGHTTP2_ERR_SESSION_CLOSING;
		s->code = s->refused ? NGHTTP2_REFUSED_STREAM : NGHTTP2_INTERNAL_ERROR;
		if (s->orphan)
			hr_h2_stream_free(s);
		else
			hr_h2_mark(s);
		break;
	}
	return 0;
}

/* ---- life ---- */

static int start(struct hr_h2 *h, nghttp2_session_callbacks *cb, nghttp2_option *o)
{
	const nghttp2_settings_entry client[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HR_H2_WINDOW},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HR_HEAD_MAX},
	};
	const nghttp2_settings_entry server[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HR_H2_STREAMS},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HR_H2_WINDOW},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HR_HEAD_MAX},
		{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
	};
	int r;

	nghttp2_session_callbacks_set_send_callback(cb, on_send);
	nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_not_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_max_outbound_ack(o, HR_H2_CONTROL_BURST + PIECE);
	nghttp2_option_set_max_continuations(o, PIECE);
	if (h->role == HR_H2_SERVER)
		r = nghttp2_session_server_new2(&h->session, cb, h, o);
	else
		r = nghttp2_session_client_new2(&h->session, cb, h, o);
	if (r)
		return -ENOMEM;
	r = h->role == HR_H2_SERVER ? nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, server,
							      HR_ARRAY_SIZE(server))
				    : nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, client,
							      HR_ARRAY_SIZE(client));
	if (!r)
		r = nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
							  HR_H2_CONN_WINDOW);
	return r ? -ENOMEM : 0;
}

int hr_h2_new(struct hr_h2 **out, enum hr_h2_role role, uint64_t now_ms)
{
	struct hr_h2 *h = calloc(1, sizeof(*h));
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *o = NULL;
	int r = -ENOMEM;

	if (!h)
		return -ENOMEM;
	h->role = role;
	h->now_ms = h->empty.since_ms = h->control.since_ms = now_ms;
	hr_list_init(&h->streams);
	hr_list_init(&h->ready);
	if (!nghttp2_session_callbacks_new(&cb) && !nghttp2_option_new(&o))
		r = start(h, cb, o);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(o);
	if (r)
		hr_h2_free(h);
	else
		*out = h;
	return r;
}

void hr_h2_free(struct hr_h2 *h)
{
	if (!h)
		return;
	hr_list_for_each (l, &h->streams) {
		struct hr_h2_stream *s = hr_list_entry(l, struct hr_h2_stream, link);

		s->unread = 0;
		hr_h2_stream_free(s);
	}
	nghttp2_session_del(h->session);
	free(h->out.p);
	free(h);
}

/* base64url without padding, as HTTP2-Settings has it; bytes written, -1: it is none. */
static int decode64(struct hr_slice in, uint8_t *out, size_t cap)
{
	static const char set[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t bits = 0, have = 0;
	size_t n = 0;

	while (in.n && in.p[in.n - 1] == '=')
		in.n--;
	for (size_t i = 0; i < in.n; i++) {
		const char *at = in.p[i] ? strchr(set, in.p[i]) : NULL;

		if (!at || n == cap)
			return -1;
		bits = bits << 6 | (uint32_t)(at - set);
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[n++] = (uint8_t)(bits >> have);
		}
	}
	return (int)n;
}

int hr_h2_upgrade(struct hr_h2 *h, struct hr_slice settings, bool head_request,
		  struct hr_h2_stream **out)
{
	uint8_t payload[32 * 6];
	int n = decode64(settings, payload, sizeof(payload));
	struct hr_h2_stream *s;

	if (n < 0 || n % 6)
		return -EINVAL;
	s = hr_h2_stream_new(h, 1, NULL);
	if (!s)
		return -ENOMEM;
	if (nghttp2_session_upgrade2(h->session, payload, (size_t)n, head_request, s)) {
		hr_h2_stream_free(s);
		return -EINVAL;
	}
	s->began = s->in_end = true;
	s->head_request = head_request;
	*out = s;
	return 0;
}

/* ---- bytes ---- */

static void calm(struct hr_h2 *h)
{
	if (!h->flood || h->calmed || h->broken)
		return;
	h->calmed = true;
	nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

int hr_h2_recv(struct hr_h2 *h, const char *p, size_t n, uint64_t now_ms)
{
	h->now_ms = now_ms;
	while (n && !h->broken && !h->flood) {
		size_t piece = HR_MIN(n, (size_t)PIECE);
		ssize_t r = nghttp2_session_mem_recv(h->session, (const uint8_t *)p, piece);

		if (r != (ssize_t)piece) {
			hr_debug("HTTP/2: %s",
				 r < 0 ? nghttp2_strerror((int)r) : "input is not taken");
			h->broken = true;
		}
		p += piece;
		n -= piece;
		calm(h);
	}
	return h->broken ? -EPROTO : 0;
}

struct hr_slice hr_h2_out(struct hr_h2 *h)
{
	/* what is sent may be what shows a flood: resets that the peer provoked */
	for (int i = 0; i < 2; i++) {
		calm(h);
		if (hr_h2_buf_len(&h->out) < HR_H2_OUT_HIGH &&
		    nghttp2_session_want_write(h->session) && nghttp2_session_send(h->session))
			h->broken = true;
	}
	return (struct hr_slice){hr_h2_buf_at(&h->out), hr_h2_buf_len(&h->out)};
}

void hr_h2_out_used(struct hr_h2 *h, size_t n)
{
	hr_h2_buf_use(&h->out, n);
}

bool hr_h2_over(const struct hr_h2 *h)
{
	return h->broken ||
	       (!nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session));
}

const char *hr_h2_flood(const struct hr_h2 *h)
{
	return h->flood;
}

struct hr_h2_stream *hr_h2_next(struct hr_h2 *h)
{
	struct hr_h2_stream *s;

	if (hr_list_empty(&h->ready))
		return NULL;
	s = hr_list_entry(h->ready.next, struct hr_h2_stream, ready);
	hr_list_del(&s->ready);
	return s;
}

struct hr_h2_stream *hr_h2_any(struct hr_h2 *h)
{
	hr_list_for_each (l, &h->streams) {
		struct hr_h2_stream *s = hr_list_entry(l, struct hr_h2_stream, link);

		if (!s->orphan)
			return s;
	}
	return NULL;
}

bool hr_h2_in_block(const struct hr_h2 *h)
{
	return h->in_block;
}

uint32_t hr_h2_peer_streams(const struct hr_h2 *h)
{
	if (h->broken || h->flood || !nghttp2_session_check_request_allowed(h->session))
		return 0;
	if (!h->settled)
		return HR_H2_STREAMS;
	return nghttp2_session_get_remote_settings(h->session,
						   NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

void hr_h2_goaway(struct hr_h2 *h, bool last)
{
	if (!last)
		nghttp2_submit_shutdown_notice(h->session);
	else
		nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
				      nghttp2_session_get_last_proc_stream_id(h->session),
				      NGHTTP2_NO_ERROR, NULL, 0);
}

void hr_h2_ping(struct hr_h2 *h)
{
	nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
}

uint64_t hr_h2_pongs(const struct hr_h2 *h)
{
	return h->pongs;
}
