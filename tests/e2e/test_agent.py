# SPDX-License-Identifier: Apache-2.0
"""The agent's life: start, two of them, death, restart, end. Each test starts from a clean machine."""
import json
import os
import signal
import subprocess
import time

import mesh
from agent import HEADRACE, PINS, cleanup, own_cgroups
from mesh import dst, header, rule
from runner import check, eventually, test
from test_reload import check_load, under_load
from topo import sh
from world import RECO, Env

POLICY = mesh.vs("reco", [rule(dst("reco", "v2"), header("x-v2")), rule(dst("reco", "v1"))])


@test(fresh=True)
def second_agent_refuses(env):
    """Two agents would fight over the same sockets: the second says whose machine it is, and the first goes on."""
    done = sh(HEADRACE, "run", "-f", env.agent.config, "--socket", env.agent.socket + "2", "--pins", PINS, check=False, timeout=15)
    check((done.returncode, str(env.agent.proc.pid) in done.stderr + done.stdout), (1, True), done.stderr)
    done = sh(HEADRACE, "run", "-f", env.agent.config, "--socket", env.agent.socket, "--pins", PINS, check=False, timeout=15)
    check((done.returncode, str(env.agent.proc.pid) in done.stderr + done.stdout), (1, True), done.stderr)
    check(env.get(f"http://{RECO}:8080/")[0], 200)


@test(fresh=True)
def term_leaves_nothing(env):
    """SIGTERM after traffic: exit 0, no pins, programs, cgroups, socket (the runner looks too)."""
    env.policy(POLICY)
    env.call("count", host=RECO, port=8080, total=200, headers=[["x-v2", "1"]], vhost="reco")
    env.clients.pop("c1").close()
    check(env.agent.stop(), 0)
    check(env.agent.leftovers(), [])
    check(env.agent.ctl("status", check=False).returncode, 3)


@test(fresh=True)
def term_with_clients(env):
    """Clients that are still connected when the agent ends: it ends in time and cleans up all the same."""
    env.policy(POLICY)
    env.call("exchange", name="open", host=RECO, port=8080, requests=[{"host": "reco", "headers": h}
                                                                      for h in ([], [["x-v2", "1"]])])
    start = time.monotonic()
    check(env.agent.stop(timeout=30), 0)
    check(time.monotonic() - start < 20, True)
    client = env.clients.pop("c1")
    client.close()
    check(env.agent.leftovers(), [])


@test(fresh=True, timeout=60)
def killed_and_restarted(env):
    """kill -9 in mid-traffic and a new agent on the same machine: the new one takes over and everything is served;
    `cleanup` is not needed."""
    env.policy(POLICY)
    env.call("count", host=RECO, port=8080, total=100, headers=[["x-v2", "1"]], vhost="reco")
    env.agent.kill()
    env.agent.start()
    client = env.client("c1", name="after")
    got = client.call("count", host=RECO, port=8080, total=100, headers=[["x-v2", "1"]], vhost="reco")
    check((got["seen"], got["errors"]), ({"v2": 100}, {}))
    got = client.call("count", host=RECO, port=8080, total=100, vhost="reco")
    check((got["seen"], got["errors"]), ({"v1": 100}, {}))


@test(datapaths=("kernel",), fresh=True, timeout=60)
def native_survives_kill(env):
    """Connections whose requests stay native do not notice that the agent died: the kernel carries them."""
    env.policy(mesh.vs("reco", [rule(dst("reco", "v1"))]))
    env.call("exchange", name="open", host=RECO, port=8080, requests=[{"host": "reco"}] * 5)
    env.agent.kill()
    got = env.call("exchange", name="open", host=RECO, port=8080, requests=[{"host": "reco"}] * 50)
    check({(r["status"], r["version"]) for r in got}, {(200, "v1")})


