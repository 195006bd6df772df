// SPDX-License-Identifier: Apache-2.0
/* Virtual hosts: which VirtualService speaks for a (host, port), its routes and its rules. */
#include <string.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "model/hosts.h"
#include "model/same_node.h"
#include "plan/compile/compile.h"
#include "plan/compile/edits.h"
#include "plan/compile/retry.h"

typedef HR_VEC(const struct hr_virtual_service *) vs_list;

/* Older first; objects are in (namespace, name) order already. */
static bool older(const struct hr_virtual_service *a, const struct hr_virtual_service *b)
{
	return a->meta.created_ms &&
	       (!b->meta.created_ms || a->meta.created_ms < b->meta.created_ms);
}

static bool for_all(const struct hr_virtual_service *vs)
{
	return hr_exported_to(vs, NULL);
}

/* Of those for one host, a namespace's own come first, then those made for it, then everybody's
 * (Istio's order). */
static int nearness(const struct hr_virtual_service *vs)
{
	if (for_all(vs))
		return 0;
	return vs->export_to.len == 1 && hr_exported_to(vs, vs->meta.ns) ? 2 : 1;
}

static bool precedes(const struct hr_virtual_service *a, const struct hr_virtual_service *b)
{
	int d = nearness(a) - nearness(b);

	return d > 0 || (!d && older(a, b));
}

/* Those of `after` (restricted ones, first to last) are spoken for already. */
static bool is_among(const vs_list *after, const struct hr_virtual_service *vs)
{
	for (size_t i = 0; i < after->len; i++)
		if (after->data[i] == vs)
			return true;
	return false;
}

static const struct hr_vs_host *best_vs(const struct hr_build *b, const char *key, const char *fqdn,
					const vs_list *after)
{
	const struct hr_vs_host *best = NULL;

	for (uint32_t i = hr_chain_first(&b->vs_by_host, key); i != HR_NONE;
	     i = hr_chain_next(&b->vs_by_host, i)) {
		const struct hr_vs_host *e = &b->vs_hosts.data[i];
		int d;

		if ((!hr_streq(e->host, fqdn) && !hr_host_matches(e->host, fqdn)) ||
		    is_among(after, e->vs))
			continue;
		d = best ? hr_host_specificity_cmp(e->host, best->host) : 1;
		if (d > 0 || (!d && precedes(e->vs, best->vs)))
			best = e;
	}
	return best;
}

/* Also for a host that is a wildcard itself. */
static const struct hr_virtual_service *next_vs(const struct hr_build *b, const char *fqdn,
						const vs_list *after)
{
	const struct hr_vs_host *best = *fqdn == '*' ? NULL : best_vs(b, fqdn, fqdn, after);

	if (!best)
		best = best_vs(b, "*", fqdn, after);
	return best ? best->vs : NULL;
}

/* Who speaks for a host, best first: each that only some namespaces see, up to the first that all
 * see. */
static void vs_for(const struct hr_build *b, const char *fqdn, vs_list *out)
{
	const struct hr_virtual_service *vs;

	while ((vs = next_vs(b, fqdn, out))) {
		hr_vec_push(out, vs);
		if (for_all(vs))
			return;
	}
}

/* ---- routes ---- */

/* The kernel waits for the first answer with the route's timeout, and keeps it back when it is one
 * to be tried again; only conditions that it cannot see need the agent from the start. */
static const struct hr_plan_retry *retry_of(struct hr_build *b, const struct hr_http_route *h)
{
	struct hr_plan_retry *r = hr_arena_new0(b->a, struct hr_plan_retry);

	hr_plan_retry(h, r);
	return r;
}

/* The kernel aborts a share of the requests by itself; it has no clock to delay them. */
static bool fault_needs_agent(const struct hr_http_route *h)
{
	const struct hr_fault *f = &h->fault;

	if (!f->set)
		return false;
	return f->delay_ms > 0 || f->abort_grpc || h->direct_response.set;
}

/* What the head of a reply takes at most, bytes (kern/replies.c writes it). */
#define REPLY_HEAD_MAX 128

static bool response_needs_agent(const struct hr_direct_response *d)
{
	return d->set && d->body_len > HR_REPLY_MAX - REPLY_HEAD_MAX;
}

