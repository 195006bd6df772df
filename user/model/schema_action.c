// SPDX-License-Identifier: Apache-2.0
/* Rows of HTTPRoute: what is done with a request that matched (networking/v1alpha3). */
#include <string.h>

#include "core/cleanup.h"
#include "model/schema_int.h"

/* ---- redirect, directResponse, delegate, rewrite ---- */

static const struct hr_word derive_port_words[] = {{"FROM_PROTOCOL_DEFAULT", 0, HR_ST_AGENT, NULL},
						   {"FROM_REQUEST_PORT", 1, HR_ST_AGENT, NULL},
						   {NULL, 0, 0, NULL}};
static const struct hr_word scheme_words[] = {
	{"http", 0, HR_ST_AGENT, NULL}, {"https", 1, HR_ST_AGENT, NULL}, {NULL, 0, 0, NULL}};

static void redirect_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	const struct hr_redirect *r = obj;
	static const int codes[] = {301, 302, 303, 307, 308};
	bool ok = false;

	for (size_t i = 0; i < HR_ARRAY_SIZE(codes); i++)
		ok = ok || r->code == codes[i];
	if (!ok && hr_node_get(n, "redirectCode"))
		hr_dec_say_at(x, "redirectCode", HR_SEV_ERROR, hr_node_get(n, "redirectCode")->pos,
			      "bad-value", "expected 301, 302, 303, 307 or 308, found %d", r->code);
	if (!n->count)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "missing",
			   "a redirect needs uri, authority, port, scheme or redirectCode");
}

static const struct hr_field redirect_fields[] = {
	HR_ROW("uri", STRING, AGENT, .oneof = 1, .check = hr_check_header_value,
	       HR_AT(struct hr_redirect, uri)),
	HR_ROW("authority", STRING, AGENT, .check = hr_check_authority,
	       HR_AT(struct hr_redirect, authority)),
	HR_ROW("port", INT, AGENT, .oneof = 2, .min = 1, .max = 65535,
	       HR_AT(struct hr_redirect, port)),
	HR_ROW("derivePort", WORD, AGENT, .oneof = 2, .words = derive_port_words,
	       HR_AT(struct hr_redirect, derive_port)),
	HR_ROW("scheme", WORD, AGENT, .words = scheme_words, HR_AT(struct hr_redirect, scheme)),
	HR_ROW("redirectCode", INT, AGENT, HR_AT(struct hr_redirect, code)),
	HR_ROW("prefixRewrite", STRING, AGENT, .oneof = 1,
	       .why = "in place of the prefix that the rule matches",
	       .check = hr_check_header_value, HR_AT(struct hr_redirect, prefix_rewrite)),
	HR_END};
static const struct hr_message redirect = {.name = "HTTPRedirect",
					   .fields = redirect_fields,
					   .size = sizeof(struct hr_redirect),
					   .check = redirect_check,
					   HR_SET(struct hr_redirect)};

static void set_body_string(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			    void *obj)
{
	struct hr_direct_response *d = obj;

	d->body = hr_dec_string(x, f, n);
	d->body_len = d->body ? n->len : 0;
}

static void set_body_bytes(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			   void *obj)
{
	struct hr_direct_response *d = obj;
	_cleanup_free_ char *bytes = NULL;
	const char *s = hr_dec_string(x, f, n);
	const char *why = s ? hr_parse_base64(s, n->len, &bytes, &d->body_len) : NULL;

	if (why)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value", "%s", why);
	else if (s)
		d->body = hr_arena_strndup(x->arena, "", 0);
	if (!why && s && d->body_len) {
		char *copy = hr_arena_alloc(x->arena, d->body_len + 1);

		memcpy(copy, bytes, d->body_len);
		d->body = copy;
	}
}

static const struct hr_field body_fields[] = {
	HR_ROW("string", STRING, AGENT, .flags = HR_F_LONG, .oneof = 1, .set = set_body_string,
	       HR_NOWHERE),
	HR_ROW("bytes", STRING, AGENT, .why = "base64", .flags = HR_F_LONG, .oneof = 1,
	       .set = set_body_bytes, HR_NOWHERE),
	HR_END};
