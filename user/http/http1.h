/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict HTTP/1.x messages (RFC 9112, rules of docs/THREAT-MODEL.md): heads, framing, bodies.
 *
 * The parser works on the caller's contiguous buffer and never allocates or copies: a message
 * holds 16-bit spans into the buffer at `base`. The caller may move the bytes and set `base`
 * again; nothing else refers to the buffer. Feeding a head in pieces gives the same answer as
 * feeding it at once, and each byte is looked at once.
 *
 *	hr_http_init(&m, HR_HTTP_REQUEST, false);
 *	for (;;) {
 *		read more into buf;
 *		switch (hr_http_parse(&m, buf, n)) {
 *		case HR_HTTP_MORE:  continue;
 *		case HR_HTTP_ERROR: answer m.error.status, then close;
 *		case HR_HTTP_OK:    the head is buf[0 .. m.head_len), the body (or the next request)
 *				    follows; hr_http_body_init(&b, &m);
 *		}
 *	}
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/str.h"
#include "headrace/limits.h"

/* Longest host name that is accepted, bytes (DNS: 253, and the dot). */
#define HR_HTTP_HOST_MAX 255

enum hr_http_kind { HR_HTTP_REQUEST, HR_HTTP_RESPONSE };
enum hr_http_result { HR_HTTP_OK, HR_HTTP_MORE, HR_HTTP_ERROR };

/* Piece of the buffer at hr_http_msg.base. */
struct hr_span {
	uint16_t off, len;
};

struct hr_http_field {
	struct hr_span name, value; /* value without blanks around it */
};

/* Form of the request target (RFC 9112 section 3.2). authority-form is CONNECT: refused, 501. */
enum hr_http_target { HR_TARGET_ORIGIN, HR_TARGET_ABSOLUTE, HR_TARGET_ASTERISK };

enum hr_http_framing {
	HR_BODY_NONE,	     /* no body follows the head */
	HR_BODY_LENGTH,	     /* content_length bytes, may be 0 */
	HR_BODY_CHUNKED,     /* chunks and trailers */
	HR_BODY_UNTIL_CLOSE, /* response only; ends with the connection */
	HR_BODY_TUNNEL,	     /* response 101: what follows is another protocol */
};

struct hr_http_error {
	uint16_t status;    /* request: 400 414 417 431 501 505; response: always 502 */
	const char *reason; /* short, static, lower case, never input bytes */
};

struct hr_http_msg {
	const char *base; /* the buffer; callers that move it set it again */
	enum hr_http_kind kind;
	bool head_request; /* response: it answers a HEAD */

	/* Valid once HR_HTTP_OK: */
	uint32_t head_len; /* bytes of the head, with its empty line */
	uint8_t minor;	   /* HTTP/1.minor: 0 or 1 */

	/* request */
	enum hr_http_target form;
	struct hr_span method;
	struct hr_span target; /* as sent */
	struct hr_span path;   /* as sent, without query, not canonical; len 0 means "/" (absolute
				* form without path); "*" for asterisk-form */
	struct hr_span query;  /* after the '?'; len 0 with has_query: "?" alone */
	struct hr_span authority; /* absolute-form: host[:port] of the target */
	struct hr_span host_raw;  /* value of Host as sent; len 0: absent (HTTP/1.0) */
	bool has_query, https;	  /* https: scheme of absolute-form */
	/* Host or authority, lower case, no port, no trailing dot, IPv6 in brackets. len 0: none.
	 */
	uint8_t host_len;
	char host[HR_HTTP_HOST_MAX + 1]; /* NUL-terminated */
	uint16_t host_port;		 /* 0: not given */

	/* response */
	uint16_t status; /* 100 .. 999 */
	struct hr_span reason;

	uint16_t nfields;
	struct hr_http_field fields[HR_HEADERS_MAX];

	enum hr_http_framing framing;
	uint64_t content_length; /* LENGTH; for a HEAD answer or 304: as sent, framing is NONE */
	bool has_content_length;
	bool keep_alive;       /* the connection may carry another message after this one */
	bool connection_close; /* said so itself (Connection: close) */
	bool upgrade;	       /* Connection: upgrade and Upgrade: are both there, HTTP/1.1 */
	bool expect_continue;  /* request, HTTP/1.1 */
	bool interim;	       /* response 1xx other than 101: another response follows */

	struct hr_http_error error; /* after HR_HTTP_ERROR */

	/* private to the parser */
	uint8_t state;
	uint8_t seen; /* single-value fields already seen */
	uint8_t te;   /* Transfer-Encoding: none, chunked */
	uint8_t conn; /* Connection options */
	uint32_t line, pos;
};

/* `head_request`: for responses, whether the request was HEAD. */
void hr_http_init(struct hr_http_msg *m, enum hr_http_kind kind, bool head_request);

/*
 * buf[0 .. n) are all bytes of the message so far (n grows from call to call; bytes after the head
 * are not looked at). MORE may be answered with n up to HR_HEAD_MAX; after that it is an ERROR.
 * ERROR is final. After MORE, hr_http_started tells whether any byte of a message came.
 */
enum hr_http_result hr_http_parse(struct hr_http_msg *m, const char *buf, size_t n);
bool hr_http_started(const struct hr_http_msg *m);

