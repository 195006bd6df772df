# SPDX-License-Identifier: Apache-2.0
"""What a VirtualService has done to a request and its answer, with curl and a stock server, on both data paths.

    curl --> reco (10.96.0.10:8080, nginx) or origin (10.96.0.20:9000, says what it got)
"""
import json
import re
import time

import mesh
from mesh import dst, rule
from runner import check, check_share, eventually, test
from servers import PYTHON
from world import ORIGIN, V1, V2

GOOD = "https://good.example"


def curl(env, path, *args, host="origin:9000"):
    """(status, {header: value}, body)."""
    out = env.curl("-i", *args, f"http://{host}{path}").replace("\r\n", "\n")
    head, _, body = out.partition("\n\n")
    lines = head.split("\n")
    return int(lines[0].split()[1]), {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}, body


def echo(env, path, *args):
    """What the server saw: (target, {header: value})."""
    status, _, body = curl(env, path, *args)
    check(status, 200, body)
    seen = json.loads(body)
    return seen["target"], {k.lower(): v for k, v in seen["headers"]}


@test()
def regex_rewrite(env):
    """The path is replaced by groups of a pattern; the query stays."""
    env.policy(mesh.vs("origin", [
        rule(dst("origin"), {"uri": {"prefix": "/svc/"}},
             rewrite={"uriRegexRewrite": {"match": "^/svc/([^/]+)$", "rewrite": "/\\1"}}),
        rule(dst("origin"), rewrite={"uriRegexRewrite": {"match": "/one", "rewrite": ""}})]))
    check(echo(env, "/svc/echo?q=/svc/x")[0], "/echo?q=/svc/x")
    check(echo(env, "/one/echo/one?q=1")[0], "/echo?q=1")
    check(echo(env, "/echo")[0], "/echo")


@test()
def redirects(env):
    """Every part of a Location."""
    env.policy(mesh.vs("reco", [
        {"match": [{"uri": {"prefix": "/foo"}}], "redirect": {"prefixRewrite": "/bar", "redirectCode": 307}},
        {"match": [{"uri": {"prefix": "/port"}}], "redirect": {"port": 8443, "scheme": "https"}},
        {"match": [{"uri": {"prefix": "/derive"}}], "redirect": {"derivePort": "FROM_REQUEST_PORT", "authority": "a.b"}},
        {"match": [{"uri": {"prefix": "/uri"}}], "redirect": {"uri": "/new", "authority": "a.b:1"}},
        rule(dst("reco"))]))
    for path, want in (("/foo/x?a=1", (307, "http://reco:8080/bar/x?a=1")), ("/port", (301, "https://reco:8443/port")),
                       ("/derive/x", (301, "http://a.b:8080/derive/x")), ("/uri/x?a=1", (301, "http://a.b:1/new?a=1"))):
        status, headers, _ = curl(env, path, host="reco:8080")
        check((status, headers.get("location")), want, path)


@test()
def cors(env):
    """A preflight is answered, answers to an allowed origin are marked, others pass as they are."""
    env.policy(mesh.vs("origin", [rule(dst("origin"), corsPolicy={
        "allowOrigins": [{"exact": GOOD}, {"regex": "https://[a-z]+\\.re"}], "allowMethods": ["GET", "PUT"],
        "allowHeaders": ["x-q"], "exposeHeaders": ["x-a"], "maxAge": "10m", "allowCredentials": True})]))
    ask = ["-X", "OPTIONS", "-H", "Access-Control-Request-Method: PUT"]
    status, h, body = curl(env, "/echo", *ask, "-H", f"Origin: {GOOD}")
    check((status, body, h.get("access-control-allow-origin"), h.get("access-control-allow-methods"),
           h.get("access-control-allow-headers"), h.get("access-control-max-age"),
           h.get("access-control-allow-credentials")), (200, "", GOOD, "GET,PUT", "x-q", "600", "true"))
    status, h, body = curl(env, "/echo", *ask, "-H", "Origin: https://bad.example")
    check((status, "access-control-allow-origin" in h, "OPTIONS" in body), (200, False, True), "forwarded")
    before = env.requests()["kernel"]
    for _ in range(5):
        curl(env, "/echo")
    if env.datapath == "kernel":
        check(env.requests()["kernel"] - before >= 5, True, "requests without Origin stay in the kernel")
    for origin, marked in ((GOOD, True), ("https://abc.re", True), ("https://bad.example", False), (None, False)):
        _, h, _ = curl(env, "/echo", *(["-H", f"Origin: {origin}"] if origin else []))
        check(h.get("access-control-allow-origin"), origin if marked else None)
        check(h.get("access-control-expose-headers"), "x-a" if marked else None)


