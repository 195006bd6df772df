/* SPDX-License-Identifier: Apache-2.0 */
/* What exec, attach and detach share: who a workload is, and which processes are meant. */
#pragma once

#include <jansson.h>

#include "cli/command.h"

/* Identity options -> request; `name` is used without --workload. 0, or HR_EXIT_USAGE, said. */
int hr_identity_json(const struct hr_args *a, const char *name, json_t *req);
/* --cgroup, --pid, --unit -> request, and a name for what they say in *name (malloc'ed). 0, or an
 * exit code, said. */
int hr_target_json(const struct hr_args *a, json_t *req, char **name);
