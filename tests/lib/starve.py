# SPDX-License-Identifier: Apache-2.0
"""Takes the CPU away from processes, in the ways in which a busy machine does. Each is a context manager.

    stopped    random slices in which they do not run at all (a virtual machine beside, a frozen container)
    idle       they run when nobody else wants to: SCHED_IDLE, beside a busy loop for each CPU
    one_cpu    all on one CPU: what was parallel alternates
    quota      a cgroup's quota, as container limits have it (both versions of cgroups)
"""
import contextlib
import os
import random
import signal
import subprocess
import threading
import time

import cgroups


def tasks(pids):
    """Thread ids; of processes that have ended, none."""
    out = []
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            out += [int(t) for t in os.listdir(f"/proc/{pid}/task")]
    return out


def _kill(pids, sig):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sig)


@contextlib.contextmanager
def stopped(pids, seed=0, run=(0.0, 0.02), stop=(0.001, 0.2)):
    """Each process by itself: `run` seconds on, `stop` seconds off."""
    over = threading.Event()

    def slices(pid):
        rnd = random.Random(seed * 7919 + pid)
        while not over.is_set():
            _kill([pid], signal.SIGSTOP)
            time.sleep(rnd.uniform(*stop))
            _kill([pid], signal.SIGCONT)
            over.wait(rnd.uniform(*run))
    threads = [threading.Thread(target=slices, args=(p,), daemon=True) for p in pids]
    for t in threads:
        t.start()
    try:
        yield
    finally:
        over.set()
        for t in threads:
            t.join()
        _kill(pids, signal.SIGCONT)


def _each(pids, f):
    for t in tasks(pids):
        with contextlib.suppress(ProcessLookupError):
            f(t)


@contextlib.contextmanager
def idle(pids):
    _each(pids, lambda t: os.sched_setscheduler(t, os.SCHED_IDLE, os.sched_param(0)))
    loops = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count())]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
        _each(pids, lambda t: os.sched_setscheduler(t, os.SCHED_OTHER, os.sched_param(0)))


@contextlib.contextmanager
def one_cpu(pids):
    before = os.sched_getaffinity(0)
    _each(pids, lambda t: os.sched_setaffinity(t, {min(before)}))
    try:
        yield
    finally:
        _each(pids, lambda t: os.sched_setaffinity(t, before))


@contextlib.contextmanager
def quota(pids, ms=5, of=100):
    """`ms` of CPU in each `of` ms, for all of them together. Without a controller: nothing. Only for processes that no
    cgroup of version 2 enrols, where there is no version 1."""
    where = cgroups.controller("cpu")
    if not where:
        yield
        return
    base, version = where
    limits = [("cpu.cfs_period_us", of * 1000), ("cpu.cfs_quota_us", ms * 1000)]
    if version == 2:
        limits = [("cpu.max", f"{ms * 1000} {of * 1000}")]
    with cgroups.group(base, "starve", pids, limits):
        yield
