/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of `canary` and `breaker` share: operands, requests, results. */
#pragma once

#include "cli/command.h"
#include "cli/term.h"

/* {"service": first operand, "namespace": -n, "dryRun": --dry-run} */
json_t *hr_split_request(const struct hr_args *a);
/* Asks and shows: the YAML with --dry-run, the result with -o json, else a line an object and the
 * weights. Warnings to stderr. `req` is stolen; exit code. */
int hr_split_ask(const struct hr_args *a, const char *op, json_t *req);
/* "NAME=NUMBER" -> out[NAME]. HR_EXIT_USAGE, said. */
int hr_split_weight(const struct hr_args *a, const char *word, json_t *out);
/* "v1 90, v2 10" of a result's sides. */
void hr_split_sides_text(const json_t *sides, struct hr_strbuf *out);
/* The side of this place (0: stable, 1: canary) in a canaryStatus. */
const json_t *hr_split_side(const json_t *status, size_t i);
/* Duration option in ms, `dflt` when it was not given. HR_EXIT_USAGE, said. */
int hr_split_duration(const struct hr_args *a, const char *name, int64_t dflt, int64_t *ms);
