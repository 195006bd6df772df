// SPDX-License-Identifier: Apache-2.0
/* Consistent hashing: the hash of a key, a ring, Maglev. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "lib/hash.h"
#include "plan/balance/slots_int.h"

#define MAGLEV_SIZE 65537 /* Envoy's default */
/* Places on the ring of an endpoint of mean weight, so that shares differ by a few percent. */
#define RING_EACH 1024
/* Places of all endpoints. A table samples the ring: what is between two slots is not seen. */
#define RING_PLACES_MAX 1048576
#define RING_SLOTS_MIN 16384
#define RING_SLOTS_MAX 262144

uint64_t hr_plan_hash(struct hr_slice key, uint64_t seed)
{
	uint64_t h = HR_HASH_START ^ seed;

	for (size_t i = 0; i < key.n; i += 8) {
		uint64_t w = 0;

		memcpy(&w, key.p + i, HR_MIN(key.n - i, sizeof(w)));
		h = hr_hash_word(h, w);
	}
	return hr_hash_end(h, key.n);
}

bool hr_plan_hash_pair(struct hr_slice all, char sep, struct hr_slice name, struct hr_slice *value)
{
	const char *p = all.p, *end = p ? p + all.n : NULL;

	while (p && p < end) {
		const char *stop = memchr(p, sep, (size_t)(end - p)), *eq;

		stop = stop ? stop : end;
		while (sep == ';' && p < stop && *p == ' ')
			p++;
		eq = memchr(p, '=', (size_t)(stop - p));
		if (eq && (size_t)(eq - p) == name.n && !memcmp(p, name.p, name.n)) {
			struct hr_slice v = {eq + 1, (size_t)(stop - eq - 1)};

			if (sep == ';' && v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"')
				v = (struct hr_slice){v.p + 1, v.n - 2};
			*value = v;
			return true;
		}
		p = stop + 1;
	}
	return false;
}

static uint64_t ep_hash(const struct hr_plan_ep *ep, uint64_t seed)
{
	char key[sizeof(ep->addr.ip) + sizeof(ep->port)];

	memcpy(key, ep->addr.ip, sizeof(ep->addr.ip));
	memcpy(key + sizeof(ep->addr.ip), &ep->port, sizeof(ep->port));
	return hr_plan_hash((struct hr_slice){key, sizeof(key)}, seed);
}

/* ---- ring ---- */

/* Places of one endpoint: a power of two, so that their number hardly ever depends on how many
 * others there are, and nothing moves between those that stay. */
static uint32_t places_each(uint64_t size, uint32_t n)
{
	uint32_t each = RING_EACH;

	while ((uint64_t)each * n < size && (uint64_t)each * n < RING_PLACES_MAX)
		each *= 2;
	while (each > 1 && (uint64_t)each * n > RING_PLACES_MAX)
		each /= 2;
	return each;
}

/*
 * A slot belongs to the first place at or after its beginning. No sort: each place is noted for the
 * slot that it lies in, when it is the first there; slots without a place belong to who comes next.
 */
void hr_ring_fill(const struct hr_plan_ep *eps, const double *weight, uint32_t n, uint64_t size,
		  double mean, uint16_t *slot, uint32_t slots)
{
	_cleanup_free_ uint64_t *first = malloc(slots * sizeof(*first));
	double each = places_each(size, n) / mean;
	uint32_t next = UINT32_MAX;

	if (!first)
		abort();
	memset(first, 0xff, slots * sizeof(*first));
	for (uint32_t i = 0; i < n; i++) {
		uint32_t places = weight[i] > 0 ? (uint32_t)ceil(each * weight[i]) : 0;
		uint64_t h = ep_hash(&eps[i], 0);

		for (uint32_t p = 0; p < places; p++) {
			uint64_t at = hr_hash_end(hr_hash_word(h, p + 1), 0);
			uint32_t s = hr_hash_slot(at, slots);

			if (at >= first[s])
				continue;
			first[s] = at;
			slot[s] = (uint16_t)i;
		}
	}
	for (uint32_t s = 0; s < slots && next == UINT32_MAX; s++)
		if (first[s] != UINT64_MAX)
			next = slot[s];
	for (uint32_t s = slots; s--;) {
		if (first[s] != UINT64_MAX)
			next = slot[s];
		slot[s] = (uint16_t)next;
	}
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
	uint32_t next, skip; /* of the endpoint's own order of all slots */
	double due;	     /* turns that it may have had, in units of weight */
};

/* The endpoint's next free slot is its. */
static void take_turn(uint16_t *slot, uint32_t slots, struct filler *f, uint16_t index)
{
	while (slot[f->next] != UINT16_MAX) {
		f->next += f->skip;
		f->next -= f->next >= slots ? slots : 0;
	}
	slot[f->next] = index;
}

/* Rounds in which the heaviest endpoint has a turn each time, others as their weight is. */
void hr_maglev_fill(const struct hr_plan_ep *eps, const double *weight, uint32_t n, uint16_t *slot,
		    uint32_t slots)
{
	_cleanup_free_ struct filler *f = calloc(n, sizeof(*f));
	double heaviest = 0;

	if (!f)
		abort();
	for (uint32_t i = 0; i < n; i++) {
		heaviest = HR_MAX(heaviest, weight[i]);
		f[i].next = (uint32_t)(ep_hash(&eps[i], 0) % slots);
		f[i].skip = (uint32_t)(ep_hash(&eps[i], 0xdeadbeef) % (slots - 1)) + 1;
	}
	memset(slot, 0xff, slots * sizeof(*slot));
	for (uint32_t taken = 0;;) {
		for (uint32_t i = 0; i < n; i++) {
			f[i].due += weight[i];
			if (weight[i] <= 0 || f[i].due < heaviest)
				continue;
			f[i].due -= heaviest;
			take_turn(slot, slots, &f[i], (uint16_t)i);
			if (++taken == slots)
				return;
		}
	}
}

/* ---- sizes ---- */

static uint32_t ring_slots(const struct hr_load_balancer *b, uint32_t n)
{
	uint64_t want = HR_MAX(b->ring_size, HR_MIN((uint64_t)n * RING_EACH, RING_SLOTS_MAX / 4));
	uint32_t slots = RING_SLOTS_MIN;

	while (slots < want && slots < RING_SLOTS_MAX)
		slots *= 2;
	return slots;
}

uint32_t hr_hash_slots(const struct hr_plan_cluster *c)
{
	const struct hr_load_balancer *b = c->balancer;
	uint32_t slots;

	if (!b || b->hash == HR_HASH_NONE || !c->n_eps)
		return 0;
	if (!b->maglev)
		return ring_slots(b, c->n_eps);
	slots = (uint32_t)HR_MAX(b->maglev_size ? b->maglev_size : MAGLEV_SIZE,
				 (uint64_t)c->n_eps + 2);
	while (!prime(slots)) /* an order that visits all slots needs it */
		slots++;
	return slots;
}
