// SPDX-License-Identifier: Apache-2.0
/* Plans into the tables of the real kernel: what is written, what stays, what goes, and when. */
#include "kernbox.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>

#include "planbox.h"

static const struct planbox small = {
	.vhosts = 3, .conds = 4, .eps = 2, .weight = 95, .variant = 'a'};

static int apply(struct hr_kern *k, struct planbox b, const char **what)
{
	struct hr_plan *p = planbox_make(b);
	int e = hr_kern_apply(k, p, what);

	if (e)
		planbox_free(p);
	else
		planbox_in_use(p);
	return e;
}

static void apply_ok(struct hr_kern *k, struct planbox b)
{
	const char *what = "?";

	if (apply(k, b, &what))
		fail_msg("apply failed on %s", what);
}

/* As anybody sees it: through the pin. */
static int look(const char *table, const void *key, void *value)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), BOX_PINS "/maps/%s", table);
	_cleanup_close_ int fd = bpf_obj_get(path);

	return bpf_map_lookup_elem(fd, key, value);
}

static uint32_t table_of(uint32_t vhost)
{
	struct hr_vhost v;

	assert_int_equal(look("vhosts", &vhost, &v), 0);
	return v.table;
}

static struct hr_rule rule_of(uint32_t vhost)
{
	struct hr_rule_key key = {.table = table_of(vhost)};
	struct hr_rule r;

	assert_int_equal(look("rules", &key, &r), 0);
	return r;
}

static void wait_grace(struct hr_kern *k)
{
	usleep(2100 * 1000);
	assert_int_equal(hr_kern_poll(k), 0);
}

static void assert_holds(struct hr_kern *k, struct planbox b)
{
	assert_int_equal(box_used(k, "vips"), b.vhosts);
	assert_int_equal(box_used(k, "vhosts"), b.vhosts);
	assert_int_equal(box_used(k, "vhosts_by_name"), b.vhosts);
	assert_int_equal(box_used(k, "blocks"), b.vhosts);
	assert_int_equal(box_used(k, "rules"), b.vhosts);
	assert_int_equal(box_used(k, "conds"), b.vhosts * b.conds);
	assert_int_equal(box_used(k, "prefix_conds"), b.vhosts);
	assert_int_equal(box_used(k, "clusters"), 2 * b.vhosts);
	assert_int_equal(box_used(k, "members"), 2 * b.vhosts * b.eps);
	assert_int_equal(box_used(k, "addrs"), 2 * b.vhosts * b.eps);
}

static void test_rows(void **state)
{
	struct hr_vip_key vk = {.ip = "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x60\0\1",
				.port_be = htons(80)};
	struct hr_vhost_key nk = {.port = 80, .len = 2, .host = "s1"};
	struct hr_cond_key ck = {.len = 4, .value = "/a/3"};
	struct hr_kern *k = *state;
	struct hr_cond cond;
	struct hr_vip vip;
	uint32_t id = 0;

	apply_ok(k, small);
	assert_holds(k, small);
	assert_int_equal(look("vips", &vk, &vip), 0);
	assert_int_equal(vip.vhost, 2);
	assert_int_equal(vip.cluster, 3);
	assert_int_equal(look("vhosts_by_name", &nk, &id), 0);
	assert_int_equal(id, 2);
	ck.table = table_of(2);
	assert_int_equal(look("conds", &ck, &cond), 0);
	assert_int_equal(cond.pos.w[0], 1);
	struct hr_rule r = rule_of(2);

	assert_int_equal(r.route, 2);
	assert_int_equal(r.total, 100);
	assert_int_equal(r.dst[0].cluster, 3);
	assert_int_equal(r.dst[0].cum, 95);
	assert_int_equal(r.dst[1].cum, 100);
}

/* The well-known answers are there before any plan is, and are what the proxy would say. */
static void test_replies(void **state)
{
	static const char uh[] = "HTTP/1.1 503 Service Unavailable\r\n"
				 "content-type: text/plain\r\ncontent-length: 19\r\n"
				 "server: headrace\r\n\r\nno healthy upstream";
	uint32_t place = HR_REPLY_UH;
	struct hr_reply r;

	apply_ok(*state, small);
	assert_int_equal(look("replies", &place, &r), 0);
	assert_int_equal(r.len, sizeof(uh) - 1);
	assert_int_equal(r.head_len, sizeof(uh) - 1 - 19);
	assert_memory_equal(r.bytes, uh, r.len);
}

/* A change of weights is an element in place: same table, no new row, nothing to delete later. */
static void test_weights_in_place(void **state)
{
	struct planbox other = small;
	uint32_t table;

	apply_ok(*state, small);
	table = table_of(1);
	other.weight = 50;
	apply_ok(*state, other);
	assert_int_equal(table_of(1), table);
	assert_int_equal(rule_of(1).dst[0].cum, 50);
	assert_holds(*state, small);
}

