/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions in RE2's syntax, matched in time linear in the input: pattern -> tree ->
 * Thompson NFA -> DFA, built whole when it stays small, else the NFA is simulated. Compiled once,
 * then only read: any number of threads may match with one.
 *
 * Text is bytes: "." and a negated class take one byte, (?i) folds ASCII. A character outside of
 * ASCII is a literal of several bytes. Groups capture only where text is replaced. What RE2 refuses
 * (back-references, look-around, possessive operators) is refused by name; so are Unicode classes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/arena.h"
#include "core/str.h"

struct hr_regex;

struct hr_regex_error {
	const char *why; /* static text */
	size_t at;	 /* byte of the pattern, from 0 */
};

/* In the arena. 0, -EINVAL (not RE2's syntax) or -E2BIG (over a limit of limits.h): *err says. */
int hr_regex_new(struct hr_arena *a, const char *pattern, struct hr_regex **out,
		 struct hr_regex_error *err);
/* Is all of the text a match? */
bool hr_regex_full(const struct hr_regex *re, const char *text, size_t n);
/* States of the DFA; 0: too many, the NFA is simulated. */
unsigned hr_regex_states(const struct hr_regex *re);

/* ---- replacing (regex_sub.c) ---- */

struct hr_regex_sub;

/* Pattern and what takes the place of each of its matches: \0 is the match, \1 to \9 are groups,
 * \\ is a backslash. As hr_regex_new; *of_rewrite: err is about the second text. */
int hr_regex_sub_new(struct hr_arena *a, const char *pattern, const char *rewrite,
		     struct hr_regex_sub **out, struct hr_regex_error *err, bool *of_rewrite);
/* The text with all its matches replaced, leftmost first, appended to `out` (RE2's GlobalReplace).
 * -E2BIG: longer than `max` bytes, or more work than HR_REGEX_SUB_STEPS. */
int hr_regex_sub(const struct hr_regex_sub *s, const char *text, size_t n, size_t max,
		 struct hr_strbuf *out);
