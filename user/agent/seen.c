// SPDX-License-Identifier: Apache-2.0
// Clusters that captured workloads see differently, for the kernel: whenever the plan or a workload
// changes.
#include "agent/state.h"
#include "core/vec.h"

typedef HR_VEC(struct hr_kern_seen_row) row_vec;

static void add_rows(const struct hr_agent *a, const struct hr_plan_cluster *c, row_vec *out)
{
	hr_list_for_each (l, &a->workloads->rows) {
		const struct hr_workload_row *w = hr_list_entry(l, struct hr_workload_row, node);
		const hr_kvs *labels = hr_plan_labels(a->plan, w->ns, w->name, &w->labels);
		const struct hr_plan_cluster *seen =
			hr_plan_cluster_seen(a->plan, c, w->ns, labels);

		if (c->id && seen->id)
			hr_vec_push(out, (struct hr_kern_seen_row){{c->id, w->id}, seen->id});
	}
}

void agent_seen(struct hr_agent *a)
{
	row_vec rows = {0};

	for (size_t i = 0; a->plan && i < a->plan->clusters.len; i++)
		if (a->plan->clusters.data[i].n_views)
			add_rows(a, &a->plan->clusters.data[i], &rows);
	/* rows may be there of an agent before us */
	if (rows.len || !a->none_seen)
		hr_kern_seen(a->kern, rows.data, rows.len);
	a->none_seen = !rows.len;
	hr_vec_free(&rows);
}
