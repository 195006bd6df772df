// SPDX-License-Identifier: Apache-2.0
/*
 * Ids are names' for life: counters and in-flight numbers survive a reload.
 *
 *	plan 1: a b     plan 2: a c     plan 3: a c     plan 4: a c d   ... plan 100: a c e
 *	ids     1 2             1 3             1 3             1 3 4                  1 3 2   (b's)
 *
 * An id that is given again too soon is worse than none: an open connection knows where it goes by
 * the address id, so requests for the new owner went to the old one's server.
 */
#include "planof.h"

#include <errno.h>
#include <stdio.h>

static struct hr_plan *services(const char *names)
{
	_cleanup_sb_ struct hr_strbuf text = {0};

	for (const char *c = names; *c; c++)
		hr_sb_printf(&text,
			     "apiVersion: v1\nkind: Service\nmetadata: {name: s%c}\n"
			     "spec: {clusterIP: 10.9.0.%d, ports: [{name: http, port: 80}]}\n---\n"
			     "apiVersion: v1\nkind: Endpoints\nmetadata: {name: s%c}\n"
			     "subsets: [{addresses: [{ip: 192.0.2.%d}, {ip: 192.0.2.200}],"
			     " ports: [{name: http, port: 80}]}]\n---\n",
			     *c, *c, *c, *c);
	return plan_of(text.data);
}

static const struct hr_plan_vhost *vhost(const struct hr_plan *p, const char *name)
{
	struct hr_plan_match m = ask(p, 80, name, "/");

	assert_non_null(m.vhost);
	return m.vhost;
}

static void assign(struct hr_ids *ids, struct hr_plan *p)
{
	const char *what = NULL;

	assert_int_equal(hr_ids_assign(ids, p, &what), 0);
}

static void test_stable(void **state)
{
	struct hr_ids *ids = hr_ids_new();
	_cleanup_plan_ struct hr_plan *one = services("ab"), *two = services("ac"),
				      *three = services("ca"), *four = services("acd"),
				      *five = services("ace");
	uint32_t a, b, c;

	(void)state;
	assign(ids, one);
	a = vhost(one, "sa")->id;
	b = vhost(one, "sb")->id;
	assert_true(a && b && a != b);
	assign(ids, two);
	c = vhost(two, "sc")->id;
	assert_int_equal(vhost(two, "sa")->id, a);
	assert_true(c != b); /* connections of b may still drain */
	assign(ids, three);
	assert_int_equal(vhost(three, "sa")->id, a);
	assert_int_equal(vhost(three, "sc")->id, c);
	assign(ids, four);
	assert_true(vhost(four, "sd")->id > c); /* something may know b's yet */
	for (int i = 0; i < 100; i++)
		assign(ids, three);
	assign(ids, five);
	/* the place that is free the longest, under a number of its own */
	assert_int_equal(vhost(five, "se")->id & 0xffff, b);
	assert_true(vhost(five, "se")->id != b);
	hr_ids_free(ids);
}

/* An address has one id whatever clusters it is in; an endpoint has one in each. */
static void test_addresses(void **state)
{
	struct hr_ids *ids = hr_ids_new();
	_cleanup_plan_ struct hr_plan *p = services("ab");
	const struct hr_plan_ep *e = p->eps.data;

	(void)state;
	assign(ids, p);
	assert_int_equal(p->eps.len, 4);
	assert_int_equal(e[1].addr_id, e[3].addr_id);
	assert_true(e[1].id != e[3].id);
	assert_true(e[0].addr_id != e[2].addr_id);
	assert_string_equal(hr_ids_addr_name(ids, e[1].addr_id), "192.0.2.200:80");
	assert_string_equal(hr_ids_ep_name(ids, e[3].id),
			    "outbound|80||sb.default.svc.cluster.local 192.0.2.200:80");
	assert_string_equal(hr_ids_route_name(ids, p->routes.data[0].id),
			    "default@sa.default.svc.cluster.local:80");
	assert_null(hr_ids_route_name(ids, 0));
	assert_null(hr_ids_route_name(ids, 9999));
	hr_ids_free(ids);
}

/* Open connections say by the address id where they go: it means one address for ever. */
static void test_address_never_again(void **state)
{
	struct hr_ids *ids = hr_ids_new();
	_cleanup_plan_ struct hr_plan *base = services("a");
	uint32_t seen[26];

	(void)state;
	for (int i = 1; i < 26; i++) {
		_cleanup_plan_ struct hr_plan *p = services((char[]){'a', (char)('a' + i), 0});

		assign(ids, p);
		seen[i] = p->eps.data[2].addr_id;
		for (int k = 1; k < i; k++)
			assert_true(seen[k] != seen[i]);
		for (int k = 0; k < 100; k++)
			assign(ids, base);
		assert_null(hr_ids_addr_name(ids, seen[i]));
	}
	hr_ids_free(ids);
}

