// SPDX-License-Identifier: Apache-2.0
/* The arrays that the programs and every thread of the agent share, and who uses how much. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/cleanup.h"
#include "kern/internal.h"

/* Elements of an array map lie at multiples of 8 bytes; the mapping is whole pages. */
static size_t mapped_size(const struct bpf_map *m)
{
	size_t elem = (bpf_map__value_size(m) + 7) & ~(size_t)7;
	size_t page = (size_t)getpagesize();

	return (elem * bpf_map__max_entries(m) + page - 1) / page * page;
}

#define SHARED_MAX 12

struct shared {
	struct bpf_map *map;
	void **at;
};

static size_t shared_maps(struct hr_kern *k, struct shared out[static SHARED_MAX])
{
	const struct shared all[] = {
		{k->skel->maps.ep_rt, (void **)&k->ep_rt},
		{k->skel->maps.cluster_rt, (void **)&k->cluster_rt},
		{k->skel->maps.error_codes, (void **)&k->codes},
		{k->skel->maps.slots, (void **)&k->slots},
		{k->skel->maps.u_tab, (void **)&k->u},
		{k->skel->maps.g_tab, (void **)&k->g},
		{k->skel->maps.u_sk, (void **)&k->u_sk},
		{k->skel->maps.u_peer, (void **)&k->u_peer},
		{k->skel->maps.g_sk, (void **)&k->g_sk},
		{k->skel->maps.events_lost, (void **)&k->events_lost},
		{k->skel->maps.mishaps, (void **)&k->mishaps},
		{k->skel->maps.beat, (void **)&k->beat},
	};

	memcpy(out, all, sizeof(all));
	return HR_ARRAY_SIZE(all);
}

int kern_map_shared(struct hr_kern *k, struct hr_strbuf *err)
{
	struct shared s[SHARED_MAX];
	size_t n = shared_maps(k, s);

	for (size_t i = 0; i < n; i++) {
		void *p = mmap(NULL, mapped_size(s[i].map), PROT_READ | PROT_WRITE, MAP_SHARED,
			       bpf_map__fd(s[i].map), 0);

		if (p == MAP_FAILED) {
			int e = -errno;

			hr_sb_printf(err, "cannot map the table %s: %s", bpf_map__name(s[i].map),
				     strerror(-e));
			return e;
		}
		*s[i].at = p;
	}
	return 0;
}

void kern_unmap_shared(struct hr_kern *k)
{
	struct shared s[SHARED_MAX];
	size_t n = shared_maps(k, s);

	for (size_t i = 0; i < n; i++) {
		if (*s[i].at)
			munmap(*s[i].at, mapped_size(s[i].map));
		*s[i].at = NULL;
	}
}

struct hr_ep_rt *hr_kern_ep_rt(struct hr_kern *k)
{
	return k->ep_rt;
}

struct hr_cluster_rt *hr_kern_cluster_rt(struct hr_kern *k)
{
	return k->cluster_rt;
}

struct hr_codes *hr_kern_codes(struct hr_kern *k)
{
	return k->codes;
}

struct hr_words hr_kern_words(struct hr_kern *k)
{
	return (struct hr_words){k->ep_rt, k->cluster_rt, k->slots};
}

struct hr_tables *hr_kern_balance(struct hr_kern *k)
{
	return k->tables;
}

struct hr_u *hr_kern_u(struct hr_kern *k)
{
	return k->u;
}

struct hr_g *hr_kern_g(struct hr_kern *k)
{
	return k->g;
}

/* ---- how full ------------------------------------------------------------------------------- */

static uint64_t count_keys(const struct bpf_map *m)
{
	char a[256], b[256];
	char *key = NULL, *next = a;
	uint64_t n = 0;

	/* a concurrent deletion restarts the walk: bounded by what the table can hold */
	while (n < bpf_map__max_entries(m) && !bpf_map_get_next_key(bpf_map__fd(m), key, next)) {
		key = next;
		next = next == a ? b : a;
		n++;
	}
	return n;
}

int hr_kern_tables(struct hr_kern *k,
		   void (*row)(void *ctx, const char *name, uint64_t used, uint64_t size),
		   void *ctx)
{
	struct bpf_map *m;

	bpf_object__for_each_map(m, k->skel->obj)
	{
		switch (bpf_map__type(m)) {
		case BPF_MAP_TYPE_HASH:
		case BPF_MAP_TYPE_LRU_HASH:
		case BPF_MAP_TYPE_LPM_TRIE:
		case BPF_MAP_TYPE_SOCKHASH:
			row(ctx, bpf_map__name(m), count_keys(m), bpf_map__max_entries(m));
			break;
		default: /* arrays have no use; storage is counted with its socket */
			break;
		}
	}
	uint64_t u = 0, g = 0;

	for (size_t i = 0; i < HR_U_SLOTS; i++)
		u += HR_WORD_STATE(__atomic_load_n(&k->u[i].word, __ATOMIC_RELAXED)) != HR_U_EMPTY;
	for (size_t i = 0; i < HR_G_SLOTS; i++)
		g += HR_G_STATE(__atomic_load_n(&k->g[i].word, __ATOMIC_RELAXED)) != HR_G_EMPTY;
	row(ctx, "u_tab", u, HR_U_SLOTS);
	row(ctx, "g_tab", g, HR_G_SLOTS);
	return 0;
}
