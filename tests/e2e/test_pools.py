# SPDX-License-Identifier: Apache-2.0
"""connectionPool: how many requests at once and on one connection, how long connections are kept.

    c1 --> pool 10.96.1.9:80 --> v1 :9000, an origin that says which connection and which request on it it saw
"""
import json
import os
import threading
import time

import mesh
from agent import HEADRACE
from mesh import dst, rule
from runner import check, eventually, test
from servers import PYTHON
from topo import sh, stop
from world import ORIGIN

VIP, TCP_VIP = "10.96.1.9", "10.96.1.10"


def pool(env, tcp=None, http=None, subset=None, port_level=None, lb="ROUND_ROBIN", endpoints=("10.77.1.1",), port="http",
         **route):
    settings = {k: v for k, v in (("tcp", tcp), ("http", http)) if v}
    policy = {"connectionPool": settings, "loadBalancer": {"simple": lb}}
    if port_level:
        policy["portLevelSettings"] = [{"port": {"number": 80}, **port_level}]
    env.policy(mesh.service("pool", [VIP], {port: (80, 9000)}),
               mesh.slice_("pool", {port: 9000}, [(ip, None) for ip in endpoints]),
               mesh.vs("pool", [rule(dst("pool", subset), **route)]),
               mesh.dr("pool", {subset: ({}, None)} if subset else None, policy=policy))


def ask(env, n, name=None, target="/echo"):
    got = env.call("exchange", name=name, host=VIP, port=80, requests=[{"host": "pool", "target": target}] * n)
    return [json.loads(r["body"]) if r["status"] == 200 else r["status"] for r in got]


def longest(rows):
    """{connection of the server: the highest number of a request on it}"""
    out = {}
    for r in rows:
        out[r["connection"]] = max(out.get(r["connection"], 0), r["sequence"])
    return out


def server_conns(env, pod, port):
    """Local ports of the established connections that a server has, and their timers."""
    return sh("ip", "netns", "exec", env.topo.ns(pod), "ss", "-Hton", "state", "established", f"sport = :{port}").stdout


@test()
def requests_per_connection(env):
    """Exactly as many requests as allowed come on each connection that the server sees, whoever carries them; at 1
    every request has its own."""
    for most in (3, 1):
        pool(env, http={"maxRequestsPerConnection": most})
        rows = [r for _ in range(2) for r in ask(env, 10)]
        check(max(longest(rows).values()), most, f"of {rows}")
        check(sum(longest(rows).values()), 20)
    pool(env)
    rows = ask(env, 20)
    check(max(longest(rows).values()) >= 10, True)


@test()
def requests_per_connection_of_many(env):
    """The same under load, two servers, relayed answers among them."""
    pool(env, http={"maxRequestsPerConnection": 5}, endpoints=("10.77.1.1", "10.77.2.1"))
    seen = {}
    for target in ("/echo", "/echo?again"):
        for k in range(4):
            for r in ask(env, 25, name=f"k{k}", target=target):
                key = (r["pod"], r["connection"])
                check(r["sequence"] > seen.get(key, 0), True)
                seen[key] = r["sequence"]
    check(max(seen.values()), 5)
    got = env.call("count", host=VIP, port=80, total=60, connections=6, vhost="pool", target="/chunked?n=3000")
    check((got["status"], got["errors"]), ({"200": 60}, {}))


@test()
def most_specific_pool_wins(env):
    """portLevelSettings replaces the rule's pool as a whole, a subset's own replaces both."""
    pool(env, http={"maxRequestsPerConnection": 1}, port_level={"connectionPool": {"http": {"maxRequestsPerConnection": 4}}})
    check(max(longest(ask(env, 12)).values()), 4)
    pool(env, http={"maxRequestsPerConnection": 1}, port_level={"loadBalancer": {"simple": "ROUND_ROBIN"}})
    check(max(longest(ask(env, 12)).values()) > 4, True, "the port's policy has no pool at all")


