// SPDX-License-Identifier: Apache-2.0
/*
 * Metrics and status of a made-up agent: two endpoints of one workload and one of another.
 *
 *	shop/web-1 -> cluster outbound|80||reviews.default.svc.cluster.local
 *	  10.0.0.1  default/reviews-v1  7 x 200   3 x 503
 *	  10.0.0.2  default/reviews-v1  1 x 200   6 x 418  -> one series with 8, 3 and 6
 *	  10.0.0.3  default/reviews-v2  no request         -> no series
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "observe/ledger.h"
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
	(void)id;
	*out = (struct hr_stats){};
}

/* What kernel and proxy have counted. A row that is taken is not there any more. */
static struct row {
	struct hr_meter_key key;
	struct hr_meter m;
	struct hr_tcp_meter tcp;
	uint32_t odd;
	bool gone;
} rows[] = {
	{.key = {.workload = 7, .ep = 1},
	 .m = {.codes = {[HR_CODE_200] = 7, [HR_CODE_503] = 3},
	       .us = 5500,
	       .us_in = {[0] = 9, [2] = 1},
	       .tx = 100,
	       .tx_in = {[4] = 10},
	       .rx = 2000,
	       .rx_in = {[8] = 10}}},
	{.key = {.workload = 7, .ep = 2},
	 .m = {.codes = {[HR_CODE_200] = 1},
	       .us_in = {[HR_LAT_BUCKETS] = 1},
	       .tx_in = {[0] = 1},
	       .rx_in = {[0] = 1}},
	 .odd = 418},
	{.key = {.ep = 1, .proto = HR_METER_GRPC, .grpc = 15},
	 .m = {.codes = {[HR_CODE_200] = 2},
	       .us_in = {[0] = 2},
	       .tx_messages = 20,
	       .rx_messages = 30}},
	{.key = {.workload = 7, .ep = 2, .proto = HR_METER_TCP, .flags = HR_FLAG_UF},
	 .tcp = {.opened = 4, .closed = 3, .tx = 40, .rx = 50}},
	{.key = {.flags = HR_FLAG_OTHER}, .m = {.codes = {[4] = 5}, .us_in = {[0] = 5}}},
};

static void each_row(void *ctx, const struct hr_meter_sink *to)
{
	(void)ctx;
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++) {
		struct row *r = &rows[i];
		const struct hr_odd_key odd = {.meter = r->key, .status = r->odd};

		if (r->gone)
			continue;
		if (r->odd) {
			if (to->take(to->ctx, &odd.meter))
				r->gone = true;
			to->odd(to->ctx, &odd, 6);
		}
		if (to->take(to->ctx, &r->key))
			r->gone = true;
		if (r->key.proto == HR_METER_TCP)
			to->tcp(to->ctx, &r->key, &r->tcp);
		else
			to->meter(to->ctx, &r->key, &r->m);
	}
}

static struct hr_kv client_labels[] = {{.key = "app", .value = "web"}};
static const hr_kvs client_kvs = {.data = client_labels, .len = 1};
static struct hr_meters_workload client = {
	.id = 7, .ns = "shop", .name = "web-1", .labels = &client_kvs};
static struct hr_ledger *ledger;

static int setup(void **state)
{
	(void)state;
	ledger = hr_ledger_new();
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++)
		rows[i].gone = false;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hr_ledger_free(ledger);
	return 0;
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
		.rows = each_row,
		.ledger = ledger,
		.workloads = {.data = &client, .len = 1},
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

#define FROM_WEB "source_workload=\"web-1\",source_workload_namespace=\"shop\",source_app=\"web\""
#define TO_REVIEWS                                                                        \
	"destination_service=\"reviews.default.svc.cluster.local\","                      \
	"destination_service_name=\"reviews\",destination_service_namespace=\"default\"," \
	"destination_workload=\"reviews-v1\",destination_workload_namespace=\"default\"," \
	"destination_app=\"reviews\""

