// SPDX-License-Identifier: Apache-2.0
/* What the plan does with one request, and what each rule before the winner saw. */
#include <errno.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/vec.h"
#include "plan/asked.h"
#include "plan/eval.h"

struct header_set {
	struct hr_arena *a;
	const hr_kvs *kvs;
};

/* All values of a repeated header, joined. */
static struct hr_slice get_header(void *ctx, struct hr_slice name)
{
	const struct header_set *h = ctx;
	const char *joined = NULL;

	for (size_t i = 0; i < h->kvs->len; i++) {
		const struct hr_kv *kv = &h->kvs->data[i];

		if (!hr_slice_ieq(hr_slice_of(kv->key), name))
			continue;
		joined = joined ? hr_arena_printf(h->a, "%s,%s", joined, kv->value) : kv->value;
	}
	return hr_slice_of(joined);
}

static void trace_rules(const struct hr_plan *p, const struct hr_plan_req *req, struct hr_arena *a,
			struct hr_verdict *v)
{
	const struct hr_plan_vhost *vh = v->m.vhost;
	uint32_t n = v->m.rule ? v->m.rule_index + 1 : vh->nrules;

	v->trace.data = hr_arena_array(a, struct hr_trace, n + 1);
	for (uint32_t i = 0; i < n; i++) {
		const struct hr_plan_rule *rule = &vh->rules[i];
		struct hr_trace *t = &v->trace.data[v->trace.len++];
		_cleanup_sb_ struct hr_strbuf why = {0};

		t->rule = p->routes.data[rule->route].index;
		t->matched = !rule->m || hr_match_holds(req, rule->m, &why);
		if (!t->matched)
			t->because = hr_arena_strdup(a, hr_sb_str(&why));
		else
			t->because =
				rule->m ? "every condition holds" : "no condition: matches all";
	}
}

static bool any_endpoint(const struct hr_plan *p, const struct hr_plan_route *r)
{
	for (uint32_t i = 0; i < r->ndst; i++)
		if (r->dst[i].weight && p->clusters.data[r->dst[i].cluster].n_eps)
			return true;
	return false;
}

static void decide_action(const struct hr_plan *p, struct hr_verdict *v)
{
	const struct hr_http_route *h = v->m.route ? v->m.route->http : NULL;

	v->action = "route";
	if (!v->m.vhost) {
		v->action = "noService";
		v->status = p->registry_only ? 502 : 0;
	} else if (!v->m.route) {
		v->action = "notFound";
		v->status = 404;
	} else if (h && h->redirect.set) {
		v->action = "redirect";
		v->status = h->redirect.code > 0 ? h->redirect.code : 301;
	} else if (h && h->direct_response.set) {
		v->action = "directResponse";
		v->status = h->direct_response.status;
	} else if (h && h->fault.set && h->fault.abort_http > 0 && h->fault.abort_ppm == 1000000) {
		v->action = "abort";
		v->status = h->fault.abort_http;
	} else if (!any_endpoint(p, v->m.route)) {
		v->status = 503;
	}
}

static enum hr_why why_not_kernel(const struct hr_plan *p, const struct hr_plan_req *req,
				  const struct hr_verdict *v, struct header_set *headers)
{
	static const struct {
		struct hr_slice name;
		enum hr_why why;
	} odd[] = {
		{{"transfer-encoding", 17}, HR_WHY_CHUNKED},
		{{"upgrade", 7}, HR_WHY_UPGRADE},
		{{"expect", 6}, HR_WHY_EXPECT},
	};
	struct hr_slice connection = get_header(headers, HR_SLICE("connection"));

	if (v->asked.odd_path)
		return HR_WHY_PATH_ODD;
	if (hr_slice_eq(req->method, HR_SLICE("CONNECT")))
		return HR_WHY_HEAD_ODD;
	for (size_t i = 0; i < HR_ARRAY_SIZE(odd); i++)
		if (get_header(headers, odd[i].name).p)
			return odd[i].why;
	if (hr_slice_ieq(connection, HR_SLICE("close")))
		return HR_WHY_CLOSE;
	return hr_plan_kernel_why(p, &v->m);
}

static uint32_t fallback(const struct hr_plan *p, const struct hr_asked *q)
{
	const struct hr_plan_vhost *v = hr_plan_vhost_of(p, q->port, q->authority);

	return v ? (uint32_t)(v - p->vhosts.data) : HR_NONE;
}

int hr_explain_decide(const struct hr_plan *p, const struct hr_explain_req *r, struct hr_arena *a,
		      struct hr_verdict *out, const char **why)
{
	struct header_set headers = {a, &r->headers};
	struct hr_verdict v = {0};
	struct hr_plan_req req;
	struct hr_slice host;

	if (hr_asked_url(a, r->url, &v.asked, why))
		return -EINVAL;
	host = get_header(&headers, HR_SLICE("host"));
	req = (struct hr_plan_req){
		.method = hr_slice_of(r->method ? r->method : "GET"),
		.path = v.asked.path,
		.query = v.asked.query,
		.host = host.p ? host : v.asked.authority,
		.scheme = v.asked.scheme,
		.port = v.asked.port,
		.fallback_vhost = fallback(p, &v.asked),
		.header = get_header,
		.header_ctx = &headers,
		.source_ns = r->from_ns,
		.source_labels = &r->source_labels,
		.gateway = r->gateway,
	};
	hr_plan_match(p, &req, &v.m);
	v.known_host = v.m.vhost != NULL;
	if (v.m.vhost)
		trace_rules(p, &req, a, &v);
	decide_action(p, &v);
	v.why = why_not_kernel(p, &req, &v, &headers);
	*out = v;
	return 0;
}
