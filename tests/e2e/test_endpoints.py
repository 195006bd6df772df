# SPDX-License-Identifier: Apache-2.0
"""Endpoints that change without anything else: the plan in use is changed where they are, under traffic.

    roll  10.96.0.90  8080  of the files; its slices are applied, or files of their own
"""
import json

import mesh
from runner import check, eventually, test
from test_reload import check_load, under_load
from world import V1, V2

ROLL, ZED, AAA = "10.96.0.90", "10.96.0.91", "10.96.0.92"
IPS = {"v1": V1[0], "v2": V2[0]}


def roll(*versions, ready=True):
    out = mesh.slice_("roll", {"http": 8080}, [(IPS[v], f"reco-{v}") for v in versions])
    for e in out["endpoints"]:
        e["conditions"]["ready"] = ready
    return out


def service(selector=None):
    """Each in its turn: who is an endpoint is seen."""
    return [mesh.service("roll", [ROLL], {"http": 8080}, selector),
            mesh.dr("roll", policy={"loadBalancer": {"simple": "ROUND_ROBIN"}})]


def apply(env, *objects, check_=True):
    return env.agent.ctl("apply", "-f", "-", stdin=mesh.to_yaml(objects), check=check_)


def seen(env, total=60):
    """Whose answers new connections get."""
    got = env.call("count", host=ROLL, port=8080, total=total, connections=6, vhost="roll")
    check((got["errors"], set(got["status"])), ({}, {"200"}))
    return sorted(got["seen"])


def endpoints(env):
    doc = json.loads(env.agent.ctl("endpoints", "-o", "json").stdout)
    return sorted((e["cluster"], e["address"], e["weight"], e["workload"]) for e in doc if e["host"].startswith("roll."))


def rolled(env, change):
    """One endpoint and both, again and again, under load: `change` brings it into effect before it returns."""
    def work():
        for i in range(6):
            one = ["v1", "v2"][i % 2]
            change(one)
            check(seen(env), [one], "what was removed gets nothing")
            change("v1", "v2")
            check(seen(env), ["v1", "v2"], "what was added gets its share")
    check_load(under_load(env, work, seconds=3, url=f"http://{ROLL}:8080/"))


@test()
def applied_under_load(env):
    """By `apply`: no request fails, and the answer to the command means what it says."""
    env.policy(*service())
    apply(env, roll("v1", "v2"))
    rolled(env, lambda *v: apply(env, roll(*v)))
    env.agent.ctl("delete", "endpointslice", "roll-ipv4")


@test()
def files_under_load(env):
    """By a file of its own in the watched directory; it comes first and goes last."""
    env.policy(*service())
    rolled(env, lambda *v: env.put("roll.yaml", mesh.to_yaml([roll(*v)])))
    check(len(endpoints(env)), 2)
    env.put("roll.yaml", mesh.to_yaml([roll("v1", "v2", ready=False)]))
    check((env.get(f"http://{ROLL}:8080/")[0], endpoints(env)), (503, []), "nobody is ready")
    env.put("roll.yaml", mesh.to_yaml([roll("v2")]))
    check(seen(env), ["v2"])


@test()
def pods_change(env):
    """A Pod's readiness and its labels decide for each service that selects it; those are in no slice."""
    def both(**kw):
        return [mesh.pod("roll-v1", [V1[0]], {"app": "roll"}), mesh.pod("roll-v2", [V2[0]], {"app": "roll"}, **kw)]
    env.policy(*service({"app": "roll"}))
    for obj in both():
        apply(env, obj)
    check(seen(env), ["v1", "v2"])
    apply(env, both(ready=False)[1])
    check(seen(env), ["v1"])
    apply(env, both()[1], mesh.pod("roll-v1", [V1[0]], {"app": "other"}))
    check(seen(env), ["v2"])
    for v in ("v1", "v2"):
        env.agent.ctl("delete", "pod", f"roll-{v}")


