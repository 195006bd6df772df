// SPDX-License-Identifier: Apache-2.0
/*
 * What follows from the weights of a virtual host's rules besides the rules themselves: the cluster
 * that connect() picks an endpoint from. And new weights for a plan that is in use.
 */
#include <errno.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "plan/compile/compile.h"

/* The likeliest destination of the last rule, which is usually the catch-all, so that most requests
 * stay on their connection. */
uint32_t hr_connect_default(const struct hr_connect_view *p, const struct hr_plan_vhost *v,
			    uint32_t service)
{
	const struct hr_plan_route *r;
	uint32_t best = 0, found = service;

	if (!v->nrules)
		return service;
	r = &p->routes[v->rules[v->nrules - 1].route];
	for (uint32_t i = 0; i < r->ndst; i++) {
		if (r->dst[i].weight <= best || !hr_plan_has_place(&p->clusters[r->dst[i].cluster]))
			continue;
		best = r->dst[i].weight;
		found = r->dst[i].cluster;
	}
	return found;
}

static bool reaches(const struct hr_connect_view *p, uint32_t cluster, bool v4)
{
	const struct hr_plan_cluster *c = &p->clusters[cluster];

	for (uint32_t i = 0; i < c->n_eps; i++)
		if (hr_addr_is4(&p->eps[c->first_ep + i].addr) == v4)
			return true;
	return c->lb == HR_LB_PASSTHROUGH;
}

/* connect() keeps the family of the address. Where the likeliest cluster has no endpoint of it, the
 * connection may go to any that the host's rules can choose, or to the service itself: each request
 * is moved to where it belongs, in the kernel. */
uint32_t hr_connect_cluster(const struct hr_connect_view *p, const struct hr_plan_vhost *v,
			    uint32_t service, bool v4)
{
	if (v->default_cluster == HR_NONE || reaches(p, v->default_cluster, v4))
		return v->default_cluster;
	for (uint32_t i = v->nrules; i--;) {
		const struct hr_plan_route *r = &p->routes[v->rules[i].route];

		for (uint32_t d = 0; d < r->ndst; d++)
			if (r->dst[d].weight && reaches(p, r->dst[d].cluster, v4))
				return r->dst[d].cluster;
	}
	return service != HR_NONE && reaches(p, service, v4) ? service : v->default_cluster;
}

/* ---- new weights --------------------------------------------------------------------------- */

/* Is it a route of this rule; *other: of the same rule in another copy of its VirtualService. */
static bool is_route(const struct hr_plan_route *r, const struct hr_virtual_service *vs,
		     const struct hr_http_route *http, bool *other)
{
	if (r->vs && r->vs != vs && hr_streq(r->vs->meta.name, vs->meta.name) &&
	    hr_streq(r->vs->meta.ns, vs->meta.ns))
		*other = true;
	return r->http == http;
}

static int find_routes(const struct hr_plan *p, const struct hr_virtual_service *vs,
		       const struct hr_http_route *http, struct hr_reweighed *out)
{
	bool other = false;

	for (size_t i = 0; i < p->routes.len; i++) {
		const struct hr_plan_route *r = &p->routes.data[i];

		if (!is_route(r, vs, http, &other))
			continue;
		if (r->ndst != http->route.len || r->ndst > HR_DST_MAX ||
		    out->n_routes == HR_REWEIGH_MAX)
			return -EOPNOTSUPP;
		out->routes[out->n_routes++] = (uint32_t)i;
	}
	return out->n_routes && !other ? 0 : -EOPNOTSUPP;
}

static bool has_route(const struct hr_plan_vhost *v, const struct hr_reweighed *w)
{
	for (uint32_t i = 0; i < v->nrules; i++)
		for (size_t k = 0; k < w->n_routes; k++)
			if (v->rules[i].route == w->routes[k])
				return true;
	return false;
}

