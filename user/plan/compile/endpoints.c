// SPDX-License-Identifier: Apache-2.0
/*
 * Endpoints of a service port: EndpointSlices (or Endpoints), else ready Pods that the selector
 * selects; ServiceEntry endpoints and the WorkloadEntries its selector selects. Labels, which
 * choose the subset, come from the Pod or WorkloadEntry behind the address.
 */
#include <stdlib.h>
#include <string.h>

#include "core/net.h"
#include "plan/compile/compile.h"

typedef HR_VEC(struct hr_plan_ep) ep_vec;

int hr_build_ep_cmp(const void *a, const void *b)
{
	const struct hr_plan_ep *x = a, *y = b;
	bool x4 = hr_addr_is4(&x->addr), y4 = hr_addr_is4(&y->addr);
	int d;

	if (x4 != y4)
		return x4 ? -1 : 1;
	d = memcmp(&x->addr, &y->addr, sizeof(x->addr));
	return d ? d : (int)x->port - (int)y->port;
}

/* Sorted, each address once (an endpoint may stand in two slices while one replaces the other). */
static void keep(struct hr_build *b, ep_vec *v, struct hr_svc_eps *out, uint32_t draining)
{
	size_t n = 0;

	if (v->len)
		qsort(v->data, v->len, sizeof(*v->data), hr_build_ep_cmp);
	for (size_t i = 0; i < v->len; i++)
		if (!n || hr_build_ep_cmp(&v->data[n - 1], &v->data[i]))
			v->data[n++] = v->data[i];
	out->data = hr_arena_array(b->a, struct hr_plan_ep, n ? n : 1);
	if (n)
		memcpy(out->data, v->data, n * sizeof(*v->data));
	out->len = n;
	out->draining = draining;
	hr_vec_free(v);
}

/* A label that stands for the node's: "region.zone.subzone" (Istio). */
static const char *pod_locality(const struct hr_build *b, const struct hr_pod *pod,
				const char *node)
{
	for (size_t i = 0; pod && i < pod->meta.labels.len; i++) {
		const struct hr_kv *kv = &pod->meta.labels.data[i];

		if (hr_streq(kv->key, "istio-locality") && kv->value && *kv->value) {
			char *l = hr_arena_strdup(b->a, kv->value);

			for (char *c = l; *c; c++)
				*c = *c == '.' ? '/' : *c;
			return l;
		}
	}
	return hr_build_node_locality(b, node);
}

static struct hr_plan_ep pod_ep(const struct hr_build *b, const struct hr_pod *pod,
				const struct hr_addr *addr, uint16_t port, const char *node)
{
	struct hr_plan_ep ep = {.addr = *addr, .port = port, .weight = 1, .workload = ""};

	if (pod) {
		ep.labels = &pod->meta.labels;
		ep.workload = hr_arena_printf(b->a, "%s/%s", pod->meta.ns, pod->meta.name);
	}
	ep.node = node ? node : pod && pod->node ? pod->node : "";
	ep.locality = pod_locality(b, pod, ep.node);
	return ep;
}

static const struct hr_port *slice_port(const struct hr_endpoint_slice *sl, const struct hr_port *p)
{
	for (size_t i = 0; i < sl->ports.len; i++)
		if (hr_streq(sl->ports.data[i].name ? sl->ports.data[i].name : "",
			     p->name ? p->name : ""))
			return &sl->ports.data[i];
	return sl->ports.len == 1 && (!sl->ports.data[0].name || !*sl->ports.data[0].name)
		       ? &sl->ports.data[0]
		       : NULL;
}

/* Those that are ready, or (`leaving`) those that are terminating and still serve: they are used
 * when there is no other. Gives how many slices speak of the service, with or without endpoints. */
static size_t from_slices(struct hr_build *b, const struct hr_svc *s, const struct hr_port *p,
			  bool leaving, ep_vec *v, uint32_t *draining)
{
	const char *key = hr_arena_printf(b->a, "%s/%s", s->ns, s->name);
	size_t slices = 0;

	for (uint32_t i = hr_chain_first(&b->slices_by_service, key); i != HR_NONE;
	     i = hr_chain_next(&b->slices_by_service, i)) {
		const struct hr_endpoint_slice *sl = b->o->slices.data[i];
		const struct hr_port *sp;

		slices++;
		sp = slice_port(sl, p);
		for (size_t k = 0; sp && k < sl->endpoints.len; k++) {
			const struct hr_endpoint *e = &sl->endpoints.data[k];
			const struct hr_pod *pod = NULL;

			if ((!e->ready || e->terminating) != leaving) {
				(*draining)++;
				continue;
			}
			/* not ready any more, but still at work (Kubernetes' rule) */
			if (leaving && !(e->serving && e->terminating))
				continue;
			if (e->pod_name)
				pod = hr_build_pod(b, e->pod_ns ? e->pod_ns : s->ns, e->pod_name);
			if (!pod)
				pod = hr_map_get(b->pod_by_addr, &e->addr, sizeof(e->addr));
			hr_vec_push(v, pod_ep(b, pod, &e->addr, (uint16_t)sp->number, e->node));
			/* what the slice says is enough to tell zones apart */
			if (e->zone && *e->zone && !*v->data[v->len - 1].locality)
				v->data[v->len - 1].locality =
					hr_arena_printf(b->a, "/%s", e->zone);
		}
	}
	return slices;
}

