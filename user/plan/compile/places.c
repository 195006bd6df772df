// SPDX-License-Identifier: Apache-2.0
/*
 * Where endpoints are, seen from where the clients are: localityLbSetting, zoneAwareLbSetting and
 * trafficDistribution as priorities and weights of places (Istio's rules). What each place gets of
 * them is balance/locality.c.
 *
 * All clients of a node are in one place, but failoverPriority may name a label of the client's
 * own. Then clients are told apart by the values that endpoints have of it, and each group but the
 * largest, those who match nobody, gets a cluster of its own behind the one that routes name.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/cleanup.h"
#include "plan/balance/locality.h"
#include "plan/compile/compile.h"

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

/* 0: the same subzone, 1: zone, 2: region; 3: elsewhere, 4: not where clients are to fail over. */
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
#define BY_LOCALITY 5 /* different values */

static const char *const topology[] = {"topology.kubernetes.io/region",
				       "topology.kubernetes.io/zone", "topology.istio.io/subzone",
				       "kubernetes.io/hostname"};

/* Of a place, not of a workload: region, zone, subzone or node. False: it is another label. */
static bool of_place(struct hr_slice key, const char *locality, const char *node,
		     struct hr_slice *value)
{
	struct hr_slice part[3];

	hr_locality_split(locality, part);
	for (int i = 0; i < 4; i++)
		if (hr_slice_eq(key, hr_slice_of(topology[i]))) {
			*value = i < 3 ? part[i] : hr_slice_of(node);
			return true;
		}
	return false;
}

static struct hr_slice key_of(const char *label)
{
	return (struct hr_slice){label, strcspn(label, "=")};
}

/* Value of a label of an endpoint, or of its place; empty: it has none. */
static struct hr_slice endpoint_has(const struct hr_plan_ep *e, struct hr_slice key)
{
	struct hr_slice value;

	if (of_place(key, e->locality, e->node, &value))
		return value;
	for (size_t i = 0; e->labels && i < e->labels->len; i++)
		if (hr_slice_eq(key, hr_slice_of(e->labels->data[i].key)))
			return hr_slice_of(e->labels->data[i].value);
	return (struct hr_slice){"", 0};
}

/* What an endpoint's label is compared with, where that is the same for all clients of the node. */
static bool clients_have(const struct hr_plan *p, const char *label, struct hr_slice *value)
{
	struct hr_slice key = key_of(label);

	if (!label[key.n])
		return of_place(key, p->locality, p->node, value);
	*value = hr_slice_of(label + key.n + 1);
	return true;
}

/* Where no endpoint has a network there is only one. */
static bool one_network(const struct hr_plan_ep *eps, uint32_t n, const char *label)
{
	struct hr_slice key = HR_SLICE("topology.istio.io/network");

	if (!hr_slice_eq(key, hr_slice_of(label)))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (endpoint_has(&eps[i], key).n)
			return false;
	return true;
}

/* ---- what the policy says ---- */

struct rule {
	const struct hr_locality_distribute *distribute;
	const char *const *labels; /* as many from the first on as match, so much better */
	size_t n_labels;
	/* among those that are alike by labels: by region, zone and subzone; by region only */
	bool by_locality, by_region;
	const char *name;
};

/* spec.trafficDistribution, or Istio's annotation of before there was the field. */
static size_t by_service(const struct hr_svc *s, const char *const **labels)
{
	static const char *const close[] = {"topology.istio.io/network",
					    "topology.kubernetes.io/region",
					    "topology.kubernetes.io/zone",
					    "topology.istio.io/subzone", "kubernetes.io/hostname"};
	const struct hr_meta *meta = s->k8s ? &s->k8s->meta : &s->se->meta;
	const char *how = s->k8s ? s->k8s->traffic_distribution : NULL;

	for (size_t i = 0; !how && i < meta->annotations.len; i++)
		if (hr_streq(meta->annotations.data[i].key,
			     "networking.istio.io/traffic-distribution"))
			how = meta->annotations.data[i].value;
	*labels = close;
	if (!how)
		return 0;
	if (!strcasecmp(how, "PreferSameNode"))
		return 5;
	return !strcasecmp(how, "PreferClose") || !strcasecmp(how, "PreferSameZone") ? 3 : 0;
}

