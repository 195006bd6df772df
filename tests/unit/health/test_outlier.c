// SPDX-License-Identifier: Apache-2.0
/*
 * Sequences of answers on a clock that the test turns, and who is ejected after each:
 *
 *	5 5 5 5 5 -> ejected ... base time x ejections, at an interval's end ... back
 *
 * Each line of a test is one rule of SEMANTICS.md "outlierDetection".
 */
#include "unit.h"

#include <stdio.h>

#include "../plan/planof.h"
#include "health/count.h"
#include "health/outlier.h"

static struct hr_ep_rt rt[HR_EPS_MAX];
static struct hr_codes codes[HR_CODES_MAX];
static struct hr_outliers *o;
static struct hr_ids *ids;
static struct hr_plan *plan;
static uint64_t now;
static char said[512];

static void on_event(void *ctx, const struct hr_outlier_event *ev)
{
	(void)ctx;
	snprintf(said, sizeof(said), "%s %s %s x%u %llums%s", ev->ejected ? "eject" : "uneject",
		 ev->endpoint, hr_outlier_kind_text(ev->kind), ev->ejections,
		 (unsigned long long)ev->ms, ev->enforced ? "" : " not enforced");
}

/* n endpoints 192.0.2.1 .. n, with the outlierDetection of the text. */
static struct hr_plan *make(int n, const char *outlier)
{
	char eps[2048] = "", text[4096];
	const char *what;
	struct hr_plan *p;

	for (int i = 1; i <= n; i++)
		snprintf(eps + strlen(eps), sizeof(eps) - strlen(eps), "{address: 192.0.2.%d},", i);
	snprintf(text, sizeof(text),
		 "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s}\n"
		 "spec: {hosts: [web.example.com], addresses: [10.9.0.1], resolution: STATIC,\n"
		 " ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [%s]}\n---\n"
		 "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n"
		 "spec: {host: web.example.com, trafficPolicy: {%s}}\n",
		 eps, outlier);
	p = plan_of(text);
	assert_int_equal(hr_ids_assign(ids, p, &what), 0);
	return p;
}

static void use(int n, const char *outlier)
{
	hr_plan_free(plan);
	plan = make(n, outlier);
	hr_outliers_plan(o, plan, now);
}

static int setup(void **state)
{
	(void)state;
	memset(rt, 0, sizeof(rt));
	ids = hr_ids_new();
	o = hr_outliers_new(rt, codes, on_event, NULL);
	now = 1000000;
	said[0] = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hr_outliers_free(o);
	hr_ids_free(ids);
	hr_plan_free(plan);
	plan = NULL;
	return 0;
}

static uint32_t id_of(int ep)
{
	return plan->eps.data[ep - 1].id;
}

/* One request's end at endpoint `ep`, as the proxy or the kernel reports it. */
static void end(int ep, unsigned status, bool local)
{
	enum hr_outlier_kind k = hr_health_count(&rt[id_of(ep)], codes, status, local);

	if (k)
		hr_outliers_reached(o, id_of(ep), k, now);
}

static void answers(int ep, int n, unsigned status)
{
	while (n-- > 0)
		end(ep, status, false);
}

/* The clock moves in steps of 100 ms, as the agent's timer would. */
static void after(uint64_t ms)
{
	for (uint64_t i = 0; i < ms; i += 100) {
		now += 100;
		hr_outliers_tick(o, now);
	}
}

static bool out(int ep)
{
	return rt[id_of(ep)].flags & HR_EPRT_EJECTED;
}

static int n_out(void)
{
	int n = 0;

	for (size_t i = 1; i <= plan->eps.len; i++)
		n += out((int)i);
	return n;
}

/* ---- outlierDetectionHttpErrorCodes ---- */

