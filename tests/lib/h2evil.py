# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 servers that misbehave, one a port: what each does once a request has come is its name.

  h2evil.py PORT      the servers of ATTACKS, from PORT on
"""
import socket
import struct
import sys
import threading
import time

from h2raw import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PUSH, RST, SETTINGS, UPDATE,
                   block, frame, integer, literal)

OK, INTERIM = b"\x88", literal(":status", "103")  # an indexed field, and one that has no index
SECONDS = 5  # no attack lasts longer, so that nothing stays behind


def forever(conn, *pieces):
    """Until the other side has had enough."""
    end, data = time.monotonic() + SECONDS, b"".join(pieces)
    while time.monotonic() < end:
        conn.sendall(data)


def continuation(conn, s):
    conn.sendall(frame(HEADERS, 0, s, OK))
    forever(conn, frame(CONTINUATION, 0, s, literal("x-a", "y" * 100)))


def empty_continuation(conn, s):
    conn.sendall(frame(HEADERS, 0, s, OK))
    forever(conn, frame(CONTINUATION, 0, s) * 100)


def settings(conn, s):
    forever(conn, frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 1000)


def ping(conn, s):
    forever(conn, frame(PING, 0, 0, b"12345678") * 1000)


def reset_storm(conn, s):
    conn.sendall(frame(RST, 0, s, struct.pack(">I", 2)) * 1000)


def refuses(conn, s):
    conn.sendall(frame(RST, 0, s, struct.pack(">I", 7)))


def giant_block(conn, s):
    conn.sendall(frame(HEADERS, 0, s, OK + literal("x-a", "y" * 16000))
                 + b"".join(frame(CONTINUATION, 0, s, literal(f"x-{i}", "y" * 16000)) for i in range(7))
                 + frame(CONTINUATION, END_HEADERS, s, literal("x-z", "y" * 16000)))


def bomb(conn, s):
    conn.sendall(frame(HEADERS, END_HEADERS | END_STREAM, s, OK + literal("x-big", "y" * 3900, 64, 6) + integer(62, 7, 128) * 10000))


def interim_flood(conn, s):
    forever(conn, frame(HEADERS, END_HEADERS, s, INTERIM) * 100)


def goaway(conn, s):
    conn.sendall(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)))


def goaway_storm(conn, s):
    forever(conn, frame(GOAWAY, 0, 0, struct.pack(">II", s, 0)) * 1000)


def push(conn, s):
    conn.sendall(frame(PUSH, END_HEADERS, s, struct.pack(">I", 2) + block()))


def data_first(conn, s):
    conn.sendall(frame(DATA, 0, s, b"x" * 100))


def empty_data(conn, s):
    conn.sendall(frame(HEADERS, END_HEADERS, s, OK))
    forever(conn, frame(DATA, 0, s) * 1000)


def window_update(conn, s):
    forever(conn, frame(UPDATE, 0, 0, struct.pack(">I", 1)) * 1000)


def window_overflow(conn, s):
    conn.sendall(frame(UPDATE, 0, 0, struct.pack(">I", 0x7fffffff)) * 2)


def window_zero(conn, s):
    time.sleep(SECONDS)


def no_answer(conn, s):
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")


ATTACKS = [continuation, empty_continuation, settings, ping, reset_storm, refuses, giant_block, bomb, interim_flood, goaway,
           goaway_storm, push, data_first, empty_data, window_update, window_overflow, window_zero, no_answer]


def serve(conn, attack):
    try:
        conn.settimeout(SECONDS)
        conn.sendall(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0) if attack is window_zero else b""))
        buf = b""
        while True:
            got = conn.recv(65536)
            if not got:
                return
            buf += got
            if buf[:len(PREFACE)] == PREFACE:
                buf = buf[len(PREFACE):]
            while len(buf) >= 9 and len(buf) >= 9 + int.from_bytes(buf[:3], "big"):
                n, kind, stream = int.from_bytes(buf[:3], "big"), buf[3], int.from_bytes(buf[5:9], "big")
                buf = buf[9 + n:]
                if kind == HEADERS:
                    attack(conn, stream)
    except OSError:
        pass
    finally:
        conn.close()


def listen(port, attack):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", port))
    s.listen(64)
    while True:
        threading.Thread(target=serve, args=(s.accept()[0], attack), daemon=True).start()


if __name__ == "__main__":
    for i, a in enumerate(ATTACKS):
        threading.Thread(target=listen, args=(int(sys.argv[1]) + i, a)).start()
