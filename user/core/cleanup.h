/* SPDX-License-Identifier: Apache-2.0 */
/* Ownership in a function's own text: cleanup attributes, TAKE_PTR, TAKE_FD. */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void hr_freep(void *p)
{
	free(*(void **)p);
}

static inline void hr_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define _cleanup_free_ _cleanup_(hr_freep)
/* fds start at -1 */
#define _cleanup_close_ _cleanup_(hr_closep)

#define TAKE_PTR(p)                       \
	({                                \
		__auto_type _taken = (p); \
		(p) = NULL;               \
		_taken;                   \
	})
#define TAKE_FD(fd)                \
	({                         \
		int _taken = (fd); \
		(fd) = -1;         \
		_taken;            \
	})

#define HR_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define HR_MIN(a, b) ((a) < (b) ? (a) : (b))
#define HR_MAX(a, b) ((a) > (b) ? (a) : (b))
