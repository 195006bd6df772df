// SPDX-License-Identifier: Apache-2.0
/*
 * Clusters: one per (host, port, subset), with the policy that DestinationRules give it, and its
 * endpoints.
 */
#include <string.h>

#include "core/cleanup.h"
#include "model/hosts.h"
#include "plan/compile/compile.h"

/* ---- effective policy ---- */

static const struct hr_traffic_policy *port_level(const struct hr_traffic_policy *p, uint16_t port)
{
	for (size_t i = 0; i < p->port_level.len; i++)
		if (p->port_level.data[i].port == port)
			return p->port_level.data[i].policy;
	return NULL;
}

static void take_set_fields(struct hr_plan_cluster *c, const struct hr_traffic_policy *p)
{
	if (p->lb.set)
		c->balancer = &p->lb;
	if (p->pool.set)
		c->pool = &p->pool;
	if (p->outlier.set)
		c->outlier = &p->outlier;
	if (p->retry_budget.set)
		c->retry_budget = &p->retry_budget;
	if (p->tls_mode)
		c->tls_mode = p->tls_mode;
	if (p->tunnel.set)
		c->tunnel = &p->tunnel;
	if (p->proxy_protocol.set)
		c->proxy_protocol = &p->proxy_protocol;
}

/* A port-level policy replaces all fields, set or not (Istio); one of a subset overrides only
 * what it sets. */
static void apply_policy(struct hr_plan_cluster *c, const struct hr_traffic_policy *p)
{
	const struct hr_traffic_policy *pl = port_level(p, c->port);

	if (p->set)
		take_set_fields(c, p);
	if (!pl)
		return;
	c->balancer = NULL;
	c->pool = NULL;
	c->outlier = NULL;
	c->tls_mode = NULL;
	take_set_fields(c, pl);
}

/* Names that the kernel does not look for. */
static uint16_t hash_reason(const struct hr_plan_cluster *c)
{
	const struct hr_load_balancer *b = c->balancer;

	if (!b || b->hash == HR_HASH_NONE || b->hash == HR_HASH_SOURCE_IP)
		return 0;
	if (!b->hash_name || strlen(b->hash_name) > HR_HNAME_MAX || strpbrk(b->hash_name, "&;="))
		return HR_WHY_CLUSTER;
	return 0;
}

enum hr_speaks hr_plan_speaks(const struct hr_plan_cluster *c)
{
	if (c->proxy_protocol) /* each client has connections of its own: nothing to share */
		return HR_SPEAKS_HTTP1;
	if (c->pool && c->pool->use_client_protocol == 1)
		return HR_SPEAKS_AS_CLIENT;
	if (c->proto == HR_PROTO_HTTP2 || (c->pool && hr_streq(c->pool->h2_upgrade, "UPGRADE")))
		return HR_SPEAKS_HTTP2;
	return c->proto == HR_PROTO_AUTO ? HR_SPEAKS_AS_CLIENT : HR_SPEAKS_HTTP1;
}

/* What only the agent can keep. The limits on requests and connections in use are counted in
 * cluster_rt by both sides: the kernel carries what is below them (hr_cluster.max_requests). */
static uint16_t agent_reason(const struct hr_plan_cluster *c)
{
	if (c->proto == HR_PROTO_HTTP2)
		return HR_WHY_PROTO;
	if (c->tls_mode && !hr_streq(c->tls_mode, "DISABLE"))
		return HR_WHY_CLUSTER;
	if (c->tunnel || c->proxy_protocol)
		return HR_WHY_CLUSTER;
	if (c->pool && hr_streq(c->pool->h2_upgrade, "UPGRADE"))
		return HR_WHY_PROTO;
	return hash_reason(c);
}

static uint32_t add_cluster(struct hr_build *b, struct hr_plan_cluster c)
{
	if (!c.name)
		c.name = hr_arena_printf(b->a, "outbound|%u|%s|%s", c.port, c.subset, c.host);
	c.lb = c.balancer && c.balancer->simple ? c.balancer->simple : HR_LB_LEAST_REQUEST;
	if (c.balancer && c.balancer->hash != HR_HASH_NONE)
		c.lb = c.balancer->maglev ? HR_LB_MAGLEV : HR_LB_RING_HASH;
	hr_build_conns(b, &c);
	c.agent_why = agent_reason(&c);
	hr_map_puts(b->cluster_by_name, c.name, (void *)(b->clusters.len + 1));
	hr_vec_push(&b->clusters, c);
	return (uint32_t)b->clusters.len - 1;
}

static uint32_t build_cluster(struct hr_build *b, const struct hr_svc *s, size_t port_index,
			      const struct hr_destination_rule *rule,
			      const struct hr_subset *subset, const char *name)
{
	const struct hr_port *p = &s->ports->data[port_index];
	const struct hr_svc_eps *eps = &s->eps.data[port_index];
	struct hr_plan_cluster c = {
		.name = name,
		.host = s->fqdn,
		.subset = subset ? subset->name : "",
		.port = (uint16_t)p->number,
		.proto = (uint8_t)hr_port_proto(p),
		.first_ep = (uint32_t)b->eps.len,
		.draining = eps->draining,
	};
	uint32_t index;

	/* internalTrafficPolicy, where the node is known */
	bool local = s->k8s && hr_streq(s->k8s->internal_policy, "Local") && *b->plan->node;

	if (rule)
		apply_policy(&c, &rule->policy);
	if (subset)
		apply_policy(&c, &subset->policy);
	for (size_t i = 0; i < eps->len; i++) {
		struct hr_plan_ep ep = eps->data[i];

		if (subset && !hr_labels_match(&subset->labels, ep.labels))
			continue;
		if (local && !hr_streq(ep.node, b->plan->node))
			continue;
		ep.cluster = (uint32_t)b->clusters.len;
		hr_vec_push(&b->eps, ep);
		c.n_eps++;
	}
	hr_build_places(b, s, &c);
	index = add_cluster(b, c);
	hr_build_groups(b, s, index);
	return index;
}

