/* SPDX-License-Identifier: Apache-2.0 */
/* The pin directory of an agent, living or dead: DIR/maps/NAME,
 * DIR/links/PROGRAM@CGROUP-ID, DIR/progs/NAME. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/str.h"

/* True when the tables pinned there are of our ABI version. */
bool kern_pins_fit(const char *dir);
/*
 * Ends a data path: programs off the cgroups, connections back to ordinary TCP, pins gone; the
 * directory itself stays. A connection of which an agent holds bytes can not go on by itself and
 * is shut down.
 * Gives how many pins there were; one line each goes to `out` (may be NULL).
 */
int kern_evict(const char *dir, struct hr_strbuf *out);
/* Opens DIR/maps/NAME; -errno. */
int kern_pinned_map(const char *dir, const char *name);
