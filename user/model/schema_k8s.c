// SPDX-License-Identifier: Apache-2.0
/* Rows of the Kubernetes kinds: Service, EndpointSlice, Endpoints, Pod, Namespace, Node. Pods and
 * nodes have hundreds of fields that no mesh looks at: there, what is not listed passes. */
#include "core/cleanup.h"
#include "core/net.h"
#include "model/same_node.h"
#include "model/schema_int.h"

static const struct hr_word transport_words[] = {{"TCP", 0, HR_ST_CONTROL, NULL},
						 {"UDP", 1, HR_ST_FOREIGN, "not carried"},
						 {"SCTP", 1, HR_ST_FOREIGN, "not carried"},
						 {NULL, 0, 0, NULL}};

static void port_init(void *obj)
{
	((struct hr_port *)obj)->name = "";
}

/* ---- Service ---- */

static void set_target_port(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			    void *obj)
{
	struct hr_port *p = obj;
	int64_t v;

	if (!hr_dec_is(x, n, HR_NODE_SCALAR))
		return;
	if (hr_scalar_kind(n) == HR_SCALAR_STRING) {
		p->target_name = hr_dec_string(x, f, n);
		return;
	}
	if (hr_scalar_int(n, 1, 65535, &v))
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value",
			   "expected a port name or a number from 1 to 65535, found \"%.80s\"",
			   n->value);
	else
		p->target_port = (uint32_t)v;
}

#define PORT(field, type, member, ...) \
	HR_ROW(field, type, CONTROL, HR_AT(struct hr_port, member), __VA_ARGS__)
#define PORT_ROWS(flags_)                                                           \
	PORT("name", STRING, name, .check = hr_check_dns_label),                    \
		PORT("port", INT, number, .min = 1, .max = 65535, .flags = flags_), \
		PORT("protocol", ENUM, udp, .words = transport_words),              \
		PORT("appProtocol", STRING, protocol, .min = 0)

static const struct hr_field service_port_fields[] = {PORT_ROWS(HR_F_REQUIRED),
						      HR_ROW("targetPort", STRING, CONTROL,
							     .why = "number or name",
							     .set = set_target_port, HR_NOWHERE),
						      HR_FOREIGN("nodePort"), HR_END};
static const struct hr_message service_port = {.name = "ServicePort",
					       .fields = service_port_fields,
					       .size = sizeof(struct hr_port),
					       .init = port_init,
					       HR_POS(struct hr_port)};

/* clusterIP and clusterIPs say the same: the list wins, "None" is headless, "" is not given. */
/* kube-proxy goes by the hints that this asks for; Istio's proxies do not, and so do not we. */
static void say_topology_mode(struct hr_dec *x, struct hr_pos pos)
{
	for (size_t i = 0; x->meta && i < x->meta->annotations.len; i++) {
		const struct hr_kv *kv = &x->meta->annotations.data[i];

		if (hr_streq(kv->key, "service.kubernetes.io/topology-mode") ||
		    hr_streq(kv->key, "service.kubernetes.io/topology-aware-hints"))
			hr_diag_add(x->diags, HR_SEV_NOTICE, kv->pos.line ? kv->pos : pos,
				    "skipped", x->meta, "metadata.annotations",
				    "%s has no effect, as in Istio: use trafficDistribution",
				    kv->key);
	}
}

static void service_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	struct hr_service *s = obj;
	const struct hr_ynode *one = hr_node_get(n, "clusterIP");
	hr_strs ips = {};
	struct hr_addr a;

	if (!s->cluster_ips.len && one && one->type == HR_NODE_SCALAR && one->len &&
	    !hr_node_is_null(one)) {
		s->cluster_ips.data = hr_dec_list(x, 1, sizeof(*s->cluster_ips.data));
		s->cluster_ips.data[s->cluster_ips.len++] = hr_arena_strdup(x->arena, one->value);
	}
	for (size_t i = 0; i < s->cluster_ips.len; i++) {
		const char *ip = s->cluster_ips.data[i];

		if (hr_streq(ip, "None"))
			s->headless = true;
		else if (!hr_addr_parse(ip, &a))
			s->cluster_ips.data[ips.len++] = ip;
		else
			hr_dec_say_at(x, "clusterIP", HR_SEV_ERROR, one ? one->pos : n->pos,
				      "bad-value", "\"%.80s\" is no address", ip);
	}
	s->cluster_ips.len = ips.len;
	say_topology_mode(x, n->pos);
	if (!s->ports.len && !hr_streq(s->type, "ExternalName") && !s->headless)
		hr_dec_missing(x, "ports", NULL);
	for (size_t i = 0; i < s->ports.len; i++)
		for (size_t k = 0; k < i; k++) {
			const struct hr_port *p = &s->ports.data[i], *q = &s->ports.data[k];

			if (p->number == q->number && p->udp == q->udp && p->number)
				hr_dec_say_at(x, "ports", HR_SEV_ERROR, p->pos, "conflict",
					      "port %u twice; first in line %u", p->number,
					      q->pos.line);
		}
}

