# SPDX-License-Identifier: Apache-2.0
"""Debian kernels as files: which there are, download, unpack. Nothing is installed: apt works in a directory of
its own, with the suites that have the kernels."""
import glob
import os
import re
import shutil
import subprocess

SUITES = [("debian", s) for s in ("bookworm", "bookworm-backports", "trixie", "trixie-backports")] + [
    ("debian-security", s) for s in ("bookworm-security", "trixie-security")]
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# The kernel path needs 6.12 or newer; these lose native data behind a redirected answer (docs/KERNELS).
BAD = {"6.12.57", "6.12.69", "6.12.73", "6.12.74", "6.17.8", "6.17.13", "6.18.5", "6.18.9", "6.18.12"}


def number(version):
    return tuple(int(x) for x in re.findall(r"\d+", version)[:4])


def expected(version):
    """The data path that the self-test must choose there."""
    plain = re.match(r"[\d.]+", version).group().rstrip(".")
    return "agent" if number(version)[:2] < (6, 12) or plain in BAD else "kernel"


class Kernels:
    def __init__(self, directory):
        self.dir = directory
        self.apt = os.path.join(directory, "apt")

    def _run(self, *argv, **kw):
        return subprocess.run(argv, check=True, text=True, capture_output=True,
                              env={**os.environ, "APT_CONFIG": f"{self.apt}/apt.conf"}, **kw).stdout

    def update(self):
        for d in ("lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(self.apt, d), exist_ok=True)
        with open(f"{self.apt}/sources.list", "w") as f:
            for archive, suite in SUITES:
                f.write(f"deb [signed-by={KEYRING}] http://deb.debian.org/{archive} {suite} main\n")
        with open(f"{self.apt}/apt.conf", "w") as f:
            f.write(f'Dir::State::lists "{self.apt}/lists";\nDir::Cache "{self.apt}/cache";\n'
                    f'Dir::Etc::sourcelist "{self.apt}/sources.list";\nDir::Etc::sourceparts "-";\n'
                    'APT::Sandbox::User "root";\n')
        self._run("apt-get", "update", "-q")
        names = self._run("apt-cache", "pkgnames").split()
        self.names = set(names)
        found = (re.fullmatch(r"linux-(?:image|binary)-(\d.*)-cloud-amd64", n) for n in names)
        self.versions = sorted({m.group(1) for m in found if m and re.match(r"\d+\.\d+\.\d", m.group(1))}, key=number)

    def choose(self, word):
        """The newest version that the word means: "6.1", "6.12.74", "newest"."""
        fits = [v for v in self.versions if word == "newest" or re.match(re.escape(word) + r"($|[.+-])", v)]
        if not fits:
            raise SystemExit(f"vmtest: Debian has no kernel {word} now (has {', '.join(self.versions)})")
        return fits[-1]

    def get(self, version):
        """(vmlinuz, directory with the modules), downloaded once."""
        root = os.path.join(self.dir, "kernel-" + version)
        if not os.path.exists(f"{root}/complete"):
            shutil.rmtree(root, ignore_errors=True)
            os.makedirs(f"{root}/deb")
            full = f"{version}-cloud-amd64"
            packages = [p for p in (f"linux-binary-{full}", f"linux-modules-{full}") if p in self.names]
            self._run("apt-get", "download", "-q", *(packages or [f"linux-image-{full}"]), cwd=f"{root}/deb")
            for deb in glob.glob(f"{root}/deb/*.deb"):
                self._run("dpkg", "-x", deb, root)
            shutil.rmtree(f"{root}/deb")
            open(f"{root}/complete", "w").close()
        images = glob.glob(f"{root}/boot/vmlinuz-*") + glob.glob(f"{root}/usr/lib/modules/*/vmlinuz")
        modules = [d for d in glob.glob(f"{root}/lib/modules/*") + glob.glob(f"{root}/usr/lib/modules/*")
                   if os.path.isdir(f"{d}/kernel")]
        if not images or not modules:
            raise SystemExit(f"vmtest: the packages of {version} hold no kernel: {os.listdir(root)}")
        return images[0], modules[0]
