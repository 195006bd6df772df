/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream connections of the workers, pooled by address and namespace.
 */
#pragma once

#include "proxy/internal.h"

/* ---- upstream -------------------------------------------------------------------------------- */

struct px_pool_key {
	uint64_t netns;
	struct px_addr_key addr;
	uint32_t pad;
};

/* Connections of one worker to one address from one namespace. */
struct px_pool {
	struct hr_list link;
	struct px_pool_key key;
	struct hr_plan_conns conns; /* without name */
	struct hr_list idle;	    /* newest first */
	unsigned n_idle, n_all;
	struct hr_list h2; /* struct px_h2: connections of HTTP/2 */
};

enum px_up_state {
	PX_UP_SOCKET, /* the socket is being made in its namespace */
	PX_UP_CONNECTING,
	PX_UP_PREFACE, /* connected; its server must hear something of ours first (preface.c) */
	PX_UP_READY,
	PX_UP_IDLE,
	PX_UP_FAILED, /* s.error says why; ETIMEDOUT: connect timeout */
};

struct px_up {
	struct px_side s;
	struct px_worker *w;
	struct px_pool *pool;
	struct hr_list link; /* pool->idle */
	enum px_up_state state;
	struct px_client *owner;
	struct px_sock_job *job;
	struct hr_timer timer;	   /* connect; idle: how long it is kept */
	uint64_t born, idle_since; /* ms */
	uint32_t nreq;
	bool reused;
	struct px_preface *preface; /* NULL: it speaks for anybody */
	struct px_relay *relay;	    /* U, lent by the holder: not of a pool, not ours to close */
	/* HTTP/2: of the connection, what it carries; of a stream, its connection and itself */
	struct px_h2 *carries;
	struct px_h2 *h2;
	struct hr_h2_stream *stream;
	bool refused;
};

/* A connection for `owner`: idle unless `fresh`, else a new one on its way. `conns` NULL: of no
 * cluster. NULL: no memory, or no descriptor. The owner is run when its state changes. */
struct px_up *px_up_get(struct px_client *owner, const struct hr_addr *addr, uint16_t port,
			const struct hr_plan_conns *conns, bool fresh);
void px_keep_alive(int fd, const struct hr_plan_conns *conns);
/* The pool of an address; `conns` as above. NULL: no memory. */
struct px_pool *px_pool_of(struct px_worker *w, uint64_t netns, const struct hr_addr *addr,
			   uint16_t port, const struct hr_plan_conns *conns);
/* A new connection on its way; `owner` may be NULL. */
struct px_up *px_up_new(struct px_worker *w, struct px_pool *p, struct px_client *owner);
/* More of the answer, as px_side_read. */
size_t px_up_read(struct px_up *u);
/* What waits in `o`, then p, as px_side_write. */
size_t px_up_write(struct px_up *u, struct px_out *o, const char *p, size_t n);
/* Back to the pool. */
void px_up_idle(struct px_up *u);
void px_up_close(struct px_up *u);
int px_up_watch(struct px_up *u);
/* Nobody waits for it any more: it becomes idle once it is connected. */
void px_up_orphan(struct px_up *u);
/* The helper thread has made the socket; in the worker. */
void px_up_socket(struct px_sock_job *job);
/* Still open, as far as one look can tell. */
bool px_up_alive(struct px_up *u);
/* Closes idle connections that are old, or to addresses that left the plan. */
void px_up_sweep(struct px_worker *w);
void px_up_close_all(struct px_worker *w);
