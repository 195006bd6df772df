# SPDX-License-Identifier: Apache-2.0
"""What every table of the bench room uses: a laboratory of namespaces, rounds, loads, and the printing.

    Lab      namespaces and an agent; goes away with its `with` block
    rounds   measures all rows of a load one after the other, again and again; a cell is the median of the rounds
    Report   prints tables and wanted figures, and keeps both for bench/out
"""
import contextlib
import dataclasses
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "tests", "lib"))
import mesh  # noqa: E402
from agent import Agent, cgroup2_mount  # noqa: E402
from topo import Topology, sh  # noqa: E402
from world import parse_wrk  # noqa: E402

CPUS = os.cpu_count()
REPEATS = 3  # of a table, because the machine was busy


@dataclasses.dataclass
class Row:
    """A way for requests: what the client talks to, and how."""
    name: str
    url: str
    enrolled: bool = False
    datapath: str = None  # of the agent; None: as it is
    headers: tuple = ()
    loads: tuple = None  # titles; None: all


@dataclasses.dataclass
class Load:
    """What the client does. `think`: milliseconds between an answer and the next request of a connection, from - to."""
    title: str
    connections: int
    target: str = "/"
    upload: bool = False
    headers: tuple = ()
    think: tuple = None
    streams: int = None  # of each connection: HTTP/2


# ---- the machine ----

def cpu():
    """(busy, stolen, all) seconds of the machine's processors."""
    hz = os.sysconf("SC_CLK_TCK")
    f = [int(x) / hz for x in open("/proc/stat").readline().split()[1:9]]
    return sum(f) - f[3] - f[4] - f[7], f[7], sum(f)


def others_busy(seconds=0.2):
    """Share of the processors that others use while nothing of ours runs."""
    b0, _, a0 = cpu()
    time.sleep(seconds)
    b1, _, a1 = cpu()
    return (b1 - b0) / max(0.01, a1 - a0)


def family(pid):
    """A process and its children."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in open(f"/proc/{pid}/task/{task}/children").read().split():
                found += family(int(child))
    return found


def cpu_of(pid):
    """Seconds that a process, its threads and its children have run."""
    total = 0
    for p in family(pid):
        with contextlib.suppress(OSError):
            for t in os.listdir(f"/proc/{p}/task"):
                total += int(open(f"/proc/{p}/task/{t}/schedstat").read().split()[0])
    return total / 1e9


def machine():
    return f"Linux {os.uname().release}, {CPUS} CPUs"


# ---- the laboratory ----

class Lab:
    def __init__(self, args, name, dir=None, options=()):
        self.args, self.mode = args, None
        self.dir = tempfile.mkdtemp(prefix="headrace-bench-", dir=dir)
        os.chmod(self.dir, 0o755)
        self.near = f"{cgroup2_mount()}/{name}-{os.getpid()}-servers"
        self.topo = Topology(name)
        self.agent = Agent(self.dir, args=options)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.agent.alive():
            self.agent.stop()
        elif self.agent.proc:
            print(f"bench: the agent ended with {self.agent.proc.returncode}:\n{self.agent.log_tail()}", file=sys.stderr)
        self.topo.close()
        with contextlib.suppress(OSError):
            os.rmdir(self.near)
        shutil.rmtree(self.dir, ignore_errors=True)

    def log(self, name):
        return open(os.path.join(self.dir, name + ".log"), "w")

    def file(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    @contextlib.contextmanager
    def captured(self):
        """What is started inside runs in a cgroup that the agent captures, as pods of its node do."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.near)
        self.topo.cgroup = self.near
        yield
        self.topo.cgroup = None

    def add_client(self):
        """The pod of the clients. Ports that were used are used again after a second, as many connections need it."""
        self.topo.add("client", 100)
        self.topo.run("client", "sysctl", "-q", "net.ipv4.tcp_tw_reuse=1", "net.ipv4.ip_local_port_range=1024 65535")

    def start(self, objects, wait=20):
        self.agent.write("mesh.yaml", mesh.to_yaml(objects), False)
        self.agent.start(wait)
        if os.path.isdir(self.near):
            self.agent.ctl("attach", "--cgroup", self.near, "--workload", "default/near")
        self.mode = self.agent.status()["datapath"]["mode"]
        self.kernel = self.mode == "kernel"

    def switch(self, datapath):
        if datapath and datapath != self.mode:
            self.agent.ctl("datapath", datapath)
            self.mode = datapath
            time.sleep(0.3)

    def warm(self, rows):
        """A first connection each: it shows the agent what a server's sockets are, and stays ordinary."""
        for row in rows:
            for _ in range(2):
                sh(*self.client(row, ["curl", "-s", "-o", "/dev/null", row.url]))

    def client(self, row, argv):
        """The command line that runs argv as a client of the row."""
        return (self.agent.exec_argv(self.topo, "client", argv, workload="default/client") if row.enrolled
                else self.topo.cmd("client", argv))

    def watched(self, row, argv, timeout):
        """Output of a client, CPU seconds of the machine, and whether something else disturbed it."""
        noise = others_busy()
        b0, s0, a0 = cpu()
        out = sh(*self.client(row, argv), timeout=timeout).stdout
        b1, s1, a1 = cpu()
        return out, b1 - b0, noise > 0.15 or (s1 - s0) / max(0.01, a1 - a0) > 0.05

    def http(self, row, load):
        """A cell of wrk or h2load, and whether it was disturbed: rps, p50, p99 (us), cpu (us a request), kernel (share)."""
        self.switch(row.datapath)
        before = self.agent.status() if row.enrolled else None
        tool = h2load if load.streams else wrk
        argv, parse = tool(self, row, load)
        text, busy, disturbed = self.watched(row, argv, self.args.seconds + 30)
        got = parse(text)
        if got["failed"] or not got["requests"]:
            raise SystemExit(f"bench: {row.name}, {load.title}: failed requests\n{text}")
        cell = {"rps": got["rps"], "p50": got["p50"], "p99": got["p99"], "cpu": busy * 1e6 / got["requests"],
                "requests": got["requests"]}
        if row.enrolled:
            cell["kernel"], cell["why"] = by_kernel(before, self.agent.status())
        return cell, disturbed


