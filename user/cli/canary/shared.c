// SPDX-License-Identifier: Apache-2.0
// What the verbs of canary and breaker share.
#include <string.h>

#include "cli/canary/canary.h"
#include "cli/files.h"
#include "model/scalar.h"

json_t *hr_split_request(const struct hr_args *a)
{
	return json_pack("{s:s,s:s,s:b}", "service", a->pos[0], "namespace",
			 hr_arg_str(a, "namespace", "default"), "dryRun",
			 hr_arg_flag(a, "dry-run"));
}

void hr_split_sides_text(const json_t *sides, struct hr_strbuf *out)
{
	json_t *side;
	size_t i;

	json_array_foreach((json_t *)sides, i, side)
		hr_sb_printf(out, "%s%s %lld", i ? ", " : "", hr_jstr(side, "name", ""),
			     (long long)hr_jint(side, "weight"));
}

/* A document an object that would change; with a line about a file where applying would not do. */
static int show_yaml(const json_t *result)
{
	_cleanup_sb_ struct hr_strbuf out = {};
	json_t *o;
	size_t i;

	json_array_foreach(json_object_get(result, "objects"), i, o)
	{
		const char *file = hr_jstr(o, "shadowedBy", NULL);

		if (file)
			fprintf(stderr, "%s defines this %s and wins: change it there\n", file,
				hr_jstr(o, "kind", ""));
		hr_sb_printf(&out, "%s%s", i ? "---\n" : "", hr_jstr(o, "yaml", ""));
	}
	return hr_print(&out);
}

int hr_split_ask(const struct hr_args *a, const char *op, json_t *req)
{
	_cleanup_json_ json_t *result = NULL;
	_cleanup_sb_ struct hr_strbuf out = {};
	json_t *line;
	size_t i;
	int r = hr_ask(a, op, req, &result);

	if (r)
		return r;
	json_array_foreach(json_object_get(result, "warnings"), i, line) fprintf(
		stderr, "headrace %s: warning: %s\n", a->cmd->name, json_string_value(line));
	if (a->json)
		return hr_print_json(result);
	if (hr_arg_flag(a, "dry-run"))
		return show_yaml(result);
	hr_objects_text(json_object_get(result, "objects"), &out);
	if (json_object_get(result, "sides")) {
		hr_split_sides_text(json_object_get(result, "sides"), &out);
		hr_sb_addc(&out, '\n');
	}
	return hr_print(&out);
}

int hr_split_weight(const struct hr_args *a, const char *word, json_t *out)
{
	const char *eq = strchr(word, '=');
	_cleanup_free_ char *name = NULL;
	uint64_t weight;

	if (!eq || eq == word || hr_parse_u64(eq + 1, INT32_MAX, &weight) < 0)
		return hr_fail(a, HR_EXIT_USAGE, "\"%s\": NAME=WEIGHT is needed", word);
	name = strndup(word, (size_t)(eq - word));
	if (json_object_get(out, name))
		return hr_fail(a, HR_EXIT_USAGE, "%s is named twice", name);
	json_object_set_new(out, name, json_integer((json_int_t)weight));
	return 0;
}

const json_t *hr_split_side(const json_t *status, size_t i)
{
	return json_array_get(json_object_get(status, "sides"), i);
}

int hr_split_duration(const struct hr_args *a, const char *name, int64_t dflt, int64_t *ms)
{
	const char *text = hr_arg_str(a, name, NULL), *why;

	*ms = dflt;
	why = text ? hr_parse_duration(text, ms) : NULL;
	return why ? hr_fail(a, HR_EXIT_USAGE, "--%s: \"%s\": %s", name, text, why) : 0;
}
