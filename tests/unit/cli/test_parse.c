// SPDX-License-Identifier: Apache-2.0
/*
 * One row of a command table decides how a line is read, what -h says and what bash completes.
 *
 *	headrace fly --speed 3 -f a -fb -f=c north      options by name, letter, glued, repeated
 *	headrace launch -v -- prog -x                   after `--` (or the first word) nothing is
 *ours
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "core/cleanup.h"

static int nothing(const struct hr_args *a)
{
	(void)a;
	return 0;
}

static const struct hr_option fly_options[] = {
	{"speed", 's', HR_OPT_UINT, "N", "how fast", NULL},
	{"file", 'f', HR_OPT_LIST, "PATH", "what to take along", NULL},
	{"datapath", 0, HR_OPT_STRING, "MODE", "which way", "auto|kernel|agent"},
	{"verbose", 'v', HR_OPT_FLAG, NULL, "say more", NULL},
	{},
};

static const struct hr_command table[] = {
	{"fly",
	 "[OPTION]... [DIRECTION]",
	 "Fly somewhere",
	 NULL,
	 HR_CMD_AGENT | HR_CMD_OUTPUT,
	 {0, 1, "north|south", false},
	 fly_options,
	 nothing},
	{"launch",
	 "-- CMD...",
	 "Launch a thing.\n.not a request",
	 NULL,
	 HR_CMD_TAIL,
	 {1, HR_OPERANDS_ANY, NULL, false},
	 fly_options,
	 nothing},
	{"dock open", "", "Open the dock", NULL, 0, {0, 1, "left|right", false}, NULL, nothing},
	{"dock close", "", "Close the dock", NULL, 0, {}, fly_options, nothing},
	{},
};

#define PARSE(a, cmd, err, ...)                                          \
	({                                                               \
		static char *words[] = {__VA_ARGS__};                    \
		hr_args_parse(a, cmd, HR_ARRAY_SIZE(words), words, err); \
	})

static void test_options_in_every_spelling(void **state)
{
	_cleanup_args_ struct hr_args a = {};
	_cleanup_sb_ struct hr_strbuf err = {};
	const char *const *files;

	(void)state;
	unsetenv("HEADRACE_SOCKET");
	assert_int_equal(PARSE(&a, &table[0], &err, "--speed", "3", "-f", "a", "-fb", "-f=c",
			       "north", "--file=-", "--datapath=kernel", "-vo", "json"),
			 0);
	assert_int_equal(hr_arg_uint(&a, "speed", 9), 3);
	assert_int_equal(hr_arg_list(&a, "file", &files), 4);
	assert_string_equal(files[0], "a");
	assert_string_equal(files[1], "b");
	assert_string_equal(files[2], "c");
	assert_string_equal(files[3], "-");
	assert_string_equal(hr_arg_str(&a, "datapath", "auto"), "kernel");
	assert_true(hr_arg_flag(&a, "verbose"));
	assert_true(a.json);
	assert_int_equal(a.npos, 1);
	assert_string_equal(a.pos[0], "north");
	assert_null(a.pos[1]);
	assert_string_equal(a.socket, HR_SOCKET_DEFAULT);
}

/* --socket wins over the environment, which wins over the default. */
static void test_socket_precedence(void **state)
{
	_cleanup_args_ struct hr_args a = {}, b = {};
	_cleanup_sb_ struct hr_strbuf err = {};

	(void)state;
	setenv("HEADRACE_SOCKET", "/tmp/env.sock", 1);
	assert_int_equal(PARSE(&a, &table[0], &err, "north"), 0);
	assert_string_equal(a.socket, "/tmp/env.sock");
	assert_int_equal(PARSE(&b, &table[0], &err, "--socket", "/tmp/own.sock"), 0);
	assert_string_equal(b.socket, "/tmp/own.sock");
	unsetenv("HEADRACE_SOCKET");
}

/* What follows the command is the command's, however much it looks like ours. */
static void test_tail_is_untouched(void **state)
{
	_cleanup_args_ struct hr_args a = {}, b = {};
	_cleanup_sb_ struct hr_strbuf err = {};

	(void)state;
	assert_int_equal(PARSE(&a, &table[1], &err, "-v", "--", "-odd", "-h", "--speed"), 0);
	assert_true(hr_arg_flag(&a, "verbose"));
	assert_int_equal(a.npos, 3);
	assert_string_equal(a.pos[0], "-odd");
	assert_int_equal(PARSE(&b, &table[1], &err, "prog", "-v", "--", "x"), 0);
	assert_false(hr_arg_flag(&b, "verbose"));
	assert_int_equal(b.npos, 4);
	assert_string_equal(b.pos[2], "--");
}

static void refused(const struct hr_command *cmd, const char *line, const char *because)
{
	_cleanup_args_ struct hr_args a = {};
	_cleanup_sb_ struct hr_strbuf err = {};
	_cleanup_free_ char *copy = strdup(line);
	char *words[16], *save = NULL;
	int n = 0;

	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	assert_int_equal(hr_args_parse(&a, cmd, n, words, &err), -EINVAL);
	if (!strstr(hr_sb_str(&err), because))
		fail_msg("\"%s\" says \"%s\", not \"%s\"", line, hr_sb_str(&err), because);
}

