# SPDX-License-Identifier: Apache-2.0
"""One end of a TCP connection, as the cases of sockends.py and rareends.py see it. A case is a function of the client's
and the server's end; what it returns may not depend on how the bytes travel."""
import array
import errno
import fcntl
import hashlib
import select
import socket
import struct
import termios
import time

CASES = {}


def case(f):
    CASES[f.__name__] = f
    return f


class End:
    """A non-blocking socket with patience."""

    def __init__(self, sock, patience=5.0):
        self.sock, self.patience = sock, patience
        sock.setblocking(False)

    def wait(self, events, timeout=None):
        p = select.poll()
        p.register(self.sock, events)
        got = p.poll((self.patience if timeout is None else timeout) * 1000)
        return got[0][1] if got else 0

    def send(self, data, flags=0):
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view, flags):]
            except BlockingIOError:
                if not self.wait(select.POLLOUT):
                    raise TimeoutError("cannot send") from None

    def recv(self, size=1 << 16, flags=0, timeout=None):
        """Bytes, or the name of what there was instead."""
        if not self.wait(select.POLLIN, timeout):
            return "nothing"
        try:
            return self.sock.recv(size, flags)
        except OSError as e:
            return errno.errorcode[e.errno]

    def exactly(self, n):
        out = bytearray()
        while len(out) < n:
            part = self.recv(n - len(out))
            if isinstance(part, str) or not part:
                return f"{part or 'end'} after {len(out)} bytes"
            out += part
        return bytes(out)

    def digest(self, pause=0.0, size=1 << 16):
        """(bytes, hash, what ended it), to the end; `pause` between reads."""
        h, n = hashlib.sha256(), 0
        while True:
            part = self.recv(size)
            if isinstance(part, str) or not part:
                return [n, h.hexdigest()[:16], part or "end"]
            h.update(part)
            n += len(part)
            if pause:
                time.sleep(pause)

    def unread(self):
        n = array.array("i", [0])
        fcntl.ioctl(self.sock, termios.FIONREAD, n)
        return n[0]

    def shut(self, how=socket.SHUT_WR):
        self.sock.shutdown(how)

    def close(self, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


BLOCK = bytes((i * 31 + 7 + i // 251) % 256 for i in range(65536))


def pattern(n):
    return (BLOCK * (n // len(BLOCK) + 1))[:n]
