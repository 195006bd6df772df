# SPDX-License-Identifier: Apache-2.0
"""Differences from Envoy that are meant, with their reasons; docs/DIFFERENCES.md tells them to users.

A rule looks at one case, one difference (where, Envoy's, headrace's) and both outcomes. Its name is printed.
"""
import re

REFUSED = {400, 414, 417, 431, 501, 505}


def refused(out):
    return any(a["status"] in REFUSED and "x-version" not in dict(a["headers"]) for a in out["answers"])


def body_less(case, where, a, b, theirs, ours, datapath):
    """Envoy adds `content-length: 0` to requests without a body of most methods."""
    return where.startswith("server") and where.endswith("headers") and a == [["content-length", "0"]] and b == "fewer"


def own_400(case, where, a, b, theirs, ours, datapath):
    """Envoy ends the connection with every 400 of its own, a fault's too."""
    return (where in ("end", "answers") or where.startswith("server")) and any(
        x["status"] == 400 and "x-version" not in dict(x["headers"]) for x in theirs["answers"])


def forwarded_for(case, where, a, b, theirs, ours, datapath):
    """Envoy adds its address to copies."""
    return where.startswith("server") and where.endswith("headers") and b == "fewer" and {x[0] for x in a} <= {"content-length", "x-forwarded-for"}


def trailers(case, where, a, b, theirs, ours, datapath):
    """Envoy drops trailers of HTTP/1.1 unless it is told not to; here they are delivered."""
    return where.endswith("trailers") and a == []


def version(case, where, a, b, theirs, ours, datapath):
    """HTTP/1.0 requests are answered with HTTP/1.1, as RFC 9110 wants."""
    return where.endswith(".http") and where.startswith("answers") and (a, b) == ("HTTP/1.0", "HTTP/1.1")


def strict(case, where, a, b, theirs, ours, datapath):
    """What Envoy mends or passes, headrace refuses: only where a case is about bad input."""
    return case.service in ("plain", "agent", "vh", "norm") and refused(ours)


def strict_fragment(case, where, a, b, theirs, ours, datapath):
    """Both refuse, and Envoy counts it as an answer of the route."""
    return re.fullmatch(r"q\w+\.m|re\.regex", case.name) and refused(ours) and refused(theirs)


def methods(case, where, a, b, theirs, ours, datapath):
    """Envoy refuses methods that it does not know; here any token is one."""
    return "meth" in case.name and refused(theirs)


def joined(case, where, a, b, theirs, ours, datapath):
    """Values of a repeated header are matched as one text with commas; Envoy 1.39 and later matches each."""
    return re.fullmatch(r"[hw](ex1|ex12|pf1|rx1|rx12|rxopt)\.m|hcookie\.m", case.name)


def native(case, where, a, b, theirs, ours, datapath):
    """On the kernel path the server's answer reaches the client as it is: nobody is between them."""
    return datapath == "kernel" and re.match(r"(plain|noret)\.srv-|(on|ret)-\w+\.garbage", case.name)


def answers_strict(case, where, a, b, theirs, ours, datapath):
    """Answers that are no HTTP/1.1 are a 502, or cut."""
    return re.match(r"(plain|agent|noret)\.srv-", case.name) and (
        any(x["status"] == 502 for x in ours["answers"]) or case.name.endswith("srv-badchunk"))


def answer_fields(case, where, a, b, theirs, ours, datapath):
    """Every interim answer is passed on; fields that an answer's Connection names are not; a 204 keeps its length."""
    return re.search(r"srv-(204cl|named|twointerim)$", case.name)


def sent_again(case, where, a, b, theirs, ours, datapath):
    """A safe request on a kept connection that ends is sent again, once, whatever the policy (RFC 9110 9.2.2)."""
    if re.match(r"t\d\.", case.name):
        return '"reset' in str(case.steps) or "x-do: reset" in str(case.steps)
    return re.match(r"on-[\w-]+\.(reset|close|cut)-(once|all)$|ret-\w+\.(reset|close|cut)$|\w+\.srv-end-(silent|nothing)$|\w+\.srv-(reset|close)$",
                    case.name)


def close_later(case, where, a, b, theirs, ours, datapath):
    """A client that said close and was answered by another server than its own is ended by the agent, a little later."""
    return datapath == "kernel" and re.search(r"conn-(close|Close)$", case.name)


