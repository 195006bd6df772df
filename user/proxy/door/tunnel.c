// SPDX-License-Identifier: Apache-2.0
/*
 * Bytes both ways that nobody looks into: opaque TCP, connections whose protocol the first bytes
 * decide, upgraded connections.
 */
#include <errno.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"
#include "proxy/upstream/preface.h"
#include "tls/hello.h"

#define CONNECT_TRIES 3
/* Nothing could be connected to: how long the client may show that it speaks HTTP, and get an
 * answer instead of a reset, milliseconds. */
#define DETECT_GRACE_MS 500
/* How often a place is looked for while maxConnections are in use. */
#define PLACE_LOOK_MS 5

/* Says once how connecting to the endpoint went. */
static void tell(struct px_client *c, bool connected)
{
	px_outlier_ep(c->w, c->tunnel_ep, connected ? 200 : 503, !connected);
	c->tunnel_ep = 0;
}

/* ---- istio_tcp_* ---- */

static void meter(struct px_client *c, enum hr_flag flag, const struct hr_tcp_meter *more)
{
	const struct hr_meter_key key = {.workload = c->workload,
					 .ep = c->tunnel_used_ep,
					 .flags = (uint8_t)flag,
					 .proto = HR_METER_TCP};

	px_meter_tcp(c->w->meters, key, more);
}

/* What has passed since the last time. Connections that began as HTTP were counted as requests. */
static void meter_bytes(struct px_client *c)
{
	const struct hr_tcp_meter more = {.opened = !c->tunnel_metered,
					  .tx = c->tx - c->tx_metered,
					  .rx = c->rx - c->rx_metered};

	if (c->req || (!more.opened && !more.tx && !more.rx))
		return;
	meter(c, HR_FLAG_NONE, &more);
	c->tunnel_metered = true;
	c->tx_metered = c->tx;
	c->rx_metered = c->rx;
}

/* Why a connection is refused: nothing wants it, its cluster is full, or has no endpoint. */
static enum hr_flag refusal(const struct px_client *c, const struct hr_plan_cluster *cluster)
{
	if (!cluster)
		return HR_FLAG_NR;
	if (cluster->pool && cluster->pool->max_connections > 0 && !c->tunnel_cluster)
		return HR_FLAG_UO;
	return HR_FLAG_UH;
}

/* It ends before it was connected to anybody. */
static void meter_refused(struct px_client *c, enum hr_flag flag)
{
	c->tunnel_used_ep = c->tunnel_ep;
	meter(c, flag, &(struct hr_tcp_meter){.opened = 1, .closed = 1});
}

/* ---- detection ---- */

/* Method: 1 to 20 upper-case letters (or '-', '_'), then a blank, then a target: "/", "*" or
 * "http". Redis, SMTP, memcached, TLS and server-first protocols have nothing of that. */
int px_looks_http(const char *p, size_t n)
{
	static const char scheme[] = "http";
	size_t i = 0;

	while (i < n && i < 20 && ((p[i] >= 'A' && p[i] <= 'Z') || p[i] == '-' || p[i] == '_'))
		i++;
	if (i == n)
		return i < 20 ? 0 : -1;
	if (!i || p[i] != ' ')
		return -1;
	if (++i == n)
		return 0;
	if (p[i] == '/' || p[i] == '*')
		return 1;
	for (size_t j = 0; j < sizeof(scheme) - 1; j++) {
		if (i + j == n)
			return 0;
		if ((p[i + j] | 0x20) != scheme[j])
			return -1;
	}
	return 1;
}

static void give_place_back(struct px_client *c)
{
	hr_timer_stop(&c->tunnel_timer);
	if (c->tunnel_cluster)
		px_inflight_lower(c->w->px, 0, c->tunnel_cluster);
	if (c->tunnel_waits)
		__atomic_fetch_sub(&c->w->px->cluster_rt[c->tunnel_waits].pending, 1,
				   __ATOMIC_RELAXED);
	c->tunnel_cluster = c->tunnel_waits = 0;
}

static bool become_http(struct px_client *c)
{
	give_place_back(c); /* its requests take theirs */
	if (c->tunnel)
		px_up_orphan(TAKE_PTR(c->tunnel));
	c->tunnel_ep = 0; /* its requests will say */
	c->state = PX_CLIENT_HEAD;
	return true;
}

