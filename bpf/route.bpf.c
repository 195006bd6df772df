/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sk_msg on C: what a client sends. Every request is decided here:
 *
 *	NATIVE	passes on C's own connection, or goes straight to its other end on this node
 *	MOVED	the whole request goes by a pooled connection U
 *	LOCAL	answered in place
 *	BOUND	the agent gets this and every further byte, until it lets go
 *
 * What is not certain is BOUND. Runs in process context under C's socket lock; the lock is free
 * while a redirect is under way, so every account is taken from what sockets have really got.
 */
#include "lib/bind.h"
#include "lib/end.h"
#include "lib/mirror.h"
#include "lib/move.h"
#include "lib/opaque.h"

/* The first bytes of the message into the scanner's buffer. Gives how many, negative: cannot. */
static __always_inline int head_copy(struct sk_msg_md *msg, struct conn_scratch *s)
{
	__u32 want = msg->size < HR_KHEAD_MAX ? msg->size : HR_KHEAD_MAX;
	__u64 have = (__u64)msg->data_end - (__u64)msg->data;

	if (have < want) {
		if (bpf_msg_pull_data(msg, 0, want, 0))
			return -1;
		have = (__u64)msg->data_end - (__u64)msg->data;
	}
	asm volatile("" : "+r"(have));
	if (!have || have < want)
		return -1;
	have = ((want - 1) & (HR_KHEAD_MAX - 1)) + 1;
	asm volatile("" : "+r"(have));
	if (have > HR_KHEAD_MAX || bpf_probe_read_kernel(s->scan.buf, have, msg->data))
		return -1;
	return have;
}

/* A head that is not the one before it: 0 when the scanner takes it, or why not. */
static __always_inline __u32 scan_anew(struct sk_msg_md *msg, const struct conn *c,
				       struct conn_scratch *s)
{
	int n;

	memo_forget(s);
	n = head_copy(msg, s);
	if (n < 0)
		return HR_WHY_ERROR;
	switch (hr_scan_request(&s->scan, n)) {
	case HR_SCAN_OK:
		s->memo.len = s->scan.head_len;
		return 0;
	case HR_SCAN_INCOMPLETE:
		return HR_WHY_HEAD_SPLIT;
	case HR_SCAN_H2:
		return HR_WHY_PROTO;
	case HR_SCAN_NOT_HTTP:
		if (c->pub.proto == HR_PROTO_AUTO && !(c->pub.flags & HR_CONN_F_HTTP))
			return HR_WHY_TUNNEL;
		return HR_WHY_HEAD_ODD;
	default:
		return s->scan.why ? s->scan.why : HR_WHY_HEAD_ODD;
	}
}

/* What the scanner makes of the message: 0 for a request to be decided, or why not. */
static __always_inline __u32 scan(struct sk_msg_md *msg, const struct conn *c,
				  struct conn_scratch *s)
{
	__u32 reason = 0;
	__u64 total;

	s->whole = 0;
	if (!memo_head(msg, s))
		reason = scan_anew(msg, c, s);
	if (reason)
		return reason;
	total = s->scan.head_len + s->scan.content_length;
	s->whole = total == msg->size;
	return total < msg->size ? HR_WHY_PIPELINED : 0;
}

/* Reasons to bind that do not come from the request. */
static __always_inline __u32 forced(const struct conn *c, const struct tcp_sock *tp)
{
	__u32 zero = 0;
	struct hr_config *cfg = bpf_map_lookup_elem(&config, &zero);
	const struct sock *sk = (const struct sock *)tp;

	if (!cfg || cfg->agent_only)
		return HR_WHY_DATAPATH;
	if (c->always)
		return c->always;
	if (SOCK_FLAG(sk, SOCK_ZEROCOPY))
		return HR_WHY_ZEROCOPY;
	return 0;
}

/* An answer is on its way, or bytes that nobody wants are: what comes now goes to the agent, which
 * waits. The head of the request that is answered stays in the scanner's buffer for it. */
