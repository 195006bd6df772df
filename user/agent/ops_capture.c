// SPDX-License-Identifier: Apache-2.0
// Control operations: attach, detach, datapath.
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/cgroup.h"
#include "agent/state.h"
#include "core/cleanup.h"
#include "core/log.h"
#include "model/same_node.h"

static bool is_dns_name(const char *s, size_t max)
{
	return *s && strlen(s) <= max &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") ==
		       strlen(s);
}

/* headrace.io/same-node: "off" or nothing; what a port allows is said by its service. */
static int read_same_node_label(const hr_kvs *labels, bool *off, struct hr_strbuf *why)
{
	*off = false;
	for (size_t i = 0; i < labels->len; i++) {
		if (!hr_streq(labels->data[i].key, HR_SAME_NODE))
			continue;
		*off = hr_streq(labels->data[i].value, "off");
		if (*off)
			continue;
		hr_sb_printf(why,
			     "label " HR_SAME_NODE ": unknown value \"%.80s\"; of a workload it is "
			     "\"off\" (\"tcp\" is an annotation of the Service)",
			     labels->data[i].value);
		return -EINVAL;
	}
	return 0;
}

static int read_identity(struct hr_arena *arena, const json_t *req, struct hr_workload_row *row,
			 struct hr_strbuf *why)
{
	const char *ns = json_string_value(json_object_get(req, "namespace"));
	const char *name = json_string_value(json_object_get(req, "name"));
	bool off;

	row->ns = ns ? ns : "default";
	row->name = name ? name : "unknown";
	if (!is_dns_name(row->ns, 63) || !is_dns_name(row->name, 253)) {
		hr_sb_printf(why, "\"%s/%s\" is no workload name", row->ns, row->name);
		return -EINVAL;
	}
	if (hr_labels_from_json(arena, json_object_get(req, "labels"), &row->labels) < 0) {
		hr_sb_add(why, "\"labels\" must be an object of strings");
		return -EINVAL;
	}
	if (json_is_true(json_object_get(req, "agentOnly")))
		row->flags |= HR_WL_AGENT;
	if (json_is_true(json_object_get(req, "blockingOk")))
		row->flags |= HR_WL_BLOCKING_OK;
	if (read_same_node_label(&row->labels, &off, why))
		return -EINVAL;
	if (off || json_is_false(json_object_get(req, "sameNode")))
		row->flags |= HR_WL_SAME_NODE_OFF;
	return 0;
}

/* A cgroup of our own for one process; a leftover of the same name is replaced when empty. */
static int make_own(const struct hr_agent *a, const char *kind, pid_t pid, char **path)
{
	char name[64];
	int r = -EEXIST;

	for (int i = 0; i < 16 && r == -EEXIST; i++) {
		snprintf(name, sizeof(name), i ? "%s-%d.%d" : "%s-%d", kind, (int)pid, i);
		r = agent_cgroup_make(agent_cgroup_base(a->o.pin_dir), name, path);
	}
	return r;
}

struct movement {
	const char *to;
	int depth, first; /* first: result for the process that was named */
};

static void move_tree(struct movement *m, pid_t pid);

static void move_children(struct movement *m, pid_t pid, const char *task)
{
	char path[300];
	FILE *f;
	int child;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/children", (int)pid, task);
	f = fopen(path, "re");
	while (f && fscanf(f, "%d", &child) == 1)
		move_tree(m, child);
	if (f)
		fclose(f);
}

/* A process and its descendants: workers of a server are captured with their master. */
static void move_tree(struct movement *m, pid_t pid)
{
	char path[64];
	struct dirent *e;
	DIR *d;
	int r = agent_cgroup_move(m->to, pid);

	if (m->depth == 0)
		m->first = r;
	if (r < 0 || m->depth > 64)
		return;
	m->depth++;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			move_children(m, pid, e->d_name);
	if (d)
		closedir(d);
	m->depth--;
}

/* Where a process goes when it is let go: not into a cgroup of ours that will be gone by then. */
static int origin_of(struct hr_agent *a, pid_t pid, char **out)
{
	_cleanup_free_ char *path = NULL, *search = NULL;
	const struct hr_workload_row *row;
	int r = agent_cgroup_of(pid, &path);

	if (r < 0)
		return r;
	search = strdup(path);
	row = agent_workload_above(a, search);
	*out = row && row->own && row->origin ? strdup(row->origin) : TAKE_PTR(path);
	return 0;
}

