/* SPDX-License-Identifier: Apache-2.0 */
/* Writes to tables that can be taken back: an apply that fails leaves the old plan whole. */
#pragma once

#include <bpf/libbpf.h>
#include <stdbool.h>

#include "core/arena.h"
#include "core/vec.h"

struct kern_undo {
	int fd;
	bool had;
	void *key, *old;
};

struct kern_txn {
	struct hr_arena *arena;
	HR_VEC(struct kern_undo) undo;
	const char *failed; /* name of the table that refused */
	/* What the tables hold is not known (they were adopted): read it before each write. */
	bool look_first;
};

/* `old` is what the table holds under this key, NULL for nothing. Values are of the map's own
 * size. 0, -ENOSPC when the table is full, else -errno. */
int kern_txn_put(struct kern_txn *t, const struct bpf_map *m, const void *key, const void *value,
		 const void *old);
/* For good. */
void kern_txn_commit(struct kern_txn *t);
/* Newest write first. */
void kern_txn_rollback(struct kern_txn *t);
