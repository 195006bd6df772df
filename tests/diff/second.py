# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 and gRPC beside Envoy, with stock clients: curl, python3-grpcio, and frames by hand (tests/lib/h2raw.py).

    c1 --(h2c)--> proxy --(HTTP/1.1)--> recorder.py :9000        the services s-*, reco
                        --(HTTP/2)----> grpcserver.py :9100      the services g-*
"""
import json
import os
import subprocess
import sys

from mesh import dst, rule
from servers import HERE as LIB, PYTHON

GRPC_PORT = 9100
FULL = {"value": 100}
CURL = ["curl", "-sS", "--http2-prior-knowledge", "--max-time", "4", "-i"]
WITH_BODY = ["-X", "POST", "-d", "abc"]
# without a body: curl before 8 takes RST_STREAM(NO_ERROR), behind an answer that did not wait for it, for an error
GRPC = ["-X", "POST", "-H", "content-type: application/grpc"]

# name -> (service, path, arguments of curl)
ASKED = {
    "get": ("s-plain", "/x?y=1", []), "head": ("s-plain", "/", ["-I"]), "post": ("s-plain", "/", WITH_BODY),
    "chunked": ("s-plain", "/", ["-H", "x-do: chunked"]), "204": ("s-plain", "/", ["-H", "x-do: 204"]), "304": ("s-plain", "/", ["-H", "x-do: 304"]),
    "cookies": ("s-cookie", "/", ["-H", "cookie: a=1; user=jason"]), "two cookies": ("s-cookie", "/", ["-H", "cookie: a=1", "-H", "cookie: user=jason"]),
    "host": ("s-plain", "/", ["-H", "Host: s-plain.default:9000"]), "unnormal": ("s-plain", "/a/../b//c", ["--path-as-is"]),
    "te": ("s-plain", "/", ["-H", "te: trailers"]), "expect": ("s-plain", "/", [*WITH_BODY, "-H", "Expect: 100-continue"]),
    "reset": ("s-noretry", "/", ["-H", "x-do: reset"]), "close": ("s-noretry", "/", ["-H", "x-do: close"]), "half": ("s-noretry", "/", ["-H", "x-do: half"]),
    "503": ("s-noretry", "/", ["-H", "x-do: 503"]), "timeout": ("s-time", "/", ["-H", "x-do: hang"]), "retried": ("s-retry", "/", ["-H", "x-do: 503|ok"]),
    "retried post": ("s-retry", "/", [*WITH_BODY, "-H", "x-do: 503|ok"]), "retried out": ("s-retry", "/", ["-H", "x-do: 503"]),
    "abort": ("s-abort", "/", []), "abort grpc": ("s-abort", "/", [*GRPC]),
    "redirect": ("s-redirect", "/foo?a=1", []), "direct": ("s-direct", "/", []), "direct head": ("s-direct", "/", ["-I"]), "404": ("s-none", "/", []),
    "404 grpc": ("s-none", "/", [*GRPC]), "nobody": ("s-nobody", "/", []),
    "ops": ("s-ops", "/", ["-H", "x-gone: 1"]), "cors": ("s-cors", "/", ["-X", "OPTIONS", "-H", "Origin: https://good.example", "-H", "Access-Control-Request-Method: GET"]),
    "redirect grpc": ("s-redirect", "/foo", GRPC), "direct grpc": ("s-direct", "/", GRPC), "ops grpc": ("s-ops", "/", [*GRPC, "-H", "x-do: 403"]),
    "no host": ("s-missing", "/", []), "timeout grpc": ("s-time", "/", [*GRPC, "-H", "x-do: hang"]),
    "grpc deadline": ("s-grpctime", "/", [*GRPC, "-H", "grpc-timeout: 200m", "-H", "x-do: hang"]),
    "grpc deadline longer": ("s-time", "/", [*GRPC, "-H", "grpc-timeout: 3S", "-H", "x-do: hang"]),
    "deadline without grpc": ("s-grpctime", "/", ["-H", "grpc-timeout: 200m", "-H", "x-do: late:500"]),
    "grpc reset": ("s-noretry", "/", [*GRPC, "-H", "x-do: reset"]),
    "grpc 503": ("s-noretry", "/", [*GRPC, "-H", "x-do: 503"]),
}
# name -> (service, arguments of grpcclient.py's calls)
CALLED = {
    "who": ("g-plain", {"n": 4}), "status": ("g-plain", {"method": "Status", "message": "NOT_FOUND"}), "unavailable": ("g-plain", {"method": "Status", "message": "UNAVAILABLE"}),
    "slow, deadline": ("g-plain", {"method": "Slow", "message": "1500", "timeout": 0.3}), "slow, timeout": ("g-time", {"method": "Slow", "message": "1500"}),
    "flaky": ("g-retry", {"method": "Flaky"}), "flaky, no retries": ("g-noretry", {"method": "Flaky"}), "flaky, default": ("g-plain", {"method": "Flaky"}),
    "internal retried": ("g-retry", {"method": "Status", "message": "INTERNAL"}), "aborted": ("g-abort", {}), "by metadata": ("g-match", {"metadata": [["x-a", "1"]]}),
    "by path": ("g-match", {"method": "Status", "message": "OK"}), "no route": ("g-match", {}), "dead": ("g-dead", {}), "direct": ("g-direct", {}),
}
RAW = ["path twice", "path absent", "path empty", "path without slash", "star without OPTIONS", "path with a blank", "scheme absent", "method absent", "no authority", "host differs",
       "unknown pseudo-header", "status in a request", "upper case", "empty name", "blank in a name", "CR in a value", "LF in a value", "NUL in a value", "connection", "transfer-encoding",
       "upgrade", "te", "keep-alive", "content-length twice", "content-length without body", "content-length signed", "CONNECT", "pseudo-header after a regular one", "body shorter",
       "body longer", "trailers with a pseudo-header", "trailers without end", "even_stream", "stream_back", "data_on_idle", "self_priority", "bad_frame_size", "bad_window", "index_zero",
       "frame_too_large", "window_overflow", "push", "early_answer"]


def write(b):
    def s(name, rules=None, **kw):
        b.service(name, rules, **kw)
    for name in ("s-plain", "s-nobody", "reco", "user"):
        s(name, [rule(dst(name, "v1"))], **({"app": "nothing"} if name == "s-nobody" else {}))
    cookie = {"headers": {"cookie": {"regex": "^(.*?;)? ?(user=jason)(;.*)?$"}}}
    s("s-cookie", [rule(dst("s-cookie", "v2"), cookie), rule(dst("s-cookie", "v1"))])
    s("s-noretry", [rule(dst("s-noretry", "v1"), retries={"attempts": 0})])
    s("s-time", [rule(dst("s-time", "v1"), timeout="0.3s")])
    s("s-grpctime", [rule(dst("s-grpctime", "v1"), timeout="2s")])
    s("s-retry", [rule(dst("s-retry", "v1"), retries={"attempts": 2, "retryOn": "5xx", "backoff": "1ms"})])
    s("s-abort", [rule(dst("s-abort", "v1"), fault={"abort": {"httpStatus": 418, "percentage": FULL}})])
    s("s-redirect", [{"redirect": {"uri": "/new", "authority": "o.example"}}])
    s("s-direct", [{"directResponse": {"status": 403, "body": {"string": "said\n"}}}])
    s("s-none", [rule(dst("s-none", "v1"), {"uri": {"exact": "/never"}})])
    s("s-missing", [rule(dst("s-missing", "v9"))])
    s("s-ops", [rule(dst("s-ops", "v1"), headers={"request": {"set": {"X-Set": "1"}, "remove": ["x-gone"]}, "response": {"add": {"X-Add": "%REQ(x-set)%"}}})])
    s("s-cors", [rule(dst("s-cors", "v1"), corsPolicy={"allowOrigins": [{"exact": "https://good.example"}], "allowMethods": ["GET"]})])
    for name, rules, more in (
            ("g-plain", lambda n: [rule(dst(n, "v1"))], {}), ("g-time", lambda n: [rule(dst(n, "v1"), timeout="0.3s")], {}),
            ("g-retry", lambda n: [rule(dst(n, "v1"), retries={"attempts": 2, "retryOn": "unavailable,internal", "backoff": "1ms"})], {}),
            ("g-noretry", lambda n: [rule(dst(n, "v1"), retries={"attempts": 0})], {}),
            ("g-abort", lambda n: [rule(dst(n, "v1"), fault={"abort": {"grpcStatus": "RESOURCE_EXHAUSTED", "percentage": FULL}})], {}),
            ("g-match", lambda n: [rule(dst(n, "v1"), [{"headers": {"x-a": {"exact": "1"}}}, {"uri": {"exact": "/t.T/Status"}}])], {}),
            ("g-dead", lambda n: [rule(dst(n, "v1"), retries={"attempts": 0})], {"target": 9109}),
            ("g-direct", lambda n: [{"directResponse": {"status": 429, "body": {"string": "slow down"}}}], {})):
        s(name, rules(name), port=GRPC_PORT, port_name="grpc", **{"target": GRPC_PORT, **more})


def start(world):
    world.start("srv", [PYTHON, os.path.join(LIB, "grpcserver.py"), str(GRPC_PORT), "v1"])
    world.topo.wait_port("srv", GRPC_PORT)


def of_curl(text):
    """curl -i's output: status, fields that are compared, body."""
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    while head.startswith("HTTP/2 1"):
        head, _, body = body.partition("\n\n")
    lines = head.split("\n")
    ignored = ("date", "server", "x-envoy-", "content-length")
    rows = sorted(x.lower() for x in lines[1:] if not x.lower().startswith(ignored))
    if lines[0].split()[1:2] and lines[0].split()[1] >= "400" and not any(x.startswith("x-version") for x in rows):
        rows = [x for x in rows if not x.startswith("content-type: text")]
        body = "(words)" if body.startswith(("upstream connect", "no healthy")) or not body else body
    return {"line": lines[0].strip(), "fields": rows, "body": body}


