/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 connections (RFC 9113) on nghttp2: bytes in, bytes out, no socket, no clock.
 *
 * The proxy has one request engine and one strict parser, those of HTTP/1. So a stream is read and
 * written here as HTTP/1.1 text, and what HTTP/2 says goes through the same checks as everything
 * else: a pseudo-header block becomes "POST http://web/x HTTP/1.1" and its fields, DATA becomes
 * chunks (or the bytes that Content-Length announced), trailers are those of chunked coding.
 *
 *	peer --hr_h2_recv--> frames --> stream --hr_h2_read--> text
 *	peer <--hr_h2_out--- frames <-- stream <--hr_h2_write-- text
 *
 * Nothing is buffered beyond a stream's window: bytes that were not read are not acknowledged, and
 * hr_h2_write takes what the peer's window lets it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/list.h"
#include "http/grpc.h"
#include "http/http1.h"

struct hr_h2;

enum hr_h2_role { HR_H2_SERVER, HR_H2_CLIENT };

/* Bytes [off, len) wait. */
struct hr_h2_buf {
	char *p;
	size_t off, len, cap;
};

/* Owned by its connection until hr_h2_done; fields are read by the owner, `user` is the owner's. */
struct hr_h2_stream {
	struct hr_h2 *h;
	void *user;
	int32_t id;    /* -1: client, no head was written yet */
	uint32_t code; /* the peer's reset, or nghttp2's, when `reset` */
	bool reset;    /* ended before its messages did */
	bool refused;  /* and the peer says that it did nothing with it (RFC 9113 section 8.7) */
	bool closed;   /* the connection has forgotten it */
	bool in_end;   /* the peer has said all */
	bool began;    /* a head of the peer is complete, or is not acceptable */
	int16_t grpc_status; /* that the peer said, in a head or in trailers; -1: none */
	bool grpc;	     /* what the server gets or gives is gRPC (content-type) */
	struct hr_grpc_messages messages; /* of the peer, when it is */
	struct hr_http_error error; /* server: the head is answered with this; status 0: none */

	/* private */
	struct hr_list link, ready; /* of the connection: all; those that changed */
	uint64_t opened_ms;
	struct hr_h2_buf text;	   /* heads, and the end of a chunked body, to be read */
	struct hr_h2_buf data;	   /* payload to be read */
	struct hr_h2_buf front;	   /* pseudo-headers and Host of the block that is being received */
	struct hr_h2_buf fields;   /* its other fields, as lines */
	struct hr_h2_buf cookies;  /* its cookie crumbs, joined */
	struct hr_h2_buf trailers; /* lines, received */
	struct hr_h2_buf out;	   /* payload to be sent */
	struct hr_h2_buf out_text; /* a head that is not complete; then trailer lines to be sent */
	struct hr_span pseudo[4];  /* of the block, in `front`; len 0: absent */
	size_t block;		   /* its decoded size so far, bytes */
	uint16_t nfields, status;
	enum hr_http_framing framing; /* of what is read */
	uint64_t left;		      /* LENGTH: payload that may still come */
	struct hr_http_body body;     /* of what is written */
	bool in_trailers, too_large, malformed, has_length, has_host, announced, terminated,
		head_request;
	bool wrote_head, deferred, blocked, out_sent, orphan;
	uint32_t unread; /* payload that the peer was not given back as window */
};

int hr_h2_new(struct hr_h2 **out, enum hr_h2_role role, uint64_t now_ms);
/* Server: the connection was HTTP/1.1 until now (RFC 7540 section 3.2). `settings` is the value of
 * HTTP2-Settings; the request becomes stream 1, whose answer is written to *out. -EINVAL. */
int hr_h2_upgrade(struct hr_h2 *h, struct hr_slice settings, bool head_request,
		  struct hr_h2_stream **out);
/* Frees the streams too: their users must have left them. */
void hr_h2_free(struct hr_h2 *h);

/* Bytes of the peer; all are taken. -EPROTO: nothing more can be read, what hr_h2_out has is the
 * last. */
int hr_h2_recv(struct hr_h2 *h, const char *p, size_t n, uint64_t now_ms);
/* Frames to be sent, made up to HR_H2_OUT_HIGH. What was sent is taken off. */
struct hr_slice hr_h2_out(struct hr_h2 *h);
void hr_h2_out_used(struct hr_h2 *h, size_t n);
/* Neither side has anything to say any more. */
bool hr_h2_over(const struct hr_h2 *h);
/* What made us end the connection, NULL: nothing. Static. */
const char *hr_h2_flood(const struct hr_h2 *h);

/* Streams that can be read, were reset, can be written again, or are all sent: each once a change,
 * NULL when there is none. New ones of the peer have no user. */
struct hr_h2_stream *hr_h2_next(struct hr_h2 *h);
/* One of those that are not done, before a connection is given up; NULL: none is. */
struct hr_h2_stream *hr_h2_any(struct hr_h2 *h);
/* The peer has begun a header block that is not complete. */
bool hr_h2_in_block(const struct hr_h2 *h);

/* Text into to[0 .. n); 0: none now. */
size_t hr_h2_read(struct hr_h2_stream *s, char *to, size_t n);
bool hr_h2_readable(const struct hr_h2_stream *s);
/* All was read that comes: nothing follows. */
bool hr_h2_eof(const struct hr_h2_stream *s);
/* Text of one message (after 1xx ones): how much of it was taken. */
size_t hr_h2_write(struct hr_h2_stream *s, const char *p, size_t n);
/* Bytes that were taken and wait for the peer's window, and whether the end waits. */
bool hr_h2_pending(const struct hr_h2_stream *s);
/* The user leaves: what is not complete is reset with `code` (NGHTTP2_*). */
void hr_h2_done(struct hr_h2_stream *s, uint32_t code);

/* Client: a stream for a request, which hr_h2_write gives. NULL: no memory. */
struct hr_h2_stream *hr_h2_open(struct hr_h2 *h, void *user);
/* Streams that may be open at once, as far as the peer is concerned; 0: it takes no more. */
uint32_t hr_h2_peer_streams(const struct hr_h2 *h);

/* Takes no new streams: announced, then (`last`) final. */
void hr_h2_goaway(struct hr_h2 *h, bool last);
void hr_h2_ping(struct hr_h2 *h);
/* Pings that were answered. */
uint64_t hr_h2_pongs(const struct hr_h2 *h);
