// SPDX-License-Identifier: Apache-2.0
/* Which destination of a route, which endpoint of a cluster. The kernel does the same in
 * bpf/lib/balance.h, on the same shared words. */
#include "plan/plan.h"

#include "core/cleanup.h"
#include "lib/hash.h"

const struct hr_plan_cluster *hr_plan_pick_cluster(const struct hr_plan *p,
						   const struct hr_plan_route *route,
						   uint32_t random, const struct hr_plan_dst **dst)
{
	/* one array, one set of weights: hr_plan_reweigh may put another in its place meanwhile */
	const struct hr_plan_dst *all = __atomic_load_n(&route->dst, __ATOMIC_ACQUIRE);
	uint64_t total = 0, cum = 0, r;

	for (uint32_t i = 0; i < route->ndst; i++)
		total += all[i].weight;
	r = (random * total) >> 32;
	for (uint32_t i = 0; i < route->ndst; i++) {
		cum += all[i].weight;
		if (r >= cum)
			continue;
		if (dst)
			*dst = &all[i];
		return &p->clusters.data[all[i].cluster];
	}
	return NULL; /* no destination, or all weights are 0 */
}

struct pick {
	const struct hr_plan *plan;
	const struct hr_plan_cluster *c;
	const struct hr_words *w;
	uint64_t table;
	uint32_t n; /* its slots */
	const uint32_t *avoid;
	size_t n_avoid;
	uint64_t rnd;
};

static uint32_t next_random(struct pick *k)
{
	k->rnd += 0x9e3779b97f4a7c15ULL;
	return (uint32_t)(hr_hash_end(k->rnd, 0) >> 32);
}

static bool avoided(const struct pick *k, uint32_t id)
{
	for (size_t a = 0; a < k->n_avoid; a++)
		if (k->avoid[a] == id)
			return true;
	return false;
}

/* 3: known to be alive, 2: nothing known of it, 1: tried before, 0: dead, NEVER: ejected */
#define NEVER (-1)
static int rank(const struct pick *k, const struct hr_plan_ep *e)
{
	uint32_t flags;

	if (!e)
		return NEVER;
	flags = __atomic_load_n(&k->w->ep[e->id].flags, __ATOMIC_RELAXED);
	if (flags & HR_EPRT_EJECTED)
		return NEVER;
	if (flags & HR_EPRT_DEAD)
		return 0;
	if (avoided(k, e->id))
		return 1;
	return flags & HR_EPRT_PROVED ? 3 : 2;
}

/* NULL: not of this plan. The table may be of the one before or after it. */
static const struct hr_plan_ep *at_slot(const struct pick *k, uint32_t slot)
{
	uint32_t page = HR_TABLE_PAGE(k->table) + slot / HR_SLOTS_PAGE, id, i;
	const struct hr_plan_ep *e;

	if (page >= HR_SLOT_PAGES)
		return NULL;
	id = __atomic_load_n(&k->w->slots[page].ep[slot % HR_SLOTS_PAGE], __ATOMIC_RELAXED);
	i = id < k->plan->n_ep_by_id ? k->plan->ep_by_id[id] : 0;
	e = i ? &k->plan->eps.data[i - 1] : NULL;
	return e && &k->plan->clusters.data[e->cluster] == k->c ? e : NULL;
}

/* Looks at so many slots for one of a good rank: enough to meet everybody by chance. */
#define LOOKS(k) HR_MIN((uint64_t)(k)->n, 16 * (uint64_t)(k)->c->n_eps + 64)

/* The first endpoint at or after a slot that is `good`, else of the best rank that anyone has;
 * NULL: nobody may be used. */
static const struct hr_plan_ep *from(const struct pick *k, uint32_t slot, int good)
{
	const struct hr_plan_ep *best = NULL;
	int best_rank = NEVER;

	for (uint64_t i = 0, looks = LOOKS(k); i < looks && best_rank < good; i++) {
		const struct hr_plan_ep *e = at_slot(k, (uint32_t)((slot + i) % k->n));
		int r = rank(k, e);

		if (r > best_rank) {
			best_rank = r;
			best = e;
		}
	}
	return best;
}

