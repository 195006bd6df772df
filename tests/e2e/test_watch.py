# SPDX-License-Identifier: Apache-2.0
"""Timeouts and retries: what goes well stays in the kernel, what does not is the agent's, and the answers are the
same as through the agent alone. A connection is as good after each as it was before.

    c1 --> shaky 10.96.1.17:80 --+-- v1 :8098  nginx; `broken` there: 503, `closes` there: closes without a word
                                 +-- v2 :8098  the same
    c1 --> origin :9000 (v1, v2), solo :9000 (v1)
"""
import json
import os
import signal
import time

import mesh
from agent import ROOT
import servers
from mesh import dst, header, rule
from runner import check, check_share, eventually, test
from topo import stop
from world import ORIGIN, SOLO, V1, V2

VIP = "10.96.1.17"
MOVE = [["x-v2", "1"]]


class Shaky:
    """Two servers that can be told to fail."""

    def __init__(self, env):
        self.env, self.procs, self.dirs = env, [], {}
        for pod in ("v1", "v2"):
            d = self.dirs[pod] = os.path.join(env.dir, f"nginx-{pod}-8097")
            extra = (f"server {{ listen 8098; add_header x-version {pod} always;\n"
                     f"add_header x-attempt $http_x_envoy_attempt_count always; add_header x-mark $http_x_mark always; location / {{\n"
                     f"if (-f {d}/closes) {{ return 444; }} if (-f {d}/broken) {{ return 503 \"broken\\n\"; }}\n"
                     f"return 200 \"{pod}\\n\"; }} }}")
            self.procs.append(servers.nginx(env.topo, pod, pod, env.dir, port=8097, extra=extra))
            env.topo.wait_port(pod, 8098)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pod in self.dirs:
            self.set(pod, "closes", False)
            self.set(pod, "broken", False)
        for p in self.procs:
            stop(p)

    def set(self, pod, what, on=True):
        path = os.path.join(self.dirs[pod], what)
        if on:
            open(path, "w").close()
        elif os.path.exists(path):
            os.unlink(path)

    def policy(self, lb="ROUND_ROBIN", pool=None, **route):
        self.env.policy(mesh.service("shaky", [VIP], {"http": (80, 8098)}),
                        mesh.slice_("shaky", {"http": 8098}, [("10.77.1.1", None), ("10.77.2.1", None)]),
                        mesh.vs("shaky", [rule(dst("shaky"), **route)]),
                        mesh.dr("shaky", policy={"loadBalancer": {"simple": lb},
                                                 **({"connectionPool": pool} if pool else {})}))

    def ask(self, n, name="kept", **kw):
        return self.env.call("exchange", name=name, host=VIP, port=80, requests=[{"host": "shaky", **kw}] * n)


def origin_policy(env, **route):
    env.policy(mesh.vs("origin", [rule(dst("origin", "v2"), header("x-v2"), **route), rule(dst("origin", "v1"), **route)]),
               mesh.vs("solo", [rule(dst("solo"), **route)]))


def ask(env, target, headers=(), host=ORIGIN, name=None, method="GET"):
    start = time.monotonic()
    r, = env.call("exchange", host=host, port=9000, name=name,
                  requests=[{"host": "origin" if host == ORIGIN else "solo", "target": target, "headers": headers,
                             "method": method}])
    return r, time.monotonic() - start


def in_kernel(env):
    return env.requests()["kernel"]


def taken(env):
    return env.agent.status()["fallback"].get("timeout-or-retry", 0)


def settled(env):
    """Nothing is in flight any more."""
    rows = json.loads(env.agent.ctl("endpoints", "-o", "json").stdout)
    return all(r["inFlight"] == 0 for r in rows)


def attempt(answer):
    return next((v for k, v in answer["headers"] if k.lower() == "x-attempt"), None)


@test(timeout=40)
def in_time(env):
    """Requests that are answered in time, on routes with a timeout and retries: all of them in the kernel."""
    origin_policy(env, timeout="5s", retries={"attempts": 2, "perTryTimeout": "2s", "retryOn": "5xx,reset"})
    env.call("exchange", host=ORIGIN, port=9000, requests=[{"host": "origin", "target": "/echo", "headers": h}
                                                           for h in (MOVE, [])])
    time.sleep(0.2)
    kernel, before = in_kernel(env), taken(env)
    got = env.call("exchange", host=ORIGIN, port=9000, requests=[
        {"host": "origin", "target": t, "headers": h} for t in ("/echo", "/bytes?n=3000") for h in (MOVE, [])] * 10)
    check({r["status"] for r in got}, {200})
    if env.datapath == "kernel":
        check((in_kernel(env) - kernel, taken(env) - before), (40, 0))


