#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 through the agent beside nginx grpc_pass: small gRPC-shaped requests of h2load, interleaved, medians.

    client 10.77.100.1 ---- bridge ---- v1 10.77.1.1 nginx :8082 (HTTP/2: a short answer)
      nginx grpc_pass :8004

  bench/grpc.py [--rounds N] [--seconds N] [--connections N] [--streams N]
"""
import argparse
import os
import re
import shutil
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "tests", "lib"))
import mesh  # noqa: E402
import servers  # noqa: E402
from agent import Agent  # noqa: E402
from bench import cpu  # noqa: E402
from topo import Topology, exit_on_signals, sh  # noqa: E402

VIP = "10.96.0.12"
SERVER = """server { listen 8082 http2; location / { default_type application/grpc; add_header grpc-status 0;
    return 200 "hello"; } }"""
PROXY = """upstream g { server 10.77.1.1:8082; keepalive 256; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:8004 http2; location / { grpc_pass grpc://g; } }"""
PATHS = [("direct", "http://10.77.1.1:8082", False), ("nginx grpc_pass", "http://127.0.0.1:8004", False),
         ("headrace agent", f"http://{VIP}:8082", True)]


def measure(topo, agent, path, args):
    """(requests/s, CPU us/request of the whole machine)"""
    argv = ["h2load", f"-c{args.connections}", f"-m{args.streams}", f"-D{args.seconds}", "-H", "content-type: application/grpc",
            "-H", "te: trailers", path[1] + "/t.T/Who"]
    cmd = agent.exec_argv(topo, "client", argv, workload="default/client") if path[2] else topo.cmd("client", argv)
    busy, _, _ = cpu()
    text = sh(*cmd, timeout=args.seconds + 30).stdout
    done, failed = (int(re.search(p, text).group(1)) for p in (r"(\d+) done", r"(\d+) failed"))
    # what was on its way when the time was over counts as failed in some versions of h2load
    if failed > args.connections * args.streams or not done:
        raise SystemExit(f"bench: {path[0]}: failed requests\n{text}")
    rps = float(re.search(r"finished in .*?, ([0-9.]+) req/s", text).group(1))
    return rps, (cpu()[0] - busy) / os.sysconf("SC_CLK_TCK") * 1e6 / max(1, done)


def main():
    p = argparse.ArgumentParser()
    for name, default in (("rounds", 3), ("seconds", 3), ("connections", 8), ("streams", 16)):
        p.add_argument(f"--{name}", type=int, default=default)
    args = p.parse_args()
    exit_on_signals()
    work, topo = tempfile.mkdtemp(prefix="headrace-bench-"), Topology("hrgrpc")
    agent = Agent(work)
    try:
        topo.add("v1", 1)
        servers.nginx(topo, "v1", "v1", work, workers=os.cpu_count(), extra=SERVER)
        topo.add("client", 100)
        servers.nginx(topo, "client", "proxy", work, port=8003, workers=os.cpu_count(), extra=PROXY)
        agent.write("mesh.yaml", mesh.to_yaml([
            mesh.pod("v1", ["10.77.1.1"], {"app": "g"}),
            mesh.service("g", [VIP], {"grpc": 8082}, {"app": "g"})]), False)
        agent.start()
        cells = {}
        for _ in range(args.rounds):
            for path in PATHS:
                cells.setdefault(path[0], []).append(measure(topo, agent, path, args))
        print(f"gRPC-shaped requests, h2load -c{args.connections} -m{args.streams}, median of {args.rounds} rounds of {args.seconds} s")
        base = statistics.median(c[0] for c in cells["nginx grpc_pass"])
        for name, rows in cells.items():
            rps, us = (statistics.median(c[i] for c in rows) for i in (0, 1))
            print(f"  {name:16} {rps:9.0f} req/s  {rps / base:5.2f} x nginx grpc_pass  {us:7.1f} us CPU/request")
    finally:
        if agent.alive():
            agent.stop()
        topo.close()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
