// SPDX-License-Identifier: Apache-2.0
/* Bodies as they stream by: nothing is kept, so long and hostile ones cost no memory. */
#include "unit.h"

#include <stdlib.h>

#include "http/http1.h"

static struct hr_http_body body;

static void begin(enum hr_http_framing framing, uint64_t length)
{
	struct hr_http_msg m;

	hr_http_init(&m, HR_HTTP_REQUEST, false);
	m.framing = framing;
	m.content_length = length;
	hr_http_body_init(&body, &m);
}

static enum hr_http_result feed(const char *text)
{
	size_t used;

	return hr_http_body_skip(&body, text, strlen(text), &used);
}

/* A step never takes bytes of the next message, and names the payload among what it took. */
static void test_steps(void **state)
{
	const char in[] = "5;x\r\nhello\r\n0\r\n\r\nGET";
	struct hr_http_step s;

	(void)state;
	begin(HR_BODY_CHUNKED, 0);
	assert_int_equal(hr_http_body_next(&body, in, sizeof(in) - 1, &s), HR_HTTP_MORE);
	assert_int_equal(s.used, 10);
	assert_memory_equal(in + s.payload, "hello", 5);
	assert_int_equal(s.payload_len, 5);
	assert_int_equal(hr_http_body_next(&body, in + 10, sizeof(in) - 11, &s), HR_HTTP_OK);
	assert_int_equal(s.used, 7);
	assert_int_equal(s.payload_len, 0);
	assert_int_equal(hr_http_body_next(&body, "x", 1, &s), HR_HTTP_OK);
	assert_int_equal(s.used, 0);
}

static void test_length(void **state)
{
	struct hr_http_step s;

	(void)state;
	begin(HR_BODY_LENGTH, 0);
	assert_true(body.done);
	begin(HR_BODY_LENGTH, 5);
	assert_int_equal(hr_http_body_next(&body, "hel", 3, &s), HR_HTTP_MORE);
	assert_false(hr_http_body_eof(&body));
	assert_int_equal(hr_http_body_next(&body, "loGET", 5, &s), HR_HTTP_OK);
	assert_int_equal(s.used, 2);
	assert_true(hr_http_body_eof(&body));
	begin(HR_BODY_UNTIL_CLOSE, 0);
	assert_int_equal(hr_http_body_next(&body, "abc", 3, &s), HR_HTTP_MORE);
	assert_true(hr_http_body_eof(&body));
	begin(HR_BODY_CHUNKED, 0);
	assert_int_equal(feed("5\r\nhel"), HR_HTTP_MORE);
	assert_false(hr_http_body_eof(&body));
}

/* THREATS.md: a million chunks of one byte are slow, not wrong. */
static void test_one_byte_chunks(void **state)
{
	(void)state;
	begin(HR_BODY_CHUNKED, 0);
	for (int i = 0; i < 1000000; i++)
		if (feed("1\r\nx\r\n") != HR_HTTP_MORE)
			fail();
	assert_int_equal(feed("0\r\n\r\n"), HR_HTTP_OK);
	assert_int_equal(body.payload, 1000000);
}

/* Extensions are bounded over the whole message, not per chunk. */
static void test_extension_bound(void **state)
{
	int chunks = 0;

	(void)state;
	begin(HR_BODY_CHUNKED, 0);
	while (feed("1;0123456\r\nx\r\n") == HR_HTTP_MORE)
		chunks++;
	assert_int_equal(chunks, HR_CHUNK_EXT_MAX / 8);
	assert_int_equal(body.error.status, 400);
	assert_non_null(body.error.reason);
	/* final */
	assert_int_equal(feed("1\r\nx\r\n"), HR_HTTP_ERROR);
}

static void test_trailer_bounds(void **state)
{
	static char big[HR_HEAD_MAX + 1];

	(void)state;
	begin(HR_BODY_CHUNKED, 0);
	feed("0\r\n");
	for (int i = 0; i < HR_HEADERS_MAX; i++)
		assert_int_equal(feed("a: b\r\n"), HR_HTTP_MORE);
	assert_int_equal(feed("a: b\r\n"), HR_HTTP_ERROR);
	begin(HR_BODY_CHUNKED, 0);
	feed("0\r\nx: ");
	memset(big, 'v', sizeof(big) - 1);
	assert_int_equal(feed(big), HR_HTTP_ERROR);
	/* a long name is not a forbidden one by its beginning */
	begin(HR_BODY_CHUNKED, 0);
	assert_int_equal(feed("0\r\ncontent-length-of-something-that-is-long: 1\r\n\r\n"),
			 HR_HTTP_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),		cmocka_unit_test(test_length),
		cmocka_unit_test(test_one_byte_chunks), cmocka_unit_test(test_extension_bound),
		cmocka_unit_test(test_trailer_bounds),
	};

	return cmocka_run_group_tests_name("http body", tests, NULL, NULL);
}
