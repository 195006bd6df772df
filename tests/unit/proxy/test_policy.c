// SPDX-License-Identifier: Apache-2.0
/*
 * What VirtualService and DestinationRule say is done: weights, local answers, faults, timeouts,
 * retries, header operations, rewrites, breakers.
 */
#include "rig.h"

static struct rig r;

#define VS(http)                                                                            \
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\n" \
	"spec: {hosts: [web], http: [" http "]}\n---\n"
#define TO_WEB "route: [{destination: {host: web, port: {number: 80}}}]"
#define DR(policy)                                                                           \
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web}\n" \
	"spec: {host: web, trafficPolicy: {" policy "}}\n---\n"

static long ms_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - t->tv_sec) * 1000 + (now.tv_nsec - t->tv_nsec) / 1000000;
}

static void test_not_found(void **state)
{
	struct answer a = {};

	(void)state;
	rig_publish(&r, VS("{match: [{uri: {prefix: /id}}], " TO_WEB "}"));
	assert_int_equal(cl_once(&r, GET("/id/a"), &a), 200);
	assert_int_equal(cl_once(&r, GET("/other"), &a), 404);
	assert_non_null(strcasestr(a.head, "server: headrace"));
	assert_non_null(strcasestr(a.head, "content-length: 0"));
	rig_flags(&r, "NR");
	cl_free(&a);
}

/* 90/10 over 2,000 requests of one connection: 3 sigma of 200 are 40. */
static void test_weights(void **state)
{
	struct answer a = {};
	int fd, other = 0;

	(void)state;
	rig_publish(&r, VS("{route: [{destination: {host: web, port: {number: 80}}, weight: 90}, "
			   "{destination: {host: empty, port: {number: 80}}, weight: 10}]}"));
	fd = cl_open(&r);
	for (int i = 0; i < 2000; i++) {
		cl_send(fd, GET("/id/a"));
		assert_true(cl_answer(fd, &a, false));
		other += a.status == 503;
	}
	assert_in_range(other, 160, 240);
	close(fd);
	cl_free(&a);
}

static void test_direct_and_redirect(void **state)
{
	struct answer a = {};

	(void)state;
	rig_publish(&r, VS("{match: [{uri: {exact: /hello}}], directResponse: {status: 418, body: "
			   "{string: teapot}}, headers: {response: {set: {x-a: b}}}}, "
			   "{match: [{uri: {prefix: /old/}}], redirect: {uri: /new, redirectCode: "
			   "302}}, {redirect: {authority: other.example, scheme: https}}"));
	assert_int_equal(cl_once(&r, GET("/hello"), &a), 418);
	assert_string_equal(a.body, "teapot");
	assert_non_null(strcasestr(a.head, "x-a: b"));
	assert_int_equal(cl_once(&r, GET("/old/x?q=1"), &a), 302);
	assert_non_null(strcasestr(a.head, "location: http://web/new?q=1\r\n"));
	assert_int_equal(cl_once(&r, GET("/p?q=2"), &a), 301);
	assert_non_null(strcasestr(a.head, "location: https://other.example/p?q=2\r\n"));
	cl_free(&a);
}

static void test_faults(void **state)
{
	struct answer a = {};
	struct timespec t;

	(void)state;
	rig_publish(&r, VS("{match: [{uri: {exact: /abort}}], fault: {abort: {httpStatus: 418, "
			   "percentage: {value: 100}}}, " TO_WEB "}, "
			   "{fault: {delay: {fixedDelay: 0.3s, percentage: {value: 100}}}, " TO_WEB
			   "}"));
	assert_int_equal(cl_once(&r, GET("/abort"), &a), 418);
	assert_string_equal(a.body, "fault filter abort");
	rig_flags(&r, "FI");
	clock_gettime(CLOCK_MONOTONIC, &t);
	assert_int_equal(cl_once(&r, GET("/id/a"), &a), 200);
	assert_in_range(ms_since(&t), 290, 1000);
	cl_free(&a);
}

static void test_timeout(void **state)
{
	struct answer a = {};
	struct timespec t;
	int fd;

	(void)state;
	rig_publish(&r, VS("{timeout: 0.2s, " TO_WEB "}"));
	clock_gettime(CLOCK_MONOTONIC, &t);
	fd = cl_open(&r);
	cl_send(fd, GET("/slow/600/late"));
	assert_true(cl_answer(fd, &a, false));
	assert_int_equal(a.status, 504);
	assert_in_range(ms_since(&t), 190, 500);
	assert_string_equal(a.body, "upstream request timeout");
	rig_flags(&r, "UT");
	/* the late answer is not taken for that of the next request */
	cl_send(fd, GET("/id/next"));
	assert_true(cl_answer(fd, &a, false));
	assert_string_equal(a.body, "next");
	close(fd);
	cl_free(&a);
}

