// SPDX-License-Identifier: Apache-2.0
/*
 * Endpoints that change, in the kernel's tables: after each change of the world of endpoint_world.h
 * (and once the rows that only wait are gone) they hold what they hold where every plan was applied
 * whole, and what was counted of endpoints that stay is still there.
 */
#include "endpoint_world.h"
#include "kernbox.h"

#include "kern/apply.h"
#include "kern/internal.h"
#include "plan/compile/ids.h"

static struct hr_plan *build(const struct world *w)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	const struct hr_plan_opts opts = {.cluster_domain = "cluster.local", .node = "n1"};
	_cleanup_sb_ struct hr_strbuf all = {};
	struct hr_decoder *d = hr_decoder_new(0, diags);
	struct hr_plan *p = NULL;

	world_text(w, &all);
	hr_decode_text(d, "t.yaml", all.data, all.len);
	assert_int_equal(hr_plan_build(&p, hr_decoder_finish(d), &opts, diags), 0);
	return p;
}

/* Every row of `a` is one of `b`; gives how many there are. */
static size_t rows_in(const struct bpf_map *a, const struct bpf_map *b)
{
	unsigned char key[512], next[512], x[512], y[512];
	size_t len = bpf_map__value_size(a), n = 0;
	bool more = !bpf_map_get_next_key(bpf_map__fd(a), NULL, next);

	assert_true(bpf_map__key_size(a) <= sizeof(key) && len <= sizeof(x));
	for (; more; n++) {
		memcpy(key, next, bpf_map__key_size(a));
		more = !bpf_map_get_next_key(bpf_map__fd(a), key, next);
		assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(a), key, x), 0);
		if (bpf_map_lookup_elem(bpf_map__fd(b), key, y))
			fail_msg("%s: a row too much", bpf_map__name(a));
		assert_memory_equal(x, y, len);
	}
	return n;
}

static void same_map(const struct bpf_map *a, const struct bpf_map *b)
{
	assert_int_equal(rows_in(a, b), rows_in(b, a));
}

static void same_tables(struct hr_kern *a, struct hr_kern *b)
{
	kern_apply_tick(a, UINT64_MAX);
	kern_apply_tick(b, UINT64_MAX);
	same_map(a->skel->maps.addrs, b->skel->maps.addrs);
	same_map(a->skel->maps.members, b->skel->maps.members);
	same_map(a->skel->maps.vips, b->skel->maps.vips);
	same_map(a->skel->maps.clusters, b->skel->maps.clusters);
	same_map(a->skel->maps.vhosts_by_name, b->skel->maps.vhosts_by_name);
}

/* Numbers of those that are there before and after. */
static void count(struct hr_kern *k, const struct hr_plan *p)
{
	for (size_t i = 0; i < p->eps.len; i++)
		k->ep_rt[p->eps.data[i].id].consecutive_5xx = p->eps.data[i].id;
}

static void still_counted(struct hr_kern *k, const struct hr_plan *was, const struct hr_plan *now)
{
	for (size_t i = 0; i < now->eps.len; i++) {
		uint32_t id = now->eps.data[i].id;
		bool stayed = id < was->n_ep_by_id && was->ep_by_id[id];

		assert_int_equal(k->ep_rt[id].consecutive_5xx, stayed ? id : 0);
	}
}

static void test_as_if_applied(void **state)
{
	struct hr_kern *k = box_open(HR_DATAPATH_AUTO), *whole = NULL;
	_cleanup_sb_ struct hr_strbuf err = {};
	struct hr_ids *ids = hr_ids_new();
	struct hr_plan *p, *kept = NULL;
	struct hr_plan_changes what;
	struct world w = {};
	const char *full = "";
	int changed = 0;

	(void)state;
	assert_int_equal(
		hr_kern_open(&whole, &(struct hr_kern_opts){.pin_dir = BOX_PINS "-2"}, &err), 0);
	srand(7);
	world_init(&w);
	for (int i = 0; i < WORLD_PLACES; i++)
		world_draw(&w.at[i]);
	p = build(&w);
	assert_int_equal(hr_ids_assign(ids, p, &full), 0);
	assert_int_equal(hr_kern_apply(k, p, &full), 0);
	for (int i = 0; i < 80; i++) {
		struct hr_plan *to = world_change(p, &w, &what), *built = build(&w);

		count(k, p);
		assert_int_equal(hr_ids_assign(ids, built, &full), 0);
		if (to && !hr_ids_assign_new(ids, to, &what)) {
			assert_int_equal(hr_kern_change(k, to, p, &what, &full), 0);
			changed++;
		} else {
			hr_plan_free(to);
			to = build(&w);
			assert_int_equal(hr_ids_assign(ids, to, &full), 0);
			assert_int_equal(hr_kern_apply(k, to, &full), 0);
		}
		assert_int_equal(hr_kern_apply(whole, built, &full), 0);
		still_counted(k, p, to);
		same_tables(k, whole);
		hr_plan_free(p);
		hr_plan_free(kept);
		p = to;
		kept = built;
	}
	assert_true(changed > 40);
	hr_kern_close(k);
	hr_kern_close(whole);
	hr_plan_free(p);
	hr_plan_free(kept);
	world_free(&w);
	hr_ids_free(ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_if_applied)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
