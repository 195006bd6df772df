/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML text -> trees with a position on every node. The bounds of limits.h hold while reading:
 * depth, nodes and documents of a file, size of a scalar. What YAML allows and configuration does
 * not need is refused with its place: anchors, aliases, tags, merge keys, duplicate keys.
 */
#pragma once

#include "model/decode.h"

enum hr_node_type { HR_NODE_SCALAR, HR_NODE_MAP, HR_NODE_SEQ };

struct hr_ynode {
	enum hr_node_type type;
	bool plain;	   /* scalar without quotes: may be a number, a boolean, null */
	struct hr_pos pos; /* of the value */
	const char *value; /* scalar: NUL-terminated, holds no other NUL */
	size_t len;
	/* children in order: items of a SEQ, values of a MAP */
	struct hr_ynode *first, *last, *next;
	size_t count;
	const char *key; /* as a value of a MAP */
	struct hr_pos key_pos;
};

/*
 * Calls `doc` for each document that is not empty; its tree lives until the call returns. A
 * problem becomes a diag (so `doc` can tell from diags->errors that a document is not clean) and
 * the rest of the text is still read where YAML's own syntax allows it. A non-zero value of `doc`
 * ends the reading. 0, -EINVAL when reading ended early, or what `doc` gave.
 */
int hr_tree_read(const char *file, const char *bytes, size_t n, struct hr_diags *diags,
		 int (*doc)(void *ctx, const struct hr_ynode *root), void *ctx);

/* Is the text UTF-8 without NUL and control characters? One diag and -EINVAL when not. A UTF-8
 * byte order mark is skipped: *start is the first byte after it. */
int hr_text_check(const char *file, const char *bytes, size_t n, struct hr_diags *diags,
		  size_t *start);

/* A child of a MAP by key, NULL when absent. */
const struct hr_ynode *hr_node_get(const struct hr_ynode *map, const char *key);
/* Plain null, "~" or nothing at all: as good as not written. */
bool hr_node_is_null(const struct hr_ynode *n);

/* Appends ".key" (or `["odd key"]`) and "[index]" to a field path. */
void hr_path_key(struct hr_strbuf *path, const char *key);
void hr_path_index(struct hr_strbuf *path, size_t index);
/* Cuts a path back to a length it had. */
void hr_path_cut(struct hr_strbuf *path, size_t len);

/* The tree as YAML again: block style, no comments, strings quoted as they were; the subtree
 * metadata.managedFields is left out. Appended to `out`. */
void hr_tree_emit(const struct hr_ynode *root, struct hr_strbuf *out);
