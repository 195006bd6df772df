// SPDX-License-Identifier: Apache-2.0
/*
 * Upstream connections of one worker: pools of kept-alive connections per (namespace, address),
 * new ones with a connect timeout.
 *
 *	SOCKET -> CONNECTING -> [PREFACE] -> READY <-> IDLE
 *	     \________\______________\-> FAILED (s.error), then closed by its owner
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"
#include "proxy/upstream/preface.h"

/* ---- pools ---- */

/* What is not of a cluster: passed through. */
static const struct hr_plan_conns defaults = {.connect_ms = HR_CONNECT_TIMEOUT_MS,
					      .idle_ms = HR_UPSTREAM_IDLE_MS};

static void set_conns(struct px_pool *p, const struct hr_plan_conns *conns)
{
	p->conns = *conns;
	p->conns.name = NULL; /* the plan's */
}

static bool same_conns(const struct hr_plan_conns *a, const struct hr_plan_conns *b)
{
	return a->connect_ms == b->connect_ms && a->idle_ms == b->idle_ms &&
	       a->age_ms == b->age_ms && a->max_requests == b->max_requests &&
	       a->keepalive == b->keepalive && a->ka_time_s == b->ka_time_s &&
	       a->ka_interval_s == b->ka_interval_s && a->ka_probes == b->ka_probes &&
	       a->max_streams == b->max_streams && a->ping_ms == b->ping_ms &&
	       a->pong_ms == b->pong_ms;
}

/* The id means something else now (plan/compile/ids.h gives ids again). */
static void renew(struct px_pool *p, const struct hr_plan_conns *conns)
{
	while (!hr_list_empty(&p->idle))
		px_up_close(hr_list_entry(p->idle.next, struct px_up, link));
	px_h2_pool_retire(p);
	set_conns(p, conns);
}

struct px_pool *px_pool_of(struct px_worker *w, uint64_t netns, const struct hr_addr *addr,
			   uint16_t port, const struct hr_plan_conns *conns)
{
	struct px_pool_key key = {.netns = netns, .addr.port = port};
	struct px_pool *p;

	conns = conns ? conns : &defaults;
	key.addr.conns = (uint16_t)conns->id;
	memcpy(key.addr.ip, addr->ip, sizeof(key.addr.ip));
	p = hr_map_get(w->pool_map, &key, sizeof(key));
	if (p) {
		if (!same_conns(&p->conns, conns))
			renew(p, conns);
		return p;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->key = key;
	set_conns(p, conns);
	hr_list_init(&p->idle);
	hr_list_init(&p->h2);
	hr_list_add_tail(&w->pools, &p->link);
	hr_map_put(w->pool_map, &key, sizeof(key), p);
	return p;
}

static void pool_free(struct px_worker *w, struct px_pool *p)
{
	hr_map_del(w->pool_map, &p->key, sizeof(p->key));
	hr_list_del(&p->link);
	free(p);
}

/* ---- one connection ---- */

void px_up_close(struct px_up *u)
{
	if (u->relay) {
		px_relay_up_done(u, false);
		return;
	}
	if (u->stream) {
		px_h2_up_done(u);
		return;
	}
	if (u->job) /* its thread has it: the socket is closed when it comes */
		u->job->up = NULL;
	if (u->state == PX_UP_IDLE)
		u->pool->n_idle--;
	hr_list_del(&u->link); /* idle or orphaned */
	u->pool->n_all--;
	hr_timer_stop(&u->timer);
	px_preface_free(u);
	px_side_close(u->w, &u->s, false);
	PX_ADD(u->w->ups, -1);
	free(u);
}

size_t px_up_read(struct px_up *u)
{
	return u->stream ? px_h2_up_read(u) : px_side_read(u->w, &u->s);
}

size_t px_up_write(struct px_up *u, struct px_out *o, const char *p, size_t n)
{
	return u->stream ? px_h2_up_write(u, o, p, n) : px_side_write(&u->s, o, p, n, SIZE_MAX);
}

static void tell_owner(struct px_up *u)
{
	if (u->carries)
		px_h2_up_run(u->carries);
	else if (u->owner)
		px_client_run(u->owner);
	else if (u->state == PX_UP_READY)
		px_up_idle(u);
	else if (u->state == PX_UP_FAILED)
		px_up_close(u);
}

static void fail(struct px_up *u, int error)
{
	u->state = PX_UP_FAILED;
	if (!u->s.error)
		u->s.error = error;
	hr_timer_stop(&u->timer);
}

static void connected(struct px_up *u)
{
	int error = 0;
	socklen_t n = sizeof(error);

	getsockopt(u->s.fd, SOL_SOCKET, SO_ERROR, &error, &n);
	if (error) {
		fail(u, error);
		return;
	}
	u->state = PX_UP_PREFACE;
}

/* The connect timeout is for what the server has to say to it, too. */
static void preface(struct px_up *u)
{
	int r = u->preface ? px_preface_run(u) : 1;

	if (r < 0) {
		fail(u, -r);
	} else if (r > 0) {
		hr_timer_stop(&u->timer);
		u->born = hr_loop_now(u->w->loop);
		u->state = PX_UP_READY;
	}
}

static void on_up(void *ctx, uint32_t events)
{
	struct px_up *u = ctx;

	px_side_event(&u->s, events);
	if (u->state == PX_UP_CONNECTING) {
		if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
			return;
		connected(u);
		if (u->state == PX_UP_PREFACE)
			preface(u);
	} else if (u->state == PX_UP_PREFACE) {
		preface(u);
	} else if (u->state == PX_UP_IDLE) {
		/* nothing is asked of it: bytes, or an end, make it useless */
		if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			px_up_close(u);
		return;
	}
	tell_owner(u);
}

static void on_connect_timeout(void *ctx)
{
	struct px_up *u = ctx;

	fail(u, ETIMEDOUT);
	tell_owner(u);
}

void px_keep_alive(int fd, const struct hr_plan_conns *conns)
{
	int one = 1, probes = (int)conns->ka_probes, time = (int)conns->ka_time_s,
	    interval = (int)conns->ka_interval_s;

	if (!conns->keepalive)
		return;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (probes)
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	if (time)
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &time, sizeof(time));
	if (interval)
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
}

