/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When bytes may go straight into the receive queue of a socket on this node, and when they must
 * take the ordinary way ("spill"). A redirect into a receive queue has no backpressure and knows
 * nothing of what TCP has under way, so both are looked up in the sockets for each message:
 *
 *	me.write_seq == peer.copied_seq		what went natively before has been read: nothing can
 *						be overtaken
 *	peer.sk_rmem_alloc small, no pressure	the reader keeps up; otherwise TCP's window stops
 *the writer, as it would without us
 *
 * The peer's socket may go away meanwhile: its address is read with faults handled, and a redirect
 * to a key that has left the sockhash fails and becomes a pass.
 */
#pragma once

#include "lib/pressure.h"
#include "lib/slot.h"

/* TCP, or the memory cgroup that pays for the queue, is short: a redirect could fail half way. */
static __always_inline int memory_short(const struct sock *me, const struct sock *peer)
{
	return tcp_pressed(me) || memcg_pressed(peer);
}

/* Switched on for the node. */
static __always_inline int same_node_on(void)
{
	__u32 zero = 0;
	struct hr_config *cfg = bpf_map_lookup_elem(&config, &zero);

	return cfg && !cfg->agent_only && (cfg->flags & HR_CFG_SAME_NODE);
}

static __always_inline void count_pair(enum hr_pair_count what, __u64 n)
{
	__u32 i = what;
	__u64 *v = bpf_map_lookup_elem(&pair_counts, &i);

	if (v)
		*v += n;
}

static __always_inline __u32 queue_of(const struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_backlog.rmem_alloc.counter);
}

/* Looked at before each redirect, and once a second by the agent: a queue that was read meanwhile
 * may be counted for longer than it is. */
static __always_inline void queue_account(struct conn *c, enum pair_way way, __u32 bytes)
{
	__u32 now = bytes > HR_PAIR_SMALL ? bytes : 0;

	if (c->pair.held[way & 1] == now)
		return;
	queue_hold(c, way, now);
	if (!c->pub.sk)
		queue_hold(c, way, 0); /* C was closed meanwhile: nobody would take it back */
}

/* The node has room, and so has this queue. */
static __always_inline int queue_has_room(struct conn *c, enum pair_way way, const struct sock *sk)
{
	__u32 bytes = queue_of(sk);

	queue_account(c, way, bytes);
	return bytes <= HR_PAIR_QUEUE_MAX && pair_held <= pair_node_max;
}

/*
 * One direction. The first bytes, too: both ends are established when they meet, with nothing under
 * way (DESIGN trap 27), and what waits for accept() waits in S as TCP's would.
 */
static __always_inline int may_redirect(const struct tcp_sock *me, __u64 peer_addr, __u8 *spilled,
					struct conn *c, enum pair_way way)
{
	const struct tcp_sock *peer = (const struct tcp_sock *)peer_addr;
	const struct sock *sk = (const struct sock *)peer, *mine = (const struct sock *)me;

	if (!peer || BPF_CORE_READ(peer, copied_seq) != me->write_seq)
		return 0;
	if (mine->__sk_common.skc_state != BPF_TCP_ESTABLISHED || !sk_open(peer_addr))
		return 0;
	if (queue_has_room(c, way, sk) && !memory_short(mine, sk)) {
		*spilled = 0;
		return 1;
	}
	if (!*spilled)
		count_pair(HR_PAIR_SPILLED, 1);
	*spilled = 1;
	return 0;
}

/* A message of another connection may be put into the peer's queue: of a moved request of C, or of
 * its answer. `mine` sends it. */
static __always_inline int may_hand(const struct conn *c, const struct tcp_sock *mine,
				    __u64 peer_addr, __u32 limit)
{
	const struct sock *sk = (const struct sock *)peer_addr;

	return !c->pair.off && same_node_on() && sk && sk_open(peer_addr) &&
	       queue_of(sk) <= limit && pair_held <= pair_node_max &&
	       !memory_short((const struct sock *)mine, sk);
}
