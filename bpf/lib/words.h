/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Eight bytes at a time, for the scanners of HTTP heads, in BPF and in user space.
 *
 * A "mask" has 0x80 in each byte that satisfies a condition and 0 elsewhere. The tests take bytes
 * below 0x80 (callers clear or refuse the others) and are exact: no borrow or carry leaves a byte.
 * Little-endian only: the first byte of the text is the lowest.
 */
#pragma once

#include "headrace/abi.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words.h assumes a little-endian machine"
#endif

#define HR_W_ONES 0x0101010101010101ULL
#define HR_W_LOW7 0x7f7f7f7f7f7f7f7fULL
#define HR_W_HIGH 0x8080808080808080ULL
#define HR_W_REP(c) (HR_W_ONES * (__u8)(c))

/* Text of at most eight bytes as a word; shorter texts are zero padded. */
#define HR_W_AT(s, i) ((i) < sizeof(s) - 1 ? (__u64)(__u8)(s)[(i)] << (8 * (i)) : 0)
#define HR_W(s)                                                                          \
	(HR_W_AT(s, 0) | HR_W_AT(s, 1) | HR_W_AT(s, 2) | HR_W_AT(s, 3) | HR_W_AT(s, 4) | \
	 HR_W_AT(s, 5) | HR_W_AT(s, 6) | HR_W_AT(s, 7))

#ifdef __clang__
#define HR_UNROLL _Pragma("clang loop unroll(full)")
#else
#define HR_UNROLL _Pragma("GCC unroll 8")
#endif

#ifdef __bpf__
#define HR_INLINE static __always_inline
/* One global copy in a linked object: verified once, and apart from its callers. */
#define HR_SCAN_GLOBAL __weak __attribute__((noinline))
/* Plain loads: memcpy would be split into bytes, BPF maps may be read unaligned. */
#define hr_w8(p) (*(const volatile __u64 *)(p))
#define hr_w4(p) (*(const volatile __u32 *)(p))
#define hr_w2(p) (*(const volatile __u16 *)(p))
#define hr_w8_zero(p) (*(volatile __u64 *)(p) = 0)
/* The compiler must not replace the index that was masked by a copy that was not (DESIGN trap 20).
 */
#define hr_bound(x, mask)                    \
	({                                   \
		__u32 _b = (x);              \
		asm volatile("" : "+r"(_b)); \
		_b &= (mask);                \
		asm volatile("" : "+r"(_b)); \
		_b;                          \
	})
#define hr_each(n, fn, ctx) bpf_loop((n), (fn), (ctx), 0)
#else
#define HR_INLINE static inline __attribute__((always_inline))
#define HR_SCAN_GLOBAL static __attribute__((unused))
#define hr_w8(p)                               \
	({                                     \
		__u64 _v;                      \
		__builtin_memcpy(&_v, (p), 8); \
		_v;                            \
	})
#define hr_w4(p)                               \
	({                                     \
		__u32 _v;                      \
		__builtin_memcpy(&_v, (p), 4); \
		_v;                            \
	})
#define hr_w2(p)                               \
	({                                     \
		__u16 _v;                      \
		__builtin_memcpy(&_v, (p), 2); \
		_v;                            \
	})
#define hr_w8_zero(p) __builtin_memset((p), 0, 8)
#define hr_bound(x, mask) ((__u32)(x) & (mask))
HR_INLINE void hr_each(__u32 n, long (*fn)(__u32, void *), void *ctx)
{
	for (__u32 i = 0; i < n; i++)
		if (fn(i, ctx))
			break;
}
#endif

HR_INLINE __u64 hr_w_eq(__u64 w7, __u8 c)
{
	return ~((w7 ^ HR_W_REP(c)) + HR_W_LOW7) & HR_W_HIGH;
}

/* Bytes >= c; 0 < c < 0x80. */
HR_INLINE __u64 hr_w_ge(__u64 w7, __u8 c)
{
	return (w7 + HR_W_REP(0x80 - c)) & HR_W_HIGH;
}

/* Bytes in lo .. hi. */
HR_INLINE __u64 hr_w_in(__u64 w7, __u8 lo, __u8 hi)
{
	return hr_w_ge(w7, lo) & ~hr_w_ge(w7, hi + 1);
}

HR_INLINE __u64 hr_w_alpha(__u64 w7)
{
	return hr_w_in(w7 | HR_W_REP(0x20), 'a', 'z');
}

/* A-Z to a-z, other bytes as they are. */
HR_INLINE __u64 hr_w_lower(__u64 w7)
{
	return w7 | hr_w_in(w7, 'A', 'Z') >> 2;
}

/* Index of the first byte of a mask that is not 0 (BPF has no count-trailing-zeros). */
HR_INLINE __u32 hr_w_first(__u64 mask)
{
	__u64 low = mask & -mask;

	return (__u32)((((low - 1) & HR_W_ONES) * HR_W_ONES) >> 56) - 1;
}

/* All bits of the first n bytes; n up to 8. */
HR_INLINE __u64 hr_w_below(__u32 n)
{
	return n >= 8 ? ~0ULL : (1ULL << (8 * n)) - 1;
}

/* Are the first n bytes decimal digits; 0 < n <= 8. */
HR_INLINE int hr_w_digits(__u64 w, __u32 n)
{
	return !(~hr_w_in(w & HR_W_LOW7, '0', '9') & HR_W_HIGH & hr_w_below(n)) &&
	       !(w & HR_W_HIGH & hr_w_below(n));
}

/* Their value: neighbours are added up in pairs, three times. */
HR_INLINE __u64 hr_w_decimal(__u64 w, __u32 n)
{
	w = (w & hr_w_below(n)) & HR_W_REP(0x0f);
	w <<= (8 - n) * 8 & 63; /* as if zeros stood before it */
	w = (w * 10) + (w >> 8);
	return (((w & 0x000000ff000000ffULL) * 0x000f424000000064ULL) +
		(((w >> 16) & 0x000000ff000000ffULL) * 0x0000271000000001ULL)) >>
	       32;
}
