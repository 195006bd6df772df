// SPDX-License-Identifier: Apache-2.0
/*
 * The real kernel: needs root. Everything happens under an own pin directory and own cgroups, both
 * named kern-test, so that a running agent is not touched.
 */
#include "kernbox.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>

#include "kern/selftest.h"

/* On the kernels that CI has, every behaviour is there; what is refused is said by name. */
static void test_selftest(void **state)
{
	static struct hr_selftest t;

	(void)state;
	assert_int_equal(hr_selftest_run(&t), 0);
	assert_true(t.n >= 15);
	for (size_t i = 0; i < t.n; i++)
		if (t.rows[i].required && !t.rows[i].ok)
			fail_msg("%s: %s", t.rows[i].name, t.rows[i].detail);
}

/* An open and a close leave no pin, link, program, map or fd. */
static void test_open_close(void **state)
{
	int fds = box_count("/proc/self/fd");

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct hr_kern *k = box_open(HR_DATAPATH_KERNEL);
		const struct hr_kern_status *s = hr_kern_status(k);

		assert_int_equal(s->mode, HR_DATAPATH_KERNEL);
		assert_true(s->n_features > 0);
		assert_true(box_count(BOX_PINS "/maps") > 20);
		hr_kern_close(k);
		assert_int_equal(box_count(BOX_PINS), -1);
	}
	assert_int_equal(box_count("/proc/self/fd"), fds);
}

/* The agent path loads nothing that an old kernel may refuse. */
static void test_agent_mode(void **state)
{
	struct hr_kern *k = box_open(HR_DATAPATH_AGENT);
	const struct hr_kern_status *s = hr_kern_status(k);

	(void)state;
	assert_int_equal(s->mode, HR_DATAPATH_AGENT);
	assert_string_equal(s->why, "asked for by --datapath=agent");
	box_cgroup(BOX_CGROUP);
	assert_int_equal(hr_kern_enrol(k, box_cgroup_path(BOX_CGROUP), 1, 0), 0);
	assert_true(box_count(BOX_PINS "/links") >= 5);
	hr_kern_close(k);
	box_cgroup_remove(BOX_CGROUP);
	assert_int_equal(box_count(BOX_PINS), -1);
}

/* Two agents: the second is refused by the pid of the first, and breaks nothing. */
static void test_second_agent(void **state)
{
	struct hr_kern *k = box_open(HR_DATAPATH_KERNEL), *second = NULL;
	struct hr_kern_opts opts = {.pin_dir = BOX_PINS};
	_cleanup_sb_ struct hr_strbuf err = {}, out = {};
	char pid[32];

	(void)state;
	snprintf(pid, sizeof(pid), "pid %d", getpid());
	assert_int_equal(hr_kern_open(&second, &opts, &err), -EBUSY);
	assert_null(second);
	assert_non_null(strstr(hr_sb_str(&err), pid));
	assert_int_equal(hr_kern_cleanup(BOX_PINS, &out), -EBUSY);
	assert_non_null(strstr(hr_sb_str(&out), pid));
	assert_true(box_count(BOX_PINS "/maps") > 20);
	hr_kern_close(k);
}

/*	kern-test/			links
 *	kern-test/inner			none of its own: they would run twice
 * Without the outer one, the inner gets its own. */
