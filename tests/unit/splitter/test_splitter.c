// SPDX-License-Identifier: Apache-2.0
/*
 * Canaries and breakers as changes of YAML. What a change does not name is somebody's work and has
 * to come out as it went in; what it cannot do, it has to say.
 *
 *	spec.http[0]  match: beta    ->  v1 70, v2 30     not the split rule: it has a match
 *	spec.http[1]  (all)          ->  v1 95, v2 5      the split rule
 */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "core/cleanup.h"
#include "model/decode.h"
#include "splitter/splitter.h"

static const char two_rules[] = "apiVersion: networking.istio.io/v1beta1\n"
				"kind: VirtualService\n"
				"metadata:\n"
				"  name: reco\n"
				"  labels: {team: \"42\"}\n"
				"spec:\n"
				"  hosts: [reco]\n"
				"  exportTo: [.]\n"
				"  http:\n"
				"  - match:\n"
				"    - headers: {x-user: {exact: beta}}\n"
				"    route:\n"
				"    - destination: {host: reco, subset: v1}\n"
				"      weight: 70\n"
				"    - destination: {host: reco, subset: v2}\n"
				"      weight: 30\n"
				"  - name: rest\n"
				"    route:\n"
				"    - destination: {host: reco, subset: v1, port: {number: 81}}\n"
				"      weight: 95\n"
				"      headers: {request: {set: {x-side: old}}}\n"
				"    - destination: {host: reco, subset: v2, port: {number: 82}}\n"
				"      weight: 5\n"
				"    timeout: 7s\n";

static const char rule_yaml[] = "apiVersion: networking.istio.io/v1\n"
				"kind: DestinationRule\n"
				"metadata: {name: reco}\n"
				"spec:\n"
				"  host: reco\n"
				"  trafficPolicy:\n"
				"    loadBalancer: {simple: RANDOM}\n"
				"    outlierDetection: {consecutiveErrors: 7, interval: 3s}\n"
				"  subsets:\n"
				"  - name: v1\n"
				"    labels: {version: one, tier: \"1\"}\n"
				"    trafficPolicy:\n"
				"      outlierDetection: {consecutive5xxErrors: 2}\n";

/* The texts as the decoder reads them: what is built here must be what it accepts. */
static struct hr_objects *decode(const char *vs, const char *dr)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	struct hr_decoder *d = hr_decoder_new(0, diags);
	struct hr_objects *set;

	if (vs)
		hr_decode_text(d, "vs.yaml", vs, strlen(vs));
	if (dr)
		hr_decode_text(d, "dr.yaml", dr, strlen(dr));
	set = hr_decoder_finish(d);
	if (diags->errors)
		fail_msg("%s\n%s%s", diags->list.data[0].message, vs ? vs : "", dr ? dr : "");
	return set;
}

static const struct hr_canary_spec plain = {
	.service = "reco",
	.ns = "shop",
	.stable = "v1",
	.canary = "v2",
	.stable_weight = 90,
	.canary_weight = 10,
};

static void create(const struct hr_canary_spec *s, const char *vs, const char *dr,
		   struct hr_strbuf *vs_out, struct hr_strbuf *dr_out)
{
	_cleanup_sb_ struct hr_strbuf why = {};

	if (hr_canary_create(s, vs, dr, vs_out, dr_out, &why) < 0)
		fail_msg("%s", hr_sb_str(&why));
}

static void test_create_from_nothing(void **state)
{
	_cleanup_sb_ struct hr_strbuf vs = {}, dr = {};

	(void)state;
	create(&plain, NULL, NULL, &vs, &dr);
	assert_string_equal(vs.data, "apiVersion: networking.istio.io/v1\n"
				     "kind: VirtualService\n"
				     "metadata:\n"
				     "  name: reco\n"
				     "  namespace: shop\n"
				     "spec:\n"
				     "  hosts:\n"
				     "  - reco\n"
				     "  http:\n"
				     "  - name: canary-split\n"
				     "    route:\n"
				     "    - destination:\n"
				     "        host: reco\n"
				     "        subset: v1\n"
				     "      weight: 90\n"
				     "    - destination:\n"
				     "        host: reco\n"
				     "        subset: v2\n"
				     "      weight: 10\n"
				     "    timeout: 30s\n"
				     "    retries:\n"
				     "      attempts: 3\n"
				     "      perTryTimeout: 10s\n");
	assert_string_equal(dr.data, "apiVersion: networking.istio.io/v1\n"
				     "kind: DestinationRule\n"
				     "metadata:\n"
				     "  name: reco\n"
				     "  namespace: shop\n"
				     "spec:\n"
				     "  host: reco\n"
				     "  subsets:\n"
				     "  - name: v1\n"
				     "    labels:\n"
				     "      version: v1\n"
				     "  - name: v2\n"
				     "    labels:\n"
				     "      version: v2\n");
}

