// SPDX-License-Identifier: Apache-2.0
/* A plan as deterministic lines, and the difference of two plans by these lines. */
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "core/net.h"
#include "core/vec.h"
#include "plan/eval.h"
#include "plan/words.h"

static const char *const lb_words[] = {"none",	      "ROUND_ROBIN", "RANDOM", "LEAST_REQUEST",
				       "PASSTHROUGH", "RING_HASH",   "MAGLEV"};
static const char *const proto_words[] = {"auto", "http", "http2", "tcp"};

/* One object: what it is called, and what it says. */
struct line {
	char *name, *value;
};
typedef HR_VEC(struct line) lines;

static void add_line(lines *l, struct hr_strbuf *name, struct hr_strbuf *value)
{
	hr_vec_push(l, (struct line){strdup(hr_sb_str(name)), strdup(hr_sb_str(value))});
	hr_sb_free(name);
	hr_sb_free(value);
}

/* Its TLS and TCP routes, in the order in which they are asked. */
static void l4_words(const struct hr_plan *p, const struct hr_plan_vip *v, struct hr_strbuf *out)
{
	for (uint32_t i = 0; i < v->n_l4; i++) {
		const struct hr_plan_l4 *e = &p->l4.data[v->first_l4 + i];

		hr_sb_printf(out, " -> %s#%u", p->routes.data[e->route].key, e->match);
		for (size_t k = 0; e->m && k < e->m->sni_hosts.len; k++)
			hr_sb_printf(out, " %s", e->m->sni_hosts.data[k]);
	}
}

static void vip_line(const struct hr_plan *p, const struct hr_plan_vip *v, lines *l)
{
	struct hr_strbuf name = {0}, value = {0};
	char text[HR_ADDR_TEXT];

	hr_sb_printf(&name, "vip %s", hr_addr_port_text(&v->addr, v->port, text));
	hr_sb_printf(&value, "%s %s%s%s%s", v->host, proto_words[v->proto],
		     v->flags & HR_VIP_NEAR_TCP	  ? " same-node=tcp"
		     : v->flags & HR_VIP_NEAR_OFF ? " same-node=off"
						  : "",
		     v->cluster != HR_NONE ? " connect " : "",
		     v->cluster != HR_NONE ? p->clusters.data[v->cluster].name : "");
	l4_words(p, v, &value);
	add_line(l, &name, &value);
}

/* And its endpoints. */
static void cluster_lines(const struct hr_plan *p, const struct hr_plan_cluster *c, lines *l)
{
	struct hr_strbuf name = {0}, value = {0};
	char text[HR_ADDR_TEXT];

	hr_sb_printf(&name, "cluster %s", c->name);
	hr_sb_printf(&value, "%s%s%s", lb_words[c->lb], c->missing_subset ? " missing" : "",
		     c->agent_why ? " agent" : "");
	hr_policy_words(c, &value);
	add_line(l, &name, &value);
	for (uint32_t k = 0; k < c->n_eps; k++) {
		const struct hr_plan_ep *e = &p->eps.data[c->first_ep + k];

		hr_sb_printf(&name, "endpoint %s %s", c->name,
			     hr_addr_port_text(&e->addr, e->port, text));
		hr_sb_printf(&value, "weight %u %s %s", e->weight, e->workload, e->locality);
		add_line(l, &name, &value);
	}
}

static void route_lines(const struct hr_plan *p, lines *l)
{
	for (size_t i = 0; i < p->routes.len; i++) {
		const struct hr_plan_route *r = &p->routes.data[i];
		struct hr_strbuf name = {0}, value = {0};

		hr_sb_printf(&name, "route %s", r->key);
		hr_sb_add(&value, r->agent_why ? "agent weights " : "weights ");
		for (uint32_t k = 0; k < r->ndst; k++)
			hr_sb_printf(&value, "%s%u", k ? "/" : "", r->dst[k].weight);
		for (uint32_t k = 0; k < r->ndst; k++)
			hr_sb_printf(&value, " %s", p->clusters.data[r->dst[k].cluster].name);
		if (r->http)
			hr_route_words(r->http, &value);
		add_line(l, &name, &value);
	}
}

static void add_bits(struct hr_strbuf *out, char tag, const struct hr_bits *b)
{
	hr_sb_printf(out, " %c", tag);
	for (int w = 0; w < HR_BLOCK_WORDS; w++)
		if (b->w[w])
			hr_sb_printf(out, "[%d]%llx", w, (unsigned long long)b->w[w]);
}

