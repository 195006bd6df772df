# SPDX-License-Identifier: Apache-2.0
"""What other programs rely on: explain agrees with traffic, status has its keys, check has its codes."""
import json
import os

import mesh
from agent import HEADRACE, ROOT
from mesh import dst, header, rule
from runner import check, test
from topo import sh
from world import RECO, RECO6, with_base

RULES = mesh.vs("reco", [
    rule(dst("reco", "v2"), header("x-canary", exact="true"), name="canary"),
    rule(dst("user"), {"uri": {"prefix": "/users"}}, name="users"),
    rule(dst("reco", "v2"), {"method": {"exact": "POST"}, "uri": {"exact": "/new"}}),
    rule([dst("reco", "v1", 95), dst("reco", "v2", 5)], {"uri": {"prefix": "/split"}}),
    rule(dst("reco", "v9"), {"uri": {"prefix": "/missing"}}),
    rule(dst("reco", "v1"), {"uri": {"prefix": "/api/"}}),
])
REQUESTS = [("GET", "/api/x", []), ("GET", "/api/x", [["x-canary", "true"]]), ("GET", "/users/1", []), ("POST", "/new", []),
            ("GET", "/new", []), ("GET", "/split", []), ("GET", "/missing", []), ("GET", "/other", []),
            ("GET", "/api/x", [["x-canary", "false"]]), ("HEAD", "/api/", []), ("GET", "/x/../users", [])]


@test()
def explain_agrees(env):
    """The same request through explain and through curl: same rule, same destination, same status."""
    env.policy(RULES)
    wrong = []
    for method, path, headers in REQUESTS:
        url = f"http://reco:8080{path}"
        said = env.agent.explain(url, method, headers)
        got = env.call("exchange", host=RECO, port=8080, requests=[
            {"method": method, "target": path, "host": "reco:8080", "headers": headers}])[0]
        want = said["status"] or 200
        subsets = [d["subset"] or d["host"].split(".")[0] for d in said["destinations"]]
        if got["status"] != want or (want == 200 and got["version"] not in subsets):
            wrong.append(f"{method} {path} {headers}: explain {want} {subsets}, traffic {got['status']} {got['version']}")
    check(wrong, [])


@test()
def explain_keys(env):
    """The keys of CLI.md, and their values for a request whose answer is known."""
    env.policy(RULES)
    e = env.agent.explain("http://reco:8080/split/x")
    keys = {"listener", "virtualService", "rule", "ruleName", "action", "status", "destinations", "timeoutMs", "retries",
            "rewrite", "redirect", "mirror", "fault", "path", "why", "trace"}
    check(keys - set(e), set())
    check((e["virtualService"], e["rule"], e["action"], e["status"]), ("default/reco", 3, "route", None))
    d = e["destinations"]
    check([(x["host"], x["subset"], x["port"], x["weight"], round(x["share"], 4)) for x in d],
          [("reco.default.svc.cluster.local", "v1", 8080, 95, 0.95), ("reco.default.svc.cluster.local", "v2", 8080, 5, 0.05)])
    check(sorted(d[0]["endpoints"]), ["10.77.1.1:8080", "[fd77::1:1]:8080"])
    check([t["rule"] for t in e["trace"]][:4], [0, 1, 2, 3])
    check([t["matched"] for t in e["trace"]][:4], [False, False, False, True])
    check(env.agent.explain("http://reco:8080/users", headers=[["x-canary", "true"]])["ruleName"], "canary")
    check(env.agent.explain("http://reco:8080/zzz")["action"], "notFound")
    check(env.agent.explain("http://nowhere.example:8080/")["action"], "noService")
    check((e["path"] in ("kernel", "agent"), bool(e["why"]) or e["path"] == "kernel"), (True, True))


@test()
def explain_from_files(env):
    """explain -f needs no agent: the same words from the same files."""
    env.policy(RULES)
    path = os.path.join(env.agent.config, "mesh.yaml")
    out = sh(HEADRACE, "explain", "-f", path, "-o", "json", "http://reco:8080/split").stdout
    live = env.agent.explain("http://reco:8080/split")
    offline = json.loads(out)
    for key in ("virtualService", "rule", "action", "status", "destinations", "trace"):
        check(offline[key], live[key], key)
    text = sh(HEADRACE, "explain", "-f", path, "http://reco:8080/other").stdout
    check("404" in text or "no rule" in text.lower(), True, text)


