// SPDX-License-Identifier: Apache-2.0
/*
 * Shares by place. The client is in r1/z1:
 *
 *	10.8.0.1, .2   r1/z1/s1        10.8.0.5, .6   r2/z3
 *	10.8.0.3, .4   r1/z2
 *
 * and what each pair gets, in percent, as Istio and Envoy would give it.
 */
#include "planof.h"

#include <math.h>
#include <stdio.h>

#include "plan/balance/tables.h"

static struct hr_ep_rt ep_rt[HR_EPS_MAX];
static struct hr_cluster_rt cluster_rt[HR_CLUSTERS_MAX];
static struct hr_slots slots[HR_SLOT_PAGES];
static const struct hr_words words = {ep_rt, cluster_rt, slots};
static struct hr_tables *tables;

#define NODE(name, region, zone)                                                                   \
	"apiVersion: v1\nkind: Node\nmetadata: {name: " name                                       \
	", labels: {topology.kubernetes.io/region: " region ", topology.kubernetes.io/zone: " zone \
	"}}\n---\n"
#define POD(n, node, more)                                                                  \
	"apiVersion: v1\nkind: Pod\nmetadata: {name: p" n ", labels: {app: web" more "}}\n" \
	"spec: {nodeName: " node "}\nstatus: {podIP: 10.8.0." n "}\n---\n"

static struct hr_plan *make(const char *service, const char *policy, struct hr_plan_opts opts)
{
	struct hr_ids *ids = hr_ids_new();
	const char *what;
	struct hr_plan *p;
	char text[8192];

	snprintf(text, sizeof(text),
		 NODE("n1", "r1", "z1") NODE("n2", "r1", "z2") NODE("n3", "r2", "z3") POD(
			 "1", "n1", ", istio-locality: r1.z1.s1, v: a")
			 POD("2", "n1", ", istio-locality: r1.z1.s1, v: b") POD("3", "n2", ", v: a")
				 POD("4", "n2", ", v: b") POD("5", "n3", ", v: a") POD(
					 "6", "n3",
					 ", v: b") "apiVersion: v1\nkind: Service\nmetadata: "
						   "{name: web}\n"
						   "spec: {clusterIP: 10.9.0.1, selector: {app: "
						   "web}, ports: [{name: http, port: 80}]%s}\n"
						   "---\napiVersion: networking.istio.io/v1\nkind: "
						   "DestinationRule\n"
						   "metadata: {name: r}\nspec: {host: web, "
						   "trafficPolicy: {%s}}\n",
		 service, policy);
	p = plan_with(text, opts);
	assert_int_equal(hr_ids_assign(ids, p, &what), 0);
	hr_ids_free(ids);
	memset(ep_rt, 0, sizeof(ep_rt));
	memset(cluster_rt, 0, sizeof(cluster_rt));
	hr_tables_free(tables);
	tables = hr_tables_new(&words);
	assert_int_equal(hr_tables_prepare(tables, p, 0), 0);
	hr_tables_flip(tables, p, 0);
	return p;
}

/* Shares of the table in percent, by last byte of the address. */
static void shares(const struct hr_plan *p, double out[7])
{
	uint64_t word = cluster_rt[p->clusters.data[0].id].table;

	memset(out, 0, 7 * sizeof(*out));
	for (uint32_t i = 0; i < HR_TABLE_N(word); i++) {
		uint32_t id = slots[HR_TABLE_PAGE(word) + i / HR_SLOTS_PAGE].ep[i % HR_SLOTS_PAGE];

		out[p->eps.data[p->ep_by_id[id] - 1].addr.ip[15]] += 100. / HR_TABLE_N(word);
	}
}

/* Each pair's sum. */
static void expect(const struct hr_plan *p, double z1, double z2, double r2)
{
	const double want[] = {z1, z2, r2};
	double got[7];

	shares(p, got);
	for (int i = 0; i < 3; i++)
		if (fabs(got[2 * i + 1] + got[2 * i + 2] - want[i]) > 0.2)
			fail_msg("pair %d: %.3f %%, want %.3f %%", i,
				 got[2 * i + 1] + got[2 * i + 2], want[i]);
}

