// SPDX-License-Identifier: Apache-2.0
/* Objects come out typed as they were written: every field of the two large kinds in one file
 * each, also those that are not built yet (HR_DECODE_UNBUILT), and the Kubernetes kinds. */
#include "model_test.h"

#include "core/net.h"

static void test_virtual_service_in_full(void **state)
{
	_cleanup_run_ struct run r = run_paths(
		HR_DECODE_UNBUILT, (const char *[]){"tests/unit/model/full-vs.yaml", NULL});
	const struct hr_virtual_service *vs;
	const struct hr_http_route *h;
	const struct hr_http_match *m;

	(void)state;
	if (r.diags->errors || r.set->virtual_services.len != 1) {
		print_diags(&r);
		fail();
	}
	vs = r.set->virtual_services.data[0];
	assert_string_equal(vs->meta.ns, "prod");
	assert_int_equal(vs->meta.created_ms, 1767225600000);
	assert_string_equal(vs->hosts.data[0], "reviews"); /* Reviews: lower case */
	assert_int_equal(vs->host_pos.data[0].line, 10);
	assert_string_equal(vs->export_to.data[0], ".");
	h = &vs->http.data[0];
	m = &h->match.data[0];
	assert_int_equal(m->uri.type, HR_MATCH_PREFIX);
	assert_string_equal(m->uri.value, "/a");
	assert_int_equal(m->scheme.type, HR_MATCH_EXACT);
	assert_int_equal(m->method.type, HR_MATCH_REGEX);
	assert_string_equal(m->authority.value, "x.com");
	assert_true(m->ignore_uri_case);
	assert_int_equal(m->headers.len, 3);
	assert_string_equal(m->headers.data[0].name, "x-user"); /* X-User: lower case */
	assert_int_equal(m->headers.data[1].m.type, HR_MATCH_PRESENT);
	assert_int_equal(m->headers.data[2].m.type, HR_MATCH_PRESENT);
	assert_int_equal(m->without_headers.data[0].m.type, HR_MATCH_PREFIX);
	assert_string_equal(m->query_params.data[0].name, "Q"); /* as written */
	assert_int_equal(m->port, 8080);
	assert_string_equal(m->source_labels.data[0].value, "web");
	assert_string_equal(m->source_namespace, "prod");
	assert_int_equal(h->route.len, 2);
	assert_string_equal(h->route.data[0].destination.host, "reviews");
	assert_string_equal(h->route.data[0].destination.subset, "v1");
	assert_int_equal(h->route.data[0].destination.port, 9080);
	assert_int_equal(h->route.data[0].weight, 90);
	assert_int_equal(h->route.data[1].weight, 10);
	assert_string_equal(h->route.data[0].headers.request.set.data[0].value, "1");
	assert_string_equal(h->route.data[0].headers.response.remove.data[0], "server");
	assert_int_equal(h->timeout, 10000);
	assert_int_equal(h->retries.attempts, 3);
	assert_int_equal(h->retries.per_try_timeout, 2500);
	assert_int_equal(h->retries.backoff, 25);
	assert_int_equal(h->retries.retry_on.len, 3);
	assert_string_equal(h->retries.retry_on.data[2], "503");
	assert_int_equal(h->retries.retry_remote_localities, 1);
	assert_int_equal(h->retries.retry_ignore_previous_hosts, 0);
	assert_int_equal(h->fault.delay_ms, 5000);
	assert_int_equal(h->fault.delay_ppm, 1000);
	assert_int_equal(h->fault.abort_http, 503);
	assert_int_equal(h->fault.abort_ppm, 1); /* 0.0001 % */
	assert_int_equal(h->mirrors.len, 1);
	assert_int_equal(h->mirrors.data[0].ppm, 255000);
	assert_string_equal(h->mirrors.data[0].destination.subset, "v3");
	assert_int_equal(h->cors.allow_origins.len, 2);
	assert_int_equal(h->cors.max_age, 86400000);
	assert_int_equal(h->cors.allow_credentials, 0);
	assert_string_equal(h->rewrite.uri, "/b");
}

