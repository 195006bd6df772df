// SPDX-License-Identifier: Apache-2.0
/* Arena: chunks in a list, bump allocation, one free. */
#include "core/arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/log.h"

#define CHUNK_MIN (16 * 1024)
#define CHUNK_MAX (1024 * 1024)
#define ALIGN 16

struct chunk {
	struct chunk *next;
	size_t size, used;
	char data[] __attribute__((aligned(ALIGN)));
};

struct hr_arena {
	struct chunk *head;
	size_t used, next_size;
};

static void *must_alloc(size_t size)
{
	void *p = malloc(size);

	if (!p) {
		hr_err("out of memory: %zu bytes", size);
		abort();
	}
	return p;
}

struct hr_arena *hr_arena_new(void)
{
	struct hr_arena *a = must_alloc(sizeof(*a));

	*a = (struct hr_arena){.next_size = CHUNK_MIN};
	return a;
}

void hr_arena_free(struct hr_arena *a)
{
	if (!a)
		return;
	for (struct chunk *c = a->head, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	free(a);
}

void hr_arena_freep(struct hr_arena **a)
{
	hr_arena_free(*a);
}

/* A request larger than half a chunk gets its own, behind the current one, whose room stays. */
static struct chunk *add_chunk(struct hr_arena *a, size_t size)
{
	bool own = size > a->next_size / 2;
	size_t want = own ? size : a->next_size;
	struct chunk *c = must_alloc(sizeof(*c) + want);

	c->size = want;
	c->used = 0;
	if (own && a->head) {
		c->next = a->head->next;
		a->head->next = c;
	} else {
		c->next = a->head;
		a->head = c;
		a->next_size = HR_MIN(a->next_size * 2, (size_t)CHUNK_MAX);
	}
	return c;
}

void *hr_arena_alloc(struct hr_arena *a, size_t size)
{
	struct chunk *c = a->head;
	void *p;

	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (!c || c->size - c->used < size)
		c = add_chunk(a, size);
	p = c->data + c->used;
	c->used += size;
	a->used += size;
	return memset(p, 0, size);
}

char *hr_arena_strndup(struct hr_arena *a, const char *s, size_t n)
{
	char *p = hr_arena_alloc(a, n + 1);

	if (n)
		memcpy(p, s, n);
	return p;
}

char *hr_arena_strdup(struct hr_arena *a, const char *s)
{
	return s ? hr_arena_strndup(a, s, strlen(s)) : NULL;
}

char *hr_arena_printf(struct hr_arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *p;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	p = hr_arena_alloc(a, (size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

size_t hr_arena_used(const struct hr_arena *a)
{
	return a->used;
}
