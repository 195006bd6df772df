// SPDX-License-Identifier: Apache-2.0
// headrace datapath: who carries requests; the kill switch.
#include "cli/term.h"
#include "cli/verbs.h"

int hr_verb_datapath(const struct hr_args *a)
{
	_cleanup_json_ json_t *result = NULL;
	_cleanup_sb_ struct hr_strbuf out = {};
	json_t *req = json_object();
	int r;

	if (a->npos)
		json_object_set_new(req, "mode", json_string(a->pos[0]));
	if (*hr_arg_str(a, "same-node", ""))
		json_object_set_new(req, "sameNode",
				    json_boolean(hr_streq(hr_arg_str(a, "same-node", ""), "on")));
	r = hr_ask(a, "datapath", req, &result);
	if (r)
		return r;
	if (a->json)
		return hr_print_json(result);
	hr_sb_printf(&out, "%s: %s\nsame node %s: %s\n", hr_jstr(result, "mode", ""),
		     hr_jstr(result, "why", ""),
		     json_is_true(json_object_get(result, "sameNode")) ? "on" : "off",
		     hr_jstr(result, "sameNodeWhy", ""));
	return hr_print(&out);
}