static __always_inline int answer_pending(const struct conn *c, __u64 cookie)
{
	return (c->native_owed && c->rstate != RESP_UNKNOWN) || moved_pending(c, cookie) ||
	       mover_sending(c) || c->agent_owes || c->swallow;
}

/* `added`: bytes that its head has got since it was read. */
static __always_inline int send_native(struct sk_msg_md *msg, const struct tcp_sock *tp,
				       struct conn *c, __u64 cookie, const struct decision *d,
				       __u64 total, __u32 added)
{
	c->pub.route = d->route;
	c->pub.ep = d->ep;
	c->cluster = d->cluster;
	c->tx = total;
	c->up_left = total + added;
	c->up_seq = tp->write_seq;
	c->rx = 0;
	c->rstate = RESP_HEAD;
	c->rlen = 0;
	c->status = 0;
	c->pair.request++;
	c->pair.serving = c->pair.end_set = 0;
	c->pub.state = HR_CONN_NATIVE;
	c->pub.owed = 1;
	c->native_owed = 1;
	inflight_ep(d->ep, 1);
	c->counted = 1;
	c->used++;
	watch_begin(c, cookie);
	count_why(HR_WHY_NATIVE);
	return carry(msg, tp, c, cookie, 0);
}

/* The request is whole in this message and may leave its connection; 0 or why not. */
static __always_inline __u32 movable(const struct sk_msg_md *msg, const struct conn *c, __u64 total)
{
	/* after an answer whose end was not seen (trap 18), or that is on its way */
	if (c->native_owed || server_sending(c))
		return HR_WHY_PIPELINED;
	if (total > HR_MOVE_MAX)
		return HR_WHY_BODY_BIG;
	return total != msg->size ? HR_WHY_BODY_SPLIT : 0;
}

static __always_inline int answer_local(struct sk_msg_md *msg, struct conn *c, __u64 cookie,
					const struct decision *d, __u64 total)
{
	struct done done = {
		.cookie = cookie,
		.t0 = c->pub.t0,
		.now = bpf_ktime_get_ns(),
		.tx = total,
		.route = d->route,
		.status = d->status,
		.reply = d->reply,
		.fault = d->why,
		.why = HR_WHY_LOCAL,
	};
	int n = local_reply(msg, cookie, d->reply, c->pub.head_req);

	if (n < 0) {
		bpf_msg_apply_bytes(msg, 0);
		count_why(HR_WHY_ERROR);
		return SK_DROP;
	}
	done.rx = n;
	count_why(HR_WHY_LOCAL);
	request_done(&done, c);
	return SK_PASS;
}

/*
 * To the agent. When it has no room or is not there, a request that is whole gets its 503 from
 * here: the verdict "drop" would stay on the socket, and its client sees EACCES for good.
 */
static __noinline int hand_over(struct sk_msg_md *msg, struct conn *c, struct conn_scratch *s,
				__u32 reason)
{
	struct decision d = {.reply = HR_REPLY_UO, .status = 503};
	int verdict = bind(msg, c, s->cookie, reason);
	__u64 total = s->scan.head_len + s->scan.content_length;

	s->mirrored = 0; /* the agent copies what it carries */
	if (verdict == SK_PASS || !s->whole || c->native_owed || moved_pending(c, s->cookie) ||
	    !settled(c))
		return verdict;
	c->pub.t0 = bpf_ktime_get_ns();
	c->pub.head_req = s->scan.method == HR_METHOD_HEAD;
	return answer_local(msg, c, s->cookie, &d, total);
}

/* To the agent after all: it takes a place in the cluster for itself. */
static __always_inline int not_sent(struct sk_msg_md *msg, struct conn *c, struct conn_scratch *s,
				    const struct decision *d, __u32 reason)
{
	if (d->kind == DECIDE_SEND)
		inflight_cluster(d->cluster, -1);
	return hand_over(msg, c, s, reason);
}

