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
	bool answer;		 /* operators speak of the request as it was sent on (Envoy) */
	struct hr_arena *values; /* of those that were made here; NULL: none */
	struct {
		struct hr_slice name, value;
	} f[HR_HEADERS_MAX + PX_HEADERS_ADDED];
};

void px_headers_add(struct px_headers *h, struct hr_slice name, struct hr_slice value);
/* In place of all of that name. */
void px_headers_set(struct px_headers *h, struct hr_slice name, struct hr_slice value);
/* The operations of the route and of the destination, on a request or on an answer: remove, then
 * set, then add (the order of Envoy's header parser). Those of an only destination are in one list
 * with the route's, behind them, as Istio does; where there are more, those of the chosen one come
 * first. The plan must outlive the list. Nothing for a request that met no route. */
void px_headers_route(struct px_headers *h, struct px_req *r, bool request);
/* A value with operators; {NULL, 0}: it is empty. Lives as long as the list (format.c). */
struct hr_slice px_format(struct px_req *r, const struct hr_format *f, struct px_headers *h);
/* The fields of the request as they came. */
void px_head_received(struct px_req *r, struct px_headers *h);
/* As the server gets them, and its host. To be freed. */
void px_head_sent(struct px_req *r, struct px_headers *h);
void px_headers_free(struct px_headers *h);
#define _cleanup_headers_ _cleanup_(px_headers_free)
void px_headers_write(const struct px_headers *h, struct px_out *out);
