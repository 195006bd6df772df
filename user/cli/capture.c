// SPDX-License-Identifier: Apache-2.0
// Options of exec, attach and detach as the control socket takes them.
#include "cli/capture.h"

#include <ctype.h>
#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/labels.h"
#include "cli/term.h"

#define NAME_MAX_K8S 253

extern char **environ;

/* A command's name may hold what a workload's may not. */
static void add_name(struct hr_strbuf *out, const char *word)
{
	const char *slash = strrchr(word, '/');

	for (const char *p = slash && slash[1] ? slash + 1 : word; *p && out->len < NAME_MAX_K8S;
	     p++)
		hr_sb_addc(out, isalnum((unsigned char)*p) || strchr(".-_", *p) ? *p : '-');
}

int hr_identity_json(const struct hr_args *a, const char *name, json_t *req)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	const char *workload = hr_arg_str(a, "workload", NULL), *ns = "default";
	_cleanup_sb_ struct hr_strbuf own = {};
	hr_kvs labels = {};
	json_t *map;

	if (workload && hr_parse_workload(arena, workload, &ns, &name) < 0)
		return hr_fail(a, HR_EXIT_USAGE, "--workload: \"%s\" is not NS/NAME", workload);
	if (hr_parse_labels(arena, hr_arg_str(a, "labels", ""), &labels) < 0)
		return hr_fail(a, HR_EXIT_USAGE, "--labels: \"%s\" is not k=v,...",
			       hr_arg_str(a, "labels", ""));
	if (!workload) {
		add_name(&own, name);
		name = hr_sb_str(&own);
	}
	map = json_object();
	for (size_t i = 0; i < labels.len; i++)
		json_object_set_new(map, labels.data[i].key, json_string(labels.data[i].value));
	json_object_set_new(req, "namespace", json_string(ns));
	json_object_set_new(req, "name", json_string(name));
	json_object_set_new(req, "labels", map);
	json_object_set_new(req, "agentOnly",
			    json_boolean(hr_streq(hr_arg_str(a, "datapath", ""), "agent")));
	json_object_set_new(req, "blockingOk", json_boolean(hr_arg_flag(a, "blocking-ok")));
	if (hr_streq(hr_arg_str(a, "same-node", ""), "off"))
		json_object_set_new(req, "sameNode", json_false());
	return 0;
}

/* First line of a command's output; "" when it has none. */
static int first_line(char **argv, char *buf, size_t size)
{
	posix_spawn_file_actions_t fa;
	int fds[2], status = 0, r;
	pid_t pid;
	FILE *f;

	if (pipe(fds) < 0)
		return -errno;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, fds[1], STDOUT_FILENO);
	posix_spawn_file_actions_addclose(&fa, fds[0]);
	r = -posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	close(fds[1]);
	f = fdopen(fds[0], "r");
	*buf = 0;
	if (r == 0 && f && !fgets(buf, (int)size, f))
		*buf = 0;
	if (f)
		fclose(f);
	if (r < 0)
		return r;
	waitpid(pid, &status, 0);
	buf[strcspn(buf, "\n")] = 0;
	return 0;
}

/* systemd knows where its units live. */
static int unit_cgroup(const struct hr_args *a, const char *unit, json_t *req)
{
	char *argv[] = {"systemctl", "show",	   "--property=ControlGroup",
			"--value",   (char *)unit, NULL};
	char path[512];
	int r = *unit == '-' ? -EINVAL : first_line(argv, path, sizeof(path));

	if (r < 0)
		return hr_fail(a, HR_EXIT_REFUSED, "cannot ask systemd for %s: %s", unit,
			       strerror(-r));
	if (!*path)
		return hr_fail(a, HR_EXIT_REFUSED, "unit %s is not running", unit);
	json_object_set_new(req, "cgroup", json_string(path));
	return 0;
}

int hr_target_json(const struct hr_args *a, json_t *req, char **name)
{
	const char *cgroup = hr_arg_str(a, "cgroup", NULL), *unit = hr_arg_str(a, "unit", NULL);
	unsigned long pid = hr_arg_uint(a, "pid", 0);
	char text[32];

	if (!!cgroup + !!unit + !!pid != 1)
		return hr_fail(a, HR_EXIT_USAGE, "one of --cgroup, --pid, --unit is needed");
	if (pid) {
		snprintf(text, sizeof(text), "pid-%lu", pid);
		json_object_set_new(req, "pid", json_integer((json_int_t)pid));
		*name = strdup(text);
		return 0;
	}
	*name = strdup(cgroup ? cgroup : unit);
	if (unit)
		return unit_cgroup(a, unit, req);
	json_object_set_new(req, "cgroup", json_string(cgroup));
	return 0;
}
