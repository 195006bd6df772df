// SPDX-License-Identifier: Apache-2.0
/* Events and counters: what the programs tell. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/cleanup.h"
#include "kern/capture.h"
#include "kern/internal.h"

int hr_kern_event_fd(const struct hr_kern *k)
{
	return ring_buffer__epoll_fd(k->ring);
}

int hr_kern_poll(struct hr_kern *k)
{
	struct timespec ts;
	int n = ring_buffer__consume(k->ring);

	clock_gettime(CLOCK_MONOTONIC, &ts);
	__atomic_store_n(k->beat, (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec,
			 __ATOMIC_RELAXED);
	kern_apply_tick(k, kern_now_ms());
	kern_leaving_tick(k);
	return n < 0 && n != -EAGAIN ? n : 0;
}

uint64_t hr_kern_events_lost(struct hr_kern *k)
{
	return __atomic_load_n(k->events_lost, __ATOMIC_RELAXED);
}

uint64_t hr_kern_access_lost(struct hr_kern *k)
{
	return __atomic_load_n(k->events_lost + 1, __ATOMIC_RELAXED);
}

void hr_kern_mishap(struct hr_kern *k, enum hr_mishap m)
{
	__atomic_fetch_add(&k->mishaps[m], 1, __ATOMIC_RELAXED);
}

void hr_kern_mishaps(struct hr_kern *k, uint64_t out[static HR_MISHAP_MAX])
{
	for (int f = 0; f < HR_MISHAP_MAX; f++)
		out[f] = __atomic_load_n(&k->mishaps[f], __ATOMIC_RELAXED);
}

/* Rows of a per-CPU array are sums of counters: each u64 is added over the CPUs. */
static int sum_row(const struct bpf_map *m, uint32_t id, uint64_t *out, size_t words)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ uint64_t *rows = cpus > 0 ? calloc((size_t)cpus * words, 8) : NULL;

	if (!rows)
		return -ENOMEM;
	if (bpf_map_lookup_elem(bpf_map__fd(m), &id, rows))
		return -errno;
	memset(out, 0, words * 8);
	for (size_t i = 0; i < (size_t)cpus * words; i++)
		out[i % words] += rows[i];
	return 0;
}

_Static_assert(sizeof(struct hr_stats) % 8 == 0, "summed as words");

int hr_kern_route_stats(struct hr_kern *k, uint32_t route_id, struct hr_stats *out)
{
	return sum_row(k->skel->maps.route_stats, route_id, (uint64_t *)out, sizeof(*out) / 8);
}

int hr_kern_ep_stats(struct hr_kern *k, uint32_t ep_id, struct hr_stats *out)
{
	return sum_row(k->skel->maps.ep_stats, ep_id, (uint64_t *)out, sizeof(*out) / 8);
}

static int sum_counters(const struct bpf_map *m, uint32_t n, uint64_t *out)
{
	for (uint32_t i = 0; i < n; i++) {
		int e = sum_row(m, i, &out[i], 1);

		if (e)
			return e;
	}
	return 0;
}

int hr_kern_why(struct hr_kern *k, uint64_t out[static HR_WHY_MAX])
{
	return sum_counters(k->skel->maps.why, HR_WHY_MAX, out);
}

uint64_t hr_kern_pairs_unread(struct hr_kern *k)
{
	int64_t n = __atomic_load_n(&k->skel->bss->pair_held, __ATOMIC_RELAXED);

	return n > 0 ? (uint64_t)n : 0;
}

int hr_kern_pairs(struct hr_kern *k, uint64_t out[static HR_PAIR_COUNTS])
{
	return sum_counters(k->skel->maps.pair_counts, HR_PAIR_COUNTS, out);
}
