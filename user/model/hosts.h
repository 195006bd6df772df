/* SPDX-License-Identifier: Apache-2.0 */
/* How host names of resources resolve (SEMANTICS.md "Hosts"). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/arena.h"

/* "reviews" in "default" -> "reviews.default.svc.cluster.local"; names with a dot and wildcards
 * stay, except "name.ns" and "name.ns.svc" when `known` says that such a service exists. Lower
 * case, no trailing dot. Arena string. */
const char *hr_host_fqdn(struct hr_arena *a, const char *host, const char *ns,
			 const char *cluster_domain);
/* Wildcard pattern ("*.foo.com", "*") against a lower-case host. */
bool hr_host_matches(const char *pattern, const char *host);
/* Is pattern a more specific than b: exact before wildcard, then the longer. */
int hr_host_specificity_cmp(const char *a, const char *b);
