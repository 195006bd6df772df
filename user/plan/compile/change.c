// SPDX-License-Identifier: Apache-2.0
/*
 * A plan with other endpoints, of a plan in use. A rollout changes a slice or a Pod at a time, and
 *a build looks at everything:
 *
 *	objects that went and came -> services whose endpoints they can be      (touched.c)
 *	-> the build's own steps for those services alone, aside
 *	-> tables of the plan, copied, with the new clusters' endpoints in place
 *	-> what connect() and DNS make of it, only where a cluster won or lost its last endpoint
 *
 * Rules, virtual hosts and policies are shared: they do not depend on endpoints. Clusters keep
 *their places, so every index into the plan before stays right.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "headrace/limits.h"
#include "plan/compile/change.h"

struct hr_arena *hr_plan_arena(const struct hr_plan *p)
{
	return (p->origin ? p->origin : p)->objects->arena;
}

size_t hr_plan_grown(const struct hr_plan *p)
{
	const struct hr_plan *o = p->origin ? p->origin : p;

	return hr_arena_used(o->arena) + hr_arena_used(o->objects->arena) - o->built;
}

/* ---- aside: the steps of a build for the services concerned ---- */

struct change {
	const struct hr_plan *from;
	struct hr_plan *origin, *to;
	struct hr_build *b;	    /* aside */
	uint32_t *fresh;	    /* [clusters] index aside + 1; 0: as before */
	struct hr_plan_name *names; /* [names] of which naddrs is not what it was; NULL: none */
	struct hr_plan_changes what;
	bool moved; /* a cluster has endpoints of a family that it had not, or the other way */
};

/* Clients are told apart by the labels of endpoints (failoverPriority): views come and go. */
static bool has_groups(const struct hr_plan_cluster *c)
{
	for (uint32_t i = 0; i < c->n_views; i++)
		if (c->views[i].same)
			return true;
	return false;
}

/* The same clusters by name, or this takes a build. */
static int pair_clusters(struct change *c, const struct hr_svc *s, uint32_t first)
{
	if (c->b->clusters.len - first != s->n_clusters)
		return -EOPNOTSUPP;
	for (uint32_t i = 0; i < s->n_clusters; i++) {
		const struct hr_plan_cluster *was = &c->from->clusters.data[s->first_cluster + i];

		if (has_groups(was) || !hr_streq(c->b->clusters.data[first + i].name, was->name))
			return -EOPNOTSUPP;
		c->fresh[s->first_cluster + i] = first + i + 1;
		c->what.clusters[c->what.n_clusters++] = s->first_cluster + i;
	}
	return 0;
}

static void look_at_name(struct change *c, const struct hr_svc *s)
{
	struct hr_plan_name now;

	if (!s->auto_vips || s->plan_name == HR_NONE)
		return;
	now = hr_build_name(s);
	if (now.addrs == c->from->names.data[s->plan_name].addrs &&
	    now.naddrs == c->from->names.data[s->plan_name].naddrs)
		return;
	c->what.names = true;
	c->names[s->plan_name] = now;
}

static int build_aside(struct change *c, const bool *touched)
{
	int r = 0;

	for (size_t i = 0; i < c->from->svcs.len && !r; i++) {
		struct hr_svc s = *c->from->svcs.data[i];
		uint32_t first = (uint32_t)c->b->clusters.len;

		if (!touched[i])
			continue;
		hr_build_endpoints(c->b, &s);
		hr_build_clusters_of(c->b, &s);
		r = pair_clusters(c, &s, first);
		look_at_name(c, &s);
	}
	for (size_t i = 0; i < c->b->views.len && !r; i++)
		r = c->b->views.data[i].view.same ? -EOPNOTSUPP : 0;
	/* whatever there is to say, a build says it */
	return r || c->b->diags->list.len ? -EOPNOTSUPP : 0;
}

/* ---- into the plan ---- */

/* Strings that were made aside go where they live on; those that are there already are taken. */
static const char *keep_text(struct change *c, const char *now, const char *was)
{
	if (!*now)
		return "";
	return hr_streq(now, was) ? was : hr_arena_strdup(c->origin->arena, now);
}

static struct hr_plan_ep keep_ep(struct change *c, uint32_t cluster, const struct hr_plan_ep *now,
				 const struct hr_plan_ep *was)
{
	struct hr_plan_ep e = *now;

	e.cluster = cluster;
	e.id = was ? was->id : 0;
	e.addr_id = was ? was->addr_id : 0;
	e.workload = keep_text(c, now->workload, was ? was->workload : NULL);
	e.locality = keep_text(c, now->locality, was ? was->locality : NULL);
	return e;
}

static bool same_places(const struct hr_plan_cluster *a, const struct hr_plan_place *place,
			uint32_t n)
{
	if (a->n_places != n)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!hr_streq(a->places[i].locality, place[i].locality) ||
		    a->places[i].priority != place[i].priority || a->places[i].n != place[i].n ||
		    a->places[i].weight != place[i].weight)
			return false;
	return true;
}

