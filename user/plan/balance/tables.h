/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balancing tables in effect: pages of slots in memory that kernel and workers read, one table
 * a cluster, found by one word (hr_cluster_rt.table). Whatever changes who gets how much of a
 * cluster's requests - a plan, an ejection - makes a new table beside the old one and exchanges the
 * word; the old pages are given again after a while.
 *
 * Pure: memory and time are arguments. One thread writes, anybody reads.
 */
#pragma once

#include "plan/plan.h"

struct hr_tables;

/* Tables that the memory has already (of an agent before us) are kept until the first plan. */
struct hr_tables *hr_tables_new(const struct hr_words *w);
void hr_tables_free(struct hr_tables *t);

/* A plan (ids assigned) that is about to come into effect: makes its tables. Those of clusters that
 * are new show at once, others with hr_tables_flip. 0; -ENOSPC: no room, and nothing has changed.
 */
int hr_tables_prepare(struct hr_tables *t, const struct hr_plan *plan, uint64_t now_ms);
/* The plan is in effect, and lives until the next one is. */
void hr_tables_flip(struct hr_tables *t, const struct hr_plan *plan, uint64_t now_ms);
/* The same of a plan made of the one in effect: of the clusters with these indexes; the others'
 * tables are as they were. */
int hr_tables_prepare_some(struct hr_tables *t, const struct hr_plan *plan,
			   const uint32_t *clusters, size_t n, uint64_t now_ms);
void hr_tables_flip_some(struct hr_tables *t, const struct hr_plan *plan, const uint32_t *clusters,
			 size_t n, uint64_t now_ms);
/* It did not come into effect. */
void hr_tables_drop(struct hr_tables *t, uint64_t now_ms);

/* An endpoint was ejected, or is back. */
void hr_tables_ep(struct hr_tables *t, uint32_t ep, uint64_t now_ms);
/* Whatever may have changed. */
void hr_tables_refresh(struct hr_tables *t, uint64_t now_ms);
void hr_tables_refresh_some(struct hr_tables *t, const uint32_t *clusters, size_t n,
			    uint64_t now_ms);
/* Endpoints that are warming up get what is theirs by now. Gives the time of the next step,
 * UINT64_MAX: none is. */
uint64_t hr_tables_warm(struct hr_tables *t, uint64_t now_ms);
/* Gives back what nobody reads any more. */
void hr_tables_tick(struct hr_tables *t, uint64_t now_ms);
/* Pages in use. */
uint32_t hr_tables_used(const struct hr_tables *t);
