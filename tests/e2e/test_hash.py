# SPDX-License-Identifier: Apache-2.0
"""consistentHash: the same key goes to the same server, keys spread over both."""
import re

import mesh
from mesh import dst, rule
from runner import check, test
from world import RECO


def policy(env, **hash_by):
    env.policy(mesh.dr("reco", policy={"loadBalancer": {"consistentHash": hash_by}}), mesh.vs("reco", [rule(dst("reco"))]))


def versions(env, requests, pod="c1"):
    got = env.call("exchange", pod=pod, host=RECO, port=8080, requests=[{"host": "reco", **r} for r in requests])
    check({r["status"] for r in got}, {200})
    return [r["version"] for r in got]


def sticky(env, request):
    """`request` makes a request of a key: 40 keys, each asked three times in mixed order."""
    keys = [f"key-{i}" for i in range(40)] * 3
    rows = versions(env, [request(k) for k in keys])
    seen = {}
    for k, v in zip(keys, rows):
        check(seen.setdefault(k, v), v, k)
    check(set(rows), {"v1", "v2"})


@test()
def by_header(env):
    for table in ({}, {"ringHash": {"minimumRingSize": 2048}}, {"maglev": {"tableSize": 1009}}):
        policy(env, httpHeaderName="x-user", **table)
        sticky(env, lambda k: {"headers": [["x-user", k]]})
    check(set(versions(env, [{}] * 60)), {"v1", "v2"}, "without the header: anywhere")


@test()
def by_query(env):
    policy(env, httpQueryParameterName="user")
    sticky(env, lambda k: {"target": f"/?a=1&user={k}&b=2"})


@test()
def by_source(env):
    """All requests of one client address, on any connection, go to one server."""
    policy(env, useSourceIp=True)
    for pod in ("c1", "c2"):
        seen = {v for _ in range(5) for v in versions(env, [{}] * 5, pod=pod)}
        check(len(seen), 1, str(seen))


@test()
def by_cookie(env):
    """Absent, the cookie is made; with it, its server stays."""
    policy(env, httpCookie={"name": "user", "ttl": "60s", "path": "/"})
    sticky(env, lambda k: {"headers": [["cookie", f"a=b; user={k}; c=d"]]})
    for _ in range(5):
        head = env.curl("-i", f"http://{RECO}:8080/", "-H", "host: reco")
        made = re.search(r"(?im)^set-cookie: user=\"([0-9a-f]+)\"; Max-Age=60; Path=/; HttpOnly", head)
        check(made is not None, True, head)
        version = re.search(r"(?im)^x-version: (\w+)", head).group(1)
        check(set(versions(env, [{"headers": [["cookie", f"user={made.group(1)}"]]}] * 10)), {version})
    head = env.curl("-i", f"http://{RECO}:8080/", "-H", "host: reco", "-H", "cookie: user=mine")
    check("set-cookie" in head.lower(), False, head)
