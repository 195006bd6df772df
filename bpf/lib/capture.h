/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who is asking: the workload of the process, the namespace and the ports that serve it. */
#pragma once

#include "lib/count.h"

/* Levels of the cgroup tree that are looked at, from the leaf's own upwards. */
#define CGROUP_LEVELS 16
/* How long a first socket waits for the agent to open its doors in a new namespace. */
#define NETNS_WAIT_NS (20 * 1000 * 1000ULL)

struct wl_search {
	struct hr_workload wl;
	__u32 found;
};

static long workload_step(__u32 i, struct wl_search *s)
{
	__u64 id = bpf_get_current_ancestor_cgroup_id(CGROUP_LEVELS - i);
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
	struct wl_search s = {};

	bpf_loop(CGROUP_LEVELS + 1, workload_step, &s, 0);
	return s.wl;
}

struct netns_wait {
	__u64 cookie, until;
	__u32 ready;
};

static long netns_wait_step(__u32 i, struct netns_wait *w)
{
	struct hr_netns *ns = bpf_map_lookup_elem(&netns, &w->cookie);

	(void)i;
	if (ns && ns->ready) {
		w->ready = 1;
		return 1;
	}
	return bpf_ktime_get_ns() >= w->until;
}

/*
 * The namespace's entry, NULL when the agent does not serve it (yet). The first caller tells the
 * agent and waits a moment: a name or a door is needed by the very first connection. Busy,
 * because this hook cannot sleep; once in the life of a namespace.
 */
static __always_inline struct hr_netns *netns_ready(__u64 cookie)
{
	struct netns_wait w = {.cookie = cookie};
	struct hr_netns *ns = bpf_map_lookup_elem(&netns, &cookie), fresh = {};
	struct hr_event *e;

	if (ns)
		return ns->ready ? ns : NULL;
	if (bpf_map_update_elem(&netns, &cookie, &fresh, BPF_NOEXIST))
		return NULL;
	e = event_begin(HR_EV_NETNS, 0);
	if (!e)
		return NULL;
	e->netns = cookie;
	e->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_ringbuf_submit(e, 0);
	w.until = bpf_ktime_get_ns() + NETNS_WAIT_NS;
	bpf_loop(1 << 20, netns_wait_step, &w, 0);
	return w.ready ? bpf_map_lookup_elem(&netns, &cookie) : NULL;
}
