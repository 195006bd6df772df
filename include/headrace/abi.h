/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/*
 * What the BPF programs and user space both read: map keys and values, events, states, reasons.
 *
 * Rules of this file: fixed width, padding written out and zero, layout asserted. Addresses are
 * 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. Ports are network order where the name ends
 * in _be, host order elsewhere. Ids are stable names of plan objects (see user/plan/compile/ids.h);
 * 0 is "none" for every kind of id.
 */
#pragma once

#ifdef __bpf__
/* vmlinux.h has the types */
#else
#include <linux/types.h>
#endif
#include "limits.h"
#include "reasons.h"

#define HR_ABI_VERSION 3

#ifdef __cplusplus
#define HR_ASSERT_SIZE(type, n) static_assert(sizeof(type) == (n), #type)
#else
#define HR_ASSERT_SIZE(type, n) _Static_assert(sizeof(type) == (n), #type)
#endif

struct hr_addr {
	__u8 ip[16];
};

/* ---- Plan: where a connect() goes ---------------------------------------------------------- */

/* What a service port speaks (Istio protocol selection: name prefix or appProtocol). */
enum hr_proto {
	HR_PROTO_AUTO = 0, /* unnamed: the first bytes decide */
	HR_PROTO_HTTP1,
	HR_PROTO_HTTP2, /* grpc*, http2*, kubernetes.io/h2c */
	HR_PROTO_TCP,	/* opaque: balanced at connect, then ordinary TCP */
	HR_PROTO_MAX
};

/* vips: one entry per address and port that the mesh owns. */
struct hr_vip_key {
	__u8 ip[16];
	__u16 port_be;
	__u16 pad[3];
};
HR_ASSERT_SIZE(struct hr_vip_key, 24);

struct hr_vip {
	__u32 vhost;   /* vhost of the service that owns the address: used when Host is unknown */
	__u32 cluster; /* cluster from which connect() picks its endpoint */
	__u16 port;    /* service port, host order: second half of the vhost key */
	__u8 proto;    /* enum hr_proto */
	__u8 flags;    /* HR_VIP_* */
	__u32 split;   /* splits: the cluster is one of its; 0: it is `cluster` */
};
HR_ASSERT_SIZE(struct hr_vip, 16);
#define HR_VIP_AGENT 0x01    /* always through door A (reason: HR_WHY_PROTO or policy) */
#define HR_VIP_WILDCARD 0x02 /* some vhost of this port is a wildcard: unknown Host -> agent */
/* headrace.io/same-node of its service: what is no HTTP skips TCP as well, or nothing does. */
#define HR_VIP_NEAR_TCP 0x04
#define HR_VIP_NEAR_OFF 0x08

/* vhosts_by_name: (port, host) -> vhost id. Host is lower case, no port, no trailing dot, zero
 * padded. Longer hosts are not in the map: the scanner binds them. */
struct hr_vhost_key {
	__u16 port;
	__u16 len;
	char host[HR_HOST_MAX];
};
HR_ASSERT_SIZE(struct hr_vhost_key, 68);

/* ---- Plan: how a request is matched (DESIGN "Flat-cost routing") --------------------------- */

enum hr_dim_kind {
	HR_DIM_PATH = 1, /* path without query, canonical form */
	HR_DIM_METHOD,
	HR_DIM_HEADER, /* name in hr_dim.name */
};

struct hr_dim {
	__u8 kind;	/* enum hr_dim_kind */
	__u8 flags;	/* HR_DIM_HAS_* */
	__u16 name_len; /* HEADER: length of the lower-case name */
	char name[HR_HNAME_MAX];
};
HR_ASSERT_SIZE(struct hr_dim, 36);
#define HR_DIM_HAS_EXACT 0x01
#define HR_DIM_HAS_PREFIX 0x02
#define HR_DIM_HAS_PRESENT 0x04 /* hr_block.present is used */

/* vhosts: id -> value. Replaced as one element, so a request sees one version of the vhost:
 * `table` names the generation of its rows, and rows of an old table live on for a grace time. */
