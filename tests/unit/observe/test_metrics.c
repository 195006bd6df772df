// SPDX-License-Identifier: Apache-2.0
/*
 * Metrics and status of a made-up agent: two endpoints of one workload and one of another.
 *
 *	cluster outbound|80||reviews.default.svc.cluster.local
 *	  10.0.0.1  default/reviews-v1  7 x 2xx   3 x 5xx
 *	  10.0.0.2  default/reviews-v1  1 x 2xx          -> one series with 8 and 3
 *	  10.0.0.3  default/reviews-v2  no request       -> no series
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "observe/meters.h"

static struct hr_kv v1_labels[] = {{.key = "app", .value = "reviews"},
				   {.key = "version", .value = "v\"1\\\n"}};
static const hr_kvs v1 = {.data = v1_labels, .len = 2};

static struct hr_plan_ep eps[] = {
	{.port = 80, .weight = 1, .id = 1, .workload = "default/reviews-v1", .labels = &v1},
	{.port = 80, .weight = 1, .id = 2, .workload = "default/reviews-v1", .labels = &v1},
	{.port = 80, .weight = 1, .id = 3, .workload = "default/reviews-v2"},
};
static struct hr_plan_cluster clusters[] = {
	{.name = "outbound|80||reviews.default.svc.cluster.local",
	 .host = "reviews.default.svc.cluster.local",
	 .subset = "",
	 .port = 80,
	 .n_eps = 3},
};
static struct hr_plan_dst dst[] = {{.cluster = 0, .weight = 100}};
static struct hr_plan_route routes[] = {
	{.key = "default/reviews/http[0]@reviews.default.svc.cluster.local",
	 .id = 1,
	 .ndst = 1,
	 .dst = dst},
};
static struct hr_plan_rule rules[] = {{.route = 0}};
static struct hr_plan_vhost vhosts[] = {
	{.host = "reviews.default.svc.cluster.local", .port = 80, .nrules = 1, .rules = rules},
};
static struct hr_objects objects = {.total = 5};
static struct hr_plan plan = {
	.objects = &objects,
	.generation = 3,
	.eps = {eps, 3},
	.clusters = {clusters, 1},
	.routes = {routes, 1},
	.vhosts = {vhosts, 1},
};
static struct hr_ep_rt ep_rt[4] = {[2] = {.inflight.word = 4, .flags = HR_EPRT_DEAD}};

static void endpoint(void *ctx, uint32_t id, struct hr_stats *out)
{
	(void)ctx;
	*out = (struct hr_stats){};
	if (id == 1)
		*out = (struct hr_stats){.requests = 10,
					 .status = {[2] = 7, [5] = 3},
					 .lat = {[0] = 9, [2] = 1},
					 .lat_sum_us = 5500,
					 .tx_bytes = 100,
					 .rx_bytes = 2000};
	if (id == 2)
		*out = (struct hr_stats){
			.requests = 1, .status = {[2] = 1}, .lat = {[HR_LAT_BUCKETS] = 1}};
}

static void route(void *ctx, uint32_t id, struct hr_stats *out)
{
	(void)ctx;
	(void)id;
	*out = (struct hr_stats){.requests = 11, .status = {[2] = 8, [5] = 3}};
}

static const struct hr_kern_feature features[] = {
	{.name = "spill", .ok = true, .detail = ""},
	{.name = "inject", .ok = false, .detail = "lost"},
};
static const struct hr_kern_status kern = {.release = "6.18.44",
					   .requested = HR_DATAPATH_AUTO,
					   .mode = HR_DATAPATH_KERNEL,
					   .why = "all passed",
					   .features = features,
					   .n_features = 2};

static struct hr_meters meters(void)
{
	struct hr_meters m = {
		.plan = &plan,
		.ready = true,
		.kern = &kern,
		.mode = HR_DATAPATH_KERNEL,
		.endpoint = endpoint,
		.route = route,
		.ep_rt = ep_rt,
		.config_errors = 2,
	};

	m.kern_why[HR_WHY_NATIVE] = 80;
	m.kern_why[HR_WHY_MOVED] = 15;
	m.kern_why[HR_WHY_RELAY] = 5;
	m.kern_why[HR_WHY_BLOCKING] = 4;
	m.proxy.requests = 10;
	m.proxy.why[HR_WHY_BLOCKING] = 10;
	return m;
}

static void has(const struct hr_strbuf *text, const char *line)
{
	if (!strstr(text->data, line))
		fail_msg("missing: %s\nin:\n%s", line, text->data);
}

static void test_istio_series(void **state)
{
	_cleanup_sb_ struct hr_strbuf out = {};
	struct hr_meters m = meters();

	(void)state;
	hr_metrics_text(&m, &out);
	has(&out, "destination_service=\"reviews.default.svc.cluster.local\","
		  "destination_service_name=\"reviews\",destination_service_namespace=\"default\"");
	has(&out, "response_code=\"2xx\",response_flags=\"-\",grpc_response_status=\"\"} 8\n");
	has(&out, "response_code=\"5xx\",response_flags=\"-\",grpc_response_status=\"\"} 3\n");
	/* cumulative, in milliseconds, +Inf is all */
	has(&out, "le=\"0.5\"} 9\n");
	has(&out, "le=\"1\"} 9\n");
	has(&out, "le=\"5\"} 10\n");
	has(&out, "le=\"3600000\"} 10\n");
	has(&out, "le=\"+Inf\"} 11\n");
	has(&out, "# TYPE istio_request_duration_milliseconds histogram\n");
	assert_null(strstr(out.data, "reviews-v2"));
}

