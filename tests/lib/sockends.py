# SPDX-License-Identifier: Apache-2.0
"""Both ends of TCP connections in one process, and what a program can see of them.

  sockends.py [--proxied] [--http HOST] [--early OPTION] LISTEN-PORT HOST PORT CASE...

Listens on LISTEN-PORT, connects to HOST:PORT (which leads there), warms the connection up, plays the case, prints one JSON
line: {case: what was seen}. Nothing in what is seen may depend on how the bytes travel: the caller compares a run whose
connections skip TCP with one of plain TCP. --http: what a case sends is the body of a request to HOST, and of its answer.
--proxied: somebody is in between for good. --early: an option of the listener, and of clients before they connect. All
sockets are non-blocking, as everything is that may skip TCP.
"""
import argparse
import errno
import hashlib
import json
import os
import select
import socket
import struct
import tempfile
import threading
import time

import rareends
from ends import CASES, End, case, pattern
from meeting import Http, Meeting, Opaque

# ---- ends of streams ----

@case
def half_close(c, s):
    """What was sent comes before the end; the other direction goes on; sending after it is refused."""
    c.send(pattern(200_000))
    c.shut()
    try:
        c.sock.send(b"x")
        refused = "no"
    except OSError as e:
        refused = errno.errorcode[e.errno]
    got = s.digest()
    s.send(b"still here")
    answer = c.exactly(10).decode()
    s.close()
    return [got, refused, answer, c.recv().__len__()]


@case
def half_close_slow_reader(c, s):
    """The end comes behind 3 MB, however slowly they are read."""
    out = []
    for a, b in ((c, s), (s, c)):
        a.sock.setblocking(False)
        left = memoryview(pattern(3_000_000))
        h, n = hashlib.sha256(), 0
        while left or n < 3_000_000:
            while left:
                try:
                    left = left[a.sock.send(left):]
                except BlockingIOError:
                    break
            if not left:
                a.shut()
                break
            part = b.recv(20_000)
            if isinstance(part, str):
                return [n, part]
            h.update(part)
            n += len(part)
        while True:
            part = b.recv(20_000)
            if isinstance(part, str) or not part:
                break
            h.update(part)
            n += len(part)
            if n % 7 == 0:
                time.sleep(0.001)
        out.append([n, h.hexdigest()[:16], part or "end"])
    return out


@case
def late_reader_end(c, s):
    """All is sent and shut before the first byte is read."""
    out = []
    for a, b in ((c, s), (s, c)):
        sent = 0
        view = memoryview(pattern(2_000_000))
        while sent < len(view):
            try:
                sent += a.sock.send(view[sent:])
            except BlockingIOError:
                break
        a.shut()
        time.sleep(0.05)
        n, h, end = b.digest(0.002)
        out.append([n == sent, h == hashlib.sha256(view[:sent]).hexdigest()[:16], end])
    return out


@case
def close_after_answer(c, s):
    """close() behind a long answer: all of it, then the end."""
    c.send(b"?")
    s.exactly(1)
    data, sent = memoryview(pattern(1_500_000)), 0
    out = bytearray()
    while sent < len(data):
        try:
            sent += s.sock.send(data[sent:])
        except BlockingIOError:
            out += c.recv()
    s.close()
    while isinstance(part := c.recv(), bytes) and part:
        out += part
    return [len(out), bytes(out) == bytes(data), part if isinstance(part, str) else "end"]


@case
def linger_zero(c, s):
    """SO_LINGER 0: the peer sees a reset, in its next read and in poll."""
    c.close(reset=True)
    events = s.wait(select.POLLIN | select.POLLRDHUP)
    return [bool(events & select.POLLHUP), bool(events & select.POLLERR), s.recv()]


@case
def server_resets(c, s):
    s.close(reset=True)
    got = c.recv()
    try:
        c.sock.send(b"x")
        then = "sent"
    except OSError as e:
        then = errno.errorcode[e.errno]
    return [got, then]


