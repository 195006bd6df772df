// SPDX-License-Identifier: Apache-2.0
// headrace top: rates between two looks at the counters.
#include <poll.h>

#include "cli/counters.h"
#include "cli/term.h"
#include "cli/verbs.h"

static const json_t *by_key(const json_t *list, const char *key)
{
	json_t *row;
	size_t i;

	json_array_foreach((json_t *)list, i,
			   row) if (hr_streq(hr_jstr(row, "key", ""), key)) return row;
	return NULL;
}

static void add_row(struct hr_table *t, const json_t *old, const json_t *row, double seconds)
{
	const struct hr_delta d =
		hr_delta(json_object_get(old, "counters"), json_object_get(row, "counters"));
	char rate[32], success[32] = "-", p50[32], p99[32], in_flight[32] = "-";

	snprintf(rate, sizeof(rate), "%.1f", d.requests / seconds);
	if (d.requests > 0)
		snprintf(success, sizeof(success), "%.2f", 100 * d.good / d.requests);
	hr_quantile_text(hr_delta_quantile(&d, 0.50), p50, sizeof(p50));
	hr_quantile_text(hr_delta_quantile(&d, 0.99), p99, sizeof(p99));
	if (json_object_get(row, "inFlight"))
		snprintf(in_flight, sizeof(in_flight), "%lld", (long long)hr_jint(row, "inFlight"));
	HR_TABLE_ROW(t, rate, success, p50, p99, in_flight, hr_jstr(row, "key", ""));
}

static void add_table(struct hr_strbuf *out, const char *title, const json_t *old,
		      const json_t *list, double seconds)
{
	_cleanup_table_ struct hr_table t = {};
	json_t *row;
	size_t i;

	HR_TABLE_ROW(&t, "REQ/S", "OK %", "P50", "P99", "IN FLIGHT", title);
	json_array_foreach((json_t *)list, i, row)
		add_row(&t, by_key(old, hr_jstr(row, "key", "")), row, seconds);
	hr_table_text(&t, out);
}

static int picture(const json_t *old, const json_t *new, bool clear)
{
	double seconds = (hr_jnum(new, "timeMs") - hr_jnum(old, "timeMs")) / 1000;
	_cleanup_sb_ struct hr_strbuf out = {};

	if (seconds <= 0)
		seconds = 1;
	if (clear)
		hr_sb_add(&out, "\033[H\033[2J");
	hr_sb_printf(&out, "kernel share %.1f %% of %lld requests since start\n\n",
		     100 * hr_jnum(json_object_get(new, "requests"), "kernelShare"),
		     (long long)hr_jint(json_object_get(new, "requests"), "total"));
	add_table(&out, "ROUTE", json_object_get(old, "routes"), json_object_get(new, "routes"),
		  seconds);
	hr_sb_addc(&out, '\n');
	add_table(&out, "ENDPOINT", json_object_get(old, "endpoints"),
		  json_object_get(new, "endpoints"), seconds);
	return hr_print(&out);
}

int hr_verb_top(const struct hr_args *a)
{
	unsigned long interval = hr_arg_uint(a, "interval", 1);
	bool live = isatty(STDOUT_FILENO) && !a->json;
	json_t *old = NULL, *new = NULL;
	int r = hr_ask(a, "top", NULL, &old);

	if (interval < 1 || interval > 3600)
		r = hr_fail(a, HR_EXIT_USAGE, "--interval: 1 to 3600 seconds");
	if (r == 0 && a->json)
		r = hr_print_json(old);
	while (r == 0 && !a->json) {
		poll(NULL, 0, (int)interval * 1000);
		r = hr_ask(a, "top", NULL, &new);
		if (r)
			break;
		r = picture(old, new, live);
		json_decref(old);
		old = new;
		if (!live)
			break;
	}
	json_decref(old);
	return r;
}
