/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a kill -9: the programs ran on, with the tables of an agent whose sockets are gone. The
 * next agent adopts tables, captures and connections; what only the dead one could have finished
 * is shut down.
 */
#pragma once

struct hr_kern;

/* The tables are mapped, no socket of ours is in them yet. */
void kern_take_over(struct hr_kern *k);
