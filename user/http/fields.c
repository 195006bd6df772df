// SPDX-License-Identifier: Apache-2.0
/* Questions about a parsed head: look-ups, joined values, hop-by-hop fields, reason phrases. */
#include <string.h>

#include "core/cleanup.h"
#include "http/http1.h"

struct hr_slice hr_http_path(const struct hr_http_msg *m)
{
	return m->path.len ? hr_http_str(m, m->path) : HR_SLICE("/");
}

const struct hr_http_field *hr_http_find(const struct hr_http_msg *m, struct hr_slice name,
					 const struct hr_http_field *from)
{
	for (size_t i = from ? from - m->fields + 1 : 0; i < m->nfields; i++)
		if (m->fields[i].name.len == name.n &&
		    hr_slice_ieq(hr_http_str(m, m->fields[i].name), name))
			return &m->fields[i];
	return NULL;
}

struct hr_slice hr_http_get(const struct hr_http_msg *m, struct hr_slice name)
{
	const struct hr_http_field *f = hr_http_find(m, name, NULL);

	return f ? hr_http_str(m, f->value) : (struct hr_slice){};
}

void hr_http_joins_reset(struct hr_http_joins *j)
{
	j->n = j->used = 0;
}

/* Copies all values from f on; the fields of one head are never longer than the head. */
static struct hr_span join(const struct hr_http_msg *m, struct hr_slice name,
			   const struct hr_http_field *f, struct hr_http_joins *j)
{
	struct hr_span out = {j->used, 0};
	bool more = false;

	for (; f; f = hr_http_find(m, name, f), more = true) {
		if (more)
			j->buf[out.off + out.len++] = ',';
		memcpy(j->buf + out.off + out.len, m->base + f->value.off, f->value.len);
		out.len += f->value.len;
	}
	j->used += out.len;
	return out;
}

struct hr_slice hr_http_joined(const struct hr_http_msg *m, struct hr_slice name,
			       struct hr_http_joins *j)
{
	const struct hr_http_field *f = hr_http_find(m, name, NULL);
	uint16_t first;

	if (!f)
		return (struct hr_slice){};
	if (!hr_http_find(m, name, f))
		return hr_http_str(m, f->value);
	first = f - m->fields;
	for (uint16_t i = 0; i < j->n; i++)
		if (j->e[i].field == first)
			return (struct hr_slice){j->buf + j->e[i].value.off, j->e[i].value.len};
	j->e[j->n].field = first;
	j->e[j->n].value = join(m, name, f, j);
	j->n++;
	return (struct hr_slice){j->buf + j->e[j->n - 1].value.off, j->e[j->n - 1].value.len};
}

bool hr_http_of_connection(struct hr_slice name)
{
	switch (name.n) {
	case 7:
		return hr_slice_ieq(name, HR_SLICE("upgrade"));
	case 10:
		return hr_slice_ieq(name, HR_SLICE("connection")) ||
		       hr_slice_ieq(name, HR_SLICE("keep-alive"));
	case 16:
		return hr_slice_ieq(name, HR_SLICE("proxy-connection"));
	case 17:
		return hr_slice_ieq(name, HR_SLICE("transfer-encoding"));
	default:
		return false;
	}
}

/* Fields that speak of this connection whether Connection names them or not. */
static bool always_hop(struct hr_slice name)
{
	return hr_http_of_connection(name) || hr_slice_ieq(name, HR_SLICE("te"));
}

static bool nominated(const struct hr_http_msg *m, struct hr_slice name)
{
	const struct hr_http_field *f = NULL;

	while ((f = hr_http_find(m, HR_SLICE("connection"), f)))
		if (hr_http_has_token(hr_http_str(m, f->value), name))
			return true;
	return false;
}

void hr_http_hop_fields(const struct hr_http_msg *m, struct hr_http_hops *out)
{
	bool any = hr_http_find(m, HR_SLICE("connection"), NULL);

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < m->nfields; i++) {
		struct hr_slice name = hr_http_str(m, m->fields[i].name);

		if (always_hop(name) || (any && nominated(m, name)))
			out->bits[i / 64] |= 1ULL << (i % 64);
	}
}

const char *hr_http_reason(unsigned status)
{
	static const struct {
		uint16_t status;
		const char *reason;
	} t[] = {
		{100, "Continue"},
		{101, "Switching Protocols"},
		{103, "Early Hints"},
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{203, "Non-Authoritative Information"},
		{204, "No Content"},
		{205, "Reset Content"},
		{206, "Partial Content"},
		{300, "Multiple Choices"},
		{301, "Moved Permanently"},
		{302, "Found"},
		{303, "See Other"},
		{304, "Not Modified"},
		{307, "Temporary Redirect"},
		{308, "Permanent Redirect"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{402, "Payment Required"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{406, "Not Acceptable"},
		{407, "Proxy Authentication Required"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{410, "Gone"},
		{411, "Length Required"},
		{412, "Precondition Failed"},
		{413, "Content Too Large"},
		{414, "URI Too Long"},
		{415, "Unsupported Media Type"},
		{416, "Range Not Satisfiable"},
		{417, "Expectation Failed"},
		{418, "I'm a teapot"},
		{421, "Misdirected Request"},
		{422, "Unprocessable Content"},
		{425, "Too Early"},
		{426, "Upgrade Required"},
		{428, "Precondition Required"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{451, "Unavailable For Legal Reasons"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
		{511, "Network Authentication Required"},
	};

	for (size_t i = 0; i < HR_ARRAY_SIZE(t); i++)
		if (t[i].status == status)
			return t[i].reason;
	return "Unknown";
}
