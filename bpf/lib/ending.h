/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A moved request that says "Connection: close". Its server has no say in C, and need not close U:
 *
 *	request		"Connection: close"		goes out as "Connection:      "
 *	answer		"Connection: keep-alive"	comes in as "Connection: close     "
 *			says neither			is the agent's (RELAY)
 *	then		nearly every client closes by itself at once; a timer looks for those
 *			that wait for the end (RFC 9112 section 9.6), and the agent shuts them down
 *
 * Both are written over in place, so no byte is counted anew.
 */
#pragma once

#include "lib/spill.h"
#include "lib/stages.h"

/* Between two looks: the first one finds most connections closed. */
#define END_FIRST_NS (200 * 1000ULL)
/* A client that has still to read is given twice as long each time; then its end waits behind the
 * answer, as FIN would. */
#define END_LAST_NS (10 * 1000 * 1000ULL)

/* The answer in c->resp, which begins with this packet, tells C what it asked for. -1: it cannot.
 */
static __always_inline int close_say(struct __sk_buff *skb, const struct conn *c)
{
	static const char value[10] = "close     ";

	if (c->ending != ENDING_ASKED || c->resp.close)
		return 0;
	if (!c->resp.keep)
		return -1;
	return bpf_skb_store_bytes(skb, c->resp.keep_off, value, sizeof(value), 0) ? -1 : 0;
}

/* The answer has been given, or is on its way through the verdicts. */
static __always_inline void end_begin(struct conn *c, __u64 cookie, __u64 now)
{
	struct watch_timer *t = bpf_map_lookup_elem(&watch_timers, &cookie);

	if (c->ending != ENDING_ASKED || !t)
		return;
	c->end_ns = END_FIRST_NS;
	c->ending = ENDING_LOOK;
	c->timer_at = now + END_FIRST_NS;
	__sync_lock_test_and_set(&c->timer_on, 1);
	bpf_timer_start(&t->timer, END_FIRST_NS, 0);
}

/* By the timer. How long to wait for the next look, 0: there is nothing more to do. */
static __always_inline __u64 end_look(struct conn *c, __u64 cookie)
{
	struct sock *sk = (struct sock *)c->pub.sk;
	struct hr_event *e;

	if (!sk || c->pub.state != HR_CONN_MOVED || c->pub.owed)
		return 0;
	if (c->end_ns < END_LAST_NS) {
		/* once more when it has read all of it: it is just about to close */
		c->end_ns = queue_of(sk) ? 2 * c->end_ns : END_LAST_NS;
		return c->end_ns < END_LAST_NS ? c->end_ns : END_FIRST_NS;
	}
	e = verdicts_settled(c) ? event_begin(HR_EV_END, cookie) : NULL;
	if (!e)
		return END_LAST_NS;
	c->pub.state = HR_CONN_ENDED;
	c->ending = ENDING_NOT;
	e->netns = c->pub.netns;
	bpf_ringbuf_submit(e, 0);
	return 0;
}
