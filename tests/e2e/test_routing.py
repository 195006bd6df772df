# SPDX-License-Identifier: Apache-2.0
"""Which rule takes a request."""
import os

import mesh
from mesh import dst, header, rule
from runner import check, eventually, test
from world import ORIGIN, RECO, RECO6, USER

V1, V2 = dst("reco", "v1"), dst("reco", "v2")

# (rule's match, requests that meet it -> v2, requests that just miss it -> v1); a request is
# (method, target, headers). The paths keep the rows apart.
CONDITIONS = [
    ({"uri": {"exact": "/exact"}},
     [("GET", "/exact", []), ("GET", "/exact?q=1", [])],
     [("GET", "/exact/", []), ("GET", "/Exact", []), ("GET", "/exac", [])]),
    ({"uri": {"prefix": "/pre"}},
     [("GET", "/pre", []), ("GET", "/prefix/x", []), ("GET", "/pre?x=/y", [])],
     [("GET", "/pr", []), ("GET", "/Pre", [])]),
    ({"uri": {"prefix": "/h1/"}, "headers": {"x-canary": {"exact": "true"}}},
     [("GET", "/h1/", [["x-canary", "true"]]), ("GET", "/h1/", [["X-Canary", "true"]]),
      ("GET", "/h1/", [["a", "b"], ["x-canary", "  true  "]])],
     [("GET", "/h1/", []), ("GET", "/h1/", [["x-canary", "True"]]), ("GET", "/h1/", [["x-canary", "true1"]]),
      ("GET", "/h1/", [["x-canar", "true"]]), ("GET", "/h1/", [["y-x-canary", "true"]]),
      ("GET", "/h1/", [["y", "x-canary: true"]])]),
    ({"uri": {"prefix": "/h2/"}, "headers": {"user-agent": {"prefix": "mozilla"}}},
     [("GET", "/h2/", [["User-Agent", "mozilla/5.0"]]), ("GET", "/h2/", [["user-agent", "mozilla"]])],
     [("GET", "/h2/", [["user-agent", "curl mozilla"]]), ("GET", "/h2/", [["user-agent", "mozill"]])]),
    ({"uri": {"prefix": "/h3/"}, "headers": {"x-debug": {}}},
     [("GET", "/h3/", [["x-debug", "1"]]), ("GET", "/h3/", [["x-debug", ""]])],
     [("GET", "/h3/", []), ("GET", "/h3/", [["x-debugger", "1"]])]),
    ({"uri": {"prefix": "/h4/"}, "headers": {"x-a": {"exact": "1"}, "x-b": {"exact": "2"}}},
     [("GET", "/h4/", [["x-b", "2"], ["x-a", "1"]])],
     [("GET", "/h4/", [["x-a", "1"]]), ("GET", "/h4/", [["x-b", "2"]]), ("GET", "/h4/", [["x-a", "2"], ["x-b", "1"]])]),
    ({"uri": {"prefix": "/w1/"}, "withoutHeaders": {"x-skip": {"exact": "yes"}}},
     [("GET", "/w1/", []), ("GET", "/w1/", [["x-skip", "no"]])],
     [("GET", "/w1/", [["x-skip", "yes"]])]),
    ({"uri": {"prefix": "/w2/"}, "withoutHeaders": {"x-skip": {}}},
     [("GET", "/w2/", [])],
     [("GET", "/w2/", [["x-skip", "no"]]), ("GET", "/w2/", [["x-skip", ""]])]),
    ({"uri": {"prefix": "/m1/"}, "method": {"exact": "POST"}},
     [("POST", "/m1/", [])],
     [("GET", "/m1/", []), ("PUT", "/m1/", []), ("DELETE", "/m1/", [])]),
    ([{"uri": {"exact": "/or/a"}}, {"uri": {"exact": "/or/b"}}],
     [("GET", "/or/a", []), ("GET", "/or/b", [])],
     [("GET", "/or/c", []), ("GET", "/or/", [])]),
    ({"uri": {"prefix": "/join/"}, "headers": {"x-l": {"exact": "a,b"}}},
     [("GET", "/join/", [["x-l", "a,b"]]), ("GET", "/join/", [["x-l", "a"], ["x-l", "b"]])],
     [("GET", "/join/", [["x-l", "a"]]), ("GET", "/join/", [["x-l", "b"], ["x-l", "a"]])]),
]

