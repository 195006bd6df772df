// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's upstream pools: which (namespace, address) have one, how many connections each has,
 * and what is known from them of the endpoints' liveness.
 *
 *	one warm connection for every endpoint of the plan from every namespace that is served
 *(while half of the table is enough for that), doubled when the kernel misses one, back to one when
 *	they are idle
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/kernel/holder.h"

#define TICK_MS 1000
/* Without kernel path a closed connection is only missed as a sign of life. */
#define REOPEN_MS 1000
#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 5000
/* After a connection that its server closed at once. */
#define BRIEF_MIN_MS 20
#define BRIEF_MAX_MS 5000

/* ---- liveness ---- */

static void set_state(struct px_holder *h, const struct px_addr *a, uint32_t ep)
{
	uint32_t *flags = &h->px->ep_rt[ep].flags;

	__atomic_fetch_and(flags, ~(uint32_t)(HR_EPRT_DEAD | HR_EPRT_PROVED), __ATOMIC_RELAXED);
	__atomic_fetch_or(flags,
			  a->dead     ? HR_EPRT_DEAD
			  : a->proved ? HR_EPRT_PROVED
				      : 0,
			  __ATOMIC_RELAXED);
}

/* Every endpoint id that has this address says whether it can be connected to. */
static void tell(struct px_holder *h, const struct px_addr *a)
{
	const struct hr_plan *plan = h->plan ? h->plan->plan : NULL;
	char text[HR_ADDR_TEXT];

	hr_debug("endpoint %s is %s", hr_addr_port_text(&a->addr, a->port, text),
		 a->dead ? "dead" : "alive");
	for (size_t i = 0; plan && i < plan->eps.len; i++) {
		const struct hr_plan_ep *ep = &plan->eps.data[i];

		if (ep->addr_id == a->addr_id)
			set_state(h, a, ep->id);
	}
}

static void judge(struct px_holder *h, struct px_addr *a)
{
	unsigned who = a->pools[0] ? 0 : 1;
	bool dead = a->failing[who] && !a->live[who];
	bool proved = a->proved || a->live[who];

	if (dead == a->dead && proved == a->proved)
		return;
	a->dead = dead;
	a->proved = proved;
	tell(h, a);
}

static void set_failing(struct px_upool *p, bool failing)
{
	if (p->failing == failing)
		return;
	p->failing = failing;
	p->addr->failing[p->home] += failing ? 1 : -1;
}

void px_upool_live(struct px_upool *p, int delta)
{
	p->addr->live[p->home] += (unsigned)delta;
	if (delta > 0) {
		p->backoff_ms = 0;
		set_failing(p, false);
	}
	judge(p->holder, p->addr);
}

void px_upool_suspect(struct px_upool *p)
{
	set_failing(p, true);
	judge(p->holder, p->addr);
}

/* ---- pools ---- */

static struct hr_pool_key key_of(const struct px_upool *p)
{
	return (struct hr_pool_key){
		.netns = p->netns, .addr_id = p->addr->addr_id, .conns = p->kept.id};
}

static void publish(struct px_upool *p)
{
	struct hr_pool row = {.nchunks = p->nchunks};
	struct hr_pool_key key = key_of(p);
	int r;

	if (!p->holder->kern)
		return;
	memcpy(row.chunk, p->chunk, sizeof(row.chunk));
	r = hr_kern_pool_set(p->holder->kern, &key, &row);
	if (r)
		hr_warn("cannot publish an upstream pool: %s", strerror(-r));
}

static bool add_chunk(struct px_upool *p)
{
	struct px_holder *h = p->holder;

	if (p->nchunks == HR_U_CHUNKS)
		return false;
	for (uint32_t i = 0; i < PX_U_CHUNK_COUNT; i++) {
		if (h->owner[i])
			continue;
		h->owner[i] = p;
		h->chunks_used++;
		p->chunk[p->nchunks++] = i * HR_U_CHUNK;
		publish(p);
		return true;
	}
	return false;
}

static struct px_upool *pool_add(struct px_holder *h, uint64_t netns, struct px_addr *a,
				 const struct hr_plan_conns *kept)
{
	struct hr_pool_key key = {.netns = netns, .addr_id = a->addr_id, .conns = kept->id};
	struct px_upool *p = hr_map_get(h->pool_map, &key, sizeof(key));

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->holder = h;
	p->netns = netns;
	p->addr = a;
	p->kept = *kept;
	p->kept.name = NULL; /* the plan's */
	p->want = 1;
	p->home = netns == h->px->own_netns;
	hr_list_init(&p->conns);
	if (!add_chunk(p)) {
		hr_warn("no room for another upstream pool: its requests go through the agent");
		free(p);
		return NULL;
	}
	hr_list_add_tail(&h->pools, &p->link);
	hr_map_put(h->pool_map, &key, sizeof(key), p);
	a->pools[p->home]++;
	return p;
}

