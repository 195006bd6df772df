// SPDX-License-Identifier: Apache-2.0
// Circuit breakers: outlierDetection in the trafficPolicy of a DestinationRule.
#include <errno.h>

#include "core/cleanup.h"
#include "splitter/nodes.h"
#include "splitter/splitter.h"

static const char field[] = "outlierDetection";

static void set_number(struct hr_arena *a, struct hr_ynode *map, const char *key, int64_t value,
		       int64_t dflt)
{
	if (value >= 0 || !hr_node_at(map, key))
		hr_node_set(a, map, key, hr_node_number(a, value >= 0 ? value : dflt));
}

static void set_text(struct hr_arena *a, struct hr_ynode *map, const char *key, const char *value,
		     const char *dflt)
{
	if (value || !hr_node_at(map, key))
		hr_node_set(a, map, key, hr_node_text(a, value ? value : dflt));
}

/* A more special policy has its own detection, or replaces ours by having none (port level). */
static void note_subsets(struct hr_ynode *spec, struct hr_strbuf *notes)
{
	const struct hr_ynode *subsets = hr_node_at(spec, "subsets");

	for (struct hr_ynode *s = subsets ? subsets->first : NULL; s; s = s->next) {
		const struct hr_ynode *policy = hr_node_at(s, "trafficPolicy");

		if (policy && hr_node_get(policy, field))
			hr_sb_printf(notes, "subset %s has an outlierDetection of its own\n",
				     hr_node_string(s, "name"));
	}
}

static void note_ports(struct hr_ynode *policy, struct hr_strbuf *notes)
{
	const struct hr_ynode *ports = policy ? hr_node_at(policy, "portLevelSettings") : NULL;

	for (struct hr_ynode *p = ports ? ports->first : NULL; p; p = p->next) {
		const struct hr_ynode *port = hr_node_at(p, "port");

		if (port && hr_node_get(p, field))
			hr_sb_printf(notes, "port %s has an outlierDetection of its own\n",
				     hr_node_string(port, "number"));
	}
}

static void enable(struct hr_arena *a, const struct hr_breaker_spec *s, struct hr_ynode *spec)
{
	struct hr_ynode *od = hr_node_below(a, hr_node_below(a, spec, "trafficPolicy"), field);
	const struct hr_ynode *old = hr_node_at(od, "consecutiveErrors");

	/* the deprecated name of the same field */
	if (old) {
		if (!hr_node_at(od, "consecutive5xxErrors"))
			hr_node_set(a, od, "consecutive5xxErrors", hr_node_copy(a, old));
		hr_node_drop(od, old);
	}
	set_number(a, od, "consecutive5xxErrors", s->consecutive_errors, 5);
	set_text(a, od, "interval", s->interval, "30s");
	set_text(a, od, "baseEjectionTime", s->base_ejection, "30s");
	set_number(a, od, "maxEjectionPercent", s->max_ejection, 50);
	set_number(a, od, "minHealthPercent", s->min_health, 30);
}

static void disable(struct hr_ynode *spec)
{
	struct hr_ynode *policy = hr_node_at(spec, "trafficPolicy");
	const struct hr_ynode *od = policy ? hr_node_at(policy, field) : NULL;

	if (od)
		hr_node_drop(policy, od);
	if (policy && !policy->count)
		hr_node_drop(spec, policy);
}

static int change(const struct hr_breaker_spec *s, const char *dr, struct hr_strbuf *out,
		  struct hr_strbuf *notes, struct hr_strbuf *why)
{
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	struct hr_ynode *root = NULL, *spec;
	int r = hr_nodes_read(a, dr, "DestinationRule", &root, why);

	if (r < 0)
		return r;
	spec = hr_node_below(a, root, "spec");
	if (s)
		enable(a, s, spec);
	else
		disable(spec);
	if (notes) {
		note_subsets(spec, notes);
		note_ports(hr_node_at(spec, "trafficPolicy"), notes);
	}
	hr_tree_emit(root, out);
	return 0;
}

int hr_breaker_enable(const struct hr_breaker_spec *s, const char *dr, struct hr_strbuf *out,
		      struct hr_strbuf *notes, struct hr_strbuf *why)
{
	return change(s, dr, out, notes, why);
}

int hr_breaker_disable(const char *dr, struct hr_strbuf *out, struct hr_strbuf *notes,
		       struct hr_strbuf *why)
{
	return change(NULL, dr, out, notes, why);
}
