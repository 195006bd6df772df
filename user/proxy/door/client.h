/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client: an accepted connection of door A, or a G slot with its C; its tunnel, who it is,
 * and the listeners that it comes from.
 */
#pragma once

#include "proxy/internal.h"

/* ---- client: an accepted connection, or a G slot with its C ---------------------------------- */

enum px_client_state {
	PX_CLIENT_NEW,	  /* not HTTP for certain: an upstream is opened first */
	PX_CLIENT_DETECT, /* proto AUTO: no byte yet decides */
	PX_CLIENT_HELLO,  /* TLS routes: the server name decides */
	PX_CLIENT_HEAD,	  /* between requests, or a head is incomplete */
	PX_CLIENT_REQUEST,
	PX_CLIENT_TUNNEL, /* bytes both ways until both ends are done */
	PX_CLIENT_LINGER, /* all is said: read to the end, answer nothing */
	PX_CLIENT_H2,	  /* an HTTP/2 connection: its streams are clients (proxy/h2) */
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
	uint32_t workload;		  /* id of that, 0: not known */
	uint8_t proto;			  /* enum hr_proto */
	bool http_seen;			  /* carried a request: garbage is 400 from here on */
	bool close;			  /* after the answer in flight */
	bool running, rerun;		  /* px_client_run is on the stack */
	bool closed;			  /* only the memory is left */
	bool peer_gone;			  /* closed both ways, or reset */
	bool end_asked;			  /* the kernel was asked whether its FIN is a close */
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
	char *sni; /* of its ClientHello, "": none; NULL: it is not looked at */
	unsigned tunnel_tries;
	uint32_t tunnel_avoid[4];
	uint32_t tunnel_ep; /* endpoint id that is being connected to, 0: none, or it was told */
	/* cluster whose in-flight number has it, or among whose pending it is; 0: none */
	uint32_t tunnel_cluster, tunnel_waits;
	uint32_t tunnel_idle_ms, tunnel_age_ms; /* 0: no bound */
	struct hr_timer tunnel_timer;		/* waits for a place; then its age */
	uint64_t tx, rx;
	uint32_t tunnel_used_ep; /* endpoint id that it is connected to, 0: none, or no endpoint */
	bool tunnel_metered;	 /* opaque, and counted as opened */
	uint64_t tx_metered, rx_metered;
	struct hr_timer timer; /* slow head, idle, linger */
	struct hr_timer again;
	struct px_gslot *g;	/* NULL: door A */
	bool mirror;		/* a copy's: no socket, its answer is thrown away (mirror.c) */
	struct px_relay *relay; /* carries the answer of a moved request (urelay.c) */
	struct px_h2 *h2;	/* of an HTTP/2 connection */
	/* of a stream: its connection (only a mark once it is closed), and the stream */
	struct px_client *conn;
	struct hr_h2_stream *stream;
};

/* A door A connection. Takes the fd. */
void px_client_accept(struct px_worker *w, int fd, const struct hr_door *door, uint64_t netns,
		      const struct hr_addr *src, uint16_t src_port);
struct px_client *px_client_new(struct px_worker *w, int fd, const struct hr_door *door,
				uint64_t netns);
/* Its idle time begins. */
void px_client_start(struct px_client *c);
/* The kernel says that the client with this cookie has closed. */
void px_client_closed(struct px_worker *w, uint64_t cookie);
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
/* Looks at the client's time again in so many milliseconds: a slow head, an idle connection. */
void px_client_wake_at(struct px_client *c, uint32_t ms);
/* Writes what waits; true when all is out. */
bool px_client_flushed(struct px_client *c);
/* The head in c->req is complete: the request begins. */
void px_client_begin(struct px_client *c);
/* The request is over and its answer is out: next request, or the end. */
void px_client_next(struct px_client *c);
/* No answer is possible any more: ends the connection so that C sees it was cut. */
void px_client_abort(struct px_client *c);
static inline void px_client_progress(struct px_client *c)
{
	c->progress = hr_loop_now(c->w->loop);
}

/* ---- tunnels (tunnel.c) ---- */
/* Connects to the VIP's cluster or the original address; decides the state of a new client. */
void px_tunnel_open(struct px_client *c);
void px_tunnel_join(struct px_req *r); /* after 101 */
bool px_tunnel_run(struct px_client *c);
bool px_tunnel_detect(struct px_client *c);
bool px_tunnel_hello(struct px_client *c);
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
/* Labels of the client's workload as the plan's rules see them; NULL: not known. */
const hr_kvs *px_source_labels(const struct px_client *c, const struct hr_plan *plan);
/* A cluster as the client sees it. */
const struct hr_plan_cluster *px_cluster_seen(const struct px_client *c, const struct hr_plan *plan,
					      const struct hr_plan_cluster *cluster);
const struct px_identity *px_source_get(struct hr_proxy *px, uint32_t workload);
void px_source_put(const struct px_identity *id); /* NULL is fine */

/* ---- doors (listen.c) ---- */
struct px_listener {
	struct hr_list link;
	struct px_worker *w;
	int fd;
	int family;
	uint64_t netns;		/* cookie */
	bool own;		/* the agent's namespace: sockets need no helper */
	struct hr_addr home[2]; /* where its connections come from, IPv4, IPv6; zero: not known */
	struct hr_watch *watch;
	struct hr_timer again;
};
void px_listener_close(struct px_listener *l);
/* Main thread; takes the fd, -1 is nothing. */
void px_worker_add_door(struct px_worker *w, int fd, int family, uint64_t netns,
			const struct hr_addr home[static 2]);
void px_worker_drop_doors(struct px_worker *w, uint64_t netns);
void px_worker_close_doors(struct px_worker *w, uint64_t netns, bool all);
