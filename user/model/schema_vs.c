// SPDX-License-Identifier: Apache-2.0
/* Rows of VirtualService, its matches and what goes around a route (networking/v1alpha3). The
 * actions of an HTTPRoute are in schema_action.c. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "core/cleanup.h"
#include "core/vec.h"
#include "http/http1.h"
#include "model/hosts.h"
#include "model/schema_int.h"

/* ---- StringMatch: one row set a place, because what carries it differs ---- */

static void match_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	(void)obj;
	if (!n->count)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value",
			   "expected one of exact, prefix and regex");
}

/* An empty or too long one was said by its check. */
static const struct hr_regex *regex_of(struct hr_dec *x, const struct hr_ynode *n, const char *s)
{
	struct hr_regex_error err = {};
	struct hr_regex *re = NULL;
	int r;

	if (!*s || strlen(s) > HR_REGEX_MAX)
		return NULL;
	r = hr_regex_new(x->arena, s, &re, &err);
	if (r < 0)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, r == -E2BIG ? "limit" : "bad-value",
			   "regex \"%.80s\": %s, at byte %zu", s, err.why, err.at + 1);
	return re;
}

static void set_match(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
		      void *obj)
{
	struct hr_string_match *m = obj;
	const char *s = hr_dec_string(x, f, n);

	if (!s)
		return;
	m->type = (enum hr_match_type)f->min;
	m->value = s;
	m->pos = n->pos;
	if (f->max && hr_streq(s, "*")) {
		m->type = HR_MATCH_PRESENT;
		return;
	}
	if (m->type == HR_MATCH_REGEX)
		m->regex = regex_of(x, n, s);
	if (m->type == HR_MATCH_PREFIX && !*s)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value",
			   "an empty prefix matches everything; for \"is present\" write {}");
}

#define MATCH(word, TYPE, status, chk, ...)                                                \
	HR_ROW(word, STRING, status, .oneof = 1, .min = HR_MATCH_##TYPE, .set = set_match, \
	       .check = chk, HR_NOWHERE, __VA_ARGS__)
#define MATCH_MESSAGE(id, ...)                                                \
	static const struct hr_field id##_fields[] = {__VA_ARGS__, HR_END};   \
	const struct hr_message id = {.name = "StringMatch",                  \
				      .fields = id##_fields,                  \
				      .size = sizeof(struct hr_string_match), \
				      .check = match_check,                   \
				      HR_POS(struct hr_string_match)}
#define RE2 MATCH("regex", REGEX, AGENT, hr_check_regex, .why = "RE2, all of the value")
/* Istio reads "*", which is no regex, as presence. */
#define RE2_OR_STAR                                            \
	MATCH("regex", REGEX, AGENT, hr_check_regex, .max = 1, \
	      .why = "RE2, all of the value; \"*\": it is there")

MATCH_MESSAGE(hr_msg_match_uri, MATCH("exact", EXACT, KERNEL, hr_check_path),
	      MATCH("prefix", PREFIX, KERNEL, hr_check_path), RE2);
MATCH_MESSAGE(hr_msg_match_method, MATCH("exact", EXACT, KERNEL, hr_check_token),
	      MATCH("prefix", PREFIX, AGENT, hr_check_token), RE2);
MATCH_MESSAGE(hr_msg_match_authority, MATCH("exact", EXACT, AGENT, hr_check_authority),
	      MATCH("prefix", PREFIX, AGENT, hr_check_authority), RE2);
MATCH_MESSAGE(hr_msg_match_scheme, MATCH("exact", EXACT, AGENT, NULL),
	      MATCH("prefix", PREFIX, AGENT, NULL), RE2);
MATCH_MESSAGE(hr_msg_match_header, MATCH("exact", EXACT, KERNEL, hr_check_header_value),
	      MATCH("prefix", PREFIX, KERNEL, hr_check_header_value), RE2_OR_STAR);
MATCH_MESSAGE(hr_msg_match_query, MATCH("exact", EXACT, AGENT, NULL),
	      MATCH("prefix", PREFIX, AGENT, NULL), RE2_OR_STAR);
