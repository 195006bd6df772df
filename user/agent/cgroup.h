/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup2 directories: where a process is, who is in one, moving, removing. Paths are absolute. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/str.h"

/* Path of a process's cgroup, malloc'ed. -ENOENT, -ESRCH. */
int agent_cgroup_of(pid_t pid, char **out);
/* PATH as the user gave it (absolute, or below the mount) -> absolute and real, malloc'ed.
 * -EINVAL when it is no cgroup2 directory. */
int agent_cgroup_resolve(const char *path, char **out);
/* Name of the cgroup above our own ones: that of the pin directory, as hr_kern_cleanup expects. */
const char *agent_cgroup_base(const char *pin_dir);
int agent_cgroup_make(const char *base, const char *name,
		      char **out); /* ROOT/BASE/NAME, malloc'ed */
int agent_cgroup_move(const char *cgroup, pid_t pid);
/* Calls fn for each process in the cgroup and below it; gives how many, or -errno. */
ssize_t agent_cgroup_pids(const char *cgroup, void (*fn)(void *ctx, pid_t pid), void *ctx);
/* Is a process in it or below it? */
bool agent_cgroup_populated(const char *cgroup);
/* Removes it with the cgroups below; -EBUSY while processes are in it. */
int agent_cgroup_remove(const char *cgroup);
/* Removes ROOT/BASE when it is empty. */
void agent_cgroup_remove_base(const char *base);
