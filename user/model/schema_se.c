// SPDX-License-Identifier: Apache-2.0
/* Rows of ServiceEntry and WorkloadEntry (networking/v1alpha3). */
#include <string.h>
#include <strings.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "model/same_node.h"
#include "model/schema_int.h"

/* ---- WorkloadEntry ---- */

static void set_ports_map(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			  void *obj)
{
	struct hr_workload_entry *w = obj;
	size_t mark = x->path.len;

	(void)f;
	if (!hr_dec_is(x, n, HR_NODE_MAP))
		return;
	w->ports.data = hr_dec_list(x, n->count, sizeof(*w->ports.data));
	for (const struct hr_ynode *c = n->first; c; c = c->next) {
		const char *why = c->type == HR_NODE_SCALAR ? NULL : "expected a number";
		int64_t v = 0;

		hr_path_key(&x->path, c->key);
		if (!why)
			why = hr_scalar_int(c, 1, 65535, &v);
		if (why)
			hr_dec_say(x, HR_SEV_ERROR, c->pos, "bad-value", "%s, 1 to 65535", why);
		else
			w->ports.data[w->ports.len++] = (struct hr_named_port){
				hr_arena_strdup(x->arena, c->key), (uint32_t)v};
		hr_path_cut(&x->path, mark);
	}
}

static void workload_entry_init(void *obj)
{
	((struct hr_workload_entry *)obj)->weight = -1;
}

static const struct hr_field workload_entry_fields[] = {
	HR_ROW("address", STRING, CONTROL, .flags = HR_F_REQUIRED,
	       .check = hr_check_workload_address, HR_AT(struct hr_workload_entry, address)),
	HR_ROW("ports", STRING_MAP, CONTROL, .set = set_ports_map, HR_NOWHERE),
	HR_ROW("labels", STRING_MAP, CONTROL, HR_AT(struct hr_workload_entry, labels)),
	HR_ROW("network", STRING, NOT_BUILT,
	       .why = "endpoints behind the gateway of another network",
	       HR_AT(struct hr_workload_entry, network)),
	HR_ROW("locality", STRING, CONTROL, .check = hr_check_locality,
	       HR_AT(struct hr_workload_entry, locality)),
	HR_ROW("weight", INT, KERNEL, .min = 0, .max = UINT32_MAX, .flags = HR_F_ZERO_UNSET,
	       HR_AT(struct hr_workload_entry, weight)),
	HR_ROW("serviceAccount", STRING, CONTROL, .why = "kept for identity",
	       .check = hr_check_dns_name, HR_AT(struct hr_workload_entry, service_account)),
	HR_END};
const struct hr_message hr_msg_workload_entry = {.name = "WorkloadEntry",
						 .fields = workload_entry_fields,
						 .size = sizeof(struct hr_workload_entry),
						 .init = workload_entry_init,
						 HR_POS(struct hr_workload_entry)};
static const struct hr_field workload_top[] = {
	HR_TOP_ROWS(hr_msg_meta), HR_SPEC_ROW(hr_msg_workload_entry), HR_STATUS_ROW, HR_END};
const struct hr_message hr_msg_workload_entry_object = {.name = "WorkloadEntry object",
							.fields = workload_top,
							.size = sizeof(struct hr_workload_entry),
							.init = workload_entry_init};

/* ---- ServiceEntry ---- */

static const char *const protocols[] = {"HTTP", "HTTPS", "HTTP2",	"GRPC",	     "GRPC-WEB",
					"TCP",	"TLS",	 "MONGO",	"MYSQL",     "REDIS",
					"UDP",	"HBONE", "DOUBLEHBONE", "HTTP_PROXY"};

static void check_protocol(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	_cleanup_free_ char *upper = strdup(v);
	const char *near;

	for (size_t i = 0; i < HR_ARRAY_SIZE(protocols); i++)
		if (!strcasecmp(protocols[i], v))
			return;
	for (char *c = upper; c && *c; c++)
		*c = (char)(*c >= 'a' && *c <= 'z' ? *c & ~0x20 : *c);
	near = upper ? hr_nearest(upper, protocols, HR_ARRAY_SIZE(protocols)) : NULL;
	if (near)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value",
			   "unknown protocol \"%.80s\"; did you mean \"%s\"?", v, near);
	else
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value", "unknown protocol \"%.80s\"", v);
}

static void port_init(void *obj)
{
	((struct hr_port *)obj)->name = "";
}

static const struct hr_field port_fields[] = {
	HR_ROW("number", INT, CONTROL, .flags = HR_F_REQUIRED, .min = 1, .max = 65535,
	       HR_AT(struct hr_port, number)),
	HR_ROW("protocol", STRING, CONTROL, .check = check_protocol,
	       HR_AT(struct hr_port, protocol)),
	HR_ROW("name", STRING, CONTROL, .flags = HR_F_REQUIRED, .check = hr_check_nonempty,
	       HR_AT(struct hr_port, name)),
	HR_ROW("targetPort", INT, CONTROL, .min = 1, .max = 65535,
	       HR_AT(struct hr_port, target_port)),
	HR_END};
static const struct hr_message port = {.name = "ServicePort",
				       .fields = port_fields,
				       .size = sizeof(struct hr_port),
				       .init = port_init,
				       HR_POS(struct hr_port)};

static const struct hr_word location_words[] = {{"MESH_EXTERNAL", 1, HR_ST_CONTROL, NULL},
						{"MESH_INTERNAL", 0, HR_ST_CONTROL, NULL},
						{NULL, 0, 0, NULL}};
#define NONE_WHY "connecting where the client asked"

