// SPDX-License-Identifier: Apache-2.0
/*
 * Stable ids by name. Each table keeps name -> id. An id whose name was absent from two assignments
 * in a row is free, and is given again after all that were free before it. What the agent before
 * this one called by an id is found by a digest of its name: so connections, tables and counters
 * that a killed agent left go on to mean what they meant.
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

/* The ids of an address and of a virtual host are held by connections for as long as they live,
 * which may be days, and say where they go: they carry the number of times their place in the table
 * was given away. */
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

struct hr_ids {
	struct table t[HR_ID_AUTO_VIP];
	uint64_t round; /* assignments of whole plans */
	uint64_t count; /* and of what is new in others */
	hr_ids_busy_fn busy;
	void *busy_ctx;
	struct hr_map *auto_vips; /* fqdn -> number */
	uint32_t next_vip;
	hr_ids_keep_fn keep;
	void *keep_ctx;
	uint64_t key[2]; /* of digests */
	/* given since the last call of keep */
	HR_VEC(struct hr_id_key) new_keys;
	HR_VEC(struct hr_id_row) new_rows;
	/* of the agent before, digest -> id; NULL after the first assignment */
	struct hr_map *adopted[HR_ID_KINDS];
};

struct hr_ids *hr_ids_new(void)
{
	static const struct {
		const char *what;
		uint32_t max;
	} kinds[HR_ID_AUTO_VIP] = {
		[HR_ID_VHOST] = {"virtual hosts", HR_VHOSTS_MAX},
		[HR_ID_ROUTE] = {"routes", HR_ROUTES_MAX},
		[HR_ID_CLUSTER] = {"clusters", HR_CLUSTERS_MAX},
		[HR_ID_EP] = {"endpoints", HR_EPS_MAX},
		[HR_ID_ADDR] = {"addresses", HR_EPS_MAX},
		[HR_ID_CONNS] = {"connection pools", HR_CLUSTERS_MAX},
	};
	struct hr_ids *ids = calloc(1, sizeof(*ids));

	if (!ids)
		abort();
	for (int i = HR_ID_VHOST; i < HR_ID_AUTO_VIP; i++) {
		ids->t[i].what = kinds[i].what;
		ids->t[i].max = kinds[i].max;
		ids->t[i].by_name = hr_map_new();
		hr_vec_push(&ids->t[i].by_place, NULL);
	}
	ids->t[HR_ID_VHOST].counted = ids->t[HR_ID_ADDR].counted = true;
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
	for (int i = HR_ID_VHOST; i < HR_ID_AUTO_VIP; i++) {
		struct table *t = &ids->t[i];

		for (size_t k = 1; k < t->by_place.len; k++)
			if (t->by_place.data[k])
				drop(t, t->by_place.data[k], 0);
		hr_map_free(t->by_name);
		hr_vec_free(&t->by_place);
		hr_vec_free(&t->free);
	}
	hr_map_free(ids->auto_vips);
	hr_vec_free(&ids->new_keys);
	hr_vec_free(&ids->new_rows);
	for (int i = 0; i < HR_ID_KINDS; i++)
		hr_map_free(ids->adopted[i]);
	free(ids);
}

/* ---- what is kept for the agent after this one ----------------------------------------------- */

static struct hr_id_row row_of(const struct hr_ids *ids, const char *name, uint32_t id)
{
	_cleanup_sb_ struct hr_strbuf text = {0};
	struct hr_id_row row = {.id = id};

	hr_sb_printf(&text, "0%s", name);
	row.digest[0] = hr_siphash(ids->key, text.data, text.len);
	text.data[0] = '1';
	row.digest[1] = hr_siphash(ids->key, text.data, text.len);
	return row;
}

static void note(struct hr_ids *ids, int kind, const char *name, uint32_t id)
{
	if (!ids->keep)
		return;
	hr_vec_push(&ids->new_keys, (struct hr_id_key){(uint32_t)kind, PLACE(id)});
	hr_vec_push(&ids->new_rows, row_of(ids, name, id));
}

/* Before anybody can meet the new ids. */
static int keep_new(struct hr_ids *ids)
{
	int e = 0;

	if (ids->new_rows.len)
		e = ids->keep(ids->keep_ctx, ids->new_keys.data, ids->new_rows.data,
			      ids->new_rows.len);
	if (e)
		return e;
	hr_vec_free(&ids->new_keys);
	hr_vec_free(&ids->new_rows);
	return 0;
}

void hr_ids_keep(struct hr_ids *ids, const __u64 key[2], hr_ids_keep_fn keep, void *ctx)
{
	memcpy(ids->key, key, sizeof(ids->key));
	ids->keep = keep;
	ids->keep_ctx = ctx;
}

void hr_ids_adopt(struct hr_ids *ids, const struct hr_id_key *key, const struct hr_id_row *row)
{
	if (key->kind == HR_ID_KEY || key->kind >= HR_ID_KINDS || !key->place ||
	    key->place >= HR_EPS_MAX || PLACE(row->id) != key->place)
		return;
	if (!ids->adopted[key->kind])
		ids->adopted[key->kind] = hr_map_new();
	hr_map_put(ids->adopted[key->kind], row->digest, sizeof(row->digest),
		   (void *)(uintptr_t)row->id);
	if (key->kind == HR_ID_AUTO_VIP) {
		ids->next_vip = HR_MAX(ids->next_vip, key->place);
		return;
	}
	while (ids->t[key->kind].by_place.len <= key->place)
		hr_vec_push(&ids->t[key->kind].by_place, NULL);
}

