// SPDX-License-Identifier: Apache-2.0
/*
 * The metrics endpoint against clients of all manners, and the access log against the values that
 * clients send.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "core/cleanup.h"
#include "observe/access.h"
#include "observe/scrape.h"

static const char *const addr = "127.0.0.1:15997";

static int page(void *ctx, struct hr_slice path, struct hr_strbuf *body, const char **type)
{
	(void)ctx;
	(void)type;
	if (!hr_slice_eq(path, HR_SLICE("/healthz")))
		return 404;
	hr_sb_add(body, "ok\n");
	return 200;
}

static int dial(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(15997)};
	struct timeval tv = {.tv_sec = 5};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void ask(const char *request, const char *expect)
{
	_cleanup_close_ int fd = dial();
	char buf[1024];
	size_t n = 0;
	ssize_t r;

	/* byte by byte: a head is done when it is done, not when a read returns */
	for (const char *p = request; *p; p++)
		if (send(fd, p, 1, MSG_NOSIGNAL) < 0)
			break;
	while (n < sizeof(buf) - 1 && (r = recv(fd, buf + n, sizeof(buf) - 1 - n, 0)) > 0)
		n += (size_t)r;
	buf[n] = 0;
	if (!strstr(buf, expect))
		fail_msg("%s\nanswered\n%s\nnot %s", request, buf, expect);
}

static void stop(void *loop)
{
	hr_loop_stop(loop);
}

static void *client(void *loop)
{
	_cleanup_close_ int silent = dial(); /* says nothing; must not hold up anybody */

	ask("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK");
	ask("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\nok\n");
	ask("GET /healthz?x=/y HTTP/1.0\r\n\r\n", "200 OK");
	ask("HEAD /healthz HTTP/1.1\r\n\r\n", "Content-Length: 3");
	ask("GET /etc/passwd HTTP/1.1\r\n\r\n", "404 Not Found");
	ask("POST /healthz HTTP/1.1\r\n\r\n", "405 Method");
	ask("GET http://a/ HTTP/1.1\r\n\r\n", "400 Bad Request");
	ask("GET /healthz\r\n\r\n", "400 Bad Request");
	ask("\x16\x03\x01\r\n\r\n", "400 Bad Request");
	hr_loop_post(loop, stop, loop);
	return NULL;
}

static void test_requests(void **state)
{
	_cleanup_sb_ struct hr_strbuf err = {};
	struct hr_scrape *s = NULL, *second = NULL;
	struct hr_loop *loop = NULL;
	pthread_t t;

	(void)state;
	assert_int_equal(hr_loop_new(&loop), 0);
	assert_int_equal(hr_scrape_new(&s, loop, addr, page, NULL, &err), 0);
	assert_int_equal(hr_scrape_new(&second, loop, addr, page, NULL, &err), -EADDRINUSE);
	assert_non_null(strstr(hr_sb_str(&err), addr));
	pthread_create(&t, NULL, client, loop);
	hr_loop_run(loop);
	pthread_join(t, NULL);
	hr_scrape_free(s);
	hr_loop_free(loop);
}

static void test_addresses(void **state)
{
	static const char *const bad[] = {"",		"15020",	   "127.0.0.1",
					  "127.0.0.1:", "127.0.0.1:99999", "host.example:1",
					  "[::1:1"};
	struct hr_scrape *s = NULL;
	struct hr_loop *loop = NULL;

	(void)state;
	assert_int_equal(hr_loop_new(&loop), 0);
	for (size_t i = 0; i < HR_ARRAY_SIZE(bad); i++) {
		_cleanup_sb_ struct hr_strbuf err = {};

		assert_int_equal(hr_scrape_new(&s, loop, bad[i], page, NULL, &err), -EINVAL);
	}
	hr_loop_free(loop);
}

