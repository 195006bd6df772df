// SPDX-License-Identifier: Apache-2.0
/*
 * A path that the rules read in one way and the server in another walks past every rule. The table
 * tests/vectors/http1/paths.txt says what each path is; here also: canonical forms stay as they
 * are, and the kernel passes no path on that would have to be rewritten.
 */
#include "unit.h"

#include <errno.h>

#include "http/path.h"
#include "scan_agree.h"
#include "vectors.h"

#define FILE_NAME "tests/vectors/http1/paths.txt"

static enum hr_path_norm norm_of(const char *name)
{
	static const char *const names[] = {
		[HR_PATH_BASE] = "base",
		[HR_PATH_NONE] = "none",
		[HR_PATH_MERGE_SLASHES] = "merge",
		[HR_PATH_DECODE_AND_MERGE_SLASHES] = "decode",
	};

	for (size_t i = 0; i < 4; i++)
		if (!strcmp(names[i], name))
			return i;
	fail_msg("%s: no normalization is called %s", FILE_NAME, name);
	return 0;
}

static void kernel_check(const struct vector *v, bool canonical)
{
	static struct hr_scan s;
	char head[512];
	int n = snprintf(head, sizeof(head), "GET ");

	memcpy(head + n, v->col[1], v->len[1]);
	n += v->len[1];
	n += snprintf(head + n, sizeof(head) - n, " HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_null(scan_agrees(&s, head, n));
	memcpy(s.buf, head, n);
	if (hr_scan_request(&s, n) == HR_SCAN_OK && !canonical)
		fail_msg("%s:%d: the kernel would pass it", FILE_NAME, v->line);
}

static void check(const struct vector *v)
{
	enum hr_path_norm norm = norm_of(v->col[0]);
	struct hr_slice in = {v->col[1], v->len[1]};
	char out[256];
	size_t n = 0;
	int r = hr_path_canon(in, norm, out, &n);
	bool same;

	if (r < 0) {
		if (strcmp(v->col[2], "400"))
			fail_msg("%s:%d: refused", FILE_NAME, v->line);
	} else if (n != v->len[2] || memcmp(out, v->col[2], n)) {
		fail_msg("%s:%d: %.*s", FILE_NAME, v->line, (int)n, out);
	}
	same = r == 0 && n == in.n && !memcmp(out, in.p, n);
	assert_int_equal(hr_path_is_canonical(in, norm), same);
	/* in a request the '?' would begin a query */
	if (norm == HR_PATH_BASE && !memchr(in.p, '?', in.n))
		kernel_check(v, same);
	if (r == 0 && norm == HR_PATH_BASE)
		assert_true(hr_path_is_canonical((struct hr_slice){out, n}, norm));
}

static void test_vectors(void **state)
{
	(void)state;
	assert_in_range(vectors_each(FILE_NAME, 3, check), 150, 10000);
}

/* A refusal leaves the caller's length alone, and paths beyond the limit are refused. */
static void test_bounds(void **state)
{
	static char in[HR_HEAD_MAX + 1], out[HR_HEAD_MAX + 1];
	size_t n = 7;

	(void)state;
	memset(in, '/', sizeof(in));
	assert_int_equal(hr_path_canon((struct hr_slice){in, sizeof(in)}, HR_PATH_BASE, out, &n),
			 -EINVAL);
	assert_int_equal(n, 7);
	assert_int_equal(
		hr_path_canon((struct hr_slice){in, HR_HEAD_MAX}, HR_PATH_MERGE_SLASHES, out, &n),
		0);
	assert_int_equal(n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors),
					   cmocka_unit_test(test_bounds)};

	return cmocka_run_group_tests_name("http path", tests, NULL, NULL);
}
