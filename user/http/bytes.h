/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of bytes in HTTP/1 (RFC 9110 section 5.6), shared by heads, bodies and paths. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

static inline bool hr_is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static inline bool hr_is_alpha(uint8_t c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static inline uint8_t hr_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* Value of a hexadecimal digit, -1 for other bytes. */
static inline int hr_hex(uint8_t c)
{
	if (hr_is_digit(c))
		return c - '0';
	c = hr_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline bool hr_is_tchar(uint8_t c)
{
	static const uint8_t other[128] = {
		['!'] = 1,  ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1,
		['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
		['^'] = 1,  ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1,
	};

	return hr_is_alpha(c) || hr_is_digit(c) || (c < 128 && other[c]);
}

/* VCHAR: visible ASCII. */
static inline bool hr_is_vchar(uint8_t c)
{
	return c > 0x20 && c < 0x7f;
}

/* What a field value or a reason phrase may hold: visible, blanks, obs-text. */
static inline bool hr_is_field_byte(uint8_t c)
{
	return (c >= 0x20 && c != 0x7f) || c == '\t';
}

static inline bool hr_is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}
