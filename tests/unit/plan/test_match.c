// SPDX-License-Identifier: Apache-2.0
/*
 * Conditions that only the agent decides, each met and just missed. The kernel keeps no row for
 * them: their rules are marked, so that what may match goes to the agent.
 */
#include "asked.h"
#include "planof.h"

#include <stdio.h>

#define MESH                                                                                \
	"apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"                            \
	"spec: {clusterIP: 10.9.0.1, ports: [{name: http, port: 80}]}\n---\n"               \
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\n" \
	"spec:\n  hosts: [web]\n  http:\n"

/* One rule with `match`, then the catch-all: does the first one take the request? */
static bool takes(const char *match, struct asked q)
{
	_cleanup_sb_ struct hr_strbuf yaml = {0};
	_cleanup_plan_ struct hr_plan *p = NULL;
	struct hr_plan_req req;
	struct hr_plan_match m;

	hr_sb_printf(&yaml,
		     MESH "  - match: [%s]\n    route: [{destination: {host: web}}]\n"
			  "  - route: [{destination: {host: web}}]\n",
		     match);
	p = plan_of(yaml.data);
	q.host = q.host ? q.host : "web";
	q.port = 80;
	q.method = q.method ? q.method : "GET";
	q.path = q.path ? q.path : "/";
	req = asked_req(&q);
	hr_plan_match(p, &req, &m);
	assert_non_null(m.rule);
	if (m.rule_index == 0)
		assert_int_equal(hr_plan_kernel_why(p, NULL, &m), HR_WHY_RULE);
	return m.rule_index == 0;
}

#define HEADER(n, v) .headers = {{n, v}}, .nheaders = 1
static const struct {
	const char *match;
	struct asked hit, miss;
} rows[] = {
	{"{uri: {regex: '/v[12]/.*'}}", {.path = "/v2/x"}, {.path = "/v3/x"}},
	{"{uri: {regex: '/v[12]'}}", {.path = "/v2"}, {.path = "/v2/"}},
	/* ignoreUriCase speaks of exact and prefix only */
	{"{uri: {regex: '/a'}, ignoreUriCase: true}", {.path = "/a"}, {.path = "/A"}},
	{"{uri: {exact: /Ab}, ignoreUriCase: true}", {.path = "/aB"}, {.path = "/aB/"}},
	{"{uri: {prefix: /Ab}, ignoreUriCase: true}", {.path = "/aBc"}, {.path = "/a"}},
	{"{method: {regex: 'GET|PUT'}}", {.method = "PUT"}, {.method = "POST"}},
	{"{method: {prefix: P}}", {.method = "PUT"}, {.method = "GET"}},
	{"{authority: {regex: 'web(:80)?'}}", {.host = "web:80"}, {.host = "WEB"}},
	{"{authority: {prefix: web.}}", {.host = "web.default"}, {.host = "web"}},
	{"{scheme: {exact: https}}", {.scheme = "https"}, {.scheme = "http"}},
	{"{scheme: {exact: http}}", {.path = "/"}, {HEADER("x-forwarded-proto", "https")}},
	{"{headers: {x-a: {regex: '[a-z]+'}}}", {HEADER("x-a", "abc")}, {HEADER("x-a", "abc1")}},
	{"{headers: {x-a: {regex: '.*'}}}", {HEADER("x-a", "")}, {.path = "/"}},
	{"{withoutHeaders: {x-a: {regex: 'b+'}}}", {.path = "/"}, {HEADER("x-a", "bb")}},
	{"{headers: {':method': {exact: PUT}}}", {.method = "PUT"}, {.method = "GET"}},
	{"{headers: {':authority': {prefix: web.}}}", {.host = "web.default"}, {.host = "web"}},
	{"{headers: {':scheme': {exact: https}}}", {.scheme = "https"}, {.path = "/"}},
	{"{headers: {':path': {exact: /x}}}", {.path = "/x"}, {.path = "/y"}},
	{"{withoutHeaders: {':method': {exact: PUT}}}", {.method = "GET"}, {.method = "PUT"}},
	{"{queryParams: {q: {exact: a}}}", {.query = "x=1&q=a"}, {.query = "q=b&q=a"}},
	{"{queryParams: {q: {prefix: a}}}", {.query = "q=ab"}, {.query = "qq=ab"}},
	{"{queryParams: {q: {regex: '\\d+'}}}", {.query = "q=12"}, {.query = "q=12a"}},
	{"{queryParams: {q: {}}}", {.query = "q"}, {.query = "Q=1"}},
	/* as it is written */
	{"{queryParams: {q: {exact: 'a%20b'}}}", {.query = "q=a%20b"}, {.query = "q=a+b"}},
};

static void test_agent_conditions(void **state)
{
	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++) {
		if (!takes(rows[i].match, rows[i].hit))
			fail_msg("%s does not take its request", rows[i].match);
		if (takes(rows[i].match, rows[i].miss))
			fail_msg("%s takes another request", rows[i].match);
	}
}

/* An earlier rule that only the agent can decide is never skipped by the kernel. */
static void test_kernel_waits(void **state)
{
	_cleanup_plan_ struct hr_plan *p =
		plan_of(MESH "  - match: [{uri: {prefix: /a}, queryParams: {q: {exact: x}}}]\n"
			     "    route: [{destination: {host: web}}]\n"
			     "  - match: [{uri: {prefix: /b}}]\n"
			     "    route: [{destination: {host: web}}]\n");
	struct hr_plan_match a = ask(p, 80, "web", "/a"), b = ask(p, 80, "web", "/b");

	(void)state;
	assert_int_equal(a.kernel_index, 0);
	assert_int_equal(a.rule_index, HR_NONE);
	assert_int_equal(hr_plan_kernel_why(p, NULL, &a), HR_WHY_RULE);
	assert_int_equal(b.rule_index, 1);
	assert_int_equal(hr_plan_kernel_why(p, NULL, &b), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agent_conditions),
		cmocka_unit_test(test_kernel_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
