// SPDX-License-Identifier: Apache-2.0
// headrace routes: the rules in effect, in the order in which they are tried.
#include "cli/term.h"
#include "cli/verbs.h"

static void add_destinations(const json_t *list, struct hr_strbuf *out)
{
	json_t *d;
	size_t i;

	json_array_foreach((json_t *)list, i, d)
	{
		const char *subset = hr_jstr(d, "subset", NULL);

		hr_sb_printf(out, "%s%s%s%s:%lld", i ? ", " : "", hr_jstr(d, "host", ""),
			     subset ? "/" : "", subset ? subset : "",
			     (long long)hr_jint(d, "port"));
		if (json_array_size(list) > 1)
			hr_sb_printf(out, " %lld", (long long)hr_jint(d, "weight"));
	}
}

int hr_verb_routes(const struct hr_args *a)
{
	_cleanup_table_ struct hr_table t = {};
	_cleanup_sb_ struct hr_strbuf out = {};
	_cleanup_json_ json_t *result = NULL;
	json_t *r;
	size_t i;
	int code = hr_ask(a, "routes", NULL, &result);

	if (code)
		return code;
	if (a->json)
		return hr_print_json(json_object_get(result, "routes"));
	HR_TABLE_ROW(&t, "HOST", "RULE", "PATH", "REQUESTS", "ACTION");
	json_array_foreach(json_object_get(result, "routes"), i, r)
	{
		_cleanup_sb_ struct hr_strbuf host = {}, rule = {}, path = {}, action = {};
		const char *name = hr_jstr(r, "name", NULL);
		char requests[32];

		hr_sb_printf(&host, "%s:%lld", hr_jstr(r, "host", ""),
			     (long long)hr_jint(r, "port"));
		hr_sb_add(&rule, hr_jstr(r, "virtualService", "(default)"));
		if (json_is_integer(json_object_get(r, "rule")))
			hr_sb_printf(&rule, " http[%lld]", (long long)hr_jint(r, "rule"));
		if (name)
			hr_sb_printf(&rule, " %s", name);
		hr_sb_add(&path, hr_jstr(r, "path", ""));
		if (hr_jstr(r, "why", NULL))
			hr_sb_printf(&path, ": %s", hr_jstr(r, "why", ""));
		snprintf(requests, sizeof(requests), "%lld",
			 (long long)hr_jint(json_object_get(r, "counters"), "requests"));
		if (json_array_size(json_object_get(r, "destinations")))
			add_destinations(json_object_get(r, "destinations"), &action);
		else
			hr_sb_add(&action, hr_jstr(r, "action", ""));
		HR_TABLE_ROW(&t, host.data, rule.data, path.data, requests, hr_sb_str(&action));
	}
	hr_table_text(&t, &out);
	return hr_print(&out);
}
