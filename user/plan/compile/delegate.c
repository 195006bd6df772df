// SPDX-License-Identifier: Apache-2.0
/*
 * Delegation: an http route of a VirtualService that names another one, which has no hosts itself,
 * is replaced by the routes of that one. Their conditions are those of both, and must lie within
 * the root's: a route with a conflict is left out, as Istio does. One level.
 *
 *	root      match /a        -> delegate x       x: match /a/b -> s1      merged: /a/b -> s1
 *	          match /c        -> s3                  match /d   -> s2               /c   -> s3
 *	                                                 (no match) -> s0      (/d conflicts; /a ->
 *s0)
 */
#include <string.h>

#include "core/cleanup.h"
#include "plan/compile/compile.h"

struct merge {
	struct hr_build *b;
	const struct hr_virtual_service *root;
	HR_VEC(struct hr_http_route) out;
};

static void say(struct merge *m, struct hr_pos pos, uint32_t index, const char *what,
		const struct hr_http_route *h)
{
	const char *ns = h->delegate_ns ? h->delegate_ns : m->root->meta.ns;

	hr_diag_add(m->b->diags, HR_SEV_WARNING, pos, "delegate", &m->root->meta,
		    hr_arena_printf(m->b->a, "spec.http[%u].delegate", index),
		    "VirtualService %s/%s %s", ns, h->delegate_name, what);
}

/* ---- conflicts ---- */

/* Does what the leaf accepts not lie within the root's? */
static bool strings_conflict(const struct hr_string_match *root, const struct hr_string_match *leaf)
{
	if (!root->type || !leaf->type)
		return false;
	if (root->type == HR_MATCH_EXACT)
		return leaf->type != HR_MATCH_EXACT || !hr_streq(root->value, leaf->value);
	if (root->type == HR_MATCH_PREFIX)
		return (leaf->type != HR_MATCH_EXACT && leaf->type != HR_MATCH_PREFIX) ||
		       !hr_starts(leaf->value, root->value);
	return true; /* also for equal regexes: nobody can tell which is the narrower one */
}

typedef HR_LIST(struct hr_header_match) named;

static const struct hr_header_match *find_named(const named *list, const char *name)
{
	for (size_t i = 0; i < list->len; i++)
		if (hr_streq(list->data[i].name, name))
			return &list->data[i];
	return NULL;
}

static bool named_conflict(const void *root, const void *leaf_list)
{
	const named *leaf = leaf_list;

	for (size_t i = 0; i < leaf->len; i++) {
		const struct hr_header_match *r = find_named(root, leaf->data[i].name);

		if (r && strings_conflict(&r->m, &leaf->data[i].m))
			return true;
	}
	return false;
}

static const char *label(const hr_kvs *kvs, const char *key)
{
	for (size_t i = 0; i < kvs->len; i++)
		if (hr_streq(kvs->data[i].key, key))
			return kvs->data[i].value;
	return NULL;
}

static bool labels_conflict(const hr_kvs *root, const hr_kvs *leaf)
{
	for (size_t i = 0; i < leaf->len; i++) {
		const char *v = label(root, leaf->data[i].key);

		if (v && !hr_streq(v, leaf->data[i].value))
			return true;
	}
	return false;
}

static bool gateways_conflict(const hr_strs *root, const hr_strs *leaf)
{
	for (size_t i = 0; root->len && i < leaf->len; i++) {
		bool found = false;

		for (size_t k = 0; k < root->len; k++)
			found = found || hr_streq(root->data[k], leaf->data[i]);
		if (!found)
			return true;
	}
	return false;
}

static bool conflict(const struct hr_http_match *root, const struct hr_http_match *leaf)
{
	return strings_conflict(&root->uri, &leaf->uri) ||
	       strings_conflict(&root->scheme, &leaf->scheme) ||
	       strings_conflict(&root->method, &leaf->method) ||
	       strings_conflict(&root->authority, &leaf->authority) ||
	       named_conflict(&root->headers, &leaf->headers) ||
	       named_conflict(&root->without_headers, &leaf->without_headers) ||
	       named_conflict(&root->query_params, &leaf->query_params) ||
	       root->ignore_uri_case != leaf->ignore_uri_case ||
	       (root->port && leaf->port && root->port != leaf->port) ||
	       (root->source_namespace &&
		!hr_streq(root->source_namespace, leaf->source_namespace)) ||
	       labels_conflict(&root->source_labels, &leaf->source_labels) ||
	       gateways_conflict(&root->gateways, &leaf->gateways);
}

