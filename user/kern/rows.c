// SPDX-License-Identifier: Apache-2.0
/* Plan objects to rows of the kernel's tables; touches no kernel. */
#include "kern/rows.h"

#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "core/vec.h"
#include "plan/compile/retry.h"

/* ---- tables --------------------------------------------------------------------------------- */

void kern_table_unref(struct kern_table *t)
{
	if (!t || --t->refs)
		return;
	free(t->cond_keys);
	free(t->prefix_keys);
	free(t->edit_keys);
	free(t->edits);
	free(t);
}

static uint64_t mix(uint64_t h, const void *data, size_t len)
{
	return h * 0x9e3779b97f4a7c15ULL + (len ? hr_hash(data, len) : 1);
}

/* What is added to heads belongs to the match rows: a request gets that of the destination that it
 * was matched with, of one version. */
static uint64_t hash_edits(uint64_t h, const struct hr_plan *p, const struct hr_plan_vhost *v)
{
	for (uint32_t i = 0; i < v->nrules; i++) {
		const struct hr_plan_route *r = &p->routes.data[v->rules[i].route];

		for (uint32_t d = 0; d < r->ndst && !r->agent_why; d++)
			if (r->dst[d].edit)
				h = mix(h + i * HR_DST_MAX + d + 1, r->dst[d].edit,
					sizeof(*r->dst[d].edit));
	}
	return h;
}

/* Ours rather than the plan's digest: it covers what the match rows hold and nothing else, so
 * that a change of weights only keeps the table. */
static uint64_t hash_vhost(const struct hr_plan *p, const struct hr_plan_vhost *v)
{
	struct hr_vhost k = v->k;
	uint64_t h;

	k.table = 0;
	h = mix(v->nrules, &k, sizeof(k));
	h = mix(h, v->blocks, v->nblocks * sizeof(*v->blocks));
	h = mix(h, v->cond_keys, v->nconds * sizeof(*v->cond_keys));
	h = mix(h, v->conds, v->nconds * sizeof(*v->conds));
	h = mix(h, v->prefix_keys, v->nprefixes * sizeof(*v->prefix_keys));
	h = mix(h, v->prefixes, v->nprefixes * sizeof(*v->prefixes));
	return hash_edits(h, p, v);
}

static void *copy_array(const void *data, size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		abort(); /* as the arenas do: bounds were checked when the plan was made */
	if (size)
		memcpy(p, data, size);
	return p;
}

static void copy_edits(struct kern_table *t, const struct hr_plan *p, const struct hr_plan_vhost *v)
{
	HR_VEC(struct hr_edit_key) keys = {0};
	HR_VEC(struct hr_edit) edits = {0};

	for (uint32_t i = 0; i < v->nrules; i++) {
		const struct hr_plan_route *r = &p->routes.data[v->rules[i].route];

		for (uint32_t d = 0; d < r->ndst && !r->agent_why; d++) {
			const struct hr_edit_key key = {t->number, i, d};

			if (!r->dst[d].edit)
				continue;
			hr_vec_push(&keys, key);
			hr_vec_push(&edits, *r->dst[d].edit);
		}
	}
	t->nedits = (uint32_t)keys.len;
	t->edit_keys = keys.data;
	t->edits = edits.data;
}

static struct kern_table *new_table(const struct hr_plan *p, const struct hr_plan_vhost *v,
				    uint64_t hash, uint32_t number)
{
	struct kern_table init = {
		.refs = 1,
		.number = number,
		.hash = hash,
		.nblocks = v->nblocks,
		.nconds = v->nconds,
		.nprefixes = v->nprefixes,
		.nrules = v->nrules,
		.cond_keys = copy_array(v->cond_keys, v->nconds * sizeof(*v->cond_keys)),
		.prefix_keys = copy_array(v->prefix_keys, v->nprefixes * sizeof(*v->prefix_keys)),
	};

	for (uint32_t i = 0; i < v->nconds; i++)
		init.cond_keys[i].table = number;
	for (uint32_t i = 0; i < v->nprefixes; i++)
		init.prefix_keys[i].table = number;
	copy_edits(&init, p, v);
	return copy_array(&init, sizeof(init));
}

/* ---- rules ---------------------------------------------------------------------------------- */

struct build {
	const struct hr_plan *plan;
	const struct hr_rows *old;
	struct hr_rows *rows;
	struct kern_numbers *numbers;
	struct kern_replies *replies;
	uint64_t now_ms;
};

static void to_agent(struct hr_rule *out, uint16_t why)
{
	out->action = HR_ACT_AGENT;
	out->why = why;
}

