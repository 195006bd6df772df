// SPDX-License-Identifier: Apache-2.0
/* Reaching into the processes and sockets of clients. */
#include "kern/clients.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/cleanup.h"

int kern_peek(int prog_fd, struct hr_peek *p)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = p, .ctx_size_in = sizeof(*p));

	if (bpf_prog_test_run_opts(prog_fd, &opts))
		return -errno;
	return opts.retval == PEEK_OK ? 0 : -ENOENT;
}

static bool is_socket(int dirfd, const char *name)
{
	char target[32];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target));

	return n > 8 && !memcmp(target, "socket:[", 8);
}

static bool has_cookie(int fd, uint64_t cookie)
{
	uint64_t c = 0;
	socklen_t len = sizeof(c);

	return !getsockopt(fd, SOL_SOCKET, SO_COOKIE, &c, &len) && c == cookie;
}

int kern_client_dup(uint32_t pid, uint64_t cookie)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	char path[32];
	struct dirent *de;
	int found = -ENOENT;

	if (pidfd < 0)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	DIR *d = opendir(path);

	if (!d)
		return -ENOENT;
	while (found < 0 && (de = readdir(d))) {
		if (de->d_name[0] == '.' || !is_socket(dirfd(d), de->d_name))
			continue;
		int fd = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(de->d_name), 0);

		if (fd >= 0 && has_cookie(fd, cookie))
			found = fd;
		else
			hr_closep(&fd);
	}
	closedir(d);
	return found;
}

int kern_client_shutdown(uint32_t pid, uint64_t cookie)
{
	_cleanup_close_ int fd = kern_client_dup(pid, cookie);

	if (fd < 0)
		return fd;
	return shutdown(fd, SHUT_RDWR) ? -errno : 0;
}
