/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * cgroup/connect4, connect6: where a connection to an address of the mesh really goes.
 *
 *	KERNEL	to an endpoint; each of its requests is decided by `route`
 *	TUNNEL	to an endpoint, then ordinary TCP (opaque protocols)
 *	DOOR	to the agent's proxy in the same namespace (door A)
 *
 * and getpeername, which gives the address that was asked for. The decision waits in the socket's
 * storage (`dials`) until sockops sees the connection established.
 */
#include "lib/addr.h"
#include "lib/balance.h"
#include "lib/capture.h"
#include "lib/dns.h"
#include "lib/pressure.h"
#include "lib/slot.h"

/* Connections that may be on their way to established when `conns` is nearly full. */
#define CONNS_MARGIN 4096

static __always_inline int socket_blocks(struct bpf_sock_addr *ctx)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(ctx->sk);
	struct sock *sk = (struct sock *)tp;
	struct socket *sock;
	struct file *file;

	if (!tp)
		return 1;
	sock = sk->sk_socket;
	file = sock ? sock->file : NULL;
	return !file || !(file->f_flags & O_NONBLOCK);
}

/* It may send before any program sees it. */
static __always_inline int opens_fast(struct bpf_sock_addr *ctx)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(ctx->sk);

	return tp && (tp->fastopen_req || BPF_CORE_READ_BITFIELD(tp, fastopen_connect));
}

/* A psock takes copies, and says nothing of completions. */
static __always_inline int wants_zerocopy(struct bpf_sock_addr *ctx)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(ctx->sk);

	return tp && SOCK_FLAG((struct sock *)tp, SOCK_ZEROCOPY);
}

static __always_inline int short_of_memory(struct bpf_sock_addr *ctx)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(ctx->sk);

	return tp && sk_pressed((struct sock *)tp);
}

/* Why this connection must use door A, 0 when it need not. */
static __always_inline __u32 door_reason(struct bpf_sock_addr *ctx, const struct hr_vip *vip,
					 const struct hr_workload *wl)
{
	__u32 zero = 0;
	struct hr_config *cfg = bpf_map_lookup_elem(&config, &zero);

	if (!cfg || cfg->agent_only)
		return HR_WHY_DATAPATH;
	if (vip->proto == HR_PROTO_TCP)
		return vip->flags & HR_VIP_AGENT ? HR_WHY_PROTO : 0;
	if ((vip->flags & HR_VIP_AGENT) || vip->proto == HR_PROTO_HTTP2)
		return HR_WHY_PROTO;
	if (wl->flags & HR_WL_AGENT)
		return HR_WHY_OPTED_OUT;
	if (!(wl->flags & HR_WL_BLOCKING_OK) && socket_blocks(ctx))
		return HR_WHY_BLOCKING;
	if (opens_fast(ctx))
		return HR_WHY_FASTOPEN;
	if (wants_zerocopy(ctx))
		return HR_WHY_ZEROCOPY;
	/* a sender in a sockhash that is refused memory is not woken when there is some again */
	if (short_of_memory(ctx))
		return HR_WHY_PRESSURE;
	if (conns_used >= HR_CONNS_MAX - CONNS_MARGIN)
		return HR_WHY_TABLE_FULL;
	return 0;
}

/* The cluster of this connection: of a TCP route, one by weight. 0: none. */
static __always_inline __u32 vip_cluster(const struct hr_vip *vip)
{
	__u32 id = vip->split, r;
	struct hr_split *s;

	if (!id)
		return vip->cluster;
	s = bpf_map_lookup_elem(&splits, &id);
	if (!s || !s->total)
		return 0;
	r = bpf_get_prandom_u32() % s->total;
	for (__u32 i = 0; i < HR_DST_MAX && i < s->ndst; i++)
		if (r < s->dst[i].cum)
			return s->dst[i].cluster;
	return 0;
}

/* Fills addr_id and gives the address of a live endpoint of that family; 0 or the reason why there
 * is none. The key of consistentHash comes with the request, which then goes where it must. */
static __always_inline __u32 choose(const struct hr_vip *vip, __u32 family, struct hr_ep_addr *out,
				    struct dial *d)
{
	__u32 id = vip_cluster(vip);
	struct hr_cluster *c = bpf_map_lookup_elem(&clusters, &id);
	struct pick p = {.family = family};
	struct hr_ep_addr *addr;

	if (!c)
		return HR_WHY_NO_ENDPOINT;
	if (c->flags & HR_CLUSTER_SEEN) {
		id = cluster_seen(id, d->workload);
		c = bpf_map_lookup_elem(&clusters, &id);
		if (!c)
			return HR_WHY_CLUSTER;
	}
	p.cluster = id;
	/* where no request comes, only the agent can hash */
	if ((c->flags & HR_CLUSTER_AGENT) || (c->hash && vip->proto == HR_PROTO_TCP))
		return HR_WHY_CLUSTER;
	if (c->lb == HR_LB_PASSTHROUGH) {
		__builtin_memcpy(out->ip, d->dst_ip, 16);
		out->port_be = d->dst_port_be;
		d->addr_id = HR_ADDR_ASKED;
		d->cluster = id;
		return 0;
	}
	pick_endpoint(&p, c, NULL, 0);
	if (!p.ep)
		return p.n ? HR_WHY_FAMILY : HR_WHY_NO_ENDPOINT;
	addr = bpf_map_lookup_elem(&addrs, &p.addr_id);
	/* none is alive: the agent tries all the same, and gives an answer where there is none */
	if (!addr || !ep_alive(p.ep))
		return HR_WHY_NO_ENDPOINT;
	*out = *addr;
	d->addr_id = p.addr_id;
	d->cluster = id;
	return 0;
}