def tries_in_time(case, where, a, b, theirs, ours, datapath):
    """How many tries fit into the route's timeout is the machine's affair."""
    return case.service == "t2" and where.startswith("server")


def grpc_only(case, where, a, b, theirs, ours, datapath):
    """gRPC statuses are looked at in answers to gRPC requests."""
    return re.match(r"(on|ret)-[\w-]+\.grpc\d+", case.name)


def grpc_abort(case, where, a, b, theirs, ours, datapath):
    """A grpcStatus fault is its HTTP status to a client that does not speak gRPC; Envoy says 200."""
    return case.service == "fgrpc" and where.endswith("status") and (a, b) == (200, 503)


def per_try(case, where, a, b, theirs, ours, datapath):
    """A try that takes longer than perTryTimeout is tried again with the default retryOn, too."""
    return case.service == "t6"


def by_address(case, where, a, b, theirs, ours, datapath):
    """A Host that names nothing is the service's whose address was asked for; a trailing dot, an empty port are cut."""
    return case.service == "vh" and re.search(r"\.(host|abs|form)\d+$|none10$", case.name)


def any_upgrade(case, where, a, b, theirs, ours, datapath):
    """Any upgrade is relayed, h2c taken, also with a body; one that the server refuses leaves the connection open."""
    return re.search(r"conn-(upgrade|uph2c)$|\.ws(refused|post)$|^hup\.m$", case.name)


def hop_fields(case, where, a, b, theirs, ours, datapath):
    """Rules see Connection and TE as they came; Envoy takes them away before."""
    return case.name in ("hconn.m", "hte.m")


def lenient(case, where, a, b, theirs, ours, datapath):
    """A client that has closed its sending side gets its answer; Proxy-Connection says nothing; `OPTIONS *` goes to the
    server; HTTP/1.0 gets no 100; `03` is 3 for the server, too."""
    return re.search(r"\.(shutget|conn-proxyclose|star|expect10|cl03)$", case.name)


def te_native(case, where, a, b, theirs, ours, datapath):
    """On the kernel path the head reaches the server as it is."""
    return datapath == "kernel" and re.search(r"\.conn-(tegz|named\w*|expectx|kahdr)$", case.name)


def rewrites(case, where, a, b, theirs, ours, datapath):
    """A rewritten path begins with a slash."""
    return case.name in ("rr3.a", "rr5.a")


def braces(case, where, a, b, theirs, ours, datapath):
    """Characters that should be escaped in a path, and are not, stay so."""
    return case.name == "norm.path28"


def not_modified(case, where, a, b, theirs, ours, datapath):
    """A directResponse of 304 has no body; Envoy sends one."""
    return case.service == "dr"


def port_of_host(case, where, a, b, theirs, ours, datapath):
    """`port: 443` with `scheme: https` (80 with http) takes the place of the port in Host; Istio leaves that."""
    return case.service in ("red5", "red7") and where.startswith("answers")


RULES = [v for v in list(globals().values()) if callable(v) and getattr(v, "__code__", None) and v.__code__.co_argcount == 7]


def reason(case, difference, datapath, theirs, ours):
    """Why this is no bug, or None."""
    if case.known:
        return case.known
    for r in RULES:
        if r(case, *difference, theirs, ours, datapath):
            return r.__name__
    return None


SMALL = {"body_less", "forwarded_for", "trailers", "version"}


def flags(only_envoy, only_headrace):
    """What is left of the differences of a service's access log. Envoy has no service for what it refuses, and UPE for
    a body that is cut."""
    def rest(rows):
        out = {}
        for (status, words), n in rows.items():
            if status not in REFUSED:
                key = status, words.replace("UPE", "UC") if status == 200 else words
                out[key] = out.get(key, 0) + n
        return out
    a, b = rest(only_envoy), rest(only_headrace)
    return {k: n for k, n in a.items() if b.get(k) != n}, {k: n for k, n in b.items() if a.get(k) != n}


# name of a case of second.py: why it differs
SECOND = {
    "grpc.dead": "words", "h2.chunked": "trailers", "raw2.CONNECT": "connect_is_not_served", "raw2.host differs": "strict",
    "grpc.slow, timeout": "grpc-timeout goes on as the client said it; Envoy tells the server the route's",
}