/* Only the listed statuses are errors, 4xx too; a missing answer is one whatever the list says. */
static void test_codes(void **state)
{
	(void)state;
	use(4, "outlierDetection: {consecutive5xxErrors: 3, maxEjectionPercent: 100,\n"
	       " outlierDetectionHttpErrorCodes: [429, 503, 599]}");
	answers(1, 9, 500);
	answers(2, 2, 429);
	answers(2, 1, 500); /* a success, by the list */
	answers(2, 2, 429);
	assert_int_equal(n_out(), 0);
	answers(2, 1, 599);
	assert_true(out(2));
	for (int i = 0; i < 3; i++)
		end(3, 503, true);
	assert_true(out(3));
	use(4, "outlierDetection: {consecutive5xxErrors: 3, maxEjectionPercent: 100}");
	answers(1, 3, 500);
	assert_true(out(1));
	answers(4, 9, 429);
	assert_false(out(4));
}

/* consecutiveGatewayErrors counts those of 502, 503, 504 that are listed. */
static void test_gateway_codes(void **state)
{
	(void)state;
	use(4, "outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 2,\n"
	       " maxEjectionPercent: 100, outlierDetectionHttpErrorCodes: [404, 504]}");
	answers(1, 5, 502);
	answers(1, 5, 404);
	assert_int_equal(n_out(), 0);
	answers(1, 2, 504);
	assert_true(out(1));
}

/* ---- consecutive5xxErrors ---- */

static void test_defaults(void **state)
{
	(void)state;
	use(10, "outlierDetection: {}");
	answers(1, 4, 500);
	assert_false(out(1));
	end(1, 500, false);
	assert_true(out(1)); /* five in a row, no interval has passed */
	assert_string_equal(said, "eject 192.0.2.1:80 consecutive_5xx x1 30000ms");
	after(29000);
	assert_true(out(1));
	after(1100); /* 30 s, an interval of 10 s ends */
	assert_false(out(1));
}

static void test_success_resets(void **state)
{
	(void)state;
	use(2, "outlierDetection: {consecutive5xxErrors: 3}");
	for (int i = 0; i < 10; i++) {
		answers(1, 2, 503);
		end(1, i % 2 ? 200 : 404, false);
	}
	assert_false(out(1)); /* never three in a row: 404 is no 5xx */
	answers(1, 3, 599);
	assert_true(out(1));
}

static void test_zero_is_off(void **state)
{
	(void)state;
	use(2, "outlierDetection: {consecutive5xxErrors: 0}");
	answers(1, 1000, 503);
	assert_false(out(1));
}

static void test_deprecated_alias(void **state)
{
	(void)state;
	use(2, "outlierDetection: {consecutiveErrors: 2}");
	answers(1, 2, 500);
	assert_true(out(1));
}

/* ---- consecutiveGatewayErrors ---- */

static void test_gateway(void **state)
{
	(void)state;
	use(2, "outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 3}");
	answers(1, 2, 503);
	end(1, 500, false); /* a 5xx that is no gateway error begins anew */
	answers(1, 1, 502);
	answers(1, 1, 504);
	assert_false(out(1));
	end(1, 503, false);
	assert_true(out(1));
	assert_string_equal(said, "eject 192.0.2.1:80 consecutive_gateway_failure x1 30000ms");
	answers(2, 100, 500);
	assert_false(out(2));
}

static void test_gateway_is_off(void **state)
{
	(void)state;
	use(2, "outlierDetection: {consecutive5xxErrors: 7}");
	answers(1, 6, 503);
	assert_false(out(1));
}

/* ---- failures that are not answers ---- */

static void test_local_counts_as_5xx(void **state)
{
	(void)state;
	use(2, "outlierDetection: {consecutive5xxErrors: 3}");
	end(1, 503, true); /* reset */
	end(1, 504, true); /* timed out */
	end(1, 500, false);
	assert_true(out(1));
}

static void test_local_not_split_is_ignored(void **state)
{
	(void)state;
	use(2, "outlierDetection: {consecutive5xxErrors: 0, consecutiveLocalOriginFailures: 2}");
	for (int i = 0; i < 10; i++)
		end(1, 503, true);
	assert_false(out(1));
}

