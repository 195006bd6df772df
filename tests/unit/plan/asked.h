/* SPDX-License-Identifier: Apache-2.0 */
/* A request of the plan's tests, and the plan's view of it. */
#pragma once

#include <string.h>

#include "plan/plan.h"

#define ASKED_HEADERS 12

struct asked {
	const char *method, *path, *query, *host, *scheme, *source_ns;
	uint16_t port;
	struct {
		const char *name, *value;
	} headers[ASKED_HEADERS];
	size_t nheaders;
	hr_kvs source_labels;
};

static inline const char *asked_header(const struct asked *q, const char *name, size_t len)
{
	for (size_t i = 0; i < q->nheaders; i++)
		if (strlen(q->headers[i].name) == len && !memcmp(q->headers[i].name, name, len))
			return q->headers[i].value;
	return NULL;
}

static inline struct hr_slice asked_hook(void *ctx, struct hr_slice name)
{
	return hr_slice_of(asked_header(ctx, name.p, name.n));
}

static inline struct hr_plan_req asked_req(struct asked *q)
{
	return (struct hr_plan_req){
		.method = hr_slice_of(q->method),
		.path = hr_slice_of(q->path),
		.query = hr_slice_of(q->query),
		.host = hr_slice_of(q->host),
		.scheme = hr_slice_of(q->scheme),
		.port = q->port,
		.fallback_vhost = HR_NONE,
		.header = asked_hook,
		.header_ctx = q,
		.source_ns = q->source_ns,
		.source_labels = &q->source_labels,
	};
}
