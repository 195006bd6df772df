// SPDX-License-Identifier: Apache-2.0
/* `headrace cleanup`: what a crashed agent left, found by where it must be. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "kern/internal.h"
#include "kern/pins.h"

/* Empty cgroups, children first; rmdir refuses those with processes. */
static int remove_cgroups(const char *dir, struct hr_strbuf *out)
{
	struct dirent *de;
	DIR *d = opendir(dir);
	int n = 0;

	if (!d)
		return 0;
	while ((de = readdir(d))) {
		_cleanup_free_ char *sub = NULL;

		if (de->d_type == DT_DIR && de->d_name[0] != '.' &&
		    asprintf(&sub, "%s/%s", dir, de->d_name) > 0)
			n += remove_cgroups(sub, out);
	}
	closedir(d);
	if (rmdir(dir))
		return n;
	hr_sb_printf(out, "removed cgroup %s\n", dir);
	return n + 1;
}

int hr_kern_cleanup(const char *pin_dir, struct hr_strbuf *out)
{
	const char *dir = pin_dir ? pin_dir : "/sys/fs/bpf/headrace";
	const char *name = strrchr(dir, '/');
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	long pid = 0;
	int n = 0, e = kern_lock(dir, &fd, &pid);

	if (e == -EBUSY)
		hr_sb_printf(out, "a headrace runs, pid %ld: stop it instead\n", pid);
	if (e && e != -ENOENT)
		return e;
	if (!e) {
		n = kern_evict(dir, out);
		if (!rmdir(dir)) {
			hr_sb_printf(out, "removed %s\n", dir);
			n++;
		}
	}
	/* our cgroups carry the name of the pin directory */
	if (!hr_kern_cgroup_root() || !name)
		return n;
	snprintf(path, sizeof(path), "%s%s", hr_kern_cgroup_root(), name);
	return n + remove_cgroups(path, out);
}
