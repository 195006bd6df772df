// SPDX-License-Identifier: Apache-2.0
/* Late deletions. */
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "kern/apply.h"
#include "kern/internal.h"

static struct hr_map *live_map(const struct hr_rows *r, size_t offset)
{
	return *(struct hr_map *const *)((const char *)r + offset);
}

static void push(struct hr_kern *k, struct kern_stale s)
{
	hr_vec_push(&k->apply->stale, s);
}

void kern_stale_key(struct hr_kern *k, const struct bpf_map *m, size_t rows, const void *key,
		    size_t len, uint64_t at)
{
	struct kern_stale s = {.at = at, .kind = STALE_KEY, .map = m, .live = rows};

	memcpy(s.key, key, len);
	push(k, s);
}

static void add_keys(struct hr_kern *k, const struct bpf_map *m, const struct hr_rows *have,
		     const struct hr_rows *want, size_t offset, uint64_t at)
{
	struct hr_map_iter it = {};

	while (hr_map_next(live_map(have, offset), &it)) {
		if (!hr_map_get(live_map(want, offset), it.key, it.key_len))
			kern_stale_key(k, m, offset, it.key, it.key_len, at);
	}
}

/* At once: an absent row only says that the endpoint of an open connection is not a member of the
 * cluster any more, and that its next request must go elsewhere. */
static void delete_members(struct hr_kern *k, const struct hr_rows *have,
			   const struct hr_rows *want)
{
	struct hr_map_iter it = {};

	while (hr_map_next(have->members, &it))
		if (!hr_map_get(want->members, it.key, it.key_len))
			bpf_map_delete_elem(KERN_MAP_FD(k, members), it.key);
}

void kern_stale_add(struct hr_kern *k, const struct hr_rows *have, const struct hr_rows *want,
		    uint64_t at)
{
	struct hr_map_iter it = {};

	while (hr_map_next(have->vhosts, &it)) {
		const struct kern_vhost *v = it.value;
		const struct kern_vhost *now = hr_map_get(want->vhosts, it.key, it.key_len);

		if (now && now->table == v->table)
			continue;
		v->table->refs++;
		push(k, (struct kern_stale){.at = at, .kind = STALE_TABLE, .table = v->table});
	}
	add_keys(k, k->skel->maps.vhosts, have, want, offsetof(struct hr_rows, vhosts), at);
	add_keys(k, k->skel->maps.clusters, have, want, offsetof(struct hr_rows, clusters), at);
	add_keys(k, k->skel->maps.splits, have, want, offsetof(struct hr_rows, splits), at);
	delete_members(k, have, want);
	add_keys(k, k->skel->maps.addrs, have, want, offsetof(struct hr_rows, addrs), at);
}

void kern_stale_sweep(struct hr_kern *k, uint64_t at)
{
	push(k, (struct kern_stale){.at = at, .kind = STALE_SWEEP});
}

bool kern_stale_pending(const struct hr_kern *k)
{
	return k->apply->stale.len != 0;
}

/* ---- deletion ------------------------------------------------------------------------------- */

static void delete_table(struct hr_kern *k, const struct kern_table *t)
{
	struct hr_block_key bk = {.table = t->number};
	struct hr_rule_key rk = {.table = t->number};

	for (; bk.block < t->nblocks; bk.block++)
		bpf_map_delete_elem(KERN_MAP_FD(k, blocks), &bk);
	for (; rk.index < t->nrules; rk.index++)
		bpf_map_delete_elem(KERN_MAP_FD(k, rules), &rk);
	for (uint32_t i = 0; i < t->nedits; i++)
		bpf_map_delete_elem(KERN_MAP_FD(k, edits), &t->edit_keys[i]);
	for (uint32_t i = 0; i < t->nconds; i++)
		bpf_map_delete_elem(KERN_MAP_FD(k, conds), &t->cond_keys[i]);
	for (uint32_t i = 0; i < t->nprefixes; i++)
		bpf_map_delete_elem(KERN_MAP_FD(k, prefix_conds), &t->prefix_keys[i]);
}

