/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether memory for a socket may be refused: of TCP as a whole, or of its memory cgroup. */
#pragma once

#include "lib/kernel.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct page_counter___pressure {
	struct {
		long counter;
	} usage;
	unsigned long max;
};

struct mem_cgroup___pressure {
	unsigned long socket_pressure;	       /* version 2: until this jiffy */
	int tcpmem_pressure;		       /* version 1 */
	struct page_counter___pressure tcpmem; /* version 1: pages */
};

struct proto___pressure {
	unsigned long *memory_pressure;
};

struct sock___pressure {
	struct {
		struct proto___pressure *skc_prot;
	} __sk_common;
	struct mem_cgroup___pressure *sk_memcg;
};

#pragma clang attribute pop

static __always_inline int cgroup_pressed(struct mem_cgroup___pressure *m)
{
	unsigned long max;

	if (bpf_core_field_exists(m->socket_pressure) &&
	    (long)(BPF_CORE_READ(m, socket_pressure) - bpf_jiffies64()) > 0)
		return 1;
	if (!bpf_core_field_exists(m->tcpmem_pressure))
		return 0;
	max = BPF_CORE_READ(m, tcpmem.max);
	return BPF_CORE_READ(m, tcpmem_pressure) ||
	       (unsigned long)BPF_CORE_READ(m, tcpmem.usage.counter) > max - max / 4;
}

static __always_inline int sk_pressed(const void *socket)
{
	const struct sock___pressure *sk = socket;
	unsigned long *all = BPF_CORE_READ(sk, __sk_common.skc_prot, memory_pressure), on = 0;
	struct mem_cgroup___pressure *m = BPF_CORE_READ(sk, sk_memcg);

	if (all && !bpf_probe_read_kernel(&on, sizeof(on), all) && on)
		return 1;
	return m && cgroup_pressed(m);
}
