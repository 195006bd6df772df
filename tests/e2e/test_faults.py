# SPDX-License-Identifier: Apache-2.0
"""Servers that do what they should not, and endpoints that are not there.

Through the agent every fault has its status. In the kernel's native path the client talks to the server itself:
it may then see what it would have seen without a mesh (a close, the garbage), never a hang and never an answer
that belongs to another request. A request that was moved is held to the same as through the agent.
"""
import time

import mesh
from mesh import dst, header, rule
from runner import check, test
from world import EMPTY, ORIGIN, RECO

MOVE = [["x-v2", "1"]]


def fault(env, path, headers=(), port=9000):
    h = "".join(f"{k}: {v}\r\n" for k, v in headers)
    start = time.monotonic()
    r = env.call("raw", host=ORIGIN, port=port, timeout=4,
                 data=f"GET {path} HTTP/1.1\r\nHost: origin\r\n{h}Connection: close\r\n\r\n")
    check(time.monotonic() - start < 3.5 or r["closed"], True, f"{path} hung: {r}")
    return r


@test(timeout=60)
def no_usable_answer(env):
    """A server that closes, resets or answers garbage: 502 or 503 (native: what the server did), never a hang."""
    env.policy(mesh.vs("origin", [rule(dst("origin", "v2"), header("x-v2")), rule(dst("origin", "v1"))]))
    for path in ("/close", "/reset", "/garbage", "/two-lengths", "/both-framings"):
        for headers in ([], MOVE):
            r = fault(env, path, headers)
            ok = r["data"].startswith(("HTTP/1.1 502", "HTTP/1.1 503"))
            native = env.datapath == "kernel" and r["closed"]
            check(ok or native, True, f"{path} {headers}: {r}")
    got = env.call("count", host=ORIGIN, port=9000, total=40, vhost="origin")
    check(got["errors"], {})


@test()
def broken_off(env):
    """An answer that ends in the middle ends in the middle for the client too: it is never made to look whole."""
    env.policy(mesh.vs("origin", [rule(dst("origin", "v2"), header("x-v2")), rule(dst("origin", "v1"))]))
    for headers in ([], MOVE):
        r = fault(env, "/half?n=30000", headers)
        body = r["data"].partition("\r\n\r\n")[2]
        check((r["closed"], len(body) < 30000 or r["data"].startswith("HTTP/1.1 50")), (True, True), str(r)[:300])
        r = fault(env, "/bad-chunk", headers)
        check("\r\n0\r\n\r\n" in r["data"] and r["data"].startswith("HTTP/1.1 200") and "zz" not in r["data"], False)


@test()
def late(env):
    """A late answer is an answer."""
    env.policy(mesh.vs("origin", [rule(dst("origin", "v2"), header("x-v2")), rule(dst("origin", "v1"))]))
    got = env.call("exchange", host=ORIGIN, port=9000, requests=[
        {"host": "origin", "target": "/late?ms=400", "headers": h} for h in ([], MOVE, [])])
    check([(r["status"], r["version"]) for r in got], [(200, "v1"), (200, "v2"), (200, "v1")])


@test()
def answered_twice(env):
    """The second answer to one request is nobody's: through the agent, and when the request was moved, the next
    request gets its own."""
    env.policy(mesh.vs("origin", [rule(dst("origin", "v2"), header("x-v2")), rule(dst("origin", "v1"))]))
    for headers in ([], MOVE) if env.datapath == "agent" else (MOVE,):
        for i in range(5):
            # the connection starts at v1, so that the marked request has to be moved
            rows = [{"host": "origin", "target": "/echo"}, {"host": "origin", "target": "/twice", "headers": headers},
                    {"host": "origin", "target": f"/echo?{i}", "headers": headers}]
            got = env.call("exchange", host=ORIGIN, port=9000, requests=rows)
            check((got[1]["body"], got[2]["body"][:1], f"/echo?{i}" in got[2]["body"]), ("first", "{", True), str(got[2]))


@test()
def closed_between_requests(env):
    """A server that closes an idle connection without a word: the next request gets an answer (native: the client
    sees the close between two requests, as without a mesh)."""
    env.policy(mesh.vs("origin", [rule(dst("origin", "v2"), header("x-v2")), rule(dst("origin", "v1"))]))
    for i in range(10):
        env.call("exchange", name="idle", host=ORIGIN, port=9000, requests=[{"host": "origin", "target": "/drop-next"}])
        time.sleep(0.05)
        if env.datapath == "kernel" and env.call("is_closed", name="idle", wait=0.1):
            env.call("hang_up", name="idle")
            continue
        r, = env.call("exchange", name="idle", host=ORIGIN, port=9000, requests=[{"host": "origin", "target": "/echo"}])
        check(r["status"], 200)
        env.call("hang_up", name="idle")


@test()
def moved_server_closes_between(env):
    """The pooled connection to the other endpoint was closed by its server: nobody notices."""
    env.policy(mesh.vs("origin", [rule(dst("origin", "v2"), header("x-v2")), rule(dst("origin", "v1"))]))
    for i in range(10):
        got = env.call("exchange", name="kept", host=ORIGIN, port=9000, requests=[
            {"host": "origin", "target": "/echo"}, {"host": "origin", "target": "/drop-next", "headers": MOVE}])
        check([r["status"] for r in got], [200, 200])
        time.sleep(0.03)
        got = env.call("exchange", name="kept", host=ORIGIN, port=9000, requests=[
            {"host": "origin", "target": "/echo", "headers": MOVE}, {"host": "origin", "target": "/echo"}])
        check([(r["status"], r["version"]) for r in got], [(200, "v2"), (200, "v1")])


