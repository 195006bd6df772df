/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this room share. One worker owns everything that hangs below it; other threads
 * reach it only by hr_loop_post. One client has one request at a time, a request has one upstream
 * connection at a time:
 *
 *	px_worker -> px_client -> px_req -> px_up -> px_pool
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

/* One published plan. `users` counts the workers and the main thread; the main thread frees it. */
struct px_plan {
	struct hr_list link; /* hr_proxy.plans */
	const struct hr_plan *plan;
	void (*release)(const struct hr_plan *);
	struct hr_map *addrs; /* px_addr_key of every endpoint: pools to others are closed */
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
void px_hold_put(struct px_hold *h);
void px_plan_adopt(struct px_worker *w, struct px_plan *pp);
/* Releases plans without user. Main thread. */
void px_plans_collect(struct hr_proxy *px);
void px_plans_free(struct hr_proxy *px);

struct px_addr_key {
	uint8_t ip[16];
	uint16_t port;
	uint16_t pad;
};

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
	struct hr_list waiting; /* requests in a breaker's queue, oldest first */
	struct hr_timer sweep;
	void *free_bufs;
	unsigned n_free_bufs;
	struct px_req *free_reqs;
	unsigned n_free_reqs;
	uint64_t random;
	bool draining;
	struct hr_http_joins joins;
	/* counters: written here, read by anyone */
	struct hr_stats *route_stats, *ep_stats; /* by stable id */
	uint64_t requests, active, connections, ups, bound;
	uint64_t why[HR_WHY_MAX];
};
uint32_t px_random(struct px_worker *w);
void px_buf_free_all(struct px_worker *w);

/* ---- client: an accepted connection, or a G slot with its C ---------------------------------- */

enum px_client_state {
	PX_CLIENT_NEW,	  /* not HTTP for certain: an upstream is opened first */
	PX_CLIENT_DETECT, /* proto AUTO: no byte yet decides */
	PX_CLIENT_HEAD,	  /* between requests, or a head is incomplete */
	PX_CLIENT_REQUEST,
	PX_CLIENT_TUNNEL, /* bytes both ways until both ends are done */
	PX_CLIENT_LINGER, /* all is said: read to the end, answer nothing */
};

struct px_client {
	struct px_side s;
	struct px_worker *w;
	struct hr_list link;
	enum px_client_state state;
	uint64_t cookie;    /* of C's socket */
	uint64_t netns;	    /* where upstream connections are opened; 0: the agent's own */
	struct hr_addr dst; /* what C asked for */
	uint16_t dst_port;
	struct hr_addr src;
	uint16_t src_port;
	const struct px_identity *source; /* NULL: not known */
	uint8_t proto;			  /* enum hr_proto */
	bool http_seen;			  /* carried a request: garbage is 400 from here on */
	bool close;			  /* after the answer in flight */
	bool running, rerun;		  /* px_client_run is on the stack */
	bool closed;			  /* only the memory is left */
	bool peer_gone;			  /* closed both ways, or reset */
	bool head_partial;		  /* what is in the input was parsed: more is needed */
	uint64_t head_since;		  /* ms; first byte of an incomplete head, 0: none */
	uint16_t why;			  /* enum hr_why */
	uint64_t progress;		  /* ms of the last byte either way */
	struct px_out out;
	struct px_req *req;
	/* tunnel: its peer, also while the protocol is not decided; the plan it uses; failed tries
	 */
	struct px_up *tunnel;
	struct px_hold *hold;
	unsigned tunnel_tries;
	uint32_t tunnel_avoid[4];
	uint32_t tunnel_ep; /* endpoint id that is being connected to, 0: none, or it was told */
	uint64_t tx, rx;
	struct hr_timer timer; /* slow head, idle, linger */
	struct hr_timer again;
	struct px_gslot *g;	/* NULL: door A */
	struct px_relay *relay; /* carries the answer of a moved request (urelay.c) */
};

/* A door A connection. Takes the fd. */
void px_client_accept(struct px_worker *w, int fd, const struct hr_door *door, uint64_t netns,
		      const struct hr_addr *src, uint16_t src_port);
struct px_client *px_client_new(struct px_worker *w, int fd, const struct hr_door *door,
				uint64_t netns);
