// SPDX-License-Identifier: Apache-2.0
/*
 * The first bytes of a connection that may be a ClientHello: never a step outside of them, a name
 * is always a name, and what was found in some bytes is found in more of them. The reader stands
 * alone, so it is included as text.
 */
#include <stdlib.h>

#include "../../user/tls/hello.c"

#define CHECK(cond)              \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char sni[HR_SNI_MAX + 1], again[HR_SNI_MAX + 1];
	enum hr_hello_result r = hr_tls_hello(data, n, sni);
	enum hr_hello_result half = hr_tls_hello(data, n / 2, again);

	if (half != HR_HELLO_MORE)
		CHECK(r == half);
	if (r != HR_HELLO_FOUND)
		return 0;
	CHECK(strlen(sni) <= HR_SNI_MAX);
	for (const char *c = sni; *c; c++)
		CHECK(*c > 0x20 && *c < 0x7f && !(*c >= 'A' && *c <= 'Z'));
	if (half == HR_HELLO_FOUND)
		CHECK(!strcmp(sni, again));
	return 0;
}
