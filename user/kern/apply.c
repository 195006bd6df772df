// SPDX-License-Identifier: Apache-2.0
/*
 * A plan into the tables while requests run.
 *
 *	1. rows that nothing leads to yet: replies, addresses, match rows, balancing tables of
 *	   clusters that are new; then the tables of the others
 *	2. what leads to them, one element each: clusters, vhosts, names, vips
 *	3. names and vips that went
 *	4. after KERN_GRACE_MS: rows that nothing leads to any more
 *
 * A failure in 1 or 2 takes back what was written. A change of weights only is step 2 alone, on
 * the rule rows in place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "kern/apply.h"
#include "kern/internal.h"
#include "kern/txn.h"

/* The least that rows must have aged when their place is needed at once. */
#define GRACE_PRESSED_MS 100

uint64_t kern_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void *old_of(const struct hr_map *m, const struct hr_map_iter *it)
{
	return m ? hr_map_get(m, it->key, it->key_len) : NULL;
}

/* One table of plain values: what is new or different. */
static int put_changed(struct kern_txn *t, const struct bpf_map *m, const struct hr_map *want,
		       const struct hr_map *have)
{
	struct hr_map_iter it = {};

	while (hr_map_next(want, &it)) {
		const void *old = old_of(have, &it);

		if (old && !memcmp(old, it.value, bpf_map__value_size(m)))
			continue;
		int e = kern_txn_put(t, m, it.key, it.value, old);

		if (e)
			return e;
	}
	return 0;
}

/* ---- step 1 --------------------------------------------------------------------------------- */

static int put_replies(struct hr_kern *k, struct kern_txn *t)
{
	struct kern_replies *r = &k->apply->replies;

	for (uint32_t i = 0; i < HR_REPLIES_MAX; i++) {
		if (!r->dirty[i])
			continue;
		/* nothing to take back: no rule names the place of a failed apply */
		int e = kern_txn_put(t, k->skel->maps.replies, &i, &r->at[i], &r->at[i]);

		if (e)
			return e;
	}
	return 0;
}

static int put_match_rows(struct hr_kern *k, struct kern_txn *t, const struct kern_vhost *v)
{
	const struct kern_table *tab = v->table;
	struct hr_block_key bk = {.table = tab->number};
	struct hr_rule_key rk = {.table = tab->number};
	int e = 0;

	for (; !e && bk.block < tab->nblocks; bk.block++)
		e = kern_txn_put(t, k->skel->maps.blocks, &bk, &v->plan->blocks[bk.block], NULL);
	for (uint32_t i = 0; !e && i < tab->nconds; i++)
		e = kern_txn_put(t, k->skel->maps.conds, &tab->cond_keys[i], &v->plan->conds[i],
				 NULL);
	for (uint32_t i = 0; !e && i < tab->nprefixes; i++)
		e = kern_txn_put(t, k->skel->maps.prefix_conds, &tab->prefix_keys[i],
				 &v->plan->prefixes[i], NULL);
	for (uint32_t i = 0; !e && i < tab->nedits; i++)
		e = kern_txn_put(t, k->skel->maps.edits, &tab->edit_keys[i], &tab->edits[i], NULL);
	for (; !e && rk.index < tab->nrules; rk.index++)
		e = kern_txn_put(t, k->skel->maps.rules, &rk, &v->rules[rk.index], NULL);
	return e;
}

static int put_tables(struct hr_kern *k, struct kern_txn *t, const struct hr_rows *want)
{
	struct hr_map_iter it = {};
	int e = 0;

	while (!e && hr_map_next(want->vhosts, &it)) {
		const struct kern_vhost *v = it.value;

		if (v->fresh)
			e = put_match_rows(k, t, v);
	}
	return e;
}

static int put_unseen(struct hr_kern *k, struct kern_txn *t, const struct hr_rows *want)
{
	const struct hr_rows *have = k->apply->rows;
	int e = put_replies(k, t);

	if (!e)
		e = put_changed(t, k->skel->maps.addrs, want->addrs, have ? have->addrs : NULL);
	if (!e)
		e = put_changed(t, k->skel->maps.members, want->members,
				have ? have->members : NULL);
	if (!e)
		e = put_tables(k, t, want);
	return e;
}

