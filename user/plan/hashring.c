// SPDX-License-Identifier: Apache-2.0
/*
 * Ring hash (each endpoint has places on a ring, a key goes to the next place) and Maglev (a table
 * of prime size that endpoints fill in turns, each in an order of its own).
 */
#include "plan/hashring.h"

#include <stdlib.h>

#include "core/cleanup.h"
#include "core/net.h"

#define RING_MIN 1024	  /* Istio's default of minimumRingSize */
#define RING_MAX 8388608  /* Envoy's bound */
#define MAGLEV_SIZE 65537 /* Envoy's default */

/* FNV-1a, then the finalizer of MurmurHash3: short keys that differ in their last byte must not
 * stay neighbours. */
uint64_t hr_plan_hash(struct hr_slice key, uint64_t seed)
{
	uint64_t h = 0xcbf29ce484222325ULL ^ seed;

	for (size_t i = 0; i < key.n; i++)
		h = (h ^ (uint8_t)key.p[i]) * 0x100000001b3ULL;
	h = (h ^ h >> 33) * 0xff51afd7ed558ccdULL;
	h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 33;
}

static uint64_t ep_hash(const struct hr_plan_ep *ep, uint64_t seed)
{
	char text[HR_ADDR_TEXT];

	return hr_plan_hash(hr_slice_of(hr_addr_port_text(&ep->addr, ep->port, text)), seed);
}

/* ---- ring ---- */

struct place {
	uint64_t at;
	uint16_t ep;
};

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (int)x->ep - (int)y->ep;
}

/* Places of an endpoint: a whole ring's worth for one of mean weight, so that their number does not
 * depend on how many others there are, and nothing moves between those that stay. */
static uint64_t places_of(uint32_t weight, uint64_t total, uint64_t size)
{
	return ((uint64_t)weight * size + total - 1) / total;
}

static void ring_fill(const struct hr_plan_ep *ep, uint16_t index, uint64_t n, struct place *out)
{
	for (uint64_t i = 0; i < n; i++)
		out[i] = (struct place){.at = ep_hash(ep, i * 0x9e3779b97f4a7c15ULL), .ep = index};
}

static void ring_build(struct hr_arena *a, struct hr_hash_table *t, uint64_t size,
		       const struct hr_plan_ep *eps, uint32_t n, uint64_t total)
{
	_cleanup_free_ struct place *ring = NULL;
	uint64_t *at, all = 0;
	uint16_t *ep;

	for (uint32_t i = 0; i < n; i++)
		all += places_of(eps[i].weight, total, size);
	ring = calloc(all, sizeof(*ring));
	if (!ring)
		abort(); /* as the arenas do */
	all = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t mine = places_of(eps[i].weight, total, size);

		ring_fill(&eps[i], (uint16_t)i, mine, ring + all);
		all += mine;
	}
	qsort(ring, all, sizeof(*ring), by_place);
	at = hr_arena_array(a, uint64_t, all);
	ep = hr_arena_array(a, uint16_t, all);
	for (uint64_t i = 0; i < all; i++) {
		at[i] = ring[i].at;
		ep[i] = ring[i].ep;
	}
	*t = (struct hr_hash_table){.n = (uint32_t)all, .at = at, .ep = ep};
}

/* ---- Maglev ---- */

static bool prime(uint32_t n)
{
	for (uint32_t d = 2; d * d <= n; d++)
		if (n % d == 0)
			return false;
	return n > 1;
}

struct filler {
	uint32_t next, skip; /* of the endpoint's own order of all entries */
	uint64_t due;	     /* turns that it may have had, in units of weight */
};

/* The endpoint's next free entry is its. */
static void take_turn(uint16_t *ep, uint32_t size, struct filler *f, uint16_t index)
{
	while (ep[f->next] != UINT16_MAX)
		f->next = (f->next + f->skip) % size;
	ep[f->next] = index;
}

/* Rounds in which the heaviest endpoint has a turn each time, others as their weight is. */
static void maglev_fill(uint16_t *ep, uint32_t size, struct filler *f, const struct hr_plan_ep *eps,
			uint32_t n)
{
	uint32_t heaviest = 0, taken = 0;

	for (uint32_t i = 0; i < n; i++)
		heaviest = HR_MAX(heaviest, eps[i].weight);
	for (;;) {
		for (uint32_t i = 0; i < n; i++) {
			f[i].due += eps[i].weight;
			if (f[i].due < heaviest)
				continue;
			f[i].due -= heaviest;
			take_turn(ep, size, &f[i], (uint16_t)i);
			if (++taken == size)
				return;
		}
	}
}

static void maglev_build(struct hr_arena *a, struct hr_hash_table *t, uint32_t size,
			 const struct hr_plan_ep *eps, uint32_t n)
{
	_cleanup_free_ struct filler *f = calloc(n, sizeof(*f));
	uint16_t *ep = hr_arena_array(a, uint16_t, size);

	if (!f)
		abort();
	for (uint32_t i = 0; i < n; i++) {
		f[i].next = (uint32_t)(ep_hash(&eps[i], 0) % size);
		f[i].skip = (uint32_t)(ep_hash(&eps[i], 0xdeadbeef) % (size - 1)) + 1;
	}
	for (uint32_t i = 0; i < size; i++)
		ep[i] = UINT16_MAX;
	maglev_fill(ep, size, f, eps, n);
	*t = (struct hr_hash_table){.n = size, .ep = ep};
}

/* ---- both ---- */

const struct hr_hash_table *hr_hash_table_build(struct hr_arena *a, const struct hr_plan_cluster *c,
						const struct hr_plan_ep *eps)
{
	const struct hr_load_balancer *b = c->balancer;
	uint32_t n = HR_MIN(c->n_eps, (uint32_t)UINT16_MAX);
	struct hr_hash_table *t;
	uint64_t total = 0, size;

	for (uint32_t i = 0; i < n; i++)
		total += eps[i].weight;
	if (!b || b->hash == HR_HASH_NONE || !total)
		return NULL;
	t = hr_arena_new0(a, struct hr_hash_table);
	if (b->maglev) {
		size = HR_MAX(b->maglev_size ? b->maglev_size : MAGLEV_SIZE, (uint64_t)n + 2);
		while (!prime((uint32_t)size)) /* an order that visits all entries needs it */
			size++;
		maglev_build(a, t, (uint32_t)size, eps, n);
		return t;
	}
	size = (b->ring_size ? b->ring_size : RING_MIN) * n;
	ring_build(a, t, HR_MIN(size, (uint64_t)RING_MAX), eps, n, total);
	return t;
}

uint32_t hr_hash_table_at(const struct hr_hash_table *t, uint64_t hash)
{
	uint32_t low = 0, high = t->n;

	if (!t->at)
		return (uint32_t)(hash % t->n);
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (t->at[mid] < hash)
			low = mid + 1;
		else
			high = mid;
	}
	return low == t->n ? 0 : low;
}
