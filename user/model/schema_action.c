// SPDX-License-Identifier: Apache-2.0
/* Rows of HTTPRoute: what is done with a request that matched (networking/v1alpha3). */
#include <string.h>

#include "core/cleanup.h"
#include "model/schema_int.h"

static const struct hr_field percent_fields[] = {{.name = "value",
						  .type = HR_T_PPM,
						  .status = HR_ST_AGENT,
						  .off = 0,
						  .width = sizeof(int32_t)},
						 HR_END};
static const struct hr_message percent = {
	.name = "Percent", .fields = percent_fields, .size = sizeof(int32_t)};

/* Old integer percentages, 0..100. */
static void set_int_percent(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			    void *obj)
{
	int64_t v;
	const char *why = hr_scalar_int(n, 0, 100, &v);

	if (why)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value", "%s, 0 to 100", why);
	else if (f->off != HR_NO_OFF)
		*(int32_t *)((char *)obj + f->off) = (int32_t)v * 10000;
}

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
	{.name = "uri",
	 .type = HR_T_STRING,
	 .status = HR_ST_AGENT,
	 .oneof = 1,
	 .check = hr_check_header_value,
	 HR_AT(struct hr_redirect, uri)},
	{.name = "authority",
	 .type = HR_T_STRING,
	 .status = HR_ST_AGENT,
	 .check = hr_check_authority,
	 HR_AT(struct hr_redirect, authority)},
	{.name = "port",
	 .type = HR_T_INT,
	 .status = HR_ST_AGENT,
	 .oneof = 2,
	 .min = 1,
	 .max = 65535,
	 HR_AT(struct hr_redirect, port)},
	{.name = "derivePort",
	 .type = HR_T_WORD,
	 .status = HR_ST_AGENT,
	 .oneof = 2,
	 .words = derive_port_words,
	 HR_AT(struct hr_redirect, derive_port)},
	{.name = "scheme",
	 .type = HR_T_WORD,
	 .status = HR_ST_AGENT,
	 .words = scheme_words,
	 HR_AT(struct hr_redirect, scheme)},
	{.name = "redirectCode",
	 .type = HR_T_INT,
	 .status = HR_ST_AGENT,
	 HR_AT(struct hr_redirect, code)},
	{.name = "prefixRewrite",
	 .type = HR_T_STRING,
	 .status = HR_ST_NOT_BUILT,
	 .oneof = 1,
	 .why = "redirects that replace the matched prefix",
	 .check = hr_check_header_value,
	 HR_AT(struct hr_redirect, prefix_rewrite)},
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

static const struct hr_field body_fields[] = {{.name = "string",
					       .type = HR_T_STRING,
					       .status = HR_ST_AGENT,
					       .flags = HR_F_LONG,
					       .oneof = 1,
					       .set = set_body_string,
					       HR_NOWHERE},
					      {.name = "bytes",
					       .type = HR_T_STRING,
					       .status = HR_ST_AGENT,
					       .why = "base64",
					       .flags = HR_F_LONG,
					       .oneof = 1,
					       .set = set_body_bytes,
					       HR_NOWHERE},
					      HR_END};
static const struct hr_message body = {.name = "HTTPBody", .fields = body_fields};
static const struct hr_field direct_response_fields[] = {
	{.name = "status",
	 .type = HR_T_INT,
	 .status = HR_ST_AGENT,
	 .flags = HR_F_REQUIRED,
	 .min = 200,
	 .max = 599,
	 HR_AT(struct hr_direct_response, status)},
	{.name = "body", .type = HR_T_MESSAGE, .status = HR_ST_AGENT, .msg = &body, .off = 0},
	HR_END};
static const struct hr_message direct_response = {.name = "HTTPDirectResponse",
						  .fields = direct_response_fields,
						  .size = sizeof(struct hr_direct_response),
						  HR_SET(struct hr_direct_response)};

static const struct hr_field delegate_fields[] = {{.name = "name",
						   .type = HR_T_STRING,
						   .status = HR_ST_CONTROL,
						   .check = hr_check_dns_name,
						   HR_AT(struct hr_http_route, delegate_name)},
						  {.name = "namespace",
						   .type = HR_T_STRING,
						   .status = HR_ST_CONTROL,
						   .check = hr_check_dns_label,
						   HR_AT(struct hr_http_route, delegate_ns)},
						  HR_END};
