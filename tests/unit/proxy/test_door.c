// SPDX-License-Identifier: Apache-2.0
/*
 * Door A carries HTTP/1.1 as the messages say: keep-alive, pipelining, every framing, both ways.
 */
#include "rig.h"

static struct rig r;

/* Many requests on one connection, each answered with its own id. */
static void test_keep_alive(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);
	int before = r.origin.connections;

	(void)state;
	for (int i = 0; i < 200; i++) {
		char q[128], want[32];

		snprintf(want, sizeof(want), "n%d", i);
		snprintf(q, sizeof(q), "GET /id/n%d HTTP/1.1\r\nHost: web\r\n\r\n", i);
		cl_send(fd, q);
		assert_true(cl_answer(fd, &a, false));
		assert_int_equal(a.status, 200);
		assert_string_equal(a.body, want);
		assert_false(a.close);
	}
	/* two endpoints: upstream connections are kept as well */
	assert_in_range(r.origin.connections - before, 0, 2);
	close(fd);
	cl_free(&a);
}

/* Answers come in the order of the requests, also when the first takes longest. */
static void test_pipelining(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);
	struct hr_strbuf q = {};

	(void)state;
	hr_sb_add(&q, "GET /slow/150/first HTTP/1.1\r\nHost: web\r\n\r\n");
	for (int i = 0; i < 300; i++)
		hr_sb_printf(&q, "GET /id/p%d HTTP/1.1\r\nHost: web\r\n\r\n", i);
	assert_true(o_send(fd, q.data, q.len));
	assert_true(cl_answer(fd, &a, false));
	assert_string_equal(a.body, "first");
	for (int i = 0; i < 300; i++) {
		char want[16];

		snprintf(want, sizeof(want), "p%d", i);
		assert_true(cl_answer(fd, &a, false));
		assert_string_equal(a.body, want);
	}
	assert_int_equal(a.nrest, 0);
	close(fd);
	hr_sb_free(&q);
	cl_free(&a);
}

/* A head that comes byte by byte is the same head. */
static void test_split_head(void **state)
{
	const char *q = "GET /id/split HTTP/1.1\r\nHost: web\r\nX-Long: aaaaaaaaaaaaaa\r\n\r\n";
	struct answer a = {};
	int fd = cl_open(&r);

	(void)state;
	for (const char *p = q; *p; p++) {
		assert_true(o_send(fd, p, 1));
		usleep(500);
	}
	assert_true(cl_answer(fd, &a, false));
	assert_string_equal(a.body, "split");
	close(fd);
	cl_free(&a);
}

/* Chunked answers keep their chunks and trailers; HTTP/1.0 clients get the bare payload. */
static void test_chunked_answer(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);

	(void)state;
	cl_send(fd, GET("/chunks"));
	assert_true(cl_answer(fd, &a, false));
	assert_memory_equal(a.body, "hello world", 11);
	assert_int_equal(a.len, 11);
	cl_send(fd, GET("/id/after"));
	assert_true(cl_answer(fd, &a, false));
	assert_string_equal(a.body, "after");
	close(fd);
	cl_free(&a);

	fd = cl_open(&r);
	cl_send(fd, "GET /chunks HTTP/1.0\r\nHost: web\r\nConnection: keep-alive\r\n\r\n");
	assert_true(cl_answer(fd, &a, false));
	assert_null(strcasestr(a.head, "chunked"));
	assert_string_equal(a.body, "hello world");
	assert_true(a.close);
	close(fd);
	cl_free(&a);
}

/* A body without length becomes chunked, so that the client's connection lives on. */
static void test_until_close(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);

	(void)state;
	cl_send(fd, GET("/until-close"));
	assert_true(cl_answer(fd, &a, false));
	assert_string_equal(a.body, "to the end");
	assert_false(a.close);
	cl_send(fd, GET("/id/after"));
	assert_true(cl_answer(fd, &a, false));
	assert_string_equal(a.body, "after");
	close(fd);
	cl_free(&a);
}

