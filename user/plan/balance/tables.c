// SPDX-License-Identifier: Apache-2.0
/* Pages, tables, and when which is in effect. */
#include "plan/balance/tables.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "core/vec.h"
#include "plan/balance/locality.h"
#include "plan/balance/slots.h"

/* A program reads a table for microseconds; a preempted one, for as long as the scheduler likes. By
 * then it finds endpoints of other clusters, which it knows (hr_ep_rt.cluster). */
#define GRACE_MS 2000
/* hr_ep_rt.weight of the heaviest. */
#define WEIGHT_TOP 65535

struct run { /* of pages */
	uint32_t first, n;
};

struct late {
	struct run run;
	uint64_t at; /* ms from which it is free */
};

struct state { /* of one cluster id */
	struct run run;
	uint64_t sig; /* of what the table was made from */
	struct run next;
	uint64_t next_sig, next_word;
	uint64_t gone_at; /* left the plan; 0: it has not */
	bool known, in_plan, waits /* next is to be flipped */;
};

struct hr_tables {
	struct hr_words w;
	const struct hr_plan *plan;
	struct state *state; /* [HR_CLUSTERS_MAX]; used below `top` */
	uint32_t top;
	uint8_t *taken; /* [HR_SLOT_PAGES] */
	uint32_t rover, n_taken;
	HR_VEC(struct late) late;
	uint64_t *since; /* [HR_EPS_MAX] when an endpoint joined, ms */
};

/* ---- pages ---- */

static void mark(struct hr_tables *t, struct run r, uint8_t taken)
{
	memset(t->taken + r.first, taken, r.n);
	t->n_taken += taken ? r.n : -r.n;
}

static bool find(struct hr_tables *t, uint32_t from, uint32_t to, struct run *out)
{
	uint32_t free = 0;

	for (uint32_t i = from; i < to; i++) {
		free = t->taken[i] ? 0 : free + 1;
		if (free < out->n)
			continue;
		out->first = i + 1 - free;
		t->rover = i + 1;
		mark(t, *out, 1);
		return true;
	}
	return false;
}

static int take(struct hr_tables *t, uint32_t slots, struct run *out)
{
	struct run r = {.n = (slots + HR_SLOTS_PAGE - 1) / HR_SLOTS_PAGE};

	if (r.n && !find(t, t->rover, HR_SLOT_PAGES, &r) && !find(t, 0, HR_SLOT_PAGES, &r))
		return -ENOSPC;
	*out = r;
	return 0;
}

static void give_back_late(struct hr_tables *t, struct run r, uint64_t now)
{
	if (r.n)
		hr_vec_push(&t->late, (struct late){r, now + GRACE_MS});
}

/* ---- one cluster's table ---- */

struct made {
	double *weight; /* [n_eps] */
	bool *away;	/* gets no request */
	enum hr_ep_health *health;
	bool any_sick;
	uint64_t sig;
};

static void made_done(struct made *m)
{
	free(m->weight);
	free(m->away);
	free(m->health);
}

/* ---- warm-up (Envoy's slow start) ---- */

#define WARM_PERCENT 10 /* the least of its weight that it gets, when not set */
#define WARM_STEPS 50
#define WARM_STEP_MIN_MS 100
#define WARM_STEP_MAX_MS 1000

/* As in Envoy, other policies know none. */
static int64_t warm_ms(const struct hr_plan_cluster *c)
{
	if (!c->balancer || (c->lb != HR_LB_ROUND_ROBIN && c->lb != HR_LB_LEAST_REQUEST))
		return 0;
	return HR_MAX(c->balancer->warmup_ms, 0);
}

static double warmth(const struct hr_plan_cluster *c, uint64_t since, uint64_t now)
{
	const struct hr_load_balancer *b = c->balancer;
	double aggression = b->warmup_aggression > 0 ? b->warmup_aggression : 1;
	double least = b->warmup_min_percent >= 0 ? b->warmup_min_percent : WARM_PERCENT;
	double past = (double)HR_MAX(now - since, (uint64_t)1000) / (double)warm_ms(c);

	if (past >= 1)
		return 1;
	return fmax(least / 100, pow(past, 1 / aggression));
}

static uint64_t mix(uint64_t h, const void *data, size_t n)
{
	return (h ^ hr_hash(data, n)) * 0x9e3779b97f4a7c15ULL;
}

/* From weights to shares. Keys of consistentHash are not moved between those that stay: who is away
 * is stood in for, unless localities decide. */
