/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* BOUND: every byte of C goes to the agent through a G slot, until the agent lets go. */
#pragma once

#include "lib/send.h"
#include "lib/stages.h"

/* Tries of a compare-and-exchange against the agent and other processors. */
#define SWAP_TRIES 8
/* A search that takes more steps than this may mean that free slots are scarce: they are counted,
 * not more often than this. */
#define G_LOW_STEPS 4
#define G_LOW_EVERY_NS (10 * 1000 * 1000ULL)

/* Where the last search for a free slot ended; when the agent was last told that they are few. */
__u32 g_next;
__u64 g_low_at;

struct g_search {
	__u32 at, found;
	__u32 gen, steps;
	__u32 size;
};

/* Never filled: slots are filled from 0 upwards, so this is the end of them. */
static __always_inline int g_unused(__u64 word)
{
	return HR_G_STATE(word) == HR_G_EMPTY && !HR_G_GEN(word);
}

static long g_step(__u32 i, struct g_search *s)
{
	__u32 slot = hr_bound(s->at, HR_G_SLOTS - 1), state;
	struct hr_g *g = bpf_map_lookup_elem(&g_tab, &slot);
	__u64 word;

	if (!g)
		return 1;
	word = g->word;
	state = HR_G_STATE(word);
	s->steps = i;
	s->at = g_unused(word) ? 0 : slot + 1;
	if (state != HR_G_FREE ||
	    !word_swap(&g->word, word, HR_G_WORD(HR_G_BOUND, HR_G_GEN(word), s->size)))
		return 0;
	s->found = slot + 1;
	s->gen = HR_G_GEN(word);
	return 1;
}

struct g_census {
	__u32 free, all;
};

static long g_census_step(__u32 slot, struct g_census *n)
{
	struct hr_g *g = bpf_map_lookup_elem(&g_tab, &slot);

	if (!g || g_unused(g->word))
		return 1;
	n->free += HR_G_STATE(g->word) == HR_G_FREE;
	n->all++;
	return 0;
}

/* Tells the agent when less than a quarter of the slots is free. */
static __always_inline void g_low(__u32 steps)
{
	struct g_census n = {};
	__u64 now;

	if (steps < G_LOW_STEPS)
		return;
	now = bpf_ktime_get_ns();
	if (now - g_low_at < G_LOW_EVERY_NS)
		return;
	g_low_at = now;
	bpf_loop(HR_G_SLOTS, g_census_step, &n, 0);
	if (n.free * 4 < n.all || !n.all)
		event_slot(HR_EV_G_LOW, 0, 0, 0, 0);
}

/* Takes a free slot, with `size` bytes in its count; the one that C had before when it can: TCP has
 * learned there how large a window a client like this fills, and a worker has its upstream
 * connection. NULL: none is free. */
static __always_inline struct hr_g *g_take(const struct conn *c, __u32 size, __u32 *slot,
					   __u32 *gen)
{
	struct g_search s = {.at = c->g_slot - 1, .size = size};

	if (c->g_slot)
		g_step(0, &s);
	if (!s.found) {
		s.at = g_next;
		bpf_loop(HR_G_SLOTS, g_step, &s, 0);
		g_low(s.found ? s.steps : G_LOW_STEPS);
		if (!s.found)
			return NULL;
		g_next = s.found;
	}
	*slot = s.found - 1;
	*gen = s.gen;
	return bpf_map_lookup_elem(&g_tab, slot);
}

static __always_inline void g_describe(struct sk_msg_md *msg, struct hr_g *g, const struct conn *c,
				       __u64 cookie, __u32 reason, __u8 flags)
{
	g->conn = cookie;
	g->netns = c->pub.netns;
	g->vip_vhost = c->pub.vip_vhost;
	g->workload = c->pub.workload;
	__builtin_memcpy(g->dst_ip, c->pub.dst_ip, 16);
	g->dst_port_be = c->pub.dst_port_be;
	g->proto = c->pub.proto;
	g->flags = flags;
	g->why = reason;
	if (msg->family == AF_INET) {
		ip_from_v4(g->src_ip, msg->local_ip4);
	} else {
		((__u32 *)g->src_ip)[0] = msg->local_ip6[0];
		((__u32 *)g->src_ip)[1] = msg->local_ip6[1];
		((__u32 *)g->src_ip)[2] = msg->local_ip6[2];
		((__u32 *)g->src_ip)[3] = msg->local_ip6[3];
	}
	g->src_port_be = bpf_htons(msg->local_port);
}

/*
 * Gives the whole message, and what follows, to the agent. `wait`: an answer of somebody else is
 * still owed, or on its way to C, and the agent's must come after it.
 */
static __noinline int bind(struct sk_msg_md *msg, struct conn *c, __u64 cookie, __u32 reason)
{
	__u32 slot = 0, gen = 0;
	struct hr_g *g = g_take(c, msg->size, &slot, &gen);
	__u8 flags = 0;

	bpf_msg_apply_bytes(msg, 0);
	if (!g) {
		count_why(HR_WHY_NO_G);
		return SK_DROP;
	}
	if (c->native_owed || moved_pending(c, cookie) || c->agent_owes || !settled(c))
		flags |= HR_G_WAIT_NATIVE;
	if (c->pub.flags & HR_CONN_F_HTTP)
		flags |= HR_G_HTTP;
	stall();
	g_describe(msg, g, c, cookie, reason, flags);
	stall();
	if (bpf_msg_redirect_map(msg, &g_map, slot, 0) != SK_PASS) {
		/* no socket behind the word: the agent has died. Nothing may pass in its place. */
		g->word = HR_G_WORD(HR_G_EMPTY, gen, 0);
		count_why(HR_WHY_NO_G);
		return SK_DROP;
	}
	count_why(reason);
	c->g_seq = g_write_seq(slot);
	c->g_rx = 0;
	c->pub.slot = slot;
	c->g_slot = slot + 1;
	c->pub.gen = gen;
	c->pub.state = HR_CONN_BOUND;
	c->up_left = 0;
	conn_flag(c, HR_CONN_F_HTTP);
	return SK_PASS;
}

/*
 * More bytes of a bound C. 0: the agent has released it, the message is an ordinary one.
 * The count in the word is what earlier sends meant to put into g; one that was cut short by a
 * full buffer put in less, and its rest comes with this message: the write_seq of g tells.
 */
static __always_inline int bound_more(struct sk_msg_md *msg, struct conn *c, int *verdict)
{
	__u32 slot = c->pub.slot, size = msg->size, put;
	struct hr_g *g = bpf_map_lookup_elem(&g_tab, &slot);
	__u64 word, bytes;

	for (int i = 0; g && i < SWAP_TRIES; i++) {
		word = g->word;
		if (HR_G_STATE(word) != HR_G_BOUND || HR_G_GEN(word) != c->pub.gen)
			break;
		bytes = HR_G_BYTES(word);
		put = g_write_seq(slot);
		if (put)
			bytes -= (__u32)((__u32)bytes - (put - c->g_seq));
		if (!word_swap(&g->word, word, HR_G_WORD(HR_G_BOUND, c->pub.gen, bytes + size)))
			continue;
		stall();
		bpf_msg_apply_bytes(msg, 0);
		*verdict = bpf_msg_redirect_map(msg, &g_map, slot, 0);
		return 1;
	}
	return 0;
}
