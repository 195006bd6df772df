// SPDX-License-Identifier: Apache-2.0
// Bytes of files and directories, read defensively: what a path names may change under us.
#include "source/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "core/cleanup.h"
#include "core/vec.h"
#include "headrace/limits.h"

static void unreadable(struct hr_diags *diags, const char *file, const char *why)
{
	hr_diag_add(diags, HR_SEV_ERROR, (struct hr_pos){.file = file, .line = 1, .col = 1},
		    "unreadable", NULL, "", "%s", why);
}

static void mix(struct hr_texts *t, uint64_t hash, size_t n)
{
	t->digest = t->digest * 0x100000001b3 + hash + n;
}

static struct hr_text *add_owned(struct hr_texts *t, struct hr_text text)
{
	if (t->list.len == t->cap)
		hr_vec_grow((void **)&t->list.data, &t->cap, t->list.len + 1,
			    sizeof(*t->list.data));
	t->list.data[t->list.len] = text;
	mix(t, hr_hash(text.file, strlen(text.file)), strlen(text.file));
	mix(t, text.hash, text.n);
	return &t->list.data[t->list.len++];
}

static struct hr_arena *arena_of(struct hr_texts *t)
{
	if (!t->arena)
		t->arena = hr_arena_new();
	return t->arena;
}

static struct hr_text *add(struct hr_texts *t, const char *file, const char *bytes, size_t n,
			   uint64_t hash)
{
	char *copy = hr_arena_alloc(arena_of(t), n + 1);

	memcpy(copy, bytes, n);
	return add_owned(t, (struct hr_text){.file = hr_arena_strdup(t->arena, file),
					     .bytes = copy,
					     .n = n,
					     .hash = hash});
}

void hr_texts_add(struct hr_texts *t, const char *file, const char *bytes, size_t n)
{
	add(t, file, bytes, n, hr_hash(bytes, n));
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

/* ---- is it what it was? ---- */

/* A file that was changed this shortly before it was read may have been changed again since, and
 * show the same time: clocks of file systems tick, at most so seldom. */
#define TICK_NS 20000000

static int64_t ns_of(struct timespec ts)
{
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ns_of(ts);
}

static struct hr_text_id id_of(const struct stat *st)
{
	return (struct hr_text_id){.dev = st->st_dev,
				   .ino = st->st_ino,
				   .size = (uint64_t)st->st_size,
				   .mtime_ns = ns_of(st->st_mtim),
				   .ctime_ns = ns_of(st->st_ctim)};
}

/* Of what is read from now on. */
static struct hr_text_id id_to_trust(const struct stat *st)
{
	struct hr_text_id id = id_of(st);

	return id.ctime_ns + TICK_NS < now_ns() ? id : (struct hr_text_id){};
}

static bool same_id(const struct hr_text_id *a, const struct stat *st)
{
	struct hr_text_id b = id_of(st);

	return a->dev && a->dev == b.dev && a->ino == b.ino && a->size == b.size &&
	       a->mtime_ns == b.mtime_ns && a->ctime_ns == b.ctime_ns;
}

/* Of the texts that were read before, in mostly the same order. */
struct before {
	const struct hr_texts *texts; /* NULL: none */
	size_t at;
};

static const struct hr_text *before_of(struct before *b, const char *file)
{
	size_t n = b->texts ? b->texts->list.len : 0;

	for (size_t i = 0; i < n; i++) {
		const struct hr_text *t = &b->texts->list.data[(b->at + i) % n];

		if (strcmp(t->file, file))
			continue;
		b->at = (b->at + i + 1) % n;
		return t;
	}
	return NULL;
}

/* Without opening it. */
static bool take_before(struct hr_texts *t, const char *path, struct before *before)
{
	const struct hr_text *was = before_of(before, path);
	struct stat st;

	if (!was || stat(path, &st) < 0 || !same_id(&was->id, &st))
		return false;
	add(t, path, was->bytes, was->n, was->hash)->id = was->id;
	return true;
}

/* ---- reading ---- */

/* -ENOENT is for the caller to judge (a name that vanished between readdir and open). */
static int open_and_read(struct hr_texts *t, const char *path, struct hr_diags *diags)
{
	/* O_NONBLOCK: opening a FIFO must not wait for its writer */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_cleanup_sb_ struct hr_strbuf bytes = {};
	const char *why = NULL;
	struct hr_text_id id = {};
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
		id = id_to_trust(&st);
	why = why ? why : slurp(fd, &bytes);
	if (why) {
		unreadable(diags, path, why);
		return -EINVAL;
	}
	add(t, path, hr_sb_str(&bytes), bytes.len, hr_hash(hr_sb_str(&bytes), bytes.len))->id = id;
	return 0;
}

static int read_file(struct hr_texts *t, const char *path, struct before *before,
		     struct hr_diags *diags)
{
	return take_before(t, path, before) ? 0 : open_and_read(t, path, diags);
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

static void read_directory(struct hr_texts *t, const char *path, struct before *before,
			   struct hr_diags *diags)
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
			  before, diags);
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
	hr_texts_reread(t, paths, n, NULL, diags);
}

void hr_texts_reread(struct hr_texts *t, const char *const *paths, size_t n,
		     const struct hr_texts *was, struct hr_diags *diags)
{
	struct before before = {.texts = was};

	for (size_t i = 0; i < n; i++) {
		struct stat st;

		if (hr_streq(paths[i], "-"))
			read_stdin(t, diags);
		else if (stat(paths[i], &st) == 0 && S_ISDIR(st.st_mode))
			read_directory(t, paths[i], &before, diags);
		else if (read_file(t, paths[i], &before, diags) == -ENOENT)
			unreadable(diags, paths[i], strerror(ENOENT));
	}
}
