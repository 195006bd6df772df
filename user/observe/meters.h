/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent knows about itself at one moment, for metrics, `status`, `top`, `routes` and
 * `endpoints`. Filled from the kernel's and the proxy's counters, or by a test.
 */
#pragma once

#include <jansson.h>
#include <time.h>

#include "dns/dns.h"
#include "health/outlier.h"
#include "kern/kern.h"
#include "kern/meters.h"
#include "plan/plan.h"
#include "proxy/proxy.h"

struct hr_ledger;

struct hr_meters_workload {
	uint32_t id;
	const char *ns, *name, *cgroup;
	const hr_kvs *labels;
	size_t processes;
	bool agent_only;
	bool same_node_off; /* asked for by itself or by its Pod */
};

struct hr_meters {
	const struct hr_plan *plan;
	bool ready;
	time_t started;
	const char *last_error; /* NULL: none */
	uint64_t config_errors; /* reloads that were refused */
	const struct hr_kern_status *kern;
	enum hr_datapath mode; /* in use: the kill switch may have changed it */
	bool killed;	       /* by the kill switch */
	HR_LIST(struct hr_meters_workload) workloads;

	/* counters: sums of kernel and agent; NULL functions give zeroes */
	void *ctx;
	void (*route)(void *ctx, uint32_t id, struct hr_stats *out);
	void (*endpoint)(void *ctx, uint32_t id, struct hr_stats *out);
	/* rows of istio_* metrics; NULL: none */
	void (*rows)(void *ctx, const struct hr_meter_sink *to);
	struct hr_ledger *ledger;     /* what they have meant; NULL: nothing is said of them */
	const struct hr_ep_rt *ep_rt; /* by id, NULL: unknown */
	const struct hr_cluster_rt *cluster_rt;
	uint64_t kern_why[HR_WHY_MAX];
	struct hr_proxy_stats proxy;
	uint64_t events_lost;
	uint64_t mishaps[HR_MISHAP_MAX];
	uint64_t pairs[HR_PAIR_COUNTS];
	uint64_t pairs_unread;		    /* bytes, HR_PAIR_NODE_MAX */
	const struct hr_outliers *outliers; /* NULL: none */
	struct hr_dns_stats dns;
	uint64_t access_dropped; /* access log lines that nobody took */
	/* calls row for each table of the kernel; NULL: none */
	void (*tables)(void *ctx,
		       void (*row)(void *row_ctx, const char *name, uint64_t used, uint64_t size),
		       void *row_ctx);
};

/* Fills the counters from a running agent; each may be NULL. The struct hr_live must outlive
 * the use of `m`. */
struct hr_live {
	struct hr_kern *kern;
	struct hr_proxy *proxy;
	struct hr_dns *dns;
};
void hr_meters_live(struct hr_meters *m, struct hr_live *live);
/* Only what the ledger reads. */
void hr_meters_rows(struct hr_meters *m, struct hr_live *live);

/* Requests that no agent code touched, those that it carried. */
uint64_t hr_meters_kernel(const struct hr_meters *m);
uint64_t hr_meters_agent(const struct hr_meters *m);
/* Requests that the kernel did not carry, by reason. */
uint64_t hr_meters_fallback(const struct hr_meters *m, enum hr_why w);

/* What a count of the same-node path is called in status and metrics. */
const char *hr_pair_text(enum hr_pair_count c);
/* What a mishap is called in status and metrics. */
const char *hr_mishap_text(enum hr_mishap f);
/* Adds counters up. */
void hr_stats_add(struct hr_stats *to, const struct hr_stats *from);
/* docs/CONTROL.md "counters". */
json_t *hr_stats_json(const struct hr_stats *s);
/* "healthy", "ejected" or "dead", by stable id. */
const char *hr_endpoint_state(const struct hr_meters *m, uint32_t id);

/* CLI.md "status". */
json_t *hr_status_json(const struct hr_meters *m);
json_t *hr_routes_json(const struct hr_meters *m);
json_t *hr_endpoints_json(const struct hr_meters *m);
/* CLI.md "breakers": what of each cluster's limits is in use, what is left, how often it was met.
 */
json_t *hr_breakers_json(const struct hr_meters *m);
/* Raw counters by name with a monotonic time, for `top` to subtract. */
json_t *hr_top_json(const struct hr_meters *m, uint64_t now_ms);

/* Prometheus text exposition. */
void hr_metrics_text(const struct hr_meters *m, struct hr_strbuf *out);
/* Its part with Istio's names. */
void hr_metrics_istio(const struct hr_meters *m, struct hr_strbuf *out);
void hr_metrics_head(struct hr_strbuf *out, const char *name, const char *type, const char *help);
/* Its part about circuit breakers. */
void hr_metrics_breakers(const struct hr_meters *m, struct hr_strbuf *out);
/* s as a label value: \ " and newline escaped, bytes that are no UTF-8 replaced, bounded. */
void hr_metrics_label(struct hr_strbuf *out, const char *s);
