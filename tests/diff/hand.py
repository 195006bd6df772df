# SPDX-License-Identifier: Apache-2.0
"""The cases that were thought of: policies, one after the other, and what is asked of them."""
import hand_heads
import hand_tries
from cases import do, req
from mesh import dst, rule

V1, V2 = "v1", "v2"


def both(name, match):
    """What matches goes to v2, all else to v1."""
    return [rule(dst(name, V2), match), rule(dst(name, V1))]


def paths(b):
    b.service("norm", [rule(dst("norm", V2), {"uri": {"prefix": "/a/"}}), rule(dst("norm", V1), {"uri": {"exact": "/b"}}),
                       rule(dst("norm", V1), {"uri": {"prefix": "/other"}})])
    targets = ["/a/../b", "/a/./x", "/a//x", "//a/x", "/a/%2e%2e/b", "/a%2fx", "/a%2Fx", "/a/%2E/x", "/a/x;p=1/y", "/b;x", "/b?",
               "/b?x=1", "/b#f", "/a\\x", "/\\a/x", "/a/..\\b", "/%61/x", "/a/%41%7e%7E%2d", "/%62", "/a/..", "/../../b",
               "/a/%00", "/a/%zz", "/a/%", "/a/%4", "/a/é", "/a/\x80", "/a/x%20y", "/a/{}|^`\"<>", "/a/../a/x?y=../z",
               "/a/b/../../b", "/other/..;/b", "/a/x/.", "/a/x/..", "/a/%252e%252e/b", "/a/x?y=//z/%2e%2e", "/b/", "/B", "",
               "*", "b", "/a/.../x", "/a/..b", "/a/x%5cy", "/a/x%5Cy", "/./a/x", "/.", "/..", "/a/?a#b?c", "/%2e%2e/b", "?x=1"]
    for i, t in enumerate(targets):
        b.talk("norm", f"path{i}", [req(t), req("/a/last")])
    b.talk("norm", "all", [req(t) for t in targets[:8]])
    b.service("pre", [rule(dst("pre", V2), {"uri": {"prefix": "/foo"}}), rule(dst("pre", V1), {"uri": {"exact": "/"}})])
    b.talk("pre", "prefix", [req(t) for t in ("/foo", "/foo/", "/foobar", "/fo", "/FOO", "/", "/?a", "/foo?x", "/x/foo")])
    b.service("icase", [rule(dst("icase", V2), {"uri": {"prefix": "/Foo"}, "ignoreUriCase": True}),
                        rule(dst("icase", V2), {"uri": {"exact": "/Bar%41"}, "ignoreUriCase": True}),
                        rule(dst("icase", V1), {"uri": {"regex": "/Re.*"}, "ignoreUriCase": True})])
    b.talk("icase", "case", [req(t) for t in ("/FOO", "/foobar", "/BARA", "/bara", "/bar%41", "/re", "/Rex", "/rE", "/fo")])
    b.service("re", [rule(dst("re", V2), {"uri": {"regex": "/a[0-9]+"}}), rule(dst("re", V2), {"uri": {"regex": "/x.*?y|/z"}}),
                     rule(dst("re", V1), {"uri": {"regex": "/(?i)ci/\\d{2,3}$"}}), rule(dst("re", V1), {"uri": {"regex": "/dot.s"}})])
    b.talk("re", "regex", [req(t) for t in ("/a1", "/a", "/a12/", "/xy", "/xyz", "/xqqqy", "/z", "/zz", "/CI/12", "/ci/1", "/a1?q=1",
                                             "/dot\xc3\xa9s", "/dotts", "/ci/1234", "/ci/123")])


