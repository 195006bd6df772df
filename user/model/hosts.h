/* SPDX-License-Identifier: Apache-2.0 */
/* How host names of resources resolve (SEMANTICS.md "Hosts"). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/arena.h"
#include "core/map.h"

/* "reviews" in "default" -> "reviews.default.svc.cluster.local"; "reviews.default.svc" gets the
 * domain; other names with a dot, wildcards and addresses stay. Lower case, no trailing dot. Arena
 * string. */
const char *hr_host_fqdn(struct hr_arena *a, const char *host, const char *ns,
			 const char *cluster_domain);
/* The same, and "name.ns" becomes the full name of a service when `known` (FQDN -> anything) has
 * that one and not "name.ns" itself. */
const char *hr_host_fqdn_known(struct hr_arena *a, const char *host, const char *ns,
			       const char *cluster_domain, const struct hr_map *known);
/* Wildcard pattern ("*.foo.com", "*") against a lower-case host. */
bool hr_host_matches(const char *pattern, const char *host);
/* Is pattern a more specific than b: exact before wildcard, then the longer. > 0: a is. */
int hr_host_specificity_cmp(const char *a, const char *b);
