# SPDX-License-Identifier: Apache-2.0
"""Opaque connections between captured ends of one node (headrace.io/same-node: tcp): nobody reads their bytes, they skip
TCP all the same, and no program may tell.

    v1 (captured): sockends.py holds both ends   ---- VIP 10.96.0.81:9400 ---- 10.77.1.1:9400, itself
"""
import contextlib
import json
import os
import signal
import time

import mesh
from mesh import dst
from runner import check, eventually, test
from servers import HERE, PYTHON
from topo import sh, spawn, stop

VIP, PORT = "10.96.0.81", 9400
ENDS = os.path.join(HERE, "sockends.py")


def service(how="tcp", name="opaque", vip=VIP, port=PORT, kind="tcp"):
    o = mesh.service(name, [vip], {kind: port}, {"app": name})
    if how:
        o["metadata"]["annotations"] = {"headrace.io/same-node": how}
    return o


def policy(env, *more, **kw):
    env.policy(mesh.pod("opaque", ["10.77.1.1"], {"app": "opaque"}), service(**kw), *more)


def counts(env):
    return env.agent.status()["sameNode"]


def played(env, *cases, timeout=40):
    """What the cases see with plain TCP, and captured."""
    plain = env.topo.run("v1", PYTHON, ENDS, str(PORT), "127.0.0.1", str(PORT), *cases, timeout=timeout).stdout
    how = ["--proxied"] if env.datapath == "agent" else []
    ours = env.exec_(PYTHON, ENDS, *how, str(PORT), VIP, str(PORT), *cases, pod="v1", timeout=timeout).stdout
    return json.loads(plain), json.loads(ours)


def same(env, *cases, least=1):
    before = counts(env)
    plain, ours = played(env, *cases)
    after = counts(env)
    for name in plain:
        check(ours[name], plain[name], name)
    pairs = after["opaquePaired"] - before["opaquePaired"]
    sends = after["opaqueSends"] - before["opaqueSends"]
    env.log(f"{pairs} paired, {sends} sends, {after['bytes'] - before['bytes']} bytes, {after['spilled'] - before['spilled']} spills")
    check((pairs >= least, sends >= 4 * least) if env.datapath == "kernel" else (pairs == 0, sends == 0), (True, True))


@test(datapaths=("kernel",), timeout=60)
def ends_of_streams(env):
    """Half-close, close and reset, with bytes under way and readers that are slow."""
    policy(env)
    same(env, "half_close", "half_close_slow_reader", "late_reader_end", "close_after_answer", "linger_zero", "server_resets",
         "close_with_unread", "both_shut", least=8)


@test(datapaths=("kernel",), timeout=60)
def what_a_program_sees(env):
    """MSG_PEEK, FIONREAD, epoll by level and edge, writev, MSG_MORE, TCP_CORK, sendfile, keepalive, SO_RCVTIMEO."""
    policy(env)
    same(env, "peek_and_count", "timeouts", "epoll_level", "epoll_edge", "epoll_end", "gathered", "sendfile", "keepalive",
         "names", least=9)


@test(timeout=60)
def every_byte(env):
    """0 B to 10 MB, both ways in turn and at once, two threads on one socket, writers that meet a full one: the same
    bytes."""
    policy(env)
    same(env, "every_size", "full_then_writable", "both_ways_at_once", "two_writers", least=4)


@contextlib.contextmanager
def origin(env, *options, pod="v1", port=9500):
    """A captured origin.py: one that speaks first on port + 1, an echo on port + 2."""
    argv = env.agent.exec_argv(env.topo, pod, [PYTHON, os.path.join(HERE, "origin.py"), "--port", str(port), "--version", pod])
    at = argv.index("--")
    proc = spawn([*argv[:at], *options, *argv[at:]])
    try:
        for p in range(port, port + 4):
            env.topo.wait_port(pod, p)
        yield proc
    finally:
        stop(proc)


def greets(env, vip, port=9501, pod="c1", n=1, **kw):
    """Which server greeted, each time."""
    out = []
    for _ in range(n):
        first, _, second = env.client(pod).call("greeting", host=vip, port=port, **kw)
        check((first[:4], second), ("220 ", "you said hello"))
        out.append(first.split()[1])
    return out


