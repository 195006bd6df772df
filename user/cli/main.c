// SPDX-License-Identifier: Apache-2.0
// headrace VERB ...: finds the row of the verb and lets it run.
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "cli/term.h"
#include "cli/verbs.h"
#include "core/cleanup.h"

static int unknown_verb(const char *word, const char *near)
{
	fprintf(stderr, "headrace: unknown verb \"%s\"", word);
	if (near)
		fprintf(stderr, "; did you mean \"%s\"?", near);
	fputs("\nTry 'headrace help'.\n", stderr);
	return HR_EXIT_USAGE;
}

/* exec hands on the status of its command; its own failures are 125 (CLI.md). */
static int usage_code(const struct hr_command *cmd)
{
	return cmd->run == hr_verb_exec ? 125 : HR_EXIT_USAGE;
}

static int run_verb(const struct hr_command *cmd, int argc, char **argv)
{
	_cleanup_args_ struct hr_args a = {};
	_cleanup_sb_ struct hr_strbuf text = {};
	int r = hr_args_parse(&a, cmd, argc, argv, &text);

	if (r == HR_ARGS_HELP) {
		hr_help_verb(cmd, &text);
		return hr_print(&text);
	}
	if (r < 0) {
		fprintf(stderr, "headrace %s: %s\nTry 'headrace %s -h'.\n", cmd->name,
			hr_sb_str(&text), cmd->name);
		return usage_code(cmd);
	}
	return cmd->run(&a);
}

static int program_help(int code)
{
	_cleanup_sb_ struct hr_strbuf text = {};

	hr_help_program(hr_commands, &text);
	if (code == HR_EXIT_OK)
		return hr_print(&text);
	fputs(hr_sb_str(&text), stderr);
	return code;
}

/* `GROUP --socket PATH VERB`, as scripts say it that put --socket behind the first word: the option
 * goes behind the second. */
static void verb_first(int argc, char **argv)
{
	int n = argc > 3 && hr_streq(argv[2], "--socket")     ? 2
		: argc > 2 && hr_starts(argv[2], "--socket=") ? 1
							      : 0;
	char *verb = argc > 2 + n ? argv[2 + n] : NULL;

	if (!n || !verb)
		return;
	memmove(&argv[3], &argv[2], (size_t)n * sizeof(*argv));
	argv[2] = verb;
}

/* headrace GROUP VERB ... */
static int run_group(int argc, char **argv)
{
	const char *word, *near;
	_cleanup_sb_ struct hr_strbuf text = {}, name = {};
	const struct hr_command *cmd;
	bool help;

	verb_first(argc, argv);
	word = argc > 2 ? argv[2] : NULL;
	help = hr_streq(word, "-h") || hr_streq(word, "--help");
	if (!word || help) {
		hr_help_group(hr_commands, argv[1], &text);
		if (help)
			return hr_print(&text);
		fputs(hr_sb_str(&text), stderr);
		return HR_EXIT_USAGE;
	}
	hr_sb_printf(&name, "%s %s", argv[1], word);
	cmd = hr_command_find(hr_commands, name.data, &near);
	return cmd ? run_verb(cmd, argc - 3, argv + 3) : unknown_verb(name.data, near);
}

int main(int argc, char **argv)
{
	const struct hr_command *cmd;
	const char *verb = argc > 1 ? argv[1] : NULL, *near;

	/* a closed pipe is an error of the write, not the end of an agent */
	signal(SIGPIPE, SIG_IGN);
	if (!verb)
		return program_help(HR_EXIT_USAGE);
	if (hr_streq(verb, "-h") || hr_streq(verb, "--help"))
		return program_help(HR_EXIT_OK);
	if (hr_streq(verb, "--version"))
		verb = "version";
	if (hr_command_is_group(hr_commands, verb))
		return run_group(argc, argv);
	cmd = hr_command_find(hr_commands, verb, &near);
	return cmd ? run_verb(cmd, argc - 2, argv + 2) : unknown_verb(verb, near);
}
