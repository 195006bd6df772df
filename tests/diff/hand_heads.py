# SPDX-License-Identifier: Apache-2.0
"""Heads, bodies and connections as nobody should send them, and as few do."""
from cases import answer_of, do, req
from mesh import dst, rule


def odd(b, svc):
    """Single connections: the bytes, and how many answers a good proxy would give."""
    def one(name, text, n=1, methods=None):
        b.raw(svc, name, ["send", text], ["answers", n, methods or ["GET"] * n], timeout=1.5)
    h = "Host: {host}\r\nx-diff-id: {id}\r\n"
    one("lf", f"GET / HTTP/1.1\n{h}\n".replace("\r\n", "\n"))
    one("mixlf", f"GET / HTTP/1.1\r\n{h}x-a: 1\n\r\n")
    one("leadcrlf", f"\r\nGET / HTTP/1.1\r\n{h}\r\n")
    one("lead2crlf", f"\r\n\r\nGET / HTTP/1.1\r\n{h}\r\n")
    one("leadsp", f" GET / HTTP/1.1\r\n{h}\r\n")
    one("twosp", f"GET  / HTTP/1.1\r\n{h}\r\n")
    one("tab", f"GET\t/\tHTTP/1.1\r\n{h}\r\n")
    one("trailsp", f"GET / HTTP/1.1 \r\n{h}\r\n")
    one("spinpath", f"GET /a b HTTP/1.1\r\n{h}\r\n")
    one("http09", "GET /\r\n")
    one("http12", f"GET / HTTP/1.2\r\n{h}\r\n")
    one("http20", f"GET / HTTP/2.0\r\n{h}\r\n")
    one("http09v", f"GET / HTTP/0.9\r\n{h}\r\n")
    one("httplow", f"GET / http/1.1\r\n{h}\r\n")
    one("http1", f"GET / HTTP/1\r\n{h}\r\n")
    one("http111", f"GET / HTTP/1.11\r\n{h}\r\n")
    one("obsfold", f"GET / HTTP/1.1\r\n{h}x-a: 1\r\n 2\r\n\r\n")
    one("obsfoldtab", f"GET / HTTP/1.1\r\n{h}x-a: 1\r\n\t2\r\n\r\n")
    one("foldfirst", f"GET / HTTP/1.1\r\n x-a: 1\r\n{h}\r\n")
    one("spcolon", f"GET / HTTP/1.1\r\n{h}x-a : 1\r\n\r\n")
    one("nocolon", f"GET / HTTP/1.1\r\n{h}x-a\r\n\r\n")
    one("emptyname", f"GET / HTTP/1.1\r\n{h}: 1\r\n\r\n")
    one("nameat", f"GET / HTTP/1.1\r\n{h}x@a: 1\r\n\r\n")
    one("nameuni", f"GET / HTTP/1.1\r\n{h}x\xe9: 1\r\n\r\n")
    one("nametok", f"GET / HTTP/1.1\r\n{h}!#$%&'*+-.^_`|~9: 1\r\n\r\n")
    one("nameunder", f"GET / HTTP/1.1\r\n{h}x_a: 1\r\n\r\n")
    one("valnul", f"GET / HTTP/1.1\r\n{h}x-a: 1\0002\r\n\r\n")
    one("valcr", f"GET / HTTP/1.1\r\n{h}x-a: 1\r2\r\n\r\n")
    one("valctl", f"GET / HTTP/1.1\r\n{h}x-a: 1\x012\r\n\r\n")
    one("valdel", f"GET / HTTP/1.1\r\n{h}x-a: 1\x7f2\r\n\r\n")
    one("valhigh", f"GET / HTTP/1.1\r\n{h}x-a: \xe9\xff\r\n\r\n")
    one("valtab", f"GET / HTTP/1.1\r\n{h}x-a: 1\t2\r\n\r\n")
    one("valsp", f"GET / HTTP/1.1\r\n{h}x-a:   1   \r\n\r\n")
    one("nosp", f"GET / HTTP/1.1\r\n{h}x-a:1\r\n\r\n")
    one("urictl", f"GET /\x01 HTTP/1.1\r\n{h}\r\n")
    one("uridel", f"GET /\x7f HTTP/1.1\r\n{h}\r\n")
    for m in ("FOO", "get", "G@T", "PRI", "PROPFIND", "M-SEARCH", "A" * 40, "GET,", "TRACE", "CONNECT", "QUERY"):
        one(f"meth-{m[:9]}", f"{m} / HTTP/1.1\r\n{h}\r\n", methods=[m])
    one("connect", f"CONNECT {{host}}:9000 HTTP/1.1\r\n{h}\r\n", methods=["CONNECT"])
    one("star", f"OPTIONS * HTTP/1.1\r\n{h}\r\n", methods=["OPTIONS"])
    one("starget", f"GET * HTTP/1.1\r\n{h}\r\n")
    for n in (7000, 30000, 58000, 62000, 70000, 200000):
        one(f"big{n}", f"GET / HTTP/1.1\r\n{h}x-a: {'b' * n}\r\n\r\n")
        one(f"biguri{n}", f"GET /{'u' * n} HTTP/1.1\r\n{h}\r\n")
    for n in (90, 98, 99, 105, 250):
        one(f"many{n}", f"GET / HTTP/1.1\r\n{h}" + "".join(f"x-{i}: {i}\r\n" for i in range(n)) + "\r\n")


