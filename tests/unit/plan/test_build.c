// SPDX-License-Identifier: Apache-2.0
/*
 * From objects to hosts, addresses, endpoints and policies, as SEMANTICS.md words them.
 *
 *	Service web (10.9.0.1) -- EndpointSlice --> pods a (version v1), b (v2), c (not ready)
 *	Service plain          -- selector -------> pods a, b by a named port
 */
#include "planof.h"

#include <errno.h>
#include <stdio.h>

static const char mesh[] =
	"apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
	"spec: {clusterIPs: [10.9.0.1, 'fd00:9::1'], selector: {app: web}, ports: [\n"
	" {name: http, port: 80, targetPort: 8080}, {name: tcp-db, port: 81, targetPort: 8081},\n"
	" {name: grpc, port: 82}, {name: odd, port: 83},\n"
	" {name: x, port: 84, appProtocol: kubernetes.io/h2c}, {name: dns, port: 53, protocol: "
	"UDP}]}\n"
	"---\n"
	"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"
	"metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}\n"
	"ports: [{name: http, port: 8080}, {name: tcp-db, port: 8081}]\n"
	"endpoints: [{addresses: [10.0.0.2], targetRef: {kind: Pod, name: b}},\n"
	" {addresses: [10.0.0.1]}, {addresses: [10.0.0.3], conditions: {ready: false}}]\n"
	"---\n"
	"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv6\n"
	"metadata: {name: web-2, labels: {kubernetes.io/service-name: web}}\n"
	"ports: [{name: http, port: 8080}]\nendpoints: [{addresses: ['fd00::1']}]\n"
	"---\n"
	"apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: web, version: v1}}\n"
	"spec: {containers: [{name: c, ports: [{name: main, containerPort: 9000}]}]}\n"
	"status: {podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}\n"
	"---\n"
	"apiVersion: v1\nkind: Pod\nmetadata: {name: b, labels: {app: web, version: v2}}\n"
	"spec: {containers: [{name: c, ports: [{name: main, containerPort: 9001}]}]}\n"
	"status: {podIP: 10.0.0.2}\n"
	"---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {name: plain}\n"
	"spec: {clusterIP: 10.9.0.2, selector: {app: web},\n"
	" ports: [{name: http, port: 80, targetPort: main}]}\n"
	"---\n";

static const char *with(const char *more)
{
	static char text[8192];

	snprintf(text, sizeof(text), "%s%s", mesh, more);
	return text;
}

/* Slices first, pods when there are none; IPv4 before IPv6; what is not ready is not offered. */
static void test_endpoints(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(mesh);

	(void)state;
	assert_string_equal(eps_of(p, "outbound|80||web.default.svc.cluster.local"),
			    "10.0.0.1:8080 10.0.0.2:8080 [fd00::1]:8080");
	assert_string_equal(eps_of(p, "outbound|81||web.default.svc.cluster.local"),
			    "10.0.0.1:8081 10.0.0.2:8081");
	assert_int_equal(cluster_of(p, "outbound|80||web.default.svc.cluster.local")->draining, 1);
	assert_string_equal(eps_of(p, "outbound|80||plain.default.svc.cluster.local"),
			    "10.0.0.1:9000 10.0.0.2:9001 [fd00::1]:9000");
}

/* Port name prefix, then appProtocol; UDP is not ours. */
static void test_protocols(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(mesh);
	static const uint8_t want[] = {HR_PROTO_HTTP1, HR_PROTO_TCP, HR_PROTO_HTTP2, HR_PROTO_AUTO,
				       HR_PROTO_HTTP2};
	unsigned seen = 0;

	(void)state;
	for (size_t i = 0; i < p->vips.len; i++) {
		const struct hr_plan_vip *v = &p->vips.data[i];

		if (!hr_starts(v->host, "web."))
			continue;
		assert_in_range(v->port, 80, 84);
		assert_int_equal(v->proto, want[v->port - 80]);
		assert_int_equal(v->vhost == HR_NONE, v->proto == HR_PROTO_TCP);
		assert_int_equal(!!(v->flags & HR_VIP_AGENT), v->proto == HR_PROTO_HTTP2);
		seen++;
	}
	assert_int_equal(seen, 2 * 5); /* two addresses */
}

