/* SPDX-License-Identifier: Apache-2.0 */
/* The command table: parsing, -h, completion and the man page all come from it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/str.h"

/* Exit codes of CLI.md. */
enum { HR_EXIT_OK = 0, HR_EXIT_REFUSED = 1, HR_EXIT_USAGE = 2, HR_EXIT_UNREACHABLE = 3 };

enum hr_opt_type { HR_OPT_FLAG, HR_OPT_STRING, HR_OPT_LIST /* repeatable */, HR_OPT_UINT };

struct hr_option {
	const char *name; /* "datapath" for --datapath */
	char letter;	  /* 0: none */
	enum hr_opt_type type;
	const char *arg; /* placeholder in help, "PATH" */
	const char *help;
	const char *choices; /* "auto|kernel|agent", NULL: free */
};

struct hr_args {
	const char *socket; /* --socket, HEADRACE_SOCKET, or the default */
	bool json;	    /* -o json */
	const struct hr_command *cmd;
	size_t npos;
	char **pos;   /* NULL-terminated: exec hands it to execvp */
	void *values; /* by option name: hr_arg_* */
};
bool hr_arg_flag(const struct hr_args *a, const char *name);
const char *hr_arg_str(const struct hr_args *a, const char *name, const char *dflt);
size_t hr_arg_list(const struct hr_args *a, const char *name, const char *const **out);
unsigned long hr_arg_uint(const struct hr_args *a, const char *name, unsigned long dflt);

#define HR_CMD_TAIL 0x01   /* options end at the first operand: the rest is somebody else's */
#define HR_CMD_AGENT 0x02  /* talks to the agent: has --socket */
#define HR_CMD_OUTPUT 0x04 /* shows something: has -o text|json */

/* How many operands, and which words the first may be. */
struct hr_operands {
	size_t min, max;   /* max 0: none, HR_OPERANDS_ANY: no bound */
	const char *words; /* "a|b", NULL: free */
	bool hints;	   /* the words are for completion, others may do */
};
#define HR_OPERANDS_ANY ((size_t)-1)

struct hr_command {
	const char *name; /* "apply"; "canary create" is a verb of the group "canary" */
	const char *synopsis, *summary;
	const char *details; /* paragraphs of the man page, NULL: the summary is enough */
	unsigned flags;	     /* HR_CMD_* */
	struct hr_operands operands;
	const struct hr_option *options;     /* ends with name NULL; NULL: none */
	int (*run)(const struct hr_args *a); /* exit code */
};
extern const struct hr_command hr_commands[]; /* ends with name NULL */

/*
 * Parses what follows the verb. 0; HR_ARGS_HELP when -h was given; -EINVAL with one sentence in
 * `err`. Free `a` in every case. Strings stay those of argv.
 */
#define HR_ARGS_HELP 1
int hr_args_parse(struct hr_args *a, const struct hr_command *cmd, int argc, char **argv,
		  struct hr_strbuf *err);
void hr_args_free(struct hr_args *a);
#define _cleanup_args_ _cleanup_(hr_args_free)

/* i-th option of a command: its own, then those that its flags bring; NULL after the last. */
const struct hr_option *hr_command_option(const struct hr_command *cmd, size_t i);
/* NULL when unknown; then *near may name one that was meant. */
const struct hr_command *hr_command_find(const struct hr_command *table, const char *name,
					 const char **near);

/* Is it the first word of verbs that have two? */
bool hr_command_is_group(const struct hr_command *table, const char *word);

/* Help of the program, of a group, of one verb; the man page (roff); the bash completion script. */
void hr_help_program(const struct hr_command *table, struct hr_strbuf *out);
void hr_help_group(const struct hr_command *table, const char *word, struct hr_strbuf *out);
void hr_help_verb(const struct hr_command *cmd, struct hr_strbuf *out);
void hr_help_man(const struct hr_command *table, struct hr_strbuf *out);
void hr_help_bash(const struct hr_command *table, struct hr_strbuf *out);

#define HR_SOCKET_DEFAULT "/run/headrace/headrace.sock"