static void set_destinations(struct build *b, const struct hr_plan_route *r, struct hr_rule *out)
{
	uint32_t cum = 0;

	if (r->ndst > HR_DST_MAX) {
		to_agent(out, HR_WHY_RULE);
		return;
	}
	for (uint32_t i = 0; i < r->ndst; i++) {
		cum += r->dst[i].weight;
		out->dst[i].cluster = b->plan->clusters.data[r->dst[i].cluster].id;
		out->dst[i].cum = cum;
		if (r->dst[i].edit)
			out->flags |= HR_RULE_EDIT;
	}
	out->ndst = (uint8_t)r->ndst;
	out->total = cum;
	if (r->ndst && !cum)
		to_agent(out, HR_WHY_RULE);
}

static void set_reply(struct build *b, struct hr_rule *out, unsigned status, const char *body,
		      size_t len)
{
	uint32_t place = kern_reply_place(b->replies, b->rows, status, body, len, b->now_ms);

	if (place == HR_NONE) {
		to_agent(out, HR_WHY_RULE);
		return;
	}
	out->reply = (uint16_t)place;
	out->status = (uint16_t)status;
}

static void set_local(struct build *b, const struct hr_plan_route *r, struct hr_rule *out)
{
	const struct hr_direct_response *d = r->http ? &r->http->direct_response : NULL;

	if (d && d->set)
		set_reply(b, out, (unsigned)d->status, d->body ? d->body : "", d->body_len);
	else
		set_reply(b, out, r->status, "", 0);
}

static void set_abort(struct build *b, const struct hr_plan_route *r, struct hr_rule *out)
{
	static const char body[] = "fault filter abort";
	const struct hr_fault *f = r->http ? &r->http->fault : NULL;

	if (!f || !f->set || f->abort_http < 0 || f->abort_ppm <= 0)
		return;
	set_reply(b, out, (unsigned)f->abort_http, body, sizeof(body) - 1);
	out->abort_ppm = (uint32_t)f->abort_ppm;
}

/* maxRetries or retryBudget of a destination: the agent may refuse a retry when it comes to it. */
static bool has_budget(const struct build *b, const struct hr_plan_route *r)
{
	for (uint32_t i = 0; i < r->ndst; i++) {
		const struct hr_plan_cluster *c = &b->plan->clusters.data[r->dst[i].cluster];

		if (c->retry_budget || (c->pool && c->pool->max_retries > 0))
			return true;
	}
	return false;
}

static void set_watch(struct build *b, const struct hr_plan_route *r, struct hr_rule *out)
{
	const struct hr_plan_retry *retry = r->retry;

	out->timeout_ms = r->timeout > 0 ? (uint32_t)HR_MIN(r->timeout, UINT32_MAX) : 0;
	if (!retry)
		return;
	out->per_try_ms = retry->per_try_ms;
	memcpy(out->retry_status, retry->status, sizeof(out->retry_status));
	out->flags |= (retry->replay ? HR_RULE_REPLAY : 0) |
		      (retry->any_status ? HR_RULE_RETRY_STATUS : 0) |
		      (has_budget(b, r) ? HR_RULE_HELD_ONLY : 0);
}

static void build_rule(struct build *b, const struct hr_plan_rule *rule, struct hr_rule *out)
{
	const struct hr_plan_route *r = &b->plan->routes.data[rule->route];

	out->route = r->id;
	out->action = r->action;
	set_watch(b, r, out);
	set_destinations(b, r, out);
	for (uint32_t i = 0; i < r->n_mirrors; i++)
		out->mirror_ppm = HR_MAX(out->mirror_ppm, (uint32_t)r->mirrors[i].ppm);
	if (r->action == HR_ACT_LOCAL)
		set_local(b, r, out);
	else
		set_abort(b, r, out);
	if (r->agent_why)
		to_agent(out, r->agent_why);
	if (rule->agent_why)
		to_agent(out, rule->agent_why);
}

/* ---- vhosts --------------------------------------------------------------------------------- */

static void add_names(struct build *b, const struct hr_plan_vhost *v, uint32_t *id)
{
	for (uint16_t i = 0; i < v->nnames; i++) {
		struct hr_vhost_key key = {.port = v->port};
		size_t len = strlen(v->names[i]);

		/* longer names and wildcards are the agent's */
		if (len > HR_HOST_MAX || v->names[i][0] == '*')
			continue;
		key.len = (uint16_t)len;
		memcpy(key.host, v->names[i], len);
		hr_map_put(b->rows->names, &key, sizeof(key), id);
	}
}

