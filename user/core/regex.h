/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions in RE2's syntax, matched in time linear in the input: pattern -> tree ->
 * Thompson NFA -> DFA, built whole when it stays small, else the NFA is simulated. Compiled once,
 * then only read: any number of threads may match with one.
 *
 * Text is bytes: "." and a negated class take one byte, (?i) folds ASCII. A character outside of
 * ASCII is a literal of several bytes. Full match only; groups do not capture. What RE2 refuses
 * (back-references, look-around, possessive operators) is refused by name; so are Unicode classes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/arena.h"

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