@test(timeout=40)
def timeout(env):
    """504 when the time is over; the late answer is nobody's, and the connection goes on."""
    origin_policy(env, timeout="0.2s", retries={"attempts": 0})
    for headers in ([], MOVE):
        r, took = ask(env, "/late?ms=500", headers, name="kept")
        check((r["status"], r["body"], r["server"]), (504, "upstream request timeout", "headrace"), str(r))
        check(0.18 < took < 0.45, True, f"after {took:.3f} s")
        for pause in (0, 0.5):
            time.sleep(pause)
            r, _ = ask(env, f"/echo?{pause}", headers, name="kept")
            check((r["status"], f"/echo?{pause}" in r["body"]), (200, True), str(r))
        r, _ = ask(env, "/late?ms=500", headers, name="kept", method="HEAD")
        check((r["status"], r["body"]), (504, ""))
        env.call("hang_up", name="kept")
    if env.datapath == "kernel":
        check(taken(env) >= 2, True)
    eventually(lambda: settled(env), "nothing in flight")


@test(timeout=40)
def timeout_pipelined(env):
    """Requests that were sent early get their answers after the 504, in order."""
    origin_policy(env, timeout="0.2s", retries={"attempts": 0})
    for headers in ([], MOVE):
        got = env.call("pipelined", host=ORIGIN, port=9000, at_once=False, requests=[
            {"host": "origin", "target": t, "headers": headers} for t in ("/late?ms=500", "/echo?1", "/echo?2")])
        check([r["status"] for r in got], [504, 200, 200])
        check(["/echo?1" in got[1]["body"], "/echo?2" in got[2]["body"]], [True, True])


@test(timeout=40)
def timeout_in_the_middle(env):
    """The answer had begun: it ends with its connection, never whole."""
    origin_policy(env, timeout="0.3s", retries={"attempts": 0})
    for headers in ("", "x-v2: 1\r\n"):
        start = time.monotonic()
        r = env.call("raw", host=ORIGIN, port=9000, timeout=3,
                     data=f"GET /drip?n=20&ms=100 HTTP/1.1\r\nHost: origin\r\n{headers}\r\n")
        check((r["data"][:12], r["closed"], r["data"].count("x\n") == 0), ("HTTP/1.1 200", True, True), str(r))
        check(time.monotonic() - start < 1.5, True, str(r))


@test(timeout=60)
def retried_elsewhere(env):
    """A 503 of one server is asked of the other, on one connection that stays."""
    with Shaky(env) as shaky:
        shaky.policy(retries={"attempts": 2, "retryOn": "gateway-error,connect-failure"})
        first = shaky.ask(10)
        check({r["version"] for r in first}, {"v1", "v2"})
        before = taken(env)
        shaky.set("v1", "broken")
        got = shaky.ask(20)
        check(({r["status"] for r in got}, {r["version"] for r in got}), ({200}, {"v2"}))
        # a first try says nothing, whoever makes it, and a second one that it is the second
        check(({attempt(r) for r in first}, {attempt(r) for r in got} - {None}), ({None}, {"2"}))
        if env.datapath == "kernel":
            check(taken(env) > before, True)
        shaky.set("v1", "broken", False)
        check({r["version"] for r in shaky.ask(10)}, {"v1", "v2"})
        # in any number at once
        shaky.set("v1", "broken")
        got = env.call("count", host=VIP, port=80, total=200, connections=20, vhost="shaky")
        check((got["status"], got["errors"]), ({"200": 200}, {}))
        eventually(lambda: settled(env), "nothing in flight")


@test(timeout=60)
def lost_and_retried(env):
    """A server that closes without an answer, with retryOn reset: the other one answers."""
    with Shaky(env) as shaky:
        shaky.policy(retries={"attempts": 2, "retryOn": "reset"})
        shaky.ask(4)
        shaky.set("v1", "closes")
        for i in range(5):
            got = shaky.ask(4, name=f"c{i}")
            check(({r["status"] for r in got}, {r["version"] for r in got}), ({200}, {"v2"}), str(got))
        eventually(lambda: settled(env), "nothing in flight")
    origin_policy(env, retries={"attempts": 1, "retryOn": "reset"})
    for target in ("/reset", "/close"):
        r, _ = ask(env, target, host=SOLO)
        check(r["status"], 503, target)