/* The number at the end of the only line with all these texts. */
static double value(const char *text, const char *a, const char *b, const char *c)
{
	_cleanup_free_ char *copy = strdup(text);
	char *save = NULL;
	double v = -1;

	for (char *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		if (hr_starts(l, a) && strstr(l, b) && strstr(l, c)) {
			assert_true(v == -1);
			v = atof(strrchr(l, ' ') + 1);
		}
	return v;
}

static void test_istio_series(void **state)
{
	static const char all[] = "istio_requests_total{", http[] = "request_protocol=\"http\"";
	_cleanup_sb_ struct hr_strbuf out = {};
	struct hr_meters m = meters();

	(void)state;
	hr_metrics_text(&m, &out);
	has(&out, FROM_WEB);
	has(&out, TO_REVIEWS);
	/* two endpoints of one workload are one series */
	assert_int_equal(8, value(out.data, all, FROM_WEB, "response_code=\"200\"}"));
	assert_int_equal(3, value(out.data, all, FROM_WEB, "response_code=\"503\"}"));
	assert_int_equal(6, value(out.data, all, FROM_WEB, "response_code=\"418\"}"));
	/* cumulative, in milliseconds and in bytes, +Inf is all */
#define BUCKET(name, le) value(out.data, "istio_" name "_bucket{", http, "le=\"" le "\"")
	assert_int_equal(9, BUCKET("request_duration_milliseconds", "0.5"));
	assert_int_equal(10, BUCKET("request_duration_milliseconds", "5"));
	assert_int_equal(10, BUCKET("request_duration_milliseconds", "3600000"));
	assert_int_equal(11, BUCKET("request_duration_milliseconds", "+Inf"));
	assert_int_equal(1, BUCKET("request_bytes", "10"));
	assert_int_equal(11, BUCKET("request_bytes", "25"));
	assert_int_equal(1, BUCKET("response_bytes", "250"));
	assert_int_equal(11, BUCKET("response_bytes", "500"));
	assert_true(value(out.data, "istio_request_duration_milliseconds_sum{", http, "") == 5.5);
	assert_int_equal(2000, value(out.data, "istio_response_bytes_sum{", http, ""));
	assert_null(strstr(out.data, "reviews-v2"));
}

static void test_grpc_and_tcp(void **state)
{
	static const char grpc[] = "request_protocol=\"grpc\"", tcp[] = "request_protocol=\"tcp\"";
	_cleanup_sb_ struct hr_strbuf out = {};
	struct hr_meters m = meters();

	(void)state;
	hr_metrics_text(&m, &out);
	assert_int_equal(
		2, value(out.data, "istio_requests_total{", grpc, "grpc_response_status=\"14\""));
	assert_int_equal(20, value(out.data, "istio_request_messages_total{", grpc, ""));
	assert_int_equal(30, value(out.data, "istio_response_messages_total{", grpc, ""));
#define TCP(name) value(out.data, "istio_tcp_" name "_total{", tcp, "response_flags=\"UF\"")
	assert_int_equal(4, TCP("connections_opened"));
	assert_int_equal(3, TCP("connections_closed"));
	assert_int_equal(40, TCP("received_bytes"));
	assert_int_equal(50, TCP("sent_bytes"));
	/* the row for all that found none: by class where there was no place for the status */
	assert_int_equal(5, value(out.data, "istio_requests_total{", "response_flags=\"unknown\"",
				  "response_code=\"4xx\""));
	has(&out, "headrace_meters_overflow_total 5\n");
}

/* The ids of a workload and an endpoint go, and come again as somebody else's. What was counted
 * stays with those whose it was, and no counter falls. */
static void test_names_that_go(void **state)
{
	static struct hr_meters_workload other = {
		.id = 7, .ns = "shop", .name = "cart", .labels = &client_kvs};
	static const char all[] = "istio_requests_total{", ok[] = "response_code=\"200\"";
	_cleanup_sb_ struct hr_strbuf out = {}, then = {}, last = {};
	struct hr_meters m = meters();

	(void)state;
	hr_ledger_sweep(ledger, &m);
	m.workloads.len = 0;
	hr_metrics_text(&m, &out);
	assert_int_equal(8, value(out.data, all, FROM_WEB, ok));
	assert_true(rows[0].gone && rows[1].gone && !rows[2].gone);
	m.workloads = (typeof(m.workloads)){.data = &other, .len = 1};
	rows[0].gone = false; /* counted anew */
	hr_metrics_text(&m, &then);
	/* the first of cart's were counted before anybody knew: web's, as the ledger has it */
	assert_int_equal(15, value(then.data, all, FROM_WEB, ok));
	rows[0].gone = false;
	hr_metrics_text(&m, &last);
	assert_int_equal(15, value(last.data, all, FROM_WEB, ok));
	assert_int_equal(7, value(last.data, all, "source_workload=\"cart\"", ok));
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
		"\"bytes\":0,\"spilled\":0,\"opaquePaired\":0,\"opaqueSends\":0,"
		"\"unpairedOptions\":0,\"unread\":0,"
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

/* In use, left, and tripped, of clusters that have limits: six requests share a connection. */
static void test_breakers(void **state)
{
	static const struct hr_connection_pool pool = {.max_connections = 5,
						       .http1_max_pending = 2,
						       .http2_max_requests = -1,
						       .max_retries = -1};
	static struct hr_cluster_rt rt[2] = {[1] = {.inflight = {.by = {2, 8}},
						    .h2_connections = 1,
						    .h2_requests = 6,
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
	assert_int_equal(10, json_integer_value(
				     json_object_get(json_object_get(row, "requests"), "active")));
	assert_true(json_is_null(json_object_get(json_object_get(row, "requests"), "limit")));
	json_decref(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_breakers),
		cmocka_unit_test_setup_teardown(test_istio_series, setup, teardown),
		cmocka_unit_test_setup_teardown(test_grpc_and_tcp, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_that_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_labels_are_escaped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_line_is_prometheus, setup, teardown),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_status_as_the_contract_says),
		cmocka_unit_test(test_endpoints_and_routes),
	};

	return cmocka_run_group_tests_name("observe metrics", tests, NULL, NULL);
}
