// SPDX-License-Identifier: Apache-2.0
/* Rows of DestinationRule, traffic policy and subsets (networking/v1alpha3). Load balancing is in
 * schema_lb.c. */
#include "core/cleanup.h"
#include "model/schema_int.h"

/* ---- connectionPool ---- */

static const struct hr_hint pool_hints[] = {{&hr_msg_outlier, "outlierDetection", true},
					    {NULL, NULL, false}};

#define POOL(field, type, status, member, ...) \
	HR_ROW(field, type, status, HR_AT(struct hr_connection_pool, member), __VA_ARGS__)
#define COUNT .min = 0, .max = INT32_MAX, .flags = HR_F_ZERO_UNSET

static const struct hr_field keepalive_fields[] = {
	POOL("probes", INT, KERNEL, keepalive_probes, .min = 0, .max = UINT32_MAX,
	     .flags = HR_F_ZERO_UNSET),
	POOL("time", DURATION, KERNEL, keepalive_time, .min = 1),
	POOL("interval", DURATION, KERNEL, keepalive_interval, .min = 1), HR_END};
static const struct hr_message keepalive = {
	.name = "TcpKeepalive",
	.fields = keepalive_fields,
	.set_off = offsetof(struct hr_connection_pool, keepalive) + 1};

extern const struct hr_message hr_msg_pool_http;
static const struct hr_hint tcp_hints[] = {{&hr_msg_pool_http, "connectionPool.http", true},
					   {&hr_msg_outlier, "outlierDetection", true},
					   {NULL, NULL, false}};
static const struct hr_field pool_tcp_fields[] = {
	POOL("maxConnections", INT, KERNEL, max_connections, COUNT,
	     .why = "in use at once, of HTTP/1.1 and of HTTP/2 each; opaque connections to a port "
		    "with this go through the agent"),
	POOL("connectTimeout", DURATION, AGENT, connect_timeout, .min = 1),
	HR_ROW("tcpKeepalive", MESSAGE, KERNEL, .msg = &keepalive, .off = 0),
	POOL("maxConnectionDuration", DURATION, KERNEL, max_connection_duration, .min = 1,
	     .why = "a client's own connection carries no request after it, and stays open"),
	POOL("idleTimeout", DURATION, KERNEL, tcp_idle_timeout,
	     .why = "of HTTP where http.idleTimeout is not set; 0s: never"),
	HR_END};
static const struct hr_message pool_tcp = {.name = "ConnectionPoolSettings.TCPSettings",
					   .fields = pool_tcp_fields,
					   .hints = tcp_hints};

static const struct hr_word h2_words[] = {{"DEFAULT", 0, HR_ST_CONTROL, NULL},
					  {"DO_NOT_UPGRADE", 1, HR_ST_CONTROL, NULL},
					  {"UPGRADE", 2, HR_ST_AGENT, NULL},
					  {NULL, 0, 0, NULL}};
static const struct hr_field h2_keepalive_fields[] = {
	POOL("interval", DURATION, AGENT, h2_keepalive_interval, .min = 1, .flags = HR_F_REQUIRED),
	POOL("timeout", DURATION, AGENT, h2_keepalive_timeout, .min = 1, .flags = HR_F_REQUIRED),
	HR_END};
static const struct hr_message h2_keepalive = {
	.name = "ConnectionKeepalive",
	.fields = h2_keepalive_fields,
	.set_off = offsetof(struct hr_connection_pool, h2_keepalive) + 1};
static const struct hr_field pool_http_fields[] = {
	POOL("http1MaxPendingRequests", INT, AGENT, http1_max_pending, COUNT),
	POOL("http2MaxRequests", INT, KERNEL, http2_max_requests, COUNT,
	     .why = "requests in flight, of HTTP/1.1 too"),
	POOL("maxRequestsPerConnection", INT, KERNEL, max_requests_per_connection, COUNT,
	     .why = "a client's own connection counts as one, and stays open"),
	POOL("maxRetries", INT, AGENT, max_retries, COUNT),
	POOL("idleTimeout", DURATION, KERNEL, http_idle_timeout, .min = 1,
	     .why = "a client's own connection carries no request after it, and stays open"),
	POOL("h2UpgradePolicy", WORD, CONTROL, h2_upgrade, .words = h2_words),
	POOL("useClientProtocol", BOOL, AGENT, use_client_protocol),
	POOL("maxConcurrentStreams", INT, AGENT, max_concurrent_streams, COUNT,
	     .why = "of one HTTP/2 connection"),
	HR_ROW("http2KeepAlive", MESSAGE, AGENT, .msg = &h2_keepalive, .off = 0),
	HR_END};
