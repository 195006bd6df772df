/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The end of a moved answer, whoever hands it to C: the verdict on U, or its server on this node.
 */
#pragma once

#include "lib/ending.h"
#include "lib/watch.h"

/* The whole answer is here: the slot is free again, unless its connection is of no more use. */
static __always_inline int moved_done(struct hr_u *u, __u32 slot, struct conn *c)
{
	__u32 gen = HR_WORD_GEN(u->word), ep = u->ep, cluster = u->cluster;
	struct done d = {
		.cookie = u->conn,
		.t0 = u->t0,
		.now = bpf_ktime_get_ns(),
		.tx = u->tx,
		.rx = c->rx,
		.route = u->route,
		.ep = ep,
		.addr_id = u->addr_id,
		.status = c->status,
		.why = HR_WHY_MOVED,
	};
	int cut = carried_left(c, u_write_seq(slot)) != 0;
	int dead = c->resp.close || cut || !u->uses;

	if (cut)
		c->cut = 1;
	watch_end(c);
	c->pub.owed = 0;
	stall();
	u->conn = 0; /* until the next owner has entered itself, what comes is nobody's */
	u->t0 = d.now;
	if (!word_swap(&u->word, HR_WORD(HR_U_BUSY, gen),
		       HR_WORD(dead ? HR_U_DEAD : HR_U_FREE, gen)))
		return -1;
	inflight_lower(ep, cluster);
	request_done(&d, c);
	end_begin(c, d.cookie, d.now);
	if (dead)
		event_slot(HR_EV_U_DIRTY, d.cookie, slot, gen, 0);
	return 0;
}
