# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as it is really spoken: bodies, framings, upgrades, odd but legal shapes. The rule with the header
x-v2 sends a request to v2, all others go to v1, so that connections change their endpoint in mid-life."""
import hashlib
import json

import mesh
from mesh import dst, header, rule
from runner import check, eventually, test
from world import ORIGIN, ORIGIN6

TO_V2 = [["x-v2", "1"]]
BOTH = mesh.vs("origin", [rule(dst("origin", "v2"), header("x-v2")), rule(dst("origin", "v1"))])


def ask(env, *requests, **kw):
    """Requests on one connection to origin; each is (method, target) or (method, target, body), `to` v1 or v2."""
    rows = [{"host": "origin", **r} for r in requests]
    return env.call("exchange", host=ORIGIN, port=9000, requests=rows, **kw)


def seen(response):
    return json.loads(response["body"])


@test()
def what_arrives(env):
    """The server sees the request that the client sent: method, target, headers in order, body."""
    env.policy(BOTH)
    h = [["User-Agent", "headrace test"], ["Accept", "*/*"], ["X-Odd", "a;b=\"c\"  d"], ["Cookie", "a=1; b=2"]]
    for extra in ([], TO_V2):
        r, = ask(env, {"method": "PUT", "target": "/echo?x=%20y&z", "headers": h + extra, "body": "hello"})
        e = seen(r)
        check((e["method"], e["target"], e["body"]), ("PUT", "/echo?x=%20y&z", 5))
        names = {k.lower(): v for k, v in e["headers"]}
        check({k: names.get(k.lower()) for k, _ in h}, dict(h))
        check(names["host"], "origin")


@test()
def alternating(env):
    """Every other request to another endpoint, on one connection: in order, complete, nobody else's."""
    env.policy(BOTH)
    rows = [{"target": f"/echo?{i}", "headers": TO_V2 if i % 2 else []} for i in range(100)]
    got = ask(env, *rows)
    check([(seen(r)["target"], r["version"]) for r in got], [(f"/echo?{i}", "v2" if i % 2 else "v1") for i in range(100)])


@test()
def uploads(env):
    """Bodies of all sizes arrive as they were sent, to the endpoint that the rule says."""
    env.policy(BOTH)
    sizes = [1, 100, 1460, 4096, 16384, 65535, 65536, 65537, 200000, 1 << 20]
    rows = [{"method": "POST", "target": "/echo", "body": chr(97 + i) * n, "headers": TO_V2 if i % 2 else []}
            for i, n in enumerate(sizes)]
    for blocking in (False, True):
        for i, r in enumerate(ask(env, *rows, blocking=blocking)):
            want = hashlib.sha256(rows[i]["body"].encode()).hexdigest()
            check((r["version"], seen(r)["body"], seen(r)["sha256"]), ("v2" if i % 2 else "v1", sizes[i], want))


@test(timeout=60)
def upload_100_mb(env):
    """100 MB up, with Content-Length and chunked, by non-blocking and blocking clients; the agent stays small."""
    env.policy(BOTH)
    before = env.agent.rss_kb()
    for chunks, blocking in ((False, False), (True, False), (False, True)):
        r = env.call("upload", host=ORIGIN, port=9000, size=100 << 20, vhost="origin", as_chunks=chunks, blocking=blocking)
        check((r["status"], seen(r)["body"], seen(r)["sha256"]), (200, 100 << 20, r["sha256"]))
    check(env.agent.rss_kb() - before < 30000, True, f"agent grew from {before} to {env.agent.rss_kb()} KB")


@test()
def reflected_bodies(env):
    """Large bodies both ways at once, from both endpoints."""
    env.policy(BOTH)
    body = "".join(chr(33 + i % 90) for i in range(300000))
    for target in ("/reflect", "/reflect-chunked"):
        for r in ask(env, *[{"method": "POST", "target": target, "body": body, "headers": h} for h in ([], TO_V2, [])]):
            check((r["status"], r["body"] == body), (200, True), target)


@test(timeout=60)
def slow_reader(env):
    """A reader of 10 MB/s on a 1 GB answer: the rest waits at the server, not in our memory."""
    env.policy(mesh.vs("reco", [rule(dst("reco", "v1"))]))
    for blocking in (False, True):
        before = env.agent.rss_kb()
        r = env.call("download", host="10.96.0.10", port=8080, target="/files/big", vhost="reco", rate=10 << 20,
                     rcvbuf=65536, limit=30 << 20, blocking=blocking)
        check((r["status"], r["size"], r["bytes"]), (200, 1 << 30, 30 << 20))
        check(env.agent.rss_kb() - before < 20000, True, f"agent grew from {before} to {env.agent.rss_kb()} KB")