const struct hr_message hr_msg_pool_http = {.name = "ConnectionPoolSettings.HTTPSettings",
					    .fields = pool_http_fields,
					    .hints = pool_hints};

static void pool_init(void *obj)
{
	struct hr_connection_pool *p = obj;

	p->max_connections = p->connect_timeout = p->max_connection_duration = -1;
	p->tcp_idle_timeout = p->http_idle_timeout = -1;
	p->keepalive_probes = p->keepalive_time = p->keepalive_interval = -1;
	p->http1_max_pending = p->http2_max_requests = p->max_requests_per_connection = -1;
	p->max_retries = p->max_concurrent_streams = -1;
	p->use_client_protocol = -1;
}

static const struct hr_field pool_fields[] = {
	HR_ROW("tcp", MESSAGE, AGENT, .msg = &pool_tcp, .off = 0),
	HR_ROW("http", MESSAGE, AGENT, .msg = &hr_msg_pool_http, .off = 0), HR_END};
static const struct hr_hint pool_top_hints[] = {{&pool_tcp, "connectionPool.tcp", true},
						{&hr_msg_pool_http, "connectionPool.http", true},
						{&hr_msg_outlier, "outlierDetection", true},
						{NULL, NULL, false}};
static const struct hr_message pool = {.name = "ConnectionPoolSettings",
				       .fields = pool_fields,
				       .hints = pool_top_hints,
				       HR_SET(struct hr_connection_pool)};

/* ---- outlierDetection ---- */

static void outlier_init(void *obj)
{
	struct hr_outlier *o = obj;

	o->consecutive_5xx = o->consecutive_gateway = o->consecutive_local = -1;
	o->interval = o->base_ejection = -1;
	o->max_ejection_percent = o->min_health_percent = o->split_external_local = -1;
}

static void set_error_codes(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			    void *obj)
{
	struct hr_outlier *o = obj;
	size_t mark = x->path.len, i = 0;

	if (!hr_dec_is_list(x, f, n))
		return;
	for (const struct hr_ynode *c = n->first; c; c = c->next, i++) {
		int64_t v = 0;
		const char *why = c->type == HR_NODE_SCALAR ? hr_scalar_int(c, 100, 599, &v)
							    : "expected a status";

		hr_path_index(&x->path, i);
		if (why)
			hr_dec_say(x, HR_SEV_ERROR, c->pos, "bad-value",
				   "expected a status from 100 to 599, found \"%s\"",
				   c->value ? c->value : "");
		else
			o->error_codes[(v - 100) / 64] |= 1ULL << (v - 100) % 64;
		hr_path_cut(&x->path, mark);
		o->codes_set = true;
	}
}

#define OUTLIER(field, type, member, ...) \
	HR_ROW(field, type, KERNEL, HR_AT(struct hr_outlier, member), __VA_ARGS__)
#define WRAPPER .min = 0, .max = UINT32_MAX /* UInt32Value: 0 is a value */

static const struct hr_field outlier_fields[] = {
	OUTLIER("consecutive5xxErrors", INT, consecutive_5xx, WRAPPER, .oneof = 1, .why = "0: off"),
	OUTLIER("consecutiveErrors", INT, consecutive_5xx, .min = 0, .max = INT32_MAX, .oneof = 1,
		.flags = HR_F_DEPRECATED | HR_F_ZERO_UNSET,
		.why = "use consecutive5xxErrors; taken as that"),
	OUTLIER("consecutiveGatewayErrors", INT, consecutive_gateway, WRAPPER),
	OUTLIER("consecutiveLocalOriginFailures", INT, consecutive_local, WRAPPER),
	OUTLIER("splitExternalLocalOriginErrors", BOOL, split_external_local, .min = 0),
	OUTLIER("interval", DURATION, interval, .min = 1),
	OUTLIER("baseEjectionTime", DURATION, base_ejection, .min = 1),
	OUTLIER("maxEjectionPercent", INT, max_ejection_percent, .min = 0, .max = 100,
		.flags = HR_F_ZERO_UNSET),
	OUTLIER("minHealthPercent", INT, min_health_percent, .min = 0, .max = 100),
	HR_ROW("outlierDetectionHttpErrorCodes", ANY, KERNEL, .set = set_error_codes,
	       .why = "list of statuses, 100 to 599: these are errors, all others are not",
	       HR_NOWHERE),
	HR_END};
