// SPDX-License-Identifier: Apache-2.0
/* Rows of HTTPRetry and HTTPFaultInjection (networking/v1alpha3): failures, met and made. */
#include <string.h>

#include "core/cleanup.h"
#include "model/schema_int.h"

static const struct hr_field percent_fields[] = {
	HR_ROW("value", PPM, AGENT, .off = 0, .width = sizeof(int32_t)), HR_END};
const struct hr_message hr_msg_percent = {
	.name = "Percent", .fields = percent_fields, .size = sizeof(int32_t)};

/* Old integer percentages, 0..100. */
void hr_set_int_percent(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			void *obj)
{
	int64_t v;
	const char *why = hr_scalar_int(n, 0, 100, &v);

	if (why)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value", "%s, 0 to 100", why);
	else if (f->off != HR_NO_OFF)
		*(int32_t *)((char *)obj + f->off) = (int32_t)v * 10000;
}

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

void hr_retries_init(void *obj)
{
	struct hr_retries *r = obj;

	r->per_try_timeout = r->backoff = -1;
	r->retry_remote_localities = r->retry_ignore_previous_hosts = -1;
}

static const struct hr_field retries_fields[] = {
	HR_ROW("attempts", INT, KERNEL, .why = "retries after the first try", .min = 0,
	       .max = INT32_MAX, HR_AT(struct hr_retries, attempts)),
	HR_ROW("perTryTimeout", DURATION, KERNEL, .min = 1,
	       HR_AT(struct hr_retries, per_try_timeout)),
	HR_ROW("retryOn", STRING, KERNEL, .why = "retriable-headers, envoy-ratelimited: agent",
	       .set = set_retry_on, .flags = HR_F_ANY_SCALAR, HR_NOWHERE),
	HR_ROW("retryRemoteLocalities", BOOL, AGENT,
	       .why = "other priorities of the locality load balancing after two tries",
	       HR_AT(struct hr_retries, retry_remote_localities)),
	HR_ROW("retryIgnorePreviousHosts", BOOL, AGENT,
	       HR_AT(struct hr_retries, retry_ignore_previous_hosts)),
	HR_ROW("backoff", DURATION, AGENT, .min = 1, HR_AT(struct hr_retries, backoff)),
	HR_END};
const struct hr_message hr_msg_retries = {.name = "HTTPRetry",
					  .fields = retries_fields,
					  .size = sizeof(struct hr_retries),
					  HR_SET(struct hr_retries)};

/* ---- fault ---- */

void hr_fault_init(void *obj)
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
		hr_dec_missing(x, "fixedDelay", "a delay needs fixedDelay");
	percentage_check(x, n, "delayed");
}

static void abort_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	(void)obj;
	if (!hr_node_get(n, "httpStatus") && !hr_node_get(n, "grpcStatus") &&
	    !hr_node_get(n, "http2Error"))
		hr_dec_missing(x, "httpStatus", "an abort needs httpStatus or grpcStatus");
	percentage_check(x, n, "aborted");
}

/* google.rpc.Code, in order. */
static const char *const grpc_codes[] = {"OK",
					 "CANCELLED",
					 "UNKNOWN",
					 "INVALID_ARGUMENT",
					 "DEADLINE_EXCEEDED",
					 "NOT_FOUND",
					 "ALREADY_EXISTS",
					 "PERMISSION_DENIED",
					 "RESOURCE_EXHAUSTED",
					 "FAILED_PRECONDITION",
					 "ABORTED",
					 "OUT_OF_RANGE",
					 "UNIMPLEMENTED",
					 "INTERNAL",
					 "UNAVAILABLE",
					 "DATA_LOSS",
					 "UNAUTHENTICATED"};

static void set_grpc_status(struct hr_dec *x, const struct hr_field *f, const struct hr_ynode *n,
			    void *obj)
{
	struct hr_fault *fault = obj;
	const char *s = hr_dec_string(x, f, n), *near;

	for (size_t i = 0; s && i < HR_ARRAY_SIZE(grpc_codes); i++)
		if (hr_streq(s, grpc_codes[i])) {
			fault->abort_grpc = s;
			fault->abort_grpc_code = (int32_t)i;
			return;
		}
	if (!s)
		return;
	near = hr_nearest(s, grpc_codes, HR_ARRAY_SIZE(grpc_codes));
	hr_dec_say(x, HR_SEV_ERROR, n->pos, "bad-value",
		   "\"%.80s\" is no gRPC status by name (UNAVAILABLE, NOT_FOUND ...)%s%s%s", s,
		   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static const struct hr_field delay_fields[] = {
	HR_ROW("fixedDelay", DURATION, AGENT, .oneof = 1, .min = 1,
	       HR_AT(struct hr_fault, delay_ms)),
	HR_ROW("exponentialDelay", DURATION, REFUSED, .oneof = 1,
	       .why = "Istio ignores it; use fixedDelay", HR_NOWHERE),
	HR_ROW("percentage", MESSAGE, AGENT, .oneof = 2, .msg = &hr_msg_percent,
	       HR_AT(struct hr_fault, delay_ppm)),
	HR_ROW("percent", INT, AGENT, .oneof = 2, .flags = HR_F_DEPRECATED,
	       .why = "use percentage.value", .set = hr_set_int_percent,
	       HR_AT(struct hr_fault, delay_ppm)),
	HR_END};
static const struct hr_message delay = {
	.name = "HTTPFaultInjection.Delay", .fields = delay_fields, .check = delay_check};
static const struct hr_field abort_fields[] = {
	HR_ROW("httpStatus", INT, AGENT, .oneof = 1, .min = 200, .max = 599,
	       HR_AT(struct hr_fault, abort_http)),
	HR_ROW("grpcStatus", STRING, AGENT, .oneof = 1,
	       .why = "UNAVAILABLE ...; who does not speak gRPC gets its HTTP status",
	       .set = set_grpc_status, HR_NOWHERE),
	HR_ROW("http2Error", STRING, REFUSED, .oneof = 1,
	       .why = "Istio ignores it; use httpStatus or grpcStatus", HR_NOWHERE),
	HR_ROW("percentage", MESSAGE, AGENT, .msg = &hr_msg_percent,
	       HR_AT(struct hr_fault, abort_ppm)),
	HR_END};
static const struct hr_message abort_msg = {
	.name = "HTTPFaultInjection.Abort", .fields = abort_fields, .check = abort_check};
static const struct hr_field fault_fields[] = {
	HR_ROW("delay", MESSAGE, AGENT, .msg = &delay, .off = 0),
	HR_ROW("abort", MESSAGE, AGENT, .msg = &abort_msg, .off = 0), HR_END};

static void fault_check(struct hr_dec *x, const struct hr_ynode *n, void *obj)
{
	(void)obj;
	if (!n->count)
		hr_dec_say(x, HR_SEV_ERROR, n->pos, "missing", "a fault needs delay or abort");
}

const struct hr_message hr_msg_fault = {.name = "HTTPFaultInjection",
					.fields = fault_fields,
					.size = sizeof(struct hr_fault),
					.check = fault_check,
					HR_SET(struct hr_fault)};
