# SPDX-License-Identifier: Apache-2.0
"""A client for a bad day: many connections whose requests go every way there is, each body with its own id and
compared, while some clients cut their requests and answers short. Edge-triggered, non-blocking."""
import collections
import random
import select
import socket
import struct
import time

from http1 import chunked, request

KINDS = "nmblrspBC"


def parse(buf):
    """(status, body, rest, closes) of a complete response, None when it is not all there."""
    end = buf.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = buf[:end].decode("latin-1").lower().split("\r\n")
    status = int(lines[0].split(" ")[1])
    closes = "connection: close" in lines
    at = end + 4
    if any(x.startswith("transfer-encoding:") for x in lines):
        parts = []
        while True:
            eol = buf.find(b"\r\n", at)
            if eol < 0:
                return None
            n = int(bytes(buf[at:eol]), 16)
            at = eol + 2
            if n == 0:
                tail = buf.find(b"\r\n\r\n", eol)
                if tail < 0:
                    return None
                return status, b"".join(parts), buf[tail + 4:], closes
            if len(buf) < at + n + 2:
                return None
            parts.append(bytes(buf[at:at + n]))
            at += n + 2
    n = next((int(x.split(":")[1]) for x in lines if x.startswith("content-length:")), 0)
    if len(buf) < at + n:
        return None
    return status, bytes(buf[at:at + n]), buf[at + n:], closes


class One:
    def __init__(self, number, conf):
        self.number, self.conf, self.round, self.rnd = number, conf, 0, random.Random(conf["seed"] * 7919 + number)
        self.sock = None

    def open(self):
        conf = self.conf
        host = conf["hosts"][self.number % len(conf["hosts"])]
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.connect_ex((host, conf["port"]))
        self.buf, self.out, self.want, self.since = bytearray(), collections.deque(), collections.deque(), time.monotonic()

    def make(self):
        """One request of a random kind into out; what must come back into want."""
        rnd, conf = self.rnd, self.conf
        kind = rnd.choice(conf["kinds"])
        self.kind = kind
        text = f"id={conf['seed']}.{self.number}.{self.round};".encode()
        self.round += 1
        size = rnd.choice((1, 40, 900, 5000)) if kind not in "BC" else rnd.choice(conf["sizes"])
        body = (text * (1 + size // len(text)))
        route = kind if kind in "nmbl" else rnd.choice("nmb")
        target = "/reflect-chunked" if kind == "r" else "/reflect"
        head = [("x-k", route)]
        if kind == "C":
            data = request("POST", target, conf["vhost"], head + [("Transfer-Encoding", "chunked")]) + chunked(body, 9000)
        else:
            data = request("POST", target, conf["vhost"], head, body)
        self.routes = (getattr(self, "routes", "") + kind + route + " ")[-24:]
        self.want.append((418, None) if route == "l" else (200, body))
        if kind == "s":
            cuts = sorted(rnd.sample(range(1, len(data)), min(3, len(data) - 1)))
            self.out.extend(data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)]))
        else:
            self.out.append(data)
        return kind