# Those that only the agent decides: the kernel hands over what may match, and keeps the rest.
AGENT_CONDITIONS = [
    ({"uri": {"regex": "/re/v[12](/.*)?"}},
     [("GET", "/re/v1", []), ("GET", "/re/v2/x?y=1", [])],
     [("GET", "/re/v3", []), ("GET", "/x/re/v1", []), ("GET", "/re/v1x", [])]),
    ({"uri": {"prefix": "/hr/"}, "headers": {"cookie": {"regex": "^(.*?;)?(user=jason)(;.*)?$"}}},
     [("GET", "/hr/", [["cookie", "a=b;user=jason"]]), ("GET", "/hr/", [["cookie", "user=jason"]])],
     [("GET", "/hr/", []), ("GET", "/hr/", [["cookie", "user=jasonx"]])]),
    ({"uri": {"prefix": "/wr/"}, "withoutHeaders": {"x-skip": {"regex": "y(es)?"}}},
     [("GET", "/wr/", []), ("GET", "/wr/", [["x-skip", "yess"]])],
     [("GET", "/wr/", [["x-skip", "yes"]]), ("GET", "/wr/", [["x-skip", "y"]])]),
    ({"uri": {"exact": "/Case/Exact"}, "ignoreUriCase": True},
     [("GET", "/case/EXACT", []), ("GET", "/Case/Exact", [])], [("GET", "/case/exact/", [])]),
    ({"uri": {"prefix": "/Case/pre"}, "ignoreUriCase": True},
     [("GET", "/CASE/PREfix", [])], [("GET", "/case/pr", [])]),
    ({"uri": {"prefix": "/q1/"}, "queryParams": {"v": {"exact": "2"}}},
     [("GET", "/q1/?v=2", []), ("GET", "/q1/?a=1&v=2&v=3", [])],
     [("GET", "/q1/", []), ("GET", "/q1/?v=3&v=2", []), ("GET", "/q1/?vv=2", []), ("GET", "/q1/?v=%32", [])]),
    ({"uri": {"prefix": "/q2/"}, "queryParams": {"v": {"prefix": "ca"}, "w": {}}},
     [("GET", "/q2/?v=canary&w", [])], [("GET", "/q2/?v=canary", []), ("GET", "/q2/?v=c&w", [])]),
    ({"uri": {"prefix": "/q3/"}, "queryParams": {"v": {"regex": "\\d+"}}},
     [("GET", "/q3/?v=12", [])], [("GET", "/q3/?v=1a", []), ("GET", "/q3/?v=", [])]),
    ({"uri": {"prefix": "/mr/"}, "method": {"regex": "PUT|DELETE"}},
     [("PUT", "/mr/", []), ("DELETE", "/mr/", [])], [("GET", "/mr/", []), ("POST", "/mr/", [])]),
    ({"uri": {"prefix": "/sch/"}, "scheme": {"exact": "https"}},
     [("GET", "/sch/", [["x-forwarded-proto", "https"]])],
     [("GET", "/sch/", []), ("GET", "/sch/", [["x-forwarded-proto", "http"]])]),
    ({"uri": {"prefix": "/au/"}, "authority": {"regex": "reco(:\\d+)?"}}, [("GET", "/au/", [])], []),
    ({"uri": {"prefix": "/nau/"}, "authority": {"exact": "reco"}}, [], [("GET", "/nau/", [])]),
    ({"headers": {":path": {"exact": "/pseudo?x=1"}}},
     [("GET", "/pseudo?x=1", [])], [("GET", "/pseudo", []), ("GET", "/pseudo?x=12", [])]),
    ({"uri": {"prefix": "/pm/"}, "headers": {":method": {"exact": "PUT"}}},
     [("PUT", "/pm/", [])], [("GET", "/pm/", [])]),
    ({"uri": {"prefix": "/pa/"}, "headers": {":authority": {"prefix": "reco"}, ":scheme": {"exact": "http"}}},
     [("GET", "/pa/", [])], [("GET", "/pa/", [["x-forwarded-proto", "https"]])]),
]


