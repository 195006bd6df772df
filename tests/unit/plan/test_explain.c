// SPDX-License-Identifier: Apache-2.0
/*
 * explain answers for the plan: the keys of CLI.md, the rule, the values seen and wanted, and who
 * carries the request.
 *
 *	web:80  rule 0 canary: header x-canary exact true -> v2
 *	        rule 1: uri /old or /older -> redirect     rule 2: /teapot -> 418
 *	        rule 3: /broken -> abort 100 %             rule 4: ends nowhere -> subset v9
 *	        rule 5: query q=1 -> v2, timeout           rule 6: /a -> v1 95, v2 5
 *	web:81  opaque TCP
 */
#include "planof.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

static const char mesh[] =
	"apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
	"spec: {clusterIP: 10.9.0.1, ports: [{name: http, port: 80}, {name: tcp-x, port: "
	"81}]}\n---\n"
	"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: web, version: v1}}\n"
	"status: {podIP: 10.0.0.1}\n---\n"
	"apiVersion: v1\nkind: Pod\nmetadata: {name: b, labels: {app: web, version: v2}}\n"
	"status: {podIPs: [{ip: 10.0.0.2}, {ip: 'fd00::2'}]}\n---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: red}\n"
	"spec: {clusterIP: 10.9.0.2, ports: [{name: http, port: 80}]}\n---\n"
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web}\n"
	"spec: {host: web, subsets: [{name: v1, labels: {version: v1}},"
	" {name: v2, labels: {version: v2}}, {name: v9, labels: {version: v9}}]}\n---\n"
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\n"
	"spec:\n  hosts: [web]\n  http:\n"
	"  - name: canary\n    match: [{headers: {x-canary: {exact: 'true'}}}]\n"
	"    route: [{destination: {host: web, subset: v2}}]\n"
	"  - match: [{uri: {exact: /old}}, {uri: {prefix: /older}}]\n    redirect: {uri: /new}\n"
	"  - match: [{uri: {exact: /teapot}}]\n    directResponse: {status: 418}\n"
	"  - match: [{uri: {exact: /broken}}]\n    route: [{destination: {host: web}}]\n"
	"    fault: {abort: {httpStatus: 500, percentage: {value: 100}}}\n"
	"  - match: [{uri: {exact: /empty}}]\n    route: [{destination: {host: web, subset: v9}}]\n"
	"  - match: [{uri: {prefix: /slow}}]\n    timeout: 3s\n"
	"    route: [{destination: {host: web, subset: v2}}]\n"
	"    retries: {attempts: 3, perTryTimeout: 1s, retryOn: '5xx,reset'}\n"
	"  - match: [{uri: {prefix: /a}, withoutHeaders: {x-no: {}}}]\n    route:\n"
	"    - {destination: {host: web, subset: v1}, weight: 95}\n"
	"    - {destination: {host: web, subset: v2}, weight: 5}\n---\n";

static void mesh_selector(struct hr_strbuf *out)
{
	const char *at = strstr(mesh, "clusterIP: 10.9.0.1,");

	hr_sb_addn(out, mesh, (size_t)(at - mesh));
	hr_sb_add(out, "selector: {app: web}, ");
	hr_sb_add(out, at);
}

static struct hr_plan *plan(bool registry_only)
{
	_cleanup_sb_ struct hr_strbuf text = {0};

	mesh_selector(&text);
	return plan_with(text.data, (struct hr_plan_opts){.registry_only = registry_only});
}

static json_t *explain(const struct hr_plan *p, const char *url, const char *header,
		       const char *value)
{
	struct hr_kv kv = {.key = header, .value = value};
	struct hr_explain_req r = {.method = "GET", .url = url};
	_cleanup_sb_ struct hr_strbuf out = {0};
	const char *why = NULL;
	json_t *j;

	if (header) {
		r.headers.data = &kv;
		r.headers.len = 1;
	}
	assert_int_equal(hr_explain_json(p, &r, &out, &why), 0);
	j = json_loads(out.data, 0, NULL);
	assert_non_null(j);
	return j;
}

