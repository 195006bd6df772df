// SPDX-License-Identifier: Apache-2.0
/* Routes and policies in words. */
#include "plan/words.h"

#include <string.h>

#include "core/cleanup.h"
#include "plan/balance/locality.h"
#include "plan/balance/slots.h"

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
	if (f->set && f->abort_grpc)
		hr_sb_printf(out, " abort gRPC %s %g %%", f->abort_grpc, f->abort_ppm / 10000.0);
}

static void words_of_redirect(struct hr_strbuf *out, const struct hr_redirect *r)
{
	if (!r->set)
		return;
	hr_sb_printf(out, " redirect %d", r->code > 0 ? r->code : 301);
	text(out, "uri", r->uri);
	text(out, "prefixRewrite", r->prefix_rewrite);
	text(out, "authority", r->authority);
	text(out, "scheme", r->scheme);
	text(out, "derivePort", r->derive_port);
	number(out, "port", r->port ? (int64_t)r->port : -1);
}

static void words_of_rewrite(struct hr_strbuf *out, const struct hr_rewrite *r)
{
	if (!r->set)
		return;
	text(out, "rewrite uri", r->uri);
	text(out, "rewrite regex", r->regex);
	text(out, "by", r->regex ? r->regex_rewrite : NULL);
	text(out, "rewrite authority", r->authority);
}

static void words_of_cors(struct hr_strbuf *out, const struct hr_cors *c)
{
	static const char *const kinds[] = {"", "", "prefix ", "regex ", ""};

	if (!c->set)
		return;
	hr_sb_add(out, " cors");
	for (size_t i = 0; i < c->allow_origins.len; i++) {
		hr_sb_printf(out, "%s %s", i ? "," : " origins",
			     kinds[c->allow_origins.data[i].type]);
		hr_sb_json(out, c->allow_origins.data[i].value,
			   strlen(c->allow_origins.data[i].value));
	}
	text(out, "methods", c->methods);
	text(out, "headers", c->headers);
	text(out, "expose", c->expose);
	text(out, "maxAge", c->seconds);
	number(out, "credentials", c->allow_credentials);
	text(out, "unmatchedPreflights", c->unmatched_preflights);
}

static void words_of_mirrors(struct hr_strbuf *out, const struct hr_http_route *h)
{
	for (size_t i = 0; i < h->mirrors.len; i++) {
		const struct hr_mirror *m = &h->mirrors.data[i];

		hr_sb_printf(out, " mirror to %s%s%s", m->destination.host,
			     m->destination.subset ? " subset " : "",
			     m->destination.subset ? m->destination.subset : "");
		number(out, "port", m->destination.port ? (int64_t)m->destination.port : -1);
		hr_sb_printf(out, " %g %%", m->ppm / 10000.0);
	}
}

void hr_route_words(const struct hr_http_route *h, struct hr_strbuf *out)
{
	if (h->timeout > 0)
		millis(out, "timeout", h->timeout);
	words_of_retries(out, &h->retries);
	words_of_fault(out, &h->fault);
	words_of_redirect(out, &h->redirect);
	if (h->direct_response.set) {
		hr_sb_printf(out, " response %d ", h->direct_response.status);
		hr_sb_json(out, h->direct_response.body ? h->direct_response.body : "",
			   h->direct_response.body_len);
	}
	words_of_rewrite(out, &h->rewrite);
	words_of_mirrors(out, h);
	words_of_cors(out, &h->cors);
	words_of_headers(out, &h->headers);
	for (size_t i = 0; i < h->route.len; i++)
		words_of_headers(out, &h->route.data[i].headers);
}

static const char *lb_name(const struct hr_plan_cluster *c)
{
	static const char *const names[] = {
		"", "ROUND_ROBIN", "RANDOM", "LEAST_REQUEST", "PASSTHROUGH", "ring hash", "Maglev"};

	return c->lb < HR_ARRAY_SIZE(names) ? names[c->lb] : "";
}

static void shares(const struct hr_plan_cluster *c, struct hr_strbuf *out)
{
	static const char *const by[] = {"", "header", "cookie", "source address", "query"};

	if (c->balancer && c->balancer->hash != HR_HASH_NONE) {
		text(out, "by", by[c->balancer->hash]);
		text(out, "name", c->balancer->hash_name);
		number(out, "slots", hr_hash_slots(c));
	}
	hr_place_words(c, out);
	if (c->balancer)
		millis(out, "warmup", c->balancer->warmup_ms);
}

void hr_balance_words(const struct hr_plan_cluster *c, struct hr_strbuf *out)
{
	hr_sb_printf(out, " %s", lb_name(c));
	shares(c, out);
}

const char *hr_speaks_word(const struct hr_plan_cluster *c)
{
	static const char *const words[] = {[HR_SPEAKS_HTTP1] = "HTTP/1.1",
					    [HR_SPEAKS_HTTP2] = "HTTP/2",
					    [HR_SPEAKS_AS_CLIENT] = "as the client"};

	return words[hr_plan_speaks(c)];
}

static void pool_words(const struct hr_connection_pool *p, struct hr_strbuf *out)
{
	number(out, "maxConnections", p->max_connections);
	millis(out, "connectTimeout", p->connect_timeout);
	millis(out, "tcpIdleTimeout", p->tcp_idle_timeout);
	number(out, "http1MaxPendingRequests", p->http1_max_pending);
	number(out, "http2MaxRequests", p->http2_max_requests);
	number(out, "maxRequestsPerConnection", p->max_requests_per_connection);
	number(out, "maxRetries", p->max_retries);
	millis(out, "httpIdleTimeout", p->http_idle_timeout);
	text(out, "h2UpgradePolicy", p->h2_upgrade);
	if (p->use_client_protocol == 1)
		hr_sb_add(out, " useClientProtocol");
	number(out, "maxConcurrentStreams", p->max_concurrent_streams);
	if (p->h2_keepalive) {
		millis(out, "http2KeepAlive interval", p->h2_keepalive_interval);
		millis(out, "timeout", p->h2_keepalive_timeout);
	}
}

void hr_policy_words(const struct hr_plan_cluster *c, struct hr_strbuf *out)
{
	const struct hr_outlier *o = c->outlier;

	if (c->pool)
		pool_words(c->pool, out);
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
	if (c->retry_budget) {
		hr_sb_printf(out, " retryBudget %g %% of", c->retry_budget->percent);
		number(out, "active, at least", c->retry_budget->min_concurrency);
		millis(out, "interval", c->retry_budget->interval);
	}
	shares(c, out);
	text(out, "tls", c->tls_mode);
	if (c->tunnel)
		hr_sb_printf(out, " tunnel %s:%u", c->tunnel->host, c->tunnel->port);
	if (c->proxy_protocol)
		hr_sb_printf(out, " proxyProtocol V%d", c->proxy_protocol->version);
}

bool hr_route_retries(const struct hr_plan_route *route, struct hr_retry_words *out)
{
	static const char *const dflt[] = {"connect-failure", "refused-stream", "unavailable",
					   "cancelled"};
	const struct hr_retries *r = route->http ? &route->http->retries : NULL;
	bool set = r && r->set, own = set && r->retry_on.len;

	if (set && !r->attempts)
		return false;
	*out = (struct hr_retry_words){
		.attempts = set ? r->attempts : 2,
		.per_try_timeout = set ? r->per_try_timeout : -1,
		.on = own ? r->retry_on.data : dflt,
		.n_on = own ? r->retry_on.len : HR_ARRAY_SIZE(dflt),
	};
	return true;
}