static void shares(const struct hr_plan_cluster *c, const struct hr_plan_ep *eps, bool hashed,
		   struct made *m)
{
	bool placed = c->by_place || (c->n_places > 1 && m->any_sick && !hashed);

	if (placed)
		hr_place_weights(c, eps, m->weight, m->health, m->weight);
	if (placed || !hashed)
		for (uint32_t i = 0; i < c->n_eps; i++)
			m->weight[i] = m->away[i] ? 0 : m->weight[i];
	if (placed && hashed)
		memset(m->away, 0, c->n_eps * sizeof(*m->away));
}

static enum hr_ep_health health_of(uint32_t flags)
{
	if (flags & HR_EPRT_EJECTED)
		return HR_EP_AWAY;
	return flags & HR_EPRT_EJECTED_USED ? HR_EP_USED : HR_EP_HEALTHY;
}

/* What the table is made from, and a number that tells it from others. */
static struct made look(const struct hr_tables *t, const struct hr_plan *p,
			const struct hr_plan_cluster *c, uint64_t now)
{
	struct made m = {.weight = calloc(c->n_eps + 1, sizeof(*m.weight)),
			 .away = calloc(c->n_eps + 1, sizeof(*m.away)),
			 .health = calloc(c->n_eps + 1, sizeof(*m.health))};
	const uint64_t shape[] = {c->lb, hr_hash_slots(c), c->n_eps};

	if (!m.weight || !m.away || !m.health)
		abort();
	m.sig = mix(0, shape, sizeof(shape));
	for (uint32_t i = 0; i < c->n_eps; i++) {
		const struct hr_plan_ep *e = &p->eps.data[c->first_ep + i];
		uint32_t flags = __atomic_load_n(&t->w.ep[e->id].flags, __ATOMIC_RELAXED);

		m.weight[i] = e->weight;
		if (warm_ms(c))
			m.weight[i] *= warmth(c, t->since[e->id], now);
		m.health[i] = health_of(flags);
		m.away[i] = m.health[i] == HR_EP_AWAY;
		m.any_sick |= m.health[i] != HR_EP_HEALTHY;
		m.sig = mix(m.sig, &e->id, sizeof(e->id));
		m.sig = mix(m.sig, &e->addr_id, sizeof(e->addr_id));
	}
	shares(c, p->eps.data + c->first_ep, shape[1] != 0, &m);
	m.sig = mix(m.sig, m.weight, c->n_eps * sizeof(*m.weight));
	m.sig = mix(m.sig, m.away, c->n_eps * sizeof(*m.away));
	return m;
}

/* Of what they are endpoints, before a table names them. */
static void describe(const struct hr_tables *t, const struct hr_plan *p,
		     const struct hr_plan_cluster *c, const double *weight)
{
	double top = 0;

	for (uint32_t i = 0; i < c->n_eps; i++)
		top = HR_MAX(top, weight[i]);
	for (uint32_t i = 0; i < c->n_eps; i++) {
		const struct hr_plan_ep *e = &p->eps.data[c->first_ep + i];
		struct hr_ep_rt *rt = &t->w.ep[e->id];

		rt->addr_id = e->addr_id;
		rt->cluster = c->id;
		rt->family = hr_addr_is4(&e->addr) ? 4 : 6;
		rt->weight =
			top > 0 ? HR_MAX((uint32_t)lround(weight[i] / top * WEIGHT_TOP), 1) : 1;
	}
}

/* Has everybody a share who is not away? */
static bool all_in(const struct hr_plan_cluster *c, const struct made *m)
{
	for (uint32_t i = 0; i < c->n_eps; i++)
		if (m->weight[i] <= 0 && !m->away[i])
			return false;
	return true;
}

/* Into pages that nobody reads yet. */
static int make(struct hr_tables *t, const struct hr_plan *p, const struct hr_plan_cluster *c,
		const struct made *m, struct run *run, uint64_t *word)
{
	const struct hr_plan_ep *eps = p->eps.data + c->first_ep;
	struct hr_slot_table table;
	int r;

	hr_slots_build(c, eps, m->weight, m->away, &table);
	r = take(t, table.n, run);
	if (!r) {
		describe(t, p, c, m->weight);
		for (uint32_t i = 0; i < table.n; i++)
			t->w.slots[run->first + i / HR_SLOTS_PAGE].ep[i % HR_SLOTS_PAGE] =
				(uint16_t)eps[table.ep[i]].id;
		*word = HR_TABLE(run->first, table.n, table.even && all_in(c, m));
	}
	free(table.ep);
	return r;
}

