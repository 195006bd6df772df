/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sk_skb verdicts: what comes back.
 *
 *	reply_c	on C: answers of its own endpoint are read for status and end, and pass
 *	reply_u	on U: a short answer goes into C; any other is left to the agent (RELAY)
 */
#include "lib/chunks.h"
#include "lib/memo.h"
#include "lib/moved.h"

/* Heads that may follow each other in one packet: 100, 103, final. */
#define HEADS_PER_PACKET 4

/* The longest head that is compared with the one before it: in the upper part of the buffer, where
 * no head of that length reaches. */
#define MEMO_RESP_MAX 512

/* ---- C: native answers ---------------------------------------------------------------------- */

/* When the packet came, ktime ns: TCP has just looked at the clock. */
static __always_inline __u64 arrival(struct __sk_buff *skb, const struct conn *c)
{
	struct bpf_sock *sk = skb->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	__u64 at = tp ? tp->tcp_clock_cache : 0;

	return (__s64)(at - c->pub.t0) > 0 ? at : bpf_ktime_get_ns();
}

static __always_inline void answer_ended(struct __sk_buff *skb, struct conn *c, __u64 cookie)
{
	native_done(c, cookie, arrival(skb, c), c->status, 0);
	watch_end(c);
	if (c->resp.close)
		conn_flag(c, HR_CONN_F_DEAD);
	c->rstate = RESP_HEAD;
	c->rlen = 0;
	c->native_owed = 0;
	c->pub.owed = 0;
}

/* The request is accounted for now; its answer stays owed, so nothing overtakes it. */
static __always_inline void answer_unknown(struct __sk_buff *skb, struct conn *c, __u64 cookie)
{
	native_done(c, cookie, arrival(skb, c), c->status, 0);
	watch_end(c); /* nobody could say when it is over */
	c->rstate = RESP_UNKNOWN;
	c->rx_at = bpf_ktime_get_ns();
	conn_flag(c, HR_CONN_F_END_UNKNOWN);
}

struct head_copy {
	struct __sk_buff *skb;
	struct conn *c;
	__u32 off, have, n;
};

static long head_copy_step(__u32 i, struct head_copy *h)
{
	__u32 at = h->have + i;

	asm volatile("" : "+r"(at));
	return i >= h->n || bpf_skb_load_bytes(h->skb, h->off + i,
					       h->c->resp.buf + (at & (HR_KRESP_MAX - 1)), 1);
}

/* Appends n bytes to the head in c->resp.buf. A head in several packets is rare: byte by byte. */
static __always_inline int head_append(struct __sk_buff *skb, struct conn *c, __u32 off, __u32 have,
				       __u32 n)
{
	struct head_copy h = {.skb = skb, .c = c, .off = off, .have = have, .n = n};

	c->resp.known = 0;
	if (have)
		return bpf_loop(n, head_copy_step, &h, 0) != n;
	asm volatile("" : "+r"(n));
	n = ((n - 1) & (HR_KRESP_MAX - 1)) + 1;
	return bpf_skb_load_bytes(skb, off, c->resp.buf, n);
}

/* The head that the packet begins with, and holds whole, into c->resp. 0, or -1: it is odd. */
static __always_inline int head_read(struct __sk_buff *skb, struct conn *c)
{
	__u32 n = skb->len < HR_KRESP_MAX ? skb->len : HR_KRESP_MAX;

	if (!n || head_append(skb, c, 0, 0, n))
		return -1;
	return hr_scan_response(&c->resp, n, c->pub.head_req) == HR_RESP_OK ? 0 : -1;
}

/* Does the packet begin with the head that c->resp is of? Its length, or 0. Servers change a head
 * once a second, when they write the date. */
static __always_inline __u32 head_repeats(struct __sk_buff *skb, struct conn *c)
{
	__u32 n = c->resp.known, last;
	const __u8 *old = c->resp.buf;
	__u8 *new = c->resp.buf + HR_KRESP_MAX - MEMO_RESP_MAX;

	if (c->rlen || c->resp.interim || !c->resp.known_head != !c->pub.head_req)
		return 0;
	if (n < MEMO_STEP || n > MEMO_RESP_MAX || skb->len < n)
		return 0;
	asm volatile("" : "+r"(n));
	n = ((n - 1) & (MEMO_RESP_MAX - 1)) + 1;
	if (bpf_skb_load_bytes(skb, 0, new, n))
		return 0;
	for (__u32 i = 0; i < MEMO_RESP_MAX / MEMO_STEP; i++) {
		if ((i + 1) * MEMO_STEP > n)
			break;
		if (!memo_equal(old + i * MEMO_STEP, new + i *MEMO_STEP))
			return 0;
	}
	last = hr_bound(n - MEMO_STEP, MEMO_RESP_MAX - 1);
	return memo_equal(old + last, new + last) ? n : 0;
}

