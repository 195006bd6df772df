// SPDX-License-Identifier: Apache-2.0
/*
 * Consistent hashing: every endpoint gets its share of the keys, and when one of N goes or comes,
 * at most 1/N + 5 % of the keys move.
 *
 *	key --hash--> table --> endpoint
 */
#include "planof.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "plan/balance/slots.h"
#include "plan/balance/tables.h"

#define KEYS 20000

static struct hr_ep_rt ep_rt[HR_EPS_MAX];
static struct hr_cluster_rt cluster_rt[HR_CLUSTERS_MAX];
static struct hr_slots slots[HR_SLOT_PAGES];
static const struct hr_words words = {ep_rt, cluster_rt, slots};
static struct hr_tables *tables;

static void in_effect(const struct hr_plan *p)
{
	memset(ep_rt, 0, sizeof(ep_rt));
	memset(cluster_rt, 0, sizeof(cluster_rt));
	hr_tables_free(tables);
	tables = hr_tables_new(&words);
	assert_int_equal(hr_tables_prepare(tables, p, 0), 0);
	hr_tables_flip(tables, p, 0);
}

/* Last byte of the address that stands in a slot. */
static int owner(const struct hr_plan *p, uint32_t slot)
{
	uint64_t word = cluster_rt[p->clusters.data[0].id].table;
	uint32_t id = slots[HR_TABLE_PAGE(word) + slot / HR_SLOTS_PAGE].ep[slot % HR_SLOTS_PAGE];

	return p->eps.data[p->ep_by_id[id] - 1].addr.ip[15];
}

static uint32_t size(const struct hr_plan *p)
{
	return HR_TABLE_N(cluster_rt[p->clusters.data[0].id].table);
}

/* Endpoints 192.0.2.(from) .. 192.0.2.(to), of weight w(i); `lb` is the consistentHash. */
static struct hr_plan *make(int from, int to, const char *lb, uint32_t (*w)(int))
{
	char eps[4096] = "", text[8192];
	struct hr_ids *ids = hr_ids_new();
	struct hr_plan *p;
	const char *what;

	for (int i = from; i <= to; i++)
		snprintf(eps + strlen(eps), sizeof(eps) - strlen(eps),
			 "{address: 192.0.2.%d, weight: %u},", i, w ? w(i) : 1);
	snprintf(text, sizeof(text),
		 "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s}\n"
		 "spec: {hosts: [web.example.com], addresses: [10.9.0.1], resolution: STATIC,\n"
		 " ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [%s]}\n---\n"
		 "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n"
		 "spec: {host: web.example.com, trafficPolicy: {loadBalancer: {consistentHash:\n"
		 " {httpHeaderName: x-user, %s}}}}\n",
		 eps, lb);
	p = plan_of(text);
	assert_int_equal(hr_ids_assign(ids, p, &what), 0);
	hr_ids_free(ids);
	in_effect(p);
	return p;
}

static uint64_t key(int i)
{
	char text[32];

	snprintf(text, sizeof(text), "user-%d", i);
	return hr_plan_hash(hr_slice_of(text), 0);
}

/* Last byte of the endpoint's address. */
static int pick(const struct hr_plan *p, int i)
{
	uint64_t h = key(i);
	const struct hr_plan_ep *e =
		hr_plan_pick_ep(p, &p->clusters.data[0], &words, (uint32_t)rand(), &h, NULL, 0);

	return e ? e->addr.ip[15] : 0;
}

static uint32_t by_number(int i)
{
	return (uint32_t)i;
}

/* Each endpoint's share of a Maglev table is within 1 % of its weight's. */
static void check_maglev(int n, uint32_t (*w)(int))
{
	_cleanup_plan_ struct hr_plan *p = make(1, n, "maglev: {}", w);
	uint32_t got[256] = {0}, total = 0;

	assert_int_equal(p->clusters.data[0].lb, HR_LB_MAGLEV);
	assert_int_equal(size(p), 65537);
	for (uint32_t i = 0; i < size(p); i++)
		got[owner(p, i)]++;
	for (int i = 1; i <= n; i++)
		total += w ? w(i) : 1;
	for (int i = 1; i <= n; i++) {
		double want = (double)size(p) * (w ? w(i) : 1) / total;

		if (fabs(got[i] - want) > want / 100 + 1)
			fail_msg("endpoint %d of %d: %u entries, want %f", i, n, got[i], want);
	}
}

static void test_maglev_shares(void **state)
{
	(void)state;
	check_maglev(1, NULL);
	check_maglev(2, NULL);
	check_maglev(7, NULL);
	check_maglev(50, NULL);
	check_maglev(10, by_number);
}

/* A ring is even within a tenth, and a larger one is no worse. */
static void test_ring_shares(void **state)
{
	static const struct {
		const char *lb;
		double off;
	} rows[] = {{"ringHash: {minimumRingSize: 8192}", .1}, {"ringHash: {}", .1}};

	(void)state;
	for (size_t k = 0; k < HR_ARRAY_SIZE(rows); k++) {
		_cleanup_plan_ struct hr_plan *p = make(1, 10, rows[k].lb, NULL);
		int got[256] = {0};

		assert_int_equal(p->clusters.data[0].lb, HR_LB_RING_HASH);
		for (int i = 0; i < KEYS; i++)
			got[pick(p, i)]++;
		for (int i = 1; i <= 10; i++)
			if (fabs(got[i] - KEYS / 10.) > rows[k].off * KEYS / 10)
				fail_msg("%s: %d keys at %d", rows[k].lb, got[i], i);
	}
}

