// SPDX-License-Identifier: Apache-2.0
/* The tree reader: libyaml events onto an explicit stack that is as deep as configuration may be.
 */
#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "core/cleanup.h"
#include "core/map.h"
#include "model/tree.h"

/* From this many keys on, a mapping looks for duplicates in a hash map. */
#define HASH_KEYS_FROM 24

struct frame {
	struct hr_ynode *node;
	struct hr_map *keys; /* large mappings only */
	const char *key;     /* MAP: key read, value awaited */
	struct hr_pos key_pos;
	bool drop; /* the awaited value belongs to a duplicate key */
};

struct reader {
	const char *file;
	const char *bytes;
	size_t size;
	struct hr_diags *diags;
	struct hr_arena *arena; /* of the document */
	struct hr_ynode *root;
	struct frame stack[HR_DEPTH_MAX];
	size_t depth, nodes, docs;
};

static struct hr_pos mark_pos(const struct reader *r, const yaml_mark_t *m)
{
	return (struct hr_pos){r->file, (uint32_t)m->line + 1, (uint32_t)m->column + 1};
}

static int refuse(struct reader *r, struct hr_pos pos, const char *code, const char *message)
{
	_cleanup_sb_ struct hr_strbuf path = {};

	for (size_t i = 0; i < r->depth; i++) {
		const struct frame *f = &r->stack[i];

		if (f->node->type == HR_NODE_SEQ)
			hr_path_index(&path, f->node->count);
		else if (f->key)
			hr_path_key(&path, f->key);
	}
	hr_diag_add(r->diags, HR_SEV_ERROR, pos, code, NULL, hr_sb_str(&path), "%s", message);
	return -EINVAL;
}

static const struct hr_ynode *find_key(const struct frame *f, const char *key)
{
	if (f->keys)
		return hr_map_gets(f->keys, key);
	return hr_node_get(f->node, key);
}

/* Hangs a node below the open one, or makes it the root. */
static void attach(struct reader *r, struct hr_ynode *n)
{
	struct frame *f;
	struct hr_ynode *p;

	if (!r->depth) {
		r->root = n;
		return;
	}
	f = &r->stack[r->depth - 1];
	p = f->node;
	if (p->type == HR_NODE_MAP) {
		n->key = TAKE_PTR(f->key);
		n->key_pos = f->key_pos;
		if (f->drop)
			return;
		if (!f->keys && p->count >= HASH_KEYS_FROM) {
			f->keys = hr_map_new();
			for (struct hr_ynode *c = p->first; c; c = c->next)
				hr_map_puts(f->keys, c->key, c);
		}
		if (f->keys)
			hr_map_puts(f->keys, n->key, n);
	}
	if (p->last)
		p->last->next = n;
	else
		p->first = n;
	p->last = n;
	p->count++;
}

static void take_key(struct reader *r, const struct hr_ynode *n)
{
	struct frame *f = &r->stack[r->depth - 1];
	const struct hr_ynode *old = find_key(f, n->value);

	f->key = n->value;
	f->key_pos = n->pos;
	f->drop = false;
	if (n->plain && hr_streq(n->value, "<<")) {
		refuse(r, n->pos, "syntax", "merge keys (<<) are not allowed");
		f->drop = true;
	} else if (old) {
		_cleanup_sb_ struct hr_strbuf m = {};

		hr_sb_printf(&m, "duplicate key \"%.80s\"; it is already set in line %u", n->value,
			     old->key_pos.line);
		refuse(r, n->pos, "duplicate-key", hr_sb_str(&m));
		f->drop = true;
	}
}

static bool wants_key(const struct reader *r)
{
	const struct frame *f = r->depth ? &r->stack[r->depth - 1] : NULL;

	return f && f->node->type == HR_NODE_MAP && !f->key;
}

