// SPDX-License-Identifier: Apache-2.0
/* Host names: a resource in `default` says "reviews" and means
 * reviews.default.svc.cluster.local; "*.foo.com" is every name below foo.com. */
#include "model_test.h"

#include "model/hosts.h"

static void test_fqdn(void **state)
{
	static const struct {
		const char *host, *fqdn;
	} rows[] = {
		{"reviews", "reviews.prod.svc.x.y"},
		{"Reviews.", "reviews.prod.svc.x.y"},
		{"reviews.other.svc", "reviews.other.svc.x.y"},
		{"reviews.other.svc.x.y", "reviews.other.svc.x.y"},
		{"a.b.other.svc", "a.b.other.svc"},
		{"api.example.com.", "api.example.com"},
		{"API.example.com", "api.example.com"},
		{"*.Foo.com", "*.foo.com"},
		{"*", "*"},
		{"10.0.0.1", "10.0.0.1"},
		{"fd00::1", "fd00::1"},
	};
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++)
		assert_string_equal(hr_host_fqdn(a, rows[i].host, "prod", "x.y"), rows[i].fqdn);
}

static void test_known_services(void **state)
{
	/* "reviews.other" may be a service of namespace `other` or a name of the internet */
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	_cleanup_map_ struct hr_map *known = hr_map_new();

	(void)state;
	hr_map_puts(known, "reviews.other.svc.x.y", known);
	hr_map_puts(known, "example.com", known);
	hr_map_puts(known, "example.com.svc.x.y", known);
	assert_string_equal(hr_host_fqdn_known(a, "reviews.other", "prod", "x.y", known),
			    "reviews.other.svc.x.y");
	assert_string_equal(hr_host_fqdn_known(a, "ratings.other", "prod", "x.y", known),
			    "ratings.other");
	assert_string_equal(hr_host_fqdn_known(a, "example.com", "prod", "x.y", known),
			    "example.com");
}

static void test_wildcards(void **state)
{
	(void)state;
	assert_true(hr_host_matches("*.foo.com", "a.foo.com"));
	assert_true(hr_host_matches("*.foo.com", "a.b.foo.com"));
	assert_false(hr_host_matches("*.foo.com", "foo.com"));
	assert_false(hr_host_matches("*.foo.com", ".foo.com"));
	assert_false(hr_host_matches("*.foo.com", "afoo.com"));
	assert_true(hr_host_matches("*", "anything"));
	assert_true(hr_host_matches("a.com", "a.com"));
	assert_false(hr_host_matches("a.com", "b.com"));
	assert_true(hr_host_specificity_cmp("a.com", "*.foo.com") > 0);
	assert_true(hr_host_specificity_cmp("*", "*.com") < 0);
	assert_true(hr_host_specificity_cmp("*.a.com", "*.com") > 0);
	assert_int_equal(hr_host_specificity_cmp("*.b", "*.a"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fqdn),
		cmocka_unit_test(test_known_services),
		cmocka_unit_test(test_wildcards),
	};

	return cmocka_run_group_tests_name("model/hosts", tests, NULL, NULL);
}