static void eject(const struct hr_plan *p, int last, bool on)
{
	for (size_t i = 0; i < p->eps.len; i++)
		if (p->eps.data[i].addr.ip[15] == last) {
			ep_rt[p->eps.data[i].id].flags = on ? HR_EPRT_EJECTED : 0;
			hr_tables_ep(tables, p->eps.data[i].id, 1000);
		}
}

static const struct hr_plan_opts here = {.node = "n1"};
#define OUTLIER "outlierDetection: {}"
#define LB(setting) "loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {" setting "}}"

static void test_distribute(void **state)
{
	(void)state;
	_cleanup_plan_ struct hr_plan *p = make(
		"", LB("distribute: [{from: r1/z1/*, to: {r1/z1/*: 70, r1/z2/*: 20, 'r2/*': 10}}]"),
		here);
	expect(p, 70, 20, 10);
	/* one of two can take 70 % of its place's weight: 49 of 79 */
	eject(p, 1, true);
	expect(p, 100 * 49 / 79., 100 * 20 / 79., 100 * 10 / 79.);
	eject(p, 2, true);
	expect(p, 0, 100 * 20 / 30., 100 * 10 / 30.);
	/* one entry for several places: as they weigh; and what no entry names gets nothing */
	_cleanup_plan_ struct hr_plan *q = make(
		"", LB("distribute: [{from: 'r9', to: {r1: 100}}, {from: '*', to: {r1: 100}}]"),
		here);
	expect(q, 50, 50, 0);
	/* nothing is said about clients from here */
	_cleanup_plan_ struct hr_plan *o =
		make("", LB("distribute: [{from: r2, to: {r1: 100}}]"), here);
	expect(o, 100 / 3., 100 / 3., 100 / 3.);
}

static void test_failover(void **state)
{
	(void)state;
	/* by default zone, then region, then anybody: gradually, 140 % of what is healthy */
	_cleanup_plan_ struct hr_plan *p = make("", OUTLIER, here);
	expect(p, 100, 0, 0);
	eject(p, 1, true);
	expect(p, 70, 30, 0);
	eject(p, 2, true);
	expect(p, 0, 100, 0);
	eject(p, 3, true);
	expect(p, 0, 70, 30);
	eject(p, 4, true);
	expect(p, 0, 0, 100);
	eject(p, 1, false);
	expect(p, 70, 0, 30);
	for (int i = 1; i <= 6; i++)
		eject(p, i, true);
	assert_int_equal(HR_TABLE_N(cluster_rt[p->clusters.data[0].id].table), 0);
	/* too few in all: what there is, by what it can take */
	eject(p, 2, false);
	expect(p, 100, 0, 0);
	/* without outlierDetection nobody fails over; nor when it is off */
	_cleanup_plan_ struct hr_plan *q = make("", LB("failover: [{from: r1, to: r2}]"), here);
	expect(q, 100 / 3., 100 / 3., 100 / 3.);
	_cleanup_plan_ struct hr_plan *o = make("", LB("enabled: false") ", " OUTLIER, here);
	expect(o, 100 / 3., 100 / 3., 100 / 3.);
	/* from --locality, and with no place at all */
	_cleanup_plan_ struct hr_plan *n =
		make("", OUTLIER, (struct hr_plan_opts){.locality = "r2/z3"});
	expect(n, 0, 0, 100);
	_cleanup_plan_ struct hr_plan *m = make("", OUTLIER, (struct hr_plan_opts){0});
	expect(m, 100 / 3., 100 / 3., 100 / 3.);
}

/* retryRemoteLocalities: the next priority that has not been tried, 0 when none is left. */
static int remote(const struct hr_plan *p, int n_tried)
{
	const struct hr_plan_cluster *c = &p->clusters.data[0];
	const struct hr_plan_ep *eps = p->eps.data + c->first_ep, *e;
	uint32_t tried[6];

	for (int i = 0; i < n_tried; i++)
		tried[i] = eps[i].id;
	e = hr_plan_pick_remote(p, c, &words, (uint32_t)rand(), tried, (size_t)n_tried);
	return e ? e->addr.ip[15] : 0;
}

