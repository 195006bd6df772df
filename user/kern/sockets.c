// SPDX-License-Identifier: Apache-2.0
/*
 * The agent's sockets in the programs' hands: U (upstream pool) and G (client's bytes to the
 * agent, the agent's bytes to the client). Order is everything: the word of a slot says FREE last
 * and EMPTY first. Any thread; a slot belongs to one thread at a time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "kern/internal.h"

static int cookie_of(int fd, __u64 *out)
{
	socklen_t len = sizeof(*out);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, out, &len) ? -errno : 0;
}

static int put_socket(int map_fd, __u32 slot, int fd)
{
	__u64 v = (__u64)fd;

	return bpf_map_update_elem(map_fd, &slot, &v, BPF_ANY) ? -errno : 0;
}

/* Has the program `learn` find the kernel's address of the socket in a slot. */
static int learn(struct hr_kern *k, __u32 slot, bool is_g)
{
	struct {
		unsigned char ethernet[14]; /* what a test packet must begin with */
		__u32 slot, is_g;	    /* struct learn_in of bpf/lib/conn.h */
	} __attribute__((packed)) packet = {.slot = slot, .is_g = is_g};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &packet, .data_size_in = sizeof(packet));

	if (bpf_prog_test_run_opts(bpf_program__fd(k->skel->progs.learn), &opts))
		return -errno;
	return opts.retval ? -ENOENT : 0;
}

/* ---- U -------------------------------------------------------------------------------------- */

static void u_out(struct hr_kern *k, uint32_t slot)
{
	__u64 zero = 0;

	__atomic_store_n(&k->u_sk[slot], zero, __ATOMIC_RELEASE);
	__atomic_store_n(&k->u_peer[slot], zero, __ATOMIC_RELEASE);
	bpf_map_delete_elem(KERN_MAP_FD(k, u_map), &slot);
	if (k->u[slot].cookie)
		bpf_map_delete_elem(KERN_MAP_FD(k, u_slots), &k->u[slot].cookie);
	bpf_map_delete_elem(KERN_MAP_FD(k, u_pairs), &k->u[slot].cookie);
}

bool hr_kern_u_taught(struct hr_kern *k, uint32_t slot)
{
	struct {
		__u64 peer, seqs; /* struct u_pair of bpf/lib/conn.h */
	} at;

	return !bpf_map_lookup_elem(KERN_MAP_FD(k, u_pairs), &k->u[slot].cookie, &at) && !at.peer;
}

void hr_kern_u_offer(struct hr_kern *k, int fd, const uint8_t ip[static 16], uint16_t port)
{
	struct hr_pair_offer offer = {.kind = HR_OFFER_POOL};
	struct hr_pair_key key = {.s_port = port};
	struct sockaddr_in6 own = {};
	socklen_t len = sizeof(own);

	/* a port of its own before it connects: the address is not chosen yet, its place stays 0 */
	if (getsockname(fd, (struct sockaddr *)&own, &len) ||
	    bind(fd, (struct sockaddr *)&own, len) ||
	    getsockname(fd, (struct sockaddr *)&own, &len) || cookie_of(fd, &offer.conn))
		return;
	key.c_port = ntohs(own.sin6_port); /* where sin_port is */
	memcpy(key.s_ip, ip, sizeof(key.s_ip));
	bpf_map_update_elem(KERN_MAP_FD(k, offers), &key, &offer, BPF_ANY);
}

int hr_kern_u_put(struct hr_kern *k, uint32_t slot, int fd, uint32_t addr_id,
		  const struct hr_plan_conns *conns)
{
	struct hr_u *u;
	__u64 word, cookie;
	int e;

	if (slot >= HR_U_SLOTS)
		return -EINVAL;
	u = &k->u[slot];
	word = __atomic_load_n(&u->word, __ATOMIC_ACQUIRE);
	if (HR_WORD_STATE(word) != HR_U_EMPTY)
		return -EBUSY;
	e = cookie_of(fd, &cookie);
	if (e)
		return e;
	u->conn = 0;
	u->left = 0;
	u->addr_id = addr_id;
	u->conns = conns ? conns->id : 0;
	u->uses = conns && conns->max_requests ? conns->max_requests : HR_U_ANY;
	u->t0 = 0;
	u->cookie = cookie;
	e = bpf_map_update_elem(KERN_MAP_FD(k, u_slots), &cookie, &slot, BPF_ANY) ? -errno : 0;
	if (!e)
		e = put_socket(KERN_MAP_FD(k, u_map), slot, fd);
	if (!e)
		e = learn(k, slot, false);
	if (e) {
		u_out(k, slot);
		return e;
	}
	__atomic_store_n(&u->word, HR_WORD(HR_U_FREE, HR_WORD_GEN(word) + 1), __ATOMIC_RELEASE);
	return 0;
}

