/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiled plan: what a set of objects means, as flat tables that the kernel, the agent's
 * proxy and `headrace explain` evaluate alike. Pure: no sockets, no clock, no globals; the same
 * objects give the same bytes. Indexes inside a plan are local (0-based, in name order); stable
 * ids (compile/ids.h) are filled in before it is published and are not part of its bytes.
 *
 * compile/ makes it from objects, balance/ says who gets how much of a cluster, explain/ puts a
 * decision into words; what evaluates a request in user space is here.
 */
#pragma once

#include "core/str.h"
#include "headrace/abi.h"
#include "model/decode.h"
#include "model/model.h"

#define HR_NONE UINT32_MAX

struct hr_plan_opts {
	const char *cluster_domain; /* "cluster.local" */
	bool registry_only;	    /* outboundTrafficPolicy REGISTRY_ONLY */
	/* Where the clients are: "region/zone/subzone" (NULL: the labels of the Node object say),
	 * and the name of the node; NULL: not known. */
	const char *locality, *node;
	/* Address for hosts without one: 240.240.0.0/16 and a ULA; the same name always gets the
	 * same address while it exists (ids.c keeps the table). NULL: none is given. */
	int (*auto_vip)(void *ctx, const char *fqdn, struct hr_addr *v4, struct hr_addr *v6);
	void *auto_vip_ctx;
};

struct hr_plan_ep { /* one address in one cluster */
	struct hr_addr addr;
	uint16_t port;
	uint16_t pad;
	uint32_t weight;      /* 1 when not set */
	uint32_t cluster;     /* index */
	uint32_t id, addr_id; /* stable ids */
	const char *workload; /* pod or WorkloadEntry "ns/name", "" when not known */
	const char *locality; /* "region/zone/subzone" or "" */
	const char *node;     /* "" when not known */
	uint32_t place;	      /* index in its cluster's places */
	const hr_kvs *labels; /* NULL when not known */
};

/* What some clients get in place of a cluster: they see another DestinationRule (exportTo, their
 * own namespace's, workloadSelector), or its priorities from other labels (failoverPriority). */
struct hr_plan_view {
	const char *ns;		/* NULL: any */
	const hr_kvs *selector; /* labels; NULL: any */
	hr_kvs *same;	  /* NULL: any; a value "" is also that of a label that is not there */
	uint32_t cluster; /* index; its own, where they see what the others do */
};

/* How connections to the endpoints of a cluster are made and kept (connectionPool). Clusters that
 * say the same share theirs. 0: no bound, or the system's value. */
struct hr_plan_conns {
	uint32_t id;	  /* stable id; 0: nothing is set */
	const char *name; /* of what is set: equal names, equal settings; NULL: nothing is */
	uint32_t connect_ms;
	uint32_t idle_ms;      /* without a request */
	uint32_t age_ms;       /* maxConnectionDuration: no new request after it */
	uint32_t max_requests; /* of one connection */
	bool keepalive;
	uint32_t ka_time_s, ka_interval_s, ka_probes;
	/* HTTP/2: streams of one connection; http2KeepAlive */
	uint32_t max_streams, ping_ms, pong_ms;
};

/* Endpoints of one locality and priority. Of a priority the places share by weight, those with few
 * healthy endpoints less; the next priority gets what one has no room for (Envoy's rules, with an
 * overprovisioning factor of 140). */
struct hr_plan_place {
	const char *locality;
	uint8_t priority; /* 0 first */
	uint32_t n;	  /* endpoints */
	double weight;	  /* 0: gets nothing */
};