static const struct hr_message delegate = {.name = "Delegate", .fields = delegate_fields};

static const struct hr_field regex_rewrite_fields[] = {{.name = "match",
							.type = HR_T_STRING,
							.status = HR_ST_AGENT,
							.check = hr_check_regex,
							HR_AT(struct hr_rewrite, regex)},
						       {.name = "rewrite",
							.type = HR_T_STRING,
							.status = HR_ST_AGENT,
							.check = hr_check_header_value,
							HR_AT(struct hr_rewrite, regex_rewrite)},
						       HR_END};
static const struct hr_message regex_rewrite = {.name = "RegexRewrite",
						.fields = regex_rewrite_fields};

static void rewrite_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	(void)obj;
	if (!n->count)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "missing",
			   "a rewrite needs uri, authority or uriRegexRewrite");
}

static const struct hr_field rewrite_fields[] = {{.name = "uri",
						  .type = HR_T_STRING,
						  .status = HR_ST_AGENT,
						  .oneof = 1,
						  .check = hr_check_header_value,
						  HR_AT(struct hr_rewrite, uri)},
						 {.name = "authority",
						  .type = HR_T_STRING,
						  .status = HR_ST_AGENT,
						  .check = hr_check_authority,
						  HR_AT(struct hr_rewrite, authority)},
						 {.name = "uriRegexRewrite",
						  .type = HR_T_MESSAGE,
						  .status = HR_ST_NOT_BUILT,
						  .oneof = 1,
						  .why = "rewriting paths by regular expression",
						  .msg = &regex_rewrite,
						  .off = 0},
						 HR_END};
static const struct hr_message rewrite = {.name = "HTTPRewrite",
					  .fields = rewrite_fields,
					  .size = sizeof(struct hr_rewrite),
					  .check = rewrite_check,
					  HR_SET(struct hr_rewrite)};

/* ---- retries ---- */

static const char *const retry_words[] = {
	"5xx", "gateway-error", "reset", "reset-before-request", "connect-failure",
	"envoy-ratelimited", "retriable-4xx", "refused-stream", "retriable-status-codes",
	"retriable-headers", "http3-post-connect-failure",
	/* gRPC statuses */
	"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"};

static bool retry_word_ok(const char *w)
{
	uint64_t code;

	for (size_t i = 0; i < HR_ARRAY_SIZE(retry_words); i++)
		if (hr_streq(w, retry_words[i]))
			return true;
	return !hr_parse_u64(w, 599, &code) && code >= 100;
}

static void set_retry_on(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			 void *obj)
{
	struct hr_retries *r = obj;
	const char *s = hr_dec_string(x, f, n);
	size_t items = 1;

	if (!s)
		return;
	for (const char *c = s; *c; c++)
		items += *c == ',';
	r->retry_on.data = hr_dec_list(x, items, sizeof(*r->retry_on.data));
	while (*s) {
		size_t blank = strspn(s, " \t"), len = strcspn(s, ",");
		char *w = hr_arena_strndup(x->arena, s + blank, blank < len ? len - blank : 0);
		const char *near;

		w[strcspn(w, " \t")] = 0;
		s += len + (s[len] == ',');
		if (!*w)
			continue;
		near = hr_nearest(w, retry_words, HR_ARRAY_SIZE(retry_words));
		if (retry_word_ok(w))
			r->retry_on.data[r->retry_on.len++] = w;
		else if (near)
			hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value",
				   "unknown condition \"%.80s\"; did you mean \"%s\"?", w, near);
		else
			hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value",
				   "unknown condition \"%.80s\"", w);
	}
}

static void retries_init(void *obj)
{
	struct hr_retries *r = obj;

	r->per_try_timeout = r->backoff = -1;
	r->retry_remote_localities = r->retry_ignore_previous_hosts = -1;
}

