# SPDX-License-Identifier: Apache-2.0
"""What does one change of endpoints cost beside 10,000 others?

1,000 services of 10 endpoints each, every endpoint with its Pod. One EndpointSlice after the other gets an endpoint
more or one less, or a Pod of a service without slices gets or loses readiness, by control `apply`, or by a file of the
watched directory. The times are what a client waits, without a disk (/dev/shm); by file: with the 50 ms in which a
directory has to be quiet. "agent CPU" is what all threads of the agent took for a change, less what they take idle.
"""
import json
import random
import socket
import time

import mesh
from lab import Lab, cpu_of, machine, quantile

SERVICES, EACH, CHANGES = 1000, 10, 200
FILES = SERVICES // 10  # of the slices come from files of their own


def ip(s, k):
    return f"10.{100 + s // 250}.{s % 250}.{k + 1}"


def slice_of(s, n):
    return mesh.slice_(f"svc{s}", {"http": 8080}, [(ip(s, k), f"svc{s}-{k}") for k in range(n)])


def pod_of(s, k, ready=True):
    return mesh.pod(f"svc{s}-{k}", [ip(s, k)], {"app": f"svc{s}", "version": "v1"}, ready=ready)


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
        """Milliseconds from asked to answered."""
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


def row(report, title, agent, n, change):
    """Median of the waits, ms."""
    pid, waits = agent.proc.pid, []
    before, start = cpu_of(pid), time.monotonic()
    for i in range(n):
        waits.append(change(i))
    spent, took = cpu_of(pid) - before, time.monotonic() - start
    idle_from, idle = time.monotonic(), cpu_of(pid)
    time.sleep(1)
    spent -= (cpu_of(pid) - idle) / (time.monotonic() - idle_from) * took
    waits.sort()
    q = [quantile(waits, p) for p in (0.5, 0.9, 0.99, 1)]
    report.say(f"  {title:24} p50 {q[0]:8.2f}   p90 {q[1]:8.2f}   p99 {q[2]:8.2f}   max {q[3]:8.2f} ms   "
               f"agent CPU {1000 * spent / n:7.2f} ms   ({n} changes)")
    return q[0]


def by_file(agent, control, name, obj):
    asked = time.monotonic()
    agent.write(name, mesh.to_yaml([obj]), wait=False)
    control.told()
    return 1000 * (time.monotonic() - asked)


def build(lab):
    """RssAnon of the agent with all slices and no Pod, MB; then they come, too."""
    agent = lab.agent
    for s in range(SERVICES - FILES, SERVICES):
        agent.write(f"slice{s}.yaml", mesh.to_yaml([slice_of(s, EACH)]), wait=False)
    lab.start([mesh.service(f"svc{s}", [f"10.96.{s // 250}.{s % 250 + 1}"], {"http": 8080}, {"app": f"svc{s}"})
               for s in range(SERVICES)], wait=60)
    agent.ctl("apply", "-f", "-", stdin=mesh.to_yaml([slice_of(s, EACH) for s in range(1, SERVICES - FILES)]), timeout=60)
    time.sleep(3)
    rss = rss_mb(agent.proc.pid)
    agent.write("pods.yaml", mesh.to_yaml([pod_of(s, j) for s in range(1, SERVICES) for j in range(EACH)]), timeout=60)
    agent.ctl("apply", "-f", "-", stdin=mesh.to_yaml([pod_of(0, j) for j in range(EACH)]), timeout=60)
    time.sleep(3)
    return rss


def run(args, report):
    any_of = random.Random(5)
    with Lab(args, "hrends", dir="/dev/shm", options=["--metrics", "off"]) as lab:
        rss = build(lab)
        agent, control = lab.agent, Control(lab.agent.socket)
        report.say(f"{machine()}, data path {lab.mode}, {SERVICES} services, {SERVICES * EACH} endpoints; RssAnon {rss:.1f} MB, "
                   f"{rss_mb(agent.proc.pid):.1f} with their Pods")
        one = lambda: any_of.randrange(1, SERVICES - FILES)  # noqa: E731
        applied = row(report, "EndpointSlice by apply", agent, CHANGES, lambda i: control.apply(slice_of(one(), EACH - i % 2)))
        row(report, "Pod by apply", agent, CHANGES, lambda i: control.apply(pod_of(0, i // 2 % EACH, ready=i % 2 == 1)))
        control.watch()
        s = SERVICES - 1
        row(report, "EndpointSlice by file", agent, CHANGES // 4,
            lambda i: by_file(agent, control, f"slice{s}.yaml", slice_of(s, EACH - 1 + i % 2)))
        report.say()
    report.figure("memory of the agent (RssAnon), 10,000 endpoints in slices", rss, "<=", 30, " MB", ".1f")
    report.figure("EndpointSlice by apply: asked to answered, p50", applied, "<=", 5, " ms")
