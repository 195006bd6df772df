# SPDX-License-Identifier: Apache-2.0
"""Connections that are not HTTP: balanced once, then nobody looks into them."""
import ssl

import mesh
from mesh import dst, rule
from runner import check, eventually, test
from world import ECHO, EMPTY, GREETER, RECO


@test()
def server_speaks_first(env):
    """A greeting comes at once: nobody waits for the client's first bytes to find out the protocol."""
    for blocking in (False, True):
        first, seconds, second = env.call("greeting", host=GREETER, port=9001, blocking=blocking)
        check((first[:4], first.endswith("ready"), second), ("220 ", True, "you said hello"))
        check(seconds < 0.5, True, f"greeting after {seconds:.2f} s")


@test()
def server_speaks_first_on_auto(env):
    """The same on a port whose protocol nobody named."""
    env.policy(mesh.service("greeter", [GREETER], {"": 9001}, {"app": "origin"}))
    for blocking in (False, True):
        first, seconds, second = env.call("greeting", host=GREETER, port=9001, blocking=blocking)
        check((first[:4], second, seconds < 0.5), ("220 ", "you said hello", True))


@test()
def balanced(env):
    """Twenty connections reach both endpoints."""
    seen = {env.call("greeting", host=GREETER, port=9001)[0].split()[1] for _ in range(20)}
    check(seen, {"v1", "v2"})


@test()
def opaque_bytes(env):
    """Bytes that are no HTTP, both ways at once, 5 MB, and the end of file travels through."""
    for blocking in (False, True):
        check(env.call("tcp_echo", host=ECHO, port=9002, size=5 << 20, blocking=blocking), {"same": True, "bye": "bye from v1"})


@test()
def small_opaque(env):
    """One byte is enough to be relayed."""
    check(env.call("tcp_echo", host=ECHO, port=9002, size=1), {"same": True, "bye": "bye from v1"})


@test()
def http_on_auto(env):
    """HTTP on a port whose protocol nobody named is found out and routed."""
    env.policy(mesh.service("auto", ["10.96.1.2"], {"": 8080}, {"app": "reco"}),
               mesh.dr("auto", {"v1": {"version": "v1"}, "v2": {"version": "v2"}}),
               mesh.vs("auto", [rule(dst("auto", "v2"), {"uri": {"prefix": "/v2"}}), rule(dst("auto", "v1"))]))
    got = env.call("exchange", host="10.96.1.2", port=8080, requests=[{"host": "auto", "target": t}
                                                                       for t in ("/v2", "/", "/v2")])
    check([r["version"] for r in got], ["v2", "v1", "v2"])


@test()
def tls_passes(env):
    """A TLS hello on an opaque port goes through untouched (the echo returns it)."""
    r = env.call("raw", host=ECHO, port=9002, data="\x16\x03\x01\x00\x05hello", half_close=True, timeout=2)
    check(r["data"], "\x16\x03\x01\x00\x05hellobye from v1")


@test()
def tcp_route(env):
    """VirtualService.tcp picks the destination of a connection."""
    env.policy(mesh.dr("greeter", {"v2": {"version": "v2"}}),
               mesh.vs("greeter", [], tcp=[{"route": [dst("greeter", "v2")]}]))
    check({env.call("greeting", host=GREETER, port=9001)[0].split()[1] for _ in range(8)}, {"v2"})


@test()
def tcp_route_weights(env):
    """A connection picks its destination by weight: 70/30 over 200 connections, and 0 is never."""
    env.policy(mesh.dr("greeter", {"v1": {"version": "v1"}, "v2": {"version": "v2"}}),
               mesh.vs("greeter", [], tcp=[{"route": [dst("greeter", "v1", 70), dst("greeter", "v2", 30)]}]))
    seen = [env.call("greeting", host=GREETER, port=9001)[0].split()[1] for _ in range(200)]
    check(40 <= seen.count("v2") <= 80, True, str(seen.count("v2")))
    env.policy(mesh.dr("greeter", {"v1": {"version": "v1"}, "v2": {"version": "v2"}}),
               mesh.vs("greeter", [], tcp=[{"route": [dst("greeter", "v1", 100), dst("greeter", "v2", 0)]}]))
    check({env.call("greeting", host=GREETER, port=9001)[0].split()[1] for _ in range(30)}, {"v1"})


@test()
def tcp_route_by_source(env):
    """Routes that ask who the client is (workload default/...), and by port, in order; none: the service."""
    both = mesh.dr("greeter", {"v1": {"version": "v1"}, "v2": {"version": "v2"}})
    env.policy(both, mesh.vs("greeter", [], tcp=[
        {"match": [{"sourceNamespace": "elsewhere"}], "route": [dst("greeter", "v1")]},
        {"match": [{"port": 9001, "sourceNamespace": "default"}], "route": [dst("greeter", "v2")]}]))
    check({env.call("greeting", host=GREETER, port=9001)[0].split()[1] for _ in range(8)}, {"v2"})
    env.policy(both, mesh.vs("greeter", [], tcp=[
        {"match": [{"destinationSubnets": ["10.97.0.0/16"]}], "route": [dst("greeter", "v1")]},
        {"match": [{"sourceNamespace": "elsewhere"}], "route": [dst("greeter", "v1")]}]))
    check({env.call("greeting", host=GREETER, port=9001)[0].split()[1] for _ in range(20)}, {"v1", "v2"})


