// SPDX-License-Identifier: Apache-2.0
// Canaries: which rule splits, its weights, and the objects of a new one.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "splitter/nodes.h"
#include "splitter/splitter.h"

#define MATCH_RULE "canary-match"
#define SPLIT_RULE "canary-split"

static int refuse(struct hr_strbuf *why, const char *sentence)
{
	hr_sb_add(why, sentence);
	return -EINVAL;
}

static struct hr_ynode *list_at(struct hr_ynode *map, const char *key)
{
	struct hr_ynode *n = map ? hr_node_at(map, key) : NULL;

	return n && n->type == HR_NODE_SEQ ? n : NULL;
}

static struct hr_ynode *rules_of(struct hr_ynode *vs)
{
	return list_at(hr_node_at(vs, "spec"), "http");
}

static bool matches_all(struct hr_ynode *rule)
{
	const struct hr_ynode *m = list_at(rule, "match");

	return !m || !m->count;
}

static const char *side_name(struct hr_ynode *entry)
{
	struct hr_ynode *d = hr_node_at(entry, "destination");
	const char *subset = d ? hr_node_string(d, "subset") : NULL;

	return subset ? subset : d ? hr_node_string(d, "host") : NULL;
}

static struct hr_ynode *side_of(struct hr_ynode *rule, const char *name)
{
	struct hr_ynode *route = list_at(rule, "route");

	for (struct hr_ynode *e = route ? route->first : NULL; e; e = e->next)
		if (hr_streq(side_name(e), name))
			return e;
	return NULL;
}

static bool has_sides(struct hr_ynode *rule, const struct hr_canary_weight *w, size_t n)
{
	const struct hr_ynode *route = list_at(rule, "route");

	if (!route || route->count < 2)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!side_of(rule, w[i].name))
			return false;
	return true;
}

static void tell_wanted(struct hr_strbuf *why, const struct hr_canary_weight *w, size_t n)
{
	hr_sb_add(why, "no rule of spec.http routes to ");
	if (!n)
		hr_sb_add(why, "two destinations");
	for (size_t i = 0; i < n; i++)
		hr_sb_printf(why, "%s%s", !i ? "" : i + 1 == n ? " and " : ", ", w[i].name);
	hr_sb_add(why, "; `canary create` makes one");
}

/* The rule with all these sides: the one that matches all, else the only one. */
static struct hr_ynode *find_split(struct hr_ynode *vs, const struct hr_canary_weight *w, size_t n,
				   size_t *index, struct hr_strbuf *why)
{
	struct hr_ynode *rules = rules_of(vs), *found = NULL;
	size_t several = 0, at = 0;

	for (struct hr_ynode *r = rules ? rules->first : NULL; r; r = r->next, at++) {
		if (!has_sides(r, w, n))
			continue;
		found = r;
		*index = at;
		several++;
		if (matches_all(r)) /* later rules are never reached */
			return r;
	}
	if (several == 1)
		return found;
	if (!several)
		tell_wanted(why, w, n);
	else
		hr_sb_printf(why,
			     "%zu rules of spec.http split the traffic and none of them is without "
			     "match: which one is meant cannot be told",
			     several);
	return NULL;
}

/* Beside others, a destination without weight gets nothing. */
static int64_t weight_of(const struct hr_ynode *entry)
{
	const char *s = hr_node_string(entry, "weight");

	return s ? strtoll(s, NULL, 10) : 0;
}

static uint32_t port_of(struct hr_ynode *destination)
{
	const struct hr_ynode *p = hr_node_at(destination, "port");
	const char *s = p ? hr_node_string(p, "number") : NULL;

	return s ? (uint32_t)strtoul(s, NULL, 10) : 0;
}

int hr_canary_split(const char *vs, const struct hr_canary_weight *w, size_t n, struct hr_arena *a,
		    struct hr_canary_rule *out, struct hr_strbuf *why)
{
	struct hr_canary_rule s = {};
	struct hr_ynode *root = NULL, *rule, *route;
	int r = hr_nodes_read(a, vs, "VirtualService", &root, why);

	if (r < 0)
		return r;
	rule = find_split(root, w, n, &s.rule, why);
	if (!rule)
		return -EINVAL;
	route = list_at(rule, "route");
	s.sides.data = hr_arena_array(a, struct hr_canary_side, route->count);
	for (struct hr_ynode *e = route->first; e; e = e->next) {
		struct hr_ynode *d = hr_node_at(e, "destination");

		if (!d)
			continue;
		s.sides.data[s.sides.len++] = (struct hr_canary_side){
			.name = side_name(e),
			.host = hr_node_string(d, "host"),
			.subset = hr_node_string(d, "subset"),
			.port = port_of(d),
			.weight = weight_of(e),
		};
	}
	*out = s;
	return 0;
}