class Held:
    """Requests that a server does not answer for a while, each on its own connection."""

    def __init__(self, env, n, ms=1500, host="pool", name="held"):
        self.rows, self.threads = [], []
        for i in range(n):
            client = env.client("c1", name=f"{name}{i}")
            t = threading.Thread(target=self.one, args=(client, ms, host))
            t.start()
            self.threads.append(t)

    def one(self, client, ms, host):
        got = client.call("exchange", host=VIP, port=80, timeout=10, requests=[{"host": host, "target": f"/late?ms={ms}"}])[0]
        self.rows.append((got["status"], got["headers"]))

    def wait(self):
        for t in self.threads:
            t.join()
        return sorted(status for status, _ in self.rows)


def breaker(env, host="pool"):
    rows = json.loads(env.agent.ctl("breakers", "-o", "json").stdout)
    return next(r for r in rows if r["host"].startswith(host + ".") and not r["subset"])


@test(timeout=40)
def requests_at_once(env):
    """http2MaxRequests: one more is refused at once, 503 with x-envoy-overloaded; a place that is free again is used."""
    pool(env, http={"http2MaxRequests": 2})
    held = Held(env, 2)
    eventually(lambda: breaker(env)["requests"]["active"] == 2, "both are in flight")
    check(breaker(env)["requests"]["remaining"], 0)
    start = time.monotonic()
    got = env.call("exchange", host=VIP, port=80, requests=[{"host": "pool"}] * 3)
    check([r["status"] for r in got], [503] * 3)
    check(time.monotonic() - start < 0.5, True)
    check({k.lower(): v for k, v in got[0]["headers"]}["x-envoy-overloaded"], "true")
    check("overflow" in got[0]["body"], True)
    check(held.wait(), [200, 200])
    check([r if isinstance(r, int) else 200 for r in ask(env, 2)], [200, 200])
    row = breaker(env)
    check((row["requests"]["active"], row["requests"]["trips"] >= 3), (0, True), str(row))


@test(timeout=40)
def connections_at_once(env):
    """maxConnections in use, http1MaxPendingRequests wait for a place, the rest is refused at once."""
    pool(env, tcp={"maxConnections": 1}, http={"http1MaxPendingRequests": 2})
    for name in ("c1", "held0", "waiting0", "waiting1"):  # they take their time to start
        env.client("c1", name=name).call("ping")
    held = Held(env, 1, ms=1500)
    eventually(lambda: breaker(env)["connections"]["active"] == 1, "in use")
    waiting = Held(env, 2, ms=10, name="waiting")
    eventually(lambda: breaker(env)["pending"]["active"] == 2, "two wait")
    got = env.call("exchange", host=VIP, port=80, requests=[{"host": "pool"}])
    check(got[0]["status"], 503)
    check((held.wait(), waiting.wait()), ([200], [200, 200]))
    row = breaker(env)
    check((row["connections"]["active"], row["pending"]["active"], row["pending"]["trips"]), (0, 0, 1), str(row))


@test()
def idle_and_age(env):
    """idleTimeout: a pooled connection without requests closes in time. maxConnectionDuration: an old one carries none."""
    ends = ("10.77.1.1", "10.77.2.1")
    pool(env, http={"idleTimeout": "0.5s"}, endpoints=ends)
    first = {(r["pod"], r["connection"]) for r in ask(env, 10, name="idle")}
    time.sleep(0.8)
    second = {(r["pod"], r["connection"]) for r in ask(env, 10, name="idle")}
    check(first & second, set())
    pool(env, tcp={"maxConnectionDuration": "1s"}, endpoints=ends)
    first = {(r["pod"], r["connection"]) for r in ask(env, 10, name="aged")}
    time.sleep(0.5)
    check({(r["pod"], r["connection"]) for r in ask(env, 10, name="aged")} & first != set(), True)
    time.sleep(0.7)
    check({(r["pod"], r["connection"]) for r in ask(env, 10, name="aged")} & first, set())


