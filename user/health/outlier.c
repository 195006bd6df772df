// SPDX-License-Identifier: Apache-2.0
/* Ejection and return of endpoints. */
#include "health/outlier.h"

#include <string.h>

#include "core/cleanup.h"
#include "core/list.h"
#include "core/log.h"
#include "core/map.h"
#include "core/net.h"
#include "plan/balance/locality.h"

/* Istio's defaults, and Envoy's longest ejection (unless the base time is longer). */
#define CONSECUTIVE 5
#define INTERVAL_MS 10000
#define BASE_MS 30000
#define MAX_MS 300000
#define MAX_PERCENT 10

struct ep {
	struct hr_list link; /* cluster->eps */
	struct cluster *cluster;
	uint32_t id;
	bool in_plan, ejected;
	bool meant; /* by the policy of localities: counts in its priority */
	uint8_t priority;
	uint32_t ejections; /* times the base time */
	uint64_t since;	    /* of the ejection, ms */
	char text[HR_ADDR_TEXT];
};

struct cluster {
	struct hr_list link; /* hr_outliers.clusters */
	struct hr_list eps;
	uint32_t id;
	bool in_plan;
	char *name;
	uint32_t n, n_ejected;
	uint32_t limit_5xx, limit_gateway, limit_local, max_percent, min_health;
	uint32_t codes; /* row of the table, 0: none */
	uint64_t interval, base, next;
	struct hr_outlier_stats stats;
};

struct hr_outliers {
	struct hr_ep_rt *rt;
	struct hr_codes *codes;
	uint32_t code_users[HR_CODES_MAX]; /* clusters; row 0 is none */
	void (*on_event)(void *ctx, const struct hr_outlier_event *ev);
	void *ctx;
	struct hr_list clusters;
	struct hr_map *by_id, *ep_by_id;
};

const char *hr_outlier_kind_text(enum hr_outlier_kind kind)
{
	static const char *const words[] = {"", "consecutive_5xx", "consecutive_gateway_failure",
					    "consecutive_local_origin_failure"};

	return kind < HR_OUTLIER_MAX ? words[kind] : "";
}

struct hr_outliers *hr_outliers_new(struct hr_ep_rt *ep_rt, struct hr_codes *codes,
				    void (*on_event)(void *ctx, const struct hr_outlier_event *ev),
				    void *ctx)
{
	struct hr_outliers *o = calloc(1, sizeof(*o));

	if (!o)
		abort();
	*o = (struct hr_outliers){.rt = ep_rt, .codes = codes, .on_event = on_event, .ctx = ctx};
	hr_list_init(&o->clusters);
	o->by_id = hr_map_new();
	o->ep_by_id = hr_map_new();
	return o;
}

/* ---- the shared words ---- */

static void set_flag(struct hr_ep_rt *rt, uint32_t flag)
{
	uint32_t other = (HR_EPRT_EJECTED | HR_EPRT_EJECTED_USED) & ~flag;

	__atomic_fetch_or(&rt->flags, flag, __ATOMIC_RELAXED);
	__atomic_fetch_and(&rt->flags, ~other, __ATOMIC_RELAXED);
}

static void clear_counts(struct hr_ep_rt *rt)
{
	__atomic_store_n(&rt->consecutive_5xx, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&rt->consecutive_gateway, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&rt->consecutive_local, 0, __ATOMIC_RELAXED);
}

static void set_limits(struct hr_ep_rt *rt, const struct cluster *c)
{
	__atomic_store_n(&rt->limit_5xx, c ? c->limit_5xx : 0, __ATOMIC_RELAXED);
	__atomic_store_n(&rt->limit_gateway, c ? c->limit_gateway : 0, __ATOMIC_RELAXED);
	__atomic_store_n(&rt->limit_local, c ? c->limit_local : 0, __ATOMIC_RELAXED);
	__atomic_store_n(&rt->codes, c ? c->codes : 0, __ATOMIC_RELEASE);
}

