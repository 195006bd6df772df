// SPDX-License-Identifier: Apache-2.0
/* The mesh's names: see names.h. */
#include "dns/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/map.h"

struct hr_dns_names {
	struct hr_arena *arena;
	struct hr_map *by_name; /* text -> struct hr_dns_addrs * */
	const char *domain;
};

/* Names that somebody wrote win over names that are derived. */
static void put_alias(struct hr_dns_names *t, const char *name, struct hr_dns_addrs *a)
{
	if (!hr_map_gets(t->by_name, name))
		hr_map_puts(t->by_name, name, a);
}

/* Is name "<short>.<ns>.svc.<domain>"? Gives the length of the short part, 0 when it is not. */
static size_t service_short(const struct hr_dns_names *t, const char *name, const char *ns)
{
	char tail[512];
	size_t n = strlen(name), m;

	m = snprintf(tail, sizeof(tail), ".%s.svc.%s", ns, t->domain);
	if (m >= sizeof(tail) || n <= m || strcmp(name + n - m, tail))
		return 0;
	n -= m;
	return memchr(name, '.', n) ? 0 : n;
}

static void put_aliases(struct hr_dns_names *t, const struct hr_plan_name *p, bool is_default)
{
	struct hr_dns_addrs *a = hr_map_gets(t->by_name, p->name);
	size_t n = p->ns && a ? service_short(t, p->name, p->ns) : 0;

	if (!n || is_default != !strcmp(p->ns, "default"))
		return;
	put_alias(t, hr_arena_printf(t->arena, "%.*s.%s.svc", (int)n, p->name, p->ns), a);
	put_alias(t, hr_arena_printf(t->arena, "%.*s.%s", (int)n, p->name, p->ns), a);
	put_alias(t, hr_arena_strndup(t->arena, p->name, n), a);
}

struct hr_dns_names *hr_dns_names_new(const struct hr_plan *plan)
{
	struct hr_arena *arena = hr_arena_new();
	struct hr_dns_names *t = hr_arena_new0(arena, struct hr_dns_names);

	t->arena = arena;
	t->by_name = hr_map_new();
	if (!plan)
		return t;
	t->domain = hr_arena_strdup(arena, plan->cluster_domain ?: "cluster.local");
	for (size_t i = 0; i < plan->names.len; i++) {
		const struct hr_plan_name *p = &plan->names.data[i];
		struct hr_dns_addrs *a;
		struct hr_addr *copy;

		/* a host without address is somebody else's to resolve */
		if (!p->naddrs)
			continue;
		a = hr_arena_new0(arena, struct hr_dns_addrs);
		copy = hr_arena_array(arena, struct hr_addr, p->naddrs);
		memcpy(copy, p->addrs, p->naddrs * sizeof(*copy));
		a->addrs = copy;
		a->n = p->naddrs;
		put_alias(t, p->name, a);
	}
	/* a short name that several namespaces have means the one in "default" */
	for (size_t i = 0; i < plan->names.len; i++)
		put_aliases(t, &plan->names.data[i], true);
	for (size_t i = 0; i < plan->names.len; i++)
		put_aliases(t, &plan->names.data[i], false);
	return t;
}

void hr_dns_names_free(struct hr_dns_names *t)
{
	if (!t)
		return;
	hr_map_free(t->by_name);
	hr_arena_free(t->arena);
}

static const struct hr_dns_addrs *find_plain(const struct hr_dns_names *t, const char *name,
					     const char *k8s_ns)
{
	const struct hr_dns_addrs *a = NULL;
	char buf[512];

	if (!strchr(name, '.') && t->domain &&
	    snprintf(buf, sizeof(buf), "%s.%s.svc.%s", name, k8s_ns, t->domain) < (int)sizeof(buf))
		a = hr_map_gets(t->by_name, buf);
	return a ?: hr_map_gets(t->by_name, name);
}

/* "a.b.example.com" by "*.b.example.com", then "*.example.com" ... */
static const struct hr_dns_addrs *find_wildcard(const struct hr_dns_names *t, const char *name)
{
	const struct hr_dns_addrs *a = NULL;
	char buf[512];

	for (const char *dot = strchr(name, '.'); dot && !a; dot = strchr(dot + 1, '.'))
		if (snprintf(buf, sizeof(buf), "*%s", dot) < (int)sizeof(buf))
			a = hr_map_gets(t->by_name, buf);
	return a;
}

const struct hr_dns_addrs *hr_dns_names_find(const struct hr_dns_names *t, const char *name,
					     const char *k8s_ns, const char *const *search,
					     size_t nsearch)
{
	const struct hr_dns_addrs *a = *name ? find_plain(t, name, k8s_ns) : NULL;
	size_t n = strlen(name);
	char buf[512];

	for (size_t i = 0; i < nsearch && !a; i++) {
		size_t m = strlen(search[i]);

		if (n <= m + 1 || n - m > sizeof(buf) || name[n - m - 1] != '.' ||
		    strcmp(name + n - m, search[i]))
			continue;
		memcpy(buf, name, n - m - 1);
		buf[n - m - 1] = 0;
		a = find_plain(t, buf, k8s_ns);
	}
	return a ?: find_wildcard(t, name);
}
