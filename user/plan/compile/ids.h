/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stable ids for plan objects by name: a route, cluster, endpoint, address or vhost that is in two
 * plans in a row keeps its id, so counters and in-flight numbers survive a reload. Ids start at 1
 * and are given again only two assignments after their object went (connections drain meanwhile).
 * Owned by the main thread.
 */
#pragma once

#include "plan/plan.h"

struct hr_ids;
struct hr_ids *hr_ids_new(void);
void hr_ids_free(struct hr_ids *ids);
/* Fills every id of the plan. 0, or -ENOSPC when a table of limits.h is full (nothing changed;
 * *what names the table). */
int hr_ids_assign(struct hr_ids *ids, struct hr_plan *plan, const char **what);
/* For hr_plan_opts.auto_vip: ctx is the struct hr_ids. 240.240.0.0/16 and fd68:6472:6163::/48. */
int hr_ids_auto_vip(void *ids, const char *fqdn, struct hr_addr *v4, struct hr_addr *v6);
/* Names of live ids, NULL when unknown (for metrics and status). */
const char *hr_ids_route_name(const struct hr_ids *ids, uint32_t id);
const char *hr_ids_ep_name(const struct hr_ids *ids, uint32_t id); /* "cluster-name 10.0.0.1:80" */
const char *hr_ids_addr_name(const struct hr_ids *ids, uint32_t id);
