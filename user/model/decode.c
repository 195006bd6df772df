// SPDX-License-Identifier: Apache-2.0
/* Documents -> objects: which kind each is, its rows applied, duplicates found, the set closed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/vec.h"
#include "core/map.h"
#include "model/files.h"
#include "model/schema_int.h"

struct entry {
	enum hr_kind kind;
	struct hr_meta *meta; /* first member of the object */
};

struct hr_decoder {
	unsigned flags;
	struct hr_diags *diags;
	struct hr_arena *arena; /* of the set */
	struct hr_map *names;	/* "kind/ns/name" -> struct hr_meta * */
	HR_VEC(struct entry) entries;
	size_t clean_errors; /* diags->errors when the current document began */
	bool dirty;	     /* the reader of the current document had to say something */
};

struct hr_decoder *hr_decoder_into(struct hr_arena *arena, unsigned flags, struct hr_diags *diags)
{
	struct hr_decoder *d = calloc(1, sizeof(*d));

	if (!d)
		abort();
	d->flags = flags;
	d->diags = diags;
	d->arena = arena;
	d->names = hr_map_new();
	return d;
}

struct hr_decoder *hr_decoder_new(unsigned flags, struct hr_diags *diags)
{
	return hr_decoder_into(hr_arena_new(), flags, diags);
}

void hr_decoder_flags(struct hr_decoder *d, unsigned flags)
{
	d->flags = flags;
}

/* ---- what kind is it ---- */

struct head {
	const char *api_version, *kind; /* as written, or what the list says of its items */
	struct hr_pos api_pos, kind_pos;
	const char *group, *version;
	char group_buf[128];
};

static const char *scalar_of(const struct hr_ynode *map, const char *key, struct hr_pos *pos)
{
	const struct hr_ynode *n = hr_node_get(map, key);

	if (!n || n->type != HR_NODE_SCALAR || hr_node_is_null(n) || !n->len)
		return NULL;
	*pos = n->pos;
	return n->value;
}

static int say_missing(struct hr_decoder *d, const struct hr_ynode *n, const char *field)
{
	hr_diag_add(d->diags, HR_SEV_ERROR, n->pos, "missing", NULL, field,
		    "missing required field: this is no Kubernetes object");
	return -EINVAL;
}

/* 0, or -EINVAL (said). */
static int read_head(struct hr_decoder *d, const struct hr_ynode *n, const struct head *outer,
		     struct head *h)
{
	const char *slash;

	*h = (struct head){};
	if (n->type != HR_NODE_MAP) {
		hr_diag_add(d->diags, HR_SEV_ERROR, n->pos, "syntax", NULL, "",
			    "expected an object (apiVersion, kind, metadata ...)");
		return -EINVAL;
	}
	h->api_version = scalar_of(n, "apiVersion", &h->api_pos);
	h->kind = scalar_of(n, "kind", &h->kind_pos);
	if (outer && !h->api_version && !h->kind) {
		h->api_version = outer->api_version;
		h->kind = outer->kind;
		h->api_pos = h->kind_pos = n->pos;
	}
	if (!h->api_version)
		return say_missing(d, n, "apiVersion");
	if (!h->kind)
		return say_missing(d, n, "kind");
	slash = strchr(h->api_version, '/');
	if (slash && (size_t)(slash - h->api_version) < sizeof(h->group_buf))
		memcpy(h->group_buf, h->api_version, (size_t)(slash - h->api_version));
	else if (slash)
		memcpy(h->group_buf, h->api_version, sizeof(h->group_buf) - 1);
	h->group = h->group_buf;
	h->version = slash ? slash + 1 : h->api_version;
	return 0;
}

static bool group_known(const char *group)
{
	for (const struct hr_kind_row *r = hr_kind_rows; r->kind; r++)
		if (hr_streq(r->group, group))
			return true;
	for (const struct hr_other_kind *o = hr_other_kinds; o->name; o++)
		if (hr_streq(o->group, group))
			return true;
	return false;
}

/* `strict`: to be refused rather than skipped. */
static void skip(struct hr_decoder *d, const struct head *h, struct hr_pos pos, const char *why,
		 bool strict)
{

	hr_diag_add(d->diags, strict ? HR_SEV_ERROR : HR_SEV_NOTICE, pos, "skipped", NULL, "kind",
		    "%.64s (%.64s) %s: %s", h->kind, h->api_version, why,
		    strict ? "refused" : "skipped");
}