@test()
def never_answers(env):
    """A client that gives up on a server that never answers: its connection goes, others stay."""
    env.policy(mesh.vs("origin", [rule(dst("origin", "v2"), header("x-v2")), rule(dst("origin", "v1"))]))
    for headers in ("", "x-v2: 1\r\n"):
        r = env.call("raw", host=ORIGIN, port=9000, timeout=0.3, data=f"GET /hang HTTP/1.1\r\nHost: origin\r\n{headers}\r\n")
        check(r["data"], "")
    got = env.call("count", host=ORIGIN, port=9000, total=40, connections=8, vhost="origin", headers=MOVE)
    check(got["seen"], {"v2": 40})


@test()
def no_endpoint(env):
    """A service without endpoints: 503 from us, at once."""
    code, _ = env.get(f"http://{EMPTY}:8080/")
    check(code, 503)
    env.policy(mesh.vs("empty", [rule(dst("empty"))]))
    check("headrace" in env.curl("-i", f"http://{EMPTY}:8080/").lower(), True)


@test()
def no_such_subset(env):
    """A route to a subset that nobody defines: 503 for that route only."""
    env.policy(mesh.vs("reco", [rule(dst("reco", "v9"), {"uri": {"prefix": "/v9"}}), rule(dst("reco", "v1"))]))
    got = env.call("exchange", host=RECO, port=8080, requests=[{"host": "reco", "target": t} for t in ("/", "/v9", "/")])
    check([r["status"] for r in got], [200, 503, 200])


@test()
def empty_subset(env):
    """A subset whose labels no endpoint has: 503, and the others are served."""
    env.policy(mesh.dr("reco", {"v1": {"version": "v1"}, "v3": {"version": "v3"}}),
               mesh.vs("reco", [rule(dst("reco", "v3"), header("x-v3")), rule(dst("reco", "v1"))]))
    got = env.call("exchange", host=RECO, port=8080, requests=[
        {"host": "reco", "headers": h} for h in ([["x-v3", ""]], [], [["x-v3", ""]])])
    check([r["status"] for r in got], [503, 200, 503])


@test(timeout=60)
def dead_endpoint(env):
    """One of two endpoints has nobody listening: a connect failure is retried elsewhere, and the agent knows which
    endpoint is dead, so no request is lost."""
    import servers
    from topo import stop
    proc = servers.nginx(env.topo, "user", "alive", env.dir, port=8091)
    env.policy(mesh.service("half", ["10.96.1.5"], {"http": (80, 8091)}),
               mesh.slice_("half", {"http": 8091}, [("10.77.3.1", None), ("10.77.2.1", None)]), mesh.vs("half", [rule(dst("half"))]))
    time.sleep(1.5)
    got = env.call("count", host="10.96.1.5", port=80, total=60, connections=30, vhost="half")
    stop(proc)
    check((got["seen"], got["errors"]), ({"alive": 60}, {}))


@test(timeout=60)
def unreachable_endpoint(env):
    """The same when the dead endpoint's host is gone: a connect there takes seconds to fail, so it must not be tried
    for every request."""
    env.policy(mesh.slice_("user", {"http-web": 8080}, [("10.77.3.1", None), ("10.77.3.99", None)]),
               mesh.vs("user", [rule(dst("user"))]))
    time.sleep(4)
    got = env.call("count", host="10.96.0.30", port=8080, total=12, connections=6, vhost="user", timeout=6)
    check((got["seen"], got["errors"]), ({"user": 12}, {}))


@test()
def only_dead_endpoints(env):
    """Nobody listens at any endpoint: 503 (UF), not a hang."""
    env.policy(mesh.service("user", ["10.96.0.30"], {"http-web": (8080, 9999)}),
               mesh.slice_("user", {"http-web": 9999}, [("10.77.3.1", None)]), mesh.vs("user", [rule(dst("user"))]))
    from runner import eventually
    eventually(lambda: env.get("http://10.96.0.30:8080/", check=False)[0] == 503, "503", 4)


@test()
def server_statuses_pass(env):
    """What the server says is what the client gets; a 503 of the server is not retried by default."""
    env.policy(mesh.vs("reco", [rule(dst("reco", "v2"), header("x-v2")), rule(dst("reco", "v1"))]))
    for code in (201, 204, 400, 404, 500, 502, 503, 504):
        got = env.call("exchange", host=RECO, port=8080, requests=[
            {"host": "reco", "target": f"/status/{code}", "headers": h} for h in ([], MOVE)])
        check([(r["status"], r["version"]) for r in got], [(code, "v1"), (code, "v2")])


@test()
def solo_server_restarts(env):
    """A server that goes and comes back: 503 (or refused) while it is gone, 200 again soon after."""
    import servers
    from runner import eventually
    from topo import stop
    env.policy(mesh.service("late", ["10.96.1.4"], {"http": (80, 8090)}),
               mesh.slice_("late", {"http": 8090}, [("10.77.3.1", None)]), mesh.vs("late", [rule(dst("late"))]))
    for _ in range(2):
        proc = servers.nginx(env.topo, "user", "late", env.dir, port=8090)
        eventually(lambda: env.get("http://10.96.1.4:80/", check=False) == (200, "late user"), "served", 8)
        stop(proc)
        code, _ = env.get("http://10.96.1.4:80/", check=False)
        check(code in (503, 0), True, f"status {code} from a server that is gone")