static bool needs_agent(const struct hr_http_route *h)
{
	return fault_needs_agent(h) || response_needs_agent(&h->direct_response) ||
	       h->redirect.set || h->rewrite.set || h->delegate_name || h->route.len > HR_DST_MAX;
}

void hr_build_destinations(struct hr_build *b, struct hr_plan_route *r,
			   const struct hr_route_destination *dst, size_t n, uint16_t port)
{
	r->ndst = (uint32_t)n;
	r->dst = hr_arena_array(b->a, struct hr_plan_dst, n + 1);
	for (size_t i = 0; i < n; i++) {
		uint32_t weight = dst[i].weight >= 0 ? (uint32_t)dst[i].weight : n == 1 ? 100 : 0;

		r->dst[i] = (struct hr_plan_dst){
			.cluster =
				hr_build_cluster_of(b, &dst[i].destination, r->vs->meta.ns, port),
			.weight = weight,
			.model = &dst[i],
		};
		r->total += weight;
	}
}

static void add_mirrors(struct hr_build *b, struct hr_plan_route *r, uint16_t port)
{
	r->mirrors = hr_arena_array(b->a, struct hr_plan_mirror, r->http->mirrors.len + 1);
	for (size_t i = 0; i < r->http->mirrors.len; i++) {
		const struct hr_mirror *m = &r->http->mirrors.data[i];

		if (m->ppm > 0)
			r->mirrors[r->n_mirrors++] = (struct hr_plan_mirror){
				.cluster = hr_build_cluster_of(b, &m->destination, r->vs->meta.ns,
							       port),
				.ppm = m->ppm,
			};
	}
}

/* `match`: the entry that is counted by itself (statPrefix), HR_NONE: all others. */
static uint32_t add_route(struct hr_build *b, const struct hr_virtual_service *vs, uint32_t index,
			  uint32_t match, const struct hr_plan_vhost *v)
{
	const struct hr_http_route *h = &vs->http.data[index];
	const char *entry = match == HR_NONE ? "" : hr_arena_printf(b->a, ".match[%u]", match);
	struct hr_plan_route r = {
		.key = hr_arena_printf(b->a, "%s/%s/http[%u]%s@%s:%u", vs->meta.ns, vs->meta.name,
				       index, entry, v->host, v->port),
		.stat_prefix = match == HR_NONE ? NULL : h->match.data[match].stat_prefix,
		.vs = vs,
		.http = h,
		.index = index,
		.timeout = h->timeout > 0 ? h->timeout : -1,
		.retry = retry_of(b, h),
	};

	hr_build_destinations(b, &r, h->route.data, h->route.len, v->port);
	add_mirrors(b, &r, v->port);
	/* all weights 0: nobody to send it to, and no answer of the kernel says so */
	if (needs_agent(h) || r.retry->agent_only || !hr_build_edits(b, &r) || (r.ndst && !r.total))
		r.agent_why = HR_WHY_RULE;
	r.action = r.agent_why		    ? HR_ACT_AGENT
		   : h->direct_response.set ? HR_ACT_LOCAL
					    : HR_ACT_ROUTE;
	r.status = h->direct_response.set ? (uint16_t)h->direct_response.status : 0;
	hr_vec_push(&b->routes, r);
	return (uint32_t)b->routes.len - 1;
}

static uint32_t add_default_route(struct hr_build *b, const struct hr_plan_vhost *v)
{
	struct hr_plan_route r = {
		.key = hr_arena_printf(b->a, "default@%s:%u", v->host, v->port),
		.action = HR_ACT_ROUTE,
		.ndst = 1,
		.total = 100,
		.dst = hr_arena_new0(b->a, struct hr_plan_dst),
		.timeout = -1,
		.retry = retry_of(b, NULL),
	};

	r.dst[0] = (struct hr_plan_dst){.cluster = v->default_cluster, .weight = 100};
	hr_vec_push(&b->routes, r);
	return (uint32_t)b->routes.len - 1;
}

/* ---- rules ---- */

static bool on_this_port(const struct hr_http_match *m, uint16_t port)
{
	return (!m->port || m->port == port) && hr_speaks_for_mesh(&m->gateways);
}