static void pool_free(struct px_upool *p)
{
	struct px_holder *h = p->holder;
	struct hr_pool_key key = key_of(p);

	if (h->kern)
		hr_kern_pool_del(h->kern, &key);
	for (unsigned i = 0; i < p->nchunks; i++)
		h->owner[p->chunk[i] / HR_U_CHUNK] = NULL;
	h->chunks_used -= p->nchunks;
	hr_timer_stop(&p->retry);
	hr_map_del(h->pool_map, &key, sizeof(key));
	hr_list_del(&p->link);
	set_failing(p, false);
	p->addr->pools[p->home]--;
	judge(h, p->addr);
	free(p);
}

static void retry(void *ctx)
{
	px_upool_fill(ctx);
}

static void back_off(struct px_upool *p)
{
	p->backoff_ms = p->backoff_ms ? HR_MIN(2 * p->backoff_ms, (uint32_t)BACKOFF_MAX_MS)
				      : BACKOFF_MIN_MS;
	hr_timer_start(p->holder->loop, &p->retry, p->backoff_ms, retry, p);
}

void px_upool_fill(struct px_upool *p)
{
	for (unsigned place = 0; p->n < p->want && !p->going; place++) {
		int r;

		if (place == p->nchunks * HR_U_CHUNK && !add_chunk(p))
			return;
		if (p->slots[place])
			continue;
		r = px_u_open(p, place);
		if (r) {
			hr_debug("cannot open an upstream connection: %s", strerror(-r));
			back_off(p);
			return;
		}
	}
}

/* A server that closes what it has just accepted is asked ever more rarely; pools not together. */
static uint32_t brief_wait(struct px_upool *p)
{
	p->brief_ms = p->brief_ms ? HR_MIN(2 * p->brief_ms, (uint32_t)BRIEF_MAX_MS) : BRIEF_MIN_MS;
	return p->brief_ms / 2 + (uint32_t)random() % p->brief_ms;
}

void px_upool_lost(struct px_upool *p, enum px_u_end how)
{
	uint32_t after = p->holder->kern ? 0 : REOPEN_MS;

	if (how == PX_U_FAILED)
		px_upool_suspect(p);
	else if (how == PX_U_OVER)
		p->brief_ms = 0;
	if (hr_timer_running(&p->retry))
		return;
	if (how == PX_U_FAILED) {
		back_off(p);
		return;
	}
	if (how == PX_U_BRIEF)
		after = HR_MAX(after, brief_wait(p));
	hr_timer_start(p->holder->loop, &p->retry, after, retry, p);
}

/* ---- towards the plan ---- */

/* NULL: no memory. */
static struct px_addr *take_addr(struct px_holder *h, const struct hr_plan_ep *ep)
{
	struct px_addr *a = hr_map_get(h->addr_map, &ep->addr_id, sizeof(ep->addr_id));

	if (!a) {
		a = calloc(1, sizeof(*a));
		if (!a)
			return NULL;
		a->addr_id = ep->addr_id;
		hr_list_add_tail(&h->addrs, &a->link);
		hr_map_put(h->addr_map, &ep->addr_id, sizeof(ep->addr_id), a);
	}
	a->addr = ep->addr;
	a->port = ep->port;
	a->in_plan = true;
	set_state(h, a, ep->id); /* an endpoint id may be new */
	return a;
}

static void reconcile_addrs(struct px_holder *h)
{
	const struct hr_plan *plan = h->plan->plan;

	hr_list_for_each (l, &h->addrs)
		hr_list_entry(l, struct px_addr, link)->in_plan = false;
	for (size_t i = 0; i < plan->eps.len; i++)
		if (!take_addr(h, &plan->eps.data[i]))
			return;
}

static bool served(struct hr_proxy *px, uint64_t netns)
{
	int fd = px_netns_dup(px, netns);
	bool yes = fd >= 0;

	hr_closep(&fd);
	return yes;
}

static void warm(struct px_holder *h, uint64_t netns, const struct hr_plan_ep *ep)
{
	struct px_addr *a = hr_map_get(h->addr_map, &ep->addr_id, sizeof(ep->addr_id));
	struct px_upool *p =
		a ? pool_add(h, netns, a, &h->plan->plan->clusters.data[ep->cluster].conns) : NULL;

	if (p && !hr_timer_running(&p->retry))
		px_upool_fill(p);
}

static bool may_warm(const struct px_holder *h)
{
	return h->chunks_used < PX_U_CHUNK_COUNT / 2;
}

