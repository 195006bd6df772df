// SPDX-License-Identifier: Apache-2.0
/* setns(2) there and back: no thread is made, so a visit costs microseconds. */
#include "core/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sched.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "core/net.h"

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

static bool usable(const struct hr_addr *a)
{
	return hr_addr_is4(a) || !(a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80);
}

void hr_netns_home(struct hr_addr out[static 2])
{
	struct ifaddrs *list, *i;
	bool have[2] = {false, false};

	if (getifaddrs(&list))
		return;
	for (i = list; i; i = i->ifa_next) {
		struct hr_addr a;
		uint16_t port;
		int f;

		if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK) ||
		    hr_addr_from_sockaddr(i->ifa_addr, &a, &port) || !usable(&a))
			continue;
		f = !hr_addr_is4(&a);
		if (!have[f])
			out[f] = a;
		have[f] = true;
	}
	freeifaddrs(list);
}
