// SPDX-License-Identifier: Apache-2.0
/* Rules that are never reached: an earlier rule matches every request that they match. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/cleanup.h"
#include "core/str.h"
#include "core/vec.h"
#include "model/validate.h"

/* Comparisons of match entries in one VirtualService, each weighted with its headers: 10,000 rules
 * would be 50 million. Later rules are not looked at. */
#define WORK_MAX 20000000

struct entry {
	const struct hr_http_match *m; /* NULL: matches all */
	size_t rule;
};

/* Does every value that b accepts satisfy a? */
static bool value_covers(const struct hr_string_match *a, const struct hr_string_match *b,
			 bool fold)
{
	int (*cmp)(const char *, const char *) = fold ? strcasecmp : strcmp;
	int (*ncmp)(const char *, const char *, size_t) = fold ? strncasecmp : strncmp;

	if (a->type == HR_MATCH_NONE)
		return true;
	if (b->type == HR_MATCH_NONE)
		return false;
	switch (a->type) {
	case HR_MATCH_PRESENT:
		return true;
	case HR_MATCH_EXACT:
		return b->type == HR_MATCH_EXACT && !cmp(a->value, b->value);
	case HR_MATCH_PREFIX:
		return (b->type == HR_MATCH_EXACT || b->type == HR_MATCH_PREFIX) &&
		       !ncmp(a->value, b->value, strlen(a->value));
	case HR_MATCH_REGEX:
		return b->type == HR_MATCH_REGEX && hr_streq(a->value, b->value);
	default:
		return false;
	}
}

typedef HR_LIST(struct hr_header_match) headers;

static const struct hr_header_match *find(const headers *list, const char *name)
{
	for (size_t i = 0; i < list->len; i++)
		if (hr_streq(list->data[i].name, name))
			return &list->data[i];
	return NULL;
}

static bool headers_cover(const void *a_list, const void *b_list)
{
	const headers *a = a_list, *b = b_list;

	for (size_t i = 0; i < a->len; i++) {
		const struct hr_header_match *other = find(b, a->data[i].name);

		if (!other || !value_covers(&a->data[i].m, &other->m, false))
			return false;
	}
	return true;
}

/* What a excludes, b must exclude as well. */
static bool exclusions_cover(const void *a_list, const void *b_list)
{
	const headers *a = a_list, *b = b_list;

	for (size_t i = 0; i < a->len; i++) {
		const struct hr_header_match *other = find(b, a->data[i].name);

		if (!other || !value_covers(&other->m, &a->data[i].m, false))
			return false;
	}
	return true;
}

static bool labels_cover(const hr_kvs *a, const hr_kvs *b)
{
	for (size_t i = 0; i < a->len; i++) {
		bool found = false;

		for (size_t k = 0; k < b->len; k++)
			found = found || (hr_streq(a->data[i].key, b->data[k].key) &&
					  hr_streq(a->data[i].value, b->data[k].value));
		if (!found)
			return false;
	}
	return true;
}

static bool gateways_cover(const hr_strs *a, const hr_strs *b)
{
	if (!a->len)
		return true;
	for (size_t i = 0; i < b->len; i++) {
		bool found = false;

		for (size_t k = 0; k < a->len; k++)
			found = found || hr_streq(a->data[k], b->data[i]);
		if (!found)
			return false;
	}
	return b->len;
}

static bool uri_covers(const struct hr_http_match *a, const struct hr_http_match *b)
{
	/* every path starts with a slash */
	if (a->uri.type == HR_MATCH_PREFIX && hr_streq(a->uri.value, "/"))
		return true;
	if (b->ignore_uri_case && !a->ignore_uri_case && a->uri.type != HR_MATCH_NONE)
		return false;
	return value_covers(&a->uri, &b->uri, a->ignore_uri_case);
}

static bool covers(const struct hr_http_match *a, const struct hr_http_match *b)
{
	static const struct hr_http_match everything = {};

	if (!a)
		return true;
	b = b ? b : &everything;
	return uri_covers(a, b) && value_covers(&a->scheme, &b->scheme, false) &&
	       value_covers(&a->method, &b->method, false) &&
	       value_covers(&a->authority, &b->authority, false) &&
	       (!a->port || a->port == b->port) &&
	       (!a->source_namespace || hr_streq(a->source_namespace, b->source_namespace)) &&
	       headers_cover(&a->headers, &b->headers) &&
	       headers_cover(&a->query_params, &b->query_params) &&
	       exclusions_cover(&a->without_headers, &b->without_headers) &&
	       labels_cover(&a->source_labels, &b->source_labels) &&
	       gateways_cover(&a->gateways, &b->gateways);
}

typedef HR_VEC(struct entry) entries;

static void add_entries(entries *all, const struct hr_http_route *r, size_t rule)
{
	if (!r->match.len)
		hr_vec_push(all, (struct entry){NULL, rule});
	for (size_t i = 0; i < r->match.len; i++)
		hr_vec_push(all, (struct entry){&r->match.data[i], rule});
}

/* The first rule that covers the entry, or -1. */
static long first_cover(const entries *all, size_t end, const struct hr_http_match *m, size_t *work)
{
	for (size_t i = 0; i < end; i++) {
		*work += 1 + (m ? m->headers.len + m->query_params.len : 0);
		if (covers(all->data[i].m, m))
			return (long)all->data[i].rule;
	}
	return -1;
}

/* The latest of the rules that together cover all entries of rule r, or -1. */
static long rule_cover(const entries *all, const struct hr_http_route *r, size_t *work)
{
	size_t end = all->len;
	long last;

	if (!r->match.len)
		return first_cover(all, end, NULL, work);
	last = -1;
	for (size_t i = 0; i < r->match.len; i++) {
		long by = first_cover(all, end, &r->match.data[i], work);

		if (by < 0)
			return -1;
		last = HR_MAX(last, by);
	}
	return last;
}

void hr_validate_reach(const struct hr_virtual_service *vs, struct hr_diags *diags)
{
	entries all = {};
	size_t work = 0;

	for (size_t i = 0; i < vs->http.len && work < WORK_MAX; i++) {
		const struct hr_http_route *r = &vs->http.data[i];
		long by = rule_cover(&all, r, &work);
		char field[64];

		if (by >= 0) {
			snprintf(field, sizeof(field), "spec.http[%zu]", i);
			hr_diag_add(diags, HR_SEV_WARNING, r->pos, "never-reached", &vs->meta,
				    field,
				    "never reached: http[%ld] (line %u) matches all it matches", by,
				    vs->http.data[by].pos.line);
			continue;
		}
		add_entries(&all, r, i);
	}
	hr_vec_free(&all);
}
