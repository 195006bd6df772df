/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data path on real sockets, without the agent (rig.h). Each test is a client in a process of
 * its own, inside the captured cgroup; the parent checks afterwards how its requests were carried
 * and that nothing is left: no connection, no slot, no request in flight.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rig.h"

#define TIMEOUT_MS 5000

/* ---- client -----------------------------------------------------------------------------------
 */

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "    ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	_exit(1);
}

static void wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	if (poll(&p, 1, TIMEOUT_MS) != 1)
		fail("hangs waiting for %s", events == POLLIN ? "an answer" : "room");
}

static int dial_as(const char *ip, uint16_t port, int nonblock)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int v6 = strchr(ip, ':') != NULL, err = 0, on = 1;
	int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | nonblock, 0);
	socklen_t len = sizeof(err);

	inet_pton(v6 ? AF_INET6 : AF_INET, ip, v6 ? (void *)&in6.sin6_addr : (void *)&in.sin_addr);
	if (connect(fd, v6 ? (void *)&in6 : (void *)&in, v6 ? sizeof(in6) : sizeof(in)) &&
	    errno != EINPROGRESS)
		fail("connect: %s", strerror(errno));
	wait_for(fd, POLLOUT);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) || err)
		fail("connect: %s", strerror(err));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static int dial(void)
{
	return dial_as(RIG_VIP4, RIG_PORT, SOCK_NONBLOCK);
}

static void put(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN) {
			wait_for(fd, POLLOUT);
			continue;
		}
		if (n < 0)
			fail("send: %s", strerror(errno));
		p += n;
		len -= n;
	}
}

static size_t get(int fd, char *p, size_t size)
{
	ssize_t n;

	while ((n = recv(fd, p, size, 0)) < 0 && errno == EAGAIN)
		wait_for(fd, POLLIN);
	if (n < 0)
		fail("recv: %s", strerror(errno));
	return n;
}

struct answer {
	int status;
	char body[256]; /* its beginning */
	size_t len;
};

static char in[4 << 20];
static size_t in_len; /* bytes that belong to the next answer */

static void need(int fd, size_t n)
{
	while (in_len < n) {
		size_t r = get(fd, in + in_len, sizeof(in) - 1 - in_len);

		if (!r)
			fail("closed after %zu of %zu bytes", in_len, n);
		in_len += r;
		in[in_len] = 0;
	}
}

static void take(size_t n)
{
	in_len -= n;
	memmove(in, in + n, in_len);
	in[in_len] = 0;
}

static size_t body_chunked(int fd, char *first, size_t size)
{
	size_t total = 0, k;
	char *nl;

	do {
		while (!(nl = strstr(in, "\r\n")))
			need(fd, in_len + 1);
		k = strtoul(in, NULL, 16);
		take(nl + 2 - in);
		if (!k)
			break;
		need(fd, k + 2);
		if (!total)
			memcpy(first, in, k < size ? k : size);
		total += k;
		take(k + 2);
	} while (1);
	while (!(nl = strstr(in, "\r\n\r\n")))
		need(fd, in_len + 1);
	take(nl + 4 - in);
	return total;
}

/* `head`: the answer to a HEAD request has no body whatever it says. */
static struct answer answer_of(int fd, int head)
{
	struct answer a = {};
	char *end, *cl;

	while (!(end = strstr(in, "\r\n\r\n")))
		need(fd, in_len + 1);
	if (sscanf(in, "HTTP/1.1 %d", &a.status) != 1)
		fail("not an answer: %.80s", in);
	cl = strstr(in, "Content-Length: ");
	if (cl > end)
		cl = NULL;
	if (!cl && strstr(in, "chunked")) {
		take(end + 4 - in);
		a.len = body_chunked(fd, a.body, sizeof(a.body) - 1);
		return a;
	}
	a.len = cl ? strtoul(cl + 16, NULL, 10) : 0;
	take(end + 4 - in);
	if (head)
		return a;
	need(fd, a.len);
	memcpy(a.body, in, a.len < sizeof(a.body) ? a.len : sizeof(a.body) - 1);
	take(a.len);
	return a;
}