static int check_weights(const struct hr_canary_weight *w, size_t n, struct hr_strbuf *why)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++)
			if (hr_streq(w[i].name, w[k].name)) {
				hr_sb_printf(why, "%s is named twice", w[i].name);
				return -EINVAL;
			}
		if (w[i].weight < 0 || w[i].weight > INT32_MAX) {
			hr_sb_printf(why, "weight %lld of %s: 0 or more is needed",
				     (long long)w[i].weight, w[i].name);
			return -EINVAL;
		}
	}
	return 0;
}

static int set_weights(struct hr_arena *a, struct hr_ynode *rule, const struct hr_canary_weight *w,
		       size_t n, struct hr_strbuf *why)
{
	struct hr_ynode *route = list_at(rule, "route");
	int64_t total = 0;

	for (size_t i = 0; i < n; i++)
		hr_node_set(a, side_of(rule, w[i].name), "weight", hr_node_number(a, w[i].weight));
	for (const struct hr_ynode *e = route->first; e; e = e->next)
		total += weight_of(e);
	return total > 0 ? 0 : refuse(why, "all weights would be 0: nobody would get the traffic");
}

int hr_canary_weights(const char *vs, const struct hr_canary_weight *w, size_t n,
		      struct hr_strbuf *out, struct hr_strbuf *why)
{
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	struct hr_ynode *root = NULL, *rule;
	size_t index;
	int r = check_weights(w, n, why);

	if (r == 0)
		r = hr_nodes_read(a, vs, "VirtualService", &root, why);
	if (r < 0)
		return r;
	rule = find_split(root, w, n, &index, why);
	r = rule ? set_weights(a, rule, w, n, why) : -EINVAL;
	if (r == 0)
		hr_tree_emit(root, out);
	return r;
}

int hr_canary_two_weights(const char *vs, int64_t stable, int64_t canary, struct hr_strbuf *out,
			  struct hr_strbuf *why)
{
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	struct hr_canary_rule split = {};
	struct hr_canary_weight w[2];
	int r = hr_canary_split(vs, NULL, 0, a, &split, why);

	if (r < 0)
		return r;
	if (split.sides.len != 2) {
		hr_sb_printf(why,
			     "spec.http[%zu] has %zu destinations: say the weight of each by name",
			     split.rule, split.sides.len);
		return -EINVAL;
	}
	w[0] = (struct hr_canary_weight){split.sides.data[0].name, stable};
	w[1] = (struct hr_canary_weight){split.sides.data[1].name, canary};
	return hr_canary_weights(vs, w, 2, out, why);
}

/* ---- create: the VirtualService ------------------------------------------------------------ */

static struct hr_ynode *new_object(struct hr_arena *a, const char *kind,
				   const struct hr_canary_spec *s)
{
	struct hr_ynode *o = hr_node_map(a), *meta = hr_node_map(a);

	hr_node_set(a, o, "apiVersion", hr_node_text(a, "networking.istio.io/v1"));
	hr_node_set(a, o, "kind", hr_node_text(a, kind));
	hr_node_set(a, meta, "name", hr_node_text(a, s->service));
	hr_node_set(a, meta, "namespace", hr_node_text(a, s->ns));
	hr_node_set(a, o, "metadata", meta);
	hr_node_set(a, o, "spec", hr_node_map(a));
	return o;
}

/* A destination with this subset; ports, headers and the like as `like` (may be NULL) has them. */
static struct hr_ynode *new_side(struct hr_arena *a, const struct hr_ynode *like,
				 const struct hr_canary_spec *s, const char *subset)
{
	struct hr_ynode *e = like ? hr_node_copy(a, like) : hr_node_map(a);
	struct hr_ynode *d = hr_node_below(a, e, "destination");

	if (!hr_node_at(d, "host"))
		hr_node_set(a, d, "host", hr_node_text(a, s->service));
	hr_node_set(a, d, "subset", hr_node_text(a, subset));
	return e;
}

