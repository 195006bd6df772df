# SPDX-License-Identifier: Apache-2.0
"""What cases are made of: Services with rules, and the connections that a client makes to them."""
import base64

import mesh

PORT = 9000
VERSIONS = {"v1": "10.77.1.1", "v2": "10.77.2.1"}


class Case:
    """One connection. `{id}` in what is sent becomes an id of its own for each request; `{host}` the service."""

    def __init__(self, service, name, steps, known=None, **opts):
        self.service, self.name, self.steps, self.opts = service, f"{service}.{name}", steps, opts
        self.known = known  # why this may differ: a key of differences.KNOWN

    def of(self, proxy, host):
        """For the sender, and the ids in the order of use."""
        ids, steps = [], []
        for step, *args in self.steps:
            if step == "send":
                text = args[0].replace("{host}", self.service)
                while "{id}" in text:
                    ids.append(f"{self.name}.{len(ids)}.{proxy}")
                    text = text.replace("{id}", ids[-1], 1)
                args = [text]
            steps.append([step, *args])
        return {"name": self.name, "host": host, "port": self.opts.get("port", PORT), "steps": steps,
                **{k: v for k, v in self.opts.items() if k in ("timeout", "linger")}}, ids


class Book:
    """All services and cases of a run."""

    def __init__(self):
        self.services, self.objects, self.cases = {}, [], []
        self.any_version = set()  # services whose requests may go to either version
        for v, ip in VERSIONS.items():
            self.objects.append(mesh.pod(f"rec-{v}", [ip], {"app": "rec", "version": v}))
        self.objects.append(mesh.pod("dead", ["10.77.1.9"], {"app": "dead", "version": "v1"}))

    def service(self, name, rules=None, policy=None, app="rec", target=9000, port=PORT, port_name="http", subsets=None):
        n = len(self.services) + 1
        vip = f"10.96.{n // 200}.{n % 200 + 10}"
        self.services[name] = vip
        if not rules or any("subset" not in d["destination"] for r in rules for d in r.get("route", [])):
            self.any_version.add(name)
        self.objects.append(mesh.service(name, [vip], {port_name: (port, target)}, {"app": app}))
        self.objects.append(mesh.dr(name, subsets or {v: {"version": v} for v in VERSIONS}, policy=policy))
        if rules:
            self.objects.append(mesh.vs(name, rules))
        return name

    def raw(self, service, name, *steps, **opts):
        self.cases.append(Case(service, name, list(steps), **opts))

    def talk(self, service, name, requests, **opts):
        """Requests one after the other on one connection. Each a text, or (text, method)."""
        steps = []
        for i, r in enumerate(requests):
            method = r.split(" ", 1)[0]
            steps += [["send", r], ["answers", i + 1, [method]]]
        self.cases.append(Case(service, name, steps, **opts))


def req(target="/", headers=(), method="GET", body="", host="{host}", http="HTTP/1.1", length=True):
    rows = ([f"Host: {host}"] if host is not None else []) + [f"{k}: {v}" for k, v in headers] + ["x-diff-id: {id}"]
    if body and length:
        rows.append(f"Content-Length: {len(body)}")
    return "\r\n".join([f"{method} {target} {http}", *rows]) + "\r\n\r\n" + body


def do(*words):
    """The header that tells the server what to do with each try."""
    return ("x-do", "|".join(words))


def answer_of(text, end=False):
    """A word for `do`: these bytes."""
    return ("end:" if end else "raw:") + base64.b64encode(text.encode("latin-1")).decode()
