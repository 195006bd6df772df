/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What becomes of a request whose head the scanner accepted: virtual host, rule, destination,
 * cluster, endpoint. Knows the plan and nothing of sockets; the one place where policy is read.
 */
#pragma once

#include "lib/balance.h"
#include "lib/conn.h"
#include "lib/hashkey.h"
#include "lib/memo.h"

/* Hooks of match.h. */
struct match_ctx {
	struct conn_scratch *s;
	const struct hr_vhost *vh;
	__u32 repeated; /* a header that a rule looks at is there twice */
};

/* Length of the dimension's value, -1 when the request has none; the value goes to s->match. A
 * global function: the verifier follows its ways once, not once for each of match.h's. */
__noinline int match_value(struct conn_scratch *s, const struct hr_dim *dim, __u32 *repeated)
{
	struct hr_scan *scan = &s->scan;
	__u32 off, len, at, found;

	if (!s || !dim || !repeated)
		return -1;
	if (dim->kind == HR_DIM_PATH) {
		off = scan->path_off;
		len = scan->path_len;
	} else if (dim->kind == HR_DIM_METHOD) {
		off = 0;
		len = scan->method_len;
	} else {
		found = hr_scan_find(scan, dim->name, dim->name_len);
		if (!found)
			return -1;
		if (found > 1)
			*repeated = 1;
		at = hr_bound(scan->found, HR_SCAN_LINES - 1);
		off = scan->line[at].value_off;
		len = scan->line[at].value_len;
	}
	hr_match_load(s->match.exact.value, (const char *)scan->buf + hr_bound(off, HR_KHEAD_MASK),
		      len);
	return len;
}

#define HR_M_CTX struct match_ctx
#define HR_M_BLOCK(ctx, key) bpf_map_lookup_elem(&blocks, key)
#define HR_M_EXACT(ctx, key) bpf_map_lookup_elem(&conds, key)
#define HR_M_PREFIX(ctx, key) bpf_map_lookup_elem(&prefix_conds, key)
#define HR_M_VALUE(ctx, d, dst) match_value((ctx)->s, &(ctx)->vh->dims[d], &(ctx)->repeated)
#include "lib/match.h"

/* The loops of match.h as callbacks: the verifier sees one pass of each, not all histories. */
struct match_walk {
	struct match_ctx m;
	const struct hr_block *blk;
	__u32 block;
	int index;
};

static long match_dim_step(__u32 d, struct match_walk *w)
{
	hr_match_dim(&w->m, w->m.vh, w->blk, w->block, d, &w->m.s->match);
	return 0;
}

static long match_block_step(__u32 block, struct match_walk *w)
{
	struct hr_block_key key = {.table = w->m.vh->table, .block = block};
	__u32 ndims = w->m.vh->ndims;
	int first;

	w->blk = bpf_map_lookup_elem(&blocks, &key);
	w->block = block;
	if (!w->blk) {
		w->index = HR_MATCH_BROKEN;
		return 1;
	}
	w->m.s->match.acc = w->blk->valid;
	bpf_loop(ndims < HR_DIMS_MAX ? ndims : HR_DIMS_MAX, match_dim_step, w, 0);
	first = hr_match_first(&w->m.s->match.acc);
	if (first < 0)
		return 0;
	w->index = block * HR_BLOCK_RULES + first;
	return 1;
}

static __always_inline int decide_bind(struct decision *d, __u32 reason)
{
	d->kind = DECIDE_BIND;
	d->why = reason;
	return 0;
}

static __always_inline int decide_local(struct decision *d, __u32 reply, __u32 status)
{
	d->kind = DECIDE_LOCAL;
	d->reply = reply;
	d->status = status;
	return 0;
}

/* The name is that of the request before. */
static __always_inline int same_host(const struct conn_scratch *s)
{
	__u64 differ = s->host.len ^ s->scan.host_len;

	HR_UNROLL
	for (int i = 0; i < HR_HOST_MAX; i += 8)
		differ |= hr_w8(s->host.host + i) ^ hr_w8(s->scan.host + i);
	return !differ;
}