static uint32_t any_slot(struct pick *k)
{
	return hr_hash_slot((uint64_t)next_random(k) << 32, k->n);
}

static uint32_t inflight(const struct hr_ep_rt *rt)
{
	uint64_t word = __atomic_load_n(&rt->inflight.word, __ATOMIC_RELAXED);

	return HR_INFLIGHT_SUM(word);
}

/* Less in flight for its weight. */
static bool less_loaded(const struct pick *k, const struct hr_plan_ep *a,
			const struct hr_plan_ep *b)
{
	const struct hr_ep_rt *x = &k->w->ep[a->id], *y = &k->w->ep[b->id];

	return (uint64_t)inflight(x) * y->weight < (uint64_t)inflight(y) * x->weight;
}

/* Power of two choices. */
static const struct hr_plan_ep *least(struct pick *k)
{
	const struct hr_plan_ep *a = from(k, any_slot(k), 3), *b;

	if (k->n == 1 || !a)
		return a;
	b = from(k, any_slot(k), 3);
	if (!b || rank(k, b) != rank(k, a))
		return rank(k, b) > rank(k, a) ? b : a;
	return less_loaded(k, b, a) ? b : a;
}

const struct hr_plan_ep *hr_plan_pick_ep(const struct hr_plan *p, const struct hr_plan_cluster *c,
					 const struct hr_words *w, uint32_t random,
					 const uint64_t *hash, const uint32_t *avoid,
					 size_t n_avoid)
{
	struct pick k = {
		.plan = p, .c = c, .w = w, .avoid = avoid, .n_avoid = n_avoid, .rnd = random};
	struct hr_cluster_rt *rt = &w->cluster[c->id];

	k.table = __atomic_load_n(&rt->table, __ATOMIC_ACQUIRE);
	k.n = HR_TABLE_N(k.table);
	if (!k.n)
		return NULL;
	if (hash && c->balancer && c->balancer->hash != HR_HASH_NONE)
		/* a key stays where it is until its endpoint is known to be dead */
		return from(&k, hr_hash_slot(*hash, k.n), 2);
	if (c->lb == HR_LB_ROUND_ROBIN)
		return from(&k, __atomic_fetch_add(&rt->rr, 1, __ATOMIC_RELAXED) % k.n, 3);
	return c->lb == HR_LB_LEAST_REQUEST ? least(&k) : from(&k, any_slot(&k), 3);
}

static uint32_t priority_of(const struct hr_plan_cluster *c, const struct hr_plan_ep *e)
{
	return c->places[e->place].priority;
}

static bool priority_tried(const struct pick *k, uint32_t priority)
{
	const struct hr_plan_ep *eps = k->plan->eps.data + k->c->first_ep;

	for (uint32_t i = 0; i < k->c->n_eps; i++)
		if (priority_of(k->c, &eps[i]) == priority && avoided(k, eps[i].id))
			return true;
	return false;
}

const struct hr_plan_ep *hr_plan_pick_remote(const struct hr_plan *p,
					     const struct hr_plan_cluster *c,
					     const struct hr_words *w, uint32_t random,
					     const uint32_t *tried, size_t n_tried)
{
	struct pick k = {
		.plan = p, .c = c, .w = w, .avoid = tried, .n_avoid = n_tried, .rnd = random};
	const struct hr_plan_ep *eps = p->eps.data + c->first_ep, *best = NULL;
	uint32_t start = c->n_eps ? random % c->n_eps : 0;

	for (uint32_t i = 0; c->n_places && i < c->n_eps; i++) {
		const struct hr_plan_ep *e = &eps[(start + i) % c->n_eps];

		if (rank(&k, e) < 2 || priority_tried(&k, priority_of(c, e)))
			continue;
		if (!best || priority_of(c, e) < priority_of(c, best))
			best = e;
	}
	return best;
}
