/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share. Nobody else includes it. */
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <limits.h>

#include "core/vec.h"
#include "headrace.skel.h"
#include "kern/kern.h"
#include "kern/selftest.h"
#include "plan/balance/tables.h"

struct hr_apply;

/* A cgroup of which the plan of capture speaks. `links` is empty while an ancestor's programs
 * already run for it. */
struct capture {
	char *path;
	uint64_t id; /* cgroup id */
	uint32_t workload;
	HR_VEC(struct bpf_link *) links;
};

/* Connections of a cgroup that is captured no more: they leave one by one, and until then the
 * programs that watch them stay. */
struct leaving {
	uint64_t cgroup_id;
	uint64_t since; /* monotonic ms */
	HR_VEC(uint64_t) cookies;
	HR_VEC(struct bpf_link *) links;
};

struct hr_kern {
	struct hr_kern_opts opts;
	char pin_dir[PATH_MAX];
	int lock_fd;
	struct headrace_bpf *skel;
	struct hr_selftest selftest;
	struct hr_kern_status status;
	struct hr_config config;
	bool adopted;	      /* the tables were another agent's, that was killed */
	bool same_node_works; /* the self-test says so */
	bool muted;	      /* events are drained, not delivered */
	struct hr_ep_rt *ep_rt;
	struct hr_cluster_rt *cluster_rt;
	struct hr_codes *codes;
	struct hr_slots *slots;
	struct hr_u *u;
	struct hr_g *g;
	uint64_t *u_sk, *u_peer, *g_sk, *events_lost, *mishaps, *beat;
	uint64_t stalled_at; /* cookie that was looked at last, 0: begin */
	struct ring_buffer *ring;
	uint64_t access_seen; /* records of access_events so far */
	HR_VEC(struct capture) captures;
	HR_VEC(struct leaving) leaving;
	struct hr_apply *apply;
	struct hr_tables *tables;
};

#define KERN_MAP_FD(k, name) bpf_map__fd((k)->skel->maps.name)

/* ---- host.c: the machine around us; each says in *err, in one sentence, what is missing */
int kern_check_host(struct hr_strbuf *err);
int kern_make_pin_dir(const char *dir, struct hr_strbuf *err);
/* Locks the directory itself: no file is needed, and /proc/locks names the holder.
 * -EBUSY with the holder's pid (0: not visible from here). */
int kern_lock(const char *dir, int *fd, long *pid);

/* ---- load.c */
/* Under a new epoch: what programs remember of the plan is void. */
int kern_write_config(struct hr_kern *k);

/* ---- maps.c */
int kern_map_shared(struct hr_kern *k, struct hr_strbuf *err);
void kern_unmap_shared(struct hr_kern *k);

/* ---- meters.c */
int kern_meters_init(struct hr_kern *k);

/* ---- apply.c */
int kern_apply_init(struct hr_kern *k);
void kern_apply_free(struct hr_kern *k);
/* Deletes rows whose grace time is over. */
void kern_apply_tick(struct hr_kern *k, uint64_t now_ms);
uint64_t kern_now_ms(void);
