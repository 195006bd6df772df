# SPDX-License-Identifier: Apache-2.0
"""Client and server on one node, both captured: their bytes skip TCP, and nobody may tell from the answers.

    c1, c2 (captured) ---- VIP 10.96.0.80:9200 ---- v1: origin.py, captured by `headrace exec`

The whole suite runs so with `run.py --near`; here is what only this path can get wrong.
"""
import contextlib
import os
import re
import shutil
import signal
import time

import golang
import mesh
from mesh import dst, header, rule
from runner import Skip, check, eventually, test
from servers import HERE, NGINX, PYTHON
from topo import sh, spawn, stop

VIP, PORT = "10.96.0.80", 9200
OBJECTS = [mesh.pod("near", ["10.77.1.1"], {"app": "near"}), mesh.service("near", [VIP], {"http": PORT}, {"app": "near"}),
           mesh.vs("near", [rule(dst("near"))])]


def start_server(env, *options):
    argv = env.agent.exec_argv(env.topo, "v1", [PYTHON, os.path.join(HERE, "origin.py"), "--port", str(PORT),
                                                "--version", "near", "--pod", "near"])
    at = argv.index("--")
    proc = spawn([*argv[:at], *options, *argv[at:]])
    env.topo.wait_port("v1", PORT)
    return proc


@contextlib.contextmanager
def near(env, *options):
    """The captured server; the first connection has taught what its sockets are."""
    env.policy(*OBJECTS)
    proc = start_server(env, *options)
    try:
        eventually(lambda: served(env), "the server is served")
        yield proc
    finally:
        stop(proc)


def served(env):
    """And not by the agent, because it does not know yet that somebody listens."""
    before = env.agent.status()["fallback"].get("no-endpoint")
    return ask(env, 2) and env.agent.status()["fallback"].get("no-endpoint") == before


def ask(env, n=1, client="c1", **kw):
    got = env.client(client).call("exchange", host=VIP, port=PORT, requests=[{"host": "near", "target": "/echo"}] * n, **kw)
    return all(r["status"] == 200 and r["version"] == "near" for r in got)


def pairs(env):
    return env.agent.status()["sameNode"]


@contextlib.contextmanager
def without_tcp(env, least, what="bytes"):
    """On the kernel path at least so many bytes skip TCP meanwhile; on the agent path none."""
    before = pairs(env)[what]
    yield
    moved = pairs(env)[what] - before
    check(moved >= least if env.datapath == "kernel" else moved == 0, True, f"{moved} {what}")


@test()
def every_size(env):
    """0 bytes to 10 MB in both directions, hashes compared, in one send or many, and each once more."""
    with near(env), without_tcp(env, 2_000_000):
        for size in (0, 1, 100, 16384, 65536, 300_000, 1 << 20, 10_000_000):
            sent = env.call("upload", host=VIP, port=PORT, vhost="near", size=size)
            seen = env.call("download", host=VIP, port=PORT, vhost="near", target=f"/bytes?n={size}")
            again = env.call("download", host=VIP, port=PORT, vhost="near", target=f"/bytes?n={size}", rate=40_000_000)
            check((sent["status"], seen["bytes"], seen["sha256"]), (200, size, again["sha256"]), f"{size} bytes")
            check(sent["sha256"] in sent["body"], True, f"hash of {size} bytes")
        big = [env.call("exchange", host=VIP, port=PORT, name="kept", requests=[
            {"host": "near", "method": "POST", "target": "/reflect", "body": chr(97 + i) * n}])[0]
            for i, n in enumerate((10, 70_000, 3, 400_000, 1, 900_000, 20))]
        check([(len(r["body"]), r["body"][:1]) for r in big],
              [(n, chr(97 + i)) for i, n in enumerate((10, 70_000, 3, 400_000, 1, 900_000, 20))])


