/* SPDX-License-Identifier: Apache-2.0 */
/* What verbs share: output, colours, tables, sentences on stderr, and the way to the agent. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "cli/command.h"
#include "core/cleanup.h"

/* "headrace check: SENTENCE" on stderr; gives `code` back. */
int hr_fail(const struct hr_args *a, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Writes all of it to stdout. HR_EXIT_OK, or HR_EXIT_REFUSED when stdout does not take it. */
int hr_print(const struct hr_strbuf *sb);
/* The same with a JSON document, indented; the reference stays the caller's. */
int hr_print_json(const json_t *doc);

enum hr_colour { HR_PLAIN, HR_BOLD, HR_RED, HR_YELLOW, HR_GREEN, HR_CYAN };
/* Escape sequences, or "" when stdout is no terminal or NO_COLOR is set. */
const char *hr_colour(enum hr_colour c);

/* Columns as wide as their widest cell, two blanks between; cells are copied. */
struct hr_table {
	size_t cols, len, cap;
	char **cells;
};
void hr_table_row(struct hr_table *t, size_t cols, const char *const *cells);
#define HR_TABLE_ROW(t, ...)                                                      \
	hr_table_row((t), sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), \
		     (const char *[]){__VA_ARGS__})
void hr_table_text(const struct hr_table *t, struct hr_strbuf *out);
void hr_table_free(struct hr_table *t);
#define _cleanup_table_ _cleanup_(hr_table_free)

/* Asks the agent; `req` is stolen. HR_EXIT_OK with *result; else the exit code, already said. */
int hr_ask(const struct hr_args *a, const char *op, json_t *req, json_t **result);
/* The same for long operations (drain of a detach, a wait), milliseconds. */
int hr_ask_within(const struct hr_args *a, const char *op, json_t *req, int timeout_ms,
		  json_t **result);

void hr_json_freep(json_t **j);
#define _cleanup_json_ _cleanup_(hr_json_freep)
/* Text of a member, `dflt` when it is absent or no string. */
const char *hr_jstr(const json_t *obj, const char *key, const char *dflt);
int64_t hr_jint(const json_t *obj, const char *key);
double hr_jnum(const json_t *obj, const char *key);
