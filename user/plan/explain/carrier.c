// SPDX-License-Identifier: Apache-2.0
/* Who carries a request that explain is asked about: first what connect() does, then its head. */
#include <string.h>
#include <strings.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "headrace/limits.h"
#include "plan/explain/asked.h"
#include "plan/eval.h"

/* What the kernel's scanner takes, HR_SCAN_LINES and HR_SCAN_NAME_MAX of bpf/lib/lines.h. */
#define HEADERS_MAX 32
#define HEADER_NAME_MAX 39

/* A header that a rule looks at and that comes twice: only the agent joins values. */
static bool repeated_header(const struct hr_plan_vhost *vh, const hr_kvs *headers)
{
	for (uint16_t d = 0; d < vh->k.ndims; d++) {
		struct hr_slice name = {vh->k.dims[d].name, vh->k.dims[d].name_len};
		size_t n = 0;

		for (size_t i = 0; i < headers->len; i++)
			n += hr_slice_ieq(hr_slice_of(headers->data[i].key), name);
		if (vh->k.dims[d].kind == HR_DIM_HEADER && n > 1)
			return true;
	}
	return false;
}

/* One that the route sets or removes, of some destination. */
static bool edited_header(const struct hr_plan_route *r, const hr_kvs *headers)
{
	for (uint32_t d = 0; d < r->ndst; d++) {
		const struct hr_edit *e = r->dst[d].weight ? r->dst[d].edit : NULL;

		for (size_t i = 0; e && i < e->n_absent * headers->len; i++) {
			struct hr_slice name = {e->absent[i / headers->len].name,
						e->absent[i / headers->len].len};

			if (hr_slice_ieq(hr_slice_of(headers->data[i % headers->len].key), name))
				return true;
		}
	}
	return false;
}

/* ---- connect() ---- */

static bool reaches(const struct hr_plan *p, const struct hr_plan_cluster *c, bool v4)
{
	for (uint32_t i = 0; i < c->n_eps; i++)
		if (hr_addr_is4(&p->eps.data[c->first_ep + i].addr) == v4)
			return true;
	return c->lb == HR_LB_PASSTHROUGH;
}

/* Of the first destination that the kernel cannot take the connection to. */
static enum hr_why split_why(const struct hr_plan *p, const struct hr_verdict *v,
			     const struct hr_plan_route *r, bool v4)
{
	for (uint32_t i = 0; i < r->ndst; i++) {
		const struct hr_plan_cluster *c = hr_asked_cluster(p, v, r->dst[i].cluster);

		if (!r->dst[i].weight)
			continue;
		if (!hr_plan_has_place(c))
			return HR_WHY_NO_ENDPOINT;
		if (c->agent_why)
			return c->agent_why;
		if (!reaches(p, c, v4))
			return HR_WHY_FAMILY;
	}
	return 0;
}

static enum hr_why vip_why(const struct hr_plan *p, const struct hr_verdict *v,
			   const struct hr_plan_vip *vip)
{
	const struct hr_plan_cluster *c =
		vip->cluster == HR_NONE ? NULL : hr_asked_cluster(p, v, vip->cluster);

	if ((vip->flags & HR_VIP_AGENT) || vip->proto == HR_PROTO_HTTP2)
		return HR_WHY_PROTO;
	if (vip->split != HR_NONE)
		return split_why(p, v, &p->routes.data[vip->split], hr_addr_is4(&vip->addr));
	if (!c || !hr_plan_has_place(c))
		return HR_WHY_NO_ENDPOINT;
	if (c->agent_why)
		return c->agent_why;
	return reaches(p, c, hr_addr_is4(&vip->addr)) ? 0 : HR_WHY_FAMILY;
}

/* The address that was asked for, or the best that the name has. A host without an address is
 * reached through somebody else's, of which nothing is known. */
static enum hr_why connect_why(const struct hr_plan *p, const struct hr_plan_req *req,
			       const struct hr_verdict *v)
{
	enum hr_why why = 0;

	if (v->tcp)
		return vip_why(p, v, v->tcp);
	for (size_t i = 0; i < p->vips.len; i++) {
		const struct hr_plan_vip *vip = &p->vips.data[i];

		if (vip->vhost != req->fallback_vhost || vip->port != req->port ||
		    vip->vhost == HR_NONE ||
		    (v->asked.is_addr && !hr_addr_eq(&vip->addr, &v->asked.addr)))
			continue;
		why = vip_why(p, v, vip);
		if (!why)
			return 0;
	}
	return why;
}

/* ---- the head ---- */

static bool known_method(struct hr_slice m)
{
	static const char *const known[] = {"GET",    "HEAD",  "POST",	 "PUT",
					    "DELETE", "PATCH", "OPTIONS"};

	for (size_t i = 0; i < HR_ARRAY_SIZE(known); i++)
		if (hr_slice_eq(m, hr_slice_of(known[i])))
			return true;
	return false;
}

/* Names that are too long or that the agent takes away, values with other bytes than printable
 * ASCII. */
static bool odd_headers(const hr_kvs *headers)
{
	for (size_t i = 0; i < headers->len; i++) {
		if (strlen(headers->data[i].key) > HEADER_NAME_MAX ||
		    !strncasecmp(headers->data[i].key, "x-envoy-", 8))
			return true;
		for (const char *c = headers->data[i].value; *c; c++)
			if (*c < 0x20 || *c == 0x7f)
				return true;
	}
	return false;
}