@test(timeout=40)
def attempts_are_used_up(env):
    """The last answer is the client's, whole, and with it the connection goes on."""
    origin_policy(env, retries={"attempts": 2, "retryOn": "5xx"})
    for headers in ([], MOVE):
        for target in ("/status?code=503", "/status?code=500"):
            r, _ = ask(env, target, headers, name="kept")
            check((r["status"], r["body"][:1]), (int(target[-3:]), "v"), str(r))
        r, _ = ask(env, "/echo", headers, name="kept")
        check(r["status"], 200)
        env.call("hang_up", name="kept")


@test(timeout=40)
def try_takes_too_long(env):
    """perTryTimeout: as many tries as there are, then 504; the whole is bounded by the route's timeout."""
    origin_policy(env, retries={"attempts": 2, "perTryTimeout": "0.2s"})
    for headers in ([], MOVE):
        r, took = ask(env, "/late?ms=1500", headers)
        check((r["status"], r["body"]), (504, "upstream request timeout"))
        check(0.55 < took < 1.3, True, f"after {took:.3f} s")
    origin_policy(env, timeout="0.3s", retries={"attempts": 5, "perTryTimeout": "0.2s"})
    r, took = ask(env, "/late?ms=1500")
    check((r["status"], 0.28 < took < 0.6), (504, True), f"after {took:.3f} s")


@test(timeout=40)
def with_a_budget(env):
    """maxRetries: what may not be tried again is delivered."""
    with Shaky(env) as shaky:
        shaky.policy(retries={"attempts": 1, "retryOn": "5xx"}, pool={"http": {"maxRetries": 1}})
        shaky.set("v1", "broken")
        check({r["status"] for r in shaky.ask(10)}, {200})
        got = env.call("busy", host=VIP, port=80, seconds=1, vhost="shaky")
        check((got["errors"], got["status"]["200"] > 100, got["status"]["503"] > 0), ({}, True, True), str(got))
        eventually(lambda: settled(env), "nothing in flight")


@test(timeout=40)
def body_is_bound(env):
    """A request whose body may be needed again is the agent's from its head; without such retries it is not."""
    origin_policy(env, retries={"attempts": 2, "retryOn": "5xx"})
    body = {"host": "origin", "method": "POST", "target": "/reflect", "body": "once or twice"}
    r, = env.call("exchange", host=ORIGIN, port=9000, requests=[body])
    check((r["status"], r["body"]), (200, "once or twice"))
    if env.datapath == "kernel":
        check(env.agent.status()["fallback"].get("body-kept-for-retry", 0) >= 1, True)
    origin_policy(env, timeout="0.2s", retries={"attempts": 0})
    kernel = in_kernel(env)
    r, = env.call("exchange", host=ORIGIN, port=9000, requests=[body])
    check((r["status"], r["body"]), (200, "once or twice"))
    if env.datapath == "kernel":
        check(in_kernel(env) - kernel, 1)
    r, = env.call("exchange", host=ORIGIN, port=9000, requests=[{**body, "target": "/late?ms=500"}])
    check(r["status"], 504)


@test(timeout=40)
def client_leaves(env):
    """The client goes while its request is tried again: nothing is left in flight."""
    origin_policy(env, retries={"attempts": 5, "perTryTimeout": "0.2s"})
    for headers in ("", "x-v2: 1\r\n"):
        for wait in (0.1, 0.3, 0.5):
            env.call("raw", host=ORIGIN, port=9000, timeout=wait,
                     data=f"GET /hang HTTP/1.1\r\nHost: origin\r\n{headers}\r\n")
    eventually(lambda: settled(env), "nothing in flight")


@test(timeout=40)
def practice_canary(env):
    """The published example as it is, timeouts and retries included: its traffic stays in the kernel, with the
    weights that it says."""
    with open(os.path.join(ROOT, "policies/practice/canary-deployment.yaml")) as f:
        text = f.read()
    vip = "10.96.1.18"
    net = {"v1": "10.77.1.1", "v2": "10.77.2.1"}
    env.put("practice.yaml", text + "\n---\n" + mesh.to_yaml([
        mesh.service("recommendation-service", [vip], {"http": 8080}),
        mesh.slice_("recommendation-service", {"http": 8080}, [(ip, f"rec-{v}") for v, ip in net.items()]),
        *(mesh.pod(f"rec-{v}", (ip,), {"app": "rec", "version": v}) for v, ip in net.items())]))
    before = env.requests()
    for headers, want in (([], {"v1": 0.95, "v2": 0.05}), ([["x-canary", "true"]], {"v2": 1.0}),
                          ([["x-user-type", "premium"]], {"v1": 0.7, "v2": 0.3})):
        got = env.call("count", host=vip, port=8080, total=400, vhost="recommendation-service", headers=headers)
        check(got["errors"], {})
        for version, share in want.items():
            check_share(got["seen"].get(version, 0), 400, share, f"{headers} {version}", sigmas=4)
    after = env.requests()
    kernel, total = (after[k] - before[k] for k in ("kernel", "total"))
    if env.datapath == "kernel":
        check(kernel / total > 0.95, True, f"{kernel} of {total} in the kernel")


