// SPDX-License-Identifier: Apache-2.0
/*
 * What a path names may be anything and may change under us: the reader takes regular files only,
 * never waits, and never lets the store's objects win over a file's.
 *
 *	files:   vs/a (weight 1)                     merged:  vs/a from the file, vs/b from the
 *store store:   vs/a (weight 2), vs/b               shadows: vs/a, by the file
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/cleanup.h"
#include "source/source.h"

static char dir[64];

static char *in_dir(const char *name)
{
	static char path[4][256];
	static int next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(in_dir(name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/headrace-test-source-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

#define VS(name, host)                                                                        \
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " name    \
	"}\nspec:\n  hosts: [" host "]\n  http:\n  - route:\n    - destination: {host: " host \
	"}\n"

static void read_one(const char *path, struct hr_texts *t, struct hr_diags *diags)
{
	const char *paths[] = {path};

	hr_texts_read(t, paths, 1, diags);
}

static void test_directory_takes_its_yaml_only(void **state)
{
	_cleanup_texts_ struct hr_texts t = {};
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();

	(void)state;
	put("b.yaml", "B");
	put("a.yml", "A");
	put("c.json", "C");
	put("notes.txt", "no");
	put(".hidden.yaml", "no");
	put("d.yaml~", "no");
	assert_int_equal(mkdir(in_dir("sub.yaml.d"), 0755), 0);
	/* what emacs leaves while a file is edited: a link to nowhere with a good ending */
	assert_int_equal(symlink("nobody@nowhere", in_dir(".#b.yaml")), 0);
	read_one(dir, &t, diags);
	assert_int_equal(diags->errors, 0);
	assert_int_equal(t.list.len, 3);
	assert_memory_equal(t.list.data[0].bytes, "A", 1);
	assert_memory_equal(t.list.data[1].bytes, "B", 1);
	assert_memory_equal(t.list.data[2].bytes, "C", 1);
	assert_string_equal(t.list.data[1].file, in_dir("b.yaml"));
}

static void assert_refused(const char *path, const char *because)
{
	_cleanup_texts_ struct hr_texts t = {};
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();

	read_one(path, &t, diags);
	assert_int_equal(diags->errors, 1);
	if (!strstr(diags->list.data[0].message, because))
		fail_msg("%s: \"%s\", not \"%s\"", path, diags->list.data[0].message, because);
	assert_int_equal(t.list.len, 0);
}

/* Opening a FIFO would wait for a writer for ever; a device may have side effects or no end. */
static void test_only_regular_files(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(in_dir("fifo.yaml"), 0600), 0);
	assert_refused(in_dir("fifo.yaml"), "not a regular file");
	assert_refused("/dev/zero", "not a regular file");
	assert_int_equal(symlink("loop.yaml", in_dir("loop.yaml")), 0);
	assert_refused(in_dir("loop.yaml"), "symbolic links");
	assert_refused(in_dir("absent.yaml"), "No such file");
	unlink(in_dir("loop.yaml"));
	assert_refused(dir, "not a regular file"); /* the FIFO, met in its directory */
}

/* 16 MiB and one byte, without writing them: a sparse file. */
static void test_too_long_a_file(void **state)
{
	int fd = open(in_dir("big.yaml"), O_CREAT | O_WRONLY, 0600);

	(void)state;
	assert_int_equal(ftruncate(fd, 16 * 1024 * 1024 + 1), 0);
	close(fd);
	assert_refused(in_dir("big.yaml"), "longer than 16 MiB");
}

static void test_digest_sees_every_change(void **state)
{
	_cleanup_texts_ struct hr_texts a = {}, b = {}, c = {}, d = {};
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();

	(void)state;
	put("x.yaml", "one");
	read_one(dir, &a, diags);
	put("x.yaml", "one");
	read_one(dir, &b, diags);
	put("x.yaml", "two");
	read_one(dir, &c, diags);
	rename(in_dir("x.yaml"), in_dir("y.yaml"));
	read_one(dir, &d, diags);
	assert_true(a.digest == b.digest);
	assert_true(a.digest != c.digest);
	assert_true(c.digest != d.digest);
}

