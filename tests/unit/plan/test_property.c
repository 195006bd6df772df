// SPDX-License-Identifier: Apache-2.0
/*
 *   random policy --build--> plan --+--> hr_plan_match ------------------ (a)
 *        |                          '--> bpf/lib/match.h over the rows -- (b)
 *        |       random request --------------------------------------- (a), (b), naive
 *        '-----> naive evaluator: reads the objects, rule after rule
 *
 * (a) must be the naive answer. (b), what the kernel sees, must be it too, or a rule in front of
 * it that hands the request to the agent: what the kernel is not sure of is never passed.
 */
#include "unit.h"

#include "core/cleanup.h"
#include "generate.h"
#include "lib/match_scratch.h"

/* ---- the kernel's view: the plan's rows searched one by one ---- */

struct kview {
	const struct hr_plan_vhost *v;
	const struct asked *q;
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

/* As the programs do it: from a buffer with slack after the head, in wide loads. */
static int k_value(const struct kview *k, uint32_t d, char *dst)
{
	const struct hr_dim *dim = &k->v->k.dims[d];
	const char *v = dim->kind == HR_DIM_PATH     ? k->q->path
			: dim->kind == HR_DIM_METHOD ? k->q->method
						     : asked_header(k->q, dim->name, dim->name_len);
	char head[256 + HR_KHEAD_SLACK];

	memset(dst, 0x55, HR_COND_MAX);
	if (!v)
		return -1;
	memset(head, 0xaa, sizeof(head)); /* what follows the value must not matter */
	memcpy(head + 3, v, strlen(v));
	hr_match_load(dst, head + 3, (uint32_t)strlen(v));
	return (int)strlen(v);
}

#define HR_M_BLOCK(ctx, key) (&(ctx)->v->blocks[(key)->block])
#define HR_M_EXACT(ctx, key) k_exact(ctx, key)
#define HR_M_PREFIX(ctx, key) k_prefix(ctx, key)
#define HR_M_VALUE(ctx, d, dst) k_value(ctx, d, dst)
#include "lib/match.h"

/* ---- */

struct counts {
	unsigned cases, matched, unmatched, kernel, agent, strangers;
};

static struct hr_plan *build(struct hr_objects *o)
{
	const struct hr_plan_opts opts = {.cluster_domain = "cluster.local"};
	_cleanup_diags_ struct hr_diags *d = hr_diags_new();
	struct hr_plan *p = NULL;

	assert_int_equal(hr_plan_build(&p, o, &opts, d), 0);
	assert_int_equal(d->errors, 0);
	return p;
}

static bool same_rule(const struct hr_plan *p, const struct hr_plan_vhost *v, uint32_t row,
		      const struct naive *want)
{
	const struct hr_plan_route *r = &p->routes.data[v->rules[row].route];

	return want->http >= 0 && r->vs == want->vs && r->index == (uint32_t)want->http &&
	       v->rules[row].match == want->match;
}

static void check_kernel(const struct hr_plan *p, const struct hr_plan_match *m,
			 const struct asked *q, const struct naive *want, struct counts *n)
{
	const struct hr_plan_vhost *v = m->vhost;
	struct hr_match_scratch s;
	struct kview k = {v, q};
	int row;

	memset(&s, 0x33, sizeof(s));
	row = hr_match_vhost(&k, &v->k, &s);
	assert_int_equal(row, m->kernel_index == HR_NONE ? HR_MATCH_NO_RULE : (int)m->kernel_index);
	if (row == HR_MATCH_NO_RULE) {
		assert_int_equal(want->http, -1);
		n->kernel++;
	} else if (v->rules[row].agent_why) {
		assert_true(!m->rule || row <= (int)m->rule_index);
		assert_int_equal(hr_plan_kernel_why(p, NULL, m),
				 m->host_unsure ? HR_WHY_HOST : HR_WHY_RULE);
		n->agent++;
	} else {
		assert_true(same_rule(p, v, (uint32_t)row, want));
		n->kernel++;
	}
}

static void check_request(const struct hr_plan *p, struct asked *q, const char *fqdn,
			  struct counts *n)
{
	const struct hr_virtual_service *vs = naive_vs(p->objects, fqdn);
	struct hr_plan_req req = asked_req(q);
	struct hr_plan_match m;
	struct naive want;

