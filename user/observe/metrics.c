// SPDX-License-Identifier: Apache-2.0
/*
 * Prometheus text. istio_* names and labels are those that existing dashboards ask for; what the
 * counters cannot tell is the word "unknown". The kernel counts classes of status, not codes:
 * response_code is "2xx", which the usual queries (response_code=~"5.*") understand. No label
 * ever holds a path or another value that a client chose.
 */
#include <stdio.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/map.h"
#include "observe/meters.h"

#define LABEL_MAX 256 /* bytes of one value */

static const uint64_t bounds_us[HR_LAT_BUCKETS] = HR_LAT_BOUNDS_US;

/* Length of the valid UTF-8 sequence at s, 0 when there is none. */
static size_t utf8_len(const unsigned char *s)
{
	size_t n = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 : *s >= 0xe0 && *s < 0xf0 ? 3 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

void hr_metrics_label(struct hr_strbuf *out, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	for (size_t done = 0; *p && done < LABEL_MAX;) {
		size_t n = utf8_len(p);

		if (*p == '\\' || *p == '"')
			hr_sb_addc(out, '\\');
		if (*p == '\n')
			hr_sb_add(out, "\\n");
		else if (n)
			hr_sb_addn(out, p, n);
		else
			hr_sb_add(out, "\xef\xbf\xbd");
		n = n ? n : 1;
		p += n;
		done += n;
	}
}

static void label(struct hr_strbuf *sb, const char *name, const char *value)
{
	hr_sb_printf(sb, "%s%s=\"", sb->len ? "," : "", name);
	hr_metrics_label(sb, value && *value ? value : "unknown");
	hr_sb_addc(sb, '"');
}

static void head(struct hr_strbuf *out, const char *name, const char *type, const char *help)
{
	hr_sb_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* ---- istio_* ------------------------------------------------------------------------------- */

/* Requests of all endpoints that share a set of labels. */
struct series {
	char *labels;
	struct hr_stats s;
};

static const char *kv(const hr_kvs *kvs, const char *key)
{
	for (size_t i = 0; kvs && i < kvs->len; i++)
		if (hr_streq(kvs->data[i].key, key))
			return kvs->data[i].value;
	return NULL;
}

/* "reviews.default.svc.cluster.local" -> "reviews", "default". */
static void service_labels(struct hr_strbuf *sb, const char *host)
{
	const char *dot = strchr(host, '.'), *svc = dot ? strstr(dot, ".svc.") : NULL;
	char name[64] = "", ns[64] = "";

	if (svc && svc > dot) {
		snprintf(name, sizeof(name), "%.*s", (int)(dot - host), host);
		snprintf(ns, sizeof(ns), "%.*s", (int)(svc - dot - 1), dot + 1);
	}
	label(sb, "destination_service", host);
	label(sb, "destination_service_name", *name ? name : host);
	label(sb, "destination_service_namespace", ns);
}

static void workload_labels(struct hr_strbuf *sb, const struct hr_plan_ep *e)
{
	const char *slash = e->workload ? strchr(e->workload, '/') : NULL;
	const char *app = kv(e->labels, "app"), *version = kv(e->labels, "version");
	const char *canonical = kv(e->labels, "service.istio.io/canonical-name");
	char ns[64] = "";

	if (!app)
		app = kv(e->labels, "app.kubernetes.io/name");
	if (slash)
		snprintf(ns, sizeof(ns), "%.*s", (int)(slash - e->workload), e->workload);
	label(sb, "destination_workload", slash ? slash + 1 : NULL);
	label(sb, "destination_workload_namespace", ns);
	label(sb, "destination_app", app);
	label(sb, "destination_version", version);
	label(sb, "destination_principal", NULL);
	label(sb, "destination_cluster", NULL);
	label(sb, "destination_canonical_service", canonical ? canonical : app);
	label(sb, "destination_canonical_revision", version ? version : "latest");
}

static void source_labels(struct hr_strbuf *sb)
{
	static const char *const names[] = {
		"source_workload",	    "source_workload_namespace",
		"source_principal",	    "source_app",
		"source_version",	    "source_cluster",
		"source_canonical_service", "source_canonical_revision"};

	label(sb, "reporter", "source");
	for (size_t i = 0; i < HR_ARRAY_SIZE(names); i++)
		label(sb, names[i], NULL);
}

static char *endpoint_labels(const struct hr_plan_cluster *c, const struct hr_plan_ep *e)
{
	struct hr_strbuf sb = {};

	source_labels(&sb);
	service_labels(&sb, c->host);
	workload_labels(&sb, e);
	label(&sb, "request_protocol", "http");
	label(&sb, "connection_security_policy", "none");
	return sb.data;
}

static void add(struct hr_stats *to, const struct hr_stats *from)
{
	const uint64_t *src = (const uint64_t *)from;
	uint64_t *dst = (uint64_t *)to;

	for (size_t i = 0; i < sizeof(*to) / sizeof(*dst); i++)
		dst[i] += src[i];
}
_Static_assert(sizeof(struct hr_stats) % sizeof(uint64_t) == 0, "hr_stats is all counters");

/* Endpoints of one workload in one service, whatever subset they were reached by. */
static struct hr_map *collect(const struct hr_meters *m)
{
	struct hr_map *map = hr_map_new();

	for (size_t i = 0; m->plan && m->endpoint && i < m->plan->eps.len; i++) {
		const struct hr_plan_ep *e = &m->plan->eps.data[i];
		struct hr_stats s = {};
		struct series *row;
		char *labels;

		m->endpoint(m->ctx, e->id, &s);
		if (!s.requests)
			continue;
		labels = endpoint_labels(&m->plan->clusters.data[e->cluster], e);
		row = hr_map_gets(map, labels);
		if (row) {
			free(labels);
		} else {
			row = calloc(1, sizeof(*row));
			row->labels = labels;
			hr_map_puts(map, labels, row);
		}
		add(&row->s, &s);
	}
	return map;
}

static void collect_free(struct hr_map *map)
{
	struct hr_map_iter it = {};

	while (hr_map_next(map, &it)) {
		struct series *row = it.value;

		free(row->labels);
		free(row);
	}
	hr_map_free(map);
}

static void requests_total(const struct hr_map *map, struct hr_strbuf *out)
{
	struct hr_map_iter it = {};

	head(out, "istio_requests_total", "counter", "Requests, by class of status.");
	while (hr_map_next(map, &it)) {
		const struct series *row = it.value;

		for (int c = 0; c < 6; c++) {
			if (!row->s.status[c])
				continue;
			hr_sb_printf(out,
				     "istio_requests_total{%s,response_code=\"%s\","
				     "response_flags=\"-\",grpc_response_status=\"\"} %llu\n",
				     row->labels,
				     c ? (const char *[]){"", "1xx", "2xx", "3xx", "4xx", "5xx"}[c]
				       : "0",
				     (unsigned long long)row->s.status[c]);
		}
	}
}

static void histogram(struct hr_strbuf *out, const char *name, const struct series *row)
{
	uint64_t sum = 0;

	for (int b = 0; b < HR_LAT_BUCKETS; b++) {
		sum += row->s.lat[b];
		hr_sb_printf(out, "%s_bucket{%s,le=\"%.10g\"} %llu\n", name, row->labels,
			     (double)bounds_us[b] / 1000.0, (unsigned long long)sum);
	}
	sum += row->s.lat[HR_LAT_BUCKETS];
	hr_sb_printf(out, "%s_bucket{%s,le=\"+Inf\"} %llu\n", name, row->labels,
		     (unsigned long long)sum);
	hr_sb_printf(out, "%s_sum{%s} %.10g\n%s_count{%s} %llu\n", name, row->labels,
		     (double)row->s.lat_sum_us / 1000.0, name, row->labels,
		     (unsigned long long)sum);
}

static void durations(const struct hr_map *map, struct hr_strbuf *out)
{
	static const char name[] = "istio_request_duration_milliseconds";
	struct hr_map_iter it = {};

	head(out, name, "histogram", "Time from a request's head to its answer's head.");
	while (hr_map_next(map, &it))
		histogram(out, name, it.value);
}

/* Only sums are counted: one bucket, which is what a histogram without bounds is. */
static void sizes(const struct hr_map *map, struct hr_strbuf *out, const char *name,
		  const char *help, bool response)
{
	struct hr_map_iter it = {};

	head(out, name, "histogram", help);
	while (hr_map_next(map, &it)) {
		const struct series *row = it.value;
		unsigned long long n = row->s.requests;
		unsigned long long bytes = response ? row->s.rx_bytes : row->s.tx_bytes;

		hr_sb_printf(out, "%s_bucket{%s,le=\"+Inf\"} %llu\n%s_sum{%s} %llu\n", name,
			     row->labels, n, name, row->labels, bytes);
		hr_sb_printf(out, "%s_count{%s} %llu\n", name, row->labels, n);
	}
}

/* ---- headrace_* ---------------------------------------------------------------------------- */

static void one(struct hr_strbuf *out, const char *name, const char *type, const char *help,
		double value)
{
	head(out, name, type, help);
	hr_sb_printf(out, "%s %.15g\n", name, value);
}

static void carried(const struct hr_meters *m, struct hr_strbuf *out)
{
	head(out, "headrace_requests_total", "counter", "Requests, by who carried them.");
	hr_sb_printf(out, "headrace_requests_total{path=\"kernel\"} %llu\n",
		     (unsigned long long)hr_meters_kernel(m));
	hr_sb_printf(out, "headrace_requests_total{path=\"agent\"} %llu\n",
		     (unsigned long long)hr_meters_agent(m));
	head(out, "headrace_kernel_total", "counter",
	     "What the kernel did with a request or connection, by reason.");
	for (int w = 0; w < HR_WHY_MAX; w++)
		if (m->kern_why[w])
			hr_sb_printf(out, "headrace_kernel_total{reason=\"%s\"} %llu\n",
				     hr_why_text(w), (unsigned long long)m->kern_why[w]);
	head(out, "headrace_fallback_total", "counter",
	     "Requests that the kernel did not carry, by reason.");
	for (int w = 0; w < HR_WHY_MAX; w++)
		if (hr_meters_fallback(m, w))
			hr_sb_printf(out, "headrace_fallback_total{reason=\"%s\"} %llu\n",
				     hr_why_text(w), (unsigned long long)hr_meters_fallback(m, w));
}

static void same_node(const struct hr_meters *m, struct hr_strbuf *out)
{
	head(out, "headrace_same_node_total", "counter",
	     "Connections with both ends on this node, and what skipped TCP between them.");
	for (int c = 0; c < HR_PAIR_COUNTS; c++)
		hr_sb_printf(out, "headrace_same_node_total{count=\"%s\"} %llu\n", hr_pair_text(c),
			     (unsigned long long)m->pairs[c]);
	head(out, "headrace_same_node_unread_bytes", "gauge",
	     "Bytes in long receive queues of connections with both ends on this node.");
	hr_sb_printf(out, "headrace_same_node_unread_bytes %llu\n",
		     (unsigned long long)m->pairs_unread);
}

static void mishaps(const struct hr_meters *m, struct hr_strbuf *out)
{
	head(out, "headrace_mishaps_total", "counter",
	     "What should not happen to a connection, or only to one whose client leaves.");
	for (int f = 0; f < HR_MISHAP_MAX; f++)
		hr_sb_printf(out, "headrace_mishaps_total{mishap=\"%s\"} %llu\n", hr_mishap_text(f),
			     (unsigned long long)m->mishaps[f]);
}

static void routes(const struct hr_meters *m, struct hr_strbuf *out)
{
	static const char *const codes[] = {"0", "1xx", "2xx", "3xx", "4xx", "5xx"};

	head(out, "headrace_route_requests_total", "counter",
	     "Requests, by rule and class of status.");
	for (size_t i = 0; m->plan && m->route && i < m->plan->routes.len; i++) {
		const struct hr_plan_route *r = &m->plan->routes.data[i];
		_cleanup_sb_ struct hr_strbuf labels = {};
		struct hr_stats s = {};

		m->route(m->ctx, r->id, &s);
		label(&labels, "route", r->key);
		if (r->stat_prefix)
			label(&labels, "stat_prefix", r->stat_prefix);
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
	head(out, "headrace_kernel_feature", "gauge", "Self-test of the kernel: 1 passed.");
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
	head(out, "headrace_table_entries", "gauge", "Entries in use of a kernel table.");
	hr_sb_add(out, hr_sb_str(&t.used));
	head(out, "headrace_table_size", "gauge", "Entries that a kernel table can hold.");
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

	head(out, "headrace_dns_total", "counter", "DNS queries, by what became of them.");
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++)
		hr_sb_printf(out, "headrace_dns_total{result=\"%s\"} %llu\n", rows[i].result,
			     (unsigned long long)rows[i].n);
}

static void mirrors(const struct hr_meters *m, struct hr_strbuf *out)
{
	one(out, "headrace_mirror_requests_total", "counter",
	    "Copies of requests that were sent to a mirror.", (double)m->proxy.mirrored);
	head(out, "headrace_mirror_dropped_total", "counter",
	     "Copies of requests that were not sent, by reason.");
	for (int why = 0; why < HR_MIRROR_LOST_MAX; why++)
		hr_sb_printf(out, "headrace_mirror_dropped_total{reason=\"%s\"} %llu\n",
			     hr_mirror_lost_text((enum hr_mirror_lost)why),
			     (unsigned long long)m->proxy.mirror_lost[why]);
}

static void agent(const struct hr_meters *m, struct hr_strbuf *out)
{
	uint64_t kernel = hr_meters_kernel(m), total = kernel + hr_meters_agent(m);

	head(out, "headrace_info", "gauge", "Version.");
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

	label(&labels, "cluster_name", s->cluster);
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
		head(out, name.data, names[i].type, names[i].help);
		for (const char *p = all.data, *end; *p; p = end + 1) {
			end = strchr(p, '\n');
			if (!strncmp(p, name.data, name.len) && p[name.len] == '{')
				hr_sb_addn(out, p, (size_t)(end - p) + 1);
		}
	}
}

void hr_metrics_text(const struct hr_meters *m, struct hr_strbuf *out)
{
	struct hr_map *map = collect(m);

	requests_total(map, out);
	durations(map, out);
	sizes(map, out, "istio_request_bytes", "Bytes of requests.", false);
	sizes(map, out, "istio_response_bytes", "Bytes of responses.", true);
	collect_free(map);
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