static void test_virtual_service_actions(void **state)
{
	_cleanup_run_ struct run r = run_paths(
		HR_DECODE_UNBUILT, (const char *[]){"tests/unit/model/full-vs.yaml", NULL});
	const struct hr_virtual_service *vs = r.set->virtual_services.data[0];
	const struct hr_http_route *h = vs->http.data;

	(void)state;
	assert_true(h[1].redirect.set);
	assert_int_equal(h[1].redirect.code, 302);
	assert_int_equal(h[1].redirect.port, 8443);
	assert_string_equal(h[1].redirect.scheme, "https");
	assert_int_equal(h[2].redirect.code, 301); /* the default */
	assert_string_equal(h[2].redirect.derive_port, "FROM_REQUEST_PORT");
	assert_string_equal(h[2].redirect.prefix_rewrite, "/new");
	assert_int_equal(h[3].direct_response.status, 418);
	assert_int_equal(h[3].direct_response.body_len, 4);
	assert_memory_equal(h[3].direct_response.body, "\0\1\2\3", 4);
	assert_string_equal(h[4].delegate_name, "other");
	assert_string_equal(h[5].rewrite.regex, "^/a/(.*)");
	assert_int_equal(h[5].mirrors.len, 2);
	assert_int_equal(h[5].mirrors.data[1].ppm, 1000000); /* the default */
	assert_int_equal(h[5].timeout, -1);
	assert_int_equal(h[5].retries.set, false);
	assert_int_equal(vs->tls.data[0].match.data[0].port, 443);
	assert_string_equal(vs->tls.data[0].match.data[0].sni_hosts.data[0], "*.x.com");
	assert_string_equal(vs->tcp.data[0].match.data[0].destination_subnets.data[0],
			    "10.0.0.0/8");
	assert_int_equal(vs->tcp.data[0].route.data[0].weight, -1);
}

static void test_destination_rule_in_full(void **state)
{
	_cleanup_run_ struct run r = run_paths(
		HR_DECODE_UNBUILT, (const char *[]){"tests/unit/model/full-dr.yaml", NULL});
	const struct hr_destination_rule *dr;
	const struct hr_traffic_policy *p;

	(void)state;
	if (r.diags->errors || r.set->destination_rules.len != 1) {
		print_diags(&r);
		fail();
	}
	dr = r.set->destination_rules.data[0];
	p = &dr->policy;
	assert_string_equal(dr->host, "reviews");
	assert_true(p->set && p->lb.set && p->pool.set && p->outlier.set);
	assert_int_equal(p->lb.hash, HR_HASH_COOKIE);
	assert_string_equal(p->lb.hash_name, "user");
	assert_string_equal(p->lb.cookie_path, "/");
	assert_int_equal(p->lb.cookie_ttl, 0);
	assert_string_equal(p->lb.cookie_attributes.data[0].value, "Strict");
	assert_true(p->lb.maglev);
	assert_int_equal(p->lb.maglev_size, 65537);
	assert_string_equal(p->lb.distribute.data[0].from, "a/b/*");
	assert_string_equal(p->lb.distribute.data[0].to.data[1].value, "20");
	assert_int_equal(p->lb.locality_enabled, 1);
	assert_int_equal(p->lb.warmup_ms, 60000);
	assert_int_equal(p->pool.max_connections, 100);
	assert_int_equal(p->pool.connect_timeout, 250);
	assert_true(p->pool.keepalive);
	assert_int_equal(p->pool.keepalive_probes, 3);
	assert_int_equal(p->pool.http1_max_pending, -1); /* 0 is not set */
	assert_int_equal(p->pool.max_retries, 3);
	assert_int_equal(p->pool.tcp_idle_timeout, -1);
	assert_int_equal(p->pool.http_idle_timeout, 3600000);
	assert_string_equal(p->pool.h2_upgrade, "DO_NOT_UPGRADE");
	assert_int_equal(p->outlier.consecutive_5xx, 0); /* 0 is off, not "not set" */
	assert_int_equal(p->outlier.consecutive_gateway, -1);
	assert_int_equal(p->outlier.max_ejection_percent, 50);
	assert_int_equal(p->outlier.split_external_local, 1);
	assert_string_equal(p->tls_mode, "DISABLE");
	assert_int_equal(p->port_level.len, 1);
	assert_int_equal(p->port_level.data[0].port, 8080);
	assert_int_equal(p->port_level.data[0].policy->pool.max_connections, 200);
	assert_int_equal(p->port_level.data[0].policy->lb.simple, 0);
	assert_string_equal(p->port_level.data[0].policy->lb.failover_priority.data[1], "v=1");
	assert_int_equal(dr->subsets.len, 2);
	assert_int_equal(dr->subsets.data[0].policy.lb.simple, HR_LB_LEAST_REQUEST);
	assert_true(dr->subsets.data[0].policy.lb.zone_aware);
	assert_string_equal(dr->subsets.data[0].policy.lb.failover.data[0].to, "b");
	assert_false(dr->subsets.data[1].policy.set);
	assert_int_equal(dr->subsets.data[1].policy.pool.max_connections, -1);
	assert_string_equal(dr->workload_selector.data[0].value, "web");
}