static const struct hr_field retries_fields[] = {
	{.name = "attempts",
	 .type = HR_T_INT,
	 .status = HR_ST_AGENT,
	 .why = "retries after the first try",
	 .min = 0,
	 .max = INT32_MAX,
	 HR_AT(struct hr_retries, attempts)},
	{.name = "perTryTimeout",
	 .type = HR_T_DURATION,
	 .status = HR_ST_AGENT,
	 .min = 1,
	 HR_AT(struct hr_retries, per_try_timeout)},
	{.name = "retryOn",
	 .type = HR_T_STRING,
	 .status = HR_ST_AGENT,
	 .set = set_retry_on,
	 .flags = HR_F_ANY_SCALAR,
	 HR_NOWHERE},
	{.name = "retryRemoteLocalities",
	 .type = HR_T_BOOL,
	 .status = HR_ST_AGENT,
	 HR_AT(struct hr_retries, retry_remote_localities)},
	{.name = "retryIgnorePreviousHosts",
	 .type = HR_T_BOOL,
	 .status = HR_ST_AGENT,
	 HR_AT(struct hr_retries, retry_ignore_previous_hosts)},
	{.name = "backoff",
	 .type = HR_T_DURATION,
	 .status = HR_ST_AGENT,
	 .min = 1,
	 HR_AT(struct hr_retries, backoff)},
	HR_END};
static const struct hr_message retries = {.name = "HTTPRetry",
					  .fields = retries_fields,
					  .size = sizeof(struct hr_retries),
					  HR_SET(struct hr_retries)};

/* ---- fault ---- */

static void fault_init(void *obj)
{
	struct hr_fault *f = obj;

	f->delay_ms = f->abort_http = -1;
}

/* Without a percentage Istio delays (aborts) nothing: surely not what was meant. */
static void percentage_check(struct hr_dec *x, const struct hr_ynode *n, const char *what)
{
	if (!hr_node_get(n, "percentage") && !hr_node_get(n, "percent"))
		hr_dec_say(x, HR_SEV_WARNING, n->pos, "missing",
			   "without percentage no request is %s", what);
}

static void delay_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	(void)obj;
	if (!hr_node_get(n, "fixedDelay") && !hr_node_get(n, "exponentialDelay"))
		hr_dec_say_at(x, "fixedDelay", HR_SEV_ERROR, x->meta->pos, "missing",
			      "missing required field");
	percentage_check(x, n, "delayed");
}

static void abort_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	(void)obj;
	if (!hr_node_get(n, "httpStatus") && !hr_node_get(n, "grpcStatus") &&
	    !hr_node_get(n, "http2Error"))
		hr_dec_say_at(x, "httpStatus", HR_SEV_ERROR, x->meta->pos, "missing",
			      "missing required field");
	percentage_check(x, n, "aborted");
}

static const struct hr_field delay_fields[] = {{.name = "fixedDelay",
						.type = HR_T_DURATION,
						.status = HR_ST_AGENT,
						.oneof = 1,
						.min = 1,
						HR_AT(struct hr_fault, delay_ms)},
					       {.name = "exponentialDelay",
						.type = HR_T_DURATION,
						.status = HR_ST_NOT_BUILT,
						.oneof = 1,
						.why = "Istio does not implement it either",
						HR_NOWHERE},
					       {.name = "percentage",
						.type = HR_T_MESSAGE,
						.status = HR_ST_AGENT,
						.oneof = 2,
						.msg = &percent,
						HR_AT(struct hr_fault, delay_ppm)},
					       {.name = "percent",
						.type = HR_T_INT,
						.status = HR_ST_AGENT,
						.oneof = 2,
						.flags = HR_F_DEPRECATED,
						.why = "use percentage.value",
						.set = set_int_percent,
						HR_AT(struct hr_fault, delay_ppm)},
					       HR_END};
static const struct hr_message delay = {
	.name = "HTTPFaultInjection.Delay", .fields = delay_fields, .check = delay_check};
static const struct hr_field abort_fields[] = {{.name = "httpStatus",
						.type = HR_T_INT,
						.status = HR_ST_AGENT,
						.oneof = 1,
						.min = 200,
						.max = 599,
						HR_AT(struct hr_fault, abort_http)},
					       {.name = "grpcStatus",
						.type = HR_T_STRING,
						.status = HR_ST_AGENT,
						.oneof = 1,
						.check = hr_check_nonempty,
						HR_AT(struct hr_fault, abort_grpc)},
					       {.name = "http2Error",
						.type = HR_T_STRING,
						.status = HR_ST_NOT_BUILT,
						.oneof = 1,
						.why = "Istio does not implement it either",
						HR_NOWHERE},
					       {.name = "percentage",
						.type = HR_T_MESSAGE,
						.status = HR_ST_AGENT,
						.msg = &percent,
						HR_AT(struct hr_fault, abort_ppm)},
					       HR_END};
