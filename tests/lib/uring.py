# SPDX-License-Identifier: Apache-2.0
"""io_uring(7) by its system calls: one operation at a time, for tests that want to know what a socket does with it."""
import ctypes
import errno
import mmap
import os
import select
import struct
import time

LIBC = ctypes.CDLL(None, use_errno=True)
SETUP, ENTER = 425, 426  # the same on every architecture
GETEVENTS = 1
SQES = 0x10000000
CQ_RING = 0x8000000
# operations, linux/io_uring.h
POLL_ADD, SENDMSG, RECVMSG, READ, WRITE, SEND, RECV, SHUTDOWN, SEND_ZC = 6, 9, 10, 22, 23, 26, 27, 34, 47
CQE_MORE, CQE_NOTIF = 2, 8


def _call(number, *args):
    r = LIBC.syscall(number, *args)
    if r < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return r


def missing():
    """Why there is no io_uring here, or None."""
    try:
        Ring().close()
    except OSError as e:
        return f"io_uring_setup: {errno.errorcode[e.errno]}"
    return None


class Ring:
    def __init__(self, entries=8):
        params = ctypes.create_string_buffer(120)
        self.fd = _call(SETUP, entries, params)
        n = struct.unpack_from("10I", params, 0)
        sq, cq = struct.unpack_from("10I", params, 40), struct.unpack_from("10I", params, 80)
        self.sq_tail, self.sq_mask, self.sq_array = sq[1], sq[2], sq[6]
        self.cq_head, self.cq_tail, self.cq_mask, self.cqes = cq[0], cq[1], cq[2], cq[5]
        self.sq = mmap.mmap(self.fd, self.sq_array + n[0] * 4, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, offset=0)
        self.cq = mmap.mmap(self.fd, self.cqes + n[1] * 16, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, offset=CQ_RING)
        self.entries = mmap.mmap(self.fd, n[0] * 64, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, offset=SQES)
        self.alive = []  # memory that operations use

    def _get(self, ring, at):
        return struct.unpack_from("I", ring, at)[0]

    def submit(self, op, sock, data=None, length=0, flags=0, mark=1):
        """Starts one operation. `data`: what is sent, a buffer of ctypes to receive into, or None."""
        if isinstance(data, bytes):
            data = ctypes.create_string_buffer(data, len(data))
        self.alive.append(data)
        addr = ctypes.addressof(data) if data is not None else 0
        tail = self._get(self.sq, self.sq_tail)
        i = tail & self._get(self.sq, self.sq_mask)
        self.entries[i * 64:i * 64 + 64] = struct.pack("=BBHiQQIIQ24x", op, 0, 0, sock.fileno(), 0, addr, length, flags, mark)
        struct.pack_into("I", self.sq, self.sq_array + 4 * i, i)
        struct.pack_into("I", self.sq, self.sq_tail, tail + 1)
        return _call(ENTER, self.fd, 1, 0, 0, None, 0)

    def wait(self, patience=5.0):
        """The next completion: (mark, result, flags)."""
        head, deadline = self._get(self.cq, self.cq_head), time.monotonic() + patience
        while head == self._get(self.cq, self.cq_tail):
            if time.monotonic() > deadline:
                raise TimeoutError("no completion")
            _call(ENTER, self.fd, 0, 0, GETEVENTS, None, 0)
            select.select([self.fd], [], [], 0.1)
        at = self.cqes + 16 * (head & self._get(self.cq, self.cq_mask))
        out = struct.unpack_from("=QiI", self.cq, at)
        struct.pack_into("I", self.cq, self.cq_head, head + 1)
        return out

    def close(self):
        for m in (self.sq, self.cq, self.entries):
            m.close()
        os.close(self.fd)