/* Every way to write a host; a port, a final dot and upper case change nothing. */
static void test_names(void **state)
{
	static const char *const names[] = {
		"web",		 "web.default",	 "web.default.svc", "web.default.svc.cluster.local",
		"WEB:80",	 "web.default.", "10.9.0.1",	    "10.9.0.1:80",
		"[fd00:9::1]:80"};
	static const char *const strangers[] = {"web.other", "web2", "10.9.0.2", "", "web:80:80"};
	_cleanup_plan_ struct hr_plan *p = plan_of(mesh);

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(names); i++) {
		struct hr_plan_match m = ask(p, 80, names[i], "/");

		if (!m.vhost || !hr_starts(m.vhost->host, "web."))
			fail_msg("\"%s\" is not known", names[i]);
	}
	for (size_t i = 0; i < HR_ARRAY_SIZE(strangers); i++) {
		struct hr_plan_match m = ask(p, 80, strangers[i], "/");

		if (m.vhost && hr_starts(m.vhost->host, "web."))
			fail_msg("\"%s\" is web", strangers[i]);
	}
	assert_null(ask(p, 8080, "web", "/").vhost);
}

/* Two namespaces have "shop": the address that was connected to says which one a client means. */
static void test_same_name_twice(void **state)
{
	_cleanup_plan_ struct hr_plan *p =
		plan_of("apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: blue}\n"
			"spec: {clusterIP: 10.9.1.1, ports: [{name: http, port: 80}]}\n---\n"
			"apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: red}\n"
			"spec: {clusterIP: 10.9.1.2, ports: [{name: http, port: 80}]}\n---\n"
			"apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
			"metadata: {name: all}\nspec: {hosts: ['*'], http: [{directResponse: "
			"{status: 418}}]}\n");

	(void)state;
	for (size_t i = 0; i < p->vhosts.len; i++) {
		const struct hr_plan_vhost *v = &p->vhosts.data[i];
		struct hr_plan_req q = {.host = HR_SLICE("shop"),
					.path = HR_SLICE("/"),
					.method = HR_SLICE("GET"),
					.port = 80,
					.fallback_vhost = (uint32_t)i};
		struct hr_plan_match m;

		for (uint16_t n = 0; n < v->nnames; n++)
			assert_string_not_equal(v->names[n], "shop");
		hr_plan_match(p, &q, &m);
		assert_ptr_equal(m.vhost, v);
	}
}

#define RULE(name, ns, host, rest)                                                          \
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: " name \
	", namespace: " ns "}\nspec:\n  host: " host "\n" rest "---\n"

/* Policy: port of the subset, subset, port of the rule, rule. A port-level policy replaces. */
static void test_policy_order(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(
		with(RULE("r", "default", "web",
			  "  trafficPolicy:\n"
			  "    loadBalancer: {simple: RANDOM}\n"
			  "    connectionPool: {http: {http2MaxRequests: 7}}\n"
			  "    portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: "
			  "ROUND_ROBIN}}]\n"
			  "  subsets:\n"
			  "  - {name: v1, labels: {version: v1}}\n"
			  "  - name: v2\n"
			  "    labels: {version: v2}\n"
			  "    trafficPolicy: {connectionPool: {http: {http2MaxRequests: 9}}}\n"
			  "  - {name: none, labels: {version: v9}}\n")));
	const struct hr_plan_cluster *c;

	(void)state;
	c = cluster_of(p, "outbound|81||web.default.svc.cluster.local");
	assert_int_equal(c->lb, HR_LB_RANDOM);
	assert_int_equal(c->pool->http2_max_requests, 7);
	c = cluster_of(p, "outbound|80||web.default.svc.cluster.local");
	assert_int_equal(c->lb, HR_LB_ROUND_ROBIN);
	assert_null(c->pool);
	c = cluster_of(p, "outbound|80|v1|web.default.svc.cluster.local");
	assert_int_equal(c->lb, HR_LB_ROUND_ROBIN);
	assert_string_equal(eps_of(p, c->name), "10.0.0.1:8080 [fd00::1]:8080");
	c = cluster_of(p, "outbound|80|v2|web.default.svc.cluster.local");
	assert_int_equal(c->lb, HR_LB_ROUND_ROBIN);
	assert_int_equal(c->pool->http2_max_requests, 9);
	assert_string_equal(eps_of(p, c->name), "10.0.0.2:8080");
	assert_string_equal(eps_of(p, "outbound|80|none|web.default.svc.cluster.local"), "");
}

