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

	px_req_leave(r, false);
	hr_timer_stop(&r->wait_timer);
	hr_timer_stop(&r->timeout);
	if (*flags)
		r->flags = flags;
	if (must_close(r) || c->w->draining)
		c->close = true;
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

void px_reply(struct px_req *r, unsigned status, const char *flags, const char *body)
{
	struct px_headers h = {};

	if (*body)
		add_type(&h, "text/plain");
	answer(r, status, flags, &h, body, strlen(body));
}

void px_reply_overflow(struct px_req *r)
{
	struct px_headers h = {};

	__atomic_fetch_add(&r->c->w->px->cluster_rt[r->cluster->id].overflow, 1, __ATOMIC_RELAXED);
	add_type(&h, "text/plain");
	px_headers_add(&h, HR_SLICE("x-envoy-overloaded"), HR_SLICE("true"));
	answer(r, 503, "UO", &h, PX_BODY_UO, sizeof(PX_BODY_UO) - 1);
}

void px_reply_failure(struct px_req *r, enum px_failure f)
{
	bool out = r->retried_out;

	switch (f) {
	case PX_FAIL_CONNECT:
		px_reply(r, 503, out ? "UF,URX" : "UF", PX_BODY_UF);
		break;
	case PX_FAIL_RESET:
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
	struct px_headers h = {};

	if (d->body_len)
		add_type(&h, "text/plain");
	px_headers_apply(&h, &http->headers.response);
	answer(r, (unsigned)d->status, "", &h, d->body ? d->body : "", d->body_len);
}

/* host[:port] of the Location: port from the redirect, else as the client named it. */
static void location_authority(struct px_req *r, const struct hr_redirect *red, bool https,
			       struct hr_strbuf *out)
{
	struct hr_slice host = px_authority(r);
	uint16_t port = red->port ? (uint16_t)red->port : 0;
	bool derive = red->derive_port && hr_streq(red->derive_port, "FROM_REQUEST_PORT");
	size_t n;

	if (derive)
		port = r->c->dst_port;
	if (red->authority) {
		hr_sb_add(out, red->authority);
	} else if (red->port || red->derive_port || red->scheme) {
		/* the port as sent belongs to the old scheme */
		hr_sb_addn(out, r->msg.host, r->msg.host_len);
		if (!port && !red->scheme && !red->derive_port)
			port = r->msg.host_port;
	} else {
		n = host.n;
		hr_sb_addn(out, host.p, n);
	}
	if (port && port != (https ? 443 : 80))
		hr_sb_printf(out, ":%u", port);
}

static void location_path(struct px_req *r, const struct hr_redirect *red, struct hr_strbuf *out)
{
	const char prefix[] = "%PREFIX()%";
	const struct hr_http_match *m = r->match.rule->m;
	const char *at = red->uri ? strstr(red->uri, prefix) : NULL;
	struct hr_slice query = hr_http_str(&r->msg, r->msg.query);

	if (at && m && m->uri.type == HR_MATCH_PREFIX) { /* what follows the prefix stays */
		hr_sb_addn(out, red->uri, (size_t)(at - red->uri));
		hr_sb_add(out, r->path.p + HR_MIN(strlen(m->uri.value), r->path.len));
		hr_sb_add(out, at + sizeof(prefix) - 1);
	} else if (red->uri) {
		hr_sb_add(out, red->uri);
	} else {
		hr_sb_addn(out, r->path.p, r->path.len);
	}
	if (r->msg.has_query && !(red->uri && strchr(red->uri, '?'))) {
		hr_sb_addc(out, '?');
		hr_sb_addn(out, query.p, query.n);
	}
}

void px_reply_redirect(struct px_req *r)
{
	const struct hr_http_route *http = r->match.route->http;
	const struct hr_redirect *red = &http->redirect;
	const char *scheme = red->scheme ? red->scheme : "http";
	_cleanup_sb_ struct hr_strbuf location = {};
	struct px_headers h = {};

	hr_sb_printf(&location, "%s://", scheme);
	location_authority(r, red, hr_streq(scheme, "https"), &location);
	location_path(r, red, &location);
	px_headers_add(&h, HR_SLICE("location"), (struct hr_slice){location.data, location.len});
	px_headers_apply(&h, &http->headers.response);
	answer(r, red->code > 0 ? (unsigned)red->code : 301, "", &h, "", 0);
}
