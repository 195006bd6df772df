# SPDX-License-Identifier: Apache-2.0
"""A stock gRPC server (python3-grpcio) whose messages are bytes: no generated code.

  grpcserver.py PORT VERSION

  /t.T/Who       VERSION, then what was asked      /t.T/Count    VERSION, N times ("N")
  /t.T/Gather    VERSION and the sum of lengths    /t.T/Chat     each message back
  /t.T/Status    fails with the code that is asked, details "as asked", after a message of "after:CODE"
  /t.T/Peer      VERSION and the client's address, after so many ms
  /t.T/Slow      as Who, after so many ms          /t.T/Flaky    UNAVAILABLE, unless the metadata x-envoy-attempt-count > 1
SIGTERM: GOAWAY, the calls that are there are finished, the rest is turned away.
Metadata: x-version of the server in front, x-trail behind; x-seen: the request's x-in.
"""
import signal
import sys
import time
from concurrent import futures

import grpc

PORT, VERSION = sys.argv[1], sys.argv[2]
NAME = VERSION.encode()


def who(request, ctx):
    seen = dict(ctx.invocation_metadata()).get("x-in", "")
    ctx.send_initial_metadata((("x-version", VERSION), ("x-seen", seen)))
    ctx.set_trailing_metadata((("x-trail", VERSION), ("x-bin-bin", b"\x00\xff")))
    return NAME + b":" + request


def count(request, ctx):
    for i in range(int(request)):
        yield NAME + b":%d" % i


def gather(requests, ctx):
    return NAME + b":%d" % sum(len(r) for r in requests)


def chat(requests, ctx):
    yield from requests


def status(request, ctx):
    word = request.decode()
    if word.startswith("after:"):
        yield b"first"
        word = word[6:]
    ctx.abort(next(c for c in grpc.StatusCode if c.name == word), "as asked")


def slow(request, ctx):
    time.sleep(int(request) / 1000)
    return NAME


def peer(request, ctx):
    time.sleep(int(request) / 1000)
    return f"{VERSION} {ctx.peer()}".replace(":", " ").encode()


tries = {}


def flaky(request, ctx):
    """The first call with a key fails on every server; told apart by what is asked."""
    tries[request] = tries.get(request, 0) + 1
    if VERSION != "v2":
        ctx.abort(grpc.StatusCode.UNAVAILABLE, "not this one")
    return NAME


def handler(kind, f):
    return getattr(grpc, f"{kind}_rpc_method_handler")(f)


server = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.so_reuseport", 0)])
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", {
    "Who": handler("unary_unary", who), "Count": handler("unary_stream", count),
    "Gather": handler("stream_unary", gather), "Chat": handler("stream_stream", chat),
    "Status": handler("unary_stream", status), "Slow": handler("unary_unary", slow), "Peer": handler("unary_unary", peer),
    "Flaky": handler("unary_unary", flaky)}),))
server.add_insecure_port(f"[::]:{PORT}")
server.start()
signal.signal(signal.SIGTERM, lambda _sig, _frame: server.stop(2))
server.wait_for_termination()
