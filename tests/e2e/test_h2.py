# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 and gRPC with stock clients and servers.

    c1  curl, h2load, python3-grpcio --(VIP)--> agent --> v1, v2, user: grpcserver.py :9100
                                                           v1, v2:       nghttpd :9101
"""
import json
import os
import re
import signal
import subprocess
import threading
import time

import mesh
from mesh import dst, header, rule
from runner import check, check_share, eventually, test
from servers import HERE, PYTHON
from topo import SLOW
from world import ORIGIN, RECO

GRPC, WEB, UP = "10.96.1.10", "10.96.1.11", "10.96.1.12"
V1, V2, USER = "10.77.1.1", "10.77.2.1", "10.77.3.1"


def grpc_server(topo, pod, log):
    return topo.spawn(pod, [PYTHON, os.path.join(HERE, "grpcserver.py"), "9100", pod], stdout=log, stderr=log)


def servers(env):
    """Started by the first test that needs them; they stay for the run."""
    topo, w = env.topo, env.world
    if getattr(w, "h2", None):
        return
    w.h2 = {}
    for pod in ("v1", "v2", "user"):
        log = open(os.path.join(w.dir, f"h2-{pod}.log"), "w")
        w.h2[pod] = grpc_server(topo, pod, log)
        docs = os.path.join(w.dir, f"docs-{pod}")
        os.makedirs(docs)
        with open(f"{docs}/who", "w") as f:
            f.write(pod)
        with open(f"{docs}/1m", "wb") as f:
            f.write(bytes(range(256)) * 4096)
        topo.spawn(pod, ["nghttpd", "--no-tls", "-d", docs, "--trailer", "x-trail: t", "--echo-upload", "9101"],
                   stdout=log, stderr=log)
    for pod in ("v1", "v2", "user"):
        topo.wait_port(pod, 9100)
        topo.wait_port(pod, 9101)


def objects(greet=None, web1=None, web2=None, greet_tcp=None):
    """Each one's connectionPool.http; connectionPool.tcp."""
    def policy(http, tcp=None):
        settings = {k: v for k, v in (("tcp", tcp), ("http", http)) if v}
        return {"connectionPool": settings} if settings else None
    pods = [mesh.pod(f"g-{v}", [ip], {"app": "g", "version": v}) for v, ip in (("v1", V1), ("v2", V2), ("v3", USER))]
    subsets = {v: {"version": v} for v in ("v1", "v2", "v3")}
    return pods + [
        mesh.service("greet", [GRPC], {"grpc": 9100}, {"app": "g"}), mesh.dr("greet", subsets, policy=policy(greet, greet_tcp)),
        mesh.service("web2", [WEB], {"http2": 9101}, {"app": "g"}),
        mesh.service("web1", [UP], {"http": 9101}, {"app": "g"}),
        mesh.dr("web1", policy=policy({"h2UpgradePolicy": "UPGRADE", **(web1 or {})})), mesh.dr("web2", policy=policy(web2)),
    ]


def ready(env, *more, **pools):
    servers(env)
    env.policy(*objects(**pools), *more)


def grpc(env, name, target=f"{GRPC}:9100", **args):
    done = env.exec_(PYTHON, os.path.join(HERE, "grpcclient.py"), target, name, json.dumps(args))
    return json.loads(done.stdout)


def curl(env, *args):
    return env.curl("-w", " %{http_version} %{http_code}", *args)


@test()
def curl_all_ways(env):
    """HTTP/1 and HTTP/2 clients, HTTP/1 and HTTP/2 servers, every combination; the body of an upload comes back whole."""
    ready(env)
    prior = "--http2-prior-knowledge"
    check(curl(env, prior, f"http://{RECO}:8080/", "-o", "/dev/null"), " 2 200", "HTTP/2 to HTTP/1")
    check(curl(env, "--http2", f"http://{RECO}:8080/", "-o", "/dev/null"), " 2 200", "upgrade")
    for how, version in ((prior, "2"), ("--http1.1", "1.1")):
        for vip in (WEB, UP):
            got = curl(env, how, f"http://{vip}:9101/who").split(" ")
            check((got[0] in ("v1", "v2", "user"), got[1:]), (True, [version, "200"]), f"{how} {vip}")
            check(curl(env, how, f"http://{vip}:9101/1m", "-o", "/dev/null", "-w", "%{size_download}")[:7], "1048576")
            check(curl(env, how, f"http://{vip}:9101/echo", "--data-binary", f"@{env.world.dir}/docs-v1/1m",
                       "-o", "/dev/null", "-w", "%{size_download}")[:7], "1048576")


@test()
def h2load(env):
    """20,000 requests over 8 connections with 10 streams each: all answered, spread over the three servers."""
    ready(env)
    out = env.exec_("h2load", "-n20000", "-c8", "-m10", f"http://{WEB}:9101/who").stdout
    check([line for line in out.splitlines() if line.startswith("status codes")],
          ["status codes: 20000 2xx, 0 3xx, 0 4xx, 0 5xx"])


