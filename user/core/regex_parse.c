// SPDX-License-Identifier: Apache-2.0
/* Patterns in RE2's syntax -> tree. */
#include <ctype.h>
#include <string.h>

#include "core/regex_int.h"

#define REPEAT_MAX 1000 /* RE2's bound, of one count and of nested ones multiplied */
#define DEPTH_MAX 250	/* of groups */

void *rx_fail(struct rx_parser *x, const char *at, const char *why)
{
	if (!x->err.why)
		x->err = (struct hr_regex_error){why, (size_t)(at - x->begin)};
	return NULL;
}

static struct rx_node *node(struct rx_parser *x, enum rx_type type, struct rx_node *a,
			    struct rx_node *b)
{
	struct rx_node *n = hr_arena_new0(x->a, struct rx_node);

	n->type = type;
	n->a = a;
	n->b = b;
	n->copies = 1;
	if (a && a->copies > n->copies)
		n->copies = a->copies;
	if (b && b->copies > n->copies)
		n->copies = b->copies;
	return n;
}

static struct rx_node *set_node(struct rx_parser *x, struct rx_set s)
{
	struct rx_node *n = node(x, RX_SET, NULL, NULL);

	n->set = s;
	return n;
}

static struct rx_node *byte_node(struct rx_parser *x, uint8_t b)
{
	struct rx_set s = {};

	rx_add_range(&s, b, b);
	if (x->flags & RX_FLAG_I)
		rx_fold(&s);
	return set_node(x, s);
}

static struct rx_node *assertion(struct rx_parser *x, uint8_t which)
{
	struct rx_node *n = node(x, RX_ASSERT, NULL, NULL);

	n->assertion = which;
	return n;
}

static struct rx_node *escape(struct rx_parser *x)
{
	const char *at = x->p++;
	struct rx_set s;
	int b;

	switch (*x->p) {
	case 'A':
		x->p++;
		return assertion(x, RX_BEGIN);
	case 'z':
		x->p++;
		return assertion(x, RX_END);
	case 'b':
	case 'B':
		return assertion(x, *x->p++ == 'b' ? RX_WORD : RX_NOT_WORD);
	case 'Q':
		x->p++;
		x->quoting = true;
		return node(x, RX_EMPTY, NULL, NULL);
	}
	if (*x->p && rx_perl_class(*x->p, &s)) {
		x->p++;
		return set_node(x, s);
	}
	b = rx_escaped_byte(x, at);
	return b < 0 ? NULL : byte_node(x, (uint8_t)b);
}

/* ---- groups ---- */

static struct rx_node *alternatives(struct rx_parser *x);

static const char *refused_group(const char *p)
{
	static const struct {
		const char *begin, *why;
	} kinds[] = {
		{"?=", "look-ahead (?=...) (RE2 has none)"},
		{"?!", "negative look-ahead (?!...) (RE2 has none)"},
		{"?<=", "look-behind (?<=...) (RE2 has none)"},
		{"?<!", "negative look-behind (?<!...) (RE2 has none)"},
		{"?>", "an atomic group (?>...) (RE2 has none)"},
		{"?P=", "a back-reference (?P=...) (RE2 has none)"},
		{"?P>", "a call of a group (RE2 has none)"},
		{"?(", "a conditional group (RE2 has none)"},
		{"?#", "a comment (?#...) (RE2 has none)"},
		{"?|", "a branch reset (RE2 has none)"},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strncmp(p, kinds[i].begin, strlen(kinds[i].begin)))
			return kinds[i].why;
	return NULL;
}

/* After "(?P<" or "(?<": the name, which nothing refers to. */
static bool group_name(struct rx_parser *x, const char *at)
{
	const char *begin = x->p;

	while (isalnum((unsigned char)*x->p) || *x->p == '_')
		x->p++;
	if (x->p > begin && *x->p == '>') {
		x->p++;
		return true;
	}
	rx_fail(x, at, "a group with a bad name");
	return false;
}