static void take_labels(struct rule *r, const struct hr_load_balancer *lb)
{
	r->labels = (const char *const *)lb->failover_priority.data;
	r->n_labels = lb->failover_priority.len;
}

static struct rule rule_of(const struct hr_build *b, const struct hr_svc *s,
			   const struct hr_plan_cluster *c)
{
	const struct hr_load_balancer *lb = c->balancer;
	struct rule r = {0};

	if (lb && lb->locality_enabled == 0)
		return r;
	if (lb && lb->zone_aware) {
		take_labels(&r, lb);
		r.by_region = true;
		r.name = "zoneAware";
		return r;
	}
	if (lb && lb->distribute.len) {
		r.distribute = distribute_from(lb, b->plan->locality);
		r.name = r.distribute ? "distribute" : NULL;
		return r;
	}
	if (!lb || !lb->locality_set)
		r.n_labels = by_service(s, &r.labels);
	if (r.n_labels) {
		r.name = "trafficDistribution";
		return r;
	}
	if (!c->outlier) /* nobody would ever notice that an endpoint fails (Istio's rule) */
		return r;
	r.name = "failover";
	if (lb)
		take_labels(&r, lb);
	r.by_locality = !r.n_labels || lb->failover.len;
	return r;
}

/* ---- who sees which priorities ---- */

/* Clients of these labels, and what they see: a priority of each endpoint. */
struct group {
	hr_kvs same;	   /* value "": the client has none */
	uint8_t *priority; /* [n_eps] */
};

struct groups {
	struct hr_build *b;
	const struct rule *r;
	const struct hr_plan_cluster *c;
	const struct hr_plan_ep *eps; /* of the cluster */
	struct hr_kv label[HR_FAILOVER_LABELS_MAX];
	size_t n_labels;	    /* on the way to where the search is */
	HR_VEC(struct group) found; /* those with more labels first; the last has none */
	bool cut;
};

/* From 0 on, without holes. */
static void close_ranks(uint8_t *priority, uint32_t n)
{
	uint8_t rank[256] = {0}, next = 0;
	bool used[256] = {false};

	for (uint32_t i = 0; i < n; i++)
		used[priority[i]] = true;
	for (int k = 0; k < 256; k++)
		rank[k] = used[k] ? next++ : 0;
	for (uint32_t i = 0; i < n; i++)
		priority[i] = HR_MIN(rank[priority[i]], HR_PRIORITIES_MAX - 1);
}

static void found(struct groups *g, const uint8_t *by_labels)
{
	uint32_t n = g->c->n_eps;
	struct group new = {.priority = hr_arena_array(g->b->a, uint8_t, n + 1)};

	for (uint32_t i = 0; i < n; i++) {
		uint8_t at = by_locality(g->b->plan->locality, g->eps[i].locality, g->c->balancer);

		if (g->r->by_region)
			at = at <= 2 ? 0 : at;
		else if (!g->r->by_locality)
			at = 0;
		new.priority[i] = (uint8_t)(by_labels[i] * BY_LOCALITY + at);
	}
	close_ranks(new.priority, n);
	new.same.data = hr_arena_array(g->b->a, struct hr_kv, g->n_labels + 1);
	memcpy(new.same.data, g->label, g->n_labels * sizeof(*g->label));
	new.same.len = g->n_labels;
	hr_vec_push(&g->found, new);
}
_Static_assert(HR_FAILOVER_LABELS_MAX *BY_LOCALITY + BY_LOCALITY <= UINT8_MAX, "fits");

/* Endpoints that matched all labels before this one (0), and have another value of it. */
static void drop_others(const struct groups *g, uint8_t *priority, size_t label,
			const struct hr_slice *value)
{
	struct hr_slice key = key_of(g->r->labels[label]);

	for (uint32_t i = 0; i < g->c->n_eps; i++)
		if (!priority[i] && (!value || !hr_slice_eq(endpoint_has(&g->eps[i], key), *value)))
			priority[i] = (uint8_t)(g->r->n_labels - label);
}

