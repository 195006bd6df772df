// SPDX-License-Identifier: Apache-2.0
/*
 * What the matched route says is done: fault, redirect, direct response, destination; and what
 * happens to a request that no route wants.
 */
#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/internal.h"

#define PPM 1000000

bool px_share(struct px_worker *w, int32_t ppm)
{
	if (ppm <= 0)
		return false;
	return ppm >= PPM || (uint64_t)px_random(w) * PPM >> 32 < (uint32_t)ppm;
}

bool px_is_own_door(struct hr_proxy *px, const struct hr_addr *a, uint16_t port)
{
	static const struct hr_addr lo4 = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
	static const struct hr_addr lo6 = {{[15] = 1}};
	bool own = false;

	if (!hr_addr_eq(a, &lo4) && !hr_addr_eq(a, &lo6))
		return false;
	pthread_mutex_lock(&px->ns_lock);
	hr_list_for_each (l, &px->netns) {
		const struct px_netns *ns = hr_list_entry(l, struct px_netns, link);

		own |= port == ns->ports.door_port || port == ns->ports.door6_port;
	}
	pthread_mutex_unlock(&px->ns_lock);
	return own;
}

/* Nobody in the mesh owns host and port: on to where C wanted to go, unless that is forbidden. */
static void pass_through(struct px_req *r)
{
	struct px_client *c = r->c;

	if (r->hold->plan->registry_only || px_vip_of(c, r->hold->plan) || !c->dst_port ||
	    px_is_own_door(c->w->px, &c->dst, c->dst_port)) {
		px_reply(r, 502, "NR", "");
		return;
	}
	r->addr = c->dst;
	r->port = c->dst_port;
	px_retry_setup(r);
	px_head_request(r);
	px_req_try(r);
}

static void destination(struct px_req *r)
{
	const struct hr_plan_route *route = r->match.route;

	r->cluster = hr_plan_pick_cluster(r->hold->plan, route, px_random(r->c->w), &r->dst);
	r->cluster = px_cluster_seen(r->c, r->hold->plan, r->cluster);
	if (!r->cluster || !hr_plan_has_place(r->cluster)) {
		px_reply(r, 503, r->cluster && !r->cluster->missing_subset ? "UH" : "NC",
			 PX_BODY_UH);
		return;
	}
	r->cluster_id = r->cluster->id;
	if (!px_rewrite_path(r)) {
		px_reply(r, 400, "DPE", "the path cannot be rewritten");
		return;
	}
	px_hash(r);
	px_retry_setup(r);
	px_head_request(r);
	px_mirror(r);
	if (r->body.done)
		px_req_received(r);
	px_breaker_enter(r);
}

static void act(struct px_req *r)
{
	const struct hr_http_route *http = r->match.route->http;

	if (http && http->redirect.set)
		px_reply_redirect(r);
	else if (http && http->direct_response.set)
		px_reply_direct(r);
	else if (!http || !px_cors(r))
		destination(r);
}

static void abort_or_act(struct px_req *r)
{
	const struct hr_fault *f = &r->match.route->http->fault;

	if ((f->abort_http > 0 || f->abort_grpc) && px_share(r->c->w, f->abort_ppm))
		px_abort(r);
	else
		act(r);
}

static void delayed(void *ctx)
{
	struct px_req *r = ctx;

	abort_or_act(r);
	px_client_run(r->c);
}

void px_req_route(struct px_req *r)
{
	const struct hr_plan_match *m = &r->match;
	const struct hr_http_route *http;

	if (!m->vhost) {
		pass_through(r);
		return;
	}
	if (!m->rule) {
		px_reply(r, 404, "NR", "");
		return;
	}
	http = m->route->http;
	if (!http || !http->fault.set) {
		act(r);
	} else if (http->fault.delay_ms > 0 && px_share(r->c->w, http->fault.delay_ppm)) {
		PX_COUNT(r->c->w->delays);
		r->state = PX_REQ_DELAY;
		r->flags = "DI";
		hr_timer_start(r->c->w->loop, &r->wait_timer, (uint64_t)http->fault.delay_ms,
			       delayed, r);
	} else {
		abort_or_act(r);
	}
}