static void vhost_lines(const struct hr_plan *p, lines *l)
{
	for (size_t i = 0; i < p->vhosts.len; i++) {
		const struct hr_plan_vhost *v = &p->vhosts.data[i];
		struct hr_strbuf name = {0}, value = {0};

		hr_sb_printf(&name, "vhost %s:%u", v->host, v->port);
		hr_sb_printf(&value, "%u rules, names", v->nrules);
		for (uint16_t n = 0; n < v->nnames; n++)
			hr_sb_printf(&value, " %s", v->names[n]);
		for (uint16_t d = 0; d < v->k.ndims; d++)
			hr_sb_printf(&value, " dim %u:%s", v->k.dims[d].kind, v->k.dims[d].name);
		for (uint32_t c = 0; c < v->nconds; c++) {
			hr_sb_printf(&value, " = %u/%u ", v->cond_keys[c].block,
				     v->cond_keys[c].dim);
			hr_sb_json(&value, v->cond_keys[c].value, v->cond_keys[c].len);
			add_bits(&value, '+', &v->conds[c].pos);
			add_bits(&value, '-', &v->conds[c].neg);
		}
		for (uint32_t c = 0; c < v->nprefixes; c++) {
			hr_sb_printf(&value, " ^ %u/%u ", v->prefix_keys[c].block,
				     v->prefix_keys[c].dim);
			hr_sb_json(&value, v->prefix_keys[c].value, v->prefix_keys[c].bits / 8 - 8);
			add_bits(&value, '+', &v->prefixes[c].pos);
			add_bits(&value, '-', &v->prefixes[c].neg);
		}
		for (uint32_t b = 0; b < v->nblocks; b++)
			for (uint16_t d = 0; d < v->k.ndims; d++) {
				add_bits(&value, 'f', &v->blocks[b].free[d]);
				add_bits(&value, 'p', &v->blocks[b].present[d]);
				add_bits(&value, 'n', &v->blocks[b].npresent[d]);
			}
		for (uint32_t k = 0; k < v->nrules; k++) {
			hr_sb_printf(&value, " -> %s#%u", p->routes.data[v->rules[k].route].key,
				     v->rules[k].match);
			for (size_t e = 0; v->rules[k].only && e < v->rules[k].only->export_to.len;
			     e++)
				hr_sb_printf(&value, " for %s",
					     v->rules[k].only->export_to.data[e]);
			if (!v->rules[k].agent_why || !v->rules[k].m)
				continue;
			/* conditions that the rows above do not hold */
			hr_sb_add(&value, " agent ");
			hr_match_tell(v->rules[k].m, &value);
		}
		add_line(l, &name, &value);
	}
}

static lines lines_of(const struct hr_plan *p)
{
	lines l = {0};

	for (size_t i = 0; i < p->vips.len; i++)
		vip_line(p, &p->vips.data[i], &l);
	for (size_t i = 0; i < p->clusters.len; i++)
		cluster_lines(p, &p->clusters.data[i], &l);
	route_lines(p, &l);
	vhost_lines(p, &l);
	return l;
}

static void free_lines(lines *l)
{
	for (size_t i = 0; i < l->len; i++) {
		free(l->data[i].name);
		free(l->data[i].value);
	}
	hr_vec_free(l);
}

void hr_plan_dump(const struct hr_plan *p, struct hr_strbuf *out)
{
	lines l = lines_of(p);

	for (size_t i = 0; i < l.len; i++)
		hr_sb_printf(out, "%s: %s\n", l.data[i].name, l.data[i].value);
	free_lines(&l);
}

/* Matching rows of a vhost say nothing to people: only that its rules changed. */
static void add_change(struct hr_strbuf *out, const struct line *from, const struct line *to)
{
	if (hr_starts(to->name, "vhost "))
		hr_sb_printf(out, "~ %s rules\n", to->name);
	else
		hr_sb_printf(out, "~ %s %s -> %s\n", to->name, from->value, to->value);
}

static void add_one(struct hr_strbuf *out, char sign, const struct line *l)
{
	hr_sb_printf(out, "%c %s", sign, l->name);
	if (!hr_starts(l->name, "vhost "))
		hr_sb_printf(out, " %s", l->value);
	hr_sb_addc(out, '\n');
}

/* Frees both. */
static void tell_difference(lines a, lines b, struct hr_strbuf *out)
{
	_cleanup_map_ struct hr_map *old = hr_map_new();

	for (size_t i = 0; i < a.len; i++)
		hr_map_puts(old, a.data[i].name, &a.data[i]);
	for (size_t i = 0; i < b.len; i++) {
		struct line *was = hr_map_del(old, b.data[i].name, strlen(b.data[i].name));

		if (!was)
			add_one(out, '+', &b.data[i]);
		else if (strcmp(was->value, b.data[i].value))
			add_change(out, was, &b.data[i]);
	}
	for (size_t i = 0; i < a.len; i++)
		if (hr_map_gets(old, a.data[i].name) == &a.data[i])
			add_one(out, '-', &a.data[i]);
	free_lines(&a);
	free_lines(&b);
}

void hr_plan_diff(const struct hr_plan *from, const struct hr_plan *to, struct hr_strbuf *out)
{
	tell_difference(lines_of(from), lines_of(to), out);
}

static lines lines_of_changes(const struct hr_plan *p, const struct hr_plan_changes *what)
{
	lines l = {0};

	for (size_t i = 0; i < what->n_vips; i++)
		vip_line(p, &p->vips.data[what->vips[i]], &l);
	for (size_t i = 0; i < what->n_clusters; i++)
		cluster_lines(p, &p->clusters.data[what->clusters[i]], &l);
	return l;
}

void hr_plan_diff_changes(const struct hr_plan *from, const struct hr_plan *to,
			  const struct hr_plan_changes *what, struct hr_strbuf *out)
{
	tell_difference(lines_of_changes(from, what), lines_of_changes(to, what), out);
}
