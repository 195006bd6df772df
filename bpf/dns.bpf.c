/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cgroup/sendmsg and recvmsg of both families: DNS of sockets that are not connected. */
#include "lib/dns.h"

static __always_inline int on_sendmsg(struct bpf_sock_addr *ctx, int v6)
{
	__u8 ip[16];

	ctx_ip_get(ctx, v6, ip);
	return dns_redirect(ctx, v6, ip, ctx->user_port);
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	return on_sendmsg(ctx, 0);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	return on_sendmsg(ctx, 1);
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	return dns_restore(ctx, 0);
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	return dns_restore(ctx, 1);
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
