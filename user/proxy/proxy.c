// SPDX-License-Identifier: Apache-2.0
/*
 * The proxy as its callers see it: creation, drain, end, and the sums over its workers.
 */
#include "proxy/proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"
#include "proxy/worker.h"

/* Connections that may be open at once: each has an upstream one, and some must be left for
 * everything else (THREATS.md "connections"). */
static uint64_t client_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return rl.rlim_cur > 256 ? rl.rlim_cur / 2 - 64 : rl.rlim_cur / 2;
}

uint64_t px_own_netns(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t cookie = 0;
	socklen_t n = sizeof(cookie);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &n) < 0)
		return 0;
	return cookie;
}

static int runtime_words(struct hr_proxy *px)
{
	px->budgets = calloc(HR_CLUSTERS_MAX, sizeof(*px->budgets));
	hr_plan_retry(NULL, &px->retry);
	if (!px->budgets)
		return -ENOMEM;
	if (px->opts.kern) {
		px->ep_rt = hr_kern_ep_rt(px->opts.kern);
		px->cluster_rt = hr_kern_cluster_rt(px->opts.kern);
		px->codes = hr_kern_codes(px->opts.kern);
		px->words = hr_kern_words(px->opts.kern);
		if (px->ep_rt && px->cluster_rt && px->words.slots)
			return 0;
	}
	px->own_rt = true;
	px->ep_rt = calloc(HR_EPS_MAX, sizeof(*px->ep_rt));
	px->cluster_rt = calloc(HR_CLUSTERS_MAX, sizeof(*px->cluster_rt));
	px->codes = calloc(HR_CODES_MAX, sizeof(*px->codes));
	px->words = (struct hr_words){px->ep_rt, px->cluster_rt,
				      calloc(HR_SLOT_PAGES, sizeof(struct hr_slots))};
	if (!px->ep_rt || !px->cluster_rt || !px->codes || !px->words.slots)
		return -ENOMEM;
	px->tables = hr_tables_new(&px->words);
	return 0;
}

/* Without it nothing is bound and nothing moved: door A is all there is. */
static bool kernel_path(const struct hr_proxy *px)
{
	return px->opts.kern && hr_kern_status(px->opts.kern)->mode == HR_DATAPATH_KERNEL;
}

int hr_proxy_new(struct hr_proxy **out, const struct hr_proxy_opts *opts)
{
	struct hr_proxy *px;
	int r;

	if (opts->workers < 1 || opts->workers > HR_WORKERS_MAX)
		return -EINVAL;
	px = calloc(1, sizeof(*px));
	if (!px)
		return -ENOMEM;
	px->opts = *opts;
	if (!px->opts.header_timeout_ms)
		px->opts.header_timeout_ms = HR_HEADER_TIMEOUT_MS;
	if (!px->opts.idle_timeout_ms)
		px->opts.idle_timeout_ms = HR_IDLE_TIMEOUT_MS;
	hr_list_init(&px->plans);
	hr_list_init(&px->netns);
	px->own_netns = px_own_netns();
	px->max_clients = client_limit();
	px->workers = calloc(opts->workers + 1, sizeof(*px->workers));
	r = px->workers ? runtime_words(px) : -ENOMEM;
	if (!r)
		r = px_sources_new(px);
	if (!r)
		r = px_netns_start(px);
	while (!r && px->n_workers < opts->workers) {
		r = px_worker_start(px, &px->workers[px->n_workers], px->n_workers);
		if (!r)
			px->n_workers++;
	}
	px->n_serving = px->n_workers;
	if (!r && kernel_path(px))
		r = px_copier_start(px);
	if (!r && kernel_path(px))
		r = px_gpool_new(px);
	if (!r && opts->kern)
		r = px_upool_new(px, kernel_path(px) ? opts->kern : NULL);
	if (r) {
		hr_proxy_free(px);
		return r;
	}
	*out = px;
	return 0;
}

