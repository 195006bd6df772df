// SPDX-License-Identifier: Apache-2.0
/* Growing strings, slices, numbers, nearest words, JSON strings. */
#include "core/str.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/cleanup.h"
#include "core/vec.h"

static void reserve(struct hr_strbuf *sb, size_t more)
{
	if (sb->len + more + 1 > sb->cap)
		hr_vec_grow((void **)&sb->data, &sb->cap, sb->len + more + 1, 1);
}

void hr_sb_addn(struct hr_strbuf *sb, const void *p, size_t n)
{
	reserve(sb, n);
	if (n)
		memcpy(sb->data + sb->len, p, n);
	sb->len += n;
	sb->data[sb->len] = 0;
}

void hr_sb_add(struct hr_strbuf *sb, const char *s)
{
	hr_sb_addn(sb, s, strlen(s));
}

void hr_sb_addc(struct hr_strbuf *sb, char c)
{
	hr_sb_addn(sb, &c, 1);
}

void hr_sb_printf(struct hr_strbuf *sb, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n >= 0) {
		reserve(sb, (size_t)n);
		vsnprintf(sb->data + sb->len, (size_t)n + 1, fmt, again);
		sb->len += (size_t)n;
	}
	va_end(again);
}

void hr_sb_free(struct hr_strbuf *sb)
{
	free(sb->data);
	*sb = (struct hr_strbuf){0};
}

const char *hr_sb_str(const struct hr_strbuf *sb)
{
	return sb->data ? sb->data : "";
}

struct hr_slice hr_slice_of(const char *s)
{
	return s ? (struct hr_slice){s, strlen(s)} : (struct hr_slice){NULL, 0};
}

bool hr_slice_eq(struct hr_slice a, struct hr_slice b)
{
	return a.n == b.n && (!a.n || !memcmp(a.p, b.p, a.n));
}

bool hr_slice_ieq(struct hr_slice a, struct hr_slice b)
{
	return a.n == b.n && (!a.n || !strncasecmp(a.p, b.p, a.n));
}

bool hr_slice_starts(struct hr_slice s, struct hr_slice prefix)
{
	return s.n >= prefix.n && (!prefix.n || !memcmp(s.p, prefix.p, prefix.n));
}

bool hr_streq(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

bool hr_starts(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

bool hr_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && !memcmp(s + n - m, suffix, m);
}

int hr_parse_u64(const char *s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (!s || !*s)
		return -EINVAL;
	for (const char *p = s; *p; p++) {
		unsigned digit = (unsigned)(*p - '0');

		if (digit > 9)
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
			return -ERANGE;
	}
	if (v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

#define NEAR_MAX 64 /* longer words have no near ones: bounds the quadratic distance */

/* Optimal string alignment: a swap of neighbours counts as one edit. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	size_t d[3][NEAR_MAX + 1];

	for (size_t j = 0; j <= m; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *row = d[i % 3], *up = d[(i - 1) % 3], *up2 = d[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t cost = tolower(a[i - 1]) != tolower(b[j - 1]);

			row[j] = HR_MIN(HR_MIN(up[j] + 1, row[j - 1] + 1), up[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = HR_MIN(row[j], up2[j - 2] + 1);
		}
	}
	return d[n % 3][m];
}

const char *hr_nearest(const char *s, const char *const *candidates, size_t n)
{
	size_t len = strlen(s), best = HR_MAX(len / 3, (size_t)1) + 1;
	const char *found = NULL;

	if (len > NEAR_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t d;

		if (!candidates[i] || strlen(candidates[i]) > NEAR_MAX)
			continue;
		d = edit_distance(s, candidates[i]);
		if (d < best && d < len) {
			best = d;
			found = candidates[i];
		}
	}
	return found;
}

/* Length of the well-formed UTF-8 sequence at p (n bytes left), 0 when it is not one. */
static size_t utf8_len(const unsigned char *p, size_t n)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	uint32_t c;

	if (len == 1)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n < len)
		return 0;
	c = p[0] & (0x7f >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c >= least[len] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? len : 0;
}

void hr_sb_json(struct hr_strbuf *sb, const char *s, size_t n)
{
	hr_sb_addc(sb, '"');
	for (size_t i = 0; i < n;) {
		const unsigned char *p = (const unsigned char *)s + i;
		size_t len = utf8_len(p, n - i);

		if (!len)
			hr_sb_add(sb, "\\ufffd");
		else if (*p == '"' || *p == '\\')
			hr_sb_printf(sb, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			hr_sb_printf(sb, "\\u%04x", *p);
		else
			hr_sb_addn(sb, p, len);
		i += len ? len : 1;
	}
	hr_sb_addc(sb, '"');
}
