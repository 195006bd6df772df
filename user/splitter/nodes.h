/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the room: trees that can be changed. Nodes live in the arena that made them. */
#pragma once

#include "core/arena.h"
#include "model/tree.h"

/* One document; `what` names it in the sentence of -EINVAL. */
int hr_nodes_read(struct hr_arena *a, const char *text, const char *what, struct hr_ynode **out,
		  struct hr_strbuf *why);
struct hr_ynode *hr_node_copy(struct hr_arena *a, const struct hr_ynode *n);

struct hr_ynode *hr_node_map(struct hr_arena *a);
struct hr_ynode *hr_node_seq(struct hr_arena *a);
/* Without quotes where a reader takes it for the same string. */
struct hr_ynode *hr_node_text(struct hr_arena *a, const char *s);
struct hr_ynode *hr_node_number(struct hr_arena *a, int64_t n);

struct hr_ynode *hr_node_at(struct hr_ynode *map, const char *key); /* NULL when absent */
const char *hr_node_string(const struct hr_ynode *map, const char *key);
/* Puts a value in the place of the key's old one, else at the end. */
void hr_node_set(struct hr_arena *a, struct hr_ynode *map, const char *key, struct hr_ynode *value);
void hr_node_drop(struct hr_ynode *parent, const struct hr_ynode *child);
void hr_node_append(struct hr_ynode *parent, struct hr_ynode *child);
void hr_node_prepend(struct hr_ynode *parent, struct hr_ynode *child);
/* The mapping under a key, made when it is absent or null. */
struct hr_ynode *hr_node_below(struct hr_arena *a, struct hr_ynode *map, const char *key);
/* Copies of `from`'s members into `map`. */
void hr_node_merge(struct hr_arena *a, struct hr_ynode *map, const struct hr_ynode *from);