/* Anchors and tags change what a reader of the file sees: both are refused, the node is kept. */
static void check_properties(struct reader *r, struct hr_pos pos, const yaml_char_t *anchor,
			     const yaml_char_t *tag)
{
	static const char std[] = "tag:yaml.org,2002:";
	_cleanup_sb_ struct hr_strbuf m = {};

	if (anchor) {
		hr_sb_printf(&m, "anchors and aliases are not allowed (&%.80s)",
			     (const char *)anchor);
		refuse(r, pos, "syntax", hr_sb_str(&m));
	} else if (tag) {
		const char *t = (const char *)tag;
		bool is_std = hr_starts(t, std);

		hr_sb_printf(&m, "tags are not allowed (%s%.80s)", is_std ? "!!" : "",
			     is_std ? t + sizeof(std) - 1 : t);
		refuse(r, pos, "syntax", hr_sb_str(&m));
	}
}

static struct hr_ynode *new_node(struct reader *r, const yaml_event_t *e, enum hr_node_type type)
{
	struct hr_ynode *n;

	if (++r->nodes > HR_NODES_MAX) {
		refuse(r, mark_pos(r, &e->start_mark), "limit", "too many values in one document");
		return NULL;
	}
	n = hr_arena_new0(r->arena, struct hr_ynode);
	n->type = type;
	n->pos = mark_pos(r, &e->start_mark);
	return n;
}

static int on_scalar(struct reader *r, const yaml_event_t *e)
{
	const char *v = (const char *)e->data.scalar.value;
	size_t len = e->data.scalar.length;
	bool is_key = wants_key(r);
	struct hr_ynode *n = new_node(r, e, HR_NODE_SCALAR);

	if (!n)
		return -EINVAL;
	check_properties(r, n->pos, e->data.scalar.anchor, e->data.scalar.tag);
	if (len > (is_key ? HR_SCALAR_MAX : HR_BODY_SCALAR_MAX))
		return refuse(r, n->pos, "limit", "value is too long");
	if (memchr(v, 0, len)) {
		refuse(r, n->pos, "bad-value", "NUL (\\0) is not allowed in a string");
		len = strlen(v);
	}
	n->value = hr_arena_strndup(r->arena, v, len);
	n->len = len;
	n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	if (is_key)
		take_key(r, n);
	else
		attach(r, n);
	return 0;
}

static int on_open(struct reader *r, const yaml_event_t *e)
{
	bool map = e->type == YAML_MAPPING_START_EVENT;
	struct hr_pos pos = mark_pos(r, &e->start_mark);
	struct hr_ynode *n;

	if (r->depth == HR_DEPTH_MAX)
		return refuse(r, pos, "limit", "nested too deeply");
	if (wants_key(r))
		return refuse(r, pos, "syntax", "a mapping key must be a word, not a collection");
	n = new_node(r, e, map ? HR_NODE_MAP : HR_NODE_SEQ);
	if (!n)
		return -EINVAL;
	check_properties(r, pos, map ? e->data.mapping_start.anchor : e->data.sequence_start.anchor,
			 map ? e->data.mapping_start.tag : e->data.sequence_start.tag);
	r->stack[r->depth++] = (struct frame){.node = n};
	return 0;
}

static void on_close(struct reader *r)
{
	struct frame *f = &r->stack[--r->depth];

	hr_map_free(f->keys);
	attach(r, f->node);
}

static int on_alias(struct reader *r, const yaml_event_t *e)
{
	_cleanup_sb_ struct hr_strbuf m = {};
	struct hr_pos pos = mark_pos(r, &e->start_mark);
	struct hr_ynode *n;

	hr_sb_printf(&m, "anchors and aliases are not allowed (*%.80s)",
		     (const char *)e->data.alias.anchor);
	refuse(r, pos, "syntax", hr_sb_str(&m));
	if (wants_key(r))
		return -EINVAL;
	/* stands for nothing: the rest of the document is still read for its own mistakes */
	n = new_node(r, e, HR_NODE_SCALAR);
	if (!n)
		return -EINVAL;
	n->value = "";
	n->plain = true;
	attach(r, n);
	return 0;
}

/* Is there a tab at this line and (ASCII) column of the text? */
static bool tab_at(const struct reader *r, size_t line, size_t col)
{
	const char *p = r->bytes, *end = r->bytes + r->size;

	while (p && line--) {
		p = memchr(p, '\n', (size_t)(end - p));
		p = p ? p + 1 : NULL;
	}
	return p && col < (size_t)(end - p) && p[col] == '\t';
}