static bool become_tunnel(struct px_client *c)
{
	c->state = PX_CLIENT_TUNNEL;
	px_client_wake_at(c, 0);
	if (!c->tunnel && !c->tunnel_waits) {
		c->tunnel_tries = 0;
		px_tunnel_open(c);
	}
	return !c->closed;
}

static void grace_over(void *ctx)
{
	struct px_client *c = ctx;

	if (c->state == PX_CLIENT_DETECT && !c->tunnel)
		px_client_close(c, true);
}

bool px_tunnel_detect(struct px_client *c)
{
	struct px_up *u = c->tunnel;
	int http;

	while (px_client_read(c))
		;
	http = px_looks_http(px_buf_at(&c->s.in), px_buf_len(&c->s.in));
	if (c->s.error || c->s.werror || (c->g && c->peer_gone)) {
		px_client_close(c, true);
		return false;
	}
	if (px_buf_len(&c->s.in) && http > 0)
		return become_http(c);
	if ((px_buf_len(&c->s.in) && http < 0) || c->s.eof)
		return become_tunnel(c);
	if (u && u->state == PX_UP_FAILED) {
		tell(c, false);
		px_up_close(TAKE_PTR(c->tunnel));
		if (++c->tunnel_tries < CONNECT_TRIES)
			px_tunnel_open(c);
		else
			hr_timer_start(c->w->loop, &c->again, DETECT_GRACE_MS, grace_over, c);
		return false;
	}
	if (u && u->state == PX_UP_READY && (px_side_read(c->w, &u->s) || u->s.eof))
		return become_tunnel(c); /* the server speaks first */
	return false;
}

/* ---- opening ---- */

/* The cluster of a vip's connection: what its TLS and TCP routes say, else the service's. */
static const struct hr_plan_cluster *cluster_of(struct px_client *c, const struct hr_plan *plan,
						const struct hr_plan_vip *vip)
{
	const struct px_identity *who = c->source;
	struct hr_plan_conn conn = {
		.sni = hr_slice_of(c->sni),
		.src = c->src,
		.src_known = c->src_port != 0,
		.source_ns = who ? who->ns : NULL,
		.source_labels = px_source_labels(c, plan),
	};
	const struct hr_plan_l4 *e = hr_plan_l4_match(plan, vip, &conn);
	const struct hr_plan_dst *dst;

	if (e)
		return hr_plan_pick_cluster(plan, &plan->routes.data[e->route], px_random(c->w),
					    &dst);
	if (vip->tls || vip->cluster == HR_NONE)
		return NULL;
	return &plan->clusters.data[vip->cluster];
}

static void again(void *ctx)
{
	struct px_client *c = ctx;

	px_tunnel_open(c);
	if (!c->closed)
		px_client_run(c);
}

/* One of the cluster's connections (maxConnections); when none is left, it waits with the others
 * (http1MaxPendingRequests) or is refused. */
static bool take_place(struct px_client *c, const struct hr_plan_cluster *cluster)
{
	const struct hr_connection_pool *p = cluster->pool;
	struct hr_cluster_rt *rt = &c->w->px->cluster_rt[cluster->id];

	/* picked anew: a route may have several */
	if ((c->tunnel_cluster && c->tunnel_cluster != cluster->id) ||
	    (c->tunnel_waits && c->tunnel_waits != cluster->id))
		give_place_back(c);
	if (!p || p->max_connections <= 0 || c->tunnel_cluster)
		return true;
	if (px_place_take(rt, px_limit(p->max_connections))) {
		give_place_back(c); /* that among the waiting */
		c->tunnel_cluster = cluster->id;
		return true;
	}
	if (!c->tunnel_waits) {
		__atomic_fetch_add(&rt->cx_overflow, 1, __ATOMIC_RELAXED);
		if (!px_count_take(&rt->pending, px_limit(p->http1_max_pending))) {
			__atomic_fetch_add(&rt->pending_overflow, 1, __ATOMIC_RELAXED);
			return false;
		}
		c->tunnel_waits = cluster->id;
	}
	hr_timer_start(c->w->loop, &c->tunnel_timer, PLACE_LOOK_MS, again, c);
	return false;
}

/* tcp.idleTimeout (1 h when it is not set, 0 is never), tcp.maxConnectionDuration. */
static void set_times(struct px_client *c, const struct hr_plan_cluster *cluster)
{
	const struct hr_connection_pool *p = cluster->pool;

	if (p && p->tcp_idle_timeout >= 0)
		c->tunnel_idle_ms = (uint32_t)HR_MIN(p->tcp_idle_timeout, (int64_t)UINT32_MAX);
	c->tunnel_age_ms = cluster->conns.age_ms;
}

