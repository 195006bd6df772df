# SPDX-License-Identifier: Apache-2.0
"""Cases of sockends.py: what few programs do with their sockets. Urgent data, zero-copy, io_uring."""
import array
import ctypes
import errno
import fcntl
import hashlib
import select
import socket
import struct
import time

import uring
from ends import case, pattern

SIOCATMARK = 0x8905
SO_MEMINFO, SO_ZEROCOPY, MSG_ZEROCOPY, TCP_ULP = 55, 60, 0x4000000, 31


def at_mark(end):
    n = array.array("i", [0])
    fcntl.ioctl(end.sock, SIOCATMARK, n)
    return n[0]


def out_of_band(end):
    try:
        return end.sock.recv(1, socket.MSG_OOB)
    except OSError as e:
        return errno.errorcode[e.errno]


# ---- urgent data ----

@case
def urgent(c, s):
    """An urgent byte in the middle: what is told of it, where it stands, what remains of the stream."""
    out = []
    for a, b in ((c, s), (s, c)):
        a.send(b"before")
        a.send(b"!", socket.MSG_OOB)
        a.send(b"after")
        told = bool(b.wait(select.POLLPRI, 0.3) & select.POLLPRI)
        out += [told, out_of_band(b)]
        first = b.recv(100)
        mark = at_mark(b)
        rest = first if len(first) > 10 else first + b.exactly(11 - len(first))
        out += [first, mark, rest, b.unread()]
    return out


@case
def urgent_inline(c, s):
    """SO_OOBINLINE: the byte is one of the stream, a read ends before it, and SIOCATMARK finds it."""
    out = []
    for a, b in ((c, s), (s, c)):
        b.sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        a.send(b"before")
        a.send(b"!", socket.MSG_OOB)
        a.send(b"after")
        told = bool(b.wait(select.POLLPRI, 0.3) & select.POLLPRI)
        out += [told, b.recv(100), at_mark(b), b.recv(100, timeout=0.2), at_mark(b)]
    return out


@case
def refused(c, s):
    """Options that a connection which skips TCP cannot have."""
    out = []
    for end in (c, s):
        for level, option, value in ((socket.SOL_SOCKET, SO_ZEROCOPY, struct.pack("i", 1)), (socket.IPPROTO_TCP, TCP_ULP, b"tls")):
            try:
                end.sock.setsockopt(level, option, value)
                out.append("taken")
            except OSError as e:
                out.append(errno.errorcode[e.errno])
        end.sock.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 0)  # harmless
        end.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    c.send(b"and goes on")
    return [*out, s.exactly(11).decode()]


# ---- memory ----

def held(*ends):
    """Bytes in receive queues and send buffers, as the kernel accounts them (SO_MEMINFO: rmem_alloc, wmem_queued)."""
    rows = [struct.unpack("9I", end.sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36)) for end in ends]
    return sum(r[0] + r[5] for r in rows)


@case
def never_read(c, s):
    """90 MB for a peer that does not read, each way: whether the writer was stopped, what both ends hold then, and whether
    all that was taken comes when the peer reads after all."""
    out = []
    for a, b in ((c, s), (s, c)):
        data, sent = memoryview(pattern(90_000_000)), 0
        while sent < len(data) and a.wait(select.POLLOUT, 0.2):
            try:
                sent += a.sock.send(data[sent:sent + 200_000])
            except BlockingIOError:
                pass
        holds, h, got = held(a, b), hashlib.sha256(), 0
        while got < sent and isinstance(part := b.recv(1 << 20), bytes) and part:
            h.update(part)
            got += len(part)
        out.append([sent < len(data), holds, got == sent and h.digest() == hashlib.sha256(data[:sent]).digest()])
    return out


# ---- MSG_ZEROCOPY ----

def completions(end, upto, patience=2.0):
    """Numbers of sends whose memory is free again, as the error queue tells, until `upto` has come."""
    out, deadline = [], time.monotonic() + patience
    while upto not in out and time.monotonic() < deadline:
        end.wait(0, 0.05)
        try:
            _, more, flags, _ = end.sock.recvmsg(0, 512, socket.MSG_ERRQUEUE)
        except BlockingIOError:
            continue
        for _, _, data in more:
            code, origin, _, _, _, low, high = struct.unpack_from("=IBBBBII", data)
            out += range(low, high + 1) if (code, origin) == (0, 5) else [f"error {code} of {origin}"]
    return out