@test()
def grpc_is_balanced_per_call(env):
    """One channel is one connection; its calls are spread over three servers all the same."""
    ready(env)
    got = grpc(env, "calls", n=600)
    check(set(got), {"OK v1", "OK v2", "OK user"})
    for server in got:
        check_share(got[server], 600, 1 / 3, server, sigmas=6)


@test()
def grpc_streams(env):
    """Server, client and bidirectional streams, metadata both ways, binary trailers, a status after messages."""
    ready(env, mesh.vs("greet", [rule(dst("greet", "v1"))]))
    got = grpc(env, "streams")
    check(got, {"head": {"x-version": "v1", "x-seen": "a, b"}, "trail": {"x-trail": "v1", "x-bin-bin": "00ff"},
                "count": 500, "gather": str(8 * 256 * 4000), "chat": [f"m{i}" for i in range(10)],
                "big": 4 * 256 * 4000, "status": ["first", "DATA_LOSS as asked"]})
    check(grpc(env, "cancel"), {"seen": 5, "code": "CANCELLED"})


@test(args=("--metrics", "127.0.0.1:15926"))
def grpc_metrics(env):
    """What calls ended with, from their trailers, and their messages each way, whatever pieces they came in."""
    ready(env, mesh.vs("greet", [rule(dst("greet", "v1"))]))
    grpc(env, "streams")

    def counted(name, **labels):
        found = re.findall(rf"^{name}{{(.*)}} (\d+)$", env.agent.metrics("127.0.0.1:15926"), re.M)
        return sum(int(n) for all_, n in found if 'request_protocol="grpc"' in all_
                   and all(f'{k}="{v}"' in all_ for k, v in labels.items()))
    # Who, Chat twice, Count, Gather; then Status
    eventually(lambda: counted("istio_requests_total", grpc_response_status="0") == 5, "five calls that went well")
    check(counted("istio_requests_total", grpc_response_status="15", response_code="200"), 1)
    check(counted("istio_requests_total"), 6)
    check(counted("istio_request_messages_total"), 1 + 10 + 1 + 8 + 4 + 1)
    check(counted("istio_response_messages_total"), 1 + 10 + 500 + 1 + 4 + 1)


@test()
def grpc_canary(env):
    """Weights and a metadata header, per call."""
    ready(env, mesh.vs("greet", [rule(dst("greet", "v2"), header("x-canary", exact="true")),
                                 rule([dst("greet", "v1", 90), dst("greet", "v3", 10)])]))
    check(grpc(env, "calls", n=100, metadata=[["x-canary", "true"]]), {"OK v2": 100})
    got = grpc(env, "calls", n=1000)
    check(set(got), {"OK v1", "OK user"})
    check_share(got["OK user"], 1000, 0.1, sigmas=4)


@test()
def grpc_failures(env):
    """What the agent says itself has gRPC's form; deadlines, the client's and the route's; retries by gRPC status."""
    ready(env, mesh.vs("greet", [
        rule(dst("greet", "v1"), {"uri": {"exact": "/t.T/Who"}, "headers": {"x-abort": {"exact": "1"}}},
             fault={"abort": {"httpStatus": 503, "percentage": {"value": 100}}}),
        rule(dst("greet", "v1"), {"uri": {"exact": "/t.T/Slow"}}, timeout="0.3s"),
        rule([dst("greet", "v1", 50), dst("greet", "v2", 50)], {"uri": {"exact": "/t.T/Who"}}),
        rule(dst("greet"), {"uri": {"exact": "/t.T/Flaky"}},
             retries={"attempts": 8, "retryOn": "unavailable", "backoff": "1ms"})]))
    check(grpc(env, "calls", n=3, metadata=[["x-abort", "1"]]), {"UNAVAILABLE fault filter abort": 3})
    check(grpc(env, "calls", method="Slow", message="2000"), {"UNAVAILABLE upstream request timeout": 1})
    # the client's own clock and the agent's, which has its deadline from grpc-timeout: whoever is first
    got = grpc(env, "calls", method="Slow", message="2000", timeout=0.1)
    check(list(got)[0] in ("DEADLINE_EXCEEDED Deadline Exceeded", "UNAVAILABLE upstream request timeout"), True, str(got))
    check(grpc(env, "calls", n=30, method="Flaky"), {"OK v2": 30})
    check(grpc(env, "calls", n=2, method="Nowhere"), {"UNIMPLEMENTED ": 2})


