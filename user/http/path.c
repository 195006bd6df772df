// SPDX-License-Identifier: Apache-2.0
/* Canonical paths: see path.h. The order is Envoy's: escapes, dot segments, then slashes. */
#include <errno.h>
#include <string.h>

#include "headrace/limits.h"
#include "http/bytes.h"
#include "http/path.h"

static bool unreserved(uint8_t c)
{
	return hr_is_alpha(c) || hr_is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/* Value of the escape at s[i], -1 when it is none or hides a control byte. */
static int escape(struct hr_slice s, size_t i)
{
	int hi = i + 2 < s.n ? hr_hex(s.p[i + 1]) : -1, lo = i + 2 < s.n ? hr_hex(s.p[i + 2]) : -1;
	int v = hi * 16 + lo;

	return hi < 0 || lo < 0 || v < 0x20 || v == 0x7f ? -1 : v;
}

/* Escapes decoded as far as `norm` says, '\' turned; the bytes checked. */
static int decode(struct hr_slice s, enum hr_path_norm norm, char *out, size_t *len)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		int v;

		if (!hr_is_vchar(c) || c == '#' || c == '?')
			return -EINVAL;
		if (c == '\\' && norm != HR_PATH_NONE)
			c = '/';
		if (c == '%') {
			v = escape(s, i);
			if (v < 0)
				return -EINVAL;
			if (norm == HR_PATH_DECODE_AND_MERGE_SLASHES && (v == '/' || v == '\\')) {
				c = '/';
				i += 2;
			} else if (norm != HR_PATH_NONE && unreserved(v)) {
				c = v;
				i += 2;
			}
		}
		out[n++] = c;
	}
	*len = n;
	return 0;
}

/* Length of the part of s before an escaped slash or backslash, or all of it. */
static size_t part(const char *s, size_t n)
{
	for (size_t i = 0; i + 2 < n; i++)
		if (s[i] == '%' && ((s[i + 1] == '2' && hr_lower(s[i + 2]) == 'f') ||
				    (s[i + 1] == '5' && hr_lower(s[i + 2]) == 'c')))
			return i;
	return n;
}

static bool dots(const char *s, size_t n)
{
	return (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.');
}

/* A dot segment for servers that cut at ';' or decode %2F, an ordinary one for others. */
static bool ambiguous(const char *s, size_t n)
{
	for (size_t at = 0, len; at <= n; at += len + 3) {
		const char *semi;

		len = part(s + at, n - at);
		semi = memchr(s + at, ';', len);
		if (dots(s + at, semi ? (size_t)(semi - s - at) : len))
			return true;
		if (at + len >= n)
			break;
	}
	return false;
}

/* RFC 3986 section 5.2.4 on p[0 .. n), which starts with '/'. In place. */
static int remove_dots(char *p, size_t n, size_t *len)
{
	size_t out = 0, from = 0;

	while (from < n) {
		const char *seg = p + from + 1;
		const char *slash = memchr(seg, '/', n - from - 1);
		size_t seg_n = slash ? (size_t)(slash - seg) : n - from - 1;
		bool last = !slash;

		from += 1 + seg_n;
		if (dots(seg, seg_n)) {
			if (seg_n == 2)
				while (out && p[--out] != '/')
					;
			if (last)
				p[out++] = '/';
			continue;
		}
		if (ambiguous(seg, seg_n))
			return -EINVAL;
		p[out++] = '/';
		memmove(p + out, seg, seg_n);
		out += seg_n;
	}
	*len = out;
	return 0;
}

static size_t merge(char *p, size_t n)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++)
		if (p[i] != '/' || !out || p[out - 1] != '/')
			p[out++] = p[i];
	return out;
}

int hr_path_canon(struct hr_slice path, enum hr_path_norm norm, char *out, size_t *len)
{
	size_t n;

	if (!path.n || path.n > HR_HEAD_MAX || decode(path, norm, out, &n) < 0 || out[0] != '/')
		return -EINVAL;
	if (norm != HR_PATH_NONE && remove_dots(out, n, &n) < 0)
		return -EINVAL;
	if (norm == HR_PATH_MERGE_SLASHES || norm == HR_PATH_DECODE_AND_MERGE_SLASHES)
		n = merge(out, n);
	*len = n;
	return 0;
}

bool hr_path_is_canonical(struct hr_slice path, enum hr_path_norm norm)
{
	char out[HR_HEAD_MAX];
	size_t n;

	return path.n <= sizeof(out) && hr_path_canon(path, norm, out, &n) == 0 && n == path.n &&
	       !memcmp(out, path.p, n);
}
