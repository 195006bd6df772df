/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash map from byte strings to pointers. Keys are copied; values are the caller's. The hash is
 * seeded per process (keys may come from outside). Iteration order is insertion order, so that
 * what is built from a map is deterministic.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct hr_map;

struct hr_map *hr_map_new(void);
void hr_map_free(struct hr_map *m);
void hr_map_freep(struct hr_map **m);
/* NULL when absent. */
void *hr_map_get(const struct hr_map *m, const void *key, size_t len);
/* Sets or replaces; value must not be NULL. Gives the old value or NULL. */
void *hr_map_put(struct hr_map *m, const void *key, size_t len, void *value);
void *hr_map_del(struct hr_map *m, const void *key, size_t len);
size_t hr_map_len(const struct hr_map *m);

void *hr_map_gets(const struct hr_map *m, const char *key);
void *hr_map_puts(struct hr_map *m, const char *key, void *value);

struct hr_map_iter {
	size_t next;
	const void *key;
	size_t key_len;
	void *value;
};
/* struct hr_map_iter it = {}; while (hr_map_next(m, &it)) ...; deleting the current is allowed. */
int hr_map_next(const struct hr_map *m, struct hr_map_iter *it);

/* The hash, for other tables: seeded. */
uint64_t hr_hash(const void *data, size_t len);
/* The same, SipHash-1-3, with a key of the caller's. */
uint64_t hr_siphash(const uint64_t key[2], const void *data, size_t len);
#define _cleanup_map_ _cleanup_(hr_map_freep)
