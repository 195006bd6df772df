// SPDX-License-Identifier: Apache-2.0
/*
 * The table of captured cgroups: ids are small numbers that are used again, and the file that a
 * restart reads gives the same rows back, whatever else it may hold.
 */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/workloads.h"
#include "core/cleanup.h"
#include "headrace/abi.h"

static struct hr_kv labels[] = {{.key = "app", .value = "a"}, {.key = "version", .value = "v1"}};

static struct hr_workload_row *add(struct hr_workloads *t, const char *cgroup)
{
	const struct hr_workload_row row = {.ns = "default",
					    .name = "w",
					    .cgroup = cgroup,
					    .labels = {labels, 2},
					    .own = true,
					    .origin = "/sys/fs/cgroup/x",
					    .flags = HR_WL_AGENT};

	return hr_workloads_add(t, &row);
}

/* What still counts under the id of a workload that has left must not become another's: a free id
 * comes again after all others. */
static void test_ids_go_round(void **state)
{
	struct hr_workloads *t = hr_workloads_new();
	struct hr_workload_row *b,
		again = {.ns = "default", .name = "w", .cgroup = "/again", .origin = "/", .id = 2};
	uint32_t last = 0;

	(void)state;
	assert_int_equal(add(t, "/a")->id, 1);
	b = add(t, "/b");
	assert_int_equal(b->id, 2);
	assert_int_equal(add(t, "/c")->id, 3);
	hr_workloads_del(t, b);
	assert_null(hr_workloads_find(t, "/b"));
	assert_int_equal(add(t, "/d")->id, 4);
	/* after a restart each has the id that it had */
	assert_int_equal(hr_workloads_add(t, &again)->id, 2);
	assert_int_equal(t->n, 4);
	for (int i = 0; i < HR_WORKLOADS_MAX - 5; i++)
		last = add(t, "/e")->id;
	assert_int_equal(last, HR_WORKLOADS_MAX - 1);
	hr_workloads_del(t, hr_workloads_find(t, "/d"));
	assert_int_equal(add(t, "/f")->id, 4);
	hr_workloads_free(t);
}

/* The map of the kernel has HR_WORKLOADS_MAX entries and id 0 means none. */
static void test_table_is_bounded(void **state)
{
	struct hr_workloads *t = hr_workloads_new();

	(void)state;
	for (int i = 1; i < HR_WORKLOADS_MAX; i++)
		assert_non_null(add(t, "/x"));
	assert_null(add(t, "/y"));
	hr_workloads_free(t);
}

static void test_rows_survive_json(void **state)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	struct hr_workloads *t = hr_workloads_new();
	struct hr_workload_row back = {};
	json_t *j;

	(void)state;
	add(t, "/sys/fs/cgroup/headrace/exec-1");
	j = hr_workloads_json(t);
	assert_int_equal(hr_workload_from_json(arena, json_array_get(j, 0), &back), 0);
	assert_string_equal(back.ns, "default");
	assert_string_equal(back.cgroup, "/sys/fs/cgroup/headrace/exec-1");
	assert_string_equal(back.origin, "/sys/fs/cgroup/x");
	assert_true(back.own);
	assert_int_equal(back.flags, HR_WL_AGENT);
	assert_int_equal(back.labels.len, 2);
	assert_string_equal(back.labels.data[1].value, "v1");
	json_decref(j);
	hr_workloads_free(t);
}

static void test_odd_rows_are_refused(void **state)
{
	static const char *const bad[] = {
		"{}",
		"[]",
		"{\"namespace\":\"a\",\"name\":\"b\"}",
		"{\"namespace\":\"a\",\"name\":\"b\",\"cgroup\":\"relative\"}",
		"{\"namespace\":\"a\",\"name\":3,\"cgroup\":\"/x\"}",
		"{\"namespace\":\"a\",\"name\":\"b\",\"cgroup\":\"/x\",\"labels\":[1]}",
		"{\"namespace\":\"a\",\"name\":\"b\",\"cgroup\":\"/x\",\"labels\":{\"k\":1}}",
	};
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(bad); i++) {
		struct hr_workload_row row = {};
		json_t *j = json_loads(bad[i], 0, NULL);

		assert_non_null(j);
		assert_int_equal(hr_workload_from_json(arena, j, &row), -EINVAL);
		json_decref(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids_go_round),
		cmocka_unit_test(test_table_is_bounded),
		cmocka_unit_test(test_rows_survive_json),
		cmocka_unit_test(test_odd_rows_are_refused),
	};

	return cmocka_run_group_tests_name("agent workloads", tests, NULL, NULL);
}
