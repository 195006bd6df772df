# SPDX-License-Identifier: Apache-2.0
"""The mesh that the end-to-end tests share.

    client c1 10.77.100.1 ---+
    client c2 10.77.101.1 ---+-- bridge --+-- v1   10.77.1.1  nginx :8080 :8081, origin :9000 .. :9003
                                          +-- v2   10.77.2.1  the same, version v2
                                          +-- user 10.77.3.1  the same, version user

    Service          VIP                       port          endpoints
    reco             10.96.0.10  fd96::10      8080          v1, v2 (slice with pods; subsets v1, v2)
    origin           10.96.0.20  fd96::20      9000          v1, v2 (by selector; subsets v1, v2)
    user             10.96.0.30                8080          user
    greeter          10.96.0.40                9001 tcp      v1, v2: the server speaks first
    echo             10.96.0.41                9002 auto     v1: unnamed protocol, opaque bytes
    solo             10.96.0.50                9000          v1 only
    empty            10.96.0.60                8080          none
"""
import os
import resource
import shutil
import tempfile

import mesh
import servers
from agent import Agent, Client, cgroup2_mount
from topo import SLOW, Topology, sh

RECO, RECO6, ORIGIN, ORIGIN6 = "10.96.0.10", "fd96::10", "10.96.0.20", "fd96::20"
USER, GREETER, ECHO, SOLO, EMPTY = "10.96.0.30", "10.96.0.40", "10.96.0.41", "10.96.0.50", "10.96.0.60"
V1, V2 = ("10.77.1.1", "fd77::1:1"), ("10.77.2.1", "fd77::2:1")


# nginx :8081 wants to hear of its client by the PROXY protocol, either version
PROXIED = """server { listen 8081 proxy_protocol;
    location / { return 200 "$proxy_protocol_addr to $proxy_protocol_server_addr:$proxy_protocol_server_port\\n"; } }"""


def base_objects(reco=("v1", "v2")):
    """`reco`: which pods the slices of reco list."""
    net = {"v1": V1, "v2": V2}
    objects = []
    for v, ips in net.items():
        objects.append(mesh.pod(f"reco-{v}", ips, {"app": "reco", "version": v}))
        objects.append(mesh.pod(f"origin-{v}", ips, {"app": "origin", "version": v}))
    both = {"v1": {"version": "v1"}, "v2": {"version": "v2"}}
    objects += [
        mesh.service("reco", [RECO, RECO6], {"http": 8080}),
        mesh.slice_("reco", {"http": 8080}, [(net[v][0], f"reco-{v}") for v in reco]),
        mesh.slice_("reco", {"http": 8080}, [(net[v][1], f"reco-{v}") for v in reco], family="IPv6"),
        mesh.service("origin", [ORIGIN, ORIGIN6], {"http": 9000}, {"app": "origin"}),
        mesh.service("user", [USER], {"http-web": 8080}),
        mesh.slice_("user", {"http-web": 8080}, [("10.77.3.1", None)]),
        mesh.service("greeter", [GREETER], {"tcp": 9001}, {"app": "origin"}),
        mesh.service("echo", [ECHO], {"": 9002}, {"app": "origin", "version": "v1"}),
        mesh.service("solo", [SOLO], {"http": 9000}, {"app": "origin", "version": "v1"}),
        mesh.service("empty", [EMPTY], {"http": 8080}, {"app": "nobody"}),
        mesh.dr("reco", both), mesh.dr("origin", both),
    ]
    return objects


def with_base(objects, **kw):
    """YAML of the base and a test's objects; one of the same kind and name takes the base's place."""
    def key(o):
        return o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]
    own = {key(o) for o in objects}
    return mesh.to_yaml([o for o in base_objects(**kw) if key(o) not in own] + list(objects))


