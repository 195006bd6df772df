/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes in and out of one non-blocking socket, as the proxy's rooms share it: a fixed input
 * buffer taken from the worker only while it holds something, a growing output queue, and the
 * edge-triggered readiness of the socket.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/loop.h"
#include "core/str.h"
#include "headrace/limits.h"

struct px_worker;

/* Input: HR_BUF_SIZE bytes, or nothing (p NULL) when it is empty. */
struct px_buf {
	char *p;
	uint32_t start, end;
};
static inline size_t px_buf_len(const struct px_buf *b)
{
	return b->end - b->start;
}
static inline const char *px_buf_at(const struct px_buf *b)
{
	return b->p + b->start;
}
/* Room behind what is there; 0: full, or no memory. */
size_t px_buf_room(struct px_worker *w, struct px_buf *b);
void px_buf_use(struct px_worker *w, struct px_buf *b, size_t n);
void px_buf_drop(struct px_worker *w, struct px_buf *b);
/* Moves what is left to the front: all room is then behind it. */
void px_buf_compact(struct px_buf *b);

/* Output: bytes [off, len) wait. Callers bound what they add. `keep`: what was sent stays, so that
 * setting off back to 0 sends it all again. */
struct px_out {
	char *p;
	size_t off, len, cap;
	bool keep;
};
static inline size_t px_out_len(const struct px_out *o)
{
	return o->len - o->off;
}
void px_out_add(struct px_out *o, const void *p, size_t n);
void px_out_printf(struct px_out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts p[0 .. n) in the place of `cut` bytes from `at` on. */
void px_out_splice(struct px_out *o, size_t at, size_t cut, const void *p, size_t n);
#define px_out_lit(o, lit) px_out_add((o), (lit), sizeof(lit) - 1)
static inline void px_out_slice(struct px_out *o, struct hr_slice s)
{
	px_out_add(o, s.p, s.n);
}
/* Drops what was sent; keeps a small allocation for the next message. */
void px_out_reset(struct px_out *o);
void px_out_free(struct px_out *o);

struct px_side {
	int fd;
	int error;  /* errno of the first failed read, 0: none */
	int werror; /* of the first failed write: there may still be something to read */
	struct hr_watch *watch;
	struct px_buf in;
	bool readable, writable; /* last edge seen, nothing said EAGAIN since */
	bool hup;		 /* the peer's FIN or a reset waits behind what is unread */
	bool eof;		 /* read to the end */
	bool patient;		 /* a write that finds no memory is tried again by the owner */
	bool shut;		 /* we sent our FIN */
	uint64_t got;		 /* bytes read in all */
};

/* Edge-triggered for input, output and hang-up. 0 or -errno. */
int px_side_watch(struct hr_loop *l, struct px_side *s, hr_watch_fn fn, void *ctx);
/* Notes an epoll event. */
void px_side_event(struct px_side *s, uint32_t events);
/* One recv into the input buffer: bytes got, 0 when there is nothing to do now (full, empty, eof,
 * error). */
size_t px_side_read(struct px_worker *w, struct px_side *s);
/* Sends what waits in `o`, then of p[0 .. n), at most `limit` bytes in all. Gives how many bytes of
 * p went out; what is not sent stays the caller's. */
size_t px_side_write(struct px_side *s, struct px_out *o, const char *p, size_t n, size_t limit);
void px_side_shutdown(struct px_side *s);
/* Closes; a pending reset is sent when `reset`. */
void px_side_close(struct px_worker *w, struct px_side *s, bool reset);
