// SPDX-License-Identifier: Apache-2.0
/*
 * A change of weights and of nothing else, without a new plan: plan in use, kernel rows, store, in
 * this order (a disk takes its time; nobody is told before it is done), and back where one of them
 * refuses. What it costs does not grow with what else is loaded; a new plan of 10,000 rules takes
 * hundreds of milliseconds.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "agent/state.h"
#include "core/cleanup.h"
#include "core/log.h"

/* A plan in use only grows by this; a new one in its place gives the memory back. */
#define GROWTH_MAX (4u << 20)

struct reweigh {
	struct hr_agent *a;
	struct hr_plan *plan;
	struct hr_virtual_service *vs;
	size_t rule, n;
	uint32_t before[HR_DST_MAX], after[HR_DST_MAX];
	struct hr_reweighed what;
};

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static struct hr_virtual_service *find(const struct hr_plan *p, const struct hr_store_entry *e)
{
	for (size_t i = 0; i < p->objects->virtual_services.len; i++) {
		struct hr_virtual_service *vs = p->objects->virtual_services.data[i];

		if (hr_streq(vs->meta.ns, e->ns) && hr_streq(vs->meta.name, e->name))
			return vs;
	}
	return NULL;
}

static int prepare(struct reweigh *w, const struct hr_store_entry *e,
		   const struct hr_canary_rule *rule)
{
	uint64_t total = 0;

	w->plan = (struct hr_plan *)w->a->plan;
	w->vs = find(w->plan, e);
	w->rule = rule->rule;
	w->n = rule->sides.len;
	if (!w->vs || w->rule >= w->vs->http.len || w->n != w->vs->http.data[w->rule].route.len ||
	    w->n > HR_DST_MAX || hr_plan_grown(w->plan) > GROWTH_MAX)
		return -EOPNOTSUPP;
	for (size_t i = 0; i < w->n; i++) {
		int32_t was = w->vs->http.data[w->rule].route.data[i].weight;

		w->before[i] = was > 0 ? (uint32_t)was : 0;
		w->after[i] = (uint32_t)rule->sides.data[i].weight;
		total += w->after[i];
	}
	/* other sums are worth a warning, which the long way gives */
	return total == 100 ? 0 : -EOPNOTSUPP;
}

/* Plan and kernel. */
static int in_tables(struct reweigh *w, const uint32_t *weights, struct hr_strbuf *why)
{
	int r = hr_plan_reweigh(w->plan, w->vs, w->rule, weights, w->n, &w->what);

	if (r)
		return r;
	r = hr_kern_reweigh(w->a->kern, w->plan, &w->what);
	if (r)
		hr_sb_printf(why, "the kernel's tables do not take the weights: %s", strerror(-r));
	return r;
}

static void say(const struct reweigh *w)
{
	_cleanup_sb_ struct hr_strbuf text = {};

	hr_sb_printf(&text, "~ route %s/%s/http[%zu] weights ", w->vs->meta.ns, w->vs->meta.name,
		     w->rule);
	for (size_t i = 0; i < w->n; i++)
		hr_sb_printf(&text, "%s%u", i ? "/" : "", w->before[i]);
	for (size_t i = 0; i < w->n; i++)
		hr_sb_printf(&text, "%s%u", i ? "/" : " -> ", w->after[i]);
	hr_log_kv(HR_LOG_INFO, "plan", "change", text.data, NULL);
}

static void finish(struct reweigh *w, const struct hr_store_entry *e)
{
	struct hr_agent *a = w->a;
	json_t *changes = NULL;

	w->vs->meta.yaml = hr_arena_strdup(w->plan->objects->arena, e->yaml);
	w->plan->generation = ++a->generation;
	a->changed_at = hr_loop_now(a->loop);
	say(w);
	if (!hr_list_empty(&a->watchers))
		changes = agent_watch_one(&w->vs->meta);
	agent_watch_tell(a, changes);
}

int agent_reweigh(struct hr_agent *a, const struct hr_store_entry *e,
		  const struct hr_canary_rule *rule, uint64_t *written_us, struct hr_strbuf *why)
{
	_cleanup_sb_ struct hr_strbuf second = {};
	struct reweigh w = {.a = a};
	int r = prepare(&w, e, rule);

	if (r == 0)
		r = in_tables(&w, w.after, why);
	if (r == -EOPNOTSUPP)
		return r;
	*written_us = now_us();
	if (r == 0)
		r = hr_store_commit(a->store, e, 1, why);
	if (r == 0)
		finish(&w, e);
	else if (in_tables(&w, w.before, &second))
		hr_err("weights of %s/%s: %s", e->ns, e->name, hr_sb_str(&second));
	return r;
}
