// SPDX-License-Identifier: Apache-2.0
/*
 * A pattern, a line feed, a text: nothing in the pattern leaves its bounds, both automata give the
 * same answer, and to put each match in its own place changes nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/regex_int.h"

static void replace(struct hr_arena *a, const char *pattern, const char *text, size_t n)
{
	_cleanup_sb_ struct hr_strbuf out = {};
	struct hr_regex_error err = {};
	struct hr_regex_sub *sub;
	bool of_rewrite;

	if (hr_regex_sub_new(a, pattern, "\\0", &sub, &err, &of_rewrite))
		abort();
	if (!hr_regex_sub(sub, text, n, SIZE_MAX, &out) &&
	    (out.len != n || memcmp(hr_sb_str(&out), text, n)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	const uint8_t *end = n ? memchr(data, '\n', n) : NULL;
	size_t len = end ? (size_t)(end - data) : n;
	const char *text = end ? (const char *)end + 1 : "";
	struct hr_regex_error err = {};
	struct hr_regex *re;
	char *pattern = hr_arena_strndup(a, (const char *)data, len);

	n = end ? n - len - 1 : 0;
	n = HR_MIN(n, (size_t)256);
	if (hr_regex_new(a, pattern, &re, &err)) {
		if (!err.why || err.at > strlen(pattern))
			abort();
		return 0;
	}
	if (hr_regex_full(re, text, n) != rx_simulate(re, text, n))
		abort();
	replace(a, pattern, text, n);
	return 0;
}
