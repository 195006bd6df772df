// SPDX-License-Identifier: Apache-2.0
/* Host names of resources: short, namespaced, full; wildcards. */
#include "model/hosts.h"

#include <string.h>

#include "core/net.h"
#include "core/str.h"

static char *lower(struct hr_arena *a, const char *s)
{
	char *out = hr_arena_strdup(a, s);
	size_t n = strlen(out);

	for (char *c = out; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
	if (n > 1 && out[n - 1] == '.')
		out[n - 1] = 0;
	return out;
}

const char *hr_host_fqdn(struct hr_arena *a, const char *host, const char *ns,
			 const char *cluster_domain)
{
	char *s = lower(a, host);
	const char *dot = strchr(s, '.');
	struct hr_addr addr;

	if (*s == '*' || !hr_addr_parse(s, &addr))
		return s;
	if (!dot)
		return hr_arena_printf(a, "%s.%s.svc.%s", s, ns, cluster_domain);
	/* name.ns.svc */
	if (hr_ends(s, ".svc") && strchr(dot + 1, '.') == s + strlen(s) - strlen(".svc"))
		return hr_arena_printf(a, "%s.%s", s, cluster_domain);
	return s;
}

const char *hr_host_fqdn_known(struct hr_arena *a, const char *host, const char *ns,
			       const char *cluster_domain, const struct hr_map *known)
{
	const char *s = hr_host_fqdn(a, host, ns, cluster_domain);
	const char *dot = strchr(s, '.');
	const char *full;

	if (*s == '*' || !dot || strchr(dot + 1, '.') || hr_map_gets(known, s))
		return s;
	full = hr_arena_printf(a, "%s.svc.%s", s, cluster_domain);
	return hr_map_gets(known, full) ? full : s;
}

bool hr_host_matches(const char *pattern, const char *host)
{
	size_t p, h;

	if (*pattern != '*')
		return hr_streq(pattern, host);
	if (!pattern[1])
		return true;
	/* "*.foo.com" is for names below foo.com, not for foo.com */
	p = strlen(pattern + 1);
	h = strlen(host);
	return h > p && hr_streq(host + h - p, pattern + 1);
}

int hr_host_specificity_cmp(const char *a, const char *b)
{
	bool wild_a = *a == '*', wild_b = *b == '*';
	size_t na = strlen(a), nb = strlen(b);

	if (wild_a != wild_b)
		return wild_b ? 1 : -1;
	return na == nb ? 0 : na > nb ? 1 : -1;
}
