/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Values that only the programs use: the private part of a connection, and what socket storage
 * carries. The agent sees `struct conn` through its leading struct hr_conn.
 */
#pragma once

#include "lib/kernel.h"
#include "lib/match_scratch.h"
#include "lib/scan_resp.h"
#include "lib/scan_state.h"

/* Where the verdict is in an answer. */
enum resp_state {
	RESP_HEAD = 0, /* conn.resp.buf holds rlen bytes of the head */
	RESP_LENGTH,   /* pub.resp_left bytes of the body to come */
	RESP_CHUNKED,  /* in the body, see struct chunks */
	RESP_UNKNOWN,  /* until the connection closes, or not understood */
};

/* Chunked body: what comes next. */
enum chunk_state {
	CHUNK_SIZE = 0, /* digits of a size; `left` is their value so far */
	CHUNK_EXT,	/* rest of the size line */
	CHUNK_DATA,	/* `left` bytes of data and CR LF */
	CHUNK_TRAILER,	/* start of a trailer line, or of the empty line that ends all */
	CHUNK_FIELD,	/* rest of a trailer line */
	CHUNK_END,
	CHUNK_BAD,
};

struct chunks {
	__u64 left;
	__u8 state; /* enum chunk_state */
	__u8 pad[7];
};

/* The other end of C, when it is on this node (lib/pair.h). */
struct pair {
	__u64 peer;    /* address of S, its socket; 0: none, or closed */
	__u32 request; /* counts native requests: which one an answer is for */
	__u32 end_seq; /* S's write_seq after the answer in flight, when its end comes natively */
	__u8 serving;  /* the answer in flight is accounted by `serve`, not by the verdict on C */
	__u8 end_set;  /* end_seq is valid */
	__u8 spilled;  /* C's bytes go natively because S has too many to read */
	__u8 off; /* C's owner, or the address it asked for, wants TCP: also for moved requests */
	__u32 held[2]; /* enum pair_way: bytes of that queue that pair_held has; exchanged */
};
enum pair_way { TO_SERVER = 0, TO_CLIENT };

/* Value of `u_pairs`. */
struct u_pair {
	__u64 peer;  /* address of S; 0: it was the first of its listener, and stays ordinary */
	__u32 c_seq; /* what S expects first, and sends first */
	__u32 s_seq;
};

/* Value of `serve_store`. Written by programs on S, under its lock. */
struct served {
	__u64 conn; /* cookie of C; of U when `pooled` */
	/* The answer in flight: bytes that have still to be sent, as of write_seq `seq` (0: none,
	 * or one that the verdict on C reads). */
	__u64 left;
	__u32 seq;
	__u32 request; /* conn.pair.request of the last answer seen */
	__u8 mark;     /* CONN_M_* */
	__u8 spilled;
	__u8 blocks; /* S is a blocking socket after all: nothing is redirected into it */
	__u8 pooled; /* its client is a pooled connection of the agent */
	__u8 close;  /* the server closes after the answer in flight */
	__u8 pad[3];
	__u64 t0; /* pooled: hr_u.t0 of the request of the last answer seen */
};

/* Value of `answer_boxes`, see lib/answer.h. */
struct answer_box {
	__u32 busy; /* exchanged */
	__u32 pad;
	struct hr_resp resp;
};
#define ANSWER_BOXES 128 /* two for each of 64 processors; more processors share them */

/* Value of `meets`: the last client that was established with addresses of that hash. */
struct meet {
	__u32 busy; /* exchanged: whoever finds it so goes without */
	__u32 pad;
	struct hr_pair_key key;
	struct hr_pair_offer offer; /* conn 0: taken */
};

/* C's moved request has asked for the end of its connection, see lib/ending.h. */
enum conn_ending {
	ENDING_NOT = 0,
	ENDING_ASKED, /* its answer is to come */
	ENDING_LOOK,  /* it has been given: C may close by itself */
};

/* Value of `conns`. sk_msg programs on C run under C's socket lock, so only the verdicts and
 * STATE_CB run beside them: what both write is exchanged atomically. */
