# SPDX-License-Identifier: Apache-2.0
"""Long runs of what skips TCP on one node (only with --long): the kernel says nothing, no byte is wrong, nothing is left.

    c1, c2 (captured) ---- nginx and origin.py in v1, captured too
"""
import os
import re
import subprocess
import time

import mesh
from mesh import dst, rule
from runner import check, eventually, test
from test_near import held, near
from topo import sh

REDIRECTS = int(os.environ.get("HR_SOAK", "20000000"))
WEB, VIP = "10.96.0.82", "10.96.0.80"


def complaints():
    """Lines of the kernel's log that no test may add to; where it stands now."""
    lines = sh("dmesg", check=False).stdout.splitlines()
    return [x for x in lines if re.search(r"WARNING:|BUG:|Oops|inet_sock_destruct|general protection|soft lockup|rcu.*stall", x)]


def odd_accounts(env):
    """Idle sockets whose memory accounts are not whole pages (DESIGN trap 29)."""
    text = "".join(env.topo.run(p, "ss", "-tmnH", "state", "established").stdout for p in ("c1", "v1"))
    return [m for m in re.findall(r"skmem:\(r0,.*?f(\d+),w0,", text) if int(m) % 4096]


def open_sockets(env):
    """Of the servers that are gone by now."""
    return sum(len(env.topo.run(p, "ss", "-tanH", "state", "connected", "exclude", "time-wait",
                                "( sport = :9200 or dport = :9200 or sport = :8090 or dport = :8090 )").stdout.splitlines())
               for p in ("c1", "c2", "v1"))


@test(datapaths=("kernel",), timeout=3000, long=True)
def redirects(env):
    """20 million messages that skip TCP (HR_SOAK: another number), in small requests, while other connections compare bodies
    of every size, abort, and read slowly."""
    before, start = complaints(), time.monotonic()
    with near(env):
        env.policy(mesh.pod("near", ["10.77.1.1"], {"app": "near"}), mesh.service("near", [VIP], {"http": 9200}, {"app": "near"}),
                   mesh.vs("near", [rule(dst("near"))]), mesh.pod("web", ["10.77.1.1"], {"app": "web"}),
                   mesh.service("web", [WEB], {"http": 8090}, {"app": "web"}), mesh.vs("web", [rule(dst("web"))]))
        text = "worker_processes 1; daemon off; pid %s/n.pid; error_log stderr; events { worker_connections 4096; } http { access_log off; " \
               "keepalive_requests 1000000000; server { listen 8090 backlog=4096; location / { return 200 \"near\\n\"; } } }" % env.dir
        with open(f"{env.dir}/near.conf", "w") as f:
            f.write(text)
        proc = subprocess.Popen(env.agent.exec_argv(env.topo, "v1", ["nginx", "-c", f"{env.dir}/near.conf"]))
        env.topo.wait_port("v1", 8090)
        try:
            base = env.agent.status()["sameNode"]
            moved, rounds, wrong = 0, 0, []
            while moved < REDIRECTS:
                c = env.client("c2", name="beside")
                c.send("storm", hosts=[VIP], port=9200, vhost="near", connections=100, seconds=8, abort=0.1, seed=rounds, patience=20.0,
                       kinds="nmbrspBC")
                got = env.wrk(f"http://{WEB}:8090/", seconds=10, connections=64)
                check((got["errors"], got["bad"]), (0, 0), f"round {rounds}")
                mixed = c.receive()
                wrong += mixed["wrong"]
                check((wrong, mixed["errors"]), ([], {}), f"round {rounds}")
                now = env.agent.status()["sameNode"]
                moved = sum(now[k] - base[k] for k in ("towardsServer", "towardsClient"))
                rounds += 1
                check([x for x in complaints() if x not in before], [], f"the kernel's log after {moved} redirects")
                check(odd_accounts(env), [], f"accounts after {moved} redirects")
            env.log(f"{moved} redirects in {time.monotonic() - start:.0f} s, {rounds} rounds")
            print(f"      {moved} redirects, {now['bytes'] - base['bytes']} bytes, {now['spilled'] - base['spilled']} spills, "
                  f"{time.monotonic() - start:.0f} s", flush=True)
        finally:
            proc.terminate()
            proc.wait()
    eventually(lambda: env.agent.status()["sameNode"]["unread"] == 0, "nothing is unread")
    eventually(lambda: open_sockets(env) == 0, "no socket is left", 30)
    check([x for x in complaints() if x not in before], [])


@test(datapaths=("kernel",), timeout=200, long=True)
def gigabyte(env):
    """1 GB for a client that never reads, and for one that reads slowly: within 5 MB of what plain TCP holds."""
    with near(env):
        for name, how in (("never", dict(pause=6.0, limit=1000)), ("slow", dict(rate=100_000_000, timeout=60.0))):
            amounts = []
            for enrolled in (False, True):
                c = env.client("c1", name=f"{name}-{enrolled}", enrolled=enrolled)
                where = dict(host=VIP, port=9200) if enrolled else dict(host="10.77.1.1", port=9200)
                c.send("download", **where, vhost="near", target="/bytes?n=1000000000", rcvbuf=262144, **{"timeout": 30.0, **how})
                most, until = 0, time.monotonic() + 4
                while time.monotonic() < until:
                    most = max(most, held(env, "c1") + held(env, "v1"))
                    time.sleep(0.1)
                amounts.append(most)
                got = c.receive()
                check((got["status"], got["bytes"]), (200, how.get("limit", 1_000_000_000)))
                c.close()
                env.clients.pop(f"{name}-{enrolled}")
            env.log(f"{name}: at most {amounts[0]} bytes held by plain TCP, {amounts[1]} near")
            print(f"      {name}: at most {amounts[0]} bytes held by plain TCP, {amounts[1]} near", flush=True)
            check(amounts[1] < amounts[0] + 5_000_000, True, f"{name}: {amounts}")