/* The virtual host of a request; NULL: bind for *reason. */
static __always_inline struct hr_vhost *vhost_of(const struct conn *c, struct conn_scratch *s,
						 __u32 *reason)
{
	__u32 id = s->memo.vhost, *named;
	struct hr_vhost *vh;

	if (!id || !same_host(s)) {
		s->host.port = c->pub.vip_port;
		s->host.len = s->scan.host_len;
		__builtin_memcpy(s->host.host, s->scan.host, HR_HOST_MAX);
		named = bpf_map_lookup_elem(&vhosts_by_name, &s->host);
		s->memo.vhost = 0;
		if (!named && (c->vip_flags & HR_VIP_WILDCARD)) {
			*reason = HR_WHY_HOST;
			return NULL;
		}
		id = s->memo.vhost = named ? *named : c->pub.vip_vhost;
	}
	vh = bpf_map_lookup_elem(&vhosts, &id);
	*reason = HR_WHY_VHOST;
	return vh && !(vh->flags & HR_VHOST_AGENT) ? vh : NULL;
}

/* Index of the rule, HR_MATCH_NO_RULE, or another negative number: bind for *reason. */
__noinline int match_rule(const struct conn *c, struct conn_scratch *s, __u32 *reason, __u32 *table)
{
	struct match_walk w = {.m.s = s, .index = HR_MATCH_NO_RULE};
	struct hr_vhost *vh;

	if (!c || !s || !reason || !table)
		return HR_MATCH_BROKEN;
	vh = vhost_of(c, s, reason);
	if (!vh)
		return HR_MATCH_BROKEN;
	*table = vh->table;
	w.m.vh = vh;
	bpf_loop(vh->nblocks < HR_BLOCKS_MAX ? vh->nblocks : HR_BLOCKS_MAX, match_block_step, &w,
		 0);
	if (w.m.repeated) {
		*reason = HR_WHY_DUP_HEADER;
		return HR_MATCH_BROKEN;
	}
	*reason = HR_WHY_RULE;
	return w.index;
}

struct dst_walk {
	const struct hr_rule *rule;
	__u32 r, at;
};

/* First destination whose cumulated weight is above r. */
static long dst_step(__u32 i, struct dst_walk *w)
{
	__u32 at = hr_bound(i, HR_DST_MAX - 1);

	if (w->rule->dst[at].cum <= w->r)
		return 0;
	w->at = at;
	return 1;
}

/* Its index, HR_DST_MAX: there is none. */
static __always_inline __u32 pick_destination(const struct hr_rule *rule)
{
	struct dst_walk w = {.rule = rule, .at = HR_DST_MAX};
	__u32 n = rule->ndst;

	if (!rule->total)
		return HR_DST_MAX;
	if (n == 1)
		return 0;
	w.r = bpf_get_prandom_u32() % rule->total;
	bpf_loop(n < HR_DST_MAX ? n : HR_DST_MAX, dst_step, &w, 0);
	return w.at;
}

#define NS_PER_MS 1000000ULL

/* C's connection has had all that the cluster wants of one (hr_cluster.max_per_conn ...). */
static __always_inline int conn_spent(const struct conn *c, const struct hr_cluster *cl)
{
	__u64 now = c->pub.t0; /* of this request */

	if (cl->max_per_conn && c->used >= cl->max_per_conn)
		return 1;
	if (cl->age_ms && now - c->born >= cl->age_ms * NS_PER_MS)
		return 1;
	return cl->idle_ms && now - (c->free_at ? c->free_at : c->born) >= cl->idle_ms * NS_PER_MS;
}

/* Compare-and-exchanges against the agent and other processors. */
#define PLACE_TRIES 8

/* A place in the cluster for one request: 0, or 1: its limit is reached. */
static __always_inline int take_place(const struct hr_cluster *cl, struct hr_cluster_rt *rt)
{
	__u64 word;

	if (!cl->max_requests) {
		__sync_fetch_and_add(&rt->inflight.by.kernel, 1);
		return 0;
	}
	for (int i = 0; i < PLACE_TRIES; i++) {
		word = rt->inflight.word;
		if (HR_INFLIGHT_SUM(word) >= cl->max_requests)
			return 1;
		if (__sync_val_compare_and_swap(&rt->inflight.word, word, word + 1) == word)
			return 0;
	}
	return 1;
}