__attribute__((format(printf, 3, 4))) static void expect(struct answer a, int status,
							 const char *fmt, ...)
{
	char want[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(want, sizeof(want), fmt, ap);
	va_end(ap);
	if (a.status != status || strcmp(a.body, want))
		fail("got %d \"%s\", wanted %d \"%s\"", a.status, a.body, status, want);
}

static size_t request(char *buf, const char *method, const char *path, const char *to)
{
	return sprintf(buf, "%s %s HTTP/1.1\r\nHost: svc\r\n%s%s%s\r\n", method, path,
		       to ? "X-To: " : "", to ? to : "", to ? "\r\n" : "");
}

static struct answer ask(int fd, const char *method, const char *path, const char *to)
{
	char buf[1024];

	put(fd, buf, request(buf, method, path, to));
	return answer_of(fd, !strcmp(method, "HEAD"));
}

static void expect_eof(int fd)
{
	char c;

	if (in_len || get(fd, &c, 1))
		fail("bytes after the last answer");
}

/* ---- tests ------------------------------------------------------------------------------------
 */

static void t_native(void)
{
	int fd = dial();

	for (int i = 0; i < 50; i++)
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
	if (ask(fd, "HEAD", "/len/500", NULL).len != 500)
		fail("HEAD");
	expect(ask(fd, "GET", "/500", NULL), 500, "ep1 GET /500 0");
}

/* getpeername() must give what was asked for, or clients that compare would break. */
static void t_peer_name(void)
{
	struct sockaddr_in in4 = {};
	socklen_t len = sizeof(in4);
	char text[64];
	int fd = dial();

	getpeername(fd, (void *)&in4, &len);
	inet_ntop(AF_INET, &in4.sin_addr, text, sizeof(text));
	if (strcmp(text, RIG_VIP4) || ntohs(in4.sin_port) != RIG_PORT)
		fail("peer is %s:%u", text, ntohs(in4.sin_port));
}

static void t_moved(void)
{
	int fd = dial();

	for (int i = 0; i < 50; i++) {
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
		expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "ep2 GET /b 0");
		expect(ask(fd, "GET", "/p/c", NULL), 200, "ep2 GET /p/c 0");
	}
}

static void t_moved_body(void)
{
	static char buf[70000];
	size_t n, body = 60000;
	int fd = dial();

	for (int i = 0; i < 5; i++) {
		n = sprintf(buf,
			    "POST /up HTTP/1.1\r\nHost: svc\r\nx-to: two\r\n"
			    "Content-Length: %zu\r\n\r\n",
			    body);
		memset(buf + n, 'b', body);
		put(fd, buf, n + body);
		expect(answer_of(fd, 0), 200, "ep2 POST /up 60000");
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
	}
}

static void t_round_robin(void)
{
	int fd = dial(), ones = 0;

	for (int i = 0; i < 20; i++)
		ones += ask(fd, "GET", "/a", RIG_TO_RR).body[2] == '1';
	if (ones != 10)
		fail("%d of 20 at endpoint 1", ones);
}

static void t_local(void)
{
	int fd = dial();

	for (int i = 0; i < 20; i++) {
		expect(ask(fd, "GET", "/a", RIG_TO_DENY), 403, "denied by the rig's rule");
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
		expect(ask(fd, "GET",
			   "/some/rather/long/path/so/that/the/request/is/longer/than/"
			   "the/answer/that/it/gets/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
			   RIG_TO_NONE),
		       503, "no endpoint");
		if (ask(fd, "HEAD", "/a", RIG_TO_DENY).status != 403)
			fail("HEAD");
	}
}

static void t_bound(void)
{
	int fd = dial();

	for (int i = 0; i < 20; i++) {
		expect(ask(fd, "GET", "/x", RIG_TO_AGENT), 200, "agent GET /x 0");
		usleep(5000); /* until it is released */
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
	}
}

