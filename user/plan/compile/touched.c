// SPDX-License-Identifier: Apache-2.0
/*
 * Which services a change of endpoints can concern, and what a build of those alone looks up. One
 * service too many costs microseconds; one too few would be a wrong plan.
 *
 *	EndpointSlice, Endpoints   the service that it names, before and after
 *	Pod                        services whose slices name it or its address (labels, node), and
 *	                           those whose selector selects it, before or after
 *	WorkloadEntry              ServiceEntries whose workloadSelector selects it
 */
#include <string.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "plan/compile/change.h"

struct touch {
	const struct hr_plan *from;
	bool *touched;
	HR_VEC(const struct hr_pod *) pods; /* of the change, as they were and as they are */
};

static void touch_service(struct touch *t, const char *ns, const char *name)
{
	for (size_t i = 0; name && i < t->from->svcs.len; i++) {
		const struct hr_svc *s = t->from->svcs.data[i];

		if (s->k8s && hr_streq(s->name, name) && hr_streq(s->ns, ns))
			t->touched[i] = true;
	}
}

static void touch_selecting(struct touch *t, const char *ns, const hr_kvs *labels, bool entry)
{
	for (size_t i = 0; i < t->from->svcs.len; i++) {
		const struct hr_svc *s = t->from->svcs.data[i];
		const hr_kvs *want = s->se ? &s->se->workload_selector : &s->k8s->selector;

		if ((s->se || !entry) && want->len && hr_streq(s->ns, ns) &&
		    hr_labels_match(want, labels))
			t->touched[i] = true;
	}
}

static void touch_pod(struct touch *t, const struct hr_pod *pod)
{
	hr_vec_push(&t->pods, pod);
	touch_selecting(t, pod->meta.ns, &pod->meta.labels, false);
}

/* Several slices of an Endpoints object are all of one service. */
static void touch_object(struct touch *t, const struct hr_meta *m)
{
	if (m->kind == HR_KIND_ENDPOINT_SLICE || m->kind == HR_KIND_ENDPOINTS)
		touch_service(t, m->ns, ((const struct hr_endpoint_slice *)m)->service);
	else if (m->kind == HR_KIND_POD)
		touch_pod(t, (const struct hr_pod *)m);
	else
		touch_selecting(t, m->ns, &((const struct hr_workload_entry *)m)->labels, true);
}

static bool is_of(const struct hr_endpoint *e, const struct hr_pod *pod)
{
	if (e->pod_name && hr_streq(e->pod_name, pod->meta.name))
		return true;
	for (size_t i = 0; i < pod->ips.len; i++)
		if (hr_addr_eq(&e->addr, &pod->ips.data[i]))
			return true;
	return false;
}

static bool speaks_of(const struct hr_endpoint_slice *sl, const struct hr_pod *pod)
{
	for (size_t i = 0; i < sl->endpoints.len; i++)
		if (is_of(&sl->endpoints.data[i], pod))
			return true;
	return false;
}

/* Slices that speak of the Pods. They are few: to look at every endpoint costs less than to keep
 * who speaks of whom. */
static void touch_speaking(struct touch *t, const struct hr_objects *now)
{
	for (size_t i = 0; i < now->slices.len; i++) {
		const struct hr_endpoint_slice *sl = now->slices.data[i];
		bool speaks = false;

		for (size_t k = 0; k < t->pods.len && !speaks; k++)
			speaks = speaks_of(sl, t->pods.data[k]);
		if (speaks)
			touch_service(t, sl->meta.ns, sl->service);
	}
}

void hr_change_touched(const struct hr_plan *from, const struct hr_object_key *gone, size_t n_gone,
		       const struct hr_objects *now, const struct hr_objects *put, bool *touched)
{
	struct touch t = {.from = from, .touched = touched};

	for (size_t i = 0; i < n_gone; i++) {
		const struct hr_meta *m = hr_objects_find(from->objects, gone[i]);

		if (m)
			touch_object(&t, m);
	}
	for (size_t i = 0; i < put->slices.len; i++)
		touch_object(&t, &put->slices.data[i]->meta);
	for (size_t i = 0; i < put->pods.len; i++)
		touch_object(&t, &put->pods.data[i]->meta);
	for (size_t i = 0; i < put->workload_entries.len; i++)
		touch_object(&t, &put->workload_entries.data[i]->meta);
	touch_speaking(&t, now);
	hr_vec_free(&t.pods);
}

/* ---- look-ups ---- */

/* Addresses of slices whose Pod only its address tells. */
static void want_addrs(const struct hr_build *b, const struct hr_endpoint_slice *sl,
		       struct hr_map *wanted)
{
	for (size_t k = 0; k < sl->endpoints.len; k++) {
		const struct hr_endpoint *e = &sl->endpoints.data[k];

		if (!e->pod_name ||
		    !hr_build_pod(b, e->pod_ns ? e->pod_ns : sl->meta.ns, e->pod_name))
			hr_map_put(wanted, &e->addr, sizeof(e->addr), wanted);
	}
}

/* As a build does it: of several Pods the last one. */
static void find_pods(struct hr_build *b, const struct hr_map *wanted)
{
	for (size_t i = 0; hr_map_len(wanted) && i < b->o->pods.len; i++) {
		struct hr_pod *p = b->o->pods.data[i];

		for (size_t k = 0; !p->host_network && k < p->ips.len; k++)
			if (hr_map_get(wanted, &p->ips.data[k], sizeof(p->ips.data[k])))
				hr_map_put(b->pod_by_addr, &p->ips.data[k], sizeof(p->ips.data[k]),
					   p);
	}
}

void hr_change_lookups(struct hr_build *b, const struct hr_plan *from, const bool *touched)
{
	_cleanup_map_ struct hr_map *services = hr_map_new(), *wanted = hr_map_new();
	_cleanup_sb_ struct hr_strbuf key = {0};

	for (size_t i = 0; i < from->svcs.len; i++) {
		const struct hr_svc *s = from->svcs.data[i];

		if (!touched[i] || !s->k8s)
			continue;
		key.len = 0;
		hr_sb_printf(&key, "%s/%s", s->ns, s->name);
		hr_map_puts(services, key.data, b);
	}
	hr_chain_init(b, &b->slices_by_service, b->o->slices.len);
	for (size_t i = 0; i < b->o->slices.len; i++) {
		const struct hr_endpoint_slice *sl = b->o->slices.data[i];

		if (!sl->service)
			continue;
		key.len = 0;
		hr_sb_printf(&key, "%s/%s", sl->meta.ns, sl->service);
		if (!hr_map_gets(services, key.data))
			continue;
		hr_chain_add(&b->slices_by_service, key.data, (uint32_t)i);
		want_addrs(b, sl, wanted);
	}
	find_pods(b, wanted);
}
