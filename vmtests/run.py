#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`sudo make vmtest`: a part of the end-to-end suite inside VMs, over Debian's kernels.

  vmtests/run.py [KERNEL]...    6.1, 6.12.74, newest ...; without: the matrix below. WORDS="routing. http." selects tests

Each VM boots a Debian cloud kernel with an initramfs of what the tests need (image.py), so the host's kernel,
network and file systems play no part. Without KVM it is emulated: slow, but the same instructions.
Logs: build/vm/KERNEL.log
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import image  # noqa: E402
from kernels import Kernels, expected  # noqa: E402

# oldest supported (agent path), a bad one that must be noticed, Debian 13's, Debian 13's backports, newest
MATRIX = ["6.1", "6.12.74", "6.12", "6.18.15", "newest"]
WORDS = ("routing.conditions routing.no_rule weights.zero weights.change http.what_arrives http.alternating http.uploads "
         "http.chunked_then_next http.pipelining http.byte_by_byte http.upgrade http.bodiless tcp.server_speaks_first_on opaque.server_speaks_first "
         "faults.no_endpoint faults.moved_server agent.second_agent agent.term_leaves agent.kill_switch_open names. contract.status")
BUILD = os.path.join(image.ROOT, os.environ.get("B", "build"))
TIMEOUT = 900


def accelerator():
    """KVM where it works; stock kernels do not boot under kvm_pvm."""
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK) and not os.path.exists("/sys/module/kvm_pvm")
    return ["-accel", "kvm", "-cpu", "host"] if usable else ["-accel", "tcg", "-cpu", "max,la57=off"]


def boot(version, kernels, vmdir):
    vmlinuz, modules = kernels.get(version)
    initrd = os.path.join(vmdir, f"{version}.cpio.gz")
    image.build(initrd, os.path.join(BUILD, "headrace"), version, modules)
    log, result = os.path.join(vmdir, f"{version}.log"), os.path.join(vmdir, f"{version}.result")
    open(result, "w").close()
    args = ",".join([expected(version), *os.environ.get("WORDS", WORDS).split()])
    accel = accelerator()
    slow = 1 if "kvm" in accel else 6
    argv = ["timeout", "-k", "5", str(TIMEOUT), "qemu-system-x86_64", *accel, "-smp", "1", "-m", "3G", "-nodefaults", "-no-user-config",
            "-display", "none", "-no-reboot", "-kernel", vmlinuz, "-initrd", initrd,
            "-append", f"console=ttyS0 panic=-1 oops=panic quiet HR_SLOW={slow} hr.args={args}",
            "-serial", f"file:{log}", "-serial", f"file:{result}"]
    start = time.monotonic()
    subprocess.run(argv, stdin=subprocess.DEVNULL)
    seconds = time.monotonic() - start
    text = open(log, errors="replace").read()
    ok = open(result).read().strip() == "exit 0"
    chosen = next((line for line in text.splitlines() if line.startswith("guest: Linux")), "guest: did not come up")
    counts = [line.split() for line in text.splitlines() if " passed, " in line and line[0].isdigit()]
    counted = f"{sum(int(c[0]) for c in counts)} passed, {sum(int(c[2]) for c in counts)} failed"
    print(f"{'ok   ' if ok else 'FAIL '} {version} ({seconds:.0f} s): {counted}\n      {chosen}   log: {os.path.relpath(log)}", flush=True)
    if not ok:
        rows = [line for line in text.splitlines() if line.startswith(("FAIL", "guest:"))] or text.splitlines()
        print("\n".join("      " + line for line in rows[-15:]), flush=True)
    os.unlink(initrd)
    return ok


def main():
    vmdir = os.path.join(BUILD, "vm")
    os.makedirs(vmdir, exist_ok=True)
    kernels = Kernels(vmdir)
    kernels.update()
    versions = list(dict.fromkeys(kernels.choose(w) for w in sys.argv[1:] or MATRIX))
    print(f"kernels: {', '.join(versions)}; {accelerator()[1]}", flush=True)
    results = [boot(v, kernels, vmdir) for v in versions]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
