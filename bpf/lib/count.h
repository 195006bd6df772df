/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counters, in-flight numbers and events: what the programs report. */
#pragma once

#include "lib/maps.h"
#include "lib/words.h"

static __always_inline void count_why(__u32 reason)
{
	__u64 *n = bpf_map_lookup_elem(&why, &reason);

	if (n)
		(*n)++;
}

static __always_inline void count_mishap(__u32 mishap)
{
	__u64 *n = bpf_map_lookup_elem(&mishaps, &mishap);

	if (n)
		__sync_fetch_and_add(n, 1);
}

/* A zeroed record in `events`, NULL (and counted) when the ring is full. */
static __always_inline struct hr_event *event_begin(__u32 kind, __u64 cookie)
{
	struct hr_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	__u32 zero = 0;
	__u64 *lost;

	if (!e) {
		lost = bpf_map_lookup_elem(&events_lost, &zero);
		if (lost)
			__sync_fetch_and_add(lost, 1);
		return NULL;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->kind = kind;
	e->conn = cookie;
	return e;
}

/* An event about a slot, a connection, or both. */
static __always_inline void event_slot(__u32 kind, __u64 cookie, __u32 slot, __u32 gen, __u64 bytes)
{
	struct hr_event *e = event_begin(kind, cookie);

	if (!e)
		return;
	e->slot = slot;
	e->gen = gen;
	e->bytes = bytes;
	bpf_ringbuf_submit(e, 0);
}

/* ---- in flight: the programs' side of the numbers ---- */

static __always_inline void inflight_ep(__u32 ep, __s32 n)
{
	struct hr_ep_rt *e = bpf_map_lookup_elem(&ep_rt, &ep);

	if (e)
		__sync_fetch_and_add(&e->inflight.by.kernel, n);
}

static __always_inline void inflight_cluster(__u32 cluster, __s32 n)
{
	struct hr_cluster_rt *c = bpf_map_lookup_elem(&cluster_rt, &cluster);

	if (c)
		__sync_fetch_and_add(&c->inflight.by.kernel, n);
}

static __always_inline void inflight_lower(__u32 ep, __u32 cluster)
{
	inflight_ep(ep, -1);
	inflight_cluster(cluster, -1);
}

/* The agent takes the request over: it lowers what the programs have raised. */
static __always_inline void inflight_to_agent(__u32 ep, __u32 cluster)
{
	struct hr_ep_rt *e = bpf_map_lookup_elem(&ep_rt, &ep);
	struct hr_cluster_rt *c = bpf_map_lookup_elem(&cluster_rt, &cluster);

	if (e)
		__sync_fetch_and_add(&e->inflight.word, HR_INFLIGHT_TO_AGENT);
	if (c)
		__sync_fetch_and_add(&c->inflight.word, HR_INFLIGHT_TO_AGENT);
}

/* Bucket of a duration; HR_LAT_BUCKETS is "+Inf". Halving instead of a scan: six compares. */
static __always_inline __u32 lat_bucket(__u64 us)
{
	static const __u64 bounds[32] = HR_LAT_BOUNDS_US;
	__u32 at = 0;

	if (us <= bounds[0])
		return 0;
	for (__u32 step = 16; step; step >>= 1) {
		__u32 probe = (at + step) & 31;

		asm volatile("" : "+r"(probe));
		if (probe <= HR_LAT_BUCKETS && us > bounds[(probe - 1) & 31])
			at = probe;
	}
	return at;
}

/* One finished request, for the route's or the endpoint's counters. */
struct sample {
	__u64 us, tx, rx;
	__u32 class; /* first digit of the status, 0 when it has none */
	__u32 bucket;
};

static __always_inline void stats_add(struct hr_stats *st, const struct sample *s)
{
	__u32 class = s->class, bucket = s->bucket;

	if (!st)
		return;
	st->requests++;
	st->lat_sum_us += s->us;
	st->tx_bytes += s->tx;
	st->rx_bytes += s->rx;
	asm volatile("" : "+r"(class));
	if (class < 6)
		st->status[class]++;
	asm volatile("" : "+r"(bucket));
	if (bucket <= HR_LAT_BUCKETS)
		st->lat[bucket]++;
}

/* A request that the kernel carried has ended. ep 0: answered in place. */
struct done {
	__u64 cookie, t0, now, tx, rx;
	__u32 route, ep, addr_id;
	__u16 status, why;
	__u16 local; /* 1: the endpoint gave no answer, `status` is ours */
	__u16 reply; /* LOCAL: index in replies */
	__u16 fault; /* LOCAL: 1: it is the route's fault that was injected */
	__u16 pad;
};

/* ---- outlier detection: the same rules as user/health/count.c ---- */

/* A count that has reached its limit is told at each multiple of it: an event that found the ring
 * full is not the last. */
static __always_inline void outlier_bump(__u32 *count, __u32 limit, __u32 ep, __u32 kind)
{
	struct hr_event *e;
	__u32 n;

	if (!limit)
		return;
	n = __sync_fetch_and_add(count, 1) + 1;
	if (n % limit)
		return;
	e = event_begin(HR_EV_OUTLIER, 0);
	if (!e)
		return;
	e->ep = ep;
	e->slot = kind;
	bpf_ringbuf_submit(e, 0);
}

/* Written only when it changes: the line is shared by all processors. */
static __always_inline void outlier_clear(__u32 *count)
{
	if (*count)
		*count = 0;
}

/* outlierDetectionHttpErrorCodes: a listed status that is no 5xx counts as 500, one that is not
 * listed as success. */
static __always_inline __u32 outlier_status(const struct hr_ep_rt *rt, __u32 status)
{
	__u32 at = rt->codes, bit = hr_bound(status - 100, 511);
	struct hr_codes *codes;

	if (!at)
		return status;
	codes = bpf_map_lookup_elem(&error_codes, &at);
	if (!codes || !(codes->bits[hr_bound(bit >> 6, 7)] >> (bit & 63) & 1))
		return 200;
	return status >= 500 ? status : 500;
}

static __always_inline void outlier_count(const struct done *d)
{
	__u32 ep = d->ep, status;
	struct hr_ep_rt *rt = bpf_map_lookup_elem(&ep_rt, &ep);

	if (!rt || !d->status)
		return;
	if (d->local && rt->limit_local) {
		outlier_bump(&rt->consecutive_local, rt->limit_local, ep, HR_OUTLIER_LOCAL);
		return;
	}
	status = d->local ? d->status : outlier_status(rt, d->status);
	if (!d->local)
		outlier_clear(&rt->consecutive_local);
	if (status >= 502 && status <= 504)
		outlier_bump(&rt->consecutive_gateway, rt->limit_gateway, ep, HR_OUTLIER_GATEWAY);
	else
		outlier_clear(&rt->consecutive_gateway);
	if (status >= 500)
		outlier_bump(&rt->consecutive_5xx, rt->limit_5xx, ep, HR_OUTLIER_5XX);
	else
		outlier_clear(&rt->consecutive_5xx);
}

static __always_inline __u32 meter_flag(const struct done *d)
{
	if (!d->status)
		return d->local ? HR_FLAG_UC : HR_FLAG_DC;
	if (d->why != HR_WHY_LOCAL)
		return d->local ? HR_FLAG_UC : HR_FLAG_NONE;
	switch (d->reply) {
	case HR_REPLY_NR:
		return HR_FLAG_NR;
	case HR_REPLY_UH:
		return HR_FLAG_UH;
	case HR_REPLY_NC:
		return HR_FLAG_NC;
	case HR_REPLY_UO:
		return HR_FLAG_UO;
	default:
		return d->fault ? HR_FLAG_FI : HR_FLAG_NONE;
	}
}

/* One in so many requests is logged; 0: none. */
static __always_inline __u32 access_every(void)
{
	__u32 zero = 0;
	struct hr_config *cfg = bpf_map_lookup_elem(&config, &zero);

	return cfg ? cfg->access_log : 0;
}

static __always_inline void access_log(const struct done *d, struct conn *c, __u64 ns)
{
	struct hr_access_event *a;
	__u32 one = 1;
	__u64 *lost;

	if (!c->sampled)
		return;
	c->sampled = 0;
	a = bpf_ringbuf_reserve(&access_events, sizeof(*a), 0);
	if (!a) {
		lost = bpf_map_lookup_elem(&events_lost, &one);
		if (lost)
			__sync_fetch_and_add(lost, 1);
		return;
	}
	__builtin_memset(&a->ev, 0, sizeof(a->ev));
	a->ev.kind = HR_EV_ACCESS;
	a->ev.conn = d->cookie;
	a->ev.route = d->route;
	a->ev.ep = d->ep;
	a->ev.addr_id = d->addr_id;
	a->ev.status = d->status ? d->status : c->status;
	a->ev.why = d->why;
	a->ev.slot = meter_flag(d);
	a->ev.bytes = d->rx;
	a->ev.tx = d->tx;
	a->ev.dur_ns = ns;
	a->seen = c->seen;
	bpf_ringbuf_submit(a, 0);
}

/* ---- istio_* metrics ---- */

/* A status without counter of its own: in a row of its own, else by class. */
static __always_inline __u32 odd_code(struct hr_odd_key *key, __u32 status)
{
	__u64 *n, one = 1;

	if (status < HR_CODE_FIRST || status >= 600)
		return HR_CODE_NONE;
	key->status = status;
	n = bpf_map_lookup_elem(&odd_codes, key);
	if (n) {
		(*n)++;
		return HR_CODES;
	}
	if (!bpf_map_update_elem(&odd_codes, key, &one, BPF_NOEXIST))
		return HR_CODES;
	return status / 100;
}

static const struct hr_meter fresh_meter;

/* Its row in `meters` or `tcp_meters`, made of `fresh` when it is new, or the one for all that find
 * none: then *key is that one's. */
static __always_inline void *meter_of(void *table, struct hr_meter_key *key, const void *fresh)
{
	void *m = bpf_map_lookup_elem(table, key);
	__u32 proto = key->proto;

	if (m)
		return m;
	bpf_map_update_elem(table, key, fresh, BPF_NOEXIST);
	m = bpf_map_lookup_elem(table, key);
	if (m)
		return m;
	__builtin_memset(key, 0, sizeof(*key));
	key->flags = HR_FLAG_OTHER;
	key->proto = proto;
	return bpf_map_lookup_elem(table, key);
}

static __always_inline void histogram_add(__u64 *in, __u32 bucket)
{
	asm volatile("" : "+r"(bucket));
	if (bucket <= HR_LAT_BUCKETS)
		in[bucket]++;
}

/* A function of its own: its stack is not there while the counters of routes are looked up. */
__weak __noinline int meter_add(const struct done *d, struct conn *c, __u64 us)
{
	static const __u8 codes[HR_CODE_SPAN] = HR_CODE_TABLE;
	struct hr_odd_key key = {}; /* on the stack: 6.1 takes no argument's memory for a key */
	struct hr_meter *m;
	__u32 status, at;

	if (!d || !c)
		return 0;
	/* a client that left in the middle of an answer has had its status */
	status = d->status ? d->status : c->status;
	key.meter.workload = c->pub.workload;
	key.meter.ep = d->ep;
	key.meter.route = d->ep ? 0 : d->route;
	key.meter.flags = meter_flag(d);
	m = meter_of(&meters, &key.meter, &fresh_meter);
	if (!m)
		return 0;
	at = status - HR_CODE_FIRST;
	at = at < HR_CODE_SPAN ? codes[hr_bound(at, HR_CODE_SPAN - 1)] : 0;
	if (!at)
		at = odd_code(&key, status);
	asm volatile("" : "+r"(at));
	if (at < HR_CODES)
		m->codes[at]++;
	m->us += us;
	m->tx += d->tx;
	m->rx += d->rx;
	histogram_add(m->us_in, lat_bucket(us));
	histogram_add(m->tx_in, lat_bucket(d->tx * 1000));
	histogram_add(m->rx_in, lat_bucket(d->rx * 1000));
	return 0;
}

__weak __noinline int request_done(const struct done *d, struct conn *c)
{
	struct sample s = {};
	__u32 route, ep;
	__u64 ns;

	if (!d || !c)
		return 0;
	ns = d->now - d->t0;
	s.us = ns / 1000;
	s.tx = d->tx;
	s.rx = d->rx;
	s.class = d->status >= 100 && d->status < 600 ? d->status / 100 : 0;
	s.bucket = lat_bucket(s.us);
	route = d->route;
	stats_add(bpf_map_lookup_elem(&route_stats, &route), &s);
	ep = d->ep;
	if (ep) {
		stats_add(bpf_map_lookup_elem(&ep_stats, &ep), &s);
		outlier_count(d);
	}
	meter_add(d, c, s.us);
	if (access_every())
		access_log(d, c, ns);
	return 0;
}