static int syntax_error(struct reader *r, const yaml_parser_t *p)
{
	struct hr_pos pos = mark_pos(r, &p->problem_mark);
	const char *problem = p->problem ? p->problem : "not YAML";

	if (p->error == YAML_SCANNER_ERROR &&
	    tab_at(r, p->problem_mark.line, p->problem_mark.column))
		problem = "a tab cannot be used for indentation; YAML wants spaces";
	if (p->context && p->context_mark.line != p->problem_mark.line)
		hr_diag_add(r->diags, HR_SEV_ERROR, pos, "syntax", NULL, "",
			    "%s (%s from line %zu)", problem, p->context, p->context_mark.line + 1);
	else
		hr_diag_add(r->diags, HR_SEV_ERROR, pos, "syntax", NULL, "", "%s", problem);
	return -EINVAL;
}

static int on_event(struct reader *r, const yaml_event_t *e,
		    int (*doc)(void *ctx, const struct hr_ynode *root), void *ctx)
{
	int ret = 0;

	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++r->docs > HR_DOCS_MAX)
			return refuse(r, mark_pos(r, &e->start_mark), "limit",
				      "too many documents in one file");
		r->arena = hr_arena_new();
		r->root = NULL;
		r->nodes = 0;
		break;
	case YAML_DOCUMENT_END_EVENT:
		if (r->root && !hr_node_is_null(r->root))
			ret = doc(ctx, r->root);
		hr_arena_free(TAKE_PTR(r->arena));
		break;
	case YAML_SCALAR_EVENT:
		return on_scalar(r, e);
	case YAML_ALIAS_EVENT:
		return on_alias(r, e);
	case YAML_MAPPING_START_EVENT:
	case YAML_SEQUENCE_START_EVENT:
		return on_open(r, e);
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		on_close(r);
		break;
	default:
		break;
	}
	return ret;
}

int hr_tree_read(const char *file, const char *bytes, size_t n, struct hr_diags *diags,
		 int (*doc)(void *ctx, const struct hr_ynode *root), void *ctx)
{
	struct reader r = {.file = file, .diags = diags};
	yaml_parser_t p;
	bool end = false;
	size_t start;
	int ret;

	ret = hr_text_check(file, bytes, n, diags, &start);
	if (ret)
		return ret;
	r.bytes = bytes + start;
	r.size = n - start;
	if (!yaml_parser_initialize(&p))
		return -ENOMEM;
	yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&p, (const unsigned char *)r.bytes, r.size);
	while (!ret && !end) {
		yaml_event_t e;

		if (!yaml_parser_parse(&p, &e)) {
			ret = syntax_error(&r, &p);
			break;
		}
		end = e.type == YAML_STREAM_END_EVENT;
		ret = on_event(&r, &e, doc, ctx);
		yaml_event_delete(&e);
	}
	while (r.depth)
		hr_map_free(r.stack[--r.depth].keys);
	hr_arena_free(r.arena);
	yaml_parser_delete(&p);
	return ret;
}

const struct hr_ynode *hr_node_get(const struct hr_ynode *map, const char *key)
{
	if (!map || map->type != HR_NODE_MAP)
		return NULL;
	for (const struct hr_ynode *c = map->first; c; c = c->next)
		if (hr_streq(c->key, key))
			return c;
	return NULL;
}

bool hr_node_is_null(const struct hr_ynode *n)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};

	if (n->type != HR_NODE_SCALAR || !n->plain)
		return false;
	for (size_t i = 0; i < HR_ARRAY_SIZE(words); i++)
		if (hr_streq(n->value, words[i]))
			return true;
	return false;
}

void hr_path_key(struct hr_strbuf *path, const char *key)
{
	bool word = *key;

	for (const char *c = key; *c; c++)
		word = word && (*c == '-' || *c == '_' || (*c >= '0' && *c <= '9') ||
				(*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z'));
	if (word)
		hr_sb_printf(path, "%s%s", path->len ? "." : "", key);
	else
		hr_sb_printf(path, "[\"%.128s\"]", key);
}

void hr_path_index(struct hr_strbuf *path, size_t index)
{
	hr_sb_printf(path, "[%zu]", index);
}

void hr_path_cut(struct hr_strbuf *path, size_t len)
{
	if (!path->data)
		return;
	path->len = len;
	path->data[len] = 0;
}
