// SPDX-License-Identifier: Apache-2.0
/*
 * Which processes are captured: programs on cgroups. Programs of an ancestor run for a descendant
 * too, so a cgroup gets links only when no captured one is above it; its row in `workloads` says
 * who runs there in either case.
 *
 * A link is pinned as links/PROGRAM@CGROUP-ID: it outlives the agent, and tells the next one.
 */
#include "kern/capture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "kern/internal.h"

/* ---- cgroups -------------------------------------------------------------------------------- */

static char root[PATH_MAX];

static void find_root(void)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t cap = 0;

	if (!f)
		return;
	while (getline(&line, &cap, f) > 0) {
		/* id parent major:minor ROOT MOUNTPOINT options... - TYPE source options */
		char in[PATH_MAX], at[PATH_MAX];
		char *type = strstr(line, " - cgroup2 ");

		if (type && sscanf(line, "%*d %*d %*s %4095s %4095s", in, at) == 2 &&
		    !strcmp(in, "/")) {
			strcpy(root, at);
			break;
		}
	}
	free(line);
	fclose(f);
}

const char *hr_kern_cgroup_root(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, find_root);
	return root[0] ? root : NULL;
}

static int open_cgroup(const char *path, char real[static PATH_MAX], uint64_t *id)
{
	struct statfs fs;
	struct stat st;

	if (!realpath(path, real))
		return -errno;
	_cleanup_close_ int fd = open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstatfs(fd, &fs) || fstat(fd, &st))
		return -errno;
	if ((unsigned long)fs.f_type != CGROUP2_SUPER_MAGIC)
		return -EINVAL;
	*id = st.st_ino; /* kernfs: the inode number is the cgroup id */
	return TAKE_FD(fd);
}

/* Path of a cgroup by id; NULL when it is gone. malloc'ed. */
static char *find_cgroup(const char *dir, uint64_t id)
{
	struct stat st;
	struct dirent *de;
	char *found = NULL;

	if (!stat(dir, &st) && st.st_ino == id)
		return strdup(dir);
	DIR *d = opendir(dir);

	if (!d)
		return NULL;
	while (!found && (de = readdir(d))) {
		_cleanup_free_ char *sub = NULL;

		if (de->d_type == DT_DIR && de->d_name[0] != '.' &&
		    asprintf(&sub, "%s/%s", dir, de->d_name) > 0)
			found = find_cgroup(sub, id);
	}
	closedir(d);
	return found;
}

/* ---- captures ------------------------------------------------------------------------------- */

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && path[n] == '/';
}

static struct capture *capture_of(struct hr_kern *k, uint64_t id)
{
	struct capture *c;

	hr_vec_for_each (c, &k->captures)
		if (c->id == id)
			return c;
	return NULL;
}

static bool covered(const struct hr_kern *k, const struct capture *c)
{
	const struct capture *o;

	hr_vec_for_each (o, &k->captures)
		if (o->links.len && is_below(c->path, o->path))
			return true;
	return false;
}

static struct capture *add_capture(struct hr_kern *k, const char *path, uint64_t id)
{
	char *copy = strdup(path);

	if (!copy)
		return NULL;
	hr_vec_push(&k->captures, (struct capture){.path = copy, .id = id});
	return &k->captures.data[k->captures.len - 1];
}

void kern_drop_link(struct bpf_link *l)
{
	bpf_link__unpin(l);
	bpf_link__destroy(l);
}

static void drop_links(struct capture *c)
{
	struct bpf_link **l;

	hr_vec_for_each (l, &c->links)
		kern_drop_link(*l);
	hr_vec_free(&c->links);
}

static void remove_capture(struct hr_kern *k, struct capture *c)
{
	drop_links(c);
	free(c->path);
	*c = k->captures.data[--k->captures.len];
}

/* ---- links ---------------------------------------------------------------------------------- */

static bool for_cgroups(const struct bpf_program *p)
{
	switch (bpf_program__type(p)) {
	case BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
	case BPF_PROG_TYPE_CGROUP_SOCK:
	case BPF_PROG_TYPE_CGROUP_SKB:
	case BPF_PROG_TYPE_CGROUP_SOCKOPT:
	case BPF_PROG_TYPE_SOCK_OPS:
		return bpf_program__fd(p) >= 0; /* loaded: not all are, on the agent path */
	default:
		return false;
	}
}

static int link_one(struct hr_kern *k, struct capture *c, struct bpf_program *p, int cgroup)
{
	char path[PATH_MAX + 128];
	struct bpf_link *l = bpf_program__attach_cgroup(p, cgroup);

	if (!l)
		return -errno;
	snprintf(path, sizeof(path), "%s/links", k->pin_dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/links/%s@%llu", k->pin_dir, bpf_program__name(p),
		 (unsigned long long)c->id);
	if (bpf_link__pin(l, path)) {
		int e = -errno;

		bpf_link__destroy(l);
		return e;
	}
	hr_vec_push(&c->links, l);
	return 0;
}

/* All or none. */
static int link_all(struct hr_kern *k, struct capture *c)
{
	_cleanup_close_ int cgroup = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct bpf_program *p;

	if (cgroup < 0)
		return -errno;
	bpf_object__for_each_program(p, k->skel->obj)
	{
		int e = for_cgroups(p) ? link_one(k, c, p, cgroup) : 0;

		if (e) {
			drop_links(c);
			return e;
		}
	}
	return 0;
}

