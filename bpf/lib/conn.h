/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Values that only the programs use: the private part of a connection, and what socket storage
 * carries. The agent sees `struct conn` through its leading struct hr_conn.
 */
#pragma once

#include "lib/kernel.h"

/* Value of `conns`. */
struct conn {
	struct hr_conn pub;
	__u64 head_left; /* bytes of the response that the verdict has still to see */
	__u32 sender;	 /* 1 while a send runs the route program (trap 24) */
	__u32 seen;	 /* CONN_SEEN_* */
	__u32 cluster;	 /* cluster of the request in flight, for cluster_rt */
	__u32 rlen;	 /* bytes of a response head collected in rbuf */
	char rbuf[HR_KRESP_MAX + HR_KHEAD_SLACK];
};
/* A redirect has happened on the socket: "pass" must be a redirect to itself (trap 2). */
#define CONN_SEEN_REDIRECT 0x01

/* Value of `conn_store`. Programs on C may be preempted, so no per-CPU buffer (trap 11). */
struct conn_scratch {
	__u64 cookie;
	char head[HR_KHEAD_MAX + HR_KHEAD_SLACK];
};

/* Value of `dials`: from connect() to established, then for getpeername(). */
struct dial {
	__u8 dst_ip[16]; /* what the application asked for */
	__u16 dst_port_be;
	__u8 proto; /* enum hr_proto */
	__u8 kind;  /* enum dial_kind */
	__u32 vip_vhost;
	__u32 workload;
	__u32 addr_id; /* KERNEL and TUNNEL: the endpoint chosen */
	__u32 why;     /* DOOR: enum hr_why */
	__u32 pid;
	__u16 vip_port;
	__u16 pad[3];
};
enum dial_kind {
	DIAL_NONE = 0, /* not ours */
	DIAL_KERNEL,   /* enters the sockhash when established */
	DIAL_TUNNEL,   /* balanced, then ordinary TCP */
	DIAL_DOOR,     /* sent to door A */
};

/* Value of `dns_orig`. */
struct dns_peer {
	__u8 ip[16];
	__u16 port_be;
	__u16 pad;
};
