// SPDX-License-Identifier: Apache-2.0
/* explain -o json: the keys are a contract (CLI.md). */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "plan/explain/asked.h"
#include "plan/words.h"

static json_t *text_or_null(const char *s)
{
	return s && *s ? json_string(s) : json_null();
}

static json_t *ms_or_null(int64_t ms)
{
	return ms > 0 ? json_integer(ms) : json_null();
}

static json_t *endpoints(const struct hr_plan *p, const struct hr_plan_cluster *c)
{
	json_t *list = json_array();
	char text[HR_ADDR_TEXT];

	for (uint32_t i = 0; i < c->n_eps; i++) {
		const struct hr_plan_ep *e = &p->eps.data[c->first_ep + i];

		json_array_append_new(list,
				      json_string(hr_addr_port_text(&e->addr, e->port, text)));
	}
	return list;
}

static void add_destination(const struct hr_plan *p, const struct hr_verdict *v, json_t *list,
			    uint32_t cluster, uint32_t weight, double share)
{
	const struct hr_plan_cluster *c = hr_asked_cluster(p, v, cluster);
	_cleanup_sb_ struct hr_strbuf words = {0};

	hr_balance_words(c, &words);
	json_array_append_new(list, json_pack("{s:s,s:o,s:i,s:i,s:f,s:s,s:o,s:o}", "host", c->host,
					      "subset", text_or_null(c->subset), "port", c->port,
					      "weight", (int)weight, "share", share, "balance",
					      hr_sb_str(&words) + (words.len != 0), "protocol",
					      v->tcp ? json_null() : json_string(hr_speaks_word(c)),
					      "endpoints", endpoints(p, c)));
}

static json_t *destinations(const struct hr_plan *p, const struct hr_verdict *v)
{
	const struct hr_plan_route *r = v->m.route;
	json_t *list = json_array();

	if (strcmp(v->action, "route"))
		return list;
	if (v->tcp && !r && v->tcp->cluster != HR_NONE)
		add_destination(p, v, list, v->tcp->cluster, 100, 1);
	for (uint32_t i = 0; r && i < r->ndst; i++)
		add_destination(p, v, list, r->dst[i].cluster, r->dst[i].weight,
				r->total ? (double)r->dst[i].weight / r->total : 0);
	return list;
}

static json_t *retries(const struct hr_verdict *v)
{
	struct hr_retry_words w;
	json_t *on;

	if (!v->m.route || v->tcp || strcmp(v->action, "route") ||
	    !hr_route_retries(v->m.route, &w))
		return json_null();
	on = json_array();
	for (size_t i = 0; i < w.n_on; i++)
		json_array_append_new(on, json_string(w.on[i]));
	return json_pack("{s:i,s:o,s:o}", "attempts", w.attempts, "perTryTimeoutMs",
			 ms_or_null(w.per_try_timeout), "retryOn", on);
}

static json_t *rewrite(const struct hr_http_route *h)
{
	if (!h || !h->rewrite.set)
		return json_null();
	return json_pack(
		"{s:o,s:o,s:o}", "uri", text_or_null(h->rewrite.uri), "authority",
		text_or_null(h->rewrite.authority), "uriRegexRewrite",
		h->rewrite.regex
			? json_pack("{s:s,s:s}", "match", h->rewrite.regex, "rewrite",
				    h->rewrite.regex_rewrite ? h->rewrite.regex_rewrite : "")
			: json_null());
}

static json_t *redirect(const struct hr_http_route *h)
{
	if (!h || !h->redirect.set)
		return json_null();
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:i}", "uri", text_or_null(h->redirect.uri),
			 "prefixRewrite", text_or_null(h->redirect.prefix_rewrite), "authority",
			 text_or_null(h->redirect.authority), "scheme",
			 text_or_null(h->redirect.scheme), "port",
			 h->redirect.port ? json_integer(h->redirect.port) : json_null(),
			 "derivePort", text_or_null(h->redirect.derive_port), "code",
			 h->redirect.code > 0 ? h->redirect.code : 301);
}

static json_t *fault(const struct hr_http_route *h)
{
	json_t *f;

	if (!h || !h->fault.set)
		return json_null();
	f = json_object();
	if (h->fault.delay_ms >= 0)
		json_object_set_new(f, "delay",
				    json_pack("{s:I,s:f}", "ms", (json_int_t)h->fault.delay_ms,
					      "percentage", h->fault.delay_ppm / 10000.0));
	if (h->fault.abort_http > 0)
		json_object_set_new(f, "abort",
				    json_pack("{s:i,s:f}", "status", h->fault.abort_http,
					      "percentage", h->fault.abort_ppm / 10000.0));
	if (h->fault.abort_grpc)
		json_object_set_new(f, "abort",
				    json_pack("{s:s,s:f}", "grpcStatus", h->fault.abort_grpc,
					      "percentage", h->fault.abort_ppm / 10000.0));
	return f;
}

