/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How the two ends of a connection on one node find each other, in sockops.
 *
 *	C established	meets[hash of addresses, ports] = those, cookie, sequence numbers
 *	S established	finds the offer, has the same sequence numbers: it is the other end, in
 *			whatever network namespace; enters s_hash under the cookie of C
 *	C closes	its entry goes
 *	S closes	C forgets it when its FIN comes
 *
 * A socket with a psock must not be a blocking one (DESIGN trap 22), and S is nobody's file before
 * accept(): what a listener's sockets are is learned from the first of them, which stays ordinary.
 */
#pragma once

#include "lib/addr.h"
#include "lib/slot.h"
#include "lib/spill.h"

#define PAIR_OFFERS_BITS 13
_Static_assert(1 << PAIR_OFFERS_BITS == HR_PAIR_OFFERS, "an index into `meets`");

/* 0: non-blocking, 1: blocking, -1: no process has it yet. */
static __always_inline int socket_kind(const struct sock *sk)
{
	struct socket *sock = sk->sk_socket;
	struct file *file = sock ? sock->file : NULL;

	if (!file)
		return -1;
	return !(file->f_flags & O_NONBLOCK);
}

/* A psock would change what its owner sees of this socket: completions of zero-copy sends, where an
 * urgent byte stands (docs/ARCHITECTURE.md, "Same node"). */
static __always_inline int wants_tcp(const struct sock *sk)
{
	return SOCK_FLAG(sk, SOCK_ZEROCOPY) || SOCK_FLAG(sk, SOCK_URGINLINE);
}

/* What a listener is whose accepted sockets are such; HR_LISTENER_UNKNOWN: no process has it yet.
 */
static __always_inline enum hr_listener listener_kind(const struct sock *sk)
{
	int blocks = socket_kind(sk);

	if (blocks < 0)
		return HR_LISTENER_UNKNOWN;
	if (blocks)
		return HR_LISTENER_BLOCKS;
	return wants_tcp(sk) ? HR_LISTENER_WANTS_TCP : HR_LISTENER_NONBLOCK;
}

/* ---- C ---------------------------------------------------------------------------------------
 */

static __always_inline void ops_addrs(struct bpf_sock_ops *ops, __u8 local[16], __u8 remote[16])
{
	__u32 *l = (__u32 *)local, *r = (__u32 *)remote, from, to;

	if (ops->family == AF_INET) {
		from = ops->local_ip4;
		to = ops->remote_ip4;
		/* the compiler must not make one load of these and of those below */
		asm volatile("" : "+r"(from), "+r"(to));
		ip_from_v4(local, from);
		ip_from_v4(remote, to);
		return;
	}
	l[0] = ops->local_ip6[0];
	l[1] = ops->local_ip6[1];
	l[2] = ops->local_ip6[2];
	l[3] = ops->local_ip6[3];
	r[0] = ops->remote_ip6[0];
	r[1] = ops->remote_ip6[1];
	r[2] = ops->remote_ip6[2];
	r[3] = ops->remote_ip6[3];
}

/* Addresses that a workload chooses so that they meet in one place cost it the pairing, no more. */
static __always_inline struct meet *meet_at(const struct hr_pair_key *key)
{
	const __u32 *c = (const __u32 *)key->c_ip, *s = (const __u32 *)key->s_ip;
	__u32 h = (c[0] ^ s[0]) + (c[1] ^ s[1]) * 3 + (c[2] ^ s[2]) * 5;

	h = (h ^ c[3]) * 0x9e3779b1;
	h = (h ^ s[3] ^ ((__u32)key->c_port << 16 | key->s_port)) * 0x9e3779b1;
	h >>= 32 - PAIR_OFFERS_BITS;
	return bpf_map_lookup_elem(&meets, &h);
}

static __always_inline int same_key(const struct hr_pair_key *a, const struct hr_pair_key *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]));
}

static __always_inline void meet_offer(const struct hr_pair_key *key, const struct hr_pair_offer *o)
{
	struct meet *m = meet_at(key);

	if (!m || __sync_lock_test_and_set(&m->busy, 1))
		return;
	m->key = *key;
	m->offer = *o;
	__sync_lock_test_and_set(&m->busy, 0);
}

/* 1: it was there, and is taken. */
static __always_inline int meet_take(const struct hr_pair_key *key, const struct tcp_sock *tp,
				     struct hr_pair_offer *o)
{
	struct meet *m = meet_at(key);
	int is;

	if (!m || !m->offer.conn || __sync_lock_test_and_set(&m->busy, 1))
		return 0;
	is = m->offer.conn && m->offer.c_seq == tp->rcv_nxt && m->offer.s_seq == tp->write_seq &&
	     same_key(&m->key, key);
	if (is) {
		*o = m->offer;
		m->offer.conn = 0;
	}
	__sync_lock_test_and_set(&m->busy, 0);
	return is;
}

