/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where objects come from: the files and directories of `run -f`, and the store of applied
 * objects. Reading gives one merged set or nothing: a plan is made of everything that is valid, or
 * the last good one stays. Main thread.
 */
#pragma once

#include <jansson.h>

#include "core/loop.h"
#include "model/decode.h"

/* ---- texts: what was read, before it is understood ----------------------------------------- */

struct hr_text {
	const char *file; /* as the user named it, or DIR/NAME */
	const char *bytes;
	size_t n;
	uint64_t hash; /* of the bytes */
	/* What the file was when it was read; dev 0: not known, or it may have changed since within
	 * one tick of its clock. */
	struct hr_text_id {
		uint64_t dev, ino, size;
		int64_t mtime_ns, ctime_ns;
	} id;
};
struct hr_texts {
	struct hr_arena *arena;
	HR_LIST(struct hr_text) list; /* in the order of the paths, names of a directory sorted */
	size_t cap;
	uint64_t digest; /* of names and bytes */
};
/*
 * Reads regular files, directories (*.yaml *.yml *.json, not hidden, not recursive) and "-". What
 * cannot be read is an error in diags and the rest is read all the same. Free in every case.
 */
void hr_texts_read(struct hr_texts *t, const char *const *paths, size_t n, struct hr_diags *diags);
/* The same, without reading files that are still what they were in `was`: their bytes are copied.
 */
void hr_texts_reread(struct hr_texts *t, const char *const *paths, size_t n,
		     const struct hr_texts *was, struct hr_diags *diags);
/* From memory (the control socket); bytes are copied. */
void hr_texts_add(struct hr_texts *t, const char *file, const char *bytes, size_t n);
void hr_texts_free(struct hr_texts *t);
#define _cleanup_texts_ _cleanup_(hr_texts_free)

/* ---- store: objects that were applied ------------------------------------------------------ */

struct hr_store_entry {
	enum hr_kind kind;
	const char *ns, *name;
	const char *yaml; /* in a change: NULL deletes */
	bool strict;	  /* in a change: not as lenient as what is in the store already */
};
typedef HR_LIST(struct hr_store_entry) hr_store_entries;

struct hr_store;
/* Reads the directory (made when absent, 0700), one object a file. Files that are not the store's
 * own, and leftovers of a crash, are ignored. 0, or -errno and a sentence. */
int hr_store_open(struct hr_store **out, const char *dir, struct hr_strbuf *err);
void hr_store_free(struct hr_store *s);
/* What is in it, sorted; valid until the next commit. */
hr_store_entries hr_store_list(const struct hr_store *s);
const struct hr_store_entry *hr_store_find(const struct hr_store *s, enum hr_kind k, const char *ns,
					   const char *name);
/* Content after `changes`, without making them; lives in the arena. */
hr_store_entries hr_store_preview(const struct hr_store *s, struct hr_arena *arena,
				  const struct hr_store_entry *changes, size_t n);
/* Writes each changed file whole and in place of the old one. Stops at the first failure (said);
 * what was written stays. */
int hr_store_commit(struct hr_store *s, const struct hr_store_entry *changes, size_t n,
		    struct hr_strbuf *err);

/* ---- merge --------------------------------------------------------------------------------- */

/* An applied object that a file shadows. */
struct hr_shadow {
	struct hr_store_entry entry;
	const char *file; /* who wins */
};
typedef HR_LIST(struct hr_shadow) hr_shadows;

/* Files and applied objects as one set; files win. NULL when diags got an error. `shadows` (may be
 * NULL) lives in the set's arena. */
struct hr_objects *hr_merge(const struct hr_texts *files, hr_store_entries applied, unsigned flags,
			    struct hr_diags *diags, hr_shadows *shadows);

/* The text of an applied object, as the merge reads it. */
void hr_decode_applied(struct hr_decoder *d, const struct hr_store_entry *e, unsigned flags);

/* Every object of a set, kinds in the order of enum hr_kind. Stops when fn gives not 0. */
int hr_objects_each(const struct hr_objects *o, int (*fn)(void *ctx, const struct hr_meta *m),
		    void *ctx);

/* ---- watch --------------------------------------------------------------------------------- */

struct hr_dirwatch;
struct hr_dirwatch_opts {
	struct hr_loop *loop;
	const char *const *paths; /* kept by the caller */
	size_t n;
	unsigned debounce_ms; /* quiet time before `changed`; 0: 50 */
	void (*changed)(void *ctx);
	void *ctx;
};
/* inotify on what the paths name, through renames, replaced links and directories that come and
 * go. "-" is not watched. */
int hr_dirwatch_new(struct hr_dirwatch **out, const struct hr_dirwatch_opts *opts);
void hr_dirwatch_free(struct hr_dirwatch *w);

/* One YAML document as JSON, scalars typed by the core schema. NULL when it is none. */
json_t *hr_yaml_json(const char *yaml);
