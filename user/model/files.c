// SPDX-License-Identifier: Apache-2.0
/* Configuration files: a file, a directory, standard input; regular files only, bounded. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/cleanup.h"
#include "core/vec.h"
#include "model/decode.h"
#include "model/files.h"

static int say(struct hr_diags *diags, const char *path, int err, const char *what)
{
	hr_diag_add(diags, HR_SEV_ERROR, (struct hr_pos){path, 1, 1}, "io", NULL, "", "%s", what);
	return -err;
}

/* Reads to the end, or one byte more than may be: the caller sees that it is too much. */
static int read_all(int fd, struct hr_strbuf *out)
{
	char buf[65536];

	while (out->len <= HR_FILE_MAX) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return 0;
		hr_sb_addn(out, buf, (size_t)n);
	}
	return 0;
}

static int decode_fd(struct hr_decoder *d, struct hr_diags *diags, const char *name, int fd)
{
	_cleanup_sb_ struct hr_strbuf text = {};
	int ret = read_all(fd, &text);

	if (ret)
		return say(diags, name, -ret, strerror(-ret));
	return hr_decode_text(d, name, hr_sb_str(&text), text.len);
}

static bool wanted(const char *name)
{
	return name[0] != '.' &&
	       (hr_ends(name, ".yaml") || hr_ends(name, ".yml") || hr_ends(name, ".json"));
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int decode_dir(struct hr_decoder *d, struct hr_diags *diags, const char *path, int fd)
{
	HR_VEC(char *) names = {};
	DIR *dir = fdopendir(fd);
	int ret = 0;

	if (!dir) {
		close(fd);
		return say(diags, path, ENOTDIR, "cannot be listed");
	}
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		_cleanup_sb_ struct hr_strbuf full = {};

		if (!wanted(e->d_name))
			continue;
		hr_sb_printf(&full, "%s%s%s", path, hr_ends(path, "/") ? "" : "/", e->d_name);
		hr_vec_push(&names, strdup(full.data));
	}
	closedir(dir);
	if (names.len)
		qsort(names.data, names.len, sizeof(*names.data), by_text);
	for (size_t i = 0; i < names.len; i++) {
		int one = hr_decode_file(d, diags, names.data[i], false);

		ret = ret ? ret : one;
		free(names.data[i]);
	}
	hr_vec_free(&names);
	return ret;
}

int hr_decode_file(struct hr_decoder *d, struct hr_diags *diags, const char *path, bool dir_ok)
{
	/* O_NONBLOCK: opening a FIFO must not wait for its writer; what was opened is what is
	 * looked at, so a swap in between changes nothing */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return say(diags, path, errno, strerror(errno));
	if (S_ISDIR(st.st_mode) && dir_ok)
		return decode_dir(d, diags, path, TAKE_FD(fd));
	if (!S_ISREG(st.st_mode))
		return say(diags, path, EINVAL, "not a regular file");
	return decode_fd(d, diags, path, fd);
}

int hr_decode_stdin(struct hr_decoder *d, struct hr_diags *diags)
{
	return decode_fd(d, diags, "<stdin>", STDIN_FILENO);
}
