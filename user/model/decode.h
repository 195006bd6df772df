/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text -> objects. One pass over libyaml events builds a position-carrying tree (depth, size and
 * scalar bounded by limits.h; anchors and aliases refused); the schema table turns it into typed
 * objects and says everything that is wrong with them.
 */
#pragma once

#include "core/str.h"
#include "model/model.h"

enum hr_severity { HR_SEV_ERROR, HR_SEV_WARNING, HR_SEV_NOTICE };

/* One finding. Strings belong to the list's arena. `code` is a stable word such as
 * "unknown-field", "bad-value", "duplicate-key", "not-built", "missing", "syntax", "conflict". */
struct hr_diag {
	enum hr_severity severity;
	struct hr_pos pos;
	const char *code;
	const char *kind, *ns, *name; /* object, NULL outside of one */
	const char *field;	      /* "spec.http[0].rout", "" outside of one */
	const char *message;
};

struct hr_diags {
	struct hr_arena *arena;
	HR_LIST(struct hr_diag) list; /* in order of discovery */
	size_t cap;
	size_t errors, warnings;
};
struct hr_diags *hr_diags_new(void);
void hr_diags_free(struct hr_diags *d);
void hr_diags_freep(struct hr_diags **d);
#define _cleanup_diags_ _cleanup_(hr_diags_freep)
void hr_diag_add(struct hr_diags *d, enum hr_severity sev, struct hr_pos pos, const char *code,
		 const struct hr_meta *obj /* NULL */, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 7, 8)));
/* "FILE:LINE:COL: error: FIELD: message" (without "FIELD: " when field is "") */
void hr_diag_text(const struct hr_diag *d, struct hr_strbuf *out);

#define HR_DECODE_STRICT 0x01  /* unknown API groups are errors */
#define HR_DECODE_LENIENT 0x02 /* the slips that SEMANTICS.md names become warnings */
#define HR_DECODE_RELOAD 0x04  /* a 0-byte file is an error (editors truncate before they write) */
#define HR_DECODE_UNBUILT 0x08 /* fields that are not built yet: warning, object kept (tests) */

/*
 * Collects objects from several texts, then closes them into one set.
 *
 *	struct hr_decoder *d = hr_decoder_new(flags, diags);
 *	hr_decode_text(d, "a.yaml", bytes, n); hr_decode_path(d, "dir");
 *	struct hr_objects *set = hr_decoder_finish(d);   // frees d
 *
 * Every problem is a diag; a call gives 0 when it could read its input at all and -errno when not
 * (also said as a diag). Objects with errors are left out of the set. A name that occurs twice in
 * one kind is a "conflict" error at the second place.
 */
struct hr_decoder;
struct hr_decoder *hr_decoder_new(unsigned flags, struct hr_diags *diags);
/* The set becomes part of `arena`, which is somebody else's: hr_objects_free is not for it. */
struct hr_decoder *hr_decoder_into(struct hr_arena *arena, unsigned flags, struct hr_diags *diags);
/* For the texts that follow. */
void hr_decoder_flags(struct hr_decoder *d, unsigned flags);
int hr_decode_text(struct hr_decoder *d, const char *file, const char *bytes, size_t n);
/* A regular file, "-", or a directory (its *.yaml *.yml *.json, sorted, not recursive, no FIFOs or
 * devices). */
int hr_decode_path(struct hr_decoder *d, const char *path);
struct hr_objects *hr_decoder_finish(struct hr_decoder *d);
void hr_objects_free(struct hr_objects *o);

/* Checks between objects: hosts and subsets that nothing defines (with "did you mean"), duplicate
 * hosts, rules never reached, weights that do not sum to 100. Adds diags. */
void hr_validate_refs(const struct hr_objects *o, const char *cluster_domain,
		      struct hr_diags *diags);

/* Kind by kind, plural or short name, any case: "vs", "VirtualService", "destinationrules". */
enum hr_kind hr_kind_of(const char *word);
const char *hr_kind_name(enum hr_kind k); /* "VirtualService" */

/* Does it say who the endpoints of services are, and nothing else? */
bool hr_kind_is_endpoints(enum hr_kind k);

/* What an object is called. */
struct hr_object_key {
	enum hr_kind kind;
	const char *ns, *name;
};
/* NULL when the set does not hold it. Of an Endpoints object: its first slice. */
const struct hr_meta *hr_objects_find(const struct hr_objects *o, struct hr_object_key key);
/* Those of a kind in a namespace stand together: the index of the first one, and how many. */
size_t hr_objects_in_ns(const struct hr_objects *o, enum hr_kind k, const char *ns, size_t *n);
/*
 * A set like `from` without the objects called `gone` and with those of `put`, which may have the
 * names of `gone` and no other of `from`. The set itself lives in `arena` and is not for
 * hr_objects_free; objects stay where they are, its arena is that of `from`. EndpointSlices,
 * Endpoints, Pods and WorkloadEntries only.
 */
struct hr_objects *hr_objects_replace(struct hr_arena *arena, const struct hr_objects *from,
				      const struct hr_object_key *gone, size_t n_gone,
				      const struct hr_objects *put);

/* The object's own YAML as it was read, re-emitted without comments (for get and the store).
 * NULL when the set does not hold it. Arena of the set. */
const char *hr_object_yaml(const struct hr_objects *o, enum hr_kind k, const char *ns,
			   const char *name);

/* docs/FIELDS.md from the schema table. */
void hr_schema_markdown(struct hr_strbuf *out);
