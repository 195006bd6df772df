// SPDX-License-Identifier: Apache-2.0
/* explain for people: the rules in order, then the destination and who carries the request. */
#include "core/cleanup.h"
#include "core/net.h"
#include "plan/explain/asked.h"
#include "plan/words.h"

static void add_trace(const struct hr_verdict *v, struct hr_strbuf *out)
{
	for (size_t i = 0; i < v->trace.len; i++) {
		const struct hr_trace *t = &v->trace.data[i];

		hr_sb_printf(out, "  rule %u  %-8s %s\n", t->rule, t->matched ? "matches" : "no",
			     t->because);
	}
}

static void add_destination(const struct hr_plan *p, const struct hr_verdict *v, uint32_t cluster,
			    double share, struct hr_strbuf *out)
{
	const struct hr_plan_cluster *c = hr_asked_cluster(p, v, cluster);
	char text[HR_ADDR_TEXT];

	hr_sb_printf(out, "  %5.1f %%  %s%s%s port %u ->", 100 * share, c->host,
		     *c->subset ? " subset " : "", c->subset, c->port);
	for (uint32_t k = 0; k < c->n_eps && k < 8; k++) {
		const struct hr_plan_ep *e = &p->eps.data[c->first_ep + k];

		hr_sb_printf(out, " %s", hr_addr_port_text(&e->addr, e->port, text));
	}
	if (c->n_eps > 8)
		hr_sb_printf(out, " and %u more", c->n_eps - 8);
	if (c->lb == HR_LB_PASSTHROUGH)
		hr_sb_add(out, " where the client asked to go");
	else if (!c->n_eps)
		hr_sb_add(out,
			  c->missing_subset ? " nothing defines it (503)" : " no endpoint (503)");
	hr_sb_add(out, "\n          ");
	hr_balance_words(c, out);
	if (!v->tcp)
		hr_sb_printf(out, ", %s", hr_speaks_word(c));
	hr_sb_addc(out, '\n');
}

/* Timeout and retries in effect, also where the route is silent about them. */
static void add_patience(const struct hr_plan_route *r, struct hr_strbuf *out)
{
	struct hr_retry_words w;

	if (r->timeout > 0)
		hr_sb_printf(out, "  timeout %lld ms", (long long)r->timeout);
	else
		hr_sb_add(out, "  no timeout");
	if (!hr_route_retries(r, &w)) {
		hr_sb_add(out, ", no retries\n");
		return;
	}
	hr_sb_printf(out, ", up to %d retries on", w.attempts);
	for (size_t i = 0; i < w.n_on; i++)
		hr_sb_printf(out, "%c%s", i ? ',' : ' ', w.on[i]);
	if (w.per_try_timeout > 0)
		hr_sb_printf(out, ", %lld ms a try", (long long)w.per_try_timeout);
	hr_sb_addc(out, '\n');
}

static void add_host(const struct hr_verdict *v, struct hr_strbuf *out)
{
	const struct hr_virtual_service *vs = v->vs;

	if (v->tcp) {
		hr_sb_printf(out, "host %s port %u, opaque TCP: balanced at connect", v->tcp->host,
			     v->asked.port);
		if (vs)
			hr_sb_printf(out, ", VirtualService %s/%s", vs->meta.ns, vs->meta.name);
		hr_sb_addc(out, '\n');
		return;
	}
	hr_sb_printf(out, "host %s port %u, ", v->m.vhost->host, v->asked.port);
	if (vs)
		hr_sb_printf(out, "VirtualService %s/%s\n", vs->meta.ns, vs->meta.name);
	else
		hr_sb_add(out, "no VirtualService: default route\n");
}

/* Between two captured ends of one node. */
static void add_same_node(const char *what, struct hr_strbuf *out)
{
	static const struct {
		const char *word, *text;
	} texts[] = {
		{"http", "requests skip TCP"},
		{"tcp", "skips TCP, unread"},
		{"off", "by TCP"},
	};

	for (size_t i = 0; what && i < HR_ARRAY_SIZE(texts); i++)
		if (hr_streq(what, texts[i].word))
			hr_sb_printf(out, "on the same node: %s\n", texts[i].text);
}

int hr_explain_text(const struct hr_plan *p, const struct hr_explain_req *q, struct hr_strbuf *out,
		    const char **why)
{
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	const struct hr_plan_route *r;
	struct hr_verdict v;
	int e = hr_explain_decide(p, q, a, &v, why);

	if (e)
		return e;
	if (!v.m.vhost && !v.tcp) {
		hr_sb_printf(out, "no Service or ServiceEntry knows %.*s:%u: %s\n",
			     (int)v.asked.authority.n, v.asked.authority.p, v.asked.port,
			     p->registry_only ? "502 (REGISTRY_ONLY)" : "passed through");
		return 0;
	}
	add_host(&v, out);
	add_trace(&v, out);
	if (v.asked.bad_path)
		hr_sb_add(out, "  the path is broken or ambiguous: no rule is asked\n");
	hr_sb_printf(out, "action: %s", v.action);
	if (v.status)
		hr_sb_printf(out, " (%d)", v.status);
	if (v.m.route && v.m.route->http)
		hr_route_words(v.m.route->http, out);
	hr_sb_addc(out, '\n');
	r = hr_streq(v.action, "route") ? v.m.route : NULL;
	if (r && !v.tcp)
		add_patience(r, out);
	for (uint32_t i = 0; r && i < r->ndst; i++)
		add_destination(p, &v, r->dst[i].cluster,
				r->total ? (double)r->dst[i].weight / r->total : 0, out);
	if (v.tcp && !r && hr_streq(v.action, "route") && v.tcp->cluster != HR_NONE)
		add_destination(p, &v, v.tcp->cluster, 1, out);
	if (v.why)
		hr_sb_printf(out, "carried by: agent (%s)\n", hr_why_text(v.why));
	else
		hr_sb_add(out, "carried by: kernel\n");
	add_same_node(hr_asked_same_node(p, &v), out);
	return 0;
}