@test()
def patient_then_not(env):
    """A connection whose last request had plenty of time: the next one's short time is kept all the same."""
    env.policy(mesh.vs("origin", [rule(dst("origin", "v1"), header("x-patient"), timeout="10s"),
                                  rule(dst("origin", "v1"), timeout="0.3s")]))
    check(ask(env, "/echo", [["x-patient", "1"]], name="kept")[0]["status"], 200)
    start = time.monotonic()
    check(ask(env, "/late?ms=3000", name="kept")[0]["status"], 504)
    check(time.monotonic() - start < 2, True, "long before the patient rule's time")


@test(fresh=True, args=("--access-log", "-", "--access-log-sample", "1"), timeout=40)
def logged(env):
    """A line for every request says why it went as it did, whoever carried it."""
    origin_policy(env, timeout="1s", retries={"attempts": 1, "perTryTimeout": "0.2s", "retryOn": "5xx"})
    asked = [("/echo?q=secret", []), ("/status?code=200", MOVE), ("/status?code=503", []), ("/status?code=404", MOVE),
             ("/late?ms=900", [])]
    time.sleep(0.5)  # until there are connections to both
    for target, headers in asked:
        ask(env, target, headers, name="kept")
    env.get(f"http://{ORIGIN}:9000/nobody", [("Host", "origin")])

    def lines():
        with open(env.agent.log_path, errors="replace") as f:
            rows = [json.loads(line) for line in f if line.startswith('{"time"') and '"path"' in line]
        return rows if len(rows) >= 6 else None
    rows = eventually(lines, "six lines")
    # the kernel's lines come when its ring is read: their place among the agent's is not fixed
    got = {(r["path"], r["status"]): r for r in rows}
    check({key: (r["flags"], r["tries"]) for key, r in got.items()}, {
        ("/echo", 200): (None, 1), ("/status", 200): (None, 1), ("/status", 503): ("URX", 2), ("/status", 404): (None, 1),
        ("/late", 504): ("UT,URX", 2), ("/nobody", 200): (None, 1)})
    check({(r["method"], r["host"]) for r in rows}, {("GET", "origin")})
    native, moved = got["/echo", 200], got["/status", 404]
    check([r["upstream"] in (f"{ip[0]}:9000", f"[{ip[1]}]:9000") for r, ip in ((native, V1), (moved, V2))], [True, True])
    check([r["route"].split("@")[0] for r in (native, moved)], ["default/origin/http[1]", "default/origin/http[0]"])
    if env.datapath == "kernel":
        check([got[key]["carrier"] for key in (("/echo", 200), ("/status", 503))], ["kernel", "agent"])


@test(datapaths=("kernel",), fresh=True, timeout=60)
def agent_is_killed(env):
    """kill -9 with watched requests in flight: those that are answered are answered, the others see an end when
    the next agent comes; new ones have their time again."""
    origin_policy(env, timeout="1s", retries={"attempts": 3, "perTryTimeout": "0.3s", "retryOn": "5xx"})
    check(ask(env, "/echo", name="kept")[0]["status"], 200)
    env.agent.proc.send_signal(signal.SIGSTOP)
    env.agent.kill()
    start = time.monotonic()
    r = env.call("raw", host=ORIGIN, port=9000, timeout=2, data="GET /late?ms=100 HTTP/1.1\r\nHost: origin\r\n\r\n")
    check(r["data"][:12], "HTTP/1.1 200", str(r))
    time.sleep(max(0, 5.5 - (time.monotonic() - start)))
    # nobody keeps the time any more: late is better than never, and a 503 is what the server said
    check(ask(env, "/late?ms=1200", name="kept")[0]["status"], 200)
    check(ask(env, "/status?code=503", name="kept")[0]["status"], 503)
    env.agent.start()
    r, took = ask(env, "/late?ms=3000", name="kept")
    check((r["status"], 0.9 < took < 2), (504, True), f"{r['status']} after {took:.3f} s")
