// SPDX-License-Identifier: Apache-2.0
/*
 * consistentHash: what a request is hashed by, and the cookie that is made when it has none.
 */
#include <stdio.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "proxy/internal.h"

static bool set(struct px_req *r, struct hr_slice key)
{
	r->hash = hr_plan_hash(key, 0);
	r->hashed = true;
	return true;
}

static bool by_cookie(struct px_req *r, struct hr_slice name)
{
	struct hr_slice all = hr_http_joined(&r->msg, HR_SLICE("cookie"), &r->c->w->joins), v;

	return hr_plan_hash_pair(all, ';', name, &v) && set(r, v);
}

/* Envoy's rule: without ttl no cookie is made. */
static void make_cookie(struct px_req *r, const struct hr_load_balancer *b)
{
	int n;

	if (b->cookie_ttl < 0)
		return;
	n = snprintf(r->cookie, sizeof(r->cookie), "%08x%08x", px_random(r->c->w),
		     px_random(r->c->w));
	set(r, (struct hr_slice){r->cookie, (size_t)n});
}

static bool by_query(struct px_req *r, struct hr_slice name)
{
	struct hr_slice v;

	return hr_plan_hash_pair(hr_http_str(&r->msg, r->msg.query), '&', name, &v) && set(r, v);
}

uint64_t px_hash_source(const struct px_client *c, const struct hr_plan *plan,
			const struct hr_plan_cluster *cluster)
{
	struct hr_addr a = c->src;
	const struct hr_addr *server =
		cluster->n_eps ? &plan->eps.data[cluster->first_ep].addr : &a;

	/* what connects to a loopback address comes from one */
	if (hr_addr_is_loopback(server) && !hr_addr_is_loopback(&a))
		a = hr_addr_is4(server) ? (struct hr_addr){.ip = {[10] = 0xff, 0xff, 127, 0, 0, 1}}
					: (struct hr_addr){.ip = {[15] = 1}};
	return hr_plan_hash((struct hr_slice){(const char *)a.ip, sizeof(a.ip)}, 0);
}

void px_hash(struct px_req *r)
{
	const struct hr_load_balancer *b = r->cluster->balancer;
	struct hr_slice name, value;

	if (!b || b->hash == HR_HASH_NONE)
		return;
	name = hr_slice_of(b->hash_name ? b->hash_name : "");
	switch (b->hash) {
	case HR_HASH_HEADER:
		value = hr_http_joined(&r->msg, name, &r->c->w->joins);
		if (value.p)
			set(r, value);
		break;
	case HR_HASH_COOKIE:
		if (!by_cookie(r, name))
			make_cookie(r, b);
		break;
	case HR_HASH_QUERY:
		by_query(r, name);
		break;
	case HR_HASH_SOURCE_IP:
		r->hash = px_hash_source(r->c, r->hold->plan, r->cluster);
		r->hashed = true;
		break;
	case HR_HASH_NONE:
		break;
	}
}

void px_hash_cookie(struct px_req *r)
{
	const struct hr_load_balancer *b = r->cookie[0] ? r->cluster->balancer : NULL;
	struct px_out *out = &r->c->out;

	if (!b)
		return;
	px_out_printf(out, "set-cookie: %s=\"%s\"", b->hash_name, r->cookie);
	if (b->cookie_ttl > 0)
		px_out_printf(out, "; Max-Age=%lld", (long long)(b->cookie_ttl / 1000));
	if (b->cookie_path)
		px_out_printf(out, "; Path=%s", b->cookie_path);
	for (size_t i = 0; i < b->cookie_attributes.len; i++) {
		const struct hr_kv *kv = &b->cookie_attributes.data[i];

		if (kv->value && *kv->value)
			px_out_printf(out, "; %s=%s", kv->key, kv->value);
		else
			px_out_printf(out, "; %s", kv->key);
	}
	px_out_lit(out, "; HttpOnly\r\n");
}
