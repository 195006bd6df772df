// SPDX-License-Identifier: Apache-2.0
/*
 * One stream of HTTP/2 as its user sees it: text that is read, text that is written.
 */
#include <string.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "http/h2int.h"

static size_t buf_take(struct hr_h2_buf *b, char *to, size_t n)
{
	n = HR_MIN(n, hr_h2_buf_len(b));
	if (!n)
		return 0;
	memcpy(to, hr_h2_buf_at(b), n);
	hr_h2_buf_use(b, n);
	return n;
}

/* ---- reading ---- */

static void give_back(struct hr_h2_stream *s, size_t n)
{
	n = HR_MIN(n, (size_t)s->unread);
	s->unread -= (uint32_t)n;
	if (!n)
		return;
	if (s->closed || s->in_end)
		nghttp2_session_consume_connection(s->h->session, n);
	else
		nghttp2_session_consume(s->h->session, s->id, n);
}

/* "SIZE CR LF payload CR LF" of what is here and fits. */
static size_t read_chunk(struct hr_h2_stream *s, char *to, size_t room)
{
	static const char digits[] = "0123456789abcdef";
	size_t n, at = 0;

	if (room < 16 || !hr_h2_buf_len(&s->data))
		return 0;
	n = HR_MIN(room - 12, hr_h2_buf_len(&s->data));
	for (int shift = 28; shift >= 0; shift -= 4)
		if (n >> shift || !shift)
			to[at++] = digits[n >> shift & 15];
	to[at++] = '\r';
	to[at++] = '\n';
	buf_take(&s->data, to + at, n);
	give_back(s, n);
	at += n;
	to[at++] = '\r';
	to[at++] = '\n';
	return at;
}

size_t hr_h2_read(struct hr_h2_stream *s, char *to, size_t n)
{
	size_t got = buf_take(&s->text, to, n), more;

	if (hr_h2_buf_len(&s->text))
		return got;
	if (s->framing == HR_BODY_CHUNKED) {
		got += read_chunk(s, to + got, n - got);
	} else {
		more = buf_take(&s->data, to + got, n - got);
		give_back(s, more);
		got += more;
	}
	if (s->in_end && !s->terminated && !hr_h2_buf_len(&s->data)) {
		s->terminated = true;
		hr_h2_terminate(s);
		got += buf_take(&s->text, to + got, n - got);
	}
	return got;
}

bool hr_h2_readable(const struct hr_h2_stream *s)
{
	return hr_h2_buf_len(&s->text) || hr_h2_buf_len(&s->data) ||
	       (s->in_end && !s->terminated && s->framing == HR_BODY_CHUNKED);
}

bool hr_h2_eof(const struct hr_h2_stream *s)
{
	return s->in_end && !hr_h2_readable(s);
}

/* ---- writing ---- */

static void fail(struct hr_h2_stream *s)
{
	if (s->id > 0)
		nghttp2_submit_rst_stream(s->h->session, NGHTTP2_FLAG_NONE, s->id,
					  NGHTTP2_INTERNAL_ERROR);
	else
		s->closed = s->reset = true;
	s->wrote_head = true;
	s->body.done = true;
	hr_h2_mark(s);
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
		       uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
	struct hr_h2_stream *s = source->ptr;
	size_t have = hr_h2_buf_len(&s->out), n = HR_MIN(length, have);

	(void)session;
	(void)id;
	(void)buf;
	(void)ctx;
	if (!n && !s->body.done) {
		s->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (n == have && s->body.done) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (s->out_text.len > 2) { /* more than the empty line */
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			hr_h2_submit_trailers(s);
		}
	}
	return (ssize_t)n;
}

static void wrote_head(struct hr_h2_stream *s)
{
	nghttp2_data_provider body = {.source.ptr = s, .read_callback = on_read};
	bool interim = s->h->msg.interim;

	if (!interim)
		hr_http_body_init(&s->body, &s->h->msg);
	if (!hr_h2_submit_head(s, interim || s->body.done ? NULL : &body)) {
		fail(s);
		return;
	}
	s->wrote_head = !interim;
	if (s->h->role == HR_H2_CLIENT)
		hr_h2_limit_opened(s->h);
}

