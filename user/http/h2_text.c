// SPDX-License-Identifier: Apache-2.0
/*
 * Fields of HTTP/2 as HTTP/1.1 text, and back (RFC 9113 section 8). What comes is written so that
 * the strict parser of HTTP/1 sees every byte of it where it belongs; what could make it see
 * something else (line ends, framing fields, blanks in names) is refused here.
 */
#include <stdio.h>
#include <string.h>

#include "core/cleanup.h"
#include "http/bytes.h"
#include "http/h2int.h"

enum { METHOD, SCHEME, AUTHORITY, PATH };

#define add_lit(b, lit) hr_h2_buf_add((b), (lit), sizeof(lit) - 1)

static void add_slice(struct hr_h2_buf *b, struct hr_slice s)
{
	hr_h2_buf_add(b, s.p, s.n);
}

static void add_line(struct hr_h2_buf *b, struct hr_slice name, struct hr_slice value)
{
	add_slice(b, name);
	add_lit(b, ": ");
	add_slice(b, value);
	add_lit(b, "\r\n");
}

/* ---- what comes ---- */

void hr_h2_block_begin(struct hr_h2_stream *s)
{
	s->block = 0;
	s->nfields = s->status = 0;
	s->has_length = s->has_host = s->announced = false;
	s->front.len = s->fields.len = s->cookies.len = 0;
	memset(s->pseudo, 0, sizeof(s->pseudo));
	s->in_trailers = s->began;
}

static bool bytes_ok(struct hr_slice name, struct hr_slice value)
{
	size_t i = name.n && *name.p == ':';

	if (name.n == i)
		return false;
	for (; i < name.n; i++)
		if (!hr_is_tchar((uint8_t)name.p[i]) ||
		    hr_lower((uint8_t)name.p[i]) != (uint8_t)name.p[i])
			return false;
	for (i = 0; i < value.n; i++)
		if (!hr_is_field_byte((uint8_t)value.p[i]))
			return false;
	return true;
}

static struct hr_slice pseudo_of(const struct hr_h2_stream *s, int which)
{
	return (struct hr_slice){s->front.p + s->pseudo[which].off, s->pseudo[which].len};
}

static bool keep_pseudo(struct hr_h2_stream *s, int which, struct hr_slice value)
{
	if (s->pseudo[which].len || !value.n)
		return false;
	s->pseudo[which] = (struct hr_span){(uint16_t)s->front.len, (uint16_t)value.n};
	add_slice(&s->front, value);
	return true;
}

static bool pseudo(struct hr_h2_stream *s, struct hr_slice name, struct hr_slice value)
{
	static const struct hr_slice names[] = {[METHOD] = HR_SLICE(":method"),
						[SCHEME] = HR_SLICE(":scheme"),
						[AUTHORITY] = HR_SLICE(":authority"),
						[PATH] = HR_SLICE(":path")};

	if (s->in_trailers)
		return false;
	if (s->h->role == HR_H2_CLIENT) {
		if (!hr_slice_eq(name, HR_SLICE(":status")) || value.n != 3 || s->status)
			return false;
		for (size_t i = 0; i < 3; i++) {
			if (!hr_is_digit((uint8_t)value.p[i]))
				return false;
			s->status = (uint16_t)(10 * s->status + (value.p[i] - '0'));
		}
		return s->status >= 100 && s->status != 101;
	}
	for (int i = 0; i < (int)HR_ARRAY_SIZE(names); i++)
		if (hr_slice_eq(name, names[i]))
			return keep_pseudo(s, i, value);
	return false;
}

/* Host says what :authority says, or stands for it. */
static bool host(struct hr_h2_stream *s, struct hr_slice value)
{
	if (s->has_host)
		return false;
	s->has_host = true;
	if (s->pseudo[AUTHORITY].len)
		return hr_slice_ieq(pseudo_of(s, AUTHORITY), value);
	return keep_pseudo(s, AUTHORITY, value);
}

