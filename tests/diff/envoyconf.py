# SPDX-License-Identifier: Apache-2.0
"""From Istio objects (dicts, as tests/lib/mesh.py makes them) to the configuration of one Envoy.

Written from what istiod does for the outbound side of a sidecar, as far as the cases here need it: one listener for
the port, a virtual host for each Service, its VirtualService's routes, a cluster for each subset. Only Services that
select pods, on one port, in namespace `default`; no istiod, no xDS: a file.
"""

DOMAIN = "default.svc.cluster.local"
HTTP = "type.googleapis.com/envoy.extensions.filters.http"
RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
PREVIOUS_HOSTS = {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}
GRPC = ["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
        "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
        "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"]
REDIRECTS = {301: "MOVED_PERMANENTLY", 302: "FOUND", 303: "SEE_OTHER", 307: "TEMPORARY_REDIRECT",
             308: "PERMANENT_REDIRECT"}


def fqdn(host):
    return host if "." in host else f"{host}.{DOMAIN}"


def seconds(text):
    """A duration as Envoy's JSON wants it."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    unit = next(u for u in units if text.endswith(u) and text[:-len(u)].replace(".", "").isdigit())
    return f"{float(text[:-len(unit)]) * units[unit]:.3f}s"


# ---- matches ----
def string_match(m):
    (kind, value), = m.items()
    return {"safe_regex": {"regex": value}} if kind == "regex" else {kind: value}


def is_presence(m):
    return not m or m.get("regex") == "*"


def header_match(name, m):
    return {"name": name, "present_match": True} if is_presence(m) else {"name": name, "string_match": string_match(m)}


def absent_match(name, m):
    row = {**header_match(name, m), "invert_match": True}
    return row if is_presence(m) else {**row, "treat_missing_header_as_empty": True}


def query_match(name, m):
    return {"name": name, **({"present_match": True} if is_presence(m) else {"string_match": string_match(m)})}


def route_match(m):
    out = {"prefix": "/"}
    uri = m.get("uri")
    if uri:
        (kind, value), = uri.items()
        out = {"exact": lambda: {"path": value}, "prefix": lambda: {"prefix": value},
               "regex": lambda: {"safe_regex": {"regex": value}}}[kind]()
    out["case_sensitive"] = not m.get("ignoreUriCase", False)
    headers = [header_match(k, v) for k, v in m.get("headers", {}).items()]
    headers += [absent_match(k, v) for k, v in m.get("withoutHeaders", {}).items()]
    headers += [header_match(f":{k}", m[k]) for k in ("method", "authority", "scheme") if k in m]
    if headers:
        out["headers"] = headers
    if "queryParams" in m:
        out["query_parameters"] = [query_match(k, v) for k, v in m["queryParams"].items()]
    return out


# ---- actions ----
def cluster_name(destination, port):
    number = destination.get("port", {}).get("number", port)
    return f"outbound|{number}|{destination.get('subset', '')}|{fqdn(destination['host'])}"


def header_ops(headers):
    """Envoy's four lists, and the authority that a set or add of Host asks for."""
    out, authority = {}, None
    for side in ("request", "response"):
        ops, add = headers.get(side, {}), []
        for verb, action in (("set", "OVERWRITE_IF_EXISTS_OR_ADD"), ("add", "APPEND_IF_EXISTS_OR_ADD")):
            for k, v in sorted(ops.get(verb, {}).items()):
                if k.lower() in ("host", ":authority"):
                    authority = authority or (v if side == "request" else None)
                elif not k.startswith(":"):
                    add.append({"header": {"key": k, "value": v}, "append_action": action})
        if add:
            out[f"{side}_headers_to_add"] = add
        gone = [k for k in ops.get("remove", []) if not k.startswith(":") and k.lower() != "host"]
        if gone:
            out[f"{side}_headers_to_remove"] = gone
    return out, authority


def merge(into, ops):
    for k, rows in ops.items():
        into[k] = into.get(k, []) + rows


def retry_policy(r):
    if r is not None and r.get("attempts", 0) <= 0:
        return None
    out = {"num_retries": 2, "retry_on": RETRY_ON, "host_selection_retry_max_attempts": 5,
           "retry_host_predicate": [PREVIOUS_HOSTS]}
    if r is None:
        return out
    out["num_retries"] = r["attempts"]
    if r.get("retryOn"):
        words = [w.strip() for w in r["retryOn"].split(",") if w.strip()]
        codes = [int(w) for w in words if w.isdigit()]
        words = [w for w in words if not w.isdigit()]
        if codes:
            out["retriable_status_codes"] = codes
            words += ["retriable-status-codes"] if "retriable-status-codes" not in words else []
        out["retry_on"] = ",".join(words)
    if "perTryTimeout" in r:
        out["per_try_timeout"] = seconds(r["perTryTimeout"])
    if r.get("retryIgnorePreviousHosts") is False:
        del out["retry_host_predicate"]
    if "backoff" in r:
        out["retry_back_off"] = {"base_interval": seconds(r["backoff"])}
    return out


def percent(p, default=100.0):
    value = default if p is None else p.get("value", 0.0)
    return {"numerator": int(value * 10000), "denominator": "MILLION"}