static const struct hr_word service_types[] = {
	{"ClusterIP", 0, HR_ST_CONTROL, NULL},
	{"NodePort", 1, HR_ST_CONTROL, "as ClusterIP"},
	{"LoadBalancer", 2, HR_ST_CONTROL, "as ClusterIP"},
	{"ExternalName", 3, HR_ST_WARN, "services that are another name"},
	{NULL, 0, 0, NULL}};

static const struct hr_word internal_policies[] = {
	{"Cluster", 0, HR_ST_CONTROL, NULL},
	{"Local", 1, HR_ST_CONTROL, "where the agent knows its node (NODE_NAME)"},
	{NULL, 0, 0, NULL}};
static const struct hr_word distributions[] = {
	{"PreferClose", 0, HR_ST_CONTROL, "as PreferSameZone"},
	{"PreferSameZone", 1, HR_ST_CONTROL, NULL},
	{"PreferSameNode", 2, HR_ST_CONTROL, NULL},
	{NULL, 0, 0, NULL}};

static const struct hr_field service_spec_fields[] = {
	HR_ROW("ports", MESSAGES, CONTROL, .max = HR_ITEMS_MAX, .msg = &service_port,
	       HR_AT(struct hr_service, ports)),
	HR_ROW("selector", STRING_MAP, CONTROL, HR_AT(struct hr_service, selector)),
	HR_ROW("clusterIP", STRING, KERNEL, HR_NOWHERE),
	HR_ROW("clusterIPs", STRINGS, KERNEL, HR_AT(struct hr_service, cluster_ips)),
	HR_ROW("type", WORD, CONTROL, .words = service_types, HR_AT(struct hr_service, type)),
	HR_ROW("externalName", STRING, CONTROL, .check = hr_check_host,
	       HR_AT(struct hr_service, external_name)),
	HR_ROW("sessionAffinity", STRING, FOREIGN,
	       .why = "no effect, as in Istio: use consistentHash",
	       HR_AT(struct hr_service, session_affinity)),
	HR_FOREIGN("sessionAffinityConfig"),
	HR_FOREIGN("externalIPs"),
	HR_FOREIGN("externalTrafficPolicy"),
	HR_ROW("internalTrafficPolicy", WORD, CONTROL, .words = internal_policies,
	       HR_AT(struct hr_service, internal_policy)),
	HR_ROW("trafficDistribution", WORD, CONTROL, .words = distributions,
	       HR_AT(struct hr_service, traffic_distribution)),
	HR_FOREIGN("healthCheckNodePort"),
	HR_FOREIGN("ipFamilies"),
	HR_FOREIGN("ipFamilyPolicy"),
	HR_FOREIGN("loadBalancerIP"),
	HR_FOREIGN("loadBalancerClass"),
	HR_FOREIGN("loadBalancerSourceRanges"),
	HR_FOREIGN("allocateLoadBalancerNodePorts"),
	HR_ROW("publishNotReadyAddresses", BOOL, CONTROL,
	       HR_AT(struct hr_service, publish_not_ready)),
	HR_END};
static const struct hr_message service_spec = {
	.name = "ServiceSpec", .fields = service_spec_fields, .check = service_check};
static const struct hr_field service_top[] = {HR_TOP_ROWS(hr_msg_meta), HR_SPEC_ROW(service_spec),
					      HR_STATUS_ROW, HR_END};

static void service_top_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	struct hr_service *s = obj;

	(void)n;
	hr_same_node_check_ports(x, &s->meta, &s->ports);
}

const struct hr_message hr_msg_service = {.name = "Service object",
					  .fields = service_top,
					  .size = sizeof(struct hr_service),
					  .check = service_top_check};

/* ---- EndpointSlice ---- */

/* One item of endpoints[] as written: it becomes an hr_endpoint for each of its addresses. */
struct item {
	hr_strs addresses;
	int ready, serving, terminating; /* -1: not set */
	struct hr_endpoint common;
};

#define ITEM(field, type, member, ...) \
	HR_ROW(field, type, CONTROL, HR_AT(struct item, member), __VA_ARGS__)

static const struct hr_field conditions_fields[] = {
	ITEM("ready", BOOL, ready, .why = "not set: ready"),
	ITEM("serving", BOOL, serving, .why = "not set: as ready"),
	ITEM("terminating", BOOL, terminating, .min = 0), HR_END};
static const struct hr_message conditions = {.name = "EndpointConditions",
					     .fields = conditions_fields};