def zerocopy_sends(a, b, sizes=(100, 20_000, 200_000)):
    h, want = hashlib.sha256(), hashlib.sha256()
    sent = 0
    for n in sizes:
        data, at = pattern(n), 0
        want.update(data)
        while at < n:
            try:
                at += a.sock.send(memoryview(data)[at:], MSG_ZEROCOPY)
                sent += 1
            except BlockingIOError:
                a.wait(select.POLLOUT)
            got = b.recv(1 << 20, timeout=0.0)
            if isinstance(got, bytes):
                h.update(got)
    while isinstance(got := b.recv(1 << 20, timeout=0.3), bytes) and got:
        h.update(got)
    return sent, h.digest() == want.digest()


@case
def zerocopy(c, s):
    """SO_ZEROCOPY at once: every send is told complete, in order, on the error queue."""
    out = []
    for a, b in ((c, s), (s, c)):
        a.sock.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
        sent, same = zerocopy_sends(a, b)
        out.append([same, completions(a, sent - 1) == list(range(sent))])
    return out


# ---- io_uring ----

def one(ring, op, end, data=None, length=0, flags=0):
    ring.submit(op, end.sock, data, length, flags)
    return ring.wait()[1]


def ring_exchange(ring, a, b):
    """What a sends by SEND, WRITE and SENDMSG, b reads by POLL_ADD, RECV and READ."""
    seen, data = [], pattern(3000)
    for send, receive in ((uring.SEND, uring.RECV), (uring.WRITE, uring.READ)):
        into = ctypes.create_string_buffer(5000)
        n = one(ring, send, a, data, len(data))
        ready = one(ring, uring.POLL_ADD, b, None, 0, select.POLLIN)
        got = one(ring, receive, b, into, 5000)
        seen.append([n, bool(ready & select.POLLIN), got, into.raw[:got] == data])
    seen.append(errno.errorcode[-one(ring, uring.RECV, b, into, 5000, socket.MSG_DONTWAIT)])
    return seen


@case
def ring(c, s):
    """Both ends by io_uring: the same bytes, EAGAIN where there are none, the end."""
    if uring.missing():
        return uring.missing()
    r, out = uring.Ring(), []
    for a, b in ((c, s), (s, c)):
        out += ring_exchange(r, a, b)
        r.submit(uring.POLL_ADD, b.sock, None, 0, select.POLLIN, mark=7)  # waits before there is anything
        a.send(b"woken")
        out += [r.wait()[0], b.exactly(5).decode()]
    into = ctypes.create_string_buffer(10)
    out.append(one(r, uring.SHUTDOWN, c, None, socket.SHUT_WR))
    out.append(one(r, uring.POLL_ADD, s, None, 0, select.POLLIN | select.POLLRDHUP) & select.POLLRDHUP)
    out.append(one(r, uring.RECV, s, into, 10))
    r.close()
    return out


@case
def ring_bulk(c, s):
    """1 MB each way, as much as each SEND takes."""
    if uring.missing():
        return uring.missing()
    r, out = uring.Ring(), []
    for a, b in ((c, s), (s, c)):
        data, sent, got, h = pattern(1 << 20), 0, 0, hashlib.sha256()
        into = ctypes.create_string_buffer(1 << 17)
        while got < len(data):
            n = one(r, uring.SEND, a, data[sent:sent + (1 << 17)], min(1 << 17, len(data) - sent)) if sent < len(data) else 0
            sent += max(n, 0)
            n = one(r, uring.RECV, b, into, 1 << 17)
            if n > 0:
                h.update(into.raw[:n])
                got += n
        out.append([got, h.digest() == hashlib.sha256(data).digest()])
    r.close()
    return out


@case
def ring_zerocopy(c, s):
    """SEND_ZC: the bytes, and the notice that their memory is free."""
    if uring.missing():
        return uring.missing()
    r, out, data = uring.Ring(), [], pattern(50_000)
    for a, b in ((c, s), (s, c)):
        r.submit(uring.SEND_ZC, a.sock, data, len(data))
        _, n, flags = r.wait()
        seen = [n if n > 0 else errno.errorcode[-n], bool(flags & uring.CQE_MORE)]
        got = b.exactly(max(n, 0))  # the memory is free when the peer has it
        if flags & uring.CQE_MORE:
            seen.append(bool(r.wait()[2] & uring.CQE_NOTIF))
        out.append([*seen, got == data[:max(n, 0)]])
    r.close()
    return out