static const char *str(const json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

static int num(const json_t *j, const char *key)
{
	const json_t *v = json_object_get(j, key);

	return json_is_integer(v) ? (int)json_integer_value(v) : -1;
}

static json_t *nth(const json_t *j, const char *key, size_t i)
{
	return json_array_get(json_object_get(j, key), i);
}

static void test_keys(void **state)
{
	static const char *const keys[] = {
		"listener",	"virtualService", "rule",    "ruleName", "action",   "status",
		"destinations", "timeoutMs",	  "retries", "rewrite",	 "redirect", "mirror",
		"fault",	"cors",		  "path",    "why",	 "trace",    "sameNode",
	};
	_cleanup_plan_ struct hr_plan *p = plan(false);
	json_t *j = explain(p, "http://web/a/b", NULL, NULL), *d;

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(keys); i++)
		if (!json_object_get(j, keys[i]))
			fail_msg("no %s", keys[i]);
	assert_int_equal(json_object_size(j), HR_ARRAY_SIZE(keys));
	assert_string_equal(str(json_object_get(j, "listener"), "host"),
			    "web.default.svc.cluster.local");
	assert_int_equal(num(json_object_get(j, "listener"), "port"), 80);
	assert_string_equal(str(j, "virtualService"), "default/web");
	assert_int_equal(num(j, "rule"), 6);
	assert_true(json_is_null(json_object_get(j, "ruleName")));
	assert_string_equal(str(j, "action"), "route");
	assert_true(json_is_null(json_object_get(j, "status")));
	assert_true(json_is_null(json_object_get(j, "timeoutMs")));
	assert_string_equal(str(j, "path"), "kernel");
	assert_int_equal(json_array_size(json_object_get(j, "why")), 0);
	/* no retries block: the mesh's default */
	assert_int_equal(num(json_object_get(j, "retries"), "attempts"), 2);
	d = nth(j, "destinations", 1);
	assert_string_equal(str(d, "host"), "web.default.svc.cluster.local");
	assert_string_equal(str(d, "subset"), "v2");
	assert_int_equal(num(d, "port"), 80);
	assert_int_equal(num(d, "weight"), 5);
	assert_true(json_real_value(json_object_get(d, "share")) == 0.05);
	assert_string_equal(json_string_value(nth(d, "endpoints", 0)), "10.0.0.2:80");
	assert_string_equal(json_string_value(nth(d, "endpoints", 1)), "[fd00::2]:80");
	json_decref(j);
}

/* One line a route up to the winner, all of its entries told together. */
static void test_trace(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan(false);
	json_t *j = explain(p, "http://web/a", "X-Canary", "false");

	(void)state;
	assert_int_equal(json_array_size(json_object_get(j, "trace")), 7);
	for (int i = 0; i < 7; i++) {
		assert_int_equal(num(nth(j, "trace", (size_t)i), "rule"), i);
		assert_int_equal(
			json_is_true(json_object_get(nth(j, "trace", (size_t)i), "matched")),
			i == 6);
	}
	assert_string_equal(str(nth(j, "trace", 0), "because"),
			    "header x-canary: wanted exact \"true\", saw \"false\"");
	assert_string_equal(str(nth(j, "trace", 1), "because"),
			    "match[0] uri: wanted exact \"/old\", saw \"/a\"; "
			    "match[1] uri: wanted prefix \"/older\", saw \"/a\"");
	assert_string_equal(str(nth(j, "trace", 6), "because"),
			    "uri prefix \"/a\", without header x-no present");
	json_decref(j);
	j = explain(p, "http://web/a", "x-no", "");
	assert_string_equal(str(j, "action"), "notFound");
	assert_string_equal(str(nth(j, "trace", 6), "because"),
			    "header x-no: wanted not present, saw \"\"");
	json_decref(j);
}

