// SPDX-License-Identifier: Apache-2.0
/*
 * A plan with other endpoints is made of the one before: it must be what a build of the same
 * objects gives, byte for byte, whatever changes followed each other, in the world of
 * endpoint_world.h. Plans that are not in use any more are freed late, in any order (as requests
 * hold them), and what was changed once must not have changed a plan before.
 */
#include "endpoint_world.h"
#include "planof.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/vec.h"
#include "plan/balance/tables.h"

static struct hr_plan_opts opts = {.cluster_domain = "cluster.local", .node = "n1"};

static struct hr_plan *build(const struct world *w)
{
	_cleanup_sb_ struct hr_strbuf all = {};

	world_text(w, &all);
	return plan_with(all.data, opts);
}

static char *dump_of(const struct hr_plan *p)
{
	struct hr_strbuf out = {};

	hr_plan_dump(p, &out);
	return out.data;
}

static void same_cluster(const struct hr_plan *a, const struct hr_plan *b, size_t i)
{
	const struct hr_plan_cluster *x = &a->clusters.data[i], *y = &b->clusters.data[i];

	assert_string_equal(x->name, y->name);
	assert_int_equal(x->first_ep, y->first_ep);
	assert_int_equal(x->n_eps, y->n_eps);
	assert_int_equal(x->draining, y->draining);
	assert_int_equal(x->n_places, y->n_places);
	assert_true(hr_streq(x->by_place, y->by_place));
	for (uint32_t k = 0; k < x->n_places; k++) {
		assert_string_equal(x->places[k].locality, y->places[k].locality);
		assert_int_equal(x->places[k].priority, y->places[k].priority);
		assert_int_equal(x->places[k].n, y->places[k].n);
		assert_true(x->places[k].weight == y->places[k].weight);
	}
	for (uint32_t k = x->first_ep; k < x->first_ep + x->n_eps; k++) {
		const struct hr_plan_ep *e = &a->eps.data[k], *f = &b->eps.data[k];

		assert_int_equal(e->cluster, f->cluster);
		assert_int_equal(e->place, f->place);
		assert_string_equal(e->node, f->node);
		assert_int_equal(e->labels ? e->labels->len : 0, f->labels ? f->labels->len : 0);
	}
}

/* What the dump does not say. */
static void same_plan(const struct hr_plan *a, const struct hr_plan *b)
{
	assert_int_equal(a->eps.len, b->eps.len);
	assert_int_equal(a->clusters.len, b->clusters.len);
	for (size_t i = 0; i < a->clusters.len; i++)
		same_cluster(a, b, i);
	assert_int_equal(a->vips.len, b->vips.len);
	for (size_t i = 0; i < a->vips.len; i++)
		assert_int_equal(a->vips.data[i].cluster, b->vips.data[i].cluster);
	for (size_t i = 0; i < a->vhosts.len; i++)
		assert_int_equal(a->vhosts.data[i].default_cluster,
				 b->vhosts.data[i].default_cluster);
	assert_int_equal(a->names.len, b->names.len);
	for (size_t i = 0; i < a->names.len; i++) {
		assert_string_equal(a->names.data[i].name, b->names.data[i].name);
		assert_int_equal(a->names.data[i].naddrs, b->names.data[i].naddrs);
		assert_memory_equal(a->names.data[i].addrs, b->names.data[i].addrs,
				    a->names.data[i].naddrs * sizeof(struct hr_addr));
	}
	assert_int_equal(a->objects->total, b->objects->total);
	assert_int_equal(a->objects->slices.len, b->objects->slices.len);
	for (size_t i = 0; i < a->objects->slices.len; i++)
		assert_string_equal(a->objects->slices.data[i]->meta.name,
				    b->objects->slices.data[i]->meta.name);
	assert_int_equal(a->objects->pods.len, b->objects->pods.len);
}

/* ---- tables: who stands in which slot ---- */

struct box {
	struct hr_words words;
	struct hr_tables *t;
};

static void box_init(struct box *b)
{
	b->words = (struct hr_words){
		.ep = calloc(HR_EPS_MAX, sizeof(*b->words.ep)),
		.cluster = calloc(HR_CLUSTERS_MAX, sizeof(*b->words.cluster)),
		.slots = calloc(HR_SLOT_PAGES, sizeof(*b->words.slots)),
	};
	b->t = hr_tables_new(&b->words);
}

static void box_free(struct box *b)
{
	hr_tables_free(b->t);
	free(b->words.ep);
	free(b->words.cluster);
	free(b->words.slots);
}