/* What the agent before called by this name; 0: nothing. */
static uint32_t adopted_id(struct hr_ids *ids, int kind, const char *name)
{
	struct hr_id_row row;

	if (!ids->adopted[kind])
		return 0;
	row = row_of(ids, name, 0);
	return (uint32_t)(uintptr_t)hr_map_del(ids->adopted[kind], row.digest, sizeof(row.digest));
}

/* Names that the first plan has not: their ids are free from now on. Auto VIPs stay their names'.
 */
static bool give_up_adopted(struct hr_ids *ids)
{
	bool any = false;

	for (int i = HR_ID_VHOST; i < HR_ID_AUTO_VIP; i++) {
		struct hr_map_iter it = {};

		while (ids->adopted[i] && hr_map_next(ids->adopted[i], &it)) {
			hr_vec_push(&ids->t[i].free,
				    (struct freed){(uint32_t)(uintptr_t)it.value, ids->count});
			any = true;
		}
		hr_map_free(TAKE_PTR(ids->adopted[i]));
	}
	return any;
}

/* ---- assignment ------------------------------------------------------------------------------ */

static bool is_busy(const struct hr_ids *ids, int kind, uint32_t id)
{
	if (!ids->busy || (kind != HR_ID_EP && kind != HR_ID_CLUSTER))
		return false;
	return ids->busy(ids->busy_ctx, (enum hr_id_kind)kind, id);
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
		uint32_t id = adopted_id(ids, kind, name);

		if (!id && (id = new_id(ids, kind)))
			note(ids, kind, name, id);
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
	for (int i = HR_ID_VHOST; i < HR_ID_AUTO_VIP; i++) {
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
	for (int i = HR_ID_VHOST; i < HR_ID_AUTO_VIP; i++) {
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
	return id_of(ids, HR_ID_CLUSTER, c->name);
}

static int assign_ep(struct hr_ids *ids, const struct hr_plan *p, struct hr_plan_ep *e)
{
	_cleanup_sb_ struct hr_strbuf name = {0};
	char text[HR_ADDR_TEXT];

	hr_addr_port_text(&e->addr, e->port, text);
	hr_sb_printf(&name, "%s %s", p->clusters.data[e->cluster].name, text);
	e->addr_id = id_of(ids, HR_ID_ADDR, text);
	e->id = id_of(ids, HR_ID_EP, name.data);
	return e->id && e->addr_id ? -1 : e->id ? HR_ID_ADDR : HR_ID_EP;
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
		v->id = id_of(ids, HR_ID_VHOST, name.data);
		if (!v->id)
			return HR_ID_VHOST;
	}
	for (size_t i = 0; i < p->routes.len; i++)
		if (!(p->routes.data[i].id = id_of(ids, HR_ID_ROUTE, p->routes.data[i].key)))
			return HR_ID_ROUTE;
	for (size_t i = 0; i < p->clusters.len; i++) {
		struct hr_plan_conns *conns = &p->clusters.data[i].conns;

		if (!(p->clusters.data[i].id = cluster_id(ids, &p->clusters.data[i])))
			return HR_ID_CLUSTER;
		/* there are not more of them than clusters: the table is as large */
		conns->id = conns->name ? id_of(ids, HR_ID_CONNS, conns->name) : 0;
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
	int full, r;

	ids->round++;
	ids->count++;
	forget(ids, 3);
	full = assign(ids, plan);
	if (give_up_adopted(ids) && full >= 0)
		full = assign(ids, plan);
	r = full < 0 ? keep_new(ids) : -ENOSPC;
	if (!r) {
		index_endpoints(plan);
		return 0;
	}
	*what = full < 0 ? "names of ids" : ids->t[full].what;
	take_back(ids);
	return r;
}

/* Names that went wait for assignments of a whole plan before their ids are given again: not too
 * many of them may. */
#define GONE_MAX (HR_EPS_MAX / 8)

int hr_ids_assign_new(struct hr_ids *ids, struct hr_plan *plan, const struct hr_plan_changes *what)
{
	if (hr_map_len(ids->t[HR_ID_EP].by_name) > plan->eps.len + GONE_MAX)
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
	if (keep_new(ids))
		return -ENOSPC;
	index_endpoints(plan);
	return 0;
}

/* Numbers are never given again, so a name always gets the same address. */
int hr_ids_auto_vip(void *ctx, const char *fqdn, struct hr_addr *v4, struct hr_addr *v6)
{
	struct hr_ids *ids = ctx;
	uint32_t n = (uint32_t)(uintptr_t)hr_map_gets(ids->auto_vips, fqdn);

	if (!n) {
		n = adopted_id(ids, HR_ID_AUTO_VIP, fqdn);
		if (!n && ids->next_vip == 0xfffd)
			return -ENOSPC;
		if (!n)
			note(ids, HR_ID_AUTO_VIP, fqdn, n = ++ids->next_vip);
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
	return name_of(ids, HR_ID_ROUTE, id);
}

const char *hr_ids_ep_name(const struct hr_ids *ids, uint32_t id)
{
	return name_of(ids, HR_ID_EP, id);
}

const char *hr_ids_addr_name(const struct hr_ids *ids, uint32_t id)
{
	return name_of(ids, HR_ID_ADDR, id);
}
