/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The head of an answer that a server on this node sends: what it says of its end.
 *
 * It is read in a box that all such servers share, not in a buffer of each connection: to make and
 * zero 2 KB costs a connection of one request more than to read its answer. A box also remembers
 * the head that it was used for last: servers give the same one again and again, to whomever.
 * sk_msg may be preempted (DESIGN trap 11), so a box is taken by exchange, and a processor has two.
 */
#pragma once

#include "lib/maps.h"
#include "lib/memo.h"

/* The longest head that is compared with the one before it. */
#define BOX_MEMO_MAX 512

struct answer {
	__u64 total; /* bytes, head and body; 0: its head does not tell */
	__u16 status;
	__u8 close; /* the server closes after it */
};

static __always_inline struct answer_box *box_take(void)
{
	__u32 at = bpf_get_smp_processor_id() * 2;
	struct answer_box *b;

	for (__u32 i = 0; i < 2; i++) {
		__u32 n = (at + i) & (ANSWER_BOXES - 1);

		b = bpf_map_lookup_elem(&answer_boxes, &n);
		if (b && !__sync_lock_test_and_set(&b->busy, 1))
			return b;
	}
	return NULL;
}

static __always_inline void box_give(struct answer_box *b)
{
	__sync_lock_test_and_set(&b->busy, 0);
}

/* The head of the message into the box. Gives its length, 0: cannot. */
static __always_inline __u32 box_fill(struct sk_msg_md *msg, struct answer_box *b)
{
	__u32 want = msg->size < HR_KRESP_MAX ? msg->size : HR_KRESP_MAX;
	__u64 have = (__u64)msg->data_end - (__u64)msg->data;

	if (have < want) {
		if (bpf_msg_pull_data(msg, 0, want, 0))
			return 0;
		have = (__u64)msg->data_end - (__u64)msg->data;
	}
	asm volatile("" : "+r"(have));
	if (!have || have < want)
		return 0;
	have = ((want - 1) & (HR_KRESP_MAX - 1)) + 1;
	asm volatile("" : "+r"(have));
	b->resp.known = 0;
	if (have > HR_KRESP_MAX || bpf_probe_read_kernel(b->resp.buf, have, msg->data))
		return 0;
	return have;
}

/* Does the message begin with the head that the box is of? */
static __always_inline int box_repeats(struct sk_msg_md *msg, const struct answer_box *b,
				       __u32 head_req)
{
	return !b->resp.known_head == !head_req &&
	       memo_begins(msg, b->resp.buf, b->resp.known, BOX_MEMO_MAX);
}

/* What the answer that begins with this message says of itself. A function of its own: two places
 * ask. */
static __noinline int answer_read(struct sk_msg_md *msg, __u32 head_req, struct answer *a)
{
	struct answer_box *b;
	__u32 n;

	if (!a)
		return 0;
	a->total = 0;
	b = box_take();
	if (!b)
		return 0;
	if (!box_repeats(msg, b, head_req)) {
		n = box_fill(msg, b);
		if (!n || hr_scan_response(&b->resp, n, head_req) != HR_RESP_OK)
			b->resp.known = 0;
	}
	if (b->resp.known && !b->resp.interim &&
	    (b->resp.end == HR_END_NONE || b->resp.end == HR_END_LENGTH)) {
		a->total = b->resp.head_len;
		if (b->resp.end == HR_END_LENGTH)
			a->total += b->resp.content_length;
		a->status = b->resp.status;
		a->close = b->resp.close;
	}
	box_give(b);
	if (a->total < msg->size)
		a->total = 0;
	return 0;
}
