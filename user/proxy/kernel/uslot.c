// SPDX-License-Identifier: Apache-2.0
/*
 * One upstream connection of the kernel: opened in its namespace, listed in a slot, watched for
 * its end only (traps 6 and 13: nobody reads it while the kernel uses it), closed.
 *
 *	CONNECTING -> LISTED (word FREE <-> BUSY) -> RELAYED (a worker reads it) -> LISTED
 *	                 \________________________________\-> closed
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/kernel/holder.h"

/* A connection that takes longer is doubted. */
#define SLOW_MS 1000U

uint64_t px_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static struct hr_u *entry_of(const struct px_u *u)
{
	return &hr_kern_u(u->pool->holder->kern)[u->slot];
}

static uint64_t word_of(const struct px_u *u)
{
	return __atomic_load_n(&entry_of(u)->word, __ATOMIC_ACQUIRE);
}

static bool swap(const struct px_u *u, enum hr_u_state from, enum hr_u_state to, uint32_t gen)
{
	uint64_t expect = HR_WORD(from, gen);

	return __atomic_compare_exchange_n(&entry_of(u)->word, &expect, HR_WORD(to, gen), false,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* Adds to the in-flight words of the request on it: -1 lowers what the kernel has raised,
 * HR_INFLIGHT_TO_AGENT makes it ours, -HR_INFLIGHT_AGENT lowers that. */
static void inflight(struct px_u *u, uint64_t delta)
{
	struct hr_proxy *px = u->pool->holder->px;
	const struct hr_u *e = entry_of(u);

	if (e->ep && e->ep < HR_EPS_MAX)
		__atomic_fetch_add(&px->ep_rt[e->ep].inflight.word, delta, __ATOMIC_RELAXED);
	if (e->cluster && e->cluster < HR_CLUSTERS_MAX)
		__atomic_fetch_add(&px->cluster_rt[e->cluster].inflight.word, delta,
				   __ATOMIC_RELAXED);
}

/* ---- the end ---- */

/* A connection that ends before this, and has carried nothing, was of no use. */
#define BRIEF_NS 1000000000ULL

static enum px_u_end end_of(const struct px_u *u, bool failed)
{
	const struct px_holder *h = u->pool->holder;

	if (failed)
		return PX_U_FAILED;
	if (u->state == PX_U_CONNECTING)
		return PX_U_BRIEF;
	return (!h->kern || !entry_of(u)->t0) && px_now_ns() - u->since < BRIEF_NS ? PX_U_BRIEF
										   : PX_U_OVER;
}

static void forget(struct px_u *u, bool failed)
{
	struct px_upool *p = u->pool;
	enum px_u_end how = end_of(u, failed);

	hr_timer_stop(&u->timer);
	hr_watch_del(u->watch);
	if (u->state != PX_U_CONNECTING) {
		if (p->holder->kern)
			hr_kern_u_take(p->holder->kern, u->slot);
		p->listed--;
		px_upool_live(p, -1);
	} else {
		p->connecting--;
	}
	if (u->relay)
		u->relay->u = NULL;
	hr_closep(&u->fd);
	for (unsigned i = 0; i < PX_U_MAX; i++)
		if (p->slots[i] == u)
			p->slots[i] = NULL;
	hr_list_del(&u->link);
	p->n--;
	free(u);
	px_upool_lost(p, how);
}

bool px_u_retire(struct px_u *u)
{
	uint64_t word;

	if (u->state == PX_U_CONNECTING || !u->pool->holder->kern) {
		forget(u, false);
		return true;
	}
	word = word_of(u);
	if (u->state == PX_U_RELAYED || HR_WORD_STATE(word) != HR_U_FREE ||
	    !swap(u, HR_U_FREE, HR_U_DEAD, HR_WORD_GEN(word)))
		return false;
	forget(u, false);
	return true;
}

void px_u_drop(struct px_u *u)
{
	uint64_t word = u->pool->holder->kern ? word_of(u) : 0;

	if (u->state != PX_U_CONNECTING && HR_WORD_STATE(word) == HR_U_BUSY &&
	    swap(u, HR_U_BUSY, HR_U_DEAD, HR_WORD_GEN(word)))
		inflight(u, -1ULL);
	forget(u, false);
}

/* BUSY to DEAD; from then on the answer is ours, and nothing may come before it. */
static bool take(struct px_u *u, uint32_t gen)
{
	struct hr_kern *kern = u->pool->holder->kern;
	uint64_t conn = entry_of(u)->conn;
	bool taken;

	hr_kern_conn_owes(kern, conn, true);
	taken = swap(u, HR_U_BUSY, HR_U_DEAD, gen);
	if (!taken || entry_of(u)->conn != conn)
		hr_kern_conn_owes(kern, conn, false);
	if (taken && entry_of(u)->conn != conn) /* another's by then */
		hr_kern_conn_owes(kern, entry_of(u)->conn, true);
	return taken;
}

/* The server closed while it owed an answer: another try or ours takes its place when C has had
 * nothing of it. */
static void broken_off(struct px_u *u, uint32_t gen)
{
	struct px_holder *h = u->pool->holder;
	uint64_t conn = entry_of(u)->conn;

	inflight(u, HR_INFLIGHT_TO_AGENT);
	if (entry_of(u)->left || px_relay_start(u, gen, true)) {
		inflight(u, -HR_INFLIGHT_AGENT);
		hr_kern_conn_owes(h->kern, conn, false);
		hr_kern_conn_shutdown(h->kern, conn);
		forget(u, false);
	}
}

static void hung_up(struct px_u *u)
{
	uint64_t word = u->pool->holder->kern ? word_of(u) : HR_WORD(HR_U_DEAD, 0);
	uint32_t gen = HR_WORD_GEN(word);

	switch (HR_WORD_STATE(word)) {
	case HR_U_FREE:
		if (!swap(u, HR_U_FREE, HR_U_DEAD, gen))
			hung_up(u);
		else
			forget(u, false);
		break;
	case HR_U_BUSY:
		if (!take(u, gen))
			hung_up(u);
		else
			broken_off(u, gen);
		break;
	case HR_U_DEAD:
		if (u->state != PX_U_RELAYED)
			forget(u, false);
		break;
	default: /* RELAY: the worker reads to the end */
		break;
	}
}

/* The end of a connection that was with a worker may have been seen meanwhile. */
static void check_end(struct px_u *u)
{
	struct tcp_info info;
	socklen_t n = sizeof(info);

	if (!getsockopt(u->fd, IPPROTO_TCP, TCP_INFO, &info, &n) &&
	    info.tcpi_state != TCP_ESTABLISHED)
		hung_up(u);
}

/* ---- how long it is kept ---- */

/* A connection that is too old or idle for too long is looked for again after this, while it
 * carries a request: the kernel may just then have counted one use down (hr_u.uses). */
#define BUSY_LOOK_MS 50

static uint64_t first_look_ms(const struct hr_plan_conns *k)
{
	uint64_t ms = k->idle_ms ? k->idle_ms : UINT64_MAX;

	return HR_MIN(ms, k->age_ms ? k->age_ms : (uint64_t)UINT32_MAX);
}

static uint64_t left_of(uint64_t since_ns, uint64_t now_ns, uint32_t bound_ms)
{
	uint64_t gone = now_ns > since_ns ? (now_ns - since_ns) / 1000000 : 0;

	return gone < bound_ms ? bound_ms - gone : 0;
}

/* For how long it may still be idle. One that has carried nothing yet is the sign that its endpoint
 * lives, unless there is another. */
static uint64_t idle_left(const struct px_u *u, uint64_t now)
{
	const struct px_upool *p = u->pool;
	uint64_t t0 = p->holder->kern ? entry_of(u)->t0 : 0;
	bool busy = p->holder->kern && HR_WORD_STATE(word_of(u)) != HR_U_FREE;

	if (!p->kept.idle_ms)
		return UINT32_MAX;
	if (busy || (!t0 && p->n == 1))
		return p->kept.idle_ms;
	return left_of(HR_MAX(t0, u->since), now, p->kept.idle_ms);
}

static void on_time(void *ctx)
{
	struct px_u *u = ctx;
	struct px_upool *p = u->pool;
	uint64_t now = px_now_ns(), idle = idle_left(u, now), age = UINT32_MAX, next;

	if (p->kept.age_ms)
		age = left_of(u->since, now, p->kept.age_ms);
	if (!age && p->holder->kern)
		entry_of(u)->uses = 0; /* what it carries is the last */
	if (!idle)
		p->want = HR_MAX(p->n, 2U) - 1;
	if ((!age || !idle) && px_u_retire(u))
		return;
	next = HR_MIN(age, idle);
	hr_timer_start(p->holder->loop, &u->timer, next ? next : BUSY_LOOK_MS, on_time, u);
}

/* ---- the beginning ---- */

static void list(struct px_u *u)
{
	struct px_upool *p = u->pool;
	int r;

	hr_timer_stop(&u->timer);
	r = hr_watch_mod(u->watch, EPOLLRDHUP);
	if (!r && p->holder->kern)
		r = hr_kern_u_put(p->holder->kern, u->slot, u->fd, p->addr->addr_id, &p->kept);
	if (r) {
		if (!p->told) /* its server may close them all at once: once is enough */
			hr_warn("cannot list an upstream connection: %s", strerror(-r));
		p->told = true;
		forget(u, false);
		return;
	}
	p->told = false;
	u->state = PX_U_LISTED;
	u->since = px_now_ns();
	p->connecting--;
	p->listed++;
	px_upool_live(p, 1);
	if (p->kept.id)
		hr_timer_start(p->holder->loop, &u->timer, first_look_ms(&p->kept), on_time, u);
}

static void on_u(void *ctx, uint32_t events)
{
	struct px_u *u = ctx;
	int error = 0;
	socklen_t n = sizeof(error);

	if (u->state != PX_U_CONNECTING) {
		if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			hung_up(u);
		return;
	}
	getsockopt(u->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	if (error)
		forget(u, true);
	else
		list(u);
}

static void on_timeout(void *ctx)
{
	forget(ctx, true);
}

static void on_slow(void *ctx)
{
	struct px_u *u = ctx;

	px_upool_suspect(u->pool);
	if (u->pool->kept.connect_ms <= SLOW_MS)
		forget(u, true);
	else
		hr_timer_start(u->pool->holder->loop, &u->timer, u->pool->kept.connect_ms - SLOW_MS,
			       on_timeout, u);
}

/* A socket in the pool's namespace. The holder's thread stays in the last one it was asked for: it
 * makes sockets nowhere else. */
static int make_socket(struct px_upool *p)
{
	struct px_holder *h = p->holder;
	bool own = p->netns == h->px->own_netns;
	_cleanup_close_ int nsfd = own ? -1 : px_netns_dup(h->px, p->netns);
	int fd;

	if (!own && nsfd < 0)
		return -ENOENT;
	if (setns(own ? h->home : nsfd, CLONE_NEWNET) < 0)
		return -errno;
	fd = socket(hr_addr_is4(&p->addr->addr) ? AF_INET : AF_INET6,
		    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd < 0 ? -errno : fd;
}

static int dial(struct px_u *u)
{
	struct px_upool *p = u->pool;
	/* the kernel doubles it: a moved request always fits an idle connection */
	int one = 1, room = 2 * HR_MOVE_MAX, r;
	struct sockaddr_storage ss;
	socklen_t n = hr_addr_to_sockaddr(&p->addr->addr, p->addr->port, &ss);

	setsockopt(u->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(u->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	px_keep_alive(u->fd, &p->kept);
	if (p->holder->kern)
		hr_kern_u_offer(p->holder->kern, u->fd, p->addr->addr.ip, p->addr->port);
	r = connect(u->fd, (struct sockaddr *)&ss, n);
	if (r < 0 && errno != EINPROGRESS && errno != ECONNREFUSED && errno != ENETUNREACH &&
	    errno != EHOSTUNREACH)
		return -errno;
	/* a failure that is known at once shows as an event as well */
	return hr_watch_add(p->holder->loop, u->fd, EPOLLOUT | EPOLLRDHUP, on_u, u, &u->watch);
}

int px_u_open(struct px_upool *p, unsigned place)
{
	struct px_u *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->pool = p;
	u->state = PX_U_CONNECTING;
	u->slot = p->chunk[place / HR_U_CHUNK] + place % HR_U_CHUNK;
	u->fd = make_socket(p);
	r = u->fd < 0 ? u->fd : dial(u);
	if (r) {
		hr_closep(&u->fd);
		free(u);
		return r;
	}
	hr_timer_start(p->holder->loop, &u->timer, HR_MIN(p->kept.connect_ms, SLOW_MS), on_slow, u);
	hr_list_add_tail(&p->conns, &u->link);
	p->slots[place] = u;
	p->n++;
	p->connecting++;
	return 0;
}

/* ---- events of the kernel ---- */

static struct px_u *find(struct px_holder *h, uint32_t slot)
{
	struct px_upool *p = slot < HR_U_SLOTS ? h->owner[slot / HR_U_CHUNK] : NULL;

	for (unsigned i = 0; p && i < PX_U_MAX; i++)
		if (p->slots[i] && p->slots[i]->slot == slot)
			return p->slots[i];
	return NULL;
}

static void dirty(struct px_u *u, uint32_t gen)
{
	uint64_t word = word_of(u);

	if (u->relay)
		return; /* the worker sees that C is gone, and gives it back */
	if (word == HR_WORD(HR_U_DEAD, gen))
		forget(u, false);
	else if (word == HR_WORD(HR_U_RELAY, gen) && swap(u, HR_U_RELAY, HR_U_DEAD, gen)) {
		inflight(u, -HR_INFLIGHT_AGENT);
		forget(u, false);
	}
}

void px_u_event(struct px_holder *h, const struct hr_event *ev)
{
	struct px_u *u = find(h, ev->slot);

	if (!u || u->state == PX_U_CONNECTING)
		return;
	if (ev->kind == HR_EV_U_DIRTY || ev->kind == HR_EV_TAKEN) {
		dirty(u, ev->gen);
	} else if (u->relay) {
		u->relay_again = true; /* given back already, and used again: soon told */
	} else if (word_of(u) == HR_WORD(HR_U_RELAY, ev->gen) &&
		   px_relay_start(u, ev->gen, false)) {
		hr_kern_conn_shutdown(h->kern, ev->conn);
		dirty(u, ev->gen);
	}
}

/* Once, after its first request: one that has taught what its server's sockets are makes room for
 * one that can be paired. */
static bool replaced(struct px_u *u, uint64_t word)
{
	if (u->carried || HR_WORD_STATE(word) != HR_U_FREE || !entry_of(u)->t0)
		return false;
	u->carried = true;
	return hr_kern_u_taught(u->pool->holder->kern, u->slot) && px_u_retire(u);
}

void px_u_look(struct px_u *u)
{
	struct px_holder *h = u->pool->holder;
	uint64_t word = h->kern && u->state == PX_U_LISTED && !u->relay ? word_of(u) : 0;
	struct hr_event ev = {.slot = u->slot, .gen = HR_WORD_GEN(word)};

	if (replaced(u, word))
		return;
	if (HR_WORD_STATE(word) != HR_U_RELAY && HR_WORD_STATE(word) != HR_U_DEAD)
		return;
	ev.kind = HR_WORD_STATE(word) == HR_U_RELAY ? HR_EV_RELAY : HR_EV_U_DIRTY;
	ev.conn = entry_of(u)->conn;
	px_u_event(h, &ev);
}

/* The worker is done with it: the word says what it is good for. */
void px_u_returned(struct px_relay *r)
{
	struct px_u *u = r->u;
	struct hr_event again = {.kind = HR_EV_RELAY, .slot = r->slot, .gen = r->gen};

	free(r);
	if (!u)
		return;
	u->relay = NULL;
	u->state = PX_U_LISTED;
	again.conn = entry_of(u)->conn;
	if (HR_WORD_STATE(word_of(u)) == HR_U_DEAD)
		forget(u, false);
	else if (u->relay_again)
		px_u_event(u->pool->holder, &again);
	else
		check_end(u);
}
