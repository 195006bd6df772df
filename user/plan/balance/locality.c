// SPDX-License-Identifier: Apache-2.0
/*
 * Where endpoints are, seen from where the clients are: localityLbSetting and trafficDistribution
 * as priorities and weights of places (Istio's rules), and the share of each place (Envoy's).
 */
#include "plan/balance/locality.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "plan/compile/compile.h"

/* Envoy's overprovisioning factor, which Istio leaves as it is. */
#define OVERPROVISION 1.4
#define PRIORITIES_MAX 64

void hr_locality_split(const char *l, struct hr_slice part[static 3])
{
	for (int i = 0; i < 3; i++) {
		size_t n = strcspn(l, "/");

		part[i] = (struct hr_slice){l, n};
		l += n;
		l += *l == '/';
	}
}

/* ---- distribute ---- */

/* REGION, REGION/ZONE ..., a star in place of any: what is not said matches all. */
static bool covers(const char *rule, const char *locality)
{
	struct hr_slice want[3], have[3];

	hr_locality_split(rule, want);
	hr_locality_split(locality, have);
	for (int i = 0; i < 3; i++) {
		if (!want[i].n || hr_slice_eq(want[i], HR_SLICE("*")))
			return true;
		if (!hr_slice_eq(want[i], have[i]))
			return false;
	}
	return true;
}

static const struct hr_locality_distribute *distribute_from(const struct hr_load_balancer *lb,
							    const char *client)
{
	for (size_t i = 0; i < lb->distribute.len; i++)
		if (covers(lb->distribute.data[i].from, client))
			return &lb->distribute.data[i];
	return NULL;
}

/* Each entry's weight is shared by the places that it is the first to cover, by what they weigh. */
static void distribute(const struct hr_locality_distribute *d, struct hr_plan_place *place,
		       uint32_t n)
{
	_cleanup_free_ double *got = calloc(n, sizeof(*got));
	_cleanup_free_ bool *taken = calloc(n, sizeof(*taken));

	if (!got || !taken)
		abort();
	for (size_t k = 0; k < d->to.len; k++) {
		double total = 0;

		for (uint32_t i = 0; i < n; i++)
			if (!taken[i] && covers(d->to.data[k].key, place[i].locality))
				total += place[i].weight;
		for (uint32_t i = 0; i < n; i++) {
			if (taken[i] || !covers(d->to.data[k].key, place[i].locality))
				continue;
			taken[i] = true;
			got[i] = total > 0 ? strtod(d->to.data[k].value, NULL) * place[i].weight /
						     total
					   : 0;
		}
	}
	for (uint32_t i = 0; i < n; i++)
		place[i].weight = got[i];
}

/* ---- priorities ---- */

static uint8_t by_locality(const char *client, const char *there, const struct hr_load_balancer *lb)
{
	struct hr_slice c[3], e[3];

	hr_locality_split(client, c);
	hr_locality_split(there, e);
	/* an EndpointSlice tells the zone only */
	if (!hr_slice_eq(c[0], e[0]) && (e[0].n || !e[1].n || !hr_slice_eq(c[1], e[1]))) {
		for (size_t i = 0; lb && i < lb->failover.len; i++)
			if (hr_slice_eq(hr_slice_of(lb->failover.data[i].from), c[0]))
				return hr_slice_eq(hr_slice_of(lb->failover.data[i].to), e[0]) ? 3
											       : 4;
		return 3;
	}
	if (!hr_slice_eq(c[1], e[1]))
		return 2;
	return hr_slice_eq(c[2], e[2]) ? 0 : 1;
}

/* Value of a label of an endpoint, or of its place; empty: it has none. */
static struct hr_slice label_of(const char *key, size_t n, const char *locality, const char *node,
				const hr_kvs *labels)
{
	static const char *const topology[] = {"topology.kubernetes.io/region",
					       "topology.kubernetes.io/zone",
					       "topology.istio.io/subzone"};
	struct hr_slice want = {key, n}, part[3];

	hr_locality_split(locality, part);
	for (int i = 0; i < 3; i++)
		if (hr_slice_eq(want, hr_slice_of(topology[i])))
			return part[i];
	if (hr_slice_eq(want, HR_SLICE("kubernetes.io/hostname")))
		return hr_slice_of(node);
	for (size_t i = 0; labels && i < labels->len; i++)
		if (hr_slice_eq(want, hr_slice_of(labels->data[i].key)))
			return hr_slice_of(labels->data[i].value);
	return (struct hr_slice){"", 0};
}

/* As many labels from the first on as match, so much better. */
static uint8_t by_labels(const struct hr_plan *p, const char *const *labels, size_t n,
			 const struct hr_plan_ep *e)
{
	for (size_t i = 0; i < n; i++) {
		size_t key = strcspn(labels[i], "=");
		struct hr_slice mine =
			labels[i][key] ? hr_slice_of(labels[i] + key + 1)
				       : label_of(labels[i], key, p->locality, p->node, NULL);

		if (!hr_slice_eq(mine, label_of(labels[i], key, e->locality, e->node, e->labels)))
			return (uint8_t)HR_MIN(n - i, PRIORITIES_MAX - 1);
	}
	return 0;
}

/* spec.trafficDistribution, as labels that are the better the more of them match. */
static size_t by_service(const struct hr_svc *s, const char *const **labels)
{
	static const char *const close[] = {"topology.kubernetes.io/region",
					    "topology.kubernetes.io/zone",
					    "topology.istio.io/subzone", "kubernetes.io/hostname"};
	const char *how = s->k8s ? s->k8s->traffic_distribution : NULL;

	*labels = close;
	if (hr_streq(how, "PreferSameNode"))
		return 4;
	return hr_streq(how, "PreferClose") || hr_streq(how, "PreferSameZone") ? 2 : 0;
}