/* Istio's name: "outbound|8080|v2|reviews.default.svc.cluster.local"; subset "" for none. */
struct hr_plan_cluster {
	const char *name, *host, *subset;
	uint16_t port;
	uint8_t proto; /* enum hr_proto */
	uint8_t lb;    /* enum hr_lb */
	uint32_t id;
	uint32_t first_ep, n_eps; /* in plan->eps; IPv4 first, then by address */
	uint32_t draining;	  /* endpoints known but not offered (terminating, not ready) */
	uint32_t n_places;
	const struct hr_plan_place *places;
	const char
		*by_place; /* why places matter: "distribute", "failover" ...; NULL: they do not */
	bool missing_subset; /* no DestinationRule defines it: always 503 */
	uint16_t agent_why;  /* enum hr_why, 0: the kernel can carry it */
	/* Effective policy: port level of the subset, subset, port level of the rule, rule. Each
	 * NULL when not set. */
	const struct hr_load_balancer *balancer;
	const struct hr_connection_pool *pool;
	const struct hr_outlier *outlier;
	const struct hr_retry_budget *retry_budget;
	struct hr_plan_conns conns;
	bool opaque_limits; /* opaque connections are counted and timed: only the agent can */
	const char *tls_mode;
	const struct hr_tunnel *tunnel;
	const struct hr_proxy_protocol *proxy_protocol;
	uint32_t n_views; /* the first that holds */
	const struct hr_plan_view *views;
};

/* What requests to the servers of a cluster are written in. */
enum hr_speaks { HR_SPEAKS_HTTP1, HR_SPEAKS_HTTP2, HR_SPEAKS_AS_CLIENT };
enum hr_speaks hr_plan_speaks(const struct hr_plan_cluster *c);

/* Has it somewhere to go? PASSTHROUGH goes where the client wanted to go. */
static inline bool hr_plan_has_place(const struct hr_plan_cluster *c)
{
	return c->n_eps || (c->lb == HR_LB_PASSTHROUGH && !c->missing_subset);
}

struct hr_plan_dst {
	uint32_t cluster; /* index */
	uint32_t weight;  /* as written; a lone destination without weight has 100 */
	const struct hr_route_destination *model; /* NULL for a default route */
	const struct hr_edit *edit; /* what the kernel adds to a head; NULL: nothing */
};

struct hr_plan_mirror {
	uint32_t cluster; /* index */
	int32_t ppm;	  /* share of the requests, 1 to 1,000,000 */
};

/* One match entry of one HTTPRoute (or one route without match). */
struct hr_plan_rule {
	uint32_t route; /* index in plan->routes */
	uint16_t match; /* index of its entry in http[].match */
	uint16_t agent_why;
	const struct hr_http_match *m; /* NULL: matches all */
	bool with_origin; /* and only requests that have an Origin: the part of a rule with
			   * corsPolicy that needs the agent */
	/* Of a VirtualService that only some namespaces see (exportTo); NULL: all do. */
	const struct hr_virtual_service *only;
	bool end; /* last of these: who sees it and came so far is matched by no rule (404) */
};

/* One HTTPRoute of one VirtualService in one virtual host, or the default route of a service. */
struct hr_plan_route {
	const char *key; /* "ns/vs/http[2]@vhost" or "default@vhost": stable id and counters */
	uint32_t id;
	const struct hr_virtual_service *vs; /* NULL: default route */
	const struct hr_http_route *http;    /* NULL: default route */
	uint32_t index;			     /* in vs->http, vs->tls or vs->tcp */
	const char *stat_prefix;	     /* of the one match that it is for; NULL: none */
	const struct hr_l4_route *l4; /* TLSRoute or TCPRoute, in vs->tls or vs->tcp; or NULL */
	uint8_t action;		      /* enum hr_action as the kernel sees it */
	uint16_t agent_why;
	uint16_t status; /* LOCAL */
	uint32_t ndst, total;
	struct hr_plan_dst *dst;
	uint32_t n_mirrors; /* those that get a share */
	struct hr_plan_mirror *mirrors;
	int64_t timeout;		   /* effective, ms, -1 none */
	const struct hr_plan_retry *retry; /* compile/retry.h; NULL where no try is made */
};

/* A (port, set of host names) with its rules. */
struct hr_plan_vhost {
	const char *host; /* the service's FQDN, or the wildcard pattern */
	uint16_t port;
	uint16_t nnames;
	const char **names; /* every Host value that selects it, lower case, without port */
	uint32_t id;
	const struct hr_virtual_service *vs; /* first that speaks for it, NULL: none */
	uint32_t nrules;
	struct hr_plan_rule *rules;
	uint32_t service;	  /* its host's own cluster, index or HR_NONE */
	uint32_t default_cluster; /* index or HR_NONE: used at connect() */
	/* kernel form; keys have table 0, filled by user/kern */
	struct hr_vhost k;
	uint32_t nblocks, nconds, nprefixes;
	struct hr_block *blocks;
	struct hr_cond_key *cond_keys;
	struct hr_cond *conds;
	struct hr_prefix_key *prefix_keys;
	struct hr_cond *prefixes;
	struct hr_map *index; /* cond/prefix key bytes -> struct hr_cond *, for user space */
	uint64_t digest;      /* of all above: equal digests need no kernel update */
};