struct hr_vhost {
	__u32 table;   /* first part of the keys of blocks, conds and rules */
	__u16 nblocks; /* 0: no rule, answer 404 */
	__u16 ndims;
	__u32 nrules;
	__u32 flags; /* HR_VHOST_* */
	struct hr_dim dims[HR_DIMS_MAX];
};
HR_ASSERT_SIZE(struct hr_vhost, 16 + 36 * HR_DIMS_MAX);
#define HR_VHOST_AGENT 0x01 /* cannot be matched in the kernel: bind every request */

/* A set of the rules of one block: bit i of w[i / 64] is rule block * HR_BLOCK_RULES + i. */
struct hr_bits {
	__u64 w[HR_BLOCK_WORDS];
};

struct hr_block_key {
	__u32 table;
	__u32 block;
};

/* blocks: per block what holds before any value is looked up. Per dimension d and rule r exactly
 * one of: free[d] has r (r says nothing positive about d), or r needs a positive hit in d. A hit
 * in `neg` of any row removes r. So the answer of a dimension is (free | pos) & ~neg. */
struct hr_block {
	struct hr_bits valid;		      /* rules that exist */
	struct hr_bits free[HR_DIMS_MAX];     /* no positive condition on this dimension */
	struct hr_bits present[HR_DIMS_MAX];  /* positive "is present" */
	struct hr_bits npresent[HR_DIMS_MAX]; /* negative "is present" (withoutHeaders: {}) */
};

/* conds: exact values, and prefixes in prefix_conds (LPM trie, bits = 8 * (8 + length)). The row
 * of a prefix holds the union of all shorter prefixes of the same dimension: one look-up. A rule
 * has at most one positive condition per dimension; a rule with more is marked HR_RULE_AGENT and
 * matched by its first one (the agent then decides). */
struct hr_cond_key {
	__u32 table;
	__u16 block;
	__u8 dim;
	__u8 len; /* bytes of value; exact only */
	char value[HR_COND_MAX];
};
HR_ASSERT_SIZE(struct hr_cond_key, 8 + HR_COND_MAX);

struct hr_prefix_key {
	__u32 bits; /* bpf_lpm_trie_key.prefixlen */
	__u32 table;
	__u16 block;
	__u8 dim;
	__u8 pad;
	char value[HR_COND_MAX];
};
HR_ASSERT_SIZE(struct hr_prefix_key, 12 + HR_COND_MAX);

struct hr_cond {
	struct hr_bits pos, neg;
};

struct hr_rule_key {
	__u32 table;
	__u32 index; /* order of the rule in the vhost, 0 first */
};

enum hr_action {
	HR_ACT_ROUTE = 1, /* to one of dst[] */
	HR_ACT_LOCAL,	  /* answered with replies[reply] */
	HR_ACT_AGENT,	  /* only the agent can do it (why in hr_rule.why) */
};

struct hr_dst {
	__u32 cluster; /* cluster id */
	__u32 cum; /* weights up to and including this one; pick r in [0, total): first cum > r */
};

/* rules: one row per match entry (entries of one `match` list are consecutive rows of one route).
 */
struct hr_rule {
	__u32 route; /* route id: counters, access log, explain */
	__u8 action; /* enum hr_action */
	__u8 ndst;
	__u16 why;    /* enum hr_why when action is AGENT or the rule needs the agent */
	__u32 total;  /* sum of the weights; 0 with ndst != 0 never occurs */
	__u16 status; /* LOCAL: status code, for counters */
	__u16 reply;  /* LOCAL: index in replies */
	struct hr_dst dst[HR_DST_MAX];
	__u32 timeout_ms; /* 0: none */
	__u32 abort_ppm;  /* fault.abort share, 1/1,000,000; the reply is `reply` with `status` */
	__u32 per_try_ms; /* perTryTimeout, 0: none */
	__u32 flags;	  /* HR_RULE_* */
	__u32 mirror_ppm; /* the largest share of its mirrors: of these requests the agent gets a
			     copy */
	__u32 pad;
	/* Answers that are tried again: bit (status - 100). HR_RULE_RETRY_STATUS: some are. */
	__u64 retry_status[HR_STATUS_WORDS];
};
HR_ASSERT_SIZE(struct hr_rule, 16 + 8 * HR_DST_MAX + 24 + 8 * HR_STATUS_WORDS);
/* The agent may have to send the request again: one with a body is bound at its head. */
#define HR_RULE_REPLAY 0x01
#define HR_RULE_RETRY_STATUS 0x02
/* A retry may be refused (retry budget): an answer is only kept from the client when all of it is
 * held (HR_KRESP_MAX), so that it can be given after all. */