def served(env, by="v1"):
    """Until that server greets, and not through the agent because it does not know yet that somebody listens."""
    def direct():
        before = env.agent.status()["fallback"].get("no-endpoint")
        return greets(env, VIP) == [by] and env.agent.status()["fallback"].get("no-endpoint") == before
    eventually(direct, f"served by {by}", 10)


def paired(env, what, want, **kw):
    """Whether connections are paired as opaque ones meanwhile; on the agent path none is."""
    greets(env, n=2, **kw)  # teaches what the listener's sockets are
    before = counts(env)
    greets(env, n=4, **kw)
    got = {k: counts(env)[k] - before[k] for k in ("opaquePaired", "opaqueSends", "paired")}
    check(got["opaquePaired"] if env.datapath == "kernel" else want, want, what)
    check(env.datapath == "kernel" or not any(got.values()), True, f"{what}: {got}")


@test(timeout=40)
def server_speaks_first(env):
    """From another namespace, IPv4 and v4-mapped; on a port whose protocol nobody named as well."""
    pods = [mesh.pod("talk", ["10.77.1.1"], {"app": "talk"})]
    with origin(env):
        for kind in ("tcp", "mysql", ""):
            env.policy(*pods, service(name="talk", port=9501, kind=kind))
            served(env)
            if kind:
                paired(env, f"port {kind!r}", 4, vip=VIP)
                paired(env, "v4-mapped", 4, vip=f"::ffff:{VIP}")
            else:
                greets(env, VIP, n=4)


@test(datapaths=("kernel",), timeout=40)
def only_where_it_is_said(env):
    """Without the annotation, for another port, with "off", switched off for node or workload, blocking clients: TCP."""
    pods = [mesh.pod("talk", ["10.77.1.1"], {"app": "talk"})]

    def with_annotation(how):
        o = mesh.service("talk", [VIP], {"tcp-greet": 9501, "tcp-echo": 9502}, {"app": "talk"})
        o["metadata"]["annotations"] = {"headrace.io/same-node": how} if how else {}
        env.policy(*pods, o)
    with origin(env):
        for how, want in ((None, 0), ("off", 0), ("tcp", 4), ("tcp=9502", 0), ("tcp=tcp-greet", 4)):
            with_annotation(how)
            served(env)
            paired(env, str(how), want, vip=VIP)
            check(env.agent.explain(f"http://talk:9501/")["sameNode"], "tcp" if want else "off", str(how))
        paired(env, "blocking client", 0, vip=VIP, blocking=True)
        env.agent.ctl("datapath", "--same-node=off")
        try:
            paired(env, "node", 0, vip=VIP)
        finally:
            env.agent.ctl("datapath", "--same-node=on")
        env.client("c1", name="off", labels="headrace.io/same-node=off")
        paired(env, "client", 0, vip=VIP, pod="off")
    with origin(env, "--same-node=off"):
        paired(env, "server", 0, vip=VIP)
    check("opaque" in env.agent.ctl("status").stdout, True)
    refused = env.agent.ctl("exec", "--labels", "headrace.io/same-node=tcp", "--", "true", check=False)
    check((refused.returncode, "annotation of the Service" in refused.stderr), (125, True), refused.stderr)


@test(timeout=40)
def routes_hold_at_connect(env):
    """A TCP route picks the server as for any opaque connection; what is picked skips TCP."""
    both = [mesh.pod("talk-v1", ["10.77.1.1"], {"app": "talk", "version": "v1"}),
            mesh.pod("talk-v2", ["10.77.2.1"], {"app": "talk", "version": "v2"}),
            service(name="talk", port=9501), mesh.dr("talk", {v: {"version": v} for v in ("v1", "v2")})]
    with origin(env), origin(env, pod="v2"):
        for v in ("v1", "v2"):
            env.policy(*both, mesh.vs("talk", [], tcp=[{"route": [dst("talk", v, 100), dst("talk", "v2" if v == "v1" else "v1", 0)]}]))
            served(env, v)
            check(set(greets(env, VIP, n=8)), {v})
            paired(env, v, 4, vip=VIP)