static bool length(struct hr_h2_stream *s, struct hr_slice value)
{
	uint64_t n = 0;

	if (s->has_length || !value.n || value.n > 18)
		return false;
	for (size_t i = 0; i < value.n; i++) {
		if (!hr_is_digit((uint8_t)value.p[i]))
			return false;
		n = 10 * n + (uint64_t)(value.p[i] - '0');
	}
	s->has_length = true;
	s->left = n;
	return true;
}

static bool is_grpc(struct hr_slice type)
{
	static const char grpc[] = "application/grpc";
	size_t n = sizeof(grpc) - 1;

	return type.n >= n && !strncasecmp(type.p, grpc, n) &&
	       (type.n == n || type.p[n] == '+' || type.p[n] == ';' || type.p[n] == ' ');
}

static bool cookie(struct hr_h2_stream *s, struct hr_slice value)
{
	if (s->cookies.len)
		add_lit(&s->cookies, "; ");
	add_slice(&s->cookies, value);
	return true;
}

static bool regular(struct hr_h2_stream *s, struct hr_slice name, struct hr_slice value)
{
	bool request = s->h->role == HR_H2_SERVER;

	if (hr_http_of_connection(name))
		return false;
	if (hr_slice_eq(name, HR_SLICE("te"))) /* what it asks for is always done */
		return hr_slice_ieq(value, HR_SLICE("trailers"));
	if (hr_slice_eq(name, HR_SLICE("http2-settings")))
		return true;
	if (request && hr_slice_eq(name, HR_SLICE("host")))
		return host(s, value);
	if (request && hr_slice_eq(name, HR_SLICE("cookie")))
		return cookie(s, value);
	if (hr_slice_eq(name, HR_SLICE("content-length")))
		return length(s, value);
	if (hr_slice_eq(name, HR_SLICE("content-type")))
		s->grpc = is_grpc(value);
	if (hr_slice_eq(name, HR_SLICE("trailer")))
		s->announced = true;
	add_line(&s->fields, name, value);
	return true;
}

/* One or two digits of "grpc-status". */
static void note_grpc(struct hr_h2_stream *s, struct hr_slice name, struct hr_slice value)
{
	if (!hr_slice_eq(name, HR_SLICE("grpc-status")) || !value.n || value.n > 2 ||
	    !hr_is_digit((uint8_t)value.p[0]) || !hr_is_digit((uint8_t)value.p[value.n - 1]))
		return;
	s->grpc_status = (int16_t)(value.p[0] - '0');
	if (value.n == 2)
		s->grpc_status = (int16_t)(10 * s->grpc_status + (value.p[1] - '0'));
}

void hr_h2_block_field(struct hr_h2_stream *s, struct hr_slice name, struct hr_slice value)
{
	s->block += name.n + value.n + 4; /* of what is dropped too */
	s->nfields++;
	if (hr_h2_limit_block(s))
		return;
	if (name.n == 11)
		note_grpc(s, name, value);
	if (s->block > HR_HEAD_MAX || s->nfields > HR_HEADERS_MAX)
		s->too_large = true;
	else if (!bytes_ok(name, value))
		s->malformed = true;
	else if (*name.p == ':')
		s->malformed |= !pseudo(s, name, value);
	else if (!s->in_trailers)
		s->malformed |= !regular(s, name, value);
	else if (!hr_http_of_connection(name) && !hr_http_trailer_forbidden(name.p, name.n))
		add_line(&s->trailers, name, value);
}

/* ---- heads as text ---- */

static void framing_of(struct hr_h2_stream *s, bool end_stream, bool bodyless)
{
	if (end_stream || bodyless)
		s->framing = s->has_length && !bodyless ? HR_BODY_LENGTH : HR_BODY_NONE;
	else if (s->has_length && !s->grpc && !s->announced) /* it leaves no room for trailers */
		s->framing = HR_BODY_LENGTH;
	else
		s->framing = HR_BODY_CHUNKED;
	if (s->framing == HR_BODY_CHUNKED) {
		add_lit(&s->text, "transfer-encoding: chunked\r\n");
	} else if (s->has_length) {
		char line[48];
		int n = snprintf(line, sizeof(line), "content-length: %llu\r\n",
				 (unsigned long long)s->left);

		hr_h2_buf_add(&s->text, line, (size_t)n);
	}
	add_lit(&s->text, "\r\n");
}

