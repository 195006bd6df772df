// SPDX-License-Identifier: Apache-2.0
/*
 * Event loop: epoll, a 4-ary heap of timers, and a mailbox (eventfd + list) for other threads.
 *
 * A watch that is deleted while its event waits in this turn's batch must not be called: it is
 * marked dead and freed at the end of the turn.
 */
#include "core/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/vec.h"

#define BATCH 128

struct hr_watch {
	struct hr_loop *loop;
	hr_watch_fn fn;
	void *ctx;
	int fd;
	bool dead;
	struct hr_watch *next_dead;
};

struct post {
	struct post *next;
	void (*fn)(void *ctx);
	void *ctx;
};

struct hr_loop {
	int epfd, mailfd;
	atomic_bool stop;
	uint64_t now;
	struct hr_watch *dead;
	struct hr_watch *mail;
	HR_VEC(struct hr_timer *) heap;
	pthread_mutex_t lock; /* posts */
	struct post *first, **last;
};

static uint64_t read_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- mailbox ---- */

static void ring(struct hr_loop *l)
{
	uint64_t one = 1;
	ssize_t n = write(l->mailfd, &one, sizeof(one));

	(void)n; /* EAGAIN: the counter is full, so the loop wakes anyway */
}

static void take_mail(void *ctx, uint32_t events)
{
	struct hr_loop *l = ctx;
	struct post *p;
	uint64_t n;

	(void)events;
	if (read(l->mailfd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&l->lock);
	p = TAKE_PTR(l->first);
	l->last = &l->first;
	pthread_mutex_unlock(&l->lock);
	while (p) {
		struct post *next = p->next;

		p->fn(p->ctx);
		free(p);
		p = next;
	}
}

int hr_loop_post(struct hr_loop *l, void (*fn)(void *ctx), void *ctx)
{
	struct post *p = malloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct post){.fn = fn, .ctx = ctx};
	pthread_mutex_lock(&l->lock);
	*l->last = p;
	l->last = &p->next;
	pthread_mutex_unlock(&l->lock);
	ring(l);
	return 0;
}

/* ---- life ---- */

int hr_loop_new(struct hr_loop **out)
{
	struct hr_loop *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->last = &l->first;
	pthread_mutex_init(&l->lock, NULL);
	l->now = read_clock();
	l->mailfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	r = l->epfd < 0 || l->mailfd < 0 ? -errno : 0;
	if (!r)
		r = hr_watch_add(l, l->mailfd, EPOLLIN, take_mail, l, &l->mail);
	if (r) {
		hr_loop_free(l);
		return r;
	}
	*out = l;
	return 0;
}

static void bury(struct hr_loop *l)
{
	while (l->dead) {
		struct hr_watch *w = l->dead;

		l->dead = w->next_dead;
		free(w);
	}
}

void hr_loop_free(struct hr_loop *l)
{
	struct post *p;

	if (!l)
		return;
	hr_watch_del(l->mail);
	bury(l);
	while ((p = l->first)) {
		l->first = p->next;
		free(p);
	}
	hr_vec_free(&l->heap);
	hr_closep(&l->epfd);
	hr_closep(&l->mailfd);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void hr_loop_stop(struct hr_loop *l)
{
	l->stop = true;
	ring(l);
}

uint64_t hr_loop_now(const struct hr_loop *l)
{
	return l->now;
}

/* ---- watches ---- */

int hr_watch_add(struct hr_loop *l, int fd, uint32_t events, hr_watch_fn fn, void *ctx,
		 struct hr_watch **out)
{
	_cleanup_free_ struct hr_watch *w = calloc(1, sizeof(*w));
	struct epoll_event ev = {.events = events};

	if (!w)
		return -ENOMEM;
	*w = (struct hr_watch){.loop = l, .fn = fn, .ctx = ctx, .fd = fd};
	ev.data.ptr = w;
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	*out = TAKE_PTR(w);
	return 0;
}

int hr_watch_mod(struct hr_watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	return epoll_ctl(w->loop->epfd, EPOLL_CTL_MOD, w->fd, &ev) < 0 ? -errno : 0;
}

void hr_watch_del(struct hr_watch *w)
{
	if (!w || w->dead)
		return;
	/* The fd may be closed already: then the kernel has removed it. */
	epoll_ctl(w->loop->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	w->dead = true;
	w->next_dead = w->loop->dead;
	w->loop->dead = w;
}

/* ---- timers ---- */

#define ARITY 4

static void place(struct hr_loop *l, size_t i, struct hr_timer *t)
{
	l->heap.data[i] = t;
	t->heap_index = (uint32_t)i + 1;
}

static void sift_up(struct hr_loop *l, size_t i, struct hr_timer *t)
{
	while (i) {
		size_t parent = (i - 1) / ARITY;

		if (l->heap.data[parent]->at <= t->at)
			break;
		place(l, i, l->heap.data[parent]);
		i = parent;
	}
	place(l, i, t);
}

static void sift_down(struct hr_loop *l, size_t i, struct hr_timer *t)
{
	for (;;) {
		size_t first = i * ARITY + 1, best = first;

		if (first >= l->heap.len)
			break;
		for (size_t c = first + 1; c < HR_MIN(first + ARITY, l->heap.len); c++)
			if (l->heap.data[c]->at < l->heap.data[best]->at)
				best = c;
		if (l->heap.data[best]->at >= t->at)
			break;
		place(l, i, l->heap.data[best]);
		i = best;
	}
	place(l, i, t);
}

void hr_timer_stop(struct hr_timer *t)
{
	struct hr_loop *l = t->loop;
	struct hr_timer *last;
	size_t i;

	if (!hr_timer_running(t))
		return;
	i = t->heap_index - 1;
	t->heap_index = 0;
	last = l->heap.data[--l->heap.len];
	if (last == t)
		return;
	if (i && l->heap.data[(i - 1) / ARITY]->at > last->at)
		sift_up(l, i, last);
	else
		sift_down(l, i, last);
}

void hr_timer_start(struct hr_loop *l, struct hr_timer *t, uint64_t after_ms, void (*fn)(void *),
		    void *ctx)
{
	hr_timer_stop(t);
	*t = (struct hr_timer){.at = l->now + after_ms, .loop = l, .fn = fn, .ctx = ctx};
	hr_vec_push(&l->heap, t);
	sift_up(l, l->heap.len - 1, t);
}

static int next_timeout(const struct hr_loop *l)
{
	uint64_t at;

	if (!l->heap.len)
		return -1;
	at = l->heap.data[0]->at;
	return at <= l->now ? 0 : (int)HR_MIN(at - l->now, (uint64_t)60000);
}

/* Timers that a callback starts with 0 ms wait for the next turn, so no callback can starve I/O. */
static void fire_timers(struct hr_loop *l)
{
	size_t budget = l->heap.len;

	while (budget-- && l->heap.len && l->heap.data[0]->at <= l->now) {
		struct hr_timer *t = l->heap.data[0];

		hr_timer_stop(t);
		t->fn(t->ctx);
	}
}

int hr_loop_run(struct hr_loop *l)
{
	struct epoll_event ev[BATCH];

	while (!l->stop) {
		int n = epoll_wait(l->epfd, ev, BATCH, next_timeout(l));

		if (n < 0 && errno != EINTR)
			return -errno;
		l->now = read_clock();
		for (int i = 0; i < n; i++) {
			struct hr_watch *w = ev[i].data.ptr;

			if (!w->dead)
				w->fn(w->ctx, ev[i].events);
		}
		fire_timers(l);
		bury(l);
	}
	l->stop = false;
	return 0;
}
