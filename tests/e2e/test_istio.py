# SPDX-License-Identifier: Apache-2.0
"""What Istio's users expect of one route each: all rows of a table stand in one VirtualService, and each request says by
`x-case` which of them it is for. Rows that the kernel carries and rows that the agent carries follow each other on one
connection.

    c1 --> origin :9000 (v1, v2)    the server says what it got
"""
import json

import mesh
from mesh import dst, rule
from runner import check, test
from world import ORIGIN

GOOD = "https://good.example"
PREFLIGHT = [["Origin", GOOD], ["Access-Control-Request-Method", "PUT"]]
BAD = [["Origin", "https://bad.example"], ["Access-Control-Request-Method", "PUT"]]
TO = {"route": [dst("origin", "v1")]}


def own(headers, weight=None):
    return {"route": [{**dst("origin", "v1", weight), "headers": headers}]}


def ops(request=None, response=None):
    return {**({"request": request} if request else {}), **({"response": response} if response else {})}


def cors(**more):
    return {"corsPolicy": {"allowOrigins": [{"exact": GOOD}], "allowMethods": ["GET", "PUT"], **more}, **TO}


# name: (the rule, more of its match, the request, what is wanted). Wanted: status; `saw`: fields of the request as the
# server got them, all values of a name in order; `got`: the same of the answer; target; body: a part of it.
HEADERS = {
    "set-absent": ({**TO, "headers": ops({"set": {"x-a": "1"}})}, {}, {}, {"saw": {"x-a": ["1"]}}),
    "set-present": ({**TO, "headers": ops({"set": {"x-a": "1"}})}, {}, {"headers": [["X-A", "0"], ["x-a", "9"]]},
                    {"saw": {"x-a": ["1"]}}),
    "add-present": ({**TO, "headers": ops({"add": {"x-a": "1"}})}, {}, {"headers": [["x-a", "0"]]}, {"saw": {"x-a": ["0", "1"]}}),
    "remove": ({**TO, "headers": ops({"remove": ["x-a"]})}, {}, {"headers": [["X-a", "0"], ["x-a", "1"], ["x-b", "2"]]},
               {"saw": {"x-a": [], "x-b": ["2"]}}),
    "remove-absent": ({**TO, "headers": ops({"remove": ["x-a"]})}, {}, {}, {"saw": {"x-a": []}}),
    "remove-add": ({**TO, "headers": ops({"remove": ["x-a"], "add": {"x-a": "1"}})}, {}, {"headers": [["x-a", "0"]]},
                   {"saw": {"x-a": ["1"]}}),
    "remove-set-add": ({**TO, "headers": ops({"remove": ["x-a"], "set": {"x-a": "1"}, "add": {"x-a": "2"}})}, {}, {},
                       {"saw": {"x-a": ["1", "2"]}}),
    "both-add": ({**own(ops({"add": {"x-a": "destination"}})), "headers": ops({"add": {"x-a": "route"}})}, {}, {},
                 {"saw": {"x-a": ["route", "destination"]}}),
    "both-set": ({**own(ops({"set": {"x-a": "destination"}})), "headers": ops({"set": {"x-a": "route"}})}, {}, {},
                 {"saw": {"x-a": ["destination"]}}),
    "route-removes": ({**own(ops({"set": {"x-a": "destination"}})), "headers": ops({"remove": ["x-a"]})}, {}, {},
                      {"saw": {"x-a": ["destination"]}}),
    "case-of-name": ({**TO, "headers": ops({"set": {"X-MiXed": "1"}})}, {}, {"headers": [["x-mixed", "0"]]},
                     {"saw": {"x-mixed": ["1"]}}),
    "set-host": ({**TO, "headers": ops({"set": {"Host": "other.example"}})}, {}, {}, {"saw": {"host": ["other.example"]}}),
    "set-authority": ({**TO, "headers": ops({"set": {":authority": "other.example:81"}})}, {}, {},
                      {"saw": {"host": ["other.example:81"], ":authority": []}}),
    "add-authority": ({**TO, "headers": ops({"add": {":authority": "added.example"}})}, {}, {}, {"saw": {"host": ["added.example"]}}),
    "set-wins": ({**TO, "headers": ops({"add": {"Host": "added.example"}, "set": {"host": "set.example"}})}, {}, {},
                 {"saw": {"host": ["set.example"]}}),
    "host-of-both": ({**own(ops({"set": {"host": "one.example"}})), "headers": ops({"set": {":authority": "two.example"}})}, {}, {},
                     {"saw": {"host": ["two.example"]}}),
    "host-of-destination": ({**own(ops({"set": {"host": "one.example"}}))}, {}, {}, {"saw": {"host": ["one.example"]}}),
    "rewrite-authority": ({**TO, "rewrite": {"authority": "re.example"}}, {}, {}, {"saw": {"host": ["re.example"]}, "target": "/echo"}),
    "answer-set": ({**TO, "headers": ops(response={"set": {"x-version": "mine"}})}, {}, {}, {"got": {"x-version": ["mine"]}}),
    "answer-add": ({**TO, "headers": ops(response={"add": {"x-version": "mine"}})}, {}, {}, {"got": {"x-version": ["v1", "mine"]}}),
    "answer-remove": ({**TO, "headers": ops(response={"remove": ["x-version", "x-none"]})}, {}, {}, {"got": {"x-version": []}}),
    "answer-order": ({**own(ops(response={"add": {"x-r": "destination"}})), "headers": ops(response={"add": {"x-r": "route"}})},
                     {}, {}, {"got": {"x-r": ["route", "destination"]}}),
    "comma-value": ({**TO, "headers": ops({"set": {"x-a": "1, 2;q=\"x\""}})}, {}, {}, {"saw": {"x-a": ["1, 2;q=\"x\""]}}),
    "body-stays": ({**TO, "headers": ops({"set": {"x-a": "1"}})}, {}, {"method": "POST", "body": "b" * 5000},
                   {"saw": {"x-a": ["1"], "content-length": ["5000"]}, "size": 5000}),
    "direct-headers": ({"directResponse": {"status": 200, "body": {"string": "direct"}},
                        "headers": ops(response={"set": {"x-r": "1"}})}, {}, {}, {"got": {"x-r": ["1"]}, "body": "direct"}),
    "redirect-headers": ({"redirect": {"uri": "/n"}, "headers": ops(response={"set": {"x-r": "1"}})}, {}, {},
                         {"status": 301, "got": {"x-r": ["1"]}}),
}