/* The most specific host wins; at equal ones the service's own namespace. */
static void test_which_rule(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(with(
		RULE("wide", "default", "'*.default.svc.cluster.local'",
		     "  trafficPolicy: {loadBalancer: {simple: RANDOM}}\n")
			RULE("other", "else", "web.default.svc.cluster.local",
			     "  trafficPolicy: {loadBalancer: {simple: RANDOM}}\n"
			     "  subsets: [{name: foreign, labels: {version: v1}}]\n")
				RULE("own", "default", "web",
				     "  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}\n"
				     "  subsets: [{name: one, labels: {version: v1}}]\n")
					RULE("own2", "default", "web",
					     "  subsets: [{name: two, labels: {version: v2}}]\n")));

	(void)state;
	assert_int_equal(cluster_of(p, "outbound|80||plain.default.svc.cluster.local")->lb,
			 HR_LB_RANDOM);
	assert_int_equal(cluster_of(p, "outbound|80||web.default.svc.cluster.local")->lb,
			 HR_LB_ROUND_ROBIN);
	assert_string_equal(eps_of(p, "outbound|80|one|web.default.svc.cluster.local"),
			    "10.0.0.1:8080 [fd00::1]:8080");
	assert_string_equal(eps_of(p, "outbound|80|two|web.default.svc.cluster.local"),
			    "10.0.0.2:8080");
	for (size_t i = 0; i < p->clusters.len; i++)
		if (!strchr(p->clusters.data[i].name, '@')) /* what clients of "else" see */
			assert_string_not_equal(p->clusters.data[i].subset, "foreign");
}

/* A destination that nothing defines is a cluster that answers 503, not a build error. */
static void test_missing(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(with(
		"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\n"
		"spec: {hosts: [web], http: [{route: [{destination: {host: web, subset: "
		"v7}}]}]}\n"));
	struct hr_plan_match m = ask(p, 80, "web", "/");
	const struct hr_plan_cluster *c;

	(void)state;
	c = hr_plan_pick_cluster(p, m.route, 1, NULL);
	assert_true(c->missing_subset);
	assert_int_equal(c->n_eps, 0);
	assert_string_equal(c->name, "outbound|80|v7|web.default.svc.cluster.local");
}

