// SPDX-License-Identifier: Apache-2.0
/* Heads: bytes into lines, lines into fields. What the fields mean together is in framing.c. */
#include <string.h>

#include "http/bytes.h"
#include "http/framing.h"
#include "http/http1.h"

enum { ST_START, ST_FIRST, ST_FIELDS, ST_DONE, ST_ERROR };

void hr_http_init(struct hr_http_msg *m, enum hr_http_kind kind, bool head_request)
{
	/* the field table is written before it is read */
	memset(m, 0, offsetof(struct hr_http_msg, fields));
	memset((char *)m + offsetof(struct hr_http_msg, framing), 0,
	       sizeof(*m) - offsetof(struct hr_http_msg, framing));
	m->kind = kind;
	m->head_request = head_request;
}

enum hr_http_result hr_http_fail(struct hr_http_msg *m, uint16_t status, const char *reason)
{
	m->state = ST_ERROR;
	m->error.status = m->kind == HR_HTTP_RESPONSE ? 502 : status;
	m->error.reason = reason;
	return HR_HTTP_ERROR;
}

bool hr_http_started(const struct hr_http_msg *m)
{
	return m->state != ST_START || m->pos;
}

static struct hr_span span(const struct hr_http_msg *m, const char *p, size_t n)
{
	return (struct hr_span){(uint16_t)(p - m->base), (uint16_t)n};
}

/* "HTTP/1.0" or "HTTP/1.1"; 505 for other versions, 400 for other texts. */
static enum hr_http_result version(struct hr_http_msg *m, const char *p, size_t n)
{
	if (n != 8 || memcmp(p, "HTTP/", 5) || !hr_is_digit(p[5]) || p[6] != '.' ||
	    !hr_is_digit(p[7]))
		return hr_http_fail(m, 400, "malformed HTTP version");
	if (p[5] != '1' || p[7] > '1')
		return hr_http_fail(m, 505, "HTTP version not supported");
	m->minor = p[7] - '0';
	return HR_HTTP_OK;
}

static void split_query(struct hr_http_msg *m, const char *p, const char *end)
{
	const char *q = memchr(p, '?', end - p);

	m->path = span(m, p, (q ? q : end) - p);
	if (q) {
		m->has_query = true;
		m->query = span(m, q + 1, end - q - 1);
	}
}

/* "http://host:port/path?query": authority now, agreement with Host at the end of the head. */
static enum hr_http_result absolute_form(struct hr_http_msg *m, const char *p, const char *end)
{
	size_t scheme = !strncasecmp(p, "https://", 8) ? 8 : 7;
	const char *a = p + scheme, *e = a;

	while (e < end && *e != '/' && *e != '?')
		e++;
	m->form = HR_TARGET_ABSOLUTE;
	m->https = scheme == 8;
	m->authority = span(m, a, e - a);
	split_query(m, e, end);
	return HR_HTTP_OK;
}

static enum hr_http_result target(struct hr_http_msg *m, const char *p, size_t n)
{
	struct hr_slice method = hr_http_str(m, m->method), t = {p, n};

	m->target = span(m, p, n);
	if (hr_slice_eq(method, HR_SLICE("CONNECT")))
		return hr_http_fail(m, 501, "CONNECT is not served");
	if (!n || memchr(p, '#', n))
		return hr_http_fail(m, 400, "malformed request target");
	if (*p == '/') {
		split_query(m, p, p + n);
		return HR_HTTP_OK;
	}
	if (hr_slice_eq(t, HR_SLICE("*"))) {
		if (!hr_slice_eq(method, HR_SLICE("OPTIONS")))
			return hr_http_fail(m, 400, "target * is for OPTIONS only");
		m->form = HR_TARGET_ASTERISK;
		m->path = m->target;
		return HR_HTTP_OK;
	}
	if ((n > 7 && !strncasecmp(p, "http://", 7)) || (n > 8 && !strncasecmp(p, "https://", 8)))
		return absolute_form(m, p, p + n);
	return hr_http_fail(m, 400, "malformed request target");
}

/* method SP target SP version */
static enum hr_http_result request_line(struct hr_http_msg *m, const char *p, size_t n)
{
	const char *end = p + n, *sp = memchr(p, ' ', n), *sp2;
	enum hr_http_result r;

	if (!sp || sp == p)
		return hr_http_fail(m, 400, "malformed request line");
	for (const char *c = p; c < sp; c++)
		if (!hr_is_tchar(*c))
			return hr_http_fail(m, 400, "malformed method");
	m->method = span(m, p, sp - p);
	sp++;
	sp2 = memchr(sp, ' ', end - sp);
	if (!sp2)
		return hr_http_fail(m, 400, "request line without version");
	r = version(m, sp2 + 1, end - sp2 - 1);
	return r == HR_HTTP_OK ? target(m, sp, sp2 - sp) : r;
}