struct conn {
	struct hr_conn pub;
	/* Request bytes that have still to be put into the socket that carries the request, as of
	 * its write_seq `up_seq`: the only account that stays exact when a send is cut short by a
	 * full buffer (DESIGN trap 3). */
	__u64 up_left;
	__u64 rx;	 /* response bytes so far */
	__u64 rx_at;	 /* RESP_UNKNOWN: when the last of them came, ktime ns */
	__u64 tx;	 /* request bytes */
	__u64 src_ip[2]; /* C's own address */
	__u64 born;	 /* established, ktime ns */
	__u64 free_at;	 /* the last native request ended, ktime ns; 0: none has */
	__u32 used;	 /* native requests so far */
	__u32 up_seq;
	__u64 after_edit;  /* request bytes behind those that were added to its head; ~0: none were
			    */
	__u32 g_seq;	   /* write_seq of g when C was bound */
	__u32 counted;	   /* 1: a native request is in the in-flight numbers; exchanged */
	__u32 cluster;	   /* of the native request in flight */
	__u32 native_owed; /* 1: E owes an answer */
	__u32 moved_slot;  /* U slot used last, */
	__u32 moved_gen;   /* and its generation */
	__u32 mark;	   /* CONN_M_*, changed under C's lock only */
	__u32 rlen;	   /* RESP_HEAD: bytes of the head in resp.buf */
	__u16 status;	   /* of the answer in progress */
	__u8 rstate;	   /* enum resp_state */
	__u8 vip_flags;
	__u8 always; /* enum hr_why: every request is bound for that reason; 0: none */
	__u8 moved;  /* a request has gone by moved_slot */
	__u8 g_rx;   /* the agent has put bytes into C since it was bound */
	__u8 handed; /* the end of its moved answer was handed over by S, whose send may go on */
	__u8 cut;    /* U answered before it had the whole request: C's next bytes are no head */
	__u8 timed;  /* has an entry in watch_timers */
	/* The watch on the answer in flight, see lib/watch.h. */
	__u64 watch;	  /* WATCH_WORD, exchanged */
	__u64 deadline;	  /* ktime ns, 0: none; written before the word */
	__u64 timer_at;	  /* ktime ns: when the running timer fires */
	__u32 wait_ms;	  /* from the request's last byte to the deadline, 0: there is none */
	__u32 by_try;	  /* 1: the deadline is perTryTimeout's */
	__u32 rule_flags; /* HR_RULE_* */
	__u32 timer_on;	  /* exchanged: the timer is running */
	__u32 agent_owes; /* 1: the agent answers in place of E or U */
	__u32 swallow;	  /* bytes of an unwanted answer that are still to come from E */
	__u64 retry_status[HR_STATUS_WORDS];
	__u32 g_slot;  /* 1 + the slot that C was bound to last; 0: it has not been */
	__u32 ending;  /* enum conn_ending */
	__u64 end_ns;  /* ENDING_LOOK: until the next look */
	__u64 sampled; /* 1: the request in flight goes to the access log */
	struct hr_seen seen;
	struct pair pair;
	struct chunks chunks;
	struct hr_resp resp;
};
/* The rest of a message that was redirected only in part comes next: the kernel still remembers
 * that redirect, so "pass" must be a redirect to C itself (DESIGN trap 2). */
#define CONN_M_REDIRECTED 0x01

enum decision_kind { DECIDE_BIND, DECIDE_LOCAL, DECIDE_SEND };

/* What becomes of a request, see lib/decide.h. */
struct decision {
	__u8 kind;   /* enum decision_kind */
	__u8 spent;  /* SEND: C's own connection carries no (more) request of this cluster */
	__u16 why;   /* BIND: enum hr_why; LOCAL: 1: a fault is injected */
	__u32 route; /* 0: none */
	__u16 reply; /* LOCAL */
	__u16 status;
	/* SEND; a place in the cluster's in-flight number is taken, the endpoint's is not yet */
	__u32 cluster, ep, addr_id;
	__u32 conns;  /* which pools */
	__u32 own_ep; /* elsewhere: C's own endpoint would do as well; 0: it would not */
};

