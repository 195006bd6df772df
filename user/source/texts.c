// SPDX-License-Identifier: Apache-2.0
// Bytes of files and directories, read defensively: what a path names may change under us.
#include "source/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "core/cleanup.h"
#include "core/vec.h"
#include "headrace/limits.h"

static void unreadable(struct hr_diags *diags, const char *file, const char *why)
{
	hr_diag_add(diags, HR_SEV_ERROR, (struct hr_pos){.file = file, .line = 1, .col = 1},
		    "unreadable", NULL, "", "%s", why);
}

static void mix(struct hr_texts *t, const char *bytes, size_t n)
{
	t->digest = t->digest * 0x100000001b3 + hr_hash(bytes, n) + n;
}

static void add_owned(struct hr_texts *t, const char *file, const char *bytes, size_t n)
{
	if (t->list.len == t->cap)
		hr_vec_grow((void **)&t->list.data, &t->cap, t->list.len + 1,
			    sizeof(*t->list.data));
	t->list.data[t->list.len++] = (struct hr_text){.file = file, .bytes = bytes, .n = n};
	mix(t, file, strlen(file));
	mix(t, bytes, n);
}

static struct hr_arena *arena_of(struct hr_texts *t)
{
	if (!t->arena)
		t->arena = hr_arena_new();
	return t->arena;
}

void hr_texts_add(struct hr_texts *t, const char *file, const char *bytes, size_t n)
{
	char *copy = hr_arena_alloc(arena_of(t), n + 1);

	memcpy(copy, bytes, n);
	add_owned(t, hr_arena_strdup(t->arena, file), copy, n);
}

void hr_texts_free(struct hr_texts *t)
{
	hr_arena_free(t->arena);
	free(t->list.data);
	*t = (struct hr_texts){};
}

/* Until the end, at most HR_FILE_MAX: a file may grow while it is read. */
static const char *slurp(int fd, struct hr_strbuf *out)
{
	char buf[65536];

	for (;;) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n == 0)
			return NULL;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return strerror(errno);
		hr_sb_addn(out, buf, (size_t)n);
		if (out->len > HR_FILE_MAX)
			return "longer than 16 MiB";
	}
}

/* -ENOENT is for the caller to judge (a name that vanished between readdir and open). */
static int read_file(struct hr_texts *t, const char *path, struct hr_diags *diags)
{
	/* O_NONBLOCK: opening a FIFO must not wait for its writer */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_cleanup_sb_ struct hr_strbuf bytes = {};
	const char *why = NULL;
	struct stat st;

	if (fd < 0) {
		int r = -errno;

		if (r != -ENOENT)
			unreadable(diags, path, strerror(-r));
		return r;
	}
	if (fstat(fd, &st) < 0)
		why = strerror(errno);
	else if (!S_ISREG(st.st_mode))
		why = "not a regular file";
	else
		why = slurp(fd, &bytes);
	if (why) {
		unreadable(diags, path, why);
		return -EINVAL;
	}
	hr_texts_add(t, path, hr_sb_str(&bytes), bytes.len);
	return 0;
}

/* Hidden names are left out: lock links of editors, ..data of mounted ConfigMaps. */
static int wanted(const struct dirent *e)
{
	return e->d_name[0] != '.' && (hr_ends(e->d_name, ".yaml") || hr_ends(e->d_name, ".yml") ||
				       hr_ends(e->d_name, ".json"));
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_directory(struct hr_texts *t, const char *path, struct hr_diags *diags)
{
	struct dirent **names = NULL;
	int n = scandir(path, &names, wanted, by_bytes);
	bool slash = hr_ends(path, "/");

	if (n < 0)
		unreadable(diags, path, strerror(errno));
	for (int i = 0; i < n; i++) {
		read_file(t,
			  hr_arena_printf(arena_of(t), "%s%s%s", path, slash ? "" : "/",
					  names[i]->d_name),
			  diags);
		free(names[i]);
	}
	free(names);
}

static void read_stdin(struct hr_texts *t, struct hr_diags *diags)
{
	_cleanup_sb_ struct hr_strbuf bytes = {};
	const char *why = slurp(STDIN_FILENO, &bytes);

	if (why)
		unreadable(diags, "<stdin>", why);
	else
		hr_texts_add(t, "<stdin>", hr_sb_str(&bytes), bytes.len);
}

void hr_texts_read(struct hr_texts *t, const char *const *paths, size_t n, struct hr_diags *diags)
{
	for (size_t i = 0; i < n; i++) {
		struct stat st;

		if (hr_streq(paths[i], "-"))
			read_stdin(t, diags);
		else if (stat(paths[i], &st) == 0 && S_ISDIR(st.st_mode))
			read_directory(t, paths[i], diags);
		else if (read_file(t, paths[i], diags) == -ENOENT)
			unreadable(diags, paths[i], strerror(ENOENT));
	}
}
