// SPDX-License-Identifier: Apache-2.0
/*
 * How a plan reaches the workers and leaves them again, without a lock on the way of a request.
 *
 *	main:   publish(new) ---post---> worker 0: adopt: hold = new; old hold dropped
 *	                     ---post---> worker 1: ...
 *	worker: a request takes px_hold_get() and gives it back when it ends (plain integers)
 *	        the last hold of a worker lowers px_plan.users (the only atomic)
 *	main:   tick() frees what has no user
 */
#include <stdlib.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"

struct px_hold *px_hold_get(struct px_worker *w)
{
	if (w->hold)
		w->hold->refs++;
	return w->hold;
}

struct px_hold *px_hold_more(struct px_hold *h)
{
	h->refs++;
	return h;
}

void px_hold_put(struct px_hold *h)
{
	if (!h || --h->refs)
		return;
	atomic_fetch_sub(&h->published->users, 1);
	free(h);
}

void px_plan_adopt(struct px_worker *w, struct px_plan *pp)
{
	struct px_hold *h = malloc(sizeof(*h));
	bool first = !w->hold;

	if (!h) { /* the old plan goes on */
		hr_err("out of memory: worker %u keeps its plan", w->index);
		atomic_fetch_sub(&pp->users, 1);
		return;
	}
	*h = (struct px_hold){.published = pp, .plan = pp->plan, .refs = 1};
	px_hold_put(w->hold);
	w->hold = h;
	px_up_sweep(w);
	if (first)
		px_clients_run(w);
}

static struct hr_map *plan_addrs(const struct hr_plan *plan)
{
	struct hr_map *m = hr_map_new();

	for (size_t i = 0; i < plan->eps.len; i++) {
		const struct hr_plan_ep *ep = &plan->eps.data[i];
		struct px_addr_key key = {
			.port = ep->port,
			.conns = (uint16_t)plan->clusters.data[ep->cluster].conns.id};

		memcpy(key.ip, ep->addr.ip, sizeof(key.ip));
		hr_map_put(m, &key, sizeof(key), &plan->eps.data[i]);
	}
	return m;
}

static void adopt(void *ctx)
{
	struct px_adopt *a = ctx;

	px_plan_adopt(a->w, a->published);
}

static void tell_worker(struct px_worker *w, struct px_plan *pp)
{
	pp->adopt[w->index] = (struct px_adopt){.w = w, .published = pp};
	if (!hr_loop_post(w->loop, adopt, &pp->adopt[w->index]))
		return;
	hr_err("out of memory: worker %u keeps its plan", w->index);
	atomic_fetch_sub(&pp->users, 1);
}

void hr_proxy_publish(struct hr_proxy *px, const struct hr_plan *plan,
		      void (*release)(const struct hr_plan *))
{
	struct px_plan *pp = calloc(1, sizeof(*pp) + (px->n_workers + 1) * sizeof(pp->adopt[0]));
	struct px_plan *old = px->current;

	if (!pp) {
		hr_err("out of memory: the plan is not published");
		if (release)
			release(plan);
		return;
	}
	if (px->tables && !hr_tables_prepare(px->tables, plan, px_now_us() / 1000))
		hr_tables_flip(px->tables, plan, px_now_us() / 1000);
	pp->plan = plan;
	pp->release = release;
	pp->addrs = plan_addrs(plan);
	atomic_init(&pp->users, px->n_workers + 1 + (px->holder != NULL));
	hr_list_add_tail(&px->plans, &pp->link);
	px->current = pp;
	for (unsigned i = 0; i < px->n_workers; i++)
		tell_worker(&px->workers[i], pp);
	if (px->holder)
		px_upool_plan(px, pp);
	if (old)
		atomic_fetch_sub(&old->users, 1);
	px_plans_collect(px);
}

void px_plans_collect(struct hr_proxy *px)
{
	hr_list_for_each (l, &px->plans) {
		struct px_plan *pp = hr_list_entry(l, struct px_plan, link);

		if (atomic_load(&pp->users))
			continue;
		hr_list_del(&pp->link);
		if (pp->release)
			pp->release(pp->plan);
		hr_map_free(pp->addrs);
		free(pp);
	}
}

void px_plans_free(struct hr_proxy *px)
{
	/* the workers are gone, and with them what they had not adopted yet */
	hr_list_for_each (l, &px->plans)
		atomic_store(&hr_list_entry(l, struct px_plan, link)->users, 0);
	px->current = NULL;
	px_plans_collect(px);
}
