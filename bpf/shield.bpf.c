/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cgroup_skb/ingress: while the answer to C comes from elsewhere (MOVED, BOUND), its own endpoint
 * closing an idle connection is not C's business. FIN and RST are dropped and C is marked DEAD: its
 * later requests are bound. A FIN comes again by itself, and passes once nothing is pending: then
 * the client sees an ordinary close between two requests.
 * An endpoint that closes instead of answering is the agent's to make good (a retry, or 503).
 */
#include "lib/packet.h"
#include "lib/watch.h"

/* The endpoint goes away with an answer owed of which nothing has come: the agent gives one. */
static __always_inline int answer_lost(struct conn *c, __u64 cookie, struct packet p)
{
	__u64 w = c->watch;
	struct tcp_sock *tp = (struct tcp_sock *)c->pub.sk;
	struct hr_event *e;

	if (p.payload || c->rx || WATCH_STATE(w) == WATCH_ANSWERING)
		return 0;
	if (p.seq != BPF_CORE_READ(tp, rcv_nxt))
		return 0; /* the answer is before it, and waits for the socket */
	if (carried_left(c, sk_write_seq(&c->pub.sk)))
		return 0; /* still sending its request: it must be told */
	e = taken_begin(c, cookie, HR_TAKEN_LOST, 503);
	if (!e)
		return 0; /* nobody would answer */
	if (!watch_move(c, w, WATCH_TAKEN)) {
		bpf_ringbuf_discard(e, 0);
		return WATCH_STATE(c->watch) == WATCH_TAKEN;
	}
	conn_flag(c, HR_CONN_F_DROP);
	taken_native(c, e);
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
	/* its native side was given up: C lives by the agent and by U */
	if (c->pub.flags & HR_CONN_F_DROP)
		return 0;
	/* an answer of its own that has begun ends with this packet, or never: as in plain TCP */
	if (c->native_owed ? !answer_lost(c, cookie, p) : !answered_elsewhere(c, cookie))
		return 1;
	conn_flag(c, HR_CONN_F_DEAD);
	c->pair.peer = 0;
	return 0;
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
