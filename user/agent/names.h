/* SPDX-License-Identifier: Apache-2.0 */
/* DNS sockets inside network namespaces. */
#pragma once

#include "dns/dns.h"
#include "headrace/abi.h"

/* Opens them in the namespace of `nsfd`, gives them to the server and fills dns_port and
 * dns6_port. `netns` is the server's handle of the namespace. */
int agent_names_serve(struct hr_dns *dns, int nsfd, void *netns, const char *k8s_ns,
		      struct hr_netns *ports);
/* A socket towards a resolver, from the namespace (-1: the agent's own). */
int agent_names_socket(int nsfd, int family, int type);