#define HR_RULE_HELD_ONLY 0x04

#define HR_RULE_EDIT 0x08 /* a row of `edits` for each destination */

/* edits: fields that are appended to the head of a request. One that has one of the names in
 * `absent` is the agent's: there they are replaced, or removed. */
struct hr_edit_key {
	__u32 table, index; /* of the rule */
	__u32 dst;	    /* index in hr_rule.dst */
};
struct hr_edit {
	__u16 len; /* of text */
	__u16 n_absent;
	__u32 pad;
	struct {
		char name[HR_HNAME_MAX]; /* lower case, zero padded */
		__u32 len;
		__u32 pad;
	} absent[HR_EDIT_NAMES];
	char text[HR_EDIT_MAX]; /* "name: value" CR LF, each */
};
HR_ASSERT_SIZE(struct hr_edit, 8 + (HR_HNAME_MAX + 8) * HR_EDIT_NAMES + HR_EDIT_MAX);

/* replies: complete HTTP/1.1 responses for LOCAL answers, keep-alive, with Content-Length. */
struct hr_reply {
	__u16 len;	/* whole */
	__u16 head_len; /* for HEAD requests */
	__u16 status;
	__u16 pad;
	char bytes[HR_REPLY_MAX];
};
/* Well-known replies that user/kern always installs. */
enum { HR_REPLY_NR = 1, HR_REPLY_UH, HR_REPLY_NC, HR_REPLY_UO, HR_REPLY_END, HR_REPLY_FIRST_FREE };

/* ---- Plan: clusters and endpoints ---------------------------------------------------------- */

enum hr_lb {
	HR_LB_ROUND_ROBIN = 1,
	HR_LB_RANDOM,
	HR_LB_LEAST_REQUEST,
	HR_LB_PASSTHROUGH,
	HR_LB_RING_HASH,
	HR_LB_MAGLEV,
};

/* What consistentHash hashes. */
enum hr_hash_kind {
	HR_HASH_NONE = 0,
	HR_HASH_HEADER,
	HR_HASH_COOKIE,
	HR_HASH_SOURCE_IP,
	HR_HASH_QUERY
};

/* clusters: id -> value; replaced as one element. Who gets its requests is in cluster_rt.table. */
struct hr_cluster {
	__u8 lb;	    /* enum hr_lb */
	__u8 flags;	    /* HR_CLUSTER_* */
	__u8 hash;	    /* enum hr_hash_kind */
	__u8 hash_len;	    /* bytes of hash_name */
	__u32 max_requests; /* in flight, 0: unlimited (breaker; 503 UO, or the agent: _WAIT) */
	/* connectionPool, of the connections that carry its requests. A client's own one that has
	 * carried max_per_conn, is older than age_ms or was idle for idle_ms (0: no bound) is
	 * spent: it carries none any more, pooled ones do. */
	__u32 conns; /* which pools: hr_pool_key.conns */
	__u32 max_per_conn;
	__u32 idle_ms, age_ms;
	/* keep-alive of a client's own connection, HR_CLUSTER_KEEPALIVE; 0: the system's */
	__u32 ka_time_s, ka_interval_s, ka_probes;
	char hash_name[HR_HNAME_MAX]; /* header (lower case), cookie or parameter, zero padded */
};
HR_ASSERT_SIZE(struct hr_cluster, 36 + HR_HNAME_MAX);
#define HR_CLUSTER_AGENT 0x01 /* needs the agent (HTTP/2 upstream, TLS ...) */
#define HR_CLUSTER_WAIT 0x02  /* max_requests is maxConnections: beyond it the agent lets wait */
#define HR_CLUSTER_KEEPALIVE 0x04
#define HR_CLUSTER_COOKIE 0x08	/* a cookie that is absent is made: the agent */
#define HR_CLUSTER_MISSING 0x20 /* nothing defines it: its 503 is NC, not UH */
/* Who asks decides: a row of `seen` names the cluster, or the agent. */
#define HR_CLUSTER_SEEN 0x10