/* The states in every order on one connection: order of bytes is what breaks first. */
static void t_mixed(void)
{
	static const char *to[] = {NULL, RIG_TO_TWO, RIG_TO_DENY, RIG_TO_AGENT};
	static const char *who[] = {"ep1", "ep2", "den", "age"};
	int fd = dial();
	struct answer a;

	srand(7);
	for (int i = 0; i < 400; i++) {
		int k = rand() % 4;

		a = ask(fd, "GET", "/m", to[k]);
		/* a request may reach the agent that has not let go yet */
		if (strncmp(a.body, who[k], 3) && strncmp(a.body, "age", 3))
			fail("request %d to %s answered \"%s\"", i, who[k], a.body);
	}
}

static void t_split_head(void)
{
	char buf[256];
	size_t n = request(buf, "GET", "/s", NULL);
	int fd = dial();

	for (size_t i = 0; i < n; i++) {
		put(fd, buf + i, 1);
		usleep(300);
	}
	expect(answer_of(fd, 0), 200, "agent GET /s 0");
	usleep(5000);
	expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
}

static void t_pipelined(void)
{
	char buf[4096];
	size_t n = 0;
	int fd = dial();

	/* in one message: the first is not native either, or its answer could come late */
	for (int i = 0; i < 5; i++)
		n += request(buf + n, "GET", "/one", NULL);
	put(fd, buf, n);
	for (int i = 0; i < 5; i++)
		expect(answer_of(fd, 0), 200, "agent GET /one 0");
	usleep(5000);
	/* the second while the first is at a slow endpoint: its answer waits */
	put(fd, buf, request(buf, "GET", "/slow", NULL));
	usleep(1000);
	put(fd, buf, request(buf, "GET", "/next", NULL));
	expect(answer_of(fd, 0), 200, "ep1 GET /slow 0");
	expect(answer_of(fd, 0), 200, "agent GET /next 0");
	usleep(5000);
	/* and while it is moved */
	put(fd, buf, request(buf, "GET", "/late", RIG_TO_TWO));
	usleep(1000);
	put(fd, buf, request(buf, "GET", "/last", NULL));
	expect(answer_of(fd, 0), 200, "ep2 GET /late 0");
	expect(answer_of(fd, 0), 200, "agent GET /last 0");
}

static void upload(int fd, const char *path, const char *to, size_t size, const char *want)
{
	static char block[256 * 1024];
	char head[256];
	size_t n =
		sprintf(head, "POST %s HTTP/1.1\r\nHost: svc\r\n%s%s%sContent-Length: %zu\r\n\r\n",
			path, to ? "x-to: " : "", to ? to : "", to ? "\r\n" : "", size);

	/* the body looks like requests: none of it may be taken for one */
	for (size_t i = 0; i + 64 <= sizeof(block); i += 64)
		memcpy(block + i,
		       "GET /evil HTTP/1.1\r\nHost: svc\r\nx-to: deny\r\n\r\nGET /evil22 HTTP\r\n",
		       64);
	put(fd, head, n);
	for (size_t left = size; left;) {
		size_t k = left < sizeof(block) ? left : sizeof(block);

		put(fd, block, k);
		left -= k;
	}
	expect(answer_of(fd, 0), 200, "%s POST %s %zu", want, path, size);
}

/* A full buffer cuts sends short: the account of the body must stay exact (DESIGN trap 3). */
static void t_upload_native(void)
{
	int fd = dial(), small = 8192;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	upload(fd, "/up", NULL, 20 * 1000 * 1000 + 7, "ep1");
	expect(ask(fd, "GET", "/a", RIG_TO_DENY), 403, "denied by the rig's rule");
	upload(fd, "/up", NULL, 300 * 1000, "ep1");
	expect(ask(fd, "GET", "/a", RIG_TO_TWO), 200, "ep2 GET /a 0");
}

static void t_upload_bound(void)
{
	int fd = dial();

	upload(fd, "/up", RIG_TO_TWO, 1000 * 1000, "agent");
	usleep(10000);
	expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
}

