// SPDX-License-Identifier: Apache-2.0
/*
 * Look-ups that the steps of the compiler share, made once: which objects speak for a host, which
 * slices for a service, where a node is. Without them a build costs services times rules.
 */
#include <string.h>

#include "model/hosts.h"
#include "plan/compile/compile.h"

/* ---- chains: key -> indexes of a list, in the list's order ---- */

void hr_chain_init(struct hr_build *b, struct hr_chain *c, size_t n)
{
	c->first = hr_map_new();
	c->last = hr_map_new();
	c->next = hr_arena_array(b->a, uint32_t, n + 1);
}

void hr_chain_free(struct hr_chain *c)
{
	hr_map_free(c->first);
	hr_map_free(c->last);
}

void hr_chain_add(struct hr_chain *c, const char *key, uint32_t i)
{
	uintptr_t last = (uintptr_t)hr_map_puts(c->last, key, (void *)((uintptr_t)i + 1));

	if (last)
		c->next[last - 1] = i + 1;
	else
		hr_map_puts(c->first, key, (void *)((uintptr_t)i + 1));
}

uint32_t hr_chain_first(const struct hr_chain *c, const char *key)
{
	uintptr_t i = (uintptr_t)hr_map_gets(c->first, key);

	return i ? (uint32_t)i - 1 : HR_NONE;
}

uint32_t hr_chain_next(const struct hr_chain *c, uint32_t i)
{
	return c->next[i] ? c->next[i] - 1 : HR_NONE;
}

/* ---- rules by host ---- */

const char *hr_build_fqdn(struct hr_build *b, const char *host, const char *ns)
{
	return hr_host_fqdn_known(b->a, host, ns, b->opts->cluster_domain, b->svc_by_fqdn);
}

bool hr_speaks_for_mesh(const hr_strs *gateways)
{
	for (size_t i = 0; i < gateways->len; i++)
		if (hr_streq(gateways->data[i], "mesh"))
			return true;
	return !gateways->len;
}

bool hr_export_holds(const hr_strs *export_to, const char *own_ns, const char *ns)
{
	for (size_t i = 0; i < export_to->len; i++) {
		const char *to = export_to->data[i];

		if (hr_streq(to, "*") || (ns && hr_streq(hr_streq(to, ".") ? own_ns : to, ns)))
			return true;
	}
	return !export_to->len;
}

bool hr_exported_to(const struct hr_virtual_service *vs, const char *ns)
{
	return hr_export_holds(&vs->export_to, vs->meta.ns, ns);
}

static void index_delegates(struct hr_build *b)
{
	for (size_t i = 0; i < b->o->virtual_services.len; i++) {
		struct hr_virtual_service *vs = b->o->virtual_services.data[i];

		if (!vs->hosts.len)
			hr_map_puts(b->delegates,
				    hr_arena_printf(b->a, "%s/%s", vs->meta.ns, vs->meta.name), vs);
	}
}

/* TLS and TCP routes: nothing of them is delegated. */
static void index_l4(struct hr_build *b, size_t n)
{
	b->l4_hosts.data = hr_arena_array(b->a, struct hr_vs_host, n + 1);
	hr_chain_init(b, &b->l4_by_host, n);
	for (size_t i = 0; i < b->o->virtual_services.len; i++) {
		const struct hr_virtual_service *vs = b->o->virtual_services.data[i];

		if (!hr_speaks_for_mesh(&vs->gateways) || (!vs->tls.len && !vs->tcp.len))
			continue;
		for (size_t h = 0; h < vs->hosts.len; h++) {
			struct hr_vs_host *e = &b->l4_hosts.data[b->l4_hosts.len];

			e->vs = vs;
			e->host = hr_build_fqdn(b, vs->hosts.data[h], vs->meta.ns);
			hr_chain_add(&b->l4_by_host, *e->host == '*' ? "*" : e->host,
				     (uint32_t)b->l4_hosts.len++);
		}
	}
}

