/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* MOVED: one whole request goes by a pooled connection to another endpoint. */
#pragma once

#include "lib/deadline.h"
#include "lib/edit.h"
#include "lib/urgent.h"

struct u_search {
	const struct hr_pool *pool;
	__u32 n, at;
	__u32 addr_id, conns, found, gen;
	int need; /* room in its send buffer */
};

/* What the kernel's own structs take of a send buffer. */
#define U_OVERHEAD 4096

static __always_inline int u_try(struct u_search *s, __u32 slot)
{
	struct hr_u *u = bpf_map_lookup_elem(&u_tab, &slot);
	__u64 word, *sk;

	if (!u || u->addr_id != s->addr_id || u->conns != s->conns || !u->uses)
		return 0;
	word = u->word;
	sk = bpf_map_lookup_elem(&u_sk, &slot);
	/* a request that is cut short leaves its client waiting for room in C, where there is some:
	 * one that polls by edges would wait for ever */
	if (HR_WORD_STATE(word) != HR_U_FREE || !sk || !*sk || !sk_open(*sk) ||
	    sk_send_room(*sk) < s->need)
		return 0;
	if (!word_swap(&u->word, word, HR_WORD(HR_U_BUSY, HR_WORD_GEN(word))))
		return 0;
	s->found = slot + 1;
	s->gen = HR_WORD_GEN(word);
	return 1;
}

static long u_step(__u32 i, struct u_search *s)
{
	__u32 at = s->at + i, chunk;

	if (at >= s->n)
		at -= s->n;
	chunk = hr_bound(at / HR_U_CHUNK, HR_U_CHUNKS - 1);
	return u_try(s, s->pool->chunk[chunk] + at % HR_U_CHUNK);
}

/* A free connection to the endpoint from C's namespace, now BUSY. */
static __always_inline int u_take(const struct conn *c, const struct decision *d, __u32 size,
				  __u32 *slot, __u32 *gen)
{
	struct hr_pool_key key = {.netns = c->pub.netns, .addr_id = d->addr_id, .conns = d->conns};
	struct hr_pool *pool = bpf_map_lookup_elem(&pools, &key);
	struct u_search s = {
		.pool = pool, .addr_id = d->addr_id, .conns = d->conns, .need = size + U_OVERHEAD};

	if (!pool)
		return -1;
	/* the one used last is warm, and its processor is likely this one */
	if (!c->moved || !u_try(&s, c->moved_slot)) {
		s.n = pool->nchunks;
		if (!s.n)
			return -1;
		if (s.n > HR_U_CHUNKS)
			s.n = HR_U_CHUNKS;
		s.n *= HR_U_CHUNK;
		s.at = pool->hint % s.n;
		bpf_loop(s.n, u_step, &s, 0);
	}
	if (!s.found)
		return -1;
	*slot = s.found - 1;
	*gen = s.gen;
	return 0;
}

/* When the agent was last told of a pool; several may share a place. */
#define MISS_PLACES 256
#define MISS_EVERY_NS (1000 * 1000ULL)
__u64 miss_at[MISS_PLACES];

static __always_inline void pool_miss(const struct conn *c, __u64 cookie, __u32 addr_id,
				      __u32 conns)
{
	__u32 place = hr_bound(addr_id ^ conns << 4 ^ (__u32)c->pub.netns, MISS_PLACES - 1);
	__u64 now = bpf_ktime_get_ns();
	struct hr_event *e;

	if (now - miss_at[place] < MISS_EVERY_NS)
		return;
	miss_at[place] = now;
	e = event_begin(HR_EV_POOL_MISS, cookie);
	if (!e)
		return;
	e->netns = c->pub.netns;
	e->addr_id = addr_id;
	e->slot = conns;
	e->pid = c->pub.pid;
	bpf_ringbuf_submit(e, 0);
}

/* The server at the other end of U is on this node and has read all that came by U: the message
 * goes into its queue. */
