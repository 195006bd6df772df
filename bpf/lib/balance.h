/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which endpoint of a cluster. Every policy looks into the cluster's table of slots
 * (user/plan/balance/tables.h), in which an endpoint stands as often as its share is:
 *
 *	ROUND_ROBIN	the next slot
 *	RANDOM		any slot
 *	LEAST_REQUEST	any two, and the endpoint with less in flight for its weight
 *	ring, Maglev	the slot of the key's hash
 */
#pragma once

#include "lib/hash.h"
#include "lib/maps.h"

/* Looks at so many slots for an endpoint that is known to be alive, then takes the best seen; never
 * one that is ejected. */
#define PICK_TRIES 16
/* Where only endpoints of one address family will do: those of the other may come in a row. */
#define PICK_TRIES_FAMILY 1024

static __always_inline struct hr_ep_rt *ep_state(__u32 ep)
{
	return bpf_map_lookup_elem(&ep_rt, &ep);
}

static __always_inline int ep_alive(__u32 ep)
{
	struct hr_ep_rt *rt = ep_state(ep);

	return rt && !(rt->flags & (HR_EPRT_DEAD | HR_EPRT_EJECTED));
}

/* 2: known to be alive, 1: nothing known (new), 0: dead. */
static __always_inline __u32 ep_rank(const struct hr_ep_rt *rt)
{
	if (rt->flags & HR_EPRT_DEAD)
		return 0;
	return rt->flags & HR_EPRT_PROVED ? 2 : 1;
}

/* Id of a cluster as a workload sees it; 0: the agent must say. */
static __always_inline __u32 cluster_seen(__u32 id, __u32 workload)
{
	struct hr_seen_key key = {.cluster = id, .workload = workload};
	__u32 *other = bpf_map_lookup_elem(&seen, &key);

	return other ? *other : 0;
}

struct pick {
	__u64 table;	   /* hr_cluster_rt.table */
	__u32 n;	   /* its slots */
	__u32 cluster;	   /* id */
	__u32 family;	   /* 0: any */
	__u32 good;	   /* rank that ends the search */
	__u32 at;	   /* where to start, < n */
	__u32 ep, addr_id; /* out; 0: none found */
	__u32 rank;
	__u32 own_ep; /* out, LEAST_REQUEST: the caller's own, which would do as well; 0: none */
};

static __always_inline __u32 slot_ep(__u64 table, __u32 slot)
{
	__u32 page = HR_TABLE_PAGE(table) + slot / HR_SLOTS_PAGE;
	struct hr_slots *p = bpf_map_lookup_elem(&slots, &page);

	return p ? p->ep[hr_bound(slot, HR_SLOTS_PAGE - 1)] : 0;
}

/* 1: the search is over. */
static __always_inline int pick_look(struct pick *p, __u32 slot)
{
	__u32 ep = slot_ep(p->table, slot), rank;
	struct hr_ep_rt *rt = ep_state(ep);

	/* another's: the pages of a table that was replaced are given again after a while */
	if (!rt || rt->cluster != p->cluster || (rt->flags & HR_EPRT_EJECTED))
		return 0;
	if (p->family && rt->family != p->family)
		return 0;
	rank = ep_rank(rt);
	if (!p->ep || rank > p->rank) {
		p->ep = ep;
		p->addr_id = rt->addr_id;
		p->rank = rank;
	}
	return rank >= p->good;
}

static long pick_step(__u32 i, struct pick *p)
{
	__u32 slot = p->at + 1 + i;

	if (i + 1 >= p->n)
		return 1;
	if (slot >= p->n)
		slot -= p->n;
	return pick_look(p, slot);
}

/* From p->at on, the first of a good rank; else the best that was seen. */
static __always_inline void pick_from(struct pick *p)
{
	p->ep = p->addr_id = 0;
	if (!pick_look(p, p->at))
		bpf_loop(p->family ? PICK_TRIES_FAMILY : PICK_TRIES, pick_step, p, 0);
}

static __always_inline __u32 any_slot(const struct pick *p)
{
	return hr_hash_slot((__u64)bpf_get_prandom_u32() << 32, p->n);
}

/* Has `a` less in flight, for its weight, than `b`? */
static __always_inline int less_loaded(__u32 a, __u32 b)
{
	struct hr_ep_rt *x = ep_state(a), *y = ep_state(b);

	return x && y &&
	       (__u64)HR_INFLIGHT_SUM(x->inflight.word) * y->weight <
		       (__u64)HR_INFLIGHT_SUM(y->inflight.word) * x->weight;
}

/* The caller's own endpoint, when it is alive and as good as any other; 0: it is not. */
static __always_inline __u32 own_endpoint(const struct pick *p, __u32 own_addr)
{
	struct hr_member_key own = {.cluster = p->cluster, .addr_id = own_addr};
	__u32 *ep = own_addr ? bpf_map_lookup_elem(&members, &own) : NULL;

	return ep && ep_alive(*ep) ? *ep : 0;
}

static __always_inline void pick_least(struct pick *p, __u32 own_addr)
{
	__u32 ep, addr_id, rank;

	p->at = any_slot(p);
	pick_from(p);
	if (p->n == 1)
		return;
	ep = p->ep;
	addr_id = p->addr_id;
	rank = p->rank;
	if (p->table & HR_TABLE_EVEN) {
		if (own_addr && rank && addr_id == own_addr)
			return; /* it is its own, and alive */
		p->own_ep = own_endpoint(p, own_addr);
		if (p->own_ep && ep && less_loaded(ep, p->own_ep))
			return;
		if (p->own_ep) {
			p->ep = p->own_ep;
			p->addr_id = own_addr;
			return;
		}
	}
	p->at = any_slot(p);
	pick_from(p);
	if (!p->ep || (ep && (rank > p->rank || (rank == p->rank && !less_loaded(p->ep, ep))))) {
		p->ep = ep;
		p->addr_id = addr_id;
	}
}

/*
 * Chooses by the cluster's policy. The caller has set family and, with consistentHash, `hash`;
 * NULL: the request has no key, any endpoint will do. `own_addr`: of the endpoint that costs
 * nothing (C is connected to it), 0 for none; LEAST_REQUEST compares it with one other and stays on
 * a tie. p->ep 0: there is none.
 */
static __always_inline void pick_endpoint(struct pick *p, const struct hr_cluster *c,
					  const __u64 *hash, __u32 own_addr)
{
	__u32 id = p->cluster;
	struct hr_cluster_rt *rt = bpf_map_lookup_elem(&cluster_rt, &id);

	p->ep = p->own_ep = 0;
	p->table = rt ? *(volatile __u64 *)&rt->table : 0;
	p->n = HR_TABLE_N(p->table);
	if (!p->n || !rt)
		return;
	p->good = 2;
	if (hash) {
		/* a key stays where it is until its endpoint is known to be dead */
		p->good = 1;
		p->at = hr_hash_slot(*hash, p->n);
	} else if (c->lb == HR_LB_ROUND_ROBIN) {
		p->at = (__u32)__sync_fetch_and_add(&rt->rr, 1) % p->n;
	} else if (c->lb == HR_LB_LEAST_REQUEST) {
		pick_least(p, own_addr);
		return;
	} else {
		p->at = any_slot(p);
	}
	pick_from(p);
}