@test()
def before_accept(env):
    """The first request of a connection skips TCP too, and waits in the server's socket until the server accepts it; a
    server that dies first takes it along, as with TCP."""
    with near(env) as proc:
        for way in ("towardsServer", "towardsClient") if env.datapath == "kernel" else ():
            least = pairs(env)[way] + 5
            eventually(lambda: ask(env) and pairs(env)[way] >= least, f"first bytes {way}")
        for sig, n in ((signal.SIGCONT, 1), (signal.SIGKILL, 0)):
            os.kill(proc.pid, signal.SIGSTOP)
            before = pairs(env)["towardsServer"]
            env.client("c1").send("exchange", host=VIP, port=PORT, name=f"wait{n}", requests=[
                {"host": "near", "method": "POST", "target": "/reflect", "body": "b" * 50_000}])
            if env.datapath == "kernel":
                eventually(lambda: pairs(env)["towardsServer"] > before, "it is in the server's socket")
            else:
                time.sleep(0.1)
            os.kill(proc.pid, sig)
            try:
                got = [r["status"] for r in env.client("c1").receive()]
            except AssertionError:
                got = "closed"
            check(got in (([200],) if n else ("closed", [503])), True, str(got))


@test(timeout=60)
def storm(env):
    """500 connections, all sizes and framings, some answered in place or by the agent, one request in eight cut short,
    in the request, in the answer or by RST."""
    with near(env), without_tcp(env, 1_000_000):
        env.policy(*OBJECTS[:2], mesh.vs("near", [
            rule(dst("near"), header("x-k", exact="b"), headers={"request": {"set": {"x-b": "1"}}}),
            {"match": [header("x-k", exact="l")], "directResponse": {"status": 418, "body": {"string": "teapot"}}},
            rule(dst("near"))]))
        got = env.call("storm", hosts=[VIP, f"::ffff:{VIP}"], port=PORT, vhost="near", connections=500, seconds=5, abort=0.12)
        check((got["wrong"], got["errors"], got["aborted"] > 50), ([], {}, True), str(got))


def held(env, pod):
    """Bytes that the sockets of PORT in the pod hold: receive queues and send buffers."""
    text = env.topo.run(pod, "ss", "-tmnH", "state", "established", f"( sport = :{PORT} or dport = :{PORT} )").stdout
    return sum(int(r) + int(w) for r, w in re.findall(r"skmem:\(r(\d+),rb\d+,t\d+,tb\d+,f\d+,w(\d+)", text))


def settled(env, patience=4.0):
    """What both ends hold once it grows no more."""
    last, deadline = -1, time.monotonic() + patience
    while time.monotonic() < deadline:
        now = held(env, "c1") + held(env, "v1")
        if now == last and now:
            break
        last = now
        time.sleep(0.4)
    return last


@test(datapaths=("kernel",), timeout=60)
def reader_that_stops(env):
    """A client that stops reading a 90 MB answer blocks its server, as TCP does: at most 5 MB more than plain TCP are
    held, and when it reads on, every byte comes. Its buffer is fixed: how far one grows by itself is chance (plain TCP
    held 0.8 to 8.2 MB)."""
    with near(env):
        amounts = []
        for enrolled in (False, True):
            c = env.client("c1", name=f"slow-{enrolled}", enrolled=enrolled)
            where = dict(host=VIP, port=PORT) if enrolled else dict(host="10.77.1.1", port=PORT)
            c.send("download", **where, vhost="near", target="/bytes?n=90000000", pause=0.5, timeout=30.0, rcvbuf=262144)
            time.sleep(0.25)
            os.kill(c.proc.pid, signal.SIGSTOP)
            amounts.append(settled(env))
            os.kill(c.proc.pid, signal.SIGCONT)
            got = c.receive()
            check((got["status"], got["bytes"]), (200, 90_000_000))
            c.close()
            env.clients.pop(f"slow-{enrolled}")
        plain, ours = amounts
        env.log(f"held: plain {plain}, near {ours}")
        check(ours < plain + 5_000_000, True, f"{ours} bytes held, plain TCP {plain}")


