# SPDX-License-Identifier: Apache-2.0
"""Inside the VM: which data path does the agent choose here, and do the tests pass on it?

  guest.py EXPECTED WORD...      EXPECTED: kernel or agent; WORDs select end-to-end tests
"""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, "/headrace/tests/lib")
from agent import Agent  # noqa: E402


def splats():
    """Complaints of the kernel: a WARNING, BUG or Oops is a failure whatever the tests say."""
    text = subprocess.run(["/bin/busybox", "dmesg"], text=True, capture_output=True).stdout
    return [line for line in text.splitlines() if any(w in line for w in (
        "WARNING:", "BUG:", "Oops", "general protection", "refcount_t:", "KASAN", "rcu: INFO", "Call Trace"))]


def main():
    expected, words = sys.argv[1], sys.argv[2:]
    agent = Agent(tempfile.mkdtemp())
    with open(os.path.join(agent.config, "none.yaml"), "w") as f:
        f.write("# no objects\n")
    failed = 0
    try:
        agent.start(wait=60)
    except Exception as e:
        print(f"guest: the agent did not start: {e}\n0 passed, 1 failed")
        return 1
    dp = agent.status()["datapath"]
    print(f"guest: Linux {os.uname().release}: data path {dp['mode']}" + (f": {dp['why']}" if dp["why"] else ""))
    agent.stop()
    agent.release()
    if dp["mode"] != expected:
        print(f"FAIL  chose the data path {dp['mode']}, expected {expected}: {agent.log_tail()}")
        failed += 1
    # the path chosen here in full; where that is the kernel's, a taste of the other (all of it runs on every host)
    failed += subprocess.run([sys.executable, "tests/e2e/run.py", "--again", "--datapath", dp["mode"], *words]).returncode != 0
    if dp["mode"] == "kernel":
        failed += subprocess.run([sys.executable, "tests/e2e/run.py", "--again", "--datapath", "agent", "routing.conditions",
                                  "http.uploads"]).returncode != 0
    for line in splats():
        print(f"FAIL  the kernel says: {line}")
        failed += 1
    print(f"guest: {'passed' if not failed else 'FAILED'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
