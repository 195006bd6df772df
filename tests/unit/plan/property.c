// SPDX-License-Identifier: Apache-2.0
/*
 * The naive evaluator reads Istio's words (first route with an entry whose conditions all hold)
 * and shares nothing with the compiled form. Values come from small, overlapping alphabets, so
 * that prefixes nest, exact values collide with prefixes, and negations bite.
 */
#include "property.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t rnd(uint32_t *seed, uint32_t n)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)*seed * n) >> 32);
}

static const char *const header_names[REQ_HEADERS] = {"x-user", "x-group", "end-user"};
static const char *const values[] = {"a",
				     "ab",
				     "abc",
				     "b",
				     "",
				     "true",
				     "abcdefghijklmnopqrstuvwxyz0123456789-abcdefghijklmno"
				     "pqrstuvwxyz0123456789"};
#define NVALUES (sizeof(values) / sizeof(values[0]))
static const char *const segments[] = {"/a", "/ab", "/b", "/api", "/x"};

static void random_path(uint32_t *seed, char *out)
{
	*out = 0;
	for (uint32_t n = 1 + rnd(seed, 3); n; n--)
		strcat(out, segments[rnd(seed, 5)]);
	if (!rnd(seed, 40)) /* longer than the kernel's tables hold */
		for (int i = 0; i < 8; i++)
			strcat(out, "/long-part");
}

static struct hr_string_match random_match(uint32_t *seed, const char *value)
{
	static const enum hr_match_type types[] = {HR_MATCH_EXACT, HR_MATCH_PREFIX};

	return (struct hr_string_match){.type = types[rnd(seed, 2)], .value = value};
}

static struct hr_header_match random_header(uint32_t *seed)
{
	struct hr_header_match h = {.name = header_names[rnd(seed, REQ_HEADERS)]};

	if (!rnd(seed, 4))
		h.m.type = HR_MATCH_PRESENT;
	else
		h.m = random_match(seed, values[rnd(seed, NVALUES)]);
	return h;
}

static void random_entry(struct hr_arena *a, uint32_t *seed, struct hr_http_match *m)
{
	if (rnd(seed, 2)) {
		char path[160];

		random_path(seed, path);
		m->uri = random_match(seed, hr_arena_strdup(a, path));
	}
	if (!rnd(seed, 4))
		m->method = (struct hr_string_match){.type = HR_MATCH_EXACT,
						     .value = rnd(seed, 2) ? "GET" : "POST"};
	m->headers.data = hr_arena_array(a, struct hr_header_match, 2);
	for (uint32_t n = rnd(seed, 3); n; n--)
		m->headers.data[m->headers.len++] = random_header(seed);
	m->without_headers.data = hr_arena_array(a, struct hr_header_match, 2);
	if (!rnd(seed, 4))
		m->without_headers.data[m->without_headers.len++] = random_header(seed);
}

static struct hr_service *make_service(struct hr_arena *a)
{
	struct hr_service *s = hr_arena_new0(a, struct hr_service);

	s->meta = (struct hr_meta){.kind = HR_KIND_SERVICE, .ns = "default", .name = "svc"};
	s->ports.data = hr_arena_new0(a, struct hr_port);
	s->ports.len = 1;
	s->ports.data[0] = (struct hr_port){.name = "http", .number = 80};
	s->cluster_ips.data = hr_arena_array(a, const char *, 1);
	s->cluster_ips.len = 1;
	s->cluster_ips.data[0] = "10.96.0.1";
	return s;
}

struct gen gen_policy(uint32_t *seed, unsigned nrules)
{
	struct hr_arena *a = hr_arena_new();
	struct hr_objects *o = hr_arena_new0(a, struct hr_objects);
	struct hr_virtual_service *vs = hr_arena_new0(a, struct hr_virtual_service);
	struct hr_route_destination *to = hr_arena_new0(a, struct hr_route_destination);

