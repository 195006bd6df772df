/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this room share. One worker owns everything that hangs below it; other threads
 * reach it only by hr_loop_post. One client has one request at a time, a request has one upstream
 * connection at a time:
 *
 *	px_worker -> px_client -> px_req -> px_up -> px_pool
 *
 * A stream of an HTTP/2 connection is a px_client of its own, or a px_up: they read and write
 * HTTP/1 text, and http/h2.h makes frames of it (proxy/h2).
 *
 * Every event (client, upstream, timer) ends in px_client_run, which moves the client as far as it
 * goes and may free it: nothing is touched after it.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/list.h"
#include "core/map.h"
#include "core/net.h"
#include "http/http1.h"
#include "kern/meters.h"
#include "plan/compile/retry.h"
#include "proxy/io.h"
#include "proxy/proxy.h"

#define PX_FREE_BUFS 256	  /* buffers a worker keeps for the next reader */
#define PX_POOL_IDLE_MAX 1024	  /* idle connections of one pool of one worker */
#define PX_REPLAY_MAX (64 * 1024) /* request body kept for a retry, bytes */
#define PX_TRIES_MAX 16		  /* endpoints remembered as tried */
#define PX_OUT_HIGH HR_BUF_SIZE	  /* output queue at which its source is not read any more */
#define PX_TURNS 8		  /* buffers moved for one connection in one loop turn */
#define PX_INTERIM_MAX 32	  /* 1xx answers of one request */
#define PX_LINGER_MS 2000 /* reading on after our FIN, so that the answer is not reset away */

/* ---- plan, published (plan.c) --------------------------------------------------------------- */

struct px_addr_key {
	uint8_t ip[16];
	uint16_t port;
	uint16_t conns; /* hr_plan_conns.id: connections that are kept otherwise are others */
};
_Static_assert(HR_CLUSTERS_MAX <= UINT16_MAX, "ids of struct hr_plan_conns fit");

/* One published plan. `users` counts the workers and the main thread; the main thread frees it. */
struct px_plan {
	struct hr_list link; /* hr_proxy.plans */
	const struct hr_plan *plan;
	void (*release)(const struct hr_plan *);
	/* Of every endpoint, sorted: pools of others are closed. */
	HR_LIST(struct px_addr_key) addrs;
	/* Made of the one published before: only these clusters have other endpoints (indexes;
	 * memory of the plan). */
	bool changes_only;
	struct hr_plan_changes what;
	atomic_uint users;
	struct px_adopt { /* what is posted to each worker */
		struct px_worker *w;
		struct px_holder *holder;
		struct px_plan *published;
	} adopt[];
};

/* A worker's hold on it: requests pin it without touching other threads' cache lines. */
struct px_hold {
	struct px_plan *published;
	const struct hr_plan *plan;
	unsigned refs;
};
struct px_hold *px_hold_get(struct px_worker *w); /* of the current plan, NULL: none yet */
/* One more of the same. */
struct px_hold *px_hold_more(struct px_hold *h);
void px_hold_put(struct px_hold *h);
void px_plan_adopt(struct px_worker *w, struct px_plan *pp);
/* Has some endpoint of it this address and port, and connections that are kept like this? */
bool px_plan_has(const struct px_plan *pp, const struct px_addr_key *key);
/* Releases plans without user. Main thread. */
void px_plans_collect(struct hr_proxy *px);
void px_plans_free(struct hr_proxy *px);

/* ---- worker --------------------------------------------------------------------------------- */

struct px_worker {
	struct hr_proxy *px;
	unsigned index;
	bool started;
	pthread_t thread;
	struct hr_loop *loop;
	struct px_hold *hold;
	struct hr_list clients, listeners, gslots;
	struct hr_list pools;	/* struct px_pool */
	struct hr_list orphans; /* struct px_up, see px_up_orphan */
	struct hr_map *pool_map;
	struct hr_list mirrors;	 /* struct px_client: copies under way */
	unsigned n_mirrors;	 /* those, and those that wait for their body */
	struct hr_list waiting;	 /* requests in a breaker's queue, oldest first */
	struct hr_list h2_dirty; /* struct px_h2 that may have frames to send, see px_h2_touch */
	struct hr_timer h2_flush;
	struct hr_timer sweep;
	struct px_copier *copier; /* it makes copies for the kernel, see kernel/copies.c */
	void *free_bufs;
	unsigned n_free_bufs;
	struct px_req *free_reqs;
	unsigned n_free_reqs;
	uint64_t random;
	bool going, draining; /* HTTP/2 is told that we end; everybody is */
	struct hr_http_joins joins;
	/* counters: written here, read by anyone */
	struct hr_stats *route_stats, *ep_stats; /* by stable id */
	struct px_meters *meters;
	uint64_t requests, active, connections, ups, bound;
	uint64_t delays, aborts; /* faults made here */
	uint64_t mirrored, mirror_lost[HR_MIRROR_LOST_MAX];
	uint64_t why[HR_WHY_MAX];
};
uint32_t px_random(struct px_worker *w);
/* True for so many parts of a million. */
bool px_share(struct px_worker *w, int32_t ppm);
void px_buf_free_all(struct px_worker *w);

