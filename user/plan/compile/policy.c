// SPDX-License-Identifier: Apache-2.0
/*
 * Which DestinationRule speaks for a host, and to whom. As in Istio, a client looks first in its
 * own namespace, then in the service's, then in the root namespace, among the rules that it sees
 * (exportTo, workloadSelector); there the most specific host wins.
 *
 * Where all clients see the same, that is all. Those who see something else get a view: clusters of
 * their own, behind those that routes name. The kernel knows them by workload (map `seen`).
 */
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "model/hosts.h"
#include "plan/compile/compile.h"

#define ROOT_NS "istio-system"

typedef HR_VEC(const char *) name_vec;
typedef HR_VEC(struct hr_svc_view) view_vec;

static const struct hr_destination_rule *rule_at(const struct hr_build *b, uint32_t i)
{
	return b->o->destination_rules.data[i];
}

/* Rules for the host itself, then those with wildcards. */
static uint32_t first_rule(const struct hr_build *b, const struct hr_svc *s, bool *wild)
{
	uint32_t i = hr_chain_first(&b->dr_by_host, s->fqdn);

	*wild = i == HR_NONE;
	return *wild ? hr_chain_first(&b->dr_by_host, "*") : i;
}

static uint32_t next_rule(const struct hr_build *b, uint32_t i, bool *wild)
{
	i = hr_chain_next(&b->dr_by_host, i);
	if (i != HR_NONE || *wild)
		return i;
	*wild = true;
	return hr_chain_first(&b->dr_by_host, "*");
}

#define for_each_rule(b, s, i)                                                                 \
	for (bool wild_, *w_ = &wild_; w_; w_ = NULL)                                          \
		for (uint32_t i = first_rule(b, s, w_); i != HR_NONE; i = next_rule(b, i, w_)) \
			if (hr_host_matches((b)->dr_hosts[i], (s)->fqdn))

/* The best rule of one namespace without selector that clients of `client` (NULL: any) see. */
static uint32_t best_of(const struct hr_build *b, const struct hr_svc *s, const char *ns,
			const char *client)
{
	uint32_t best = HR_NONE;

	for_each_rule(b, s, i)
	{
		const struct hr_destination_rule *r = rule_at(b, i);

		if (!hr_streq(r->meta.ns, ns) || r->workload_selector.len ||
		    !hr_export_holds(&r->export_to, ns, client))
			continue;
		if (best == HR_NONE ||
		    hr_host_specificity_cmp(b->dr_hosts[i], b->dr_hosts[best]) > 0)
			best = i;
	}
	return best;
}

/* Rules of one namespace for the same host merge their subsets; the first name wins. */
static hr_subset_list merged(struct hr_build *b, const struct hr_svc *s, uint32_t best)
{
	const struct hr_destination_rule *rule = rule_at(b, best);
	HR_VEC(const struct hr_subset *) found = {0};
	hr_subset_list out;

	for_each_rule(b, s, i)
	{
		const struct hr_destination_rule *r = rule_at(b, i);
		bool mergeable = !r->workload_selector.len && !rule->workload_selector.len;

		if (i != best && (!mergeable || !hr_streq(r->meta.ns, rule->meta.ns) ||
				  !hr_streq(b->dr_hosts[i], b->dr_hosts[best])))
			continue;
		for (size_t k = 0; k < r->subsets.len; k++)
			hr_vec_push(&found, &r->subsets.data[k]);
	}
	out.data = hr_arena_array(b->a, const struct hr_subset *, found.len + 1);
	if (found.len)
		memcpy(out.data, found.data, found.len * sizeof(*found.data));
	out.len = found.len;
	hr_vec_free(&found);
	return out;
}

/* ---- who may see something else ---- */

static void add_name(name_vec *names, const char *ns)
{
	for (size_t i = 0; i < names->len; i++)
		if (hr_streq(names->data[i], ns))
			return;
	hr_vec_push(names, ns);
}

static void clients_named(const struct hr_build *b, const struct hr_svc *s, name_vec *out)
{
	for_each_rule(b, s, i)
	{
		const struct hr_destination_rule *r = rule_at(b, i);

		add_name(out, r->meta.ns);
		for (size_t k = 0; k < r->export_to.len; k++)
			if (*r->export_to.data[k] != '*' && *r->export_to.data[k] != '.')
				add_name(out, r->export_to.data[k]);
	}
}

