// SPDX-License-Identifier: Apache-2.0
/* ClientHellos, whole and in pieces, and what is none. The bytes are put together here, field by
 * field, so that each length can be made wrong. */
#include "unit.h"

#include <stdlib.h>

#include "core/cleanup.h"
#include "core/str.h"
#include "tls/hello.h"

static char sni[HR_SNI_MAX + 1];

static void number(struct hr_strbuf *b, size_t v, int bytes)
{
	while (bytes--)
		hr_sb_addc(b, (char)(v >> 8 * bytes));
}

/* A handshake message: a ClientHello with one server_name extension after another one. */
static void message(struct hr_strbuf *out, const char *name, size_t n)
{
	size_t ext = 2 + 1 + 2 + n, exts = 4 + 3 + 4 + ext;
	size_t body = 2 + 32 + 1 + 32 + 2 + 2 + 1 + 1 + 2 + exts;

	number(out, 1, 1);
	number(out, body, 3);
	number(out, 0x0303, 2);
	hr_sb_printf(out, "%032d", 7);
	number(out, 32, 1);
	hr_sb_printf(out, "%032d", 9);
	number(out, 2, 2);
	number(out, 0x1301, 2);
	number(out, 1, 1);
	number(out, 0, 1);
	number(out, exts, 2);
	number(out, 43, 2); /* supported_versions */
	number(out, 3, 2);
	number(out, 0x020304, 3);
	number(out, 0, 2); /* server_name */
	number(out, ext, 2);
	number(out, 1 + 2 + n, 2);
	number(out, 0, 1);
	number(out, n, 2);
	hr_sb_addn(out, name, n);
}

/* Into records of at most `piece` bytes. */
static void records(struct hr_strbuf *out, const struct hr_strbuf *m, size_t piece)
{
	for (size_t at = 0; at < m->len; at += piece) {
		size_t n = HR_MIN(piece, m->len - at);

		number(out, 22, 1);
		number(out, 0x0301, 2);
		number(out, n, 2);
		hr_sb_addn(out, m->data + at, n);
	}
}

static enum hr_hello_result look(const char *p, size_t n)
{
	char *copy = malloc(n ? n : 1); /* its own: the sanitizer sees reads behind the end */
	enum hr_hello_result r;

	memcpy(copy, p, n);
	r = hr_tls_hello(copy, n, sni);
	free(copy);
	return r;
}

static void test_pieces(void **state)
{
	const size_t pieces[] = {1, 5, 100, 4096};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(pieces); i++) {
		_cleanup_sb_ struct hr_strbuf m = {0}, r = {0};

		message(&m, "WWW.Example.org.", 16);
		records(&r, &m, pieces[i]);
		for (size_t n = 0; n < r.len; n++)
			assert_int_equal(look(r.data, n), HR_HELLO_MORE);
		assert_int_equal(look(r.data, r.len), HR_HELLO_FOUND);
		assert_string_equal(sni, "www.example.org");
		hr_sb_add(&r, "what follows is not looked at");
		assert_int_equal(look(r.data, r.len), HR_HELLO_FOUND);
	}
}

static void found_as(const char *name, size_t n, const char *want)
{
	_cleanup_sb_ struct hr_strbuf m = {0}, r = {0};

	message(&m, name, n);
	records(&r, &m, 4096);
	assert_int_equal(look(r.data, r.len), HR_HELLO_FOUND);
	assert_string_equal(sni, want);
}

/* Names that are no names leave the hello without one: no wildcard of a route is met by them. */
static void test_odd_names(void **state)
{
	char longest[HR_SNI_MAX + 1];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	found_as("", 0, "");
	found_as(".", 1, "");
	found_as("a\0b.org", 7, "");
	found_as("a b", 3, "");
	found_as("\xff.org", 5, "");
	found_as(longest, sizeof(longest), "");
	longest[HR_SNI_MAX] = '\0';
	found_as(longest, HR_SNI_MAX, longest);
}

static void test_none(void **state)
{
	static const char *const plain[] = {"GET / HTTP/1.1\r\n\r\n", "\x17\x03\x03", "\x16\x02",
					    "\x16\x03\x01\xff\xff", "\x16\x03\x01\x01\x00\x02"};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(plain); i++) {
		size_t n = i < 3 ? strlen(plain[i]) : i == 3 ? 5 : 6;

		assert_int_equal(look(plain[i], n), HR_HELLO_NONE);
	}
	assert_int_equal(look("\x16\x03\x01\0\0", 5), HR_HELLO_NONE); /* an empty record */
}

/* Every length in turn is made to say more than there is: never found, never read behind the end.
 */
static void test_lying_lengths(void **state)
{
	_cleanup_sb_ struct hr_strbuf m = {0};
	unsigned refused = 0;

	(void)state;
	message(&m, "a.org", 5);
	for (size_t i = 4; i < m.len; i++) {
		_cleanup_sb_ struct hr_strbuf r = {0};
		char was = m.data[i];

		m.data[i] = (char)0xff;
		records(&r, &m, 4096);
		refused += look(r.data, r.len) == HR_HELLO_NONE;
		m.data[i] = was;
	}
	/* session id, cipher suites, compression, extensions, an extension: ten bytes of lengths */
	assert_true(refused >= 8);
}

static void test_too_long(void **state)
{
	_cleanup_sb_ struct hr_strbuf r = {0};

	(void)state;
	number(&r, 22, 1);
	number(&r, 0x0301, 2);
	number(&r, 4, 2);
	number(&r, 1, 1);
	number(&r, HR_HELLO_MAX, 3);
	assert_int_equal(look(r.data, r.len), HR_HELLO_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),	 cmocka_unit_test(test_odd_names),
		cmocka_unit_test(test_none),	 cmocka_unit_test(test_lying_lengths),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