/* ---- step 2 --------------------------------------------------------------------------------- */

/* Weights and other properties of routes, under a table that stays. */
static int put_rules_in_place(struct hr_kern *k, struct kern_txn *t, const struct kern_vhost *v,
			      const struct kern_vhost *was)
{
	struct hr_rule_key key = {.table = v->table->number};

	for (; key.index < v->table->nrules; key.index++) {
		const struct hr_rule *rule = &v->rules[key.index], *old = &was->rules[key.index];

		if (!memcmp(rule, old, sizeof(*rule)))
			continue;
		int e = kern_txn_put(t, k->skel->maps.rules, &key, rule, old);

		if (e)
			return e;
	}
	return 0;
}

static int put_vhosts(struct hr_kern *k, struct kern_txn *t, const struct hr_rows *want)
{
	const struct hr_map *have = k->apply->rows ? k->apply->rows->vhosts : NULL;
	struct hr_map_iter it = {};
	int e = 0;

	while (!e && hr_map_next(want->vhosts, &it)) {
		const struct kern_vhost *v = it.value, *was = old_of(have, &it);

		if (was && !v->fresh)
			e = put_rules_in_place(k, t, v, was);
		if (!e && !(was && !memcmp(&was->value, &v->value, sizeof(v->value))))
			e = kern_txn_put(t, k->skel->maps.vhosts, it.key, &v->value,
					 was ? &was->value : NULL);
	}
	return e;
}

static int put_visible(struct hr_kern *k, struct kern_txn *t, const struct hr_rows *want)
{
	const struct hr_rows *have = k->apply->rows;
	int e = put_changed(t, k->skel->maps.clusters, want->clusters,
			    have ? have->clusters : NULL);

	if (!e)
		e = put_vhosts(k, t, want);
	if (!e)
		e = put_changed(t, k->skel->maps.vhosts_by_name, want->names,
				have ? have->names : NULL);
	if (!e)
		e = put_changed(t, k->skel->maps.splits, want->splits, have ? have->splits : NULL);
	if (!e)
		e = put_changed(t, k->skel->maps.vips, want->vips, have ? have->vips : NULL);
	return e;
}

/* ---- step 3 and what follows a success ------------------------------------------------------ */

static void delete_gone(const struct bpf_map *m, const struct hr_map *have,
			const struct hr_map *want)
{
	struct hr_map_iter it = {};

	while (hr_map_next(have, &it))
		if (!hr_map_get(want, it.key, it.key_len))
			bpf_map_delete_elem(bpf_map__fd(m), it.key);
}

static void reset_outlier(struct hr_ep_rt *rt)
{
	__atomic_store_n(&rt->consecutive_5xx, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&rt->consecutive_gateway, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&rt->consecutive_local, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&rt->limit_5xx, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&rt->limit_gateway, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&rt->limit_local, 0, __ATOMIC_RELAXED);
}

/* An id that comes into use again starts from zero; what is in flight goes on being counted. */
void kern_reset_ep(struct hr_kern *k, uint32_t ep)
{
	if (ep >= HR_EPS_MAX)
		return;
	kern_counters_zero(k->skel->maps.ep_stats, k->apply->used_eps, ep);
	__atomic_store_n(&k->ep_rt[ep].flags, 0, __ATOMIC_RELAXED);
	reset_outlier(&k->ep_rt[ep]);
}

static void reset_ids(struct hr_kern *k, const struct hr_rows *want)
{
	const struct hr_rows *have = k->apply->rows;
	struct hr_map_iter it = {};

	while (hr_map_next(want->members, &it)) {
		if (!old_of(have ? have->members : NULL, &it))
			kern_reset_ep(k, *(const uint32_t *)it.value);
	}
	it = (struct hr_map_iter){};
	while (hr_map_next(want->routes, &it)) {
		uint32_t id;

		memcpy(&id, it.key, sizeof(id));
		if (id < HR_ROUTES_MAX && !old_of(have ? have->routes : NULL, &it))
			kern_counters_zero(k->skel->maps.route_stats, k->apply->used_routes, id);
	}
}