def _requests(rows):
    return [{"method": m, "target": t, "headers": h, "host": "reco:8080",
             **({"body": "x"} if m in ("POST", "PUT") else {})} for m, t, h in rows]


def _met_and_missed(env, conditions):
    env.policy(mesh.vs("reco", [rule(V2, match) for match, _, _ in conditions] + [rule(V1)]))
    wrong = []
    for match, hits, misses in conditions:
        for rows, want in ((hits, "v2"), (misses, "v1")):
            for req, r in zip(rows, env.call("exchange", host=RECO, port=8080, requests=_requests(rows))):
                if r["version"] != want:
                    wrong.append(f"{match}: {req} -> {r['status']} {r['version']}, want {want}")
    check(wrong, [])


@test()
def conditions(env):
    """Every kind of condition, met and just missed, request by request on one keep-alive connection."""
    _met_and_missed(env, CONDITIONS)


@test()
def agent_conditions(env):
    """The same for conditions that only the agent decides."""
    _met_and_missed(env, AGENT_CONDITIONS)


@test()
def agent_conditions_beside(env):
    """A rule that only the agent decides costs only the requests that it may match their kernel path."""
    env.policy(mesh.vs("reco", [rule(V2, {"uri": {"prefix": "/re/"}, "queryParams": {"v": {"exact": "2"}}}), rule(V1)]))
    before = env.requests()
    got = env.call("exchange", host=RECO, port=8080, requests=_requests([("GET", "/plain", [])] * 20))
    check([r["version"] for r in got], ["v1"] * 20)
    if env.datapath == "kernel":
        after = env.requests()
        check(after["kernel"] - before["kernel"] >= 19, True, f"{before} {after}")
    got = env.call("exchange", host=RECO, port=8080, requests=_requests(
        [("GET", t, []) for t in ("/re/?v=2", "/re/?v=1", "/plain", "/re/?v=2")]))
    check([r["version"] for r in got], ["v2", "v1", "v1", "v2"])


@test()
def regex_refused(env):
    """A pattern that RE2 refuses is refused by name and place, and what was in effect stays."""
    env.policy(mesh.vs("reco", [rule(V2)]))
    bad = mesh.to_yaml([mesh.vs("reco", [rule(V1, {"uri": {"regex": "/(a)\\1"}})])])
    path = os.path.join(env.agent.dir, "bad.yaml")
    with open(path, "w") as f:
        f.write(bad)
    done = env.agent.ctl("apply", "-f", path, check=False)
    check((done.returncode != 0, "back-reference" in done.stdout + done.stderr), (True, True), done.stderr)
    got = env.call("exchange", host=RECO, port=8080, requests=_requests([("GET", "/", [])]))
    check(got[0]["version"], "v2")


@test()
def first_match_wins(env):
    """Istio's order: the first rule that matches decides, however specific a later one is."""
    env.policy(mesh.vs("reco", [rule(V1, {"uri": {"prefix": "/a"}}), rule(V2, {"uri": {"exact": "/a/b"}}),
                                rule(V2, {"uri": {"prefix": "/c/d"}}), rule(V1, {"uri": {"prefix": "/c"}}), rule(V2)]))
    got = env.call("exchange", host=RECO, port=8080, requests=_requests(
        [("GET", t, []) for t in ("/a/b", "/a", "/c/d/e", "/c/x", "/z")]))
    check([r["version"] for r in got], ["v1", "v1", "v2", "v1", "v2"])


@test()
def by_port(env):
    """One VirtualService, two ports of the service: `match.port` is the port the client asked for."""
    env.policy(mesh.service("ports", ["10.96.1.1"], {"http-a": (81, 8080), "http-b": (82, 8080)}),
               mesh.slice_("ports", {"http-a": 8080, "http-b": 8080}, [("10.77.1.1", "reco-v1"), ("10.77.2.1", "reco-v2")]),
               mesh.dr("ports", {"v1": {"version": "v1"}, "v2": {"version": "v2"}}),
               mesh.vs("ports", [rule(dst("ports", "v2", port=82), {"port": 82}), rule(dst("ports", "v1", port=81))]))
    for port, want in ((81, "v1"), (82, "v2")):
        got = env.call("exchange", host="10.96.1.1", port=port, requests=[{"host": f"ports:{port}"}] * 4)
        check([r["version"] for r in got], [want] * 4, f"port {port}")


