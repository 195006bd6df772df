#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Opaque connections on one node: redis-benchmark, and pgbench where there is a PostgreSQL, interleaved, medians.

    client 10.77.100.1 --+-- bridge --+-- v1   10.77.1.1 redis, postgres
                                      +-- near 10.77.3.1 the same, captured
"direct TCP": to v1, nothing captured. "tunnel": captured, balanced at connect(), then TCP. "same node": the same server
with headrace.io/same-node: tcp, so bytes skip TCP.

  bench/opaque.py [--rounds N] [--scale PERCENT OF THE REQUESTS]
"""
import argparse
import contextlib
import csv
import glob
import io
import os
import re
import shutil
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "tests", "lib"))
import mesh  # noqa: E402
from agent import Agent, cgroup2_mount  # noqa: E402
from bench import cpu  # noqa: E402
from topo import Topology, exit_on_signals, sh  # noqa: E402

REDIS, PG = 6379, 5432
DIRECT, TUNNEL, NEAR = "10.77.1.1", "10.96.0.13", "10.96.0.14"
PATHS = [("direct TCP", DIRECT, False), ("headrace tunnel", TUNNEL, True), ("headrace same node", NEAR, True)]
LOADS = [  # title, requests, arguments of redis-benchmark
    ("redis GET, c=1", 20000, ["-t", "get", "-c", "1"]),
    ("redis SET, c=1", 20000, ["-t", "set", "-c", "1"]),
    ("redis GET, c=50", 120000, ["-t", "get", "-c", "50"]),
    ("redis SET, c=50", 120000, ["-t", "set", "-c", "50"]),
    ("redis GET, c=50, 16 pipelined", 800000, ["-t", "get", "-c", "50", "-P", "16"]),
    ("redis SET, c=50, 16 pipelined", 600000, ["-t", "set", "-c", "50", "-P", "16"]),
    ("redis GET of 256 KB, c=4", 6000, ["-t", "get", "-c", "4", "-d", "262144"]),
    ("redis SET of 256 KB, c=4", 6000, ["-t", "set", "-c", "4", "-d", "262144"]),
]
PGBENCH = [("pgbench select, c=1", 8000, 1), ("pgbench select, c=8", 24000, 8)]


def postgres_bin():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    return os.path.dirname(found[-1]) if found and shutil.which("pgbench") else None


class Bench:
    def __init__(self, args):
        self.args, self.pg = args, postgres_bin()
        self.dir = tempfile.mkdtemp(prefix="headrace-bench-")
        os.chmod(self.dir, 0o755)
        self.topo = Topology("hropq")
        self.near = f"{cgroup2_mount()}/{self.topo.prefix}-servers"
        os.mkdir(self.near)
        self.agent = Agent(self.dir)

    def start(self):
        for pod, net in (("v1", 1), ("near", 3)):
            self.topo.add(pod, net)
            self.topo.cgroup = self.near if pod == "near" else None
            self.redis(pod)
            if self.pg:
                self.postgres(pod)
        self.topo.cgroup = None
        self.topo.add("client", 100)
        objects = [mesh.pod("near", ["10.77.3.1"], {"app": "near"})]
        for name, vip in (("tunnel", TUNNEL), ("near", NEAR)):
            o = mesh.service(name, [vip], {"redis": REDIS, "tcp-pg": PG}, {"app": "near"})
            if name == "near":
                o["metadata"]["annotations"] = {"headrace.io/same-node": "tcp"}
            objects.append(o)
        self.agent.write("mesh.yaml", mesh.to_yaml(objects), False)
        self.agent.start()
        self.agent.ctl("attach", "--cgroup", self.near, "--workload", "default/near")

    def log(self, name):
        return open(os.path.join(self.dir, name), "w")

    def redis(self, pod):
        self.topo.spawn(pod, ["redis-server", "--port", str(REDIS), "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "",
                              "--dir", self.dir], stdout=self.log(f"redis-{pod}"), stderr=self.log(f"redis-{pod}.err"))
        self.topo.wait_port(pod, REDIS)

    def postgres(self, pod):
        """A server of its own, without durability: it is the connection that is measured."""
        data = os.path.join(self.dir, f"pg-{pod}")
        os.mkdir(data)
        shutil.chown(data, "postgres")
        user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]
        sh(*user, f"{self.pg}/initdb", "-D", data, "-A", "trust", "-N")
        with open(f"{data}/pg_hba.conf", "a") as f:
            f.write("host all all 10.77.0.0/16 trust\n")
        self.topo.spawn(pod, [*user, f"{self.pg}/postgres", "-D", data, "-c", "listen_addresses=*", "-c", "fsync=off",
                              "-c", f"unix_socket_directories={data}"], stdout=self.log(f"pg-{pod}.out"), stderr=self.log(f"pg-{pod}.err"))
        self.topo.wait_port(pod, PG)
        self.topo.run(pod, *user, "pgbench", "-i", "-q", "-h", "127.0.0.1", "-U", "postgres", "postgres")

    def enrolled(self, argv, path):
        return (self.agent.exec_argv(self.topo, "client", argv, workload="default/client") if path[2]
                else self.topo.cmd("client", argv))

    def measured(self, argv, path, requests):
        """What the command printed, and CPU microseconds of the whole machine for one request."""
        b0 = cpu()[0]
        out = sh(*self.enrolled(argv, path), timeout=120)
        return out.stdout, (cpu()[0] - b0) / os.sysconf("SC_CLK_TCK") * 1e6 / requests

    def redis_cell(self, path, load):
        n = max(1000, load[1] * self.args.scale // 100)
        text, us = self.measured(["redis-benchmark", "-h", path[1], "-p", str(REDIS), "--csv", "-n", str(n), *load[2]], path, n)
        row = next(csv.DictReader(io.StringIO(text[text.index('"test"'):])))
        return {"rps": float(row["rps"]), "p50": 1000 * float(row["p50_latency_ms"]), "p99": 1000 * float(row["p99_latency_ms"]), "cpu": us}

    def pg_cell(self, path, load):
        n = max(100, load[1] * self.args.scale // 100 // load[2])
        text, us = self.measured(["pgbench", "-n", "-S", "-h", path[1], "-U", "postgres", "-c", str(load[2]), "-j", "1", "-t", str(n),
                                  "postgres"], path, n * load[2])
        tps = float(re.search(r"tps = ([0-9.]+)", text).group(1))
        return {"rps": tps, "p50": 1000 * float(re.search(r"latency average = ([0-9.]+)", text).group(1)), "p99": None, "cpu": us}

    def run(self):
        cells = {}
        for path in PATHS:  # the first connection teaches what the server's sockets are
            self.redis_cell(path, ("", 1000, ["-t", "set", "-c", "2"]))
            if self.pg:
                self.pg_cell(path, ("", 200, 2))
        for _ in range(self.args.rounds):
            for load in LOADS:
                for path in PATHS:
                    cells.setdefault((load[0], path[0]), []).append(self.redis_cell(path, load))
            for load in PGBENCH if self.pg else []:
                for path in PATHS:
                    cells.setdefault((load[0], path[0]), []).append(self.pg_cell(path, load))
        return cells

    def close(self):
        if self.agent.alive():
            self.agent.stop()
        self.topo.close()
        with contextlib.suppress(OSError):
            os.rmdir(self.near)
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--scale", type=int, default=100)
    args = p.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("bench: needs root (network namespaces, BPF)")
    if not shutil.which("redis-server"):
        raise SystemExit("bench: there is no redis-server (Debian: redis-server)")
    exit_on_signals()
    bench = Bench(args)
    try:
        bench.start()
        cells = bench.run()
        same = bench.agent.status()["sameNode"]
    finally:
        bench.close()
    print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, median of {args.rounds} interleaved rounds; "
          f"{same['opaquePaired']} connections, {same['opaqueSends']} sends skipped TCP")
    for title in dict.fromkeys(k[0] for k in cells):
        print(f"\n{title:32} {'req/s':>9} {'x':>6} {'p50 us':>8} {'p99 us':>8} {'CPU us/req':>11} {'x':>6}")
        mid = {path[0]: {f: statistics.median(c[f] for c in cells[title, path[0]]) if cells[title, path[0]][0][f] is not None else None
                         for f in ("rps", "p50", "p99", "cpu")} for path in PATHS}
        base = mid["direct TCP"]
        for name, m in mid.items():
            p99 = f"{m['p99']:8.0f}" if m["p99"] is not None else " " * 8
            print(f"  {name:30} {m['rps']:9.0f} {m['rps'] / base['rps']:6.2f} {m['p50']:8.0f} {p99} {m['cpu']:11.1f} {m['cpu'] / base['cpu']:6.2f}")


if __name__ == "__main__":
    main()
