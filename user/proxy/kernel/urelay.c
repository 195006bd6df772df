// SPDX-License-Identifier: Apache-2.0
/*
 * Answers that the kernel leaves to us: of moved requests, when they are long, chunked, of unknown
 * end, or to be tried again; and of any request, when its server broke off, was late, or gave an
 * answer that is to be tried again. A client without input is made of a lent G slot: what is
 * written to it is injected into C. Its request is the one that the kernel has sent (resume.c); the
 * upstream side is U, whose answer is read like any other, or there is none, and the first try has
 * failed.
 *
 *	holder: RELAY, TAKEN -> px_relay_start, px_relay_taken --post--> worker: lend a G slot
 *	holder: px_u_returned <--post-- word RELAY -> FREE or DEAD, slot given back
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/kernel/holder.h"

/* Every G slot of the worker is in use: look again, for five seconds. */
#define SLOT_WAIT_MS 2
#define SLOT_TRIES 2500

static void returned(void *ctx)
{
	px_u_returned(ctx);
}

/* The worker's last touch. */
static void give_back(struct px_relay *r)
{
	struct hr_u *e = r->slot < HR_U_SLOTS ? &hr_kern_u(r->h->kern)[r->slot] : NULL;
	uint64_t expect = HR_WORD(HR_U_RELAY, r->gen), next;

	if (r->owes)
		hr_kern_conn_owes(r->h->kern, r->conn, false);
	if (e) {
		next = HR_WORD(r->reusable && e->uses ? HR_U_FREE : HR_U_DEAD, r->gen);
		e->t0 = px_now_ns();
		__atomic_compare_exchange_n(&e->word, &expect, next, false, __ATOMIC_ACQ_REL,
					    __ATOMIC_ACQUIRE);
	}
	if (hr_loop_post(r->h->loop, returned, r) < 0)
		hr_err("out of memory: an upstream connection is lost");
}

void px_relay_up_done(struct px_up *u, bool reusable)
{
	struct px_relay *r = u->relay;

	r->reusable = reusable && !u->s.hup && !u->s.eof && !u->s.error && !px_buf_len(&u->s.in) &&
		      !r->left;
	hr_watch_del(TAKE_PTR(u->s.watch));
	px_buf_drop(u->w, &u->s.in);
	free(u);
}

void px_relay_client_done(struct px_client *c)
{
	give_back(TAKE_PTR(c->relay));
}

/* ---- in the worker ---- */

static struct px_up *borrow(struct px_relay *r, struct px_client *c)
{
	struct px_up *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	*u = (struct px_up){.w = r->w,
			    .s.fd = r->fd,
			    .s.readable = true,
			    .owner = c,
			    .state = PX_UP_READY,
			    .relay = r};
	hr_list_init(&u->link);
	if (px_up_watch(u)) {
		free(u);
		return NULL;
	}
	return u;
}

/* The request as the kernel has sent it, whose head is not known yet. */
static void prepare(struct px_relay *r, struct px_req *q)
{
	q->begun = q->bad = q->relayed = true;
	q->body.done = q->req_sent = q->any_sent = true;
	q->msg.minor = 1;
	q->t0_us = r->t0_ns / 1000;
	q->req_bytes = r->tx;
	q->route_id = r->route;
	q->ep_id = r->ep;
	q->cluster_id = r->cluster;
	q->in_ep = r->ep && r->ep < HR_EPS_MAX;
	q->in_cluster = r->cluster && r->cluster < HR_CLUSTERS_MAX;
	q->why = r->why ? HR_WHY_TAKEN : HR_WHY_RELAY;
	q->tries = 1;
	q->last_reused = r->reused;
	q->state = PX_REQ_EXCHANGE;
	PX_COUNT(r->w->active);
	hr_http_init(&q->resp, HR_HTTP_RESPONSE, r->of.head_req);
}

/* C has the head and a part of the body; bytes that follow the answer make U useless. */
static void begun_already(struct px_relay *r, struct px_req *q)
{
	q->resp_head = q->started = true;
	q->mode = PX_BODY_RAW;
	q->resp_body = (struct hr_http_body){.framing = HR_BODY_LENGTH, .left = r->left};
}

/* The answer that was kept back, when no other may be had. */
static void give_held(struct px_relay *r, struct px_req *q)
{
	char held[HR_KRESP_MAX];

	if (!r->held || r->held > sizeof(held) || hr_kern_conn_held(r->h->kern, r->conn, held)) {
		px_reply(q, r->status, q->flags, "");
		return;
	}
	px_req_leave(q, false);
	hr_timer_stop(&q->timeout);
	px_out_add(&q->c->out, held, r->held);
	q->status = r->status;
	q->resp_bytes = r->held;
	q->started = q->resp_done = true;
	q->state = PX_REQ_REPLY;
}

/* Why the kernel gave up is what has become of the first try. */
static void first_try(struct px_relay *r, struct px_req *q)
{
	switch (r->why) {
	case HR_TAKEN_TIMEOUT:
		q->timed_out = true;
		break;
	case HR_TAKEN_TRY_TIMEOUT:
		q->try_timed_out = true;
		break;
	case HR_TAKEN_STATUS:
		px_outlier(q, r->status, false);
		if (!px_retry_status(q, r->status))
			give_held(r, q);
		break;
	default:
		px_req_failed(q, PX_FAIL_RESET);
		break;
	}
}