static void test_entries(void **state)
{
	_cleanup_run_ struct run r = run_text(
		0,
		"apiVersion: networking.istio.io/v1beta1\n"
		"kind: ServiceEntry\n"
		"metadata: {name: ext, namespace: a}\n"
		"spec:\n"
		"  hosts: [API.example.com]\n"
		"  addresses: [240.0.0.1]\n"
		"  ports:\n"
		"  - {number: 80, name: http, protocol: http, targetPort: 8080}\n"
		"  location: MESH_INTERNAL\n"
		"  resolution: STATIC\n"
		"  endpoints:\n"
		"  - {address: 10.0.0.1, ports: {http: 8081}, labels: {version: v1}, weight: 3}\n"
		"  - address: fd00::1\n"
		"    locality: eu/b/c\n"
		"---\n"
		"apiVersion: networking.istio.io/v1alpha3\n"
		"kind: WorkloadEntry\n"
		"metadata: {name: vm}\n"
		"spec: {address: vm.example.com, serviceAccount: vm}\n");
	const struct hr_service_entry *se;

	(void)state;
	assert_clean(&r);
	se = r.set->service_entries.data[0];
	assert_string_equal(se->hosts.data[0], "api.example.com");
	assert_false(se->mesh_external);
	assert_int_equal(se->resolution, HR_RES_STATIC);
	assert_int_equal(se->ports.data[0].target_port, 8080);
	assert_int_equal(se->endpoints.data[0].ports.data[0].number, 8081);
	assert_int_equal(se->endpoints.data[0].weight, 3);
	assert_int_equal(se->endpoints.data[1].weight, -1);
	assert_string_equal(r.set->workload_entries.data[0]->address, "vm.example.com");
	assert_string_equal(r.set->workload_entries.data[0]->meta.ns, "default");
}

/* As `kubectl get service,endpointslice,endpoints,pod,node,namespace -o yaml` prints them. */
static void test_kubernetes_kinds(void **state)
{
	_cleanup_run_ struct run r =
		run_paths(0, (const char *[]){"tests/unit/model/kubectl.yaml", NULL});
	const struct hr_service *s;
	const struct hr_endpoint_slice *old, *slice;
	const struct hr_pod *p;
	struct hr_addr want;

	(void)state;
	assert_clean(&r);
	assert_int_equal(r.set->services.len, 2);
	s = r.set->services.data[1];
	assert_string_equal(s->meta.name, "reviews");
	assert_string_equal(s->cluster_ips.data[1], "fd00:96::1");
	assert_string_equal(s->ports.data[0].target_name, "web");
	assert_string_equal(s->ports.data[1].protocol, "http");
	assert_true(s->ports.data[2].udp);
	assert_true(r.set->services.data[0]->headless);
	assert_int_equal(r.set->services.data[0]->cluster_ips.len, 0);

	assert_int_equal(r.set->slices.len, 3); /* the slice, two subsets of the Endpoints */
	slice = r.set->slices.data[0];
	assert_int_equal(slice->meta.kind, HR_KIND_ENDPOINT_SLICE);
	assert_string_equal(slice->service, "reviews");
	assert_int_equal(slice->endpoints.len, 2);
	assert_true(slice->endpoints.data[0].ready && slice->endpoints.data[0].serving);
	assert_false(slice->endpoints.data[1].ready);
	assert_true(slice->endpoints.data[1].serving && slice->endpoints.data[1].terminating);
	assert_string_equal(slice->endpoints.data[0].pod_name, "reviews-1");
	old = r.set->slices.data[1];
	assert_int_equal(old->meta.kind, HR_KIND_ENDPOINTS);
	assert_string_equal(old->service, "old");
	assert_int_equal(old->endpoints.len, 2);
	assert_true(old->endpoints.data[0].ready);
	assert_false(old->endpoints.data[1].ready);
	hr_addr_parse("10.0.0.4", &want);
	assert_true(hr_addr_eq(&old->endpoints.data[1].addr, &want));

	assert_int_equal(r.set->pods.len, 3);
	p = r.set->pods.data[0];
	assert_true(p->ready);
	assert_int_equal(p->ips.len, 2);
	assert_string_equal(p->node, "n1");
	assert_int_equal(p->ports.len, 2);
	assert_string_equal(p->ports.data[0].name, "web");
	assert_false(r.set->pods.data[1]->ready); /* condition Ready is False */
	assert_true(r.set->pods.data[2]->terminating);
	assert_string_equal(r.set->nodes.data[0]->meta.ns, "");
	assert_int_equal(r.set->namespaces.len, 1);
}

