#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`sudo make bench`: headrace beside direct TCP and other proxies, one table from one interleaved run.

    client 10.77.100.1 --+-- bridge --+-- v1 10.77.1.1 nginx
      nginx proxy :8001  |            +-- v2 10.77.2.1 nginx
      haproxy     :8002  |            +-- near 10.77.3.1 nginx, captured
The proxies run beside the client, as sidecars do. "same node": the server is captured too, so bytes skip TCP;
"native": the kernel keeps each request on its connection; "moved": each request goes to another endpoint than the
connection's ("moved, same node": to a captured one); "agent": the same agent after `headrace datapath agent`. "lb ...": the cost of choosing by each policy,
all else equal: one endpoint, so that every request stays native, and the same head; for small requests only.

  bench/bench.py [--rounds N] [--seconds N] [--only WORD]...      results also in bench/out/

Every round measures all paths one after the other; a cell is the median of the rounds. A measurement before which
the machine was busier than 15 % with nothing of ours running, or that lost more than 5 % to the hypervisor, spoils
its round: the round is repeated (three times at most; then the table says so). Never a timed test.
"""
import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "tests", "lib"))
import mesh  # noqa: E402
import servers  # noqa: E402
from agent import ROOT, Agent, cgroup2_mount  # noqa: E402
from mesh import dst, header, rule  # noqa: E402
from topo import Topology, exit_on_signals, sh  # noqa: E402
from world import parse_wrk  # noqa: E402

VIP, NEAR, BOTH = "10.96.0.10", "10.96.0.11", "10.96.0.12"
DIRECT = "http://10.77.1.1:8080"
PATHS = [  # name, base URL, headers, enrolled, data path of the agent
    ("direct TCP", DIRECT, [], False, None),
    ("nginx proxy", "http://127.0.0.1:8001", [], False, None),
    ("haproxy", "http://127.0.0.1:8002", [], False, None),
    ("headrace same node", f"http://{NEAR}:8080", [], True, "kernel"),
    ("headrace native", f"http://{VIP}:8080", [], True, "kernel"),
    ("headrace moved", f"http://{VIP}:8080", ["x-v2: 1"], True, "kernel"),
    ("moved, same node", f"http://{BOTH}:8080", ["x-v2: 1"], True, "kernel"),
    ("headrace agent", f"http://{VIP}:8080", [], True, "agent"),
]
LB = {"round robin": {"simple": "ROUND_ROBIN"}, "least request": {"simple": "LEAST_REQUEST"},
      "ring hash": {"consistentHash": {"httpHeaderName": "x-user"}},
      "maglev": {"consistentHash": {"httpHeaderName": "x-user", "maglev": {}}}}
KEY = "x-user: 7d9f3c52-64b1-4a8e-9a55-0c1f4e0b7a21"
PATHS += [(f"lb {name}", f"http://10.96.0.{20 + i}:8080", [KEY], True, "kernel") for i, name in enumerate(LB)]
LOADS = [  # title, connections, path, upload, headers
    ("small GET, c=1", 1, "/", False, []),
    ("small GET, c=32", 32, "/", False, []),
    ("new connection each, c=4", 4, "/", False, ["Connection: close"]),
    ("30 KB download, c=4", 4, "/files/30k", False, []),
    ("1 MB download, c=4", 4, "/files/1m", False, []),
    ("1 MB upload, c=4", 4, "/sink", True, []),
]
HAPROXY = """
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
  bind 127.0.0.1:8002
  server s 10.77.1.1:8080
"""
NGINX_PROXY = """
  upstream up {{ server 10.77.1.1:8080; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:8001;
    location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
                 proxy_request_buffering off; proxy_buffering on; }}
  }}
