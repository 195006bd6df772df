// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's scanners, in user space. Whatever they let pass goes to a server without another
 * look, so: what they accept the strict parser accepts and reads alike (100,000 generated heads),
 * what they must accept they do accept, and the reasons they give are the right ones.
 */
#include "unit.h"

#include <stdio.h>

#include "scan_agree.h"

static struct hr_scan scan;
static struct hr_resp resp;

static int verdict(const char *text, size_t n)
{
	memset(scan.buf, 0xee, sizeof(scan.buf));
	memcpy(scan.buf, text, n);
	return hr_scan_request(&scan, n);
}

/* Every proper beginning of an ordinary head is incomplete, never anything else. */
static void test_every_split(void **state)
{
	static const char head[] = "POST /a/b?c HTTP/1.1\r\nHost: shop.default:80\r\n"
				   "Content-Length: 3\r\nX-User-Type: premium\r\n\r\n";

	(void)state;
	for (size_t n = 0; n < sizeof(head) - 1; n++)
		assert_int_equal(verdict(head, n), HR_SCAN_INCOMPLETE);
	assert_int_equal(verdict(head, sizeof(head) - 1), HR_SCAN_OK);
	assert_int_equal(scan.content_length, 3);
	assert_int_equal(scan.method, HR_METHOD_POST);
	assert_string_equal(scan.host, "shop.default");
}

/* What ordinary clients send must stay in the kernel. */
static void test_accepted(void **state)
{
	static const char *const heads[] = {
		"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
		"GET /a%20b/.well-known/x;y=1//z?q=%2e%2e/../ HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nhost:a\r\nconnection:Keep-Alive\r\nx:\r\n\r\n",
		"DELETE /x HTTP/1.1\r\nHost: [FD00::1]:8080\r\n\r\n",
		"OPTIONS /x HTTP/1.1\r\nHost: a_b.c-d.:65535\r\n\r\n",
		"PATCH /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		if (verdict(heads[i], strlen(heads[i])) != HR_SCAN_OK)
			fail_msg("declined (%d): %s", scan.why, heads[i]);
		assert_null(scan_agrees(&scan, heads[i], strlen(heads[i])));
	}
}