	n->cases++;
	hr_plan_match(p, &req, &m);
	if (!vs) { /* a service without rules, or nobody's host */
		assert_int_equal(m.vhost != NULL, hr_starts(fqdn, "s") && hr_ends(fqdn, ".local"));
		assert_true(!m.vhost || (m.route && !m.route->vs && m.route->dst[0].weight == 100));
		n->strangers++;
		return;
	}
	want = naive_rule(vs, q);
	assert_non_null(m.vhost);
	assert_ptr_equal(m.vhost->vs, vs);
	if (m.rule)
		assert_true(same_rule(p, m.vhost, m.rule_index, &want));
	else
		assert_int_equal(want.http, -1);
	check_kernel(p, &m, q, &want, n);
	if (want.http >= 0)
		n->matched++;
	else
		n->unmatched++;
}

static struct counts run(uint32_t seed, unsigned policies, unsigned requests, struct gen_opts o)
{
	struct counts n = {0};
	unsigned rules = o.rules;

	for (unsigned i = 0; i < policies; i++) {
		if (!rules)
			o.rules = 1 + gen_below(&seed, 25);
		struct hr_plan *p = build(gen_objects(&seed, &o));

		for (unsigned k = 0; k < requests; k++) {
			const char *fqdn;
			struct asked q = gen_request(&seed, &o, &fqdn);

			check_request(p, &q, fqdn, &n);
		}
		hr_plan_free(p);
	}
	/* a generator whose requests never (or always) match would prove nothing */
	assert_true(n.matched > n.cases / 5);
	assert_true(n.kernel > 0);
	return n;
}

/* What the kernel can hold in full: it decides most requests alone. */
static void test_kernel_conditions(void **state)
{
	struct counts n = run(1, 300, 250, (struct gen_opts){.headers = 3});

	(void)state;
	assert_true(n.unmatched > n.cases / 50);
	assert_true(n.kernel > n.agent); /* only over-long and empty values need the agent */
}

/* Conditions that only the agent knows, anywhere between the others. */
static void test_agent_conditions(void **state)
{
	struct counts n = run(2, 250, 200, (struct gen_opts){.headers = 3, .agent_conds = true});

	(void)state;
	assert_true(n.agent > n.cases / 20);
}

/* More header names than the kernel has dimensions for: the rules that use the others are the
 * agent's, all others stay with the kernel. */
static void test_many_headers(void **state)
{
	struct counts n = run(3, 150, 100, (struct gen_opts){.headers = 12});

	(void)state;
	assert_true(n.agent > 0);
}

/* Which of several VirtualServices speaks: exact, then the longest wildcard, then the oldest. */
static void test_many_hosts(void **state)
{
	struct counts n = run(4, 400, 50, (struct gen_opts){.headers = 3, .many_vs = true});

	(void)state;
	assert_true(n.strangers > n.cases / 50);
}

/* More rules than one bit vector covers. */
static void test_many_rules(void **state)
{
	const struct gen_opts o = {.headers = 6, .agent_conds = true, .rules = 900};

	(void)state;
	run(5, 4, 500, o);
}

/* The same objects in another order, and built a second time, give the same bytes. */
static void test_deterministic(void **state)
{
	const struct gen_opts o = {
		.headers = 12, .agent_conds = true, .many_vs = true, .rules = 60};

	(void)state;
	for (uint32_t seed = 1; seed < 20; seed++) {
		_cleanup_sb_ struct hr_strbuf one = {0}, two = {0}, diff = {0};
		uint32_t s = seed, again = seed;
		struct hr_plan *a = build(gen_objects(&s, &o));
		struct hr_plan *b = build(gen_objects(&again, &o));

		hr_plan_dump(a, &one);
		hr_plan_dump(b, &two);
		assert_true(one.len > 10000);
		assert_string_equal(one.data, two.data);
		for (size_t i = 0; i < a->vhosts.len; i++)
			assert_true(a->vhosts.data[i].digest == b->vhosts.data[i].digest);
		hr_plan_diff(a, b, &diff);
		assert_string_equal(hr_sb_str(&diff), "");
		hr_plan_free(a);
		hr_plan_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernel_conditions), cmocka_unit_test(test_agent_conditions),
		cmocka_unit_test(test_many_headers),	  cmocka_unit_test(test_many_hosts),
		cmocka_unit_test(test_many_rules),	  cmocka_unit_test(test_deterministic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
