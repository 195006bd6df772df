// SPDX-License-Identifier: Apache-2.0
/*
 * Circuit breakers (connectionPool): what of each limit is in use and how often it was met, as JSON
 * for `headrace breakers` and as metrics with Envoy's names.
 */
#include <string.h>

#include "core/cleanup.h"
#include "observe/meters.h"

/* One limit of one cluster. */
struct breaker {
	const char *name; /* in JSON */
	const char *envoy, *remaining;
	int64_t limit; /* <= 0: none */
	uint32_t active, trips;
};

enum { CONNECTIONS, PENDING, REQUESTS, RETRIES, N_BREAKERS };

static uint32_t load(const uint32_t *v)
{
	return __atomic_load_n(v, __ATOMIC_RELAXED);
}

/* A connection of HTTP/1.1 in use carries one request; those of HTTP/2 are counted where they are
 * bounded. The numbers are read one after the other: never less than none. */
static uint32_t connections(const struct hr_cluster_rt *rt, uint32_t in_flight)
{
	uint32_t shared = HR_MIN(load(&rt->h2_requests), in_flight);

	return in_flight - shared + load(&rt->h2_connections);
}

static void look(const struct hr_meters *m, const struct hr_plan_cluster *c,
		 struct breaker out[static N_BREAKERS])
{
	static const struct hr_cluster_rt none;
	const struct hr_cluster_rt *rt = m->cluster_rt ? &m->cluster_rt[c->id] : &none;
	const struct hr_connection_pool *p = c->pool;
	uint64_t word = __atomic_load_n(&rt->inflight.word, __ATOMIC_RELAXED);
	uint32_t in_flight = HR_INFLIGHT_SUM(word);

	out[CONNECTIONS] = (struct breaker){"connections",
					    "cx_open",
					    "remaining_cx",
					    p ? p->max_connections : 0,
					    connections(rt, in_flight),
					    load(&rt->cx_overflow)};
	out[PENDING] = (struct breaker){"pending",	     "rq_pending_open",
					"remaining_pending", p ? p->http1_max_pending : 0,
					load(&rt->pending),  load(&rt->pending_overflow)};
	out[REQUESTS] = (struct breaker){"requests",	 "rq_open",
					 "remaining_rq", p ? p->http2_max_requests : 0,
					 in_flight,	 load(&rt->rq_overflow)};
	out[RETRIES] = (struct breaker){"retries",	     "rq_retry_open",
					"remaining_retries", p ? p->max_retries : 0,
					load(&rt->retries),  load(&rt->retry_overflow)};
}

static int64_t remaining(const struct breaker *b)
{
	return b->limit > b->active ? b->limit - b->active : 0;
}

/* ---- JSON ---- */

static json_t *breaker_json(const struct breaker *b)
{
	json_t *limit = b->limit > 0 ? json_integer(b->limit) : json_null();
	json_t *left = b->limit > 0 ? json_integer(remaining(b)) : json_null();

	return json_pack("{s:I,s:o,s:o,s:I}", "active", (json_int_t)b->active, "limit", limit,
			 "remaining", left, "trips", (json_int_t)b->trips);
}

json_t *hr_breakers_json(const struct hr_meters *m)
{
	json_t *out = json_array();

	for (size_t i = 0; m->plan && i < m->plan->clusters.len; i++) {
		const struct hr_plan_cluster *c = &m->plan->clusters.data[i];
		struct breaker b[N_BREAKERS];
		json_t *row;

		if (c->missing_subset)
			continue;
		look(m, c, b);
		row = json_pack("{s:s,s:s,s:o,s:i}", "cluster", c->name, "host", c->host, "subset",
				*c->subset ? json_string(c->subset) : json_null(), "port",
				(int)c->port);
		for (size_t k = 0; k < N_BREAKERS; k++)
			json_object_set_new(row, b[k].name, breaker_json(&b[k]));
		json_array_append_new(out, row);
	}
	return json_pack("{s:o}", "breakers", out);
}

/* ---- metrics ---- */

/* Clusters with a connectionPool: the others have nothing to run into. */
static bool next(const struct hr_meters *m, size_t *i, struct breaker b[static N_BREAKERS],
		 struct hr_strbuf *label)
{
	for (; m->plan && *i < m->plan->clusters.len; (*i)++) {
		const struct hr_plan_cluster *c = &m->plan->clusters.data[*i];

		if (!c->pool || c->missing_subset)
			continue;
		look(m, c, b);
		hr_sb_free(label);
		hr_sb_add(label, "cluster_name=\"");
		hr_metrics_label(label, c->name);
		hr_sb_addc(label, '"');
		(*i)++;
		return true;
	}
	return false;
}

static void head(struct hr_strbuf *out, const char *name, const char *type, const char *help)
{
	hr_sb_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

#define PREFIX "envoy_cluster_circuit_breakers_default_"

static void gauges(const struct hr_meters *m, struct hr_strbuf *out, int k)
{
	_cleanup_sb_ struct hr_strbuf label = {}, left = {}, name = {};
	struct breaker b[N_BREAKERS] = {};

	for (size_t i = 0; next(m, &i, b, &label);) {
		if (!name.len) {
			hr_sb_printf(&name, PREFIX "%s", b[k].envoy);
			head(out, name.data, "gauge", "1: the limit is reached.");
			hr_sb_printf(&left, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s gauge\n",
				     b[k].remaining, "What is left of the limit.", b[k].remaining);
		}
		hr_sb_printf(out, "%s{%s} %d\n", name.data, label.data,
			     b[k].limit > 0 && !remaining(&b[k]));
		if (b[k].limit > 0)
			hr_sb_printf(&left, PREFIX "%s{%s} %lld\n", b[k].remaining, label.data,
				     (long long)remaining(&b[k]));
	}
	hr_sb_add(out, hr_sb_str(&left));
}

static void counters(const struct hr_meters *m, struct hr_strbuf *out)
{
	static const struct {
		const char *name, *help;
		int a, b; /* summed */
	} rows[] = {
		{"envoy_cluster_upstream_cx_overflow", "Requests that found maxConnections in use.",
		 CONNECTIONS, -1},
		{"envoy_cluster_upstream_rq_pending_overflow",
		 "Requests refused: http1MaxPendingRequests or http2MaxRequests.", PENDING,
		 REQUESTS},
		{"envoy_cluster_upstream_rq_retry_overflow",
		 "Retries not made: maxRetries or retryBudget.", RETRIES, -1},
	};

	for (size_t r = 0; r < HR_ARRAY_SIZE(rows); r++) {
		_cleanup_sb_ struct hr_strbuf label = {};
		struct breaker b[N_BREAKERS] = {};

		head(out, rows[r].name, "counter", rows[r].help);
		for (size_t i = 0; next(m, &i, b, &label);)
			hr_sb_printf(out, "%s{%s} %llu\n", rows[r].name, label.data,
				     (unsigned long long)b[rows[r].a].trips +
					     (rows[r].b < 0 ? 0 : b[rows[r].b].trips));
	}
}

void hr_metrics_breakers(const struct hr_meters *m, struct hr_strbuf *out)
{
	for (int k = 0; k < N_BREAKERS; k++)
		gauges(m, out, k);
	counters(m, out);
}