@test(datapaths=("kernel",), timeout=60)
def server_that_stops(env):
    """A server that stops reading an upload of 90 MB blocks its client, as TCP does: at most 5 MB more than plain TCP are held.
    When it goes on, every byte comes; when it is killed, the client hears of it at once, and nothing is left."""
    with near(env) as proc:
        amounts, pid = [], proc.pid
        for enrolled, sig in ((False, signal.SIGCONT), (True, signal.SIGCONT), (True, signal.SIGKILL)):
            c = env.client("c1", name=f"up-{enrolled}", enrolled=enrolled)
            where = dict(host=VIP, port=PORT) if enrolled else dict(host="10.77.1.1", port=PORT)
            check(c.call("exchange", **where, requests=[{"host": "near"}])[0]["status"], 200)
            os.kill(pid, signal.SIGSTOP)
            c.send("upload", **where, vhost="near", size=90_000_000, timeout=20.0)
            amounts.append(settled(env))
            if enrolled:
                check(500_000 < pairs(env)["unread"] < pairs(env)["bounds"]["connection"] + 600_000, True, str(pairs(env)))
            start = time.monotonic()
            os.kill(pid, sig)
            try:
                got = c.receive()
                check((got["status"], got["sha256"] in got["body"]), (200, True))
            except AssertionError as e:
                check((sig, time.monotonic() - start < 2), (signal.SIGKILL, True), str(e))
        plain, ours, again = amounts
        env.log(f"held: plain {plain}, near {ours}, {again}")
        check(max(ours, again) < plain + 5_000_000, True, f"{ours}, {again} bytes held, plain TCP {plain}")
        eventually(lambda: pairs(env)["unread"] == 0 and held(env, "c1") + held(env, "v1") == 0, "nothing is held")


@test(datapaths=("kernel",), timeout=40)
def seen_from_outside(env):
    """`ss` shows a paired connection at both ends, established, with its processes; its counters do not see the bytes that
    skip TCP (ARCHITECTURE says so); when it is closed it is gone. `status` tells what is unread, and of how much."""
    def lines(pod, which, *more):
        return env.topo.run(pod, "ss", "-tnHO", *more, "state", "established", which).stdout.splitlines()
    with near(env), without_tcp(env, 1_900_000):
        check(ask(env, 2, name="seen"), True)
        env.call("exchange", host=VIP, port=PORT, name="seen", requests=[
            {"host": "near", "method": "POST", "target": "/reflect", "body": "x" * 100_000}] * 10)
        client = [x for x in lines("c1", f"dport = :{PORT}", "-pi") if '"python3"' in x]
        check((len(client), f"10.77.1.1:{PORT}" in client[0]), (1, True), str(client))
        port = re.search(r"10\.77\.100\.1:(\d+) ", client[0]).group(1)
        server = lines("v1", f"sport = :{PORT} and dport = :{port}", "-pi")
        check((len(server), '"python3"' in server[0]), (1, True), str(server))
        for text in (client[0], server[0]):
            check(sum(int(n) for n in re.findall(r"bytes_(?:sent|received):(\d+)", text)) < 20_000, True, text)
        env.call("hang_up", name="seen")
        eventually(lambda: not [x for x in lines("c1", f"dport = :{PORT}", "-p") if '"python3"' in x], "gone")
    check("bytes unread, of 268435456 (1048576 each way of a connection)" in env.agent.ctl("status").stdout, True)