PATHS = {
    "prefix-slash": ({**TO, "rewrite": {"uri": "/"}}, {"uri": {"prefix": "/old/"}}, {"target": "/old/echo?a=/old/"},
                     {"target": "/echo?a=/old/"}),
    "prefix-word": ({**TO, "rewrite": {"uri": "/ec"}}, {"uri": {"prefix": "/o"}}, {"target": "/oho"}, {"target": "/echo"}),
    "prefix-doubles": ({**TO, "rewrite": {"uri": "/"}}, {"uri": {"prefix": "/twice"}}, {"target": "/twice/echo"},
                       {"seen": "//echo"}),
    "exact-whole": ({**TO, "rewrite": {"uri": "/echo"}}, {"uri": {"exact": "/whole/path"}}, {"target": "/whole/path?q=1"},
                    {"target": "/echo?q=1"}),
    "no-uri": ({**TO, "rewrite": {"uri": "/e"}}, {"method": {"exact": "GET"}}, {"target": "/cho"}, {"target": "/echo"}),
    "regex-groups": ({**TO, "rewrite": {"uriRegexRewrite": {"match": "^/([a-z]+)/([0-9]+)/(.*)$", "rewrite": "/\\3?\\2=\\1"}}},
                     {}, {"target": "/ab/12/echo"}, {"target": "/echo?12=ab"}),
    "regex-query": ({**TO, "rewrite": {"uriRegexRewrite": {"match": "/x", "rewrite": "/echo"}}}, {}, {"target": "/x?p=/x"},
                    {"target": "/echo?p=/x"}),
    "uri-and-authority": ({**TO, "rewrite": {"uri": "/echo", "authority": "a.example"}}, {"uri": {"exact": "/x"}},
                          {"target": "/x"}, {"target": "/echo", "saw": {"host": ["a.example"]}}),
    "redirect-uri": ({"redirect": {"uri": "/new"}}, {}, {"target": "/x?a=1&b"},
                     {"status": 301, "got": {"location": ["http://origin:9000/new?a=1&b"]}}),
    "redirect-own-query": ({"redirect": {"uri": "/new?c=2"}}, {}, {"target": "/x?a=1"},
                           {"status": 301, "got": {"location": ["http://origin:9000/new?c=2"]}}),
    "redirect-authority": ({"redirect": {"authority": "a.example", "redirectCode": 308}}, {}, {"target": "/x"},
                           {"status": 308, "got": {"location": ["http://a.example/x"]}}),
    "redirect-https": ({"redirect": {"scheme": "https"}}, {}, {"target": "/x", "host": "origin:80"},
                       {"status": 301, "got": {"location": ["https://origin/x"]}}),
    "redirect-port": ({"redirect": {"scheme": "https", "port": 8443}}, {}, {"target": "/x"},
                      {"status": 301, "got": {"location": ["https://origin:8443/x"]}}),
    "redirect-port-of-scheme": ({"redirect": {"scheme": "https", "port": 443}}, {}, {"target": "/x"},
                                {"status": 301, "got": {"location": ["https://origin/x"]}}),
    "redirect-derive": ({"redirect": {"derivePort": "FROM_REQUEST_PORT", "authority": "a.example"}}, {}, {"target": "/x"},
                        {"status": 301, "got": {"location": ["http://a.example:9000/x"]}}),
    "redirect-default-port": ({"redirect": {"derivePort": "FROM_PROTOCOL_DEFAULT", "scheme": "https", "authority": "a.example"}},
                              {}, {"target": "/x"}, {"status": 301, "got": {"location": ["https://a.example/x"]}}),
    "redirect-prefix": ({"redirect": {"uri": "%PREFIX()%/n"}}, {"uri": {"prefix": "/old"}}, {"target": "/old/x?a"},
                        {"status": 301, "got": {"location": ["http://origin:9000/n/x?a"]}}),
    "redirect-head": ({"redirect": {"uri": "/new", "redirectCode": 302}}, {}, {"target": "/x", "method": "HEAD"},
                      {"status": 302, "got": {"location": ["http://origin:9000/new"]}}),
}