def matches(b):
    def one(name, match, *requests):
        b.service(name, both(name, match))
        b.talk(name, "m", list(requests))

    def h(*rows, **kw):
        return req("/", rows, **kw)
    rows = [(), (("x-a", "1"),), (("X-A", "1"),), (("x-a", "1"), ("x-a", "2")), (("x-a", "2"), ("x-a", "1")), (("x-a", ""),),
            (("x-a", "1,2"),), (("x-a", " 1 "),), (("x-a", "1"), ("x-a", "")), (("x-a", "12"),), (("x-a", "\t1"),), (("x-b", "1"),),
            (("x-a", "1, 2"),), (("x-a", ""), ("x-a", "1")), (("x-a", ""), ("x-a", ""))]
    many = [h(*r) for r in rows]
    for name, how in (("ex1", {"exact": "1"}), ("ex12", {"exact": "1,2"}), ("pf1", {"prefix": "1"}), ("rx1", {"regex": "1"}),
                      ("rx12", {"regex": "1,2"}), ("there", {}), ("rxe", {"regex": ".*"}), ("rxs", {"regex": "*"}),
                      ("rxopt", {"regex": "1?"})):
        one(f"h{name}", {"headers": {"x-a": how}}, *many)
        one(f"w{name}", {"withoutHeaders": {"x-a": how}}, *many)
    one("hcase", {"headers": {"X-Up": {"exact": "Ab"}}}, *(h((n, v)) for n in ("x-up", "X-UP") for v in ("Ab", "ab", "AB")))
    one("hauth", {"headers": {":authority": {"prefix": "hauth"}}}, req(), req(host="hauth:9000"), req(host="HAUTH"))
    one("hpath", {"headers": {":path": {"exact": "/x?y=1"}}}, req("/x?y=1"), req("/x"), req("/./x?y=1"), req("/x?y=1&z"))
    one("hmeth", {"headers": {":method": {"regex": "P.*T"}}}, req(method="PUT", body="x"), req(method="POST", body="x"), req())
    one("hscheme", {"headers": {":scheme": {"exact": "http"}}}, req(), h(("x-forwarded-proto", "https")))
    one("scheme", {"scheme": {"exact": "https"}}, req(), h(("x-forwarded-proto", "https")), req("https://scheme/"), req("http://scheme/"))
    one("meth", {"method": {"exact": "DELETE"}}, req(method="DELETE"), req(method="delete"), req(method="GET"), req(method="PURGE"))
    one("auth", {"authority": {"exact": "auth:9000"}}, req(), req(host="auth:9000"), req(host="AUTH:9000"), req(host="auth.default:9000"))
    one("authre", {"authority": {"regex": ".*default.*"}}, req(), req(host="authre.default"), req(host="authre.default.svc:9000"))
    one("hcookie", {"headers": {"cookie": {"regex": "^(.*?;)?(user=jason)(;.*)?$"}}}, h(("cookie", "user=jason")),
        h(("cookie", "a=1;user=jason;b=2")), h(("cookie", "a=1; user=jason")), h(("cookie", "a=1"), ("cookie", "user=jason")),
        h(("cookie", "user=jason"), ("cookie", "b=1")))
    one("hua", {"headers": {"user-agent": {"regex": ".*Chrome.*"}}}, h(("user-agent", "Mozilla Chrome/1")), h(), h(("User-Agent", "x")))
    one("hhost", {"headers": {"host": {"exact": "hhost"}}}, req(), req(host="HHOST"))
    one("hcl", {"headers": {"content-length": {}}}, req(), req(method="POST", body="abc"),
        req(method="POST", headers=[("transfer-encoding", "chunked")], body="0\r\n\r\n", length=False))
    one("hconn", {"headers": {"connection": {}}}, req(), h(("connection", "keep-alive")))
    one("hte", {"headers": {"te": {}}}, req(), h(("te", "trailers")), h(("te", "gzip")))
    one("hup", {"headers": {"upgrade": {}}}, req(), h(("upgrade", "foo"), ("connection", "upgrade")))
    targets = ["/", "/?a=1", "/?a=2&a=1", "/?a=1&a=2", "/?a", "/?a=", "/?A=1", "/?b=1", "/?a=%31", "/?%61=1", "/?a=1;b=2", "/?a=1#f",
               "/?&&a=1", "/?a==1", "/?a=1%20", "/?a=+1", "/?x=1&a=1&", "/?aa=1", "/?a=1?a=2", "/?=1", "/#?a=1", "/?a=%E9", "/?a=1&a"]
    for name, how in (("qex", {"exact": "1"}), ("qpf", {"prefix": "1"}), ("qrx", {"regex": "1|2"}), ("qpr", {}), ("qany", {"regex": "*"}), ("qpct", {"exact": "%31"})):
        one(name, {"queryParams": {"a": how}}, *(req(t) for t in targets))
    one("many", {"uri": {"prefix": "/x"}, "method": {"exact": "GET"}, "headers": {"x-a": {"exact": "1"}, "x-b": {}},
                 "withoutHeaders": {"x-c": {}}, "queryParams": {"q": {"exact": "1"}}},
        *(req(t, r, method=m) for t in ("/x?q=1", "/y?q=1", "/x") for m in ("GET", "HEAD")
          for r in ([("x-a", "1"), ("x-b", "")], [("x-a", "1"), ("x-b", "1"), ("x-c", "")], [("x-a", "1")])))


