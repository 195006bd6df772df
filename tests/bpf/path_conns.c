/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: where they go, who ends them and when, families, names, many at once. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
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

/* getpeername() must give what was asked for, or clients that compare would break. */
void t_peer_name(void)
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

/* The answer ends with the connection: nothing is known of its end, nothing may be moved. */
void t_response_close(void)
{
	int fd = dial();

	in_len = 0;
	if (ask(fd, "GET", "/close/5000", NULL).status != 200)
		fail("status");
	need(fd, 5000);
	take(5000);
	expect_eof(fd);
}

void t_server_closes(void)
{
	int fd = dial();

	expect(ask(fd, "GET", "/fin", NULL), 200, "ep1 GET /fin 0");
	expect_eof(fd);
}

/*
 *	C ---- E1: answered, then closes (or resets) the idle connection
 *	C -> U -> E2: a request is under way meanwhile
 *
 * E1's FIN must not cut the answer of E2; afterwards C is not native any more (its requests are
 * moved), and the FIN, sent again by E1's kernel, ends it between two requests.
 */
static void server_closes_under(const char *path)
{
	char buf[256];
	int fd = dial();

	if (ask(fd, "GET", path, NULL).status != 200)
		fail("status");
	put(fd, buf, request(buf, "GET", "/late/under", RIG_TO_TWO));
	expect(answer_of(fd, 0), 200, "ep2 GET /late/under 0");
	expect(ask(fd, "GET", "/a", RIG_TO_FULL), 200, "ep1 GET /a 0");
	if (!strcmp(path, "/soon"))
		expect_eof(fd);
}

void t_shield_fin(void)
{
	server_closes_under("/soon");
}

void t_shield_reset(void)
{
	server_closes_under("/reset");
}

/* A server that closes instead of answering: 503, and never a hang. */
void t_answer_lost(void)
{
	static const char *path[] = {"/drop", "/abort"};

	for (int i = 0; i < 2; i++) {
		int fd = dial();

		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
		expect(ask(fd, "GET", path[i], NULL), 503, "lost GET %s HTTP/1.1 0", path[i]);
		await_agent();
		expect(ask(fd, "GET", "/a", RIG_TO_FULL), 200, "ep1 GET /a 0");
	}
}

void t_half_close(void)
{
	char buf[256];
	int fd = dial();

	put(fd, buf, request(buf, "GET", "/slow", NULL));
	shutdown(fd, SHUT_WR);
	expect(answer_of(fd, 0), 200, "ep1 GET /slow 0");
	expect_eof(fd);
}

void t_close_while_native(void)
{
	char buf[256];
	int fd = dial();

	put(fd, buf, request(buf, "GET", "/slow", NULL));
	usleep(3000);
}

void t_close_while_moved(void)
{
	char buf[256];
	int fd = dial();

	put(fd, buf, request(buf, "GET", "/late", RIG_TO_TWO));
	usleep(3000);
}

void t_close_while_bound(void)
{
	int fd = dial();

	put(fd, "GET /never-finis", 16);
	usleep(3000);
}

/*
 *	C1 asks, and leaves; the agent goes on to write for it
 *	C2 .. CN: get the same agent slots
 *
 * What was written for C1 must not fill the pair, nor leave a verdict behind that sends the answer
 * to another client the same way.
 */
void t_flood_after_close(void)
{
	char buf[256];
	int fd;

	for (int i = 0; i < 3; i++) {
		fd = dial();
		put(fd, buf, request(buf, "GET", "/flood", RIG_TO_AGENT));
		usleep(3000);
		close(fd);
	}
	usleep(200000);
	for (int i = 0; i < 2 * RIG_G; i++) {
		fd = dial();
		expect(ask(fd, "GET", "/x", RIG_TO_AGENT), 200, "agent GET /x 0");
		close(fd);
		usleep(1000);
	}
}

void t_ipv6(void)
{
	int fd = dial_as(RIG_VIP6, RIG_PORT, SOCK_NONBLOCK);

	for (int i = 0; i < 10; i++) {
		expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
		expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "ep2 GET /b 0");
		expect(ask(fd, "GET", "/b", RIG_TO_DENY), 403, "denied by the rig's rule");
		expect(ask(fd, "GET", "/x", RIG_TO_AGENT), 200, "agent GET /x 0");
		await_agent();
	}
}

