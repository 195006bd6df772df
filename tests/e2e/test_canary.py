# SPDX-License-Identifier: Apache-2.0
"""`headrace canary` and `headrace breaker` against traffic.

    c1 --> reco 10.96.0.10:8080 --+-- v1    the objects that the verbs make live in the agent's store;
                                  +-- v2    the DestinationRule with both subsets is in a file
    c1 --> flaky 10.96.1.7:80 ----+-- v1 :8096, v2 :8096: answer 503 while their file `broken` is there
"""
import json
import signal
import socket
import subprocess
import time

import mesh
from agent import HEADRACE
from mesh import dst, header, rule
from runner import check, check_share, eventually, test
from test_outlier import VIP, Flaky, states
from test_reload import check_load, under_load
from test_weights import check_split
from topo import SLOW, spawn
from world import RECO


class Applied:
    """Takes what the verbs put into the store out again."""

    def __init__(self, env, *objects):
        self.env, self.objects = env, objects

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for kind, name in self.objects:
            self.env.agent.ctl("delete", kind, name, check=False)


def canary(env, verb, *argv, check_=True, **kw):
    return env.agent.ctl(f"canary {verb}", *argv, check=check_, **kw)


def refused(env, verb, *argv, says, code=1, **kw):
    done = env.agent.ctl(verb, *argv, check=False, **kw)
    check((done.returncode, says in done.stderr), (code, True), f"{verb} {argv}: {done.stdout}{done.stderr}")


def count(env, total, headers=()):
    got = env.call("count", host=RECO, port=8080, total=total, headers=list(headers), vhost="reco")
    check(got["errors"], {})
    return got["seen"]


@test(timeout=60)
def life_of_a_canary(env):
    """create, weights, promote, rollback: the shares that clients see, and testers by header throughout. The file's
    DestinationRule has the subsets already and stays whose it is."""
    with Applied(env, ("vs", "reco")):
        out = canary(env, "create", "reco", "--stable", "v1=70", "--canary", "v2=30", "--match", "x-canary=true",
                     "--match", "x-any", "--timeout", "5s", "--retries", "1x2s").stdout
        check(out, "virtualservice/reco created\ndestinationrule/reco unchanged\nv1 70, v2 30\n")
        check_split(env, 0.3, what="70/30")
        for h in (["x-canary", "true"], ["x-any", "1"]):
            check(count(env, 20, [h]), {"v2": 20}, str(h))
        e = env.agent.explain("http://reco:8080/")
        check((e["ruleName"], e["timeoutMs"], e["retries"]["attempts"], e["retries"]["perTryTimeoutMs"]),
              ("canary-split", 5000, 1, 2000))
        check(canary(env, "weights", "reco", "v2=50", "v1=50").stdout, "virtualservice/reco configured\nv1 50, v2 50\n")
        check_split(env, 0.5, what="50/50")
        canary(env, "promote", "reco")
        check(count(env, 50), {"v2": 50})
        out = json.loads(canary(env, "rollback", "reco", "-o", "json").stdout)
        check(out["sides"], [{"name": "v1", "weight": 100}, {"name": "v2", "weight": 0}])
        check(count(env, 50), {"v1": 50})
        check(count(env, 5, [["x-canary", "true"]]), {"v2": 5}, "a match is not a weight")
        e = env.agent.explain("http://reco:8080/")
        check((e["timeoutMs"], e["retries"]["attempts"]), (5000, 1), "what a change does not name stays")


