#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a route's own words cost in the kernel: the same requests, with five headers, on routes of one service each.

    bare     one rule that matches everything
    rich     five header matches, timeout, retries on 5xx and resets with perTryTimeout
    many     1,000 rules, of which the last matches
    added    five more headers, which the kernel adds
    agent    the same five, and one of the answer, which makes the route the agent's
    mirror   each request is copied to another server

  bench/routes.py [--rounds N] [--seconds N]

"programs" is the time that our BPF programs take for a request, as the kernel counts it (bpf_stats_enabled, which
costs some itself): it does not depend on what else the machine does, as the other columns do. Wanted: what rich and
many take more is at most 5 % of the CPU of a request on bare, and the p99 of mirror at most 1.1 of bare's.
"""
import argparse
import json
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from bench import Bench, exit_on_signals, mesh, sh  # noqa: E402
from mesh import dst, rule  # noqa: E402

VIPS = {name: f"10.96.0.{11 + i}" for i, name in enumerate(("bare", "rich", "many", "added", "agent", "mirror"))}
HEADERS = {f"x-h{i}": f"value-{i}" for i in range(5)}
ADDED = {f"x-added-{i}": f"value-{i}" for i in range(5)}
LOADS = [("c=1", 1, "/", False, []), ("c=32", 32, "/", False, [])]


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
    return [rule(to, {"uri": {"prefix": f"/never/{i}"}}) for i in range(999)] + [rule(to)]


def objects():
    out = []
    for name, vip in VIPS.items():
        out += [mesh.service(name, [vip], {"http": 8080}, {"app": "reco"}),
                mesh.dr(name, {"v1": {"version": "v1"}, "v2": {"version": "v2"}}), mesh.vs(name, rules(name))]
    return out


def program_ns():
    """Time spent in the programs of the path so far, ns."""
    rows = json.loads(sh("bpftool", "-j", "prog", "show").stdout)
    return sum(r.get("run_time_ns", 0) for r in rows if r.get("name") in ("route", "reply_c", "shield", "serve"))


def stats(on):
    with open("/proc/sys/kernel/bpf_stats_enabled", "w") as f:
        f.write("1" if on else "0")


def measured(b, path, load):
    ns = program_ns()
    before = b.agent.status()["requests"]["total"]
    cell = b.measure(path, load)[0]
    cell["ns"] = (program_ns() - ns) / max(1, b.agent.status()["requests"]["total"] - before)
    return cell


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=int, default=1)
    args = p.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("bench: needs root")
    exit_on_signals()
    b = Bench(args)
    cells = {}
    try:
        stats(True)
        b.agent.write("routes.yaml", mesh.to_yaml(objects()))
        if not b.kernel:
            raise SystemExit("no kernel path on this machine")
        time.sleep(0.5)
        headers = [f"{k}: {v}" for k, v in HEADERS.items()]
        for _ in range(args.rounds):
            for load in LOADS:
                for name, vip in VIPS.items():
                    path = (name, f"http://{vip}:8080", headers, True, "kernel")
                    cells.setdefault((load[0], name), []).append(measured(b, path, load))
    finally:
        stats(False)
        b.close()
    print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, median of {args.rounds} interleaved rounds of {args.seconds} s")
    print(f"{'':12} {'req/s':>9} {'x':>6} {'p99 us':>8} {'x':>6} {'CPU us/req':>11} {'x':>6} {'programs ns':>12}  kernel")
    for load in LOADS:
        mid = {n: {f: statistics.median(c[f] for c in cells[load[0], n]) for f in ("rps", "p99", "cpu", "kernel", "ns")} for n in VIPS}
        for name, m in mid.items():
            print(f"{load[0]:6}{name:6} {m['rps']:9.0f} {m['rps'] / mid['bare']['rps']:6.2f} "
                  f"{m['p99']:8.0f} {m['p99'] / mid['bare']['p99']:6.2f} {m['cpu']:11.1f} "
                  f"{m['cpu'] / mid['bare']['cpu']:6.2f} {m['ns']:12.0f}  {m['kernel'] * 100:5.1f} %")


if __name__ == "__main__":
    main()
