// SPDX-License-Identifier: Apache-2.0
/* Checks between objects: hosts and subsets that nothing defines, hosts claimed twice, weights. */
#include "model/validate.h"

#include <stdio.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/map.h"
#include "core/vec.h"
#include "model/hosts.h"

/* "Did you mean" looks at every service: so many times at most. */
#define SUGGESTIONS_MAX 200

struct refs {
	const struct hr_objects *o;
	const char *domain;
	struct hr_diags *diags;
	struct hr_arena *arena;
	struct hr_map *hosts; /* FQDN -> struct hr_service * or struct hr_service_entry * */
	HR_VEC(const char *) wildcards; /* of ServiceEntries */
	HR_VEC(const char *) names;	/* all exact FQDNs, for "did you mean" */
	struct hr_map *services;	/* FQDN -> struct hr_service * */
	struct hr_map *rules;		/* FQDN -> struct rule * */
	struct rule *wild_rules;	/* those of wildcard hosts */
	size_t suggestions;		/* made so far */
};

/* A list of DestinationRules. */
struct rule {
	const struct hr_destination_rule *dr;
	struct rule *next;
};

bool hr_vs_in_mesh(const struct hr_virtual_service *vs)
{
	for (size_t i = 0; i < vs->gateways.len; i++)
		if (hr_streq(vs->gateways.data[i], "mesh"))
			return true;
	return !vs->gateways.len;
}

static void add_host(struct refs *r, const char *host, const void *owner)
{
	if (*host == '*') {
		hr_vec_push(&r->wildcards, host);
	} else if (!hr_map_gets(r->hosts, host)) {
		hr_map_puts(r->hosts, host, (void *)owner);
		hr_vec_push(&r->names, host);
	}
}

static void collect_hosts(struct refs *r)
{
	for (size_t i = 0; i < r->o->services.len; i++) {
		const struct hr_service *s = r->o->services.data[i];
		const char *fqdn = hr_host_fqdn(r->arena, s->meta.name, s->meta.ns, r->domain);

		add_host(r, fqdn, s);
		hr_map_puts(r->services, fqdn, (void *)s);
	}
	for (size_t i = 0; i < r->o->service_entries.len; i++) {
		const struct hr_service_entry *se = r->o->service_entries.data[i];

		for (size_t k = 0; k < se->hosts.len; k++)
			add_host(r,
				 hr_host_fqdn(r->arena, se->hosts.data[k], se->meta.ns, r->domain),
				 se);
	}
}

static const char *resolve(struct refs *r, const char *host, const char *ns)
{
	return hr_host_fqdn_known(r->arena, host, ns, r->domain, r->hosts);
}

static bool host_known(const struct refs *r, const char *fqdn)
{
	if (hr_map_gets(r->hosts, fqdn))
		return true;
	for (size_t i = 0; i < r->wildcards.len; i++)
		if (hr_host_matches(r->wildcards.data[i], fqdn))
			return true;
	return false;
}

/* The name that was perhaps meant, as short as the one that was written. */
static const char *near_host(struct refs *r, const char *host, const char *ns, const char *fqdn)
{
	const char *near;

	if (r->suggestions++ >= SUGGESTIONS_MAX)
		return NULL;
	if (!strchr(host, '.')) {
		HR_VEC(const char *) words = {};

		for (size_t i = 0; i < r->o->services.len; i++)
			if (hr_streq(r->o->services.data[i]->meta.ns, ns))
				hr_vec_push(&words, r->o->services.data[i]->meta.name);
		near = hr_nearest(host, words.data, words.len);
		hr_vec_free(&words);
		if (near)
			return near;
	}
	return hr_nearest(fqdn, r->names.data, r->names.len);
}

static void unknown_host(struct refs *r, enum hr_severity sev, const struct hr_meta *meta,
			 struct hr_pos pos, const char *field, const char *host, const char *fqdn)
{
	const char *near = near_host(r, host, meta->ns, fqdn);

	if (near)
		hr_diag_add(r->diags, sev, pos, "unknown-host", meta, field,
			    "no Service or ServiceEntry defines host \"%.253s\"; did you mean "
			    "\"%.253s\"?",
			    fqdn, near);
	else
		hr_diag_add(r->diags, sev, pos, "unknown-host", meta, field,
			    "no Service or ServiceEntry defines host \"%.253s\"", fqdn);
}

/* ---- subsets ---- */

static void collect_rules(struct refs *r)
{
	for (size_t i = 0; i < r->o->destination_rules.len; i++) {
		const struct hr_destination_rule *dr = r->o->destination_rules.data[i];
		const char *fqdn = resolve(r, dr->host, dr->meta.ns);
		struct rule *n = hr_arena_new0(r->arena, struct rule);

		n->dr = dr;
		n->next = *fqdn == '*' ? r->wild_rules : hr_map_gets(r->rules, fqdn);
		if (*fqdn == '*')
			r->wild_rules = n;
		else
			hr_map_puts(r->rules, fqdn, n);
	}
}

