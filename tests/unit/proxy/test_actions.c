// SPDX-License-Identifier: Apache-2.0
/*
 * What a VirtualService has done to a request and its answer: paths by regular expression,
 * redirects, CORS, operators in header values, gRPC aborts, the finer words of retryOn, retry
 * budgets, and what becomes of headers that would tell a proxy how to treat a request.
 */
#include "core/cleanup.h"
#include "core/netns.h"
#include "rig.h"

static struct rig r;

#define VS(http)                                                                            \
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\n" \
	"spec: {hosts: [web], http: [" http "]}\n---\n"
#define TO_WEB "route: [{destination: {host: web, port: {number: 80}}}]"
#define DR(policy)                                                                           \
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web}\n" \
	"spec: {host: web, trafficPolicy: {" policy "}}\n---\n"
#define ASK(method, path, fields) method " " path " HTTP/1.1\r\nHost: web\r\n" fields "\r\n"

static bool says(const char *text, const char *part)
{
	if (strcasestr(text, part))
		return true;
	print_message("no \"%s\" in:\n%s\n", part, text);
	return false;
}

static void test_regex_rewrite(void **state)
{
	struct answer a = {};

	(void)state;
	rig_publish(&r,
		    VS("{match: [{uri: {prefix: /service/}}], rewrite: {uriRegexRewrite: "
		       "{match: '^/service/([^/]+)(/.*)$', rewrite: '/echo\\2/of/\\1'}}, " TO_WEB
		       "}, {match: [{uri: {prefix: /slow}}], rewrite: {uriRegexRewrite: {match: "
		       "'a.*b|a', rewrite: x}}, " TO_WEB "}, {rewrite: {uriRegexRewrite: {match: "
		       "'^/x/', rewrite: 'echo/'}}, " TO_WEB "}"));
	assert_int_equal(cl_once(&r, GET("/service/foo/v1?a=/service/b"), &a), 200);
	assert_true(says(a.body, "GET /echo/v1/of/foo?a=/service/b HTTP/1.1\r\n"));
	/* no match: as it is; a rewrite without a slash gets one */
	assert_int_equal(cl_once(&r, GET("/echo/y"), &a), 200);
	assert_true(says(a.body, "GET /echo/y HTTP/1.1\r\n"));
	assert_int_equal(cl_once(&r, GET("/x/y"), &a), 200);
	assert_true(says(a.body, "GET /echo/y HTTP/1.1\r\n"));
	cl_free(&a);
}

/* More work than a rewrite may make is refused, and the connection goes on. */
static void test_regex_rewrite_bound(void **state)
{
	static char q[6200] = "GET /slow/";
	struct answer a = {};
	int fd;

	(void)state;
	memset(q + strlen(q), 'a', 6000);
	strcat(q, " HTTP/1.1\r\nHost: web\r\n\r\n");
	fd = cl_open(&r);
	cl_send(fd, q);
	assert_true(cl_answer(fd, &a, false));
	assert_int_equal(a.status, 400);
	cl_send(fd, GET("/echo/z"));
	assert_true(cl_answer(fd, &a, false));
	assert_int_equal(a.status, 200);
	close(fd);
	cl_free(&a);
}

static const char *location(const char *request, int status)
{
	static char text[256];
	struct answer a = {};
	const char *at;

	assert_int_equal(cl_once(&r, request, &a), status);
	at = strcasestr(a.head, "location: ");
	assert_non_null(at);
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(at + 10, "\r"), at + 10);
	cl_free(&a);
	return text;
}

