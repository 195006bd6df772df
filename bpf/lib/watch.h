/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Watched answers: those that have a deadline, or a status that is tried again. One word per
 * connection says who gives the answer; whoever exchanges it has won.
 *
 *	          request            first byte                 last byte
 *	NONE  ----------------> ARMED ----------> ANSWERING ----------------> NONE
 *	                          |                   |
 *	  late, unwanted, lost    |                   | late: the client is cut off
 *	                          \------> TAKEN <----/
 *
 * TAKEN: the agent answers, what E or U still sends is dropped. The number in the word is that of
 * the request: nobody takes an answer for another one's deadline.
 */
#pragma once

#include "lib/slot.h"

enum watch_state { WATCH_NONE = 0, WATCH_ARMED, WATCH_ANSWERING, WATCH_TAKEN };
#define WATCH_STATE(word) ((__u32)(word) & 3)
#define WATCH_NEXT 4

static __always_inline int watch_move(struct conn *c, __u64 from, __u32 state)
{
	return word_swap(&c->watch, from, (from & ~3ULL) | state);
}

/* Before the first byte goes to C: 0 when the answer is not the kernel's to give any more. */
static __always_inline int watch_claim(struct conn *c)
{
	__u64 w = c->watch;

	if (WATCH_STATE(w) == WATCH_ARMED)
		return watch_move(c, w, WATCH_ANSWERING);
	return WATCH_STATE(w) != WATCH_TAKEN;
}

/* The answer is over, or its end is somebody else's business. 0: it was taken before. */
static __always_inline int watch_end(struct conn *c)
{
	__u64 w = c->watch;

	if (WATCH_STATE(w) == WATCH_NONE)
		return 1;
	return WATCH_STATE(w) != WATCH_TAKEN && watch_move(c, w, WATCH_NONE);
}

static __always_inline int watch_retried(const struct conn *c, __u32 status)
{
	__u32 bit = status - 100;

	if (!(c->rule_flags & HR_RULE_RETRY_STATUS) || bit >= 64 * HR_STATUS_WORDS)
		return 0;
	return c->retry_status[hr_bound(bit >> 6, HR_STATUS_WORDS - 1)] >> (bit & 63) & 1;
}

/* There is an agent that answers for us. */
static __always_inline int agent_lives(void)
{
	__u32 zero = 0;
	struct hr_config *cfg = bpf_map_lookup_elem(&config, &zero);
	__u64 *at = bpf_map_lookup_elem(&beat, &zero);

	return cfg && (cfg->flags & HR_CFG_ANSWER_LOST) && at &&
	       (__s64)(bpf_ktime_get_ns() - *at) < (__s64)HR_BEAT_MAX_NS;
}

/* A record for the answer that C is owed, NULL when nobody would hear of it. */
static __always_inline struct hr_event *taken_begin(const struct conn *c, __u64 cookie,
						    __u32 reason, __u16 status)
{
	struct hr_event *e = agent_lives() ? event_begin(HR_EV_TAKEN, cookie) : NULL;

	if (!e)
		return NULL;
	e->slot = HR_U_SLOTS;
	e->netns = c->pub.netns;
	e->route = c->pub.route;
	e->t0 = c->pub.t0;
	e->status = status;
	e->why = reason;
	return e;
}

/* The native answer is the agent's from here on, with its place in the in-flight numbers. */
static __always_inline void taken_native(struct conn *c, struct hr_event *e)
{
	e->gen = c->used > 1;
	e->addr_id = c->pub.addr_id;
	e->tx = c->tx;
	__sync_lock_test_and_set(&c->agent_owes, 1); /* before it is not owed by E */
	if (__sync_lock_test_and_set(&c->counted, 0)) {
		e->ep = c->pub.ep;
		e->cluster = c->cluster;
		inflight_to_agent(c->pub.ep, c->cluster);
	}
	c->native_owed = 0;
	c->pub.owed = 0;
	count_why(HR_WHY_TAKEN);
	bpf_ringbuf_submit(e, 0);
}