@test(timeout=200, long=True)
def slow_reader_whole(env):
    """The whole gigabyte at 50 MB/s, every byte compared."""
    env.policy(mesh.vs("reco", [rule(dst("reco", "v1"))]))
    before = env.agent.rss_kb()
    r = env.call("download", host="10.96.0.10", port=8080, target="/files/big", vhost="reco", rate=50 << 20)
    check(r["sha256"], "49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14")
    check(env.agent.rss_kb() - before < 20000, True)


@test()
def big_answers(env):
    """1 MB and 10 MB answers from both endpoints, Content-Length and chunked, then the connection goes on."""
    env.policy(BOTH)
    rows = [{"target": f"/{kind}?n={n}", "headers": h} for n in (1000000, 10000000) for kind in ("bytes", "chunked")
            for h in ([], TO_V2)]
    block = bytes(range(256)) * 256
    for r, row in zip(ask(env, *rows, timeout=20), rows):
        n = int(row["target"].split("=")[1])
        want = (block * (n // len(block) + 1))[:n]
        check((r["status"], r["version"], r["body"].encode("latin-1") == want),
              (200, "v2" if row["headers"] else "v1", True), str(row))


@test()
def chunked_requests(env):
    """Chunked bodies up: split anywhere, with trailers, empty."""
    env.policy(BOTH)
    body = "abcdefghij" * 700
    for size, pieces, trailers in ((1000, 0, []), (7, 0, []), (1000, 100, []), (5000, 0, [["x-sum", "42"]])):
        r = env.call("post_chunked", host=ORIGIN, port=9000, body=body, vhost="origin", size=size, pieces=pieces,
                     trailers=trailers)
        check((seen(r)["body"], seen(r)["sha256"]), (7000, hashlib.sha256(body.encode()).hexdigest()))
    check(seen(env.call("post_chunked", host=ORIGIN, port=9000, body="", vhost="origin"))["body"], 0)


@test()
def chunked_then_next(env):
    """After a chunked request, and after a chunked answer, the next request may go elsewhere."""
    env.policy(BOTH)
    up = "POST /echo HTTP/1.1\r\nHost: origin\r\nTransfer-Encoding: chunked\r\n%s\r\n5\r\nhello\r\n0\r\n\r\n"
    got = ask(env, {"method": "POST", "raw": up % ""}, {"target": "/chunked?n=3000", "headers": TO_V2},
              {"target": "/echo"}, {"method": "POST", "raw": up % "x-v2: 1\r\n"}, {"target": "/chunked?n=3000"},
              {"target": "/echo", "headers": TO_V2})
    check([r["version"] for r in got], ["v1", "v2", "v1", "v2", "v1", "v2"])
    check([seen(got[i])["body"] for i in (0, 3)], [5, 5])


@test()
def response_trailers(env):
    env.policy(BOTH)
    for h in ([], TO_V2):
        r, = ask(env, {"target": "/chunked?n=10", "headers": h})
        check(r["trailers"], [["x-trailer", "done"]])


@test()
def expect_continue(env):
    """100 comes before the body is sent; 417 without it; the endpoint is the rule's."""
    env.policy(BOTH)
    r = env.call("upload", host=ORIGIN, port=9000, size=100000, vhost="origin", expect=True)
    check((r["expect"], r["status"], seen(r)["sha256"]), (100, 200, r["sha256"]))
    r = env.call("upload", host=ORIGIN, port=9000, size=1000, vhost="origin", expect=True, target="/refuse")
    check(r["expect"], 417)
    out = env.curl("-H", "Expect: 100-continue", "-H", "x-v2: 1", "--data-binary", "x" * 2000, f"http://{ORIGIN}:9000/echo")
    check((json.loads(out)["version"], json.loads(out)["body"]), ("v2", 2000))


@test()
def bodiless(env):
    """HEAD, 204 and 304 have no body whatever their headers say, and the next answer is not taken for one."""
    env.policy(BOTH)
    rows = [("HEAD", "/bytes?n=5000"), ("GET", "/echo"), ("GET", "/status?code=204"), ("GET", "/echo"),
            ("GET", "/status?code=304"), ("GET", "/echo"), ("HEAD", "/chunked?n=100"), ("GET", "/echo")]
    for flip in (0, 1):
        got = ask(env, *[{"method": m, "target": t, "headers": TO_V2 if i % 2 == flip else []}
                         for i, (m, t) in enumerate(rows)])
        check([r["status"] for r in got], [200, 200, 204, 200, 304, 200, 200, 200])
        check([seen(got[i])["target"] for i in (1, 3, 5, 7)], ["/echo"] * 4)
        check([r["version"] for r in got], ["v2" if i % 2 == flip else "v1" for i in range(8)])


@test()
def early_hints(env):
    """Interim answers are relayed and do not count as the answer."""
    env.policy(BOTH)
    for h in ([], TO_V2):
        got = ask(env, {"target": "/hints", "headers": h}, {"target": "/echo"})
        check((got[0]["interim"], got[0]["status"], got[1]["status"]), ([103], 200, 200))


@test()
def upgrade(env):
    """WebSocket: after 101 the connection is a tunnel, whatever bytes it carries."""
    env.policy(BOTH)
    for blocking in (False, True):
        check(env.call("websocket", host=ORIGIN, port=9000, vhost="origin", blocking=blocking),
              {"status": 101, "same": True, "version": "v1"})
    env.policy(mesh.vs("origin", [rule(dst("origin", "v2"))]))
    check(env.call("websocket", host=ORIGIN6, port=9000, vhost="origin")["version"], "v2")


@test()
def refused_upgrade(env):
    """A server that does not upgrade answers as usual, and the connection is still HTTP."""
    env.policy(BOTH)
    got = ask(env, {"target": "/ws"}, {"target": "/echo", "headers": TO_V2})
    check([r["status"] for r in got], [400, 200])
    check(got[1]["version"], "v2")


@test()
def pipelining(env):
    """Ten requests in one write, to both endpoints: ten answers in the order of the requests."""
    env.policy(BOTH)
    rows = [{"host": "origin", "target": f"/echo?{i}", "headers": TO_V2 if i % 3 == 0 else [],
             "method": "POST" if i % 4 == 0 else "GET", "body": "b" * i * 100 if i % 4 == 0 else ""} for i in range(10)]
    for at_once in (True, False):
        got = env.call("pipelined", host=ORIGIN, port=9000, requests=rows, at_once=at_once)
        check([(seen(r)["target"], r["version"]) for r in got],
              [(f"/echo?{i}", "v2" if i % 3 == 0 else "v1") for i in range(10)])


@test()
def pipelining_slow_first(env):
    """The slow answer of the first endpoint still comes before the quick one of the second."""
    env.policy(BOTH)
    rows = [{"host": "origin", "target": "/late?ms=300"}, {"host": "origin", "target": "/echo", "headers": TO_V2},
            {"host": "origin", "target": "/echo"}]
    got = env.call("pipelined", host=ORIGIN, port=9000, requests=rows)
    check([r["version"] for r in got], ["v1", "v2", "v1"])
    check(got[0]["body"].startswith("v1"), True)


@test()
def byte_by_byte(env):
    """A head that arrives one byte at a time is routed like any other; so is the next one in one piece."""
    env.policy(BOTH)
    rows = [{"target": "/echo?slow", "headers": TO_V2}, {"target": "/echo?2"}, {"method": "POST", "target": "/echo",
                                                                            "body": "tiny", "headers": TO_V2}]
    for blocking in (False, True):
        got = ask(env, *rows, pieces=1, blocking=blocking)
        check([r["version"] for r in got], ["v2", "v1", "v2"])
    got = ask(env, *rows, pieces=1, delay=0.002)
    check([r["version"] for r in got], ["v2", "v1", "v2"])
    for pieces in (2, 3, 16, 47):
        check([r["version"] for r in ask(env, *rows, pieces=pieces)], ["v2", "v1", "v2"], f"pieces of {pieces}")


@test()
def http_1_0(env):
    """HTTP/1.0 without keep-alive: one answer, then close."""
    env.policy(BOTH)
    for h in ("", "x-v2: 1\r\n"):
        r = env.call("raw", host=ORIGIN, port=9000, data=f"GET /echo HTTP/1.0\r\nHost: origin\r\n{h}\r\n")
        check((r["closed"], r["data"].startswith("HTTP/1."), f'"version": "{"v2" if h else "v1"}"' in r["data"]),
              (True, True, True), str(r))


@test()
def connection_close(env):
    """A client that says close gets its answer and the end of the connection. Elsewhere than at its own server the answer
    says so too."""
    env.policy(BOTH)
    for h in ("", "x-v2: 1\r\n"):
        for _ in range(3):
            r = env.call("raw", host=ORIGIN, port=9000,
                         data=f"GET /echo HTTP/1.1\r\nHost: origin\r\n{h}Connection: Close\r\n\r\n")
            check((r["closed"], r["error"], r["data"].startswith("HTTP/1.1 200")), (True, None, True), str(r))
            check(f'"version": "{"v2" if h else "v1"}"' in r["data"], True, str(r))
            check(not h or "connection: close\r\n" in r["data"].lower(), True, str(r))


@test()
def last_answer_read_late(env):
    """A client that is not scheduled for a while after its last answer came, and the connection's end behind it,
    finds both: on the kernel path the answer is in the client's own queue, and must outlive the end that its server
    answers ours with."""
    env.policy(BOTH)
    close = "Host: origin\r\nConnection: close\r\n"
    asked = {  # each in another way: refused, the agent's, native, moved, long, HTTP/1.0
        "bad": "GET / HTTP/1.1\r\nHost: origin\r\nHost: other\r\n\r\n",
        "agent": f"POST / HTTP/1.1\r\n{close}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "v1": f"GET / HTTP/1.1\r\n{close}\r\n", "v2": f"GET / HTTP/1.1\r\n{close}x-v2: 1\r\n\r\n",
        "long": f"POST /bytes?n=300000 HTTP/1.1\r\n{close}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "old": "GET / HTTP/1.0\r\nHost: origin\r\n\r\n"}
    for name, data in asked.items():
        wants = [env.call("raw", host=ORIGIN, port=9000, data=data, late=late) for late in (0, 0.15)]
        lines = [(len(w["data"]), w["data"].partition("\r\n")[0], w["closed"], w["error"]) for w in wants]
        check(lines[1], lines[0], name)
        check(lines[0][0] > 0, True, f"{name}: {wants[0]}")


@test()
def half_close(env):
    """A client that shuts its sending side down still gets the answer."""
    env.policy(BOTH)
    for h in ("", "x-v2: 1\r\n"):
        for blocking in (False, True):
            r = env.call("raw", host=ORIGIN, port=9000, half_close=True, blocking=blocking, timeout=3,
                         data=f"GET /late?ms=100 HTTP/1.1\r\nHost: origin\r\n{h}Connection: close\r\n\r\n")
            check(r["data"].startswith("HTTP/1.1 200"), True, str(r))


@test()
def until_close(env):
    """An answer without framing ends with the connection, complete."""
    env.policy(BOTH)
    for h in ([], TO_V2):
        r, = ask(env, {"target": "/until-close?n=200000", "headers": h})
        check((r["status"], len(r["body"])), (200, 200000))


@test()
def early_answer(env):
    """A server may answer before it has read the body; nothing hangs and the connection goes on."""
    env.policy(BOTH)
    for h in ([], TO_V2):
        got = ask(env, {"method": "POST", "target": "/early", "body": "e" * 50000, "headers": h}, {"target": "/echo"})
        check([r["status"] for r in got], [200, 200])
        check(got[0]["body"], "early")


@test()
def long_heads(env):
    """A request head of 10 KB and an answer head of 8 KB are legal, and routed by what is at their end."""
    env.policy(BOTH)
    fill = [[f"x-fill-{i}", "f" * 500] for i in range(20)]
    got = ask(env, {"target": "/echo", "headers": fill + TO_V2}, {"target": "/big-head?n=8000", "headers": TO_V2},
              {"target": "/echo", "headers": fill})
    check([(r["status"], r["version"]) for r in got], [(200, "v2"), (200, "v2"), (200, "v1")])


@test()
def client_goes_away(env):
    """Clients that leave in the middle of an answer or of a body disturb nobody else."""
    env.policy(BOTH)
    for h in ([], TO_V2):
        for i in range(10):
            env.call("download", host=ORIGIN, port=9000, target="/bytes?n=20000000", vhost="origin", limit=100000)
        for i in range(5):
            r = env.call("raw", host=ORIGIN, port=9000, timeout=0.05,
                         data="POST /echo HTTP/1.1\r\nHost: origin\r\nContent-Length: 100000\r\n%s\r\nonly this"
                              % ("x-v2: 1\r\n" if h else ""))
            check("HTTP/1.1 200" in r["data"], False)
    got = env.call("count", host=ORIGIN, port=9000, total=200, connections=10, vhost="origin", headers=TO_V2)
    check((got["seen"], got["errors"]), ({"v2": 200}, {}))


def in_flight(env):
    return sum(e["inFlight"] for e in json.loads(env.agent.ctl("endpoints", "-o", "json").stdout))


@test(timeout=60)
def client_leaves_long_answer(env):
    """Clients that go away in the middle of a long answer, whoever carries it: soon nothing is in flight."""
    env.policy(mesh.vs("origin", [rule([dst("origin", "v1", 50), dst("origin", "v2", 50)])]))
    before = in_flight(env)  # other tests' requests that a silent server still holds
    for i in range(12):
        env.call("download", host=ORIGIN, port=9000, target="/bytes?n=300000000", vhost="origin", limit=2000000,
                 rate=0 if i % 2 else 4000000)
    eventually(lambda: in_flight(env) <= before, "nothing more in flight than before")


@test(timeout=180)
def go_client(env):
    """Go's net/http: keep-alive pool, chunked uploads from a reader, 100-continue, HEAD."""
    from golang import build
    env.policy(BOTH)
    out = env.exec_(build(), f"http://{ORIGIN}:9000", timeout=60, check=False)
    check((out.stdout.strip().splitlines() or [out.stderr])[-1], "go client: all ok")