@case
def close_with_unread(c, s):
    """Closing with unread bytes: plain TCP resets (RFC 2525 2.17), what skipped TCP is dropped and the end is an ordinary
    one: either is an end at once, and what the other sends then is refused."""
    c.send(b"never read")
    s.wait(select.POLLIN)
    s.close()
    got = c.recv()
    time.sleep(0.02)
    refused = 0
    for _ in range(3):
        try:
            c.sock.send(b"x")
        except OSError:
            refused += 1
        time.sleep(0.02)
    return [got in (b"", "ECONNRESET"), refused > 0]


@case
def both_shut(c, s):
    c.send(b"a")
    s.send(b"b")
    c.shut()
    s.shut()
    return [s.exactly(1).decode(), c.exactly(1).decode(), len(s.recv()), len(c.recv())]


# ---- reading ----

@case
def peek_and_count(c, s):
    """MSG_PEEK takes nothing; FIONREAD is exact, also after a part was read."""
    out = []
    for a, b in ((c, s), (s, c)):
        a.send(pattern(5000))
        b.wait(select.POLLIN)
        out += [b.unread(), len(b.recv(9000, socket.MSG_PEEK)), b.unread(), len(b.recv(1000)), b.unread(),
                len(b.exactly(4000)), b.unread()]
        try:
            b.sock.recv(1)
        except BlockingIOError:
            out.append("EAGAIN")
    return out


@case
def timeouts(c, s):
    """SO_RCVTIMEO says nothing to a non-blocking read; a read with a deadline ends with it."""
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50_000))
    start = time.monotonic()
    first = c.recv(timeout=0.05)
    waited = 0.04 < time.monotonic() - start < 1.5
    s.send(b"late")
    return [first, waited, c.exactly(4).decode()]


def events_of(ep, timeout=1.0):
    return [e for _, e in ep.poll(timeout)]


@case
def epoll_level(c, s):
    out = []
    for a, b in ((c, s), (s, c)):
        ep = select.epoll()
        ep.register(b.sock, select.EPOLLIN)
        for _ in range(5):
            a.send(b"0123456789")
            out.append([events_of(ep), events_of(ep, 0), len(b.recv(4)), events_of(ep, 0), len(b.exactly(6)), events_of(ep, 0)])
    return out