def client_hello(name):
    """What a stock TLS client sends first."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read().decode("latin-1")


@test()
def tls_route_by_server_name(env):
    """The server name of the hello picks the destination, the bytes go through untouched; a name that no route
    knows, and what is no TLS, reach nobody."""
    env.policy(mesh.service("vault", ["10.96.1.4"], {"https": (443, 9002)}, {"app": "origin"}),
               mesh.dr("vault", {"v1": {"version": "v1"}, "v2": {"version": "v2"}}),
               mesh.vs("vault", [], hosts=["vault", "*.vault.org"], tls=[
                   {"match": [{"sniHosts": ["*.vault.org"]}], "route": [dst("vault", "v1")]},
                   {"match": [{"sniHosts": ["two.vault.org"], "port": 443}], "route": [dst("vault", "v2")]}]))

    def answer(first):
        try:
            return env.call("raw", host="10.96.1.4", port=443, data=first, half_close=True, timeout=3)["data"]
        except AssertionError as e:
            check("Reset" in str(e), True, str(e))
            return ""
    for name, version in (("one.vault.org", "v1"), ("two.vault.org", "v2"), ("TWO.vault.org", "v2")):
        hello = client_hello(name)
        check(answer(hello), f"{hello}bye from {version}", name)
    for first in (client_hello("vault.org"), client_hello(None), "GET / HTTP/1.1\r\n\r\n", "x"):
        check("bye" in answer(first), False, repr(first[:9]))


@test()
def tunnel_through_a_proxy(env):
    """trafficPolicy.tunnel: a TCP route to a forward proxy's cluster asks it for the target by CONNECT; the client sees
    nothing of that. A proxy that says no is a connection that fails."""
    def policy(port):
        env.policy(mesh.service("gate", ["10.96.1.5"], {"tcp": 9003}, {"app": "origin", "version": "v2"}),
                   mesh.dr("gate", policy={"tunnel": {"protocol": "CONNECT", "targetHost": "10.77.1.1", "targetPort": port}}),
                   mesh.vs("echo", [], tcp=[{"route": [dst("gate")]}]))
    policy(9002)
    r = env.call("raw", host=ECHO, port=9002, data="ping", half_close=True, timeout=3)
    check(r["data"], "through v2: pingbye from v1")
    policy(1)
    try:
        r = env.call("raw", host=ECHO, port=9002, data="ping", half_close=True, timeout=3)
        check(r["data"], "")
    except AssertionError as e:
        check("Reset" in str(e), True, str(e))


@test()
def proxy_protocol(env):
    """trafficPolicy.proxyProtocol: nginx learns the client's address and the one it asked for, in both versions, on each
    request; an opaque connection begins with it too."""
    for version in ("V1", "V2"):
        env.policy(mesh.service("px", ["10.96.1.6"], {"http": 8081}, {"app": "origin"}),
                   mesh.dr("px", policy={"proxyProtocol": {"version": version}}))
        for _ in range(3):
            check(env.get("http://10.96.1.6:8081/"), (200, "10.77.100.1 to 10.96.1.6:8081"), version)
    env.policy(mesh.dr("greeter", policy={"proxyProtocol": {}}),
               mesh.service("plain", ["10.96.1.7"], {"tcp": 9002}, {"app": "origin", "version": "v1"}),
               mesh.dr("plain", policy={"proxyProtocol": {}}))
    data = env.call("raw", host="10.96.1.7", port=9002, data="x", half_close=True, timeout=3)["data"]
    words = data.split()
    check(words[:4] + words[5:], ["PROXY", "TCP4", "10.77.100.1", "10.96.1.7", "9002", "xbye", "from", "v1"], data)
    # nginx takes either version: only the bytes tell that V2 is not V1
    env.policy(mesh.service("plain", ["10.96.1.7"], {"tcp": 9002}, {"app": "origin", "version": "v1"}),
               mesh.dr("plain", policy={"proxyProtocol": {"version": "V2"}}))
    data = env.call("raw", host="10.96.1.7", port=9002, data="x", half_close=True, timeout=3)["data"]
    check((data[:16], data[16:24], data[28:]), ("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "\x0aM\x64\x01\x0a\x60\x01\x07", "xbye from v1"))


@test()
def no_endpoint(env):
    """An opaque service without endpoints refuses or resets; it does not hang."""
    env.policy(mesh.service("none", ["10.96.1.3"], {"tcp": 9001}, {"app": "nobody"}))
    r = env.client()
    try:
        out = r.call("raw", host="10.96.1.3", port=9001, data="x", timeout=3)
    except AssertionError as e:
        check("Refused" in str(e) or "Reset" in str(e) or "unreachable" in str(e), True, str(e))
    else:
        check((out["closed"], out["data"]), (True, ""), str(out))


@test()
def unmeshed_traffic(env):
    """What no Service knows passes as if there were no mesh."""
    check(env.get("http://10.77.3.1:8080/"), (200, "user user"))
    check(env.get("http://[fd77::3:1]:8080/"), (200, "user user"))
    check(env.call("connect", host="10.77.1.1", port=9999), "ConnectionRefusedError")


@test()
def idle_connections(env):
    """Connections that never send are no burden: 200 of them, and HTTP goes on beside them."""
    for i in range(200):
        env.client("c1", name="idle").call("keep", name=f"idle{i}", host=RECO if i % 2 else EMPTY, port=8080)
    got = env.call("count", host=RECO, port=8080, total=50, vhost="reco")
    check(got["errors"], {})
    env.clients.pop("idle").close()
    eventually(lambda: env.agent.alive(), "agent alive")