static void test_actions(void **state)
{
	static const struct {
		const char *url, *action, *path;
		int status, rule;
	} cases[] = {
		{"http://web/older/x", "redirect", "agent", 301, 1},
		{"http://web/teapot", "directResponse", "kernel", 418, 2},
		{"http://web/broken", "abort", "kernel", 500, 3},
		{"http://web/empty", "route", "kernel", 503, 4},
		{"http://web/slow", "route", "kernel", -1, 5},
		{"http://web/nothing", "notFound", "kernel", 404, -1},
		{"http://web", "notFound", "kernel", 404, -1},
		{"http://web:81/", "route", "kernel", -1, -1},
		{"http://10.9.0.1/a", "route", "kernel", -1, 6},
		{"http://10.9.0.1:81/", "route", "kernel", -1, -1},
		{"http://web.red/a", "route", "agent", 503, -1},
		{"http://web:/a", "route", "kernel", -1, 6},
		{"http://WEB.default.:80/a#there", "route", "kernel", -1, 6},
		{"http://web/x/../a", "route", "agent", -1, 6},
		{"http://unknown/", "noService", "kernel", -1, -1},
		{"http://web:82/", "noService", "kernel", -1, -1},
	};
	_cleanup_plan_ struct hr_plan *p = plan(false);

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(cases); i++) {
		json_t *j = explain(p, cases[i].url, NULL, NULL);

		if (!hr_streq(str(j, "action"), cases[i].action) ||
		    !hr_streq(str(j, "path"), cases[i].path) ||
		    num(j, "status") != cases[i].status || num(j, "rule") != cases[i].rule)
			fail_msg("%s: %s by %s, status %d, rule %d", cases[i].url, str(j, "action"),
				 str(j, "path"), num(j, "status"), num(j, "rule"));
		assert_int_equal(json_array_size(json_object_get(j, "why")),
				 hr_streq(cases[i].path, "agent"));
		json_decref(j);
	}
}

static void test_policy(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan(false);
	json_t *j = explain(p, "http://web/slow", NULL, NULL), *r = json_object_get(j, "retries");

	(void)state;
	assert_int_equal(num(j, "timeoutMs"), 3000);
	assert_int_equal(num(r, "attempts"), 3);
	assert_int_equal(num(r, "perTryTimeoutMs"), 1000);
	assert_string_equal(json_string_value(nth(r, "retryOn", 1)), "reset");
	assert_string_equal(str(j, "path"), "kernel"); /* its first try */
	json_decref(j);
	j = explain(p, "http://web/a", "x-canary", "true");
	assert_string_equal(str(j, "ruleName"), "canary");
	assert_int_equal(num(nth(j, "destinations", 0), "weight"), 100);
	json_decref(j);
}

/* REGISTRY_ONLY: what nobody knows is 502; else it passes through. */
static void test_registry_only(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan(true);
	json_t *j = explain(p, "http://unknown/", NULL, NULL);

	(void)state;
	assert_string_equal(str(j, "action"), "noService");
	assert_int_equal(num(j, "status"), 502);
	assert_string_equal(str(j, "path"), "agent");
	json_decref(j);
}

static void check_host(const struct hr_plan *p, const char *url, const char *from, const char *want)
{
	struct hr_explain_req r = {.method = "GET", .url = url, .from_ns = from};
	_cleanup_sb_ struct hr_strbuf out = {0};
	const char *why = NULL;
	json_t *j;

	assert_int_equal(hr_explain_json(p, &r, &out, &why), 0);
	j = json_loads(out.data, 0, NULL);
	if (!hr_streq(str(nth(j, "destinations", 0), "host"), want))
		fail_msg("%s from %s: %s", url, from ? from : "nobody", out.data);
	json_decref(j);
}

/* explain asks for names as the agent's DNS answers them (tests/unit/dns/test_names.c), for ports
 * of any protocol: web is in blue and red, db in red only. */
static void test_short_names(void **state)
{
#define IN(ns, name)                                                                     \
	"apiVersion: v1\nkind: Service\nmetadata: {name: " name ", namespace: " ns "}\n" \
	"spec: {clusterIP: 10.9.1."
#define PORTS ", ports: [{name: http, port: 80}, {name: tcp, port: 81}]}\n---\n"
	_cleanup_plan_ struct hr_plan *p = plan_of(
		IN("red", "web") "1" PORTS IN("blue", "web") "2" PORTS IN("red", "db") "3" PORTS);
#undef IN
#undef PORTS
	static const struct {
		const char *url, *from, *host;
	} cases[] = {
		{"http://web/", "red", "web.red.svc.cluster.local"},
		{"http://web:81/", "red", "web.red.svc.cluster.local"},
		{"http://web/", "blue", "web.blue.svc.cluster.local"},
		{"http://web/", NULL, "web.blue.svc.cluster.local"},
		{"http://web:81/", "green", "web.blue.svc.cluster.local"},
		{"http://db/", "blue", "db.red.svc.cluster.local"},
		{"http://db:81/", "blue", "db.red.svc.cluster.local"},
		{"http://db.red:81/", "blue", "db.red.svc.cluster.local"},
		{"http://db.red.svc/", "blue", "db.red.svc.cluster.local"},
		{"http://db.blue/", "blue", NULL},
		{"http://dbx/", "blue", NULL},
	};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(cases); i++)
		check_host(p, cases[i].url, cases[i].from, cases[i].host);
}

