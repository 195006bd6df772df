/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Mirrors: a request that was sent on without the agent is told to it, which copies it to them. */
#pragma once

#include "lib/conn.h"
#include "lib/count.h"

_Static_assert(__builtin_offsetof(struct conn_scratch, scan) ==
		       __builtin_offsetof(struct conn_scratch, copy) + sizeof(struct hr_copy),
	       "a record is one piece of memory");
_Static_assert(__builtin_offsetof(struct hr_scan, buf) == 0, "the head is behind the record");

/* The head is still in the scanner's buffer. A global function: its way is checked once. */
__noinline int mirror_copy(const struct conn *c, struct conn_scratch *s)
{
	__u32 len;

	if (!c || !s)
		return 0;
	s->copy.netns = c->pub.netns;
	s->copy.conn = s->cookie;
	s->copy.workload = c->pub.workload;
	s->copy.dst_port_be = c->pub.dst_port_be;
	s->copy.head_len = s->scan.head_len;
	__builtin_memcpy(s->copy.dst_ip, c->pub.dst_ip, sizeof(s->copy.dst_ip));
	len = hr_bound(s->scan.head_len, HR_KHEAD_MASK); /* one of 4,096 bytes is lost */
	if (!len || bpf_ringbuf_output(&copies, &s->copy, sizeof(s->copy) + len, 0))
		count_mishap(HR_MISHAP_COPY);
	return 0;
}