static void t_body_and_next(void)
{
	char buf[512];
	size_t n;
	int fd = dial();

	/* head; then its body and the next request in one message */
	put(fd, buf, sprintf(buf, "POST /b HTTP/1.1\r\nHost: svc\r\nContent-Length: 10\r\n\r\n"));
	usleep(2000);
	n = sprintf(buf, "0123456789");
	n += request(buf + n, "GET", "/n", RIG_TO_TWO);
	put(fd, buf, n);
	expect(answer_of(fd, 0), 200, "ep1 POST /b 10");
	expect(answer_of(fd, 0), 200, "agent GET /n 0");
}

static void t_request_chunked(void)
{
	char buf[512];
	int fd = dial();

	put(fd, buf,
	    sprintf(buf, "POST /c HTTP/1.1\r\nHost: svc\r\nTransfer-Encoding: chunked\r\n\r\n"
			 "5\r\nhello\r\n0\r\n\r\n"));
	expect(answer_of(fd, 0), 200, "agent POST /c 0");
}

static void t_response_chunked(void)
{
	int fd = dial();

	for (int i = 0; i < 5; i++) {
		if (ask(fd, "GET", "/chunk/123456", NULL).len != 123456)
			fail("native");
		expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "ep2 GET /b 0");
		if (ask(fd, "GET", "/chunk/45678", RIG_TO_TWO).len != 45678)
			fail("moved");
		usleep(20000);
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
	}
}

static void t_response_big(void)
{
	int fd = dial();

	for (int i = 0; i < 3; i++) {
		if (ask(fd, "GET", "/len/3000000", NULL).len != 3000000)
			fail("native");
		if (ask(fd, "GET", "/len/60000", RIG_TO_TWO).len != 60000)
			fail("moved");
		if (ask(fd, "GET", "/len/2000000", RIG_TO_TWO).len != 2000000)
			fail("relayed");
		usleep(20000);
	}
}

static void t_response_slow(void)
{
	int fd = dial();

	for (int i = 0; i < 3; i++) {
		expect(ask(fd, "GET", "/slow", NULL), 200, "ep1 GET /slow 0");
		expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "ep2 GET /b 0");
		/* the head of a moved answer in pieces: relayed */
		expect(ask(fd, "GET", "/slow", RIG_TO_TWO), 200, "ep2 GET /slow 0");
		usleep(20000);
	}
}

/* An answer that the kernel does not understand passes; what comes after it may be native, or goes
 * to the agent, which waits until the answer is presumably over (DESIGN trap 18). */
static void t_response_odd(void)
{
	int fd = dial();

	for (int i = 0; i < 3; i++) {
		expect(ask(fd, "GET", "/odd", NULL), 200, "ep1 GET /odd 0");
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
		expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "ep2 GET /b 0");
		expect(ask(fd, "GET", "/odd", NULL), 200, "ep1 GET /odd 0");
		expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "agent GET /b 0");
		usleep(5000);
		expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "ep2 GET /b 0");
	}
}

/* The answer ends with the connection: nothing is known of its end, nothing may be moved. */
static void t_response_close(void)
{
	int fd = dial();

	in_len = 0;
	if (ask(fd, "GET", "/close/5000", NULL).status != 200)
		fail("status");
	need(fd, 5000);
	take(5000);
	expect_eof(fd);
}

static void t_server_closes(void)
{
	int fd = dial();

	expect(ask(fd, "GET", "/fin", NULL), 200, "ep1 GET /fin 0");
	expect_eof(fd);
}

/*
 *	C ---- E1: answered, then closes (or resets) the idle connection
 *	C -> U -> E2: a request is under way meanwhile
 *
 * E1's FIN must not cut the answer of E2; afterwards C is not native any more, and the FIN, sent
 * again by E1's kernel, ends it between two requests.
 */
static void server_closes_under(const char *path)
{
	char buf[256];
	int fd = dial();

	if (ask(fd, "GET", path, NULL).status != 200)
		fail("status");
	put(fd, buf, request(buf, "GET", "/late", RIG_TO_TWO));
	expect(answer_of(fd, 0), 200, "ep2 GET /late 0");
	expect(ask(fd, "GET", "/a", NULL), 200, "agent GET /a 0");
	if (!strcmp(path, "/soon"))
		expect_eof(fd);
}

