/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs know of the kernel: the uapi, and the few fields of kernel structs that they
 * read. Relocated at load (CO-RE), so that the object does not depend on the build machine.
 */
#pragma once

#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>

#include "headrace/abi.h"
#include "headrace/abi_ids.h"

#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define O_NONBLOCK 04000
#define SOL_SOCKET 1
#define SO_KEEPALIVE 9
#define TCP_KEEPIDLE 4
#define TCP_KEEPINTVL 5
#define TCP_KEEPCNT 6

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct file {
	unsigned int f_flags;
};

struct socket {
	unsigned long flags;
	struct file *file;
};

struct proto {
	unsigned long *memory_pressure;
};

struct sock_common {
	unsigned long skc_flags;
	unsigned char skc_state;
	struct {
		__s64 counter;
	} skc_cookie;
	struct proto *skc_prot;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
	int level;
	struct cgroup *ancestors[];
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct task_struct {
	struct css_set *cgroups;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct sock {
	struct sock_common __sk_common;
	struct socket *sk_socket;
	int sk_wmem_queued;
	int sk_forward_alloc;
	int sk_sndbuf;
	__u8 sk_shutdown;
	struct {
		struct {
			int counter;
		} rmem_alloc;
	} sk_backlog;
	struct sock_cgroup_data sk_cgrp_data;
};

struct tcp_fastopen_request;

struct tcp_sock {
	struct tcp_fastopen_request *fastopen_req; /* MSG_FASTOPEN */
	__u8 fastopen_connect : 1;		   /* TCP_FASTOPEN_CONNECT */
	__u32 write_seq;
	__u32 notsent_lowat;
	__u32 copied_seq;
	__u32 rcv_nxt;
	__u32 snd_una;
	__u32 snd_up;	       /* the urgent pointer; snd_una when there is none */
	__u64 tcp_clock_cache; /* ktime ns of the packet at hand */
	__u64 bytes_acked;     /* RFC 4898, with SYN and FIN */
	__u64 bytes_received;  /* with FIN */
};

#pragma clang attribute pop

/* Their values are those of the running kernel. */
enum sock_flags { SOCK_DONE, SOCK_URGINLINE, SOCK_ZEROCOPY };

#define SOCK_FLAG(sk, flag) \
	((sk)->__sk_common.skc_flags >> bpf_core_enum_value(enum sock_flags, flag) & 1)

#define SEND_SHUTDOWN 2
#define SHUTDOWN_MASK 3

/*
 * A place where another processor may be far ahead or far behind: hosts take the processor away
 * anywhere, also from programs that nothing can preempt. `make CHAOS=1` builds programs that
 * stay there for up to some milliseconds, now and then; otherwise it is nothing.
 */
#ifdef HR_CHAOS
static long stall_step(__u32 i, void *ctx)
{
	(void)i, (void)ctx;
	return 0;
}

static __always_inline void stall(void)
{
	__u32 dice = bpf_get_prandom_u32();

	if (!(dice & 0x3f))
		bpf_loop((dice >> 6 & 0xff) << 12, stall_step, (void *)0, 0);
}
#else
static __always_inline void stall(void)
{
}
#endif