/* Where those who see `vs` end: they do not see what comes after it. */
static uint32_t add_end_route(struct hr_build *b, const struct hr_virtual_service *vs,
			      const struct hr_plan_vhost *v)
{
	struct hr_plan_route r = {
		.key = hr_arena_printf(b->a, "%s/%s/end@%s:%u", vs->meta.ns, vs->meta.name, v->host,
				       v->port),
		.vs = vs,
		.action = HR_ACT_AGENT,
		.agent_why = HR_WHY_RULE,
		.timeout = -1,
	};

	hr_vec_push(&b->routes, r);
	return (uint32_t)b->routes.len - 1;
}

typedef HR_VEC(struct hr_plan_rule) rule_list;

static void add_rule(struct hr_build *b, rule_list *rules, uint32_t route, uint16_t match,
		     const struct hr_virtual_service *only, const struct hr_http_match *m)
{
	const struct hr_plan_route *r = &b->routes.data[route];
	struct hr_plan_rule rule = {
		.route = route,
		.match = match,
		.agent_why = only ? HR_WHY_RULE : r->agent_why,
		.only = only,
		.m = m,
	};
	struct hr_plan_rule cors = rule;

	if (r->http->cors.set && !rule.agent_why && !r->http->redirect.set &&
	    !r->http->direct_response.set) {
		cors.with_origin = true;
		cors.agent_why = HR_WHY_RULE;
		hr_vec_push(rules, cors);
	}
	hr_vec_push(rules, rule);
}

static void add_rules_of(struct hr_build *b, struct hr_plan_vhost *v,
			 const struct hr_virtual_service *vs, rule_list *rules)
{
	const struct hr_virtual_service *only = for_all(vs) ? NULL : vs;

	for (uint32_t i = 0; i < vs->http.len; i++) {
		const struct hr_http_route *h = &vs->http.data[i];
		uint32_t shared = HR_NONE;

		for (size_t k = 0; k < HR_MAX(h->match.len, (size_t)1); k++) {
			const struct hr_http_match *m = h->match.len ? &h->match.data[k] : NULL;
			bool own = m && m->stat_prefix && *m->stat_prefix;
			uint32_t route = shared;

			if (m && !on_this_port(m, v->port))
				continue;
			if (own || shared == HR_NONE)
				route = add_route(b, vs, i, own ? (uint32_t)k : HR_NONE, v);
			if (!own)
				shared = route;
			add_rule(b, rules, route, (uint16_t)k, only, m);
		}
	}
	if (only)
		hr_vec_push(rules, (struct hr_plan_rule){.route = add_end_route(b, vs, v),
							 .agent_why = HR_WHY_RULE,
							 .only = only,
							 .end = true});
}

static void build_rules(struct hr_build *b, struct hr_plan_vhost *v)
{
	rule_list rules = {0};
	vs_list speak = {0};

	vs_for(b, v->host, &speak);
	v->vs = speak.len ? speak.data[0] : NULL;
	for (size_t i = 0; i < speak.len; i++)
		add_rules_of(b, v, speak.data[i], &rules);
	if ((!speak.len || !for_all(speak.data[speak.len - 1])) && v->default_cluster != HR_NONE)
		hr_vec_push(&rules, (struct hr_plan_rule){.route = add_default_route(b, v)});
	hr_vec_free(&speak);
	v->nrules = (uint32_t)rules.len;
	v->rules = hr_arena_array(b->a, struct hr_plan_rule, rules.len + 1);
	if (rules.len)
		memcpy(v->rules, rules.data, rules.len * sizeof(*rules.data));
	hr_vec_free(&rules);
}

/* ---- virtual hosts ---- */

typedef HR_VEC(const char *) name_vec;

static void claim_name(struct hr_build *b, struct hr_map *taken, name_vec *names, uint16_t port,
		       const char *name)
{
	const char *key = hr_arena_printf(b->a, "%u/%s", port, name);

	if (hr_map_gets(taken, key))
		return;
	hr_map_puts(taken, key, (void *)1);
	hr_vec_push(names, name);
}

/* A short name that several namespaces have belongs to none: without knowing who asks, the address
 * that was connected to says better which service is meant (hr_plan_match). */
static bool short_name_is_unique(const struct hr_build *b, const struct hr_svc *s)
{
	return hr_map_gets(b->svc_by_short, s->name) == s;
}