/* Hash of the request's key: enum hr_key_verdict. A global function, as match_value is. */
__noinline int hash_of(const struct conn *c, struct conn_scratch *s, const struct hr_cluster *cl,
		       __u64 *hash)
{
	if (!c || !s || !cl || !hash)
		return HR_KEY_DECLINED;
	if (cl->hash == HR_HASH_SOURCE_IP) {
		*hash = hr_hash_end(
			hr_hash_word(hr_hash_word(HR_HASH_START, c->src_ip[0]), c->src_ip[1]), 16);
		return HR_KEY_FOUND;
	}
	return hr_key_find(&s->scan, cl->hash, cl->hash_name, cl->hash_len, hash);
}

/* 0, or the reason to bind. */
static __always_inline __u32 choose_by_hash(const struct conn *c, struct conn_scratch *s,
					    const struct hr_cluster *cl, struct pick *p)
{
	__u64 hash = s->memo.hash;
	int r = HR_KEY_FOUND;

	if (s->memo.hashed != p->cluster) {
		r = hash_of(c, s, cl, &hash);
		s->memo.hashed = r == HR_KEY_FOUND ? p->cluster : 0;
		s->memo.hash = hash;
	}
	if (r == HR_KEY_DECLINED || (r == HR_KEY_ABSENT && (cl->flags & HR_CLUSTER_COOKIE)))
		return HR_WHY_CLUSTER;
	pick_endpoint(p, cl, r ? NULL : &hash, 0);
	return 0;
}

/* Endpoint of the chosen cluster, or the answer that there is none. A global function: its stack is
 * not that of the search for the rule. */
__noinline int decide_endpoint(const struct conn *c, struct conn_scratch *s, struct decision *d)
{
	struct hr_cluster_rt *rt;
	const struct hr_cluster *cl;
	struct pick p = {};
	__u32 id;

	if (!c || !s || !d)
		return 0;
	id = d->cluster;
	cl = memo_cluster(s, id);
	if (cl && (cl->flags & HR_CLUSTER_SEEN)) {
		id = cluster_seen(id, c->pub.workload);
		cl = memo_cluster(s, id);
	}
	d->cluster = p.cluster = id;
	if (!cl || (cl->flags & HR_CLUSTER_AGENT))
		return decide_bind(d, HR_WHY_CLUSTER);
	rt = bpf_map_lookup_elem(&cluster_rt, &id);
	if (!rt)
		return decide_bind(d, HR_WHY_CLUSTER);
	if (!HR_TABLE_N(rt->table) && cl->lb != HR_LB_PASSTHROUGH)
		return decide_local(d, cl->flags & HR_CLUSTER_MISSING ? HR_REPLY_NC : HR_REPLY_UH,
				    503);
	d->conns = cl->conns;
	d->spent = (c->pub.flags & HR_CONN_F_DEAD) || conn_spent(c, cl);
	if (cl->hash) {
		if (choose_by_hash(c, s, cl, &p))
			return decide_bind(d, HR_WHY_CLUSTER);
	} else if (cl->lb == HR_LB_LEAST_REQUEST) {
		pick_endpoint(&p, cl, NULL, d->spent ? 0 : c->pub.addr_id);
		d->own_ep = p.own_ep;
	} else if (cl->lb == HR_LB_PASSTHROUGH) {
		/* only C's own connection leads there, and only if it was not led elsewhere */
		if (c->pub.addr_id != HR_ADDR_ASKED || d->spent)
			return decide_bind(d, HR_WHY_CLUSTER);
		p.addr_id = HR_ADDR_ASKED;
	} else {
		pick_endpoint(&p, cl, NULL, 0);
	}
	if (!p.ep && cl->lb != HR_LB_PASSTHROUGH)
		return decide_bind(d, HR_WHY_NO_ENDPOINT);
	/* those that wait for a connection come first */
	if ((cl->flags & HR_CLUSTER_WAIT) && rt->pending)
		return decide_bind(d, HR_WHY_CLUSTER);
	if (take_place(cl, rt)) {
		if (cl->flags & HR_CLUSTER_WAIT)
			return decide_bind(d, HR_WHY_CLUSTER);
		__sync_fetch_and_add(&rt->rq_overflow, 1);
		return decide_local(d, HR_REPLY_UO, 503);
	}
	d->kind = DECIDE_SEND;
	d->ep = p.ep;
	d->addr_id = p.addr_id;
	return 0;
}

/* Until when an answer is waited for, and which answers are tried again: for watch_begin(). 0 or
 * why to bind. */
