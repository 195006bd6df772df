// SPDX-License-Identifier: Apache-2.0
/* Rows of metadata (meta/v1 ObjectMeta), once for namespaced and once for cluster-scoped kinds. */
#include "model/same_node.h"
#include "model/schema_int.h"

static void read_map(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
		     void *obj, void (*check)(struct hr_dec *x, const struct hr_ynode *n))
{
	hr_kvs *to = (hr_kvs *)((char *)obj + f->off);
	size_t mark = x->path.len;

	if (!hr_dec_is(x, n, HR_NODE_MAP))
		return;
	to->data = hr_dec_list(x, n->count, sizeof(*to->data));
	for (const struct hr_ynode *c = n->first; c; c = c->next) {
		const char *v;

		hr_path_key(&x->path, c->key);
		check(x, c);
		v = hr_node_is_null(c) ? "" : hr_dec_string(x, f, c);
		if (v)
			to->data[to->len++] =
				(struct hr_kv){hr_arena_strdup(x->arena, c->key), v, c->pos};
		hr_path_cut(&x->path, mark);
	}
}

static void set_labels(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
		       void *obj)
{
	read_map(x, f, n, obj, hr_check_label);
}

static void set_annotations(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			    void *obj)
{
	read_map(x, f, n, obj, hr_same_node_check);
}

/* What the API server keeps there; `kubectl get -o yaml` prints it all. */
#define META_ROWS                                                                             \
	HR_ROW("name", STRING, CONTROL, .flags = HR_F_REQUIRED, .check = hr_check_dns_name,   \
	       HR_AT(struct hr_meta, name)),                                                  \
		HR_ROW("labels", STRING_MAP, CONTROL, .set = set_labels,                      \
		       HR_AT(struct hr_meta, labels)),                                        \
		HR_ROW("annotations", STRING_MAP, CONTROL, .flags = HR_F_LONG,                \
		       .why = "`headrace.io/same-node` of a Service or ServiceEntry: `off`, " \
			      "`tcp`, `tcp=PORT,...`; of a Pod: `off`",                       \
		       .set = set_annotations, HR_AT(struct hr_meta, annotations)),           \
		HR_ROW("creationTimestamp", TIME, CONTROL,                                    \
		       .why = "the oldest of two that claim a host wins",                     \
		       HR_AT(struct hr_meta, created_ms)),                                    \
		HR_FOREIGN("uid"), HR_FOREIGN("resourceVersion"), HR_FOREIGN("generation"),   \
		HR_FOREIGN("managedFields"), HR_FOREIGN("selfLink"),                          \
		HR_FOREIGN("ownerReferences"), HR_FOREIGN("finalizers"),                      \
		HR_FOREIGN("generateName"), HR_FOREIGN("deletionTimestamp"),                  \
		HR_FOREIGN("deletionGracePeriodSeconds"), HR_FOREIGN("clusterName")
#define NAMESPACE_ROW \
	HR_ROW("namespace", STRING, CONTROL, .check = hr_check_dns_label, HR_AT(struct hr_meta, ns))

static const struct hr_field namespaced[] = {META_ROWS, NAMESPACE_ROW, HR_END};
static const struct hr_field cluster_scoped[] = {META_ROWS, HR_END};

const struct hr_message hr_msg_meta = {.name = "metadata", .fields = namespaced};
const struct hr_message hr_msg_cluster_meta = {.name = "metadata", .fields = cluster_scoped};
/* of Kubernetes' own large kinds: what is not listed is none of ours */
const struct hr_message hr_msg_open_meta = {.name = "metadata", .fields = namespaced, .open = true};
const struct hr_message hr_msg_open_cluster_meta = {
	.name = "metadata", .fields = cluster_scoped, .open = true};