/* Another match is another table, beside the old one for the grace time. */
static int edit_of(uint32_t vhost, uint32_t dst)
{
	struct hr_edit_key key = {table_of(vhost), 0, dst};
	struct hr_edit e;

	return look("edits", &key, &e);
}

/* What is added to heads is where the rule that says so looks for it: also when all that changes is
 * whose route it is (weights that were all 0), or which destination has it. */
static void test_edits(void **state)
{
	struct hr_kern *k = *state;
	struct planbox b = small;

	b.edit = 1;
	b.agent = true;
	apply_ok(k, b);
	assert_int_equal(rule_of(2).action, HR_ACT_AGENT);
	b.agent = false;
	apply_ok(k, b);
	assert_int_equal(rule_of(2).action, HR_ACT_ROUTE);
	assert_true(rule_of(2).flags & HR_RULE_EDIT);
	assert_int_equal(edit_of(2, 0), 0);
	b.edit = 2;
	apply_ok(k, b);
	assert_int_equal(edit_of(2, 1), 0);
	assert_int_not_equal(edit_of(2, 0), 0);
	apply_ok(k, small);
}

static void test_new_table(void **state)
{
	struct planbox other = small;
	uint32_t table;

	apply_ok(*state, small);
	table = table_of(1);
	other.variant = 'b';
	apply_ok(*state, other);
	assert_int_not_equal(table_of(1), table);
	assert_int_equal(box_used(*state, "conds"), 2 * small.vhosts * small.conds);
	wait_grace(*state);
	assert_holds(*state, other);
}

static void test_shrink(void **state)
{
	struct planbox less = small;

	apply_ok(*state, small);
	less.vhosts = 1;
	less.eps = 1;
	apply_ok(*state, less);
	/* nobody finds the way any more, at once */
	assert_int_equal(box_used(*state, "vips"), 1);
	assert_int_equal(box_used(*state, "vhosts_by_name"), 1);
	wait_grace(*state);
	assert_holds(*state, less);
}

/* What was to be deleted late is in use again by then: it stays. */
static void test_comes_back(void **state)
{
	struct planbox less = small;

	apply_ok(*state, small);
	less.vhosts = 1;
	apply_ok(*state, less);
	apply_ok(*state, small);
	wait_grace(*state);
	assert_holds(*state, small);
}

/* A table that is full: the old plan is whole, nothing of the new one is left. */
static void test_full(void **state)
{
	struct planbox huge = small;
	const char *what = "";
	uint32_t table;

	apply_ok(*state, small);
	table = table_of(1);
	huge.variant = 'h';
	huge.eps = 3;
	huge.conds = HR_CONDS_MAX / small.vhosts + 1;
	assert_int_equal(apply(*state, huge, &what), -ENOSPC);
	assert_string_equal(what, "conds");
	assert_int_equal(table_of(1), table);
	assert_holds(*state, small);
}

/* Two versions of 40,000 conditions do not fit beside each other twice: the third apply has to
 * wait for the first version's rows to go, and does. */
static void test_pressed(void **state)
{
	struct planbox big = small;

	big.conds = 10000;
	for (int i = 0; i < 4; i++) {
		big.variant = (char)('a' + i);
		apply_ok(*state, big);
	}
	wait_grace(*state);
	assert_holds(*state, big);
}

/* Nothing leaks: rows after 1,000 changes are the rows of one plan. */
static void test_alternate(void **state)
{
	struct planbox other = small;

	other.variant = 'b';
	other.eps = 3;
	other.weight = 10;
	for (int i = 0; i < 500; i++) {
		apply_ok(*state, small);
		apply_ok(*state, other);
	}
	wait_grace(*state);
	assert_holds(*state, other);
}

static int open_one(void **state)
{
	*state = box_open(HR_DATAPATH_KERNEL);
	return 0;
}

static int close_one(void **state)
{
	hr_kern_close(*state);
	planbox_in_use(NULL);
	return box_wipe(state);
}

#define KERN_TEST(fn) cmocka_unit_test_setup_teardown(fn, open_one, close_one)

int main(void)
{
	const struct CMUnitTest tests[] = {
		KERN_TEST(test_rows),
		KERN_TEST(test_replies),
		KERN_TEST(test_weights_in_place),
		KERN_TEST(test_edits),
		KERN_TEST(test_new_table),
		KERN_TEST(test_shrink),
		KERN_TEST(test_comes_back),
		KERN_TEST(test_full),
		KERN_TEST(test_pressed),
		KERN_TEST(test_alternate),
	};

	return box_run(tests, HR_ARRAY_SIZE(tests));
}
