/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exception path: a complete HTTP/1.1 proxy on the compiled plan. N shared-nothing workers.
 * Requests come in by two doors: A (connections that connect() sent to the agent) and G (requests
 * that the kernel bound; answers are injected into the client, see kern.h "G slot").
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "health/count.h"
#include "kern/kern.h"
#include "kern/meters.h"
#include "plan/plan.h"

struct hr_proxy;
struct hr_access;

struct hr_proxy_opts {
	unsigned workers;     /* 1 .. HR_WORKERS_MAX */
	struct hr_kern *kern; /* NULL: door A only, no shared words (tests) */
	/* When kern is NULL, and for connections that are not in the doors map: what C asked for.
	 */
	int (*original_dst)(void *ctx, int fd, struct hr_door *out);
	void *ctx;
	/* One finished request, called in the worker's thread; NULL: no access log. */
	void (*access)(void *ctx, const struct hr_access *rec);
	/* Failures in a row of an endpoint have reached a limit (ep_rt), called in the worker's
	 * thread; NULL: nobody wants to know. */
	void (*outlier)(void *ctx, uint32_t ep, enum hr_outlier_kind kind);
	void *outlier_ctx;
	/* test knobs; 0: the defaults of limits.h */
	uint32_t header_timeout_ms, idle_timeout_ms;
};

/* What the access log and the metrics get of one request. Strings live during the call. */
struct hr_access {
	uint64_t conn;
	/* "" when none */
	const char *method, *path, *host, *route, *rule, *cluster, *upstream, *flags, *no_retry;
	uint32_t route_id, ep_id;
	uint16_t status; /* 0: client went away before one was sent */
	uint16_t tries;
	enum hr_why why; /* how it came to the agent */
	uint64_t req_bytes, resp_bytes, dur_us;
	bool grpc;	     /* the answer said a grpc-status */
	uint8_t grpc_status; /* 0 .. 99 */
	bool kernel;	     /* carried by it, without the agent */
	bool door_a;
};

int hr_proxy_new(struct hr_proxy **out, const struct hr_proxy_opts *opts);
/* Publishes a plan by pointer. Any request finishes on the plan it started with. `release(plan)`
 * runs once another one has been published and nothing uses this one any more (in hr_proxy_tick,
 * hr_proxy_publish or hr_proxy_free). Main thread. */
void hr_proxy_publish(struct hr_proxy *p, const struct hr_plan *plan,
		      void (*release)(const struct hr_plan *));
/* The same of a plan made by hr_plan_change of the one published before. */
void hr_proxy_publish_change(struct hr_proxy *p, const struct hr_plan *plan,
			     const struct hr_plan_changes *what,
			     void (*release)(const struct hr_plan *));
/* Opens the doors inside a network namespace (fd of /proc/PID/ns/net) and tells the kernel;
 * idempotent per cookie. Sets lo up when it is down (said in the log). Main thread. */
int hr_proxy_serve_netns(struct hr_proxy *p, int nsfd, uint64_t cookie, struct hr_netns *ports);
void hr_proxy_forget_netns(struct hr_proxy *p, uint64_t cookie);
/* Who runs as a workload (the id in struct hr_workload): what rules about the source see of the
 * connections that come from now on. Copies. Main thread, before the workload is enrolled. */
void hr_proxy_workload(struct hr_proxy *p, uint32_t id, const char *ns, const char *name,
		       const hr_kvs *labels);
/* Kernel events that concern sockets (POOL_MISS, G_LOW, RELAY, U_DIRTY, CLIENT_*). Main thread. */
void hr_proxy_event(struct hr_proxy *p, const struct hr_event *ev);
/* Once a second on the main thread: pools towards the plan (warm connection per endpoint, idle
 * ones closed, removed endpoints drained), liveness into ep_rt. */
void hr_proxy_tick(struct hr_proxy *p);

/* Why a copy of a request did not go to its mirror. */
enum hr_mirror_lost {
	HR_MIRROR_BUSY,	       /* HR_MIRRORS_MAX are under way */
	HR_MIRROR_BODY,	       /* longer than HR_MIRROR_BODY_MAX */
	HR_MIRROR_NO_ENDPOINT, /* there is none, or nothing defines the destination */
	HR_MIRROR_CUT,	       /* the request itself ended early */
	HR_MIRROR_UPGRADE,     /* it asked for another protocol */
	HR_MIRROR_LOST_MAX
};
const char *hr_mirror_lost_text(enum hr_mirror_lost why);

struct hr_proxy_stats {
	uint64_t requests, active_requests, connections, upstream_connections, bound;
	uint64_t delays, aborts; /* faults that the agent made */
	uint64_t mirrored, mirror_lost[HR_MIRROR_LOST_MAX];
	uint64_t why[HR_WHY_MAX];
};
void hr_proxy_stats(struct hr_proxy *p, struct hr_proxy_stats *out);
/* Per-id counters of requests that the agent carried, summed over workers. */
void hr_proxy_route_stats(struct hr_proxy *p, uint32_t route_id, struct hr_stats *out);
void hr_proxy_ep_stats(struct hr_proxy *p, uint32_t ep_id, struct hr_stats *out);
/* Rows of istio_* metrics, those of each worker apart. Main thread; what the sink does holds
 * workers up. */
void hr_proxy_meters(struct hr_proxy *p, const struct hr_meter_sink *to);

/* The words that the workers count in: the kernel's, or own ones without it. */
struct hr_ep_rt *hr_proxy_ep_rt(struct hr_proxy *p);
/* The balancing tables: likewise. Main thread. */
struct hr_tables *hr_proxy_tables(struct hr_proxy *p);
struct hr_cluster_rt *hr_proxy_cluster_rt(struct hr_proxy *p);
struct hr_codes *hr_proxy_codes(struct hr_proxy *p);

/* Clients of HTTP/2 are told to ask elsewhere next time; their streams are finished. All else goes
 * on. */
void hr_proxy_goaway(struct hr_proxy *p);
/* Stops accepting, finishes requests, answers with Connection: close; true when nothing is open.
 * Then hr_proxy_free. */
void hr_proxy_drain(struct hr_proxy *p);
bool hr_proxy_idle(struct hr_proxy *p);
void hr_proxy_free(struct hr_proxy *p);