static void keep_places(struct change *c, struct hr_plan_cluster *to,
			const struct hr_plan_cluster *now, const struct hr_plan_ep *eps)
{
	struct hr_plan_place *kept;

	to->by_place = now->by_place;
	if (same_places(to, now->places, now->n_places))
		return;
	kept = hr_arena_array(c->origin->arena, struct hr_plan_place, now->n_places + 1);
	memcpy(kept, now->places, now->n_places * sizeof(*kept));
	for (uint32_t i = 0; i < to->n_eps; i++)
		kept[eps[i].place].locality = eps[i].locality;
	to->places = kept;
	to->n_places = now->n_places;
}

static unsigned families(const struct hr_plan_ep *eps, uint32_t n)
{
	unsigned out = 0;

	for (uint32_t i = 0; i < n; i++)
		out |= hr_addr_is4(&eps[i].addr) ? 1 : 2;
	return out;
}

/* Both lists are sorted alike. Gives the place behind. */
static uint32_t put_fresh(struct change *c, uint32_t index, uint32_t at)
{
	const struct hr_plan_cluster *now = &c->b->clusters.data[c->fresh[index] - 1];
	struct hr_plan_cluster *to = &c->to->clusters.data[index];
	const struct hr_plan_ep *was = c->from->eps.data + to->first_ep;
	struct hr_plan_ep *out = c->to->eps.data + at;
	uint32_t n_was = to->n_eps;
	unsigned before = families(was, n_was);

	for (uint32_t i = 0, k = 0; i < now->n_eps; i++) {
		const struct hr_plan_ep *e = &c->b->eps.data[now->first_ep + i];
		int d = -1;

		while (k < n_was && (d = hr_build_ep_cmp(&was[k], e)) < 0)
			k++;
		out[i] = keep_ep(c, index, e, k < n_was && !d ? &was[k] : NULL);
	}
	to->first_ep = at;
	to->n_eps = now->n_eps;
	to->draining = now->draining;
	keep_places(c, to, now, out);
	c->moved |= before != families(out, to->n_eps);
	return at + to->n_eps;
}

static void copy_tables(struct change *c)
{
	const struct hr_plan *from = c->from;
	struct hr_plan *to = c->to;
	size_t n = from->eps.len + c->b->eps.len;
	uint32_t at = 0;

	to->clusters.data =
		hr_arena_array(to->arena, struct hr_plan_cluster, from->clusters.len + 1);
	if (from->clusters.len)
		memcpy(to->clusters.data, from->clusters.data,
		       from->clusters.len * sizeof(*to->clusters.data));
	to->eps.data = hr_arena_array(to->arena, struct hr_plan_ep, n + 1);
	for (uint32_t i = 0; i < from->clusters.len; i++) {
		struct hr_plan_cluster *cl = &to->clusters.data[i];

		if (c->fresh[i]) {
			at = put_fresh(c, i, at);
			continue;
		}
		if (cl->n_eps)
			memcpy(to->eps.data + at, from->eps.data + cl->first_ep,
			       cl->n_eps * sizeof(*to->eps.data));
		cl->first_ep = at;
		at += cl->n_eps;
	}
	to->eps.len = at;
}

/* ---- what depends on who has endpoints at all ---- */

/* A table of the origin is shared; one of a plan between is copied, it goes with that plan. */
#define OWN(c, table, write)                                                                       \
	do {                                                                                       \
		__typeof__((c)->to->table.data) have_ = (c)->to->table.data, copy_;                \
		size_t n_ = (c)->to->table.len;                                                    \
                                                                                                   \
		if (have_ == (c)->origin->table.data ? (write) : have_ == (c)->from->table.data) { \
			copy_ = hr_arena_array((c)->to->arena, __typeof__(*have_), n_ + 1);        \
			memcpy(copy_, have_, n_ * sizeof(*have_));                                 \
			(c)->to->table.data = copy_;                                               \
		}                                                                                  \
	} while (0)

static void settle_vhosts(struct change *c, const struct hr_connect_view *view)
{
	for (size_t i = 0; i < c->to->vhosts.len; i++) {
		const struct hr_plan_vhost *v = &c->to->vhosts.data[i];
		uint32_t cluster = hr_connect_default(view, v, v->service);

		if (cluster == v->default_cluster)
			continue;
		OWN(c, vhosts, true);
		c->to->vhosts.data[i].default_cluster = cluster;
	}
}

