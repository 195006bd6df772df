// SPDX-License-Identifier: Apache-2.0
/*
 * Messages of HTTP/1.1 text through HTTP/2 and out again: both ends are ours, and what one writes
 * the other reads.
 *
 *	text --hr_h2_write--> client ==frames==> server --hr_h2_read--> text
 */
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "http/h2int.h"
#include "unit.h"

static struct hr_h2 *client, *server;
static char text[4 * 1024 * 1024]; /* of the last read */

static int up(void **state)
{
	(void)state;
	assert_int_equal(hr_h2_new(&client, HR_H2_CLIENT, 1000), 0);
	assert_int_equal(hr_h2_new(&server, HR_H2_SERVER, 1000), 0);
	return 0;
}

static int down(void **state)
{
	(void)state;
	hr_h2_free(client);
	hr_h2_free(server);
	return 0;
}

static bool carry(struct hr_h2 *from, struct hr_h2 *to)
{
	struct hr_slice out = hr_h2_out(from);
	size_t n = out.n;

	if (n)
		assert_int_equal(hr_h2_recv(to, out.p, n, 1000), 0);
	hr_h2_out_used(from, n);
	return n;
}

/* Until neither has anything to say. */
static void pump(void)
{
	while (carry(client, server) || carry(server, client))
		;
}

static void write_all(struct hr_h2_stream *s, const char *p)
{
	assert_int_equal(hr_h2_write(s, p, strlen(p)), strlen(p));
	pump();
}

/* What is here to be read. */
static const char *read_all(struct hr_h2_stream *s)
{
	size_t all = 0, n;

	while ((n = hr_h2_read(s, text + all, sizeof(text) - 1 - all)))
		all += n;
	text[all] = 0;
	pump();
	return text;
}

/* The server's end of the newest stream. */
static struct hr_h2_stream *accepted(void)
{
	struct hr_h2_stream *s, *newest = NULL;

	while ((s = hr_h2_next(server)))
		newest = s;
	assert_non_null(newest);
	return newest;
}

static struct hr_h2_stream *asked(const char *request)
{
	struct hr_h2_stream *c = hr_h2_open(client, NULL), *s;

	write_all(c, request);
	s = accepted();
	s->user = c;
	return s;
}

static void done(struct hr_h2_stream *s)
{
	hr_h2_done(s->user, NGHTTP2_CANCEL);
	hr_h2_done(s, NGHTTP2_CANCEL);
	pump();
}

/* ---- heads ---- */

static void becomes(const char *request, const char *want)
{
	struct hr_h2_stream *s = asked(request);

	assert_int_equal(s->error.status, 0);
	assert_string_equal(read_all(s), want);
	done(s);
}

static void test_requests(void **state)
{
	(void)state;
	becomes("GET /a?b=%20c HTTP/1.1\r\nHost: Web:80\r\nX-A: b, c\r\nX-a:\r\n\r\n",
		"GET http://Web:80/a?b=%20c HTTP/1.1\r\nhost: Web:80\r\nx-a: b, c\r\nx-a: "
		"\r\n\r\n");
	becomes("OPTIONS * HTTP/1.1\r\nHost: web\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nhost: web\r\n\r\n");
	/* fields of the connection stay behind; te is what every message of gRPC has */
	becomes("GET / HTTP/1.1\r\nHost: web\r\nConnection: keep-alive, x-hop\r\nKeep-Alive: 1\r\n"
		"Proxy-Connection: x\r\nTE: trailers\r\nHTTP2-Settings: x\r\nUpgrade: h2c\r\n\r\n",
		"GET http://web/ HTTP/1.1\r\nhost: web\r\n\r\n");
	becomes("GET / HTTP/1.1\r\nHost: web\r\nCookie: a=1; b=2\r\n\r\n",
		"GET http://web/ HTTP/1.1\r\nhost: web\r\ncookie: a=1; b=2\r\n\r\n");
}

static void test_bodies(void **state)
{
	(void)state;
	becomes("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\n\r\nabc",
		"POST http://web/ HTTP/1.1\r\nhost: web\r\ncontent-length: 3\r\n\r\nabc");
	becomes("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n",
		"POST http://web/ HTTP/1.1\r\nhost: web\r\ncontent-length: 0\r\n\r\n");
	becomes("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n"
		"1;x=y\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
		"POST http://web/ HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\n\r\n"
		"3\r\nabc\r\n0\r\n\r\n");
}

