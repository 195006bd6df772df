// SPDX-License-Identifier: Apache-2.0
/*
 * How many retries of a cluster may be under way at once: trafficPolicy.retryBudget, a share of the
 * requests that are active or were begun within its interval; else connectionPool.http.maxRetries.
 */
#include "core/cleanup.h"
#include "proxy/internal.h"

static struct px_budget *budget_of(struct px_req *r)
{
	return &r->c->w->px->budgets[r->cluster->id];
}

/* Requests begun within the last interval: the current window, and what the one before still has
 * in it. Racing workers may lose a count at a window's edge. */
static uint32_t recent(struct px_budget *b, uint64_t now, uint64_t interval)
{
	uint64_t start = __atomic_load_n(&b->start_ms, __ATOMIC_RELAXED), in = now - start;
	uint32_t cur = __atomic_load_n(&b->cur, __ATOMIC_RELAXED);

	if (in >= interval) {
		__atomic_store_n(&b->prev, in < 2 * interval ? cur : 0, __ATOMIC_RELAXED);
		__atomic_store_n(&b->cur, 0, __ATOMIC_RELAXED);
		start = in < 2 * interval ? start + interval : now;
		__atomic_store_n(&b->start_ms, start, __ATOMIC_RELAXED);
		in = now - start;
		cur = 0;
	}
	return cur +
	       (uint32_t)(__atomic_load_n(&b->prev, __ATOMIC_RELAXED) * (interval - in) / interval);
}

void px_budget_request(struct px_req *r)
{
	const struct hr_retry_budget *rb = r->cluster->retry_budget;

	if (!rb || rb->interval <= 0)
		return;
	recent(budget_of(r), hr_loop_now(r->c->w->loop), (uint64_t)rb->interval);
	__atomic_fetch_add(&budget_of(r)->cur, 1, __ATOMIC_RELAXED);
}

/* -1: no limit. */
static int64_t limit(struct px_req *r)
{
	const struct hr_connection_pool *p = r->cluster->pool;
	const struct hr_retry_budget *rb = r->cluster->retry_budget;
	const struct hr_cluster_rt *rt = &r->c->w->px->cluster_rt[r->cluster->id];
	uint64_t active;

	if (!rb)
		return p && p->max_retries > 0 ? p->max_retries : -1;
	active = __atomic_load_n(&rt->inflight.word, __ATOMIC_RELAXED);
	active =
		(uint64_t)HR_INFLIGHT_SUM(active) + __atomic_load_n(&rt->pending, __ATOMIC_RELAXED);
	if (rb->interval > 0)
		active = HR_MAX(active, (uint64_t)recent(budget_of(r), hr_loop_now(r->c->w->loop),
							 (uint64_t)rb->interval));
	return HR_MAX((int64_t)rb->min_concurrency, (int64_t)((double)active * rb->percent / 100));
}

bool px_budget_take(struct px_req *r)
{
	struct hr_cluster_rt *rt = r->cluster ? &r->c->w->px->cluster_rt[r->cluster->id] : NULL;
	int64_t max = rt ? limit(r) : -1;

	if (!rt)
		return true;
	if (!px_count_take(&rt->retries,
			   max < 0 ? UINT32_MAX : (uint32_t)HR_MIN(max, (int64_t)UINT32_MAX))) {
		__atomic_fetch_add(&rt->retry_overflow, 1, __ATOMIC_RELAXED);
		return false;
	}
	r->in_retry = true;
	return true;
}

void px_budget_release(struct px_req *r)
{
	if (r->in_retry)
		__atomic_fetch_sub(&r->c->w->px->cluster_rt[r->cluster->id].retries, 1,
				   __ATOMIC_RELAXED);
	r->in_retry = false;
}
