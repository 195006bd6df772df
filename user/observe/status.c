// SPDX-License-Identifier: Apache-2.0
// The agent's state as JSON: `status`, `routes`, `endpoints`, `top`.
#include <string.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "observe/meters.h"

static const char *mode_name(enum hr_datapath d)
{
	static const char *const names[] = {"auto", "kernel", "agent"};

	return names[d];
}

static json_t *or_null(const char *s)
{
	json_t *j = s ? json_string(s) : NULL;

	return j ? j : json_null();
}

static json_t *labels_json(const hr_kvs *labels)
{
	json_t *out = json_object();

	for (size_t i = 0; labels && i < labels->len; i++)
		json_object_set_new(out, labels->data[i].key, or_null(labels->data[i].value));
	return out;
}

static json_t *datapath_json(const struct hr_meters *m)
{
	const char *why = m->killed ? "switched by `headrace datapath`"
			  : m->kern ? m->kern->why
				    : "";

	return json_pack("{s:s,s:s,s:s}", "mode", mode_name(m->mode), "requested",
			 m->kern ? mode_name(m->kern->requested) : "agent", "why", why);
}

static json_t *kernel_json(const struct hr_meters *m)
{
	json_t *features = json_object();

	for (size_t i = 0; m->kern && i < m->kern->n_features; i++)
		json_object_set_new(features, m->kern->features[i].name,
				    json_boolean(m->kern->features[i].ok));
	return json_pack("{s:s,s:o}", "release", m->kern ? m->kern->release : "", "features",
			 features);
}

static json_t *requests_json(const struct hr_meters *m)
{
	uint64_t kernel = hr_meters_kernel(m), agent = hr_meters_agent(m), total = kernel + agent;

	return json_pack("{s:I,s:I,s:I,s:f}", "total", (json_int_t)total, "kernel",
			 (json_int_t)kernel, "agent", (json_int_t)agent, "kernelShare",
			 total ? (double)kernel / (double)total : 0.0);
}

static json_t *fallback_json(const struct hr_meters *m)
{
	json_t *out = json_object();

	for (int w = 0; w < HR_WHY_MAX; w++) {
		uint64_t n = hr_meters_fallback(m, w);

		if (n)
			json_object_set_new(out, hr_why_text(w), json_integer((json_int_t)n));
	}
	return out;
}

static json_t *same_node_json(const struct hr_meters *m)
{
	json_t *out = json_pack("{s:b,s:s}", "on", m->kern && m->kern->same_node, "why",
				m->kern ? m->kern->same_node_why : "");

	for (int c = 0; c < HR_PAIR_COUNTS; c++)
		json_object_set_new(out, hr_pair_text(c), json_integer((json_int_t)m->pairs[c]));
	json_object_set_new(out, "unread", json_integer((json_int_t)m->pairs_unread));
	json_object_set_new(out, "bounds",
			    json_pack("{s:I,s:I}", "connection", (json_int_t)HR_PAIR_QUEUE_MAX,
				      "node", (json_int_t)HR_PAIR_NODE_MAX));
	return out;
}

static json_t *mishaps_json(const struct hr_meters *m)
{
	json_t *out = json_object();

	for (int f = 0; f < HR_MISHAP_MAX; f++)
		if (m->mishaps[f])
			json_object_set_new(out, hr_mishap_text(f),
					    json_integer((json_int_t)m->mishaps[f]));
	return out;
}

static json_t *workloads_json(const struct hr_meters *m)
{
	json_t *out = json_array();

	for (size_t i = 0; i < m->workloads.len; i++) {
		const struct hr_meters_workload *w = &m->workloads.data[i];

		json_array_append_new(out,
				      json_pack("{s:i,s:s,s:s,s:o,s:s,s:i,s:s,s:b}", "id",
						(int)w->id, "namespace", w->ns, "name", w->name,
						"labels", labels_json(w->labels), "cgroup",
						w->cgroup, "processes", (int)w->processes,
						"datapath", w->agent_only ? "agent" : "auto",
						"sameNode", !w->same_node_off));
	}
	return out;
}

