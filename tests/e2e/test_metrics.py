# SPDX-License-Identifier: Apache-2.0
"""istio_* metrics: who counts must not show.

    default/native   non-blocking sockets: its requests are the kernel's  --+
                                                                            +--> the same requests, the same lines
    default/proxied  blocking sockets: its requests are the agent's       --+
"""
import collections
import json
import re

from prometheus_client.parser import text_string_to_metric_families

import mesh
from mesh import dst, header, rule
from runner import check, eventually, test
from world import ECHO, EMPTY, GREETER, ORIGIN, RECO, V1, V2

AT = "127.0.0.1:15925"


def samples(env, name=""):
    """[(name, {label: value}, number)] of the metrics whose name begins so, as Prometheus' own parser reads them."""
    return [(s.name, s.labels, s.value) for family in text_string_to_metric_families(env.agent.metrics(AT))
            for s in family.samples if s.name.startswith(name)]


def total(env, name, **labels):
    return sum(v for n, ls, v in samples(env, name) if n == name and all(ls.get(k) == w for k, w in labels.items()))


def lines_of(env, workload):
    """What was counted for a client, without its name and without what a clock decides: how long, and how
    much of an answer had come when its client left."""
    out = collections.Counter()
    for name, labels, value in samples(env, "istio_"):
        by_clock = re.match("istio_request_duration_.*_(bucket|sum)", name) or \
            (labels.get("response_flags") == "DC" and re.match("istio_response_bytes_(bucket|sum)", name))
        if labels.get("source_workload") != workload or by_clock:
            continue
        shown = {k: v for k, v in labels.items() if k not in ("source_workload", "source_canonical_service")}
        out[name, tuple(sorted(shown.items()))] += value
    return out


PLAIN = [{"target": "/bytes?n=0"}, {"target": "/bytes?n=10"}, {"target": "/bytes?n=300"}, {"target": "/bytes?n=70000"},
         {"target": "/chunked?n=5000"}, {"target": "/bytes?n=99", "method": "HEAD"},
         {"target": "/reflect", "method": "POST", "body": "x" * 1500}, {"target": "/status?code=201"},
         {"target": "/status?code=204"}, {"target": "/status?code=304"}, {"target": "/status?code=404"},
         {"target": "/status?code=418"}, {"target": "/status?code=503"}, {"target": "/status?code=599"},
         {"target": "/hints"}, {"target": "/direct"}, {"target": "/direct", "method": "HEAD"}, {"target": "/abort"},
         {"target": "/bytes?n=1", "headers": [["x-to", "v2"]]}]


def logged(env):
    """Lines of the access log, without who carried it, when, and for how long."""
    with open(env.agent.log_path, errors="replace") as f:
        rows = [json.loads(line) for line in f if line.startswith('{"time"') and '"path"' in line]
    pods = {f"{ip}:9000": pod for pod, ips in (("v1", V1), ("v2", V2)) for ip in (ips[0], f"[{ips[1]}]")}
    for r in rows:  # only the proxy may go to either family
        r["upstream"] = pods.get(r["upstream"], r["upstream"])
    keys = ("method", "path", "host", "status", "flags", "route", "routeName", "cluster", "upstream", "tries",
            "requestBytes", "responseBytes")
    return [tuple(r[k] for k in keys if not (k == "responseBytes" and r["flags"] == "DC")) for r in rows]


@test(datapaths=("kernel",), args=("--metrics", AT, "--access-log", "-", "--access-log-sample", "1"), timeout=40)
def same_lines(env):
    """The same requests on both data paths: the same metrics, from the status to the bucket of bytes, and the same
    lines in the access log."""
    env.policy(mesh.vs("origin", [
        {"match": [{"uri": {"prefix": "/direct"}}], "directResponse": {"status": 403, "body": {"string": "no"}}},
        rule(dst("origin"), {"uri": {"prefix": "/abort"}}, fault={"abort": {"httpStatus": 418, "percentage": {"value": 100}}}),
        rule(dst("origin", "v2"), header("x-to", exact="v2")),
        rule(dst("origin", "v1"), {"uri": {"prefix": "/late"}}, timeout="50ms", retries={"attempts": 0}),
        rule(dst("origin", "v1"), {"uri": {"prefix": "/"}}, retries={"attempts": 0})]),
        mesh.vs("reco", [rule(dst("reco"), {"uri": {"prefix": "/only-here"}})]))
    before, lines = env.requests(), []
    for workload, blocking in (("native", False), ("proxied", True)):
        client = env.client(name=workload, workload=f"default/{workload}", labels="app=shop,version=v7")
        for host, port, requests in ((ORIGIN, 9000, PLAIN), (RECO, 8080, [{"target": "/nowhere"}]),
                                     (EMPTY, 8080, [{"target": "/"}])):
            client.call("exchange", host=host, port=port, requests=requests, blocking=blocking)
        client.call("exchange", host=ORIGIN, port=9000, requests=[{"target": "/late?ms=400"}], blocking=blocking)
        for target in ("/hang", "/drip?n=9&ms=2000"):
            for to in ("v1", "v2"):
                client.call("raw", host=ORIGIN, port=9000, timeout=0.1, blocking=blocking,
                            data=f"GET {target} HTTP/1.1\r\nHost: origin\r\nx-to: {to}\r\n\r\n")
        seen = len(lines)
        eventually(lambda: len(logged(env)) >= seen + len(PLAIN) + 7, f"a line each of {workload}")
        lines = logged(env)
    after = env.requests()
    check(sorted(map(str, lines[:seen])), sorted(map(str, lines[seen:])), "access log")
    check(["FI" in line for line in lines].count(True), 2)
    native, proxied = lines_of(env, "native"), lines_of(env, "proxied")
    for line in sorted(set(native) | set(proxied)):
        if native[line] != proxied[line]:
            env.log(f"{line}: native {native[line]}, proxied {proxied[line]}")
    check(dict(native - proxied), dict(proxied - native))
    check(after["kernel"] - before["kernel"] >= len(PLAIN), True, f"the kernel carried its part: {before} {after}")
    check(total(env, "istio_requests_total", source_workload="native"), len(PLAIN) + 7.0)


