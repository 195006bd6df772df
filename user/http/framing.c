// SPDX-License-Identifier: Apache-2.0
/*
 * What a head says about its body and its connection (RFC 9112 sections 3.2, 6, 9). Two ways of
 * reading a message are one too many: whatever could be read differently is refused.
 */
#include <errno.h>
#include <string.h>

#include "core/cleanup.h"
#include "http/bytes.h"
#include "http/framing.h"

enum { SEEN_HOST = 1, SEEN_LENGTH = 2, SEEN_TE = 4, SEEN_UPGRADE = 8, SEEN_EXPECT = 16 };
enum { CONN_CLOSE = 1, CONN_KEEP_ALIVE = 2, CONN_UPGRADE = 4 };

static bool is(struct hr_slice s, const char *lower)
{
	return hr_slice_ieq(s, hr_slice_of(lower));
}

static enum hr_http_result once(struct hr_http_msg *m, uint8_t bit)
{
	if (m->seen & bit)
		return hr_http_fail(m, 400, "repeated header that must be single");
	m->seen |= bit;
	return HR_HTTP_OK;
}

/* 1*DIGIT up to 2^63 - 1; leading zeros count towards the 19 digits. */
static enum hr_http_result note_length(struct hr_http_msg *m, struct hr_slice v)
{
	uint64_t n = 0;

	if (once(m, SEEN_LENGTH) != HR_HTTP_OK)
		return HR_HTTP_ERROR;
	if (!v.n || v.n > 19)
		return hr_http_fail(m, 400, "malformed Content-Length");
	for (size_t i = 0; i < v.n; i++) {
		if (!hr_is_digit(v.p[i]))
			return hr_http_fail(m, 400, "malformed Content-Length");
		n = n * 10 + (v.p[i] - '0');
	}
	if (n > INT64_MAX)
		return hr_http_fail(m, 400, "malformed Content-Length");
	m->content_length = n;
	m->has_content_length = true;
	return HR_HTTP_OK;
}

/* Codings that exist but are not served: the answer is 501, not 400. */
static bool known_codings(struct hr_slice v)
{
	static const char *const known[] = {
		"gzip, chunked",       "gzip,chunked",	     "deflate, chunked", "deflate,chunked",
		"compress, chunked",   "compress,chunked",   "x-gzip, chunked",	 "x-gzip,chunked",
		"x-compress, chunked", "x-compress,chunked",
	};

	for (size_t i = 0; i < HR_ARRAY_SIZE(known); i++)
		if (is(v, known[i]))
			return true;
	return false;
}

static enum hr_http_result note_te(struct hr_http_msg *m, struct hr_slice v)
{
	if (once(m, SEEN_TE) != HR_HTTP_OK)
		return HR_HTTP_ERROR;
	if (is(v, "chunked")) {
		m->te = 1;
		return HR_HTTP_OK;
	}
	if (known_codings(v))
		return hr_http_fail(m, 501, "transfer coding not served");
	return hr_http_fail(m, 400, "malformed Transfer-Encoding");
}

/* Fields that no hop may take away by naming them in Connection. */
static bool end_to_end(struct hr_slice t)
{
	static const char *const names[] = {
		"host",	      "content-length", "content-type", "authorization", "cookie",
		"set-cookie", "forwarded",	"expect",	"date",		 "location",
	};

	if (t.n > 12 && !strncasecmp(t.p, "x-forwarded-", 12))
		return true;
	for (size_t i = 0; i < HR_ARRAY_SIZE(names); i++)
		if (is(t, names[i]))
			return true;
	return false;
}

/* Next element of a comma-separated list in v; {NULL, 0} at its end. Empty elements are skipped. */
static struct hr_slice next_element(struct hr_slice *v)
{
	while (v->n) {
		const char *comma = memchr(v->p, ',', v->n);
		struct hr_slice e = {v->p, comma ? (size_t)(comma - v->p) : v->n};
		size_t skip = e.n + !!comma;

		v->p += skip;
		v->n -= skip;
		while (e.n && hr_is_blank(*e.p))
			e.p++, e.n--;
		while (e.n && hr_is_blank(e.p[e.n - 1]))
			e.n--;
		if (e.n)
			return e;
	}
	return (struct hr_slice){};
}

bool hr_http_has_token(struct hr_slice value, struct hr_slice token)
{
	struct hr_slice e;

	while ((e = next_element(&value)).p)
		if (hr_slice_ieq(e, token))
			return true;
	return false;
}

static enum hr_http_result note_connection(struct hr_http_msg *m, struct hr_slice v)
{
	struct hr_slice e;

	while ((e = next_element(&v)).p) {
		for (size_t i = 0; i < e.n; i++)
			if (!hr_is_tchar(e.p[i]))
				return hr_http_fail(m, 400, "malformed Connection");
		if (end_to_end(e))
			return hr_http_fail(m, 400, "Connection names an end-to-end header");
		if (is(e, "close"))
			m->conn |= CONN_CLOSE;
		else if (is(e, "keep-alive"))
			m->conn |= CONN_KEEP_ALIVE;
		else if (is(e, "upgrade"))
			m->conn |= CONN_UPGRADE;
	}
	return HR_HTTP_OK;
}

static enum hr_http_result note_host(struct hr_http_msg *m, const struct hr_http_field *f)
{
	size_t len;