@test()
def bad_with_good(env):
    """One bad object in a batch, and the good ones beside it change nothing."""
    env.policy(*service())
    apply(env, roll("v1"))
    generation, before = env.agent.status()["config"]["generation"], endpoints(env)
    bad = roll("v2")
    bad["metadata"]["name"] = "roll-more"
    bad["endpoints"][0]["addresses"] = ["10.77.2.300"]
    done = apply(env, roll("v1", "v2"), bad, check_=False)
    check((done.returncode, "10.77.2.300" in done.stderr), (1, True), done.stderr)
    check((env.agent.status()["config"]["generation"], endpoints(env)), (generation, before))
    check(seen(env), ["v1"])
    env.agent.ctl("delete", "endpointslice", "roll-ipv4")


@test(fresh=True, timeout=60)
def killed_after_changes(env):
    """kill -9 after changes, and a new agent: the same endpoints, served; and it goes on changing."""
    env.policy(*service())
    for versions in (["v1"], ["v1", "v2"], ["v2"], ["v1", "v2"]):
        apply(env, roll(*versions))
    before = endpoints(env)
    check(len(before), 2)
    env.agent.kill()
    env.agent.start()
    env.clients.pop("c1", None)
    check(endpoints(env), before)
    eventually(lambda: seen(env) == ["v1", "v2"], "served by the new agent", 5)
    apply(env, roll("v2"))
    check(seen(env), ["v2"])
    env.agent.ctl("delete", "endpointslice", "roll-ipv4")


@test()
def counts_of_the_others_stay(env):
    """What was counted of endpoints that are not concerned is not touched, nor what is in flight."""
    env.policy(*service())
    apply(env, roll("v1"))
    check(seen(env, 40), ["v1"])

    def requests():
        doc = json.loads(env.agent.ctl("endpoints", "-o", "json").stdout)
        return {e["address"]: (e["counters"]["requests"], e["inFlight"]) for e in doc
                if e["cluster"].startswith("outbound|8080||roll.")}
    at = f"{IPS['v1']}:8080"
    eventually(lambda: requests()[at] == (40, 0), "all are counted", 3)
    for versions in (["v1", "v2"], ["v1"], ["v1", "v2"]):
        apply(env, roll(*versions))
        check(requests()[at], (40, 0))
    env.agent.ctl("delete", "endpointslice", "roll-ipv4")


@test(datapaths=("kernel",), fresh=True, timeout=60)
def connections_of_the_agent_before(env):
    """A connection to an endpoint that went is kept over a kill; who comes then is not taken for the other end of that
    connection: the next agent calls everything as the one before it did.

        v2 --> user      kept connection to v2, its requests go to user
        kill, start
        user, v1         v1 does not get v2's number"""
    def ask():
        got = env.call("exchange", name="kept", host=ROLL, port=8080, requests=[{"host": "roll"}] * 12)
        return {(r["status"], r["version"]) for r in got}

    def change(*ips):
        apply(env, mesh.slice_("roll", {"http": 8080}, [(ip, None) for ip in ips]))
    env.policy(*service(), reco=())
    change(IPS["v2"])
    check(ask(), {(200, "v2")})
    change("10.77.3.1")
    check(ask(), {(200, "user")})
    env.agent.kill()
    env.agent.start()
    change("10.77.3.1", IPS["v1"])
    check(ask(), {(200, "user"), (200, "v1")})
    env.agent.ctl("delete", "endpointslice", "roll-ipv4")


@test(datapaths=("kernel",), fresh=True, timeout=60)
def names_of_the_agent_before(env):
    """The agent before numbered what came while it lived; the next one reads all at once, in order of names. Kept
    connections, and requests whose Host nobody owns (they go by the address that was dialled), stay where they were, in
    the kernel.

        zed, then aaa    zed 1, aaa 2
        kill, start      aaa is read first"""
    def ask():
        got = env.call("exchange", name="zed", host=ZED, port=8080, requests=[{"host": "what.example"}, {"host": "zed"}] * 4)
        return {(r["status"], r["version"]) for r in got}

    def objects(name, vip, ip):
        return [mesh.service(name, [vip], {"http": 8080}), mesh.slice_(name, {"http": 8080}, [(ip, None)])]
    zed = objects("zed", ZED, IPS["v2"])
    env.policy(*zed)
    check(ask(), {(200, "v2")})
    env.policy(*objects("aaa", AAA, IPS["v1"]), *zed)
    check(ask(), {(200, "v2")})
    env.agent.kill()
    env.agent.start()
    check(ask(), {(200, "v2")})
    check(env.agent.status()["fallback"], {})