static void test_http10(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);

	(void)state;
	cl_send(fd, "GET /id/old HTTP/1.0\r\nHost: web\r\nConnection: keep-alive\r\n\r\n");
	assert_true(cl_answer(fd, &a, false));
	assert_non_null(strcasestr(a.head, "connection: keep-alive"));
	cl_send(fd, "GET /id/old2 HTTP/1.0\r\nHost: web\r\n\r\n");
	assert_true(cl_answer(fd, &a, false));
	assert_string_equal(a.body, "old2");
	assert_true(cl_at_end(fd));
	close(fd);
	cl_free(&a);
}

static void test_head_and_bodiless(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);

	(void)state;
	cl_send(fd, "HEAD /head HTTP/1.1\r\nHost: web\r\n\r\n");
	assert_true(cl_answer(fd, &a, true));
	assert_non_null(strcasestr(a.head, "content-length: 1234"));
	cl_send(fd, GET("/id/x"));
	assert_true(cl_answer(fd, &a, false));
	assert_string_equal(a.body, "x");
	close(fd);
	cl_free(&a);
}

/* Uploads of every framing arrive byte for byte. The origin answers length and checksum. */
static void test_uploads(void **state)
{
	enum { SIZE = 3 * 1024 * 1024 };
	char *body = malloc(SIZE), want[64], head[256];
	struct answer a = {};
	uint32_t sum;
	int fd = cl_open(&r);

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		body[i] = (char)(i * 7 + i / 251);
	sum = sum_add(0, body, SIZE);
	snprintf(want, sizeof(want), "%d %u", SIZE, sum);

	snprintf(head, sizeof(head),
		 "POST /upload HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\n", SIZE);
	cl_send(fd, head);
	assert_true(o_send(fd, body, SIZE));
	assert_true(cl_answer(fd, &a, false));
	assert_string_equal(a.body, want);

	cl_send(fd, "POST /upload HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (size_t at = 0, n; at < SIZE; at += n) {
		n = 1 + (at * 31) % 50000;
		n = n < SIZE - at ? n : SIZE - at;
		snprintf(head, sizeof(head), "%zx\r\n", n);
		cl_send(fd, head);
		assert_true(o_send(fd, body + at, n));
		cl_send(fd, "\r\n");
	}
	cl_send(fd, "0\r\nX-Trailer: t\r\n\r\n");
	assert_true(cl_answer(fd, &a, false));
	assert_string_equal(a.body, want);
	close(fd);
	free(body);
	cl_free(&a);
}

static void test_downloads(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);

	(void)state;
	for (int i = 0; i < 3; i++) {
		cl_send(fd, GET("/big/5000000"));
		assert_true(cl_answer(fd, &a, false));
		assert_int_equal(a.len, 5000000);
		for (size_t j = 0; j < a.len; j++)
			if (a.body[j] != (char)('a' + j % 23))
				fail_msg("byte %zu is wrong", j);
	}
	close(fd);
	cl_free(&a);
}

/* Expect: 100-continue: the interim answer comes through, then the body goes. */
static void test_continue(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);

	(void)state;
	cl_send(fd, "POST /continue HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\n"
		    "Content-Length: 5\r\n\r\n");
	assert_true(cl_answer(fd, &a, false));
	assert_int_equal(a.status, 100);
	cl_send(fd, "abcde");
	assert_true(cl_answer(fd, &a, false));
	assert_int_equal(a.status, 200);
	assert_memory_equal(a.body, "5 ", 2);
	close(fd);
	cl_free(&a);
}

/* Upgrade: bytes sent before the 101 are held back and then belong to the new protocol. */
static void test_upgrade(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);

	(void)state;
	cl_send(fd, "GET /upgrade HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: echo\r\n"
		    "\r\nearly");
	assert_true(cl_answer(fd, &a, false));
	assert_int_equal(a.status, 101);
	assert_non_null(strcasestr(a.head, "upgrade: echo"));
	cl_send(fd, " later");
	while (a.nrest < strlen("helloearly later"))
		assert_true(cl_more(fd, &a));
	assert_string_equal(a.rest, "helloearly later");
	shutdown(fd, SHUT_WR);
	assert_true(cl_at_end(fd));
	close(fd);
	cl_free(&a);
}

/* Half-close after the request: the answer still comes. */
static void test_half_close(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);

	(void)state;
	cl_send(fd, GET("/slow/100/half"));
	shutdown(fd, SHUT_WR);
	assert_true(cl_answer(fd, &a, false));
	assert_string_equal(a.body, "half");
	assert_true(cl_at_end(fd));
	close(fd);
	cl_free(&a);
}