static const struct hr_field target_fields[] = {HR_ROW("kind", STRING, CONTROL, HR_NOWHERE),
						ITEM("name", STRING, common.pod_name, .min = 0),
						ITEM("namespace", STRING, common.pod_ns, .min = 0),
						HR_FOREIGN("apiVersion"),
						HR_FOREIGN("uid"),
						HR_FOREIGN("resourceVersion"),
						HR_FOREIGN("fieldPath"),
						HR_END};
static const struct hr_message target_ref = {.name = "ObjectReference", .fields = target_fields};
static const struct hr_field item_fields[] = {
	ITEM("addresses", STRINGS, addresses, .flags = HR_F_REQUIRED, .check = hr_check_ip),
	HR_ROW("conditions", MESSAGE, CONTROL, .msg = &conditions, .off = 0),
	ITEM("hostname", STRING, common.hostname, .min = 0),
	ITEM("nodeName", STRING, common.node, .min = 0),
	ITEM("zone", STRING, common.zone, .min = 0),
	HR_ROW("targetRef", MESSAGE, CONTROL, .msg = &target_ref, .off = 0),
	HR_FOREIGN("deprecatedTopology"),
	HR_ROW("hints", ANY, FOREIGN, .why = "no effect, as in Istio: use trafficDistribution",
	       HR_NOWHERE),
	HR_END};

static void item_init(void *obj)
{
	struct item *i = obj;

	i->ready = i->serving = i->terminating = -1;
}

static const struct hr_message endpoint = {
	.name = "Endpoint", .fields = item_fields, .size = sizeof(struct item), .init = item_init};

static size_t add_item(const struct item *item, struct hr_pos pos, struct hr_endpoint *to)
{
	size_t k = 0;

	for (size_t i = 0; i < item->addresses.len; i++) {
		struct hr_endpoint *e = &to[k];

		*e = item->common;
		if (hr_addr_parse(item->addresses.data[i], &e->addr))
			continue;
		e->ready = item->ready != 0;
		e->serving = item->serving == -1 ? e->ready : item->serving;
		e->terminating = item->terminating == 1;
		e->pos = pos;
		k++;
	}
	return k;
}

static void set_endpoints(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			  void *obj)
{
	struct hr_endpoint_slice *s = obj;
	size_t mark = x->path.len, total = 0, i = 0;

	if (!hr_dec_is(x, n, HR_NODE_SEQ))
		return;
	for (const struct hr_ynode *c = n->first; c; c = c->next) {
		const struct hr_ynode *a = hr_node_get(c, "addresses");

		total += a ? a->count : 0;
	}
	s->endpoints.data = hr_dec_list(x, total, sizeof(*s->endpoints.data));
	for (const struct hr_ynode *c = n->first; c; c = c->next, i++) {
		struct item item = {};

		item_init(&item);
		hr_path_index(&x->path, i);
		hr_decode_message(x, f->msg, c, &item);
		if (item.addresses.len)
			s->endpoints.len +=
				add_item(&item, c->pos, s->endpoints.data + s->endpoints.len);
		hr_path_cut(&x->path, mark);
	}
}

static const struct hr_field slice_port_fields[] = {PORT_ROWS(0), HR_END};
static const struct hr_message slice_port = {.name = "EndpointPort",
					     .fields = slice_port_fields,
					     .size = sizeof(struct hr_port),
					     .init = port_init,
					     HR_POS(struct hr_port)};
static const struct hr_word address_types[] = {
	{"IPv4", 0, HR_ST_CONTROL, NULL},
	{"IPv6", 1, HR_ST_CONTROL, NULL},
	{"FQDN", 2, HR_ST_NOT_BUILT, "endpoints that are names"},
	{NULL, 0, 0, NULL}};

/* A slice has one family; the API server refuses others as well. */
static void check_families(struct hr_dec *x, const char *type, const struct hr_endpoint_slice *s)
{
	for (size_t i = 0; i < s->endpoints.len; i++) {
		const struct hr_endpoint *e = &s->endpoints.data[i];
		char text[HR_ADDR_TEXT];

		if (hr_streq(type, hr_addr_is4(&e->addr) ? "IPv6" : "IPv4"))
			hr_dec_say_at(x, "endpoints", HR_SEV_ERROR, e->pos, "bad-value",
				      "%s is no %s address", hr_addr_text(&e->addr, text), type);
	}
}

static void slice_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	struct hr_endpoint_slice *s = obj;
	const struct hr_ynode *type = hr_node_get(n, "addressType");

	if (type && type->type == HR_NODE_SCALAR)
		check_families(x, type->value, s);
	for (size_t i = 0; i < s->meta.labels.len; i++)
		if (hr_streq(s->meta.labels.data[i].key, "kubernetes.io/service-name"))
			s->service = s->meta.labels.data[i].value;
	if (!s->service)
		hr_dec_say_at(x, "metadata", HR_SEV_WARNING, x->meta->pos, "missing",
			      "no label kubernetes.io/service-name: these endpoints belong to no "
			      "service");
}

