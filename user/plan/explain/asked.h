/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of explain: the request that is asked about, and what the plan says of it. */
#pragma once

#include "plan/explain/explain.h"

struct hr_asked {
	struct hr_slice scheme, authority /* without port */, path /* canonical */, query;
	uint16_t port;
	bool odd_path;	     /* was not canonical as given */
	bool bad_path;	     /* broken or ambiguous: 400, whatever the rules say */
	bool is_addr;	     /* the host is an address */
	struct hr_addr addr; /* of is_addr */
};

/* Slices point into url and the arena. -EINVAL: *why says what is wrong. */
int hr_asked_url(struct hr_arena *a, const char *url, struct hr_asked *out, const char **why);

struct hr_trace {
	uint32_t rule; /* index in the VirtualService's http; its entries are told together */
	bool matched;
	const char *because;
};

struct hr_verdict {
	struct hr_asked asked;
	struct hr_plan_match m;
	const struct hr_virtual_service *vs; /* that the source sees for the host; or NULL */
	const char *source_ns;		     /* who asks, as far as it is known */
	const hr_kvs *source_labels;
	const char *action;	       /* CLI.md */
	int status;		       /* 0: none of our own */
	enum hr_why why;	       /* 0: the kernel carries it */
	const struct hr_plan_vip *tcp; /* no vhost, but an opaque port of the mesh; or NULL */
	HR_LIST(struct hr_trace) trace;
};

/* The connection to v->tcp: its TLS or TCP route, in v->m.route. */
void hr_decide_l4(const struct hr_plan *p, const struct hr_explain_req *r, struct hr_arena *a,
		  const struct hr_plan_req *req, struct hr_verdict *v);

/* A destination's cluster as the source sees it. */
const struct hr_plan_cluster *hr_asked_cluster(const struct hr_plan *p, const struct hr_verdict *v,
					       uint32_t cluster);

/* What the request's header callback reads. */
struct hr_asked_headers {
	struct hr_arena *a;
	const hr_kvs *kvs;
	const struct hr_asked *asked;
};

/* Why the agent gets the request of `v`, 0: the kernel carries it. */
enum hr_why hr_asked_carrier(const struct hr_plan *p, const struct hr_plan_req *req,
			     const struct hr_verdict *v, const hr_kvs *headers);

/* What skips TCP when client and server are on one node, both captured: "http" requests, "tcp" all
 * bytes, "off" nothing. NULL: the agent carries it, or it is no business of ours. */
const char *hr_asked_same_node(const struct hr_plan *p, const struct hr_verdict *v);

int hr_explain_decide(const struct hr_plan *p, const struct hr_explain_req *r, struct hr_arena *a,
		      struct hr_verdict *out, const char **why);
