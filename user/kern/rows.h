/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plan as rows of the kernel's tables, in user space: what the tables hold now and what they
 * should hold are two values of struct hr_rows; apply.c writes the difference.
 *
 * Rows that requests match with are keyed by a number (`table` of a vhost) which is drawn anew for
 * every version and never again: they can be written before anything leads to them, and deleted
 * late. Who gets a cluster's requests is no row: plan/balance/tables.h.
 */
#pragma once

#include "core/arena.h"
#include "core/map.h"
#include "kern/kern.h"

/* Match rows of one version of a vhost; shared by the versions of the rows that keep it. */
struct kern_table {
	int refs;
	uint32_t number;
	uint64_t hash; /* of everything below and of the vhost element */
	uint32_t nblocks, nconds, nprefixes, nrules;
	struct hr_cond_key *cond_keys;	   /* with the number in */
	struct hr_prefix_key *prefix_keys; /* with the number in */
	uint32_t nedits;
	struct hr_edit_key *edit_keys; /* with the number in */
	struct hr_edit *edits;
};

struct kern_vhost {
	struct hr_vhost value; /* with the number in */
	struct kern_table *table;
	bool fresh;			  /* the table's rows have still to be written */
	struct hr_rule *rules;		  /* [table->nrules] */
	const struct hr_plan_vhost *plan; /* until the rows are written; then NULL */
};

struct hr_rows {
	struct hr_arena *arena;
	struct hr_map *vips;	 /* struct hr_vip_key -> struct hr_vip */
	struct hr_map *splits;	 /* uint32_t route id -> struct hr_split */
	struct hr_map *names;	 /* struct hr_vhost_key -> uint32_t vhost id */
	struct hr_map *vhosts;	 /* uint32_t -> struct kern_vhost */
	struct hr_map *clusters; /* uint32_t -> struct hr_cluster */
	struct hr_map *members;	 /* struct hr_member_key -> uint32_t endpoint id */
	struct hr_map *addrs;	 /* uint32_t -> struct hr_ep_addr */
	struct hr_map *routes;	 /* uint32_t -> itself: route ids in use */
	bool reply_used[HR_REPLIES_MAX];
};

/* Replies stay in their places for good: contents are few, and a place is given to another only
 * when nothing has named it for a grace time. */
struct kern_replies {
	struct hr_reply at[HR_REPLIES_MAX];
	uint64_t free_at[HR_REPLIES_MAX]; /* monotonic ms from which another may have the place */
	bool dirty[HR_REPLIES_MAX];	  /* has still to be written */
};

struct kern_numbers {
	uint32_t table; /* the last one given */
};

/* Well-known replies into their places, dirty. */
void kern_replies_init(struct kern_replies *r);
/* The place of a reply with this body, HR_NONE when it does not fit or no place is free. `type`:
 * text/plain is said when there is a body. */
uint32_t kern_reply_place(struct kern_replies *r, struct hr_rows *rows, unsigned status,
			  const char *body, size_t len, uint64_t now_ms);

struct hr_rows *kern_rows_build(const struct hr_plan *plan, const struct hr_rows *old,
				struct kern_numbers *numbers, struct kern_replies *replies,
				uint64_t now_ms);
/* Rows of an endpoint, into the maps of `r`; those that are there are replaced. */
void kern_rows_endpoint(struct hr_rows *r, const struct hr_plan_cluster *c,
			const struct hr_plan_ep *ep);
struct hr_member_key kern_member_key(const struct hr_plan_cluster *c, const struct hr_plan_ep *ep);
struct hr_ep_addr kern_ep_addr(const struct hr_plan_ep *ep);
struct hr_vip_key kern_vip_key(const struct hr_plan_vip *v);
/* Where connect() leads what goes to this address; 0: nowhere, or as its split says. */
uint32_t kern_vip_cluster(const struct hr_plan *plan, const struct hr_plan_vip *v);
void kern_rows_free(struct hr_rows *r);
void kern_table_unref(struct kern_table *t);