/* In a priority below minHealthPercent all endpoints are used, ejected or not. */
static void show(struct hr_outliers *o, struct cluster *c)
{
	struct hr_level level[HR_PRIORITIES_MAX] = {0};
	bool panic[HR_PRIORITIES_MAX];

	hr_list_for_each (l, &c->eps) {
		struct ep *e = hr_list_entry(l, struct ep, link);

		level[e->priority].all += e->meant;
		level[e->priority].healthy += e->meant && !e->ejected;
	}
	hr_levels_panic(level, c->min_health, panic);
	hr_list_for_each (l, &c->eps) {
		struct ep *e = hr_list_entry(l, struct ep, link);
		bool used = e->meant && panic[e->priority];

		if (!e->ejected)
			set_flag(&o->rt[e->id], 0);
		else
			set_flag(&o->rt[e->id], used ? HR_EPRT_EJECTED_USED : HR_EPRT_EJECTED);
	}
}

/* ---- ejection ---- */

static uint64_t away_ms(const struct ep *e)
{
	uint64_t base = e->cluster->base;

	return HR_MIN(base * e->ejections, HR_MAX(base, (uint64_t)MAX_MS));
}

static void tell(struct hr_outliers *o, const struct ep *e, struct hr_outlier_event ev)
{
	if (!o->on_event)
		return;
	ev.ep = e->id;
	ev.ejections = e->ejections;
	ev.cluster = e->cluster->name;
	ev.endpoint = e->text;
	o->on_event(o->ctx, &ev);
}

static bool may_go(const struct cluster *c)
{
	return !c->n_ejected ||
	       (uint64_t)(c->n_ejected + 1) * 100 <= (uint64_t)c->max_percent * c->n;
}

static void eject(struct hr_outliers *o, struct ep *e, enum hr_outlier_kind kind, uint64_t now)
{
	struct cluster *c = e->cluster;

	e->ejected = true;
	e->since = now;
	if (c->base * e->ejections < HR_MAX(c->base, (uint64_t)MAX_MS))
		e->ejections++;
	c->n_ejected++;
	c->stats.enforced[kind]++;
	c->stats.enforced_total++;
	show(o, c);
	tell(o, e,
	     (struct hr_outlier_event){
		     .ejected = true, .kind = kind, .enforced = true, .ms = away_ms(e)});
}

static void give_back(struct hr_outliers *o, struct ep *e, uint64_t now)
{
	e->ejected = false;
	e->cluster->n_ejected--;
	clear_counts(&o->rt[e->id]);
	show(o, e->cluster);
	tell(o, e, (struct hr_outlier_event){.enforced = true, .ms = now - e->since});
}

static uint32_t *count_of(struct hr_ep_rt *rt, enum hr_outlier_kind kind)
{
	if (kind == HR_OUTLIER_LOCAL)
		return &rt->consecutive_local;
	return kind == HR_OUTLIER_GATEWAY ? &rt->consecutive_gateway : &rt->consecutive_5xx;
}

void hr_outliers_reached(struct hr_outliers *o, uint32_t id, enum hr_outlier_kind kind,
			 uint64_t now)
{
	struct ep *e = hr_map_get(o->ep_by_id, &id, sizeof(id));

	/* requests that were under way when it was ejected say nothing new */
	if (!e || e->ejected || kind <= 0 || kind >= HR_OUTLIER_MAX)
		return;
	__atomic_store_n(count_of(&o->rt[id], kind), 0, __ATOMIC_RELAXED);
	e->cluster->stats.detected[kind]++;
	if (may_go(e->cluster)) {
		eject(o, e, kind, now);
		return;
	}
	e->cluster->stats.overflow++;
	tell(o, e, (struct hr_outlier_event){.ejected = true, .kind = kind});
}

/* ---- intervals ---- */

static void interval_over(struct hr_outliers *o, struct cluster *c, uint64_t now)
{
	hr_list_for_each (l, &c->eps) {
		struct ep *e = hr_list_entry(l, struct ep, link);

		if (!e->ejected)
			e->ejections -= e->ejections != 0;
		else if (now - e->since >= away_ms(e))
			give_back(o, e, now);
	}
}

uint64_t hr_outliers_tick(struct hr_outliers *o, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	hr_list_for_each (l, &o->clusters) {
		struct cluster *c = hr_list_entry(l, struct cluster, link);

		if (now >= c->next) {
			interval_over(o, c, now);
			c->next = now + c->interval;
		}
		next = HR_MIN(next, c->next);
	}
	return next;
}

