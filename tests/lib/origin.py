# SPDX-License-Identifier: Apache-2.0
"""An HTTP/1.1 origin server that can do what servers should not. The path says what:

  /echo         JSON: what arrived (method, target, headers, body length and hash, trailers, connection, sequence)
  /reflect      the body back (Content-Length)        /reflect-chunked   the body back, chunked, with a trailer
  /bytes?n=N    N bytes with Content-Length           /chunked?n=N       the same, chunked
  /until-close?n=N    no framing, close ends it       /status?code=N     that status (204 and 304 without body)
  /hints        103, then 200                         /late?ms=N         answers after N ms
  /close        closes instead of answering           /reset             resets instead of answering
  /half?n=N     promises N bytes, sends half, closes  /garbage           bytes that are not HTTP
  /cut-head     closes within its head
  /twice        two answers to one request            /hang              never answers
  /two-lengths  Content-Length twice, unequal         /both-framings     Content-Length and chunked
  /bad-chunk    a chunk size that is no number        /early             answers before it has read the body
  /big-head?n=N response header block of N bytes      /ws                101, then echoes bytes
  /drip?n=N&ms=M  N bytes with Content-Length, one every M ms
  /drop-next    answers, then closes the connection without having said so
  /seen         JSON: what arrived for /echo paths, the last 1,000, and forgets it
HEAD is answered with the headers of GET. `Expect: 100-continue` gets its 100, at /refuse a 417.
PORT+1 greets before it reads anything, then echoes lines; PORT+2 echoes bytes until end of file.
"""
import argparse
import asyncio
import collections
import hashlib
import json
import logging
import socket
import struct
import urllib.parse

ARGS = None
CONNECTIONS = 0
BLOCK = bytes(range(256)) * 256  # 64 KiB
SEEN = collections.deque(maxlen=1000)


class Closed(Exception):
    pass


async def read_head(r):
    try:
        head = await r.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        raise Closed from None
    lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, version = lines[0].split(" ", 2)
    headers = [tuple(x.strip() for x in line.split(":", 1)) for line in lines[1:]]
    return method, target, version, headers


async def read_body(r, headers, sink):
    """Feeds the body to sink; returns the trailers."""
    h = {k.lower(): v for k, v in headers}
    if "chunked" in h.get("transfer-encoding", "").lower():
        while True:
            size = int((await r.readline()).split(b";")[0], 16)
            if size == 0:
                break
            sink(await r.readexactly(size))
            await r.readexactly(2)
        trailers = []
        while (line := (await r.readline()).strip()):
            trailers.append([x.strip() for x in line.decode("latin-1").split(":", 1)])
        return trailers
    left = int(h.get("content-length", 0))
    while left:
        data = await r.read(min(left, 1 << 18))
        if not data:
            raise Closed
        left -= len(data)
        sink(data)
    return []


def head(status, *fields):
    base = [f"HTTP/1.1 {status}", f"x-version: {ARGS.version}", f"x-pod: {ARGS.pod}", *fields]
    return ("\r\n".join(base) + "\r\n\r\n").encode("latin-1")


async def send_blocks(w, n, chunked=False):
    while n:
        part = BLOCK[:min(n, len(BLOCK))]
        w.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
        await w.drain()
        n -= len(part)
    if chunked:
        w.write(b"0\r\nx-trailer: done\r\n\r\n")


def reset(w):
    sock = w.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    w.transport.abort()
    raise Closed


async def websocket(r, w, headers):
    h = {k.lower(): v for k, v in headers}
    if h.get("upgrade", "").lower() != "websocket":
        w.write(head("400 Bad Request", "content-length: 0"))
        return
    w.write(head("101 Switching Protocols", "upgrade: websocket", "connection: Upgrade"))
    while (data := await r.read(65536)):
        w.write(data)
        await w.drain()
    raise Closed


