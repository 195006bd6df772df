// SPDX-License-Identifier: Apache-2.0
/*
 * Circuit breakers of a cluster: maxConnections requests in flight, then up to
 * http1MaxPendingRequests wait, then 503 UO at once. The counters are shared with the kernel and
 * with other workers, so a place that they free is seen by looking again after a short time; a
 * place freed here wakes the oldest waiter of this worker.
 */
#include "core/cleanup.h"
#include "proxy/internal.h"

#define WAIT_MIN_MS 1
#define WAIT_MAX_MS 10

static struct hr_cluster_rt *rt_of(const struct px_req *r)
{
	return &r->c->w->px->cluster_rt[r->cluster_id];
}

static int64_t limit(int64_t value)
{
	return value > 0 && value < UINT32_MAX ? value : UINT32_MAX;
}

/* One more in flight, when that is within max. */
static bool take(uint32_t *counter, int64_t max)
{
	uint32_t n = __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);

	if (n <= max)
		return true;
	__atomic_fetch_sub(counter, 1, __ATOMIC_RELAXED);
	return false;
}

static bool admitted(struct px_req *r)
{
	const struct hr_connection_pool *p = r->cluster->pool;

	r->in_cluster = take(&rt_of(r)->inflight, p ? limit(p->max_connections) : UINT32_MAX);
	return r->in_cluster;
}

static void look_again(void *ctx)
{
	struct px_req *r = ctx;

	if (!admitted(r)) {
		r->wait_ms = HR_MIN(2 * r->wait_ms, (uint32_t)WAIT_MAX_MS);
		hr_timer_start(r->c->w->loop, &r->wait_timer, r->wait_ms, look_again, r);
		return;
	}
	hr_list_del(&r->wait);
	px_breaker_unqueue(r);
	px_req_try(r);
	px_client_run(r->c);
}

void px_breaker_unqueue(struct px_req *r)
{
	__atomic_fetch_sub(&rt_of(r)->pending, 1, __ATOMIC_RELAXED);
}

void px_breaker_enter(struct px_req *r)
{
	const struct hr_connection_pool *p = r->cluster->pool;
	struct hr_cluster_rt *rt = rt_of(r);

	if (p && p->http2_max_requests > 0 &&
	    __atomic_load_n(&rt->inflight, __ATOMIC_RELAXED) >= p->http2_max_requests) {
		px_reply_overflow(r);
	} else if (admitted(r)) {
		px_req_try(r);
	} else if (take(&rt->pending, limit(p->http1_max_pending))) {
		r->state = PX_REQ_PENDING;
		r->wait_ms = WAIT_MIN_MS;
		hr_list_add_tail(&r->c->w->waiting, &r->wait);
		hr_timer_start(r->c->w->loop, &r->wait_timer, r->wait_ms, look_again, r);
	} else {
		px_reply_overflow(r);
	}
}

void px_breaker_leave(struct px_req *r)
{
	struct px_worker *w = r->c->w;

	if (!r->in_cluster)
		return;
	r->in_cluster = false;
	px_inflight_lower(w->px, 0, r->cluster_id);
	hr_list_for_each (l, &w->waiting) {
		struct px_req *next = hr_list_entry(l, struct px_req, wait);

		if (next->cluster_id != r->cluster_id)
			continue;
		hr_timer_start(w->loop, &next->wait_timer, 0, look_again, next);
		break;
	}
}
