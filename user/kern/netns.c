// SPDX-License-Identifier: Apache-2.0
/* Network namespaces: who they are, and the ports that serve them. */
#include <errno.h>
#include <sys/socket.h>

#include "core/cleanup.h"
#include "kern/internal.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

int hr_netns_cookie(uint64_t *out)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t cookie;
	socklen_t len = sizeof(cookie);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len))
		return -errno;
	*out = cookie;
	return 0;
}

int hr_kern_netns_set(struct hr_kern *k, uint64_t netns_cookie, const struct hr_netns *v)
{
	if (bpf_map_update_elem(KERN_MAP_FD(k, netns), &netns_cookie, v, BPF_ANY))
		return errno == E2BIG ? -ENOSPC : -errno;
	return 0;
}

int hr_kern_netns_del(struct hr_kern *k, uint64_t netns_cookie)
{
	return bpf_map_delete_elem(KERN_MAP_FD(k, netns), &netns_cookie) ? -errno : 0;
}

int hr_kern_names_set(struct hr_kern *k, uint64_t netns_cookie, uint32_t k8s_ns,
		      const struct hr_names *v)
{
	const struct hr_names_key key = {.netns = netns_cookie, .k8s_ns = k8s_ns};

	if (bpf_map_update_elem(KERN_MAP_FD(k, names), &key, v, BPF_ANY))
		return errno == E2BIG ? -ENOSPC : -errno;
	return 0;
}

int hr_kern_names_del(struct hr_kern *k, uint64_t netns_cookie, uint32_t k8s_ns)
{
	const struct hr_names_key key = {.netns = netns_cookie, .k8s_ns = k8s_ns};

	return bpf_map_delete_elem(KERN_MAP_FD(k, names), &key) ? -errno : 0;
}
