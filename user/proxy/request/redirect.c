// SPDX-License-Identifier: Apache-2.0
/* redirect: the Location, part by part as Envoy makes it. */
#include "core/cleanup.h"
#include "proxy/request/headers.h"
#include "proxy/internal.h"

/* The host as the client named it. Its port goes when another is set, and when the scheme changes
 * and it was the old scheme's own. */
static void request_host(struct px_req *r, struct hr_slice scheme, bool port_set,
			 struct hr_strbuf *out)
{
	struct hr_slice host = px_authority(r), was = px_scheme(r);
	const char *colon = host.n ? memrchr(host.p, ':', host.n) : NULL;
	bool cut = port_set;
	struct hr_slice port;

	if (host.n && *host.p == '[' && colon && colon[-1] != ']')
		colon = NULL; /* of the address */
	if (colon && !hr_slice_eq(scheme, was)) {
		port = (struct hr_slice){colon, (size_t)(host.p + host.n - colon)};
		cut |= hr_slice_eq(port, hr_slice_eq(was, HR_SLICE("https")) ? HR_SLICE(":443")
									     : HR_SLICE(":80"));
	}
	hr_sb_addn(out, host.p, cut && colon ? (size_t)(colon - host.p) : host.n);
}

static void add_host(struct px_req *r, const struct hr_redirect *red, struct hr_slice scheme,
		     struct hr_strbuf *out)
{
	bool derive = hr_streq(red->derive_port, "FROM_REQUEST_PORT");
	uint16_t port = derive ? r->c->dst_port : (uint16_t)red->port;
	bool tls = red->scheme && hr_streq(red->scheme, "https");

	if (port == (tls ? 443 : 80)) /* Istio does not say the port that the scheme says */
		port = 0;
	if (red->authority)
		hr_sb_add(out, red->authority);
	else /* `port: 443` is no wish for the port of the request's Host, though Istio keeps it */
		request_host(r, scheme, port || red->port, out);
	if (port)
		hr_sb_printf(out, ":%u", port);
}

static void add_path(struct px_req *r, const struct hr_redirect *red, struct hr_strbuf *out)
{
	static const char prefix[] = "%PREFIX()%";

	if (red->uri && hr_starts(red->uri, prefix))
		px_replace_prefix(r, red->uri + sizeof(prefix) - 1, out);
	else if (red->uri && *red->uri)
		hr_sb_add(out, red->uri);
	else if (red->prefix_rewrite && *red->prefix_rewrite)
		px_replace_prefix(r, red->prefix_rewrite, out);
	else
		hr_sb_addn(out, r->path.p, r->path.len);
}

void px_reply_redirect(struct px_req *r)
{
	const struct hr_http_route *http = r->match.route->http;
	const struct hr_redirect *red = &http->redirect;
	unsigned code = red->code > 0 ? (unsigned)red->code : 301;
	struct hr_slice scheme = red->scheme ? hr_slice_of(red->scheme) : px_scheme(r);
	struct hr_slice query = hr_http_str(&r->msg, r->msg.query);
	_cleanup_sb_ struct hr_strbuf location = {};
	_cleanup_headers_ struct px_headers h = {};

	hr_sb_addn(&location, scheme.p, scheme.n);
	hr_sb_add(&location, "://");
	add_host(r, red, scheme, &location);
	add_path(r, red, &location);
	if (r->msg.has_query && !(red->uri && strchr(red->uri, '?'))) {
		hr_sb_addc(&location, '?');
		hr_sb_addn(&location, query.p, query.n);
	}
	px_headers_add(&h, HR_SLICE("location"), (struct hr_slice){location.data, location.len});
	px_headers_route(&h, r, false);
	if (px_is_grpc(r)) /* as every answer of ours is to who speaks it */
		px_reply_grpc(r, px_grpc_code(code), &h, "", 0);
	else
		px_reply_headers(r, code, &h);
}
