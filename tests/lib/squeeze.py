# SPDX-License-Identifier: Apache-2.0
"""Memory for TCP runs out: a cgroup of processes with a small limit for socket memory (version 1), or a small limit for
all memory (version 2)."""
import contextlib

import cgroups

V1 = "memory.kmem.tcp.limit_in_bytes"


@contextlib.contextmanager
def socket_memory(pids, size):
    """Yields a function that sets another limit, or None where there is no such cgroup."""
    where = cgroups.controller("memory", V1)
    if not where:
        yield None
        return
    base, version = where
    file = V1 if version == 1 else "memory.max"
    with cgroups.group(base, "squeeze", pids, [(file, size)]) as path:
        yield lambda n: cgroups.set_limit(path, file, n)
