// SPDX-License-Identifier: Apache-2.0
// cgroup2 file system calls. The mount is found, not assumed: it may be a hybrid one.
#include "agent/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "core/cleanup.h"
#include "kern/kern.h"

static char *join(const char *a, const char *b)
{
	char *out = NULL;

	if (asprintf(&out, "%s%s%s", a, *b == '/' ? "" : "/", b) < 0)
		abort();
	return out;
}

/* Whole small file, NUL-terminated. */
static int read_text(const char *path, struct hr_strbuf *out)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[4096];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		hr_sb_addn(out, buf, (size_t)n);
	return n < 0 ? -errno : 0;
}

int agent_cgroup_of(pid_t pid, char **out)
{
	const char *root = hr_kern_cgroup_root();
	_cleanup_sb_ struct hr_strbuf text = {};
	char path[64], *line;
	int r;

	if (!root)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	r = read_text(path, &text);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	line = text.data ? strstr(text.data, "0::/") : NULL;
	if (!line || (line != text.data && line[-1] != '\n'))
		return -ENOENT;
	line += 3;
	line[strcspn(line, "\n")] = 0;
	*out = join(root, line);
	return 0;
}

int agent_cgroup_resolve(const char *path, char **out)
{
	const char *root = hr_kern_cgroup_root();
	_cleanup_free_ char *full = NULL;
	char real[PATH_MAX];
	struct statfs fs;

	if (!root)
		return -ENOENT;
	/* "/system.slice/x" is as systemd says it: below the mount */
	full = hr_starts(path, root) ? strdup(path) : join(root, path);
	if (!realpath(full, real))
		return -errno;
	if (statfs(real, &fs) < 0)
		return -errno;
	if ((unsigned long)fs.f_type != CGROUP2_SUPER_MAGIC)
		return -EINVAL;
	*out = strdup(real);
	return 0;
}

const char *agent_cgroup_base(const char *pin_dir)
{
	const char *slash = pin_dir ? strrchr(pin_dir, '/') : NULL;

	return slash && slash[1] ? slash + 1 : "headrace";
}

int agent_cgroup_make(const char *base, const char *name, char **out)
{
	const char *root = hr_kern_cgroup_root();
	_cleanup_free_ char *above = NULL, *path = NULL;

	if (!root)
		return -ENOENT;
	above = join(root, base);
	if (mkdir(above, 0755) < 0 && errno != EEXIST)
		return -errno;
	path = join(above, name);
	if (mkdir(path, 0755) < 0)
		return -errno;
	*out = TAKE_PTR(path);
	return 0;
}

int agent_cgroup_move(const char *cgroup, pid_t pid)
{
	_cleanup_free_ char *path = join(cgroup, "cgroup.procs");
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	char text[32];
	int n = snprintf(text, sizeof(text), "%d", (int)pid);

	if (fd < 0)
		return -errno;
	return write(fd, text, (size_t)n) == n ? 0 : -errno;
}

static ssize_t pids_of(const char *cgroup, void (*fn)(void *ctx, pid_t pid), void *ctx)
{
	_cleanup_free_ char *path = join(cgroup, "cgroup.procs");
	FILE *f = fopen(path, "re");
	ssize_t n = 0;
	int pid;

	if (!f)
		return -errno;
	for (; fscanf(f, "%d", &pid) == 1; n++)
		if (fn)
			fn(ctx, pid);
	fclose(f);
	return n;
}

ssize_t agent_cgroup_pids(const char *cgroup, void (*fn)(void *ctx, pid_t pid), void *ctx)
{
	ssize_t n = pids_of(cgroup, fn, ctx);
	DIR *d = opendir(cgroup);
	struct dirent *e;

	while (d && n >= 0 && (e = readdir(d))) {
		_cleanup_free_ char *below = NULL;
		ssize_t more;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		below = join(cgroup, e->d_name);
		more = agent_cgroup_pids(below, fn, ctx);
		n += more > 0 ? more : 0;
	}
	if (d)
		closedir(d);
	return n;
}

bool agent_cgroup_populated(const char *cgroup)
{
	_cleanup_free_ char *path = join(cgroup, "cgroup.events");
	_cleanup_sb_ struct hr_strbuf text = {};

	if (read_text(path, &text) < 0)
		return false;
	return strstr(hr_sb_str(&text), "populated 1") != NULL;
}

int agent_cgroup_remove(const char *cgroup)
{
	DIR *d = opendir(cgroup);
	struct dirent *e;

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(d))) {
		_cleanup_free_ char *below = NULL;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		below = join(cgroup, e->d_name);
		agent_cgroup_remove(below);
	}
	closedir(d);
	return rmdir(cgroup) < 0 && errno != ENOENT ? -errno : 0;
}

void agent_cgroup_remove_base(const char *base)
{
	const char *root = hr_kern_cgroup_root();
	_cleanup_free_ char *path = root ? join(root, base) : NULL;

	if (path)
		rmdir(path);
}
