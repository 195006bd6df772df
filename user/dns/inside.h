/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the DNS room: the object, the namespaces it serves, and queries under way. */
#pragma once

#include <sys/socket.h>

#include "core/list.h"
#include "core/loop.h"
#include "dns/dns.h"
#include "dns/message.h"
#include "dns/names.h"
#include "dns/resolv.h"

/* Forwarded queries under way, of all namespaces and of one (each holds a socket). */
#define HR_DNS_OUTSTANDING_MAX 1024
#define HR_DNS_OUTSTANDING_NS_MAX 256
/* TCP clients of one namespace. */
#define HR_DNS_TCP_MAX 64
#define HR_DNS_TCP_IDLE_MS 10000
/* One try of one resolver; libc waits 5 s in all, so two tries fit. */
#define HR_DNS_TRY_MS 2000
#define HR_DNS_TRIES 4
#define HR_DNS_TTL 5 /* seconds: endpoints and addresses change */

struct hr_dns {
	struct hr_loop *loop;
	struct hr_dns_opts opts;
	char *resolv_path;
	struct hr_resolv resolv;
	uint64_t resolv_checked; /* loop time */
	struct hr_dns_names *names;
	struct hr_list spaces; /* struct hr_dns_space */
	struct hr_dns_stats stats;
};

struct hr_dns_listener {
	struct hr_dns_space *space;
	struct hr_watch *watch;
	int fd;
};

struct hr_dns_space {
	struct hr_list link;
	struct hr_dns *d;
	void *netns;
	char k8s_ns[64];
	struct hr_dns_listener udp[2], tcp[2]; /* IPv4, IPv6 */
	struct hr_list queries;		       /* struct hr_dns_forward */
	struct hr_list clients;		       /* struct hr_dns_client: TCP */
	uint32_t nqueries, nclients;
};

/* Where an answer goes: a datagram, or a TCP client. */
struct hr_dns_reply_to {
	int udp_fd; /* -1: TCP */
	struct sockaddr_storage peer;
	socklen_t peer_len;
	struct hr_dns_client *client;
};

/* Reads one query and answers it, now or later. -EBADMSG: there is nothing to answer. */
int hr_dns_handle(struct hr_dns_space *s, const uint8_t *p, size_t n,
		  const struct hr_dns_reply_to *to);
void hr_dns_reply(const struct hr_dns_reply_to *to, const uint8_t *p, size_t n);

/* Sends a query to the resolvers as it is, but for its id. The answer goes to `to`; when there is
 * none, SERVFAIL does. */
void hr_dns_forward(struct hr_dns_space *s, const struct hr_dns_query *q, const uint8_t *p,
		    size_t n, const struct hr_dns_reply_to *to);
/* Forgets the queries of a namespace, or (client not NULL) of one TCP client; nobody is answered.
 */
void hr_dns_forward_drop(struct hr_dns_space *s, struct hr_dns_client *client);

void hr_dns_client_accept(struct hr_dns_space *s, int listen_fd);
/* The answer to the query that the client waits for. */
void hr_dns_client_reply(struct hr_dns_client *c, const uint8_t *p, size_t n);
void hr_dns_clients_close(struct hr_dns_space *s);