static const struct hr_subset *subset_named(const hr_subset_list *list, const char *name)
{
	for (size_t i = 0; i < list->len; i++)
		if (hr_streq(list->data[i]->name, name))
			return list->data[i];
	return NULL;
}

/*
 * The cluster of those clients who see other rules than the rest; it stands behind the one that
 * routes name (hr_build_views). A subset that their rule does not define is missing for them.
 */
static void build_view(struct hr_build *b, const struct hr_svc *s, size_t port_index,
		       const struct hr_svc_view *v, const char *subset)
{
	const struct hr_subset *own = subset_named(&v->subsets, subset);
	uint16_t port = (uint16_t)s->ports->data[port_index].number;
	const char *base = hr_arena_printf(b->a, "outbound|%u|%s|%s", port, subset, s->fqdn);
	const char *name = hr_arena_printf(b->a, "%s@%s%s%s", base, v->ns, v->selector ? "/" : "",
					   v->selector ? v->rule->meta.name : "");
	struct hr_build_view built = {.base = base, .view = {.ns = v->ns, .selector = v->selector}};

	if (hr_map_gets(b->cluster_by_name, name))
		return;
	if (own || !*subset)
		built.view.cluster = build_cluster(b, s, port_index, v->rule, own, name);
	else
		built.view.cluster =
			add_cluster(b, (struct hr_plan_cluster){.name = name,
								.host = s->fqdn,
								.subset = subset,
								.port = port,
								.first_ep = (uint32_t)b->eps.len,
								.missing_subset = true});
	hr_vec_push(&b->views, built);
}

static void build_views(struct hr_build *b, const struct hr_svc *s, size_t port_index)
{
	for (size_t i = 0; i < s->views.len; i++) {
		const struct hr_svc_view *v = &s->views.data[i];

		build_view(b, s, port_index, v, "");
		for (size_t k = 0; k < v->subsets.len; k++)
			build_view(b, s, port_index, v, v->subsets.data[k]->name);
		for (size_t k = 0; k < s->subsets.len; k++)
			build_view(b, s, port_index, v, s->subsets.data[k]->name);
	}
}

void hr_build_clusters_of(struct hr_build *b, const struct hr_svc *s)
{
	for (size_t p = 0; p < s->ports->len; p++) {
		if (s->ports->data[p].udp)
			continue;
		build_cluster(b, s, p, s->rule, NULL, NULL);
		for (size_t k = 0; k < s->subsets.len; k++)
			if (hr_build_cluster_named(b, s->fqdn, (uint16_t)s->ports->data[p].number,
						   s->subsets.data[k]->name) == HR_NONE)
				build_cluster(b, s, p, s->rule, s->subsets.data[k], NULL);
		build_views(b, s, p);
	}
}

void hr_build_clusters(struct hr_build *b)
{
	for (size_t i = 0; i < b->svcs.len; i++) {
		struct hr_svc *s = b->svcs.data[i];

		s->first_cluster = (uint32_t)b->clusters.len;
		hr_build_clusters_of(b, s);
		s->n_clusters = (uint32_t)b->clusters.len - s->first_cluster;
	}
}

uint32_t hr_build_cluster_named(struct hr_build *b, const char *fqdn, uint16_t port,
				const char *subset)
{
	_cleanup_sb_ struct hr_strbuf name = {0};
	uintptr_t i;

	hr_sb_printf(&name, "outbound|%u|%s|%s", port, subset, fqdn);
	i = (uintptr_t)hr_map_gets(b->cluster_by_name, name.data);
	return i ? (uint32_t)i - 1 : HR_NONE;
}

uint32_t hr_build_cluster_of(struct hr_build *b, const struct hr_destination *d, const char *vs_ns,
			     uint16_t port)
{
	const char *fqdn =
		hr_host_fqdn_known(b->a, d->host, vs_ns, b->opts->cluster_domain, b->svc_by_fqdn);
	const struct hr_svc *s = hr_map_gets(b->svc_by_fqdn, fqdn);
	const char *subset = d->subset ? d->subset : "";
	uint32_t c;

	if (d->port)
		port = (uint16_t)d->port;
	else if (s && s->ports->len == 1)
		port = (uint16_t)s->ports->data[0].number;
	c = hr_build_cluster_named(b, fqdn, port, subset);
	if (c != HR_NONE)
		return c;
	return add_cluster(b, (struct hr_plan_cluster){.host = fqdn,
						       .subset = subset,
						       .port = port,
						       .first_ep = (uint32_t)b->eps.len,
						       .missing_subset = true});
}