def by_kernel(before, after):
    """The share of the requests between two answers of `status` that the kernel carried, and why it did not carry others."""
    total, kernel = (after["requests"][k] - before["requests"][k] for k in ("total", "kernel"))
    why = {k: n - before["fallback"].get(k, 0) for k, n in after["fallback"].items() if n > before["fallback"].get(k, 0)}
    return kernel / max(1, total), why


# ---- clients ----

def wrk(lab, row, load):
    script = ""
    if load.upload:
        script += 'wrk.method = "POST"\nwrk.body = string.rep("u", 1048576)\n'
    if load.think:
        script += f"function delay() return math.random({load.think[0]}, {load.think[1]}) end\n"
    argv = ["wrk", "-t1", f"-c{load.connections}", f"-d{lab.args.seconds}s", "--latency", "--timeout", "10s"]
    for h in (*row.headers, *load.headers):
        argv += ["-H", h]
    if script:
        argv += ["-s", lab.file("wrk.lua", script)]

    def parse(text):
        got = parse_wrk(text)
        return {**got, "failed": got["errors"] + got["bad"]}
    return [*argv, row.url + load.target], parse


def h2load(lab, row, load):
    log = os.path.join(lab.dir, "h2load.log")
    argv = ["h2load", f"-c{load.connections}", f"-m{load.streams}", f"-D{lab.args.seconds}", f"--log-file={log}"]
    for h in (*row.headers, *load.headers):
        argv += ["-H", h]

    def parse(text):
        done, failed = (int(re.search(p, text).group(1)) for p in (r"(\d+) done", r"(\d+) failed"))
        # what was on its way when the time was over counts as failed in some versions of h2load
        failed = max(0, failed - load.connections * load.streams)
        us = sorted(int(line.split()[2]) for line in open(log) if line.strip())
        os.unlink(log)
        return {"requests": done, "failed": failed, "rps": float(re.search(r"finished in .*?, ([0-9.]+) req/s", text).group(1)),
                "p50": quantile(us, 0.5), "p99": quantile(us, 0.99)}
    return [*argv, row.url + load.target], parse


def quantile(ordered, q):
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else None


# ---- rounds ----

def progress(text):
    if sys.stderr.isatty():
        print("\r" + text.ljust(78) + "\r", end="", file=sys.stderr, flush=True)


def chosen(args, table, rows, loads):
    """What --only and --load leave of a table, (rows, loads) or None; its first row is what the others are compared with,
    and stays. Tables without rows and loads are taken by their name."""
    named = not args.only or table in args.only
    if not rows:
        return ([], []) if named and not args.load else None
    if not named:
        picked = [r for r in rows if any(w in r.name for w in args.only)]
        rows = picked and [rows[0], *(r for r in picked if r is not rows[0])]
    loads = [x for x in loads if not args.load or any(w in x.title for w in args.load)]
    return (rows, loads) if rows and loads else None