@test(datapaths=("kernel",), timeout=40)
def every_family(env):
    """IPv4, IPv6, and an IPv6 socket that asks for an IPv4 address: paired, HTTP and opaque, from another namespace and from
    the server's own."""
    addresses = (VIP, "fd96::80", f"::ffff:{VIP}")
    opaque = mesh.service("near-tcp", [VIP, "fd96::80"], {"tcp": PORT + 2}, {"app": "near"})
    opaque["metadata"]["annotations"] = {"headrace.io/same-node": "tcp"}
    with near(env):
        env.policy(mesh.pod("near", ["10.77.1.1", "fd77::1:1"], {"app": "near"}), opaque, OBJECTS[2],
                   mesh.service("near", [VIP, "fd96::80"], {"http": PORT}, {"app": "near"}))
        for pod in ("c1", "v1"):
            c = env.client(pod)
            for host in addresses:
                def paired():
                    before = pairs(env)
                    name = f"{pod} {host} {time.monotonic()}"
                    got = c.call("exchange", host=host, port=PORT, requests=[{"host": "near", "target": "/echo"}] * 3)
                    c.call("echo", name=name, host=host, port=PORT + 2, sizes=[100, 50_000])
                    check([r["status"] for r in got], [200] * 3)
                    now = pairs(env)
                    return (now["towardsClient"] >= before["towardsClient"] + 3 and now["opaqueSends"] >= before["opaqueSends"] + 4)
                eventually(paired, f"{pod} to {host} is paired")


def canary(env):
    """Requests with x-k: c leave their connection, which goes to v2 (elsewhere), for the captured server."""
    env.policy(mesh.pod("near", ["10.77.1.1"], {"app": "canary"}), mesh.pod("far", ["10.77.2.1"], {"app": "near"}),
               mesh.service("near", [VIP], {"http": PORT}, {"app": "near"}),
               mesh.service("canary", ["10.96.0.81"], {"http": PORT}, {"app": "canary"}),
               mesh.vs("near", [rule(dst("canary"), header("x-k", exact="c")), rule(dst("near"))]))


def moved(env, n, name="canary", **kw):
    """So many moved requests on one connection: each with its status and who answered."""
    request = {"host": "near", "target": "/echo", "headers": [["x-k", "c"]], **kw}
    got = env.call("exchange", host=VIP, port=PORT, name=name, requests=[request] * n)
    return {(r["status"], r["version"], len(r["body"])) for r in got}


def moved_by_tcp(env):
    """Off for the client's workload, or for the node: moved requests do not skip TCP either."""
    request = {"host": "near", "target": "/echo", "headers": [["x-k", "c"]]}
    off = env.client("c1", name="off", labels="headrace.io/same-node=off")
    for switch, client in ((None, off), ("off", env.client("c1"))):
        if switch:
            env.agent.ctl("datapath", f"--same-node={switch}")
        before = env.agent.status()
        got = client.call("exchange", host=VIP, port=PORT, requests=[request] * 10)
        after = env.agent.status()
        check({(r["status"], r["version"]) for r in got}, {(200, "near")})
        check((after["sameNode"]["bytes"] - before["sameNode"]["bytes"], after["requests"]["kernel"] - before["requests"]["kernel"]),
              (0, 10), f"switched {switch}")
    env.agent.ctl("datapath", "--same-node=on")


@test(timeout=60)
def moved_to_this_node(env):
    """A request that is moved to a server on this node, and its answer, skip TCP as well: small ones, bodies, and answers
    that are longer than a pooled connection would hand over; native ones in between; until the server dies, and after."""
    with near(env) as proc:
        canary(env)
        far = spawn(env.topo.cmd("v2", [PYTHON, os.path.join(HERE, "origin.py"), "--port", str(PORT), "--version", "far",
                                        "--pod", "far"]))
        try:
            env.topo.wait_port("v2", PORT)
            if env.datapath == "kernel":  # the first pooled connection teaches what the server's sockets are
                least = pairs(env)["towardsServer"] + 50
                eventually(lambda: moved(env, 5, None) and pairs(env)["towardsServer"] > least, "skips TCP")
            with without_tcp(env, 2_000_000):
                body = "b" * 40_000
                for n in (10, 65_000, 300_000, 2_000_000):
                    check(moved(env, 3, target=f"/bytes?n={n}"), {(200, "near", n)}, f"{n} bytes")
                    check(moved(env, 3, method="POST", target="/reflect", body=body), {(200, "near", 40_000)})
                    got = env.call("exchange", host=VIP, port=PORT, name="canary", requests=[{"host": "near"}] * 3)
                    check([r["version"] for r in got], ["far"] * 3)
            if env.datapath == "kernel":
                moved_by_tcp(env)
            slow = env.call("download", host=VIP, port=PORT, vhost="near", target="/bytes?n=9000000", rate=30_000_000,
                            headers=[["x-k", "c"]])
            again = env.call("download", host=VIP, port=PORT, vhost="near", target="/bytes?n=9000000")
            check((slow["bytes"], slow["sha256"]), (9_000_000, again["sha256"]), "spilled")
            c = env.client("c2", name="load")
            c.send("crosstalk", host=VIP, port=PORT, connections=50, rounds=2000, vhost="near", timeout=4.0,
                   headers=[["x-k", "c"]])
            time.sleep(0.7)
            proc.kill()
            check([w for w in c.receive()["wrong"] if w[2] != 503], [])
        finally:
            stop(far)


