#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What one change of endpoints costs beside 10,000 others: `bench/endpoints.py` (root).

1,000 services of 10 endpoints each, every endpoint with its Pod. One EndpointSlice after the other gets an endpoint
more or one less, or a Pod of a service without slices gets or loses readiness, by control `apply`, or by a file of the
watched directory. The times are what a client waits, with the disk; by file: with the 50 ms in which a directory has to
be quiet. "agent CPU" is what all threads of the agent took for a change (schedstat), less what they take idle.

  bench/endpoints.py [--changes N] [--services N] [--each N] [--datapath auto|agent] [--dir DIR]
"""
import argparse
import json
import os
import random
import shutil
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "tests", "lib"))
import mesh  # noqa: E402
from agent import Agent  # noqa: E402
from topo import exit_on_signals  # noqa: E402


def ip(s, k):
    return f"10.{100 + s // 250}.{s % 250}.{k + 1}"


def slice_of(s, n):
    return mesh.slice_(f"svc{s}", {"http": 8080}, [(ip(s, k), f"svc{s}-{k}") for k in range(n)])


def pod_of(s, k, ready=True):
    return mesh.pod(f"svc{s}-{k}", [ip(s, k)], {"app": f"svc{s}", "version": "v1"}, ready=ready)


def cpu_ms(pid):
    return sum(int(open(f"/proc/{pid}/task/{t}/schedstat").read().split()[0]) for t in os.listdir(f"/proc/{pid}/task")) / 1e6


def rss_mb(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024


class Control:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.lines = self.sock.makefile("r")

    def apply(self, obj):
        request = {"v": 1, "op": "apply", "files": [{"name": "change.yaml", "text": mesh.to_yaml([obj])}]}
        text = (json.dumps(request) + "\n").encode()
        asked = time.monotonic()
        self.sock.sendall(text)
        answer = json.loads(self.lines.readline())
        took = time.monotonic() - asked
        if not answer["ok"]:
            raise SystemExit(f"endpoints: {answer}")
        return 1000 * took

    def watch(self):
        self.sock.sendall(b'{"v":1,"op":"watch","kind":"EndpointSlice"}\n')
        self.lines.readline()

    def told(self):
        """Until the next change is in effect."""
        self.lines.readline()


def row(title, agent, n, change):
    pid, waits = agent.proc.pid, []
    before = cpu_ms(pid)
    start = time.monotonic()
    for i in range(n):
        waits.append(change(i))
    spent = cpu_ms(pid) - before
    idle_from, idle = time.monotonic(), cpu_ms(pid)
    time.sleep(1)
    spent -= (cpu_ms(pid) - idle) / (time.monotonic() - idle_from) * (idle_from - start)
    waits.sort()
    q = [waits[min(n - 1, int(p * n))] for p in (0.5, 0.9, 0.99, 1)]
    print(f"  {title:34} p50 {q[0]:8.2f}   p90 {q[1]:8.2f}   p99 {q[2]:8.2f}   max {q[3]:8.2f} ms   agent CPU {spent / n:7.2f} ms"
          f"   ({n} changes)", flush=True)


def by_file(agent, control, name, obj):
    asked = time.monotonic()
    agent.write(name, mesh.to_yaml([obj]), wait=False)
    control.told()
    return 1000 * (time.monotonic() - asked)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--changes", type=int, default=200)
    p.add_argument("--services", type=int, default=1000)
    p.add_argument("--each", type=int, default=10)
    p.add_argument("--datapath", default="auto")
    p.add_argument("--dir", help="where the agent keeps its files; /dev/shm: without a disk")
    args = p.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("endpoints: needs root (BPF)")
    exit_on_signals()
    work, agent, random_ = tempfile.mkdtemp(prefix="headrace-endpoints-", dir=args.dir), None, random.Random(5)
    try:
        agent = Agent(work, datapath=args.datapath, args=["--metrics", "off"])
        n, k = args.services, args.each
        agent.write("services.yaml", mesh.to_yaml([mesh.service(f"svc{s}", [f"10.96.{s // 250}.{s % 250 + 1}"], {"http": 8080},
                                                                 {"app": f"svc{s}"})
                                                   for s in range(n)]), wait=False)
        agent.write("pods.yaml", mesh.to_yaml([pod_of(s, j) for s in range(1, n) for j in range(k)]), wait=False)
        files = max(1, n // 10)
        for s in range(n - files, n):
            agent.write(f"slice{s}.yaml", mesh.to_yaml([slice_of(s, k)]), wait=False)
        agent.start(wait=60)
        control = Control(agent.socket)
        agent.ctl("apply", "-f", "-", stdin=mesh.to_yaml(
            [pod_of(0, j) for j in range(k)] + [slice_of(s, k) for s in range(1, n - files)]), timeout=60)
        time.sleep(3)
        print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, data path {agent.status()['datapath']['mode']}, {n} services, "
              f"{n * k} endpoints; RssAnon {rss_mb(agent.proc.pid):.1f} MB")
        one = lambda: random_.randrange(1, n - files)  # noqa: E731
        row("EndpointSlice by apply", agent, args.changes, lambda i: control.apply(slice_of(one(), k - i % 2)))
        row("Pod by apply", agent, args.changes, lambda i: control.apply(pod_of(0, i // 2 % k, ready=i % 2 == 1)))
        control.watch()
        row("EndpointSlice by file", agent, max(10, args.changes // 4),
            lambda i: by_file(agent, control, f"slice{n - 1}.yaml", slice_of(n - 1, k - 1 + i % 2)))
        time.sleep(3)
        print(f"  RssAnon afterwards {rss_mb(agent.proc.pid):.1f} MB")
    finally:
        if agent and agent.alive():
            agent.stop()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