/* C may be met by a server on this node. */
static __always_inline void pair_offer(struct bpf_sock_ops *ops, __u64 cookie, struct tcp_sock *tp,
				       enum hr_offer kind)
{
	struct hr_pair_offer offer = {.conn = cookie, .kind = kind};
	struct hr_pair_key key = {};

	if (!tp || !same_node_on() || listener_kind((struct sock *)tp) != HR_LISTENER_NONBLOCK)
		return;
	ops_addrs(ops, key.c_ip, key.s_ip);
	key.c_port = ops->local_port;
	key.s_port = bpf_ntohl(ops->remote_port);
	offer.c_seq = tp->write_seq;
	offer.s_seq = tp->rcv_nxt;
	meet_offer(&key, &offer);
}

/* ---- listeners ------------------------------------------------------------------------------ */

static __always_inline struct hr_listener_key listener_of(struct bpf_sock_ops *ops)
{
	return (struct hr_listener_key){.netns = bpf_get_netns_cookie(ops),
					.port = ops->local_port};
}

/* What a server on this node is like, for clients that connect to where S is. */
static __always_inline void place_learn(struct bpf_sock_ops *ops, __u32 is)
{
	struct hr_place at = {.port = ops->local_port};
	__u8 client[16];

	ops_addrs(ops, at.ip, client);
	bpf_map_update_elem(&places, &at, &is, BPF_ANY);
}

static __always_inline int place_is_good(struct bpf_sock_ops *ops)
{
	struct hr_place at = {.port = bpf_ntohl(ops->remote_port)};
	__u8 own[16];
	__u32 *is;

	ops_addrs(ops, own, at.ip);
	is = bpf_map_lookup_elem(&places, &at);
	return is && *is == HR_LISTENER_NONBLOCK;
}

/* Another program may listen there now. */
static __always_inline void listener_forget(struct bpf_sock_ops *ops)
{
	struct hr_listener_key key = listener_of(ops);

	bpf_map_delete_elem(&listeners, &key);
}

/* A socket that cannot be paired settles it for its listener, whatever the others were. */
static __always_inline void listener_learn(const struct hr_listener_key *key, __u32 is)
{
	__u32 *known = bpf_map_lookup_elem(&listeners, key);

	if (!known || *known < is)
		bpf_map_update_elem(&listeners, key, &is, BPF_ANY);
}

/* S, the first of its listener, has a file by now or is looked at again later. */
static __always_inline void pair_learn(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct hr_listener_key key;
	struct tcp_sock *tp;
	__u32 kind;

	if (!sk)
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return;
	kind = listener_kind((struct sock *)tp);
	if (kind == HR_LISTENER_UNKNOWN)
		return;
	key = listener_of(ops);
	listener_learn(&key, kind);
	place_learn(ops, kind);
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags & ~BPF_SOCK_OPS_RTT_CB_FLAG);
}

/* ---- S --------------------------------------------------------------------------------------- */

#define SERVER_LEVELS 16

struct owner_search {
	__u64 cgroup; /* address */
	int level;
	__u32 flags;
};

static long owner_step(__u32 i, struct owner_search *s)
{
	struct cgroup *cgroup = (struct cgroup *)s->cgroup;
	struct hr_workload *wl;
	int at = s->level - (int)i;
	__u64 id;

	if (at < 0)
		return 1;
	id = BPF_CORE_READ(cgroup, ancestors[at], kn, id);
	wl = bpf_map_lookup_elem(&workloads, &id);
	if (!wl)
		return 0;
	s->flags = wl->flags;
	return 1;
}

/* HR_WL_* of the nearest enrolled cgroup of a socket. */
static __always_inline __u32 owner_flags(const struct sock *sk)
{
	struct cgroup *cgroup = sk->sk_cgrp_data.cgroup;
	struct owner_search s = {.cgroup = (__u64)cgroup};

	if (!cgroup)
		return HR_WL_SAME_NODE_OFF;
	s.level = cgroup->level;
	bpf_loop(SERVER_LEVELS, owner_step, &s, 0);
	return s.flags;
}

/* Whether S may get a psock: its listener is known, and its workload and its options allow it. -1:
 * it is the first of its listener. */
