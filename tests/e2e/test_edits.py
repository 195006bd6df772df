# SPDX-License-Identifier: Apache-2.0
"""Header operations of requests: fields are added by the kernel, and what it cannot do is the agent's; the server
sees the same by both paths, once, with a body that is whole, whichever way the request goes.

    c1 --> origin :9000 (v1, v2)
"""
import json

import mesh
from mesh import dst, header, rule
from runner import check, test
from test_watch import MOVE, VIP, Shaky
from world import ORIGIN

OPS = {"request": {"set": {"X-Set": "one"}, "add": {"x-add": "two, three"}, "remove": ["x-gone"]}}
OWN = {"request": {"set": {"x-own": "v2"}, "add": {"x-add": "first"}}}


def names(r):
    """The fields that the server got, those of the operations only, in order."""
    return [(k.lower(), v) for k, v in json.loads(r["body"])["headers"] if k.lower() in (
        "x-set", "x-add", "x-gone", "x-own", "x-late")]


def policy(env, **more):
    env.policy(mesh.vs("origin", [rule({**dst("origin", "v2"), "headers": OWN}, header("x-v2"), headers=OPS, **more),
                                  rule(dst("origin", "v1"), headers=OPS, **more)]))


def ask(env, *requests, name="kept"):
    return env.call("exchange", host=ORIGIN, port=9000, name=name,
                    requests=[{"host": "origin", "target": "/echo", **r} for r in requests])


def warm(env):
    """Pools are there."""
    ask(env, *[{"headers": h} for h in (MOVE, [])] * 3)


def whys(env):
    s = env.agent.status()
    return s["requests"]["kernel"], s["fallback"].get("header-replaced", 0)


@test(timeout=40)
def added(env):
    """On a connection of its own and on a pooled one, with and without a body: all of them in the kernel."""
    policy(env)
    warm(env)
    kernel, _ = whys(env)
    for body in ("", "x", "y" * 1400, "z" * 9000):
        method = {"method": "POST", "body": body} if body else {}
        native, moved = ask(env, method, {**method, "headers": MOVE})
        check(names(native), [("x-set", "one"), ("x-add", "two, three")])
        check(names(moved), [("x-set", "one"), ("x-own", "v2"), ("x-add", "two, three"), ("x-add", "first")])
        for r in (native, moved):
            check(json.loads(r["body"])["body"], len(body))
    if env.datapath == "kernel":
        check(whys(env)[0] - kernel, 8)


@test(timeout=40)
def replaced(env):
    """What the client has sent of these names is replaced, and removed: by the agent, after which the kernel goes on."""
    policy(env)
    warm(env)
    before = whys(env)
    for name, headers, want in (
            ("one", [["x-set", "mine"], ["X-SET", "also"], ["x-add", "zero"]], [("x-add", "zero")]),
            ("two", [["X-Gone", "1"]], []), ("three", [], []), ("three", [["x-add", "zero"]], [("x-add", "zero")])):
        r, = ask(env, {"headers": headers}, name=name)
        check(names(r), want + [("x-set", "one"), ("x-add", "two, three")])
    if env.datapath == "kernel":
        after = whys(env)
        check((after[0] - before[0], after[1] - before[1]), (2, 2))


@test(timeout=60)
def long_bodies(env):
    """Bodies in one send and in many: each byte arrives, and the fields once."""
    policy(env)
    for size in (1000, 20000, 60000, 300000):
        r = env.call("upload", host=ORIGIN, port=9000, size=size, vhost="origin")
        got = json.loads(r["body"])
        check((got["body"], got["sha256"]), (size, r["sha256"]))
        check(names(r), [("x-set", "one"), ("x-add", "two, three")])


@test(timeout=60)
def tried_again(env):
    """A retry carries the fields once, as the first try did."""
    with Shaky(env) as shaky:
        shaky.policy(retries={"attempts": 2, "retryOn": "gateway-error"},
                     headers={"request": {"set": {"x-mark": "m"}}})
        shaky.ask(4)
        shaky.set("v1", "broken")
        got = shaky.ask(8)
        check(({r["status"] for r in got}, {r["version"] for r in got}), ({200}, {"v2"}))
        check({v for r in got for k, v in r["headers"] if k.lower() == "x-mark"}, {"m"})


@test(timeout=40)
def new_text(env):
    """Another value takes effect with the next request of a connection that is open."""
    for i, value in enumerate(("a", "bb" * 100, "ccc")):
        env.policy(mesh.vs("origin", [rule(dst("origin", "v2"), header("x-v2"), headers={"request": {"add": {"x-late": value}}}),
                                      rule(dst("origin", "v1"), headers={"request": {"set": {"x-late": value}}})]))
        for r in ask(env, *[{"headers": h} for h in (MOVE, [])] * 3):
            check(names(r), [("x-late", value)], str(i))
