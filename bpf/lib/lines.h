/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Lines of an HTTP head: every byte checked, each line found, names split off. For scan*.h. */
#pragma once

#include "lib/words.h"

/* Header lines of a head that the kernel looks at; more: HEAD_LONG. Power of two. */
#define HR_SCAN_LINES 32
/* Longest header name that the scanners accept: five words. */
#define HR_SCAN_NAME_MAX 39

struct hr_lines {
	__u64 carry; /* 0x80 when the byte before this word was a carriage return */
	__u32 n;     /* bytes in the buffer */
	__u32 nstart;
	__u32 end; /* first byte after the empty line, 0: not seen */
	__u32 bad;
	__u16 start[64]; /* first byte after each line feed */
};

HR_INLINE void hr_lines_reset(struct hr_lines *l, __u32 n)
{
	l->carry = 0;
	l->n = n;
	l->nstart = l->end = l->bad = 0;
}

/* A line feed before `after`, at offset pos: remembers the line; true when the empty line follows.
 */
HR_INLINE int hr_lines_newline(struct hr_lines *l, const __u8 *after, __u32 pos)
{
	l->start[hr_bound(l->nstart, 63)] = pos;
	l->nstart++;
	if (hr_w2(after) != 0x0a0d)
		return 0;
	l->end = pos + 2;
	return 1;
}

/* A word that is not plain text, or follows a carriage return. True: stop. */
HR_INLINE int hr_lines_break(struct hr_lines *l, const __u8 *p, __u32 off, __u64 w)
{
	__u32 limit = l->n - off, k;
	__u64 w7 = w & HR_W_LOW7;
	__u64 cr = hr_w_eq(w7, '\r'), lf = hr_w_eq(w7, '\n');
	__u64 bad = (w & HR_W_HIGH) | (~hr_w_ge(w7, 0x20) & HR_W_HIGH & ~(cr | lf)) |
		    hr_w_eq(w7, 0x7f) | (lf ^ (cr << 8 | l->carry));
	int end = 0;

	l->carry = cr >> 56;
	if (lf) {
		k = hr_bound(hr_w_first(lf) + 1, 15);
		end = hr_lines_newline(l, p + k, off + k);
		lf &= lf - 1;
		if (!end && lf) {
			k = hr_bound(hr_w_first(lf) + 1, 15);
			end = hr_lines_newline(l, p + k, off + k);
			/* a third one means a line of less than "a:" */
			if (!end && (lf & (lf - 1)))
				l->bad = 1;
		}
		if (end)
			limit = l->end - off;
	}
	if (bad & hr_w_below(limit))
		l->bad = 1;
	return end || l->bad || l->nstart > HR_SCAN_LINES + 1;
}

/* Bytes that one callback looks at: returning from it costs more than eight of them. */
#define HR_LINES_STEP 64

/* The step at p, offset off: only visible ASCII, spaces, and CR LF pairs pass. True: stop. */
HR_INLINE int hr_lines_step(struct hr_lines *l, const __u8 *p, __u32 off)
{
	HR_UNROLL
	for (__u32 j = 0; j < HR_LINES_STEP; j += 8) {
		__u64 w = hr_w8(p + j), w7 = w & HR_W_LOW7;
		__u64 odd = (w | (w7 + HR_W_ONES) | ~(w7 + HR_W_REP(0x60))) & HR_W_HIGH;

		if (off + j >= l->n)
			return 1;
		/* most words are plain; the zeros after the last byte are odd */
		if ((odd | l->carry) && hr_lines_break(l, p + j, off + j, w))
			return 1;
	}
	return 0;
}

/* Length of the name before the colon, 0 when the line is odd. Every byte of it is a letter, a
 * digit, '-' or '_'; folded[] gets the first three words, | 0x20. */
HR_INLINE __u32 hr_line_name(const __u8 *p, __u64 folded[3])
{
	__u64 w7, colon, ok;
	__u32 k;

	folded[0] = folded[1] = folded[2] = 0;
	HR_UNROLL
	for (__u32 j = 0; j < 5; j++) {
		w7 = hr_w8(p + j * 8) & HR_W_LOW7;
		colon = hr_w_eq(w7, ':');
		ok = hr_w_alpha(w7) | hr_w_in(w7, '0', '9') | hr_w_eq(w7, '-') | hr_w_eq(w7, '_');
		k = colon ? hr_w_first(colon) : 8;
		if (~ok & HR_W_HIGH & hr_w_below(k))
			return 0;
		if (j < 3)
			folded[j] = (w7 | HR_W_REP(0x20)) & hr_w_below(k);
		if (colon)
			return j * 8 + k;
	}
	return 0;
}

/* Value of the line that ends before the CR at `end`: skips one space; 0 when blanks are left. */
HR_INLINE __u32 hr_line_value(const __u8 *buf, __u32 from, __u32 end, __u32 mask)
{
	if (buf[hr_bound(from, mask)] == ' ')
		from++;
	if (from < end && (buf[hr_bound(from, mask)] == ' ' || buf[hr_bound(end - 1, mask)] == ' '))
		return 0;
	return from;
}

/* 1 to 15 decimal digits; 0 when it is something else. No loop: older verifiers lose the bounds of
 * an index that the compiler folds into a loop counter. */
HR_INLINE int hr_line_decimal(const __u8 *p, __u32 n, __u64 *out)
{
	__u32 more = hr_bound(n - 8, 7);
	__u64 w = hr_w8(p), tail;

	if (!n || n > 15)
		return 0;
	if (n <= 8) {
		if (!hr_w_digits(w, n))
			return 0;
		*out = hr_w_decimal(w, n);
		return 1;
	}
	tail = hr_w8(p + more);
	if (!hr_w_digits(w, more) || !hr_w_digits(tail, 8))
		return 0;
	*out = hr_w_decimal(w, more) * 100000000 + hr_w_decimal(tail, 8);
	return 1;
}
