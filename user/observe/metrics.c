// SPDX-License-Identifier: Apache-2.0
/* Prometheus text: headrace_*, and envoy_* where dashboards know a name. istio_* is in istio.c. */
#include <stdio.h>
#include <string.h>

#include "core/cleanup.h"
#include "observe/labels.h"
#include "observe/ledger.h"
#include "observe/meters.h"

void hr_metrics_head(struct hr_strbuf *out, const char *name, const char *type, const char *help)
{
	hr_sb_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* ---- headrace_* ---------------------------------------------------------------------------- */

static void one(struct hr_strbuf *out, const char *name, const char *type, const char *help,
		double value)
{
	hr_metrics_head(out, name, type, help);
	hr_sb_printf(out, "%s %.15g\n", name, value);
}

static void carried(const struct hr_meters *m, struct hr_strbuf *out)
{
	hr_metrics_head(out, "headrace_requests_total", "counter",
			"Requests, by who carried them.");
	hr_sb_printf(out, "headrace_requests_total{path=\"kernel\"} %llu\n",
		     (unsigned long long)hr_meters_kernel(m));
	hr_sb_printf(out, "headrace_requests_total{path=\"agent\"} %llu\n",
		     (unsigned long long)hr_meters_agent(m));
	hr_metrics_head(out, "headrace_kernel_total", "counter",
			"What the kernel did with a request or connection, by reason.");
	for (int w = 0; w < HR_WHY_MAX; w++)
		if (m->kern_why[w])
			hr_sb_printf(out, "headrace_kernel_total{reason=\"%s\"} %llu\n",
				     hr_why_text(w), (unsigned long long)m->kern_why[w]);
	hr_metrics_head(out, "headrace_fallback_total", "counter",
			"Requests that the kernel did not carry, by reason.");
	for (int w = 0; w < HR_WHY_MAX; w++)
		if (hr_meters_fallback(m, w))
			hr_sb_printf(out, "headrace_fallback_total{reason=\"%s\"} %llu\n",
				     hr_why_text(w), (unsigned long long)hr_meters_fallback(m, w));
}

static void same_node(const struct hr_meters *m, struct hr_strbuf *out)
{
	hr_metrics_head(
		out, "headrace_same_node_total", "counter",
		"Connections with both ends on this node, and what skipped TCP between them.");
	for (int c = 0; c < HR_PAIR_COUNTS; c++)
		hr_sb_printf(out, "headrace_same_node_total{count=\"%s\"} %llu\n", hr_pair_text(c),
			     (unsigned long long)m->pairs[c]);
	hr_metrics_head(out, "headrace_same_node_unread_bytes", "gauge",
			"Bytes in long receive queues of connections with both ends on this node.");
	hr_sb_printf(out, "headrace_same_node_unread_bytes %llu\n",
		     (unsigned long long)m->pairs_unread);
}

static void mishaps(const struct hr_meters *m, struct hr_strbuf *out)
{
	hr_metrics_head(
		out, "headrace_mishaps_total", "counter",
		"What should not happen to a connection, or only to one whose client leaves.");
	for (int f = 0; f < HR_MISHAP_MAX; f++)
		hr_sb_printf(out, "headrace_mishaps_total{mishap=\"%s\"} %llu\n", hr_mishap_text(f),
			     (unsigned long long)m->mishaps[f]);
}

static void routes(const struct hr_meters *m, struct hr_strbuf *out)
{
	static const char *const codes[] = {"0", "1xx", "2xx", "3xx", "4xx", "5xx"};

	hr_metrics_head(out, "headrace_route_requests_total", "counter",
			"Requests, by rule and class of status.");
	for (size_t i = 0; m->plan && m->route && i < m->plan->routes.len; i++) {
		const struct hr_plan_route *r = &m->plan->routes.data[i];
		_cleanup_sb_ struct hr_strbuf labels = {};
		struct hr_stats s = {};

		m->route(m->ctx, r->id, &s);
		hr_label(&labels, "route", r->key);
		if (r->stat_prefix)
			hr_label(&labels, "stat_prefix", r->stat_prefix);
		for (size_t c = 0; c < HR_ARRAY_SIZE(codes); c++)
			if (s.status[c])
				hr_sb_printf(out,
					     "headrace_route_requests_total{%s,response_code=\"%s\""
					     "} %llu\n",
					     labels.data, codes[c],
					     (unsigned long long)s.status[c]);
	}
}

static void features(const struct hr_meters *m, struct hr_strbuf *out)
{
	hr_metrics_head(out, "headrace_kernel_feature", "gauge",
			"Self-test of the kernel: 1 passed.");
	for (size_t i = 0; m->kern && i < m->kern->n_features; i++)
		hr_sb_printf(out, "headrace_kernel_feature{name=\"%s\"} %d\n",
			     m->kern->features[i].name, m->kern->features[i].ok);
}

struct table_rows {
	struct hr_strbuf used, size;
};

static void table_row(void *ctx, const char *name, uint64_t used, uint64_t size)
{
	struct table_rows *t = ctx;

	hr_sb_printf(&t->used, "headrace_table_entries{table=\"%s\"} %llu\n", name,
		     (unsigned long long)used);
	hr_sb_printf(&t->size, "headrace_table_size{table=\"%s\"} %llu\n", name,
		     (unsigned long long)size);
}

static void tables(const struct hr_meters *m, struct hr_strbuf *out)
{
	struct table_rows t = {};

	if (m->tables)
		m->tables(m->ctx, table_row, &t);
	hr_metrics_head(out, "headrace_table_entries", "gauge",
			"Entries in use of a kernel table.");
	hr_sb_add(out, hr_sb_str(&t.used));
	hr_metrics_head(out, "headrace_table_size", "gauge",
			"Entries that a kernel table can hold.");
	hr_sb_add(out, hr_sb_str(&t.size));
	hr_sb_free(&t.used);
	hr_sb_free(&t.size);
}

static void dns(const struct hr_meters *m, struct hr_strbuf *out)
{
	const struct {
		const char *result;
		uint64_t n;
	} rows[] = {{"mesh", m->dns.mesh},	     {"forwarded", m->dns.forwarded},
		    {"malformed", m->dns.malformed}, {"failed", m->dns.failed},
		    {"overload", m->dns.overload},   {"spoofed", m->dns.spoofed}};

	hr_metrics_head(out, "headrace_dns_total", "counter",
			"DNS queries, by what became of them.");
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++)
		hr_sb_printf(out, "headrace_dns_total{result=\"%s\"} %llu\n", rows[i].result,
			     (unsigned long long)rows[i].n);
}