static void index_virtual_services(struct hr_build *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->o->virtual_services.len; i++)
		n += b->o->virtual_services.data[i]->hosts.len;
	b->vs_hosts.data = hr_arena_array(b->a, struct hr_vs_host, n + 1);
	hr_chain_init(b, &b->vs_by_host, n);
	index_l4(b, n);
	for (size_t i = 0; i < b->o->virtual_services.len; i++) {
		const struct hr_virtual_service *vs = b->o->virtual_services.data[i];

		if (!hr_speaks_for_mesh(&vs->gateways) || !vs->http.len || !vs->hosts.len)
			continue;
		vs = hr_build_delegated(b, vs);
		for (size_t h = 0; h < vs->hosts.len; h++) {
			struct hr_vs_host *e = &b->vs_hosts.data[b->vs_hosts.len];

			e->vs = vs;
			e->host = hr_build_fqdn(b, vs->hosts.data[h], vs->meta.ns);
			hr_chain_add(&b->vs_by_host, *e->host == '*' ? "*" : e->host,
				     (uint32_t)b->vs_hosts.len++);
		}
	}
}

static void index_destination_rules(struct hr_build *b)
{
	size_t n = b->o->destination_rules.len;

	b->dr_hosts = hr_arena_array(b->a, const char *, n + 1);
	hr_chain_init(b, &b->dr_by_host, n);
	for (size_t i = 0; i < n; i++) {
		const struct hr_destination_rule *r = b->o->destination_rules.data[i];

		b->dr_hosts[i] = hr_build_fqdn(b, r->host, r->meta.ns);
		hr_chain_add(&b->dr_by_host, *b->dr_hosts[i] == '*' ? "*" : b->dr_hosts[i],
			     (uint32_t)i);
	}
}

void hr_build_rule_lookups(struct hr_build *b)
{
	index_delegates(b);
	index_virtual_services(b);
	index_destination_rules(b);
}

/* ---- where things run ---- */

static const char *locality_of(const struct hr_build *b, const struct hr_meta *node)
{
	const char *region = NULL, *zone = NULL, *sub = NULL;

	for (size_t k = 0; k < node->labels.len; k++) {
		const struct hr_kv *kv = &node->labels.data[k];

		if (hr_streq(kv->key, "topology.kubernetes.io/region") ||
		    (!region && hr_streq(kv->key, "failure-domain.beta.kubernetes.io/region")))
			region = kv->value;
		else if (hr_streq(kv->key, "topology.kubernetes.io/zone") ||
			 (!zone && hr_streq(kv->key, "failure-domain.beta.kubernetes.io/zone")))
			zone = kv->value;
		else if (hr_streq(kv->key, "topology.istio.io/subzone"))
			sub = kv->value;
	}
	if (!region && !zone)
		return "";
	region = region ? region : "";
	return hr_arena_printf(b->a, "%s%s%s%s%s", region, zone ? "/" : "", zone ? zone : "",
			       zone && sub ? "/" : "", zone && sub ? sub : "");
}

const char *hr_build_node_locality(const struct hr_build *b, const char *node)
{
	const char *known = node ? hr_map_gets(b->locality_by_node, node) : NULL;
	const struct hr_meta *m;

	if (known || !node)
		return known ? known : "";
	m = hr_objects_find(b->o, (struct hr_object_key){HR_KIND_NODE, "", node});
	known = m ? locality_of(b, m) : "";
	hr_map_puts(b->locality_by_node, node, (void *)known);
	return known;
}

const struct hr_pod *hr_build_pod(const struct hr_build *b, const char *ns, const char *name)
{
	return (const struct hr_pod *)hr_objects_find(
		b->o, (struct hr_object_key){HR_KIND_POD, ns, name});
}

void hr_build_place_lookups(struct hr_build *b)
{
	for (size_t i = 0; i < b->o->pods.len; i++) {
		struct hr_pod *p = b->o->pods.data[i];

		for (size_t k = 0; !p->host_network && k < p->ips.len; k++)
			hr_map_put(b->pod_by_addr, &p->ips.data[k], sizeof(p->ips.data[k]), p);
	}
	hr_chain_init(b, &b->slices_by_service, b->o->slices.len);
	for (size_t i = 0; i < b->o->slices.len; i++) {
		const struct hr_endpoint_slice *sl = b->o->slices.data[i];

		if (sl->service)
			hr_chain_add(&b->slices_by_service,
				     hr_arena_printf(b->a, "%s/%s", sl->meta.ns, sl->service),
				     (uint32_t)i);
	}
}