/* seen: a cluster as a workload sees it -> id of that cluster, which may be the same one. */
struct hr_seen_key {
	__u32 cluster, workload;
};

/* slots: balancing tables, in pages, mmap()ed. A slot names an endpoint id
 * (user/plan/balance/tables.h). */
struct hr_slots {
	__u16 ep[HR_SLOTS_PAGE];
};
_Static_assert(HR_EPS_MAX <= 65536, "an endpoint id fits a slot");

/* cluster_rt.table: first page and number of slots of the table in use; written in one store. 0
 * slots: no endpoint may get a request (503 UH). */
#define HR_TABLE(page, n, flags) ((__u64)(page) | (__u64)(flags) << 24 | (__u64)(n) << 32)
#define HR_TABLE_PAGE(word) ((__u32)(word) & 0xffffff)
#define HR_TABLE_N(word) ((__u32)((word) >> 32))
#define HR_TABLE_EVEN (1ULL << 24) /* each endpoint once: all are as good */

/* members: (cluster, addr_id) -> endpoint id: "is the endpoint C is connected to in this cluster".
 */
struct hr_member_key {
	__u32 cluster;
	__u32 addr_id;
};

/* PASSTHROUGH: no endpoint, the address that C asked for. */
#define HR_ADDR_ASKED 0

/* addrs: addr_id -> where it is. */
struct hr_ep_addr {
	__u8 ip[16];
	__u16 port_be;
	__u16 pad[3];
};
HR_ASSERT_SIZE(struct hr_ep_addr, 24);

/* Requests in flight. Each side lowers what it has raised, whatever the end was; a moved request
 * whose answer the agent takes over (RELAY) changes sides by one addition of HR_INFLIGHT_TO_AGENT.
 * So an agent that follows a killed one sets its side to 0, and the number is exact again. Limits
 * are held by compare-and-exchange of both sides as one word. */
union hr_inflight {
	struct {
		__u32 kernel, agent;
	} by;
	__u64 word;
};
HR_ASSERT_SIZE(union hr_inflight, 8);
#define HR_INFLIGHT_AGENT (1ULL << 32)
#define HR_INFLIGHT_TO_AGENT (HR_INFLIGHT_AGENT - 1)
#define HR_INFLIGHT_SUM(word) ((__u32)(word) + (__u32)((word) >> 32))

/* ep_rt: endpoint id -> state shared by kernel and every worker. mmap()able array: both sides use
 * atomics. */
struct hr_ep_rt {
	union hr_inflight inflight;
	__u32 flags; /* HR_EPRT_* */
	/* Failures in a row, counted by whoever carries the request (user/health/count.h says what
	 * counts as what), and the number of each that is reported; 0: never. A limit_local makes
	 * failures that are not answers count apart (splitExternalLocalOriginErrors). */
	__u32 consecutive_5xx, consecutive_gateway, consecutive_local;
	__u32 limit_5xx, limit_gateway, limit_local;
	__u32 codes; /* which statuses are errors: index in `codes`, 0: those from 500 */
	/* Of what it is the endpoint: written before a table names it. */
	__u32 cluster, addr_id;
	__u32 family; /* 4 or 6 */
	__u32 weight; /* its share of the cluster's requests, relative to the others' */
	__u32 pad[2];
};
HR_ASSERT_SIZE(struct hr_ep_rt, 64);
#define HR_EPRT_DEAD 0x01 /* known not to accept connections */
/* a connection to it was opened: preferred to those of which nothing is known yet */
#define HR_EPRT_PROVED 0x04
#define HR_EPRT_EJECTED 0x02 /* outlier detection: gets no request */
/* Ejected, but used all the same: too few of its cluster are left (minHealthPercent). */
#define HR_EPRT_EJECTED_USED 0x08

