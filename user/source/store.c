// SPDX-License-Identifier: Apache-2.0
/*
 * Applied objects, one YAML file each: DIR/Kind_namespace_name.yaml. Kubernetes names hold no
 * underscore, so the name says which object it is. A file is written beside its place and renamed:
 * a crash leaves the old one or the new one.
 */
#include "source/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "core/vec.h"
#include "headrace/limits.h"

struct hr_store {
	char *dir;
	int dirfd;
	struct hr_arena *arena; /* for names while the directory is read */
	hr_store_entries list;	/* sorted by compare(); strings of each in one block, at `ns` */
	size_t cap;
};

static int fail(struct hr_strbuf *err, const char *what, const char *name)
{
	int r = -errno;

	hr_sb_printf(err, "store: cannot %s %s: %s", what, name, strerror(-r));
	return r;
}

static bool is_name(const char *s)
{
	return *s && *s != '.' && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.-") == strlen(s);
}

/* NULL when the object cannot have a file. */
static const char *file_name(struct hr_arena *a, const struct hr_store_entry *e)
{
	const char *name;

	if (!is_name(e->name) || (*e->ns && !is_name(e->ns)))
		return NULL;
	name = hr_arena_printf(a, "%s_%s_%s.yaml", hr_kind_name(e->kind), e->ns, e->name);
	return strlen(name) <= NAME_MAX ? name : NULL;
}

static int compare(const void *a, const void *b)
{
	const struct hr_store_entry *x = a, *y = b;
	int r = (int)x->kind - (int)y->kind;

	if (!r)
		r = strcmp(x->ns, y->ns);
	return r ? r : strcmp(x->name, y->name);
}

static void sort(hr_store_entries *l)
{
	if (l->len)
		qsort(l->data, l->len, sizeof(*l->data), compare);
}

static void push(struct hr_store *s, struct hr_store_entry e)
{
	if (s->list.len == s->cap)
		hr_vec_grow((void **)&s->list.data, &s->cap, s->list.len + 1, sizeof(e));
	s->list.data[s->list.len++] = e;
}

static void drop(struct hr_store_entry *e)
{
	free((char *)e->ns);
}

/* With copies of its strings, so that the caller's may go. */
static struct hr_store_entry own(const struct hr_store_entry *e)
{
	size_t ns = strlen(e->ns) + 1, name = strlen(e->name) + 1, yaml = strlen(e->yaml) + 1;
	char *block = malloc(ns + name + yaml);

	if (!block)
		abort(); /* as the arenas do */
	memcpy(block, e->ns, ns);
	memcpy(block + ns, e->name, name);
	memcpy(block + ns + name, e->yaml, yaml);
	return (struct hr_store_entry){
		.kind = e->kind, .ns = block, .name = block + ns, .yaml = block + ns + name};
}

/* "Kind_ns_name.yaml" -> entry without text. */
static int parse_name(struct hr_arena *a, const char *file, struct hr_store_entry *e)
{
	char *copy = hr_arena_strdup(a, file);
	char *ns = strchr(copy, '_'), *name = ns ? strchr(ns + 1, '_') : NULL;

	if (!name || !hr_ends(name, ".yaml"))
		return -EINVAL;
	*ns++ = 0;
	*name++ = 0;
	name[strlen(name) - strlen(".yaml")] = 0;
	*e = (struct hr_store_entry){.kind = hr_kind_of(copy), .ns = ns, .name = name};
	return e->kind != HR_KIND_INVALID && hr_streq(hr_kind_name(e->kind), copy) &&
			       file_name(a, e)
		       ? 0
		       : -EINVAL;
}

static int read_entry(struct hr_store *s, const char *file, struct hr_store_entry *e)
{
	_cleanup_close_ int fd =
		openat(s->dirfd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	char *text;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > HR_FILE_MAX)
		return -EINVAL;
	text = hr_arena_alloc(s->arena, (size_t)st.st_size + 1);
	n = read(fd, text, (size_t)st.st_size);
	if (n != st.st_size)
		return n < 0 ? -errno : -EIO;
	e->yaml = text;
	return 0;
}

static int load(struct hr_store *s, struct hr_strbuf *err)
{
	DIR *d = opendir(s->dir);
	struct dirent *de;

	if (!d)
		return fail(err, "read", s->dir);
	while ((de = readdir(d))) {
		struct hr_store_entry e;
		int r;

		if (de->d_name[0] == '.' || parse_name(s->arena, de->d_name, &e) < 0)
			continue;
		r = read_entry(s, de->d_name, &e);
		if (r < 0) {
			errno = -r;
			closedir(d);
			return fail(err, "read", de->d_name);
		}
		push(s, own(&e));
	}
	closedir(d);
	sort(&s->list);
	hr_arena_free(s->arena);
	s->arena = NULL;
	return 0;
}

