# SPDX-License-Identifier: Apache-2.0
"""Memory for TCP runs out: a cgroup of processes with a small limit for socket memory (version 1), or a small limit for
all memory (version 2)."""
import contextlib
import os
import time

import agent


def _memory_cgroup():
    """(directory for groups, file of the limit), None: there is no controller that limits it."""
    for line in open("/proc/mounts"):
        f = line.split()
        if f[2] == "cgroup" and "memory" in f[3].split(",") and os.path.exists(f"{f[1]}/memory.kmem.tcp.limit_in_bytes"):
            return f[1], "memory.kmem.tcp.limit_in_bytes"
    base = agent.cgroup2_mount()
    if base and "memory" in open(f"{base}/cgroup.subtree_control").read().split():
        return base, "memory.max"
    return None


@contextlib.contextmanager
def socket_memory(pids, size):
    """Yields a function that sets another limit, or None where there is no such cgroup."""
    where = _memory_cgroup()
    if not where:
        yield None
        return
    base, file = where
    path = f"{base}/squeeze-{os.getpid()}"
    os.makedirs(path, exist_ok=True)

    def limit(n):
        with open(f"{path}/{file}", "w") as f:
            f.write(str(n))
    try:
        limit(size)
        _move(pids, f"{path}/cgroup.procs")
        yield limit
    finally:
        _move(pids, f"{base}/cgroup.procs")
        for _ in range(100):
            with contextlib.suppress(OSError):
                os.rmdir(path)
                break
            time.sleep(0.02)


def _move(pids, file):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError), open(file, "w") as f:
            f.write(str(pid))
