/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sk_msg on S: what a server on this node sends to its captured client C.
 *
 *	an answer whose end its head tells	is accounted for here, and goes straight into C's
 *						queue, or by TCP while C has much to read
 *	any other (chunked, until close,	goes by TCP and is read by the verdict on C, as if
 *	interim, odd, watched)			the server were elsewhere
 *
 * Runs in process context under S's socket lock. C may close meanwhile, so C's entry is used only
 * within one run, and an answer under way is kept in S's own storage.
 */
#include "lib/answer.h"
#include "lib/moved.h"
#include "lib/opaque.h"
#include "lib/stages.h"

/* By TCP: the first `bytes`, or all when 0. */
static __always_inline int serve_natively(struct sk_msg_md *msg, const struct tcp_sock *tp,
					  struct served *s, __u32 bytes)
{
	__u32 marks = s->mark;

	s->mark = bytes ? CONN_M_REDIRECTED : 0;
	return by_tcp(msg, tp, &s_hash, s->conn, marks, bytes);
}

/* What S sends answers a request that waits: 1 when it is accounted for here from now on. */
static __always_inline int answer_begins(struct sk_msg_md *msg, struct conn *c, struct served *s,
					 __u32 seq)
{
	__u32 request = c->pair.request;
	struct answer a = {};

	if (!c->native_owed || s->request == request)
		return 0;
	s->request = request;
	if (c->pub.flags & (HR_CONN_F_WATCHED | HR_CONN_F_END_UNKNOWN))
		return 0;
	answer_read(msg, c->pub.head_req, &a);
	if (!a.total)
		return 0;
	s->left = a.total;
	s->seq = seq;
	s->close = a.close;
	c->status = a.status;
	c->rx = a.total;
	c->resp.close = a.close;
	c->resp.known = 0; /* of an answer that the verdict has read */
	c->pair.serving = 1;
	return 1;
}

/* The last byte goes straight into C: nobody else will see the end of the answer. */
static __always_inline void answer_done(struct conn *c, struct served *s)
{
	native_done(c, s->conn, bpf_ktime_get_ns(), c->status, 0);
	if (s->close)
		conn_flag(c, HR_CONN_F_DEAD);
	c->native_owed = 0;
	c->pub.owed = 0;
}

/* Bytes of the answer under way that S has still to send. */
static __always_inline __u64 answer_left(struct served *s, __u32 seq)
{
	__u32 done = seq - s->seq;

	s->left = s->left > done ? s->left - done : 0;
	s->seq = seq;
	return s->left;
}

static __always_inline int into_client(struct sk_msg_md *msg, struct conn *c, struct served *s,
				       __u32 n)
{
	__u64 conn = s->conn;

	if (bpf_msg_redirect_hash(msg, &cl_hash, &conn, BPF_F_INGRESS) != SK_PASS)
		return 0;
	s->mark = CONN_M_REDIRECTED;
	s->left -= n < s->left ? n : s->left;
	if (!s->left)
		answer_done(c, s);
	count_pair(HR_PAIR_ANSWERS, 1);
	count_pair(HR_PAIR_BYTES, n);
	return 1;
}

/* S may turn out to be a socket that must not be paired: its listener is known better from now on.
 */
static __always_inline void check_kind(struct sk_msg_md *msg, struct conn *c, struct served *s,
				       const struct sock *sk)
{
	struct hr_listener_key key = {.port = msg->local_port};

	__u32 kind = listener_kind(sk);

	if (kind <= HR_LISTENER_NONBLOCK)
		return;
	key.netns = bpf_get_netns_cookie(msg);
	listener_learn(&key, kind);
	c->pair.peer = 0;
	s->blocks = 1;
}

/* S sends some of the answer under way. */
static __always_inline int serve_answer(struct sk_msg_md *msg, struct conn *c, struct served *s,
					struct tcp_sock *tp)
{
	__u32 size = msg->size, n = s->left < size ? s->left : size;
	__u32 bytes = n < size ? n : 0;

	bpf_msg_apply_bytes(msg, bytes);
	/* what a moved request has got must not be overtaken on its way through the verdicts */
	if (!s->blocks && !c->pair.end_set && (!c->moved || verdicts_settled(c)) &&
	    may_redirect(tp, c->pub.sk, &s->spilled, c, TO_CLIENT) && into_client(msg, c, s, n))
		return SK_PASS;
	if (s->left <= size) {
		c->pair.end_seq = s->seq + (__u32)s->left;
		c->pair.end_set = 1;
	}
	return serve_natively(msg, tp, s, bytes);
}

/* ---- S of a pooled connection: the answer to a moved request --------------------------------- */