/* Where the connection goes: an endpoint of the VIP's cluster, or where C wanted to go. *out is the
 * cluster also when it has no place. */
static bool target(struct px_client *c, struct hr_addr *addr, uint16_t *port,
		   const struct hr_plan_cluster **out)
{
	const struct hr_plan *plan = c->hold ? c->hold->plan : NULL;
	const struct hr_plan_vip *vip = plan ? px_vip_of(c, plan) : NULL;
	const struct hr_plan_cluster *cluster;
	const struct hr_plan_ep *ep;
	bool by_source;
	uint64_t hash;

	c->tunnel_idle_ms = HR_UPSTREAM_IDLE_MS;
	if (!plan)
		return false;
	if (!vip) {
		*addr = c->dst;
		*port = c->dst_port;
		return !plan->registry_only && c->dst_port &&
		       !px_is_own_door(c->w->px, &c->dst, c->dst_port);
	}
	cluster = *out = px_cluster_seen(c, plan, cluster_of(c, plan, vip));
	if (!cluster)
		return false;
	set_times(c, cluster);
	if (!take_place(c, cluster))
		return false;
	if (cluster->lb == HR_LB_PASSTHROUGH) {
		*addr = c->dst;
		*port = c->dst_port;
		return !px_is_own_door(c->w->px, &c->dst, c->dst_port);
	}
	by_source = cluster->balancer && cluster->balancer->hash == HR_HASH_SOURCE_IP;
	hash = px_hash_source(c, plan, cluster);
	ep = hr_plan_pick_ep(plan, cluster, &c->w->px->words, px_random(c->w),
			     by_source ? &hash : NULL, c->tunnel_avoid,
			     HR_MIN(c->tunnel_tries, HR_ARRAY_SIZE(c->tunnel_avoid)));
	if (!ep)
		return false;
	c->tunnel_avoid[c->tunnel_tries % HR_ARRAY_SIZE(c->tunnel_avoid)] = ep->id;
	c->tunnel_ep = ep->id;
	*addr = ep->addr;
	*port = ep->port;
	return true;
}

/* TLS routes are asked once the server name is known. */
static bool hello_awaited(const struct px_client *c)
{
	const struct hr_plan_vip *vip = c->hold ? px_vip_of(c, c->hold->plan) : NULL;

	return vip && vip->tls && !c->sni;
}

static void await_hello(struct px_client *c)
{
	c->state = PX_CLIENT_HELLO;
	c->head_since = hr_loop_now(c->w->loop);
	px_client_wake_at(c, c->w->px->opts.header_timeout_ms);
}

bool px_tunnel_hello(struct px_client *c)
{
	char sni[HR_SNI_MAX + 1];
	enum hr_hello_result r;

	while (px_client_read(c))
		;
	if (c->s.error || c->s.werror || (c->g && c->peer_gone)) {
		px_client_close(c, true);
		return false;
	}
	r = hr_tls_hello(px_buf_at(&c->s.in), px_buf_len(&c->s.in), sni);
	if (r == HR_HELLO_MORE && !c->s.eof)
		return false;
	c->sni = strdup(r == HR_HELLO_FOUND ? sni : "");
	c->head_since = 0;
	if (!c->sni) {
		px_client_close(c, true);
		return false;
	}
	return become_tunnel(c);
}

void px_tunnel_open(struct px_client *c)
{
	const struct hr_plan_cluster *cluster = NULL;
	struct hr_addr addr;
	uint16_t port;

	if (!c->hold)
		c->hold = px_hold_get(c->w);
	if (c->state == PX_CLIENT_NEW && hello_awaited(c)) {
		await_hello(c);
		return;
	}
	if (c->state == PX_CLIENT_NEW)
		c->state = c->proto == HR_PROTO_TCP ? PX_CLIENT_TUNNEL : PX_CLIENT_DETECT;
	if (target(c, &addr, &port, &cluster))
		c->tunnel = px_up_get(c, &addr, port, cluster ? &cluster->conns : NULL, true);
	if (c->tunnel && px_preface_wanted(cluster, true) &&
	    px_preface_set(c->tunnel, cluster, c, true))
		px_up_close(TAKE_PTR(c->tunnel));
	if (c->tunnel || c->tunnel_waits) {
		px_client_wake_at(c, 0);
	} else if (c->state == PX_CLIENT_TUNNEL) {
		meter_refused(c, refusal(c, cluster));
		px_client_close(c, true);
	} else {
		hr_timer_start(c->w->loop, &c->again, DETECT_GRACE_MS, grace_over, c);
	}
}

