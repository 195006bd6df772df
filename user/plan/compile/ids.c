// SPDX-License-Identifier: Apache-2.0
/*
 * Stable ids by name. Each table keeps name -> id. An id whose name was absent from two assignments
 * in a row is free, and is given again after all that were free before it.
 */
#include "plan/compile/ids.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "core/vec.h"

struct entry {
	char *name;
	uint32_t id;
	uint64_t born, last_seen; /* assignment numbers */
	uint64_t seen_before;	  /* last_seen before the assignment under way */
};

/* Something may still hold an id that is free: a response on its way, a table of the kernel. */
#define QUARANTINE 64 /* assignments */
#define LOOKS 16      /* at those that are free the longest */

/* An address id is held by connections for as long as they live, which may be days, and says where
 * they go: it carries the number of times its place in the table was given away. */
#define PLACE_BITS 16
#define PLACE(id) ((id) & ((1U << PLACE_BITS) - 1))
_Static_assert(HR_EPS_MAX <= 1 << PLACE_BITS, "a place fits its bits");

struct freed {
	uint32_t id;
	uint64_t at; /* assignment number */
};

struct table {
	const char *what;
	uint32_t max;
	struct hr_map *by_name;
	HR_VEC(struct entry *) by_place; /* [0] is none */
	HR_VEC(struct freed) free;	 /* oldest first, from free_head */
	size_t free_head;
	bool counted; /* ids carry the number of uses of their place */
};

enum { T_VHOST, T_ROUTE, T_CLUSTER, T_EP, T_ADDR, T_CONNS, T_N };

struct hr_ids {
	struct table t[T_N];
	uint64_t round; /* assignments of whole plans */
	uint64_t count; /* and of what is new in others */
	hr_ids_busy_fn busy;
	void *busy_ctx;
	struct hr_map *auto_vips; /* fqdn -> number */
	uint32_t next_vip;
};

struct hr_ids *hr_ids_new(void)
{
	static const struct {
		const char *what;
		uint32_t max;
	} kinds[T_N] = {
		[T_VHOST] = {"virtual hosts", HR_VHOSTS_MAX},
		[T_ROUTE] = {"routes", HR_ROUTES_MAX},
		[T_CLUSTER] = {"clusters", HR_CLUSTERS_MAX},
		[T_EP] = {"endpoints", HR_EPS_MAX},
		[T_ADDR] = {"addresses", HR_EPS_MAX},
		[T_CONNS] = {"connection pools", HR_CLUSTERS_MAX},
	};
	struct hr_ids *ids = calloc(1, sizeof(*ids));

	if (!ids)
		abort();
	for (int i = 0; i < T_N; i++) {
		ids->t[i].what = kinds[i].what;
		ids->t[i].max = kinds[i].max;
		ids->t[i].by_name = hr_map_new();
		hr_vec_push(&ids->t[i].by_place, NULL);
	}
	ids->t[T_ADDR].counted = true;
	ids->auto_vips = hr_map_new();
	return ids;
}

void hr_ids_set_busy(struct hr_ids *ids, hr_ids_busy_fn busy, void *ctx)
{
	ids->busy = busy;
	ids->busy_ctx = ctx;
}

static void drop(struct table *t, struct entry *e, uint64_t round)
{
	hr_map_del(t->by_name, e->name, strlen(e->name));
	t->by_place.data[PLACE(e->id)] = NULL;
	hr_vec_push(&t->free, (struct freed){e->id, round});
	free(e->name);
	free(e);
}

void hr_ids_free(struct hr_ids *ids)
{
	if (!ids)
		return;
	for (int i = 0; i < T_N; i++) {
		struct table *t = &ids->t[i];

		for (size_t k = 1; k < t->by_place.len; k++)
			if (t->by_place.data[k])
				drop(t, t->by_place.data[k], 0);
		hr_map_free(t->by_name);
		hr_vec_free(&t->by_place);
		hr_vec_free(&t->free);
	}
	hr_map_free(ids->auto_vips);
	free(ids);
}

static bool is_busy(const struct hr_ids *ids, int kind, uint32_t id)
{
	if (!ids->busy || (kind != T_EP && kind != T_CLUSTER))
		return false;
	return ids->busy(ids->busy_ctx, kind == T_EP ? HR_ID_EP : HR_ID_CLUSTER, id);
}

