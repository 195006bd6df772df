/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cgroup_skb/ingress: while the answer to C comes from elsewhere (MOVED, BOUND), its own endpoint
 * closing an idle connection is not C's business. FIN and RST are dropped and C is marked DEAD: its
 * later requests are bound. A FIN comes again by itself, and passes once nothing is pending: then
 * the client sees an ordinary close between two requests.
 * An endpoint that closes instead of answering is the agent's to make good (503).
 */
#include "lib/packet.h"
#include "lib/slot.h"

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