/* A short name is one of the namespace that asks. */
static void test_client_namespace(void **state)
{
	struct hr_explain_req r = {
		.method = "GET", .url = "http://web/a", .from_ns = "red", .from_name = "client"};
	_cleanup_plan_ struct hr_plan *p = plan(false);
	_cleanup_sb_ struct hr_strbuf out = {0};
	const char *why = NULL;

	(void)state;
	assert_int_equal(hr_explain_text(p, &r, &out, &why), 0);
	assert_non_null(
		strstr(out.data, "host web.red.svc.cluster.local port 80, no VirtualService"));
}

static void test_text(void **state)
{
	struct hr_explain_req r = {.method = "GET", .url = "http://web/a"};
	_cleanup_plan_ struct hr_plan *p = plan(false);
	_cleanup_sb_ struct hr_strbuf out = {0};
	const char *why = NULL;

	(void)state;
	assert_int_equal(hr_explain_text(p, &r, &out, &why), 0);
	assert_non_null(strstr(out.data, "wanted exact \"true\", saw none"));
	assert_non_null(strstr(out.data, " 95.0 %  web.default.svc.cluster.local subset v1"));
	assert_non_null(strstr(out.data, "carried by: kernel"));
}

/* A name that two namespaces have, an earlier rule that only the agent can judge: the reason is
 * the kernel's, also when a later rule wins. */
static void test_agent_rule_in_front(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(
		"apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
		"spec: {clusterIP: 10.9.0.1, selector: {app: web}, ports: [{name: http, port: "
		"80}]}\n---\n"
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: web}}\n"
		"status: {podIP: 10.0.0.1}\n---\n"
		"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\n"
		"spec:\n  hosts: [web]\n  http:\n"
		"  - match: [{uri: {prefix: /a}, authority: {exact: other}}]\n"
		"    route: [{destination: {host: web}}]\n"
		"  - route: [{destination: {host: web}}]\n");
	json_t *a = explain(p, "http://web/a", NULL, NULL);
	json_t *b = explain(p, "http://web/b", NULL, NULL);

	(void)state;
	assert_int_equal(num(a, "rule"), 1);
	assert_string_equal(str(a, "path"), "agent");
	assert_int_equal(num(b, "rule"), 1);
	assert_string_equal(str(b, "path"), "kernel");
	json_decref(a);
	json_decref(b);
}

static void check_why(const struct hr_plan *p, const char *method, const char *url,
		      const char *header, const char *value, const char *want)
{
	struct hr_kv kv = {.key = header, .value = value};
	struct hr_explain_req r = {.method = method, .url = url, .headers = {&kv, header ? 1 : 0}};
	_cleanup_sb_ struct hr_strbuf out = {0};
	const char *why = NULL;
	json_t *j;

	assert_int_equal(hr_explain_json(p, &r, &out, &why), 0);
	j = json_loads(out.data, 0, NULL);
	if (!hr_streq(str(j, "path"), want ? "agent" : "kernel") ||
	    (want && !hr_streq(json_string_value(nth(j, "why", 0)), want)))
		fail_msg("%s %s: %s", method, url, out.data);
	json_decref(j);
}

/*
 * What connect() decides and what the scanner declines are the agent's, whatever the rules say:
 *
 *	two:80 on 10.9.0.5 and fd00::5, endpoint 10.0.0.1 only    none:80 has no endpoint
 *	rpc:80 is gRPC                                            none:81 is TCP without endpoint
 *	mix:80 on both, its rule names an IPv4 endpoint only, another has IPv6: connect() goes there
 */
