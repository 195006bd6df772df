/* SPDX-License-Identifier: Apache-2.0 */
/* Names for the ids of a row, and Istio's labels of them. No label ever holds a path or another
 * value that a client chose. */
#pragma once

#include "core/str.h"
#include "kern/meters.h"

struct hr_meters;

/* Who has which id now. */
struct hr_owners {
	const struct hr_meters *m;
	/* by id; NULL: nobody has it */
	struct hr_owners_table {
		const void **by_id;
		size_t n;
	} workloads, eps, routes;
};
void hr_owners_init(struct hr_owners *n, const struct hr_meters *m);
void hr_owners_free(struct hr_owners *n);
/* A number for what the ids of the row mean, the same while they mean the same; 0: one of them
 * means nothing. */
uint64_t hr_owners_print(const struct hr_owners *n, const struct hr_meter_key *key);
/* Their labels; what is not known is "unknown". */
void hr_owners_labels(const struct hr_owners *n, const struct hr_meter_key *key,
		      struct hr_strbuf *out);

/* ,name="value" (or without comma, first): escaped, bounded; "unknown" for NULL and "". */
void hr_label(struct hr_strbuf *out, const char *name, const char *value);