static void unknown_kind(struct hr_decoder *d, const struct head *h)
{
	_cleanup_sb_ struct hr_strbuf m = {};
	const char *words[64], *near;
	size_t k = 0;

	for (const struct hr_kind_row *r = hr_kind_rows; r->kind; r++)
		if (hr_streq(r->group, h->group) && k < HR_ARRAY_SIZE(words))
			words[k++] = r->name;
	for (const struct hr_other_kind *o = hr_other_kinds; o->name; o++)
		if (hr_streq(o->group, h->group) && o->status == HR_ST_NOT_BUILT &&
		    k < HR_ARRAY_SIZE(words))
			words[k++] = o->name;
	near = hr_nearest(h->kind, words, k);
	hr_sb_printf(&m, "unknown kind \"%.64s\" of %s; ", h->kind,
		     *h->group ? h->group : "the core group");
	if (near)
		hr_sb_printf(&m, "did you mean \"%s\"? ", near);
	hr_sb_add(&m, "Known:");
	for (size_t i = 0; i < k; i++)
		hr_sb_printf(&m, " %s", words[i]);
	hr_diag_add(d->diags, HR_SEV_ERROR, h->kind_pos, "unknown-kind", NULL, "kind", "%s",
		    m.data);
}

static bool version_known(struct hr_decoder *d, const struct head *h, const struct hr_kind_row *row)
{
	_cleanup_sb_ struct hr_strbuf m = {};

	for (size_t i = 0; i < 4 && row->versions[i]; i++) {
		if (hr_streq(row->versions[i], h->version))
			return true;
		hr_sb_printf(&m, " %s%s%s", row->group, *row->group ? "/" : "", row->versions[i]);
	}
	hr_diag_add(d->diags, HR_SEV_ERROR, h->api_pos, "unknown-version", NULL, "apiVersion",
		    "unknown version \"%.64s\" of %s; known:%s", h->version, row->name, m.data);
	return false;
}

/* Whose findings they are, also where the kind is none that is read. */
static void name_findings(struct hr_decoder *d, size_t from, const struct hr_ynode *n,
			  const struct head *h)
{
	const struct hr_ynode *m = hr_node_get(n, "metadata");
	struct hr_pos pos;

	for (size_t i = from; i < d->diags->list.len; i++) {
		struct hr_diag *f = &d->diags->list.data[i];

		f->kind = hr_arena_strdup(d->diags->arena, h->kind);
		f->ns = hr_arena_strdup(d->diags->arena,
					m ? scalar_of(m, "namespace", &pos) : NULL);
		f->name = hr_arena_strdup(d->diags->arena, m ? scalar_of(m, "name", &pos) : NULL);
	}
}

/* The row of the object's kind, NULL when it is none that is read (said). */
static const struct hr_kind_row *find_kind(struct hr_decoder *d, const struct head *h)
{
	for (const struct hr_kind_row *r = hr_kind_rows; r->kind; r++)
		if (hr_streq(r->name, h->kind) && hr_streq(r->group, h->group))
			return version_known(d, h, r) ? r : NULL;
	for (const struct hr_other_kind *o = hr_other_kinds; o->name; o++) {
		if (!hr_streq(o->name, h->kind) || !hr_streq(o->group, h->group))
			continue;
		if (o->status == HR_ST_NOT_BUILT)
			hr_diag_add(d->diags, HR_SEV_ERROR, h->kind_pos, "not-built", NULL, "kind",
				    "kind %s is not built yet", o->name);
		else
			skip(d, h, h->kind_pos, "has no effect here", false);
		return NULL;
	}
	if (!group_known(h->group))
		skip(d, h, h->api_pos, "is of a group that is not part of the mesh",
		     d->flags & HR_DECODE_STRICT);
	else
		unknown_kind(d, h);
	return NULL;
}

/* ---- one object ---- */

static void keep(struct hr_decoder *d, const struct hr_kind_row *row, struct hr_meta *meta)
{
	hr_vec_push(&d->entries, (struct entry){row->kind, meta});
}

