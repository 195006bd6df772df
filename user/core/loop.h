/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread's event loop: epoll, timers, and messages from other threads. Nothing here is shared
 * but hr_loop_post. Callbacks may remove any watch or timer, also their own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct hr_loop;
struct hr_watch;

typedef void (*hr_watch_fn)(void *ctx, uint32_t events);

int hr_loop_new(struct hr_loop **out);
void hr_loop_free(struct hr_loop *l);
/* Runs until hr_loop_stop. 0 or -errno. */
int hr_loop_run(struct hr_loop *l);
/* From the loop's own thread or a signal handler. */
void hr_loop_stop(struct hr_loop *l);
/* Monotonic milliseconds, read once a turn. */
uint64_t hr_loop_now(const struct hr_loop *l);

/* The fd stays the caller's. `events` are EPOLL* bits, edge- or level-triggered as given. */
int hr_watch_add(struct hr_loop *l, int fd, uint32_t events, hr_watch_fn fn, void *ctx,
		 struct hr_watch **out);
int hr_watch_mod(struct hr_watch *w, uint32_t events);
/* Removes; NULL is fine. Events of this turn that were not delivered yet are dropped. */
void hr_watch_del(struct hr_watch *w);

/* Timer embedded in its owner; zero-initialised means stopped. Fires once. */
struct hr_timer {
	uint64_t at;
	uint32_t heap_index; /* 1-based place in the heap, 0: stopped */
	uint32_t pad;
	struct hr_loop *loop;
	void (*fn)(void *ctx);
	void *ctx;
};
void hr_timer_start(struct hr_loop *l, struct hr_timer *t, uint64_t after_ms, void (*fn)(void *),
		    void *ctx); /* restarts when running */
void hr_timer_stop(struct hr_timer *t);
static inline bool hr_timer_running(const struct hr_timer *t)
{
	return t->heap_index != 0;
}

/* Runs fn(ctx) in the loop's thread, soon, in order. From any thread. 0 or -ENOMEM. */
int hr_loop_post(struct hr_loop *l, void (*fn)(void *ctx), void *ctx);