/* Slots, and the words beside them that picking reads. */
static void same_tables(const struct box *a, const struct box *b, const struct hr_plan *p)
{
	for (size_t i = 0; i < p->clusters.len; i++) {
		const struct hr_plan_cluster *c = &p->clusters.data[i];
		uint64_t x = a->words.cluster[c->id].table, y = b->words.cluster[c->id].table;

		assert_int_equal(HR_TABLE_N(x), HR_TABLE_N(y));
		for (uint32_t s = 0; s < HR_TABLE_N(x); s++) {
			uint32_t px = HR_TABLE_PAGE(x) + s / HR_SLOTS_PAGE,
				 py = HR_TABLE_PAGE(y) + s / HR_SLOTS_PAGE;

			assert_int_equal(a->words.slots[px].ep[s % HR_SLOTS_PAGE],
					 b->words.slots[py].ep[s % HR_SLOTS_PAGE]);
		}
		for (uint32_t k = 0; k < c->n_eps; k++) {
			const struct hr_ep_rt *m = &a->words.ep[p->eps.data[c->first_ep + k].id];
			const struct hr_ep_rt *n = &b->words.ep[p->eps.data[c->first_ep + k].id];

			assert_int_equal(m->addr_id, n->addr_id);
			assert_int_equal(m->cluster, n->cluster);
			assert_int_equal(m->family, n->family);
			assert_int_equal(m->weight, n->weight);
		}
	}
}

/* ---- */

struct held { /* plans that somebody still uses */
	struct hr_plan *p[8];
	char *said[8];
};

static void hold(struct held *h, struct hr_plan *p)
{
	int i = rand() % (int)HR_ARRAY_SIZE(h->p);
	_cleanup_free_ char *now = h->p[i] ? dump_of(h->p[i]) : NULL;

	if (now)
		assert_string_equal(now, h->said[i]);
	hr_plan_free(h->p[i]);
	free(h->said[i]);
	h->p[i] = p;
	h->said[i] = p ? dump_of(p) : NULL;
}

static void compare(const struct hr_plan *p, const struct hr_plan *built, struct hr_ids *ids)
{
	_cleanup_free_ char *a = dump_of(p), *b = dump_of(built);
	char text[HR_ADDR_TEXT];

	if (!hr_streq(a, b))
		fail_msg("changed:\n%s\n--- built:\n%s", a, b);
	same_plan(p, built);
	for (size_t i = 0; i < p->eps.len; i++) {
		const struct hr_plan_ep *e = &p->eps.data[i];
		_cleanup_sb_ struct hr_strbuf name = {};

		hr_sb_printf(&name, "%s %s", p->clusters.data[e->cluster].name,
			     hr_addr_port_text(&e->addr, e->port, text));
		assert_string_equal(hr_ids_ep_name(ids, e->id), name.data);
		assert_string_equal(hr_ids_addr_name(ids, e->addr_id), text);
		assert_int_equal(p->ep_by_id[e->id], i + 1);
	}
}

/* Ids of a build of the same names are the same. */
static void compare_ids(const struct hr_plan *p, struct hr_plan *built, struct hr_ids *ids)
{
	const char *full;

	assert_int_equal(hr_ids_assign(ids, built, &full), 0);
	for (size_t i = 0; i < p->eps.len; i++) {
		assert_int_equal(p->eps.data[i].id, built->eps.data[i].id);
		assert_int_equal(p->eps.data[i].addr_id, built->eps.data[i].addr_id);
	}
}

static struct { /* how often something came of it */
	int vips, names, vhosts, eps, refused;
} seen;

/* As the agent takes a plan that was built. */
static void take_built(struct hr_plan *built, struct hr_ids *ids, struct box *box, uint64_t now)
{
	const char *full;

	assert_int_equal(hr_ids_assign(ids, built, &full), 0);
	assert_int_equal(hr_tables_prepare(box->t, built, now), 0);
	hr_tables_flip(box->t, built, now);
}

static void take_changed(struct hr_plan *p, const struct hr_plan_changes *what, struct hr_ids *ids,
			 struct box *box, uint64_t now)
{
	assert_int_equal(hr_ids_assign_new(ids, p, what), 0);
	assert_int_equal(hr_tables_prepare_some(box->t, p, what->clusters, what->n_clusters, now),
			 0);
	hr_tables_flip_some(box->t, p, what->clusters, what->n_clusters, now);
	hr_tables_tick(box->t, now);
}

static void compare_tables(const struct box *box, struct hr_plan *built, uint64_t now)
{
	struct box other = {};

	box_init(&other);
	assert_int_equal(hr_tables_prepare(other.t, built, now), 0);
	hr_tables_flip(other.t, built, now);
	same_tables(box, &other, built);
	box_free(&other);
}

/* One change; gives the plan in use then. */
static struct hr_plan *go_on(struct hr_plan *p, struct world *w, struct hr_ids *ids,
			     struct box *box, int i)
{
	struct hr_plan_changes what;
	struct hr_plan *to = world_change(p, w, &what), *built = build(w);
	uint64_t now = 1000 + (uint64_t)i * 700;

