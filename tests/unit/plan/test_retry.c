// SPDX-License-Identifier: Apache-2.0
// Which answers the kernel keeps back for another try: the words of retryOn as a set of codes.
#include "plan/compile/retry.h"

#include "core/cleanup.h"
#include "unit.h"

static void retry(struct hr_plan_retry *out, int attempts, int64_t per_try, const char **words,
		  size_t n)
{
	struct hr_http_route http = {.retries = {.set = true,
						 .attempts = attempts,
						 .per_try_timeout = per_try,
						 .retry_on = {.data = words, .len = n}}};

	hr_plan_retry(&http, out);
}

static void test_words(void **state)
{
	static const struct {
		const char *word;
		unsigned in[3], out[3]; /* codes */
	} cases[] = {
		{"5xx", {500, 503, 599}, {499, 404, 200}},
		{"gateway-error", {502, 503, 504}, {500, 501, 505}},
		{"retriable-4xx", {409}, {404, 408, 429}},
		{"418", {418}, {417, 419, 503}},
		{"100", {100}, {101}},
		{"reset", {}, {500, 503}},
		{"connect-failure", {}, {503}},
		{"unavailable", {}, {503}},
	};
	struct hr_plan_retry r;

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(cases); i++) {
		const char *word = cases[i].word;

		retry(&r, 2, -1, &word, 1);
		for (size_t k = 0; k < 3; k++) {
			if (cases[i].in[k] && !hr_plan_retries_status(&r, cases[i].in[k]))
				fail_msg("%s: %u is not tried again", word, cases[i].in[k]);
			if (cases[i].out[k] && hr_plan_retries_status(&r, cases[i].out[k]))
				fail_msg("%s: %u is tried again", word, cases[i].out[k]);
		}
		assert_int_equal(r.any_status, cases[i].in[0] != 0);
	}
}

/* A request may be needed once more: those with a body are bound at their head. */
static void test_replay(void **state)
{
	const char *reset = "reset", *connect = "connect-failure", *headers = "retriable-headers";
	struct hr_plan_retry r;

	(void)state;
	retry(&r, 2, -1, &reset, 1);
	assert_true(r.replay);
	retry(&r, 2, -1, &connect, 1);
	assert_false(r.replay);
	retry(&r, 2, 300, &connect, 1); /* a try that was too slow is made again */
	assert_true(r.replay);
	assert_int_equal(r.per_try_ms, 300);
	retry(&r, 0, 300, &reset, 1); /* never again, but still one time a try */
	assert_false(r.replay);
	assert_int_equal(r.per_try_ms, 300);
	retry(&r, 2, -1, &headers, 1);
	assert_true(r.agent_only);
	assert_false(r.any_status);
}

/* What the proxy reads: words are bits, and a status is one however many there are. */
static void test_bits(void **state)
{
	static const char *const words[] = {"418", "419", "420", "421", "422",
					    "423", "424", "425", "426", "refused-stream"};
	struct hr_http_route none = {};
	struct hr_plan_retry r;

	(void)state;
	retry(&r, 7, -1, (const char **)words, HR_ARRAY_SIZE(words));
	assert_int_equal(r.on, HR_RETRY_REFUSED);
	assert_int_equal(r.attempts, 7);
	assert_false(r.agent_only);
	for (unsigned code = 418; code <= 426; code++)
		assert_true(hr_plan_retries_status(&r, code));
	assert_false(hr_plan_retries_status(&r, 427));
	assert_false(hr_plan_retries_status(&r, 99));
	assert_false(hr_plan_retries_status(&r, 999));
	hr_plan_retry(&none, &r); /* no block: Istio's */
	assert_int_equal(r.attempts, 2);
	assert_true(r.on & HR_RETRY_CONNECT && r.on & HR_RETRY_UNAVAILABLE);
	assert_false(r.any_status || r.replay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