@test(timeout=60)
def server_dies_and_returns(env):
    """kill -9 of the server under load: clients see closed connections or 503, never a wrong answer; the next server on
    the port is served, its sockets learned anew."""
    with near(env) as proc:
        c = env.client("c2", name="load")
        c.send("crosstalk", host=VIP, port=PORT, connections=50, rounds=4000, vhost="near", timeout=4.0)
        time.sleep(1)
        pid = int(sh("pgrep", "-nf", f"origin.py --port {PORT} ").stdout)
        os.kill(pid, signal.SIGKILL)
        got = c.receive()
        check([w for w in got["wrong"] if w[2] != 503], [])
        stop(proc)
        again = start_server(env)
        try:
            eventually(lambda: ask(env, 2), "the second server answers", 10)
            before = pairs(env)["bytes"]
            if env.datapath == "kernel":
                eventually(lambda: ask(env, 5) and pairs(env)["bytes"] > before + 1000, "paired again", 10)
        finally:
            stop(again)


@test(datapaths=("kernel",), fresh=True, timeout=60)
def pairs_outlive_the_agent(env):
    """Connections that skip TCP go on when the agent is killed; the one that takes over pairs new ones."""
    with near(env):
        check(ask(env, 20, name="open"), True)
        before = pairs(env)["bytes"]
        check(ask(env, 20, name="open"), True)
        check(pairs(env)["bytes"] > before + 1000, True)
        env.agent.kill()
        check(ask(env, 200, name="open"), True)
        env.agent.start()
        before = pairs(env)["bytes"]
        check((ask(env, 20, name="open"), ask(env, 200, name="new")), (True, True))
        check(pairs(env)["bytes"] > before + 10_000, True, "paired")


@test(datapaths=("kernel",))
def opted_out(env):
    """Off for the node, for the server, for the client: TCP as ever."""
    def unpaired(what, **kw):
        before = pairs(env)["paired"]
        check((ask(env, 5, **kw), pairs(env)["paired"] - before), (True, 0), what)

    with near(env):
        before = pairs(env)["paired"]
        check((ask(env, 5), pairs(env)["paired"] - before), (True, 1), "on")
        env.agent.ctl("datapath", "--same-node=off")
        try:
            unpaired("node")
        finally:
            env.agent.ctl("datapath", "--same-node=on")
        c = env.client("c1", name="off", labels="headrace.io/same-node=off")
        check(c.call("ping"), "pong")
        unpaired("client", client="off")
        for what in (dict(annotations={"headrace.io/same-node": "off"}), dict(labels={"headrace.io/same-node": "off"})):
            for pod, ip in (("c1", "10.77.100.1"), ("v1", "10.77.1.1")):  # of the client's workload, of the server's
                o = mesh.pod(pod, [ip], {})
                o["metadata"].update(what)
                env.policy(*OBJECTS, o)
                unpaired(f"Pod {pod}: {what}")
                named = {w["name"] for w in env.agent.status()["workloads"] if w["labels"].get("headrace.io/same-node") != "off" and not w["sameNode"]}
                check(named, {pod})
        env.policy(*OBJECTS)
        before = pairs(env)["paired"]
        check((ask(env, 5), pairs(env)["paired"] - before), (True, 1), "on again")
    with near(env, "--same-node=off"):
        unpaired("server")


