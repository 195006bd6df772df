// SPDX-License-Identifier: Apache-2.0
/*
 * Rows of istio_* metrics of what the agent carries, the same as the programs' (kern/meters.h).
 * Each worker has its own; its lock is only ever wanted by a reader, for as long as it takes to
 * copy.
 */
#include <stdlib.h>

#include "core/cleanup.h"
#include "proxy/internal.h"

struct px_meters {
	pthread_mutex_t lock;
	struct hr_map *http, *odd,
		*tcp; /* by key: struct hr_meter, uint64_t, struct hr_tcp_meter */
};

struct px_meters *px_meters_new(void)
{
	struct px_meters *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	pthread_mutex_init(&m->lock, NULL);
	m->http = hr_map_new();
	m->odd = hr_map_new();
	m->tcp = hr_map_new();
	return m;
}

static void free_values(struct hr_map *map)
{
	struct hr_map_iter it = {};

	while (hr_map_next(map, &it))
		free(it.value);
	hr_map_free(map);
}

void px_meters_free(struct px_meters *m)
{
	if (!m)
		return;
	free_values(m->http);
	free_values(m->odd);
	free_values(m->tcp);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* The value of a key, made when there is room; NULL: there is none. */
static void *row(struct hr_map *map, const void *key, size_t key_len, size_t size, size_t max)
{
	void *v = hr_map_get(map, key, key_len);

	if (v || hr_map_len(map) >= max)
		return v;
	v = calloc(1, size);
	if (v)
		hr_map_put(map, key, key_len, v);
	return v;
}

/* A full table counts in the row for all; the key becomes that row's. */
static void *row_or_other(struct hr_map *map, struct hr_meter_key *key, size_t size)
{
	void *v = row(map, key, sizeof(*key), size, HR_METERS_MAX - 1);

	if (v)
		return v;
	*key = (struct hr_meter_key){.flags = HR_FLAG_OTHER,
				     .proto = key->proto == HR_METER_TCP ? HR_METER_TCP
									 : HR_METER_HTTP};
	return row(map, key, sizeof(*key), size, HR_METERS_MAX);
}

static uint32_t code_of(struct px_meters *m, const struct hr_meter_key *key, unsigned status)
{
	struct hr_odd_key odd = {.meter = *key, .status = status};
	uint32_t code = hr_meter_code(status);
	uint64_t *n;

	if (code < HR_CODES)
		return code;
	n = row(m->odd, &odd, sizeof(odd), sizeof(*n), HR_ODD_CODES_MAX);
	if (!n)
		return status / 100;
	(*n)++;
	return HR_CODES;
}

void px_meter(struct px_meters *m, struct hr_meter_key key, const struct px_metered *r)
{
	struct hr_meter *to;
	uint32_t code;

	pthread_mutex_lock(&m->lock);
	to = row_or_other(m->http, &key, sizeof(*to));
	if (to) {
		code = code_of(m, &key, r->status);
		if (code < HR_CODES)
			to->codes[code]++;
		hr_meter_count(to, r->us, r->tx, r->rx);
		to->tx_messages += r->tx_messages;
		to->rx_messages += r->rx_messages;
	}
	pthread_mutex_unlock(&m->lock);
}

void px_meter_tcp(struct px_meters *m, struct hr_meter_key key, const struct hr_tcp_meter *more)
{
	struct hr_tcp_meter *to;

	pthread_mutex_lock(&m->lock);
	to = row_or_other(m->tcp, &key, sizeof(*to));
	if (to) {
		to->opened += more->opened;
		to->closed += more->closed;
		to->tx += more->tx;
		to->rx += more->rx;
	}
	pthread_mutex_unlock(&m->lock);
}

/* ---- readers ---- */

static void walk(struct hr_map *map, const struct hr_meter_sink *to,
		 void (*give)(const struct hr_meter_sink *to, const void *key, const void *value))
{
	struct hr_map_iter it = {};

	while (hr_map_next(map, &it)) {
		/* the row is what every key begins with */
		const bool take = to->take && to->take(to->ctx, it.key);

		give(to, it.key, it.value);
		if (take)
			free(hr_map_del(map, it.key, it.key_len));
	}
}

static void give_http(const struct hr_meter_sink *to, const void *key, const void *value)
{
	if (to->meter)
		to->meter(to->ctx, key, value);
}

static void give_odd(const struct hr_meter_sink *to, const void *key, const void *value)
{
	if (to->odd)
		to->odd(to->ctx, key, *(const uint64_t *)value);
}

static void give_tcp(const struct hr_meter_sink *to, const void *key, const void *value)
{
	if (to->tcp)
		to->tcp(to->ctx, key, value);
}

void hr_proxy_meters(struct hr_proxy *px, const struct hr_meter_sink *to)
{
	for (unsigned i = 0; i < px->n_workers; i++) {
		struct px_meters *m = px->workers[i].meters;

		pthread_mutex_lock(&m->lock);
		walk(m->http, to, give_http);
		walk(m->odd, to, give_odd);
		walk(m->tcp, to, give_tcp);
		pthread_mutex_unlock(&m->lock);
	}
}