/* Adds to the head what the packet has from `off` on. Gives the offset after the head when it is
 * complete, 0 when it is not or the end of the answer cannot be known. */
static __always_inline __u32 answer_head(struct __sk_buff *skb, struct conn *c, __u64 cookie,
					 __u32 off)
{
	__u32 have = c->rlen & (HR_KRESP_MAX - 1), n = skb->len - off;
	int verdict;

	if (n > HR_KRESP_MAX - have)
		n = HR_KRESP_MAX - have;
	if (!n || head_append(skb, c, off, have, n)) {
		answer_unknown(skb, c, cookie);
		return 0;
	}
	verdict = hr_scan_response(&c->resp, have + n, c->pub.head_req);
	c->status = c->resp.status;
	if (verdict == HR_RESP_INCOMPLETE) {
		c->rlen = have + n;
		return 0;
	}
	if (verdict != HR_RESP_OK || c->resp.head_len <= have) {
		answer_unknown(skb, c, cookie);
		return 0;
	}
	c->rlen = 0;
	return off + c->resp.head_len - have;
}

/* The head says how the body ends. */
static __always_inline void answer_body_begin(struct __sk_buff *skb, struct conn *c, __u64 cookie)
{
	switch (c->resp.end) {
	case HR_END_NONE:
		answer_ended(skb, c, cookie);
		break;
	case HR_END_LENGTH:
		c->pub.resp_left = c->resp.content_length;
		c->rstate = RESP_LENGTH;
		break;
	case HR_END_CHUNKED:
		c->chunks.left = 0;
		c->chunks.state = CHUNK_SIZE;
		c->rstate = RESP_CHUNKED;
		break;
	default:
		answer_unknown(skb, c, cookie);
	}
}

static __always_inline void answer_body(struct __sk_buff *skb, struct conn *c, __u64 cookie,
					__u32 off)
{
	__u32 rest = skb->len - off;

	if (c->rstate == RESP_LENGTH) {
		c->pub.resp_left -= rest < c->pub.resp_left ? rest : c->pub.resp_left;
		if (!c->pub.resp_left)
			answer_ended(skb, c, cookie);
	} else if (c->rstate == RESP_CHUNKED) {
		chunks_walk(skb, &c->chunks, off, skb->len);
		if (c->chunks.state == CHUNK_END)
			answer_ended(skb, c, cookie);
		else if (c->chunks.state == CHUNK_BAD)
			answer_unknown(skb, c, cookie);
	} else {
		c->rx_at = bpf_ktime_get_ns();
	}
}

/* Only interim answers have come: the final one may still be late, or unwanted. */
static __always_inline void watch_again(struct conn *c)
{
	__u64 w = c->watch;

	if (WATCH_STATE(w) == WATCH_ANSWERING)
		watch_move(c, w, WATCH_ARMED);
}

/* Up to the final head: the offset after it, 0 when it is not here or the end cannot be known. */
static __always_inline __u32 answer_heads(struct __sk_buff *skb, struct conn *c, __u64 cookie)
{
	__u32 off = 0;

	for (int i = 0; i < HEADS_PER_PACKET; i++) {
		off = answer_head(skb, c, cookie, off);
		if (!off || !c->resp.interim)
			return off;
		if (off >= skb->len) {
			watch_again(c);
			return 0; /* the final head is still to come */
		}
	}
	answer_unknown(skb, c, cookie);
	return 0;
}

static __always_inline void native_answer(struct __sk_buff *skb, struct conn *c, __u64 cookie)
{
	__u32 off = 0;

	c->rx += skb->len;
	if (c->rstate == RESP_HEAD) {
		off = head_repeats(skb, c);
		if (off)
			c->status = c->resp.status;
		else
			off = answer_heads(skb, c, cookie);
		if (!off)
			return;
		answer_body_begin(skb, c, cookie);
		if (!c->native_owed)
			return;
	}
	answer_body(skb, c, cookie, off);
}

