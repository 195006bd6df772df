// SPDX-License-Identifier: Apache-2.0
// Files and applied objects -> one set. A file wins over an applied object of the same name.
#include "source/source.h"

#include <errno.h>
#include <string.h>

#include "core/cleanup.h"

static void decode_files(struct hr_decoder *d, const struct hr_texts *files)
{
	for (size_t i = 0; i < files->list.len; i++)
		hr_decode_text(d, files->list.data[i].file, files->list.data[i].bytes,
			       files->list.data[i].n);
}

#define EACH(list)                                        \
	for (size_t i = 0; i < (list).len && r == 0; i++) \
	r = fn(ctx, (const struct hr_meta *)(list).data[i])

/* Every typed object begins with its hr_meta. */
int hr_objects_each(const struct hr_objects *o, int (*fn)(void *ctx, const struct hr_meta *m),
		    void *ctx)
{
	int r = 0;

	EACH(o->virtual_services);
	EACH(o->destination_rules);
	EACH(o->service_entries);
	EACH(o->workload_entries);
	EACH(o->services);
	EACH(o->slices);
	EACH(o->pods);
	EACH(o->namespaces);
	EACH(o->nodes);
	return r;
}

static const char *key_of(struct hr_strbuf *sb, enum hr_kind k, const char *ns, const char *name)
{
	sb->len = 0;
	hr_sb_printf(sb, "%d/%s/%s", (int)k, ns, name);
	return sb->data;
}

struct owners {
	struct hr_map *map; /* key -> file name */
	struct hr_arena *arena;
	struct hr_strbuf key;
};

static int note_owner(void *ctx, const struct hr_meta *m)
{
	struct owners *o = ctx;

	hr_map_puts(o->map, key_of(&o->key, m->kind, m->ns, m->name),
		    hr_arena_strdup(o->arena, m->pos.file));
	return 0;
}

/* Which file defines what: a first pass over the files alone, its findings are said by the second.
 */
static void find_owners(struct owners *o, const struct hr_texts *files, unsigned flags)
{
	_cleanup_diags_ struct hr_diags *quiet = hr_diags_new();
	struct hr_decoder *d = hr_decoder_new(flags, quiet);
	struct hr_objects *set;

	decode_files(d, files);
	set = hr_decoder_finish(d);
	hr_objects_each(set, note_owner, o);
	hr_objects_free(set);
}

/* What is in the store was accepted once, perhaps with --lenient: it stays. */
void hr_decode_applied(struct hr_decoder *d, const struct hr_store_entry *e, unsigned flags)
{
	_cleanup_sb_ struct hr_strbuf name = {};

	hr_sb_printf(&name, "<applied>/%s/%s/%s", hr_kind_name(e->kind), e->ns, e->name);
	hr_decoder_flags(d, e->strict ? flags : flags | HR_DECODE_LENIENT);
	hr_decode_text(d, name.data, e->yaml, strlen(e->yaml));
}

static void decode_applied(struct hr_decoder *d, hr_store_entries applied, unsigned flags,
			   struct owners *o, struct hr_shadow *shadows, size_t *n_shadows)
{
	for (size_t i = 0; i < applied.len; i++) {
		const struct hr_store_entry *e = &applied.data[i];
		const char *file = hr_map_gets(o->map, key_of(&o->key, e->kind, e->ns, e->name));

		if (file) {
			shadows[(*n_shadows)++] = (struct hr_shadow){.entry = *e, .file = file};
			continue;
		}
		hr_decode_applied(d, e, flags);
	}
}

static void copy_shadows(struct hr_arena *a, const struct hr_shadow *from, size_t n,
			 hr_shadows *out)
{
	out->data = hr_arena_array(a, struct hr_shadow, n + 1);
	out->len = n;
	for (size_t i = 0; i < n; i++) {
		const struct hr_store_entry *e = &from[i].entry;

		out->data[i] = (struct hr_shadow){
			.entry = {.kind = e->kind,
				  .ns = hr_arena_strdup(a, e->ns),
				  .name = hr_arena_strdup(a, e->name)},
			.file = hr_arena_strdup(a, from[i].file),
		};
	}
}

struct hr_objects *hr_merge(const struct hr_texts *files, hr_store_entries applied, unsigned flags,
			    struct hr_diags *diags, hr_shadows *shadows)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	_cleanup_map_ struct hr_map *map = hr_map_new();
	struct owners owners = {.map = map, .arena = arena};
	struct hr_shadow *found = hr_arena_array(arena, struct hr_shadow, applied.len + 1);
	struct hr_decoder *d = hr_decoder_new(flags, diags);
	struct hr_objects *set;
	size_t n = 0;

	if (applied.len)
		find_owners(&owners, files, flags);
	decode_files(d, files);
	decode_applied(d, applied, flags, &owners, found, &n);
	hr_sb_free(&owners.key);
	set = hr_decoder_finish(d);
	if (diags->errors) {
		hr_objects_free(set);
		return NULL;
	}
	if (shadows)
		copy_shadows(set->arena, found, n, shadows);
	return set;
}
