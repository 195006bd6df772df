/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers of the rig, a thread a connection. The path says what the answer looks like:
 *
 *	/len/N		Content-Length N		/chunk/N	the same in chunks of 1000
 *	/close/N	until the connection closes	/slow/...	head and body in pieces
 *	/late		after 20 ms, in one piece
 *	/early		answers before it reads the body, /fin closes after the answer
 *	/drop, /abort	closes (resets) the connection instead of answering
 *	/odd		a header that the kernel does not read
 *	/keep		says "Connection: keep-alive", or in its body that it was asked to close
 *	/soon, /reset	answers, closes (resets) when a /late/under has come somewhere
 *	/late/under	answers when that is done
 *	/edited		"epN edited K BODYBYTES": RIG_ADDED was K times in the head, at its end
 *	other		"epN METHOD PATH BODYBYTES"
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig_internal.h"

struct one {
	int fd, ep;
};

static atomic_int under_way, closed; /* of /late/under and those that close meanwhile */

static void await(atomic_int *n)
{
	for (int i = 0; i < 10000 && !atomic_load(n); i++)
		usleep(1000);
	atomic_fetch_sub(n, 1);
}

int rig_listen(int family, uint16_t *port)
{
	struct sockaddr_storage ss = {.ss_family = family};
	struct sockaddr_in *in = (void *)&ss;
	struct sockaddr_in6 *in6 = (void *)&ss;
	socklen_t len = family == AF_INET ? sizeof(*in) : sizeof(*in6);
	int fd = socket(family, SOCK_STREAM, 0), on = 1;

	if (family == AF_INET) {
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		in->sin_port = htons(*port);
	} else {
		in6->sin6_addr = in6addr_loopback;
		in6->sin6_port = htons(*port);
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (void *)&ss, len) || listen(fd, 128))
		return -1;
	getsockname(fd, (void *)&ss, &len);
	*port = ntohs(in->sin_port);
	return fd;
}

static bool wait_fd(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, -1) == 1;
}

bool rig_send(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN && wait_fd(fd, POLLOUT))
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

static ssize_t receive(int fd, void *buf, size_t size)
{
	ssize_t n;

	while ((n = recv(fd, buf, size, 0)) < 0 && errno == EAGAIN && wait_fd(fd, POLLIN))
		;
	return n;
}

/* Reads one request: the head into buf, the body counted. -1: closed or odd. */
long rig_read_request(int fd, char *buf, size_t size, size_t *kept)
{
	size_t n = *kept, body, want = 0;
	char *end, *cl;

	buf[n] = 0;
	while (!(end = strstr(buf, "\r\n\r\n"))) {
		ssize_t r = n + 1 < size ? receive(fd, buf + n, size - 1 - n) : -1;

		if (r <= 0)
			return -1;
		n += r;
		buf[n] = 0;
	}
	end += 4;
	cl = strcasestr(buf, "\r\ncontent-length:");
	if (cl && cl < end)
		want = strtoul(cl + 17, NULL, 10);
	body = buf + n - end;
	*end = 0;
	*kept = 0;
	if (strstr(buf, " /early "))
		return body;
	while (body < want) {
		static __thread char sink[65536];
		ssize_t r =
			receive(fd, sink, want - body < sizeof(sink) ? want - body : sizeof(sink));

		if (r <= 0)
			return -1;
		body += r;
	}
	return want;
}

static bool send_fill(int fd, size_t n)
{
	char block[1000];

	memset(block, 'x', sizeof(block));
	while (n) {
		size_t k = n < sizeof(block) ? n : sizeof(block);

		if (!rig_send(fd, block, k))
			return false;
		n -= k;
	}
	return true;
}

static bool send_chunks(int fd, size_t n)
{
	char head[32];

	while (n) {
		size_t k = n < 1000 ? n : 1000;

		snprintf(head, sizeof(head), "%zx;e=1\r\n", k);
		if (!rig_send(fd, head, strlen(head)) || !send_fill(fd, k) ||
		    !rig_send(fd, "\r\n", 2))
			return false;
		n -= k;
	}
	return rig_send(fd, "0\r\nT: 1\r\n\r\n", 11);
}

static bool send_slowly(int fd, const char *text)
{
	for (; *text; text++) {
		if (!rig_send(fd, text, 1))
			return false;
		usleep(500);
	}
	return true;
}

