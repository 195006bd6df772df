// SPDX-License-Identifier: Apache-2.0
// Sums of what the kernel and the agent's proxy counted.
#include "observe/meters.h"

#include <string.h>

#include "core/cleanup.h"

void hr_stats_add(struct hr_stats *to, const struct hr_stats *from)
{
	to->requests += from->requests;
	for (size_t i = 0; i < HR_ARRAY_SIZE(to->status); i++)
		to->status[i] += from->status[i];
	to->lat_sum_us += from->lat_sum_us;
	for (size_t i = 0; i < HR_ARRAY_SIZE(to->lat); i++)
		to->lat[i] += from->lat[i];
	to->tx_bytes += from->tx_bytes;
	to->rx_bytes += from->rx_bytes;
}

static void live_route(void *ctx, uint32_t id, struct hr_stats *out)
{
	struct hr_live *l = ctx;
	struct hr_stats part = {};

	*out = (struct hr_stats){};
	if (l->kern && hr_kern_route_stats(l->kern, id, &part) == 0)
		hr_stats_add(out, &part);
	if (l->proxy) {
		part = (struct hr_stats){};
		hr_proxy_route_stats(l->proxy, id, &part);
		hr_stats_add(out, &part);
	}
}

static void live_endpoint(void *ctx, uint32_t id, struct hr_stats *out)
{
	struct hr_live *l = ctx;
	struct hr_stats part = {};

	*out = (struct hr_stats){};
	if (l->kern && hr_kern_ep_stats(l->kern, id, &part) == 0)
		hr_stats_add(out, &part);
	if (l->proxy) {
		part = (struct hr_stats){};
		hr_proxy_ep_stats(l->proxy, id, &part);
		hr_stats_add(out, &part);
	}
}

static void live_rows(void *ctx, const struct hr_meter_sink *to)
{
	struct hr_live *l = ctx;

	if (l->kern)
		hr_kern_meters(l->kern, to);
	if (l->proxy)
		hr_proxy_meters(l->proxy, to);
}

static void live_tables(void *ctx,
			void (*row)(void *row_ctx, const char *name, uint64_t used, uint64_t size),
			void *row_ctx)
{
	struct hr_live *l = ctx;

	hr_kern_tables(l->kern, row, row_ctx);
}

void hr_meters_rows(struct hr_meters *m, struct hr_live *live)
{
	m->ctx = live;
	m->rows = live_rows;
}

void hr_meters_live(struct hr_meters *m, struct hr_live *live)
{
	hr_meters_rows(m, live);
	m->route = live_route;
	m->endpoint = live_endpoint;
	if (live->kern) {
		hr_kern_why(live->kern, m->kern_why);
		m->events_lost = hr_kern_events_lost(live->kern);
		hr_kern_mishaps(live->kern, m->mishaps);
		hr_kern_pairs(live->kern, m->pairs);
		m->pairs_unread = hr_kern_pairs_unread(live->kern);
		m->ep_rt = hr_kern_ep_rt(live->kern);
		m->tables = live_tables;
	}
	if (live->proxy) {
		m->cluster_rt = hr_proxy_cluster_rt(live->proxy);
		hr_proxy_stats(live->proxy, &m->proxy);
	}
	if (live->dns)
		hr_dns_stats(live->dns, &m->dns);
}

const char *hr_pair_text(enum hr_pair_count c)
{
	static const char *const names[] = {
		[HR_PAIR_MADE] = "paired",	     [HR_PAIR_BLOCKING] = "unpairedBlocking",
		[HR_PAIR_UNKNOWN] = "unpairedNew",   [HR_PAIR_REQUESTS] = "towardsServer",
		[HR_PAIR_ANSWERS] = "towardsClient", [HR_PAIR_BYTES] = "bytes",
		[HR_PAIR_SPILLED] = "spilled",	     [HR_PAIR_OPAQUE] = "opaquePaired",
		[HR_PAIR_SENDS] = "opaqueSends",     [HR_PAIR_OPTIONS] = "unpairedOptions",
	};

	_Static_assert(HR_ARRAY_SIZE(names) == HR_PAIR_COUNTS, "a name each");
	return names[c];
}

const char *hr_mishap_text(enum hr_mishap f)
{
	static const char *const text[] = {
#define MISHAP_TEXT(id, t) [HR_MISHAP_##id] = t,
		HR_MISHAP_LIST(MISHAP_TEXT)
#undef MISHAP_TEXT
	};

	return text[f];
}

uint64_t hr_meters_kernel(const struct hr_meters *m)
{
	uint64_t carried =
		m->kern_why[HR_WHY_NATIVE] + m->kern_why[HR_WHY_MOVED] + m->kern_why[HR_WHY_LOCAL];
	uint64_t relayed = m->kern_why[HR_WHY_RELAY];

	/* moved at its head, but the answer needed the agent after all */
	return carried > relayed ? carried - relayed : 0;
}

uint64_t hr_meters_agent(const struct hr_meters *m)
{
	return m->proxy.requests + m->kern_why[HR_WHY_RELAY];
}

static bool is_carried(enum hr_why w)
{
	return w == HR_WHY_NATIVE || w == HR_WHY_MOVED || w == HR_WHY_LOCAL || w == HR_WHY_TUNNEL;
}

/* The kernel counts a reason when it gives a request away, the proxy when it is done with it: the
 * same requests, seen twice. The larger number is the later truth. */
uint64_t hr_meters_fallback(const struct hr_meters *m, enum hr_why w)
{
	return is_carried(w) ? 0 : HR_MAX(m->kern_why[w], m->proxy.why[w]);
}
