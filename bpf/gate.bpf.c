/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cgroup_skb/egress: nothing leaves a captured connection before a program has seen a send of it.
 * A send that waited for the socket while the connection was established, and captured, goes on in
 * ordinary TCP: sk_msg does not run for it. (Another thread, or a client that sees the connection
 * established on one processor while another is still at it.) Its bytes stay here; the client gets
 * 503 from the agent, and its connection ends.
 *
 * Nor does urgent data (MSG_OOB) leave a connection whose requests are decided here: HTTP has none,
 * and the server would read one byte less than the programs did, so another request than they let
 * pass.
 */
#include "lib/packet.h"
#include "lib/slot.h"

static __always_inline int is_urgent(struct bpf_sock *sk)
{
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	return tp && tp->snd_up != tp->snd_una;
}

static __always_inline int let_urgent(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct conn *c = bpf_map_lookup_elem(&conns, &cookie);

	if (!c || c->pub.state == HR_CONN_TUNNEL)
		return 1;
	if (c->pub.state != HR_CONN_ENDED)
		count_mishap(HR_MISHAP_URGENT);
	conn_end(c, cookie, 400);
	return 0;
}

SEC("cgroup_skb/egress")
int gate(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct bpf_tcp_sock *tp = sk ? bpf_tcp_sock(sk) : NULL;
	struct conn_scratch *s;
	struct conn *c;
	__u64 cookie;

	if (is_urgent(sk))
		return let_urgent(skb);
	/* the other end has bytes of it: a send was seen. (Its SYN counts for one.) */
	if (!tp || tp->bytes_acked > 1)
		return 1;
	if (!packet_of(skb).payload)
		return 1;
	cookie = bpf_get_socket_cookie(skb);
	s = bpf_map_lookup_elem(&heads, &cookie);
	if (!s || s->seen)
		return 1;
	c = bpf_map_lookup_elem(&conns, &cookie);
	if (!c || c->pub.state == HR_CONN_TUNNEL)
		return 1; /* captured no more */
	if (c->pub.state != HR_CONN_ENDED)
		count_mishap(HR_MISHAP_UNSEEN);
	conn_end(c, cookie, 503);
	return 0;
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
