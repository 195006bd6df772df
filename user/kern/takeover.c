// SPDX-License-Identifier: Apache-2.0
/*
 * Adopting what a killed agent left.
 *
 *	connections	stay in cl_hash and go on, steered by the programs they have
 *	U and G slots	their sockets died: words to EMPTY; a client whose request was on one will
 *			never get its answer from it: shut down, so that it sees an end and not a
 *hang captures	links get our programs, one atomic exchange each plan		the first apply
 *compares; see apply.c
 */
#include "kern/takeover.h"

#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "kern/capture.h"
#include "kern/clients.h"
#include "kern/internal.h"

static void shut_down(struct hr_kern *k, uint64_t cookie)
{
	struct hr_conn c;

	if (!hr_kern_conn_get(k, cookie, &c))
		kern_client_shutdown(c.pid, cookie);
}

static void empty_u_slot(struct hr_kern *k, struct hr_u *u)
{
	__u64 w = __atomic_load_n(&u->word, __ATOMIC_ACQUIRE);

	while (!__atomic_compare_exchange_n(&u->word, &w, HR_WORD(HR_U_EMPTY, HR_WORD_GEN(w)),
					    false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
	if (HR_WORD_STATE(w) == HR_U_BUSY) {
		if (u->ep < HR_EPS_MAX)
			__atomic_fetch_sub(&k->ep_rt[u->ep].inflight.by.kernel, 1,
					   __ATOMIC_RELAXED);
		if (u->cluster < HR_CLUSTERS_MAX)
			__atomic_fetch_sub(&k->cluster_rt[u->cluster].inflight.by.kernel, 1,
					   __ATOMIC_RELAXED);
	}
	if (HR_WORD_STATE(w) == HR_U_BUSY || HR_WORD_STATE(w) == HR_U_RELAY)
		shut_down(k, u->conn);
}

static void empty_g_slot(struct hr_kern *k, struct hr_g *g)
{
	__u64 w = __atomic_load_n(&g->word, __ATOMIC_ACQUIRE);

	while (!__atomic_compare_exchange_n(&g->word, &w, HR_G_WORD(HR_G_EMPTY, HR_G_GEN(w) + 1, 0),
					    false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
	if (HR_G_STATE(w) == HR_G_BOUND)
		shut_down(k, g->conn);
}

static void empty_table(const struct bpf_map *m)
{
	char key[64], next[64];

	if (bpf_map_get_next_key(bpf_map__fd(m), NULL, next))
		return;
	for (bool more = true; more;) {
		memcpy(key, next, sizeof(key));
		more = !bpf_map_get_next_key(bpf_map__fd(m), key, next);
		bpf_map_delete_elem(bpf_map__fd(m), key);
	}
}

/* Those that the programs gave up while nobody was there to shut them down. */
static void shut_down_ended(struct hr_kern *k)
{
	int fd = KERN_MAP_FD(k, conns);
	uint64_t key, next;
	struct hr_conn c;

	for (bool more = !bpf_map_get_next_key(fd, NULL, &next); more;) {
		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (!hr_kern_conn_get(k, key, &c) && c.state == HR_CONN_ENDED)
			kern_client_shutdown(c.pid, key);
	}
}

/* ---- in flight ------------------------------------------------------------------------------ */

/* What the dead agent had in flight is its own side of the numbers: nobody will lower it. */
static void forget_inflight(struct hr_kern *k)
{
	for (size_t i = 0; i < HR_EPS_MAX; i++)
		__atomic_store_n(&k->ep_rt[i].inflight.by.agent, 0, __ATOMIC_RELAXED);
	for (size_t i = 0; i < HR_CLUSTERS_MAX; i++) {
		__atomic_store_n(&k->cluster_rt[i].inflight.by.agent, 0, __ATOMIC_RELAXED);
		k->cluster_rt[i].pending = k->cluster_rt[i].retries = 0;
		k->cluster_rt[i].h2_connections = k->cluster_rt[i].h2_requests = 0;
	}
}

/* ---- answers -------------------------------------------------------------------------------- */

/* Those that the dead agent was to give will not come. */
static void end_owed(struct hr_kern *k)
{
	int fd = KERN_MAP_FD(k, conns), peek = bpf_program__fd(k->skel->progs.peek_conn);
	uint64_t key, next;

	for (bool more = !bpf_map_get_next_key(fd, NULL, &next); more;) {
		struct hr_peek p = {.cookie = key = next};

		more = !bpf_map_get_next_key(fd, &key, &next);
		if (!kern_peek(peek, &p) && p.owes)
			shut_down(k, key);
	}
}

void kern_take_over(struct hr_kern *k)
{
	int n = kern_adopt_captures(k);

	for (size_t i = 0; i < HR_U_SLOTS; i++) {
		k->u_sk[i] = k->u_peer[i] = 0;
		if (HR_WORD_STATE(k->u[i].word) != HR_U_EMPTY)
			empty_u_slot(k, &k->u[i]);
	}
	for (size_t i = 0; i < HR_G_SLOTS; i++) {
		k->g_sk[i] = 0;
		if (HR_G_STATE(k->g[i].word) != HR_G_EMPTY)
			empty_g_slot(k, &k->g[i]);
	}
	empty_table(k->skel->maps.u_slots);
	empty_table(k->skel->maps.pools);
	empty_table(k->skel->maps.doors);
	empty_table(k->skel->maps.door_ends);
	/* namespaces report again at their next socket and get doors of ours */
	empty_table(k->skel->maps.netns);
	empty_table(k->skel->maps.names);
	forget_inflight(k);
	shut_down_ended(k);
	end_owed(k);
	k->muted = true;
	ring_buffer__consume(k->ring);
	k->muted = false;
	hr_info("took over from an agent that was killed: %d captured cgroups, %s", n,
		"connections go on");
}
