// SPDX-License-Identifier: Apache-2.0
/*
 * Kernel form of a virtual host: per dimension and distinct value the set of rules it satisfies
 * (DESIGN "Flat-cost routing"; struct hr_block in abi.h).
 *
 * A condition that the kernel cannot hold is left out and its rule marked for the agent: what
 * remains is necessary for the rule, so the kernel hands over every request that the rule may
 * match, and an earlier rule is never skipped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "plan/compile/compile.h"

struct row { /* one exact value or prefix of one block and dimension */
	bool prefix;
	union {
		struct hr_cond_key exact;
		struct hr_prefix_key pre;
	} key;
	struct hr_cond cond;
};

struct rows {
	struct hr_build *b;
	struct hr_plan_vhost *v;
	struct hr_plan_rule *rule;
	uint32_t index; /* of the rule */
	struct hr_map *by_key;
	HR_VEC(struct row *) list;
	bool positive[HR_DIMS_MAX]; /* of the current rule */
};

static void set_bit(struct hr_bits *b, uint32_t rule)
{
	rule %= HR_BLOCK_RULES;
	b->w[rule / 64] |= 1ULL << rule % 64;
}

static void need_agent(struct rows *r)
{
	if (!r->rule->agent_why)
		r->rule->agent_why = HR_WHY_RULE;
}

/* Dimension of (kind, name), made on first use; HR_NONE when the kernel has no room for it. */
static uint32_t dim_of(struct rows *r, enum hr_dim_kind kind, const char *name)
{
	size_t len = name ? strlen(name) : 0;
	struct hr_dim *d;

	/* ":path" and the like are no lines of a head; the scanner wants three bytes of a name */
	if (len >= HR_HNAME_MAX || (kind == HR_DIM_HEADER && (len < 3 || *name == ':')))
		return HR_NONE;
	for (uint32_t i = 0; i < r->v->k.ndims; i++) {
		d = &r->v->k.dims[i];
		if (d->kind == kind && d->name_len == len &&
		    !memcmp(d->name, name ? name : "", len))
			return i;
	}
	if (r->v->k.ndims == HR_DIMS_MAX)
		return HR_NONE;
	d = &r->v->k.dims[r->v->k.ndims];
	d->kind = (uint8_t)kind;
	d->name_len = (uint16_t)len;
	if (len)
		memcpy(d->name, name, len);
	return r->v->k.ndims++;
}

static struct hr_cond *row_of(struct rows *r, bool prefix, uint32_t dim, const char *value)
{
	struct row probe = {.prefix = prefix}, *row;
	size_t len = strlen(value), key_len;
	uint16_t block = (uint16_t)(r->index / HR_BLOCK_RULES);

	if (prefix) {
		probe.key.pre = (struct hr_prefix_key){
			.bits = (uint32_t)(8 * (8 + len)), .block = block, .dim = (uint8_t)dim};
		memcpy(probe.key.pre.value, value, len);
		key_len = sizeof(probe.key.pre);
	} else {
		probe.key.exact = (struct hr_cond_key){
			.block = block, .dim = (uint8_t)dim, .len = (uint8_t)len};
		memcpy(probe.key.exact.value, value, len);
		key_len = sizeof(probe.key.exact);
	}
	row = hr_map_get(r->by_key, &probe.key, key_len);
	if (!row) {
		row = hr_arena_new0(r->b->a, struct row);
		*row = probe;
		hr_map_put(r->by_key, &probe.key, key_len, row);
		hr_vec_push(&r->list, row);
	}
	return &row->cond;
}

/* One condition of the current rule on one dimension. */
static void add_cond(struct rows *r, enum hr_dim_kind kind, const char *name,
		     const struct hr_string_match *m, bool negative)
{
	struct hr_block *blk = &r->v->blocks[r->index / HR_BLOCK_RULES];
	/* no dimension for what only the agent looks at */
	uint32_t d = m->type == HR_MATCH_REGEX ? HR_NONE : dim_of(r, kind, name);
	struct hr_cond *c;

	/* a missing header counts as an empty one where a condition is negative: no row says that
	 */
	if (d == HR_NONE || (!negative && r->positive[d]) ||
	    (m->value && (strlen(m->value) > HR_COND_MAX || (negative && !*m->value)))) {
		need_agent(r);
		return;
	}
	if (!negative)
		r->positive[d] = true;
	if (m->type == HR_MATCH_PRESENT) {
		r->v->k.dims[d].flags |= HR_DIM_HAS_PRESENT;
		set_bit(negative ? &blk->npresent[d] : &blk->present[d], r->index);
		return;
	}
	r->v->k.dims[d].flags |= m->type == HR_MATCH_EXACT ? HR_DIM_HAS_EXACT : HR_DIM_HAS_PREFIX;
	c = row_of(r, m->type == HR_MATCH_PREFIX, d, m->value);
	set_bit(negative ? &c->neg : &c->pos, r->index);
}