/* As a server that finds a connection idle. */
static bool close_soon(const struct one *o, const char *path)
{
	struct linger reset = {.l_onoff = 1};

	bool hard = !strcmp(path, "/reset") || !strcmp(path, "/abort");

	if (!hard && strcmp(path, "/soon"))
		return false;
	if (!strcmp(path, "/abort"))
		usleep(10000);
	else
		await(&under_way);
	if (hard)
		setsockopt(o->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return true;
}

/* How often the head has what the kernel adds; -1: it does not end with it. */
static int count_added(const char *req)
{
	const char *end = strstr(req, "\r\n\r\n");
	int n = 0;

	for (const char *p = req; (p = strcasestr(p, RIG_ADDED)); p++) {
		n++;
		if (p + strlen(RIG_ADDED) == end + 2)
			return n;
	}
	return n ? -1 : 0;
}

static bool answer(const struct one *o, const char *req, long body)
{
	char method[16] = "", path[256] = "", text[512], head[512];
	size_t n;

	sscanf(req, "%15s %255s", method, path);
	if (!strcmp(path, "/drop") || !strcmp(path, "/abort"))
		return close_soon(o, path), false;
	if (sscanf(path, "/len/%zu", &n) == 1) {
		snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
		return rig_send(o->fd, head, strlen(head)) &&
		       (!strcmp(method, "HEAD") || send_fill(o->fd, n));
	}
	if (sscanf(path, "/chunk/%zu", &n) == 1) {
		snprintf(head, sizeof(head),
			 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
		return rig_send(o->fd, head, strlen(head)) && send_chunks(o->fd, n);
	}
	if (sscanf(path, "/chunk500/%zu", &n) == 1) {
		snprintf(head, sizeof(head),
			 "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n");
		return rig_send(o->fd, head, strlen(head)) && send_chunks(o->fd, n);
	}
	if (sscanf(path, "/len500/%zu", &n) == 1) { /* head and body in packets of their own */
		snprintf(head, sizeof(head), "HTTP/1.1 500 No\r\nContent-Length: %zu\r\n\r\n", n);
		if (!rig_send(o->fd, head, strlen(head)))
			return false;
		usleep(20000);
		return send_fill(o->fd, n);
	}
	if (sscanf(path, "/close/%zu", &n) == 1) {
		snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\n\r\n");
		rig_send(o->fd, head, strlen(head));
		send_fill(o->fd, n);
		return false;
	}
	snprintf(text, sizeof(text), "ep%d %s %s %ld", o->ep, method, path, body);
	if (strstr(path, "/edited"))
		snprintf(text, sizeof(text), "ep%d edited %d %ld", o->ep, count_added(req), body);
	if (strstr(path, "/keep") && strcasestr(req, "close"))
		snprintf(text, sizeof(text), "ep%d was asked to close", o->ep);
	snprintf(head, sizeof(head), "HTTP/1.1 %d OK\r\n%sContent-Length: %zu\r\n\r\n",
		 strstr(path, "/500") ? 500 : 200,
		 strstr(path, "/odd")	 ? "X-Name: J\xc3\xbcrgen\r\n"
		 : strstr(path, "/keep") ? "Connection: keep-alive\r\n"
					 : "",
		 strlen(text));
	if (strcmp(method, "HEAD"))
		strcat(head, text);
	if (!strncmp(path, "/slow", 5))
		return send_slowly(o->fd, head);
	if (!strcmp(path, "/late/under")) {
		atomic_fetch_add(&under_way, 1);
		await(&closed);
	} else if (!strncmp(path, "/late", 5)) {
		usleep(20000);
	}
	if (!strncmp(path, "/hang", 5))
		usleep(150 * 1000);
	if (!strncmp(path, "/hint", 5) &&
	    !rig_send(o->fd, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 37))
		return false;
	if (!strncmp(path, "/hint", 5))
		usleep(10000);
	return rig_send(o->fd, head, strlen(head)) && !strstr(path, "/fin") && !close_soon(o, path);
}

static void *serve(void *arg)
{
	struct one *o = arg;
	static __thread char buf[65536];
	bool told = false;
	size_t kept = 0;
	long body;
	int on = 1;

	setsockopt(o->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	while ((body = rig_read_request(o->fd, buf, sizeof(buf), &kept)) >= 0)
		if (!answer(o, buf, body))
			break;
	told = strstr(buf, " /reset ") || strstr(buf, " /soon ");
	if (!strstr(buf, " /reset ") && !strstr(buf, " /abort ")) {
		shutdown(o->fd, SHUT_WR);
		if (told)
			atomic_fetch_add(&closed, 1);
		told = false;
		while (receive(o->fd, buf, sizeof(buf)) > 0)
			;
	}
	close(o->fd);
	if (told)
		atomic_fetch_add(&closed, 1);
	free(o);
	return NULL;
}

static void *accept_loop(void *arg)
{
	struct one listener = *(struct one *)arg;

	free(arg);
	for (;;) {
		struct one *o = malloc(sizeof(*o));
		pthread_t t;

		o->ep = listener.ep;
		o->fd = accept4(listener.fd, NULL, NULL, rig_near ? SOCK_NONBLOCK : 0);
		if (o->fd < 0 || pthread_create(&t, NULL, serve, o)) {
			free(o);
			return NULL;
		}
		pthread_detach(t);
	}
}

int rig_serve(int ep, int family, uint16_t *port)
{
	struct one *o = malloc(sizeof(*o));
	pthread_t t;

	o->ep = ep;
	if (rig_near)
		rig_enter_cgroup();
	o->fd = rig_listen(family, port);
	if (rig_near)
		rig_leave_cgroup();
	if (o->fd < 0 || pthread_create(&t, NULL, accept_loop, o)) {
		free(o);
		return -1;
	}
	pthread_detach(t);
	return 0;
}

static void *answer_dns(void *arg)
{
	int fd = (int)(long)arg;

	for (;;) {
		struct sockaddr_storage from;
		socklen_t len = sizeof(from);
		char buf[512] = "dns:";
		ssize_t n = recvfrom(fd, buf + 4, sizeof(buf) - 4, 0, (void *)&from, &len);

		if (n >= 0)
			sendto(fd, buf, n + 4, 0, (void *)&from, len);
	}
	return NULL;
}

int rig_serve_dns(int family, uint16_t *port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	socklen_t len = family == AF_INET ? sizeof(in) : sizeof(in6);
	void *sa = family == AF_INET ? (void *)&in : (void *)&in6;
	int fd = socket(family, SOCK_DGRAM, 0);
	pthread_t t;

	if (bind(fd, sa, len) || getsockname(fd, sa, &len))
		return -1;
	*port = ntohs(family == AF_INET ? in.sin_port : in6.sin6_port);
	return pthread_create(&t, NULL, answer_dns, (void *)(long)fd) ? -1 : pthread_detach(t);
}
