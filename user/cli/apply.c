// SPDX-License-Identifier: Apache-2.0
// headrace apply: objects into the agent's store.
#include "cli/files.h"
#include "cli/term.h"
#include "cli/verbs.h"

int hr_verb_apply(const struct hr_args *a)
{
	bool dry = hr_arg_flag(a, "dry-run");
	_cleanup_json_ json_t *result = NULL;
	_cleanup_sb_ struct hr_strbuf out = {};
	const char *const *paths;
	json_t *files, *line;
	size_t i;
	int r;

	if (!hr_arg_list(a, "file", &paths))
		return hr_fail(a, HR_EXIT_USAGE, "-f PATH is needed");
	files = hr_files_json(a);
	if (!files)
		return HR_EXIT_REFUSED;
	r = hr_ask(a, "apply",
		   json_pack("{s:o,s:b,s:b}", "files", files, "dryRun", dry, "lenient",
			     hr_arg_flag(a, "lenient")),
		   &result);
	if (r)
		return r;
	json_array_foreach(json_object_get(result, "warnings"), i, line)
		fprintf(stderr, "%s\n", json_string_value(line));
	/* as kubectl: a script that applies nothing has lost its file */
	if (!json_array_size(json_object_get(result, "objects")))
		return hr_fail(a, HR_EXIT_REFUSED, "no objects in what was given");
	if (a->json)
		return hr_print_json(json_object_get(result, "objects"));
	hr_objects_text(json_object_get(result, "objects"), &out);
	if (dry)
		hr_sb_add(&out, "(dry run: nothing was changed)\n");
	return hr_print(&out);
}