@test()
def host_spellings(env):
    """All names of one service are the same host: case, port, trailing dot and the longer forms do not matter."""
    env.policy(mesh.vs("reco", [rule(V2)]))
    names = ["reco", "reco:8080", "RECO", "reco.default", "reco.default.svc", "Reco.Default.svc.cluster.local:8080",
             "reco.default.svc.cluster.local."]
    got = env.call("exchange", host=RECO, port=8080, requests=[{"host": h} for h in names])
    check({h: r["version"] for h, r in zip(names, got)}, {h: "v2" for h in names})


@test()
def absolute_form(env):
    """RFC 9112 3.2.2: a server must accept the absolute form; the authority in it is the host."""
    env.policy(mesh.vs("reco", [rule(V2, {"uri": {"exact": "/abs"}}), rule(V1)]))
    got = env.call("exchange", host=RECO, port=8080, requests=[
        {"raw": "GET http://reco:8080/abs HTTP/1.1\r\nHost: reco:8080\r\n\r\n"}, {"target": "/other", "host": "reco"}])
    check([r["version"] for r in got], ["v2", "v1"])


@test()
def unnormalised_paths(env):
    """Policies see the path that the server will use: dot segments and needless escapes do not get around a rule."""
    env.policy(mesh.vs("reco", [rule(V2, {"uri": {"prefix": "/admin"}}), rule(V1)]))
    same = ["/admin", "/x/../admin", "/./admin", "/%61dmin", "/x/%2e%2e/admin", "/x\\..\\admin"]
    got = env.call("exchange", host=RECO, port=8080, requests=[{"target": t, "host": "reco"} for t in same])
    check({t: r["version"] for t, r in zip(same, got)}, {t: "v2" for t in same})


@test()
def another_service(env):
    """A route may lead to another service than the one asked for."""
    env.policy(mesh.vs("reco", [rule(dst("user"), {"uri": {"prefix": "/users"}}), rule(V1)]))
    got = env.call("exchange", host=RECO, port=8080, requests=_requests(
        [("GET", t, []) for t in ("/users/7", "/", "/users", "/")]))
    check([r["version"] for r in got], ["user", "v1", "user", "v1"])


@test()
def without_policy(env):
    """A service that no VirtualService names is balanced over its endpoints."""
    got = env.call("count", host=RECO, port=8080, total=200, connections=20, vhost="reco")
    check(sorted(got["seen"]), ["v1", "v2"])
    check((got["status"], got["errors"]), ({"200": 200}, {}))
    check(env.get(f"http://{USER}:8080/")[1], "user user")


@test()
def no_rule(env):
    """A known host without a matching rule is 404, from us, and the connection goes on."""
    env.policy(mesh.vs("reco", [rule(V1, {"uri": {"exact": "/known"}})]))
    got = env.call("exchange", host=RECO, port=8080, requests=_requests(
        [("GET", t, []) for t in ("/known", "/nope", "/known", "/nope")]))
    check([r["status"] for r in got], [200, 404, 200, 404])
    check([r["server"] for r in got], ["nginx", "headrace", "nginx", "headrace"])


@test()
def ipv6(env):
    """The same decisions for a client and servers that speak IPv6."""
    env.policy(mesh.vs("reco", [rule(V2, header("x-canary", exact="true")), rule(V1)]))
    rows = [("GET", "/", [["x-canary", "true"]]), ("GET", "/", []), ("POST", "/sink", [["x-canary", "true"]])]
    got = env.call("exchange", host=RECO6, port=8080, requests=_requests(rows))
    check([r["version"] for r in got], ["v2", "v1", "v2"])
    check(env.get(f"http://[{RECO6}]:8080/", [["x-canary", "true"]]), (200, "v2 v2"))