@test(timeout=60)
def status_tells_shares(env):
    """Live share and success of each side, from what ended between two looks."""
    with Applied(env, ("vs", "reco")):
        canary(env, "create", "reco", "--stable", "v1=80", "--canary", "v2=20", "--match", "x-canary")
        said = {}

        def work():
            said.update(json.loads(canary(env, "status", "reco", "-o", "json").stdout))
            said["text"] = canary(env, "status", "reco").stdout
        check_load(under_load(env, work, seconds=3))
        v1, v2 = said["sides"]
        check([(s["name"], s["role"], s["weight"], s["endpoints"], s["healthy"]) for s in (v1, v2)],
              [("v1", "stable", 80, 2, 2), ("v2", "canary", 20, 2, 2)])
        n = v1["live"]["requests"] + v2["live"]["requests"]
        check_share(v2["live"]["requests"], n, 0.2, "live share", sigmas=5)
        check((v1["live"]["successRate"], v2["live"]["successRate"]), (1.0, 1.0))
        check(abs(v2["live"]["share"] - v2["live"]["requests"] / n) < 1e-9, True)
        check(v2["otherRules"], [{"rule": 0, "name": "canary-match"}])
        check("rule 0 canary-match also sends requests to v2" in said["text"], True, said["text"])
        idle = json.loads(canary(env, "status", "reco", "-o", "json").stdout)["sides"][0]["live"]
        check((idle["requests"], idle["share"], idle["successRate"], idle["p99Ms"]), (0, None, None, None))


@test()
def refusals(env):
    """What is not there, what belongs to a file, what makes no sense: said, exit 1, and nothing changes."""
    for verb in ("canary status", "canary promote", "canary rollback", "canary run"):
        refused(env, verb, "ghost", says="VirtualService default/ghost not found")
    refused(env, "canary weights", "ghost", "v1=1", "v2=2", says="VirtualService default/ghost not found")
    refused(env, "canary weights", "ghost", "-n", "shop", "v1=1", says="VirtualService shop/ghost not found")
    for verb in ("enable", "disable", "status"):
        refused(env, f"breaker {verb}", "ghost", says="DestinationRule default/ghost not found")
    env.policy(mesh.vs("reco", [rule([dst("reco", "v1", 90), dst("reco", "v2", 10)])]))
    before = env.agent.status()["config"]["generation"]
    refused(env, "canary weights", "reco", "v1=50", "v2=50", says="mesh.yaml, and a file wins")
    refused(env, "canary promote", "reco", says="change it there")
    refused(env, "canary run", "reco", says="mesh.yaml, and a file wins")
    refused(env, "breaker enable", "reco", says="DestinationRule default/reco is defined in")
    refused(env, "canary weights", "reco", "v1=1", "v9=1", says="no rule of spec.http routes to v1 and v9")
    refused(env, "canary weights", "reco", "v1=0", "v2=0", says="all weights would be 0")
    refused(env, "canary weights", "reco", "v1=-1", "v2=2", says="NAME=WEIGHT is needed", code=2)
    refused(env, "canary create", "reco", "--stable", "v1=1", says="--canary NAME=WEIGHT is needed", code=2)
    refused(env, "canary create", "reco", "--stable", "v1=1", "--canary", "v2=1", "--match", "=x", says="HEADER=VALUE is needed", code=2)
    refused(env, "canary run", "reco", "--steps", "50,20", says="growing numbers", code=2)
    refused(env, "canary create", "solo", "--stable", "v1=1", "--canary", "v2=1", "--timeout", "soon",
            says="spec.http[0].timeout")
    check(env.agent.status()["config"]["generation"], before)
    # weights that the file has already change nothing, so nobody's file is in the way
    check(canary(env, "weights", "reco", "v1=90", "v2=10").stdout, "virtualservice/reco unchanged\nv1 90, v2 10\n")


@test()
def service_to_come(env):
    """A host that nobody defines may come later, or be a typing error: said."""
    with Applied(env, ("vs", "ghost"), ("dr", "ghost")):
        check("no Service or ServiceEntry defines ghost.default.svc.cluster.local yet" in
              canary(env, "create", "ghost", "--stable", "v1=1", "--canary", "v2=1").stderr, True)