@test(datapaths=("kernel",))
def blocking_servers(env):
    """A server with blocking sockets is left alone (a psock would disturb its recv)."""
    env.policy(*OBJECTS)
    code = ("import http.server as h\nclass H(h.BaseHTTPRequestHandler):\n protocol_version = 'HTTP/1.1'\n"
            " def do_GET(s):\n  s.send_response(200); s.send_header('x-version', 'near'); s.send_header('content-length', '2')\n"
            "  s.end_headers(); s.wfile.write(b'ok')\n def log_message(*a): pass\n"
            f"h.ThreadingHTTPServer(('', {PORT}), H).serve_forever()")
    proc = spawn(env.agent.exec_argv(env.topo, "v1", [PYTHON, "-c", code]))
    try:
        env.topo.wait_port("v1", PORT)
        eventually(lambda: ask(env), "served")
        before = pairs(env)
        for _ in range(5):
            check(ask(env, 3), True)
        after = pairs(env)
        check((after["paired"] - before["paired"], after["unpairedBlocking"] - before["unpairedBlocking"] > 0), (0, True))
    finally:
        stop(proc)


# ---- clients of other people (clients/README.md) ----

CLIENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients")


def client_works(env, *argv, base=f"http://{VIP}:{PORT}", least=5_000_000, **kw):
    with near(env), without_tcp(env, least):
        out = env.exec_(*argv, base, "near", timeout=60, check=False, **kw)
        check((out.returncode, out.stdout[:3]), (0, "ok "), out.stdout + out.stderr[-1500:])


@test(timeout=90)
def clients_asyncio(env):
    client_works(env, PYTHON, os.path.join(CLIENTS, "aio.py"))


@test(timeout=90)
def clients_node(env):
    if not shutil.which("node"):
        raise Skip("no node here")
    client_works(env, "node", os.path.join(CLIENTS, "agent.js"))


@test(timeout=200)
def clients_go(env):
    client_works(env, golang.build("clients"))


@test(timeout=90)
def clients_java(env):
    """Its name is the host: HttpClient sets that header itself."""
    if not shutil.which("javac"):
        raise Skip("no JDK here")
    sh("javac", "-d", env.dir, os.path.join(CLIENTS, "Client.java"))
    client_works(env, "java", "-cp", env.dir, "Client", base=f"http://near:{PORT}")


@test(timeout=60)
def clients_nginx(env):
    """nginx as a captured client (proxy_pass with keep-alive), asked by a client that is not."""
    conf = os.path.join(env.dir, "client.conf")
    with open(conf, "w") as f:
        f.write(f"""daemon off; user root; worker_processes 1; pid {env.dir}/client.pid; error_log stderr error;
events {{ worker_connections 1024; }}
http {{ access_log off; client_max_body_size 0; client_body_temp_path {env.dir}/body; proxy_temp_path {env.dir}/proxy;
  upstream up {{ server {VIP}:{PORT}; keepalive 32; }}
  server {{ listen 8001; location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host near; }} }} }}""")
    with near(env), without_tcp(env, 5_000_000):
        proc = spawn(env.agent.exec_argv(env.topo, "c1", [NGINX, "-p", env.dir, "-e", "stderr", "-c", conf]))
        try:
            env.topo.wait_port("c1", 8001)
            out = env.topo.run("c1", PYTHON, os.path.join(CLIENTS, "aio.py"), "http://127.0.0.1:8001", "near", timeout=60, check=False)
            check((out.returncode, out.stdout[:3]), (0, "ok "), out.stdout + out.stderr[-1500:])
        finally:
            stop(proc)
