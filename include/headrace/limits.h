/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/*
 * Every bound of headrace, in one place: what it limits, its unit, and why that value.
 * Read by BPF programs and by user space. A bound that is hit is counted and named, never silent.
 */
#pragma once

/* ---- HTTP heads (RFC 9110 leaves them to the implementation) ---- */

/* Longest request head that the kernel scans, bytes; longer heads are bound to the agent.
 * Power of two: the verifier proves offsets by masking. */
#define HR_KHEAD_MAX 4096
/* Readable slack after it, bytes: wide loads at the end of the head stay inside the buffer. */
#define HR_KHEAD_SLACK 64
/* Longest response head that the kernel scans for its framing, bytes; longer: "end unknown". */
#define HR_KRESP_MAX 2048
/* Agent: whole header block, bytes; more is 431. Same as haproxy's and Envoy's order of size. */
#define HR_HEAD_MAX (16 * 1024)
/* Agent: request line, bytes; more is 414. */
#define HR_REQLINE_MAX (8 * 1024)
/* Agent: header fields of one message; more is 431. */
#define HR_HEADERS_MAX 100
/* Agent: chunk extensions of one message in total, bytes; more is 400. */
#define HR_CHUNK_EXT_MAX 4096

/* TLS server name that routes look at, bytes (RFC 6066: a DNS name, so at most 255); a longer one
 * is none. */
#define HR_SNI_MAX 255
/* First bytes in which a ClientHello must be found, all its records, bytes. */
#define HR_HELLO_MAX (16 * 1024)

/* ---- Plan (kernel tables) ---- */

/* Rules of one virtual host that one bit vector covers; a longer list uses several blocks. */
#define HR_BLOCK_RULES 1024
#define HR_BLOCK_WORDS (HR_BLOCK_RULES / 64)
/* Blocks of one virtual host: 10 x 1024 >= 10,000 rules. */
#define HR_BLOCKS_MAX 10
#define HR_RULES_MAX 10000
/* Dimensions (path, method, distinct header names) that the kernel matches in one virtual host.
 * A virtual host with more is evaluated by the agent. */
#define HR_DIMS_MAX 8
/* Longest condition value that the kernel tables hold, bytes. */
#define HR_COND_MAX 64
/* Longest header name the kernel matches, bytes. */
#define HR_HNAME_MAX 32
/* Longest host of a virtual host that the kernel looks up, bytes (DNS allows 253: agent). */
#define HR_HOST_MAX 64
/* Of a request line, what the access log has of requests that the kernel carries, bytes. A power of
 * two. */
#define HR_LOG_LINE_MAX 256
/* Words of a set of status codes from 100 on. */
#define HR_STATUS_WORDS 8
/* Weighted destinations of one rule. */
#define HR_DST_MAX 16
/* Labels of one failoverPriority, and groups of clients that it tells apart by their own labels:
 * each is a cluster, with its endpoints once more. */
#define HR_FAILOVER_LABELS_MAX 32
#define HR_CLIENT_GROUPS_MAX 32
/* Workloads of the node times clusters that they see differently; the agent tells more apart. */
#define HR_SEEN_MAX 65536

/* What the kernel appends to a request's head: bytes, fields, and names that the head must not
 * have; more is the agent's. The whole message, bytes: it is copied into one piece. */
#define HR_EDIT_MAX 512
#define HR_EDIT_FIELDS 16
#define HR_EDIT_NAMES 8
#define HR_EDIT_MESSAGE_MAX (16 * 1024)

/* ---- Table sizes, entries ---- */
#define HR_VIPS_MAX 16384
#define HR_VHOSTS_MAX 16384
#define HR_CONDS_MAX 65536
#define HR_RULE_ROWS_MAX 65536
#define HR_BLOCK_ROWS_MAX 16384
#define HR_CLUSTERS_MAX 16384
#define HR_EPS_MAX 65536
#define HR_ROUTES_MAX 16384
/* Balancing tables of all clusters: pages of slots, 16 MB. A cluster without weights and hashes
 * takes a slot an endpoint; a Maglev table of default size 1,025 pages. While a table is replaced
 * both versions are there. */
