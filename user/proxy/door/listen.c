// SPDX-License-Identifier: Apache-2.0
/*
 * Door A on the worker's side: accepts connections that connect() sent to the agent, and asks the
 * kernel what they wanted.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"

#define ACCEPTS_PER_TURN 64
/* Out of descriptors: look again after this time, milliseconds. */
#define ACCEPT_PAUSE_MS 50

static int wanted(struct px_listener *l, int fd, uint16_t src_port, struct hr_door *door)
{
	struct hr_proxy *px = l->w->px;
	struct hr_door_key key = {
		.netns = l->netns, .port = src_port, .family = (uint16_t)l->family};

	if (px->opts.kern && !hr_kern_door_take(px->opts.kern, &key, door))
		return 0;
	if (!px->opts.original_dst)
		return -ENOENT;
	return px->opts.original_dst(px->opts.ctx, fd, door);
}

/* connect() led it to loopback: without us it would come from the namespace's own address, unless
 * it wanted loopback itself. */
static void as_without_door(const struct px_listener *l, const struct hr_door *door,
			    struct hr_addr *src)
{
	static const struct hr_addr none;
	struct hr_addr dst;

	memcpy(dst.ip, door->dst_ip, sizeof(dst.ip));
	if (hr_addr_is_loopback(src) && !hr_addr_is_loopback(&dst) &&
	    !hr_addr_eq(&l->home[!hr_addr_is4(&dst)], &none))
		*src = l->home[!hr_addr_is4(&dst)];
}

static void accepted(struct px_listener *l, int fd, const struct sockaddr *sa)
{
	struct hr_door door = {};
	struct hr_addr src = {};
	uint16_t port = 0;
	int one = 1, r;

	if (atomic_load_explicit(&l->w->px->n_clients, memory_order_relaxed) >=
	    l->w->px->max_clients) {
		hr_warn("too many connections: one is refused");
		close(fd);
		return;
	}
	hr_addr_from_sockaddr(sa, &src, &port);
	r = wanted(l, fd, port, &door);
	if (r) {
		hr_debug("door A: a connection that connect() did not send: %s", strerror(-r));
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* urgent data is a byte like any other, as it is in door G */
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	as_without_door(l, &door, &src);
	px_client_accept(l->w, fd, &door, l->own ? 0 : l->netns, &src, port);
}

static void on_listener(void *ctx, uint32_t events);

static void resume(void *ctx)
{
	on_listener(ctx, EPOLLIN);
}

static void on_listener(void *ctx, uint32_t events)
{
	struct px_listener *l = ctx;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage ss;
		socklen_t n = sizeof(ss);
		int fd = accept4(l->fd, (struct sockaddr *)&ss, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			accepted(l, fd, (struct sockaddr *)&ss);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			hr_warn("cannot accept: %s", strerror(errno));
			hr_timer_start(l->w->loop, &l->again, ACCEPT_PAUSE_MS, resume, l);
		}
		if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO)
			return;
	}
	hr_timer_start(l->w->loop, &l->again, 0, resume, l); /* others first */
}

void px_listener_close(struct px_listener *l)
{
	hr_timer_stop(&l->again);
	hr_watch_del(l->watch);
	hr_closep(&l->fd);
	hr_list_del(&l->link);
	free(l);
}

void px_worker_close_doors(struct px_worker *w, uint64_t netns, bool all)
{
	hr_list_for_each (n, &w->listeners) {
		struct px_listener *l = hr_list_entry(n, struct px_listener, link);

		if (all || l->netns == netns)
			px_listener_close(l);
	}
}

static void door_added(void *ctx)
{
	struct px_listener *l = ctx;
	int r;

	hr_list_add_tail(&l->w->listeners, &l->link);
	r = l->w->draining
		    ? -ECANCELED
		    : hr_watch_add(l->w->loop, l->fd, EPOLLIN | EPOLLET, on_listener, l, &l->watch);
	if (r) {
		hr_err("door A: %s", strerror(-r));
		px_listener_close(l);
	}
}

void px_worker_add_door(struct px_worker *w, int fd, int family, uint64_t netns,
			const struct hr_addr home[static 2])
{
	struct px_listener *l;

	if (fd < 0)
		return;
	l = calloc(1, sizeof(*l));
	if (l) {
		*l = (struct px_listener){.w = w,
					  .fd = fd,
					  .family = family,
					  .netns = netns,
					  .home = {home[0], home[1]},
					  .own = netns == w->px->own_netns};
		if (!hr_loop_post(w->loop, door_added, l))
			return;
	}
	hr_err("out of memory: a door stays closed");
	free(l);
	close(fd);
}

struct forget {
	struct px_worker *w;
	uint64_t netns;
};

static void doors_dropped(void *ctx)
{
	struct forget *f = ctx;

	px_worker_close_doors(f->w, f->netns, false);
	free(f);
}

void px_worker_drop_doors(struct px_worker *w, uint64_t netns)
{
	struct forget *f = malloc(sizeof(*f));

	if (!f)
		return;
	*f = (struct forget){w, netns};
	if (hr_loop_post(w->loop, doors_dropped, f) < 0)
		free(f);
}