/* A label that an object's author chose must not end its own quotes or its line. */
static void test_labels_are_escaped(void **state)
{
	_cleanup_sb_ struct hr_strbuf out = {}, bad = {};
	struct hr_meters m = meters();

	(void)state;
	hr_metrics_text(&m, &out);
	has(&out, "destination_version=\"v\\\"1\\\\\\n\"");
	hr_metrics_label(&bad, "a\xff\xc3"
			       "b\xc3\xa9\xe2\x82");
	assert_string_equal(bad.data, "a\xef\xbf\xbd\xef\xbf\xbd"
				      "b\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd");
}

static void test_every_line_is_prometheus(void **state)
{
	_cleanup_sb_ struct hr_strbuf out = {};
	struct hr_meters m = meters();
	char *save = NULL;

	(void)state;
	hr_metrics_text(&m, &out);
	for (char *l = strtok_r(out.data, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char *brace = strchr(l, '{'), *space = strrchr(l, ' '), *end;

		if (hr_starts(l, "# HELP ") || hr_starts(l, "# TYPE "))
			continue;
		assert_non_null(space);
		assert_true(!brace || space[-1] == '}');
		strtod(space + 1, &end);
		if (*end || end == space + 1)
			fail_msg("no number at the end of: %s", l);
	}
}

/* 95 by the kernel, 5 of the moved ones were relayed, 10 went to the agent from the start. */
static void test_shares(void **state)
{
	struct hr_meters m = meters();

	(void)state;
	assert_int_equal(hr_meters_kernel(&m), 90);
	assert_int_equal(hr_meters_agent(&m), 15);
	assert_int_equal(hr_meters_fallback(&m, HR_WHY_BLOCKING), 10);
	assert_int_equal(hr_meters_fallback(&m, HR_WHY_NATIVE), 0);
}

static void test_status_as_the_contract_says(void **state)
{
	struct hr_meters m = meters();
	json_t *s;
	_cleanup_free_ char *text = NULL;

	(void)state;
	m.last_error = "a.yaml:1:1: error: x";
	m.mishaps[HR_MISHAP_LATE] = 3;
	m.pairs[HR_PAIR_MADE] = 2;
	s = hr_status_json(&m);
	assert_non_null(s);
	json_object_del(s, "pid");
	json_object_del(s, "version");
	text = json_dumps(s, JSON_COMPACT | JSON_REAL_PRECISION(6));
	assert_string_equal(
		text,
		"{\"ready\":true,\"datapath\":{\"mode\":\"kernel\",\"requested\":\"auto\","
		"\"why\":\"all passed\"},\"kernel\":{\"release\":\"6.18.44\",\"features\":{"
		"\"spill\":true,\"inject\":false}},\"config\":{\"generation\":3,\"objects\":5,"
		"\"lastError\":\"a.yaml:1:1: error: x\"},\"requests\":{\"total\":105,\"kernel\":90,"
		"\"agent\":15,\"kernelShare\":0.857143},\"fallback\":{"
		"\"moved-response-relayed\":5,\"blocking-socket\":10},\"mishaps\":{\"answer-after-"
		"client-left\":3},\"sameNode\":{\"on\":false,\"why\":\"\",\"paired\":2,"
		"\"unpairedBlocking\":0,\"unpairedNew\":0,\"towardsServer\":0,\"towardsClient\":0,"
		"\"bytes\":0,\"spilled\":0,\"opaquePaired\":0,\"opaqueSends\":0,\"unread\":0,"
		"\"bounds\":{"
		"\"connection\":1048576,\"node\":268435456}},\"workloads\":[]}");
	json_decref(s);
}

static void test_endpoints_and_routes(void **state)
{
	struct hr_meters m = meters();
	json_t *e = hr_endpoints_json(&m), *r = hr_routes_json(&m), *t = hr_top_json(&m, 5);
	json_t *second = json_array_get(json_object_get(e, "endpoints"), 1);
	json_t *first = json_array_get(json_object_get(r, "routes"), 0);

	(void)state;
	assert_string_equal(json_string_value(json_object_get(second, "state")), "dead");
	assert_int_equal(json_integer_value(json_object_get(second, "inFlight")), 4);
	assert_string_equal(json_string_value(json_object_get(first, "path")), "kernel");
	assert_true(json_is_null(json_object_get(first, "virtualService")));
	assert_int_equal(json_array_size(json_object_get(t, "endpoints")), 3);
	json_decref(e);
	json_decref(r);
	json_decref(t);
}

/* In use, left, and tripped, of clusters that have limits. */
static void test_breakers(void **state)
{
	static const struct hr_connection_pool pool = {.max_connections = 5,
						       .http1_max_pending = 2,
						       .http2_max_requests = -1,
						       .max_retries = -1};
	static struct hr_cluster_rt rt[2] = {[1] = {.inflight = {.by = {2, 3}},
						    .pending = 1,
						    .cx_overflow = 7,
						    .pending_overflow = 3,
						    .rq_overflow = 1}};
	const struct hr_plan_cluster saved = clusters[0];
	_cleanup_sb_ struct hr_strbuf out = {};
	struct hr_meters m = meters();
	json_t *all, *row;

	(void)state;
	clusters[0].id = 1;
	clusters[0].pool = &pool;
	m.cluster_rt = rt;
	hr_metrics_text(&m, &out);
	all = hr_breakers_json(&m);
	clusters[0] = saved;
#define OF "{cluster_name=\"outbound|80||reviews.default.svc.cluster.local\"}"
	has(&out, "envoy_cluster_circuit_breakers_default_cx_open" OF " 1\n");
	has(&out, "envoy_cluster_circuit_breakers_default_remaining_cx" OF " 0\n");
	has(&out, "envoy_cluster_circuit_breakers_default_rq_pending_open" OF " 0\n");
	has(&out, "envoy_cluster_circuit_breakers_default_remaining_pending" OF " 1\n");
	has(&out, "envoy_cluster_upstream_cx_overflow" OF " 7\n");
	has(&out, "envoy_cluster_upstream_rq_pending_overflow" OF " 4\n");
	assert_null(strstr(out.data, "remaining_rq{"));
	row = json_array_get(json_object_get(all, "breakers"), 0);
	assert_int_equal(5, json_integer_value(json_object_get(json_object_get(row, "connections"),
							       "active")));
	assert_int_equal(0, json_integer_value(json_object_get(json_object_get(row, "connections"),
							       "remaining")));
	assert_true(json_is_null(json_object_get(json_object_get(row, "requests"), "limit")));
	json_decref(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_breakers),
		cmocka_unit_test(test_istio_series),
		cmocka_unit_test(test_labels_are_escaped),
		cmocka_unit_test(test_every_line_is_prometheus),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_status_as_the_contract_says),
		cmocka_unit_test(test_endpoints_and_routes),
	};

	return cmocka_run_group_tests_name("observe metrics", tests, NULL, NULL);
}
