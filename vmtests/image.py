# SPDX-License-Identifier: Apache-2.0
"""A root file system for the guests: an initramfs with copies of what the tests use here, and our init.

No disk, no network card, no shared directory: what runs inside is what was copied, and any kernel can boot it.
"""
import glob
import gzip
import os
import re
import shutil
import subprocess

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(HERE)
PROGRAMS = ["/usr/bin/python3", "/usr/sbin/nginx", "/usr/bin/curl", "/usr/bin/wrk", "/usr/sbin/ip", "/usr/sbin/bpftool",
            "/usr/bin/setpriv", "/usr/bin/unshare", "/usr/bin/mount", "/usr/bin/getent"]
MODULES = ["llc", "stp", "bridge", "veth"]  # in the order in which they load
ETC = {"passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
       "group": "root:x:0:\nnogroup:x:65534:\n", "hosts": "127.0.0.1 localhost\n",
       "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n", "resolv.conf": ""}


def _libraries(path):
    out = subprocess.run(["ldd", path], text=True, capture_output=True).stdout
    return set(re.findall(r"(/[^\s]+\.so[^\s]*)", out))


def _copy(root, path, target=None):
    to = root + (target or path)
    if not os.path.exists(to):
        os.makedirs(os.path.dirname(to), exist_ok=True)
        shutil.copy2(os.path.realpath(path), to)


def build(out, headrace, version, modules):
    """Writes the initramfs OUT (a cpio archive) for one kernel."""
    root = out + ".root"
    shutil.rmtree(root, ignore_errors=True)
    for d in ("proc", "sys", "dev", "tmp", "run/lock", "var/lib/nginx", "root", "etc", "bin", "sbin", "usr", "var/log/nginx"):
        os.makedirs(f"{root}/{d}")
    wanted = list(PROGRAMS)
    python = glob.glob("/usr/lib/python3.*")[0]
    shutil.copytree(python, root + python, ignore=shutil.ignore_patterns(
        "test", "tests", "idlelib", "tkinter", "ensurepip", "distutils", "lib2to3", "turtledemo", "pydoc_data", "config-*", "__pycache__"))
    wanted += glob.glob(f"{python}/lib-dynload/*.so")
    for path in glob.glob("/usr/lib/python3/dist-packages/prometheus_client/**/*.py", recursive=True) \
            + glob.glob("/usr/lib/python3/dist-packages/decorator.py"):  # without them no test is found
        _copy(root, path)
    for path in wanted:
        _copy(root, path)
    _copy(root, headrace, "/headrace/build/headrace")
    for test in ("path", "scan_test"):
        if os.path.exists(f"{os.path.dirname(headrace)}/tests/bpf/{test}"):
            wanted.append(f"{os.path.dirname(headrace)}/tests/bpf/{test}")
            _copy(root, wanted[-1], f"/headrace/build/tests/bpf/{test}")
    for path in {lib for p in [*wanted, headrace] for lib in _libraries(p)} | set(glob.glob("/lib64/ld-linux*")):
        _copy(root, path)
    _copy(root, "/usr/bin/busybox" if os.path.exists("/usr/bin/busybox") else "/bin/busybox", "/bin/busybox")
    for applet in "sh cat sleep kill ls true false grep head tail sed env id uname insmod poweroff".split():
        os.symlink("/bin/busybox", f"{root}/bin/{applet}")
    for d in ("tests/lib", "tests/e2e", "tests/fuzz/corpus/scan", "policies", "vmtests"):
        if os.path.isdir(f"{ROOT}/{d}"):
            shutil.copytree(f"{ROOT}/{d}", f"{root}/headrace/{d}", ignore=shutil.ignore_patterns("__pycache__", "out"))
    for name, text in ETC.items():
        with open(f"{root}/etc/{name}", "w") as f:
            f.write(text)
    os.makedirs(f"{root}/modules")
    names = []
    for m in MODULES:
        for path in glob.glob(f"{modules}/kernel/**/{m}.ko*", recursive=True):
            to = f"{root}/modules/{m}.ko"
            if path.endswith(".xz"):
                with open(to, "wb") as f:
                    subprocess.run(["xz", "-dc", path], check=True, stdout=f)
            else:
                shutil.copy(path, to)
            names.append(m)
    with open(f"{root}/modules/list", "w") as f:
        f.write("\n".join(names) + "\n")
    shutil.copy(f"{HERE}/init", f"{root}/init")
    os.chmod(f"{root}/init", 0o755)
    find = subprocess.Popen(["find", ".", "-mindepth", "1"], cwd=root, stdout=subprocess.PIPE)
    cpio = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, stdin=find.stdout, check=True, stdout=subprocess.PIPE)
    with gzip.open(out, "wb", compresslevel=1) as f:
        f.write(cpio.stdout)
    shutil.rmtree(root)
    return os.path.getsize(out)
