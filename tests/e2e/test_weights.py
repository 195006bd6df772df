# SPDX-License-Identifier: Apache-2.0
"""Shares of weighted routes, per request, on connections that stay open."""
import mesh
from mesh import dst, header, rule
from runner import check, check_share, test
from world import RECO, RECO6

TOTAL = 2000


def split(*weights):
    return [dst("reco", v, w) for v, w in zip(("v1", "v2"), weights)]


def check_split(env, share_v2, headers=(), vip=RECO, what=""):
    """Within 3 sigma; once in 370 fair runs is not, so a second look decides."""
    for attempt in (1, 2):
        got = env.call("count", host=vip, port=8080, total=TOTAL, connections=4, headers=headers, vhost="reco")
        check((got["status"], got["errors"]), ({"200": TOTAL}, {}), what)
        try:
            check_share(got["seen"].get("v2", 0), TOTAL, share_v2, what)
            return
        except AssertionError:
            if attempt == 2:
                raise


@test()
def shares(env):
    """95/5, 70/30 and 50/50 are shares of requests, not of connections."""
    for a, b in ((95, 5), (70, 30), (50, 50)):
        env.policy(mesh.vs("reco", [rule(split(a, b))]))
        check_split(env, b / 100, what=f"{a}/{b}")


@test()
def zero_is_never(env):
    """Weight 0 gets nothing, weight 100 everything: no off by one."""
    env.policy(mesh.vs("reco", [rule(split(100, 0))]))
    check_split(env, 0.0, what="100/0")
    env.policy(mesh.vs("reco", [rule(split(0, 100))]))
    check_split(env, 1.0, what="0/100")


@test()
def not_a_hundred(env):
    """Weights are shares of their sum: 1 and 3 is a quarter and three quarters."""
    env.policy(mesh.vs("reco", [rule(split(1, 3))]))
    check_split(env, 0.75, what="1/3")


@test()
def three_destinations(env):
    env.policy(mesh.vs("reco", [rule([dst("reco", "v1", 60), dst("reco", "v2", 30), dst("user", None, 10)])]))
    got = env.call("count", host=RECO, port=8080, total=TOTAL, connections=4, vhost="reco")
    for version, share in (("v1", 0.6), ("v2", 0.3), ("user", 0.1)):
        check_share(got["seen"].get(version, 0), TOTAL, share, version, sigmas=4)


@test()
def canary_story(env):
    """The demo's policy: canary header all to v2, premium 70/30, everybody else 95/5, mixed on the same connections."""
    env.policy(mesh.vs("reco", [rule(dst("reco", "v2", 100), header("x-canary", exact="true")),
                                rule(split(70, 30), header("x-user-type", exact="premium")), rule(split(95, 5))],
                       api="v1beta1"))
    check_split(env, 1.0, [["x-canary", "true"]], what="canary")
    check_split(env, 0.3, [["x-user-type", "premium"]], what="premium")
    check_split(env, 0.05, what="others")
    check_split(env, 0.3, [["x-user-type", "premium"]], vip=RECO6, what="premium, IPv6")


@test()
def change_on_an_open_connection(env):
    """A connection that is open when the weights change follows them with its next request."""
    def ask(n=10):
        return {r["version"] for r in env.call("exchange", name="kept", host=RECO, port=8080,
                                               requests=[{"host": "reco"}] * n)}
    for weights, want in (((100, 0), {"v1"}), ((0, 100), {"v2"}), ((100, 0), {"v1"}), ((50, 50), {"v1", "v2"})):
        env.policy(mesh.vs("reco", [rule(split(*weights))]))
        check(ask(40), want, str(weights))


@test()
def round_robin(env):
    """ROUND_ROBIN is per request too: equal counts, whatever the connections are."""
    env.policy(mesh.dr("reco", {"v1": {"version": "v1"}, "v2": {"version": "v2"}},
                       {"loadBalancer": {"simple": "ROUND_ROBIN"}}), mesh.vs("reco", [rule(dst("reco"))]))
    got = env.call("count", host=RECO, port=8080, total=400, connections=1, vhost="reco")
    check(abs(got["seen"].get("v1", 0) - 200) <= 10, True, str(got))


@test()
def random_balancing(env):
    """RANDOM over two endpoints on one connection: a fair coin."""
    env.policy(mesh.dr("reco", policy={"loadBalancer": {"simple": "RANDOM"}}), mesh.vs("reco", [rule(dst("reco"))]))
    got = env.call("count", host=RECO, port=8080, total=TOTAL, connections=1, vhost="reco")
    check(got["errors"], {})
    check_share(got["seen"].get("v1", 0), TOTAL, 0.5, "v1", sigmas=4)
