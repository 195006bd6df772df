/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cgroup_skb/ingress: while the answer to C comes from elsewhere (MOVED, BOUND), its own endpoint
 * closing an idle connection is not C's business. FIN and RST are dropped and C is marked DEAD: its
 * later requests are bound. A FIN comes again by itself, and passes once nothing is pending: then
 * the client sees an ordinary close between two requests.
 * An endpoint that closes instead of answering is the agent's to make good (503).
 */
#include "lib/slot.h"

#define TCP_FIN 0x01
#define TCP_RST 0x04

struct packet {
	__u8 flags; /* of TCP; 0: none (other protocols, extension headers, fragments) */
	__u32 payload;
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
	len = tcp - data + (tcp[12] >> 4) * 4;
	p.payload = skb->len > len ? skb->len - len : 0;
	return p;
}

/* The endpoint goes away with an answer owed of which nothing has come: the agent gives one. */
static __always_inline int answer_lost(struct conn *c, __u64 cookie, struct packet p)
{
	__u32 zero = 0;
	struct hr_config *cfg = bpf_map_lookup_elem(&config, &zero);
	struct hr_event *e;

	if (!cfg || !(cfg->flags & HR_CFG_ANSWER_LOST) || p.payload || c->rx)
		return 0;
	if (carried_left(c, sk_write_seq(&c->pub.sk)))
		return 0; /* still sending its request: it must be told */
	e = event_begin(HR_EV_NATIVE_LOST, cookie);
	if (!e)
		return 0; /* nobody would answer */
	e->netns = c->pub.netns;
	e->route = c->pub.route;
	e->ep = c->pub.ep;
	e->addr_id = c->pub.addr_id;
	e->status = 503;
	native_done(c, cookie, 503, 1);
	c->native_owed = 0;
	c->pub.owed = 0;
	bpf_ringbuf_submit(e, 0);
	return 1;
}

SEC("cgroup_skb/ingress")
int shield(struct __sk_buff *skb)
{
	struct packet p = packet_of(skb);
	struct conn *c;
	__u64 cookie;

	if (!(p.flags & (TCP_FIN | TCP_RST)))
		return 1;
	cookie = bpf_get_socket_cookie(skb);
	c = bpf_map_lookup_elem(&conns, &cookie);
	if (!c || c->pub.state == HR_CONN_TUNNEL)
		return 1;
	/* an answer of its own that has begun ends with this packet, or never: as in plain TCP */
	if (c->native_owed ? !answer_lost(c, cookie, p) : !answered_elsewhere(c, cookie))
		return 1;
	conn_flag(c, HR_CONN_F_DEAD);
	return 0;
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