static const struct hr_message body = {.name = "HTTPBody", .fields = body_fields};
static const struct hr_field direct_response_fields[] = {
	HR_ROW("status", INT, AGENT, .flags = HR_F_REQUIRED, .min = 200, .max = 599,
	       HR_AT(struct hr_direct_response, status)),
	HR_ROW("body", MESSAGE, AGENT, .msg = &body, .off = 0), HR_END};
static const struct hr_message direct_response = {.name = "HTTPDirectResponse",
						  .fields = direct_response_fields,
						  .size = sizeof(struct hr_direct_response),
						  HR_SET(struct hr_direct_response)};

static const struct hr_field delegate_fields[] = {
	HR_ROW("name", STRING, CONTROL, .flags = HR_F_REQUIRED, .check = hr_check_dns_name,
	       HR_AT(struct hr_http_route, delegate_name)),
	HR_ROW("namespace", STRING, CONTROL, .check = hr_check_dns_label,
	       HR_AT(struct hr_http_route, delegate_ns)),
	HR_END};
static const struct hr_message delegate = {.name = "Delegate", .fields = delegate_fields};

static void regex_rewrite_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	struct hr_rewrite *r = obj;
	const char *rewrite = r->regex_rewrite ? r->regex_rewrite : "";
	struct hr_regex_error err = {};
	struct hr_regex_sub *sub = NULL;
	bool of_rewrite;

	if (!r->regex || !*r->regex || strlen(r->regex) > HR_REGEX_MAX)
		return; /* said */
	if (hr_regex_sub_new(x->arena, r->regex, rewrite, &sub, &err, &of_rewrite)) {
		const char *field = of_rewrite ? "rewrite" : "match";

		hr_dec_say_at(x, field, HR_SEV_ERROR, hr_node_get(n, field)->pos, "bad-value",
			      "%s \"%.80s\": %s, at byte %zu", of_rewrite ? "rewrite" : "regex",
			      of_rewrite ? rewrite : r->regex, err.why, err.at + 1);
	}
	r->sub = sub;
}

static const struct hr_field regex_rewrite_fields[] = {
	HR_ROW("match", STRING, AGENT, .flags = HR_F_REQUIRED,
	       .why = "RE2, on the path without query; every match is replaced",
	       .check = hr_check_regex, HR_AT(struct hr_rewrite, regex)),
	HR_ROW("rewrite", STRING, AGENT, .why = "\\\\0 to \\\\9: the match and its groups",
	       .check = hr_check_header_value, HR_AT(struct hr_rewrite, regex_rewrite)),
	HR_END};
static const struct hr_message regex_rewrite = {
	.name = "RegexRewrite", .fields = regex_rewrite_fields, .check = regex_rewrite_check};

static void rewrite_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	(void)obj;
	if (!n->count)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "missing",
			   "a rewrite needs uri, authority or uriRegexRewrite");
}

static const struct hr_field rewrite_fields[] = {
	HR_ROW("uri", STRING, AGENT, .oneof = 1, .check = hr_check_header_value,
	       HR_AT(struct hr_rewrite, uri)),
	HR_ROW("authority", STRING, AGENT, .check = hr_check_authority,
	       HR_AT(struct hr_rewrite, authority)),
	HR_ROW("uriRegexRewrite", MESSAGE, AGENT, .oneof = 1, .msg = &regex_rewrite, .off = 0),
	HR_END};
static const struct hr_message rewrite = {.name = "HTTPRewrite",
					  .fields = rewrite_fields,
					  .size = sizeof(struct hr_rewrite),
					  .check = rewrite_check,
					  HR_SET(struct hr_rewrite)};

/* ---- mirror ---- */

static void mirror_init(void *obj)
{
	((struct hr_mirror *)obj)->ppm = 1000000;
}

