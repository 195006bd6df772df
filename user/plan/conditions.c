// SPDX-License-Identifier: Apache-2.0
/* One match entry, condition by condition, as Istio words it: for the rules that the kernel's
 * tables cannot hold in full, and for explain, which tells which condition failed. */
#include <string.h>
#include <strings.h>

#include "plan/eval.h"

static bool value_holds(const struct hr_string_match *m, struct hr_slice v, bool fold)
{
	struct hr_slice want = hr_slice_of(m->value);

	if (!v.p)
		return false;
	switch (m->type) {
	case HR_MATCH_PRESENT:
		return true;
	case HR_MATCH_EXACT:
		return fold ? hr_slice_ieq(v, want) : hr_slice_eq(v, want);
	case HR_MATCH_PREFIX:
		return v.n >= want.n &&
		       (fold ? !strncasecmp(v.p, want.p, want.n) : hr_slice_starts(v, want));
	case HR_MATCH_REGEX: /* ignoreUriCase is not for regexes */
		return m->regex && hr_regex_full(m->regex, v.p, v.n);
	default:
		return false;
	}
}

static void add_wanted(struct hr_strbuf *out, const struct hr_string_match *m)
{
	static const char *const words[] = {"", "exact ", "prefix ", "regex ", "present"};

	hr_sb_add(out, words[m->type]);
	if (m->value)
		hr_sb_printf(out, "\"%s\"", m->value);
}

static bool check(struct hr_strbuf *why, const char *what, const char *name,
		  const struct hr_string_match *m, struct hr_slice v, bool fold, bool negative)
{
	struct hr_slice compared = v;

	/* Istio has Envoy take a missing header for an empty one in withoutHeaders */
	if (negative && !v.p && m->type != HR_MATCH_PRESENT)
		compared = HR_SLICE("");
	if (!m->type || value_holds(m, compared, fold) != negative)
		return true;
	if (!why)
		return false;
	hr_sb_printf(why, "%s%s%s: wanted %s", what, *name ? " " : "", name,
		     negative ? "not " : "");
	add_wanted(why, m);
	if (v.p)
		hr_sb_printf(why, ", saw \"%.*s\"", (int)(v.n < 256 ? v.n : 256), v.p);
	else
		hr_sb_add(why, ", saw none");
	return false;
}

/* Value of a query parameter, not decoded; {NULL, 0} when absent. */
static struct hr_slice query_param(struct hr_slice query, const char *name)
{
	size_t len = strlen(name);

	while (query.n) {
		const char *amp = memchr(query.p, '&', query.n);
		size_t n = amp ? (size_t)(amp - query.p) : query.n;

		if (n >= len && !memcmp(query.p, name, len)) {
			if (n == len)
				return (struct hr_slice){"", 0};
			if (query.p[len] == '=')
				return (struct hr_slice){query.p + len + 1, n - len - 1};
		}
		query.p += n;
		query.n -= n;
		if (query.n) {
			query.p++;
			query.n--;
		}
	}
	return (struct hr_slice){NULL, 0};
}

static bool source_holds(const struct hr_plan_req *req, const struct hr_http_match *m,
			 struct hr_strbuf *why)
{
	if (m->source_namespace && !hr_streq(m->source_namespace, req->source_ns)) {
		if (why)
			hr_sb_printf(why, "sourceNamespace: wanted \"%s\", saw %s",
				     m->source_namespace, req->source_ns ? req->source_ns : "none");
		return false;
	}
	for (size_t i = 0; i < m->source_labels.len; i++) {
		const struct hr_kv *want = &m->source_labels.data[i];
		const char *seen = NULL;

		for (size_t k = 0; req->source_labels && k < req->source_labels->len; k++)
			if (hr_streq(req->source_labels->data[k].key, want->key))
				seen = req->source_labels->data[k].value;
		if (hr_streq(seen, want->value))
			continue;
		if (why)
			hr_sb_printf(why, "sourceLabels %s: wanted \"%s\", saw %s", want->key,
				     want->value, seen ? seen : "none");
		return false;
	}
	return true;
}

bool hr_match_holds(const struct hr_plan_req *req, const struct hr_http_match *m,
		    struct hr_strbuf *why)
{
	if (!check(why, "uri", "", &m->uri, req->path, m->ignore_uri_case, false) ||
	    !check(why, "method", "", &m->method, req->method, false, false) ||
	    !check(why, "scheme", "", &m->scheme, hr_req_scheme(req), false, false) ||
	    !check(why, "authority", "", &m->authority, req->host, false, false))
		return false;
	if (m->port && m->port != req->port) {
		if (why)
			hr_sb_printf(why, "port: wanted %u, saw %u", m->port, req->port);
		return false;
	}
	for (size_t i = 0; i < m->headers.len; i++) {
		const char *name = m->headers.data[i].name;

		if (!check(why, "header", name, &m->headers.data[i].m,
			   hr_req_header(req, hr_slice_of(name)), false, false))
			return false;
	}
	for (size_t i = 0; i < m->without_headers.len; i++) {
		const char *name = m->without_headers.data[i].name;

		if (!check(why, "header", name, &m->without_headers.data[i].m,
			   hr_req_header(req, hr_slice_of(name)), false, true))
			return false;
	}
	for (size_t i = 0; i < m->query_params.len; i++) {
		const char *name = m->query_params.data[i].name;

		if (!check(why, "queryParam", name, &m->query_params.data[i].m,
			   query_param(req->query, name), false, false))
			return false;
	}
	return source_holds(req, m, why);
}

static void tell(struct hr_strbuf *out, const char *what, const char *name,
		 const struct hr_string_match *m)
{
	if (!m->type)
		return;
	hr_sb_printf(out, "%s%s%s%s ", out->len ? ", " : "", what, *name ? " " : "", name);
	add_wanted(out, m);
}

static void tell_all(struct hr_strbuf *out, const char *what, const struct hr_header_match *list,
		     size_t n)
{
	for (size_t i = 0; i < n; i++)
		tell(out, what, list[i].name, &list[i].m);
}

void hr_match_tell(const struct hr_http_match *m, struct hr_strbuf *out)
{
	struct hr_strbuf said = {0};

	tell(&said, "uri", "", &m->uri);
	tell(&said, "method", "", &m->method);
	tell(&said, "scheme", "", &m->scheme);
	tell(&said, "authority", "", &m->authority);
	if (m->port)
		hr_sb_printf(&said, "%sport %u", said.len ? ", " : "", m->port);
	tell_all(&said, "header", m->headers.data, m->headers.len);
	tell_all(&said, "without header", m->without_headers.data, m->without_headers.len);
	tell_all(&said, "queryParam", m->query_params.data, m->query_params.len);
	if (m->source_namespace)
		hr_sb_printf(&said, "%ssourceNamespace \"%s\"", said.len ? ", " : "",
			     m->source_namespace);
	for (size_t i = 0; i < m->source_labels.len; i++)
		hr_sb_printf(&said, "%ssourceLabels %s=%s", said.len ? ", " : "",
			     m->source_labels.data[i].key, m->source_labels.data[i].value);
	hr_sb_add(out, said.len ? said.data : "no condition: matches all");
	hr_sb_free(&said);
}
