# SPDX-License-Identifier: Apache-2.0
"""Socket memory runs out in a client's container: its requests become slow or fail, but no connection hangs for good.

    client in a cgroup with little memory for TCP --- connection --- kernel, agent, servers without such a limit
"""
import time

import mesh
import squeeze
from mesh import dst, header, rule
from runner import Skip, check, test
from world import ORIGIN

BY_WAY = [rule(dst("origin", "v1"), header("x-k", exact="n")),
          rule(dst("origin", "v2"), header("x-k", exact="m")),
          rule([dst("origin", "v1", 50), dst("origin", "v2", 50)], header("x-k", exact="b"),
               headers={"request": {"set": {"x-b": "1"}}})]


@test(timeout=60)
def no_connection_hangs(env):
    """200 connections and 2 MB for all of them, with bodies of up to 300 KB, edge-triggered: each goes on when the limit
    is lifted, and those that began under it too."""
    env.policy(mesh.vs("origin", BY_WAY))
    client = env.client("c1")
    client.call("ping")
    with squeeze.socket_memory([client.proc.pid], 2 << 20) as limit:
        if not limit:
            raise Skip("no cgroup that limits memory here")
        client.send("storm", hosts=[ORIGIN], port=9000, vhost="origin", connections=200, seconds=6,
                    kinds="nmbBC", patience=20)
        time.sleep(4)
        limit(1 << 30)
        got = client.receive()
    check((got["wrong"], got["errors"], got["total"] > 0), ([], {}, True), str(got))