/* ---- towards the plan ---- */

static uint64_t or_default(int64_t value, uint64_t unset)
{
	return value > 0 ? (uint64_t)value : unset;
}

static uint32_t count_limit(int64_t value, uint32_t unset)
{
	return value < 0 ? unset : (uint32_t)HR_MIN(value, (int64_t)UINT32_MAX);
}

/* The row of these codes, shared by clusters that have the same; 0 where there are none, or too
 * many lists. A row in use is never changed. */
static uint32_t codes_row(struct hr_outliers *o, const struct hr_outlier *m)
{
	uint32_t row = 0;

	if (!m->codes_set)
		return 0;
	for (uint32_t i = 1; i < HR_CODES_MAX; i++) {
		if (o->code_users[i] &&
		    !memcmp(o->codes[i].bits, m->error_codes, sizeof(m->error_codes)))
			return i;
		if (!row && !o->code_users[i])
			row = i;
	}
	if (row)
		memcpy(o->codes[row].bits, m->error_codes, sizeof(m->error_codes));
	else
		hr_warn("more than %u lists of outlierDetectionHttpErrorCodes: 5xx are errors",
			HR_CODES_MAX - 1);
	return row;
}

static void set_codes(struct hr_outliers *o, struct cluster *c, const struct hr_outlier *m)
{
	uint32_t row = codes_row(o, m);

	o->code_users[row]++;
	o->code_users[c->codes]--;
	c->codes = row;
}

static void configure(struct cluster *c, const struct hr_outlier *m)
{
	c->limit_5xx = count_limit(m->consecutive_5xx, CONSECUTIVE);
	c->limit_gateway = count_limit(m->consecutive_gateway, 0);
	c->limit_local = 0;
	if (m->split_external_local > 0) /* 0 is "not set" here (Istio) */
		c->limit_local = count_limit(m->consecutive_local > 0 ? m->consecutive_local : -1,
					     CONSECUTIVE);
	c->max_percent = (uint32_t)or_default(m->max_ejection_percent, MAX_PERCENT);
	c->min_health = (uint32_t)HR_MAX(m->min_health_percent, 0);
	c->interval = or_default(m->interval, INTERVAL_MS);
	c->base = or_default(m->base_ejection, BASE_MS);
}

static struct cluster *cluster_for(struct hr_outliers *o, const struct hr_plan_cluster *pc,
				   uint64_t now)
{
	struct cluster *c = hr_map_get(o->by_id, &pc->id, sizeof(pc->id));
	uint64_t interval;

	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			abort();
		hr_list_init(&c->eps);
		c->id = pc->id;
		c->next = UINT64_MAX;
		o->code_users[0]++;
		hr_list_add_tail(&o->clusters, &c->link);
		hr_map_put(o->by_id, &c->id, sizeof(c->id), c);
	}
	if (!c->name || strcmp(c->name, pc->name)) {
		free(c->name);
		c->name = strdup(pc->name);
		c->stats = (struct hr_outlier_stats){.cluster = c->name};
	}
	interval = c->interval;
	configure(c, pc->outlier);
	set_codes(o, c, pc->outlier);
	if (c->interval != interval)
		c->next = now + c->interval;
	c->in_plan = true;
	return c;
}

static void ep_for(struct hr_outliers *o, struct cluster *c, const struct hr_plan_ep *pe,
		   const struct hr_plan_place *at)
{
	struct ep *e = hr_map_get(o->ep_by_id, &pe->id, sizeof(pe->id));
	char text[HR_ADDR_TEXT];

	hr_addr_port_text(&pe->addr, pe->port, text);
	if (e && (e->cluster != c || strcmp(e->text, text))) { /* the id is another's now */
		hr_list_del(&e->link);
		e->cluster->n_ejected -= e->ejected;
		*e = (struct ep){.id = pe->id};
	} else if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			abort();
		e->id = pe->id;
		hr_map_put(o->ep_by_id, &e->id, sizeof(e->id), e);
	} else {
		hr_list_del(&e->link);
	}
	e->cluster = c;
	e->in_plan = true;
	e->meant = at->weight > 0;
	e->priority = at->priority;
	memcpy(e->text, text, sizeof(text));
	hr_list_add_tail(&c->eps, &e->link);
	c->n++;
	set_limits(&o->rt[e->id], c);
}

