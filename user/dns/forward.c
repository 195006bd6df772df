// SPDX-License-Identifier: Apache-2.0
/*
 * Queries for other people's names. Each try has its own connected socket, so the kernel refuses
 * answers from elsewhere and the port is unpredictable; the id is random too, and an answer must
 * repeat the question. Over UDP and TCP as the client asked: a truncated answer goes back as it is,
 * and the client comes again over TCP.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/net.h"
#include "dns/inside.h"

struct hr_dns_forward {
	struct hr_list link;
	struct hr_dns_space *space;
	struct hr_dns_reply_to to;
	struct hr_watch *watch;
	struct hr_timer timer;
	int fd;
	unsigned tries;
	struct hr_dns_query q;
	/* TCP: what came back so far */
	uint8_t head[2];
	uint8_t *in;
	size_t in_len, sent;
	size_t n;
	uint8_t msg[]; /* two bytes of length, then the query */
};

static void try_next(struct hr_dns_forward *f);

static bool over_tcp(const struct hr_dns_forward *f)
{
	return f->to.udp_fd < 0;
}

static void end_try(struct hr_dns_forward *f)
{
	hr_timer_stop(&f->timer);
	hr_watch_del(f->watch);
	f->watch = NULL;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	free(f->in);
	f->in = NULL;
	f->in_len = f->sent = 0;
}

static void forward_free(struct hr_dns_forward *f)
{
	end_try(f);
	hr_list_del(&f->link);
	f->space->nqueries--;
	f->space->d->stats.outstanding--;
	free(f);
}

/* Frees first: the reply may close the client, and with it all its queries. */
static void finish(struct hr_dns_forward *f, const uint8_t *p, size_t n)
{
	struct hr_dns_reply_to to = f->to;

	forward_free(f);
	hr_dns_reply(&to, p, n);
}

static void give_up(struct hr_dns_forward *f)
{
	uint8_t out[512];
	size_t n = hr_dns_write_error(&f->q, f->msg + 2, HR_DNS_SERVFAIL, out);

	hr_dns_put16(out, f->q.id);
	f->space->d->stats.failed++;
	finish(f, out, n);
}

/* A whole message from the resolver. True: it ended the query or the try. */
static bool on_answer(struct hr_dns_forward *f, uint8_t *p, size_t n)
{
	struct hr_dns *d = f->space->d;
	uint8_t rcode;

	if (n < HR_DNS_HEADER || memcmp(p, f->msg + 2, 2) ||
	    !hr_dns_answers(p, n, f->msg + 2, f->q.question_end)) {
		d->stats.spoofed++;
		return false;
	}
	rcode = p[3] & 15;
	if ((rcode == HR_DNS_SERVFAIL || rcode == HR_DNS_NOTIMP) && f->tries < d->resolv.nservers) {
		try_next(f); /* as libc does: the next one may know better */
		return true;
	}
	hr_dns_put16(p, f->q.id);
	finish(f, p, n);
	return true;
}

static void on_udp(struct hr_dns_forward *f)
{
	uint8_t buf[65536];
	ssize_t n;

	while ((n = recv(f->fd, buf, sizeof(buf), MSG_DONTWAIT)) >= 0)
		if (on_answer(f, buf, n))
			return;
	if (errno != EAGAIN)
		try_next(f);
}