static void settle_replies(struct hr_kern *k, const struct hr_rows *want, uint64_t now)
{
	struct kern_replies *r = &k->apply->replies;

	for (size_t i = 0; i < HR_REPLIES_MAX; i++) {
		r->dirty[i] = false;
		if (want->reply_used[i])
			r->free_at[i] = UINT64_MAX;
		else if (r->free_at[i] == UINT64_MAX)
			r->free_at[i] = now + KERN_GRACE_MS;
	}
}

static void settle(struct hr_kern *k, struct hr_rows *want, uint32_t generation)
{
	struct hr_rows *have = k->apply->rows;
	uint64_t now = kern_now_ms();
	struct hr_map_iter it = {};

	if (have) {
		delete_gone(k->skel->maps.vips, have->vips, want->vips);
		delete_gone(k->skel->maps.vhosts_by_name, have->names, want->names);
		kern_stale_add(k, have, want, now + KERN_GRACE_MS);
	} else if (k->adopted) {
		kern_stale_sweep(k, now + KERN_GRACE_MS);
	}
	settle_replies(k, want, now);
	while (hr_map_next(want->vhosts, &it)) {
		struct kern_vhost *v = it.value;

		v->fresh = false;
		v->plan = NULL; /* the plan may be freed before us */
	}
	k->apply->rows = want;
	kern_rows_free(have);
	k->config.generation = generation;
	kern_write_config(k);
}

/* ---- apply ---------------------------------------------------------------------------------- */

static int try_apply(struct hr_kern *k, const struct hr_plan *plan, const char **what)
{
	struct hr_apply *a = k->apply;
	struct kern_txn t = {.look_first = k->adopted && !a->rows};
	struct hr_rows *want =
		kern_rows_build(plan, a->rows, &a->numbers, &a->replies, kern_now_ms());
	int e;

	reset_ids(k, want);
	t.failed = "slots";
	e = hr_tables_prepare(k->tables, plan, kern_now_ms());
	if (!e)
		e = put_unseen(k, &t, want);
	if (!e)
		e = put_visible(k, &t, want);
	if (e) {
		*what = t.failed;
		kern_txn_rollback(&t);
		kern_write_config(k); /* requests may have seen what was taken back */
		kern_rows_free(want);
		hr_tables_drop(k->tables, kern_now_ms());
		return e;
	}
	kern_txn_commit(&t);
	hr_tables_flip(k->tables, plan, kern_now_ms());
	settle(k, want, (uint32_t)plan->generation);
	return 0;
}

int hr_kern_apply(struct hr_kern *k, const struct hr_plan *plan, const char **what)
{
	const char *failed = "";
	int e;

	kern_apply_tick(k, kern_now_ms());
	e = try_apply(k, plan, &failed);
	if (e == -ENOSPC && kern_stale_pending(k)) {
		/* full of rows that only wait for their grace time to end */
		struct timespec ts = {.tv_nsec = GRACE_PRESSED_MS * 1000000L};

		nanosleep(&ts, NULL);
		kern_apply_tick(k, UINT64_MAX);
		e = try_apply(k, plan, &failed);
	}
	if (e)
		*what = failed;
	return e;
}

int kern_apply_init(struct hr_kern *k)
{
	struct hr_apply *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	const struct hr_words words = hr_kern_words(k);

	k->apply = a;
	k->tables = hr_tables_new(&words);
	kern_replies_init(&a->replies);
	if (k->adopted) {
		/* whatever counted before has counted something */
		memset(a->used_eps, 1, sizeof(a->used_eps));
		memset(a->used_routes, 1, sizeof(a->used_routes));
		kern_adopted_numbers(k);
		kern_adopted_replies(k);
	}
	return kern_meters_init(k);
}

void kern_apply_free(struct hr_kern *k)
{
	struct hr_apply *a = k->apply;

	if (!a)
		return;
	kern_stale_free(k);
	kern_rows_free(a->rows);
	free(a);
	k->apply = NULL;
	hr_tables_free(TAKE_PTR(k->tables));
}
