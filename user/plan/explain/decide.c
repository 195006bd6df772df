// SPDX-License-Identifier: Apache-2.0
/* What the plan does with one request, and what each rule before the winner saw. */
#include <errno.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "model/hosts.h"
#include "plan/explain/asked.h"
#include "plan/compile/compile.h"
#include "plan/eval.h"

/* All values of a repeated header, joined. */
static struct hr_slice get_header(void *ctx, struct hr_slice name)
{
	const struct hr_asked_headers *h = ctx;
	const struct hr_asked *q = h->asked;
	const char *joined = NULL;

	if (hr_slice_eq(name, HR_SLICE(":path")) && q->query.p)
		return hr_slice_of(hr_arena_printf(h->a, "%.*s?%.*s", (int)q->path.n, q->path.p,
						   (int)q->query.n, q->query.p));
	for (size_t i = 0; i < h->kvs->len; i++) {
		const struct hr_kv *kv = &h->kvs->data[i];

		if (!hr_slice_ieq(hr_slice_of(kv->key), name))
			continue;
		joined = joined ? hr_arena_printf(h->a, "%s,%s", joined, kv->value) : kv->value;
	}
	return hr_slice_of(joined);
}

static bool for_mesh(const struct hr_http_match *m, struct hr_strbuf *why)
{
	if (hr_speaks_for_mesh(&m->gateways))
		return true;
	hr_sb_printf(why, "gateways: wanted \"%s\", saw mesh", m->gateways.data[0]);
	return false;
}

/* One HTTPRoute: the entry that matches, or what is wrong with each. */
static struct hr_trace trace_route(const struct hr_http_route *h, uint32_t index,
				   const struct hr_plan_req *req, struct hr_arena *a)
{
	struct hr_trace t = {.rule = index, .matched = !h->match.len};
	_cleanup_sb_ struct hr_strbuf said = {0};

	if (t.matched)
		hr_sb_add(&said, "no condition: matches all");
	for (size_t i = 0; i < h->match.len && !t.matched; i++) {
		_cleanup_sb_ struct hr_strbuf why = {0};

		t.matched = for_mesh(&h->match.data[i], &why) &&
			    hr_match_holds(req, &h->match.data[i], &why);
		if (t.matched) {
			hr_sb_free(&said);
			hr_match_tell(&h->match.data[i], &why);
		}
		if (h->match.len > 1)
			hr_sb_printf(&said, "%smatch[%zu] ", said.len ? "; " : "", i);
		hr_sb_add(&said, hr_sb_str(&why));
	}
	t.because = hr_arena_strdup(a, hr_sb_str(&said));
	return t;
}

/* The VirtualService that the source sees for the host; NULL: none. */
static const struct hr_virtual_service *
speaker(const struct hr_plan *p, const struct hr_plan_req *req, const struct hr_plan_vhost *vh)
{
	for (uint32_t i = 0; i < vh->nrules; i++)
		if (!vh->rules[i].only || hr_exported_to(vh->rules[i].only, req->source_ns))
			return p->routes.data[vh->rules[i].route].vs;
	return vh->vs && hr_exported_to(vh->vs, req->source_ns) ? vh->vs : NULL;
}

static void trace_rules(const struct hr_plan *p, const struct hr_plan_req *req, struct hr_arena *a,
			struct hr_verdict *v)
{
	const struct hr_virtual_service *vs = speaker(p, req, v->m.vhost);

	v->vs = vs;
	if (!vs)
		return; /* the default route has no condition */
	v->trace.data = hr_arena_array(a, struct hr_trace, vs->http.len + 1);
	for (uint32_t i = 0; i < vs->http.len; i++) {
		v->trace.data[v->trace.len++] = trace_route(&vs->http.data[i], i, req, a);
		if (v->trace.data[i].matched)
			return;
	}
}

const struct hr_plan_cluster *hr_asked_cluster(const struct hr_plan *p, const struct hr_verdict *v,
					       uint32_t cluster)
{
	return hr_plan_cluster_seen(p, &p->clusters.data[cluster], v->source_ns, v->source_labels);
}

static bool any_endpoint(const struct hr_plan *p, const struct hr_verdict *v)
{
	const struct hr_plan_route *r = v->m.route;

	for (uint32_t i = 0; i < r->ndst; i++)
		if (r->dst[i].weight &&
		    hr_plan_has_place(hr_asked_cluster(p, v, r->dst[i].cluster)))
			return true;
	return false;
}

/* What of our own is answered, and by which action; a status of 0: the server's. */
static void decide_http(const struct hr_plan *p, struct hr_verdict *v)
{
	const struct hr_http_route *h = v->m.route->http;

	if (h && h->fault.set && h->fault.abort_http > 0 && h->fault.abort_ppm == 1000000) {
		v->action = "abort";
		v->status = h->fault.abort_http;
	} else if (h && h->redirect.set) {
		v->action = "redirect";
		v->status = h->redirect.code > 0 ? h->redirect.code : 301;
	} else if (h && h->direct_response.set) {
		v->action = "directResponse";
		v->status = h->direct_response.status;
	} else if (!any_endpoint(p, v)) {
		v->status = 503;
	}
}

