// SPDX-License-Identifier: Apache-2.0
/* Sets of bytes that a pattern names: [...], \d and its like, escapes. */
#include <ctype.h>
#include <string.h>

#include "core/regex_int.h"

/* ---- sets ---- */

void rx_add_range(struct rx_set *s, unsigned lo, unsigned hi)
{
	for (unsigned b = lo; b <= hi; b++)
		s->w[b / 64] |= 1ULL << b % 64;
}

static void add_set(struct rx_set *to, const struct rx_set *from)
{
	for (int i = 0; i < 4; i++)
		to->w[i] |= from->w[i];
}

void rx_negate(struct rx_set *s)
{
	for (int i = 0; i < 4; i++)
		s->w[i] = ~s->w[i];
}

void rx_fold(struct rx_set *s)
{
	for (unsigned c = 'a'; c <= 'z'; c++) {
		if (rx_set_has(s, (uint8_t)c))
			rx_add_range(s, c - 32, c - 32);
		else if (rx_set_has(s, (uint8_t)(c - 32)))
			rx_add_range(s, c, c);
	}
}

/* \d \w \s and their opposites; false: another letter. */
bool rx_perl_class(char c, struct rx_set *s)
{
	*s = (struct rx_set){};
	switch (c | 0x20) {
	case 'w':
		rx_add_range(s, 'a', 'z');
		rx_add_range(s, 'A', 'Z');
		rx_add_range(s, '_', '_');
		__attribute__((fallthrough));
	case 'd':
		rx_add_range(s, '0', '9');
		break;
	case 's':
		rx_add_range(s, '\t', '\n');
		rx_add_range(s, '\f', '\r');
		rx_add_range(s, ' ', ' ');
		break;
	default:
		return false;
	}
	if (isupper((unsigned char)c))
		rx_negate(s);
	return true;
}

static const struct {
	const char *name, *ranges; /* pairs of bounds */
} posix[] = {
	{"alnum", "09AZaz"},
	{"alpha", "AZaz"},
	{"ascii", "\001\177"},
	{"blank", "\t\t  "},
	{"cntrl", "\001\037\177\177"},
	{"digit", "09"},
	{"graph", "!~"},
	{"lower", "az"},
	{"print", " ~"},
	{"punct", "!/:@[`{~"},
	{"space", "\t\r  "},
	{"upper", "AZ"},
	{"word", "09AZaz__"},
	{"xdigit", "09AFaf"},
};

/* [:name:] or [:^name:] at p; 0: none here, -1: unknown name. */
static int posix_class(struct rx_parser *x, struct rx_set *s)
{
	struct rx_set found = {};
	const char *name, *end;
	bool no;

	if (x->p[0] != '[' || x->p[1] != ':')
		return 0;
	name = x->p + 2;
	end = strstr(name, ":]");
	if (!end)
		return 0;
	no = *name == '^';
	name += no;
	for (size_t i = 0; i < sizeof(posix) / sizeof(*posix); i++) {
		if (strlen(posix[i].name) != (size_t)(end - name) ||
		    strncmp(posix[i].name, name, (size_t)(end - name)))
			continue;
		for (const char *r = posix[i].ranges; *r; r += 2)
			rx_add_range(&found, (uint8_t)r[0], (uint8_t)r[1]);
		if (strchr("ac", *name) &&
		    (!strncmp(name, "ascii", 5) || !strncmp(name, "cntrl", 5)))
			rx_add_range(&found, 0, 0);
		if (no)
			rx_negate(&found);
		add_set(s, &found);
		x->p = end + 2;
		return 1;
	}
	rx_fail(x, x->p, "unknown character class [:name:]");
	return -1;
}

/* ---- escapes ---- */

