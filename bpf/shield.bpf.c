/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cgroup_skb/ingress: while the answer to C comes from elsewhere (MOVED, BOUND), its own endpoint
 * closing an idle connection is not C's business. FIN and RST are dropped and C is marked DEAD: its
 * later requests are bound. A FIN comes again by itself, and passes once nothing is pending: then
 * the client sees an ordinary close between two requests.
 */
#include "lib/slot.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define TCP_FIN 0x01
#define TCP_RST 0x04

/* TCP flags of the packet, 0 when it has none (other protocols, extension headers, fragments). */
static __always_inline __u8 tcp_flags(struct __sk_buff *skb)
{
	__u32 off = 40; /* of the TCP header: after an IPv6 header */
	__u8 b = 0;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, 9, &b, 1) || b != IPPROTO_TCP ||
		    bpf_skb_load_bytes(skb, 0, &b, 1))
			return 0;
		off = (b & 0xf) * 4;
	} else if (skb->protocol != bpf_htons(ETH_P_IPV6) || bpf_skb_load_bytes(skb, 6, &b, 1) ||
		   b != IPPROTO_TCP) {
		return 0;
	}
	return bpf_skb_load_bytes(skb, off + 13, &b, 1) ? 0 : b;
}

static __always_inline int spoken_for(struct conn *c, __u64 cookie)
{
	if (c->native_owed)
		return 0; /* its own answer ends with this packet, or never comes: as in plain TCP
			   */
	return g_of(c) || moved_pending(c, cookie);
}

SEC("cgroup_skb/ingress")
int shield(struct __sk_buff *skb)
{
	struct conn *c;
	__u64 cookie;

	if (!(tcp_flags(skb) & (TCP_FIN | TCP_RST)))
		return 1;
	cookie = bpf_get_socket_cookie(skb);
	c = bpf_map_lookup_elem(&conns, &cookie);
	if (!c || c->pub.state == HR_CONN_TUNNEL || !spoken_for(c, cookie))
		return 1;
	c->pub.flags |= HR_CONN_F_DEAD;
	return 0;
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
