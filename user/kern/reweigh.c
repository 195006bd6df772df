// SPDX-License-Identifier: Apache-2.0
/*
 * New weights in the tables: one element for each virtual host whose rule has them, written where
 * it is. A program that has read the old row uses the old weights for its request, the next one
 * reads the new.
 */
#include <errno.h>
#include <string.h>

#include "core/cleanup.h"
#include "kern/apply.h"
#include "kern/internal.h"

static bool is_reweighed(const struct hr_reweighed *what, uint32_t route)
{
	for (size_t i = 0; i < what->n_routes; i++)
		if (what->routes[i] == route)
			return true;
	return false;
}

static void set_weights(struct hr_rule *rule, const struct hr_plan_route *r)
{
	uint32_t cum = 0;

	for (uint32_t i = 0; i < r->ndst; i++) {
		cum += r->dst[i].weight;
		rule->dst[i].cum = cum;
	}
	rule->total = cum;
}

static int write_rule(struct hr_kern *k, struct kern_vhost *kv, uint32_t index,
		      const struct hr_plan_route *r)
{
	const struct hr_rule_key key = {.table = kv->table->number, .index = index};
	struct hr_rule rule = kv->rules[index];

	set_weights(&rule, r);
	if (!memcmp(&rule, &kv->rules[index], sizeof(rule)))
		return 0;
	if (bpf_map_update_elem(bpf_map__fd(k->skel->maps.rules), &key, &rule, BPF_EXIST))
		return -errno;
	kv->rules[index] = rule;
	return 0;
}

static int write_vhost(struct hr_kern *k, const struct hr_plan *plan, const struct hr_plan_vhost *v,
		       const struct hr_reweighed *what)
{
	struct kern_vhost *kv = hr_map_get(k->apply->rows->vhosts, &v->id, sizeof(v->id));
	int e = 0;

	if (!kv || kv->table->nrules != v->nrules)
		return -ENOENT;
	for (uint32_t i = 0; i < v->nrules && !e; i++)
		if (is_reweighed(what, v->rules[i].route))
			e = write_rule(k, kv, i, &plan->routes.data[v->rules[i].route]);
	return e;
}

static int write_vip(struct hr_kern *k, const struct hr_plan *plan, const struct hr_plan_vip *v)
{
	struct hr_vip_key key = kern_vip_key(v);
	struct hr_vip *have, vip;

	have = hr_map_get(k->apply->rows->vips, &key, sizeof(key));
	if (!have)
		return -ENOENT;
	vip = *have;
	vip.cluster = kern_vip_cluster(plan, v);
	if (!memcmp(&vip, have, sizeof(vip)))
		return 0;
	if (bpf_map_update_elem(bpf_map__fd(k->skel->maps.vips), &key, &vip, BPF_EXIST))
		return -errno;
	*have = vip;
	return 0;
}

int hr_kern_reweigh(struct hr_kern *k, const struct hr_plan *plan, const struct hr_reweighed *what)
{
	int e = k->apply->rows ? 0 : -ENOENT;

	for (size_t i = 0; i < what->n_vhosts && !e; i++)
		e = write_vhost(k, plan, &plan->vhosts.data[what->vhosts[i]], what);
	for (size_t i = 0; i < what->n_vips && !e; i++)
		e = write_vip(k, plan, &plan->vips.data[what->vips[i]]);
	if (k->apply->rows && what->n_vhosts) {
		int written = kern_write_config(k);

		e = e ? e : written;
	}
	return e;
}
