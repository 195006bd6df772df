/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The clock of watched answers: one timer a connection, which is left running when an answer comes
 * in time. It looks at what is owed when it fires, and starts again only for a later deadline: a
 * fast request costs no timer.
 */
#pragma once

#include "lib/ending.h"
#include "lib/watch.h"

#define CLOCK_MONOTONIC 1
/* The ring buffer was full: the deadline is looked at again. */
#define RETRY_NS (10 * 1000 * 1000ULL)

static __always_inline __u64 watch_ns(const struct conn *c)
{
	return c->wait_ms * 1000000ULL;
}

static __always_inline int u_give_up(struct conn *c, struct hr_u *u, struct hr_event *e)
{
	__u32 gen = c->moved_gen;

	if (!word_swap(&u->word, HR_WORD(HR_U_BUSY, gen), HR_WORD(HR_U_DEAD, gen)))
		return -1; /* the agent has seen its end: it answers already */
	e->slot = c->moved_slot;
	e->gen = gen;
	e->addr_id = u->addr_id;
	e->ep = u->ep;
	e->cluster = u->cluster;
	e->route = u->route;
	e->tx = u->tx;
	inflight_to_agent(u->ep, u->cluster);
	return 0;
}

/* Gives the late answer to the agent. 0, or 1: look again later. */
static __always_inline int deadline_passed(struct conn *c, __u64 cookie, __u64 w)
{
	int begun = WATCH_STATE(w) == WATCH_ANSWERING;
	__u32 reason = begun ? HR_TAKEN_CUT : c->by_try ? HR_TAKEN_TRY_TIMEOUT : HR_TAKEN_TIMEOUT;
	struct hr_event *e = taken_begin(c, cookie, reason, 504);
	struct hr_u *u = moved_pending(c, cookie);

	if (!e)
		return 1;
	if (!watch_move(c, w, WATCH_TAKEN)) {
		bpf_ringbuf_discard(e, 0);
		return 0;
	}
	if (begun) {
		bpf_ringbuf_submit(e, 0); /* it closes C, and that ends the accounts */
		return 0;
	}
	if (!u) {
		conn_flag(c, HR_CONN_F_DEAD | HR_CONN_F_DROP);
		taken_native(c, e);
		return 0;
	}
	__sync_lock_test_and_set(&c->agent_owes, 1);
	if (u_give_up(c, u, e)) {
		bpf_ringbuf_discard(e, 0);
		return 0;
	}
	count_why(HR_WHY_TAKEN);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* A request that is still being sent has its time from its last byte on (Envoy's rule). */
static __always_inline __u64 deadline_of(const struct conn *c, __u64 now)
{
	return c->up_left && carried_left(c, sk_write_seq(&c->pub.sk)) ? now + watch_ns(c)
								       : c->deadline;
}

static int on_deadline(void *map, __u64 *key, struct watch_timer *t)
{
	__u64 cookie = *key, w, at, now = bpf_ktime_get_ns();
	struct conn *c = bpf_map_lookup_elem(&conns, &cookie);

	(void)map;
	if (!c) {
		bpf_map_delete_elem(&watch_timers, &cookie);
		return 0;
	}
	__sync_lock_test_and_set(&c->timer_on, 0);
	if (c->ending == ENDING_LOOK) {
		at = end_look(c, cookie);
		if (at && !__sync_lock_test_and_set(&c->timer_on, 1)) {
			c->timer_at = now + at;
			bpf_timer_start(&t->timer, at, 0);
		}
		return 0;
	}
	w = c->watch;
	if ((WATCH_STATE(w) != WATCH_ARMED && WATCH_STATE(w) != WATCH_ANSWERING) || !c->deadline ||
	    c->pub.state == HR_CONN_TUNNEL)
		return 0;
	at = moved_pending(c, cookie) ? c->deadline : deadline_of(c, now);
	if (at <= now) {
		if (!deadline_passed(c, cookie, w))
			return 0;
		at = now + RETRY_NS;
	}
	if (!__sync_lock_test_and_set(&c->timer_on, 1)) {
		c->timer_at = at;
		bpf_timer_start(&t->timer, at - now, 0);
	}
	return 0;
}

/* The connection's timer. -1: there is no memory for it now (a helper that may not wait for a lock
 * of the allocator gives up at once), so the agent must look at the clock. */
static __noinline int timer_make(struct conn *c, __u64 cookie)
{
	static const struct watch_timer fresh;
	struct watch_timer *t;

	if (!c || bpf_map_update_elem(&watch_timers, &cookie, &fresh, BPF_NOEXIST))
		return -1;
	t = bpf_map_lookup_elem(&watch_timers, &cookie);
	if (!t || bpf_timer_init(&t->timer, &watch_timers, CLOCK_MONOTONIC) ||
	    bpf_timer_set_callback(&t->timer, on_deadline)) {
		bpf_map_delete_elem(&watch_timers, &cookie);
		return -1;
	}
	c->timed = 1;
	return 0;
}

/* Before a request that says "close" is moved: somebody will end C. */
static __noinline int end_ready(struct conn *c, __u64 cookie)
{
	return c && agent_lives() && (c->timed || !timer_make(c, cookie));
}

/* Before a request with a deadline is sent. */
static __always_inline int clock_ready(struct conn *c, __u64 cookie)
{
	return !c->wait_ms || c->timed || !timer_make(c, cookie);
}

static __noinline int timer_start(struct conn *c, __u64 cookie)
{
	struct watch_timer *t = bpf_map_lookup_elem(&watch_timers, &cookie);

	if (!c || !t)
		return -1;
	c->timer_at = c->deadline;
	__sync_lock_test_and_set(&c->timer_on, 1);
	return bpf_timer_start(&t->timer, watch_ns(c), 0);
}

/*
 * A request goes out, natively or by U, and decide() has said what its answer is held to. The
 * deadline is written before the word, and the timer is looked at after it; on_deadline() does the
 * reverse.
 */
static __always_inline void watch_begin(struct conn *c, __u64 cookie)
{
	__u64 w = (c->watch & ~3ULL) + WATCH_NEXT;

	if (!c->wait_ms && !(c->rule_flags & HR_RULE_RETRY_STATUS)) {
		if (WATCH_STATE(c->watch) != WATCH_NONE)
			c->watch = w;
		if (c->pub.flags & HR_CONN_F_WATCHED)
			__sync_fetch_and_and((__u32 *)(void *)&c->pub.flags, ~HR_CONN_F_WATCHED);
		return;
	}
	c->deadline = c->wait_ms ? c->pub.t0 + watch_ns(c) : 0;
	conn_flag(c, HR_CONN_F_WATCHED);
	__sync_lock_test_and_set(&c->watch, w | WATCH_ARMED);
	/* one that runs for an earlier request of a more patient rule is set anew */
	if (c->wait_ms && (!c->timer_on || c->timer_at > c->deadline) && timer_start(c, cookie)) {
		c->timer_on = 0;
		count_why(HR_WHY_ERROR); /* its timer has gone: C is being closed */
	}
}

/* More of the request's body. */
static __always_inline void watch_body(struct conn *c)
{
	if (c->deadline && WATCH_STATE(c->watch) == WATCH_ARMED)
		c->deadline = bpf_ktime_get_ns() + watch_ns(c);
}