void t_ipv4_mapped(void)
{
	int fd = dial_as("::ffff:" RIG_VIP4, RIG_PORT, SOCK_NONBLOCK);

	expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
	expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "ep2 GET /b 0");
}

void t_agent_only(void)
{
	int fd = dial();

	expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
	rig_agent_only(true);
	expect(ask(fd, "GET", "/a", NULL), 200, "agent GET /a 0");
	rig_agent_only(false);
	await_agent();
	expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
}

/*
 * Nobody can carry it. What is whole is answered in place, and its connection goes on. Otherwise
 * the connection is over: 503 where that is still possible, never an error of send(), for the
 * verdict "drop" would make all of them fail.
 */
void t_no_agent(void)
{
	char buf[256];
	int fd = dial();
	size_t n;

	rig_no_agent(true);
	expect(ask(fd, "GET", "/x", RIG_TO_AGENT), 503, "overflow");
	expect(ask(fd, "GET", "/a", NULL), 200, "ep1 GET /a 0");
	/* a head in pieces */
	n = request(buf, "GET", "/x", NULL);
	put(fd, buf, 10);
	expect(answer_of(fd, 0), 503, "ended");
	for (int i = 0; i < 3; i++)
		put(fd, buf + 10, n - 10);
	/* before the answer to the one before has begun: it goes, and ours takes its place */
	fd = dial();
	put(fd, buf, request(buf, "GET", "/late", NULL));
	put(fd, buf, request(buf, "GET", "/a", NULL));
	expect(answer_of(fd, 0), 503, "ended");
	put(fd, buf, n);
	/* and after it has begun: it comes to its end, and nothing follows */
	fd = dial();
	put(fd, buf, request(buf, "GET", "/slow", NULL));
	need(fd, 1);
	put(fd, buf, request(buf, "GET", "/a", NULL));
	if (answer_of(fd, 0).status != 200)
		fail("an answer that had begun was cut");
	put(fd, buf, n);
}

void t_no_pool(void)
{
	int fd = dial();

	rig_pool_block(true);
	expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "agent GET /b 0");
	rig_pool_block(false);
	await_agent();
	expect(ask(fd, "GET", "/b", RIG_TO_TWO), 200, "ep2 GET /b 0");
}

/* Opaque bytes on a port that detects: they reach the server, which (the rig's) waits for more. */
void t_tunnel(void)
{
	int fd = dial_as(RIG_VIP4, RIG_PORT_AUTO, SOCK_NONBLOCK);

	put(fd, "\x16\x03\x01\x02\x05hello\n", 11);
	put(fd, "GET /evil HTTP/1.1\r\nHost: svc\r\nx-to: deny\r\n\r\n", 46);
	expect(answer_of(fd, 0), 200, "ep1 \x16\x03\x01\x02\x05hello GET 0");
}

void t_opaque(void)
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

static int dial_fast(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(RIG_PORT)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	inet_pton(AF_INET, RIG_VIP4, &to.sin_addr);
	setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on));
	if (connect(fd, (void *)&to, sizeof(to)) && errno != EINPROGRESS)
		fail("connect: %s", strerror(errno));
	wait_for(fd, POLLOUT);
	return fd;
}