class World:
    """Topology and servers: once for the whole run."""

    def __init__(self, name="hrtest", near=False):
        """`near`: the servers run in a cgroup that every agent captures, as pods of its node."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 65536), hard), hard))  # for servers and clients
        self.dir = tempfile.mkdtemp(prefix="hrtest-")
        self.topo = Topology(name)
        self.servers = f"{cgroup2_mount()}/{self.topo.prefix}-servers" if near else None
        if near:
            os.mkdir(self.servers)
            self.topo.cgroup = self.servers
        for pod, net in (("v1", 1), ("v2", 2), ("user", 3)):
            self.topo.add(pod, net)
            servers.nginx(self.topo, pod, pod, self.dir, extra=PROXIED)
            servers.origin(self.topo, pod, pod, self.dir)
        self.topo.cgroup = None
        for pod, net in (("c1", 100), ("c2", 101)):
            self.topo.add(pod, net)

    def close(self):
        self.topo.close()
        if self.servers:
            os.rmdir(self.servers)
        shutil.rmtree(self.dir, ignore_errors=True)


class Env:
    """What a test gets: the world, an agent that serves base + the test's own objects, enrolled clients."""

    def __init__(self, world, datapath, args=(), resolv=None, name="agent"):
        self.world, self.topo, self.datapath = world, world.topo, datapath
        self.dir = tempfile.mkdtemp(prefix=f"{name}-", dir=world.dir)
        self.agent = Agent(self.dir, datapath, args, resolv)
        self.written = {}
        self.clients = {}
        self.log = lambda text: None  # the runner points it at the test's log
        self.put("mesh.yaml", with_base([]), wait=False)

    def start(self):
        self.agent.start()
        if self.world.servers:
            self.agent.ctl("attach", "--cgroup", self.world.servers, "--workload", "default/servers")
        return self

    # ---- configuration ----
    def put(self, name, text, wait=True):
        if self.written.get(name) != text:
            self.agent.write(name, text, wait)
            self.written[name] = text

    def policy(self, *objects, **kw):
        """The base and the test's own objects, in place of those it (or the test before) had."""
        self.log(f"policy:\n{mesh.to_yaml(objects)}")
        self.put("mesh.yaml", with_base(objects, **kw))

    def reset(self):
        """Back to the base, for the next test."""
        for client in self.clients.values():
            client.close()
        self.clients = {}
        for name in sorted(set(os.listdir(self.agent.config)) - {"mesh.yaml"}):
            os.unlink(os.path.join(self.agent.config, name))
            self.written.pop(name, None)
        self.put("mesh.yaml", with_base([]))

    # ---- clients ----
    def client(self, pod="c1", name=None, **kw):
        """An enrolled Python process; the same one for the same name."""
        key = name or pod
        if key not in self.clients:
            self.clients[key] = Client(self.agent, self.topo, pod, **kw)
        return self.clients[key]

    def call(self, function, /, pod="c1", **kwargs):
        result = self.client(pod).call(function, **kwargs)
        self.log(f"{function} {str(kwargs)[:300]} -> {str(result)[:1500]}")
        return result

    def exec_(self, *argv, pod="c1", check=True, timeout=30, **kw):
        """A command, enrolled, in the pod."""
        done = sh(*self.agent.exec_argv(self.topo, pod, argv, **kw), check=check, timeout=timeout * SLOW)
        self.log(f"exec {argv} -> {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
        return done

    def curl(self, *argv, **kw):
        """curl's output; with -w the status too, as the caller likes."""
        return self.exec_("curl", "-sS", "--max-time", "10", *argv, **kw).stdout

    def get(self, url, headers=(), method="GET", **kw):
        """(status, body) by curl."""
        more = [x for k, v in headers for x in ("-H", f"{k}: {v}")]
        if method == "HEAD":
            more.append("-I")
        elif method != "GET":
            more += ["-X", method]
        out = self.curl("-o", "-", "-w", "\n%{http_code}", *more, url, **kw)
        body, _, code = out.rpartition("\n")
        return int(code), body.strip()

    # ---- numbers ----
    def requests(self):
        return self.agent.status()["requests"]

    def wrk(self, url, seconds=2, connections=16, threads=1, headers=(), pod="c1", script=None):
        """wrk's counts: {requests, errors: socket errors, bad: responses that are not 2xx/3xx, rps, p99}."""
        argv = ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{seconds}s", "--latency"]
        argv += [x for k, v in headers for x in ("-H", f"{k}: {v}")] + (["-s", script] if script else []) + [url]
        return parse_wrk(self.exec_(*argv, pod=pod, timeout=seconds + 20).stdout)

    def close(self):
        for client in self.clients.values():
            client.close()
        self.clients = {}
        if self.agent.alive():
            self.agent.stop()
        self.agent.release()


def parse_wrk(text):
    out = {"requests": 0, "errors": 0, "bad": 0, "rps": 0.0, "p50": None, "p99": None}
    units = {"us": 1, "ms": 1000, "s": 1000000}
    for line in text.splitlines():
        w = line.split()
        if "requests in" in line:
            out["requests"] = int(w[0])
        elif line.strip().startswith("Socket errors"):
            out["errors"] = sum(int(x.strip(",")) for x in w if x.strip(",").isdigit())
        elif "Non-2xx" in line:
            out["bad"] = int(w[-1])
        elif "Requests/sec" in line:
            out["rps"] = float(w[-1])
        elif w and w[0] in ("50%", "99%") and len(w) == 2:
            number = w[1].rstrip("umsh")
            out["p" + w[0][:2]] = float(number) * units[w[1][len(number):]]
    return out


def resolv_conf(workdir, *lines):
    path = os.path.join(workdir, "resolv.conf")
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")
    return path