json_t *hr_status_json(const struct hr_meters *m)
{
	return json_pack("{s:b,s:i,s:s,s:o,s:o,s:{s:I,s:I,s:o},s:o,s:o,s:o,s:o,s:o}", "ready",
			 m->ready, "pid", (int)getpid(), "version", HR_VERSION, "datapath",
			 datapath_json(m), "kernel", kernel_json(m), "config", "generation",
			 (json_int_t)(m->plan ? m->plan->generation : 0), "objects",
			 (json_int_t)(m->plan ? m->plan->objects->total : 0), "lastError",
			 or_null(m->last_error), "requests", requests_json(m), "fallback",
			 fallback_json(m), "mishaps", mishaps_json(m), "sameNode",
			 same_node_json(m), "workloads", workloads_json(m));
}

/* ---- routes -------------------------------------------------------------------------------- */

static const char *action_name(const struct hr_plan_route *r)
{
	if (r->http && r->http->redirect.set)
		return "redirect";
	if (r->http && r->http->direct_response.set)
		return "directResponse";
	return "route";
}

static json_t *destinations_json(const struct hr_plan *p, const struct hr_plan_route *r)
{
	json_t *out = json_array();

	for (uint32_t i = 0; i < r->ndst; i++) {
		const struct hr_plan_cluster *c = &p->clusters.data[r->dst[i].cluster];

		json_array_append_new(out,
				      json_pack("{s:s,s:o,s:i,s:i}", "host", c->host, "subset",
						or_null(*c->subset ? c->subset : NULL), "port",
						(int)c->port, "weight", (int)r->dst[i].weight));
	}
	return out;
}

json_t *hr_stats_json(const struct hr_stats *s)
{
	json_t *status = json_array(), *latency = json_array();

	for (size_t i = 0; i < HR_ARRAY_SIZE(s->status); i++)
		json_array_append_new(status, json_integer((json_int_t)s->status[i]));
	for (size_t i = 0; i < HR_ARRAY_SIZE(s->lat); i++)
		json_array_append_new(latency, json_integer((json_int_t)s->lat[i]));
	return json_pack("{s:I,s:o,s:o,s:I}", "requests", (json_int_t)s->requests, "status", status,
			 "latency", latency, "latencySumUs", (json_int_t)s->lat_sum_us);
}

static struct hr_stats route_stats(const struct hr_meters *m, uint32_t id)
{
	struct hr_stats s = {};

	if (m->route)
		m->route(m->ctx, id, &s);
	return s;
}

static struct hr_stats endpoint_stats(const struct hr_meters *m, uint32_t id)
{
	struct hr_stats s = {};

	if (m->endpoint)
		m->endpoint(m->ctx, id, &s);
	return s;
}

/* "kernel" when all of its requests may stay there; else the reason. */
static json_t *path_json(const struct hr_plan_vhost *v, const struct hr_plan_route *r)
{
	uint16_t why = r->agent_why;

	if (v->k.flags & HR_VHOST_AGENT)
		why = HR_WHY_VHOST;
	return json_pack("{s:s,s:o}", "path", why ? "agent" : "kernel", "why",
			 why ? or_null(hr_why_text(why)) : json_null());
}

static json_t *route_json(const struct hr_meters *m, const struct hr_plan_vhost *v,
			  const struct hr_plan_route *r)
{
	struct hr_stats s = route_stats(m, r->id);
	json_t *path = path_json(v, r);
	_cleanup_sb_ struct hr_strbuf vs = {};
	json_t *out;

	if (r->vs)
		hr_sb_printf(&vs, "%s/%s", r->vs->meta.ns, r->vs->meta.name);
	out = json_pack("{s:s,s:s,s:i,s:o,s:o,s:o,s:s,s:o,s:o}", "key", r->key, "host", v->host,
			"port", (int)v->port, "virtualService", or_null(vs.data), "rule",
			r->http ? json_integer(r->index) : json_null(), "name",
			or_null(r->http ? r->http->name : NULL), "action", action_name(r),
			"destinations", destinations_json(m->plan, r), "counters",
			hr_stats_json(&s));
	json_object_update(out, path);
	json_decref(path);
	return out;
}

json_t *hr_routes_json(const struct hr_meters *m)
{
	json_t *out = json_array();

	for (size_t i = 0; m->plan && i < m->plan->vhosts.len; i++) {
		const struct hr_plan_vhost *v = &m->plan->vhosts.data[i];
		uint32_t last = HR_NONE;

		/* the match entries of a route are consecutive rules */
		for (uint32_t k = 0; k < v->nrules; k++) {
			if (v->rules[k].route == last)
				continue;
			last = v->rules[k].route;
			json_array_append_new(out, route_json(m, v, &m->plan->routes.data[last]));
		}
	}
	return json_pack("{s:o}", "routes", out);
}