static void test_create_with_everything(void **state)
{
	const struct hr_kv label = {.key = "track", .value = "08"};
	struct hr_canary_spec s = plain;
	_cleanup_sb_ struct hr_strbuf vs = {}, dr = {};
	struct hr_objects *o;
	const struct hr_http_route *m, *r;
	const struct hr_destination_rule *d;

	(void)state;
	s.matches =
		"[{\"headers\":{\"x-canary\":{\"exact\":\"true\"}}},{\"uri\":{\"prefix\":\"/n\"}}]";
	s.timeout = "2s";
	s.retries = "{\"attempts\":1}";
	s.base_policy = "{\"loadBalancer\":{\"simple\":\"ROUND_ROBIN\"}}";
	s.canary_policy = "{\"connectionPool\":{\"tcp\":{\"maxConnections\":5}}}";
	s.canary_labels = (hr_kvs){.data = (struct hr_kv *)&label, .len = 1};
	create(&s, NULL, NULL, &vs, &dr);
	o = decode(vs.data, dr.data);
	m = &o->virtual_services.data[0]->http.data[0];
	r = &o->virtual_services.data[0]->http.data[1];
	d = o->destination_rules.data[0];
	assert_string_equal(m->name, "canary-match");
	assert_int_equal(m->match.len, 2);
	assert_string_equal(m->match.data[0].headers.data[0].m.value, "true");
	assert_int_equal(m->route.len, 1);
	assert_string_equal(m->route.data[0].destination.subset, "v2");
	assert_int_equal(r->timeout, 2000);
	assert_int_equal(r->retries.attempts, 1);
	assert_int_equal(d->policy.lb.simple, HR_LB_ROUND_ROBIN);
	assert_false(d->subsets.data[0].policy.set);
	assert_int_equal(d->subsets.data[1].policy.pool.max_connections, 5);
	assert_string_equal(d->subsets.data[1].labels.data[0].value, "08");
	hr_objects_free(o);
}

/* An existing pair: weights and what is given, the rest byte for byte. */
static void test_create_keeps_the_rest(void **state)
{
	_cleanup_sb_ struct hr_strbuf vs = {}, dr = {};
	struct hr_objects *o;
	const struct hr_http_route *rule;

	(void)state;
	create(&plain, two_rules, rule_yaml, &vs, &dr);
	o = decode(vs.data, dr.data);
	assert_string_equal(o->virtual_services.data[0]->meta.labels.data[0].value, "42");
	assert_int_equal(o->virtual_services.data[0]->export_to.len, 1);
	rule = &o->virtual_services.data[0]->http.data[0];
	assert_int_equal(rule->route.data[0].weight, 70);
	rule = &o->virtual_services.data[0]->http.data[1];
	assert_int_equal(rule->route.data[0].weight, 90);
	assert_int_equal(rule->route.data[1].weight, 10);
	assert_int_equal(rule->route.data[1].destination.port, 82);
	assert_string_equal(rule->route.data[0].headers.request.set.data[0].value, "old");
	assert_int_equal(rule->timeout, 7000);
	assert_false(rule->retries.set);
	assert_string_equal(o->destination_rules.data[0]->subsets.data[0].labels.data[0].value,
			    "one");
	assert_string_equal(o->destination_rules.data[0]->subsets.data[1].labels.data[0].value,
			    "v2");
	hr_objects_free(o);
}

/* The next release: what was the canary is stable now, and testers follow to the new one. */
static void test_next_release(void **state)
{
	_cleanup_sb_ struct hr_strbuf vs = {}, dr = {}, vs2 = {}, dr2 = {}, vs3 = {}, dr3 = {};
	struct hr_canary_spec s = plain;
	struct hr_objects *o;
	const struct hr_virtual_service *v;

	(void)state;
	s.matches = "[{\"headers\":{\"x-canary\":{}}}]";
	create(&s, NULL, NULL, &vs, &dr);
	s.matches = NULL;
	s.stable = "v2";
	s.canary = "v3";
	create(&s, vs.data, dr.data, &vs2, &dr2);
	o = decode(vs2.data, dr2.data);
	v = o->virtual_services.data[0];
	assert_int_equal(v->http.len, 2);
	assert_string_equal(v->http.data[0].route.data[0].destination.subset, "v3");
	assert_int_equal(v->http.data[0].match.len, 1);
	assert_string_equal(v->http.data[1].route.data[0].destination.subset, "v2");
	assert_string_equal(v->http.data[1].route.data[1].destination.subset, "v3");
	assert_int_equal(o->destination_rules.data[0]->subsets.len, 3);
	hr_objects_free(o);
	s.matches = "[]";
	create(&s, vs2.data, dr2.data, &vs3, &dr3);
	assert_null(strstr(vs3.data, "canary-match"));
	assert_string_equal(dr3.data, dr2.data);
}