/* After "(?": flags up to ')' or ':'. Gives that character, 0: *err. */
static char group_flags(struct rx_parser *x, const char *at)
{
	unsigned flags = x->flags;
	bool off = false;

	for (;; x->p++) {
		unsigned f = *x->p == 'i'   ? RX_FLAG_I
			     : *x->p == 'm' ? RX_FLAG_M
			     : *x->p == 's' ? RX_FLAG_S
			     : *x->p == 'U' ? RX_FLAG_U
					    : 0;

		if (f)
			flags = off ? flags & ~f : flags | f;
		else if (*x->p == '-' && !off)
			off = true;
		else
			break;
	}
	if (*x->p != ')' && *x->p != ':') {
		rx_fail(x, at, "an unknown group (?...");
		return 0;
	}
	x->flags = flags;
	return *x->p++;
}

static struct rx_node *group(struct rx_parser *x)
{
	const char *at = x->p++, *why = refused_group(x->p);
	unsigned flags = x->flags;
	uint16_t captures = 0;
	struct rx_node *n;

	if (why)
		return rx_fail(x, at, why);
	if (*x->p != '?' || x->p[1] == '<' || !strncmp(x->p, "?P<", 3))
		captures = ++x->groups;
	if (*x->p == '?') {
		x->p++;
		if (!strncmp(x->p, "P<", 2) || *x->p == '<') {
			x->p += *x->p == 'P' ? 2 : 1;
			if (!group_name(x, at))
				return NULL;
		} else {
			char end = group_flags(x, at);

			if (end != ':') /* "(?i)": to the end of the group around it */
				return end ? node(x, RX_EMPTY, NULL, NULL) : NULL;
		}
	}
	if (++x->depth > DEPTH_MAX)
		return rx_fail(x, at, "groups too deep in each other");
	n = alternatives(x);
	x->depth--;
	if (n && *x->p != ')')
		return rx_fail(x, at, "missing )");
	x->p++;
	x->flags = flags;
	if (!n || !captures)
		return n;
	n = node(x, RX_CAPTURE, n, NULL);
	n->group = captures;
	return n;
}

/* ---- sequences ---- */

/* A character that stands for itself, all its bytes. */
static struct rx_node *literal(struct rx_parser *x)
{
	uint8_t lead = (uint8_t)*x->p;
	unsigned more = lead < 0x80 ? 0 : lead < 0xc2 ? 4 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
	struct rx_node *n = byte_node(x, lead);

	if (lead > 0xf4 || more == 4)
		return rx_fail(x, x->p, "bytes that are no UTF-8");
	for (x->p++; more--; x->p++) {
		if (((uint8_t)*x->p & 0xc0) != 0x80)
			return rx_fail(x, x->p, "bytes that are no UTF-8");
		n = node(x, RX_CAT, n, byte_node(x, (uint8_t)*x->p));
	}
	return n;
}

static struct rx_node *quoted(struct rx_parser *x)
{
	struct rx_node *n = NULL;

	if (strncmp(x->p, "\\E", 2))
		n = literal(x);
	else
		n = node(x, RX_EMPTY, NULL, NULL);
	if (!strncmp(x->p, "\\E", 2)) {
		x->p += 2;
		x->quoting = false;
	}
	return n;
}

static struct rx_node *atom(struct rx_parser *x)
{
	struct rx_set s = {};

	if (x->quoting)
		return quoted(x);
	switch (*x->p) {
	case '(':
		return group(x);
	case '[':
		return rx_class(x, &s) ? set_node(x, s) : NULL;
	case '\\':
		return escape(x);
	case '*':
	case '+':
	case '?':
		return rx_fail(x, x->p, "nothing to repeat");
	case '^':
		x->p++;
		return assertion(x, x->flags & RX_FLAG_M ? RX_LINE_BEGIN : RX_BEGIN);
	case '$':
		x->p++;
		return assertion(x, x->flags & RX_FLAG_M ? RX_LINE_END : RX_END);
	case '.':
		x->p++;
		if (!(x->flags & RX_FLAG_S))
			rx_add_range(&s, '\n', '\n');
		rx_negate(&s);
		return set_node(x, s);
	default:
		return literal(x);
	}
}

