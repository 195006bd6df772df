// SPDX-License-Identifier: Apache-2.0
/* Plan tables that a killed agent filled: what the first apply has to know of them. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "core/cleanup.h"
#include "kern/apply.h"
#include "kern/internal.h"
#include "plan/compile/ids.h"

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

/* Rules that the first apply replaces still name them: what is in a place stays there for a while.
 */
void kern_adopted_replies(struct hr_kern *k)
{
	struct kern_replies *r = &k->apply->replies;

	for (uint32_t i = HR_REPLY_FIRST_FREE; i < HR_REPLIES_MAX; i++) {
		bpf_map_lookup_elem(KERN_MAP_FD(k, replies), &i, &r->at[i]);
		r->free_at[i] = r->at[i].len ? kern_now_ms() + KERN_GRACE_MS : 0;
	}
}

static int put_ids(void *ctx, const struct hr_id_key *keys, const struct hr_id_row *rows, size_t n)
{
	__u32 count = (__u32)n;

	return bpf_map_update_batch(KERN_MAP_FD((struct hr_kern *)ctx, ids), keys, rows, &count,
				    NULL);
}

int hr_kern_keep_ids(struct hr_kern *k, struct hr_ids *ids)
{
	struct hr_id_key key = {.kind = HR_ID_KEY}, next;
	struct hr_id_row secret = {}, row;
	int fd = KERN_MAP_FD(k, ids);

	if (bpf_map_lookup_elem(fd, &key, &secret)) {
		if (getrandom(secret.digest, sizeof(secret.digest), 0) < 0 ||
		    bpf_map_update_elem(fd, &key, &secret, BPF_ANY))
			return -errno;
	}
	hr_ids_keep(ids, secret.digest, put_ids, k);
	for (bool more = !bpf_map_get_next_key(fd, NULL, &next); more;) {
		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (!bpf_map_lookup_elem(fd, &key, &row))
			hr_ids_adopt(ids, &key, &row);
	}
	return 0;
}
