// SPDX-License-Identifier: Apache-2.0
// headrace breaker enable, disable, status: outlierDetection of a DestinationRule.
#include "cli/canary/canary.h"
#include "cli/verbs.h"

static void add_number(const struct hr_args *a, const char *option, const char *key, json_t *req)
{
	if (hr_arg_str(a, option, NULL))
		json_object_set_new(req, key, json_integer((json_int_t)hr_arg_uint(a, option, 0)));
}

static void add_text(const struct hr_args *a, const char *option, const char *key, json_t *req)
{
	if (hr_arg_str(a, option, NULL))
		json_object_set_new(req, key, json_string(hr_arg_str(a, option, NULL)));
}

int hr_verb_breaker_enable(const struct hr_args *a)
{
	json_t *req = hr_split_request(a);

	add_number(a, "consecutive-errors", "consecutiveErrors", req);
	add_text(a, "interval", "interval", req);
	add_text(a, "base-ejection", "baseEjectionTime", req);
	add_number(a, "max-ejection", "maxEjectionPercent", req);
	add_number(a, "min-health", "minHealthPercent", req);
	return hr_split_ask(a, "enableCircuitBreaker", req);
}

int hr_verb_breaker_disable(const struct hr_args *a)
{
	return hr_split_ask(a, "disableCircuitBreaker", hr_split_request(a));
}

static void detection(const json_t *d, struct hr_strbuf *out)
{
	if (!json_is_object(d)) {
		hr_sb_add(out, "off");
		return;
	}
	hr_sb_printf(out,
		     "%lld errors in a row, interval %g s, ejected for %g s and longer, at most "
		     "%lld %%, off below %lld %% healthy",
		     (long long)hr_jint(d, "consecutive5xxErrors"), hr_jnum(d, "intervalMs") / 1000,
		     hr_jnum(d, "baseEjectionTimeMs") / 1000,
		     (long long)hr_jint(d, "maxEjectionPercent"),
		     (long long)hr_jint(d, "minHealthPercent"));
}

static void add_cluster(struct hr_table *t, const json_t *c)
{
	bool on = json_is_object(json_object_get(c, "outlierDetection"));
	char port[16], ejections[32], errors[32];
	json_t *e;
	size_t i;

	snprintf(port, sizeof(port), "%lld", (long long)hr_jint(c, "port"));
	snprintf(ejections, sizeof(ejections), "%lld", (long long)hr_jint(c, "ejections"));
	json_array_foreach(json_object_get(c, "endpoints"), i, e)
	{
		snprintf(errors, sizeof(errors), "%lld", (long long)hr_jint(e, "consecutive5xx"));
		HR_TABLE_ROW(t, hr_jstr(c, "subset", "-"), port, on ? "on" : "off",
			     hr_jstr(e, "state", ""), errors, ejections, hr_jstr(e, "address", ""));
	}
}

int hr_verb_breaker_status(const struct hr_args *a)
{
	_cleanup_json_ json_t *result = NULL;
	_cleanup_table_ struct hr_table t = {};
	_cleanup_sb_ struct hr_strbuf out = {};
	json_t *c;
	size_t i;
	int r = hr_ask(a, "circuitBreakerStatus", hr_split_request(a), &result);

	if (r)
		return r;
	if (a->json)
		return hr_print_json(result);
	hr_sb_printf(&out,
		     "DestinationRule %s/%s (%s), host %s: ", hr_jstr(result, "namespace", ""),
		     hr_jstr(result, "destinationRule", ""), hr_jstr(result, "source", ""),
		     hr_jstr(result, "host", ""));
	detection(json_object_get(result, "outlierDetection"), &out);
	hr_sb_addc(&out, '\n');
	HR_TABLE_ROW(&t, "SUBSET", "PORT", "BREAKER", "STATE", "ERRORS", "EJECTIONS", "ENDPOINT");
	json_array_foreach(json_object_get(result, "clusters"), i, c) add_cluster(&t, c);
	hr_table_text(&t, &out);
	return hr_print(&out);
}
