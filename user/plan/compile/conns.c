// SPDX-License-Identifier: Apache-2.0
/* How the connections of a cluster are made and kept: connectionPool, in the form that kernel and
 * agent use. */
#include "core/cleanup.h"
#include "headrace/limits.h"
#include "plan/compile/compile.h"

static uint32_t bound(int64_t v)
{
	return v > 0 ? (uint32_t)HR_MIN(v, (int64_t)UINT32_MAX) : 0;
}

static uint32_t seconds(int64_t ms)
{
	return ms > 0 ? bound((ms + 999) / 1000) : 0;
}

/* http.idleTimeout; where it is not set, tcp.idleTimeout (Istio), of which 0 means never. */
static uint32_t idle_ms(const struct hr_connection_pool *p)
{
	if (p->http_idle_timeout >= 0)
		return bound(p->http_idle_timeout);
	return p->tcp_idle_timeout >= 0 ? bound(p->tcp_idle_timeout) : HR_UPSTREAM_IDLE_MS;
}

void hr_build_conns(struct hr_build *b, struct hr_plan_cluster *c)
{
	const struct hr_connection_pool *p = c->pool;
	struct hr_plan_conns *k = &c->conns;

	*k = (struct hr_plan_conns){.connect_ms = HR_CONNECT_TIMEOUT_MS,
				    .idle_ms = HR_UPSTREAM_IDLE_MS};
	if (!p)
		return;
	if (p->connect_timeout > 0)
		k->connect_ms = bound(p->connect_timeout);
	k->idle_ms = idle_ms(p);
	k->age_ms = bound(p->max_connection_duration);
	k->max_requests = bound(p->max_requests_per_connection);
	k->keepalive = p->keepalive;
	k->ka_time_s = seconds(p->keepalive_time);
	k->ka_interval_s = seconds(p->keepalive_interval);
	k->ka_probes = bound(p->keepalive_probes);
	k->max_streams = bound(p->max_concurrent_streams);
	k->ping_ms = p->h2_keepalive ? bound(p->h2_keepalive_interval) : 0;
	k->pong_ms = k->ping_ms ? bound(p->h2_keepalive_timeout) : 0;
	c->opaque_limits = p->max_connections > 0 || p->connect_timeout > 0 || k->age_ms ||
			   p->tcp_idle_timeout >= 0;
	if (p->connect_timeout <= 0 && p->http_idle_timeout < 0 && p->tcp_idle_timeout < 0 &&
	    !k->age_ms && !k->max_requests && !k->keepalive && !k->max_streams && !k->ping_ms)
		return;
	k->name = hr_arena_printf(
		b->a,
		"connect %u idle %u age %u requests %u keepalive %d %u %u %u streams %u ping %u %u",
		k->connect_ms, k->idle_ms, k->age_ms, k->max_requests, k->keepalive, k->ka_time_s,
		k->ka_interval_s, k->ka_probes, k->max_streams, k->ping_ms, k->pong_ms);
}
