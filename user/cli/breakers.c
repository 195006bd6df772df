// SPDX-License-Identifier: Apache-2.0
// headrace breakers: what is left of each cluster's limits.
#include "cli/term.h"
#include "cli/verbs.h"

/* "2/10 +3": in use, of how many ("-": any number), and how often it was too much. */
static void use(char out[80], const json_t *row, const char *name)
{
	const json_t *b = json_object_get(row, name);
	long long trips = (long long)hr_jint(b, "trips");
	char limit[24] = "-", more[32] = "";

	if (json_is_integer(json_object_get(b, "limit")))
		snprintf(limit, sizeof(limit), "%lld", (long long)hr_jint(b, "limit"));
	if (trips)
		snprintf(more, sizeof(more), " +%lld", trips);
	snprintf(out, 80, "%lld/%s%s", (long long)hr_jint(b, "active"), limit, more);
}

int hr_verb_breakers(const struct hr_args *a)
{
	_cleanup_table_ struct hr_table t = {};
	_cleanup_sb_ struct hr_strbuf out = {};
	_cleanup_json_ json_t *result = NULL;
	json_t *row;
	size_t i;
	int code = hr_ask(a, "breakers", NULL, &result);

	if (code)
		return code;
	if (a->json)
		return hr_print_json(json_object_get(result, "breakers"));
	HR_TABLE_ROW(&t, "CLUSTER", "CONNECTIONS", "PENDING", "REQUESTS", "RETRIES");
	json_array_foreach(json_object_get(result, "breakers"), i, row)
	{
		char cx[80], pending[80], rq[80], retries[80];

		use(cx, row, "connections");
		use(pending, row, "pending");
		use(rq, row, "requests");
		use(retries, row, "retries");
		HR_TABLE_ROW(&t, hr_jstr(row, "cluster", ""), cx, pending, rq, retries);
	}
	hr_table_text(&t, &out);
	return hr_print(&out);
}