MATCH_MESSAGE(hr_msg_match_origin, MATCH("exact", EXACT, AGENT, NULL),
	      MATCH("prefix", PREFIX, AGENT, NULL), RE2);

/* ---- HTTPMatchRequest ---- */

/* Istio leaves conditions of these names out, and the rule then matches more than it says. */
static void check_match_header(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	static const char *const reserved[] = {"uri", "scheme", "method", "authority"};
	static const char *const pseudo[] = {":authority", ":method", ":path", ":scheme"};

	for (size_t i = 0; i < HR_ARRAY_SIZE(reserved); i++)
		if (!strcasecmp(v, reserved[i]))
			hr_dec_say(x, HR_SEV_ERROR, n->pos, "refused",
				   "Istio ignores a header condition called %s; use the field "
				   "\"%s\" of match",
				   v, reserved[i]);
	for (size_t i = 0; i < HR_ARRAY_SIZE(pseudo); i++)
		if (!strcasecmp(v, pseudo[i]))
			return;
	hr_check_header_name(x, n, v);
}

static const struct hr_field http_match_fields[] = {
	HR_ROW("name", STRING, CONTROL, HR_AT(struct hr_http_match, name)),
	HR_ROW("uri", MESSAGE, KERNEL, .msg = &hr_msg_match_uri, HR_AT(struct hr_http_match, uri)),
	HR_ROW("scheme", MESSAGE, AGENT,
	       .why = "of an absolute target, else x-forwarded-proto, else http",
	       .msg = &hr_msg_match_scheme, HR_AT(struct hr_http_match, scheme)),
	HR_ROW("method", MESSAGE, KERNEL, .msg = &hr_msg_match_method,
	       HR_AT(struct hr_http_match, method)),
	HR_ROW("authority", MESSAGE, AGENT, .msg = &hr_msg_match_authority,
	       HR_AT(struct hr_http_match, authority)),
	HR_ROW("headers", MATCH_MAP, KERNEL, .flags = HR_F_LOWER,
	       .why = "{} asks for presence; also :authority :method :path :scheme",
	       .msg = &hr_msg_match_header, .check = check_match_header,
	       HR_AT(struct hr_http_match, headers)),
	HR_ROW("withoutHeaders", MATCH_MAP, KERNEL, .flags = HR_F_LOWER,
	       .why = "{} asks for absence", .msg = &hr_msg_match_header,
	       .check = check_match_header, HR_AT(struct hr_http_match, without_headers)),
	HR_ROW("queryParams", MATCH_MAP, AGENT,
	       .why = "{} asks for presence; the first value, as it is written (not decoded)",
	       .msg = &hr_msg_match_query, .check = hr_check_nonempty,
	       HR_AT(struct hr_http_match, query_params)),
	HR_ROW("ignoreUriCase", BOOL, AGENT, .why = "of exact and prefix",
	       HR_AT(struct hr_http_match, ignore_uri_case)),
	HR_ROW("port", INT, CONTROL, .min = 1, .max = 65535, HR_AT(struct hr_http_match, port)),
	HR_ROW("sourceLabels", STRING_MAP, AGENT,
	       .why = "of the attached workload, else of its Pod",
	       HR_AT(struct hr_http_match, source_labels)),
	HR_ROW("sourceNamespace", STRING, AGENT, .why = "of the attached workload",
	       .check = hr_check_dns_label, HR_AT(struct hr_http_match, source_namespace)),
	HR_ROW("gateways", STRINGS, CONTROL,
	       .why = "an entry whose gateways lack \"mesh\" applies to no mesh traffic",
	       .check = hr_check_gateway, HR_AT(struct hr_http_match, gateways)),
	HR_ROW("statPrefix", STRING, CONTROL,
	       .why = "counted by itself, as label stat_prefix of the route's metrics",
	       HR_AT(struct hr_http_match, stat_prefix)),
	HR_END};
const struct hr_message hr_msg_http_match = {.name = "HTTPMatchRequest",
					     .fields = http_match_fields,
					     .size = sizeof(struct hr_http_match),
					     HR_POS(struct hr_http_match)};

/* ---- Destination, Headers, HTTPRouteDestination ---- */

