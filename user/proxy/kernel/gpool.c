// SPDX-License-Identifier: Apache-2.0
/*
 * G slots: pairs of loopback connections, made ahead of need. The kernel puts bound connections'
 * bytes into g; a worker has p. Made and closed by the main thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"

/* A burst of connections can use up slots faster than they are made: begin with many, and have more
 * than three for four connections, each of which may be bound. */
#define FIRST_SLOTS 1024

struct px_gpool {
	int listener;
	struct sockaddr_in at;
	unsigned n; /* slots [0, n) were tried */
	unsigned next_worker;
	bool full; /* said that no more can be made */
	struct px_gslot *slots[HR_G_SLOTS];
};

static int open_listener(struct px_gpool *gp)
{
	socklen_t n = sizeof(gp->at);

	gp->at = (struct sockaddr_in){.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	gp->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (gp->listener < 0)
		return -errno;
	if (bind(gp->listener, (struct sockaddr *)&gp->at, n) < 0 || listen(gp->listener, 16) < 0 ||
	    getsockname(gp->listener, (struct sockaddr *)&gp->at, &n) < 0)
		return -errno;
	return 0;
}

/* Only our own connection may become a pair: others that find the port are closed. */
static int accept_from(int listener, uint16_t port_be)
{
	for (;;) {
		struct sockaddr_in from;
		socklen_t n = sizeof(from);
		int fd = accept4(listener, (struct sockaddr *)&from, &n,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return -errno;
		if (from.sin_port == port_be)
			return fd;
		hr_closep(&fd);
	}
}

static int make_pair(struct px_gpool *gp, int *g_out, int *p_out)
{
	_cleanup_close_ int g = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int p = -1;
	struct sockaddr_in own;
	socklen_t n = sizeof(own);
	int one = 1;

	if (g < 0 || connect(g, (struct sockaddr *)&gp->at, sizeof(gp->at)) < 0 ||
	    getsockname(g, (struct sockaddr *)&own, &n) < 0)
		return -errno;
	p = accept_from(gp->listener, own.sin_port);
	if (p < 0)
		return p;
	fcntl(g, F_SETFL, O_NONBLOCK);
	setsockopt(g, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(p, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* what clients send as urgent data is counted with the rest */
	setsockopt(p, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	*g_out = TAKE_FD(g);
	*p_out = TAKE_FD(p);
	return 0;
}

static void close_pair(struct px_gslot *g)
{
	hr_closep(&g->g);
	hr_closep(&g->p);
	g->g = g->p = -1;
}

static int fill_slot(struct hr_proxy *px, struct px_gslot *g)
{
	int r = make_pair(px->gpool, &g->g, &g->p);

	if (!r)
		r = hr_kern_g_put(px->opts.kern, g->slot, g->g, g->p);
	if (r) {
		close_pair(g);
		return r;
	}
	/* the worker may hear of it after the kernel has used it: adding the watch shows that */
	if (hr_loop_post(g->w->loop, px_g_added, g))
		hr_err("out of memory: an agent slot is lost");
	return 0;
}

static int add_slot(struct hr_proxy *px, uint32_t slot)
{
	struct px_gpool *gp = px->gpool;
	struct px_gslot *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	g->w = &px->workers[gp->next_worker];
	g->slot = slot;
	g->g = g->p = -1;
	hr_list_init(&g->link);
	r = fill_slot(px, g);
	if (r) {
		free(g);
		return r;
	}
	gp->slots[slot] = g;
	gp->next_worker = (gp->next_worker + 1) % px->n_serving;
	return 0;
}

/* New pairs for slots whose worker has given theirs up. */
static void renew(struct hr_proxy *px)
{
	for (unsigned i = 0; i < px->gpool->n; i++) {
		struct px_gslot *g = px->gpool->slots[i];

		if (!g || !atomic_load(&g->broken))
			continue;
		hr_kern_g_take(px->opts.kern, g->slot);
		close_pair(g);
		atomic_store(&g->broken, false);
		if (fill_slot(px, g))
			atomic_store(&g->broken, true); /* again in a second */
	}
}

/* Two descriptors a slot: half of what the process may open. */
static unsigned slot_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur == RLIM_INFINITY)
		return HR_G_SLOTS;
	return (unsigned)HR_MIN(rl.rlim_cur / 4, (rlim_t)HR_G_SLOTS);
}

static void grow(struct hr_proxy *px, unsigned to)
{
	struct px_gpool *gp = px->gpool;

	to = HR_MIN(to, slot_limit());
	for (; gp->n < to; gp->n++) {
		int r = add_slot(px, gp->n);

		if (!r || r == -EBUSY)
			continue;
		if (!gp->full)
			hr_warn("no more agent slots than %u: %s", gp->n, strerror(-r));
		gp->full = true;
		return;
	}
}

/* As many as the connections there are may ask for. */
static void keep_up(struct hr_proxy *px)
{
	struct px_gpool *gp = px->gpool;

	while (4 * hr_kern_conns(px->opts.kern) >= 3 * gp->n && gp->n < slot_limit() && !gp->full)
		grow(px, 2 * gp->n);
	hr_kern_g_grow_at(px->opts.kern, gp->n < slot_limit() && !gp->full ? gp->n / 4 * 3 : 0);
}

/* Slots that are in use now. */
static unsigned used(struct hr_proxy *px)
{
	const struct hr_g *g = hr_kern_g(px->opts.kern);
	unsigned n = 0;

	for (unsigned i = 0; i < px->gpool->n; i++)
		n += HR_G_STATE(__atomic_load_n(&g[i].word, __ATOMIC_RELAXED)) == HR_G_BOUND;
	return n;
}

int px_gpool_new(struct hr_proxy *px)
{
	struct px_gpool *gp = calloc(1, sizeof(*gp));
	int r;

	if (!gp)
		return -ENOMEM;
	px->gpool = gp;
	r = open_listener(gp);
	if (r)
		return r;
	grow(px, FIRST_SLOTS);
	if (!gp->n)
		return -EMFILE;
	keep_up(px);
	return 0;
}

struct posted {
	struct px_gslot *g;
	uint32_t kind, gen;
};

static void on_posted(void *ctx)
{
	struct posted *m = ctx;

	px_g_event(m->g, m->kind, m->gen);
	free(m);
}

void px_gpool_event(struct hr_proxy *px, const struct hr_event *ev)
{
	struct px_gpool *gp = px->gpool;
	struct px_gslot *g;
	struct posted *m;

	if (ev->kind == HR_EV_G_LOW) {
		if (ev->conn) /* many connections: not yet many that are bound */
			keep_up(px);
		else
			grow(px, 2 * gp->n);
		return;
	}
	if (ev->kind == HR_EV_UNDELIVERED) {
		hr_warn("an answer could not be put into its connection, which is ended");
		hr_kern_conn_shutdown(px->opts.kern, ev->conn);
		return;
	}
	g = ev->slot < HR_G_SLOTS ? gp->slots[ev->slot] : NULL;
	m = g ? malloc(sizeof(*m)) : NULL;
	if (!m)
		return;
	*m = (struct posted){g, ev->kind, ev->gen};
	if (hr_loop_post(g->w->loop, on_posted, m) < 0)
		free(m);
}

void px_gpool_tick(struct hr_proxy *px)
{
	if (2 * used(px) > px->gpool->n)
		grow(px, 2 * px->gpool->n);
	keep_up(px);
	renew(px);
}

/* The workers are gone. */
void px_gpool_free(struct hr_proxy *px)
{
	struct px_gpool *gp = TAKE_PTR(px->gpool);

	if (!gp)
		return;
	for (unsigned i = 0; i < gp->n; i++) {
		if (!gp->slots[i])
			continue;
		close_pair(gp->slots[i]);
		free(gp->slots[i]);
	}
	hr_closep(&gp->listener);
	free(gp);
}
