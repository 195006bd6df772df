/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and answers of every shape on one connection. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "path.h"
#include "rig.h"

void t_native(void)
{
	int fd = dial();

	for (int i = 0; i < 50; i++)
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
	if (ask(fd, "HEAD", "/len/500", NULL).len != 500)
		fail("HEAD");
	expect(ask(fd, "GET", "/500", NULL), 500, "ep1 GET /500 0");
}

/* The server may end C's own connection. Elsewhere the agent does, and it gives the answer when
 * that has no word that could become "close". */
void t_request_close(void)
{
	static const char *to[] = {"", "X-To: two\r\n", "X-To: deny\r\n"};
	static const char *want[] = {"ep1 GET /a 0", "ep2 GET /a 0", "agent GET /a 0"};
	char buf[256];

	for (int i = 0; i < 3; i++) {
		int fd = dial();

		put(fd, buf,
		    sprintf(buf, "GET /a HTTP/1.1\r\nHost: svc\r\n%sConnection: close\r\n\r\n",
			    to[i]));
		expect(answer_of(fd, 0), 200, want[i]);
	}
}

/* U's server is not asked to close, C is told that it is closed, and the agent is called for a C
 * that waits for that. */
void t_moved_close(void)
{
	static const char text[] = "GET /keep HTTP/1.1\r\nHost: svc\r\nX-To: two\r\n"
				   "Connection: Close\r\n\r\n";

	for (int i = 0; i < 20; i++) {
		int fd = dial(), before = rig_ended(), waits = i & 1;
		struct answer a;

		put(fd, text, sizeof(text) - 1);
		a = answer_of(fd, 0);
		expect(a, 200, "ep2 GET /keep 0");
		if (!a.close)
			fail("the answer does not say close");
		for (int k = 0; waits && rig_ended() == before; k++) {
			if (k == 1000)
				fail("nobody is to end a client that waits for it");
			usleep(1000);
		}
		close(fd);
	}
}

void t_moved(void)
{
	int fd = dial();

	for (int i = 0; i < 50; i++) {
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
		expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "ep2 GET /b 0");
		expect(ask(fd, "GET", "/p/c", NULL), 200, "ep2 GET /p/c 0");
	}
}

void t_moved_body(void)
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

static void edited(int fd, const char *to, const char *more, size_t body, const char *want)
{
	static char buf[70000];
	size_t n = sprintf(buf,
			   "POST /edited HTTP/1.1\r\nHost: svc\r\nx-to: %s\r\n%s"
			   "Content-Length: %zu\r\n\r\n",
			   to, more, body);

	memset(buf + n, 'b', body);
	put(fd, buf, n + body);
	expect(answer_of(fd, 0), 200, want, body);
}

/* Fields added to heads, on both kinds of connections, beside requests that get none: each request
 * is whole, and what follows it begins where it should. */
void t_edit(void)
{
	static const size_t sizes[] = {0, 1, 100, 3000, 4000, 5000, 15000};
	int fd = dial();

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		edited(fd, RIG_TO_EDIT, "", sizes[i], "ep1 edited 1 %zu");
		edited(fd, RIG_TO_EDIT2, "", sizes[i], "ep2 edited 1 %zu");
		edited(fd, RIG_TO_TWO, "", sizes[i], "ep2 edited 0 %zu");
		edited(fd, RIG_TO_EDIT, RIG_ADDED, sizes[i], "ep1 edited 2 %zu");
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
	}
}

/* What only the agent can do: a name that is there already, a message that is too long. */
void t_edit_agent(void)
{
	static const size_t sizes[] = {0, 20000};
	int fd;

	for (int i = 0; i < 2; i++) {
		fd = dial();
		edited(fd, RIG_TO_EDIT, i ? "" : RIG_GONE ": 1\r\n", sizes[i],
		       "agent POST /edited %zu");
		close(fd);
	}
}

