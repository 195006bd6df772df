# SPDX-License-Identifier: Apache-2.0
"""How the two ends of sockends.py come to be: a listener, connections that lead to it in ways unknown, and what is said on
them before a case begins."""
import os
import select
import socket
import time

from ends import CASES, End

class Opaque:
    """Connections whose bytes nobody reads."""

    def hello(self, c):
        tag = os.urandom(8)
        c.send(tag)
        return lambda s: s.recv(8) == tag

    def warm(self, c, s):
        for _ in range(3):
            c.send(b"ping")
            s.exactly(4)
            s.send(b"pong")
            c.exactly(4)

    begin = warm


class Http:
    """A request and an answer of 1 TB each: what the case sends is their bodies."""

    def __init__(self, host):
        self.host = host

    def ask(self, c, target, length=0):
        head = f"POST {target} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {length}\r\n\r\n".encode()
        c.send(head)
        return head

    def head(self, end):
        """One head, and no byte more."""
        out = b""
        while not out.endswith(b"\r\n\r\n"):
            part = end.recv(1)
            if isinstance(part, str) or not part:
                break
            out += part
        return out

    def hello(self, c):
        target = f"/{os.urandom(8).hex()}"
        self.ask(c, target)

        def same(s):
            found = target.encode() in self.head(s)
            if found:
                s.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                self.head(c)
            return found
        return same

    def turn(self, c, s, length):
        self.ask(c, "/", length)
        self.head(s)
        s.send(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode())
        self.head(c)

    def warm(self, c, s):
        for _ in range(3):
            self.turn(c, s, 0)

    def begin(self, c, s):
        self.warm(c, s)
        self.turn(c, s, 1 << 40)


class Meeting:
    """A listener, and connections that lead to it, in ways unknown."""

    def __init__(self, port, host, to, protocol, options):
        self.to, self.protocol, self.options, self.others = (host, to), protocol, options, []
        self.family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server(("" if self.family == socket.AF_INET else "::", port), family=self.family, backlog=64)
        self.listener.setblocking(False)
        self.prepare(self.listener)

    def prepare(self, sock):
        for level, option in self.options:
            sock.setsockopt(level, option, 1)

    def dial(self, patience=5.0):
        """A connection, and its other end: the one on which its first bytes come."""
        c = End(socket.socket(self.family, socket.SOCK_STREAM))
        self.prepare(c.sock)
        c.sock.connect_ex(self.to)
        return c, self.accept(self.protocol.hello(c), patience)

    def accept(self, mine, patience=5.0):
        """The connection on which that comes first."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            ready = select.select([self.listener, *(s.sock for s in self.others)], [], [], 0.1)[0]
            if self.listener in ready:
                self.others.append(End(self.listener.accept()[0]))  # or somebody who looks whether we are here
            for s in [s for s in self.others if s.sock in ready]:
                self.others.remove(s)
                if mine(s):
                    return s
                s.sock.close()
        raise TimeoutError("nobody at the other end")

    def learn(self, proxied):
        """Until it is known that somebody listens here, and what its sockets are."""
        deadline = time.monotonic() + 6
        while time.monotonic() < deadline:
            try:
                c, s = self.dial(0.5)
            except TimeoutError:
                continue
            self.protocol.warm(c, s)
            if proxied or c.sock.getsockname()[:2] == s.sock.getpeername()[:2]:
                return
            time.sleep(0.05)

    def play(self, name):
        if hasattr(CASES[name], "early"):
            return CASES[name](self)
        c, s = self.dial()
        try:
            self.protocol.begin(c, s)
            return CASES[name](c, s)
        except Exception as e:
            return repr(e)
        finally:
            c.sock.close()
            s.sock.close()