@case
def epoll_edge(c, s):
    """One edge for each message that finds the reader waiting; writable once."""
    out = []
    for a, b in ((c, s), (s, c)):
        ep = select.epoll()
        ep.register(b.sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        out.append(events_of(ep))
        for _ in range(5):
            a.send(b"x" * 100)
            got = events_of(ep)
            out.append([bool(got and got[0] & select.EPOLLIN), len(b.exactly(100)), events_of(ep, 0)])
    return out


@case
def epoll_end(c, s):
    """EPOLLRDHUP with the peer's FIN, EPOLLHUP when both are shut."""
    ep = select.epoll()
    ep.register(s.sock, select.EPOLLIN | select.EPOLLRDHUP)
    c.send(b"last")
    first = events_of(ep)
    c.shut()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and not (events_of(ep, 0.05) or [0])[0] & select.EPOLLRDHUP:
        pass
    second = events_of(ep)
    data = s.exactly(4).decode()
    s.shut()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and not (events_of(ep, 0.05) or [0])[0] & select.EPOLLHUP:
        pass
    return [first, second, data, events_of(ep)]


# ---- sending ----

@case
def gathered(c, s):
    """writev with many parts, MSG_MORE, TCP_CORK: the same stream."""
    out = []
    for a, b in ((c, s), (s, c)):
        a.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        n = a.sock.sendmsg([pattern(k + 1) for k in range(100)])
        out.append([n, hashlib.sha256(b.exactly(n)).hexdigest()[:16]])
        a.send(b"more ", socket.MSG_MORE)
        a.send(b"and ", socket.MSG_MORE)
        a.send(b"end")
        out.append(b.exactly(12).decode())
        a.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        a.send(b"corked ")
        a.send(b"bytes")
        a.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        out.append(b.exactly(12).decode())
    return out


@case
def sendfile(c, s):
    out = []
    with tempfile.TemporaryFile() as f:
        f.write(pattern(400_000))
        f.flush()
        for a, b in ((c, s), (s, c)):
            sent, got = 0, bytearray()
            while sent < 400_000:
                try:
                    sent += os.sendfile(a.sock.fileno(), f.fileno(), sent, 400_000 - sent)
                except BlockingIOError:
                    got += b.recv()
            got += b.exactly(400_000 - len(got))
            out.append([sent, bytes(got) == pattern(400_000)])
    return out


@case
def full_then_writable(c, s):
    """A writer that meets EAGAIN gets an event once the reader reads; every byte comes."""
    out = []
    for a, b in ((c, s), (s, c)):
        ep = select.epoll()
        ep.register(a.sock, select.EPOLLOUT | select.EPOLLET)
        events_of(ep)
        sent, got, h, stuck = 0, 0, hashlib.sha256(), 0
        data = memoryview(pattern(30_000_000))
        while sent < len(data):
            try:
                sent += a.sock.send(data[sent:sent + 200_000])
            except BlockingIOError:
                stuck += 1
                while got < sent:
                    part = b.recv(1 << 20)
                    h.update(part)
                    got += len(part)
                if not events_of(ep, 3.0):
                    return ["no event", sent]
        while got < sent:
            part = b.recv(1 << 20)
            h.update(part)
            got += len(part)
        out.append([got, h.digest() == hashlib.sha256(data).digest(), stuck > 0])
    return out


@case
def both_ways_at_once(c, s):
    """Each end writes 8 MB while it reads the other's."""
    ends = {c.sock.fileno(): (c, s), s.sock.fileno(): (s, c)}
    data = memoryview(pattern(8_000_000))
    sent = dict.fromkeys(ends, 0)
    seen = {fd: [0, hashlib.sha256()] for fd in ends}
    p = select.poll()
    for fd in ends:
        p.register(fd, select.POLLIN | select.POLLOUT)
    deadline = time.monotonic() + 20
    while any(v[0] < len(data) for v in seen.values()) and time.monotonic() < deadline:
        for fd, ev in p.poll(1000):
            a = ends[fd][0]
            if ev & select.POLLIN:
                part = a.sock.recv(100_000)
                seen[fd][0] += len(part)
                seen[fd][1].update(part)
            if ev & select.POLLOUT:
                if sent[fd] == len(data):
                    p.modify(fd, select.POLLIN)
                    continue
                try:
                    sent[fd] += a.sock.send(data[sent[fd]:sent[fd] + 70_000])
                except BlockingIOError:
                    pass
    want = hashlib.sha256(data).hexdigest()
    return [[v[0], v[1].hexdigest() == want] for v in seen.values()]


@case
def two_writers(c, s):
    """Two threads write on each socket at once: every record arrives whole, those of a thread in order."""
    records = 3000

    def write(end, thread):
        for i in range(records):
            end.send(struct.pack(">II", thread, i) + bytes([thread]) * (i % 50))

    def read(end):
        buf, at, nexts = bytearray(), 0, [0, 0]
        while sum(nexts) < 2 * records:
            if len(buf) - at < 8:
                del buf[:at]
                at = 0
                part = end.recv()
                if isinstance(part, str) or not part:
                    return f"{part or 'end'} after {nexts}"
                buf += part
                continue
            thread, i = struct.unpack_from(">II", buf, at)
            if thread > 1 or i != nexts[thread]:
                return f"record {thread}.{i}, not {nexts}"
            if len(buf) - at < 8 + i % 50:
                buf += end.recv()
                continue
            if buf[at + 8:at + 8 + i % 50] != bytes([thread]) * (i % 50):
                return f"record {thread}.{i} is broken"
            nexts[thread] += 1
            at += 8 + i % 50
        return nexts
    out = {}
    threads = [threading.Thread(target=write, args=(end, t)) for end in (c, s) for t in (0, 1)]
    threads += [threading.Thread(target=lambda k=k, end=end: out.update({k: read(end)})) for k, end in (("c", c), ("s", s))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return [out["c"], out["s"]]


@case
def every_size(c, s):
    """0 B to 10 MB, each way, in turn."""
    out = []
    for n in (0, 1, 2, 100, 1460, 16384, 65536, 65537, 300_000, 1 << 20, 10_000_000, 3):
        for a, b in ((c, s), (s, c)):
            data, sent, got = memoryview(pattern(n)), 0, bytearray()
            while sent < n:
                try:
                    sent += a.sock.send(data[sent:])
                except BlockingIOError:
                    got += b.recv()
            rest = b.exactly(n - len(got))
            out.append(rest if isinstance(rest, str) else bytes(got + rest) == bytes(data))
    return out


@case
def keepalive(c, s):
    """An idle connection with keepalive stays, and its settings are what was set."""
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    time.sleep(1.2)
    c.send(b"ping")
    return [s.exactly(4).decode(), c.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)]


@case
def names(c, s):
    """Both know who they talk to, and nothing went wrong."""
    return [c.sock.getpeername()[1] == s.sock.getsockname()[1], c.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)]