static void set_route(struct hr_arena *a, struct hr_ynode *rule, const struct hr_canary_spec *s)
{
	struct hr_ynode *old = list_at(rule, "route"), *route = hr_node_seq(a);
	const struct hr_ynode *like = old ? old->first : NULL;
	struct hr_ynode *stable = side_of(rule, s->stable), *canary = side_of(rule, s->canary);

	stable = new_side(a, stable ? stable : like, s, s->stable);
	canary = new_side(a, canary ? canary : like, s, s->canary);
	hr_node_set(a, stable, "weight", hr_node_number(a, s->stable_weight));
	hr_node_set(a, canary, "weight", hr_node_number(a, s->canary_weight));
	hr_node_append(route, stable);
	hr_node_append(route, canary);
	hr_node_set(a, rule, "route", route);
}

/* What is given replaces; a rule that is new gets the defaults. */
static int set_time(struct hr_arena *a, struct hr_ynode *rule, const struct hr_canary_spec *s,
		    bool fresh, struct hr_strbuf *why)
{
	const char *timeout = s->timeout ? s->timeout : fresh ? "30s" : NULL;
	const char *retries = s->retries ? s->retries
			      : fresh	 ? "{attempts: 3, perTryTimeout: 10s}"
					 : NULL;
	struct hr_ynode *n = NULL;
	int r = 0;

	if (timeout)
		hr_node_set(a, rule, "timeout", hr_node_text(a, timeout));
	if (retries)
		r = hr_nodes_read(a, retries, "retries", &n, why);
	if (n)
		hr_node_set(a, rule, "retries", n);
	return r;
}

static struct hr_ynode *rule_named(struct hr_ynode *rules, const char *name)
{
	for (struct hr_ynode *r = rules->first; r; r = r->next)
		if (hr_streq(hr_node_string(r, "name"), name))
			return r;
	return NULL;
}

static struct hr_ynode *new_rule(struct hr_arena *a, const char *name)
{
	struct hr_ynode *rule = hr_node_map(a);

	hr_node_set(a, rule, "name", hr_node_text(a, name));
	return rule;
}

/* Who matches gets the canary. */
static int set_match_rule(struct hr_arena *a, struct hr_ynode *rules, struct hr_ynode *split,
			  const struct hr_canary_spec *s, struct hr_strbuf *why)
{
	struct hr_ynode *rule = rule_named(rules, MATCH_RULE), *matches = NULL, *route, *side;
	bool fresh = !rule;
	int r = s->matches ? hr_nodes_read(a, s->matches, "matches", &matches, why) : 0;

	if (r < 0)
		return r;
	if (matches && matches->type != HR_NODE_SEQ)
		return refuse(why, "matches: a list of HTTPMatchRequest is needed");
	if (matches && !matches->count) {
		if (rule)
			hr_node_drop(rules, rule);
		return 0;
	}
	if (fresh && !matches)
		return 0;
	if (fresh) {
		rule = new_rule(a, MATCH_RULE);
		hr_node_prepend(rules, rule);
	}
	if (matches)
		hr_node_set(a, rule, "match", matches);
	side = hr_node_copy(a, side_of(split, s->canary));
	if (hr_node_at(side, "weight"))
		hr_node_drop(side, hr_node_at(side, "weight"));
	route = hr_node_seq(a);
	hr_node_append(route, side);
	hr_node_set(a, rule, "route", route);
	return set_time(a, rule, s, fresh, why);
}

/* The rule that matches all and routes; made when there is no rule at all. */
static struct hr_ynode *splittable(struct hr_arena *a, struct hr_ynode *rules, bool *fresh,
				   struct hr_strbuf *why)
{
	struct hr_ynode *found = NULL;
	size_t index = 0, at = 0;

	if (!rules->count) {
		found = new_rule(a, SPLIT_RULE);
		hr_node_append(rules, found);
		*fresh = true;
		return found;
	}
	for (struct hr_ynode *r = rules->first; r && !found; r = r->next, at++)
		if (matches_all(r)) {
			found = r;
			index = at;
		}
	if (!found) {
		refuse(why, "no rule of spec.http is without match: there is nothing to split");
	} else if (!list_at(found, "route")) {
		hr_sb_printf(why, "spec.http[%zu] has no route: there is nothing to split", index);
		found = NULL;
	}
	return found;
}

static int create_vs(struct hr_arena *a, const struct hr_canary_spec *s, const char *text,
		     struct hr_strbuf *out, struct hr_strbuf *why)
{
	struct hr_ynode *vs = NULL, *spec, *rules, *split;
	bool fresh = false;
	int r = text ? hr_nodes_read(a, text, "VirtualService", &vs, why) : 0;

