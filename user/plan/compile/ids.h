/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stable ids for plan objects by name: a route, cluster, endpoint, address or vhost that is in two
 * plans in a row keeps its id, so counters and in-flight numbers survive a reload. Ids start at 1.
 * Those of objects that went are given again late: connections, responses and tables still know
 * them. The id of an address or a virtual host is never given again (not within 65,535 uses of its
 * place in the table): it is what an open connection says of where it goes. Owned by the main
 * thread.
 */
#pragma once

#include "headrace/abi_ids.h"
#include "plan/plan.h"

struct hr_ids;
struct hr_ids *hr_ids_new(void);
void hr_ids_free(struct hr_ids *ids);
/* Is anything counted under this id of an endpoint or cluster yet (requests in flight)? Asked
 * before it is given again. */
typedef bool (*hr_ids_busy_fn)(void *ctx, enum hr_id_kind kind, uint32_t id);
void hr_ids_set_busy(struct hr_ids *ids, hr_ids_busy_fn busy, void *ctx);
/* New ids are given to `keep` before an assignment ends; its failure is the assignment's. `key` is
 * that of the digests in rows. */
typedef int (*hr_ids_keep_fn)(void *ctx, const struct hr_id_key *keys, const struct hr_id_row *rows,
			      size_t n);
void hr_ids_keep(struct hr_ids *ids, const __u64 key[2], hr_ids_keep_fn keep, void *ctx);
/* What another hr_ids kept, before the first assignment: the same names get the same ids. */
void hr_ids_adopt(struct hr_ids *ids, const struct hr_id_key *key, const struct hr_id_row *row);
/* Fills every id of the plan. 0, or -ENOSPC when a table of limits.h is full (nothing changed;
 * *what names the table). */
int hr_ids_assign(struct hr_ids *ids, struct hr_plan *plan, const char **what);
/* Those of endpoints that are new in a plan made by hr_plan_change of the one that was assigned
 * last; what went is forgotten by assignments of whole plans. 0, -ENOSPC: it takes one. */
int hr_ids_assign_new(struct hr_ids *ids, struct hr_plan *plan, const struct hr_plan_changes *what);
/* For hr_plan_opts.auto_vip: ctx is the struct hr_ids. 240.240.0.0/16 and fd68:6472:6163::/48. */
int hr_ids_auto_vip(void *ids, const char *fqdn, struct hr_addr *v4, struct hr_addr *v6);
/* Names of live ids, NULL when unknown (for metrics and status). */
const char *hr_ids_route_name(const struct hr_ids *ids, uint32_t id);
const char *hr_ids_ep_name(const struct hr_ids *ids, uint32_t id); /* "cluster-name 10.0.0.1:80" */
const char *hr_ids_addr_name(const struct hr_ids *ids, uint32_t id);
