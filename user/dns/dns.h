/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS for hosts without a cluster DNS: enrolled processes' port 53 is redirected here. Names of the
 * mesh are answered from the plan; all others go untouched to the system's resolvers, whose answers
 * come back untouched. One object on one loop serves every namespace; all calls are for the loop's
 * own thread.
 */
#pragma once

#include <stdint.h>

#include "core/loop.h"
#include "plan/plan.h"

struct hr_dns;

struct hr_dns_opts {
	const char *resolv_conf; /* NULL: /etc/resolv.conf; read again when it changes */
	uint16_t port;		 /* of the resolvers, 0: 53 */
	uint32_t try_ms;	 /* one try of one resolver, 0: HR_DNS_TRY_MS */
	/* A non-blocking close-on-exec socket in the client's namespace `netns` (what hr_dns_serve
	 * got), so that the resolver sees the client's address; NULL is the agent's own namespace,
	 * for resolvers on loopback. fd or -errno. */
	int (*open_socket)(void *ctx, void *netns, int family, int type);
	void *ctx;
};

int hr_dns_new(struct hr_dns **out, struct hr_loop *loop, const struct hr_dns_opts *opts);
void hr_dns_free(struct hr_dns *d); /* NULL is fine */

/* Bound (TCP: listening) non-blocking sockets of one namespace; -1 where there is none. */
struct hr_dns_socks {
	int udp4, tcp4, udp6, tcp6;
};

/* Serves a namespace until hr_dns_forget(netns). Takes the fds over, also on failure. `k8s_ns`:
 * Kubernetes namespace in which short names of its clients resolve first; NULL: "default". */
int hr_dns_serve(struct hr_dns *d, const struct hr_dns_socks *socks, void *netns,
		 const char *k8s_ns);
void hr_dns_forget(struct hr_dns *d, void *netns);

/* Takes a copy of the plan's names: the plan may go afterwards. */
void hr_dns_publish(struct hr_dns *d, const struct hr_plan *plan);

struct hr_dns_stats {
	uint64_t queries, mesh, forwarded, malformed;
	uint64_t failed;   /* no resolver answered: SERVFAIL */
	uint64_t overload; /* refused, too many were outstanding: SERVFAIL */
	uint64_t spoofed;  /* answers that did not fit their query, dropped */
	uint32_t outstanding, tcp_clients;
};
void hr_dns_stats(const struct hr_dns *d, struct hr_dns_stats *out);