/* Which of the counts has reached its limit. */
enum hr_outlier_kind { HR_OUTLIER_5XX = 1, HR_OUTLIER_GATEWAY, HR_OUTLIER_LOCAL, HR_OUTLIER_MAX };

/* cluster_rt: cluster id -> the same for clusters (mmap()able). */
struct hr_cluster_rt {
	union hr_inflight inflight; /* requests, and opaque connections through the agent */
	__u32 pending, retries;	    /* the agent's: waiting for a place, being tried again */
	__u32 rr;		    /* round robin position */
	/* breakers that tripped: refused for http2MaxRequests, made to wait for maxConnections,
	 * refused for http1MaxPendingRequests, not tried again for maxRetries */
	__u32 rq_overflow, cx_overflow, pending_overflow, retry_overflow;
	__u32 pad;
	__u64 table;			   /* HR_TABLE() */
	__u32 h2_connections, h2_requests; /* in use, on them; where maxConnections is set */
	__u64 pad2;
};
HR_ASSERT_SIZE(struct hr_cluster_rt, 64);

/* codes: outlierDetectionHttpErrorCodes, one bit for each status from 100. Written by the agent,
 * never changed while an endpoint names it. */
struct hr_codes {
	__u64 bits[8];
};
#define HR_CODES_MAX 256

/* ---- Counters (per-CPU arrays `route_stats` by route id, `ep_stats` by endpoint id) --------- */

#define HR_LAT_BUCKETS 19
/* Upper bounds in microseconds, the buckets of SEMANTICS.md "Metrics"; one more is +Inf. */
#define HR_LAT_BOUNDS_US                                                            \
	{500,	   1000,      5000,	 10000,	     25000,	50000,	  100000,   \
	 250000,   500000,    1000000,	 2500000,    5000000,	10000000, 30000000, \
	 60000000, 300000000, 600000000, 1800000000, 3600000000}

struct hr_stats {
	__u64 requests;
	__u64 status[6]; /* [1] 1xx .. [5] 5xx, [0] no or odd status */
	__u64 lat_sum_us;
	__u64 lat[HR_LAT_BUCKETS + 1]; /* not cumulative */
	__u64 tx_bytes;		       /* request bytes */
	__u64 rx_bytes;		       /* response bytes */
};

/* ---- Connections --------------------------------------------------------------------------- */

enum hr_conn_state {
	HR_CONN_NATIVE = 0, /* ordinary TCP to its endpoint */
	HR_CONN_MOVED,	    /* one request is on U */
	HR_CONN_BOUND,	    /* every byte goes to the agent through G */
	HR_CONN_TUNNEL,	    /* not HTTP: ordinary TCP for good */
	HR_CONN_ENDED,	    /* given up: what it sends goes nowhere, the agent shuts it down */
};

/* Word of one U slot: u_tab[slot].word, mmap()able, changed only by compare-and-exchange.
 * bits 0-7 state, 8-31 zero, 32-63 generation (raised when a socket enters the slot). */
enum hr_u_state {
	HR_U_EMPTY = 0, /* no socket */
	HR_U_FREE,
	HR_U_BUSY,  /* carries a request of `conn` */
	HR_U_RELAY, /* the agent reads the rest of the answer and injects it */
	HR_U_DEAD,  /* the agent closes it */
};
#define HR_WORD(state, gen) ((__u64)(state) | (__u64)(gen) << 32)
#define HR_WORD_STATE(word) ((__u32)((word) & 0xff))
#define HR_WORD_GEN(word) ((__u32)((word) >> 32))

