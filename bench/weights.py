#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How long a change of weights takes to be in effect, under load: `bench/weights.py` (root).

    client 10.77.100.1 --+-- bridge --+-- v1 10.77.1.1 nginx
      wrk -c16           |            +-- v2 10.77.2.1 nginx
      one prober         |
All of the weight goes from v1 to v2 and back, many times, by `updateTrafficWeights`, while wrk is running. The prober
sends one request after the other on a connection of its own and notes when. A request that was sent after the write
(after the answer) and still saw the old side is late by that much; a change without one is 0. Rows: with a handful of
objects, and with 10,000 rules loaded beside.

  bench/weights.py [--changes N] [--rules N]
"""
import argparse
import json
import os
import random
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "tests", "lib"))
import mesh  # noqa: E402
import servers  # noqa: E402
from agent import Agent, Client  # noqa: E402
from topo import Topology, exit_on_signals, sh  # noqa: E402
from world import parse_wrk  # noqa: E402

VIP = "10.96.0.10"
GAP = 0.04  # between two changes


def objects():
    return [mesh.service("reco", [VIP], {"http": 8080}),
            mesh.pod("reco-v1", ["10.77.1.1"], {"app": "reco", "version": "v1"}),
            mesh.pod("reco-v2", ["10.77.2.1"], {"app": "reco", "version": "v2"}),
            mesh.slice_("reco", {"http": 8080}, [("10.77.1.1", "reco-v1"), ("10.77.2.1", "reco-v2")])]


def many_rules(n, per_host=100):
    out = []
    for s in range(n // per_host):
        name = f"other{s}"
        rules = [mesh.rule(mesh.dst(name), {"uri": {"prefix": f"/api/{s}/{r}/"}, "headers": {"x-n": {"exact": str(r)}}})
                 for r in range(per_host - 1)]
        out += [mesh.service(name, [f"10.98.{s}.1"], {"http": 8080}), mesh.slice_(name, {"http": 8080}, [("10.77.1.1", None)]),
                mesh.vs(name, [*rules, mesh.rule(mesh.dst(name))])]
    return out


def change(path, changes):
    """[(asked, written, answered, side that has it all)] in seconds of CLOCK_MONOTONIC."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    lines, out = sock.makefile("r"), []
    for i in range(changes):
        canary = 100 * (i % 2 == 0)
        asked = time.monotonic()
        sock.sendall((json.dumps({"v": 1, "op": "updateTrafficWeights", "service": "reco", "stable": 100 - canary,
                                  "canary": canary}) + "\n").encode())
        answer = json.loads(lines.readline())
        if not answer["ok"]:
            raise SystemExit(f"weights: {answer}")
        out.append((asked, answer["result"]["writtenUs"] / 1e6, time.monotonic(), "v2" if canary else "v1"))
        time.sleep(GAP * random.uniform(0.5, 1.5))
    return out


def lateness(changes, probes, at):
    """Per change, ms: how long after it (changes[i][at]) a request that saw the old side was sent; 0 when none was.
    Requests that were still open when the next change was asked for may have seen that one, and do not count."""
    late, k = [], 0
    for i, c in enumerate(changes):
        end = changes[i + 1][0] if i + 1 < len(changes) else float("inf")
        worst, seen = 0.0, 0
        while k < len(probes) and probes[k][0] < c[at]:
            k += 1
        while k < len(probes) and probes[k][0] < end:
            if probes[k][1] < end:
                seen += 1
                if probes[k][2] != c[3]:
                    worst = probes[k][0] - c[at]
            k += 1
        if seen:
            late.append(1000 * worst)
    return late


def quantiles(values):
    v = sorted(values)
    return tuple(v[min(len(v) - 1, int(q * len(v)))] for q in (0.5, 0.99, 1.0))


def measure(agent, topo, changes):
    seconds = changes * (GAP + 0.03) + 2
    argv = agent.exec_argv(topo, "client", ["wrk", "-t1", "-c16", f"-d{seconds:.0f}s", "--latency", f"http://{VIP}:8080/"])
    client, got = Client(agent, topo, "client"), {}
    load = threading.Thread(target=lambda: got.update(parse_wrk(sh(*argv, timeout=seconds + 30).stdout)))
    load.start()
    client.send("probe", host=VIP, port=8080, seconds=seconds - 1, vhost="reco")
    time.sleep(0.5)
    done = change(agent.socket, changes)
    probes = client.receive()
    load.join()
    client.close()
    bad = sum(v not in ("v1", "v2") for _, _, v in probes)
    return done, probes, got, bad


def row(title, agent, topo, changes):
    done, probes, load, bad = measure(agent, topo, changes)
    print(f"{title}: {len(done)} changes, {len(probes)} probes, {load['requests']} requests of wrk at {load['rps']:.0f}/s; "
          f"failed: {load['errors'] + load['bad']} of wrk, {bad} probes")
    for what, values in (("late after the write", lateness(done, probes, 1)),
                         ("late after the answer", lateness(done, probes, 2)),
                         ("asked to written", [1000 * (d[1] - d[0]) for d in done]),
                         ("asked to answered (disk)", [1000 * (d[2] - d[0]) for d in done])):
        print("  {:26} p50 {:8.3f} ms   p99 {:8.3f} ms   max {:8.3f} ms   ({} changes)".format(
            what, *quantiles(values), len(values)))
    step = statistics.median(b[0] - a[0] for a, b in zip(probes, probes[1:]))
    print(f"  (a probe every {1000 * step:.3f} ms)", flush=True)
    return load["errors"] + load["bad"] + bad


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--changes", type=int, default=200)
    p.add_argument("--rules", type=int, default=10000)
    args = p.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("weights: needs root (network namespaces, BPF)")
    exit_on_signals()
    work, agent, failed = tempfile.mkdtemp(prefix="headrace-weights-"), None, 0
    topo = Topology("hrweights")
    try:
        for pod, net in (("v1", 1), ("v2", 2)):
            topo.add(pod, net)
            servers.nginx(topo, pod, pod, work)
        topo.add("client", 100)
        agent = Agent(work, args=["--metrics", "off"])
        agent.write("mesh.yaml", mesh.to_yaml(objects()), wait=False)
        agent.start()
        agent.ctl("canary create", "reco", "--stable", "v1=100", "--canary", "v2=0", "--timeout", "0s", "--retries", "0")
        print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, data path {agent.status()['datapath']['mode']}")
        failed += row("few rules", agent, topo, args.changes)
        agent.write("rules.yaml", mesh.to_yaml(many_rules(args.rules)), timeout=60)
        failed += row(f"{args.rules} rules beside", agent, topo, args.changes)
    finally:
        if agent and agent.alive():
            agent.stop()
        topo.close()
        shutil.rmtree(work, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
