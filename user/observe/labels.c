// SPDX-License-Identifier: Apache-2.0
/* Istio's standard labels. */
#include "observe/labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/map.h"
#include "observe/meters.h"

#define LABEL_MAX 256 /* bytes of one value */

/* Length of the valid UTF-8 sequence at s, 0 when there is none. */
static size_t utf8_len(const unsigned char *s)
{
	size_t n = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 : *s >= 0xe0 && *s < 0xf0 ? 3 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

void hr_metrics_label(struct hr_strbuf *out, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	for (size_t done = 0; *p && done < LABEL_MAX;) {
		size_t n = utf8_len(p);

		if (*p == '\\' || *p == '"')
			hr_sb_addc(out, '\\');
		if (*p == '\n')
			hr_sb_add(out, "\\n");
		else if (n)
			hr_sb_addn(out, p, n);
		else
			hr_sb_add(out, "\xef\xbf\xbd");
		n = n ? n : 1;
		p += n;
		done += n;
	}
}

void hr_label(struct hr_strbuf *out, const char *name, const char *value)
{
	hr_sb_printf(out, "%s%s=\"", out->len ? "," : "", name);
	hr_metrics_label(out, value && *value ? value : "unknown");
	hr_sb_addc(out, '"');
}

/* ---- who has which id ---- */

static void put(struct hr_owners_table *t, uint32_t id, const void *what)
{
	size_t n = t->n ? t->n : 64;

	while (n <= id)
		n *= 2;
	if (n > t->n) {
		t->by_id = realloc(t->by_id, n * sizeof(*t->by_id));
		if (!t->by_id)
			abort();
		memset(t->by_id + t->n, 0, (n - t->n) * sizeof(*t->by_id));
		t->n = n;
	}
	t->by_id[id] = what;
}

static const void *get(const struct hr_owners_table *t, uint32_t id)
{
	return id && id < t->n ? t->by_id[id] : NULL;
}

void hr_owners_init(struct hr_owners *n, const struct hr_meters *m)
{
	const struct hr_plan *p = m->plan;

	*n = (struct hr_owners){.m = m};
	for (size_t i = 0; i < m->workloads.len; i++)
		put(&n->workloads, m->workloads.data[i].id, &m->workloads.data[i]);
	for (size_t i = 0; p && i < p->eps.len; i++)
		put(&n->eps, p->eps.data[i].id, &p->eps.data[i]);
	for (size_t i = 0; p && i < p->routes.len; i++)
		put(&n->routes, p->routes.data[i].id, &p->routes.data[i]);
}

void hr_owners_free(struct hr_owners *n)
{
	free(n->workloads.by_id);
	free(n->eps.by_id);
	free(n->routes.by_id);
}

static const struct hr_meters_workload *workload_of(const struct hr_owners *n, uint32_t id)
{
	return get(&n->workloads, id);
}

static const struct hr_plan_ep *ep_of(const struct hr_owners *n, uint32_t id)
{
	return get(&n->eps, id);
}

/* Keys of routes end in "@" and the host of the service: "" when there is none. */
static const char *host_of(const struct hr_owners *n, uint32_t id)
{
	const struct hr_plan_route *r = get(&n->routes, id);
	const char *at = r ? strrchr(r->key, '@') : NULL;

	return at ? at + 1 : "";
}

/* As it was attached with, else its Pod's. */
static const hr_kvs *labels_of(const struct hr_owners *n, const struct hr_meters_workload *w)
{
	const struct hr_plan *p = n->m->plan;

	return p && p->objects ? hr_plan_pod_labels(p, w->ns, w->name, w->labels) : w->labels;
}

/* ---- what they mean ---- */

static void mix(uint64_t *print, const char *s)
{
	uint64_t of[2] = {*print, s ? hr_hash(s, strlen(s)) : 0};

	*print = hr_hash(of, sizeof(of));
}

static void mix_labels(uint64_t *print, const hr_kvs *kvs)
{
	for (size_t i = 0; kvs && i < kvs->len; i++) {
		mix(print, kvs->data[i].key);
		mix(print, kvs->data[i].value);
	}
}

uint64_t hr_owners_print(const struct hr_owners *n, const struct hr_meter_key *key)
{
	const struct hr_meters_workload *w = workload_of(n, key->workload);
	const struct hr_plan_ep *e = ep_of(n, key->ep);
	uint64_t print = 1;

	if ((key->workload && !w) || (key->ep && !e) ||
	    (key->route && !get(&n->routes, key->route)))
		return 0;
	if (w) {
		mix(&print, w->ns);
		mix(&print, w->name);
		mix_labels(&print, labels_of(n, w));
	}
	if (e) {
		mix(&print, n->m->plan->clusters.data[e->cluster].host);
		mix(&print, e->workload);
		mix_labels(&print, e->labels);
	}
	mix(&print, host_of(n, key->route));
	return print ? print : 1;
}

static const char *kv(const hr_kvs *kvs, const char *key)
{
	for (size_t i = 0; kvs && i < kvs->len; i++)
		if (hr_streq(kvs->data[i].key, key))
			return kvs->data[i].value;
	return NULL;
}

/* The labels of one end, "source" or "destination". */
static void end_labels(struct hr_strbuf *sb, const char *end, const char *ns, const char *name,
		       const hr_kvs *of)
{
	const char *app = kv(of, "app"), *version = kv(of, "version");
	const char *canonical = kv(of, "service.istio.io/canonical-name");
	const char *revision = kv(of, "service.istio.io/canonical-revision");
	char key[64];

	if (!app)
		app = kv(of, "app.kubernetes.io/name");
	if (!version)
		version = kv(of, "app.kubernetes.io/version");
	if (!canonical)
		canonical = app ? app : name;
	if (!revision)
		revision = version ? version : canonical ? "latest" : NULL;
	const struct {
		const char *label, *value;
	} all[] = {{"workload", name},
		   {"workload_namespace", ns},
		   {"app", app},
		   {"version", version},
		   {"principal", NULL}, /* needs mTLS */
		   {"cluster", NULL},
		   {"canonical_service", canonical},
		   {"canonical_revision", revision}};

	for (size_t i = 0; i < HR_ARRAY_SIZE(all); i++) {
		snprintf(key, sizeof(key), "%s_%s", end, all[i].label);
		hr_label(sb, key, all[i].value);
	}
}

/* "default/reviews-v1" */
static void destination_labels(struct hr_strbuf *sb, const struct hr_plan_ep *e)
{
	const char *slash = e && e->workload ? strchr(e->workload, '/') : NULL;
	char ns[64] = "";

	if (slash)
		snprintf(ns, sizeof(ns), "%.*s", (int)(slash - e->workload), e->workload);
	end_labels(sb, "destination", ns, slash ? slash + 1 : NULL, e ? e->labels : NULL);
}

/* "reviews.default.svc.cluster.local" -> "reviews", "default". */
static void service_labels(struct hr_strbuf *sb, const char *host)
{
	const char *dot = strchr(host, '.'), *svc = dot ? strstr(dot, ".svc.") : NULL;
	char name[64] = "", ns[64] = "";

	if (svc && svc > dot) {
		snprintf(name, sizeof(name), "%.*s", (int)(dot - host), host);
		snprintf(ns, sizeof(ns), "%.*s", (int)(svc - dot - 1), dot + 1);
	}
	hr_label(sb, "destination_service", host);
	hr_label(sb, "destination_service_name", *name ? name : host);
	hr_label(sb, "destination_service_namespace", ns);
}

void hr_owners_labels(const struct hr_owners *n, const struct hr_meter_key *key,
		      struct hr_strbuf *out)
{
	static const char *const protocols[] = {
		[HR_METER_HTTP] = "http", [HR_METER_GRPC] = "grpc", [HR_METER_TCP] = "tcp"};
	const struct hr_meters_workload *w = workload_of(n, key->workload);
	const struct hr_plan_ep *e = ep_of(n, key->ep);
	char status[8] = "unknown";

	hr_label(out, "reporter", "source");
	end_labels(out, "source", w ? w->ns : NULL, w ? w->name : NULL, w ? labels_of(n, w) : NULL);
	service_labels(out,
		       e ? n->m->plan->clusters.data[e->cluster].host : host_of(n, key->route));
	destination_labels(out, e);
	hr_label(out, "request_protocol",
		 key->proto < HR_ARRAY_SIZE(protocols) &&
				 (key->flags != HR_FLAG_OTHER || key->proto == HR_METER_TCP)
			 ? protocols[key->proto]
			 : NULL);
	/* the client's side does not know what the server makes of it: Istio's word too */
	hr_label(out, "connection_security_policy", NULL);
	hr_label(out, "response_flags", hr_flag_text(key->flags));
	if (key->proto == HR_METER_TCP)
		return;
	if (key->grpc < HR_GRPC_OTHER)
		snprintf(status, sizeof(status), "%u", key->grpc - 1U);
	hr_sb_printf(out, ",grpc_response_status=\"%s\"", key->grpc ? status : "");
}