static void t_shield_fin(void)
{
	server_closes_under("/soon");
}

static void t_shield_reset(void)
{
	server_closes_under("/reset");
}

/* A server that closes instead of answering: 503, and never a hang. */
static void t_answer_lost(void)
{
	static const char *path[] = {"/drop", "/abort"};

	for (int i = 0; i < 2; i++) {
		int fd = dial();

		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
		expect(ask(fd, "GET", path[i], NULL), 503, "lost");
		expect(ask(fd, "GET", "/a", NULL), 200, "agent GET /a 0");
	}
}

static void t_half_close(void)
{
	char buf[256];
	int fd = dial();

	put(fd, buf, request(buf, "GET", "/slow", NULL));
	shutdown(fd, SHUT_WR);
	expect(answer_of(fd, 0), 200, "ep1 GET /slow 0");
	expect_eof(fd);
}

static void t_close_while_native(void)
{
	char buf[256];
	int fd = dial();

	put(fd, buf, request(buf, "GET", "/slow", NULL));
	usleep(3000);
}

static void t_close_while_moved(void)
{
	char buf[256];
	int fd = dial();

	put(fd, buf, request(buf, "GET", "/late", RIG_TO_TWO));
	usleep(3000);
}

static void t_close_while_bound(void)
{
	int fd = dial();

	put(fd, "GET /never-finis", 16);
	usleep(3000);
}

static void t_ipv6(void)
{
	int fd = dial_as(RIG_VIP6, RIG_PORT, SOCK_NONBLOCK);

	for (int i = 0; i < 10; i++) {
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
		expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "ep2 GET /b 0");
		expect(ask(fd, "GET", "/b", RIG_TO_DENY), 403, "denied by the rig's rule");
		expect(ask(fd, "GET", "/x", RIG_TO_AGENT), 200, "agent GET /x 0");
		usleep(5000);
	}
}

static void t_ipv4_mapped(void)
{
	int fd = dial_as("::ffff:" RIG_VIP4, RIG_PORT, SOCK_NONBLOCK);

	expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
	expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "ep2 GET /b 0");
}

static void t_agent_only(void)
{
	int fd = dial();

	expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
	rig_agent_only(true);
	expect(ask(fd, "GET", "/a", NULL), 200, "agent GET /a 0");
	rig_agent_only(false);
	usleep(5000);
	expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
}

static void t_no_pool(void)
{
	int fd = dial();

	rig_pool_block(true);
	expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "agent GET /b 0");
	rig_pool_block(false);
	usleep(5000);
	expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "ep2 GET /b 0");
}

static void t_breaker(void)
{
	char buf[256];
	int one = dial(), two = dial();

	put(one, buf, request(buf, "GET", "/slow", RIG_TO_FULL));
	usleep(2000);
	expect(ask(two, "GET", "/a", RIG_TO_FULL), 503, "overflow");
	expect(answer_of(one, 0), 200, "ep1 GET /slow 0");
	expect(ask(two, "GET", "/a", RIG_TO_FULL), 200, "ep1 GET /a 0");
}

/* Opaque bytes on a port that detects: they reach the server, which (the rig's) waits for more. */
static void t_tunnel(void)
{
	int fd = dial_as(RIG_VIP4, RIG_PORT_AUTO, SOCK_NONBLOCK);

	put(fd, "\x16\x03\x01\x02\x05hello\n", 11);
	put(fd, "GET /evil HTTP/1.1\r\nHost: svc\r\nx-to: deny\r\n\r\n", 46);
	expect(answer_of(fd, 0), 200, "ep1 \x16\x03\x01\x02\x05hello GET 0");
}

static void t_opaque(void)
{
	int fd = dial_as(RIG_VIP4, RIG_PORT_TCP, 0);

	expect(ask(fd, "GET", "/a", RIG_TO_DENY), 200, "ep1 GET /a 0");
}