static void test_retry_remote(void **state)
{
	_cleanup_plan_ struct hr_plan *p = make("", OUTLIER, here);
	bool seen[7] = {false};

	(void)state;
	for (int i = 0; i < 100; i++)
		seen[remote(p, 2)] = true;
	assert_true(seen[3] && seen[4]);
	assert_false(seen[0] || seen[1] || seen[2] || seen[5] || seen[6]);
	assert_in_range(remote(p, 4), 5, 6);
	assert_int_equal(remote(p, 6), 0);
	/* who is ejected, or known to be dead, is no better */
	eject(p, 3, true);
	ep_rt[p->eps.data[p->clusters.data[0].first_ep + 3].id].flags |= HR_EPRT_DEAD;
	assert_in_range(remote(p, 2), 5, 6);
	/* all are of one priority: there is no other */
	_cleanup_plan_ struct hr_plan *q = make("", LB("enabled: false") ", " OUTLIER, here);
	assert_int_equal(remote(q, 2), 0);
}

static void test_failover_regions(void **state)
{
	(void)state;
	/* r3's clients go to r2 before they go to r1 */
	_cleanup_plan_ struct hr_plan *p =
		make("", LB("failover: [{from: r3, to: r2}]") ", " OUTLIER,
		     (struct hr_plan_opts){.locality = "r3/z9"});
	expect(p, 0, 0, 100);
	eject(p, 5, true);
	expect(p, 15, 15, 70);
}

static void test_priority_labels(void **state)
{
	double got[7];

	(void)state;
	_cleanup_plan_ struct hr_plan *p =
		make("", LB("failoverPriority: ['v=b', topology.kubernetes.io/zone]") ", " OUTLIER,
		     here);
	shares(p, got); /* b in z1 first */
	assert_true(got[2] > 99.9);
	eject(p, 2, true);
	shares(p, got); /* then the other b */
	assert_true(fabs(got[4] - 50) < .2 && fabs(got[6] - 50) < .2);
	eject(p, 4, true);
	eject(p, 6, true);
	expect(p, 50 * 2 / 3., 50 * 2 / 3., 50 * 2 / 3.);
}

/* Shares of one cluster by the name that its view has, in percent by last byte of the address. */
static void shares_of(const struct hr_plan *p, const struct hr_plan_cluster *c, double out[7])
{
	uint64_t word = cluster_rt[c->id].table;

	memset(out, 0, 7 * sizeof(*out));
	for (uint32_t i = 0; i < HR_TABLE_N(word); i++) {
		uint32_t id = slots[HR_TABLE_PAGE(word) + i / HR_SLOTS_PAGE].ep[i % HR_SLOTS_PAGE];

		out[p->eps.data[p->ep_by_id[id] - 1].addr.ip[15]] += 100. / HR_TABLE_N(word);
	}
}

/* What a client with these labels gets: endpoints in order of their share, "13" for 1 and 3. */
static const char *gets(const struct hr_plan *p, const char *key, const char *value,
			const char *key2, const char *value2)
{
	struct hr_kv kv[] = {{.key = key, .value = value}, {.key = key2, .value = value2}};
	const hr_kvs labels = {kv, key2 ? 2 : key ? 1 : 0};
	static char text[8];
	double got[7];
	size_t n = 0;

	shares_of(p, hr_plan_cluster_seen(p, &p->clusters.data[0], "default", &labels), got);
	for (int i = 1; i < 7; i++)
		if (got[i] > 0)
			text[n++] = (char)('0' + i);
	text[n] = 0;
	return text;
}

/* failoverPriority by labels of the client's own: the endpoints that have the same are first. Pods
 * have v=a (1, 3, 5) or v=b (2, 4, 6). */
