/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Scanner of HTTP/1.x response heads, for BPF and for user space: status, and where the answer
 * ends. What it accepts, the strict parser accepts with the same framing; whatever else is odd:
 * the end is unknown. The status is given even then, when the status line was there.
 */
#pragma once

#include "lib/lines.h"

enum hr_resp_verdict {
	HR_RESP_OK = 0,
	HR_RESP_INCOMPLETE, /* the head goes on after n bytes */
	HR_RESP_ODD,	    /* the end of this answer is not known */
};

enum hr_resp_end {
	HR_END_NONE = 1, /* with the head: HEAD, 1xx, 204, 304 */
	HR_END_LENGTH,	 /* content_length bytes after the head */
	HR_END_CHUNKED,
	HR_END_CLOSE, /* with the connection */
};

struct hr_resp {
	__u8 buf[HR_KRESP_MAX + HR_KHEAD_SLACK];

	/* out */
	__u64 content_length; /* END_LENGTH */
	__u16 status;	      /* 0: no status line */
	__u16 head_len;
	__u8 end;     /* enum hr_resp_end */
	__u8 close;   /* the server closes after it */
	__u8 interim; /* 1xx but 101: another answer follows */
	__u8 minor;
	__u8 ratelimited; /* x-envoy-ratelimited: not to be tried again */
	__u8 keep;	  /* "Connection: keep-alive" */
	__u16 keep_off;	  /* of that value */

	/* The first `known` bytes of buf are the head that this is of, an answer to a HEAD or not
	 * (known_head); 0: not known. Whoever writes into buf sets it to 0 before. */
	__u16 known;
	__u8 known_head;

	/* private */
	__u8 odd, chunked, has_length;
	__u16 cl_off, cl_len;
	struct hr_lines lines;
};

struct hr_resp_ctx {
	struct hr_resp *s;
};

#define HR_KRESP_MASK (HR_KRESP_MAX - 1)

static long hr_resp_step(__u32 i, void *ctx)
{
	struct hr_resp *s = ((struct hr_resp_ctx *)ctx)->s;
	__u32 off = hr_bound(i * HR_LINES_STEP, HR_KRESP_MASK);

	return hr_lines_step(&s->lines, s->buf + off, off);
}

/* f: the name, folded; the value is at v. */
HR_INLINE void hr_resp_known(struct hr_resp *s, __u32 n, const __u64 f[3], __u32 value, __u32 len)
{
	const __u8 *v = s->buf + hr_bound(value, HR_KRESP_MASK);
	__u64 lo = (hr_w8(v) & HR_W_LOW7) | HR_W_REP(0x20), hi = hr_w2(v + 8) | 0x2020;

	if (n == 14 && f[0] == HR_W("content-") && f[1] == HR_W("length")) {
		s->odd |= s->has_length;
		s->has_length = 1;
		s->cl_off = value;
		s->cl_len = len;
	} else if (n == 17 && f[0] == HR_W("transfer") && f[1] == HR_W("-encodin") &&
		   f[2] == HR_W("g")) {
		s->odd |= s->chunked || len != 7 || (lo & hr_w_below(7)) != HR_W("chunked");
		s->chunked = 1;
	} else if (n == 10 && f[0] == HR_W("connecti") && f[1] == HR_W("on")) {
		if (len == 10 && lo == HR_W("keep-ali") && hi == HR_W("ve")) {
			s->odd |= s->keep; /* the first would be forgotten */
			s->keep = 1;
			s->keep_off = value;
		} else if (len == 5 && (lo & hr_w_below(5)) == HR_W("close"))
			s->close = 1;
		else
			s->odd = 1;
	} else if (n == 19 && f[0] == HR_W("x-envoy-") && f[1] == HR_W("ratelimi") &&
		   f[2] == HR_W("ted")) {
		s->ratelimited = 1;
	} else if ((n == 14 || n == 17) && (hr_w_eq(f[0], 0x7f) | hr_w_eq(f[1], 0x7f))) {
		s->odd = 1; /* '_' that a reader may take for '-' */
	}
}