def hosts(b):
    b.service("vh", [rule(dst("vh", V2), {"uri": {"prefix": "/"}})])
    names = ["vh", "VH", "vh.", "vh:9000", "vh:80", "vh:", "vh:abc", "vh:99999", "vh.default", "vh.default.svc", "vh.default.svc.cluster.local",
             "vh.default.svc.cluster.local.", "Vh.Default.svc.cluster.local.:9000", "vh.:9000", "nobody", "nobody.example:9000", "", "10.96.0.99",
             "user@vh", "vh/x", "vh vh", "[::1]", "[::1]:9000", "vh,vh", "vh\t", " vh", "v_h", "vh%20", "a" * 300, "vh?", "vh#x", "vh:9000:9000"]
    for i, n in enumerate(names):
        b.raw("vh", f"host{i}", ["send", req(host=n)], ["answers", 1])
        b.raw("vh", f"abs{i}", ["send", req(f"http://{n}/x", host="vh")], ["answers", 1])
    for i, (t, n) in enumerate((("http://vh/p?q", "nobody"), ("http://nobody/p", "vh"), ("https://vh/p", "vh"), ("ftp://vh/p", "vh"), ("HTTP://VH/p", "x"),
                                ("http://vh", "vh"), ("http://vh?x=1", "vh"), ("http:///p", "vh"), ("http://vh:9000/p", "vh"), ("vh:9000", "vh"),
                                ("http:/vh/p", "vh"), ("http://vh/a/../b", "vh"), ("http://vh#f", "vh"), ("http://u@vh/", "vh"))):
        b.raw("vh", f"form{i}", ["send", req(t, host=n)], ["answers", 1])
    b.raw("vh", "none11", ["send", req(host=None)], ["answers", 1])
    b.raw("vh", "none11abs", ["send", req("http://vh/x", host=None)], ["answers", 1])
    b.raw("vh", "none10", ["send", req(host=None, http="HTTP/1.0")], ["answers", 1])
    b.raw("vh", "two", ["send", req(headers=[("Host", "other")])], ["answers", 1])
    b.raw("vh", "same2", ["send", req(headers=[("Host", "vh")])], ["answers", 1])


