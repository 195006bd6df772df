// SPDX-License-Identifier: Apache-2.0
/* Checks between objects: what is defined where, who wins, what is never reached. The simple cases
 * are files of policies/bad; here is what must not be complained about, and who wins. */
#include "model_test.h"

static struct hr_arena *arena; /* of the texts of one test */

static int make_arena(void **state)
{
	(void)state;
	arena = hr_arena_new();
	return 0;
}

static int drop_arena(void **state)
{
	(void)state;
	hr_arena_free(arena);
	return 0;
}

static const char *object(const char *kind, const char *meta, const char *spec)
{
	return hr_arena_printf(
		arena, "---\n{apiVersion: %s, kind: %s, metadata: {%s}, spec: {%s}}\n",
		hr_streq(kind, "Service") ? "v1" : "networking.istio.io/v1", kind, meta, spec);
}

static const char *service(const char *name)
{
	return object("Service", hr_arena_printf(arena, "name: %s", name), "ports: [{port: 80}]");
}

/* A VirtualService for `hosts` with one route to `dest`; `more` goes into its spec. */
static const char *vs(const char *meta, const char *hosts, const char *dest, const char *more)
{
	return object("VirtualService", meta,
		      hr_arena_printf(arena,
				      "hosts: [%s], http: [{route: [{destination: {host: %s}}]}]%s",
				      hosts, dest, more));
}

static const char *dr(const char *name, const char *spec)
{
	return object("DestinationRule", hr_arena_printf(arena, "name: %s", name), spec);
}

static struct run refs(const char *const *texts)
{
	_cleanup_sb_ struct hr_strbuf all = {};
	struct run r;

	for (; *texts; texts++)
		hr_sb_add(&all, *texts);
	r = run_text(HR_DECODE_UNBUILT, all.data);
	hr_validate_refs(r.set, "cluster.local", r.diags);
	return r;
}
#define REFS(...) refs((const char *[]){__VA_ARGS__, NULL})

static void test_every_way_to_name_a_host(void **state)
{
	_cleanup_run_ struct run r =
		REFS(service("reviews"), vs("name: a", "a", "reviews", ""),
		     vs("name: b", "b", "reviews.default", ""),
		     vs("name: c", "c", "reviews.default.svc", ""),
		     vs("name: d", "d", "Reviews.default.svc.cluster.local.", ""));

	(void)state;
	assert_clean(&r);
}

static void test_wildcard_of_a_service_entry(void **state)
{
	_cleanup_run_ struct run r =
		REFS(object("ServiceEntry", "name: e",
			    "hosts: ['*.example.com'], ports: [{number: 80, name: http}]"),
		     vs("name: a", "a", "api.example.com", ""));

	(void)state;
	assert_int_equal(r.diags->errors, 0);
	assert_false(said(&r, "defines host"));
}

static void test_short_name_is_of_its_own_namespace(void **state)
{
	_cleanup_run_ struct run r =
		REFS(service("reviews"), vs("name: a, namespace: prod", "a", "reviews", ""));

	(void)state;
	assert_said(&r, "no Service or ServiceEntry defines host "
			"\"reviews.prod.svc.cluster.local\"");
}

static void test_a_part_of_a_configuration(void **state)
{
	/* rules alone, as in a repository of their own: hosts are defined elsewhere; one notice */
	_cleanup_run_ struct run r = REFS(vs("name: a", "a", "reviews", ""));

	(void)state;
	assert_clean(&r);
	assert_said(&r, "notice: no Service or ServiceEntry was given");
	assert_int_equal(r.diags->list.len, 1);
}

static void test_subsets_of_wildcard_and_merged_rules(void **state)
{
	_cleanup_run_ struct run r =
		REFS(service("reviews"),
		     dr("all", "host: '*.default.svc.cluster.local', subsets: [{name: v9}]"),
		     dr("one", "host: reviews, subsets: [{name: v1}]"),
		     dr("two", "host: reviews.default.svc.cluster.local, subsets: [{name: v2}]"),
		     object("VirtualService", "name: a",
			    "hosts: [a], http: [{route: ["
			    "{destination: {host: reviews, subset: v1}, weight: 50},"
			    "{destination: {host: reviews, subset: v2}, weight: 30},"
			    "{destination: {host: reviews, subset: v9}, weight: 20}]}]"));

	(void)state;
	assert_clean(&r);
}

static void test_two_rules_for_one_host(void **state)
{
	static const char spec[] = "host: reviews, subsets: [{name: v1}],"
				   "trafficPolicy: {loadBalancer: {simple: RANDOM}}";
	_cleanup_run_ struct run r = REFS(service("reviews"), dr("one", spec), dr("two", spec));

	(void)state;
	assert_int_equal(r.diags->errors, 0);
	assert_int_equal(r.diags->warnings, 2);
	assert_said(&r, "DestinationRule default/one has a trafficPolicy for the same host");
	assert_said(&r, "DestinationRule default/one has a subset \"v1\"");
}

