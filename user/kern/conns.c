// SPDX-License-Identifier: Apache-2.0
/* One client's connection, by its cookie: what the agent may ask of it and do to it. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/cleanup.h"
#include "kern/clients.h"
#include "kern/internal.h"

int hr_kern_door_take(struct hr_kern *k, const struct hr_door_key *key, struct hr_door *out)
{
	struct hr_door d;

	if (bpf_map_lookup_elem(KERN_MAP_FD(k, doors), key, &d))
		return -errno;
	bpf_map_delete_elem(KERN_MAP_FD(k, doors), key);
	*out = d;
	return 0;
}

bool hr_kern_door_closed(struct hr_kern *k, uint64_t cookie, uint32_t worker)
{
	struct hr_door_end watched = {.state = HR_DOOR_WATCHED, .worker = worker};
	int fd = KERN_MAP_FD(k, door_ends);

	if (!bpf_map_update_elem(fd, &cookie, &watched, BPF_NOEXIST) || errno != EEXIST)
		return false;
	bpf_map_delete_elem(fd, &cookie);
	return true;
}

int hr_kern_conn_get(struct hr_kern *k, uint64_t cookie, struct hr_conn *out)
{
	/* the value goes on with what is the programs' own */
	_cleanup_free_ char *value = malloc(bpf_map__value_size(k->skel->maps.conns));

	if (!value)
		return -ENOMEM;
	if (bpf_map_lookup_elem(KERN_MAP_FD(k, conns), &cookie, value))
		return -errno;
	memcpy(out, value, sizeof(*out));
	return 0;
}

static int peek(struct hr_kern *k, struct hr_peek *p)
{
	return kern_peek(bpf_program__fd(k->skel->progs.peek_conn), p);
}

int64_t hr_kern_conn_queued(struct hr_kern *k, uint64_t cookie)
{
	struct hr_peek p = {.cookie = cookie};
	int e = peek(k, &p);

	return e ? e : (int64_t)p.queued;
}

int64_t hr_kern_conn_room(struct hr_kern *k, uint64_t cookie)
{
	struct hr_peek p = {.cookie = cookie};
	int e = peek(k, &p);
	uint32_t window = p.crowded ? HR_INJECT_CROWDED : HR_INJECT_WINDOW;

	if (e)
		return e;
	return p.queued < window ? window - p.queued : 0;
}

bool hr_kern_conn_quiet(struct hr_kern *k, uint64_t cookie)
{
	struct hr_peek p = {.cookie = cookie};

	/* nothing is on its way to a connection that is gone */
	return peek(k, &p) == -ENOENT || p.quiet;
}

bool hr_kern_conn_drained(struct hr_kern *k, uint64_t cookie)
{
	struct hr_peek p = {.cookie = cookie};

	/* nothing is on its way to a connection that is gone */
	return peek(k, &p) == -ENOENT || p.drained;
}

int hr_kern_conn_kill(struct hr_kern *k, uint64_t cookie)
{
	struct hr_peek p = {.cookie = cookie};

	return kern_peek(bpf_program__fd(k->skel->progs.peek_kill), &p);
}

int hr_kern_conn_shutdown(struct hr_kern *k, uint64_t cookie)
{
	struct hr_conn c;
	int e = hr_kern_conn_get(k, cookie, &c);

	if (e)
		return e;
	hr_kern_conn_kill(k, cookie);
	return kern_client_shutdown(c.pid, cookie);
}

/* A look costs 3 us; a wake-up a walk through the descriptors of a process. */
#define LOOKS 2048
#define WAKES 64

void hr_kern_wake_stalled(struct hr_kern *k)
{
	int fd = KERN_MAP_FD(k, conns), wakes = 0;
	uint64_t *key = k->stalled_at ? &k->stalled_at : NULL;

	for (int i = 0; i < LOOKS && wakes < WAKES; i++) {
		struct hr_peek p = {};

		if (bpf_map_get_next_key(fd, key, &p.cookie)) {
			k->stalled_at = 0; /* from the beginning, next time */
			return;
		}
		k->stalled_at = p.cookie;
		key = &k->stalled_at;
		if (peek(k, &p) || !p.stalled || hr_kern_conn_wake(k, p.cookie))
			continue;
		hr_kern_mishap(k, HR_MISHAP_WOKEN);
		wakes++;
	}
}

int hr_kern_conn_wake(struct hr_kern *k, uint64_t cookie)
{
	struct hr_conn c;
	int e = hr_kern_conn_get(k, cookie, &c);
	unsigned lowat = 0;
	socklen_t len = sizeof(lowat);

	if (e)
		return e;
	_cleanup_close_ int fd = kern_client_dup(c.pid, cookie);

	if (fd < 0)
		return fd;
	/* setting it, also to what it is, calls the socket's write-space hook */
	if (getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, &len) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat)))
		return -errno;
	return 0;
}

int hr_kern_conn_owes(struct hr_kern *k, uint64_t cookie, bool owes)
{
	struct hr_peek p = {.cookie = cookie, .owes = owes};

	return kern_peek(bpf_program__fd(k->skel->progs.peek_owes), &p);
}

/* ---- what was asked, what was answered ---- */

/* As much as a test packet may hold on every kernel, with what it begins with. */
#define PIECE 2048

/* Bytes from `from` on; gives the length of the request's head, or -errno. */
static int64_t piece(struct hr_kern *k, uint64_t cookie, uint32_t what, uint32_t from, char *to)
{
	struct {
		unsigned char ethernet[14]; /* what a test packet must begin with */
		struct {
			uint64_t cookie;
			uint32_t what, from, len, pad;
		} in; /* struct bytes_in of bpf/lib/conn.h */
		char bytes[PIECE];
	} __attribute__((packed)) packet = {.in = {cookie, what, from, 0, 0}};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &packet, .data_size_in = sizeof(packet),
		    .data_out = &packet, .data_size_out = sizeof(packet));

	if (bpf_prog_test_run_opts(bpf_program__fd(k->skel->progs.bytes_of), &opts))
		return -errno;
	if (opts.retval)
		return -ENOENT;
	memcpy(to, packet.bytes, PIECE);
	return packet.in.len;
}

int64_t hr_kern_conn_head(struct hr_kern *k, uint64_t cookie, char out[static HR_KHEAD_MAX])
{
	int64_t len = 0;

	for (uint32_t at = 0; len >= 0 && at < HR_KHEAD_MAX; at += PIECE)
		len = piece(k, cookie, 0, at, out + at);
	return len == 0 || len > HR_KHEAD_MAX ? -ENODATA : len;
}

int hr_kern_conn_held(struct hr_kern *k, uint64_t cookie, char out[static HR_KRESP_MAX])
{
	_Static_assert(PIECE >= HR_KRESP_MAX, "one piece");
	int64_t r = piece(k, cookie, 1, 0, out);

	return r < 0 ? (int)r : 0;
}