def actions(b):
    def one(name, rules, *requests, **kw):
        b.service(name, rules, **kw)
        b.talk(name, "a", [r for r in requests if not r.startswith("POST")])
        for i, r in enumerate(r for r in requests if r.startswith("POST")):  # Envoy answers, and ends the connection
            b.raw(name, f"post{i}", ["send", r], ["answers", 1, ["POST"]])
    tgt = ["/foo", "/foo/", "/foo/x", "/foobar", "/foo?q=1", "/foo/x?q=/foo", "/foo//x", "/foo/%2Fx", "/foo/../foo/y"]
    for i, (pre, to) in enumerate((("/foo", "/bar"), ("/foo", "/"), ("/foo/", "/"), ("/foo", "/bar/"), ("/foo/", "/bar"), ("/", "/bar"), ("/", "/bar/"),
                                   ("/foo", "/b?x=1"))):
        one(f"rw{i}", [rule(dst(f"rw{i}", V1), {"uri": {"prefix": pre}}, rewrite={"uri": to})], *(req(t) for t in tgt))
    one("rwex", [rule(dst("rwex", V1), {"uri": {"exact": "/foo"}}, rewrite={"uri": "/bar"})], req("/foo"), req("/foo?x=1"), req("/foo/"))
    one("rwno", [rule(dst("rwno", V1), rewrite={"uri": "/bar"})], req("/"), req("/x"), req("/x/y?z"))
    one("rwic", [rule(dst("rwic", V1), {"uri": {"prefix": "/FOO"}, "ignoreUriCase": True}, rewrite={"uri": "/bar"})], req("/foo/x"), req("/FoO"))
    one("rwau", [rule(dst("rwau", V1), rewrite={"authority": "other.example:81"})], req(), req(host="rwau:9000"))
    one("rwhh", [rule(dst("rwhh", V1), headers={"request": {"set": {"Host": "set.example"}}})], req(), req(headers=[("x-forwarded-host", "a")]))
    def host(name):
        return {"request": {"set": {"Host": name}}}
    authority = {"rewrite": {"authority": "re.example"}}
    for n, weighted, more, own in (("au1", 0, {**authority, "headers": host("route")}, None), ("au2", 0, {"headers": host("route")}, "dest"), ("au3", 1, {"headers": host("route")}, "dest"),
                                   ("au4", 1, authority, "dest"), ("au5", 0, authority, "dest"), ("au6", 1, {}, "dest"), ("au7", 1, {**authority, "headers": host("route")}, None)):
        to = [{**dst(n, V1), **({"headers": host(own)} if own else {})}]
        one(n, [rule([{**to[0], "weight": 100}, dst(n, V2, 0)] if weighted else to, **more)], req())
    for i, (m, r) in enumerate((("^/svc/([^/]+)(.*)$", "/\\2/\\1"), ("o", "0"), ("/+", "/"), ("^/foo", ""), ("(?i)/FOO", "/x\\0"), ("x*", "-"), ("$", "/end"))):
        one(f"rr{i}", [rule(dst(f"rr{i}", V1), rewrite={"uriRegexRewrite": {"match": m, "rewrite": r}})],
            *(req(t) for t in ("/svc/a/b", "/foo/o?o=o", "/", "/foo", "/a//b", "/xax")))
    reds = [{"uri": "/new"}, {"uri": "/new?z=1"}, {"authority": "o.example"}, {"authority": "o.example:81"}, {"port": 81}, {"port": 80}, {"scheme": "https"},
            {"scheme": "https", "port": 443}, {"scheme": "https", "port": 8443}, {"derivePort": "FROM_REQUEST_PORT"},
            {"derivePort": "FROM_PROTOCOL_DEFAULT"}, {"derivePort": "FROM_REQUEST_PORT", "scheme": "https"}, {"uri": "/n", "redirectCode": 302},
            {"uri": "/n", "redirectCode": 303}, {"uri": "/n", "redirectCode": 307}, {"uri": "/n", "redirectCode": 308},
            {"prefixRewrite": "/p"}, {"authority": "o.example", "port": 80, "scheme": "https"}, {"authority": "o.example:1", "scheme": "https"},
            {"scheme": "http"}, {"prefixRewrite": "/"}, {"authority": "o.example:81", "port": 82}]
    for i, r in enumerate(reds):
        n = f"red{i}"
        one(n, [{"match": [{"uri": {"prefix": "/foo"}}], "redirect": r}], *(req(t, host=h) for t in ("/foo/x?q=1", "/foo", "/foo/?") for h in (n, f"{n}:9000", f"{n}:80", n.upper())),
            req("/foo/x?q=1", method="POST", body="abc"), req("/foo", method="HEAD"), req("/foo/a/../b%20c?x=%2F"),
            req("/foo", headers=[("x-forwarded-proto", "https")]))
    one("dr", [{"match": [{"uri": {"prefix": "/s"}}], "directResponse": {"status": 503, "body": {"string": "hello\n"}}},
               {"match": [{"uri": {"prefix": "/b"}}], "directResponse": {"status": 200, "body": {"bytes": "AAEC/w=="}}},
               {"match": [{"uri": {"prefix": "/h"}}], "directResponse": {"status": 418}, "headers": {"response": {"set": {"x-r": "1", "content-type": "text/html"}}}},
               {"match": [{"uri": {"prefix": "/n"}}], "directResponse": {"status": 204}},
               {"match": [{"uri": {"prefix": "/3"}}], "directResponse": {"status": 304, "body": {"string": "x"}}},
               {"directResponse": {"status": 200}}],
        *(req(t, method=m, body="abc" if m == "POST" else "") for t in ("/s", "/b", "/h", "/n", "/3", "/") for m in ("GET", "HEAD", "POST")))
    b.service("nort", [rule(dst("nort", V1), {"uri": {"exact": "/never"}})])
    b.talk("nort", "404", [req(), req(method="HEAD")])
    b.raw("nort", "post", ["send", req(method="POST", body="x")], ["answers", 1, ["POST"]])
    one("nosub", [rule(dst("nosub", "v9"))], req(), req(method="HEAD"), req(method="POST", body="x"))
    one("nohost", [rule(dst("nobody-at-all"))], req())
    b.service("noep", app="nothing")
    b.talk("noep", "uh", [req(), req(method="HEAD")])
    heads(b, one)
    faults(b, one)
    corses(b, one)
    mirrors(b, one)