int hr_kern_u_take(struct hr_kern *k, uint32_t slot)
{
	struct hr_u *u;
	__u64 word;

	if (slot >= HR_U_SLOTS)
		return -EINVAL;
	u = &k->u[slot];
	word = __atomic_load_n(&u->word, __ATOMIC_ACQUIRE);
	do {
		if (HR_WORD_STATE(word) == HR_U_EMPTY)
			return -ENOENT;
		if (HR_WORD_STATE(word) == HR_U_BUSY)
			return -EBUSY; /* the caller has to win it first */
	} while (!__atomic_compare_exchange_n(&u->word, &word,
					      HR_WORD(HR_U_DEAD, HR_WORD_GEN(word)), false,
					      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	u_out(k, slot);
	u->conn = 0;
	__atomic_store_n(&u->word, HR_WORD(HR_U_EMPTY, HR_WORD_GEN(word)), __ATOMIC_RELEASE);
	return 0;
}

int hr_kern_pool_set(struct hr_kern *k, const struct hr_pool_key *key, const struct hr_pool *p)
{
	return bpf_map_update_elem(KERN_MAP_FD(k, pools), key, p, BPF_ANY) ? -errno : 0;
}

int hr_kern_pool_del(struct hr_kern *k, const struct hr_pool_key *key)
{
	return bpf_map_delete_elem(KERN_MAP_FD(k, pools), key) ? -errno : 0;
}

/* ---- G -------------------------------------------------------------------------------------- */

void hr_kern_g_take(struct hr_kern *k, uint32_t slot)
{
	__atomic_store_n(&k->g_sk[slot], 0, __ATOMIC_RELEASE);
	bpf_map_delete_elem(KERN_MAP_FD(k, g_map), &slot);
	bpf_map_delete_elem(KERN_MAP_FD(k, p_map), &slot);
}

int hr_kern_g_put(struct hr_kern *k, uint32_t slot, int g, int p)
{
	__u64 word;
	int e;

	if (slot >= HR_G_SLOTS)
		return -EINVAL;
	word = __atomic_load_n(&k->g[slot].word, __ATOMIC_ACQUIRE);
	if (HR_G_STATE(word) != HR_G_EMPTY)
		return -EBUSY;
	e = bpf_map_update_elem(KERN_MAP_FD(k, p_store), &p, &slot, BPF_ANY) ? -errno : 0;
	if (!e)
		e = put_socket(KERN_MAP_FD(k, p_map), slot, p);
	if (!e)
		e = put_socket(KERN_MAP_FD(k, g_map), slot, g);
	if (!e)
		e = learn(k, slot, true);
	if (e) {
		hr_kern_g_take(k, slot);
		return e;
	}
	k->g[slot].conn = 0;
	k->g[slot].flags = 0;
	__atomic_store_n(&k->g[slot].word, HR_G_WORD(HR_G_FREE, HR_G_GEN(word) + 1, 0),
			 __ATOMIC_RELEASE);
	return 0;
}

uint32_t hr_kern_conns(const struct hr_kern *k)
{
	return __atomic_load_n(&k->skel->bss->conns_used, __ATOMIC_RELAXED);
}

void hr_kern_g_grow_at(struct hr_kern *k, uint32_t conns)
{
	__atomic_store_n(&k->skel->bss->g_grow_at, conns, __ATOMIC_RELAXED);
}

int hr_kern_inject_to(struct hr_kern *k, uint32_t slot, uint64_t conn)
{
	__u64 word;

	if (slot >= HR_G_SLOTS)
		return -EINVAL;
	word = __atomic_load_n(&k->g[slot].word, __ATOMIC_ACQUIRE);
	if (HR_G_STATE(word) != HR_G_FREE ||
	    !__atomic_compare_exchange_n(&k->g[slot].word, &word,
					 HR_G_WORD(HR_G_BOUND, HR_G_GEN(word), 0), false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return -EBUSY;
	/* read by the program only when something is written to p, which comes after us */
	k->g[slot].flags = 0;
	k->g[slot].why = HR_WHY_RELAY;
	__atomic_store_n(&k->g[slot].conn, conn, __ATOMIC_RELEASE);
	return 0;
}
