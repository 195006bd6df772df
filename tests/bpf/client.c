/* SPDX-License-Identifier: Apache-2.0 */
/* The client of the path tests (client.h). */
#include "client.h"

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

#include "rig.h"

#define TIMEOUT_MS 5000

/* The newest request, for complaints. */
static char doing[64];

void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "    ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	_exit(1);
}

void wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	if (poll(&p, 1, TIMEOUT_MS) != 1)
		fail("hangs waiting for %s: %s", events == POLLIN ? "an answer" : "room", doing);
}

int dial_as(const char *ip, uint16_t port, int nonblock)
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

int dial(void)
{
	return dial_as(RIG_VIP4, RIG_PORT, SOCK_NONBLOCK);
}

void put(int fd, const char *p, size_t len)
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

size_t get(int fd, char *p, size_t size)
{
	ssize_t n;

	while ((n = recv(fd, p, size, 0)) < 0 && errno == EAGAIN)
		wait_for(fd, POLLIN);
	if (n < 0)
		fail("recv: %s", strerror(errno));
	return n;
}

static char in[4 << 20];
size_t in_len;
/* bytes that belong to the next answer */

void need(int fd, size_t n)
{
	while (in_len < n) {
		size_t r = get(fd, in + in_len, sizeof(in) - 1 - in_len);

		if (!r)
			fail("closed after %zu of %zu bytes", in_len, n);
		in_len += r;
		in[in_len] = 0;
	}
}

void take(size_t n)
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
struct answer answer_of(int fd, int head)
{
	struct answer a = {};
	char *end, *cl;

	while (!(end = strstr(in, "\r\n\r\n")))
		need(fd, in_len + 1);
	if (sscanf(in, "HTTP/1.1 %d", &a.status) != 1)
		fail("not an answer: %.80s", in);
	cl = strstr(in, "Connection: close");
	a.close = cl && cl < end;
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

void expect(struct answer a, int status, const char *fmt, ...)
{
	char want[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(want, sizeof(want), fmt, ap);
	va_end(ap);
	if (a.status != status || strcmp(a.body, want))
		fail("got %d \"%s\", wanted %d \"%s\"", a.status, a.body, status, want);
}

size_t request(char *buf, const char *method, const char *path, const char *to)
{
	snprintf(doing, sizeof(doing), "%s %s to %s", method, path, to ? to : "any");
	return sprintf(buf, "%s %s HTTP/1.1\r\nHost: svc\r\n%s%s%s\r\n", method, path,
		       to ? "X-To: " : "", to ? to : "", to ? "\r\n" : "");
}

struct answer ask(int fd, const char *method, const char *path, const char *to)
{
	char buf[1024];

	put(fd, buf, request(buf, method, path, to));
	return answer_of(fd, !strcmp(method, "HEAD"));
}

void expect_eof(int fd)
{
	char c;

	if (in_len || get(fd, &c, 1))
		fail("bytes after the last answer");
}

void await_agent(void)
{
	for (int i = 0; i < 5000 && rig_busy(); i++)
		usleep(1000);
	usleep(5000); /* its last word to the kernel comes behind that */
}
