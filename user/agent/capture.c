// SPDX-License-Identifier: Apache-2.0
// Captured cgroups: to the kernel and back, through restarts, until their last process is gone.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/cgroup.h"
#include "agent/state.h"
#include "core/cleanup.h"
#include "core/log.h"
#include "model/same_node.h"

#define NEVER_LIVED_MAX 30 /* looks (seconds) that an own cgroup may wait for its first process */

struct serving {
	struct hr_agent *a;
	const char *ns;
};

static void serve_one(void *ctx, pid_t pid)
{
	_cleanup_sb_ struct hr_strbuf why = {};
	const struct serving *s = ctx;

	if (agent_serve_pid(s->a, pid, s->ns, &why) < 0)
		hr_debug("%s", hr_sb_str(&why));
}

/* The Pod of that name, of which a workload is a process. */
static bool pod_says_off(const struct hr_agent *a, const struct hr_workload_row *row)
{
	const struct hr_meta *pod =
		a->plan ? hr_objects_find(a->plan->objects,
					  (struct hr_object_key){HR_KIND_POD, row->ns, row->name})
			: NULL;

	return pod && hr_same_node_pod_off(pod);
}

static int to_kernel(const struct hr_agent *a, const struct hr_workload_row *row)
{
	uint32_t flags = row->flags | (row->pod_off ? HR_WL_SAME_NODE_OFF : 0);

	return hr_kern_enrol(a->kern, row->cgroup, row->id,
			     flags | agent_k8s_ns_number(a->netns, row->ns) << HR_WL_K8S_NS_SHIFT);
}

void agent_pods_say(struct hr_agent *a)
{
	hr_list_for_each (l, &a->workloads->rows) {
		struct hr_workload_row *row = hr_list_entry(l, struct hr_workload_row, node);
		bool before = row->pod_off;
		int r;

		row->pod_off = pod_says_off(a, row);
		if (row->pod_off == before)
			continue;
		r = to_kernel(a, row);
		if (r < 0)
			hr_warn("%s/%s: same node is not switched: %s", row->ns, row->name,
				strerror(-r));
	}
}

int agent_enrol(struct hr_agent *a, struct hr_workload_row *row, struct hr_strbuf *why)
{
	struct serving s = {.a = a, .ns = row->ns};
	int r;

	hr_proxy_workload(a->proxy, row->id, row->ns, row->name, &row->labels);
	agent_seen(a);
	row->pod_off = pod_says_off(a, row);
	r = to_kernel(a, row);
	if (r < 0) {
		hr_sb_printf(why, "cannot attach to %s: %s", row->cgroup, strerror(-r));
		return r;
	}
	/* those who are there already; later ones report themselves by an event */
	agent_cgroup_pids(row->cgroup, serve_one, &s);
	return 0;
}

static void move_back(void *ctx, pid_t pid)
{
	const char *origin = ctx;

	if (!origin || agent_cgroup_move(origin, pid) < 0)
		agent_cgroup_move(hr_kern_cgroup_root(), pid);
}

void agent_release(struct hr_agent *a, struct hr_workload_row *row)
{
	int r;

	hr_kern_unenrol(a->kern, row->cgroup);
	if (row->own) {
		agent_cgroup_pids(row->cgroup, move_back, (void *)row->origin);
		r = agent_cgroup_remove(row->cgroup);
		if (r < 0)
			hr_warn("cannot remove %s: %s", row->cgroup, strerror(-r));
	}
	agent_ledger_sweep(a);
	hr_workloads_del(a->workloads, row);
	agent_seen(a);
}

struct hr_workload_row *agent_workload_above(struct hr_agent *a, char *path)
{
	struct hr_workload_row *row = hr_workloads_find(a->workloads, path);
	char *slash;

	while (!row && (slash = strrchr(path, '/')) && slash != path) {
		*slash = 0;
		row = hr_workloads_find(a->workloads, path);
	}
	return row;
}

void agent_release_all(struct hr_agent *a)
{
	hr_list_for_each (n, &a->workloads->rows)
		agent_release(a, hr_list_entry(n, struct hr_workload_row, node));
	agent_cgroup_remove_base(agent_cgroup_base(a->o.pin_dir));
}

void agent_reap_workloads(struct hr_agent *a)
{
	bool changed = false;

	hr_list_for_each (n, &a->workloads->rows) {
		struct hr_workload_row *row = hr_list_entry(n, struct hr_workload_row, node);
		bool gone = access(row->cgroup, F_OK) < 0;

		if (!gone && !row->own)
			continue;
		if (!gone && agent_cgroup_populated(row->cgroup)) {
			row->lived = true;
			continue;
		}
		if (!gone && !row->lived && row->age++ < NEVER_LIVED_MAX)
			continue;
		agent_release(a, row);
		changed = true;
	}
	if (changed)
		agent_save_workloads(a);
}

/* ---- over a restart ------------------------------------------------------------------------ */

char *hr_agent_state_path(const char *pin_dir)
{
	char *path;

	if (asprintf(&path, "/run/headrace/%s.workloads", agent_cgroup_base(pin_dir)) < 0)
		abort();
	return path;
}

void agent_save_workloads(struct hr_agent *a)
{
	_cleanup_free_ char *path = hr_agent_state_path(a->o.pin_dir), *temp = NULL;
	json_t *doc;

	if (asprintf(&temp, "%s.new", path) < 0)
		abort();
	if (!a->workloads->n) {
		unlink(path);
		return;
	}
	mkdir("/run/headrace", 0755);
	doc = hr_workloads_json(a->workloads);
	if (json_dump_file(doc, temp, JSON_INDENT(1)) < 0 || rename(temp, path) < 0)
		hr_warn("cannot write %s: %s", path, strerror(errno));
	json_decref(doc);
}

static void adopt(struct hr_agent *a, const json_t *j)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	_cleanup_sb_ struct hr_strbuf why = {};
	struct hr_workload_row found = {}, *row;

	if (hr_workload_from_json(arena, j, &found) < 0 || access(found.cgroup, F_OK) < 0)
		return;
	if (found.own && !agent_cgroup_populated(found.cgroup)) {
		agent_cgroup_remove(found.cgroup);
		return;
	}
	row = hr_workloads_add(a->workloads, &found);
	if (row && agent_enrol(a, row, &why) < 0) {
		hr_warn("%s", hr_sb_str(&why));
		hr_workloads_del(a->workloads, row);
	}
}

void agent_adopt_workloads(struct hr_agent *a)
{
	_cleanup_free_ char *path = hr_agent_state_path(a->o.pin_dir);
	json_t *doc = json_load_file(path, JSON_REJECT_DUPLICATES, NULL), *row;
	size_t i;

	json_array_foreach(doc, i, row) adopt(a, row);
	json_decref(doc);
	if (a->workloads->n)
		hr_info("took over %zu captured cgroups", a->workloads->n);
	agent_save_workloads(a);
}
