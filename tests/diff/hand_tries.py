# SPDX-License-Identifier: Apache-2.0
"""Retries and timeouts: every retryOn against every way to fail, budgets of time, and what the client's own headers may say."""
from cases import answer_of, do, req
from mesh import dst, rule

WAYS = {"reset": "reset", "close": "close", "half": "half", "r500": "500", "r501": "501", "r502": "502", "r503": "503", "r504": "504", "r404": "404", "r409": "409", "r429": "429",
        "limited": "429;h:x-envoy-ratelimited=true", "hdr": "200;h:x-retry=yes", "cut": "cut", "garbage": answer_of("\x00\x01 not http\r\n\r\n"),
        "grpc14": "200;h:content-type=application/grpc;h:grpc-status=14", "grpc1": "200;h:grpc-status=1", "grpc8": "200;h:grpc-status=8", "r200": "200"}
ON = {"def": None, "5xx": "5xx", "gw": "gateway-error", "reset": "reset", "rbr": "reset-before-request", "cf": "connect-failure", "erl": "envoy-ratelimited", "r4": "retriable-4xx", "rs": "refused-stream",
      "codes": "404,503", "codes2": "retriable-status-codes,409", "canc": "cancelled", "dead": "deadline-exceeded", "intl": "internal", "rexh": "resource-exhausted", "unav": "unavailable",
      "mix": "5xx,retriable-4xx,resource-exhausted"}


def write(b):
    for name, on in ON.items():
        svc = f"on-{name}"
        retries = {"attempts": 2, **({"retryOn": on} if on else {}), "backoff": "1ms"}
        b.service(svc, [rule(dst(svc), retries=retries)])
        for way, word in WAYS.items():
            b.raw(svc, f"{way}-all", ["send", req(headers=[do(word)])], ["answers", 1], timeout=2.0)
            b.raw(svc, f"{way}-once", ["send", req(headers=[do(word, "ok")])], ["answers", 1], timeout=2.0)
        for way in ("reset", "close", "cut", "garbage"):  # a safe method may be sent again on another connection anyway
            b.raw(svc, f"{way}-post", ["send", req(method="POST", body="abc", headers=[do(WAYS[way], "ok")])], ["answers", 1, ["POST"]], timeout=2.0)
        b.raw(svc, "post503", ["send", req(method="POST", body="abc" * 100, headers=[do("503", "ok")])], ["answers", 1, ["POST"]], timeout=2.0)
        b.raw(svc, "postreset", ["send", req(method="POST", body="abc" * 100, headers=[do("reset", "ok")])], ["answers", 1, ["POST"]], timeout=2.0)
    none(b)
    times(b)
    dead(b)


def none(b):
    """No block at all, and attempts: 0."""
    for svc, more in (("ret-none", {}), ("ret-zero", {"retries": {"attempts": 0}})):
        b.service(svc, [rule(dst(svc), **more)])
        for way, word in WAYS.items():
            b.raw(svc, f"{way}", ["send", req(headers=[do(word, "ok")])], ["answers", 1], timeout=2.0)
    b.service("ret-bare")  # a Service without VirtualService
    for way, word in WAYS.items():
        b.raw("ret-bare", f"{way}", ["send", req(headers=[do(word, "ok")])], ["answers", 1], timeout=2.0)


def times(b):
    def one(svc, word, *more, **kw):
        b.raw(svc, f"{len(b.cases)}", ["send", req(headers=[do(*word), *more], **kw)], ["answers", 1, [kw.get("method", "GET")]], timeout=3.0, linger=0.2)
    b.service("t1", [rule(dst("t1"), timeout="0.3s")])
    for words in (["hang"], ["late:100"], ["late:600"], ["half"], ["503"]):
        one("t1", words)
        one("t1", words, method="HEAD")
        one("t1", words, method="POST", body="abc")
    one("t1", ["late:200"], ("x-envoy-upstream-rq-timeout-ms", "50"))
    one("t1", ["503"], ("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "3"))
    b.raw("t1", "slowbody", ["send", req(method="POST", headers=[("content-length", "6")], body="abc", length=False)], ["wait", 600], ["send", "def"], ["answers", 1, ["POST"]], timeout=2.0)
    b.raw("t1", "nextafter", ["send", req(headers=[do("late:600")])], ["answers", 1], ["send", req("/n")], ["answers", 2], ["wait", 500], ["send", req("/m")], ["answers", 3], timeout=2.0)
    b.raw("t1", "partial", ["send", req(headers=[do(answer_of("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"))])], ["answers", 1], timeout=2.0)
    b.service("t2", [rule(dst("t2"), timeout="0.5s", retries={"attempts": 5, "perTryTimeout": "0.15s", "retryOn": "5xx", "backoff": "1ms"})])
    b.service("t3", [rule(dst("t3"), retries={"attempts": 2, "perTryTimeout": "0.15s", "retryOn": "5xx", "backoff": "1ms"})])
    b.service("t4", [rule(dst("t4"), retries={"attempts": 2, "perTryTimeout": "0.15s", "retryOn": "retriable-4xx", "backoff": "1ms"})])
    b.service("t5", [rule(dst("t5"), timeout="0.25s", retries={"attempts": 3, "retryOn": "5xx,reset", "backoff": "1ms"})])
    b.service("t6", [rule(dst("t6"), retries={"attempts": 2, "perTryTimeout": "0.15s", "backoff": "1ms"})])
    b.service("t7", [rule(dst("t7"), retries={"attempts": 2, "perTryTimeout": "0.15s", "retryOn": "gateway-error", "backoff": "1ms"})])
    b.service("t8", [rule(dst("t8"), retries={"attempts": 2, "perTryTimeout": "0.15s", "retryOn": "reset", "backoff": "1ms"})])
    for svc in ("t2", "t3", "t4", "t5", "t6", "t7", "t8"):
        for words in (["hang"], ["hang", "ok"], ["503", "hang"], ["late:400"], ["503", "ok"], ["reset", "hang", "ok"], ["hang", "503"], ["half"]):
            one(svc, words)
        one(svc, ["hang", "ok"], method="POST", body="abc")


def dead(b):
    """Nobody listens at 10.77.1.9 (unreachable) or on :9009 (refused)."""
    for svc, more in (("refused", {}), ("refused0", {"retries": {"attempts": 0}}), ("refused5", {"retries": {"attempts": 2, "retryOn": "5xx", "backoff": "1ms"}}),
                      ("refusedcf", {"retries": {"attempts": 1, "retryOn": "connect-failure", "backoff": "1ms"}}), ("refusedr4", {"retries": {"attempts": 1, "retryOn": "retriable-4xx", "backoff": "1ms"}})):
        b.service(svc, [rule(dst(svc), **more)], target=9009)
        b.raw(svc, "get", ["send", req()], ["answers", 1], timeout=3.0)
        b.raw(svc, "post", ["send", req(method="POST", body="abc")], ["answers", 1, ["POST"]], timeout=3.0)
        b.raw(svc, "keep", ["send", req()], ["answers", 1], ["send", req()], ["answers", 2], timeout=3.0)
    b.service("gone", [rule(dst("gone"), timeout="0.4s")], app="dead", policy={"connectionPool": {"tcp": {"connectTimeout": "0.2s"}}})
    b.raw("gone", "get", ["send", req()], ["answers", 1], timeout=4.0)
