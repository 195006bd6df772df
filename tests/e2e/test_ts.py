# SPDX-License-Identifier: Apache-2.0
"""The TypeScript client (clients/typescript) against a real agent, and what clients of the mesh see of it."""
import json
import os
import shutil
import subprocess

from agent import ROOT
from runner import Skip, check, test
from test_canary import Applied, count
from test_weights import check_split
from topo import SLOW

CLIENT = os.path.join(ROOT, "clients", "typescript", "dist", "index.js")
STORY = """
const s = new TrafficSplitter({ timeoutMs: 5000 });
const out = {};
const refused = async (f) => { try { await f(); return "done"; } catch (e) { return [e.constructor.name, e.code, e.message]; } };
switch (process.argv[1]) {
case "create": {
  const r = await s.createCanaryDeployment("reco", "default", { stableWeight: 70, canaryWeight: 30,
    matches: [{ headers: { "x-canary": { exact: "true" } } }, { uri: { prefix: "/beta" }, method: { exact: "GET" } }] });
  out.objects = r.objects.map((o) => `${o.kind}/${o.name} ${o.action}`);
  out.sides = r.sides;
  out.dry = (await s.updateTrafficWeights("reco", "default", { stable: 1, canary: 1 }, { dryRun: true })).dryRun;
  break;
}
case "weights": {
  const abort = new AbortController();
  const events = s.client.watch({ kind: "VirtualService", signal: abort.signal });
  out.first = (await events.next()).value.event;
  out.sides = (await s.updateTrafficWeights("reco", "default", { stable: 50, canary: 50 })).sides;
  const change = (await events.next()).value;
  out.change = [change.event, change.objects.map((o) => `${o.type} ${o.namespace}/${o.name}`)];
  abort.abort();
  out.status = (await s.canaryStatus("reco", "default")).sides.map((x) => [x.name, x.share, x.healthy]);
  out.listed = (await s.client.list("vs", "default")).map((o) => o.name);
  break;
}
case "refusals":
  out.missing = await refused(() => s.updateTrafficWeights("ghost", "default", { stable: 1, canary: 1 }));
  out.breaker = await refused(() => s.enableCircuitBreaker("ghost", "shop"));
  out.owned = (await refused(() => s.enableCircuitBreaker("reco", "default", { consecutiveErrors: 3 }))).slice(0, 2);
  out.wrong = (await refused(() => s.createCanaryDeployment("solo", "default", { stableWeight: 1, canaryWeight: 1,
    timeout: "soon" }))).slice(0, 2);
  await s.client.apply(JSON.stringify({ apiVersion: "networking.istio.io/v1", kind: "DestinationRule",
    metadata: { name: "solo" }, spec: { host: "solo", trafficPolicy: { loadBalancer: { simple: "RANDOM" } } } }));
  await s.enableCircuitBreaker("solo", "default", { consecutiveErrors: 3 });
  out.on = (await s.circuitBreakerStatus("solo", "default")).outlierDetection.consecutive5xxErrors;
  out.kept = (await s.client.get("dr", "solo")).yaml.includes("RANDOM");
  await s.disableCircuitBreaker("solo", "default");
  out.off = (await s.circuitBreakerStatus("solo", "default")).outlierDetection;
  break;
}
console.log(JSON.stringify(out));
"""


def node(env, step):
    program = shutil.which("node") or shutil.which("nodejs")
    if not program:
        raise Skip("no node here")
    code = f"import {{ TrafficSplitter }} from {json.dumps('file://' + CLIENT)};\n{STORY}"
    done = subprocess.run([program, "--input-type=module", "-e", code, "--", step], capture_output=True, text=True,
                          timeout=20 * SLOW, env={**os.environ, "HEADRACE_SOCKET": env.agent.socket})
    env.log(f"node {step} -> {done.returncode}\n{done.stdout}{done.stderr}")
    check(done.returncode, 0, done.stderr[-1000:])
    return json.loads(done.stdout)


@test(timeout=60)
def splits_traffic(env):
    """createCanaryDeployment and updateTrafficWeights do to requests what they say; a watch is told."""
    with Applied(env, ("vs", "reco")):
        got = node(env, "create")
        check(got, {"objects": ["VirtualService/reco created", "DestinationRule/reco unchanged"], "dry": True,
                    "sides": [{"name": "v1", "weight": 70}, {"name": "v2", "weight": 30}]})
        check_split(env, 0.3, what="70/30")
        check(count(env, 20, [["x-canary", "true"]]), {"v2": 20})
        got = node(env, "weights")
        check(got, {"first": "resync", "change": ["change", ["MODIFIED default/reco"]],
                    "sides": [{"name": "v1", "weight": 50}, {"name": "v2", "weight": 50}],
                    "status": [["v1", 0.5, 2], ["v2", 0.5, 2]], "listed": ["reco"]})
        check_split(env, 0.5, what="50/50")


@test(timeout=60, datapaths=("agent",))
def refusals(env):
    """Errors of the agent arrive as classes; what a file owns is a ConflictError."""
    with Applied(env, ("dr", "solo")):
        got = node(env, "refusals")
        check(got, {"missing": ["NotFoundError", "not-found", "VirtualService default/ghost not found"],
                    "breaker": ["NotFoundError", "not-found", "DestinationRule shop/ghost not found"],
                    "owned": ["ConflictError", "conflict"], "wrong": ["InvalidError", "invalid"],
                    "on": 3, "kept": True, "off": None})