static void names_of(struct hr_build *b, const struct hr_svc *s, struct hr_map *taken,
		     uint16_t port, name_vec *out)
{
	char text[HR_ADDR_TEXT];

	claim_name(b, taken, out, port, s->fqdn);
	if (s->name) {
		claim_name(b, taken, out, port, hr_arena_printf(b->a, "%s.%s.svc", s->name, s->ns));
		claim_name(b, taken, out, port, hr_arena_printf(b->a, "%s.%s", s->name, s->ns));
		if (short_name_is_unique(b, s))
			claim_name(b, taken, out, port, s->name);
	}
	for (size_t i = 0; i < s->vips.len; i++)
		claim_name(b, taken, out, port,
			   hr_arena_printf(b->a, hr_addr_is4(&s->vips.data[i]) ? "%s" : "[%s]",
					   hr_addr_text(&s->vips.data[i], text)));
}

static void add_vhost(struct hr_build *b, struct hr_plan_vhost v, name_vec *names)
{
	v.nnames = (uint16_t)names->len;
	v.names = hr_arena_array(b->a, const char *, names->len + 1);
	if (names->len)
		memcpy(v.names, names->data, names->len * sizeof(*names->data));
	names->len = 0;
	build_rules(b, &v);
	hr_vec_push(&b->vhosts, v);
	hr_map_puts(b->vhost_by_host, hr_arena_printf(b->a, "%u/%s", v.port, v.host),
		    (void *)b->vhosts.len);
	if (*v.host == '*')
		b->wildcard_on[v.port] = true;
}

static bool is_http(const struct hr_port *p)
{
	return !p->udp && hr_port_proto(p) != HR_PROTO_TCP;
}

static void vhosts_of_service(struct hr_build *b, const struct hr_svc *s, struct hr_map *taken)
{
	name_vec names = {0};

	for (size_t p = 0; p < s->ports->len && hr_svc_has_place(s); p++) {
		uint16_t port = (uint16_t)s->ports->data[p].number;
		uint32_t service = hr_build_cluster_named(b, s->fqdn, port, "");

		if (!is_http(&s->ports->data[p]))
			continue;
		names_of(b, s, taken, port, &names);
		add_vhost(b,
			  (struct hr_plan_vhost){
				  .host = s->fqdn,
				  .port = port,
				  .service = service,
				  .default_cluster = service,
			  },
			  &names);
	}
	hr_vec_free(&names);
}

/* Hosts of VirtualServices that are no service of the registry, and wildcards: they exist on every
 * HTTP port that the mesh listens on. */
static void vhosts_of_names(struct hr_build *b, struct hr_map *taken, const uint16_t *ports,
			    size_t nports)
{
	name_vec names = {0};

	for (size_t i = 0; i < b->vs_hosts.len * nports; i++) {
		const char *host = b->vs_hosts.data[i / nports].host;

		if (hr_map_gets(b->svc_by_fqdn, host))
			continue;
		claim_name(b, taken, &names, ports[i % nports], host);
		if (!names.len)
			continue;
		add_vhost(b,
			  (struct hr_plan_vhost){
				  .host = host,
				  .port = ports[i % nports],
				  .service = HR_NONE,
				  .default_cluster = HR_NONE,
			  },
			  &names);
	}
	hr_vec_free(&names);
}

static struct hr_connect_view view_of(const struct hr_build *b)
{
	return (struct hr_connect_view){b->routes.data, b->clusters.data, b->eps.data};
}

int hr_build_vhosts(struct hr_build *b)
{
	_cleanup_map_ struct hr_map *taken = hr_map_new();
	HR_VEC(uint16_t) ports = {0};
	bool *seen = hr_arena_array(b->a, bool, 65536);
	int r = 0;

	for (size_t i = 0; i < b->svcs.len; i++)
		vhosts_of_service(b, b->svcs.data[i], taken);
	for (size_t i = 0; i < b->vhosts.len; i++) {
		uint16_t port = b->vhosts.data[i].port;

		if (!seen[port])
			hr_vec_push(&ports, port);
		seen[port] = true;
	}
	if (ports.len)
		vhosts_of_names(b, taken, ports.data, ports.len);
	hr_vec_free(&ports);
	for (size_t i = 0; i < b->vhosts.len && !r; i++) {
		const struct hr_connect_view view = view_of(b);
		struct hr_plan_vhost *v = &b->vhosts.data[i];

		v->default_cluster = hr_connect_default(&view, v, v->service);
		r = hr_build_rows(b, v);
	}
	return r;
}

/* ---- addresses ---- */

