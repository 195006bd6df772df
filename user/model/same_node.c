// SPDX-License-Identifier: Apache-2.0
#include "model/same_node.h"

#include <string.h>

#define TCP_LIST "tcp="

const struct hr_kv *hr_same_node_kv(const struct hr_meta *m)
{
	for (size_t i = 0; i < m->annotations.len; i++)
		if (hr_streq(m->annotations.data[i].key, HR_SAME_NODE))
			return &m->annotations.data[i];
	return NULL;
}

/* The next of "a,b,c"; false at the end. */
static bool next_item(const char **at, struct hr_slice *item)
{
	if (!*at)
		return false;
	*item = (struct hr_slice){*at, strcspn(*at, ",")};
	*at = (*at)[item->n] ? *at + item->n + 1 : NULL;
	return true;
}

static bool is_port(struct hr_slice item, const struct hr_port *p)
{
	unsigned n = 0;

	if (p->name && *p->name && hr_slice_eq(item, hr_slice_of(p->name)))
		return true;
	for (size_t i = 0; i < item.n; i++) {
		if (item.p[i] < '0' || item.p[i] > '9' || n > 65535)
			return false;
		n = n * 10 + (unsigned)(item.p[i] - '0');
	}
	return item.n && n == p->number;
}

enum hr_same_node hr_same_node_of(const struct hr_meta *m, const struct hr_port *p, bool *named)
{
	const struct hr_kv *kv = hr_same_node_kv(m);
	struct hr_slice item;
	const char *at;

	*named = false;
	if (!kv)
		return HR_SAME_NODE_HTTP;
	if (hr_streq(kv->value, "off"))
		return HR_SAME_NODE_OFF;
	if (hr_streq(kv->value, "tcp"))
		return HR_SAME_NODE_TCP;
	if (!hr_starts(kv->value, TCP_LIST))
		return HR_SAME_NODE_HTTP;
	for (at = kv->value + strlen(TCP_LIST); next_item(&at, &item);)
		*named |= is_port(item, p);
	return *named ? HR_SAME_NODE_TCP : HR_SAME_NODE_HTTP;
}

bool hr_same_node_pod_off(const struct hr_meta *pod)
{
	const struct hr_kv *kv = hr_same_node_kv(pod);

	if (kv && hr_streq(kv->value, "off"))
		return true;
	for (size_t i = 0; i < pod->labels.len; i++)
		if (hr_streq(pod->labels.data[i].key, HR_SAME_NODE))
			return hr_streq(pod->labels.data[i].value, "off");
	return false;
}

/* A list of names or numbers of ports, none of them empty. */
static bool list_ok(const char *list)
{
	struct hr_slice item;

	while (next_item(&list, &item)) {
		if (!item.n || item.n > 63)
			return false;
		for (size_t i = 0; i < item.n; i++)
			if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-", item.p[i]))
				return false;
	}
	return true;
}

void hr_same_node_check(struct hr_dec *x, const struct hr_ynode *n)
{
	const char *v = n->type == HR_NODE_SCALAR && n->value ? n->value : "";

	if (!hr_streq(n->key, HR_SAME_NODE))
		return;
	if (!hr_streq(v, "off") && !hr_streq(v, "tcp") &&
	    !(hr_starts(v, TCP_LIST) && list_ok(v + strlen(TCP_LIST))))
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value",
			   "unknown value \"%.80s\"; known: \"off\", \"tcp\" (every port that is "
			   "not HTTP), \"tcp=PORT,...\" (names or numbers)",
			   v);
	else if (x->meta->kind == HR_KIND_POD && !hr_streq(v, "off"))
		hr_dec_say(x, HR_SEV_WARNING, n->pos, "no-effect",
			   "of a Pod it is \"off\"; which ports may skip TCP unread is said by the "
			   "annotation of their Service or ServiceEntry");
	else if (x->meta->kind != HR_KIND_POD && x->meta->kind != HR_KIND_SERVICE &&
		 x->meta->kind != HR_KIND_SERVICE_ENTRY)
		hr_dec_say(x, HR_SEV_WARNING, n->pos, "no-effect",
			   "only read of a Service, ServiceEntry or Pod; for another workload use "
			   "the label (off), or --same-node=off of attach and exec");
}

void hr_same_node_check_ports(struct hr_dec *x, const struct hr_meta *m, const hr_ports *ports)
{
	const struct hr_kv *kv = hr_same_node_kv(m);
	struct hr_slice item;
	const char *at;

	if (!kv || !hr_starts(kv->value, TCP_LIST))
		return;
	for (at = kv->value + strlen(TCP_LIST); next_item(&at, &item);) {
		bool found = false;

		for (size_t i = 0; i < ports->len; i++)
			found |= is_port(item, &ports->data[i]);
		if (!found)
			hr_diag_add(x->diags, HR_SEV_ERROR, kv->pos, "unknown-port", m,
				    "metadata.annotations[\"" HR_SAME_NODE "\"]",
				    "no port \"%.*s\" in spec.ports (neither name nor number)",
				    (int)item.n, item.p);
	}
}
