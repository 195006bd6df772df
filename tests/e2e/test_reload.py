# SPDX-License-Identifier: Apache-2.0
"""Configuration that changes under traffic: nobody loses a request, and a broken file changes nothing."""
import os
import threading
import time

import mesh
from mesh import dst, rule
from runner import check, eventually, test
from world import RECO, with_base


def under_load(env, work, seconds=6, connections=16, url=f"http://{RECO}:8080/"):
    """wrk in a thread of its own while `work` runs; its counts."""
    result = {}

    def load():
        try:
            result.update(env.wrk(url, seconds, connections, headers=[["Host", "reco"]]))
        except Exception as e:
            result["exception"] = e
    t = threading.Thread(target=load)
    t.start()
    time.sleep(0.3)
    try:
        work()
    finally:
        t.join()
    if "exception" in result:
        raise result["exception"]
    return result


def check_load(load):
    check((load["errors"], load["bad"], load["requests"] > 500), (0, 0, True), str(load))


def weights(a, b):
    return mesh.vs("reco", [rule([dst("reco", "v1", a), dst("reco", "v2", b)])])


@test(timeout=60)
def fifty_reloads(env):
    """50 reloads under wrk, each with other weights: zero failed requests."""
    env.policy(weights(50, 50))

    def work():
        for i in range(50):
            env.policy(weights(i, 100 - i))
    check_load(under_load(env, work, seconds=8))


@test(timeout=60)
def endpoints_come_and_go(env):
    """v2 leaves and comes back under load, in both families: nothing fails, and after it left it gets nothing."""
    env.policy()

    def work():
        for _ in range(4):
            env.policy(reco=["v1"])
            got = env.call("count", host=RECO, port=8080, total=60, connections=6, vhost="reco")
            check((got["seen"], got["errors"]), ({"v1": 60}, {}))
            env.policy(reco=["v1", "v2"])
            time.sleep(0.1)
    check_load(under_load(env, work, seconds=6))
    got = env.call("count", host=RECO, port=8080, total=200, connections=20, vhost="reco")
    check(sorted(got["seen"]), ["v1", "v2"])


@test()
def open_connection_leaves_removed_endpoint(env):
    """A connection that is open to an endpoint that was removed: its next request goes to one that is left."""
    env.policy(reco=["v2"])
    first, = env.call("exchange", name="open", host=RECO, port=8080, requests=[{"host": "reco"}])
    check(first["version"], "v2")
    env.policy(reco=["v1"])
    time.sleep(0.1)
    if env.call("is_closed", name="open", wait=0.3):
        return  # told by a close between two requests: as good
    got = env.call("exchange", name="open", host=RECO, port=8080, requests=[{"host": "reco"}] * 3)
    check([(r["status"], r["version"]) for r in got], [(200, "v1")] * 3)


@test()
def same_head_new_rules(env):
    """What was remembered of a head is void when its rules, its virtual host or its name are others: one connection
    sends the same bytes under each."""
    def ask(want, what):
        got = env.call("exchange", name="open", host=RECO, port=8080, requests=[{"host": "reco", "target": "/p"}] * 3)
        check([(r["status"], r.get("version")) for r in got], [want] * 3, what)
    to = {v: rule(dst("reco", v)) for v in ("v1", "v2")}
    for _ in range(2):
        env.policy(mesh.vs("reco", [to["v1"]]))
        ask((200, "v1"), "one rule")
        env.policy(mesh.vs("reco", [rule(dst("reco", "v2"), {"uri": {"exact": "/p"}}), to["v1"]]))
        ask((200, "v2"), "a rule before it")
        env.policy(mesh.vs("reco", [rule(dst("reco", "v1"), {"uri": {"exact": "/q"}})]))
        ask((404, None), "none that matches")
        env.policy(mesh.vs("reco", [to["v2"]]))
        ask((200, "v2"), "the same with another destination")


@test()
def last_endpoint_goes(env):
    """When the last endpoint is removed requests get 503, when one is back 200."""
    env.policy(mesh.vs("reco", [rule(dst("reco"))]), reco=[])
    check(env.get(f"http://{RECO}:8080/")[0], 503)
    env.policy(mesh.vs("reco", [rule(dst("reco"))]), reco=["v1"])
    eventually(lambda: env.get(f"http://{RECO}:8080/")[0] == 200, "served again", 3)


BROKEN = {
    "not YAML": "kind: [VirtualService\n",
    "unknown field": with_base([mesh.vs("reco", [{"rout": [dst("reco")]}])]),
    "empty": "",
    "binary": "\x00\x01\x02\x03",
    "tab": "apiVersion: v1\n\tkind: Service\n",
    "cut in the middle": with_base([weights(1, 2)])[:700] + "\n  spec: {hosts: [",
    "alias bomb": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8)),
    "deep": "[" * 10000,
}


