# SPDX-License-Identifier: Apache-2.0
"""What do opaque connections cost on one node? redis-benchmark, and pgbench where there is a PostgreSQL.

    client 10.77.100.1 --+-- bridge --+-- v1   10.77.1.1 redis, postgres
                                      +-- near 10.77.3.1 the same, captured

"direct TCP": to v1, nothing captured. "tunnel": captured, balanced at connect(), then TCP. "same node": the same server
with headrace.io/same-node: tcp, so bytes skip TCP.
"""
import csv
import glob
import io
import os
import re
import shutil

import mesh
from lab import Lab, Row, chosen, rounds
from topo import sh

REDIS, PG = 6379, 5432
TUNNEL, NEAR = "10.96.0.13", "10.96.0.14"
ROWS = [Row("direct TCP", "10.77.1.1"), Row("headrace tunnel", TUNNEL, True), Row("headrace same node", NEAR, True)]


class Load:
    """`requests`: what takes half a second to a second; redis: arguments of redis-benchmark; else connections of pgbench."""

    def __init__(self, title, requests, redis=None, connections=None):
        self.title, self.requests, self.redis, self.connections = title, requests, redis, connections


def redis(what, requests, *more):
    return Load(f"redis {what}", requests, redis=["-t", what[:3].lower(), *more])


LOADS = [
    redis("GET, c=1", 12000, "-c", "1"), redis("SET, c=1", 12000, "-c", "1"),
    redis("GET, c=50", 50000, "-c", "50"), redis("SET, c=50", 50000, "-c", "50"),
    redis("GET, c=50, 16 pipelined", 300000, "-c", "50", "-P", "16"),
    redis("SET, c=50, 16 pipelined", 250000, "-c", "50", "-P", "16"),
    redis("GET of 256 KB, c=4", 3000, "-c", "4", "-d", "262144"), redis("SET of 256 KB, c=4", 3000, "-c", "4", "-d", "262144"),
    Load("pgbench select, c=1", 4000, connections=1), Load("pgbench select, c=8", 10000, connections=8),
]


def postgres_bin():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    return os.path.dirname(found[-1]) if found and shutil.which("pgbench") else None


# ---- servers ----

def start_redis(lab, pod):
    lab.topo.spawn(pod, ["redis-server", "--port", str(REDIS), "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "",
                         "--dir", lab.dir], stdout=lab.log(f"redis-{pod}"), stderr=lab.log(f"redis-{pod}.err"))
    lab.topo.wait_port(pod, REDIS)


def start_postgres(lab, pod, where):
    """A server of its own, without durability: it is the connection that is measured."""
    data = os.path.join(lab.dir, f"pg-{pod}")
    os.mkdir(data)
    shutil.chown(data, "postgres")
    user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]
    sh(*user, f"{where}/initdb", "-D", data, "-A", "trust", "-N")
    with open(f"{data}/pg_hba.conf", "a") as f:
        f.write("host all all 10.77.0.0/16 trust\n")
    lab.topo.spawn(pod, [*user, f"{where}/postgres", "-D", data, "-c", "listen_addresses=*", "-c", "fsync=off",
                         "-c", f"unix_socket_directories={data}"], stdout=lab.log(f"pg-{pod}"), stderr=lab.log(f"pg-{pod}.err"))
    lab.topo.wait_port(pod, PG)
    lab.topo.run(pod, *user, "pgbench", "-i", "-q", "-h", "127.0.0.1", "-U", "postgres", "postgres")


def build(lab, pg):
    def both(pod):
        start_redis(lab, pod)
        if pg:
            start_postgres(lab, pod, pg)
    lab.topo.add("v1", 1)
    both("v1")
    lab.topo.add("near", 3)
    with lab.captured():
        both("near")
    lab.add_client()
    objects = [mesh.pod("near", ["10.77.3.1"], {"app": "near"})]
    for name, vip in (("tunnel", TUNNEL), ("near", NEAR)):
        objects.append(mesh.service(name, [vip], {"redis": REDIS, "tcp-pg": PG}, {"app": "near"}))
    objects[-1]["metadata"]["annotations"] = {"headrace.io/same-node": "tcp"}
    lab.start(objects)


# ---- clients ----

def by_redis(lab, row, load, requests):
    text, busy, disturbed = lab.watched(row, ["redis-benchmark", "-h", row.url, "-p", str(REDIS), "--csv", "-n", str(requests),
                                              *load.redis], 120)
    got = next(csv.DictReader(io.StringIO(text[text.index('"test"'):])))
    return {"rps": float(got["rps"]), "p50": 1000 * float(got["p50_latency_ms"]), "p99": 1000 * float(got["p99_latency_ms"]),
            "cpu": busy * 1e6 / requests}, disturbed


def by_pgbench(lab, row, load, requests):
    each = max(50, requests // load.connections)
    text, busy, disturbed = lab.watched(row, ["pgbench", "-n", "-S", "-h", row.url, "-U", "postgres", "-c", str(load.connections),
                                              "-j", "1", "-t", str(each), "postgres"], 120)
    return {"rps": float(re.search(r"tps = ([0-9.]+)", text).group(1)), "p99": None,
            "p50": 1000 * float(re.search(r"latency average = ([0-9.]+)", text).group(1)),
            "cpu": busy * 1e6 / (each * load.connections)}, disturbed


def measure(lab, row, load, share=1.0):
    requests = max(200, int(load.requests * share * lab.args.seconds))
    return (by_redis if load.redis else by_pgbench)(lab, row, load, requests)


def run(args, report):
    if not shutil.which("redis-server"):
        return report.say("no redis-server on this machine (Debian: redis-server): not measured")
    pg = postgres_bin()
    with Lab(args, "hropaque") as lab:
        build(lab, pg)
        rows, loads = chosen(args, "opaque", ROWS, [x for x in LOADS if x.redis or pg])
        for row in rows:  # the first connection teaches what the server's sockets are
            for load in LOADS[:1] + (LOADS[-1:] if pg else []):
                measure(lab, row, load, 0)
        cells, about = rounds(args, "opaque", rows, loads, lambda row, load: measure(lab, row, load))
        same = lab.agent.status()["sameNode"]
    report.table("opaque", rows, loads, cells, about, ("rps", "p50", "p99", "cpu"))
    report.say(f"\n{same['opaquePaired']} connections, {same['opaqueSends']} sends skipped TCP" +
               ("" if pg else "; no PostgreSQL on this machine (Debian: postgresql)"))
