/* SPDX-License-Identifier: Apache-2.0 */
/* What the schema_*.c tables share among themselves. */
#pragma once

#include <stdlib.h>

#include "model/schema.h"

/* Rows that every object has. The struct of an object starts with its hr_meta, so metadata and
 * spec are both decoded into the object itself. */
#define HR_TOP_ROWS(meta_msg)                                                                    \
	HR_ROW("apiVersion", STRING, CONTROL, HR_NOWHERE),                                       \
		HR_ROW("kind", STRING, CONTROL, HR_NOWHERE),                                     \
		HR_ROW("metadata", MESSAGE, CONTROL, .flags = HR_F_REQUIRED, .msg = &(meta_msg), \
		       .off = 0)
#define HR_SPEC_ROW(spec_msg) \
	HR_ROW("spec", MESSAGE, CONTROL, .flags = HR_F_REQUIRED, .msg = &(spec_msg), .off = 0)
/* What a controller wrote about the object. */
#define HR_STATUS_ROW HR_ROW("status", ANY, FOREIGN, HR_NOWHERE)
#define HR_FOREIGN(field) HR_ROW(field, ANY, FOREIGN, HR_NOWHERE)

extern const struct hr_message hr_msg_match_uri, hr_msg_match_method, hr_msg_match_authority,
	hr_msg_match_scheme, hr_msg_match_header, hr_msg_match_query, hr_msg_match_origin;
extern const struct hr_message hr_msg_http_match, hr_msg_destination, hr_msg_headers,
	hr_msg_http_destination, hr_msg_http_route;
extern const struct hr_message hr_msg_traffic_policy, hr_msg_outlier, hr_msg_load_balancer;

extern const struct hr_message hr_msg_retries, hr_msg_fault, hr_msg_percent;
void hr_retries_init(void *obj);
void hr_fault_init(void *obj);
/* Old integer percentages, 0..100 -> parts per million. */
hr_set_fn hr_set_int_percent;

/* Endpoints (core v1): each subset is read as a slice of its own. */
struct hr_endpoints_object {
	struct hr_meta meta;
	HR_LIST(struct hr_endpoint_slice) subsets;
};

/* The weights of one list of destinations, which is the field `route` of n. */
void hr_check_weights(struct hr_dec *x, const struct hr_ynode *n,
		      struct hr_route_destination *route, size_t len);

/* All lists of objects in a set have one layout. */
typedef HR_LIST(void *) hr_object_list;
/* The list that holds objects of a kind, NULL: none does. */
void *hr_list_of(struct hr_objects *o, enum hr_kind kind);
