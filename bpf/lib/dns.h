/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Port 53 of captured processes goes to the agent's DNS; answers come from the server asked. */
#pragma once

#include "lib/addr.h"
#include "lib/capture.h"

/* Short names mean the services of the workload's own Kubernetes namespace: guests in a network
 * namespace have a port of their own. 0: nobody answers here. Network order. */
static __always_inline __u16 dns_port(__u64 cookie, int ip6)
{
	struct hr_netns *ns = netns_ready(cookie);
	struct hr_workload wl = workload_current();
	struct hr_names_key key = {.netns = cookie, .k8s_ns = wl.flags >> HR_WL_K8S_NS_SHIFT};
	struct hr_names *own = bpf_map_lookup_elem(&names, &key);

	if (own)
		return bpf_htons(ip6 ? own->dns6_port : own->dns_port);
	return ns ? bpf_htons(ip6 ? ns->dns6_port : ns->dns_port) : 0;
}

/* connect() and sendmsg(): 1, with the destination changed when it is a DNS server. */
static __always_inline int dns_redirect(struct bpf_sock_addr *ctx, int v6, const __u8 ip[16],
					__u16 port_be)
{
	int ip6 = v6 && !ip_is_v4(ip);
	struct dns_peer *peer;
	__u8 to[16];
	__u16 port;

	if (port_be != bpf_htons(53))
		return 1;
	port = dns_port(bpf_get_netns_cookie(ctx), ip6);
	if (!port)
		return 1;
	peer = bpf_sk_storage_get(&dns_orig, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!peer)
		return 1;
	__builtin_memcpy(peer->ip, ip, 16);
	peer->port_be = port_be;
	peer->agent_port_be = port;
	ip_loopback(to, ip6);
	ctx_ip_set(ctx, v6, to);
	ctx->user_port = port;
	return 1;
}

/* recvmsg() and getpeername(): 1, with the agent's address replaced by the server's. */
static __always_inline int dns_restore(struct bpf_sock_addr *ctx, int v6)
{
	struct dns_peer *peer = bpf_sk_storage_get(&dns_orig, ctx->sk, NULL, 0);

	if (!peer || ctx->user_port != peer->agent_port_be)
		return 1; /* somebody else's datagram */
	ctx_ip_set(ctx, v6, peer->ip);
	ctx->user_port = peer->port_be;
	return 1;
}
