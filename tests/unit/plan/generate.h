/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generated policies and requests. Values come from small, overlapping alphabets, so that prefixes
 * nest, exact values collide with prefixes, negations bite, and some values are longer than the
 * kernel's tables hold. Objects are built as structs; the decoder has its own tests.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "naive.h"

#define GEN_SERVICES 3
#define GEN_VS_MAX 4

struct gen_opts {
	unsigned rules;	  /* HTTPRoutes of the first VirtualService */
	unsigned headers; /* distinct header names, up to 12: more than HR_DIMS_MAX is agent's */
	bool agent_conds; /* also conditions that only the agent knows */
	bool many_vs;	  /* wildcards, two objects for one host */
};

static inline uint32_t gen_below(uint32_t *seed, uint32_t n)
{
	*seed = *seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)*seed * n) >> 32);
}

#define GEN_ONE_OF(seed, list) (list)[gen_below(seed, sizeof(list) / sizeof((list)[0]))]

#define GEN_LONG "0123456789012345678901234567890123456789012345678901234567890"
static const char *const gen_values[] = {"",
					 "a",
					 "ab",
					 "abc",
					 "b",
					 "true",
					 "A",
					 GEN_LONG "ab",
					 GEN_LONG "abc",
					 GEN_LONG "abcd",
					 GEN_LONG "abcde"};
static const char *const gen_paths[] = {"/",
					"/a",
					"/ab",
					"/a/b",
					"/a/b/c",
					"/api",
					"/api/v1",
					"/api/v1/user",
					"/x" GEN_LONG "a",
					"/x" GEN_LONG "ab",
					"/x" GEN_LONG "abc",
					"/API"};
static const char *const gen_names[] = {"x-user", "x-group", "end-user", "x-a", "x-b", "x-c",
					"x-d",	  "x-e",     "x-f",	 "x-g", "x-h", "x-i"};
static const char *const gen_methods[] = {"GET", "POST", "PUT"};
static const char *const gen_params[] = {"q", "page"};
static const char *const gen_queries[] = {"", "q=a", "q=ab&page=abc", "page", "x=1&q="};
static const char *const gen_hosts[] = {"s0", "s1", "s2"};
static const uint16_t gen_ports[] = {80, 8080};

static inline struct hr_string_match gen_match(uint32_t *seed, const char *value)
{
	return (struct hr_string_match){
		.type = gen_below(seed, 2) ? HR_MATCH_EXACT : HR_MATCH_PREFIX, .value = value};
}

static inline struct hr_header_match gen_header(uint32_t *seed, const struct gen_opts *o)
{
	struct hr_header_match h = {.name = gen_names[gen_below(seed, o->headers)]};

	if (!gen_below(seed, 4))
		h.m.type = HR_MATCH_PRESENT;
	else
		h.m = gen_match(seed, GEN_ONE_OF(seed, gen_values));
	return h;
}

static inline void gen_agent_cond(struct hr_arena *a, uint32_t *seed, struct hr_http_match *m)
{
	switch (gen_below(seed, 8)) {
	case 0:
		m->query_params.data = hr_arena_new0(a, struct hr_header_match);
		m->query_params.data[m->query_params.len++] = (struct hr_header_match){
			.name = GEN_ONE_OF(seed, gen_params),
			.m = gen_match(seed, GEN_ONE_OF(seed, gen_values))};
		break;
	case 1:
		m->source_namespace = gen_below(seed, 2) ? "red" : "blue";
		break;
	case 2:
		m->source_labels.data = hr_arena_new0(a, struct hr_kv);
		m->source_labels.data[m->source_labels.len++] =
			(struct hr_kv){.key = "app", .value = gen_below(seed, 2) ? "web" : "db"};
		break;
	case 3:
		m->ignore_uri_case = m->uri.type != HR_MATCH_NONE;
		break;
	case 4:
		m->method = (struct hr_string_match){.type = HR_MATCH_PREFIX, .value = "P"};
		break;
	case 5:
		m->authority = gen_match(seed, GEN_ONE_OF(seed, gen_hosts));
		break;
	case 6:
		m->scheme = gen_match(seed, "http");
		break;
	default: /* two on one header */
		m->headers.data = hr_arena_array(a, struct hr_header_match, 2);
		m->headers.len = 2;
		m->headers.data[0].name = m->headers.data[1].name = gen_names[0];
		m->headers.data[0].m = gen_match(seed, "a");
		m->headers.data[1].m = gen_match(seed, GEN_ONE_OF(seed, gen_values));
	}
}