static int settle_vip(struct hr_plan *p, struct hr_plan_vip *vip,
		      const struct hr_connect_view *view, uint32_t service, struct hr_reweighed *w)
{
	uint32_t cluster = hr_connect_cluster(view, &p->vhosts.data[vip->vhost], service,
					      hr_addr_is4(&vip->addr));

	if (cluster == vip->cluster)
		return 0;
	/* TCP rules of the same port have their own say */
	if (vip->n_l4 || w->n_vips == HR_REWEIGH_MAX)
		return -EOPNOTSUPP;
	vip->cluster = cluster;
	w->vips[w->n_vips++] = (uint32_t)(vip - p->vips.data);
	return 0;
}

static int settle_vhost(struct hr_plan *p, uint32_t vhost, struct hr_reweighed *w)
{
	const struct hr_connect_view view = {p->routes.data, p->clusters.data, p->eps.data};
	struct hr_plan_vhost *v = &p->vhosts.data[vhost];
	uint32_t service = v->service;
	int r = 0;

	w->vhosts[w->n_vhosts++] = vhost;
	v->default_cluster = hr_connect_default(&view, v, service);
	for (size_t i = 0; i < p->vips.len && !r; i++)
		if (p->vips.data[i].vhost == vhost)
			r = settle_vip(p, &p->vips.data[i], &view, service, w);
	return r;
}

/* The array is replaced, not written: a worker that reads it sees the old weights or the new. */
static void set_weights(struct hr_plan *p, struct hr_plan_route *r, const uint32_t *weights)
{
	/* routes are shared with the plans that are made of this one */
	struct hr_arena *a = p->origin ? p->origin->arena : p->arena;
	struct hr_plan_dst *dst = hr_arena_array(a, struct hr_plan_dst, r->ndst + 1);
	uint32_t total = 0;

	for (uint32_t i = 0; i < r->ndst; i++) {
		dst[i] = r->dst[i];
		dst[i].weight = weights[i];
		total += weights[i];
	}
	__atomic_store_n(&r->dst, dst, __ATOMIC_RELEASE);
	r->total = total;
}

static int settle_all(struct hr_plan *p, struct hr_reweighed *w)
{
	int r = 0;

	for (uint32_t i = 0; i < p->vhosts.len && !r; i++)
		if (has_route(&p->vhosts.data[i], w))
			r = w->n_vhosts == HR_REWEIGH_MAX ? -EOPNOTSUPP : settle_vhost(p, i, w);
	return r;
}

/* Under the weights of before nothing is refused: what was settled settles as it was. */
static void take_back(struct hr_plan *p, struct hr_http_route *http, const int32_t *written,
		      const uint32_t *weights, const struct hr_reweighed *w)
{
	struct hr_reweighed back = {.n_routes = w->n_routes};

	memcpy(back.routes, w->routes, sizeof(back.routes));
	for (size_t i = 0; i < http->route.len; i++)
		http->route.data[i].weight = written[i];
	for (size_t i = 0; i < w->n_routes; i++)
		set_weights(p, &p->routes.data[w->routes[i]], weights);
	settle_all(p, &back);
}

int hr_plan_reweigh(struct hr_plan *p, const struct hr_virtual_service *vs, size_t rule,
		    const uint32_t *weights, size_t n, struct hr_reweighed *out)
{
	struct hr_http_route *http = &vs->http.data[rule];
	uint32_t before[HR_DST_MAX];
	int32_t written[HR_DST_MAX];
	struct hr_reweighed w = {};
	int r;

	if (!vs->hosts.len || http->route.len != n || n > HR_DST_MAX || http->delegate_name)
		return -EOPNOTSUPP;
	r = find_routes(p, vs, http, &w);
	if (r)
		return r;
	for (size_t i = 0; i < n; i++) {
		before[i] = p->routes.data[w.routes[0]].dst[i].weight;
		written[i] = http->route.data[i].weight;
		http->route.data[i].weight = (int32_t)weights[i];
	}
	for (size_t i = 0; i < w.n_routes; i++)
		set_weights(p, &p->routes.data[w.routes[i]], weights);
	r = settle_all(p, &w);
	if (r)
		take_back(p, http, written, before, &w);
	else
		*out = w;
	return r;
}
