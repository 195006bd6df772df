// SPDX-License-Identifier: Apache-2.0
/* Rows under their names, and what becomes of rows whose names are gone. */
#include "observe/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "observe/labels.h"
#include "observe/meters.h"

/* Sets of labels that are kept of rows that are gone; what comes then is added to those of the row
 * for all. */
#define SERIES_MAX (4 * HR_METERS_MAX)
/* Meanings that are remembered of rows that are not there. */
#define MEANINGS_MAX (4 * HR_METERS_MAX)

/* What the ids of a row mean. */
struct meaning {
	char *labels;
	uint64_t print; /* hr_owners_print, 0: when it was met they meant nothing */
	uint64_t seen;	/* the sweep that met it last */
	char *next;	/* after this sweep they mean this */
	uint64_t next_print;
};

struct hr_ledger {
	struct hr_map *meanings; /* struct hr_meter_key -> struct meaning */
	struct hr_map *gone;	 /* labels -> struct hr_series */
	uint64_t sweep, overflow;
	/* during a sweep */
	struct hr_owners owners;
	struct hr_map *live; /* labels -> struct hr_series; NULL: nobody asks */
	bool taking;	     /* the row at hand is taken out */
};

struct hr_ledger *hr_ledger_new(void)
{
	struct hr_ledger *l = calloc(1, sizeof(*l));

	if (!l)
		abort();
	l->meanings = hr_map_new();
	l->gone = hr_map_new();
	return l;
}

void hr_ledger_free_series(struct hr_map *series)
{
	struct hr_map_iter it = {};

	while (series && hr_map_next(series, &it)) {
		struct hr_series *s = it.value;

		hr_vec_free(&s->odd);
		free(s->labels);
		free(s);
	}
	hr_map_free(series);
}

static void meaning_free(struct meaning *m)
{
	free(m->labels);
	free(m->next);
	free(m);
}

void hr_ledger_free(struct hr_ledger *l)
{
	struct hr_map_iter it = {};

	if (!l)
		return;
	while (hr_map_next(l->meanings, &it))
		meaning_free(it.value);
	hr_map_free(l->meanings);
	hr_ledger_free_series(l->gone);
	free(l);
}

static struct hr_series *series_of(struct hr_map *map, const char *labels, enum hr_meter_proto p)
{
	struct hr_series *s = hr_map_gets(map, labels);

	if (s)
		return s;
	s = calloc(1, sizeof(*s));
	if (!s)
		abort();
	s->labels = strdup(labels);
	if (!s->labels)
		abort();
	s->proto = p;
	hr_map_puts(map, labels, s);
	return s;
}

static char *labels_of(const struct hr_ledger *l, const struct hr_meter_key *key)
{
	struct hr_strbuf sb = {};

	hr_owners_labels(&l->owners, key, &sb);
	return sb.data;
}

/* What the row's ids have meant until now. When they mean something else, that is noted for the end
 * of the sweep: other tables have rows of the same key. */
static struct meaning *meaning_of(struct hr_ledger *l, const struct hr_meter_key *key)
{
	struct meaning *m = hr_map_get(l->meanings, key, sizeof(*key));
	uint64_t print;

	if (m && m->seen == l->sweep)
		return m;
	print = hr_owners_print(&l->owners, key);
	if (!m) {
		m = calloc(1, sizeof(*m));
		if (!m)
			abort();
		m->labels = labels_of(l, key);
		m->print = print;
		hr_map_put(l->meanings, key, sizeof(*key), m);
	}
	m->seen = l->sweep;
	m->next_print = print;
	if (print && print != m->print)
		m->next = labels_of(l, key);
	return m;
}

/* ---- a sweep: the sink of the rows ---- */

static bool take(void *ctx, const struct hr_meter_key *key)
{
	struct hr_ledger *l = ctx;
	const struct meaning *m = meaning_of(l, key);

	l->taking = !m->next_print || m->next;
	return l->taking;
}