static const struct hr_message abort_msg = {
	.name = "HTTPFaultInjection.Abort", .fields = abort_fields, .check = abort_check};
static const struct hr_field fault_fields[] = {
	{.name = "delay", .type = HR_T_MESSAGE, .status = HR_ST_AGENT, .msg = &delay, .off = 0},
	{.name = "abort", .type = HR_T_MESSAGE, .status = HR_ST_AGENT, .msg = &abort_msg, .off = 0},
	HR_END};

static void fault_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	(void)obj;
	if (!n->count)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "missing", "a fault needs delay or abort");
}

static const struct hr_message fault = {.name = "HTTPFaultInjection",
					.fields = fault_fields,
					.size = sizeof(struct hr_fault),
					.check = fault_check,
					HR_SET(struct hr_fault)};

/* ---- mirror ---- */

static void mirror_init(void *obj)
{
	((struct hr_mirror *)obj)->ppm = 1000000;
}

static const struct hr_field mirror_fields[] = {{.name = "destination",
						 .type = HR_T_MESSAGE,
						 .status = HR_ST_AGENT,
						 .flags = HR_F_REQUIRED,
						 .msg = &hr_msg_destination,
						 HR_AT(struct hr_mirror, destination)},
						{.name = "percentage",
						 .type = HR_T_MESSAGE,
						 .status = HR_ST_AGENT,
						 .msg = &percent,
						 HR_AT(struct hr_mirror, ppm)},
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
			c->allow_origins.data[c->allow_origins.len++] =
				(struct hr_string_match){HR_MATCH_PREFIX, "", i->pos};
		else if (s)
			c->allow_origins.data[c->allow_origins.len++] =
				(struct hr_string_match){HR_MATCH_EXACT, s, i->pos};
	}
}

static void cors_init(void *obj)
{
	struct hr_cors *c = obj;

	c->max_age = c->allow_credentials = -1;
}

static const struct hr_field cors_fields[] = {{.name = "allowOrigins",
					       .type = HR_T_MESSAGES,
					       .status = HR_ST_AGENT,
					       .oneof = 1,
					       .msg = &hr_msg_match_origin,
					       HR_AT(struct hr_cors, allow_origins)},
					      {.name = "allowOrigin",
					       .type = HR_T_STRINGS,
					       .status = HR_ST_AGENT,
					       .oneof = 1,
					       .flags = HR_F_DEPRECATED,
					       .why = "use allowOrigins",
					       .set = set_allow_origin,
					       HR_NOWHERE},
					      {.name = "allowMethods",
					       .type = HR_T_STRINGS,
					       .status = HR_ST_AGENT,
					       .check = hr_check_header_value,
					       HR_AT(struct hr_cors, allow_methods)},
					      {.name = "allowHeaders",
					       .type = HR_T_STRINGS,
					       .status = HR_ST_AGENT,
					       .check = hr_check_header_value,
					       HR_AT(struct hr_cors, allow_headers)},
					      {.name = "exposeHeaders",
					       .type = HR_T_STRINGS,
					       .status = HR_ST_AGENT,
					       .check = hr_check_header_value,
					       HR_AT(struct hr_cors, expose_headers)},
					      {.name = "maxAge",
					       .type = HR_T_DURATION,
					       .status = HR_ST_AGENT,
					       HR_AT(struct hr_cors, max_age)},
					      {.name = "allowCredentials",
					       .type = HR_T_BOOL,
					       .status = HR_ST_AGENT,
					       HR_AT(struct hr_cors, allow_credentials)},
					      {.name = "unmatchedPreflights",
					       .type = HR_T_WORD,
					       .status = HR_ST_AGENT,
					       .words = preflight_words,
					       HR_AT(struct hr_cors, unmatched_preflights)},
					      HR_END};
static const struct hr_message cors = {.name = "CorsPolicy",
				       .fields = cors_fields,
				       .size = sizeof(struct hr_cors),
				       HR_SET(struct hr_cors)};

/* ---- HTTPRoute ---- */