void t_doors(void)
{
	at_door(dial_as(RIG_VIP4, RIG_PORT_DOOR, SOCK_NONBLOCK), HR_WHY_PROTO);
	at_door(dial_as(RIG_VIP4, RIG_PORT, 0), HR_WHY_BLOCKING);
	at_door(dial_as(RIG_VIP4, RIG_PORT_EMPTY, SOCK_NONBLOCK), HR_WHY_NO_ENDPOINT);
	at_door(dial_fast(), HR_WHY_FASTOPEN);
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

void t_dns(void)
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

void t_many(void)
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

static void *send_early(void *arg)
{
	const int *fd = arg;
	char buf[256];
	size_t n = request(buf, "GET", "/early", RIG_TO_DENY);

	while (send(*fd, buf, n, MSG_NOSIGNAL) < 0 && (errno == EAGAIN || errno == EPIPE))
		;
	return NULL;
}

/*
 *	one thread connects, the other tries to send all the time
 *
 * A send that waits for the socket's lock while the connection is established and captured goes on
 * in ordinary TCP afterwards: no program sees it. The rule is "deny".
 */
void t_send_while_connecting(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(RIG_PORT)};
	int seen = 0, denied = 0;
	pthread_t t;

	inet_pton(AF_INET, RIG_VIP4, &to.sin_addr);
	for (int i = 0; i < 300; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		char buf[512] = {};

		pthread_create(&t, NULL, send_early, &fd);
		if (i % 2)
			usleep(50);
		connect(fd, (void *)&to, sizeof(to));
		pthread_join(t, NULL);
		wait_for(fd, POLLIN);
		recv(fd, buf, sizeof(buf) - 1, 0);
		denied += !!strstr(buf, " 403 ");
		seen += !!strstr(buf, "ep1");
		close(fd);
	}
	if (seen || !denied)
		fail("%d of 300 went past the rule, %d were denied", seen, denied);
}

struct sender {
	int fd, id;
};

#define PER_SENDER 300

static void *send_many(void *arg)
{
	static const char *to[] = {NULL, RIG_TO_TWO, RIG_TO_RR};
	const struct sender *s = arg;
	char path[32], buf[256];

	for (int i = 0; i < PER_SENDER; i++) {
		snprintf(path, sizeof(path), "/%d", s->id * PER_SENDER + i);
		put(s->fd, buf, request(buf, "GET", path, to[i % 3]));
	}
	return NULL;
}

/* Two threads that write whole requests into one connection: each gets one answer (DESIGN trap 24:
 * the socket's lock is free while a redirect is under way). */
void t_two_senders(void)
{
	struct sender s[2] = {{dial(), 0}, {0, 1}};
	bool seen[2 * PER_SENDER] = {};
	pthread_t t[2];
	int n;

	s[1].fd = s[0].fd;
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, send_many, &s[i]);
	for (int i = 0; i < 2 * PER_SENDER; i++) {
		struct answer a = answer_of(s[0].fd, 0);
		char *path = strstr(a.body, " /");

		if (a.status != 200 || !path || sscanf(path, " /%d ", &n) != 1 ||
		    n >= 2 * PER_SENDER || seen[n])
			fail("answer %d is \"%s\"", i, a.body);
		seen[n] = true;
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}

/* One client of the stress: requests of every kind, each with its own path, which comes back. */
static void hammer(int id, int ms)
{
	static const char *to[] = {NULL,      NULL,	    RIG_TO_TWO, RIG_TO_TWO,
				   RIG_TO_RR, RIG_TO_AGENT, RIG_TO_DENY};
	struct timespec t0, t;
	char path[64], buf[512];
	int n = 0, fd = -1;

	srand(id);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	do {
		const char *dest = to[rand() % 7];
		int dice = rand() % 64;
		struct answer a;

		if (fd < 0)
			fd = dial_as(rand() % 2 ? RIG_VIP4 : RIG_VIP6, RIG_PORT, SOCK_NONBLOCK);
		snprintf(path, sizeof(path), "/%d-%d", id, n++);
		put(fd, buf, request(buf, "GET", path, dest));
		if (dice == 0) { /* goes away with an answer on its way */
			close(fd);
			fd = -1;
		} else {
			a = answer_of(fd, 0);
			if (a.status == 200 && !strstr(a.body, path))
				fail("%s answered with \"%s\"", path, a.body);
			if (dice == 1) {
				close(fd);
				fd = -1;
			}
		}
		clock_gettime(CLOCK_MONOTONIC, &t);
	} while ((t.tv_sec - t0.tv_sec) * 1000 + (t.tv_nsec - t0.tv_nsec) / 1000000 < ms);
}

void t_stress(void)
{
	enum { N = 12 };
	int bad = 0, status;

	for (int i = 0; i < N; i++)
		if (!fork()) {
			hammer(i, 3000);
			_exit(0);
		}
	while (wait(&status) > 0)
		bad += status != 0;
	if (bad)
		fail("%d of %d clients failed", bad, N);
}