static const struct hr_field port_selector_fields[] = {
	HR_ROW("number", INT, CONTROL, .flags = HR_F_REQUIRED, .min = 1, .max = 65535, .off = 0,
	       .width = sizeof(uint32_t)),
	HR_END};
const struct hr_message hr_msg_port_selector = {
	.name = "PortSelector", .fields = port_selector_fields, .size = sizeof(uint32_t)};

static void set_dest_word(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			  void *obj)
{
	struct hr_destination *d = obj;
	const char *s = hr_dec_string(x, f, n);

	if (f->off == offsetof(struct hr_destination, host)) {
		d->host = s;
		d->pos = n->pos;
	} else {
		d->subset = s;
		d->subset_pos = n->pos;
	}
}

static const struct hr_field destination_fields[] = {
	HR_ROW("host", STRING, KERNEL, .flags = HR_F_REQUIRED, .set = set_dest_word,
	       .check = hr_check_dest_host, HR_AT(struct hr_destination, host)),
	HR_ROW("subset", STRING, KERNEL, .set = set_dest_word,
	       HR_AT(struct hr_destination, subset)),
	HR_ROW("port", MESSAGE, KERNEL, .msg = &hr_msg_port_selector,
	       HR_AT(struct hr_destination, port)),
	HR_END};
const struct hr_message hr_msg_destination = {.name = "Destination",
					      .fields = destination_fields,
					      .size = sizeof(struct hr_destination),
					      HR_POS(struct hr_destination)};

/* The operators in the values of one map; NULL: none has any. */
static const struct hr_format **formats_of(struct hr_dec *x, const char *field,
					   const struct hr_ynode *map, const hr_kvs *kvs)
{
	const struct hr_format **list = NULL;

	for (size_t i = 0; map && i < kvs->len; i++) {
		const struct hr_ynode *v = hr_node_get(map, kvs->data[i].key);
		struct hr_format_error err;
		const struct hr_format *f;

		if (hr_format_parse(x->arena, kvs->data[i].value, &f, &err)) {
			hr_dec_say_at(x, field, HR_SEV_ERROR, v ? v->pos : map->pos, "bad-value",
				      "%s: \"%.80s\": %s, at byte %zu%s%s%s", kvs->data[i].key,
				      kvs->data[i].value, err.why, err.at + 1,
				      err.near ? "; did you mean %" : "", err.near ? err.near : "",
				      err.near ? "%?" : "");
			continue;
		}
		if (f && !list)
			list = hr_arena_array(x->arena, const struct hr_format *, kvs->len);
		if (f)
			list[i] = f;
	}
	return list;
}

static bool names_host(const char *name)
{
	return !strcasecmp(name, "host") || hr_streq(name, ":authority");
}

/* Fields that say where a message or its connection ends: another than the one it has would make
 * two readers see two messages. */
static bool names_framing(const char *name)
{
	return hr_http_of_connection(hr_slice_of(name)) || !strcasecmp(name, "content-length");
}

/* Host is the request's authority: it can be set (Istio: added, too), not taken away, and answers
 * have none. */
static void names_check(struct hr_dec *x, const struct hr_ynode *n, bool request)
{
	static const char *const lists[] = {"set", "add", "remove"};

	for (size_t i = 0; i < HR_ARRAY_SIZE(lists); i++) {
		const struct hr_ynode *list = hr_node_get(n, lists[i]);

		for (const struct hr_ynode *c = list ? list->first : NULL; c; c = c->next) {
			bool map = list->type == HR_NODE_MAP;
			const char *name = map ? c->key : c->value;

			if (name && names_framing(name))
				hr_dec_say(x, HR_SEV_ERROR, map ? c->key_pos : c->pos, "bad-value",
					   "\"%.80s\" says where a message ends, and is the "
					   "proxy's own: leave it out",
					   name);
			if ((request && i < 2) || !name || !names_host(name))
				continue;
			hr_dec_say(x, HR_SEV_ERROR, map ? c->key_pos : c->pos, "bad-value",
				   request ? "\"%.80s\" cannot be removed, only set"
					   : "\"%.80s\" is no header of an answer",
				   name);
		}
	}
}

