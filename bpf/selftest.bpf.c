// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The smallest programs that use the sockmap behaviours the data path stands on.
 * user/kern/selftest.c drives them over loopback sockets at start-up: kernels are judged by what
 * they do, not by version.
 */
#include "lib/kernel.h"
#include "lib/selftest.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, __u64);
} st_conns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, __u64);
} st_servers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} st_upstream SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} st_injector SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct st_sock);
} st_socks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, ST_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} st_words SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4);
	__type(key, struct st_prefix);
	__type(value, __u64);
} st_prefixes SEC(".maps");

static __always_inline __u64 *word(__u32 i)
{
	return bpf_map_lookup_elem(&st_words, &i);
}

/* Longest prefix of the request path's stand-in; the result is left where user space maps it. */
static __always_inline void look_up_prefix(void)
{
	struct st_prefix key = {.bits = 8 * sizeof(key.value), .value = "/api/v2"};
	__u64 *hit = bpf_map_lookup_elem(&st_prefixes, &key), *out = word(ST_WORD_PREFIX);

	if (hit && out)
		*out = *hit;
}

static __always_inline int local_reply(struct sk_msg_md *msg, __u64 key)
{
	const char reply[ST_REPLY_LEN + 1] = ST_REPLY;
	__u32 size = msg->size;

	if (size < ST_REPLY_LEN) {
		if (bpf_msg_push_data(msg, size, ST_REPLY_LEN - size, 0))
			return SK_DROP;
	} else if (size > ST_REPLY_LEN) {
		if (bpf_msg_pop_data(msg, ST_REPLY_LEN, size - ST_REPLY_LEN, 0))
			return SK_DROP;
	}
	if (bpf_msg_pull_data(msg, 0, ST_REPLY_LEN, 0))
		return SK_DROP;
	char *data = msg->data, *end = msg->data_end;

	if (data + ST_REPLY_LEN > end)
		return SK_DROP;
	__builtin_memcpy(data, reply, ST_REPLY_LEN);
	return bpf_msg_redirect_hash(msg, &st_conns, &key, BPF_F_INGRESS);
}

/* As bpf/lib/edit.h does: a hole, one piece again, the text. */
static __always_inline int edit(struct sk_msg_md *msg)
{
	const char added[ST_ADDED_LEN + 1] = ST_ADDED;
	__u32 size = msg->size;
	char *data, *end;

	if (bpf_msg_push_data(msg, ST_EDIT_AT, ST_ADDED_LEN, 0) ||
	    bpf_msg_pull_data(msg, 0, size + ST_ADDED_LEN, 0) ||
	    bpf_msg_pull_data(msg, ST_EDIT_AT, ST_EDIT_AT + ST_ADDED_LEN, 0))
		return -1;
	data = msg->data;
	end = msg->data_end;
	if (data + ST_ADDED_LEN > end)
		return -1;
	__builtin_memcpy(data, added, ST_ADDED_LEN);
	return 0;
}

/* Leaves where this end is, and how much of what it has sent the other has not read. */
static __always_inline void look(struct sk_msg_md *msg, __u32 own, __u32 other, __u32 gap)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(msg->sk), *peer;
	__u64 *mine = word(own), *theirs = word(other), *out = word(gap);

	if (!tp || !mine || !theirs || !out)
		return;
	*mine = (__u64)tp;
	peer = (struct tcp_sock *)*theirs;
	if (peer)
		*out = (__u32)(tp->write_seq - BPF_CORE_READ(peer, copied_seq));
}

SEC("sk_msg")
int st_route(struct sk_msg_md *msg)
{
	struct bpf_sock *sk = msg->sk;
	struct st_sock *s = sk ? bpf_sk_storage_get(&st_socks, sk, 0, 0) : 0;
	__u64 *runs = word(ST_WORD_RUNS);
	__u64 key;

	bpf_msg_apply_bytes(msg, 0);
	if (!s)
		return SK_PASS;
	key = s->key;
	if (runs)
		__sync_fetch_and_add(runs, 1);
	look_up_prefix();
	look(msg, ST_WORD_CLIENT_SK, ST_WORD_SERVER_SK, ST_WORD_CLIENT_GAP);
	switch (s->mode) {
	case ST_NEAR:
		return bpf_msg_redirect_hash(msg, &st_servers, &key, BPF_F_INGRESS);
	case ST_MOVE:
		return bpf_msg_redirect_map(msg, &st_upstream, 0, 0);
	case ST_SELF:
		return bpf_msg_redirect_hash(msg, &st_conns, &key, 0);
	case ST_LOCAL:
		return local_reply(msg, key);
	case ST_EDIT:
		return edit(msg) ? SK_DROP : SK_PASS;
	case ST_EDIT_MOVE:
		return edit(msg) ? SK_DROP : bpf_msg_redirect_map(msg, &st_upstream, 0, 0);
	}
	return SK_PASS;
}

SEC("sk_msg")
int st_serve(struct sk_msg_md *msg)
{
	struct st_sock *s = bpf_sk_storage_get(&st_socks, msg->sk, 0, 0);
	__u64 key;

	bpf_msg_apply_bytes(msg, 0);
	if (!s)
		return SK_PASS;
	key = s->key;
	look(msg, ST_WORD_SERVER_SK, ST_WORD_CLIENT_SK, ST_WORD_SERVER_GAP);
	if (s->mode == ST_NEAR)
		return bpf_msg_redirect_hash(msg, &st_conns, &key, BPF_F_INGRESS);
	return bpf_msg_redirect_hash(msg, &st_servers, &key, 0);
}

/* Must be there although it changes nothing: without a verdict FIONREAD counts wrongly. */
SEC("sk_skb/stream_verdict")
int st_reply(struct __sk_buff *skb __attribute__((unused)))
{
	return SK_PASS;
}

SEC("sk_skb/stream_verdict")
int st_hand_over(struct __sk_buff *skb)
{
	__u64 *target = word(ST_WORD_TARGET);
	__u64 key;

	if (!target || !skb->len)
		return SK_PASS;
	key = *target;
	return bpf_sk_redirect_hash(skb, &st_conns, &key, BPF_F_INGRESS);
}

SEC("sk_msg")
int st_inject(struct sk_msg_md *msg)
{
	__u64 *target = word(ST_WORD_TARGET);
	__u64 key;

	bpf_msg_apply_bytes(msg, 0);
	if (!target)
		return SK_DROP;
	key = *target;
	return bpf_msg_redirect_hash(msg, &st_conns, &key, BPF_F_INGRESS);
}