@test(timeout=60)
def broken_file_keeps_serving(env):
    """Each broken file leaves the plan as it was, and says so in status.config.lastError until it is mended."""
    env.policy(weights(0, 100))
    good = env.written["mesh.yaml"]
    wrong = []
    for name, text in BROKEN.items():
        generation = env.agent.status()["config"]["generation"]
        env.put("mesh.yaml", text, wait=False)
        try:
            eventually(lambda: env.agent.status()["config"]["lastError"], "lastError", 3)
        except AssertionError:
            wrong.append(f"{name}: no lastError")
        got = env.call("count", host=RECO, port=8080, total=20, vhost="reco")
        if got["seen"] != {"v2": 20}:
            wrong.append(f"{name}: {got}")
        if env.agent.status()["config"]["generation"] != generation:
            wrong.append(f"{name}: became generation {env.agent.status()['config']['generation']}")
        env.put("mesh.yaml", good, wait=False)
        try:
            eventually(lambda: not env.agent.status()["config"]["lastError"], "lastError gone", 3)
        except AssertionError:
            wrong.append(f"{name}: lastError stays after the file was mended")
    check(wrong, [])


@test()
def error_has_its_position(env):
    """lastError names file, line and column of what is wrong."""
    env.put("mesh.yaml", with_base([mesh.vs("reco", [{"rout": [dst("reco")]}])]), wait=False)
    error = eventually(lambda: env.agent.status()["config"]["lastError"], "lastError", 3)
    line = next(i for i, t in enumerate(env.written["mesh.yaml"].splitlines(), 1) if "rout:" in t)
    check(f"mesh.yaml:{line}:" in str(error) and "rout" in str(error), True, str(error))


@test()
def files_added_and_removed(env):
    """Policy in a second file applies when the file appears and goes with it."""
    env.policy(mesh.vs("user", [rule(dst("user"))]))
    env.put("extra.yaml", mesh.to_yaml([weights(0, 100)]))
    got = env.call("count", host=RECO, port=8080, total=20, vhost="reco")
    check(got["seen"], {"v2": 20})
    env.put("extra.yaml", mesh.to_yaml([weights(100, 0)]))
    check(env.call("count", host=RECO, port=8080, total=20, vhost="reco")["seen"], {"v1": 20})
    os.unlink(os.path.join(env.agent.config, "extra.yaml"))
    env.written.pop("extra.yaml")
    eventually(lambda: len(env.call("count", host=RECO, port=8080, total=40, connections=8, vhost="reco")["seen"]) == 2,
               "no policy any more", 3)


@test()
def apply_get_delete(env):
    """Objects through the control socket: apply, seen by get, effective, deleted, gone."""
    path = os.path.join(env.dir, "applied.yaml")
    with open(path, "w") as f:
        f.write(mesh.to_yaml([weights(0, 100)]))
    env.agent.ctl("apply", "-f", path)
    try:
        eventually(lambda: env.call("count", host=RECO, port=8080, total=20, vhost="reco")["seen"] == {"v2": 20}, "applied", 3)
        check("reco" in env.agent.ctl("get", "vs").stdout, True)
        text = env.agent.ctl("get", "vs", "reco", "-n", "default", "-o", "yaml").stdout
        check("kind:" in text and "VirtualService" in text and "weight: 100" in text, True, text)
    finally:
        env.agent.ctl("delete", "vs", "reco", "-n", "default")
    eventually(lambda: len(env.call("count", host=RECO, port=8080, total=40, connections=8, vhost="reco")["seen"]) == 2,
               "deleted", 3)
    check(env.agent.ctl("get", "vs", "reco", "-n", "default", check=False).returncode, 1)


@test()
def sighup(env):
    """SIGHUP re-reads; the agent goes on."""
    import signal
    env.policy(weights(0, 100))
    env.agent.proc.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    check(env.call("count", host=RECO, port=8080, total=20, vhost="reco")["seen"], {"v2": 20})


@test(timeout=60)
def other_addresses_in_its_place(env):
    """A connection that stays open says by a number where it goes. Its endpoint goes, others come: none of them gets the
    number, or its requests would go to the server of before. And a service that takes the place of another, round by
    round, is never answered by the other's server."""
    def serve(name, pod):
        env.policy(mesh.service(name, ["10.96.7.1"], {"http": (80, 8080)}),
                   mesh.slice_(name, {"http": 8080}, [(f"10.77.{pod}.1", None)] if pod else []))

    def ask(name, kept):
        return env.call("exchange", name=kept, host="10.96.7.1", port=80, requests=[{"host": name}])[0]
    serve("here", 1)
    check(ask("here", "old")["version"], "v1")
    for _ in range(5):
        serve("here", None)
        check(ask("here", "old")["status"], 503)
    serve("here", 2)
    check([ask("here", "old")["version"] for _ in range(3)], ["v2"] * 3)
    for i in range(12):
        pod = 1 + i % 2
        serve(f"there{i}", pod)
        check([ask(f"there{i}", f"kept{i}")["version"] for _ in range(2)], [f"v{pod}"] * 2, f"round {i}")