static void header_ops_check(struct hr_dec *x, const struct hr_ynode *n, struct hr_header_ops *o)
{
	const struct hr_ynode *maps[] = {hr_node_get(n, "set"), hr_node_get(n, "add")};

	o->set_formats = formats_of(x, "set", maps[0], &o->set);
	o->add_formats = formats_of(x, "add", maps[1], &o->add);
	for (size_t i = 0; i < HR_ARRAY_SIZE(maps); i++) {
		if (!maps[i] || maps[i]->type != HR_NODE_MAP)
			continue;
		for (const struct hr_ynode *c = maps[i]->first; c; c = c->next)
			if (!names_host(c->key))
				hr_check_header_name(x, &(struct hr_ynode){.pos = c->key_pos},
						     c->key);
	}
}

static void request_ops_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	header_ops_check(x, n, obj);
	names_check(x, n, true);
}

static void response_ops_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	header_ops_check(x, n, obj);
	names_check(x, n, false);
}

#define HEADER_OPS_ROWS(who)                                                         \
	HR_ROW("set", STRING_MAP, who,                                               \
	       .why = "values may hold operators, %REQ(x-a)%; %% is a percent sign", \
	       .check = hr_check_header_value, HR_AT(struct hr_header_ops, set)),    \
		HR_ROW("add", STRING_MAP, who, .check = hr_check_header_value,       \
		       HR_AT(struct hr_header_ops, add)),                            \
		HR_ROW("remove", STRINGS, who, .check = hr_check_header_name,        \
		       HR_AT(struct hr_header_ops, remove)),                         \
		HR_END
static const struct hr_field request_ops_fields[] = {HEADER_OPS_ROWS(KERNEL)};
static const struct hr_field response_ops_fields[] = {HEADER_OPS_ROWS(AGENT)};
static const struct hr_message request_ops = {.name = "Headers.HeaderOperations",
					      .fields = request_ops_fields,
					      .size = sizeof(struct hr_header_ops),
					      .check = request_ops_check};
static const struct hr_message response_ops = {.name = "Headers.HeaderOperations",
					       .fields = response_ops_fields,
					       .size = sizeof(struct hr_header_ops),
					       .check = response_ops_check};
static const struct hr_field headers_fields[] = {
	HR_ROW("request", MESSAGE, KERNEL,
	       .why = "literal values, on requests that have none of the names set and removed; "
		      "else the agent",
	       .msg = &request_ops, HR_AT(struct hr_headers, request)),
	HR_ROW("response", MESSAGE, AGENT, .msg = &response_ops,
	       HR_AT(struct hr_headers, response)),
	HR_END};
const struct hr_message hr_msg_headers = {
	.name = "Headers", .fields = headers_fields, .size = sizeof(struct hr_headers)};

static void route_destination_init(void *obj)
{
	((struct hr_route_destination *)obj)->weight = -1;
}

/* networking: weight is a share of the sum; 2^31-1 is the type's own bound */
#define DESTINATION_ROWS                                                                           \
	HR_ROW("destination", MESSAGE, KERNEL, .flags = HR_F_REQUIRED, .msg = &hr_msg_destination, \
	       HR_AT(struct hr_route_destination, destination)),                                   \
		HR_ROW("weight", INT, KERNEL, .min = 0, .max = INT32_MAX,                          \
		       HR_AT(struct hr_route_destination, weight))

static const struct hr_field http_destination_fields[] = {
	DESTINATION_ROWS,
	HR_ROW("headers", MESSAGE, KERNEL, .msg = &hr_msg_headers,
	       HR_AT(struct hr_route_destination, headers)),
	HR_END};
static const struct hr_hint http_destination_hints[] = {
	{&hr_msg_destination, "destination", false},
	{&hr_msg_http_route, "http[], beside route", false},
	{NULL, NULL, false}};
const struct hr_message hr_msg_http_destination = {.name = "HTTPRouteDestination",
						   .fields = http_destination_fields,
						   .hints = http_destination_hints,
						   .size = sizeof(struct hr_route_destination),
						   .init = route_destination_init,
						   HR_POS(struct hr_route_destination)};

