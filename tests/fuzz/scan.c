// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's head scanners against the strict parser: they may decline, never disagree. First
 * input byte: 0 request, 1 response, 2 answer to HEAD (modulo 3).
 */
#include <stdint.h>
#include <stdlib.h>

#include "../lib/scan_agree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct hr_scan s;
	static struct hr_resp r;
	const char *what;

	if (!n)
		return 0;
	if (*data % 3 == 0)
		what = scan_agrees(&s, data + 1, n - 1);
	else
		what = resp_agrees(&r, data + 1, n - 1, *data % 3 == 2);
	if (what) {
		fprintf(stderr, "scanner and parser do not agree: %s\n", what);
		abort();
	}
	return 0;
}
