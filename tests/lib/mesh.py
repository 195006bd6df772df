# SPDX-License-Identifier: Apache-2.0
"""Istio and Kubernetes objects as Python dicts, and their YAML."""
import json


def emit(value, indent=0):
    """Block YAML of dicts, lists and scalars; strings are quoted as JSON does (which YAML reads)."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        out = []
        for k, v in value.items():
            key = k if k.replace("-", "").replace("_", "").isalnum() else json.dumps(k)
            if isinstance(v, (dict, list)) and v:
                out.append(f"{pad}{key}:\n{emit(v, indent + 1)}")
            else:
                out.append(f"{pad}{key}: {emit(v)}")
        return "\n".join(out)
    if isinstance(value, list) and value:
        out = []
        for v in value:
            if isinstance(v, (dict, list)) and v:
                out.append(f"{pad}- {emit(v, indent + 1).lstrip()}")
            else:
                out.append(f"{pad}- {emit(v)}")
        return "\n".join(out)
    return json.dumps(value)


def to_yaml(objects):
    return "---\n".join(emit(o) + "\n" for o in objects) or "# no objects\n"


def _object(api, kind, name, ns, labels=None, **rest):
    meta = {"name": name, "namespace": ns}
    if labels:
        meta["labels"] = labels
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def service(name, vips, ports, selector=None, ns="default"):
    """ports: {name: number} or {name: (number, targetPort)}, "" is without a name; vips: [] is headless."""
    rows = []
    for n, p in ports.items():
        number, target = p if isinstance(p, tuple) else (p, p)
        rows.append({**({"name": n} if n else {}), "port": number, "targetPort": target, "protocol": "TCP"})
    spec = {"clusterIP": vips[0] if vips else "None", "clusterIPs": vips or ["None"], "ports": rows}
    if selector:
        spec["selector"] = selector
    return _object("v1", "Service", name, ns, spec=spec)


def pod(name, ips, labels, ns="default", ready=True):
    return _object("v1", "Pod", name, ns, labels, status={
        "phase": "Running", "podIP": ips[0], "podIPs": [{"ip": i} for i in ips],
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]})


def slice_(svc, ports, endpoints, ns="default", family="IPv4"):
    """endpoints: [(ip, pod name or None)]."""
    rows = []
    for ip, pod_name in endpoints:
        row = {"addresses": [ip], "conditions": {"ready": True}}
        if pod_name:
            row["targetRef"] = {"kind": "Pod", "name": pod_name, "namespace": ns}
        rows.append(row)
    return _object("discovery.k8s.io/v1", "EndpointSlice", f"{svc}-{family.lower()}", ns,
                   {"kubernetes.io/service-name": svc}, addressType=family, endpoints=rows,
                   ports=[{"name": n, "port": p, "protocol": "TCP"} for n, p in ports.items()])


def dr(host, subsets=None, policy=None, ns="default", name=None):
    """subsets: {name: labels} or {name: (labels, trafficPolicy)}."""
    spec = {"host": host}
    if policy:
        spec["trafficPolicy"] = policy
    if subsets:
        rows = []
        for n, s in subsets.items():
            labels, tp = s if isinstance(s, tuple) else (s, None)
            rows.append({"name": n, "labels": labels, **({"trafficPolicy": tp} if tp else {})})
        spec["subsets"] = rows
    return _object("networking.istio.io/v1", "DestinationRule", name or host.split(".")[0], ns, spec=spec)


def dst(host, subset=None, weight=None, port=None):
    d = {"host": host}
    if subset:
        d["subset"] = subset
    if port:
        d["port"] = {"number": port}
    return {"destination": d, **({"weight": weight} if weight is not None else {})}


def rule(route, match=None, name=None, **rest):
    """route: one destination or a list; match: one entry or a list."""
    r = {}
    if name:
        r["name"] = name
    if match:
        r["match"] = match if isinstance(match, list) else [match]
    r["route"] = route if isinstance(route, list) else [route]
    return {**r, **rest}


def vs(name, rules, hosts=None, ns="default", api="v1", **spec):
    return _object(f"networking.istio.io/{api}", "VirtualService", name, ns,
                   spec={"hosts": hosts or [name], **({"http": rules} if rules else {}), **spec})


def service_entry(name, hosts, ports, endpoints=(), addresses=(), resolution="STATIC", ns="default",
                  location="MESH_INTERNAL"):
    """ports: {name: (number, protocol)}; endpoints: [(address, labels)]."""
    spec = {"hosts": hosts, "location": location, "resolution": resolution,
            "ports": [{"name": n, "number": p, "protocol": proto} for n, (p, proto) in ports.items()]}
    if addresses:
        spec["addresses"] = list(addresses)
    if endpoints:
        spec["endpoints"] = [{"address": a, **({"labels": lab} if lab else {})} for a, lab in endpoints]
    return _object("networking.istio.io/v1", "ServiceEntry", name, ns, spec=spec)


def header(name, **how):
    """header("x-canary", exact="true"); header("x-canary") is presence."""
    return {"headers": {name: how or {}}}