static void set_options(struct px_up *u)
{
	int one = 1;

	setsockopt(u->s.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	px_keep_alive(u->s.fd, &u->pool->conns);
}

int px_up_watch(struct px_up *u)
{
	return px_side_watch(u->w->loop, &u->s, on_up, u);
}

/* The socket is there: starts the connection. */
static void start(struct px_up *u, int fd)
{
	struct sockaddr_storage ss;
	struct hr_addr addr;
	socklen_t n;
	int r;

	if (fd < 0) {
		fail(u, -fd);
		return;
	}
	u->s.fd = fd;
	u->state = PX_UP_CONNECTING;
	set_options(u);
	memcpy(addr.ip, u->pool->key.addr.ip, sizeof(addr.ip));
	n = hr_addr_to_sockaddr(&addr, u->pool->key.addr.port, &ss);
	r = connect(fd, (struct sockaddr *)&ss, n);
	if (r < 0 && errno != EINPROGRESS) {
		fail(u, errno);
		return;
	}
	r = px_up_watch(u);
	if (r)
		fail(u, -r);
}

void px_up_socket(struct px_sock_job *job)
{
	struct px_up *u = job->up;
	int fd = job->fd;

	free(job);
	if (!u) {
		hr_closep(&fd);
		return;
	}
	u->job = NULL;
	if (u->state != PX_UP_SOCKET) { /* timed out meanwhile */
		hr_closep(&fd);
		return;
	}
	start(u, fd);
	if (u->state == PX_UP_FAILED)
		tell_owner(u);
}

/* A door of the agent itself, or a namespace that is gone: the connection cannot be asked for. */
static int order_socket(struct px_up *u, int family)
{
	struct px_sock_job *job = calloc(1, sizeof(*job));

	if (!job)
		return -ENOMEM;
	*job = (struct px_sock_job){
		.w = u->w, .up = u, .netns = u->pool->key.netns, .family = family, .fd = -1};
	u->job = job;
	px_netns_job(u->w->px, job);
	return 0;
}

struct px_up *px_up_new(struct px_worker *w, struct px_pool *p, struct px_client *owner)
{
	struct px_up *u = calloc(1, sizeof(*u));
	struct hr_addr addr;
	int family, r = 0;

	if (!u)
		return NULL;
	*u = (struct px_up){.w = w, .pool = p, .owner = owner, .s.fd = -1, .state = PX_UP_SOCKET};
	hr_list_init(&u->link);
	p->n_all++;
	PX_COUNT(w->ups);
	hr_timer_start(w->loop, &u->timer, p->conns.connect_ms, on_connect_timeout, u);
	memcpy(addr.ip, p->key.addr.ip, sizeof(addr.ip));
	family = hr_addr_is4(&addr) ? AF_INET : AF_INET6;
	if (p->key.netns) {
		r = order_socket(u, family);
		if (r)
			fail(u, -r);
		return u;
	}
	r = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	start(u, r < 0 ? -errno : r);
	return u;
}

/* ---- taking and giving back ---- */

/* It has carried all that it may, or is too old. */
static bool worn_out(const struct px_up *u)
{
	const struct hr_plan_conns *k = &u->pool->conns;

	return (k->max_requests && u->nreq >= k->max_requests) ||
	       (k->age_ms && hr_loop_now(u->w->loop) - u->born >= k->age_ms);
}

static void on_idle_over(void *ctx)
{
	px_up_close(ctx);
}

/* Closed in time; where nothing is set the sweep is enough. */
static void time_idle(struct px_up *u)
{
	const struct hr_plan_conns *k = &u->pool->conns;
	uint64_t left = k->idle_ms ? k->idle_ms : UINT64_MAX;

	if (!k->id)
		return;
	if (k->age_ms)
		left = HR_MIN(left, u->born + k->age_ms - hr_loop_now(u->w->loop));
	if (left != UINT64_MAX)
		hr_timer_start(u->w->loop, &u->timer, left, on_idle_over, u);
}

struct px_up *px_up_get(struct px_client *owner, const struct hr_addr *addr, uint16_t port,
			const struct hr_plan_conns *conns, bool fresh)
{
	struct px_worker *w = owner->w;
	struct px_pool *p = px_pool_of(w, owner->netns, addr, port, conns);

	if (!p)
		return NULL;
	while (!fresh && !hr_list_empty(&p->idle)) {
		struct px_up *u = hr_list_entry(p->idle.next, struct px_up, link);

		if (worn_out(u) || u->s.hup || u->s.error) {
			px_up_close(u);
			continue;
		}
		hr_timer_stop(&u->timer);
		hr_list_del(&u->link);
		p->n_idle--;
		u->state = PX_UP_READY;
		u->owner = owner;
		u->reused = true;
		return u;
	}
	return px_up_new(w, p, owner);
}

void px_up_idle(struct px_up *u)
{
	struct px_pool *p = u->pool;

	if (u->relay) {
		px_relay_up_done(u, true);
		return;
	}
	if (u->stream) {
		px_h2_up_done(u);
		return;
	}
	if (u->state != PX_UP_READY || u->preface || u->s.hup || u->s.error || u->s.eof ||
	    u->s.shut || px_buf_len(&u->s.in) || worn_out(u) || p->n_idle >= PX_POOL_IDLE_MAX ||
	    u->w->draining) {
		px_up_close(u);
		return;
	}
	hr_list_del(&u->link); /* an orphan */
	u->owner = NULL;
	u->state = PX_UP_IDLE;
	u->idle_since = hr_loop_now(u->w->loop);
	hr_list_add_head(&p->idle, &u->link);
	p->n_idle++;
	time_idle(u);
}

void px_up_orphan(struct px_up *u)
{
	u->owner = NULL;
	if (u->state == PX_UP_READY)
		px_up_idle(u);
	else if (u->state == PX_UP_FAILED)
		px_up_close(u);
	else
		hr_list_add_tail(&u->w->orphans, &u->link);
}

bool px_up_alive(struct px_up *u)
{
	char byte;
	ssize_t n = recv(u->s.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static void pool_sweep(struct px_worker *w, struct px_pool *p, uint64_t now)
{
	const struct px_hold *h = w->hold;
	bool gone = h && !px_plan_has(h->published, &p->key.addr);

	/* oldest last; what the plan does not have (any more: pass-through) keeps theirs a second
	 */
	while (!hr_list_empty(&p->idle)) {
		struct px_up *u = hr_list_entry(p->idle.prev, struct px_up, link);

		if (now - u->idle_since < (gone ? 1000 : HR_UPSTREAM_IDLE_MS) ||
		    (!gone && p->conns.id))
			break;
		px_up_close(u);
	}
	px_h2_pool_sweep(p, gone, now);
	if (!p->n_all)
		pool_free(w, p);
}

void px_up_sweep(struct px_worker *w)
{
	uint64_t now = hr_loop_now(w->loop);

	hr_list_for_each (l, &w->pools)
		pool_sweep(w, hr_list_entry(l, struct px_pool, link), now);
}

void px_up_close_all(struct px_worker *w)
{
	while (!hr_list_empty(&w->orphans))
		px_up_close(hr_list_entry(w->orphans.next, struct px_up, link));
	hr_list_for_each (l, &w->pools) {
		struct px_pool *p = hr_list_entry(l, struct px_pool, link);

		while (!hr_list_empty(&p->idle))
			px_up_close(hr_list_entry(p->idle.next, struct px_up, link));
		px_h2_pool_close(p);
		pool_free(w, p);
	}
}