/* ---- endpoints ----------------------------------------------------------------------------- */

const char *hr_endpoint_state(const struct hr_meters *m, uint32_t id)
{
	uint32_t flags = m->ep_rt ? __atomic_load_n(&m->ep_rt[id].flags, __ATOMIC_RELAXED) : 0;

	if (flags & (HR_EPRT_EJECTED | HR_EPRT_EJECTED_USED))
		return "ejected";
	return flags & HR_EPRT_DEAD ? "dead" : "healthy";
}

static int in_flight(const struct hr_meters *m, uint32_t id)
{
	uint64_t word =
		m->ep_rt ? __atomic_load_n(&m->ep_rt[id].inflight.word, __ATOMIC_RELAXED) : 0;

	return (int)HR_INFLIGHT_SUM(word);
}

static json_t *endpoint_json(const struct hr_meters *m, const struct hr_plan_cluster *c,
			     const struct hr_plan_ep *e)
{
	struct hr_stats s = endpoint_stats(m, e->id);
	char addr[HR_ADDR_TEXT];

	return json_pack("{s:s,s:s,s:o,s:i,s:s,s:o,s:o,s:i,s:s,s:i,s:o}", "cluster", c->name,
			 "host", c->host, "subset", or_null(*c->subset ? c->subset : NULL), "port",
			 (int)c->port, "address", hr_addr_port_text(&e->addr, e->port, addr),
			 "workload", or_null(e->workload && *e->workload ? e->workload : NULL),
			 "locality", or_null(e->locality && *e->locality ? e->locality : NULL),
			 "weight", (int)e->weight, "state", hr_endpoint_state(m, e->id), "inFlight",
			 in_flight(m, e->id), "counters", hr_stats_json(&s));
}

json_t *hr_endpoints_json(const struct hr_meters *m)
{
	json_t *eps = json_array(), *clusters = json_array();

	for (size_t i = 0; m->plan && i < m->plan->clusters.len; i++) {
		const struct hr_plan_cluster *c = &m->plan->clusters.data[i];

		json_array_append_new(clusters,
				      json_pack("{s:s,s:i,s:i}", "name", c->name, "endpoints",
						(int)c->n_eps, "draining", (int)c->draining));
		for (uint32_t k = 0; k < c->n_eps; k++)
			json_array_append_new(
				eps, endpoint_json(m, c, &m->plan->eps.data[c->first_ep + k]));
	}
	return json_pack("{s:o,s:o}", "clusters", clusters, "endpoints", eps);
}

/* ---- top ----------------------------------------------------------------------------------- */

json_t *hr_top_json(const struct hr_meters *m, uint64_t now_ms)
{
	json_t *routes = json_array(), *eps = json_array();

	for (size_t i = 0; m->plan && i < m->plan->routes.len; i++) {
		const struct hr_plan_route *r = &m->plan->routes.data[i];
		struct hr_stats s = route_stats(m, r->id);

		json_array_append_new(routes, json_pack("{s:s,s:o}", "key", r->key, "counters",
							hr_stats_json(&s)));
	}
	for (size_t i = 0; m->plan && i < m->plan->eps.len; i++) {
		const struct hr_plan_ep *e = &m->plan->eps.data[i];
		const struct hr_plan_cluster *c = &m->plan->clusters.data[e->cluster];
		struct hr_stats s = endpoint_stats(m, e->id);
		_cleanup_sb_ struct hr_strbuf key = {};
		char addr[HR_ADDR_TEXT];

		hr_sb_printf(&key, "%s %s", c->name, hr_addr_port_text(&e->addr, e->port, addr));
		json_array_append_new(eps, json_pack("{s:s,s:s,s:i,s:o}", "key", key.data, "state",
						     hr_endpoint_state(m, e->id), "inFlight",
						     in_flight(m, e->id), "counters",
						     hr_stats_json(&s)));
	}
	return json_pack("{s:I,s:o,s:o,s:o}", "timeMs", (json_int_t)now_ms, "requests",
			 requests_json(m), "routes", routes, "endpoints", eps);
}
