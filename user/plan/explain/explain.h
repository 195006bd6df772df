/* SPDX-License-Identifier: Apache-2.0 */
/* `headrace explain`: one request through the plan, with the reason for every step (CLI.md). */
#pragma once

#include "plan/plan.h"

struct hr_explain_req {
	const char *method; /* "GET" */
	const char *url;    /* http://host[:port]/path?query */
	hr_kvs headers;	    /* as given by -H, any case */
	const char *from_ns, *from_name;
	hr_kvs source_labels;
	const char *source_ip, *gateway;
};

/* JSON exactly as CLI.md fixes it, or text for people, appended to `out`. -EINVAL for a URL that
 * cannot be parsed (*why says it). */
int hr_explain_json(const struct hr_plan *p, const struct hr_explain_req *r, struct hr_strbuf *out,
		    const char **why);
int hr_explain_text(const struct hr_plan *p, const struct hr_explain_req *r, struct hr_strbuf *out,
		    const char **why);
