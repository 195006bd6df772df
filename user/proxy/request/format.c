// SPDX-License-Identifier: Apache-2.0
/*
 * What the command operators in header values are worth for one request. One that has no value is
 * empty; a field whose whole value is empty is not written (Envoy).
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "core/cleanup.h"
#include "core/log.h"
#include "proxy/request/headers.h"
#include "proxy/internal.h"

/* Values made for one message, bytes in all. */
#define VALUES_MAX (2 * HR_HEAD_MAX)

/* Of the message that is being changed: what was removed is gone, of several it is the first
 * (Envoy). */
static struct hr_slice field_of(const struct px_headers *h, const struct hr_http_msg *m,
				struct hr_slice name)
{
	for (unsigned i = 0; i < h->n; i++)
		if (hr_slice_ieq(h->f[i].name, name))
			return h->f[i].value;
	if (hr_slice_ieq(name, HR_SLICE("host")) || hr_slice_ieq(name, HR_SLICE("content-length")))
		return hr_http_get(m, name); /* the list is without these */
	return (struct hr_slice){};
}

static struct hr_slice path_of(struct px_req *r, bool sent, struct hr_strbuf *text)
{
	const struct px_out *path = sent && r->new_path.len ? &r->new_path : &r->path;
	struct hr_slice query = hr_http_str(&r->msg, r->msg.query);

	hr_sb_addn(text, path->p, path->len);
	if (r->msg.has_query) {
		hr_sb_addc(text, '?');
		hr_sb_addn(text, query.p, query.n);
	}
	return (struct hr_slice){text->data, text->len};
}

static struct hr_slice request_field(struct px_req *r, const struct px_headers *h, bool sent,
				     struct hr_slice name, struct hr_strbuf *text)
{
	if (!name.n || *name.p != ':')
		return field_of(h, &r->msg, name);
	if (hr_slice_eq(name, HR_SLICE(":method")))
		return hr_http_str(&r->msg, r->msg.method);
	if (hr_slice_eq(name, HR_SLICE(":authority")))
		return sent ? h->host : px_authority(r);
	if (hr_slice_eq(name, HR_SLICE(":scheme")))
		return px_scheme(r);
	if (hr_slice_eq(name, HR_SLICE(":path")))
		return path_of(r, sent, text);
	return (struct hr_slice){};
}

/* In an answer the request is what was sent on: with what the route did to it. */
static void add_request(struct px_req *r, const struct hr_format_piece *p,
			const struct px_headers *h, struct hr_strbuf *out)
{
	_cleanup_sb_ struct hr_strbuf text = {};
	_cleanup_headers_ struct px_headers sent;
	bool was_sent = h->answer && r->wire_head;
	struct hr_slice v;

	sent.values = NULL;
	if (was_sent)
		px_head_sent(r, &sent);
	else if (h->answer)
		px_head_received(r, &sent);
	h = h->answer ? &sent : h;
	v = request_field(r, h, was_sent, p->name, &text);
	if (!v.n && p->alt.n)
		v = request_field(r, h, was_sent, p->alt, &text);
	hr_sb_addn(out, v.p, v.n);
}

static struct hr_slice response_field(struct px_req *r, const struct px_headers *h,
				      struct hr_slice name, char status[static 8])
{
	if (!h->answer || (!r->resp_head && !r->resp.status))
		return (struct hr_slice){};
	if (!hr_slice_eq(name, HR_SLICE(":status")))
		return field_of(h, &r->resp, name);
	snprintf(status, 8, "%u", r->resp.status);
	return hr_slice_of(status);
}

static void add_response(struct px_req *r, const struct hr_format_piece *p,
			 const struct px_headers *h, struct hr_strbuf *out)
{
	char status[8];
	struct hr_slice v = response_field(r, h, p->name, status);

	if (!v.n && p->alt.n)
		v = response_field(r, h, p->alt, status);
	hr_sb_addn(out, v.p, v.n);
}

static void add_addr(const struct hr_addr *a, uint16_t port, enum hr_format_op op,
		     enum hr_format_op addr_only, enum hr_format_op port_only,
		     struct hr_strbuf *out)
{
	char text[HR_ADDR_TEXT];

	if (op == port_only)
		hr_sb_printf(out, "%u", port);
	else if (op == addr_only)
		hr_sb_add(out, hr_addr_text(a, text));
	else
		hr_sb_add(out, hr_addr_port_text(a, port, text));
}