void hr_proxy_free(struct hr_proxy *px)
{
	if (!px)
		return;
	px_upool_stop(px);
	px_netns_stop(px);
	for (unsigned i = 0; i < px->n_workers; i++)
		px_worker_stop(&px->workers[i]);
	px_upool_free(px);
	px_gpool_free(px);
	px_plans_free(px);
	px_netns_free(px);
	px_sources_free(px);
	free(px->workers);
	free(px->budgets);
	if (px->own_rt) {
		free(px->ep_rt);
		free(px->cluster_rt);
		free(px->codes);
		free(px->words.slots);
		hr_tables_free(px->tables);
	}
	free(px);
}

void hr_proxy_event(struct hr_proxy *px, const struct hr_event *ev)
{
	if (ev->kind == HR_EV_DOOR_CLOSED && ev->slot < px->n_workers)
		px_client_closed(&px->workers[ev->slot], ev->conn);
	if (!px->gpool)
		return;
	switch (ev->kind) {
	case HR_EV_POOL_MISS:
	case HR_EV_TAKEN:
	case HR_EV_END:
	case HR_EV_RELAY:
	case HR_EV_U_DIRTY:
		px_upool_event(px, ev);
		break;
	case HR_EV_G_LOW:
	case HR_EV_CLIENT_EOF:
	case HR_EV_CLIENT_GONE:
	case HR_EV_UNDELIVERED:
		px_gpool_event(px, ev);
		break;
	default:
		break;
	}
}

struct hr_tables *hr_proxy_tables(struct hr_proxy *px)
{
	return px->tables ? px->tables : hr_kern_balance(px->opts.kern);
}

struct hr_ep_rt *hr_proxy_ep_rt(struct hr_proxy *px)
{
	return px->ep_rt;
}

struct hr_codes *hr_proxy_codes(struct hr_proxy *px)
{
	return px->codes;
}

struct hr_cluster_rt *hr_proxy_cluster_rt(struct hr_proxy *px)
{
	return px->cluster_rt;
}

void hr_proxy_tick(struct hr_proxy *px)
{
	px_plans_collect(px);
	if (px->gpool)
		px_gpool_tick(px);
	if (kernel_path(px))
		hr_kern_wake_stalled(px->opts.kern);
}

void hr_proxy_goaway(struct hr_proxy *px)
{
	for (unsigned i = 0; i < px->n_workers; i++)
		hr_loop_post(px->workers[i].loop, px_worker_goaway, &px->workers[i]);
}

void hr_proxy_drain(struct hr_proxy *px)
{
	px->draining = true;
	for (unsigned i = 0; i < px->n_workers; i++)
		hr_loop_post(px->workers[i].loop, px_worker_drain, &px->workers[i]);
}

bool hr_proxy_idle(struct hr_proxy *px)
{
	struct hr_proxy_stats s;

	hr_proxy_stats(px, &s);
	return !s.connections && !s.active_requests;
}

void hr_proxy_stats(struct hr_proxy *px, struct hr_proxy_stats *out)
{
	*out = (struct hr_proxy_stats){};
	for (unsigned i = 0; i < px->n_workers; i++) {
		struct px_worker *w = &px->workers[i];

		out->requests += __atomic_load_n(&w->requests, __ATOMIC_RELAXED);
		out->mirrored += __atomic_load_n(&w->mirrored, __ATOMIC_RELAXED);
		for (unsigned k = 0; k < HR_MIRROR_LOST_MAX; k++)
			out->mirror_lost[k] +=
				__atomic_load_n(&w->mirror_lost[k], __ATOMIC_RELAXED);
		out->delays += __atomic_load_n(&w->delays, __ATOMIC_RELAXED);
		out->aborts += __atomic_load_n(&w->aborts, __ATOMIC_RELAXED);
		out->active_requests += __atomic_load_n(&w->active, __ATOMIC_RELAXED);
		out->connections += __atomic_load_n(&w->connections, __ATOMIC_RELAXED);
		out->upstream_connections += __atomic_load_n(&w->ups, __ATOMIC_RELAXED);
		out->bound += __atomic_load_n(&w->bound, __ATOMIC_RELAXED);
		for (size_t j = 0; j < HR_WHY_MAX; j++)
			out->why[j] += __atomic_load_n(&w->why[j], __ATOMIC_RELAXED);
	}
}