@test(datapaths=("kernel",), args=("--access-log", "-", "--access-log-sample", "10"))
def one_line_in_ten(env):
    """Of what the kernel carries one request in so many is written down, by chance; of what the agent carries each."""
    env.policy(mesh.vs("origin", [rule(dst("origin", "v1"), {"uri": {"prefix": "/"}}, retries={"attempts": 0})]))
    for _ in range(5):
        env.call("exchange", host=ORIGIN, port=9000, requests=[{"target": "/bytes?n=0"}] * 400)
    kernel = env.requests()["kernel"]
    check(kernel >= 1900, True, f"the kernel carried its part: {kernel}")
    eventually(lambda: 110 <= len(logged(env)) <= 290, "about 200 lines")  # 6.7 standard deviations each way
    before = len(logged(env))
    env.client(name="proxied").call("exchange", host=ORIGIN, port=9000, requests=[{"target": "/bytes?n=0"}] * 30, blocking=True)
    eventually(lambda: len(logged(env)) == before + 30, "a line for each")


@test(args=("--metrics", AT))
def bounded(env):
    """What clients and servers choose makes no series but one for each status: not paths, hosts, methods, headers."""
    env.policy(mesh.vs("origin", [rule(dst("origin"), {"uri": {"prefix": "/"}})]))
    env.call("exchange", host=ORIGIN, port=9000, requests=[{"target": "/bytes?n=0"}])
    series = {tuple(sorted(labels.items())) for _, labels, _ in samples(env, "istio_requests_total")}
    wild = [{"target": f"/{i}zqz?zqz={i}"} for i in range(20)] + [{"host": f"zqz{i}.example"} for i in range(20)] + \
        [{"method": f"ZQZ{i}"} for i in range(20)] + [{"headers": [[f"zqz{i}", "zqz"]]} for i in range(20)]
    env.call("exchange", host=ORIGIN, port=9000, requests=[{"target": "/status?code=200", **r} for r in wild])
    check("zqz" in env.agent.metrics(AT).lower(), False, "a client's word is a label")
    odd = list(range(530, 560))
    env.call("exchange", host=ORIGIN, port=9000, requests=[{"target": f"/status?code={c}"} for c in odd])
    rows = samples(env, "istio_requests_total")
    keys = [tuple(sorted(labels.items())) for _, labels, _ in rows]
    check(len(keys), len(set(keys)), "no series is there twice")
    more = {labels["response_code"] for _, labels, _ in rows if tuple(sorted(labels.items())) not in series}
    check(set(map(str, odd)) <= more, True, f"{more}")
    check(len(set(keys)) <= len(series) + 3 * (len(odd) + 3), True, f"{len(keys)} series after {len(series)}: {more}")
    check(total(env, "istio_requests_total"), 1.0 + len(wild) + len(odd))
    check(total(env, "headrace_meters_overflow_total"), 0.0)


def tcp_counts(env, **labels):
    return [int(total(env, f"istio_tcp_{what}_total", **labels))
            for what in ("connections_opened", "connections_closed", "received_bytes", "sent_bytes")]


def until(env, labels, want):
    try:
        eventually(lambda: tcp_counts(env, **labels)[:len(want)] == want, f"{want}")
    except AssertionError as e:
        raise AssertionError(f"{e}: {tcp_counts(env, **labels)}") from None


@test(args=("--metrics", AT))
def opaque_bytes(env):
    """Opaque connections: each byte of both ways, counted while they are open, and no SYN or FIN; a port that shows
    what it speaks by its first bytes, and one that is named tcp."""
    env.policy()
    data = "not http at all\r\n" * 1000
    client = env.client(name="pusher", workload="default/pusher", labels="app=push")
    got = len(client.call("raw", host=ECHO, port=9002, data=data, half_close=True)["data"])
    check(got >= len(data), True)
    to_echo = {"destination_service_name": "echo", "source_app": "push", "request_protocol": "tcp", "response_flags": "-"}
    until(env, to_echo, [1, 1, len(data), got])
    said = len(client.call("raw", host=GREETER, port=9001, data="who\n", half_close=True)["data"])
    until(env, {"destination_service_name": "greeter", "source_workload": "pusher"}, [1, 1, 4, said])
    client.send("raw", host=ECHO, port=9002, data="still here\n", timeout=1.5)
    until(env, to_echo, [2, 1, len(data) + 11, got + 11])
    client.receive()
    until(env, to_echo, [2, 2, len(data) + 11])  # what its server says to who has left, the proxy still carries
    check(total(env, "istio_requests_total"), 0.0)
