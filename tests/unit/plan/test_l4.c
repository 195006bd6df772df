// SPDX-License-Identifier: Apache-2.0
/*
 * TLS and TCP routes. Each test compiles one VirtualService for `db` (10.96.7.1, ports 5432 tcp,
 * 443 https, 9000 without a name) and asks which subset a connection gets.
 */
#include <arpa/inet.h>

#include "planof.h"

#define BASE                                                                                   \
	"apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec:\n  clusterIP: 10.96.7.1\n" \
	"  ports: [{name: tcp-db, port: 5432}, {name: https, port: 443}, {port: 9000}]\n---\n" \
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: db}\n"    \
	"spec: {host: db, subsets: [{name: v1}, {name: v2}, {name: v3}]}\n---\n"
#define VS "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: db}\nspec:\n"
#define TO(subset) "route: [{destination: {host: db, subset: " subset "}}]\n"

static const struct hr_plan_vip *vip(const struct hr_plan *p, uint16_t port)
{
	struct hr_vip_key k = {.port_be = htons(port)};
	struct hr_addr a;
	const struct hr_plan_vip *v;

	assert_int_equal(hr_addr_parse("10.96.7.1", &a), 0);
	memcpy(k.ip, a.ip, sizeof(k.ip));
	v = hr_plan_vip_at(p, &k);
	assert_non_null(v);
	return v;
}

/* The subset of the route that speaks for it, "" when none does. */
static const char *subset(const struct hr_plan *p, uint16_t port, struct hr_plan_conn c)
{
	const struct hr_plan_l4 *e = hr_plan_l4_match(p, vip(p, port), &c);
	const struct hr_plan_dst *dst;

	if (!e)
		return "";
	return hr_plan_pick_cluster(p, &p->routes.data[e->route], 0, &dst)->subset;
}

static struct hr_plan_conn from_ns(const char *ns)
{
	return (struct hr_plan_conn){.source_ns = ns};
}

static struct hr_plan_conn sni(const char *name)
{
	return (struct hr_plan_conn){.sni = hr_slice_of(name)};
}

/* No condition on the source: connect() picks by weight, the kernel carries it. */
static void test_weights_in_the_kernel(void **state)
{
	_cleanup_plan_ struct hr_plan *p =
		plan_of(BASE VS "  hosts: [db]\n  tcp:\n  - route:\n"
				"    - {destination: {host: db, subset: v1}, weight: 90}\n"
				"    - {destination: {host: db, subset: v2}, weight: 10}\n");
	const struct hr_plan_vip *v = vip(p, 5432);

	(void)state;
	assert_int_not_equal(v->split, HR_NONE);
	assert_false(v->flags & HR_VIP_AGENT);
	assert_int_equal(p->routes.data[v->split].total, 100);
	assert_string_equal(subset(p, 5432, from_ns(NULL)), "v1");
	/* TCP routes are not for a port that speaks TLS; an unnamed one may turn out to be HTTP */
	assert_int_equal(vip(p, 443)->n_l4, 0);
	assert_int_equal(vip(p, 443)->split, HR_NONE);
	assert_true(vip(p, 9000)->flags & HR_VIP_AGENT);
}

static void test_order_and_port(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(
		BASE VS "  hosts: [db]\n  tcp:\n"
			"  - match: [{port: 1}, {port: 9000}]\n    " TO(
				"v3") "  - match: [{port: 5432}]\n    " TO("v1") "  - " TO("v2"));

	(void)state;
	assert_string_equal(subset(p, 5432, from_ns(NULL)), "v1");
	assert_string_equal(subset(p, 9000, from_ns(NULL)), "v3");
	assert_int_not_equal(vip(p, 5432)->split, HR_NONE);
}

