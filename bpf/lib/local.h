/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* LOCAL: the request is overwritten with its answer and turned round into C. */
#pragma once

#include "lib/slot.h"

/* Writes `len` bytes over those of the message that were pulled, as many. */
static __always_inline int msg_write(struct sk_msg_md *msg, const char bytes[HR_REPLY_MAX],
				     __u32 len)
{
	__u8 *d = msg->data, *end = msg->data_end;

	HR_UNROLL
	for (__u32 i = 0; i < HR_REPLY_MAX / 8; i++) {
		if (i * 8 >= len)
			return 0;
		if (d + i * 8 + 8 <= end) {
			*(__u64 *)(d + i * 8) = *(const __u64 *)(bytes + i * 8);
			continue;
		}
		for (__u32 j = i * 8; j < i * 8 + 7; j++) {
			if (d + j + 1 > end)
				return j >= len ? 0 : -1;
			d[j] = bytes[j];
		}
		return 0;
	}
	return 0;
}

/* Bytes of the answer, or -1 with a message that may have changed: only the agent's 500 is left
 * then. */
static __noinline int local_reply(struct sk_msg_md *msg, __u64 cookie, __u32 index, int head_req)
{
	struct hr_reply *r = bpf_map_lookup_elem(&replies, &index);
	__u32 size = msg->size, len;

	if (!r)
		return -1;
	len = head_req ? r->head_len : r->len;
	if (!len || len > HR_REPLY_MAX)
		return -1;
	if (size < len && bpf_msg_push_data(msg, size, len - size, 0))
		return -1;
	if (size > len && bpf_msg_pop_data(msg, len, size - len, 0))
		return -1;
	if (bpf_msg_pull_data(msg, 0, len, 0))
		return -1;
	if (msg_write(msg, r->bytes, len))
		return -1;
	bpf_msg_apply_bytes(msg, 0);
	return bpf_msg_redirect_hash(msg, &cl_hash, &cookie, BPF_F_INGRESS) == SK_PASS ? (int)len
										       : -1;
}
