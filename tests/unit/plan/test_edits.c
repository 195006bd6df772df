// SPDX-License-Identifier: Apache-2.0
// Header operations of requests: which the kernel does, by what it appends, and which are the
// agent's.
#include "planof.h"

#define MESH                                                                                 \
	"apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.0.0.1, " \
	"ports: [{name: http, port: 80}]}\n---\n"                                            \
	"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web, "       \
	"labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\n"                    \
	"ports: [{name: http, port: 80}]\nendpoints: [{addresses: [10.1.0.1]}]\n---\n"       \
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\n"  \
	"spec:\n  hosts: [web]\n  http:\n  - "
#define TO_WEB "route: [{destination: {host: web}}]"
#define REQUEST(ops) "{" TO_WEB ", headers: {request: {" ops "}}}\n"

static struct hr_plan *plan_for(const char *route)
{
	_cleanup_sb_ struct hr_strbuf yaml = {0};

	hr_sb_printf(&yaml, MESH "%s", route);
	return plan_of(hr_sb_str(&yaml));
}

static const struct hr_plan_route *route_of(const struct hr_plan *p)
{
	for (size_t i = 0; i < p->routes.len; i++)
		if (p->routes.data[i].http)
			return &p->routes.data[i];
	fail_msg("no route");
	return NULL;
}

static void test_kernel(void **state)
{
	static const struct {
		const char *ops, *text, *absent;
	} cases[] = {
		{"add: {x-a: b, X-C: d e}", "x-a: b\r\nX-C: d e\r\n", ""},
		{"set: {X-A: b}", "X-A: b\r\n", "x-a "},
		{"remove: [X-A, x-b, x-A]", "", "x-a x-b "},
		/* removed first, then set, then added */
		{"remove: [x-a], set: {x-a: one}, add: {x-a: two}", "x-a: one\r\nx-a: two\r\n",
		 "x-a "},
		/* an empty value sets nothing, and removes nothing */
		{"set: {x-a: '', x-b: c}", "x-b: c\r\n", "x-b "},
		{"add: {x-a: '100%%'}", NULL, NULL},
		{"add: {x-a: '%REQ(x-b)%'}", NULL, NULL},
		{"set: {Host: other}", NULL, NULL},
		{"remove: [x-a-name-that-is-longer-than-thirty-two]", NULL, NULL},
		{"remove: [a, b, c, d, e, f, g, h, i]", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(cases); i++) {
		_cleanup_sb_ struct hr_strbuf yaml = {0}, absent = {0};

		hr_sb_printf(&yaml, REQUEST("%s"), cases[i].ops);
		_cleanup_plan_ struct hr_plan *p = plan_for(hr_sb_str(&yaml));
		const struct hr_plan_route *r = route_of(p);
		const struct hr_edit *e = r->dst[0].edit;

		if (!cases[i].text) {
			if (r->agent_why != HR_WHY_RULE)
				fail_msg("%s: not the agent's", cases[i].ops);
			continue;
		}
		if (r->agent_why || !e)
			fail_msg("%s: the agent's", cases[i].ops);
		if (e->len != strlen(cases[i].text) || memcmp(e->text, cases[i].text, e->len))
			fail_msg("%s: \"%.*s\"", cases[i].ops, e->len, e->text);
		for (unsigned k = 0; k < e->n_absent; k++) {
			assert_int_equal(e->absent[k].len, strlen(e->absent[k].name));
			hr_sb_printf(&absent, "%s ", e->absent[k].name);
		}
		assert_string_equal(hr_sb_str(&absent), cases[i].absent);
	}
}

/* Of an only destination they are in one list with the route's, behind them; of several they come
 * first, and the route's may take them away again. */
static void test_order(void **state)
{
#define ROUTE_OPS "{headers: {request: {remove: [x-gone], set: {x-set: r}, add: {x-a: r}}},\n"
#define DST_OPS                                                           \
	"destination: {host: web}, headers: {request: {set: {x-set: d}, " \
	"add: {x-gone: d, x-a: d, x-own: d}}}"
	static const struct {
		const char *rule, *want;
	} cases[] = {
		{ROUTE_OPS "    route: [{" DST_OPS "}]}\n",
		 "x-set: d\r\nx-a: r\r\nx-gone: d\r\nx-a: d\r\nx-own: d\r\n"},
		{ROUTE_OPS "    route: [{" DST_OPS ", weight: 1}, "
			   "{destination: {host: web, subset: v9}, weight: 1}]}\n",
		 "x-a: d\r\nx-own: d\r\nx-set: r\r\nx-a: r\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(cases); i++) {
		_cleanup_plan_ struct hr_plan *p = plan_for(cases[i].rule);
		const struct hr_edit *e = route_of(p)->dst[0].edit;

		assert_non_null(e);
		assert_int_equal(e->len, strlen(cases[i].want));
		assert_memory_equal(e->text, cases[i].want, e->len);
	}
}

/* Answers, and what a mirror or a second try could not tell apart. */
static void test_agent(void **state)
{
	static const char *const routes[] = {
		"{" TO_WEB ", headers: {request: {add: {x-a: b}}, response: {add: {x-a: b}}}}\n",
		"{route: [{destination: {host: web}, headers: {response: {remove: [server]}}}]}\n",
		"{" TO_WEB ", headers: {request: {add: {x-a: b}}}, mirror: {host: web}}\n",
		"{headers: {request: {add: {x-a: b}}}, route: [{destination: {host: web}, weight: "
		"1}, {destination: {host: web}, weight: 1}]}\n",
	};
	_cleanup_sb_ struct hr_strbuf longer = {0};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(routes); i++) {
		_cleanup_plan_ struct hr_plan *p = plan_for(routes[i]);

		assert_int_equal(route_of(p)->agent_why, HR_WHY_RULE);
	}
	/* to the last byte */
	for (int more = 0; more < 2; more++) {
		longer.len = 0;
		hr_sb_printf(&longer, REQUEST("add: {x: v%0*d}"), HR_EDIT_MAX - 6 + more, 1);
		_cleanup_plan_ struct hr_plan *p = plan_for(hr_sb_str(&longer));

		assert_int_equal(route_of(p)->agent_why, more ? HR_WHY_RULE : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernel),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