static __always_inline int server_fits(struct bpf_sock_ops *ops, const struct sock *sk)
{
	struct hr_listener_key key = listener_of(ops);
	__u32 *known = bpf_map_lookup_elem(&listeners, &key);

	if (owner_flags(sk) & (HR_WL_SAME_NODE_OFF | HR_WL_AGENT))
		return 0;
	if (wants_tcp(sk)) { /* as its listener does */
		count_pair(HR_PAIR_OPTIONS, 1);
		return 0;
	}
	if (!known) {
		count_pair(HR_PAIR_UNKNOWN, 1);
		bpf_sock_ops_cb_flags_set(ops,
					  ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_RTT_CB_FLAG);
		return -1;
	}
	if (*known == HR_LISTENER_NONBLOCK)
		return 1;
	count_pair(*known == HR_LISTENER_BLOCKS ? HR_PAIR_BLOCKING : HR_PAIR_OPTIONS, 1);
	return 0;
}

/* S is the other end of a pooled connection, as far as its ports say: `learn` looks closer. */
static __always_inline void pool_accept(struct bpf_sock_ops *ops, struct bpf_sock *sk,
					const struct hr_pair_offer *o, struct tcp_sock *tp)
{
	struct u_pair at = {.peer = (__u64)tp, .c_seq = tp->rcv_nxt, .s_seq = tp->write_seq};
	__u64 cookie = o->conn;
	struct served *s;

	s = bpf_sk_storage_get(&serve_store, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s)
		return;
	s->conn = cookie;
	s->pooled = 1;
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	if (!bpf_sock_hash_update(ops, &s_hash, &cookie, BPF_NOEXIST))
		bpf_map_update_elem(&u_pairs, &cookie, &at, BPF_ANY);
}

static __always_inline void pool_leave(__u64 cookie)
{
	__u32 *slot = bpf_map_lookup_elem(&u_slots, &cookie);
	__u64 *peer = slot ? bpf_map_lookup_elem(&u_peer, slot) : NULL;

	if (peer)
		*peer = 0;
	bpf_map_delete_elem(&u_pairs, &cookie);
}

/* Takes the offer that this connection answers; its kind, or -1. */
static __always_inline int offer_take(struct bpf_sock_ops *ops, const struct tcp_sock *tp,
				      struct hr_pair_offer *o)
{
	struct hr_pair_offer *found;
	struct hr_pair_key key = {};

	ops_addrs(ops, key.s_ip, key.c_ip);
	key.s_port = ops->local_port;
	key.c_port = bpf_ntohl(ops->remote_port);
	if (meet_take(&key, tp, o))
		return o->kind;
	__builtin_memset(key.c_ip, 0, sizeof(key.c_ip));
	found = bpf_map_lookup_elem(&offers, &key);
	if (!found)
		return -1;
	*o = *found;
	bpf_map_delete_elem(&offers, &key);
	return o->kind;
}

static __always_inline void pair_accept(struct bpf_sock_ops *ops)
{
	struct u_pair first = {};
	struct bpf_sock *sk = ops->sk;
	struct hr_pair_offer o = {};
	struct served *s;
	struct tcp_sock *tp;
	struct conn *c;
	int kind, fits;

	if (!sk || !same_node_on())
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	kind = tp ? offer_take(ops, tp, &o) : -1;
	if (kind < 0)
		return;
	fits = server_fits(ops, (struct sock *)tp);
	if (fits < 0 && kind == HR_OFFER_POOL)
		bpf_map_update_elem(&u_pairs, &o.conn, &first, BPF_ANY);
	if (fits <= 0)
		return;
	if (kind == HR_OFFER_LEARN) {
		place_learn(ops, HR_LISTENER_NONBLOCK);
		return;
	}
	if (kind == HR_OFFER_POOL) {
		pool_accept(ops, sk, &o, tp);
		return;
	}
	c = bpf_map_lookup_elem(&conns, &o.conn);
	s = c ? bpf_sk_storage_get(&serve_store, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE) : NULL;
	if (!s)
		return;
	s->conn = o.conn;
	if (bpf_sock_hash_update(ops, &s_hash, &o.conn, BPF_NOEXIST))
		return;
	c->pair.peer = (__u64)tp;
	count_pair(HR_PAIR_MADE, 1);
	if (c->pub.state == HR_CONN_TUNNEL)
		count_pair(HR_PAIR_OPAQUE, 1);
}

/* The server's end of a pooled connection is closed. */
static __always_inline void pool_accept_ends(struct bpf_sock *sk)
{
	struct served *s = bpf_sk_storage_get(&serve_store, sk, NULL, 0);

	if (s && s->pooled)
		pool_leave(s->conn);
}

/* S sends no more, and may be gone at any time: C is alone. It is C that is asked, in states that
 * it is asked for anyway; S would be for each of its own. */
static __always_inline void pair_part(__u64 cookie)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &cookie);

	if (c)
		c->pair.peer = 0;
}
