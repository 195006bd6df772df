/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which endpoint of a cluster: the policy of struct hr_cluster.lb over a range of its list. */
#pragma once

#include "lib/maps.h"

/* Looks at so many endpoints for one that is known to be alive, then takes the best seen; never one
 * that is ejected. */
#define PICK_TRIES 16

static __always_inline struct hr_cluster_ep *cluster_ep_at(__u32 eset, __u32 index)
{
	struct hr_cluster_ep_key key = {.eset = eset, .index = index};

	return bpf_map_lookup_elem(&cluster_eps, &key);
}

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

struct pick {
	__u32 eset, first, n; /* range of the cluster's list */
	__u32 at;	      /* where to start, < n */
	__u32 ep, addr_id;    /* out; 0: none found */
	__u32 any_ep, any_addr, any_rank;
};

static long pick_step(__u32 i, struct pick *p)
{
	__u32 index = p->at + i;
	struct hr_cluster_ep *e;
	struct hr_ep_rt *rt;
	__u32 rank;

	if (i >= p->n)
		return 1;
	if (index >= p->n)
		index -= p->n;
	e = cluster_ep_at(p->eset, p->first + index);
	rt = e ? ep_state(e->ep) : NULL;
	if (!rt || (rt->flags & HR_EPRT_EJECTED))
		return 0;
	rank = ep_rank(rt);
	if (!p->any_ep || rank > p->any_rank) {
		p->any_ep = e->ep;
		p->any_addr = e->addr_id;
		p->any_rank = rank;
	}
	if (rank < 2)
		return 0;
	p->ep = e->ep;
	p->addr_id = e->addr_id;
	return 1;
}

/* From p->at on, the first that is known to be alive; else the first of which nothing is known;
 * else the first at all. */
static __always_inline void pick_from(struct pick *p)
{
	p->ep = p->addr_id = p->any_ep = p->any_addr = 0;
	bpf_loop(PICK_TRIES, pick_step, p, 0);
	if (!p->ep) {
		p->ep = p->any_ep;
		p->addr_id = p->any_addr;
	}
}

static __always_inline __u32 ep_inflight(__u32 ep)
{
	struct hr_ep_rt *rt = ep_state(ep);

	return rt ? HR_INFLIGHT_SUM(rt->inflight.word) : ~0U;
}

/*
 * Chooses among endpoints first .. first + n - 1 of the cluster's list. `own_ep`/`own_addr`: the
 * endpoint that costs nothing (C is connected to it), 0 for none; LEAST_REQUEST compares it with
 * one other and stays on a tie. p->ep 0: there is none. Negative: a policy that only the agent
 * knows.
 */
static __always_inline int pick_endpoint(struct pick *p, const struct hr_cluster *c,
					 __u32 cluster_id, __u32 own_ep, __u32 own_addr)
{
	struct hr_cluster_rt *rt;
	__u32 ep, addr_id;

	p->eset = c->eset;
	p->ep = 0;
	if (!p->n)
		return 0;
	if (c->lb == HR_LB_ROUND_ROBIN) {
		rt = bpf_map_lookup_elem(&cluster_rt, &cluster_id);
		p->at = rt ? (__u32)__sync_fetch_and_add(&rt->rr, 1) % p->n : 0;
		pick_from(p);
		return 0;
	}
	if (c->lb != HR_LB_RANDOM && c->lb != HR_LB_LEAST_REQUEST)
		return -1;
	p->at = bpf_get_prandom_u32() % p->n;
	pick_from(p);
	if (c->lb == HR_LB_RANDOM || p->n == 1)
		return 0;
	ep = p->ep;
	addr_id = p->addr_id;
	if (own_ep && ep_alive(own_ep)) {
		if (ep_inflight(own_ep) <= ep_inflight(ep)) {
			p->ep = own_ep;
			p->addr_id = own_addr;
		}
		return 0;
	}
	p->at = bpf_get_prandom_u32() % p->n;
	pick_from(p);
	if (!p->ep || (ep && ep_inflight(ep) < ep_inflight(p->ep))) {
		p->ep = ep;
		p->addr_id = addr_id;
	}
	return 0;
}
