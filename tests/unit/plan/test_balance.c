// SPDX-License-Identifier: Apache-2.0
/*
 * Shares are kept: of 200,000 picks each destination and endpoint gets its share within 3 sigma
 * (fixed seed: the same picks in every run), and a weight of 0 gets nothing at all.
 */
#include "planof.h"

#include <math.h>
#include <stdio.h>

#include "plan/balance/tables.h"

#define PICKS 200000

static uint32_t seed;

static uint32_t rnd(void)
{
	/* xorshift: the plan must not need a good generator, but its own must not be the same */
	seed ^= seed << 13;
	seed ^= seed >> 17;
	return seed ^= seed << 5;
}

static void assert_share(uint64_t got, double share)
{
	double sigma = sqrt(PICKS * share * (1 - share));

	if (fabs((double)got - PICKS * share) > 3 * sigma + 0.5)
		fail_msg("%llu of %d picks, share %f", (unsigned long long)got, PICKS, share);
}

static struct hr_plan *weighted(const char *routes)
{
	char text[4096];

	snprintf(text, sizeof(text),
		 "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
		 "spec: {clusterIP: 10.9.0.1, ports: [{name: http, port: 80}]}\n---\n"
		 "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n"
		 "spec: {host: web, subsets: [{name: a, labels: {v: a}}, {name: b, labels: {v: b}},"
		 " {name: c, labels: {v: c}}]}\n---\n"
		 "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\n"
		 "spec: {hosts: [web], http: [{route: [%s]}]}\n",
		 routes);
	return plan_of(text);
}

#define TO(subset, weight) "{destination: {host: web, subset: " subset "}, weight: " weight "}"

static void check_weights(const char *routes, const double want[3])
{
	_cleanup_plan_ struct hr_plan *p = weighted(routes);
	struct hr_plan_match m = ask(p, 80, "web", "/");
	uint64_t got[3] = {0};

	seed = 2026;
	for (int i = 0; i < PICKS; i++) {
		const struct hr_plan_dst *dst = NULL;
		const struct hr_plan_cluster *c = hr_plan_pick_cluster(p, m.route, rnd(), &dst);

		assert_ptr_equal(c, &p->clusters.data[dst->cluster]);
		got[c->subset[0] - 'a']++;
	}
	for (int i = 0; i < 3; i++)
		assert_share(got[i], want[i]);
}

static void test_weights(void **state)
{
	(void)state;
	check_weights(TO("a", "95") "," TO("b", "5"), (double[]){.95, .05, 0});
	check_weights(TO("a", "0") "," TO("b", "100"), (double[]){0, 1, 0});
	check_weights(TO("a", "100") "," TO("b", "0"), (double[]){1, 0, 0});
	check_weights(TO("a", "1") "," TO("b", "0") "," TO("c", "2"),
		      (double[]){1 / 3., 0, 2 / 3.});
	check_weights("{destination: {host: web, subset: b}}", (double[]){0, 1, 0});
	/* the edges of the random number pick the first and the last destination */
	_cleanup_plan_ struct hr_plan *p = weighted(TO("a", "1") "," TO("b", "999"));
	struct hr_plan_match m = ask(p, 80, "web", "/");

	assert_string_equal(hr_plan_pick_cluster(p, m.route, 0, NULL)->subset, "a");
	assert_string_equal(hr_plan_pick_cluster(p, m.route, UINT32_MAX, NULL)->subset, "b");
}

/* ---- endpoints: 192.0.2.1 .. 192.0.2.4 with the given weights ---- */

static struct hr_ep_rt ep_rt[HR_EPS_MAX];
static struct hr_cluster_rt cluster_rt[HR_CLUSTERS_MAX];
static struct hr_slots slots[HR_SLOT_PAGES];
static const struct hr_words words = {ep_rt, cluster_rt, slots};
static struct hr_tables *tables;
static uint64_t now;