static struct hr_store *open_store(void)
{
	_cleanup_sb_ struct hr_strbuf err = {};
	struct hr_store *s = NULL;

	if (hr_store_open(&s, in_dir("store"), &err) < 0)
		fail_msg("%s", hr_sb_str(&err));
	return s;
}

static void commit(struct hr_store *s, enum hr_kind k, const char *name, const char *yaml)
{
	const struct hr_store_entry e = {.kind = k, .ns = "default", .name = name, .yaml = yaml};
	_cleanup_sb_ struct hr_strbuf err = {};

	if (hr_store_commit(s, &e, 1, &err) < 0)
		fail_msg("%s", hr_sb_str(&err));
}

static void test_store_survives_a_restart(void **state)
{
	struct hr_store *s = open_store();
	struct stat st;

	(void)state;
	commit(s, HR_KIND_VIRTUAL_SERVICE, "b", VS("b", "b.example"));
	commit(s, HR_KIND_VIRTUAL_SERVICE, "a", "old");
	commit(s, HR_KIND_VIRTUAL_SERVICE, "a", "new");
	commit(s, HR_KIND_SERVICE, "gone", "x");
	commit(s, HR_KIND_SERVICE, "gone", NULL);
	hr_store_free(s);
	/* leftovers of a crash and other people's files are not objects */
	put("store/.new", "half an obj");
	put("store/README", "hello");
	put("store/Nonsense_default_x.yaml", "kind: Nonsense");
	s = open_store();
	assert_int_equal(hr_store_list(s).len, 2);
	assert_string_equal(hr_store_find(s, HR_KIND_VIRTUAL_SERVICE, "default", "a")->yaml, "new");
	assert_string_equal(hr_store_find(s, HR_KIND_VIRTUAL_SERVICE, "default", "b")->yaml,
			    VS("b", "b.example"));
	assert_null(hr_store_find(s, HR_KIND_SERVICE, "default", "gone"));
	assert_int_equal(stat(in_dir("store"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	hr_store_free(s);
}

/* A name is a path component: nothing in it may leave the directory. */
static void test_store_refuses_odd_names(void **state)
{
	static const char *const names[] = {"../x", "a/b", "",	  ".",	 "..",
					    "A",    "a_b", "a b", "a\nb"};
	struct hr_store *s = open_store();

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(names); i++) {
		const struct hr_store_entry e = {
			.kind = HR_KIND_SERVICE, .ns = "default", .name = names[i], .yaml = "x"};
		_cleanup_sb_ struct hr_strbuf err = {};

		assert_int_equal(hr_store_commit(s, &e, 1, &err), -EINVAL);
	}
	assert_int_equal(hr_store_list(s).len, 0);
	hr_store_free(s);
}

static void test_preview_changes_nothing(void **state)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	struct hr_store *s = open_store();
	const struct hr_store_entry changes[] = {
		{.kind = HR_KIND_SERVICE, .ns = "default", .name = "one", .yaml = NULL},
		{.kind = HR_KIND_SERVICE, .ns = "default", .name = "three", .yaml = "3"},
		{.kind = HR_KIND_SERVICE, .ns = "default", .name = "absent", .yaml = NULL},
	};
	hr_store_entries view;

	(void)state;
	commit(s, HR_KIND_SERVICE, "one", "1");
	commit(s, HR_KIND_SERVICE, "two", "2");
	view = hr_store_preview(s, arena, changes, 3);
	assert_int_equal(view.len, 2);
	assert_string_equal(view.data[0].name, "three");
	assert_string_equal(view.data[1].name, "two");
	assert_int_equal(hr_store_list(s).len, 2);
	assert_non_null(hr_store_find(s, HR_KIND_SERVICE, "default", "one"));
	hr_store_free(s);
}

static void test_files_win_over_applied(void **state)
{
	const struct hr_store_entry applied[] = {
		{HR_KIND_VIRTUAL_SERVICE, "default", "a", VS("a", "applied.example"), false},
		{HR_KIND_VIRTUAL_SERVICE, "default", "b", VS("b", "b.example"), false},
	};
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	_cleanup_texts_ struct hr_texts t = {};
	hr_shadows shadows = {};
	struct hr_objects *set;

	(void)state;
	hr_texts_add(&t, "a.yaml", VS("a", "file.example"), strlen(VS("a", "file.example")));
	set = hr_merge(&t, (hr_store_entries){.data = (void *)applied, .len = 2}, 0, diags,
		       &shadows);
	assert_non_null(set);
	assert_int_equal(set->virtual_services.len, 2);
	assert_string_equal(set->virtual_services.data[0]->hosts.data[0], "file.example");
	assert_string_equal(set->virtual_services.data[1]->hosts.data[0], "b.example");
	assert_int_equal(shadows.len, 1);
	assert_string_equal(shadows.data[0].entry.name, "a");
	assert_string_equal(shadows.data[0].file, "a.yaml");
	hr_objects_free(set);
}

/* One bad file and there is no set at all: half of a configuration is not a configuration. */
static void test_merge_is_all_or_nothing(void **state)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	_cleanup_texts_ struct hr_texts t = {};

	(void)state;
	hr_texts_add(&t, "good.yaml", VS("a", "a.example"), strlen(VS("a", "a.example")));
	hr_texts_add(&t, "bad.yaml", "kind: [", 7);
	assert_null(hr_merge(&t, (hr_store_entries){}, 0, diags, NULL));
	assert_true(diags->errors > 0);
	assert_string_equal(diags->list.data[0].pos.file, "bad.yaml");
}