static void add_time(const struct px_req *r, struct hr_strbuf *out)
{
	uint64_t ago = px_now_us() - r->t0_us, us;
	struct timespec ts;
	char text[40];
	struct tm tm;
	time_t sec;

	clock_gettime(CLOCK_REALTIME, &ts);
	us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000 - ago;
	sec = (time_t)(us / 1000000);
	gmtime_r(&sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	hr_sb_printf(out, "%s.%03uZ", text, (unsigned)(us / 1000 % 1000));
}

static void add_hostname(struct hr_strbuf *out)
{
	char name[256] = "";

	if (!gethostname(name, sizeof(name) - 1))
		hr_sb_add(out, name);
}

static void add_piece(struct px_req *r, const struct hr_format_piece *p, const struct px_headers *h,
		      struct hr_strbuf *out)
{
	const struct hr_http_route *http = r->match.route ? r->match.route->http : NULL;

	switch (p->op) {
	case HR_FORMAT_TEXT:
		return hr_sb_addn(out, p->text.p, p->text.n);
	case HR_FORMAT_REQ:
		return add_request(r, p, h, out);
	case HR_FORMAT_RESP:
		return add_response(r, p, h, out);
	case HR_FORMAT_PROTOCOL:
		return hr_sb_printf(out, "HTTP/1.%u", r->msg.minor);
	case HR_FORMAT_START_TIME:
		return add_time(r, out);
	case HR_FORMAT_RESPONSE_CODE:
		if (r->status || r->resp.status)
			hr_sb_printf(out, "%u", r->status ? r->status : r->resp.status);
		return;
	case HR_FORMAT_RESPONSE_FLAGS:
		return hr_sb_add(out, *r->flags ? r->flags : "-");
	case HR_FORMAT_ROUTE_NAME:
		return hr_sb_add(out, http && http->name ? http->name : "");
	case HR_FORMAT_HOSTNAME:
		return add_hostname(out);
	case HR_FORMAT_CONNECTION_ID:
		return hr_sb_printf(out, "%llu", (unsigned long long)r->c->cookie);
	case HR_FORMAT_BYTES_RECEIVED:
		return hr_sb_printf(out, "%llu", (unsigned long long)r->req_bytes);
	case HR_FORMAT_ATTEMPTS:
		if (r->tries)
			hr_sb_printf(out, "%u", r->tries);
		return;
	case HR_FORMAT_CLUSTER:
		return hr_sb_add(out, r->cluster ? r->cluster->name : "");
	case HR_FORMAT_UPSTREAM:
	case HR_FORMAT_UPSTREAM_ADDR:
	case HR_FORMAT_UPSTREAM_PORT:
		if (r->tries) /* not known before one was picked */
			add_addr(&r->addr, r->port, p->op, HR_FORMAT_UPSTREAM_ADDR,
				 HR_FORMAT_UPSTREAM_PORT, out);
		return;
	case HR_FORMAT_REMOTE:
	case HR_FORMAT_REMOTE_ADDR:
	case HR_FORMAT_REMOTE_PORT:
		return add_addr(&r->c->src, r->c->src_port, p->op, HR_FORMAT_REMOTE_ADDR,
				HR_FORMAT_REMOTE_PORT, out);
	case HR_FORMAT_LOCAL:
	case HR_FORMAT_LOCAL_ADDR:
	case HR_FORMAT_LOCAL_PORT:
		return add_addr(&r->c->dst, r->c->dst_port, p->op, HR_FORMAT_LOCAL_ADDR,
				HR_FORMAT_LOCAL_PORT, out);
	}
}

struct hr_slice px_format(struct px_req *r, const struct hr_format *f, struct px_headers *h)
{
	_cleanup_sb_ struct hr_strbuf value = {};
	char *copy;

	for (size_t i = 0; i < f->n; i++) {
		const struct hr_format_piece *p = &f->pieces[i];
		size_t before = value.len;

		add_piece(r, p, h, &value);
		if (p->max && value.len - before > p->max)
			value.len = before + p->max;
	}
	if (!value.len)
		return (struct hr_slice){};
	if (!h->values)
		h->values = hr_arena_new();
	if (hr_arena_used(h->values) + value.len > VALUES_MAX) {
		hr_warn("a header operation is left out: its value is too long");
		return (struct hr_slice){};
	}
	copy = hr_arena_strndup(h->values, value.data, value.len);
	return (struct hr_slice){copy, value.len};
}