static json_t *strings(const hr_strs *list)
{
	json_t *out = json_array();

	for (size_t i = 0; i < list->len; i++)
		json_array_append_new(out, json_string(list->data[i]));
	return out;
}

static json_t *cors(const struct hr_http_route *h)
{
	static const char *const kinds[] = {"none", "exact", "prefix", "regex", "present"};
	const struct hr_cors *c = h ? &h->cors : NULL;
	json_t *origins;

	if (!c || !c->set)
		return json_null();
	origins = json_array();
	for (size_t i = 0; i < c->allow_origins.len; i++)
		json_array_append_new(origins,
				      json_pack("{s:s}", kinds[c->allow_origins.data[i].type],
						c->allow_origins.data[i].value));
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:b,s:s}", "allowOrigins", origins, "allowMethods",
			 strings(&c->allow_methods), "allowHeaders", strings(&c->allow_headers),
			 "exposeHeaders", strings(&c->expose_headers), "maxAgeSeconds",
			 c->max_age >= 0 ? json_integer(c->max_age / 1000) : json_null(),
			 "allowCredentials", c->allow_credentials == 1, "unmatchedPreflights",
			 hr_streq(c->unmatched_preflights, "IGNORE") ? "IGNORE" : "FORWARD");
}

static json_t *mirrors(const struct hr_http_route *h)
{
	json_t *list = json_array();

	for (size_t i = 0; h && i < h->mirrors.len; i++)
		json_array_append_new(list,
				      json_pack("{s:s,s:o,s:f}", "host",
						h->mirrors.data[i].destination.host, "subset",
						text_or_null(h->mirrors.data[i].destination.subset),
						"percentage", h->mirrors.data[i].ppm / 10000.0));
	return list;
}

static json_t *trace(const struct hr_verdict *v)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->trace.len; i++)
		json_array_append_new(list,
				      json_pack("{s:i,s:b,s:s}", "rule", (int)v->trace.data[i].rule,
						"matched", v->trace.data[i].matched, "because",
						v->trace.data[i].because));
	return list;
}

static json_t *to_json(const struct hr_plan *p, const struct hr_verdict *v, struct hr_arena *a)
{
	const struct hr_plan_route *r = v->m.route;
	const struct hr_virtual_service *vs = v->vs;
	const struct hr_http_route *h = r ? r->http : NULL;
	const char *host =
		v->m.vhost ? v->m.vhost->host
		: v->tcp   ? v->tcp->host
			   : hr_arena_strndup(a, v->asked.authority.p, v->asked.authority.n);
	json_t *why = json_array();

	if (v->why)
		json_array_append_new(why, json_string(hr_why_text(v->why)));
	return json_pack(
		"{s:{s:s,s:i},s:o,s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:o,s:o,s:o}",
		"listener", "host", host, "port", v->asked.port, "virtualService",
		text_or_null(vs ? hr_arena_printf(a, "%s/%s", vs->meta.ns, vs->meta.name) : NULL),
		"rule", r && r->vs ? json_integer(r->index) : json_null(), "ruleName",
		text_or_null(h ? h->name : NULL), "action", v->action, "status",
		v->status ? json_integer(v->status) : json_null(), "destinations",
		destinations(p, v), "timeoutMs", ms_or_null(r ? r->timeout : -1), "retries",
		retries(v), "rewrite", rewrite(h), "redirect", redirect(h), "mirror", mirrors(h),
		"fault", fault(h), "cors", cors(h), "path", v->why ? "agent" : "kernel", "why", why,
		"sameNode", text_or_null(hr_asked_same_node(p, v)), "trace", trace(v));
}

int hr_explain_json(const struct hr_plan *p, const struct hr_explain_req *r, struct hr_strbuf *out,
		    const char **why)
{
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	struct hr_verdict v;
	json_t *j;
	char *text;
	int e = hr_explain_decide(p, r, a, &v, why);

	if (e)
		return e;
	j = to_json(p, &v, a);
	text = j ? json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
	json_decref(j);
	if (!text) {
		*why = "the answer is no UTF-8";
		return -EINVAL;
	}
	hr_sb_add(out, text);
	hr_sb_addc(out, '\n');
	free(text);
	return 0;
}
