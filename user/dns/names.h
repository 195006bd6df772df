/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mesh's names and every way to say them: "reviews", "reviews.default", "reviews.default.svc",
 * the FQDN, each also followed by a search domain of resolv.conf; "*.example.com".
 */
#pragma once

#include "core/str.h"
#include "plan/plan.h"

struct hr_dns_names;

struct hr_dns_addrs {
	const struct hr_addr *addrs;
	size_t n;
};

/* A copy: the plan may go. NULL plan: no names. */
struct hr_dns_names *hr_dns_names_new(const struct hr_plan *plan);
void hr_dns_names_free(struct hr_dns_names *t);

/*
 * `name` is lower case without trailing dot. `k8s_ns`: namespace of the client for short names.
 * `search`: domains that resolvers append. NULL when it is not of the mesh.
 */
const struct hr_dns_addrs *hr_dns_names_find(const struct hr_dns_names *t, const char *name,
					     const char *k8s_ns, const char *const *search,
					     size_t nsearch);
