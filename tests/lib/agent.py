# SPDX-License-Identifier: Apache-2.0
"""The agent as a fixture: start, wait, talk, stop, and prove that it left nothing behind."""
import fcntl
import json
import os
import signal
import subprocess
import time
import urllib.request

from servers import PYTHON, HERE
from topo import SLOW, sh, spawn, stop

ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, os.environ.get("B", "build"))
HEADRACE = os.environ.get("HEADRACE", os.path.join(BUILD, "headrace"))
# Pins and cgroups carry one name; another one (HR_PINS) lets a second set of tests run beside.
PINS = os.environ.get("HR_PINS", "/sys/fs/bpf/headrace")
LOCK = f"/run/lock/{os.path.basename(PINS)}-test.lock"  # held by whoever runs an agent of that name


def cgroup2_mount():
    for line in open("/proc/mounts"):
        f = line.split()
        if f[2] == "cgroup2":
            return f[1]
    return None


def mount_bpffs():
    """As systemd does at boot; a machine without systemd may not have it."""
    if "bpf" not in [line.split()[2] for line in open("/proc/mounts") if line.split()[1] == "/sys/fs/bpf"]:
        sh("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")


def programs_of(pid):
    """BPF programs that a process holds."""
    rows = json.loads(sh("bpftool", "-j", "prog", "show", check=False).stdout or "[]")
    return {r["id"] for r in rows if any(p["pid"] == pid for p in r.get("pids", []))}


def all_programs():
    return {r["id"] for r in json.loads(sh("bpftool", "-j", "prog", "show", check=False).stdout or "[]")}


def own_cgroups():
    base = cgroup2_mount()
    path = f"{base}/{os.path.basename(PINS)}"
    return [path] if base and os.path.isdir(path) else []


def cleanup(check=False):
    return sh(HEADRACE, "cleanup", "--pins", PINS, check=check, timeout=20)


class AgentError(Exception):
    pass