@test()
def status_keys(env):
    env.call("count", host=RECO, port=8080, total=10, vhost="reco")
    s = env.agent.status()
    want = {"ready": None, "pid": None, "version": None, "datapath": {"mode", "requested", "why"},
            "kernel": {"release", "features"}, "config": {"generation", "objects", "lastError"},
            "requests": {"total", "kernel", "agent", "kernelShare"}, "fallback": None, "mishaps": None,
            "sameNode": {"on", "why", "paired", "towardsServer", "towardsClient", "bytes", "spilled", "opaquePaired", "unread", "bounds"}, "workloads": None}
    missing = [k for k in want if k not in s] + [f"{k}.{x}" for k, v in want.items() if v for x in v - set(s.get(k, {}))]
    check(missing, [])
    check((s["ready"], s["pid"], s["kernel"]["release"], s["datapath"]["requested"]),
          (True, env.agent.proc.pid, os.uname().release, env.datapath))
    check((s["config"]["lastError"], s["config"]["generation"] >= 1, s["requests"]["total"] >= 10), (None, True, True))
    check(s["requests"]["total"], s["requests"]["kernel"] + s["requests"]["agent"])
    if env.datapath == "agent":
        check((s["datapath"]["mode"], s["requests"]["kernel"]), ("agent", 0))
    check(env.agent.ctl("status").stdout != "", True)


@test()
def requests_are_counted(env):
    """Every request is counted once, whoever carried it."""
    env.policy(mesh.vs("reco", [rule(dst("reco", "v2"), header("x-v2")), rule(dst("reco", "v1"), {"uri": {"prefix": "/a"}})]))
    before = env.requests()
    rows = [{"host": "reco", "target": t, "headers": h} for t in ("/a", "/none") for h in ([], [["x-v2", "1"]])] * 10
    env.call("exchange", host=RECO, port=8080, requests=rows)
    from runner import eventually
    eventually(lambda: env.requests()["total"] - before["total"] == 40, "40 requests counted", 3)
    after = env.requests()
    if env.datapath == "kernel":
        check(after["kernel"] - before["kernel"], 40, str(env.agent.status()["fallback"]))


@test(datapaths=("kernel",))
def explain_knows_who_carries(env):
    """"path" and "why" against the counters of what really happened, a connection a request: for the addresses that
    connect() decides about and the heads that the scanner declines."""
    env.policy(mesh.vs("reco", [rule(dst("reco", "v2"))]),
               mesh.service("mix", ["10.96.7.2", "fd96::72"], {"http": 8080}),
               mesh.slice_("mix", {"http": 8080}, [("10.77.1.1", None)]))
    long_name = "x-" + "n" * 60
    asks = [("GET", "reco:8080", "/", []), ("GET", f"[{RECO6}]:8080", "/", []), ("GET", "empty:8080", "/", []),
            ("GET", "10.96.7.2:8080", "/", []), ("GET", "[fd96::72]:8080", "/", []), ("PURGE", "reco:8080", "/", []),
            ("GET", "reco:8080", "/", [["x-long", "v" * 4096]]), ("GET", "reco:8080", "/", [[long_name, "1"]]),
            ("GET", "reco:8080", "/", [[f"x-h{i}", "1"] for i in range(33)]), ("GET", "reco:8080", "/%61", [])]
    wrong = []
    for method, host, path, headers in asks:
        said = env.agent.explain(f"http://{host}{path}", method, headers)
        before = env.agent.status()
        got = env.get(f"http://{host}{path}", headers, method, check=False)
        after = env.agent.status()
        by = [k for k in ("kernel", "agent") if after["requests"][k] > before["requests"][k]]
        why = [k for k, n in after["fallback"].items() if n > before["fallback"].get(k, 0)]
        if by != [said["path"]] or why != said["why"]:
            wrong.append(f"{method} {host}{path}: explain {said['path']} {said['why']}, traffic {by} {why} {got}")
    check(wrong, [])


