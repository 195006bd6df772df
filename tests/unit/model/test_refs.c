// SPDX-License-Identifier: Apache-2.0
/* Checks between objects: what is defined where, who wins, what is never reached. The simple cases
 * are files of policies/bad; here is what must not be complained about, and who wins. */
#include "model_test.h"

#define SVC(name)                                                          \
	"---\n{apiVersion: v1, kind: Service, metadata: {name: " name "}," \
	" spec: {ports: [{port: 80}]}}\n"
#define ROUTE(host) "{route: [{destination: {host: " host "}}]}"
#define VS(meta, spec)                                                                     \
	"---\n{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {" meta \
	"}, spec: {" spec "}}\n"
#define DR(meta, spec)                                                                      \
	"---\n{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {" meta \
	"}, spec: {" spec "}}\n"

static struct run refs(const char *text)
{
	struct run r = run_text(0, text);

	hr_validate_refs(r.set, "cluster.local", r.diags);
	return r;
}

static void test_every_way_to_name_a_host(void **state)
{
	/* short, name.namespace, .svc, full, another case, trailing dot, a ServiceEntry's wildcard
	 */
	_cleanup_run_ struct run r =
		refs(SVC("reviews") VS("name: x", "hosts: [x], http: [" ROUTE("reviews") "]") VS(
			"name: y", "hosts: [y], http: [" ROUTE("reviews.default") "]")
			     VS("name: z", "hosts: [z], http: [" ROUTE("reviews.default.svc") "]")
				     VS("name: a",
					"hosts: [a], http: [" ROUTE(
						"Reviews.default.svc.cluster."
						"local.") "]") "---\n{apiVersion: "
							       "networking.istio."
							       "io/v1, kind: "
							       "ServiceEntry, "
							       "metadata: {name: "
							       "e},"
							       " spec: {hosts: "
							       "['*.example.com'], "
							       "ports: [{number: "
							       "80, name: "
							       "http}]}}\n" VS("name: b",
									       "hosts: "
									       "[b], http: "
									       "[" ROUTE("api"
											 ".ex"
											 "amp"
											 "le."
											 "co"
											 "m") "]"));

	(void)state;
	assert_clean(&r);
}

static void test_short_name_is_of_its_own_namespace(void **state)
{
	_cleanup_run_ struct run r = refs(SVC("reviews") VS(
		"name: x, namespace: prod", "hosts: [x], http: [" ROUTE("reviews") "]"));

	(void)state;
	assert_said(&r, "no Service or ServiceEntry defines host "
			"\"reviews.prod.svc.cluster.local\"");
}

static void test_a_part_of_a_configuration(void **state)
{
	/* rules alone, as in a repository of their own: hosts are defined elsewhere; one notice */
	_cleanup_run_ struct run r =
		refs(VS("name: x", "hosts: [x], http: [" ROUTE("reviews") "]"));

	(void)state;
	assert_clean(&r);
	assert_said(&r, "notice: no Service or ServiceEntry was given");
	assert_int_equal(r.diags->list.len, 1);
}

static void test_subsets_of_wildcard_and_merged_rules(void **state)
{
	_cleanup_run_ struct run r = refs(
		SVC("reviews") DR("name: all",
				  "host: '*.default.svc.cluster.local', subsets: [{name: v9}]")
			DR("name: one", "host: reviews, subsets: [{name: v1}]") DR(
				"name: two",
				"host: reviews.default.svc.cluster.local, subsets: [{name: v2}]")
				VS("name: x",
				   "hosts: [x], http: [{route: ["
				   "{destination: {host: reviews, subset: v1}, weight: 50},"
				   "{destination: {host: reviews, subset: v2}, weight: 30},"
				   "{destination: {host: reviews, subset: v9}, weight: 20}]}]"));

	(void)state;
	assert_clean(&r);
}

static void test_two_rules_for_one_host(void **state)
{
	_cleanup_run_ struct run r = refs(
		SVC("reviews") DR("name: one",
				  "host: reviews, trafficPolicy: {loadBalancer: {simple: RANDOM}},"
				  " subsets: [{name: v1}]")
			DR("name: two",
			   "host: reviews, trafficPolicy: {loadBalancer: {simple: RANDOM}},"
			   " subsets: [{name: v1}]"));

	(void)state;
	assert_int_equal(r.diags->errors, 0);
	assert_said(&r, "DestinationRule default/one has a trafficPolicy for the same host");
	assert_said(&r, "DestinationRule default/one has a subset \"v1\"");
}

