// SPDX-License-Identifier: Apache-2.0
/*
 * Other endpoints in the tables, as apply.c writes a plan, without looking at what is as it was:
 *
 *	1. addresses and members that are new, balancing tables beside those in use
 *	2. vips that connect() uses otherwise, then the tables, one word each
 *	3. members that went, at once: the next request of an open connection goes elsewhere
 *	4. after a grace time: addresses that nobody has any more
 */
#include <errno.h>
#include <string.h>

#include "core/cleanup.h"
#include "kern/apply.h"
#include "kern/internal.h"
#include "kern/txn.h"

struct change {
	struct hr_kern *k;
	struct hr_rows *rows; /* what the tables hold */
	const struct hr_plan *plan, *was;
	const struct hr_plan_changes *what;
	struct kern_txn txn;
};

#define for_each_ep(c, p, cluster, ep)                                                        \
	for (size_t i_ = 0; i_ < (c)->what->n_clusters; i_++)                                 \
		for (const struct hr_plan_cluster *                                           \
			     cluster = &(p)->clusters.data[(c)->what->clusters[i_]],          \
			    *once_ = cluster;                                                 \
		     once_; once_ = NULL)                                                     \
			for (const struct hr_plan_ep *ep = (p)->eps.data + cluster->first_ep; \
			     ep < (p)->eps.data + cluster->first_ep + cluster->n_eps; ep++)

static void *member_row(const struct change *c, const struct hr_plan_cluster *cl,
			const struct hr_plan_ep *ep)
{
	struct hr_member_key key = kern_member_key(cl, ep);

	return hr_map_get(c->rows->members, &key, sizeof(key));
}

/* Before a table is made of them. */
static void reset_new(struct change *c)
{
	for_each_ep(c, c->plan, cl, ep) if (!member_row(c, cl, ep)) kern_reset_ep(c->k, ep->id);
}

/* An address may be other endpoints' already, or wait for its deletion: its id names no other. */
static int put_new(struct change *c)
{
	int e = 0;

	for_each_ep(c, c->plan, cl, ep)
	{
		struct hr_member_key key = kern_member_key(cl, ep);
		struct hr_ep_addr addr = kern_ep_addr(ep);

		if (e || member_row(c, cl, ep))
			continue;
		e = kern_txn_put(&c->txn, c->k->skel->maps.addrs, &ep->addr_id, &addr,
				 hr_map_get(c->rows->addrs, &ep->addr_id, sizeof(ep->addr_id)));
		if (!e)
			e = kern_txn_put(&c->txn, c->k->skel->maps.members, &key, &ep->id, NULL);
	}
	return e;
}

static int put_vips(struct change *c)
{
	int e = 0;

	for (size_t i = 0; i < c->what->n_vips && !e; i++) {
		const struct hr_plan_vip *v = &c->plan->vips.data[c->what->vips[i]];
		struct hr_vip_key key = kern_vip_key(v);
		const struct hr_vip *have = hr_map_get(c->rows->vips, &key, sizeof(key));
		struct hr_vip now;

		if (!have)
			return -EOPNOTSUPP;
		now = *have;
		now.cluster = kern_vip_cluster(c->plan, v);
		e = kern_txn_put(&c->txn, c->k->skel->maps.vips, &key, &now, have);
	}
	return e;
}

/* ---- once it is in effect ---- */

static void note_new(struct change *c)
{
	for_each_ep(c, c->plan, cl, ep) if (!member_row(c, cl, ep))
		kern_rows_endpoint(c->rows, cl, ep);
	for (size_t i = 0; i < c->what->n_vips; i++) {
		const struct hr_plan_vip *v = &c->plan->vips.data[c->what->vips[i]];
		struct hr_vip_key key = kern_vip_key(v);
		struct hr_vip *have = hr_map_get(c->rows->vips, &key, sizeof(key));

		have->cluster = kern_vip_cluster(c->plan, v);
	}
}

static bool in_plan(const struct hr_plan *p, uint32_t ep)
{
	return ep < p->n_ep_by_id && p->ep_by_id[ep];
}

static bool has_addr(const struct hr_plan *p, uint32_t addr_id)
{
	for (size_t i = 0; i < p->eps.len; i++)
		if (p->eps.data[i].addr_id == addr_id)
			return true;
	return false;
}

static void take_out(struct change *c, uint64_t at)
{
	for_each_ep(c, c->was, cl, ep)
	{
		struct hr_member_key key = kern_member_key(cl, ep);

		if (in_plan(c->plan, ep->id))
			continue;
		bpf_map_delete_elem(KERN_MAP_FD(c->k, members), &key);
		hr_map_del(c->rows->members, &key, sizeof(key));
		if (has_addr(c->plan, ep->addr_id) ||
		    !hr_map_del(c->rows->addrs, &ep->addr_id, sizeof(ep->addr_id)))
			continue;
		kern_stale_key(c->k, c->k->skel->maps.addrs, offsetof(struct hr_rows, addrs),
			       &ep->addr_id, sizeof(ep->addr_id), at);
	}
}

int hr_kern_change(struct hr_kern *k, const struct hr_plan *plan, const struct hr_plan *was,
		   const struct hr_plan_changes *what, const char **failed)
{
	struct change c = {.k = k, .rows = k->apply->rows, .plan = plan, .was = was, .what = what};
	uint64_t now = kern_now_ms();
	int e;

	if (!c.rows)
		return -EOPNOTSUPP;
	kern_apply_tick(k, now);
	reset_new(&c);
	c.txn.failed = "slots";
	e = hr_tables_prepare_some(k->tables, plan, what->clusters, what->n_clusters, now);
	if (!e)
		e = put_new(&c);
	if (!e)
		e = put_vips(&c);
	if (e) {
		*failed = c.txn.failed;
		kern_txn_rollback(&c.txn);
		hr_tables_drop(k->tables, now);
		return e;
	}
	kern_txn_commit(&c.txn);
	hr_tables_flip_some(k->tables, plan, what->clusters, what->n_clusters, now);
	note_new(&c);
	take_out(&c, now + KERN_GRACE_MS);
	k->config.generation = (uint32_t)plan->generation;
	kern_write_config(k);
	return 0;
}
