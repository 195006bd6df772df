// SPDX-License-Identifier: Apache-2.0
/*
 * Heads as they go out: hop-by-hop fields stay behind, framing is written anew, the route's header
 * operations and rewrites are applied.
 */
#include <stdio.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/request/headers.h"
#include "proxy/internal.h"

/* ---- list of fields ---- */

void px_headers_add(struct px_headers *h, struct hr_slice name, struct hr_slice value)
{
	/* a line end in a configured value would end the field: refuse it, whoever wrote it */
	if (memchr(value.p ? value.p : "", '\n', value.n) ||
	    memchr(value.p ? value.p : "", '\r', value.n) || h->n == HR_ARRAY_SIZE(h->f)) {
		hr_warn("a header operation is left out: %s",
			h->n == HR_ARRAY_SIZE(h->f) ? "too many fields" : "line end in its value");
		return;
	}
	h->f[h->n].name = name;
	h->f[h->n++].value = value;
}

static void headers_remove(struct px_headers *h, struct hr_slice name)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < h->n; i++)
		if (!hr_slice_ieq(h->f[i].name, name))
			h->f[kept++] = h->f[i];
	h->n = kept;
}

static bool names_host(struct hr_slice name)
{
	return hr_slice_ieq(name, HR_SLICE("host")) || hr_slice_ieq(name, HR_SLICE(":authority"));
}

void px_headers_set(struct px_headers *h, struct hr_slice name, struct hr_slice value)
{
	headers_remove(h, name);
	px_headers_add(h, name, value);
}

void px_headers_free(struct px_headers *h)
{
	hr_arena_free(h->values);
}

static struct hr_slice value_of(struct px_req *r, struct px_headers *h, const hr_kvs *kvs,
				const struct hr_format **formats, size_t i)
{
	if (formats && formats[i])
		return px_format(r, formats[i], h);
	return hr_slice_of(kvs->data[i].value);
}

static void remove_all(struct px_headers *h, const struct hr_header_ops *ops)
{
	for (size_t i = 0; ops && i < ops->remove.len; i++)
		headers_remove(h, hr_slice_of(ops->remove.data[i]));
}

/* What one list of operations puts: all values are made before the first is put (Envoy). */
struct puts {
	size_t n;
	struct {
		struct hr_slice name, value;
		bool set;
	} p[PX_HEADERS_ADDED];
};

static void collect_puts(struct puts *puts, struct px_headers *h, struct px_req *r,
			 const struct hr_header_ops *ops, bool set)
{
	const hr_kvs *kvs = !ops ? NULL : set ? &ops->set : &ops->add;

	for (size_t i = 0; kvs && i < kvs->len && puts->n < HR_ARRAY_SIZE(puts->p); i++) {
		const struct hr_format **f = set ? ops->set_formats : ops->add_formats;
		struct hr_slice value = value_of(r, h, kvs, f, i);

		if (!value.n)
			continue;
		puts->p[puts->n].name = hr_slice_of(kvs->data[i].key);
		puts->p[puts->n].set = set;
		puts->p[puts->n++].value = value;
	}
}

/* The first host that is set, else the first that is added (Istio). */
static void put_all(struct px_headers *h, const struct puts *puts)
{
	struct hr_slice host = {};

	for (size_t i = 0; i < puts->n; i++) {
		struct hr_slice name = puts->p[i].name, value = puts->p[i].value;

		if (names_host(name))
			host = host.p ? host : value;
		else if (puts->p[i].set)
			px_headers_set(h, name, value);
		else
			px_headers_add(h, name, value);
	}
	if (host.p)
		h->host = host;
}

static void apply(struct px_headers *h, struct px_req *r, const struct hr_header_ops *first,
		  const struct hr_header_ops *second)
{
	struct puts puts;

	puts.n = 0;
	remove_all(h, first);
	remove_all(h, second);
	collect_puts(&puts, h, r, first, true);
	collect_puts(&puts, h, r, second, true);
	collect_puts(&puts, h, r, first, false);
	collect_puts(&puts, h, r, second, false);
	put_all(h, &puts);
}

static const struct hr_header_ops *ops_of(const struct hr_headers *h, bool request)
{
	return !h ? NULL : request ? &h->request : &h->response;
}