static const struct hr_field mirror_fields[] = {
	HR_ROW("destination", MESSAGE, AGENT, .flags = HR_F_REQUIRED, .msg = &hr_msg_destination,
	       HR_AT(struct hr_mirror, destination)),
	HR_ROW("percentage", MESSAGE, AGENT, .msg = &hr_msg_percent, HR_AT(struct hr_mirror, ppm)),
	HR_END};
static const struct hr_message mirror_policy = {.name = "HTTPMirrorPolicy",
						.fields = mirror_fields,
						.size = sizeof(struct hr_mirror),
						.init = mirror_init};

/* `mirror` with its percentages beside it is a list of one. */
static void set_mirror(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
		       void *obj)
{
	struct hr_http_route *r = obj;

	r->mirrors.data = hr_dec_list(x, 1, sizeof(*r->mirrors.data));
	r->mirrors.len = 1;
	mirror_init(&r->mirrors.data[0]);
	hr_decode_message(x, f->msg, n, &r->mirrors.data[0].destination);
}

static void mirror_percentages(struct hr_dec *x, const struct hr_ynode *n, struct hr_http_route *r)
{
	const struct hr_ynode *p = hr_node_get(n, "mirrorPercentage");
	const struct hr_ynode *old = hr_node_get(n, "mirrorPercent");
	const struct hr_ynode *v = p ? hr_node_get(p, "value") : NULL;
	double d;
	int64_t i;

	if (!p && !old)
		return;
	if (!r->mirrors.len)
		hr_dec_say_at(x, p ? "mirrorPercentage" : "mirrorPercent", HR_SEV_ERROR,
			      (p ? p : old)->key_pos, "missing", "a percentage without mirror");
	else if (v && !hr_scalar_double(v, 0, 100, &d))
		r->mirrors.data[0].ppm = (int32_t)(d * 10000 + 0.5);
	else if (old && !hr_scalar_int(old, 0, 100, &i))
		r->mirrors.data[0].ppm = (int32_t)i * 10000;
}

/* ---- corsPolicy ---- */

static const struct hr_word preflight_words[] = {{"UNSPECIFIED", 0, HR_ST_AGENT, NULL},
						 {"FORWARD", 1, HR_ST_AGENT, NULL},
						 {"IGNORE", 2, HR_ST_AGENT, NULL},
						 {NULL, 0, 0, NULL}};

static void set_allow_origin(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			     void *obj)
{
	struct hr_cors *c = obj;

	if (!hr_dec_is(x, n, HR_NODE_SEQ))
		return;
	c->allow_origins.data = hr_dec_list(x, n->count, sizeof(*c->allow_origins.data));
	for (const struct hr_ynode *i = n->first; i; i = i->next) {
		const char *s = hr_dec_string(x, f, i);

		/* the old list had "*" for any origin */
		if (s && hr_streq(s, "*"))
			c->allow_origins.data[c->allow_origins.len++] = (struct hr_string_match){
				.type = HR_MATCH_PREFIX, .value = "", .pos = i->pos};
		else if (s)
			c->allow_origins.data[c->allow_origins.len++] = (struct hr_string_match){
				.type = HR_MATCH_EXACT, .value = s, .pos = i->pos};
	}
}

static void cors_init(void *obj)
{
	struct hr_cors *c = obj;

	c->max_age = c->allow_credentials = -1;
}

/* As one header has them; NULL: none. */
static const char *joined(struct hr_arena *a, const hr_strs *list)
{
	const char *out = list->len ? list->data[0] : NULL;

	for (size_t i = 1; i < list->len; i++)
		out = hr_arena_printf(a, "%s,%s", out, list->data[i]);
	return out;
}

static void cors_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	struct hr_cors *c = obj;

	if (!c->allow_origins.len && !hr_node_get(n, "allowOrigins") &&
	    !hr_node_get(n, "allowOrigin"))
		hr_dec_say(x, HR_SEV_WARNING, n->pos, "missing",
			   "without allowOrigins no origin is allowed");
	c->methods = joined(x->arena, &c->allow_methods);
	c->headers = joined(x->arena, &c->allow_headers);
	c->expose = joined(x->arena, &c->expose_headers);
	if (c->max_age >= 0)
		c->seconds = hr_arena_printf(x->arena, "%lld", (long long)(c->max_age / 1000));
}

