// SPDX-License-Identifier: Apache-2.0
/* Scalars: kinds, numbers, durations, times, base64. */
#include "model/scalar.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "core/cleanup.h"

static bool is_word(const char *v, const char *const *words)
{
	for (; *words; words++)
		if (hr_streq(v, *words))
			return true;
	return false;
}

static const char *const true_words[] = {"true", "True", "TRUE", "yes", "Yes",
					 "YES",	 "on",	 "On",	 "ON",	NULL};
static const char *const false_words[] = {"false", "False", "FALSE", "no",  "No",
					  "NO",	   "off",   "Off",   "OFF", NULL};

/* [0-9][0-9_]*, with at least one digit; gives the first byte after it. */
static const char *skip_digits(const char *p)
{
	while (isdigit((unsigned char)*p) || *p == '_')
		p++;
	return p;
}

/* [-+]? then decimal, 0x, 0o or 0b digits with underscores */
static bool is_int(const char *v)
{
	const char *p = v + (*v == '-' || *v == '+');

	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'b' || p[1] == 'o')) {
		bool hex = p[1] == 'x';

		p += 2;
		if (!*p)
			return false;
		while (hex ? isxdigit((unsigned char)*p) || *p == '_' : isdigit((unsigned char)*p))
			p++;
		return !*p;
	}
	return isdigit((unsigned char)*p) && !*skip_digits(p);
}

static bool is_float(const char *v)
{
	static const char *const specials[] = {".inf", ".Inf", ".INF", ".nan",
					       ".NaN", ".NAN", NULL};
	const char *p = v + (*v == '-' || *v == '+');

	if (is_word(p, specials))
		return true;
	if (*p == '.' ? !isdigit((unsigned char)p[1]) : !isdigit((unsigned char)*p))
		return false;
	p = skip_digits(p);
	if (*p == '.')
		p = skip_digits(p + 1);
	if (*p == 'e' || *p == 'E') {
		p += 1 + (p[1] == '-' || p[1] == '+');
		if (!isdigit((unsigned char)*p))
			return false;
		p = skip_digits(p);
	}
	return !*p;
}

enum hr_scalar hr_scalar_kind(const struct hr_ynode *n)
{
	if (!n->plain)
		return HR_SCALAR_STRING;
	if (hr_node_is_null(n))
		return HR_SCALAR_NULL;
	if (is_word(n->value, true_words) || is_word(n->value, false_words))
		return HR_SCALAR_BOOL;
	if (is_int(n->value))
		return HR_SCALAR_INT;
	return is_float(n->value) ? HR_SCALAR_FLOAT : HR_SCALAR_STRING;
}

bool hr_scalar_bool(const struct hr_ynode *n)
{
	return is_word(n->value, true_words);
}

const char *hr_scalar_int(const struct hr_ynode *n, int64_t min, int64_t max, int64_t *out)
{
	const char *p = n->value + (*n->value == '-');
	long long v;
	char *end;

	if (n->type != HR_NODE_SCALAR || !n->plain)
		return "expected a number";
	switch (hr_scalar_kind(n)) {
	case HR_SCALAR_INT:
		break;
	case HR_SCALAR_FLOAT:
		return "expected a whole number, in plain decimal digits";
	default:
		return "expected a number";
	}
	if (!isdigit((unsigned char)*p) || (p[0] == '0' && p[1]) || strchr(p, '_'))
		return "ambiguous number: write it in plain decimal digits, without leading zero";
	errno = 0;
	v = strtoll(n->value, &end, 10);
	if (errno || *end || v < min || v > max)
		return "out of range";
	*out = v;
	return NULL;
}

const char *hr_scalar_double(const struct hr_ynode *n, double min, double max, double *out)
{
	enum hr_scalar kind = n->type == HR_NODE_SCALAR ? hr_scalar_kind(n) : HR_SCALAR_NULL;
	char *end;
	double v;

	if (kind != HR_SCALAR_INT && kind != HR_SCALAR_FLOAT)
		return "expected a number";
	errno = 0;
	v = strtod(n->value, &end);
	if (*end)
		return "ambiguous number: write it in plain decimal digits";
	if (errno || !isfinite(v) || v < min || v > max)
		return "out of range";
	*out = v;
	return NULL;
}

