/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header fields of one message on their way through: a list of slices that the operations of
 * a route change before it is written.
 */
#pragma once

#include "core/str.h"
#include "headrace/limits.h"
#include "model/model.h"
#include "proxy/io.h"

struct px_req;

/* Fields that operations may add to those of a message. */
#define PX_HEADERS_ADDED 156

struct px_headers {
	unsigned n;
	struct hr_slice host;	 /* set by an operation on Host or :authority; requests only */
	struct hr_arena *values; /* of those that were made here; NULL: none */
	struct {
		struct hr_slice name, value;
	} f[HR_HEADERS_MAX + PX_HEADERS_ADDED];
};

void px_headers_add(struct px_headers *h, struct hr_slice name, struct hr_slice value);
/* In place of all of that name. */
void px_headers_set(struct px_headers *h, struct hr_slice name, struct hr_slice value);
/* remove, then set, then add (the order of Envoy's header parser). Strings of `ops` must outlive
 * the list. */
void px_headers_apply(struct px_headers *h, struct px_req *r, const struct hr_header_ops *ops);
/* A value with operators; {NULL, 0}: it is empty. Lives as long as the list (format.c). */
struct hr_slice px_format(struct px_req *r, const struct hr_format *f, struct px_headers *h);
void px_headers_free(struct px_headers *h);
#define _cleanup_headers_ _cleanup_(px_headers_free)
void px_headers_write(const struct px_headers *h, struct px_out *out);
