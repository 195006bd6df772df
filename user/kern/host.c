// SPDX-License-Identifier: Apache-2.0
/* The machine the programs are to run on: privilege, BTF, cgroup2, bpffs, and who else is here. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "kern/internal.h"

#define BPFFS "/sys/fs/bpf"

#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#define CAP_BPF 39
#endif

static uint64_t effective_caps(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long long caps = 0;
	char line[256];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			break;
	fclose(f);
	return caps;
}

static bool privileged(void)
{
	const uint64_t fine = 1ULL << CAP_BPF | 1ULL << CAP_NET_ADMIN | 1ULL << CAP_PERFMON;
	uint64_t caps = effective_caps();

	return (caps & 1ULL << CAP_SYS_ADMIN) || (caps & fine) == fine;
}

/* Not ours to change, and no reason to refuse: it widens what a local attacker can try. */
static void warn_unprivileged_bpf(void)
{
	FILE *f = fopen("/proc/sys/kernel/unprivileged_bpf_disabled", "re");

	if (f && fgetc(f) == '0')
		hr_warn("any user may load BPF programs here: "
			"sysctl kernel.unprivileged_bpf_disabled=1 forbids it");
	if (f)
		fclose(f);
}

int kern_check_host(struct hr_strbuf *err)
{
	/* kernels before 5.11 charge maps to it; harmless later */
	struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

	if (!privileged()) {
		hr_sb_add(err, "not permitted: run as root, or with CAP_BPF, CAP_NET_ADMIN and "
			       "CAP_PERFMON");
		return -EPERM;
	}
	if (access("/sys/kernel/btf/vmlinux", R_OK)) {
		hr_sb_add(err, "this kernel has no BTF (/sys/kernel/btf/vmlinux): one built with "
			       "CONFIG_DEBUG_INFO_BTF is needed");
		return -EOPNOTSUPP;
	}
	if (!hr_kern_cgroup_root()) {
		hr_sb_add(err, "cgroup2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup");
		return -ENOENT;
	}
	setrlimit(RLIMIT_MEMLOCK, &all);
	warn_unprivileged_bpf();
	return 0;
}

static bool on_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

/* The directory that will hold `dir`, made sure of being on a bpffs. */
static int ensure_bpffs(const char *dir, struct hr_strbuf *err)
{
	char parent[PATH_MAX];
	char *slash;

	if ((size_t)snprintf(parent, sizeof(parent), "%s", dir) >= sizeof(parent)) {
		hr_sb_add(err, "the path of the pin directory is too long");
		return -ENAMETOOLONG;
	}
	slash = strrchr(parent, '/');
	if (!slash || slash == parent) {
		hr_sb_printf(err, "the pin directory %s is not an absolute path", dir);
		return -EINVAL;
	}
	*slash = '\0';
	if (on_bpffs(parent))
		return 0;
	if (strcmp(parent, BPFFS)) {
		hr_sb_printf(err, "%s is not on a BPF file system", parent);
		return -EINVAL;
	}
	if (mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700")) {
		int e = -errno;

		hr_sb_printf(err, "no BPF file system at " BPFFS " and none can be mounted: %s",
			     strerror(-e));
		return e;
	}
	return 0;
}

int kern_make_pin_dir(const char *dir, struct hr_strbuf *err)
{
	int e = ensure_bpffs(dir, err);

	if (e)
		return e;
	if (mkdir(dir, 0700) && errno != EEXIST) {
		e = -errno;
		hr_sb_printf(err, "cannot make %s: %s", dir, strerror(-e));
		return e;
	}
	return 0;
}

/* Pid of the process that holds the flock on this inode, 0 when the kernel does not say. */
static long lock_holder(const struct stat *st)
{
	FILE *f = fopen("/proc/locks", "re");
	unsigned maj, min;
	unsigned long ino;
	char line[256];
	long pid, found = 0;

	if (!f)
		return 0;
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*d: FLOCK %*s WRITE %ld %x:%x:%lu", &pid, &maj, &min, &ino) ==
			    4 &&
		    ino == st->st_ino && maj == major(st->st_dev) && min == minor(st->st_dev))
			found = pid;
	}
	fclose(f);
	return found;
}

int kern_lock(const char *dir, int *fd, long *pid)
{
	struct stat held, now;

	for (int i = 0; i < 10; i++) {
		_cleanup_close_ int d = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (d < 0 || fstat(d, &held))
			return -errno;
		if (flock(d, LOCK_EX | LOCK_NB)) {
			if (errno != EWOULDBLOCK)
				return -errno;
			*pid = lock_holder(&held);
			return -EBUSY;
		}
		/* the one before us may have removed the directory between our two calls */
		if (!stat(dir, &now) && now.st_ino == held.st_ino) {
			*fd = TAKE_FD(d);
			return 0;
		}
	}
	return -ENOENT;
}