ECHO = [mesh.pod("talk", ["10.77.1.1"], {"app": "talk"}), service(name="talk", port=9502)]


def echoed(env, least=1000):
    """The echo server of origin() is served, and skips TCP: what it carries more than before."""
    env.policy(*ECHO)

    def skips():
        before = counts(env)["bytes"]
        env.call("echo", name=f"probe-{time.monotonic()}", host=VIP, port=9502, sizes=[100] * 20)
        return counts(env)["bytes"] - before > least
    if env.datapath == "kernel":
        eventually(skips, "the echo skips TCP", 10)


@test(timeout=60)
def many(env):
    """300 connections at once, all sizes, one turn in ten cut short by close() or RST: no wrong byte, nothing is left."""
    with origin(env):
        echoed(env)
        got = env.call("echo_storm", hosts=[VIP, f"::ffff:{VIP}"], port=9502, connections=300, seconds=2, abort=0.1)
        check((got["errors"], got["aborted"] > 50, got["turns"] > 300), ({}, True, True), str(got))
        env.clients.pop("c1").close()
        eventually(lambda: counts(env)["unread"] == 0, "nothing is unread")


@test(timeout=300, long=True)
def thousands(env):
    """2,000 connections, 0 B to 10 MB, for a minute."""
    with origin(env):
        echoed(env)
        for seed, (n, sizes) in enumerate(((2000, (1, 100, 5000, 40_000)), (20, (1, 300_000, 3_000_000, 10_000_000)), (1, (1, 10_000_000)))):
            got = env.call("echo_storm", hosts=[VIP], port=9502, connections=n, seconds=20, abort=0.05, sizes=sizes, patience=30.0, seed=seed)
            check(got["errors"], {}, str(got))
            print(f"      {n} connections: {got}", flush=True)


@test(datapaths=("kernel",), timeout=60)
def one_side_dies(env):
    """kill -9 of the server: its client sees an end at once, the next server is served; of the client: nothing is left."""
    with origin(env):
        echoed(env)
        env.call("echo", name="open", host=VIP, port=9502, sizes=[1, 100_000])
        os.kill(int(sh("pgrep", "-nf", "origin.py --port 9500 ").stdout), signal.SIGKILL)
        check(env.call("echo_end", name="open") in ("end", "ConnectionResetError"), True)
    with origin(env):
        echoed(env)
        c = env.client("c2", name="victim")
        c.call("echo", name="open", host=VIP, port=9502, sizes=[1, 100_000])
        c.send("echo_late", host=VIP, port=9502, size=3_000_000, pause=30)
        time.sleep(0.3)
        os.kill(int(sh("pgrep", "-nf", "puppet.py").stdout), signal.SIGKILL)
        eventually(lambda: counts(env)["unread"] == 0, "nothing is unread")
        check(env.call("echo", name="other", host=VIP, port=9502, sizes=[100, 200_000]), 200_100)


@test(datapaths=("kernel",), fresh=True, timeout=60)
def outlives_the_agent(env):
    """Pairs go on when the agent is killed, and with the next one; one whose reader is behind loses nothing when the agent
    is stopped and its data path taken down."""
    with origin(env):
        echoed(env)
        sizes = [1, 100, 100_000] * 20
        env.call("echo", name="open", host=VIP, port=9502, sizes=sizes)
        env.agent.kill()
        env.call("echo", name="open", host=VIP, port=9502, sizes=sizes)
        env.agent.start()
        before = counts(env)["bytes"]
        env.call("echo", name="open", host=VIP, port=9502, sizes=sizes)
        check(counts(env)["bytes"] - before > 2_000_000, True, "the open connection still skips TCP")
        lazy = [env.client("c2", name=f"lazy{i}") for i in range(3)]
        for c in lazy:
            c.send("echo_late", host=VIP, port=9502, size=3_000_000, pause=2.5)
        time.sleep(0.8)
        check(counts(env)["unread"] > 500_000, True, "unread")
        check(env.agent.stop(), 0)
        check([c.receive() for c in lazy], [3_000_000] * 3)
        check(env.call("echo", name="open", host=VIP, port=9502, sizes=sizes), 4 * 20 * 100_101)
