/* SPDX-License-Identifier: Apache-2.0 */
/* Localities: "region/zone/subzone", and what share the endpoints of each have. */
#pragma once

#include "core/str.h"
#include "plan/plan.h"

/* Region, zone, subzone; empty where there is none. */
void hr_locality_split(const char *locality, struct hr_slice part[static 3]);

/* Priorities of one cluster: 0 is the first. */
#define HR_PRIORITIES_MAX 64

/* Endpoints of one priority. */
struct hr_level {
	uint32_t all, healthy;
};
/* Which priorities panic (Envoy's healthy_panic_threshold, Istio's minHealthPercent): all their
 * endpoints are used, ejected or not. Only where all priorities together, each at 140 % of its
 * healthy endpoints, cannot take every request. Both arrays [HR_PRIORITIES_MAX]. */
void hr_levels_panic(const struct hr_level *level, uint32_t min_health_percent, bool *panic);

enum hr_ep_health {
	HR_EP_HEALTHY,
	HR_EP_AWAY, /* ejected: gets no request */
	HR_EP_USED, /* ejected, but its priority panics */
};
/* Shares of a cluster's endpoints now: `weight` [n_eps] each one's own, `out` what each gets,
 * relative to the others; may be the same array. Envoy's rules: a priority takes what 140 % of its
 * healthy endpoints can, the rest goes to the next; inside one, places share by weight, each as far
 * as its healthy endpoints reach. In a priority that panics endpoints share by their weight; where
 * all do, priorities by their size. */
void hr_place_weights(const struct hr_plan_cluster *c, const struct hr_plan_ep *eps,
		      const double *weight, const enum hr_ep_health *health, double *out);
/* " locality r1/z1 80 %" for each place that gets something, all endpoints healthy. */
void hr_place_words(const struct hr_plan_cluster *c, struct hr_strbuf *out);