static bool busy_ep(void *ctx, enum hr_id_kind kind, uint32_t id)
{
	return kind == HR_ID_EP && id == *(uint32_t *)ctx;
}

/* A response that takes a day counts for its endpoint until it ends: its number is not another's.
 */
static void test_in_flight_keeps_it(void **state)
{
	struct hr_ids *ids = hr_ids_new();
	_cleanup_plan_ struct hr_plan *base = services("a"), *one = services("ab"),
				      *two = services("ac");
	uint32_t busy;

	(void)state;
	assign(ids, one);
	busy = one->eps.data[2].id;
	hr_ids_set_busy(ids, busy_ep, &busy);
	for (int i = 0; i < 100; i++)
		assign(ids, base);
	assign(ids, two);
	assert_true(two->eps.data[2].id != busy && two->eps.data[3].id != busy);
	busy = 0;
	for (int i = 0; i < 100; i++)
		assign(ids, base);
	assign(ids, one);
	assert_true(one->eps.data[2].id <= 4);
	hr_ids_free(ids);
}

/* Addresses given to hosts without one: the same for the same name, none twice. */
static void test_auto_vip(void **state)
{
	struct hr_ids *ids = hr_ids_new();
	struct hr_addr v4, v6, again4, again6, other4, other6;
	char text[HR_ADDR_TEXT];
	int given = 2;

	(void)state;
	assert_int_equal(hr_ids_auto_vip(ids, "a.example.com", &v4, &v6), 0);
	assert_int_equal(hr_ids_auto_vip(ids, "b.example.com", &other4, &other6), 0);
	assert_int_equal(hr_ids_auto_vip(ids, "a.example.com", &again4, &again6), 0);
	assert_true(hr_addr_eq(&v4, &again4) && hr_addr_eq(&v6, &again6));
	assert_false(hr_addr_eq(&v4, &other4) || hr_addr_eq(&v6, &other6));
	assert_string_equal(hr_addr_text(&v4, text), "240.240.0.1");
	assert_string_equal(hr_addr_text(&v6, text), "fd68:6472:6163::1");
	for (;; given++) { /* 240.240.0.0/16 has an end */
		char name[32];

		snprintf(name, sizeof(name), "h%d.example.com", given);
		if (hr_ids_auto_vip(ids, name, &v4, &v6))
			break;
		assert_int_equal(v4.ip[12] << 8 | v4.ip[13], 240 << 8 | 240);
	}
	assert_in_range(given, 65000, 65535);
	hr_ids_free(ids);
}

/* A table that is full is named, and what was known keeps its ids. */
static void test_full(void **state)
{
	struct hr_ids *ids = hr_ids_new();
	_cleanup_plan_ struct hr_plan *p = services("a"), *big = services("ab"),
				      *small = services("ab");
	const char *what = NULL;
	uint32_t id;

	(void)state;
	assign(ids, p);
	id = p->routes.data[0].id;
	/* as many routes as the table has rows, the 0th is none */
	big->routes.data = hr_arena_array(big->arena, struct hr_plan_route, HR_ROUTES_MAX);
	big->routes.len = HR_ROUTES_MAX;
	for (size_t i = 0; i < big->routes.len; i++)
		big->routes.data[i].key = hr_arena_printf(big->arena, "r%zu", i);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(hr_ids_assign(ids, big, &what), -ENOSPC);
		assert_string_equal(what, "routes");
	}
	assert_string_equal(hr_ids_route_name(ids, id), "default@sa.default.svc.cluster.local:80");
	assert_string_equal(hr_ids_ep_name(ids, p->eps.data[1].id),
			    "outbound|80||sa.default.svc.cluster.local 192.0.2.200:80");
	assert_null(hr_ids_route_name(ids, HR_ROUTES_MAX - 1));
	/* and the next one finds the room */
	assign(ids, small);
	assert_true(vhost(small, "sb")->id > vhost(small, "sa")->id);
	hr_ids_free(ids);
}

/* What an agent wrote down before it was killed. */
struct kept {
	struct hr_id_key keys[64];
	struct hr_id_row rows[64];
	size_t n;
	int fail;
};