@test(datapaths=("kernel",), fresh=True, timeout=60)
def refused_in_place_after_kill(env):
    """While no agent is there, a request that needs it gets its 503 from the kernel, on an open connection and a new
    one, and the connection goes on: the next native request, and with a new agent the very same one, are served."""
    env.policy(mesh.vs("reco", [rule(dst("reco", "v2"), header("x-v2")),
                                rule(dst("reco", "v1"), header("x-set"),
                                     headers={"response": {"set": {"x-a": "b"}}}),
                                rule(dst("reco", "v1"))]))
    asks = [{"host": "reco", "headers": h} for h in ([], [["x-v2", "1"]], [["x-set", "1"]])] * 3
    env.call("exchange", name="open", host=RECO, port=8080, requests=asks)
    env.agent.kill()
    time.sleep(0.2)
    client = env.clients["c1"]
    for name in ("open", "new"):
        got = client.call("exchange", name=name, host=RECO, port=8080, requests=asks)
        check([r["status"] for r in got], [200, 503, 503] * 3, name)
    # in several sends: 503 too, and over; what is still sent is no error
    head = f"GET / HTTP/1.1\r\nHost: reco\r\nx-set: 1\r\nx-pad: {'x' * 200}\r\n\r\n"
    cut = client.call("exchange", name="cut", host=RECO, port=8080, requests=[{"raw": head[:30]}])[0]
    check((cut["status"], dict(map(tuple, cut["headers"])).get("connection")), (503, "close"), str(cut))
    env.agent.start()
    check(client.call("is_closed", name="cut"), True, "shut down by the next agent")
    again = env.client("c1", name="after")
    got = again.call("exchange", host=RECO, port=8080, requests=asks)
    check([r["status"] for r in got], [200] * 9)
    got = client.call("exchange", name="new", host=RECO, port=8080, requests=asks)
    check([r["status"] for r in got], [200] * 9)


@test(fresh=True)
def cleanup_after_kill(env):
    """`headrace cleanup` removes what a killed agent left; with an agent running it refuses."""
    env.policy(POLICY)
    env.call("count", host=RECO, port=8080, total=20, vhost="reco")
    refused = cleanup()
    check((refused.returncode, env.get(f"http://{RECO}:8080/")[0]), (1, 200), refused.stderr)
    env.clients.pop("c1").close()
    env.agent.kill()
    cleanup(check=True)
    check([os.path.exists(PINS) and any(f for _, _, f in os.walk(PINS)), own_cgroups()], [False, []])
    check(env.agent.leftovers()[:1], [s for s in env.agent.leftovers()[:1] if s.startswith("socket")])


@test(datapaths=("kernel",), fresh=True, timeout=60)
def kill_switch(env):
    """`headrace datapath agent` under load and back: no failed request; new requests go where it says."""
    if env.agent.status()["datapath"]["mode"] != "kernel":
        from runner import Skip
        raise Skip("no kernel path here: " + env.agent.status()["datapath"]["why"])
    env.policy(POLICY)

    def work():
        for _ in range(3):
            env.agent.ctl("datapath", "agent")
            time.sleep(0.4)
            env.agent.ctl("datapath", "kernel")
            time.sleep(0.4)
    check_load(under_load(env, work, seconds=5))
    env.agent.ctl("datapath", "agent")
    time.sleep(0.2)
    check(env.agent.status()["datapath"]["mode"], "agent")
    before = env.requests()
    env.call("count", host=RECO, port=8080, total=40, vhost="reco")
    after = env.requests()
    check((after["kernel"] - before["kernel"], after["agent"] - before["agent"]), (0, 40))
    env.agent.ctl("datapath", "kernel")
    check(env.agent.status()["datapath"]["mode"], "kernel")


@test(datapaths=("kernel",), fresh=True)
def kill_switch_open_connection(env):
    """An open connection obeys the kill switch with its next request, both ways, and never breaks."""
    env.policy(POLICY)
    for mode in ("kernel", "agent", "kernel", "agent", "kernel"):
        env.agent.ctl("datapath", mode)
        got = env.call("exchange", name="open", host=RECO, port=8080, requests=[
            {"host": "reco", "headers": h} for h in ([], [["x-v2", "1"]], [])])
        check([r["version"] for r in got], ["v1", "v2", "v1"], mode)