static const struct hr_hint outlier_hints[] = {{&hr_msg_pool_http, "connectionPool.http", true},
					       {&pool_tcp, "connectionPool.tcp", true},
					       {NULL, NULL, false}};
const struct hr_message hr_msg_outlier = {.name = "OutlierDetection",
					  .fields = outlier_fields,
					  .hints = outlier_hints,
					  HR_SET(struct hr_outlier)};

/* ---- tls ---- */

static const struct hr_word tls_words[] = {
	{"DISABLE", 0, HR_ST_CONTROL, "plain text"},
	{"SIMPLE", 1, HR_ST_NOT_BUILT, "TLS to the server"},
	{"MUTUAL", 2, HR_ST_NOT_BUILT, "TLS to the server"},
	{"ISTIO_MUTUAL", 3, HR_ST_NOT_BUILT, "mutual TLS in the mesh"},
	{NULL, 0, 0, NULL}};

#define TLS(field, type) HR_ROW(field, type, NOT_BUILT, .why = "TLS to the server", HR_NOWHERE)

static const struct hr_field tls_fields[] = {HR_ROW("mode", WORD, CONTROL, .words = tls_words,
						    HR_AT(struct hr_traffic_policy, tls_mode)),
					     TLS("clientCertificate", STRING),
					     TLS("privateKey", STRING),
					     TLS("caCertificates", STRING),
					     TLS("credentialName", STRING),
					     TLS("subjectAltNames", STRINGS),
					     TLS("sni", STRING),
					     TLS("insecureSkipVerify", BOOL),
					     TLS("caCrl", STRING),
					     HR_END};
static const struct hr_message tls = {.name = "ClientTLSSettings", .fields = tls_fields};

/* ---- trafficPolicy ---- */

static void policy_init(void *obj)
{
	struct hr_traffic_policy *p = obj;

	hr_msg_load_balancer.init(&p->lb);
	pool_init(&p->pool);
	outlier_init(&p->outlier);
	p->retry_budget =
		(struct hr_retry_budget){.percent = 20, .min_concurrency = 3, .interval = -1};
}

#define POLICY_ROWS                                                                 \
	HR_ROW("loadBalancer", MESSAGE, KERNEL, .msg = &hr_msg_load_balancer,       \
	       HR_AT(struct hr_traffic_policy, lb)),                                \
		HR_ROW("connectionPool", MESSAGE, AGENT, .msg = &pool,              \
		       HR_AT(struct hr_traffic_policy, pool)),                      \
		HR_ROW("outlierDetection", MESSAGE, KERNEL, .msg = &hr_msg_outlier, \
		       HR_AT(struct hr_traffic_policy, outlier)),                   \
		HR_ROW("tls", MESSAGE, CONTROL, .msg = &tls, .off = 0)

static const struct hr_field port_policy_fields[] = {
	HR_ROW("port", MESSAGE, CONTROL, .flags = HR_F_REQUIRED, .msg = &hr_msg_port_selector,
	       HR_NOWHERE),
	POLICY_ROWS, HR_END};
static const struct hr_message port_policy = {.name = "TrafficPolicy.PortTrafficPolicy",
					      .fields = port_policy_fields,
					      HR_SET(struct hr_traffic_policy)};

/* The policy of a port is a struct of its own (struct hr_traffic_policy holds itself here). */
static void set_port_level(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			   void *obj)
{
	struct hr_traffic_policy *p = obj;
	size_t mark = x->path.len, i = 0;

	if (!hr_dec_is_list(x, f, n))
		return;
	p->port_level.data = hr_dec_list(x, n->count, sizeof(*p->port_level.data));
	for (const struct hr_ynode *c = n->first; c; c = c->next, i++) {
		struct hr_port_policy *pp = &p->port_level.data[p->port_level.len++];
		const struct hr_ynode *port = hr_node_get(c, "port");
		const struct hr_ynode *num = port ? hr_node_get(port, "number") : NULL;
		int64_t v;

		hr_path_index(&x->path, i);
		pp->policy = hr_arena_new0(x->arena, struct hr_traffic_policy);
		pp->pos = c->pos;
		policy_init(pp->policy);
		hr_decode_message(x, f->msg, c, pp->policy);
		if (num && num->type == HR_NODE_SCALAR && !hr_scalar_int(num, 1, 65535, &v))
			pp->port = (uint32_t)v;
		for (size_t k = 0; pp->port && k + 1 < p->port_level.len; k++)
			if (p->port_level.data[k].port == pp->port)
				hr_dec_say(x, HR_SEV_ERROR, num->pos, "conflict",
					   "port %u twice; first in line %u", pp->port,
					   p->port_level.data[k].pos.line);
		hr_path_cut(&x->path, mark);
	}
}

