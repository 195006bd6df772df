/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses of socket-address hooks as 16 bytes, IPv4 as ::ffff:a.b.c.d. */
#pragma once

#include "lib/kernel.h"

#define V4_PREFIX bpf_htonl(0x0000ffff)

static __always_inline void ip_from_v4(__u8 ip[16], __u32 v4)
{
	__u32 *w = (__u32 *)ip;

	w[0] = w[1] = 0;
	w[2] = V4_PREFIX;
	w[3] = v4;
}

static __always_inline int ip_is_v4(const __u8 ip[16])
{
	const __u32 *w = (const __u32 *)ip;

	return !w[0] && !w[1] && w[2] == V4_PREFIX;
}

/* The hooks of the two families fill different fields of the context: `v6` is a constant in each
 * program, so the other half disappears. */
static __always_inline void ctx_ip_get(struct bpf_sock_addr *ctx, int v6, __u8 ip[16])
{
	__u32 *w = (__u32 *)ip;

	if (!v6) {
		ip_from_v4(ip, ctx->user_ip4);
		return;
	}
	w[0] = ctx->user_ip6[0];
	w[1] = ctx->user_ip6[1];
	w[2] = ctx->user_ip6[2];
	w[3] = ctx->user_ip6[3];
}

static __always_inline void ctx_ip_set(struct bpf_sock_addr *ctx, int v6, const __u8 ip[16])
{
	const __u32 *w = (const __u32 *)ip;

	if (!v6) {
		ctx->user_ip4 = w[3];
		return;
	}
	ctx->user_ip6[0] = w[0];
	ctx->user_ip6[1] = w[1];
	ctx->user_ip6[2] = w[2];
	ctx->user_ip6[3] = w[3];
}

/* 127.0.0.1, or ::1 for a native IPv6 destination. */
static __always_inline void ip_loopback(__u8 ip[16], int v6)
{
	__u32 *w = (__u32 *)ip;

	ip_from_v4(ip, bpf_htonl(0x7f000001));
	if (v6) {
		w[2] = 0;
		w[3] = bpf_htonl(1);
	}
}