static void test_usage_errors_say_what(void **state)
{
	(void)state;
	refused(&table[0], "--sped 3", "did you mean --speed?");
	refused(&table[0], "-x", "unknown option -x");
	refused(&table[0], "--speed", "needs a value, N");
	refused(&table[0], "--speed 1x", "\"1x\" is not a number");
	refused(&table[0], "--speed -1", "not a number");
	refused(&table[0], "--speed 99999999999", "not a number");
	refused(&table[0], "--datapath=kern", "not one of auto|kernel|agent");
	refused(&table[0], "--datapath=", "not one of");
	refused(&table[0], "--verbose=yes", "takes no value");
	refused(&table[0], "north south", "\"south\" is one operand too many");
	refused(&table[0], "east", "not one of north|south");
	refused(&table[1], "-v", "operand is missing");
}

static void test_help_wins_over_missing_operands(void **state)
{
	_cleanup_args_ struct hr_args a = {};
	_cleanup_sb_ struct hr_strbuf err = {}, out = {};

	(void)state;
	assert_int_equal(PARSE(&a, &table[1], &err, "-h"), HR_ARGS_HELP);
	hr_help_verb(&table[0], &out);
	assert_non_null(strstr(out.data, "-f, --file PATH"));
	assert_non_null(strstr(out.data, "--datapath MODE"));
	assert_non_null(strstr(out.data, "auto|kernel|agent"));
	assert_non_null(strstr(out.data, "--socket PATH"));
}

static void test_unknown_verb_is_guessed(void **state)
{
	const char *near = NULL;

	(void)state;
	assert_ptr_equal(hr_command_find(table, "fly", &near), &table[0]);
	assert_null(hr_command_find(table, "lunch", &near));
	assert_string_equal(near, "launch");
	assert_null(hr_command_find(table, "swim", &near));
	assert_null(near);
}

/* Two words name a verb of a group; the group alone is none. */
static void test_groups(void **state)
{
	_cleanup_sb_ struct hr_strbuf out = {};
	const char *near = NULL;

	(void)state;
	assert_ptr_equal(hr_command_find(table, "dock close", &near), &table[3]);
	assert_null(hr_command_find(table, "dock", &near));
	assert_null(hr_command_find(table, "dock opne", &near));
	assert_string_equal(near, "dock open");
	assert_true(hr_command_is_group(table, "dock"));
	assert_false(hr_command_is_group(table, "doc"));
	assert_false(hr_command_is_group(table, "fly"));
	hr_help_group(table, "dock", &out);
	assert_non_null(strstr(out.data, "  close      Close the dock"));
	assert_null(strstr(out.data, "Fly"));
}

/* A text line that starts with a dot would be a roff request and vanish. */
static void test_man_page_escapes(void **state)
{
	_cleanup_sb_ struct hr_strbuf out = {};

	(void)state;
	hr_help_man(table, &out);
	assert_non_null(strstr(out.data, "\n\\&.not a request"));
	assert_non_null(strstr(out.data, "\\-\\-speed \\fIN\\fR"));
}

/* bash itself is asked: does the generated script complete verbs, options and values? */
static void test_bash_completes(void **state)
{
	static const struct {
		const char *words, *index, *expect;
	} cases[] = {
		{"headrace f", "1", "fly"},
		{"headrace fly --sp", "2", "--speed"},
		{"headrace fly --datapath k", "3", "kernel"},
		{"headrace fly -o j", "3", "json"},
		{"headrace fly so", "2", "south"},
		{"headrace do", "1", "dock"},
		{"headrace dock cl", "2", "close"},
		{"headrace dock open ri", "3", "right"},
		{"headrace dock close --datapath a", "4", "auto"},
	};
	_cleanup_sb_ struct hr_strbuf script = {};
	char path[] = "/tmp/headrace-test-completion-XXXXXX", line[512], got[64];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	hr_help_bash(table, &script);
	assert_int_equal(write(fd, script.data, script.len), (ssize_t)script.len);
	close(fd);
	for (size_t i = 0; i < HR_ARRAY_SIZE(cases); i++) {
		snprintf(line, sizeof(line),
			 "cd /var/empty 2>/dev/null || cd /proc/self/net; bash -c '. %s; "
			 "COMP_WORDS=(%s); COMP_CWORD=%s; "
			 "_headrace; echo \"${COMPREPLY[0]}\"'",
			 path, cases[i].words, cases[i].index);
		FILE *p = popen(line, "r");
		assert_non_null(p);
		assert_non_null(fgets(got, sizeof(got), p));
		got[strcspn(got, "\n")] = 0;
		assert_string_equal(got, cases[i].expect);
		assert_int_equal(pclose(p), 0);
	}
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_in_every_spelling),
		cmocka_unit_test(test_socket_precedence),
		cmocka_unit_test(test_tail_is_untouched),
		cmocka_unit_test(test_usage_errors_say_what),
		cmocka_unit_test(test_help_wins_over_missing_operands),
		cmocka_unit_test(test_unknown_verb_is_guessed),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_man_page_escapes),
		cmocka_unit_test(test_bash_completes),
	};

	return cmocka_run_group_tests_name("cli parse", tests, NULL, NULL);
}