/* ---- places ---- */

struct rule { /* what the policy says of a cluster's places */
	const struct hr_locality_distribute *distribute;
	const char *const *labels;
	size_t n_labels;
	bool by_locality;
	const char *name;
};

static struct rule rule_of(const struct hr_build *b, const struct hr_svc *s,
			   const struct hr_plan_cluster *c)
{
	const struct hr_load_balancer *lb = c->balancer;
	struct rule r = {0};

	if (lb && lb->locality_enabled == 0)
		return r;
	if (lb && lb->distribute.len) {
		r.distribute = distribute_from(lb, b->plan->locality);
		r.name = r.distribute ? "distribute" : NULL;
		return r;
	}
	if (!lb || (lb->locality_enabled < 0 && !lb->failover.len && !lb->failover_priority.len))
		r.n_labels = by_service(s, &r.labels);
	if (r.n_labels) {
		r.name = "trafficDistribution";
		return r;
	}
	if (!c->outlier) /* nobody would ever notice that an endpoint fails (Istio's rule) */
		return r;
	r.name = "failover";
	if (lb && lb->failover_priority.len) {
		r.labels = (const char *const *)lb->failover_priority.data;
		r.n_labels = lb->failover_priority.len;
	} else {
		r.by_locality = true;
	}
	return r;
}

static uint32_t place_of(struct hr_plan_place *place, uint32_t *n, const char *locality,
			 uint8_t priority)
{
	for (uint32_t i = *n; i--;)
		if (place[i].priority == priority && hr_streq(place[i].locality, locality))
			return i;
	place[*n] = (struct hr_plan_place){.locality = locality, .priority = priority};
	return (*n)++;
}

/* From 0 on, without holes. */
static void close_ranks(struct hr_plan_place *place, uint32_t n)
{
	uint8_t rank[256] = {0}, next = 0;
	bool used[256] = {false};

	for (uint32_t i = 0; i < n; i++)
		used[place[i].priority] = true;
	for (int k = 0; k < 256; k++)
		rank[k] = used[k] ? next++ : 0;
	for (uint32_t i = 0; i < n; i++)
		place[i].priority = rank[place[i].priority];
}

void hr_build_places(struct hr_build *b, const struct hr_svc *s, struct hr_plan_cluster *c)
{
	struct hr_plan_ep *eps = b->eps.data ? b->eps.data + c->first_ep : NULL;
	_cleanup_free_ struct hr_plan_place *place = calloc(c->n_eps + 1, sizeof(*place));
	struct rule r = rule_of(b, s, c);
	struct hr_plan_place *kept;
	uint32_t n = 0;

	if (!place)
		abort();
	for (uint32_t i = 0; i < c->n_eps; i++) {
		struct hr_plan_ep *e = &eps[i];
		uint8_t priority = 0;

		if (r.n_labels)
			priority = by_labels(b->plan, r.labels, r.n_labels, e);
		else if (r.by_locality)
			priority = by_locality(b->plan->locality, e->locality, c->balancer);
		e->place = place_of(place, &n, e->locality, priority);
		place[e->place].n++;
		place[e->place].weight += e->weight;
	}
	close_ranks(place, n);
	if (r.distribute)
		distribute(r.distribute, place, n);
	c->n_places = n;
	c->by_place = n > 1 || r.distribute ? r.name : NULL;
	kept = hr_arena_array(b->a, struct hr_plan_place, n + 1);
	memcpy(kept, place, n * sizeof(*kept));
	c->places = kept;
}

/* ---- shares ---- */

struct health {
	uint32_t all, healthy; /* endpoints */
	double weight;	       /* of the healthy ones */
};

static double reach(const struct health *h)
{
	return h->all ? fmin(1, OVERPROVISION * h->healthy / h->all) : 0;
}

/* What each priority gets. */
static void priority_loads(const struct health *h, double *load)
{
	double total = 0, left = 1;

	for (int p = 0; p < PRIORITIES_MAX; p++)
		total += reach(&h[p]);
	total = fmin(total, 1);
	for (int p = 0; p < PRIORITIES_MAX; p++) {
		load[p] = total > 0 ? fmin(left, reach(&h[p]) / total) : 0;
		left -= load[p];
	}
}

void hr_place_weights(const struct hr_plan_cluster *c, const struct hr_plan_ep *eps,
		      const double *weight, const bool *away, double *out)
{
	struct health by_priority[PRIORITIES_MAX] = {0};
	double load[PRIORITIES_MAX], sum[PRIORITIES_MAX] = {0};
	_cleanup_free_ struct health *h = calloc(c->n_places + 1, sizeof(*h));

	if (!h)
		abort();
	for (uint32_t i = 0; i < c->n_eps; i++) {
		struct health *at = &h[eps[i].place],
			      *p = &by_priority[c->places[eps[i].place].priority];

		/* places that are not meant do not count */
		if (c->places[eps[i].place].weight <= 0)
			continue;
		at->all++;
		p->all++;
		if (away[i])
			continue;
		at->healthy++;
		at->weight += weight[i];
		p->healthy++;
	}
	priority_loads(by_priority, load);
	for (uint32_t k = 0; k < c->n_places; k++)
		sum[c->places[k].priority] += c->places[k].weight * reach(&h[k]);
	for (uint32_t i = 0; i < c->n_eps; i++) {
		uint32_t k = eps[i].place, p = c->places[k].priority;
		double share = 0;

		if (!away[i] && sum[p] > 0 && h[k].weight > 0)
			share = load[p] * c->places[k].weight * reach(&h[k]) / sum[p] * weight[i] /
				h[k].weight;
		/* equal shares are to be equal numbers */
		out[i] = round(share * 1e9);
	}
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