static long hr_resp_field(__u32 i, void *ctx)
{
	struct hr_resp *s = ((struct hr_resp_ctx *)ctx)->s;
	__u32 from = hr_bound(s->lines.start[hr_bound(i, 63)], HR_KRESP_MASK);
	__u32 end = hr_bound(s->lines.start[hr_bound(i + 1, 63)] - 2, HR_KRESP_MASK);
	__u64 f[3];
	__u32 n = hr_line_name(s->buf + from, f), value;

	value = n ? hr_line_value(s->buf, from + n + 1, end, HR_KRESP_MASK) : 0;
	if (!value) {
		s->odd = 1;
		return 1;
	}
	hr_resp_known(s, n, f, value, end - value);
	return s->odd != 0;
}

/* "HTTP/1.x 200" and a space or the line's end. */
HR_INLINE int hr_resp_status(struct hr_resp *s, __u32 n)
{
	__u64 w = hr_w8(s->buf);
	__u8 a = s->buf[9] - '0', b = s->buf[10] - '0', c = s->buf[11] - '0';

	if (n < 13 || (w != HR_W("HTTP/1.1") && w != HR_W("HTTP/1.0")) || s->buf[8] != ' ')
		return 0;
	if (a < 1 || a > 5 || b > 9 || c > 9 || s->buf[12] != ' ')
		return 0;
	s->minor = s->buf[7] - '0';
	s->status = a * 100 + b * 10 + c;
	return 1;
}

HR_INLINE int hr_resp_length(struct hr_resp *s)
{
	const __u8 *p = s->buf + hr_bound(s->cl_off, HR_KRESP_MASK);
	__u64 v;

	if (!hr_line_decimal(p, s->cl_len, &v))
		return 0;
	s->content_length = v;
	return 1;
}

/* RFC 9112 section 6.3; 101 and answers whose fields contradict each other are odd. */
HR_INLINE int hr_resp_frame(struct hr_resp *s, __u32 head_request)
{
	__u16 st = s->status;

	if (s->odd || st == 101 || (s->keep && s->close) || (s->chunked && s->has_length) ||
	    (s->chunked && (!s->minor || st < 200 || st == 204)))
		return HR_RESP_ODD;
	if (s->has_length && (!hr_resp_length(s) || st < 200 || (st == 204 && s->content_length)))
		return HR_RESP_ODD;
	s->interim = st < 200;
	if (head_request || st < 200 || st == 204 || st == 304)
		s->end = HR_END_NONE;
	else if (s->chunked)
		s->end = HR_END_CHUNKED;
	else if (s->has_length)
		s->end = HR_END_LENGTH;
	else
		s->end = HR_END_CLOSE;
	if (!s->minor && !s->keep)
		s->close = 1;
	if (s->end == HR_END_CLOSE)
		s->close = 1;
	return HR_RESP_OK;
}

/*
 * s->buf holds the first n bytes (n <= HR_KRESP_MAX) of an answer; `head_request`: it answers a
 * HEAD. Gives enum hr_resp_verdict; the bytes after n in buf are overwritten (16 of the slack).
 */
HR_SCAN_GLOBAL int hr_scan_response(struct hr_resp *s, __u32 n, __u32 head_request)
{
	struct hr_resp_ctx c = {s};
	__u8 *tail;

	if (!s || n > HR_KRESP_MAX)
		return HR_RESP_ODD;
	s->content_length = 0;
	s->status = s->head_len = s->known = 0;
	s->end = s->close = s->interim = s->minor = s->ratelimited = 0;
	s->odd = s->chunked = s->keep = s->has_length = 0;
	hr_lines_reset(&s->lines, n);
	if (n < 13)
		return HR_RESP_INCOMPLETE;
	tail = s->buf + hr_bound(n - 1, HR_KRESP_MASK) + 1;
	hr_w8_zero(tail);
	hr_w8_zero(tail + 8);
	if (!hr_resp_status(s, n))
		return HR_RESP_ODD;
	hr_each((n + HR_LINES_STEP - 1) / HR_LINES_STEP, hr_resp_step, &c);
	if (s->lines.bad || s->lines.nstart > HR_SCAN_LINES + 1)
		return HR_RESP_ODD;
	if (!s->lines.end)
		return n >= HR_KRESP_MAX ? HR_RESP_ODD : HR_RESP_INCOMPLETE;
	s->head_len = s->lines.end;
	hr_each(s->lines.nstart - 1, hr_resp_field, &c);
	if (hr_resp_frame(s, head_request) != HR_RESP_OK)
		return HR_RESP_ODD;
	s->known = s->head_len;
	s->known_head = head_request;
	return HR_RESP_OK;
}
