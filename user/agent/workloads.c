// SPDX-License-Identifier: Apache-2.0
// The table of captured cgroups.
#include "agent/workloads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "headrace/abi.h"

struct hr_workloads *hr_workloads_new(void)
{
	struct hr_workloads *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	hr_list_init(&t->rows);
	return t;
}

void hr_workloads_free(struct hr_workloads *t)
{
	if (!t)
		return;
	hr_list_for_each (n, &t->rows)
		hr_workloads_del(t, hr_list_entry(n, struct hr_workload_row, node));
	free(t);
}

struct hr_workload_row *hr_workloads_find(const struct hr_workloads *t, const char *cgroup)
{
	hr_list_for_each (n, (struct hr_list *)&t->rows) {
		struct hr_workload_row *row = hr_list_entry(n, struct hr_workload_row, node);

		if (strcmp(row->cgroup, cgroup) == 0)
			return row;
	}
	return NULL;
}

/* Rows are kept in the order of their ids. The next id is free that follows the last one given:
 * what still counts under the id of a workload that has left is not another's for a long time.
 * `want` (0: any) is taken when it is free. 0: all are in use. */
static uint32_t free_id(const struct hr_workloads *t, uint32_t want)
{
	unsigned char used[HR_WORKLOADS_MAX] = {1};
	uint32_t id = want ? want : t->last_id % (HR_WORKLOADS_MAX - 1) + 1;

	hr_list_for_each (n, (struct hr_list *)&t->rows)
		used[hr_list_entry(n, struct hr_workload_row, node)->id] = 1;
	for (uint32_t i = 1; i < HR_WORKLOADS_MAX && used[id]; i++)
		id = id % (HR_WORKLOADS_MAX - 1) + 1;
	return used[id] ? 0 : id;
}

static struct hr_list *place(struct hr_workloads *t, uint32_t id)
{
	hr_list_for_each (n, &t->rows)
		if (hr_list_entry(n, struct hr_workload_row, node)->id > id)
			return n;
	return &t->rows;
}

static void copy_labels(struct hr_arena *a, const hr_kvs *from, hr_kvs *to)
{
	to->data = hr_arena_array(a, struct hr_kv, from->len + 1);
	to->len = from->len;
	for (size_t i = 0; i < from->len; i++)
		to->data[i] = (struct hr_kv){.key = hr_arena_strdup(a, from->data[i].key),
					     .value = hr_arena_strdup(a, from->data[i].value)};
}

struct hr_workload_row *hr_workloads_add(struct hr_workloads *t, const struct hr_workload_row *from)
{
	struct hr_workload_row *row;
	uint32_t id = free_id(t, from->id < HR_WORKLOADS_MAX ? from->id : 0);

	if (!id)
		return NULL;
	row = calloc(1, sizeof(*row));
	if (!row)
		abort();
	*row = *from;
	row->arena = hr_arena_new();
	row->id = t->last_id = id;
	row->ns = hr_arena_strdup(row->arena, from->ns);
	row->name = hr_arena_strdup(row->arena, from->name);
	row->cgroup = hr_arena_strdup(row->arena, from->cgroup);
	row->origin = hr_arena_strdup(row->arena, from->origin);
	copy_labels(row->arena, &from->labels, &row->labels);
	hr_list_add_tail(place(t, id), &row->node);
	t->n++;
	return row;
}

void hr_workloads_del(struct hr_workloads *t, struct hr_workload_row *row)
{
	hr_list_del(&row->node);
	t->n--;
	hr_arena_free(row->arena);
	free(row);
}

static json_t *row_json(const struct hr_workload_row *r)
{
	json_t *labels = json_object();

	for (size_t i = 0; i < r->labels.len; i++)
		json_object_set_new(labels, r->labels.data[i].key,
				    json_string(r->labels.data[i].value));
	return json_pack("{s:s,s:s,s:o,s:s,s:b,s:s*,s:i,s:i}", "namespace", r->ns, "name", r->name,
			 "labels", labels, "cgroup", r->cgroup, "own", r->own, "origin", r->origin,
			 "flags", (int)r->flags, "id", (int)r->id);
}

json_t *hr_workloads_json(const struct hr_workloads *t)
{
	json_t *out = json_array();

	hr_list_for_each (n, (struct hr_list *)&t->rows)
		json_array_append_new(out,
				      row_json(hr_list_entry(n, struct hr_workload_row, node)));
	return out;
}

int hr_labels_from_json(struct hr_arena *arena, const json_t *j, hr_kvs *out)
{
	hr_kvs list = {};
	const char *key;
	json_t *value;

	if (j && !json_is_object(j))
		return -EINVAL;
	list.data = hr_arena_array(arena, struct hr_kv, json_object_size(j) + 1);
	json_object_foreach((json_t *)j, key, value)
	{
		if (!json_is_string(value))
			return -EINVAL;
		list.data[list.len++] =
			(struct hr_kv){.key = hr_arena_strdup(arena, key),
				       .value = hr_arena_strdup(arena, json_string_value(value))};
	}
	*out = list;
	return 0;
}

int hr_workload_from_json(struct hr_arena *arena, const json_t *j, struct hr_workload_row *out)
{
	struct hr_workload_row r = {
		.ns = json_string_value(json_object_get(j, "namespace")),
		.name = json_string_value(json_object_get(j, "name")),
		.cgroup = json_string_value(json_object_get(j, "cgroup")),
		.origin = json_string_value(json_object_get(j, "origin")),
		.own = json_is_true(json_object_get(j, "own")),
		.flags = (uint32_t)json_integer_value(json_object_get(j, "flags")),
		.id = (uint32_t)json_integer_value(json_object_get(j, "id")),
	};

	if (!r.ns || !r.name || !r.cgroup || r.cgroup[0] != '/')
		return -EINVAL;
	if (hr_labels_from_json(arena, json_object_get(j, "labels"), &r.labels) < 0)
		return -EINVAL;
	*out = r;
	return 0;
}
