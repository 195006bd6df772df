/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends captured: what a socket's owner may not notice of bytes that skip TCP. Run with --near.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client.h"
#include "path.h"
#include "rig.h"

/* A connection that has gone over to redirects in both directions. */
static int near_dial(void)
{
	uint64_t q = rig_pairs(HR_PAIR_REQUESTS), a = rig_pairs(HR_PAIR_ANSWERS);

	for (int tries = 0; tries < 2; tries++) { /* the first of a listener only teaches */
		int fd = dial();

		for (int i = 0; i < 4; i++)
			expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
		if (rig_pairs(HR_PAIR_REQUESTS) - q >= 3 && rig_pairs(HR_PAIR_ANSWERS) - a >= 3)
			return fd;
		close(fd);
		usleep(5000);
	}
	fail("nothing was redirected");
	return -1;
}

static void send_request(int fd, const char *path)
{
	char buf[256];

	put(fd, buf, request(buf, "GET", path, NULL));
}

/* shutdown() does not overtake the request, and what is sent after it is refused. */
void t_near_half_close(void)
{
	int fd = near_dial();

	send_request(fd, "/late");
	shutdown(fd, SHUT_WR);
	if (send(fd, "x", 1, MSG_NOSIGNAL) != -1 || errno != EPIPE)
		fail("send after shutdown: %s", strerror(errno));
	expect(answer_of(fd, 0), 200, "ep1 GET /late 0");
	expect_eof(fd);
}

/* The server's FIN comes behind its answer, also when that was long. */
void t_near_server_closes(void)
{
	int fd = near_dial();

	if (ask(fd, "GET", "/len/3000000", NULL).len != 3000000)
		fail("length");
	expect(ask(fd, "GET", "/fin", NULL), 200, "ep1 GET /fin 0");
	expect_eof(fd);
}

