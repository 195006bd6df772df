# SPDX-License-Identifier: Apache-2.0
"""The client of both proxies: sends bytes as they are and says what came back. Lenient: it reports, and judges nothing.

stdin: one JSON list of {name, host, port, steps, timeout, linger}; stdout: one JSON object {name: result}.
A step: ["send", TEXT (latin-1)], ["wait", MS], ["answers", N, [methods]] (read until there are N), ["shut"], ["close"],
["rest"] (read until the end or silence).
result: {answers: [{status, reason, headers, body, trailers, whole}], interim: [...], end: open|closed|reset, rest: TEXT}
"""
import json
import select
import socket
import sys
import threading
import time


class Parser:
    """Answers out of a growing buffer."""

    def __init__(self):
        self.buf, self.answers, self.interim, self.methods = b"", [], [], []
        self.tunnel = False

    def feed(self, data, ended=False):
        self.buf += data
        try:
            while not self.tunnel and self.one(ended):
                pass
        except ValueError:  # a length that is none: what came stays in `rest`
            self.tunnel = True

    def one(self, ended):
        head, sep, rest = self.buf.partition(b"\r\n\r\n")
        if not sep or not head.startswith(b"HTTP/1."):
            return False
        lines = head.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ", 2)
        status = int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0
        headers = [[k.lower(), v.strip()] for k, _, v in (x.partition(":") for x in lines[1:])]
        if 100 <= status < 200 and status != 101:
            self.interim.append(status)
            self.buf = rest
            return True
        h = dict(headers)
        n = len(self.answers)
        method = self.methods[n] if n < len(self.methods) else "GET"
        trailers, whole, body = [], True, b""
        if status == 101:
            self.tunnel = True
        elif method == "HEAD" or status in (204, 304):
            pass
        elif "chunked" in h.get("transfer-encoding", ""):
            got = self.chunks(rest)
            if got is None and not ended:
                return False
            body, trailers, rest, whole = got or (rest, [], b"", False)
        elif "content-length" in h:
            size = int(h["content-length"])
            if len(rest) < size and not ended:
                return False
            body, rest, whole = rest[:size], rest[size:], len(rest) >= size
        else:
            if not ended:
                return False
            body, rest = rest, b""
        self.answers.append({"status": status, "http": parts[0], "headers": headers, "body": body.decode("latin-1"),
                             "trailers": trailers, "whole": whole, "method": method})
        self.buf = rest
        return True

    @staticmethod
    def chunks(data):
        body = b""
        while True:
            line, sep, data = data.partition(b"\r\n")
            if not sep:
                return None
            size = int(line.split(b";")[0], 16)
            if size == 0:
                break
            if len(data) < size + 2:
                return None
            body, data = body + data[:size], data[size + 2:]
        trailers = []
        while True:
            line, sep, data = data.partition(b"\r\n")
            if not sep:
                return None
            if not line:
                return body, trailers, data, True
            trailers.append(line.decode("latin-1"))


def exchange(case):
    s = socket.socket()
    s.settimeout(case.get("timeout", 4.0))  # a socket with a timeout is a non-blocking one
    p, end = Parser(), "open"

    def read(until, seconds):
        nonlocal end
        deadline = time.monotonic() + seconds
        while end == "open" and not until():
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([s], [], [], left)[0]:
                return
            try:
                data = s.recv(1 << 16)
            except (BlockingIOError, socket.timeout):
                continue
            except OSError:
                data, end = b"", "reset"
            if not data and end == "open":
                end = "closed"
            p.feed(data, ended=not data)
    try:
        s.connect((case["host"], case["port"]))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for step, *args in case["steps"]:
            if step == "send":
                try:
                    s.sendall(args[0].encode("latin-1"))
                except OSError:
                    pass  # the other side ended already; what it said is still to be read
            elif step == "wait":
                time.sleep(args[0] / 1000)
            elif step == "answers":
                p.methods += args[1] if len(args) > 1 else []
                want = args[0]
                read(lambda: len(p.answers) >= want, case.get("timeout", 4.0))
            elif step == "rest":
                read(lambda: False, args[0] / 1000 if args else 0.3)
            elif step == "shut":
                s.shutdown(socket.SHUT_WR)
            elif step == "close":
                s.close()
                return {"answers": p.answers, "interim": p.interim, "end": "left", "rest": ""}
        read(lambda: False, case.get("linger", 0.1))
    except OSError as e:
        end = f"error: {e}"
    finally:
        s.close()
    return {"answers": p.answers, "interim": p.interim, "end": end, "rest": p.buf.decode("latin-1")}


def main():
    cases = json.load(sys.stdin)
    out, lock = {}, threading.Lock()

    def work():
        while True:
            with lock:
                if not cases:
                    return
                case = cases.pop(0)
            got = exchange(case)
            with lock:
                out[case["name"]] = got
    threads = [threading.Thread(target=work) for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    json.dump(out, sys.stdout)


if __name__ == "__main__":
    main()