static void test_redirect(void **state)
{
	(void)state;
	rig_publish(
		&r,
		VS("{match: [{uri: {prefix: /foo}}], redirect: {prefixRewrite: /bar, redirectCode: "
		   "308}}, {match: [{uri: {prefix: /pre/}}], redirect: {uri: '%PREFIX()%/new/'}}, "
		   "{match: [{uri: {prefix: /port}}], redirect: {port: 8443, scheme: https}}, "
		   "{match: [{uri: {prefix: /derive}}], redirect: {derivePort: "
		   "FROM_REQUEST_PORT}}, "
		   "{match: [{uri: {prefix: /proto}}], redirect: {derivePort: "
		   "FROM_PROTOCOL_DEFAULT, scheme: https}}, {match: [{uri: {prefix: /q}}], "
		   "redirect: {uri: '/set?b=2'}}, {redirect: {authority: a.example}}"));
	assert_string_equal(location(GET("/foo/baz?x=1"), 308), "http://web/bar/baz?x=1");
	assert_string_equal(location(GET("/pre/baz"), 301), "http://web/new/baz");
	assert_string_equal(location("GET /port HTTP/1.1\r\nHost: web:80\r\n\r\n", 301),
			    "https://web:8443/port");
	assert_string_equal(location("GET /derive HTTP/1.1\r\nHost: web:99\r\n\r\n", 301),
			    "http://web:99/derive"); /* 80 is not said (Istio) */
	/* the old scheme's own port goes with it, another stays */
	assert_string_equal(location("GET /proto HTTP/1.1\r\nHost: web:80\r\n\r\n", 301),
			    "https://web/proto");
	assert_string_equal(location("GET /proto HTTP/1.1\r\nHost: web:81\r\n\r\n", 301),
			    "https://web:81/proto");
	assert_string_equal(location(GET("/q?a=1"), 301), "http://web/set?b=2");
	assert_string_equal(location(ASK("GET", "/", "X-Forwarded-Proto: https\r\n"), 301),
			    "https://a.example/");
}

#define ORIGIN "Origin: https://good.example\r\n"
#define PREFLIGHT "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-q\r\n"

static void test_cors(void **state)
{
	struct answer a = {};

	(void)state;
	rig_publish(
		&r,
		VS("{corsPolicy: {allowOrigins: [{exact: 'https://good.example'}, {prefix: "
		   "'https://pre.'}, {regex: 'https://[a-z]+\\.re'}], allowMethods: [GET, PUT], "
		   "allowHeaders: ['*'], exposeHeaders: [x-a, x-b], maxAge: 24h, "
		   "allowCredentials: true}, " TO_WEB "}"));
	assert_int_equal(cl_once(&r, ASK("OPTIONS", "/x", ORIGIN PREFLIGHT), &a), 200);
	assert_true(says(a.head, "access-control-allow-origin: https://good.example\r\n"));
	assert_true(says(a.head, "access-control-allow-methods: GET,PUT\r\n"));
	assert_true(says(a.head, "access-control-allow-headers: x-q\r\n"));
	assert_true(says(a.head, "access-control-max-age: 86400\r\n"));
	assert_true(says(a.head, "access-control-allow-credentials: true\r\n"));
	assert_true(says(a.head, "access-control-expose-headers: x-a,x-b\r\n")); /* as Envoy */
	/* the request itself: its answer is marked, also one of our own, and ours are the only ones
	 */
	assert_int_equal(
		cl_once(&r, ASK("GET", "/field/access-control-allow-origin:*", ORIGIN), &a), 200);
	assert_true(says(a.head, "access-control-allow-origin: https://good.example\r\n"));
	assert_true(says(a.head, "access-control-expose-headers: x-a,x-b\r\n"));
	assert_null(strstr(a.head, "origin:*"));
	assert_null(strstr(a.head, "origin: *"));
	assert_int_equal(cl_once(&r, ASK("GET", "/close", ORIGIN), &a), 503);
	assert_true(says(a.head, "access-control-allow-origin: https://good.example\r\n"));
	/* other origins, and none */
	assert_int_equal(cl_once(&r, ASK("GET", "/id/a", "Origin: https://bad.example\r\n"), &a),
			 200);
	assert_null(strcasestr(a.head, "access-control"));
	assert_int_equal(cl_once(&r, GET("/id/a"), &a), 200);
	assert_null(strcasestr(a.head, "access-control"));
	assert_int_equal(cl_once(&r, ASK("GET", "/id/a", "Origin: https://pre.x\r\n"), &a), 200);
	assert_true(says(a.head, "access-control-allow-origin: https://pre.x\r\n"));
	assert_int_equal(cl_once(&r, ASK("GET", "/id/a", "Origin: https://abc.re\r\n"), &a), 200);
	assert_true(says(a.head, "access-control-allow-origin: https://abc.re\r\n"));
	assert_int_equal(cl_once(&r, ASK("GET", "/id/a", "Origin: https://abc.red\r\n"), &a), 200);
	assert_null(strcasestr(a.head, "access-control"));
	/* a preflight of a foreign origin goes on to the server */
	assert_int_equal(
		cl_once(&r, ASK("OPTIONS", "/echo/x", "Origin: https://bad.example\r\n" PREFLIGHT),
			&a),
		200);
	assert_true(says(a.body, "OPTIONS /echo/x"));
	cl_free(&a);
}

