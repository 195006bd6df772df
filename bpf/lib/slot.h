/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a connection holds (a place in the in-flight numbers, a U slot, a G slot), and how it is
 * given back: once, by whoever exchanges the word.
 */
#pragma once

#include <stddef.h>

#include "lib/count.h"

/* Connections in `conns`: connect() sends new ones to door A before the table is full. */
__u32 conns_used __weak;
/* When there are so many, the agent is told to make G slots, before they are bound all at once. Set
 * by the agent; 0: it has been told. */
__u32 g_grow_at __weak;

/* Unread bytes of long queues between the two ends of pairs, of the whole node, and their bound
 * (set by the agent). */
__s64 pair_held __weak;
__s64 pair_node_max __weak;

static __always_inline void queue_hold(struct conn *c, enum pair_way way, __u32 bytes)
{
	__u32 before = __sync_lock_test_and_set(&c->pair.held[way & 1], bytes);

	__sync_fetch_and_add(&pair_held, (__s64)bytes - (__s64)before);
}

/* Flags are set by programs of both directions and by the agent's peek_kill: the word that begins
 * with them is changed as one. */
static __always_inline void conn_flag(struct conn *c, __u32 flag)
{
	_Static_assert(offsetof(struct hr_conn, flags) % 4 == 0, "an aligned word");
	if (!(c->pub.flags & flag))
		__sync_fetch_and_or((__u32 *)(void *)&c->pub.flags, flag);
}

static __always_inline int word_swap(__u64 *word, __u64 from, __u64 to)
{
	return __sync_val_compare_and_swap(word, from, to) == from;
}

/* Ends the account of a native request. `status` 0: no answer was seen to its end. `local`: by the
 * endpoint's fault, and `status`, if any, is ours. */
static __always_inline void native_done(struct conn *c, __u64 cookie, __u64 now, __u16 status,
					__u32 local)
{
	struct done d = {
		.cookie = cookie,
		.t0 = c->pub.t0,
		.now = now,
		.tx = c->tx,
		.rx = c->rx,
		.route = c->pub.route,
		.ep = c->pub.ep,
		.addr_id = c->pub.addr_id,
		.status = status,
		.why = HR_WHY_NATIVE,
		.local = local,
	};

	if (!__sync_lock_test_and_set(&c->counted, 0))
		return;
	inflight_lower(c->pub.ep, c->cluster);
	request_done(&d, c);
	c->free_at = d.now;
}

/* ---- what a socket has taken: write_seq of U and g, read at the address `learn` has stored ----
 */

static __always_inline __u32 sk_write_seq(const __u64 *sk)
{
	struct tcp_sock *tp = sk ? (struct tcp_sock *)*sk : NULL;

	return tp ? BPF_CORE_READ(tp, write_seq) : 0;
}

/* Established: neither side of the socket at that address has begun to close it. */
static __always_inline int sk_open(__u64 sk)
{
	return BPF_CORE_READ((struct sock *)sk, __sk_common.skc_state) == BPF_TCP_ESTABLISHED;
}

static __always_inline __u32 u_write_seq(__u32 slot)
{
	return sk_write_seq(bpf_map_lookup_elem(&u_sk, &slot));
}

static __always_inline __u32 g_write_seq(__u32 slot)
{
	return sk_write_seq(bpf_map_lookup_elem(&g_sk, &slot));
}

/* Room in the send buffer of the socket at that address, bytes. */
static __always_inline int sk_send_room(__u64 addr)
{
	struct sock *sk = (struct sock *)addr;

	return BPF_CORE_READ(sk, sk_sndbuf) - BPF_CORE_READ(sk, sk_wmem_queued);
}

/* Request bytes that the socket which carries the request has still to get, when its write_seq
 * is `seq`. */
static __always_inline __u64 carried_left(const struct conn *c, __u32 seq)
{
	__u32 done = seq - c->up_seq;

	return c->up_left > done ? c->up_left - done : 0;
}

/* ---- U --------------------------------------------------------------------------------------- */

