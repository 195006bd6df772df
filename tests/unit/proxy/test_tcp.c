// SPDX-License-Identifier: Apache-2.0
/*
 * What is not HTTP, through door A: opaque ports, servers that speak first, first bytes that
 * decide.
 */
#include "proxy/internal.h"

#include "rig.h"

static struct rig r;
static struct origin banner;

static void read_exactly(int fd, char *buf, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t k = recv(fd, buf + got, n - got, 0);

		if (k <= 0)
			fail_msg("the connection ended after %zu bytes", got);
		got += (size_t)k;
	}
	buf[n] = 0;
}

static void test_looks_http(void **state)
{
	(void)state;
	assert_int_equal(px_looks_http("GET / HTTP/1.1", 14), 1);
	assert_int_equal(px_looks_http("GET http://x", 12), 1);
	assert_int_equal(px_looks_http("OPTIONS * ", 10), 1);
	assert_int_equal(px_looks_http("GE", 2), 0);
	assert_int_equal(px_looks_http("GET ", 4), 0);
	assert_int_equal(px_looks_http("PING\r\n", 6), -1);	/* redis */
	assert_int_equal(px_looks_http("SET a b\r\n", 9), -1);	/* redis inline */
	assert_int_equal(px_looks_http("HELO x\r\n", 8), -1);	/* SMTP */
	assert_int_equal(px_looks_http("get key\r\n", 9), -1);	/* memcached */
	assert_int_equal(px_looks_http("\x16\x03\x01", 3), -1); /* TLS */
	assert_int_equal(px_looks_http("AAAAAAAAAAAAAAAAAAAAAAAA", 24), -1);
}

/* Server first: relayed at once, on an opaque port and where the bytes decide. */
static void test_server_first(void **state)
{
	static const struct {
		uint16_t port;
		uint8_t proto;
	} rows[] = {{81, HR_PROTO_TCP}, {82, HR_PROTO_AUTO}};
	char buf[64];

	(void)state;
	strcpy(r.vip, "10.9.0.9");
	for (size_t i = 0; i < 2; i++) {
		r.vip_port = rows[i].port;
		r.proto = rows[i].proto;
		int fd = cl_open(&r);

		read_exactly(fd, buf, 11);
		assert_string_equal(buf, "220 ready\r\n");
		cl_send(fd, "echo me");
		read_exactly(fd, buf, 7);
		assert_string_equal(buf, "echo me");
		shutdown(fd, SHUT_WR);
		assert_true(cl_at_end(fd));
		close(fd);
	}
	strcpy(r.vip, "10.9.0.1");
}

/* An opaque port is opaque: HTTP goes through it unread. */
static void test_opaque_http(void **state)
{
	struct answer a = {};

	(void)state;
	r.vip_port = 81;
	r.proto = HR_PROTO_TCP;
	assert_int_equal(cl_once(&r, "GET /echo HTTP/1.1\r\nHost: x\r\nKeep-Alive: 1\r\n\r\n", &a),
			 200);
	assert_non_null(strstr(a.body, "Keep-Alive: 1"));
	cl_free(&a);
}

/* Where the bytes decide: HTTP is routed, also when it comes byte by byte. */
static void test_auto_http(void **state)
{
	struct answer a = {};

	(void)state;
	r.vip_port = 82;
	r.proto = HR_PROTO_AUTO;
	for (int i = 0; i < 10; i++) {
		int fd = cl_open(&r);

		if (i)
			usleep(5000);
		for (const char *p = "GET /echo HTTP/1.1\r\nHost: web:82\r\nKeep-Alive: 1\r\n\r\n";
		     *p; p++)
			assert_true(o_send(fd, p, 1));
		assert_true(cl_answer(fd, &a, false));
		assert_null(strstr(a.body, "Keep-Alive"));
		close(fd);
	}
	cl_free(&a);
}

/* Bulk both ways at once, with a half-close at the end: every byte arrives. */
static void *bulk_reader(void *ctx)
{
	static char buf[65536];
	int fd = *(int *)ctx;
	size_t got = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			if (got + (size_t)i >= 11 && buf[i] != (char)((got + (size_t)i - 11) % 127))
				return (void *)1;
		got += (size_t)n;
	}
	return got == 20000000 + 11 ? NULL : (void *)2;
}

static void test_bulk(void **state)
{
	static char buf[50000];
	pthread_t t;
	void *wrong;

	(void)state;
	strcpy(r.vip, "10.9.0.9");
	r.vip_port = 81;
	r.proto = HR_PROTO_TCP;
	int fd = cl_open(&r);

	pthread_create(&t, NULL, bulk_reader, &fd);
	for (size_t at = 0; at < 20000000; at += sizeof(buf)) {
		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = (char)((at + i) % 127);
		assert_true(o_send(fd, buf, sizeof(buf)));
	}
	shutdown(fd, SHUT_WR);
	pthread_join(t, &wrong);
	assert_null(wrong);
	close(fd);
	strcpy(r.vip, "10.9.0.1");
}

/* Nobody listens: the client is reset, on an opaque port at once. */
static void test_refused(void **state)
{
	char b;

	(void)state;
	strcpy(r.vip, "10.9.0.8");
	r.vip_port = 81;
	r.proto = HR_PROTO_TCP;
	int fd = cl_open(&r);

	assert_int_equal(recv(fd, &b, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
	strcpy(r.vip, "10.9.0.1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_looks_http),  cmocka_unit_test(test_server_first),
		cmocka_unit_test(test_opaque_http), cmocka_unit_test(test_auto_http),
		cmocka_unit_test(test_bulk),	    cmocka_unit_test(test_refused),
	};
	char more[2048];
	const char *mesh =
		"apiVersion: v1\nkind: Service\nmetadata: {name: talk}\nspec: {clusterIP: "
		"10.9.0.9, ports: [{name: tcp-a, port: 81, targetPort: %u}, {name: any, port: 82, "
		"targetPort: %u}]}\n---\n"
		"apiVersion: v1\nkind: Endpoints\nmetadata: {name: talk}\nsubsets: [{addresses: "
		"[{ip: 127.0.0.1}], ports: [{name: tcp-a, port: %u}, {name: any, port: "
		"%u}]}]\n---\n"
		"apiVersion: v1\nkind: Service\nmetadata: {name: gone}\nspec: {clusterIP: "
		"10.9.0.8, ports: [{name: tcp-a, port: 81, targetPort: 1}]}\n---\n"
		"apiVersion: v1\nkind: Endpoints\nmetadata: {name: gone}\nsubsets: [{addresses: "
		"[{ip: 127.0.0.1}], ports: [{name: tcp-a, port: 1}]}]\n---\n";

	origin_start(&banner);
	banner.banner = true;
	snprintf(more, sizeof(more), mesh, banner.port, banner.port, banner.port, banner.port);
	rig_start(&r, more);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	rig_stop(&r);
	origin_stop(&banner);
	return failed;
}