typedef HR_VEC(const char *) words;

/* Is the subset defined by this rule? Its other subsets go to `near`. */
static bool subset_in(const struct hr_destination_rule *dr, const char *subset, words *near)
{
	for (size_t i = 0; i < dr->subsets.len; i++) {
		if (hr_streq(dr->subsets.data[i].name, subset))
			return true;
		hr_vec_push(near, dr->subsets.data[i].name);
	}
	return false;
}

static void check_subset(struct refs *r, const struct hr_virtual_service *vs,
			 const struct hr_destination *d, const char *fqdn, const char *field,
			 enum hr_severity sev)
{
	words others = {};
	const char *near;
	bool found = false;

	for (const struct rule *l = hr_map_gets(r->rules, fqdn); l && !found; l = l->next)
		found = subset_in(l->dr, d->subset, &others);
	for (const struct rule *l = r->wild_rules; l && !found; l = l->next)
		found = hr_host_matches(l->dr->host, fqdn) && subset_in(l->dr, d->subset, &others);
	near = found ? NULL : hr_nearest(d->subset, others.data, others.len);
	if (near)
		hr_diag_add(r->diags, sev, d->subset_pos, "unknown-subset", &vs->meta, field,
			    "no DestinationRule defines subset \"%.63s\" of host \"%.253s\"; did "
			    "you mean \"%.63s\"?",
			    d->subset, fqdn, near);
	else if (!found)
		hr_diag_add(r->diags, sev, d->subset_pos, "unknown-subset", &vs->meta, field,
			    "no DestinationRule defines subset \"%.63s\" of host \"%.253s\"",
			    d->subset, fqdn);
	hr_vec_free(&others);
}

static bool has_port(const hr_ports *ports, uint32_t number)
{
	for (size_t i = 0; i < ports->len; i++)
		if (ports->data[i].number == number)
			return true;
	return false;
}

static void check_port(struct refs *r, const struct hr_virtual_service *vs,
		       const struct hr_destination *d, const char *fqdn, const char *field,
		       enum hr_severity sev)
{
	const struct hr_service *s = hr_map_gets(r->services, fqdn);

	if (!s || !d->port)
		return;
	if (has_port(&s->ports, (uint32_t)d->port))
		return;
	hr_diag_add(r->diags, sev, d->pos, "unknown-port", &vs->meta, field,
		    "%u is no port of service %s/%s", d->port, s->meta.ns, s->meta.name);
}

/* `sev`: of one that is not there. A mirror without one does the request no harm. */
static void check_destination(struct refs *r, const struct hr_virtual_service *vs,
			      const struct hr_destination *d, const char *where,
			      enum hr_severity sev)
{
	const char *fqdn = resolve(r, d->host, vs->meta.ns);
	_cleanup_sb_ struct hr_strbuf field = {};
	bool registry = r->names.len || r->wildcards.len;

	hr_sb_printf(&field, "%s.host", where);
	if (registry && !host_known(r, fqdn))
		unknown_host(r, sev, &vs->meta, d->pos, field.data, d->host, fqdn);
	hr_sb_free(&field);
	field = (struct hr_strbuf){};
	hr_sb_printf(&field, "%s.subset", where);
	if (d->subset && *d->subset)
		check_subset(r, vs, d, fqdn, field.data, sev);
	hr_sb_free(&field);
	field = (struct hr_strbuf){};
	hr_sb_printf(&field, "%s.port", where);
	check_port(r, vs, d, fqdn, field.data, sev);
}

/* ---- one VirtualService ---- */

static void check_route(struct refs *r, const struct hr_virtual_service *vs, const char *list,
			size_t index, const struct hr_route_destination *route, size_t len)
{
	char field[96];
	int64_t sum = 0;

	for (size_t i = 0; i < len; i++) {
		snprintf(field, sizeof(field), "spec.%s[%zu].route[%zu].destination", list, index,
			 i);
		check_destination(r, vs, &route[i].destination, field, HR_SEV_ERROR);
		sum += HR_MAX(route[i].weight, 0);
	}
	snprintf(field, sizeof(field), "spec.%s[%zu].route", list, index);
	if (len > 1 && sum != 100)
		hr_diag_add(r->diags, HR_SEV_WARNING, route[0].pos, "weights", &vs->meta, field,
			    "the weights sum to %lld, not to 100: each is taken as its share of "
			    "the sum",
			    (long long)sum);
}