static void in_effect(const struct hr_plan *p)
{
	memset(ep_rt, 0, sizeof(ep_rt));
	memset(cluster_rt, 0, sizeof(cluster_rt));
	hr_tables_free(tables);
	tables = hr_tables_new(&words);
	assert_int_equal(hr_tables_prepare(tables, p, now), 0);
	hr_tables_flip(tables, p, now);
}

static void eject(const struct hr_plan_ep *e, bool on)
{
	ep_rt[e->id].flags = on ? HR_EPRT_EJECTED : 0;
	hr_tables_ep(tables, e->id, now);
}

static struct hr_plan *balanced(const char *lb, const int weights[4])
{
	struct hr_ids *ids = hr_ids_new();
	struct hr_plan *p;
	const char *what;
	char text[4096];

	snprintf(text, sizeof(text),
		 "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s}\n"
		 "spec: {hosts: [web.example.com], addresses: [10.9.0.1], resolution: STATIC,\n"
		 " ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [\n"
		 " {address: 192.0.2.1, weight: %d}, {address: 192.0.2.2, weight: %d},\n"
		 " {address: 192.0.2.3, weight: %d}, {address: 192.0.2.4, weight: %d}]}\n---\n"
		 "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n"
		 "spec: {host: web.example.com, trafficPolicy: {loadBalancer: {simple: %s}}}\n",
		 weights[0], weights[1], weights[2], weights[3], lb);
	p = plan_of(text);
	assert_int_equal(hr_ids_assign(ids, p, &what), 0);
	hr_ids_free(ids);
	in_effect(p);
	seed = 77;
	return p;
}

static const int equal[4] = {1, 1, 1, 1};

static const struct hr_plan_ep *pick(const struct hr_plan *p, const uint32_t *avoid, size_t n)
{
	return hr_plan_pick_ep(p, &p->clusters.data[0], &words, rnd(), NULL, avoid, n);
}

static void picks(const struct hr_plan *p, uint64_t got[4])
{
	memset(got, 0, 4 * sizeof(*got));
	for (int i = 0; i < PICKS; i++)
		got[pick(p, NULL, 0) - p->eps.data]++;
}

static void test_random(void **state)
{
	uint64_t got[4];
	_cleanup_plan_ struct hr_plan *even = balanced("RANDOM", equal);

	(void)state;
	picks(even, got);
	for (int i = 0; i < 4; i++)
		assert_share(got[i], .25);
	_cleanup_plan_ struct hr_plan *uneven = balanced("RANDOM", (int[]){1, 2, 3, 4});

	picks(uneven, got);
	for (int i = 0; i < 4; i++)
		assert_share(got[i], (i + 1) / 10.);
}

/* One after the other; a dead one's turn goes to the next. */
static void test_round_robin(void **state)
{
	_cleanup_plan_ struct hr_plan *p = balanced("ROUND_ROBIN", equal);

	(void)state;
	for (int i = 0; i < 12; i++)
		assert_int_equal(pick(p, NULL, 0) - p->eps.data, i % 4);
	ep_rt[p->eps.data[1].id].flags = HR_EPRT_DEAD;
	for (int i = 0; i < 12; i++)
		assert_int_equal(pick(p, NULL, 0) - p->eps.data, i % 4 == 1 ? 2 : i % 4);
}