async def misbehave(path, n, w):
    """Answers that no server should give. True when this was one."""
    if path == "/close":
        raise Closed
    if path == "/reset":
        reset(w)
    if path == "/hang":
        await asyncio.sleep(3600)
    if path == "/half":
        w.write(head("200 OK", f"content-length: {n}") + BLOCK[:n // 2])
        raise Closed
    fixed = {
        "/cut-head": b"HTTP/1.1 200 OK\r\nx-a: ",
        "/garbage": b"\x00\x01\xffthis is not HTTP\r\n\r\n",
        "/twice": head("200 OK", "content-length: 5") + b"first" + head("200 OK", "content-length: 6") + b"second",
        "/two-lengths": head("200 OK", "content-length: 5", "content-length: 6") + b"first!",
        "/both-framings": head("200 OK", "content-length: 5", "transfer-encoding: chunked") + b"5\r\nfirst\r\n0\r\n\r\n",
        "/bad-chunk": head("200 OK", "transfer-encoding: chunked") + b"zz\r\nfirst\r\n0\r\n\r\n",
    }.get(path)
    if fixed is None:
        return False
    w.write(fixed)
    await w.drain()
    if path in ("/cut-head", "/garbage", "/bad-chunk"):
        raise Closed
    return True


async def answer(method, path, q, seen, body, w):
    n = int(q.get("n", 0))
    if await misbehave(path, n, w):
        return
    if path == "/late":
        await asyncio.sleep(int(q["ms"]) / 1000)
    if path == "/hints":
        w.write(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n")
        await w.drain()
        await asyncio.sleep(0.05)
    if path.startswith("/echo"):
        SEEN.append(seen)
    if path == "/seen":
        seen = list(SEEN)
        SEEN.clear()
    text = (json.dumps(seen) if path in ("/echo", "/seen") else f"{ARGS.version} {ARGS.pod}") + "\n"
    data = body if path == "/reflect" else text.encode()
    if path == "/status":
        code = int(q["code"])
        if code in (204, 304):
            w.write(head(f"{code} Nothing"))
            return
        w.write(head(f"{code} As Asked", f"content-length: {len(data)}") + data)
    elif path == "/bytes":
        w.write(head("200 OK", f"content-length: {n}"))
        if method != "HEAD":
            await send_blocks(w, n)
    elif path == "/drip":
        w.write(head("200 OK", f"content-length: {n}"))
        for _ in range(n):
            w.write(b"x")
            await w.drain()
            await asyncio.sleep(int(q["ms"]) / 1000)
    elif path in ("/chunked", "/reflect-chunked"):
        w.write(head("200 OK", "transfer-encoding: chunked", "trailer: x-trailer"))
        if method == "HEAD":
            return
        if path == "/chunked":
            await send_blocks(w, n, chunked=True)
        else:
            for i in range(0, len(body), 1000):
                part = body[i:i + 1000]
                w.write(b"%x\r\n%s\r\n" % (len(part), part))
            w.write(b"0\r\nx-trailer: done\r\n\r\n")
    elif path == "/until-close":
        w.write(head("200 OK", "connection: close"))
        await send_blocks(w, n)
        await w.drain()
        raise Closed
    elif path == "/big-head":
        w.write(head("200 OK", "x-big: " + "b" * n, f"content-length: {len(data)}") + data)
    else:
        w.write(head("200 OK", f"content-length: {len(data)}") + (b"" if method == "HEAD" else data))
        if path == "/drop-next":
            await w.drain()
            raise Closed


async def http(r, w):
    global CONNECTIONS
    CONNECTIONS += 1
    conn, seq = CONNECTIONS, 0
    peer = w.get_extra_info("peername")
    try:
        while True:
            method, target, version, headers = await read_head(r)
            seq += 1
            url = urllib.parse.urlsplit(target)
            q = dict(urllib.parse.parse_qsl(url.query))
            h = {k.lower(): v for k, v in headers}
            if url.path == "/ws":
                await websocket(r, w, headers)
                continue
            if h.get("expect", "").lower() == "100-continue":
                if url.path == "/refuse":
                    w.write(head("417 Expectation Failed", "content-length: 0", "connection: close"))
                    raise Closed
                w.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if url.path == "/early":
                w.write(head("200 OK", "content-length: 5") + b"early")
            digest, kept, size = hashlib.sha256(), bytearray(), 0

            def sink(data):
                nonlocal size
                size += len(data)
                digest.update(data)
                if url.path.startswith("/reflect"):
                    kept.extend(data)
            trailers = await read_body(r, headers, sink)
            seen = {"version": ARGS.version, "pod": ARGS.pod, "method": method, "target": target,
                    "http": version, "headers": headers, "body": size, "sha256": digest.hexdigest(),
                    "trailers": trailers, "connection": conn, "sequence": seq, "peer": peer[0]}
            if url.path != "/early":
                await answer(method, url.path, q, seen, bytes(kept), w)
            await w.drain()
            if version == "HTTP/1.0" or h.get("connection", "").lower() == "close":
                raise Closed
    except (Closed, ConnectionError, asyncio.IncompleteReadError):
        pass
    except Exception as e:  # a request that is not HTTP reached us: say so, the test greps for it
        print(f"origin {ARGS.pod}: bad input on connection {conn}: {e!r}", flush=True)
    finally:
        w.close()


async def greeter(r, w):
    w.write(f"220 {ARGS.version} {ARGS.pod} ready\r\n".encode())
    try:
        while (line := await r.readline()):
            w.write(b"you said " + line)
            await w.drain()
    except ConnectionError:
        pass
    w.close()


async def echo(r, w):
    try:
        while (data := await r.read(65536)):
            w.write(data)
            await w.drain()
        w.write(f"bye from {ARGS.version}".encode())
    except ConnectionError:
        pass
    w.close()


async def forward_proxy(r, w):
    """CONNECT host:port: says who it is, then bytes both ways. A port of 1 is forbidden."""
    async def pump(a, b):
        while (data := await a.read(65536)):
            b.write(data)
            await b.drain()
        b.write_eof()
    try:
        method, target, version, headers = await read_head(r)
        host, port = target.rsplit(":", 1)
        if method != "CONNECT" or dict(headers).get("Host") != target or port == "1":
            w.write(head("403 Forbidden", "content-length: 0"))
        else:
            up_r, up_w = await asyncio.open_connection(host.strip("[]"), int(port))
            w.write(head("200 OK") + f"through {ARGS.version}: ".encode())
            await asyncio.gather(pump(r, up_w), pump(up_r, w))
    except (Closed, ConnectionError, asyncio.IncompleteReadError):
        pass
    w.close()


async def main():
    global ARGS
    p = argparse.ArgumentParser()
    p.add_argument("--port", type=int, default=9000)
    p.add_argument("--version", default="v1")
    p.add_argument("--pod", default="pod")
    ARGS = p.parse_args()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # of clients that went away in the middle
    servers = []
    for off, handler in ((0, http), (1, greeter), (2, echo), (3, forward_proxy)):
        servers.append(await asyncio.start_server(handler, None, ARGS.port + off, backlog=4096, limit=1 << 20))
    await asyncio.gather(*(s.serve_forever() for s in servers))


if __name__ == "__main__":
    asyncio.run(main())