static void check_virtual_service(struct refs *r, const struct hr_virtual_service *vs)
{
	char field[96];

	for (size_t i = 0; i < vs->http.len; i++) {
		const struct hr_http_route *h = &vs->http.data[i];

		check_route(r, vs, "http", i, h->route.data, h->route.len);
		for (size_t k = 0; k < h->mirrors.len; k++) {
			snprintf(field, sizeof(field), "spec.http[%zu].mirrors[%zu].destination", i,
				 k);
			check_destination(r, vs, &h->mirrors.data[k].destination, field,
					  HR_SEV_WARNING);
		}
	}
	for (size_t i = 0; i < vs->tls.len; i++)
		check_route(r, vs, "tls", i, vs->tls.data[i].route.data, vs->tls.data[i].route.len);
	for (size_t i = 0; i < vs->tcp.len; i++)
		check_route(r, vs, "tcp", i, vs->tcp.data[i].route.data, vs->tcp.data[i].route.len);
	hr_validate_reach(vs, r->diags);
}

/* ---- hosts and rules that are there twice ---- */

/* Seen by some namespaces only: it goes before what all see, and is no conflict with it. */
static bool restricted(const hr_strs *export_to)
{
	for (size_t i = 0; i < export_to->len; i++)
		if (hr_streq(export_to->data[i], "*"))
			return false;
	return export_to->len;
}

/* Oldest by creationTimestamp, then by namespace and name (the order of the set). */
static bool older(const struct hr_meta *a, const struct hr_meta *b)
{
	return a->created_ms && (!b->created_ms || a->created_ms < b->created_ms);
}

static void say_claimed(struct refs *r, const struct hr_virtual_service *loser, size_t host,
			const struct hr_virtual_service *winner)
{
	char field[64];

	snprintf(field, sizeof(field), "spec.hosts[%zu]", host);
	hr_diag_add(r->diags, HR_SEV_ERROR, loser->host_pos.data[host], "conflict", &loser->meta,
		    field,
		    "host \"%.253s\" already belongs to VirtualService %s/%s (%s:%u), which wins",
		    loser->hosts.data[host], winner->meta.ns, winner->meta.name,
		    winner->meta.pos.file, winner->meta.pos.line);
}

struct claim {
	const struct hr_virtual_service *vs;
	size_t host;
};

/* Without hosts and without a root it speaks for nobody: most likely the hosts were forgotten. */
static void check_delegates(struct refs *r)
{
	_cleanup_map_ struct hr_map *wanted = hr_map_new();

	for (size_t i = 0; i < r->o->virtual_services.len; i++) {
		const struct hr_virtual_service *vs = r->o->virtual_services.data[i];

		for (size_t k = 0; vs->hosts.len && k < vs->http.len; k++) {
			const struct hr_http_route *h = &vs->http.data[k];

			if (h->delegate_name)
				hr_map_puts(wanted,
					    hr_arena_printf(r->arena, "%s/%s",
							    h->delegate_ns && *h->delegate_ns
								    ? h->delegate_ns
								    : vs->meta.ns,
							    h->delegate_name),
					    (void *)vs);
		}
	}
	for (size_t i = 0; i < r->o->virtual_services.len; i++) {
		const struct hr_meta *m = &r->o->virtual_services.data[i]->meta;

		if (!r->o->virtual_services.data[i]->hosts.len &&
		    !hr_map_gets(wanted, hr_arena_printf(r->arena, "%s/%s", m->ns, m->name)))
			hr_diag_add(r->diags, HR_SEV_ERROR, m->pos, "delegate", m, "spec.hosts",
				    "no hosts, and no VirtualService delegates to it");
	}
}

static void check_claims(struct refs *r)
{
	_cleanup_map_ struct hr_map *claims = hr_map_new();

	for (size_t i = 0; i < r->o->virtual_services.len; i++) {
		const struct hr_virtual_service *vs = r->o->virtual_services.data[i];

		for (size_t k = 0; k < vs->hosts.len && hr_vs_in_mesh(vs); k++) {
			const char *fqdn = resolve(r, vs->hosts.data[k], vs->meta.ns);
			struct claim *c = hr_map_gets(claims, fqdn);

			if (c && !hr_streq(c->vs->meta.ns, vs->meta.ns) &&
			    (restricted(&c->vs->export_to) || restricted(&vs->export_to)))
				continue;
			if (c && !older(&vs->meta, &c->vs->meta)) {
				say_claimed(r, vs, k, c->vs);
				continue;
			}
			if (c)
				say_claimed(r, c->vs, c->host, vs);
			c = hr_arena_new0(r->arena, struct claim);
			*c = (struct claim){vs, k};
			hr_map_puts(claims, fqdn, c);
		}
	}
}