def bodies(b, svc):
    def post(name, headers, body, n=1, methods=None, host=True):
        text = "POST / HTTP/1.1\r\nHost: {host}\r\nx-diff-id: {id}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers) + "\r\n" + body
        b.raw(svc, name, ["send", text], ["answers", n, methods or ["POST", "GET"]], timeout=1.5)
    cl, te = "Content-Length", "Transfer-Encoding"
    after = "GET /after HTTP/1.1\r\nHost: {host}\r\nx-diff-id: {id}\r\n\r\n"
    post("cl", [(cl, "3")], "abc" + after, 2)
    post("cl0", [(cl, "0")], after, 2)
    post("clplus", [(cl, "+3")], "abc")
    post("clminus", [(cl, "-3")], "abc")
    post("clspace", [(cl, "3 ")], "abc" + after, 2)
    post("cl03", [(cl, "03")], "abc" + after, 2)
    post("clhex", [(cl, "0x3")], "abc")
    post("cljunk", [(cl, "3a")], "abc")
    post("clempty", [(cl, "")], "abc")
    post("clhuge", [(cl, "99999999999999999999")], "abc")
    post("clcomma", [(cl, "3, 3")], "abc" + after, 2)
    post("clcommane", [(cl, "3, 4")], "abc")
    post("cltwice", [(cl, "3"), (cl, "3")], "abc" + after, 2)
    post("cltwo", [(cl, "3"), (cl, "4")], "abcd")
    post("clte", [(cl, "3"), (te, "chunked")], "3\r\nabc\r\n0\r\n\r\n" + after, 2)
    post("tecl", [(te, "chunked"), (cl, "3")], "3\r\nabc\r\n0\r\n\r\n" + after, 2)
    post("te", [(te, "chunked")], "3\r\nabc\r\n0\r\n\r\n" + after, 2)
    post("teupper", [(te, "CHUNKED")], "3\r\nabc\r\n0\r\n\r\n" + after, 2)
    post("tegzip", [(te, "gzip, chunked")], "3\r\nabc\r\n0\r\n\r\n" + after, 2)
    post("tegziponly", [(te, "gzip")], "abc")
    post("teidentity", [(te, "identity")], after, 2)
    post("tetwice", [(te, "chunked"), (te, "chunked")], "3\r\nabc\r\n0\r\n\r\n")
    post("techunkgzip", [(te, "chunked, gzip")], "3\r\nabc\r\n0\r\n\r\n")
    post("tex", [(te, "xchunked")], "3\r\nabc\r\n0\r\n\r\n")
    post("tesp", [("Transfer-Encoding ", "chunked")], "3\r\nabc\r\n0\r\n\r\n")
    post("tetab", [(te, "\tchunked")], "3\r\nabc\r\n0\r\n\r\n" + after, 2)
    post("tecomma", [(te, "chunked,")], "3\r\nabc\r\n0\r\n\r\n" + after, 2)
    for name, body in (("ext", "3;a=b\r\nabc\r\n0\r\n\r\n"), ("extq", "3;a=\"b\"\r\nabc\r\n0\r\n\r\n"), ("upper", "A\r\n0123456789\r\n0\r\n\r\n"), ("zeros", "0003\r\nabc\r\n000\r\n\r\n"),
                       ("trail", "3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"), ("bad", "zz\r\nabc\r\n0\r\n\r\n"), ("neg", "-3\r\nabc\r\n0\r\n\r\n"), ("nocrlf", "3\r\nabcd\r\n0\r\n\r\n"),
                       ("lf", "3\nabc\n0\n\n"), ("sp", "3 \r\nabc\r\n0\r\n\r\n"), ("hex0x", "0x3\r\nabc\r\n0\r\n\r\n"), ("huge", "ffffffffffffffffff\r\nabc"), ("empty", "\r\nabc\r\n0\r\n\r\n"),
                       ("badtrail", "3\r\nabc\r\n0\r\nx t: 1\r\n\r\n"), ("cltrail", "3\r\nabc\r\n0\r\ncontent-length: 5\r\n\r\n"), ("extlf", "3;a\nabc\r\n0\r\n\r\n"),
                       ("longext", "3;" + "a" * 20000 + "\r\nabc\r\n0\r\n\r\n")):
        post(f"chunk-{name}", [(te, "chunked")], body + after, 2)
    b.raw(svc, "te10", ["send", "POST / HTTP/1.0\r\nHost: {host}\r\nx-diff-id: {id}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"], ["answers", 1, ["POST"]], timeout=1.5)
    b.raw(svc, "getbody", ["send", req(body="abc")], ["answers", 1], ["send", req()], ["answers", 2])
    b.raw(svc, "getchunked", ["send", req(headers=[(te, "chunked")], body="3\r\nabc\r\n0\r\n\r\n", length=False)], ["answers", 1], ["send", req()], ["answers", 2])
    b.raw(svc, "headbody", ["send", req(method="HEAD", body="abc")], ["answers", 1, ["HEAD"]], ["send", req()], ["answers", 2])
    b.raw(svc, "noLength", ["send", req(method="POST")], ["answers", 1, ["POST"]], ["send", req()], ["answers", 2])
    b.raw(svc, "put0", ["send", req(method="PUT")], ["answers", 1, ["PUT"]])
    b.raw(svc, "delbody", ["send", req(method="DELETE", body="x")], ["answers", 1, ["DELETE"]])
    b.raw(svc, "slow", ["send", "POST / HTTP/1.1\r\nHost: {host}\r\nx-diff-id: {id}\r\nContent-Le"], ["wait", 100], ["send", "ngth: 6\r\n\r\nab"], ["wait", 100], ["send", "cd"],
          ["wait", 100], ["send", "ef"], ["answers", 1, ["POST"]])
    b.raw(svc, "short", ["send", req(method="POST", headers=[(cl, "6")], body="abc", length=False)], ["wait", 150], ["shut"], ["answers", 1, ["POST"]], timeout=1.5)
    b.raw(svc, "shortleft", ["send", req(method="POST", headers=[(cl, "6")], body="abc", length=False)], ["wait", 150], ["close"], timeout=1.5)
    b.raw(svc, "halfhead", ["send", "GET / HTTP/1.1\r\nHost: {host}\r\n"], ["wait", 100], ["shut"], ["answers", 1], timeout=1.5)
    b.raw(svc, "shutget", ["send", req()], ["shut"], ["answers", 1], timeout=1.5)
    b.raw(svc, "early", ["send", req(method="POST", headers=[(cl, "600"), do("early")], body="abc", length=False)], ["answers", 1, ["POST"]], timeout=1.5)
    b.raw(svc, "late-left", ["send", req(headers=[do("late:400")])], ["wait", 100], ["close"])


