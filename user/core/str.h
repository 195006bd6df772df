/* SPDX-License-Identifier: Apache-2.0 */
/* Growing string, slices, and the few string questions that everybody asks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NUL-terminated after the first append; data is NULL when nothing was appended. */
struct hr_strbuf {
	char *data;
	size_t len, cap;
};
void hr_sb_add(struct hr_strbuf *sb, const char *s);
void hr_sb_addn(struct hr_strbuf *sb, const void *p, size_t n);
void hr_sb_addc(struct hr_strbuf *sb, char c);
void hr_sb_printf(struct hr_strbuf *sb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void hr_sb_free(struct hr_strbuf *sb);
const char *hr_sb_str(const struct hr_strbuf *sb); /* "" when empty */
#define _cleanup_sb_ _cleanup_(hr_sb_free)

/* A view into somebody else's bytes; not NUL-terminated. */
struct hr_slice {
	const char *p;
	size_t n;
};
#define HR_SLICE(lit) ((struct hr_slice){(lit), sizeof(lit) - 1})
struct hr_slice hr_slice_of(const char *s); /* NULL gives {NULL, 0} */
bool hr_slice_eq(struct hr_slice a, struct hr_slice b);
bool hr_slice_ieq(struct hr_slice a, struct hr_slice b); /* ASCII case */
bool hr_slice_starts(struct hr_slice s, struct hr_slice prefix);

bool hr_streq(const char *a, const char *b); /* NULL equals only NULL */
bool hr_starts(const char *s, const char *prefix);
bool hr_ends(const char *s, const char *suffix);
/* Whole string, base 10, no sign, no blanks. 0 or -EINVAL, -ERANGE. */
int hr_parse_u64(const char *s, uint64_t max, uint64_t *out);
/* The candidate nearest to s (edit distance <= 1/3 of its length), NULL when none is near. */
const char *hr_nearest(const char *s, const char *const *candidates, size_t n);
/* Writes s as a JSON string with quotes; bytes that are no UTF-8 become \ufffd. */
void hr_sb_json(struct hr_strbuf *sb, const char *s, size_t n);
