/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the compiler: what its steps hand to each other. Steps, in order, a file each:
 * services (which hosts exist) -> endpoints -> clusters (with policy) -> vhosts (routes, rules)
 * -> rows (kernel form).
 */
#pragma once

#include "core/vec.h"
#include "plan/plan.h"

typedef HR_LIST(const struct hr_subset *) hr_subset_list;

/* A host of the registry: a Kubernetes Service, or one host of a ServiceEntry. */
struct hr_svc {
	const char *fqdn, *ns, *name; /* name: short name, NULL for ServiceEntry hosts */
	const struct hr_service *k8s;
	const struct hr_service_entry *se;
	const hr_ports *ports;
	bool auto_vips; /* exactly one IPv4, then one IPv6 */
	HR_LIST(struct hr_addr) vips;
	HR_LIST(struct hr_svc_eps {
		struct hr_plan_ep *data;
		size_t len;
		uint32_t draining;
	})
	eps;				    /* one per port, in the order of `ports` */
	uint32_t first_cluster, n_clusters; /* of the plan */
	uint32_t plan_name;		    /* index in the plan's names, HR_NONE */
	/* What clients see of whom nothing else is known, and what those of `views` see. */
	const struct hr_destination_rule *rule; /* NULL: none */
	hr_subset_list subsets;
	HR_LIST(struct hr_svc_view {
		const char *ns;		/* of the client */
		const hr_kvs *selector; /* its labels; NULL: any */
		const struct hr_destination_rule *rule;
		hr_subset_list subsets;
	})
	views; /* the first that holds */
};

/* A cluster that some clients get in place of another. */
struct hr_build_view {
	const char *base; /* name of the other */
	struct hr_plan_view view;
};

/* Key -> indexes of some list, in the list's order. */
struct hr_chain {
	struct hr_map *first, *last; /* index + 1 */
	uint32_t *next;		     /* index + 1, 0: the end */
};

struct hr_vs_host { /* one host of a VirtualService, full name or wildcard */
	const struct hr_virtual_service *vs;
	const char *host;
};

struct hr_build {
	struct hr_plan *plan;
	struct hr_arena *a;
	const struct hr_objects *o;
	const struct hr_plan_opts *opts;
	struct hr_diags *diags;
	HR_VEC(struct hr_svc *) svcs;
	struct hr_map *svc_by_fqdn;
	struct hr_map *svc_by_short; /* short name; not a service when several have it */
	struct hr_map *pod_by_addr;  /* struct hr_addr */
	/* node name -> "region/zone/subzone", of those that were asked for */
	struct hr_map *locality_by_node;
	struct hr_chain slices_by_service; /* "ns/name" -> o->slices */
	/* Those that speak for the mesh and have HTTP routes. All wildcards are under "*". */
	HR_LIST(struct hr_vs_host) vs_hosts;
	struct hr_chain vs_by_host; /* -> vs_hosts */
	/* The same of those with TLS or TCP routes. */
	HR_LIST(struct hr_vs_host) l4_hosts;
	struct hr_chain l4_by_host;
	struct hr_map *l4_route_by_key; /* index + 1 */
	struct hr_map *delegates;	/* "ns/name" of VirtualServices without hosts */
	const char **dr_hosts;		/* resolved, in the order of o->destination_rules */
	struct hr_chain dr_by_host;	/* -> o->destination_rules */
	struct hr_map *vhost_by_host;	/* "port/fqdn": index + 1 */
	bool wildcard_on[65536];	/* port has a wildcard vhost */
	HR_VEC(struct hr_plan_vip) vips;
	HR_VEC(struct hr_plan_l4) l4;
	HR_VEC(struct hr_plan_vhost) vhosts;
	HR_VEC(struct hr_plan_route) routes;
	HR_VEC(struct hr_plan_cluster) clusters;
	HR_VEC(struct hr_plan_ep) eps;
	HR_VEC(struct hr_plan_name) names;
	HR_VEC(struct hr_build_view) views;
	struct hr_block *last_block; /* of a virtual host that has one: others may have the same */
	struct hr_map *cluster_by_name; /* index + 1 */
};

void hr_chain_init(struct hr_build *b, struct hr_chain *c, size_t n);
void hr_chain_free(struct hr_chain *c);
void hr_chain_add(struct hr_chain *c, const char *key, uint32_t i);
/* HR_NONE at the end. */
uint32_t hr_chain_first(const struct hr_chain *c, const char *key);
uint32_t hr_chain_next(const struct hr_chain *c, uint32_t i);

