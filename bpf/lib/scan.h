/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Scanner of HTTP/1.1 request heads: one text for BPF and for user space.
 *
 * It accepts only heads whose meaning is beyond doubt and declines the rest with a reason; what it
 * accepts, the agent's strict parser (user/http) accepts with the same method, path, host, framing
 * and header values. tests/fuzz/fuzz_scan.c holds the two together.
 *
 * How: (1) one pass of eight-byte steps checks every byte and finds the lines, (2) one step a line
 * splits name and value, (3) the target, Host and Content-Length are looked at. All state is in
 * struct hr_scan (map memory): the verifier sees callbacks without history.
 *
 *	copy n <= HR_KHEAD_MAX bytes to s->buf;
 *	switch (hr_scan_request(s, n)) ...
 *	hr_scan_find(s, name, len, &field);	a header, after HR_SCAN_OK
 */
#pragma once

#include "lib/scan_guess.h"

static long hr_scan_step(__u32 i, void *ctx)
{
	struct hr_scan *s = ((struct hr_scan_ctx *)ctx)->s;
	__u32 off = hr_bound(i * HR_LINES_STEP, HR_KHEAD_MASK);

	return hr_lines_step(&s->lines, s->buf + off, off);
}

HR_INLINE __u32 hr_scan_method(struct hr_scan *s)
{
	__u64 w = hr_w8(s->buf);

#define HR_SCAN_IS(text, id)                                    \
	if ((w & hr_w_below(sizeof(text) - 1)) == HR_W(text)) { \
		s->method = HR_METHOD_##id;                     \
		s->method_len = sizeof(text) - 2;               \
		return sizeof(text) - 1;                        \
	}
	HR_SCAN_IS("GET ", GET)
	HR_SCAN_IS("POST ", POST)
	HR_SCAN_IS("HEAD ", HEAD)
	HR_SCAN_IS("PUT ", PUT)
	HR_SCAN_IS("DELETE ", DELETE)
	HR_SCAN_IS("PATCH ", PATCH)
	HR_SCAN_IS("OPTIONS ", OPTIONS)
#undef HR_SCAN_IS
	return 0;
}

/* ---- the target ---------------------------------------------------------------------------- */

static long hr_scan_target_word(__u32 i, void *ctx)
{
	struct hr_scan *s = ((struct hr_scan_ctx *)ctx)->s;
	__u32 off = hr_bound(s->path_off + i * 8, HR_KHEAD_MASK);
	__u64 in = hr_w_below(s->target_end - off);
	__u64 w7 = hr_w8(s->buf + off) & HR_W_LOW7;
	__u64 slash = hr_w_eq(w7, '/'), after_slash = slash << 8 | s->carry;
	__u64 query = hr_w_eq(w7, '?') & in;

	if ((hr_w_eq(w7, ' ') | hr_w_eq(w7, '#') | hr_w_eq(w7, '\\')) & in)
		s->bad = 1;
	s->carry = slash >> 56;
	if (s->path_end != s->target_end) /* in the query */
		return s->bad != 0;
	if (query) {
		s->path_end = off + hr_w_first(query);
		in = hr_w_below(s->path_end - off);
	}
	if ((hr_w_eq(w7, '%') | (hr_w_eq(w7, '.') & after_slash)) & in)
		s->slow = 1;
	if (slash & after_slash & in)
		s->double_slash = 1;
	return s->bad != 0;
}

