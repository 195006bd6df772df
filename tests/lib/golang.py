# SPDX-License-Identifier: Apache-2.0
"""Builds the Go clients once, where there is a Go."""
import os
import shutil

from agent import ROOT
from runner import Skip
from topo import sh


def build(of="goclient"):
    """The program in that folder of tests/e2e."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not go:
        raise Skip("no Go here")
    build_dir = os.path.join(ROOT, "build")  # one for all builds of headrace: the first time compiles Go's library
    out = os.path.join(build_dir, "tests", f"go-{of}")
    src = os.path.join(ROOT, "tests", "e2e", of, "main.go")
    if not os.path.exists(out) or os.path.getmtime(out) < os.path.getmtime(src):
        os.makedirs(os.path.dirname(out), exist_ok=True)
        sh(go, "build", "-o", out, src, timeout=120, env={
            **os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GO111MODULE": "off",
            "GOCACHE": os.path.join(build_dir, "go-cache"), "HOME": os.environ.get("HOME", "/root")})
    return out
