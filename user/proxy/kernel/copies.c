// SPDX-License-Identifier: Apache-2.0
/*
 * Mirrors of requests that the kernel carried: it sends us their heads. Each is read and matched
 * again by a worker, as if a client without a socket had sent it, and then only copied.
 *
 *	ring --main: hr_proxy_copy--> post --worker: on_copy--> px_mirror_head --> mirror.c
 */
#include <netinet/in.h>
#include <stdlib.h>

#include "core/cleanup.h"
#include "proxy/internal.h"

struct job {
	struct px_worker *w;
	struct hr_copy copy;
	char head[];
};

static bool read_head(struct px_req *r, const struct job *j)
{
	size_t n = j->copy.head_len;

	if (r->head_cap < n) {
		char *p = realloc(r->head, n);

		if (!p)
			return false;
		r->head = p;
		r->head_cap = n;
	}
	memcpy(r->head, j->head, n);
	if (hr_http_parse(&r->msg, r->head, n) != HR_HTTP_OK || r->msg.head_len != n)
		return false;
	r->msg.base = r->head;
	hr_http_body_init(&r->body, &r->msg);
	return r->body.done;
}

/* The plan may be another one by now: the rule must be the one that the kernel has followed. */
static bool same_rule(struct px_req *r, uint32_t route)
{
	r->hold = px_hold_get(r->c->w);
	return r->hold && px_req_canonical(r) && px_req_match(r) && r->match.route &&
	       r->match.route->id == route && px_rewrite_path(r);
}

static void mirror(struct job *j)
{
	struct px_client like = {.w = j->w,
				 .netns = j->copy.netns == j->w->px->own_netns ? 0 : j->copy.netns,
				 .cookie = j->copy.conn,
				 .dst_port = ntohs(j->copy.dst_port_be),
				 .proto = HR_PROTO_HTTP1};
	struct px_client *c;

	memcpy(like.dst.ip, j->copy.dst_ip, sizeof(like.dst.ip));
	c = j->w->n_mirrors < HR_MIRRORS_MAX ? px_mirror_client(&like) : NULL;
	if (!c) {
		PX_COUNT(j->w->mirror_lost[HR_MIRROR_BUSY]);
		return;
	}
	c->source = px_source_get(j->w->px, j->copy.workload);
	if (read_head(c->req, j) && same_rule(c->req, j->copy.route))
		px_mirror_head(c->req);
	else
		PX_COUNT(j->w->mirror_lost[HR_MIRROR_CUT]);
	px_client_close(c, false);
}

static void on_copy(void *ctx)
{
	struct job *j = ctx;

	atomic_fetch_sub_explicit(&j->w->px->n_copies, 1, memory_order_relaxed);
	mirror(j);
	free(j);
}

void hr_proxy_copy(struct hr_proxy *px, const struct hr_copy *copy, const char *head)
{
	struct px_worker *w = &px->workers[copy->conn % px->n_workers];
	struct job *j = NULL;

	if (atomic_load_explicit(&px->n_copies, memory_order_relaxed) < HR_COPIES_MAX)
		j = malloc(sizeof(*j) + copy->head_len);
	if (j) {
		j->w = w;
		j->copy = *copy;
		memcpy(j->head, head, copy->head_len);
		atomic_fetch_add_explicit(&px->n_copies, 1, memory_order_relaxed);
		if (!hr_loop_post(w->loop, on_copy, j))
			return;
		atomic_fetch_sub_explicit(&px->n_copies, 1, memory_order_relaxed);
		free(j);
	}
	hr_kern_mishap(px->opts.kern, HR_MISHAP_COPY);
}