static int hex(struct rx_parser *x, const char *at)
{
	unsigned v = 0, digits = 0;
	bool braces = *x->p == '{';

	x->p += braces;
	for (; isxdigit((unsigned char)*x->p) && (braces ? digits < 8 : digits < 2); digits++) {
		char c = *x->p++;

		v = v * 16 +
		    (unsigned)(isdigit((unsigned char)c) ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	if (!digits || (!braces && digits != 2) || (braces && *x->p++ != '}')) {
		rx_fail(x, at, "\\x wants two hexadecimal digits or {digits}");
		return -1;
	}
	if (v < 0x80)
		return (int)v;
	rx_fail(x, at, "\\x above 7F (characters outside of ASCII are written as themselves)");
	return -1;
}

static int octal(struct rx_parser *x, const char *at)
{
	unsigned v = 0;

	for (int i = 0; i < 3 && *x->p >= '0' && *x->p <= '7'; i++)
		v = v * 8 + (unsigned)(*x->p++ - '0');
	if (v < 0x80)
		return (int)v;
	rx_fail(x, at, "an octal escape above \\177");
	return -1;
}

/* The byte that an escape stands for; p is after the backslash. -1: *err. */
int rx_escaped_byte(struct rx_parser *x, const char *at)
{
	static const char letters[] = "afnrtv", bytes[] = "\a\f\n\r\t\v";
	char c = *x->p;
	const char *known = c ? strchr(letters, c) : NULL;

	if (!c) {
		rx_fail(x, at, "a backslash at the end");
		return -1;
	}
	if (c == '0' || (c >= '1' && c <= '7' && x->p[1] >= '0' && x->p[1] <= '7'))
		return octal(x, at);
	if (isdigit((unsigned char)c)) {
		rx_fail(x, at, "a back-reference (RE2 has none)");
		return -1;
	}
	x->p++;
	if (c == 'x')
		return hex(x, at);
	if (known)
		return bytes[known - letters];
	if ((unsigned char)c < 0x80 && !isalnum((unsigned char)c))
		return c;
	rx_fail(x, at,
		c == 'p' || c == 'P' ? "a Unicode class (\\p is not supported; bytes are matched)"
		: c == 'k'	     ? "a back-reference (RE2 has none)"
				     : "an unknown escape");
	return -1;
}

/* ---- classes ---- */

/* One end of a range. -1: *err. */
static int class_byte(struct rx_parser *x)
{
	const char *at = x->p;

	if (!*x->p) {
		rx_fail(x, at, "missing ]");
		return -1;
	}
	if (*x->p == '\\') {
		x->p++;
		return rx_escaped_byte(x, at);
	}
	if ((unsigned char)*x->p >= 0x80) {
		rx_fail(x, at, "a character outside of ASCII in [...] (bytes are matched)");
		return -1;
	}
	return *x->p++;
}

static bool class_item(struct rx_parser *x, struct rx_set *s)
{
	const char *at = x->p;
	struct rx_set named;
	int lo, hi, r = posix_class(x, s);

	if (r)
		return r > 0;
	if (x->p[0] == '\\' && x->p[1] && rx_perl_class(x->p[1], &named)) {
		x->p += 2;
		add_set(s, &named);
		return true;
	}
	lo = hi = class_byte(x);
	if (lo >= 0 && x->p[0] == '-' && x->p[1] && x->p[1] != ']') {
		x->p++;
		hi = class_byte(x);
		if (hi >= 0 && hi < lo)
			rx_fail(x, at, "a range that runs backwards");
	}
	if (x->err.why)
		return false;
	rx_add_range(s, (unsigned)lo, (unsigned)hi);
	return true;
}

bool rx_class(struct rx_parser *x, struct rx_set *out)
{
	const char *at = x->p++;
	bool no = *x->p == '^', first = true;
	struct rx_set s = {};

	x->p += no;
	for (; *x->p != ']' || first; first = false) {
		if (!*x->p)
			return rx_fail(x, at, "missing ]");
		if (!class_item(x, &s))
			return false;
	}
	x->p++;
	if (x->flags & RX_FLAG_I)
		rx_fold(&s);
	if (no)
		rx_negate(&s);
	*out = s;
	return true;
}