@test()
def operators(env):
    """Values of header operations that are made from the request and its answer."""
    env.policy(mesh.vs("origin", [rule(dst("origin"), name="main", headers={
        "request": {"set": {"x-from": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "x-first": "%REQ(x-none?user-agent):4%",
                            "x-share": "100%%", "x-nothing": "%REQ(x-none)%"}},
        "response": {"set": {"x-info": "%RESPONSE_CODE% %PROTOCOL% %ROUTE_NAME% %RESP(x-version)%"}}})]))
    _, seen = echo(env, "/echo", "-4", "-H", "X-Nothing: stays")
    check((seen["x-first"], seen["x-share"], seen["x-nothing"]), ("curl", "100%", "stays"))
    check(seen["x-from"], "10.77.100.1")
    status, h, _ = curl(env, "/status?code=418")
    check((status, h["x-info"]), (418, f"418 HTTP/1.1 main {h['x-version']}"))


@test()
def grpc_abort(env):
    """A gRPC client gets its status in a head without body, others the HTTP status of it."""
    env.policy(mesh.vs("origin", [rule(dst("origin"), fault={
        "abort": {"grpcStatus": "UNAVAILABLE", "percentage": {"value": 100}}})]))
    status, h, body = curl(env, "/echo", "-X", "POST", "-H", "Content-Type: application/grpc", "-d", "x")
    check((status, h.get("grpc-status"), h.get("content-type"), body), (200, "14", "application/grpc", ""))
    check(curl(env, "/echo")[::2], (503, "fault filter abort"))


@test()
def client_headers(env):
    """What a client says about timeouts and retries changes nothing, and no server hears of it; the kernel hands such
    requests over."""
    asked = ["-H", "x-envoy-upstream-rq-timeout-ms: 1", "-H", "x-envoy-max-retries: 5", "-H", "x-envoy-retry-on: 5xx",
             "-H", "x-envoy-attempt-count: 9"]
    for more in ({}, {"timeout": "2s", "retries": {"attempts": 0}}):
        env.policy(mesh.vs("origin", [rule(dst("origin"), **more)]))
        check(curl(env, "/late?ms=50", *asked)[0], 200)
        check([k for k in echo(env, "/echo", *asked)[1] if k.startswith("x-envoy")], [])


@test(args=("--metrics", "127.0.0.1:15921"))
def stat_prefix(env):
    """A match with a statPrefix is counted by itself."""
    env.policy(mesh.vs("reco", [rule(dst("reco"), [
        {"uri": {"prefix": "/counted"}, "statPrefix": "mine"}, {"uri": {"prefix": "/"}}])]))
    for path in ("/counted", "/counted/x", "/other"):
        curl(env, path, host="reco:8080")

    def count(text):
        return sum(int(line.split()[-1]) for line in text.split("\n")
                   if line.startswith("headrace_route_requests_total") and 'stat_prefix="mine"' in line)
    eventually(lambda: count(env.agent.metrics("127.0.0.1:15921")) == 2, "two requests are counted")


def seen_by(env, pod):
    """What the pod's origin has got for /echo since it was asked last."""
    url = f"http://{(V1 if pod == 'v1' else V2)[0]}:9000/seen"
    return json.loads(env.topo.run(pod, "curl", "-s", url).stdout)


@test()
def mirror(env):
    """Every request to v1 has a copy at v2: the same target, Host, fields and body; the client sees v1's answers."""
    copied(env, headers={"request": {"set": {"x-added": "1"}}})


