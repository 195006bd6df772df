// SPDX-License-Identifier: Apache-2.0
/*
 * Answers of moved requests that the kernel leaves to us (long, chunked, of unknown end), and our
 * own answer where the server broke off. A client without input is made of a lent G slot: what is
 * written to it is injected into C; the upstream side is U, whose answer is read like any other.
 *
 *	holder: RELAY event -> px_relay_start --post--> worker: lend a G slot, relay
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

/* The request as the kernel has sent it: only its answer is left to do. */
static void prepare(struct px_relay *r, struct px_req *q)
{
	q->begun = q->bad = q->relayed = true;
	q->body.done = q->req_sent = q->any_sent = q->stale_retried = true;
	q->msg.minor = 1;
	q->t0_us = r->t0_ns / 1000;
	q->req_bytes = r->tx;
	q->route_id = r->route;
	q->ep_id = r->ep;
	q->cluster_id = r->cluster;
	q->in_ep = r->ep && r->ep < HR_EPS_MAX;
	q->in_cluster = r->cluster && r->cluster < HR_CLUSTERS_MAX;
	q->why = HR_WHY_RELAY;
	q->tries = 1;
	q->state = PX_REQ_EXCHANGE;
	PX_COUNT(r->w->active);
	hr_http_init(&q->resp, HR_HTTP_RESPONSE, r->head_request);
	if (!r->left)
		return;
	/* C has the head and a part of the body; bytes that follow the answer make U useless */
	q->resp_head = q->started = true;
	q->mode = PX_BODY_RAW;
	q->resp_body = (struct hr_http_body){.framing = HR_BODY_LENGTH, .left = r->left};
}

static void start(struct px_relay *r, struct px_gslot *g)
{
	struct px_client *c = px_g_lend(g, r->conn);
	struct px_req *q = c ? px_req_new(c) : NULL;

	if (!q) {
		if (c)
			px_client_close(c, true);
		give_back(r);
		return;
	}
	c->relay = r;
	c->req = q;
	c->close = g->end = r->end;
	c->state = PX_CLIENT_REQUEST;
	prepare(r, q);
	if (r->fail) {
		px_outlier(q, 503, true);
		px_reply(q, 503, "UC", PX_BODY_UC);
	} else {
		q->up = borrow(r, c);
	}
	if (r->fail || q->up)
		px_client_run(c);
	else
		px_client_close(c, true);
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

int px_relay_start(struct px_u *u, uint32_t gen, bool fail)
{
	struct px_holder *h = u->pool->holder;
	const struct hr_u *e = &hr_kern_u(h->kern)[u->slot];
	struct px_relay *r = calloc(1, sizeof(*r));
	struct hr_conn conn = {};
	int e2;

	if (!r)
		return -ENOMEM;
	hr_kern_conn_get(h->kern, e->conn, &conn);
	*r = (struct px_relay){
		.h = h,
		.u = u,
		.w = &h->px->workers[h->next_worker],
		.slot = u->slot,
		.gen = gen,
		.fd = u->fd,
		.fail = fail,
		.head_request = conn.head_req,
		.left = fail ? 0 : e->left,
		.conn = e->conn,
		.t0_ns = e->t0,
		.tx = e->tx,
		.ep = e->ep,
		.cluster = e->cluster,
		.route = e->route,
	};
	h->next_worker = (h->next_worker + 1) % h->px->n_workers;
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

void px_relay_lost(struct px_holder *h, const struct hr_event *ev)
{
	bool silent = ev->kind == HR_EV_END && !ev->status;
	struct px_relay *r = silent ? NULL : calloc(1, sizeof(*r));

	if (r) {
		*r = (struct px_relay){.h = h,
				       .end = ev->kind == HR_EV_END,
				       .w = &h->px->workers[h->next_worker],
				       .slot = HR_U_SLOTS,
				       .fd = -1,
				       .fail = true,
				       .conn = ev->conn,
				       .t0_ns = px_now_ns()};
		h->next_worker = (h->next_worker + 1) % h->px->n_workers;
		if (!hr_loop_post(r->w->loop, find_slot, r))
			return;
		free(r);
	}
	hr_kern_conn_shutdown(h->kern, ev->conn);
}
