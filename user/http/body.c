// SPDX-License-Identifier: Apache-2.0
/* Bodies: where they end, and that nothing in their framing can be read in two ways. */
#include <string.h>

#include "core/cleanup.h"
#include "http/bytes.h"
#include "http/http1.h"

/* Of one chunk: size, extensions, data; after the last one the trailers. */
enum {
	CH_SIZE,
	CH_EXT,
	CH_SIZE_LF,
	CH_DATA,
	CH_DATA_CR,
	CH_DATA_LF,
	CH_TRAILER, /* first byte of a trailer line */
	CH_NAME,
	CH_VALUE,
	CH_VALUE_LF,
	CH_END_LF,
};

void hr_http_body_init(struct hr_http_body *b, const struct hr_http_msg *m)
{
	memset(b, 0, sizeof(*b));
	b->framing = m->framing;
	b->error.status = m->kind == HR_HTTP_REQUEST ? 400 : 502;
	if (m->framing == HR_BODY_LENGTH)
		b->left = m->content_length;
	b->done = m->framing == HR_BODY_NONE || (m->framing == HR_BODY_LENGTH && !b->left);
}

static bool fail(struct hr_http_body *b, const char *reason)
{
	b->error.reason = reason;
	return false;
}

/* Trailers come after the decisions: what frames, routes, authorises or describes the content may
 * not be among them (RFC 9110 section 6.5.1). */
bool hr_http_trailer_forbidden(const char *name, size_t n)
{
	static const char *const names[] = {
		"transfer-encoding",
		"content-length",
		"host",
		"trailer",
		"te",
		"connection",
		"keep-alive",
		"upgrade",
		"proxy-connection",
		"expect",
		"range",
		"max-forwards",
		"authorization",
		"proxy-authorization",
		"proxy-authenticate",
		"www-authenticate",
		"cookie",
		"set-cookie",
		"content-type",
		"content-encoding",
		"content-range",
		"cache-control",
		"forwarded",
		"location",
		"date",
		"age",
		"expires",
		"vary",
		"content_length",
		"transfer_encoding",
	};

	if (n > 12 && !memcmp(name, "x-forwarded-", 12))
		return true;
	for (size_t i = 0; i < HR_ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == n && !memcmp(names[i], name, n))
			return true;
	return false;
}

static bool size_byte(struct hr_http_body *b, uint8_t c)
{
	int v = hr_hex(c);

	if (v >= 0) {
		if (++b->digits > 16 || b->left >> 59)
			return fail(b, "chunk size too large");
		b->left = b->left << 4 | v;
		return true;
	}
	if (!b->digits || (c != ';' && c != '\r'))
		return fail(b, "malformed chunk size");
	b->state = c == ';' ? CH_EXT : CH_SIZE_LF;
	if (c == ';' && ++b->ext > HR_CHUNK_EXT_MAX)
		return fail(b, "chunk extensions too long");
	return true;
}

static bool ext_byte(struct hr_http_body *b, uint8_t c)
{
	if (c == '\r') {
		b->state = CH_SIZE_LF;
		return true;
	}
	if (!hr_is_field_byte(c))
		return fail(b, "control byte in chunk extension");
	if (++b->ext > HR_CHUNK_EXT_MAX)
		return fail(b, "chunk extensions too long");
	return true;
}

static bool name_byte(struct hr_http_body *b, uint8_t c)
{
	if (c == ':') {
		if (b->name_len <= sizeof(b->name) &&
		    hr_http_trailer_forbidden(b->name, b->name_len))
			return fail(b, "trailer that belongs in the head");
		b->state = CH_VALUE;
		return true;
	}
	if (!hr_is_tchar(c))
		return fail(b, "malformed trailer name");
	if (b->name_len < sizeof(b->name))
		b->name[b->name_len] = hr_lower(c);
	if (b->name_len <= sizeof(b->name))
		b->name_len++;
	return true;
}