void px_headers_route(struct px_headers *h, struct px_req *r, bool request)
{
	const struct hr_http_route *http = r->match.route ? r->match.route->http : NULL;
	const struct hr_route_destination *dst = r->dst ? r->dst->model : NULL;
	const struct hr_header_ops *route = ops_of(http ? &http->headers : NULL, request);

	h->answer = !request;
	if (http && http->route.len == 1) { /* whether or not it has been chosen yet */
		apply(h, r, route, ops_of(&http->route.data[0].headers, request));
	} else {
		apply(h, r, ops_of(dst ? &dst->headers : NULL, request), NULL);
		apply(h, r, route, NULL);
	}
}

void px_headers_write(const struct px_headers *h, struct px_out *out)
{
	for (unsigned i = 0; i < h->n; i++) {
		px_out_slice(out, h->f[i].name);
		px_out_lit(out, ": ");
		px_out_slice(out, h->f[i].value);
		px_out_lit(out, "\r\n");
	}
}

/* What tells a proxy how to treat a request. Clients are not trusted with that: Envoy, too, takes
 * them away where a request enters the mesh. */
static bool internal(struct hr_slice name)
{
	static const char *const names[] = {"attempt-count",
					    "expected-rq-timeout-ms",
					    "force-trace",
					    "hedge-on-per-try-timeout",
					    "internal",
					    "ip-tags",
					    "max-retries",
					    "original-path",
					    "original-url",
					    "retriable-header-names",
					    "retriable-status-codes",
					    "retry-grpc-on",
					    "retry-on",
					    "upstream-alt-stat-name",
					    "upstream-rq-per-try-timeout-ms",
					    "upstream-rq-timeout-alt-response",
					    "upstream-rq-timeout-ms"};
	const struct hr_slice prefix = HR_SLICE("x-envoy-");
	struct hr_slice rest = {name.p + prefix.n, name.n - prefix.n};

	if (name.n <= prefix.n || !hr_slice_ieq((struct hr_slice){name.p, prefix.n}, prefix))
		return false;
	for (size_t i = 0; i < HR_ARRAY_SIZE(names); i++)
		if (hr_slice_ieq(rest, hr_slice_of(names[i])))
			return true;
	return false;
}

/* The end-to-end fields of a message, without those that `skip` writes itself. */
static void collect(const struct hr_http_msg *m, struct px_headers *h, bool request)
{
	struct hr_http_hops hops;

	hr_http_hop_fields(m, &hops);
	h->n = 0;
	h->host = (struct hr_slice){};
	h->values = NULL;
	for (size_t i = 0; i < m->nfields; i++) {
		struct hr_slice name = hr_http_str(m, m->fields[i].name);

		if (hr_http_is_hop(&hops, i))
			continue;
		if (name.n == 14 && hr_slice_ieq(name, HR_SLICE("content-length")))
			continue;
		if (request && (hr_slice_ieq(name, HR_SLICE("host")) || internal(name)))
			continue;
		h->f[h->n].name = name;
		h->f[h->n++].value = hr_http_str(m, m->fields[i].value);
	}
}

static void write_upgrade(const struct hr_http_msg *m, struct px_out *out)
{
	px_out_lit(out, "Connection: Upgrade\r\nUpgrade: ");
	px_out_slice(out, hr_http_get(m, HR_SLICE("upgrade")));
	px_out_lit(out, "\r\n");
}

/* ---- request ---- */

struct hr_slice px_authority(const struct px_req *r)
{
	return hr_http_str(&r->msg, r->msg.authority.len ? r->msg.authority : r->msg.host_raw);
}

static void write_target(struct px_req *r)
{
	const struct px_out *path = r->new_path.len ? &r->new_path : &r->path;

	px_out_add(&r->wire, path->p, path->len);
	if (r->msg.has_query) {
		px_out_lit(&r->wire, "?");
		px_out_slice(&r->wire, hr_http_str(&r->msg, r->msg.query));
	}
}

/* An upgrade that is relayed. h2c is not: it would take the connection out of our sight. */
static bool upgrades(const struct px_req *r)
{
	return r->msg.upgrade &&
	       !hr_http_has_token(hr_http_get(&r->msg, HR_SLICE("upgrade")), HR_SLICE("h2c"));
}

void px_head_received(struct px_req *r, struct px_headers *h)
{
	collect(&r->msg, h, true);
}

