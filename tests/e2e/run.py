#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""End-to-end tests: real clients and servers in network namespaces, each test on both data paths.

  tests/e2e/run.py [--datapath kernel|agent]... [--long] [--list] [--until-failure] [--again] [--near] [WORD]...

--near: the servers are captured as well, so that connections to them are paired (same node).
A WORD selects tests whose module.name begins with it. Needs root. HEADRACE names another binary (a sanitizer
build); B another build directory. Logs of failures: build/test-logs/.
--again: what failed is run once more on a new agent; what passes then is named as flaky, and does not count as failed.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import runner  # noqa: E402
from agent import HEADRACE  # noqa: E402
from topo import exit_on_signals  # noqa: E402
from world import World  # noqa: E402


def name_of(f, datapath):
    return f"{datapath} {f.__module__.removeprefix('test_')}.{f.__name__}"


def run_again(run, plan):
    """Second chances. The first failures and their logs stay in sight."""
    again = [(f, d) for f, d in plan if name_of(f, d) in run.failures]
    once = [name_of(f, d) for f, d in again]
    run.failures = [name for name in run.failures if name not in once]
    run.failed -= len(once)
    for f, d in again:
        run.run(f, d)
    for name in once:
        if name not in run.failures:
            print(f"flaky: {name}: failed once, passed when run again", flush=True)


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("--datapath", action="append", choices=["kernel", "agent"])
    p.add_argument("--long", action="store_true")
    p.add_argument("--list", action="store_true")
    p.add_argument("--until-failure", action="store_true", help="stop at the first failure")
    p.add_argument("--again", action="store_true", help="a second chance for what failed, said as flaky")
    p.add_argument("--near", action="store_true", help="the servers are captured too: same node")
    p.add_argument("words", nargs="*")
    args = p.parse_args()
    runner.load(os.path.dirname(os.path.abspath(__file__)))

    def wanted(f):
        name = f"{f.__module__.removeprefix('test_')}.{f.__name__}"
        return (args.long or not f.long) and (not args.words or any(name.startswith(w) for w in args.words))
    plan = [(f, d) for d in args.datapath or ["kernel", "agent"] for f in runner.TESTS
            if d in f.datapaths and wanted(f)]
    if args.list:
        for f, d in plan:
            print(d, f"{f.__module__.removeprefix('test_')}.{f.__name__}")
        return 0
    if os.geteuid() != 0:
        print("run.py: needs root (network namespaces, BPF)", file=sys.stderr)
        return 2
    if not os.access(HEADRACE, os.X_OK):
        print(f"run.py: there is no {HEADRACE}: make all", file=sys.stderr)
        return 2
    exit_on_signals()
    world = World(near=args.near)
    run = runner.Runner(world)
    try:
        for f, d in plan:
            run.run(f, d)
            if args.until_failure and run.failed:
                break
        if args.again:
            run_again(run, plan)
        run.finish()
    finally:
        if run.shared:
            run.abandon(run.shared)
        world.close()
    print(f"{run.passed} passed, {run.failed} failed, {run.skipped} skipped", flush=True)
    return 1 if run.failed or not run.passed else 0


if __name__ == "__main__":
    sys.exit(main())