def redirect(r, port):
    out = {"response_code": REDIRECTS[r.get("redirectCode", 301)]}
    if "authority" in r:
        out["host_redirect"] = r["authority"]
    if "prefixRewrite" in r:  # headrace's reading of %PREFIX()% in Istio's gateway semantics
        out["prefix_rewrite"] = r["prefixRewrite"]
    elif "uri" in r:
        out["path_redirect"] = r["uri"]
    if "scheme" in r:
        out["scheme_redirect"] = r["scheme"]
    number = r.get("port") or (port if r.get("derivePort") == "FROM_REQUEST_PORT" else 0)
    if number and (number, r.get("scheme", "http")) not in ((80, "http"), (443, "https")):
        out["port_redirect"] = number
    return out


def fault(f):
    out = {"@type": f"{HTTP}.fault.v3.HTTPFault"}
    if "delay" in f:
        out["delay"] = {"fixed_delay": seconds(f["delay"]["fixedDelay"]),
                        "percentage": percent(f["delay"].get("percentage"), 0.0)}
    if "abort" in f:
        a = f["abort"]
        out["abort"] = {"percentage": percent(a.get("percentage"), 0.0)}
        if "grpcStatus" in a:
            out["abort"]["grpc_status"] = GRPC.index(a["grpcStatus"])
        else:
            out["abort"]["http_status"] = a["httpStatus"]
    return out


def cors(c):
    out = {"@type": f"{HTTP}.cors.v3.CorsPolicy",
           "filter_enabled": {"default_value": {"numerator": 100}},
           "forward_not_matching_preflights": c.get("unmatchedPreflights") != "IGNORE",
           "allow_origin_string_match": [string_match(m) for m in c.get("allowOrigins", [])]}
    for ours, theirs in (("allowMethods", "allow_methods"), ("allowHeaders", "allow_headers"),
                         ("exposeHeaders", "expose_headers")):
        out[theirs] = ",".join(c.get(ours, []))
    if "maxAge" in c:
        out["max_age"] = str(int(float(seconds(c["maxAge"])[:-1])))
    if "allowCredentials" in c:
        out["allow_credentials"] = c["allowCredentials"]
    return out


def route_action(rule, authority, out, port):
    action = {"timeout": seconds(rule.get("timeout", "0s"))}
    action["max_grpc_timeout"] = action["timeout"]
    rewrite = rule.get("rewrite", {})
    if "uriRegexRewrite" in rewrite:
        action["regex_rewrite"] = {"pattern": {"regex": rewrite["uriRegexRewrite"]["match"]},
                                   "substitution": rewrite["uriRegexRewrite"].get("rewrite", "")}
    elif rewrite.get("uri"):
        action["prefix_rewrite"] = rewrite["uri"]
    authority = rewrite.get("authority") or authority
    mirrors = [(rule["mirror"], rule.get("mirrorPercentage"))] if "mirror" in rule else []
    mirrors += [(m["destination"], m.get("percentage")) for m in rule.get("mirrors", [])]
    policies = [{"cluster": cluster_name(d, port), "runtime_fraction": {"default_value": percent(p)},
                 "disable_shadow_host_suffix_append": True}
                for d, p in mirrors if p is None or p.get("value", 0) > 0]
    if policies:
        action["request_mirror_policies"] = policies
    if len(rule["route"]) == 1:
        d = rule["route"][0]
        action["cluster"] = cluster_name(d["destination"], port)
        ops, own = header_ops(d.get("headers", {}))
        merge(out, ops)
        authority = authority or own
    else:
        rows = []
        for d in rule["route"]:
            if d.get("weight", 0):
                ops, own = header_ops(d.get("headers", {}))
                rows.append({"name": cluster_name(d["destination"], port), "weight": d["weight"], **ops,
                             **({"host_rewrite_literal": own} if own else {})})
        action["weighted_clusters"] = {"clusters": rows}
    if authority:
        action["host_rewrite_literal"] = authority
    policy = retry_policy(rule.get("retries"))
    if policy:
        action["retry_policy"] = policy
    return action


def routes_of(rule, port):
    for m in rule.get("match") or [{}]:
        if m.get("port", port) != port:
            continue
        name = rule.get("name", "")
        out = {"match": route_match(m), "name": f"{name}.{m['name']}" if "name" in m else name}
        ops, authority = header_ops(rule.get("headers", {}))
        merge(out, ops)
        if "redirect" in rule:
            out["redirect"] = redirect(rule["redirect"], port)
        elif "directResponse" in rule:
            body = rule["directResponse"].get("body", {})
            out["direct_response"] = {"status": rule["directResponse"]["status"]}
            if "string" in body:
                out["direct_response"]["body"] = {"inline_string": body["string"]}
            elif "bytes" in body:
                out["direct_response"]["body"] = {"inline_bytes": body["bytes"]}
        else:
            out["route"] = route_action(rule, authority, out, port)
        filters = {}
        if "fault" in rule:
            filters["envoy.filters.http.fault"] = fault(rule["fault"])
        if "corsPolicy" in rule:
            filters["envoy.filters.http.cors"] = cors(rule["corsPolicy"])
        if filters:
            out["typed_per_filter_config"] = filters
        yield out