/* A ServiceEntry: its own endpoints, or the WorkloadEntries that its selector selects. */
static void test_service_entry(void **state)
{
	struct hr_ids *ids = hr_ids_new();
	_cleanup_plan_ struct hr_plan *p = plan_with(
		"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: api}\n"
		"spec: {hosts: [api.example.com], resolution: STATIC,\n"
		" ports: [{number: 80, name: http, protocol: HTTP}],\n"
		" endpoints: [{address: 192.0.2.1, weight: 3}, {address: 192.0.2.2, ports: {http: "
		"81}}]}\n"
		"---\n"
		"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: vm}\n"
		"spec: {hosts: [vm.example.com], addresses: [10.9.9.9], resolution: STATIC,\n"
		" ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}],\n"
		" workloadSelector: {labels: {app: vm}}}\n---\n"
		"apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: w}\n"
		"spec: {address: 192.0.2.3, labels: {app: vm}}\n---\n"
		"apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: x}\n"
		"spec: {address: 192.0.2.4, labels: {app: other}}\n",
		(struct hr_plan_opts){.auto_vip = hr_ids_auto_vip, .auto_vip_ctx = ids});
	const struct hr_plan_cluster *c = cluster_of(p, "outbound|80||api.example.com");
	char text[HR_ADDR_TEXT];

	(void)state;
	assert_string_equal(eps_of(p, c->name), "192.0.2.1:80 192.0.2.2:81");
	assert_int_equal(p->eps.data[c->first_ep].weight, 3);
	assert_string_equal(eps_of(p, "outbound|80||vm.example.com"), "192.0.2.3:8080");
	/* an address for the one without, of the only family that its endpoints have; the other is
	 * routed too, for those who know it */
	assert_int_equal(p->names.data[0].naddrs, 1);
	assert_int_equal(p->vips.len, 3);
	assert_string_equal(hr_addr_text(&p->names.data[0].addrs[0], text), "240.240.0.1");
	assert_int_equal(p->names.data[1].naddrs, 1);
	hr_ids_free(ids);
}

/* A service that is another name gets no address of ours: traffic to it is not touched. */
static void test_elsewhere(void **state)
{
	struct hr_ids *ids = hr_ids_new();
	_cleanup_plan_ struct hr_plan *p =
		plan_with("apiVersion: v1\nkind: Service\nmetadata: {name: alias}\n"
			  "spec: {type: ExternalName, externalName: www.example.com,\n"
			  " ports: [{name: http, port: 80}]}\n---\n"
			  "apiVersion: v1\nkind: Service\nmetadata: {name: flat}\n"
			  "spec: {clusterIP: None, ports: [{name: http, port: 80}]}\n",
			  (struct hr_plan_opts){.auto_vip = hr_ids_auto_vip, .auto_vip_ctx = ids});

	(void)state;
	/* the headless one is balanced by an address of ours */
	assert_int_equal(p->names.len, 1);
	assert_string_equal(p->names.data[0].name, "flat.default.svc.cluster.local");
	assert_int_equal(p->names.data[0].naddrs, 2);
	assert_int_equal(p->vips.len, 2);
	assert_null(ask(p, 80, "alias", "/").vhost);
	assert_non_null(ask(p, 80, "flat", "/").vhost);
	hr_ids_free(ids);
}

/* Which actions the kernel carries, and which are the agent's. */
static void test_actions(void **state)
{
	static const struct {
		const char *route;
		int action;
	} cases[] = {
		{"route: [{destination: {host: web}}]", HR_ACT_ROUTE},
		{"route: [{destination: {host: web}}], timeout: 1s", HR_ACT_ROUTE},
		{"route: [{destination: {host: web}}], retries: {attempts: 0}", HR_ACT_ROUTE},
		{"route: [{destination: {host: web}}], retries: {attempts: 3, retryOn: 5xx}",
		 HR_ACT_ROUTE},
		{"route: [{destination: {host: web}}], "
		 "retries: {attempts: 3, retryOn: \"5xx,retriable-headers\"}",
		 HR_ACT_AGENT},
		{"route: [{destination: {host: web}}], fault: {abort: {httpStatus: 503, "
		 "percentage: "
		 "{value: 10}}}",
		 HR_ACT_ROUTE},
		{"route: [{destination: {host: web}}], fault: {delay: {fixedDelay: 1s, percentage: "
		 "{value: 10}}}",
		 HR_ACT_AGENT},
		{"route: [{destination: {host: web}}], rewrite: {uri: /x}", HR_ACT_AGENT},
		{"route: [{destination: {host: web}}], headers: {response: {set: {a: b}}}",
		 HR_ACT_AGENT},
		{"route: [{destination: {host: web}, headers: {response: {remove: [a]}}}]",
		 HR_ACT_AGENT},
		{"redirect: {uri: /x}", HR_ACT_AGENT},
		{"directResponse: {status: 200, body: {string: hello}}", HR_ACT_LOCAL},
	};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(cases); i++) {
		char vs[1024];

		snprintf(vs, sizeof(vs),
			 "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
			 "metadata: {name: v}\nspec: {hosts: [web], http: [{%s}]}\n",
			 cases[i].route);
		_cleanup_plan_ struct hr_plan *p = plan_of(with(vs));
		struct hr_plan_match m = ask(p, 80, "web", "/");

		if (m.route->action != cases[i].action)
			fail_msg("%s: action %d", cases[i].route, m.route->action);
		assert_int_equal(hr_plan_kernel_why(p, NULL, &m),
				 cases[i].action == HR_ACT_AGENT ? HR_WHY_RULE : 0);
	}
}