/* Takes the bytes up to the head's end; all when it is not complete. */
static size_t write_head(struct hr_h2_stream *s, const char *p, size_t n)
{
	bool client = s->h->role == HR_H2_CLIENT;
	size_t before = s->out_text.len, used;
	struct hr_http_msg *m = &s->h->msg;

	hr_http_init(m, client ? HR_HTTP_REQUEST : HR_HTTP_RESPONSE, !client && s->head_request);
	if (before) {
		hr_h2_buf_add(&s->out_text, p, n);
		p = s->out_text.p;
		n = s->out_text.len;
	}
	switch (hr_http_parse(m, p, n)) {
	case HR_HTTP_OK:
		if (client)
			s->head_request = hr_slice_eq(hr_http_str(m, m->method), HR_SLICE("HEAD"));
		used = m->head_len - before;
		wrote_head(s);
		s->out_text.len = 0;
		return used;
	case HR_HTTP_MORE:
		if (!before)
			hr_h2_buf_add(&s->out_text, p, n);
		break;
	case HR_HTTP_ERROR:
		hr_warn("HTTP/2: a head of ours is not valid: %s", m->error.reason);
		fail(s);
		break;
	}
	return n - before;
}

static size_t write_body(struct hr_h2_stream *s, const char *p, size_t n)
{
	size_t room = HR_H2_WINDOW - HR_MIN((size_t)HR_H2_WINDOW, hr_h2_buf_len(&s->out));
	struct hr_http_step step;

	if (s->body.done)
		return n; /* nothing may follow */
	if (!room) {
		s->blocked = true;
		return 0;
	}
	if (hr_http_body_next(&s->body, p, HR_MIN(n, room), &step) == HR_HTTP_ERROR) {
		fail(s);
		return n;
	}
	hr_h2_buf_add(&s->out, p + step.payload, step.payload_len);
	hr_h2_buf_add(&s->out_text, p + step.trailer, step.used - step.trailer);
	if (s->deferred && (step.payload_len || s->body.done)) {
		s->deferred = false;
		nghttp2_session_resume_data(s->h->session, s->id);
	}
	return step.used;
}

size_t hr_h2_write(struct hr_h2_stream *s, const char *p, size_t n)
{
	size_t took = 0, more;

	while (took < n && !s->closed) {
		more = s->wrote_head ? write_body(s, p + took, n - took)
				     : write_head(s, p + took, n - took);
		if (!more)
			return took;
		took += more;
	}
	return n; /* of a stream that has ended: dropped */
}

bool hr_h2_pending(const struct hr_h2_stream *s)
{
	if (s->closed || !s->wrote_head)
		return false;
	return hr_h2_buf_len(&s->out) || (s->body.done && !s->out_sent);
}

/* ---- beginning and end ---- */

void hr_h2_done(struct hr_h2_stream *s, uint32_t code)
{
	bool answered = s->h->role == HR_H2_SERVER && s->wrote_head && s->body.done;

	s->user = NULL;
	if (s->closed || s->id < 0) {
		hr_h2_stream_free(s);
		return;
	}
	s->orphan = true;
	hr_list_del(&s->ready);
	hr_list_init(&s->ready);
	nghttp2_session_consume_connection(s->h->session, s->unread);
	s->unread = 0;
	hr_h2_buf_use(&s->data, hr_h2_buf_len(&s->data));
	if (!answered)
		nghttp2_submit_rst_stream(s->h->session, NGHTTP2_FLAG_NONE, s->id, code);
	else if (s->out_sent && !s->in_end)
		nghttp2_submit_rst_stream(s->h->session, NGHTTP2_FLAG_NONE, s->id,
					  NGHTTP2_NO_ERROR);
}

struct hr_h2_stream *hr_h2_open(struct hr_h2 *h, void *user)
{
	return hr_h2_stream_new(h, -1, user);
}
