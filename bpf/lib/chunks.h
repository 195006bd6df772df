/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a chunked answer ends: a byte at a time over sizes and trailers, data is skipped. */
#pragma once

#include "lib/conn.h"

struct chunk_walk {
	struct __sk_buff *skb;
	struct chunks *c;
	__u32 off, len;
};

/* A size that no server means; the answer's end is then unknown. */
#define CHUNK_MAX (1ULL << 40)

/* A size line is complete. */
static __always_inline void chunk_begin(struct chunks *c)
{
	if (c->left) {
		c->left += 2;
		c->state = CHUNK_DATA;
	} else {
		c->state = CHUNK_TRAILER;
	}
}

static __always_inline void chunk_digit(struct chunks *c, __u8 b)
{
	__u8 low = b | 0x20;
	__u64 v;

	if (b == '\n') {
		chunk_begin(c);
		return;
	}
	if (b >= '0' && b <= '9')
		v = b - '0';
	else if (low >= 'a' && low <= 'f')
		v = low - 'a' + 10;
	else
		v = 16;
	if (v < 16 && c->left < CHUNK_MAX)
		c->left = c->left * 16 + v;
	else if (b == '\r' || b == ';' || b == ' ')
		c->state = CHUNK_EXT;
	else
		c->state = CHUNK_BAD;
}

static __always_inline void chunk_byte(struct chunks *c, __u8 b)
{
	switch (c->state) {
	case CHUNK_SIZE:
		chunk_digit(c, b);
		break;
	case CHUNK_EXT:
		if (b == '\n')
			chunk_begin(c);
		break;
	case CHUNK_TRAILER:
		if (b == '\n')
			c->state = CHUNK_END;
		else if (b != '\r')
			c->state = CHUNK_FIELD;
		break;
	case CHUNK_FIELD:
		if (b == '\n')
			c->state = CHUNK_TRAILER;
		break;
	}
}

static long chunk_step(__u32 i, struct chunk_walk *w)
{
	struct chunks *c = w->c;
	__u32 rest = w->len - w->off, take;
	__u8 b;

	(void)i;
	if (w->off >= w->len || c->state >= CHUNK_END)
		return 1;
	if (c->state == CHUNK_DATA) {
		take = c->left < rest ? c->left : rest;
		c->left -= take;
		w->off += take;
		if (!c->left)
			c->state = CHUNK_SIZE;
		return 0;
	}
	if (bpf_skb_load_bytes(w->skb, w->off, &b, 1))
		c->state = CHUNK_BAD;
	else
		chunk_byte(c, b);
	w->off++;
	return 0;
}

/* Goes on from offset `off` of the packet; c->state tells how far it came. */
static __always_inline void chunks_walk(struct __sk_buff *skb, struct chunks *c, __u32 off,
					__u32 len)
{
	struct chunk_walk w = {.skb = skb, .c = c, .off = off, .len = len};

	bpf_loop(len, chunk_step, &w, 0);
}
