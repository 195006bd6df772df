/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request must get, read straight from the objects, rule after rule, condition after
 * condition: the yardstick of the property test. It knows nothing of the compiled form.
 */
#pragma once

#include <strings.h>

#include "asked.h"

struct naive {
	const struct hr_virtual_service *vs; /* NULL: default route, or nobody */
	int http, match;		     /* -1: no rule */
};

/* A header or parameter that is absent is v == NULL. */
static inline bool naive_string(const struct hr_string_match *m, const char *v, bool fold)
{
	size_t n = m->value ? strlen(m->value) : 0;

	if (m->type == HR_MATCH_NONE)
		return true;
	if (!v)
		return false;
	if (m->type == HR_MATCH_PRESENT)
		return true;
	if (m->type == HR_MATCH_EXACT)
		return fold ? !strcasecmp(v, m->value) : !strcmp(v, m->value);
	return fold ? !strncasecmp(v, m->value, n) : !strncmp(v, m->value, n);
}

/* Envoy compares a missing header as an empty one when the condition is negative. */
static inline bool naive_without(const struct hr_string_match *m, const char *v)
{
	if (m->type == HR_MATCH_PRESENT)
		return !v;
	return !naive_string(m, v ? v : "", false);
}

static inline bool naive_param(const char *query, const struct hr_header_match *p)
{
	size_t len = strlen(p->name);

	for (const char *s = query; s; s = strchr(s, '&') ? strchr(s, '&') + 1 : NULL) {
		char value[256];
		size_t n = strcspn(s, "&"), eq = strcspn(s, "=&");

		if (eq != len || strncmp(s, p->name, len))
			continue;
		n = n > eq ? n - eq - 1 : 0;
		memcpy(value, s + eq + (s[eq] == '='), n);
		value[n] = 0;
		return naive_string(&p->m, value, false);
	}
	return false;
}

static inline bool naive_label(const hr_kvs *have, const struct hr_kv *want)
{
	for (size_t i = 0; i < have->len; i++)
		if (!strcmp(have->data[i].key, want->key))
			return !strcmp(have->data[i].value, want->value);
	return false;
}

static inline bool naive_entry(const struct hr_http_match *m, const struct asked *q)
{
	if (m->port && m->port != q->port)
		return false;
	if (!naive_string(&m->uri, q->path, m->ignore_uri_case) ||
	    !naive_string(&m->method, q->method, false) ||
	    !naive_string(&m->scheme, q->scheme, false) ||
	    !naive_string(&m->authority, q->host, false))
		return false;
	if (m->source_namespace && (!q->source_ns || strcmp(m->source_namespace, q->source_ns)))
		return false;
	for (size_t i = 0; i < m->source_labels.len; i++)
		if (!naive_label(&q->source_labels, &m->source_labels.data[i]))
			return false;
	for (size_t i = 0; i < m->query_params.len; i++)
		if (!naive_param(q->query, &m->query_params.data[i]))
			return false;
	for (size_t i = 0; i < m->headers.len; i++) {
		const char *name = m->headers.data[i].name;

		if (!naive_string(&m->headers.data[i].m, asked_header(q, name, strlen(name)),
				  false))
			return false;
	}
	for (size_t i = 0; i < m->without_headers.len; i++) {
		const char *name = m->without_headers.data[i].name;

		if (!naive_without(&m->without_headers.data[i].m,
				   asked_header(q, name, strlen(name))))
			return false;
	}
	return true;
}

static inline struct naive naive_rule(const struct hr_virtual_service *vs, const struct asked *q)
{
	for (size_t i = 0; i < vs->http.len; i++) {
		const struct hr_http_route *h = &vs->http.data[i];

		if (!h->match.len)
			return (struct naive){vs, (int)i, 0};
		for (size_t k = 0; k < h->match.len; k++)
			if (naive_entry(&h->match.data[k], q))
				return (struct naive){vs, (int)i, (int)k};
	}
	return (struct naive){vs, -1, -1};
}

/* Hosts of the generated objects are full names or wildcards. The longest that fits wins, an exact
 * one before a wildcard, the older object between equals. */
static inline const struct hr_virtual_service *naive_vs(const struct hr_objects *o,
							const char *fqdn)
{
	const struct hr_virtual_service *best = NULL;
	size_t best_score = 0;

	for (size_t i = 0; i < o->virtual_services.len; i++) {
		const struct hr_virtual_service *vs = o->virtual_services.data[i];

		for (size_t h = 0; h < vs->hosts.len; h++) {
			const char *host = vs->hosts.data[h];
			size_t n = strlen(host), f = strlen(fqdn), score = n;

			if (!strcmp(host, fqdn))
				score = 1000;
			else if (*host != '*' || n - 1 >= f || strcmp(fqdn + f - (n - 1), host + 1))
				continue;
			if (score > best_score ||
			    (score == best_score && vs->meta.created_ms < best->meta.created_ms)) {
				best = vs;
				best_score = score;
			}
		}
	}
	return best;
}