/* version SP 3DIGIT [SP reason]; servers that have no reason often leave out the space as well */
static enum hr_http_result status_line(struct hr_http_msg *m, const char *p, size_t n)
{
	enum hr_http_result r = version(m, p, n < 8 ? n : 8);

	if (r != HR_HTTP_OK)
		return r;
	if (n < 12 || p[8] != ' ' || !hr_is_digit(p[9]) || !hr_is_digit(p[10]) ||
	    !hr_is_digit(p[11]) || p[9] == '0' || (n > 12 && p[12] != ' '))
		return hr_http_fail(m, 502, "malformed status line");
	m->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
	if (n > 13)
		m->reason = span(m, p + 13, n - 13);
	return HR_HTTP_OK;
}

static enum hr_http_result field_line(struct hr_http_msg *m, const char *p, size_t n)
{
	const char *c = p, *end = p + n, *v;
	struct hr_http_field *f;

	if (hr_is_blank(*p))
		return hr_http_fail(m, 400, "folded header line");
	while (c < end && hr_is_tchar(*c))
		c++;
	if (c == p || c == end || *c != ':')
		return hr_http_fail(m, 400, "malformed header name");
	if (m->nfields == HR_HEADERS_MAX)
		return hr_http_fail(m, 431, "too many header fields");
	for (v = c + 1; v < end && hr_is_blank(*v); v++)
		;
	while (end > v && hr_is_blank(end[-1]))
		end--;
	f = &m->fields[m->nfields++];
	f->name = span(m, p, c - p);
	f->value = span(m, v, end - v);
	return hr_http_note_field(m, f);
}

/* A complete line at m->line, without its CR LF. */
static enum hr_http_result line(struct hr_http_msg *m, size_t n)
{
	const char *p = m->base + m->line;
	enum hr_http_result r;

	if (m->state == ST_START) {
		/* RFC 9112 section 2.2: one empty line before a request is overlooked */
		m->state = ST_FIRST;
		if (!n && m->kind == HR_HTTP_REQUEST)
			return HR_HTTP_OK;
	}
	if (m->state == ST_FIRST) {
		m->state = ST_FIELDS;
		return m->kind == HR_HTTP_REQUEST ? request_line(m, p, n) : status_line(m, p, n);
	}
	if (n)
		return field_line(m, p, n);
	r = hr_http_finish(m);
	if (r == HR_HTTP_OK)
		m->state = ST_DONE;
	return r;
}

/* May `c` stand in the current line? Request lines have visible bytes and spaces only. */
static bool byte_ok(const struct hr_http_msg *m, uint8_t c)
{
	if (m->state == ST_FIELDS || m->kind == HR_HTTP_RESPONSE)
		return hr_is_field_byte(c);
	return hr_is_vchar(c) || c == ' ';
}

/* First byte at which the current line cannot be longer, and what that means. */
static size_t bound(const struct hr_http_msg *m)
{
	size_t max = HR_HEAD_MAX;

	if (m->state < ST_FIELDS && m->line + HR_REQLINE_MAX < max)
		max = m->line + HR_REQLINE_MAX;
	return max;
}

static enum hr_http_result too_long(struct hr_http_msg *m)
{
	if (m->state < ST_FIELDS)
		return hr_http_fail(m, 414, "request line too long");
	return hr_http_fail(m, 431, "header block too large");
}

enum hr_http_result hr_http_parse(struct hr_http_msg *m, const char *buf, size_t n)
{
	enum hr_http_result r;
	size_t max;
	uint8_t c;

	m->base = buf;
	if (m->state == ST_ERROR)
		return HR_HTTP_ERROR;
	for (max = bound(m); m->state != ST_DONE && m->pos < n; m->pos++) {
		if (m->pos >= max)
			return too_long(m);
		c = buf[m->pos];
		if (m->pos > m->line && buf[m->pos - 1] == '\r') {
			if (c != '\n')
				return hr_http_fail(m, 400, "bare carriage return");
			r = line(m, m->pos - 1 - m->line);
			if (r != HR_HTTP_OK)
				return r;
			m->line = m->pos + 1;
			max = bound(m);
		} else if (c == '\n') {
			return hr_http_fail(m, 400, "bare line feed");
		} else if (c != '\r' && !byte_ok(m, c)) {
			return hr_http_fail(m, 400, "control byte in head");
		}
	}
	if (m->state != ST_DONE)
		return HR_HTTP_MORE;
	m->head_len = m->pos;
	return HR_HTTP_OK;
}
