// SPDX-License-Identifier: Apache-2.0
// headrace delete: objects out of the agent's store.
#include "cli/files.h"
#include "cli/term.h"
#include "cli/verbs.h"

int hr_verb_delete(const struct hr_args *a)
{
	_cleanup_json_ json_t *result = NULL;
	_cleanup_sb_ struct hr_strbuf out = {};
	const char *const *paths;
	size_t n = hr_arg_list(a, "file", &paths);
	json_t *req, *files;
	int r;

	if (n ? a->npos != 0 : a->npos != 2)
		return hr_fail(a, HR_EXIT_USAGE, "KIND NAME or -f PATH is needed");
	if (n) {
		files = hr_files_json(a);
		if (!files)
			return HR_EXIT_REFUSED;
		req = json_pack("{s:o}", "files", files);
	} else {
		req = json_pack("{s:s,s:s,s:s}", "kind", a->pos[0], "name", a->pos[1], "namespace",
				hr_arg_str(a, "namespace", "default"));
	}
	r = hr_ask(a, "delete", req, &result);
	if (r)
		return r;
	if (a->json)
		return hr_print_json(json_object_get(result, "objects"));
	hr_objects_text(json_object_get(result, "objects"), &out);
	return hr_print(&out);
}
