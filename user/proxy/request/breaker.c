// SPDX-License-Identifier: Apache-2.0
/*
 * Circuit breakers of a cluster: maxConnections in use, then up to http1MaxPendingRequests wait,
 * then 503 UO at once; http2MaxRequests in flight, then 503 UO. The numbers are shared with the
 * kernel and with other workers, so a place that they free is seen by looking again after a short
 * time; a place freed here wakes the oldest waiter of this worker. While somebody waits, nobody who
 * comes later gets a place (bpf/lib/decide.h too).
 *
 * A request of HTTP/1.1 has a connection to itself, so both limits are met here, before a try.
 * Those of HTTP/2 share connections: only the try knows whether it needs one more (h2/up.c), and it
 * comes here to wait for that. A cluster may have both (useClientProtocol): its connections are
 * those of HTTP/2 and the requests in flight that are none of HTTP/2.
 */
#include "core/cleanup.h"
#include "proxy/internal.h"

#define WAIT_MIN_MS 1
#define WAIT_MAX_MS 10

uint32_t px_limit(int64_t value)
{
	return value > 0 && value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

bool px_place_take(struct hr_cluster_rt *rt, uint32_t max)
{
	uint64_t word = __atomic_load_n(&rt->inflight.word, __ATOMIC_RELAXED);

	do {
		if (HR_INFLIGHT_SUM(word) >= max)
			return false;
	} while (!__atomic_compare_exchange_n(&rt->inflight.word, &word, word + HR_INFLIGHT_AGENT,
					      false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}

/* One more, when that is within max. */
bool px_count_take(uint32_t *counter, uint32_t max)
{
	uint32_t n = __atomic_load_n(counter, __ATOMIC_RELAXED);

	do {
		if (n >= max)
			return false;
	} while (!__atomic_compare_exchange_n(counter, &n, n + 1, false, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return true;
}

static struct hr_cluster_rt *rt_of(const struct px_req *r)
{
	return &r->c->w->px->cluster_rt[r->cluster_id];
}

static uint32_t max_requests(const struct px_req *r)
{
	return r->cluster->pool ? px_limit(r->cluster->pool->http2_max_requests) : UINT32_MAX;
}

/* As a number of requests in flight; those of HTTP/2 are held to it by the try. */
static uint32_t max_connections(const struct px_req *r)
{
	const struct hr_cluster_rt *rt = rt_of(r);
	int64_t max = r->cluster->pool ? px_limit(r->cluster->pool->max_connections) : UINT32_MAX;

	if (max == UINT32_MAX || px_h2_upstream(r))
		return UINT32_MAX;
	max += __atomic_load_n(&rt->h2_requests, __ATOMIC_RELAXED);
	max -= __atomic_load_n(&rt->h2_connections, __ATOMIC_RELAXED);
	return (uint32_t)HR_MAX(max, 0);
}

uint32_t px_breaker_http1(const struct hr_cluster_rt *rt)
{
	uint32_t n = __atomic_load_n(&rt->h2_requests, __ATOMIC_RELAXED);
	uint32_t all = HR_INFLIGHT_SUM(__atomic_load_n(&rt->inflight.word, __ATOMIC_RELAXED));

	return all > n ? all - n : 0;
}

/* One of HTTP/2 is said to be that before it is one at all. */
static bool admitted(struct px_req *r)
{
	struct hr_cluster_rt *rt = rt_of(r);
	bool h2 = r->cluster->pool && px_limit(r->cluster->pool->max_connections) < UINT32_MAX &&
		  px_h2_upstream(r);

	__atomic_fetch_add(&rt->h2_requests, h2, __ATOMIC_RELAXED);
	r->in_cluster = px_place_take(rt, HR_MIN(max_connections(r), max_requests(r)));
	r->in_h2 = r->in_cluster && h2;
	if (h2 && !r->in_h2)
		__atomic_fetch_sub(&rt->h2_requests, 1, __ATOMIC_RELAXED);
	return r->in_cluster;
}

static void look_again(void *ctx);

/* The one of this worker that has waited longest. */
static struct px_req *oldest(struct px_worker *w, uint32_t cluster)
{
	hr_list_for_each (l, &w->waiting) {
		struct px_req *r = hr_list_entry(l, struct px_req, wait);

		if (r->cluster_id == cluster)
			return r;
	}
	return NULL;
}

void px_breaker_wake(struct px_worker *w, uint32_t cluster)
{
	struct px_req *r = oldest(w, cluster);

	if (r)
		hr_timer_start(w->loop, &r->wait_timer, 0, look_again, r);
}

static bool waits(const struct px_req *r)
{
	return !hr_list_empty(&r->wait);
}

bool px_breaker_behind(const struct px_req *r)
{
	return !waits(r) && __atomic_load_n(&rt_of(r)->pending, __ATOMIC_RELAXED);
}

bool px_breaker_others_wait(struct px_worker *w, uint32_t cluster)
{
	uint32_t n = __atomic_load_n(&w->px->cluster_rt[cluster].pending, __ATOMIC_RELAXED);

	if (!n)
		return false;
	hr_list_for_each (l, &w->waiting)
		n -= n && hr_list_entry(l, struct px_req, wait)->cluster_id == cluster;
	return n;
}

static void look_again(void *ctx)
{
	struct px_req *r = ctx;

	if (oldest(r->c->w, r->cluster_id) == r && admitted(r))
		px_req_try(r); /* which may have to wait on */
	if (r->state == PX_REQ_PENDING) {
		r->wait_ms = HR_MIN(2 * r->wait_ms, (uint32_t)WAIT_MAX_MS);
		hr_timer_start(r->c->w->loop, &r->wait_timer, r->wait_ms, look_again, r);
		return;
	}
	px_breaker_unqueue(r);
	px_client_run(r->c);
}

void px_breaker_unqueue(struct px_req *r)
{
	hr_list_del(&r->wait);
	__atomic_fetch_sub(&rt_of(r)->pending, 1, __ATOMIC_RELAXED);
	px_breaker_wake(r->c->w, r->cluster_id);
}

static void overflow(struct px_req *r, uint32_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
	px_reply_overflow(r);
}

static void enqueue(struct px_req *r)
{
	struct hr_cluster_rt *rt = rt_of(r);

	__atomic_fetch_add(&rt->cx_overflow, 1, __ATOMIC_RELAXED);
	if (!px_count_take(&rt->pending, px_limit(r->cluster->pool->http1_max_pending))) {
		overflow(r, &rt->pending_overflow);
		return;
	}
	r->state = PX_REQ_PENDING;
	r->wait_ms = WAIT_MIN_MS;
	hr_list_add_tail(&r->c->w->waiting, &r->wait);
	hr_timer_start(r->c->w->loop, &r->wait_timer, r->wait_ms, look_again, r);
}

void px_breaker_wait(struct px_req *r)
{
	px_breaker_leave(r);
	if (!waits(r))
		enqueue(r);
}

/* Of this worker somebody waits already, in vain: so it would. */
static bool queue_of_h2(const struct px_req *r)
{
	return r->cluster->pool && px_h2_upstream(r) && oldest(r->c->w, r->cluster_id);
}

void px_breaker_enter(struct px_req *r)
{
	bool may_wait = max_connections(r) < max_requests(r);
	struct hr_cluster_rt *rt = rt_of(r);

	if (queue_of_h2(r)) {
		enqueue(r);
		return;
	}
	if (!(may_wait && __atomic_load_n(&rt->pending, __ATOMIC_RELAXED)) && admitted(r)) {
		px_req_try(r);
		return;
	}
	if (!may_wait) {
		overflow(r, &rt->rq_overflow);
		return;
	}
	enqueue(r);
}

void px_breaker_leave(struct px_req *r)
{
	if (!r->in_cluster)
		return;
	r->in_cluster = false;
	px_inflight_lower(r->c->w->px, 0, r->cluster_id);
	if (r->in_h2)
		__atomic_fetch_sub(&rt_of(r)->h2_requests, 1, __ATOMIC_RELAXED);
	r->in_h2 = false;
	px_breaker_wake(r->c->w, r->cluster_id);
}
