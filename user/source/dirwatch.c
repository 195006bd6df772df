// SPDX-License-Identifier: Apache-2.0
/*
 * Tells when what a set of paths names may have changed. Directories are watched, never files: a
 * file that is replaced by rename takes its own watch away with it.
 *
 *	-f /etc/mesh        any name in /etc/mesh, and "mesh" in /etc (the directory is replaced)
 *	-f /etc/mesh/a.yaml "a.yaml" in /etc/mesh, and its name where a link leads
 *
 * After each change everything is watched anew: what is watched is then what is read.
 */
#include "source/source.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "core/vec.h"

#define DEBOUNCE_MS 50
#define LONGEST_MS 500 /* a writer that never pauses does not put the reload off for ever */
#define RETRY_MS 1000  /* a directory that is not there yet */
#define MASK                                                                                \
	(IN_CLOSE_WRITE | IN_MODIFY | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | \
	 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

struct interest {
	int wd;
	char *name; /* NULL: every name */
};

struct hr_dirwatch {
	struct hr_dirwatch_opts o;
	int fd;
	struct hr_watch *watch;
	struct hr_timer quiet, retry;
	uint64_t since; /* first event that was not told yet */
	HR_VEC(struct interest) list;
};

static void rearm(struct hr_dirwatch *w);

static void forget(struct hr_dirwatch *w)
{
	for (size_t i = 0; i < w->list.len; i++)
		free(w->list.data[i].name);
	w->list.len = 0;
}

static void on_quiet(void *ctx)
{
	struct hr_dirwatch *w = ctx;

	w->since = 0;
	rearm(w);
	w->o.changed(w->o.ctx);
}

static void touch(struct hr_dirwatch *w)
{
	uint64_t now = hr_loop_now(w->o.loop), left;

	if (!w->since)
		w->since = now;
	left = w->since + LONGEST_MS > now ? w->since + LONGEST_MS - now : 0;
	hr_timer_start(w->o.loop, &w->quiet, HR_MIN((uint64_t)w->o.debounce_ms, left), on_quiet, w);
}

static void on_retry(void *ctx)
{
	struct hr_dirwatch *w = ctx;
	size_t before = w->list.len;

	rearm(w);
	if (w->list.len != before)
		touch(w);
}

static int add(struct hr_dirwatch *w, const char *dir, const char *name)
{
	int wd = inotify_add_watch(w->fd, dir, MASK);

	if (wd < 0) {
		if (errno == ENOSPC)
			hr_err("cannot watch %s: fs.inotify.max_user_watches is used up; SIGHUP "
			       "still reads it again",
			       dir);
		return -errno;
	}
	hr_vec_push(&w->list, (struct interest){.wd = wd, .name = name ? strdup(name) : NULL});
	return 0;
}

/* "name in its directory" for a path. */
static int add_entry(struct hr_dirwatch *w, const char *path)
{
	_cleanup_free_ char *a = strdup(path), *b = strdup(path);

	return add(w, dirname(a), basename(b));
}

static int add_path(struct hr_dirwatch *w, const char *path)
{
	char real[PATH_MAX];
	struct stat st;
	int r = add_entry(w, path);

	if (r < 0 || stat(path, &st) < 0 || !realpath(path, real))
		return -ENOENT;
	if (S_ISDIR(st.st_mode))
		return add(w, real, NULL);
	return strcmp(real, path) == 0 ? 0 : add_entry(w, real);
}

static void rearm(struct hr_dirwatch *w)
{
	bool missing = false;

	forget(w);
	for (size_t i = 0; i < w->o.n; i++)
		if (!hr_streq(w->o.paths[i], "-") && add_path(w, w->o.paths[i]) < 0)
			missing = true;
	if (missing)
		hr_timer_start(w->o.loop, &w->retry, RETRY_MS, on_retry, w);
	else
		hr_timer_stop(&w->retry);
}

/* Names of a mounted ConfigMap change by renaming "..data", whatever the file is called. */
static bool concerns(const struct hr_dirwatch *w, const struct inotify_event *e)
{
	const char *name = e->len ? e->name : NULL;

	if (e->mask & IN_Q_OVERFLOW)
		return true;
	for (size_t i = 0; i < w->list.len; i++) {
		const struct interest *in = &w->list.data[i];

		if (in->wd == e->wd &&
		    (!in->name || !name || hr_streq(in->name, name) || hr_starts(name, "..")))
			return true;
	}
	return false;
}

static void on_inotify(void *ctx, uint32_t events)
{
	struct hr_dirwatch *w = ctx;
	char buf[16384] __attribute__((aligned(8)));
	bool hit = false;
	ssize_t n;

	(void)events;
	while ((n = read(w->fd, buf, sizeof(buf))) > 0)
		for (char *p = buf; p < buf + n;) {
			const struct inotify_event *e = (const struct inotify_event *)p;

			hit |= concerns(w, e);
			p += sizeof(*e) + e->len;
		}
	if (hit)
		touch(w);
}

int hr_dirwatch_new(struct hr_dirwatch **out, const struct hr_dirwatch_opts *opts)
{
	struct hr_dirwatch *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->o = *opts;
	if (!w->o.debounce_ms)
		w->o.debounce_ms = DEBOUNCE_MS;
	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	r = w->fd < 0 ? -errno : hr_watch_add(opts->loop, w->fd, EPOLLIN, on_inotify, w, &w->watch);
	if (r < 0) {
		hr_dirwatch_free(w);
		return r;
	}
	rearm(w);
	*out = w;
	return 0;
}

void hr_dirwatch_free(struct hr_dirwatch *w)
{
	if (!w)
		return;
	hr_watch_del(w->watch);
	hr_timer_stop(&w->quiet);
	hr_timer_stop(&w->retry);
	forget(w);
	hr_vec_free(&w->list);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}
