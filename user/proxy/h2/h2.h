/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 connections of the proxy. Each stream of a client's connection is a px_client, each stream
 * towards a server a px_up; both read and write HTTP/1 text (http/h2.h), so the request engine does
 * not know of them.
 *
 *	px_client (PX_CLIENT_H2) -- px_h2 -- hr_h2_stream -- px_client -- px_req
 *	                                                                  px_up -- hr_h2_stream --
 *px_h2 -- px_up
 *
 * Frames are made at the end of a loop turn, all of a connection at once (px_h2_touch). Only events
 * of the connection itself, and that, may end it: a stream's user never does.
 */
#pragma once

#include "http/h2.h"
#include "proxy/internal.h"

struct px_client;
struct px_pool;
struct px_req;
struct px_up;

struct px_h2 {
	struct px_worker *w;
	struct hr_h2 *h;
	struct hr_list dirty; /* worker->h2_dirty */
	bool due;	      /* frames are to be made now */
	bool running, rerun;
	bool draining; /* no new streams */
	struct hr_timer timer;
	struct px_client *c; /* down.c: the client's connection */
	/* up.c */
	struct px_up *u;	/* the server's connection, NULL: gone */
	struct hr_list link;	/* pool->h2 */
	struct hr_list streams; /* px_up.link */
	unsigned n;
	uint32_t
		cluster; /* whose requests it carries, of one with maxConnections; 0: any other's */
	bool placed;	 /* counted in cluster_rt.h2_connections: it has streams */
	uint64_t placed_since;			      /* ms */
	uint64_t nreq, max_requests, max_streams;     /* 0: no limit */
	uint64_t born, idle_since, max_age, max_idle; /* ms */
	bool ready;
	uint64_t ping_ms, pong_ms, pongs; /* http2KeepAlive: interval, timeout; 0: none */
};

/* Frames wait, perhaps: they are sent at the end of this turn. */
void px_h2_touch(struct px_h2 *x);
/* At a worker's end, when its clients are closed: those that wait for a last flush. */
void px_h2_free_dirty(struct px_worker *w);
/* hr_h2_read into a side's input, as px_side_read. */
size_t px_h2_read(struct px_worker *w, struct hr_h2_stream *s, struct px_side *side);
/* hr_h2_write of what waits in `o`, then p. */
size_t px_h2_write(struct hr_h2_stream *s, struct px_out *o, const char *p, size_t n);

/* ---- clients (down.c) ---- */
/* The preface was seen: the connection speaks HTTP/2 from here on. */
bool px_h2_start(struct px_client *c);
/* The request in c->req wants to go on in HTTP/2 (RFC 7540 section 3.2), and may: it becomes stream
 * 1. A request with a body stays HTTP/1.1. */
bool px_h2_upgrade(struct px_client *c);
bool px_h2_down_run(struct px_client *c);
void px_h2_down_drain(struct px_client *c);
/* When its connection has been idle for too long, ms. */
uint64_t px_h2_down_due(const struct px_client *c);
void px_h2_down_end(struct px_client *c);
size_t px_h2_stream_read(struct px_client *c);
size_t px_h2_stream_write(struct px_client *c, const char *p, size_t n);
void px_h2_stream_end(struct px_client *c, bool reset);

/* ---- servers (up.c) ---- */
/* Does the server of this try get HTTP/2? */
bool px_h2_upstream(const struct px_req *r);
/* As px_up_get: a stream of a connection that has room for one, or of a new connection. *full: it
 * has to wait for one, all that the cluster may have are in use; else unchanged. */
struct px_up *px_h2_up_get(struct px_req *r, bool *full);
/* An event of the connection. */
void px_h2_up_run(struct px_h2 *x);
void px_h2_up_free(struct px_h2 *x);
size_t px_h2_up_read(struct px_up *u);
size_t px_h2_up_write(struct px_up *u, struct px_out *o, const char *p, size_t n);
void px_h2_up_done(struct px_up *u);
void px_h2_pool_sweep(struct px_pool *p, bool gone, uint64_t now);
/* Its connections take no new streams: those that come get others. */
void px_h2_pool_retire(struct px_pool *p);
void px_h2_pool_close(struct px_pool *p);
