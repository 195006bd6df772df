# SPDX-License-Identifier: Apache-2.0
"""Clients that run inside an enrolled process (puppet.py): each function is called by name from a test with
JSON arguments and returns JSON. Bodies travel as latin-1 text."""
import collections
import hashlib
import select
import socket
import struct
import threading
import time

from chaos import storm  # noqa: F401, called by name
from echoes import echo, echo_end, echo_late, echo_storm  # noqa: F401, the same
from http1 import Broken, Conn, chunked, request

KEPT = {}  # connections that stay open between calls, by name


def ping():
    return "pong"


def exchange(host, port, requests, name=None, timeout=5.0, blocking=False, pieces=0, delay=0.0):
    """Sends each request on one connection and reads its response before the next: a list of responses.
    A request is {method, target, host, headers, body, raw}. With `name` the connection stays open for more."""
    conn = KEPT.pop(name, None) if name else None
    conn = conn or Conn(host, port, timeout, blocking)
    out = []
    for r in requests:
        method = r.get("method", "GET")
        data = r["raw"].encode("latin-1") if "raw" in r else request(
            method, r.get("target", "/"), r.get("host", host), r.get("headers", ()),
            r.get("body", "").encode("latin-1"))
        conn.send(data, pieces, delay)
        out.append(conn.response(method).as_dict())
    if name:
        KEPT[name] = conn
    else:
        conn.close()
    return out


def hang_up(name):
    KEPT.pop(name).close()


def is_closed(name, wait=2.0):
    return KEPT[name].ended(wait)


def _everything(conn):
    """Until the peer closes or is silent: (bytes, closed, error)."""
    out = conn.buf
    try:
        while (part := conn.sock.recv(65536)):
            out += part
        return out, True, None
    except (socket.timeout, BlockingIOError):
        return out, False, None
    except OSError as e:
        return out, True, e.__class__.__name__


def raw(host, port, data, pieces=0, delay=0.0, timeout=5.0, half_close=False, blocking=False, late=0.0):
    """Sends bytes, then (`late` seconds later) reads until the peer closes or is silent for `timeout`:
    {data, closed, error}."""
    conn = Conn(host, port, timeout, blocking)
    return _send_and_drain(conn, data, pieces, delay, half_close, late)


def send_kept(name, data, timeout=5.0):
    """raw() on a connection that exchange(name=...) kept; it is closed afterwards."""
    conn = KEPT.pop(name)
    conn.sock.settimeout(timeout)
    return _send_and_drain(conn, data)


def _send_and_drain(conn, data, pieces=0, delay=0.0, half_close=False, late=0.0):
    error = None
    try:
        conn.send(data.encode("latin-1"), pieces, delay)
        if half_close:
            conn.sock.shutdown(socket.SHUT_WR)
    except OSError as e:  # refused before all was sent: what was answered counts
        error = e.__class__.__name__
    time.sleep(late)
    out, closed, why = _everything(conn)
    conn.close()
    return {"data": out.decode("latin-1"), "closed": closed, "error": why or error}


def pipelined(host, port, requests, timeout=5.0, at_once=True):
    """All requests in one write (or one write each), then all responses in order."""
    conn = Conn(host, port, timeout)
    data = [request(r.get("method", "GET"), r["target"], r.get("host", host), r.get("headers", ()),
                    r.get("body", "").encode("latin-1")) for r in requests]
    for part in [b"".join(data)] if at_once else data:
        conn.send(part)
    out = [conn.response(r.get("method", "GET")).as_dict() for r in requests]
    conn.close()
    return out


