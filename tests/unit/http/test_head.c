// SPDX-License-Identifier: Apache-2.0
/* Heads: limits, what is read out of them, and questions asked of them afterwards. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>

#include "http/http1.h"

static struct hr_http_msg m;

static enum hr_http_result parse(enum hr_http_kind kind, const char *text)
{
	hr_http_init(&m, kind, false);
	return hr_http_parse(&m, text, strlen(text));
}

static void assert_slice(struct hr_slice s, const char *text)
{
	assert_int_equal(s.n, strlen(text));
	assert_memory_equal(s.p, text, s.n);
}

static void test_request_parts(void **state)
{
	(void)state;
	assert_int_equal(parse(HR_HTTP_REQUEST,
			       "GET /a%20b?x=1&y HTTP/1.1\r\nHost: Shop.Default.:8080"
			       "\r\nA:  b c \t\r\n\r\nrest"),
			 HR_HTTP_OK);
	assert_slice(hr_http_str(&m, m.method), "GET");
	assert_slice(hr_http_path(&m), "/a%20b");
	assert_slice(hr_http_str(&m, m.query), "x=1&y");
	assert_true(m.has_query);
	assert_slice(hr_http_host(&m), "shop.default");
	assert_int_equal(m.host_port, 8080);
	assert_slice(hr_http_get(&m, HR_SLICE("a")), "b c");
	assert_null(hr_http_get(&m, HR_SLICE("b")).p);
	assert_int_equal(m.framing, HR_BODY_NONE);
	assert_true(m.keep_alive);
	assert_slice((struct hr_slice){m.base + m.head_len, 4}, "rest");
}

/* http://host?query has no path: it means "/" (RFC 9112 section 3.2.2). */
static void test_absolute_form(void **state)
{
	(void)state;
	assert_int_equal(parse(HR_HTTP_REQUEST, "GET HTTP://a:81?q HTTP/1.1\r\nHost: a:81\r\n\r\n"),
			 HR_HTTP_OK);
	assert_int_equal(m.form, HR_TARGET_ABSOLUTE);
	assert_slice(hr_http_path(&m), "/");
	assert_slice(hr_http_str(&m, m.query), "q");
	assert_slice(hr_http_str(&m, m.authority), "a:81");
	/* HTTP/1.0 without Host: the target has it */
	assert_int_equal(parse(HR_HTTP_REQUEST, "GET https://B./x HTTP/1.0\r\n\r\n"), HR_HTTP_OK);
	assert_slice(hr_http_host(&m), "b");
	assert_true(m.https);
}

/* The caller's buffer may move while a head is incomplete, and after. */
static void test_buffer_moves(void **state)
{
	const char text[] = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n";
	char a[64], b[64];

	(void)state;
	memset(a, 0, sizeof(a));
	memcpy(a, text, 20);
	hr_http_init(&m, HR_HTTP_REQUEST, false);
	assert_false(hr_http_started(&m));
	assert_int_equal(hr_http_parse(&m, a, 20), HR_HTTP_MORE);
	assert_true(hr_http_started(&m));
	memcpy(b, text, sizeof(text));
	memset(a, 'z', sizeof(a));
	assert_int_equal(hr_http_parse(&m, b, sizeof(text) - 1), HR_HTTP_OK);
	assert_slice(hr_http_path(&m), "/x");
	memcpy(a, b, sizeof(b));
	memset(b, 'z', sizeof(b));
	m.base = a;
	assert_slice(hr_http_get(&m, HR_SLICE("HOST")), "h");
}

static enum hr_http_result parse_sized(size_t target, size_t fields, size_t value)
{
	static char text[64 * 1024];
	char *p = text + sprintf(text, "GET /");

	memset(p, 'a', target);
	p += target;
	p += sprintf(p, " HTTP/1.1\r\nHost: h\r\n");
	for (size_t i = 1; i < fields; i++) {
		p += sprintf(p, "x: ");
		memset(p, 'v', value);
		p += value;
		p += sprintf(p, "\r\n");
	}
	p += sprintf(p, "\r\n");
	hr_http_init(&m, HR_HTTP_REQUEST, false);
	return hr_http_parse(&m, text, p - text);
}

static void test_limits(void **state)
{
	const size_t fixed = sizeof("GET / HTTP/1.1\r\n") - 1;

	(void)state;
	assert_int_equal(parse_sized(HR_REQLINE_MAX - fixed, 1, 0), HR_HTTP_OK);
	assert_int_equal(parse_sized(HR_REQLINE_MAX - fixed + 1, 1, 0), HR_HTTP_ERROR);
	assert_int_equal(m.error.status, 414);
	assert_int_equal(parse_sized(1, HR_HEADERS_MAX, 1), HR_HTTP_OK);
	assert_int_equal(parse_sized(1, HR_HEADERS_MAX + 1, 1), HR_HTTP_ERROR);
	assert_int_equal(m.error.status, 431);
	assert_int_equal(parse_sized(1, 2, HR_HEAD_MAX), HR_HTTP_ERROR);
	assert_int_equal(m.error.status, 431);
	/* the last byte that fits */
	assert_int_equal(parse_sized(1, 2, HR_HEAD_MAX - fixed - 1 - 9 - 5 - 2), HR_HTTP_OK);
	assert_int_equal(m.head_len, HR_HEAD_MAX);
	assert_int_equal(parse_sized(1, 2, HR_HEAD_MAX - fixed - 1 - 9 - 5 - 1), HR_HTTP_ERROR);
	/* an error is final */
	assert_int_equal(hr_http_parse(&m, "GET / HTTP/1.0\r\n\r\n", 18), HR_HTTP_ERROR);
}