/* One match of one TLSRoute or TCPRoute that this address and port can meet. */
struct hr_plan_l4 {
	uint32_t route;	 /* index in plan->routes */
	uint16_t match;	 /* index in its match list */
	uint16_t subnet; /* bits of the longest destinationSubnet that holds the address, 0: none */
	const struct hr_l4_match *m;	       /* NULL: all */
	const struct hr_virtual_service *only; /* seen by some namespaces; NULL: by all */
	struct hr_addr source;		       /* sourceSubnet */
	unsigned source_bits;
};

struct hr_plan_vip {
	struct hr_addr addr;
	uint16_t port;
	uint8_t proto;
	uint8_t flags;	  /* HR_VIP_* */
	uint32_t vhost;	  /* index, HR_NONE for opaque TCP */
	uint32_t cluster; /* index or HR_NONE */
	uint32_t split; /* index of the TCP route that connect() picks a cluster from, or HR_NONE */
	uint32_t first_l4, n_l4; /* in plan->l4, as written */
	bool tls;		 /* its routes look at the server name: the first bytes decide */
	const char *host;
};

/* For DNS: every name under which a host is asked for. */
struct hr_plan_name {
	const char *name; /* FQDN, lower case, no trailing dot */
	uint32_t naddrs;
	struct hr_addr *addrs;
	const char *ns; /* namespace of the service: short names match from here */
};

struct hr_plan {
	struct hr_arena *arena;
	struct hr_objects *objects; /* owned */
	const char *cluster_domain;
	const char *locality, *node; /* of the clients; "" when not known */
	bool registry_only;
	bool asks_labels;    /* a rule looks at the labels of the source */
	uint64_t generation; /* set by the publisher */
	HR_LIST(struct hr_plan_vip) vips;
	HR_LIST(struct hr_plan_l4) l4;
	HR_LIST(struct hr_plan_vhost) vhosts;
	HR_LIST(struct hr_plan_route) routes;
	HR_LIST(struct hr_plan_cluster) clusters;
	HR_LIST(struct hr_plan_ep) eps;
	HR_LIST(struct hr_plan_name) names;
	struct hr_map *vhost_by_name; /* "port/host" -> index in vhosts + 1 (exact names) */
	HR_LIST(uint32_t) wildcards;  /* index in vhosts; most specific first */
	struct hr_map *vip_by_addr;   /* struct hr_vip_key -> index in vips + 1 */
	/* By stable id: index in eps + 1, 0: none. Filled in with the ids. */
	uint32_t *ep_by_id, n_ep_by_id;
	HR_LIST(struct hr_svc *) svcs; /* the compiler's: whose clusters are whose */
	/* A plan with other endpoints (hr_plan_change) is made of another one, which was built: it
	 * has tables of its own where something differs, and lives on what the other one holds. */
	struct hr_plan *origin; /* NULL: it was built itself */
	size_t users;		/* of one that was built: itself, and those made of it */
	size_t built;		/* bytes that it took then */
};

/* Takes `o` over, also on failure. Findings that only show here (limits) go to diags.
 * 0, -E2BIG when a limit is exceeded (said in diags). */
int hr_plan_build(struct hr_plan **out, struct hr_objects *o, const struct hr_plan_opts *opts,
		  struct hr_diags *diags);
void hr_plan_free(struct hr_plan *p);
/* NULL: no address of ours. */
const struct hr_plan_vip *hr_plan_vip_at(const struct hr_plan *p, const struct hr_vip_key *key);

/* Deterministic bytes (no pointers, no ids): for tests and for `status`. */
void hr_plan_dump(const struct hr_plan *p, struct hr_strbuf *out);
/* One line per difference: "+ cluster ...", "- endpoint ...", "~ route ... weights 95/5 -> 50/50"
 */
void hr_plan_diff(const struct hr_plan *from, const struct hr_plan *to, struct hr_strbuf *out);

