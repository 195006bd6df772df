// SPDX-License-Identifier: Apache-2.0
/*
 * Mirrors: a copy of the request, its answer thrown away. The copy is a request of a client that
 *has no socket, so everything that is true of requests (balancing, breakers, outliers, timeouts) is
 * true of copies. It starts when the whole request is here; the primary never waits for it.
 *
 *	r: head --copy--> m, in r->copies; body bytes as they come --copy--> m->s.in
 *	r: body complete ------> m runs, in worker->mirrors, until its answer is over
 *
 * Bounds: HR_MIRRORS_MAX copies of a worker, HR_MIRROR_BODY_MAX bytes of body,
 *HR_MIRROR_TIMEOUT_MS. A copy that does not fit is dropped and counted.
 */
#include <stdlib.h>

#include "core/cleanup.h"
#include "proxy/internal.h"

static void lost(struct px_worker *w, enum hr_mirror_lost why)
{
	PX_COUNT(w->mirror_lost[why]);
}

/* ---- making a copy ---- */

/* As the primary's client, without what ties it to a connection. */
struct px_client *px_mirror_client(const struct px_client *c)
{
	struct px_client *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	*m = (struct px_client){.w = c->w,
				.s.fd = -1,
				.mirror = true,
				.state = PX_CLIENT_REQUEST,
				.netns = c->netns,
				.cookie = c->cookie,
				.dst = c->dst,
				.dst_port = c->dst_port,
				.src = c->src,
				.src_port = c->src_port,
				.proto = c->proto,
				.http_seen = true,
				.close = true};
	hr_list_init(&m->link);
	m->req = px_req_new(m);
	if (!m->req) {
		free(m);
		return NULL;
	}
	c->w->n_mirrors++;
	return m;
}

static bool copy_head(struct px_req *q, const struct px_req *r)
{
	if (q->head_cap < r->msg.head_len) {
		char *p = realloc(q->head, r->msg.head_len);

		if (!p)
			return false;
		q->head = p;
		q->head_cap = r->msg.head_len;
	}
	memcpy(q->head, r->msg.base, r->msg.head_len);
	q->msg = r->msg;
	q->msg.base = q->head;
	hr_http_body_init(&q->body, &q->msg);
	px_out_add(&q->path, r->path.p, r->path.len);
	px_out_lit(&q->path, "\0");
	q->path.len--;
	px_out_add(&q->new_path, r->new_path.p, r->new_path.len);
	return true;
}

static void copy(struct px_req *r, const struct hr_plan_mirror *to)
{
	const struct hr_plan *plan = r->hold->plan;
	const struct hr_plan_cluster *cluster =
		px_cluster_seen(r->c, plan, &plan->clusters.data[to->cluster]);
	struct px_worker *w = r->c->w;
	struct px_client *m;

	if (!hr_plan_has_place(cluster))
		return lost(w, HR_MIRROR_NO_ENDPOINT);
	if (r->msg.upgrade)
		return lost(w, HR_MIRROR_UPGRADE);
	m = w->n_mirrors < HR_MIRRORS_MAX ? px_mirror_client(r->c) : NULL;
	if (!m)
		return lost(w, HR_MIRROR_BUSY);
	hr_list_add_tail(&r->copies, &m->link);
	m->req->match = r->match;
	m->req->dst = r->dst; /* its header operations are those of what the server got */
	m->req->hold = px_hold_more(r->hold);
	m->req->cluster = cluster;
	m->req->cluster_id = cluster->id;
	if (!copy_head(m->req, r)) {
		lost(w, HR_MIRROR_BUSY);
		px_client_close(m, false);
	}
}

/* ---- running it ---- */

static void start(struct px_client *m)
{
	struct px_req *q = m->req;

	hr_list_del(&m->link);
	hr_list_add_tail(&m->w->mirrors, &m->link);
	q->begun = true;
	q->t0_us = px_now_us();
	PX_COUNT(m->w->mirrored);
	PX_COUNT(m->w->active);
	px_hash(q);
	px_retry_setup(q);
	q->attempts_left = 0;
	q->wire.keep = false;
	px_head_request(q);
	if (q->body.done)
		px_req_received(q);
	px_breaker_enter(q);
	px_client_run(m);
}

static void start_all(struct px_req *r)
{
	while (!hr_list_empty(&r->copies))
		start(hr_list_entry(r->copies.next, struct px_client, link));
}

void px_mirror(struct px_req *r)
{
	const struct hr_plan_route *route = r->match.route;

	for (uint32_t i = 0; i < route->n_mirrors; i++)
		if (px_share(r->c->w, route->mirrors[i].ppm))
			copy(r, &route->mirrors[i]);
	if (r->body.done)
		start_all(r);
}

void px_mirror_head(struct px_req *r)
{
	const struct hr_plan_route *route = r->match.route;
	int64_t most = 0;

	for (uint32_t i = 0; i < route->n_mirrors; i++)
		most = HR_MAX(most, (int64_t)route->mirrors[i].ppm);
	for (uint32_t i = 0; i < route->n_mirrors; i++)
		if (px_share(r->c->w, (int32_t)(route->mirrors[i].ppm * 1000000LL / most)))
			copy(r, &route->mirrors[i]);
	start_all(r);
}

void px_mirror_body(struct px_req *r, const char *p, size_t n)
{
	struct px_worker *w = r->c->w;

	hr_list_for_each (l, &r->copies) {
		struct px_client *m = hr_list_entry(l, struct px_client, link);
		struct px_buf *in = &m->s.in;

		if (px_buf_len(in) + n > HR_MIRROR_BODY_MAX || (n && px_buf_room(w, in) < n)) {
			lost(w, HR_MIRROR_BODY);
			px_client_close(m, false);
			continue;
		}
		if (n)
			memcpy(in->p + in->end, p, n);
		in->end += (uint32_t)n;
	}
	if (r->body.done)
		start_all(r);
}

void px_mirror_cut(struct px_req *r)
{
	while (!hr_list_empty(&r->copies)) {
		lost(r->c->w, HR_MIRROR_CUT);
		px_client_close(hr_list_entry(r->copies.next, struct px_client, link), false);
	}
}

void px_mirrors_close(struct px_worker *w)
{
	hr_list_for_each (l, &w->mirrors)
		px_client_close(hr_list_entry(l, struct px_client, link), false);
}

const char *hr_mirror_lost_text(enum hr_mirror_lost why)
{
	static const char *const words[] = {
		[HR_MIRROR_BUSY] = "too-many",		 [HR_MIRROR_BODY] = "body-too-long",
		[HR_MIRROR_NO_ENDPOINT] = "no-endpoint", [HR_MIRROR_CUT] = "cut-short",
		[HR_MIRROR_UPGRADE] = "upgrade",
	};

	return words[why];
}
