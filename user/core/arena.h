/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that is freed all at once: an object set, a plan, a request. Allocation never fails
 * (abort on ENOMEM, after a log line): callers bound what they ask for first.
 */
#pragma once

#include <stddef.h>

struct hr_arena;

struct hr_arena *hr_arena_new(void);
void hr_arena_free(struct hr_arena *a); /* NULL is fine */
void hr_arena_freep(struct hr_arena **a);
/* Zeroed, aligned to 16. */
void *hr_arena_alloc(struct hr_arena *a, size_t size);
char *hr_arena_strdup(struct hr_arena *a, const char *s); /* NULL gives NULL */
char *hr_arena_strndup(struct hr_arena *a, const char *s, size_t n);
char *hr_arena_printf(struct hr_arena *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Bytes handed out, for bounds and status. */
size_t hr_arena_used(const struct hr_arena *a);

#define hr_arena_new0(a, type) ((type *)hr_arena_alloc((a), sizeof(type)))
#define hr_arena_array(a, type, n) ((type *)hr_arena_alloc((a), sizeof(type) * (n)))
#define _cleanup_arena_ _cleanup_(hr_arena_freep)