/* At least: what a client adds of its own is not known. */
static size_t head_size(const struct hr_plan_req *req, const hr_kvs *headers)
{
	size_t n = req->method.n + req->path.n + req->query.n + sizeof(" ? HTTP/1.1\r\n\r\n");

	for (size_t i = 0; i < headers->len; i++)
		n += strlen(headers->data[i].key) + strlen(headers->data[i].value) +
		     strlen(": \r\n");
	return n;
}

/* Canonical paths that some servers would read as others: escaped slashes, segments that begin like
 * a dot segment (hr_scan_path_byte of bpf/lib/scan.h). */
static bool doubtful(struct hr_slice path)
{
	for (size_t i = 0; i + 1 < path.n; i++) {
		const char *c = path.p + i;
		size_t left = path.n - i;

		if (left >= 3 && (!strncasecmp(c, "%2f", 3) || !strncasecmp(c, "%5c", 3)))
			return true;
		if (c[0] == '/' && c[1] == '.' && (left == 2 || strchr("/.;%", c[2])))
			return true;
	}
	return false;
}

static enum hr_why head_why(const struct hr_plan_req *req, const struct hr_verdict *v,
			    const hr_kvs *headers)
{
	static const struct {
		struct hr_slice name;
		enum hr_why why;
	} odd[] = {
		{{"transfer-encoding", 17}, HR_WHY_CHUNKED},
		{{"upgrade", 7}, HR_WHY_UPGRADE},
		{{"expect", 6}, HR_WHY_EXPECT},
	};

	if (head_size(req, headers) > HR_KHEAD_MAX || headers->len > HEADERS_MAX)
		return HR_WHY_HEAD_LONG;
	if (!known_method(req->method) || odd_headers(headers))
		return HR_WHY_HEAD_ODD;
	if (v->asked.odd_path || doubtful(req->path) ||
	    (req->query.n && memchr(req->query.p, '\\', req->query.n)))
		return HR_WHY_PATH_ODD;
	for (size_t i = 0; i < HR_ARRAY_SIZE(odd); i++)
		if (hr_req_header(req, odd[i].name).p)
			return odd[i].why;
	/* an answer of our own would have to end the connection */
	if (hr_slice_ieq(hr_req_header(req, HR_SLICE("connection")), HR_SLICE("close")) &&
	    (!v->m.route || !v->m.route->ndst))
		return HR_WHY_CLOSE;
	return v->m.vhost && repeated_header(v->m.vhost, headers) ? HR_WHY_DUP_HEADER : 0;
}

/* A key that the kernel does not hash: too long, or a cookie that has to be made. */
static enum hr_why hash_why(const struct hr_plan *p, const struct hr_plan_req *req,
			    const struct hr_verdict *v)
{
	const struct hr_plan_route *r = v->m.route;

	for (uint32_t i = 0; r && i < r->ndst; i++) {
		const struct hr_load_balancer *b =
			hr_asked_cluster(p, v, r->dst[i].cluster)->balancer;
		struct hr_slice all = {NULL, 0}, value = {NULL, 0};
		bool found = false;

		if (!r->dst[i].weight || !b || !b->hash_name)
			continue;
		if (b->hash == HR_HASH_HEADER)
			value = hr_req_header(req, hr_slice_of(b->hash_name));
		else if (b->hash == HR_HASH_COOKIE)
			all = hr_req_header(req, HR_SLICE("cookie"));
		else
			all = req->query;
		found = hr_plan_hash_pair(all, b->hash == HR_HASH_COOKIE ? ';' : '&',
					  hr_slice_of(b->hash_name), &value);
		if (value.n > HR_HASH_VALUE_MAX || all.n > HR_HASH_LOOK_MAX ||
		    (b->hash == HR_HASH_COOKIE && !found && b->cookie_ttl >= 0))
			return HR_WHY_CLUSTER;
	}
	return 0;
}

enum hr_why hr_asked_carrier(const struct hr_plan *p, const struct hr_plan_req *req,
			     const struct hr_verdict *v, const hr_kvs *headers)
{
	enum hr_why why;

	if (!v->tcp && !v->m.vhost && !p->registry_only)
		return 0; /* no business of ours: no request is looked at */
	why = connect_why(p, req, v);
	if (why || v->tcp) /* opaque: balanced at connect */
		return why;
	why = head_why(req, v, headers);
	if (!why)
		why = hr_plan_kernel_why(p, req, &v->m);
	if (!why && v->m.route && edited_header(v->m.route, headers))
		why = HR_WHY_EDIT;
	return why ? why : hash_why(p, req, v);
}

/* ---- same node ---- */

/* The address that was asked for; for a name, any of those that speak for the virtual host. */
static const struct hr_plan_vip *asked_vip(const struct hr_plan *p, const struct hr_verdict *v)
{
	if (v->tcp || !v->m.vhost)
		return v->tcp;
	for (size_t i = 0; i < p->vips.len; i++) {
		const struct hr_plan_vip *vip = &p->vips.data[i];

		if (vip->vhost != HR_NONE && &p->vhosts.data[vip->vhost] == v->m.vhost &&
		    vip->port == v->asked.port)
			return vip;
	}
	return NULL;
}

const char *hr_asked_same_node(const struct hr_plan *p, const struct hr_verdict *v)
{
	const struct hr_plan_vip *vip = asked_vip(p, v);

	if (!vip || v->why)
		return NULL;
	if (vip->flags & HR_VIP_NEAR_OFF)
		return "off";
	if (vip->flags & HR_VIP_NEAR_TCP)
		return "tcp";
	return vip->proto == HR_PROTO_TCP ? "off" : "http";
}