static uint16_t pod_port(const struct hr_pod *pod, const struct hr_port *p)
{
	for (size_t i = 0; p->target_name && i < pod->ports.len; i++)
		if (hr_streq(pod->ports.data[i].name, p->target_name))
			return (uint16_t)pod->ports.data[i].number;
	if (p->target_name)
		return 0;
	return (uint16_t)(p->target_port ? p->target_port : p->number);
}

static void from_pods(struct hr_build *b, const char *ns, const hr_kvs *selector,
		      bool not_ready_too, const struct hr_port *p, ep_vec *v, uint32_t *draining)
{
	size_t n, first = hr_objects_in_ns(b->o, HR_KIND_POD, ns, &n);

	for (size_t i = first; selector->len && i < first + n; i++) {
		const struct hr_pod *pod = b->o->pods.data[i];
		uint16_t port;

		if (!hr_labels_match(selector, &pod->meta.labels))
			continue;
		port = pod_port(pod, p);
		if (!port)
			continue;
		if ((!pod->ready && !not_ready_too) || pod->terminating) {
			(*draining)++;
			continue;
		}
		for (size_t k = 0; k < pod->ips.len; k++)
			hr_vec_push(v, pod_ep(b, pod, &pod->ips.data[k], port, NULL));
	}
}

static void from_entry(struct hr_build *b, const struct hr_svc *s,
		       const struct hr_workload_entry *we, const struct hr_port *p, ep_vec *v)
{
	struct hr_plan_ep ep = {
		.port = (uint16_t)(p->target_port ? p->target_port : p->number),
		.weight = we->weight < 0 ? 1 : (uint32_t)we->weight,
		.workload = "",
		.locality = we->locality ? we->locality : "",
		.node = "",
		.labels = &we->labels,
	};

	if (!we->address || hr_addr_parse(we->address, &ep.addr)) {
		hr_diag_add(b->diags, HR_SEV_ERROR, we->pos, "not-built", &s->se->meta,
			    "spec.endpoints",
			    "endpoint address \"%s\" is a name: resolution of endpoints by DNS is "
			    "not built yet; give an IP address",
			    we->address ? we->address : "");
		return;
	}
	for (size_t i = 0; i < we->ports.len; i++)
		if (hr_streq(we->ports.data[i].name, p->name))
			ep.port = (uint16_t)we->ports.data[i].number;
	if (we->meta.name)
		ep.workload = hr_arena_printf(b->a, "%s/%s", we->meta.ns, we->meta.name);
	hr_vec_push(v, ep);
}

static void from_service_entry(struct hr_build *b, const struct hr_svc *s, const struct hr_port *p,
			       ep_vec *v, uint32_t *draining)
{
	const struct hr_service_entry *se = s->se;

	for (size_t i = 0; i < se->endpoints.len; i++)
		from_entry(b, s, &se->endpoints.data[i], p, v);
	if (!se->workload_selector.len)
		return;
	for (size_t i = 0; i < b->o->workload_entries.len; i++) {
		const struct hr_workload_entry *we = b->o->workload_entries.data[i];

		if (hr_streq(we->meta.ns, s->ns) &&
		    hr_labels_match(&se->workload_selector, &we->labels))
			from_entry(b, s, we, p, v);
	}
	from_pods(b, s->ns, &se->workload_selector, false, p, v, draining);
}

static void from_service(struct hr_build *b, const struct hr_svc *s, const struct hr_port *p,
			 ep_vec *v, uint32_t *draining)
{
	uint32_t others = 0;

	if (!from_slices(b, s, p, false, v, draining))
		from_pods(b, s->ns, &s->k8s->selector, s->k8s->publish_not_ready, p, v, draining);
	else if (!v->len)
		from_slices(b, s, p, true, v, &others);
}

void hr_build_endpoints(struct hr_build *b, struct hr_svc *s)
{
	s->eps.data = hr_arena_array(b->a, struct hr_svc_eps, s->ports->len ? s->ports->len : 1);
	s->eps.len = s->ports->len;
	for (size_t i = 0; i < s->ports->len; i++) {
		const struct hr_port *p = &s->ports->data[i];
		uint32_t draining = 0;
		ep_vec v = {0};

		if (s->se)
			from_service_entry(b, s, p, &v, &draining);
		else
			from_service(b, s, p, &v, &draining);
		keep(b, &v, &s->eps.data[i], draining);
	}
}
