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
    return datapath == "kernel" and re.match(r"(plain|noret)\.srv-|on-\w+\.garbage", case.name)


def answers_strict(case, where, a, b, theirs, ours, datapath):
    """Answers that are no HTTP/1.1 are a 502."""
    return re.match(r"(plain|agent|noret)\.srv-", case.name) and any(x["status"] == 502 for x in ours["answers"])


def sent_again(case, where, a, b, theirs, ours, datapath):
    """A safe request on a kept connection that ends is sent again, once, whatever the policy (RFC 9110 9.2.2)."""
    return re.match(r"on-\w+\.(reset|close|cut)-(once|all)|ret-\w+\.(reset|close|cut)|\w+\.srv-end-silent|\w+\.srv-(reset|close)", case.name)


RULES = [v for v in list(globals().values()) if callable(v) and getattr(v, "__code__", None) and v.__code__.co_argcount == 7]


def reason(case, difference, datapath, theirs, ours):
    """Why this is no bug, or None."""
    if case.known:
        return case.known
    for r in RULES:
        if r(case, *difference, theirs, ours, datapath):
            return r.__name__
    return None


def flags(service, only_envoy, only_headrace):
    """What is left of the differences of a service's access log."""
    def rest(rows):
        return {k: n for k, n in rows.items() if k[0] not in REFUSED}
    if service in ("plain", "agent", "vh", "norm", "noret"):
        return {}, {}
    return rest(only_envoy), rest(only_headrace)