static void settle_vips(struct change *c, const struct hr_connect_view *view)
{
	c->what.vips = hr_arena_array(c->to->arena, uint32_t, c->to->vips.len + 1);
	for (uint32_t i = 0; i < c->to->vips.len; i++) {
		const struct hr_plan_vip *v = &c->to->vips.data[i];
		const struct hr_plan_vhost *vhost;
		uint32_t cluster;

		if (v->vhost == HR_NONE)
			continue;
		vhost = &c->to->vhosts.data[v->vhost];
		cluster = hr_connect_cluster(view, vhost, vhost->service, hr_addr_is4(&v->addr));
		if (cluster == v->cluster)
			continue;
		OWN(c, vips, true);
		c->to->vips.data[i].cluster = cluster;
		c->what.vips[c->what.n_vips++] = i;
	}
}

static void settle(struct change *c)
{
	const struct hr_connect_view view = {c->to->routes.data, c->to->clusters.data,
					     c->to->eps.data};

	OWN(c, vhosts, false);
	OWN(c, vips, false);
	OWN(c, names, c->what.names);
	for (size_t i = 0; c->what.names && i < c->to->names.len; i++)
		if (c->names[i].name)
			c->to->names.data[i] = c->names[i];
	if (!c->moved)
		return;
	settle_vhosts(c, &view);
	settle_vips(c, &view);
}

/* ---- all of it ---- */

static bool fits(const struct hr_plan *p)
{
	return p->eps.len < HR_EPS_MAX && p->objects->total <= HR_OBJECTS_MAX &&
	       hr_build_slots(p->clusters.data, p->clusters.len) <= HR_SLOTS_LIMIT;
}

static struct hr_plan *begin(const struct hr_plan *from, struct hr_plan *origin)
{
	struct hr_arena *a = hr_arena_new();
	struct hr_plan *p = hr_arena_new0(a, struct hr_plan);

	*p = *from;
	p->arena = a;
	p->origin = origin;
	p->ep_by_id = NULL;
	p->n_ep_by_id = 0;
	origin->users++;
	return p;
}

static int run(struct change *c, const struct hr_object_key *gone, size_t n_gone,
	       const struct hr_objects *put)
{
	struct hr_arena *a = c->b->a;
	bool *touched = hr_arena_array(a, bool, c->from->svcs.len + 1);
	int r;

	c->to->objects = hr_objects_replace(c->to->arena, c->from->objects, gone, n_gone, put);
	c->b->o = c->to->objects;
	c->fresh = hr_arena_array(a, uint32_t, c->from->clusters.len + 1);
	c->names = hr_arena_array(a, struct hr_plan_name, c->from->names.len + 1);
	c->what.clusters = hr_arena_array(c->to->arena, uint32_t, c->from->clusters.len + 1);
	hr_change_touched(c->from, gone, n_gone, c->b->o, put, touched);
	hr_change_lookups(c->b, c->from, touched);
	r = build_aside(c, touched);
	if (r)
		return r;
	copy_tables(c);
	settle(c);
	return fits(c->to) ? 0 : -EOPNOTSUPP;
}

static bool other_kinds(const struct hr_object_key *gone, size_t n_gone,
			const struct hr_objects *put)
{
	for (size_t i = 0; i < n_gone; i++)
		if (!hr_kind_is_endpoints(gone[i].kind))
			return true;
	return put->virtual_services.len || put->destination_rules.len ||
	       put->service_entries.len || put->services.len || put->namespaces.len ||
	       put->nodes.len;
}

int hr_plan_change(struct hr_plan **out, const struct hr_plan *from,
		   const struct hr_object_key *gone, size_t n_gone, const struct hr_objects *put,
		   struct hr_diags *diags, struct hr_plan_changes *what)
{
	_cleanup_arena_ struct hr_arena *aside = hr_arena_new();
	struct change c = {.from = from,
			   .origin = from->origin ? from->origin : (struct hr_plan *)from};
	const struct hr_plan_opts opts = {.cluster_domain = from->cluster_domain,
					  .registry_only = from->registry_only,
					  .locality = from->locality,
					  .node = from->node};
	int r;

	if (other_kinds(gone, n_gone, put))
		return -EOPNOTSUPP;
	c.to = begin(from, c.origin);
	c.b = hr_arena_new0(aside, struct hr_build);
	*c.b = (struct hr_build){.plan = c.to, .a = aside, .opts = &opts, .diags = diags};
	c.b->pod_by_addr = hr_map_new();
	c.b->locality_by_node = hr_map_new();
	c.b->cluster_by_name = hr_map_new();
	r = run(&c, gone, n_gone, put);
	hr_map_free(c.b->pod_by_addr);
	hr_map_free(c.b->locality_by_node);
	hr_map_free(c.b->cluster_by_name);
	hr_chain_free(&c.b->slices_by_service);
	hr_vec_free(&c.b->clusters);
	hr_vec_free(&c.b->eps);
	hr_vec_free(&c.b->views);
	if (r) {
		hr_plan_free(c.to);
		return r;
	}
	*what = c.what;
	*out = c.to;
	return 0;
}
