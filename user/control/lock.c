// SPDX-License-Identifier: Apache-2.0
// Who owns the socket path: a lock that dies with its process decides, not the file's presence.
#include "control/socket.h"

#include "control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "core/cleanup.h"

static int fail(struct hr_strbuf *err, int r, const char *what, const char *path)
{
	hr_sb_printf(err, "cannot %s %s: %s", what, path, strerror(-r));
	return r;
}

/* One level, like RuntimeDirectory= of systemd. */
static int make_parent(const char *path, struct hr_strbuf *err)
{
	_cleanup_free_ char *dir = strdup(path);
	char *slash = strrchr(dir, '/');

	if (!slash || slash == dir)
		return 0;
	*slash = 0;
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return fail(err, -errno, "make directory", dir);
	return 0;
}

static void name_holder(int fd, const char *path, struct hr_strbuf *err)
{
	char pid[32] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	if (n > 0)
		pid[strcspn(pid, "\n")] = 0;
	hr_sb_printf(err, "an agent is running already: pid %s holds %s", n > 0 ? pid : "unknown",
		     path);
}

/* The file may have been unlinked by its last owner between open and flock: then it is no lock. */
static bool still_there(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

int hr_control_lock(const char *lock_path, const char *path, struct hr_strbuf *err)
{
	int r = make_parent(path, err);

	if (r < 0)
		return r;
	for (;;) {
		_cleanup_close_ int fd =
			open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		char pid[32];
		int n;

		if (fd < 0)
			return fail(err, -errno, "open", lock_path);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			if (errno != EWOULDBLOCK)
				return fail(err, -errno, "lock", lock_path);
			name_holder(fd, path, err);
			return -EADDRINUSE;
		}
		if (!still_there(fd, lock_path))
			continue;
		n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
		if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n)
			return fail(err, -errno, "write", lock_path);
		return TAKE_FD(fd);
	}
}

/* With the lock held, a socket at the path is a dead agent's, unless somebody else's server (who
 * knows nothing of our lock) listens there. */
static int clear_path(const struct sockaddr_un *sa, struct hr_strbuf *err)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : fail(err, -errno, "look at", sa->sun_path);
	if (!S_ISSOCK(st.st_mode)) {
		hr_sb_printf(err, "%s exists and is no socket", sa->sun_path);
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(err, -errno, "open a socket for", sa->sun_path);
	if (connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 || errno == EAGAIN) {
		struct ucred cred = {};
		socklen_t len = sizeof(cred);

		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
		hr_sb_printf(err, "pid %d listens on %s already", (int)cred.pid, sa->sun_path);
		return -EADDRINUSE;
	}
	if (unlink(sa->sun_path) < 0)
		return fail(err, -errno, "remove", sa->sun_path);
	return 0;
}

int hr_control_listen(const char *path, struct hr_strbuf *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = -1;
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(sa.sun_path)) {
		hr_sb_printf(err, "socket path %s is too long", path);
		return -ENAMETOOLONG;
	}
	strcpy(sa.sun_path, path);
	r = clear_path(&sa, err);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(err, -errno, "open a socket for", path);
	/* 0600 from its first moment: no window between bind and chmod */
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0)
		return fail(err, r, "bind", path);
	if (listen(fd, 128) < 0)
		return fail(err, -errno, "listen on", path);
	return TAKE_FD(fd);
}

int hr_control_remove_stale(const char *path, struct hr_strbuf *out, struct hr_strbuf *err)
{
	_cleanup_free_ char *lock_path = NULL;
	struct stat st;
	int lock, n = 0;

	if (lstat(path, &st) < 0)
		return 0;
	if (asprintf(&lock_path, "%s.lock", path) < 0)
		abort();
	lock = hr_control_lock(lock_path, path, err);
	if (lock < 0)
		return lock;
	if (S_ISSOCK(st.st_mode) && unlink(path) == 0) {
		hr_sb_printf(out, "removed %s\n", path);
		n++;
	}
	unlink(lock_path);
	close(lock);
	return n;
}
