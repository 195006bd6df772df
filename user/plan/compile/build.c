// SPDX-License-Identifier: Apache-2.0
/* Objects -> plan: runs the steps of compile.h and closes the tables. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "model/hosts.h"
#include "plan/compile/compile.h"
#include "plan/balance/slots.h"

#define CLOSE(b, table)                                                                           \
	do {                                                                                      \
		(b)->plan->table.data =                                                           \
			hr_arena_array((b)->a, __typeof__(*(b)->table.data), (b)->table.len + 1); \
		if ((b)->table.len)                                                               \
			memcpy((b)->plan->table.data, (b)->table.data,                            \
			       (b)->table.len * sizeof(*(b)->table.data));                        \
		(b)->plan->table.len = (b)->table.len;                                            \
		hr_vec_free(&(b)->table);                                                         \
	} while (0)

static int wildcard_cmp(const void *a, const void *b, void *vhosts)
{
	const struct hr_plan_vhost *x = (struct hr_plan_vhost *)vhosts + *(const uint32_t *)a,
				   *y = (struct hr_plan_vhost *)vhosts + *(const uint32_t *)b;
	int d = hr_host_specificity_cmp(y->host, x->host);

	return d ? d : (int)x->port - (int)y->port;
}

static void index_plan(struct hr_plan *p)
{
	HR_VEC(uint32_t) wild = {0};
	char key[320];

	for (size_t i = 0; i < p->vhosts.len; i++) {
		const struct hr_plan_vhost *v = &p->vhosts.data[i];

		for (uint16_t n = 0; n < v->nnames; n++) {
			snprintf(key, sizeof(key), "%u/%s", v->port, v->names[n]);
			if (!hr_map_gets(p->vhost_by_name, key))
				hr_map_puts(p->vhost_by_name, key, (void *)(i + 1));
		}
		if (v->host[0] == '*')
			hr_vec_push(&wild, (uint32_t)i);
	}
	if (wild.len)
		qsort_r(wild.data, wild.len, sizeof(*wild.data), wildcard_cmp, p->vhosts.data);
	p->wildcards.data = hr_arena_array(p->arena, uint32_t, wild.len + 1);
	if (wild.len)
		memcpy(p->wildcards.data, wild.data, wild.len * sizeof(*wild.data));
	p->wildcards.len = wild.len;
	hr_vec_free(&wild);
	for (size_t i = 0; i < p->vips.len; i++) {
		const struct hr_plan_vip *v = &p->vips.data[i];
		struct hr_vip_key k = {.port_be = htons(v->port)};

		memcpy(k.ip, v->addr.ip, sizeof(k.ip));
		if (!hr_map_get(p->vip_by_addr, &k, sizeof(k)))
			hr_map_put(p->vip_by_addr, &k, sizeof(k), (void *)(i + 1));
	}
}

static int over_limit(struct hr_build *b, const char *what, size_t have, size_t max)
{
	struct hr_pos none = {"", 0, 0};

	if (have <= max)
		return 0;
	hr_diag_add(b->diags, HR_SEV_ERROR, none, "limit", NULL, "", "%zu %s; the limit is %zu",
		    have, what, max);
	return -E2BIG;
}

/* Tables of consistentHash are as large as their rules want them: all must fit at once, and one
 * more beside them while it is replaced. */
size_t hr_build_slots(const struct hr_plan_cluster *clusters, size_t n)
{
	size_t pages = 0, largest = 0;

	for (size_t i = 0; i < n; i++) {
		const struct hr_plan_cluster *c = &clusters[i];
		uint32_t slots = hr_hash_slots(c);
		size_t mine = ((slots ? slots : c->n_eps) + HR_SLOTS_PAGE - 1) / HR_SLOTS_PAGE;

		pages += mine;
		largest = HR_MAX(largest, mine);
	}
	return (pages + largest) * HR_SLOTS_PAGE;
}