/* What the access log says of a request. */
static __noinline int remember(struct conn *c, const struct conn_scratch *s)
{
	__u32 n = s->scan.head_len;

	c->seen.host_len = s->scan.host_len;
	c->seen.method_len = s->scan.method_len;
	c->seen.line_len = n < HR_LOG_LINE_MAX ? n : HR_LOG_LINE_MAX;
	__builtin_memcpy(c->seen.host, s->scan.host, sizeof(c->seen.host));
	HR_UNROLL
	for (int i = 0; i < HR_LOG_LINE_MAX; i += 8)
		*(__u64 *)(c->seen.line + i) = hr_w8(s->scan.buf + i);
	return 0;
}

/* One in so many requests is remembered. */
static __always_inline void sample(struct conn *c, const struct conn_scratch *s)
{
	__u32 every = access_every();

	c->sampled = every && bpf_get_prandom_u32() % every == 0;
	if (c->sampled)
		remember(c, s);
}

/* The request leaves C's own connection: moved, or answered in place. A verdict; or, negative, why
 * the agent must have it; ITS_OWN: C's own endpoint will do. */
#define ITS_OWN (-HR_WHY_MAX)

static __noinline int send_elsewhere(struct sk_msg_md *msg, struct conn *c, struct conn_scratch *s,
				     const struct decision *d)
{
	__u64 cookie = s->cookie, total = s->scan.head_len + s->scan.content_length;
	__u32 dead = c->pub.flags & HR_CONN_F_DEAD, reason;
	int verdict;

	reason = movable(msg, c, total);
	/* on its own connection the gate sees it */
	if (!reason && s->scan.content_length && may_be_urgent())
		reason = HR_WHY_URGENT;
	/* C has to be ended afterwards: by the timer and the agent, or by the agent */
	if (!reason && s->scan.close && !d->own_ep &&
	    (d->kind == DECIDE_LOCAL || !end_ready(c, cookie)))
		reason = HR_WHY_CLOSE;
	if (reason)
		return dead ? -HR_WHY_DEAD : -reason;
	if (d->kind == DECIDE_LOCAL)
		return settled(c) ? answer_local(msg, c, cookie, d, total) : -HR_WHY_PIPELINED;
	verdict = s->scan.close && d->own_ep ? -1 : move(msg, c, s, d);
	if (verdict >= 0)
		return verdict;
	if (d->own_ep)
		return ITS_OWN;
	return dead ? -HR_WHY_DEAD : -HR_WHY_NO_U;
}

/* A message that begins with a request. */
static __noinline int on_request(struct sk_msg_md *msg, const struct tcp_sock *tp, struct conn *c,
				 struct conn_scratch *s)
{
	struct decision *d = &s->decision;
	__u64 cookie = s->cookie, total;
	__u32 reason, by_force;
	int verdict;

	if (answer_pending(c, cookie))
		return bind(msg, c, cookie, HR_WHY_PIPELINED);
	c->handed = 0;
	c->ending = ENDING_NOT;
	reason = scan(msg, c, s);
	if (reason == HR_WHY_TUNNEL) {
		count_why(HR_WHY_TUNNEL);
		c->pub.state = HR_CONN_TUNNEL;
		return pass(msg, tp, c, cookie, 0);
	}
	by_force = forced(c, tp);
	if (by_force || reason)
		return hand_over(msg, c, s, by_force ? by_force : reason);
	conn_flag(c, HR_CONN_F_HTTP);
	total = s->scan.head_len + s->scan.content_length;
	c->pub.t0 = bpf_ktime_get_ns();
	c->pub.head_req = s->scan.method == HR_METHOD_HEAD;
	sample(c, s);
	*d = (struct decision){};
	decide(c, s, d);
	if (d->kind == DECIDE_BIND)
		return hand_over(msg, c, s, d->why);
	c->after_edit = EDIT_NONE;
	if (d->kind == DECIDE_SEND && !clock_ready(c, cookie))
		return not_sent(msg, c, s, d, HR_WHY_ERROR);
	if (d->kind == DECIDE_SEND && s->edit_len && !edit_room(msg, tp))
		return not_sent(msg, c, s, d, HR_WHY_EDIT);
	if (d->kind != DECIDE_SEND || d->addr_id != c->pub.addr_id || d->spent) {
		verdict = send_elsewhere(msg, c, s, d);
		if (verdict >= 0)
			return verdict;
		if (verdict != ITS_OWN)
			return not_sent(msg, c, s, d, -verdict);
		d->ep = d->own_ep; /* the less loaded one cannot be had */
	}
	if (s->edit_len && edit_head(msg, c, s))
		return not_sent(msg, c, s, d, HR_WHY_EDIT);
	return send_native(msg, tp, c, cookie, d, total, s->edit_len);
}

