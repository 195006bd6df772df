// SPDX-License-Identifier: Apache-2.0
/*
 * Metrics and health over HTTP. Not the proxy: it must answer when the proxy does not, and it
 * parses no more than a request line. Clients, bytes and time are bounded.
 */
#include "observe/scrape.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/cleanup.h"
#include "core/list.h"
#include "core/net.h"

#define CLIENTS_MAX 32
#define HEAD_MAX 8192
#define TIMEOUT_MS 10000

struct client {
	struct hr_list node;
	struct hr_scrape *s;
	int fd;
	struct hr_watch *watch;
	struct hr_timer timer;
	size_t n;
	char head[HEAD_MAX];
	struct hr_strbuf out;
	size_t sent;
	bool answered;
};

struct hr_scrape {
	struct hr_loop *loop;
	int fd;
	struct hr_watch *watch;
	hr_scrape_fn fn;
	void *ctx;
	struct hr_list clients;
	unsigned n_clients;
};

static void client_free(struct client *c)
{
	hr_watch_del(c->watch);
	hr_timer_stop(&c->timer);
	hr_list_del(&c->node);
	c->s->n_clients--;
	close(c->fd);
	hr_sb_free(&c->out);
	free(c);
}

static void on_timeout(void *ctx)
{
	client_free(ctx);
}

static const char *reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	default:
		return "Service Unavailable";
	}
}

static void respond(struct client *c, int status, const char *type, const struct hr_strbuf *body,
		    bool head_only)
{
	hr_sb_printf(&c->out,
		     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		     "Connection: close\r\nServer: headrace\r\n\r\n",
		     status, reason(status), type, body->len);
	if (!head_only)
		hr_sb_addn(&c->out, hr_sb_str(body), body->len);
}

/* "GET /path?query HTTP/1.1" -> "/path"; empty when it is no request line. */
static struct hr_slice path_of(struct hr_slice line)
{
	const char *start = memchr(line.p, ' ', line.n), *end;
	size_t left;

	if (!start || start[1] != '/')
		return (struct hr_slice){};
	start++;
	left = line.n - (size_t)(start - line.p);
	end = memchr(start, ' ', left);
	if (!end || !hr_slice_starts((struct hr_slice){end, left - (size_t)(end - start)},
				     HR_SLICE(" HTTP/1.")))
		return (struct hr_slice){};
	for (const char *p = start; p < end; p++)
		if (*p == '?')
			end = p;
	return (struct hr_slice){start, (size_t)(end - start)};
}

static void answer(struct client *c)
{
	const char *eol = memchr(c->head, '\r', c->n), *type = "text/plain; charset=utf-8";
	struct hr_slice line = {c->head, eol ? (size_t)(eol - c->head) : c->n};
	struct hr_slice path = path_of(line);
	bool get = hr_slice_starts(line, HR_SLICE("GET ")),
	     head = hr_slice_starts(line, HR_SLICE("HEAD "));
	_cleanup_sb_ struct hr_strbuf body = {};
	int status;

	if (!path.n)
		status = 400;
	else if (!get && !head)
		status = 405;
	else
		status = c->s->fn(c->s->ctx, path, &body, &type);
	if (status != 200 && !body.len)
		hr_sb_printf(&body, "%s\n", reason(status));
	respond(c, status, type, &body, head);
	c->answered = true;
}

static bool head_complete(const struct client *c)
{
	return memmem(c->head, c->n, "\r\n\r\n", 4) || memmem(c->head, c->n, "\n\n", 2);
}

/* False: the connection is done. */
static bool flush(struct client *c)
{
	while (c->sent < c->out.len) {
		ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);

		if (n > 0)
			c->sent += (size_t)n;
		else if (errno == EAGAIN)
			return hr_watch_mod(c->watch, EPOLLOUT) == 0;
		else if (errno != EINTR)
			return false;
	}
	return false;
}

static bool read_head(struct client *c)
{
	ssize_t n = recv(c->fd, c->head + c->n, sizeof(c->head) - c->n, 0);

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	c->n += (size_t)n;
	if (!head_complete(c))
		return c->n < sizeof(c->head);
	answer(c);
	return flush(c);
}

static void on_client(void *ctx, uint32_t events)
{
	struct client *c = ctx;

	(void)events;
	if (!(c->answered ? flush(c) : read_head(c)))
		client_free(c);
}

static void on_listener(void *ctx, uint32_t events)
{
	struct hr_scrape *s = ctx;
	struct client *c;
	int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	c = s->n_clients < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		close(fd);
		return;
	}
	c->s = s;
	c->fd = fd;
	hr_list_add_tail(&s->clients, &c->node);
	s->n_clients++;
	hr_timer_start(s->loop, &c->timer, TIMEOUT_MS, on_timeout, c);
	if (hr_watch_add(s->loop, fd, EPOLLIN, on_client, c, &c->watch) < 0)
		client_free(c);
}

static int parse_addr(const char *text, struct hr_addr *addr, uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	char host[HR_ADDR_TEXT] = "0.0.0.0";
	uint64_t number;
	size_t n;

	if (!colon || hr_parse_u64(colon + 1, 65535, &number) < 0)
		return -EINVAL;
	n = (size_t)(colon - text);
	if (n >= 2 && text[0] == '[' && colon[-1] == ']') {
		text++;
		n -= 2;
	}
	if (n >= sizeof(host))
		return -EINVAL;
	if (n) {
		memcpy(host, text, n);
		host[n] = 0;
	}
	*port = (uint16_t)number;
	return hr_addr_parse(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, addr);
}

static int listen_on(const char *text)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_storage sa;
	struct hr_addr addr;
	socklen_t len;
	uint16_t port;
	int one = 1;

	if (parse_addr(text, &addr, &port) < 0)
		return -EINVAL;
	len = hr_addr_to_sockaddr(&addr, port, &sa);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 64) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int hr_scrape_new(struct hr_scrape **out, struct hr_loop *loop, const char *addr, hr_scrape_fn fn,
		  void *ctx, struct hr_strbuf *err)
{
	int fd = listen_on(addr), r;
	struct hr_scrape *s;

	if (fd < 0) {
		hr_sb_printf(err, "metrics: cannot listen on %s: %s", addr,
			     fd == -EINVAL ? "not ADDR:PORT" : strerror(-fd));
		return fd;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	*s = (struct hr_scrape){.loop = loop, .fd = fd, .fn = fn, .ctx = ctx};
	hr_list_init(&s->clients);
	r = hr_watch_add(loop, fd, EPOLLIN, on_listener, s, &s->watch);
	if (r < 0) {
		hr_scrape_free(s);
		return r;
	}
	*out = s;
	return 0;
}

void hr_scrape_free(struct hr_scrape *s)
{
	if (!s)
		return;
	hr_watch_del(s->watch);
	hr_list_for_each (n, &s->clients)
		client_free(hr_list_entry(n, struct client, node));
	close(s->fd);
	free(s);
}
