// SPDX-License-Identifier: Apache-2.0
// headrace get: the objects in effect, as a table, YAML or JSON.
#include "cli/term.h"
#include "cli/verbs.h"
#include "source/source.h"

static int show_table(const json_t *objects)
{
	_cleanup_table_ struct hr_table t = {};
	_cleanup_sb_ struct hr_strbuf out = {};
	json_t *o;
	size_t i;

	HR_TABLE_ROW(&t, "NAMESPACE", "NAME", "SOURCE");
	json_array_foreach((json_t *)objects, i, o) HR_TABLE_ROW(
		&t, hr_jstr(o, "namespace", ""), hr_jstr(o, "name", ""), hr_jstr(o, "source", ""));
	if (json_array_size(objects))
		hr_table_text(&t, &out);
	else
		fputs("No resources found\n", stderr);
	return hr_print(&out);
}

static int show_yaml(const json_t *objects)
{
	_cleanup_sb_ struct hr_strbuf out = {};
	json_t *o;
	size_t i;

	json_array_foreach((json_t *)objects, i, o)
	{
		const char *yaml = hr_jstr(o, "yaml", "");

		if (i && !hr_starts(yaml, "---"))
			hr_sb_add(&out, "---\n");
		hr_sb_add(&out, yaml);
		if (out.len && out.data[out.len - 1] != '\n')
			hr_sb_addc(&out, '\n');
	}
	return hr_print(&out);
}

/* One object when one was named, else a List, as kubectl does. */
static int show_json(const json_t *objects, bool one)
{
	_cleanup_json_ json_t *items = json_array(), *list = NULL;
	json_t *o;
	size_t i;

	json_array_foreach((json_t *)objects, i, o)
	{
		json_t *doc = hr_yaml_json(hr_jstr(o, "yaml", ""));

		json_array_append_new(items, doc ? doc : json_null());
	}
	if (one && json_array_size(items) == 1)
		return hr_print_json(json_array_get(items, 0));
	list = json_pack("{s:s,s:s,s:O}", "apiVersion", "v1", "kind", "List", "items", items);
	return hr_print_json(list);
}

int hr_verb_get(const struct hr_args *a)
{
	const char *format = hr_arg_str(a, "output", "text");
	_cleanup_json_ json_t *result = NULL;
	json_t *objects;
	json_t *req = json_pack("{s:s,s:s,s:b}", "kind", a->pos[0], "namespace",
				hr_arg_str(a, "namespace", "default"), "allNamespaces",
				hr_arg_flag(a, "all-namespaces"));
	int r;

	if (a->npos > 1)
		json_object_set_new(req, "name", json_string(a->pos[1]));
	r = hr_ask(a, "get", req, &result);
	if (r)
		return r;
	objects = json_object_get(result, "objects");
	if (hr_streq(format, "yaml"))
		return show_yaml(objects);
	return a->json ? show_json(objects, a->npos > 1) : show_table(objects);
}