/* 1: more is needed, 0: a whole message is in f->in, -1: this try is over. */
static int tcp_step(struct hr_dns_forward *f)
{
	size_t want;
	ssize_t n;

	while (f->sent < 2 + f->n) {
		n = send(f->fd, f->msg + f->sent, 2 + f->n - f->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN ? 1 : -1;
		f->sent += n;
		if (f->sent == 2 + f->n)
			hr_watch_mod(f->watch, EPOLLIN);
	}
	for (;;) {
		want = f->in_len < 2 ? 2 : 2 + (size_t)hr_dns_get16(f->head);
		if (f->in_len >= 2 && !f->in) {
			f->in = malloc(want - 2 + 1);
			if (!f->in)
				return -1;
		}
		if (f->in_len == want)
			return 0;
		n = recv(f->fd, f->in_len < 2 ? f->head + f->in_len : f->in + f->in_len - 2,
			 want - f->in_len, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return 1;
		if (n <= 0)
			return -1;
		f->in_len += n;
	}
}

static void on_tcp(struct hr_dns_forward *f)
{
	int r = tcp_step(f);
	uint8_t *in;

	if (r > 0)
		return;
	if (r == 0) {
		in = f->in;
		f->in = NULL;
		if (!on_answer(f, in, f->in_len - 2))
			r = -1;
		free(in);
	}
	if (r < 0)
		try_next(f);
}

static void on_resolver(void *ctx, uint32_t events)
{
	struct hr_dns_forward *f = ctx;

	(void)events; /* errors show in recv and send */
	if (over_tcp(f))
		on_tcp(f);
	else
		on_udp(f);
}

static void on_timeout(void *ctx)
{
	try_next(ctx);
}

static bool is_loopback(const struct hr_addr *a)
{
	static const struct hr_addr v6 = {{[15] = 1}};

	return hr_addr_is4(a) ? a->ip[12] == 127 : hr_addr_eq(a, &v6);
}

static int start_try(struct hr_dns_forward *f, const struct hr_addr *server)
{
	struct hr_dns *d = f->space->d;
	struct sockaddr_storage ss;
	socklen_t len = hr_addr_to_sockaddr(server, d->opts.port, &ss);
	void *netns = is_loopback(server) ? NULL : f->space->netns;
	int r;

	if (getrandom(f->msg + 2, 2, 0) != 2)
		return -EIO;
	f->fd = d->opts.open_socket(d->opts.ctx, netns, ss.ss_family,
				    over_tcp(f) ? SOCK_STREAM : SOCK_DGRAM);
	if (f->fd < 0)
		return f->fd;
	if (connect(f->fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
		return -errno;
	r = hr_watch_add(d->loop, f->fd, over_tcp(f) ? EPOLLOUT : EPOLLIN, on_resolver, f,
			 &f->watch);
	if (r < 0)
		return r;
	if (!over_tcp(f) && send(f->fd, f->msg + 2, f->n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	hr_timer_start(d->loop, &f->timer, d->opts.try_ms, on_timeout, f);
	return 0;
}

/* The next resolver that can be asked at all; f is gone when there is none. */
static void try_next(struct hr_dns_forward *f)
{
	struct hr_dns *d = f->space->d;

	for (;;) {
		end_try(f);
		if (!d->resolv.nservers || f->tries >= HR_DNS_TRIES) {
			give_up(f);
			return;
		}
		if (!start_try(f, &d->resolv.servers[f->tries++ % d->resolv.nservers]))
			return;
	}
}

void hr_dns_forward(struct hr_dns_space *s, const struct hr_dns_query *q, const uint8_t *p,
		    size_t n, const struct hr_dns_reply_to *to)
{
	struct hr_dns_forward *f = NULL;
	uint8_t out[512];

	if (s->nqueries < HR_DNS_OUTSTANDING_NS_MAX &&
	    s->d->stats.outstanding < HR_DNS_OUTSTANDING_MAX)
		f = calloc(1, sizeof(*f) + 2 + n);
	if (!f) {
		s->d->stats.overload++;
		hr_dns_reply(to, out, hr_dns_write_error(q, p, HR_DNS_SERVFAIL, out));
		return;
	}
	f->space = s;
	f->to = *to;
	f->q = *q;
	f->fd = -1;
	f->n = n;
	hr_dns_put16(f->msg, n);
	memcpy(f->msg + 2, p, n);
	hr_list_add_tail(&s->queries, &f->link);
	s->nqueries++;
	s->d->stats.outstanding++;
	s->d->stats.forwarded++;
	try_next(f);
}

void hr_dns_forward_drop(struct hr_dns_space *s, struct hr_dns_client *client)
{
	hr_list_for_each (n, &s->queries) {
		struct hr_dns_forward *f = hr_list_entry(n, struct hr_dns_forward, link);

		if (!client || (over_tcp(f) && f->to.client == client))
			forward_free(f);
	}
}