#define HR_SLOTS_PAGE 64
#define HR_SLOT_PAGES 131072
/* Slots of one table: 2 MB, so that no single rule takes all. */
#define HR_TABLE_MAX 1048576
/* Longest value that the kernel hashes (consistentHash), bytes, and the longest cookie header or
 * query in which it looks for one; longer: the agent. */
#define HR_HASH_VALUE_MAX 256
#define HR_HASH_LOOK_MAX 1024
#define HR_EDITS_MAX 65536
/* Rows of istio_* metrics: a client workload, an endpoint, an outcome. About 0.8 KB for each CPU;
 * on many CPUs fewer, so that all take HR_METERS_BYTES at most. What finds none is counted in one
 * row for all, whose labels are "unknown". */
#define HR_METERS_MAX 4096
#define HR_METERS_BYTES (32 * 1024 * 1024)
/* Rows of statuses that are not common ones; beyond, such statuses are counted by class. */
#define HR_ODD_CODES_MAX 4096
#define HR_REPLIES_MAX 64
#define HR_REPLY_MAX 512 /* bytes of one local reply, head and body */
#define HR_WORKLOADS_MAX 4096
#define HR_NETNS_MAX 1024
/* Client connections that the kernel path holds at once; more go to door A. */
#define HR_CONNS_MAX 65536

/* ---- Socket pools ---- */
/* Upstream (U) slots of all pools. */
#define HR_U_SLOTS 16384
/* U slots of one (namespace, endpoint) pool: chunks times slots. */
#define HR_U_CHUNK 16
#define HR_U_CHUNKS 8
/* G slots (bound connections at once); each costs two agent sockets. */
#define HR_G_SLOTS 8192
/* Request (head and body) that may be moved whole, bytes: must fit the send buffer of an idle U. */
#define HR_MOVE_MAX (64 * 1024)
/* Response that U may hand to C by itself, bytes: ingress redirects have no backpressure. */
#define HR_MOVE_RESP_MAX (64 * 1024)
/* Longest answer that is kept from its client and thrown away because it is tried again, bytes;
 * with a longer one, or one of unknown length, its connection is given up. */
#define HR_SWALLOW_MAX (64 * 1024)
/* The agent writes the time into `beat` once a second. When that is older than this, it is dead or
 * hangs: the kernel leaves late and unwanted answers to the client, ns. */
#define HR_BEAT_MAX_NS (5 * 1000000000ULL)
/* Bytes that the agent lets wait in C's receive queue: an answer of that size goes without a pause,
 * since nothing tells the agent that C has read some. And while the node holds HR_PAIR_NODE_MAX. */
#define HR_INJECT_WINDOW (2 * 1024 * 1024)
#define HR_INJECT_CROWDED (256 * 1024)

/* ---- Same node (bpf/lib/spill.h) ---- */
/* Connections whose both ends are steered on this node at once; more are ordinary TCP. */
#define HR_PAIRS_MAX 32768
/* Bytes in a receive queue beyond which nothing more is put there directly: what comes goes the
 * ordinary way, where TCP's window stops the writer. One message may exceed it (by 512 KB at most,
 * what one send holds). Under memory pressure (net.ipv4.tcp_mem, memory cgroups) nothing is
 * redirected at all. */
#define HR_PAIR_QUEUE_MAX (1024 * 1024)
/* Bytes in the receive queues of all pairs of the node beyond which nothing is redirected. Queues
 * up to HR_PAIR_SMALL are not counted: they come and go with every request. */
#define HR_PAIR_NODE_MAX (256 * 1024 * 1024LL)
#define HR_PAIR_SMALL (16 * 1024)
/* Connections seen on the client's side whose server's side is still to come; listeners whose kind
 * of socket is known. */
#define HR_PAIR_OFFERS 8192 /* a power of two */
#define HR_LISTENERS_MAX 4096

