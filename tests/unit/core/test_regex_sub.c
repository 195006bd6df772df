// SPDX-License-Identifier: Apache-2.0
/* Replacing by pattern: RE2's choice of matches and groups, its refusals, and bounded work. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "core/cleanup.h"
#include "core/regex.h"

static int replace(const char *pattern, const char *rewrite, const char *text,
		   struct hr_strbuf *out)
{
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	struct hr_regex_error err = {};
	struct hr_regex_sub *s = NULL;
	bool of_rewrite;

	if (hr_regex_sub_new(a, pattern, rewrite, &s, &err, &of_rewrite))
		fail_msg("%s -> %s: %s at %zu", pattern, rewrite, err.why, err.at);
	return hr_regex_sub(s, text, strlen(text), 16384, out);
}

/* pattern, rewrite, text, result */
static void test_replace(void **state)
{
	static const char *const rows[][4] = {
		{"^/service/([^/]+)(/.*)$", "\\2/instance/\\1", "/service/foo/v1/api",
		 "/v1/api/instance/foo"},
		{"one", "two", "/xxx/one/yyy/one/zzz", "/xxx/two/yyy/two/zzz"},
		{"^(.*?)one(.*)$", "\\1two\\2", "/xxx/one/yyy/one/zzz", "/xxx/two/yyy/one/zzz"},
		{"(?i)/xxx/", "/yyy/", "/aaa/XxX/bbb", "/aaa/yyy/bbb"},
		{"^/b", "/", "/b/b/b", "//b/b"},
		{"a|ab", "<\\0>", "abab", "<a>b<a>b"},	 /* the first alternative wins */
		{"a+?", "<\\0>", "aaa", "<a><a><a>"},	 /* as few as possible */
		{"(?U)a+", "<\\0>", "aaa", "<a><a><a>"}, /* the same said by a flag */
		{"(?U)a+?", "<\\0>", "aaa", "<aaa>"},
		{"(a*)(a*)", "<\\1|\\2>", "aa", "<aa|>"},
		{"(a)|(b)", "<\\1|\\2>", "ab", "<a|><|b>"}, /* a group that took no part is empty */
		{"(a|b)*", "<\\1>", "abc", "<b>c<>"},	    /* the last turn's */
		{"x*", "-", "abc", "-a-b-c-"},
		{"x*", "-", "axc", "-a-c-"}, /* no empty match where one ended */
		{"\\bfoo\\b", "bar", "foo foobar foo", "bar foobar bar"},
		{"(?:x)(?P<name>y)(?<other>z)", "\\2\\1", "xyz", "zy"},
		{"/a", "\\\\\\0", "/a", "\\/a"},
		{"no", "yes", "/path", "/path"},
		{"(x{2,3})", "[\\1]", "xxxxx", "[xxx][xx]"},
		{"", "-", "", "-"},
		{"^$|b", "-", "ab", "a-"},
	};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++) {
		_cleanup_sb_ struct hr_strbuf out = {};

		assert_int_equal(replace(rows[i][0], rows[i][1], rows[i][2], &out), 0);
		if (strcmp(hr_sb_str(&out), rows[i][3]))
			fail_msg("%s -> %s on %s: %s, want %s", rows[i][0], rows[i][1], rows[i][2],
				 hr_sb_str(&out), rows[i][3]);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *pattern, *rewrite;
		bool of_rewrite;
		size_t at;
	} rows[] = {
		{"a(b", "x", false, 1},	    {"(a)\\1", "x", false, 3}, {"(a)", "\\2", true, 0},
		{"(?:a)", "x\\1", true, 1}, {"a", "x\\n", true, 1},    {"a", "x\\", true, 1},
	};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++) {
		_cleanup_arena_ struct hr_arena *a = hr_arena_new();
		struct hr_regex_error err = {};
		struct hr_regex_sub *s;
		bool of_rewrite;

		assert_int_equal(hr_regex_sub_new(a, rows[i].pattern, rows[i].rewrite, &s, &err,
						  &of_rewrite),
				 -EINVAL);
		assert_int_equal(of_rewrite, rows[i].of_rewrite);
		assert_int_equal(err.at, rows[i].at);
	}
}

/* Patterns that make others quadratic or worse, and rewrites that grow: refused in time, and what
 * was in the output stays. */
static void test_bounds(void **state)
{
	static const char *const rows[][2] = {
		{"a.*b|a", "x"}, {"(a*)*$|a", "\\1"}, {".", "0123456789\\0\\0\\0"}};
	_cleanup_free_ char *text = calloc(1, 8001);

	(void)state;
	memset(text, 'a', 8000);
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++) {
		_cleanup_sb_ struct hr_strbuf out = {};
		clock_t t = clock();

		hr_sb_add(&out, "kept");
		if (replace(rows[i][0], rows[i][1], text, &out) == -E2BIG)
			assert_string_equal(out.data, "kept");
		else
			assert_int_equal(i, 1);
		assert_true(clock() - t < CLOCKS_PER_SEC);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests_name("core/regex_sub", tests, NULL, NULL);
}