/* The one that is free the longest and that nobody counts with; 0: none that old. */
static uint32_t again(struct hr_ids *ids, int kind, uint64_t age)
{
	struct table *t = &ids->t[kind];

	for (size_t i = t->free_head; i < t->free.len && i < t->free_head + LOOKS; i++) {
		struct freed f = t->free.data[i];

		if (f.at + age > ids->count)
			return 0;
		if (age && is_busy(ids, kind, f.id))
			continue;
		t->free.data[i] = t->free.data[t->free_head++];
		return t->counted ? f.id + (1U << PLACE_BITS) : f.id;
	}
	return 0;
}

static void compact(struct table *t)
{
	if (t->free_head < t->free.len / 2 + 1)
		return;
	t->free.len -= t->free_head;
	memmove(t->free.data, t->free.data + t->free_head, t->free.len * sizeof(*t->free.data));
	t->free_head = 0;
}

/* 0: the table is full. */
static uint32_t new_id(struct hr_ids *ids, int kind)
{
	struct table *t = &ids->t[kind];
	uint32_t id = again(ids, kind, QUARANTINE);

	if (!id && t->by_place.len < t->max) {
		id = (uint32_t)t->by_place.len;
		hr_vec_push(&t->by_place, NULL);
	}
	if (!id)
		id = again(ids, kind, 0);
	compact(t);
	return id;
}

/* 0: the table is full. */
static uint32_t id_of(struct hr_ids *ids, int kind, const char *name)
{
	struct table *t = &ids->t[kind];
	struct entry *e = hr_map_gets(t->by_name, name);

	if (!e) {
		uint32_t id = new_id(ids, kind);

		if (!id)
			return 0;
		e = calloc(1, sizeof(*e));
		if (!e || !(e->name = strdup(name)))
			abort();
		e->id = id;
		e->born = ids->round;
		t->by_place.data[PLACE(id)] = e;
		hr_map_puts(t->by_name, name, e);
	}
	if (e->last_seen != ids->round)
		e->seen_before = e->last_seen;
	e->last_seen = ids->round;
	return e->id;
}

/* Forgets what was absent for `rounds` assignments. */
static void forget(struct hr_ids *ids, uint64_t rounds)
{
	for (int i = 0; i < T_N; i++) {
		struct table *t = &ids->t[i];

		for (size_t k = 1; k < t->by_place.len; k++) {
			struct entry *e = t->by_place.data[k];

			if (e && e->last_seen + rounds <= ids->round)
				drop(t, e, ids->count);
		}
	}
}

/* As if the assignment under way had not been tried: the plan before it lives on. */
static void take_back(struct hr_ids *ids)
{
	for (int i = 0; i < T_N; i++) {
		struct table *t = &ids->t[i];

		for (size_t k = 1; k < t->by_place.len; k++) {
			struct entry *e = t->by_place.data[k];

			if (!e || e->last_seen != ids->round)
				continue;
			if (e->born == ids->round)
				drop(t, e, ids->count);
			else
				e->last_seen = e->seen_before;
		}
	}
	ids->round--;
}

static uint32_t cluster_id(struct hr_ids *ids, const struct hr_plan_cluster *c)
{
	return id_of(ids, T_CLUSTER, c->name);
}

static int assign_ep(struct hr_ids *ids, const struct hr_plan *p, struct hr_plan_ep *e)
{
	_cleanup_sb_ struct hr_strbuf name = {0};
	char text[HR_ADDR_TEXT];

	hr_addr_port_text(&e->addr, e->port, text);
	hr_sb_printf(&name, "%s %s", p->clusters.data[e->cluster].name, text);
	e->addr_id = id_of(ids, T_ADDR, text);
	e->id = id_of(ids, T_EP, name.data);
	return e->id && e->addr_id ? -1 : e->id ? T_ADDR : T_EP;
}

static int assign_eps(struct hr_ids *ids, struct hr_plan *p)
{
	int full = -1;

	for (size_t i = 0; i < p->eps.len && full < 0; i++)
		full = assign_ep(ids, p, &p->eps.data[i]);
	return full;
}

