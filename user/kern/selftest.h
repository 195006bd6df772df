/* SPDX-License-Identifier: Apache-2.0 */
/* Start-up trial of the sockmap behaviours the data path stands on (DESIGN "Kernels"). */
#pragma once

#include "kern/kern.h"

#define HR_SELFTEST_ROWS 28
#define HR_SELFTEST_DETAIL 160

struct hr_selftest {
	struct hr_kern_feature rows[HR_SELFTEST_ROWS];
	char details[HR_SELFTEST_ROWS][HR_SELFTEST_DETAIL];
	size_t n;
};

/*
 * Runs every trial over loopback sockets of the calling thread's namespace; takes at most about a
 * second also on a kernel that hangs. Fills one row a trial.
 * 0 when every required row is ok, -ENOTSUP when one is not (its row says what was seen).
 */
int hr_selftest_run(struct hr_selftest *t);
