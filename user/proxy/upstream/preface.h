/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server of a cluster must hear before any byte of the client: the PROXY protocol header
 * (DestinationRule trafficPolicy.proxyProtocol; haproxy's proxy-protocol.txt) and, for connections
 * that nobody looks into, CONNECT through a forward proxy (trafficPolicy.tunnel; RFC 9110 section
 * 9.3.6). Such a connection speaks for one client: it is new, and not kept.
 */
#pragma once

#include "plan/plan.h"

struct px_up;
struct px_client;
struct px_preface;

static inline bool px_preface_wanted(const struct hr_plan_cluster *c, bool opaque)
{
	return c && (c->proxy_protocol || (opaque && c->tunnel));
}
/* For a connection that has just been asked for; `opaque`: it carries no requests. -ENOMEM. */
int px_preface_set(struct px_up *u, const struct hr_plan_cluster *c, const struct px_client *client,
		   bool opaque);
void px_preface_free(struct px_up *u);
/* Connected, or more has come: 1 the client's turn, 0 an answer is awaited, -errno. */
int px_preface_run(struct px_up *u);