# ---- hosts and clusters ----
def virtual_host(svc, vs, port):
    name = svc["metadata"]["name"]
    rules = vs["spec"].get("http", []) if vs else [{"route": [{"destination": {"host": name}}]}]
    full = f"{name}.{DOMAIN}"
    return {"name": f"{full}:{port}", "include_request_attempt_count": True,
            "domains": [full, f"{full}.", name, f"{name}.default.svc", f"{name}.default", svc["spec"]["clusterIP"]],
            "routes": [r for rule in rules for r in routes_of(rule, port)]}


def cluster(svc, subset, endpoints, port, policy):
    name = svc["metadata"]["name"]
    pool = policy.get("connectionPool", {})
    out = {"name": f"outbound|{port}|{subset}|{name}.{DOMAIN}", "type": "STATIC", "lb_policy": "LEAST_REQUEST",
           "connect_timeout": seconds(pool.get("tcp", {}).get("connectTimeout", "10s")),
           "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
               {"endpoint": {"address": {"socket_address": {"address": ip, "port_value": p}}}} for ip, p in endpoints]}]},
           "circuit_breakers": {"thresholds": [{
               "max_connections": pool.get("tcp", {}).get("maxConnections", 2**31 - 1),
               "max_pending_requests": pool.get("http", {}).get("http1MaxPendingRequests", 2**31 - 1),
               "max_requests": pool.get("http", {}).get("http2MaxRequests", 2**31 - 1), "max_retries": 2**31 - 1}]}}
    common = {}
    if "maxRequestsPerConnection" in pool.get("http", {}):
        common["max_requests_per_connection"] = pool["http"]["maxRequestsPerConnection"]
    port_name = svc["spec"]["ports"][0].get("name", "")
    kind = "http2_protocol_options" if port_name.startswith(("grpc", "http2")) else "http_protocol_options"
    out["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {kind: {}}, **({"common_http_protocol_options": common} if common else {})}}
    return out


def clusters(svc, rule, pods, port):
    def endpoints(labels):
        want = {**svc["spec"]["selector"], **labels}
        target = svc["spec"]["ports"][0]["targetPort"]
        return [(p["status"]["podIP"], target) for p in pods if want.items() <= p["metadata"]["labels"].items()]
    spec = rule["spec"] if rule else {}
    base = spec.get("trafficPolicy", {})
    yield cluster(svc, "", endpoints({}), port, base)
    for s in spec.get("subsets", []):
        yield cluster(svc, s["name"], endpoints(s["labels"]), port, {**base, **s.get("trafficPolicy", {})})


LOG = {"host": "%REQ(:AUTHORITY)%", "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "method": "%REQ(:METHOD)%",
       "status": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "details": "%RESPONSE_CODE_DETAILS%",
       "id": "%REQ(X-DIFF-ID)%", "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "upstream": "%UPSTREAM_HOST%"}


def connection_manager(hosts, log):
    def filter_(name, kind):
        return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": f"{HTTP}.{name}.v3.{kind}"}}
    return {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "codec_type": "AUTO", "stat_prefix": "outbound", "normalize_path": True, "use_remote_address": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED", "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": "0s", "proxy_100_continue": True, "http_protocol_options": {"accept_http_10": True},
        "access_log": [{"name": "envoy.access_loggers.file", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": log,
            "log_format": {"json_format": LOG}}}],
        "route_config": {"name": "outbound", "ignore_port_in_host_matching": True, "validate_clusters": False,
                         "max_direct_response_body_size_bytes": 1 << 20, "virtual_hosts": hosts},
        "http_filters": [filter_("fault", "HTTPFault"), filter_("cors", "Cors"), filter_("router", "Router")],
    }


def bootstrap(objects, log, listen="0.0.0.0"):
    """The whole file, as a dict. One listener for each port that a Service has."""
    def of(kind, key):
        return {key(o): o for o in objects if o["kind"] == kind}
    services = of("Service", lambda o: o["metadata"]["name"])
    rules = of("DestinationRule", lambda o: o["spec"]["host"])
    virtual = {h: o for o in objects if o["kind"] == "VirtualService" for h in o["spec"]["hosts"]}
    pods = [o for o in objects if o["kind"] == "Pod"]
    hosts, all_clusters = {}, []
    for name, svc in services.items():
        port = svc["spec"]["ports"][0]["port"]
        hosts.setdefault(port, []).append(virtual_host(svc, virtual.get(name), port))
        all_clusters += clusters(svc, rules.get(name), pods, port)
    listeners = []
    for port, rows in hosts.items():
        # outboundTrafficPolicy: REGISTRY_ONLY
        rows.append({"name": "block_all", "domains": ["*"],
                     "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 502}}]})
        listeners.append({"name": f"outbound_{port}", "address": {"socket_address": {"address": listen, "port_value": port}},
                          "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager",
                                                          "typed_config": connection_manager(rows, log)}]}]})
    return {"static_resources": {"listeners": listeners, "clusters": all_clusters}}