static inline void gen_entry(struct hr_arena *a, uint32_t *seed, const struct gen_opts *o,
			     struct hr_http_match *m)
{
	if (gen_below(seed, 2))
		m->uri = gen_match(seed, GEN_ONE_OF(seed, gen_paths));
	if (!gen_below(seed, 4))
		m->method = (struct hr_string_match){.type = HR_MATCH_EXACT,
						     .value = GEN_ONE_OF(seed, gen_methods)};
	if (!gen_below(seed, 8))
		m->port = GEN_ONE_OF(seed, gen_ports);
	m->headers.data = hr_arena_array(a, struct hr_header_match, 3);
	for (uint32_t n = gen_below(seed, 4); n; n--) {
		struct hr_header_match h = gen_header(seed, o);
		bool twice = false;

		for (size_t i = 0; i < m->headers.len; i++)
			twice |= m->headers.data[i].name == h.name;
		if (!twice)
			m->headers.data[m->headers.len++] = h;
	}
	m->without_headers.data = hr_arena_array(a, struct hr_header_match, 2);
	for (uint32_t n = gen_below(seed, 6); n > 3; n--)
		m->without_headers.data[m->without_headers.len++] = gen_header(seed, o);
	if (o->agent_conds && !gen_below(seed, 6))
		gen_agent_cond(a, seed, m);
}

static inline struct hr_service *gen_service(struct hr_arena *a, unsigned i)
{
	struct hr_service *s = hr_arena_new0(a, struct hr_service);

	s->meta = (struct hr_meta){
		.kind = HR_KIND_SERVICE, .ns = "default", .name = hr_arena_printf(a, "s%u", i)};
	s->ports.data = hr_arena_array(a, struct hr_port, 2);
	s->ports.len = 2;
	s->ports.data[0] = (struct hr_port){.name = "http", .number = gen_ports[0]};
	s->ports.data[1] = (struct hr_port){.name = "http-alt", .number = gen_ports[1]};
	s->cluster_ips.data = hr_arena_array(a, const char *, 1);
	s->cluster_ips.data[s->cluster_ips.len++] = hr_arena_printf(a, "10.96.0.%u", i + 1);
	return s;
}

static inline void gen_routes(struct hr_arena *a, uint32_t *seed, const struct gen_opts *o,
			      struct hr_virtual_service *vs, unsigned rules)
{
	struct hr_route_destination *to = hr_arena_new0(a, struct hr_route_destination);

	*to = (struct hr_route_destination){.destination.host = "s0", .weight = -1};
	vs->http.data = hr_arena_array(a, struct hr_http_route, rules + 1);
	for (; vs->http.len < rules; vs->http.len++) {
		struct hr_http_route *r = &vs->http.data[vs->http.len];

		r->timeout = -1;
		r->fault.delay_ms = r->fault.abort_http = -1;
		r->route.data = to;
		r->route.len = 1;
		r->match.len = gen_below(seed, 40) ? 1 + gen_below(seed, 3) : 0; /* 0: all */
		r->match.data = hr_arena_array(a, struct hr_http_match, 3);
		for (size_t i = 0; i < r->match.len; i++)
			gen_entry(a, seed, o, &r->match.data[i]);
	}
}