/* To door A of the namespace. When it is not open yet, the connection stays on the kernel path,
 * where the agent gets every request through G: no policy is skipped. */
static __always_inline int use_door(struct bpf_sock_addr *ctx, int v6, struct dial *d, __u32 reason)
{
	__u64 cookie = bpf_get_netns_cookie(ctx);
	struct hr_netns *ns = netns_ready(cookie);
	int ip6 = v6 && !ip_is_v4(d->dst_ip);
	__u16 port = ns ? (ip6 ? ns->door6_port : ns->door_port) : 0;
	__u8 ip[16];

	d->why = reason;
	if (!port)
		return -1;
	d->kind = DIAL_DOOR;
	ip_loopback(ip, ip6);
	ctx_ip_set(ctx, v6, ip);
	ctx->user_port = bpf_htons(port);
	return 0;
}

/* A door that is not open yet would leave the connection to nobody's rules. */
static __always_inline int door_only(void)
{
	__u32 zero = 0;
	struct hr_config *cfg = bpf_map_lookup_elem(&config, &zero);

	return !cfg || (cfg->flags & HR_CFG_DOOR_ONLY);
}

static __always_inline int dial_out(struct bpf_sock_addr *ctx, int v6, const struct hr_vip *vip,
				    struct dial *d)
{
	struct hr_workload wl = workload_current();
	__u32 reason = door_reason(ctx, vip, &wl), none;
	int mapped = ip_is_v4(d->dst_ip);
	struct hr_ep_addr to = {};

	d->workload = wl.id;
	d->same_node = !(wl.flags & HR_WL_SAME_NODE_OFF) && !(vip->flags & HR_VIP_NEAR_OFF);
	if (reason && !use_door(ctx, v6, d, reason))
		return 1;
	if (reason && door_only()) {
		count_why(HR_WHY_NETNS);
		return 0;
	}
	none = choose(vip, v6 && !mapped ? 6 : 4, &to, d);
	if (none) {
		/* only the agent can answer; without its door nobody can */
		if (!use_door(ctx, v6, d, none))
			return 1;
		count_why(none);
		return 0;
	}
	if (reason)
		count_why(HR_WHY_NETNS);
	d->kind = vip->proto == HR_PROTO_TCP && !reason ? DIAL_TUNNEL : DIAL_KERNEL;
	d->why = reason;
	ctx_ip_set(ctx, v6, to.ip);
	ctx->user_port = to.port_be;
	return 1;
}

static __always_inline int on_connect(struct bpf_sock_addr *ctx, int v6)
{
	struct hr_vip_key key = {};
	struct hr_vip *vip;
	struct dial *d, fresh = {};
	int allowed;

	ctx_ip_get(ctx, v6, key.ip);
	key.port_be = ctx->user_port;
	if (ctx->protocol == IPPROTO_UDP)
		return dns_redirect(ctx, v6, key.ip, key.port_be);
	if (ctx->protocol != IPPROTO_TCP)
		return 1;
	vip = bpf_map_lookup_elem(&vips, &key);
	if (!vip) {
		bpf_sk_storage_delete(&dials, ctx->sk);
		return dns_redirect(ctx, v6, key.ip, key.port_be);
	}
	fresh.dst_port_be = key.port_be;
	fresh.proto = vip->proto;
	fresh.vip_vhost = vip->vhost;
	fresh.vip_port = vip->port;
	fresh.vip_flags = vip->flags;
	fresh.pid = bpf_get_current_pid_tgid() >> 32;
	__builtin_memcpy(fresh.dst_ip, key.ip, 16);
	allowed = dial_out(ctx, v6, vip, &fresh);
	d = bpf_sk_storage_get(&dials, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!d) {
		count_why(HR_WHY_ERROR);
		return 0; /* a connection that nobody would police */
	}
	*d = fresh;
	return allowed;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	return on_connect(ctx, 0);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	return on_connect(ctx, 1);
}

static __always_inline int on_getpeername(struct bpf_sock_addr *ctx, int v6)
{
	struct dial *d;

	if (ctx->protocol == IPPROTO_TCP) {
		d = bpf_sk_storage_get(&dials, ctx->sk, NULL, 0);
		if (d && d->kind != DIAL_NONE) {
			ctx_ip_set(ctx, v6, d->dst_ip);
			ctx->user_port = d->dst_port_be;
			return 1;
		}
	}
	return dns_restore(ctx, v6);
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	return on_getpeername(ctx, 0);
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	return on_getpeername(ctx, 1);
}

/* The first socket of a namespace announces it, so that its doors are open when it connects. */
SEC("cgroup/sock_create")
int sock_create(struct bpf_sock *ctx)
{
	if (ctx->family == AF_INET || ctx->family == AF_INET6)
		netns_ready(bpf_get_netns_cookie(ctx));
	return 1;
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
