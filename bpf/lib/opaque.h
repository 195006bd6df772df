/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Opaque connections between two captured ends of this node (headrace.io/same-node: tcp): each send
 * of either goes straight into the other's receive queue, when lib/spill.h lets it, and nobody
 * reads a byte of it. C is in state TUNNEL.
 *
 * Several threads may send on one socket at once: its lock is free while a redirect is under way.
 * So nothing is remembered from one send to the next but that there was a redirect: from then on
 * "pass" is a redirect to the socket itself, because the rest of a message of which only a part
 * found room comes here again with the first verdict still in it (DESIGN traps 2, 24). Messages are
 * never cut by apply_bytes.
 */
#pragma once

#include "lib/pair.h"
#include "lib/pressure.h"
#include "lib/send.h"

static __always_inline int opaque_fits(const struct sock *sk)
{
	return !socket_kind(sk) && !wants_tcp(sk) && !sk_pressed(sk);
}

/* A socket that blocks, or that has come to want what only TCP gives, is left to it. */
static __always_inline int opaque_still_fits(const struct sock *sk)
{
	return socket_kind(sk) != 1 && !wants_tcp(sk);
}

static __always_inline int opaque_on(struct conn *c, const struct sock *sk)
{
	if (!(c->vip_flags & HR_VIP_NEAR_TCP))
		return 0;
	if (opaque_still_fits(sk))
		return 1;
	c->vip_flags &= ~HR_VIP_NEAR_TCP; /* for both directions */
	return 0;
}

static __always_inline void opaque_count(__u32 bytes)
{
	count_pair(HR_PAIR_SENDS, 1);
	count_pair(HR_PAIR_BYTES, bytes);
}

/* What C sends. */
static __always_inline int opaque_send(struct sk_msg_md *msg, const struct tcp_sock *tp,
				       struct conn *c, __u64 cookie)
{
	bpf_msg_apply_bytes(msg, 0);
	if (opaque_on(c, (const struct sock *)tp) &&
	    may_redirect(tp, c->pair.peer, &c->pair.spilled, c, TO_SERVER) &&
	    bpf_msg_redirect_hash(msg, &s_hash, &cookie, BPF_F_INGRESS) == SK_PASS) {
		c->mark = CONN_M_REDIRECTED;
		c->tx += msg->size;
		opaque_count(msg->size);
		return SK_PASS;
	}
	return by_tcp(msg, tp, &cl_hash, cookie, c->mark, 0);
}

/* What its server sends. */
static __always_inline int opaque_answer(struct sk_msg_md *msg, struct conn *c, struct served *s,
					 struct tcp_sock *tp)
{
	__u64 conn = s->conn;

	bpf_msg_apply_bytes(msg, 0);
	if (opaque_on(c, (struct sock *)tp) &&
	    may_redirect(tp, c->pub.sk, &s->spilled, c, TO_CLIENT) &&
	    bpf_msg_redirect_hash(msg, &cl_hash, &conn, BPF_F_INGRESS) == SK_PASS) {
		s->mark = CONN_M_REDIRECTED;
		c->rx += msg->size;
		opaque_count(msg->size);
		return SK_PASS;
	}
	return by_tcp(msg, tp, &s_hash, conn, s->mark, 0);
}