static __always_inline int hand_to_server(struct sk_msg_md *msg, const struct conn *c,
					  const struct hr_u *u, __u32 slot)
{
	const struct tcp_sock *tp = bpf_skc_to_tcp_sock(msg->sk);
	__u64 *peer = bpf_map_lookup_elem(&u_peer, &slot), cookie = u->cookie, at;

	if (!tp || !peer || !*peer)
		return 0;
	at = *peer;
	if (BPF_CORE_READ((struct tcp_sock *)at, copied_seq) != u_write_seq(slot) ||
	    !may_hand(c, tp, at, HR_PAIR_SMALL) ||
	    bpf_msg_redirect_hash(msg, &s_hash, &cookie, BPF_F_INGRESS) != SK_PASS)
		return 0;
	count_pair(HR_PAIR_REQUESTS, 1);
	count_pair(HR_PAIR_BYTES, msg->size);
	return 1;
}

/* Redirects the whole message. Gives an SK_* verdict, or -1: no connection is free, bind. */
static __noinline int move(struct sk_msg_md *msg, struct conn *c, struct conn_scratch *s,
			   const struct decision *d)
{
	__u32 slot = 0, gen = 0, size = msg->size;
	__u64 cookie = s->cookie;
	struct hr_u *u;

	if (u_take(c, d, size + s->edit_len, &slot, &gen)) {
		pool_miss(c, cookie, d->addr_id, d->conns);
		return -1;
	}
	u = bpf_map_lookup_elem(&u_tab, &slot);
	if (!u)
		return -1;
	if ((s->scan.close && close_write(msg, s, CLOSE_HIDDEN)) ||
	    (s->edit_len && edit_head(msg, c, s))) {
		if (s->scan.close)
			close_write(msg, s, CLOSE_SHOWN);
		word_swap(&u->word, HR_WORD(HR_U_BUSY, gen), HR_WORD(HR_U_FREE, gen));
		return -1;
	}
	stall();
	u->conn = cookie;
	u->left = 0;
	u->ep = d->ep;
	u->route = d->route;
	u->cluster = d->cluster;
	u->t0 = c->pub.t0;
	u->tx = size;
	if (u->uses && u->uses != HR_U_ANY)
		u->uses--; /* only its owner does, and the agent sets it to 0 */
	c->up_left = size + s->edit_len;
	c->up_seq = u_write_seq(slot);
	c->rx = 0;
	c->status = 0;
	c->cut = c->handed = 0;
	c->ending = s->scan.close ? ENDING_ASKED : ENDING_NOT;
	bpf_msg_apply_bytes(msg, 0);
	if (hand_to_server(msg, c, u, slot)) {
		c->up_left = 0;
	} else if (bpf_msg_redirect_map(msg, &u_map, slot, 0) != SK_PASS) {
		/* no socket behind the word: the agent is on its way to take it out */
		word_swap(&u->word, HR_WORD(HR_U_BUSY, gen), HR_WORD(HR_U_DEAD, gen));
		event_slot(HR_EV_U_DIRTY, 0, slot, gen, 0);
		if (s->scan.close)
			close_write(msg, s, CLOSE_SHOWN);
		if (!s->edit_len)
			return -1;
		inflight_cluster(d->cluster, -1);
		return SK_DROP;
	}
	c->moved = 1;
	c->moved_slot = c->pub.slot = slot;
	c->moved_gen = c->pub.gen = gen;
	c->pub.state = HR_CONN_MOVED;
	c->pub.owed = 1;
	inflight_ep(d->ep, 1);
	watch_begin(c, cookie);
	count_why(HR_WHY_MOVED);
	stall();
	return SK_PASS;
}

/*
 * C sends while its request is on U: the rest of it, when U's buffer was full (a send that was
 * cut short), else something that came too early. -1: bind.
 */
static __always_inline int moved_more(struct sk_msg_md *msg, struct conn *c)
{
	__u32 slot = c->moved_slot, size = msg->size;
	__u64 left = carried_left(c, u_write_seq(slot));

	if (!left)
		return -1;
	if (edit_torn(c, left) || may_be_urgent())
		return SK_DROP;
	bpf_msg_apply_bytes(msg, left < size ? left : 0);
	c->mark = left < size ? CONN_M_REDIRECTED : 0;
	return bpf_msg_redirect_map(msg, &u_map, slot, 0);
}
