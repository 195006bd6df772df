// SPDX-License-Identifier: Apache-2.0
/* The worked examples and the files of the published practice guide, as their users run them. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model_test.h"

static void test_worked_examples_load(void **state)
{
	/* no error, no warning, and references hold: each folder is a whole story */
	static const char *const dirs[] = {"policies/canary",	     "policies/bookinfo",
					   "policies/by-user-group", "policies/ab-test",
					   "policies/resilience",    "policies/blue-green",
					   "policies/locality"};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(dirs); i++) {
		_cleanup_run_ struct run r = run_paths(0, (const char *[]){dirs[i], NULL});

		hr_validate_refs(r.set, "cluster.local", r.diags);
		assert_clean(&r);
		assert_true(r.set->virtual_services.len > 0);
		assert_true(r.set->services.len > 0);
	}
}

static void test_practice_canary(void **state)
{
	/* unchanged, by itself (exit 0), and on top of services that have its names */
	_cleanup_run_ struct run alone =
		run_paths(0, (const char *[]){"policies/practice/canary-deployment.yaml", NULL});
	_cleanup_run_ struct run with =
		run_paths(0, (const char *[]){"policies/practice/canary-deployment.yaml",
					      "policies/canary/services.yaml", NULL});
	const struct hr_virtual_service *vs;

	(void)state;
	hr_validate_refs(alone.set, "cluster.local", alone.diags);
	hr_validate_refs(with.set, "cluster.local", with.diags);
	assert_clean(&alone);
	assert_clean(&with);
	vs = with.set->virtual_services.data[0];
	assert_int_equal(vs->http.len, 3);
	assert_int_equal(vs->http.data[1].route.data[1].weight, 30);
	assert_int_equal(vs->http.data[2].timeout, 10000);
	assert_int_equal(vs->http.data[2].retries.attempts, 2);
	assert_int_equal(vs->http.data[2].retries.per_try_timeout, 5000);
	assert_int_equal(
		with.set->destination_rules.data[0]->subsets.data[1].policy.pool.http1_max_pending,
		25);
}

static void test_practice_resilience(void **state)
{
	/* SEMANTICS.md, "Inputs of real users that are wrong": each mistake by its name */
	_cleanup_run_ struct run r =
		run_paths(0, (const char *[]){"policies/practice/resilience-config.yaml", NULL});
	_cleanup_run_ struct run lenient =
		run_paths(HR_DECODE_LENIENT,
			  (const char *[]){"policies/practice/resilience-config.yaml", NULL});

	(void)state;
	assert_said(&r, ":17:9: error: spec.trafficPolicy.connectionPool.http."
			"consecutiveGatewayErrors: unknown field here; belongs to "
			"outlierDetection");
	assert_said(&r, ":18:9: error: spec.trafficPolicy.connectionPool.http.interval: unknown "
			"field here; belongs to outlierDetection");
	assert_said(&r, ":19:9: error:");
	assert_said(&r, "only one of \"simple\" (line 21) and \"consistentHash\" (line 22)");
	assert_said(&r, ":26:7: warning: spec.trafficPolicy.outlierDetection.consecutiveErrors: "
			"deprecated: use consecutive5xxErrors");
	assert_int_equal(r.set->destination_rules.len, 1); /* the second rule is sound */

	assert_int_equal(lenient.diags->errors, 0);
	assert_int_equal(lenient.set->destination_rules.len, 2);
	assert_int_equal(lenient.set->destination_rules.data[0]->policy.lb.hash, HR_HASH_HEADER);
	assert_int_equal(lenient.set->destination_rules.data[0]->policy.lb.simple, 0);
	assert_int_equal(lenient.set->destination_rules.data[0]->policy.outlier.consecutive_5xx, 5);
	assert_int_equal(lenient.set->destination_rules.data[0]->policy.outlier.interval, 30000);
}

static void test_practice_edge_and_security(void **state)
{
	_cleanup_run_ struct run r =
		run_paths(0, (const char *[]){"policies/practice/ingress-gateway.yaml",
					      "policies/practice/security.yaml", NULL});

	(void)state;
	assert_said(&r, "ingress-gateway.yaml:2:7: error: kind: kind Gateway is not built yet");
	assert_said(&r, "security.yaml:2:7: error: kind: kind PeerAuthentication is not built");
	assert_said(&r, "security.yaml:11:7: error: kind: kind AuthorizationPolicy is not built");
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

#define NS(name) "{apiVersion: v1, kind: Namespace, metadata: {name: " name "}}\n"

static void test_directories(void **state)
{
	/* *.yaml *.yml *.json in order; hidden files, other files and sub-directories are left; a
	 * FIFO must not hang the agent; an unreadable file is said */
	char dir[] = "/tmp/hr-model-XXXXXX", path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
#define AT(name) (snprintf(path, sizeof(path), "%s/%s", dir, name), path)
	write_file(AT("b.yml"), NS("b"));
	write_file(AT("a.yaml"), NS("a"));
	write_file(AT("c.json"), "{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": "
				 "{\"name\": \"a\"}}");
	write_file(AT(".hidden.yaml"), "[");
	write_file(AT("notes.txt"), "[");
	assert_int_equal(mkdir(AT("sub.yaml"), 0755), 0);
	assert_int_equal(mkfifo(AT("pipe.yaml"), 0644), 0);
	assert_int_equal(symlink("nowhere", AT("gone.yaml")), 0);
	{
		_cleanup_run_ struct run r = run_paths(0, (const char *[]){dir, NULL});

		assert_int_equal(r.set->namespaces.len, 2);
		assert_said(&r, "pipe.yaml:1:1: error: not a regular file");
		assert_said(&r, "sub.yaml:1:1: error: not a regular file");
		assert_said(&r, "gone.yaml:1:1: error: No such file or directory");
		/* c.json defines Namespace a again: said at the second place, naming the first */
		assert_said(&r, "c.json:1:1: error: metadata.name: Namespace a is already defined "
				"in ");
		assert_said(&r, "a.yaml:1");
		assert_int_equal(r.diags->errors, 4);
	}
	unlink(AT("b.yml"));
	unlink(AT("a.yaml"));
	unlink(AT("c.json"));
	unlink(AT(".hidden.yaml"));
	unlink(AT("notes.txt"));
	unlink(AT("pipe.yaml"));
	unlink(AT("gone.yaml"));
	rmdir(AT("sub.yaml"));
	assert_int_equal(rmdir(dir), 0);
}

static void test_fields_page_is_current(void **state)
{
	/* docs/FIELDS.md is the table; HR_WRITE_DOCS=1 writes it anew */
	_cleanup_sb_ struct hr_strbuf want = {};
	_cleanup_free_ char *have = calloc(1, 1 << 20);
	FILE *f;

	(void)state;
	hr_schema_markdown(&want);
	if (getenv("HR_WRITE_DOCS"))
		write_file("docs/FIELDS.md", want.data);
	f = fopen("docs/FIELDS.md", "r");
	assert_non_null(f);
	assert_int_equal(fread(have, 1, 1 << 20, f), want.len);
	fclose(f);
	assert_string_equal(have, want.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_worked_examples_load),
		cmocka_unit_test(test_practice_canary),
		cmocka_unit_test(test_practice_resilience),
		cmocka_unit_test(test_practice_edge_and_security),
		cmocka_unit_test(test_directories),
		cmocka_unit_test(test_fields_page_is_current),
	};

	return cmocka_run_group_tests_name("model/policies", tests, NULL, NULL);
}