static void request_text(struct hr_h2_stream *s, bool end_stream)
{
	struct hr_h2_buf *t = &s->text;
	struct hr_slice method = pseudo_of(s, METHOD), path = pseudo_of(s, PATH);
	struct hr_slice authority = pseudo_of(s, AUTHORITY);

	s->head_request = hr_slice_eq(method, HR_SLICE("HEAD"));
	add_slice(t, method);
	add_lit(t, " ");
	if (hr_slice_eq(method, HR_SLICE("CONNECT"))) {
		add_slice(t, authority);
	} else {
		if (!hr_slice_eq(path, HR_SLICE("*"))) {
			add_slice(t, pseudo_of(s, SCHEME));
			add_lit(t, "://");
			add_slice(t, authority);
		}
		add_slice(t, path);
	}
	add_lit(t, " HTTP/1.1\r\n");
	if (authority.n)
		add_line(t, HR_SLICE("host"), authority);
	hr_h2_buf_add(t, s->fields.p, s->fields.len);
	if (s->cookies.len)
		add_line(t, HR_SLICE("cookie"), (struct hr_slice){s->cookies.p, s->cookies.len});
	framing_of(s, end_stream, false);
}

static bool request_ok(const struct hr_h2_stream *s)
{
	struct hr_slice scheme = pseudo_of(s, SCHEME), path = pseudo_of(s, PATH);

	if (s->malformed || !s->pseudo[METHOD].len)
		return false;
	if (hr_slice_eq(pseudo_of(s, METHOD), HR_SLICE("CONNECT")))
		return s->pseudo[AUTHORITY].len;
	if (!hr_slice_eq(scheme, HR_SLICE("http")) && !hr_slice_eq(scheme, HR_SLICE("https")))
		return false;
	return path.n && (*path.p == '/' || hr_slice_eq(path, HR_SLICE("*")));
}

static void response_text(struct hr_h2_stream *s, bool end_stream)
{
	bool interim = s->status < 200;
	bool bodyless = interim || s->head_request || s->status == 204 || s->status == 304;
	char line[64];
	int n;

	if (s->malformed || s->too_large || !s->status) {
		add_lit(&s->text, "malformed\r\n"); /* what the parser makes of it: 502 */
		s->began = true;
		return;
	}
	n = snprintf(line, sizeof(line), "HTTP/1.1 %u %s\r\n", s->status,
		     hr_http_reason(s->status));
	hr_h2_buf_add(&s->text, line, (size_t)n);
	hr_h2_buf_add(&s->text, s->fields.p, s->fields.len);
	if (end_stream && !bodyless && !s->has_length) {
		s->has_length = true;
		s->left = 0;
	}
	framing_of(s, end_stream, bodyless);
	s->began = !interim;
}

void hr_h2_block_end(struct hr_h2_stream *s, bool end_stream)
{
	if (s->in_trailers) {
		if (s->malformed || s->too_large)
			s->trailers.len = 0;
		return;
	}
	if (s->h->role == HR_H2_CLIENT) {
		response_text(s, end_stream);
		return;
	}
	s->began = true;
	if (s->too_large)
		s->error = (struct hr_http_error){431, "header block too large"};
	else if (!request_ok(s))
		s->error = (struct hr_http_error){400, "malformed HTTP/2 request"};
	else
		request_text(s, end_stream);
}

void hr_h2_terminate(struct hr_h2_stream *s)
{
	if (s->framing != HR_BODY_CHUNKED)
		return;
	add_lit(&s->text, "0\r\n");
	hr_h2_buf_add(&s->text, s->trailers.p, s->trailers.len);
	add_lit(&s->text, "\r\n");
}