void hr_check_weights(struct hr_dec *x, const struct hr_ynode *n,
		      struct hr_route_destination *route, size_t len)
{
	const struct hr_ynode *at = hr_node_get(n, "route");
	uint64_t sum = 0;
	bool any = false;

	if (len > HR_DST_MAX)
		hr_dec_say_at(x, "route", HR_SEV_ERROR, at->pos, "limit",
			      "more than %d destinations", HR_DST_MAX);
	for (size_t i = 0; i < len; i++) {
		any = any || route[i].weight >= 0;
		sum += route[i].weight > 0 ? (uint64_t)route[i].weight : 0;
	}
	if (len == 1 && !route[0].weight) {
		/* proto3: 0 is the same as not written, and Istio gives it everything */
		hr_dec_say_at(x, "route", HR_SEV_WARNING, route[0].pos, "weights",
			      "the only destination gets all requests, also with weight 0");
		route[0].weight = -1;
	} else if (len > 1 && !sum) {
		hr_dec_say_at(x, "route", HR_SEV_ERROR, at->pos, "weights",
			      any ? "all weights are 0: no destination would be chosen"
				  : "several destinations need weights");
	} else if (sum > UINT32_MAX) {
		hr_dec_say_at(x, "route", HR_SEV_ERROR, at->pos, "weights",
			      "the sum of the weights is over %u", UINT32_MAX);
	}
}

/* ---- TLSRoute, TCPRoute ---- */

static const struct hr_field l4_destination_fields[] = {DESTINATION_ROWS, HR_END};
static const struct hr_message l4_destination = {.name = "RouteDestination",
						 .fields = l4_destination_fields,
						 .size = sizeof(struct hr_route_destination),
						 .init = route_destination_init,
						 HR_POS(struct hr_route_destination)};

#define L4_MATCH_ROWS                                                                             \
	HR_ROW("destinationSubnets", STRINGS, CONTROL, .why = "of the address that is asked for", \
	       .check = hr_check_ip_or_cidr, HR_AT(struct hr_l4_match, destination_subnets)),     \
		HR_ROW("port", INT, CONTROL, .min = 1, .max = 65535,                              \
		       HR_AT(struct hr_l4_match, port)),                                          \
		HR_ROW("sourceLabels", STRING_MAP, AGENT,                                         \
		       .why = "of the attached workload, else of its Pod",                        \
		       HR_AT(struct hr_l4_match, source_labels)),                                 \
		HR_ROW("gateways", STRINGS, CONTROL, .check = hr_check_gateway,                   \
		       HR_AT(struct hr_l4_match, gateways)),                                      \
		HR_ROW("sourceNamespace", STRING, AGENT, .why = "of the attached workload",       \
		       .check = hr_check_dns_label, HR_AT(struct hr_l4_match, source_namespace))

static const struct hr_field tls_match_fields[] = {
	HR_ROW("sniHosts", STRINGS, AGENT, .flags = HR_F_REQUIRED | HR_F_LOWER,
	       .check = hr_check_host, HR_AT(struct hr_l4_match, sni_hosts)),
	L4_MATCH_ROWS, HR_END};
static const struct hr_message tls_match = {.name = "TLSMatchAttributes",
					    .fields = tls_match_fields,
					    .size = sizeof(struct hr_l4_match),
					    HR_POS(struct hr_l4_match)};
static const struct hr_field l4_match_fields[] = {L4_MATCH_ROWS,
						  HR_ROW("sourceSubnet", STRING, AGENT,
							 .check = hr_check_ip_or_cidr,
							 HR_AT(struct hr_l4_match, source_subnet)),
						  HR_END};
static const struct hr_message l4_match = {.name = "L4MatchAttributes",
					   .fields = l4_match_fields,
					   .size = sizeof(struct hr_l4_match),
					   HR_POS(struct hr_l4_match)};

static void l4_route_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	struct hr_l4_route *r = obj;

	if (hr_dec_absent(n, "route"))
		hr_dec_missing(x, "route", NULL);
	else if (r->route.len)
		hr_check_weights(x, n, r->route.data, r->route.len);
}

