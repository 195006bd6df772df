// SPDX-License-Identifier: Apache-2.0
/*
 * policies/bad: one file a mistake. Its first lines say what `headrace check` must answer:
 *
 *	# expect: LINE:COL: SEVERITY: part of the message
 *
 * and nothing else may be wrong with it. `# flags: lenient` or `strict` before them.
 */
#include <dirent.h>

#include "model_test.h"

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, 1 << 20);

	assert_non_null(f);
	assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	return text;
}

static bool one_said(const struct run *r, const char *path, const char *want)
{
	const char *rest = strstr(want, ": ");

	for (size_t i = 0; rest && i < r->diags->list.len; i++) {
		_cleanup_sb_ struct hr_strbuf sb = {}, head = {};
		const char *severity_end = strchr(rest + 2, ':');

		/* "LINE:COL: error:" must start what follows the path, the rest may be anywhere */
		hr_diag_text(&r->diags->list.data[i], &sb);
		hr_sb_printf(&head, "%s:%.*s", path, (int)(severity_end - want), want);
		if (severity_end && hr_starts(sb.data, head.data) &&
		    strstr(sb.data + head.len, severity_end + 2))
			return true;
	}
	return false;
}

static unsigned flags_of(const char *text)
{
	unsigned flags = 0;

	if (hr_starts(text, "# flags: lenient"))
		flags |= HR_DECODE_LENIENT;
	if (hr_starts(text, "# flags: strict"))
		flags |= HR_DECODE_STRICT;
	return flags;
}

/* Lines "# expect: ..." of the head; each must be said, and their number is all there is. */
static bool check_file(const char *path)
{
	_cleanup_free_ char *text = slurp(path);
	_cleanup_run_ struct run r = run_paths(flags_of(text), (const char *[]){path, NULL});
	size_t expected = 0, found;
	bool ok = true;
	char *save;

	hr_validate_refs(r.set, "cluster.local", r.diags);
	for (char *line = strtok_r(text, "\n", &save); line && *line == '#';
	     line = strtok_r(NULL, "\n", &save)) {
		if (!hr_starts(line, "# expect: "))
			continue;
		expected++;
		if (!one_said(&r, path, line + strlen("# expect: "))) {
			print_message("%s: not said: %s\n", path, line);
			ok = false;
		}
	}
	found = r.diags->errors + r.diags->warnings;
	for (size_t i = 0; i < r.diags->list.len; i++)
		found += r.diags->list.data[i].severity == HR_SEV_NOTICE &&
			 hr_streq(r.diags->list.data[i].code, "skipped");
	if (!expected || expected != found) {
		print_message("%s: %zu expected, %zu said\n", path, expected, found);
		ok = false;
	}
	if (!ok)
		print_diags(&r);
	return ok;
}

static void test_every_bad_file(void **state)
{
	DIR *dir = opendir("policies/bad");
	size_t files = 0, failed = 0;

	(void)state;
	assert_non_null(dir);
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		char path[512];

		if (!hr_ends(e->d_name, ".yaml"))
			continue;
		snprintf(path, sizeof(path), "policies/bad/%s", e->d_name);
		files++;
		failed += !check_file(path);
	}
	closedir(dir);
	print_message("%zu files\n", files);
	assert_true(files >= 40);
	assert_int_equal(failed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_bad_file),
	};

	return cmocka_run_group_tests_name("model/bad", tests, NULL, NULL);
}