	if (!to) {
		seen.refused++;
		take_built(built, ids, box, now);
		return built;
	}
	take_changed(to, &what, ids, box, now);
	compare(to, built, ids);
	seen.vips += what.n_vips != 0;
	seen.names += what.names;
	seen.vhosts += to->vhosts.data != p->vhosts.data;
	seen.eps += to->eps.len != p->eps.len;
	if (i % 10 == 9) {
		compare_ids(to, built, ids);
		compare_tables(box, built, now);
	}
	hr_plan_free(built);
	return to;
}

static void story(unsigned seed)
{
	struct held held = {};
	struct world w = {};
	struct hr_ids *ids = hr_ids_new();
	struct hr_plan *p;
	struct box box = {};

	srand(seed);
	opts.auto_vip = hr_ids_auto_vip;
	opts.auto_vip_ctx = ids;
	world_init(&w);
	box_init(&box);
	for (int i = 0; i < WORLD_PLACES; i++)
		world_draw(&w.at[i]);
	p = build(&w);
	take_built(p, ids, &box, 1000);
	for (int i = 1; i < 60; i++) {
		struct hr_plan *to = go_on(p, &w, ids, &box, i);

		hold(&held, p);
		p = to;
	}
	hr_plan_free(p);
	for (size_t i = 0; i < HR_ARRAY_SIZE(held.p); i++) {
		hr_plan_free(held.p[i]);
		free(held.said[i]);
	}
	world_free(&w);
	box_free(&box);
	hr_ids_free(ids);
}

static void test_as_if_built(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 12; seed++)
		story(seed);
	/* or nothing was tested */
	assert_true(seen.vips > 50 && seen.names > 50 && seen.vhosts > 20 && seen.eps > 200 &&
		    seen.refused > 5 && seen.refused < 300);
}

/* Only services that can be concerned are looked at, or it would not be cheap. */
static void test_little_is_made_anew(void **state)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	_cleanup_sb_ struct hr_strbuf all = {}, one = {};
	_cleanup_plan_ struct hr_plan *p = NULL, *to = NULL;
	struct hr_object_key gone = {HR_KIND_ENDPOINT_SLICE, "default", "web7"};
	struct hr_plan_changes what;
	struct hr_decoder *d;

	(void)state;
	for (int i = 0; i < 20; i++)
		hr_sb_printf(
			&all,
			"apiVersion: v1\nkind: Service\nmetadata: {name: web%d}\nspec: "
			"{clusterIP: 10.9.0.%d, ports: [{name: http, port: 80}]}\n---\n"
			"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: "
			"web%d, labels: {kubernetes.io/service-name: web%d}}\naddressType: IPv4\n"
			"ports: [{name: http, port: 80}]\nendpoints: [{addresses: [10.0.0.%d]}]\n"
			"---\n",
			i, i + 1, i, i, i);
	p = plan_of(all.data);
	hr_sb_add(&one,
		  "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web7, "
		  "labels: {kubernetes.io/service-name: web7}}\naddressType: IPv4\n"
		  "ports: [{name: http, port: 80}]\nendpoints: [{addresses: [10.0.1.1]}]\n");
	d = hr_decoder_into(hr_plan_arena(p), 0, diags);
	hr_decode_text(d, "t.yaml", one.data, one.len);
	assert_int_equal(hr_plan_change(&to, p, &gone, 1, hr_decoder_finish(d), diags, &what), 0);
	assert_int_equal(what.n_clusters, 1);
	assert_string_equal(to->clusters.data[what.clusters[0]].host,
			    "web7.default.svc.cluster.local");
	assert_string_equal(eps_of(to, "outbound|80||web7.default.svc.cluster.local"),
			    "10.0.1.1:80");
	assert_ptr_equal(to->vhosts.data, p->vhosts.data);
	assert_int_equal(what.n_vips, 0);
	assert_false(what.names);
}

/* Anything else takes a build. */
static void test_other_kinds_are_refused(void **state)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	_cleanup_plan_ struct hr_plan *p = plan_of(world_base), *to = NULL;
	static const char service[] = "apiVersion: v1\nkind: Service\nmetadata: {name: more}\n"
				      "spec: {clusterIP: 10.9.1.1, ports: [{port: 80}]}\n";
	struct hr_object_key gone = {HR_KIND_VIRTUAL_SERVICE, "default", "web"};
	struct hr_decoder *d = hr_decoder_into(hr_plan_arena(p), 0, diags);
	struct hr_plan_changes what;

	(void)state;
	hr_decode_text(d, "t.yaml", service, sizeof(service) - 1);
	assert_int_equal(hr_plan_change(&to, p, NULL, 0, hr_decoder_finish(d), diags, &what),
			 -EOPNOTSUPP);
	d = hr_decoder_into(hr_plan_arena(p), 0, diags);
	assert_int_equal(hr_plan_change(&to, p, &gone, 1, hr_decoder_finish(d), diags, &what),
			 -EOPNOTSUPP);
	assert_null(to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_if_built),
		cmocka_unit_test(test_little_is_made_anew),
		cmocka_unit_test(test_other_kinds_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