static void show(struct hr_tables *t, uint32_t id, uint64_t word)
{
	__atomic_store_n(&t->w.cluster[id].table, word, __ATOMIC_RELEASE);
}

/* ---- plans ---- */

static void undo(struct hr_tables *t, struct state *s)
{
	mark(t, s->next, 0); /* nobody has read it */
	s->next = (struct run){0};
	s->waits = false;
}

/* Endpoints that the plan in effect has not. */
static void joined(struct hr_tables *t, const struct hr_plan *p, const struct hr_plan_cluster *c,
		   uint64_t now)
{
	for (uint32_t i = 0; i < c->n_eps; i++) {
		uint32_t id = p->eps.data[c->first_ep + i].id;

		if (!t->plan || id >= t->plan->n_ep_by_id || !t->plan->ep_by_id[id])
			t->since[id] = now;
	}
}

static int prepare_cluster(struct hr_tables *t, const struct hr_plan *p,
			   const struct hr_plan_cluster *c, uint64_t now)
{
	struct state *s = &t->state[c->id];
	struct made m;
	int r = 0;

	joined(t, p, c, now);
	m = look(t, p, c, now);

	t->top = HR_MAX(t->top, c->id + 1);
	s->next_sig = m.sig;
	if (!s->known || s->sig != m.sig) {
		r = make(t, p, c, &m, &s->next, &s->next_word);
		s->waits = !r;
	}
	made_done(&m);
	if (r || s->known)
		return r;
	show(t, c->id, s->next_word);
	return 0;
}

void hr_tables_drop(struct hr_tables *t, uint64_t now)
{
	(void)now;
	for (uint32_t id = 0; id < t->top; id++) {
		struct state *s = &t->state[id];

		if (!s->waits)
			continue;
		if (!s->known)
			show(t, id, 0);
		undo(t, s);
	}
}

static bool has_table(const struct hr_plan_cluster *c)
{
	return c->id && c->id < HR_CLUSTERS_MAX;
}

int hr_tables_prepare(struct hr_tables *t, const struct hr_plan *p, uint64_t now)
{
	int r = 0;

	hr_tables_tick(t, now);
	for (size_t i = 0; !r && i < p->clusters.len; i++)
		if (has_table(&p->clusters.data[i]))
			r = prepare_cluster(t, p, &p->clusters.data[i], now);
	if (r)
		hr_tables_drop(t, now);
	return r;
}

int hr_tables_prepare_some(struct hr_tables *t, const struct hr_plan *p, const uint32_t *clusters,
			   size_t n, uint64_t now)
{
	int r = 0;

	for (size_t i = 0; !r && i < n; i++)
		if (has_table(&p->clusters.data[clusters[i]]))
			r = prepare_cluster(t, p, &p->clusters.data[clusters[i]], now);
	if (r)
		hr_tables_drop(t, now);
	return r;
}

static void flip_cluster(struct hr_tables *t, uint32_t id, uint64_t now)
{
	struct state *s = &t->state[id];

	s->in_plan = s->known = true;
	s->gone_at = 0;
	if (!s->waits)
		return;
	show(t, id, s->next_word);
	give_back_late(t, s->run, now);
	s->run = s->next;
	s->sig = s->next_sig;
	s->next = (struct run){0};
	s->waits = false;
}

void hr_tables_flip(struct hr_tables *t, const struct hr_plan *p, uint64_t now)
{
	for (uint32_t id = 0; id < t->top; id++)
		t->state[id].in_plan = false;
	for (size_t i = 0; i < p->clusters.len; i++)
		if (has_table(&p->clusters.data[i]))
			flip_cluster(t, p->clusters.data[i].id, now);
	/* rules that lead to them may still be read */
	for (uint32_t id = 0; id < t->top; id++)
		if (t->state[id].known && !t->state[id].in_plan && !t->state[id].gone_at)
			t->state[id].gone_at = now + GRACE_MS;
	t->plan = p;
}

void hr_tables_flip_some(struct hr_tables *t, const struct hr_plan *p, const uint32_t *clusters,
			 size_t n, uint64_t now)
{
	for (size_t i = 0; i < n; i++)
		if (has_table(&p->clusters.data[clusters[i]]))
			flip_cluster(t, p->clusters.data[clusters[i]].id, now);
	t->plan = p;
}

/* ---- between plans ---- */

