// SPDX-License-Identifier: Apache-2.0
/* Routes and policies in words. */
#include "plan/words.h"

#include "core/cleanup.h"
#include "plan/hashring.h"

static void number(struct hr_strbuf *out, const char *what, int64_t v)
{
	if (v >= 0)
		hr_sb_printf(out, " %s %lld", what, (long long)v);
}

static void millis(struct hr_strbuf *out, const char *what, int64_t v)
{
	if (v >= 0)
		hr_sb_printf(out, " %s %lld ms", what, (long long)v);
}

static void text(struct hr_strbuf *out, const char *what, const char *v)
{
	if (!v)
		return;
	hr_sb_printf(out, " %s ", what);
	hr_sb_json(out, v, hr_slice_of(v).n);
}

static void words_of_ops(struct hr_strbuf *out, const char *what, const struct hr_header_ops *ops)
{
	for (size_t i = 0; i < ops->set.len; i++) {
		hr_sb_printf(out, " %s set %s", what, ops->set.data[i].key);
		text(out, "to", ops->set.data[i].value);
	}
	for (size_t i = 0; i < ops->add.len; i++) {
		hr_sb_printf(out, " %s add %s", what, ops->add.data[i].key);
		text(out, "with", ops->add.data[i].value);
	}
	for (size_t i = 0; i < ops->remove.len; i++)
		hr_sb_printf(out, " %s remove %s", what, ops->remove.data[i]);
}

static void words_of_headers(struct hr_strbuf *out, const struct hr_headers *h)
{
	words_of_ops(out, "request", &h->request);
	words_of_ops(out, "response", &h->response);
}

static void words_of_retries(struct hr_strbuf *out, const struct hr_retries *r)
{
	if (!r->set)
		return;
	hr_sb_printf(out, " retries %d", r->attempts);
	for (size_t i = 0; i < r->retry_on.len; i++)
		hr_sb_printf(out, "%s%s", i ? "," : " on ", r->retry_on.data[i]);
	millis(out, "perTryTimeout", r->per_try_timeout);
	millis(out, "backoff", r->backoff);
}

static void words_of_fault(struct hr_strbuf *out, const struct hr_fault *f)
{
	if (f->set && f->delay_ms >= 0)
		hr_sb_printf(out, " delay %lld ms %g %%", (long long)f->delay_ms,
			     f->delay_ppm / 10000.0);
	if (f->set && f->abort_http >= 0)
		hr_sb_printf(out, " abort %d %g %%", f->abort_http, f->abort_ppm / 10000.0);
}

void hr_route_words(const struct hr_http_route *h, struct hr_strbuf *out)
{
	if (h->timeout > 0)
		millis(out, "timeout", h->timeout);
	words_of_retries(out, &h->retries);
	words_of_fault(out, &h->fault);
	if (h->redirect.set) {
		hr_sb_printf(out, " redirect %d", h->redirect.code > 0 ? h->redirect.code : 301);
		text(out, "uri", h->redirect.uri);
		text(out, "authority", h->redirect.authority);
		text(out, "scheme", h->redirect.scheme);
		number(out, "port", h->redirect.port ? (int64_t)h->redirect.port : -1);
	}
	if (h->direct_response.set) {
		hr_sb_printf(out, " response %d ", h->direct_response.status);
		hr_sb_json(out, h->direct_response.body ? h->direct_response.body : "",
			   h->direct_response.body_len);
	}
	if (h->rewrite.set) {
		text(out, "rewrite uri", h->rewrite.uri);
		text(out, "rewrite authority", h->rewrite.authority);
	}
	words_of_headers(out, &h->headers);
	for (size_t i = 0; i < h->route.len; i++)
		words_of_headers(out, &h->route.data[i].headers);
}

void hr_policy_words(const struct hr_plan_cluster *c, struct hr_strbuf *out)
{
	const struct hr_connection_pool *p = c->pool;
	const struct hr_outlier *o = c->outlier;

	if (p) {
		number(out, "maxConnections", p->max_connections);
		millis(out, "connectTimeout", p->connect_timeout);
		millis(out, "tcpIdleTimeout", p->tcp_idle_timeout);
		number(out, "http1MaxPendingRequests", p->http1_max_pending);
		number(out, "http2MaxRequests", p->http2_max_requests);
		number(out, "maxRequestsPerConnection", p->max_requests_per_connection);
		number(out, "maxRetries", p->max_retries);
		millis(out, "httpIdleTimeout", p->http_idle_timeout);
	}
	if (o) {
		number(out, "consecutive5xxErrors", o->consecutive_5xx);
		number(out, "consecutiveGatewayErrors", o->consecutive_gateway);
		number(out, "consecutiveLocalOriginFailures", o->consecutive_local);
		number(out, "splitExternalLocalOriginErrors", o->split_external_local);
		millis(out, "interval", o->interval);
		millis(out, "baseEjectionTime", o->base_ejection);
		number(out, "maxEjectionPercent", o->max_ejection_percent);
		number(out, "minHealthPercent", o->min_health_percent);
	}
	if (c->balancer && c->balancer->hash != HR_HASH_NONE) {
		static const char *const by[] = {"", "header", "cookie", "source address", "query"};

		text(out, "hash by", by[c->balancer->hash]);
		text(out, "hash name", c->balancer->hash_name);
		number(out, "hash table", c->hash_table ? (int64_t)c->hash_table->n : -1);
	}
	text(out, "tls", c->tls_mode);
}
