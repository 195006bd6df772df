/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balancing table of a cluster: which endpoint stands in which slot. Pure and deterministic:
 * the same endpoints give the same table in every agent.
 *
 *	ring	each endpoint has places on a ring, a slot belongs to the next place after it
 *	Maglev	slots of prime number, filled by the endpoints in turns, each in an order of its own
 *	others	each endpoint as often as its weight says, spread evenly (what a round robin needs)
 *
 * With consistent hashing a change of one endpoint moves few slots.
 */
#pragma once

#include "plan/plan.h"

struct hr_slot_table {
	uint32_t n;
	uint16_t *ep; /* [n] index within the cluster; malloc()ed */
	bool even;    /* each endpoint that has a slot has one */
};

/* `weight` [c->n_eps]: 0 gets no slot. `away` (may be NULL): those whose slots are somebody else's
 * for the time being; nobody else's slot changes. An empty table when nobody is left. */
void hr_slots_build(const struct hr_plan_cluster *c, const struct hr_plan_ep *eps,
		    const double *weight, const bool *away, struct hr_slot_table *out);
/* Slots of a table for consistentHash; 0 without it. */
uint32_t hr_hash_slots(const struct hr_plan_cluster *c);