static int attach_process(struct hr_agent *a, const char *kind, pid_t pid,
			  struct hr_workload_row *want, struct hr_strbuf *why)
{
	_cleanup_free_ char *origin = NULL, *path = NULL;
	struct movement m = {};
	struct hr_workload_row *row;
	int r = pid == getpid() ? -EINVAL : origin_of(a, pid, &origin);

	if (r == 0)
		r = make_own(a, kind, pid, &path);
	if (r < 0) {
		hr_sb_printf(why, "cannot make a cgroup for pid %d: %s", (int)pid, strerror(-r));
		return r;
	}
	want->cgroup = m.to = path;
	want->origin = origin;
	want->own = want->lived = true;
	row = hr_workloads_add(a->workloads, want);
	r = row ? agent_enrol(a, row, why) : -ENOSPC;
	/* its doors are open before its first connect() */
	if (r == 0)
		r = agent_serve_pid(a, pid, want->ns, why);
	if (r == 0) {
		move_tree(&m, pid);
		r = m.first;
	}
	if (r < 0) {
		if (!why->len)
			hr_sb_printf(why, "cannot move pid %d: %s", (int)pid, strerror(-r));
		if (row)
			agent_release(a, row);
		else
			agent_cgroup_remove(path);
		return r;
	}
	want->cgroup = row->cgroup;
	return 0;
}

/* The agent's own connections must never be captured: they would come back to it. */
static bool holds_agent(const char *cgroup)
{
	_cleanup_free_ char *own = NULL;
	size_t n = strlen(cgroup);

	return agent_cgroup_of(getpid(), &own) == 0 && strncmp(own, cgroup, n) == 0 &&
	       (!own[n] || own[n] == '/');
}

static int attach_cgroup(struct hr_agent *a, const char *given, struct hr_workload_row *want,
			 struct hr_strbuf *why)
{
	_cleanup_free_ char *path = NULL;
	struct hr_workload_row *old, *row;
	int r = agent_cgroup_resolve(given, &path);

	if (r < 0) {
		hr_sb_printf(why, "%s is no cgroup2 directory: %s", given, strerror(-r));
		return r;
	}
	if (hr_streq(path, hr_kern_cgroup_root()) || holds_agent(path)) {
		hr_sb_printf(why, "%s holds the agent itself", path);
		return -EINVAL;
	}
	old = hr_workloads_find(a->workloads, path);
	if (old) { /* attached again: its new identity replaces the old one */
		want->own = old->own;
		want->lived = old->lived;
		agent_ledger_sweep(a);
		hr_workloads_del(a->workloads, old);
	}
	want->cgroup = path;
	row = hr_workloads_add(a->workloads, want);
	r = row ? agent_enrol(a, row, why) : -ENOSPC;
	if (r < 0) {
		if (row)
			hr_workloads_del(a->workloads, row);
		else
			hr_sb_add(why, "too many workloads");
		return r;
	}
	want->cgroup = row->cgroup;
	return 0;
}

json_t *agent_op_attach(struct hr_agent *a, const json_t *req, const struct hr_control_peer *peer,
			const char **code, struct hr_strbuf *why)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	const char *cgroup = json_string_value(json_object_get(req, "cgroup"));
	json_int_t pid = json_integer_value(json_object_get(req, "pid"));
	bool self = json_is_true(json_object_get(req, "self"));
	struct hr_workload_row want = {};
	int r = read_identity(arena, req, &want, why);
	json_t *out;

	if (r < 0)
		return agent_refuse(code, "bad-request", why, "%s", "");
	if (a->draining)
		return agent_refuse(code, "stopping", why, "the agent is stopping");
	if (self)
		r = attach_process(a, "exec", peer->pid, &want, why);
	else if (pid > 0 && pid <= INT32_MAX)
		r = attach_process(a, "pid", (pid_t)pid, &want, why);
	else if (cgroup)
		r = attach_cgroup(a, cgroup, &want, why);
	else
		return agent_refuse(code, "bad-request", why, "one of cgroup, pid, self is needed");
	if (r < 0)
		return agent_refuse(code, r == -EINVAL ? "bad-request" : "failed", why, "%s", "");
	hr_log_kv(HR_LOG_INFO, "attached", "workload", want.name, "namespace", want.ns, "cgroup",
		  want.cgroup, NULL);
	out = json_pack("{s:s,s:s,s:s}", "cgroup", want.cgroup, "namespace", want.ns, "name",
			want.name);
	/* a cgroup of ours that the process came from may be empty now */
	agent_reap_workloads(a);
	agent_save_workloads(a);
	return out;
}