ANSWERS = {
    "preflight": (cors(), {}, {"method": "OPTIONS", "headers": PREFLIGHT},
                  {"status": 200, "got": {"access-control-allow-origin": [GOOD], "access-control-allow-methods": ["GET,PUT"],
                                          "x-version": []}}),
    "preflight-bad": (cors(), {}, {"method": "OPTIONS", "headers": BAD},
                      {"got": {"access-control-allow-origin": [], "x-version": ["v1"]}}),
    "preflight-ignored": (cors(unmatchedPreflights="IGNORE"), {}, {"method": "OPTIONS", "headers": BAD},
                          {"got": {"access-control-allow-origin": [], "x-version": []}}),
    "preflight-forwarded": (cors(unmatchedPreflights="FORWARD"), {}, {"method": "OPTIONS", "headers": BAD},
                            {"got": {"x-version": ["v1"]}}),
    "options-alone": (cors(), {}, {"method": "OPTIONS", "headers": [["Origin", GOOD]]},
                      {"got": {"access-control-allow-origin": [GOOD], "x-version": ["v1"]}}),
    "origin": (cors(exposeHeaders=["x-a", "x-b"], allowCredentials=True), {}, {"headers": [["Origin", GOOD]]},
               {"got": {"access-control-allow-origin": [GOOD], "access-control-allow-credentials": ["true"],
                        "access-control-expose-headers": ["x-a,x-b"]}}),
    "no-origin": (cors(), {}, {}, {"got": {"access-control-allow-origin": [], "x-version": ["v1"]}}),
    "abort": ({**TO, "fault": {"abort": {"httpStatus": 418, "percentage": {"value": 100}}}}, {}, {},
              {"status": 418, "body": "fault filter abort", "got": {"x-version": []}}),
    "abort-never": ({**TO, "fault": {"abort": {"httpStatus": 418, "percentage": {"value": 0}}}}, {}, {}, {"got": {"x-version": ["v1"]}}),
    "abort-by-header": ({**TO, "fault": {"abort": {"httpStatus": 503, "percentage": {"value": 100}}}},
                        {"headers": {"end-user": {"exact": "jason"}}}, {"headers": [["end-user", "jason"]]}, {"status": 503}),
    "abort-before-redirect": ({"redirect": {"uri": "/n"}, "fault": {"abort": {"httpStatus": 400, "percentage": {"value": 100}}}},
                              {}, {}, {"status": 400}),
    "direct-empty": ({"directResponse": {"status": 204}}, {}, {}, {"status": 204, "got": {"content-length": []}}),
    "direct-bytes": ({"directResponse": {"status": 503, "body": {"bytes": "aGVsbG8="}}}, {}, {}, {"status": 503, "body": "hello"}),
    "no-timeout": ({**TO, "timeout": "0s"}, {}, {"target": "/late?ms=150"}, {}),
    "timeout": ({**TO, "timeout": "0.1s"}, {}, {"target": "/late?ms=400"}, {"status": 504, "body": "upstream request timeout"}),
    "no-attempts": ({**TO, "retries": {"attempts": 0}}, {}, {"target": "/status?code=503"}, {"status": 503}),
    "unknown-subset": ({"route": [dst("origin", "nowhere")]}, {}, {}, {"status": 503}),
    "weight-0": ({"route": [dst("origin", "v2", 0), dst("origin", "v1", 100)]}, {}, {}, {"got": {"x-version": ["v1"]}}),
    "mirror-never": ({**TO, "mirror": dst("origin", "v2")["destination"], "mirrorPercentage": {"value": 0}}, {}, {},
                     {"got": {"x-version": ["v1"]}}),
}

