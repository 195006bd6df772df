// SPDX-License-Identifier: Apache-2.0
/*
 * Non-blocking reads and writes, and the buffers between them.
 */
#include "proxy/io.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"

/* Allocation that a connection keeps between two messages; more is given back. */
#define OUT_KEEP (4 * 1024)

/* ---- buffers ---- */

struct free_buf {
	struct free_buf *next;
};

static char *buf_take(struct px_worker *w)
{
	struct free_buf *f = w->free_bufs;

	if (f) {
		w->free_bufs = f->next;
		w->n_free_bufs--;
		return (char *)f;
	}
	return malloc(HR_BUF_SIZE);
}

void px_buf_drop(struct px_worker *w, struct px_buf *b)
{
	struct free_buf *f = (struct free_buf *)b->p;

	if (!f)
		return;
	*b = (struct px_buf){};
	if (w->n_free_bufs >= PX_FREE_BUFS) {
		free(f);
		return;
	}
	f->next = w->free_bufs;
	w->free_bufs = f;
	w->n_free_bufs++;
}

void px_buf_free_all(struct px_worker *w)
{
	while (w->free_bufs) {
		struct free_buf *f = w->free_bufs;

		w->free_bufs = f->next;
		free(f);
	}
}

void px_buf_use(struct px_worker *w, struct px_buf *b, size_t n)
{
	b->start += (uint32_t)n;
	if (b->p && b->start == b->end)
		px_buf_drop(w, b);
}

void px_buf_compact(struct px_buf *b)
{
	if (!b->start)
		return;
	memmove(b->p, b->p + b->start, px_buf_len(b));
	b->end -= b->start;
	b->start = 0;
}

size_t px_buf_room(struct px_worker *w, struct px_buf *b)
{
	if (!b->p && !(b->p = buf_take(w)))
		return 0;
	if (b->end == HR_BUF_SIZE)
		px_buf_compact(b);
	return HR_BUF_SIZE - b->end;
}

/* ---- output queue ---- */

static void out_room(struct px_out *o, size_t n)
{
	size_t cap;
	char *p;

	if (o->off == o->len && !o->keep)
		o->off = o->len = 0;
	if (o->len + n <= o->cap)
		return;
	if (o->off && !o->keep) {
		memmove(o->p, o->p + o->off, px_out_len(o));
		o->len -= o->off;
		o->off = 0;
	}
	if (o->len + n <= o->cap)
		return;
	for (cap = HR_MAX(o->cap, (size_t)512); cap < o->len + n; cap *= 2)
		;
	p = realloc(o->p, cap);
	if (!p) {
		hr_err("out of memory");
		abort();
	}
	o->p = p;
	o->cap = cap;
}

void px_out_add(struct px_out *o, const void *p, size_t n)
{
	if (!n)
		return;
	out_room(o, n);
	memcpy(o->p + o->len, p, n);
	o->len += n;
}

void px_out_splice(struct px_out *o, size_t at, size_t cut, const void *p, size_t n)
{
	out_room(o, n);
	memmove(o->p + at + n, o->p + at + cut, o->len - at - cut);
	memcpy(o->p + at, p, n);
	o->len += n - cut;
}

void px_out_printf(struct px_out *o, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0)
		px_out_add(o, text, HR_MIN((size_t)n, sizeof(text) - 1));
}

void px_out_reset(struct px_out *o)
{
	if (o->cap > OUT_KEEP)
		px_out_free(o);
	o->off = o->len = 0;
	o->keep = false;
}

void px_out_free(struct px_out *o)
{
	free(o->p);
	*o = (struct px_out){};
}

/* ---- sockets ---- */

int px_side_watch(struct hr_loop *l, struct px_side *s, hr_watch_fn fn, void *ctx)
{
	return hr_watch_add(l, s->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, fn, ctx,
			    &s->watch);
}

void px_side_event(struct px_side *s, uint32_t events)
{
	if (events & EPOLLIN)
		s->readable = true;
	if (events & EPOLLOUT)
		s->writable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->readable = s->hup = true;
	if (events & (EPOLLHUP | EPOLLERR))
		s->writable = true;
}

static void failed(struct px_side *s, int error)
{
	if (!s->error)
		s->error = error;
	s->readable = s->writable = false;
}

static void write_failed(struct px_side *s, int error)
{
	if (!s->werror)
		s->werror = error;
	s->writable = false;
	s->readable = s->hup = true; /* what came before the end can be read */
}

size_t px_side_read(struct px_worker *w, struct px_side *s)
{
	size_t room;
	ssize_t n;

	if (!s->readable || s->eof || s->error)
		return 0;
	room = px_buf_room(w, &s->in);
	if (!room) {
		if (!s->in.p)
			failed(s, ENOMEM);
		return 0;
	}
	do
		n = recv(s->fd, s->in.p + s->in.end, room, 0);
	while (n < 0 && errno == EINTR);
	if (n < (ssize_t)room && !s->hup)
		s->readable = false; /* drained: the next byte makes an edge */
	if (n > 0) {
		s->in.end += (uint32_t)n;
		s->got += (uint64_t)n;
		return (size_t)n;
	}
	if (n == 0)
		s->eof = true;
	else if (errno == EAGAIN || errno == EWOULDBLOCK)
		s->readable = false;
	else
		failed(s, errno);
	if (!px_buf_len(&s->in))
		px_buf_drop(w, &s->in);
	return 0;
}

static ssize_t send_two(int fd, struct iovec iov[2])
{
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
	ssize_t n;

	if (!iov[0].iov_len) {
		m.msg_iov = iov + 1;
		m.msg_iovlen = 1;
	} else if (!iov[1].iov_len) {
		m.msg_iovlen = 1;
	}
	do
		n = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n;
}

size_t px_side_write(struct px_side *s, struct px_out *o, const char *p, size_t n, size_t limit)
{
	size_t took = 0;

	while (s->writable && !s->werror) {
		size_t head = HR_MIN(px_out_len(o), limit);
		size_t body = HR_MIN(n - took, limit - head);
		struct iovec iov[2] = {
			{.iov_base = o->p + o->off, .iov_len = head},
			{.iov_base = (char *)p + took, .iov_len = body},
		};
		ssize_t r;

		if (!head && !body)
			break;
		r = send_two(s->fd, iov);
		if (r < 0) {
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				s->writable = false;
			else if (errno != ENOMEM || !s->patient)
				write_failed(s, errno);
			break;
		}
		limit -= (size_t)r;
		o->off += HR_MIN((size_t)r, head);
		took += (size_t)r - HR_MIN((size_t)r, head);
		if ((size_t)r < head + body)
			continue; /* the next try says EAGAIN, or goes on */
	}
	return took;
}

void px_side_shutdown(struct px_side *s)
{
	if (s->shut || s->fd < 0)
		return;
	s->shut = true;
	shutdown(s->fd, SHUT_WR);
}

void px_side_close(struct px_worker *w, struct px_side *s, bool reset)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	hr_watch_del(TAKE_PTR(s->watch));
	if (s->fd >= 0 && reset)
		setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	hr_closep(&s->fd);
	s->fd = -1;
	px_buf_drop(w, &s->in);
}
