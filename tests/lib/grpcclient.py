# SPDX-License-Identifier: Apache-2.0
"""A stock gRPC client (python3-grpcio): `grpcclient.py TARGET NAME JSON` prints what came of it, as JSON.

  calls    {n, method, message, metadata, timeout}   n calls of one channel, eight at a time:
           {"OK v1": 10, ..}, of a failure {"CODE details": n}
  ticks    {n}     a stream with a message each way every 0.1 s, n times: how many came back, and how it ended
  streams  {}      server, client and bidirectional streams, large messages: what each gave
  cancel   {}      a stream that the client ends: how the call ended
"""
import collections
import json
import sys
import time
from concurrent import futures

import grpc


def one(channel, method, message, metadata, timeout):
    call = channel.unary_unary(f"/t.T/{method}")
    try:
        return "OK " + call(message.encode(), metadata=metadata, timeout=timeout).decode().split(":")[0]
    except grpc.RpcError as e:
        return f"{e.code().name} {e.details()}"


def calls(channel, n=1, method="Who", message="x", metadata=(), timeout=10):
    with futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(one, channel, method, message, [tuple(m) for m in metadata], timeout) for _ in range(n)]
        return collections.Counter(j.result() for j in jobs)


def streams(channel):
    big = bytes(range(256)) * 4000
    call = channel.unary_unary("/t.T/Who").with_call(b"x", metadata=(("x-in", "a, b"),))
    chat = channel.stream_stream("/t.T/Chat")
    # one message after the other: each must come back before the next is said
    turns, said = [], __import__("queue").Queue()
    said.put(b"m0")
    for i, m in enumerate(chat(iter(said.get, None), timeout=10)):
        turns.append(m.decode())
        said.put(b"m%d" % (i + 1) if i < 9 else None)
    return {
        "head": {k: v for k, v in call[1].initial_metadata() if k.startswith("x-")},
        "trail": {k: v if isinstance(v, str) else v.hex() for k, v in call[1].trailing_metadata()},
        "count": len(list(channel.unary_stream("/t.T/Count")(b"500"))),
        "gather": channel.stream_unary("/t.T/Gather")(iter([big] * 8)).decode().split(":")[1],
        "chat": turns,
        "big": sum(len(m) for m in chat(iter([big] * 4))),
        "status": status(channel, "after:DATA_LOSS"),
    }


def status(channel, word):
    got = []
    try:
        for m in channel.unary_stream("/t.T/Status")(word.encode(), timeout=10):
            got.append(m.decode())
    except grpc.RpcError as e:
        got.append(f"{e.code().name} {e.details()}")
    return got


def ticks(channel, n):
    def say():
        for i in range(n):
            time.sleep(0.1)
            yield b"tick"
    seen = 0
    try:
        for _ in channel.stream_stream("/t.T/Chat")(say(), timeout=10):
            seen += 1
            print("tick", file=sys.stderr, flush=True)
    except grpc.RpcError as e:
        return {"seen": seen, "code": e.code().name}
    return {"seen": seen, "code": "OK"}


def cancel(channel):
    call = channel.stream_stream("/t.T/Chat")(iter(lambda: time.sleep(0.01) or b"tick", None), timeout=10)
    seen = 0
    try:
        for _ in call:
            seen += 1
            if seen == 5:
                call.cancel()
    except grpc.RpcError as e:
        return {"seen": seen, "code": e.code().name}
    return {"seen": seen}


target, name, args = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
options = [("grpc.enable_http_proxy", 0)]
if "authority" in args:  # whom to ask for, where the target is an address
    options.append(("grpc.default_authority", args.pop("authority")))
with grpc.insecure_channel(target, options=options) as ch:
    print(json.dumps(globals()[name](ch, **args)))
