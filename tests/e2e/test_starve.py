# SPDX-License-Identifier: Apache-2.0
"""The CPU is taken away, from the agent, the clients or the servers: answers come later, but each comes, once, and to
the one who asked. What hands a connection over must not depend on who runs when.

    client --- connection --- kernel: native, moved, bound, in place
                                 \\-- agent (starved) --- server
"""
import contextlib
import json
import re

import mesh
import starve
from agent import PINS
from mesh import dst, header, rule
from runner import check, eventually, test
from topo import sh
from world import ORIGIN, ORIGIN6

BY_WAY = [rule(dst("origin", "v1"), header("x-k", exact="n")),
          rule(dst("origin", "v2"), header("x-k", exact="m")),
          rule([dst("origin", "v1", 50), dst("origin", "v2", 50)], header("x-k", exact="b"),
               headers={"request": {"set": {"x-b": "1"}}}),
          {"match": [header("x-k", exact="l")], "directResponse": {"status": 418, "body": {"string": "teapot"}}}]


def pids(env, who):
    return {"agent": [env.agent.proc.pid], "clients": [c.proc.pid for c in env.clients.values()],
            "servers": [p.pid for p in env.topo.procs]}[who]


def storms(env, how, seconds, kinds="pppnmbrsC", abort=0.0, connections=100, hosts=(ORIGIN, ORIGIN6)):
    """Every way at once from both pods while `how` is in force; long patience, for time is what is taken."""
    env.policy(mesh.vs("origin", BY_WAY))
    clients = [env.client(pod) for pod in ("c1", "c2")]
    for c in clients:
        c.call("ping")
    with how():
        for i, c in enumerate(clients):
            c.send("storm", hosts=list(hosts), port=9000, vhost="origin", connections=connections, seconds=seconds,
                   kinds=kinds, abort=abort, seed=i, patience=25)
        got = [c.receive() for c in clients]
    for g in got:
        check((g["wrong"], g["errors"], g["total"] > 0), ([], {}, True), str(g))


def weighted(env, how, connections=150, rounds=4):
    env.policy(mesh.vs("origin", [rule([dst("origin", "v1", 50), dst("origin", "v2", 50)])]))
    clients = [env.client(pod) for pod in ("c1", "c2")]
    for c in clients:
        c.call("ping")
    with how():
        for i, c in enumerate(clients):
            c.send("crosstalk", host=ORIGIN, port=9000, connections=connections, rounds=rounds, vhost="origin", seed=i, body=20000,
                   timeout=60)
        got = [c.receive() for c in clients]
    for g in got:
        check((g["answers"], g["wrong"], g["errors"]), (connections * rounds, [], {}))


def both(env, how, seconds=2):
    storms(env, how, seconds)
    weighted(env, how)


@test(timeout=120)
def agent_stopped(env):
    both(env, lambda: starve.stopped(pids(env, "agent")))


@test(timeout=120)
def clients_stopped(env):
    both(env, lambda: starve.stopped(pids(env, "clients")), 3)


@test(timeout=120)
def servers_stopped(env):
    both(env, lambda: starve.stopped(pids(env, "servers"), stop=(0.001, 0.05)))


@test(timeout=120)
def agent_idle(env):
    both(env, lambda: starve.idle(pids(env, "agent")))


@test(timeout=900, long=True)
def long_and_every_way(env):
    """Everybody in turn, every way, with clients that leave in the middle; then once more without those, on the same
    agent slots and pooled connections."""
    everybody = lambda: pids(env, "agent") + pids(env, "clients") + pids(env, "servers")  # noqa: E731
    ways = [lambda: starve.stopped(everybody(), stop=(0.001, 0.1)),
            lambda: starve.idle(pids(env, "agent")),
            lambda: starve.idle(pids(env, "clients")),
            lambda: starve.quota(pids(env, "agent")),
            lambda: starve.quota(pids(env, "clients"), 20),
            lambda: starve.quota(pids(env, "servers"), 20),
            lambda: starve.one_cpu(everybody()),
            contextlib.nullcontext]
    for how in ways:
        storms(env, how, 8, kinds="nmblrspBC", abort=0.12)
        both(env, how, 6)


@test(datapaths=("kernel",), timeout=120, args=("--metrics", "127.0.0.1:15924"))
def clients_leave_a_stopped_agent(env):
    """Clients go away in the middle of sends to an agent that does not read: what they meant to put into their slots
    does not come before the next client's bytes, no slot is lost, and what happened is counted."""
    storms(env, contextlib.nullcontext, 0.5, kinds="b", hosts=[ORIGIN])  # both namespaces are served from here on
    storms(env, lambda: starve.stopped(pids(env, "agent"), stop=(0.05, 0.2)), 3, kinds="sBCb", abort=0.3, hosts=[ORIGIN])
    storms(env, contextlib.nullcontext, 1, kinds="sb", hosts=[ORIGIN])
    eventually(lambda: bound_now(env) == 0, f"no slot stays in use: {env.agent.status()['mishaps']}")


def bound_now(env):
    return int(float(re.search(r"^headrace_agent_bound_connections (\S+)", env.agent.metrics("127.0.0.1:15924"), re.M)[1]))


@test(datapaths=("kernel",), timeout=60)
def event_that_never_came(env):
    """A slot that is bound while nobody tells the agent (a full ring of events): it finds it by itself within seconds,
    counts it, and the slot, whose client is gone, is free again."""
    table, key = f"{PINS}/maps/g_tab", ["key", "hex", "bc", "02", "00", "00"]  # slot 700

    def row():
        shown = json.loads(sh("bpftool", "-j", "map", "lookup", "pinned", table, *key).stdout)
        return [int(b, 16) for b in shown["value"]]
    free = row()
    check(free[0] & 15, 1, "HR_G_FREE")
    bound = [free[0] & 0xf0 | 2, *free[1:3], *[0] * 5, *[0xfe] * 8, *free[16:]]
    sh("bpftool", "map", "update", "pinned", table, *key, "value", "hex", *(f"{b:02x}" for b in bound))
    eventually(lambda: env.agent.status()["mishaps"].get("event-lost") == 1, "it is counted")
    eventually(lambda: row()[0] & 15 == 1, "it is free again")
