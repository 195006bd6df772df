// SPDX-License-Identifier: Apache-2.0
/* Header operations as the bytes that the kernel appends. */
#include "plan/compile/edits.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "core/cleanup.h"
#include "headrace/limits.h"
#include "http/http1.h"

struct fields {
	struct {
		const char *name, *value;
	} f[HR_EDIT_FIELDS];
	size_t n;
	const char *absent[HR_EDIT_NAMES];
	size_t n_absent;
};

/* Names that say where the message goes or where it ends, or are for the next hop only: the proxy
 * writes these by itself. */
static bool special(const char *name)
{
	static const char *const names[] = {"host", "te", "trailer", "content-length", "expect"};

	for (size_t i = 0; i < HR_ARRAY_SIZE(names); i++)
		if (!strcasecmp(name, names[i]))
			return true;
	return *name == ':' || hr_http_of_connection(hr_slice_of(name));
}

/* The head must not have it, nor what was appended before. */
static bool removed(struct fields *t, const char *name)
{
	size_t kept = 0;
	bool known = false;

	if (special(name) || strlen(name) > HR_HNAME_MAX)
		return false;
	for (size_t i = 0; i < t->n; i++)
		if (strcasecmp(t->f[i].name, name))
			t->f[kept++] = t->f[i];
	t->n = kept;
	for (size_t i = 0; i < t->n_absent; i++)
		known |= !strcasecmp(t->absent[i], name);
	if (known)
		return true;
	if (t->n_absent == HR_EDIT_NAMES)
		return false;
	t->absent[t->n_absent++] = name;
	return true;
}

static bool added(struct fields *t, const char *name, const char *value)
{
	if (special(name) || strpbrk(value, "\r\n") || t->n == HR_EDIT_FIELDS)
		return false;
	t->f[t->n].name = name;
	t->f[t->n++].value = value;
	return true;
}

static bool removals(struct fields *t, const struct hr_header_ops *o)
{
	for (size_t i = 0; i < o->remove.len; i++)
		if (!removed(t, o->remove.data[i]))
			return false;
	return true;
}

static bool settings(struct fields *t, const struct hr_header_ops *o)
{
	for (size_t i = 0; i < o->set.len; i++) {
		if (o->set_formats && o->set_formats[i])
			return false;
		if (*o->set.data[i].value && (!removed(t, o->set.data[i].key) ||
					      !added(t, o->set.data[i].key, o->set.data[i].value)))
			return false;
	}
	return true;
}

static bool additions(struct fields *t, const struct hr_header_ops *o)
{
	for (size_t i = 0; i < o->add.len; i++) {
		if (o->add_formats && o->add_formats[i])
			return false;
		if (*o->add.data[i].value && !added(t, o->add.data[i].key, o->add.data[i].value))
			return false;
	}
	return true;
}

/* In the proxy's order (px_headers_route). */
static bool operations(struct fields *t, const struct hr_http_route *http,
		       const struct hr_header_ops *dst)
{
	const struct hr_header_ops *route = &http->headers.request;

	if (http->route.len == 1)
		return removals(t, route) && removals(t, dst) && settings(t, route) &&
		       settings(t, dst) && additions(t, route) && additions(t, dst);
	return removals(t, dst) && settings(t, dst) && additions(t, dst) && removals(t, route) &&
	       settings(t, route) && additions(t, route);
}

static const struct hr_edit *edit_of(struct hr_build *b, const struct fields *t)
{
	struct hr_edit *e = hr_arena_new0(b->a, struct hr_edit);

	for (size_t i = 0; i < t->n; i++) {
		size_t name = strlen(t->f[i].name), value = strlen(t->f[i].value);
		char *p = e->text + e->len;

		if (e->len + name + value + 4 > HR_EDIT_MAX)
			return NULL;
		memcpy(p, t->f[i].name, name);
		memcpy(p + name, ": ", 2);
		memcpy(p + name + 2, t->f[i].value, value);
		memcpy(p + name + 2 + value, "\r\n", 2);
		e->len = (uint16_t)(e->len + name + value + 4);
	}
	for (size_t i = 0; i < t->n_absent; i++) {
		size_t n = strlen(t->absent[i]);

		for (size_t k = 0; k < n; k++)
			e->absent[i].name[k] = (char)tolower((unsigned char)t->absent[i][k]);
		e->absent[i].len = (uint32_t)n;
	}
	e->n_absent = (uint16_t)t->n_absent;
	return e;
}

static bool any(const struct hr_header_ops *o)
{
	return o->set.len || o->add.len || o->remove.len;
}

/* An answer is the agent's to change; a second try finds its destination by its cluster; copies for
 * mirrors carry what one destination has added. */
static bool possible(const struct hr_plan_route *r)
{
	if (any(&r->http->headers.response) || r->n_mirrors)
		return false;
	for (uint32_t i = 0; i < r->ndst; i++) {
		if (any(&r->dst[i].model->headers.response))
			return false;
		for (uint32_t k = 0; k < i; k++)
			if (r->dst[k].cluster == r->dst[i].cluster)
				return false;
	}
	return true;
}

bool hr_build_edits(struct hr_build *b, struct hr_plan_route *r)
{
	const struct hr_header_ops *route = &r->http->headers.request;
	bool asked = any(route) || any(&r->http->headers.response);

	for (uint32_t i = 0; i < r->ndst; i++)
		asked |= any(&r->dst[i].model->headers.request) ||
			 any(&r->dst[i].model->headers.response);
	if (!asked)
		return true;
	if (!possible(r))
		return false;
	for (uint32_t i = 0; i < r->ndst; i++) {
		struct fields t = {};

		if (!operations(&t, r->http, &r->dst[i].model->headers.request))
			return false;
		r->dst[i].edit = edit_of(b, &t);
		if (!r->dst[i].edit)
			return false;
	}
	return true;
}