@test(fresh=True, args=("--access-log", "-"), timeout=40)
def grpc_logged(env):
    """The access log says the status that counts for gRPC: of the server's trailers, or of an answer of the agent's."""
    ready(env, mesh.vs("greet", [
        rule(dst("greet", "v1"), header("x-abort", exact="1"),
             fault={"abort": {"grpcStatus": "RESOURCE_EXHAUSTED", "percentage": {"value": 100}}}),
        rule(dst("greet", "v1"))]))
    grpc(env, "calls", n=1)
    grpc(env, "calls", n=1, method="Nowhere")
    grpc(env, "calls", n=1, metadata=[["x-abort", "1"]])

    def lines():
        with open(env.agent.log_path, errors="replace") as f:
            rows = [json.loads(line) for line in f if line.startswith('{"time"') and '"path"' in line]
        return rows if len(rows) >= 3 else None
    got = [(r["path"], r["status"], r.get("grpcStatus"), r["flags"]) for r in eventually(lines, "three lines")]
    check(got, [("/t.T/Who", 200, 0, None), ("/t.T/Nowhere", 200, 12, None), ("/t.T/Who", 200, 8, "FI")])


# ---- connections to servers ----
def peers(got):
    """{connection, as the server sees it: calls}; all must have been answered."""
    check([k for k in got if not k.startswith("OK ")], [])
    return got.values()


@test()
def streams_of_a_connection(env):
    """maxConcurrentStreams: as many connections as it takes for eight calls at once, no more."""
    for most, want in ((3, [2, 3, 3]), (8, [8])):
        ready(env, mesh.vs("greet", [rule(dst("greet", "v1"))]), greet={"maxConcurrentStreams": most})
        check(sorted(peers(grpc(env, "calls", n=8, method="Peer", message="400"))), want, f"at most {most}")


@test()
def connections_at_once(env):
    """maxConnections: eight calls at once, one connection with four streams: the others wait for it. Of those that
    find http1MaxPendingRequests waiting none is made."""
    def breaker():
        rows = json.loads(env.agent.ctl("breakers", "-o", "json").stdout)
        return next(r for r in rows if r["host"].startswith("greet.") and r["subset"] == "v1")

    def calls(**http):
        ready(env, mesh.vs("greet", [rule(dst("greet", "v1"))]), greet_tcp={"maxConnections": 1},
              greet={"maxConcurrentStreams": 4, **http})
        return grpc(env, "calls", n=8, method="Peer", message="400")
    check(list(peers(calls())), [8])
    row = breaker()
    check((row["connections"]["limit"], row["connections"]["trips"] > 0, row["pending"]["trips"]), (1, True, 0), str(row))
    got = calls(http1MaxPendingRequests=1)
    fine = [n for k, n in got.items() if k.startswith("OK ")]
    check((len(fine), 5 <= fine[0] < 8, [k.endswith("reset reason: overflow") for k in got if not k.startswith("OK ")]),
          (1, True, [True]), str(got))
    row = breaker()
    check((row["connections"]["active"], row["pending"]["active"], row["pending"]["trips"]), (0, 0, 8 - fine[0]), str(row))