void px_head_sent(struct px_req *r, struct px_headers *h)
{
	const struct hr_http_route *http = r->match.route ? r->match.route->http : NULL;

	collect(&r->msg, h, true);
	px_headers_route(h, r, true);
	if (http && http->rewrite.set && http->rewrite.authority)
		h->host = hr_slice_of(http->rewrite.authority);
	else if (!h->host.p)
		h->host = px_authority(r);
}

void px_head_request(struct px_req *r)
{
	struct px_out *out = &r->wire;
	_cleanup_headers_ struct px_headers h;

	px_head_sent(r, &h);
	px_out_slice(out, hr_http_str(&r->msg, r->msg.method));
	px_out_lit(out, " ");
	write_target(r);
	px_out_lit(out, " HTTP/1.1\r\nHost: ");
	px_out_slice(out, h.host);
	px_out_lit(out, "\r\n");
	px_headers_write(&h, out);
	if (!upgrades(r) &&
	    hr_http_has_token(hr_http_get(&r->msg, HR_SLICE("te")), HR_SLICE("trailers")))
		px_out_lit(out, "TE: trailers\r\nConnection: TE\r\n"); /* we deliver them */
	if (r->body.framing == HR_BODY_CHUNKED)
		px_out_lit(out, "Transfer-Encoding: chunked\r\n");
	else if (r->msg.has_content_length)
		px_out_printf(out, "Content-Length: %llu\r\n",
			      (unsigned long long)r->msg.content_length);
	if (upgrades(r))
		write_upgrade(&r->msg, out);
	px_out_lit(out, "\r\n");
	r->wire_head = out->len;
}

/* Envoy's x-envoy-attempt-count, where it says something: the first try has none, as the kernel
 * sends that. */
void px_head_attempt(struct px_req *r)
{
	char line[48];
	size_t n = (size_t)snprintf(line, sizeof(line), "x-envoy-attempt-count: %u\r\n", r->tries);

	px_out_splice(&r->wire, r->wire_head - 2 - r->attempt_len, r->attempt_len, line, n);
	r->wire_head += n - r->attempt_len;
	r->attempt_len = n;
}

/* ---- response ---- */

/* How the client gets the body, and the fields that say so. */
static void framing(struct px_req *r, struct px_out *out)
{
	struct px_client *c = r->c;
	const struct hr_http_msg *m = &r->resp;
	bool old = r->msg.minor == 0;

	r->mode = PX_BODY_RAW;
	if (m->framing == HR_BODY_CHUNKED || m->framing == HR_BODY_UNTIL_CLOSE) {
		if (old) { /* the end of the connection is the end of the answer */
			r->mode = PX_BODY_PAYLOAD;
			c->close = true;
		} else {
			r->mode = m->framing == HR_BODY_CHUNKED ? PX_BODY_RAW : PX_BODY_CHUNK;
			px_out_lit(out, "Transfer-Encoding: chunked\r\n");
		}
	} else if (m->has_content_length) {
		px_out_printf(out, "Content-Length: %llu\r\n",
			      (unsigned long long)m->content_length);
	}
	if (m->framing == HR_BODY_TUNNEL)
		write_upgrade(m, out);
	else if (c->close)
		px_out_lit(out, "Connection: close\r\n");
	else if (old)
		px_out_lit(out, "Connection: keep-alive\r\n");
}

static void write_status(const struct hr_http_msg *m, struct px_out *out)
{
	px_out_printf(out, "HTTP/1.1 %u ", m->status);
	px_out_slice(out, hr_http_str(m, m->reason));
	px_out_lit(out, "\r\n");
}

void px_head_response(struct px_req *r)
{
	struct px_out *out = &r->c->out;
	_cleanup_headers_ struct px_headers h;

	collect(&r->resp, &h, false);
	px_headers_route(&h, r, false);
	px_cors_response(r, &h);
	if (r->c->w->draining)
		r->c->close = true;
	write_status(&r->resp, out);
	px_headers_write(&h, out);
	px_hash_cookie(r);
	framing(r, out);
	px_out_lit(out, "\r\n");
}

void px_head_interim(struct px_req *r)
{
	struct px_headers h;

	if (r->msg.minor == 0)
		return; /* HTTP/1.0 does not know them */
	collect(&r->resp, &h, false);
	write_status(&r->resp, &r->c->out);
	px_headers_write(&h, &r->c->out);
	px_out_lit(&r->c->out, "\r\n");
}
