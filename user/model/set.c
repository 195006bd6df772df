// SPDX-License-Identifier: Apache-2.0
/* Sets of objects: what is in one, and one that differs from another in a few objects. */
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "model/schema_int.h"

void *hr_list_of(struct hr_objects *o, enum hr_kind kind)
{
	switch (kind) {
	case HR_KIND_VIRTUAL_SERVICE:
		return &o->virtual_services;
	case HR_KIND_DESTINATION_RULE:
		return &o->destination_rules;
	case HR_KIND_SERVICE_ENTRY:
		return &o->service_entries;
	case HR_KIND_WORKLOAD_ENTRY:
		return &o->workload_entries;
	case HR_KIND_SERVICE:
		return &o->services;
	case HR_KIND_ENDPOINT_SLICE:
		return &o->slices;
	case HR_KIND_POD:
		return &o->pods;
	case HR_KIND_NAMESPACE:
		return &o->namespaces;
	case HR_KIND_NODE:
		return &o->nodes;
	default:
		return NULL;
	}
}

void hr_objects_free(struct hr_objects *o)
{
	if (o)
		hr_arena_free(o->arena);
}

bool hr_kind_is_endpoints(enum hr_kind k)
{
	return k == HR_KIND_ENDPOINT_SLICE || k == HR_KIND_ENDPOINTS || k == HR_KIND_POD ||
	       k == HR_KIND_WORKLOAD_ENTRY;
}

/* ---- one object ---- */

static hr_object_list *list_for(const struct hr_objects *o, enum hr_kind k)
{
	return hr_list_of((struct hr_objects *)o,
			  k == HR_KIND_ENDPOINTS ? HR_KIND_ENDPOINT_SLICE : k);
}

static int compare(const struct hr_meta *m, struct hr_object_key key)
{
	int d = (int)m->kind - (int)key.kind;

	d = d ? d : strcmp(m->ns, key.ns);
	return d ? d : strcmp(m->name, key.name);
}

/* The first that does not come before it. */
static size_t lower_bound(const hr_object_list *l, struct hr_object_key key)
{
	size_t from = 0, to = l->len;

	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (compare(l->data[mid], key) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

const struct hr_meta *hr_objects_find(const struct hr_objects *o, struct hr_object_key key)
{
	const hr_object_list *l = list_for(o, key.kind);
	size_t i = l ? lower_bound(l, key) : 0;

	return l && i < l->len && !compare(l->data[i], key) ? l->data[i] : NULL;
}

size_t hr_objects_in_ns(const struct hr_objects *o, enum hr_kind k, const char *ns, size_t *n)
{
	const hr_object_list *l = list_for(o, k);
	size_t first = lower_bound(l, (struct hr_object_key){k, ns, ""});

	/* behind every name */
	*n = lower_bound(l, (struct hr_object_key){k, ns, "\xff"}) - first;
	return first;
}

const char *hr_object_yaml(const struct hr_objects *o, enum hr_kind k, const char *ns,
			   const char *name)
{
	const struct hr_meta *m =
		ns && name ? hr_objects_find(o, (struct hr_object_key){k, ns, name}) : NULL;

	return m ? m->yaml : NULL;
}

/* ---- a set from another ---- */

static void copy_list(struct hr_arena *a, hr_object_list *l, size_t more)
{
	void **copy = hr_arena_array(a, void *, l->len + more + 1);

	if (l->len)
		memcpy(copy, l->data, l->len * sizeof(*copy));
	l->data = copy;
}

/* How many went: several slices are one Endpoints object. */
static size_t take_out(hr_object_list *l, struct hr_object_key key)
{
	size_t from = lower_bound(l, key), to = from;

	while (to < l->len && !compare(l->data[to], key))
		to++;
	memmove(l->data + from, l->data + to, (l->len - to) * sizeof(*l->data));
	l->len -= to - from;
	return to - from;
}

/* Those of one name stay in their order. */
static void put_in(hr_object_list *l, struct hr_meta *m)
{
	size_t at = lower_bound(l, (struct hr_object_key){m->kind, m->ns, m->name});

	while (at < l->len &&
	       !compare(l->data[at], (struct hr_object_key){m->kind, m->ns, m->name}))
		at++;
	memmove(l->data + at + 1, l->data + at, (l->len - at) * sizeof(*l->data));
	l->data[at] = m;
	l->len++;
}

struct hr_objects *hr_objects_replace(struct hr_arena *arena, const struct hr_objects *from,
				      const struct hr_object_key *gone, size_t n_gone,
				      const struct hr_objects *put)
{
	static const enum hr_kind kinds[] = {HR_KIND_ENDPOINT_SLICE, HR_KIND_POD,
					     HR_KIND_WORKLOAD_ENTRY};
	struct hr_objects *o = hr_arena_new0(arena, struct hr_objects);

	*o = *from;
	o->total += put->total;
	for (size_t k = 0; k < HR_ARRAY_SIZE(kinds); k++)
		copy_list(arena, hr_list_of(o, kinds[k]), list_for(put, kinds[k])->len);
	for (size_t i = 0; i < n_gone; i++)
		if (take_out(list_for(o, gone[i].kind), gone[i]))
			o->total--;
	for (size_t k = 0; k < HR_ARRAY_SIZE(kinds); k++) {
		const hr_object_list *l = list_for(put, kinds[k]);

		for (size_t i = 0; i < l->len; i++)
			put_in(hr_list_of(o, kinds[k]), l->data[i]);
	}
	return o;
}
