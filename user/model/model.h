/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Istio and Kubernetes objects, typed. Decoded from YAML or JSON through the schema table
 * (schema.h), validated, never changed afterwards. Everything lives in the arena of its set.
 *
 * Durations are milliseconds (int64, -1: not set). Percentages are parts per million of 100 %
 * (1,000,000 = 100 %; Istio's resolution of 0.0001 % is 1), -1: not set. Strings are
 * NUL-terminated and NULL when not set. Lists are pointer and count.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/map.h"
#include "core/regex.h"
#include "headrace/abi.h"
#include "model/format.h"

#define HR_LIST(...)               \
	struct {                   \
		__VA_ARGS__ *data; \
		size_t len;        \
	}

/* Where something was written. file is "<stdin>", a path, or "<control>". line and col from 1. */
struct hr_pos {
	const char *file;
	uint32_t line, col;
};

struct hr_kv {
	const char *key, *value;
	struct hr_pos pos;
};
typedef HR_LIST(struct hr_kv) hr_kvs;
typedef HR_LIST(const char *) hr_strs;

enum hr_kind {
	HR_KIND_INVALID = 0,
	HR_KIND_VIRTUAL_SERVICE,
	HR_KIND_DESTINATION_RULE,
	HR_KIND_SERVICE_ENTRY,
	HR_KIND_WORKLOAD_ENTRY,
	HR_KIND_SERVICE,
	HR_KIND_ENDPOINT_SLICE,
	HR_KIND_ENDPOINTS,
	HR_KIND_POD,
	HR_KIND_NAMESPACE,
	HR_KIND_NODE,
	HR_KIND_MAX
};

struct hr_meta {
	enum hr_kind kind;
	const char *api_version; /* as written */
	const char *ns;		 /* "default" when not set; "" for cluster-scoped kinds */
	const char *name;
	hr_kvs labels, annotations;
	int64_t created_ms; /* creationTimestamp, Unix milliseconds; 0: not set */
	struct hr_pos pos;  /* first line of the object */
	const char *yaml;   /* the object as it was read, for hr_object_yaml; NULL inside others */
};

/* ---- matching ------------------------------------------------------------------------------ */

enum hr_match_type {
	HR_MATCH_NONE = 0,
	HR_MATCH_EXACT,
	HR_MATCH_PREFIX,
	HR_MATCH_REGEX,
	HR_MATCH_PRESENT /* headers: {} */
};

struct hr_string_match {
	enum hr_match_type type;
	const char *value;
	const struct hr_regex *regex; /* of REGEX; in the set's arena */
	struct hr_pos pos;
};

struct hr_header_match {
	const char *name; /* lower case */
	struct hr_string_match m;
};

struct hr_http_match { /* HTTPMatchRequest: one entry of http[].match, conditions AND-ed */
	const char *name, *stat_prefix;
	struct hr_string_match uri, scheme, method, authority;
	bool ignore_uri_case;
	HR_LIST(struct hr_header_match) headers, without_headers, query_params;
	uint32_t port; /* 0: any */
	hr_kvs source_labels;
	const char *source_namespace;
	hr_strs gateways;
	struct hr_pos pos;
};

/* ---- VirtualService ------------------------------------------------------------------------ */

struct hr_destination {
	const char *host; /* as written */
	const char *subset;
	uint32_t port;		       /* 0: not set */
	struct hr_pos pos, subset_pos; /* of the host's and the subset's value */
};

struct hr_header_ops { /* Headers.HeaderOperations */
	hr_kvs set, add;
	hr_strs remove;
	/* Of the values of `set` and `add`, by index: NULL where one has no operator. */
	const struct hr_format **set_formats, **add_formats;
};

struct hr_headers {
	struct hr_header_ops request, response;
};

struct hr_route_destination {
	struct hr_destination destination;
	int32_t weight; /* as written; -1: not set */
	struct hr_headers headers;
	struct hr_pos pos;
};

struct hr_retries {
	bool set;
	int32_t attempts;		 /* 0: none */
	int64_t per_try_timeout;	 /* ms, -1 */
	hr_strs retry_on;		 /* split at commas; empty: default */
	int64_t backoff;		 /* ms, -1: 25 ms base */
	int retry_remote_localities;	 /* -1 not set, 0, 1 */
	int retry_ignore_previous_hosts; /* -1 not set, 0, 1 */
	struct hr_pos pos;
};

struct hr_fault {
	bool set;
	int64_t delay_ms; /* -1: none */
	int32_t delay_ppm;
	int32_t abort_http; /* -1: none */
	const char *abort_grpc;
	int32_t abort_grpc_code; /* of abort_grpc */
	int32_t abort_ppm;
	struct hr_pos pos;
};

struct hr_mirror {
	struct hr_destination destination;
	int32_t ppm; /* default 1,000,000 */
};

struct hr_redirect {
	bool set;
	const char *uri, *authority, *scheme, *derive_port, *prefix_rewrite;
	uint32_t port;
	int32_t code; /* 301 */
	struct hr_pos pos;
};

struct hr_direct_response {
	bool set;
	int32_t status;
	const char *body; /* may hold any bytes: body_len */
	size_t body_len;
	struct hr_pos pos;
};

struct hr_rewrite {
	bool set;
	const char *uri, *authority, *regex, *regex_rewrite;
	const struct hr_regex_sub *sub; /* of the regex and its rewrite */
	struct hr_pos pos;
};

struct hr_cors {
	bool set;
	HR_LIST(struct hr_string_match) allow_origins;
	hr_strs allow_methods, allow_headers, expose_headers;
	int64_t max_age;       /* ms, -1 */
	int allow_credentials; /* -1 not set */
	const char *unmatched_preflights;
	/* the lists as the headers have them, and the whole seconds of max_age; NULL: not set */
	const char *methods, *headers, *expose, *seconds;
	struct hr_pos pos;
};

struct hr_http_route { /* HTTPRoute */
	const char *name;
	HR_LIST(struct hr_http_match) match; /* OR-ed; empty: all */
	HR_LIST(struct hr_route_destination) route;
	struct hr_redirect redirect;
	struct hr_direct_response direct_response;
	const char *delegate_name, *delegate_ns;
	struct hr_rewrite rewrite;
	int64_t timeout; /* ms, -1: none, 0: disabled */
	struct hr_retries retries;
	struct hr_fault fault;
	HR_LIST(struct hr_mirror) mirrors; /* mirror + mirrorPercentage, or mirrors[] */
	struct hr_cors cors;
	struct hr_headers headers;
	struct hr_pos pos;
};

struct hr_l4_match { /* TLSMatchAttributes / L4MatchAttributes */
	hr_strs sni_hosts, destination_subnets, gateways;
	uint32_t port;
	hr_kvs source_labels;
	const char *source_namespace, *source_subnet;
	struct hr_pos pos;
};

struct hr_l4_route { /* TLSRoute / TCPRoute */
	HR_LIST(struct hr_l4_match) match;
	HR_LIST(struct hr_route_destination) route;
	struct hr_pos pos;
};

struct hr_virtual_service {
	struct hr_meta meta;
	hr_strs hosts; /* as written, lower case */
	HR_LIST(struct hr_pos) host_pos;
	hr_strs gateways, export_to;
	HR_LIST(struct hr_http_route) http;
	HR_LIST(struct hr_l4_route) tls, tcp;
};

/* ---- DestinationRule ----------------------------------------------------------------------- */

struct hr_load_balancer {
	bool set;
	uint8_t simple; /* enum hr_lb, 0: not set */
	enum hr_hash_kind hash;
	const char *hash_name; /* header, cookie or query parameter */
	const char *cookie_path;
	int64_t cookie_ttl; /* ms, -1: not set (no cookie is made) */
	hr_kvs cookie_attributes;
	uint64_t ring_size;	/* ringHash.minimumRingSize, 0: default 1024 */
	uint64_t old_ring_size; /* consistentHash.minimumRingSize */
	uint64_t maglev_size;	/* tableSize; 0: ring hash */
	bool maglev;
	int64_t warmup_ms; /* warmup.duration or warmupDurationSecs, -1 */
	double warmup_min_percent, warmup_aggression;
	struct hr_pos pos;
	/* localityLbSetting, or what of it zoneAwareLbSetting has too */
	bool locality_set, zone_aware;
	int locality_enabled; /* -1 not set */
	HR_LIST(struct hr_locality_distribute {
		const char *from;
		hr_kvs to; /* value: weight, decimal */
	})
	distribute;
	HR_LIST(struct hr_locality_failover { const char *from, *to; }) failover;
	hr_strs failover_priority;
};

struct hr_connection_pool {
	bool set;
	/* -1: not set everywhere below */
	int64_t max_connections, connect_timeout, max_connection_duration, tcp_idle_timeout;
	bool keepalive;
	int64_t keepalive_probes, keepalive_time, keepalive_interval;
	int64_t http1_max_pending, http2_max_requests, max_requests_per_connection, max_retries,
		http_idle_timeout, max_concurrent_streams;
	const char *h2_upgrade;
	int use_client_protocol;
	bool h2_keepalive;
	int64_t h2_keepalive_interval, h2_keepalive_timeout;
	struct hr_pos pos;
};

struct hr_outlier {
	bool set;
	/* -1: not set */
	int64_t consecutive_5xx, consecutive_gateway, consecutive_local, interval, base_ejection;
	int32_t max_ejection_percent, min_health_percent;
	int split_external_local; /* -1 */
	bool codes_set;
	uint64_t error_codes[8]; /* outlierDetectionHttpErrorCodes: bit 0 is status 100 */
	struct hr_pos pos;
};

struct hr_retry_budget {
	bool set;
	double percent;		  /* 20 */
	uint32_t min_concurrency; /* 3 */
	int64_t interval;	  /* ms, -1: only what is active now */
	struct hr_pos pos;
};

/* tunnel: CONNECT through the cluster, for TCP and TLS routes */
struct hr_tunnel {
	bool set;
	const char *host;
	uint32_t port;
	struct hr_pos pos;
};

struct hr_proxy_protocol {
	bool set;
	int version; /* 1 or 2 */
	struct hr_pos pos;
};

struct hr_traffic_policy {
	bool set;
	struct hr_load_balancer lb;
	struct hr_connection_pool pool;
	struct hr_outlier outlier;
	struct hr_retry_budget retry_budget;
	const char *tls_mode; /* NULL: not set; other tls fields are refused until they are built */
	struct hr_tunnel tunnel;
	struct hr_proxy_protocol proxy_protocol;
	HR_LIST(struct hr_port_policy {
		uint32_t port;
		struct hr_traffic_policy *policy;
		struct hr_pos pos;
	})
	port_level;
	struct hr_pos pos;
};

struct hr_subset {
	const char *name;
	hr_kvs labels;
	struct hr_traffic_policy policy;
	struct hr_pos pos;
};

struct hr_destination_rule {
	struct hr_meta meta;
	const char *host;
	struct hr_pos host_pos;
	struct hr_traffic_policy policy;
	HR_LIST(struct hr_subset) subsets;
	hr_strs export_to;
	hr_kvs workload_selector;
};

/* ---- ServiceEntry, WorkloadEntry ----------------------------------------------------------- */

struct hr_port {
	const char *name;     /* "" when not set */
	const char *protocol; /* Istio protocol or Kubernetes appProtocol, as written; NULL */
	bool udp;	      /* Kubernetes protocol UDP or SCTP: not ours */
	uint32_t number, target_port; /* target 0: same, or target_name */
	const char *target_name;      /* named target port */
	struct hr_pos pos;
};
typedef HR_LIST(struct hr_port) hr_ports;

struct hr_workload_entry { /* also an entry of ServiceEntry.endpoints */
	struct hr_meta meta;
	const char *address;
	HR_LIST(struct hr_named_port {
		const char *name;
		uint32_t number;
	})
	ports;
	hr_kvs labels;
	const char *network, *locality, *service_account;
	int64_t weight; /* -1: not set */
	struct hr_pos pos;
};

enum hr_resolution { HR_RES_NONE, HR_RES_STATIC, HR_RES_DNS, HR_RES_DNS_ROUND_ROBIN };

struct hr_service_entry {
	struct hr_meta meta;
	hr_strs hosts, addresses, export_to;
	hr_ports ports;
	bool mesh_external;
	enum hr_resolution resolution;
	HR_LIST(struct hr_workload_entry) endpoints;
	hr_kvs workload_selector;
};

/* ---- Kubernetes ---------------------------------------------------------------------------- */

struct hr_service {
	struct hr_meta meta;
	hr_strs cluster_ips; /* clusterIP and clusterIPs; empty: none given; "None": headless */
	bool headless;
	const char *type, *external_name;
	hr_kvs selector;
	hr_ports ports;
	const char *session_affinity;
	const char *traffic_distribution; /* NULL: not set */
	const char *internal_policy;	  /* "Cluster", "Local", NULL */
	bool publish_not_ready;
};

/* One address of a service: from an EndpointSlice, an Endpoints subset or a Pod. */
struct hr_endpoint {
	struct hr_addr addr;
	bool ready, serving, terminating;
	const char *node, *zone, *hostname;
	const char *pod_ns, *pod_name; /* targetRef, NULL */
	struct hr_pos pos;
};

struct hr_endpoint_slice { /* also one subset of an Endpoints object */
	struct hr_meta meta;
	const char *service; /* label kubernetes.io/service-name, or the Endpoints' own name */
	hr_ports ports;
	HR_LIST(struct hr_endpoint) endpoints;
};

struct hr_pod {
	struct hr_meta meta;
	const char *node, *service_account;
	HR_LIST(struct hr_addr) ips;
	bool ready; /* condition Ready, or phase Running without conditions; files: true if absent
		     */
	bool terminating;
	bool host_network;
	HR_LIST(struct hr_named_port) ports; /* containers[].ports */
};

struct hr_namespace {
	struct hr_meta meta;
};

struct hr_node {
	struct hr_meta meta; /* topology.kubernetes.io/region, /zone, topology.istio.io/subzone */
};

/* ---- A set of objects ---------------------------------------------------------------------- */

/* What the control plane sees: all sources merged. Objects of a kind are in the order of
 * (namespace, name); a name occurs once a kind. */
struct hr_objects {
	struct hr_arena *arena;
	HR_LIST(struct hr_virtual_service *) virtual_services;
	HR_LIST(struct hr_destination_rule *) destination_rules;
	HR_LIST(struct hr_service_entry *) service_entries;
	HR_LIST(struct hr_workload_entry *) workload_entries;
	HR_LIST(struct hr_service *) services;
	HR_LIST(struct hr_endpoint_slice *) slices; /* EndpointSlice, and Endpoints as slices */
	HR_LIST(struct hr_pod *) pods;
	HR_LIST(struct hr_namespace *) namespaces;
	HR_LIST(struct hr_node *) nodes;
	size_t total;
};
