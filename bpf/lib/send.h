/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Native: bytes that go on their own connection, or straight to its other end on this node. */
#pragma once

#include "lib/addr.h"
#include "lib/pressure.h"
#include "lib/slot.h"
#include "lib/spill.h"

/* A message that its socket cannot take whole is cut short, and then "pass" leaves a verdict behind
 * that would let the next message through unseen. The redirect to C itself leaves none, but costs
 * more: it is for messages that are larger than this or than half of the room. */
#define PASS_MAX (16 * 1024)

/* What TCP takes for a packet beyond its bytes. */
#define SKB_OVERHEAD 2048

static __always_inline int has_room(const struct tcp_sock *tp, __u32 size)
{
	const struct sock *sk = (const struct sock *)tp;

	if (tp->notsent_lowat || sk->sk_wmem_queued + 2 * (int)size >= sk->sk_sndbuf)
		return 0;
	/* memory that it has already, or that nothing speaks against */
	return sk->sk_forward_alloc > (int)size + SKB_OVERHEAD || !sk_pressed(sk);
}

/* The owner did shutdown(SHUT_WR), or closed: nothing may be sent any more, by whatever way. */
static __always_inline int send_is_shut(const struct tcp_sock *tp)
{
	return ((const struct sock *)tp)->sk_shutdown & SEND_SHUTDOWN;
}

/* The first `bytes` of the message, or all of it when 0, go by the TCP of their own socket `tp`,
 * which is in `table` under `key`. `marks`: what was left of its last message. */
static __always_inline int by_tcp(struct sk_msg_md *msg, const struct tcp_sock *tp, void *table,
				  __u64 key, __u32 marks, __u32 bytes)
{
	stall();
	bpf_msg_apply_bytes(msg, bytes);
	if (!(marks & CONN_M_REDIRECTED) && !bytes && msg->size <= PASS_MAX &&
	    has_room(tp, msg->size))
		return SK_PASS;
	if (bpf_msg_redirect_hash(msg, table, &key, 0) == SK_PASS)
		return SK_PASS;
	/* it has left the sockhash meanwhile (capture ends): it is ordinary TCP from here on */
	bpf_msg_apply_bytes(msg, 0);
	return SK_PASS;
}

/* The same for C. */
static __always_inline int pass(struct sk_msg_md *msg, const struct tcp_sock *tp, struct conn *c,
				__u64 cookie, __u32 bytes)
{
	__u32 marks = c->mark;

	c->mark = bytes ? CONN_M_REDIRECTED : 0;
	return by_tcp(msg, tp, &cl_hash, cookie, marks, bytes);
}

/* The first `bytes` of C's message, or all of it when 0, go to its own endpoint: into the receive
 * queue of S when that is on this node and may be used, else natively. */
static __always_inline int carry(struct sk_msg_md *msg, const struct tcp_sock *tp, struct conn *c,
				 __u64 cookie, __u32 bytes)
{
	__u32 n = bytes ? bytes : msg->size;

	if (!may_redirect(tp, c->pair.peer, &c->pair.spilled, c, TO_SERVER))
		return pass(msg, tp, c, cookie, bytes);
	bpf_msg_apply_bytes(msg, bytes);
	if (bpf_msg_redirect_hash(msg, &s_hash, &cookie, BPF_F_INGRESS) != SK_PASS)
		return pass(msg, tp, c, cookie, bytes);
	c->mark = CONN_M_REDIRECTED;
	c->up_left = c->up_left > n ? c->up_left - n : 0;
	count_pair(HR_PAIR_REQUESTS, 1);
	count_pair(HR_PAIR_BYTES, n);
	return SK_PASS;
}
