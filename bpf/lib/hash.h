/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/*
 * The hash of consistentHash keys: one text for the kernel and the agent, because a key must go to
 * the same endpoint whoever carries the request. Eight bytes a step; not for secrets.
 *
 *	h = HR_HASH_START;
 *	h = hr_hash_word(h, next eight bytes, the last ones zero padded) ...
 *	h = hr_hash_end(h, length);
 */
#pragma once

#include "lib/words.h"

#define HR_HASH_START 0xcbf29ce484222325ULL

HR_INLINE __u64 hr_hash_word(__u64 h, __u64 w)
{
	h = (h ^ w) * 0x9fb21c651e98df25ULL;
	return h ^ h >> 32;
}

/* The finalizer of MurmurHash3: keys that differ in one bit are no neighbours. */
HR_INLINE __u64 hr_hash_end(__u64 h, __u64 len)
{
	h ^= len;
	h = (h ^ h >> 33) * 0xff51afd7ed558ccdULL;
	h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 33;
}

/* Slot of a hash, or of a random number in the upper half: 0 .. n - 1, each for a range of equal
 * length. */
HR_INLINE __u32 hr_hash_slot(__u64 h, __u32 n)
{
	return (__u32)((h >> 32) * n >> 32);
}
