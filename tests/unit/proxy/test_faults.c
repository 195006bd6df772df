// SPDX-License-Identifier: Apache-2.0
/*
 * What goes wrong: servers that close, reset, answer garbage, late or twice; clients that are
 * slow, wrong or gone. Never a hang, always the answer that Envoy's users know, and no connection
 * is used again that is not clean.
 */
#include "rig.h"

static struct rig r;

static void test_upstream_faults(void **state)
{
	static const struct {
		const char *request;
		int status;
		const char *flags;
	} rows[] = {
		{GET("/close"), 503, "UC"},
		{GET("/reset"), 503, "UC"},
		{GET("/garbage"), 502, "UPE"},
		{GET("/storm"), 502, "UPE"},
	};
	struct answer a = {};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = cl_open(&r);

		cl_free(&a);
		cl_send(fd, rows[i].request);
		do
			assert_true(cl_answer(fd, &a, false));
		while (a.status < 200);
		close(fd);
		assert_int_equal(a.status, rows[i].status);
		assert_non_null(strcasestr(a.head, "server: headrace"));
		rig_flags(&r, rows[i].flags);
	}
	cl_free(&a);
}

/* An answer that is cut short must not look complete. */
static void test_partial(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);

	(void)state;
	cl_send(fd, GET("/partial"));
	assert_false(cl_answer(fd, &a, false));
	assert_int_equal(a.status, 200);
	close(fd);
	rig_flags(&r, "UC");
	cl_free(&a);
}

/* The second answer of a server that answers twice reaches nobody. */
static void test_twice(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);

	(void)state;
	for (int i = 0; i < 20; i++) {
		cl_send(fd, GET("/twice"));
		assert_true(cl_answer(fd, &a, false));
		assert_string_equal(a.body, "first");
		usleep(20000); /* bytes after the next request could not be told from its answer */
		cl_send(fd, GET("/id/clean"));
		assert_true(cl_answer(fd, &a, false));
		assert_string_equal(a.body, "clean");
	}
	close(fd);
	cl_free(&a);
}

static void test_nobody_there(void **state)
{
	struct answer a = {};

	(void)state;
	strcpy(r.vip, "10.9.0.2");
	assert_int_equal(cl_once(&r, "GET / HTTP/1.1\r\nHost: dead\r\n\r\n", &a), 503);
	rig_flags(&r, "UF,URX");
	assert_int_equal(r.tries, 3); /* the default: two more tries */
	assert_non_null(strstr(a.body, "connection failure"));
	strcpy(r.vip, "10.9.0.3");
	assert_int_equal(cl_once(&r, "GET / HTTP/1.1\r\nHost: empty\r\n\r\n", &a), 503);
	rig_flags(&r, "UH");
	assert_string_equal(a.body, "no healthy upstream");
	strcpy(r.vip, "10.9.0.1");
	cl_free(&a);
}

