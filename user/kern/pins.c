// SPDX-License-Identifier: Apache-2.0
/* Pins: what they say of the agent that made them, and how a data path is taken down. */
#include "kern/pins.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "headrace/abi.h"
#include "kern/internal.h"
#include "kern/leave.h"

/* How long connections get to be found without unread bytes, ms. */
#define LEAVE_MS 300

static int pinned(const char *dir, const char *sub, const char *name)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s/%s", dir, sub, name);
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

int kern_pinned_map(const char *dir, const char *name)
{
	return pinned(dir, "maps", name);
}

bool kern_pins_fit(const char *dir)
{
	_cleanup_close_ int fd = kern_pinned_map(dir, "config");
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), zero = 0;
	struct hr_config c = {};

	/* a table of another shape would be read beyond our variable */
	return fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len) &&
	       info.value_size == sizeof(c) && !bpf_map_lookup_elem(fd, &zero, &c) &&
	       c.abi == HR_ABI_VERSION;
}

/* ---- connections leave the sockhash --------------------------------------------------------- */

/* One round over the sockhash; gives how many wait for a better moment. */
static int leave_round(const struct kern_leave *l, bool last)
{
	uint64_t key, next;
	int left = 0;

	/* the next key is read before the current one goes: a walk survives its deletions */
	for (bool more = !bpf_map_get_next_key(l->cl_hash, NULL, &next); more;) {
		key = next;
		more = !bpf_map_get_next_key(l->cl_hash, &key, &next);
		if (last)
			kern_leave_force(l, key);
		else
			left += kern_leave_try(l, key) != KERN_LEFT;
	}
	return left;
}

static void connections_leave(const char *dir)
{
	struct kern_leave l = {.cl_hash = kern_pinned_map(dir, "cl_hash"),
			       .conns = kern_pinned_map(dir, "conns"),
			       .heads = kern_pinned_map(dir, "heads"),
			       .g_tab = kern_pinned_map(dir, "g_tab"),
			       .peek = pinned(dir, "progs", "peek_conn"),
			       .retire = pinned(dir, "progs", "peek_retire")};
	uint64_t end = kern_now_ms() + LEAVE_MS;

	if (l.cl_hash >= 0) {
		while (leave_round(&l, false) && kern_now_ms() < end)
			usleep(50);
		leave_round(&l, true);
	}
	hr_closep(&l.cl_hash);
	hr_closep(&l.conns);
	hr_closep(&l.heads);
	hr_closep(&l.g_tab);
	hr_closep(&l.peek);
	hr_closep(&l.retire);
}

/* ---- pins go -------------------------------------------------------------------------------- */

static int remove_all(const char *dir, const char *sub, const char *what, struct hr_strbuf *out)
{
	char path[PATH_MAX + NAME_MAX];
	struct dirent *de;
	int n = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, sub);
	DIR *d = opendir(path);

	if (!d)
		return 0;
	while ((de = readdir(d))) {
		if (de->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/%s", dir, sub, de->d_name);
		if (unlink(path))
			continue;
		n++;
		if (out)
			hr_sb_printf(out, "removed %s %s\n", what, path);
	}
	closedir(d);
	snprintf(path, sizeof(path), "%s/%s", dir, sub);
	rmdir(path);
	return n;
}

int kern_evict(const char *dir, struct hr_strbuf *out)
{
	/* links first: no new connection enters what is being taken down */
	int n = remove_all(dir, "links", "link", out);

	connections_leave(dir);
	n += remove_all(dir, "progs", "program", out);
	return n + remove_all(dir, "maps", "map", out);
}