def heads(b, one):
    ops = {"request": {"set": {"x-set": "s", "x-both": "set"}, "add": {"x-add": "a", "x-both": "add"}, "remove": ["x-gone", "x-both2"]},
           "response": {"set": {"x-multi": "one", "x-rset": "s"}, "add": {"x-multi": "more", "x-radd": "a"}, "remove": ["x-version2", "content-type"]}}
    rows = [[], [("x-set", "c")], [("x-set", "c"), ("X-Set", "d")], [("x-add", "c")], [("x-gone", "c"), ("X-GONE", "d")], [("x-both", "c")], [("x-both2", "")],
            [("x-set", "")], [("x-add", "")]]
    one("ops", [rule(dst("ops", V1), headers=ops)], *(req("/", r) for r in rows), req(method="POST", body="abc"))
    one("opsd", [rule({**dst("opsd", V1), "headers": ops})], *(req("/", r) for r in rows))
    one("opsrd", [rule({**dst("opsrd", V1), "headers": {"request": {"set": {"x-set": "dest"}, "add": {"x-add": "dest"}}, "response": {"set": {"x-rset": "dest"}}}}, headers=ops)],
        *(req("/", r) for r in rows))
    one("opsw", [rule([{**dst("opsw", V1, 100), "headers": {"request": {"set": {"x-set": "dest"}, "add": {"x-add": "dest"}}, "response": {"set": {"x-rset": "dest"}}}},
                       dst("opsw", V2, 0)], headers=ops)], *(req("/", r) for r in rows))
    fmt = {"x-req": "%REQ(x-a)%", "x-none": "[%REQ(x-none)%]", "x-alt": "%REQ(x-none?x-a)%", "x-cut": "%REQ(x-a):2%", "x-proto": "%PROTOCOL%", "x-pct": "100%%",
           "x-path": "%REQ(:PATH)%", "x-meth": "%REQ(:METHOD)%", "x-auth": "%REQ(:AUTHORITY)%", "x-ip": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
           "x-scheme": "%REQ(:SCHEME)%", "x-mix": "a%REQ(x-a)%b%REQ(x-b)%c"}
    one("fmt", [rule(dst("fmt", V1), headers={"request": {"set": fmt}, "response": {"set": {"x-r": "%RESPONSE_CODE%", "x-rq": "%REQ(x-a)%", "x-rs": "%RESP(x-version)%",
                                                                                             "x-rn": "%RESP(x-no)%"}}})],
        req("/p?q=1", [("x-a", "abc"), ("x-b", "d")]), req("/p"), req("/p", [("x-a", "1"), ("x-a", "2")]), req("/p", [("x-a", "")]), req("/a/../b"))
    one("fmtadd", [rule(dst("fmtadd", V1), headers={"request": {"add": {"x-a": "%REQ(x-a)%"}}})], req("/", [("x-a", "1")]), req())
    one("rmspec", [rule(dst("rmspec", V1), headers={"request": {"remove": ["accept", "user-agent", "cookie", "te"]}, "response": {"remove": ["date", "server", "x-multi"]}})],
        req("/", [("accept", "*/*"), ("User-Agent", "x"), ("Cookie", "a=1"), ("cookie", "b=2")]))
    one("rdops", [{"redirect": {"uri": "/n"}, "headers": {"response": {"set": {"x-r": "1"}, "add": {"x-r2": "%REQ(x-a)%"}}}}], req("/", [("x-a", "v")]))