static int run_steps(struct hr_build *b)
{
	int r;

	hr_build_services(b); /* and where things are */
	b->plan->locality =
		hr_arena_strdup(b->a, b->opts->locality ? b->opts->locality
							: hr_build_node_locality(b, b->opts->node));
	hr_build_clusters(b);
	r = hr_build_vhosts(b);
	if (r)
		goto out;
	hr_build_vips(b);
	hr_build_views(b);
	r = over_limit(b, "virtual hosts", b->vhosts.len, HR_VHOSTS_MAX - 1);
	if (!r)
		r = over_limit(b, "clusters", b->clusters.len, HR_CLUSTERS_MAX - 1);
	if (!r)
		r = over_limit(b, "endpoints", b->eps.len, HR_EPS_MAX - 1);
	if (!r)
		r = over_limit(b, "routes", b->routes.len, HR_ROUTES_MAX - 1);
	if (!r)
		r = over_limit(b, "addresses and ports", b->vips.len, HR_VIPS_MAX);
	if (!r)
		r = over_limit(b, "slots of balancing tables (consistentHash)",
			       hr_build_slots(b->clusters.data, b->clusters.len), HR_SLOTS_LIMIT);
out:
	CLOSE(b, vhosts);
	CLOSE(b, routes);
	CLOSE(b, clusters);
	CLOSE(b, eps);
	CLOSE(b, vips);
	CLOSE(b, l4);
	CLOSE(b, names);
	CLOSE(b, svcs);
	hr_vec_free(&b->views);
	return r;
}

static void open_lookups(struct hr_build *b)
{
	b->svc_by_fqdn = hr_map_new();
	b->svc_by_short = hr_map_new();
	b->pod_by_addr = hr_map_new();
	b->locality_by_node = hr_map_new();
	b->cluster_by_name = hr_map_new();
	b->vhost_by_host = hr_map_new();
	b->delegates = hr_map_new();
	b->l4_route_by_key = hr_map_new();
}

static void close_lookups(struct hr_build *b)
{
	hr_map_free(b->svc_by_fqdn);
	hr_map_free(b->svc_by_short);
	hr_map_free(b->pod_by_addr);
	hr_map_free(b->locality_by_node);
	hr_map_free(b->cluster_by_name);
	hr_map_free(b->vhost_by_host);
	hr_map_free(b->delegates);
	hr_map_free(b->l4_route_by_key);
	hr_chain_free(&b->slices_by_service);
	hr_chain_free(&b->vs_by_host);
	hr_chain_free(&b->l4_by_host);
	hr_chain_free(&b->dr_by_host);
}

int hr_plan_build(struct hr_plan **out, struct hr_objects *o, const struct hr_plan_opts *opts,
		  struct hr_diags *diags)
{
	struct hr_arena *a = hr_arena_new();
	struct hr_plan *p = hr_arena_new0(a, struct hr_plan);
	struct hr_build *b = hr_arena_new0(a, struct hr_build);
	int r;

	p->arena = a;
	p->objects = o;
	p->cluster_domain = hr_arena_strdup(a, opts->cluster_domain);
	p->registry_only = opts->registry_only;
	p->node = hr_arena_strdup(a, opts->node ? opts->node : "");
	p->vhost_by_name = hr_map_new();
	p->vip_by_addr = hr_map_new();
	b->plan = p;
	b->a = a;
	b->o = o;
	b->opts = opts;
	b->diags = diags;
	open_lookups(b);
	r = run_steps(b);
	close_lookups(b);
	if (r) {
		hr_plan_free(p);
		return r;
	}
	index_plan(p);
	p->users = 1;
	p->built = hr_arena_used(p->arena) + hr_arena_used(o->arena);
	*out = p;
	return 0;
}

const struct hr_plan_vip *hr_plan_vip_at(const struct hr_plan *p, const struct hr_vip_key *key)
{
	uintptr_t i = (uintptr_t)hr_map_get(p->vip_by_addr, key, sizeof(*key));

	return i ? &p->vips.data[i - 1] : NULL;
}

void hr_plan_free(struct hr_plan *p)
{
	struct hr_plan *origin = p ? p->origin : NULL;

	if (origin) {
		hr_arena_free(p->arena);
		p = origin;
	}
	if (!p || (p->users && --p->users))
		return;
	for (size_t i = 0; i < p->vhosts.len; i++)
		hr_map_free(p->vhosts.data[i].index);
	hr_map_free(p->vhost_by_name);
	hr_map_free(p->vip_by_addr);
	hr_objects_free(p->objects);
	hr_arena_free(p->arena);
}
