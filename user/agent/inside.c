// SPDX-License-Identifier: Apache-2.0
// A visit to a network namespace, by a thread that lives no longer than the visit.
#include "agent/inside.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

struct visit {
	int nsfd, result;
	int (*fn)(void *ctx);
	void *ctx;
};

static void *go(void *arg)
{
	struct visit *v = arg;

	v->result = setns(v->nsfd, CLONE_NEWNET) < 0 ? -errno : v->fn(v->ctx);
	return NULL;
}

int agent_inside(int nsfd, int (*fn)(void *ctx), void *ctx)
{
	struct visit v = {.nsfd = nsfd, .fn = fn, .ctx = ctx};
	pthread_t t;
	int r = pthread_create(&t, NULL, go, &v);

	if (r)
		return -r;
	pthread_join(t, NULL);
	return v.result;
}
