/* SPDX-License-Identifier: Apache-2.0 */
/* A plan from YAML, and short ways to look into it. */
#pragma once

#include "unit.h"

#include "core/cleanup.h"
#include "core/net.h"
#include "plan/explain/explain.h"
#include "plan/compile/ids.h"
#include "plan/plan.h"

static inline void plan_freep(struct hr_plan **p)
{
	hr_plan_free(*p);
}
#define _cleanup_plan_ _cleanup_(plan_freep)

static inline struct hr_plan *plan_with(const char *yaml, struct hr_plan_opts opts)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	_cleanup_sb_ struct hr_strbuf said = {0};
	struct hr_decoder *d = hr_decoder_new(0, diags);
	struct hr_plan *p = NULL;
	struct hr_objects *o;

	hr_decode_text(d, "t.yaml", yaml, strlen(yaml));
	o = hr_decoder_finish(d);
	opts.cluster_domain = "cluster.local";
	assert_int_equal(hr_plan_build(&p, o, &opts, diags), 0);
	for (size_t i = 0; i < diags->list.len; i++)
		if (diags->list.data[i].severity == HR_SEV_ERROR)
			hr_diag_text(&diags->list.data[i], &said);
	if (said.len)
		fail_msg("%s", said.data);
	return p;
}

static inline struct hr_plan *plan_of(const char *yaml)
{
	return plan_with(yaml, (struct hr_plan_opts){0});
}

static inline const struct hr_plan_cluster *cluster_of(const struct hr_plan *p, const char *name)
{
	for (size_t i = 0; i < p->clusters.len; i++)
		if (hr_streq(p->clusters.data[i].name, name))
			return &p->clusters.data[i];
	fail_msg("no cluster %s", name);
	return NULL;
}

/* "10.0.0.1:80 10.0.0.2:80" */
static inline const char *eps_of(const struct hr_plan *p, const char *cluster)
{
	const struct hr_plan_cluster *c = cluster_of(p, cluster);
	_cleanup_sb_ struct hr_strbuf out = {0};
	char text[HR_ADDR_TEXT];

	for (uint32_t i = 0; i < c->n_eps; i++) {
		const struct hr_plan_ep *e = &p->eps.data[c->first_ep + i];

		hr_sb_printf(&out, "%s%s", i ? " " : "",
			     hr_addr_port_text(&e->addr, e->port, text));
	}
	return hr_arena_strdup(p->arena, hr_sb_str(&out));
}

static inline struct hr_plan_match ask(const struct hr_plan *p, uint16_t port, const char *host,
				       const char *path)
{
	struct hr_plan_req q = {
		.method = HR_SLICE("GET"),
		.path = hr_slice_of(path),
		.host = hr_slice_of(host),
		.port = port,
		.fallback_vhost = HR_NONE,
	};
	struct hr_plan_match m;

	hr_plan_match(p, &q, &m);
	return m;
}