static bool trailer_byte(struct hr_http_body *b, uint8_t c)
{
	if (++b->trailer > HR_HEAD_MAX)
		return fail(b, "trailers too large");
	switch (b->state) {
	case CH_TRAILER:
		if (c == '\r') {
			b->state = CH_END_LF;
			return true;
		}
		if (!hr_is_tchar(c))
			return fail(b, "malformed trailer name");
		if (++b->ntrailers > HR_HEADERS_MAX)
			return fail(b, "too many trailers");
		b->state = CH_NAME;
		b->name_len = 0;
		return name_byte(b, c);
	case CH_NAME:
		return name_byte(b, c);
	case CH_VALUE:
		if (c == '\r')
			b->state = CH_VALUE_LF;
		else if (!hr_is_field_byte(c))
			return fail(b, "control byte in trailer");
		return true;
	case CH_VALUE_LF:
		b->state = CH_TRAILER;
		break;
	default: /* CH_END_LF */
		b->done = true;
	}
	return c == '\n' ? true : fail(b, "bare carriage return in trailers");
}

/* One byte that is not chunk data. */
static bool frame_byte(struct hr_http_body *b, uint8_t c)
{
	switch (b->state) {
	case CH_SIZE:
		return size_byte(b, c);
	case CH_EXT:
		return ext_byte(b, c);
	case CH_SIZE_LF:
		b->state = b->left ? CH_DATA : CH_TRAILER;
		return c == '\n' ? true : fail(b, "chunk size line without line feed");
	case CH_DATA_CR:
		b->state = CH_DATA_LF;
		return c == '\r' ? true : fail(b, "chunk longer than its size");
	case CH_DATA_LF:
		b->state = CH_SIZE;
		b->digits = 0;
		return c == '\n' ? true : fail(b, "chunk longer than its size");
	default:
		return trailer_byte(b, c);
	}
}

static enum hr_http_result chunked_next(struct hr_http_body *b, const char *p, size_t n,
					struct hr_http_step *step)
{
	size_t i = 0, take, lines = 0;

	for (; i < n && b->state != CH_DATA && !b->done; i++) {
		lines += b->state >= CH_TRAILER;
		if (!frame_byte(b, p[i]))
			return HR_HTTP_ERROR;
	}
	take = b->state == CH_DATA ? HR_MIN((uint64_t)(n - i), b->left) : 0;
	step->payload = i;
	step->payload_len = take;
	step->used = i + take;
	step->trailer = step->used - lines; /* after the last chunk there is no payload */
	b->payload += take;
	if (take) {
		b->left -= take;
		if (!b->left)
			b->state = CH_DATA_CR;
	}
	return b->done ? HR_HTTP_OK : HR_HTTP_MORE;
}

enum hr_http_result hr_http_body_next(struct hr_http_body *b, const char *p, size_t n,
				      struct hr_http_step *step)
{
	*step = (struct hr_http_step){};
	if (b->error.reason)
		return HR_HTTP_ERROR;
	if (b->done)
		return HR_HTTP_OK;
	if (b->framing == HR_BODY_CHUNKED)
		return chunked_next(b, p, n, step);
	if (b->framing == HR_BODY_LENGTH)
		n = HR_MIN((uint64_t)n, b->left);
	step->used = step->payload_len = step->trailer = n;
	b->payload += n;
	if (b->framing != HR_BODY_LENGTH)
		return HR_HTTP_MORE;
	b->left -= n;
	b->done = !b->left;
	return b->done ? HR_HTTP_OK : HR_HTTP_MORE;
}

enum hr_http_result hr_http_body_skip(struct hr_http_body *b, const char *p, size_t n, size_t *used)
{
	struct hr_http_step step;
	enum hr_http_result r;
	size_t at = 0;

	do {
		r = hr_http_body_next(b, p + at, n - at, &step);
		at += step.used;
	} while (r == HR_HTTP_MORE && at < n);
	*used = at;
	return r;
}

bool hr_http_body_eof(const struct hr_http_body *b)
{
	return !b->error.reason &&
	       (b->done || b->framing == HR_BODY_UNTIL_CLOSE || b->framing == HR_BODY_TUNNEL);
}
