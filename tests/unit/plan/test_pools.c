// SPDX-License-Identifier: Apache-2.0
/*
 * connectionPool in the plan: whose settings a cluster has, and which clusters share connections.
 */
#include "unit.h"

#include <stdio.h>

#include "planof.h"

#define SERVICE                                                                         \
	"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s}\n" \
	"spec: {hosts: [web.example.com], addresses: [10.9.0.1], resolution: STATIC,\n" \
	" ports: [{number: 80, name: http, protocol: HTTP},"                            \
	" {number: 81, name: h2, protocol: HTTP}],\n"                                   \
	" endpoints: [{address: 192.0.2.1, labels: {v: \"1\"}}]}\n---\n"                \
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n"

static void add(char *to, size_t n, const char *fmt, int value)
{
	snprintf(to + strlen(to), n - strlen(to), fmt, value);
}

/* All sixteen ways of saying something in four places: port level of the subset, subset, port level
 * of the rule, rule. Each place says another maxRequestsPerConnection; a port level that is there
 * without a pool takes away what stands below it. */
static void test_precedence(void **state)
{
#define POOL "connectionPool: {http: {maxRequestsPerConnection: %d}}"
#define LEVEL "portLevelSettings: [{port: {number: 80}, %s}]"
	(void)state;
	for (int said = 0; said < 256; said++) {
		/* two bits a place: 0 nothing, 1 a pool, 2 (port levels) something else */
		int rule = said & 3, rule_port = said >> 2 & 3, sub = said >> 4 & 3,
		    sub_port = said >> 6, want = 0;
		char text[4096] = SERVICE "spec: {host: web.example.com, trafficPolicy: {",
		     level[256];

		if (rule > 1 || sub > 1 || rule_port > 2 || sub_port > 2)
			continue;
		if (rule)
			add(text, sizeof(text), POOL ",", 1);
		if (rule_port) {
			snprintf(level, sizeof(level), LEVEL,
				 rule_port == 1 ? "connectionPool: {http: "
						  "{maxRequestsPerConnection: 2}}"
						: "loadBalancer: {simple: RANDOM}");
			strcat(text, level);
		}
		strcat(text, "}, subsets: [{name: v1, labels: {v: \"1\"}, trafficPolicy: {");
		if (sub)
			add(text, sizeof(text), POOL ",", 3);
		if (sub_port) {
			snprintf(level, sizeof(level), LEVEL,
				 sub_port == 1 ? "connectionPool: {http: "
						 "{maxRequestsPerConnection: 4}}"
					       : "loadBalancer: {simple: RANDOM}");
			strcat(text, level);
		}
		strcat(text, "}}]}\n");
		struct hr_plan *p = plan_of(text);

		want = rule_port == 1 ? 2 : rule_port == 2 ? 0 : rule;
		assert_int_equal(cluster_of(p, "outbound|80||web.example.com")->conns.max_requests,
				 want);
		want = sub ? 3 : want;
		want = sub_port == 1 ? 4 : sub_port == 2 ? 0 : want;
		assert_int_equal(
			cluster_of(p, "outbound|80|v1|web.example.com")->conns.max_requests, want);
		assert_int_equal(
			cluster_of(p, "outbound|81|v1|web.example.com")->conns.max_requests,
			sub ? 3 : rule);
		hr_plan_free(p);
	}
}

static struct hr_plan_conns conns_with(const char *pool)
{
	char text[4096];
	struct hr_plan *p;
	struct hr_plan_conns k;

	snprintf(text, sizeof(text),
		 SERVICE "spec: {host: web.example.com, trafficPolicy: {connectionPool: {%s}}}\n",
		 pool);
	p = plan_of(text);
	k = cluster_of(p, "outbound|80||web.example.com")->conns;
	k.id = k.name != NULL; /* whether anything is set */
	k.name = NULL;
	hr_plan_free(p);
	return k;
}

/* http.idleTimeout, else tcp.idleTimeout (0: never), else an hour. */
static void test_idle(void **state)
{
	(void)state;
	assert_int_equal(conns_with("tcp: {maxConnections: 1}").idle_ms, 3600000);
	assert_int_equal(conns_with("tcp: {maxConnections: 1}").id, 0);
	assert_int_equal(conns_with("tcp: {idleTimeout: 7s}").idle_ms, 7000);
	assert_int_equal(conns_with("tcp: {idleTimeout: 0s}").idle_ms, 0);
	assert_int_equal(conns_with("tcp: {idleTimeout: 7s}, http: {idleTimeout: 9s}").idle_ms,
			 9000);
}

/* The kernel counts keep-alive in seconds: what is between two is not shorter than asked. */
static void test_keep_alive(void **state)
{
	struct hr_plan_conns k =
		conns_with("tcp: {tcpKeepalive: {time: 1.5s, interval: 200ms, probes: 4}}");

	(void)state;
	assert_true(k.keepalive && k.id);
	assert_int_equal(k.ka_time_s, 2);
	assert_int_equal(k.ka_interval_s, 1);
	assert_int_equal(k.ka_probes, 4);
	assert_false(conns_with("tcp: {connectTimeout: 3s}").keepalive);
	assert_int_equal(conns_with("tcp: {connectTimeout: 3s}").connect_ms, 3000);
}

/* Clusters that say the same share their connections; ids stay over a reload. */
static void test_shared(void **state)
{
	static const char text[] = SERVICE
		"spec: {host: web.example.com, trafficPolicy: {connectionPool: {tcp: "
		"{maxConnectionDuration: 1m}}},\n subsets: [{name: same, labels: {v: \"1\"}},"
		" {name: other, labels: {v: \"1\"}, trafficPolicy: {connectionPool: {http: "
		"{maxRequestsPerConnection: 9}}}},\n {name: none, labels: {v: \"1\"},"
		" trafficPolicy: {connectionPool: {http: {maxRetries: 1}}}}]}\n";
	struct hr_ids *ids = hr_ids_new();
	uint32_t first = 0;

	(void)state;
	for (int round = 0; round < 3; round++) {
		struct hr_plan *p = plan_of(text);
		uint32_t base, other;
		const char *what;

		assert_int_equal(hr_ids_assign(ids, p, &what), 0);
		base = cluster_of(p, "outbound|80||web.example.com")->conns.id;
		other = cluster_of(p, "outbound|80|other|web.example.com")->conns.id;
		assert_int_not_equal(base, 0);
		assert_int_not_equal(base, other);
		assert_int_equal(cluster_of(p, "outbound|80|same|web.example.com")->conns.id, base);
		assert_int_equal(cluster_of(p, "outbound|80|none|web.example.com")->conns.id, 0);
		first = round ? first : base;
		assert_int_equal(base, first);
		hr_plan_free(p);
	}
	hr_ids_free(ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