static uint32_t vhost_of(struct hr_build *b, const struct hr_svc *s, uint16_t port)
{
	uintptr_t i = (uintptr_t)hr_map_gets(b->vhost_by_host,
					     hr_arena_printf(b->a, "%u/%s", port, s->fqdn));

	return i ? (uint32_t)i - 1 : HR_NONE;
}

/* HR_VIP_NEAR_*: how its connections to servers of the client's own node go. */
static uint8_t same_node_flags(const struct hr_build *b, const struct hr_svc *s,
			       const struct hr_port *p)
{
	const struct hr_meta *m = s->se ? &s->se->meta : &s->k8s->meta;
	bool named, http = hr_port_proto(p) == HR_PROTO_HTTP1 || hr_port_proto(p) == HR_PROTO_HTTP2;

	switch (hr_same_node_of(m, p, &named)) {
	case HR_SAME_NODE_OFF:
		return HR_VIP_NEAR_OFF;
	case HR_SAME_NODE_TCP:
		if (http && named)
			hr_diag_add(b->diags, HR_SEV_WARNING, hr_same_node_kv(m)->pos, "no-effect",
				    m, "metadata.annotations[\"" HR_SAME_NODE "\"]",
				    "port %u speaks HTTP: it is read, and skips TCP without this",
				    p->number);
		return http ? 0 : HR_VIP_NEAR_TCP;
	default:
		return 0;
	}
}

static void vips_of_port(struct hr_build *b, const struct hr_svc *s, const struct hr_port *p)
{
	uint16_t port = (uint16_t)p->number;
	uint32_t service = hr_build_cluster_named(b, s->fqdn, port, "");
	const struct hr_connect_view view = view_of(b);
	struct hr_plan_vip vip = {
		.port = port,
		.proto = (uint8_t)hr_port_proto(p),
		.vhost = is_http(p) ? vhost_of(b, s, port) : HR_NONE,
		.cluster = service,
		.split = HR_NONE,
		.host = s->fqdn,
	};

	if (vip.proto == HR_PROTO_HTTP2 || (vip.proto != HR_PROTO_HTTP1 && service != HR_NONE &&
					    b->clusters.data[service].opaque_limits))
		vip.flags |= HR_VIP_AGENT;
	if (b->wildcard_on[port])
		vip.flags |= HR_VIP_WILDCARD;
	vip.flags |= same_node_flags(b, s, p);
	for (size_t i = 0; i < s->vips.len; i++) {
		vip.addr = s->vips.data[i];
		if (vip.vhost != HR_NONE)
			vip.cluster = hr_connect_cluster(&view, &b->vhosts.data[vip.vhost], service,
							 hr_addr_is4(&vip.addr));
		hr_build_l4(b, s, p, &vip);
		hr_vec_push(&b->vips, vip);
	}
}

static bool has_family(const struct hr_svc *s, bool v4)
{
	for (size_t p = 0; p < s->eps.len; p++)
		for (size_t i = 0; i < s->eps.data[p].len; i++)
			if (hr_addr_is4(&s->eps.data[p].data[i].addr) == v4)
				return true;
	return false;
}

/* Addresses that the name is answered with. An address that we made up is only given for a family
 * that some endpoint has: clients that prefer IPv6 would otherwise all need the agent to cross. */
struct hr_plan_name hr_build_name(const struct hr_svc *s)
{
	struct hr_plan_name n = {
		.name = s->fqdn,
		.naddrs = (uint32_t)s->vips.len,
		.addrs = s->vips.data,
		.ns = s->ns,
	};
	bool v4 = has_family(s, true), v6 = has_family(s, false);

	if (s->auto_vips && v4 != v6) {
		n.naddrs = 1;
		n.addrs += v6;
	}
	return n;
}

void hr_build_vips(struct hr_build *b)
{
	for (size_t i = 0; i < b->svcs.len; i++) {
		struct hr_svc *s = b->svcs.data[i];

		for (size_t p = 0; p < s->ports->len; p++)
			if (!s->ports->data[p].udp)
				vips_of_port(b, s, &s->ports->data[p]);
		s->plan_name = HR_NONE;
		if (!hr_svc_has_place(s))
			continue;
		s->plan_name = (uint32_t)b->names.len;
		hr_vec_push(&b->names, hr_build_name(s));
	}
}
