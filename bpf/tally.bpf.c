// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Run on demand (BPF_PROG_TEST_RUN) before the agent reads tcp_meters: connections that are open
 * add what they have carried since the last time. */
#include "lib/tally.h"

struct bpf_map;

static long tally_one(struct bpf_map *map, const __u64 *cookie, struct tally *t, void *ctx)
{
	(void)map;
	(void)ctx;
	tally_look(t, *cookie);
	return 0;
}

SEC("tc")
int tally_all(struct __sk_buff *skb)
{
	(void)skb;
	bpf_for_each_map_elem(&tallies, tally_one, NULL, 0);
	return 0;
}

char LICENSE[] SEC("license")
= "Dual BSD/GPL";