@test()
def mirror_in_kernel(env):
    """The same where nothing else needs the agent: requests without body stay in the kernel, which tells the agent."""
    copied(env)
    env.policy(mesh.vs("origin", [rule(dst("origin", "v1"), mirrors=[
        {"destination": dst("origin", "v2")["destination"], "percentage": {"value": v}} for v in (40, 10)])]))
    seen_by(env, "v2")
    before = env.requests()["kernel"]
    env.call("exchange", host=ORIGIN, port=9000, requests=[{"target": "/echo", "host": "origin:9000"}] * 400)
    if env.datapath == "kernel":
        check(env.requests()["kernel"] - before >= 390, True, "requests without body")
    time.sleep(0.3)
    check_share(len(seen_by(env, "v2")), 800, 0.25, "40 % and 10 % of 400", sigmas=4)


def copied(env, **more):
    env.policy(mesh.vs("origin", [rule(dst("origin", "v1"), mirror=dst("origin", "v2")["destination"], **more)]))
    seen_by(env, "v1"), seen_by(env, "v2")
    got = env.call("exchange", host=ORIGIN, port=9000, requests=[
        {"method": "POST" if i % 2 else "GET", "target": f"/echo?{i}", "host": "origin:9000",
         **({"body": "x" * 100 * i} if i % 2 else {})} for i in range(20)])
    check({(r["status"], r["version"]) for r in got}, {(200, "v1")})
    copies = []

    def all_here():
        copies.extend(seen_by(env, "v2"))
        return len(copies) >= 20
    eventually(all_here, "20 copies")

    def facts(rows):
        return sorted((r["method"], r["target"], r["body"], r["sha256"],
                       sorted((k.lower(), v) for k, v in r["headers"])) for r in rows)
    check(facts(copies), facts(seen_by(env, "v1")))
    check(any(k.lower() == "x-added" for k, _ in copies[0]["headers"]), bool(more))


@test(datapaths=("kernel",), args=("--metrics", "127.0.0.1:15921"))
def mirror_stuck(env):
    """A mirror that takes requests and never answers: 128 copies are under way, the others are dropped and counted, and
    the requests stay in the kernel and do not notice."""
    env.topo.spawn("v2", [PYTHON, "-c", "import socket, time; s = socket.create_server(('10.77.2.1', 9990), backlog=500); "
                          "time.sleep(20)"])
    env.topo.wait_port("v2", 9990)
    env.policy(mesh.service_entry("stuck", ["stuck.example"], {"http": (9990, "HTTP")}, [("10.77.2.1", None)]),
               mesh.vs("origin", [rule(dst("origin", "v1"), mirror={"host": "stuck.example"})]))
    before = env.requests()["kernel"]
    got = env.call("exchange", host=ORIGIN, port=9000, requests=[{"target": "/echo", "host": "origin:9000"}] * 400)
    check({(r["status"], r["version"]) for r in got}, {(200, "v1")})
    others = 400 - (env.requests()["kernel"] - before)
    check(others <= 10, True, "they stay in the kernel")

    def copies(what):
        return int(re.search(rf"^headrace_mirror_{what} (\d+)", env.agent.metrics("127.0.0.1:15921"), re.M).group(1))
    eventually(lambda: copies("requests_total") + copies('dropped_total{reason="too-many"}') == 400, "each is counted")
    check(127 <= copies("requests_total") <= 128 + others, True, f"{copies('requests_total')} were sent")


@test()
def mirror_missing(env):
    """Mirrors that are not there, or refuse: the requests do not notice."""
    env.policy(mesh.service_entry("closed", ["closed.example"], {"http": (7, "HTTP")}, [("10.77.1.1", None)]),
               mesh.vs("origin", [rule(dst("origin", "v1"), mirrors=[
                   {"destination": {"host": h}} for h in ("empty", "nowhere.example", "closed.example")])]))
    got = env.call("exchange", host=ORIGIN, port=9000, requests=[
        {"target": "/echo", "host": "origin:9000"} for _ in range(20)])
    check({(r["status"], r["version"]) for r in got}, {(200, "v1")})