/* ---- merging ---- */

static const char *joined_name(struct merge *m, const char *root, const char *leaf)
{
	if (!root || !leaf)
		return leaf ? leaf : root;
	return hr_arena_printf(m->b->a, "%s-%s", root, leaf);
}

/* The leaf's, and the root's of other names. */
static void unite_named(struct merge *m, void *leaf_list, const void *root_list)
{
	const named *root = root_list;
	named *leaf = leaf_list, all = {};

	all.data = hr_arena_array(m->b->a, struct hr_header_match, root->len + leaf->len + 1);
	for (size_t i = 0; i < leaf->len; i++)
		all.data[all.len++] = leaf->data[i];
	for (size_t i = 0; i < root->len; i++)
		if (!find_named(leaf, root->data[i].name))
			all.data[all.len++] = root->data[i];
	*leaf = all;
}

static void unite_labels(struct merge *m, hr_kvs *leaf, const hr_kvs *root)
{
	hr_kvs all = {};

	all.data = hr_arena_array(m->b->a, struct hr_kv, root->len + leaf->len + 1);
	for (size_t i = 0; i < leaf->len; i++)
		all.data[all.len++] = leaf->data[i];
	for (size_t i = 0; i < root->len; i++)
		if (!label(leaf, root->data[i].key))
			all.data[all.len++] = root->data[i];
	*leaf = all;
}

static struct hr_http_match merged_match(struct merge *m, const struct hr_http_match *root,
					 const struct hr_http_match *leaf)
{
	struct hr_http_match out = *leaf;

	out.name = joined_name(m, root->name, leaf->name);
	if (!out.uri.type)
		out.uri = root->uri;
	if (!out.scheme.type)
		out.scheme = root->scheme;
	if (!out.method.type)
		out.method = root->method;
	if (!out.authority.type)
		out.authority = root->authority;
	unite_named(m, &out.headers, &root->headers);
	unite_named(m, &out.without_headers, &root->without_headers);
	unite_named(m, &out.query_params, &root->query_params);
	unite_labels(m, &out.source_labels, &root->source_labels);
	if (!out.port)
		out.port = root->port;
	if (!out.source_namespace)
		out.source_namespace = root->source_namespace;
	if (!out.gateways.len)
		out.gateways = root->gateways;
	if (!out.stat_prefix)
		out.stat_prefix = root->stat_prefix;
	return out;
}

/* Every entry of the leaf with every one of the root that it lies in. false: one lies in none. */
static bool merge_matches(struct merge *m, const struct hr_http_route *root,
			  const struct hr_http_route *leaf, struct hr_http_route *out)
{
	if (!root->match.len)
		return true;
	if (!leaf->match.len) {
		out->match.data = root->match.data;
		out->match.len = root->match.len;
		return true;
	}
	out->match.len = 0;
	out->match.data =
		hr_arena_array(m->b->a, struct hr_http_match, root->match.len * leaf->match.len);
	for (size_t i = 0; i < leaf->match.len; i++) {
		size_t before = out->match.len;

		for (size_t k = 0; k < root->match.len; k++)
			if (!conflict(&root->match.data[k], &leaf->match.data[i]))
				out->match.data[out->match.len++] =
					merged_match(m, &root->match.data[k], &leaf->match.data[i]);
		if (out->match.len == before)
			return false;
	}
	return true;
}

static bool ops_set(const struct hr_headers *h)
{
	return h->request.set.len || h->request.add.len || h->request.remove.len ||
	       h->response.set.len || h->response.add.len || h->response.remove.len;
}

