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
	unsigned long socket_pressure; /* version 2: until this jiffy */
	/* version 1: only a cgroup whose TCP memory has a limit is a socket's */
	unsigned char tcpmem_active;
	int tcpmem_pressure;		       /* the last page was refused */
	struct page_counter___pressure tcpmem; /* pages */
};

struct sock___pressure {
	struct mem_cgroup___pressure *sk_memcg;
};

#pragma clang attribute pop

/* Low bits of sk_memcg are flags in some kernels. */
#define MEMCG_FLAGS 3UL

/* Room that a limit must leave for the largest message, pages; and for all of the sockets that
 * see it at the same time, a quarter of it. */
#define MEMCG_ROOM 256

/* TCP as a whole. `own`: the socket that the program runs for. */
static __always_inline int tcp_pressed(const struct sock *own)
{
	unsigned long on = 0;

	bpf_probe_read_kernel(&on, sizeof(on), own->__sk_common.skc_prot->memory_pressure);
	return on != 0;
}

static __always_inline int tcpmem_pressed(struct mem_cgroup___pressure *m)
{
	unsigned long max = BPF_CORE_READ(m, tcpmem.max), used;

	used = BPF_CORE_READ(m, tcpmem.usage.counter);
	return BPF_CORE_READ(m, tcpmem_pressure) || used > max - max / 4 || used + MEMCG_ROOM > max;
}

/* The memory cgroup of a socket, which may be any. */
static __always_inline int memcg_pressed(const struct sock *any)
{
	struct sock___pressure *sk = (void *)any;
	unsigned long at = (unsigned long)BPF_CORE_READ(sk, sk_memcg) & ~MEMCG_FLAGS;
	struct mem_cgroup___pressure *m = (void *)at;

	if (!at)
		return 0;
	if (bpf_core_field_exists(m->tcpmem_active) && BPF_CORE_READ(m, tcpmem_active))
		return tcpmem_pressed(m);
	return bpf_core_field_exists(m->socket_pressure) &&
	       (long)(BPF_CORE_READ(m, socket_pressure) - bpf_jiffies64()) > 0;
}

static __always_inline int sk_pressed(const struct sock *own)
{
	return tcp_pressed(own) || memcg_pressed(own);
}
