/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether what a verdict has let through is in C's receive queue yet. On its way there it is in
 * stages that are fields of kernel structs, read through the addresses of the sockets.
 *
 *	verdict on U, under U's lock --> ingress_skb of C --(worker, work_mutex)--> recv()
 *	verdict on C, under C's lock -->/                 \-- at once when that is empty --> recv()
 *	sk_msg on S, S's lock given up --(S's send goes on)--> recv()
 *
 * An answer that is put into C from process context (LOCAL, the agent's) goes to recv() at once: it
 * must not overtake one that is on that way.
 */
#pragma once

#include "lib/slot.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct raw_lock___stages {
	__u32 val;
};

struct sock___stages {
	struct {
		int owned;
		struct {
		} slock;
	} sk_lock;
	void *sk_user_data;
};

struct sk_psock___stages {
	struct {
		struct {
			int counter;
		} refs;
	} refcnt;
	struct {
		__u32 qlen;
	} ingress_skb;
	struct {
		struct {
			long counter;
		} owner;
	} work_mutex;
	struct {
		__u32 len;
	} work_state;
};

#pragma clang attribute pop

/* Low bits of sk_user_data are flags; the one for a psock must be set. */
#define USER_DATA_PSOCK 4ULL
#define USER_DATA_FLAGS 7ULL

/* A verdict may be running on the socket at that address. */
static __always_inline int sock_locked(__u64 addr)
{
	struct sock___stages *sk = (void *)addr;
	__u32 lock = 0;

	bpf_probe_read_kernel(&lock, sizeof(lock),
			      __builtin_preserve_access_index(&sk->sk_lock.slock));
	return lock || BPF_CORE_READ(sk, sk_lock.owned);
}

static __always_inline int stages_empty(__u64 addr)
{
	struct sock___stages *sk = (void *)addr;
	__u64 user_data = (__u64)BPF_CORE_READ(sk, sk_user_data);
	struct sk_psock___stages *psock = (void *)(user_data & ~USER_DATA_FLAGS);

	if (!(user_data & USER_DATA_PSOCK))
		return 1; /* ordinary TCP: there are no stages */
	if (BPF_CORE_READ(psock, ingress_skb.qlen) ||
	    BPF_CORE_READ(psock, work_mutex.owner.counter))
		return 0;
	return !BPF_CORE_READ(psock, work_state.len);
}

/*
 * Nothing that a verdict let through is on its way to C. Asked under C's lock, or after it was seen
 * free. Each stage is seen empty after the one before it: what entered before the first look is
 * not left in between.
 */
static __always_inline int verdicts_settled(const struct conn *c)
{
	__u32 slot = c->moved_slot;
	__u64 *u = c->moved ? bpf_map_lookup_elem(&u_sk, &slot) : NULL;

	return !(u && *u && sock_locked(*u)) && stages_empty(c->pub.sk);
}

/* A client that asks on at once finds its server in the last microsecond of its send: it is given
 * this many looks, of 10 ns each. */
#define SENDING_LOOKS 400

static long sending_step(__u32 i, __u64 *psock)
{
	struct sk_psock___stages *p = (void *)*psock;

	(void)i;
	if (BPF_CORE_READ(p, refcnt.refs.counter) > 1)
		return 0;
	*psock = 0;
	return 1;
}

/* A send (or a read) of the server's socket at that address is under way: the end of an answer that
 * it has accounted for may not be in C's queue yet. Each of them holds the psock once more. */
static __always_inline int sending(__u64 addr)
{
	struct sock___stages *sk = (void *)addr;
	__u64 user_data, psock;

	if (!sk)
		return 0;
	user_data = (__u64)BPF_CORE_READ(sk, sk_user_data);
	psock = user_data & ~USER_DATA_FLAGS;
	if (!(user_data & USER_DATA_PSOCK))
		return 0;
	bpf_loop(SENDING_LOOKS, sending_step, &psock, 0);
	return psock != 0;
}

static __always_inline int server_sending(const struct conn *c)
{
	return sending(c->pair.peer);
}

/* The same of the server on this node that has answered C's last moved request, until it does
 * something else. */
static __always_inline int mover_sending(const struct conn *c)
{
	__u32 slot = c->moved_slot;
	struct hr_u *u = c->handed ? bpf_map_lookup_elem(&u_tab, &slot) : NULL;
	__u64 *peer = u ? bpf_map_lookup_elem(&u_peer, &slot) : NULL;

	return peer && u->word == HR_WORD(HR_U_FREE, c->moved_gen) && sending(*peer);
}

static __always_inline int settled(const struct conn *c)
{
	return !server_sending(c) && !mover_sending(c) && verdicts_settled(c);
}