/* ---- copies for mirrors (kernel/copies.c) ---- */
int px_copier_start(struct hr_proxy *px); /* the last worker; 0 or -errno */
void px_copier_free(struct px_copier *p);

/* ---- sockets inside namespaces (netns.c) ----------------------------------------------------- */

struct px_sock_job {
	struct px_sock_job *next;
	struct px_worker *w;
	struct px_up *up; /* NULL: nobody waits any more */
	uint64_t netns;
	uint64_t since_us;
	int family;
	int fd; /* or -errno */
};
void px_netns_job(struct hr_proxy *px, struct px_sock_job *job);
int px_netns_start(struct hr_proxy *px);
void px_netns_stop(struct hr_proxy *px); /* the helper thread */
void px_netns_free(struct hr_proxy *px);
/* A served namespace's fd, to be closed; -1: it is not served. Any thread. */
int px_netns_dup(struct hr_proxy *px, uint64_t cookie);
size_t px_netns_list(struct hr_proxy *px, uint64_t *cookies, size_t max);
uint64_t px_own_netns(void);

/* ---- rows of istio_* metrics (meters.c) ---- */
struct px_meters;
/* A request or a call that has ended. */
struct px_metered {
	unsigned status;
	uint64_t us, tx, rx;
	uint64_t tx_messages, rx_messages; /* of gRPC */
};
struct px_meters *px_meters_new(void); /* NULL: no memory */
void px_meters_free(struct px_meters *m);
void px_meter(struct px_meters *m, struct hr_meter_key key, const struct px_metered *r);
void px_meter_tcp(struct px_meters *m, struct hr_meter_key key, const struct hr_tcp_meter *more);

/* ---- statistics (stats.c) ---- */
void px_stat_request(struct px_req *r);
uint64_t px_now_us(void);
#define PX_COUNT(x) __atomic_store_n(&(x), (x) + 1, __ATOMIC_RELAXED)
#define PX_ADD(x, n) __atomic_store_n(&(x), (x) + (n), __ATOMIC_RELAXED)

/* ---- the whole (proxy.c) ---- */

struct px_netns { /* a namespace that is served */
	struct hr_list link;
	uint64_t cookie;
	int nsfd;
	struct hr_netns ports;
	bool own;
};

struct hr_proxy {
	struct hr_proxy_opts opts;
	struct px_worker *workers;
	unsigned n_workers;
	unsigned n_serving; /* the first of them have clients; one more may make copies */
	uint64_t own_netns;
	struct hr_ep_rt *ep_rt;
	struct hr_cluster_rt *cluster_rt;
	struct hr_codes *codes;
	struct hr_words words;	    /* the same, and the slots */
	struct hr_tables *tables;   /* own ones, without kernel */
	bool own_rt;		    /* the two arrays are ours: no kernel */
	struct px_budget *budgets;  /* by cluster id */
	struct hr_plan_retry retry; /* of requests without a route */
	/* main thread */
	struct hr_list plans;
	struct px_plan *current;
	bool draining;
	uint64_t max_clients;
	atomic_ullong n_clients;
	struct px_holder *holder; /* with kernel path */
	struct px_gpool *gpool;
	struct px_sources *sources;
	/* shared with the socket maker */
	pthread_mutex_t ns_lock;
	pthread_cond_t ns_wake;
	struct hr_list netns;
	struct px_sock_job *jobs, **jobs_tail;
	struct px_sock_job *early; /* their namespace is not served yet */
	bool ns_stop, ns_started;
	pthread_t ns_thread;
};

#include "proxy/door/client.h"
#include "proxy/h2/h2.h"
#include "proxy/kernel/gslot.h"
#include "proxy/request/request.h"
#include "proxy/upstream/upstream.h"
