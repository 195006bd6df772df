// SPDX-License-Identifier: Apache-2.0
/* The ring of requests that are to be mirrored: read by a thread of its own, see kern.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "kern/internal.h"

struct hr_copies {
	struct ring_buffer *ring;
	int fd;
	hr_copy_fn fn; /* NULL: what is there is thrown away */
	void *ctx;
	unsigned taken, most;
};

static int on_record(void *ctx, void *data, size_t len)
{
	struct hr_copies *c = ctx;
	const struct hr_copy *copy = data;

	if (c->fn && len >= sizeof(*copy) && len - sizeof(*copy) >= copy->head_len)
		c->fn(c->ctx, copy, (const char *)(copy + 1));
	return ++c->taken < c->most ? 0 : -EAGAIN; /* which leaves the rest */
}

int hr_copies_new(struct hr_kern *k, hr_copy_fn fn, void *ctx, struct hr_copies **out)
{
	struct hr_copies *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->fd = KERN_MAP_FD(k, copies);
	c->ring = ring_buffer__new(c->fd, on_record, c, NULL);
	if (!c->ring) {
		int r = -errno;

		free(c);
		return r;
	}
	hr_copies_take(c, UINT32_MAX); /* of the agent before, when it was killed */
	c->fn = fn;
	c->ctx = ctx;
	*out = c;
	return 0;
}

int hr_copies_fd(const struct hr_copies *c)
{
	return c->fd;
}

unsigned hr_copies_take(struct hr_copies *c, unsigned most)
{
	c->taken = 0;
	c->most = most;
	ring_buffer__consume(c->ring);
	return c->taken;
}

void hr_copies_free(struct hr_copies *c)
{
	if (!c)
		return;
	ring_buffer__free(c->ring);
	free(c);
}
