/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who is asking: the workload of the process, the namespace and the ports that serve it. */
#pragma once

#include "lib/count.h"

/* Levels of the cgroup tree that are looked at, from the leaf's own upwards. */
#define CGROUP_LEVELS 16
/* How long first sockets wait for the agent to open its doors in a new namespace. It takes 2 ms
 * when a CPU is free; the bound is for a node that is busy, and is met once per namespace. */
#define NETNS_WAIT_MS 100
#define NETNS_WAIT_STEPS (1 << 21) /* at 50 ns each: as long as that */

struct wl_search {
	struct hr_workload wl;
	__u32 found;
	__u32 level; /* of the process's own cgroup */
};

static long workload_step(__u32 i, struct wl_search *s)
{
	__u64 id = bpf_get_current_ancestor_cgroup_id(s->level - i);
	struct hr_workload *wl = id ? bpf_map_lookup_elem(&workloads, &id) : NULL;

	if (!wl)
		return 0;
	s->wl = *wl;
	s->found = 1;
	return 1;
}

/* The nearest enrolled cgroup of the calling process. A process that runs the programs without one
 * (deeper than CGROUP_LEVELS, or being unenrolled) is workload 0: captured all the same. */
static __always_inline struct hr_workload workload_current(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct wl_search s = {.level = BPF_CORE_READ(task, cgroups, dfl_cgrp, level)};

	if (s.level > CGROUP_LEVELS)
		s.level = CGROUP_LEVELS;
	bpf_loop(s.level + 1, workload_step, &s, 0);
	return s.wl;
}

struct netns_wait {
	__u64 cookie;
	__u32 since_ms;
	__u32 ready;
};

static __always_inline __u32 now_ms(void)
{
	return bpf_ktime_get_ns() / 1000000;
}

static long netns_wait_step(__u32 i, struct netns_wait *w)
{
	struct hr_netns *ns = bpf_map_lookup_elem(&netns, &w->cookie);

	(void)i;
	if (ns && ns->ready) {
		w->ready = 1;
		return 1;
	}
	return now_ms() - w->since_ms >= NETNS_WAIT_MS;
}

static __always_inline void netns_announce(__u64 cookie)
{
	struct hr_event *e = event_begin(HR_EV_NETNS, 0);

	if (!e)
		return;
	e->netns = cookie;
	e->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_ringbuf_submit(e, 0);
}

/*
 * The namespace's entry, NULL when the agent does not serve it (yet). The first caller tells the
 * agent; all wait a moment from then on: a name or a door is needed by the very first connection.
 * Busy, because this hook cannot sleep; once in the life of a namespace.
 */
static __always_inline struct hr_netns *netns_ready(__u64 cookie)
{
	struct hr_netns *ns = bpf_map_lookup_elem(&netns, &cookie);
	struct hr_netns fresh = {.asked_ms = now_ms()};
	struct netns_wait w = {.cookie = cookie, .since_ms = fresh.asked_ms};

	if (ns && ns->ready)
		return ns;
	if (ns)
		w.since_ms = ns->asked_ms;
	else if (!bpf_map_update_elem(&netns, &cookie, &fresh, BPF_NOEXIST))
		netns_announce(cookie);
	bpf_loop(NETNS_WAIT_STEPS, netns_wait_step, &w, 0);
	return w.ready ? bpf_map_lookup_elem(&netns, &cookie) : NULL;
}
