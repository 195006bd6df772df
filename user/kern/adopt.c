// SPDX-License-Identifier: Apache-2.0
/* Plan tables that a killed agent filled: what the first apply has to know of them. */
#include <arpa/inet.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "kern/apply.h"
#include "kern/clients.h"
#include "kern/internal.h"

/* Highest uint32_t at an offset of the keys of a map. */
static uint32_t highest(const struct bpf_map *m, size_t at, uint32_t max)
{
	unsigned char a[sizeof(struct hr_prefix_key)], b[sizeof(a)];
	unsigned char *key = NULL, *next = a;

	while (!bpf_map_get_next_key(bpf_map__fd(m), key, next)) {
		uint32_t v;

		memcpy(&v, next + at, sizeof(v));
		max = HR_MAX(max, v);
		key = next;
		next = next == a ? b : a;
	}
	return max;
}

void kern_adopted_numbers(struct hr_kern *k)
{
	struct kern_numbers *n = &k->apply->numbers;

	n->table = highest(k->skel->maps.blocks, offsetof(struct hr_block_key, table), n->table);
	n->table = highest(k->skel->maps.rules, offsetof(struct hr_rule_key, table), n->table);
	n->table = highest(k->skel->maps.conds, offsetof(struct hr_cond_key, table), n->table);
}

static bool ids_moved(struct hr_kern *k, const struct hr_plan *plan)
{
	for (size_t i = 0; i < plan->eps.len; i++) {
		const struct hr_plan_ep *ep = &plan->eps.data[i];
		struct hr_ep_addr a;

		if (!bpf_map_lookup_elem(KERN_MAP_FD(k, addrs), &ep->addr_id, &a) &&
		    (memcmp(a.ip, ep->addr.ip, sizeof(a.ip)) || a.port_be != htons(ep->port)))
			return true;
	}
	return false;
}

void kern_adopted_connections(struct hr_kern *k, const struct hr_plan *plan)
{
	int fd = KERN_MAP_FD(k, conns);
	uint64_t key, next;
	uint64_t n = 0;

	if (!ids_moved(k, plan))
		return;
	for (bool more = !bpf_map_get_next_key(fd, NULL, &next); more; n++) {
		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		hr_kern_conn_kill(k, key);
	}
	hr_info("%llu connections of the agent before go on through the agent: the plan has "
		"changed",
		(unsigned long long)n);
}
