// SPDX-License-Identifier: Apache-2.0
/*
 * Hash map: open addressing over indexes into an insertion-ordered entry array. Deleted entries
 * keep their place (value NULL) until the next rebuild, so iteration order is insertion order.
 * The hash is SipHash-1-3 with a per-process key: keys may be chosen by an adversary.
 */
#include "core/map.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "core/vec.h"

struct entry {
	uint64_t hash;
	void *key;
	size_t len;
	void *value; /* NULL: deleted */
};

struct hr_map {
	HR_VEC(struct entry) entries;
	uint32_t *index; /* entry number + 1, 0: free; size is a power of two */
	size_t size, live;
};

static uint64_t seed[2];

static void make_seed(void)
{
	/* Without entropy the map still works; only its resistance to chosen keys is gone. */
	if (getrandom(seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed))
		seed[0] = (uint64_t)(uintptr_t)&seed;
}

#define ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = ROTL(v[1], 13) ^ v[0];
	v[0] = ROTL(v[0], 32);
	v[2] += v[3];
	v[3] = ROTL(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = ROTL(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTL(v[1], 17) ^ v[2];
	v[2] = ROTL(v[2], 32);
}

uint64_t hr_siphash(const uint64_t key[2], const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t v[4], m;
	size_t left = len;

	v[0] = key[0] ^ 0x736f6d6570736575ULL;
	v[1] = key[1] ^ 0x646f72616e646f6dULL;
	v[2] = key[0] ^ 0x6c7967656e657261ULL;
	v[3] = key[1] ^ 0x7465646279746573ULL;
	for (; left >= 8; left -= 8, p += 8) {
		memcpy(&m, p, 8);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	m = (uint64_t)len << 56;
	for (size_t i = 0; i < left; i++)
		m |= (uint64_t)p[i] << (8 * i);
	v[3] ^= m;
	sip_round(v);
	v[0] ^= m;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hr_hash(const void *data, size_t len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_seed);
	return hr_siphash(seed, data, len);
}

static void *must_calloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p) {
		hr_err("out of memory: %zu elements of %zu bytes", n, size);
		abort();
	}
	return p;
}

struct hr_map *hr_map_new(void)
{
	struct hr_map *m = must_calloc(1, sizeof(*m));

	m->size = 16;
	m->index = must_calloc(m->size, sizeof(*m->index));
	return m;
}

void hr_map_free(struct hr_map *m)
{
	struct entry *e;

	if (!m)
		return;
	hr_vec_for_each (e, &m->entries)
		free(e->key);
	hr_vec_free(&m->entries);
	free(m->index);
	free(m);
}

void hr_map_freep(struct hr_map **m)
{
	hr_map_free(*m);
}

/* The index cell that holds the key, or the free cell where it would go. Cells of deleted entries
 * count as occupied, so chains stay whole. */
static uint32_t *find(const struct hr_map *m, uint64_t hash, const void *key, size_t len)
{
	for (size_t i = hash & (m->size - 1);; i = (i + 1) & (m->size - 1)) {
		uint32_t *cell = &m->index[i];
		const struct entry *e;

		if (!*cell)
			return cell;
		e = &m->entries.data[*cell - 1];
		if (e->value && e->hash == hash && e->len == len && !memcmp(e->key, key, len))
			return cell;
	}
}

/* Drops deleted entries and doubles the index when it is needed. */
static void rebuild(struct hr_map *m)
{
	size_t kept = 0;

	while (m->size < (m->live + 1) * 2)
		m->size *= 2;
	free(m->index);
	m->index = must_calloc(m->size, sizeof(*m->index));
	for (size_t i = 0; i < m->entries.len; i++) {
		struct entry e = m->entries.data[i];

		if (!e.value)
			continue;
		m->entries.data[kept] = e;
		*find(m, e.hash, e.key, e.len) = (uint32_t)++kept;
	}
	m->entries.len = kept;
}

void *hr_map_get(const struct hr_map *m, const void *key, size_t len)
{
	uint32_t cell = *find(m, hr_hash(key, len), key, len);

	return cell ? m->entries.data[cell - 1].value : NULL;
}

void *hr_map_put(struct hr_map *m, const void *key, size_t len, void *value)
{
	uint64_t hash = hr_hash(key, len);
	uint32_t *cell = find(m, hash, key, len);
	struct entry e = {.hash = hash, .len = len, .value = value};

	if (*cell) {
		struct entry *old = &m->entries.data[*cell - 1];
		void *was = old->value;

		old->value = value;
		return was;
	}
	if ((m->entries.len + 1) * 2 > m->size) {
		rebuild(m);
		cell = find(m, hash, key, len);
	}
	e.key = must_calloc(1, len + 1);
	if (len)
		memcpy(e.key, key, len);
	hr_vec_push(&m->entries, e);
	*cell = (uint32_t)m->entries.len;
	m->live++;
	return NULL;
}

void *hr_map_del(struct hr_map *m, const void *key, size_t len)
{
	uint32_t *cell = find(m, hr_hash(key, len), key, len);
	struct entry *e;
	void *was;

	if (!*cell)
		return NULL;
	e = &m->entries.data[*cell - 1];
	was = e->value;
	e->value = NULL;
	free(TAKE_PTR(e->key));
	m->live--;
	return was;
}

size_t hr_map_len(const struct hr_map *m)
{
	return m->live;
}

void *hr_map_gets(const struct hr_map *m, const char *key)
{
	return hr_map_get(m, key, strlen(key));
}

void *hr_map_puts(struct hr_map *m, const char *key, void *value)
{
	return hr_map_put(m, key, strlen(key), value);
}

int hr_map_next(const struct hr_map *m, struct hr_map_iter *it)
{
	while (it->next < m->entries.len) {
		const struct entry *e = &m->entries.data[it->next++];

		if (!e->value)
			continue;
		it->key = e->key;
		it->key_len = e->len;
		it->value = e->value;
		return 1;
	}
	return 0;
}