static void mirrors(const struct hr_meters *m, struct hr_strbuf *out)
{
	one(out, "headrace_mirror_requests_total", "counter",
	    "Copies of requests that were sent to a mirror.", (double)m->proxy.mirrored);
	hr_metrics_head(out, "headrace_mirror_dropped_total", "counter",
			"Copies of requests that were not sent, by reason.");
	for (int why = 0; why < HR_MIRROR_LOST_MAX; why++)
		hr_sb_printf(out, "headrace_mirror_dropped_total{reason=\"%s\"} %llu\n",
			     hr_mirror_lost_text((enum hr_mirror_lost)why),
			     (unsigned long long)m->proxy.mirror_lost[why]);
}

static void agent(const struct hr_meters *m, struct hr_strbuf *out)
{
	uint64_t kernel = hr_meters_kernel(m), total = kernel + hr_meters_agent(m);

	hr_metrics_head(out, "headrace_info", "gauge", "Version.");
	hr_sb_printf(out, "headrace_info{version=\"" HR_VERSION "\",kernel=\"%s\"} 1\n",
		     m->kern ? m->kern->release : "");
	one(out, "headrace_start_time_seconds", "gauge", "When the agent started, Unix time.",
	    (double)m->started);
	one(out, "headrace_ready", "gauge", "1: serving.", m->ready);
	one(out, "headrace_datapath_kernel", "gauge", "1: the kernel carries requests.",
	    m->mode == HR_DATAPATH_KERNEL);
	one(out, "headrace_kernel_share", "gauge", "Share of requests that the kernel carried.",
	    total ? (double)kernel / (double)total : 0);
	one(out, "headrace_config_generation", "gauge", "Generation of the plan in effect.",
	    m->plan ? (double)m->plan->generation : 0);
	one(out, "headrace_config_objects", "gauge", "Objects of the plan in effect.",
	    m->plan ? (double)m->plan->objects->total : 0);
	one(out, "headrace_config_errors_total", "counter", "Changes of files that were refused.",
	    (double)m->config_errors);
	one(out, "headrace_config_last_reload_successful", "gauge",
	    "0: the files have an error, the last good plan serves.", !m->last_error);
	one(out, "headrace_workloads", "gauge", "Enrolled cgroups.", (double)m->workloads.len);
	one(out, "headrace_meters_overflow_total", "counter",
	    "Requests and connections whose labels are unknown for lack of rows.",
	    m->ledger ? (double)hr_ledger_overflow(m->ledger) : 0);
	one(out, "headrace_events_lost_total", "counter", "Kernel events that found the ring full.",
	    (double)m->events_lost);
	one(out, "headrace_access_log_dropped_total", "counter",
	    "Access log lines that nobody took.", (double)m->access_dropped);
	one(out, "headrace_agent_connections", "gauge", "Open client connections of the agent.",
	    (double)m->proxy.connections);
	one(out, "headrace_agent_upstream_connections", "gauge",
	    "Open connections of the agent to endpoints.", (double)m->proxy.upstream_connections);
	one(out, "headrace_agent_fault_delays_total", "counter",
	    "Requests delayed by a fault of their route.", (double)m->proxy.delays);
	one(out, "headrace_agent_fault_aborts_total", "counter",
	    "Requests aborted by a fault of their route, in the agent.", (double)m->proxy.aborts);
	mirrors(m, out);
	one(out, "headrace_agent_active_requests", "gauge", "Requests that the agent carries now.",
	    (double)m->proxy.active_requests);
	one(out, "headrace_agent_bound_connections", "gauge",
	    "Client connections that are bound to the agent.", (double)m->proxy.bound);
}