static const struct hr_field cors_fields[] = {
	HR_ROW("allowOrigins", MESSAGES, AGENT, .oneof = 1, .msg = &hr_msg_match_origin,
	       HR_AT(struct hr_cors, allow_origins)),
	HR_ROW("allowOrigin", STRINGS, AGENT, .oneof = 1, .flags = HR_F_DEPRECATED,
	       .why = "use allowOrigins", .set = set_allow_origin, HR_NOWHERE),
	HR_ROW("allowMethods", STRINGS, AGENT, .check = hr_check_header_value,
	       HR_AT(struct hr_cors, allow_methods)),
	HR_ROW("allowHeaders", STRINGS, AGENT, .check = hr_check_header_value,
	       HR_AT(struct hr_cors, allow_headers)),
	HR_ROW("exposeHeaders", STRINGS, AGENT, .check = hr_check_header_value,
	       HR_AT(struct hr_cors, expose_headers)),
	HR_ROW("maxAge", DURATION, AGENT, .why = "whole seconds", HR_AT(struct hr_cors, max_age)),
	HR_ROW("allowCredentials", BOOL, AGENT, HR_AT(struct hr_cors, allow_credentials)),
	HR_ROW("unmatchedPreflights", WORD, AGENT, .words = preflight_words,
	       HR_AT(struct hr_cors, unmatched_preflights)),
	HR_END};
static const struct hr_message cors = {.name = "CorsPolicy",
				       .fields = cors_fields,
				       .size = sizeof(struct hr_cors),
				       .check = cors_check,
				       HR_SET(struct hr_cors)};

/* ---- HTTPRoute ---- */

static void http_route_init(void *obj)
{
	struct hr_http_route *r = obj;

	r->timeout = -1;
	r->redirect.code = 301;
	hr_retries_init(&r->retries);
	hr_fault_init(&r->fault);
	cors_init(&r->cors);
}

/* What replaces a matched prefix needs one. In Istio a rewrite of another match takes the place of
 * the whole path: --lenient does that. */
static void check_prefixes(struct hr_dec *x, const struct hr_ynode *n,
			   const struct hr_http_route *r)
{
	bool redirect = r->redirect.set && r->redirect.prefix_rewrite;
	size_t mark = x->path.len;
	const struct hr_ynode *at = hr_node_get(n, redirect ? "redirect" : "rewrite");

	if (!redirect && !(r->rewrite.set && r->rewrite.uri))
		return;
	at = hr_node_get(at, redirect ? "prefixRewrite" : "uri");
	for (size_t i = 0; at && i < r->match.len; i++) {
		enum hr_match_type type = r->match.data[i].uri.type;
		bool odd = redirect ? type != HR_MATCH_PREFIX : type == HR_MATCH_REGEX;

		if (!odd)
			continue;
		hr_path_key(&x->path, redirect ? "redirect" : "rewrite");
		hr_dec_say_at(
			x, redirect ? "prefixRewrite" : "uri",
			!redirect && x->flags & HR_DECODE_LENIENT ? HR_SEV_WARNING : HR_SEV_ERROR,
			at->pos, "bad-value",
			redirect ? "match[%zu] (line %u) has no uri.prefix that it could replace"
				 : "match[%zu] (line %u) matches by uri.regex, which has no "
				   "prefix to replace; use uriRegexRewrite",
			i, r->match.data[i].pos.line);
		hr_path_cut(&x->path, mark);
		return;
	}
}

