// SPDX-License-Identifier: Apache-2.0
/* Which names are the mesh's, and whose address they get; and what resolv.conf says. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/net.h"
#include "dns/names.h"
#include "dns/resolv.h"

static struct hr_addr addr(int last)
{
	struct hr_addr a;
	char text[32];

	snprintf(text, sizeof(text), "10.0.0.%d", last);
	assert_int_equal(hr_addr_parse(text, &a), 0);
	return a;
}

static int find(const struct hr_dns_names *t, const char *name, const char *ns,
		const char *const *search, size_t nsearch)
{
	const struct hr_dns_addrs *a = hr_dns_names_find(t, name, ns, search, nsearch);

	return a ? a->addrs[0].ip[15] : 0;
}

static void test_names(void **state)
{
	static const char *const search[] = {"corp.example", "default.svc.cluster.local"};
	struct hr_addr a[6] = {addr(1), addr(2), addr(3), addr(4), addr(5), addr(6)};
	struct hr_plan_name names[] = {
		{"reviews.other.svc.cluster.local", 1, &a[0], "other"},
		{"reviews.default.svc.cluster.local", 1, &a[1], "default"},
		{"only.other.svc.cluster.local", 1, &a[2], "other"},
		{"api.example.com", 1, &a[3], "default"},
		{"*.wild.example.com", 1, &a[4], "default"},
		{"headless.default.svc.cluster.local", 0, NULL, "default"},
		/* written by hand: not to be taken by the short form of a service */
		{"only", 1, &a[5], "default"},
	};
	struct hr_plan plan = {.cluster_domain = "cluster.local"};
	static const struct {
		const char *name, *ns;
		int last;
	} t[] = {
		{"reviews.default.svc.cluster.local", "default", 2},
		{"reviews.default.svc", "default", 2},
		{"reviews.default", "default", 2},
		{"reviews", "default", 2},
		{"reviews", "other", 1},
		{"reviews", "third", 2},
		{"reviews.other", "default", 1},
		{"only", "default", 6},
		{"only", "other", 3},
		{"only.other.svc", "default", 3},
		{"reviews.corp.example", "default", 2},
		{"reviews.other.corp.example", "default", 1},
		{"reviews.default.svc.cluster.local.corp.example", "default", 2},
		{"api.example.com", "default", 4},
		{"api.example.com.corp.example", "default", 4},
		{"x.wild.example.com", "default", 5},
		{"x.y.wild.example.com", "default", 5},
		{"wild.example.com", "default", 0},
		{"headless", "default", 0},
		{"api", "default", 0},
		{"xreviews", "default", 0},
		{"reviews.default.svc.cluster.localx", "default", 0},
		{"reviewscorp.example", "default", 0},
		{"corp.example", "default", 0},
		{"", "default", 0},
	};
	struct hr_dns_names *n;

	(void)state;
	plan.names.data = names;
	plan.names.len = sizeof(names) / sizeof(names[0]);
	n = hr_dns_names_new(&plan);
	memset(names, 0, sizeof(names)); /* it is a copy */
	memset(a, 0, sizeof(a));
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (find(n, t[i].name, t[i].ns, search, 2) != t[i].last)
			fail_msg("%s from %s", t[i].name, t[i].ns);
	assert_int_equal(find(n, "reviews.corp.example", "default", NULL, 0), 0);
	hr_dns_names_free(n);
	n = hr_dns_names_new(NULL);
	assert_int_equal(find(n, "reviews", "default", search, 2), 0);
	hr_dns_names_free(n);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_resolv(void **state)
{
	char path[] = "/tmp/http-resolv-XXXXXX";
	struct hr_resolv r = {0};
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	write_file(path,
		   "# nameserver 9.9.9.9\nnameserver 10.0.0.1 # first\nnameserver fe80::1%eth0\n"
		   "nameserver fd00::53\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n"
		   "domain old.example\nsearch A.example. b.example\noptions ndots:5\n");
	assert_true(hr_resolv_refresh(&r, path));
	assert_int_equal(r.nservers, 3);
	assert_int_equal(r.servers[0].ip[15], 1);
	assert_false(hr_addr_is4(&r.servers[1]));
	assert_int_equal(r.nsearch, 2);
	assert_string_equal(r.search[0], "a.example");
	assert_string_equal(r.search[1], "b.example");
	assert_false(hr_resolv_refresh(&r, path));
	/* being rewritten, or gone: the last good one stays */
	write_file(path, "");
	assert_false(hr_resolv_refresh(&r, path));
	assert_int_equal(r.nservers, 3);
	write_file(path, "nameserver 10.0.0.7\n");
	assert_true(hr_resolv_refresh(&r, path));
	assert_int_equal(r.nservers, 1);
	assert_int_equal(r.nsearch, 0);
	unlink(path);
	assert_false(hr_resolv_refresh(&r, path));
	assert_int_equal(r.nservers, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_resolv),
	};

	return cmocka_run_group_tests_name("dns names", tests, NULL, NULL);
}