/* The order of documents in a file is nothing to the plan. */
static void test_order_of_documents(void **state)
{
	static const char a[] =
		"apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"
		"spec: {clusterIP: 10.9.2.1, ports: [{name: http, port: 80}]}\n---\n";
	static const char z[] =
		"apiVersion: v1\nkind: Service\nmetadata: {name: z}\n"
		"spec: {clusterIP: 10.9.2.2, ports: [{name: http, port: 80}]}\n---\n";
	static const char r[] =
		RULE("r", "default", "z", "  subsets: [{name: v1, labels: {version: v1}}]\n");
	_cleanup_sb_ struct hr_strbuf one = {0}, two = {0}, da = {0}, db = {0};

	(void)state;
	hr_sb_printf(&one, "%s%s%s%s", a, z, r, mesh);
	hr_sb_printf(&two, "%s%s%s%s", mesh, r, z, a);
	_cleanup_plan_ struct hr_plan *p = plan_of(one.data);
	_cleanup_plan_ struct hr_plan *q = plan_of(two.data);

	hr_plan_dump(p, &da);
	hr_plan_dump(q, &db);
	assert_true(da.len > 500);
	assert_string_equal(da.data, db.data);
}

/* What changed, a line each. */
static void test_diff(void **state)
{
#define CANARY(a, b)                                                                      \
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\n" \
	"spec: {hosts: [web], http: [{route: [{destination: {host: web}, weight: " a      \
	"}, {destination: {host: plain}, weight: " b "}]}]}\n"
	_cleanup_plan_ struct hr_plan *p = plan_of(with(CANARY("95", "5")));
	_cleanup_plan_ struct hr_plan *q = plan_of(with(CANARY("50", "50")));
	_cleanup_sb_ struct hr_strbuf weights = {0}, more = {0};
	_cleanup_plan_ struct hr_plan *bare = plan_of(mesh);

	(void)state;
	hr_plan_diff(p, q, &weights);
	assert_non_null(strstr(hr_sb_str(&weights), "95/5"));
	assert_non_null(strstr(weights.data, "50/50"));
	assert_int_equal(weights.data[0], '~');
	hr_plan_diff(bare, p, &more);
	assert_non_null(strstr(hr_sb_str(&more), "+ route default/v/http[0]"));
	assert_non_null(strstr(more.data, "- route default@web"));
}

