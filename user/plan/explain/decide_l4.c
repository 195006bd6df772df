// SPDX-License-Identifier: Apache-2.0
/* explain for ports whose bytes nobody reads: the TLS or TCP route of one connection. */
#include "core/cleanup.h"
#include "core/net.h"
#include "plan/explain/asked.h"
#include "plan/compile/compile.h"

static const char *joined(struct hr_arena *a, const hr_strs *list)
{
	const char *out = "";

	for (size_t i = 0; i < list->len; i++)
		out = hr_arena_printf(a, "%s%s%s", out, i ? ", " : "", list->data[i]);
	return out;
}

/* What the entry asks for, whether it was met or not. */
static const char *because(struct hr_arena *a, const struct hr_plan_l4 *e)
{
	const struct hr_l4_match *m = e->m;
	const char *out = "";

	if (m && m->sni_hosts.len)
		out = hr_arena_printf(a, "; server name is one of %s", joined(a, &m->sni_hosts));
	if (m && m->destination_subnets.len)
		out = hr_arena_printf(a, "%s; destination in %s", out,
				      joined(a, &m->destination_subnets));
	if (m && m->source_namespace)
		out = hr_arena_printf(a, "%s; source namespace %s", out, m->source_namespace);
	if (m && m->source_subnet)
		out = hr_arena_printf(a, "%s; source in %s", out, m->source_subnet);
	for (size_t i = 0; m && i < m->source_labels.len; i++)
		out = hr_arena_printf(a, "%s; source label %s=%s", out,
				      m->source_labels.data[i].key, m->source_labels.data[i].value);
	if (e->only)
		out = hr_arena_printf(a, "%s; exported to %s", out, joined(a, &e->only->export_to));
	return *out ? out + 2 : "no condition: matches all";
}

static void trace(const struct hr_plan *p, struct hr_arena *a, const struct hr_plan_l4 *won,
		  struct hr_verdict *v)
{
	const struct hr_plan_l4 *e = p->l4.data + v->tcp->first_l4;

	v->trace.data = hr_arena_array(a, struct hr_trace, v->tcp->n_l4 + 1);
	for (uint32_t i = 0; i < v->tcp->n_l4; i++) {
		v->trace.data[v->trace.len++] = (struct hr_trace){
			.rule = p->routes.data[e[i].route].index,
			.matched = &e[i] == won,
			.because = because(a, &e[i]),
		};
		if (&e[i] == won && !v->tcp->tls)
			return;
	}
}

void hr_decide_l4(const struct hr_plan *p, const struct hr_explain_req *r, struct hr_arena *a,
		  const struct hr_plan_req *req, struct hr_verdict *v)
{
	struct hr_plan_conn c = {
		.source_ns = req->source_ns,
		.source_labels = req->source_labels,
	};
	const struct hr_plan_l4 *won;

	/* a client of TLS names the host of its URL */
	if (v->tcp->tls && hr_slice_eq(v->asked.scheme, HR_SLICE("https")) && !v->asked.is_addr)
		c.sni = v->asked.authority;
	c.src_known = r->source_ip && !hr_addr_parse(r->source_ip, &c.src);
	won = hr_plan_l4_match(p, v->tcp, &c);
	trace(p, a, won, v);
	v->action = "route";
	if (won) {
		v->m.route = &p->routes.data[won->route];
		v->vs = v->m.route->vs;
	} else if (v->tcp->tls) {
		v->action = "notFound";
	}
}
