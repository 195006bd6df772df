/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/* Question and answer of bpf/peek.bpf.c and user/kern/conns.c. */
#pragma once

#include <linux/types.h>

struct hr_peek {
	__u64 cookie;  /* in */
	__u32 owed;    /* native answers not seen to their end */
	__u32 queued;  /* sk_rmem_alloc */
	__u32 quiet;   /* 1: no byte of an answer of E or U, or of a relayed one, is yet to come */
	__u32 drained; /* 1: what E and U have sent so far is in C's receive queue */
	__u32 owes;    /* 1: the agent answers in place of E or U; peek_owes: in */
	__u32 stalled; /* 1: its owner was told to wait for room, and there is some */
	__u32 crowded; /* 1: long queues of the node hold as much as they may */
	__u32 pad;
};

enum { PEEK_OK, PEEK_GONE };