def connections(b, svc):
    def ask(*headers, **kw):
        return req("/", headers, **kw)
    for name, text in (("close", ask(("Connection", "close"))), ("Close", ask(("connection", "Close"))), ("closeka", ask(("connection", "keep-alive, close"))), ("ka", ask(("connection", "keep-alive"))),
                       ("v10", ask(http="HTTP/1.0")), ("v10ka", ask(("connection", "keep-alive"), http="HTTP/1.0")), ("v10close", ask(("connection", "close"), http="HTTP/1.0")),
                       ("named", ask(("connection", "x-hop"), ("x-hop", "1"))), ("namedhost", ask(("connection", "host"))), ("proxyconn", ask(("proxy-connection", "keep-alive"))),
                       ("proxyclose", ask(("proxy-connection", "close"))), ("kahdr", ask(("keep-alive", "timeout=5"))), ("te", ask(("te", "trailers"))), ("tegz", ask(("te", "gzip"))),
                       ("teconn", ask(("te", "trailers"), ("connection", "te"))), ("trailer", ask(("trailer", "x-t"))), ("upgrade", ask(("upgrade", "foo"), ("connection", "upgrade"))),
                       ("uph2c", ask(("upgrade", "h2c"), ("connection", "upgrade, http2-settings"), ("http2-settings", "AAMAAABkAAQAAP__"))),
                       ("upgradeonly", ask(("upgrade", "websocket"))), ("xff", ask(("x-forwarded-for", "1.2.3.4"))), ("xfp", ask(("x-forwarded-proto", "https"))), ("xfpbad", ask(("x-forwarded-proto", "junk"))),
                       ("via", ask(("via", "1.1 x"))), ("rid", ask(("x-request-id", "mine"))), ("expectx", ask(("expect", "x"))),
                       ("envoy", ask(("x-envoy-upstream-rq-timeout-ms", "1"), ("x-envoy-max-retries", "9"), ("x-envoy-internal", "true")))):
        b.raw(svc, f"conn-{name}", ["send", text], ["answers", 1], ["send", req("/second")], ["answers", 2])
    b.raw(svc, "pipe", ["send", req("/1") + req("/2", [do("late:150")]) + req("/3") + req("/4", method="HEAD") + req("/5", method="POST", body="abc") + req("/6")],
          ["answers", 6, ["GET", "GET", "GET", "HEAD", "POST", "GET"]])
    b.raw(svc, "pipeclose", ["send", req("/1", [("connection", "close")]) + req("/2")], ["answers", 2], timeout=1.0)
    b.raw(svc, "pipebad", ["send", req("/1") + "GARBAGE\r\n\r\n"], ["answers", 2], timeout=1.0)
    b.raw(svc, "garbage", ["send", "\x00\x01\x02\x03\r\n\r\n"], ["answers", 1], timeout=1.0)
    b.raw(svc, "tls", ["send", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "x" * 60], ["answers", 1], timeout=1.0)
    b.raw(svc, "expect", ["send", req(method="POST", headers=[("Expect", "100-continue"), ("Content-Length", "3")])], ["rest", 200], ["send", "abc"], ["answers", 1, ["POST"]])
    b.raw(svc, "expectnow", ["send", req(method="POST", headers=[("Expect", "100-continue")], body="abc")], ["answers", 1, ["POST"]])
    b.raw(svc, "expectrefuse", ["send", req(method="POST", headers=[("Expect", "100-continue"), ("Content-Length", "3"), do("417")])], ["rest", 200], ["send", "abc"], ["answers", 1, ["POST"]])
    b.raw(svc, "expect10", ["send", req(method="POST", headers=[("Expect", "100-continue")], body="abc", http="HTTP/1.0")], ["answers", 1, ["POST"]])
    b.raw(svc, "expectget", ["send", req(headers=[("Expect", "100-continue")])], ["answers", 1])
    ws = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")]
    b.raw(svc, "ws", ["send", req(headers=ws)], ["answers", 1], ["send", "hello"], ["rest", 200], ["shut"])
    b.raw(svc, "wsrefused", ["send", req(headers=[*ws, do("403")])], ["answers", 1], ["send", req()], ["answers", 2])
    b.raw(svc, "wscase", ["send", req(headers=[("Upgrade", "WebSocket"), ("Connection", "keep-alive, upgrade")])], ["answers", 1], ["send", "hello"], ["rest", 200])
    b.raw(svc, "wspost", ["send", req(method="POST", headers=ws, body="abc")], ["answers", 1, ["POST"]], ["send", "hello"], ["rest", 200])


