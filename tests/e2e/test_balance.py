# SPDX-License-Identifier: Apache-2.0
"""Who gets how much, and who carries it: weights of endpoints, and consistentHash in the kernel with the agent's answers."""
import time

import mesh
from mesh import dst, rule
from runner import check, check_share, eventually, test
from world import RECO

VIP = "10.96.8.1"


def weighted(env, lb, *weights):
    """Service `shop` of v1 and v2 (nginx) with those weights."""
    se = mesh.service_entry("shop", ["shop.mesh"], {"http": (8080, "HTTP")}, [("10.77.1.1", None), ("10.77.2.1", None)], [VIP])
    for e, w in zip(se["spec"]["endpoints"], weights):
        e["weight"] = w
    env.policy(se, mesh.dr("shop.mesh", policy={"loadBalancer": lb}), mesh.vs("shop", [rule(dst("shop.mesh"))], ["shop.mesh"]))


@test()
def endpoint_weights(env):
    """30 to 70 on one connection, whatever the policy; a round robin to the request."""
    for lb in ("ROUND_ROBIN", "RANDOM", "LEAST_REQUEST"):
        weighted(env, {"simple": lb}, 30, 70)
        got = env.call("count", host=VIP, port=8080, total=1000, connections=1, vhost="shop.mesh")
        check(got["errors"], {})
        if lb == "ROUND_ROBIN":
            check(abs(got["seen"].get("v1", 0) - 300) <= 10, True, str(got))
        else:
            check_share(got["seen"].get("v1", 0), 1000, 0.3, lb, sigmas=4)


def by(env, **hash_by):
    env.policy(mesh.dr("reco", policy={"loadBalancer": {"consistentHash": hash_by}}), mesh.vs("reco", [rule(dst("reco"))]))


def versions(env, requests, **kw):
    got = env.call("exchange", host=RECO, port=8080, requests=[{"host": "reco", **r} for r in requests], **kw)
    check({r["status"] for r in got}, {200})
    return [r["version"] for r in got]


ASKS = {
    "header": ({"httpHeaderName": "X-User"}, lambda k: {"headers": [["x-user", k]]}),
    "maglev": ({"httpHeaderName": "x-user", "maglev": {}}, lambda k: {"headers": [["x-user", k]]}),
    "cookie": ({"httpCookie": {"name": "sid", "ttl": "0s"}}, lambda k: {"headers": [["cookie", f"sidx=1;  sid=\"{k}\"; a=b"]]}),
    "query": ({"httpQueryParameterName": "u"}, lambda k: {"target": f"/?uu=1&u={k}&u=x"}),
    "source": ({"useSourceIp": True}, lambda k: {}),
}


@test()
def kernel_and_agent_agree(env):
    """A key goes to one server, by the kernel (a non-blocking client) and by the agent (a blocking one)."""
    keys = [f"{i}-" + "k" * (i * 7 % 80) for i in range(40)]
    for name, (hash_by, ask) in ASKS.items():
        by(env, **hash_by)
        requests = [ask(k) for k in keys]
        before = env.requests()
        fast = versions(env, requests)
        after = env.requests()
        check(versions(env, requests, blocking=True), fast, name)
        check(set(fast) == {"v1", "v2"}, name != "source", name)
        if env.datapath == "kernel":
            check((name, after["kernel"] - before["kernel"]), (name, len(keys)), str(env.agent.status()["fallback"]))


@test()
def what_the_kernel_does_not_hash(env):
    """Long values, repeated headers and cookies to be made are the agent's, with the same answers."""
    by(env, httpHeaderName="x-user")
    for value in ("v" * 256, "v" * 257, "v" * 1500):
        check(len(set(versions(env, [{"headers": [["x-user", value]]}] * 6))), 1, len(value))
    both = [{"headers": [["x-user", "a"], ["x-user", f"b{i}"]]} for i in range(20)] * 2
    rows = versions(env, both)
    check(rows[:20], rows[20:])
    check(set(rows), {"v1", "v2"})
    by(env, httpCookie={"name": "sid"})
    check(set(versions(env, [{}] * 40)), {"v1", "v2"}, "no ttl: no cookie is made, any server will do")


def placed(env, policy, *localities, **route):
    """Service `shop` of the flaky servers of v1 and v2, with those localities and a label `at`."""
    se = mesh.service_entry("shop", ["shop.mesh"], {"http": (8096, "HTTP")}, [("10.77.1.1", {"at": "v1"}), ("10.77.2.1", {"at": "v2"})], [VIP])
    for e, place in zip(se["spec"]["endpoints"], localities):
        e["locality"] = place
    env.policy(se, mesh.dr("shop.mesh", policy=policy), mesh.vs("shop", [rule(dst("shop.mesh"), **route)], ["shop.mesh"]))