/* A body that comes in many sends behind a head that was added to. */
void t_edit_upload(void)
{
	static char block[50000];
	int fd = dial();

	for (int i = 0; i < 3; i++) {
		put(fd, block,
		    sprintf(block, "POST /edited HTTP/1.1\r\nHost: svc\r\nx-to: edit\r\n"
				   "Content-Length: 500000\r\n\r\n"));
		memset(block, 'b', sizeof(block));
		for (int k = 0; k < 10; k++)
			put(fd, block, sizeof(block));
		expect(answer_of(fd, 0), 200, "ep1 edited 1 500000");
	}
}

void t_round_robin(void)
{
	int fd = dial(), ones = 0;

	for (int i = 0; i < 20; i++)
		ones += ask(fd, "GET", "/a", RIG_TO_RR).body[2] == '1';
	if (ones != 10)
		fail("%d of 20 at endpoint 1", ones);
}

void t_local(void)
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

void t_bound(void)
{
	int fd = dial();

	for (int i = 0; i < 20; i++) {
		expect(ask(fd, "GET", "/x", RIG_TO_AGENT), 200, "agent GET /x 0");
		await_agent();
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
	}
}

/* The states in every order on one connection: order of bytes is what breaks first. */
void t_mixed(void)
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

void t_split_head(void)
{
	char buf[256];
	size_t n = request(buf, "GET", "/s", NULL);
	int fd = dial();

	for (size_t i = 0; i < n; i++) {
		put(fd, buf + i, 1);
		usleep(300);
	}
	expect(answer_of(fd, 0), 200, "agent GET /s 0");
	await_agent();
	expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
}

void t_pipelined(void)
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
	await_agent();
	/* the second while the first is at a slow endpoint: its answer waits */
	put(fd, buf, request(buf, "GET", "/slow", NULL));
	usleep(1000);
	put(fd, buf, request(buf, "GET", "/next", NULL));
	expect(answer_of(fd, 0), 200, "ep1 GET /slow 0");
	expect(answer_of(fd, 0), 200, "agent GET /next 0");
	await_agent();
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
void t_upload_native(void)
{
	int fd = dial(), small = 8192;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	upload(fd, "/up", NULL, 20 * 1000 * 1000 + 7, "ep1");
	expect(ask(fd, "GET", "/a", RIG_TO_DENY), 403, "denied by the rig's rule");
	upload(fd, "/up", NULL, 300 * 1000, "ep1");
	expect(ask(fd, "GET", "/a", RIG_TO_TWO), 200, "ep2 GET /a 0");
}

void t_upload_bound(void)
{
	int fd = dial();

	upload(fd, "/up", RIG_TO_TWO, 1000 * 1000, "agent");
	usleep(10000);
	expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
}

void t_body_and_next(void)
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

void t_request_chunked(void)
{
	char buf[512];
	int fd = dial();

	put(fd, buf,
	    sprintf(buf, "POST /c HTTP/1.1\r\nHost: svc\r\nTransfer-Encoding: chunked\r\n\r\n"
			 "5\r\nhello\r\n0\r\n\r\n"));
	expect(answer_of(fd, 0), 200, "agent POST /c 0");
}

void t_response_chunked(void)
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

void t_response_big(void)
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

void t_response_slow(void)
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
void t_response_odd(void)
{
	int fd = dial();

	for (int i = 0; i < 3; i++) {
		expect(ask(fd, "GET", "/odd", NULL), 200, "ep1 GET /odd 0");
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
		expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "ep2 GET /b 0");
		expect(ask(fd, "GET", "/odd", NULL), 200, "ep1 GET /odd 0");
		expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "agent GET /b 0");
		await_agent();
		expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "ep2 GET /b 0");
	}
}

void t_breaker(void)
{
	char buf[256];
	int one = dial(), two = dial();

	put(one, buf, request(buf, "GET", "/slow", RIG_TO_FULL));
	usleep(2000);
	expect(ask(two, "GET", "/a", RIG_TO_FULL), 503, "overflow");
	expect(answer_of(one, 0), 200, "ep1 GET /slow 0");
	expect(ask(two, "GET", "/a", RIG_TO_FULL), 200, "ep1 GET /a 0");
}
