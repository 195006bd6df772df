// SPDX-License-Identifier: Apache-2.0
/* How a connection leaves the data path alive. */
#include "kern/leave.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "kern/clients.h"

int kern_leave_conn(const struct kern_leave *l, uint64_t cookie, struct hr_conn *out)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	if (l->conns < 0 || bpf_obj_get_info_by_fd(l->conns, &info, &len) ||
	    info.value_size < sizeof(*out))
		return -ENOENT;
	_cleanup_free_ char *value = malloc(info.value_size);

	if (!value || bpf_map_lookup_elem(l->conns, &cookie, value))
		return -ENOENT;
	memcpy(out, value, sizeof(*out));
	return 0;
}

/* Its bytes are with the agent: a BOUND that the agent has let go of is native (lazy release). */
static bool bound(const struct kern_leave *l, const struct hr_conn *c)
{
	struct hr_g g;

	return c->state == HR_CONN_BOUND && l->g_tab >= 0 &&
	       !bpf_map_lookup_elem(l->g_tab, &c->slot, &g) && HR_G_STATE(g.word) == HR_G_BOUND &&
	       HR_G_GEN(g.word) == c->gen;
}

static enum kern_left look(const struct kern_leave *l, uint64_t cookie)
{
	struct hr_peek p = {.cookie = cookie};
	struct hr_conn c;
	bool idle;

	if (kern_leave_conn(l, cookie, &c))
		return KERN_LEFT;
	int e = l->peek < 0 ? -ENOENT : kern_peek(l->peek, &p);

	idle = e == -ENOENT || (!e && p.quiet && !p.queued);
	/* a TUNNEL is nobody's but its two ends': requests that may not be native do not matter */
	if ((c.state != HR_CONN_TUNNEL && (c.flags & HR_CONN_F_DEAD)) || c.state == HR_CONN_ENDED ||
	    bound(l, &c) || (c.state == HR_CONN_MOVED && !idle))
		return KERN_DEPENDENT;
	return idle ? KERN_LEFT : KERN_BUSY;
}

#define UNLOCK_TRIES 1000

/* A program that began before its socket left the sockhash still reads the entry: it runs under the
 * socket's lock, so it has ended once the lock was seen free. */
static void await_running(const struct kern_leave *l, uint64_t cookie)
{
	for (int i = 0; i < UNLOCK_TRIES; i++) {
		struct hr_peek p = {.cookie = cookie};

		if (l->peek < 0 || kern_peek(l->peek, &p) || p.drained)
			return;
	}
}

/* One without an entry is closed, or was shut down by us: its socket takes itself out when its
 * owner closes it, who may not have read the last answer yet. */
static void leave(const struct kern_leave *l, uint64_t cookie)
{
	struct hr_conn c;

	if (kern_leave_conn(l, cookie, &c))
		return;
	bpf_map_delete_elem(l->cl_hash, &cookie);
	await_running(l, cookie);
	bpf_map_delete_elem(l->heads, &cookie);
	if (!bpf_map_delete_elem(l->conns, &cookie) && l->conns_used)
		__atomic_fetch_sub(l->conns_used, 1, __ATOMIC_RELAXED);
}

/* A send may begin at any time. Once the connection is retired one passes as ordinary TCP; one that
 * was decided before shows in the second look. */
enum kern_left kern_leave_try(const struct kern_leave *l, uint64_t cookie)
{
	struct hr_peek p = {.cookie = cookie};
	enum kern_left how = look(l, cookie);

	if (how == KERN_LEFT && l->retire >= 0 && !kern_peek(l->retire, &p))
		how = look(l, cookie);
	if (how == KERN_LEFT)
		leave(l, cookie);
	return how;
}

void kern_leave_force(const struct kern_leave *l, uint64_t cookie)
{
	struct hr_peek p = {.cookie = cookie};
	enum kern_left how = look(l, cookie);
	struct hr_conn c;

	if (how == KERN_BUSY && l->retire >= 0 && !kern_peek(l->retire, &p))
		return;
	if (how == KERN_DEPENDENT && !kern_leave_conn(l, cookie, &c))
		kern_client_shutdown(c.pid, cookie);
	leave(l, cookie);
}
