# SPDX-License-Identifier: Apache-2.0
"""Much at once: who carries it, and that nobody gets what belongs to another."""
import mesh
from mesh import dst, header, rule
from runner import check, test
from world import ORIGIN, ORIGIN6, RECO


@test()
def kernel_carries_it(env):
    """Plain wrk traffic, weighted and by header: at least nine tenths never wake the agent."""
    if env.agent.status()["datapath"]["mode"] != "kernel" and env.datapath == "kernel":
        raise AssertionError(f"asked for kernel, got {env.agent.status()['datapath']}")
    env.policy(mesh.vs("reco", [rule(dst("reco", "v2"), header("x-canary", exact="true")),
                                rule([dst("reco", "v1", 95), dst("reco", "v2", 5)])]))
    for headers in ([], [["x-canary", "true"]]):
        before = env.requests()
        load = env.wrk(f"http://{RECO}:8080/", 2, 32, headers=[["Host", "reco"], *headers])
        check((load["errors"], load["bad"], load["requests"] > 500), (0, 0, True), str(load))
        after = env.requests()
        total = after["total"] - before["total"]
        check(abs(total - load["requests"]) <= 64, True, f"wrk {load['requests']}, counted {total}")
        if env.datapath == "kernel":
            share = (after["kernel"] - before["kernel"]) / total
            check(share >= 0.9, True, f"kernel share {share:.3f} with {headers}: {env.agent.status()['fallback']}")


@test(timeout=90)
def nobody_elses_answer(env):
    """2,000 connections at once, each with its own id in the body, every answer compared."""
    env.policy(mesh.vs("origin", [rule(dst("origin", "v2"), header("x-pick", exact="1")),
                                  rule(dst("origin", "v2"), header("x-pick", exact="4")), rule(dst("origin", "v1"))]))
    got = env.call("crosstalk", host=ORIGIN, port=9000, connections=2000, rounds=5, vhost="origin",
                   headers=[["x-pick", "%"]], timeout=60)
    check((got["answers"], got["wrong"], got["errors"]), (10000, [], {}))


@test(timeout=90)
def nobody_elses_answer_weighted(env):
    """The same with weights, larger bodies, and both clients' pods at once."""
    env.policy(mesh.vs("origin", [rule([dst("origin", "v1", 50), dst("origin", "v2", 50)])]))
    clients = [env.client(pod) for pod in ("c1", "c2")]
    for i, c in enumerate(clients):
        c.send("crosstalk", host=ORIGIN, port=9000, connections=300, rounds=10, vhost="origin", seed=i, body=20000, timeout=60)
    for c in clients:
        got = c.receive()
        check((got["answers"], got["wrong"], got["errors"]), (3000, [], {}))


BY_WAY = [rule(dst("origin", "v1"), header("x-k", exact="n")),
          rule(dst("origin", "v2"), header("x-k", exact="m")),
          rule([dst("origin", "v1", 50), dst("origin", "v2", 50)], header("x-k", exact="b"),
               headers={"request": {"set": {"x-b": "1"}}}),
          {"match": [header("x-k", exact="l")], "directResponse": {"status": 418, "body": {"string": "teapot"}}}]


@test(timeout=60)
def every_way_pipelined(env):
    """Up to four requests at once on a connection, each by another way (native, moved, bound, in place): the
    answers come in their order."""
    env.policy(mesh.vs("origin", BY_WAY))
    got = env.call("storm", hosts=[ORIGIN], port=9000, vhost="origin", connections=200, seconds=5, kinds="p")
    check((got["wrong"], got["errors"], got["total"] > 500), ([], {}, True), str(got))


@test(timeout=60)
def burst_for_the_agent(env):
    """3,000 new connections whose first requests all need the agent: none is refused for lack of a slot."""
    env.policy(mesh.vs("origin", [rule(dst("origin", "v1"), headers={"request": {"set": {"x-b": "1"}}})]))
    got = env.call("crosstalk", host=ORIGIN, port=9000, connections=3000, rounds=2, vhost="origin", timeout=40)
    check((got["answers"], got["wrong"], got["errors"]), (6000, [], {}), str(env.agent.status()["fallback"]))


@test(timeout=60)
def every_way_cut_short(env):
    """All ways, sizes and framings, split heads, IPv6 and mapped addresses, while one client in eight resets,
    half-closes or leaves in the middle of a request or an answer: nobody else notices."""
    env.policy(mesh.vs("origin", BY_WAY))
    got = env.call("storm", hosts=[ORIGIN, ORIGIN6, f"::ffff:{ORIGIN}"], port=9000, vhost="origin", connections=300,
                   seconds=6, abort=0.12)
    check((got["wrong"], got["errors"], got["aborted"] > 50), ([], {}, True), str(got))


@test(timeout=60)
def connections_come_and_go(env):
    """Thousands of short connections: none fails, nothing is left."""
    env.policy(mesh.vs("reco", [rule([dst("reco", "v1", 50), dst("reco", "v2", 50)])]))
    load = env.wrk(f"http://{RECO}:8080/", 3, 32, headers=[["Host", "reco"], ["Connection", "close"]])
    check((load["errors"], load["bad"], load["requests"] > 300), (0, 0, True), str(load))


@test(timeout=400, long=True)
def a_million(env):
    """1,000,000 requests: no growth of memory or of file descriptors, no error."""
    env.policy(mesh.vs("reco", [rule([dst("reco", "v1", 70), dst("reco", "v2", 30)])]))
    env.wrk(f"http://{RECO}:8080/", 5, 32, headers=[["Host", "reco"]])
    rss, fds, done = env.agent.rss_kb(), env.agent.fds(), 0
    while done < 1000000:
        load = env.wrk(f"http://{RECO}:8080/", 20, 32, headers=[["Host", "reco"]])
        check((load["errors"], load["bad"]), (0, 0))
        done += load["requests"]
    check((env.agent.fds() <= fds + 20, env.agent.rss_kb() < rss * 1.2 + 4096), (True, True),
          f"RSS {rss} -> {env.agent.rss_kb()} KB, fds {fds} -> {env.agent.fds()}")