HR_INLINE int hr_scan_hex(__u8 c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Escapes that mean something else once decoded, and segments that begin like a dot segment. */
static long hr_scan_path_byte(__u32 i, void *ctx)
{
	struct hr_scan *s = ((struct hr_scan_ctx *)ctx)->s;
	__u32 at = s->path_off + i, off = hr_bound(at, HR_KHEAD_MASK);
	__u8 c = s->buf[off], c1 = s->buf[off + 1], c2 = s->buf[off + 2];
	int v;

	if (c == '/' && c1 == '.' && at + 1 < s->path_end) {
		if (at + 2 >= s->path_end || c2 == '/' || c2 == '.' || c2 == ';' || c2 == '%')
			s->bad = 1;
	} else if (c == '%') {
		v = hr_scan_hex(c1);
		if (at + 2 >= s->path_end || v < 0 || hr_scan_hex(c2) < 0) {
			s->bad = 1;
			return 1;
		}
		v = v * 16 + hr_scan_hex(c2);
		c = v | 0x20;
		if (v < 0x20 || v == 0x7f || v == '/' || v == '\\' || v == '-' || v == '.' ||
		    v == '_' || v == '~' || (v >= '0' && v <= '9') ||
		    (v >= 'A' && v < 0x80 && c >= 'a' && c <= 'z'))
			s->bad = 1;
	}
	return s->bad != 0;
}

/* "/path?query" up to the line's " HTTP/1.1"; 0 or a verdict. */
HR_INLINE int hr_scan_target(struct hr_scan *s, __u32 from, __u32 end)
{
	struct hr_scan_ctx c = {s};

	if (from >= end || s->buf[hr_bound(from, 15)] != '/')
		return HR_SCAN_DECLINE(s, HEAD_ODD);
	s->path_off = from;
	s->target_end = s->path_end = end;
	s->carry = 0;
	hr_each((end - from + 7) / 8, hr_scan_target_word, &c);
	if (s->bad)
		return HR_SCAN_DECLINE(s, PATH_ODD);
	s->path_len = s->path_end - from;
	if (s->path_end != end) {
		s->has_query = 1;
		s->query_off = s->path_end + 1;
		s->query_len = end - s->query_off;
	}
	if (s->slow) {
		hr_each(s->path_len, hr_scan_path_byte, &c);
		if (s->bad)
			return HR_SCAN_DECLINE(s, PATH_ODD);
	}
	return 0;
}

/* ---- header lines -------------------------------------------------------------------------- */

/* Lengths of the names below: most fields are none of them. */
#define HR_SCAN_KNOWN_LENGTHS \
	(1ULL << 4 | 1ULL << 6 | 1ULL << 7 | 1ULL << 10 | 1ULL << 14 | 1ULL << 16 | 1ULL << 17)

/* What the value of a field that frames or addresses the message must be. */
HR_INLINE void hr_scan_known(struct hr_scan *s, const struct hr_scan_line *l, const __u64 f[3])
{
	const __u8 *v = s->buf + hr_bound(l->value_off, HR_KHEAD_MASK);
	__u32 len = l->value_len;

	/* what tells a proxy how to treat a request: the agent takes it away */
	if (f[0] == HR_W("x-envoy-"))
		s->why = HR_WHY_HEAD_ODD;
	if (!(1ULL << (l->name_len & 63) & HR_SCAN_KNOWN_LENGTHS))
		return;
	if (l->name_len == 4 && f[0] == HR_W("host")) {
		if (s->host_off)
			s->why = HR_WHY_DUP_HEADER;
		s->host_off = l->value_off;
		s->host_raw_len = len;
	} else if (l->name_len == 14 && f[0] == HR_W("content-") && f[1] == HR_W("length")) {
		if (s->has_content_length)
			s->why = HR_WHY_DUP_HEADER;
		s->has_content_length = 1;
		s->cl_len = len;
		s->cl_off = l->value_off;
	} else if (l->name_len == 17 && f[0] == HR_W("transfer") && f[1] == HR_W("-encodin")) {
		if (f[2] == HR_W("g"))
			s->why = HR_WHY_CHUNKED;
	} else if (l->name_len == 10 && f[0] == HR_W("connecti") && f[1] == HR_W("on")) {
		__u64 lo = hr_w8(v) | HR_W_REP(0x20), hi = hr_w2(v + 8) | 0x2020;

		if (len == 10 && lo == HR_W("keep-ali") && hi == (HR_W("ve")))
			return;
		if (len == 5 && (lo & hr_w_below(5)) == HR_W("close")) {
			s->close = 1;
			s->close_off = l->value_off;
		} else if (len == 7 && (lo & hr_w_below(7)) == HR_W("upgrade")) {
			s->why = HR_WHY_UPGRADE;
		} else {
			s->why = HR_WHY_HEAD_ODD;
		}
	} else if (l->name_len == 7 && f[0] == HR_W("upgrade")) {
		s->why = HR_WHY_UPGRADE;
	} else if (l->name_len == 6 && f[0] == HR_W("expect")) {
		s->why = HR_WHY_EXPECT;
	} else if ((l->name_len == 14 || l->name_len == 17 || l->name_len == 16) &&
		   (hr_w_eq(f[0], 0x7f) | hr_w_eq(f[1], 0x7f) ||
		    (f[0] == HR_W("proxy-co") && f[1] == HR_W("nnection")))) {
		/* '_' that a server may read as '-'; a hop-by-hop field for somebody else */
		s->why = HR_WHY_HEAD_ODD;
	}
}

/* Place of a header in by_name. */
HR_INLINE __u32 hr_scan_name(__u64 key, __u32 len)
{
	return (key + len) * 0x9e3779b97f4a7c15ULL >> 58;
}

static long hr_scan_field(__u32 i, void *ctx)
{
	struct hr_scan *s = ((struct hr_scan_ctx *)ctx)->s;
	struct hr_scan_line *l = &s->line[hr_bound(i, HR_SCAN_LINES - 1)];
	__u32 from = hr_bound(s->lines.start[hr_bound(i, 63)], HR_KHEAD_MASK);
	__u32 end = hr_bound(s->lines.start[hr_bound(i + 1, 63)] - 2, HR_KHEAD_MASK);
	__u64 f[3];
	__u32 n = hr_line_name(s->buf + from, f), value, place;

	if (!n) {
		s->why = HR_WHY_HEAD_ODD;
		return 1;
	}
	value = hr_line_value(s->buf, from + n + 1, end, HR_KHEAD_MASK);
	if (!value) {
		s->why = HR_WHY_HEAD_ODD;
		return 1;
	}
	l->key = f[0];
	l->name_off = from;
	l->name_len = n;
	l->value_off = value;
	l->value_len = end - value;
	place = hr_bound(hr_scan_name(f[0], n), HR_SCAN_NAMES - 1);
	s->by_name[place] = s->by_name[place] ? HR_SCAN_SEVERAL : i + 1;
	hr_scan_known(s, l, f);
	return s->why != 0;
}

/* ---- Host and Content-Length --------------------------------------------------------------- */

/* One word of a host name: copies it lower-cased; the port or the end stops it. */
static long hr_scan_host_word(__u32 i, void *ctx)
{
	struct hr_scan *s = ((struct hr_scan_ctx *)ctx)->s;
	__u32 at = i * 8, off = hr_bound(s->host_off + at, HR_KHEAD_MASK);
	__u32 left = s->host_raw_len - at, k = left < 8 ? left : 8, stop = left <= 8;
	__u64 w7 = hr_w8(s->buf + off) & HR_W_LOW7, colon = hr_w_eq(w7, ':') & hr_w_below(k);
	__u64 ok = hr_w_alpha(w7) | hr_w_in(w7, '0', '9') | hr_w_eq(w7, '-') | hr_w_eq(w7, '.') |
		   hr_w_eq(w7, '_');

	if (colon) {
		k = hr_w_first(colon);
		stop = 1;
	}
	if ((~ok & HR_W_HIGH & hr_w_below(k)) || (at >= HR_HOST_MAX && k))
		s->bad = 1;
	else if (at < HR_HOST_MAX)
		*(__u64 *)(s->host + hr_bound(at, HR_HOST_MAX - 8)) =
			hr_w_lower(w7) & hr_w_below(k);
	s->host_len = at + k;
	return stop || s->bad;
}

/* "[v6]:port": only the alphabet is checked, as in the strict parser. */
static long hr_scan_host_byte(__u32 i, void *ctx)
{
	struct hr_scan *s = ((struct hr_scan_ctx *)ctx)->s;
	__u8 c = s->buf[hr_bound(s->host_off + i, HR_KHEAD_MASK)];

	if (c >= 'A' && c <= 'F')
		c |= 0x20;
	s->host[hr_bound(i, HR_HOST_MAX - 1)] = c;
	s->host_len = i + 1;
	if (c == ']')
		return 1;
	if (i && hr_scan_hex(c) < 0 && c != ':')
		s->bad = 1;
	return s->bad != 0;
}

/* ":port" after the name; decimal, at most 65535. */
HR_INLINE int hr_scan_port_ok(struct hr_scan *s)
{
	const __u8 *p = s->buf + hr_bound(s->host_off + s->host_len, HR_KHEAD_MASK);
	__u32 n = s->host_raw_len - s->host_len;
	__u64 port;

	if (!n)
		return 1;
	return *p == ':' && n <= 6 && hr_line_decimal(p + 1, n - 1, &port) && port <= 65535;
}

/* 0 or a verdict. */
HR_INLINE int hr_scan_host(struct hr_scan *s)
{
	struct hr_scan_ctx c = {s};
	__u32 last;

	if (!s->host_off || !s->host_raw_len)
		return HR_SCAN_DECLINE(s, HEAD_ODD);
	if (s->host_raw_len > HR_HOST_MAX + 6)
		return HR_SCAN_DECLINE(s, HOST);
	if (s->buf[hr_bound(s->host_off, HR_KHEAD_MASK)] == '[') {
		hr_each(s->host_raw_len < HR_HOST_MAX ? s->host_raw_len : HR_HOST_MAX,
			hr_scan_host_byte, &c);
		last = hr_bound(s->host_len - 1, HR_HOST_MAX - 1);
		if (s->host[last] != ']' || s->host_len < 3)
			s->bad = 1;
	} else {
		hr_each((s->host_raw_len + 7) / 8, hr_scan_host_word, &c);
		if (s->host_len && !s->bad && hr_scan_port_ok(s)) {
			last = hr_bound(s->host_len - 1, HR_HOST_MAX - 1);
			if (s->host[last] == '.') {
				s->host[last] = 0;
				s->host_len--;
				if (!s->host_len ||
				    s->host[hr_bound(last - 1, HR_HOST_MAX - 1)] == '.')
					s->bad = 1;
			}
			return s->bad ? HR_SCAN_DECLINE(s, HEAD_ODD) : 0;
		}
		s->bad = 1;
	}
	if (s->bad || !hr_scan_port_ok(s))
		return HR_SCAN_DECLINE(s, HEAD_ODD);
	return 0;
}

HR_INLINE int hr_scan_length(struct hr_scan *s)
{
	const __u8 *p = s->buf + hr_bound(s->cl_off, HR_KHEAD_MASK);
	__u64 v;

	if (!hr_line_decimal(p, s->cl_len, &v))
		return HR_SCAN_DECLINE(s, HEAD_ODD);
	s->content_length = v;
	return 0;
}

/* ---- entry points -------------------------------------------------------------------------- */

HR_INLINE void hr_scan_reset(struct hr_scan *s, __u32 n)
{
	s->why = s->head_len = s->host_off = s->host_raw_len = s->host_len = s->nlines = 0;
	s->method = s->method_len = s->has_query = s->double_slash = 0;
	s->path_off = s->path_len = s->query_off = s->query_len = 0;
	s->content_length = 0;
	s->has_content_length = s->close = 0;
	s->bad = s->slow = 0;
	hr_lines_reset(&s->lines, n);
	for (int i = 0; i < HR_HOST_MAX / 8; i++)
		((__u64 *)s->host)[i] = 0;
	for (int i = 0; i < HR_SCAN_NAMES / 8; i++)
		((__u64 *)s->by_name)[i] = 0;
}

/* "GET /path HTTP/1.1": the target of it; 0 or a verdict. */
HR_INLINE int hr_scan_line0(struct hr_scan *s, __u32 n, __u32 target)
{
	__u32 end = s->lines.start[0] - 2U; /* of the first line */
	__u64 version;

	if (end < target + 9 || end >= HR_KHEAD_MAX)
		return hr_scan_guess(s, n);
	version = hr_w8(s->buf + hr_bound(end - 8, HR_KHEAD_MASK));
	if (s->buf[hr_bound(end - 9, HR_KHEAD_MASK)] != ' ')
		return hr_scan_guess(s, n);
	if (version == HR_W("HTTP/1.0"))
		return HR_SCAN_DECLINE(s, HTTP10);
	if (version != HR_W("HTTP/1.1"))
		return hr_scan_guess(s, n);
	return hr_scan_target(s, target, end - 9);
}

/*
 * s->buf holds the first n bytes (n <= HR_KHEAD_MAX) of what the client sends as a request. Gives
 * enum hr_scan_verdict. The bytes after n in buf are overwritten (16 of the slack).
 */
HR_SCAN_GLOBAL int hr_scan_request(struct hr_scan *s, __u32 n)
{
	struct hr_scan_ctx c = {s};
	__u32 target;
	__u8 *tail;
	int r;

	if (!s || n > HR_KHEAD_MAX)
		return HR_SCAN_DECLINED;
	hr_scan_reset(s, n);
	if (!n)
		return HR_SCAN_INCOMPLETE;
	tail = s->buf + hr_bound(n - 1, HR_KHEAD_MASK) + 1;
	hr_w8_zero(tail);
	hr_w8_zero(tail + 8);
	if (hr_w8(s->buf) == HR_W("PRI * HT"))
		return HR_SCAN_H2;
	target = hr_scan_method(s);
	if (!target)
		return hr_scan_guess(s, n);

	hr_each((n + HR_LINES_STEP - 1) / HR_LINES_STEP, hr_scan_step, &c);
	if (s->lines.nstart) {
		r = s->lines.bad ? hr_scan_guess(s, n) : hr_scan_line0(s, n, target);
		if (r)
			return r;
	}
	if (s->lines.bad)
		return HR_SCAN_DECLINE(s, HEAD_ODD);
	if (s->lines.nstart > HR_SCAN_LINES + 1)
		return HR_SCAN_DECLINE(s, HEAD_LONG);
	s->head_len = s->lines.end;
	if (!s->head_len)
		return n >= HR_KHEAD_MAX ? HR_SCAN_DECLINE(s, HEAD_LONG) : HR_SCAN_INCOMPLETE;
	s->nlines = s->lines.nstart - 1;
	hr_each(s->nlines, hr_scan_field, &c);
	if (s->why)
		return HR_SCAN_DECLINED;
	r = hr_scan_host(s);
	if (!r && s->has_content_length)
		r = hr_scan_length(s);
	return r;
}

struct hr_scan_find_ctx {
	struct hr_scan *s;
	const char *name;
	__u64 key;
	__u32 len;
};

static long hr_scan_find_line(__u32 i, void *ctx)
{
	struct hr_scan_find_ctx *c = ctx;
	struct hr_scan *s = c->s;
	struct hr_scan_line *l = &s->line[hr_bound(i, HR_SCAN_LINES - 1)];
	const __u8 *have = s->buf + hr_bound(l->name_off, HR_KHEAD_MASK);

	if (l->key != c->key || l->name_len != c->len)
		return 0;
	HR_UNROLL
	for (__u32 j = 8; j < HR_HNAME_MAX; j += 8) {
		__u64 in = c->len > j ? hr_w_below(c->len - j) : 0;

		if ((hr_w_lower(hr_w8(have + j) & HR_W_LOW7) ^ hr_w8(c->name + j)) & in)
			return 0;
	}
	s->found = i;
	return ++s->nfound > 1;
}

/*
 * Header of that name after HR_SCAN_OK: 0 absent, 1 (s->found is its index in s->line), 2 when it
 * is repeated: then its value is all of them joined, which is the agent's business.
 * `name`: lower case, zero padded to HR_HNAME_MAX readable bytes, as in hr_dim.
 */
HR_INLINE int hr_scan_find(struct hr_scan *s, const char *name, __u32 len)
{
	struct hr_scan_find_ctx c = {s, name, 0, len};
	__u32 at;

	c.key = (hr_w8(name) | HR_W_REP(0x20)) & hr_w_below(len);
	s->nfound = 0;
	at = s->by_name[hr_bound(hr_scan_name(c.key, len), HR_SCAN_NAMES - 1)];
	if (at == HR_SCAN_SEVERAL)
		hr_each(s->nlines, hr_scan_find_line, &c);
	else if (at)
		hr_scan_find_line(at - 1, &c);
	return s->nfound;
}
