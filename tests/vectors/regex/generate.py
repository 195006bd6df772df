#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Patterns of the subset on which RE2 and Python's re agree, texts near them, and whether re.fullmatch takes them.
Writes cases.txt beside this file; the same seed gives the same cases."""
import os
import random
import re

R = random.Random(20260726)
ATOMS = ["a", "b", "c", "/", "-", ".", "\\d", "\\w", "\\s", "\\D", "\\W", "[abc]", "[^a]", "[a-c0-2]", "[^/]", "[\\d-]",
         "\\.", "1", "A", "\\x61", "[\\w.-]"]
COUNTS = ["*", "+", "?", "*?", "+?", "{2}", "{1,3}", "{0,2}", "{2,}", "{0}"]
TEXT = "aabbc/-.12 AB_\n"


def pattern(depth):
    kind = R.random()
    if depth == 0 or kind < 0.35:
        return R.choice(ATOMS)
    if kind < 0.6:
        return pattern(depth - 1) + pattern(depth - 1)
    if kind < 0.75:
        return f"({R.choice(['', '?:', '?i:', '?s:', '?P<n%d>' % R.randrange(10**9)])}{pattern(depth - 1)})"
    if kind < 0.87:
        return f"(?:{pattern(depth - 1)}|{R.choice(['', pattern(depth - 1)])})"
    if kind < 0.93:
        return R.choice(["\\b", "\\B", "^", "$", "(?m:^)", "(?m:$)"]) + pattern(depth - 1)
    return f"(?:{pattern(depth - 1)}){R.choice(COUNTS)}"


def counted(p):
    return p + R.choice(COUNTS) if R.random() < 0.2 and p in ATOMS else p


def escape(s):
    return s.replace("\\", "\\\\").replace("\n", "\\n")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    lines = ["# made by generate.py: pattern | text | 1 when all of the text is a match", ""]
    met = 0
    while len(lines) < 3000:
        p = "".join(counted(pattern(3)) for _ in range(R.randrange(1, 4)))
        # RE2's $ is the end of the text; Python's also stands before a last newline
        python = re.sub(r"(?<![:\\\[])\$", r"\\Z", p)
        try:
            want = re.compile(python.encode())
        except re.error:
            continue
        texts = {"".join(R.choice(TEXT) for _ in range(R.randrange(7))) for _ in range(12)}
        rows = [(t, bool(want.fullmatch(t.encode()))) for t in sorted(texts)]
        if "\\B" in p:
            rows = [r for r in rows if r[0]]  # Python's \\B does not hold in an empty text, RE2's does
        # as many that match as that do not, where there are any
        yes, no = [r for r in rows if r[1]][:2], [r for r in rows if not r[1]][:2]
        met += len(yes)
        lines += [f"{escape(p)} | {escape(t)} | {int(ok)}" for t, ok in yes + no if t.strip(" ") == t]
    with open(os.path.join(here, "cases.txt"), "w") as f:
        f.write("\n".join(lines) + "\n")
    print(len(lines), "cases,", met, "that match")


if __name__ == "__main__":
    main()