/* Moves the client as far as it goes; may free it. */
void px_client_run(struct px_client *c);
/* All of a worker: its first plan has come. */
void px_clients_run(struct px_worker *w);
/* What is queued is the last: ends the connection when it is out. */
void px_client_linger(struct px_client *c);
/* No byte follows to C. */
void px_client_shutdown(struct px_client *c);
/* Frees the client and all below it. */
void px_client_close(struct px_client *c, bool reset);
/* More input, as px_side_read. */
size_t px_client_read(struct px_client *c);
/* Bytes to C: what waits in c->out, then p. Respects C's window at door G. */
size_t px_client_write(struct px_client *c, const char *p, size_t n);
/* The request is over and its answer is out: next request, or the end. */
void px_client_next(struct px_client *c);
/* No answer is possible any more: ends the connection so that C sees it was cut. */
void px_client_abort(struct px_client *c);
static inline void px_client_progress(struct px_client *c)
{
	c->progress = hr_loop_now(c->w->loop);
}

/* ---- G slots (gpool.c: the pairs; gend.c: the connections bound to them) --------------------- */

struct px_gslot {
	struct hr_list link; /* worker->gslots */
	struct px_worker *w;
	uint32_t slot;
	uint32_t gen;	     /* of the connection being served */
	uint64_t cookie;     /* and its C */
	uint64_t credit;     /* bytes that may be written before C's queue is looked at again */
	uint64_t since_wake; /* bytes read since C was last woken */
	bool answered;	     /* nothing of another answer is on its way to C any more */
	bool gone;	     /* C is closed */
	bool released;	     /* C has its native path back */
	bool draining;	     /* no client: what C sent is dropped until it is gone */
	bool lent;	     /* used to inject a relayed answer (urelay.c): no client here */
	uint32_t wait_ms;
	struct hr_timer timer;
	int g, p; /* the pair; the main thread closes them */
	struct hr_watch *watch;
	struct px_client *client;
};
size_t px_g_read(struct px_client *c);
size_t px_g_write(struct px_client *c, const char *p, size_t n);
/* Runs the client again soon: something is awaited that makes no event. */
void px_g_wait(struct px_gslot *g);
/* Gives C back to its native path; false when C has sent more, or must not go back. */
bool px_g_release(struct px_client *c);
/* C sees the end of its connection. */
void px_g_shutdown(struct px_client *c);
void px_g_detach(struct px_client *c);
void px_g_added(void *gslot); /* posted by the main thread, which made it */
void px_g_event(struct px_gslot *g, uint32_t kind, uint32_t gen);
void px_g_close_all(struct px_worker *w);
/* A client for injecting only, of a slot that hr_kern_inject_to has bound. NULL: no memory. */
struct px_client *px_g_lend(struct px_gslot *g, uint64_t conn);

/* ---- upstream -------------------------------------------------------------------------------- */

struct px_pool_key {
	uint64_t netns;
	struct px_addr_key addr;
	uint32_t pad;
};

/* Connections of one worker to one address from one namespace. */
struct px_pool {
	struct hr_list link;
	struct px_pool_key key;
	struct hr_list idle; /* newest first */
	unsigned n_idle, n_all;
};

enum px_up_state {
	PX_UP_SOCKET, /* the socket is being made in its namespace */
	PX_UP_CONNECTING,
	PX_UP_READY,
	PX_UP_IDLE,
	PX_UP_FAILED, /* s.error says why; ETIMEDOUT: connect timeout */
};

struct px_up {
	struct px_side s;
	struct px_worker *w;
	struct px_pool *pool;
	struct hr_list link; /* pool->idle */
	enum px_up_state state;
	struct px_client *owner;
	struct px_sock_job *job;
	struct hr_timer timer; /* connect */
	uint64_t idle_since;
	uint32_t nreq;
	bool reused;
	const struct hr_connection_pool *settings; /* only while a request holds the plan */
	struct px_relay *relay; /* U, lent by the holder: not of a pool, not ours to close */
};

/* A connection for `owner`: idle unless `fresh`, else a new one on its way. NULL: no memory, or no
 * descriptor. The owner is run when its state changes. */
struct px_up *px_up_get(struct px_client *owner, const struct hr_addr *addr, uint16_t port,
			const struct hr_connection_pool *settings, bool fresh);