/* An answer that `serve` accounts for, or some of it, comes by TCP: the end is where it said. */
static __always_inline void served_natively(struct __sk_buff *skb, struct conn *c, __u64 cookie)
{
	struct tcp_sock *tp = (struct tcp_sock *)c->pub.sk;

	if (c->pair.end_set && (__s32)(BPF_CORE_READ(tp, rcv_nxt) - c->pair.end_seq) >= 0)
		answer_ended(skb, c, cookie);
}

/* ---- C: answers that are tried again -------------------------------------------------------- */

/* Status of the answer that begins with this packet; 0: it cannot be told from it. */
static __always_inline __u32 status_of(struct __sk_buff *skb)
{
	__u8 b[16] = {};

	if (bpf_skb_load_bytes(skb, 0, b, 13) || *(__u32 *)b != 0x50545448 || b[4] != '/')
		return 0;
	return (b[9] - '0') * 100 + (b[10] - '0') * 10 + (b[11] - '0');
}

/* The head is parsed for where the answer ends; 0: it does not say. */
static __always_inline __u64 answer_size(struct __sk_buff *skb, struct conn *c)
{
	if (head_read(skb, c))
		return 0;
	if (c->resp.end == HR_END_NONE)
		return c->resp.head_len;
	return c->resp.end == HR_END_LENGTH ? c->resp.head_len + c->resp.content_length : 0;
}

/*
 * Keeps an unwanted answer from C, and asks the agent for another. Its connection goes on when the
 * answer's end is known and near; otherwise it is given up. 0: C gets the answer after all.
 */
static __always_inline int swallow(struct __sk_buff *skb, struct conn *c, __u64 cookie, __u64 w,
				   __u32 status)
{
	__u64 size = answer_size(skb, c), held;
	struct hr_event *e;

	held = size == skb->len && size <= HR_KRESP_MAX ? size : 0;
	if (c->resp.ratelimited || (!held && (c->rule_flags & HR_RULE_HELD_ONLY)))
		return 0;
	e = taken_begin(c, cookie, HR_TAKEN_STATUS, status);
	if (!e)
		return 0;
	if (!watch_move(c, w, WATCH_TAKEN)) {
		bpf_ringbuf_discard(e, 0);
		return 1; /* late: it is dropped as such */
	}
	e->bytes = held;
	if (size < skb->len || size > HR_SWALLOW_MAX)
		conn_flag(c, HR_CONN_F_DEAD | HR_CONN_F_DROP);
	else
		c->swallow = size - skb->len;
	if (c->resp.close)
		conn_flag(c, HR_CONN_F_DEAD);
	taken_native(c, e);
	return 1;
}

static __always_inline int swallow_more(struct __sk_buff *skb, struct conn *c)
{
	__u32 left = c->swallow, n = skb->len;

	if (n > left) {
		conn_flag(c, HR_CONN_F_DEAD | HR_CONN_F_DROP);
		n = left;
	}
	c->swallow = left - n;
	return SK_DROP;
}

/* May this packet of an answer that C is owed go to C? */
static __always_inline int may_pass(struct __sk_buff *skb, struct conn *c, __u64 cookie)
{
	__u64 w = c->watch;
	__u32 status;

	if (WATCH_STATE(w) != WATCH_ARMED)
		return WATCH_STATE(w) != WATCH_TAKEN;
	if (c->rule_flags & HR_RULE_RETRY_STATUS) {
		status = status_of(skb);
		if (watch_retried(c, status) && swallow(skb, c, cookie, w, status))
			return 0;
	}
	return watch_move(c, w, WATCH_ANSWERING);
}

SEC("sk_skb/stream_verdict")
int reply_c(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct conn *c = bpf_map_lookup_elem(&conns, &cookie);

	/* a FIN comes as an empty packet */
	if (!c || !skb->len || c->pub.state == HR_CONN_TUNNEL)
		return SK_PASS;
	stall();
	if (c->swallow)
		return swallow_more(skb, c);
	if (c->pub.flags & HR_CONN_F_DROP)
		return SK_DROP;
	if (c->native_owed) {
		if (c->pair.serving) {
			served_natively(skb, c, cookie);
			return SK_PASS;
		}
		if (!may_pass(skb, c, cookie))
			return SK_DROP;
		native_answer(skb, c, cookie);
		return SK_PASS;
	}
	if (c->pub.state == HR_CONN_ENDED)
		return SK_DROP;
	if (!answered_elsewhere(c, cookie))
		return SK_PASS;
	/* a server that speaks out of turn (408, a second answer): not into another's answer */
	conn_flag(c, HR_CONN_F_DEAD);
	return SK_DROP;
}

