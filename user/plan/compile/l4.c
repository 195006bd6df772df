// SPDX-License-Identifier: Apache-2.0
/*
 * TLS and TCP routes of VirtualServices: which of them each address and port can meet, and which
 * speaks for a connection.
 *
 * As in Istio, TLS routes are for ports that speak TLS (https*, tls*) and TCP routes for all others
 * that are not HTTP; what can be known of the address and port is decided here, once. Where several
 * match, the order is that of the filter chains which Istio makes of them: the longest destination
 * subnet, then the most specific server name, then the order in which they are written; a TCP route
 * for every destination ends the list.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "model/hosts.h"
#include "plan/compile/compile.h"

/* ---- which VirtualServices ---- */

typedef HR_VEC(const struct hr_virtual_service *) vs_list;

static void add_speaker(vs_list *out, const struct hr_virtual_service *vs)
{
	for (size_t i = 0; i < out->len; i++)
		if (out->data[i] == vs)
			return;
	hr_vec_push(out, vs);
}

/* The oldest first; objects are in (namespace, name) order already. */
static int age_cmp(const void *a, const void *b)
{
	const struct hr_virtual_service *x = *(const struct hr_virtual_service *const *)a,
					*y = *(const struct hr_virtual_service *const *)b;
	int64_t m = x->meta.created_ms ? x->meta.created_ms : INT64_MAX,
		n = y->meta.created_ms ? y->meta.created_ms : INT64_MAX;
	int d = strcmp(x->meta.ns, y->meta.ns);

	if (m != n)
		return m < n ? -1 : 1;
	return d ? d : strcmp(x->meta.name, y->meta.name);
}

/* All that speak for the host, not only the one with the most specific name. */
static void speakers(const struct hr_build *b, const char *fqdn, vs_list *out)
{
	const char *const keys[] = {fqdn, "*"};

	for (size_t k = 0; k < HR_ARRAY_SIZE(keys); k++)
		for (uint32_t i = hr_chain_first(&b->l4_by_host, keys[k]); i != HR_NONE;
		     i = hr_chain_next(&b->l4_by_host, i)) {
			const struct hr_vs_host *e = &b->l4_hosts.data[i];

			if (!k || hr_host_matches(e->host, fqdn))
				add_speaker(out, e->vs);
		}
	if (out->len > 1)
		qsort(out->data, out->len, sizeof(*out->data), age_cmp);
}

/* ---- what an address and port can meet ---- */

/* Bits of the longest subnet that holds the address; 0: none was written; -1: none of them. */
static int subnet_of(const hr_strs *subnets, const struct hr_addr *addr)
{
	int best = subnets->len ? -1 : 0;

	for (size_t i = 0; i < subnets->len; i++) {
		struct hr_addr block;
		unsigned bits;

		if (!hr_cidr_parse(subnets->data[i], &block, &bits) &&
		    hr_cidr_holds(&block, bits, addr) && (int)bits > best)
			best = (int)bits;
	}
	return best;
}

/* The route is shared by the addresses of the port. */
static uint32_t route_of(struct hr_build *b, const struct hr_virtual_service *vs,
			 const struct hr_l4_route *l4, const char *list, uint32_t index,
			 const struct hr_plan_vip *vip)
{
	const char *key = hr_arena_printf(b->a, "%s/%s/%s[%u]@%s:%u", vs->meta.ns, vs->meta.name,
					  list, index, vip->host, vip->port);
	struct hr_plan_route r = {.key = key,
				  .vs = vs,
				  .l4 = l4,
				  .index = index,
				  .action = HR_ACT_ROUTE,
				  .timeout = -1};

	uintptr_t known = (uintptr_t)hr_map_gets(b->l4_route_by_key, key);

	if (known)
		return (uint32_t)known - 1;
	hr_build_destinations(b, &r, l4->route.data, l4->route.len, vip->port);
	hr_vec_push(&b->routes, r);
	hr_map_puts(b->l4_route_by_key, key, (void *)b->routes.len);
	return (uint32_t)b->routes.len - 1;
}

struct search {
	struct hr_build *b;
	const struct hr_virtual_service *vs;
	struct hr_plan_vip *vip;
};