static void test_endpoints_without_any(void **state)
{
	/* a service whose Endpoints are empty has no endpoint; that is not the same as a service
	 * without Endpoints, whose pods count */
	_cleanup_run_ struct run r =
		run_text(0, "{apiVersion: v1, kind: Endpoints, metadata: {name: x}}\n");

	(void)state;
	assert_clean(&r);
	assert_int_equal(r.set->slices.len, 1);
	assert_string_equal(r.set->slices.data[0]->service, "x");
	assert_int_equal(r.set->slices.data[0]->endpoints.len, 0);
	assert_non_null(hr_object_yaml(r.set, HR_KIND_ENDPOINTS, "default", "x"));
}

static void test_same_object_in_every_version(void **state)
{
	static const char *const versions[] = {"v1", "v1beta1", "v1alpha3"};

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(versions); i++) {
		char text[256];

		snprintf(text, sizeof(text),
			 "apiVersion: networking.istio.io/%s\nkind: DestinationRule\n"
			 "metadata: {name: x}\nspec: {host: x}\n",
			 versions[i]);
		{
			_cleanup_run_ struct run r = run_text(0, text);

			assert_clean(&r);
			assert_int_equal(r.set->destination_rules.len, 1);
		}
	}
}

static void test_lists_and_json(void **state)
{
	/* kubectl's List, the API's own list whose items have no kind, JSON */
	_cleanup_run_ struct run r = run_text(
		0,
		"apiVersion: v1\nkind: List\nmetadata: {resourceVersion: \"\"}\nitems:\n"
		"- apiVersion: v1\n  kind: Namespace\n  metadata: {name: a}\n"
		"- apiVersion: v1\n  kind: Namespace\n  metadata: {name: b}\n"
		"---\n"
		"{\"apiVersion\": \"networking.istio.io/v1\", \"kind\": \"DestinationRuleList\",\n"
		" \"items\": [{\"metadata\": {\"name\": \"x\", \"creationTimestamp\": null},\n"
		"   \"spec\": {\"host\": \"x\"}}]}\n"
		"---\n"
		"{apiVersion: v1, kind: List, items: null}\n");

	(void)state;
	assert_clean(&r);
	assert_int_equal(r.set->namespaces.len, 2);
	assert_int_equal(r.set->destination_rules.len, 1);
	assert_int_equal(r.set->destination_rules.data[0]->host_pos.line, 14);
	assert_int_equal(r.set->total, 3);
}

static void test_one_bad_item_of_a_list(void **state)
{
	_cleanup_run_ struct run r =
		run_text(0, "apiVersion: v1\nkind: List\nitems:\n"
			    "- {apiVersion: v1, kind: Namespace, metadata: {name: A}}\n"
			    "- {apiVersion: v1, kind: Namespace, metadata: {name: b}}\n");

	(void)state;
	assert_said(&r, "t.yaml:4:54: error: metadata.name: \"A\" is no DNS name");
	assert_int_equal(r.set->namespaces.len, 1);
}

