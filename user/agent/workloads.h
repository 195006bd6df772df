/* SPDX-License-Identifier: Apache-2.0 */
/* Which cgroups are captured, and as whom. Pure table, and its file. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "core/list.h"
#include "core/str.h"
#include "model/model.h"

struct hr_workload_row {
	struct hr_list node;
	struct hr_arena *arena; /* of the strings below */
	uint32_t id;		/* 1 .. HR_WORKLOADS_MAX - 1, given again when free */
	uint32_t flags;		/* HR_WL_*, as it was attached */
	bool pod_off;		/* its Pod says headrace.io/same-node: off */
	const char *ns, *name;
	hr_kvs labels;
	const char *cgroup; /* absolute path */
	bool own;	    /* we made it: it goes when it is empty */
	bool lived;	    /* has had a process */
	unsigned age;	    /* looks at it since it was made, while it never had one */
	const char *origin; /* own: cgroup its first process came from, absolute path */
};

struct hr_workloads {
	struct hr_list rows;
	size_t n;
	uint32_t last_id; /* given last */
};

struct hr_workloads *hr_workloads_new(void);
void hr_workloads_free(struct hr_workloads *t);
struct hr_workload_row *hr_workloads_find(const struct hr_workloads *t, const char *cgroup);
/* Copies the strings of `from`; its id is taken when it is free, or (0) one is chosen. NULL when
 * the table is full. */
struct hr_workload_row *hr_workloads_add(struct hr_workloads *t,
					 const struct hr_workload_row *from);
void hr_workloads_del(struct hr_workloads *t, struct hr_workload_row *row);

json_t *hr_workloads_json(const struct hr_workloads *t);
/* One row back from JSON; strings are those of `j`, labels in the arena. -EINVAL. */
int hr_workload_from_json(struct hr_arena *arena, const json_t *j, struct hr_workload_row *out);
/* {"k":"v"} -> labels. -EINVAL when it is something else. NULL is none. */
int hr_labels_from_json(struct hr_arena *arena, const json_t *j, hr_kvs *out);