@test()
def keep_alive_probes(env):
    """tcpKeepalive sets the timer of every connection towards the servers, a client's own too."""
    pool(env, tcp={"tcpKeepalive": {"time": "75s", "interval": "5s", "probes": 2}}, endpoints=("10.77.1.1", "10.77.2.1"))
    env.call("exchange", name="kept", host=VIP, port=80, requests=[{"host": "pool"}] * 6)
    out = sh("ip", "netns", "exec", env.topo.ns("c1"), "ss", "-Hton", "state", "established", "dport = :9000").stdout
    rows = [r for r in out.splitlines() if "10.77.1.1:9000" in r or "10.77.2.1:9000" in r]
    timed = [r for r in rows if "timer:(keepalive,1min" in r]
    check(len(timed) >= 2, True, out)


@test(timeout=40)
def tcp_connections(env):
    """Opaque connections: maxConnections, then waiting, then refused; idle and age close them."""
    def policy(**tcp):
        env.policy(mesh.service("lines", [TCP_VIP], {"tcp": (91, 9002)}),
                   mesh.slice_("lines", {"tcp": 9002}, [("10.77.1.1", None)]),
                   mesh.dr("lines", policy={"connectionPool": {"tcp": tcp, "http": {"http1MaxPendingRequests": 1}}}))
    def in_use(*want):
        eventually(lambda: tuple(breaker(env, "lines")[k]["active"] for k in ("connections", "pending")) == want, str(want))
    policy(maxConnections=1)
    for n, name in enumerate(("one", "two")):
        env.call("keep", name=name, host=TCP_VIP, port=91)
        in_use(1, n)
    env.call("connect", host=TCP_VIP, port=91)
    eventually(lambda: breaker(env, "lines")["pending"]["trips"] == 1, "the third is refused")
    check([env.call("is_closed", name=n, wait=0.3) for n in ("one", "two")], [False, False])
    env.call("hang_up", name="one")
    in_use(1, 0)
    env.call("hang_up", name="two")
    in_use(0, 0)
    policy(idleTimeout="0.4s")
    env.call("keep", name="idle", host=TCP_VIP, port=91)
    check(env.call("is_closed", name="idle", wait=0.2), False)
    check(env.call("is_closed", name="idle", wait=1.5), True)
    policy(maxConnectionDuration="0.4s")
    env.call("keep", name="aged", host=TCP_VIP, port=91)
    check(env.call("is_closed", name="aged", wait=0.2), False)
    check(env.call("is_closed", name="aged", wait=1.5), True)


@test()
def client_leaves_silent_server(env):
    """A client that closes while its server is silent has asked for nothing any more: its place is free at once. One that
    has only said all it has to say waits for its answer."""
    for blocking in (False, True):  # blocking sockets come to door A
        pool(env, http={"http2MaxRequests": 10})
        for how in ("close", "late"):
            env.call("ask_and_leave", host=VIP, port=80, vhost="pool", how=how, blocking=blocking)
            eventually(lambda: breaker(env)["requests"]["active"] == 0, f"{how} {blocking}", 0.5)
        env.call("ask_and_leave", host=VIP, port=80, vhost="pool", target="/late?ms=700", how="half", blocking=blocking)
        time.sleep(0.2)
        check(breaker(env)["requests"]["active"], 1)
        eventually(lambda: breaker(env)["requests"]["active"] == 0, "answered", 2)


def counts(env):
    """Everything that is said to be under way: {what: number}, without zeros."""
    out = {}
    for e in json.loads(env.agent.ctl("endpoints", "-o", "json").stdout):
        out[f"endpoint {e['cluster']} {e['address']}"] = e["inFlight"]
    for r in json.loads(env.agent.ctl("breakers", "-o", "json").stdout):
        for k in ("connections", "pending", "requests", "retries"):
            out[f"{k} {r['cluster']}"] = r[k]["active"]
    return {k: v for k, v in out.items() if v}


