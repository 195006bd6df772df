# SPDX-License-Identifier: Apache-2.0
"""Network namespaces for tests, demo and bench, and the processes inside them.

    NAME-PID-sw   a bridge, 10.77.0.1/16, fd77::1/64
      |-- NAME-PID-v1  eth0 10.77.1.1   fd77::1:1     a "pod" with servers
      |-- NAME-PID-v2  eth0 10.77.2.1   fd77::2:1
      `-- NAME-PID-c1  eth0 10.77.100.1 fd77::64:1    a "pod" with clients

The host's own network is not touched. All that a Topology made goes away with close(), at exit and after
Ctrl-C; what a killed run left (its pid is gone) goes away when the next one starts.
"""
import atexit
import ctypes
import os
import re
import signal
import subprocess
import threading
import time

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
# An emulated machine is slower: waits are this many times as long there.
SLOW = float(os.environ.get("HR_SLOW", "1"))


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def sh(*argv, check=True, **kw):
    """Runs a command to its end and returns it, output as text."""
    kw.setdefault("stdout", subprocess.PIPE)
    kw.setdefault("stderr", subprocess.PIPE)
    done = subprocess.run(argv, text=True, **kw)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {(done.stderr or '').strip()}")
    return done


def spawn(argv, **kw):
    """Popen whose process dies with us (threads other than the main one must reap their own)."""
    if threading.current_thread() is threading.main_thread():
        kw.setdefault("preexec_fn", _die_with_parent)
    return subprocess.Popen(argv, **kw)


def stop(proc, timeout=5):
    """Ends a process that we started: TERM, then KILL."""
    if proc.poll() is None:
        proc.terminate()
        try:
            proc.wait(timeout)
        except subprocess.TimeoutExpired:
            proc.kill()
            proc.wait()
    return proc.returncode


def netns_pids(ns):
    return [int(p) for p in sh("ip", "netns", "pids", ns, check=False).stdout.split()]


def delete_netns(ns):
    """Ends the processes of a namespace, then the namespace."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        for pid in netns_pids(ns):
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                pass
        deadline = time.monotonic() + 2
        while netns_pids(ns) and time.monotonic() < deadline:
            time.sleep(0.02)
    sh("ip", "netns", "del", ns, check=False)


def list_netns():
    return [line.split()[0] for line in sh("ip", "netns", "list").stdout.splitlines() if line]


class Topology:
    def __init__(self, name):
        self.prefix = f"{name}-{os.getpid()}"
        self.procs = []
        self.pods = {}
        self.cgroup = None  # what is spawned from here on runs there
        self._count = 1
        self._sweep(name)
        atexit.register(self.close)
        self._ns_add("sw")
        self._ip("sw", "link", "add", "br0", "type", "bridge")
        self._ip("sw", "addr", "add", "10.77.0.1/16", "dev", "br0")
        self._ip("sw", "addr", "add", "fd77::1/64", "dev", "br0", "nodad")
        self._ip("sw", "link", "set", "br0", "up")

    @staticmethod
    def _sweep(name):
        for ns in list_netns():
            m = re.fullmatch(re.escape(name) + r"-(\d+)-\w+", ns)
            if m and not os.path.exists(f"/proc/{m.group(1)}"):
                delete_netns(ns)

    def ns(self, pod):
        return f"{self.prefix}-{pod}"

    def _ip(self, pod, *args):
        sh("ip", "-n", self.ns(pod), *args)

    def _ns_add(self, pod):
        sh("ip", "netns", "add", self.ns(pod))
        self._ip(pod, "link", "set", "lo", "up")

    def add(self, pod, net, more=()):
        """A pod at 10.77.NET.1 and fd77::NET:1 (NET in hex there); `more`: further addresses."""
        self._ns_add(pod)
        v4, v6 = f"10.77.{net}.1", f"fd77::{net:x}:1"
        self._ip("sw", "link", "add", f"p{self._count}", "type", "veth", "peer", "name", "eth0",
                 "netns", self.ns(pod))
        self._ip("sw", "link", "set", f"p{self._count}", "master", "br0", "up")
        self._count += 1
        self._ip(pod, "addr", "add", f"{v4}/16", "dev", "eth0")
        self._ip(pod, "addr", "add", f"{v6}/64", "dev", "eth0", "nodad")
        for a in more:
            self._ip(pod, "addr", "add", a, "dev", "eth0", *(["nodad"] if ":" in a else []))
        self._ip(pod, "link", "set", "eth0", "up")
        self._ip(pod, "route", "add", "default", "via", "10.77.0.1")
        self._ip(pod, "-6", "route", "add", "default", "via", "fd77::1")
        self.pods[pod] = (v4, v6)
        return v4, v6

    def cmd(self, pod, argv):
        return ["ip", "netns", "exec", self.ns(pod), *argv]

    def spawn(self, pod, argv, **kw):
        argv = self.cmd(pod, argv)
        if self.cgroup:
            argv = ["sh", "-c", f"echo 0 > {self.cgroup}/cgroup.procs && exec \"$@\"", "sh", *argv]
        proc = spawn(argv, **kw)
        self.procs.append(proc)
        return proc

    def run(self, pod, *argv, **kw):
        return sh(*self.cmd(pod, argv), **kw)

    def wait_port(self, pod, port, timeout=10):
        """Until something in the pod listens on the TCP port."""
        want = f"{port:04X}"
        deadline = time.monotonic() + timeout * SLOW
        while time.monotonic() < deadline:
            rows = self.run(pod, "cat", "/proc/net/tcp", "/proc/net/tcp6", check=False).stdout
            for row in rows.splitlines():
                f = row.split()
                if len(f) > 3 and f[3] == "0A" and f[1].endswith(":" + want):
                    return
            time.sleep(0.02)
        raise RuntimeError(f"nothing listens on port {port} in {pod} after {timeout} s")

    def close(self):
        atexit.unregister(self.close)
        for proc in self.procs:
            if proc.poll() is None:
                proc.terminate()
        for pod in [*self.pods, "sw"]:
            delete_netns(self.ns(pod))
        for proc in self.procs:
            stop(proc)
        self.pods, self.procs = {}, []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def exit_on_signals():
    """Ctrl-C and TERM leave through the atexit handlers, so that nothing stays behind."""
    def leave(sig, _frame):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(128 + sig)
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, leave)