/* No room: the flags of the endpoints still keep requests from who is ejected. */
static void renew(struct hr_tables *t, const struct hr_plan_cluster *c, uint64_t now)
{
	struct state *s = &t->state[c->id];
	struct made m;

	if (!s->known)
		return;
	m = look(t, t->plan, c, now);
	if (s->sig != m.sig && !make(t, t->plan, c, &m, &s->next, &s->next_word)) {
		s->waits = true;
		s->next_sig = m.sig;
		flip_cluster(t, c->id, now);
	}
	made_done(&m);
}

void hr_tables_ep(struct hr_tables *t, uint32_t ep, uint64_t now)
{
	const struct hr_plan *p = t->plan;

	if (p && ep < p->n_ep_by_id && p->ep_by_id[ep])
		renew(t, &p->clusters.data[p->eps.data[p->ep_by_id[ep] - 1].cluster], now);
}

void hr_tables_refresh(struct hr_tables *t, uint64_t now)
{
	for (size_t i = 0; t->plan && i < t->plan->clusters.len; i++)
		renew(t, &t->plan->clusters.data[i], now);
}

void hr_tables_refresh_some(struct hr_tables *t, const uint32_t *clusters, size_t n, uint64_t now)
{
	for (size_t i = 0; t->plan && i < n; i++)
		renew(t, &t->plan->clusters.data[clusters[i]], now);
}

static bool warming(const struct hr_tables *t, const struct hr_plan_cluster *c, uint64_t now)
{
	for (uint32_t i = 0; i < c->n_eps; i++)
		if (now - t->since[t->plan->eps.data[c->first_ep + i].id] < (uint64_t)warm_ms(c))
			return true;
	return false;
}

uint64_t hr_tables_warm(struct hr_tables *t, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; t->plan && i < t->plan->clusters.len; i++) {
		const struct hr_plan_cluster *c = &t->plan->clusters.data[i];
		uint64_t step = (uint64_t)warm_ms(c) / WARM_STEPS;

		if (!warm_ms(c))
			continue;
		renew(t, c, now);
		step = HR_MIN(HR_MAX(step, (uint64_t)WARM_STEP_MIN_MS), (uint64_t)WARM_STEP_MAX_MS);
		if (warming(t, c, now))
			next = HR_MIN(next, now + step);
	}
	return next;
}

static void end_gone(struct hr_tables *t, uint64_t now)
{
	for (uint32_t id = 0; id < t->top; id++) {
		struct state *s = &t->state[id];

		if (!s->gone_at || s->gone_at > now)
			continue;
		show(t, id, 0);
		give_back_late(t, s->run, now);
		*s = (struct state){0};
	}
}

void hr_tables_tick(struct hr_tables *t, uint64_t now)
{
	size_t kept = 0;

	end_gone(t, now);
	for (size_t i = 0; i < t->late.len; i++)
		if (t->late.data[i].at <= now)
			mark(t, t->late.data[i].run, 0);
		else
			t->late.data[kept++] = t->late.data[i];
	t->late.len = kept;
}

uint32_t hr_tables_used(const struct hr_tables *t)
{
	return t->n_taken;
}

/* ---- life ---- */

/* Of an agent before us: kept as they are until a plan says otherwise. */
static void adopt(struct hr_tables *t)
{
	for (uint32_t id = 1; id < HR_CLUSTERS_MAX; id++) {
		uint64_t word = t->w.cluster[id].table;
		uint32_t n = (HR_TABLE_N(word) + HR_SLOTS_PAGE - 1) / HR_SLOTS_PAGE;
		struct run r = {HR_TABLE_PAGE(word), n};

		if (!n || r.first >= HR_SLOT_PAGES || n > HR_SLOT_PAGES - r.first)
			continue;
		t->state[id].known = true;
		t->state[id].run = r;
		t->top = id + 1;
		mark(t, r, 1);
	}
}

struct hr_tables *hr_tables_new(const struct hr_words *w)
{
	struct hr_tables *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	t->w = *w;
	t->state = calloc(HR_CLUSTERS_MAX, sizeof(*t->state));
	t->taken = calloc(HR_SLOT_PAGES, 1);
	t->since = calloc(HR_EPS_MAX, sizeof(*t->since));
	if (!t->state || !t->taken || !t->since)
		abort();
	adopt(t);
	return t;
}

void hr_tables_free(struct hr_tables *t)
{
	if (!t)
		return;
	hr_vec_free(&t->late);
	free(t->state);
	free(t->taken);
	free(t->since);
	free(t);
}
