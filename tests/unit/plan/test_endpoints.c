// SPDX-License-Identifier: Apache-2.0
/* Which addresses are endpoints of a service, and where they are. */
#include "planof.h"

/* Conditions of an EndpointSlice's endpoints: r ready, s serving and terminating, t terminating
 * only, n not ready. Those that leave are used when nobody is ready (Kubernetes). */
static void test_conditions(void **state)
{
	static const struct {
		const char *conditions, *used;
		uint32_t draining;
	} rows[] = {{"rr", "192.0.2.1:80 192.0.2.2:80", 0},
		    {"rs", "192.0.2.1:80", 1},
		    {"rn", "192.0.2.1:80", 1},
		    {"nr", "192.0.2.2:80", 1},
		    {"ss", "192.0.2.1:80 192.0.2.2:80", 2},
		    {"sn", "192.0.2.1:80", 2},
		    {"st", "192.0.2.1:80", 2},
		    {"nt", "", 2},
		    {"-n", "192.0.2.1:80", 1}}; /* nothing said: ready */

	(void)state;
	for (size_t i = 0; i < HR_ARRAY_SIZE(rows); i++) {
		_cleanup_sb_ struct hr_strbuf text = {0};

		hr_sb_add(&text,
			  "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
			  "spec: {clusterIP: 10.9.0.1, ports: [{name: http, port: 80}]}\n---\n"
			  "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
			  "metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}\n"
			  "addressType: IPv4\nports: [{name: http, port: 80}]\nendpoints:\n");
		for (size_t k = 0; rows[i].conditions[k]; k++) {
			char c = rows[i].conditions[k];

			hr_sb_printf(&text, "- {addresses: [192.0.2.%zu]", k + 1);
			if (c != '-')
				hr_sb_printf(&text,
					     ", conditions: {ready: %s, serving: %s, "
					     "terminating: %s}",
					     c == 'r' ? "true" : "false",
					     c == 'r' || c == 's' ? "true" : "false",
					     c == 's' || c == 't' ? "true" : "false");
			hr_sb_add(&text, "}\n");
		}
		_cleanup_plan_ struct hr_plan *p = plan_of(text.data);
		assert_string_equal(eps_of(p, "outbound|80||web.default.svc.cluster.local"),
				    rows[i].used);
		assert_int_equal(p->clusters.data[0].draining, rows[i].draining);
	}
}

/* Pods behind a selector: ready ones; all but those that leave with publishNotReadyAddresses. */
static void test_pods(void **state)
{
#define POD(n, more)                                                             \
	"apiVersion: v1\nkind: Pod\nmetadata: {name: p" n ", labels: {app: web}" \
	"}\nstatus: {podIP: 192.0.2." n more "}\n---\n"
#define PODS                                                                             \
	POD("1", ", conditions: [{type: Ready, status: 'True'}]")                        \
	POD("2", ", conditions: [{type: Ready, status: 'False'}]")                       \
	"apiVersion: v1\nkind: Pod\nmetadata: {name: p3, labels: {app: web},"            \
	" deletionTimestamp: '2026-01-01T00:00:00Z'}\nstatus: {podIP: 192.0.2.3}\n---\n" \
	"apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"                         \
	"spec: {clusterIP: 10.9.0.1, selector: {app: web}, ports: [{name: http, port: 80}]"
	_cleanup_plan_ struct hr_plan *p = plan_of(PODS "}\n");
	_cleanup_plan_ struct hr_plan *q = plan_of(PODS ", publishNotReadyAddresses: true}\n");
	const char *name = "outbound|80||web.default.svc.cluster.local";

	(void)state;
	assert_string_equal(eps_of(p, name), "192.0.2.1:80");
	assert_string_equal(eps_of(q, name), "192.0.2.1:80 192.0.2.2:80");
}

/* Where an endpoint is: its Pod's Node by labels, new or old; the Pod's own label; what the slice
 * says; a WorkloadEntry's locality. */
static void test_localities(void **state)
{
	_cleanup_plan_ struct hr_plan *p = plan_of(
		"apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: "
		"{topology.kubernetes.io/region:"
		" r1, topology.kubernetes.io/zone: z1, topology.istio.io/subzone: s1}}\n---\n"
		"apiVersion: v1\nkind: Node\nmetadata: {name: n2, labels:"
		" {failure-domain.beta.kubernetes.io/region: r2,"
		" failure-domain.beta.kubernetes.io/zone: z2}}\n---\n"
		"apiVersion: v1\nkind: Pod\nmetadata: {name: p1, labels: {app: web}}\n"
		"spec: {nodeName: n1}\nstatus: {podIP: 192.0.2.1}\n---\n"
		"apiVersion: v1\nkind: Pod\nmetadata: {name: p2, labels: {istio-locality: r3.z3}}\n"
		"spec: {nodeName: n1}\nstatus: {podIP: 192.0.2.2}\n---\n"
		"apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
		"spec: {clusterIP: 10.9.0.1, ports: [{name: http, port: 80}]}\n---\n"
		"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
		"metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}\n"
		"addressType: IPv4\nports: [{name: http, port: 80}]\nendpoints:\n"
		"- {addresses: [192.0.2.1], targetRef: {kind: Pod, name: p1}}\n"
		"- {addresses: [192.0.2.2], targetRef: {kind: Pod, name: p2}}\n"
		"- {addresses: [192.0.2.3], nodeName: n2}\n"
		"- {addresses: [192.0.2.4], zone: z4}\n---\n"
		"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: vm}\n"
		"spec: {hosts: [vm.example.com], addresses: [10.9.0.2], resolution: STATIC,\n"
		" ports: [{number: 80, name: http, protocol: HTTP}],\n"
		" workloadSelector: {labels: {app: vm}}}\n---\n"
		"apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: w}\n"
		"spec: {address: 192.0.2.5, labels: {app: vm}, locality: r5/z5/s5}\n");
	static const char *const want[] = {"r1/z1/s1", "r3/z3", "r2/z2", "/z4", "r5/z5/s5"};

	(void)state;
	assert_int_equal(p->eps.len, 5);
	for (size_t i = 0; i < p->eps.len; i++)
		assert_string_equal(p->eps.data[i].locality, want[p->eps.data[i].addr.ip[15] - 1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_pods),
		cmocka_unit_test(test_localities),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
