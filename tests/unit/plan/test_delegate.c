// SPDX-License-Identifier: Apache-2.0
/*
 * VirtualServices that speak together: delegates merged into their root by Istio's rules, and those
 * that only some namespaces see.
 */
#include "asked.h"
#include "planof.h"

#include <stdio.h>

#define SERVICE(name, ns)                                                                \
	"apiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: " ns "}\n" \
	"spec: {clusterIP: None, ports: [{name: http, port: 80}]}\n---\n"                \
	"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: " name   \
	", namespace: " ns ", labels: {kubernetes.io/service-name: " name "}}\n"         \
	"addressType: IPv4\nports: [{name: http, port: 80}]\nendpoints: [{addresses: "   \
	"[10.0.0.1]}]\n---\n"
#define VS(name, ns)                                                                       \
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " name \
	", namespace: " ns "}\nspec:\n"
#define TO(host) "    route: [{destination: {host: " host "}}]\n"

/* Host of the destination that a GET of `path` at web gets; "404", "nobody". */
static const char *to(const struct hr_plan *p, const char *path, const char *from_ns)
{
	struct asked q = {.method = "GET",
			  .path = path,
			  .host = "web.shop",
			  .port = 80,
			  .source_ns = from_ns};
	struct hr_plan_req req = asked_req(&q);
	struct hr_plan_match m;

	hr_plan_match(p, &req, &m);
	if (!m.vhost)
		return "nobody";
	if (!m.route)
		return "404";
	return p->clusters.data[m.route->dst[0].cluster].host;
}

/*
 *	root (shop) /a -> delegate inner (team):  /a/b -> one   /c -> two (conflict)   (none) ->
 *one.team /x or /y -> delegate missing  (left out) else -> web
 */
static const char delegating[] = SERVICE("web", "shop") SERVICE("one", "team") SERVICE("two",
										       "team")
	VS("root",
	   "shop") "  hosts: [web]\n  http:\n"
		   "  - name: outer\n    match: [{uri: {prefix: /a}, headers: {x-h: {exact: v}}}, "
		   "{uri: {prefix: "
		   "/aa}}]\n    delegate: {name: inner, namespace: team}\n    timeout: 3s\n"
		   "  - match: [{uri: {prefix: /x}}]\n    delegate: {name: missing}\n"
		   "  - {route: [{destination: {host: web}}]}\n---\n" VS(
			   "inner",
			   "team") "  http:\n"
				   "  - name: deep\n    match: [{uri: {prefix: /a/b}}]\n    "
				   "timeout: 1s\n" TO(
					   "one") "  - match: [{uri: {prefix: "
						  "/c}}]\n" TO("two") "  - match: "
								      "[{method: "
								      "{exact: "
								      "PUT}}]\n" TO(
									      "two") "  "
										     "- "
										     "na"
										     "me"
										     ": "
										     "re"
										     "st"
										     "\n" TO("one");

static void test_delegate(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(delegating);
	struct asked q = {.method = "GET", .path = "/a/b", .host = "web.shop", .port = 80};
	struct hr_plan_req req = asked_req(&q);
	struct hr_plan_match m;

	(void)state;
	assert_string_equal(to(p, "/aa", NULL), "one.team.svc.cluster.local");
	assert_string_equal(to(p, "/x", NULL), "web.shop.svc.cluster.local");
	assert_string_equal(to(p, "/c", NULL), "web.shop.svc.cluster.local");
	assert_string_equal(to(p, "/a/b", NULL), "web.shop.svc.cluster.local");
	q.headers[0].name = "x-h";
	q.headers[0].value = "v";
	q.nheaders = 1;
	hr_plan_match(p, &req, &m);
	assert_string_equal(m.route->http->name, "outer-deep");
	assert_int_equal(m.route->timeout, 1000);
	q.path = "/a";
	req = asked_req(&q);
	hr_plan_match(p, &req, &m);
	assert_string_equal(m.route->http->name, "outer-rest");
	assert_int_equal(m.route->timeout, 3000);
	q.path = "/aa";
	q.method = "PUT";
	req = asked_req(&q);
	hr_plan_match(p, &req, &m);
	assert_string_equal(p->clusters.data[m.route->dst[0].cluster].host,
			    "two.team.svc.cluster.local");
}

