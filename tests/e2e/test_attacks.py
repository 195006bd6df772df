# SPDX-License-Identifier: Apache-2.0
"""Bytes that a strict HTTP/1.1 implementation refuses (RFC 9112 2.2, 3, 5, 6, 7), one vector a name.

Each goes to a service whose port says HTTP. It must be answered 4xx or 501/505 once, the connection closed, and
nothing of it may reach the server: the smuggled request /smuggled must never be answered.
"""
import os

import mesh
from mesh import dst, header, rule
from runner import check, test
from world import RECO, SOLO

GET = "GET /smuggled HTTP/1.1\r\nHost: solo\r\n\r\n"


def post(headers, body="", line="POST / HTTP/1.1", host="Host: solo\r\n"):
    return f"{line}\r\n{host}{headers}\r\n{body}"


VECTORS = {
    "bare LF ends a line": "GET / HTTP/1.1\nHost: solo\n\n",
    "bare LF between headers": "GET / HTTP/1.1\r\nHost: solo\r\nA: b\nX: y\r\n\r\n",
    "bare CR in a value": "GET / HTTP/1.1\r\nHost: solo\r\nA: b\rX: y\r\n\r\n",
    "folded line": "GET / HTTP/1.1\r\nHost: solo\r\nA: b\r\n c\r\n\r\n",
    "space before the colon": post("Content-Length : 5\r\n", "hello"),
    "space before the first header": "GET / HTTP/1.1\r\n Host: solo\r\n\r\n",
    "empty header name": post(": x\r\n"),
    "no colon": post("Hello\r\n"),
    "control byte in a name": post("A\x01B: x\r\n"),
    "NUL in a value": post("A: x\x00y\r\n"),
    "space in a name": post("Content Length: 5\r\n"),
    "length with a sign": post("Content-Length: +5\r\n", "hello"),
    "negative length": post("Content-Length: -5\r\n", "hello"),
    "hexadecimal length": post("Content-Length: 0x5\r\n", "hello"),
    "length with underscore": post("Content-Length: 5_0\r\n", "hello"),
    "length of letters": post("Content-Length: five\r\n", "hello"),
    "empty length": post("Content-Length:\r\n", "hello"),
    "list of unequal lengths": post("Content-Length: 5, 6\r\n", "hello!"),
    "two unequal lengths": post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
    "length over 2^64": post("Content-Length: 18446744073709551621\r\n", "hello"),
    "length 2^63": post("Content-Length: 9223372036854775808\r\n", "hello"),
    "CL.TE": post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + GET),
    "TE.CL": post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "2b\r\n" + GET + "\r\n0\r\n\r\n"),
    "TE with a prefix": post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n" + GET),
    "TE twice": post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
    "TE chunked twice": post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
    "TE not final": post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"),
    "TE identity": post("Transfer-Encoding: identity\r\nContent-Length: 0\r\n"),
    "TE with vertical tab": post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n" + GET),
    "TE in HTTP/1.0": post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n" + GET, line="POST / HTTP/1.0"),
    "chunk size of 17 digits": post("Transfer-Encoding: chunked\r\n", "00000000000000005\r\nhello\r\n0\r\n\r\n"),
    "chunk size overflows": post("Transfer-Encoding: chunked\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "chunk size with blanks": post("Transfer-Encoding: chunked\r\n", " 5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with 0x": post("Transfer-Encoding: chunked\r\n", "0x5\r\nhello\r\n0\r\n\r\n"),
    "negative chunk": post("Transfer-Encoding: chunked\r\n", "-5\r\nhello\r\n0\r\n\r\n"),
    "chunk ends with LF": post("Transfer-Encoding: chunked\r\n", "5\nhello\n0\n\n" + GET),
    "chunk longer than its size": post("Transfer-Encoding: chunked\r\n", "5\r\nhelloworld\r\n0\r\n\r\n"),
    "chunk extension of 5 KB": post("Transfer-Encoding: chunked\r\n", "5;" + "x" * 5000 + "\r\nhello\r\n0\r\n\r\n"),
    "CR in a chunk extension": post("Transfer-Encoding: chunked\r\n", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "trailer that frames": post("Transfer-Encoding: chunked\r\n", "0\r\nContent-Length: 50\r\n\r\n" + GET),
    "trailer that routes": post("Transfer-Encoding: chunked\r\n", "0\r\nHost: other\r\n\r\n" + GET),
    "two Hosts": "GET / HTTP/1.1\r\nHost: solo\r\nHost: other\r\n\r\n",
    "no Host": "GET / HTTP/1.1\r\nA: b\r\n\r\n",
    "Host is not the authority": "GET http://other/ HTTP/1.1\r\nHost: solo\r\n\r\n",
    "Host with a path": "GET / HTTP/1.1\r\nHost: solo/x\r\n\r\n",
    "two spaces in the request line": "GET  / HTTP/1.1\r\nHost: solo\r\n\r\n",
    "no version": "GET /\r\nHost: solo\r\n\r\n",
    "version 1.10": "GET / HTTP/1.10\r\nHost: solo\r\n\r\n",
    "version 2.0": "GET / HTTP/2.0\r\nHost: solo\r\n\r\n",
    "version in lower case": "GET / http/1.1\r\nHost: solo\r\n\r\n",
    "tab in the request line": "GET\t/ HTTP/1.1\r\nHost: solo\r\n\r\n",
    "space in the target": "GET /a b HTTP/1.1\r\nHost: solo\r\n\r\n",
    "target without slash": "GET smuggled HTTP/1.1\r\nHost: solo\r\n\r\n",
    "NUL in the target": "GET /\x00 HTTP/1.1\r\nHost: solo\r\n\r\n",
    "fragment in the target": "GET /a#b HTTP/1.1\r\nHost: solo\r\n\r\n",
    "CONNECT": "CONNECT solo:80 HTTP/1.1\r\nHost: solo:80\r\n\r\n",
    "bytes after a CONNECT": "CONNECT solo:80 HTTP/1.1\r\nHost: solo:80\r\n\r\n" + GET,
    "method of odd bytes": "G@T/ / HTTP/1.1\r\nHost: solo\r\n\r\n",
    "binary": "\x00\x01\x02\x03\x04\x05\x06\x07\r\n\r\n",
    "text that is not HTTP": "HELLO WORLD THIS IS NOT HTTP\r\n\r\n",
    "TLS hello": "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + "\x42" * 160,
    "request line of 9 KB": f"GET /{'a' * 9000} HTTP/1.1\r\nHost: solo\r\n\r\n",
    "header block of 20 KB": "GET / HTTP/1.1\r\nHost: solo\r\n" + "A: " + "b" * 20000 + "\r\n\r\n",
    "120 headers": "GET / HTTP/1.1\r\nHost: solo\r\n" + "".join(f"H{i}: v\r\n" for i in range(120)) + "\r\n",
}
STATUS = {"request line of 9 KB": "414", "header block of 20 KB": "431", "120 headers": "431"}


def judge(name, r):
    """None, or what is wrong with the reaction."""
    data = r["data"]
    if not data.startswith("HTTP/1.1 4") and not data.startswith("HTTP/1.1 50"):
        return f"{name}: answered {data[:60]!r} (closed {r['closed']}, {r['error']})"
    if name in STATUS and not data.startswith(f"HTTP/1.1 {STATUS[name]}"):
        return f"{name}: {data[9:12]}, want {STATUS[name]}"
    if data.count("HTTP/1.1 ") != 1:
        return f"{name}: {data.count('HTTP/1.1 ')} answers: {data[:300]!r}"
    if "x-version" in data:
        return f"{name}: the server answered it: {data[:100]!r}"
    if not r["closed"]:
        return f"{name}: {data[9:12]}, but the connection stays open"
    return None


def attack(env, **how):
    wrong = []
    for name, data in VECTORS.items():
        why = judge(name, env.client().call("raw", host=SOLO, port=9000, data=data, timeout=1.5, **how))
        if why:
            wrong.append(why)
            env.log(why)
    log = os.path.join(env.world.dir, "origin-v1.log")
    reached = [line.strip() for line in open(log) if "bad input" in line]
    check(wrong + reached[-3:], [], f"{len(wrong)} of {len(VECTORS)} vectors")
    check(env.get(f"http://{SOLO}:9000/echo")[0], 200, "an ordinary request afterwards")


@test(timeout=150)
def first_on_a_connection(env):
    """Each vector as the first bytes of a connection, with rules that look into the head."""
    env.policy(mesh.vs("solo", [rule(dst("solo"), header("x-canary", exact="true")), rule(dst("solo"))]))
    attack(env)


@test(timeout=150)
def in_pieces(env):
    """Each vector in pieces of 7 bytes: what is refused whole is refused in parts."""
    env.policy(mesh.vs("solo", [rule(dst("solo"), header("x-canary", exact="true")), rule(dst("solo"))]))
    attack(env, pieces=7)


@test(timeout=150)
def without_rules(env):
    """A port that says HTTP is held to HTTP also where no VirtualService looks at the requests."""
    attack(env)


@test(timeout=60)
def after_a_good_request(env):
    """A vector as the second request of a connection whose first was answered."""
    env.policy(mesh.vs("solo", [rule(dst("solo"), header("x-canary", exact="true")), rule(dst("solo"))]))
    wrong = []
    for name in ("CL.TE", "TE.CL", "two Hosts", "bare LF ends a line", "no Host", "binary", "TE with a prefix",
                 "text that is not HTTP", "120 headers", "chunk ends with LF"):
        client = env.client()
        first = client.call("exchange", name="again", host=SOLO, port=9000, requests=[{"host": "solo", "target": "/echo"}])
        check(first[0]["status"], 200)
        r = client.call("send_kept", name="again", data=VECTORS[name], timeout=1.5)
        why = judge(name, r)
        if why:
            wrong.append(why)
    check(wrong, [])


@test()
def urgent_byte(env):
    """MSG_OOB: a server reads on as if that byte was not there. nginx answers before it has read the body, and would take the
    next request's first byte for it: never, neither of this client nor, on a pooled connection, of another. A native
    connection is ended, anything else gets the byte in its place."""
    env.policy(mesh.vs("reco", [rule(dst("reco", "v2"), header("x-k", exact="c")), rule(dst("reco", "v1"))]))
    post = "POST / HTTP/1.1\r\nHost: reco\r\n{}Content-Length: 5\r\n\r\nabcde"
    for more in ("", "X-K: c\r\n"):  # to v1 natively; to v2: moved, by clients whose own connection goes to v1
        data = post.format(more)
        for at in (len(data) - 1, len(data) - 3, 10):
            r = env.call("urgent", host=RECO, port=8080, data=data, at=at, timeout=0.3,
                         after=f"GET /seen HTTP/1.1\r\nHost: reco\r\n{more}\r\n")
            seen = [x for x in r["data"].split("\n") if "|" in x]
            check(all(x.startswith("GET /seen HTTP/1.1|reco") for x in seen), True, f"{more!r} {at}: {r}")
            check(bool(seen) or r["closed"], True, f"{more!r} {at}: {r}")
            for pod in ("c1", "c2"):
                got = env.call("exchange", pod, host=RECO, port=8080, requests=[
                    {"host": "reco", "target": "/seen", "headers": [["x-k", "c"]]}] * 3)
                check([x["body"][:9] for x in got], ["GET /seen"] * 3, f"{more!r} {at}")


@test()
def slow_head(env):
    """A head that never ends is answered 408 after the header timeout (10 s), or the connection is closed."""
    env.policy(mesh.vs("solo", [rule(dst("solo"), header("x-canary", exact="true")), rule(dst("solo"))]))
    r = env.call("raw", host=SOLO, port=9000, data="GET / HTTP/1.1\r\nHost: so", timeout=15)
    check((r["closed"], r["data"][:12] in ("HTTP/1.1 408", "")), (True, True), str(r))


@test(timeout=60)
def random_bytes(env):
    """Random bytes and random edits of a good request: no hang, no crash, and the next client is served."""
    import random
    env.policy(mesh.vs("solo", [rule(dst("solo"), header("x-canary", exact="true")), rule(dst("solo"))]))
    rng = random.Random(20261124)
    good = "POST /reflect HTTP/1.1\r\nHost: solo\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"
    for i in range(150):
        data = list(good)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            data[at:at + rng.randint(0, 3)] = chr(rng.randrange(256)) * rng.randint(0, 3)
        text = "".join(data) if i % 3 else "".join(chr(rng.randrange(256)) for _ in range(rng.randint(1, 600)))
        env.client().call("raw", host=SOLO, port=9000, data=text, timeout=0.1, half_close=bool(i % 2))
    got = env.call("count", host=SOLO, port=9000, total=50, vhost="solo")
    check((got["status"], got["errors"]), ({"200": 50}, {}))
