// SPDX-License-Identifier: Apache-2.0
// The sockets of the DNS server: one UDP and one TCP socket of the same port per family, on the
// loopback of each namespace that is served.
#include "agent/names.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "core/cleanup.h"
#include "core/netns.h"

#define TRIES 16 /* ports that are free for UDP and not for TCP, before giving up */

struct pair {
	int udp, tcp;
	uint16_t port;
};

static int bound(int family, int type, uint16_t *port)
{
	struct sockaddr_in a4 = {.sin_family = AF_INET,
				 .sin_port = htons(*port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6,
				  .sin6_port = htons(*port),
				  .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr *sa = family == AF_INET ? (void *)&a4 : (void *)&a6;
	socklen_t n = family == AF_INET ? sizeof(a4) : sizeof(a6);
	_cleanup_close_ int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;

	if (fd < 0)
		return -errno;
	/* the loopback interface may be down until the doors are opened */
	setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one));
	if (bind(fd, sa, n) < 0 || getsockname(fd, sa, &n) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 64) < 0))
		return -errno;
	*port = ntohs(family == AF_INET ? a4.sin_port : a6.sin6_port);
	return TAKE_FD(fd);
}

static int open_pair(int family, struct pair *out)
{
	int r = -EADDRINUSE;

	for (int i = 0; i < TRIES && r == -EADDRINUSE; i++) {
		struct pair p = {.udp = -1, .tcp = -1};

		r = p.udp = bound(family, SOCK_DGRAM, &p.port);
		if (r < 0)
			return r;
		r = p.tcp = bound(family, SOCK_STREAM, &p.port);
		if (r >= 0) {
			*out = p;
			return 0;
		}
		close(p.udp);
	}
	return r;
}

struct both {
	struct pair v4, v6;
};

static int open_both(void *ctx)
{
	struct both *b = ctx;
	int r = open_pair(AF_INET, &b->v4);

	if (r == 0 && open_pair(AF_INET6, &b->v6) < 0)
		b->v6 = (struct pair){.udp = -1, .tcp = -1}; /* no IPv6 there */
	return r;
}

int agent_names_serve(struct hr_dns *dns, int nsfd, void *netns, const char *k8s_ns,
		      struct hr_netns *ports)
{
	struct both b = {};
	struct hr_dns_socks socks;
	int r = hr_netns_run(nsfd, open_both, &b);

	if (r < 0)
		return r;
	socks = (struct hr_dns_socks){
		.udp4 = b.v4.udp, .tcp4 = b.v4.tcp, .udp6 = b.v6.udp, .tcp6 = b.v6.tcp};
	r = hr_dns_serve(dns, &socks, netns, k8s_ns);
	if (r < 0)
		return r;
	ports->dns_port = b.v4.port;
	ports->dns6_port = b.v6.port;
	return 0;
}

struct plain {
	int family, type;
};

static int open_plain(void *ctx)
{
	const struct plain *p = ctx;
	int fd = socket(p->family, p->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int agent_names_socket(int nsfd, int family, int type)
{
	struct plain p = {.family = family, .type = type};

	return nsfd < 0 ? open_plain(&p) : hr_netns_run(nsfd, open_plain, &p);
}