/* A service that was never split: its only destination becomes both sides. */
static void test_split_of_a_plain_rule(void **state)
{
	static const char one[] = "apiVersion: networking.istio.io/v1\n"
				  "kind: VirtualService\n"
				  "metadata: {name: reco}\n"
				  "spec:\n"
				  "  hosts: [reco]\n"
				  "  http:\n"
				  "  - route:\n"
				  "    - destination: {host: reco.shop.svc.cluster.local, port: "
				  "{number: 81}}\n";
	_cleanup_sb_ struct hr_strbuf vs = {}, dr = {};
	struct hr_objects *o;
	const struct hr_http_route *r;

	(void)state;
	create(&plain, one, NULL, &vs, &dr);
	o = decode(vs.data, dr.data);
	r = &o->virtual_services.data[0]->http.data[0];
	assert_int_equal(r->route.len, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(r->route.data[i].destination.host,
				    "reco.shop.svc.cluster.local");
		assert_int_equal(r->route.data[i].destination.port, 81);
	}
	assert_string_equal(r->route.data[0].destination.subset, "v1");
	assert_int_equal(r->timeout, -1); /* not a new rule: no default is put on it */
	hr_objects_free(o);
}

static void weights(const char *vs, const char *names, int64_t a, int64_t b, const char *expect)
{
	const struct hr_canary_weight w[] = {{names, a}, {"v2", b}};
	_cleanup_sb_ struct hr_strbuf out = {}, why = {};
	int r = hr_canary_weights(vs, w, 2, &out, &why);

	if (!expect) {
		assert_int_equal(r, 0);
		return;
	}
	assert_int_equal(r, -EINVAL);
	assert_int_equal(out.len, 0);
	if (!strstr(hr_sb_str(&why), expect))
		fail_msg("said \"%s\", not \"%s\"", hr_sb_str(&why), expect);
}

static void test_weights(void **state)
{
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	_cleanup_sb_ struct hr_strbuf out = {}, why = {};
	struct hr_canary_rule split;

	(void)state;
	assert_int_equal(hr_canary_two_weights(two_rules, 0, 100, &out, &why), 0);
	assert_int_equal(hr_canary_split(out.data, NULL, 0, a, &split, &why), 0);
	assert_int_equal(split.rule, 1);
	assert_int_equal(split.sides.len, 2);
	assert_string_equal(split.sides.data[0].name, "v1");
	assert_int_equal(split.sides.data[0].weight, 0);
	assert_int_equal(split.sides.data[1].weight, 100);
	assert_int_equal(split.sides.data[1].port, 82);
	weights(two_rules, "v1", 50, 50, NULL);
	weights(two_rules, "v3", 50, 50, "routes to v3 and v2");
	weights(two_rules, "v2", 50, 50, "named twice");
	weights(two_rules, "v1", 0, 0, "all weights would be 0");
	weights(two_rules, "v1", -1, 2, "0 or more");
	weights("a: [", "v1", 1, 2, "VirtualService:");
}

/* Two rules that split and both have a match: nobody can know which one is meant. */
static void test_which_rule(void **state)
{
	static const char unclear[] = "spec:\n  http:\n"
				      "  - match: [{uri: {prefix: /a}}]\n"
				      "    route: [{destination: {host: x, subset: v1}, weight: "
				      "1}, {destination: {host: x, "
				      "subset: v2}, weight: 1}]\n"
				      "  - match: [{uri: {prefix: /b}}]\n"
				      "    route: [{destination: {host: x, subset: v1}, weight: "
				      "1}, {destination: {host: x, "
				      "subset: v2}, weight: 1}]\n";
	static const char three[] = "spec:\n  http:\n"
				    "  - route: [{destination: {host: a}, weight: 1}, "
				    "{destination: {host: b}, weight: 1}, "
				    "{destination: {host: c}}]\n";
	const struct hr_canary_weight hosts[] = {{"a", 0}, {"c", 7}};
	_cleanup_arena_ struct hr_arena *a = hr_arena_new();
	_cleanup_sb_ struct hr_strbuf out = {}, why = {};
	struct hr_canary_rule split = {};

	(void)state;
	weights(unclear, "v1", 1, 2, "cannot be told");
	assert_int_equal(hr_canary_two_weights(three, 1, 2, &out, &why), -EINVAL);
	assert_non_null(strstr(why.data, "3 destinations"));
	/* sides without subsets are called by their hosts, the third keeps what it has */
	assert_int_equal(hr_canary_weights(three, hosts, 2, &out, &why), 0);
	assert_int_equal(hr_canary_split(out.data, NULL, 0, a, &split, &why), 0);
	assert_int_equal(split.sides.data[0].weight, 0);
	assert_int_equal(split.sides.data[1].weight, 1);
	assert_int_equal(split.sides.data[2].weight, 7);
}

