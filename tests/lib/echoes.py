# SPDX-License-Identifier: Apache-2.0
"""Clients of a TCP echo: every byte that returns is compared with what was sent. Non-blocking."""
import random
import select
import socket
import struct
import time

BLOCK = bytes((i * 31 + i // 251) % 256 for i in range(1 << 16)) * 2


def piece(at, n, seed):
    """n <= 64 KiB bytes of an endless stream, from `at` on."""
    start = (at + seed * 977) % (1 << 16)
    return BLOCK[start:start + n]


class Echo:
    def __init__(self, host, port, seed=0):
        self.seed, self.sent, self.got, self.want = seed, 0, 0, 0
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.sock.connect_ex((host, port))

    def push(self):
        """Sends what it can of what is wanted."""
        while self.sent < self.want:
            try:
                self.sent += self.sock.send(piece(self.sent, min(1 << 16, self.want - self.sent), self.seed))
            except BlockingIOError:
                return

    def pull(self):
        """Reads what there is. False: the end."""
        while True:
            try:
                part = self.sock.recv(1 << 16)
            except BlockingIOError:
                return True
            if not part:
                return False
            if part != piece(self.got, len(part), self.seed):
                raise ValueError(f"wrong bytes at {self.got}")
            self.got += len(part)

    def finish(self, timeout=10.0):
        """Until all is back."""
        poll, deadline = select.poll(), time.monotonic() + timeout
        while self.got < self.want:
            poll.register(self.sock, select.POLLIN | (select.POLLOUT if self.sent < self.want else 0))
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.got} of {self.want} bytes")
            poll.poll(200)
            self.push()
            if not self.pull() and self.got < self.want:
                raise ConnectionError(f"the end after {self.got} of {self.want} bytes")

    def close(self, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


KEPT = {}


def echo(name, host, port, sizes):
    """On a connection that is kept under that name: each size there and back."""
    e = KEPT.get(name) or KEPT.setdefault(name, Echo(host, port))
    for n in sizes:
        e.want += n
        e.finish()
    return e.got


def echo_end(name, timeout=5.0):
    """How a kept connection ends."""
    e = KEPT.pop(name)
    select.select([e.sock], [], [], timeout)
    try:
        return "end" if e.sock.recv(1) == b"" else "bytes"
    except OSError as err:
        return err.__class__.__name__


def echo_late(host, port, size, pause):
    """Sends as long as it can, reads nothing for `pause` seconds, then all of it: bytes that came back."""
    e = Echo(host, port)
    e.want, until = size, time.monotonic() + pause
    while time.monotonic() < until:
        try:
            e.push()
        except OSError as err:  # not connected yet
            if err.errno not in (107, 11):
                raise
        time.sleep(0.02)
    e.finish(30.0)
    e.close()
    return e.got


def echo_storm(hosts, port, connections, seconds, abort=0.0, sizes=(1, 100, 5000, 40_000, 300_000), patience=10.0, seed=0):
    """{turns, bytes, aborted, errors}. Every connection sends a random size and wants it back, again and again; `abort`: the
    share of turns that end by close() or RST in the middle."""
    rnd, poll, ones = random.Random(seed), select.epoll(), {}
    turns = got = aborted = 0
    errors, stop = {}, time.monotonic() + seconds

    def start(k):
        e = Echo(hosts[k % len(hosts)], port, k)
        e.k, e.since = k, time.monotonic()
        ones[e.sock.fileno()] = e
        poll.register(e.sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)

    def end(e, why=None, reset=False):
        nonlocal got
        if why:
            errors[why] = errors.get(why, 0) + 1
        got += e.got
        del ones[e.sock.fileno()]
        e.close(reset)
        if time.monotonic() < stop:
            start(e.k)

    def turn(e):
        """Works at it; false when it is over."""
        nonlocal turns, aborted
        while True:
            e.push()
            alive = e.pull()
            if e.got == e.want:
                turns += bool(e.want)
                if time.monotonic() > stop:
                    return end(e)
                e.want += rnd.choice(sizes)
                e.doomed, e.since = rnd.random() < abort, time.monotonic()
                continue
            if e.doomed and e.sent > 0 and rnd.random() < 0.5:
                aborted += 1
                return end(e, reset=rnd.random() < 0.5)
            return None if alive else end(e, "closed")
    for k in range(connections):
        start(k)
    looked = time.monotonic()
    while ones:
        for fd, _ in poll.poll(0.2):
            e = ones.get(fd)
            try:
                if e:
                    turn(e)
            except (OSError, ValueError) as err:
                end(e, repr(err)[:80])
        if time.monotonic() - looked > 0.5:
            looked = time.monotonic()
            for e in [e for e in ones.values() if looked - e.since > patience]:
                end(e, f"silence: {e.got} of {e.want} bytes")
    return {"turns": turns, "bytes": got, "aborted": aborted, "errors": errors}