static const struct hr_field slice_top[] = {
	HR_TOP_ROWS(hr_msg_meta),
	HR_ROW("addressType", WORD, CONTROL, .flags = HR_F_REQUIRED, .words = address_types,
	       HR_NOWHERE),
	HR_ROW("endpoints", MESSAGES, KERNEL, .msg = &endpoint, .set = set_endpoints, HR_NOWHERE),
	HR_ROW("ports", MESSAGES, CONTROL, .max = HR_ITEMS_MAX, .msg = &slice_port,
	       HR_AT(struct hr_endpoint_slice, ports)),
	HR_END};
const struct hr_message hr_msg_endpoint_slice = {.name = "EndpointSlice object",
						 .fields = slice_top,
						 .size = sizeof(struct hr_endpoint_slice),
						 .check = slice_check};

/* ---- Endpoints ---- */

static void check_ip(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	hr_check_ip(x, n, v);
}

static void set_ip(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n, void *obj)
{
	struct hr_endpoint *e = obj;
	const char *s = hr_dec_string(x, f, n);

	if (s)
		(void)hr_addr_parse(s, &e->addr);
}

#define ADDRESS(field, member) HR_ROW(field, STRING, CONTROL, HR_AT(struct hr_endpoint, member))
static const struct hr_field old_target_fields[] = {HR_ROW("kind", STRING, CONTROL, HR_NOWHERE),
						    ADDRESS("name", pod_name),
						    ADDRESS("namespace", pod_ns),
						    HR_FOREIGN("apiVersion"),
						    HR_FOREIGN("uid"),
						    HR_FOREIGN("resourceVersion"),
						    HR_FOREIGN("fieldPath"),
						    HR_END};
static const struct hr_message old_target = {.name = "ObjectReference",
					     .fields = old_target_fields};
static const struct hr_field address_fields[] = {
	HR_ROW("ip", STRING, KERNEL, .flags = HR_F_REQUIRED, .set = set_ip, .check = check_ip,
	       HR_NOWHERE),
	ADDRESS("hostname", hostname), ADDRESS("nodeName", node),
	HR_ROW("targetRef", MESSAGE, CONTROL, .msg = &old_target, .off = 0), HR_END};
static const struct hr_message address = {.name = "EndpointAddress",
					  .fields = address_fields,
					  .size = sizeof(struct hr_endpoint),
					  HR_POS(struct hr_endpoint)};

/* addresses and notReadyAddresses of one subset, one list after the other. */
static void set_addresses(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			  void *obj)
{
	struct hr_endpoint_slice *s = obj;
	bool ready = hr_streq(f->name, "addresses");
	size_t mark = x->path.len, i = 0, had = s->endpoints.len;
	struct hr_endpoint *all;

	if (!hr_dec_is(x, n, HR_NODE_SEQ))
		return;
	all = hr_dec_list(x, had + n->count, sizeof(*all));
	for (size_t k = 0; k < had; k++)
		all[k] = s->endpoints.data[k];
	s->endpoints.data = all;
	for (const struct hr_ynode *c = n->first; c; c = c->next, i++) {
		struct hr_endpoint *e = &all[s->endpoints.len++];

		hr_path_index(&x->path, i);
		e->ready = e->serving = ready;
		hr_decode_message(x, f->msg, c, e);
		hr_path_cut(&x->path, mark);
	}
}

static const struct hr_field subset_fields[] = {
	HR_ROW("addresses", MESSAGES, KERNEL, .msg = &address, .set = set_addresses, HR_NOWHERE),
	HR_ROW("notReadyAddresses", MESSAGES, CONTROL, .msg = &address, .set = set_addresses,
	       HR_NOWHERE),
	HR_ROW("ports", MESSAGES, CONTROL, .max = HR_ITEMS_MAX, .msg = &slice_port,
	       HR_AT(struct hr_endpoint_slice, ports)),
	HR_END};
static const struct hr_message subset = {.name = "EndpointSubset",
					 .fields = subset_fields,
					 .size = sizeof(struct hr_endpoint_slice)};
static const struct hr_field endpoints_top[] = {HR_TOP_ROWS(hr_msg_meta),
						HR_ROW("subsets", MESSAGES, CONTROL, .msg = &subset,
						       HR_AT(struct hr_endpoints_object, subsets)),
						HR_END};
const struct hr_message hr_msg_endpoints = {.name = "Endpoints object",
					    .fields = endpoints_top,
					    .size = sizeof(struct hr_endpoints_object)};
