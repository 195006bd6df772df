// SPDX-License-Identifier: Apache-2.0
// What apply and delete share: reading files, naming objects.
#include "cli/files.h"

#include <ctype.h>
#include <string.h>

#include "cli/diags.h"
#include "cli/term.h"
#include "source/source.h"

json_t *hr_files_json(const struct hr_args *a)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	_cleanup_texts_ struct hr_texts t = {};
	_cleanup_sb_ struct hr_strbuf findings = {};
	const char *const *paths;
	size_t n = hr_arg_list(a, "file", &paths);
	json_t *list = json_array();

	hr_texts_read(&t, paths, n, diags);
	if (diags->errors) {
		hr_diags_text(diags, &findings);
		fputs(hr_sb_str(&findings), stderr);
		json_decref(list);
		return NULL;
	}
	for (size_t i = 0; i < t.list.len; i++) {
		const struct hr_text *f = &t.list.data[i];
		json_t *text = json_stringn(f->bytes, f->n), *name = json_string(f->file);

		if (!text) {
			hr_fail(a, 0, "%s: not UTF-8", f->file);
			json_decref(name);
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list,
				      json_pack("{s:o,s:o}", "name",
						name ? name : json_string("<file>"), "text", text));
	}
	return list;
}

void hr_objects_text(const json_t *objects, struct hr_strbuf *out)
{
	json_t *o;
	size_t i;

	json_array_foreach((json_t *)objects, i, o)
	{
		const char *file = hr_jstr(o, "shadowedBy", NULL);

		for (const char *k = hr_jstr(o, "kind", ""); *k; k++)
			hr_sb_addc(out, (char)tolower((unsigned char)*k));
		hr_sb_printf(out, "/%s %s", hr_jstr(o, "name", ""), hr_jstr(o, "action", ""));
		if (!hr_streq(hr_jstr(o, "namespace", ""), "default") &&
		    *hr_jstr(o, "namespace", ""))
			hr_sb_printf(out, " in %s", hr_jstr(o, "namespace", ""));
		if (file)
			hr_sb_printf(out, ", but not in effect: %s defines it and wins", file);
		hr_sb_addc(out, '\n');
	}
}
