/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An origin server for the proxy's tests: a thread a connection, blocking sockets, and a behaviour
 * chosen by the path. It is deliberately a simple reader: what it gets wrong shows in the tests.
 *
 *	/id/X        200, body X                 /status/N     N, body "status"
 *	/echo        200, the request's head     /upload       200, "LENGTH CHECKSUM" of the body
 *	/big/N       200, N bytes, patterned     /chunks       200, chunked with a trailer
 *	/until-close 200, body to the FIN        /slow/MS/X    as /id/X after MS milliseconds
 *	/close /reset /garbage /partial /twice   faults        /early  413 before the body is read
 *	/flaky/N/X   the first N requests of X are closed      /fail/N/X  the first N get 503
 *	(and the next is answered as /echo)
 *	/else/X      503, then 200 if another address is asked, else 500
 *	/continue    100, then as /upload        /upgrade      101, then an echo of bytes
 *	/field/LINE  200 with that header field
 *	/storm       1xx without end             /addr         200, the address that was connected
 *to
 */
#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct origin {
	int fd;
	uint16_t port;
	pthread_t thread;
	atomic_int connections, requests, open;
	atomic_ullong uploaded, sums; /* of all uploads: bytes, checksums */
	atomic_bool stop;
	bool banner; /* speaks first, then echoes */
	struct {
		char key[64], addr[INET_ADDRSTRLEN];
		int n;
	} seen[64];
	pthread_mutex_t lock;
};

struct origin_conn {
	struct origin *o;
	int fd;
	char buf[64 * 1024];
	size_t n; /* bytes that were read and not used */
	char addr[INET_ADDRSTRLEN];
	char head[16 * 1024], method[16], path[2048];
	long long length; /* -1: none */
	bool chunked;
};

static inline bool o_send(int fd, const void *p, size_t n)
{
	while (n) {
		ssize_t r = send(fd, p, n, MSG_NOSIGNAL);

		if (r <= 0)
			return false;
		p = (const char *)p + r;
		n -= (size_t)r;
	}
	return true;
}

static inline bool o_say(int fd, const char *fmt, ...)
{
	char text[20000];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return o_send(fd, text, (size_t)n);
}

static inline bool o_more(struct origin_conn *c)
{
	ssize_t r = recv(c->fd, c->buf + c->n, sizeof(c->buf) - 1 - c->n, 0);

	if (r <= 0)
		return false;
	c->n += (size_t)r;
	c->buf[c->n] = 0;
	return true;
}

static inline void o_use(struct origin_conn *c, size_t n)
{
	memmove(c->buf, c->buf + n, c->n - n + 1);
	c->n -= n;
}

static inline bool o_head(struct origin_conn *c)
{
	char *end, *p;
	size_t n;

	c->buf[c->n] = 0;
	while (!(end = strstr(c->buf, "\r\n\r\n")))
		if (c->n >= sizeof(c->buf) - 1 || !o_more(c))
			return false;
	n = (size_t)(end - c->buf) + 4;
	snprintf(c->head, sizeof(c->head), "%.*s", (int)n, c->buf);
	o_use(c, n);
	c->length = -1;
	c->chunked = strcasestr(c->head, "\r\ntransfer-encoding: chunked") != NULL;
	p = strcasestr(c->head, "\r\ncontent-length:");
	if (p)
		c->length = atoll(p + 17);
	return sscanf(c->head, "%15s %2047s", c->method, c->path) == 2;
}

static inline uint32_t sum_add(uint32_t sum, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum = sum * 31 + (uint8_t)p[i];
	return sum;
}

/* Reads the body: its payload's length and checksum. */
static inline bool o_body(struct origin_conn *c, uint64_t *len, uint32_t *sum)
{
	*len = 0;
	*sum = 0;
	while (c->chunked) {
		char *line = strstr(c->buf, "\r\n");
		unsigned long size;
		size_t head;

		if (!line) {
			if (!o_more(c))
				return false;
			continue;
		}
		size = strtoul(c->buf, NULL, 16);
		head = (size_t)(line - c->buf) + 2;
		if (!size) {
			while (!strstr(c->buf, "\r\n\r\n"))
				if (!o_more(c))
					return false;
			o_use(c, (size_t)(strstr(c->buf, "\r\n\r\n") - c->buf) + 4);
			return true;
		}
		o_use(c, head);
		for (unsigned long left = size + 2; left;) {
			size_t take = c->n < left ? c->n : left;
			size_t payload = left > 2 ? (take < left - 2 ? take : left - 2) : 0;

			*sum = sum_add(*sum, c->buf, payload);
			*len += payload;
			o_use(c, take);
			left -= take;
			if (left && !c->n && !o_more(c))
				return false;
		}
	}
	for (long long left = c->length; left > 0;) {
		size_t take = (long long)c->n < left ? c->n : (size_t)left;

		*sum = sum_add(*sum, c->buf, take);
		*len += take;
		o_use(c, take);
		left -= (long long)take;
		if (left && !c->n && !o_more(c))
			return false;
	}
	return true;
}