/* The first VirtualService speaks for s0. */
static inline struct hr_objects *gen_objects(uint32_t *seed, const struct gen_opts *o)
{
	static const char *const hosts[] = {"s0.default.svc.cluster.local",
					    "s1.default.svc.cluster.local",
					    "*.default.svc.cluster.local",
					    "*.local",
					    "*",
					    "shop.example.com",
					    "*.example.com"};
	struct hr_arena *a = hr_arena_new();
	struct hr_objects *set = hr_arena_new0(a, struct hr_objects);
	unsigned nvs = o->many_vs ? 1 + gen_below(seed, GEN_VS_MAX) : 1;

	set->arena = a;
	set->services.data = hr_arena_array(a, struct hr_service *, GEN_SERVICES);
	for (unsigned i = 0; i < GEN_SERVICES; i++)
		set->services.data[set->services.len++] = gen_service(a, i);
	set->virtual_services.data = hr_arena_array(a, struct hr_virtual_service *, GEN_VS_MAX);
	for (unsigned i = 0; i < nvs; i++) {
		struct hr_virtual_service *vs = hr_arena_new0(a, struct hr_virtual_service);

		vs->meta = (struct hr_meta){.kind = HR_KIND_VIRTUAL_SERVICE,
					    .ns = "default",
					    .name = hr_arena_printf(a, "vs%u", i),
					    .created_ms = 1000 - i};
		vs->hosts.data = hr_arena_array(a, const char *, 2);
		vs->hosts.data[vs->hosts.len++] = i ? GEN_ONE_OF(seed, hosts) : hosts[0];
		if (!gen_below(seed, 3))
			vs->hosts.data[vs->hosts.len++] = GEN_ONE_OF(seed, hosts);
		gen_routes(a, seed, o, vs, i ? 1 + gen_below(seed, 8) : o->rules);
		set->virtual_services.data[set->virtual_services.len++] = vs;
	}
	return set;
}

/* q->host is a service by one of its names; *fqdn the host that the objects know it by. */
static inline void gen_host(uint32_t *seed, struct asked *q, const char **fqdn)
{
	static const struct {
		const char *sent, *fqdn;
	} hosts[] = {
		{"s0", "s0.default.svc.cluster.local"},
		{"s0:80", "s0.default.svc.cluster.local"},
		{"S0.Default.svc.cluster.local.", "s0.default.svc.cluster.local"},
		{"10.96.0.1:8080", "s0.default.svc.cluster.local"},
		{"s0.default", "s0.default.svc.cluster.local"},
		{"s1.default.svc", "s1.default.svc.cluster.local"},
		{"s2", "s2.default.svc.cluster.local"},
		{"shop.example.com", "shop.example.com"},
		{"Other.Example.com:80", "other.example.com"},
		{"unknown.net", "unknown.net"},
	};
	/* half of them to the host whose rules are many */
	unsigned i = gen_below(seed, 2) ? gen_below(seed, 5)
					: gen_below(seed, sizeof(hosts) / sizeof(hosts[0]));

	q->host = hosts[i].sent;
	*fqdn = hosts[i].fqdn;
}

static inline struct asked gen_request(uint32_t *seed, const struct gen_opts *o, const char **fqdn)
{
	static struct hr_kv label = {.key = "app", .value = "web"};
	struct asked q = {
		.method = GEN_ONE_OF(seed, gen_methods),
		.path = GEN_ONE_OF(seed, gen_paths),
		.query = GEN_ONE_OF(seed, gen_queries),
		.scheme = "http",
		.source_ns = gen_below(seed, 2) ? "red" : NULL,
		.port = GEN_ONE_OF(seed, gen_ports),
	};

	gen_host(seed, &q, fqdn);
	if (gen_below(seed, 2)) {
		q.source_labels.data = &label;
		q.source_labels.len = 1;
	}
	for (unsigned i = 0; i < o->headers && q.nheaders < ASKED_HEADERS; i++)
		if (gen_below(seed, 3)) {
			q.headers[q.nheaders].name = gen_names[i];
			q.headers[q.nheaders++].value = GEN_ONE_OF(seed, gen_values);
		}
	return q;
}
