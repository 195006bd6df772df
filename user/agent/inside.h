/* SPDX-License-Identifier: Apache-2.0 */
/* Doing a thing inside another network namespace. */
#pragma once

/* Runs fn in a thread of its own that has entered the namespace: no thread of ours ever has to
 * find its way back. What fn gives, or -errno. */
int agent_inside(int nsfd, int (*fn)(void *ctx), void *ctx);
