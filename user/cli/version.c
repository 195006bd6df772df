// SPDX-License-Identifier: Apache-2.0
// headrace version, help, completion: what the program says about itself.
#include "cli/term.h"
#include "cli/verbs.h"
#include "headrace/abi.h"

int hr_verb_version(const struct hr_args *a)
{
	_cleanup_json_ json_t *doc = NULL;

	if (!a->json)
		return printf("headrace %s\n", HR_VERSION) < 0 ? HR_EXIT_REFUSED : HR_EXIT_OK;
	doc = json_pack("{s:s,s:i}", "version", HR_VERSION, "abi", HR_ABI_VERSION);
	return hr_print_json(doc);
}

int hr_verb_completion(const struct hr_args *a)
{
	_cleanup_sb_ struct hr_strbuf out = {};

	(void)a;
	hr_help_bash(hr_commands, &out);
	return hr_print(&out);
}

int hr_verb_help(const struct hr_args *a)
{
	_cleanup_sb_ struct hr_strbuf out = {};
	const struct hr_command *cmd;
	const char *near = NULL;

	if (hr_arg_flag(a, "man")) {
		hr_help_man(hr_commands, &out);
	} else if (a->npos) {
		cmd = hr_command_find(hr_commands, a->pos[0], &near);
		if (!cmd)
			return hr_fail(a, HR_EXIT_USAGE, "no verb \"%s\"%s%s", a->pos[0],
				       near ? "; did you mean " : "", near ? near : "");
		hr_help_verb(cmd, &out);
	} else {
		hr_help_program(hr_commands, &out);
	}
	return hr_print(&out);
}