/* What is left out is said, with the place. */
static void test_delegate_said(void **state)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	_cleanup_sb_ struct hr_strbuf said = {0};
	struct hr_plan_opts opts = {.cluster_domain = "cluster.local"};
	struct hr_decoder *d = hr_decoder_new(0, diags);
	_cleanup_plan_ struct hr_plan *p = NULL;

	(void)state;
	hr_decode_text(d, "t.yaml", delegating, strlen(delegating));
	assert_int_equal(hr_plan_build(&p, hr_decoder_finish(d), &opts, diags), 0);
	for (size_t i = 0; i < diags->list.len; i++)
		hr_diag_text(&diags->list.data[i], &said);
	assert_non_null(strstr(said.data, "shop/missing is no delegate"));
	assert_non_null(
		strstr(said.data, "team/inner has a route whose match does not lie within"));
}

/* A delegate may keep to itself (exportTo), and then is none for others. */
static void test_delegate_not_exported(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(SERVICE("web", "shop") VS(
		"root",
		"shop") "  hosts: [web]\n  http:\n"
			"  - delegate: {name: inner, namespace: "
			"team}\n---\n" VS("inner", "team") "  exportTo: ['.']\n  http:\n  -\n" TO(
				"web.shop"));

	(void)state;
	assert_string_equal(to(p, "/", NULL), "404");
}

/*
 * Three speak for web: red's own (seen in red), one for blue and green, one for all, which is the
 * oldest and yet comes last. Red's has no rule for /other, and then nobody's: 404.
 */
static void test_export_to(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(
		SERVICE("web", "shop") SERVICE("one", "shop") SERVICE("two", "shop")
			VS("a", "shop") "  hosts: [web]\n  http:\n  -\n" TO("web") "---\n" VS(
				"b",
				"shop") "  hosts: [web]\n  exportTo: [blue, green]\n"
					"  http:\n  -\n" TO("two") "---\n" VS(
						"c",
						"red") "  hosts: [web.shop.svc.cluster.local]\n"
						       "  exportTo: ['.']\n  http:\n"
						       "  - match: [{uri: {exact: /}}]\n" TO(
							       "one.shop"));
	static const struct {
		const char *ns, *path, *to;
	} rows[] = {
		{"red", "/", "one.shop.svc.cluster.local"},
		{"red", "/other", "404"},
		{"blue", "/", "two.shop.svc.cluster.local"},
		{"green", "/other", "two.shop.svc.cluster.local"},
		{"shop", "/", "web.shop.svc.cluster.local"},
		{NULL, "/", "web.shop.svc.cluster.local"},
	};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++)
		assert_string_equal(to(p, rows[i].path, rows[i].ns), rows[i].to);
}

/* Without anybody who speaks for all, the others get the service itself. */
static void test_export_to_default(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(SERVICE("web", "shop") SERVICE("one", "shop") VS(
		"a", "shop") "  hosts: [web]\n  exportTo: ['.']\n  http:\n  -\n" TO("one"));

	(void)state;
	assert_string_equal(to(p, "/", "shop"), "one.shop.svc.cluster.local");
	assert_string_equal(to(p, "/", "red"), "web.shop.svc.cluster.local");
}

/* A workload's labels: those it was attached with, else those of its Pod. */
static void test_labels(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(SERVICE(
		"web", "shop") "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: "
			       "shop, labels: {a: pod}}\n---\n" VS(
				       "v", "shop") "  hosts: [web]\n  http:\n  - match: "
						    "[{sourceLabels: {a: pod}}]\n" TO("web"));
	struct hr_kv kv = {.key = "a", .value = "own"};
	hr_kvs none = {}, own = {&kv, 1};

	(void)state;
	assert_string_equal(hr_plan_labels(p, "shop", "p", &none)->data[0].value, "pod");
	assert_string_equal(hr_plan_labels(p, "shop", "p", &own)->data[0].value, "own");
	assert_int_equal(hr_plan_labels(p, "shop", "q", &none)->len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delegate),
		cmocka_unit_test(test_delegate_said),
		cmocka_unit_test(test_delegate_not_exported),
		cmocka_unit_test(test_export_to),
		cmocka_unit_test(test_export_to_default),
		cmocka_unit_test(test_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
