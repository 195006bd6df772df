// SPDX-License-Identifier: Apache-2.0
/* Regular expressions: what RE2 takes and refuses, the same answers as another engine, linear time.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/cleanup.h"
#include "core/regex.h"
#include "headrace/limits.h"
#include "vectors.h"

static struct hr_regex *regex_of(struct hr_arena *a, const char *pattern)
{
	struct hr_regex_error err = {};
	struct hr_regex *re = NULL;

	if (hr_regex_new(a, pattern, &re, &err))
		fail_msg("%s: %s at %zu", pattern, err.why, err.at);
	return re;
}

static bool takes(const char *pattern, const char *text)
{
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();

	return hr_regex_full(regex_of(a, pattern), text, strlen(text));
}

/* What people write in a VirtualService, each with a text that it takes and one that it does not.
 */
static void test_usual(void **state)
{
	static const char *const rows[][3] = {
		{"^(.*?;)?(user=jason)(;.*)?$", "a=b;user=jason;c=d", "user=jasonx"},
		{".*", "", NULL},
		{".+", "x", ""},
		{"/api/v[12]/.*", "/api/v2/x", "/api/v3/x"},
		{"(?i)chrome|firefox", "FireFox", "opera"},
		{".*Mobile.*", "Mozilla (Mobile; rv)", "Mozilla"},
		{"[a-z0-9]([-a-z0-9]*[a-z0-9])?", "a-b", "a-"},
		{"\\d{3}-\\d{4}", "123-4567", "123-456"},
		{"/users/[^/]+/orders", "/users/7/orders", "/users/7/8/orders"},
		{"(?P<year>\\d+)/(?:x|y)", "2026/y", "2026/z"},
		{"a{,3}", "a{,3}", "aaa"},
		{"x{2}{", "xx{", "xx"},
		{"[]a]+", "]a]", "b"},
		{"[^]]", "a", "]"},
		{"[[:alpha:]_]+", "aZ_", "a1"},
		{"[[:^digit:]]", "a", "1"},
		{"[[:]+", "[:", "]"},
		{"[[:x]", ":", "y"},
		{"\\Qa.b*\\E+", "a.b***", "axb"},
		{"caf\xc3\xa9+", "caf\xc3\xa9\xc3\xa9", "caf\xc3"},
		{"(?i:a)b", "Ab", "AB"},
		{"(?i)a(?-i)b", "Ab", "AB"},
		{"a|b|", "", "c"},
		{"\\bfoo\\b.*", "foo bar", "foobar"},
		{"a.c", "abc", "a\nc"},
		{"(?s)a.c", "a\nc", "ac"},
		{"(?m)a$\n^b", "a\nb", "ab"},
		{"[\\w.-]+@[\\w-]+\\.com", "a.b@c.com", "a.b@c.org"},
		{"\\x41\\x{42}\\103\\t", "ABC\t", "ABC"},
		{"a*$^", "", "a"},
	};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++) {
		if (!takes(rows[i][0], rows[i][1]))
			fail_msg("%s does not take %s", rows[i][0], rows[i][1]);
		if (rows[i][2] && takes(rows[i][0], rows[i][2]))
			fail_msg("%s takes %s", rows[i][0], rows[i][2]);
	}
}

/* What RE2 has not is refused by its name, and where it stands. */
static void test_refused(void **state)
{
	static const struct {
		const char *pattern, *word;
		size_t at;
	} rows[] = {
		{"(a)\\1", "back-reference", 3},
		{"(?P<x>a)(?P=x)", "back-reference", 8},
		{"a(?=b)", "look-ahead", 1},
		{"a(?!b)", "negative look-ahead", 1},
		{"(?<=a)b", "look-behind", 0},
		{"(?<!a)b", "negative look-behind", 0},
		{"(?>a)", "atomic", 0},
		{"(a", "missing )", 0},
		{"a)", "unexpected )", 1},
		{"[a", "missing ]", 0},
		{"[b-a]", "backwards", 1},
		{"*a", "nothing to repeat", 0},
		{"a|*", "nothing to repeat", 2},
		{"a**", "repetition of a repetition", 1},
		{"a++", "repetition of a repetition", 1},
		{"a{1001}", "more than 1000", 1},
		{"(a{100}){100}", "more than 1000", 8},
		{"((){1000}){1000}", "more than 1000", 10},
		{"a{3,2}", "backwards", 1},
		{"a\\", "backslash at the end", 1},
		{"\\pL", "Unicode class", 0},
		{"[\xc3\xa9]", "outside of ASCII", 1},
		{"\xff", "UTF-8", 0},
		{"[[:nope:]]", "character class", 1},
		{"\\y", "unknown escape", 0},
		{"(?z)", "unknown group", 0},
		{"[a-z]{1000}[a-z]{1000}[a-z]{1000}", "too large", 0},
	};
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++) {
		struct hr_regex_error err = {};
		struct hr_regex *re = NULL;

		if (!hr_regex_new(a, rows[i].pattern, &re, &err))
			fail_msg("%s is taken", rows[i].pattern);
		if (!strstr(err.why, rows[i].word) || err.at != rows[i].at)
			fail_msg("%s: %s at %zu", rows[i].pattern, err.why, err.at);
	}
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A backtracking engine needs 2^n steps for these; here twice the text is about twice the time, and
 * 16 KB (the longest head) is over at once, with a DFA and without. */
