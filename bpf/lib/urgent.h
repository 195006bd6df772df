/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Urgent data (MSG_OOB). Most servers read on as if the byte was not there: one that answers before
 * it has read a whole body takes the next request's first byte for it, so another request than was
 * let pass, and on a pooled connection another client's. sk_msg is not told of a send's flags, so
 * they are read where the system call has them. What is not plainly without urgent data counts as
 * with it (io_uring, other architectures, 32-bit programs): the agent carries it.
 */
#pragma once

#include "lib/kernel.h"

#define MSG_OOB 1

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pt_regs___x86 {
	unsigned long orig_ax; /* the system call */
	unsigned long dx;      /* its third argument, */
	unsigned long r10;     /* and its fourth */
};

struct pt_regs___arm64 {
	__u64 regs[31];
	int syscallno;
};

#pragma clang attribute pop

static __always_inline int urgent_on_x86(const struct pt_regs___x86 *r)
{
	switch (BPF_CORE_READ(r, orig_ax)) {
	case 1:	 /* write */
	case 20: /* writev */
	case 40: /* sendfile */
		return 0;
	case 46: /* sendmsg */
		return BPF_CORE_READ(r, dx) & MSG_OOB;
	case 44:  /* sendto */
	case 307: /* sendmmsg */
		return BPF_CORE_READ(r, r10) & MSG_OOB;
	}
	return 1;
}

static __always_inline int urgent_on_arm64(const struct pt_regs___arm64 *r)
{
	switch (BPF_CORE_READ(r, syscallno)) {
	case 64: /* write */
	case 66: /* writev */
	case 71: /* sendfile */
		return 0;
	case 211: /* sendmsg */
		return BPF_CORE_READ(r, regs[2]) & MSG_OOB;
	case 206: /* sendto */
	case 269: /* sendmmsg */
		return BPF_CORE_READ(r, regs[3]) & MSG_OOB;
	}
	return 1;
}

/* The message that is being sent may have an urgent byte. */
static __noinline int may_be_urgent(void)
{
	void *regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	struct pt_regs___x86 *x86 = regs;
	struct pt_regs___arm64 *arm64 = regs;

	if (bpf_core_field_exists(x86->orig_ax))
		return !!urgent_on_x86(x86);
	return bpf_core_field_exists(arm64->syscallno) ? !!urgent_on_arm64(arm64) : 1;
}