static void at_door(int fd, enum hr_why why)
{
	struct sockaddr_in me = {};
	struct hr_door door;
	socklen_t len = sizeof(me);

	getsockname(fd, (void *)&me, &len);
	if (!rig_door(ntohs(me.sin_port), &door))
		fail("not at the door");
	if (door.why != (uint32_t)why || door.dst_ip[12] != 10 || !door.conn)
		fail("door says %u", door.why);
}

static void t_doors(void)
{
	at_door(dial_as(RIG_VIP4, RIG_PORT_DOOR, SOCK_NONBLOCK), HR_WHY_PROTO);
	at_door(dial_as(RIG_VIP4, RIG_PORT, 0), HR_WHY_BLOCKING);
	at_door(dial_as(RIG_VIP4, RIG_PORT_EMPTY, SOCK_NONBLOCK), HR_WHY_NO_ENDPOINT);
	rig_agent_only(true);
	at_door(dial_as(RIG_VIP4, RIG_PORT, SOCK_NONBLOCK), HR_WHY_DATAPATH);
	rig_agent_only(false);
}

/* Resolvers check who answers: the server's own address must come back. */
static void ask_dns(const char *ip, const void *to, socklen_t len, int connected)
{
	int family = strchr(ip, ':') ? AF_INET6 : AF_INET, fd = socket(family, SOCK_DGRAM, 0);
	struct sockaddr_storage from = {};
	struct sockaddr_in6 *from6 = (void *)&from;
	struct sockaddr_in *from4 = (void *)&from;
	socklen_t from_len = sizeof(from);
	char buf[64] = {}, text[64];

	if (connected ? connect(fd, to, len) || send(fd, "q", 1, 0) != 1
		      : sendto(fd, "q", 1, 0, to, len) != 1)
		fail("%s: send: %s", ip, strerror(errno));
	wait_for(fd, POLLIN);
	if (recvfrom(fd, buf, sizeof(buf), 0, (void *)&from, &from_len) != 5 ||
	    strcmp(buf, "dns:q"))
		fail("%s: answer is \"%s\"", ip, buf);
	inet_ntop(family, family == AF_INET ? (void *)&from4->sin_addr : (void *)&from6->sin6_addr,
		  text, sizeof(text));
	if (strcmp(text, ip) || ntohs(from4->sin_port) != 53)
		fail("%s: answer comes from %s:%u", ip, text, ntohs(from4->sin_port));
	from_len = sizeof(from);
	if (connected &&
	    (getpeername(fd, (void *)&from, &from_len) || ntohs(from4->sin_port) != 53))
		fail("%s: peer name", ip);
	close(fd);
}

static void t_dns(void)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(53)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(53)};

	inet_pton(AF_INET, RIG_DNS4, &in4.sin_addr);
	inet_pton(AF_INET6, RIG_DNS6, &in6.sin6_addr);
	for (int connected = 0; connected < 2; connected++) {
		ask_dns(RIG_DNS4, &in4, sizeof(in4), connected);
		ask_dns(RIG_DNS6, &in6, sizeof(in6), connected);
		inet_pton(AF_INET6, "::ffff:" RIG_DNS4, &in6.sin6_addr);
		ask_dns("::ffff:" RIG_DNS4, &in6, sizeof(in6), connected);
		inet_pton(AF_INET6, RIG_DNS6, &in6.sin6_addr);
	}
}

static void t_many(void)
{
	enum { N = 60 };
	int fd[N];
	char buf[256];

	for (int i = 0; i < N; i++)
		fd[i] = dial();
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < N; i++)
			expect(ask(fd[i], "GET", "/a", (i + round) % 2 ? RIG_TO_TWO : NULL), 200,
			       "ep%d GET /a 0", (i + round) % 2 + 1);
	/* all at once: more than the pool holds */
	for (int i = 0; i < 3; i++)
		put(fd[i], buf, request(buf, "GET", "/late", RIG_TO_TWO));
	for (int i = 0; i < 3; i++)
		expect(answer_of(fd[i], 0), 200, "ep2 GET /late 0");
}

/* ---- run --------------------------------------------------------------------------------------
 */

