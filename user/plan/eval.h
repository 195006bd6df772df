/* SPDX-License-Identifier: Apache-2.0 */
/* What evaluation and explain share: one match entry checked condition by condition. */
#pragma once

#include "plan/plan.h"

/* {NULL, 0} when absent. */
struct hr_slice hr_req_header(const struct hr_plan_req *req, struct hr_slice name);
/* As Envoy has it: of the target, else what x-forwarded-proto says, else plain text. */
struct hr_slice hr_req_scheme(const struct hr_plan_req *req);
/* Do all conditions of the entry hold? When not and `why` is given, the first that does not is
 * told: what was wanted and what was seen. */
bool hr_match_holds(const struct hr_plan_req *req, const struct hr_http_match *m,
		    struct hr_strbuf *why);
/* The conditions of the entry in words: uri prefix "/api", header x-user exact "jason". */
void hr_match_tell(const struct hr_http_match *m, struct hr_strbuf *out);
