// SPDX-License-Identifier: Apache-2.0
/* Connections of cgroups that are captured no more. */
#include <errno.h>
#include <unistd.h>

#include "kern/capture.h"
#include "kern/internal.h"
#include "kern/leave.h"

static struct kern_leave our_tables(struct hr_kern *k)
{
	return (struct kern_leave){
		.cl_hash = KERN_MAP_FD(k, cl_hash),
		.conns = KERN_MAP_FD(k, conns),
		.heads = KERN_MAP_FD(k, heads),
		.g_tab = KERN_MAP_FD(k, g_tab),
		.peek = bpf_program__fd(k->skel->progs.peek_conn),
		.retire = bpf_program__fd(k->skel->progs.peek_retire),
		.conns_used = &k->skel->bss->conns_used,
	};
}

static void collect(struct hr_kern *k, uint32_t workload, struct leaving *g)
{
	struct kern_leave l = our_tables(k);
	uint64_t key = 0, next;

	for (bool more = !bpf_map_get_next_key(l.conns, NULL, &next); more;
	     more = !bpf_map_get_next_key(l.conns, &key, &next)) {
		struct hr_conn c;

		key = next;
		if (!kern_leave_conn(&l, key, &c) && c.workload == workload)
			hr_vec_push(&g->cookies, key);
	}
}

/* Whether a program decides for new sockets, rather than watches open ones. */
static bool starts_connections(struct hr_kern *k, const struct bpf_link *link)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);
	struct bpf_program *p;

	if (bpf_obj_get_info_by_fd(bpf_link__fd(link), &info, &len))
		return true;
	bpf_object__for_each_program(p, k->skel->obj)
	{
		struct bpf_prog_info pi = {};

		len = sizeof(pi);
		if (bpf_program__fd(p) < 0 ||
		    bpf_obj_get_info_by_fd(bpf_program__fd(p), &pi, &len) || pi.id != info.prog_id)
			continue;
		return bpf_program__type(p) != BPF_PROG_TYPE_SOCK_OPS &&
		       bpf_program__type(p) != BPF_PROG_TYPE_CGROUP_SKB &&
		       bpf_program__type(p) != BPF_PROG_TYPE_CGROUP_SOCKOPT;
	}
	return true;
}

void kern_leaving_start(struct hr_kern *k, struct capture *c)
{
	struct leaving g = {.cgroup_id = c->id, .since = kern_now_ms()};
	struct bpf_link **l;

	if (!c->links.len)
		return; /* an ancestor's capture goes on */
	hr_vec_for_each (l, &c->links) {
		if (starts_connections(k, *l))
			kern_drop_link(*l);
		else
			hr_vec_push(&g.links, *l);
	}
	hr_vec_free(&c->links);
	collect(k, c->workload, &g);
	hr_vec_push(&k->leaving, g);
	kern_leaving_tick(k);
}

static void end(struct hr_kern *k, struct leaving *g)
{
	struct bpf_link **l;

	hr_vec_for_each (l, &g->links)
		kern_drop_link(*l);
	hr_vec_free(&g->links);
	hr_vec_free(&g->cookies);
	*g = k->leaving.data[--k->leaving.len];
}

void kern_leaving_cancel(struct hr_kern *k, uint64_t cgroup_id)
{
	for (size_t i = k->leaving.len; i--;)
		if (k->leaving.data[i].cgroup_id == cgroup_id)
			end(k, &k->leaving.data[i]);
}

void kern_leaving_tick(struct hr_kern *k)
{
	struct kern_leave l = our_tables(k);

	for (size_t i = k->leaving.len; i--;) {
		struct leaving *g = &k->leaving.data[i];

		for (size_t n = g->cookies.len; n--;)
			if (kern_leave_try(&l, g->cookies.data[n]) == KERN_LEFT)
				g->cookies.data[n] = g->cookies.data[--g->cookies.len];
		if (!g->cookies.len)
			end(k, g);
	}
}

void kern_leaving_end(struct hr_kern *k)
{
	while (k->leaving.len)
		end(k, &k->leaving.data[0]);
	hr_vec_free(&k->leaving);
}

/* A connection between two requests is free to go for a few microseconds at a time: looked for
 * often, for a moment. One that reads a long answer is waited for only so long. */
#define LOOK_MS 20
#define BUSY_MS 300

static bool holds_agent(const struct kern_leave *l, const struct leaving *g, uint64_t cookie)
{
	enum kern_left how = kern_leave_try(l, cookie);
	struct hr_conn c;

	if (how == KERN_BUSY)
		return kern_now_ms() < g->since + BUSY_MS;
	/* a dead one can only be closed by its client: not waited for */
	return how == KERN_DEPENDENT && !kern_leave_conn(l, cookie, &c) &&
	       !(c.flags & HR_CONN_F_DEAD);
}

bool hr_kern_released(struct hr_kern *k)
{
	struct kern_leave l = our_tables(k);
	uint64_t until = kern_now_ms() + LOOK_MS;

	do {
		kern_leaving_tick(k);
		if (!k->leaving.len)
			return true;
		usleep(30);
	} while (kern_now_ms() < until);
	for (size_t i = 0; i < k->leaving.len; i++)
		for (size_t n = 0; n < k->leaving.data[i].cookies.len; n++)
			if (holds_agent(&l, &k->leaving.data[i],
					k->leaving.data[i].cookies.data[n]))
				return false;
	return true;
}
