// SPDX-License-Identifier: Apache-2.0
// Trees of YAML that can be changed: read, copied, put together, taken apart.
#include "splitter/nodes.h"

#include <errno.h>
#include <string.h>

#include "core/cleanup.h"
#include "model/scalar.h"

static struct hr_ynode *node(struct hr_arena *a, enum hr_node_type type)
{
	struct hr_ynode *n = hr_arena_new0(a, struct hr_ynode);

	n->type = type;
	return n;
}

struct hr_ynode *hr_node_map(struct hr_arena *a)
{
	return node(a, HR_NODE_MAP);
}

struct hr_ynode *hr_node_seq(struct hr_arena *a)
{
	return node(a, HR_NODE_SEQ);
}

/* Words that need no quotes in any place of a block. */
static bool is_plain(const struct hr_ynode *n)
{
	static const char chars[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-";
	struct hr_ynode probe = *n;

	probe.plain = true;
	return n->len && strspn(n->value, chars) == n->len && *n->value != '-' &&
	       *n->value != '.' && hr_scalar_kind(&probe) == HR_SCALAR_STRING;
}

struct hr_ynode *hr_node_text(struct hr_arena *a, const char *s)
{
	struct hr_ynode *n = node(a, HR_NODE_SCALAR);

	n->value = hr_arena_strdup(a, s);
	n->len = strlen(s);
	n->plain = is_plain(n);
	return n;
}

struct hr_ynode *hr_node_number(struct hr_arena *a, int64_t number)
{
	struct hr_ynode *n = node(a, HR_NODE_SCALAR);

	n->value = hr_arena_printf(a, "%lld", (long long)number);
	n->len = strlen(n->value);
	n->plain = true;
	return n;
}

struct hr_ynode *hr_node_copy(struct hr_arena *a, const struct hr_ynode *n)
{
	struct hr_ynode *out = node(a, n->type);

	out->plain = n->plain;
	if (n->type == HR_NODE_SCALAR) {
		out->value = hr_arena_strndup(a, n->value, n->len);
		out->len = n->len;
	}
	for (const struct hr_ynode *c = n->first; c; c = c->next) {
		struct hr_ynode *copy = hr_node_copy(a, c);

		copy->key = c->key ? hr_arena_strdup(a, c->key) : NULL;
		hr_node_append(out, copy);
	}
	return out;
}

struct reading {
	struct hr_arena *a;
	struct hr_ynode *root;
	size_t docs;
};

static int on_doc(void *ctx, const struct hr_ynode *root)
{
	struct reading *r = ctx;

	if (!r->docs++)
		r->root = hr_node_copy(r->a, root);
	return 0;
}

int hr_nodes_read(struct hr_arena *a, const char *text, const char *what, struct hr_ynode **out,
		  struct hr_strbuf *why)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	struct reading r = {.a = a};
	int e = hr_tree_read(what, text, strlen(text), diags, on_doc, &r);

	if (diags->errors) {
		hr_sb_printf(why, "%s: %s", what, diags->list.data[0].message);
		return -EINVAL;
	}
	if (e < 0 || r.docs != 1) {
		hr_sb_printf(why, "%s: one YAML or JSON value is needed", what);
		return -EINVAL;
	}
	*out = r.root;
	return 0;
}

struct hr_ynode *hr_node_at(struct hr_ynode *map, const char *key)
{
	return (struct hr_ynode *)hr_node_get(map, key);
}

const char *hr_node_string(const struct hr_ynode *map, const char *key)
{
	const struct hr_ynode *n = hr_node_get(map, key);

	return n && n->type == HR_NODE_SCALAR && !hr_node_is_null(n) ? n->value : NULL;
}

void hr_node_append(struct hr_ynode *parent, struct hr_ynode *child)
{
	child->next = NULL;
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
	parent->count++;
}

void hr_node_prepend(struct hr_ynode *parent, struct hr_ynode *child)
{
	child->next = parent->first;
	parent->first = child;
	if (!parent->last)
		parent->last = child;
	parent->count++;
}

void hr_node_drop(struct hr_ynode *parent, const struct hr_ynode *child)
{
	struct hr_ynode *before = NULL;

	for (struct hr_ynode *c = parent->first; c; before = c, c = c->next) {
		if (c != child)
			continue;
		if (before)
			before->next = c->next;
		else
			parent->first = c->next;
		if (parent->last == c)
			parent->last = before;
		parent->count--;
		return;
	}
}

void hr_node_set(struct hr_arena *a, struct hr_ynode *map, const char *key, struct hr_ynode *value)
{
	struct hr_ynode *before = NULL, *c = map->first;

	value->key = hr_arena_strdup(a, key);
	for (; c && !hr_streq(c->key, key); c = c->next)
		before = c;
	if (!c) {
		hr_node_append(map, value);
		return;
	}
	value->next = c->next;
	if (before)
		before->next = value;
	else
		map->first = value;
	if (map->last == c)
		map->last = value;
}

struct hr_ynode *hr_node_below(struct hr_arena *a, struct hr_ynode *map, const char *key)
{
	struct hr_ynode *n = hr_node_at(map, key);

	if (!n || hr_node_is_null(n)) {
		n = hr_node_map(a);
		hr_node_set(a, map, key, n);
	}
	return n;
}

void hr_node_merge(struct hr_arena *a, struct hr_ynode *map, const struct hr_ynode *from)
{
	for (const struct hr_ynode *c = from->first; c; c = c->next)
		hr_node_set(a, map, c->key, hr_node_copy(a, c));
}
