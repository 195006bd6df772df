// SPDX-License-Identifier: Apache-2.0
/*
 * One worker: a thread, its loop, and everything it owns.
 */
#include "proxy/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"

#define SWEEP_MS 1000

/* xorshift64*: balancing and percentages need spread and speed, not secrecy. */
uint32_t px_random(struct px_worker *w)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return (uint32_t)(w->random * 0x2545f4914f6cdd1dULL >> 32);
}

static void *run(void *ctx)
{
	struct px_worker *w = ctx;
	int r = hr_loop_run(w->loop);

	if (r)
		hr_err("worker %u stopped: %s", w->index, strerror(-r));
	return NULL;
}

static void sweep(void *ctx)
{
	struct px_worker *w = ctx;

	px_up_sweep(w);
	px_g_sweep(w);
	hr_timer_start(w->loop, &w->sweep, SWEEP_MS, sweep, w);
}

static int start_thread(struct px_worker *w)
{
	sigset_t all, old;
	int r;

	/* signals belong to the main thread */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->started = !r;
	return r;
}

static void worker_free(struct px_worker *w)
{
	while (!hr_list_empty(&w->clients))
		px_client_close(hr_list_entry(w->clients.next, struct px_client, link), true);
	px_copier_free(TAKE_PTR(w->copier));
	px_mirrors_close(w);
	px_worker_close_doors(w, 0, true);
	px_g_close_all(w);
	px_h2_free_dirty(w);
	px_up_close_all(w);
	px_hold_put(TAKE_PTR(w->hold));
	hr_timer_stop(&w->sweep);
	hr_timer_stop(&w->h2_flush);
	hr_loop_free(w->loop);
	px_req_free_all(w);
	px_buf_free_all(w);
	hr_map_free(w->pool_map);
	free(w->route_stats);
	free(w->ep_stats);
	px_meters_free(w->meters);
}

int px_worker_start(struct hr_proxy *px, struct px_worker *w, unsigned index)
{
	int r;

	*w = (struct px_worker){.px = px, .index = index};
	hr_list_init(&w->clients);
	hr_list_init(&w->listeners);
	hr_list_init(&w->gslots);
	hr_list_init(&w->pools);
	hr_list_init(&w->orphans);
	hr_list_init(&w->mirrors);
	hr_list_init(&w->waiting);
	hr_list_init(&w->h2_dirty);
	if (getrandom(&w->random, sizeof(w->random), 0) != sizeof(w->random) || !w->random)
		w->random = 0x9e3779b97f4a7c15ULL + index;
	r = hr_loop_new(&w->loop);
	if (r)
		return r;
	w->pool_map = hr_map_new();
	/* large and mostly never touched: the kernel gives pages as ids are used */
	w->route_stats = calloc(HR_ROUTES_MAX, sizeof(*w->route_stats));
	w->ep_stats = calloc(HR_EPS_MAX, sizeof(*w->ep_stats));
	w->meters = px_meters_new();
	hr_timer_start(w->loop, &w->sweep, SWEEP_MS, sweep, w);
	r = w->route_stats && w->ep_stats && w->meters ? start_thread(w) : -ENOMEM;
	if (r)
		worker_free(w);
	return r;
}

void px_worker_goaway(void *ctx)
{
	struct px_worker *w = ctx;

	w->going = true;
	hr_list_for_each (l, &w->clients) {
		struct px_client *c = hr_list_entry(l, struct px_client, link);

		if (c->state == PX_CLIENT_H2)
			px_h2_down_drain(c);
	}
}

void px_worker_drain(void *ctx)
{
	struct px_worker *w = ctx;

	w->going = w->draining = true;
	px_mirrors_close(w); /* nobody waits for them */
	px_worker_close_doors(w, 0, true);
	hr_list_for_each (l, &w->clients) {
		struct px_client *c = hr_list_entry(l, struct px_client, link);

		if (c->state == PX_CLIENT_H2)
			px_h2_down_drain(c);
		else
			c->close = true;
		if (c->state == PX_CLIENT_HEAD && !c->g) {
			c->s.readable = true; /* a request may be here whose event is not */
			px_client_run(c);
		}
	}
}

void px_worker_stop(struct px_worker *w)
{
	if (w->started) {
		hr_loop_stop(w->loop);
		pthread_join(w->thread, NULL);
	}
	worker_free(w);
}