static const struct hr_word resolution_words[] = {
	{"NONE", HR_RES_NONE, HR_ST_NOT_BUILT, NONE_WHY},
	{"STATIC", HR_RES_STATIC, HR_ST_CONTROL, NULL},
	{"DNS", HR_RES_DNS, HR_ST_NOT_BUILT, "resolving endpoints by DNS"},
	{"DNS_ROUND_ROBIN", HR_RES_DNS_ROUND_ROBIN, HR_ST_NOT_BUILT, "resolving endpoints by DNS"},
	{"DYNAMIC_DNS", HR_RES_DNS, HR_ST_NOT_BUILT, "resolving endpoints by DNS"},
	{NULL, 0, 0, NULL}};

static void check_entry_host(struct hr_dec *x, const struct hr_ynode *n, const char *v)
{
	if (hr_streq(v, "*"))
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value", "a ServiceEntry cannot be \"*\"");
	else if (*v == '*')
		hr_dec_not_built(x, n->pos, v, "wildcard hosts of a ServiceEntry");
	hr_check_host(x, n, v);
}

/* Only DNS resolution can use a name as the address of an endpoint. */
static void check_addresses(struct hr_dec *x, const struct hr_service_entry *se)
{
	for (size_t i = 0; i < se->endpoints.len; i++) {
		const struct hr_workload_entry *w = &se->endpoints.data[i];
		struct hr_addr a;

		if (se->resolution == HR_RES_STATIC && w->address &&
		    hr_addr_parse(w->address, &a) && !hr_starts(w->address, "unix://"))
			hr_dec_say_at(x, "endpoints", HR_SEV_ERROR, w->pos, "bad-value",
				      "\"%.80s\" is no address; names need resolution DNS",
				      w->address);
	}
}

static void service_entry_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	const struct hr_service_entry *se = obj;
	const struct hr_ynode *eps = hr_node_get(n, "endpoints");

	if (se->resolution == HR_RES_NONE && se->endpoints.len)
		hr_dec_say_at(x, "endpoints", HR_SEV_ERROR, eps->key_pos, "bad-value",
			      "endpoints need resolution STATIC or DNS");
	else if (hr_dec_absent(n, "resolution"))
		hr_dec_not_built(x, x->meta->pos, "resolution NONE, the default", NONE_WHY);
	if (se->resolution == HR_RES_STATIC && !se->endpoints.len && !se->workload_selector.len)
		hr_dec_missing(x, "endpoints",
			       "resolution STATIC needs endpoints or workloadSelector");
	check_addresses(x, se);
	for (size_t i = 0; i < se->ports.len; i++)
		for (size_t k = 0; k < i; k++) {
			const struct hr_port *a = &se->ports.data[k], *b = &se->ports.data[i];

			if ((a->number && a->number == b->number) || hr_streq(a->name, b->name))
				hr_dec_say_at(x, "ports", HR_SEV_ERROR, b->pos, "conflict",
					      "port number or name twice; first in line %u",
					      a->pos.line);
		}
}

static const struct hr_field selector_fields[] = {
	HR_ROW("labels", STRING_MAP, CONTROL, .flags = HR_F_REQUIRED,
	       HR_AT(struct hr_service_entry, workload_selector)),
	HR_END};
static const struct hr_message selector = {.name = "WorkloadSelector", .fields = selector_fields};
static const struct hr_field spec_fields[] = {
	HR_ROW("hosts", STRINGS, CONTROL, .max = HR_ITEMS_MAX, .flags = HR_F_REQUIRED | HR_F_LOWER,
	       .check = check_entry_host, HR_AT(struct hr_service_entry, hosts)),
	HR_ROW("addresses", STRINGS, CONTROL, .why = "blocks (CIDR) are not built yet: an error",
	       .check = hr_check_cidr_vip, HR_AT(struct hr_service_entry, addresses)),
	HR_ROW("ports", MESSAGES, CONTROL, .max = HR_ITEMS_MAX, .msg = &port,
	       HR_AT(struct hr_service_entry, ports)),
	HR_ROW("location", ENUM, CONTROL, .words = location_words,
	       HR_AT(struct hr_service_entry, mesh_external)),
	HR_ROW("resolution", ENUM, CONTROL, .words = resolution_words,
	       HR_AT(struct hr_service_entry, resolution)),
	HR_ROW("endpoints", MESSAGES, CONTROL, .oneof = 1, .msg = &hr_msg_workload_entry,
	       HR_AT(struct hr_service_entry, endpoints)),
	HR_ROW("workloadSelector", MESSAGE, CONTROL, .oneof = 1, .msg = &selector, .off = 0),
	HR_ROW("exportTo", STRINGS, CONTROL,
	       .why = "\"*\"; not built yet: \".\" (a warning) and namespaces (an error)",
	       .check = hr_check_export_to, HR_AT(struct hr_service_entry, export_to)),
	HR_ROW("subjectAltNames", STRINGS, NOT_BUILT, .why = "TLS to the server", HR_NOWHERE),
	HR_END};
static const struct hr_message spec = {
	.name = "ServiceEntry", .fields = spec_fields, .check = service_entry_check};
static const struct hr_field top_fields[] = {HR_TOP_ROWS(hr_msg_meta), HR_SPEC_ROW(spec),
					     HR_STATUS_ROW, HR_END};

static void top_init(void *obj)
{
	((struct hr_service_entry *)obj)->mesh_external = true;
}

static void top_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	struct hr_service_entry *se = obj;

	(void)n;
	hr_same_node_check_ports(x, &se->meta, &se->ports);
}

const struct hr_message hr_msg_service_entry = {.name = "ServiceEntry object",
						.fields = top_fields,
						.size = sizeof(struct hr_service_entry),
						.check = top_check,
						.init = top_init};
