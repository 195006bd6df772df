# SPDX-License-Identifier: Apache-2.0
"""The READMEs under policies/ are true: every command in them is run, and says what they say it says.

In a block of a README a line that begins with `$ ` is a command (it goes on in the next line after |, \\ or &), and what
follows is its output: `...` stands for anything, `~95` for a number that chance puts near 95. White space does not
count. The pods of a story are namespaces with a web server each, which answers with its version; `headrace exec` runs
in the namespace of c1. Files that the README applies are not in the agent's -f.
"""
import json
import os
import re
import shlex
import subprocess

import servers
from agent import HEADRACE, ROOT
from runner import check, test
from topo import SLOW

BASE = os.path.join(ROOT, "policies")


def commands(text):
    """[(command, [expected lines])] of the fenced blocks."""
    out = []
    for block in re.findall(r"^```\w*\n(.*?)^```$", text, re.M | re.S):
        open_ = False
        for line in block.splitlines():
            if line.startswith("$ ") or open_:
                if open_:
                    out[-1] = (out[-1][0] + "\n" + line, [])
                else:
                    out.append((line[2:], []))
                open_ = line.rstrip().endswith(("|", "\\", "&"))
            elif out and block.startswith("$ "):
                out[-1][1].append(line)
    return out


def agrees(want, got):
    """One line of output."""
    want, got = " ".join(want.split()), " ".join(got.split())
    near = [int(x) for x in re.findall(r"~(\d+)", want)]
    pattern = re.sub(r"\\\.\\\.\\\.", ".*", re.escape(want))
    m = re.fullmatch(re.sub(r"\\?~\d+", r"(\\d+)", pattern), got)
    return bool(m) and all(abs(int(x) - n) <= 4.5 * n ** 0.5 for x, n in zip(m.groups(), near))


def programs(env):
    """A directory with a `headrace` that talks to this agent and whose `exec` runs in the namespace of c1."""
    path = os.path.join(env.dir, "bin")
    os.makedirs(path, exist_ok=True)
    inside = " ".join(shlex.quote(x) for x in env.topo.cmd("c1", []))
    with open(os.path.join(path, "headrace"), "w") as f:
        f.write(f"""#!/bin/bash
if [ "$1" = exec ]; then
	shift; options=()
	while [ "$1" != -- ]; do options+=("$1"); shift; done
	shift; exec {shlex.quote(HEADRACE)} exec --workload default/c1 "${{options[@]}}" -- {inside} "$@"
fi
exec {shlex.quote(HEADRACE)} "$@"
""")
    os.chmod(os.path.join(path, "headrace"), 0o755)
    return path


def start_pods(env):
    """A web server for each pod of the story, on the port that its Service names; they stay for the next data path."""
    def listed(kind):
        return json.loads(env.agent.ctl("get", kind, "-A", "-o", "json").stdout)["items"]
    ports = {}
    for s in listed("service"):
        for p in s["spec"]["ports"]:
            ports.setdefault((s["spec"].get("selector") or {}).get("app"), int(p.get("targetPort", p["port"])))
    for pod in listed("pod"):
        ip, labels = pod["status"]["podIP"], pod["metadata"].get("labels", {})
        net, version = int(ip.split(".")[2]), labels.get("version", "v1")
        name = next((n for n, addrs in env.topo.pods.items() if addrs[0] == ip), None)
        if not name:
            name = f"story{net}"
            env.topo.add(name, net)
            servers.nginx(env.topo, name, version, env.world.dir, port=ports.get(labels.get("app"), 8080),
                          who=pod["metadata"]["name"])


def story(env, name):
    folder = os.path.join(BASE, name)
    readme = open(os.path.join(folder, "README.md")).read()
    for file in sorted(os.listdir(folder)):
        if file.endswith(".yaml") and name not in ("bad", "practice") and f"apply -f policies/{name}/{file}" not in readme:
            env.put(f"{name}-{file}", open(os.path.join(folder, file)).read())
    start_pods(env)
    where = {**os.environ, "PATH": programs(env) + ":" + os.environ["PATH"], "HEADRACE_SOCKET": env.agent.socket}
    steps = commands(readme)
    check(len(steps) > 0, True, "a README without a command")
    for command, want in steps:
        done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=where, capture_output=True, text=True, timeout=30 * SLOW)
        got = done.stdout.splitlines()
        env.log(f"$ {command}\n{done.stdout}{done.stderr}")
        if len(got) != len(want) or not all(agrees(w, g) for w, g in zip(want, got)):
            raise AssertionError(f"policies/{name}/README.md: $ {command}\nsays {want}\nis   {got} {done.stderr[:500]}")


def add_story(name):
    def run(env):
        try:
            story(env, name)
        finally:
            for kind in ("vs", "dr"):
                for o in json.loads(env.agent.ctl("get", kind, "-A", "-o", "json").stdout)["items"]:
                    env.agent.ctl("delete", kind, o["metadata"]["name"], check=False)
    run.__name__ = run.__qualname__ = name.replace("-", "_")
    run.__doc__ = f"policies/{name}/README.md"
    # where the clients are is an option of `run`: such a story has an agent of its own
    where = re.search(r"headrace run [^`]*--locality (\S+?)`", open(os.path.join(BASE, name, "README.md")).read())
    test(timeout=60, args=("--locality", where.group(1)) if where else ())(run)


for folder in sorted(os.listdir(BASE)):
    if os.path.exists(os.path.join(BASE, folder, "README.md")):
        add_story(folder)


@test(datapaths=("agent",))
def a_false_readme_is_noticed(env):
    """The comparison itself: what it lets pass, and what not."""
    same = [("~95 v1", "     97 v1"), ("a ... z", "a b c z"), ("x [1.5]", "x  [1.5]"), ("~380 v1, ~20 v2", "391 v1, 9 v2")]
    other = [("~95 v1", "10 v1"), ("~95 v1", "95 v2"), ("a ... z", "a b c"), ("x [1.5]", "x [125]"), ("", "x")]
    check([agrees(w, g) for w, g in same + other], [True] * len(same) + [False] * len(other))
    check(commands("text\n```\n$ a |\n    b\nout\n$ c\n```\n```\na picture\n```\n"), [("a |\n    b", ["out"]), ("c", [])])
