// SPDX-License-Identifier: Apache-2.0
/* Plain scalars by the rules of Kubernetes' reader, and the texts that two readers could take for
 * different values: those are refused. */
#include "model_test.h"

#include "model/scalar.h"

static struct hr_ynode plain(const char *text)
{
	return (struct hr_ynode){
		.type = HR_NODE_SCALAR, .plain = true, .value = text, .len = strlen(text)};
}

static void test_kinds(void **state)
{
	static const struct {
		const char *text;
		enum hr_scalar kind;
	} rows[] = {
		{"", HR_SCALAR_NULL},	     {"~", HR_SCALAR_NULL},	  {"null", HR_SCALAR_NULL},
		{"nullx", HR_SCALAR_STRING}, {"true", HR_SCALAR_BOOL},	  {"True", HR_SCALAR_BOOL},
		{"yes", HR_SCALAR_BOOL},     {"off", HR_SCALAR_BOOL},	  {"on", HR_SCALAR_BOOL},
		{"y", HR_SCALAR_STRING},     {"tRUE", HR_SCALAR_STRING},  {"0", HR_SCALAR_INT},
		{"-1", HR_SCALAR_INT},	     {"08", HR_SCALAR_INT},	  {"0x50", HR_SCALAR_INT},
		{"1_000", HR_SCALAR_INT},    {"0o17", HR_SCALAR_INT},	  {"0x", HR_SCALAR_STRING},
		{"1.5", HR_SCALAR_FLOAT},    {"1e3", HR_SCALAR_FLOAT},	  {".5", HR_SCALAR_FLOAT},
		{".inf", HR_SCALAR_FLOAT},   {"1.2.3", HR_SCALAR_STRING}, {"v1", HR_SCALAR_STRING},
		{"10s", HR_SCALAR_STRING},   {"1e", HR_SCALAR_STRING},	  {".", HR_SCALAR_STRING},
		{"-", HR_SCALAR_STRING},     {"http", HR_SCALAR_STRING},
	};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++) {
		struct hr_ynode n = plain(rows[i].text);

		if (hr_scalar_kind(&n) != rows[i].kind) {
			print_message("%s\n", rows[i].text);
			fail();
		}
		n.plain = false; /* in quotes everything is a string */
		assert_int_equal(hr_scalar_kind(&n), HR_SCALAR_STRING);
	}
}

static void test_ints(void **state)
{
	/* 08 is 8, an error or a string; 0x50 is 80 or a string; 010 is 8 or 10: depends whom you
	 * ask */
	static const char *const bad[] = {"08",	  "010",   "0x50", "1_000", "http",
					  "",	  "65536", "0",	   "-1",    "1e3",
					  "80.0", "+80",   "0o17", "0b1",   "99999999999999999999"};
	int64_t v = 7;
	struct hr_ynode n;

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(bad); i++) {
		n = plain(bad[i]);
		if (!hr_scalar_int(&n, 1, 65535, &v)) {
			print_message("taken: %s\n", bad[i]);
			fail();
		}
		assert_int_equal(v, 7); /* untouched on failure */
	}
	n = plain("65535");
	assert_null(hr_scalar_int(&n, 1, 65535, &v));
	assert_int_equal(v, 65535);
	n = plain("-5");
	assert_null(hr_scalar_int(&n, -10, 10, &v));
	assert_int_equal(v, -5);
	n.plain = false;
	assert_non_null(hr_scalar_int(&n, -10, 10, &v));
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {{"10s", 10000},	{"1.5s", 1500},	   {"100ms", 100},
		    {"1h30m", 5400000}, {"0s", 0},	   {"0", 0},
		    {"24h", 86400000},	{"1m0.5s", 60500}, {"1000us", 1},
		    {"2000000ns", 2},	{"1000µs", 1},	   {"0.001s", 1},
		    {".5s", 500},	{"292y", -1},	   {"2562047h", 9223369200000}};
	static const char *const bad[] = {"1",		 "",	  "s",	  "10 s",  "10x",
					  "1.2.3s",	 "0.5ms", "1ns",  "ten",   "2562048h",
					  "9999999999h", "1s2",	  "1e3s", "0x10s", "-"};
	int64_t v;

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(good); i++) {
		const char *why = hr_parse_duration(good[i].text, &v);

		if (good[i].ms < 0) {
			assert_non_null(why);
			continue;
		}
		if (why || v != good[i].ms) {
			print_message("%s: %s %lld\n", good[i].text, why ? why : "", (long long)v);
			fail();
		}
	}
	for (size_t i = 0; i < HR_ARRAY_SIZE(bad); i++)
		if (!hr_parse_duration(bad[i], &v)) {
			print_message("taken: %s\n", bad[i]);
			fail();
		}
	assert_string_equal(hr_parse_duration("1", &v),
			    "a duration needs a unit: 10s, 250ms, 1h30m");
}

static void test_times(void **state)
{
	int64_t v;

	(void)state;
	assert_null(hr_parse_time("1970-01-02T00:00:01Z", &v));
	assert_int_equal(v, 86401000);
	assert_null(hr_parse_time("2026-01-31T12:00:00.250+01:00", &v));
	assert_int_equal(v, 1769857200250);
	assert_non_null(hr_parse_time("yesterday", &v));
	assert_non_null(hr_parse_time("2026-01-31", &v));
	assert_non_null(hr_parse_time("2026-01-31T12:00:00", &v));
}

static void test_base64(void **state)
{
	char *out;
	size_t n;

	(void)state;
	assert_null(hr_parse_base64("AAECAw==", 8, &out, &n));
	assert_int_equal(n, 4);
	assert_memory_equal(out, "\0\1\2\3", 4);
	free(out);
	assert_null(hr_parse_base64("", 0, &out, &n));
	assert_int_equal(n, 0);
	free(out);
	assert_non_null(hr_parse_base64("AAE", 3, &out, &n));
	assert_non_null(hr_parse_base64("A*E=", 4, &out, &n));
	assert_non_null(hr_parse_base64("A=E=", 4, &out, &n));
	assert_non_null(hr_parse_base64("====", 4, &out, &n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),	  cmocka_unit_test(test_ints),
		cmocka_unit_test(test_durations), cmocka_unit_test(test_times),
		cmocka_unit_test(test_base64),
	};

	return cmocka_run_group_tests_name("model/scalar", tests, NULL, NULL);
}