static void test_priority_of_clients(void **state)
{
	(void)state;
	_cleanup_plan_ struct hr_plan *p = make(
		"", LB("failoverPriority: [v, topology.kubernetes.io/zone]") ", " OUTLIER, here);
	assert_string_equal(gets(p, "v", "a", NULL, NULL), "1");
	assert_string_equal(gets(p, "v", "b", "x", "y"), "2");
	/* who has none, or another value than anybody: no endpoint is nearer */
	assert_string_equal(gets(p, "x", "a", NULL, NULL), "123456");
	assert_string_equal(gets(p, "v", "c", NULL, NULL), "123456");
	assert_int_equal(p->clusters.data[0].n_views, 2);
	assert_true(p->asks_labels);
	/* each group has health of its own, as each client's proxy would */
	for (uint32_t i = 0; i < p->eps.len; i++)
		if (p->eps.data[i].addr.ip[15] == 1) {
			ep_rt[p->eps.data[i].id].flags = HR_EPRT_EJECTED;
			hr_tables_ep(tables, p->eps.data[i].id, 1000);
		}
	assert_string_equal(gets(p, "v", "a", NULL, NULL), "35");
	assert_string_equal(gets(p, "v", "c", NULL, NULL), "23456");

	/* an endpoint without the label is like a client without it; the place decides first */
	_cleanup_plan_ struct hr_plan *q = make(
		"", LB("failoverPriority: [topology.kubernetes.io/region, none, v]") ", " OUTLIER,
		here);
	assert_string_equal(gets(q, NULL, NULL, NULL, NULL), "1234");
	assert_string_equal(gets(q, "v", "b", NULL, NULL), "24");
	assert_string_equal(gets(q, "none", "x", "v", "b"), "1234");

	/* all see the same: nobody is told apart */
	_cleanup_plan_ struct hr_plan *o = make("", LB("failoverPriority: ['v=a', app]"), here);
	assert_int_equal(o->clusters.data[0].n_views, 0);
}

/* More values than groups: the first ones are told apart, the others are clients like any. */
static void test_too_many_groups(void **state)
{
	_cleanup_sb_ struct hr_strbuf text = {0};

	(void)state;
	hr_sb_add(&text,
		  "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
		  "metadata: {name: r}\nspec: {host: web.example.com, trafficPolicy:\n"
		  " {" LB("failoverPriority: [id]") ", " OUTLIER "}}\n---\n"
						    "apiVersion: networking.istio.io/v1\nkind: "
						    "ServiceEntry\nmetadata: {name: s}\n"
						    "spec: {hosts: [web.example.com], addresses: "
						    "[10.9.0.1], resolution: STATIC,\n"
						    " ports: [{number: 80, name: http, protocol: "
						    "HTTP}], endpoints: [");
	for (int i = 1; i <= 200; i++)
		hr_sb_printf(&text, "{address: 10.8.0.%d, labels: {id: i%d}},", i, i);
	hr_sb_add(&text, "]}\n");
	_cleanup_plan_ struct hr_plan *p = plan_of(text.data);
	assert_int_equal(p->clusters.data[0].n_views, HR_CLIENT_GROUPS_MAX);
	assert_int_equal(p->eps.len, 200 * (1 + HR_CLIENT_GROUPS_MAX));
}

/* failover beside failoverPriority: regions in order among those that are alike by labels. */
static void test_priority_and_failover(void **state)
{
	double got[7];

	(void)state;
	_cleanup_plan_ struct hr_plan *p = make(
		"", LB("failoverPriority: ['v=b'], failover: [{from: r3, to: r2}]") ", " OUTLIER,
		(struct hr_plan_opts){.locality = "r3/z9"});
	shares(p, got); /* b in r2, then the other b, then a in r2 */
	assert_true(got[6] > 99.9);
	eject(p, 6, true);
	shares(p, got);
	assert_true(fabs(got[2] - 50) < .2 && fabs(got[4] - 50) < .2);
	eject(p, 2, true);
	eject(p, 4, true);
	shares(p, got);
	assert_true(got[5] > 99.9);
}

/* zoneAwareLbSetting: the client's region first, its zones alike; then as failover orders. */
static void test_zone_aware(void **state)
{
#define ZONE(setting) \
	"loadBalancer: {simple: ROUND_ROBIN, zoneAwareLbSetting: {" setting "}}, " OUTLIER
	double got[7];

	(void)state;
	_cleanup_plan_ struct hr_plan *p = make("", ZONE("enabled: true"), here);
	expect(p, 50, 50, 0);
	for (int i = 1; i <= 4; i++)
		eject(p, i, true);
	expect(p, 0, 0, 100);
	_cleanup_plan_ struct hr_plan *q = make("", ZONE("enabled: false"), here);
	expect(q, 100 / 3., 100 / 3., 100 / 3.);
	_cleanup_plan_ struct hr_plan *o = make("", ZONE("failover: [{from: r3, to: r2}]"),
						(struct hr_plan_opts){.locality = "r3/z1"});
	expect(o, 0, 0, 100);
	_cleanup_plan_ struct hr_plan *n =
		make("", ZONE("failoverPriority: ['v=b']"), (struct hr_plan_opts){.node = "n3"});
	shares(n, got); /* b here, then b elsewhere */
	assert_true(got[6] > 99.9);
	eject(n, 6, true);
	expect(n, 50, 50, 0);
}