/* Longest subnet first, whatever the order; what follows a route for all is never asked. */
static void test_destination_subnets(void **state)
{
	_cleanup_plan_ struct hr_plan *p =
		plan_of(BASE VS "  hosts: [db]\n  tcp:\n"
				"  - match: [{destinationSubnets: [10.0.0.0/8, 192.168.0.0/16]}]\n "
				"   " TO("v1") "  - match: [{destinationSubnets: "
					       "[10.96.0.0/16]}]\n    " TO(
						       "v2") "  - match: [{destinationSubnets: "
							     "[172.16.0.0/12]}]\n    " TO("v3"));
	_cleanup_plan_ struct hr_plan *ended = plan_of(BASE VS "  hosts: [db]\n  tcp:\n  - " TO(
		"v3") "  - match: [{destinationSubnets: [10.96.7.1]}]\n    " TO("v2"));

	(void)state;
	assert_string_equal(subset(p, 5432, from_ns(NULL)), "v2");
	assert_string_equal(subset(ended, 5432, from_ns(NULL)), "v3");
}

/* What depends on who asks is decided by the agent. */
static void test_source(void **state)
{
	_cleanup_plan_ struct hr_plan *p =
		plan_of(BASE VS "  hosts: [db]\n  tcp:\n"
				"  - match: [{sourceNamespace: prod}]\n    " TO(
					"v1") "  - match: [{sourceLabels: {app: a}}]\n   "
					      " " TO("v2") "  - match: [{sourceSubnet: "
							   "10.1.0.0/16}]\n    " TO("v3"));
	struct hr_kv label = {.key = "app", .value = "a"};
	hr_kvs labels = {&label, 1};
	struct hr_plan_conn near = {.src_known = true}, far = {.src_known = true};

	(void)state;
	hr_addr_parse("10.1.2.3", &near.src);
	hr_addr_parse("10.2.2.3", &far.src);
	assert_true(vip(p, 5432)->flags & HR_VIP_AGENT);
	assert_true(p->asks_labels);
	assert_string_equal(subset(p, 5432, from_ns("prod")), "v1");
	assert_string_equal(subset(p, 5432, (struct hr_plan_conn){.source_labels = &labels}), "v2");
	assert_string_equal(subset(p, 5432, near), "v3");
	assert_string_equal(subset(p, 5432, far), "");
	assert_string_equal(subset(p, 5432, from_ns("dev")), "");
}

/* A VirtualService that only its own namespace sees. */
static void test_export_to(void **state)
{
	_cleanup_plan_ struct hr_plan *p =
		plan_of(BASE VS "  hosts: [db]\n  exportTo: [\".\"]\n  tcp:\n  - " TO("v2"));

	(void)state;
	assert_string_equal(subset(p, 5432, from_ns("default")), "v2");
	assert_string_equal(subset(p, 5432, from_ns("other")), "");
	assert_true(vip(p, 5432)->flags & HR_VIP_AGENT);
}

/* The most specific server name wins; a name that no route knows goes nowhere. */
static void test_sni(void **state)
{
	_cleanup_plan_ struct hr_plan *p =
		plan_of(BASE VS "  hosts: [db, \"*.x.org\"]\n  tls:\n"
				"  - match: [{sniHosts: [\"*.x.org\"]}]\n    " TO(
					"v1") "  - match: [{sniHosts: [\"*.a.x.org\", b.x.org], "
					      "port: 443}]\n    " TO("v2") "  tcp:\n  - " TO("v3"));

	(void)state;
	assert_true(vip(p, 443)->tls);
	assert_true(vip(p, 443)->flags & HR_VIP_AGENT);
	assert_string_equal(subset(p, 443, sni("c.x.org")), "v1");
	assert_string_equal(subset(p, 443, sni("z.a.x.org")), "v2");
	assert_string_equal(subset(p, 443, sni("b.x.org")), "v2");
	assert_string_equal(subset(p, 443, sni("x.org")), "");
	assert_string_equal(subset(p, 443, sni("")), "");
	assert_string_equal(subset(p, 5432, from_ns(NULL)), "v3");
}

static const char *explained(const struct hr_plan *p, const char *url, struct hr_strbuf *out)
{
	struct hr_explain_req r = {.url = url};
	const char *why = "";

	out->len = 0;
	assert_int_equal(hr_explain_text(p, &r, out, &why), 0);
	return hr_sb_str(out);
}