/* Back to the pool. */
void px_up_idle(struct px_up *u);
void px_up_close(struct px_up *u);
int px_up_watch(struct px_up *u);
/* Nobody waits for it any more: it becomes idle once it is connected. */
void px_up_orphan(struct px_up *u);
/* The helper thread has made the socket; in the worker. */
void px_up_socket(struct px_sock_job *job);
/* Still open, as far as one look can tell. */
bool px_up_alive(struct px_up *u);
/* Closes idle connections that are old, or to addresses that left the plan. */
void px_up_sweep(struct px_worker *w);
void px_up_close_all(struct px_worker *w);

/* ---- sockets inside namespaces (netns.c) ----------------------------------------------------- */

struct px_sock_job {
	struct px_sock_job *next;
	struct px_worker *w;
	struct px_up *up; /* NULL: nobody waits any more */
	uint64_t netns;
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

/* ---- request --------------------------------------------------------------------------------- */

enum px_req_state {
	PX_REQ_DELAY,	/* fault.delay */
	PX_REQ_PENDING, /* breaker's queue */
	PX_REQ_BACKOFF, /* before a retry */
	PX_REQ_CONNECT,
	PX_REQ_EXCHANGE,
	PX_REQ_REPLY, /* the whole answer is in c->out */
};

enum px_body_mode { PX_BODY_RAW, PX_BODY_CHUNK, PX_BODY_PAYLOAD };

struct px_req {
	/* kept from one request to the next, or initialised by the parser */
	char *head; /* the request's head: msg.base */
	size_t head_cap;
	struct px_req *next_free;
	struct px_client *c;
	struct hr_http_msg msg, resp;
	char zero_from[0];

