/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs; each lives in the file of its name (help and completion: version.c). Exit codes. */
#pragma once

#include "cli/command.h"

int hr_verb_run(const struct hr_args *a);
int hr_verb_check(const struct hr_args *a);
int hr_verb_explain(const struct hr_args *a);
int hr_verb_status(const struct hr_args *a);
int hr_verb_top(const struct hr_args *a);
int hr_verb_routes(const struct hr_args *a);
int hr_verb_endpoints(const struct hr_args *a);
int hr_verb_breakers(const struct hr_args *a);
int hr_verb_apply(const struct hr_args *a);
int hr_verb_get(const struct hr_args *a);
int hr_verb_delete(const struct hr_args *a);
int hr_verb_canary_create(const struct hr_args *a);
int hr_verb_canary_weights(const struct hr_args *a);
int hr_verb_canary_promote(const struct hr_args *a);
int hr_verb_canary_rollback(const struct hr_args *a);
int hr_verb_canary_status(const struct hr_args *a);
int hr_verb_canary_run(const struct hr_args *a);
int hr_verb_breaker_enable(const struct hr_args *a);
int hr_verb_breaker_disable(const struct hr_args *a);
int hr_verb_breaker_status(const struct hr_args *a);
int hr_verb_exec(const struct hr_args *a);
int hr_verb_attach(const struct hr_args *a);
int hr_verb_detach(const struct hr_args *a);
int hr_verb_datapath(const struct hr_args *a);
int hr_verb_cleanup(const struct hr_args *a);
int hr_verb_demo(const struct hr_args *a);
int hr_verb_version(const struct hr_args *a);
int hr_verb_completion(const struct hr_args *a);
int hr_verb_help(const struct hr_args *a);
