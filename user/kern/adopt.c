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

/* address id -> its endpoint in the plan */
static struct hr_map *addresses(const struct hr_plan *plan)
{
	struct hr_map *m = hr_map_new();

	for (size_t i = 0; i < plan->eps.len; i++) {
		const struct hr_plan_ep *ep = &plan->eps.data[i];

		hr_map_put(m, &ep->addr_id, sizeof(ep->addr_id), (void *)ep);
	}
	return m;
}

/* Does the plan mean by an address id what the agent before us meant by it? One that it does not
 * have is given to another address sooner or later: ours are counted from the beginning again. */
static bool same_address(struct hr_kern *k, struct hr_map *now, uint32_t id)
{
	const struct hr_plan_ep *ep = hr_map_get(now, &id, sizeof(id));
	struct hr_ep_addr was;

	if (!id || id == HR_ADDR_ASKED)
		return true;
	if (!ep)
		return false;
	if (bpf_map_lookup_elem(KERN_MAP_FD(k, addrs), &id, &was))
		return false; /* its row has gone: the connection is to an endpoint of long ago */
	return !memcmp(was.ip, ep->addr.ip, sizeof(was.ip)) && was.port_be == htons(ep->port);
}

void kern_adopted_connections(struct hr_kern *k, const struct hr_plan *plan)
{
	_cleanup_map_ struct hr_map *now = addresses(plan);
	int fd = KERN_MAP_FD(k, conns);
	uint64_t key, next, n = 0;

	for (bool more = !bpf_map_get_next_key(fd, NULL, &next); more;) {
		struct hr_conn c;

		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (hr_kern_conn_get(k, key, &c) || same_address(k, now, c.addr_id))
			continue;
		hr_kern_conn_kill(k, key);
		n++;
	}
	if (n)
		hr_info("%llu connections of the agent before go on through the agent: the plan "
			"has changed",
			(unsigned long long)n);
}