/* The request that U carries, and whose; NULL: none, or its answer is the agent's. */
static __always_inline struct conn *moved_of(const struct hr_u *u, __u32 slot)
{
	__u64 cookie = u->conn;
	struct conn *c = bpf_map_lookup_elem(&conns, &cookie);

	if (!c || !c->moved || c->moved_slot != slot || u->word != HR_WORD(HR_U_BUSY, c->moved_gen))
		return NULL;
	/* a client that leaves after it gets its answer by U, where "close" is written into it */
	return WATCH_STATE(c->watch) == WATCH_NONE && !c->ending ? c : NULL;
}

/* A new answer begins: its length, when it may be handed over. */
static __always_inline void moved_begins(struct sk_msg_md *msg, struct conn *c, struct served *s,
					 const struct hr_u *u)
{
	struct answer a = {};

	s->left = 0;
	if (s->t0 == u->t0)
		return; /* the same one: it goes by TCP */
	s->t0 = u->t0;
	answer_read(msg, c->pub.head_req, &a);
	if (!a.total || a.total > ~0U)
		return;
	s->left = a.total;
	c->status = a.status;
	c->rx = a.total;
	c->resp.close = a.close;
	c->resp.known = 0;
}

/* Some of it, up to its end, goes into C. 0: it must take the other way. */
static __always_inline int moved_hand(struct sk_msg_md *msg, struct conn *c, struct served *s,
				      struct hr_u *u, __u32 slot, __u32 n)
{
	__u64 cookie = u->conn;

	if (bpf_msg_redirect_hash(msg, &cl_hash, &cookie, BPF_F_INGRESS) != SK_PASS)
		return 0;
	s->mark = CONN_M_REDIRECTED;
	s->left -= n;
	u->left = s->left;
	if (!s->left) {
		c->handed = 1;
		if (moved_done(u, slot, c))
			return 0; /* C has left: the verdict on U throws it away */
	}
	count_pair(HR_PAIR_ANSWERS, 1);
	count_pair(HR_PAIR_BYTES, n);
	return 1;
}

/*
 * Straight into C while there is room. When there is none, the rest goes by TCP to U, whose verdict
 * leaves it to the agent (RELAY: `left` bytes are to follow).
 */
static __noinline int serve_moved(struct sk_msg_md *msg, struct served *s)
{
	const struct tcp_sock *tp = bpf_skc_to_tcp_sock(msg->sk);
	__u64 cookie = s ? s->conn : 0;
	__u32 *at = bpf_map_lookup_elem(&u_slots, &cookie), slot = at ? *at : 0, n;
	struct hr_u *u = at ? bpf_map_lookup_elem(&u_tab, &slot) : NULL;
	__u64 *peer = u ? bpf_map_lookup_elem(&u_peer, &slot) : NULL;
	struct conn *c = u ? moved_of(u, slot) : NULL;

	if (!s || !tp)
		return SK_PASS;
	/* the offer names U by its port alone: only whom `learn` has proved is U's other end */
	if (!c || !peer || *peer != (__u64)tp)
		return serve_natively(msg, tp, s, 0);
	if (!s->left || s->t0 != u->t0)
		moved_begins(msg, c, s, u);
	n = s->left < msg->size ? s->left : msg->size;
	if (n && !s->blocks && socket_kind((const struct sock *)tp) != 1 && verdicts_settled(c) &&
	    may_hand(c, tp, c->pub.sk, HR_PAIR_QUEUE_MAX)) {
		bpf_msg_apply_bytes(msg, n < msg->size ? n : 0);
		if (moved_hand(msg, c, s, u, slot, n))
			return SK_PASS;
	}
	s->left = 0;
	return serve_natively(msg, tp, s, 0);
}

SEC("sk_msg")
int serve(struct sk_msg_md *msg)
{
	struct served *s = bpf_sk_storage_get(&serve_store, msg->sk, NULL, 0);
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(msg->sk);
	struct conn *c = s ? bpf_map_lookup_elem(&conns, &s->conn) : NULL;

	if (!s || !tp) {
		bpf_msg_apply_bytes(msg, 0);
		return SK_PASS;
	}
	if (s->pooled)
		return serve_moved(msg, s);
	if (c && c->pub.state == HR_CONN_TUNNEL)
		return opaque_answer(msg, c, s, tp);
	if (!c || c->pub.state == HR_CONN_ENDED || (c->pub.flags & HR_CONN_F_DROP))
		return serve_natively(msg, tp, s, 0);
	if (!answer_left(s, tp->write_seq)) {
		if (!answer_begins(msg, c, s, tp->write_seq))
			return serve_natively(msg, tp, s, 0);
		check_kind(msg, c, s, (struct sock *)tp);
	}
	return serve_answer(msg, c, s, tp);
}

/* On S: what comes by TCP. It must be there although it changes nothing: without a verdict FIONREAD
 * counts wrongly, and bytes of both ways may come in the wrong order. */
SEC("sk_skb/stream_verdict")
int serve_in(struct __sk_buff *skb __attribute__((unused)))
{
	return SK_PASS;
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
