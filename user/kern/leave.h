/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a connection leaves the data path alive. Out of the sockhash it is ordinary TCP to the
 * endpoint that it is connected to; but bytes that its psock holds unread would go with the psock,
 * and bytes that the agent holds would never come.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "headrace/abi.h"

/* fds of one data path, ours or a dead agent's; -1: not there */
struct kern_leave {
	int cl_hash, conns, heads, g_tab; /* tables */
	int peek, retire;		  /* programs */
	uint32_t *conns_used; /* the programs' count of `conns`, NULL: nobody reads it again */
};

enum kern_left {
	KERN_LEFT,	/* gone, or ordinary TCP now */
	KERN_BUSY,	/* has unread bytes, or waits for its endpoint */
	KERN_DEPENDENT, /* the agent, or a pooled connection, has its request */
};

/* 0, or -ENOENT when the connection is not known. */
int kern_leave_conn(const struct kern_leave *l, uint64_t cookie, struct hr_conn *out);
/* Lets it leave if this is a good moment. */
enum kern_left kern_leave_try(const struct kern_leave *l, uint64_t cookie);
/* Now: a dependent one sees the end of its stream, a busy one stays in the sockhash as TUNNEL. */
void kern_leave_force(const struct kern_leave *l, uint64_t cookie);