@test(timeout=60)
def two_hundred_rules(env):
    """200 rules cost what one costs, and each is still the one that decides."""
    rules = [rule(dst("reco", "v2" if i % 2 else "v1"), header("x-tenant", exact=f"tenant-{i}")) for i in range(200)]
    env.policy(mesh.vs("reco", [*rules, rule(V1)]))
    picks = [0, 1, 2, 63, 64, 65, 126, 127, 128, 129, 191, 192, 198, 199]
    rows = [("GET", f"/{i}", [["x-tenant", f"tenant-{i}"]]) for i in picks] + [("GET", "/", [["x-tenant", "tenant-200"]])]
    got = env.call("exchange", host=RECO, port=8080, requests=_requests(rows))
    check([r["version"] for r in got], ["v2" if i % 2 else "v1" for i in picks] + ["v1"])
    before = env.requests()
    load = env.wrk(f"http://{RECO}:8080/", 2, headers=[["x-tenant", "tenant-199"], ["Host", "reco"]])
    check((load["errors"], load["bad"], load["requests"] > 1000), (0, 0, True), str(load))
    if env.datapath == "kernel":
        after = env.requests()
        share = (after["kernel"] - before["kernel"]) / (after["total"] - before["total"])
        check(share >= 0.9, True, f"kernel share {share:.3f}")


@test()
def service_entry_host(env):
    """A ServiceEntry is a host like any other; its endpoints' labels make subsets."""
    env.policy(mesh.service_entry("ext", ["api.example.test"], {"http": (80, "HTTP")},
                                  [("10.77.1.1", {"version": "v1"}), ("10.77.2.1", {"version": "v2"})],
                                  ["10.97.0.1"]),
               mesh.dr("api.example.test", {"v2": {"version": "v2"}}, name="ext"),
               mesh.vs("ext", [rule(dst("api.example.test", "v2"))], hosts=["api.example.test"]))
    # endpoints have no port of their own here: it is the service's, where nothing listens. The agent learns that.
    eventually(lambda: env.get("http://10.97.0.1:80/", [["Host", "api.example.test"]], check=False)[0] == 503, "503", 4)


@test()
def service_entry_target_port(env):
    entry = mesh.service_entry("ext", ["api.example.test"], {"http": (80, "HTTP")},
                               [("10.77.1.1", {"version": "v1"}), ("10.77.2.1", {"version": "v2"})], ["10.97.0.1"])
    entry["spec"]["ports"][0]["targetPort"] = 8080
    env.policy(entry, mesh.dr("api.example.test", {"v2": {"version": "v2"}}, name="ext"),
               mesh.vs("ext", [rule(dst("api.example.test", "v2"))], hosts=["api.example.test"]))
    got = env.call("exchange", host="10.97.0.1", port=80, requests=[{"host": "api.example.test"}] * 3)
    check([r["version"] for r in got], ["v2"] * 3)


@test()
def versions_of_the_api(env):
    """v1, v1beta1 and v1alpha3 of an object are the same policy."""
    for api in ("v1alpha3", "v1beta1", "v1"):
        env.policy(mesh.vs("origin", [rule(dst("origin", "v2"), header("x-canary", exact=api)), rule(dst("origin", "v1"))],
                           api=api))
        got = env.call("exchange", host=ORIGIN, port=9000, requests=[
            {"host": "origin", "headers": [["x-canary", api]]}, {"host": "origin"}])
        check([r["version"] for r in got], ["v2", "v1"], api)


@test()
def by_source(env):
    """Two clients of one pod, told apart by the labels and the namespace they were attached with; a third has the
    labels of its Pod."""
    env.policy(mesh.pod("web-1", ["10.77.200.1"], {"tier": "pod"}),
               mesh.vs("reco", [rule(V2, {"sourceLabels": {"tier": "gold"}}),
                                rule(V2, {"sourceNamespace": "shop", "uri": {"prefix": "/shop"}}),
                                rule(V2, {"sourceLabels": {"tier": "pod"}, "uri": {"prefix": "/pod"}}), rule(V1)]))
    clients = {"gold": {"labels": "tier=gold,app=x"}, "iron": {"labels": "tier=iron"}, "shop": {"workload": "shop/web"},
               "pod": {"workload": "default/web-1"}}
    got = {}
    for name, kw in clients.items():
        answers = env.client("c1", name=name, **kw).call("exchange", host=RECO, port=8080, requests=_requests(
            [("GET", t, []) for t in ("/", "/shop", "/pod", "/")]))
        got[name] = [r["version"] for r in answers]
    check(got, {"gold": ["v2"] * 4, "iron": ["v1"] * 4, "shop": ["v1", "v2", "v1", "v1"], "pod": ["v1", "v1", "v2", "v1"]})