static void test_explain(void **state)
{
	_cleanup_plan_ struct hr_plan *p =
		plan_of(BASE VS "  hosts: [db]\n  tls:\n  - match: [{sniHosts: [db]}]\n    " TO(
			"v1") "  tcp:\n  - " TO("v3"));
	_cleanup_sb_ struct hr_strbuf out = {0};

	(void)state;
	assert_non_null(strstr(explained(p, "http://db:5432", &out), "subset v3 port 5432"));
	assert_non_null(strstr(out.data, "VirtualService default/db"));
	assert_non_null(strstr(explained(p, "https://db", &out), "subset v1 port 443"));
	assert_non_null(strstr(explained(p, "https://10.96.7.1", &out), "action: notFound"));
}

/* A route that names a port which does not speak what it is for: Istio drops it without a word. */
static void test_wrong_kind_of_port(void **state)
{
	static const char yaml[] =
		BASE VS "  hosts: [db]\n"
			"  tls: [{match: [{port: 5432, sniHosts: [db]}], " TO(
				"v1") "}]\n"
				      "  tcp: [{match: [{port: 443}], " TO("v1") "}]\n";
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	_cleanup_sb_ struct hr_strbuf said = {0};
	struct hr_plan_opts opts = {.cluster_domain = "cluster.local"};
	struct hr_decoder *d = hr_decoder_new(0, diags);
	_cleanup_plan_ struct hr_plan *p = NULL;

	(void)state;
	hr_decode_text(d, "t.yaml", yaml, strlen(yaml));
	assert_int_equal(hr_plan_build(&p, hr_decoder_finish(d), &opts, diags), 0);
	for (size_t i = 0; i < diags->list.len; i++)
		hr_diag_text(&diags->list.data[i], &said);
	assert_non_null(strstr(said.data, "warning: spec.tls: port 5432 does not speak TLS"));
	assert_non_null(strstr(said.data, "warning: spec.tcp: port 443 speaks TLS"));
	assert_int_equal(diags->list.len, 2);
}

#define SAME_NODE(value)                                                                  \
	"apiVersion: v1\nkind: Service\nmetadata:\n  name: db\n"                          \
	"  annotations: {headrace.io/same-node: \"" value "\"}\n"                         \
	"spec:\n  clusterIP: 10.96.7.1\n"                                                 \
	"  ports: [{name: tcp-db, port: 5432}, {name: https, port: 443}, {port: 9000},\n" \
	"    {name: http, port: 80}]\n"

/* headrace.io/same-node: which ports may skip TCP unread. "5432 443 9000 80": T tcp, O off, -. */
static void test_same_node(void **state)
{
	static const struct {
		const char *yaml, *want;
	} rows[] = {
		{SAME_NODE("tcp"), "TTT-"},	 {SAME_NODE("off"), "OOOO"},
		{SAME_NODE("tcp=5432"), "T---"}, {SAME_NODE("tcp=https,9000"), "-TT-"},
		{SAME_NODE("tcp=80"), "----"},
	};
	static const uint16_t ports[] = {5432, 443, 9000, 80};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++) {
		_cleanup_plan_ struct hr_plan *p = plan_of(rows[i].yaml);
		char got[HR_ARRAY_SIZE(ports) + 1] = "";

		for (size_t k = 0; k < HR_ARRAY_SIZE(ports); k++) {
			uint8_t flags = vip(p, ports[k])->flags;

			got[k] = flags & HR_VIP_NEAR_TCP   ? 'T'
				 : flags & HR_VIP_NEAR_OFF ? 'O'
							   : '-';
		}
		assert_string_equal(got, rows[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_weights_in_the_kernel),
		cmocka_unit_test(test_order_and_port),
		cmocka_unit_test(test_destination_subnets),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_export_to),
		cmocka_unit_test(test_sni),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_wrong_kind_of_port),
		cmocka_unit_test(test_same_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
