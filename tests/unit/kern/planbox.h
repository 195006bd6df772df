/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hand-made plan, so that these tests judge the writer and not the compiler:
 *
 *	vip 10.96.0.<v>:80 -> vhost v "s<v>" with `conds` exact paths and one route 0
 *	route v: cluster 2v with `weight`, cluster 2v+1 with 100 - weight
 *	cluster c: `eps` endpoints 10.1.<c>.<n>:8080
 */
#pragma once

#include "core/arena.h"
#include "plan/plan.h"

struct planbox {
	uint32_t vhosts, conds, eps, weight;
	char variant;  /* letter in every path: another letter is another version of the match rows
			*/
	uint32_t edit; /* n: what is added to heads for destination n - 1 of each route */
	bool agent;    /* routes are the agent's */
};

static inline void planbox_cluster(struct hr_plan *p, struct planbox b, uint32_t i)
{
	struct hr_plan_cluster *c = &p->clusters.data[i];

	c->name = hr_arena_printf(p->arena, "outbound|80||c%u", i);
	c->proto = HR_PROTO_HTTP1;
	c->lb = HR_LB_LEAST_REQUEST;
	c->id = i + 1;
	c->first_ep = i * b.eps;
	c->n_eps = b.eps;
	for (uint32_t n = 0; n < b.eps; n++) {
		struct hr_plan_ep *ep = &p->eps.data[c->first_ep + n];

		memcpy(ep->addr.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x01", 14);
		ep->addr.ip[14] = (uint8_t)i;
		ep->addr.ip[15] = (uint8_t)n;
		ep->port = 8080;
		ep->weight = 1;
		ep->cluster = i;
		/* by place and not by count, as stable ids are */
		ep->id = ep->addr_id = i * 256 + n + 1;
	}
}

static inline void planbox_route(struct hr_plan *p, struct planbox b, uint32_t i)
{
	struct hr_plan_route *r = &p->routes.data[i];

	r->key = hr_arena_printf(p->arena, "default/r/http[0]@s%u", i);
	r->id = i + 1;
	r->action = HR_ACT_ROUTE;
	r->timeout = -1;
	r->ndst = 2;
	r->total = 100;
	r->dst = hr_arena_array(p->arena, struct hr_plan_dst, 2);
	r->dst[0] = (struct hr_plan_dst){.cluster = 2 * i, .weight = b.weight};
	r->dst[1] = (struct hr_plan_dst){.cluster = 2 * i + 1, .weight = 100 - b.weight};
	r->agent_why = b.agent ? HR_WHY_RULE : 0;
	if (b.edit) {
		struct hr_edit *e = hr_arena_new0(p->arena, struct hr_edit);

		e->len = 8;
		memcpy(e->text, "x-a: b\r\n", 8);
		r->dst[b.edit - 1].edit = e;
	}
}

static inline void planbox_free(struct hr_plan *p);

/* The plan that the tables look into, until the next one was applied. */
static inline void planbox_in_use(struct hr_plan *p)
{
	static struct hr_plan *in_use;

	if (in_use)
		planbox_free(in_use);
	in_use = p;
}

static inline void planbox_vhost(struct hr_plan *p, struct planbox b, uint32_t i)
{
	struct hr_plan_vhost *v = &p->vhosts.data[i];
	struct hr_plan_vip *vip = &p->vips.data[i];

	vip->split = HR_NONE;

	v->host = hr_arena_printf(p->arena, "s%u", i);
	v->port = 80;
	v->nnames = 1;
	v->names = hr_arena_array(p->arena, const char *, 1);
	v->names[0] = v->host;
	v->id = i + 1;
	v->nrules = 1;
	v->rules = hr_arena_array(p->arena, struct hr_plan_rule, 1);
	v->rules[0].route = i;
	v->default_cluster = 2 * i;
	v->k = (struct hr_vhost){.nblocks = 1, .ndims = 1, .nrules = 1};
	v->k.dims[0] = (struct hr_dim){.kind = HR_DIM_PATH, .flags = HR_DIM_HAS_EXACT};
	v->nblocks = 1;
	v->blocks = hr_arena_array(p->arena, struct hr_block, 1);
	v->blocks[0].valid.w[0] = 1;
	v->nconds = b.conds;
	v->cond_keys = hr_arena_array(p->arena, struct hr_cond_key, b.conds);
	v->conds = hr_arena_array(p->arena, struct hr_cond, b.conds);
	for (uint32_t n = 0; n < b.conds; n++) {
		v->cond_keys[n].len = (uint8_t)snprintf(v->cond_keys[n].value, HR_COND_MAX,
							"/%c/%u", b.variant, n);
		v->conds[n].pos.w[0] = 1;
	}
	v->nprefixes = 1;
	v->prefix_keys = hr_arena_array(p->arena, struct hr_prefix_key, 1);
	v->prefix_keys[0] = (struct hr_prefix_key){.bits = 8 * (8 + 2)};
	snprintf(v->prefix_keys[0].value, HR_COND_MAX, "/%c", b.variant);
	v->prefixes = hr_arena_array(p->arena, struct hr_cond, 1);
	memcpy(vip->addr.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x60\0", 15);
	vip->addr.ip[15] = (uint8_t)i;
	vip->port = 80;
	vip->proto = HR_PROTO_HTTP1;
	vip->vhost = i;
	vip->cluster = 2 * i;
	vip->host = v->host;
}

#define planbox_list(p, list, n)                                                            \
	do {                                                                                \
		(p)->list.data = hr_arena_alloc((p)->arena, (n) * sizeof(*(p)->list.data)); \
		(p)->list.len = (n);                                                        \
	} while (0)

static inline struct hr_plan *planbox_make(struct planbox b)
{
	struct hr_arena *a = hr_arena_new();
	struct hr_plan *p = hr_arena_new0(a, struct hr_plan);

	p->arena = a;
	planbox_list(p, vips, b.vhosts);
	planbox_list(p, vhosts, b.vhosts);
	planbox_list(p, routes, b.vhosts);
	planbox_list(p, clusters, 2 * b.vhosts);
	planbox_list(p, eps, 2 * b.vhosts * b.eps);
	for (uint32_t i = 0; i < 2 * b.vhosts; i++)
		planbox_cluster(p, b, i);
	for (uint32_t i = 0; i < b.vhosts; i++) {
		planbox_route(p, b, i);
		planbox_vhost(p, b, i);
	}
	return p;
}

static inline void planbox_free(struct hr_plan *p)
{
	hr_arena_free(p->arena);
}
