# SPDX-License-Identifier: Apache-2.0
"""Names: the mesh's hosts resolve for enrolled processes, all other names are answered by the system's resolvers."""
import os
import socket
import struct
import threading

import mesh
from mesh import dst, rule
from runner import check, test
from world import RECO, RECO6, SOLO, Env, resolv_conf

FOREIGN = "203.0.113.7"


class Resolver(threading.Thread):
    """A DNS server on loopback that knows foreign.example, and counts who asked for what."""

    def __init__(self):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.77", 53))
        self.sock.settimeout(0.2)
        self.open = True
        self.asked = []

    def run(self):
        while self.open:
            try:
                data, peer = self.sock.recvfrom(4096)
            except TimeoutError:
                continue
            name, at = [], 12
            while data[at]:
                name.append(data[at + 1:at + 1 + data[at]].decode())
                at += 1 + data[at]
            qtype = struct.unpack(">H", data[at + 1:at + 3])[0]
            question = data[12:at + 5]
            self.asked.append(".".join(name))
            known = name == ["foreign", "example"]
            answer = b""
            if known and qtype == 1:
                answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(FOREIGN)
            flags = 0x8180 if known else 0x8183
            self.sock.sendto(data[:2] + struct.pack(">HHHHH", flags, 1, bool(answer), 0, 0) + question + answer, peer)

    def close(self):
        self.open = False
        self.join()
        self.sock.close()


@test(own=True, timeout=60)
def names(world, datapath, log):
    """Short, namespaced, full; IPv4 and IPv6; hosts without an address get one; foreign names pass untouched."""
    resolver = Resolver()
    resolver.start()
    env = Env(world, datapath, name="names", resolv=resolv_conf(world.dir, "nameserver 127.0.0.77"))
    env.log = log
    etc = f"/etc/netns/{world.topo.ns('c1')}"
    os.makedirs(etc, exist_ok=True)
    with open(f"{etc}/resolv.conf", "w") as f:  # what the pod has: some resolver that is far away
        f.write("nameserver 10.96.0.53\noptions timeout:2 attempts:2\n")
    try:
        env.start()
        env.policy(mesh.vs("reco", [rule(dst("reco", "v2"))]),
                   mesh.service_entry("ext", ["api.example.test"], {"http": (8080, "HTTP")}, [("10.77.1.1", {})]))
        client = env.client()
        wrong = []
        for name in ("reco", "reco.default", "reco.default.svc", "reco.default.svc.cluster.local", "RECO.default"):
            for family, want in (("4", [RECO]), ("6", [RECO6])):
                got = client.call("resolve", name=name, family=family)
                if got != want:
                    wrong.append(f"{name} IPv{family}: {got}")
        got = client.call("resolve", name="api.example.test")
        if not got[0].startswith("240.240."):
            wrong.append(f"api.example.test: {got}")
        if client.call("resolve", name="foreign.example") != [FOREIGN]:
            wrong.append(f"foreign.example: {client.call('resolve', name='foreign.example')}")
        if not client.call("resolve", name="nobody.example")[0].startswith("error"):
            wrong.append("nobody.example resolves")
        for url, want in (("http://reco:8080/", "v2 v2"), ("http://reco.default.svc.cluster.local:8080/", "v2 v2"),
                          ("http://api.example.test:8080/", "v1 v1")):
            got = env.get(url, check=False)
            if got != (200, want):
                wrong.append(f"{url}: {got}")
        asked = [n for n in resolver.asked if "reco" in n.lower()]
        if asked:
            wrong.append(f"the system's resolver was asked for {asked[:3]}")
        check(wrong, [])
        env.close()
        check(env.agent.leftovers(), [])
    finally:
        if env.agent.alive():
            env.close()
        env.agent.release()
        resolver.close()
        os.unlink(f"{etc}/resolv.conf")
        os.rmdir(etc)


@test(own=True, timeout=60)
def short_names_of_guests(world, datapath, log):
    """Two workloads of different Kubernetes namespaces in one network namespace, as on a host without containers:

        pod c1:  default/a   getent solo -> default's        red/b   getent solo -> red's    green/c -> default's
    """
    env = Env(world, datapath, name="guests")
    env.log = log
    try:
        env.start()
        env.policy(mesh.service("solo", ["10.96.7.1"], {"http": 9000}, ns="red"))
        got = {w: env.exec_("getent", "ahostsv4", "solo", workload=w).stdout.split()[0]
               for w in ("default/a", "red/b", "green/c", "red/d", "default/e")}
        check(got, {"default/a": SOLO, "red/b": "10.96.7.1", "green/c": SOLO, "red/d": "10.96.7.1", "default/e": SOLO})
        env.close()
        check(env.agent.leftovers(), [])
    finally:
        if env.agent.alive():
            env.close()
        env.agent.release()