@test()
def calls_of_a_connection(env):
    """maxRequestsPerConnection is exact; none of the calls is lost where connections end."""
    for most in (1, 7):
        ready(env, mesh.vs("greet", [rule(dst("greet", "v1"), retries={"attempts": 0})]),
              greet={"maxRequestsPerConnection": most})
        got = peers(grpc(env, "calls", n=70, method="Peer", message="0"))
        check((max(got), sum(got), len(got)), (most, 70, 70 // most))
    for vip in (WEB, UP):  # bodies both ways, another server
        ready(env, web1={"maxRequestsPerConnection": 1}, web2={"maxRequestsPerConnection": 1})
        out = env.exec_("h2load", "-n200", "-c2", "-m5", f"http://{vip}:9101/who").stdout
        check("status codes: 200 2xx, 0 3xx, 0 4xx, 0 5xx" in out, True, out)


@test()
def client_protocol(env):
    """useClientProtocol: what the client speaks, whatever the port's name and h2UpgradePolicy say. nghttpd knows
    HTTP/2 only, nginx HTTP/1 only, so the wrong one fails."""
    ready(env, mesh.service("named", ["10.96.1.13"], {"http2": 8080}, {"app": "g"}),
          mesh.dr("named", policy={"connectionPool": {"http": {"useClientProtocol": True}}}),
          web1={"useClientProtocol": True})
    one, two = "--http1.1", "--http2-prior-knowledge"
    got = {(how, vip): curl(env, how, f"http://{vip}/who", "-o", "/dev/null")[1:] for how in (one, two)
           for vip in (f"{UP}:9101", "10.96.1.13:8080")}
    check({k: v[-3:] == "200" for k, v in got.items()},
          {(one, f"{UP}:9101"): False, (two, f"{UP}:9101"): True,
           (one, "10.96.1.13:8080"): True, (two, "10.96.1.13:8080"): False}, str(got))


@test()
def silent_server(env):
    """http2KeepAlive: a server that is stopped answers no PING. After interval and timeout its connections are given
    up: calls fail, or go elsewhere where the route retries a reset."""
    keep = {"http2KeepAlive": {"interval": "0.2s", "timeout": "0.2s"}}
    def to(**kw):
        ready(env, mesh.vs("greet", [rule(dst("greet", "v3"), {"headers": {"x-only": {"exact": "1"}}}, retries={"attempts": 0}),
                                     rule(dst("greet"), **kw)]), greet=keep)
    to(retries={"attempts": 2, "retryOn": "reset,connect-failure"})
    check(set(grpc(env, "calls", n=60)), {"OK v1", "OK v2", "OK user"})
    server = env.world.h2["user"]
    server.send_signal(signal.SIGSTOP)
    try:
        start = time.monotonic()
        got = grpc(env, "calls", n=8, metadata=[["x-only", "1"]])
        took = time.monotonic() - start
        check([k.split()[0] for k in got], ["UNAVAILABLE"], str(got))
        check(0.2 < took < 5, True, f"given up after {took:.1f} s")
        check(set(grpc(env, "calls", n=30)) <= {"OK v1", "OK v2"}, True)
    finally:
        server.send_signal(signal.SIGCONT)
    check(grpc(env, "calls", n=8, metadata=[["x-only", "1"]]), {"OK user": 8})


@test(fresh=True, timeout=40)
def agent_drains(env):
    """SIGTERM while a gRPC stream and a slow answer are open: GOAWAY is said, both are finished, then it ends."""
    ready(env)
    grpc(env, "calls")  # the namespace is served: its first connections may be too early for that
    raw = [PYTHON, os.path.join(HERE, "h2raw.py"), ORIGIN, "9000", "drained"]
    stream = [PYTHON, os.path.join(HERE, "grpcclient.py"), f"{GRPC}:9100", "ticks", json.dumps({"n": 15})]
    procs = [subprocess.Popen(env.agent.exec_argv(env.topo, "c1", argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
             for argv in (raw, stream)]
    for p in procs:
        p.stderr.readline()  # both have heard from the agent
    start = time.monotonic()
    check(env.agent.stop(), 0)
    rawly, ticks = (json.loads(p.communicate(timeout=20)[0]) for p in procs)
    check(time.monotonic() - start < 4 * SLOW, True, "nothing is waited for but the stream and its connection")
    check(ticks, {"seen": 15, "code": "OK"})
    check(rawly["drained"], {"goaway": 0, "rst": [], "status": [200], "closed": True, "ended": 1})


@test(timeout=40)
def server_restarts(env):
    """A server that says GOAWAY, goes and comes back under calls: with the retries that every route has none fails."""
    ready(env)
    results, done = [], threading.Event()

    def go():
        while not done.is_set():
            results.append(grpc(env, "calls", n=400))
    thread = threading.Thread(target=go)
    thread.start()
    try:
        eventually(lambda: results, "calls are made")
        env.world.h2["user"].terminate()
        check(env.world.h2["user"].wait(5) in (0, -signal.SIGTERM), True)
        before = len(results)
        eventually(lambda: len(results) > before + 1, "calls without it")
    finally:
        with open(os.path.join(env.world.dir, "h2-user.log"), "a") as log:
            env.world.h2["user"] = grpc_server(env.topo, "user", log)
        env.topo.wait_port("user", 9100)
        done.set()
        thread.join()
    check({k for r in results for k in r} <= {"OK v1", "OK v2", "OK user"}, True, str(results))
    check("OK user" in results[0] and "OK user" not in results[before + 1], True, str(results))
    eventually(lambda: "OK user" in grpc(env, "calls", n=60), "it is back")


@test()
def explained(env):
    """What each cluster is spoken to in, and that HTTP/2 is the agent's."""
    ready(env)
    def of(url):
        got = env.agent.explain(url)
        return got["destinations"][0]["protocol"], got["path"], got["why"]
    for url in (f"http://{GRPC}:9100/", f"http://{WEB}:9101/", f"http://{UP}:9101/"):
        check(of(url)[0::2], ("HTTP/2", ["protocol-needs-agent"]), url)
        check(of(url)[1], "agent")
    check(of(f"http://{RECO}:8080/")[0], "HTTP/1.1")


@test()
def trailers(env):
    """nghttpd sends Content-Length, announces trailers, and sends them: they arrive, also as trailers of HTTP/1.1."""
    ready(env)
    for how in ("--http2-prior-knowledge", "--http1.1"):
        head, _, rest = env.curl("-i", how, f"http://{WEB}:9101/1m", "-o", "/dev/null", "-D", "-").partition("\n\n")
        check("trailer: x-trail" in head.lower(), True, head)
        check(rest.strip(), "x-trail: t", how)