static void test_nested_cgroups(void **state)
{
	struct hr_kern *k = box_open(HR_DATAPATH_KERNEL);
	int one;

	(void)state;
	box_cgroup(BOX_CGROUP);
	box_cgroup(BOX_CGROUP "/inner");
	assert_int_equal(hr_kern_enrol(k, box_cgroup_path(BOX_CGROUP "/inner"), 2, 0), 0);
	one = box_count(BOX_PINS "/links");
	assert_true(one >= 9);
	assert_int_equal(hr_kern_enrol(k, box_cgroup_path(BOX_CGROUP), 1, 0), 0);
	assert_int_equal(hr_kern_enrol(k, box_cgroup_path(BOX_CGROUP), 1, 0), 0);
	assert_int_equal(box_count(BOX_PINS "/links"), one);
	assert_int_equal(hr_kern_unenrol(k, box_cgroup_path(BOX_CGROUP)), 0);
	assert_int_equal(box_count(BOX_PINS "/links"), one);
	assert_int_equal(hr_kern_unenrol(k, box_cgroup_path(BOX_CGROUP "/inner")), 0);
	assert_int_equal(box_count(BOX_PINS "/links"), 0);
	assert_int_equal(hr_kern_unenrol(k, box_cgroup_path(BOX_CGROUP)), -ENOENT);
	assert_int_equal(box_used(k, "workloads"), 0);
	assert_int_equal(hr_kern_enrol(k, "/proc", 3, 0), -EINVAL);
	assert_int_equal(hr_kern_enrol(k, "/nowhere", 3, 0), -ENOENT);
	hr_kern_close(k);
	box_cgroup_remove(BOX_CGROUP "/inner");
	box_cgroup_remove(BOX_CGROUP);
}

/* A child that opened, enrolled a cgroup, and is killed. */
static void leave_a_corpse(void)
{
	int ready[2];
	char c;

	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();

	if (!pid) {
		struct hr_kern *k = box_open(HR_DATAPATH_KERNEL);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		hr_kern_enrol(k, box_cgroup_path(BOX_CGROUP), 7, 0);
		(void)!write(ready[1], "r", 1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_cleanup_after_kill(void **state)
{
	_cleanup_sb_ struct hr_strbuf out = {}, again = {};

	(void)state;
	box_cgroup(BOX_CGROUP);
	leave_a_corpse();
	assert_true(box_count(BOX_PINS "/maps") > 20);
	assert_true(box_count(BOX_PINS "/links") > 5);
	assert_true(hr_kern_cleanup(BOX_PINS, &out) > 25);
	assert_non_null(strstr(hr_sb_str(&out), "removed cgroup "));
	assert_int_equal(box_count(BOX_PINS), -1);
	assert_int_equal(box_count(box_cgroup_path(BOX_CGROUP)), -1);
	assert_int_equal(hr_kern_cleanup(BOX_PINS, &again), 0);
}

/* The next agent adopts what was captured, and its own close leaves nothing. */
static void test_take_over(void **state)
{
	struct hr_kern *k;
	int links;

	(void)state;
	box_cgroup(BOX_CGROUP);
	leave_a_corpse();
	links = box_count(BOX_PINS "/links");
	k = box_open(HR_DATAPATH_KERNEL);
	assert_int_equal(box_count(BOX_PINS "/links"), links);
	assert_int_equal(box_used(k, "workloads"), 1);
	/* known: not attached again, and can be taken off */
	assert_int_equal(hr_kern_enrol(k, box_cgroup_path(BOX_CGROUP), 7, 0), 0);
	assert_int_equal(box_count(BOX_PINS "/links"), links);
	assert_int_equal(hr_kern_unenrol(k, box_cgroup_path(BOX_CGROUP)), 0);
	assert_int_equal(box_count(BOX_PINS "/links"), 0);
	hr_kern_close(k);
	box_cgroup_remove(BOX_CGROUP);
	assert_int_equal(box_count(BOX_PINS), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_selftest),
		cmocka_unit_test_teardown(test_open_close, box_wipe),
		cmocka_unit_test_teardown(test_agent_mode, box_wipe),
		cmocka_unit_test_teardown(test_second_agent, box_wipe),
		cmocka_unit_test_teardown(test_nested_cgroups, box_wipe),
		cmocka_unit_test_teardown(test_cleanup_after_kill, box_wipe),
		cmocka_unit_test_teardown(test_take_over, box_wipe),
	};

	return box_run(tests, HR_ARRAY_SIZE(tests));
}
