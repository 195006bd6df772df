// SPDX-License-Identifier: Apache-2.0
/*
 * A request through the plan in user space: the kernel's algorithm (bpf/lib/match.h) gives the
 * candidates, and rules with conditions that the kernel cannot hold are checked in full.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/hosts.h"
#include "plan/compile/compile.h"
#include "plan/eval.h"

struct eval {
	const struct hr_plan_vhost *v;
	const struct hr_plan_req *req;
};

#define HR_M_CTX const struct eval

static const struct hr_block *find_block(const struct eval *e, const struct hr_block_key *key)
{
	return key->block < e->v->nblocks ? &e->v->blocks[key->block] : NULL;
}

static const struct hr_cond *find_exact(const struct eval *e, const struct hr_cond_key *key)
{
	return e->v->index ? hr_map_get(e->v->index, key, sizeof(*key)) : NULL;
}

static const struct hr_cond *find_prefix(const struct eval *e, const struct hr_prefix_key *key)
{
	struct hr_prefix_key k = *key;

	if (!e->v->index)
		return NULL;
	for (uint32_t len = k.bits / 8 - 8;; len--) {
		const struct hr_cond *c;

		memset(k.value + len, 0, sizeof(k.value) - len);
		k.bits = 8 * (8 + len);
		c = hr_map_get(e->v->index, &k, sizeof(k));
		if (c || !len)
			return c;
	}
}

static struct hr_slice dim_value(const struct eval *e, const struct hr_dim *d)
{
	switch (d->kind) {
	case HR_DIM_PATH:
		return e->req->path;
	case HR_DIM_METHOD:
		return e->req->method;
	default:
		return hr_req_header(e->req, (struct hr_slice){d->name, d->name_len});
	}
}

static int load_value(const struct eval *e, uint32_t d, char *dst)
{
	struct hr_slice v = dim_value(e, &e->v->k.dims[d]);
	size_t n = v.n < HR_COND_MAX ? v.n : HR_COND_MAX;

	memset(dst, 0, HR_COND_MAX);
	if (!v.p)
		return -1;
	memcpy(dst, v.p, n);
	return (int)v.n;
}

#define HR_M_BLOCK(ctx, key) find_block(ctx, key)
#define HR_M_EXACT(ctx, key) find_exact(ctx, key)
#define HR_M_PREFIX(ctx, key) find_prefix(ctx, key)
#define HR_M_VALUE(ctx, d, dst) load_value(ctx, d, dst)
#include "lib/match.h"

static struct hr_slice sent_header(const struct hr_plan_req *req, struct hr_slice name)
{
	return req->header ? req->header(req->header_ctx, name) : (struct hr_slice){NULL, 0};
}

struct hr_slice hr_req_scheme(const struct hr_plan_req *req)
{
	struct hr_slice said;

	if (req->scheme.p)
		return req->scheme;
	said = sent_header(req, HR_SLICE("x-forwarded-proto"));
	if (said.p && hr_slice_ieq(said, HR_SLICE("https")))
		return HR_SLICE("https");
	return HR_SLICE("http");
}

struct hr_slice hr_req_header(const struct hr_plan_req *req, struct hr_slice name)
{
	struct hr_slice path;

	if (!name.n || *name.p != ':')
		return sent_header(req, name);
	if (hr_slice_eq(name, HR_SLICE(":method")))
		return req->method;
	if (hr_slice_eq(name, HR_SLICE(":authority")))
		return req->host;
	if (hr_slice_eq(name, HR_SLICE(":scheme")))
		return hr_req_scheme(req);
	if (!hr_slice_eq(name, HR_SLICE(":path")))
		return (struct hr_slice){NULL, 0};
	path = sent_header(req, name);
	return path.p ? path : req->path;
}

/* ---- hosts ---- */

/* Lower case, without port and trailing dot; false when it does not fit. */
static bool normal_host(struct hr_slice host, char out[static 256])
{
	size_t n = host.n;
	const char *colon = host.n ? memrchr(host.p, ':', host.n) : NULL;

	if (colon && (host.p[0] != '[' || (size_t)(colon - host.p) > 0)) {
		/* "[fd00::1]" has colons of its own */
		const char *bracket = memrchr(host.p, ']', host.n);

		if (!bracket || bracket < colon)
			n = (size_t)(colon - host.p);
	}
	if (n && host.p[n - 1] == '.')
		n--;
	if (!n || n > 255)
		return false;
	for (size_t i = 0; i < n; i++)
		out[i] =
			(char)(host.p[i] >= 'A' && host.p[i] <= 'Z' ? host.p[i] | 0x20 : host.p[i]);
	out[n] = 0;
	return true;
}

struct host_answer {
	const struct hr_plan_vhost *vhost; /* NULL: nobody's */
	bool unsure;			   /* struct hr_plan_match.host_unsure */
};

/* The service that owns the address stands in for a Host that nobody knows, and explains a short
 * name that several namespaces have, which is in no table. */
static bool is_short_name_of(const char *name, const struct hr_plan_vhost *own)
{
	size_t len = strlen(name);

	return own && !strchr(name, '.') && !strncmp(own->host, name, len) && own->host[len] == '.';
}

