// SPDX-License-Identifier: Apache-2.0
// headrace attach, detach: capture what runs already, and let it go.
#include <string.h>

#include "cli/capture.h"
#include "cli/term.h"
#include "cli/verbs.h"
#include "core/cleanup.h"

static int show(const struct hr_args *a, const json_t *result, const char *what)
{
	_cleanup_sb_ struct hr_strbuf out = {};

	if (a->json)
		return hr_print_json(result);
	hr_sb_printf(&out, "%s %s/%s: %s\n", what, hr_jstr(result, "namespace", ""),
		     hr_jstr(result, "name", ""), hr_jstr(result, "cgroup", ""));
	return hr_print(&out);
}

int hr_verb_attach(const struct hr_args *a)
{
	_cleanup_free_ char *name = NULL;
	_cleanup_json_ json_t *result = NULL;
	json_t *req = json_object();
	int r = hr_target_json(a, req, &name);

	if (r == 0)
		r = hr_identity_json(a, name, req);
	if (r) {
		json_decref(req);
		return r;
	}
	r = hr_ask(a, "attach", req, &result);
	return r ? r : show(a, result, "attached");
}

int hr_verb_detach(const struct hr_args *a)
{
	_cleanup_free_ char *name = NULL;
	_cleanup_json_ json_t *result = NULL;
	json_t *req = json_object();
	int r = hr_target_json(a, req, &name);

	if (r) {
		json_decref(req);
		return r;
	}
	r = hr_ask(a, "detach", req, &result);
	return r ? r : show(a, result, "detached");
}
