/* SPDX-License-Identifier: Apache-2.0 */
/* Localities: "region/zone/subzone", and what share the endpoints of each have. */
#pragma once

#include "core/str.h"
#include "plan/plan.h"

/* Region, zone, subzone; empty where there is none. */
void hr_locality_split(const char *locality, struct hr_slice part[static 3]);

/* Shares of a cluster's endpoints now: `weight` [n_eps] each one's own, `away` those that get no
 * request, `out` what each gets, relative to the others. Envoy's rules: a priority takes what 140 %
 * of its healthy endpoints can, the rest goes to the next; inside one, places share by weight, each
 * as far as its healthy endpoints reach. */
void hr_place_weights(const struct hr_plan_cluster *c, const struct hr_plan_ep *eps,
		      const double *weight, const bool *away, double *out);
/* " locality r1/z1 80 %" for each place that gets something, all endpoints healthy. */
void hr_place_words(const struct hr_plan_cluster *c, struct hr_strbuf *out);
