/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A head that is, byte for byte, the one before it means the same: what the scanner and the search
 * for the rule found is used again; and the rows of the last rule and cluster are at hand. Whoever
 * changes names, virtual hosts, rules or clusters raises hr_config.epoch afterwards, and what was
 * found under another epoch is looked up anew. Endpoints, tables and numbers are never remembered.
 */
#pragma once

#include "lib/conn.h"
#include "lib/maps.h"
#include "lib/words.h"

/* Bytes that are compared in one step; a shorter head is not worth it. */
#define MEMO_STEP 32
/* The longest head that is compared. */
#define MEMO_MAX 1024

static __always_inline int memo_equal(const __u8 *a, const __u8 *b)
{
	return !((hr_w8(a) ^ hr_w8(b)) | (hr_w8(a + 8) ^ hr_w8(b + 8)) |
		 (hr_w8(a + 16) ^ hr_w8(b + 16)) | (hr_w8(a + 24) ^ hr_w8(b + 24)));
}

/* Does the message begin with these `n` bytes? `max`: a constant, a power of two, the most that are
 * compared. */
static __always_inline int memo_begins(struct sk_msg_md *msg, const __u8 *head, __u32 n,
				       const __u32 max)
{
	const __u8 *data = msg->data, *end = msg->data_end, *at;
	__u32 last;

	if (n < MEMO_STEP || n > max || msg->size < n)
		return 0;
	for (__u32 i = 0; i < max / MEMO_STEP; i++) {
		at = data + i * MEMO_STEP;
		if ((i + 1) * MEMO_STEP > n)
			break;
		if (at + MEMO_STEP > end || !memo_equal(at, head + i * MEMO_STEP))
			return 0;
	}
	last = hr_bound(n - MEMO_STEP, max - 1);
	at = data + last;
	return at + MEMO_STEP <= end && memo_equal(at, head + last);
}

/* Does the message begin with the head that s->scan is of? */
static __always_inline int memo_head(struct sk_msg_md *msg, const struct conn_scratch *s)
{
	return memo_begins(msg, s->scan.buf, s->memo.len, MEMO_MAX);
}

/* s->scan is of another head from here on. */
static __always_inline void memo_forget(struct conn_scratch *s)
{
	s->memo.len = s->memo.table = s->memo.hashed = 0;
}

/* Before anything is looked up: what is remembered is of the epoch that begins no later. */
static __always_inline void memo_check(struct conn_scratch *s)
{
	__u32 zero = 0, epoch;
	struct hr_config *cfg = bpf_map_lookup_elem(&config, &zero);

	epoch = cfg ? *(volatile __u32 *)&cfg->epoch : 0;
	if (s->memo.epoch == epoch)
		return;
	s->memo.epoch = epoch;
	s->memo.table = s->memo.hashed = s->memo.vhost = 0;
	s->memo.rule_table = s->memo.cluster_id = 0;
}

/* Row of `rules`, NULL: there is none. */
static __always_inline const struct hr_rule *memo_rule(struct conn_scratch *s,
						       const struct hr_rule_key *key)
{
	struct hr_rule *rule;

	if (s->memo.rule_table == key->table && s->memo.rule_index == key->index)
		return &s->memo.rule;
	rule = bpf_map_lookup_elem(&rules, key);
	if (!rule)
		return NULL;
	s->memo.rule_table = key->table;
	s->memo.rule_index = key->index;
	s->memo.rule = *rule;
	return &s->memo.rule;
}

/* Row of `clusters`, NULL: there is none. */
static __always_inline const struct hr_cluster *memo_cluster(struct conn_scratch *s, __u32 id)
{
	struct hr_cluster *cl;

	if (id && s->memo.cluster_id == id)
		return &s->memo.cluster;
	cl = bpf_map_lookup_elem(&clusters, &id);
	if (!cl)
		return NULL;
	s->memo.cluster_id = id;
	s->memo.cluster = *cl;
	return &s->memo.cluster;
}
