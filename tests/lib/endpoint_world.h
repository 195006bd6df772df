/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A world whose endpoints change at random, for tests of hr_plan_change and of what comes after it:
 *
 *	web    two ports, IPv4 and IPv6, subsets, outliers and localities, a canary, slices
 *	picky  web's Pods too, by selector, without slices
 *	head   headless: DNS answers follow its endpoints
 *	near   PreferClose, Maglev
 *	mine   internalTrafficPolicy Local
 *	told   failoverPriority by the clients' labels: its views take a build
 *	ext    ServiceEntry that selects Pods and WorkloadEntries
 *
 * Clients of another namespace see another DestinationRule.
 */
#pragma once

#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cleanup.h"
#include "plan/plan.h"

static const char world_base[] =
	"apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {topology.kubernetes.io/region: "
	"r1, "
	"topology.kubernetes.io/zone: z1}}\n---\n"
	"apiVersion: v1\nkind: Node\nmetadata: {name: n2, labels: {topology.kubernetes.io/region: "
	"r1, "
	"topology.kubernetes.io/zone: z2}}\n---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
	"spec: {clusterIP: 10.9.0.1, clusterIPs: [10.9.0.1, 'fd00::9'], selector: {app: web},\n"
	"  ports: [{name: http, port: 80}, {name: tcp-b, port: 81}]}\n---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {name: picky}\n"
	"spec: {clusterIP: 10.9.0.2, selector: {app: web, version: v1},\n"
	"  ports: [{name: http, port: 80, targetPort: named}]}\n---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {name: head}\n"
	"spec: {clusterIP: None, ports: [{name: http, port: 80}]}\n---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {name: near}\n"
	"spec: {clusterIP: 10.9.0.3, trafficDistribution: PreferClose,\n"
	"  ports: [{name: http, port: 80}]}\n---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {name: mine}\n"
	"spec: {clusterIP: 10.9.0.4, internalTrafficPolicy: Local, selector: {app: other},\n"
	"  ports: [{name: http, port: 80}]}\n---\n"
	"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: ext}\n"
	"spec: {hosts: [ext.example.org], resolution: STATIC, workloadSelector: {labels: {app: "
	"vm}},\n"
	"  ports: [{name: http, number: 80, protocol: HTTP}]}\n---\n"
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web}\n"
	"spec: {host: web, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}},\n"
	"  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2},\n"
	"    trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}]}\n---\n"
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web, "
	"namespace: "
	"away}\nspec: {host: web.default.svc.cluster.local, subsets: [{name: v2, labels: {version: "
	"v1}}]}\n---\n"
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: near}\n"
	"spec: {host: near, trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-a,\n"
	"  maglev: {tableSize: 101}}}}}\n---\n"
	"apiVersion: v1\nkind: Service\nmetadata: {name: told}\n"
	"spec: {clusterIP: 10.9.0.5, selector: {app: other}, ports: [{name: http, port: "
	"80}]}\n---\n"
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: told}\n"
	"spec: {host: told, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3},\n"
	"  loadBalancer: {localityLbSetting: {failoverPriority: [version]}}}}\n---\n"
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\n"
	"spec:\n  hosts: [web, web.example.org]\n  http:\n"
	"  - match: [{headers: {x-v2: {exact: '1'}}}]\n    route: [{destination: {host: web, "
	"subset: "
	"v2}}]\n"
	"  - route:\n    - {destination: {host: web, subset: v1}, weight: 90}\n"
	"    - {destination: {host: web, subset: v2}, weight: 10}\n---\n"
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: mine}\n"
	"spec: {hosts: [mine], http: [{route: [{destination: {host: near}}]}]}\n";

static inline const char *world_pick(const char *const *words, size_t n)
{
	return words[(size_t)rand() % n];
}
#define WORLD_ONE(...)                                 \
	world_pick((const char *const[]){__VA_ARGS__}, \
		   HR_ARRAY_SIZE(((const char *const[]){__VA_ARGS__})))

static inline void write_endpoints(struct hr_strbuf *out, bool v6)
{
	int n = rand() % 6;

	for (int i = 0; i < n; i++) {
		hr_sb_printf(out,
			     "- {addresses: ['%s%d'], conditions: {ready: %s, serving: %s, "
			     "terminating: %s}",
			     v6 ? "fd00::" : "10.0.0.", 1 + rand() % 9,
			     WORLD_ONE("true", "true", "false"), WORLD_ONE("true", "false"),
			     WORLD_ONE("false", "false", "true"));
		if (rand() % 2)
			hr_sb_printf(out, ", targetRef: {kind: Pod, name: p%d}", rand() % 6);
		if (rand() % 3 == 0)
			hr_sb_printf(out, ", nodeName: %s", WORLD_ONE("n1", "n2", "n3"));
		if (rand() % 3 == 0)
			hr_sb_printf(out, ", zone: %s", WORLD_ONE("z1", "z2"));
		hr_sb_add(out, "}\n");
	}
	if (!n)
		out->len -= 1, hr_sb_add(out, " []\n");
}

static inline void write_slice(struct hr_strbuf *out, int i)
{
	bool v6 = rand() % 4 == 0;

	hr_sb_printf(out,
		     "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s%d, "
		     "labels: {kubernetes.io/service-name: %s}}\naddressType: %s\n"
		     "ports: [{name: http, port: %s}, {name: tcp-b, port: 8081}]\nendpoints:\n",
		     i, WORLD_ONE("web", "web", "head", "near", "mine", "nobody"),
		     v6 ? "IPv6" : "IPv4", WORLD_ONE("8080", "8080", "9090"));
	write_endpoints(out, v6);
}