	if (r < 0)
		return r;
	if (!vs)
		vs = new_object(a, "VirtualService", s);
	spec = hr_node_below(a, vs, "spec");
	if (!text) {
		struct hr_ynode *hosts = hr_node_seq(a);

		hr_node_append(hosts, hr_node_text(a, s->service));
		hr_node_set(a, spec, "hosts", hosts);
	}
	rules = rules_of(vs);
	if (!rules) {
		rules = hr_node_seq(a);
		hr_node_set(a, spec, "http", rules);
	}
	split = splittable(a, rules, &fresh, why);
	if (!split)
		return -EINVAL;
	set_route(a, split, s);
	r = set_time(a, split, s, fresh, why);
	if (r == 0)
		r = set_match_rule(a, rules, split, s, why);
	if (r == 0)
		hr_tree_emit(vs, out);
	return r;
}

/* ---- create: the DestinationRule ----------------------------------------------------------- */

static int merge_policy(struct hr_arena *a, struct hr_ynode *owner, const char *text,
			const char *what, struct hr_strbuf *why)
{
	struct hr_ynode *given = NULL;
	int r = text ? hr_nodes_read(a, text, what, &given, why) : 0;

	if (r < 0 || !given)
		return r;
	if (given->type != HR_NODE_MAP) {
		hr_sb_printf(why, "%s: a TrafficPolicy is needed", what);
		return -EINVAL;
	}
	hr_node_merge(a, hr_node_below(a, owner, "trafficPolicy"), given);
	return 0;
}

static struct hr_ynode *subset_of(struct hr_arena *a, struct hr_ynode *subsets, const char *name,
				  const hr_kvs *labels)
{
	const struct hr_kv version = {.key = "version", .value = name};
	struct hr_ynode *subset = rule_named(subsets, name), *map;
	hr_kvs wanted = *labels;

	if (!subset) {
		subset = new_rule(a, name);
		hr_node_append(subsets, subset);
		if (!wanted.len)
			wanted = (hr_kvs){.data = (struct hr_kv *)&version, .len = 1};
	}
	if (!wanted.len)
		return subset;
	map = hr_node_map(a);
	for (size_t i = 0; i < wanted.len; i++)
		hr_node_set(a, map, wanted.data[i].key, hr_node_text(a, wanted.data[i].value));
	hr_node_set(a, subset, "labels", map);
	return subset;
}

static int create_dr(struct hr_arena *a, const struct hr_canary_spec *s, const char *text,
		     struct hr_strbuf *out, struct hr_strbuf *why)
{
	struct hr_ynode *dr = NULL, *spec, *subsets, *stable, *canary;
	int r = text ? hr_nodes_read(a, text, "DestinationRule", &dr, why) : 0;

	if (r < 0)
		return r;
	if (!dr)
		dr = new_object(a, "DestinationRule", s);
	spec = hr_node_below(a, dr, "spec");
	if (!hr_node_at(spec, "host"))
		hr_node_set(a, spec, "host", hr_node_text(a, s->service));
	r = merge_policy(a, spec, s->base_policy, "basePolicy", why);
	if (r < 0)
		return r;
	subsets = list_at(spec, "subsets");
	if (!subsets) {
		subsets = hr_node_seq(a);
		hr_node_set(a, spec, "subsets", subsets);
	}
	stable = subset_of(a, subsets, s->stable, &s->stable_labels);
	canary = subset_of(a, subsets, s->canary, &s->canary_labels);
	r = merge_policy(a, stable, s->stable_policy, "stablePolicy", why);
	if (r == 0)
		r = merge_policy(a, canary, s->canary_policy, "canaryPolicy", why);
	if (r == 0)
		hr_tree_emit(dr, out);
	return r;
}

int hr_canary_create(const struct hr_canary_spec *s, const char *vs, const char *dr,
		     struct hr_strbuf *vs_out, struct hr_strbuf *dr_out, struct hr_strbuf *why)
{
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	const struct hr_canary_weight w[] = {{s->stable, s->stable_weight},
					     {s->canary, s->canary_weight}};
	int r = check_weights(w, 2, why);

	if (r == 0 && !(s->stable_weight + s->canary_weight))
		r = refuse(why, "all weights would be 0: nobody would get the traffic");
	if (r == 0)
		r = create_vs(a, s, vs, vs_out, why);
	return r < 0 ? r : create_dr(a, s, dr, dr_out, why);
}