@test()
def looking(env):
    """top, routes and endpoints show what is there; -o json is JSON; the wrong verb is exit 2."""
    env.policy(RULES)
    env.call("count", host=RECO, port=8080, total=10, target="/api/", vhost="reco")
    for verb in ("top", "routes", "endpoints", "status"):
        check("reco" in env.agent.ctl(verb).stdout or verb == "status", True, verb)
        json.loads(env.agent.ctl(verb, "-o", "json").stdout)
    check(sh(HEADRACE, "nonsense", check=False).returncode, 2)
    check(sh(HEADRACE, "status", "--nonsense", check=False).returncode, 2)
    check(env.agent.ctl("explain", "ftp://reco/", check=False).returncode, 2)
    check(env.agent.ctl("exec", "--", "[", "1", "=", "1", "]", check=False).returncode, 0)  # no name for a workload
    check(env.agent.ctl("explain", "--gateway", "a/b", "http://reco:8080/", check=False).returncode, 1)
    check(env.agent.ctl("apply", "-f", "-", check=False, stdin="# nothing\n").returncode, 1)
    check(sh(HEADRACE, "status", "--socket", "/nonexistent.sock", check=False).returncode, 3)
    check(sh(HEADRACE, "status", "--socket", "/nonexistent.sock", "--wait", "1", check=False).returncode, 3)


@test(own=True, datapaths=("agent",))
def check_verb(world, datapath, log):
    """check: position, code, formats; each broken input of policies/bad says what its comment expects."""
    path = os.path.join(world.dir, "check.yaml")
    with open(path, "w") as f:
        f.write(with_base([mesh.vs("reco", [rule(dst("reco", "v1"))])]))
    check(sh(HEADRACE, "check", path, check=False).returncode, 0)
    text = with_base([mesh.vs("reco", [{"rout": [dst("reco")]}])])
    with open(path, "w") as f:
        f.write(text)
    line = next(i for i, t in enumerate(text.splitlines(), 1) if "rout:" in t)
    done = sh(HEADRACE, "check", path, check=False)
    check((done.returncode, f"{path}:{line}:" in done.stdout + done.stderr, "did you mean" in done.stdout + done.stderr),
          (1, True, True), done.stdout + done.stderr)
    rows = json.loads(sh(HEADRACE, "check", "-o", "json", path, check=False).stdout)
    error = next(r for r in rows if r["severity"] == "error")
    keys = {"file", "line", "column", "severity", "code", "kind", "namespace", "name", "field", "message"}
    check((keys - set(error), error["line"], error["kind"], error["name"]), (set(), line, "VirtualService", "reco"))
    sarif = json.loads(sh(HEADRACE, "check", "-o", "sarif", path, check=False).stdout)
    check(sarif["version"], "2.1.0")


@test(own=True, datapaths=("agent",))
def published_policies(world, datapath, log):
    """Every story under policies/ loads without an error, what is under policies/bad is judged as it says, and the practice
    guide's files are met as docs say: the canary as it is, resilience under --lenient, the rest refused by name."""
    base = os.path.join(ROOT, "policies")
    services = os.path.join(base, "canary", "services.yaml")
    wrong = []

    def expect(code, *argv):
        done = sh(HEADRACE, "check", *argv, check=False)
        if done.returncode != code:
            wrong.append(f"check {argv}: exit {done.returncode}, want {code}: {(done.stdout + done.stderr)[:300]}")
        return done.stdout + done.stderr
    for story in sorted(os.listdir(base)):
        path = os.path.join(base, story)
        if os.path.isdir(path) and os.listdir(path) and story not in ("bad", "practice"):
            expect(0, path)
    for name in sorted(os.listdir(os.path.join(base, "bad"))):
        path = os.path.join(base, "bad", name)
        # the first lines say what is expected; the words themselves are held to by tests/unit/model
        expected = [line for line in open(path, errors="replace") if line.startswith("# expect:")]
        if expected and not name.endswith(("-strict.yaml", "-lenient.yaml")):
            expect(1 if any(": error: " in line for line in expected) else 0, path)
    practice = os.path.join(base, "practice")
    expect(0, services, os.path.join(practice, "canary-deployment.yaml"))
    expect(0, "--lenient", services, os.path.join(practice, "resilience-config.yaml"))
    text = expect(1, services, os.path.join(practice, "resilience-config.yaml"))
    check("outlierDetection" in text, True, text)
    check(wrong, [])
