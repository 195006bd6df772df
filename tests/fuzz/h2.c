// SPDX-License-Identifier: Apache-2.0
/*
 * Frames of a hostile peer, client or server. Whatever comes: the text of a stream is one message
 * that the strict parser reads to its end or refuses, nothing follows it, and an answer or a
 * request of ours can be written to it. The first byte says which side we are and how the input is
 * cut.
 */
#include <stdlib.h>
#include <string.h>

#include "http/h2.h"

#define CHECK(cond)              \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

static const char request[] =
	"POST /a?b HTTP/1.1\r\nHost: web\r\nContent-Type: application/grpc\r\n"
	"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n"
			     "5\r\nhello\r\n0\r\ngrpc-status: 0\r\n\r\n";

struct reader {
	struct hr_http_msg msg;
	struct hr_http_body body;
	char text[2 * HR_HEAD_MAX];
	size_t n;
	bool head, over;
};

/* What was read so far is the beginning of a message, or (1) its end, or (-1) refused. */
static int follow(struct reader *r, bool server)
{
	size_t used;

	while (!r->head) {
		hr_http_init(&r->msg, server ? HR_HTTP_REQUEST : HR_HTTP_RESPONSE, false);
		switch (hr_http_parse(&r->msg, r->text, r->n)) {
		case HR_HTTP_MORE:
			CHECK(r->n < HR_HEAD_MAX);
			return 0;
		case HR_HTTP_ERROR:
			return -1;
		case HR_HTTP_OK:
			break;
		}
		r->head = !r->msg.interim;
		hr_http_body_init(&r->body, &r->msg);
		r->n -= r->msg.head_len;
		memmove(r->text, r->text + r->msg.head_len, r->n);
	}
	/* framing is ours: it is never wrong, but for trailers that are too many */
	if (hr_http_body_skip(&r->body, r->text, r->n, &used) == HR_HTTP_ERROR) {
		CHECK(r->body.ntrailers > 0);
		return -1;
	}
	CHECK(used == r->n);
	r->n = 0;
	return r->body.done;
}

static void on_stream(struct hr_h2_stream *s, bool server)
{
	struct reader *r = s->user;
	size_t n;
	int end = 0;

	if (!r) {
		r = s->user = calloc(1, sizeof(*r));
		CHECK(r);
	}
	while (!s->error.status && !r->over && !end &&
	       (n = hr_h2_read(s, r->text + r->n, sizeof(r->text) - r->n))) {
		r->n += n;
		end = follow(r, server);
	}
	if (end == 1)
		CHECK(!hr_h2_readable(s) || s->reset);
	if (!s->reset && !s->error.status && !end)
		return;
	if (server && !r->over && !s->reset)
		CHECK(hr_h2_write(s, answer, sizeof(answer) - 1) == sizeof(answer) - 1);
	r->over = true;
	if (s->reset || !hr_h2_pending(s)) {
		free(r);
		s->user = NULL;
		hr_h2_done(s, 2);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	bool server = n && !(data[0] & 1);
	size_t piece = n ? 1 + (data[0] >> 1) * 64 : 1;
	struct hr_h2_stream *s;
	struct hr_h2 *h;
	uint64_t now = 1;

	CHECK(hr_h2_new(&h, server ? HR_H2_SERVER : HR_H2_CLIENT, now) == 0);
	for (int i = 0; !server && i < 3; i++) {
		s = hr_h2_open(h, NULL);
		CHECK(s && hr_h2_write(s, request, sizeof(request) - 1) == sizeof(request) - 1);
	}
	for (size_t at = 1; at < n; at += piece) {
		size_t take = n - at < piece ? n - at : piece;

		if (hr_h2_recv(h, (const char *)data + at, take, ++now))
			break;
		while ((s = hr_h2_next(h)))
			on_stream(s, server);
		CHECK(hr_h2_out(h).n < 4 * HR_H2_OUT_HIGH);
		hr_h2_out_used(h, hr_h2_out(h).n);
	}
	while ((s = hr_h2_any(h))) {
		free(s->user);
		hr_h2_done(s, 8);
	}
	hr_h2_free(h);
	return 0;
}
