/* SPDX-License-Identifier: Apache-2.0 */
/* The command table: parsing, -h, completion and the man page all come from it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Exit codes of CLI.md. */
enum { HR_EXIT_OK = 0, HR_EXIT_REFUSED = 1, HR_EXIT_USAGE = 2, HR_EXIT_UNREACHABLE = 3 };

enum hr_opt_type { HR_OPT_FLAG, HR_OPT_STRING, HR_OPT_LIST /* repeatable */, HR_OPT_UINT };

struct hr_option {
	const char *name; /* "datapath" for --datapath */
	char letter;	  /* 0: none */
	enum hr_opt_type type;
	const char *arg;    /* placeholder in help, "PATH" */
	const char *help;
	const char *choices; /* "auto|kernel|agent", NULL: free */
};

struct hr_args {
	const char *socket; /* --socket, HEADRACE_SOCKET, or the default */
	bool json;	    /* -o json */
	const struct hr_command *cmd;
	size_t npos;
	char **pos;
	void *values; /* by option name: hr_arg_* */
};
bool hr_arg_flag(const struct hr_args *a, const char *name);
const char *hr_arg_str(const struct hr_args *a, const char *name, const char *dflt);
size_t hr_arg_list(const struct hr_args *a, const char *name, const char *const **out);
unsigned long hr_arg_uint(const struct hr_args *a, const char *name, unsigned long dflt);

struct hr_command {
	const char *name, *synopsis, *summary;
	const struct hr_option *options; /* ends with name NULL */
	int (*run)(const struct hr_args *a); /* exit code */
};
extern const struct hr_command hr_commands[]; /* ends with name NULL */