/* A priority that has too few healthy endpoints uses all of its own (minHealthPercent), if the next
 * ones cannot take what it leaves: `state` as outlier detection sets it. */
static void set_health(const struct hr_plan *p, const char *flags)
{
	for (int i = 1; i <= 6; i++)
		for (size_t k = 0; k < p->eps.len; k++)
			if (p->eps.data[k].addr.ip[15] == i)
				ep_rt[p->eps.data[k].id].flags =
					flags[i - 1] == 'x'   ? HR_EPRT_EJECTED
					: flags[i - 1] == 'u' ? HR_EPRT_EJECTED_USED
							      : 0;
	hr_tables_refresh(tables, 1000);
}

static void test_panic(void **state)
{
	(void)state;
	_cleanup_plan_ struct hr_plan *p = make("", OUTLIER, here);
	/* zone 2 has half of its own left, which is enough for it, but not for all: the others, who
	 * have none, panic, and still get none */
	set_health(p, "uux.uu");
	expect(p, 0, 100, 0);
	/* everybody panics: by size */
	set_health(p, "uuuuuu");
	expect(p, 100 / 3., 100 / 3., 100 / 3.);
	set_health(p, "u.uuuu");
	expect(p, 100 / 3., 100 / 3., 100 / 3.);
	/* the weights of distribute are for health only */
	_cleanup_plan_ struct hr_plan *q = make(
		"", LB("distribute: [{from: '*', to: {r1/z1: 70, r1/z2: 20, 'r2/*': 10}}]"), here);
	set_health(q, "uuu.u.");
	expect(q, 100 / 3., 100 / 3., 100 / 3.);
}

static void test_service(void **state)
{
	double got[7];

	(void)state;
	_cleanup_plan_ struct hr_plan *p =
		make(", trafficDistribution: PreferSameZone", "loadBalancer: {}", here);
	expect(p, 100, 0, 0);
	_cleanup_plan_ struct hr_plan *q =
		make(", trafficDistribution: PreferClose", "loadBalancer: {}",
		     (struct hr_plan_opts){.locality = "r1/z7"});
	expect(q, 50, 50, 0);
	_cleanup_plan_ struct hr_plan *n =
		make(", internalTrafficPolicy: Local", "loadBalancer: {}",
		     (struct hr_plan_opts){.node = "n2"});
	expect(n, 0, 100, 0);
	shares(n, got);
	assert_true(got[3] > 49 && got[4] > 49);
	/* the node before the zone */
	_cleanup_plan_ struct hr_plan *k =
		make(", trafficDistribution: PreferSameNode", "loadBalancer: {}",
		     (struct hr_plan_opts){.node = "n1", .locality = "r1/z2"});
	expect(k, 0, 100, 0);
	/* by the annotation, which takes any case */
	_cleanup_plan_ struct hr_plan *a = plan_with(
		NODE("n1", "r1", "z1") "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n"
				       "metadata: {name: web, annotations: "
				       "{networking.istio.io/traffic-distribution: preferclose}}\n"
				       "spec: {hosts: [web.example.com], addresses: [10.9.0.1], "
				       "resolution: STATIC,\n"
				       " ports: [{number: 80, name: http, protocol: HTTP}],\n"
				       " endpoints: [{address: 10.8.0.1, locality: r1/z1},"
				       " {address: 10.8.0.2, locality: r1/z2}]}\n",
		here);
	assert_string_equal(a->clusters.data[0].by_place, "trafficDistribution");
	assert_int_equal(a->clusters.data[0].places[a->eps.data[1].place].priority, 1);
	/* a rule has the last word */
	_cleanup_plan_ struct hr_plan *o =
		make(", trafficDistribution: PreferSameZone", LB("enabled: false"), here);
	expect(o, 100 / 3., 100 / 3., 100 / 3.);
	_cleanup_plan_ struct hr_plan *l = make(", trafficDistribution: PreferSameZone",
						"loadBalancer: {localityLbSetting: {}}", here);
	expect(l, 100 / 3., 100 / 3., 100 / 3.);
}