static void warm_netns(struct px_holder *h, uint64_t netns)
{
	const struct hr_plan *plan = h->plan->plan;

	for (size_t i = 0; i < plan->eps.len && may_warm(h); i++)
		warm(h, netns, &plan->eps.data[i]);
}

static void retire_pool(struct px_upool *p)
{
	p->going = true;
	p->want = 0;
	hr_list_for_each (l, &p->conns)
		px_u_retire(hr_list_entry(l, struct px_u, link));
	if (!p->n)
		pool_free(p);
}

/* Some cluster of the plan has the address, and keeps its connections like this. */
static bool in_plan(const struct px_holder *h, const struct px_upool *p)
{
	struct px_addr_key key = {.port = p->addr->port, .conns = (uint16_t)p->kept.id};

	memcpy(key.ip, p->addr->addr.ip, sizeof(key.ip));
	return p->addr->in_plan && px_plan_has(h->plan, &key);
}

static void sweep_pools(struct px_holder *h)
{
	hr_list_for_each (l, &h->pools) {
		struct px_upool *p = hr_list_entry(l, struct px_upool, link);

		if (!in_plan(h, p) || !served(h->px, p->netns))
			retire_pool(p);
	}
	hr_list_for_each (l, &h->addrs) {
		struct px_addr *a = hr_list_entry(l, struct px_addr, link);
		bool used = a->in_plan;

		hr_list_for_each (q, &h->pools)
			used |= hr_list_entry(q, struct px_upool, link)->addr == a;
		if (used)
			continue;
		hr_map_del(h->addr_map, &a->addr_id, sizeof(a->addr_id));
		hr_list_del(&a->link);
		free(a);
	}
}

/* Idle connections beyond the warm one are given up, the ones opened last first (those whose time
 * is set have timers, uslot.c). */
static void shrink(struct px_upool *p)
{
	uint64_t old = px_now_ns() - HR_UPSTREAM_IDLE_MS * 1000000ULL;

	for (unsigned i = HR_ARRAY_SIZE(p->slots); i-- > 1 && p->n > 1;) {
		struct px_u *u = p->slots[i];

		if (u && p->holder->kern && !p->kept.id && u->state == PX_U_LISTED &&
		    u->since < old && hr_kern_u(p->holder->kern)[u->slot].t0 < old &&
		    px_u_retire(u))
			p->want = HR_MAX(1U, p->n);
	}
}

static void reconcile(struct px_holder *h)
{
	uint64_t cookies[HR_NETNS_MAX];
	size_t n;

	if (!h->plan)
		return;
	n = px_netns_list(h->px, cookies, HR_NETNS_MAX);
	reconcile_addrs(h);
	sweep_pools(h);
	for (size_t i = 0; i < n; i++)
		warm_netns(h, cookies[i]);
}

/* Of a plan that has other endpoints in some clusters only: those that are new are taken up now,
 * what went is seen at the next tick. */
static void reconcile_some(struct px_holder *h, const struct hr_plan_changes *what)
{
	const struct hr_plan *plan = h->plan->plan;
	uint64_t cookies[HR_NETNS_MAX];
	size_t n = px_netns_list(h->px, cookies, HR_NETNS_MAX);

	for (size_t i = 0; i < what->n_clusters; i++) {
		const struct hr_plan_cluster *c = &plan->clusters.data[what->clusters[i]];

		for (uint32_t k = 0; k < c->n_eps; k++) {
			const struct hr_plan_ep *ep = &plan->eps.data[c->first_ep + k];

			take_addr(h, ep);
			for (size_t m = 0; m < n && may_warm(h); m++)
				warm(h, cookies[m], ep);
		}
	}
}

static void tick(void *ctx)
{
	struct px_holder *h = ctx;

	reconcile(h);
	hr_list_for_each (l, &h->pools) {
		struct px_upool *p = hr_list_entry(l, struct px_upool, link);

		hr_list_for_each (k, &p->conns)
			px_u_look(hr_list_entry(k, struct px_u, link));
		shrink(p);
	}
	hr_timer_start(h->loop, &h->tick, TICK_MS, tick, h);
}

/* ---- events of the kernel, in the holder's thread ---- */

/* The pool that an event is about, made when it is not there yet; NULL: the plan has it not. */
static struct px_upool *pool_of(struct px_holder *h, const struct hr_event *ev)
{
	struct hr_pool_key key = {.netns = ev->netns, .addr_id = ev->addr_id, .conns = ev->slot};
	struct px_addr *a = hr_map_get(h->addr_map, &ev->addr_id, sizeof(ev->addr_id));
	const struct hr_plan *plan = h->plan ? h->plan->plan : NULL;
	struct px_upool *p = hr_map_get(h->pool_map, &key, sizeof(key));