MATCHES = {
    "without-regex-of-empty": ({"route": [dst("origin", "v2")]}, {"withoutHeaders": {"x-s": {"regex": "a*"}}}, {}, {"version": "v1"}),
    "without-other": ({"route": [dst("origin", "v2")]}, {"withoutHeaders": {"x-s": {"exact": "a"}}},
                      {"headers": [["x-s", "b"]]}, {"version": "v2"}),
    "with-and-without": ({"route": [dst("origin", "v2")]}, {"headers": {"x-t": {}}, "withoutHeaders": {"x-t": {"prefix": "no"}}},
                         {"headers": [["x-t", "yes"]]}, {"version": "v2"}),
    "with-and-without-no": ({"route": [dst("origin", "v2")]}, {"headers": {"x-t": {}}, "withoutHeaders": {"x-t": {"prefix": "no"}}},
                            {"headers": [["x-t", "no1"]]}, {"version": "v1"}),
    "query-present": ({"route": [dst("origin", "v2")]}, {"queryParams": {"k": {}}}, {"target": "/echo?j&k"}, {"version": "v2"}),
    "query-absent": ({"route": [dst("origin", "v2")]}, {"queryParams": {"k": {}}}, {"target": "/echo?kk=1"}, {"version": "v1"}),
    "query-empty": ({"route": [dst("origin", "v2")]}, {"queryParams": {"k": {"exact": ""}}}, {"target": "/echo?k="}, {"version": "v2"}),
    "uri-any-case": ({"route": [dst("origin", "v2")]}, {"uri": {"prefix": "/ECHO"}, "ignoreUriCase": True}, {"target": "/echo"},
                     {"version": "v2"}),
    "regex-whole": ({"route": [dst("origin", "v2")]}, {"uri": {"regex": "/ech"}}, {"target": "/echo"}, {"version": "v1"}),
    "authority-port": ({"route": [dst("origin", "v2")]}, {"authority": {"exact": "origin:9000"}}, {}, {"version": "v2"}),
    "labels": ({"route": [dst("origin", "v2")]}, {"sourceLabels": {"app": "nobody"}}, {}, {"version": "v1"}),
    "namespace": ({"route": [dst("origin", "v2")]}, {"sourceNamespace": "elsewhere"}, {}, {"version": "v1"}),
    "other-port": ({"route": [dst("origin", "v2")]}, {"port": 9001}, {}, {"version": "v1"}),
    "gateway": ({"route": [dst("origin", "v2")]}, {"gateways": ["my-gateway"]}, {}, {"version": "v1"}),
    "mesh": ({"route": [dst("origin", "v2")]}, {"gateways": ["mesh"]}, {}, {"version": "v2"}),
}


def policy(rows):
    rules = [{"match": [{**match, "headers": {"x-case": {"exact": name}, **match.get("headers", {})}}], **what}
             for name, (what, match, _, _) in rows.items()]
    return mesh.vs("origin", rules + [rule(dst("origin", "v1"))])


def values(headers, name):
    return [v for k, v in headers if k.lower() == name]


def wrong(name, want, r):
    """What is not as it was wanted."""
    said = r["body"]
    out = [] if r["status"] == want.get("status", 200) else [f"status {r['status']}"]
    if want.keys() & {"saw", "target", "size"}:
        seen = json.loads(said)
        out += [f"server saw {k}: {values(seen['headers'], k)}" for k, v in want.get("saw", {}).items()
                if values(seen["headers"], k) != v]
        if want.get("target", seen["target"]) != seen["target"]:
            out.append(f"target {seen['target']}")
        if want.get("size", seen["body"]) != seen["body"]:
            out.append(f"body of {seen['body']}")
    out += [f"got {k}: {values(r['headers'], k)}" for k, v in want.get("got", {}).items() if values(r["headers"], k) != v]
    if want.get("version", r["version"]) != r["version"]:
        out.append(f"version {r['version']}")
    if want.get("body", "") not in said:
        out.append(f"body {said[:60]!r}")
    return [f"{name}: {', '.join(out)}; want {want}"] if out else []


def play(env, rows):
    env.policy(policy(rows))
    requests = [{"host": "origin:9000", "target": "/echo", **req, "headers": [["x-case", name]] + req.get("headers", [])}
                for name, (_, _, req, _) in rows.items()]
    got = env.call("exchange", host=ORIGIN, port=9000, requests=requests)
    check([line for (name, (_, _, _, want)), r in zip(rows.items(), got) for line in wrong(name, want, r)], [])


@test()
def header_operations(env):
    play(env, HEADERS)


@test()
def paths(env):
    play(env, PATHS)


@test()
def answers(env):
    play(env, ANSWERS)


@test()
def matches(env):
    play(env, MATCHES)
