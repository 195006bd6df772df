// SPDX-License-Identifier: Apache-2.0
/*
 * Door G on the worker's side: a slot whose connection the kernel bound to us. C's bytes are read
 * from p like from any client; what is written to p goes straight into C's receive queue, so it is
 * metered by what C has drained. When C is at a boundary it gets its native path back.
 *
 *	slot FREE --(sk_msg binds C, bytes arrive)--> client --release--> FREE, gen + 1
 *	                                                |
 *	                          C closes: rest read and dropped, then FREE, gen + 1
 */
#include <errno.h>
#include <netinet/in.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"

/* How often C's queue is looked at while its window is full, or native bytes are on their way. */
#define WAIT_MIN_MS 1
#define WAIT_MAX_MS 10
/* How often a client is looked for whose end is no event of the slot (it is lent), or was awaited
 * for so long that its event may have found the ring full. */
#define GONE_MS 250
/* C is closed: how often its last bytes are looked for. */
#define DRAIN_MS 5
#define DRAIN_TRIES 20
/* An edge-triggered client that found its way full is woken after this many bytes, if then there
 * is room: less than its way holds, so that it always comes to that. */
#define WAKE_BYTES (32 * 1024)

static struct hr_kern *kern_of(const struct px_gslot *g)
{
	return g->w->px->opts.kern;
}

static struct hr_g *entry_of(const struct px_gslot *g)
{
	return &hr_kern_g(kern_of(g))[g->slot];
}

static uint64_t word_of(const struct px_gslot *g)
{
	return __atomic_load_n(&entry_of(g)->word, __ATOMIC_ACQUIRE);
}

