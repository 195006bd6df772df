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

static struct hr_slice request_field(struct px_req *r, struct hr_slice name)
{
	if (!name.n || *name.p != ':')
		return hr_http_joined(&r->msg, name, &r->c->w->joins);
	if (hr_slice_eq(name, HR_SLICE(":method")))
		return hr_http_str(&r->msg, r->msg.method);
	if (hr_slice_eq(name, HR_SLICE(":authority")))
		return px_authority(r);
	if (hr_slice_eq(name, HR_SLICE(":scheme")))
		return px_scheme(r);
	if (!hr_slice_eq(name, HR_SLICE(":path")))
		return (struct hr_slice){};
	if (r->msg.has_query)
		return px_path_and_query(r);
	return (struct hr_slice){r->path.p, r->path.len};
}

static struct hr_slice response_field(struct px_req *r, struct hr_slice name)
{
	static char status[8];

	if (!r->resp_head && !r->resp.status)
		return (struct hr_slice){};
	if (hr_slice_eq(name, HR_SLICE(":status"))) {
		snprintf(status, sizeof(status), "%u", r->resp.status);
		return hr_slice_of(status);
	}
	return hr_http_get(&r->resp, name);
}

static void add_field(struct px_req *r, const struct hr_format_piece *p, struct hr_strbuf *out)
{
	struct hr_slice (*get)(struct px_req *, struct hr_slice) =
		p->op == HR_FORMAT_REQ ? request_field : response_field;
	struct hr_slice v = get(r, p->name);

	if (!v.n && p->alt.n)
		v = get(r, p->alt);
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

static void add_piece(struct px_req *r, const struct hr_format_piece *p, struct hr_strbuf *out)
{
	const struct hr_http_route *http = r->match.route ? r->match.route->http : NULL;

	switch (p->op) {
	case HR_FORMAT_TEXT:
		return hr_sb_addn(out, p->text.p, p->text.n);
	case HR_FORMAT_REQ:
	case HR_FORMAT_RESP:
		return add_field(r, p, out);
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

	hr_http_joins_reset(&r->c->w->joins);
	for (size_t i = 0; i < f->n; i++) {
		const struct hr_format_piece *p = &f->pieces[i];
		size_t before = value.len;

		add_piece(r, p, &value);
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
