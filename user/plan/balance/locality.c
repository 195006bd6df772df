// SPDX-License-Identifier: Apache-2.0
/* What each place of a cluster gets, by the health of its endpoints (Envoy's rules). */
#include "plan/balance/locality.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"

/* Envoy's overprovisioning factor in percent, which Istio leaves as it is. */
#define OVERPROVISION 140

void hr_locality_split(const char *l, struct hr_slice part[static 3])
{
	for (int i = 0; i < 3; i++) {
		size_t n = strcspn(l, "/");

		part[i] = (struct hr_slice){l, n};
		l += n;
		l += *l == '/';
	}
}

/* ---- priorities ---- */

/* Percent of all requests that the priority can take; whole ones, as Envoy counts, but one endpoint
 * of very many is not none. */
static uint32_t reach(const struct hr_level *l)
{
	uint64_t percent = l->healthy ? OVERPROVISION * (uint64_t)l->healthy / l->all : 0;

	return (uint32_t)HR_MIN(HR_MAX(percent, (uint64_t)(l->healthy != 0)), (uint64_t)100);
}

static uint32_t reach_of_all(const struct hr_level *level)
{
	uint32_t total = 0;

	for (int p = 0; p < HR_PRIORITIES_MAX; p++)
		total += reach(&level[p]);
	return HR_MIN(total, 100U);
}

void hr_levels_panic(const struct hr_level *level, uint32_t min_health, bool *panic)
{
	bool enough = reach_of_all(level) == 100;

	for (int p = 0; p < HR_PRIORITIES_MAX; p++)
		panic[p] = !enough && level[p].all &&
			   (uint64_t)level[p].healthy * 100 < (uint64_t)min_health * level[p].all;
}

/* Everybody panics: each gets what its endpoints are of all. */
static bool loads_by_size(const struct hr_level *level, const bool *panic, double *load)
{
	double total = 0;

	for (int p = 0; p < HR_PRIORITIES_MAX; p++) {
		if (level[p].all && !panic[p])
			return false;
		total += level[p].all;
	}
	for (int p = 0; p < HR_PRIORITIES_MAX; p++)
		load[p] = total > 0 ? level[p].all / total : 0;
	return true;
}

/* What each priority gets: as much as it can take, the first ones first. */
static void loads(const struct hr_level *level, const bool *panic, double *load)
{
	uint32_t total = reach_of_all(level), left = 100, first = HR_PRIORITIES_MAX;

	memset(load, 0, HR_PRIORITIES_MAX * sizeof(*load));
	if (loads_by_size(level, panic, load) || !total)
		return;
	for (uint32_t p = 0; p < HR_PRIORITIES_MAX; p++) {
		uint32_t mine = HR_MIN(left, reach(&level[p]) * 100 / total);

		load[p] = mine / 100.;
		left -= mine;
		if (mine)
			first = HR_MIN(first, p);
	}
	load[first] += left / 100.; /* what rounding left */
}

/* ---- shares ---- */

struct place_sum {
	uint32_t all, healthy; /* endpoints */
	double weight;	       /* of those that get requests */
};

/* How far a place's endpoints reach for its weight. */
static double place_reach(const struct place_sum *s)
{
	return s->all ? fmin(1, OVERPROVISION / 100. * s->healthy / s->all) : 0;
}

struct sums {
	struct hr_level level[HR_PRIORITIES_MAX];
	bool panic[HR_PRIORITIES_MAX];
	double load[HR_PRIORITIES_MAX];
	double all[HR_PRIORITIES_MAX];	  /* weights of endpoints */
	double places[HR_PRIORITIES_MAX]; /* weights of places, as far as they reach */
	struct place_sum *place;
};

static void add_up(const struct hr_plan_cluster *c, const struct hr_plan_ep *eps,
		   const double *weight, const enum hr_ep_health *health, struct sums *s)
{
	for (uint32_t i = 0; i < c->n_eps; i++) {
		const struct hr_plan_place *at = &c->places[eps[i].place];
		struct place_sum *sum = &s->place[eps[i].place];
		struct hr_level *l = &s->level[at->priority];

		if (at->weight <= 0) /* not meant: does not count */
			continue;
		sum->all++;
		l->all++;
		sum->healthy += health[i] == HR_EP_HEALTHY;
		l->healthy += health[i] == HR_EP_HEALTHY;
		s->panic[at->priority] |= health[i] == HR_EP_USED;
		if (health[i] == HR_EP_AWAY)
			continue;
		sum->weight += weight[i];
		s->all[at->priority] += weight[i];
	}
	loads(s->level, s->panic, s->load);
	for (uint32_t k = 0; k < c->n_places; k++)
		s->places[c->places[k].priority] += c->places[k].weight * place_reach(&s->place[k]);
}

static double share(const struct hr_plan_place *at, const struct place_sum *sum,
		    const struct sums *s, double weight)
{
	uint8_t p = at->priority;

	if (at->weight <= 0 || sum->weight <= 0)
		return 0;
	if (s->panic[p]) /* whoever it is and wherever */
		return s->load[p] * weight / s->all[p];
	if (s->places[p] <= 0)
		return 0;
	return s->load[p] * at->weight * place_reach(sum) / s->places[p] * weight / sum->weight;
}

void hr_place_weights(const struct hr_plan_cluster *c, const struct hr_plan_ep *eps,
		      const double *weight, const enum hr_ep_health *health, double *out)
{
	struct sums s = {.place = calloc(c->n_places + 1, sizeof(*s.place))};

	if (!s.place)
		abort();
	add_up(c, eps, weight, health, &s);
	for (uint32_t i = 0; i < c->n_eps; i++) {
		uint32_t k = eps[i].place;
		double mine = health[i] == HR_EP_AWAY
				      ? 0
				      : share(&c->places[k], &s.place[k], &s, weight[i]);

		/* equal shares are to be equal numbers */
		out[i] = round(mine * 1e9);
	}
	free(s.place);
}

void hr_place_words(const struct hr_plan_cluster *c, struct hr_strbuf *out)
{
	double sum = 0;

	if (!c->by_place)
		return;
	hr_sb_printf(out, " %s", c->by_place);
	for (uint32_t k = 0; k < c->n_places; k++)
		sum += c->places[k].priority ? 0 : c->places[k].weight;
	for (uint32_t k = 0; k < c->n_places; k++) {
		const struct hr_plan_place *p = &c->places[k];

		hr_sb_printf(out, " %s", *p->locality ? p->locality : "(no locality)");
		if (p->priority)
			hr_sb_printf(out, " priority %u", p->priority);
		else
			hr_sb_printf(out, " %.4g %%", sum > 0 ? 100 * p->weight / sum : 0);
	}
}