struct want {
	enum hr_why why;
	int n; /* requests carried that way; -1: at least one */
};
static const struct test {
	const char *name;
	void (*client)(void);
	struct want want[6];
} tests[] = {
	{"native", t_native, {{HR_WHY_NATIVE, 52}}},
	{"peer-name", t_peer_name, {}},
	{"moved", t_moved, {{HR_WHY_NATIVE, 50}, {HR_WHY_MOVED, 100}}},
	{"moved-body", t_moved_body, {{HR_WHY_NATIVE, 5}, {HR_WHY_MOVED, 5}}},
	{"round-robin", t_round_robin, {{HR_WHY_NATIVE, 10}, {HR_WHY_MOVED, 10}}},
	{"local", t_local, {{HR_WHY_NATIVE, 20}, {HR_WHY_LOCAL, 60}}},
	{"bound", t_bound, {{HR_WHY_RULE, 20}, {HR_WHY_NATIVE, 20}}},
	{"mixed", t_mixed, {{HR_WHY_RULE, -1}, {HR_WHY_NATIVE, -1}, {HR_WHY_MOVED, -1}}},
	{"split-head", t_split_head, {{HR_WHY_HEAD_SPLIT, 1}, {HR_WHY_NATIVE, 1}}},
	{"pipelined", t_pipelined, {{HR_WHY_PIPELINED, 3}, {HR_WHY_NATIVE, 1}, {HR_WHY_MOVED, 1}}},
	{"upload-native",
	 t_upload_native,
	 {{HR_WHY_NATIVE, 2}, {HR_WHY_LOCAL, 1}, {HR_WHY_MOVED, 1}}},
	{"upload-bound", t_upload_bound, {{HR_WHY_BODY_BIG, 1}, {HR_WHY_NATIVE, 1}}},
	{"body-and-next", t_body_and_next, {{HR_WHY_NATIVE, 1}, {HR_WHY_PIPELINED, 1}}},
	{"request-chunked", t_request_chunked, {{HR_WHY_CHUNKED, 1}}},
	{"response-chunked",
	 t_response_chunked,
	 {{HR_WHY_NATIVE, 10}, {HR_WHY_MOVED, 10}, {HR_WHY_RELAY, 5}}},
	{"response-big",
	 t_response_big,
	 {{HR_WHY_NATIVE, 3}, {HR_WHY_MOVED, 6}, {HR_WHY_RELAY, 3}}},
	{"response-slow",
	 t_response_slow,
	 {{HR_WHY_NATIVE, 3}, {HR_WHY_MOVED, 6}, {HR_WHY_RELAY, 3}}},
	{"response-odd",
	 t_response_odd,
	 {{HR_WHY_NATIVE, 9}, {HR_WHY_MOVED, 6}, {HR_WHY_PIPELINED, 3}}},
	{"response-close", t_response_close, {{HR_WHY_NATIVE, 1}}},
	{"server-closes", t_server_closes, {{HR_WHY_NATIVE, 1}}},
	{"shield-fin", t_shield_fin, {{HR_WHY_NATIVE, 1}, {HR_WHY_MOVED, 1}, {HR_WHY_DEAD, 1}}},
	{"shield-reset", t_shield_reset, {{HR_WHY_NATIVE, 1}, {HR_WHY_MOVED, 1}, {HR_WHY_DEAD, 1}}},
	{"answer-lost", t_answer_lost, {{HR_WHY_NATIVE, 4}, {HR_WHY_DEAD, 2}}},
	{"half-close", t_half_close, {{HR_WHY_NATIVE, 1}}},
	{"close-while-native", t_close_while_native, {{HR_WHY_NATIVE, 1}}},
	{"close-while-moved", t_close_while_moved, {{HR_WHY_MOVED, 1}}},
	{"close-while-bound", t_close_while_bound, {{HR_WHY_HEAD_SPLIT, 1}}},
	{"ipv6",
	 t_ipv6,
	 {{HR_WHY_NATIVE, 10}, {HR_WHY_MOVED, 10}, {HR_WHY_LOCAL, 10}, {HR_WHY_RULE, 10}}},
	{"ipv4-mapped", t_ipv4_mapped, {{HR_WHY_NATIVE, 1}, {HR_WHY_MOVED, 1}}},
	{"agent-only", t_agent_only, {{HR_WHY_NATIVE, 2}, {HR_WHY_DATAPATH, 1}}},
	{"no-pool", t_no_pool, {{HR_WHY_NO_U, 1}, {HR_WHY_MOVED, 1}}},
	{"breaker", t_breaker, {{HR_WHY_NATIVE, 2}, {HR_WHY_LOCAL, 1}}},
	{"tunnel", t_tunnel, {{HR_WHY_TUNNEL, 1}}},
	{"opaque", t_opaque, {{HR_WHY_TUNNEL, 1}}},
	{"doors", t_doors, {}},
	{"dns", t_dns, {}},
	{"many", t_many, {{HR_WHY_NATIVE, 600}, {HR_WHY_MOVED, 603}}},
};

