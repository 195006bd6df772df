/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consistent hashing: tables that map a hash to an endpoint of a cluster, so that the same key goes
 * to the same endpoint and a change of one endpoint moves few keys. Pure and deterministic: the
 * same endpoints give the same table in every agent.
 */
#pragma once

#include "core/arena.h"
#include "plan/plan.h"

/* Entry -> index of an endpoint within its cluster. */
struct hr_hash_table {
	uint32_t n;	    /* entries */
	const uint64_t *at; /* ring: where each entry lies, ascending; NULL: Maglev */
	const uint16_t *ep;
};

/* NULL for a cluster without endpoints, or without consistentHash. */
const struct hr_hash_table *hr_hash_table_build(struct hr_arena *a, const struct hr_plan_cluster *c,
						const struct hr_plan_ep *eps);
/* The entry that a key's hash belongs to; the next ones (modulo n) stand in for it. */
uint32_t hr_hash_table_at(const struct hr_hash_table *t, uint64_t hash);
