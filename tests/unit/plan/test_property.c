// SPDX-License-Identifier: Apache-2.0
/*
 *   random policy --build--> plan --.
 *        |                          v
 *        |       random request -> hr_plan_match  ==  naive evaluator
 *        '------------------------------------------------^
 *
 * The compiled form (bit vectors, tries, blocks) must say what the words of the policy say, and the
 * part of it that the kernel sees must never pick a later rule than the true one: what the kernel
 * is not sure of has an agent rule in front.
 */
#include "unit.h"

#include <errno.h>

#include "property.h"

#include "core/cleanup.h"
#include "plan/plan.h"

#define CASES 120000

static struct hr_plan *build(struct hr_objects *o)
{
	const struct hr_plan_opts opts = {.cluster_domain = "cluster.local"};
	_cleanup_diags_ struct hr_diags *d = hr_diags_new();
	struct hr_plan *p = NULL;

	assert_int_equal(hr_plan_build(&p, o, &opts, d), 0);
	assert_int_equal(d->errors, 0);
	return p;
}

/* ---- what the kernel sees: the same header over the plan's kernel form, by linear search ---- */

struct kview {
	const struct hr_plan_vhost *v;
	const struct gen_req *q;
};
#define HR_M_CTX const struct kview

static const struct hr_cond *k_exact(const struct kview *k, const struct hr_cond_key *key)
{
	for (uint32_t i = 0; i < k->v->nconds; i++)
		if (!memcmp(&k->v->cond_keys[i], key, sizeof(*key)))
			return &k->v->conds[i];
	return NULL;
}

/* An LPM trie: the longest row whose bits are a prefix of the key's. */
static const struct hr_cond *k_prefix(const struct kview *k, const struct hr_prefix_key *key)
{
	const struct hr_cond *best = NULL;
	uint32_t best_bits = 0;

	for (uint32_t i = 0; i < k->v->nprefixes; i++) {
		const struct hr_prefix_key *row = &k->v->prefix_keys[i];

		if (row->bits <= key->bits && row->bits > best_bits &&
		    !memcmp(&row->table, &key->table, row->bits / 8)) {
			best = &k->v->prefixes[i];
			best_bits = row->bits;
		}
	}
	return best;
}

static int k_value(const struct kview *k, uint32_t d, char *dst)
{
	const struct hr_dim *dim = &k->v->k.dims[d];
	struct hr_slice v = dim->kind == HR_DIM_PATH ? k->q->req.path
			    : dim->kind == HR_DIM_METHOD
				    ? k->q->req.method
				    : k->q->req.header(k->q->req.header_ctx,
						       (struct hr_slice){dim->name, dim->name_len});

	memset(dst, 0, HR_COND_MAX);
	if (!v.p)
		return -1;
	memcpy(dst, v.p, v.n < HR_COND_MAX ? v.n : HR_COND_MAX);
	return (int)v.n;
}

#define HR_M_BLOCK(ctx, key) (&(ctx)->v->blocks[(key)->block])
#define HR_M_EXACT(ctx, key) k_exact(ctx, key)
#define HR_M_PREFIX(ctx, key) k_prefix(ctx, key)
#define HR_M_VALUE(ctx, d, dst) k_value(ctx, d, dst)
#include "lib/match.h"

/* The kernel's rule is the true one, or one that hands the request to the agent before it. */
static void check_kernel_view(const struct hr_plan *p, struct gen_req *q, int want)
{
	const struct hr_plan_vhost *v = &p->vhosts.data[0];
	struct hr_match_scratch s = {0};
	struct kview k = {v, q};
	int row = hr_match_vhost(&k, &v->k, &s);

	if (row == HR_MATCH_NO_RULE)
		assert_int_equal(want, -1);
	else if (v->rules[row].agent_why)
		assert_true(want == -1 || (int)p->routes.data[v->rules[row].route].index <= want);
	else
		assert_int_equal(p->routes.data[v->rules[row].route].index, want);
}

static unsigned rules_of(uint32_t *seed, int round)
{
	if (round % 50 == 49)
		return 700; /* up to 2,100 rows: three blocks */
	return 1 + rnd(seed, 25);
}

static void test_match_against_naive(void **state)
{
	uint32_t seed = 20261124;
	unsigned cases = 0, matched = 0;

	(void)state;
	for (int round = 0; cases < CASES; round++) {
		struct gen g = gen_policy(&seed, rules_of(&seed, round));
		struct hr_plan *p = build(g.objects);

		for (int i = 0; i < 400; i++, cases++) {
			struct hr_plan_match m;
			struct gen_req q;
			int want;

			gen_request(&seed, &q);
			want = naive_route(g.vs, &q);
			hr_plan_match(p, &q.req, &m);
			assert_non_null(m.vhost);
			if (m.route)
				assert_int_equal(m.route->index, want);
			else
				assert_int_equal(want, -1);
			check_kernel_view(p, &q, want);
			matched += want >= 0;
		}
		hr_plan_free(p);
	}
	/* a generator whose requests never (or always) match would prove nothing */
	assert_in_range(matched, CASES / 5, CASES - CASES / 20);
}

/* The same objects give the same bytes, build after build. */
static void test_deterministic(void **state)
{
	_cleanup_sb_ struct hr_strbuf one = {0}, two = {0}, diff = {0};
	uint32_t seed = 5, again = 5;
	struct hr_plan *a = build(gen_policy(&seed, 200).objects);
	struct hr_plan *b = build(gen_policy(&again, 200).objects);

	(void)state;
	hr_plan_dump(a, &one);
	hr_plan_dump(b, &two);
	assert_true(one.len > 10000);
	assert_string_equal(one.data, two.data);
	assert_int_equal(a->vhosts.data[0].digest, b->vhosts.data[0].digest);
	hr_plan_diff(a, b, &diff);
	assert_string_equal(hr_sb_str(&diff), "");
	hr_plan_free(a);
	hr_plan_free(b);
}

/* 10,000 rules are the limit: they build and match; one more is refused with a word. */
static void test_limit(void **state)
{
	const struct hr_plan_opts opts = {.cluster_domain = "cluster.local"};
	_cleanup_diags_ struct hr_diags *d = hr_diags_new();
	struct hr_plan *p = NULL;
	uint32_t seed = 1;
	struct gen g = gen_policy(&seed, 10001);

	(void)state;
	for (size_t i = 0; i < g.vs->http.len; i++)
		g.vs->http.data[i].match.len = 1;
	g.vs->http.len = 10000;
	assert_int_equal(hr_plan_build(&p, g.objects, &opts, d), 0);
	assert_int_equal(p->vhosts.data[0].nblocks, 10);
	hr_plan_free(p);
	p = NULL;
	g = gen_policy(&seed, 10001);
	for (size_t i = 0; i < g.vs->http.len; i++)
		g.vs->http.data[i].match.len = 1;
	assert_int_equal(hr_plan_build(&p, g.objects, &opts, d), -E2BIG);
	assert_null(p);
	assert_int_equal(d->errors, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match_against_naive),
		cmocka_unit_test(test_deterministic),
		cmocka_unit_test(test_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
