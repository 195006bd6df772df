// SPDX-License-Identifier: Apache-2.0
/*
 * Every way in which files change must be told once, soon, and after the last byte:
 *
 *	write in place    rename over    delete    link switched    directory replaced    path that
 *	                                                            appears later
 *
 * A step is made, then the loop runs until `changed` or a time-out.
 */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/cleanup.h"
#include "source/source.h"

struct stage {
	char dir[64];
	struct hr_loop *loop;
	struct hr_dirwatch *watch;
	struct hr_timer timer;
	char path[256];
	const char *paths[1];
	int told;
	bool late;
};

static void on_change(void *ctx)
{
	struct stage *s = ctx;

	s->told++;
	hr_loop_stop(s->loop);
}

static void on_late(void *ctx)
{
	struct stage *s = ctx;

	s->late = true;
	hr_loop_stop(s->loop);
}

static const char *in_dir(struct stage *s, const char *name)
{
	static char path[4][256];
	static int next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", s->dir, name);
	return p;
}

static void put(struct stage *s, const char *name, const char *text)
{
	FILE *f = fopen(in_dir(s, name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* True when a change was told within the time. */
static bool told_within(struct stage *s, uint64_t ms)
{
	s->late = false;
	hr_timer_start(s->loop, &s->timer, ms, on_late, s);
	hr_loop_run(s->loop);
	hr_timer_stop(&s->timer);
	return !s->late;
}

static void watch(struct stage *s, const char *name)
{
	const struct hr_dirwatch_opts o = {.loop = s->loop,
					   .paths = s->paths,
					   .n = 1,
					   .debounce_ms = 20,
					   .changed = on_change,
					   .ctx = s};

	snprintf(s->path, sizeof(s->path), "%s/%s", s->dir, name);
	s->paths[0] = s->path;
	assert_int_equal(hr_dirwatch_new(&s->watch, &o), 0);
}

static int setup(void **state)
{
	struct stage *s = calloc(1, sizeof(*s));

	strcpy(s->dir, "/tmp/headrace-test-watch-XXXXXX");
	*state = s;
	return mkdtemp(s->dir) && hr_loop_new(&s->loop) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	struct stage *s = *state;
	char cmd[128];
	int r;

	hr_dirwatch_free(s->watch);
	hr_loop_free(s->loop);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", s->dir);
	r = system(cmd);
	free(s);
	return r;
}

static void test_file_written_and_replaced(void **state)
{
	struct stage *s = *state;

	put(s, "a.yaml", "1");
	put(s, "other.yaml", "1");
	watch(s, "a.yaml");
	assert_false(told_within(s, 60));
	put(s, "a.yaml", "2");
	assert_true(told_within(s, 2000));
	put(s, "a.yaml.tmp", "3");
	rename(in_dir(s, "a.yaml.tmp"), in_dir(s, "a.yaml"));
	assert_true(told_within(s, 2000));
	/* the file has another inode now, and is still watched */
	put(s, "a.yaml", "4");
	assert_true(told_within(s, 2000));
	unlink(in_dir(s, "a.yaml"));
	assert_true(told_within(s, 2000));
	put(s, "a.yaml", "5");
	assert_true(told_within(s, 2000));
	/* a neighbour is not our business */
	put(s, "other.yaml", "2");
	assert_false(told_within(s, 100));
}

static void test_many_changes_are_told_once(void **state)
{
	struct stage *s = *state;
	char name[32];

	mkdir(in_dir(s, "conf"), 0755);
	watch(s, "conf");
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "conf/%d.yaml", i);
		put(s, name, "x");
	}
	assert_true(told_within(s, 2000));
	assert_false(told_within(s, 100));
	assert_int_equal(s->told, 1);
}

/* Kubernetes mounts a ConfigMap so: all files change at once by renaming one link. */
static void test_config_map_switch(void **state)
{
	struct stage *s = *state;

	mkdir(in_dir(s, "vol"), 0755);
	mkdir(in_dir(s, "vol/..1"), 0755);
	mkdir(in_dir(s, "vol/..2"), 0755);
	put(s, "vol/..1/a.yaml", "1");
	put(s, "vol/..2/a.yaml", "2");
	assert_int_equal(symlink("..1", in_dir(s, "vol/..data")), 0);
	assert_int_equal(symlink("..data/a.yaml", in_dir(s, "vol/a.yaml")), 0);
	watch(s, "vol/a.yaml");
	assert_int_equal(symlink("..2", in_dir(s, "vol/..tmp")), 0);
	rename(in_dir(s, "vol/..tmp"), in_dir(s, "vol/..data"));
	assert_true(told_within(s, 2000));
	/* and what the link leads to now is watched */
	put(s, "vol/..2/a.yaml", "3");
	assert_true(told_within(s, 2000));
}

static void test_directory_replaced(void **state)
{
	struct stage *s = *state;

	mkdir(in_dir(s, "conf"), 0755);
	mkdir(in_dir(s, "next"), 0755);
	put(s, "next/b.yaml", "1");
	watch(s, "conf");
	rename(in_dir(s, "conf"), in_dir(s, "old"));
	rename(in_dir(s, "next"), in_dir(s, "conf"));
	assert_true(told_within(s, 2000));
	put(s, "conf/b.yaml", "2");
	assert_true(told_within(s, 2000));
	put(s, "old/c.yaml", "1");
	assert_false(told_within(s, 100));
}

static void test_path_that_comes_later(void **state)
{
	struct stage *s = *state;

	watch(s, "later/conf");
	assert_false(told_within(s, 60));
	mkdir(in_dir(s, "later"), 0755);
	mkdir(in_dir(s, "later/conf"), 0755);
	put(s, "later/conf/a.yaml", "1");
	assert_true(told_within(s, 3000));
	put(s, "later/conf/a.yaml", "2");
	assert_true(told_within(s, 2000));
}

/* A writer that never pauses for the quiet time: it is told all the same, within half a second. */
static void test_endless_writer(void **state)
{
	struct stage *s = *state;
	pid_t pid;

	put(s, "a.yaml", "1");
	watch(s, "a.yaml");
	pid = fork();
	if (pid == 0) {
		for (;;) {
			int fd = open(in_dir(s, "a.yaml"), O_WRONLY | O_APPEND);

			if (write(fd, "x", 1) != 1)
				_exit(1);
			close(fd);
			usleep(5000);
		}
	}
	assert_true(told_within(s, 1500));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_file_written_and_replaced), TEST(test_many_changes_are_told_once),
		TEST(test_config_map_switch),	      TEST(test_directory_replaced),
		TEST(test_path_that_comes_later),     TEST(test_endless_writer),
	};

	return cmocka_run_group_tests_name("source watch", tests, NULL, NULL);
}
