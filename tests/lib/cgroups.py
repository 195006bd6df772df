# SPDX-License-Identifier: Apache-2.0
"""A cgroup of its own for some processes, with a limit, in either version of cgroups."""
import contextlib
import os
import time

import agent


def controller(name, v1_file=None):
    """(directory for groups, version); None: there is no such controller. `v1_file` must be there in version 1."""
    for line in open("/proc/mounts"):
        f = line.split()
        if f[2] == "cgroup" and name in f[3].split(",") and (not v1_file or os.path.exists(f"{f[1]}/{v1_file}")):
            return f[1], 1
    base = agent.cgroup2_mount()
    if base and name in open(f"{base}/cgroup.subtree_control").read().split():
        return base, 2
    return None


def _move(pids, file):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError), open(file, "w") as f:
            f.write(str(pid))


@contextlib.contextmanager
def group(base, name, pids, limits):
    """The processes in BASE/NAME-PID while it lasts, then in BASE. limits: [(file, value)]. Yields its directory."""
    path = f"{base}/{name}-{os.getpid()}"
    os.makedirs(path, exist_ok=True)
    try:
        for file, value in limits:
            set_limit(path, file, value)
        _move(pids, f"{path}/cgroup.procs")
        yield path
    finally:
        _move(pids, f"{base}/cgroup.procs")
        for _ in range(100):
            with contextlib.suppress(OSError):
                os.rmdir(path)
                break
            time.sleep(0.02)


def set_limit(path, file, value):
    with open(f"{path}/{file}", "w") as f:
        f.write(str(value))