static void look(struct groups *g, size_t label, const uint8_t *before);

/* Clients of the node differ here: those who have what some endpoint has, value by value. */
static void look_by_value(struct groups *g, size_t label, const uint8_t *before)
{
	struct hr_slice key = key_of(g->r->labels[label]), seen[HR_CLIENT_GROUPS_MAX + 1];
	_cleanup_free_ uint8_t *priority = calloc(g->c->n_eps + 1, 1);
	size_t n_seen = 0;

	if (!priority)
		abort();
	for (uint32_t i = 0; i < g->c->n_eps; i++) {
		struct hr_slice value = endpoint_has(&g->eps[i], key);
		bool known = before[i] != 0;

		for (size_t k = 0; k < n_seen && !known; k++)
			known = hr_slice_eq(seen[k], value);
		if (known)
			continue;
		if (g->found.len >= HR_CLIENT_GROUPS_MAX) {
			g->cut = true;
			return;
		}
		seen[n_seen++] = value;
		memcpy(priority, before, g->c->n_eps);
		drop_others(g, priority, label, &value);
		g->label[g->n_labels++] =
			(struct hr_kv){.key = hr_arena_strndup(g->b->a, key.p, key.n),
				       .value = hr_arena_strndup(g->b->a, value.p, value.n)};
		look(g, label + 1, priority);
		g->n_labels--;
	}
}

static void look(struct groups *g, size_t label, const uint8_t *before)
{
	_cleanup_free_ uint8_t *priority = calloc(g->c->n_eps + 1, 1);
	struct hr_slice value;

	if (!priority)
		abort();
	memcpy(priority, before, g->c->n_eps);
	for (; label < g->r->n_labels; label++) {
		if (one_network(g->eps, g->c->n_eps, g->r->labels[label]))
			continue;
		if (!clients_have(g->b->plan, g->r->labels[label], &value))
			break;
		drop_others(g, priority, label, &value);
	}
	if (label < g->r->n_labels) {
		look_by_value(g, label, priority);
		drop_others(g, priority, label, NULL); /* and all other clients */
	}
	found(g, priority);
}

/* ---- places ---- */

static uint32_t place_of(struct hr_plan_place *place, uint32_t *n, const char *locality,
			 uint8_t priority)
{
	for (uint32_t i = *n; i--;)
		if (place[i].priority == priority && hr_streq(place[i].locality, locality))
			return i;
	place[*n] = (struct hr_plan_place){.locality = locality, .priority = priority};
	return (*n)++;
}

static void give_places(struct hr_build *b, const struct rule *r, struct hr_plan_cluster *c,
			const uint8_t *priority)
{
	struct hr_plan_ep *eps = b->eps.data ? b->eps.data + c->first_ep : NULL;
	_cleanup_free_ struct hr_plan_place *place = calloc(c->n_eps + 1, sizeof(*place));
	struct hr_plan_place *kept;
	uint32_t n = 0;

	if (!place)
		abort();
	for (uint32_t i = 0; i < c->n_eps; i++) {
		struct hr_plan_ep *e = &eps[i];

		e->place = place_of(place, &n, e->locality, priority[i]);
		place[e->place].n++;
		place[e->place].weight += e->weight;
	}
	if (r->distribute)
		distribute(r->distribute, place, n);
	c->n_places = n;
	c->by_place = n > 1 || r->distribute ? r->name : NULL;
	kept = hr_arena_array(b->a, struct hr_plan_place, n + 1);
	memcpy(kept, place, n * sizeof(*kept));
	c->places = kept;
}

/* "BASE~key=value~key": a client without the second. */
static const char *group_name(struct hr_build *b, const char *base, const hr_kvs *same)
{
	_cleanup_sb_ struct hr_strbuf name = {0};

	hr_sb_add(&name, base);
	for (size_t i = 0; i < same->len; i++)
		hr_sb_printf(&name, "~%s%s%s", same->data[i].key, *same->data[i].value ? "=" : "",
			     same->data[i].value);
	return hr_arena_strdup(b->a, hr_sb_str(&name));
}