static const struct hr_field tls_route_fields[] = {
	HR_ROW("match", MESSAGES, AGENT, .flags = HR_F_REQUIRED, .msg = &tls_match,
	       HR_AT(struct hr_l4_route, match)),
	HR_ROW("route", MESSAGES, AGENT, .msg = &l4_destination, HR_AT(struct hr_l4_route, route)),
	HR_END};
static const struct hr_message tls_route = {.name = "TLSRoute",
					    .fields = tls_route_fields,
					    .size = sizeof(struct hr_l4_route),
					    .check = l4_route_check,
					    HR_POS(struct hr_l4_route)};
static const struct hr_field tcp_route_fields[] = {
	HR_ROW("match", MESSAGES, KERNEL, .msg = &l4_match, HR_AT(struct hr_l4_route, match)),
	HR_ROW("route", MESSAGES, KERNEL, .msg = &l4_destination, HR_AT(struct hr_l4_route, route)),
	HR_END};
static const struct hr_message tcp_route = {.name = "TCPRoute",
					    .fields = tcp_route_fields,
					    .size = sizeof(struct hr_l4_route),
					    .check = l4_route_check,
					    HR_POS(struct hr_l4_route)};

/* ---- VirtualService ---- */

static void set_hosts(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
		      void *obj)
{
	struct hr_virtual_service *vs = obj;
	size_t mark = x->path.len, i = 0;

	if (!hr_dec_is_list(x, f, n))
		return;
	vs->hosts.data = hr_dec_list(x, n->count, sizeof(*vs->hosts.data));
	vs->host_pos.data = hr_dec_list(x, n->count, sizeof(*vs->host_pos.data));
	for (const struct hr_ynode *c = n->first; c; c = c->next, i++) {
		const char *s;

		hr_path_index(&x->path, i);
		s = hr_dec_string(x, f, c);
		for (size_t k = 0; s && k < vs->hosts.len; k++)
			if (hr_streq(vs->hosts.data[k], s))
				hr_dec_say(x, HR_SEV_ERROR, c->pos, "conflict",
					   "host \"%.80s\" twice", s);
		if (s) {
			vs->hosts.data[vs->hosts.len++] = s;
			vs->host_pos.data[vs->host_pos.len++] = c->pos;
		}
		hr_path_cut(&x->path, mark);
	}
}

/* Each entry of a match list is a rule of its own in the plan. */
static void count_rules(struct hr_dec *x, const struct hr_ynode *n,
			const struct hr_virtual_service *vs)
{
	size_t rules = 0;

	for (size_t i = 0; i < vs->http.len; i++)
		rules += HR_MAX(vs->http.data[i].match.len, (size_t)1);
	if (rules > HR_RULES_MAX)
		hr_dec_say_at(x, "http", HR_SEV_ERROR, hr_node_get(n, "http")->pos, "limit",
			      "%zu rules, more than %d", rules, HR_RULES_MAX);
}

/* Without hosts it is a delegate: other VirtualServices say for whom, and where, it speaks. */
static void delegate_check(struct hr_dec *x, const struct hr_ynode *n,
			   const struct hr_virtual_service *vs)
{
	static const char *const roots_only[] = {"gateways", "tls", "tcp"};

	for (size_t i = 0; i < HR_ARRAY_SIZE(roots_only); i++)
		if (!hr_dec_absent(n, roots_only[i]))
			hr_dec_say_at(x, roots_only[i], HR_SEV_ERROR,
				      hr_node_get(n, roots_only[i])->key_pos, "one-of",
				      "a VirtualService without hosts is a delegate and cannot "
				      "have %s",
				      roots_only[i]);
	for (size_t i = 0; i < vs->http.len; i++)
		if (vs->http.data[i].delegate_name)
			hr_dec_say_at(x, "http", HR_SEV_ERROR, vs->http.data[i].pos, "one-of",
				      "a VirtualService without hosts is a delegate and cannot "
				      "delegate itself");
}