static void test_split(void **state)
{
	(void)state;
	use(10, "outlierDetection: {splitExternalLocalOriginErrors: true, consecutive5xxErrors: 4,"
		" consecutiveLocalOriginFailures: 2, maxEjectionPercent: 100}");
	end(1, 503, true);
	answers(1, 3, 500); /* an answer: it can be reached */
	end(1, 503, true);
	assert_false(out(1));
	end(1, 504, true);
	assert_true(out(1));
	assert_string_equal(said, "eject 192.0.2.1:80 consecutive_local_origin_failure x1 30000ms");
	/* and failures to answer do not count as 5xx, nor end their row */
	answers(2, 3, 500);
	end(2, 503, true);
	assert_false(out(2));
	end(2, 500, false);
	assert_true(out(2));
}

static void test_split_default(void **state)
{
	(void)state;
	use(2, "outlierDetection: {splitExternalLocalOriginErrors: true}");
	for (int i = 0; i < 4; i++)
		end(1, 503, true);
	assert_false(out(1));
	end(1, 503, true);
	assert_true(out(1));
}

/* ---- how long ---- */

/* Base time x ejections; each quiet interval takes one back. */
static void test_backoff(void **state)
{
	(void)state;
	use(2, "outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 3s}");
	end(1, 500, false);
	after(2900);
	assert_true(out(1));
	after(200);
	assert_false(out(1));
	end(1, 500, false);
	assert_string_equal(said, "eject 192.0.2.1:80 consecutive_5xx x2 6000ms");
	after(5700);
	assert_true(out(1));
	after(1200); /* the interval that ends after 6 s */
	assert_false(out(1));
	after(5000);
	end(1, 500, false);
	assert_string_equal(said, "eject 192.0.2.1:80 consecutive_5xx x1 3000ms");
}

static void test_longest(void **state)
{
	(void)state;
	use(2, "outlierDetection: {consecutive5xxErrors: 1, interval: 100ms,"
	       " baseEjectionTime: 100s}");
	for (int i = 1; i <= 5; i++) {
		uint64_t ms = HR_MIN(i, 3) * 100000ull;

		end(1, 500, false);
		assert_true(out(1));
		after(ms - 200);
		assert_true(out(1));
		/* back, and failing at once: no quiet interval between */
		after(200);
		assert_false(out(1));
	}
	use(2, "outlierDetection: {consecutive5xxErrors: 1, baseEjectionTime: 400s}");
	end(2, 500, false);
	after(399000);
	assert_true(out(2)); /* a base above the longest is the longest */
	after(12000);
	assert_false(out(2));
}

/* It comes back at the end of an interval, not before. */
static void test_interval(void **state)
{
	(void)state;
	use(2, "outlierDetection: {consecutive5xxErrors: 1, interval: 20s, baseEjectionTime: 1s}");
	end(1, 500, false);
	after(19800);
	assert_true(out(1));
	after(300);
	assert_false(out(1));
	assert_int_equal(rt[id_of(1)].consecutive_5xx, 0);
}

/* Answers to requests that were under way do not eject again. */
static void test_late_failures(void **state)
{
	(void)state;
	use(2, "outlierDetection: {consecutive5xxErrors: 2, interval: 1s, baseEjectionTime: 1s}");
	answers(1, 9, 500);
	assert_string_equal(said, "eject 192.0.2.1:80 consecutive_5xx x1 1000ms");
	after(2000);
	assert_false(out(1));
	end(1, 500, false);
	assert_false(out(1)); /* the row begins anew */
}

/* ---- how many ---- */

static void test_percent(void **state)
{
	static const struct {
		int n;
		const char *percent;
		int most;
	} rows[] = {
		{2, "10", 1}, {10, "10", 1}, {20, "10", 2}, {3, "50", 1},
		{4, "50", 2}, {5, "50", 2},  {3, "100", 3}, {1, "10", 1},
	};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++) {
		char text[128];

		teardown(NULL);
		setup(NULL);
		snprintf(text, sizeof(text),
			 "outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: %s}",
			 rows[i].percent);
		use(rows[i].n, text);
		for (int e = 1; e <= rows[i].n; e++)
			end(e, 500, false);
		if (n_out() != rows[i].most)
			fail_msg("%d of %d at %s %%", n_out(), rows[i].n, rows[i].percent);
	}
}

