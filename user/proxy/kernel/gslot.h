/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Door G: loopback pairs whose one end the kernel redirects bound connections to (gpool.c makes
 * them, gend.c serves them), and answers that a worker injects for U (urelay.c).
 */
#pragma once

#include "proxy/internal.h"

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
	bool end;	     /* lent: C is shut down afterwards */
	bool lent;	     /* used to inject a relayed answer (urelay.c): no client here */
	atomic_bool broken;  /* the worker has let go of the pair: it is to be replaced */
	uint64_t consumed;   /* draining: bytes of C that were read, before and since */
	unsigned drains;     /* looks since C was gone */
	uint32_t seen_gen;   /* px_g_sweep: bound with that, and not served */
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
/* Once a second: finds what events should have told, for the ring may have been full. */
void px_g_sweep(struct px_worker *w);
/* A client for injecting only, of a slot that hr_kern_inject_to has bound; `of` says what it asked
 * for. NULL: no memory. */
struct px_client *px_g_lend(struct px_gslot *g, uint64_t conn, const struct hr_conn *of);

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
/* The agent's side of the in-flight numbers; 0: not of that. */
void px_inflight_lower(struct hr_proxy *px, uint32_t ep, uint32_t cluster);