/* False when the name is taken (said at the second place). */
static bool claim_name(struct hr_decoder *d, struct hr_meta *meta)
{
	_cleanup_sb_ struct hr_strbuf key = {};
	const struct hr_meta *old;

	hr_sb_printf(&key, "%d/%s/%s", meta->kind, meta->ns, meta->name);
	old = hr_map_gets(d->names, key.data);
	if (!old) {
		hr_map_puts(d->names, key.data, meta);
		return true;
	}
	hr_diag_add(d->diags, HR_SEV_ERROR, meta->pos, "conflict", meta, "metadata.name",
		    "%s %s%s%s is already defined in %s:%u", hr_kind_name(meta->kind), meta->ns,
		    *meta->ns ? "/" : "", meta->name, old->pos.file, old->pos.line);
	return false;
}

/* Before its rows are read, so that every finding can name the object. */
static void fill_meta(struct hr_decoder *d, const struct hr_ynode *n, const struct head *h,
		      const struct hr_kind_row *row, struct hr_meta *meta)
{
	const struct hr_ynode *m = hr_node_get(n, "metadata");
	struct hr_pos pos;

	meta->kind = row->kind;
	meta->api_version = hr_arena_strdup(d->arena, h->api_version);
	meta->pos = n->pos;
	meta->name = hr_arena_strdup(d->arena, m ? scalar_of(m, "name", &pos) : NULL);
	meta->ns = row->cluster_scoped ? NULL : m ? scalar_of(m, "namespace", &pos) : NULL;
	meta->ns = hr_arena_strdup(d->arena, meta->ns		   ? meta->ns
					     : row->cluster_scoped ? ""
								   : "default");
}

static void decode_object(struct hr_decoder *d, const struct hr_ynode *n, const struct head *h,
			  const struct hr_kind_row *row)
{
	size_t before = d->diags->errors;
	struct hr_meta *meta = hr_arena_alloc(d->arena, row->size);
	struct hr_dec x = {.arena = d->arena, .diags = d->diags, .flags = d->flags, .meta = meta};
	_cleanup_sb_ struct hr_strbuf yaml = {};

	if (row->msg->init)
		row->msg->init(meta);
	fill_meta(d, n, h, row, meta);
	hr_decode_message(&x, row->msg, n, meta);
	hr_sb_free(&x.path);
	if (d->diags->errors == before && meta->name && !claim_name(d, meta))
		return;
	if (d->diags->errors != before || d->dirty)
		return;
	hr_tree_emit(n, &yaml);
	meta->yaml = hr_arena_strndup(d->arena, yaml.data, yaml.len);
	keep(d, row, meta);
}

static int decode_any(struct hr_decoder *d, const struct hr_ynode *n, const struct head *outer);

/* kubectl's List, or what the API answers: VirtualServiceList, whose items need no kind. */
static int decode_list(struct hr_decoder *d, const struct hr_ynode *n, const struct head *h)
{
	const struct hr_ynode *items = hr_node_get(n, "items");
	_cleanup_free_ char *kind = strndup(h->kind, strlen(h->kind) - strlen("List"));
	struct head inner = {.api_version = h->api_version, .kind = kind};
	int ret = 0;

	if (!items || hr_node_is_null(items))
		return 0;
	if (items->type != HR_NODE_SEQ) {
		hr_diag_add(d->diags, HR_SEV_ERROR, items->pos, "bad-value", NULL, "items",
			    "expected a list");
		return 0;
	}
	for (const struct hr_ynode *c = items->first; c && !ret; c = c->next)
		ret = decode_any(d, c, *inner.kind ? &inner : NULL);
	return ret;
}

/* As deep as lists nest, which the tree reader bounds. */
static int decode_any(struct hr_decoder *d, const struct hr_ynode *n, const struct head *outer)
{
	const struct hr_kind_row *row;
	struct head h;
	size_t said;

	if (read_head(d, n, outer, &h))
		return 0;
	if (hr_ends(h.kind, "List") && hr_node_get(n, "items"))
		return decode_list(d, n, &h);
	said = d->diags->list.len;
	row = find_kind(d, &h);
	if (!row) {
		name_findings(d, said, n, &h);
		return 0;
	}
	if (d->entries.len == HR_OBJECTS_MAX) {
		hr_diag_add(d->diags, HR_SEV_ERROR, n->pos, "limit", NULL, "",
			    "more than %d objects", HR_OBJECTS_MAX);
		return -E2BIG;
	}
	decode_object(d, n, &h, row);
	return 0;
}

