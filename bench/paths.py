# SPDX-License-Identifier: Apache-2.0
"""What does each way from a client to a server cost? HTTP/1, headrace beside direct TCP and other proxies.

    client 10.77.100.1 --+-- bridge --+-- v1 10.77.1.1 nginx, and an Envoy for "envoy x 2"
      nginx, haproxy,    |            +-- v2 10.77.2.1 nginx
      envoy              |            +-- near 10.77.3.1 nginx, captured

"same node": the server is captured too, so bytes skip TCP; "native": the kernel keeps each request on its connection;
"moved": each request goes to another endpoint than the connection's ("moved, same node": to a captured one); "agent": the
same agent after `headrace datapath agent`. "lb ...": the cost of choosing by each policy, all else equal: one endpoint, so
that every request stays native, and the same head; for small requests only.
"""
import mesh
import proxies
import servers
from lab import CPUS, Lab, Load, Row, chosen, ratio, rounds
from mesh import dst, header, rule

VIP, NEAR, BOTH = "10.96.0.10", "10.96.0.11", "10.96.0.12"
SMALL = ("small GET, c=1", "small GET, c=32")
LOADS = [
    Load(SMALL[0], 1),
    Load(SMALL[1], 32),
    Load("new connection each, c=4", 4, headers=("Connection: close",)),
    Load("30 KB download, c=4", 4, "/files/30k"),
    Load("1 MB download, c=4", 4, "/files/1m"),
    Load("1 MB upload, c=4", 4, "/sink", upload=True),
]
LB = {"round robin": {"simple": "ROUND_ROBIN"}, "least request": {"simple": "LEAST_REQUEST"},
      "ring hash": {"consistentHash": {"httpHeaderName": "x-user"}},
      "maglev": {"consistentHash": {"httpHeaderName": "x-user", "maglev": {}}}}
KEY = "x-user: 7d9f3c52-64b1-4a8e-9a55-0c1f4e0b7a21"
V2 = ("x-v2: 1",)
ROWS = [
    Row("direct TCP", f"http://{proxies.SERVER}:8080"),
    Row("nginx proxy", f"http://127.0.0.1:{proxies.NGINX}"),
    Row("haproxy", f"http://127.0.0.1:{proxies.HAPROXY}"),
    Row("envoy", f"http://127.0.0.1:{proxies.ENVOY}"),
    Row("envoy x 2", f"http://127.0.0.1:{proxies.ENVOY_TWO}"),
    Row("headrace same node", f"http://{NEAR}:8080", True, "kernel"),
    Row("headrace native", f"http://{VIP}:8080", True, "kernel"),
    Row("headrace moved", f"http://{VIP}:8080", True, "kernel", V2),
    Row("moved, same node", f"http://{BOTH}:8080", True, "kernel", V2),
    Row("headrace agent", f"http://{VIP}:8080", True, "agent"),
    *[Row(f"lb {name}", f"http://10.96.0.{20 + i}:8080", True, "kernel", (KEY,), SMALL) for i, name in enumerate(LB)],
]
# row, row it is compared with, field, loads -> wanted (issues 4 to 6, DESIGN.md section 4)
WANTED = [
    ("headrace same node", "direct TCP", "rps", ">=", [(SMALL[1], 1.5), (SMALL[0], 1.3), ("30 KB download, c=4", 2.3),
                                                       ("1 MB download, c=4", 1.8), ("1 MB upload, c=4", 1.8),
                                                       ("new connection each, c=4", 0.9)]),
    ("headrace same node", "direct TCP", "cpu", "<=", [(SMALL[1], 1), (SMALL[0], 1)]),
    ("headrace native", "direct TCP", "rps", ">=", [(SMALL[1], 0.92), (SMALL[0], 0.95)]),
    ("headrace moved", "direct TCP", "rps", ">=", [(SMALL[1], 0.7)]),
    ("headrace agent", "nginx proxy", "rps", ">=", [(SMALL[1], 1.2), (SMALL[0], 1.2)]),
    *[(f"lb {name}", "lb round robin", "cpu", "<=", [(SMALL[1], 1.05)]) for name in LB if name != "round robin"],
]


def objects():
    both = {"v1": {"version": "v1"}, "v2": {"version": "v2"}}
    out = [mesh.pod("v1", ["10.77.1.1"], {"app": "reco", "version": "v1", "both": "yes"}),
           mesh.pod("v2", ["10.77.2.1"], {"app": "reco", "version": "v2"}),
           mesh.pod("near", ["10.77.3.1"], {"app": "near", "both": "yes"}),
           mesh.service("reco", [VIP], {"http": 8080}, {"app": "reco"}), mesh.dr("reco", both),
           mesh.vs("reco", [rule(dst("reco", "v2"), header("x-v2")), rule(dst("reco", "v1"))]),
           mesh.service("near", [NEAR], {"http": 8080}, {"app": "near"}), mesh.vs("near", [rule(dst("near"))]),
           mesh.service("both", [BOTH], {"http": 8080}, {"both": "yes"}),
           mesh.dr("both", {"v1": {"version": "v1"}, "near": {"app": "near"}}),
           mesh.vs("both", [rule(dst("both", "near"), header("x-v2")), rule(dst("both", "v1"))])]
    for i, lb in enumerate(LB.values()):
        out += [mesh.service(f"lb{i}", [f"10.96.0.{20 + i}"], {"http": 8080}, {"version": "v1"}),
                mesh.dr(f"lb{i}", policy={"loadBalancer": lb}), mesh.vs(f"lb{i}", [rule(dst(f"lb{i}"))])]
    return out


def build(lab):
    for pod, net in (("v1", 1), ("v2", 2)):
        lab.topo.add(pod, net)
        servers.nginx(lab.topo, pod, pod, lab.dir, workers=CPUS)
    lab.topo.add("near", 3)
    with lab.captured():
        servers.nginx(lab.topo, "near", "near", lab.dir, workers=CPUS)
    lab.add_client()
    proxies.nginx(lab)
    proxies.haproxy(lab)
    with_envoy = proxies.envoy(lab)
    lab.start(objects())
    return with_envoy


def run(args, report):
    with Lab(args, "hrpaths") as lab:
        with_envoy = build(lab)
        rows, loads = chosen(args, "paths", ROWS, LOADS)
        rows = [r for r in rows if (lab.kernel or r.datapath != "kernel") and (with_envoy or not r.name.startswith("envoy"))]
        lab.warm(rows)
        cells, about = rounds(args, "paths", rows, loads, lab.http)
        mid = report.table("paths", rows, loads, cells, about, ("rps", "p50", "p99", "cpu", "kernel"))
        report.say()
        if not with_envoy:
            report.say(proxies.NO_ENVOY)
        if not lab.kernel:
            report.say("no kernel path on this machine: same node, native and moved were not measured")
    words = {"rps": "requests/s", "cpu": "CPU a request"}
    for row, other, field, op, wanted in WANTED:
        for load, limit in wanted:
            report.figure(f"{load}: {row} / {other}, {words[field]}", ratio(mid, load, row, other, field), op, limit)