/* The less busy of two: with 4 equal ones, the busiest is only picked against itself. */
static void test_least_request(void **state)
{
	_cleanup_plan_ struct hr_plan *p = balanced("LEAST_REQUEST", equal);
	uint64_t got[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		ep_rt[p->eps.data[i].id].inflight.word = i;
	picks(p, got);
	/* two draws with replacement: the i-th busiest of 4 is the lesser with (7 - 2i) / 16 */
	for (int i = 0; i < 4; i++)
		assert_share(got[i], (7 - 2 * i) / 16.);
}

/* Weights are shares, whatever the policy; a round robin has them exactly, and spread. */
static void test_endpoint_weights(void **state)
{
	static const char *const policies[] = {"ROUND_ROBIN", "RANDOM", "LEAST_REQUEST"};
	static const int sets[][4] = {
		{1, 2, 3, 4}, {10, 10, 10, 70}, {1, 1, 1, 2000}, {65536, 1, 3000, 777}};

	(void)state;
	for (size_t k = 0; k < HR_ARRAY_SIZE(policies); k++)
		for (size_t j = 0; j < HR_ARRAY_SIZE(sets); j++) {
			_cleanup_plan_ struct hr_plan *p = balanced(policies[k], sets[j]);
			double sum = sets[j][0] + sets[j][1] + sets[j][2] + sets[j][3];
			uint64_t got[4];

			picks(p, got);
			for (int i = 0; i < 4; i++) {
				double share = sets[j][i] / sum;

				/* what is too uneven for a table is right within half a slot */
				if (j < 2)
					assert_share(got[i], share);
				else if (fabs((double)got[i] / PICKS - share) > 0.001)
					fail_msg("%s: share %f, want %f", policies[k],
						 (double)got[i] / PICKS, share);
				assert_true(got[i] > 0);
			}
		}
	_cleanup_plan_ struct hr_plan *p = balanced("ROUND_ROBIN", sets[0]);
	for (int round = 0; round < 5; round++) {
		int got[4] = {0}, last = -1;

		for (int i = 0; i < 10; i++) {
			int at = (int)(pick(p, NULL, 0) - p->eps.data);

			assert_true(at < 3 || last != at || i); /* no burst at the seam */
			got[at]++;
			last = at;
		}
		for (int i = 0; i < 4; i++)
			assert_int_equal(got[i], i + 1);
	}
}

/* LEAST_REQUEST with weights: who has less in flight for its weight is preferred. */
static void test_least_request_weights(void **state)
{
	_cleanup_plan_ struct hr_plan *p = balanced("LEAST_REQUEST", (int[]){1, 1, 1, 3});
	const struct hr_plan_ep *e = p->eps.data;
	uint64_t got[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		ep_rt[e[i].id].inflight.by.agent = i < 3 ? 10 : 30;
	picks(p, got); /* equally loaded: by weight */
	for (int i = 0; i < 4; i++)
		assert_share(got[i], i < 3 ? 1 / 6. : 1 / 2.);
	ep_rt[e[3].id].inflight.by.agent = 31;
	picks(p, got); /* drawn against another it loses, but not against itself */
	assert_share(got[3], 1 / 4.);
	ep_rt[e[3].id].inflight.by.agent = 29;
	picks(p, got);
	assert_share(got[3], 3 / 4.);
}

/* An ejected endpoint's share is spread over all that are left, not given to its neighbour. */
static void test_ejected_share(void **state)
{
	_cleanup_plan_ struct hr_plan *p = balanced("ROUND_ROBIN", (int[]){1, 2, 3, 4});
	uint64_t got[4];

	(void)state;
	eject(&p->eps.data[1], true);
	picks(p, got);
	assert_int_equal(got[1], 0);
	for (int i = 0; i < 4; i++)
		if (i != 1)
			assert_share(got[i], (i + 1) / 8.);
	eject(&p->eps.data[1], false);
	picks(p, got);
	for (int i = 0; i < 4; i++)
		assert_share(got[i], (i + 1) / 10.);
}

/* Tables come and go with plans and ejections, and no page is lost. */
static void test_pages(void **state)
{
	_cleanup_plan_ struct hr_plan *p = balanced("ROUND_ROBIN", (int[]){1, 2, 3, 4});
	uint32_t used = hr_tables_used(tables);
	uint64_t word = cluster_rt[p->clusters.data[0].id].table;

	(void)state;
	assert_int_equal(used, 1);
	for (int i = 0; i < 1000; i++) {
		now += 10;
		eject(&p->eps.data[i % 4], !(i / 4 % 2));
	}
	for (int i = 0; i < 4; i++)
		eject(&p->eps.data[i], false);
	now += 10000;
	hr_tables_tick(tables, now);
	assert_int_equal(hr_tables_used(tables), used);
	/* a plan that is tried and does not come into effect */
	word = cluster_rt[p->clusters.data[0].id].table;
	ep_rt[p->eps.data[0].id].flags = HR_EPRT_EJECTED;
	assert_int_equal(hr_tables_prepare(tables, p, now), 0);
	assert_int_equal(hr_tables_used(tables), 2 * used);
	assert_int_equal(cluster_rt[p->clusters.data[0].id].table, word);
	hr_tables_drop(tables, now);
	assert_int_equal(hr_tables_used(tables), used);
	assert_int_equal(cluster_rt[p->clusters.data[0].id].table, word);
	/* an agent before us had them: they live until our first plan has its own */
	hr_tables_free(tables);
	tables = hr_tables_new(&words);
	assert_int_equal(hr_tables_used(tables), used);
	assert_int_equal(hr_tables_prepare(tables, p, now), 0);
	hr_tables_flip(tables, p, now);
	hr_tables_tick(tables, now + 10000);
	assert_int_equal(hr_tables_used(tables), used);
}

/* The same ids for other addresses (a service that took the place of one that went): what a slot
 * leads to is described anew, or requests go to the servers of the one before. */
static void test_other_addresses(void **state)
{
	_cleanup_plan_ struct hr_plan *p = balanced("ROUND_ROBIN", equal);
	struct hr_plan_ep *e = p->eps.data;

	(void)state;
	assert_int_equal(ep_rt[e[0].id].addr_id, e[0].addr_id);
	for (int i = 0; i < 4; i++)
		e[i].addr_id += 100;
	assert_int_equal(hr_tables_prepare(tables, p, now), 0);
	hr_tables_flip(tables, p, now);
	for (int i = 0; i < 4; i++)
		assert_int_equal(ep_rt[e[i].id].addr_id, e[i].addr_id);
}

/* Dead ones are passed over, unless all are; those already tried too. Ejected ones are never given.
 */
static void test_health(void **state)
{
	static const char *const policies[] = {"ROUND_ROBIN", "RANDOM", "LEAST_REQUEST"};

	(void)state;
	for (size_t k = 0; k < HR_ARRAY_SIZE(policies); k++) {
		_cleanup_plan_ struct hr_plan *p = balanced(policies[k], equal);
		const struct hr_plan_ep *e = p->eps.data;
		uint32_t tried[] = {e[2].id, e[3].id};
		uint64_t got[4];

		ep_rt[e[0].id].flags = HR_EPRT_DEAD;
		ep_rt[e[1].id].flags = HR_EPRT_EJECTED;
		picks(p, got);
		assert_int_equal(got[0] + got[1], 0);
		assert_true(got[2] > PICKS / 10 && got[3] > PICKS / 10);
		for (int i = 0; i < 100; i++) {
			assert_ptr_equal(pick(p, tried, 1), &e[3]);
			/* tried before, but the only healthy ones */
			assert_true(pick(p, tried, 2) - e >= 2);
		}
		ep_rt[e[2].id].flags = ep_rt[e[3].id].flags = HR_EPRT_DEAD;
		for (int i = 0; i < 100; i++)
			assert_ptr_not_equal(pick(p, NULL, 0), &e[1]);
		for (int i = 0; i < 4; i++)
			ep_rt[e[i].id].flags = HR_EPRT_EJECTED;
		assert_null(pick(p, NULL, 0));
		/* too few are left: all are used */
		for (int i = 0; i < 4; i++)
			ep_rt[e[i].id].flags = HR_EPRT_EJECTED_USED;
		assert_non_null(pick(p, NULL, 0));
	}
}

static void test_no_endpoint(void **state)
{
	_cleanup_plan_ struct hr_plan *p = weighted(TO("a", "1"));

	(void)state;
	assert_null(pick(p, NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_round_robin),
		cmocka_unit_test(test_least_request),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_no_endpoint),
		cmocka_unit_test(test_endpoint_weights),
		cmocka_unit_test(test_least_request_weights),
		cmocka_unit_test(test_ejected_share),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_other_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