struct hr_u {
	__u64 word;
	__u64 conn;    /* cookie of C while BUSY or RELAY */
	__u32 left;    /* response bytes still to come, once its head was seen */
	__u32 uses;    /* requests that it may still carry, HR_U_ANY; 0: DEAD after this one */
	__u64 cookie;  /* socket cookie of U, written by the agent */
	__u32 addr_id; /* endpoint address, written by the agent */
	__u32 ep;      /* endpoint id of the request in flight */
	__u32 route;   /* route id of the request in flight */
	__u32 conns;   /* hr_pool_key.conns, written by the agent */
	__u64 t0;      /* ktime of the request head, ns; FREE: since when */
	__u32 cluster; /* cluster id of the request in flight */
	__u32 tx;      /* its bytes */
};
HR_ASSERT_SIZE(struct hr_u, 64);
#define HR_U_ANY (~0U)
/* Who exchanges BUSY for FREE or DEAD lowers the in-flight numbers of `ep` and `cluster`. BUSY to
 * RELAY gives them to the agent, which lowers them. RELAY: `left` 0 means that U holds the whole
 * answer, from its first byte; otherwise C has had its head already and `left` bytes of it are to
 * follow. */

/* Word of one G slot: g_tab[slot].word, mmap()able. bits 0-3 state, 4-23 generation, 24-63 bytes
 * that C has put into G since it was bound. The kernel adds to the count by compare-and-exchange
 * before it redirects; the agent releases the connection by exchanging exactly (BOUND, gen, bytes
 * it has consumed) for FREE with generation + 1, so a racing send makes the release fail. A
 * connection that finds another generation in its slot is NATIVE again. */
enum hr_g_state { HR_G_EMPTY = 0, HR_G_FREE, HR_G_BOUND };
#define HR_G_WORD(state, gen, bytes) \
	((__u64)(state) | ((__u64)(gen) & 0xfffff) << 4 | (__u64)(bytes) << 24)
#define HR_G_STATE(word) ((__u32)((word) & 0xf))
#define HR_G_GEN(word) ((__u32)((word) >> 4 & 0xfffff))
#define HR_G_BYTES(word) ((word) >> 24)

struct hr_g {
	__u64 word;
	__u64 conn;	 /* cookie of C */
	__u64 netns;	 /* netns cookie of C: where upstream connections are opened */
	__u32 vip_vhost; /* hr_vip.vhost of the connection */
	__u32 workload;
	__u8 dst_ip[16]; /* address C asked for (the VIP) */
	__u16 dst_port_be;
	__u8 proto;	 /* enum hr_proto */
	__u8 flags;	 /* HR_G_* */
	__u32 why;	 /* enum hr_why: why the first request was bound */
	__u8 src_ip[16]; /* C's own address */
	__u16 src_port_be;
	__u16 pad[3];
};
HR_ASSERT_SIZE(struct hr_g, 80);
#define HR_G_CLIENT_EOF 0x01  /* C did shutdown(SHUT_WR): no byte follows the count */
#define HR_G_CLIENT_GONE 0x02 /* C is closed */
#define HR_G_WAIT_NATIVE                                                                     \
	0x04	       /* a native answer is still owed: inject only after conns[].owed is 0 \
			* and C holds every byte of it (DESIGN trap 26) */
#define HR_G_HTTP 0x08 /* C has carried a request before: what is no HTTP now is an error */

/* conns: cookie of C -> state (hash, not preallocated). Owned by the programs; the agent reads
 * `owed`/`rx_queued`. Private scratch of the programs follows in their own struct. */
struct hr_conn {
	__u64 netns;
	__u64 sk; /* address of the socket, for probe reads; 0 after close */
	__u64 t0; /* ktime of the newest request head, ns */
	__u64 resp_left;
	__u32 slot;    /* U or G slot */
	__u32 gen;     /* its generation */
	__u32 addr_id; /* endpoint it is connected to */
	__u32 vip_vhost;
	__u32 ep;    /* endpoint id of the request in flight */
	__u32 route; /* route id of the request in flight */
	__u32 owed;  /* answers of E or U not yet seen to their end */
	__u32 workload;
	__u16 vip_port;
	__u8 state;    /* enum hr_conn_state */
	__u8 proto;    /* enum hr_proto */
	__u8 flags;    /* HR_CONN_* */
	__u8 head_req; /* the request in flight is HEAD */
	__u16 dst_port_be;
	__u8 dst_ip[16];
	__u32 pid; /* thread group that connected, for pidfd_getfd */
	__u32 pad;
};
HR_ASSERT_SIZE(struct hr_conn, 96);
#define HR_CONN_F_DEAD 0x01	   /* never native again */
#define HR_CONN_F_END_UNKNOWN 0x02 /* the native answer's end cannot be known */
#define HR_CONN_F_HTTP 0x04	   /* has carried a request */
/* The answer in flight must be seen by the verdict on C (a timeout, a retriable status): a server
 * on the same node sends it natively. */
