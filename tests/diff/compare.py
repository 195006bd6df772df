# SPDX-License-Identifier: Apache-2.0
"""What of two proxies' behaviour must be alike: one case's outcome made comparable, and the differences of two."""

# Said in docs/DIFFERENCES.md: what Envoy adds or takes away on every request, and headrace does not.
REQUEST_IGNORED = {"x-request-id", "x-forwarded-proto", "connection", "keep-alive", "proxy-connection"}
RESPONSE_IGNORED = {"date", "server", "x-request-id", "connection", "keep-alive"}


def own(name):
    return name.startswith("x-envoy-")


def fields(rows, ignored):
    """Sorted; fields that are lists are one, as Envoy makes of some, and framing that a bodiless answer needs not say."""
    out = {}
    for k, v in rows:
        if k not in ignored and not own(k):
            out.setdefault(k, []).append(v)
    return sorted([k, v] for k, vs in out.items() for v in (vs if "cookie" in k else [",".join(vs)]))


def request(record, ident):
    """What the server saw of one request."""
    lines = record["head"].split("\r\n")
    rows = [(k.strip().lower(), v.strip().replace(ident, "ID")) for k, _, v in (x.partition(":") for x in lines[1:])]
    line = lines[0].split(" ")
    return {"method": line[0], "target": " ".join(line[1:-1]).replace(ident, "ID"), "http": line[-1],
            "headers": fields(rows, REQUEST_IGNORED), "body": record["body"], "trailers": record["trailers"],
            "ended": record["ended"]}


def answer(a, ident, method="GET"):
    rows = [(k, v.replace(ident, "ID")) for k, v in a["headers"]]
    if method == "HEAD":  # how long the answer to GET is, is optional
        rows = [r for r in rows if r[0] not in ("transfer-encoding", "content-length")]
    return {"status": a["status"], "http": a["http"], "headers": fields(rows, RESPONSE_IGNORED),
            "body": a["body"].replace(ident, "ID"), "trailers": a["trailers"], "whole": a["whole"]}


def server_side(records, ident):
    """One row a request that arrived; copies and tries have the same id."""
    rows = [{"version": r["version"], **request(r, ident)} for r in records]
    return sorted(rows, key=lambda r: (r["version"], repr(r)))


STOCK = ("Bad Request", "Not Implemented", "Request Header Fields Too Large", "upstream connect error", "no healthy upstream",
         "Payload Too Large", "Upgrade Required")


def stock(a):
    """An answer of Envoy's own that says no more than its status."""
    return not a["body"] or a["body"].startswith(STOCK)


def align(theirs, ours):
    """Words of local answers are each proxy's own; so is what they say of themselves in other fields."""
    for a, b in zip(theirs["answers"], ours["answers"]):
        if a["status"] == b["status"] and a["status"] >= 400 and stock(a) and "x-version" not in dict(a["headers"]):
            for x in (a, b):
                x["body"] = "(words)"
                x["headers"] = [h for h in x["headers"] if h[0] not in ("content-length", "content-type")]


def free_of_version(out):
    """Where both versions may answer, which one did is chance."""
    for a in out["answers"]:
        a["headers"] = [h for h in a["headers"] if h[0] != "x-version"]
        a["body"] = {"v1\n": "v\n", "v2\n": "v\n"}.get(a["body"], a["body"])
    for rows in out["server"].values():
        for r in rows:
            r["version"] = "v"
        rows.sort(key=repr)


def differences(a, b, path=""):
    """[(where, a's, b's)] of two values made of dicts, lists and scalars."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [d for k in sorted({*a, *b}) for d in differences(a.get(k), b.get(k), f"{path}.{k}" if path else k)]
    if isinstance(a, list) and isinstance(b, list) and path.endswith("headers"):
        gone, new = [x for x in a if x not in b], [x for x in b if x not in a]
        if sorted(a) == sorted(b):
            return []
        return [(path, gone or "fewer", new or "fewer")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [d for i, (x, y) in enumerate(zip(a, b)) for d in differences(x, y, f"{path}[{i}]")]
    return [] if a == b else [(path, a, b)]