def faults(b, one):
    full, none = {"value": 100.0}, {"value": 0.0}
    for n, a in (("f500", {"httpStatus": 500, "percentage": full}), ("f0", {"httpStatus": 500, "percentage": none}), ("f418", {"httpStatus": 418, "percentage": full}),
                 ("fgrpc", {"grpcStatus": "UNAVAILABLE", "percentage": full}), ("f200", {"httpStatus": 200, "percentage": full}), ("fno", {"httpStatus": 503})):
        one(n, [rule(dst(n, V1), fault={"abort": a}, headers={"response": {"set": {"x-r": "1"}}})], req(), req(method="HEAD"), req(method="POST", body="abc"),
            req(headers=[("content-type", "application/grpc"), ("te", "trailers")], method="POST", body="abc"),
            req(headers=[("x-envoy-fault-abort-request", "404")]), req(headers=[("x-envoy-fault-delay-request", "50")]))
    one("fdelay", [rule(dst("fdelay", V1), fault={"delay": {"fixedDelay": "0.2s", "percentage": full}})], req(), req(method="POST", body="abc"))
    one("fdelabort", [rule(dst("fdelabort", V1), fault={"delay": {"fixedDelay": "0.2s", "percentage": full}, "abort": {"httpStatus": 555, "percentage": full}})], req())
    one("fdeltime", [rule(dst("fdeltime", V1), fault={"delay": {"fixedDelay": "0.4s", "percentage": full}}, timeout="0.2s")], req())
    one("fby", [rule(dst("fby", V1), {"headers": {"x-fault": {"exact": "yes"}}}, fault={"abort": {"httpStatus": 400, "percentage": full}}), rule(dst("fby", V2))],
        req(headers=[("x-fault", "yes")]), req(headers=[("x-fault", "no")]))
    one("fredir", [{"redirect": {"uri": "/n"}, "fault": {"abort": {"httpStatus": 400, "percentage": full}}}], req())