static void first_stats(void *ctx, const struct hr_outlier_stats *s)
{
	*(struct hr_outlier_stats *)ctx = *s;
}

/* One that would be too many is counted, and goes once there is room. */
static void test_overflow(void **state)
{
	struct hr_outlier_stats s = {};

	(void)state;
	use(2, "outlierDetection: {consecutive5xxErrors: 2, interval: 1s, baseEjectionTime: 2s}");
	answers(1, 2, 503);
	answers(2, 2, 503);
	assert_string_equal(said, "eject 192.0.2.2:80 consecutive_5xx x0 0ms not enforced");
	assert_true(out(1) && !out(2));
	hr_outliers_each(o, first_stats, &s);
	assert_string_equal(s.cluster, "outbound|80||web.example.com");
	assert_int_equal(s.active, 1);
	assert_int_equal(s.enforced_total, 1);
	assert_int_equal(s.overflow, 1);
	assert_int_equal(s.detected[HR_OUTLIER_5XX], 2);
	assert_int_equal(s.enforced[HR_OUTLIER_5XX], 1);
	after(2100);
	assert_false(out(1));
	answers(2, 2, 503);
	assert_true(out(2));
}

/* ---- minHealthPercent ---- */

static void test_min_health(void **state)
{
	(void)state;
	use(4, "outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 100,"
	       " minHealthPercent: 50, interval: 1s, baseEjectionTime: 5s}");
	end(1, 500, false);
	end(2, 500, false);
	assert_int_equal(n_out(), 2); /* 50 % are left: not below */
	after(1000);
	end(3, 500, false);
	assert_int_equal(n_out(), 0);				    /* 25 %: all are used, */
	assert_int_equal(rt[id_of(1)].flags, HR_EPRT_EJECTED_USED); /* and shown as ejected */
	after(4100);
	assert_int_equal(n_out(), 1); /* 1 and 2 are back, 3 is out again */
	assert_true(out(3));
}

/*
 * Panic is of a priority, and only when all of them together cannot take every request (140 % of
 * what is healthy, Envoy). Endpoints 1..n are near, the rest far.
 */
static void use_far(int n, int near, const char *outlier)
{
	char eps[2048] = "", text[4096];
	const char *what;

	for (int i = 1; i <= n; i++)
		snprintf(eps + strlen(eps), sizeof(eps) - strlen(eps),
			 "{address: 192.0.2.%d, labels: {at: %s}},", i, i > near ? "far" : "near");
	snprintf(text, sizeof(text),
		 "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s}\n"
		 "spec: {hosts: [web.example.com], addresses: [10.9.0.1], resolution: STATIC,\n"
		 " ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [%s]}\n---\n"
		 "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n"
		 "spec: {host: web.example.com, trafficPolicy: {loadBalancer: {localityLbSetting:\n"
		 " {failoverPriority: ['at=near']}}, outlierDetection: {consecutive5xxErrors: 1,\n"
		 " maxEjectionPercent: 100, interval: 1s, baseEjectionTime: 5s, %s}}}\n",
		 eps, outlier);
	hr_plan_free(plan);
	plan = plan_of(text);
	assert_int_equal(hr_ids_assign(ids, plan, &what), 0);
	hr_outliers_plan(o, plan, now);
}

/* ".": in use, "x": out, "u": ejected and used all the same; as many as there are endpoints. */
static void expect_flags(const char *want)
{
	for (int i = 0; want[i]; i++) {
		uint32_t flags = rt[id_of(i + 1)].flags;
		char got = flags & HR_EPRT_EJECTED ? 'x' : flags & HR_EPRT_EJECTED_USED ? 'u' : '.';

		if (got != want[i])
			fail_msg("endpoint %d is %c, wanted %s", i + 1, got, want);
	}
}