"""


def cpu():
    """(busy, stolen, all) jiffies of the machine."""
    f = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
    idle = f[3] + f[4]
    return sum(f) - idle - f[7], f[7], sum(f)


def others_busy(seconds=0.2):
    b0, _, a0 = cpu()
    time.sleep(seconds)
    b1, _, a1 = cpu()
    return (b1 - b0) / max(1, a1 - a0)


def progress(text):
    if sys.stderr.isatty():
        print("\r" + text.ljust(78) + "\r", end="", file=sys.stderr, flush=True)


class Bench:
    def __init__(self, args):
        self.args = args
        self.dir = tempfile.mkdtemp(prefix="headrace-bench-")
        self.topo = Topology("hrbench")
        self.mode = None
        cpus = os.cpu_count()
        for pod, net in (("v1", 1), ("v2", 2)):
            self.topo.add(pod, net)
            servers.nginx(self.topo, pod, pod, self.dir, workers=cpus)
        self.near = f"{cgroup2_mount()}/{self.topo.prefix}-servers"
        os.mkdir(self.near)
        self.topo.add("near", 3)
        self.topo.cgroup = self.near
        servers.nginx(self.topo, "near", "near", self.dir, workers=cpus)
        self.topo.cgroup = None
        self.topo.add("client", 100)
        servers.nginx(self.topo, "client", "proxy", self.dir, port=8003, workers=cpus, extra=NGINX_PROXY.format())
        with open(f"{self.dir}/haproxy.cfg", "w") as f:
            f.write(HAPROXY.format(cpus=cpus))
        log = open(f"{self.dir}/haproxy.log", "w")
        self.topo.spawn("client", ["/usr/sbin/haproxy", "-db", "-f", f"{self.dir}/haproxy.cfg"], stdout=log, stderr=log)
        self.topo.wait_port("client", 8002)
        with open(f"{self.dir}/upload.lua", "w") as f:
            f.write('wrk.method = "POST"\nwrk.body = string.rep("u", 1048576)\n')
        self.agent = Agent(self.dir)
        with open(os.path.join(self.agent.config, "mesh.yaml"), "w") as f:
            f.write(mesh.to_yaml([
                mesh.pod("v1", ["10.77.1.1"], {"app": "reco", "version": "v1", "both": "yes"}),
                mesh.pod("v2", ["10.77.2.1"], {"app": "reco", "version": "v2"}),
                mesh.service("reco", [VIP], {"http": 8080}, {"app": "reco"}),
                mesh.pod("near", ["10.77.3.1"], {"app": "near", "both": "yes"}),
                mesh.service("near", [NEAR], {"http": 8080}, {"app": "near"}), mesh.vs("near", [rule(dst("near"))]),
                mesh.service("both", [BOTH], {"http": 8080}, {"both": "yes"}),
                mesh.dr("both", {"v1": {"version": "v1"}, "near": {"app": "near"}}),
                mesh.vs("both", [rule(dst("both", "near"), header("x-v2")), rule(dst("both", "v1"))]),
                mesh.dr("reco", {"v1": {"version": "v1"}, "v2": {"version": "v2"}}),
                *[o for i, (name, lb) in enumerate(LB.items()) for o in (
                    mesh.service(f"lb{i}", [f"10.96.0.{20 + i}"], {"http": 8080}, {"version": "v1"}),
                    mesh.dr(f"lb{i}", policy={"loadBalancer": lb}), mesh.vs(f"lb{i}", [rule(dst(f"lb{i}"))]))],
                mesh.vs("reco", [rule(dst("reco", "v2"), header("x-v2")), rule(dst("reco", "v1"))])]))
        self.agent.start()
        self.agent.ctl("attach", "--cgroup", self.near, "--workload", "default/near")
        self.mode = self.agent.status()["datapath"]["mode"]
        self.kernel = self.mode == "kernel"

    def measure(self, path, load):
        """One cell: {rps, p50, p99, cpu, kernel} and whether it was disturbed."""
        _, url, headers, enrolled, datapath = path
        _, conns, target, upload, more = load
        if datapath and datapath != self.mode:
            self.agent.ctl("datapath", datapath)
            self.mode = datapath
            time.sleep(0.3)
        argv = ["wrk", "-t1", f"-c{conns}", f"-d{self.args.seconds}s", "--latency", "--timeout", "10s"]
        argv += [x for h in headers + more for x in ("-H", h)] + (["-s", f"{self.dir}/upload.lua"] if upload else [])
        argv.append(url + target)
        cmd = (self.agent.exec_argv(self.topo, "client", argv, workload="default/client") if enrolled
               else self.topo.cmd("client", argv))
        noise = others_busy()
        before = self.agent.status()["requests"] if enrolled else None
        b0, s0, a0 = cpu()
        out = parse_wrk(sh(*cmd, timeout=self.args.seconds + 30).stdout)
        b1, s1, a1 = cpu()
        if out["errors"] or out["bad"] or not out["requests"]:
            raise SystemExit(f"bench: {path[0]}, {load[0]}: failed requests: {out}")
        hz = os.sysconf("SC_CLK_TCK")
        cell = {"rps": out["rps"], "p50": out["p50"], "p99": out["p99"], "cpu": (b1 - b0) / hz * 1e6 / out["requests"]}
        if enrolled:
            after = self.agent.status()["requests"]
            cell["kernel"] = (after["kernel"] - before["kernel"]) / max(1, after["total"] - before["total"])
        return cell, noise > 0.15 or (s1 - s0) / max(1, a1 - a0) > 0.05

    def run(self):
        cells, spoiled = {}, 0
        paths = [p for p in PATHS if (self.kernel or p[4] != "kernel")
                 and (not self.args.only or p[0] == "direct TCP" or any(w in p[0] for w in self.args.only))]
        done = 0
        while done < self.args.rounds:
            row, disturbed = {}, False
            for load in LOADS:
                for path in paths:
                    if path[0].startswith("lb ") and (load[2] != "/" or load[4]):
                        continue
                    progress(f"round {done + 1} of {self.args.rounds}: {load[0]}, {path[0]}")
                    row[load[0], path[0]], bad = self.measure(path, load)
                    disturbed = disturbed or bad
            if disturbed and spoiled < 3:
                spoiled += 1
                progress("the machine was busy with something else: round repeated")
                continue
            for k, v in row.items():
                cells.setdefault(k, []).append(v)
            done += 1
        progress("")
        return cells, paths, spoiled

    def close(self):
        if self.agent.alive():
            self.agent.stop()
        self.topo.close()
        os.rmdir(self.near)
        shutil.rmtree(self.dir, ignore_errors=True)


def table(cells, paths, args, spoiled):
    mid = {k: {f: statistics.median(c[f] for c in v if c.get(f) is not None) if any(c.get(f) is not None for c in v)
               else None for f in ("rps", "p50", "p99", "cpu", "kernel")} for k, v in cells.items()}
    out = [f"Linux {os.uname().release}, {os.cpu_count()} CPUs, median of {args.rounds} interleaved rounds of {args.seconds} s"
           + (f", {spoiled} rounds repeated (busy machine)" if spoiled else "")]
    for load in LOADS:
        base = mid[load[0], "direct TCP"]
        out.append(f"\n{load[0]:22} {'req/s':>9} {'x':>6} {'p50 us':>8} {'x':>6} {'p99 us':>8} {'x':>6} {'CPU us/req':>11} {'x':>6}  kernel")
        for path in paths:
            if (load[0], path[0]) not in mid:
                continue
            m = mid[load[0], path[0]]
            cols = [f"{m['rps']:9.0f} {m['rps'] / base['rps']:6.2f}"]
            cols += [f"{m[f]:8.0f} {m[f] / base[f]:6.2f}" for f in ("p50", "p99")]
            cols.append(f"{m['cpu']:11.1f} {m['cpu'] / base['cpu']:6.2f}")
            out.append(f"  {path[0]:20} {' '.join(cols)}" + (f"  {m['kernel'] * 100:5.1f} %" if m["kernel"] is not None else ""))
    return "\n".join(out)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=3)
    p.add_argument("--only", action="append")
    args = p.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("bench: needs root (network namespaces, BPF): sudo make bench")
    exit_on_signals()
    bench = Bench(args)
    try:
        cells, paths, spoiled = bench.run()
    finally:
        bench.close()
    text = table(cells, paths, args, spoiled)
    print(text)
    if not bench.kernel:
        print("\nno kernel path on this machine: native and moved not measured")
    out = os.path.join(ROOT, "bench", "out")
    os.makedirs(out, exist_ok=True)
    name = os.path.join(out, time.strftime("%Y%m%d-%H%M%S"))
    with open(name + ".txt", "w") as f:
        f.write(text + "\n")
    with open(name + ".json", "w") as f:
        json.dump({"kernel": os.uname().release, "cpus": os.cpu_count(), "seconds": args.seconds, "repeated": spoiled,
                   "cells": [{"load": k[0], "path": k[1], "rounds": v} for k, v in cells.items()]}, f, indent=1)


if __name__ == "__main__":
    main()
