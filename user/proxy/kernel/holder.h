/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The holder: one thread that owns the upstream connections (U) which the kernel uses by itself.
 * It opens them inside their namespaces, knows from them which endpoints live, hands answers that
 * the kernel will not carry to a worker, and closes what is of no more use.
 *
 *	px_addr    an endpoint address of the plan: alive or not       (upool.c)
 *	px_upool   connections from one namespace to one address, kept alike (upool.c)
 *	px_u       one connection in one slot of the kernel's table    (uslot.c)
 */
#pragma once

#include "proxy/internal.h"

#define PX_U_CHUNK_COUNT (HR_U_SLOTS / HR_U_CHUNK)
#define PX_U_MAX (HR_U_CHUNK * HR_U_CHUNKS) /* connections of one pool */

struct px_addr {
	struct hr_list link; /* holder->addrs */
	uint32_t addr_id;
	struct hr_addr addr;
	uint16_t port;
	bool in_plan;
	/* [1]: from the agent's own namespace, which may see the network otherwise than the pods:
	 * it is only believed when nobody else has an opinion */
	unsigned pools[2], live[2], failing[2];
	bool dead, proved; /* said so in ep_rt */
};

enum px_u_state { PX_U_CONNECTING, PX_U_LISTED, PX_U_RELAYED };

struct px_u {
	struct hr_list link; /* pool->conns */
	struct px_upool *pool;
	enum px_u_state state;
	uint32_t slot;
	int fd;
	struct hr_watch *watch;
	struct hr_timer timer;	/* connect timeout; then: how long it is kept */
	uint64_t since;		/* ns: listed */
	struct px_relay *relay; /* what a worker does with it */
	bool relay_again;	/* and then once more */
	bool carried;		/* it has carried a request: see px_u_look */
};

struct px_upool {
	struct hr_list link; /* holder->pools */
	struct px_holder *holder;
	uint64_t netns;
	struct px_addr *addr;
	struct hr_plan_conns kept; /* without name */
	struct hr_list conns;
	unsigned n, connecting, listed;
	unsigned want;
	unsigned nchunks;
	uint32_t chunk[HR_U_CHUNKS]; /* first slot of each */
	struct px_u *slots[PX_U_MAX];
	uint32_t backoff_ms;
	uint32_t brief_ms; /* wait after a connection that was of no use; 0: the last one was */
	bool told;	   /* that one could not be listed, since one could */
	struct hr_timer retry;
	bool home;    /* from the agent's own namespace */
	bool failing; /* cannot connect, or not in time */
	bool going;   /* its address or namespace is gone */
};

struct px_holder {
	struct hr_proxy *px;
	struct hr_kern *kern; /* NULL: the kernel path is off */
	struct hr_loop *loop;
	pthread_t thread;
	bool started;
	int home; /* fd of the agent's own namespace */
	struct px_plan *plan;
	struct hr_list addrs, pools;
	struct hr_map *addr_map, *pool_map; /* addr_id; struct hr_pool_key */
	unsigned chunks_used;
	struct px_upool *owner[PX_U_CHUNK_COUNT];
	struct hr_timer tick;
	unsigned next_worker;
};

/* ---- upool.c ---- */
void px_upool_fill(struct px_upool *p);
/* How a connection ended: it could not be made; it was closed before it was of any use; else. */
enum px_u_end { PX_U_FAILED, PX_U_BRIEF, PX_U_OVER };
void px_upool_lost(struct px_upool *p, enum px_u_end how);
/* It does not answer: others first, until it does. */
void px_upool_suspect(struct px_upool *p);
void px_upool_live(struct px_upool *p, int delta);

/* ---- uslot.c ---- */
/* A connection on its way into a free place of the pool. 0 or -errno. */
int px_u_open(struct px_upool *p, unsigned place);
/* Takes it out of the kernel's hands and closes it. False: it carries a request. */
bool px_u_retire(struct px_u *u);
/* Closes whatever it does: the namespace or the agent ends. */
void px_u_drop(struct px_u *u);
void px_u_event(struct px_holder *h, const struct hr_event *ev);
/* As if the event had come that its word asks for: one may have found the ring full. */
void px_u_look(struct px_u *u);
uint64_t px_now_ns(void);

/* ---- urelay.c: an answer that goes through a worker ---- */
struct px_relay {
	struct px_holder *h;
	struct px_u *u; /* NULL: there is none, or the holder has dropped it */
	struct px_worker *w;
	uint32_t slot, gen; /* HR_U_SLOTS: no U */
	int fd;		    /* U; the holder closes it */
	enum hr_taken why;  /* no answer will come from there; 0: U has it */
	bool owes;	    /* hr_kern_conn_owes is set, to be cleared at the end */
	bool reused;	    /* LOST: the connection was not new */
	bool end;	    /* C is shut down afterwards */
	bool reusable;
	uint64_t left; /* of an answer whose head C has had already, 0: none of it */
	uint64_t held; /* STATUS: bytes of the answer, all of it; 0: it is not held */
	uint16_t status;
	uint64_t conn, t0_ns, tx;
	struct hr_conn of; /* conn, when it was handed over */
	uint32_t ep, cluster, route;
	unsigned tries;
	struct hr_timer timer; /* worker: waits for a free G slot */
};
/* Hands the answer to a worker; px_u_returned comes back. `lost`: U has broken off before its
 * first byte, and hr_kern_conn_owes is set. */
int px_relay_start(struct px_u *u, uint32_t gen, bool lost);
/* The kernel gives up on an answer (HR_EV_TAKEN), or C is to be ended with 503 (HR_EV_END). */
void px_relay_taken(struct px_holder *h, const struct hr_event *ev);
void px_u_returned(struct px_relay *r);