class Agent:
    """`headrace run` on one directory of YAML, which `write` changes."""

    def __init__(self, workdir, datapath="auto", args=(), resolv=None, env=None):
        self.dir = workdir
        self.config = os.path.join(workdir, "config")
        self.socket = os.path.join(workdir, "agent.sock")
        self.log_path = os.path.join(workdir, "agent.log")
        self.datapath, self.args, self.resolv, self.env = datapath, list(args), resolv, env or {}
        self.proc, self.lock, self.programs, self.ended_by_us = None, None, set(), None
        os.makedirs(self.config, exist_ok=True)

    # ---- life ----
    def start(self, wait=20):
        if not self.lock:
            self.lock = open(LOCK, "w")
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        mount_bpffs()
        self.ended_by_us = None
        argv = [HEADRACE, "run", "-f", self.config, "--socket", self.socket,
                "--pins", PINS, "--store", os.path.join(self.dir, "store"), f"--datapath={self.datapath}", *self.args]
        if self.resolv:  # its own /etc/resolv.conf, as a pod has one
            argv = ["unshare", "-m", "sh", "-c", f"mount --bind {self.resolv} /etc/resolv.conf && exec \"$@\"",
                    "sh", *argv]
        self.log = open(self.log_path, "a")
        self.proc = spawn(argv, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
                          env={**os.environ, **self.env})
        deadline = time.monotonic() + wait * SLOW
        while self.ctl("status", "--wait", "1", check=False).returncode != 0 or self.proc.poll() is not None:
            ended = self.proc.poll()
            if ended is not None or time.monotonic() > deadline:
                stop(self.proc)
                why = f"ended with {ended}" if ended is not None else f"not ready after {wait * SLOW:.0f} s"
                raise AgentError(f"{why}: {self.log_tail()}")
        self.programs = programs_of(self.proc.pid)
        return self

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def kill(self):
        """As if the machine's out-of-memory killer had come."""
        self.ended_by_us = "kill"
        self.proc.kill()
        self.proc.wait()

    def stop(self, timeout=20):
        """TERM; the exit code. A second agent would now start on a clean machine: see leftovers()."""
        self.ended_by_us = "stop"
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            try:
                self.proc.wait(timeout * SLOW)
            except subprocess.TimeoutExpired:
                self.proc.send_signal(signal.SIGABRT)  # leaves a core or at least a place in the log
                stop(self.proc)
                raise AgentError(f"still there {timeout} s after SIGTERM") from None
        return self.proc.returncode

    def release(self):
        if self.lock:
            self.lock.close()
            self.lock = None

    def leftovers(self, patience=3.0):
        """What is on the machine that a stopped agent should have removed: a list of words, empty when clean."""
        deadline = time.monotonic() + patience * SLOW
        while True:
            left = []
            if os.path.isdir(PINS) and any(files for _, _, files in os.walk(PINS)):
                left.append(f"pins under {PINS}: {[f for _, _, files in os.walk(PINS) for f in files][:5]}")
            left += [f"cgroup {c}" for c in own_cgroups()]
            if os.path.exists(self.socket):
                left.append(f"socket {self.socket}")
            programs = self.programs & all_programs()
            if programs:
                left.append(f"BPF programs {sorted(programs)}")
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.1)

    # ---- talk ----
    def ctl(self, *argv, check=True, timeout=15, stdin=None):
        return sh(HEADRACE, *argv[0].split(), "--socket", self.socket, *argv[1:], check=check, timeout=timeout * SLOW, input=stdin)

    def status(self):
        return json.loads(self.ctl("status", "-o", "json").stdout)

    def explain(self, url, method="GET", headers=(), labels=None):
        argv = ["explain", "-o", "json", "-X", method, *(x for k, v in headers for x in ("-H", f"{k}: {v}"))]
        if labels:
            argv += ["--source-labels", labels]
        return json.loads(self.ctl(*argv, url).stdout)

    def log_tail(self, size=3000):
        with open(self.log_path, errors="replace") as f:
            return f.read()[-size:]

    def log_size(self):
        return os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0

    def metrics(self, addr):
        with urllib.request.urlopen(f"http://{addr}/stats/prometheus", timeout=5) as r:
            return r.read().decode()

    def rss_kb(self):
        for line in open(f"/proc/{self.proc.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1])

    def fds(self):
        return len(os.listdir(f"/proc/{self.proc.pid}/fd"))

    # ---- configuration ----
    def write(self, name, text, wait=True, timeout=10):
        """Replaces one file of the configuration as editors do (write aside, rename), then waits for its generation."""
        before = self.status()["config"] if wait else None
        aside = os.path.join(self.dir, "aside")
        with open(aside, "w") as f:
            f.write(text)
        os.rename(aside, os.path.join(self.config, name))
        if not wait:
            return
        deadline = time.monotonic() + timeout * SLOW
        while time.monotonic() < deadline:
            config = self.status()["config"]
            new = config["generation"] > before["generation"]
            if config["lastError"] and (new or config["lastError"] != before["lastError"]):
                raise AgentError(f"{name}: {config['lastError']}")
            if new:
                return
            time.sleep(0.02)
        raise AgentError(f"{name}: still generation {before['generation']} after {timeout} s: {self.log_tail(500)}")

    # ---- enrolled processes ----
    def exec_argv(self, topo, pod, argv, workload=None, labels=None, inside=True):
        """The command that runs argv enrolled and in the pod's namespace. `inside`: enrolled from within it, as every
        container is; else it changes to it later, and its first connections can be earlier than the doors."""
        hr = [HEADRACE, "exec", "--socket", self.socket, "--workload", workload or f"default/{pod}"]
        if labels:
            hr += ["--labels", labels]
        if inside:
            return topo.cmd(pod, [*hr, "--", *argv])
        return [*hr, "--", *topo.cmd(pod, argv)]


class Client:
    """A Python process, enrolled in a pod, that does what a test asks (puppet.py)."""

    def __init__(self, agent, topo, pod, enrolled=True, **kw):
        argv = [PYTHON, os.path.join(HERE, "puppet.py")]
        argv = agent.exec_argv(topo, pod, argv, **kw) if enrolled else topo.cmd(pod, argv)
        self.proc = spawn(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def send(self, name, /, **kwargs):
        self.proc.stdin.write(json.dumps([name, kwargs]) + "\n")
        self.proc.stdin.flush()

    def receive(self):
        line = self.proc.stdout.readline()
        if not line:
            raise AgentError(f"client ended: {self.proc.stderr.read()[-2000:]}")
        out = json.loads(line)
        if "error" in out:
            raise AssertionError(f"client: {out['error']}")
        return out["ok"]

    def call(self, name, /, **kwargs):
        self.send(name, **kwargs)
        return self.receive()

    def close(self):
        if self.proc.poll() is None:
            self.proc.stdin.close()
            try:
                self.proc.wait(5)
            except subprocess.TimeoutExpired:
                stop(self.proc)
