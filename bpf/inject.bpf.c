/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The agent's sockets: what it writes on p goes into C; where the kernel keeps U and g; and what C
 * asked for. */
#include "lib/slot.h"
#include "lib/spill.h"

/*
 * Into the receive queue of g, which the agent empties before it uses the slot again. A redirect is
 * the only way to throw bytes away: after "drop" every later send fails; "pass" ends when g is
 * full, stays in force for the next message, which is another client's answer, and leaves p full.
 */
static __always_inline int throw_away(struct sk_msg_md *msg, __u32 slot, __u64 cookie)
{
	if (cookie && bpf_map_lookup_elem(&conns, &cookie)) {
		count_mishap(HR_MISHAP_UNDELIVERED);
		event_slot(HR_EV_UNDELIVERED, cookie, slot, 0, msg->size);
	} else {
		count_mishap(HR_MISHAP_LATE);
	}
	bpf_msg_redirect_map(msg, &g_map, slot, BPF_F_INGRESS);
	return SK_PASS;
}

/* sk_msg on p. */
SEC("sk_msg")
int inject(struct sk_msg_md *msg)
{
	__u32 *slot = bpf_sk_storage_get(&p_store, msg->sk, NULL, 0);
	struct hr_g *g = slot ? bpf_map_lookup_elem(&g_tab, slot) : NULL;
	struct conn *c;
	__u64 cookie;

	bpf_msg_apply_bytes(msg, 0);
	if (!g)
		return SK_PASS; /* not in the table yet, or taken out: nobody's */
	if (HR_G_STATE(g->word) != HR_G_BOUND)
		return throw_away(msg, *slot, 0);
	cookie = g->conn;
	stall();
	c = bpf_map_lookup_elem(&conns, &cookie);
	if (c && c->pub.sk)
		queue_account(c, TO_CLIENT, queue_of((struct sock *)c->pub.sk) + msg->size);
	if (c && bpf_msg_redirect_hash(msg, &cl_hash, &cookie, BPF_F_INGRESS) == SK_PASS) {
		c->g_rx = 1;
		return SK_PASS;
	}
	return throw_away(msg, *slot, cookie);
}

/* The server's socket at the other end of U, when it is on this node: nothing has been sent yet,
 * and the sequence numbers of both are each other's. */
static __always_inline void learn_peer(__u32 slot, const struct tcp_sock *tp)
{
	__u64 *peer = bpf_map_lookup_elem(&u_peer, &slot);
	struct hr_u *u = bpf_map_lookup_elem(&u_tab, &slot);
	struct u_pair *p = NULL;
	__u64 cookie;

	if (!peer || !u)
		return;
	cookie = u->cookie;
	p = bpf_map_lookup_elem(&u_pairs, &cookie);
	*peer = p && p->c_seq == tp->write_seq && p->s_seq == tp->rcv_nxt ? p->peer : 0;
	if (*peer)
		count_pair(HR_PAIR_MADE, 1);
}

/* Run by the agent, never attached: see u_sk in maps.h. */
SEC("tc")
int learn(struct __sk_buff *skb)
{
	struct learn_in in;
	struct tcp_sock *tp;
	struct bpf_sock *sk;
	__u64 *place;

	if (bpf_skb_load_bytes(skb, 14, &in, sizeof(in)))
		return 1;
	place = in.is_g ? bpf_map_lookup_elem(&g_sk, &in.slot)
			: bpf_map_lookup_elem(&u_sk, &in.slot);
	if (!place)
		return 1;
	sk = in.is_g ? bpf_map_lookup_elem(&g_map, &in.slot)
		     : bpf_map_lookup_elem(&u_map, &in.slot);
	if (!sk)
		return 1;
	tp = bpf_skc_to_tcp_sock(sk);
	*place = (__u64)tp;
	if (tp && !in.is_g)
		learn_peer(in.slot, tp);
	bpf_sk_release(sk);
	return *place ? 0 : 1;
}

struct bytes_walk {
	struct __sk_buff *skb;
	struct conn_scratch *s;
	struct conn *c;
	__u32 what, from;
};

static long bytes_step(__u32 i, struct bytes_walk *w)
{
	__u32 at = w->from + 8 * i;
	__u64 bytes;

	if (w->what == BYTES_REQUEST)
		bytes = hr_w8(w->s->scan.buf + hr_bound(at, HR_KHEAD_MAX - 1));
	else
		bytes = hr_w8(w->c->resp.buf + hr_bound(at, HR_KRESP_MAX - 1));
	at = 14 + sizeof(struct bytes_in) + 8 * i;
	return bpf_skb_store_bytes(w->skb, at, &bytes, 8, 0) != 0;
}

/* Run by the agent, never attached: what it needs of a request whose answer it gives. It is there
 * until the next request is scanned, and that is not before the answer is given. */
SEC("tc")
int bytes_of(struct __sk_buff *skb)
{
	__u32 room = skb->len - 14 - sizeof(struct bytes_in);
	struct bytes_walk w = {.skb = skb};
	struct bytes_in in;
	struct bpf_sock *sk;

	if (bpf_skb_load_bytes(skb, 14, &in, sizeof(in)))
		return 1;
	sk = bpf_map_lookup_elem(&cl_hash, &in.cookie);
	if (!sk)
		return 1;
	w.s = bpf_map_lookup_elem(&heads, &in.cookie);
	w.c = bpf_map_lookup_elem(&conns, &in.cookie);
	w.what = in.what;
	w.from = in.from;
	in.len = w.s ? w.s->scan.head_len : 0;
	if (w.s && w.c)
		bpf_loop(room / 8, bytes_step, &w, 0);
	bpf_sk_release(sk);
	/* C has closed meanwhile: what was read may be another's */
	if (!bpf_map_lookup_elem(&heads, &in.cookie))
		return 1;
	bpf_skb_store_bytes(skb, 14, &in, sizeof(in), 0);
	return w.c ? 0 : 1;
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
