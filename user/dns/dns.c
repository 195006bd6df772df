// SPDX-License-Identifier: Apache-2.0
/* The DNS responder: its namespaces, its listeners, and who answers a query. */
#include "dns/dns.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "dns/inside.h"

/* Datagrams of one listener in one loop turn: others wait no longer than for these. */
#define PER_TURN 32
/* How often resolv.conf is looked at, ms. */
#define RESOLV_CHECK_MS 1000

static void refresh_resolv(struct hr_dns *d)
{
	uint64_t now = hr_loop_now(d->loop);

	if (d->resolv_checked && now - d->resolv_checked < RESOLV_CHECK_MS)
		return;
	d->resolv_checked = now;
	hr_resolv_refresh(&d->resolv, d->resolv_path);
}

void hr_dns_reply(const struct hr_dns_reply_to *to, const uint8_t *p, size_t n)
{
	if (to->udp_fd < 0)
		hr_dns_client_reply(to->client, p, n);
	else
		/* a full queue loses it, as the network may: the client asks again */
		(void)!sendto(to->udp_fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL,
			      (const struct sockaddr *)&to->peer, to->peer_len);
}

/* A, AAAA and ANY of the mesh's names; of other types they have no records. */
static bool answer_mesh(struct hr_dns_space *s, const struct hr_dns_query *q, const uint8_t *p,
			const struct hr_dns_reply_to *to)
{
	struct hr_dns *d = s->d;
	const struct hr_dns_addrs *a;
	uint8_t out[512];

	if (q->class != HR_DNS_IN)
		return false;
	a = hr_dns_names_find(d->names, q->name, s->k8s_ns, d->resolv.search, d->resolv.nsearch);
	if (!a)
		return false;
	d->stats.mesh++;
	hr_dns_reply(to, out, hr_dns_write_answer(q, p, a->addrs, a->n, HR_DNS_TTL, out));
	return true;
}

int hr_dns_handle(struct hr_dns_space *s, const uint8_t *p, size_t n,
		  const struct hr_dns_reply_to *to)
{
	struct hr_dns_query q;
	uint8_t out[512];
	int r = hr_dns_query_parse(p, n, &q);

	s->d->stats.queries++;
	if (r)
		s->d->stats.malformed++;
	if (r > 0)
		hr_dns_reply(to, out, hr_dns_write_error(NULL, p, r, out));
	if (r)
		return r < 0 ? r : 0;
	refresh_resolv(s->d);
	if (!answer_mesh(s, &q, p, to))
		hr_dns_forward(s, &q, p, n, to);
	return 0;
}

static void on_datagrams(void *ctx, uint32_t events)
{
	struct hr_dns_listener *l = ctx;
	struct hr_dns_reply_to to = {.udp_fd = l->fd};
	uint8_t buf[HR_DNS_QUERY_MAX + 1];

	(void)events;
	for (int i = 0; i < PER_TURN; i++) {
		ssize_t n;

		to.peer_len = sizeof(to.peer);
		n = recvfrom(l->fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&to.peer,
			     &to.peer_len);
		if (n < 0)
			return;
		/* longer ones were cut off: nothing can be said about them */
		if (n <= HR_DNS_QUERY_MAX)
			hr_dns_handle(l->space, buf, n, &to);
	}
}

static void on_accept(void *ctx, uint32_t events)
{
	struct hr_dns_listener *l = ctx;

	(void)events;
	hr_dns_client_accept(l->space, l->fd);
}

int hr_dns_new(struct hr_dns **out, struct hr_loop *loop, const struct hr_dns_opts *opts)
{
	struct hr_dns *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->loop = loop;
	d->opts = *opts;
	d->resolv_path = strdup(opts->resolv_conf ?: "/etc/resolv.conf");
	if (!d->resolv_path) {
		free(d);
		return -ENOMEM;
	}
	if (!d->opts.port)
		d->opts.port = 53;
	if (!d->opts.try_ms)
		d->opts.try_ms = HR_DNS_TRY_MS;
	hr_list_init(&d->spaces);
	d->names = hr_dns_names_new(NULL);
	hr_resolv_refresh(&d->resolv, d->resolv_path);
	*out = d;
	return 0;
}

static void listener_close(struct hr_dns_listener *l)
{
	hr_watch_del(l->watch);
	if (l->fd >= 0)
		close(l->fd);
}

static void space_free(struct hr_dns_space *s)
{
	hr_dns_clients_close(s);
	hr_dns_forward_drop(s, NULL);
	for (int i = 0; i < 2; i++) {
		listener_close(&s->udp[i]);
		listener_close(&s->tcp[i]);
	}
	hr_list_del(&s->link);
	free(s);
}

static int listen_on(struct hr_dns_listener *l, hr_watch_fn fn)
{
	if (l->fd < 0)
		return 0;
	return hr_watch_add(l->space->d->loop, l->fd, EPOLLIN, fn, l, &l->watch);
}

int hr_dns_serve(struct hr_dns *d, const struct hr_dns_socks *socks, void *netns,
		 const char *k8s_ns)
{
	const int udp[2] = {socks->udp4, socks->udp6}, tcp[2] = {socks->tcp4, socks->tcp6};
	struct hr_dns_space *s = calloc(1, sizeof(*s));
	int r = 0;

	if (!s) {
		for (int i = 0; i < 2; i++) {
			if (udp[i] >= 0)
				close(udp[i]);
			if (tcp[i] >= 0)
				close(tcp[i]);
		}
		return -ENOMEM;
	}
	s->d = d;
	s->netns = netns;
	snprintf(s->k8s_ns, sizeof(s->k8s_ns), "%s", k8s_ns ?: "default");
	hr_list_init(&s->queries);
	hr_list_init(&s->clients);
	hr_list_add_tail(&d->spaces, &s->link);
	for (int i = 0; i < 2; i++) {
		s->udp[i] = (struct hr_dns_listener){.space = s, .fd = udp[i]};
		s->tcp[i] = (struct hr_dns_listener){.space = s, .fd = tcp[i]};
	}
	for (int i = 0; i < 2 && !r; i++) {
		r = listen_on(&s->udp[i], on_datagrams);
		if (!r)
			r = listen_on(&s->tcp[i], on_accept);
	}
	if (r)
		space_free(s);
	return r;
}

void hr_dns_forget(struct hr_dns *d, void *netns)
{
	hr_list_for_each (n, &d->spaces) {
		struct hr_dns_space *s = hr_list_entry(n, struct hr_dns_space, link);

		if (s->netns == netns)
			space_free(s);
	}
}

void hr_dns_free(struct hr_dns *d)
{
	if (!d)
		return;
	hr_list_for_each (n, &d->spaces)
		space_free(hr_list_entry(n, struct hr_dns_space, link));
	hr_dns_names_free(d->names);
	free(d->resolv_path);
	free(d);
}

void hr_dns_publish(struct hr_dns *d, const struct hr_plan *plan)
{
	struct hr_dns_names *names = hr_dns_names_new(plan);

	hr_dns_names_free(d->names);
	d->names = names;
}

void hr_dns_stats(const struct hr_dns *d, struct hr_dns_stats *out)
{
	*out = d->stats;
}
