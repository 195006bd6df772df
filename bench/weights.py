# SPDX-License-Identifier: Apache-2.0
"""How long does a change of weights take to be in effect, under load?

    client 10.77.100.1 --+-- bridge --+-- v1 10.77.1.1 nginx
      wrk -c16           |            +-- v2 10.77.2.1 nginx
      one prober         |

All of the weight goes from v1 to v2 and back, many times, by `updateTrafficWeights`, while wrk is running. The prober
sends one request after the other on a connection of its own and notes when. A request that was sent after the write
(after the answer) and still saw the old side is late by that much; a change without one is 0. Rows: with a handful of
objects, and with 10,000 rules loaded beside.
"""
import json
import random
import socket
import statistics
import threading
import time

import mesh
import servers
from agent import Client
from lab import Lab, machine, parse_wrk, quantile
from topo import sh

VIP = "10.96.0.10"
CHANGES, RULES = 200, 10000
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


def measure(lab):
    seconds = CHANGES * (GAP + 0.03) + 2
    argv = lab.agent.exec_argv(lab.topo, "client", ["wrk", "-t1", "-c16", f"-d{seconds:.0f}s", "--latency", f"http://{VIP}:8080/"])
    client, got = Client(lab.agent, lab.topo, "client"), {}
    load = threading.Thread(target=lambda: got.update(parse_wrk(sh(*argv, timeout=seconds + 30).stdout)))
    load.start()
    client.send("probe", host=VIP, port=8080, seconds=seconds - 1, vhost="reco")
    time.sleep(0.5)
    done = change(lab.agent.socket, CHANGES)
    probes = client.receive()
    load.join()
    client.close()
    bad = sum(v not in ("v1", "v2") for _, _, v in probes)
    return done, probes, got, bad


def row(report, title, lab):
    """p99 of how late a request was after the write, ms, and how many requests failed."""
    done, probes, load, bad = measure(lab)
    failed = load["errors"] + load["bad"] + bad
    late = lateness(done, probes, 1)
    report.say(f"{title}: {len(done)} changes, {len(probes)} probes, {load['requests']} requests of wrk at {load['rps']:.0f}/s; "
               f"failed: {failed}")
    for what, values in (("late after the write", late), ("late after the answer", lateness(done, probes, 2)),
                         ("asked to written", [1000 * (d[1] - d[0]) for d in done]),
                         ("asked to answered (disk)", [1000 * (d[2] - d[0]) for d in done])):
        p50, p99, most = (quantile(sorted(values), q) for q in (0.5, 0.99, 1))
        report.say(f"  {what:26} p50 {p50:8.3f} ms   p99 {p99:8.3f} ms   max {most:8.3f} ms   ({len(values)} changes)")
    step = statistics.median(b[0] - a[0] for a, b in zip(probes, probes[1:]))
    report.say(f"  (a probe every {1000 * step:.3f} ms)")
    return quantile(sorted(late), 0.99), failed


def run(args, report):
    with Lab(args, "hrweights", options=["--metrics", "off"]) as lab:
        for pod, net in (("v1", 1), ("v2", 2)):
            lab.topo.add(pod, net)
            servers.nginx(lab.topo, pod, pod, lab.dir)
        lab.topo.add("client", 100)
        lab.start(objects())
        lab.agent.ctl("canary create", "reco", "--stable", "v1=100", "--canary", "v2=0", "--timeout", "0s", "--retries", "0")
        report.say(f"{machine()}, data path {lab.mode}")
        few, failed = row(report, "few rules", lab)
        lab.agent.write("rules.yaml", mesh.to_yaml(many_rules(RULES)), timeout=60)
        many, more = row(report, f"{RULES} rules beside", lab)
        report.say()
    report.figure("change of weights: late after the write, p99", few, "<=", 1, " ms")
    report.figure(f"the same, {RULES:,} rules beside", many, "<=", 1, " ms")
    report.figure("requests failed while weights changed", failed + more, "<=", 0, fmt=".0f")