static void test_blow_up(void **state)
{
	static const struct {
		const char *pattern;
		bool dfa;
	} rows[] = {
		{"(a+)+$", true},	    {"(a|aa)+$", true},	 {"(.*)*x(.*)*", true},
		{"(a?){500}a{500}", false}, {".*b.{12}", false}, {"\\b(a+)+\\b", false},
	};
	static char text[16 * 1024];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '!';
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++) {
		_cleanup_arena_ struct hr_arena *a = hr_arena_new();
		struct hr_regex *re = regex_of(a, rows[i].pattern);
		double t = seconds();

		assert_false(hr_regex_full(re, text, sizeof(text)));
		if (seconds() - t > 2)
			fail_msg("%s: %f s", rows[i].pattern, seconds() - t);
		if (!hr_regex_states(re) == rows[i].dfa)
			fail_msg("%s: %u states", rows[i].pattern, hr_regex_states(re));
	}
}

/* A pattern of the length limit is taken, one byte more is not; the deepest groups neither overflow
 * the stack nor are taken. */
static void test_limits(void **state)
{
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	char pattern[HR_REGEX_MAX + 2] = "";
	struct hr_regex_error err = {};
	struct hr_regex *re = NULL;

	(void)state;
	memset(pattern, 'a', HR_REGEX_MAX);
	re = regex_of(a, pattern);
	assert_true(hr_regex_full(re, pattern, HR_REGEX_MAX));
	assert_false(hr_regex_full(re, pattern, HR_REGEX_MAX - 1));
	pattern[HR_REGEX_MAX] = 'a';
	assert_true(hr_regex_new(a, pattern, &re, &err) < 0);
	memset(pattern, '(', HR_REGEX_MAX);
	pattern[HR_REGEX_MAX] = 0;
	assert_true(hr_regex_new(a, pattern, &re, &err) < 0);
	assert_non_null(strstr(err.why, "too deep"));
}

/* Building stays cheap for the worst that the limits let through: it happens for every rule of a
 * reload. */
static void test_build_cost(void **state)
{
	static const char *const worst[] = {".*a.{300}b.{300}", "(a?b?c?){300}", "([a-z]*,){400}",
					    "(.*a){100}(.*b){100}(.*c){100}"};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(worst); i++) {
		_cleanup_arena_ struct hr_arena *a = hr_arena_new();
		double t = seconds();

		regex_of(a, worst[i]);
		if (seconds() - t > 0.5)
			fail_msg("%s: %f s", worst[i], seconds() - t);
	}
}

static void agree(const struct vector *v)
{
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	struct hr_regex *re = regex_of(a, v->col[0]);

	if (hr_regex_full(re, v->col[1], v->len[1]) != (*v->col[2] == '1'))
		fail_msg("line %d: %s on \"%s\": want %s", v->line, v->col[0], v->col[1],
			 v->col[2]);
}

/* Three thousand generated pairs, judged by Python's re (tests/vectors/regex/generate.py). */
static void test_as_python(void **state)
{
	(void)state;
	assert_true(vectors_each("tests/vectors/regex/cases.txt", 3, agree) > 2500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usual),	   cmocka_unit_test(test_refused),
		cmocka_unit_test(test_blow_up),	   cmocka_unit_test(test_limits),
		cmocka_unit_test(test_build_cost), cmocka_unit_test(test_as_python),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
