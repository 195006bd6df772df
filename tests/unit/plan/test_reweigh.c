// SPDX-License-Identifier: Apache-2.0
/*
 * New weights in a plan that is in use: the same bytes as a plan that was built with them, whatever
 * the weights were before.
 *
 *	web :80 :81  10.9.0.1, fd00::9    rule 0 (match /a)  v1, v2     the one that changes: rule 1
 *	                                  rule 1 (all)       v1, v2     v1 is 10.0.0.1 only,
 *	                                                                v2 is 10.0.0.2 and fd00::2
 */
#include "planof.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char head[] =
	"apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
	"spec: {clusterIP: 10.9.0.1, clusterIPs: [10.9.0.1, 'fd00::9'], selector: {app: web},\n"
	"  ports: [{name: http, port: 80}, {name: http-b, port: 81}]}\n---\n"
	"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: web, version: v1}}\n"
	"status: {phase: Running, podIP: 10.0.0.1}\n---\n"
	"apiVersion: v1\nkind: Pod\nmetadata: {name: b, labels: {app: web, version: v2}}\n"
	"status: {phase: Running, podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.2}, {ip: "
	"'fd00::2'}]}\n---\n"
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web}\n"
	"spec: {host: web, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: "
	"{version: v2}}, {name: v3, labels: {version: v3}}]}\n---\n"
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\n"
	"spec:\n  hosts: [web, web.example.org]\n  http:\n";

static struct hr_plan *plan_weighing(const int *w)
{
	char yaml[4096];

	snprintf(yaml, sizeof(yaml),
		 "%s  - match: [{uri: {prefix: /a}}]\n    route:\n"
		 "    - {destination: {host: web, subset: v1}, weight: 40}\n"
		 "    - {destination: {host: web, subset: v2}, weight: 60}\n"
		 "  - route:\n"
		 "    - {destination: {host: web, subset: v1}, weight: %d}\n"
		 "    - {destination: {host: web, subset: v2}, weight: %d}\n"
		 "    - {destination: {host: web, subset: v3}, weight: %d}\n",
		 head, w[0], w[1], w[2]);
	return plan_of(yaml);
}

static char *dump_of(const struct hr_plan *p)
{
	struct hr_strbuf out = {};

	hr_plan_dump(p, &out);
	return out.data;
}

static void draw(int *w)
{
	static const int some[] = {0, 0, 1, 5, 50, 95, 100};

	do
		for (int i = 0; i < 3; i++)
			w[i] = some[rand() % (int)HR_ARRAY_SIZE(some)];
	while (!(w[0] + w[1] + w[2]));
}

static int reweigh(struct hr_plan *p, const int *w, struct hr_reweighed *what)
{
	const uint32_t weights[] = {(uint32_t)w[0], (uint32_t)w[1], (uint32_t)w[2]};

	return hr_plan_reweigh(p, p->objects->virtual_services.data[0], 1, weights, 3, what);
}

static void test_as_if_built(void **state)
{
	struct hr_reweighed what;
	size_t vips = 0;
	int w[3] = {90, 10, 0};
	_cleanup_plan_ struct hr_plan *p = plan_weighing(w);

	(void)state;
	srand(4);
	for (int i = 0; i < 200; i++) {
		_cleanup_plan_ struct hr_plan *built = NULL;
		_cleanup_free_ char *a = NULL, *b = NULL;

		draw(w);
		assert_int_equal(reweigh(p, w, &what), 0);
		built = plan_weighing(w);
		a = dump_of(p);
		b = dump_of(built);
		if (!hr_streq(a, b))
			fail_msg("%d/%d/%d:\n%s\n--- built:\n%s", w[0], w[1], w[2], a, b);
		for (size_t k = 0; k < p->vips.len; k++)
			assert_int_equal(p->vips.data[k].cluster, built->vips.data[k].cluster);
		for (size_t k = 0; k < p->vhosts.len; k++)
			assert_int_equal(p->vhosts.data[k].default_cluster,
					 built->vhosts.data[k].default_cluster);
		assert_int_equal(
			p->objects->virtual_services.data[0]->http.data[1].route.data[1].weight,
			w[1]);
		/* one host and its other name, on two ports each */
		assert_int_equal(what.n_vhosts, built->vhosts.len);
		vips += what.n_vips;
	}
	assert_true(vips >
		    50); /* where connect() goes changed now and then, or nothing was tested */
}

/* Every request during a change gets weights that somebody set, never a mixture that sums to less
 * than its parts: a destination is always found. */
static void test_pick_follows(void **state)
{
	int w[3] = {100, 0, 0};
	_cleanup_plan_ struct hr_plan *p = plan_weighing(w);
	struct hr_reweighed what;
	const struct hr_plan_route *r;
	int seen[3] = {};

	(void)state;
	w[0] = 1, w[1] = 2, w[2] = 1;
	assert_int_equal(reweigh(p, w, &what), 0);
	r = &p->routes.data[what.routes[0]];
	for (uint32_t i = 0; i < 4000; i++) {
		const struct hr_plan_dst *dst = NULL;

		assert_non_null(hr_plan_pick_cluster(p, r, i << 20, &dst));
		seen[dst - r->dst]++;
	}
	assert_int_equal(seen[0], 1024);
	assert_int_equal(seen[1], 2048);
}

/* A delegate's rules are copies in its root's plan: refused, and nothing is changed. */
static void test_refused(void **state)
{
	static const char root[] =
		"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: root}\n"
		"spec: {hosts: [web], http: [{match: [{uri: {prefix: /}}], delegate: {name: "
		"web}}]}\n";
	_cleanup_free_ char *before = NULL, *after = NULL;
	const uint32_t weights[] = {30, 70};
	struct hr_reweighed what = {.n_routes = 77};
	_cleanup_plan_ struct hr_plan *p = NULL;
	const struct hr_virtual_service *web;
	char yaml[4096], *hosts;

	(void)state;
	snprintf(yaml, sizeof(yaml),
		 "%s  - route: [{destination: {host: web, subset: v1}, weight: 40}, {destination: "
		 "{host: web, subset: v2}, weight: 60}]\n---\n%s",
		 head, root);
	hosts = strstr(yaml, "  hosts: [web, web.example.org]\n");
	memset(hosts, ' ', strlen("  hosts: [web, web.example.org]"));
	p = plan_of(yaml);
	web = p->objects->virtual_services.data[1];
	assert_string_equal(web->meta.name, "web");
	before = dump_of(p);
	assert_int_equal(hr_plan_reweigh(p, web, 0, weights, 2, &what), -EOPNOTSUPP);
	after = dump_of(p);
	assert_string_equal(before, after);
	assert_int_equal(web->http.data[0].route.data[0].weight, 40);
	assert_int_equal(what.n_routes, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_if_built),
		cmocka_unit_test(test_pick_follows),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("plan reweigh", tests, NULL, NULL);
}