static void test_cors_ignore(void **state)
{
	struct answer a = {};
	int before;

	(void)state;
	rig_publish(&r, VS("{corsPolicy: {allowOrigin: ['*'], allowMethods: ['*']}, match: [{uri: "
			   "{prefix: /any}}], rewrite: {uri: /id/}, " TO_WEB "}, {corsPolicy: "
			   "{allowOrigins: [{exact: 'https://good.example'}], unmatchedPreflights: "
			   "IGNORE}, " TO_WEB "}"));
	before = r.origin.requests;
	assert_int_equal(
		cl_once(&r, ASK("OPTIONS", "/x", "Origin: https://bad.example\r\n" PREFLIGHT), &a),
		200);
	assert_null(strcasestr(a.head, "access-control"));
	assert_int_equal(r.origin.requests, before);
	/* the old list's "*" is every origin */
	assert_int_equal(cl_once(&r, ASK("OPTIONS", "/any", ORIGIN PREFLIGHT), &a), 200);
	assert_true(says(a.head, "access-control-allow-origin: https://good.example\r\n"));
	assert_true(says(a.head, "access-control-allow-methods: PUT\r\n"));
	cl_free(&a);
}

static void test_operators(void **state)
{
	struct hr_addr home[2] = {{{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}}};
	_cleanup_sb_ struct hr_strbuf from = {};
	char text[HR_ADDR_TEXT];
	struct answer a = {};

	(void)state;
	/* the address that the client would have without door A */
	hr_netns_home(home);
	hr_sb_printf(&from, "x-from: %s\r\n", hr_addr_text(&home[0], text));
	rig_publish(
		&r,
		VS("{name: main, headers: {request: {set: {x-r: '%REQ(x-none?x-in):3%', "
		   "x-p: '%PROTOCOL% 100%%', x-c: '%UPSTREAM_CLUSTER%', x-empty: '%REQ(x-none)%', "
		   "x-from: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%', x-to: "
		   "'%DOWNSTREAM_LOCAL_ADDRESS%', x-line: '%REQ(:METHOD)% %REQ(:PATH)%'}}, "
		   "response: {set: {x-code: '%RESPONSE_CODE%', x-was: '%RESP(x-now)%', x-n: "
		   "'%ROUTE_NAME%', x-up: '%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'}}}, " TO_WEB
		   "}"));
	assert_int_equal(
		cl_once(&r, ASK("GET", "/echo/x?q=1", "X-In: abcdef\r\nX-Empty: stays\r\n"), &a),
		200);
	assert_true(says(a.body, "x-r: abc\r\n"));
	assert_true(says(a.body, "x-p: HTTP/1.1 100%\r\n"));
	assert_true(says(a.body, "x-c: outbound|80||web.default.svc.cluster.local\r\n"));
	assert_true(says(a.body, "x-empty: stays\r\n"));
	assert_true(says(a.body, hr_sb_str(&from)));
	assert_true(says(a.body, "x-to: 10.9.0.1:80\r\n"));
	assert_true(says(a.body, "x-line: GET /echo/x?q=1\r\n"));
	assert_true(says(a.head, "x-code: 200\r\n"));
	assert_true(says(a.head, "x-n: main\r\n"));
	assert_true(says(a.head, "x-up: 127.0.0."));
	assert_null(strcasestr(a.head, "x-was"));
	assert_int_equal(cl_once(&r, GET("/field/X-Now:7"), &a), 200);
	assert_true(says(a.head, "x-was: 7\r\n"));
	cl_free(&a);
}

