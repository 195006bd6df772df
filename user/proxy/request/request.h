/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request: its state, and what each step of it does.
 */
#pragma once

#include "proxy/internal.h"

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
	struct px_out target; /* with the query, once somebody asks for both */
	struct px_out new_path; /* as the route rewrites it; empty: as it is */
	struct hr_list copies;	/* struct px_client: for mirrors, until the body is here */
	bool cors;		/* the answer gets the headers of corsPolicy */
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
	size_t attempt_len;  /* of the line in it that says which try this is */
	bool relayed;	     /* the kernel has sent it: its answer is ours (urelay.c) */
	bool begun, ended;   /* px_req_begin, px_req_end were here */
	bool bad;	     /* no head could be read */
	bool req_sent;	     /* head and body are out */
	bool any_sent;	     /* a byte of this try went out */
	bool in_cluster;     /* counted in cluster_rt.inflight */
	bool in_h2;	     /* and in cluster_rt.h2_requests */
	bool in_ep;	     /* counted in ep_rt.inflight */
	bool in_retry;	     /* counted in cluster_rt.retries */
	struct hr_list wait; /* worker->waiting */
	uint32_t wait_ms;
	struct px_up *up;
	/* retries (retry.c) */
	const struct hr_plan_retry *retry;
	uint8_t n_avoid;
	bool stale_retried;
	bool fresh;	  /* the next try takes no kept connection */
	bool retried_out; /* attempts were used up */
	bool last_reused; /* the try that ended was on a kept connection */
	uint32_t attempts_left;
	const char *no_retry; /* why one that was wanted was not made: for the access log */
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
	int16_t grpc_status; /* -1: none */
	const char *flags;   /* "" or Envoy's words */
	uint64_t t0_us;
	uint64_t req_bytes, resp_bytes;	    /* bodies, as they came */
	uint64_t req_head, resp_head_bytes; /* heads, as they came */
	uint64_t messages;		    /* of gRPC in the answer, once its stream is gone */
	uint16_t why;			    /* enum hr_why */
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
/* The path that rules and servers see; false when it has none. */
bool px_req_canonical(struct px_req *r);
/* Virtual host, rule and route; false when there is no route. */
bool px_req_match(struct px_req *r);
/* The timeouts as of a request that was received so many ms ago. */
void px_req_elapsed(struct px_req *r, uint64_t ms);
/* resume.c: `head` is that of a request which the kernel has sent to ep_id of cluster_id by
 * route_id. False: it cannot be read, or the plan has changed: it is not tried again. */
bool px_req_resume(struct px_req *r, const char *head, size_t n);
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
/* A place in the cluster's in-flight number, given back by px_inflight_lower; false: it is full. */
bool px_place_take(struct hr_cluster_rt *rt, uint32_t max);
/* One more, when that is within max. */
bool px_count_take(uint32_t *counter, uint32_t max);
/* A limit as the policy says it, UINT32_MAX: none. */
uint32_t px_limit(int64_t value);
void px_breaker_unqueue(struct px_req *r);
/* A try that found all connections of HTTP/2 in use: queues the request, or answers 503 UO. */
void px_breaker_wait(struct px_req *r);
/* Connections of the cluster that carry HTTP/1.1. */
uint32_t px_breaker_http1(const struct hr_cluster_rt *rt);
/* Others wait, and came before this request. */
bool px_breaker_behind(const struct px_req *r);
/* Requests of other workers wait. */
bool px_breaker_others_wait(struct px_worker *w, uint32_t cluster);
/* A place may be free: the oldest waiter of this worker looks at once. */
void px_breaker_wake(struct px_worker *w, uint32_t cluster);

/* ---- mirrors (mirror.c) ---- */
/* Copies the request for those of its route's mirrors that get this one. */
void px_mirror(struct px_req *r);
/* More of its body, as it is on the wire; r->body.done: that was all. */
void px_mirror_body(struct px_req *r, const char *p, size_t n);
/* It ends before its body does. */
void px_mirror_cut(struct px_req *r);
/* Copies `r`, of which only the head is known (it has no body), for those mirrors that get this
 * one of the requests that the kernel has chosen for the largest share. */
void px_mirror_head(struct px_req *r);
/* A client without a socket. NULL: no memory. */
struct px_client *px_mirror_client(const struct px_client *like);
void px_mirrors_close(struct px_worker *w);

/* ---- moving bytes (relay.c) ---- */
bool px_relay_request(struct px_req *r);
bool px_relay_response(struct px_req *r);
/* Bytes of a body that nobody wants any more. */
bool px_relay_discard(struct px_req *r);

