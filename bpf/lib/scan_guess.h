/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The head scanner's second look at a first line that is not plainly HTTP/1.1: odd, or no HTTP? */
#pragma once

#include "lib/scan_state.h"

/* RFC 9110 token characters as two words of bits. */
HR_INLINE int hr_scan_tchar(__u8 c)
{
	const __u64 lo = 0x03ff6cfa00000000ULL, hi = 0x57ffffffc7fffffeULL;

	if (c >= 128)
		return 0;
	return (c < 64 ? lo >> c : hi >> (c - 64)) & 1;
}

enum { HR_GUESS_TOKEN, HR_GUESS_REST, HR_GUESS_LINE, HR_GUESS_ODD, HR_GUESS_NOT };

static long hr_scan_guess_byte(__u32 i, void *ctx)
{
	struct hr_scan *s = ((struct hr_scan_ctx *)ctx)->s;
	__u8 c = s->buf[hr_bound(i, HR_KHEAD_MASK)];

	if (s->guess == HR_GUESS_TOKEN) {
		if (hr_scan_tchar(c))
			return 0;
		if (c == ' ' && i)
			s->guess = HR_GUESS_REST;
		else
			/* servers skip empty lines before a request */
			s->guess = !i && (c == '\r' || c == '\n') ? HR_GUESS_ODD : HR_GUESS_NOT;
		return s->guess != HR_GUESS_REST;
	}
	if (c == '\n') {
		s->guess = HR_GUESS_LINE;
		return 1;
	}
	s->window = (s->window << 8 | (c | 0x20)) & 0xffffffffffULL;
	if (s->window == 0x687474702fULL) /* "http/" */
		s->version_seen = 1;
	return 0;
}

/*
 * Not a request line as we know it. NOT_HTTP lets the bytes pass a listener that detects its
 * protocol, so it is said only of what no lenient server answers: HTTP/0.9 knows GET alone, and
 * everything later writes its version.
 */
HR_INLINE int hr_scan_guess(struct hr_scan *s, __u32 n)
{
	struct hr_scan_ctx c = {s};

	s->guess = HR_GUESS_TOKEN;
	s->version_seen = 0;
	s->window = 0;
	hr_each(n, hr_scan_guess_byte, &c);
	switch (s->guess) {
	case HR_GUESS_TOKEN:
	case HR_GUESS_REST:
		if (n >= HR_KHEAD_MAX)
			return HR_SCAN_DECLINE(s, HEAD_LONG);
		return HR_SCAN_INCOMPLETE;
	case HR_GUESS_LINE:
		if (!s->version_seen && hr_w4(s->buf) != (__u32)HR_W("GET "))
			return HR_SCAN_NOT_HTTP;
		return HR_SCAN_DECLINE(s, HEAD_ODD);
	case HR_GUESS_ODD:
		return HR_SCAN_DECLINE(s, HEAD_ODD);
	default:
		return HR_SCAN_NOT_HTTP;
	}
}