/* An editor truncates before it writes: on reload an empty file is an error, at the start not. */
static void test_empty_file_on_reload(void **state)
{
	_cleanup_diags_ struct hr_diags *first = hr_diags_new(), *again = hr_diags_new();
	_cleanup_texts_ struct hr_texts t = {};
	struct hr_objects *set;

	(void)state;
	hr_texts_add(&t, "empty.yaml", "", 0);
	set = hr_merge(&t, (hr_store_entries){}, 0, first, NULL);
	assert_non_null(set);
	hr_objects_free(set);
	assert_null(hr_merge(&t, (hr_store_entries){}, HR_DECODE_RELOAD, again, NULL));
	assert_int_equal(again->errors, 1);
}

static void test_yaml_to_json_keeps_types(void **state)
{
	json_t *j = hr_yaml_json("a: 1\nb: \"1\"\nc: true\nd: 'true'\ne: 1.5\nf: 1.2.3\ng: ~\n"
				 "h: [x, -3, {k: no}]\ni: 08x\nj: |\n  two\n  lines\n");
	_cleanup_free_ char *text = json_dumps(j, JSON_COMPACT);

	(void)state;
	assert_string_equal(text, "{\"a\":1,\"b\":\"1\",\"c\":true,\"d\":\"true\",\"e\":1.5,"
				  "\"f\":\"1.2.3\",\"g\":null,\"h\":[\"x\",-3,{\"k\":\"no\"}],"
				  "\"i\":\"08x\",\"j\":\"two\\nlines\\n\"}");
	json_decref(j);
	assert_null(hr_yaml_json("a: [1"));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_directory_takes_its_yaml_only),
		TEST(test_only_regular_files),
		TEST(test_too_long_a_file),
		TEST(test_digest_sees_every_change),
		TEST(test_store_survives_a_restart),
		TEST(test_store_refuses_odd_names),
		TEST(test_preview_changes_nothing),
		TEST(test_files_win_over_applied),
		TEST(test_merge_is_all_or_nothing),
		TEST(test_empty_file_on_reload),
		TEST(test_yaml_to_json_keeps_types),
	};

	return cmocka_run_group_tests_name("source files", tests, NULL, NULL);
}