static void add_rule(struct rows *r)
{
	const struct hr_http_match *m = r->rule->m;
	struct hr_block *blk = &r->v->blocks[r->index / HR_BLOCK_RULES];

	memset(r->positive, 0, sizeof(r->positive));
	set_bit(&blk->valid, r->index);
	if (r->rule->with_origin)
		add_cond(r, HR_DIM_HEADER, "origin",
			 &(struct hr_string_match){.type = HR_MATCH_PRESENT}, false);
	if (m) {
		if (m->uri.type && m->ignore_uri_case)
			need_agent(r);
		else if (m->uri.type)
			add_cond(r, HR_DIM_PATH, NULL, &m->uri, false);
		if (m->method.type == HR_MATCH_EXACT)
			add_cond(r, HR_DIM_METHOD, NULL, &m->method, false);
		else if (m->method.type)
			need_agent(r);
		if (m->scheme.type || m->authority.type || m->query_params.len ||
		    m->source_labels.len || m->source_namespace)
			need_agent(r);
		r->b->plan->asks_labels |= m->source_labels.len > 0;
		for (size_t i = 0; i < m->headers.len; i++)
			add_cond(r, HR_DIM_HEADER, m->headers.data[i].name, &m->headers.data[i].m,
				 false);
		for (size_t i = 0; i < m->without_headers.len; i++)
			add_cond(r, HR_DIM_HEADER, m->without_headers.data[i].name,
				 &m->without_headers.data[i].m, true);
	}
	for (uint32_t d = 0; d < HR_DIMS_MAX; d++)
		if (!r->positive[d])
			set_bit(&blk->free[d], r->index);
}

/* A longer prefix also satisfies what its shorter ones do: one look-up finds them all. */
static void unite_prefixes(struct rows *r)
{
	for (size_t i = 0; i < r->list.len; i++) {
		struct row *row = r->list.data[i];
		struct hr_prefix_key probe = row->key.pre;
		uint32_t len = row->prefix ? probe.bits / 8 - 8 : 0;

		while (len--) {
			const struct row *shorter;

			probe.value[len] = 0;
			probe.bits = 8 * (8 + len);
			shorter = hr_map_get(r->by_key, &probe, sizeof(probe));
			if (!shorter)
				continue;
			for (int w = 0; w < HR_BLOCK_WORDS; w++) {
				row->cond.pos.w[w] |= shorter->cond.pos.w[w];
				row->cond.neg.w[w] |= shorter->cond.neg.w[w];
			}
		}
	}
}

static void store_rows(struct rows *r)
{
	struct hr_plan_vhost *v = r->v;
	size_t n = r->list.len;

	if (!n) /* most services have no rule: a mesh of many is not to pay for them */
		return;
	v->cond_keys = hr_arena_array(r->b->a, struct hr_cond_key, n);
	v->conds = hr_arena_array(r->b->a, struct hr_cond, n);
	v->prefix_keys = hr_arena_array(r->b->a, struct hr_prefix_key, n);
	v->prefixes = hr_arena_array(r->b->a, struct hr_cond, n);
	v->index = hr_map_new();
	for (size_t i = 0; i < r->list.len; i++) {
		struct row *row = r->list.data[i];

		if (row->prefix) {
			v->prefix_keys[v->nprefixes] = row->key.pre;
			v->prefixes[v->nprefixes] = row->cond;
			hr_map_put(v->index, &row->key.pre, sizeof(row->key.pre),
				   &v->prefixes[v->nprefixes++]);
		} else {
			v->cond_keys[v->nconds] = row->key.exact;
			v->conds[v->nconds] = row->cond;
			hr_map_put(v->index, &row->key.exact, sizeof(row->key.exact),
				   &v->conds[v->nconds++]);
		}
	}
}

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	uint64_t part[2] = {h, n ? hr_hash(p, n) : 0};

	return hr_hash(part, sizeof(part));
}

static uint64_t digest(const struct hr_plan_vhost *v)
{
	uint64_t h = mix(0, &v->k, sizeof(v->k));

	h = mix(h, v->blocks, v->nblocks * sizeof(*v->blocks));
	h = mix(h, v->cond_keys, v->nconds * sizeof(*v->cond_keys));
	h = mix(h, v->conds, v->nconds * sizeof(*v->conds));
	h = mix(h, v->prefix_keys, v->nprefixes * sizeof(*v->prefix_keys));
	return mix(h, v->prefixes, v->nprefixes * sizeof(*v->prefixes));
}

/* Services without rules of their own all have the same block, of 3 KB. */
static struct hr_block *keep_blocks(struct hr_build *b, const struct hr_block *scratch, uint32_t n)
{
	struct hr_block *kept;

	if (n == 1 && b->last_block && !memcmp(scratch, b->last_block, sizeof(*scratch)))
		return b->last_block;
	kept = hr_arena_array(b->a, struct hr_block, n ? n : 1);
	memcpy(kept, scratch, n * sizeof(*kept));
	b->last_block = n == 1 ? kept : b->last_block;
	return kept;
}

int hr_build_rows(struct hr_build *b, struct hr_plan_vhost *v)
{
	_cleanup_map_ struct hr_map *by_key = hr_map_new();
	_cleanup_free_ struct hr_block *scratch = NULL;
	struct rows r = {.b = b, .v = v, .by_key = by_key};

	if (v->nrules > HR_RULES_MAX) {
		struct hr_pos none = {"", 0, 0};

		hr_diag_add(b->diags, HR_SEV_ERROR, v->vs ? v->vs->meta.pos : none, "limit",
			    v->vs ? &v->vs->meta : NULL, "spec.http",
			    "%u rules for one host; the limit is %d", v->nrules, HR_RULES_MAX);
		return -E2BIG;
	}
	v->nblocks = (v->nrules + HR_BLOCK_RULES - 1) / HR_BLOCK_RULES;
	v->blocks = scratch = calloc(v->nblocks + 1, sizeof(*scratch));
	if (!scratch)
		abort(); /* as the arenas do */
	for (r.index = 0; r.index < v->nrules; r.index++) {
		r.rule = &v->rules[r.index];
		add_rule(&r);
	}
	v->k.nblocks = (uint16_t)v->nblocks;
	v->k.nrules = v->nrules;
	unite_prefixes(&r);
	v->blocks = keep_blocks(b, scratch, v->nblocks);
	store_rows(&r);
	v->digest = digest(v);
	hr_vec_free(&r.list);
	return 0;
}