static void test_grpc_abort(void **state)
{
	struct answer a = {};

	(void)state;
	rig_publish(
		&r,
		VS("{fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}, " TO_WEB
		   "}"));
	assert_int_equal(cl_once(&r,
				 ASK("POST", "/s/m",
				     "Content-Type: application/grpc+proto\r\n"
				     "Content-Length: 0\r\n"),
				 &a),
			 200);
	assert_true(says(a.head, "grpc-status: 14\r\n"));
	assert_true(says(a.head, "grpc-message: fault filter abort\r\n"));
	assert_true(says(a.head, "content-type: application/grpc\r\n"));
	assert_int_equal(a.len, 0);
	rig_flags(&r, "FI");
	assert_int_equal(cl_once(&r, GET("/s/m"), &a), 503);
	assert_string_equal(a.body, "fault filter abort");
	cl_free(&a);
}

/* Counts the tries of one request. */
static int tries(const char *request)
{
	struct answer a = {};
	int before = r.origin.requests;

	assert_true(cl_once(&r, request, &a) > 0);
	cl_free(&a);
	return r.origin.requests - before;
}

#define GRPC "Content-Type: application/grpc\r\n"

static void test_retry_words(void **state)
{
	(void)state;
	rig_publish(&r, VS("{retries: {attempts: 2, retryOn: '200,5xx'}, " TO_WEB "}"));
	assert_int_equal(tries(GET("/field/x-a:b")), 3);
	/* who limits rates is left alone, unless the route wants it otherwise */
	assert_int_equal(tries(GET("/field/x-envoy-ratelimited:true")), 1);
	rig_publish(&r, VS("{retries: {attempts: 2, retryOn: envoy-ratelimited}, " TO_WEB "}"));
	assert_int_equal(tries(GET("/field/x-envoy-ratelimited:true")), 3);
	assert_int_equal(tries(GET("/status/503")), 1);
	rig_publish(&r, VS("{retries: {attempts: 1, retryOn: 'deadline-exceeded,internal'}, " TO_WEB
			   "}"));
	assert_int_equal(tries(ASK("GET", "/field/grpc-status:4", GRPC)), 2);
	assert_int_equal(tries(ASK("GET", "/field/grpc-status:13", GRPC)), 2);
	assert_int_equal(tries(ASK("GET", "/field/grpc-status:14", GRPC)), 1);
	assert_int_equal(tries(GET("/field/grpc-status:4")), 1);
	/* the default policy has two of them */
	rig_publish(&r, VS("{" TO_WEB "}"));
	assert_int_equal(tries(ASK("GET", "/field/grpc-status:14", GRPC)), 3);
	assert_int_equal(tries(ASK("GET", "/field/grpc-status:1", GRPC)), 3);
	assert_int_equal(tries(ASK("GET", "/field/grpc-status:8", GRPC)), 1);
	/* words that are accepted and ask for nothing here */
	rig_publish(&r,
		    VS("{retries: {attempts: 2, retryOn: 'retriable-headers,retriable-status-codes,"
		       "http3-post-connect-failure,refused-stream'}, " TO_WEB "}"));
	assert_int_equal(tries(GET("/status/503")), 1);
}

/* Each try but the first says which it is: the kernel's tries are first ones, and say nothing. */
static void test_attempt_count(void **state)
{
	struct answer a = {};

	(void)state;
	rig_publish(&r, VS("{retries: {attempts: 12, retryOn: '5xx', backoff: 1ms}, " TO_WEB "}"));
	assert_int_equal(cl_once(&r, GET("/fail/0/none"), &a), 200);
	assert_null(strcasestr(a.body, "attempt-count"));
	assert_int_equal(cl_once(&r, GET("/fail/1/one"), &a), 200);
	assert_true(says(a.body, "x-envoy-attempt-count: 2\r\n\r\n"));
	/* of each try its own, and a body stays behind it */
	assert_int_equal(cl_once(&r,
				 "POST /fail/10/ten HTTP/1.1\r\nHost: web\r\n"
				 "x-envoy-attempt-count: 5\r\nContent-Length: 4\r\n\r\nbody",
				 &a),
			 200);
	assert_true(says(a.body, "\r\nContent-Length: 4\r\nx-envoy-attempt-count: 11\r\n\r\n"));
	assert_ptr_equal(strcasestr(a.body, "attempt-count"), strstr(a.body, "attempt-count: 11"));
	cl_free(&a);
}

