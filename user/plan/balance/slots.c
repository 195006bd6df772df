// SPDX-License-Identifier: Apache-2.0
/* Slots by weight, and what all tables have in common. */
#include "plan/balance/slots.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "plan/balance/slots_int.h"

/* A table that shows the weights exactly has so many slots at most. */
#define EXACT_MAX 1024
/* Otherwise: slots in all, for an endpoint of mean weight, and for the smallest weight. */
#define SLOTS_MIN 1024
#define SLOTS_EACH 16
#define SLOTS_LEAST 4
#define SLOTS_MAX 16384

uint16_t *hr_slots_new(struct hr_slot_table *t, uint32_t n)
{
	t->n = n;
	t->ep = calloc(n, sizeof(*t->ep));
	if (!t->ep)
		abort(); /* as the arenas do: bounds were checked when the plan was made */
	return t->ep;
}

static bool whole(double w)
{
	return w >= 1 && w <= EXACT_MAX && w == floor(w);
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
	return b ? gcd(b, a % b) : a;
}

/* Slots of a table in which the weights are exact; 0: it would be too large. */
static uint32_t exact_size(const double *weight, uint32_t n, uint32_t *unit)
{
	uint32_t sum = 0;

	*unit = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (weight[i] <= 0)
			continue;
		if (!whole(weight[i]))
			return 0;
		*unit = gcd((uint32_t)weight[i], *unit);
	}
	for (uint32_t i = 0; i < n; i++)
		if (weight[i] > 0)
			sum += (uint32_t)weight[i] / *unit;
	return sum <= EXACT_MAX ? sum : 0;
}

/* One stands at even distances: its j-th slot is where a fair share ends. */
struct turn {
	double at;
	uint16_t ep;
};

static int by_turn(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (int)x->ep - (int)y->ep;
}

static void spread(const uint32_t *count, uint32_t n, uint32_t size, struct hr_slot_table *out)
{
	_cleanup_free_ struct turn *turn = calloc(size, sizeof(*turn));
	uint32_t k = 0;

	if (!turn)
		abort();
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t j = 0; j < count[i]; j++)
			turn[k++] = (struct turn){(j + 0.5) / count[i], (uint16_t)i};
	qsort(turn, size, sizeof(*turn), by_turn);
	hr_slots_new(out, size);
	for (k = 0; k < size; k++)
		out->ep[k] = turn[k].ep;
}

static void by_weight(const double *weight, uint32_t n, uint32_t used, double total,
		      struct hr_slot_table *out)
{
	_cleanup_free_ uint32_t *count = calloc(n, sizeof(*count));
	uint32_t unit, size = exact_size(weight, n, &unit), all = 0;
	double scale, least = total;

	if (!count)
		abort();
	for (uint32_t i = 0; i < n; i++)
		least = weight[i] > 0 ? HR_MIN(least, weight[i]) : least;
	scale = HR_MAX((double)SLOTS_MIN, HR_MIN(SLOTS_LEAST * total / least, SLOTS_MAX));
	scale = HR_MAX(scale, (double)used * SLOTS_EACH) / total;
	for (uint32_t i = 0; i < n; i++) {
		if (weight[i] <= 0)
			continue;
		/* a small weight is not none */
		count[i] = size ? (uint32_t)weight[i] / unit
				: HR_MAX((uint32_t)lround(weight[i] * scale), 1);
		all += count[i];
	}
	spread(count, n, all, out);
}

static void one_each(const double *weight, uint32_t n, uint32_t used, struct hr_slot_table *out)
{
	uint16_t *ep = hr_slots_new(out, used);

	for (uint32_t i = 0; i < n; i++)
		if (weight[i] > 0)
			*ep++ = (uint16_t)i;
	out->even = true;
}

/* The slots of those who are away go to who comes next. */
static void stand_in(struct hr_slot_table *t, const bool *away)
{
	uint32_t next = UINT32_MAX;

	for (uint32_t i = t->n; i-- && next == UINT32_MAX;)
		if (!away[t->ep[i]])
			next = i;
	if (next == UINT32_MAX) {
		t->n = 0;
		return;
	}
	/* from the end to the beginning; the last ones are followed by the first */
	for (uint32_t i = 0; i < t->n; i++)
		if (!away[t->ep[i]]) {
			next = t->ep[i];
			break;
		}
	for (uint32_t i = t->n; i--;) {
		if (away[t->ep[i]])
			t->ep[i] = (uint16_t)next;
		else
			next = t->ep[i];
	}
}

void hr_slots_build(const struct hr_plan_cluster *c, const struct hr_plan_ep *eps,
		    const double *weight, const bool *away, struct hr_slot_table *out)
{
	uint32_t n = HR_MIN(c->n_eps, (uint32_t)UINT16_MAX), used = 0;
	double total = 0, first = 0;
	bool same = true;

	*out = (struct hr_slot_table){0};
	for (uint32_t i = 0; i < n; i++) {
		if (weight[i] <= 0)
			continue;
		first = used ? first : weight[i];
		same = same && weight[i] == first;
		total += weight[i];
		used++;
	}
	if (!used)
		return;
	if (c->lb == HR_LB_RING_HASH || c->lb == HR_LB_MAGLEV)
		hr_slots_new(out, hr_hash_slots(c));
	if (c->lb == HR_LB_RING_HASH)
		hr_ring_fill(eps, weight, n, c->balancer->ring_size, total / used, out->ep, out->n);
	else if (c->lb == HR_LB_MAGLEV)
		hr_maglev_fill(eps, weight, n, out->ep, out->n);
	else if (same)
		one_each(weight, n, used, out);
	else
		by_weight(weight, n, used, total, out);
	if (away)
		stand_in(out, away);
}
