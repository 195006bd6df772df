// SPDX-License-Identifier: Apache-2.0
/*
 * What one finished request leaves behind: counters of its route and endpoint, the reason it was
 * here, one access record. Each worker counts for itself; readers add up.
 */
#include <time.h>

#include "core/cleanup.h"
#include "proxy/internal.h"

static const uint64_t bounds[HR_LAT_BUCKETS] = HR_LAT_BOUNDS_US;

uint64_t px_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* With their heads, as the programs count. */
static uint64_t request_bytes(const struct px_req *r)
{
	return r->req_head + r->req_bytes;
}

static uint64_t response_bytes(const struct px_req *r)
{
	return r->resp_head_bytes + r->resp_bytes;
}

static void count(struct hr_stats *s, const struct px_req *r, uint64_t us)
{
	unsigned class = r->status / 100 <= 5 ? r->status / 100 : 0, i = 0;

	while (i < HR_LAT_BUCKETS && us > bounds[i])
		i++;
	PX_COUNT(s->requests);
	PX_COUNT(s->status[class]);
	PX_ADD(s->lat_sum_us, us);
	PX_COUNT(s->lat[i]);
	PX_ADD(s->tx_bytes, request_bytes(r));
	PX_ADD(s->rx_bytes, response_bytes(r));
}

static void text(char *to, size_t cap, struct hr_slice s)
{
	size_t n = HR_MIN(s.n, cap - 1);

	if (n)
		memcpy(to, s.p, n);
	to[n] = 0;
}

/* Of the answer that is being read, or of one of ours; -1: none. */
static int grpc_status(const struct px_req *r)
{
	return r->up && r->up->stream ? r->up->stream->grpc_status : r->grpc_status;
}

static void record(struct px_req *r, uint64_t us)
{
	const struct hr_proxy_opts *o = &r->c->w->px->opts;
	char method[32], host[HR_HTTP_HOST_MAX + 1], upstream[HR_ADDR_TEXT];
	struct hr_access a = {
		.conn = r->c->cookie,
		.method = method,
		.host = host,
		.upstream = "",
		.path = r->path.p ? r->path.p : "",
		.flags = r->flags,
		.no_retry = r->no_retry,
		.rule = r->match.route && r->match.route->http && r->match.route->http->name
				? r->match.route->http->name
				: "",
		.status = r->status,
		.route = r->match.route ? r->match.route->key : "",
		.cluster = r->cluster ? r->cluster->name : "",
		.tries = r->tries,
		.route_id = r->route_id,
		.ep_id = r->ep_id,
		.why = r->why,
		.req_bytes = request_bytes(r),
		.resp_bytes = response_bytes(r),
		.dur_us = us,
		.door_a = !r->c->g,
	};
	int grpc = grpc_status(r);

	a.grpc = grpc >= 0;
	a.grpc_status = (uint8_t)HR_MAX(grpc, 0);

	text(method, sizeof(method), r->bad ? HR_SLICE("") : hr_http_str(&r->msg, r->msg.method));
	text(host, sizeof(host), r->bad ? HR_SLICE("") : hr_http_host(&r->msg));
	if (r->tries && r->port)
		a.upstream = hr_addr_port_text(&r->addr, r->port, upstream);
	o->access(o->ctx, &a);
}

/* Where the request is counted. gRPC is what came by HTTP/2 and says so: over HTTP/1.1 there is
 * none. */
static struct hr_meter_key meter_key(const struct px_req *r)
{
	bool grpc = !r->bad && r->c->stream && px_is_grpc(r);
	int code = grpc ? grpc_status(r) : -1;

	return (struct hr_meter_key){
		.workload = r->c->workload,
		.ep = r->ep_id,
		.route = r->ep_id ? 0 : r->route_id,
		.flags = (uint8_t)hr_flag_of(r->flags),
		.proto = grpc ? HR_METER_GRPC : HR_METER_HTTP,
		.grpc = (uint8_t)(code < 0 ? 0 : HR_MIN(code + 1, HR_GRPC_OTHER)),
	};
}

static void meter(const struct px_req *r, uint64_t us)
{
	const struct hr_h2_stream *down = r->c->stream;
	const struct px_metered m = {
		.status = r->status,
		.us = us,
		.tx = request_bytes(r),
		.rx = response_bytes(r),
		.tx_messages = down ? down->messages.n : 0,
		.rx_messages = r->up && r->up->stream ? r->up->stream->messages.n : r->messages,
	};

	px_meter(r->c->w->meters, meter_key(r), &m);
}

void px_stat_request(struct px_req *r)
{
	struct px_worker *w = r->c->w;
	uint64_t us = px_now_us() - r->t0_us;

	if (r->c->mirror) { /* nobody asked for it */
		if (r->ep_id && r->ep_id < HR_EPS_MAX)
			count(&w->ep_stats[r->ep_id], r, us);
		return;
	}
	if (r->route_id && r->route_id < HR_ROUTES_MAX)
		count(&w->route_stats[r->route_id], r, us);
	if (r->ep_id && r->ep_id < HR_EPS_MAX)
		count(&w->ep_stats[r->ep_id], r, us);
	meter(r, us);
	if (!r->relayed) /* the kernel has counted those */
		PX_COUNT(w->why[r->why < HR_WHY_MAX ? r->why : HR_WHY_ERROR]);
	if (w->px->opts.access)
		record(r, us);
}

/* ---- readers ---- */

static void add(struct hr_stats *to, const struct hr_stats *from)
{
	const uint64_t *f = (const uint64_t *)from;
	uint64_t *t = (uint64_t *)to;

	for (size_t i = 0; i < sizeof(*to) / sizeof(*t); i++)
		t[i] += __atomic_load_n(&f[i], __ATOMIC_RELAXED);
}

void hr_proxy_route_stats(struct hr_proxy *px, uint32_t route_id, struct hr_stats *out)
{
	*out = (struct hr_stats){};
	for (unsigned i = 0; i < px->n_workers && route_id < HR_ROUTES_MAX; i++)
		add(out, &px->workers[i].route_stats[route_id]);
}

void hr_proxy_ep_stats(struct hr_proxy *px, uint32_t ep_id, struct hr_stats *out)
{
	*out = (struct hr_stats){};
	for (unsigned i = 0; i < px->n_workers && ep_id < HR_EPS_MAX; i++)
		add(out, &px->workers[i].ep_stats[ep_id]);
}