static void http_route_init(void *obj)
{
	struct hr_http_route *r = obj;

	r->timeout = -1;
	r->redirect.code = 301;
	retries_init(&r->retries);
	fault_init(&r->fault);
	cors_init(&r->cors);
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
	if (!first || (hr_streq(first->key, "route") && !r->route.len))
		hr_dec_say_at(x, "route", HR_SEV_ERROR, x->meta->pos, "missing",
			      "one of route, redirect, directResponse and delegate must be set");
	if (r->redirect.set && r->rewrite.set)
		hr_dec_say_at(x, "rewrite", HR_SEV_ERROR, hr_node_get(n, "rewrite")->key_pos,
			      "one-of", "a redirect cannot have a rewrite");
	if (r->route.len)
		hr_check_weights(x, n, r->route.data, r->route.len);
}

static const struct hr_field http_route_fields[] = {
	{.name = "name",
	 .type = HR_T_STRING,
	 .status = HR_ST_CONTROL,
	 HR_AT(struct hr_http_route, name)},
	{.name = "match",
	 .type = HR_T_MESSAGES,
	 .status = HR_ST_KERNEL,
	 .msg = &hr_msg_http_match,
	 HR_AT(struct hr_http_route, match)},
	{.name = "route",
	 .type = HR_T_MESSAGES,
	 .status = HR_ST_KERNEL,
	 .msg = &hr_msg_http_destination,
	 HR_AT(struct hr_http_route, route)},
	{.name = "redirect",
	 .type = HR_T_MESSAGE,
	 .status = HR_ST_AGENT,
	 .msg = &redirect,
	 HR_AT(struct hr_http_route, redirect)},
	{.name = "directResponse",
	 .type = HR_T_MESSAGE,
	 .status = HR_ST_AGENT,
	 .msg = &direct_response,
	 HR_AT(struct hr_http_route, direct_response)},
	{.name = "delegate",
	 .type = HR_T_MESSAGE,
	 .status = HR_ST_NOT_BUILT,
	 .why = "delegation to another VirtualService",
	 .msg = &delegate,
	 .off = 0},
	{.name = "rewrite",
	 .type = HR_T_MESSAGE,
	 .status = HR_ST_AGENT,
	 .msg = &rewrite,
	 HR_AT(struct hr_http_route, rewrite)},
	{.name = "timeout",
	 .type = HR_T_DURATION,
	 .status = HR_ST_AGENT,
	 .why = "0s: none",
	 HR_AT(struct hr_http_route, timeout)},
	{.name = "retries",
	 .type = HR_T_MESSAGE,
	 .status = HR_ST_AGENT,
	 .msg = &retries,
	 HR_AT(struct hr_http_route, retries)},
	{.name = "fault",
	 .type = HR_T_MESSAGE,
	 .status = HR_ST_AGENT,
	 .msg = &fault,
	 HR_AT(struct hr_http_route, fault)},
	{.name = "mirror",
	 .type = HR_T_MESSAGE,
	 .status = HR_ST_NOT_BUILT,
	 .oneof = 1,
	 .why = "mirroring",
	 .msg = &hr_msg_destination,
	 .set = set_mirror,
	 HR_NOWHERE},
	{.name = "mirrors",
	 .type = HR_T_MESSAGES,
	 .status = HR_ST_NOT_BUILT,
	 .oneof = 1,
	 .why = "mirroring",
	 .msg = &mirror_policy,
	 HR_AT(struct hr_http_route, mirrors)},
	{.name = "mirrorPercentage",
	 .type = HR_T_MESSAGE,
	 .status = HR_ST_NOT_BUILT,
	 .why = "mirroring",
	 .oneof = 2,
	 .msg = &percent,
	 HR_NOWHERE},
	{.name = "mirrorPercent",
	 .type = HR_T_INT,
	 .status = HR_ST_NOT_BUILT,
	 .oneof = 2,
	 .why = "mirroring; deprecated: use mirrorPercentage",
	 .set = set_int_percent,
	 HR_NOWHERE},
	{.name = "corsPolicy",
	 .type = HR_T_MESSAGE,
	 .status = HR_ST_NOT_BUILT,
	 .why = "cross-origin policy",
	 .msg = &cors,
	 HR_AT(struct hr_http_route, cors)},
	{.name = "headers",
	 .type = HR_T_MESSAGE,
	 .status = HR_ST_AGENT,
	 .msg = &hr_msg_headers,
	 HR_AT(struct hr_http_route, headers)},
	HR_END};
const struct hr_message hr_msg_http_route = {.name = "HTTPRoute",
					     .fields = http_route_fields,
					     .size = sizeof(struct hr_http_route),
					     .init = http_route_init,
					     .check = http_route_check,
					     HR_POS(struct hr_http_route)};
