// SPDX-License-Identifier: Apache-2.0
/*
 * Which DestinationRule a client sees: its own namespace's, then the service's, then the root
 * namespace's; restricted by exportTo and workloadSelector. The service `db` lives in `prod`; each
 * rule says who it is by its maxConnections.
 */
#include "planof.h"

#define SERVICE                                                                  \
	"apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: prod}\n" \
	"spec: {clusterIP: 10.96.7.1, ports: [{name: http, port: 80}]}\n---\n"
#define RULE(ns, name, host, limit, rest)                                                          \
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"                              \
	"metadata: {name: " name ", namespace: " ns "}\n"                                          \
	"spec: {host: \"" host "\", trafficPolicy: {connectionPool: {tcp: {maxConnections: " limit \
	"}}}" rest "}\n---\n"
#define FULL "db.prod.svc.cluster.local"

static const struct hr_plan_cluster *seen(const struct hr_plan *p, const char *subset,
					  const char *ns, const hr_kvs *labels)
{
	_cleanup_sb_ struct hr_strbuf name = {0};

	hr_sb_printf(&name, "outbound|80|%s|" FULL, subset);
	return hr_plan_cluster_seen(p, cluster_of(p, name.data), ns, labels);
}

/* 0: no rule. */
static int limit(const struct hr_plan *p, const char *ns)
{
	const struct hr_plan_cluster *c = seen(p, "", ns, NULL);

	return c->pool ? (int)c->pool->max_connections : 0;
}

static void test_same_for_all(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(SERVICE RULE("prod", "a", "db", "1", ""));

	(void)state;
	assert_int_equal(limit(p, "web"), 1);
	assert_int_equal(cluster_of(p, "outbound|80||" FULL)->n_views, 0);
	assert_int_equal(cluster_of(p, "outbound|80||" FULL)->agent_why, 0);
}

static void test_order_of_namespaces(void **state)
{
	_cleanup_plan_ struct hr_plan *p =
		plan_of(SERVICE RULE("prod", "a", "*.prod.svc.cluster.local", "1", "")
				RULE("istio-system", "b", FULL, "2", "")
					RULE("web", "c", "*.cluster.local", "3", "")
						RULE("web", "d", "db.prod", "4", "")
							RULE("dev", "e", FULL, "5", ""));

	(void)state;
	/* the service's own before the root's, though its host is less specific */
	assert_int_equal(limit(p, "other"), 1);
	assert_int_equal(limit(p, NULL), 1);
	assert_int_equal(limit(p, "prod"), 1);
	assert_int_equal(limit(p, "web"), 4);
	assert_int_equal(limit(p, "dev"), 5);
	assert_int_equal(cluster_of(p, "outbound|80||" FULL)->n_views, 3);
}

static void test_export_to(void **state)
{
	_cleanup_plan_ struct hr_plan *p =
		plan_of(SERVICE RULE("prod", "a", "db", "1", ", exportTo: [\".\", web]")
				RULE("istio-system", "b", FULL, "2", ""));

	(void)state;
	assert_int_equal(limit(p, "prod"), 1);
	assert_int_equal(limit(p, "web"), 1);
	assert_int_equal(limit(p, "other"), 2);
	assert_int_equal(limit(p, NULL), 2);
}

static void test_selector(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(SERVICE RULE("prod", "a", "db", "1", "") RULE(
		"web", "b", FULL, "2", ", workloadSelector: {matchLabels: {app: x}}"));
	struct hr_kv kv = {.key = "app", .value = "x"};
	hr_kvs labels = {&kv, 1};

	(void)state;
	assert_true(p->asks_labels);
	assert_int_equal(seen(p, "", "web", &labels)->pool->max_connections, 2);
	assert_int_equal(limit(p, "web"), 1);
	/* selectors do not reach other namespaces */
	assert_int_equal(seen(p, "", "dev", &labels)->pool->max_connections, 1);
}

/* A rule replaces the other whole: its subsets too. */
static void test_subsets(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(
		SERVICE RULE("prod", "a", "db", "1", ", subsets: [{name: v1}]")
			RULE("web", "b", FULL, "2",
			     ", subsets: [{name: v2}]") "apiVersion: networking.istio.io/v1\nkind: "
							"VirtualService\n"
							"metadata: {name: db, namespace: "
							"prod}\nspec:\n  hosts: [db]\n  http:\n"
							"  - route: [{destination: {host: db, "
							"subset: v2}}]\n");

	(void)state;
	assert_false(seen(p, "v1", "prod", NULL)->missing_subset);
	assert_true(seen(p, "v1", "web", NULL)->missing_subset);
	assert_false(seen(p, "v2", "web", NULL)->missing_subset);
	assert_true(seen(p, "v2", "prod", NULL)->missing_subset);
	assert_int_equal(seen(p, "v2", "web", NULL)->pool->max_connections, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_for_all), cmocka_unit_test(test_order_of_namespaces),
		cmocka_unit_test(test_export_to),    cmocka_unit_test(test_selector),
		cmocka_unit_test(test_subsets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