@test()
def dry_run(env):
    """--dry-run prints YAML that `check` accepts and that `apply` makes true, and does nothing itself."""
    before = env.agent.status()["config"]["generation"]
    with Applied(env, ("vs", "solo"), ("dr", "solo")):
        out = canary(env, "create", "solo", "--stable", "v1=1", "--canary", "v2=3", "--subset", "v2=track=new,tier=08",
                     "--stable-policy", "{connectionPool: {tcp: {maxConnections: 7}}}", "--dry-run")
        check(env.agent.status()["config"]["generation"], before)
        refused(env, "canary status", "solo", says="not found")
        env.agent.ctl("apply", "-f", "-", stdin=out.stdout)
        dr = json.loads(env.agent.ctl("get", "dr", "solo", "-o", "json").stdout)
        check(dr["spec"]["subsets"], [
            {"name": "v1", "labels": {"version": "v1"}, "trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 7}}}},
            {"name": "v2", "labels": {"track": "new", "tier": "08"}}])
        check([d["share"] for d in env.agent.explain("http://solo:9000/")["destinations"]], [0.25, 0.75])
        # what a file owns can be looked at all the same
        done = env.agent.ctl("breaker enable", "reco", "--dry-run")
        check(("consecutive5xxErrors: 5" in done.stdout, "mesh.yaml defines this" in done.stderr), (True, True))


def split_flaky(env):
    """Service flaky with subsets v1 and v2, one pod each; no VirtualService."""
    env.policy(mesh.service("flaky", [VIP], {"http": (80, 8096)}),
               *[mesh.pod(f"flaky-{v}", [ip], {"app": "flaky", "version": v})
                 for v, ip in (("v1", "10.77.1.1"), ("v2", "10.77.2.1"))],
               mesh.slice_("flaky", {"http": 8096}, [("10.77.1.1", "flaky-v1"), ("10.77.2.1", "flaky-v2")]))


def run(env, *argv):
    """`canary run flaky` in the background."""
    return spawn([HEADRACE, "canary", "run", "flaky", "--socket", env.agent.socket, "--every", "1s",
                  "--min-requests", "20", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(env, proc, code):
    out, err = proc.communicate(timeout=30 * SLOW)
    env.log(f"canary run -> {proc.returncode}\n{out}{err}")
    check(proc.returncode, code, out + err)
    return out, err


def weights(env):
    sides = json.loads(canary(env, "rollback", "flaky", "--dry-run", "-o", "json").stdout)
    now = env.agent.explain("http://flaky/")["destinations"]
    check(len(sides["sides"]), 2)
    return [d["weight"] for d in now]


def flaky_load(env, work, seconds=6):
    return under_load(env, work, seconds=seconds, connections=4, url=f"http://{VIP}/")


@test(timeout=90)
def run_to_the_end_and_back(env):
    """A canary that is well gets everything; one that fails is taken back within the step, long before half of the
    clients saw it."""
    with Flaky(env) as flaky, Applied(env, ("vs", "flaky"), ("dr", "flaky")):
        split_flaky(env)
        canary(env, "create", "flaky", "--stable", "v1=100", "--canary", "v2=0", "--retries", "0", "--timeout", "0s")

        def good():
            out, _ = finish(env, run(env, "--steps", "20,100", "--max-p99", "1s"), 0)
            check([line.split(":")[0] for line in out.splitlines()],
                  ["v2 20 %, v1 80 %", "v2 20 %", "v2 100 %, v1 0 %", "v2 100 %", "v2 has 100 %"], out)
        check_load(flaky_load(env, good, 4))
        check(weights(env), [0, 100])
        canary(env, "rollback", "flaky")
        flaky.set("v2", True)

        def bad():
            start = time.monotonic()
            out, _ = finish(env, run(env, "--steps", "5,50,100", "--every", "20s"), 1)
            check(("rolled back from 5 %" in out, "failed, 1 % is allowed" in out), (True, True), out)
            check(time.monotonic() - start < 5 * SLOW, True, "not at the end of the step: at once")
        load = flaky_load(env, bad, 2)
        check((load["errors"], 0 < load["bad"] < load["requests"] / 2), (0, True), str(load))
        check(weights(env), [100, 0])


@test(timeout=90)
def run_without_evidence(env):
    """No traffic is no reason to go on: it waits and says so; --give-up takes it back; Ctrl-C leaves the weights and
    says which; weights that somebody else changed end the run; no endpoint is a reason to go back at once."""
    with Flaky(env), Applied(env, ("vs", "flaky"), ("dr", "flaky")):
        split_flaky(env)
        canary(env, "create", "flaky", "--stable", "v1=100", "--canary", "v2=0")
        out, _ = finish(env, run(env, "--steps", "10,100", "--give-up", "2s"), 1)
        check(("too few requests, waiting: 0 requests" in out, "too few requests to judge it" in out), (True, True), out)
        check(weights(env), [100, 0])
        p = run(env, "--steps", "30")
        eventually(lambda: weights(env) == [70, 30], "first step", 5)
        p.send_signal(signal.SIGINT)
        _, err = finish(env, p, -signal.SIGINT)
        check("interrupted: v2 stays at 30 %" in err, True, err)
        check(weights(env), [70, 30])
        p = run(env, "--steps", "40")
        eventually(lambda: weights(env) == [60, 40], "first step", 5)
        canary(env, "weights", "flaky", "v1=55", "v2=45")
        _, err = finish(env, p, 1)
        check("somebody else changed the weights" in err, True, err)
        check(weights(env), [55, 45])
        canary(env, "create", "flaky", "--stable", "v1=100", "--canary", "v3=0")
        out, _ = finish(env, run(env, "--steps", "10"), 1)
        check("no endpoint of it is healthy" in out, True, out)


@test(fresh=True, datapaths=("kernel",), timeout=90)
def run_outlives_the_agent(env):
    """The agent dies in a step and comes back: the store has the weights, the run goes on where it was."""
    with Flaky(env):
        split_flaky(env)
        canary(env, "create", "flaky", "--stable", "v1=100", "--canary", "v2=0")
        p = run(env, "--steps", "25,100", "--every", "3s", "--min-requests", "1")
        eventually(lambda: weights(env) == [75, 25], "first step", 5)
        env.agent.kill()
        env.agent.start()
        check(weights(env), [75, 25])
        for _ in range(40):  # a native connection or the agent: the canary has to have been asked
            env.client("c1", name="after").call("count", host=VIP, port=80, total=20, vhost="flaky")
            if p.poll() is not None:
                break
            time.sleep(0.3)
        out, _ = finish(env, p, 0)
        check("the agent was restarted: this step begins again" in out, True, out)
        check(weights(env), [0, 100])
        env.agent.ctl("delete", "vs", "flaky")


@test(timeout=60)
def breaker(env):
    """enable ejects what fails, with the numbers given; status tells; disable brings it back; the rest of the rule
    stays."""
    with Flaky(env) as flaky, Applied(env, ("dr", "flaky")):
        split_flaky(env)
        text = mesh.to_yaml([mesh.dr("flaky", policy={"loadBalancer": {"simple": "ROUND_ROBIN"}})])
        env.agent.ctl("apply", "-f", "-", stdin=text)
        env.agent.ctl("breaker enable", "flaky", "--consecutive-errors", "3", "--interval", "10s", "--base-ejection", "60s",
                      "--max-ejection", "50", "--min-health", "0")
        flaky.set("v2", True)
        flaky.ask(20)
        eventually(lambda: states(env).get("10.77.2.1:8096") == "ejected", "ejected", 3)
        s = json.loads(env.agent.ctl("breaker status", "flaky", "-o", "json").stdout)
        check(s["outlierDetection"], {"consecutive5xxErrors": 3, "intervalMs": 10000, "baseEjectionTimeMs": 60000,
                                      "maxEjectionPercent": 50, "minHealthPercent": 0,
                                      "splitExternalLocalOriginErrors": False})
        c = next(c for c in s["clusters"] if "subset" not in c)
        check((c["ejected"], c["ejections"], {e["address"]: e["state"] for e in c["endpoints"]}),
              (1, 1, {"10.77.1.1:8096": "healthy", "10.77.2.1:8096": "ejected"}))
        check("3 errors in a row" in env.agent.ctl("breaker status", "flaky").stdout, True)
        env.agent.ctl("breaker disable", "flaky")
        dr = json.loads(env.agent.ctl("get", "dr", "flaky", "-o", "json").stdout)
        check(dr["spec"]["trafficPolicy"], {"loadBalancer": {"simple": "ROUND_ROBIN"}})
        eventually(lambda: states(env).get("10.77.2.1:8096") == "healthy", "back", 3)


class Control:
    """The control socket as a program sees it: a line each way."""

    def __init__(self, env):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5 * SLOW)
        self.sock.connect(env.agent.socket)
        self.lines = self.sock.makefile("r")

    def ask(self, op, **req):
        """The answer; events that come before it are passed over."""
        self.sock.sendall((json.dumps({"v": 1, "op": op, **req}) + "\n").encode())
        while "event" in (line := self.read()):
            pass
        return line

    def read(self):
        return json.loads(self.lines.readline())

    def close(self):
        self.lines.close()
        self.sock.close()


@test()
def weights_in_place(env):
    """Weights that sum to 100 are changed in the plan in use; what is in effect then is what a new plan of the same
    objects is: routes, explain, and the requests of connections that are open all the while."""
    c = Control(env)
    with Applied(env, ("vs", "reco")):
        canary(env, "create", "reco", "--stable", "v1=90", "--canary", "v2=10", "--match", "x-canary")
        for stable, sees in ((0, {"v2"}), (100, {"v1"}), (50, {"v1", "v2"}), (100, {"v1"}), (0, {"v2"})):
            r = c.ask("updateTrafficWeights", service="reco", stable=stable, canary=100 - stable)["result"]
            check(abs(r["writtenUs"] / 1e6 - time.monotonic()) < 5, True, str(r))
            got = env.call("exchange", name="kept", host=RECO, port=8080, requests=[{"host": "reco"}] * 40)
            check({x["version"] for x in got}, sees, str(stable))
            check(count(env, 40).keys(), sees, f"{stable}, new connections")

            def picture():
                rows = json.loads(env.agent.ctl("routes", "-o", "json").stdout)
                return ([{k: v for k, v in row.items() if k != "counters"} for row in rows],
                        env.agent.explain("http://reco:8080/"), env.agent.ctl("get", "vs", "reco", "-o", "yaml").stdout)
            before = picture()
            check([d["weight"] for d in before[1]["destinations"]], [stable, 100 - stable])
            check(c.ask("reload")["ok"], True)
            check(picture(), before, "after a reload")
        r = c.ask("updateTrafficWeights", service="reco", stable=1, canary=1)["result"]
        check("writtenUs" in r, False, "sums that are not 100 are worth the warning that only a new plan gives")
    c.close()


@test()
def watch(env):
    """A watcher is told what changes, by whom ever, and only what it asked for; and the counters at its interval."""
    c = Control(env)
    with Applied(env, ("vs", "reco")):
        check(c.ask("watch", id=7, kind="vs")["result"]["watching"], True)
        canary(env, "create", "reco", "--stable", "v1=70", "--canary", "v2=30")
        event = c.read()
        check((event["event"], event["id"], event["missed"], [(o["type"], o["kind"], o["name"]) for o in event["objects"]]),
              ("change", 7, 0, [("ADDED", "VirtualService", "reco")]))
        generation = event["generation"]
        env.policy(mesh.vs("solo", [rule(dst("solo"))]), mesh.dr("solo", {"v1": {"version": "v1"}}))
        check([(o["type"], o["name"]) for o in c.read()["objects"]], [("ADDED", "solo")])
        env.policy()
        check([(o["type"], o["name"]) for o in c.read()["objects"]], [("DELETED", "solo")])
        canary(env, "weights", "reco", "v1=1", "v2=1")
        event = c.read()
        check(([o["type"] for o in event["objects"]], "weight: 1\n" in event["objects"][0]["yaml"],
               event["generation"] > generation), (["MODIFIED"], True, True))
        # the counters, on the same connection, between answers
        check(c.ask("watch", changes=False, statisticsMs=100)["result"]["watching"], True)
        times = [e["timeMs"] for e in (c.read() for _ in range(3)) if e["event"] == "statistics"]
        check(len(times) == 3 and times[2] - times[0] >= 150, True, str(times))
        check(c.ask("watch", statisticsMs=1)["error"]["code"], "bad-request")
        c.close()
        check(env.agent.status()["ready"], True)
