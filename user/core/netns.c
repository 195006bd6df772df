// SPDX-License-Identifier: Apache-2.0
/* setns(2) there and back: no thread is made, so a visit costs microseconds. */
#include "core/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>

#include "core/cleanup.h"
#include "core/log.h"

int hr_netns_run(int nsfd, int (*fn)(void *ctx), void *ctx)
{
	_cleanup_close_ int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int r;

	if (home < 0 || setns(nsfd, CLONE_NEWNET) < 0)
		return -errno;
	r = fn(ctx);
	if (setns(home, CLONE_NEWNET) < 0) {
		hr_err("cannot come back to the agent's own network namespace");
		abort();
	}
	return r;
}
