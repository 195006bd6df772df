/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/*
 * Why the data path did what it did: the lists that it counts by, with the words that people read.
 * Part of abi.h.
 */
#pragma once

/* How a request was carried, and why not by the kernel: `why` per-CPU array, index enum hr_why. */
#define HR_WHY_LIST(X)                                                                             \
	X(NATIVE, "native") /* kernel: stayed on its connection */                                 \
	X(MOVED, "moved")   /* kernel: carried by a pooled connection */                           \
	X(LOCAL, "local")   /* kernel: answered in place */                                        \
	X(TUNNEL, "tunnel") /* not HTTP: ordinary TCP, a connection */                             \
	X(HEAD_SPLIT, "head-incomplete")                                                           \
	X(HEAD_LONG, "head-too-long")                                                              \
	X(HEAD_ODD, "head-unusual") /* bytes, framing or fields the scanner declines */            \
	X(PATH_ODD, "path-not-canonical")                                                          \
	X(DUP_HEADER, "header-repeated")                                                           \
	X(CHUNKED, "request-chunked")                                                              \
	X(UPGRADE, "upgrade")                                                                      \
	X(EXPECT, "expect-continue")                                                               \
	X(HTTP10, "http-1.0")                                                                      \
	X(CLOSE, "connection-close")                                                               \
	X(PIPELINED, "pipelined")                                                                  \
	X(BODY_SPLIT, "body-not-in-one-send")                                                      \
	X(BODY_BIG, "body-too-big-to-move")                                                        \
	X(NO_U, "no-free-pooled-connection")                                                       \
	X(RELAY, "moved-response-relayed")                                                         \
	X(TAKEN, "timeout-or-retry") /* native or moved at first */                                \
	X(REPLAY_BODY, "body-kept-for-retry")                                                      \
	X(MIRROR_BODY, "body-copied-for-mirror")                                                   \
	X(EDIT, "header-replaced") /* a header of the request is set or removed */                 \
	X(RULE, "rule-needs-agent")                                                                \
	X(VHOST, "vhost-needs-agent")                                                              \
	X(HOST, "host-unknown-to-kernel")                                                          \
	X(CLUSTER, "cluster-needs-agent")                                                          \
	X(DEAD, "native-connection-dead")                                                          \
	X(BLOCKING, "blocking-socket")                                                             \
	X(PROTO, "protocol-needs-agent")                                                           \
	X(NO_ENDPOINT, "no-endpoint")                                                              \
	X(FAMILY, "address-family")                                                                \
	X(NETNS, "namespace-not-ready")                                                            \
	X(TABLE_FULL, "table-full")                                                                \
	X(ZEROCOPY, "zero-copy")                                                                   \
	X(URGENT, "urgent-data")     /* it may be (bpf/lib/urgent.h), in a body that would move */ \
	X(FASTOPEN, "tcp-fast-open") /* its first bytes go before it is established */             \
	X(PRESSURE, "memory-pressure") /* sockets of its cgroup, or all, are short of it */        \
	X(OPTED_OUT, "workload-opted-out")                                                         \
	X(DATAPATH, "datapath-agent")                                                              \
	X(BINDING, "still-bound") /* followed another bound request on the connection */           \
	X(NO_G, "no-free-agent-slot")                                                              \
	X(ERROR, "kernel-helper-failed")

enum hr_why {
#define HR_WHY_ENUM(id, text) HR_WHY_##id,
	HR_WHY_LIST(HR_WHY_ENUM)
#undef HR_WHY_ENUM
		HR_WHY_MAX
};

/* mishaps: what should not happen, or only to clients that leave. Counted where it is seen, by the
 * programs and by the agent; index enum hr_mishap. */
#define HR_MISHAP_LIST(X)                                                                         \
	X(COPY, "mirror-copy-lost")	    /* the ring was full, or the head too long */         \
	X(LATE, "answer-after-client-left") /* agent: its bytes were thrown away */               \
	X(UNSEEN, "sent-before-capture")    /* on a connection in the making: not let out, 503 */ \
	X(URGENT, "urgent-data") /* MSG_OOB in HTTP: not let out, its connection ended */         \
	X(CUT, "ended-without-agent-slot") /* nobody could carry it: 503, closed */               \
	X(RENEWED, "agent-slot-renewed")   /* a client left in the middle of a send into it */    \
	X(WOKEN, "sender-woken") /* it waited for room, which there was: memory had been short */ \
	X(STUCK, "event-lost")	 /* found by the agent's own look, and served, seconds later */   \
	X(UNDELIVERED, "answer-undelivered") /* C is not reachable any more: it was ended */

enum hr_mishap {
#define HR_MISHAP_ENUM(id, text) HR_MISHAP_##id,
	HR_MISHAP_LIST(HR_MISHAP_ENUM)
#undef HR_MISHAP_ENUM
		HR_MISHAP_MAX
};
