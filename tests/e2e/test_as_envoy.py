# SPDX-License-Identifier: Apache-2.0
"""What runs beside real Envoy (tests/diff) have found, held here without one.

    curl --> reco (10.96.0.10:8080, nginx) or origin (10.96.0.20:9000, says what it got)
"""
import json

import mesh
from mesh import dst, header, rule
from runner import check, eventually, test
from test_actions import curl, echo
from world import ORIGIN, RECO

FAULT = {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}


def ops(request=None, response=None):
    return {"headers": {k: v for k, v in (("request", request), ("response", response)) if v}}


@test()
def order_of_operations(env):
    """Operations of an only destination are in one list with the route's: removals, settings, additions, the route's
    first. Of several destinations the chosen one's come first."""
    own = ops({"set": {"x-set": "dest"}, "add": {"x-add": "dest"}, "remove": ["x-add", "x-gone"]}, {"set": {"x-info": "dest"}})
    ours = ops({"set": {"x-set": "route"}, "add": {"x-add": "route", "x-gone": "kept"}}, {"set": {"x-info": "route"}})
    for more in ({}, {"timeout": "3s"}, {"rewrite": {"authority": "x.example"}}):  # the kernel's, and the agent's
        env.policy(mesh.vs("origin", [rule({**dst("origin"), **own}, header("x-one"), **ours, **more),
                                      rule([{**dst("origin", "v1", 1), **own}, dst("origin", "v2", 0)], **ours, **more)]))
        for one, set_, added in ((["-H", "x-one: 1"], "dest", "route,dest"), ([], "route", "dest,route")):
            _, h, body = curl(env, "/echo", "-H", "x-add: client", *one)
            check(h.get("x-info"), set_)
            seen = {}
            for k, v in json.loads(body)["headers"]:
                seen[k.lower()] = f"{seen[k.lower()]},{v}" if k.lower() in seen else v
            check((seen["x-set"], seen["x-add"], seen["x-gone"]), (set_, added, "kept"))


@test()
def order_in_kernel(env):
    """The same where only requests are changed: the kernel appends them."""
    own = ops({"set": {"x-set": "dest"}, "add": {"x-add": "dest"}})
    env.policy(mesh.vs("origin", [rule({**dst("origin"), **own}, **ops({"set": {"x-set": "route"}, "add": {"x-add": "route"}}))]))
    before = env.requests()["kernel"]
    for _ in range(4):
        got, = env.call("exchange", host=ORIGIN, port=9000, requests=[{"target": "/echo", "host": "origin"}])
        seen = [(k, v) for k, v in json.loads(got["body"])["headers"] if k.startswith("x-")]
        check(seen, [("x-set", "dest"), ("x-add", "route"), ("x-add", "dest")])
    if env.datapath == "kernel":
        check(env.requests()["kernel"] - before, 4)


@test()
def answers_of_our_own(env):
    """What a route does to answers it does to those that its server did not give."""
    marked = ops(None, {"set": {"x-mark": "m"}})
    env.policy(mesh.vs("origin", [
        rule(dst("origin"), {"uri": {"prefix": "/abort"}}, fault=FAULT, **marked),
        rule({**dst("origin"), **marked}, {"uri": {"prefix": "/dest"}}, fault=FAULT),
        rule(dst("origin"), {"uri": {"prefix": "/late"}}, timeout="0.1s", **marked),
        rule(dst("origin"), {"uri": {"prefix": "/reset"}}, retries={"attempts": 0}, **marked),
        rule(dst("origin", "none"), {"uri": {"prefix": "/nowhere"}}, **marked),
        rule(dst("origin"), {"uri": {"prefix": "/cut-head"}}, retries={"attempts": 0}, **marked)]))
    for path, want in (("/abort", 418), ("/dest", 418), ("/late?ms=2000", 504), ("/reset", 503), ("/nowhere", 503),
                       ("/cut-head", 502)):
        status, h, _ = curl(env, path)
        check((status, h.get("x-mark")), (want, "m"), path)
    status, h, _ = curl(env, "/abort", "-H", "Content-Type: application/grpc")
    check((status, h.get("grpc-status"), h.get("x-mark")), (200, "2", "m"))
    env.policy(mesh.vs("origin", [{"directResponse": {"status": 503, "body": {"string": "closed"}}, **marked}]))
    status, h, body = curl(env, "/", "-H", "Content-Type: application/grpc")
    check((status, h.get("grpc-status"), h.get("grpc-message"), h.get("x-mark"), body), (200, "14", "closed", "m", ""))


@test()
def operators(env):
    """In an answer the request is what was sent on; a value that was removed is gone; of several it is the first."""
    env.policy(mesh.vs("origin", [rule(dst("origin"), {"uri": {"prefix": "/from"}}, rewrite={"uri": "/echo"}, **ops(
        {"set": {"x-a": "new", "x-was": "%REQ(x-a)%", "x-gone": "[%REQ(x-b)%]"}, "remove": ["x-b"]},
        {"set": {"x-path": "%REQ(:path)%", "x-host": "%REQ(:authority)%", "x-now": "%REQ(x-a)%", "x-not": "[%RESP(x-pod)%]"},
         "remove": ["x-pod"]}))]))
    status, h, body = curl(env, "/from?q=1", "-H", "x-a: old", "-H", "x-a: older", "-H", "x-b: b")
    seen = dict(json.loads(body)["headers"])
    check((status, seen["x-a"], seen["x-was"], seen["x-gone"]), (200, "new", "old", "[]"))
    check([h.get(n) for n in ("x-path", "x-host", "x-now", "x-not")], ["/echo?q=1", "origin:9000", "new", "[]"])