/* A host as `ns` says it. */
const char *hr_build_fqdn(struct hr_build *b, const char *host, const char *ns);
/* The VirtualService with what it delegates in place; itself when it delegates nothing. */
const struct hr_virtual_service *hr_build_delegated(struct hr_build *b,
						    const struct hr_virtual_service *vs);
/* Is it seen from a namespace (NULL: one that is not known)? */
bool hr_exported_to(const struct hr_virtual_service *vs, const char *ns);
/* The same of any object's list. */
bool hr_export_holds(const hr_strs *export_to, const char *own_ns, const char *ns);
bool hr_speaks_for_mesh(const hr_strs *gateways);
void hr_build_place_lookups(struct hr_build *b);
/* "region/zone/subzone" of a node by its labels; "" when not known. */
const char *hr_build_node_locality(const struct hr_build *b, const char *node);
const struct hr_pod *hr_build_pod(const struct hr_build *b, const char *ns, const char *name);
void hr_build_rule_lookups(struct hr_build *b); /* once the services are known */
void hr_build_services(struct hr_build *b);
void hr_build_endpoints(struct hr_build *b, struct hr_svc *s);
/* The order of a cluster's endpoints. */
int hr_build_ep_cmp(const void *a, const void *b);
void hr_build_policy(struct hr_build *b, struct hr_svc *s);
/* Views of clusters behind the clusters that routes name. */
void hr_build_views(struct hr_build *b);
/* Localities of a cluster's endpoints (those from first_ep on), and what the policy makes of them.
 */
void hr_build_places(struct hr_build *b, const struct hr_svc *s, struct hr_plan_cluster *c);
/* Views of a cluster (index) for clients whose own labels decide what is near. */
void hr_build_groups(struct hr_build *b, const struct hr_svc *s, uint32_t base);
/* Clusters of every service port and subset; those of one service stand together. */
void hr_build_clusters(struct hr_build *b);
void hr_build_clusters_of(struct hr_build *b, const struct hr_svc *s);
/* Slots of balancing tables, with room to replace the largest. */
#define HR_SLOTS_LIMIT ((size_t)HR_SLOT_PAGES * HR_SLOTS_PAGE)
size_t hr_build_slots(const struct hr_plan_cluster *clusters, size_t n);
/* conns.c: from the cluster's pool. */
void hr_build_conns(struct hr_build *b, struct hr_plan_cluster *c);
/* Index of the cluster of a destination as `vs_ns` says it, made as an empty one when nobody
 * defines it. `port` is used when the destination names none and its service has several. */
uint32_t hr_build_cluster_of(struct hr_build *b, const struct hr_destination *d, const char *vs_ns,
			     uint16_t port);
uint32_t hr_build_cluster_named(struct hr_build *b, const char *fqdn, uint16_t port,
				const char *subset);
int hr_build_vhosts(struct hr_build *b);
void hr_build_vips(struct hr_build *b);
/* What DNS answers for a service that has a place. */
struct hr_plan_name hr_build_name(const struct hr_svc *s);
/* TLS and TCP routes of a service's port at one of its addresses: sets split, l4, tls and flags. */
void hr_build_l4(struct hr_build *b, const struct hr_svc *s, const struct hr_port *p,
		 struct hr_plan_vip *vip);
/* What a VirtualService's destinations become in a route. */
void hr_build_destinations(struct hr_build *b, struct hr_plan_route *r,
			   const struct hr_route_destination *dst, size_t n, uint16_t port);
/* Kernel form of a vhost; marks rules that need the agent. */
int hr_build_rows(struct hr_build *b, struct hr_plan_vhost *v);

/* false: no address, no endpoint, no DNS answer of ours; rules still know its name. */
bool hr_svc_has_place(const struct hr_svc *s);
enum hr_proto hr_port_proto(const struct hr_port *p);
bool hr_port_is_tls(const struct hr_port *p); /* https*, tls*: TLS routes are for these only */
/* All of `want` are among `have`. */
bool hr_labels_match(const hr_kvs *want, const hr_kvs *have);

/* ---- connect.c: what connect() goes by ---- */

/* Tables of a plan, also of one that is being built. */
struct hr_connect_view {
	const struct hr_plan_route *routes;
	const struct hr_plan_cluster *clusters;
	const struct hr_plan_ep *eps;
};
/* Default cluster of a vhost: by its weights, else `service` (the host's own, HR_NONE for none). */
uint32_t hr_connect_default(const struct hr_connect_view *p, const struct hr_plan_vhost *v,
			    uint32_t service);
/* Cluster of an address of this family, when the vhost's default is known. */
uint32_t hr_connect_cluster(const struct hr_connect_view *p, const struct hr_plan_vhost *v,
			    uint32_t service, bool v4);