/* ---- heads (head.c) ---- */
void px_head_request(struct px_req *r);	 /* into r->wire */
void px_head_attempt(struct px_req *r);	 /* into r->wire, of a try that is not the first */
void px_head_response(struct px_req *r); /* into c->out; sets r->mode */
void px_head_interim(struct px_req *r);	 /* into c->out */
/* Host as sent: of the absolute target, or the field. */
struct hr_slice px_authority(const struct px_req *r);
/* "http" or "https": of the absolute target, else as x-forwarded-proto says. */
struct hr_slice px_scheme(const struct px_req *r);
/* {NULL, 0}: there is no query. */
struct hr_slice px_path_and_query(struct px_req *r);

/* ---- rewrites (rewrite.c) ---- */
/* Fills r->new_path; false: it would be too long, or takes too much work. */
bool px_rewrite_path(struct px_req *r);
/* The path with what the rule's match stands for replaced. */
void px_replace_prefix(struct px_req *r, const char *with, struct hr_strbuf *out);

/* ---- corsPolicy (cors.c) ---- */
struct px_headers;
/* True: it was a preflight, and is answered. */
bool px_cors(struct px_req *r);
void px_cors_response(struct px_req *r, struct px_headers *h);

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
enum px_failure {
	PX_FAIL_CONNECT,
	PX_FAIL_RESET,
	PX_FAIL_REFUSED, /* HTTP/2: the server did nothing with it and says so */
	PX_FAIL_GARBAGE,
	PX_FAIL_TRY_TIMEOUT,
};
/* Queues an answer of ours: the exchange is over. `flags` and `body` are static. */
void px_reply(struct px_req *r, unsigned status, const char *flags, const char *body);
void px_reply_failure(struct px_req *r, enum px_failure f);
void px_reply_overflow(struct px_req *r);
/* Without a body. */
void px_reply_headers(struct px_req *r, unsigned status, struct px_headers *h);
void px_reply_redirect(struct px_req *r); /* redirect.c */
void px_reply_direct(struct px_req *r);

/* ---- retries (retry.c) ---- */
void px_retry_setup(struct px_req *r);
/* True: another try is on its way. */
bool px_retry_failure(struct px_req *r, enum px_failure f);
/* retryRemoteLocalities: the endpoint of the next try; NULL: as always. */
const struct hr_plan_ep *px_retry_remote(const struct px_req *r);
bool px_retry_status(struct px_req *r, unsigned status);
/* ---- how many at once (budget.c) ---- */
struct px_budget {	    /* of a cluster; shared by all workers, atomics */
	uint32_t cur, prev; /* requests begun in this window and in the one before */
	uint64_t start_ms;
};
void px_budget_request(struct px_req *r); /* one more was begun */
bool px_budget_take(struct px_req *r);
void px_budget_release(struct px_req *r);

/* ---- fault.abort (abort.c) ---- */
void px_abort(struct px_req *r);
/* ---- gRPC (grpc.c) ---- */
struct px_headers;
bool px_is_grpc(const struct px_req *r);
/* What a status of gRPC is in HTTP, and the other way. */
unsigned px_grpc_http(int code);
int px_grpc_code(unsigned http);
int px_grpc_parse(struct hr_slice text); /* -1: it is none */
/* The client's deadline from here on, ms; -1: it has none. */
int64_t px_grpc_timeout(const struct px_req *r);
/* Of the answer in r->resp: what it means, its status where gRPC says nothing else. */
unsigned px_grpc_answer_status(const struct px_req *r);
/* A call that ends with `code` before it began ("Trailers-Only"): the one form of what we say
 * ourselves to clients of gRPC. `body` becomes grpc-message. */
void px_reply_grpc(struct px_req *r, int code, struct px_headers *h, const char *body, size_t n);

/* May be sent twice without harm, and can be: a safe method without body. */
bool px_retry_safe(const struct px_req *r);
/* The try failed: retries, or answers what the failure means. */
void px_req_failed(struct px_req *r, enum px_failure f);

/* ---- consistentHash (hash.c) ---- */
/* Finds what the cluster hashes by; makes the cookie when it is absent and has a ttl. */
void px_hash(struct px_req *r);
/* The Set-Cookie line of a cookie that was made. */
void px_hash_cookie(struct px_req *r);
/* Of a connection's source, as the cluster's servers see it. */
uint64_t px_hash_source(const struct px_client *c, const struct hr_plan *plan,
			const struct hr_plan_cluster *cluster);

/* ---- what is said of endpoints (outlier.c) ---- */
/* The try's answer, or (local) the status that its lack of one means. */
void px_outlier(struct px_req *r, unsigned status, bool local);
void px_outlier_failure(struct px_req *r, enum px_failure f);
void px_outlier_ep(struct px_worker *w, uint32_t ep, unsigned status, bool local);