static void http_route_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	static const char *const actions[] = {"route", "redirect", "directResponse", "delegate"};
	struct hr_http_route *r = obj;
	const struct hr_ynode *first = NULL;

	mirror_percentages(x, n, r);
	for (size_t i = 0; i < HR_ARRAY_SIZE(actions); i++) {
		const struct hr_ynode *c = hr_node_get(n, actions[i]);

		if (!c || hr_node_is_null(c))
			continue;
		if (first)
			hr_dec_say_at(
				x, c->key, HR_SEV_ERROR, c->key_pos, "one-of",
				"only one of \"%s\" (line %u) and \"%s\" (line %u) may be set",
				first->key, first->key_pos.line, c->key, c->key_pos.line);
		first = c;
	}
	if (!first || (hr_streq(first->key, "route") && hr_dec_absent(n, "route")))
		hr_dec_missing(x, "route",
			       "one of route, redirect, directResponse and delegate must be set");
	check_prefixes(x, n, r);
	if (r->redirect.set && r->rewrite.set)
		hr_dec_say_at(x, "rewrite", HR_SEV_ERROR, hr_node_get(n, "rewrite")->key_pos,
			      "one-of", "a redirect cannot have a rewrite");
	if (r->route.len)
		hr_check_weights(x, n, r->route.data, r->route.len);
}

static const struct hr_field http_route_fields[] = {
	HR_ROW("name", STRING, CONTROL, HR_AT(struct hr_http_route, name)),
	HR_ROW("match", MESSAGES, KERNEL, .msg = &hr_msg_http_match,
	       HR_AT(struct hr_http_route, match)),
	HR_ROW("route", MESSAGES, KERNEL, .msg = &hr_msg_http_destination,
	       HR_AT(struct hr_http_route, route)),
	HR_ROW("redirect", MESSAGE, AGENT, .msg = &redirect, HR_AT(struct hr_http_route, redirect)),
	HR_ROW("directResponse", MESSAGE, AGENT, .msg = &direct_response,
	       HR_AT(struct hr_http_route, direct_response)),
	HR_ROW("delegate", MESSAGE, CONTROL, .why = "one level; the delegate has no hosts",
	       .msg = &delegate, .off = 0),
	HR_ROW("rewrite", MESSAGE, AGENT, .msg = &rewrite, HR_AT(struct hr_http_route, rewrite)),
	HR_ROW("timeout", DURATION, KERNEL, .why = "0s: none",
	       HR_AT(struct hr_http_route, timeout)),
	HR_ROW("retries", MESSAGE, KERNEL, .msg = &hr_msg_retries,
	       HR_AT(struct hr_http_route, retries)),
	HR_ROW("fault", MESSAGE, AGENT, .msg = &hr_msg_fault, HR_AT(struct hr_http_route, fault)),
	HR_ROW("mirror", MESSAGE, KERNEL, .oneof = 1,
	       .why = "the agent sends the copy; requests with a body (copied up to 32 KiB) are "
		      "its",
	       .msg = &hr_msg_destination, .set = set_mirror, HR_NOWHERE),
	HR_ROW("mirrors", MESSAGES, KERNEL, .oneof = 1, .why = "as mirror", .msg = &mirror_policy,
	       HR_AT(struct hr_http_route, mirrors)),
	HR_ROW("mirrorPercentage", MESSAGE, AGENT, .oneof = 2, .msg = &hr_msg_percent, HR_NOWHERE),
	HR_ROW("mirrorPercent", INT, AGENT, .oneof = 2, .flags = HR_F_DEPRECATED,
	       .why = "use mirrorPercentage", .set = hr_set_int_percent, HR_NOWHERE),
	HR_ROW("corsPolicy", MESSAGE, AGENT, .why = "only requests with an Origin", .msg = &cors,
	       HR_AT(struct hr_http_route, cors)),
	HR_ROW("headers", MESSAGE, KERNEL, .msg = &hr_msg_headers,
	       HR_AT(struct hr_http_route, headers)),
	HR_END};
static const struct hr_hint http_route_hints[] = {{&hr_msg_http_match, "match[]", false},
						  {&hr_msg_http_destination, "route[]", false},
						  {&hr_msg_retries, "retries", false},
						  {NULL, NULL, false}};
const struct hr_message hr_msg_http_route = {.name = "HTTPRoute",
					     .fields = http_route_fields,
					     .hints = http_route_hints,
					     .size = sizeof(struct hr_http_route),
					     .init = http_route_init,
					     .check = http_route_check,
					     HR_POS(struct hr_http_route)};
