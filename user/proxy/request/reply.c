// SPDX-License-Identifier: Apache-2.0
/*
 * Answers that the proxy gives itself. Bodies are one line, as Envoy's users know them; the reason
 * is in the access log.
 */
#include "core/cleanup.h"
#include "proxy/request/headers.h"
#include "proxy/internal.h"

/* Rest of a request that is read and dropped so that the connection can go on, bytes. */
#define DRAIN_MAX (64 * 1024)

static bool is_head(const struct px_req *r)
{
	if (r->relayed)
		return r->resp.head_request;
	return !r->bad && hr_slice_eq(hr_http_str(&r->msg, r->msg.method), HR_SLICE("HEAD"));
}

/* A request that is not here in full: small rests are dropped, for others the connection ends. */
static bool must_close(const struct px_req *r)
{
	if (r->body.done)
		return false;
	if (r->msg.expect_continue && !r->body.payload)
		return true; /* the client may never send the body */
	return r->body.framing != HR_BODY_LENGTH || r->body.left > DRAIN_MAX;
}

static void status_line(struct px_req *r, unsigned status)
{
	r->status = (uint16_t)status;
	px_out_printf(&r->c->out, "HTTP/1.1 %u %s\r\n", status, hr_http_reason(status));
}

static void answer(struct px_req *r, unsigned status, const char *flags, struct px_headers *h,
		   const char *body, size_t n)
{
	struct px_client *c = r->c;
	bool none = status == 204 || status == 304;
	size_t before;

	px_cors_response(r, h);
	px_req_leave(r, false);
	hr_timer_stop(&r->wait_timer);
	hr_timer_stop(&r->timeout);
	if (*flags)
		r->flags = flags;
	if (must_close(r) || c->w->draining)
		c->close = true;
	before = px_out_len(&c->out);
	status_line(r, status);
	px_headers_write(h, &c->out);
	if (!none)
		px_out_printf(&c->out, "content-length: %zu\r\n", n);
	px_out_lit(&c->out, "server: headrace\r\n");
	if (c->close)
		px_out_lit(&c->out, "connection: close\r\n");
	else if (r->msg.minor == 0)
		px_out_lit(&c->out, "connection: keep-alive\r\n");
	px_out_lit(&c->out, "\r\n");
	r->resp_head_bytes = px_out_len(&c->out) - before;
	if (!none && !is_head(r)) {
		px_out_add(&c->out, body, n);
		r->resp_bytes = n;
	}
	r->started = r->resp_done = true;
	r->state = PX_REQ_REPLY;
}

static void add_type(struct px_headers *h, const char *type)
{
	px_headers_add(h, HR_SLICE("content-type"), hr_slice_of(type));
}

/* In the form that the client understands, with what the route does to its answers. */
static void say(struct px_req *r, unsigned status, const char *flags, struct px_headers *h,
		const char *body, size_t n)
{
	if (*flags)
		r->flags = flags;
	if (!r->bad)
		px_headers_route(h, r, false);
	if (!r->bad && px_is_grpc(r)) {
		px_reply_grpc(r, px_grpc_code(status), h, body, n);
		return;
	}
	if (n)
		add_type(h, "text/plain");
	answer(r, status, flags, h, body, n);
}

void px_reply(struct px_req *r, unsigned status, const char *flags, const char *body)
{
	_cleanup_headers_ struct px_headers h = {};

	say(r, status, flags, &h, body, strlen(body));
}

void px_reply_headers(struct px_req *r, unsigned status, struct px_headers *h)
{
	answer(r, status, "", h, "", 0);
}

void px_reply_overflow(struct px_req *r)
{
	_cleanup_headers_ struct px_headers h = {};

	px_headers_add(&h, HR_SLICE("x-envoy-overloaded"), HR_SLICE("true"));
	say(r, 503, "UO", &h, PX_BODY_UO, sizeof(PX_BODY_UO) - 1);
}

void px_reply_failure(struct px_req *r, enum px_failure f)
{
	bool out = r->retried_out;

	switch (f) {
	case PX_FAIL_CONNECT:
		px_reply(r, 503, out ? "UF,URX" : "UF", PX_BODY_UF);
		break;
	case PX_FAIL_RESET:
	case PX_FAIL_REFUSED:
		px_reply(r, 503, out ? "UC,URX" : "UC", PX_BODY_UC);
		break;
	case PX_FAIL_GARBAGE:
		px_reply(r, 502, out ? "UPE,URX" : "UPE", PX_BODY_UPE);
		break;
	case PX_FAIL_TRY_TIMEOUT:
		px_reply(r, 504, out ? "UT,URX" : "UT", PX_BODY_UT);
		break;
	}
}

/* ---- routes that answer ---- */

void px_reply_direct(struct px_req *r)
{
	const struct hr_http_route *http = r->match.route->http;
	const struct hr_direct_response *d = &http->direct_response;
	_cleanup_headers_ struct px_headers h = {};

	if (px_is_grpc(r)) {
		say(r, (unsigned)d->status, "", &h, d->body ? d->body : "", d->body_len);
		return;
	}
	if (d->body_len)
		add_type(&h, "text/plain");
	px_headers_route(&h, r, false);
	answer(r, (unsigned)d->status, "", &h, d->body ? d->body : "", d->body_len);
}