/* ---- enrol ---------------------------------------------------------------------------------- */

int hr_kern_enrol(struct hr_kern *k, const char *cgroup_path, uint32_t workload, uint32_t flags)
{
	struct hr_workload row = {.id = workload, .flags = flags};
	char real[PATH_MAX];
	uint64_t id;
	_cleanup_close_ int fd = open_cgroup(cgroup_path, real, &id);

	if (fd < 0)
		return fd;
	/* who it is before the programs ask */
	if (bpf_map_update_elem(KERN_MAP_FD(k, workloads), &id, &row, BPF_ANY))
		return errno == E2BIG ? -ENOSPC : -errno;
	struct capture *c = capture_of(k, id);

	if (c) {
		c->workload = workload;
		return 0;
	}
	kern_leaving_cancel(k, id);
	c = add_capture(k, real, id);
	if (!c)
		return -ENOMEM;
	c->workload = workload;
	int e = covered(k, c) ? 0 : link_all(k, c);

	if (e) {
		remove_capture(k, c);
		bpf_map_delete_elem(KERN_MAP_FD(k, workloads), &id);
		return e;
	}
	struct capture *o;

	hr_vec_for_each (o, &k->captures)
		if (c->links.len && is_below(o->path, c->path))
			drop_links(o); /* ours run there now, twice would be once too often */
	return 0;
}

int hr_kern_unenrol(struct hr_kern *k, const char *cgroup_path)
{
	char real[PATH_MAX];
	struct capture *c = NULL, *o;
	uint64_t id;
	_cleanup_close_ int fd = open_cgroup(cgroup_path, real, &id);

	if (fd >= 0)
		c = capture_of(k, id);
	else /* removed meanwhile: by the name it was enrolled with */
		hr_vec_for_each (o, &k->captures)
			if (!strcmp(o->path, cgroup_path))
				c = o;
	if (!c)
		return -ENOENT;
	id = c->id;
	_cleanup_free_ char *path = strdup(c->path);

	kern_leaving_start(k, c);
	remove_capture(k, c);
	hr_vec_for_each (o, &k->captures)
		if (path && !o->links.len && is_below(o->path, path) && !covered(k, o)) {
			int e = link_all(k, o);

			if (e)
				hr_warn("capture of %s is lost: %s", o->path, strerror(-e));
		}
	bpf_map_delete_elem(KERN_MAP_FD(k, workloads), &id);
	return 0;
}

void kern_detach_all(struct hr_kern *k)
{
	while (k->captures.len)
		remove_capture(k, &k->captures.data[k->captures.len - 1]);
	hr_vec_free(&k->captures);
	kern_leaving_end(k);
}

/* ---- take-over ------------------------------------------------------------------------------ */

static int adopt_link(struct hr_kern *k, const char *name)
{
	_cleanup_free_ char *path = NULL;
	char program[128];
	unsigned long long id;
	struct bpf_program *p;

	if (sscanf(name, "%127[^@]@%llu", program, &id) != 2)
		return -EINVAL;
	p = bpf_object__find_program_by_name(k->skel->obj, program);
	if (!p || !for_cgroups(p))
		return -ENOENT;
	struct capture *c = capture_of(k, id);
	_cleanup_free_ char *dir = c ? NULL : find_cgroup(hr_kern_cgroup_root(), id);

	if (!c && (!dir || !(c = add_capture(k, dir, id))))
		return -ENOENT;
	if (asprintf(&path, "%s/links/%s", k->pin_dir, name) < 0)
		return -ENOMEM;
	struct bpf_link *l = bpf_link__open(path);

	if (!l)
		return -errno;
	if (bpf_link__update_program(l, p)) {
		int e = -errno;

		bpf_link__destroy(l);
		return e;
	}
	hr_vec_push(&c->links, l);
	return 0;
}

/* Workloads without links: their ancestor has them. */
static void adopt_covered(struct hr_kern *k)
{
	int fd = KERN_MAP_FD(k, workloads);
	uint64_t id, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &next);

	while (more) {
		id = next;
		more = !bpf_map_get_next_key(fd, &id, &next);
		if (capture_of(k, id))
			continue;
		_cleanup_free_ char *dir = find_cgroup(hr_kern_cgroup_root(), id);

		if (!dir)
			bpf_map_delete_elem(fd, &id); /* removed while nobody looked */
		else
			add_capture(k, dir, id);
	}
}

int kern_adopt_captures(struct hr_kern *k)
{
	char path[PATH_MAX + 16];
	struct dirent *de;

	snprintf(path, sizeof(path), "%s/links", k->pin_dir);
	DIR *d = opendir(path);

	while (d && (de = readdir(d)))
		/* a link that nobody can adopt would steer without an agent */
		if (de->d_name[0] != '.' && adopt_link(k, de->d_name))
			unlinkat(dirfd(d), de->d_name, 0);
	if (d)
		closedir(d);
	adopt_covered(k);
	struct capture *c;
	struct hr_workload row;

	hr_vec_for_each (c, &k->captures)
		if (!bpf_map_lookup_elem(KERN_MAP_FD(k, workloads), &c->id, &row))
			c->workload = row.id;
	return (int)k->captures.len;
}