	struct px_hold *hold;
	enum px_req_state state;
	/* request */
	struct hr_http_body body;
	size_t vetted;	      /* bytes at the front of the client's input that belong to the body */
	struct px_out path;   /* canonical path, NUL-terminated */
	struct px_out target; /* with the query, once a rule asks for both */
	struct hr_plan_match match;
	const struct hr_plan_cluster *cluster; /* NULL: pass through */
	const struct hr_plan_dst *dst;
	const struct hr_plan_ep *ep;
	uint32_t route_id, cluster_id, ep_id; /* 0: none */
	uint64_t hash;
	bool hashed;	     /* `hash` is the key's: consistentHash */
	char cookie[17];     /* made for this client, "": none */
	struct hr_addr addr; /* where to */
	uint16_t port;
	/* what goes upstream; kept from its start while it may have to be sent again */
	struct px_out wire;
	size_t wire_head;    /* length of the head in it */
	bool relayed;	     /* only its answer is ours (urelay.c) */
	bool begun, ended;   /* px_req_begin, px_req_end were here */
	bool bad;	     /* no head could be read */
	bool req_sent;	     /* head and body are out */
	bool any_sent;	     /* a byte of this try went out */
	bool in_cluster;     /* counted in cluster_rt.inflight */
	bool in_ep;	     /* counted in ep_rt.inflight */
	bool in_retry;	     /* counted in hr_proxy.retries */
	struct hr_list wait; /* worker->waiting */
	uint32_t wait_ms;
	struct px_up *up;
	/* retries (retry.c) */
	uint32_t retry_on; /* PX_RETRY_* */
	uint16_t retry_status[8];
	uint8_t n_retry_status, n_avoid;
	bool avoid_previous, stale_retried;
	bool fresh;	  /* the next try takes no kept connection */
	bool retried_out; /* attempts were used up */
	bool last_reused; /* the try that ended was on a kept connection */
	int attempts_left;
	int64_t backoff_ms;
	uint16_t tries;
	uint32_t avoid[PX_TRIES_MAX];
	struct hr_timer wait_timer; /* delay, pending, backoff */
	struct hr_timer timeout, per_try;
	bool timed_out, try_timed_out;
	/* answer */
	struct hr_http_body resp_body;
	size_t resp_vetted;
	enum px_body_mode mode;
	bool resp_head;	   /* the head of the final answer is parsed and queued */
	bool resp_partial; /* what is in the input was parsed: more is needed */
	bool started;	   /* a byte of the final answer went to the client's queue */
	bool resp_done;	   /* the whole answer is in the client's queue */
	bool answered;	   /* it went out whole */
	uint8_t interims;
	uint16_t status;
	const char *flags; /* "" or Envoy's words */
	uint64_t t0_us;
	uint64_t req_bytes, resp_bytes;
	uint16_t why; /* enum hr_why */
};

void px_req_begin(struct px_client *c); /* the head in c->req->msg is complete */
/* The head cannot be read: answers, then closes. */
void px_req_bad(struct px_client *c, const struct hr_http_error *e);
/* No byte moved for the idle time. */
void px_req_stalled(struct px_req *r, const struct hr_http_error *e);
bool px_req_run(struct px_req *r); /* true: something moved */
/* Drops the upstream, the counts and the timers; the request record is written. */
void px_req_end(struct px_req *r);
struct px_req *px_req_new(struct px_client *c);
void px_req_free(struct px_req *r);
void px_req_free_all(struct px_worker *w);
/* Leaves the current try: connection closed, endpoint count lowered. */
void px_req_leave(struct px_req *r, bool reusable);
/* Takes an endpoint and a connection for one try; answers by itself when there is none. */
void px_req_try(struct px_req *r);
/* The whole request is here: the timeouts begin. */
void px_req_received(struct px_req *r);
/* The VIP that C asked for, NULL when the plan does not own it. */
const struct hr_plan_vip *px_vip_of(const struct px_client *c, const struct hr_plan *plan);

/* ---- what a route says (route.c) ---- */
void px_req_route(struct px_req *r);
/* Endpoint addresses that the agent must not connect to: itself. */
bool px_is_own_door(struct hr_proxy *px, const struct hr_addr *a, uint16_t port);

/* ---- breakers (breaker.c) ---- */
/* Starts the first try now, or later from the queue, or answers 503 UO. */
void px_breaker_enter(struct px_req *r);
void px_breaker_leave(struct px_req *r);
void px_breaker_unqueue(struct px_req *r);

/* ---- moving bytes (relay.c) ---- */
bool px_relay_request(struct px_req *r);
bool px_relay_response(struct px_req *r);
/* Bytes of a body that nobody wants any more. */
bool px_relay_discard(struct px_req *r);

/* ---- heads (head.c) ---- */
void px_head_request(struct px_req *r);	 /* into r->wire */
void px_head_response(struct px_req *r); /* into c->out; sets r->mode */
void px_head_interim(struct px_req *r);	 /* into c->out */
/* Host as sent: of the absolute target, or the field. */
struct hr_slice px_authority(const struct px_req *r);

/* ---- own answers (reply.c) ---- */
#define PX_BODY_UH "no healthy upstream"
#define PX_BODY_UT "upstream request timeout"
#define PX_BODY_ABORT "fault filter abort"
#define PX_BODY_UO \
	"upstream connect error or disconnect/reset before headers. reset reason: overflow"
#define PX_BODY_UF                                                                             \
	"upstream connect error or disconnect/reset before headers. reset reason: connection " \
	"failure"
#define PX_BODY_UC                                                                             \
	"upstream connect error or disconnect/reset before headers. reset reason: connection " \
	"termination"
#define PX_BODY_UPE \
	"upstream connect error or disconnect/reset before headers. reset reason: protocol error"
enum px_failure { PX_FAIL_CONNECT, PX_FAIL_RESET, PX_FAIL_GARBAGE, PX_FAIL_TRY_TIMEOUT };
/* Queues an answer of ours: the exchange is over. `flags` and `body` are static. */
void px_reply(struct px_req *r, unsigned status, const char *flags, const char *body);
void px_reply_failure(struct px_req *r, enum px_failure f);
void px_reply_overflow(struct px_req *r);
void px_reply_redirect(struct px_req *r);
void px_reply_direct(struct px_req *r);

/* ---- retries (retry.c) ---- */
enum {
	PX_RETRY_CONNECT = 1 << 0,
	PX_RETRY_RESET = 1 << 1,
	PX_RETRY_RESET_BEFORE = 1 << 2,
	PX_RETRY_5XX = 1 << 3,
	PX_RETRY_GATEWAY = 1 << 4,
	PX_RETRY_4XX = 1 << 5,
	PX_RETRY_TIMEOUT = 1 << 6,
};
void px_retry_setup(struct px_req *r);
/* True: another try is on its way. */
bool px_retry_failure(struct px_req *r, enum px_failure f);
bool px_retry_status(struct px_req *r, unsigned status);
void px_retry_release(struct px_req *r);
/* May be sent twice without harm, and can be: a safe method without body. */
bool px_retry_safe(const struct px_req *r);
/* The try failed: retries, or answers what the failure means. */
void px_req_failed(struct px_req *r, enum px_failure f);

/* ---- consistentHash (hash.c) ---- */
/* Finds what the cluster hashes by; makes the cookie when it is absent and has a ttl. */
void px_hash(struct px_req *r);
/* The Set-Cookie line of a cookie that was made. */
void px_hash_cookie(struct px_req *r);
uint64_t px_hash_addr(const struct hr_addr *a);

/* ---- what is said of endpoints (outlier.c) ---- */
/* The try's answer, or (local) the status that its lack of one means. */
void px_outlier(struct px_req *r, unsigned status, bool local);
void px_outlier_failure(struct px_req *r, enum px_failure f);
void px_outlier_ep(struct px_worker *w, uint32_t ep, unsigned status, bool local);

/* ---- tunnels (tunnel.c) ---- */
/* Connects to the VIP's cluster or the original address; decides the state of a new client. */
void px_tunnel_open(struct px_client *c);
void px_tunnel_join(struct px_req *r); /* after 101 */
bool px_tunnel_run(struct px_client *c);
bool px_tunnel_detect(struct px_client *c);
/* The HTTP/2 preface: relayed opaque where no rule is lost by that. */
bool px_tunnel_h2(struct px_client *c);
void px_tunnel_end(struct px_client *c);
/* Do these first bytes look like HTTP/1: 1 yes, 0 more are needed, -1 no. */
int px_looks_http(const char *p, size_t n);

/* ---- who asks (source.c) ---- */
struct px_identity {
	const char *ns, *name;
	hr_kvs labels;
};
struct px_sources;
int px_sources_new(struct hr_proxy *px);
void px_sources_free(struct hr_proxy *px);
/* The one that is known now, held until it is put; NULL: nobody. Any thread. */
const struct px_identity *px_source_get(struct hr_proxy *px, uint32_t workload);
void px_source_put(const struct px_identity *id); /* NULL is fine */

/* ---- doors (listen.c) ---- */
struct px_listener {
	struct hr_list link;
	struct px_worker *w;
	int fd;
	int family;
	uint64_t netns; /* cookie */
	bool own;	/* the agent's namespace: sockets need no helper */
	struct hr_watch *watch;
	struct hr_timer again;
};
void px_listener_close(struct px_listener *l);
/* Main thread; takes the fd, -1 is nothing. */
void px_worker_add_door(struct px_worker *w, int fd, int family, uint64_t netns);
void px_worker_drop_doors(struct px_worker *w, uint64_t netns);
void px_worker_close_doors(struct px_worker *w, uint64_t netns, bool all);

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
	uint64_t own_netns;
	struct hr_ep_rt *ep_rt;
	struct hr_cluster_rt *cluster_rt;
	bool own_rt;	   /* the two arrays are ours: no kernel */
	uint32_t *retries; /* concurrent retries by cluster id, atomics */
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
	bool ns_stop, ns_started;
	pthread_t ns_thread;
};

/* ---- the kernel's sockets: gpool.c (main thread), upool.c (the holder's thread) ---- */
int px_gpool_new(struct hr_proxy *px);
void px_gpool_free(struct hr_proxy *px);
void px_gpool_tick(struct hr_proxy *px);
void px_gpool_event(struct hr_proxy *px, const struct hr_event *ev);
/* kern NULL: the kernel path is off, its connections only tell which endpoints live. */
int px_upool_new(struct hr_proxy *px, struct hr_kern *kern);
void px_upool_stop(struct hr_proxy *px); /* the thread */
void px_upool_free(struct hr_proxy *px);
void px_upool_event(struct hr_proxy *px, const struct hr_event *ev);
/* A new plan, of which the caller has counted one user more. */
void px_upool_plan(struct hr_proxy *px, struct px_plan *pp);
void px_upool_netns(struct hr_proxy *px); /* the served namespaces have changed */

/* ---- relayed answers (urelay.c) ---- */
void px_relay_up_done(struct px_up *u, bool reusable);
void px_relay_client_done(struct px_client *c);
/* Of a request that the kernel has counted in. */
void px_inflight_lower(struct hr_proxy *px, uint32_t ep, uint32_t cluster);
