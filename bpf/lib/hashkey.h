/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The key of consistentHash in a request head that scan.h accepted: the value of a header, a cookie
 * or a query parameter, and its hash. Finds what user/proxy/request/hash.c finds, or declines.
 */
#pragma once

#include "lib/hash.h"
#include "lib/scan.h"

enum hr_key_verdict {
	HR_KEY_FOUND = 0,
	HR_KEY_ABSENT,	 /* any endpoint will do */
	HR_KEY_DECLINED, /* for the agent */
};

/* Walks through "name=value" pairs. */
struct hr_key_walk {
	struct hr_scan *s;
	const char *name; /* zero padded to HR_HNAME_MAX */
	__u32 name_len;
	__u32 at, end;
	__u32 value; /* where it begins, 0: not found yet */
	__u8 sep;    /* ';' of cookies, '&' of a query */
	__u8 starts; /* a pair begins at `at` */
};

HR_INLINE int hr_key_here(const struct hr_key_walk *w)
{
	const __u8 *have = w->s->buf + hr_bound(w->at, HR_KHEAD_MASK);

	if (w->at + w->name_len >= w->end ||
	    w->s->buf[hr_bound(w->at + w->name_len, HR_KHEAD_MASK)] != '=')
		return 0;
	HR_UNROLL
	for (__u32 j = 0; j < HR_HNAME_MAX; j += 8) {
		__u64 in = w->name_len > j ? hr_w_below(w->name_len - j) : 0;

		if ((hr_w8(have + j) ^ hr_w8(w->name + j)) & in)
			return 0;
	}
	return 1;
}

static long hr_key_step(__u32 i, void *ctx)
{
	struct hr_key_walk *w = ctx;
	__u64 sep, word;

	(void)i;
	if (w->at >= w->end)
		return 1;
	if (w->starts) {
		if (w->sep == ';' && w->s->buf[hr_bound(w->at, HR_KHEAD_MASK)] == ' ') {
			w->at++;
			return 0;
		}
		w->starts = 0;
		if (hr_key_here(w)) {
			w->at += w->name_len + 1;
			w->value = w->at;
			return 0;
		}
	}
	word = hr_w8(w->s->buf + hr_bound(w->at, HR_KHEAD_MASK)) & HR_W_LOW7;
	sep = hr_w_eq(word, w->sep) & hr_w_below(w->end - w->at);
	if (!sep) {
		w->at += 8;
		return 0;
	}
	w->at += hr_w_first(sep);
	if (w->value) {
		w->end = w->at;
		return 1;
	}
	w->at++;
	w->starts = 1;
	return 0;
}

struct hr_key_hash {
	struct hr_scan *s;
	__u64 h;
	__u32 at, end;
};

static long hr_key_word(__u32 i, void *ctx)
{
	struct hr_key_hash *k = ctx;
	__u32 at = k->at + i * 8;

	k->h = hr_hash_word(k->h, hr_w8(k->s->buf + hr_bound(at, HR_KHEAD_MASK)) &
					  hr_w_below(k->end - at));
	return 0;
}

HR_INLINE int hr_key_value(struct hr_scan *s, __u32 at, __u32 end, __u64 *hash)
{
	struct hr_key_hash k = {.s = s, .h = HR_HASH_START, .at = at, .end = end};
	__u32 len = end - at;

	if (len > HR_HASH_VALUE_MAX)
		return HR_KEY_DECLINED;
	hr_each((len + 7) / 8, hr_key_word, &k);
	*hash = hr_hash_end(k.h, len);
	return HR_KEY_FOUND;
}

/* In buf[at .. end). */
HR_INLINE int hr_key_pair(struct hr_scan *s, __u32 at, __u32 end, __u8 sep, const char *name,
			  __u32 name_len, __u64 *hash)
{
	struct hr_key_walk w = {.s = s,
				.name = name,
				.name_len = name_len,
				.at = at,
				.end = end,
				.sep = sep,
				.starts = 1};

	if (end - at > HR_HASH_LOOK_MAX)
		return HR_KEY_DECLINED;
	/* a step for each byte at most: blanks */
	hr_each(HR_HASH_LOOK_MAX, hr_key_step, &w);
	if (!w.value)
		return HR_KEY_ABSENT;
	if (sep == ';' && w.end - w.value >= 2 && s->buf[hr_bound(w.value, HR_KHEAD_MASK)] == '"' &&
	    s->buf[hr_bound(w.end - 1, HR_KHEAD_MASK)] == '"') {
		w.value++;
		w.end--;
	}
	return hr_key_value(s, w.value, w.end, hash);
}

/* The value of the only header of that name. */
HR_INLINE int hr_key_header(struct hr_scan *s, const char *name, __u32 name_len, __u32 *at,
			    __u32 *end)
{
	__u32 found = hr_scan_find(s, name, name_len);
	const struct hr_scan_line *l = &s->line[hr_bound(s->found, HR_SCAN_LINES - 1)];

	if (!found)
		return HR_KEY_ABSENT;
	*at = l->value_off;
	*end = l->value_off + l->value_len;
	return found > 1 ? HR_KEY_DECLINED : HR_KEY_FOUND;
}

/* enum hr_key_verdict. `name` as in struct hr_cluster. Not for HR_HASH_SOURCE_IP. */
HR_INLINE int hr_key_find(struct hr_scan *s, __u32 kind, const char *name, __u32 name_len,
			  __u64 *hash)
{
	static const char cookie[HR_HNAME_MAX] = "cookie";
	__u32 at = 0, end = 0;
	int r;

	if (kind == HR_HASH_QUERY)
		return s->has_query ? hr_key_pair(s, s->query_off, s->query_off + s->query_len, '&',
						  name, name_len, hash)
				    : HR_KEY_ABSENT;
	if (kind == HR_HASH_COOKIE) {
		r = hr_key_header(s, cookie, 6, &at, &end);
		return r ? r : hr_key_pair(s, at, end, ';', name, name_len, hash);
	}
	r = hr_key_header(s, name, name_len, &at, &end);
	return r ? r : hr_key_value(s, at, end, hash);
}
