#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The same YAML and the same bytes through real Envoy and through headrace, beside each other: what differs?

    c1  sender.py --+-- headrace (kernel path, then agent path), enrolled --+-- srv  recorder.py, 10.77.1.1 is v1,
                    +-- envoy  10.77.50.1, not enrolled                     |        10.77.2.1 is v2
                                                                            +-- notes every request's bytes

  tests/diff/run.py [--datapath kernel|agent]... [--random N] [--seed N] [-v] [--keep] [WORD]...

By hand, as root: it needs an Envoy (ENVOY=/path, or `envoy` in PATH), which Debian does not have. Without one it says
so and ends with 0. A WORD selects cases whose name begins with it. Differences that are meant are in
docs/DIFFERENCES.md and in known.py; any other ends with 1.
"""
import argparse
import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
import compare  # noqa: E402
import envoyconf  # noqa: E402
import hand  # noqa: E402
import known  # noqa: E402
import mesh  # noqa: E402
import rolled  # noqa: E402
import second  # noqa: E402
from agent import Agent, cleanup  # noqa: E402
from cases import Book  # noqa: E402
from servers import PYTHON  # noqa: E402
from topo import SLOW, Topology, exit_on_signals, spawn, stop  # noqa: E402

ENVOY_AT = "10.77.50.1"


class World:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="hrdiff-")
        self.topo = Topology("diff")
        self.topo.add("srv", 1, ["10.77.2.1/16"])
        self.topo.add("envoy", 50)
        self.topo.add("c1", 100)
        self.record = os.path.join(self.dir, "record")
        self.start("srv", [PYTHON, os.path.join(HERE, "recorder.py"), self.record, "10.77.1.1=v1", "10.77.2.1=v2", "9000"])
        self.topo.wait_port("srv", 9000)

    def start(self, pod, argv):
        log = open(os.path.join(self.dir, f"{pod}.log"), "a")
        return self.topo.spawn(pod, argv, stdout=log, stderr=log)

    def envoy(self, binary, objects, ports):
        config = envoyconf.bootstrap(objects, os.path.join(self.dir, "envoy-access"))
        path = os.path.join(self.dir, "envoy.json")
        with open(path, "w") as f:
            json.dump(config, f, indent=1)
        proc = self.start("envoy", [binary, "-c", path, "--concurrency", "1", "--base-id", str(os.getpid()),
                                    "--log-level", "warn", "--file-flush-interval-msec", "100"])
        deadline = time.monotonic() + 20 * SLOW
        for port in ports:
            while True:
                try:
                    self.topo.wait_port("envoy", port, 0.2)
                    break
                except RuntimeError:
                    if proc.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError("envoy: " + open(os.path.join(self.dir, "envoy.log")).read()[-3000:]) from None

    def send(self, cases, agent=None):
        argv = [PYTHON, os.path.join(HERE, "sender.py"), "24"]
        argv = agent.exec_argv(self.topo, "c1", argv) if agent else self.topo.cmd("c1", argv)
        done = subprocess.run(argv, input=json.dumps(cases), text=True, capture_output=True, timeout=600)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return json.loads(done.stdout)

    def records(self):
        by_id = collections.defaultdict(list)
        for line in open(self.record):
            row = json.loads(line)
            by_id[row["id"]].append(row)
        return by_id


def outcome(case, ids, got, records):
    """All that is compared of one case."""
    ident = [(n, i) for n, i in enumerate(ids)]
    end = "ended" if got["end"] in ("closed", "reset") else got["end"]  # which one, is timing
    out = {"end": end, "rest": got["rest"], "interim": got["interim"], "answers": [], "server": {}}
    for n, a in enumerate(got["answers"]):
        out["answers"].append(compare.answer(a, ids[min(n, len(ids) - 1)] if ids else "\0", a["method"]))
    for n, i in ident:
        out["server"][str(n)] = compare.server_side(records.get(i, []), i)
    return out


def run_through(world, book, cases, proxy, agent=None):
    sent = {c.name: c.of(proxy, book.services[c.service] if agent else ENVOY_AT) for c in cases}
    got = world.send([s for s, _ in sent.values()], agent)
    time.sleep(0.5)
    return {c.name: (sent[c.name][1], got[c.name]) for c in cases}


def log_rows(path, names):
    """{service: sorted [(status, flags)]} of an access log."""
    rows = collections.defaultdict(list)
    if os.path.exists(path):
        for line in open(path, errors="replace"):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            name = row.get("id") or row.get("host") or ""
            flags = ",".join(sorted((row.get("flags") or "-").split(",")))
            rows[name.split(":")[0].split(".")[0].lower()].append((int(row["status"] or 0), flags))
    return {n: sorted(rows[n], key=repr) for n in names}


def headrace(world, book, cases, datapath, words):
    agent = Agent(os.path.join(world.dir, datapath), datapath, ["--outbound", "registry-only", "--access-log",
                  os.path.join(world.dir, f"{datapath}-access"), "--access-log-sample", "1"])
    agent.write("mesh.yaml", mesh.to_yaml(book.objects), wait=False)
    try:
        agent.start()
        got = run_through(world, book, cases, datapath, agent)
        if datapath == "agent":  # who carries HTTP/2 on both paths
            got = got, second.run_all(world, book, agent, datapath, words)
        else:
            got = got, {}
        status = agent.status()
        print(f"{datapath}: requests {json.dumps(status.get('requests'))[:300]}", flush=True)
        return got
    finally:
        if agent.alive():
            agent.stop()
        agent.release()
        cleanup()


def show(name, rows, verbose):
    print(f"\n{name}")
    for where, a, b in rows:
        width = 4000 if verbose else 300
        print(f"  {where}\n    envoy    {str(a)[:width]}\n    headrace {str(b)[:width]}")


def judge(book, cases, envoy, ours, records, datapath, verbose):
    bad, meant, excused = 0, collections.Counter(), set()
    for c in cases:
        a = outcome(c, *envoy[c.name], records)
        b = outcome(c, *ours[c.name], records)
        rows = []
        compare.align(a, b)
        if c.service in book.any_version:
            compare.free_of_version(a)
            compare.free_of_version(b)
        for d in compare.differences(a, b):
            why = known.reason(c, d, datapath, a, b)
            if why:
                meant[why] += 1
                excused |= {c.service} - ({c.service} if why in known.SMALL else set())
            else:
                rows.append(d)
        if rows:
            bad += 1
            show(f"{datapath} {c.name}: {json.dumps(c.steps)[:2000 if verbose else 300]}", rows, verbose)
    return bad, meant, excused


def judge_second(theirs, ours, datapath, verbose, meant):
    bad = 0
    for name in sorted(ours):
        rows = compare.differences(theirs[name], ours[name])
        why = known.SECOND.get(name)
        if rows and why:
            meant[why] += 1
        elif rows:
            bad += 1
            show(f"{datapath} {name}: ", rows, verbose)
    return bad


def judge_flags(world, book, datapath, used):
    theirs = log_rows(os.path.join(world.dir, "envoy-access"), used)
    mine = log_rows(os.path.join(world.dir, f"{datapath}-access"), used)
    bad = 0
    for n in used:
        a, b = collections.Counter(theirs[n]), collections.Counter(mine[n])
        only_a, only_b = known.flags(a - b, b - a)
        if only_a or only_b:
            bad += 1
            print(f"\n{datapath} {n}: access log (status, flags)\n    envoy    {dict(only_a)}\n    headrace {dict(only_b)}")
    return bad


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("--datapath", action="append", choices=["kernel", "agent"])
    p.add_argument("--random", type=int, default=200, help="how many random services")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("-v", "--verbose", action="store_true")
    p.add_argument("--keep", action="store_true", help="leave the files of the run")
    p.add_argument("words", nargs="*")
    args = p.parse_args()
    binary = os.environ.get("ENVOY") or shutil.which("envoy")
    if not binary:
        print("skipped: no envoy in PATH, and ENVOY does not name one")
        return 0
    exit_on_signals()
    book = Book()
    hand.write(book)
    rolled.write(book, args.random, args.seed)
    second.write(book)
    cases = [c for c in book.cases if not args.words or any(c.name.startswith(w) for w in args.words)]
    used = sorted({c.service for c in cases})
    world = World()
    try:
        second.start(world)
        world.envoy(binary, book.objects, {9000, second.GRPC_PORT})
        theirs = run_through(world, book, cases, "envoy"), second.run_all(world, book, None, "envoy", args.words)
        bad = 0
        for datapath in args.datapath or ["kernel", "agent"]:
            ours = headrace(world, book, cases, datapath, args.words)
            n, meant, excused = judge(book, cases, theirs[0], ours[0], world.records(), datapath, args.verbose)
            n += judge_second(theirs[1], ours[1], datapath, args.verbose, meant)
            m = judge_flags(world, book, datapath, [u for u in used if u not in excused])
            bad += n + m
            print(f"\n{datapath}: {len(cases)} connections beside Envoy, {n} differ, access log of {m} services differs; "
                  f"meant: {dict(meant)}", flush=True)
        return 1 if bad else 0
    finally:
        world.topo.close()
        if args.keep:
            print(f"files: {world.dir}")
        else:
            shutil.rmtree(world.dir, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