/* A hash table has the same shares, and an ejection there moves only what must move. */
static void test_hashed(void **state)
{
	(void)state;
	_cleanup_plan_ struct hr_plan *p =
		make("",
		     "loadBalancer: {consistentHash: {useSourceIp: true, "
		     "maglev: {}}, localityLbSetting: {distribute: [{from: "
		     "'*', to: {r1: 80, r2: 20}}]}}",
		     here);
	expect(p, 40, 40, 20);
	eject(p, 5, true);
	expect(p, 100 * 40 / 94., 100 * 40 / 94., 100 * 14 / 94.);
}

/* Slow start: a newcomer gets 10 %, then more and more, of what it will have. */
static void test_warmup(void **state)
{
	struct hr_ids *ids = hr_ids_new();
	const char *what;
	uint64_t next;

	(void)state;
#define ENTRY(eps, warmup)                                                                   \
	"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s}\n"      \
	"spec: {hosts: [web.example.com], addresses: [10.9.0.1], resolution: STATIC,\n"      \
	" ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [" eps "]}\n---\n"   \
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n"   \
	"spec: {host: web.example.com, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN, " \
	"warmup: {" warmup "}}}}\n"
#define A "{address: 10.8.0.1}"
#define B "{address: 10.8.0.2}"
	static const struct {
		const char *one, *two;
		double at_1s, at_50s;
	} rows[] = {{ENTRY(A, "duration: 100s"), ENTRY(A "," B, "duration: 100s"), .1, .5},
		    {ENTRY(A, "duration: 100s, minimumPercent: 30, aggression: 2"),
		     ENTRY(A "," B, "duration: 100s, minimumPercent: 30, aggression: 2"), .3,
		     .7071}};
	for (size_t k = 0; k < HR_ARRAY_SIZE(rows); k++) {
		_cleanup_plan_ struct hr_plan *p = plan_of(rows[k].one), *q = plan_of(rows[k].two);
		double got[7];

		memset(ep_rt, 0, sizeof(ep_rt));
		memset(cluster_rt, 0, sizeof(cluster_rt));
		hr_tables_free(tables);
		tables = hr_tables_new(&words);
		assert_int_equal(hr_ids_assign(ids, p, &what), 0);
		assert_int_equal(hr_tables_prepare(tables, p, 0), 0);
		hr_tables_flip(tables, p, 0);
		assert_int_equal(hr_tables_warm(tables, 500000), UINT64_MAX);
		assert_int_equal(hr_ids_assign(ids, q, &what), 0);
		assert_int_equal(hr_tables_prepare(tables, q, 500000), 0);
		hr_tables_flip(tables, q, 500000);
		next = hr_tables_warm(tables, 501000);
		assert_in_range(next, 501100, 502000);
		shares(q, got);
		assert_true(fabs(got[2] - 100 * rows[k].at_1s / (1 + rows[k].at_1s)) < .2);
		hr_tables_warm(tables, 550000);
		shares(q, got);
		assert_true(fabs(got[2] - 100 * rows[k].at_50s / (1 + rows[k].at_50s)) < .2);
		assert_int_equal(hr_tables_warm(tables, 600000), UINT64_MAX);
		shares(q, got);
		assert_true(fabs(got[2] - 50) < .01);
	}
	hr_ids_free(ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distribute),
		cmocka_unit_test(test_retry_remote),
		cmocka_unit_test(test_failover),
		cmocka_unit_test(test_failover_regions),
		cmocka_unit_test(test_priority_labels),
		cmocka_unit_test(test_service),
		cmocka_unit_test(test_priority_of_clients),
		cmocka_unit_test(test_too_many_groups),
		cmocka_unit_test(test_priority_and_failover),
		cmocka_unit_test(test_zone_aware),
		cmocka_unit_test(test_panic),
		cmocka_unit_test(test_hashed),
		cmocka_unit_test(test_warmup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
