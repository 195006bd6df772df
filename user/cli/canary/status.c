// SPDX-License-Identifier: Apache-2.0
// headrace canary status: what each side should get, and what it got between two looks.
#include <poll.h>

#include "cli/canary/canary.h"
#include "cli/counters.h"
#include "cli/verbs.h"

/* The side of the same name in the look before; NULL: it is new. */
static const json_t *same_side(const json_t *old, const json_t *side)
{
	json_t *s;
	size_t i;

	json_array_foreach(
		json_object_get(old, "sides"), i,
		s) if (hr_streq(hr_jstr(s, "name", ""), hr_jstr(side, "name", ""))) return s;
	return NULL;
}

static struct hr_delta delta_of(const json_t *old, const json_t *side)
{
	const json_t *was = same_side(old, side);

	return hr_delta(json_object_get(was, "counters"), json_object_get(side, "counters"));
}

static const char *role(size_t i, size_t n)
{
	return i == 0 ? "stable" : i == 1 && n == 2 ? "canary" : "";
}

static double all_requests(const json_t *old, const json_t *new)
{
	double all = 0;
	json_t *side;
	size_t i;

	json_array_foreach(json_object_get(new, "sides"), i, side) all +=
		delta_of(old, side).requests;
	return all;
}

static double seconds_between(const json_t *old, const json_t *new)
{
	double s = (hr_jnum(new, "timeMs") - hr_jnum(old, "timeMs")) / 1000;

	return s > 0 ? s : 1;
}

static json_t *ratio(double part, double whole)
{
	return whole > 0 ? json_real(part / whole) : json_null();
}

static json_t *live_json(const json_t *old, const json_t *new, const json_t *side)
{
	struct hr_delta d = delta_of(old, side);
	double p99 = hr_delta_quantile(&d, 0.99);

	return json_pack("{s:f,s:f,s:o,s:o,s:o}", "requests", d.requests, "requestsPerSecond",
			 d.requests / seconds_between(old, new), "share",
			 ratio(d.requests, all_requests(old, new)), "successRate",
			 ratio(d.good, d.requests), "p99Ms",
			 p99 >= 0 && p99 < 1e12 ? json_real(p99) : json_null());
}

static int show_json(const json_t *old, json_t *new)
{
	json_t *sides = json_object_get(new, "sides"), *side;
	size_t i;

	json_array_foreach(sides, i, side)
	{
		json_object_set_new(side, "role", json_string(role(i, json_array_size(sides))));
		json_object_set_new(side, "live", live_json(old, new, side));
	}
	json_object_set_new(new, "seconds", json_real(seconds_between(old, new)));
	return hr_print_json(new);
}

static void percent(char *buf, size_t size, double part, double whole)
{
	snprintf(buf, size, "-");
	if (whole > 0)
		snprintf(buf, size, "%.1f %%", 100 * part / whole);
}

static void add_side(struct hr_table *t, const json_t *old, const json_t *new, const json_t *side,
		     size_t i)
{
	size_t n = json_array_size(json_object_get(new, "sides"));
	struct hr_delta d = delta_of(old, side);
	char weight[32], rate[32], live[32], success[32], p99[32], endpoints[48];

	snprintf(weight, sizeof(weight), "%lld (%.1f %%)", (long long)hr_jint(side, "weight"),
		 100 * hr_jnum(side, "share"));
	snprintf(rate, sizeof(rate), "%.1f", d.requests / seconds_between(old, new));
	percent(live, sizeof(live), d.requests, all_requests(old, new));
	percent(success, sizeof(success), d.good, d.requests);
	hr_quantile_text(hr_delta_quantile(&d, 0.99), p99, sizeof(p99));
	snprintf(endpoints, sizeof(endpoints), "%lld of %lld healthy",
		 (long long)hr_jint(side, "healthy"), (long long)hr_jint(side, "endpoints"));
	HR_TABLE_ROW(t, hr_jstr(side, "name", ""), role(i, n), weight, rate, live, success, p99,
		     endpoints);
}

static void add_notes(const json_t *side, struct hr_strbuf *out)
{
	json_t *r;
	size_t i;

	json_array_foreach(json_object_get(side, "otherRules"), i, r) hr_sb_printf(
		out, "rule %lld%s%s also sends requests to %s; the weights do not govern it\n",
		(long long)hr_jint(r, "rule"), *hr_jstr(r, "name", "") ? " " : "",
		hr_jstr(r, "name", ""), hr_jstr(side, "name", ""));
}

static int show_text(const json_t *old, const json_t *new)
{
	_cleanup_table_ struct hr_table t = {};
	_cleanup_sb_ struct hr_strbuf out = {};
	json_t *side;
	size_t i;

	hr_sb_printf(&out, "VirtualService %s/%s, rule %lld (%s)\n", hr_jstr(new, "namespace", ""),
		     hr_jstr(new, "virtualService", ""), (long long)hr_jint(new, "rule"),
		     hr_jstr(new, "source", ""));
	HR_TABLE_ROW(&t, "SIDE", "ROLE", "WEIGHT", "REQ/S", "SHARE", "OK", "P99", "ENDPOINTS");
	json_array_foreach(json_object_get(new, "sides"), i, side) add_side(&t, old, new, side, i);
	hr_table_text(&t, &out);
	json_array_foreach(json_object_get(new, "sides"), i, side) add_notes(side, &out);
	return hr_print(&out);
}

int hr_verb_canary_status(const struct hr_args *a)
{
	_cleanup_json_ json_t *old = NULL, *new = NULL;
	unsigned long seconds = hr_arg_uint(a, "interval", 1);
	int r;

	if (seconds < 1 || seconds > 3600)
		return hr_fail(a, HR_EXIT_USAGE, "--interval: 1 to 3600 seconds");
	r = hr_ask(a, "canaryStatus", hr_split_request(a), &old);
	if (r)
		return r;
	poll(NULL, 0, (int)seconds * 1000);
	r = hr_ask(a, "canaryStatus", hr_split_request(a), &new);
	if (r)
		return r;
	return a->json ? show_json(old, new) : show_text(old, new);
}