static void refused(const struct hr_canary_spec *s, const char *vs, const char *expect)
{
	_cleanup_sb_ struct hr_strbuf a = {}, b = {}, why = {};

	assert_int_equal(hr_canary_create(s, vs, NULL, &a, &b, &why), -EINVAL);
	if (!strstr(hr_sb_str(&why), expect))
		fail_msg("said \"%s\", not \"%s\"", hr_sb_str(&why), expect);
}

static void test_create_refuses(void **state)
{
	struct hr_canary_spec s = plain;

	(void)state;
	refused(&s, "spec:\n  http:\n  - match: [{uri: {prefix: /}}]\n", "without match");
	refused(&s, "spec:\n  http:\n  - redirect: {uri: /}\n", "spec.http[0] has no route");
	s.matches = "{\"uri\":1}";
	refused(&s, NULL, "a list of HTTPMatchRequest");
	s.matches = "[";
	refused(&s, NULL, "matches:");
	s = plain;
	s.stable_policy = "[]";
	refused(&s, NULL, "stablePolicy: a TrafficPolicy");
	s = plain;
	s.canary = "v1";
	refused(&s, NULL, "named twice");
	s = plain;
	s.stable_weight = s.canary_weight = 0;
	refused(&s, NULL, "all weights would be 0");
}

static const struct hr_breaker_spec unset = {-1, NULL, NULL, -1, -1};

static void test_breaker(void **state)
{
	struct hr_breaker_spec s = unset;
	_cleanup_sb_ struct hr_strbuf on = {}, again = {}, off = {}, notes = {}, why = {};
	struct hr_objects *o;
	const struct hr_traffic_policy *p;

	(void)state;
	s.max_ejection = 20;
	assert_int_equal(hr_breaker_enable(&s, rule_yaml, &on, &notes, &why), 0);
	assert_string_equal(notes.data, "subset v1 has an outlierDetection of its own\n");
	o = decode(NULL, on.data);
	p = &o->destination_rules.data[0]->policy;
	assert_int_equal(p->lb.simple, HR_LB_RANDOM);
	assert_int_equal(p->outlier.consecutive_5xx, 7); /* was there, by its old name */
	assert_int_equal(p->outlier.interval, 3000);
	assert_int_equal(p->outlier.base_ejection, 30000);
	assert_int_equal(p->outlier.max_ejection_percent, 20);
	assert_int_equal(p->outlier.min_health_percent, 30);
	assert_null(strstr(on.data, "consecutiveErrors"));
	hr_objects_free(o);
	/* without a word everything stays */
	assert_int_equal(hr_breaker_enable(&unset, on.data, &again, NULL, &why), 0);
	assert_string_equal(again.data, on.data);
	assert_int_equal(hr_breaker_disable(again.data, &off, NULL, &why), 0);
	o = decode(NULL, off.data);
	assert_false(o->destination_rules.data[0]->policy.outlier.set);
	assert_true(o->destination_rules.data[0]->policy.lb.set);
	assert_true(o->destination_rules.data[0]->subsets.data[0].policy.outlier.set);
	hr_objects_free(o);
}

/* A policy that holds nothing else goes with its breaker: the rule is as it was before. */
static void test_breaker_on_and_off(void **state)
{
	static const char bare[] = "apiVersion: networking.istio.io/v1\n"
				   "kind: DestinationRule\n"
				   "metadata:\n"
				   "  name: reco\n"
				   "spec:\n"
				   "  host: reco\n";
	_cleanup_sb_ struct hr_strbuf on = {}, off = {}, why = {};

	(void)state;
	assert_int_equal(hr_breaker_enable(&unset, bare, &on, NULL, &why), 0);
	assert_non_null(strstr(on.data, "consecutive5xxErrors: 5\n"));
	assert_int_equal(hr_breaker_disable(on.data, &off, NULL, &why), 0);
	assert_string_equal(off.data, bare);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_from_nothing),
		cmocka_unit_test(test_create_with_everything),
		cmocka_unit_test(test_create_keeps_the_rest),
		cmocka_unit_test(test_next_release),
		cmocka_unit_test(test_split_of_a_plain_rule),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_which_rule),
		cmocka_unit_test(test_create_refuses),
		cmocka_unit_test(test_breaker),
		cmocka_unit_test(test_breaker_on_and_off),
	};

	return cmocka_run_group_tests_name("splitter", tests, NULL, NULL);
}
