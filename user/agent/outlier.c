// SPDX-License-Identifier: Apache-2.0
// Outlier detection in the running agent: reports of kernel and proxy in, time, the event log.
#include <stdio.h>
#include <time.h>

#include "agent/state.h"
#include "core/cleanup.h"
#include "core/log.h"

/* The loop's own time is read once a turn: too old after a long one. */
static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* With the names of Envoy's outlier event log. */
static void log_event(void *ctx, const struct hr_outlier_event *ev)
{
	struct hr_agent *a = ctx;
	char ejections[16], ms[24];

	if (ev->enforced)
		hr_tables_ep(hr_proxy_tables(a->proxy), ev->ep, now_ms());
	snprintf(ejections, sizeof(ejections), "%u", ev->ejections);
	snprintf(ms, sizeof(ms), "%llu", (unsigned long long)ev->ms);
	if (ev->ejected)
		hr_log_kv(ev->enforced ? HR_LOG_WARN : HR_LOG_INFO, "outlier detection", "action",
			  "EJECT", "type", hr_outlier_kind_text(ev->kind), "cluster_name",
			  ev->cluster, "upstream_url", ev->endpoint, "num_ejections", ejections,
			  "enforced", ev->enforced ? "true" : "false", "eject_ms", ms, NULL);
	else
		hr_log_kv(HR_LOG_INFO, "outlier detection", "action", "UNEJECT", "cluster_name",
			  ev->cluster, "upstream_url", ev->endpoint, "num_ejections", ejections,
			  "ejected_ms", ms, NULL);
}

static void on_interval(void *ctx)
{
	struct hr_agent *a = ctx;
	uint64_t now = now_ms(), next = hr_outliers_tick(a->outliers, now);

	if (next != UINT64_MAX)
		hr_timer_start(a->loop, &a->outlier_tick, next - now, on_interval, a);
	else
		hr_timer_stop(&a->outlier_tick);
}

static void on_warm(void *ctx)
{
	struct hr_agent *a = ctx;
	uint64_t now = now_ms(), next = hr_tables_warm(hr_proxy_tables(a->proxy), now);

	if (next != UINT64_MAX)
		hr_timer_start(a->loop, &a->warm_tick, next - now, on_warm, a);
	else
		hr_timer_stop(&a->warm_tick);
}

void agent_outliers_new(struct hr_agent *a)
{
	a->outliers =
		hr_outliers_new(hr_proxy_ep_rt(a->proxy), hr_proxy_codes(a->proxy), log_event, a);
}

void agent_outliers_plan(struct hr_agent *a)
{
	hr_outliers_plan(a->outliers, a->plan, now_ms());
	hr_tables_refresh(hr_proxy_tables(a->proxy), now_ms());
	on_warm(a);
	on_interval(a);
}

void agent_outliers_change(struct hr_agent *a, const struct hr_plan_changes *what)
{
	hr_outliers_some(a->outliers, a->plan, what->clusters, what->n_clusters, now_ms());
	hr_tables_refresh_some(hr_proxy_tables(a->proxy), what->clusters, what->n_clusters,
			       now_ms());
	on_warm(a);
	on_interval(a);
}

void agent_outlier_event(struct hr_agent *a, const struct hr_event *ev)
{
	hr_outliers_reached(a->outliers, ev->ep, (enum hr_outlier_kind)ev->slot, now_ms());
}

struct report {
	struct hr_agent *a;
	uint32_t ep;
	enum hr_outlier_kind kind;
};

static void reported(void *ctx)
{
	_cleanup_free_ struct report *r = ctx;

	if (r->a->outliers)
		hr_outliers_reached(r->a->outliers, r->ep, r->kind, now_ms());
}

void agent_outlier_told(void *agent, uint32_t ep, enum hr_outlier_kind kind)
{
	struct hr_agent *a = agent;
	struct report *r = malloc(sizeof(*r));

	if (!r)
		return; /* the next multiple of the limit is told again */
	*r = (struct report){a, ep, kind};
	if (hr_loop_post(a->loop, reported, r) < 0)
		free(r);
}

void agent_outliers_free(struct hr_agent *a)
{
	hr_timer_stop(&a->outlier_tick);
	hr_timer_stop(&a->warm_tick);
	hr_outliers_free(TAKE_PTR(a->outliers));
}
