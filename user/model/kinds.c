// SPDX-License-Identifier: Apache-2.0
/* The kinds of objects: which are read, which are known but not built, which are not ours. */
#include <strings.h>

#include "model/schema_int.h"

#define ISTIO_NETWORKING "networking.istio.io"

#define KIND(id, word, plural_, short_, group_, version_list, message, type, cluster) \
	{.kind = HR_KIND_##id,                                                        \
	 .name = word,                                                                \
	 .plural = plural_,                                                           \
	 .shorts = {short_},                                                          \
	 .group = group_,                                                             \
	 .versions = version_list,                                                    \
	 .msg = &(message),                                                           \
	 .size = sizeof(type),                                                        \
	 .cluster_scoped = cluster}
#define ISTIO(id, word, plural, short_, message, type) \
	KIND(id, word, plural, short_, ISTIO_NETWORKING, ISTIO_VERSIONS, message, type, false)
#define CORE_KIND(id, word, plural, short_, message, type, cluster) \
	KIND(id, word, plural, short_, "", V1, message, type, cluster)

/* clang-format off: initialisers in macro arguments */
#define ISTIO_VERSIONS {"v1", "v1beta1", "v1alpha3"}
#define V1 {"v1"}
/* clang-format on */

const struct hr_kind_row hr_kind_rows[] = {
	ISTIO(VIRTUAL_SERVICE, "VirtualService", "virtualservices", "vs", hr_msg_virtual_service,
	      struct hr_virtual_service),
	ISTIO(DESTINATION_RULE, "DestinationRule", "destinationrules", "dr",
	      hr_msg_destination_rule, struct hr_destination_rule),
	ISTIO(SERVICE_ENTRY, "ServiceEntry", "serviceentries", "se", hr_msg_service_entry,
	      struct hr_service_entry),
	ISTIO(WORKLOAD_ENTRY, "WorkloadEntry", "workloadentries", "we",
	      hr_msg_workload_entry_object, struct hr_workload_entry),
	CORE_KIND(SERVICE, "Service", "services", "svc", hr_msg_service, struct hr_service, false),
	KIND(ENDPOINT_SLICE, "EndpointSlice", "endpointslices", "eps", "discovery.k8s.io", V1,
	     hr_msg_endpoint_slice, struct hr_endpoint_slice, false),
	CORE_KIND(ENDPOINTS, "Endpoints", "endpoints", "ep", hr_msg_endpoints,
		  struct hr_endpoints_object, false),
	CORE_KIND(POD, "Pod", "pods", "po", hr_msg_pod, struct hr_pod, false),
	CORE_KIND(NAMESPACE, "Namespace", "namespaces", "ns", hr_msg_namespace, struct hr_namespace,
		  true),
	CORE_KIND(NODE, "Node", "nodes", "no", hr_msg_node, struct hr_node, true),
	{0}};

#define NOT_BUILT(group, kind) {group, kind, HR_ST_NOT_BUILT}
#define CORE(kind) {"", kind, HR_ST_FOREIGN}

const struct hr_other_kind hr_other_kinds[] = {
	NOT_BUILT(ISTIO_NETWORKING, "Gateway"),
	NOT_BUILT(ISTIO_NETWORKING, "Sidecar"),
	NOT_BUILT(ISTIO_NETWORKING, "EnvoyFilter"),
	NOT_BUILT(ISTIO_NETWORKING, "WorkloadGroup"),
	NOT_BUILT(ISTIO_NETWORKING, "ProxyConfig"),
	NOT_BUILT("security.istio.io", "PeerAuthentication"),
	NOT_BUILT("security.istio.io", "RequestAuthentication"),
	NOT_BUILT("security.istio.io", "AuthorizationPolicy"),
	NOT_BUILT("telemetry.istio.io", "Telemetry"),
	/* what the same files hold beside services; a Secret matters once TLS is built */
	CORE("Secret"),
	CORE("ConfigMap"),
	CORE("ServiceAccount"),
	CORE("PersistentVolume"),
	CORE("PersistentVolumeClaim"),
	CORE("ReplicationController"),
	CORE("ResourceQuota"),
	CORE("LimitRange"),
	CORE("Event"),
	CORE("PodTemplate"),
	CORE("Binding"),
	CORE("ComponentStatus"),
	{NULL, NULL, 0}};

enum hr_kind hr_kind_of(const char *word)
{
	for (const struct hr_kind_row *r = hr_kind_rows; r->kind; r++) {
		if (!strcasecmp(word, r->name) || !strcasecmp(word, r->plural))
			return r->kind;
		for (size_t i = 0; i < 3 && r->shorts[i]; i++)
			if (!strcasecmp(word, r->shorts[i]))
				return r->kind;
	}
	return HR_KIND_INVALID;
}

const char *hr_kind_name(enum hr_kind k)
{
	for (const struct hr_kind_row *r = hr_kind_rows; r->kind; r++)
		if (r->kind == k)
			return r->name;
	return "object";
}