def all_quiet(env, thread):
    thread.join()
    for client in env.clients.values():
        client.close()
    env.clients = {}
    deadline = time.monotonic() + 8
    while counts(env) and time.monotonic() < deadline:
        time.sleep(0.05)
    check(counts(env), {})


@test(timeout=90, fresh=True)
def numbers_return_to_zero(env):
    """Every way of ending a request there is: clients that reset, half-close and leave, servers that reset, close and
    say nothing, timeouts, retries, refusals, ejections, a changed policy in mid-flight, and an agent that is killed and
    started again. When all is quiet, every number is 0: neither above (places lost) nor below (limits gone)."""
    def policy(n):
        limits = {"connectionPool": {"tcp": {"maxConnections": 40 + n % 3}, "http": {"http1MaxPendingRequests": 20 + n, "maxRequestsPerConnection": 7}},
                  "outlierDetection": {"consecutive5xxErrors": 30, "interval": "1s", "baseEjectionTime": "0.2s", "maxEjectionPercent": 50}}
        rules = [rule(dst("origin", "v1"), mesh.header("x-k", exact="n")),
                 rule(dst("origin", "v2"), mesh.header("x-k", exact="m")),
                 rule(dst("origin", "v1"), {"uri": {"prefix": "/hang"}}, timeout="0.3s"),
                 rule([dst("origin", "v1", 50), dst("origin", "v2", 50)], timeout="2s",
                      retries={"attempts": 2, "retryOn": "5xx,reset", "perTryTimeout": "0.5s"})]
        env.policy(mesh.dr("origin", {"v1": {"version": "v1"}, "v2": {"version": "v2"}}, policy=limits), mesh.vs("origin", rules))

    def storm(seed, seconds):
        def run():
            storms.append(env.client("c1", name=f"storm{seed}").call(
                "storm", hosts=[ORIGIN], port=9000, vhost="origin", connections=60, seconds=seconds, abort=0.2, seed=seed, patience=4))
        storms, t = [], threading.Thread(target=run)
        t.start()
        return t, storms

    def misbehave(n):
        for i, target in enumerate(("/reset", "/close", "/hang", "/half?n=900", "/garbage", "/status?code=503", "/chunked?n=70000")):
            try:
                env.client("c1", name="bad").call("ask_and_leave", host=ORIGIN, port=9000, vhost="origin", target=target,
                                                  how=("close", "half", "late")[(n + i) % 3])
            except AssertionError:
                pass  # reset before it could half-close
    policy(0)
    env.client("c1")
    t, _ = storm(1, 3)
    for n in range(3):
        policy(n)
        misbehave(n)
    all_quiet(env, t)
    t, _ = storm(2, 2)
    time.sleep(1)
    env.agent.kill()
    env.agent.start()
    all_quiet(env, t)