def count(host, port, total, connections=4, headers=(), vhost=None, target="/", by="x-version", timeout=5.0):
    """`total` requests spread over keep-alive connections: how often each value of the header `by` and each
    status came, and the errors."""
    seen, statuses, errors = collections.Counter(), collections.Counter(), collections.Counter()
    data = request("GET", target, vhost or host, headers)
    conns = [None] * connections
    for i in range(total):
        k = i % connections
        try:
            conns[k] = conns[k] or Conn(host, port, timeout)
            conns[k].send(data)
            r = conns[k].response()
            seen[r.get(by)] += 1
            statuses[str(r.status)] += 1
            if (r.get("connection") or "").lower() == "close":
                conns[k].close()
                conns[k] = None
        except (Broken, OSError) as e:
            errors[repr(e)[:200]] += 1
            conns[k] = None
    for c in conns:
        if c:
            c.close()
    return {"seen": {str(k): v for k, v in seen.items()}, "status": dict(statuses), "errors": dict(errors)}


def probe(host, port, seconds, vhost=None):
    """One request after the other on one connection: [[sent, answered (CLOCK_MONOTONIC), x-version], ...]."""
    conn, data, out = Conn(host, port, 5.0), request("GET", "/", vhost or host, ()), []
    end = time.monotonic() + seconds
    while (sent := time.monotonic()) < end:
        conn.send(data)
        r = conn.response()
        out.append([sent, time.monotonic(), r.get("x-version") if r.status == 200 else str(r.status)])
    conn.close()
    return out


