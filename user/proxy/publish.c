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
#include <string.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "core/vec.h"
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

/* ---- addresses of a plan: sorted, one for each endpoint, so that one more or less is a merge ----
 */

static int key_cmp(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct px_addr_key));
}

static struct px_addr_key key_of(const struct hr_plan *plan, const struct hr_plan_ep *ep)
{
	struct px_addr_key key = {.port = ep->port,
				  .conns = (uint16_t)plan->clusters.data[ep->cluster].conns.id};

	memcpy(key.ip, ep->addr.ip, sizeof(key.ip));
	return key;
}

typedef HR_VEC(struct px_addr_key) keys;

static void add_keys(keys *out, const struct hr_plan *plan, const struct hr_plan_ep *ep, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hr_vec_push(out, key_of(plan, &ep[i]));
}

static void sort_keys(keys *k)
{
	if (k->len)
		qsort(k->data, k->len, sizeof(*k->data), key_cmp);
}

static keys keys_of_clusters(const struct hr_plan *plan, const struct hr_plan_changes *what)
{
	keys out = {0};

	for (size_t i = 0; i < what->n_clusters; i++) {
		const struct hr_plan_cluster *c = &plan->clusters.data[what->clusters[i]];

		add_keys(&out, plan, plan->eps.data + c->first_ep, c->n_eps);
	}
	sort_keys(&out);
	return out;
}

static void all_addrs(struct px_plan *pp)
{
	keys k = {0};

	add_keys(&k, pp->plan, pp->plan->eps.data, pp->plan->eps.len);
	sort_keys(&k);
	pp->addrs.data = k.data;
	pp->addrs.len = k.len;
}

/* Those of the plan before, without what its clusters had, with what they have now. */
static void changed_addrs(struct px_plan *pp, const struct px_plan *was)
{
	keys gone = keys_of_clusters(was->plan, &pp->what);
	keys come = keys_of_clusters(pp->plan, &pp->what);
	size_t g = 0, c = 0, n = was->addrs.len + come.len;
	struct px_addr_key *out = calloc(n + 1, sizeof(*out));

	if (!out)
		abort();
	pp->addrs.data = out;
	for (size_t i = 0; i < was->addrs.len; i++) {
		const struct px_addr_key *key = &was->addrs.data[i];

		if (g < gone.len && !key_cmp(key, &gone.data[g])) {
			g++;
			continue;
		}
		while (c < come.len && key_cmp(&come.data[c], key) < 0)
			out[pp->addrs.len++] = come.data[c++];
		out[pp->addrs.len++] = *key;
	}
	while (c < come.len)
		out[pp->addrs.len++] = come.data[c++];
	hr_vec_free(&gone);
	hr_vec_free(&come);
}

bool px_plan_has(const struct px_plan *pp, const struct px_addr_key *key)
{
	return pp->addrs.len && bsearch(key, pp->addrs.data, pp->addrs.len, sizeof(*key), key_cmp);
}

/* ---- to the workers ---- */

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

static void publish(struct hr_proxy *px, const struct hr_plan *plan,
		    const struct hr_plan_changes *what, void (*release)(const struct hr_plan *))
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
	if (what && old) {
		pp->changes_only = true;
		pp->what = *what;
		changed_addrs(pp, old);
	} else {
		all_addrs(pp);
	}
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

void hr_proxy_publish(struct hr_proxy *px, const struct hr_plan *plan,
		      void (*release)(const struct hr_plan *))
{
	publish(px, plan, NULL, release);
}

void hr_proxy_publish_change(struct hr_proxy *px, const struct hr_plan *plan,
			     const struct hr_plan_changes *what,
			     void (*release)(const struct hr_plan *))
{
	publish(px, plan, what, release);
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
		free(pp->addrs.data);
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
