// SPDX-License-Identifier: Apache-2.0
/*
 * Heads as they go out: hop-by-hop fields stay behind, framing is written anew, the route's header
 * operations and rewrites are applied.
 */
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

void px_headers_apply(struct px_headers *h, const struct hr_header_ops *ops)
{
	for (size_t i = 0; i < ops->remove.len; i++)
		headers_remove(h, hr_slice_of(ops->remove.data[i]));
	for (size_t i = 0; i < ops->set.len; i++) {
		struct hr_slice name = hr_slice_of(ops->set.data[i].key);
		struct hr_slice value = hr_slice_of(ops->set.data[i].value);

		if (names_host(name)) {
			h->host = value;
			continue;
		}
		headers_remove(h, name);
		px_headers_add(h, name, value);
	}
	for (size_t i = 0; i < ops->add.len; i++)
		if (!names_host(hr_slice_of(ops->add.data[i].key)))
			px_headers_add(h, hr_slice_of(ops->add.data[i].key),
				       hr_slice_of(ops->add.data[i].value));
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

/* The end-to-end fields of a message, without those that `skip` writes itself. */
static void collect(const struct hr_http_msg *m, struct px_headers *h, bool request)
{
	struct hr_http_hops hops;

	hr_http_hop_fields(m, &hops);
	h->n = 0;
	h->host = (struct hr_slice){};
	for (size_t i = 0; i < m->nfields; i++) {
		struct hr_slice name = hr_http_str(m, m->fields[i].name);

		if (hr_http_is_hop(&hops, i))
			continue;
		if (name.n == 14 && hr_slice_ieq(name, HR_SLICE("content-length")))
			continue;
		if (request && name.n == 4 && hr_slice_ieq(name, HR_SLICE("host")))
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

/* The path with the part that the match names replaced (rewrite.uri). */
static void rewritten_path(struct px_req *r, const struct hr_rewrite *rw, struct px_out *out)
{
	const struct hr_http_match *m = r->match.rule->m;
	const struct hr_string_match *uri = m ? &m->uri : NULL;
	size_t prefix = 1; /* no uri match: the prefix is "/" */

	if (uri && uri->type == HR_MATCH_PREFIX)
		prefix = strlen(uri->value);
	else if (uri && uri->type != HR_MATCH_NONE)
		prefix = r->path.len;
	prefix = HR_MIN(prefix, r->path.len);
	px_out_slice(out, hr_slice_of(rw->uri));
	px_out_add(out, r->path.p + prefix, r->path.len - prefix);
}

static void write_target(struct px_req *r, const struct hr_http_route *http)
{
	if (http && http->rewrite.set && http->rewrite.uri)
		rewritten_path(r, &http->rewrite, &r->wire);
	else
		px_out_add(&r->wire, r->path.p, r->path.len);
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

void px_head_request(struct px_req *r)
{
	const struct hr_http_route *http = r->match.route ? r->match.route->http : NULL;
	struct hr_slice host = px_authority(r);
	struct px_out *out = &r->wire;
	struct px_headers h;

	collect(&r->msg, &h, true);
	if (r->dst && r->dst->model)
		px_headers_apply(&h, &r->dst->model->headers.request);
	if (http)
		px_headers_apply(&h, &http->headers.request);
	if (http && http->rewrite.set && http->rewrite.authority)
		host = hr_slice_of(http->rewrite.authority);
	if (h.host.p)
		host = h.host;
	px_out_slice(out, hr_http_str(&r->msg, r->msg.method));
	px_out_lit(out, " ");
	write_target(r, http);
	px_out_lit(out, " HTTP/1.1\r\nHost: ");
	px_out_slice(out, host);
	px_out_lit(out, "\r\n");
	px_headers_write(&h, out);
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
	const struct hr_http_route *http = r->match.route ? r->match.route->http : NULL;
	struct px_out *out = &r->c->out;
	struct px_headers h;

	collect(&r->resp, &h, false);
	if (r->dst && r->dst->model)
		px_headers_apply(&h, &r->dst->model->headers.response);
	if (http)
		px_headers_apply(&h, &http->headers.response);
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