static void add_match(struct search *s, uint32_t route, uint16_t match, const struct hr_l4_match *m)
{
	int subnet = m ? subnet_of(&m->destination_subnets, &s->vip->addr) : 0;
	struct hr_plan_l4 e;

	if (subnet < 0 ||
	    (m && ((m->port && m->port != s->vip->port) || !hr_speaks_for_mesh(&m->gateways))))
		return;
	e = (struct hr_plan_l4){
		.route = route,
		.match = match,
		.subnet = (uint16_t)subnet,
		.m = m,
		.only = hr_exported_to(s->vs, NULL) ? NULL : s->vs,
	};
	if (m && m->source_subnet && hr_cidr_parse(m->source_subnet, &e.source, &e.source_bits))
		return; /* no address is in it: the decoder has refused it */
	hr_vec_push(&s->b->l4, e);
}

static void add_routes(struct search *s)
{
	const struct hr_virtual_service *vs = s->vs;
	const char *list = s->vip->tls ? "tls" : "tcp";
	const struct hr_l4_route *routes = s->vip->tls ? vs->tls.data : vs->tcp.data;
	size_t n = s->vip->tls ? vs->tls.len : vs->tcp.len;

	for (size_t i = 0; i < n; i++) {
		uint32_t route = route_of(s->b, vs, &routes[i], list, (uint32_t)i, s->vip);

		if (!routes[i].match.len)
			add_match(s, route, 0, NULL);
		for (size_t k = 0; k < routes[i].match.len; k++)
			add_match(s, route, (uint16_t)k, &routes[i].match.data[k]);
	}
}

static bool asks_source(const struct hr_plan_l4 *e)
{
	return e->only ||
	       (e->m && (e->m->source_labels.len || e->m->source_namespace || e->m->source_subnet));
}

/* A destination whose connections are counted or timed (hr_plan_cluster.opaque_limits). */
static bool has_limits(const struct hr_build *b, const struct hr_plan_route *r)
{
	for (uint32_t i = 0; i < r->ndst; i++)
		if (b->clusters.data[r->dst[i].cluster].opaque_limits)
			return true;
	return false;
}

/* Can connect() decide? Only if nothing that is asked before the answer depends on the source. */
static void decide_early(struct hr_build *b, struct hr_plan_vip *vip)
{
	const struct hr_plan_l4 *e = &b->l4.data[vip->first_l4], *best = NULL;
	bool source = false, over = false;

	for (uint32_t i = 0; i < vip->n_l4; i++) {
		b->plan->asks_labels |= e[i].m && e[i].m->source_labels.len;
		if (over)
			continue;
		source |= asks_source(&e[i]);
		if (!best || e[i].subnet > best->subnet)
			best = &e[i];
		over = !e[i].subnet;
	}
	if (vip->tls || vip->proto != HR_PROTO_TCP || source ||
	    has_limits(b, &b->routes.data[best->route]) ||
	    b->routes.data[best->route].ndst > HR_DST_MAX || !b->routes.data[best->route].total)
		vip->flags |= HR_VIP_AGENT;
	else
		vip->split = best->route;
}

static void say_unmet(const struct hr_build *b, const struct hr_virtual_service *vs,
		      const struct hr_l4_match *m, const char *list, const char *why)
{
	char field[32];

	snprintf(field, sizeof(field), "spec.%s", list);
	hr_diag_add(b->diags, HR_SEV_WARNING, m->pos, "never-reached", &vs->meta, field,
		    "port %u %s: no connection meets this route", m->port, why);
}

static void say_unmet_in(const struct hr_build *b, const struct hr_virtual_service *vs,
			 const struct hr_plan_vip *vip, const char *list, const char *why)
{
	bool tls = hr_streq(list, "tls");
	const struct hr_l4_route *routes = tls ? vs->tls.data : vs->tcp.data;
	size_t n = tls ? vs->tls.len : vs->tcp.len;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < routes[i].match.len; k++)
			if (routes[i].match.data[k].port == vip->port)
				say_unmet(b, vs, &routes[i].match.data[k], list, why);
}

/* Routes that name a port which does not speak what they are for; Istio says nothing. */
static void say_wrong_kind(const struct hr_build *b, const struct hr_virtual_service *vs,
			   const struct hr_plan_vip *vip)
{
	if (!vip->tls)
		say_unmet_in(b, vs, vip, "tls",
			     "does not speak TLS (name it https-... or tls-...)");
	if (vip->tls)
		say_unmet_in(b, vs, vip, "tcp", "speaks TLS (use tls routes)");
	else if (vip->proto == HR_PROTO_HTTP1 || vip->proto == HR_PROTO_HTTP2)
		say_unmet_in(b, vs, vip, "tcp", "speaks HTTP (use http routes)");
}