/* A budget of nothing allows no retry; its floor allows so many at once. */
static void test_retry_budget(void **state)
{
	(void)state;
	rig_publish(&r, DR("retryBudget: {percent: 0, minRetryConcurrency: 0}")
				VS("{retries: {attempts: 2, retryOn: '5xx'}, " TO_WEB "}"));
	assert_int_equal(tries(GET("/status/503")), 1);
	for (int i = 0; i < 100 && strcmp(r.no_retry, "budget"); i++)
		usleep(10000); /* the record follows the answer */
	assert_string_equal(r.no_retry, "budget");
	rig_publish(&r, DR("retryBudget: {percent: 0, minRetryConcurrency: 1}")
				VS("{retries: {attempts: 2, retryOn: '5xx'}, " TO_WEB "}"));
	assert_int_equal(tries(GET("/status/503")), 3);
	/* 100 % of the requests that are active: this one */
	rig_publish(&r, DR("retryBudget: {percent: 100, minRetryConcurrency: 0}")
				VS("{retries: {attempts: 2, retryOn: '5xx'}, " TO_WEB "}"));
	assert_int_equal(tries(GET("/status/503")), 3);
	/* 10 % of those of the last interval: none of 1, one of 10 */
	rig_publish(&r,
		    DR("retryBudget: {percent: 10, minRetryConcurrency: 0, budgetInterval: 60s}")
			    VS("{retries: {attempts: 2, retryOn: '5xx'}, " TO_WEB "}"));
	assert_int_equal(tries(GET("/status/503")), 1);
	for (int i = 0; i < 9; i++)
		assert_int_equal(tries(GET("/id/a")), 1);
	assert_int_equal(tries(GET("/status/503")), 3);
}

/* A client says how it wants to be treated: nobody listens, and no server hears of it. */
static void test_client_headers(void **state)
{
	struct answer a = {};

	(void)state;
	rig_publish(&r, VS("{retries: {attempts: 0}, " TO_WEB "}"));
	assert_int_equal(
		cl_once(&r,
			ASK("GET", "/echo/x",
			    "X-Envoy-Upstream-Rq-Timeout-Ms: 1\r\nx-envoy-max-retries: 9\r\n"
			    "x-envoy-retry-on: 5xx\r\nx-envoy-attempt-count: 7\r\n"
			    "x-envoy-retriable-header-names: a\r\nx-envoy-mine: kept\r\n"),
			&a),
		200);
	assert_null(strcasestr(a.body, "timeout-ms"));
	assert_null(strcasestr(a.body, "max-retries"));
	assert_null(strcasestr(a.body, "retry-on"));
	assert_null(strcasestr(a.body, "attempt-count"));
	assert_null(strcasestr(a.body, "header-names"));
	assert_true(says(a.body, "x-envoy-mine: kept\r\n"));
	assert_int_equal(tries(ASK("GET", "/status/503",
				   "x-envoy-max-retries: 3\r\nx-envoy-retry-on: 5xx\r\n")),
			 1);
	cl_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_regex_rewrite),  cmocka_unit_test(test_regex_rewrite_bound),
		cmocka_unit_test(test_redirect),       cmocka_unit_test(test_cors),
		cmocka_unit_test(test_cors_ignore),    cmocka_unit_test(test_operators),
		cmocka_unit_test(test_grpc_abort),     cmocka_unit_test(test_retry_words),
		cmocka_unit_test(test_attempt_count),  cmocka_unit_test(test_retry_budget),
		cmocka_unit_test(test_client_headers),
	};

	rig_start(&r, "");
	int failed = cmocka_run_group_tests_name("proxy/actions", tests, NULL, NULL);

	rig_stop(&r);
	return failed;
}
