/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of HTTP/2: h2.c (the connection and its callbacks), h2_stream.c,
 * h2_text.c (fields to text and back),
 * h2_limit.c (what no honest peer does). */
#pragma once

#include <nghttp2/nghttp2.h>

#include "http/h2.h"

struct hr_h2_bucket {
	uint32_t used;
	uint64_t since_ms;
};

struct hr_h2 {
	nghttp2_session *session;
	enum hr_h2_role role;
	uint64_t now_ms;
	struct hr_list streams, ready;
	struct hr_h2_buf out;
	bool broken, in_block;
	/* h2_limit.c */
	const char *flood;
	bool calmed; /* and the connection is being ended */
	struct hr_h2_bucket empty, control;
	uint32_t opened, resets, continuations;
	uint64_t updates, earned, late, pongs;
	bool settled;		/* the peer's SETTINGS came */
	struct hr_http_msg msg; /* the head that is being written: too large for a stack */
};

void hr_h2_buf_add(struct hr_h2_buf *b, const void *p, size_t n);
void hr_h2_buf_use(struct hr_h2_buf *b, size_t n);
static inline size_t hr_h2_buf_len(const struct hr_h2_buf *b)
{
	return b->len - b->off;
}
static inline const char *hr_h2_buf_at(const struct hr_h2_buf *b)
{
	return b->p + b->off;
}
struct hr_h2_stream *hr_h2_stream_new(struct hr_h2 *h, int32_t id, void *user);
void hr_h2_stream_free(struct hr_h2_stream *s);
void hr_h2_mark(struct hr_h2_stream *s); /* hr_h2_next gives it */

/* ---- h2_text.c ---- */
void hr_h2_block_begin(struct hr_h2_stream *s);
void hr_h2_block_field(struct hr_h2_stream *s, struct hr_slice name, struct hr_slice value);
/* The block is complete: text. */
void hr_h2_block_end(struct hr_h2_stream *s, bool end_stream);
/* Lines of received trailers, and what ends a chunked body. */
void hr_h2_terminate(struct hr_h2_stream *s);
/* The head in h->msg as frames. False: it cannot be said. */
bool hr_h2_submit_head(struct hr_h2_stream *s, nghttp2_data_provider *body);
void hr_h2_submit_trailers(struct hr_h2_stream *s);

/* ---- h2_limit.c: true: the connection is being ended ---- */
bool hr_h2_limit_begin(struct hr_h2 *h, const nghttp2_frame_hd *hd);
bool hr_h2_limit_recv(struct hr_h2 *h, const nghttp2_frame *f);
/* A stream of the peer was ended by a reset, of it or provoked by it. */
bool hr_h2_limit_reset(struct hr_h2 *h, const struct hr_h2_stream *s);
void hr_h2_limit_opened(struct hr_h2 *h);
bool hr_h2_limit_block(struct hr_h2_stream *s);
