/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sockops: what connect() decided takes effect when the connection is established (enters `conns`
 * and the sockhash, or leaves its destination in `doors`), and ends when it closes. The two ends of
 * a connection on this node meet here (lib/pair.h).
 */
#include "lib/opaque.h"
#include "lib/tally.h"

static const struct conn fresh_conn;
static const struct conn_scratch fresh_head;

static __always_inline void own_address(struct bpf_sock_ops *ops, __u8 ip[16])
{
	if (ops->family == AF_INET) {
		ip_from_v4(ip, ops->local_ip4);
		return;
	}
	((__u32 *)ip)[0] = ops->local_ip6[0];
	((__u32 *)ip)[1] = ops->local_ip6[1];
	((__u32 *)ip)[2] = ops->local_ip6[2];
	((__u32 *)ip)[3] = ops->local_ip6[3];
}

/* Into the table and the sockhash. Established already: what cannot enter is not policed, so it
 * is counted as an error (connect() leaves a margin, only memory can be short). */
static __always_inline void enter(struct bpf_sock_ops *ops, struct dial *d, __u64 cookie)
{
	struct bpf_sock *sk = ops->sk;
	struct conn_scratch *scratch;
	struct conn *c;

	if (!sk)
		return;
	if (bpf_map_update_elem(&heads, &cookie, &fresh_head, BPF_NOEXIST))
		goto failed;
	if (bpf_map_update_elem(&conns, &cookie, &fresh_conn, BPF_NOEXIST)) {
		bpf_map_delete_elem(&heads, &cookie);
		goto failed;
	}
	__sync_fetch_and_add(&conns_used, 1);
	if (g_grow_at && conns_used >= g_grow_at) {
		g_grow_at = 0;
		event_slot(HR_EV_G_LOW, cookie, 0, 0, 0);
	}
	scratch = bpf_map_lookup_elem(&heads, &cookie);
	c = bpf_map_lookup_elem(&conns, &cookie);
	if (!scratch || !c)
		goto failed;
	scratch->cookie = cookie;
	d->entered = 1;
	c->pub.netns = bpf_get_netns_cookie(ops);
	c->pub.sk = (__u64)bpf_skc_to_tcp_sock(sk);
	c->pub.addr_id = d->addr_id;
	c->pub.vip_vhost = d->vip_vhost;
	c->pub.vip_port = d->vip_port;
	c->pub.workload = d->workload;
	c->pub.proto = d->proto;
	c->pub.dst_port_be = d->dst_port_be;
	__builtin_memcpy(c->pub.dst_ip, d->dst_ip, 16);
	c->pub.pid = d->pid;
	c->born = bpf_ktime_get_ns();
	own_address(ops, (__u8 *)c->src_ip);
	c->vip_flags = d->vip_flags;
	c->always = d->why;
	c->pair.off = !d->same_node;
	if (d->kind == DIAL_TUNNEL) {
		c->pub.state = HR_CONN_TUNNEL;
		scratch->seen = 1; /* what it sends needs no look */
	}
	stall();
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	if (!bpf_sock_hash_update(ops, &cl_hash, &cookie, BPF_ANY)) {
		if (d->same_node)
			pair_offer(ops, cookie, bpf_skc_to_tcp_sock(sk), HR_OFFER_CONN);
		return;
	}
failed:
	count_why(HR_WHY_ERROR);
}

/* Bytes that nobody reads may skip TCP where the port says so. Only for a server that is known to
 * be on this node: a sockhash costs those that leave it. */
static __always_inline void enter_tunnel(struct bpf_sock_ops *ops, struct dial *d, __u64 cookie)
{
	struct tcp_sock *tp = ops->sk ? bpf_skc_to_tcp_sock(ops->sk) : NULL;

	if (!d->same_node || !(d->vip_flags & HR_VIP_NEAR_TCP) || !tp || !same_node_on())
		return;
	if (place_is_good(ops) && opaque_fits((struct sock *)tp))
		enter(ops, d, cookie);
	else
		pair_offer(ops, cookie, tp, HR_OFFER_LEARN);
}