int hr_store_open(struct hr_store **out, const char *dir, struct hr_strbuf *err)
{
	struct hr_store *s = calloc(1, sizeof(*s));
	int r = 0;

	if (!s)
		return -ENOMEM;
	s->dir = strdup(dir);
	s->arena = hr_arena_new();
	s->dirfd = -1;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		r = fail(err, "make", dir);
	if (r == 0) {
		s->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = s->dirfd < 0 ? fail(err, "open", dir) : load(s, err);
	}
	if (r < 0) {
		hr_store_free(s);
		return r;
	}
	*out = s;
	return 0;
}

void hr_store_free(struct hr_store *s)
{
	if (!s)
		return;
	if (s->dirfd >= 0)
		close(s->dirfd);
	hr_arena_free(s->arena);
	for (size_t i = 0; i < s->list.len; i++)
		drop(&s->list.data[i]);
	free(s->list.data);
	free(s->dir);
	free(s);
}

hr_store_entries hr_store_list(const struct hr_store *s)
{
	return s->list;
}

static struct hr_store_entry *find(const hr_store_entries *l, enum hr_kind k, const char *ns,
				   const char *name)
{
	const struct hr_store_entry key = {.kind = k, .ns = ns, .name = name};

	return l->len ? bsearch(&key, l->data, l->len, sizeof(key), compare) : NULL;
}

const struct hr_store_entry *hr_store_find(const struct hr_store *s, enum hr_kind k, const char *ns,
					   const char *name)
{
	return find(&s->list, k, ns, name);
}

hr_store_entries hr_store_preview(const struct hr_store *s, struct hr_arena *arena,
				  const struct hr_store_entry *changes, size_t n)
{
	hr_store_entries sorted = {.data = hr_arena_array(arena, struct hr_store_entry, n + 1),
				   .len = n};
	hr_store_entries out = {
		.data = hr_arena_array(arena, struct hr_store_entry, s->list.len + n + 1)};

	if (n)
		memcpy(sorted.data, changes, n * sizeof(*changes));
	sort(&sorted);
	for (size_t i = 0; i < s->list.len; i++) {
		const struct hr_store_entry *e = &s->list.data[i];

		if (!find(&sorted, e->kind, e->ns, e->name))
			out.data[out.len++] = *e;
	}
	for (size_t i = 0; i < n; i++)
		if (changes[i].yaml)
			out.data[out.len++] = changes[i];
	sort(&out);
	return out;
}

static int write_file(struct hr_store *s, const char *name, const char *text, struct hr_strbuf *err)
{
	static const char temp[] = ".new";
	_cleanup_close_ int fd =
		openat(s->dirfd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	size_t n = strlen(text);

	if (fd < 0)
		return fail(err, "write", name);
	for (size_t done = 0; done < n;) {
		ssize_t w = write(fd, text + done, n - done);

		if (w < 0 && errno != EINTR)
			return fail(err, "write", name);
		done += w > 0 ? (size_t)w : 0;
	}
	if (fsync(fd) < 0 || renameat(s->dirfd, temp, s->dirfd, name) < 0)
		return fail(err, "write", name);
	return 0;
}

static int commit_one(struct hr_store *s, const struct hr_store_entry *e, struct hr_strbuf *err)
{
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	const char *name = file_name(a, e);

	if (!name) {
		hr_sb_printf(err,
			     "store: \"%s\" cannot be a file name (lower case letters, "
			     "digits, - and ., not too long)",
			     e->name);
		return -EINVAL;
	}
	if (e->yaml)
		return write_file(s, name, e->yaml, err);
	if (unlinkat(s->dirfd, name, 0) < 0 && errno != ENOENT)
		return fail(err, "remove", name);
	return 0;
}

static void take_in(struct hr_store *s, const struct hr_store_entry *c)
{
	struct hr_store_entry *have = find(&s->list, c->kind, c->ns, c->name);
	size_t at = have ? (size_t)(have - s->list.data) : 0;

	if (have && c->yaml) {
		struct hr_store_entry now = own(c); /* `c` may be the old one itself */

		drop(have);
		*have = now;
	} else if (have) {
		drop(have);
		s->list.len--;
		memmove(have, have + 1, (s->list.len - at) * sizeof(*have));
	} else if (c->yaml) {
		push(s, own(c));
		at = s->list.len - 1;
		while (at && compare(&s->list.data[at - 1], &s->list.data[at]) > 0) {
			struct hr_store_entry e = s->list.data[at];

			s->list.data[at] = s->list.data[at - 1];
			s->list.data[--at] = e;
		}
	}
}

int hr_store_commit(struct hr_store *s, const struct hr_store_entry *changes, size_t n,
		    struct hr_strbuf *err)
{
	size_t done = 0;
	int r = 0;

	while (done < n && (r = commit_one(s, &changes[done], err)) == 0)
		done++;
	if (done) {
		if (fsync(s->dirfd) < 0)
			hr_warn("store: fsync %s: %s", s->dir, strerror(errno));
		for (size_t i = 0; i < done; i++)
			take_in(s, &changes[i]);
	}
	return r;
}