static inline bool o_text(int fd, int status, const char *body)
{
	return o_say(fd, "HTTP/1.1 %d Origin\r\nContent-Length: %zu\r\nX-Origin: yes\r\n\r\n%s",
		     status, strlen(body), body);
}

static inline bool o_big(int fd, size_t n)
{
	static __thread char piece[32768];
	size_t at = 0;

	if (!o_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n))
		return false;
	while (n) {
		size_t take = n < sizeof(piece) ? n : sizeof(piece);

		for (size_t i = 0; i < take; i++)
			piece[i] = (char)('a' + (at + i) % 23);
		if (!o_send(fd, piece, take))
			return false;
		at += take;
		n -= take;
	}
	return true;
}

/* How often this key was seen; *same: at the same address as the first time. */
static inline int o_count(struct origin *o, const char *key, const char *addr, bool *same)
{
	int n = 0;

	pthread_mutex_lock(&o->lock);
	for (size_t i = 0; i < 64; i++) {
		if (!o->seen[i].key[0]) {
			snprintf(o->seen[i].key, sizeof(o->seen[i].key), "%s", key);
			snprintf(o->seen[i].addr, sizeof(o->seen[i].addr), "%s", addr);
		}
		if (strcmp(o->seen[i].key, key))
			continue;
		n = ++o->seen[i].n;
		*same = !strcmp(o->seen[i].addr, addr);
		break;
	}
	pthread_mutex_unlock(&o->lock);
	return n;
}

static inline void o_reset(int fd)
{
	struct linger l = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

/* Faults; false: not one of them. *go: the connection goes on. */
static inline bool o_fault(struct origin_conn *c, bool *go)
{
	int fd = c->fd, n;
	uint64_t len;
	uint32_t sum;
	char key[64];
	bool same = false;

	*go = false;
	if (!strcmp(c->path, "/close"))
		return true;
	if (!strcmp(c->path, "/reset")) {
		o_reset(fd);
		return true;
	}
	if (!strcmp(c->path, "/garbage")) {
		o_say(fd, "this is not HTTP at all\r\n\r\n");
		return true;
	}
	if (!strcmp(c->path, "/partial")) {
		o_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
		return true;
	}
	if (!strcmp(c->path, "/twice")) {
		o_text(fd, 200, "first");
		usleep((useconds_t)o_count(c->o, "twice", c->addr, &same) % 5 * 100);
		*go = o_text(fd, 200, "second");
		return true;
	}
	if (!strcmp(c->path, "/storm")) {
		while (o_say(fd, "HTTP/1.1 102 Processing\r\n\r\n"))
			;
		return true;
	}
	if (sscanf(c->path, "/flaky/%d/%63s", &n, key) == 2) {
		*go = o_body(c, &len, &sum) && o_count(c->o, key, c->addr, &same) > n &&
		      o_text(fd, 200, "at last");
		return true;
	}
	if (sscanf(c->path, "/fail/%d/%63s", &n, key) == 2) {
		*go = o_body(c, &len, &sum) &&
		      (o_count(c->o, key, c->addr, &same) > n ? o_text(fd, 200, c->head)
							      : o_text(fd, 503, "not now"));
		return true;
	}
	if (sscanf(c->path, "/else/%63s", key) == 1) {
		n = o_count(c->o, key, c->addr, &same);
		*go = o_text(fd, n == 1 ? 503 : same ? 500 : 200, "else");
		return true;
	}
	return false;
}

static inline bool o_upload(struct origin_conn *c, const char *what)
{
	char text[1200];
	uint64_t len;
	uint32_t sum;

	if (!o_body(c, &len, &sum))
		return false;
	c->o->uploaded += len;
	c->o->sums += sum;
	snprintf(text, sizeof(text), "%s%llu %u", what, (unsigned long long)len, sum);
	return o_text(c->fd, 200, text);
}

static inline void o_upgrade(struct origin_conn *c)
{
	if (!o_say(c->fd, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
			  "Upgrade: echo\r\n\r\nhello"))
		return;
	do {
		o_send(c->fd, c->buf, c->n);
		c->n = 0;
	} while (o_more(c));
}

/* One request; false: close. */
static inline bool o_serve(struct origin_conn *c)
{
	int fd = c->fd, n;
	char x[1024];
	bool go;

	if (o_fault(c, &go))
		return go;
	if (sscanf(c->path, "/id/%1023s", x) == 1)
		return c->length > 0 ? o_upload(c, x) : o_text(fd, 200, x);
	if (sscanf(c->path, "/slow/%d/%1023s", &n, x) == 2) {
		usleep((useconds_t)n * 1000);
		return o_text(fd, 200, x);
	}
	if (sscanf(c->path, "/status/%d", &n) == 1)
		return o_text(fd, n, "status");
	if (sscanf(c->path, "/field/%1023s", x) == 1)
		return o_say(fd, "HTTP/1.1 200 OK\r\n%s\r\nContent-Length: 0\r\n\r\n", x);
	if (sscanf(c->path, "/big/%d", &n) == 1)
		return o_big(fd, (size_t)n);
	if (!strcmp(c->path, "/upload"))
		return o_upload(c, "");
	if (!strcmp(c->path, "/continue"))
		return o_say(fd, "HTTP/1.1 100 Continue\r\n\r\n") && o_upload(c, "");
	if (!strcmp(c->path, "/addr"))
		return o_text(fd, 200, c->addr);
	if (!strcmp(c->path, "/early")) {
		o_text(fd, 413, "too much");
		sleep(1);
		return false;
	}
	if (!strcmp(c->path, "/chunks"))
		return o_say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				 "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n");
	if (!strcmp(c->path, "/until-close")) {
		o_say(fd, "HTTP/1.1 200 OK\r\n\r\nto the end");
		return false;
	}
	if (!strcmp(c->path, "/upgrade")) {
		o_upgrade(c);
		return false;
	}
	if (!strncmp(c->path, "/head", 5))
		return o_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
	return o_text(fd, 200, c->head);
}