/* Istio's rule: a server name is one of the hosts, or below one of them. */
static void check_sni(struct hr_dec *x, const struct hr_virtual_service *vs,
		      const struct hr_l4_match *m)
{
	for (size_t i = 0; i < m->sni_hosts.len; i++) {
		bool below = false;

		for (size_t k = 0; k < vs->hosts.len && !below; k++)
			below = hr_streq(vs->hosts.data[k], m->sni_hosts.data[i]) ||
				hr_host_matches(vs->hosts.data[k], m->sni_hosts.data[i]);
		if (!below)
			hr_dec_say_at(
				x, "tls", HR_SEV_ERROR, m->pos, "conflict",
				"sniHosts: \"%.253s\" is none of the hosts, and below none of "
				"them: add it to hosts",
				m->sni_hosts.data[i]);
	}
}

static void virtual_service_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	const struct hr_virtual_service *vs = obj;
	const struct hr_ynode *gw = hr_node_get(n, "gateways");
	bool mesh = false;

	if (hr_dec_absent(n, "hosts"))
		delegate_check(x, n, vs);
	if (hr_dec_absent(n, "http") && hr_dec_absent(n, "tls") && hr_dec_absent(n, "tcp"))
		hr_dec_missing(x, "http", "one of http, tls and tcp must be set");
	count_rules(x, n, vs);
	for (size_t i = 0; i < vs->tls.len; i++)
		for (size_t k = 0; k < vs->tls.data[i].match.len; k++)
			check_sni(x, vs, &vs->tls.data[i].match.data[k]);
	for (size_t i = 0; i < vs->gateways.len; i++)
		mesh = mesh || hr_streq(vs->gateways.data[i], "mesh");
	if (vs->gateways.len && !mesh)
		hr_dec_say_at(x, "gateways", HR_SEV_WARNING, gw->key_pos, "not-built",
			      "not built yet: gateways (bound to gateways only: it has no effect "
			      "on the mesh)");
	else if (vs->gateways.len > 1)
		hr_dec_say_at(x, "gateways", HR_SEV_WARNING, gw->key_pos, "not-built",
			      "not built yet: gateways (it applies to \"mesh\" only)");
}

static const struct hr_field spec_fields[] = {
	HR_ROW("hosts", STRINGS, KERNEL, .max = HR_ITEMS_MAX, .flags = HR_F_LOWER,
	       .why = "none: a delegate of other VirtualServices", .set = set_hosts,
	       .check = hr_check_host, HR_AT(struct hr_virtual_service, hosts)),
	HR_ROW("gateways", STRINGS, CONTROL, .why = "\"mesh\"; others are not built yet: a warning",
	       .check = hr_check_gateway, HR_AT(struct hr_virtual_service, gateways)),
	HR_ROW("http", MESSAGES, KERNEL, .msg = &hr_msg_http_route,
	       HR_AT(struct hr_virtual_service, http)),
	HR_ROW("tls", MESSAGES, AGENT, .why = "for ports that speak TLS (https*, tls*)",
	       .msg = &tls_route, HR_AT(struct hr_virtual_service, tls)),
	HR_ROW("tcp", MESSAGES, KERNEL,
	       .why = "chosen at connect(); by the agent where the port is unnamed or the source "
		      "is asked for",
	       .msg = &tcp_route, HR_AT(struct hr_virtual_service, tcp)),
	HR_ROW("exportTo", STRINGS, CONTROL,
	       .why = "what only some namespaces see, the agent decides",
	       .check = hr_check_export_ns, HR_AT(struct hr_virtual_service, export_to)),
	HR_END};
static const struct hr_hint spec_hints[] = {{&hr_msg_http_route, "http[]", false},
					    {NULL, NULL, false}};
static const struct hr_message spec = {.name = "VirtualService",
				       .fields = spec_fields,
				       .hints = spec_hints,
				       .size = sizeof(struct hr_virtual_service),
				       .check = virtual_service_check};
static const struct hr_field top_fields[] = {HR_TOP_ROWS(hr_msg_meta), HR_SPEC_ROW(spec),
					     HR_STATUS_ROW, HR_END};
const struct hr_message hr_msg_virtual_service = {.name = "VirtualService object",
						  .fields = top_fields,
						  .size = sizeof(struct hr_virtual_service)};
