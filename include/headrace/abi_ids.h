/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/*
 * ids: which name has which id. No program reads it; it is pinned beside the tables whose rows are
 * known by those ids, so that the agent that comes after a killed one calls everything as it did
 * (user/plan/compile/ids.h).
 */
#pragma once

#include "abi.h"

enum hr_id_kind {
	HR_ID_KEY = 0, /* one row, place 0: the key of the digests, random, in `digest` */
	HR_ID_VHOST,
	HR_ID_ROUTE,
	HR_ID_CLUSTER,
	HR_ID_EP,
	HR_ID_ADDR,
	HR_ID_CONNS,
	HR_ID_AUTO_VIP,
	HR_ID_KINDS
};

/* A place of its table has one row, that of the name which had it last. */
struct hr_id_key {
	__u32 kind;  /* enum hr_id_kind */
	__u32 place; /* below HR_EPS_MAX */
};
HR_ASSERT_SIZE(struct hr_id_key, 8);

struct hr_id_row {
	__u64 digest[2]; /* SipHash of '0' and the name, of '1' and the name */
	__u32 id;	 /* the place, and how often it was given away */
	__u32 pad;
};
HR_ASSERT_SIZE(struct hr_id_row, 24);

#define HR_IDS_MAX (HR_ID_KINDS * HR_EPS_MAX)