static void test_reasons(void **state)
{
#define H " HTTP/1.1\r\nHost: a\r\n"
	static const struct {
		int why;
		const char *text;
	} t[] = {
		{HR_WHY_CHUNKED, "POST /" H "Transfer-Encoding: chunked\r\n\r\n"},
		{HR_WHY_UPGRADE, "GET /" H "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"},
		{HR_WHY_UPGRADE, "GET /" H "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
		{HR_WHY_EXPECT, "PUT /" H "Expect: 100-continue\r\n\r\n"},
		{HR_WHY_HTTP10, "GET / HTTP/1.0\r\n\r\n"},
		{HR_WHY_DUP_HEADER, "GET /" H "Host: a\r\n\r\n"},
		{HR_WHY_DUP_HEADER, "GET /" H "Content-Length: 1\r\ncontent-length: 1\r\n\r\n"},
		{HR_WHY_PATH_ODD, "GET /../x" H "\r\n"},
		{HR_WHY_PATH_ODD, "GET /%61" H "\r\n"},
		{HR_WHY_PATH_ODD, "GET /a\\b" H "\r\n"},
		{HR_WHY_PATH_ODD, "GET /a#b" H "\r\n"},
		{HR_WHY_PATH_ODD, "GET /a%2Fb" H "\r\n"},
		{HR_WHY_HEAD_ODD, "GET http://a/" H "\r\n"},
		{HR_WHY_HEAD_ODD, "PROPFIND /" H "\r\n"},
		{HR_WHY_HEAD_ODD, "GET /" H "Connection: x\r\n\r\n"},
		{HR_WHY_HEAD_ODD, "GET /" H "X-Envoy-Max-Retries: 3\r\n\r\n"},
		{HR_WHY_HEAD_ODD, "GET /" H "X: a\tb\r\n\r\n"},
		{HR_WHY_HEAD_ODD, "GET /" H "X: \xc3\xa9\r\n\r\n"},
		{HR_WHY_HEAD_ODD, "GET / HTTP/1.1\r\n\r\n"},
		/* servers that are lenient take these for requests: never let past as "not HTTP" */
		{HR_WHY_HEAD_ODD, "GET /admin\r\n"},
		{HR_WHY_HEAD_ODD, "\r\nGET /" H "\r\n"},
		{HR_WHY_HEAD_ODD, "get /" H "\r\n"},
		{HR_WHY_HEAD_ODD, "GET /admin http/1.1\r\n\r\n"},
		{HR_WHY_HEAD_ODD, "GET / HTTP/1.1\nHost: a\n\n"},
	};
#undef H
	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (verdict(t[i].text, strlen(t[i].text)) != HR_SCAN_DECLINED ||
		    scan.why != t[i].why)
			fail_msg("case %zu: reason %d, expected %d: %s", i, scan.why, t[i].why,
				 t[i].text);
}

/* First bytes of other protocols: such connections become tunnels when the port is not typed. */
static void test_not_http(void **state)
{
	static const struct {
		const char *text;
		size_t n;
	} t[] = {
		{"\x16\x03\x01\x02\x00", 5},	       /* TLS */
		{"*1\r\n$4\r\nPING\r\n", 14},	       /* Redis */
		{"SSH-2.0-OpenSSH_9.2\r\n", 21},       /* SSH */
		{"EHLO mail\r\n", 11},		       /* SMTP */
		{"get key\r\n", 9},		       /* memcached */
		{"\x00\x00\x00\x08\x04\xd2", 6},       /* PostgreSQL */
		{"CONNECT {\"a\":1}\r\nPING\r\n", 23}, /* NATS */
		{"AMQP\x00\x00\x09\x01", 8},	       /* AMQP */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (verdict(t[i].text, t[i].n) != HR_SCAN_NOT_HTTP)
			fail_msg("case %zu is not seen", i);
	assert_int_equal(verdict("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24), HR_SCAN_H2);
}

static void test_limits(void **state)
{
	static char text[HR_KHEAD_MAX + 64];
	size_t n = sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\nX: ");

	(void)state;
	/* exactly as long as the buffer */
	memset(text + n, 'v', sizeof(text) - n);
	memcpy(text + HR_KHEAD_MAX - 4, "\r\n\r\n", 4);
	assert_int_equal(verdict(text, HR_KHEAD_MAX), HR_SCAN_OK);
	assert_int_equal(scan.head_len, HR_KHEAD_MAX);
	assert_null(scan_agrees(&scan, text, HR_KHEAD_MAX));
	memcpy(text + HR_KHEAD_MAX - 4, "vvvv", 4);
	assert_int_equal(verdict(text, HR_KHEAD_MAX), HR_SCAN_DECLINED);
	assert_int_equal(scan.why, HR_WHY_HEAD_LONG);
	for (int lines = HR_SCAN_LINES; lines <= HR_SCAN_LINES + 1; lines++) {
		n = sprintf(text, "GET / HTTP/1.1\r\nHost: a\r\n");
		for (int i = 1; i < lines; i++)
			n += sprintf(text + n, "a:b\r\n");
		n += sprintf(text + n, "\r\n");
		assert_int_equal(verdict(text, n) == HR_SCAN_OK, lines == HR_SCAN_LINES);
	}
	assert_int_equal(scan.why, HR_WHY_HEAD_LONG);
	/* hosts as long as the key of the kernel's table, with and without what is cut off */
	for (int len = HR_HOST_MAX - 1; len <= HR_HOST_MAX + 1; len++)
		for (int tail = 0; tail < 4; tail++) {
			static const char *const tails[] = {"", ":80", ".", ".:65535"};

			n = sprintf(text, "GET / HTTP/1.1\r\nHost: %0*d%s\r\n\r\n", len, 0,
				    tails[tail]);
			assert_null(scan_agrees(&scan, text, n));
			if (len <= HR_HOST_MAX && tail < 2)
				assert_int_equal(verdict(text, n), HR_SCAN_OK);
			if (len > HR_HOST_MAX)
				assert_int_equal(verdict(text, n), HR_SCAN_DECLINED);
		}
}

static void test_response(void **state)
{
	static const struct {
		const char *text;
		int verdict, status, end;
		bool head, close;
	} t[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", HR_RESP_OK, 200, HR_END_LENGTH, 0,
		 0},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HR_RESP_OK, 200,
		 HR_END_CHUNKED, 0, 0},
		{"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", HR_RESP_OK, 200, HR_END_CLOSE, 0,
		 1},
		{"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", HR_RESP_OK, 200, HR_END_NONE, 1,
		 0},
		{"HTTP/1.1 304 Not Modified\r\n\r\n", HR_RESP_OK, 304, HR_END_NONE, 0, 0},
		{"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", HR_RESP_OK, 200, HR_END_LENGTH, 0,
		 1},
		{"HTTP/1.1 503 x\r\nServer: y\r\n", HR_RESP_INCOMPLETE, 503, 0, 0, 0},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", HR_RESP_ODD,
		 200, 0, 0, 0},
		{"HTTP/1.1 101 Switching Protocols\r\n\r\n", HR_RESP_ODD, 101, 0, 0, 0},
		{"SSH-2.0-OpenSSH\r\n", HR_RESP_ODD, 0, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		size_t n = strlen(t[i].text);

		memcpy(resp.buf, t[i].text, n);
		assert_int_equal(hr_scan_response(&resp, n, t[i].head), t[i].verdict);
		assert_int_equal(resp.status, t[i].status);
		if (t[i].verdict == HR_RESP_OK) {
			assert_int_equal(resp.end, t[i].end);
			assert_int_equal(resp.close, t[i].close);
		}
		assert_null(resp_agrees(&resp, t[i].text, n, t[i].head));
	}
}

/* ---- generated ---- */

static uint64_t seed = 0x9e3779b97f4a7c15;

static unsigned rnd(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 32) % n;
}

/* The first third of a list is ordinary and comes more often. */
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define PICK(list) (list)[rnd(4) ? rnd((COUNT(list) + 2) / 3) : rnd(COUNT(list))]

static size_t generate(char *p, bool response)
{
	static const char *const methods[] = {"GET",	"POST",	   "HEAD",     "PUT",
					      "DELETE", "OPTIONS", "PROPFIND", "get"};
	static const char *const pieces[] = {"/",  "/a", "/bc", "/yz", "?q",  "_",   "-",   "x",
					     "/.", "..", "%2e", "%61", "%20", "%2F", "%00", "\\",
					     "//", ";x", "?",	"#",   "%",   "~",   "%C3", "."};
	static const char *const versions[] = {" HTTP/1.1", " HTTP/1.1", " HTTP/1.0", " HTTP/1.2",
					       ""};
	static const char *const status[] = {
		"HTTP/1.1 200 OK", "HTTP/1.1 503 Busy", "HTTP/1.1 404",	  "HTTP/1.0 200 OK",
		"HTTP/1.1 204 N",  "HTTP/1.1 304 N",	"HTTP/1.1 100 C", "HTTP/1.1 101 S"};
	static const char *const names[] = {"X-User-Type",
					    "Accept",
					    "Cookie",
					    "User-Agent",
					    "a",
					    "x-user-type",
					    "Content-Length",
					    "Connection",
					    "content-length",
					    "Transfer-Encoding",
					    "Host",
					    "host",
					    "Expect",
					    "Upgrade",
					    "Content_Length",
					    "Content-Length-",
					    "Transfer-Encodin",
					    "Access-Control-Request-Headers",
					    "x-0123456789-0123456789-0123456789-01234",
					    "Keep-Alive",
					    "x_y"};
	static const char *const values[] = {"a",
					     "5",
					     "0",
					     "keep-alive",
					     "premium",
					     "",
					     "a, b",
					     "close",
					     "005",
					     "chunked",
					     "+5",
					     "5 ",
					     "h.x:80",
					     "H.",
					     "[::1]:80",
					     "100-continue",
					     "websocket",
					     "999999999999999",
					     "9999999999999999",
					     "Keep-Alive",
					     "\t",
					     "x\xe9"};
	static const char *const colons[] = {": ", ": ", ":", ":  ", " :", ""};
	static const char *const ends[] = {"\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r\n "};
	char *s = p;

	if (response) {
		p += sprintf(p, "%s\r\n", PICK(status));
	} else {
		p += sprintf(p, "%s /", PICK(methods));
		for (unsigned i = rnd(6); i; i--)
			p += sprintf(p, "%s", PICK(pieces));
		p += sprintf(p, "%s\r\n", PICK(versions));
		if (rnd(8))
			p += sprintf(p, "Host: %s\r\n", rnd(2) ? "shop" : "A.b.c:8080");
	}
	for (unsigned i = rnd(5); i; i--)
		p += sprintf(p, "%s%s%s%s", PICK(names), PICK(colons), PICK(values), PICK(ends));
	if (rnd(16))
		p += sprintf(p, "\r\n");
	p += sprintf(p, "%s", rnd(2) ? "" : "body bytes \xff");
	/* and sometimes a byte that does not belong there */
	if (!rnd(3))
		s[rnd(p - s)] = rnd(4) ? "\r\n :\t%/.?0aZ"[rnd(12)] : (char)rnd(256);
	return p - s;
}

static void test_generated(void **state)
{
	static char text[4096];
	unsigned accepted = 0;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		bool response = !rnd(4);
		size_t n = generate(text, response);
		bool head = rnd(2);
		const char *what =
			response ? resp_agrees(&resp, text, n, head) : scan_agrees(&scan, text, n);

		if (what)
			fail_msg("case %d: %s: %.*s", i, what, (int)n, text);
		if (!response)
			accepted += verdict(text, n) == HR_SCAN_OK;
	}
	/* the comparison means something only when enough is accepted */
	assert_in_range(accepted, 5000, 75000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split), cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_reasons),	    cmocka_unit_test(test_not_http),
		cmocka_unit_test(test_limits),	    cmocka_unit_test(test_response),
		cmocka_unit_test(test_generated),
	};

	return cmocka_run_group_tests_name("http scan", tests, NULL, NULL);
}