/* What the leaf does not say itself, the root says. */
static void inherit(struct hr_http_route *out, const struct hr_http_route *root)
{
	if (!out->rewrite.set && !out->redirect.set)
		out->rewrite = root->rewrite;
	if (out->timeout < 0)
		out->timeout = root->timeout;
	if (!out->retries.set)
		out->retries = root->retries;
	if (!out->fault.set)
		out->fault = root->fault;
	if (!out->cors.set)
		out->cors = root->cors;
	if (!out->mirrors.len) {
		out->mirrors.data = root->mirrors.data;
		out->mirrors.len = root->mirrors.len;
	}
	if (!ops_set(&out->headers))
		out->headers = root->headers;
}

/* Short names are those of the namespace in which they are written. */
static void resolve_hosts(struct merge *m, struct hr_http_route *h, const char *ns)
{
	struct hr_route_destination *d =
		hr_arena_array(m->b->a, struct hr_route_destination, h->route.len + 1);
	struct hr_mirror *mirrors = hr_arena_array(m->b->a, struct hr_mirror, h->mirrors.len + 1);

	for (size_t i = 0; i < h->route.len; i++) {
		d[i] = h->route.data[i];
		d[i].destination.host = hr_build_fqdn(m->b, d[i].destination.host, ns);
	}
	for (size_t i = 0; i < h->mirrors.len; i++) {
		mirrors[i] = h->mirrors.data[i];
		mirrors[i].destination.host = hr_build_fqdn(m->b, mirrors[i].destination.host, ns);
	}
	h->route.data = d;
	h->mirrors.data = mirrors;
}

static void add_leaf(struct merge *m, uint32_t index, const struct hr_http_route *root,
		     const struct hr_http_route *leaf, const char *ns)
{
	struct hr_http_route out = *leaf;

	if (leaf->delegate_name) {
		say(m, leaf->pos, index, "delegates itself: only one level is followed", root);
		return;
	}
	if (!merge_matches(m, root, leaf, &out)) {
		say(m, leaf->pos, index,
		    "has a route whose match does not lie within the delegating route's: it is "
		    "left out",
		    root);
		return;
	}
	resolve_hosts(m, &out, ns);
	inherit(&out, root);
	out.name = joined_name(m, root->name, leaf->name);
	hr_vec_push(&m->out, out);
}

static void follow(struct merge *m, uint32_t index, const struct hr_http_route *h)
{
	const char *ns = h->delegate_ns && *h->delegate_ns ? h->delegate_ns : m->root->meta.ns;
	const struct hr_virtual_service *leaf = hr_map_gets(
		m->b->delegates, hr_arena_printf(m->b->a, "%s/%s", ns, h->delegate_name));

	if (!leaf)
		return say(m, h->pos, index,
			   "is no delegate: there is none of this name without hosts; the route is "
			   "left out",
			   h);
	if (!hr_exported_to(leaf, m->root->meta.ns))
		return say(m, h->pos, index,
			   "is not exported to the delegating namespace; the route is left out", h);
	for (size_t i = 0; i < leaf->http.len; i++)
		add_leaf(m, index, h, &leaf->http.data[i], leaf->meta.ns);
}

const struct hr_virtual_service *hr_build_delegated(struct hr_build *b,
						    const struct hr_virtual_service *vs)
{
	struct merge m = {.b = b, .root = vs};
	struct hr_virtual_service *out;
	size_t delegating = 0;

	for (size_t i = 0; i < vs->http.len; i++)
		delegating += vs->http.data[i].delegate_name != NULL;
	if (!delegating)
		return vs;
	for (uint32_t i = 0; i < vs->http.len; i++) {
		if (vs->http.data[i].delegate_name)
			follow(&m, i, &vs->http.data[i]);
		else
			hr_vec_push(&m.out, vs->http.data[i]);
	}
	out = hr_arena_new0(b->a, struct hr_virtual_service);
	*out = *vs;
	out->http.len = m.out.len;
	out->http.data = hr_arena_array(b->a, struct hr_http_route, m.out.len + 1);
	if (m.out.len)
		memcpy(out->http.data, m.out.data, m.out.len * sizeof(*m.out.data));
	hr_vec_free(&m.out);
	return out;
}
