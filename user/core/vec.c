// SPDX-License-Identifier: Apache-2.0
/* Growth of HR_VEC arrays. */
#include "core/vec.h"

#include <stdint.h>
#include <stdlib.h>

#include "core/log.h"

void hr_vec_grow(void **data, size_t *cap, size_t need, size_t size)
{
	size_t n = *cap ? *cap * 2 : 8;
	void *p;

	if (n < need)
		n = need;
	p = n > SIZE_MAX / size ? NULL : realloc(*data, n * size);
	if (!p) {
		hr_err("out of memory: %zu elements of %zu bytes", n, size);
		abort();
	}
	*data = p;
	*cap = n;
}