void px_tunnel_join(struct px_req *r)
{
	struct px_client *c = r->c;

	hr_timer_stop(&r->timeout);
	hr_timer_stop(&r->per_try);
	c->tunnel = TAKE_PTR(r->up);
	c->tunnel_idle_ms = HR_UPSTREAM_IDLE_MS;
	c->state = PX_CLIENT_TUNNEL;
	px_client_wake_at(c, 0);
}

/* ---- running ---- */

static bool pump_up(struct px_client *c, struct px_up *u)
{
	struct px_out none = {};
	size_t took;

	if (!px_buf_len(&c->s.in) && !px_client_read(c))
		return false;
	took = px_side_write(&u->s, &none, px_buf_at(&c->s.in), px_buf_len(&c->s.in), SIZE_MAX);
	px_buf_use(c->w, &c->s.in, took);
	c->tx += took;
	if (took)
		px_client_progress(c);
	return took;
}

static bool pump_down(struct px_client *c, struct px_up *u)
{
	size_t took;

	if (!px_buf_len(&u->s.in) && !px_side_read(c->w, &u->s)) {
		if (px_out_len(&c->out))
			px_client_write(c, NULL, 0);
		return false;
	}
	took = px_client_write(c, px_buf_at(&u->s.in), px_buf_len(&u->s.in));
	px_buf_use(c->w, &u->s.in, took);
	c->rx += took;
	return took;
}

/* Passes ends on; closes when both directions are done or one is broken. */
static void ends(struct px_client *c, struct px_up *u)
{
	bool up_over = u->s.error || u->s.werror;

	if (c->s.error || c->s.werror || (up_over && !px_buf_len(&u->s.in))) {
		px_client_close(c, true);
		return;
	}
	if (c->s.eof && !px_buf_len(&c->s.in))
		px_side_shutdown(&u->s);
	if (u->s.eof && !px_buf_len(&u->s.in) && !px_out_len(&c->out) && !c->s.shut)
		px_client_shutdown(c);
	if (c->s.shut && u->s.shut)
		px_client_close(c, false);
}

static bool open_failed(struct px_client *c)
{
	const uint32_t ep = c->tunnel_ep;

	tell(c, false);
	px_up_close(TAKE_PTR(c->tunnel));
	if (++c->tunnel_tries < CONNECT_TRIES) {
		px_tunnel_open(c);
		return !c->closed;
	}
	c->tunnel_ep = ep;
	hr_debug("no upstream for a TCP connection: reset");
	meter_refused(c, HR_FLAG_UF);
	px_client_close(c, true);
	return false;
}

static void too_old(void *ctx)
{
	px_client_close(ctx, false);
}

bool px_tunnel_run(struct px_client *c)
{
	struct px_up *u = c->tunnel;

	if (c->g && c->peer_gone) {
		px_client_close(c, true);
		return false;
	}
	if (!u) { /* waits for a place */
		if (c->s.error || c->peer_gone || c->s.hup)
			px_client_close(c, true);
		return false;
	}
	if (u->state == PX_UP_FAILED)
		return open_failed(c);
	if (u->state != PX_UP_READY) {
		if (c->s.error || (c->peer_gone && c->s.werror))
			px_client_close(c, true);
		return false;
	}
	if (c->tunnel_ep) {
		c->tunnel_used_ep = c->tunnel_ep;
		tell(c, true);
		if (c->tunnel_age_ms)
			hr_timer_start(c->w->loop, &c->tunnel_timer, c->tunnel_age_ms, too_old, c);
	}
	for (int i = 0; i < PX_TURNS; i++) {
		bool moved = pump_up(c, u);

		moved |= pump_down(c, u);
		if (!moved) {
			meter_bytes(c);
			ends(c, u);
			return false;
		}
	}
	meter_bytes(c);
	return true;
}

void px_tunnel_end(struct px_client *c)
{
	if (c->tunnel_metered) {
		meter_bytes(c);
		meter(c, HR_FLAG_NONE, &(struct hr_tcp_meter){.closed = 1});
		c->tunnel_metered = false;
	}
	give_place_back(c);
	if (c->tunnel)
		px_up_close(TAKE_PTR(c->tunnel));
	px_hold_put(TAKE_PTR(c->hold));
}
