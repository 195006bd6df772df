// SPDX-License-Identifier: Apache-2.0
/*
 * Verdicts on a canary's step. 100 requests are asked for and 1 % may fail: one failure is
 * forgiven, the second is a breach whenever it comes, and a quiet step is never a passed one.
 */
#include "unit.h"

#include <math.h>

#include "cli/canary/judge.h"
#include "core/cleanup.h"

static const struct hr_judge j = {.max_error = 0.01, .max_p99_ms = 100, .min_requests = 100};

static enum hr_judgement judge(double requests, double failed, double slow, bool over)
{
	_cleanup_sb_ struct hr_strbuf why = {};
	struct hr_delta d = {.requests = requests, .good = requests - failed};
	enum hr_judgement v;

	d.buckets[2] = requests - slow; /* up to 5 ms */
	d.buckets[7] = slow;		/* up to 250 ms */
	v = hr_judge(&j, &d, over, &why);
	assert_int_equal(v == HR_JUDGE_BREACH, why.len > 0);
	return v;
}

static void test_errors(void **state)
{
	(void)state;
	assert_int_equal(judge(1, 1, 0, false), HR_JUDGE_WAIT);
	assert_int_equal(judge(2, 2, 0, false), HR_JUDGE_BREACH);
	assert_int_equal(judge(99, 1, 0, false), HR_JUDGE_WAIT);
	assert_int_equal(judge(100, 1, 0, true), HR_JUDGE_PASS);
	assert_int_equal(judge(1000, 10, 0, true), HR_JUDGE_PASS);
	assert_int_equal(judge(1000, 11, 0, false), HR_JUDGE_BREACH);
}

static void test_slow(void **state)
{
	(void)state;
	assert_int_equal(judge(100, 0, 1, true), HR_JUDGE_PASS);
	assert_int_equal(judge(50, 0, 2, false), HR_JUDGE_BREACH);
	assert_int_equal(judge(500, 0, 6, true), HR_JUDGE_BREACH);
}

static void test_no_evidence(void **state)
{
	(void)state;
	assert_int_equal(judge(0, 0, 0, true), HR_JUDGE_WAIT);
	assert_int_equal(judge(99, 0, 0, true), HR_JUDGE_WAIT);
	assert_int_equal(judge(100, 0, 0, false), HR_JUDGE_WAIT);
	assert_int_equal(judge(100, 0, 0, true), HR_JUDGE_PASS);
}

/* What is not asked for is not judged; nothing allowed is nothing allowed. */
static void test_limits_of_the_limits(void **state)
{
	const struct hr_judge blind = {.max_error = -1, .max_p99_ms = -1, .min_requests = 1};
	const struct hr_judge strict = {.max_error = 0, .max_p99_ms = -1, .min_requests = 100};
	_cleanup_sb_ struct hr_strbuf why = {};
	struct hr_delta d = {.requests = 1};

	(void)state;
	assert_int_equal(hr_judge(&blind, &d, true, &why), HR_JUDGE_PASS);
	assert_int_equal(hr_judge(&strict, &d, false, &why), HR_JUDGE_BREACH);
	assert_true(hr_judge_bound(100) == 100 && hr_judge_bound(75) == 100);
	assert_true(hr_judge_bound(0.2) == 0.5 && hr_judge_bound(4e6) == -1);
}

/* Counters of an agent that began again are not negative requests. */
static void test_differences(void **state)
{
	json_t *a = json_pack("{s:i,s:[i,i,i,i,i,i],s:[i,i]}", "requests", 10, "status", 0, 0, 8, 0,
			      0, 2, "latency", 10, 0);
	json_t *b = json_pack("{s:i,s:[i,i,i,i,i,i],s:[i,i]}", "requests", 14, "status", 0, 0, 9, 0,
			      1, 4, "latency", 10, 4);
	struct hr_delta d = hr_delta(a, b);

	(void)state;
	assert_true(d.requests == 4 && d.good == 2 && d.buckets[0] == 0 && d.buckets[1] == 4);
	assert_true(hr_delta_quantile(&d, 0.5) == 0.75); /* half way from 0.5 to 1 ms */
	d = hr_delta(b, a);
	assert_true(d.requests == 10 && d.good == 8);
	d = hr_delta(NULL, a);
	assert_true(d.requests == 10);
	d = (struct hr_delta){.buckets[HR_LAT_BUCKETS] = 1};
	assert_true(isinf(hr_delta_quantile(&d, 0.99)));
	d = (struct hr_delta){};
	assert_true(hr_delta_quantile(&d, 0.99) < 0);
	json_decref(a);
	json_decref(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),	    cmocka_unit_test(test_slow),
		cmocka_unit_test(test_no_evidence), cmocka_unit_test(test_limits_of_the_limits),
		cmocka_unit_test(test_differences),
	};

	return cmocka_run_group_tests_name("cli judge", tests, NULL, NULL);
}