def corses(b, one):
    def pre(origin, method="GET", more=(), verb="OPTIONS"):
        return req("/", [("Origin", origin), *([("Access-Control-Request-Method", method)] if method is not None else []), *more], method=verb)
    asks = [pre(o) for o in ("https://good.example", "https://bad.example", "https://sub.good.example", "HTTPS://GOOD.EXAMPLE", "", "null", "https://good.example:8443")]
    asks += [pre("https://good.example", None), pre("https://bad.example", None), pre("https://good.example", ""), pre("https://good.example", "DELETE"),
             pre("https://good.example", more=[("Access-Control-Request-Headers", "x-a,x-b")]),
             pre("https://good.example", more=[("Access-Control-Request-Private-Network", "true")])]
    asks += [pre(o, None, verb=v) for o in ("https://good.example", "https://bad.example", "") for v in ("GET", "POST", "HEAD")]
    asks += [req(), req(method="OPTIONS"), req("/", [("access-control-request-method", "GET")], method="OPTIONS"),
             pre("https://good.example", None, [do("h:access-control-allow-origin=*")], "GET"),
             pre("https://good.example", None, [do("h:access-control-expose-headers=x-own")], "GET"),
             pre("https://good.example", None, [do("h:vary=accept")], "GET")]
    good = [{"exact": "https://good.example"}]
    for n, c in (("co1", {"allowOrigins": good}), ("co2", {"allowOrigins": good, "allowMethods": ["GET", "POST"], "allowHeaders": ["x-a", "x-b"], "exposeHeaders": ["x-e", "x-f"],
                                                           "maxAge": "24h", "allowCredentials": True}),
                 ("co3", {"allowOrigins": [{"prefix": "https://good"}], "allowCredentials": False}), ("co4", {"allowOrigins": [{"regex": "https://.*\\.good\\.example"}], "maxAge": "1.9s"}),
                 ("co5", {"allowOrigins": good, "unmatchedPreflights": "IGNORE"}), ("co6", {"allowOrigins": [{"exact": "*"}], "allowMethods": ["*"]}),
                 ("co7", {"allowOrigins": good, "unmatchedPreflights": "FORWARD", "maxAge": "0s"})):
        one(n, [rule(dst(n, V1), corsPolicy=c)], *asks)
    one("coops", [rule(dst("coops", V1), corsPolicy={"allowOrigins": good}, headers={"response": {"set": {"x-r": "1"}}})], pre("https://good.example"), pre("https://good.example", None, verb="GET"))
    one("cofault", [rule(dst("cofault", V1), corsPolicy={"allowOrigins": good}, fault={"abort": {"httpStatus": 500, "percentage": {"value": 100.0}}})],
        pre("https://good.example"), pre("https://good.example", None, verb="GET"))
    one("cored", [{"redirect": {"uri": "/n"}, "corsPolicy": {"allowOrigins": good}}], pre("https://good.example"), pre("https://good.example", None, verb="GET"))


def mirrors(b, one):
    asks = [req("/x?y", [("x-a", "1")]), req(method="POST", body="abc" * 10), req(method="HEAD"),
            req(method="POST", headers=[("transfer-encoding", "chunked")], body="3\r\nabc\r\n0\r\n\r\n", length=False), req(host="mir:9000")]
    one("mir", [rule(dst("mir", V1), mirror=dst("mir", V2)["destination"], headers={"request": {"set": {"x-s": "1"}}})], *asks)
    one("mir0", [rule(dst("mir0", V1), mirror=dst("mir0", V2)["destination"], mirrorPercentage={"value": 0.0})], *asks[:2])
    one("mirs", [rule(dst("mirs", V1), mirrors=[{"destination": dst("mirs", V2)["destination"], "percentage": {"value": 100.0}}, {"destination": dst("mirs", V2)["destination"]}])], *asks[:2])
    one("mirrw", [rule(dst("mirrw", V1), {"uri": {"prefix": "/x"}}, mirror=dst("mirrw", V2)["destination"], rewrite={"uri": "/y", "authority": "z.example"})], *asks[:1])
    one("mirno", [rule(dst("mirno", V1), mirror=dst("mirno", "v9")["destination"])], *asks[:2])


def write(b):
    paths(b)
    matches(b)
    hosts(b)
    actions(b)
    hand_heads.write(b)
    hand_tries.write(b)
