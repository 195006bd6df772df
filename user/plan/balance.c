// SPDX-License-Identifier: Apache-2.0
/* Which destination of a route, which endpoint of a cluster. The kernel does the same in
 * bpf/lib/balance.h, on the same shared words. */
#include "plan/plan.h"

#include "core/cleanup.h"
#include "plan/hashring.h"

const struct hr_plan_cluster *hr_plan_pick_cluster(const struct hr_plan *p,
						   const struct hr_plan_route *route,
						   uint32_t random, const struct hr_plan_dst **dst)
{
	uint64_t r = ((uint64_t)random * route->total) >> 32, cum = 0;

	for (uint32_t i = 0; i < route->ndst; i++) {
		cum += route->dst[i].weight;
		if (r >= cum)
			continue;
		if (dst)
			*dst = &route->dst[i];
		return &p->clusters.data[route->dst[i].cluster];
	}
	return NULL; /* no destination, or all weights are 0 */
}

struct pick {
	const struct hr_plan_ep *eps;
	uint32_t n;
	struct hr_ep_rt *rt;
	const uint32_t *avoid;
	size_t n_avoid;
	uint64_t rnd;
};

static uint32_t next_random(struct pick *k)
{
	k->rnd = k->rnd * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(k->rnd >> 32);
}

static bool avoided(const struct pick *k, uint32_t i)
{
	for (size_t a = 0; a < k->n_avoid; a++)
		if (k->avoid[a] == k->eps[i].id)
			return true;
	return false;
}

/* 3: known to be alive, 2: nothing known of it, 1: tried before, 0: dead, NEVER: ejected */
#define NEVER (-1)
static int rank(const struct pick *k, uint32_t i)
{
	uint32_t flags = __atomic_load_n(&k->rt[k->eps[i].id].flags, __ATOMIC_RELAXED);

	if (flags & HR_EPRT_EJECTED)
		return NEVER;
	if (flags & HR_EPRT_DEAD)
		return 0;
	if (avoided(k, i))
		return 1;
	return flags & HR_EPRT_PROVED ? 3 : 2;
}

/* The first endpoint at or after `start` of the best rank that anyone has. */
static uint32_t from(const struct pick *k, uint32_t start)
{
	uint32_t best = start % k->n;
	int best_rank = NEVER;

	for (uint32_t i = 0; i < k->n && best_rank < 3; i++) {
		uint32_t c = (start + i) % k->n;
		int r = rank(k, c);

		if (r > best_rank) {
			best_rank = r;
			best = c;
		}
	}
	return best;
}

static uint32_t weighted_start(struct pick *k)
{
	uint64_t total = 0, r, cum = 0;

	for (uint32_t i = 0; i < k->n; i++)
		total += k->eps[i].weight;
	r = total ? ((uint64_t)next_random(k) * total) >> 32 : next_random(k) % k->n;
	for (uint32_t i = 0; total && i < k->n; i++) {
		cum += k->eps[i].weight;
		if (r < cum)
			return i;
	}
	return (uint32_t)r % k->n;
}

/* NULL when the search has ended at one that must not be used: all are ejected. */
static const struct hr_plan_ep *usable(const struct pick *k, uint32_t i)
{
	return rank(k, i) == NEVER ? NULL : &k->eps[i];
}

/* The key's endpoint, or who stands in for it: those that come next in the table are the same for
 * all who ask. */
static uint32_t hashed(const struct pick *k, const struct hr_hash_table *t, uint64_t hash)
{
	uint32_t at = hr_hash_table_at(t, hash), best = t->ep[at];
	uint64_t tries = HR_MIN((uint64_t)t->n, 16 * (uint64_t)k->n + 64);
	int best_rank = NEVER;

	for (uint64_t i = 0; i < tries && best_rank < 2; i++) {
		uint32_t c = t->ep[(at + i) % t->n];
		int r = rank(k, c);

		if (r > best_rank) {
			best_rank = r;
			best = c;
		}
	}
	return best_rank == NEVER ? from(k, best) : best;
}

static uint32_t inflight(const struct hr_ep_rt *rt)
{
	uint64_t word = __atomic_load_n(&rt->inflight.word, __ATOMIC_RELAXED);

	return HR_INFLIGHT_SUM(word);
}

const struct hr_plan_ep *hr_plan_pick_ep(const struct hr_plan *p, const struct hr_plan_cluster *c,
					 struct hr_ep_rt *ep_rt, struct hr_cluster_rt *cluster_rt,
					 uint32_t random, const uint64_t *hash,
					 const uint32_t *avoid, size_t n_avoid)
{
	const struct hr_plan_ep *eps = p->eps.data + c->first_ep;
	struct pick k = {
		.eps = eps,
		.n = c->n_eps,
		.rt = ep_rt,
		.avoid = avoid,
		.n_avoid = n_avoid,
		.rnd = random,
	};
	uint32_t a, b;

	if (!k.n)
		return NULL;
	if (hash && c->hash_table)
		return usable(&k, hashed(&k, c->hash_table, *hash));
	if (c->lb == HR_LB_ROUND_ROBIN)
		return usable(&k, from(&k, __atomic_fetch_add(&cluster_rt[c->id].rr, 1,
							      __ATOMIC_RELAXED)));
	a = from(&k, weighted_start(&k));
	if (c->lb != HR_LB_LEAST_REQUEST || k.n == 1)
		return usable(&k, a);
	/* power of two choices */
	b = from(&k, weighted_start(&k));
	if (rank(&k, b) > rank(&k, a))
		return usable(&k, b);
	if (rank(&k, b) == rank(&k, a) &&
	    inflight(&ep_rt[k.eps[b].id]) < inflight(&ep_rt[k.eps[a].id]))
		return usable(&k, b);
	return usable(&k, a);
}
