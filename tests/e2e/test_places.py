# SPDX-License-Identifier: Apache-2.0
"""Which endpoints are used: those near the client by its own labels, those that are ready; what leaves finishes first.

    c1, c2 --> shop 10.96.8.7:80 --+-- v1 :9000
                                  +-- v2 :9000
"""
import json

import mesh
from mesh import dst, rule
from runner import check, eventually, test

VIP, TALK = "10.96.8.7", "10.96.8.8"
ADDRESS = {"v1": "10.77.1.1", "v2": "10.77.2.1"}
READY = {"ready": True, "serving": True, "terminating": False}
LEAVING = {"ready": False, "serving": True, "terminating": True}
STARTING = {"ready": False, "serving": False, "terminating": False}


def shop(env, **conditions):
    """Service `shop` of those servers, each with the conditions of an EndpointSlice."""
    rows = mesh.slice_("shop", {"http": 9000}, [(ADDRESS[v], None) for v in conditions])
    for row, condition in zip(rows["endpoints"], conditions.values()):
        row["conditions"] = condition
    env.policy(mesh.service("shop", [VIP], {"http": (80, 9000)}), rows, mesh.vs("shop", [rule(dst("shop"))]))


def versions(env, n=20, **kw):
    got = env.call("exchange", host=VIP, port=80, requests=[{"host": "shop"}] * n, **kw)
    check({r["status"] for r in got}, {200})
    return {r["version"] for r in got}


def busy(env):
    """Requests of the service that are under way."""
    rows = json.loads(env.agent.ctl("endpoints", "-o", "json").stdout)
    return sum(r["inFlight"] for r in rows if r["host"].startswith("shop."))


@test()
def what_leaves_is_left(env):
    """An endpoint that terminates gets no new request, on an open connection either; the answer that it owes is read to its
    end. When nobody is ready, those that terminate and still serve are used; those that only start are not."""
    for blocking in (False, True):
        shop(env, v1=READY)
        check(versions(env, 2, name=f"kept{blocking}", blocking=blocking), {"v1"})
        slow = env.client("c2")
        slow.send("exchange", host=VIP, port=80, blocking=blocking, requests=[{"host": "shop", "target": "/late?ms=1000"}])
        eventually(lambda: busy(env) == 1, "it is under way", 2)
        shop(env, v1=LEAVING, v2=READY)
        check(versions(env, name=f"kept{blocking}", blocking=blocking), {"v2"})
        check(versions(env, blocking=blocking), {"v2"})
        done = slow.receive()[0]
        check((done["status"], done["version"]), (200, "v1"), "what was under way")
        shop(env, v1=LEAVING, v2=STARTING)
        check(versions(env, name=f"kept{blocking}", blocking=blocking), {"v1"})
        shop(env, v1=STARTING, v2=STARTING)
        got = env.call("exchange", host=VIP, port=80, blocking=blocking, requests=[{"host": "shop"}])
        check([r["status"] for r in got], [503])


@test()
def pods_that_are_not_ready(env):
    """By selector: only ready pods, unless the service publishes the others too."""
    pods = [mesh.pod(f"shop-{v}", [ip], {"app": "shop"}, ready=v == "v1") for v, ip in ADDRESS.items()]

    def seen():
        got = env.call("count", host=VIP, port=80, total=60, connections=20, vhost="shop")
        check(got["errors"], {})
        return set(got["seen"])
    service = mesh.service("shop", [VIP], {"http": (80, 9000)}, {"app": "shop"})
    env.policy(service, *pods)
    check(seen(), {"v1"})
    service["spec"]["publishNotReadyAddresses"] = True
    env.policy(service, *pods)
    check(seen(), {"v1", "v2"})


@test()
def near_by_the_clients_labels(env):
    """failoverPriority names a label: each client's own value decides, for requests and for opaque connections, and each
    fails over by itself."""
    endpoints = [(ip, {"team": v}) for v, ip in ADDRESS.items()]
    policy = {"loadBalancer": {"simple": "ROUND_ROBIN", "localityLbSetting": {"failoverPriority": ["team"]}},
              "outlierDetection": {"consecutive5xxErrors": 2, "interval": "300ms", "baseEjectionTime": "1s", "maxEjectionPercent": 100}}
    env.policy(mesh.service_entry("shop", ["shop.mesh"], {"http": (9000, "HTTP")}, endpoints, [VIP]),
               mesh.service_entry("talk", ["talk.mesh"], {"tcp": (9001, "TCP")}, endpoints, [TALK]),
               mesh.dr("shop.mesh", policy=policy), mesh.dr("talk.mesh", policy=policy))
    clients = {team: env.client("c1", name=f"of-{team}", labels=f"team={team}") for team in ("v1", "v2", "v3")}

    def asks(team, n=16, target="/", **kw):
        got = clients[team].call("exchange", host=VIP, port=9000, requests=[{"host": "shop.mesh", "target": target}] * n, **kw)
        return {(r["status"], r["version"]) for r in got}
    before = env.requests()
    for blocking in (False, True):
        check(asks("v1", blocking=blocking), {(200, "v1")})
        check(asks("v2", blocking=blocking), {(200, "v2")})
        check(asks("v3", blocking=blocking), {(200, "v1"), (200, "v2")})
        greets = {clients["v2"].call("greeting", host=TALK, port=9001, blocking=blocking)[0] for _ in range(8)}
        check(greets, {clients["v2"].call("greeting", host=ADDRESS["v2"], port=9001)[0]})
    if env.datapath == "kernel":
        check(env.requests()["kernel"] - before["kernel"], 48, str(env.agent.status()["fallback"]))
    for _ in range(2):
        asks("v1", 1, "/status?code=500")
    check(asks("v1"), {(200, "v2")}, "its own server is ejected")
    check(asks("v3", 40), {(200, "v1"), (200, "v2")}, "others have seen no error")
    eventually(lambda: asks("v1") == {(200, "v1")}, "back", 5)


@test()
def labels_of_the_clients_pod(env):
    """A workload that was captured without labels has those of its Pod, as they are now: on a connection that is open."""
    endpoints = [(ip, {"team": v}) for v, ip in ADDRESS.items()]
    client = env.client("c1", name="pod", workload="default/walker")
    for blocking in (False, True):
        for team in ("v1", "v2", "v1"):
            env.policy(mesh.service_entry("shop", ["shop.mesh"], {"http": (9000, "HTTP")}, endpoints, [VIP]),
                       mesh.dr("shop.mesh", policy={"loadBalancer": {"localityLbSetting": {"failoverPriority": ["team"]}}, "outlierDetection": {}}),
                       mesh.pod("walker", ["10.77.100.1"], {"team": team}))
            got = client.call("exchange", name=f"kept{blocking}", host=VIP, port=9000, blocking=blocking, requests=[{"host": "shop.mesh"}] * 8)
            check({(r["status"], r["version"]) for r in got}, {(200, team)})
