// SPDX-License-Identifier: Apache-2.0
/*
 * A key has one endpoint: what the kernel finds in a head to hash (bpf/lib/hashkey.h) is what the
 * agent finds (request/hash.c), on random cookies and queries; and both hash it alike.
 *
 *	head --kernel--> hash
 *	     --agent --> value --> hash      the same, or the kernel declines
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "core/cleanup.h"
#include "lib/hashkey.h"
#include "proxy/internal.h"

#define ROUNDS 200000

static struct hr_scan scan;
static uint32_t seed = 2026;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	return (seed ^= seed << 5) % n;
}

/* Letters that make the cases that matter likely. */
static size_t random_text(char *out, size_t max, const char *letters)
{
	size_t n = rnd((uint32_t)max);

	for (size_t i = 0; i < n; i++)
		out[i] = letters[rnd((uint32_t)strlen(letters))];
	out[n] = 0;
	return n;
}

/* A name is at most HR_HNAME_MAX bytes and zero padded, as in struct hr_cluster. */
static int kernel(const char *head, enum hr_hash_kind kind, const char *name, __u64 *hash)
{
	char padded[HR_HNAME_MAX + 8] = {0};
	size_t n = strlen(head);

	memcpy(padded, name, strlen(name));
	memset(&scan.buf, 0xa5, sizeof(scan.buf));
	memcpy(scan.buf, head, n);
	if (hr_scan_request(&scan, (uint32_t)n) != HR_SCAN_OK)
		return HR_KEY_DECLINED;
	return hr_key_find(&scan, kind, padded, (uint32_t)strlen(name), hash);
}

static void compare(const char *head, enum hr_hash_kind kind, const char *text, const char *name)
{
	struct hr_slice value;
	bool found = hr_plan_hash_pair(hr_slice_of(text), kind == HR_HASH_COOKIE ? ';' : '&',
				       hr_slice_of(name), &value);
	__u64 hash = 0;
	int r = kernel(head, kind, name, &hash);

	if (r == HR_KEY_DECLINED)
		return;
	if ((r == HR_KEY_FOUND) != found || (found && hr_plan_hash(value, 0) != hash))
		fail_msg("%d, %d: \"%s\" of:\n%s", r, found, name, head);
}

static void test_agree(void **state)
{
	static const char *const names[] = {"a", "ab", "abcdefgh",
					    "abababababababababababababababab"};
	char text[300], head[600];
	unsigned declined = 0;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		const char *name = names[rnd(HR_ARRAY_SIZE(names))];
		__u64 hash;

		random_text(text, i % 2 ? 40 : 250, "aab=; \"");
		snprintf(head, sizeof(head), "GET / HTTP/1.1\r\nHost: h\r\nCookie: %s\r\n\r\n",
			 text);
		declined += kernel(head, HR_HASH_COOKIE, name, &hash) == HR_KEY_DECLINED;
		compare(head, HR_HASH_COOKIE, text, name);
		random_text(text, i % 2 ? 40 : 250, "aab=&%1;");
		snprintf(head, sizeof(head), "GET /?%s HTTP/1.1\r\nHost: h\r\n\r\n", text);
		compare(head, HR_HASH_QUERY, text, name);
	}
	/* blanks around a field's value are declined by the scanner; nearly all else is compared */
	assert_in_range(declined, 0, ROUNDS / 2);
}

static void test_known(void **state)
{
	__u64 hash = 0;

	(void)state;
#define HEAD(lines) "GET /p?u=1&user=bob&user=x HTTP/1.1\r\nHost: h\r\n" lines "\r\n"
	assert_int_equal(kernel(HEAD(""), HR_HASH_QUERY, "user", &hash), HR_KEY_FOUND);
	assert_int_equal(hash, hr_plan_hash(HR_SLICE("bob"), 0));
	assert_int_equal(kernel(HEAD("X-U: bob\r\n"), HR_HASH_HEADER, "x-u", &hash), HR_KEY_FOUND);
	assert_int_equal(hash, hr_plan_hash(HR_SLICE("bob"), 0));
	assert_int_equal(
		kernel(HEAD("cookie: z=1;user=\"bob\"; a=2\r\n"), HR_HASH_COOKIE, "user", &hash),
		HR_KEY_FOUND);
	assert_int_equal(hash, hr_plan_hash(HR_SLICE("bob"), 0));
	assert_int_equal(kernel(HEAD("X-U: a\r\nx-u: b\r\n"), HR_HASH_HEADER, "x-u", &hash),
			 HR_KEY_DECLINED);
	assert_int_equal(kernel(HEAD("X-V: a\r\n"), HR_HASH_HEADER, "x-u", &hash), HR_KEY_ABSENT);
	assert_int_equal(kernel("GET / HTTP/1.1\r\nHost: h\r\n\r\n", HR_HASH_QUERY, "u", &hash),
			 HR_KEY_ABSENT);
}

/* A value of up to HR_HASH_VALUE_MAX bytes is hashed, to its last byte; a longer one is not. */
static void test_length(void **state)
{
	char value[HR_HASH_VALUE_MAX + 9], head[1024];

	(void)state;
	for (size_t n = 0; n <= HR_HASH_VALUE_MAX + 8; n++) {
		__u64 hash = 0;
		int r;

		memset(value, 'v', n);
		if (n)
			value[n - 1] = 'w';
		value[n] = 0;
		snprintf(head, sizeof(head), "GET /?k=%s HTTP/1.1\r\nHost: h\r\n\r\n", value);
		r = kernel(head, HR_HASH_QUERY, "k", &hash);
		assert_int_equal(r, n <= HR_HASH_VALUE_MAX ? HR_KEY_FOUND : HR_KEY_DECLINED);
		if (r == HR_KEY_FOUND)
			assert_int_equal(hash, hr_plan_hash(hr_slice_of(value), 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agree),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_length),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
