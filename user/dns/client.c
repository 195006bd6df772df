// SPDX-License-Identifier: Apache-2.0
/* DNS clients over TCP (RFC 7766): two bytes of length before each message, one query at a time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "dns/inside.h"

struct hr_dns_client {
	struct hr_list link;
	struct hr_dns_space *space;
	struct hr_watch *watch;
	struct hr_timer timer;
	int fd;
	bool waiting; /* for the answer to the query in `in` */
	bool busy;    /* inside of its own callback: close later */
	bool dead;
	size_t in_len, out_len, out_at;
	uint8_t *out; /* answer under way, with its length */
	uint8_t in[2 + HR_DNS_QUERY_MAX];
};

static void client_close(struct hr_dns_client *c)
{
	if (c->busy) {
		c->dead = true;
		return;
	}
	hr_dns_forward_drop(c->space, c);
	hr_timer_stop(&c->timer);
	hr_watch_del(c->watch);
	close(c->fd);
	hr_list_del(&c->link);
	c->space->nclients--;
	c->space->d->stats.tcp_clients--;
	free(c->out);
	free(c);
}

static void on_idle(void *ctx)
{
	client_close(ctx);
}

static void arm(struct hr_dns_client *c)
{
	/* nothing is read while an answer is owed or under way: errors are reported all the same */
	uint32_t events = c->out ? EPOLLOUT : c->waiting ? 0 : EPOLLIN;

	hr_watch_mod(c->watch, events);
	hr_timer_start(c->space->d->loop, &c->timer, HR_DNS_TCP_IDLE_MS, on_idle, c);
}

/* False: the client is gone. */
static bool client_write(struct hr_dns_client *c)
{
	while (c->out_at < c->out_len) {
		ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN;
		c->out_at += n;
	}
	free(c->out);
	c->out = NULL;
	return true;
}

/* Starts the first whole query in the buffer; false: not acceptable, or an answer itself. */
static bool client_query(struct hr_dns_client *c)
{
	struct hr_dns_reply_to to = {.udp_fd = -1, .client = c};
	size_t len;

	if (c->in_len < 2)
		return true;
	len = hr_dns_get16(c->in);
	if (len < HR_DNS_HEADER || len > HR_DNS_QUERY_MAX)
		return false;
	if (c->in_len < 2 + len)
		return true;
	c->waiting = true;
	return hr_dns_handle(c->space, c->in + 2, len, &to) == 0;
}

/* Starts queries while they can be answered at once, then waits for what is missing. */
static void client_run(struct hr_dns_client *c, bool ok)
{
	size_t before = 0;

	c->busy = true;
	while (ok && !c->dead && !c->out && !c->waiting && c->in_len != before) {
		before = c->in_len;
		ok = client_query(c);
	}
	c->busy = false;
	if (!ok || c->dead)
		client_close(c);
	else
		arm(c);
}

void hr_dns_client_reply(struct hr_dns_client *c, const uint8_t *p, size_t n)
{
	size_t query = 2 + hr_dns_get16(c->in);
	bool ok;

	c->waiting = false;
	memmove(c->in, c->in + query, c->in_len - query);
	c->in_len -= query;
	c->out = malloc(2 + n);
	if (!c->out) {
		client_close(c);
		return;
	}
	hr_dns_put16(c->out, n);
	memcpy(c->out + 2, p, n);
	c->out_len = 2 + n;
	c->out_at = 0;
	ok = client_write(c);
	if (!c->busy)
		client_run(c, ok);
	else if (!ok)
		c->dead = true;
}

static bool client_read(struct hr_dns_client *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN;
	c->in_len += n;
	return n > 0;
}

static void on_client(void *ctx, uint32_t events)
{
	struct hr_dns_client *c = ctx;
	bool ok = !(events & (EPOLLERR | EPOLLHUP));

	if (ok && c->out)
		ok = client_write(c);
	if (ok && !c->out && !c->waiting && events & EPOLLIN)
		ok = client_read(c);
	client_run(c, ok);
}

void hr_dns_client_accept(struct hr_dns_space *s, int listen_fd)
{
	struct hr_dns_client *c;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	c = s->nclients < HR_DNS_TCP_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		s->d->stats.overload++;
		close(fd);
		return;
	}
	c->space = s;
	c->fd = fd;
	if (hr_watch_add(s->d->loop, fd, EPOLLIN, on_client, c, &c->watch) < 0) {
		close(fd);
		free(c);
		return;
	}
	hr_list_add_tail(&s->clients, &c->link);
	s->nclients++;
	s->d->stats.tcp_clients++;
	arm(c);
}

void hr_dns_clients_close(struct hr_dns_space *s)
{
	hr_list_for_each (n, &s->clients)
		client_close(hr_list_entry(n, struct hr_dns_client, link));
}