static __always_inline __u32 decide_watch(struct conn *c, const struct hr_rule *rule,
					  const struct conn_scratch *s)
{
	if ((rule->flags & HR_RULE_REPLAY) && s->scan.content_length)
		return HR_WHY_REPLAY_BODY;
	c->rule_flags = rule->flags;
	c->wait_ms = rule->timeout_ms;
	c->by_try = rule->per_try_ms && (!c->wait_ms || rule->per_try_ms < c->wait_ms);
	if (c->by_try)
		c->wait_ms = rule->per_try_ms;
	if (rule->flags & HR_RULE_RETRY_STATUS)
		__builtin_memcpy(c->retry_status, rule->retry_status, sizeof(c->retry_status));
	return 0;
}

/* match_rule(), or what it said of the same head before. */
static __always_inline int rule_of(const struct conn *c, struct conn_scratch *s, __u32 *reason,
				   __u32 *table)
{
	int index;

	memo_check(s);
	if (s->memo.table) {
		*table = s->memo.table;
		return s->memo.index;
	}
	index = match_rule(c, s, reason, table);
	if (index >= 0) {
		s->memo.table = *table;
		s->memo.index = index;
	}
	return index;
}

struct absent_walk {
	struct hr_scan *scan;
	const struct hr_edit *edit;
	__u32 found;
};

static long absent_step(__u32 i, struct absent_walk *w)
{
	__u32 at = hr_bound(i, HR_EDIT_NAMES - 1);

	w->found |= hr_scan_find(w->scan, w->edit->absent[at].name, w->edit->absent[at].len);
	return w->found != 0;
}

/* What the rule adds to heads, for edit_head(). 0, or why to bind. A global function, as
 * match_value is. */
__noinline int decide_edit(struct conn_scratch *s, __u32 dst)
{
	struct absent_walk w = {};
	struct hr_edit *e;

	if (!s)
		return HR_WHY_RULE;
	s->edit.dst = dst;
	e = bpf_map_lookup_elem(&edits, &s->edit);
	if (!e)
		return HR_WHY_RULE;
	w.scan = &s->scan;
	w.edit = e;
	bpf_loop(e->n_absent < HR_EDIT_NAMES ? e->n_absent : HR_EDIT_NAMES, absent_step, &w, 0);
	s->edit_len = e->len;
	return w.found ? HR_WHY_EDIT : 0;
}

/* Fills *d for the request in s->scan, and what its answer is held to into *c: nothing is owed to
 * C. */
__noinline int decide(struct conn *c, struct conn_scratch *s, struct decision *d)
{
	struct hr_rule_key key = {};
	const struct hr_rule *rule;
	__u32 reason = 0, at;
	int index;

	if (!c || !s || !d)
		return 0;
	s->edit_len = 0;
	index = rule_of(c, s, &reason, &key.table);
	if (index == HR_MATCH_NO_RULE)
		return decide_local(d, HR_REPLY_NR, 404);
	if (index < 0)
		return decide_bind(d, reason);
	key.index = index;
	rule = memo_rule(s, &key);
	if (!rule)
		return decide_bind(d, HR_WHY_RULE);
	d->route = rule->route;
	if (rule->action == HR_ACT_LOCAL)
		return decide_local(d, rule->reply, rule->status);
	if (rule->action != HR_ACT_ROUTE || rule->why)
		return decide_bind(d, rule->why ? rule->why : HR_WHY_RULE);
	if (rule->abort_ppm && bpf_get_prandom_u32() % 1000000 < rule->abort_ppm) {
		d->why = 1;
		return decide_local(d, rule->reply, rule->status);
	}
	reason = decide_watch(c, rule, s);
	if (reason)
		return decide_bind(d, reason);
	if (rule->mirror_ppm && s->scan.content_length) /* only the agent copies bodies */
		return decide_bind(d, HR_WHY_MIRROR_BODY);
	s->copy.route = rule->route;
	s->mirrored = rule->mirror_ppm && bpf_get_prandom_u32() % 1000000 < rule->mirror_ppm;
	at = pick_destination(rule);
	if (at >= HR_DST_MAX)
		return decide_bind(d, HR_WHY_RULE);
	d->cluster = rule->dst[hr_bound(at, HR_DST_MAX - 1)].cluster;
	if (rule->flags & HR_RULE_EDIT) {
		s->edit.table = key.table;
		s->edit.index = index;
		reason = decide_edit(s, at);
		if (reason)
			return decide_bind(d, reason);
	}
	return decide_endpoint(c, s, d);
}