/* connectionPool.tcp.tcpKeepalive on the client's own connection. */
static __always_inline void keep_alive(struct bpf_sock_ops *ops, const struct dial *d)
{
	__u32 id = d->cluster;
	struct hr_cluster *cl = bpf_map_lookup_elem(&clusters, &id);
	int on = 1, v;

	if (!cl || !(cl->flags & HR_CLUSTER_KEEPALIVE))
		return;
	bpf_setsockopt(ops, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	v = cl->ka_time_s;
	if (v)
		bpf_setsockopt(ops, IPPROTO_TCP, TCP_KEEPIDLE, &v, sizeof(v));
	v = cl->ka_interval_s;
	if (v)
		bpf_setsockopt(ops, IPPROTO_TCP, TCP_KEEPINTVL, &v, sizeof(v));
	v = cl->ka_probes;
	if (v)
		bpf_setsockopt(ops, IPPROTO_TCP, TCP_KEEPCNT, &v, sizeof(v));
}

static __always_inline void enter_door(struct bpf_sock_ops *ops, const struct dial *d, __u64 cookie)
{
	struct hr_door_key key = {
		.netns = bpf_get_netns_cookie(ops),
		.port = ops->local_port,
		/* of the door that it goes to: an IPv6 socket may have asked for ::ffff:a.b.c.d */
		.family = ip_is_v4(d->dst_ip) ? AF_INET : AF_INET6,
	};
	struct hr_door door = {
		.conn = cookie,
		.vip_vhost = d->vip_vhost,
		.workload = d->workload,
		.dst_port_be = d->dst_port_be,
		.proto = d->proto,
		.why = d->why,
	};

	__builtin_memcpy(door.dst_ip, d->dst_ip, 16);
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	bpf_map_update_elem(&doors, &key, &door, BPF_ANY);
}

/* An opaque connection, or one that may become it. */
static __always_inline int tallied(const struct dial *d)
{
	return d->kind == DIAL_TUNNEL || (d->kind == DIAL_KERNEL && d->proto == HR_PROTO_AUTO);
}

static __always_inline void on_established(struct bpf_sock_ops *ops)
{
	__u64 cookie = bpf_get_socket_cookie(ops);
	struct bpf_sock *sk = ops->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	struct dial *d;

	if (!sk || !tp)
		return;
	d = bpf_sk_storage_get(&dials, sk, NULL, 0);
	if (!d)
		return;
	if (tallied(d))
		tally_begin(d, tp, cookie, d->kind == DIAL_TUNNEL);
	switch (d->kind) {
	case DIAL_KERNEL:
		keep_alive(ops, d);
		enter(ops, d, cookie);
		break;
	case DIAL_TUNNEL:
		keep_alive(ops, d);
		count_why(HR_WHY_TUNNEL);
		bpf_sock_ops_cb_flags_set(ops,
					  ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
		enter_tunnel(ops, d, cookie);
		break;
	case DIAL_DOOR:
		enter_door(ops, d, cookie);
		break;
	}
}

/* The owner did shutdown(SHUT_WR): the agent hears of it when the bytes went to it. */
static __always_inline void half_closed(__u64 cookie)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &cookie);
	struct hr_g *g = c ? g_of(c) : NULL;

	if (!g)
		return;
	g->flags |= HR_G_CLIENT_EOF;
	event_slot(HR_EV_CLIENT_EOF, cookie, c->pub.slot, c->pub.gen, HR_G_BYTES(g->word));
}

/* A client of door A is closed by its owner. `fresh`: it had not half-closed before. */
static __always_inline void door_closed(__u64 cookie, int fresh)
{
	struct hr_door_end closed = {.state = HR_DOOR_CLOSED}, *end;

	end = bpf_map_lookup_elem(&door_ends, &cookie);
	if (!end && fresh && bpf_map_update_elem(&door_ends, &cookie, &closed, BPF_NOEXIST))
		end = bpf_map_lookup_elem(&door_ends, &cookie); /* the agent was faster */
	if (!end || end->state != HR_DOOR_WATCHED)
		return;
	event_slot(HR_EV_DOOR_CLOSED, cookie, end->worker, 0, 0);
	bpf_map_delete_elem(&door_ends, &cookie);
}

/* `lost`: its server was the first to go. */
static __always_inline void client_closed(const struct dial *d, __u64 cookie, __u32 lost)
{
	if (tallied(d))
		tally_end(cookie);
	if (d->kind == DIAL_DOOR)
		door_closed(cookie, 0);
	else
		conn_gone(cookie, lost);
}

/* Says its last: by close(), or by shutdown(). */
static __always_inline void client_finished(const struct dial *d, __u64 cookie, int closed,
					    __u32 lost)
{
	if (tallied(d))
		tally_fin(cookie); /* before its FIN is sent */
	if (d->kind == DIAL_DOOR) {
		if (closed)
			door_closed(cookie, 1);
	} else if (closed) {
		conn_gone(cookie, lost);
	} else {
		half_closed(cookie);
	}
}

static __always_inline void on_state(struct bpf_sock_ops *ops)
{
	__u32 state = ops->args[1];
	struct bpf_sock *bsk = ops->sk;
	struct tcp_sock *tp;
	struct dial *d;
	int closed;

	if (ops->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_RTT_CB_FLAG)
		pair_learn(ops);
	if (state == BPF_TCP_CLOSE_WAIT)
		pair_part(bpf_get_socket_cookie(ops));
	if (!bsk ||
	    (state != BPF_TCP_CLOSE && state != BPF_TCP_FIN_WAIT1 && state != BPF_TCP_LAST_ACK))
		return;
	d = bpf_sk_storage_get(&dials, bsk, NULL, 0);
	if (!d) {
		if (state == BPF_TCP_CLOSE)
			pool_accept_ends(bsk);
		return;
	}
	tp = bpf_skc_to_tcp_sock(bsk);
	/* close() says both directions first, a reset of the other end does not */
	closed = tp && ((struct sock *)tp)->sk_shutdown == SHUTDOWN_MASK;
	if (state == BPF_TCP_CLOSE)
		client_closed(d, bpf_get_socket_cookie(ops), !closed);
	else
		client_finished(d, bpf_get_socket_cookie(ops), closed, state == BPF_TCP_LAST_ACK);
}

SEC("sockops")
int sock_ops(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		on_established(ops);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		pair_accept(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		on_state(ops);
		break;
	case BPF_SOCK_OPS_RTT_CB:
		pair_learn(ops);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		listener_forget(ops);
		break;
	}
	return 1;
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
