/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What cgroup_skb programs ask of a packet. */
#pragma once

#include "lib/kernel.h"

#define TCP_FIN 0x01
#define TCP_RST 0x04

struct packet {
	__u8 flags; /* of TCP; 0: none (other protocols, extension headers, fragments) */
	__u32 payload;
	__u32 seq;
};

/* Direct access: this runs for every packet that a captured process receives, and nearly all of
 * them end here. Headers are linear in the packets that TCP takes. */
static __always_inline struct packet packet_of(struct __sk_buff *skb)
{
	__u8 *data = (__u8 *)(long)skb->data, *end = (__u8 *)(long)skb->data_end, *tcp = NULL;
	struct packet p = {};
	__u32 len;

	if (data + 40 > end)
		return p;
	if (data[0] == 0x45 && data[9] == IPPROTO_TCP)
		tcp = data + 20; /* the usual IPv4 header has no options */
	else if (data[0] >> 4 == 6 && data[6] == IPPROTO_TCP)
		tcp = data + 40;
	else if (data[0] >> 4 == 4 && data[9] == IPPROTO_TCP)
		tcp = data + (data[0] & 0xf) * 4;
	if (!tcp || tcp + 20 > end)
		return p;
	p.flags = tcp[13];
	p.seq = bpf_ntohl(*(__u32 *)(tcp + 4));
	len = tcp - data + (tcp[12] >> 4) * 4;
	p.payload = skb->len > len ? skb->len - len : 0;
	return p;
}