@test(fresh=True)
def exec_statuses(env):
    """exec returns the command's status; 126, 127 and 125 are its own, as env(1) and docker run have them."""
    def status(*argv):
        return sh(HEADRACE, "exec", "--socket", env.agent.socket, "--", *argv, check=False).returncode
    check([status("true"), status("sh", "-c", "exit 7"), status("/nonexistent/x"), status("/etc/passwd")], [0, 7, 127, 126])
    check(sh(HEADRACE, "exec", "--socket", "/nonexistent.sock", "--", "true", check=False).returncode, 125)
    done = sh(HEADRACE, "exec", "--socket", env.agent.socket, "--", "sh", "-c", "kill -9 $$", check=False)
    check(done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), True, str(done.returncode))


@test(fresh=True)
def exec_leaves_no_cgroup(env):
    """The cgroup of a command goes with the command."""
    for _ in range(5):
        env.exec_("true")

    def count():
        return [d for base in own_cgroups() for _, dirs, _ in os.walk(base) for d in dirs]
    before = count()
    for _ in range(20):
        env.exec_("true")
    eventually(lambda: len(count()) <= len(before), f"cgroups {count()[:5]}", 3)


@test(fresh=True)
def inside_and_outside(env):
    """`headrace exec -- ip netns exec NS curl` and `ip netns exec NS headrace exec -- curl` are the same."""
    env.policy(mesh.vs("reco", [rule(dst("reco", "v2"))]))
    for inside in (False, True):
        check(env.get(f"http://{RECO}:8080/", inside=inside), (200, "v2 v2"), f"inside={inside}")


@test(fresh=True)
def attach_pid(env):
    """attach --pid enrols a process that already runs; its next connection is steered, and detach ends that."""
    from agent import Client
    env.policy(mesh.vs("reco", [rule(dst("reco", "v2"))]))
    client = Client(env.agent, env.topo, "c1", enrolled=False)
    try:
        check(client.call("ping"), "pong")
        env.agent.ctl("attach", "--pid", str(client.proc.pid))
        got = client.call("exchange", host=RECO, port=8080, requests=[{"host": "reco"}])
        check(got[0]["version"], "v2")
        env.agent.ctl("detach", "--pid", str(client.proc.pid))
        check(client.call("connect", host=RECO, port=8080, timeout=0.5) != "ok", True)
    finally:
        client.close()


@test(fresh=True)
def identities(env):
    """Rules by the source's labels: two workloads in one namespace are told apart."""
    env.policy(mesh.vs("reco", [rule(dst("reco", "v2"), {"sourceLabels": {"tier": "gold"}}), rule(dst("reco", "v1"))]))
    check(env.get(f"http://{RECO}:8080/", workload="default/a", labels="tier=gold,app=a")[1], "v2 v2")
    check(env.get(f"http://{RECO}:8080/", workload="default/b", labels="tier=base")[1], "v1 v1")
    check(env.get(f"http://{RECO}:8080/", workload="default/a", labels="tier=gold,app=a")[1], "v2 v2")


@test(args=("--metrics", "127.0.0.1:15920"))
def metrics(env):
    """What was served is in the metrics, with Istio's names."""
    env.policy(POLICY)
    env.call("count", host=RECO, port=8080, total=30, headers=[["x-v2", "1"]], vhost="reco")
    text = eventually(lambda: (lambda t: t if "istio_requests_total{" in t else None)(env.agent.metrics("127.0.0.1:15920")),
                      "istio_requests_total", 3)
    rows = [line for line in text.splitlines() if line.startswith("istio_requests_total{") and 'response_code="200"' in line]
    check(sum(float(r.rsplit(" ", 1)[1]) for r in rows), 30.0, text[:2000])


@test(fresh=True, timeout=60)
def no_growth(env):
    """Ten rounds of connections that come and go: file descriptors and memory of the agent end where they were."""
    env.policy(POLICY)

    def round_():
        env.call("crosstalk", host="10.96.0.20", port=9000, connections=200, rounds=3, vhost="origin")
        env.call("count", host=RECO, port=8080, total=100, headers=[["x-v2", "1"]], vhost="reco")
    for _ in range(3):
        round_()
    time.sleep(0.5)
    fds, rss = env.agent.fds(), env.agent.rss_kb()
    for _ in range(7):
        round_()
    # 1,400 connections came and went; pools may still settle, one descriptor a connection would show
    eventually(lambda: env.agent.fds() <= fds + 150, f"fds {fds} -> {env.agent.fds()}", 5)
    check(env.agent.rss_kb() < rss * 1.2 + 4096, True, f"RSS {rss} -> {env.agent.rss_kb()} KB")