static inline void *o_conn(void *ctx)
{
	struct origin_conn *c = ctx;

	if (c->o->banner && o_say(c->fd, "220 ready\r\n"))
		while (o_more(c) && o_send(c->fd, c->buf, c->n))
			c->n = 0;
	while (!c->o->banner && o_head(c)) {
		atomic_fetch_add(&c->o->requests, 1);
		if (!o_serve(c))
			break;
	}
	close(c->fd);
	atomic_fetch_sub(&c->o->open, 1);
	free(c);
	return NULL;
}

static inline void *o_run(void *ctx)
{
	struct origin *o = ctx;

	while (!o->stop) {
		struct origin_conn *c;
		struct sockaddr_in a;
		socklen_t n = sizeof(a);
		int fd = accept4(o->fd, NULL, NULL, SOCK_CLOEXEC), one = 1;
		pthread_t t;

		if (fd < 0)
			break;
		c = calloc(1, sizeof(*c));
		c->o = o;
		c->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		getsockname(fd, (struct sockaddr *)&a, &n);
		inet_ntop(AF_INET, &a.sin_addr, c->addr, sizeof(c->addr));
		atomic_fetch_add(&o->connections, 1);
		atomic_fetch_add(&o->open, 1);
		pthread_create(&t, NULL, o_conn, c);
		pthread_detach(t);
	}
	return NULL;
}

static inline void origin_start(struct origin *o)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t n = sizeof(a);
	int one = 1;

	memset(o, 0, sizeof(*o));
	pthread_mutex_init(&o->lock, NULL);
	o->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(o->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	bind(o->fd, (struct sockaddr *)&a, sizeof(a));
	listen(o->fd, 512);
	getsockname(o->fd, (struct sockaddr *)&a, &n);
	o->port = ntohs(a.sin_port);
	pthread_create(&o->thread, NULL, o_run, o);
}

static inline void origin_stop(struct origin *o)
{
	o->stop = true;
	shutdown(o->fd, SHUT_RDWR);
	pthread_join(o->thread, NULL);
	close(o->fd);
	/* connections end when the proxy closes its side */
	for (int i = 0; i < 300 && o->open; i++)
		usleep(10000);
}