static inline struct hr_slice hr_http_str(const struct hr_http_msg *m, struct hr_span s)
{
	return (struct hr_slice){m->base + s.off, s.len};
}

/* Path as sent without query; "/" when the target had none. */
struct hr_slice hr_http_path(const struct hr_http_msg *m);
static inline struct hr_slice hr_http_host(const struct hr_http_msg *m)
{
	return (struct hr_slice){m->host, m->host_len};
}

/* First field of that name (any case); NULL when absent. `from`: NULL, or a field to go on after.
 */
const struct hr_http_field *hr_http_find(const struct hr_http_msg *m, struct hr_slice name,
					 const struct hr_http_field *from);
/* Value of the first field of that name; {NULL, 0} when absent. */
struct hr_slice hr_http_get(const struct hr_http_msg *m, struct hr_slice name);

/* Joined values of repeated fields: storage for one message, reset between messages. Values that
 * occur once are not copied. One for a worker is enough. */
struct hr_http_joins {
	uint16_t n, used;
	struct {
		uint16_t field; /* first field of the name */
		struct hr_span value;
	} e[HR_HEADERS_MAX / 2];
	char buf[HR_HEAD_MAX];
};
void hr_http_joins_reset(struct hr_http_joins *j);
/* All values of a name, joined with "," in order (SEMANTICS.md); {NULL, 0} when absent. The slice
 * lives as long as the message's bytes and `j`. Always fits: it is never longer than the head. */
struct hr_slice hr_http_joined(const struct hr_http_msg *m, struct hr_slice name,
			       struct hr_http_joins *j);

/* Connection, Keep-Alive, Proxy-Connection, Transfer-Encoding, Upgrade, in any case: fields of an
 * HTTP/1 connection, malformed in HTTP/2 (RFC 9113 section 8.2.2). */
bool hr_http_of_connection(struct hr_slice name);

/* Bit i set: fields[i] is for this hop only and is not forwarded: Connection and what it names,
 * Keep-Alive, Proxy-Connection, TE, Transfer-Encoding, Upgrade. The caller adds back what it speaks
 * itself (chunked framing, an upgrade). Content-Length stays. */
struct hr_http_hops {
	uint64_t bits[(HR_HEADERS_MAX + 63) / 64];
};
void hr_http_hop_fields(const struct hr_http_msg *m, struct hr_http_hops *out);
static inline bool hr_http_is_hop(const struct hr_http_hops *h, size_t i)
{
	return h->bits[i / 64] >> (i % 64) & 1;
}

/* Is `token` (any case) an element of a comma-separated value. */
bool hr_http_has_token(struct hr_slice value, struct hr_slice token);

/* "Host" value to what virtual hosts are looked up by. 0; -EINVAL when it is no host[:port]. `out`
 * gets NUL-terminated lower-case text, `port` 0 when none is given. */
int hr_http_host_norm(struct hr_slice raw, char out[static HR_HTTP_HOST_MAX + 1], size_t *len,
		      uint16_t *port);

/* Standard reason phrase of a status code, "Unknown" when it has none. */
const char *hr_http_reason(unsigned status);

/* ---- bodies -------------------------------------------------------------------------------- */

/*
 * Follows one body through the bytes of its connection without keeping any of them. Relaying:
 *
 *	r = hr_http_body_next(&b, p, n, &step);
 *
 * p[0 .. step.used) belongs to this message and may be relayed as it is; the payload among it is
 * p[step.payload .. + step.payload_len). One call takes at most one run of payload: call again
 * until used is 0 or the answer is not MORE. OK: the message ends after `used`. ERROR: malformed,
 * nothing after this call may be relayed; close both sides.
 */
struct hr_http_body {
	enum hr_http_framing framing;
	uint64_t left;	  /* bytes of the length or of the chunk still to come */
	uint64_t payload; /* payload bytes so far */
	struct hr_http_error error;
	bool done; /* the whole message was seen */
	/* private: chunk decoder */
	uint8_t state, digits, name_len;
	uint16_t ext;	  /* extension bytes of the message */
	uint16_t trailer; /* trailer bytes */
	uint16_t ntrailers;
	char name[32]; /* of the trailer being read, lower case */
};

struct hr_http_step {
	size_t used;
	size_t payload, payload_len;
	size_t trailer; /* p[trailer .. used) are trailer lines and the empty line after them */
};

/* NONE and LENGTH 0 are done at once; TUNNEL is like UNTIL_CLOSE. */
void hr_http_body_init(struct hr_http_body *b, const struct hr_http_msg *m);
enum hr_http_result hr_http_body_next(struct hr_http_body *b, const char *p, size_t n,
				      struct hr_http_step *step);
/* The whole of p[0 .. n) at once: how many bytes belong to the message (all, unless it ends). */
enum hr_http_result hr_http_body_skip(struct hr_http_body *b, const char *p, size_t n,
				      size_t *used);
/* Must a field of that lower-case name not be a trailer (RFC 9110 section 6.5.1)? */
bool hr_http_trailer_forbidden(const char *name, size_t n);
/* The connection ended: true when that is a proper end of this body. */
bool hr_http_body_eof(const struct hr_http_body *b);