@test(own=True, datapaths=("agent",))
def unprivileged(world, datapath, log):
    """Without the privileges `run` needs: one clear sentence and exit 1."""
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", HEADRACE, "run", "-f", "/tmp",
                           "--socket", "/tmp/hr-nobody.sock"], text=True, capture_output=True, timeout=20)
    log(done.stderr)
    check((done.returncode, len(done.stderr.strip().splitlines()) <= 2, "libbpf" in done.stderr), (1, True, False), done.stderr)


@test(own=True, timeout=60)
def bad_start(world, datapath, log):
    """A configuration that is wrong at start: errors with their position and exit 1; nothing stays behind."""
    env = Env(world, datapath, name="bad")
    with open(os.path.join(env.agent.config, "mesh.yaml"), "w") as f:
        f.write("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec: {hots: [x]}\n")
    done = sh(HEADRACE, "run", "-f", env.agent.config, "--socket", env.agent.socket, f"--datapath={datapath}",
              "--pins", PINS, check=False, timeout=20)
    check((done.returncode, "mesh.yaml:4" in done.stderr, "hots" in done.stderr), (1, True, True), done.stderr)
    check(env.agent.leftovers(1), [])
    missing = sh(HEADRACE, "run", "-f", "/nonexistent", "--socket", env.agent.socket, "--pins", PINS, check=False, timeout=20)
    check((missing.returncode, "/nonexistent" in missing.stderr), (1, True), missing.stderr)


@test(fresh=True)
def ready_line(env):
    """One line that says ready, and a log one can read: key=value, no libbpf noise."""
    text = open(env.agent.log_path).read()
    check(sum(" ready" in line for line in text.splitlines()), 1, text)
    check("libbpf" in text, False, text[:1000])


@test(args=("--log=json",))
def json_log(env):
    """--log=json: every line is a JSON object (the ready line is for people and scripts)."""
    env.policy(POLICY)
    lines = [t for t in open(env.agent.log_path).read().splitlines() if " ready" not in t]
    check(all(isinstance(json.loads(line), dict) for line in lines) and bool(lines), True)


@test(fresh=True)
def socket_of_a_dead_agent(env):
    """A stale socket file does not keep an agent from starting."""
    env.agent.kill()
    check(os.path.exists(env.agent.socket), True)
    env.agent.start()
    check(env.get(f"http://{RECO}:8080/")[0], 200)


@test(fresh=True)
def stopped_agent(env):
    """SIGSTOP for a second under native traffic, then on: requests are answered, late at worst."""
    env.policy(mesh.vs("reco", [rule(dst("reco", "v1"))]))
    env.client().send("count", host=RECO, port=8080, total=2000, vhost="reco", timeout=8)
    env.agent.proc.send_signal(signal.SIGSTOP)
    time.sleep(1)
    env.agent.proc.send_signal(signal.SIGCONT)
    got = env.client().receive()
    check((got["seen"], got["errors"]), ({"v1": 2000}, {}))


@test(datapaths=("agent",), fresh=True)
def no_door_no_way(env):
    """A new namespace whose doors a starved agent has not opened: without the kernel path nobody would keep the rules, so
    connect() is refused, and works once the agent has had its turn."""
    client = env.client("c2", inside=False)
    client.call("ping")  # it runs, has changed its namespace, and has no socket yet
    env.agent.proc.send_signal(signal.SIGSTOP)
    try:
        check(client.call("connect", host=RECO, port=8080), "PermissionError")
    finally:
        env.agent.proc.send_signal(signal.SIGCONT)
    eventually(lambda: client.call("connect", host=RECO, port=8080) == "ok", "the door is open")
