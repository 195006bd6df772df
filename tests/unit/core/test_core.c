// SPDX-License-Identifier: Apache-2.0
/* The containers and strings that every room leans on: order, ownership, bounds, bad input. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/arena.h"
#include "core/cleanup.h"
#include "core/map.h"
#include "core/net.h"
#include "core/str.h"
#include "core/vec.h"

/* Blocks of every size, also larger than a chunk, are zeroed, aligned and apart from each other. */
static void test_arena(void **state)
{
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	unsigned char *blocks[200];

	(void)state;
	for (size_t i = 0; i < 200; i++) {
		size_t n = i * i * 3 + 1;

		blocks[i] = hr_arena_alloc(a, n);
		assert_int_equal((uintptr_t)blocks[i] % 16, 0);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(blocks[i][k], 0);
		memset(blocks[i], (int)i, n);
	}
	for (size_t i = 0; i < 200; i++)
		for (size_t k = 0; k < i * i * 3 + 1; k++)
			assert_int_equal(blocks[i][k], i & 0xff);
	assert_string_equal(hr_arena_printf(a, "%s-%d", "x", 7), "x-7");
	assert_null(hr_arena_strdup(a, NULL));
}

/* A map is checked against a plain array through 20,000 random puts, gets and deletes. */
static void test_map_against_array(void **state)
{
	_cleanup_map_ struct hr_map *m = hr_map_new();
	void *model[512] = {0};
	size_t live = 0;

	(void)state;
	srand(7);
	for (int i = 0; i < 20000; i++) {
		uint32_t k = (uint32_t)rand() % 512;

		switch (rand() % 3) {
		case 0: {
			void *v = (void *)(uintptr_t)(i + 1);

			assert_ptr_equal(hr_map_put(m, &k, sizeof(k), v), model[k]);
			live += !model[k];
			model[k] = v;
			break;
		}
		case 1:
			assert_ptr_equal(hr_map_del(m, &k, sizeof(k)), model[k]);
			live -= !!model[k];
			model[k] = NULL;
			break;
		default:
			assert_ptr_equal(hr_map_get(m, &k, sizeof(k)), model[k]);
		}
		assert_int_equal(hr_map_len(m), live);
	}
}

/* Iteration is in insertion order (plans are deterministic because of it) and survives deletion
 * of the current entry. */
static void test_map_order(void **state)
{
	_cleanup_map_ struct hr_map *m = hr_map_new();
	struct hr_map_iter it = {0};
	char key[16];
	int i = 0;

	(void)state;
	for (i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		hr_map_puts(m, key, (void *)(uintptr_t)(i + 1));
	}
	for (i = 0; hr_map_next(m, &it); i++) {
		assert_int_equal((uintptr_t)it.value, i + 1);
		if (i % 2)
			hr_map_del(m, it.key, it.key_len);
	}
	assert_int_equal(i, 100);
	assert_int_equal(hr_map_len(m), 50);
}

static void test_numbers(void **state)
{
	uint64_t v = 99;

	(void)state;
	assert_int_equal(hr_parse_u64("0", 10, &v), 0);
	assert_int_equal(v, 0);
	v = 99;
	assert_int_equal(hr_parse_u64("18446744073709551616", UINT64_MAX, &v), -ERANGE);
	assert_int_equal(hr_parse_u64("11", 10, &v), -ERANGE);
	assert_int_equal(hr_parse_u64("", 10, &v), -EINVAL);
	assert_int_equal(hr_parse_u64("+1", 10, &v), -EINVAL);
	assert_int_equal(hr_parse_u64("1 ", 10, &v), -EINVAL);
	assert_int_equal(v, 99); /* untouched on failure */
	assert_int_equal(hr_parse_u64("18446744073709551615", UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
}

static void test_nearest(void **state)
{
	static const char *const words[] = {"route", "retries", "redirect", "fault", "timeout"};

	(void)state;
	assert_string_equal(hr_nearest("rout", words, 5), "route");
	assert_string_equal(hr_nearest("retires", words, 5), "retries");
	assert_string_equal(hr_nearest("Timeout", words, 5), "timeout");
	assert_null(hr_nearest("banana", words, 5));
	assert_null(hr_nearest("x", words, 5));
}

/* Log lines and JSON answers carry bytes from the network: controls and broken UTF-8 must not
 * leave the string. */
static void test_json_escapes(void **state)
{
	_cleanup_sb_ struct hr_strbuf sb = {0};
	static const char in[] = "a\"\\\n\x01\xc3\xa9\xff\xed\xa0\x80\x7f";

	(void)state;
	hr_sb_json(&sb, in, sizeof(in) - 1);
	assert_string_equal(sb.data, "\"a\\\"\\\\\\u000a\\u0001\xc3\xa9\\ufffd\\ufffd\\ufffd\\ufffd"
				     "\\u007f\"");
}

static void test_addresses(void **state)
{
	char buf[HR_ADDR_TEXT];
	struct hr_addr a;
	struct sockaddr_storage ss;
	struct hr_addr back;
	uint16_t port = 0;

	(void)state;
	assert_int_equal(hr_addr_parse("10.0.0.1", &a), 0);
	assert_true(hr_addr_is4(&a));
	assert_string_equal(hr_addr_port_text(&a, 80, buf), "10.0.0.1:80");
	assert_int_equal(hr_addr_parse("::ffff:10.0.0.1", &back), 0);
	assert_true(hr_addr_eq(&a, &back)); /* one address, two spellings */
	assert_int_equal(hr_addr_parse("fd00::1", &a), 0);
	assert_string_equal(hr_addr_port_text(&a, 8080, buf), "[fd00::1]:8080");
	hr_addr_to_sockaddr(&a, 8080, &ss);
	assert_int_equal(hr_addr_from_sockaddr((struct sockaddr *)&ss, &back, &port), 0);
	assert_true(hr_addr_eq(&a, &back) && port == 8080);
	assert_int_equal(hr_addr_parse("fe80::1%eth0", &a), -EINVAL);
	assert_int_equal(hr_addr_parse("10.0.0.256", &a), -EINVAL);
	assert_int_equal(hr_addr_parse("", &a), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arena),	  cmocka_unit_test(test_map_against_array),
		cmocka_unit_test(test_map_order), cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_nearest),	  cmocka_unit_test(test_json_escapes),
		cmocka_unit_test(test_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
