/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of this room share: an agent's kernel side with names of its own. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "kern/kern.h"
#include "kern/selftest.h"

#define BOX_PINS "/sys/fs/bpf/kern-test"
#define BOX_CGROUP "kern-test"

/* Entries of a directory without . and ..; -1 when there is none. */
static inline int box_count(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *de;
	int n = 0;

	if (!d)
		return -1;
	while ((de = readdir(d)))
		n += strcmp(de->d_name, ".") && strcmp(de->d_name, "..");
	closedir(d);
	return n;
}

static inline struct hr_kern *box_open_with(const struct hr_kern_opts *opts)
{
	_cleanup_sb_ struct hr_strbuf err = {};
	struct hr_kern *k = NULL;
	int e = hr_kern_open(&k, opts, &err);

	if (e)
		fail_msg("hr_kern_open: %s (%s)", hr_sb_str(&err), strerror(-e));
	return k;
}

static inline struct hr_kern *box_open(enum hr_datapath requested)
{
	return box_open_with(&(struct hr_kern_opts){
		.pin_dir = BOX_PINS, .requested = requested, .verbose = getenv("V") != NULL});
}

static inline const char *box_cgroup_path(const char *name)
{
	static char path[4][PATH_MAX];
	static unsigned i;
	char *p = path[i++ % 4];

	snprintf(p, PATH_MAX, "%s/%s", hr_kern_cgroup_root(), name);
	return p;
}

static inline void box_cgroup(const char *name)
{
	if (mkdir(box_cgroup_path(name), 0755))
		assert_int_equal(errno, EEXIST);
}

static inline void box_cgroup_remove(const char *name)
{
	assert_int_equal(rmdir(box_cgroup_path(name)), 0);
}

struct box_row {
	const char *name;
	uint64_t used;
};

static inline void box_row(void *ctx, const char *name, uint64_t used, uint64_t size)
{
	struct box_row *r = ctx;

	assert_true(used <= size);
	if (!strcmp(name, r->name))
		r->used = used;
}

/* Rows in use of one table. */
static inline uint64_t box_used(struct hr_kern *k, const char *table)
{
	struct box_row r = {.name = table, .used = UINT64_MAX};

	hr_kern_tables(k, box_row, &r);
	assert_true(r.used != UINT64_MAX);
	return r.used;
}

/* After a test that failed half way. */
static inline int box_wipe(void **state)
{
	_cleanup_sb_ struct hr_strbuf out = {};

	(void)state;
	hr_kern_cleanup(BOX_PINS, &out);
	return 0;
}

static inline int box_run_tests(const struct CMUnitTest *tests, size_t n)
{
	return _cmocka_run_group_tests("kern", tests, n, NULL, NULL);
}

/* One run at a time on a machine: names of pins and cgroups are fixed. */
static inline void box_wait_for_turn(void)
{
	int fd = open("/run/headrace-kern-test.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		flock(fd, LOCK_EX); /* until the process ends */
}

/* Nothing here can run without root, nor on a kernel that fails the self-test; the latter has to be
 * expected (HR_KERNEL_PATH=off, set by vmtest), else it is what the tests are there to find. */
static inline int box_run(const struct CMUnitTest *tests, size_t n)
{
	static struct hr_selftest t;

	if (geteuid()) {
		printf("kern: skipped, needs root\n");
		return 0;
	}
	if (hr_streq(getenv("HR_KERNEL_PATH"), "off") && hr_selftest_run(&t)) {
		printf("kern: skipped, the kernel path is off on this kernel\n");
		return 0;
	}
	box_wait_for_turn();
	box_wipe(NULL);
	return box_run_tests(tests, n);
}