static inline void write_old_endpoints(struct hr_strbuf *out, int i)
{
	int n = rand() % 3;

	hr_sb_printf(out, "apiVersion: v1\nkind: Endpoints\nmetadata: {name: %s}\nsubsets:%s\n",
		     i ? "near" : "head", n ? "" : " []");
	for (int k = 0; k < n; k++)
		hr_sb_printf(
			out,
			"- {addresses: [{ip: 10.0.1.%d}], notReadyAddresses: [{ip: 10.0.2.%d}], "
			"ports: [{name: http, port: 80}]}\n",
			k + rand() % 2, k);
}

static inline void write_pod(struct hr_strbuf *out, int i)
{
	hr_sb_printf(
		out,
		"apiVersion: v1\nkind: Pod\nmetadata: {name: p%d, labels: {app: %s, version: %s", i,
		WORLD_ONE("web", "web", "other", "vm"), WORLD_ONE("v1", "v2"));
	if (rand() % 4 == 0)
		hr_sb_printf(out, ", istio-locality: %s", WORLD_ONE("r1.z1", "r1.z2.s", "r2"));
	hr_sb_add(out, "}}\n");
	hr_sb_printf(
		out,
		"spec: {nodeName: %s, containers: [{name: c, ports: [{name: named, containerPort: "
		"%s}]}]}\nstatus: {phase: Running, podIP: 10.0.0.%d, conditions: [{type: Ready, "
		"status: '%s'}]%s}\n",
		WORLD_ONE("n1", "n2"), WORLD_ONE("8080", "8088"), 1 + rand() % 9,
		WORLD_ONE("True", "True", "False"),
		rand() % 4 ? "" : ", podIPs: [{ip: 10.0.0.7}, {ip: 'fd00::7'}]");
}

static inline void write_entry(struct hr_strbuf *out, int i)
{
	hr_sb_printf(
		out,
		"apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: w%d}\n"
		"spec: {address: '%s%d', labels: {app: %s, version: v1}, weight: %s, locality: "
		"%s}\n",
		i, WORLD_ONE("10.0.3.", "fd00:3::"), 1 + rand() % 3, WORLD_ONE("vm", "vm", "web"),
		WORLD_ONE("1", "3"), WORLD_ONE("r1/z1", "r1/z2"));
}

/* ---- the world: a place for each object that may be there ---- */

static const struct world_kind {
	enum hr_kind kind;
	const char *letter; /* of names; NULL: names of services */
	int n;
	void (*write)(struct hr_strbuf *out, int i);
} world_kinds[] = {{HR_KIND_ENDPOINT_SLICE, "s", 6, write_slice},
		   {HR_KIND_ENDPOINTS, NULL, 2, write_old_endpoints},
		   {HR_KIND_POD, "p", 6, write_pod},
		   {HR_KIND_WORKLOAD_ENTRY, "w", 3, write_entry}};

#define WORLD_PLACES 17
struct world {
	struct world_place {
		enum hr_kind kind;
		char name[16];
		char *yaml; /* NULL: it is not there */
		int index;
		const struct world_kind *k;
	} at[WORLD_PLACES];
};

static inline void world_init(struct world *w)
{
	int n = 0;

	for (size_t k = 0; k < HR_ARRAY_SIZE(world_kinds); k++)
		for (int i = 0; i < world_kinds[k].n; i++, n++) {
			w->at[n] = (struct world_place){
				.kind = world_kinds[k].kind, .index = i, .k = &world_kinds[k]};
			if (world_kinds[k].letter)
				snprintf(w->at[n].name, sizeof(w->at[n].name), "%s%d",
					 world_kinds[k].letter, i);
			else
				strcpy(w->at[n].name, i ? "near" : "head");
		}
	assert_int_equal(n, WORLD_PLACES);
}

static inline void world_draw(struct world_place *p)
{
	struct hr_strbuf text = {};

	free(p->yaml);
	p->yaml = NULL;
	if (rand() % 4 == 0)
		return;
	p->k->write(&text, p->index);
	p->yaml = text.data;
}

static inline void world_free(struct world *w)
{
	for (int i = 0; i < WORLD_PLACES; i++)
		free(w->at[i].yaml);
}

/* All objects. */
static inline void world_text(const struct world *w, struct hr_strbuf *out)
{
	hr_sb_add(out, world_base);
	for (int i = 0; i < WORLD_PLACES; i++)
		if (w->at[i].yaml)
			hr_sb_printf(out, "---\n%s", w->at[i].yaml);
}

/* ---- one change ---- */

/* NULL: it takes a build (clients that endpoints' labels tell apart). */
static inline struct hr_plan *world_change(const struct hr_plan *from, struct world *w,
					   struct hr_plan_changes *what)
{
	_cleanup_diags_ struct hr_diags *diags = hr_diags_new();
	struct hr_decoder *d = hr_decoder_into(hr_plan_arena(from), 0, diags);
	struct hr_object_key gone[4];
	struct hr_objects *put;
	struct hr_plan *to = NULL;
	size_t n_gone = 0;
	bool drawn[WORLD_PLACES] = {};
	int r;

	for (int n = 1 + rand() % 3; n--;) {
		int i = rand() % WORLD_PLACES;

		if (drawn[i])
			continue;
		drawn[i] = true;
		if (w->at[i].yaml)
			gone[n_gone++] =
				(struct hr_object_key){w->at[i].kind, "default", w->at[i].name};
		world_draw(&w->at[i]);
		if (w->at[i].yaml)
			hr_decode_text(d, "t.yaml", w->at[i].yaml, strlen(w->at[i].yaml));
	}
	put = hr_decoder_finish(d);
	assert_int_equal(diags->errors, 0);
	r = hr_plan_change(&to, from, gone, n_gone, put, diags, what);
	assert_true(r == 0 || r == -EOPNOTSUPP);
	assert_true((r == 0) == (to != NULL));
	return to;
}