/* Quotes, newlines and bytes that are no UTF-8 in a path: still one line, still JSON. */
static void test_access_line_is_json(void **state)
{
	_cleanup_free_ char *longest = malloc(5001);
	_cleanup_sb_ struct hr_strbuf out = {};
	const struct hr_access rec = {.method = "GET",
				      .path = longest,
				      .host = "a\"b\n\xff{}",
				      .route = "",
				      .cluster = "",
				      .upstream = "10.0.0.1:80",
				      .flags = "UH",
				      .status = 503,
				      .why = HR_WHY_UPGRADE,
				      .dur_us = 1234};
	json_t *j;

	(void)state;
	memset(longest, 'x', 5000);
	longest[5000] = 0;
	hr_access_line(&rec, &out);
	assert_ptr_equal(strchr(out.data, '\n'), out.data + out.len - 1);
	j = json_loads(out.data, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	assert_int_equal(json_integer_value(json_object_get(j, "status")), 503);
	assert_int_equal(json_string_length(json_object_get(j, "path")), 1024);
	assert_string_equal(json_string_value(json_object_get(j, "why")), "upgrade");
	assert_true(json_is_null(json_object_get(j, "route")));
	json_decref(j);
}

/* Nobody reads the pipe: lines are dropped and counted, the worker never waits. */
/* The bytes of a request line are the client's: bounded, cut at what ends them, escaped. */
static void test_access_of_the_kernel(void **state)
{
	static const struct {
		const char *line, *method, *path;
		uint32_t why, slot;
		uint16_t status;
		const char *flags;
	} cases[] = {
		{"GET /a?b=c HTTP/1.1\r\nHost: x", "GET", "/a", HR_WHY_NATIVE, 0, 200, NULL},
		{"GET /\"{}\x01 HTTP/1.1", "GET", "/\"{}\x01", HR_WHY_MOVED, HR_FLAG_DC, 0, "DC"},
		{"POST /cut-off-in-the-mid", "POST", "/cut-off-in-the-mid", HR_WHY_LOCAL,
		 HR_FLAG_NR, 404, "NR"},
		{"GET / HTTP/1.1", "GET", "/", HR_WHY_LOCAL, HR_FLAG_UO, 503, "UO"},
		{"", "", "", HR_WHY_LOCAL, HR_FLAG_UH, 503, "UH"},
		{"GET / HTTP/1.1", "GET", "/", HR_WHY_LOCAL, HR_FLAG_FI, 418, "FI"},
	};
	struct hr_plan plan = {};
	char path[] = "/tmp/hr-access-XXXXXX", text[2048];
	int fd = mkstemp(path);

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(cases); i++) {
		_cleanup_sb_ struct hr_strbuf err = {};
		struct hr_access_event ev = {.ev = {.why = (uint16_t)cases[i].why,
						    .slot = cases[i].slot,
						    .status = cases[i].status},
					     .seen = {.host = "svc", .host_len = 3}};
		struct hr_access_log *log = NULL;
		const char *m, *p;
		ssize_t n;
		json_t *j;

		ev.seen.line_len = (uint16_t)strlen(cases[i].line);
		memcpy(ev.seen.line, cases[i].line, ev.seen.line_len);
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(hr_access_open(&log, path, &err), 0);
		hr_access_kernel(log, &plan, &ev);
		hr_access_close(log);
		n = pread(fd, text, sizeof(text) - 1, 0);
		assert_true(n > 0);
		text[n] = 0;
		j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
		m = json_string_value(json_object_get(j, "method"));
		p = json_string_value(json_object_get(j, "path"));
		assert_string_equal(m ? m : "", cases[i].method);
		assert_string_equal(p ? p : "", cases[i].path);
		if (cases[i].flags)
			assert_string_equal(json_string_value(json_object_get(j, "flags")),
					    cases[i].flags);
		assert_string_equal(json_string_value(json_object_get(j, "carrier")), "kernel");
		assert_string_equal(json_string_value(json_object_get(j, "host")), "svc");
		json_decref(j);
	}
	close(fd);
	unlink(path);
}

static void test_access_log_never_waits(void **state)
{
	const struct hr_access rec = {.method = "GET", .path = "/", .host = "a"};
	char path[] = "/tmp/headrace-test-access-XXXXXX";
	_cleanup_sb_ struct hr_strbuf err = {};
	struct hr_access_log *log = NULL;
	int reader;

	(void)state;
	assert_non_null(mkdtemp(path));
	char fifo[64];
	snprintf(fifo, sizeof(fifo), "%s/log", path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	reader = open(fifo, O_RDONLY | O_NONBLOCK);
	assert_int_equal(hr_access_open(&log, fifo, &err), 0);
	for (int i = 0; i < 2000; i++)
		hr_access_write(log, &rec);
	assert_true(hr_access_dropped(log) > 0);
	assert_true(hr_access_dropped(log) < 2000);
	hr_access_close(log);
	close(reader);
	unlink(fifo);
	rmdir(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_access_line_is_json),
		cmocka_unit_test(test_access_of_the_kernel),
		cmocka_unit_test(test_access_log_never_waits),
	};

	return cmocka_run_group_tests_name("observe scrape", tests, NULL, NULL);
}