static void test_sets_are_in_order(void **state)
{
	/* whatever the order of files and documents: by namespace, then name */
	_cleanup_run_ struct run r =
		run_text(0, "{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: z}}\n---\n"
			    "{apiVersion: v1, kind: Pod, metadata: {name: c, namespace: a}}\n---\n"
			    "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: z}}\n");

	(void)state;
	assert_int_equal(r.set->pods.len, 3);
	assert_string_equal(r.set->pods.data[0]->meta.name, "c");
	assert_string_equal(r.set->pods.data[1]->meta.name, "a");
	assert_string_equal(r.set->pods.data[2]->meta.name, "b");
}

static void test_object_comes_back_as_yaml(void **state)
{
	/* get -o yaml and the store: what was read, strings still strings, read again the same */
	_cleanup_run_ struct run r = run_text(
		0,
		"# a comment\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
		"metadata:\n  name: x\n  annotations:\n    note: \"true\"\n    text: \"a\\nb\\n\"\n"
		"  managedFields:\n  - {manager: kubectl}\nspec: {host: x}\n");
	const char *yaml = hr_object_yaml(r.set, HR_KIND_DESTINATION_RULE, "default", "x");

	(void)state;
	assert_clean(&r);
	assert_non_null(yaml);
	assert_null(strstr(yaml, "managedFields"));
	assert_non_null(strstr(yaml, "note: \"true\""));
	assert_null(hr_object_yaml(r.set, HR_KIND_DESTINATION_RULE, "default", "y"));
	{
		_cleanup_run_ struct run again = run_text(0, yaml);
		const struct hr_destination_rule *dr = again.set->destination_rules.data[0];

		assert_clean(&again);
		assert_string_equal(dr->meta.annotations.data[1].value, "a\nb\n");
		assert_string_equal(
			hr_object_yaml(again.set, HR_KIND_DESTINATION_RULE, "default", "x"), yaml);
	}
}

static void test_kind_words(void **state)
{
	(void)state;
	assert_int_equal(hr_kind_of("vs"), HR_KIND_VIRTUAL_SERVICE);
	assert_int_equal(hr_kind_of("VirtualService"), HR_KIND_VIRTUAL_SERVICE);
	assert_int_equal(hr_kind_of("destinationRULES"), HR_KIND_DESTINATION_RULE);
	assert_int_equal(hr_kind_of("se"), HR_KIND_SERVICE_ENTRY);
	assert_int_equal(hr_kind_of("we"), HR_KIND_WORKLOAD_ENTRY);
	assert_int_equal(hr_kind_of("svc"), HR_KIND_SERVICE);
	assert_int_equal(hr_kind_of("nonsense"), HR_KIND_INVALID);
	assert_string_equal(hr_kind_name(HR_KIND_ENDPOINT_SLICE), "EndpointSlice");
}

/* A reader of `check -o json` sorts by object: kinds that are not read have a name too. */
static void test_findings_name_their_object(void **state)
{
	_cleanup_run_ struct run r =
		run_text(0, "apiVersion: networking.istio.io/v1\nkind: Gateway\n"
			    "metadata: {name: edge, namespace: red}\n---\n"
			    "apiVersion: networking.istio.io/v2\nkind: VirtualService\n"
			    "metadata: {name: x}\n---\n"
			    "apiVersion: apps/v1\nkind: Deployment\n");
	const struct hr_diag *d = r.diags->list.data;

	(void)state;
	assert_int_equal(r.diags->list.len, 3);
	assert_string_equal(d[0].kind, "Gateway");
	assert_string_equal(d[0].ns, "red");
	assert_string_equal(d[0].name, "edge");
	assert_string_equal(d[1].kind, "VirtualService");
	assert_string_equal(d[1].name, "x");
	assert_string_equal(d[2].kind, "Deployment");
	assert_null(d[2].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_virtual_service_in_full),
		cmocka_unit_test(test_virtual_service_actions),
		cmocka_unit_test(test_destination_rule_in_full),
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_kubernetes_kinds),
		cmocka_unit_test(test_endpoints_without_any),
		cmocka_unit_test(test_same_object_in_every_version),
		cmocka_unit_test(test_lists_and_json),
		cmocka_unit_test(test_one_bad_item_of_a_list),
		cmocka_unit_test(test_sets_are_in_order),
		cmocka_unit_test(test_object_comes_back_as_yaml),
		cmocka_unit_test(test_kind_words),
		cmocka_unit_test(test_findings_name_their_object),
	};

	return cmocka_run_group_tests_name("model/decode", tests, NULL, NULL);
}