static void test_persistence(void **state)
{
	static const struct {
		const char *text;
		bool keep, close, upgrade;
	} t[] = {
		{"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true, false, false},
		{"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", false, true, false},
		{"GET / HTTP/1.1\r\nHost: h\r\nConnection: a\r\nConnection: close\r\n\r\n", false,
		 true, false},
		{"GET / HTTP/1.0\r\n\r\n", false, false, false},
		{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, false, false},
		{"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false, true, false},
		{"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		 true, false, true},
		{"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n", true, false, false},
		{"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", false,
		 false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(parse(HR_HTTP_REQUEST, t[i].text), HR_HTTP_OK);
		assert_int_equal(m.keep_alive, t[i].keep);
		assert_int_equal(m.connection_close, t[i].close);
		assert_int_equal(m.upgrade, t[i].upgrade);
	}
	assert_int_equal(parse(HR_HTTP_RESPONSE, "HTTP/1.1 200 OK\r\n\r\n"), HR_HTTP_OK);
	assert_false(m.keep_alive);
	assert_int_equal(parse(HR_HTTP_RESPONSE, "HTTP/1.1 103 Early Hints\r\n\r\n"), HR_HTTP_OK);
	assert_true(m.interim && m.keep_alive);
}

static void test_expect(void **state)
{
	(void)state;
	assert_int_equal(parse(HR_HTTP_REQUEST, "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue"
						"\r\nContent-Length: 3\r\n\r\n"),
			 HR_HTTP_OK);
	assert_true(m.expect_continue);
	/* nobody waits for a body that is not there, and HTTP/1.0 knows no Expect */
	assert_int_equal(
		parse(HR_HTTP_REQUEST, "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n"),
		HR_HTTP_OK);
	assert_false(m.expect_continue);
	assert_int_equal(parse(HR_HTTP_REQUEST, "PUT / HTTP/1.0\r\nExpect: 100-continue"
						"\r\nContent-Length: 3\r\n\r\n"),
			 HR_HTTP_OK);
	assert_false(m.expect_continue);
}

/* Policies see every value of a repeated header, joined with "," (SEMANTICS.md). */
static void test_joined(void **state)
{
	static struct hr_http_joins j;
	struct hr_slice first;

	(void)state;
	assert_int_equal(parse(HR_HTTP_REQUEST,
			       "GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB:\r\na: 2\r\nb: x"
			       "\r\nA: 3\r\nC: only\r\n\r\n"),
			 HR_HTTP_OK);
	hr_http_joins_reset(&j);
	first = hr_http_joined(&m, HR_SLICE("a"), &j);
	assert_slice(first, "1,2,3");
	assert_slice(hr_http_joined(&m, HR_SLICE("b"), &j), ",x");
	assert_slice(hr_http_joined(&m, HR_SLICE("c"), &j), "only");
	assert_null(hr_http_joined(&m, HR_SLICE("d"), &j).p);
	/* asked again: the same bytes, no new storage */
	assert_ptr_equal(hr_http_joined(&m, HR_SLICE("A"), &j).p, first.p);
	assert_int_equal(j.n, 2);
}

static void test_hop_fields(void **state)
{
	struct hr_http_hops h;
	static const bool hop[] = {false, true, true, true, true, true, true, false, false};

	(void)state;
	assert_int_equal(
		parse(HR_HTTP_REQUEST,
		      "GET / HTTP/1.1\r\nHost: h\r\nConnection: X-Private, keep-alive\r\n"
		      "Keep-Alive: 5\r\nX-Private: 1\r\nTE: trailers\r\nUpgrade: x\r\n"
		      "Proxy-Connection: close\r\nContent-Length: 0\r\nX-Public: 1\r\n\r\n"),
		HR_HTTP_OK);
	hr_http_hop_fields(&m, &h);
	assert_int_equal(m.nfields, sizeof(hop) / sizeof(hop[0]));
	for (size_t i = 0; i < m.nfields; i++)
		assert_int_equal(hr_http_is_hop(&h, i), hop[i]);
}

static void test_host_norm(void **state)
{
	static const struct {
		const char *raw, *host;
		unsigned port;
	} t[] = {
		{"A.B", "a.b", 0},
		{"a.b.:80", "a.b", 80},
		{"10.0.0.1:8080", "10.0.0.1", 8080},
		{"[FD00::1]", "[fd00::1]", 0},
		{"[::ffff:1.2.3.4]:9", "[::ffff:1.2.3.4]", 9},
		{"a:", "a", 0},
		{"a_b-c", "a_b-c", 0},
	};
	static const char *const bad[] = {"",	      ".",    ":80",	 "a b",	 "a,b",
					  "a/b",      "a@b",  "[]",	 "[::1", "a:b",
					  "a:123456", "a:-1", "[::1]80", "a%41", "*"};
	char out[HR_HTTP_HOST_MAX + 1];
	uint16_t port;
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(hr_http_host_norm(hr_slice_of(t[i].raw), out, &n, &port), 0);
		assert_string_equal(out, t[i].host);
		assert_int_equal(n, strlen(out));
		assert_int_equal(port, t[i].port);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(hr_http_host_norm(hr_slice_of(bad[i]), out, &n, &port), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_parts), cmocka_unit_test(test_absolute_form),
		cmocka_unit_test(test_buffer_moves),  cmocka_unit_test(test_limits),
		cmocka_unit_test(test_persistence),   cmocka_unit_test(test_expect),
		cmocka_unit_test(test_joined),	      cmocka_unit_test(test_hop_fields),
		cmocka_unit_test(test_host_norm),
	};

	return cmocka_run_group_tests_name("http head", tests, NULL, NULL);
}