/* ---- what goes ---- */

struct fields {
	size_t n;
	nghttp2_nv v[HR_HEADERS_MAX + 8];
};

static void put(struct fields *f, struct hr_slice name, struct hr_slice value)
{
	/* nghttp2 copies both and makes the name lower-case */
	f->v[f->n++] = (nghttp2_nv){.name = (uint8_t *)name.p,
				    .namelen = name.n,
				    .value = (uint8_t *)value.p,
				    .valuelen = value.n};
}

static bool stays_behind(struct hr_slice name, bool request)
{
	switch (name.n) {
	case 2:
		return hr_slice_ieq(name, HR_SLICE("te"));
	case 4:
		return request && hr_slice_ieq(name, HR_SLICE("host"));
	case 14:
		return hr_slice_ieq(name, HR_SLICE("http2-settings"));
	default:
		return hr_http_of_connection(name);
	}
}

static void put_fields(struct hr_h2_stream *s, struct fields *f)
{
	const struct hr_http_msg *m = &s->h->msg;
	bool request = m->kind == HR_HTTP_REQUEST;

	s->grpc = is_grpc(hr_http_get(m, HR_SLICE("content-type")));
	for (size_t i = 0; i < m->nfields; i++) {
		struct hr_slice name = hr_http_str(m, m->fields[i].name);

		if (stays_behind(name, request) ||
		    (s->grpc && name.n == 14 && hr_slice_ieq(name, HR_SLICE("content-length"))))
			continue;
		put(f, name, hr_http_str(m, m->fields[i].value));
	}
	if (request && s->grpc)
		put(f, HR_SLICE("te"), HR_SLICE("trailers"));
}

bool hr_h2_submit_head(struct hr_h2_stream *s, nghttp2_data_provider *body)
{
	const struct hr_http_msg *m = &s->h->msg;
	struct fields f; /* large, and only what is put is read */
	char status[4];

	f.n = 0;
	if (m->kind == HR_HTTP_REQUEST) {
		put(&f, HR_SLICE(":method"), hr_http_str(m, m->method));
		put(&f, HR_SLICE(":scheme"), HR_SLICE("http"));
		put(&f, HR_SLICE(":authority"), hr_http_str(m, m->host_raw));
		put(&f, HR_SLICE(":path"), hr_http_str(m, m->target));
		put_fields(s, &f);
		s->id = nghttp2_submit_request(s->h->session, NULL, f.v, f.n, body, s);
		return s->id > 0;
	}
	snprintf(status, sizeof(status), "%03u", (unsigned)m->status % 1000);
	put(&f, HR_SLICE(":status"), (struct hr_slice){status, 3});
	put_fields(s, &f);
	if (m->interim)
		return nghttp2_submit_headers(s->h->session, NGHTTP2_FLAG_NONE, s->id, NULL, f.v,
					      f.n, NULL) == 0;
	return nghttp2_submit_response(s->h->session, s->id, f.v, f.n, body) == 0;
}

/* The lines were vetted when they were taken: "name: value CR LF", the last one empty. */
void hr_h2_submit_trailers(struct hr_h2_stream *s)
{
	const char *p = s->out_text.p, *end = p + s->out_text.len, *eol;
	struct fields f;

	f.n = 0;
	while (p < end && (eol = memchr(p, '\r', (size_t)(end - p))) && eol > p &&
	       f.n < HR_HEADERS_MAX) {
		const char *colon = memchr(p, ':', (size_t)(eol - p)), *v = colon + 1, *e = eol;

		while (v < e && hr_is_blank((uint8_t)*v))
			v++;
		while (e > v && hr_is_blank((uint8_t)e[-1]))
			e--;
		put(&f, (struct hr_slice){p, (size_t)(colon - p)},
		    (struct hr_slice){v, (size_t)(e - v)});
		p = eol + 2;
	}
	nghttp2_submit_trailer(s->h->session, s->id, f.v, f.n);
}