static bool set_free(struct px_gslot *g, uint64_t bytes)
{
	uint64_t expect = HR_G_WORD(HR_G_BOUND, g->gen, bytes);
	uint64_t next = HR_G_WORD(HR_G_FREE, g->gen + 1, 0);
	char junk[4096];

	/* what was written for a client that had gone went to g (bpf/inject.bpf.c) */
	while (recv(g->g, junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
	return __atomic_compare_exchange_n(&entry_of(g)->word, &expect, next, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* Every byte that C put into g has arrived at p. (The count in the word may be ahead of the truth:
 * a send that was cut short by a full buffer.) */
static bool all_arrived(const struct px_gslot *g)
{
	int waiting = 0;

	return !ioctl(g->g, SIOCOUTQ, &waiting) && !waiting;
}

/* ---- a connection comes ---- */

static void serve(struct px_gslot *g, struct px_client *c)
{
	g->credit = g->since_wake = 0;
	g->gone = g->released = g->lent = g->end = false;
	g->client = c;
	c->g = g;
	c->s.readable = c->s.writable = c->s.patient = true;
	PX_COUNT(g->w->bound);
}

static void bound(struct px_gslot *g, uint64_t word)
{
	const struct hr_g *e = entry_of(g);
	struct hr_door door = {.conn = e->conn,
			       .dst_port_be = e->dst_port_be,
			       .proto = e->proto,
			       .why = e->why,
			       .workload = e->workload};
	uint64_t netns = e->netns == g->w->px->own_netns ? 0 : e->netns;
	struct px_client *c;
	uint8_t flags;

	memcpy(door.dst_ip, e->dst_ip, sizeof(door.dst_ip));
	c = px_client_new(g->w, g->p, &door, netns);
	if (!c) {
		hr_err("out of memory: a bound connection is not served");
		return;
	}
	g->gen = HR_G_GEN(word);
	g->cookie = e->conn;
	serve(g, c);
	flags = __atomic_load_n(&e->flags, __ATOMIC_ACQUIRE);
	g->answered = !(flags & HR_G_WAIT_NATIVE);
	c->http_seen = flags & HR_G_HTTP;
	/* too little to tell what it is: the bytes that follow decide, as at door A */
	if (e->proto == HR_PROTO_AUTO && !c->http_seen)
		c->state = PX_CLIENT_DETECT;
	memcpy(c->src.ip, e->src_ip, sizeof(c->src.ip));
	c->src_port = ntohs(e->src_port_be);
}

static void drain(struct px_gslot *g);

static void on_slot(void *ctx, uint32_t events)
{
	struct px_gslot *g = ctx;
	uint64_t word;
	char byte;

	if (g->client) {
		/* the pair is the agent's own: its hang-up says nothing of C */
		px_side_event(&g->client->s, events & (EPOLLIN | EPOLLOUT));
		px_client_run(g->client);
		return;
	}
	if (g->draining) {
		drain(g);
		return;
	}
	/* the slot is described before its first byte comes: not before that is it read */
	if (!(events & EPOLLIN) || recv(g->p, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
		return;
	word = word_of(g);
	if (HR_G_STATE(word) != HR_G_BOUND)
		return;
	bound(g, word);
	if (g->client)
		px_client_run(g->client);
}

/* ---- reading ---- */

/* C did shutdown(SHUT_WR): once everything it sent is here, no more comes. */
static void check_eof(struct px_client *c)
{
	struct px_gslot *g = c->g;

	if (!(__atomic_load_n(&entry_of(g)->flags, __ATOMIC_ACQUIRE) & HR_G_CLIENT_EOF))
		return;
	if (!all_arrived(g)) {
		px_g_wait(g);
		return;
	}
	c->s.readable = true; /* bytes may have come since the last look */
	if (!px_side_read(c->w, &c->s) && !c->s.readable)
		c->s.eof = true;
}

size_t px_g_read(struct px_client *c)
{
	struct px_gslot *g = c->g;
	size_t n = px_side_read(c->w, &c->s);

	if (!n && !c->s.readable && !c->s.eof) {
		uint64_t before = c->s.got;

		check_eof(c);
		n = c->s.got - before;
	}
	g->since_wake += n;
	/* the count in the word is ahead of what came: a send was cut short, or is on its way */
	if (!c->s.readable && g->since_wake >= WAKE_BYTES && HR_G_BYTES(word_of(g)) != c->s.got) {
		g->since_wake = 0;
		hr_kern_conn_wake(kern_of(g), g->cookie);
	}
	return n;
}

/* ---- writing ---- */

static void look_again(void *ctx)
{
	struct px_gslot *g = ctx;

	if (g->client) {
		if (g->lent && hr_kern_conn_queued(kern_of(g), g->cookie) == -ENOENT)
			g->client->peer_gone = true;
		px_client_run(g->client);
		if (g->lent && !hr_timer_running(&g->timer))
			hr_timer_start(g->w->loop, &g->timer, GONE_MS, look_again, g);
	} else if (g->draining) {
		drain(g);
	}
}

void px_g_wait(struct px_gslot *g)
{
	g->wait_ms = g->wait_ms ? HR_MIN(2 * g->wait_ms, (uint32_t)WAIT_MAX_MS) : WAIT_MIN_MS;
	if (!hr_timer_running(&g->timer) || g->timer.at > hr_loop_now(g->w->loop) + g->wait_ms)
		hr_timer_start(g->w->loop, &g->timer, g->wait_ms, look_again, g);
}

/* Bytes that may be injected now; 0: look again. */
static size_t window(struct px_gslot *g)
{
	int64_t room;

	if (!g->answered) {
		/* another answer is still on its way: ours must not overtake it */
		if (g->lent ? !hr_kern_conn_drained(kern_of(g), g->cookie)
			    : !hr_kern_conn_quiet(kern_of(g), g->cookie))
			return 0;
		g->answered = true;
	}
	if (g->credit)
		return g->credit;
	room = hr_kern_conn_room(kern_of(g), g->cookie);
	if (room < 0) {
		g->client->peer_gone |= room == -ENOENT;
		return 0;
	}
	g->credit = (uint64_t)room;
	return g->credit;
}

size_t px_g_write(struct px_client *c, const char *p, size_t n)
{
	struct px_gslot *g = c->g;
	size_t took = 0;

	while (px_out_len(&c->out) + n - took && !c->s.werror && c->s.writable) {
		size_t before = px_out_len(&c->out), room = window(g), went;

		if (!room) {
			px_g_wait(g);
			break;
		}
		went = px_side_write(&c->s, &c->out, p + took, n - took, room);
		took += went;
		went += before - px_out_len(&c->out);
		if (!went) {
			if (c->s.writable)
				px_g_wait(g); /* C's cgroup has no memory for it */
			break;
		}
		g->credit -= HR_MIN((uint64_t)went, g->credit);
		g->wait_ms = 0;
	}
	return took;
}

/* ---- the end ---- */

bool px_g_release(struct px_client *c)
{
	struct px_gslot *g = c->g;

	if (px_buf_len(&c->s.in) || px_out_len(&c->out) || c->close || c->s.eof || !c->http_seen)
		return false;
	if (!set_free(g, c->s.got))
		return false;
	g->released = true;
	return true;
}

void px_g_shutdown(struct px_client *c)
{
	hr_kern_conn_shutdown(kern_of(c->g), c->g->cookie);
}

/* A client that was cut off in the middle of a send may still be at it: what it meant to put into g
 * is in the count, and would come before the next client's bytes. So the pair is replaced. */
static void retire(struct px_gslot *g)
{
	uint64_t word = word_of(g);

	while (!__atomic_compare_exchange_n(&entry_of(g)->word, &word,
					    HR_G_WORD(HR_G_EMPTY, g->gen + 1, 0), false,
					    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
	hr_kern_mishap(kern_of(g), HR_MISHAP_RENEWED);
	hr_watch_del(TAKE_PTR(g->watch));
	hr_list_del(&g->link);
	hr_list_init(&g->link);
	g->draining = false;
	atomic_store(&g->broken, true);
}

/* Reads and drops what C sent before it closed; then the slot is free again. */
static void drain(struct px_gslot *g)
{
	uint64_t bytes = HR_G_BYTES(word_of(g));
	char junk[4096];
	ssize_t n;

	while ((n = recv(g->p, junk, sizeof(junk), MSG_DONTWAIT)) > 0)
		g->consumed += (uint64_t)n;
	if (g->gone && g->consumed == bytes && set_free(g, bytes)) {
		g->draining = false;
		return;
	}
	if (g->gone && ++g->drains > DRAIN_TRIES && all_arrived(g)) {
		retire(g);
		return;
	}
	g->gone |= hr_kern_conn_queued(kern_of(g), g->cookie) == -ENOENT;
	hr_timer_start(g->w->loop, &g->timer, g->gone ? DRAIN_MS : GONE_MS, look_again, g);
}

void px_g_detach(struct px_client *c)
{
	struct px_gslot *g = c->g;

	c->g = NULL;
	c->s.fd = -1;
	g->client = NULL;
	hr_timer_stop(&g->timer);
	g->wait_ms = 0;
	PX_ADD(g->w->bound, -1);
	if (g->lent) {
		g->lent = false;
		/* cut off in the middle: C must not wait for the rest */
		if (g->end || (c->req && !c->req->answered))
			hr_kern_conn_shutdown(kern_of(g), g->cookie);
		g->released = set_free(g, 0);
	}
	if (g->released) {
		/* the next connection may have put bytes here already, and their edge is used up */
		on_slot(g, EPOLLIN);
		return;
	}
	if (!g->gone)
		hr_kern_conn_shutdown(kern_of(g), g->cookie);
	g->draining = true;
	g->consumed = c->s.got;
	g->drains = 0;
	drain(g);
}

struct px_client *px_g_lend(struct px_gslot *g, uint64_t conn, const struct hr_conn *of)
{
	struct hr_door door = {.conn = conn,
			       .proto = HR_PROTO_HTTP1,
			       .why = HR_WHY_RELAY,
			       .workload = of->workload,
			       .dst_port_be = of->dst_port_be};
	uint64_t netns = of->netns == g->w->px->own_netns ? 0 : of->netns;
	struct px_client *c;

	memcpy(door.dst_ip, of->dst_ip, sizeof(door.dst_ip));
	c = px_client_new(g->w, g->p, &door, netns);

	g->gen = HR_G_GEN(word_of(g));
	g->cookie = conn;
	if (!c) {
		hr_kern_conn_shutdown(kern_of(g), conn);
		set_free(g, 0);
		return NULL;
	}
	serve(g, c);
	g->lent = true;
	hr_timer_start(g->w->loop, &g->timer, GONE_MS, look_again, g);
	g->answered = false; /* what the kernel has delivered itself comes first */
	return c;
}

/* ---- slots come and go (posted by the main thread) ---- */

void px_g_added(void *ctx)
{
	struct px_gslot *g = ctx;
	int r = hr_watch_add(g->w->loop, g->p, EPOLLIN | EPOLLOUT | EPOLLET, on_slot, g, &g->watch);

	if (r)
		hr_err("cannot watch an agent slot: %s", strerror(-r));
	hr_list_add_tail(&g->w->gslots, &g->link);
}

/* A bound C half-closed (HR_EV_CLIENT_EOF) or closed (HR_EV_CLIENT_GONE). */
void px_g_event(struct px_gslot *g, uint32_t kind, uint32_t gen)
{
	uint64_t word = word_of(g);

	if (HR_G_STATE(word) != HR_G_BOUND || HR_G_GEN(word) != gen || g->lent)
		return;
	if (!g->client && !g->draining)
		bound(g, word); /* its bytes have not been seen yet */
	if (kind == HR_EV_CLIENT_GONE) {
		g->gone = true;
		if (g->client)
			g->client->peer_gone = true;
	}
	if (g->client)
		px_client_run(g->client);
	else if (g->draining)
		drain(g);
}

static void look_after(struct px_gslot *g)
{
	uint64_t word = word_of(g);
	bool idle = !g->client && !g->draining && HR_G_STATE(word) == HR_G_BOUND;
	uint32_t gen = idle ? HR_G_GEN(word) + 1 : 0;

	if (g->client && !g->lent) {
		bool gone = hr_kern_conn_queued(kern_of(g), g->cookie) == -ENOENT;
		bool eof = __atomic_load_n(&entry_of(g)->flags, __ATOMIC_ACQUIRE) & HR_G_CLIENT_EOF;

		/* the event of this second may still be on its way: a run too many does no harm */
		g->gone |= gone;
		g->client->peer_gone |= gone;
		if (gone || (eof && !g->client->s.eof))
			px_client_run(g->client);
		return;
	}
	if (gen && g->seen_gen == gen) { /* since the look before */
		hr_kern_mishap(kern_of(g), HR_MISHAP_STUCK);
		bound(g, word);
		if (g->client)
			px_client_run(g->client);
	}
	g->seen_gen = gen;
}

void px_g_sweep(struct px_worker *w)
{
	hr_list_for_each (l, &w->gslots)
		look_after(hr_list_entry(l, struct px_gslot, link));
}

void px_g_close_all(struct px_worker *w)
{
	hr_list_for_each (l, &w->gslots) {
		struct px_gslot *g = hr_list_entry(l, struct px_gslot, link);

		hr_timer_stop(&g->timer);
		hr_watch_del(g->watch);
		hr_list_del(&g->link);
	}
}