	if (m->kind == HR_HTTP_RESPONSE)
		return HR_HTTP_OK;
	if (once(m, SEEN_HOST) != HR_HTTP_OK)
		return HR_HTTP_ERROR;
	if (hr_http_host_norm(hr_http_str(m, f->value), m->host, &len, &m->host_port) < 0)
		return hr_http_fail(m, 400, "malformed Host");
	m->host_len = len;
	m->host_raw = f->value;
	return HR_HTTP_OK;
}

static enum hr_http_result note_expect(struct hr_http_msg *m, struct hr_slice v)
{
	if (m->kind == HR_HTTP_RESPONSE || !m->minor)
		return HR_HTTP_OK;
	if (once(m, SEEN_EXPECT) != HR_HTTP_OK)
		return HR_HTTP_ERROR;
	if (!is(v, "100-continue"))
		return hr_http_fail(m, 417, "expectation not served");
	return HR_HTTP_OK;
}

enum hr_http_result hr_http_note_field(struct hr_http_msg *m, const struct hr_http_field *f)
{
	struct hr_slice name = hr_http_str(m, f->name), v = hr_http_str(m, f->value);

	switch (name.n) {
	case 4:
		if (is(name, "host"))
			return note_host(m, f);
		break;
	case 6:
		if (is(name, "expect"))
			return note_expect(m, v);
		break;
	case 7:
		if (is(name, "upgrade"))
			m->seen |= SEEN_UPGRADE;
		break;
	case 10:
		if (is(name, "connection"))
			return note_connection(m, v);
		break;
	case 14:
		if (is(name, "content-length"))
			return note_length(m, v);
		if (is(name, "content_length"))
			return hr_http_fail(m, 400, "look-alike of a framing header");
		break;
	case 17:
		if (is(name, "transfer-encoding"))
			return note_te(m, v);
		if (is(name, "transfer_encoding"))
			return hr_http_fail(m, 400, "look-alike of a framing header");
		break;
	}
	return HR_HTTP_OK;
}

static void persistence(struct hr_http_msg *m)
{
	m->connection_close = m->conn & CONN_CLOSE;
	m->keep_alive = !(m->conn & CONN_CLOSE) && (m->minor || (m->conn & CONN_KEEP_ALIVE));
	m->upgrade = m->minor && (m->conn & CONN_UPGRADE) && (m->seen & SEEN_UPGRADE);
}

/* Host and the authority of an absolute-form target must name the same place. */
static enum hr_http_result agree_host(struct hr_http_msg *m)
{
	char host[HR_HTTP_HOST_MAX + 1];
	uint16_t port, dflt = m->https ? 443 : 80, have = m->host_port;
	size_t len;

	if (hr_http_host_norm(hr_http_str(m, m->authority), host, &len, &port) < 0)
		return hr_http_fail(m, 400, "malformed authority in target");
	if (m->seen & SEEN_HOST) {
		if (len != m->host_len || memcmp(host, m->host, len) ||
		    (port ? port : dflt) != (have ? have : dflt))
			return hr_http_fail(m, 400, "Host is not the target's authority");
		return HR_HTTP_OK;
	}
	memcpy(m->host, host, len + 1);
	m->host_len = len;
	m->host_port = port;
	return HR_HTTP_OK;
}

static enum hr_http_result finish_request(struct hr_http_msg *m)
{
	if (!(m->seen & SEEN_HOST) && m->minor)
		return hr_http_fail(m, 400, "missing Host");
	if (m->form == HR_TARGET_ABSOLUTE && agree_host(m) != HR_HTTP_OK)
		return HR_HTTP_ERROR;
	if (m->te)
		m->framing = HR_BODY_CHUNKED;
	else
		m->framing = m->has_content_length ? HR_BODY_LENGTH : HR_BODY_NONE;
	m->expect_continue =
		(m->seen & SEEN_EXPECT) && (m->te || (m->has_content_length && m->content_length));
	return HR_HTTP_OK;
}

static enum hr_http_result finish_response(struct hr_http_msg *m)
{
	bool bodyless = m->status < 200 || m->status == 204;

	if (bodyless && (m->te || m->content_length))
		return hr_http_fail(m, 502, "body announced where none can be");
	m->interim = m->status < 200 && m->status != 101;
	if (m->status == 101)
		m->framing = HR_BODY_TUNNEL;
	else if (bodyless || m->status == 304 || m->head_request)
		m->framing = HR_BODY_NONE;
	else if (m->te)
		m->framing = HR_BODY_CHUNKED;
	else
		m->framing = m->has_content_length ? HR_BODY_LENGTH : HR_BODY_UNTIL_CLOSE;
	if (m->framing == HR_BODY_UNTIL_CLOSE || m->framing == HR_BODY_TUNNEL)
		m->keep_alive = false;
	return HR_HTTP_OK;
}

enum hr_http_result hr_http_finish(struct hr_http_msg *m)
{
	if (m->te && m->has_content_length)
		return hr_http_fail(m, 400, "Content-Length and Transfer-Encoding");
	if (m->te && !m->minor)
		return hr_http_fail(m, 400, "Transfer-Encoding in HTTP/1.0");
	persistence(m);
	return m->kind == HR_HTTP_REQUEST ? finish_request(m) : finish_response(m);
}
