# SPDX-License-Identifier: Apache-2.0
"""What do a route's own words cost in the kernel? The same requests, with five headers, on routes of one service each.

    bare          one rule that matches everything
    rich          five header matches, timeout, retries on 5xx and resets with perTryTimeout
    many          1,000 rules, of which the last matches
    added         five more headers, which the kernel adds
    agent         the same five, and one of the answer, which makes the route the agent's
    mirror        each request is copied to another server
    mirror, none  each is copied to a service without endpoints: all of a mirror but the second request itself

The loads with a number of requests a second leave a part of each processor idle. "as fast as possible" does not: there
each copy is a second request that the same two processors carry for the same client, so its p99 says how they are shared.

"programs" is the time that our BPF programs take for a request, as the kernel counts it (bpf_stats_enabled, which costs
some itself): it does not depend on what else the machine does, as the other columns do. What rich and many cost more is
taken from it, beside the CPU that a request on bare takes in all. "agent" is the CPU time of the agent, for a request;
"copied" the share of the requests that the mirror got: what is missing was dropped, and counted.
"""
import contextlib
import json
import re

import mesh
import servers
from lab import CPUS, Lab, Load, Row, chosen, cpu_of, ratio, rounds
from mesh import dst, rule
from topo import sh

HEADERS = {f"x-h{i}": f"value-{i}" for i in range(5)}
ADDED = {f"x-added-{i}": f"value-{i}" for i in range(5)}
NAMES = {"bare": "bare", "rich": "rich", "many": "many", "added": "added", "agent": "agent", "mirror": "mirror",
         "mirror, none": "nobody"}
VIPS = {service: f"10.96.0.{11 + i}" for i, service in enumerate(NAMES.values())}
ROWS = [Row(name, f"http://{VIPS[service]}:8080", True, "kernel", tuple(f"{k}: {v}" for k, v in HEADERS.items()))
        for name, service in NAMES.items()]
METRICS = "127.0.0.1:15927"
PACED, ONE, FULL = "c=32, about 4,000 req/s", "c=1, as fast as possible", "c=32, as fast as possible"
LOADS = [Load(ONE, 1), Load(FULL, 32), Load(PACED, 32, think=(1, 15))]


def rules(name):
    to = dst(name, "v1")
    if name == "bare":
        return [rule(to)]
    if name == "rich":
        return [rule(to, {"headers": {k: {"exact": v} for k, v in HEADERS.items()}}, timeout="10s",
                     retries={"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx,reset"})]
    if name == "added":
        return [rule(to, headers={"request": {"set": ADDED}})]
    if name == "agent":
        return [rule(to, headers={"request": {"set": ADDED}, "response": {"set": {"x-answer": "1"}}})]
    if name == "mirror":
        return [rule(to, mirror=dst(name, "v2")["destination"])]
    if name == "nobody":
        return [rule(to, mirror={"host": "empty"})]
    return [rule(to, {"uri": {"prefix": f"/never/{i}"}}) for i in range(999)] + [rule(to)]


def objects():
    out = [mesh.pod("v1", ["10.77.1.1"], {"app": "reco", "version": "v1"}),
           mesh.pod("v2", ["10.77.2.1"], {"app": "reco", "version": "v2"}),
           mesh.service("empty", ["10.96.0.30"], {"http": 8080}, {"app": "nobody"})]
    for name, vip in VIPS.items():
        out += [mesh.service(name, [vip], {"http": 8080}, {"app": "reco"}),
                mesh.dr(name, {"v1": {"version": "v1"}, "v2": {"version": "v2"}}), mesh.vs(name, rules(name))]
    return out


def program_seconds():
    """Time spent in the programs of the path so far."""
    rows = json.loads(sh("bpftool", "-j", "prog", "show").stdout)
    return sum(r.get("run_time_ns", 0) for r in rows if r.get("name") in ("route", "reply_c", "shield", "serve")) / 1e9


@contextlib.contextmanager
def program_times():
    path = "/proc/sys/kernel/bpf_stats_enabled"
    before = open(path).read()
    with open(path, "w") as f:
        f.write("1")
    try:
        yield
    finally:
        with open(path, "w") as f:
            f.write(before)


def copies(lab):
    return int(float(re.search(r"^headrace_mirror_requests_total (\S+)", lab.agent.metrics(METRICS), re.M).group(1)))


def measure(lab, row, load):
    programs, agent, copied = program_seconds(), cpu_of(lab.agent.proc.pid), copies(lab)
    cell, disturbed = lab.http(row, load)
    cell["programs"] = (program_seconds() - programs) * 1e6 / cell["requests"]
    cell["agent"] = (cpu_of(lab.agent.proc.pid) - agent) * 1e6 / cell["requests"]
    if row.name == "mirror":
        cell["copied"] = (copies(lab) - copied) / cell["requests"]
    return cell, disturbed


def run(args, report):
    with Lab(args, "hrroutes", options=["--metrics", METRICS]) as lab, program_times():
        for pod, net in (("v1", 1), ("v2", 2)):
            lab.topo.add(pod, net)
            servers.nginx(lab.topo, pod, pod, lab.dir, workers=CPUS)
        lab.add_client()
        lab.start(objects())
        if not lab.kernel:
            return report.say("no kernel path on this machine: not measured")
        rows, loads = chosen(args, "routes", ROWS, LOADS)
        lab.warm(rows)
        cells, about = rounds(args, "routes", rows, loads, lambda row, load: measure(lab, row, load))
    mid = report.table("routes", rows, loads, cells, about, ("rps", "p50", "p99", "cpu", "programs", "agent", "copied", "kernel"))
    report.say()
    bare = mid.get((FULL, "bare"))
    for name, what in (("rich", "5 matches, timeout, retries"), ("many", "1,000 rules")):
        m = mid.get((FULL, name))
        report.figure(f"{what}: cost of a request / bare route, c=32",
                      (bare["cpu"] + m["programs"] - bare["programs"]) / bare["cpu"] if m else None, "<=", 1.05)
    for load in (PACED, ONE, FULL):
        report.figure(f"mirror of 100 %: p99 of the primary / bare, {load}", ratio(mid, load, "mirror", "bare", "p99"), "<=", 1.1)
