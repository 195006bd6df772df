// SPDX-License-Identifier: Apache-2.0
/* Command operators in header values: text -> pieces. */
#include "model/format.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "core/cleanup.h"

#define MAX_LENGTH 65535 /* of ":N" */

static const struct operator
{
	const char *word;
	enum hr_format_op op;
}
operators[] = {
	{"REQ", HR_FORMAT_REQ},
	{"RESP", HR_FORMAT_RESP},
	{"PROTOCOL", HR_FORMAT_PROTOCOL},
	{"START_TIME", HR_FORMAT_START_TIME},
	{"RESPONSE_CODE", HR_FORMAT_RESPONSE_CODE},
	{"RESPONSE_FLAGS", HR_FORMAT_RESPONSE_FLAGS},
	{"ROUTE_NAME", HR_FORMAT_ROUTE_NAME},
	{"HOSTNAME", HR_FORMAT_HOSTNAME},
	{"CONNECTION_ID", HR_FORMAT_CONNECTION_ID},
	{"BYTES_RECEIVED", HR_FORMAT_BYTES_RECEIVED},
	{"UPSTREAM_REQUEST_ATTEMPT_COUNT", HR_FORMAT_ATTEMPTS},
	{"UPSTREAM_CLUSTER", HR_FORMAT_CLUSTER},
	{"UPSTREAM_HOST", HR_FORMAT_UPSTREAM},
	{"UPSTREAM_REMOTE_ADDRESS", HR_FORMAT_UPSTREAM},
	{"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", HR_FORMAT_UPSTREAM_ADDR},
	{"UPSTREAM_REMOTE_PORT", HR_FORMAT_UPSTREAM_PORT},
	{"DOWNSTREAM_REMOTE_ADDRESS", HR_FORMAT_REMOTE},
	{"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", HR_FORMAT_REMOTE_ADDR},
	{"DOWNSTREAM_REMOTE_PORT", HR_FORMAT_REMOTE_PORT},
	{"DOWNSTREAM_DIRECT_REMOTE_ADDRESS", HR_FORMAT_REMOTE},
	{"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", HR_FORMAT_REMOTE_ADDR},
	{"DOWNSTREAM_DIRECT_REMOTE_PORT", HR_FORMAT_REMOTE_PORT},
	{"DOWNSTREAM_LOCAL_ADDRESS", HR_FORMAT_LOCAL},
	{"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", HR_FORMAT_LOCAL_ADDR},
	{"DOWNSTREAM_LOCAL_PORT", HR_FORMAT_LOCAL_PORT},
};

struct parse {
	struct hr_arena *a;
	const char *begin, *p;
	struct hr_format *f;
	struct hr_format_error *err;
};

static int fail(struct parse *x, const char *at, const char *why)
{
	*x->err = (struct hr_format_error){.why = why, .at = (size_t)(at - x->begin)};
	return -EINVAL;
}

static const struct operator* find(struct parse *x, struct hr_slice word)
{
	const char *words[HR_ARRAY_SIZE(operators)];

	for (size_t i = 0; i < HR_ARRAY_SIZE(operators); i++) {
		words[i] = operators[i].word;
		if (hr_slice_eq(word, hr_slice_of(operators[i].word)))
			return &operators[i];
	}
	x->err->near =
		hr_nearest(hr_arena_strndup(x->a, word.p, word.n), words, HR_ARRAY_SIZE(operators));
	return NULL;
}

/* A header's name, or a pseudo-header's. */
static bool name(struct parse *x, const char *stop, struct hr_slice *out)
{
	const char *from = x->p;
	char *copy;

	while (*x->p && !strchr(stop, *x->p) &&
	       (isalnum((unsigned char)*x->p) || strchr("-_.!#$&'*+^`|~", *x->p) ||
		(*x->p == ':' && x->p == from)))
		x->p++;
	if (x->p == from || !*x->p || !strchr(stop, *x->p))
		return false;
	copy = hr_arena_strndup(x->a, from, (size_t)(x->p - from));
	for (char *c = copy; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	*out = hr_slice_of(copy);
	return true;
}

/* After "(": NAME or NAME?ALTERNATIVE, ")". */
static int arguments(struct parse *x, const char *at, struct hr_format_piece *piece)
{
	if (!name(x, "?)", &piece->name))
		return fail(x, at, "expected a header name and \")\"");
	if (*x->p == '?') {
		x->p++;
		if (!name(x, ")", &piece->alt))
			return fail(x, at, "expected another header name and \")\" after \"?\"");
	}
	x->p++;
	return 0;
}

/* ":N": at most N bytes of the value. */
static int length(struct parse *x, const char *at, struct hr_format_piece *piece)
{
	const char *from = ++x->p;

	for (; isdigit((unsigned char)*x->p); x->p++) {
		piece->max = 10 * piece->max + (size_t)(*x->p - '0');
		if (piece->max > MAX_LENGTH)
			break;
	}
	if (x->p == from || !piece->max || piece->max > MAX_LENGTH)
		return fail(x, at, "expected a length from 1 to 65535 after \":\"");
	return 0;
}

static int command(struct parse *x)
{
	const char *at = x->p++, *word = x->p;
	struct hr_format_piece *piece = &x->f->pieces[x->f->n++];
	const struct operator* o;
	bool wants, has;
	int r = 0;

	while (isupper((unsigned char)*x->p) || isdigit((unsigned char)*x->p) || *x->p == '_')
		x->p++;
	if (x->p == word)
		return fail(x, at, "a lone % (write %% for a percent sign)");
	o = find(x, (struct hr_slice){word, (size_t)(x->p - word)});
	if (!o) {
		const char *near = x->err->near;

		fail(x, at,
		     hr_arena_printf(x->a, "%%%.*s%% is no operator that is known here",
				     (int)(x->p - word), word));
		x->err->near = near;
		return -EINVAL;
	}
	piece->op = o->op;
	wants = o->op == HR_FORMAT_REQ || o->op == HR_FORMAT_RESP;
	has = *x->p == '(';
	if (wants != has)
		return fail(x, at,
			    hr_arena_printf(x->a,
					    wants ? "%s needs a header name: %%%s(NAME)%%"
						  : "%s takes no argument here",
					    o->word, o->word));
	if (has) {
		x->p++;
		r = arguments(x, at, piece);
	}
	if (!r && *x->p == ':')
		r = length(x, at, piece);
	if (!r && *x->p != '%')
		r = fail(x, at, "an operator without its closing %");
	x->p++;
	return r;
}

static void text(struct parse *x)
{
	size_t n = strcspn(x->p, "%");
	bool percent = x->p[n] == '%' && x->p[n + 1] == '%';

	if (n + percent)
		x->f->pieces[x->f->n++].text = (struct hr_slice){x->p, n + percent};
	x->p += n + 2 * (size_t)percent;
}

int hr_format_parse(struct hr_arena *a, const char *value, const struct hr_format **out,
		    struct hr_format_error *err)
{
	struct parse x = {.a = a, .begin = value, .p = value, .err = err};
	size_t pieces = 2;

	*err = (struct hr_format_error){};
	if (!strchr(value, '%')) {
		*out = NULL;
		return 0;
	}
	for (const char *c = value; *c; c++)
		pieces += 2 * (size_t)(*c == '%');
	x.f = hr_arena_new0(a, struct hr_format);
	x.f->pieces = hr_arena_array(a, struct hr_format_piece, pieces);
	while (*x.p) {
		int r = 0;

		if (x.p[0] == '%' && x.p[1] != '%')
			r = command(&x);
		else
			text(&x);
		if (r)
			return r;
	}
	*out = x.f;
	return 0;
}
