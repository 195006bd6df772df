// SPDX-License-Identifier: Apache-2.0
/* Is a text fit for the YAML reader: UTF-8, no NUL, no control characters; and where it is not. */
#include <errno.h>
#include <string.h>

#include "model/tree.h"

/* Bytes of the UTF-8 sequence at p, 0 when there is none (also for overlong and surrogates). */
static size_t utf8_len(const unsigned char *p, size_t n)
{
	static const struct {
		unsigned char first_lo, first_hi, second_lo, second_hi, len;
	} rows[] = {
		/* Unicode table 3-7, well-formed byte sequences */
		{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
		{0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
		{0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	if (p[0] < 0x80)
		return 1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (p[0] < rows[i].first_lo || p[0] > rows[i].first_hi)
			continue;
		if (n < rows[i].len || p[1] < rows[i].second_lo || p[1] > rows[i].second_hi)
			return 0;
		for (size_t k = 2; k < rows[i].len; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return rows[i].len;
	}
	return 0;
}

/* The name of the encoding that the first bytes betray, NULL for UTF-8. */
static const char *foreign_encoding(const unsigned char *p, size_t n)
{
	if (n >= 4 && (!memcmp(p, "\xff\xfe\0\0", 4) || !memcmp(p, "\0\0\xfe\xff", 4)))
		return "UTF-32";
	if (n >= 2 && (!memcmp(p, "\xff\xfe", 2) || !memcmp(p, "\xfe\xff", 2)))
		return "UTF-16";
	if (n >= 2 && (!p[0] != !p[1]))
		return "UTF-16";
	return NULL;
}

int hr_text_check(const char *file, const char *bytes, size_t n, struct hr_diags *diags,
		  size_t *start)
{
	const unsigned char *p = (const unsigned char *)bytes;
	struct hr_pos pos = {file, 1, 1};
	const char *enc = foreign_encoding(p, n);
	size_t i = n >= 3 && !memcmp(p, "\xef\xbb\xbf", 3) ? 3 : 0;
	size_t begin = i;

	if (enc) {
		hr_diag_add(diags, HR_SEV_ERROR, pos, "encoding", NULL, "",
			    "the file is %s; save it as UTF-8", enc);
		return -EINVAL;
	}
	while (i < n) {
		size_t len = utf8_len(p + i, n - i);
		const char *what = NULL;

		if (!len)
			what = "is not UTF-8";
		else if (!p[i])
			what = "is NUL: this is not a text file";
		else if ((p[i] < 0x20 && !strchr("\t\n\r", p[i])) || p[i] == 0x7f)
			what = "is a control character";
		if (what) {
			hr_diag_add(diags, HR_SEV_ERROR, pos, "encoding", NULL, "",
				    "byte 0x%02x %s", p[i], what);
			return -EINVAL;
		}
		if (p[i] == '\n' || (p[i] == '\r' && !(i + 1 < n && p[i + 1] == '\n'))) {
			pos.line++;
			pos.col = 1;
		} else {
			pos.col++;
		}
		i += len;
	}
	*start = begin;
	return 0;
}
