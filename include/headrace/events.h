/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/* What the programs are told, and what they tell: configuration and ring buffer records. The end of
 * abi.h, which includes it. */
#pragma once

#include "abi.h"

struct hr_config {
	__u32 abi;	  /* HR_ABI_VERSION */
	__u32 agent_only; /* kill switch: new connections to door A, new requests BOUND */
	__u32 generation; /* of the plan, for status */
	__u32 access_log; /* one in so many requests goes to `access_events`, 0: none */
	__u32 flags;	  /* HR_CFG_* */
	/* Raised after names, virtual hosts, rules or clusters have changed, or were changed back:
	 * what programs remember of them (bpf/lib/memo.h) is of one epoch. */
	__u32 epoch;
};
/* The agent answers HR_EV_TAKEN. Without it the client sees what it would have seen without us. */
#define HR_CFG_ANSWER_LOST 0x01
/* Connections between two captured ends on this node are paired when they are established. */
#define HR_CFG_SAME_NODE 0x02
/* There are no socket programs: a connection that needs the agent and finds no door is refused. */
#define HR_CFG_DOOR_ONLY 0x04

enum hr_event_kind {
	HR_EV_NETNS = 1,   /* a namespace was seen for the first time: pid, netns */
	HR_EV_POOL_MISS,   /* no U for (netns, addr_id, slot is `conns`): open some */
	HR_EV_G_LOW,	   /* few G slots are free: open more */
	HR_EV_RELAY,	   /* U slot must be read by the agent: slot, gen */
	HR_EV_U_DIRTY,	   /* U slot lost its client: close it: slot, gen */
	HR_EV_CLIENT_EOF,  /* bound C half-closed: slot, gen, bytes */
	HR_EV_CLIENT_GONE, /* bound C closed: slot, gen */
	HR_EV_TAKEN,	   /* the kernel gives up on the answer that conn is owed, for the reason
			    * `why` (enum hr_taken): the agent answers through a lent slot, and the
			    * in-flight numbers of `ep` and `cluster` are its own from here on. Nothing
			    * of the request is counted yet. slot, gen: its U, which is DEAD;
			    * HR_U_SLOTS: it was native. */
	HR_EV_ACCESS,	   /* in access_events: the beginning of struct hr_access_event */
	HR_EV_OUTLIER,	   /* failures in a row of `ep` have reached a limit: slot is the enum
			    * hr_outlier_kind */
	HR_EV_END,	   /* conn is ENDED: to be shut down, after an answer if status says one */
	HR_EV_DOOR_CLOSED, /* conn, at door A and WATCHED, was closed: slot is the worker */
	HR_EV_UNDELIVERED, /* an answer of the agent did not reach conn, which is still open: to be
			    * ended */
};

enum hr_taken {
	HR_TAKEN_LOST = 1,    /* E closed or reset before the first byte (its FIN was dropped) */
	HR_TAKEN_TIMEOUT,     /* the route's time is over: 504 */
	HR_TAKEN_TRY_TIMEOUT, /* that of the try is */
	HR_TAKEN_STATUS,      /* `status` is one that is tried again; `bytes` of the answer, all of
			       * it, are in conns[].resp.buf, 0: it is not held */
	HR_TAKEN_CUT,	      /* the time is over in the middle of the answer: end the connection */
};

/* events: ring buffer. A full ring is counted in events_lost and never blocks the path. */
struct hr_event {
	__u32 kind;
	__u32 pid;
	__u64 netns;
	__u64 conn;
	__u32 slot;
	__u32 gen;
	__u32 addr_id;
	__u32 route;
	__u32 ep;
	__u16 status;
	__u16 why;
	__u64 bytes;
	__u64 dur_ns;
	__u64 t0;      /* TAKEN: ktime of the request head, ns */
	__u32 cluster; /* TAKEN */
	__u32 tx;      /* TAKEN: bytes of the request */
};
HR_ASSERT_SIZE(struct hr_event, 80);

/* What the access log says of a request that the kernel has carried. */
struct hr_seen {
	__u8 host_len; /* of `host`; longer ones are not the kernel's */
	__u8 method_len;
	__u16 line_len; /* of `line`, the beginning of the request line */
	__u8 pad[4];
	char host[HR_HOST_MAX];
	char line[HR_LOG_LINE_MAX];
};
HR_ASSERT_SIZE(struct hr_seen, 8 + HR_HOST_MAX + HR_LOG_LINE_MAX);

/* access_events: a request has ended. Of `ev`: conn, route, ep, addr_id, status (0: none had
 * come), why, slot (enum hr_flag), bytes and tx (answer, request), dur_ns. */
struct hr_access_event {
	struct hr_event ev;
	struct hr_seen seen;
};