static const char *number(const char *p, unsigned *out)
{
	unsigned v = 0;

	if (!isdigit((unsigned char)*p))
		return NULL;
	for (; isdigit((unsigned char)*p); p++)
		v = v > REPEAT_MAX ? v : v * 10 + (unsigned)(*p - '0');
	*out = v;
	return p;
}

/* {n} {n,} {n,m}: the end of it, NULL when "{" is only a brace. */
static const char *counts(const char *p, unsigned *min, unsigned *max)
{
	p = number(p + 1, min);
	if (!p)
		return NULL;
	*max = *min;
	if (*p == ',') {
		*max = RX_INF;
		if (p[1] != '}' && !number(p + 1, max))
			return NULL;
		p = p[1] == '}' ? p + 1 : number(p + 1, max);
	}
	return *p == '}' ? p + 1 : NULL;
}

/* The operator at p: its end, NULL: none. */
static const char *operator(const char *p, unsigned *min, unsigned *max)
{
	*min = *p == '+';
	*max = *p == '?' ? 1 : RX_INF;
	if (*p && strchr("*+?", *p))
		return p + 1;
	return *p == '{' ? counts(p, min, max) : NULL;
}

static struct rx_node *repeated(struct rx_parser *x)
{
	struct rx_node *n = atom(x), *r;
	const char *at = x->p, *end;
	unsigned min, max, again_min, again_max, times;
	bool lazy;

	if (!n || x->quoting)
		return n;
	end = operator(at, &min, &max);
	if (!end)
		return n;
	if (min > REPEAT_MAX || (max != RX_INF && max > REPEAT_MAX))
		return rx_fail(x, at, "a repetition of more than 1000");
	if (max < min)
		return rx_fail(x, at, "a repetition whose bounds run backwards");
	lazy = *end == '?';
	end += lazy;
	if (operator(end, &again_min, &again_max))
		return rx_fail(x, at, "a repetition of a repetition (RE2 has no possessive ones)");
	x->p = end;
	r = node(x, RX_REPEAT, n, NULL);
	r->min = (uint16_t)min;
	r->max = (uint16_t)max;
	r->lazy = lazy != ((x->flags & RX_FLAG_U) != 0);
	times = max == RX_INF ? (min ? min : 1) : (max ? max : 1);
	r->copies *= times;
	if (r->copies > REPEAT_MAX)
		return rx_fail(x, at, "repetitions in each other of more than 1000");
	return r;
}

static struct rx_node *sequence(struct rx_parser *x)
{
	struct rx_node *n = NULL;

	while (*x->p && (x->quoting || (*x->p != '|' && *x->p != ')'))) {
		struct rx_node *next = repeated(x);

		if (!next)
			return NULL;
		n = n ? node(x, RX_CAT, n, next) : next;
	}
	return n ? n : node(x, RX_EMPTY, NULL, NULL);
}

static struct rx_node *alternatives(struct rx_parser *x)
{
	struct rx_node *n = sequence(x);

	while (n && *x->p == '|') {
		struct rx_node *other;

		x->p++;
		other = sequence(x);
		n = other ? node(x, RX_ALT, n, other) : NULL;
	}
	return n;
}

struct rx_node *rx_parse(struct hr_arena *a, const char *pattern, uint16_t *groups,
			 struct hr_regex_error *err)
{
	struct rx_parser x = {.a = a, .begin = pattern, .p = pattern};
	struct rx_node *n = alternatives(&x);

	if (n && *x.p == ')')
		n = rx_fail(&x, x.p, "unexpected )");
	if (!n)
		*err = x.err;
	else
		*groups = x.groups;
	return n;
}
