// SPDX-License-Identifier: Apache-2.0
// headrace check: read files as the agent would, say everything that is wrong with them.
#include "cli/diags.h"
#include "cli/term.h"
#include "cli/verbs.h"
#include "core/cleanup.h"
#include "plan/plan.h"

/* Limits of the plan show only when it is built. */
static void try_plan(struct hr_objects *set, const char *domain, struct hr_diags *diags)
{
	const struct hr_plan_opts opts = {.cluster_domain = domain};
	struct hr_plan *plan = NULL;

	if (hr_plan_build(&plan, set, &opts, diags) == 0)
		hr_plan_free(plan);
}

static unsigned decode_flags(const struct hr_args *a)
{
	return (hr_arg_flag(a, "strict") ? HR_DECODE_STRICT : 0) |
	       (hr_arg_flag(a, "lenient") ? HR_DECODE_LENIENT : 0);
}

static int show(const struct hr_args *a, const struct hr_diags *diags)
{
	const char *format = hr_arg_str(a, "output", "text");
	_cleanup_sb_ struct hr_strbuf out = {};
	_cleanup_json_ json_t *doc = NULL;

	if (a->json)
		doc = hr_diags_json(diags);
	else if (hr_streq(format, "sarif"))
		doc = hr_diags_sarif(diags);
	if (doc)
		return hr_print_json(doc);
	hr_diags_text(diags, &out);
	return hr_print(&out);
}

int hr_verb_check(const struct hr_args *a)
{
	const char *domain = hr_arg_str(a, "cluster-domain", "cluster.local");
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	struct hr_decoder *d = hr_decoder_new(decode_flags(a), diags);
	struct hr_objects *set;
	size_t total;
	int r;

	for (size_t i = 0; i < a->npos; i++)
		hr_decode_path(d, a->pos[i]);
	set = hr_decoder_finish(d);
	total = set->total;
	hr_validate_refs(set, domain, diags);
	try_plan(set, domain, diags);
	r = show(a, diags);
	if (r == HR_EXIT_OK && isatty(STDERR_FILENO) && !hr_arg_str(a, "output", NULL))
		fprintf(stderr, "%zu objects, %zu errors, %zu warnings\n", total, diags->errors,
			diags->warnings);
	return diags->errors ? HR_EXIT_REFUSED : r;
}