	o->arena = a;
	o->services.data = hr_arena_array(a, struct hr_service *, 1);
	o->services.data[o->services.len++] = make_service(a);
	o->virtual_services.data = hr_arena_array(a, struct hr_virtual_service *, 1);
	o->virtual_services.data[o->virtual_services.len++] = vs;
	vs->meta = (struct hr_meta){.kind = HR_KIND_VIRTUAL_SERVICE, .ns = "default", .name = "vs"};
	vs->hosts.data = hr_arena_array(a, const char *, 1);
	vs->hosts.data[vs->hosts.len++] = "svc";
	*to = (struct hr_route_destination){.destination.host = "svc", .weight = -1};
	vs->http.data = hr_arena_array(a, struct hr_http_route, nrules);
	for (vs->http.len = 0; vs->http.len < nrules; vs->http.len++) {
		struct hr_http_route *r = &vs->http.data[vs->http.len];

		r->timeout = -1;
		r->fault.delay_ms = r->fault.abort_http = -1;
		r->route.data = to;
		r->route.len = 1;
		r->match.data = hr_arena_array(a, struct hr_http_match, 3);
		r->match.len = nrules > 1 ? 1 + rnd(seed, 3) : 1;
		for (size_t i = 0; i < r->match.len; i++)
			random_entry(a, seed, &r->match.data[i]);
	}
	return (struct gen){o, vs};
}

static struct hr_slice get_header(void *ctx, struct hr_slice name)
{
	const struct gen_req *q = ctx;

	for (int i = 0; i < REQ_HEADERS; i++)
		if (hr_slice_eq(name, hr_slice_of(q->names[i])))
			return hr_slice_of(q->values[i]);
	return (struct hr_slice){NULL, 0};
}

void gen_request(uint32_t *seed, struct gen_req *q)
{
	random_path(seed, q->path);
	for (int i = 0; i < REQ_HEADERS; i++) {
		q->names[i] = header_names[i];
		q->values[i] = rnd(seed, 3) ? values[rnd(seed, NVALUES)] : NULL;
	}
	q->req = (struct hr_plan_req){
		.method = rnd(seed, 2) ? HR_SLICE("GET") : HR_SLICE("POST"),
		.path = hr_slice_of(q->path),
		.host = HR_SLICE("svc:80"),
		.port = 80,
		.fallback_vhost = HR_NONE,
		.header = get_header,
		.header_ctx = q,
	};
}

static int string_holds(const struct hr_string_match *m, const char *v)
{
	if (!v)
		return 0;
	if (m->type == HR_MATCH_PRESENT)
		return 1;
	if (m->type == HR_MATCH_EXACT)
		return !strcmp(v, m->value);
	return !strncmp(v, m->value, strlen(m->value));
}

static const char *header_of(const struct gen_req *q, const char *name)
{
	for (int i = 0; i < REQ_HEADERS; i++)
		if (!strcmp(q->names[i], name))
			return q->values[i];
	return NULL;
}

static int entry_holds(const struct hr_http_match *m, const struct gen_req *q)
{
	if (m->uri.type && !string_holds(&m->uri, q->path))
		return 0;
	if (m->method.type && (strlen(m->method.value) != q->req.method.n ||
			       memcmp(m->method.value, q->req.method.p, q->req.method.n)))
		return 0;
	for (size_t i = 0; i < m->headers.len; i++)
		if (!string_holds(&m->headers.data[i].m, header_of(q, m->headers.data[i].name)))
			return 0;
	for (size_t i = 0; i < m->without_headers.len; i++)
		if (string_holds(&m->without_headers.data[i].m,
				 header_of(q, m->without_headers.data[i].name)))
			return 0;
	return 1;
}

int naive_route(const struct hr_virtual_service *vs, const struct gen_req *q)
{
	for (size_t i = 0; i < vs->http.len; i++) {
		const struct hr_http_route *r = &vs->http.data[i];

		for (size_t k = 0; k < r->match.len; k++)
			if (entry_holds(&r->match.data[k], q))
				return (int)i;
		if (!r->match.len)
			return (int)i;
	}
	return -1;
}