def storm(hosts, port, connections, seconds, vhost, kinds=KINDS, abort=0.0, seed=0, patience=8.0, sizes=(40000, 120000, 300000)):
    """{answers, by kind, wrong, errors, aborted}. `abort`: the share of requests that are cut short, a third each in the
    request, in the answer, and by RST. `patience`: seconds of silence that count as an error."""
    conf = dict(hosts=hosts, port=port, vhost=vhost, kinds=kinds, seed=seed, sizes=sizes)
    poll, ones = select.epoll(), {}
    answers, errors, wrong, aborted = collections.Counter(), collections.Counter(), [], 0
    rnd = random.Random(seed)
    statuses = collections.Counter()

    def start(o):
        o.open()
        ones[o.sock.fileno()] = o
        poll.register(o.sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET | select.EPOLLRDHUP)
        o.busy = o.doomed = False

    def end(o, why=None, rst=False, again=True):
        if why:
            errors[f"{why} [{getattr(o, 'kind', '?')}]"] += 1
        del ones[o.sock.fileno()]
        poll.unregister(o.sock)
        if rst:
            o.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        o.sock.close()
        if again and time.monotonic() < stop:
            start(o)

    def go(o):
        o.kind = o.make()
        if o.kind == "p":  # pipelining, one send each
            for _ in range(o.rnd.randrange(1, 4)):
                o.make()
            o.kind = "p"
        o.busy, o.since, o.doomed = True, time.monotonic(), None
        if rnd.random() < abort:
            o.doomed = rnd.choice(("request", "answer", "rst", "half"))
        flush(o)

    def flush(o):
        nonlocal aborted
        while o.out:
            part = o.out[0]
            if o.doomed in ("request", "rst") and rnd.random() < 0.5:
                part = part[:rnd.randrange(1, len(part) + 1)]
            try:
                n = o.sock.send(part)
            except BlockingIOError:
                return
            o.since = time.monotonic()
            if n < len(o.out[0]):
                o.out[0] = o.out[0][n:]
            else:
                o.out.popleft()
            if o.doomed in ("request", "rst"):
                aborted += 1
                end(o, rst=o.doomed == "rst")
                return
        if o.doomed == "half" and not o.out:
            o.doomed = "halved"
            o.sock.shutdown(socket.SHUT_WR)

    stop = time.monotonic() + seconds
    for i in range(connections):
        start(One(i, conf))
    last_check = time.monotonic()
    while ones:
        now = time.monotonic()
        if now > stop + patience + 1:
            break
        if now - last_check > 0.5:
            last_check = now
            for o in list(ones.values()):
                if o.busy and now - o.since > patience:
                    end(o, f"silence, doomed={o.doomed}, out={len(o.out)}, {len(o.buf)} bytes so far")
                elif not o.busy and now > stop:
                    end(o, again=False)
        for fd, ev in poll.poll(0.2):
            o = ones.get(fd)
            if not o:
                continue
            try:
                if ev & select.EPOLLOUT:
                    if not o.busy:
                        if now < stop:
                            go(o)
                    else:
                        flush(o)
                if ones.get(fd) is not o:
                    continue
                if not ev & (select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
                    continue
                closed = False
                while True:
                    try:
                        part = o.sock.recv(65536)
                    except BlockingIOError:
                        break
                    if not part:
                        closed = True
                        break
                    o.buf += part
                    o.since = time.monotonic()
                    if o.doomed == "answer":
                        break
                if o.doomed == "answer" and o.buf:
                    aborted += 1
                    end(o, rst=rnd.random() < 0.5)
                    continue
                closes = False
                while o.want and (got := parse(o.buf)):
                    status, body, o.buf, closes = got
                    want = o.want.popleft()
                    answers[o.kind] += 1
                    statuses[status] += 1
                    if status != want[0] or (want[1] is not None and body != want[1]):
                        if status in (503, 502, 504) :
                            errors[f"status {status} [{o.kind}]"] += 1
                        else:
                            wrong.append([o.number, o.round, o.routes, status, want[0], body[:60].decode("latin-1"),
                                      (want[1] or b"")[:60].decode("latin-1"), len(body), len(want[1] or b"")])
                    if closes:
                        break
                if not o.want and o.buf:
                    wrong.append([o.number, o.round, o.kind, "extra", bytes(o.buf[:80]).decode("latin-1")])
                if closes or (closed and (o.doomed == "halved" or not o.busy or not o.want)):
                    end(o)
                elif closed:
                    end(o, f"closed with {len(o.want)} owed, {len(o.buf)} bytes so far")
                elif o.busy and not o.want and not o.out:
                    if o.doomed == "halved":
                        end(o)
                        aborted += 1
                        continue
                    o.busy = False
                    if now < stop:
                        go(o)
            except OSError as e:
                if ones.get(fd) is o:
                    end(o, repr(e)[:80])
    for o in list(ones.values()):
        end(o, "unanswered at the end", again=False)
    return {"answers": dict(answers), "total": sum(answers.values()), "status": {str(k): v for k, v in statuses.items()},
            "wrong": wrong[:8], "wrong_count": len(wrong), "errors": dict(errors), "aborted": aborted}
