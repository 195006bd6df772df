// SPDX-License-Identifier: Apache-2.0
/*
 * The command table itself: what every row must have, so that help, completion and the man page
 * have it too; and the words of options that have parts.
 */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/diags.h"
#include "cli/labels.h"
#include "core/cleanup.h"

static void test_every_row_is_complete(void **state)
{
	(void)state;
	for (const struct hr_command *c = hr_commands; c->name; c++) {
		const struct hr_option *o;

		assert_non_null(c->run);
		assert_true(c->summary && *c->summary);
		/* help and man page end it with a full stop of their own */
		assert_int_not_equal(c->summary[strlen(c->summary) - 1], '.');
		for (size_t i = 0; (o = hr_command_option(c, i)); i++) {
			assert_true(o->help && *o->help);
			assert_true((o->type == HR_OPT_FLAG) == !o->arg);
		}
	}
}

/* Twice the same option in a row would make the second one unreachable. */
static void test_names_are_unique(void **state)
{
	(void)state;
	for (const struct hr_command *c = hr_commands; c->name; c++) {
		const struct hr_option *a, *b;

		for (const struct hr_command *d = c + 1; d->name; d++)
			assert_string_not_equal(c->name, d->name);
		for (size_t i = 0; (a = hr_command_option(c, i)); i++)
			for (size_t k = i + 1; (b = hr_command_option(c, k)); k++) {
				assert_string_not_equal(a->name, b->name);
				assert_true(!a->letter || a->letter != b->letter);
			}
	}
}

/* The verbs and options that CLI.md promises to scripts. */
static void test_the_contract(void **state)
{
	static const struct {
		const char *verb, *options;
	} promised[] = {
		{"run", "file datapath metrics socket cluster-domain workers log drain lenient"},
		{"check", "strict lenient output"},
		{"explain", "file method header from source-labels source-ip gateway output"},
		{"status", "wait output socket"},
		{"top", "output"},
		{"routes", "output"},
		{"endpoints", "output"},
		{"breakers", "output socket"},
		{"apply", "file dry-run lenient"},
		{"get", "namespace output"},
		{"delete", "file namespace"},
		{"canary create", "namespace stable canary match subset timeout retries "
				  "stable-policy canary-policy dry-run output"},
		{"canary weights", "namespace dry-run output"},
		{"canary promote", "namespace dry-run output"},
		{"canary rollback", "namespace dry-run output"},
		{"canary status", "namespace output"},
		{"canary run", "namespace steps every max-error max-p99"},
		{"breaker enable", "namespace consecutive-errors interval base-ejection "
				   "max-ejection min-health dry-run"},
		{"breaker disable", "namespace dry-run"},
		{"breaker status", "namespace output"},
		{"exec", "workload labels"},
		{"attach", "cgroup pid unit workload labels"},
		{"detach", "cgroup pid unit"},
		{"datapath", "socket"},
		{"cleanup", "help"},
		{"demo", "help"},
		{"version", "output"},
		{"completion", "help"},
	};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(promised); i++) {
		const char *near;
		const struct hr_command *c = hr_command_find(hr_commands, promised[i].verb, &near);
		_cleanup_free_ char *words = strdup(promised[i].options);
		char *save = NULL;

		assert_non_null(c);
		for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
			const struct hr_option *o = NULL;

			for (size_t k = 0; (o = hr_command_option(c, k)); k++)
				if (strcmp(o->name, w) == 0)
					break;
			if (!o)
				fail_msg("headrace %s has no --%s", promised[i].verb, w);
		}
	}
}

static void test_workload_and_labels(void **state)
{
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	const char *ns, *name;
	struct hr_kv h;
	hr_kvs l;

	(void)state;
	assert_int_equal(hr_parse_workload(a, "prod/web", &ns, &name), 0);
	assert_string_equal(ns, "prod");
	assert_string_equal(name, "web");
	assert_int_equal(hr_parse_workload(a, "web", &ns, &name), 0);
	assert_string_equal(ns, "default");
	assert_int_equal(hr_parse_workload(a, "/web", &ns, &name), -EINVAL);
	assert_int_equal(hr_parse_workload(a, "prod/", &ns, &name), -EINVAL);
	assert_int_equal(hr_parse_workload(a, "a/b/c", &ns, &name), -EINVAL);

	assert_int_equal(hr_parse_labels(a, "a=1,b=,c=x=y", &l), 0);
	assert_int_equal(l.len, 3);
	assert_string_equal(l.data[1].value, "");
	assert_string_equal(l.data[2].value, "x=y");
	assert_int_equal(hr_parse_labels(a, "", &l), 0);
	assert_int_equal(l.len, 0);
	assert_int_equal(hr_parse_labels(a, "a", &l), -EINVAL);
	assert_int_equal(hr_parse_labels(a, "=1", &l), -EINVAL);
	assert_int_equal(hr_parse_labels(a, "a=1,", &l), -EINVAL);

	assert_int_equal(hr_parse_header(a, "X-A:  b c \t", &h), 0);
	assert_string_equal(h.key, "X-A");
	assert_string_equal(h.value, "b c");
	assert_int_equal(hr_parse_header(a, "X-A:", &h), 0);
	assert_string_equal(h.value, "");
	assert_int_equal(hr_parse_header(a, ": x", &h), -EINVAL);
	assert_int_equal(hr_parse_header(a, "novalue", &h), -EINVAL);
	assert_int_equal(hr_parse_header(a, "x y: 1", &h), -EINVAL);
	assert_int_equal(hr_parse_header(a, "x-y : 1", &h), -EINVAL);
	assert_int_equal(hr_parse_header(a, "x-y: 1\r\nz: 2", &h), -EINVAL);
	assert_true(hr_is_token("PURGE"));
	assert_false(hr_is_token("") || hr_is_token("GE T") || hr_is_token("G\xc3\xa9"));
}

/* Keys and their order are read by scripts; bytes of a file that are no UTF-8 must not lose them.
 */
static void test_findings_as_json_and_sarif(void **state)
{
	_cleanup_diags_ struct hr_diags *d = hr_diags_new();
	_cleanup_free_ char *text = NULL, *sarif = NULL;
	json_t *j, *s;

	(void)state;
	hr_diag_add(d, HR_SEV_ERROR, (struct hr_pos){.file = "a.yaml", .line = 3, .col = 5},
		    "unknown-field", NULL, "spec.rout", "bad byte \xff");
	j = hr_diags_json(d);
	text = json_dumps(j, JSON_COMPACT);
	assert_string_equal(text,
			    "[{\"file\":\"a.yaml\",\"line\":3,\"column\":5,\"severity\":"
			    "\"error\",\"code\":\"unknown-field\",\"kind\":null,\"namespace\":"
			    "null,\"name\":null,\"field\":\"spec.rout\",\"message\":"
			    "\"bad byte \xef\xbf\xbd\"}]");
	s = hr_diags_sarif(d);
	sarif = json_dumps(s, JSON_COMPACT);
	assert_non_null(strstr(sarif, "\"startLine\":3,\"startColumn\":5"));
	assert_non_null(strstr(sarif, "\"rules\":[{\"id\":\"unknown-field\"}]"));
	assert_non_null(strstr(sarif, "\"level\":\"error\""));
	json_decref(j);
	json_decref(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_row_is_complete),
		cmocka_unit_test(test_names_are_unique),
		cmocka_unit_test(test_the_contract),
		cmocka_unit_test(test_workload_and_labels),
		cmocka_unit_test(test_findings_as_json_and_sarif),
	};

	return cmocka_run_group_tests_name("cli table", tests, NULL, NULL);
}