static const struct hr_word tunnel_words[] = {{"CONNECT", 0, HR_ST_AGENT, NULL},
					      {"POST", 1, HR_ST_NOT_BUILT, "a tunnel through POST"},
					      {NULL, 0, 0, NULL}};
static const struct hr_field tunnel_fields[] = {
	HR_ROW("protocol", ENUM, AGENT, .words = tunnel_words, HR_NOWHERE),
	HR_ROW("targetHost", STRING, AGENT, .flags = HR_F_REQUIRED, .check = hr_check_tunnel_host,
	       HR_AT(struct hr_tunnel, host)),
	HR_ROW("targetPort", INT, AGENT, .flags = HR_F_REQUIRED, .min = 1, .max = 65535,
	       HR_AT(struct hr_tunnel, port)),
	HR_END};
static const struct hr_message tunnel = {.name = "TrafficPolicy.TunnelSettings",
					 .fields = tunnel_fields,
					 .size = sizeof(struct hr_tunnel),
					 HR_SET(struct hr_tunnel)};
static void proxy_protocol_init(void *obj)
{
	((struct hr_proxy_protocol *)obj)->version = 1;
}
static const struct hr_word proxy_words[] = {
	{"V1", 1, HR_ST_AGENT, NULL}, {"V2", 2, HR_ST_AGENT, NULL}, {NULL, 0, 0, NULL}};
static const struct hr_field proxy_protocol_fields[] = {
	HR_ROW("version", ENUM, AGENT, .words = proxy_words,
	       HR_AT(struct hr_proxy_protocol, version)),
	HR_END};
static const struct hr_message proxy_protocol = {.name = "TrafficPolicy.ProxyProtocol",
						 .fields = proxy_protocol_fields,
						 .size = sizeof(struct hr_proxy_protocol),
						 .init = proxy_protocol_init,
						 HR_SET(struct hr_proxy_protocol)};
static const struct hr_field retry_budget_fields[] = {
	HR_ROW("percent", DOUBLE, AGENT, .why = "of the requests that are active; 20", .min = 0,
	       .max = 100, HR_AT(struct hr_retry_budget, percent)),
	HR_ROW("minRetryConcurrency", INT, AGENT, .why = "3", .max = UINT32_MAX,
	       HR_AT(struct hr_retry_budget, min_concurrency)),
	HR_ROW("budgetInterval", DURATION, AGENT, .why = "requests count for so long at least",
	       HR_AT(struct hr_retry_budget, interval)),
	HR_END};
static const struct hr_message retry_budget = {.name = "TrafficPolicy.RetryBudget",
					       .fields = retry_budget_fields,
					       .size = sizeof(struct hr_retry_budget),
					       HR_SET(struct hr_retry_budget)};

static const struct hr_field policy_fields[] = {
	POLICY_ROWS,
	HR_ROW("portLevelSettings", MESSAGES, CONTROL, .max = HR_ITEMS_MAX, .msg = &port_policy,
	       .set = set_port_level, HR_NOWHERE),
	HR_ROW("tunnel", MESSAGE, AGENT,
	       .why = "of connections that carry no requests: TCP and TLS routes, as in Istio",
	       .msg = &tunnel, HR_AT(struct hr_traffic_policy, tunnel)),
	HR_ROW("proxyProtocol", MESSAGE, AGENT, .why = "a connection for each request",
	       .msg = &proxy_protocol, HR_AT(struct hr_traffic_policy, proxy_protocol)),
	HR_ROW("retryBudget", MESSAGE, AGENT, .why = "in place of connectionPool.http.maxRetries",
	       .msg = &retry_budget, HR_AT(struct hr_traffic_policy, retry_budget)),
	HR_END};
