/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/*
 * First rule of a virtual host that a request matches: the one algorithm, compiled for BPF and
 * for user space (DESIGN "Flat-cost routing", struct hr_block in abi.h).
 *
 * It calls no map and knows no request. Who includes it defines, before:
 *
 *	HR_M_CTX		type behind the `ctx` pointer that every hook gets
 *	HR_M_BLOCK(ctx, key)	row of `blocks`, or NULL
 *	HR_M_EXACT(ctx, key)	row of `conds`, or NULL
 *	HR_M_PREFIX(ctx, key)	row of the longest prefix, or NULL
 *	HR_M_VALUE(ctx, d, dst)	the first HR_COND_MAX bytes of the value of dimension d,
 *				zero padded (hr_match_load); gives its whole length, or
 *				-1 when the request has none
 *
 * Keys live in struct hr_match_scratch, which the caller supplies (socket storage in BPF: the
 * stack has 512 bytes, and a program that may be preempted has no per-CPU buffer). The struct is in
 * match_scratch.h, which needs no hook.
 *
 * Cost: per block and dimension at most two look-ups and 16 words, whatever the number of rules.
 * The caller has checked that the vhost is not HR_VHOST_AGENT.
 */
#pragma once

#include "lib/match_scratch.h"

/* Takes the rules out of s->acc that dimension d of the request rules out. */
HR_M_INLINE void hr_match_dim(HR_M_CTX *ctx, const struct hr_vhost *vh, const struct hr_block *blk,
			      __u32 block, __u32 d, struct hr_match_scratch *s)
{
	const struct hr_cond *exact = &hr_match_no_row, *prefix = &hr_match_no_row, *row;
	__u64 here;
	__u32 flags, n;
	int len;

	HR_M_OPAQUE(d);
	d &= HR_DIMS_MAX - 1;
	flags = vh->dims[d].flags;
	len = HR_M_VALUE(ctx, d, s->exact.value);
	here = len < 0 ? 0 : ~0ULL;
	s->exact.table = vh->table;
	s->exact.block = block;
	s->exact.dim = d;
	if (len >= 0 && len <= HR_COND_MAX && (flags & HR_DIM_HAS_EXACT)) {
		s->exact.len = len;
		row = HR_M_EXACT(ctx, &s->exact);
		if (row)
			exact = row;
	}
	if (len >= 0 && (flags & HR_DIM_HAS_PREFIX)) {
		n = len < HR_COND_MAX ? len : HR_COND_MAX;
		s->prefix.pad = 0;
		s->prefix.bits = 8 * (8 + n);
		row = HR_M_PREFIX(ctx, &s->prefix);
		if (row)
			prefix = row;
	}
	HR_M_UNROLL
	for (__u32 w = 0; w < HR_BLOCK_WORDS; w++) {
		if (!s->acc.w[w])
			continue; /* most virtual hosts have few rules */

		__u64 pos = blk->free[d].w[w] | (blk->present[d].w[w] & here) | exact->pos.w[w] |
			    prefix->pos.w[w];
		__u64 neg = (blk->npresent[d].w[w] & here) | exact->neg.w[w] | prefix->neg.w[w];

		s->acc.w[w] &= pos & ~neg;
	}
}

/* First rule of one block that matches, counted from the block's first rule; HR_MATCH_NO_RULE,
 * HR_MATCH_BROKEN. s->acc holds the whole answer vector afterwards. */
HR_M_INLINE int hr_match_block(HR_M_CTX *ctx, const struct hr_vhost *vh, __u32 block,
			       struct hr_match_scratch *s)
{
	struct hr_block_key key = {.table = vh->table, .block = block};
	const struct hr_block *blk = HR_M_BLOCK(ctx, &key);
	__u32 ndims = vh->ndims;

	if (!blk)
		return HR_MATCH_BROKEN;
	s->acc = blk->valid;
	for (__u32 d = 0; d < HR_DIMS_MAX; d++) {
		if (d >= ndims)
			break;
		hr_match_dim(ctx, vh, blk, block, d, s);
	}
	return hr_match_first(&s->acc);
}

/* First rule of the vhost (index of its row in `rules`), HR_MATCH_NO_RULE, HR_MATCH_BROKEN. BPF may
 * prefer bpf_loop over hr_match_block. */
HR_M_INLINE int hr_match_vhost(HR_M_CTX *ctx, const struct hr_vhost *vh, struct hr_match_scratch *s)
{
	__u32 nblocks = vh->nblocks;

	for (__u32 b = 0; b < HR_BLOCKS_MAX; b++) {
		int r;

		if (b >= nblocks)
			break;
		r = hr_match_block(ctx, vh, b, s);
		if (r >= 0)
			return b * HR_BLOCK_RULES + r;
		if (r == HR_MATCH_BROKEN)
			return r;
	}
	return HR_MATCH_NO_RULE;
}
