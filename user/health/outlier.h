/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outlier detection: which endpoints are taken out of their cluster, and for how long (Envoy's
 * rules with Istio's defaults, SEMANTICS.md "outlierDetection"). Pure: time is an argument, what
 * happens shows in the shared words and in one callback. One thread.
 *
 *	failures in a row reach a limit -> hr_outliers_reached -> ejected, unless maxEjectionPercent
 *	is used up (one can always go) -> base time x ejections later, at the next interval, back
 *
 * An interval in which a healthy endpoint stays healthy takes one of its ejections back.
 */
#pragma once

#include "core/str.h"
#include "headrace/abi.h"
#include "plan/plan.h"

struct hr_outliers;

/* Strings live during the call. */
struct hr_outlier_event {
	bool ejected; /* false: it is back */
	enum hr_outlier_kind kind;
	bool enforced; /* false: it would have been ejected, but too many are already */
	uint32_t ep;
	uint32_t ejections;		/* by which the time is multiplied */
	uint64_t ms;			/* how long it will be, or was, away */
	const char *cluster, *endpoint; /* name; address and port */
};

/* ep_rt, codes: the shared words, [HR_EPS_MAX] and [HR_CODES_MAX]. `on_event` may be NULL. */
struct hr_outliers *hr_outliers_new(struct hr_ep_rt *ep_rt, struct hr_codes *codes,
				    void (*on_event)(void *ctx, const struct hr_outlier_event *ev),
				    void *ctx);
void hr_outliers_free(struct hr_outliers *o);

/* After a plan (ids assigned) came into effect: endpoints that stay keep their state, those of
 * clusters without outlierDetection are all in use. */
void hr_outliers_plan(struct hr_outliers *o, const struct hr_plan *plan, uint64_t now_ms);
/* The same of a plan made of the one in effect (hr_plan_change): clusters with these indexes. */
void hr_outliers_some(struct hr_outliers *o, const struct hr_plan *plan, const uint32_t *clusters,
		      size_t n, uint64_t now_ms);
/* The endpoint's count has reached its limit. */
void hr_outliers_reached(struct hr_outliers *o, uint32_t ep, enum hr_outlier_kind kind,
			 uint64_t now_ms);
/* Intervals that are over. Gives the time of the next, UINT64_MAX: none. */
uint64_t hr_outliers_tick(struct hr_outliers *o, uint64_t now_ms);

/* Envoy's counters of one cluster; detected and enforced by enum hr_outlier_kind. */
struct hr_outlier_stats {
	const char *cluster;
	uint64_t active, enforced_total, overflow;
	uint64_t detected[HR_OUTLIER_MAX], enforced[HR_OUTLIER_MAX];
};
void hr_outliers_each(const struct hr_outliers *o,
		      void (*fn)(void *ctx, const struct hr_outlier_stats *s), void *ctx);
/* Envoy's word for a kind, "consecutive_5xx". */
const char *hr_outlier_kind_text(enum hr_outlier_kind kind);