/* Nanoseconds of one unit at p; *len is the length of its name, 0 for none. */
static double duration_unit(const char *p, size_t *len)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {{"ns", 1},	  {"us", 1e3}, {"µs", 1e3}, {"μs", 1e3},
		     {"ms", 1e6}, {"s", 1e9},  {"m", 60e9}, {"h", 3600e9}};

	for (size_t i = 0; i < HR_ARRAY_SIZE(units); i++) {
		*len = strlen(units[i].name);
		if (!strncmp(p, units[i].name, *len))
			return units[i].ns;
	}
	*len = 0;
	return 0;
}

const char *hr_parse_duration(const char *s, int64_t *ms)
{
	bool minus = *s == '-';
	const char *p = s + (*s == '-' || *s == '+');
	double ns = 0, whole;

	if (!*p)
		return "expected a duration such as 10s or 250ms";
	if (hr_streq(p, "0")) {
		*ms = 0;
		return NULL;
	}
	while (*p) {
		const char *digits = p;
		size_t len;
		double unit;
		char *end;
		double v;

		while (isdigit((unsigned char)*p) || *p == '.')
			p++;
		if (p == digits || p - digits > 24)
			return "expected a duration such as 10s or 250ms";
		unit = duration_unit(p, &len);
		if (!len)
			return *p ? "expected a duration such as 10s or 250ms"
				  : "a duration needs a unit: 10s, 250ms, 1h30m";
		v = strtod(digits, &end);
		if (end != p)
			return "expected a duration such as 10s or 250ms";
		ns += v * unit;
		p += len;
	}
	if (ns >= 0x1p63)
		return "the duration is too long (292 years at most)";
	/* a double holds milliseconds of 292 years with 3 digits to spare */
	if (fabs(ns / 1e6 - round(ns / 1e6)) > 1e-7 * fmax(1, ns / 1e12))
		return "durations finer than 1ms are not supported";
	whole = round(ns / 1e6);
	*ms = (int64_t)(minus ? -whole : whole);
	return NULL;
}

const char *hr_parse_time(const char *s, int64_t *ms)
{
	struct tm tm = {};
	const char *p = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t frac = 0, scale = 100, off = 0;
	int h, m;

	if (!p)
		return "expected a time such as 2026-01-31T12:00:00Z";
	if (*p == '.')
		for (p++; isdigit((unsigned char)*p); p++, scale /= 10)
			frac += (*p - '0') * scale;
	if (*p == '+' || *p == '-') {
		if (strlen(p) != 6 || sscanf(p + 1, "%2d:%2d", &h, &m) != 2)
			return "expected a time such as 2026-01-31T12:00:00+01:00";
		off = (*p == '-' ? -1 : 1) * (h * 3600 + m * 60);
	} else if (!hr_streq(p, "Z") && !hr_streq(p, "z")) {
		return "expected a time such as 2026-01-31T12:00:00Z";
	}
	*ms = ((int64_t)timegm(&tm) - off) * 1000 + frac;
	return NULL;
}

static int base64_digit(char c)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

const char *hr_parse_base64(const char *s, size_t n, char **out, size_t *len)
{
	_cleanup_free_ char *buf = malloc(n / 4 * 3 + 1);
	size_t k = 0, pad = 0;

	if (!buf)
		return "out of memory";
	if (n % 4)
		return "not base64 (length is no multiple of 4)";
	if (n)
		pad = (size_t)(s[n - 1] == '=') + (size_t)(s[n - 1] == '=' && s[n - 2] == '=');
	for (size_t i = 0; i < n; i += 4) {
		uint32_t v = 0;

		for (size_t j = 0; j < 4; j++) {
			int d = i + j >= n - pad ? 0 : base64_digit(s[i + j]);

			if (d < 0)
				return "not base64";
			v = v << 6 | (uint32_t)d;
		}
		buf[k++] = (char)(v >> 16);
		buf[k++] = (char)(v >> 8);
		buf[k++] = (char)v;
	}
	*len = k - pad;
	buf[*len] = 0;
	*out = TAKE_PTR(buf);
	return NULL;
}