def rounds(args, table, rows, loads, measure):
    """{(load, row): cells}, and a line about it. measure(row, load) gives a cell and whether it was disturbed; the rows
    of a load are measured one after the other, and all again (REPEATS times in a table) where one was disturbed."""
    cells, repeated, disturbed = {}, 0, 0
    for turn in range(args.rounds):
        for load in loads:
            while True:
                took, bad = {}, 0
                for row in rows:
                    if row.loads and load.title not in row.loads:
                        continue
                    progress(f"{table}, round {turn + 1} of {args.rounds}: {load.title}, {row.name}")
                    took[row.name], one_bad = measure(row, load)
                    bad += one_bad
                if not bad or repeated == REPEATS:
                    break
                repeated += 1
            disturbed += bad
            for name, cell in took.items():
                cells.setdefault((load.title, name), []).append(cell)
    progress("")
    about = f"{machine()}, median of {args.rounds} interleaved rounds of {args.seconds} s"
    if repeated:
        about += f"; {repeated} loads measured again (busy machine)"
    if disturbed:
        about += f"; DISTURBED: {disturbed} of {sum(len(c) for c in cells.values())} measurements"
    return cells, about


def middle(cells):
    """The median of each field that the cells have."""
    out = {}
    for field in dict.fromkeys(f for c in cells for f in c):
        values = [c[field] for c in cells if isinstance(c.get(field), (int, float))]
        out[field] = statistics.median(values) if values else None
    return out


# ---- what is printed ----

# field: title, format, and whether its ratio to the first row is printed beside
COLUMNS = {"rps": ("req/s", "{:9.0f}", True), "p50": ("p50 us", "{:8.0f}", True), "p99": ("p99 us", "{:8.0f}", True),
           "cpu": ("CPU us/req", "{:11.1f}", True), "agent": ("agent us/req", "{:13.1f}", False),
           "programs": ("programs us", "{:12.2f}", False), "copied": ("copied", "{:7.1%}", False),
           "kernel": ("kernel", "{:7.1%}", False)}


class Report:
    def __init__(self):
        self.lines, self.cells, self.wanted = [], [], []

    def say(self, text=""):
        self.lines.append(text)
        print(text, flush=True)

    def title(self, name, question):
        self.say(f"\n== {name}: {question}")

    def table(self, name, rows, loads, cells, about, columns):
        """A block a load; gives {(load, row): medians}."""
        self.say(about)
        mid = {k: middle(v) for k, v in cells.items()}
        width = max([26] + [len(x.title) + 1 for x in loads] + [len(r.name) + 3 for r in rows])
        for load in loads:
            present = [r for r in rows if (load.title, r.name) in mid]
            shown = [f for f in columns if any(mid[load.title, r.name].get(f) is not None for r in present)]
            head = "".join(" " + COLUMNS[f][0].rjust(len(COLUMNS[f][1].format(0))) + ("      x" if COLUMNS[f][2] else "")
                           for f in shown)
            self.say(f"\n{load.title:{width}}{head}")
            for row in present:
                base, m = mid[load.title, present[0].name], mid[load.title, row.name]
                self.say(f"  {row.name:{width - 2}}" + "".join(column(f, m, base) for f in shown) + reason(row, cells, load))
        self.cells += [{"table": name, "load": k[0], "row": k[1], "rounds": v} for k, v in cells.items()]
        return mid

    def figure(self, what, value, op, limit, unit="", fmt=".2f"):
        """A wanted figure: `what` is op (>= or <=) limit. `value` None: it was not measured in this run."""
        if value is None:
            return
        met = value >= limit if op == ">=" else value <= limit
        line = f"  {what:64} {value:8{fmt}}{unit}   wanted {op} {limit:g}{unit:4} {'met' if met else 'NOT MET'}"
        self.wanted.append({"what": what, "value": value, "wanted": f"{op} {limit:g}{unit}", "met": met})
        self.say(line)

    def save(self, directory, args):
        os.makedirs(directory, exist_ok=True)
        name = os.path.join(directory, time.strftime("%Y%m%d-%H%M%S"))
        with open(name + ".txt", "w") as f:
            f.write("\n".join(self.lines) + "\n")
        with open(name + ".json", "w") as f:
            json.dump({"machine": machine(), "rounds": args.rounds, "seconds": args.seconds, "wanted": self.wanted,
                       "cells": self.cells}, f, indent=1)
        return name + ".txt"


def column(field, m, base):
    _, fmt, ratio = COLUMNS[field]
    value, first = m.get(field), base.get(field)
    text = " " + (fmt.format(value) if value is not None else "-".rjust(len(fmt.format(0))))
    if ratio:
        text += f" {value / first:6.2f}" if value is not None and first else " " * 7
    return text


def reason(row, cells, load):
    """Why requests that the kernel could carry were the agent's."""
    why = {}
    for c in cells[load.title, row.name]:
        if row.datapath == "kernel" and c["kernel"] < 0.99:
            for k, n in c["why"].items():
                why[k] = why.get(k, 0) + n
    return f"  {max(why, key=why.get)}" if why else ""


def ratio(mid, load, row, other, field):
    """Of two rows of a load; None where one is missing."""
    a, b = (mid.get((load, r), {}).get(field) for r in (row, other))
    return a / b if a is not None and b else None