static void build_vhost(struct build *b, const struct hr_plan_vhost *v)
{
	struct kern_vhost *kv = hr_arena_new0(b->rows->arena, struct kern_vhost);
	uint32_t *id = hr_arena_new0(b->rows->arena, uint32_t);
	const struct kern_vhost *was =
		b->old ? hr_map_get(b->old->vhosts, &v->id, sizeof(v->id)) : NULL;
	uint64_t hash = hash_vhost(b->plan, v);

	*id = v->id;
	if (was && was->table->hash == hash) {
		kv->table = was->table;
		kv->table->refs++;
	} else {
		kv->table = new_table(b->plan, v, hash, ++b->numbers->table);
		kv->fresh = true;
	}
	kv->plan = v;
	kv->value = v->k;
	kv->value.table = kv->table->number;
	kv->rules = hr_arena_array(b->rows->arena, struct hr_rule, v->nrules);
	for (uint32_t i = 0; i < v->nrules; i++)
		build_rule(b, &v->rules[i], &kv->rules[i]);
	hr_map_put(b->rows->vhosts, id, sizeof(*id), kv);
	add_names(b, v, id);
}

/* ---- clusters ------------------------------------------------------------------------------- */

struct hr_member_key kern_member_key(const struct hr_plan_cluster *c, const struct hr_plan_ep *ep)
{
	return (struct hr_member_key){.cluster = c->id, .addr_id = ep->addr_id};
}

struct hr_ep_addr kern_ep_addr(const struct hr_plan_ep *ep)
{
	struct hr_ep_addr addr = {.port_be = htons(ep->port)};

	memcpy(addr.ip, ep->addr.ip, sizeof(addr.ip));
	return addr;
}

void kern_rows_endpoint(struct hr_rows *r, const struct hr_plan_cluster *c,
			const struct hr_plan_ep *ep)
{
	struct hr_member_key key = kern_member_key(c, ep);
	struct hr_ep_addr *addr = hr_arena_new0(r->arena, struct hr_ep_addr);
	uint32_t *id = hr_arena_new0(r->arena, uint32_t);

	*addr = kern_ep_addr(ep);
	*id = ep->id;
	hr_map_put(r->members, &key, sizeof(key), id);
	hr_map_put(r->addrs, &ep->addr_id, sizeof(ep->addr_id), addr);
}

/* http2MaxRequests: 503 beyond it. maxConnections, as a request of HTTP/1.1 has its connection to
 * itself: beyond it requests wait, which is the agent's. The smaller one is met first. */
static void set_limit(const struct hr_plan_cluster *c, struct hr_cluster *out)
{
	int64_t requests = c->pool ? c->pool->http2_max_requests : -1;
	int64_t connections = c->pool ? c->pool->max_connections : -1;

	if (requests > 0)
		out->max_requests = (uint32_t)HR_MIN(requests, UINT32_MAX);
	if (connections > 0 && (requests <= 0 || connections < requests)) {
		out->max_requests = (uint32_t)HR_MIN(connections, UINT32_MAX);
		out->flags |= HR_CLUSTER_WAIT;
	}
}

/* What a client's own connection is held to, as pooled ones are by the agent. The default idle
 * time is for pools only: closing this one is the client's business. */
static void set_conns(const struct hr_plan_cluster *c, struct hr_cluster *out)
{
	const struct hr_connection_pool *p = c->pool;

	out->conns = c->conns.id;
	out->max_per_conn = c->conns.max_requests;
	out->age_ms = c->conns.age_ms;
	if (p && (p->http_idle_timeout > 0 || p->tcp_idle_timeout > 0))
		out->idle_ms = c->conns.idle_ms;
	if (c->conns.keepalive)
		out->flags |= HR_CLUSTER_KEEPALIVE;
	out->ka_time_s = c->conns.ka_time_s;
	out->ka_interval_s = c->conns.ka_interval_s;
	out->ka_probes = c->conns.ka_probes;
}

static void set_hash(const struct hr_plan_cluster *c, struct hr_cluster *out)
{
	const struct hr_load_balancer *lb = c->balancer;

	if (!lb || lb->hash == HR_HASH_NONE || (out->flags & HR_CLUSTER_AGENT))
		return;
	out->hash = lb->hash;
	if (lb->hash == HR_HASH_SOURCE_IP)
		return;
	/* longer names are the agent's */
	out->hash_len = (uint8_t)strlen(lb->hash_name);
	memcpy(out->hash_name, lb->hash_name, out->hash_len);
	if (lb->hash == HR_HASH_COOKIE && lb->cookie_ttl >= 0)
		out->flags |= HR_CLUSTER_COOKIE;
}