/* Smuggling vectors and limits: answered, then closed; the server sees nothing of them. */
static void test_bad_requests(void **state)
{
	static char big[40000], line[12000], many[8000];
	const struct {
		const char *request;
		int status;
	} rows[] = {
		{"GET / HTTP/1.1\nHost: web\n\n", 400},
		{"GET / HTTP/1.1\r\nHost: web\r\nHost: two\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nHost : web\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		 400},
		{"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 5, 6\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: +5\r\n\r\n", 400},
		{"POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
		{"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400},
		{"GET /a%00b HTTP/1.1\r\nHost: web\r\n\r\n", 400},
		{"CONNECT web:80 HTTP/1.1\r\nHost: web\r\n\r\n", 501},
		{"GET / HTTP/3.0\r\nHost: web\r\n\r\n", 505},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
		{big, 431},
		{line, 414},
		{many, 431},
	};
	struct answer a = {};
	int before = r.origin.requests;

	(void)state;
	snprintf(big, sizeof(big), "GET / HTTP/1.1\r\nHost: web\r\nX: %030000d\r\n\r\n", 1);
	snprintf(line, sizeof(line), "GET /%09000d HTTP/1.1\r\nHost: web\r\n\r\n", 1);
	strcpy(many, "GET / HTTP/1.1\r\nHost: web\r\n");
	for (int i = 0; i < 120; i++)
		strcat(many, "X-Some-Field: value\r\n");
	strcat(many, "\r\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = cl_open(&r);

		cl_send(fd, rows[i].request);
		cl_send(fd, GET("/id/smuggled"));
		if (!cl_answer(fd, &a, false) || a.status != rows[i].status)
			fail_msg("row %zu: %d", i, a.status);
		assert_true(a.close);
		assert_int_equal(a.nrest, 0);
		assert_true(cl_at_end(fd));
		close(fd);
		cl_free(&a);
	}
	/* the one whose head was good got as far as its body */
	assert_in_range(r.origin.requests - before, 0, 1);
}

/* One byte a second never holds a connection for longer than the head's time. */
static void test_slow_head(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);

	(void)state;
	for (int i = 0; i < 20; i++)
		if (!o_send(fd, "GET /slow-loris HTTP/1.1\r\n" + i, 1))
			break;
		else
			usleep(30000);
	assert_true(cl_answer(fd, &a, false));
	assert_int_equal(a.status, 408);
	assert_true(cl_at_end(fd));
	close(fd);
	cl_free(&a);
}

/* An idle connection is closed without a word; a body that stops is answered 408. */
static void test_idle(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);

	(void)state;
	assert_true(cl_at_end(fd));
	close(fd);
	fd = cl_open(&r);
	cl_send(fd, "POST /upload HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nab");
	assert_true(cl_answer(fd, &a, false));
	assert_int_equal(a.status, 408);
	close(fd);
	cl_free(&a);
}

/* A client that goes away in the middle: its upstream connection is not used for another. */
static void test_client_gone(void **state)
{
	struct answer a = {};

	(void)state;
	for (int i = 0; i < 20; i++) {
		int fd = cl_open(&r);

		cl_send(fd, GET("/slow/100/nobody"));
		if (i % 2) {
			usleep(10000);
			o_reset(fd);
		}
		close(fd);
		assert_int_equal(cl_once(&r, GET("/id/mine"), &a), 200);
		assert_string_equal(a.body, "mine");
	}
	cl_free(&a);
}

static void test_request_cut(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);

	(void)state;
	cl_send(fd, "POST /upload HTTP/1.1\r\nHost: web\r\nContent-Length: 50\r\n\r\nab");
	shutdown(fd, SHUT_WR);
	assert_true(cl_answer(fd, &a, false));
	assert_int_equal(a.status, 400);
	close(fd);
	cl_free(&a);
}

/* Hosts that nobody owns pass through to the original address. */
static void test_pass_through(void **state)
{
	struct answer a = {};

	(void)state;
	strcpy(r.vip, "127.0.0.3");
	r.vip_port = r.origin.port;
	assert_int_equal(cl_once(&r, "GET /addr HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", &a),
			 200);
	assert_string_equal(a.body, "127.0.0.3");
	/* the proxy does not connect to itself */
	strcpy(r.vip, "127.0.0.1");
	r.vip_port = r.ports.door_port;
	assert_int_equal(cl_once(&r, "GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", &a), 502);
	strcpy(r.vip, "10.9.0.1");
	r.vip_port = 80;
	cl_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upstream_faults),
		cmocka_unit_test(test_partial),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_slow_head),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_client_gone),
		cmocka_unit_test(test_request_cut),
		cmocka_unit_test(test_pass_through),
	};

	rig_start_opts(&r, "",
		       (struct hr_proxy_opts){.header_timeout_ms = 300, .idle_timeout_ms = 800});
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	rig_stop(&r);
	return failed;
}