/* SEMANTICS "Measured": attempts 3 with a perTryTimeout against a server that is always late. */
static void test_per_try_timeout(void **state)
{
	struct answer a = {};
	int before;

	(void)state;
	rig_publish(&r, VS("{retries: {attempts: 3, perTryTimeout: 0.1s}, " TO_WEB "}"));
	before = r.origin.requests;
	assert_int_equal(cl_once(&r, GET("/slow/900/late"), &a), 504);
	assert_int_equal(r.origin.requests - before, 4);
	rig_flags(&r, "UT,URX");
	cl_free(&a);
}

static void test_retries(void **state)
{
	struct answer a = {};
	int before;

	(void)state;
	/* the default policy does not retry an answer, nor a request that a server has seen */
	rig_publish(&r, VS("{" TO_WEB "}"));
	assert_int_equal(cl_once(&r, GET("/fail/1/default"), &a), 503);
	assert_string_equal(a.body, "not now");

	rig_publish(&r, VS("{retries: {attempts: 2, retryOn: '5xx'}, " TO_WEB "}"));
	before = r.origin.requests;
	assert_int_equal(cl_once(&r, GET("/fail/2/a"), &a), 200);
	assert_int_equal(r.origin.requests - before, 3);
	assert_int_equal(cl_once(&r, GET("/flaky/2/b"), &a), 200);
	assert_int_equal(cl_once(&r, GET("/fail/9/c"), &a), 503); /* the last answer as it is */
	assert_string_equal(a.body, "not now");
	rig_flags(&r, "URX");

	rig_publish(&r, VS("{retries: {attempts: 2, retryOn: 'gateway-error,409'}, " TO_WEB "}"));
	before = r.origin.requests;
	assert_int_equal(cl_once(&r, GET("/status/500"), &a), 500);
	assert_int_equal(r.origin.requests - before, 1);
	assert_int_equal(cl_once(&r, GET("/status/409"), &a), 409);
	assert_int_equal(r.origin.requests - before, 4);

	rig_publish(&r, VS("{retries: {attempts: 0}, " TO_WEB "}"));
	before = r.origin.requests;
	assert_int_equal(cl_once(&r, GET("/close"), &a), 503);
	assert_int_equal(r.origin.requests - before, 1);
	cl_free(&a);
}

/* A body up to 64 KiB is sent again whole; a longer one makes the request final. */
static void test_retry_body(void **state)
{
	static char body[200000];
	char head[160];
	struct answer a = {};

	(void)state;
	memset(body, 'x', sizeof(body));
	rig_publish(&r, VS("{retries: {attempts: 3, retryOn: '5xx'}, " TO_WEB "}"));
	for (int i = 0; i < 2; i++) {
		size_t n = i ? sizeof(body) : 60000;
		int fd = cl_open(&r), before = r.origin.requests;

		snprintf(head, sizeof(head),
			 "POST /fail/1/body%d HTTP/1.1\r\nHost: web\r\nContent-Length: %zu\r\n"
			 "\r\n",
			 i, n);
		cl_send(fd, head);
		o_send(fd, body, n);
		assert_true(cl_answer(fd, &a, false));
		assert_int_equal(a.status, i ? 503 : 200);
		assert_int_equal(r.origin.requests - before, i ? 1 : 2);
		close(fd);
	}
	cl_free(&a);
}

/* A retry goes to a host that was not tried yet. */
static void test_retry_elsewhere(void **state)
{
	struct answer a = {};

	(void)state;
	rig_publish(&r, VS("{retries: {attempts: 1, retryOn: '5xx'}, " TO_WEB "}"));
	for (int i = 0; i < 10; i++) {
		char q[128];

		snprintf(q, sizeof(q), "GET /else/%d HTTP/1.1\r\nHost: web\r\n\r\n", i);
		assert_int_equal(cl_once(&r, q, &a), 200);
	}
	cl_free(&a);
}