static void build_cluster(struct build *b, const struct hr_plan_cluster *c)
{
	struct hr_cluster *v = hr_arena_new0(b->rows->arena, struct hr_cluster);

	for (uint32_t i = 0; i < c->n_eps; i++)
		kern_rows_endpoint(b->rows, c, &b->plan->eps.data[c->first_ep + i]);
	v->lb = c->lb;
	v->flags = (c->agent_why ? HR_CLUSTER_AGENT : 0) | (c->n_views ? HR_CLUSTER_SEEN : 0) |
		   (c->missing_subset ? HR_CLUSTER_MISSING : 0);
	set_limit(c, v);
	set_conns(c, v);
	set_hash(c, v);
	hr_map_put(b->rows->clusters, &c->id, sizeof(c->id), v);
}

/* ---- vips ----------------------------------------------------------------------------------- */

/* A TCP route as connect() picks from it; its id. */
static uint32_t build_split(struct build *b, const struct hr_plan_route *r)
{
	struct hr_split *s = hr_arena_new0(b->rows->arena, struct hr_split);

	for (uint32_t i = 0; i < r->ndst && s->ndst < HR_DST_MAX; i++) {
		if (!r->dst[i].weight)
			continue;
		s->total += r->dst[i].weight;
		s->dst[s->ndst++] = (struct hr_dst){
			.cluster = b->plan->clusters.data[r->dst[i].cluster].id,
			.cum = s->total,
		};
	}
	hr_map_put(b->rows->splits, &r->id, sizeof(r->id), s);
	return r->id;
}

struct hr_vip_key kern_vip_key(const struct hr_plan_vip *v)
{
	struct hr_vip_key key = {.port_be = htons(v->port)};

	memcpy(key.ip, v->addr.ip, sizeof(key.ip));
	return key;
}

uint32_t kern_vip_cluster(const struct hr_plan *plan, const struct hr_plan_vip *v)
{
	return v->cluster == HR_NONE ? 0 : plan->clusters.data[v->cluster].id;
}

static void build_vip(struct build *b, const struct hr_plan_vip *v)
{
	struct hr_vip *vip = hr_arena_new0(b->rows->arena, struct hr_vip);
	struct hr_vip_key key = kern_vip_key(v);

	vip->port = v->port;
	vip->proto = v->proto;
	vip->flags = v->flags;
	if (v->vhost != HR_NONE)
		vip->vhost = b->plan->vhosts.data[v->vhost].id;
	vip->cluster = kern_vip_cluster(b->plan, v);
	if (v->split != HR_NONE)
		vip->split = build_split(b, &b->plan->routes.data[v->split]);
	hr_map_put(b->rows->vips, &key, sizeof(key), vip);
}

struct hr_rows *kern_rows_build(const struct hr_plan *plan, const struct hr_rows *old,
				struct kern_numbers *numbers, struct kern_replies *replies,
				uint64_t now_ms)
{
	struct hr_arena *arena = hr_arena_new();
	struct hr_rows *r = hr_arena_new0(arena, struct hr_rows);
	struct build b = {plan, old, r, numbers, replies, now_ms};

	r->arena = arena;
	r->vips = hr_map_new();
	r->splits = hr_map_new();
	r->names = hr_map_new();
	r->vhosts = hr_map_new();
	r->clusters = hr_map_new();
	r->members = hr_map_new();
	r->addrs = hr_map_new();
	r->routes = hr_map_new();
	for (uint32_t i = 0; i < HR_REPLY_FIRST_FREE; i++)
		r->reply_used[i] = true;
	for (size_t i = 0; i < plan->clusters.len; i++)
		build_cluster(&b, &plan->clusters.data[i]);
	for (size_t i = 0; i < plan->vhosts.len; i++)
		build_vhost(&b, &plan->vhosts.data[i]);
	for (size_t i = 0; i < plan->vips.len; i++)
		build_vip(&b, &plan->vips.data[i]);
	for (size_t i = 0; i < plan->routes.len; i++) {
		const uint32_t *id = &plan->routes.data[i].id;

		hr_map_put(r->routes, id, sizeof(*id), r);
	}
	return r;
}

void kern_rows_free(struct hr_rows *r)
{
	if (!r)
		return;
	struct hr_map_iter it = {};

	while (hr_map_next(r->vhosts, &it))
		kern_table_unref(((struct kern_vhost *)it.value)->table);
	hr_map_free(r->vips);
	hr_map_free(r->splits);
	hr_map_free(r->names);
	hr_map_free(r->vhosts);
	hr_map_free(r->clusters);
	hr_map_free(r->members);
	hr_map_free(r->addrs);
	hr_map_free(r->routes);
	hr_arena_free(r->arena);
}