static void ep_drop(struct hr_outliers *o, struct ep *e)
{
	set_limits(&o->rt[e->id], NULL);
	set_flag(&o->rt[e->id], 0);
	clear_counts(&o->rt[e->id]);
	e->cluster->n_ejected -= e->ejected;
	hr_map_del(o->ep_by_id, &e->id, sizeof(e->id));
	hr_list_del(&e->link);
	free(e);
}

static void cluster_drop(struct hr_outliers *o, struct cluster *c)
{
	o->code_users[c->codes]--;
	hr_map_del(o->by_id, &c->id, sizeof(c->id));
	hr_list_del(&c->link);
	free(c->name);
	free(c);
}

/* What the plan does not have any more goes; the others' flags are set as they are now. */
static void settle(struct hr_outliers *o, struct cluster *c)
{
	hr_list_for_each (k, &c->eps) {
		struct ep *e = hr_list_entry(k, struct ep, link);

		if (!c->in_plan || !e->in_plan)
			ep_drop(o, e);
	}
	if (c->in_plan)
		show(o, c);
	else
		cluster_drop(o, c);
}

static void begin(struct cluster *c)
{
	c->in_plan = false;
	c->n = 0;
	hr_list_for_each (k, &c->eps)
		hr_list_entry(k, struct ep, link)->in_plan = false;
}

static void take(struct hr_outliers *o, const struct hr_plan *plan,
		 const struct hr_plan_cluster *pc, uint64_t now)
{
	struct cluster *c;

	if (!pc->outlier || !pc->id || pc->id >= HR_CLUSTERS_MAX)
		return;
	c = cluster_for(o, pc, now);
	for (uint32_t k = 0; k < pc->n_eps; k++) {
		const struct hr_plan_ep *pe = &plan->eps.data[pc->first_ep + k];

		if (pe->id && pe->id < HR_EPS_MAX)
			ep_for(o, c, pe, &pc->places[pe->place]);
	}
}

void hr_outliers_plan(struct hr_outliers *o, const struct hr_plan *plan, uint64_t now)
{
	hr_list_for_each (l, &o->clusters)
		begin(hr_list_entry(l, struct cluster, link));
	for (size_t i = 0; i < plan->clusters.len; i++)
		take(o, plan, &plan->clusters.data[i], now);
	hr_list_for_each (l, &o->clusters)
		settle(o, hr_list_entry(l, struct cluster, link));
}

static struct cluster *find_cluster(const struct hr_outliers *o, const struct hr_plan *plan,
				    uint32_t index)
{
	return hr_map_get(o->by_id, &plan->clusters.data[index].id, sizeof(uint32_t));
}

void hr_outliers_some(struct hr_outliers *o, const struct hr_plan *plan, const uint32_t *clusters,
		      size_t n, uint64_t now)
{
	for (size_t i = 0; i < n; i++) {
		struct cluster *c = find_cluster(o, plan, clusters[i]);

		if (c)
			begin(c);
	}
	for (size_t i = 0; i < n; i++)
		take(o, plan, &plan->clusters.data[clusters[i]], now);
	for (size_t i = 0; i < n; i++) {
		struct cluster *c = find_cluster(o, plan, clusters[i]);

		if (c)
			settle(o, c);
	}
}

void hr_outliers_each(const struct hr_outliers *o,
		      void (*fn)(void *ctx, const struct hr_outlier_stats *s), void *ctx)
{
	hr_list_for_each (l, &o->clusters) {
		struct cluster *c = hr_list_entry(l, struct cluster, link);

		c->stats.active = c->n_ejected;
		fn(ctx, &c->stats);
	}
}

void hr_outliers_free(struct hr_outliers *o)
{
	if (!o)
		return;
	hr_list_for_each (l, &o->clusters) {
		struct cluster *c = hr_list_entry(l, struct cluster, link);

		hr_list_for_each (k, &c->eps)
			ep_drop(o, hr_list_entry(k, struct ep, link));
		cluster_drop(o, c);
	}
	hr_map_free(o->by_id);
	hr_map_free(o->ep_by_id);
	free(o);
}
