// SPDX-License-Identifier: Apache-2.0
/* Rows of Pod, Namespace and Node: the few fields that matter to a mesh. All others pass. */
#include "core/cleanup.h"
#include "core/net.h"
#include "model/schema_int.h"

/* containers[].ports[] of all containers, in one list. */
static void set_containers(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			   void *obj)
{
	struct hr_pod *p = obj;
	size_t total = 0;

	(void)f;
	if (!hr_dec_is(x, n, HR_NODE_SEQ))
		return;
	for (const struct hr_ynode *c = n->first; c; c = c->next) {
		const struct hr_ynode *ports = hr_node_get(c, "ports");

		total += ports ? ports->count : 0;
	}
	p->ports.data = hr_dec_list(x, total, sizeof(*p->ports.data));
	for (const struct hr_ynode *c = n->first; c; c = c->next) {
		const struct hr_ynode *ports = hr_node_get(c, "ports");

		if (!ports || ports->type != HR_NODE_SEQ)
			continue;
		for (const struct hr_ynode *q = ports->first; q; q = q->next) {
			const struct hr_ynode *name = hr_node_get(q, "name");
			const struct hr_ynode *num = hr_node_get(q, "containerPort");
			int64_t v;

			if (!num || num->type != HR_NODE_SCALAR ||
			    hr_scalar_int(num, 1, 65535, &v)) {
				hr_dec_say(x, HR_SEV_ERROR, num ? num->pos : q->pos, "bad-value",
					   "expected containerPort from 1 to 65535");
				continue;
			}
			p->ports.data[p->ports.len++] = (struct hr_named_port){
				name && name->type == HR_NODE_SCALAR
					? hr_arena_strdup(x->arena, name->value)
					: "",
				(uint32_t)v};
		}
	}
}

static const struct hr_field spec_fields[] = {
	HR_ROW("nodeName", STRING, CONTROL, HR_AT(struct hr_pod, node)),
	HR_ROW("serviceAccountName", STRING, CONTROL, HR_AT(struct hr_pod, service_account)),
	HR_ROW("hostNetwork", BOOL, CONTROL, HR_AT(struct hr_pod, host_network)),
	HR_ROW("containers", ANY, CONTROL, .why = "ports[].name and ports[].containerPort",
	       .set = set_containers, HR_NOWHERE),
	HR_END};
static const struct hr_message spec = {.name = "PodSpec", .fields = spec_fields, .open = true};

static void add_ip(struct hr_dec *x, struct hr_pod *p, const struct hr_ynode *n)
{
	struct hr_addr a;

	if (!n || n->type != HR_NODE_SCALAR || hr_node_is_null(n) || !n->len)
		return;
	if (hr_addr_parse(n->value, &a)) {
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value", "\"%.80s\" is no address",
			   n->value);
		return;
	}
	for (size_t i = 0; i < p->ips.len; i++)
		if (hr_addr_eq(&p->ips.data[i], &a))
			return;
	p->ips.data[p->ips.len++] = a;
}

/* The condition Ready decides; without conditions the phase; a file without status is a pod that
 * somebody wrote down because it runs. */
static bool pod_ready(const struct hr_ynode *status)
{
	const struct hr_ynode *conditions = hr_node_get(status, "conditions");
	const struct hr_ynode *phase = hr_node_get(status, "phase");
	bool running =
		!phase || (phase->type == HR_NODE_SCALAR && hr_streq(phase->value, "Running"));

	if (!conditions || conditions->type != HR_NODE_SEQ || !conditions->count)
		return running;
	for (const struct hr_ynode *c = conditions->first; c; c = c->next) {
		const struct hr_ynode *type = hr_node_get(c, "type");
		const struct hr_ynode *value = hr_node_get(c, "status");

		if (type && type->type == HR_NODE_SCALAR && hr_streq(type->value, "Ready"))
			return value && value->type == HR_NODE_SCALAR &&
			       hr_streq(value->value, "True") && running;
	}
	return false;
}

static void status_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	struct hr_pod *p = obj;
	const struct hr_ynode *list = hr_node_get(n, "podIPs");

	list = list && list->type == HR_NODE_SEQ ? list : NULL;
	p->ips.data = hr_dec_list(x, 1 + (list ? list->count : 0), sizeof(*p->ips.data));
	add_ip(x, p, hr_node_get(n, "podIP"));
	for (const struct hr_ynode *c = list ? list->first : NULL; c; c = c->next)
		add_ip(x, p, hr_node_get(c, "ip"));
	p->ready = pod_ready(n);
}

/* Read together by status_check: the answer needs several of them at once. */
#define STATUS(field, remark) HR_ROW(field, ANY, CONTROL, .why = remark, HR_NOWHERE)
static const struct hr_field status_fields[] = {
	STATUS("podIP", "address of the endpoint"), STATUS("podIPs", "addresses of the endpoint"),
	STATUS("phase", "Running: ready, when there are no conditions"),
	STATUS("conditions", "type Ready"), HR_END};
static const struct hr_message status = {
	.name = "PodStatus", .fields = status_fields, .check = status_check, .open = true};

static void pod_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	struct hr_pod *p = obj;
	const struct hr_ynode *meta = hr_node_get(n, "metadata");
	const struct hr_ynode *gone = meta ? hr_node_get(meta, "deletionTimestamp") : NULL;

	(void)x;
	p->terminating = gone && !hr_node_is_null(gone);
}

static void pod_init(void *obj)
{
	((struct hr_pod *)obj)->ready = true;
}

static const struct hr_field pod_top[] = {
	HR_TOP_ROWS(hr_msg_open_meta), HR_ROW("spec", MESSAGE, CONTROL, .msg = &spec, .off = 0),
	HR_ROW("status", MESSAGE, CONTROL, .msg = &status, .off = 0), HR_END};
const struct hr_message hr_msg_pod = {.name = "Pod object",
				      .fields = pod_top,
				      .size = sizeof(struct hr_pod),
				      .init = pod_init,
				      .check = pod_check};

static const struct hr_field cluster_top[] = {HR_TOP_ROWS(hr_msg_open_cluster_meta),
					      HR_FOREIGN("spec"), HR_STATUS_ROW, HR_END};
const struct hr_message hr_msg_namespace = {
	.name = "Namespace object", .fields = cluster_top, .size = sizeof(struct hr_namespace)};
const struct hr_message hr_msg_node = {
	.name = "Node object", .fields = cluster_top, .size = sizeof(struct hr_node)};
