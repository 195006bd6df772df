// SPDX-License-Identifier: Apache-2.0
// headrace status: the agent's state at a glance.
#include <string.h>
#include <time.h>

#include "cli/term.h"
#include "cli/verbs.h"
#include "control/control.h"

static void add_datapath(const json_t *s, struct hr_strbuf *out)
{
	const json_t *d = json_object_get(s, "datapath"), *k = json_object_get(s, "kernel");
	const json_t *features = json_object_get(k, "features"), *ok;
	const char *mode = hr_jstr(d, "mode", ""), *name;
	bool kernel = hr_streq(mode, "kernel");
	size_t passed = 0;

	hr_sb_printf(out, "data path   %s%s%s (requested %s): %s\n",
		     hr_colour(kernel ? HR_GREEN : HR_YELLOW), mode, hr_colour(HR_PLAIN),
		     hr_jstr(d, "requested", ""), hr_jstr(d, "why", ""));
	json_object_foreach((json_t *)features, name, ok) passed += json_is_true(ok);
	hr_sb_printf(out, "kernel      %s", hr_jstr(k, "release", ""));
	if (json_object_size(features))
		hr_sb_printf(out, ", %zu of %zu self-tests passed", passed,
			     json_object_size(features));
	hr_sb_addc(out, '\n');
	json_object_foreach((json_t *)features, name, ok)
	{
		if (!json_is_true(ok))
			hr_sb_printf(out, "            without %s\n", name);
	}
}

static void add_same_node(const json_t *s, struct hr_strbuf *out)
{
	const json_t *n = json_object_get(s, "sameNode");
	bool on = json_is_true(json_object_get(n, "on"));

	hr_sb_printf(out, "same node   %s: %s\n", on ? "on" : "off", hr_jstr(n, "why", ""));
	if (!hr_jint(n, "paired"))
		return;
	hr_sb_printf(out,
		     "            %lld connections paired (%lld opaque), %lld bytes without TCP, "
		     "%lld spills\n",
		     (long long)hr_jint(n, "paired"), (long long)hr_jint(n, "opaquePaired"),
		     (long long)hr_jint(n, "bytes"), (long long)hr_jint(n, "spilled"));
	hr_sb_printf(out,
		     "            %lld bytes unread, of %lld (%lld each way of a connection)\n",
		     (long long)hr_jint(n, "unread"),
		     (long long)hr_jint(json_object_get(n, "bounds"), "node"),
		     (long long)hr_jint(json_object_get(n, "bounds"), "connection"));
}

static void add_requests(const json_t *s, struct hr_strbuf *out)
{
	const json_t *r = json_object_get(s, "requests"), *f = json_object_get(s, "fallback"), *n;
	const json_t *mishaps = json_object_get(s, "mishaps");
	const char *reason;
	size_t i = 0;

	hr_sb_printf(out,
		     "requests    %lld, of them %lld (%.1f %%) by the kernel, %lld by the agent\n",
		     (long long)hr_jint(r, "total"), (long long)hr_jint(r, "kernel"),
		     100 * hr_jnum(r, "kernelShare"), (long long)hr_jint(r, "agent"));
	json_object_foreach((json_t *)f, reason, n)
	{
		hr_sb_printf(out, "%s%8lld %s\n", i++ ? "            " : "fallback    ",
			     (long long)json_integer_value(n), reason);
	}
	i = 0;
	json_object_foreach((json_t *)mishaps, reason, n)
	{
		hr_sb_printf(out, "%s%8lld %s\n", i++ ? "            " : "mishaps     ",
			     (long long)json_integer_value(n), reason);
	}
}

static void add_labels(const json_t *labels, struct hr_strbuf *out)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)labels, key, value)
	{
		hr_sb_printf(out, "%s%s=%s", out->len ? "," : "", key, json_string_value(value));
	}
}

static void add_workloads(const json_t *s, struct hr_strbuf *out)
{
	const json_t *list = json_object_get(s, "workloads"), *w;
	_cleanup_table_ struct hr_table t = {};
	char procs[32];
	size_t i;

	if (!json_array_size(list))
		return;
	hr_sb_addc(out, '\n');
	HR_TABLE_ROW(&t, "NAMESPACE", "WORKLOAD", "LABELS", "PROCESSES", "DATAPATH", "SAME-NODE",
		     "CGROUP");
	json_array_foreach((json_t *)list, i, w)
	{
		_cleanup_sb_ struct hr_strbuf labels = {};

		add_labels(json_object_get(w, "labels"), &labels);
		snprintf(procs, sizeof(procs), "%lld", (long long)hr_jint(w, "processes"));
		HR_TABLE_ROW(&t, hr_jstr(w, "namespace", ""), hr_jstr(w, "name", ""),
			     labels.len ? labels.data : "-", procs, hr_jstr(w, "datapath", ""),
			     json_is_false(json_object_get(w, "sameNode")) ? "off" : "on",
			     hr_jstr(w, "cgroup", ""));
	}
	hr_table_text(&t, out);
}

static int show(const struct hr_args *a, const json_t *s)
{
	const json_t *config = json_object_get(s, "config");
	const char *error = hr_jstr(config, "lastError", NULL);
	_cleanup_sb_ struct hr_strbuf out = {};
	bool ready = json_is_true(json_object_get(s, "ready"));

	if (a->json)
		return hr_print_json(s);
	hr_sb_printf(&out, "headrace %s, pid %lld, %s%s%s\n", hr_jstr(s, "version", ""),
		     (long long)hr_jint(s, "pid"), hr_colour(ready ? HR_GREEN : HR_YELLOW),
		     ready ? "ready" : "not ready", hr_colour(HR_PLAIN));
	add_datapath(s, &out);
	hr_sb_printf(&out, "config      generation %lld, %lld objects\n",
		     (long long)hr_jint(config, "generation"),
		     (long long)hr_jint(config, "objects"));
	if (error)
		hr_sb_printf(&out, "last error  %s%s%s\n", hr_colour(HR_RED), error,
			     hr_colour(HR_PLAIN));
	add_same_node(s, &out);
	add_requests(s, &out);
	add_workloads(s, &out);
	return hr_print(&out);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The socket may not be there yet, and an agent that starts answers when it is done with it. */
static int wait_ready(const struct hr_args *a, double seconds, json_t **result)
{
	double end = now() + seconds;
	_cleanup_sb_ struct hr_strbuf err = {};

	do {
		int left = (int)((end - now()) * 1000);

		hr_sb_free(&err);
		if (hr_control_call(a->socket, "status", NULL, left > 50 ? left : 50, result,
				    &err) == 0) {
			if (json_is_true(json_object_get(*result, "ready")))
				return HR_EXIT_OK;
			json_decref(*result);
			*result = NULL;
			hr_sb_add(&err, "the agent is not ready");
		}
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	} while (now() < end);
	return hr_fail(a, HR_EXIT_UNREACHABLE, "%s", hr_sb_str(&err));
}

int hr_verb_status(const struct hr_args *a)
{
	bool wait = hr_arg_str(a, "wait", NULL);
	double seconds = (double)hr_arg_uint(a, "wait", 0);
	_cleanup_json_ json_t *result = NULL;
	int r = wait ? wait_ready(a, seconds, &result) : hr_ask(a, "status", NULL, &result);

	return r ? r : show(a, result);
}