static void decide_action(const struct hr_plan *p, struct hr_verdict *v)
{
	v->action = "route";
	if (v->m.route) {
		decide_http(p, v);
	} else if (v->m.vhost) {
		v->action = "notFound";
		v->status = 404;
	} else {
		v->action = "noService";
		v->status = p->registry_only ? 502 : 0;
	}
}

static bool has_name(const struct hr_plan *p, const char *name)
{
	for (size_t i = 0; i < p->names.len; i++)
		if (hr_streq(p->names.data[i].name, name))
			return true;
	return false;
}

/* A short name that the client's own namespace does not have: the agent's DNS gives the service of
 * "default", else the first one (dns/names.c). NULL. */
static const char *somebodys(const struct hr_plan *p, const char *host, struct hr_arena *a)
{
	const struct hr_plan_name *found = NULL;

	for (size_t i = 0; i < p->names.len; i++) {
		const struct hr_plan_name *n = &p->names.data[i];

		if (!n->naddrs || !n->ns ||
		    !hr_streq(n->name, hr_host_fqdn(a, host, n->ns, p->cluster_domain)))
			continue;
		if (!found || hr_streq(n->ns, "default"))
			found = n;
	}
	return found ? found->name : NULL;
}

/* The host of the URL as the registry has it: a short name is one of the client's namespace. */
static const char *service_host(const struct hr_plan *p, const struct hr_explain_req *r,
				const struct hr_asked *q, struct hr_arena *a)
{
	const char *host = hr_arena_strndup(a, q->authority.p, q->authority.n), *full;
	char text[HR_ADDR_TEXT];

	if (*host == '[') /* one spelling of an address */
		return hr_arena_printf(a, "[%s]", hr_addr_text(&q->addr, text));
	full = hr_host_fqdn(a, host, r->from_ns ? r->from_ns : "default", p->cluster_domain);
	if (has_name(p, full))
		return full;
	if (!strchr(host, '.')) {
		full = somebodys(p, host, a);
		return full ? full : host;
	}
	full = hr_arena_printf(a, "%s.svc.%s", full, p->cluster_domain);
	return has_name(p, full) ? full : host;
}

/* The opaque port that owns host and port; NULL. */
static const struct hr_plan_vip *tcp_port(const struct hr_plan *p, const struct hr_asked *q,
					  const char *host)
{
	for (size_t i = 0; i < p->vips.len; i++) {
		const struct hr_plan_vip *v = &p->vips.data[i];

		if (v->port != q->port || v->vhost != HR_NONE)
			continue;
		if (q->is_addr ? hr_addr_eq(&v->addr, &q->addr) : hr_streq(v->host, host))
			return v;
	}
	return NULL;
}

static uint32_t vhost_index(const struct hr_plan *p, uint16_t port, const char *host)
{
	const struct hr_plan_vhost *v = hr_plan_vhost_of(p, port, hr_slice_of(host));

	return v ? (uint32_t)(v - p->vhosts.data) : HR_NONE;
}

/* The proxy answers before it looks at any rule. */
static int refused_path(struct hr_verdict *v, struct hr_verdict *out)
{
	v->m.rule = NULL;
	v->m.route = NULL;
	v->action = "deny";
	v->status = 400;
	v->why = HR_WHY_PATH_ODD;
	*out = *v;
	return 0;
}

int hr_explain_decide(const struct hr_plan *p, const struct hr_explain_req *r, struct hr_arena *a,
		      struct hr_verdict *out, const char **why)
{
	struct hr_verdict v = {0};
	struct hr_asked_headers headers = {a, &r->headers, &v.asked};
	struct hr_plan_req req;
	struct hr_slice host;
	const char *to;

	if (hr_asked_url(a, r->url, &v.asked, why))
		return -EINVAL;
	to = service_host(p, r, &v.asked, a);
	host = get_header(&headers, HR_SLICE("host"));
	req = (struct hr_plan_req){
		.method = hr_slice_of(r->method ? r->method : "GET"),
		.path = v.asked.path,
		.query = v.asked.query,
		.host = host.p ? host : v.asked.authority,
		.scheme = hr_slice_eq(v.asked.scheme, HR_SLICE("https")) ? v.asked.scheme
									 : (struct hr_slice){},
		.port = v.asked.port,
		.fallback_vhost = vhost_index(p, v.asked.port, to),
		.header = get_header,
		.header_ctx = &headers,
		.source_ns = r->from_ns,
		.source_labels = hr_plan_labels(p, r->from_ns, r->from_name, &r->source_labels),
		.gateway = r->gateway,
	};
	v.source_ns = req.source_ns;
	v.source_labels = req.source_labels;
	hr_plan_match(p, &req, &v.m);
	if (v.asked.bad_path && v.m.vhost)
		return refused_path(&v, out);
	if (v.m.vhost)
		trace_rules(p, &req, a, &v);
	else
		v.tcp = tcp_port(p, &v.asked, to);
	if (v.tcp)
		hr_decide_l4(p, r, a, &req, &v);
	else
		decide_action(p, &v);
	v.why = hr_asked_carrier(p, &req, &v, &r->headers);
	*out = v;
	return 0;
}