static int on_document(void *ctx, const struct hr_ynode *root)
{
	struct hr_decoder *d = ctx;
	int ret;

	d->dirty = d->diags->errors != d->clean_errors;
	ret = decode_any(d, root, NULL);
	d->clean_errors = d->diags->errors;
	return ret;
}

int hr_decode_text(struct hr_decoder *d, const char *file, const char *bytes, size_t n)
{
	struct hr_pos pos = {hr_arena_strdup(d->arena, file), 1, 1};

	if (!n) {
		hr_diag_add(d->diags, d->flags & HR_DECODE_RELOAD ? HR_SEV_ERROR : HR_SEV_WARNING,
			    pos, "empty", NULL, "", "the file is empty");
		return 0;
	}
	if (n > HR_FILE_MAX) {
		hr_diag_add(d->diags, HR_SEV_ERROR, pos, "limit", NULL, "",
			    "the file is larger than %d MiB", HR_FILE_MAX >> 20);
		return -EFBIG;
	}
	d->clean_errors = d->diags->errors;
	(void)hr_tree_read(pos.file, bytes, n, d->diags, on_document, d); /* said as diags */
	return 0;
}

int hr_decode_path(struct hr_decoder *d, const char *path)
{
	return hr_streq(path, "-") ? hr_decode_stdin(d, d->diags)
				   : hr_decode_file(d, d->diags, path, true);
}

/* ---- the set ---- */

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int c = (int)x->kind - (int)y->kind;

	c = c ? c : strcmp(x->meta->ns, y->meta->ns);
	return c ? c : strcmp(x->meta->name, y->meta->name);
}

static void add_pointer(void *list, void *obj)
{
	hr_object_list *l = list;

	l->data[l->len++] = obj;
}

static void reserve_list(struct hr_decoder *d, void *list, enum hr_kind kind, size_t extra)
{
	hr_object_list *l = list;
	size_t n = extra;

	for (size_t i = 0; i < d->entries.len; i++)
		n += d->entries.data[i].kind == kind;
	l->data = n ? hr_arena_array(d->arena, void *, n) : NULL;
}

/* Each subset of an Endpoints object is a slice that carries the object's own meta. An object
 * without subsets is an empty slice: it says that the service has no endpoint. */
static void add_endpoints(struct hr_objects *o, struct hr_endpoints_object *e)
{
	if (!e->subsets.len) {
		e->subsets.data = hr_arena_new0(o->arena, struct hr_endpoint_slice);
		e->subsets.len = 1;
	}
	for (size_t i = 0; i < e->subsets.len; i++) {
		struct hr_endpoint_slice *s = &e->subsets.data[i];

		s->meta = e->meta;
		s->service = e->meta.name;
		add_pointer(&o->slices, s);
	}
}

struct hr_objects *hr_decoder_finish(struct hr_decoder *d)
{
	struct hr_objects *o = hr_arena_new0(d->arena, struct hr_objects);
	size_t subsets = 0;

	o->arena = d->arena;
	o->total = d->entries.len;
	if (d->entries.len)
		qsort(d->entries.data, d->entries.len, sizeof(*d->entries.data), by_name);
	for (size_t i = 0; i < d->entries.len; i++)
		if (d->entries.data[i].kind == HR_KIND_ENDPOINTS)
			subsets += HR_MAX(((struct hr_endpoints_object *)d->entries.data[i].meta)
						  ->subsets.len,
					  (size_t)1);
	for (int k = HR_KIND_INVALID + 1; k < HR_KIND_MAX; k++)
		if (hr_list_of(o, k))
			reserve_list(d, hr_list_of(o, k), k,
				     k == HR_KIND_ENDPOINT_SLICE ? subsets : 0);
	for (size_t i = 0; i < d->entries.len; i++) {
		struct entry *e = &d->entries.data[i];

		if (e->kind == HR_KIND_ENDPOINTS)
			add_endpoints(o, (struct hr_endpoints_object *)e->meta);
		else
			add_pointer(hr_list_of(o, e->kind), e->meta);
	}
	hr_map_free(d->names);
	hr_vec_free(&d->entries);
	free(d);
	return o;
}