/* ---- sweep: every key of a map is judged ---- */

static void sweep(const struct bpf_map *m, const struct hr_map *live, size_t at, size_t len)
{
	unsigned char key[sizeof(struct hr_prefix_key)], next[sizeof(key)];
	int fd = bpf_map__fd(m);
	bool more = !bpf_map_get_next_key(fd, NULL, next);

	_Static_assert(sizeof(key) >= sizeof(struct hr_cond_key), "the longest key");
	while (more) {
		memcpy(key, next, sizeof(key));
		more = !bpf_map_get_next_key(fd, key, next);
		if (!hr_map_get(live, key + at, len))
			bpf_map_delete_elem(fd, key);
	}
}

static void delete_unknown(struct hr_kern *k)
{
	const struct hr_rows *r = k->apply->rows;
	_cleanup_map_ struct hr_map *tables = hr_map_new();
	struct hr_map_iter it = {};

	while (hr_map_next(r->vhosts, &it)) {
		const struct kern_vhost *v = it.value;

		hr_map_put(tables, &v->table->number, 4, it.value);
	}
	sweep(k->skel->maps.splits, r->splits, 0, sizeof(uint32_t));
	sweep(k->skel->maps.vips, r->vips, 0, sizeof(struct hr_vip_key));
	sweep(k->skel->maps.vhosts_by_name, r->names, 0, sizeof(struct hr_vhost_key));
	sweep(k->skel->maps.vhosts, r->vhosts, 0, 4);
	sweep(k->skel->maps.clusters, r->clusters, 0, 4);
	sweep(k->skel->maps.addrs, r->addrs, 0, 4);
	sweep(k->skel->maps.members, r->members, 0, sizeof(struct hr_member_key));
	sweep(k->skel->maps.blocks, tables, offsetof(struct hr_block_key, table), 4);
	sweep(k->skel->maps.edits, tables, offsetof(struct hr_edit_key, table), 4);
	sweep(k->skel->maps.rules, tables, offsetof(struct hr_rule_key, table), 4);
	sweep(k->skel->maps.conds, tables, offsetof(struct hr_cond_key, table), 4);
	sweep(k->skel->maps.prefix_conds, tables, offsetof(struct hr_prefix_key, table), 4);
}

static void delete_stale(struct hr_kern *k, const struct kern_stale *s)
{
	switch (s->kind) {
	case STALE_TABLE:
		delete_table(k, s->table);
		kern_table_unref(s->table);
		break;
	case STALE_KEY:
		if (!hr_map_get(live_map(k->apply->rows, s->live), s->key,
				bpf_map__key_size(s->map)))
			bpf_map_delete_elem(bpf_map__fd(s->map), s->key);
		break;
	case STALE_SWEEP:
		delete_unknown(k);
		break;
	}
}

void kern_apply_tick(struct hr_kern *k, uint64_t now_ms)
{
	struct hr_apply *a = k->apply;
	size_t n = 0;

	hr_tables_tick(k->tables, now_ms);
	while (n < a->stale.len && a->stale.data[n].at <= now_ms)
		delete_stale(k, &a->stale.data[n++]);
	if (!n)
		return;
	a->stale.len -= n;
	memmove(a->stale.data, a->stale.data + n, a->stale.len * sizeof(*a->stale.data));
}

void kern_stale_free(struct hr_kern *k)
{
	struct kern_stale *s;

	hr_vec_for_each (s, &k->apply->stale)
		if (s->kind == STALE_TABLE)
			kern_table_unref(s->table);
	hr_vec_free(&k->apply->stale);
}

void kern_counters_zero(const struct bpf_map *m, unsigned char *used, uint32_t id)
{
	_cleanup_free_ void *zero = NULL;

	if (!used[id]) {
		used[id] = 1;
		return;
	}
	zero = calloc((size_t)libbpf_num_possible_cpus(), sizeof(struct hr_stats));
	if (zero)
		bpf_map_update_elem(bpf_map__fd(m), &id, zero, BPF_ANY);
}