static void test_carrier(void **state)
{
	static const char text[] =
		"apiVersion: v1\nkind: Service\nmetadata: {name: two}\n"
		"spec: {clusterIPs: [10.9.0.5, 'fd00::5'], selector: {app: two},"
		" ports: [{name: http, port: 80}, {name: tcp, port: 81}]}\n---\n"
		"apiVersion: v1\nkind: Service\nmetadata: {name: none}\n"
		"spec: {clusterIP: 10.9.0.6, ports: [{name: http, port: 80}, {name: tcp, port: "
		"81}]}\n---\n"
		"apiVersion: v1\nkind: Service\nmetadata: {name: rpc}\n"
		"spec: {clusterIP: 10.9.0.7, selector: {app: two},"
		" ports: [{name: grpc, port: 80}]}\n---\n"
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: two}}\n"
		"status: {podIP: 10.0.0.1}\n---\n"
		"apiVersion: v1\nkind: Service\nmetadata: {name: mix}\n"
		"spec: {clusterIPs: [10.9.0.8, 'fd00::8'], selector: {app: mix},"
		" ports: [{name: http, port: 80}]}\n---\n"
		"apiVersion: v1\nkind: Pod\nmetadata: {name: m4, labels: {app: mix, v: a}}\n"
		"status: {podIP: 10.0.0.4}\n---\n"
		"apiVersion: v1\nkind: Pod\nmetadata: {name: m6, labels: {app: mix, v: b}}\n"
		"status: {podIP: 'fd00::44'}\n---\n"
		"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: mix}\n"
		"spec: {host: mix, subsets: [{name: a, labels: {v: a}}]}\n---\n"
		"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: mix}\n"
		"spec: {hosts: [mix], http: [{route: [{destination: {host: mix, subset: a}}]}]}\n";
	static const struct {
		const char *method, *url, *header, *why;
	} cases[] = {
		{"GET", "http://two/", NULL, NULL},
		{"GET", "http://10.9.0.5/", NULL, NULL},
		{"GET", "http://[fd00::5]/", NULL, "address-family"},
		{"GET", "http://[fd00::5]:81/", NULL, "address-family"},
		{"GET", "http://10.9.0.5:81/", NULL, NULL},
		{"GET", "http://none/", NULL, "no-endpoint"},
		{"GET", "http://none:81/", NULL, "no-endpoint"},
		{"GET", "http://[fd00::8]/", NULL, NULL},
		{"GET", "http://rpc/", NULL, "protocol-needs-agent"},
		{"PURGE", "http://two/", NULL, "head-unusual"},
		{"get", "http://two/", NULL, "head-unusual"},
		{"GET", "http://two/", "x-a-name-that-is-longer-than-the-scanner-takes",
		 "head-unusual"},
	};
	_cleanup_plan_ struct hr_plan *p = plan_of(text);
	char big[5000];

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(cases); i++)
		check_why(p, cases[i].method, cases[i].url, cases[i].header, "1", cases[i].why);
	check_why(p, "GET", "http://two/a%2Fb", NULL, NULL, "path-not-canonical");
	check_why(p, "GET", "http://two/..a", NULL, NULL, "path-not-canonical");
	check_why(p, "GET", "http://two/a;b/.c%20d?e=%2F", NULL, NULL, NULL);
	check_why(p, "GET", "http://two/", "x-name", "\xc3\xa9", "head-unusual");
	check_why(p, "GET", "http://two/a%2Fb", "x-name", "a\tb", "head-unusual");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	check_why(p, "GET", "http://two/", "x-big", big, "head-too-long");
}

static void test_bad_urls(void **state)
{
	static const char *const urls[] = {"",
					   "http://",
					   "ftp://web/",
					   "http://web:0/",
					   "http://web:99999",
					   "http://web:x/",
					   "http://u:p@web/",
					   "http://we b/",
					   "http://[fd00::x]/",
					   "http://[fd00::1/",
					   "http://web:80:80/"};
	_cleanup_plan_ struct hr_plan *p = plan(false);

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(urls); i++) {
		struct hr_explain_req r = {.method = "GET", .url = urls[i]};
		_cleanup_sb_ struct hr_strbuf out = {0};
		const char *why = NULL;

		if (hr_explain_json(p, &r, &out, &why) != -EINVAL || !why || out.len)
			fail_msg("\"%s\" was taken", urls[i]);
	}
}

/* A path that the proxy answers 400 to is an answer, not a question that cannot be read. */
static void test_refused_path(void **state)
{
	static const char *const urls[] = {"http://web/%zz", "http://web/%00", "http://web/..;/a"};
	_cleanup_plan_ struct hr_plan *p = plan(false);

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(urls); i++) {
		json_t *j = explain(p, urls[i], NULL, NULL);

		assert_string_equal(str(j, "action"), "deny");
		assert_int_equal(num(j, "status"), 400);
		assert_true(json_is_null(json_object_get(j, "rule")));
		assert_string_equal(str(j, "path"), "agent");
		json_decref(j);
	}
}