@test()
def locality_shares_and_failover(env):
    """distribute is a share of requests; failover goes where the priority says, and back, on a connection that is open."""
    from test_outlier import Flaky, states
    with Flaky(env) as flaky:
        spread = {"distribute": [{"from": "*", "to": {"r1/*": 80, "r2/*": 20}}]}
        placed(env, {"loadBalancer": {"simple": "LEAST_REQUEST", "localityLbSetting": spread}}, "r1/a", "r2/b")
        got = env.call("count", host=VIP, port=8096, total=1000, connections=2, vhost="shop.mesh")
        check(got["errors"], {})
        check_share(got["seen"].get("v1", 0), 1000, 0.8, "v1", sigmas=4)

        def ask(n):
            return env.call("exchange", name="kept", host=VIP, port=8096, requests=[{"host": "shop.mesh"}] * n)
        placed(env, {"loadBalancer": {"localityLbSetting": {"failoverPriority": ["at=v1"]}},
                     "outlierDetection": {"consecutive5xxErrors": 2, "interval": "300ms", "baseEjectionTime": "1s", "maxEjectionPercent": 100}},
               "r1/a", "r2/b")
        check({r["version"] for r in ask(20)}, {"v1"})
        flaky.set("v1", True)
        check([r["status"] for r in ask(2)], [503, 503])
        eventually(lambda: states(env, "shop")["10.77.1.1:8096"] == "ejected", "ejected", 1)
        check({(r["status"], r["version"]) for r in ask(20)}, {(200, "v2")})
        flaky.set("v1", False)
        eventually(lambda: {r["version"] for r in ask(5)} == {"v1"}, "back to v1", 5)


@test()
def retries_in_remote_localities(env):
    """retryRemoteLocalities: after two tries of the first priority (v1, broken) the next is asked; without it, never."""
    from test_outlier import Flaky
    with Flaky(env) as flaky:
        for remote, want in ((True, (200, "v2")), (False, (503, "v1"))):
            placed(env, {"loadBalancer": {"localityLbSetting": {"failoverPriority": ["at=v1"]}},
                         "outlierDetection": {"consecutive5xxErrors": 1000}}, "r1/a", "r2/b",
                   retries={"attempts": 3, "retryOn": "5xx", "backoff": "1ms", "retryRemoteLocalities": remote})
            flaky.set("v1", True)
            got = env.call("exchange", host=VIP, port=8096, requests=[{"host": "shop.mesh"}] * 5)
            check({(r["status"], r["version"]) for r in got}, {want}, str(remote))


@test()
def warmup(env):
    """A newcomer gets a tenth at first, an equal share when it is warm."""
    def shop(*pods):
        se = mesh.service_entry("shop", ["shop.mesh"], {"http": (8080, "HTTP")}, [(f"10.77.{p}.1", None) for p in pods], [VIP])
        env.policy(se, mesh.dr("shop.mesh", policy={"loadBalancer": {"simple": "ROUND_ROBIN", "warmup": {"duration": "2s"}}}),
                   mesh.vs("shop", [rule(dst("shop.mesh"))], ["shop.mesh"]))

    def share():
        got = env.call("count", host=VIP, port=8080, total=200, connections=1, vhost="shop.mesh")
        check(got["errors"], {})
        return got["seen"].get("v2", 0) / 200
    shop(1)
    time.sleep(2.1)  # it is warm itself
    shop(1, 2)
    check(0.2 < share() < 0.45, True, "half its weight in the first second of two")
    eventually(lambda: abs(share() - 0.5) < 0.03, "warm", 6)


@test()
def passthrough(env):
    """The connection goes where the client asked, not to an endpoint; rules still speak for its requests."""
    asked = "10.77.1.1"
    se = mesh.service_entry("shop", ["shop.mesh"], {"http": (9000, "HTTP")}, [("10.77.2.1", None)], [asked])
    deny = {"match": [{"uri": {"prefix": "/deny"}}], "directResponse": {"status": 403}}
    env.policy(se, mesh.dr("shop.mesh", policy={"loadBalancer": {"simple": "PASSTHROUGH"}}),
               mesh.vs("shop", [deny, rule(dst("shop.mesh"))], ["shop.mesh"]))
    before = env.requests()
    for blocking in (False, True):
        rows = env.call("exchange", host=asked, port=9000, blocking=blocking,
                        requests=[{"host": "shop.mesh", "target": t} for t in ("/", "/deny", "/", "/deny")])
        check([r["status"] for r in rows], [200, 403, 200, 403])
        check({r["version"] for r in rows if r["status"] == 200}, {"v1"})
    if env.datapath == "kernel":
        check(env.requests()["kernel"] - before["kernel"], 4, str(env.agent.status()["fallback"]))