/* The body of a native request: 1 and a verdict while some of it is missing. */
static __always_inline int native_more(struct sk_msg_md *msg, const struct tcp_sock *tp,
				       struct conn *c, __u64 cookie, int *verdict)
{
	__u32 seq, size = msg->size;
	__u64 left;

	if (!c->up_left)
		return 0;
	seq = tp->write_seq;
	left = carried_left(c, seq);
	c->up_left = left;
	c->up_seq = seq;
	if (!left)
		return 0;
	if (edit_torn(c, left)) {
		*verdict = SK_DROP;
		return 1;
	}
	watch_body(c);
	*verdict = carry(msg, tp, c, cookie, left < size ? left : 0);
	return 1;
}

/* The agent answered after everything that was owed before. */
static __always_inline void bound_ended(struct conn *c)
{
	c->pub.state = HR_CONN_NATIVE;
	c->native_owed = 0;
	c->pub.owed = 0;
	c->rstate = RESP_HEAD;
	c->rlen = 0;
}

/* By the state of C. SK_DROP: nobody can carry it. */
static __always_inline int on_message(struct sk_msg_md *msg, const struct tcp_sock *tp,
				      struct conn *c, struct conn_scratch *s)
{
	__u64 cookie = s->cookie;
	int verdict = SK_DROP;

	switch (c->pub.state) {
	case HR_CONN_TUNNEL:
		return opaque_send(msg, tp, c, cookie);
	case HR_CONN_ENDED:
		return swallow(msg, c, cookie);
	case HR_CONN_BOUND:
		if (bound_more(msg, c, &verdict))
			return verdict;
		bound_ended(c);
		break;
	case HR_CONN_MOVED:
		if (moved_pending(c, cookie)) {
			verdict = moved_more(msg, c);
			return verdict >= 0 ? verdict : bind(msg, c, cookie, HR_WHY_PIPELINED);
		}
		c->pub.state = HR_CONN_NATIVE;
		c->pub.owed = 0;
		c->up_left = 0;
		if (c->cut)
			return bind(msg, c, cookie, HR_WHY_BODY_SPLIT);
		break;
	default:
		if (native_more(msg, tp, c, cookie, &verdict))
			return verdict;
	}
	s->mirrored = 0;
	verdict = on_request(msg, tp, c, s);
	if (s->mirrored)
		mirror_copy(c, s);
	return verdict;
}

SEC("sk_msg")
int route(struct sk_msg_md *msg)
{
	const struct tcp_sock *tp = bpf_skc_to_tcp_sock(msg->sk);
	__u64 cookie = tp ? ((const struct sock *)tp)->__sk_common.skc_cookie.counter : 0;
	struct conn_scratch *s = bpf_map_lookup_elem(&heads, &cookie);
	struct conn *c = bpf_map_lookup_elem(&conns, &cookie);

	if (!s || !c || !tp)
		return after_close(msg);
	if (!s->seen)
		s->seen = 1;
	if (send_is_shut(tp)) {
		bpf_msg_apply_bytes(msg, 0);
		return SK_PASS; /* TCP refuses it with EPIPE */
	}
	if (on_message(msg, tp, c, s) == SK_PASS)
		return SK_PASS;
	return give_up(msg, c, cookie);
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