static void test_headers(void **state)
{
	struct answer a = {};

	(void)state;
	rig_publish(&r, VS("{headers: {request: {set: {x-set: s, host: new.host}, add: {x-add: "
			   "two}, remove: [x-gone]}, response: {set: {x-origin: ours}, add: {x-r: "
			   "y}}}, route: [{destination: {host: web, port: {number: 80}}, headers: "
			   "{request: {set: {x-dst: d}}, response: {remove: [x-none]}}}]}"));
	assert_int_equal(cl_once(&r,
				 "GET /echo HTTP/1.1\r\nHost: web\r\nX-Set: old\r\nX-Add: one\r\n"
				 "X-Gone: 1\r\n\r\n",
				 &a),
			 200);
	assert_non_null(strstr(a.body, "Host: new.host\r\n"));
	assert_non_null(strstr(a.body, "x-set: s\r\n"));
	assert_null(strstr(a.body, "X-Set: old"));
	assert_non_null(strstr(a.body, "X-Add: one\r\n"));
	assert_non_null(strstr(a.body, "x-add: two\r\n"));
	assert_non_null(strstr(a.body, "x-dst: d\r\n"));
	assert_null(strcasestr(a.body, "x-gone"));
	assert_non_null(strcasestr(a.head, "x-origin: ours\r\n"));
	assert_null(strcasestr(a.head, "x-origin: yes"));
	cl_free(&a);
}

static void test_rewrite(void **state)
{
	struct answer a = {};

	(void)state;
	rig_publish(&r, VS("{match: [{uri: {prefix: /api/}}], rewrite: {uri: /echo/, authority: "
			   "inner}, " TO_WEB "}, {match: [{uri: {exact: /one}}], rewrite: {uri: "
			   "/echo/two}, " TO_WEB "}"));
	assert_int_equal(cl_once(&r, GET("/api/v1/x?y=z"), &a), 200);
	assert_memory_equal(a.body, "GET /echo/v1/x?y=z HTTP/1.1\r\nHost: inner\r\n", 42);
	assert_int_equal(cl_once(&r, GET("/one"), &a), 200);
	assert_memory_equal(a.body, "GET /echo/two HTTP/1.1", 22);
	cl_free(&a);
}

/* One connection, one waiter, the third is refused at once. */
static void test_breaker(void **state)
{
	struct answer a = {}, b = {}, c = {};
	int f1, f2, f3;

	(void)state;
	rig_publish(&r, DR("connectionPool: {tcp: {maxConnections: 1}, http: "
			   "{http1MaxPendingRequests: 1}}"));
	f1 = cl_open(&r);
	f2 = cl_open(&r);
	f3 = cl_open(&r);
	cl_send(f1, GET("/slow/400/one"));
	usleep(100000);
	cl_send(f2, GET("/id/two"));
	usleep(100000);
	cl_send(f3, GET("/id/three"));
	assert_true(cl_answer(f3, &c, false));
	assert_int_equal(c.status, 503);
	assert_non_null(strcasestr(c.head, "x-envoy-overloaded: true"));
	rig_flags(&r, "UO");
	assert_true(cl_answer(f1, &a, false));
	assert_string_equal(a.body, "one");
	assert_true(cl_answer(f2, &b, false));
	assert_string_equal(b.body, "two");
	/* nothing is left counted: one at a time always passes */
	for (int i = 0; i < 50; i++)
		assert_int_equal(cl_once(&r, GET("/id/again"), &a), 200);
	close(f1);
	close(f2);
	close(f3);
	cl_free(&a);
	cl_free(&b);
	cl_free(&c);
}

/* maxRequestsPerConnection is exact. */
static void test_max_requests(void **state)
{
	struct answer a = {};
	int before, fd;

	(void)state;
	rig_publish(&r, DR("connectionPool: {http: {maxRequestsPerConnection: 1}}"));
	before = r.origin.connections;
	fd = cl_open(&r);
	for (int i = 0; i < 10; i++) {
		cl_send(fd, GET("/id/a"));
		assert_true(cl_answer(fd, &a, false));
	}
	assert_int_equal(r.origin.connections - before, 10);
	close(fd);
	cl_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_direct_and_redirect),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_per_try_timeout),
		cmocka_unit_test(test_retries),
		cmocka_unit_test(test_retry_body),
		cmocka_unit_test(test_retry_elsewhere),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_rewrite),
		cmocka_unit_test(test_breaker),
		cmocka_unit_test(test_max_requests),
	};

	rig_start(&r, "");
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	rig_stop(&r);
	return failed;
}