/* Nothing that a policy can change is missing from the difference. */
static void test_diff_sees_all(void **state)
{
	static const struct {
		const char *from, *to, *about;
	} cases[] = {
		{"timeout: 1s", "timeout: 2s", "timeout 2000"},
		{"retries: {attempts: 1}", "retries: {attempts: 2}", "retries 2"},
		{"rewrite: {uri: /x}", "rewrite: {uri: /y}", "rewrite uri \"/y\""},
		{"headers: {request: {set: {a: b}}}", "headers: {request: {set: {a: c}}}",
		 "request set a to \"c\""},
		{"fault: {abort: {httpStatus: 500, percentage: {value: 1}}}",
		 "fault: {abort: {httpStatus: 500, percentage: {value: 0.5}}}", "abort 500 0.5 %"},
		{"match: [{authority: {exact: a}}]", "match: [{authority: {exact: b}}]", "rules"},
		{"match: [{uri: {exact: /a}}]", "match: [{uri: {exact: /b}}]", "rules"},
	};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(cases); i++) {
		struct hr_plan *p[2];
		_cleanup_sb_ struct hr_strbuf diff = {0};

		for (int k = 0; k < 2; k++) {
			char vs[1024];

			snprintf(vs, sizeof(vs),
				 "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
				 "metadata: {name: v}\nspec: {hosts: [web], http: "
				 "[{route: [{destination: {host: web}}], %s}]}\n",
				 k ? cases[i].to : cases[i].from);
			p[k] = plan_of(with(vs));
		}
		hr_plan_diff(p[0], p[1], &diff);
		if (!strstr(hr_sb_str(&diff), cases[i].about))
			fail_msg("%s: %s", cases[i].about, hr_sb_str(&diff));
		hr_plan_free(p[0]);
		hr_plan_free(p[1]);
	}
}

/* The same for a DestinationRule. */
static void test_diff_sees_policy(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(
		with(RULE("r", "default", "web",
			  "  trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}\n")));
	_cleanup_plan_ struct hr_plan *q = plan_of(
		with(RULE("r", "default", "web",
			  "  trafficPolicy: {connectionPool: {tcp: {maxConnections: 2}}}\n")));
	_cleanup_sb_ struct hr_strbuf diff = {0};

	(void)state;
	hr_plan_diff(p, q, &diff);
	assert_non_null(strstr(hr_sb_str(&diff), "maxConnections 1 -> "));
}

/* 10,000 rules for one host build and match; one more is refused with a word. The decoder has
 * its own bound, so the objects are made larger here. */
static void test_rule_limit(void **state)
{
	static const struct hr_plan_opts opts = {.cluster_domain = "cluster.local"};

	(void)state;
	for (int over = 0; over < 2; over++) {
		_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
		struct hr_decoder *d = hr_decoder_new(0, diags);
		const char *text = with(CANARY("1", "1"));
		struct hr_virtual_service *vs;
		struct hr_plan *p = NULL;
		struct hr_objects *o;
		struct hr_http_route one;

		hr_decode_text(d, "t.yaml", text, strlen(text));
		o = hr_decoder_finish(d);
		vs = o->virtual_services.data[0];
		one = vs->http.data[0];
		vs->http.data = hr_arena_array(o->arena, struct hr_http_route, 10001);
		vs->http.len = 10000 + (size_t)over;
		for (size_t i = 0; i < vs->http.len; i++) {
			vs->http.data[i] = one;
			vs->http.data[i].match.data = hr_arena_new0(o->arena, struct hr_http_match);
			vs->http.data[i].match.len = 1;
			vs->http.data[i].match.data[0].uri = (struct hr_string_match){
				.type = HR_MATCH_EXACT,
				.value = hr_arena_printf(o->arena, "/%zu", i)};
		}
		/* several ports have this host: the limit on routes is another one */
		o->services.data[1]->ports.len = 1;
		if (over) {
			assert_int_equal(hr_plan_build(&p, o, &opts, diags), -E2BIG);
			assert_null(p);
			assert_int_equal(diags->errors, 1);
			continue;
		}
		assert_int_equal(hr_plan_build(&p, o, &opts, diags), 0);
		assert_int_equal(ask(p, 80, "web", "/9999").rule_index, 9999);
		assert_int_equal(ask(p, 80, "web", "/1024").rule_index, 1024);
		assert_null(ask(p, 80, "web", "/10000").rule);
		hr_plan_free(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_same_name_twice),
		cmocka_unit_test(test_policy_order),
		cmocka_unit_test(test_which_rule),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_service_entry),
		cmocka_unit_test(test_elsewhere),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_order_of_documents),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_diff_sees_all),
		cmocka_unit_test(test_diff_sees_policy),
		cmocka_unit_test(test_rule_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