/* Trailers survive. A body with a length leaves no room for them, unless they are announced, or it
 * is gRPC. */
static void test_trailers(void **state)
{
	(void)state;
	becomes("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n"
		"1\r\na\r\n0\r\nX-T:  b \r\n\r\n",
		"POST http://web/ HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\n\r\n"
		"1\r\na\r\n0\r\nx-t: b\r\n\r\n");
	becomes("POST / HTTP/1.1\r\nHost: web\r\nContent-Type: application/grpc+proto\r\n"
		"Content-Length: 1\r\n\r\na",
		"POST http://web/ HTTP/1.1\r\nhost: web\r\ncontent-type: application/grpc+proto\r\n"
		"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
	becomes("POST / HTTP/1.1\r\nHost: web\r\nTrailer: x-t\r\nContent-Length: 1\r\n\r\na",
		"POST http://web/ HTTP/1.1\r\nhost: web\r\ntrailer: x-t\r\n"
		"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
}

#define GET "GET / HTTP/1.1\r\nHost: web\r\n\r\n"

static void answers(const char *request, const char *answer, const char *want)
{
	struct hr_h2_stream *s = asked(request), *c = s->user;

	write_all(s, answer);
	assert_string_equal(read_all(c), want);
	assert_true(hr_h2_eof(c) && !c->reset);
	done(s);
}

static void test_answers(void **state)
{
	(void)state;
	answers(GET, "HTTP/1.1 200 Fine\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 2\r\n\r\nok");
	answers(GET, "HTTP/1.1 103 x\r\nLink: a\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
	answers("HEAD / HTTP/1.1\r\nHost: web\r\n\r\n",
		"HTTP/1.1 200 x\r\nContent-Length: 7\r\n\r\n",
		"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
	answers(GET, "HTTP/1.1 304 x\r\nContent-Length: 7\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n");
}

/* The status of a call is in the trailers, or in the head when there is nothing else. */
static void test_grpc_status(void **state)
{
	static const char *const ends[] = {
		"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nGrpc-Status: 12\r\n\r\n",
		"Grpc-Status: 12\r\nContent-Length: 0\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(ends); i++) {
		struct hr_h2_stream *s = asked(GET), *c = s->user;

		assert_int_equal(c->grpc_status, -1);
		write_all(s, "HTTP/1.1 200 x\r\nContent-Type: application/grpc\r\n");
		write_all(s, ends[i]);
		assert_true(c->grpc);
		assert_int_equal(c->grpc_status, 12);
		assert_true(strstr(read_all(c), "\r\ngrpc-status: 12\r\n"));
		assert_true(hr_h2_eof(c));
		done(s);
	}
}

/* ---- what no text of ours says ---- */

struct field {
	const char *name, *value;
};

static size_t literal(uint8_t *to, const char *name, const char *value)
{
	size_t n = 0, a = strlen(name), b = strlen(value);

	to[n++] = 0; /* without indexing, name and value as they are */
	to[n++] = (uint8_t)a;
	memcpy(to + n, name, a);
	n += a;
	to[n++] = (uint8_t)b;
	memcpy(to + n, value, b);
	return n + b;
}

/* A block of fields as the first request of a new connection. */
static struct hr_h2_stream *block(const struct field *f, size_t n)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	uint8_t frame[1024] = {0, 0, 0, NGHTTP2_HEADERS, 5, 0, 0, 0, 1};
	size_t len = 9;

	for (size_t i = 0; i < n; i++)
		len += literal(frame + len, f[i].name, f[i].value);
	frame[1] = (uint8_t)((len - 9) >> 8);
	frame[2] = (uint8_t)(len - 9);
	hr_h2_free(server);
	assert_int_equal(hr_h2_new(&server, HR_H2_SERVER, 1000), 0);
	hr_h2_recv(server, preface, sizeof(preface) - 1, 1000);
	hr_h2_recv(server, (const char *)frame, len, 1000);
	return hr_h2_next(server);
}

#define WITH(...)                                           \
	block((const struct field[]){{":method", "GET"},    \
				     {":scheme", "http"},   \
				     {":authority", "web"}, \
				     {":path", "/"},        \
				     __VA_ARGS__},          \
	      4 + sizeof((const struct field[]){__VA_ARGS__}) / sizeof(struct field))

static void test_blocks(void **state)
{
	struct hr_h2_stream *s;

	(void)state;
	/* Host may say what :authority says; crumbs of cookies are one field again (RFC 9113 8.2.3)
	 */
	s = WITH({"host", "WEB"}, {"cookie", "a=1"}, {"x-a", "b"}, {"cookie", "b=2"});
	assert_non_null(s);
	assert_string_equal(read_all(s), "GET http://web/ HTTP/1.1\r\nhost: web\r\nx-a: b\r\n"
					 "cookie: a=1; b=2\r\n\r\n");
	/* or stands for it */
	s = block(
		(const struct field[]){
			{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "h"}},
		4);
	assert_non_null(s);
	assert_string_equal(read_all(s), "GET http://h/ HTTP/1.1\r\nhost: h\r\n\r\n");
}

/* Refused by nghttp2 (no stream for the user, or a reset one), or by us with 400: never text. */
static void refused(struct hr_h2_stream *s, const char *what)
{
	if (s && !s->reset && s->error.status != 400)
		fail_msg("%s: taken, \"%s\"", what, read_all(s));
	if (s && hr_h2_readable(s))
		fail_msg("%s: text of it", what);
}

static void test_refused(void **state)
{
	(void)state;
	refused(WITH({":path", "/b"}), "path twice");
	refused(WITH({"host", "other"}), "host differs");
	refused(WITH({"host", "web"}, {"host", "web"}), "host twice");
	refused(WITH({"transfer-encoding", "chunked"}), "framing of HTTP/1.1");
	refused(WITH({"connection", "x"}), "connection");
	refused(WITH({"te", "gzip"}), "te");
	refused(WITH({"content-length", "1"}), "length without a body");
	refused(WITH({"content-length", "-1"}), "length that is none");
	refused(WITH({"x-a", "b\r\nx-b: c"}), "line end in a value");
	refused(WITH({"x a", "b"}), "blank in a name");
	refused(WITH({"X-A", "b"}), "upper case");
	refused(WITH({"x-a", "b"}, {":method", "GET"}), "pseudo-header behind a field");
	refused(WITH({":status", "200"}), "status in a request");
	refused(block((const struct field[]){{":method", "GET /a"},
					     {":scheme", "http"},
					     {":authority", "w"},
					     {":path", "/"}},
		      4),
		"blank in the method");
	refused(block((const struct field[]){{":method", "GET"},
					     {":scheme", "ftp"},
					     {":authority", "w"},
					     {":path", "/"}},
		      4),
		"scheme");
	refused(block((const struct field[]){{":method", "GET"},
					     {":scheme", "http"},
					     {":authority", "w"},
					     {":path", "a"}},
		      4),
		"path");
}

/* ---- windows ---- */

/* A reader that does not read stops the writer after what both ends may keep of a stream; it is no
 * burden for other streams; and all of it comes when it is read. */
static void test_backpressure(void **state)
{
	static char body[600 * 1024];
	struct hr_h2_stream *s = asked(GET), *c = s->user, *other;
	size_t sent = 0, got = 0, n;

	(void)state;
	memset(body, 'x', sizeof(body));
	write_all(s, "HTTP/1.1 200 x\r\nContent-Length: 614400\r\n\r\n");
	while ((n = hr_h2_write(s, body + sent, sizeof(body) - sent))) {
		sent += n;
		pump();
	}
	assert_in_range(sent, HR_H2_WINDOW, 2 * HR_H2_WINDOW); /* there, and here */
	assert_true(hr_h2_pending(s));
	assert_in_range(hr_h2_buf_len(&c->data), 1, HR_H2_WINDOW);
	other = asked(GET);
	write_all(other, "HTTP/1.1 200 x\r\nContent-Length: 1\r\n\r\ny");
	assert_non_null(strstr(read_all(other->user), "\r\n\r\ny"));
	done(other);
	got -= strlen("HTTP/1.1 200 OK\r\ncontent-length: 614400\r\n\r\n");
	do {
		got += strlen(read_all(c));
		n = hr_h2_write(s, body + sent, sizeof(body) - sent);
		sent += n;
		pump();
	} while (n || hr_h2_readable(c));
	assert_int_equal(got, sizeof(body));
	assert_true(hr_h2_eof(c));
	done(s);
}

/* A stream that is given up with bytes in it gives them back to its connection: more of them than
 * the connection's window holds. */
static void test_given_up(void **state)
{
	static char body[HR_H2_WINDOW];

	(void)state;
	memset(body, 'x', sizeof(body));
	for (int i = 0; i < 40; i++) {
		struct hr_h2_stream *s = asked(GET), *c = s->user;

		write_all(s, "HTTP/1.1 200 x\r\nContent-Length: 9999999\r\n\r\n");
		assert_int_equal(hr_h2_write(s, body, sizeof(body)), sizeof(body));
		pump();
		assert_true(hr_h2_buf_len(&c->data) > HR_H2_WINDOW / 2);
		hr_h2_done(c, NGHTTP2_CANCEL);
		pump();
		assert_true(s->reset && s->closed && s->code == NGHTTP2_CANCEL);
		hr_h2_done(s, NGHTTP2_CANCEL);
	}
}

/* ---- ends ---- */

static void test_goaway(void **state)
{
	struct hr_h2_stream *one = asked(GET), *two;

	(void)state;
	assert_int_equal(hr_h2_peer_streams(client), HR_H2_STREAMS);
	hr_h2_goaway(server, false);
	carry(server, client);
	assert_int_equal(hr_h2_peer_streams(client), 0); /* it is told */
	two = hr_h2_open(client, NULL);			 /* and what it tries all the same */
	write_all(two, GET);
	assert_true(two->reset && two->refused); /* is said to be nobody's */
	hr_h2_done(two, NGHTTP2_CANCEL);
	hr_h2_goaway(server, true);
	pump();
	assert_false(hr_h2_over(server));
	write_all(one, "HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\nok");
	assert_non_null(strstr(read_all(one->user), "\r\n\r\nok"));
	assert_true(hr_h2_over(server) && hr_h2_over(client));
	done(one);
}

/* A request that was on its way when the end was announced is served. */
static void test_goaway_crosses(void **state)
{
	struct hr_h2_stream *c = hr_h2_open(client, NULL), *s;

	(void)state;
	pump();
	hr_h2_goaway(server, false);
	assert_int_equal(hr_h2_write(c, GET, strlen(GET)), strlen(GET));
	carry(client, server);
	hr_h2_goaway(server, true);
	pump();
	s = accepted();
	s->user = c;
	assert_false(c->reset);
	write_all(s, "HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\nok");
	assert_non_null(strstr(read_all(c), "\r\n\r\nok"));
	assert_true(hr_h2_over(server));
	done(s);
}

/* An answer before the request's end ends the stream without an error (RFC 9113 section 8.1); one
 * that breaks off is a reset. */
static void test_early_ends(void **state)
{
	struct hr_h2_stream *s = asked(
				    "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 9\r\n\r\na"),
			    *c = s->user;

	(void)state;
	write_all(s, "HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nno");
	hr_h2_done(s, NGHTTP2_INTERNAL_ERROR);
	pump();
	assert_non_null(strstr(read_all(c), "\r\n\r\nno"));
	assert_true(hr_h2_eof(c) && !c->reset);
	hr_h2_done(c, NGHTTP2_CANCEL);
	pump();
	s = asked(GET);
	c = s->user;
	write_all(s, "HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\nno");
	hr_h2_done(s, NGHTTP2_INTERNAL_ERROR);
	pump();
	read_all(c);
	assert_true(c->reset && !hr_h2_eof(c));
	hr_h2_done(c, NGHTTP2_CANCEL);
}

#define PAIR(fn) cmocka_unit_test_setup_teardown(fn, up, down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR(test_requests), PAIR(test_bodies),		PAIR(test_trailers),
		PAIR(test_answers),  PAIR(test_grpc_status),	PAIR(test_blocks),
		PAIR(test_refused),  PAIR(test_backpressure),	PAIR(test_given_up),
		PAIR(test_goaway),   PAIR(test_goaway_crosses), PAIR(test_early_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