#define HR_CONN_F_WATCHED 0x08
#define HR_CONN_F_DROP 0x10 /* dead, and what its endpoint still sends is nobody's */

/* ---- Capture ------------------------------------------------------------------------------- */

/* workloads: cgroup id -> who runs there. connect looks for the nearest enrolled ancestor. */
struct hr_workload {
	__u32 id;
	__u32 flags; /* HR_WL_* */
};
#define HR_WL_AGENT 0x01	 /* opted out of the kernel path: door A */
#define HR_WL_BLOCKING_OK 0x02	 /* opts in with blocking sockets (trap 22) */
#define HR_WL_SAME_NODE_OFF 0x04 /* its bytes always go by TCP, also on one node */
#define HR_WL_K8S_NS_SHIFT 16	 /* above: number of its Kubernetes namespace, see hr_names_key */

/* names: ports of the agent's DNS for the workloads of a Kubernetes namespace that are guests in a
 * network namespace of another one's. Numbers are the agent's, from 1. */
struct hr_names_key {
	__u64 netns; /* cookie */
	__u32 k8s_ns;
	__u32 pad;
};
HR_ASSERT_SIZE(struct hr_names_key, 16);

struct hr_names {
	__u16 dns_port;
	__u16 dns6_port;
};

/* netns: netns cookie -> ports that the agent serves inside it. */
struct hr_netns {
	__u16 door_port;  /* door A on 127.0.0.1, host order */
	__u16 door6_port; /* door A on ::1 */
	__u16 dns_port;	  /* DNS on 127.0.0.1 (UDP and TCP) */
	__u16 dns6_port;
	__u32 ready;	/* 0: not yet */
	__u32 asked_ms; /* when a program first saw it: ktime in ms, truncated */
};

/* doors: what connect() asked for, for the agent that accepts at door A. Written in
 * ACTIVE_ESTABLISHED, before the agent can accept; taken (looked up and deleted) by the agent. */
struct hr_door_key {
	__u64 netns;
	__u16 port; /* client's local port, host order */
	__u16 family;
	__u32 pad;
};
struct hr_door {
	__u64 conn; /* socket cookie */
	__u32 vip_vhost;
	__u32 workload;
	__u8 dst_ip[16];
	__u16 dst_port_be;
	__u8 proto;
	__u8 pad;
	__u32 why; /* enum hr_why */
};
HR_ASSERT_SIZE(struct hr_door, 40);

/* splits: route id of a TCP route with several destinations -> what connect() picks from. */
struct hr_split {
	__u32 total; /* sum of the weights, not 0 */
	__u32 ndst;
	struct hr_dst dst[HR_DST_MAX];
};
HR_ASSERT_SIZE(struct hr_split, 8 + 8 * HR_DST_MAX);

/* door_ends: cookie of a client at door A -> what became of it. TCP does not tell a client that
 * half-closed, and waits for its answer, from one that has closed and waits for nothing. */
struct hr_door_end {
	__u32 state;  /* enum hr_door_end_state */
	__u32 worker; /* WATCHED: who wants to know */
};
enum hr_door_end_state {
	HR_DOOR_WATCHED = 1, /* the agent has seen its FIN: event when it is closed */
	HR_DOOR_CLOSED,	     /* both ways, by its owner */
};

/* pools: (netns, address, how they are kept) -> U slots. */
struct hr_pool_key {
	__u64 netns;
	__u32 addr_id;
	__u32 conns; /* connections that are kept alike: id of struct hr_plan_conns */
};
struct hr_pool {
	__u32 nchunks;
	__u32 chunk[HR_U_CHUNKS]; /* first slot of each run of HR_U_CHUNK slots */
	__u32 hint;		  /* where to start looking */
};

#include "abi_meter.h"
#include "abi_pair.h"
#include "copy.h"
#include "events.h"