# ---- before accept() ----

def early(f):
    """A case of a Meeting: it makes its connections itself."""
    f.early = True
    return case(f)


@early
def late_accept(m):
    """What was sent, and the end of it, before the server accepts: all of it, in order, then what comes after."""
    out = []
    for then in ("goes on", "shuts", "closes"):
        c = End(socket.socket(m.family, socket.SOCK_STREAM))
        c.sock.connect_ex(m.to)
        mine = m.protocol.hello(c)
        for n in (1, 20_000, 30_000):
            c.send(pattern(n))
        if then == "shuts":
            c.shut()
        elif then == "closes":
            c.close()
        time.sleep(0.05)
        s = m.accept(mine)
        got = [s.exactly(n) == pattern(n) for n in (1, 20_000, 30_000)]
        if then == "goes on":
            c.send(b"more")
            s.send(b"answer")
            got += [s.exactly(4), c.exactly(6)]
            c.close()
        out.append([then, got, s.digest()])
        s.close()
    return out


@early
def never_accepted(m):
    """A client that writes until it must wait, before it is accepted: everything comes, in order."""
    c = End(socket.socket(m.family, socket.SOCK_STREAM))
    c.sock.connect_ex(m.to)
    mine = m.protocol.hello(c)
    c.wait(select.POLLOUT)
    data, sent = memoryview(pattern(20_000_000)), 0
    while c.wait(select.POLLOUT, 0.1) and sent < len(data):
        try:
            sent += c.sock.send(data[sent:sent + 100_000])
        except BlockingIOError:
            pass
    s = m.accept(mine)
    c.shut()
    n, h, end = s.digest()
    c.close()
    return [sent < len(data), n == sent, h == hashlib.sha256(data[:sent]).hexdigest()[:16], end]


OPTIONS = {"zerocopy": (socket.SOL_SOCKET, rareends.SO_ZEROCOPY), "oobinline": (socket.SOL_SOCKET, socket.SO_OOBINLINE),
           "deferred": (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT)}


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("--proxied", action="store_true")
    p.add_argument("--http", metavar="HOST")
    p.add_argument("--early", choices=OPTIONS, action="append", default=[])
    p.add_argument("port", type=int)
    p.add_argument("host")
    p.add_argument("to", type=int)
    p.add_argument("cases", nargs="*")
    a = p.parse_args()
    m = Meeting(a.port, a.host, a.to, Http(a.http) if a.http else Opaque(), [OPTIONS[o] for o in a.early])
    m.learn(a.proxied)
    seen = {name: m.play(name) for name in a.cases or CASES}
    print(json.dumps(seen, default=lambda b: b.decode("latin-1")), flush=True)


if __name__ == "__main__":
    main()