static void test_the_oldest_claim_wins(void **state)
{
	/* a would win by name, b is older: a is told */
	_cleanup_run_ struct run r = REFS(
		service("reviews"),
		vs("name: a, creationTimestamp: '2026-02-01T00:00:00Z'", "reviews", "reviews", ""),
		vs("name: b, creationTimestamp: '2026-01-01T00:00:00Z'", "other, reviews.default",
		   "reviews", ""));

	(void)state;
	assert_int_equal(r.diags->errors, 1);
	assert_said(&r, "host \"reviews\" already belongs to VirtualService default/b");
	assert_string_equal(r.diags->list.data[0].name, "a");
}

static void test_claims_that_do_not_meet(void **state)
{
	/* one is for a gateway only; one is private to another namespace */
	_cleanup_run_ struct run gateway =
		REFS(service("reviews"), vs("name: a", "reviews", "reviews", ""),
		     vs("name: b", "reviews", "reviews", ", gateways: [ns/gw]"));
	_cleanup_run_ struct run private =
		REFS(service("reviews"), vs("name: a", "reviews", "reviews", ""),
		     vs("name: b, namespace: b", "reviews.default.svc", "reviews.default.svc",
			", exportTo: ['.']"));

	(void)state;
	assert_int_equal(gateway.diags->errors, 0);
	assert_int_equal(private.diags->errors, 0);
}

/* Is one of these rules said to be unreachable? Each is what one match list holds, the last is
 * followed by a rule that matches all. */
static bool never_reached(const char *const *matches)
{
	_cleanup_sb_ struct hr_strbuf http = {};
	const char *text;

	for (; *matches; matches++)
		hr_sb_printf(&http, "{match: [%s], route: [{destination: {host: a}}]}, ", *matches);
	text = object("VirtualService", "name: a",
		      hr_arena_printf(arena,
				      "hosts: [a], http: [%s{route: [{destination: {host: a}}]}]",
				      http.data));
	{
		_cleanup_run_ struct run r = REFS(text);

		assert_int_equal(r.diags->errors, 0);
		return said(&r, "never reached");
	}
}
#define REACHED(...) (!never_reached((const char *[]){__VA_ARGS__, NULL}))

static void test_covered_rules(void **state)
{
	(void)state;
	assert_false(REACHED("{uri: {prefix: /}}"));
	assert_false(REACHED("{uri: {prefix: /a}}", "{uri: {exact: /a/b}}"));
	assert_false(REACHED("{headers: {a: {}}}", "{headers: {A: {exact: x}}}"));
	assert_false(REACHED("{method: {exact: GET}}", "{method: {exact: GET}, port: 80}"));
	assert_false(REACHED("{withoutHeaders: {a: {exact: x}}}", "{withoutHeaders: {a: {}}}"));
	/* both entries of one list, by two earlier rules */
	assert_false(REACHED("{uri: {prefix: /a}}", "{uri: {prefix: /b}}",
			     "{uri: {exact: /a1}}, {uri: {exact: /b1}}"));
}

static void test_rules_that_are_reached(void **state)
{
	(void)state;
	assert_true(REACHED("{uri: {exact: /a}}", "{uri: {prefix: /a}}"));
	assert_true(REACHED("{uri: {prefix: /a}}", "{uri: {exact: /A}}"));
	assert_true(REACHED("{headers: {a: {exact: x}}}", "{headers: {a: {}}}"));
	assert_true(REACHED("{headers: {a: {exact: x}}}", "{headers: {a: {exact: X}}}"));
	assert_true(REACHED("{uri: {prefix: /a}, port: 80}", "{uri: {prefix: /a}}"));
	assert_true(REACHED("{withoutHeaders: {a: {}}}", "{withoutHeaders: {a: {exact: x}}}"));
	assert_true(REACHED("{gateways: [mesh]}", "{port: 80}"));
	assert_true(REACHED("{uri: {prefix: /a}}", "{uri: {exact: /a1}}, {uri: {exact: /b1}}"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_arena, drop_arena)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_way_to_name_a_host),
		TEST(test_wildcard_of_a_service_entry),
		TEST(test_short_name_is_of_its_own_namespace),
		TEST(test_a_part_of_a_configuration),
		TEST(test_subsets_of_wildcard_and_merged_rules),
		TEST(test_two_rules_for_one_host),
		TEST(test_the_oldest_claim_wins),
		TEST(test_claims_that_do_not_meet),
		TEST(test_covered_rules),
		TEST(test_rules_that_are_reached),
	};

	return cmocka_run_group_tests_name("model/refs", tests, NULL, NULL);
}
