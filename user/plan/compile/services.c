// SPDX-License-Identifier: Apache-2.0
/* Which hosts exist: Kubernetes Services and ServiceEntry hosts, their addresses and protocols. */
#include <string.h>
#include <strings.h>

#include "model/hosts.h"
#include "core/net.h"
#include "plan/compile/compile.h"

bool hr_labels_match(const hr_kvs *want, const hr_kvs *have)
{
	for (size_t i = 0; i < want->len; i++) {
		bool found = false;

		for (size_t k = 0; have && k < have->len && !found; k++)
			found = hr_streq(want->data[i].key, have->data[k].key) &&
				hr_streq(want->data[i].value, have->data[k].value);
		if (!found)
			return false;
	}
	return true;
}

static enum hr_proto proto_word(const char *w, size_t n)
{
	static const struct {
		const char *word;
		enum hr_proto proto;
	} words[] = {
		{"http", HR_PROTO_HTTP1},
		{"kubernetes.io/ws", HR_PROTO_HTTP1},
		{"grpc-web", HR_PROTO_HTTP1},
		{"http2", HR_PROTO_HTTP2},
		{"grpc", HR_PROTO_HTTP2},
		{"kubernetes.io/h2c", HR_PROTO_HTTP2},
		{"tcp", HR_PROTO_TCP},
		{"tls", HR_PROTO_TCP},
		{"https", HR_PROTO_TCP},
		{"mongo", HR_PROTO_TCP},
		{"mysql", HR_PROTO_TCP},
		{"redis", HR_PROTO_TCP},
		{"kubernetes.io/wss", HR_PROTO_TCP},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strlen(words[i].word) == n && !strncasecmp(words[i].word, w, n))
			return words[i].proto;
	return HR_PROTO_AUTO;
}

enum hr_proto hr_port_proto(const struct hr_port *p)
{
	enum hr_proto proto = HR_PROTO_AUTO;

	if (p->protocol)
		proto = proto_word(p->protocol, strlen(p->protocol));
	if (proto == HR_PROTO_AUTO && p->name && !strncasecmp(p->name, "grpc-web", 8))
		return HR_PROTO_HTTP1;
	if (proto == HR_PROTO_AUTO && p->name)
		proto = proto_word(p->name, strcspn(p->name, "-"));
	return proto;
}

static bool tls_word(const char *w, size_t n)
{
	return (n == 3 && !strncasecmp(w, "tls", n)) || (n == 5 && !strncasecmp(w, "https", n));
}

bool hr_port_is_tls(const struct hr_port *p)
{
	if (p->protocol && proto_word(p->protocol, strlen(p->protocol)) != HR_PROTO_AUTO)
		return tls_word(p->protocol, strlen(p->protocol));
	return p->name && tls_word(p->name, strcspn(p->name, "-"));
}

static void add_vip(struct hr_build *b, struct hr_svc *s, const struct hr_addr *addr)
{
	struct hr_addr *grown = hr_arena_array(b->a, struct hr_addr, s->vips.len + 1);

	if (s->vips.len)
		memcpy(grown, s->vips.data, s->vips.len * sizeof(*grown));
	grown[s->vips.len] = *addr;
	s->vips.data = grown;
	s->vips.len++;
}

/* An ExternalName is another name, and resolution NONE sends traffic where the client was going:
 * neither has endpoints that an address of ours could stand for. They keep their own resolution. */
bool hr_svc_has_place(const struct hr_svc *s)
{
	if (s->se)
		return s->se->resolution != HR_RES_NONE;
	return !s->k8s->external_name;
}

/* Addresses as written; when none is usable, the ones that the caller's table gives. */
static void give_vips(struct hr_build *b, struct hr_svc *s, const hr_strs *written)
{
	struct hr_addr addr, v4, v6;

	if (!hr_svc_has_place(s))
		return;
	for (size_t i = 0; i < written->len; i++)
		if (!hr_addr_parse(written->data[i], &addr))
			add_vip(b, s, &addr);
	if (s->vips.len || !b->opts->auto_vip)
		return;
	if (b->opts->auto_vip(b->opts->auto_vip_ctx, s->fqdn, &v4, &v6))
		return;
	s->auto_vips = true;
	add_vip(b, s, &v4);
	add_vip(b, s, &v6);
}

static struct hr_svc *add_svc(struct hr_build *b, const char *fqdn, const char *ns)
{
	struct hr_svc *s;

	if (hr_map_gets(b->svc_by_fqdn, fqdn))
		return NULL; /* the first one said it; validation names the second */
	s = hr_arena_new0(b->a, struct hr_svc);
	s->fqdn = fqdn;
	s->ns = ns;
	hr_map_puts(b->svc_by_fqdn, fqdn, s);
	hr_vec_push(&b->svcs, s);
	return s;
}

void hr_build_services(struct hr_build *b)
{
	const char *domain = b->opts->cluster_domain;

	hr_build_place_lookups(b);
	for (size_t i = 0; i < b->o->services.len; i++) {
		const struct hr_service *k = b->o->services.data[i];
		struct hr_svc *s;

		s = add_svc(b, hr_host_fqdn(b->a, k->meta.name, k->meta.ns, domain), k->meta.ns);
		if (!s)
			continue;
		s->name = k->meta.name;
		hr_map_puts(b->svc_by_short, s->name,
			    hr_map_gets(b->svc_by_short, s->name) ? (void *)b : s);
		s->k8s = k;
		s->ports = &k->ports;
		give_vips(b, s, &k->cluster_ips);
	}
	for (size_t i = 0; i < b->o->service_entries.len; i++) {
		const struct hr_service_entry *se = b->o->service_entries.data[i];

		for (size_t h = 0; h < se->hosts.len; h++) {
			struct hr_svc *s;

			if (se->hosts.data[h][0] == '*')
				continue; /* a name space, not a host: nothing to connect to */
			s = add_svc(b, hr_arena_strdup(b->a, se->hosts.data[h]), se->meta.ns);
			if (!s)
				continue;
			s->se = se;
			s->ports = &se->ports;
			give_vips(b, s, &se->addresses);
		}
	}
	hr_build_rule_lookups(b);
	for (size_t i = 0; i < b->svcs.len; i++) {
		hr_build_endpoints(b, b->svcs.data[i]);
		hr_build_policy(b, b->svcs.data[i]);
	}
}