def busy(host, port, seconds, connections=8, vhost=None, timeout=5.0):
    """Every connection at once, each with one request after the other: how often each status came, and the errors."""
    statuses, errors = collections.Counter(), collections.Counter()
    until = time.monotonic() + seconds

    def one(k):
        conn = Conn(host, port, timeout)
        try:
            for i in range(1 << 30):
                if time.monotonic() > until:
                    break
                conn.send(request("GET", f"/{k}/{i}", vhost or host))
                statuses[str(conn.response().status)] += 1
                if conn.buf:
                    raise Broken(f"bytes after the answer: {conn.buf[:200]!r}")
        except (Broken, OSError) as e:
            errors[repr(e)[:200]] += 1
        conn.close()
    threads = [threading.Thread(target=one, args=(k,)) for k in range(connections)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return {"status": dict(statuses), "errors": dict(errors)}


def upload(host, port, size, target="/echo", vhost=None, as_chunks=False, expect=False, timeout=30.0, blocking=False):
    """Sends `size` bytes and compares what the server says it saw with what was sent."""
    conn = Conn(host, port, timeout, blocking)
    block = bytes(i * 7 % 251 for i in range(65536))
    framing = [("Transfer-Encoding", "chunked")] if as_chunks else [("Content-Length", str(size))]
    conn.send(request("POST", target, vhost or host, framing + ([("Expect", "100-continue")] if expect else [])))
    waited = None
    if expect:
        waited = conn.head()[0]
        if waited != 100:
            conn.close()
            return {"expect": waited}
    digest, left = hashlib.sha256(), size
    while left:
        part = block[:min(left, len(block))]
        digest.update(part)
        conn.sock.sendall(b"%x\r\n%s\r\n" % (len(part), part) if as_chunks else part)
        left -= len(part)
    if as_chunks:
        conn.sock.sendall(b"0\r\n\r\n")
    r = conn.response("POST")
    conn.close()
    return {"expect": waited, "sha256": digest.hexdigest(), **r.as_dict()}


def download(host, port, target, vhost=None, rate=0, rcvbuf=0, limit=0, pause=0.0, timeout=10.0, blocking=False,
             headers=()):
    """Reads a large response, at most `rate` bytes a second; {status, bytes, sha256, seconds}. With `limit`
    only so many bytes, then it goes away. `pause`: seconds before it reads the body."""
    conn = Conn(host, port, timeout, blocking, rcvbuf)
    conn.send(request("GET", target, vhost or host, headers))
    status, headers = conn.head()
    size = int(dict((k.lower(), v) for k, v in headers)["content-length"])
    want = min(size, limit or size)
    time.sleep(pause)
    digest, got, start = hashlib.sha256(), 0, time.monotonic()
    while got < want:
        if not conn.buf:
            conn.fill()
        part, conn.buf = conn.buf[:want - got], conn.buf[want - got:]
        digest.update(part)
        got += len(part)
        if rate and got / rate > time.monotonic() - start:
            time.sleep(max(0.0, got / rate - (time.monotonic() - start)))
    conn.close()
    return {"status": status, "size": size, "bytes": got, "sha256": digest.hexdigest(),
            "seconds": time.monotonic() - start}


def crosstalk(host, port, connections, rounds, vhost=None, headers=(), seed=0, timeout=30.0, body=100):
    """`connections` sockets at once, each posts bodies with its own id to /reflect and compares what returns.
    {answers, wrong: [...], errors: {...}}: an answer that belongs to another connection is in `wrong`."""
    class One:
        pass
    poll = select.epoll()
    ones, wrong, errors, answers = {}, [], collections.Counter(), 0
    data_for = {}
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for i in range(connections):
        s = socket.socket(family, socket.SOCK_STREAM)
        s.setblocking(False)
        try:
            s.connect((host, port))
        except BlockingIOError:
            pass
        except OSError as e:
            errors[f"connect {e!r}"] += 1
            s.close()
            continue
        o = One()
        o.sock, o.id, o.round, o.buf, o.out = s, i, 0, b"", None
        ones[s.fileno()] = o
        poll.register(s, select.EPOLLOUT)

    def next_request(o):
        text = f"id={seed}.{o.id}.{o.round};"
        want = (text * (1 + (body + 13 * o.id % 97) // len(text))).encode()
        data_for[o.id] = want
        h = [(k, v.replace("%", str((o.id + o.round) % 7))) for k, v in headers]
        o.out = request("POST", f"/reflect?{o.id}.{o.round}", vhost or host, h, want)

    def drop(o, why=None):
        if why:
            errors[why] += 1
        poll.unregister(o.sock)
        del ones[o.sock.fileno()]
        o.sock.close()

    deadline = time.monotonic() + timeout
    while ones and time.monotonic() < deadline:
        for fd, ev in poll.poll(1):
            o = ones.get(fd)
            if not o:
                continue
            try:
                if ev & select.EPOLLOUT:
                    if o.out is None:
                        next_request(o)
                    n = o.sock.send(o.out)
                    o.out = o.out[n:]
                    if not o.out:
                        poll.modify(o.sock, select.EPOLLIN)
                    continue
                part = o.sock.recv(65536)
                if not part:
                    drop(o, "closed")
                    continue
                o.buf += part
                got = _complete(o.buf)
                if got is None:
                    continue
                status, reply, o.buf = got
                answers += 1
                if status != 200 or reply != data_for[o.id] or o.buf:
                    wrong.append([o.id, o.round, status, reply[:60].decode("latin-1")])
                o.round += 1
                if o.round == rounds:
                    drop(o)
                else:
                    o.out = None
                    poll.modify(o.sock, select.EPOLLOUT)
            except OSError as e:
                drop(o, repr(e)[:100])
    for o in list(ones.values()):
        drop(o, f"unanswered after {timeout} s")
    return {"answers": answers, "wrong": wrong[:10], "wrong_count": len(wrong), "errors": dict(errors)}


def _complete(buf):
    """(status, body, rest) of a response with Content-Length, None when it is not all there."""
    end = buf.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = buf[:end].decode("latin-1").split("\r\n")
    n = next((int(x.split(":")[1]) for x in lines[1:] if x.lower().startswith("content-length:")), 0)
    if len(buf) < end + 4 + n:
        return None
    return int(lines[0].split(" ")[1]), buf[end + 4:end + 4 + n], buf[end + 4 + n:]


def websocket(host, port, vhost=None, messages=20, size=5000, blocking=False):
    """An upgrade, then bytes both ways as they come. True when every byte returned in order."""
    conn = Conn(host, port, blocking=blocking)
    conn.send(request("GET", "/ws", vhost or host, [("Connection", "Upgrade"), ("Upgrade", "websocket"),
                                                    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")]))
    r = conn.response()
    if r.status != 101:
        return {"status": r.status, "same": False}
    same = True
    for i in range(messages):
        data = struct.pack(">I", i) + bytes((i + j) % 256 for j in range(size))
        conn.send(data)
        same = same and conn.exactly(len(data)) == data
    conn.close()
    return {"status": 101, "same": same, "version": r.get("x-version")}


def greeting(host, port, blocking=False, timeout=5.0):
    """A server that speaks first: (its line, seconds it took, the answer to ours)."""
    start = time.monotonic()
    conn = Conn(host, port, timeout, blocking)
    first = conn.line()
    seconds = time.monotonic() - start
    conn.send(b"hello\r\n")
    second = conn.line()
    conn.close()
    return [first, seconds, second]


def tcp_echo(host, port, size, blocking=False):
    """Bytes through the TCP echo and back, then our end of file: {same, bye}."""
    conn = Conn(host, port, blocking=blocking)
    block = bytes((i * 31 + 7) % 256 for i in range(16384))
    same, left = True, size
    while left:
        part = block[:min(left, len(block))]
        conn.send(part)
        same = same and conn.exactly(len(part)) == part
        left -= len(part)
    conn.sock.shutdown(socket.SHUT_WR)
    bye = conn.until_close()
    conn.close()
    return {"same": same, "bye": bye.decode("latin-1")}


def post_chunked(host, port, body, vhost=None, size=1000, trailers=(), target="/echo", pieces=0, delay=0.0):
    conn = Conn(host, port)
    head = request("POST", target, vhost or host, [("Transfer-Encoding", "chunked")]
                   + ([("Trailer", ", ".join(k for k, _ in trailers))] if trailers else []))
    conn.send(head + chunked(body.encode("latin-1"), size, trailers), pieces, delay)
    r = conn.response("POST").as_dict()
    conn.close()
    return r


def resolve(name, family="4"):
    """The addresses that getaddrinfo gives, or the error's name."""
    try:
        rows = socket.getaddrinfo(name, 80, socket.AF_INET6 if family == "6" else socket.AF_INET,
                                  socket.SOCK_STREAM)
    except socket.gaierror as e:
        return [f"error {e.errno}"]
    return sorted({r[4][0] for r in rows})


def connect(host, port, timeout=2.0):
    """What a plain connect gets: "ok" or the error's name."""
    try:
        Conn(host, port, timeout).close()
        return "ok"
    except OSError as e:
        return e.__class__.__name__


def keep(name, host, port, timeout=5.0):
    """Opens a connection and keeps it, silent."""
    KEPT[name] = Conn(host, port, timeout)


def ask_and_leave(host, port, vhost, target="/hang", how="close", blocking=False):
    """Asks for what does not come. "close": hangs up at once; "half": only shuts its own side; "late": that, then closes."""
    conn = Conn(host, port, blocking=blocking)
    conn.send(request("GET", target, vhost))
    time.sleep(0.1)
    if how != "close":
        conn.sock.shutdown(socket.SHUT_WR)
    if how == "half":
        KEPT[vhost] = conn
        return
    if how == "late":
        time.sleep(0.1)
    conn.close()


def urgent(host, port, data, at, vhost=None, after="", timeout=2.0):
    """raw(), with a byte of `data` sent as urgent data (MSG_OOB), then `after` in a send of its own."""
    conn = Conn(host, port, timeout)
    b = data.encode("latin-1")
    error = None
    try:
        conn.sock.send(b[:at + 1], socket.MSG_OOB)
        if b[at + 1:]:
            conn.sock.send(b[at + 1:])
        if after:
            time.sleep(0.2)
            conn.sock.send(after.encode("latin-1"))
    except OSError as e:
        error = e.__class__.__name__
    out, closed, why = _everything(conn)
    conn.close()
    return {"data": out.decode("latin-1"), "closed": closed, "error": why or error}
