// SPDX-License-Identifier: Apache-2.0
// Control operations that show a canary or a breaker: weights, counters and endpoints of each side.
#include <string.h>
#include <unistd.h>

#include "agent/state.h"
#include "core/cleanup.h"
#include "core/net.h"
#include "model/hosts.h"
#include "splitter/splitter.h"

struct seen {
	struct hr_stats stats;
	int endpoints, healthy;
};

static void look_at(const struct hr_meters *m, const struct hr_plan_cluster *c, struct seen *s)
{
	for (uint32_t k = 0; k < c->n_eps; k++) {
		uint32_t id = m->plan->eps.data[c->first_ep + k].id;
		struct hr_stats one = {};

		m->endpoint(m->ctx, id, &one);
		hr_stats_add(&s->stats, &one);
		s->endpoints++;
		s->healthy += hr_streq(hr_endpoint_state(m, id), "healthy");
	}
}

static bool is_of_side(const struct hr_plan_cluster *c, const struct hr_canary_side *side,
		       const char *host)
{
	return hr_streq(c->host, host) && hr_streq(c->subset, side->subset ? side->subset : "") &&
	       (!side->port || side->port == c->port);
}

/* Counters of a side are those of its endpoints: also of requests that other rules sent there. */
static json_t *side_json(const struct hr_agent *a, const struct hr_meters *m,
			 const struct hr_canary_side *side, const char *ns, int64_t total,
			 struct hr_arena *arena)
{
	const char *host = hr_host_fqdn(arena, side->host, ns, a->o.cluster_domain);
	struct seen s = {};

	for (size_t i = 0; i < m->plan->clusters.len; i++)
		if (is_of_side(&m->plan->clusters.data[i], side, host))
			look_at(m, &m->plan->clusters.data[i], &s);
	return json_pack("{s:s,s:s,s:I,s:f,s:i,s:i,s:o}", "name", side->name, "host", host,
			 "weight", (json_int_t)side->weight, "share",
			 total ? (double)side->weight / (double)total : 0.0, "endpoints",
			 s.endpoints, "healthy", s.healthy, "counters", hr_stats_json(&s.stats));
}

/* Names or numbers of the other rules that send requests to a side: weights do not govern them. */
static json_t *other_rules(const struct hr_virtual_service *vs, size_t split,
			   const struct hr_canary_side *side)
{
	json_t *out = json_array();

	for (size_t i = 0; i < vs->http.len; i++) {
		const struct hr_http_route *r = &vs->http.data[i];

		for (size_t k = 0; i != split && k < r->route.len; k++) {
			const struct hr_route_destination *d = &r->route.data[k];
			const char *name =
				d->destination.subset ? d->destination.subset : d->destination.host;

			if (d->weight == 0 || !hr_streq(name, side->name))
				continue;
			json_array_append_new(out, json_pack("{s:I,s:s?}", "rule", (json_int_t)i,
							     "name", r->name));
			break;
		}
	}
	return out;
}

json_t *agent_op_canary_status(struct hr_agent *a, const json_t *req,
			       const struct hr_control_peer *peer, const char **code,
			       struct hr_strbuf *why)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	const char *service = json_string_value(json_object_get(req, "service"));
	const char *ns = json_string_value(json_object_get(req, "namespace"));
	const struct hr_meta *vs;
	struct hr_canary_rule split = {};
	struct hr_meters m = {};
	json_t *sides;
	int64_t total = 0;

	(void)peer;
	ns = ns ? ns : "default";
	if (!service)
		return agent_refuse(code, "bad-request", why, "service is needed");
	vs = agent_object_for(a, HR_KIND_VIRTUAL_SERVICE, ns, service);
	if (!vs)
		return agent_refuse(code, "not-found", why, "VirtualService %s/%s not found", ns,
				    service);
	if (hr_canary_split(vs->yaml, NULL, 0, arena, &split, why) < 0) {
		*code = "invalid";
		return NULL;
	}
	agent_meters(a, arena, &m);
	sides = json_array();
	for (size_t i = 0; i < split.sides.len; i++)
		total += split.sides.data[i].weight;
	for (size_t i = 0; i < split.sides.len; i++) {
		json_t *j = side_json(a, &m, &split.sides.data[i], ns, total, arena);

		json_object_set_new(j, "otherRules",
				    other_rules((const struct hr_virtual_service *)vs, split.rule,
						&split.sides.data[i]));
		json_array_append_new(sides, j);
	}
	return json_pack("{s:s,s:s,s:s,s:I,s:o,s:I,s:i,s:I}", "virtualService", vs->name,
			 "namespace", ns, "source", vs->pos.file, "rule", (json_int_t)split.rule,
			 "sides", sides, "timeMs", (json_int_t)hr_loop_now(a->loop), "pid",
			 (int)getpid(), "generation", (json_int_t)a->generation);
}