/* -1, or the table that is full. */
static int assign(struct hr_ids *ids, struct hr_plan *p)
{
	for (size_t i = 0; i < p->vhosts.len; i++) {
		struct hr_plan_vhost *v = &p->vhosts.data[i];
		_cleanup_sb_ struct hr_strbuf name = {0};

		hr_sb_printf(&name, "%s:%u", v->host, v->port);
		v->id = id_of(ids, T_VHOST, name.data);
		if (!v->id)
			return T_VHOST;
	}
	for (size_t i = 0; i < p->routes.len; i++)
		if (!(p->routes.data[i].id = id_of(ids, T_ROUTE, p->routes.data[i].key)))
			return T_ROUTE;
	for (size_t i = 0; i < p->clusters.len; i++) {
		struct hr_plan_conns *conns = &p->clusters.data[i].conns;

		if (!(p->clusters.data[i].id = cluster_id(ids, &p->clusters.data[i])))
			return T_CLUSTER;
		/* there are not more of them than clusters: the table is as large */
		conns->id = conns->name ? id_of(ids, T_CONNS, conns->name) : 0;
	}
	return assign_eps(ids, p);
}

static void index_endpoints(struct hr_plan *p)
{
	uint32_t max = 0;

	for (size_t i = 0; i < p->eps.len; i++)
		max = HR_MAX(max, p->eps.data[i].id);
	p->n_ep_by_id = max + 1;
	p->ep_by_id = hr_arena_array(p->arena, uint32_t, p->n_ep_by_id);
	for (size_t i = 0; i < p->eps.len; i++)
		p->ep_by_id[p->eps.data[i].id] = (uint32_t)i + 1;
}

int hr_ids_assign(struct hr_ids *ids, struct hr_plan *plan, const char **what)
{
	int full;

	ids->round++;
	ids->count++;
	forget(ids, 3);
	full = assign(ids, plan);
	if (full < 0) {
		index_endpoints(plan);
		return 0;
	}
	*what = ids->t[full].what;
	take_back(ids);
	return -ENOSPC;
}

/* Names that went wait for assignments of a whole plan before their ids are given again: not too
 * many of them may. */
#define GONE_MAX (HR_EPS_MAX / 8)

int hr_ids_assign_new(struct hr_ids *ids, struct hr_plan *plan, const struct hr_plan_changes *what)
{
	if (hr_map_len(ids->t[T_EP].by_name) > plan->eps.len + GONE_MAX)
		return -ENOSPC;
	ids->count++;
	for (size_t i = 0; i < what->n_clusters; i++) {
		const struct hr_plan_cluster *c = &plan->clusters.data[what->clusters[i]];

		for (uint32_t k = 0; k < c->n_eps; k++) {
			struct hr_plan_ep *e = &plan->eps.data[c->first_ep + k];

			if (!e->id && assign_ep(ids, plan, e) >= 0)
				return -ENOSPC;
		}
	}
	index_endpoints(plan);
	return 0;
}

/* Numbers are kept for the life of the agent, so a name always gets the same address. */
int hr_ids_auto_vip(void *ctx, const char *fqdn, struct hr_addr *v4, struct hr_addr *v6)
{
	struct hr_ids *ids = ctx;
	uint32_t n = (uint32_t)(uintptr_t)hr_map_gets(ids->auto_vips, fqdn);

	if (!n) {
		if (ids->next_vip == 0xfffd)
			return -ENOSPC;
		n = ++ids->next_vip;
		hr_map_puts(ids->auto_vips, fqdn, (void *)(uintptr_t)n);
	}
	*v4 = (struct hr_addr){.ip = {[10] = 0xff, 0xff, 240, 240, (uint8_t)(n >> 8), (uint8_t)n}};
	*v6 = (struct hr_addr){
		.ip = {0xfd, 0x68, 0x64, 0x72, 0x61, 0x63, [14] = (uint8_t)(n >> 8), (uint8_t)n}};
	return 0;
}

static const char *name_of(const struct hr_ids *ids, int kind, uint32_t id)
{
	const struct table *t = &ids->t[kind];

	const struct entry *e = PLACE(id) < t->by_place.len ? t->by_place.data[PLACE(id)] : NULL;

	return e && e->id == id ? e->name : NULL;
}

const char *hr_ids_route_name(const struct hr_ids *ids, uint32_t id)
{
	return name_of(ids, T_ROUTE, id);
}

const char *hr_ids_ep_name(const struct hr_ids *ids, uint32_t id)
{
	return name_of(ids, T_EP, id);
}

const char *hr_ids_addr_name(const struct hr_ids *ids, uint32_t id)
{
	return name_of(ids, T_ADDR, id);
}
