// SPDX-License-Identifier: Apache-2.0
/*
 * corsPolicy, as Envoy's filter does it: a preflight is answered here, the answers to other
 * requests of an allowed origin get their headers.
 */
#include "core/cleanup.h"
#include "proxy/request/headers.h"
#include "proxy/internal.h"

static bool origin_matches(const struct hr_string_match *m, struct hr_slice origin)
{
	switch (m->type) {
	case HR_MATCH_EXACT:
		return hr_streq(m->value, "*") || hr_slice_eq(origin, hr_slice_of(m->value));
	case HR_MATCH_PREFIX:
		return hr_slice_starts(origin, hr_slice_of(m->value));
	case HR_MATCH_REGEX:
		return m->regex && hr_regex_full(m->regex, origin.p, origin.n);
	default:
		return false;
	}
}

static bool allowed(const struct hr_cors *cors, struct hr_slice origin)
{
	for (size_t i = 0; i < cors->allow_origins.len; i++)
		if (origin_matches(&cors->allow_origins.data[i], origin))
			return true;
	return false;
}

static void add(struct px_headers *h, const char *name, struct hr_slice value)
{
	if (value.n)
		px_headers_set(h, hr_slice_of(name), value);
}

static void add_credentials(struct px_headers *h, const struct hr_cors *cors)
{
	if (cors->allow_credentials == 1)
		add(h, "access-control-allow-credentials", HR_SLICE("true"));
}

/* "*" stands for what was asked for. */
static void add_list(struct px_headers *h, const char *name, const char *list,
		     struct hr_slice asked)
{
	if (list)
		add(h, name, hr_streq(list, "*") ? asked : hr_slice_of(list));
}

bool px_cors(struct px_req *r)
{
	const struct hr_cors *cors = &r->match.route->http->cors;
	struct hr_slice origin = hr_http_get(&r->msg, HR_SLICE("origin"));
	struct hr_slice method = hr_http_str(&r->msg, r->msg.method);
	struct hr_slice asked = hr_http_get(&r->msg, HR_SLICE("access-control-request-method"));
	struct px_headers h = {};
	bool ok;

	if (!cors->set || !origin.n)
		return false;
	ok = r->cors = allowed(cors, origin);
	if (!hr_slice_eq(method, HR_SLICE("OPTIONS")) || !asked.n)
		return false;
	if (!ok && !hr_streq(cors->unmatched_preflights, "IGNORE"))
		return false;
	r->cors = false; /* the answer has all that it needs */
	if (ok)
		add(&h, "access-control-allow-origin", origin);
	add_credentials(&h, cors);
	add(&h, "access-control-expose-headers", hr_slice_of(cors->expose));
	add_list(&h, "access-control-allow-methods", cors->methods, asked);
	add_list(&h, "access-control-allow-headers", cors->headers,
		 hr_http_get(&r->msg, HR_SLICE("access-control-request-headers")));
	add(&h, "access-control-max-age", hr_slice_of(cors->seconds));
	px_reply_headers(r, 200, &h);
	return true;
}

void px_cors_response(struct px_req *r, struct px_headers *h)
{
	const struct hr_cors *cors;

	if (!r->cors)
		return;
	cors = &r->match.route->http->cors;
	add(h, "access-control-allow-origin", hr_http_get(&r->msg, HR_SLICE("origin")));
	add_credentials(h, cors);
	add(h, "access-control-expose-headers", hr_slice_of(cors->expose));
}
