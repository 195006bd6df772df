/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fields that a route adds to the head of a request, put there by the kernel.
 *
 *	head CR LF | body	push_data: the message has a hole, in pieces
 *	head | fields CR LF | body	pull_data: in one piece again, or each would be a packet
 *
 * Only a message that its socket takes whole is changed: what a send that is cut short tells its
 * caller is only right once the fields are out (DESIGN trap 3), see edit_torn(). After the change
 * nobody else may have the message: the agent would add the fields once more.
 */
#pragma once

#include "lib/decide.h"
#include "lib/local.h"
#include "lib/send.h"

_Static_assert(HR_EDIT_MAX == HR_REPLY_MAX, "one writer");

#define EDIT_NONE (~0ULL)

/* The message may be changed for its own connection, which passes it on whole. */
static __always_inline int edit_room(const struct sk_msg_md *msg, const struct tcp_sock *tp)
{
	return msg->size <= HR_EDIT_MESSAGE_MAX && has_room(tp, msg->size + HR_EDIT_MAX);
}

/* 0; or -1 and the message is as it was. */
static __noinline int edit_head(struct sk_msg_md *msg, struct conn *c, struct conn_scratch *s)
{
	struct hr_edit *e = bpf_map_lookup_elem(&edits, &s->edit);
	__u32 at = s->scan.head_len - 2, len, size = msg->size;

	if (!e)
		return -1;
	len = e->len;
	if (!len || len > HR_EDIT_MAX || bpf_msg_push_data(msg, at, len, 0))
		return -1;
	/* without memory for one piece it goes in three */
	bpf_msg_pull_data(msg, 0, size + len, 0);
	if (bpf_msg_pull_data(msg, at, at + len, 0) || msg_write(msg, e->text, len)) {
		bpf_msg_pop_data(msg, at, len, 0);
		return -1;
	}
	c->after_edit = s->scan.head_len + s->scan.content_length - at;
	return 0;
}

/* Of what was sent of the request, not even all that was added is out: its sender has been told a
 * number that is no place in its own bytes. `left`: bytes still to come. */
static __always_inline int edit_torn(const struct conn *c, __u64 left)
{
	return left > c->after_edit;
}

/* Overwrites the value "close" of the request's option by five others, or by itself. Apart from
 * move(), whose chain of calls leaves no room on the stack. */
static __noinline int close_write(struct sk_msg_md *msg, const struct conn_scratch *s, __u64 value)
{
	__u8 *d, *end;

	if (!s || bpf_msg_pull_data(msg, 0, s->scan.head_len, 0))
		return -1;
	d = msg->data;
	end = msg->data_end;
	d += hr_bound(s->scan.close_off, HR_KHEAD_MAX - 1);
	if (d + 5 > end)
		return -1;
	*(__u32 *)d = value;
	d[4] = value >> 32;
	return 0;
}
#define CLOSE_HIDDEN HR_W("     ")
#define CLOSE_SHOWN HR_W("close")