static uint32_t group_cluster(struct hr_build *b, const struct rule *r, uint32_t base,
			      const struct group *group)
{
	struct hr_plan_cluster c = b->clusters.data[base];

	c.name = group_name(b, c.name, &group->same);
	c.first_ep = (uint32_t)b->eps.len;
	for (uint32_t i = 0; i < c.n_eps; i++) {
		struct hr_plan_ep e = b->eps.data[b->clusters.data[base].first_ep + i];

		e.cluster = (uint32_t)b->clusters.len;
		hr_vec_push(&b->eps, e);
	}
	give_places(b, r, &c, group->priority);
	hr_map_puts(b->cluster_by_name, c.name, (void *)(b->clusters.len + 1));
	hr_vec_push(&b->clusters, c);
	return (uint32_t)b->clusters.len - 1;
}

static struct groups find_groups(struct hr_build *b, const struct rule *r,
				 const struct hr_plan_cluster *c)
{
	struct groups g = {.b = b, .r = r, .c = c};
	_cleanup_free_ uint8_t *none = calloc(c->n_eps + 1, 1);

	if (!none)
		abort();
	g.eps = b->eps.data ? b->eps.data + c->first_ep : NULL;
	look(&g, 0, none);
	return g;
}

void hr_build_places(struct hr_build *b, const struct hr_svc *s, struct hr_plan_cluster *c)
{
	struct rule r = rule_of(b, s, c);
	struct groups g = find_groups(b, &r, c);

	give_places(b, &r, c, g.found.data[g.found.len - 1].priority);
	hr_vec_free(&g.found);
}

/* ---- groups as views ---- */

static void say_cut(struct hr_build *b, const struct hr_svc *s, const struct hr_plan_cluster *c)
{
	const struct hr_meta *meta = s->k8s ? &s->k8s->meta : &s->se->meta;

	hr_diag_add(b->diags, HR_SEV_WARNING, c->balancer ? c->balancer->pos : meta->pos, "limit",
		    meta, "failoverPriority",
		    "endpoints of %s have more than %d values of labels that are compared with the "
		    "client's own: clients with one of the others see none that matches",
		    c->host, HR_CLIENT_GROUPS_MAX);
}

/* The cluster of a group: the base, or another group's, where they see the same. */
static uint32_t cluster_for(struct hr_build *b, const struct rule *r, uint32_t base,
			    const struct groups *g, const uint32_t *cluster, size_t i)
{
	const struct group *all = g->found.data;
	size_t last = g->found.len - 1;

	if (!memcmp(all[i].priority, all[last].priority, g->c->n_eps))
		return base;
	for (size_t k = 0; k < i; k++)
		if (!memcmp(all[k].priority, all[i].priority, g->c->n_eps))
			return cluster[k];
	return group_cluster(b, r, base, &all[i]);
}

void hr_build_groups(struct hr_build *b, const struct hr_svc *s, uint32_t base)
{
	struct hr_plan_cluster c = b->clusters.data[base];
	uint32_t cluster[HR_CLIENT_GROUPS_MAX + HR_FAILOVER_LABELS_MAX];
	struct rule r = rule_of(b, s, &c);
	struct groups g;
	bool differ = false;

	if (!r.n_labels)
		return;
	g = find_groups(b, &r, &c);
	for (size_t i = 0; i + 1 < g.found.len; i++) {
		cluster[i] = cluster_for(b, &r, base, &g, cluster, i);
		differ |= cluster[i] != base;
	}
	for (size_t i = 0; differ && i + 1 < g.found.len; i++) {
		struct hr_build_view v = {.base = c.name, .view = {.cluster = cluster[i]}};

		v.view.same = hr_arena_new0(b->a, hr_kvs);
		*v.view.same = g.found.data[i].same;
		hr_vec_push(&b->views, v);
	}
	if (g.cut)
		say_cut(b, s, &c);
	b->plan->asks_labels |= differ;
	hr_vec_free(&g.found);
}
