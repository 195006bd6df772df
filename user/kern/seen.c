// SPDX-License-Identifier: Apache-2.0
/* Which cluster a workload sees in place of another: rows that only the agent can make, since it
 * knows labels. A row that is not there leaves the request to the agent. */
#include <errno.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "core/map.h"
#include "core/vec.h"
#include "kern/internal.h"

/* Collected first: a key that is deleted is no place to go on from. */
static void delete_others(int fd, const struct hr_map *kept)
{
	HR_VEC(struct hr_seen_key) gone = {0};
	struct hr_seen_key at, next, *prev = NULL;

	while (!bpf_map_get_next_key(fd, prev, &next)) {
		if (!hr_map_get(kept, &next, sizeof(next)))
			hr_vec_push(&gone, next);
		at = next;
		prev = &at;
	}
	for (size_t i = 0; i < gone.len; i++)
		bpf_map_delete_elem(fd, &gone.data[i]);
	hr_vec_free(&gone);
}

void hr_kern_seen(struct hr_kern *k, const struct hr_kern_seen_row *rows, size_t n)
{
	struct hr_map *kept = hr_map_new();
	int fd = KERN_MAP_FD(k, seen);
	size_t lost = 0;

	for (size_t i = 0; i < n; i++)
		hr_map_put(kept, &rows[i].key, sizeof(rows[i].key), (void *)&rows[i]);
	delete_others(fd, kept);
	for (size_t i = 0; i < n; i++) {
		uint32_t now;

		if (!bpf_map_lookup_elem(fd, &rows[i].key, &now) && now == rows[i].cluster)
			continue;
		if (bpf_map_update_elem(fd, &rows[i].key, &rows[i].cluster, BPF_ANY)) {
			bpf_map_delete_elem(fd, &rows[i].key);
			lost++;
		}
	}
	if (lost)
		hr_warn("%zu views of clusters do not fit in the kernel's table: the agent has "
			"their "
			"requests",
			lost);
	hr_map_free(kept);
}
