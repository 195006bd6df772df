/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/* What match.h works on and needs no hook: the scratch struct, the copy of a value, bit search. */
#pragma once

#include "headrace/abi.h"

#ifdef __bpf__
#define HR_M_INLINE static __attribute__((always_inline, unused))
/* The compiler must not test one copy of a value and use another (DESIGN trap 20). */
#define HR_M_OPAQUE(x) asm volatile("" : "+r"(x))
#define HR_M_UNROLL _Pragma("clang loop unroll(full)")
#else
#define HR_M_INLINE static inline __attribute__((unused))
#define HR_M_OPAQUE(x) asm("" : "+r"(x))
#define HR_M_UNROLL
#endif

enum {
	HR_MATCH_NO_RULE = -1, /* no rule of the block (of the vhost) matches */
	HR_MATCH_BROKEN = -2,  /* a block is missing: not sure of anything, bind */
};

struct hr_match_scratch {
	struct hr_bits acc; /* rules of the block that are still possible */
	/* Both keys at once: they differ only in what stands before `table`, and in the byte that
	 * is the length in one and zero in the other. */
	union {
		struct {
			__u32 pad_prefix;
			struct hr_prefix_key prefix;
		};
		struct {
			__u32 pad_exact[2];
			struct hr_cond_key exact;
		};
	};
};
HR_ASSERT_SIZE(struct hr_match_scratch, sizeof(struct hr_bits) + 80);
_Static_assert(__builtin_offsetof(struct hr_match_scratch, prefix.value) ==
		       __builtin_offsetof(struct hr_match_scratch, exact.value),
	       "one value");
_Static_assert(__builtin_offsetof(struct hr_match_scratch, prefix.pad) ==
		       __builtin_offsetof(struct hr_match_scratch, exact.len),
	       "one length");

/* Absent rows point here, so that the words are combined without a branch. */
static const struct hr_cond hr_match_no_row;

/*
 * Copies the first HR_COND_MAX bytes of a value and zeroes the rest, in wide loads without a
 * branch. dst is aligned to 8. HR_COND_MAX bytes from src must be readable (HR_KHEAD_SLACK).
 */
HR_M_INLINE void hr_match_load(char *dst, const char *src, __u32 len)
{
	_Static_assert(HR_KHEAD_SLACK >= HR_COND_MAX, "a load at the end of the head stays inside");

	HR_M_UNROLL
	for (__u32 i = 0; i < HR_COND_MAX / 8; i++) {
		__s64 n = (__s64)len - i * 8, over;
		__u64 word;

		n &= ~(n >> 63); /* n = max(n, 0) */
		HR_M_OPAQUE(n);
		over = n - 8;
		HR_M_OPAQUE(over);
		n = 8 + (over & (over >> 63)); /* n = min(n, 8) */
		HR_M_OPAQUE(n);
		__builtin_memcpy(&word, src + i * 8, 8);
		/* two shifts, because one by 64 is undefined */
		word &= ((1ULL << (n * 4 & 63)) << (n * 4 & 63)) - 1;
		__builtin_memcpy(dst + i * 8, &word, 8);
	}
}

/* Index of the lowest set bit; x is not 0. By multiplication with a de Bruijn sequence: BPF has
 * no such instruction, and a chain of tests would be 64 paths for the verifier. */
HR_M_INLINE __u32 hr_match_ctz(__u64 x)
{
	static const __u8 place[64] = {0,  1,  2,  53, 3,  7,  54, 27, 4,  38, 41, 8,  34,
				       55, 48, 28, 62, 5,  39, 46, 44, 42, 22, 9,  24, 35,
				       59, 56, 49, 18, 29, 11, 63, 52, 6,  26, 37, 40, 33,
				       47, 61, 45, 43, 21, 23, 58, 17, 10, 51, 25, 36, 32,
				       60, 20, 57, 16, 50, 31, 19, 15, 30, 14, 13, 12};
	__u64 i = ((x & -x) * 0x022fdd63cc95386dULL) >> 58;

	return place[i & 63];
}

/* First rule in a set, HR_MATCH_NO_RULE when it is empty. */
HR_M_INLINE int hr_match_first(const struct hr_bits *b)
{
	HR_M_UNROLL
	for (__u32 w = 0; w < HR_BLOCK_WORDS; w++)
		if (b->w[w])
			return w * 64 + hr_match_ctz(b->w[w]);
	return HR_MATCH_NO_RULE;
}