/* ---- outlier detection, by Envoy's names ---- */

static void outlier_by(struct hr_strbuf *out, const char *what, const char *cluster,
		       const uint64_t n[HR_OUTLIER_MAX])
{
	for (int k = 1; k < HR_OUTLIER_MAX; k++)
		hr_sb_printf(out, "envoy_cluster_outlier_detection_ejections_%s_%s{%s} %llu\n",
			     what, hr_outlier_kind_text(k), cluster, (unsigned long long)n[k]);
}

static void outlier_row(void *ctx, const struct hr_outlier_stats *s)
{
	_cleanup_sb_ struct hr_strbuf labels = {};
	struct hr_strbuf *out = ctx;

	hr_label(&labels, "cluster_name", s->cluster);
	hr_sb_printf(out, "envoy_cluster_outlier_detection_ejections_active{%s} %llu\n",
		     labels.data, (unsigned long long)s->active);
	hr_sb_printf(out, "envoy_cluster_outlier_detection_ejections_enforced_total{%s} %llu\n",
		     labels.data, (unsigned long long)s->enforced_total);
	hr_sb_printf(out, "envoy_cluster_outlier_detection_ejections_overflow{%s} %llu\n",
		     labels.data, (unsigned long long)s->overflow);
	outlier_by(out, "detected", labels.data, s->detected);
	outlier_by(out, "enforced", labels.data, s->enforced);
}

/* Prometheus wants the lines of a name together: one name at a time of what all clusters said. */
static void outliers(const struct hr_meters *m, struct hr_strbuf *out)
{
	static const char prefix[] = "envoy_cluster_outlier_detection_ejections_";
	static const struct {
		const char *name, *type, *help;
	} names[] = {
		{"active", "gauge", "Endpoints that are ejected now."},
		{"enforced_total", "counter", "Ejections."},
		{"overflow", "counter", "Ejections that maxEjectionPercent prevented."},
		{"detected_consecutive_5xx", "counter", "Rows of 5xx that reached the limit."},
		{"enforced_consecutive_5xx", "counter", "Ejections for them."},
		{"detected_consecutive_gateway_failure", "counter",
		 "Rows of 502, 503, 504 that reached the limit."},
		{"enforced_consecutive_gateway_failure", "counter", "Ejections for them."},
		{"detected_consecutive_local_origin_failure", "counter",
		 "Rows of missing answers that reached the limit."},
		{"enforced_consecutive_local_origin_failure", "counter", "Ejections for them."},
	};
	_cleanup_sb_ struct hr_strbuf all = {};

	if (m->outliers)
		hr_outliers_each(m->outliers, outlier_row, &all);
	for (size_t i = 0; all.len && i < HR_ARRAY_SIZE(names); i++) {
		_cleanup_sb_ struct hr_strbuf name = {};

		hr_sb_printf(&name, "%s%s", prefix, names[i].name);
		hr_metrics_head(out, name.data, names[i].type, names[i].help);
		for (const char *p = all.data, *end; *p; p = end + 1) {
			end = strchr(p, '\n');
			if (!strncmp(p, name.data, name.len) && p[name.len] == '{')
				hr_sb_addn(out, p, (size_t)(end - p) + 1);
		}
	}
}

void hr_metrics_text(const struct hr_meters *m, struct hr_strbuf *out)
{
	hr_metrics_istio(m, out);
	carried(m, out);
	mishaps(m, out);
	same_node(m, out);
	routes(m, out);
	features(m, out);
	tables(m, out);
	dns(m, out);
	outliers(m, out);
	hr_metrics_breakers(m, out);
	agent(m, out);
}