static void test_the_oldest_claim_wins(void **state)
{
	/* x would win by name, y is older: x is told */
	_cleanup_run_ struct run r =
		refs(SVC("reviews") VS("name: x, creationTimestamp: '2026-02-01T00:00:00Z'",
				       "hosts: [reviews], http: [" ROUTE("reviews") "]")
			     VS("name: y, creationTimestamp: '2026-01-01T00:00:00Z'",
				"hosts: [other, reviews.default], http: [" ROUTE("reviews") "]"));

	(void)state;
	assert_int_equal(r.diags->errors, 1);
	assert_said(&r, "host \"reviews\" already belongs to VirtualService default/y");
	assert_string_equal(r.diags->list.data[0].name, "x");
}

static void test_claims_that_do_not_meet(void **state)
{
	/* for a gateway only; private to another namespace */
	_cleanup_run_ struct run gw = refs(
		SVC("reviews") VS("name: x", "hosts: [reviews], http: [" ROUTE("reviews") "]")
			VS("name: y",
			   "hosts: [reviews], gateways: [ns/gw], http: [" ROUTE("reviews") "]"));
	_cleanup_run_ struct run ns =
		refs(SVC("reviews") VS("name: x", "hosts: [reviews], http: [" ROUTE("reviews") "]")
			     VS("name: y, namespace: b",
				"hosts: [reviews.default.svc.cluster.local],"
				" exportTo: ['.'], http: [" ROUTE(
					"reviews.default.svc.cluster.local") "]"));

	(void)state;
	assert_int_equal(gw.diags->errors, 0);
	assert_clean(&ns);
}

/* Rules in order; the last must (not) be said to be unreachable. */
static bool never_reached(const char *rules)
{
	char text[2048];
	bool is;

	snprintf(text, sizeof(text),
		 VS("name: x", "hosts: [x], http: [%s, {route: [{destination: {host: x}}]}]"),
		 rules);
	{
		_cleanup_run_ struct run r = refs(text);

		assert_int_equal(r.diags->errors, 0);
		is = said(&r, "never reached");
	}
	return is;
}

#define M(cond) "{match: [{" cond "}], route: [{destination: {host: x}}]}"

static void test_reach(void **state)
{
	(void)state;
	/* the earlier one covers the later one */
	assert_true(never_reached(M("uri: {prefix: /}")));
	assert_true(never_reached(M("uri: {prefix: /a}") "," M("uri: {exact: /a/b}")));
	assert_true(never_reached(M("headers: {a: {}}") "," M("headers: {A: {exact: x}}")));
	assert_true(
		never_reached(M("method: {exact: GET}") "," M("method: {exact: GET}, port: 80")));
	assert_true(never_reached(
		M("withoutHeaders: {a: {exact: x}}") "," M("withoutHeaders: {a: {}}")));
	/* both entries of one rule, by two earlier rules */
	assert_true(never_reached(M("uri: {prefix: /a}") "," M(
		"uri: {prefix: /b}") ",{match: [{uri: {exact: /a1}}, {uri: {exact: /b1}}], route: "
				     "[{destination: {host: "
				     "x}}]}"));
	/* it does not */
	assert_false(never_reached(M("uri: {exact: /a}") "," M("uri: {prefix: /a}")));
	assert_false(never_reached(M("uri: {prefix: /a}") "," M("uri: {exact: /A}")));
	assert_false(never_reached(M("headers: {a: {exact: x}}") "," M("headers: {a: {}}")));
	assert_false(
		never_reached(M("headers: {a: {exact: x}}") "," M("headers: {a: {exact: X}}")));
	assert_false(never_reached(M("uri: {prefix: /a}, port: 80") "," M("uri: {prefix: /a}")));
	assert_false(never_reached(
		M("withoutHeaders: {a: {}}") "," M("withoutHeaders: {a: {exact: x}}")));
	assert_false(never_reached(M("gateways: [mesh]") "," M("port: 80")));
	assert_false(
		never_reached(M("uri: {prefix: /a}") ",{match: [{uri: {exact: /a1}}, {uri: {exact: "
						     "/b1}}], route: [{destination: {host: "
						     "x}}]}"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_way_to_name_a_host),
		cmocka_unit_test(test_short_name_is_of_its_own_namespace),
		cmocka_unit_test(test_a_part_of_a_configuration),
		cmocka_unit_test(test_subsets_of_wildcard_and_merged_rules),
		cmocka_unit_test(test_two_rules_for_one_host),
		cmocka_unit_test(test_the_oldest_claim_wins),
		cmocka_unit_test(test_claims_that_do_not_meet),
		cmocka_unit_test(test_reach),
	};

	return cmocka_run_group_tests_name("model/refs", tests, NULL, NULL);
}
