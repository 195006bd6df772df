/* SPDX-License-Identifier: Apache-2.0 */
/* A visit to another network namespace. */
#pragma once

#include "headrace/abi.h"

/*
 * Runs fn(ctx) with the calling thread inside the namespace of nsfd (/proc/PID/ns/net), and comes
 * back. A socket belongs for good to the namespace its thread was in when it was made. Gives what
 * fn gives, or -errno when the namespace could not be entered; aborts when the way back is barred,
 * because every later socket of the thread would be in the wrong place.
 */
int hr_netns_run(int nsfd, int (*fn)(void *ctx), void *ctx);
/* Addresses that connections from the calling thread's namespace usually come from: the first of an
 * interface that is up and not loopback, IPv4 and IPv6 (not link-local). Untouched where there is
 * none. */
void hr_netns_home(struct hr_addr out[static 2]);
