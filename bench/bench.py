#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`sudo make bench`: what headrace costs and gains, one table a question, and the wanted figures beside.

    bench/bench.py [--only WORD]... [--load WORD]... [--rounds N] [--seconds N]         make bench BENCH="--only grpc"

--only: a table by its name (the files of this room), or rows that have the word in their name; --load: only loads whose
title has it. Results also go into bench/out. All of it takes about ten minutes; it wants a machine that does nothing
else. Every load is measured for all rows one after the other, in rounds; a cell is the median of the rounds. A
measurement before which the machine was busier than 15 % with nothing of ours running, or that lost more than 5 % to the
hypervisor, makes its load be measured again (three times a table at most; then the table says so). Never a timed test.
"""
import argparse
import importlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from lab import Report, chosen  # noqa: E402
from agent import ROOT  # noqa: E402
from topo import exit_on_signals  # noqa: E402

TABLES = ("paths", "routes", "grpc", "opaque", "weights", "endpoints")


def tables(args):
    """Modules to run: all, or those of which --only and --load leave something."""
    modules = {name: importlib.import_module(name) for name in TABLES}
    found = {n: m for n, m in modules.items() if chosen(args, n, getattr(m, "ROWS", None), getattr(m, "LOADS", None))}
    if not found:
        raise SystemExit(f"bench: nothing is called {args.only or ''} {args.load or ''}; tables: {', '.join(TABLES)}")
    return found


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=1)
    p.add_argument("--only", action="append")
    p.add_argument("--load", action="append")
    args = p.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("bench: needs root (network namespaces, BPF): sudo make bench")
    exit_on_signals()
    report = Report()
    for name, module in tables(args).items():
        report.title(name, module.__doc__.split("\n")[0])
        module.run(args, report)
    if report.wanted:
        report.say(f"\n{sum(w['met'] for w in report.wanted)} of {len(report.wanted)} wanted figures are met")
    print("also in", os.path.relpath(report.save(os.path.join(ROOT, "bench", "out"), args)))


if __name__ == "__main__":
    main()