	for (size_t i = 0; !p && a && plan && i < plan->eps.len; i++) {
		const struct hr_plan_ep *ep = &plan->eps.data[i];
		const struct hr_plan_conns *kept = &plan->clusters.data[ep->cluster].conns;

		if (ep->addr_id == ev->addr_id && kept->id == ev->slot)
			p = pool_add(h, ev->netns, a, kept);
	}
	return p;
}

static void miss(struct px_holder *h, const struct hr_event *ev)
{
	struct px_upool *p = served(h->px, ev->netns) ? pool_of(h, ev) : NULL;

	if (!p || p->going || p->connecting || hr_timer_running(&p->retry))
		return; /* more are on their way */
	p->want = HR_MIN(HR_MAX(2 * p->n, 2U), (unsigned)PX_U_MAX);
	px_upool_fill(p);
}

struct posted {
	struct px_holder *h;
	struct hr_event ev;
};

static void on_posted(void *ctx)
{
	struct posted *m = ctx;

	if (m->ev.kind == HR_EV_POOL_MISS)
		miss(m->h, &m->ev);
	else if (m->ev.kind == HR_EV_TAKEN || m->ev.kind == HR_EV_END)
		px_relay_taken(m->h, &m->ev);
	else
		px_u_event(m->h, &m->ev);
	free(m);
}

void px_upool_event(struct hr_proxy *px, const struct hr_event *ev)
{
	struct posted *m = malloc(sizeof(*m));

	if (!m)
		return;
	*m = (struct posted){px->holder, *ev};
	if (hr_loop_post(m->h->loop, on_posted, m) < 0)
		free(m);
}

static void on_plan(void *ctx)
{
	struct px_adopt *a = ctx;
	struct px_holder *h = a->holder;

	if (h->plan)
		atomic_fetch_sub(&h->plan->users, 1);
	h->plan = a->published;
	if (h->plan->changes_only)
		reconcile_some(h, &h->plan->what);
	else
		reconcile(h);
}

/* Takes one use of the plan. */
void px_upool_plan(struct hr_proxy *px, struct px_plan *pp)
{
	struct px_adopt *a = &pp->adopt[px->n_workers];

	*a = (struct px_adopt){.published = pp, .holder = px->holder};
	if (hr_loop_post(px->holder->loop, on_plan, a) < 0)
		atomic_fetch_sub(&pp->users, 1);
}

static void on_netns(void *ctx)
{
	reconcile(ctx);
}

void px_upool_netns(struct hr_proxy *px)
{
	hr_loop_post(px->holder->loop, on_netns, px->holder);
}

/* ---- life ---- */

static void *run(void *ctx)
{
	struct px_holder *h = ctx;

	hr_loop_run(h->loop);
	return NULL;
}

int px_upool_new(struct hr_proxy *px, struct hr_kern *kern)
{
	struct px_holder *h = calloc(1, sizeof(*h));
	sigset_t all, old;
	int r;

	if (!h)
		return -ENOMEM;
	px->holder = h;
	h->px = px;
	h->kern = kern;
	hr_list_init(&h->addrs);
	hr_list_init(&h->pools);
	h->addr_map = hr_map_new();
	h->pool_map = hr_map_new();
	h->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	r = h->home < 0 ? -errno : hr_loop_new(&h->loop);
	if (r)
		return r;
	hr_timer_start(h->loop, &h->tick, TICK_MS, tick, h);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&h->thread, NULL, run, h);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	h->started = !r;
	return r;
}

void px_upool_stop(struct hr_proxy *px)
{
	struct px_holder *h = px->holder;

	if (!h || !h->started)
		return;
	hr_loop_stop(h->loop);
	pthread_join(h->thread, NULL);
	h->started = false;
}

void px_upool_free(struct hr_proxy *px)
{
	struct px_holder *h = TAKE_PTR(px->holder);

	if (!h)
		return;
	while (!hr_list_empty(&h->pools)) {
		struct px_upool *p = hr_list_entry(h->pools.next, struct px_upool, link);

		struct hr_pool_key key = key_of(p);

		p->going = true;
		if (h->kern)
			hr_kern_pool_del(h->kern, &key);
		while (!hr_list_empty(&p->conns))
			px_u_drop(hr_list_entry(p->conns.next, struct px_u, link));
		pool_free(p);
	}
	while (!hr_list_empty(&h->addrs)) {
		struct px_addr *a = hr_list_entry(h->addrs.next, struct px_addr, link);

		hr_list_del(&a->link);
		free(a);
	}
	hr_map_free(h->addr_map);
	hr_map_free(h->pool_map);
	hr_loop_free(h->loop);
	hr_closep(&h->home);
	free(h);
}
