// SPDX-License-Identifier: Apache-2.0
/*
 * Mirrors of requests that the kernel carried: it sends us their heads. Each is read and matched
 * again by a worker that does nothing else, as if a client without a socket had sent it, and then
 * only copied.
 *
 *	ring --every LOOK_MS, while something comes: on_copy--> px_mirror_head --> mirror.c
 *
 * Nobody waits for copies, and those who wait for answers want the processors. So the worker looks
 * into the ring from time to time instead of being woken for each request (which cost more than the
 * rest of a copy, and most of it in the client's own send), and it comes after all others where the
 * processors are full: then the ring fills, and the kernel counts what it could not tell.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"
#include "proxy/worker.h"

#define LOOK_MS 1
#define LOOK_MOST 256 /* heads of one look */
/* With HR_MIRRORS_MAX copies under way the ring waits for one that ends, but no longer than this:
 * then what is in it is dropped, since a late copy is of little use. */
#define STUCK_MS 100
#define NICE 19

struct px_copier {
	struct px_worker *w;
	struct hr_copies *ring;
	struct hr_watch *watch;
	struct hr_timer look;
	uint64_t room_at; /* loop ms: there was room for a copy */
};

static bool read_head(struct px_req *r, const char *head, size_t n)
{
	if (r->head_cap < n) {
		char *p = realloc(r->head, n);

		if (!p)
			return false;
		r->head = p;
		r->head_cap = n;
	}
	memcpy(r->head, head, n);
	if (hr_http_parse(&r->msg, r->head, n) != HR_HTTP_OK || r->msg.head_len != n)
		return false;
	r->msg.base = r->head;
	hr_http_body_init(&r->body, &r->msg);
	return r->body.done;
}

/* The plan may be another one by now: the rule must be the one that the kernel has followed. */
static bool same_rule(struct px_req *r, uint32_t route)
{
	r->hold = px_hold_get(r->c->w);
	return r->hold && px_req_canonical(r) && px_req_match(r) && r->match.route &&
	       r->match.route->id == route && px_rewrite_path(r);
}

static void on_copy(void *ctx, const struct hr_copy *copy, const char *head)
{
	struct px_copier *p = ctx;
	struct px_worker *w = p->w;
	struct px_client like = {.w = w,
				 .netns = copy->netns == w->px->own_netns ? 0 : copy->netns,
				 .cookie = copy->conn,
				 .dst_port = ntohs(copy->dst_port_be),
				 .proto = HR_PROTO_HTTP1};
	struct px_client *c;

	if (w->draining)
		return;
	memcpy(like.dst.ip, copy->dst_ip, sizeof(like.dst.ip));
	c = w->n_mirrors < HR_MIRRORS_MAX ? px_mirror_client(&like) : NULL;
	if (!c) {
		PX_COUNT(w->mirror_lost[HR_MIRROR_BUSY]);
		return;
	}
	c->source = px_source_get(w->px, copy->workload);
	if (read_head(c->req, head, copy->head_len) && same_rule(c->req, copy->route))
		px_mirror_head(c->req);
	else
		PX_COUNT(w->mirror_lost[HR_MIRROR_CUT]);
	px_client_close(c, false);
}

/* Until a look finds nothing: whatever comes after that finds an empty ring, and wakes us. */
static void look(void *ctx)
{
	struct px_copier *p = ctx;
	struct px_worker *w = p->w;
	unsigned room = HR_MIRRORS_MAX - HR_MIN(w->n_mirrors, (unsigned)HR_MIRRORS_MAX);
	bool stuck = !room && hr_loop_now(w->loop) - p->room_at >= STUCK_MS;

	if (room)
		p->room_at = hr_loop_now(w->loop);
	if ((!room && !stuck) ||
	    hr_copies_take(p->ring, stuck ? LOOK_MOST : HR_MIN(room, (unsigned)LOOK_MOST)))
		hr_timer_start(w->loop, &p->look, LOOK_MS, look, p);
}

static void on_ring(void *ctx, uint32_t events)
{
	struct px_copier *p = ctx;

	(void)events;
	if (!hr_timer_running(&p->look))
		hr_timer_start(p->w->loop, &p->look, LOOK_MS, look, p);
}

static void begin(void *ctx)
{
	struct px_copier *p = ctx;
	int r;

	setpriority(PRIO_PROCESS, 0, NICE); /* of this thread */
	r = hr_watch_add(p->w->loop, hr_copies_fd(p->ring), EPOLLIN | EPOLLET, on_ring, p,
			 &p->watch);
	if (r)
		hr_err("requests that the kernel carries are not mirrored: %s", strerror(-r));
}

int px_copier_start(struct hr_proxy *px)
{
	struct px_worker *w = &px->workers[px->n_workers];
	struct px_copier *p;
	int r = px_worker_start(px, w, px->n_workers);

	if (r)
		return r;
	px->n_workers++; /* which ends it */
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	w->copier = p;
	p->w = w;
	r = hr_copies_new(px->opts.kern, on_copy, p, &p->ring);
	return r ? r : hr_loop_post(w->loop, begin, p);
}

void px_copier_free(struct px_copier *p)
{
	if (!p)
		return;
	hr_watch_del(p->watch);
	hr_timer_stop(&p->look);
	hr_copies_free(p->ring);
	free(p);
}