static const struct hr_hint policy_hints[] = {{&hr_msg_load_balancer, "loadBalancer", false},
					      {&pool, "connectionPool", false},
					      {&hr_msg_outlier, "outlierDetection", false},
					      {NULL, NULL, false}};
const struct hr_message hr_msg_traffic_policy = {.name = "TrafficPolicy",
						 .fields = policy_fields,
						 .hints = policy_hints,
						 .size = sizeof(struct hr_traffic_policy),
						 HR_SET(struct hr_traffic_policy)};

/* ---- Subset, DestinationRule ---- */

static void subset_init(void *obj)
{
	policy_init(&((struct hr_subset *)obj)->policy);
}

static const struct hr_field subset_fields[] = {
	HR_ROW("name", STRING, CONTROL, .flags = HR_F_REQUIRED, .check = hr_check_dns_label,
	       HR_AT(struct hr_subset, name)),
	HR_ROW("labels", STRING_MAP, CONTROL, HR_AT(struct hr_subset, labels)),
	HR_ROW("trafficPolicy", MESSAGE, CONTROL, .msg = &hr_msg_traffic_policy,
	       HR_AT(struct hr_subset, policy)),
	HR_END};
static const struct hr_hint below_hints[] = {{&hr_msg_traffic_policy, "trafficPolicy", false},
					     {NULL, NULL, false}};
static const struct hr_message subset = {.name = "Subset",
					 .fields = subset_fields,
					 .hints = below_hints,
					 .size = sizeof(struct hr_subset),
					 .init = subset_init,
					 HR_POS(struct hr_subset)};

static void set_host(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
		     void *obj)
{
	struct hr_destination_rule *dr = obj;

	dr->host = hr_dec_string(x, f, n);
	dr->host_pos = n->pos;
}

static void destination_rule_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	const struct hr_destination_rule *dr = obj;

	(void)n;
	for (size_t i = 0; i < dr->subsets.len; i++)
		for (size_t k = 0; k < i; k++)
			if (dr->subsets.data[i].name &&
			    hr_streq(dr->subsets.data[i].name, dr->subsets.data[k].name))
				hr_dec_say_at(x, "subsets", HR_SEV_ERROR, dr->subsets.data[i].pos,
					      "conflict", "subset \"%s\" twice; first in line %u",
					      dr->subsets.data[i].name,
					      dr->subsets.data[k].pos.line);
}

static const struct hr_field selector_fields[] = {
	HR_ROW("matchLabels", STRING_MAP, CONTROL,
	       HR_AT(struct hr_destination_rule, workload_selector)),
	HR_END};
static const struct hr_message selector = {.name = "WorkloadSelector", .fields = selector_fields};
static const struct hr_field spec_fields[] = {
	HR_ROW("host", STRING, CONTROL, .flags = HR_F_REQUIRED | HR_F_LOWER, .check = hr_check_host,
	       .set = set_host, HR_NOWHERE),
	HR_ROW("trafficPolicy", MESSAGE, CONTROL, .msg = &hr_msg_traffic_policy,
	       HR_AT(struct hr_destination_rule, policy)),
	HR_ROW("subsets", MESSAGES, CONTROL, .max = HR_ITEMS_MAX, .msg = &subset,
	       HR_AT(struct hr_destination_rule, subsets)),
	HR_ROW("exportTo", STRINGS, CONTROL,

	       .check = hr_check_export_ns, HR_AT(struct hr_destination_rule, export_to)),
	HR_ROW("workloadSelector", MESSAGE, CONTROL,
	       .why = "clients of the rule's own namespace with these labels", .msg = &selector,
	       .off = 0),
	HR_END};
static const struct hr_message spec = {.name = "DestinationRule",
				       .fields = spec_fields,
				       .hints = below_hints,
				       .check = destination_rule_check};
static const struct hr_field top_fields[] = {HR_TOP_ROWS(hr_msg_meta), HR_SPEC_ROW(spec),
					     HR_STATUS_ROW, HR_END};

static void top_init(void *obj)
{
	policy_init(&((struct hr_destination_rule *)obj)->policy);
}

const struct hr_message hr_msg_destination_rule = {.name = "DestinationRule object",
						   .fields = top_fields,
						   .size = sizeof(struct hr_destination_rule),
						   .init = top_init};