/* RST in the middle of requests and of answers: nothing is left (the parent looks). */
void t_near_abort(void)
{
	static const char *path[] = {"/late", "/len/3000000", "/slow"};
	struct linger reset = {.l_onoff = 1};

	for (int i = 0; i < 12; i++) {
		int fd = near_dial();

		send_request(fd, path[i % 3]);
		usleep(i % 4 * 1000);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
}

/* Looking does not take, and the number of bytes is right. */
void t_near_peek(void)
{
	int fd = near_dial(), n = -1;
	char a[512], b[512];
	ssize_t got;

	send_request(fd, "/b");
	wait_for(fd, POLLIN);
	got = recv(fd, a, sizeof(a), MSG_PEEK);
	if (got <= 0 || ioctl(fd, FIONREAD, &n) || n != got)
		fail("peek gives %zd bytes, FIONREAD %d", got, n);
	if (recv(fd, b, sizeof(b), 0) != got || memcmp(a, b, got))
		fail("read is not what was seen");
	if (recv(fd, b, sizeof(b), MSG_DONTWAIT) != -1 || errno != EAGAIN ||
	    ioctl(fd, FIONREAD, &n) || n)
		fail("bytes are left: %d", n);
}

/* One edge an answer; by level it stays readable until it is read. */
void t_near_epoll(void)
{
	struct epoll_event edge = {.events = EPOLLIN | EPOLLET}, level = {.events = EPOLLIN}, ev;
	int fd = near_dial(), et = epoll_create1(0), lt = epoll_create1(0);
	char buf[512];

	epoll_ctl(et, EPOLL_CTL_ADD, fd, &edge);
	epoll_ctl(lt, EPOLL_CTL_ADD, fd, &level);
	for (int i = 0; i < 20; i++) {
		send_request(fd, "/c");
		if (epoll_wait(et, &ev, 1, 2000) != 1 || epoll_wait(lt, &ev, 1, 0) != 1 ||
		    epoll_wait(lt, &ev, 1, 0) != 1)
			fail("no event for answer %d", i);
		if (epoll_wait(et, &ev, 1, 0) != 0)
			fail("two edges for answer %d", i);
		if (recv(fd, buf, sizeof(buf), 0) <= 0 || epoll_wait(lt, &ev, 1, 0) != 0)
			fail("readable after all was read");
	}
}

/* Gathered, and with MSG_MORE: one request all the same. */
void t_near_writev(void)
{
	char head[256], body[300];
	struct iovec v[2] = {{head, 0}, {body, sizeof(body)}};
	int fd = near_dial();

	memset(body, 'b', sizeof(body));
	v[0].iov_len =
		sprintf(head, "POST /v HTTP/1.1\r\nHost: svc\r\nContent-Length: 300\r\n\r\n");
	for (int i = 0; i < 5; i++) {
		if (writev(fd, v, 2) != (ssize_t)(v[0].iov_len + sizeof(body)))
			fail("writev: %s", strerror(errno));
		expect(answer_of(fd, 0), 200, "ep1 POST /v 300");
		if (send(fd, head, v[0].iov_len, MSG_MORE) != (ssize_t)v[0].iov_len)
			fail("send: %s", strerror(errno));
		put(fd, body, sizeof(body));
		expect(answer_of(fd, 0), 200, "ep1 POST /v 300");
	}
}

/* Ways in turn on one connection: what went natively is read before what skips TCP. */
void t_near_in_turn(void)
{
	static const char *path[] = {"/a", "/len/70000", "/chunk/5000", "/slow", "/len/2500000"};
	int fd = near_dial();

	for (int i = 0; i < 40; i++) {
		const char *p = path[i % 5];
		size_t n = 0;
		struct answer a = ask(fd, "GET", p, i % 7 == 3 ? RIG_TO_TWO : NULL);

		sscanf(p, p[1] == 'l' ? "/len/%zu" : "/chunk/%zu", &n);
		if (!strncmp(a.body, "agent ", 6))
			continue; /* its server was still in the send before: rare */
		if (a.status != 200 || (n && a.len != n))
			fail("%s: %d, %zu bytes", p, a.status, a.len);
	}
}

/* So many messages skip TCP while a connection asks for a short answer. */
static uint64_t near_answers(int fd)
{
	uint64_t before = rig_pairs(HR_PAIR_ANSWERS);

	for (int i = 0; i < 5; i++)
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
	return rig_pairs(HR_PAIR_ANSWERS) - before;
}

/* What one client leaves unread counts for the node: beyond the bound all others use TCP, until it
 * has read. */
void t_near_node_bound(void)
{
	int slow = near_dial(), other = near_dial();

	send_request(slow, "/len/3000000");
	for (int i = 0; rig_pairs_held() < 500000; i++) {
		if (i == 1000)
			fail("%lld bytes unread", (long long)rig_pairs_held());
		usleep(2000);
	}
	rig_pairs_bound(100000);
	if (near_answers(other))
		fail("skips TCP beyond the bound");
	if (answer_of(slow, 0).len != 3000000)
		fail("length");
	expect(ask(slow, "GET", "/a", NULL), 200, "ep1 GET /a 0");
	if (near_answers(other) < 4)
		fail("uses TCP although all was read");
	rig_pairs_bound(HR_PAIR_NODE_MAX);
	send_request(slow, "/len/3000000");
	usleep(20000);
	close(slow);
	for (int i = 0; rig_pairs_held(); i++) {
		if (i == 1000)
			fail("%lld bytes unread after all is closed", (long long)rig_pairs_held());
		usleep(1000);
	}
}

/* An opaque connection: whatever it carries skips TCP, once it is known who listens. */
void t_near_opaque(void)
{
	uint64_t before = rig_pairs(HR_PAIR_SENDS);
	int fd = -1;

	close(near_dial());
	for (int i = 0; i < 3; i++) { /* the first learns where the listener is */
		fd = dial_as(RIG_VIP4, RIG_PORT_NEAR_TCP, SOCK_NONBLOCK);
		for (int k = 0; k < 20; k++)
			expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
		if (ask(fd, "GET", "/len/2500000", NULL).len != 2500000)
			fail("length");
		shutdown(fd, SHUT_WR);
		expect_eof(fd);
	}
	if (rig_pairs(HR_PAIR_SENDS) - before < 70)
		fail("%llu sends skipped TCP",
		     (unsigned long long)(rig_pairs(HR_PAIR_SENDS) - before));
}
