// SPDX-License-Identifier: Apache-2.0
/* Writes to tables that can be taken back. */
#include "kern/txn.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "core/cleanup.h"

static void *keep(struct kern_txn *t, const void *data, size_t size)
{
	void *p = hr_arena_alloc(t->arena, size);

	return memcpy(p, data, size);
}

static const void *look(struct kern_txn *t, const struct bpf_map *m, const void *key)
{
	void *p = hr_arena_alloc(t->arena, bpf_map__value_size(m));

	return bpf_map_lookup_elem(bpf_map__fd(m), key, p) ? NULL : p;
}

int kern_txn_put(struct kern_txn *t, const struct bpf_map *m, const void *key, const void *value,
		 const void *old)
{
	struct kern_undo u = {.fd = bpf_map__fd(m)};

	if (!t->arena)
		t->arena = hr_arena_new();
	if (!old && t->look_first)
		old = look(t, m, key);
	if (bpf_map_update_elem(u.fd, key, value, BPF_ANY)) {
		t->failed = bpf_map__name(m);
		return errno == E2BIG ? -ENOSPC : -errno;
	}
	u.key = keep(t, key, bpf_map__key_size(m));
	u.had = old != NULL;
	if (old)
		u.old = keep(t, old, bpf_map__value_size(m));
	hr_vec_push(&t->undo, u);
	return 0;
}

void kern_txn_commit(struct kern_txn *t)
{
	hr_vec_free(&t->undo);
	hr_arena_free(t->arena);
	t->arena = NULL;
}

void kern_txn_rollback(struct kern_txn *t)
{
	while (t->undo.len) {
		struct kern_undo *u = &t->undo.data[--t->undo.len];

		if (u->had)
			bpf_map_update_elem(u->fd, u->key, u->old, BPF_ANY);
		else
			bpf_map_delete_elem(u->fd, u->key);
	}
	kern_txn_commit(t);
}