static struct host_answer vhost_of(const struct hr_plan *p, uint16_t port, struct hr_slice host,
				   const struct hr_plan_vhost *own)
{
	struct host_answer out = {.vhost = own};
	char name[256], key[272];
	uintptr_t known;

	if (!normal_host(host, name))
		return out;
	snprintf(key, sizeof(key), "%u/%s", port, name);
	known = (uintptr_t)hr_map_gets(p->vhost_by_name, key);
	if (known)
		return (struct host_answer){&p->vhosts.data[known - 1], strlen(name) > HR_HOST_MAX};
	for (size_t i = 0; i < p->wildcards.len; i++) {
		const struct hr_plan_vhost *w = &p->vhosts.data[p->wildcards.data[i]];

		if (w->port != port)
			continue;
		out.unsure = true;
		if (!is_short_name_of(name, own) && hr_host_matches(w->host, name))
			return (struct host_answer){w, true}; /* the longest stands first */
	}
	return out;
}

const struct hr_plan_vhost *hr_plan_vhost_of(const struct hr_plan *p, uint16_t port,
					     struct hr_slice host)
{
	return vhost_of(p, port, host, NULL).vhost;
}

/* ---- source ---- */

/* Pods are in the order of namespace and name. */
static int pod_cmp(const void *key, const void *pod)
{
	const struct hr_meta *want = key, *have = &(*(struct hr_pod *const *)pod)->meta;
	int d = strcmp(want->ns, have->ns);

	return d ? d : strcmp(want->name, have->name);
}

const hr_kvs *hr_plan_pod_labels(const struct hr_plan *p, const char *ns, const char *name,
				 const hr_kvs *attached)
{
	const struct hr_meta key = {.ns = ns, .name = name};
	struct hr_pod *const *pod;

	if (attached->len || !ns || !name || !p->objects->pods.len)
		return attached;
	pod = bsearch(&key, p->objects->pods.data, p->objects->pods.len, sizeof(*pod), pod_cmp);
	return pod ? &(*pod)->meta.labels : attached;
}

const hr_kvs *hr_plan_labels(const struct hr_plan *p, const char *ns, const char *name,
			     const hr_kvs *attached)
{
	return p->asks_labels ? hr_plan_pod_labels(p, ns, name, attached) : attached;
}

/* ---- rules ---- */

static bool all_hold(const struct hr_plan_req *req, const struct hr_plan_rule *rule)
{
	if (rule->only && !hr_exported_to(rule->only, req->source_ns))
		return false;
	if (rule->with_origin && !hr_req_header(req, HR_SLICE("origin")).p)
		return false;
	return !rule->agent_why || !rule->m || hr_match_holds(req, rule->m, NULL);
}

static uint32_t find_rule(const struct hr_plan_vhost *v, const struct hr_plan_req *req,
			  uint32_t *kernel)
{
	struct hr_match_scratch s = {0};
	struct eval e = {v, req};

	for (uint32_t b = 0; b < v->nblocks; b++) {
		int bit = hr_match_block(&e, &v->k, b, &s);

		while (bit >= 0) {
			uint32_t i = b * HR_BLOCK_RULES + (uint32_t)bit;

			if (*kernel == HR_NONE)
				*kernel = i;
			if (all_hold(req, &v->rules[i]))
				return v->rules[i].end ? HR_NONE : i;
			s.acc.w[bit / 64] &= ~(1ULL << bit % 64);
			bit = hr_match_first(&s.acc);
		}
	}
	return HR_NONE;
}

void hr_plan_match(const struct hr_plan *p, const struct hr_plan_req *req,
		   struct hr_plan_match *out)
{
	const struct hr_plan_vhost *own =
		req->fallback_vhost != HR_NONE ? &p->vhosts.data[req->fallback_vhost] : NULL;
	struct host_answer h = vhost_of(p, req->port, req->host, own);

	*out = (struct hr_plan_match){.vhost = h.vhost,
				      .rule_index = HR_NONE,
				      .kernel_index = HR_NONE,
				      .host_unsure = h.unsure};
	if (!h.vhost)
		return;
	out->rule_index = find_rule(h.vhost, req, &out->kernel_index);
	if (out->rule_index == HR_NONE)
		return;
	out->rule = &h.vhost->rules[out->rule_index];
	out->route = &p->routes.data[out->rule->route];
}

enum hr_why hr_plan_kernel_why(const struct hr_plan *p, const struct hr_plan_req *req,
			       const struct hr_plan_match *m)
{
	if (!m->vhost || m->host_unsure)
		return HR_WHY_HOST;
	if (m->vhost->k.flags & HR_VHOST_AGENT)
		return HR_WHY_VHOST;
	if (m->kernel_index == HR_NONE)
		return 0; /* 404 */
	if (m->vhost->rules[m->kernel_index].agent_why)
		return m->vhost->rules[m->kernel_index].agent_why;
	for (uint32_t i = 0; i < m->route->ndst; i++) {
		const struct hr_plan_cluster *c = hr_plan_cluster_seen(
			p, &p->clusters.data[m->route->dst[i].cluster], req ? req->source_ns : NULL,
			req ? req->source_labels : NULL);

		if (m->route->dst[i].weight && c->agent_why)
			return c->agent_why;
	}
	return 0;
}
