# SPDX-License-Identifier: Apache-2.0
"""The server behind both proxies: writes down every request as its bytes were, and answers as the request asks.

  recorder.py LOG ADDRESS=VERSION... PORT

The header `x-do` is a list of words, "|" between them; try number n of the request `x-diff-id` gets the n-th (or the last):

  ok           200, VERSION as body        NNN          that status           chunked      200, chunked, a trailer
  reset        a reset, no answer          close        an end, no answer     half         half of the promised body, an end
  half-reset   the same, a reset           hang         nothing               late:MS      ok after so long
  raw:BASE64   these bytes, stay           end:BASE64   these bytes, an end   early        an answer before the body is read
  h:NAME=VALUE 200 with this header        NNN;h:N=V    both                  cut          a reset as soon as the head is read
  big:N        200 with a header of N      many:N       200 with N headers
Each line of LOG: {id, version, connection, head, body, trailers, ended}.
"""
import asyncio
import base64
import collections
import json
import socket
import struct
import sys

TRIES = collections.Counter()
LOG = None
CONNECTIONS = 0


class Gone(Exception):
    pass


def fields(head):
    rows = head.decode("latin-1").split("\r\n")[1:]
    return [(k.strip().lower(), v.strip()) for k, _, v in (r.partition(":") for r in rows if r)]


async def read_body(r, h):
    if "chunked" in h.get("transfer-encoding", "").lower():
        body = b""
        while True:
            size = int((await r.readuntil(b"\r\n")).split(b";")[0], 16)
            if not size:
                break
            body += await r.readexactly(size)
            await r.readexactly(2)
        trailers = []
        while (line := await r.readuntil(b"\r\n")) != b"\r\n":
            trailers.append(line.decode("latin-1").strip())
        return body, trailers
    return await r.readexactly(int(h.get("content-length", 0))), []


def reset(w):
    w.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    w.transport.abort()
    raise Gone


async def answer(w, word, version, method):
    status, extra, body = "200", [], f"{version}\n".encode()
    for part in word.split(";"):
        kind, _, value = part.partition(":")
        if part == "reset":
            reset(w)
        if part == "close":
            raise Gone
        if part == "hang":
            await asyncio.sleep(60)
        if part in ("half", "half-reset") and method != "HEAD":
            w.write(f"HTTP/1.1 200 OK\r\nx-version: {version}\r\ncontent-length: 200\r\n\r\n".encode() + b"h" * 100)
            await w.drain()
            await asyncio.sleep(0.1)
            if part == "half":
                raise Gone
            reset(w)
        if kind in ("raw", "end"):
            w.write(base64.b64decode(value))
            await w.drain()
            if kind == "end":
                raise Gone
            return
        if part == "chunked":
            w.write(f"HTTP/1.1 200 OK\r\nx-version: {version}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
                    + (b"3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nx-trail: t\r\n\r\n" if method != "HEAD" else b""))
            return
        if kind == "late":
            await asyncio.sleep(int(value) / 1000)
        if kind == "big":
            extra.append("x-big: " + "b" * int(value))
        if kind == "many":
            extra += [f"x-{i}: {i}" for i in range(int(value))]
        if kind == "h":
            extra.append(value.replace("=", ": ", 1))
        if part.isdigit():
            status = part
    bodiless = status in ("204", "304")
    head = [f"HTTP/1.1 {status} Word", f"x-version: {version}", "x-multi: a", "X-Multi: b", *extra]
    head += [] if bodiless else [f"content-length: {len(body)}"]
    w.write(("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + (b"" if bodiless or method == "HEAD" else body))


async def serve(r, w, versions):
    global CONNECTIONS
    CONNECTIONS += 1
    me, version = CONNECTIONS, versions.get(w.get_extra_info("sockname")[0], "?")
    seen = None
    try:
        while True:
            seen = None
            head = (await r.readuntil(b"\r\n\r\n"))[:-4]
            rows = fields(head)
            h = dict(rows)
            method = head.split(b" ")[0].decode("latin-1")
            ident = h.get("x-diff-id", "")
            words = h.get("x-do", "ok").split("|")
            TRIES[ident] += 1
            word = words[min(TRIES[ident], len(words)) - 1]
            seen = {"id": ident, "version": version, "connection": me, "head": head.decode("latin-1"), "body": "",
                    "trailers": [], "ended": "cut"}
            if word == "cut":
                reset(w)
            if h.get("expect", "").lower() == "100-continue" and word != "417":
                w.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if word == "early":
                w.write(b"HTTP/1.1 413 Early\r\nx-version: v\r\ncontent-length: 0\r\n\r\n")
                await w.drain()
            body, seen["trailers"] = await read_body(r, h)
            seen["body"], seen["ended"] = body.decode("latin-1"), "whole"
            print(json.dumps(seen), file=LOG, flush=True)
            seen = None
            if h.get("upgrade", "").lower() == "websocket" and word == "ok":
                w.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n")
                while (data := await r.read(65536)):
                    w.write(data)
                raise Gone
            if word != "early":
                await answer(w, word, version, method)
            await w.drain()
            if h.get("connection", "").lower() == "close" or b" HTTP/1.0" in head.split(b"\r\n")[0]:
                raise Gone
    except (Gone, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
        if seen:
            print(json.dumps(seen), file=LOG, flush=True)
    finally:
        w.close()


async def main():
    global LOG
    LOG = open(sys.argv[1], "a")
    versions = dict(x.split("=") for x in sys.argv[2:-1])
    server = await asyncio.start_server(lambda r, w: serve(r, w, versions), "0.0.0.0", int(sys.argv[-1]),
                                        backlog=1024, limit=1 << 20)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