@test()
def authority(env):
    """rewrite.authority before a Host that is set, the route's Host before the destination's."""
    host = {n: ops({"set": {"Host": f"{n}.example"}}) for n in ("route", "dest")}
    rewrite = {"rewrite": {"authority": "rewrite.example"}}
    env.policy(mesh.vs("origin", [
        rule(dst("origin"), {"uri": {"prefix": "/echo/1"}}, **rewrite, **host["route"]),
        rule({**dst("origin"), **host["dest"]}, {"uri": {"prefix": "/echo/2"}}, **rewrite),
        rule({**dst("origin"), **host["dest"]}, {"uri": {"prefix": "/echo/3"}}, **host["route"]),
        rule({**dst("origin"), **host["dest"]}, {"uri": {"prefix": "/echo/4"}})]))
    hosts = []
    for n in range(1, 5):
        curl(env, f"/echo/{n}")
    for pod in ("v1", "v2"):
        url = "http://127.0.0.1:9000/seen"
        hosts += [(r["target"], dict(r["headers"])["Host"]) for r in json.loads(env.topo.run(pod, "curl", "-s", url).stdout)]
    check(sorted(x for x in hosts if x[0].startswith("/echo/")), [
        ("/echo/1", "rewrite.example"), ("/echo/2", "rewrite.example"), ("/echo/3", "route.example"), ("/echo/4", "dest.example")])


@test()
def star_is_presence(env):
    """regex "*" asks for presence, in headers, withoutHeaders and queryParams; by the kernel, as {} is."""
    star = {"regex": "*"}
    env.policy(mesh.vs("reco", [
        rule(dst("reco", "v2"), {"headers": {"x-a": star}}), rule(dst("reco", "v2"), {"queryParams": {"q": star}}),
        rule(dst("user"), {"withoutHeaders": {"x-b": star}}), rule(dst("reco", "v1"))]))

    def who(target, *headers):
        return env.call("exchange", host=RECO, port=8080, requests=[
            {"target": target, "host": "reco", "headers": list(headers)}])[0]["version"]
    check([who("/", ["x-a", ""], ["x-b", ""]), who("/?q", ["x-b", ""]), who("/"), who("/?p=q", ["x-b", "1"])],
          ["v2", "v2", "user", "v1"])
    env.policy(mesh.vs("reco", [rule(dst("reco", "v2"), {"headers": {"x-a": star}}), rule(dst("reco", "v1"))]))
    before = env.requests()["kernel"]
    check([who("/", ["x-a", "1"]), who("/")], ["v2", "v1"])
    if env.datapath == "kernel":
        check(env.requests()["kernel"] - before, 2)


@test()
def ports_of_redirects(env):
    """The port that the scheme says is not said again."""
    env.policy(mesh.vs("reco", [
        {"match": [{"uri": {"prefix": f"/{i}"}}], "redirect": {"authority": "a.example", **r}} for i, r in enumerate((
            {"port": 80}, {"port": 443, "scheme": "https"}, {"port": 443}, {"port": 80, "scheme": "https"}))]))
    check([curl(env, f"/{i}", host="reco:8080")[1]["location"] for i in range(4)], [
        "http://a.example/0", "https://a.example/1", "http://a.example:443/2", "https://a.example:80/3"])


@test()
def trailers_wanted(env):
    """`te: trailers` is passed on: trailers are."""
    env.policy(mesh.vs("origin", [rule(dst("origin"), **ops(None, {"set": {"x-agent": "1"}}))]))
    check(echo(env, "/echo", "-H", "TE: trailers", "-H", "Connection: TE")[1].get("te"), "trailers")
    check(echo(env, "/echo", "-H", "TE: gzip")[1].get("te"), None)


@test(args=("--access-log", "-", "--access-log-sample", "1"))
def flags(env):
    """The access log's words, whoever carries: held up and then aborted, a destination that nothing defines, an answer
    that its server cuts."""
    env.policy(mesh.vs("origin", [
        rule(dst("origin"), {"uri": {"prefix": "/held"}}, fault={
            **FAULT, "delay": {"fixedDelay": "0.05s", "percentage": {"value": 100}}}),
        rule(dst("origin", "none"), {"uri": {"prefix": "/nowhere"}}), rule(dst("origin"))]))
    for path in ("/held", "/nowhere", "/half?n=1000"):
        env.exec_("curl", "-sS", "-o", "/dev/null", "--max-time", "10", f"http://origin:9000{path}", check=False)

    def logged():
        rows = [json.loads(x) for x in env.agent.log_tail(20000).splitlines() if x.startswith("{")]
        return sorted((r["status"], r["flags"]) for r in rows if "flags" in r)
    want = [(200, "UC"), (418, "DI,FI"), (503, "NC")]
    eventually(lambda: logged() == want, f"{want} in the access log: {logged()}")