/* ---- Agent ---- */
#define HR_BUF_SIZE (32 * 1024)	    /* one direction of one connection, bytes */
#define HR_CONNECT_TIMEOUT_MS 10000 /* Istio default connectTimeout */
#define HR_HEADER_TIMEOUT_MS 10000  /* slow head: 408 */
#define HR_IDLE_TIMEOUT_MS 300000   /* idle client connection */
#define HR_UPSTREAM_IDLE_MS 3600000 /* idle upstream connection (Istio default idleTimeout) */
#define HR_REQS_PER_TURN 16	    /* requests of one connection in one loop turn */
#define HR_WORKERS_MAX 64
/* Mirrors: copies that one worker has under way (each at most two heads and a body), the body that
 * is copied, bytes, and how long one may take where the route has no timeout (Envoy: 15 s). */
#define HR_MIRRORS_MAX 128
#define HR_MIRROR_BODY_MAX HR_BUF_SIZE
#define HR_MIRROR_TIMEOUT_MS 15000

/* ---- HTTP/2 (RFC 9113; docs/THREAT-MODEL.md names the attack behind each) ---- */
#define HR_H2_STREAMS 100		/* at once, of one connection; Envoy, nghttp2 */
#define HR_H2_WINDOW (64 * 1024)	/* of a stream: bytes of it that are kept, each way */
#define HR_H2_CONN_WINDOW (1024 * 1024) /* of a connection, each way */
#define HR_H2_OUT_HIGH (64 * 1024)	/* frames made ahead of what the socket takes, bytes */
#define HR_H2_BLOCK_MAX (64 * 1024)	/* decoded header block, bytes: above it is no mistake */
#define HR_H2_CONTINUATIONS 8		/* of one header block; nghttp2 */
/* Streams that end by a reset within their first second: more than half, once so many were opened;
 * resets of ours that the peer provoked count too. Envoy. */
#define HR_H2_RESETS 500
#define HR_H2_RESET_AGE_MS 1000
/* Token buckets, burst and tokens a second: frames that move nothing (empty DATA); frames that ask
 * for work (PING, SETTINGS, PRIORITY, HEADERS of ended streams). */
#define HR_H2_EMPTY_BURST 100
#define HR_H2_EMPTY_RATE 10
#define HR_H2_CONTROL_BURST 1000
#define HR_H2_CONTROL_RATE 100
/* WINDOW_UPDATEs: so many at first, and for each stream opened and each DATA frame sent; Envoy. */
#define HR_H2_UPDATES 1000
#define HR_H2_UPDATES_EARNED 10
/* Heads from a server for streams that we gave up: so many, and as many more as above. */
#define HR_H2_LATE 100

/* ---- Configuration input (THREATS.md) ---- */
#define HR_FILE_MAX (16 * 1024 * 1024)
#define HR_DOCS_MAX 10000
/* Values of one document: a tree node costs about 100 bytes. */
#define HR_NODES_MAX 1000000
/* Items of a list in which each is held against the others (hosts, ports, subsets): Istio's own
 * bound of portLevelSettings. */
#define HR_ITEMS_MAX 4096
/* Findings kept of one check; more are only counted. */
#define HR_DIAGS_MAX 10000
#define HR_DEPTH_MAX 32
#define HR_SCALAR_MAX (64 * 1024)
#define HR_BODY_SCALAR_MAX (1024 * 1024) /* directResponse body */
#define HR_REGEX_MAX 1024
/* Instructions of a regex once its counted repetitions are written out: what one byte of text costs
 * at most, in steps, where there is no DFA. */
#define HR_REGEX_INSTS_MAX 2048
/* States of a regex's DFA (times its byte classes, 2 bytes each), and the steps that building it
 * may take; beyond, its NFA is simulated. */
#define HR_REGEX_STATES_MAX 256
#define HR_REGEX_DFA_STEPS 500000
/* Steps that replacing in one text may take (uriRegexRewrite): tens of milliseconds. A pattern that
 * looks to the end for each of many matches would be quadratic. */
#define HR_REGEX_SUB_STEPS 2000000
#define HR_OBJECTS_MAX 100000
/* One control request line, bytes. */
#define HR_CONTROL_LINE_MAX (16 * 1024 * 1024)