@test(timeout=60, args=("--lenient",))
def practice_guide(env):
    """policies/practice/resilience-config.yaml, mistakes and all: check names each of them, --lenient loads it, and then it
    does what it says: on port 8080 its own pool and nothing else (a port's policy replaces), elsewhere users stick to a
    server that takes two requests a connection and is taken out after five errors."""
    path = os.path.join(os.path.dirname(__file__), "..", "..", "policies", "practice", "resilience-config.yaml")
    with open(path) as f:
        text = f.read()
    mistakes = [("17:9", "consecutiveGatewayErrors"), ("18:9", "interval"), ("19:9", "baseEjectionTime"),
                ("22:7", "consistentHash"), ("26:7", "consecutiveErrors"), ("59:7", "consecutiveErrors")]
    strict, lenient = (sh(HEADRACE, "check", *more, path, check=False) for more in ((), ("--lenient",)))
    for at, field in mistakes:
        check(any(f":{at}: " in line and field in line for line in strict.stdout.splitlines()), True, at + strict.stdout)
    check((strict.returncode, lenient.returncode, "error" in lenient.stdout), (1, 0, False), lenient.stdout)
    ports = {"http": (8080, 9000), "http-web": (80, 9000)}
    ends = {"http": 9000, "http-web": 9000}
    objects = [mesh.service("user-service", ["10.96.1.20"], ports), mesh.service("user-service-v2", ["10.96.1.21"], ports)]
    both = [("10.77.1.1", None), ("10.77.2.1", None)]
    env.put("resilience.yaml", mesh.to_yaml([*objects, mesh.slice_("user-service", ends, both),
                                             mesh.slice_("user-service-v2", ends, both)]) + "---\n" + text)

    def rows(port, n, user=None, host="user-service", target="/echo"):
        head = [["x-user-id", user]] if user else []
        got = env.call("exchange", host="10.96.1.20" if host == "user-service" else "10.96.1.21", port=port,
                       requests=[{"host": host, "target": target, "headers": head}] * n)
        return [json.loads(r["body"]) if target == "/echo" and r["status"] == 200 else r for r in got]
    for port, most in ((8080, 1), (80, 2)):
        check(max(longest(rows(port, 12)).values()), most, f"port {port}")
    check(max(longest(rows(80, 12, host="user-service-v2")).values()), 1)
    homes = {user: {r["pod"] for r in rows(80, 6, user)} for user in (f"u{i}" for i in range(16))}
    check({len(pods) for pods in homes.values()}, {1})
    check(len(set.union(*homes.values())), 2, "users spread")
    check({r["pod"] for _ in range(6) for r in rows(8080, 6, "u1")}, {"v1", "v2"}, "its pool is all that port 8080 has")
    home = next(iter(homes["u1"]))
    bad = rows(80, 5, "u1", target="/status?code=503")
    check([r["status"] for r in bad], [503] * 5)
    eventually(lambda: {r["pod"] for r in rows(80, 2, "u1")} == {"v1", "v2"} - {home}, "the other server has u1 now", 3)


@test()
def practice_guide_applied(env):
    """`apply` refuses it, `apply --lenient` takes it, and a reload afterwards is no reason to refuse it."""
    path = os.path.join(os.path.dirname(__file__), "..", "..", "policies", "practice", "resilience-config.yaml")
    done = env.agent.ctl("apply", "-f", path, check=False)
    check((done.returncode, "belongs to outlierDetection" in done.stderr), (1, True), done.stderr)
    env.agent.ctl("apply", "--lenient", "-f", path)
    env.policy(mesh.vs("origin", [rule(dst("origin"))]))
    check(env.agent.status()["config"]["lastError"], None)
    for name in ("user-service-resilience", "user-service-v2"):
        env.agent.ctl("delete", "dr", name)


@test()
def server_that_closes_at_once(env):
    """A server that closes what it accepts is not asked for warm connections without pause, nor is that logged so."""
    seen = os.path.join(env.dir, "closing-server")
    open(seen, "w").close()
    code = ("import socket, sys\ns = socket.create_server(('10.77.1.1', 9991), backlog=500)\n"
            "while True:\n    s.accept()[0].close()\n    open(sys.argv[1], 'a').write('x')\n")
    server = env.topo.spawn("v1", [PYTHON, "-c", code, seen])
    env.topo.wait_port("v1", 9991)
    log_from = env.agent.log_size()
    env.policy(mesh.service("closing", [VIP], {"http": (80, 9991)}), mesh.slice_("closing", {"http": 9991}, [("10.77.1.1", None)]),
               mesh.vs("closing", [rule(dst("closing"))]))
    try:
        env.call("raw", host=VIP, port=80, timeout=1, data="GET / HTTP/1.1\r\nHost: closing\r\nConnection: close\r\n\r\n")  # its namespace is served
        time.sleep(1.5)
    finally:
        stop(server)
    n = os.path.getsize(seen)
    with open(env.agent.log_path) as f:
        f.seek(log_from)
        told = f.read().count("cannot list")
    # a wait that doubles from 20 ms leaves room for about eight, in each of a few namespaces
    check((n <= 60, told <= 6), (True, True), f"{n} connections, {told} lines")