/* ---- U: moved answers ----------------------------------------------------------------------- */

/* The agent takes the answer over, and with it the in-flight numbers. Nothing is owed by the
 * kernel any more; C stays MOVED until the agent frees the slot. */
static __always_inline int relay(struct hr_u *u, __u32 slot, struct conn *c)
{
	__u64 word = u->word;
	__u32 gen = HR_WORD_GEN(word);

	/* its time, too, is the agent's to keep */
	if (!watch_end(c) ||
	    !word_swap(&u->word, HR_WORD(HR_U_BUSY, gen), HR_WORD(HR_U_RELAY, gen)))
		return SK_DROP;
	inflight_to_agent(u->ep, u->cluster);
	c->pub.owed = 0;
	count_why(HR_WHY_RELAY);
	stall();
	event_slot(HR_EV_RELAY, u->conn, slot, gen, u->left);
	return SK_PASS;
}

/* Reads the head of an answer that may go straight into C: whole head in this packet, end known
 * and near, nothing behind it. 0, or -1 when the agent must carry it. */
static __always_inline int short_answer(struct __sk_buff *skb, struct hr_u *u, struct conn *c)
{
	__u32 total;

	if ((!head_repeats(skb, c) && head_read(skb, c)) || c->resp.interim)
		return -1;
	if (c->resp.end != HR_END_NONE && c->resp.end != HR_END_LENGTH)
		return -1;
	if (c->resp.end == HR_END_NONE)
		c->resp.content_length = 0;
	if (c->resp.content_length > HR_MOVE_RESP_MAX)
		return -1;
	total = c->resp.head_len + c->resp.content_length;
	if (total < skb->len || close_say(skb, c))
		return -1;
	c->status = c->resp.status;
	c->rx = total;
	u->left = total;
	return 0;
}

static __always_inline int moved_answer(struct __sk_buff *skb, struct hr_u *u, __u32 slot)
{
	__u64 cookie = u->conn;
	struct conn *c = bpf_map_lookup_elem(&conns, &cookie);

	if (!c)
		return SK_DROP; /* C has closed: STATE_CB gives the slot up */
	if (!u->left && short_answer(skb, u, c))
		return relay(u, slot, c);
	if (WATCH_STATE(c->watch) == WATCH_ARMED && watch_retried(c, c->status)) {
		u->left = 0; /* the agent reads it, and tries again */
		return relay(u, slot, c);
	}
	if (!watch_claim(c))
		return SK_DROP;
	/* longer: the rest of one that its server has begun to hand over (serve_moved) */
	if (skb->len > u->left || u->left > HR_KRESP_MAX + HR_MOVE_RESP_MAX)
		return relay(u, slot, c);
	u->left -= skb->len;
	if (!u->left && moved_done(u, slot, c))
		return SK_DROP;
	stall();
	return bpf_sk_redirect_hash(skb, &cl_hash, &cookie, BPF_F_INGRESS);
}

SEC("sk_skb/stream_verdict")
int reply_u(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb), word;
	__u32 *slot = bpf_map_lookup_elem(&u_slots, &cookie);
	struct hr_u *u = slot ? bpf_map_lookup_elem(&u_tab, slot) : NULL;

	if (!u || !skb->len)
		return SK_PASS;
	word = u->word;
	switch (HR_WORD_STATE(word)) {
	case HR_U_BUSY:
		return moved_answer(skb, u, *slot);
	case HR_U_RELAY:
		return SK_PASS;
	case HR_U_FREE:
		/* it speaks unasked */
		if (word_swap(&u->word, word, HR_WORD(HR_U_DEAD, HR_WORD_GEN(word))))
			event_slot(HR_EV_U_DIRTY, 0, *slot, HR_WORD_GEN(word), 0);
		return SK_DROP;
	default:
		return SK_DROP;
	}
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