@test()
def delegates(env):
    """A root gives /a to another team's VirtualService, whose rules stay within it; what does not exist is left out."""
    inner = mesh.vs("inner", [rule(dst("reco.default", "v2"), {"uri": {"prefix": "/a/new"}}),
                              rule(dst("reco.default", "v2"), {"uri": {"prefix": "/c"}}),
                              rule(dst("reco.default", "v1"))], ns="team")
    del inner["spec"]["hosts"]
    env.policy(inner, mesh.vs("reco", [
        {"match": [{"uri": {"prefix": "/a"}}], "delegate": {"name": "inner", "namespace": "team"}},
        {"match": [{"uri": {"prefix": "/c"}}], "delegate": {"name": "nobody"}}, rule(dst("user"))]))
    got = env.call("exchange", host=RECO, port=8080, requests=_requests(
        [("GET", t, []) for t in ("/a/new/x", "/a/old", "/c", "/z", "/a/new")]))
    check([r["version"] for r in got], ["v2", "v1", "user", "user", "v2"])
    check(env.agent.explain("http://reco:8080/a/new")["destinations"][0]["subset"], "v2")


@test()
def exported(env):
    """What is exported to one namespace speaks for its clients alone, and before what all see; where it has no rule for
    them they get 404."""
    env.policy(mesh.vs("reco", [rule(V1)]),
               mesh.vs("own", [rule(dst("reco.default", "v2"), {"uri": {"prefix": "/new"}})], ["reco.default.svc.cluster.local"],
                       ns="shop", exportTo=["."]),
               mesh.vs("origin", [rule(dst("origin", "v2"))], exportTo=["shop", "other"]))
    got = {}
    for name, workload in (("inside", "shop/web"), ("outside", "default/web")):
        c = env.client("c1", name=name, workload=workload)
        got[name] = [(r["status"], r["version"]) for r in c.call("exchange", host=RECO, port=8080, requests=[
            {"target": t, "host": "reco.default:8080"} for t in ("/new", "/old", "/new")])]
        seen = c.call("count", host=ORIGIN, port=9000, total=40, connections=4, vhost="origin.default")["seen"]
        check(sorted(seen), ["v2"] if name == "inside" else ["v1", "v2"], name)
    check([s for s, _ in got["inside"]], [200, 404, 200])
    check([v for s, v in got["inside"] if s == 200], ["v2", "v2"])
    check(got["outside"], [(200, "v1")] * 3)


@test()
def rules_by_namespace(env):
    """A client sees its own namespace's DestinationRule before the service's, one with a workloadSelector only when it
    has the labels, and none that is not exported to it: `canary` is v1 for shop, v2 for others, nothing for dev."""
    host = "reco.default.svc.cluster.local"
    env.policy(mesh.dr("reco", {"canary": {"version": "v2"}}),
               mesh.dr(host, {"canary": {"version": "v1"}}, ns="shop", name="own"),
               {**mesh.dr(host, {"other": {}}, ns="dev", name="own"), "spec": {
                   "host": host, "subsets": [{"name": "other"}], "workloadSelector": {"matchLabels": {"app": "x"}}}},
               mesh.vs("reco", [rule(dst("reco", "canary"))]))

    def versions(workload, labels=None):
        got = [env.get(f"http://{RECO}:8080/", workload=workload, labels=labels) for _ in range(4)]
        return {body.split()[0] if status == 200 else status for status, body in got}
    check(versions("default/c"), {"v2"})
    check(versions("shop/c"), {"v1"})
    check(versions("dev/c"), {"v2"})
    check(versions("dev/c", "app=x"), {503})