/* ---- breaker ------------------------------------------------------------------------------- */

/* Milliseconds; as written or, where nothing was, as the default of Istio that is in force. */
static json_t *detection_json(const struct hr_outlier *o)
{
	if (!o || !o->set)
		return json_null();
	return json_pack(
		"{s:I,s:I,s:I,s:i,s:i,s:b}", "consecutive5xxErrors",
		(json_int_t)(o->consecutive_5xx < 0 ? 5 : o->consecutive_5xx), "intervalMs",
		(json_int_t)(o->interval < 0 ? 10000 : o->interval), "baseEjectionTimeMs",
		(json_int_t)(o->base_ejection < 0 ? 30000 : o->base_ejection), "maxEjectionPercent",
		o->max_ejection_percent < 0 ? 10 : o->max_ejection_percent, "minHealthPercent",
		o->min_health_percent < 0 ? 0 : o->min_health_percent,
		"splitExternalLocalOriginErrors", o->split_external_local == 1);
}

struct wanted {
	const char *cluster;
	struct hr_outlier_stats stats;
};

static void take_stats(void *ctx, const struct hr_outlier_stats *s)
{
	struct wanted *w = ctx;

	if (hr_streq(s->cluster, w->cluster))
		w->stats = *s;
}

static json_t *endpoints_json(const struct hr_meters *m, const struct hr_plan_cluster *c)
{
	json_t *out = json_array();

	for (uint32_t k = 0; k < c->n_eps; k++) {
		const struct hr_plan_ep *e = &m->plan->eps.data[c->first_ep + k];
		uint32_t in_a_row = m->ep_rt ? __atomic_load_n(&m->ep_rt[e->id].consecutive_5xx,
							       __ATOMIC_RELAXED)
					     : 0;
		char addr[HR_ADDR_TEXT];

		json_array_append_new(out, json_pack("{s:s,s:s,s:I}", "address",
						     hr_addr_port_text(&e->addr, e->port, addr),
						     "state", hr_endpoint_state(m, e->id),
						     "consecutive5xx", (json_int_t)in_a_row));
	}
	return out;
}

static json_t *cluster_json(const struct hr_agent *a, const struct hr_meters *m,
			    const struct hr_plan_cluster *c)
{
	struct wanted w = {.cluster = c->name};

	if (a->outliers)
		hr_outliers_each(a->outliers, take_stats, &w);
	return json_pack("{s:s,s:s*,s:i,s:o,s:I,s:I,s:I,s:o}", "name", c->name, "subset",
			 *c->subset ? c->subset : NULL, "port", (int)c->port, "outlierDetection",
			 detection_json(c->outlier), "ejected", (json_int_t)w.stats.active,
			 "ejections", (json_int_t)w.stats.enforced_total, "overflow",
			 (json_int_t)w.stats.overflow, "endpoints", endpoints_json(m, c));
}

json_t *agent_op_breaker_status(struct hr_agent *a, const json_t *req,
				const struct hr_control_peer *peer, const char **code,
				struct hr_strbuf *why)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	const char *service = json_string_value(json_object_get(req, "service"));
	const char *ns = json_string_value(json_object_get(req, "namespace")), *host;
	const struct hr_destination_rule *dr;
	struct hr_meters m = {};
	json_t *clusters;

	(void)peer;
	ns = ns ? ns : "default";
	if (!service)
		return agent_refuse(code, "bad-request", why, "service is needed");
	dr = (const struct hr_destination_rule *)agent_object_for(a, HR_KIND_DESTINATION_RULE, ns,
								  service);
	if (!dr)
		return agent_refuse(code, "not-found", why, "DestinationRule %s/%s not found", ns,
				    service);
	host = hr_host_fqdn(arena, dr->host, ns, a->o.cluster_domain);
	agent_meters(a, arena, &m);
	clusters = json_array();
	for (size_t i = 0; i < m.plan->clusters.len; i++)
		if (hr_streq(m.plan->clusters.data[i].host, host))
			json_array_append_new(clusters,
					      cluster_json(a, &m, &m.plan->clusters.data[i]));
	return json_pack("{s:s,s:s,s:s,s:s,s:o,s:o}", "destinationRule", dr->meta.name, "namespace",
			 ns, "host", host, "source", dr->meta.pos.file, "outlierDetection",
			 detection_json(&dr->policy.outlier), "clusters", clusters);
}
