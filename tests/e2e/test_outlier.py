# SPDX-License-Identifier: Apache-2.0
"""Outlier detection: a server that fails is taken out of use, and comes back.

    c1 --> flaky 10.96.1.7:80 --+-- v1 :8096  answers 503 while its file `broken` is there
                                +-- v2 :8096  the same
"""
import json
import os
import time

import mesh
import servers
from mesh import dst, rule
from runner import check, eventually, test
from topo import stop

VIP, ONE = "10.96.1.7", "10.96.1.8"


class Flaky:
    """Two servers that can be told to fail."""

    def __init__(self, env):
        self.env, self.procs, self.dirs = env, [], {}
        for pod in ("v1", "v2"):
            d = self.dirs[pod] = os.path.join(env.dir, f"nginx-{pod}-8095")
            extra = (f"server {{ listen 8096; add_header x-version {pod} always; location / {{\n"
                     f"if (-f {d}/broken) {{ return 503 \"broken\\n\"; }} return 200 \"{pod}\\n\"; }} }}")
            self.procs.append(servers.nginx(env.topo, pod, pod, env.dir, port=8095, extra=extra))
            env.topo.wait_port(pod, 8096)
            self.set(pod, False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for p in self.procs:
            stop(p)

    def set(self, pod, broken):
        path = os.path.join(self.dirs[pod], "broken")
        if broken:
            open(path, "w").close()
        elif os.path.exists(path):
            os.unlink(path)

    def policy(self, **outlier):
        self.env.policy(mesh.service("flaky", [VIP], {"http": (80, 8096)}),
                        mesh.slice_("flaky", {"http": 8096}, [("10.77.1.1", None), ("10.77.2.1", None)]),
                        mesh.vs("flaky", [rule(dst("flaky"))]),
                        mesh.dr("flaky", policy={"loadBalancer": {"simple": "ROUND_ROBIN"}, "outlierDetection": outlier}))

    def ask(self, n):
        return self.env.call("exchange", name="kept", host=VIP, port=80, requests=[{"host": "flaky"}] * n)


def only_one(env, outlier, **route):
    """Service `one`: the origin of v1, which can do worse than 503."""
    env.policy(mesh.service("one", [ONE], {"http": (80, 9000)}),
               mesh.slice_("one", {"http": 9000}, [("10.77.1.1", None)]),
               mesh.vs("one", [rule(dst("one"), retries={"attempts": 0}, **route)]),
               mesh.dr("one", policy={"outlierDetection": {"interval": "30s", **outlier}}))


def states(env, host="flaky"):
    rows = json.loads(env.agent.ctl("endpoints", "-o", "json").stdout)
    return {r["address"]: r["state"] for r in rows if r["host"].startswith(host + ".") and not r["subset"]}


@test(timeout=60)
def ejected_and_back(env):
    """Five 503 in a row: the server gets no request more, on the connection that is open as on new ones; after the
    ejection time it is back. Requests that are on their way while the agent decides may still see it."""
    with Flaky(env) as flaky:
        flaky.policy(consecutive5xxErrors=5, interval="1s", baseEjectionTime="2s", maxEjectionPercent=50)
        got = flaky.ask(20)
        check({r["version"] for r in got}, {"v1", "v2"})
        flaky.set("v1", True)
        bad = 0
        for _ in range(20):
            bad += flaky.ask(1)[0]["status"] == 503
            if bad == 5:
                break
        check(bad, 5)
        eventually(lambda: states(env)["10.77.1.1:8096"] == "ejected", "ejected", 1)
        check([r["status"] for r in flaky.ask(20)], [200] * 20, "after the fifth")
        got = env.call("count", host=VIP, port=80, total=60, connections=10, vhost="flaky")
        check((got["seen"], got["errors"]), ({"v2": 60}, {}))
        check(states(env), {"10.77.1.1:8096": "ejected", "10.77.2.1:8096": "healthy"})
        log = env.agent.log_tail()
        check("EJECT" in log and "consecutive_5xx" in log and "10.77.1.1:8096" in log, True, log)
        flaky.set("v1", False)
        eventually(lambda: states(env)["10.77.1.1:8096"] == "healthy", "back", 6)
        check({r["version"] for r in flaky.ask(20)}, {"v1", "v2"})
        check("UNEJECT" in env.agent.log_tail(), True)


@test(timeout=60)
def at_most_so_many(env):
    """Both fail: maxEjectionPercent 50 leaves one in use; at 100 none is left, and we answer 503 ourselves."""
    with Flaky(env) as flaky:
        flaky.policy(consecutive5xxErrors=2, interval="30s", maxEjectionPercent=50)
        flaky.set("v1", True)
        flaky.set("v2", True)
        flaky.ask(40)
        check(sorted(states(env).values()), ["ejected", "healthy"])
        flaky.policy(consecutive5xxErrors=2, interval="30s", maxEjectionPercent=100)
        flaky.ask(40)
        check(sorted(states(env).values()), ["ejected", "ejected"])
        got = flaky.ask(1)[0]
        check((got["status"], "no healthy upstream" in got["body"]), (503, True), str(got))
        flaky.policy(consecutive5xxErrors=2, interval="30s", maxEjectionPercent=100, minHealthPercent=50)
        got = flaky.ask(4)
        check({r["version"] for r in got}, {"v1", "v2"}, "below minHealthPercent all are used")


@test(timeout=60)
def gateway_errors(env):
    """consecutiveGatewayErrors counts 503 when 5xx are not counted; 0 turns a count off."""
    with Flaky(env) as flaky:
        flaky.policy(consecutive5xxErrors=0, interval="30s")
        flaky.set("v1", True)
        check(sum(r["status"] == 503 for r in flaky.ask(40)), 20)
        flaky.policy(consecutive5xxErrors=0, consecutiveGatewayErrors=3, interval="30s")
        check(sum(r["status"] == 503 for r in flaky.ask(60)) < 30, True)
        eventually(lambda: states(env)["10.77.1.1:8096"] == "ejected", "ejected", 2)
        check("consecutive_gateway_failure" in env.agent.log_tail(), True)


@test(timeout=60)
def resets_count(env):
    """A server that resets instead of answering is an outlier too; an answer in between begins anew."""
    only_one(env, {"consecutive5xxErrors": 3})

    def one(path):
        r = env.call("raw", host=ONE, port=80, timeout=4,
                     data=f"GET {path} HTTP/1.1\r\nHost: one\r\nConnection: close\r\n\r\n")
        return r["data"][:12]
    for path in ("/reset", "/reset", "/echo", "/reset", "/close"):
        one(path)
    check(set(states(env, "one").values()), {"healthy"})
    one("/reset")
    eventually(lambda: set(states(env, "one").values()) == {"ejected"}, "ejected", 2)
    check("no healthy upstream" in env.call("raw", host=ONE, port=80, timeout=4,
                                            data="GET / HTTP/1.1\r\nHost: one\r\nConnection: close\r\n\r\n")["data"], True)


@test(timeout=60)
def timeouts_count_apart(env):
    """splitExternalLocalOriginErrors: a server that answers too late has failed, and 5xx are another count."""
    only_one(env, {"consecutive5xxErrors": 2, "splitExternalLocalOriginErrors": True,
                   "consecutiveLocalOriginFailures": 3}, timeout="0.1s")

    def ask(target):
        return env.call("exchange", host=ONE, port=80, requests=[{"host": "one", "target": target}])[0]
    check([ask("/late?ms=400")["status"] for _ in range(2)], [504, 504])
    check(ask("/status?code=500")["status"], 500)
    check([ask("/late?ms=400")["status"] for _ in range(2)], [504, 504])
    check(set(states(env, "one").values()), {"healthy"})
    check(ask("/late?ms=400")["status"], 504)
    eventually(lambda: set(states(env, "one").values()) == {"ejected"}, "ejected", 2)
    check("consecutive_local_origin_failure" in env.agent.log_tail(), True)


@test(timeout=60)
def error_codes(env):
    """outlierDetectionHttpErrorCodes: only these statuses are errors, below 500 too."""
    only_one(env, {"consecutive5xxErrors": 3, "outlierDetectionHttpErrorCodes": [404, 503]})

    def ask(*codes):
        rows = [{"host": "one", "target": f"/status?code={c}"} for c in codes]
        return [r["status"] for r in env.call("exchange", host=ONE, port=80, requests=rows)]
    check(ask(500, 500, 500, 500, 404, 404, 500, 503, 503, 200), [500, 500, 500, 500, 404, 404, 500, 503, 503, 200])
    check(set(states(env, "one").values()), {"healthy"})
    ask(404, 503, 404)
    eventually(lambda: set(states(env, "one").values()) == {"ejected"}, "ejected", 2)
