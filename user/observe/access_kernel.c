// SPDX-License-Identifier: Apache-2.0
/* Access log lines of requests that the kernel has carried: ids and bytes to names and text. */
#include <string.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "kern/meters.h"
#include "observe/access.h"

static const struct hr_plan_route *route_of(const struct hr_plan *plan, uint32_t id)
{
	for (size_t i = 0; id && i < plan->routes.len; i++)
		if (plan->routes.data[i].id == id)
			return &plan->routes.data[i];
	return NULL;
}

static const struct hr_plan_ep *endpoint_of(const struct hr_plan *plan, uint32_t id)
{
	for (size_t i = 0; id && i < plan->eps.len; i++)
		if (plan->eps.data[i].id == id)
			return &plan->eps.data[i];
	return NULL;
}

/* From `from` up to a space, the query or the end; NUL-terminated. Gives where it ends. */
static size_t word(const struct hr_seen *seen, size_t from, bool path, char *to)
{
	size_t max = HR_MIN(seen->line_len, sizeof(seen->line)), n = 0;

	for (; from + n < max; n++) {
		char c = seen->line[from + n];

		if (c == ' ' || c == '\r' || (path && c == '?'))
			break;
		to[n] = c;
	}
	to[n] = 0;
	return from + n;
}

void hr_access_kernel(struct hr_access_log *log, const struct hr_plan *plan,
		      const struct hr_access_event *a)
{
	const struct hr_plan_route *route = route_of(plan, a->ev.route);
	const struct hr_plan_ep *ep = endpoint_of(plan, a->ev.ep);
	char method[HR_LOG_LINE_MAX + 1], path[HR_LOG_LINE_MAX + 1], host[HR_HOST_MAX + 1] = "";
	char upstream[HR_ADDR_TEXT];
	struct hr_access rec = {
		.kernel = true,
		.conn = a->ev.conn,
		.method = method,
		.path = path,
		.host = host,
		.route = route ? route->key : "",
		.rule = route && route->http && route->http->name ? route->http->name : "",
		.cluster = ep ? plan->clusters.data[ep->cluster].name : "",
		.upstream = ep ? hr_addr_port_text(&ep->addr, ep->port, upstream) : "",
		.flags = hr_flag_log(a->ev.slot),
		.route_id = a->ev.route,
		.ep_id = a->ev.ep,
		.status = a->ev.status,
		.tries = ep ? 1 : 0,
		.why = a->ev.why,
		.req_bytes = a->ev.tx,
		.resp_bytes = a->ev.bytes,
		.dur_us = a->ev.dur_ns / 1000,
	};

	word(&a->seen, word(&a->seen, 0, false, method) + 1, true, path);
	memcpy(host, a->seen.host, HR_MIN(a->seen.host_len, HR_HOST_MAX));
	hr_access_write(log, &rec);
}
