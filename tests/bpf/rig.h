/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rig for the data path without the agent: the real BPF object, a little plan written by hand,
 * two servers, and the least of an agent (G slots that answer, U pools, relay).
 *
 *	client (in a cgroup of its own) -> VIP 10.99.0.1:80, fd99::1:80
 *		endpoint 1 (addr 1)  127.0.0.1, ::1	endpoint 2 (addr 2)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "headrace/abi.h"

#define RIG_VIP4 "10.99.0.1"
#define RIG_VIP6 "fd99::1"
#define RIG_PORT 80	      /* proto HTTP1 */
#define RIG_PORT_AUTO 81      /* proto AUTO */
#define RIG_PORT_TCP 82	      /* opaque */
#define RIG_PORT_DOOR 83      /* HR_VIP_AGENT */
#define RIG_PORT_EMPTY 84     /* a cluster without endpoints */
#define RIG_PORT_NEAR_TCP 85  /* opaque, and may skip TCP */
#define RIG_DNS4 "10.99.0.53" /* nobody is there: the rig's DNS answers "dns:" and the question */
#define RIG_DNS6 "fd99::53"
#define RIG_G 40 /* G slots */
#define RIG_U 4	 /* U slots of each pool */

/* What the `x-to` header asks for; the rest goes to endpoint 1. Path /p/... goes to endpoint 2. */
#define RIG_TO_TWO "two"
#define RIG_TO_DENY "deny"	   /* 403 in place */
#define RIG_TO_AGENT "agent"	   /* bound */
#define RIG_TO_RR "rr"		   /* round robin over both */
#define RIG_TO_NONE "none"	   /* cluster without endpoints: 503 in place */
#define RIG_TO_FULL "full"	   /* cluster with a breaker at one request */
#define RIG_TO_TIMED "timed"	   /* endpoint 1, RIG_TIMEOUT_MS */
#define RIG_TO_TIMED2 "timed2"	   /* endpoint 2, the same */
#define RIG_TO_PATIENT "patient"   /* endpoint 1, RIG_PATIENCE_MS: in time on a busy machine, too */
#define RIG_TO_PATIENT2 "patient2" /* endpoint 2, the same */
#define RIG_TO_RETRY "retry"	   /* endpoint 1, 5xx is tried again: by the rig's agent */
#define RIG_TO_RETRY2 "retry2"	   /* endpoint 2, the same */
#define RIG_TO_HELD "held"	   /* as retry, but only answers that are held */
#define RIG_TO_EDIT "edit"	   /* endpoint 1, RIG_ADDED in its head */
#define RIG_TO_EDIT2 "edit2"	   /* endpoint 2, the same */
#define RIG_ADDED "x-added: by the kernel\r\n"
#define RIG_GONE "x-gone" /* with this name the agent has it */
#define RIG_TIMEOUT_MS 60
#define RIG_PATIENCE_MS 400

/* Servers are captured as well and have non-blocking sockets: connections to them are paired. Set
 * before rig_start. */
extern bool rig_near;

/* Loads, attaches, starts servers and agent. 0 or -1 with a line on stderr. */
int rig_start(void);
void rig_stop(void);
/* The calling process becomes a captured client. */
int rig_enter_cgroup(void);

void rig_agent_only(bool on);
/* Other rules for the rig's host: every request is denied. */
void rig_deny_all(bool on);
/* No agent slot is free. */
void rig_no_agent(bool on);
/* The agent lives, or has not been seen for long. */
void rig_beat(bool on);
/* Answers that the agent gave in the kernel's place. */
int rig_taken(void);
/* Events that ask for the end of a client. */
int rig_ended(void);
/* A pool whose U slots are taken: the next move finds none. */
void rig_pool_block(bool on);

uint64_t rig_why(enum hr_why w);
uint64_t rig_pairs(enum hr_pair_count what);
/* Unread bytes of pairs, and how many the node may have. */
int64_t rig_pairs_held(void);
void rig_pairs_bound(int64_t bytes);
void rig_route_stats(uint32_t route, struct hr_stats *out);
void rig_ep_stats(uint32_t ep, struct hr_stats *out);
int rig_conns(void);	/* entries in the table */
int rig_inflight(void); /* sum over endpoints and clusters */
int rig_busy(void);	/* U and G slots in use */
/* What connect() asked for, by its port at door A; false when nobody was there. */
bool rig_door(uint16_t port, struct hr_door *out);
uint16_t rig_door_port(void);
