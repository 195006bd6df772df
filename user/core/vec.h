/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing array for any element type: struct { T *data; size_t len, cap; } v = {};
 * hr_vec_push(&v, x). Storage is malloc'ed: hr_vec_free, or hr_vec_to_arena to keep it.
 */
#pragma once

#include <stddef.h>

#define HR_VEC(T)                \
	struct {                 \
		T *data;         \
		size_t len, cap; \
	}

/* Grows to hold `need` elements of `size` bytes; aborts on ENOMEM. */
void hr_vec_grow(void **data, size_t *cap, size_t need, size_t size);

#define hr_vec_push(v, ...)                                                       \
	do {                                                                      \
		if ((v)->len == (v)->cap)                                         \
			hr_vec_grow((void **)&(v)->data, &(v)->cap, (v)->len + 1, \
				    sizeof(*(v)->data));                          \
		(v)->data[(v)->len++] = (__VA_ARGS__);                            \
	} while (0)
#define hr_vec_free(v)                   \
	do {                             \
		free((v)->data);         \
		(v)->data = NULL;        \
		(v)->len = (v)->cap = 0; \
	} while (0)
/* An empty vector has no storage, and NULL + 0 is undefined: looked at first. */
#define hr_vec_for_each(p, v) for (p = (v)->data; p && p != (v)->data + (v)->len; p++)
