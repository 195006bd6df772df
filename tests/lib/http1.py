# SPDX-License-Identifier: Apache-2.0
"""A strict little HTTP/1.1 client over one socket: what the tests' clients are made of.

Strict on purpose: a response that is framed wrongly, bytes after a response that nobody asked for, or an end
of stream in the middle are errors here, because a real client would be confused by them.
"""
import socket
import struct
import time


class Broken(Exception):
    """The peer did what HTTP does not allow, closed early, or was silent too long."""


class Response:
    def __init__(self, status, headers, body, trailers, interim):
        self.status, self.headers, self.body = status, headers, body
        self.trailers, self.interim = trailers, interim

    def get(self, name):
        return ", ".join(v for k, v in self.headers if k.lower() == name.lower()) or None

    def as_dict(self):
        return {"status": self.status, "headers": self.headers, "body": self.body.decode("latin-1"),
                "trailers": self.trailers, "interim": self.interim, "version": self.get("x-version"),
                "pod": self.get("x-pod"), "server": self.get("server")}


class Conn:
    """One connection. blocking=True leaves the socket in blocking mode (timeouts by SO_RCVTIMEO)."""

    def __init__(self, host, port, timeout=5.0, blocking=False, rcvbuf=0):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.timeout = timeout
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if blocking:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(timeout), int(timeout % 1 * 1e6)))
        else:
            self.sock.settimeout(timeout)
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf = b""

    def send(self, data, pieces=0, delay=0.0):
        """All at once, or in pieces of so many bytes with a delay between."""
        if not pieces:
            self.sock.sendall(data)
            return
        for i in range(0, len(data), pieces):
            self.sock.sendall(data[i:i + pieces])
            if delay:
                time.sleep(delay)

    def fill(self):
        try:
            data = self.sock.recv(262144)
        except (socket.timeout, BlockingIOError):
            raise Broken(f"silence for {self.timeout} s, so far {self.buf[:200]!r}") from None
        except ConnectionResetError:
            raise Broken(f"connection reset, so far {self.buf[:200]!r}") from None
        if not data:
            raise Broken(f"closed, so far {self.buf[:200]!r}")
        self.buf += data

    def line(self):
        while b"\r\n" not in self.buf:
            if len(self.buf) > 1 << 20:
                raise Broken("endless line")
            self.fill()
        line, self.buf = self.buf.split(b"\r\n", 1)
        return line.decode("latin-1")

    def exactly(self, n, keep=True):
        parts, left = [], n
        while left:
            if not self.buf:
                self.fill()
            part, self.buf = self.buf[:left], self.buf[left:]
            left -= len(part)
            if keep:
                parts.append(part)
        return b"".join(parts)

    def fields(self):
        fields = []
        while (line := self.line()):
            if ":" not in line or line[0] in " \t":
                raise Broken(f"bad header line {line!r}")
            k, v = line.split(":", 1)
            fields.append([k, v.strip()])
        return fields

    def head(self):
        start = self.line()
        parts = start.split(" ", 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
            raise Broken(f"bad status line {start[:200]!r}")
        return int(parts[1]), self.fields()

    def response(self, method="GET", keep=True):
        """Reads one response. keep=False drops the body and returns its length as text."""
        interim = []
        while True:
            status, headers = self.head()
            if status == 101 or status >= 200:
                break
            interim.append(status)
        low = {}
        for k, v in headers:
            low.setdefault(k.lower(), []).append(v)
        trailers, body = [], b""
        if method == "HEAD" or status in (101, 204, 304):
            pass
        elif "chunked" in ",".join(low.get("transfer-encoding", [])).lower():
            if "content-length" in low:
                raise Broken("chunked and Content-Length in one response")
            parts, total = [], 0
            while True:
                size = int(self.line().split(";")[0], 16)
                if size == 0:
                    break
                total += size
                parts.append(self.exactly(size, keep))
                if self.exactly(2) != b"\r\n":
                    raise Broken("chunk does not end with CRLF")
            trailers = self.fields()
            body = b"".join(parts) if keep else str(total).encode()
        elif "content-length" in low:
            if len(set(low["content-length"])) != 1:
                raise Broken(f"Content-Length {low['content-length']}")
            n = int(low["content-length"][0])
            body = self.exactly(n, keep) if keep else (self.exactly(n, False) or str(n).encode())
        else:
            body = self.until_close(keep)
        return Response(status, headers, body, trailers, interim)

    def until_close(self, keep=True):
        total = len(self.buf)
        parts, self.buf = [self.buf], b""
        while True:
            try:
                data = self.sock.recv(262144)
            except (socket.timeout, BlockingIOError):
                raise Broken(f"not closed after {self.timeout} s, {total} bytes so far") from None
            if not data:
                break
            total += len(data)
            if keep:
                parts.append(data)
        return b"".join(parts) if keep else str(total).encode()

    def ended(self, wait=2.0):
        """True when the peer closes within the time and sends nothing before it does."""
        if self.buf:
            raise Broken(f"bytes that nobody asked for: {self.buf[:200]!r}")
        self.sock.settimeout(wait)
        try:
            data = self.sock.recv(4096)
        except (socket.timeout, BlockingIOError):
            return False
        except ConnectionResetError:
            return True
        finally:
            self.sock.settimeout(self.timeout)
        if data:
            raise Broken(f"bytes that nobody asked for: {data[:200]!r}")
        return True

    def close(self):
        self.sock.close()


def request(method, target, host, headers=(), body=b"", version="HTTP/1.1"):
    lines = [f"{method} {target} {version}", f"Host: {host}", *(f"{k}: {v}" for k, v in headers)]
    if body and not any(k.lower() in ("content-length", "transfer-encoding") for k, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def chunked(body, size=1000, trailers=()):
    out = [b"%x\r\n%s\r\n" % (len(body[i:i + size]), body[i:i + size]) for i in range(0, len(body), size)]
    tail = "".join(f"{k}: {v}\r\n" for k, v in trailers).encode()
    return b"".join(out) + b"0\r\n" + tail + b"\r\n"