static void add_view(struct hr_build *b, const struct hr_svc *s, view_vec *out, const char *ns,
		     uint32_t rule)
{
	const struct hr_destination_rule *r = rule == HR_NONE ? NULL : rule_at(b, rule);
	struct hr_svc_view v = {.ns = ns, .rule = r};

	if (r && r->workload_selector.len)
		v.selector = &r->workload_selector;
	if (r)
		v.subsets = merged(b, s, rule);
	b->plan->asks_labels |= v.selector != NULL;
	hr_vec_push(out, v);
}

/* Rules for some workloads of the namespace come before its rule for all. */
static void views_of(struct hr_build *b, const struct hr_svc *s, const char *ns, view_vec *out)
{
	const char *const order[] = {ns, s->ns, ROOT_NS};
	uint32_t rule = HR_NONE;

	for_each_rule(b, s, i) if (hr_streq(rule_at(b, i)->meta.ns, ns) &&
				   rule_at(b, i)->workload_selector.len) add_view(b, s, out, ns, i);
	for (size_t k = 0; k < HR_ARRAY_SIZE(order) && rule == HR_NONE; k++)
		rule = best_of(b, s, order[k], ns);
	if ((rule == HR_NONE ? NULL : rule_at(b, rule)) != s->rule)
		add_view(b, s, out, ns, rule);
}

void hr_build_policy(struct hr_build *b, struct hr_svc *s)
{
	name_vec names = {0};
	view_vec views = {0};
	uint32_t rule = best_of(b, s, s->ns, NULL);

	if (rule == HR_NONE)
		rule = best_of(b, s, ROOT_NS, NULL);
	if (rule != HR_NONE) {
		s->rule = rule_at(b, rule);
		s->subsets = merged(b, s, rule);
	}
	clients_named(b, s, &names);
	for (size_t i = 0; i < names.len; i++)
		views_of(b, s, names.data[i], &views);
	s->views.data = hr_arena_array(b->a, struct hr_svc_view, views.len + 1);
	if (views.len)
		memcpy(s->views.data, views.data, views.len * sizeof(*views.data));
	s->views.len = views.len;
	hr_vec_free(&names);
	hr_vec_free(&views);
}

/* ---- views of clusters ---- */

static void add_behind(struct hr_plan *p, struct hr_plan_cluster *c, const struct hr_plan_view *v)
{
	struct hr_plan_view *grown = hr_arena_array(p->arena, struct hr_plan_view, c->n_views + 1);

	if (c->n_views)
		memcpy(grown, c->views, c->n_views * sizeof(*grown));
	grown[c->n_views++] = *v;
	c->views = grown;
}

/* Those of another rule first: its cluster has groups of its own. */
void hr_build_views(struct hr_build *b)
{
	for (int turn = 0; turn < 2; turn++)
		for (size_t i = 0; i < b->views.len; i++) {
			const struct hr_build_view *v = &b->views.data[i];
			uintptr_t base = (uintptr_t)hr_map_gets(b->cluster_by_name, v->base);

			if (base && (v->view.ns != NULL) == !turn)
				add_behind(b->plan, &b->clusters.data[base - 1], &v->view);
		}
}

static bool has_same(const hr_kvs *want, const hr_kvs *have)
{
	for (size_t i = 0; i < want->len; i++) {
		const char *value = "";

		for (size_t k = 0; have && k < have->len; k++)
			if (hr_streq(want->data[i].key, have->data[k].key) && have->data[k].value)
				value = have->data[k].value;
		if (!hr_streq(want->data[i].value, value))
			return false;
	}
	return true;
}

static bool is_for(const struct hr_plan_view *v, const char *ns, const hr_kvs *labels)
{
	return (!v->ns || hr_streq(v->ns, ns)) &&
	       (!v->selector || hr_labels_match(v->selector, labels)) &&
	       (!v->same || has_same(v->same, labels));
}

const struct hr_plan_cluster *hr_plan_cluster_seen(const struct hr_plan *p,
						   const struct hr_plan_cluster *c, const char *ns,
						   const hr_kvs *labels)
{
	for (uint32_t i = 0; c && i < c->n_views; i++) {
		const struct hr_plan_cluster *seen = &p->clusters.data[c->views[i].cluster];

		if (is_for(&c->views[i], ns, labels))
			return seen == c ? c : hr_plan_cluster_seen(p, seen, ns, labels);
	}
	return c;
}