/* What the rule does beside routing, as values and in words. */
static void test_actions_shown(void **state)
{
	_cleanup_sb_ struct hr_strbuf yaml = {0}, out = {0};
	_cleanup_plan_ struct hr_plan *p = NULL;
	struct hr_explain_req q = {.method = "GET", .url = "http://web/x"};
	const char *why = NULL;
	json_t *j, *c;

	(void)state;
	mesh_selector(&yaml);
	yaml.len = (size_t)(strstr(yaml.data, "apiVersion: networking.istio.io/v1\nkind: Virtual") -
			    yaml.data);
	hr_sb_add(
		&yaml,
		"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\n"
		"spec:\n  hosts: [web]\n  http:\n  - route: [{destination: {host: web}}]\n"
		"    rewrite: {uriRegexRewrite: {match: ^/x, rewrite: /y}}\n"
		"    fault: {abort: {grpcStatus: NOT_FOUND, percentage: {value: 0.0001}}}\n"
		"    corsPolicy: {allowOrigins: [{regex: a.*}], allowMethods: [GET, PUT], maxAge: "
		"1m}\n");
	p = plan_of(yaml.data);
	j = explain(p, "http://web/x", NULL, NULL);
	c = json_object_get(json_object_get(j, "rewrite"), "uriRegexRewrite");
	assert_string_equal(str(c, "match"), "^/x");
	c = json_object_get(json_object_get(j, "fault"), "abort");
	assert_string_equal(str(c, "grpcStatus"), "NOT_FOUND");
	assert_true(json_real_value(json_object_get(c, "percentage")) == 0.0001);
	c = json_object_get(j, "cors");
	assert_string_equal(str(nth(c, "allowOrigins", 0), "regex"), "a.*");
	assert_int_equal(num(c, "maxAgeSeconds"), 60);
	assert_string_equal(str(c, "unmatchedPreflights"), "FORWARD");
	json_decref(j);
	assert_int_equal(hr_explain_text(p, &q, &out, &why), 0);
	assert_non_null(strstr(out.data, "rewrite regex \"^/x\" by \"/y\""));
	assert_non_null(strstr(out.data, "abort gRPC NOT_FOUND 0.0001 %"));
	assert_non_null(strstr(out.data, "cors origins regex \"a.*\" methods \"GET,PUT\""));
	assert_non_null(strstr(out.data, "no timeout, up to 2 retries on connect-failure,"));
}

/* A corsPolicy is the agent's only for requests that have an Origin. */
static void test_cors_carrier(void **state)
{
	_cleanup_sb_ struct hr_strbuf yaml = {0};
	_cleanup_plan_ struct hr_plan *p = NULL;
	static const struct {
		const char *name, *path;
	} rows[] = {{NULL, "kernel"}, {"x-other", "kernel"}, {"Origin", "agent"}};

	(void)state;
	mesh_selector(&yaml);
	yaml.len = (size_t)(strstr(yaml.data, "apiVersion: networking.istio.io/v1\nkind: Virtual") -
			    yaml.data);
	hr_sb_add(
		&yaml,
		"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\n"
		"spec: {hosts: [web], http: [{route: [{destination: {host: web, subset: v1}}],"
		" corsPolicy: {allowOrigins: [{exact: a}]}}]}\n");
	p = plan_of(yaml.data);
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++) {
		json_t *j = explain(p, "http://web/x", rows[i].name, "a");

		assert_string_equal(str(j, "path"), rows[i].path);
		assert_int_equal(num(j, "rule"), 0);
		json_decref(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),	      cmocka_unit_test(test_trace),
		cmocka_unit_test(test_actions),	      cmocka_unit_test(test_policy),
		cmocka_unit_test(test_registry_only), cmocka_unit_test(test_client_namespace),
		cmocka_unit_test(test_text),	      cmocka_unit_test(test_agent_rule_in_front),
		cmocka_unit_test(test_bad_urls),      cmocka_unit_test(test_carrier),
		cmocka_unit_test(test_short_names),   cmocka_unit_test(test_refused_path),
		cmocka_unit_test(test_actions_shown), cmocka_unit_test(test_cors_carrier),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