static int keep(void *ctx, const struct hr_id_key *keys, const struct hr_id_row *rows, size_t n)
{
	struct kept *k = ctx;

	for (size_t i = 0; !k->fail && i < n; i++) {
		size_t at = 0;

		while (at < k->n && memcmp(&k->keys[at], &keys[i], sizeof(keys[i])))
			at++;
		assert_true(at < 64);
		k->keys[at] = keys[i];
		k->rows[at] = rows[i];
		k->n = at == k->n ? k->n + 1 : k->n;
	}
	return k->fail;
}

static struct hr_ids *after(struct kept *k)
{
	static const __u64 key[2] = {1, 2};
	struct hr_ids *ids = hr_ids_new();

	hr_ids_keep(ids, key, keep, k);
	for (size_t i = 0; i < k->n; i++)
		hr_ids_adopt(ids, &k->keys[i], &k->rows[i]);
	return ids;
}

/* a b, then c a: the agent after a kill reads c a at once, and b's ids stay unused for a while. */
static void test_next_agent(void **state)
{
	struct kept kept = {0};
	struct hr_ids *ids = after(&kept), *next;
	_cleanup_plan_ struct hr_plan *one = services("ab"), *two = services("ca"),
				      *again = services("ca"), *more = services("cad");
	uint32_t b;

	(void)state;
	assign(ids, one);
	b = vhost(one, "sb")->id;
	assign(ids, two);
	next = after(&kept);
	assign(next, again);
	for (size_t i = 0; i < two->vhosts.len; i++)
		assert_int_equal(again->vhosts.data[i].id, two->vhosts.data[i].id);
	for (size_t i = 0; i < two->routes.len; i++)
		assert_int_equal(again->routes.data[i].id, two->routes.data[i].id);
	for (size_t i = 0; i < two->clusters.len; i++)
		assert_int_equal(again->clusters.data[i].id, two->clusters.data[i].id);
	for (size_t i = 0; i < two->eps.len; i++) {
		assert_int_equal(again->eps.data[i].id, two->eps.data[i].id);
		assert_int_equal(again->eps.data[i].addr_id, two->eps.data[i].addr_id);
	}
	assign(next, more);
	assert_true(vhost(more, "sd")->id != b);
	assert_true(vhost(more, "sd")->id > vhost(two, "sc")->id);
	hr_ids_free(ids);
	hr_ids_free(next);
}

/* An address that DNS gave out is its name's for the agent after, too. */
static void test_next_auto_vip(void **state)
{
	struct kept kept = {0};
	struct hr_ids *ids = after(&kept), *next;
	_cleanup_plan_ struct hr_plan *p = services("a");
	struct hr_addr v4[4], v6;

	(void)state;
	assert_int_equal(hr_ids_auto_vip(ids, "one.example", &v4[0], &v6), 0);
	assert_int_equal(hr_ids_auto_vip(ids, "two.example", &v4[1], &v6), 0);
	assign(ids, p);
	next = after(&kept);
	assert_int_equal(hr_ids_auto_vip(next, "new.example", &v4[3], &v6), 0);
	assert_int_equal(hr_ids_auto_vip(next, "two.example", &v4[2], &v6), 0);
	assert_memory_equal(&v4[2], &v4[1], sizeof(v4[1]));
	assert_memory_not_equal(&v4[3], &v4[0], sizeof(v4[0]));
	assert_memory_not_equal(&v4[3], &v4[1], sizeof(v4[0]));
	hr_ids_free(ids);
	hr_ids_free(next);
}

/* An id that could not be written down is in no plan; rows that make no sense are left alone. */
static void test_kept_badly(void **state)
{
	struct kept kept = {.fail = -E2BIG};
	struct hr_ids *ids = after(&kept);
	_cleanup_plan_ struct hr_plan *p = services("a");
	static const struct hr_id_key odd[] = {{HR_ID_KEY, 0},
					       {HR_ID_KINDS, 1},
					       {HR_ID_EP, 0},
					       {HR_ID_EP, HR_EPS_MAX},
					       {HR_ID_EP, 9}};
	const struct hr_id_row row = {.id = 7};
	const char *what = "";

	(void)state;
	assert_int_equal(hr_ids_assign(ids, p, &what), -E2BIG);
	assert_string_equal(what, "names of ids");
	kept.fail = 0;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		hr_ids_adopt(ids, &odd[i], &row);
	assign(ids, p);
	assert_int_equal(p->eps.data[0].id & 0xffff0000, 0);
	hr_ids_free(ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stable),
		cmocka_unit_test(test_next_agent),
		cmocka_unit_test(test_next_auto_vip),
		cmocka_unit_test(test_kept_badly),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_address_never_again),
		cmocka_unit_test(test_in_flight_keeps_it),
		cmocka_unit_test(test_auto_vip),
		cmocka_unit_test(test_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