/* The first to say something about a key; NULL when it is this one. */
static const struct hr_destination_rule *first_rule(struct hr_map *seen, const char *key,
						    const struct hr_destination_rule *dr)
{
	const struct hr_destination_rule *first = hr_map_gets(seen, key);

	if (!first)
		hr_map_puts(seen, key, (void *)dr);
	return first;
}

/* Rules of one host and namespace are merged: what two define is settled by the first. */
static void check_merge(struct refs *r, const struct hr_destination_rule *dr, const char *fqdn,
			struct hr_map *seen)
{
	const char *key = hr_arena_printf(r->arena, "%s/%s", dr->meta.ns, fqdn);
	const struct hr_destination_rule *first = dr->policy.set ? first_rule(seen, key, dr) : NULL;

	if (first)
		hr_diag_add(r->diags, HR_SEV_WARNING, dr->policy.pos, "conflict", &dr->meta,
			    "spec.trafficPolicy",
			    "DestinationRule %s/%s has a trafficPolicy for the same host already",
			    first->meta.ns, first->meta.name);
	for (size_t i = 0; i < dr->subsets.len; i++) {
		const struct hr_subset *s = &dr->subsets.data[i];

		first = first_rule(seen, hr_arena_printf(r->arena, "%s/%s", key, s->name), dr);
		if (first)
			hr_diag_add(r->diags, HR_SEV_WARNING, s->pos, "conflict", &dr->meta,
				    "spec.subsets",
				    "DestinationRule %s/%s has a subset \"%s\" for the same host "
				    "already",
				    first->meta.ns, first->meta.name, s->name);
	}
}

/* portLevelSettings for a port that the service does not have: they would never be used. */
static void check_port_levels(struct refs *r, const struct hr_destination_rule *dr,
			      const struct hr_traffic_policy *p, const char *fqdn,
			      const char *field)
{
	const struct hr_service *s = hr_map_gets(r->services, fqdn);

	for (size_t i = 0; s && i < p->port_level.len; i++)
		if (p->port_level.data[i].port && !has_port(&s->ports, p->port_level.data[i].port))
			hr_diag_add(r->diags, HR_SEV_ERROR, p->port_level.data[i].pos,
				    "unknown-port", &dr->meta,
				    hr_arena_printf(r->arena, "%s.portLevelSettings[%zu].port",
						    field, i),
				    "%u is no port of service %s/%s", p->port_level.data[i].port,
				    s->meta.ns, s->meta.name);
}

static void check_rules(struct refs *r)
{
	_cleanup_map_ struct hr_map *seen = hr_map_new();

	for (size_t i = 0; i < r->o->destination_rules.len; i++) {
		const struct hr_destination_rule *dr = r->o->destination_rules.data[i];
		const char *fqdn = resolve(r, dr->host, dr->meta.ns);

		check_merge(r, dr, fqdn, seen);
		check_port_levels(r, dr, &dr->policy, fqdn, "spec.trafficPolicy");
		for (size_t k = 0; k < dr->subsets.len; k++)
			check_port_levels(
				r, dr, &dr->subsets.data[k].policy, fqdn,
				hr_arena_printf(r->arena, "spec.subsets[%zu].trafficPolicy", k));
		if ((r->names.len || r->wildcards.len) && *dr->host != '*' && !host_known(r, fqdn))
			unknown_host(r, HR_SEV_WARNING, &dr->meta, dr->host_pos, "spec.host",
				     dr->host, fqdn);
	}
}

void hr_validate_refs(const struct hr_objects *o, const char *cluster_domain,
		      struct hr_diags *diags)
{
	_cleanup_arena_ struct hr_arena *arena = hr_arena_new();
	_cleanup_map_ struct hr_map *hosts = hr_map_new();
	_cleanup_map_ struct hr_map *services = hr_map_new();
	_cleanup_map_ struct hr_map *rules = hr_map_new();
	struct refs r = {.o = o,
			 .domain = cluster_domain,
			 .diags = diags,
			 .arena = arena,
			 .hosts = hosts,
			 .services = services,
			 .rules = rules};

	collect_hosts(&r);
	collect_rules(&r);
	/* a set without any service is a part of a configuration: hosts are defined elsewhere */
	if (!r.names.len && !r.wildcards.len && o->virtual_services.len)
		hr_diag_add(diags, HR_SEV_NOTICE, o->virtual_services.data[0]->meta.pos,
			    "unknown-host", NULL, "",
			    "no Service or ServiceEntry was given: destination hosts were not "
			    "checked");
	for (size_t i = 0; i < o->virtual_services.len; i++)
		check_virtual_service(&r, o->virtual_services.data[i]);
	check_claims(&r);
	check_delegates(&r);
	check_rules(&r);
	hr_vec_free(&r.names);
	hr_vec_free(&r.wildcards);
}