static int check_counts(const struct test *t, const uint64_t before[HR_WHY_MAX])
{
	int bad = 0;

	for (int w = 0; w < HR_WHY_MAX; w++) {
		int64_t got = rig_why(w) - before[w], want = 0;

		for (size_t i = 0; i < 6; i++)
			if (t->want[i].n && (int)t->want[i].why == w)
				want = t->want[i].n;
		if (want == -1 ? got < 1 : got != want && !(t->client == t_mixed && got)) {
			fprintf(stderr, "    reason %d: %lld requests, wanted %lld\n", w,
				(long long)got, (long long)want);
			bad = 1;
		}
	}
	return bad;
}

static int check_rest(void)
{
	for (int i = 0; i < 200; i++) {
		if (!rig_conns() && !rig_inflight() && !rig_busy())
			return 0;
		usleep(10000);
	}
	fprintf(stderr, "    left: %d connections, %d in flight, %d slots\n", rig_conns(),
		rig_inflight(), rig_busy());
	return 1;
}

static int run(const struct test *t)
{
	uint64_t before[HR_WHY_MAX];
	int status;
	pid_t pid;

	for (int w = 0; w < HR_WHY_MAX; w++)
		before[w] = rig_why(w);
	pid = fork();
	if (!pid) {
		alarm(30);
		if (rig_enter_cgroup())
			_exit(1);
		t->client();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		fprintf(stderr, "    killed by signal %d\n", WTERMSIG(status));
	rig_agent_only(false);
	status |= check_rest() | check_counts(t, before);
	printf("%s %s\n", status ? "FAIL" : "ok  ", t->name);
	return !!status;
}

/* Sums that no single test shows: every finished request has a status and a duration. */
static int check_stats(void)
{
	struct hr_stats ep1, ep2;
	uint64_t lat = 0;

	rig_ep_stats(1, &ep1);
	rig_ep_stats(2, &ep2);
	for (int i = 0; i <= HR_LAT_BUCKETS; i++)
		lat += ep1.lat[i];
	if (ep1.requests && ep2.requests && lat == ep1.requests && ep1.status[5] == 3 &&
	    ep1.tx_bytes > 20 * 1000 * 1000 && ep1.rx_bytes > 9 * 1000 * 1000)
		return 0;
	fprintf(stderr,
		"    endpoint 1: %llu requests, %llu durations, %llu 5xx, tx %llu, rx %llu\n",
		(unsigned long long)ep1.requests, (unsigned long long)lat,
		(unsigned long long)ep1.status[5], (unsigned long long)ep1.tx_bytes,
		(unsigned long long)ep1.rx_bytes);
	return 1;
}

int main(int argc, char **argv)
{
	int failed = 0, n = 0;

	setlinebuf(stdout);
	signal(SIGPIPE, SIG_IGN);
	if (rig_start())
		return 1;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (argc > 1 && strcmp(argv[1], tests[i].name))
			continue;
		failed += run(&tests[i]);
		n++;
	}
	if (argc == 1)
		failed += check_stats();
	rig_stop();
	printf("%d passed, %d failed\n", n - failed, failed);
	return failed || !n;
}