def answers(b, svc):
    """What servers say, and what becomes of it."""
    def one(name, *words, method="GET", n=1):
        b.raw(svc, f"srv-{name}", ["send", req(headers=[do(*words)], method=method)], ["answers", n, [method]], ["send", req("/next")], ["answers", n + 1], timeout=1.5)
    for code in ("201", "204", "205", "304", "301", "401", "404", "500", "503", "599"):
        one(code, code)
        one(f"head{code}", code, method="HEAD")
    one("chunked", "chunked")
    one("headchunked", "chunked", method="HEAD")
    ok = "HTTP/1.1 200 OK\r\n"
    raws = {
        "interim": f"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n{ok}content-length: 2\r\n\r\nok", "twointerim": f"HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\n\r\n{ok}content-length: 2\r\n\r\nok",
        "cont": f"HTTP/1.1 100 Continue\r\n\r\n{ok}content-length: 2\r\n\r\nok", "two": f"{ok}content-length: 2\r\n\r\nok{ok}content-length: 2\r\n\r\nno", "both": f"{ok}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "cl2": f"{ok}content-length: 2\r\ncontent-length: 2\r\n\r\nok", "cl2ne": f"{ok}content-length: 2\r\ncontent-length: 3\r\n\r\nok!", "clbad": f"{ok}content-length: x\r\n\r\nok", "clneg": f"{ok}content-length: -1\r\n\r\nok",
        "clcomma": f"{ok}content-length: 2, 2\r\n\r\nok", "badchunk": f"{ok}transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", "garbage": "\x00\x01 not http\r\n\r\n", "http10": "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "http2": "HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok", "nophrase": "HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", "phrase": "HTTP/1.1 200 Very Odd Words!\r\ncontent-length: 2\r\n\r\nok", "code99": "HTTP/1.1 99 X\r\ncontent-length: 2\r\n\r\nok",
        "code600": "HTTP/1.1 600 X\r\ncontent-length: 2\r\n\r\nok", "code999": "HTTP/1.1 999 X\r\ncontent-length: 2\r\n\r\nok", "code1000": "HTTP/1.1 1000 X\r\ncontent-length: 2\r\n\r\nok", "code20": "HTTP/1.1 20 X\r\n\r\n", "neg": "HTTP/1.1 -20 X\r\n\r\n",
        "fold": f"{ok}x-a: 1\r\n 2\r\ncontent-length: 2\r\n\r\nok", "spcolon": f"{ok}x-a : 1\r\ncontent-length: 2\r\n\r\nok", "lf": "HTTP/1.1 200 OK\ncontent-length: 2\n\nok", "nul": f"{ok}x-a: 1\0002\r\ncontent-length: 2\r\n\r\nok",
        "nameat": f"{ok}x@a: 1\r\ncontent-length: 2\r\n\r\nok", "upcase": f"{ok}X-UPPER: 1\r\nContent-Length: 2\r\n\r\nok", "204body": "HTTP/1.1 204 No\r\ncontent-length: 2\r\n\r\nok", "204cl": "HTTP/1.1 204 No\r\ncontent-length: 0\r\n\r\n", "304cl": "HTTP/1.1 304 No\r\ncontent-length: 50\r\n\r\n",
        "101": "HTTP/1.1 101 Switching\r\nupgrade: foo\r\nconnection: upgrade\r\n\r\nxx", "closehdr": f"{ok}content-length: 2\r\nconnection: close\r\n\r\nok", "named": f"{ok}content-length: 2\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\nok", "kahdr": f"{ok}content-length: 2\r\nkeep-alive: timeout=1\r\n\r\nok",
        "tegzip": f"{ok}transfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "trailers": f"{ok}transfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n", "dupes": f"{ok}set-cookie: a=1\r\nset-cookie: b=2\r\nvary: a\r\nvary: b\r\ncontent-length: 2\r\n\r\nok",
        "noname": f"{ok}: 1\r\ncontent-length: 2\r\n\r\nok", "empty": f"{ok}x-a:\r\ncontent-length: 2\r\n\r\nok", "clte0": f"{ok}content-length: 0\r\n\r\n", "server": f"{ok}server: mine\r\ndate: never\r\ncontent-length: 2\r\n\r\nok",
    }
    for name, text in raws.items():
        one(name, answer_of(text))
    for word in ("big:7000", "big:15000", "big:30000", "big:58000", "big:70000", "many:90", "many:110"):
        one(word.replace(":", ""), word)
    ends = {"untilclose": f"{ok}\r\nall of it", "untilclose10": "HTTP/1.0 200 OK\r\n\r\nall of it", "halfhead": f"{ok}x-a: ", "nothing": "", "chunkcut": f"{ok}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", "clcut": f"{ok}content-length: 9\r\n\r\nabc",
            "close": f"{ok}content-length: 2\r\nconnection: close\r\n\r\nok", "silent": f"{ok}content-length: 2\r\n\r\nok", "http10len": "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", "tenochunk": f"{ok}transfer-encoding: gzip\r\n\r\nabc"}
    for name, text in ends.items():
        one(f"end-{name}", answer_of(text, end=True))
    for word in ("reset", "close", "half", "half-reset"):
        one(word, word)
        b.raw(svc, f"srv-post-{word}", ["send", req(method="POST", body="abc", headers=[do(word)])], ["answers", 1, ["POST"]], ["send", req("/next")], ["answers", 2], timeout=1.5)


def write(b):
    b.service("plain", [rule(dst("plain", "v1"))])
    b.service("agent", [rule(dst("agent", "v1"), headers={"response": {"set": {"x-via": "a"}}})])  # what the agent carries
    b.service("noret", [rule(dst("noret", "v1"), retries={"attempts": 0})])
    for svc in ("plain", "agent"):
        odd(b, svc)
        bodies(b, svc)
        connections(b, svc)
        answers(b, svc)
    answers(b, "noret")
