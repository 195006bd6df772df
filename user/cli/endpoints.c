// SPDX-License-Identifier: Apache-2.0
// headrace endpoints: clusters, their addresses, and how these are.
#include "cli/term.h"
#include "cli/verbs.h"

static void add_endpoint(struct hr_table *t, const json_t *e)
{
	char requests[32], in_flight[32], weight[32];

	snprintf(requests, sizeof(requests), "%lld",
		 (long long)hr_jint(json_object_get(e, "counters"), "requests"));
	snprintf(in_flight, sizeof(in_flight), "%lld", (long long)hr_jint(e, "inFlight"));
	snprintf(weight, sizeof(weight), "%lld", (long long)hr_jint(e, "weight"));
	HR_TABLE_ROW(t, hr_jstr(e, "cluster", ""), hr_jstr(e, "address", ""),
		     hr_jstr(e, "workload", "-"), hr_jstr(e, "state", ""), weight, in_flight,
		     requests);
}

int hr_verb_endpoints(const struct hr_args *a)
{
	_cleanup_table_ struct hr_table t = {};
	_cleanup_sb_ struct hr_strbuf out = {};
	_cleanup_json_ json_t *result = NULL;
	json_t *e;
	size_t i;
	int code = hr_ask(a, "endpoints", NULL, &result);

	if (code)
		return code;
	if (a->json)
		return hr_print_json(json_object_get(result, "endpoints"));
	HR_TABLE_ROW(&t, "CLUSTER", "ADDRESS", "WORKLOAD", "STATE", "WEIGHT", "IN FLIGHT",
		     "REQUESTS");
	json_array_foreach(json_object_get(result, "endpoints"), i, e) add_endpoint(&t, e);
	json_array_foreach(json_object_get(result, "clusters"), i, e)
	{
		if (hr_jint(e, "endpoints") == 0)
			HR_TABLE_ROW(&t, hr_jstr(e, "name", ""), "(none)", "-", "-", "-", "-", "-");
	}
	hr_table_text(&t, &out);
	return hr_print(&out);
}