void hr_build_l4(struct hr_build *b, const struct hr_svc *s, const struct hr_port *p,
		 struct hr_plan_vip *vip)
{
	vs_list speak = {0};

	vip->first_l4 = (uint32_t)b->l4.len;
	vip->n_l4 = 0;
	vip->tls = hr_port_is_tls(p);
	speakers(b, s->fqdn, &speak);
	for (size_t i = 0; i < speak.len && hr_addr_eq(&vip->addr, &s->vips.data[0]); i++)
		say_wrong_kind(b, speak.data[i], vip);
	if (vip->proto != HR_PROTO_TCP && vip->proto != HR_PROTO_AUTO)
		speak.len = 0;
	for (size_t i = 0; i < speak.len; i++)
		add_routes(&(struct search){b, speak.data[i], vip});
	hr_vec_free(&speak);
	vip->n_l4 = (uint32_t)b->l4.len - vip->first_l4;
	vip->tls = vip->tls && vip->n_l4;
	if (!vip->n_l4)
		return;
	decide_early(b, vip);
}

/* ---- which of them speaks for a connection ---- */

/* The most specific of its names that the connection asks for; NULL: none. */
static const char *sni_of(const hr_strs *hosts, struct hr_slice sni)
{
	const char *best = NULL;
	char name[HR_SNI_MAX + 1];

	if (!sni.n || sni.n > HR_SNI_MAX)
		return NULL;
	memcpy(name, sni.p, sni.n);
	name[sni.n] = '\0';
	for (size_t i = 0; i < hosts->len; i++)
		if ((hr_streq(hosts->data[i], name) || hr_host_matches(hosts->data[i], name)) &&
		    (!best || hr_host_specificity_cmp(hosts->data[i], best) > 0))
			best = hosts->data[i];
	return best;
}

static bool source_holds(const struct hr_plan_l4 *e, const struct hr_plan_conn *c)
{
	const struct hr_l4_match *m = e->m;

	if (e->only && !hr_exported_to(e->only, c->source_ns))
		return false;
	if (!m)
		return true;
	if (m->source_namespace && !hr_streq(m->source_namespace, c->source_ns))
		return false;
	if (m->source_subnet &&
	    !(c->src_known && hr_cidr_holds(&e->source, e->source_bits, &c->src)))
		return false;
	return hr_labels_match(&m->source_labels, c->source_labels);
}

/* The longest subnet; the first that names none is the last that is asked. */
static const struct hr_plan_l4 *match_tcp(const struct hr_plan_l4 *e, uint32_t n,
					  const struct hr_plan_conn *c)
{
	const struct hr_plan_l4 *best = NULL;

	for (uint32_t i = 0; i < n; i++) {
		if (!source_holds(&e[i], c))
			continue;
		if (!best || e[i].subnet > best->subnet)
			best = &e[i];
		if (!e[i].subnet)
			break;
	}
	return best;
}

/* The longest subnet, then the most specific server name. */
static const struct hr_plan_l4 *match_tls(const struct hr_plan_l4 *e, uint32_t n,
					  const struct hr_plan_conn *c)
{
	const struct hr_plan_l4 *best = NULL;
	const char *best_sni = NULL;

	for (uint32_t i = 0; i < n; i++) {
		const char *sni = e[i].m ? sni_of(&e[i].m->sni_hosts, c->sni) : NULL;

		if (!sni || !source_holds(&e[i], c) || (best && e[i].subnet < best->subnet))
			continue;
		if (best && e[i].subnet == best->subnet &&
		    hr_host_specificity_cmp(sni, best_sni) <= 0)
			continue;
		best = &e[i];
		best_sni = sni;
	}
	return best;
}

const struct hr_plan_l4 *hr_plan_l4_match(const struct hr_plan *p, const struct hr_plan_vip *vip,
					  const struct hr_plan_conn *c)
{
	const struct hr_plan_l4 *e = p->l4.data + vip->first_l4;

	return vip->tls ? match_tls(e, vip->n_l4, c) : match_tcp(e, vip->n_l4, c);
}