/* What the last requests were led by, see lib/memo.h. */
struct memo {
	__u32 len;	    /* of the head in scan.buf, 0: none, or not to be compared */
	__u32 epoch;	    /* hr_config.epoch of what follows */
	__u32 table, index; /* of that head: row of `rules`; table 0: not known */
	__u32 hashed;	    /* cluster whose key in that head has the hash, 0: none */
	__u32 vhost;	    /* id of the virtual host that the name in `host` leads to, 0: none */
	__u64 hash;
	/* copies of rows; table, id 0: none */
	__u32 rule_table, rule_index;
	struct hr_rule rule;
	struct hr_cluster cluster;
	__u32 cluster_id;
};

/* Value of `heads`. Programs on C may be preempted, so no per-CPU buffer (DESIGN trap 11). */
struct conn_scratch {
	__u64 cookie;
	__u32 mirrored; /* once it is sent, the agent gets a copy of the head */
	__u32 seen;	/* a program has decided a send of it: see gate.bpf.c */
	__u32 whole;	/* the message is one request that `scan` accepted, to its last byte */
	/* what is added to its head: a row of `edits`; edit_len 0: nothing */
	__u32 edit_len;
	struct hr_edit_key edit;
	__u32 pad;
	struct memo memo;
	struct decision decision; /* not on the stack: 512 bytes for the longest chain of calls */
	struct hr_vhost_key host;
	struct hr_match_scratch match;
	struct hr_copy copy; /* the head, scan.buf, lies behind it */
	struct hr_scan scan;
};

/* Value of `dials`: from connect() to established, then for getpeername(). */
struct dial {
	__u8 dst_ip[16]; /* what the application asked for */
	__u16 dst_port_be;
	__u8 proto; /* enum hr_proto */
	__u8 kind;  /* enum dial_kind */
	__u32 vip_vhost;
	__u32 workload;
	__u32 addr_id; /* KERNEL and TUNNEL: the endpoint chosen */
	__u32 why;     /* DOOR: enum hr_why; KERNEL: every request is bound for it, 0 for none */
	__u32 pid;
	__u32 cluster; /* KERNEL and TUNNEL: whose endpoint it is */
	__u16 vip_port;
	__u8 vip_flags;
	__u8 same_node; /* KERNEL: its bytes may go straight to a server on this node */
	__u32 entered;	/* 1: the sockhash */
	__u32 pad;
};
enum dial_kind {
	DIAL_NONE = 0, /* not ours */
	DIAL_KERNEL,   /* enters the sockhash when established */
	DIAL_TUNNEL,   /* balanced, then ordinary TCP */
	DIAL_DOOR,     /* sent to door A */
};

/* Value of `tallies`: an opaque connection, or one that may become it (lib/tally.h). */
struct tally {
	struct hr_meter_key key;
	__u64 sk;		/* its socket; 0: closed */
	__u64 acked0;		/* tcp_sock.bytes_acked when it was established: the SYN */
	__u64 tx, rx;		/* added so far */
	__u64 near_tx, near_rx; /* bytes that have skipped TCP */
	__u32 opened;		/* 1: counted as opaque; exchanged */
	__u32 fin;		/* 1: its client sends no more, tx is final */
};

/* Value of `watch_timers`. */
struct watch_timer {
	struct bpf_timer timer;
};

/* What `learn` reads after the Ethernet header of its test packet. Gives 0, or 1 when the slot has
 * no socket. */
struct learn_in {
	__u32 slot;
	__u32 is_g; /* 0: u_map and u_sk; 1: g_map and g_sk */
};

/* What `bytes_of` reads after the Ethernet header of its test packet, and what it leaves there; the
 * rest of the packet is filled with the bytes from `from` on. Gives 0, or 1 when C is gone. */
struct bytes_in {
	__u64 cookie;
	__u32 what; /* enum bytes_what */
	__u32 from;
	__u32 len; /* out: of the request's head; 0: it is not there any more */
	__u32 pad;
};
enum bytes_what {
	BYTES_REQUEST, /* the head of the request in flight */
	BYTES_ANSWER,  /* the answer that was kept from C (HR_TAKEN_STATUS) */
};

/* Value of `dns_orig`. */
struct dns_peer {
	__u8 ip[16];
	__u16 port_be;
	__u16 agent_port_be; /* where it went instead */
};
