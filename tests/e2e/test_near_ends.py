# SPDX-License-Identifier: Apache-2.0
"""What a program can see of a socket whose bytes skip TCP: the same as of any other. HTTP here (the bodies of a request and
of its answer that never end), opaque connections in test_opaque.py; tests/lib/sockends.py plays both ends.

    v1 (captured): sockends.py holds both ends   ---- VIP 10.96.0.82:9410 ---- 10.77.1.1:9410, itself
"""
import json

import mesh
from mesh import dst, rule
from runner import Skip, check, test
from servers import PYTHON
from test_opaque import ENDS, counts, service

VIP, PORT = "10.96.0.82", 9410


def policy(env, kind):
    """A server of that kind in v1; what its clients send skips TCP in either case."""
    env.policy(mesh.pod("ends", ["10.77.1.1"], {"app": "ends"}),
               service("tcp" if kind == "tcp" else None, "ends", VIP, PORT, kind),
               *([mesh.vs("ends", [rule(dst("ends"))])] if kind == "http" else []))
    return ["--http", "ends"] if kind == "http" else []


def played(env, how, *cases):
    """What the cases see with plain TCP, and captured; and what status counted meanwhile."""
    plain = env.topo.run("v1", PYTHON, ENDS, *how, str(PORT), "127.0.0.1", str(PORT), *cases, timeout=40).stdout
    before = counts(env)
    ours = env.exec_(PYTHON, ENDS, *how, str(PORT), VIP, str(PORT), *cases, pod="v1", timeout=40).stdout
    grown = {k: v - before[k] for k, v in counts(env).items() if type(v) is int}
    env.log(f"{cases}: {grown}")
    return json.loads(plain), json.loads(ours), grown


def same(env, how, *cases):
    plain, ours, grown = played(env, how, *cases)
    for name in cases:
        check(ours[name], plain[name], name)
    return grown


ENDS_OF_STREAMS = ("half_close", "half_close_slow_reader", "late_reader_end", "close_after_answer", "linger_zero", "server_resets",
                   "close_with_unread", "both_shut")
READS = ("peek_and_count", "timeouts", "epoll_level", "epoll_edge", "epoll_end")
SENDS = ("gathered", "sendfile", "full_then_writable", "both_ways_at_once", "every_size")


@test(datapaths=("kernel",), timeout=60)
def http(env):
    """Ends of streams, every way to read and to send, on connections that are paired; 8 MB both ways at once, 30 MB into a
    socket that is full."""
    cases = ENDS_OF_STREAMS + READS + SENDS
    grown = same(env, policy(env, "http"), *cases)
    check((grown["paired"] >= len(cases), grown["bytes"] > 20_000_000, grown["spilled"] > 0), (True, True, True))
    check(grown["towardsServer"] > 100 and grown["towardsClient"] > 100, True)


def check_uring(plain, ours):
    """SEND, WRITE, RECV, READ, POLL_ADD before and after there is something, SHUTDOWN; 1 MB each way. SEND_ZC of a client says
    EOPNOTSUPP, since its socket is in a sockhash; of a server it is an ordinary send with its notice."""
    if isinstance(plain["ring"], str):
        return plain["ring"]
    check((ours["ring"], ours["ring_bulk"]), (plain["ring"], plain["ring_bulk"]))
    check(([ours["ring_zerocopy"][0][0], *ours["ring_zerocopy"][0][2:]], ours["ring_zerocopy"][1]),
          (["ENOTSUP", True, True], plain["ring_zerocopy"][1]))
    return None


def check_urgent(ours):
    """MSG_OOB between paired ends: an ordinary byte, in its place, as ARCHITECTURE says; none is lost, no order changes."""
    for at in (0, 5):
        _, first, _, rest, _ = ours["urgent_inline"][at:at + 5]
        check(first + (rest if rest != "nothing" else ""), "before!after", str(ours["urgent_inline"]))


def check_never_read(plain, ours, grown):
    """A peer that does not read stops the writer of 90 MB: at most 5 MB more than with plain TCP are held, on either side, and
    nothing of what was taken is lost."""
    for (stopped, most, whole), (also, holds, got) in zip(plain["never_read"], ours["never_read"]):
        check((stopped, also, whole, got), (True, True, True, True))
        check(holds < most + 5_000_000, True, f"{holds} bytes held, plain TCP {most}")
    check(grown["spilled"] > 0, True)


@test(datapaths=("kernel",), timeout=60)
def what_few_programs_do(env):
    """io_uring, urgent bytes, peers that never read; SO_ZEROCOPY and kTLS, which are refused on a connection that is paired: no
    completion would come, and what is passed on would be plain text."""
    cases = ("refused", "urgent_inline", "never_read", "ring", "ring_bulk", "ring_zerocopy")
    for kind in ("http", "tcp"):
        plain, ours, grown = played(env, policy(env, kind), *cases)
        check((grown["paired"] >= len(cases), grown["bytes"] > 1_000_000), (True, True), f"{kind}: {grown}")
        check(ours["refused"], ["ENOTSUP"] * 4 + ["and goes on"], kind)
        check_urgent(ours)
        check_never_read(plain, ours, grown)
        missing = check_uring(plain, ours)
    if missing:
        raise Skip(missing)  # all else was looked at


@test(datapaths=("kernel",), timeout=60)
def options_that_need_tcp(env):
    """SO_ZEROCOPY and SO_OOBINLINE, set before: the connection is not paired, completions and urgent bytes are TCP's."""
    policy(env, "tcp")
    for option, cases in (("zerocopy", ("zerocopy", "ring_zerocopy")), ("oobinline", ("urgent", "urgent_inline"))):
        grown = same(env, ["--early", option], *cases)
        check((grown["paired"], grown["unpairedOptions"] > 0), (0, True), option)
    grown = same(env, ["--proxied", "--early", "zerocopy", *policy(env, "http")], "zerocopy")
    check((grown["paired"], env.agent.status()["fallback"].get("zero-copy", 0) > 0), (0, True))


@test(datapaths=("kernel",), timeout=60)
def accepted_late(env):
    """A server that accepts late, or is told of connections only when they bring data (TCP_DEFER_ACCEPT: then the pair is
    complete after the first bytes): every byte comes, in order."""
    grown = same(env, policy(env, "tcp"), "late_accept", "never_accepted")
    check((grown["paired"] >= 3, grown["bytes"] > 100_000), (True, True), str(grown))
    for kind in ("tcp", "http"):
        grown = same(env, ["--early", "deferred", *policy(env, kind)], "half_close", "epoll_edge", "every_size")
        check((grown["paired"] >= 3, grown["bytes"] > 1_000_000), (True, True), f"{kind}: {grown}")