/* What new weights changed: indexes, for user/kern. */
#define HR_REWEIGH_MAX 64
struct hr_reweighed {
	size_t n_routes, n_vhosts, n_vips;
	uint32_t routes[HR_REWEIGH_MAX];
	uint32_t vhosts[HR_REWEIGH_MAX]; /* those whose rules name one of the routes */
	uint32_t vips[HR_REWEIGH_MAX];	 /* those that connect() uses otherwise now */
};
/*
 * New weights of the destinations of one rule, in a plan that is in use: as if it had been built
 * with them, without building it. `vs` is of the plan's own objects, and changed too. From the one
 * thread that builds plans; workers may read meanwhile, each request sees the old weights or the
 * new. Takes memory of the plan each time. 0, or -EOPNOTSUPP, and nothing is changed: this takes a
 * new plan (delegates, TCP rules beside, very many hosts).
 */
int hr_plan_reweigh(struct hr_plan *p, const struct hr_virtual_service *vs, size_t rule,
		    const uint32_t *weights, size_t n, struct hr_reweighed *out);

/* What other endpoints changed: indexes, which are those of the plan before as well. */
struct hr_plan_changes {
	uint32_t *clusters, *vips; /* whose endpoints may differ; that connect() uses otherwise */
	size_t n_clusters, n_vips;
	bool names; /* what DNS answers */
};
/*
 * A plan in which the objects called `gone` are not there any more and those of `put` are, else as
 * `from`: the same as if it had been built of them, but only what depends on them is made anew.
 * EndpointSlices, Endpoints, Pods and WorkloadEntries only. What `put` holds must live as long as
 * `from` (hr_decoder_into hr_plan_arena). Ids are those of `from`; endpoints that are new have 0.
 * From the one thread that builds plans, and in the order of plans: each is made of the one before.
 * 0; -EOPNOTSUPP: this takes a build.
 */
int hr_plan_change(struct hr_plan **out, const struct hr_plan *from,
		   const struct hr_object_key *gone, size_t n_gone, const struct hr_objects *put,
		   struct hr_diags *diags, struct hr_plan_changes *what);
/* Of the objects of a plan and of all that are made of it; it only grows. */
struct hr_arena *hr_plan_arena(const struct hr_plan *p);
/* Bytes that changes have added since the build. */
size_t hr_plan_grown(const struct hr_plan *p);
/* hr_plan_diff of a plan and the one made of it. */
void hr_plan_diff_changes(const struct hr_plan *from, const struct hr_plan *to,
			  const struct hr_plan_changes *what, struct hr_strbuf *out);

/* ---- evaluation ---------------------------------------------------------------------------- */

/* A request as the plan sees it. Slices stay the caller's. */
struct hr_plan_req {
	struct hr_slice method, path /* canonical, without query */, query, host /* as sent */,
		scheme /* of an absolute target, else {NULL, 0} */;
	uint16_t port;		 /* of the VIP */
	uint32_t fallback_vhost; /* index for an unknown Host, or HR_NONE */
	/* All values of a header joined with "," (SEMANTICS.md); {NULL, 0} when absent. `name` is
	 * lower case. The slice must live until the evaluation ends. ":path" asks for path and
	 * query in one; {NULL, 0}: there is no query. */
	struct hr_slice (*header)(void *ctx, struct hr_slice name);
	void *header_ctx;
	const char *source_ns; /* NULL: not known */
	const hr_kvs *source_labels;
	const char *gateway; /* NULL: mesh */
};

struct hr_plan_match {
	const struct hr_plan_vhost *vhost; /* NULL: nobody owns host:port */
	const struct hr_plan_rule *rule;   /* NULL: no rule matched (404) */
	const struct hr_plan_route *route;
	uint32_t rule_index;
	/* The rule that the kernel finds: the same one, or an earlier one that only the agent can
	 * decide, which is then why the agent gets the request. HR_NONE when nothing matched. */
	uint32_t kernel_index;
	/* The kernel cannot know the vhost by Host: a wildcard's, or a name too long for it. */
	bool host_unsure;
};

/* Same algorithm and same header (bpf/lib/match.h) as the kernel for what the kernel can match;
 * conditions that only the agent knows (regex, source, query) are checked in rule order here. */
void hr_plan_match(const struct hr_plan *p, const struct hr_plan_req *req,
		   struct hr_plan_match *out);

