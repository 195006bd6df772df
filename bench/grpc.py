# SPDX-License-Identifier: Apache-2.0
"""What does gRPC cost through the agent? Small requests of h2load over HTTP/2, beside other proxies.

    client 10.77.100.1 ---- bridge ---- v1 10.77.1.1 nginx :8082 (HTTP/2: a short answer), and an Envoy for "envoy x 2"
      nginx grpc_pass, envoy
"""
import mesh
import proxies
import servers
from lab import CPUS, Lab, Load, Row, chosen, ratio, rounds

VIP = "10.96.0.12"
SERVER = """server { listen 8082 http2;
    location / { default_type application/grpc; add_header grpc-status 0; return 200 "hello"; } }"""
GRPC = ("content-type: application/grpc", "te: trailers")
ROWS = [
    Row("direct", f"http://{proxies.SERVER}:{proxies.PORT_H2}", headers=GRPC),
    Row("nginx grpc_pass", f"http://127.0.0.1:{proxies.NGINX}", headers=GRPC),
    Row("envoy", f"http://127.0.0.1:{proxies.ENVOY}", headers=GRPC),
    Row("envoy x 2", f"http://127.0.0.1:{proxies.ENVOY_TWO}", headers=GRPC),
    Row("headrace agent", f"http://{VIP}:{proxies.PORT_H2}", True, headers=GRPC),
]
LOADS = [Load("c=1, 1 stream", 1, "/t.T/Who", streams=1), Load("c=1, 32 streams", 1, "/t.T/Who", streams=32),
         Load("c=8, 16 streams each", 8, "/t.T/Who", streams=16), Load("c=32, 1 stream each", 32, "/t.T/Who", streams=1)]


def run(args, report):
    with Lab(args, "hrgrpc") as lab:
        lab.topo.add("v1", 1)
        servers.nginx(lab.topo, "v1", "v1", lab.dir, workers=CPUS, extra=SERVER)
        lab.add_client()
        proxies.nginx(lab, h2=True)
        with_envoy = proxies.envoy(lab, h2=True)
        lab.start([mesh.pod("v1", ["10.77.1.1"], {"app": "g"}), mesh.service("g", [VIP], {"grpc": proxies.PORT_H2}, {"app": "g"})])
        rows, loads = chosen(args, "grpc", ROWS, LOADS)
        rows = [r for r in rows if with_envoy or not r.name.startswith("envoy")]
        cells, about = rounds(args, "grpc", rows, loads, lab.http)
    mid = report.table("grpc", rows, loads, cells, about, ("rps", "p50", "p99", "cpu"))
    report.say()
    if not with_envoy:
        report.say(proxies.NO_ENVOY)
    for load in loads:
        report.figure(f"gRPC, {load.title}: headrace agent / nginx grpc_pass, requests/s",
                      ratio(mid, load.title, "headrace agent", "nginx grpc_pass", "rps"), ">=", 1.2)
