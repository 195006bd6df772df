// SPDX-License-Identifier: Apache-2.0
/*
 * A request that the kernel has decided and sent, and whose answer is ours to see to: its head is
 * read and matched again, and its first try stands as if it had been made here. From there on it is
 * a request like any other.
 */
#include <stdlib.h>

#include "core/cleanup.h"
#include "proxy/internal.h"

static bool read_head(struct px_req *q, const char *head, size_t n)
{
	if (!n)
		return false;
	if (q->head_cap < n) {
		char *p = realloc(q->head, n);

		if (!p)
			return false;
		q->head = p;
		q->head_cap = n;
	}
	memcpy(q->head, head, n);
	if (hr_http_parse(&q->msg, q->head, n) != HR_HTTP_OK || q->msg.head_len != n)
		return false;
	q->msg.base = q->head;
	q->bad = false;
	hr_http_body_init(&q->body, &q->msg);
	return true;
}

/* The destination that the kernel has chosen; false: the plan has it no more. */
static bool find_destination(struct px_req *q)
{
	const struct hr_plan *plan = q->hold->plan;
	const struct hr_plan_route *route = q->match.route;
	const struct hr_plan_cluster *c = NULL;

	for (uint32_t i = 0; i < route->ndst; i++) {
		if (plan->clusters.data[route->dst[i].cluster].id != q->cluster_id)
			continue;
		q->dst = &route->dst[i];
		c = q->cluster = &plan->clusters.data[route->dst[i].cluster];
	}
	for (uint32_t i = 0; c && i < c->n_eps; i++) {
		const struct hr_plan_ep *ep = &plan->eps.data[c->first_ep + i];

		if (ep->id != q->ep_id)
			continue;
		q->ep = ep;
		q->addr = ep->addr;
		q->port = ep->port;
	}
	return c;
}

bool px_req_resume(struct px_req *q, const char *head, size_t n)
{
	uint32_t route = q->route_id;
	bool same;

	if (!read_head(q, head, n))
		return false;
	q->hold = px_hold_get(q->c->w);
	same = q->hold && px_req_canonical(q) && px_req_match(q) && q->route_id == route &&
	       find_destination(q);
	q->route_id = route;
	if (!same) {
		q->match = (struct hr_plan_match){};
		q->cluster = NULL;
		q->body.done = true;
		return false;
	}
	px_hash(q);
	px_retry_setup(q);
	px_head_request(q);
	if (!q->body.done)
		q->wire.keep = false; /* its body went by the kernel */
	q->body.done = true;
	q->avoid[q->n_avoid++] = q->ep_id;
	return true;
}