static void test_panic_of_priorities(void **state)
{
	(void)state;
	use_far(8, 4, "minHealthPercent: 70");
	for (int i = 1; i <= 3; i++)
		end(i, 500, false);
	expect_flags("xxx....."); /* 25 % of the near ones: but the far ones can take it */
	end(5, 500, false);
	end(6, 500, false);
	expect_flags("xxx.xx.."); /* 35 + 70 = 105 */
	end(7, 500, false);
	expect_flags("uuu.uuu."); /* 35 + 35: nobody can, and both have too few */
	after(6100);
	expect_flags("........");
	/* the far ones are enough for themselves: only the near ones panic */
	use_far(10, 4, "minHealthPercent: 40");
	for (int i = 1; i <= 4; i++)
		end(i, 500, false);
	for (int i = 5; i <= 7; i++)
		end(i, 500, false);
	expect_flags("uuuuxxx..."); /* 0 + 70; 50 % are not below 40 % */
}

/* One priority that can take everything is no panic, whatever minHealthPercent says (Envoy). */
static void test_panic_not_needed(void **state)
{
	(void)state;
	use(10, "outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 100,"
		" minHealthPercent: 95}");
	end(1, 500, false);
	end(2, 500, false);
	expect_flags("xx........"); /* 80 % healthy: 112 % of what is needed */
	end(3, 500, false);
	expect_flags("uuu......."); /* 98 % */
}

static void test_min_health_zero(void **state)
{
	(void)state;
	use(3, "outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 100}");
	for (int e = 1; e <= 3; e++)
		end(e, 500, false);
	assert_int_equal(n_out(), 3);
}

/* ---- changes of the plan ---- */

static void test_reload(void **state)
{
	(void)state;
	use(3, "outlierDetection: {consecutive5xxErrors: 2}");
	answers(1, 2, 500);
	use(4, "outlierDetection: {consecutive5xxErrors: 3}");
	assert_true(out(1)); /* stays out through a reload */
	answers(2, 2, 500);
	assert_false(out(2));
	end(2, 500, false);
	assert_false(out(2)); /* 10 %, one is out already */
	use(4, "loadBalancer: {simple: RANDOM}");
	assert_int_equal(n_out(), 0);
	answers(1, 100, 500);
	assert_int_equal(n_out(), 0);
	assert_int_equal(rt[id_of(1)].limit_5xx, 0);
	assert_true(hr_outliers_tick(o, now) == UINT64_MAX);
}

/* Flags of others (dead endpoints) are not touched. */
static void test_other_flags(void **state)
{
	(void)state;
	use(2, "outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 1s}");
	rt[id_of(1)].flags |= HR_EPRT_DEAD;
	end(1, 500, false);
	assert_int_equal(rt[id_of(1)].flags, HR_EPRT_DEAD | HR_EPRT_EJECTED);
	after(2100);
	assert_int_equal(rt[id_of(1)].flags, HR_EPRT_DEAD);
}

/* A report that never came (full ring) is made up for by the next of the row. */
static void test_lost_report(void **state)
{
	(void)state;
	use(2, "outlierDetection: {consecutive5xxErrors: 3}");
	for (int i = 0; i < 3; i++)
		hr_health_count(&rt[id_of(1)], codes, 500, false);
	answers(1, 2, 500);
	assert_false(out(1));
	end(1, 500, false);
	assert_true(out(1));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_defaults),
		T(test_codes),
		T(test_gateway_codes),
		T(test_success_resets),
		T(test_zero_is_off),
		T(test_deprecated_alias),
		T(test_gateway),
		T(test_gateway_is_off),
		T(test_local_counts_as_5xx),
		T(test_local_not_split_is_ignored),
		T(test_split),
		T(test_split_default),
		T(test_backoff),
		T(test_longest),
		T(test_interval),
		T(test_late_failures),
		T(test_percent),
		T(test_overflow),
		T(test_min_health),
		T(test_panic_of_priorities),
		T(test_panic_not_needed),
		T(test_min_health_zero),
		T(test_reload),
		T(test_other_flags),
		T(test_lost_report),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