static void start(struct px_relay *r, struct px_gslot *g)
{
	struct px_client *c = px_g_lend(g, r->conn, &r->of);
	struct px_req *q = c ? px_req_new(c) : NULL;
	char head[HR_KHEAD_MAX];
	int64_t n;

	if (!q) {
		if (c)
			px_client_close(c, true);
		px_inflight_lower(r->w->px, r->ep, r->cluster);
		give_back(r);
		return;
	}
	c->relay = r;
	c->req = q;
	c->close = g->end = r->end;
	c->state = PX_CLIENT_REQUEST;
	prepare(r, q);
	if (r->left)
		begun_already(r, q);
	if (!r->why)
		q->up = borrow(r, c);
	n = r->end ? 0 : hr_kern_conn_head(r->h->kern, r->conn, head);
	if (n > 0 && px_req_resume(q, head, (size_t)n))
		px_req_elapsed(q, (px_now_ns() - r->t0_ns) / 1000000);
	/* it asked for the end of its connection, and no server will make it */
	if (!q->bad && !q->msg.keep_alive)
		c->close = g->end = true;
	if (!r->why && !q->up) {
		px_client_close(c, true);
		return;
	}
	if (r->why)
		first_try(r, q);
	px_client_run(c);
}

static void find_slot(void *ctx)
{
	struct px_relay *r = ctx;

	hr_list_for_each (l, &r->w->gslots) {
		struct px_gslot *g = hr_list_entry(l, struct px_gslot, link);

		if (g->client || g->draining || hr_kern_inject_to(r->h->kern, g->slot, r->conn))
			continue;
		/* those at the front of the list were used last */
		hr_list_del(&g->link);
		hr_list_add_tail(&r->w->gslots, &g->link);
		start(r, g);
		return;
	}
	if (++r->tries < SLOT_TRIES) {
		hr_timer_start(r->w->loop, &r->timer, SLOT_WAIT_MS, find_slot, r);
		return;
	}
	hr_warn("no agent slot for the answer of a moved request: its client is cut off");
	px_inflight_lower(r->w->px, r->ep, r->cluster);
	hr_kern_conn_shutdown(r->h->kern, r->conn);
	give_back(r);
}

/* ---- in the holder ---- */

static struct px_worker *next_worker(struct px_holder *h)
{
	struct px_worker *w = &h->px->workers[h->next_worker];

	h->next_worker = (h->next_worker + 1) % h->px->n_serving;
	return w;
}

int px_relay_start(struct px_u *u, uint32_t gen, bool lost)
{
	struct px_holder *h = u->pool->holder;
	const struct hr_u *e = &hr_kern_u(h->kern)[u->slot];
	struct px_relay *r = calloc(1, sizeof(*r));
	int e2;

	if (!r)
		return -ENOMEM;
	*r = (struct px_relay){
		.h = h,
		.u = u,
		.w = next_worker(h),
		.slot = u->slot,
		.gen = gen,
		.fd = u->fd,
		.why = lost ? HR_TAKEN_LOST : 0,
		.owes = lost,
		.reused = lost, /* they are opened ahead of need */
		.left = lost ? 0 : e->left,
		.conn = e->conn,
		.t0_ns = e->t0,
		.tx = e->tx,
		.ep = e->ep,
		.cluster = e->cluster,
		.route = e->route,
	};
	hr_kern_conn_get(h->kern, e->conn, &r->of);
	u->relay = r;
	u->state = PX_U_RELAYED;
	e2 = hr_loop_post(r->w->loop, find_slot, r);
	if (!e2)
		return 0;
	u->relay = NULL;
	u->state = PX_U_LISTED;
	free(r);
	return e2;
}

void px_relay_taken(struct px_holder *h, const struct hr_event *ev)
{
	bool end = ev->kind == HR_EV_END;
	bool silent = end ? !ev->status : ev->why == HR_TAKEN_CUT;
	struct px_relay *r = silent ? NULL : calloc(1, sizeof(*r));

	if (r) {
		*r = (struct px_relay){.h = h,
				       .end = end,
				       .w = next_worker(h),
				       .slot = HR_U_SLOTS,
				       .fd = -1,
				       .why = end ? HR_TAKEN_LOST : ev->why,
				       .owes = !end,
				       .reused = ev->slot == HR_U_SLOTS && ev->gen,
				       .held = ev->bytes,
				       .status = ev->status,
				       .conn = ev->conn,
				       .t0_ns = end ? px_now_ns() : ev->t0,
				       .tx = ev->tx,
				       .ep = ev->ep,
				       .cluster = ev->cluster,
				       .route = ev->route};
		hr_kern_conn_get(h->kern, ev->conn, &r->of);
	}
	if (!end && ev->slot < HR_U_SLOTS)
		px_u_event(h, ev);
	if (r && !hr_loop_post(r->w->loop, find_slot, r))
		return;
	free(r);
	if (!silent)
		px_inflight_lower(h->px, ev->ep, ev->cluster);
	hr_kern_conn_shutdown(h->kern, ev->conn);
}