static struct hr_workload_row *find_target(struct hr_agent *a, const json_t *req)
{
	const char *cgroup = json_string_value(json_object_get(req, "cgroup"));
	json_int_t pid = json_integer_value(json_object_get(req, "pid"));
	_cleanup_free_ char *path = NULL;

	if (pid > 0 && pid <= INT32_MAX)
		return agent_cgroup_of((pid_t)pid, &path) == 0 ? agent_workload_above(a, path)
							       : NULL;
	if (!cgroup)
		return NULL;
	/* the directory may be gone already, then its name must do */
	if (agent_cgroup_resolve(cgroup, &path) < 0)
		return hr_workloads_find(a->workloads, cgroup);
	return hr_workloads_find(a->workloads, path);
}

json_t *agent_op_detach(struct hr_agent *a, const json_t *req, const struct hr_control_peer *peer,
			const char **code, struct hr_strbuf *why)
{
	struct hr_workload_row *row = find_target(a, req);
	json_t *out;

	(void)peer;
	if (!row)
		return agent_refuse(code, "not-found", why, "nothing of that is attached");
	out = json_pack("{s:s,s:s,s:s}", "cgroup", row->cgroup, "namespace", row->ns, "name",
			row->name);
	hr_log_kv(HR_LOG_INFO, "detached", "workload", row->name, "namespace", row->ns, "cgroup",
		  row->cgroup, NULL);
	agent_release(a, row);
	agent_save_workloads(a);
	return out;
}

static int switch_same_node(struct hr_agent *a, bool on, const char **code, struct hr_strbuf *why)
{
	const struct hr_kern_status *st = hr_kern_status(a->kern);
	bool before = st->same_node;
	int r = hr_kern_set_same_node(a->kern, on);

	if (r < 0) {
		agent_refuse(code, "failed", why, "cannot switch: %s",
			     r == -ENOTSUP ? st->same_node_why : strerror(-r));
		return r;
	}
	if (before != on)
		hr_warn("same node: new connections %s", on ? "are paired" : "use TCP");
	return 0;
}

json_t *agent_op_datapath(struct hr_agent *a, const json_t *req, const struct hr_control_peer *peer,
			  const char **code, struct hr_strbuf *why)
{
	const struct hr_kern_status *st = hr_kern_status(a->kern);
	const char *mode = json_string_value(json_object_get(req, "mode"));
	const json_t *same_node = json_object_get(req, "sameNode");
	bool agent = hr_streq(mode, "agent");
	int r;

	(void)peer;
	if (same_node && !json_is_boolean(same_node))
		return agent_refuse(code, "bad-request", why, "sameNode is true or false");
	if (mode && !agent && !hr_streq(mode, "kernel") && !hr_streq(mode, "auto"))
		return agent_refuse(code, "bad-request", why, "mode is auto, kernel or agent");
	if (hr_streq(mode, "kernel") && st->mode != HR_DATAPATH_KERNEL)
		return agent_refuse(code, "failed", why, "the kernel path is not there: %s",
				    st->why);
	if (mode && st->mode == HR_DATAPATH_KERNEL) {
		r = hr_kern_set_agent_only(a->kern, agent);
		if (r < 0)
			return agent_refuse(code, "failed", why, "cannot switch: %s", strerror(-r));
		if (a->killed != agent)
			hr_warn("data path switched to %s", mode);
		a->killed = agent;
	}
	if (same_node && switch_same_node(a, json_is_true(same_node), code, why))
		return NULL;
	agent = a->killed || st->mode == HR_DATAPATH_AGENT;
	return json_pack("{s:s,s:s,s:b,s:s}", "mode", agent ? "agent" : "kernel", "why",
			 a->killed ? "switched by `headrace datapath`" : st->why, "sameNode",
			 st->same_node, "sameNodeWhy", st->same_node_why);
}
