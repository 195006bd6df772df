# SPDX-License-Identifier: Apache-2.0
"""asyncio streams: BASE-URL HOST, see README.md."""
import asyncio
import sys
import urllib.parse

URL, HOST = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2]
SIZES = (0, 1, 100, 5000, 70_000, 300_000)
answers = 0


async def dial():
    return await asyncio.open_connection(URL.hostname, URL.port, limit=1 << 20)


async def ask(conn, method, target, body=b"", chunked=False):
    """(status, body)"""
    global answers
    r, w = conn
    head = f"{method} {target} HTTP/1.1\r\nHost: {HOST}\r\n"
    if chunked:
        w.write((head + "Transfer-Encoding: chunked\r\n\r\n").encode())
        for i in range(0, len(body), 9000):
            part = body[i:i + 9000]
            w.write(b"%x\r\n%s\r\n" % (len(part), part))
            await w.drain()
        w.write(b"0\r\n\r\n")
    else:
        w.write((head + f"Content-Length: {len(body)}\r\n\r\n").encode() + body)
    await w.drain()
    got = (await r.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    n = next((int(x.split(":")[1]) for x in got.split("\r\n") if x.startswith("content-length:")), None)
    if n is not None:
        data = await r.readexactly(n)
    else:
        data = b""
        while (size := int((await r.readline()).split(b";")[0], 16)):
            data += await r.readexactly(size)
            await r.readexactly(2)
        while (await r.readline()).strip():
            pass
    answers += 1
    return int(got.split()[1]), data


def pattern(n, seed):
    return bytes((i * 31 + seed) % 256 for i in range(256)) * (n // 256) + bytes(n % 256)


async def one(k):
    conn = await dial()
    for i, n in enumerate(SIZES * 2):
        body = pattern(n, k + i)
        got = await ask(conn, "POST", "/reflect-chunked" if i % 5 == 4 else f"/reflect?{k}.{i}", body, chunked=i % 4 == 3)
        assert got == (200, body), f"{k}.{i}: {got[0]}, {len(got[1])} of {n} bytes"
    conn[1].close()


async def leave(k):
    """Reads a part of a long answer, and goes."""
    r, w = await dial()
    w.write(f"GET /bytes?n=3000000 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    await r.read(1000 * k + 1)
    w.transport.abort() if k % 2 else w.close()


async def main():
    conn = await dial()
    for i in range(100):
        status, data = await ask(conn, "GET", f"/echo?{i}")
        assert status == 200 and f'"/echo?{i}"'.encode() in data, f"{i}: {status} {data[:200]}"
    assert len((await ask(conn, "GET", "/bytes?n=5000000"))[1]) == 5_000_000
    assert len((await ask(conn, "GET", "/chunked?n=500000"))[1]) == 500_000
    await asyncio.gather(*(one(k) for k in range(20)), *(leave(k) for k in range(10)))
    print("ok", answers)

asyncio.run(main())
