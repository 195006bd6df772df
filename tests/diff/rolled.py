# SPDX-License-Identifier: Apache-2.0
"""Random policies and random requests that have a chance to meet them, from a seed."""
import random

from cases import do, req
from mesh import dst

PATHS = ["/", "/a", "/a/", "/a/b", "/ab", "/A/b", "/b", "/b/c", "/a/b/c?x=1", "/a?x=1&y=2", "/a?y=2", "/b?x", "/b?x=", "/a/../b", "/a/./b", "/a//b",
         "/%61/b", "/a%2Fb", "/a/b/", "/b/c?x=2&x=1", "/c.html", "/c/1", "/c/12", "/a/b?z=/b", "/B/C"]
HEADERS = [("x-a", "1"), ("x-a", "12"), ("x-a", ""), ("x-b", "Foo"), ("x-b", "foo bar"), ("x-c", "z"), ("X-A", "2"), ("cookie", "user=a; b=1"),
           ("user-agent", "curl/8"), ("accept", "*/*"), ("x-forwarded-proto", "http"), ("x-forwarded-proto", "https"), ("origin", "https://a.example"), ("x-d", "\tq ")]


def string(r, values):
    kind = r.choice(["exact", "exact", "prefix", "regex"])
    v = r.choice(values)
    if kind == "prefix":
        v = v[:r.randint(1, max(1, len(v)))]
    if kind == "regex":
        v = r.choice([v.replace("?", "\\?"), v[:2] + ".*", ".*" + v[-2:].replace("?", "\\?"), "[a-z/]+", "/?[a-c]+(/.)?", ".+"])
    return {kind: v} if v else {"exact": "1"}


def match(r):
    m = {}
    if r.random() < 0.6:
        m["uri"] = string(r, [p.split("?")[0] for p in PATHS if ".." not in p and "./" not in p and "%61" not in p])
        if r.random() < 0.2:
            m["ignoreUriCase"] = True
    for field, chance in (("headers", 0.4), ("withoutHeaders", 0.2)):
        if r.random() < chance:
            m[field] = {n: r.choice([{}, string(r, [v.strip() for k, v in HEADERS if k.lower() == n and v.strip()])])
                        for n in r.sample(["x-a", "x-b", "x-c", "cookie", "x-d"], r.randint(1, 2))}
    if r.random() < 0.2:
        m["method"] = string(r, ["GET", "POST", "HEAD", "PUT"])
    if r.random() < 0.25:
        m["queryParams"] = {n: r.choice([{}, string(r, ["1", "2"])]) for n in r.sample(["x", "y"], 1)}
    if r.random() < 0.1:
        m["scheme"] = string(r, ["http", "https"])
    if r.random() < 0.1:
        m["authority"] = r.choice([{"prefix": "r"}, {"regex": ".*9000"}, {"exact": "nobody"}])
    return m


def ops(r):
    def side():
        out = {}
        names = ["x-a", "x-b", "x-new", "x-version2", "x-multi", "user-agent"]
        for verb in ("set", "add"):
            if r.random() < 0.5:
                out[verb] = {n: r.choice(["v", "%REQ(x-a)%", "p%REQ(:path)%s", "100%%"]) for n in r.sample(names, r.randint(1, 2))}
        if r.random() < 0.4:
            out["remove"] = r.sample(names + ["x-c", "cookie"], r.randint(1, 2))
        return out
    return {k: v for k, v in (("request", side()), ("response", side())) if v}


def action(r, name, rule):
    kind = r.random()
    if kind < 0.12:
        rule["redirect"] = {k: v for k, v in (("uri", "/moved"), ("authority", "o.example"), ("scheme", "https"), ("redirectCode", r.choice([302, 307])),
                                              (r.choice(["port", "derivePort"]), None)) if r.random() < 0.5}
        for k, v in (("port", 8443), ("derivePort", "FROM_REQUEST_PORT")):
            if k in rule["redirect"]:
                rule["redirect"][k] = v
        rule["redirect"] = rule["redirect"] or {"uri": "/moved"}
        return
    if kind < 0.2:
        rule["directResponse"] = {"status": r.choice([200, 404, 503]), "body": {"string": "said\n"}}
        return
    if r.random() < 0.2:
        rule["route"] = [dst(name, "v1", 100), dst(name, "v2", 0)]
    else:
        rule["route"] = [dst(name, r.choice(["v1", "v2"]))]
    weighted = len(rule["route"]) > 1
    if r.random() < 0.25:
        rule["route"][0]["headers"] = ops(r)
    uris = [list(m["uri"])[0] for m in rule.get("match", []) if "uri" in m]
    if r.random() < 0.25 and "regex" not in uris:
        rule["rewrite"] = r.choice([{"uri": "/new"}, {"uri": "/"}, {"uri": "/n/"}, {"authority": "re.example"}, {"uri": "/x", "authority": "re.example:1"},
                                    {"uriRegexRewrite": {"match": "^/([a-c]+)/(.*)$", "rewrite": "/\\2/\\1"}}])
    if r.random() < 0.15 and not weighted:  # Envoy chooses among several before it aborts; nobody can tell why it should
        rule["fault"] = {"abort": {"httpStatus": r.choice([400, 503]), "percentage": {"value": r.choice([0.0, 100.0])}}}
    if r.random() < 0.15:
        rule["corsPolicy"] = {"allowOrigins": [r.choice([{"exact": "https://a.example"}, {"prefix": "https://b"}])], "allowMethods": ["GET"],
                              **({"allowCredentials": True} if r.random() < 0.5 else {})}
    if r.random() < 0.15:
        rule["mirror"] = dst(name, r.choice(["v1", "v2"]))["destination"]
    if r.random() < 0.3:
        rule["retries"] = {"attempts": r.randint(0, 3), "retryOn": r.choice(["5xx", "503", "gateway-error,retriable-4xx", "reset"]), "backoff": "1ms"}
    if r.random() < 0.2:
        rule["timeout"] = "2s"


def policy(r, name):
    rules = []
    for i in range(r.randint(1, 4)):
        rule = {"name": f"r{i}"} if r.random() < 0.5 else {}
        if r.random() < 0.85:
            rule["match"] = [match(r) for _ in range(r.choice([1, 1, 2]))]
        action(r, name, rule)
        if r.random() < 0.25:
            rule["headers"] = ops(r)
        rules.append({k: v for k, v in rule.items() if v != {}})
    return rules


def ask(r, methods, can_do):
    method = r.choice(methods)
    rows = {k.lower(): (k, v) for k, v in r.sample(HEADERS, r.randint(0, 4))}
    more = [do(r.choice(["503", "503|ok", "409|ok", "404", "chunked", "204"]))] if r.random() < 0.3 and can_do else []
    body = "body" if method in ("POST", "PUT") else ""
    return req(r.choice(PATHS), [*rows.values(), *more], method=method, body=body, host=r.choice(["{host}", "{host}", "{host}:9000", "{host}.default"])), method


def write(book, count, seed):
    r = random.Random(seed)
    for i in range(count):
        name = f"r{seed}n{i}"
        rules = policy(r, name)
        book.service(name, rules)
        can_do = not any("mirror" in rule for rule in rules)  # a copy would count as a try
        book.talk(name, "keep", [ask(r, ["GET", "GET", "GET", "HEAD", "OPTIONS"], can_do)[0] for _ in range(8)])
        for j in range(2):
            text, method = ask(r, ["POST", "PUT", "GET"], can_do)
            book.raw(name, f"one{j}", ["send", text], ["answers", 1, [method]])
