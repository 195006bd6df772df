# SPDX-License-Identifier: Apache-2.0
"""Attacks on HTTP/2, by name: each meets its limit (GOAWAY seen), costs little, and leaves others unharmed."""
import json
import os

import h2evil
import mesh
from mesh import dst, rule
from runner import check, test
from servers import HERE, PYTHON
from topo import stop
from world import RECO

EVIL, EVIL_PORT = "10.96.1.18", 9300

NO_ERROR, PROTOCOL, FLOW, CLOSED, SIZE, REFUSED, COMPRESSION, CALM = 0, 1, 3, 5, 6, 7, 9, 11


def attack(env, *names):
    done = env.exec_(PYTHON, os.path.join(HERE, "h2raw.py"), RECO, "8080", *names, timeout=25)
    return json.loads(done.stdout)


def cost(pid):
    """(CPU seconds, resident MB) of the agent so far."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    with open(f"/proc/{pid}/statm") as f:
        pages = int(f.read().split()[1])
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), pages * 4096 / 1e6


def bounded(env, *names):
    """What came back; one core-second and 32 MB for each are far above what is needed."""
    pid = env.agent.proc.pid
    cpu, rss = cost(pid)
    got = attack(env, *names)
    cpu2, rss2 = cost(pid)
    check((cpu2 - cpu < len(names), rss2 - rss < 32), (True, True), f"{cpu2 - cpu} s, {rss2 - rss} MB")
    check(env.get(f"http://{RECO}:8080/")[0], 200, "others")
    return got


def goaways(got):
    return {name: r["goaway"] for name, r in got.items()}


@test()
def floods(env):
    names = ["rapid_reset", "made_you_reset", "continuation", "empty_continuation", "empty_data", "padding_data", "ping",
             "settings", "priority", "window_update", "hpack_bomb", "old_streams"]
    check(goaways(bounded(env, *names)), dict.fromkeys(names, CALM))


@test()
def windows_and_streams(env):
    want = {"window_overflow": FLOW, "even_stream": PROTOCOL, "data_on_idle": PROTOCOL, "frame_too_large": SIZE, "bad_frame_size": PROTOCOL, "bad_window": FLOW,
            "push": PROTOCOL, "index_zero": COMPRESSION, "many_settings": CALM}
    check(goaways(bounded(env, *want)), want)


@test()
def half_open_and_stalled(env):
    """A hundred streams that never end, a hundred answers that may not be sent: the 101st stream is refused, what is
    kept for the others is bounded; an id that was used is no new stream, the last one is a stream like any other;
    three thousand changes of the table's size are three thousand changes."""
    got = bounded(env, "half_open", "window_zero", "last_stream", "self_priority", "goaway_then_stream", "stream_again", "table_churn", "early_answer",
                  "stream_back")
    check((got["half_open"]["rst"], got["half_open"]["goaway"]), ([REFUSED], None))
    check((got["window_zero"]["status"], got["window_zero"]["ended"]), ([200], 0))
    check([got[n]["ended"] for n in ("stream_again", "stream_back")], [1, 1])
    check((got["early_answer"]["status"], got["early_answer"]["rst"]), ([403], [NO_ERROR]))
    check(got["table_churn"]["status"], [200])
    check(got["last_stream"]["status"], [200])
    check(got["self_priority"]["goaway"] in (None, PROTOCOL), True)
    check(got["goaway_then_stream"]["closed"] or got["goaway_then_stream"]["status"] == [200], True)


@test()
def malformed_heads(env):
    """No such request reaches a server: each is reset or answered 400, 431, 501 by the agent, and the connection ends
    or goes on, but not with an answer of a server."""
    got = attack(env, "heads")
    wrong = {n: r for n, r in got.items()
             if not (r["rst"] == [PROTOCOL] or r["goaway"] in (PROTOCOL, CALM) or set(r["status"]) <= {400, 431, 501} and r["status"])}
    check(wrong, {})
    check([got[n]["status"] for n in ("too many fields", "too large", "path that climbs")], [[431], [431], [400]])


@test()
def upgrade_with_body(env):
    """h2c upgrade with a body: the preface inside of it stays a body."""
    got = attack(env, "upgrade with body")["upgrade with body"]
    check((got.startswith("HTTP/1.1 200"), "101" in got.split("\r\n")[0], got.count("HTTP/1.1")), (True, False, 1), got)


# What a client gets of each server of h2evil.py, and how curl ends where the answer had begun.
EVIL_ANSWERS = {"window_zero": {504}, "empty_data": {0, 200}}


@test(timeout=60)
def evil_servers(env):
    """Servers that flood, stall and lie: each costs little, its client hears of a bad gateway in time, and the agent
    goes on with everybody else."""
    ports = {f"http2-{i}": EVIL_PORT + i for i in range(len(h2evil.ATTACKS))}
    log = open(os.path.join(env.dir, "h2evil.log"), "w")
    server = env.topo.spawn("v1", [PYTHON, os.path.join(HERE, "h2evil.py"), str(EVIL_PORT)], stdout=log, stderr=log)
    try:
        env.topo.wait_port("v1", EVIL_PORT + len(ports) - 1)
        env.policy(mesh.service("evil", [EVIL], ports), mesh.slice_("evil", ports, [("10.77.1.1", None)]),
                   mesh.vs("evil", [rule(dst("evil"), timeout="1s")]))
        body = os.path.join(env.dir, "body")
        with open(body, "w") as f:
            f.write("b" * 20000)  # all of it is here: what waits is the server
        for i, attack in enumerate(h2evil.ATTACKS):
            cpu, rss = cost(env.agent.proc.pid)
            for how in (["--http2-prior-knowledge"], []):
                done = env.exec_("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "4", *how,
                                 *(["--data-binary", f"@{body}"] if attack is h2evil.window_zero else []),
                                 f"http://evil:{EVIL_PORT + i}/", check=False)
                check(int(done.stdout) in EVIL_ANSWERS.get(attack.__name__, {502, 503}), True,
                      f"{attack.__name__} {how}: {done.stdout}, curl says {done.returncode}")
            cpu2, rss2 = cost(env.agent.proc.pid)
            check((cpu2 - cpu < 1.5, rss2 - rss < 32), (True, True), f"{attack.__name__}: {cpu2 - cpu:.1f} s, {rss2 - rss:.0f} MB")
        check(env.get(f"http://{RECO}:8080/")[0], 200, "others")
    finally:
        stop(server)