static struct hr_series *row_of(struct hr_ledger *l, const struct hr_meter_key *key)
{
	const struct hr_meter_key other = {.flags = HR_FLAG_OTHER,
					   .proto = key->proto == HR_METER_TCP ? HR_METER_TCP
									       : HR_METER_HTTP};
	const struct meaning *m = meaning_of(l, key);

	if (!l->taking)
		return l->live ? series_of(l->live, m->labels, key->proto) : NULL;
	if (hr_map_len(l->gone) >= SERIES_MAX && !hr_map_gets(l->gone, m->labels))
		m = meaning_of(l, &other);
	return series_of(l->gone, m->labels, key->proto);
}

static void on_meter(void *ctx, const struct hr_meter_key *key, const struct hr_meter *m)
{
	struct hr_ledger *l = ctx;
	struct hr_series *s = row_of(l, key);

	if (key->flags == HR_FLAG_OTHER)
		l->overflow += hr_meter_requests(m);
	if (s)
		hr_meter_add(&s->http, m);
}

static void add_odd(struct hr_series *s, uint32_t status, uint64_t n)
{
	struct hr_series_odd *o;

	hr_vec_for_each (o, &s->odd)
		if (o->status == status) {
			o->n += n;
			return;
		}
	hr_vec_push(&s->odd, ((struct hr_series_odd){.status = status, .n = n}));
}

static void on_odd(void *ctx, const struct hr_odd_key *key, uint64_t n)
{
	struct hr_series *s = row_of(ctx, &key->meter);

	if (s)
		add_odd(s, key->status, n);
}

static void tcp_add(struct hr_tcp_meter *to, const struct hr_tcp_meter *from)
{
	to->opened += from->opened;
	to->closed += from->closed;
	to->tx += from->tx;
	to->rx += from->rx;
}

static void on_tcp(void *ctx, const struct hr_meter_key *key, const struct hr_tcp_meter *m)
{
	struct hr_ledger *l = ctx;
	struct hr_series *s = row_of(l, key);

	if (key->flags == HR_FLAG_OTHER)
		l->overflow += m->opened;
	if (s)
		tcp_add(&s->tcp, m);
}

/* The new meanings hold from here on; what nobody has met for long is forgotten. */
static void end(struct hr_ledger *l)
{
	bool full = hr_map_len(l->meanings) > MEANINGS_MAX;
	struct hr_map_iter it = {};

	while (hr_map_next(l->meanings, &it)) {
		struct meaning *m = it.value;

		if (m->next) {
			free(m->labels);
			m->labels = TAKE_PTR(m->next);
			m->print = m->next_print;
		}
		if (full && m->seen != l->sweep)
			meaning_free(hr_map_del(l->meanings, it.key, it.key_len));
	}
}

void hr_ledger_sweep(struct hr_ledger *l, const struct hr_meters *m)
{
	const struct hr_meter_sink sink = {
		.ctx = l, .take = take, .meter = on_meter, .odd = on_odd, .tcp = on_tcp};

	l->sweep++;
	l->overflow = 0;
	hr_owners_init(&l->owners, m);
	if (m->rows)
		m->rows(m->ctx, &sink);
	end(l);
	hr_owners_free(&l->owners);
}

struct hr_map *hr_ledger_read(struct hr_ledger *l, const struct hr_meters *m)
{
	struct hr_map *live = l->live = hr_map_new();
	struct hr_map_iter it = {};

	hr_ledger_sweep(l, m);
	l->live = NULL;
	while (hr_map_next(l->gone, &it)) {
		const struct hr_series *from = it.value;
		struct hr_series *to = series_of(live, from->labels, from->proto);
		const struct hr_series_odd *o;

		hr_meter_add(&to->http, &from->http);
		tcp_add(&to->tcp, &from->tcp);
		hr_vec_for_each (o, &from->odd)
			add_odd(to, o->status, o->n);
	}
	return live;
}

uint64_t hr_ledger_overflow(const struct hr_ledger *l)
{
	return l->overflow;
}