def of_raw(seen):
    """Who answers with a status, and who refuses: the stream or the connection, with or without a word, is all the same."""
    if not isinstance(seen, dict):
        return seen
    return seen["status"] or ("refused" if seen["rst"] or seen["closed"] or seen["goaway"] is not None else "nothing")


def run_all(world, book, agent, proxy, words):
    """{name: outcome} through one proxy."""
    def command(argv):
        argv = agent.exec_argv(world.topo, "c1", argv) if agent else world.topo.cmd("c1", argv)
        return subprocess.run(argv, text=True, capture_output=True, timeout=60)

    def at(service):
        return book.services[service] if agent else "10.77.50.1"
    out = {}
    for name, (service, path, more) in ASKED.items():
        if not words or any(f"h2.{name}".startswith(w) for w in words):
            done = command([*CURL, "--resolve", f"{service}:9000:{at(service)}", "-H", f"x-diff-id: h2.{name}.{proxy}", *more, f"http://{service}:9000{path}"])
            out[f"h2.{name}"] = {"exit": done.returncode, **of_curl(done.stdout)}
    for name, (service, args) in CALLED.items():
        if not words or any(f"grpc.{name}".startswith(w) for w in words):
            # the authority is the service's name: the target is an address
            done = command([PYTHON, os.path.join(LIB, "grpcclient.py"), f"{at(service)}:{GRPC_PORT}", "calls", json.dumps({**args, "authority": service})])
            out[f"grpc.{name}"] = done.stdout.strip() or done.stderr[-300:]
    raw = [n for n in RAW if not words or any(f"raw2.{n}".startswith(w) for w in words)]
    if raw:
        done = command([PYTHON, os.path.join(LIB, "h2raw.py"), at("reco"), "9000", *raw])
        rows = json.loads(done.stdout) if done.stdout else {"failed": done.stderr[-500:]}
        out.update({f"raw2.{n}": of_raw(v) for n, v in rows.items()})
    return out


if __name__ == "__main__":
    sys.exit("run.py runs these")