/* Not less than minimumRingSize, up to where one rule would take too much. */
static void test_ring_size(void **state)
{
	static const struct {
		const char *lb;
		uint32_t slots;
	} rows[] = {{"ringHash: {}", 16384},
		    {"ringHash: {minimumRingSize: 16385}", 32768},
		    {"minimumRingSize: 65536", 65536},
		    {"ringHash: {minimumRingSize: 8388608}", 262144}};

	(void)state;
	for (size_t k = 0; k < HR_ARRAY_SIZE(rows); k++) {
		_cleanup_plan_ struct hr_plan *p = make(1, 3, rows[k].lb, NULL);
		int got[256] = {0};

		assert_int_equal(size(p), rows[k].slots);
		for (uint32_t i = 0; i < size(p); i++)
			got[owner(p, i)]++;
		for (int i = 1; i <= 3; i++)
			assert_true(fabs(got[i] - size(p) / 3.) < size(p) / 30.);
	}
}

/* A weight is a share of the ring too. */
static void test_ring_weights(void **state)
{
	_cleanup_plan_ struct hr_plan *p = make(1, 5, "ringHash: {}", by_number);
	int got[256] = {0};

	(void)state;
	for (uint32_t i = 0; i < size(p); i++)
		got[owner(p, i)]++;
	for (int i = 1; i <= 5; i++)
		if (fabs(got[i] - size(p) * i / 15.) > size(p) * i / 150.)
			fail_msg("endpoint %d: %d of %u slots", i, got[i], size(p));
}

/* Without the last of n endpoints only its keys move, and few others. */
static void test_disruption(void **state)
{
	static const char *const kinds[] = {"ringHash: {}", "maglev: {}"};

	(void)state;
	for (size_t k = 0; k < HR_ARRAY_SIZE(kinds); k++)
		for (int n = 2; n <= 20; n += 6) {
			_cleanup_plan_ struct hr_plan *all = make(1, n, kinds[k], NULL);
			static int was[KEYS];
			int moved = 0, needless = 0;

			for (int i = 0; i < KEYS; i++)
				was[i] = pick(all, i);
			_cleanup_plan_ struct hr_plan *less = make(1, n - 1, kinds[k], NULL);
			for (int i = 0; i < KEYS; i++) {
				int is = pick(less, i);

				moved += was[i] != is;
				needless += was[i] != is && was[i] != n;
			}
			if (moved > KEYS / n + KEYS / 20)
				fail_msg("%s: %d of %d keys moved, n = %d", kinds[k], moved, KEYS,
					 n);
			if (needless > (k ? KEYS / 20 : 0))
				fail_msg("%s: %d keys moved without need, n = %d", kinds[k],
					 needless, n);
		}
}

/* An ejected endpoint's keys go to others, always the same; nobody else's keys move. */
static void test_stand_in(void **state)
{
	static const char *const kinds[] = {"ringHash: {}", "maglev: {}"};

	(void)state;
	for (size_t k = 0; k < HR_ARRAY_SIZE(kinds); k++) {
		_cleanup_plan_ struct hr_plan *p = make(1, 5, kinds[k], NULL);
		int was[2000], others[256] = {0}, n = 0;

		for (int i = 0; i < 2000; i++)
			was[i] = pick(p, i);
		ep_rt[p->eps.data[2].id].flags = HR_EPRT_EJECTED;
		for (int i = 0; i < 2000; i++) {
			int before = pick(p, i), is;

			/* the table without it says what its flag said at once */
			if (!i)
				hr_tables_ep(tables, p->eps.data[2].id, 0);
			is = pick(p, i);
			assert_int_equal(is, before);

			assert_int_equal(is, pick(p, i));
			if (was[i] != 3)
				assert_int_equal(is, was[i]);
			others[is]++;
		}
		assert_int_equal(others[3], 0);
		for (int i = 1; i <= 5; i++)
			n += others[i] > 300;
		assert_int_equal(n, 4); /* not all to one neighbour */
		for (int i = 0; i < 5; i++)
			ep_rt[p->eps.data[i].id].flags = HR_EPRT_EJECTED;
		assert_int_equal(pick(p, 1), 0);
		hr_tables_ep(tables, p->eps.data[2].id, 0);
		assert_int_equal(size(p), 0);
		assert_int_equal(pick(p, 1), 0);
	}
}

/* The same objects give the same table; a table size that is no prime is made one. */
static void test_deterministic(void **state)
{
	_cleanup_plan_ struct hr_plan *a = make(1, 9, "maglev: {tableSize: 1009}", NULL);
	int was[1009];

	(void)state;
	assert_int_equal(size(a), 1009);
	for (uint32_t i = 0; i < size(a); i++)
		was[i] = owner(a, i);
	_cleanup_plan_ struct hr_plan *b = make(1, 9, "maglev: {tableSize: 1009}", NULL);
	for (uint32_t i = 0; i < size(b); i++)
		assert_int_equal(owner(b, i), was[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_maglev_shares), cmocka_unit_test(test_ring_shares),
		cmocka_unit_test(test_ring_size),     cmocka_unit_test(test_disruption),
		cmocka_unit_test(test_ring_weights),  cmocka_unit_test(test_stand_in),
		cmocka_unit_test(test_deterministic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