/* The U slot that carries C's request, while it does; NULL otherwise. */
static __always_inline struct hr_u *moved_pending(const struct conn *c, __u64 cookie)
{
	__u32 slot = c->moved_slot, state;
	struct hr_u *u;
	__u64 word;

	if (!c->moved)
		return NULL;
	u = bpf_map_lookup_elem(&u_tab, &slot);
	if (!u || u->conn != cookie)
		return NULL;
	word = u->word;
	state = HR_WORD_STATE(word);
	if (HR_WORD_GEN(word) != c->moved_gen)
		return NULL;
	return (state == HR_U_BUSY && c->pub.owed) || state == HR_U_RELAY ? u : NULL;
}

/* The U slot that carries a request of C: its answer has nowhere to go. `left`: C went away, which
 * is what became of the request. */
static __always_inline void u_abandon(struct conn *c, __u64 cookie, int left)
{
	struct hr_u *u = moved_pending(c, cookie);
	__u32 slot = c->moved_slot, gen = c->moved_gen;
	struct done d = {.cookie = cookie, .why = HR_WHY_MOVED};

	if (!u)
		return;
	d.t0 = u->t0;
	d.now = bpf_ktime_get_ns();
	d.tx = u->tx;
	d.rx = c->rx > u->left ? c->rx - u->left : 0;
	d.route = u->route;
	d.ep = u->ep;
	d.addr_id = u->addr_id;
	if (word_swap(&u->word, HR_WORD(HR_U_BUSY, gen), HR_WORD(HR_U_DEAD, gen))) {
		inflight_lower(u->ep, u->cluster);
		if (left)
			request_done(&d, c);
		event_slot(HR_EV_U_DIRTY, cookie, slot, gen, 0);
	} else if (u->word == HR_WORD(HR_U_RELAY, gen)) {
		event_slot(HR_EV_U_DIRTY, cookie, slot, gen, 0);
	}
}

/* ---- G ----------------------------------------------------------------------------------------
 */

/* The G slot that C is bound to, and what C has put into it; NULL when the agent released it. */
static __always_inline struct hr_g *g_of(const struct conn *c)
{
	__u32 slot = c->pub.slot;
	struct hr_g *g = bpf_map_lookup_elem(&g_tab, &slot);

	if (c->pub.state != HR_CONN_BOUND || !g)
		return NULL;
	if (HR_G_STATE(g->word) != HR_G_BOUND || HR_G_GEN(g->word) != c->pub.gen)
		return NULL;
	return g;
}

/* True while somebody else than the endpoint answers C. */
static __always_inline int answered_elsewhere(struct conn *c, __u64 cookie)
{
	return g_of(c) || moved_pending(c, cookie) || c->agent_owes;
}

/* C gets no other end than this: `status` is what the agent answers first, 0: nothing. */
static __always_inline void conn_end(struct conn *c, __u64 cookie, __u16 status)
{
	struct hr_event *e;

	if (c->pub.state == HR_CONN_ENDED)
		return;
	c->pub.state = HR_CONN_ENDED;
	e = event_begin(HR_EV_END, cookie);
	if (!e)
		return;
	e->netns = c->pub.netns;
	e->status = status;
	bpf_ringbuf_submit(e, 0);
}

/* C is closed by its owner, reset, or timed out. `lost`: its server was the first to go. */
static __always_inline void conn_gone(__u64 cookie, __u32 lost)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &cookie);
	struct hr_g *g;

	if (!c)
		return;
	stall();
	native_done(c, cookie, bpf_ktime_get_ns(), 0, lost);
	__sync_lock_test_and_set(&c->pub.sk, 0); /* before `held` is read: queue_account */
	if (c->pair.held[TO_SERVER] | c->pair.held[TO_CLIENT]) {
		queue_hold(c, TO_SERVER, 0);
		queue_hold(c, TO_CLIENT, 0);
	}
	u_abandon(c, cookie, 1);
	g = g_of(c);
	if (g) {
		g->flags |= HR_G_CLIENT_GONE;
		event_slot(HR_EV_CLIENT_GONE, cookie, c->pub.slot, c->pub.gen, HR_G_BYTES(g->word));
	}
	if (c->timed)
		bpf_map_delete_elem(&watch_timers, &cookie);
	bpf_map_delete_elem(&heads, &cookie);
	if (!bpf_map_delete_elem(&conns, &cookie))
		__sync_fetch_and_add(&conns_used, -1);
}