/* A connection whose bytes nobody reads, beyond the server name that a ClientHello gives. */
struct hr_plan_conn {
	struct hr_slice sni; /* lower case, no trailing dot; {NULL, 0}: none */
	struct hr_addr src;
	bool src_known;
	const char *source_ns; /* NULL: not known */
	const hr_kvs *source_labels;
};

/* The TLSRoute or TCPRoute that speaks for it. NULL: none; then the vip's own cluster has it, or,
 * where routes look at the server name (vip->tls), nobody. */
const struct hr_plan_l4 *hr_plan_l4_match(const struct hr_plan *p, const struct hr_plan_vip *vip,
					  const struct hr_plan_conn *c);

/* Labels of a workload: as it was attached with, else its Pod's, where a rule asks for labels at
 * all. */
const hr_kvs *hr_plan_labels(const struct hr_plan *p, const char *ns, const char *name,
			     const hr_kvs *attached);
/* The same, whether a rule asks or not. */
const hr_kvs *hr_plan_pod_labels(const struct hr_plan *p, const char *ns, const char *name,
				 const hr_kvs *attached);

/* Host header -> vhost: port stripped, case folded, trailing dot dropped, exact before the longest
 * wildcard. NULL when unknown. */
const struct hr_plan_vhost *hr_plan_vhost_of(const struct hr_plan *p, uint16_t port,
					     struct hr_slice host);

/* Destination of a route by weight. `random` is uniform over 32 bits. NULL when there is none. */
const struct hr_plan_cluster *hr_plan_pick_cluster(const struct hr_plan *p,
						   const struct hr_plan_route *route,
						   uint32_t random, const struct hr_plan_dst **dst);

/* The cluster as a client sees it: itself, or one of its views. NULL: of whom nothing is known. */
const struct hr_plan_cluster *hr_plan_cluster_seen(const struct hr_plan *p,
						   const struct hr_plan_cluster *c, const char *ns,
						   const hr_kvs *labels);

/* What kernel and agent share about endpoints and clusters, by stable id. */
struct hr_words {
	struct hr_ep_rt *ep;	       /* [HR_EPS_MAX] */
	struct hr_cluster_rt *cluster; /* [HR_CLUSTERS_MAX] */
	struct hr_slots *slots;	       /* [HR_SLOT_PAGES], tables.h */
};

/* Endpoint of a cluster by its policy and its table (tables.h). `avoid` (may be NULL) are endpoints
 * already tried. Endpoints that are DEAD are skipped unless all are; one that is EJECTED is never
 * given. `hash` (hr_plan_hash of the key; NULL: there is none, any will do) is for clusters with
 * consistentHash. NULL: no endpoint. */
const struct hr_plan_ep *hr_plan_pick_ep(const struct hr_plan *p, const struct hr_plan_cluster *c,
					 const struct hr_words *w, uint32_t random,
					 const uint64_t *hash, const uint32_t *avoid,
					 size_t n_avoid);
/* For retryRemoteLocalities: an endpoint of the first priority that none of `tried` has, by chance;
 * NULL: there is none that is known to be better, hr_plan_pick_ep goes on. */
const struct hr_plan_ep *hr_plan_pick_remote(const struct hr_plan *p,
					     const struct hr_plan_cluster *c,
					     const struct hr_words *w, uint32_t random,
					     const uint32_t *tried, size_t n_tried);
/* Hash of a key for consistentHash: the same in every agent and in the kernel. */
uint64_t hr_plan_hash(struct hr_slice key, uint64_t seed);
/* The value of the first "name=value" in a cookie header (';') or a query ('&'); quotes around a
 * cookie's are no part of it. The kernel's is bpf/lib/hashkey.h. */
bool hr_plan_hash_pair(struct hr_slice all, char sep, struct hr_slice name, struct hr_slice *value);

/* Can the kernel carry this request as it stands (policy only, not framing)? 0 or the reason. Of
 * the request, who it is from (NULL: not known). */
enum hr_why hr_plan_kernel_why(const struct hr_plan *p, const struct hr_plan_req *req,
			       const struct hr_plan_match *m);

/* Text of a reason, "rule-needs-agent". */
const char *hr_why_text(enum hr_why w);