/* Hop-by-hop fields end here, in both directions, but for the wish for trailers; absolute-form
 * becomes origin-form. */
static void test_fields(void **state)
{
	struct answer a = {};

	(void)state;
	assert_int_equal(cl_once(&r,
				 "GET http://web/echo/x?q=1 HTTP/1.1\r\nHost: web\r\n"
				 "Connection: keep-alive, x-secret\r\nX-Secret: 1\r\n"
				 "Keep-Alive: 5\r\nTE: gzip, trailers\r\nProxy-Connection: x\r\n"
				 "X-Kept: yes\r\n\r\n",
				 &a),
			 200);
	assert_memory_equal(a.body, "GET /echo/x?q=1 HTTP/1.1\r\n", 26);
	assert_non_null(strstr(a.body, "Host: web\r\n"));
	assert_non_null(strstr(a.body, "X-Kept: yes\r\n"));
	assert_null(strcasestr(a.body, "secret"));
	assert_null(strcasestr(a.body, "\r\nkeep-alive"));
	assert_non_null(strstr(a.body, "\r\nTE: trailers\r\n"));
	assert_null(strcasestr(a.body, "proxy-connection"));
	assert_null(strcasestr(a.head, "server:")); /* not ours */
	cl_free(&a);
}

/* The server sees the path that the rules saw. */
static void test_canonical_path(void **state)
{
	struct answer a = {};

	(void)state;
	assert_int_equal(cl_once(&r, GET("/echo/%61/../b"), &a), 200);
	assert_memory_equal(a.body, "GET /echo/b HTTP/1.1\r\n", 22);
	cl_free(&a);
}

/* A client that reads slowly makes the server wait, and the proxy keeps no more than its buffers:
 * the origin cannot have sent more than sockets hold. */
static unsigned long resident(void)
{
	unsigned long size, rss;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_int_equal(fscanf(f, "%lu %lu", &size, &rss), 2);
	fclose(f);
	return rss * 4096;
}

static void test_slow_reader(void **state)
{
	unsigned long before = resident();
	struct answer a = {};
	struct pollfd p;
	int fd = cl_open(&r);
	size_t got = 0;

	(void)state;
	cl_send(fd, GET("/big/200000000"));
	usleep(300000);
	assert_in_range(resident(), 0, before + 20000000);
	p = (struct pollfd){.fd = fd, .events = POLLIN};
	while (got < 30000000 && poll(&p, 1, 5000) == 1) {
		static char sink[1 << 20];
		ssize_t n = recv(fd, sink, sizeof(sink), 0);

		assert_true(n > 0);
		got += (size_t)n;
	}
	assert_true(got >= 30000000);
	close(fd); /* in the middle: the upstream connection is not used again */
	assert_int_equal(cl_once(&r, GET("/id/fresh"), &a), 200);
	assert_string_equal(a.body, "fresh");
	cl_free(&a);
}

/* An answer before the request's end: the client gets it, the rest of its body is dropped. */
static void test_early_answer(void **state)
{
	struct answer a = {};
	int fd = cl_open(&r);
	static char body[200000];

	(void)state;
	cl_send(fd, "POST /early HTTP/1.1\r\nHost: web\r\nContent-Length: 200000\r\n\r\n");
	assert_true(cl_answer(fd, &a, false));
	assert_int_equal(a.status, 413);
	assert_true(o_send(fd, body, sizeof(body)));
	cl_send(fd, GET("/id/next"));
	assert_true(cl_answer(fd, &a, false));
	assert_string_equal(a.body, "next");
	close(fd);
	cl_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_pipelining),
		cmocka_unit_test(test_split_head),
		cmocka_unit_test(test_chunked_answer),
		cmocka_unit_test(test_until_close),
		cmocka_unit_test(test_http10),
		cmocka_unit_test(test_head_and_bodiless),
		cmocka_unit_test(test_uploads),
		cmocka_unit_test(test_downloads),
		cmocka_unit_test(test_continue),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_canonical_path),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_early_answer),
	};

	rig_start(&r, "");
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	rig_stop(&r);
	return failed;
}
