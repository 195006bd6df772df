# SPDX-License-Identifier: Apache-2.0
"""Stock servers in a pod: nginx with a configuration of ours, and the origin that can misbehave (origin.py)."""
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))

_NGINX_CONF = """
daemon off;
user root;
worker_processes {workers};
worker_rlimit_nofile 65536;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  server_tokens off;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy;
  default_type text/plain;
  sendfile on;
  server {{
    listen {port} backlog=8192;
    listen [::]:{port} backlog=8192;
    add_header x-version {version} always;
    add_header x-pod {pod} always;
    # who answered, as a short body
    location / {{ return 200 "{version} {pod}\\n"; }}
    # what arrived: the request line and the headers that policies here speak of
    location = /seen {{ return 200 "$request|$host|$http_x_canary|$http_x_user_type|$remote_addr\\n"; }}
    location /files/ {{ alias {dir}/files/; }}
    # reads the whole body before it answers, and keeps none of it
    location /sink {{ client_body_buffer_size 1200k; proxy_pass http://unix:{dir}/sink.sock:/; proxy_http_version 1.1;
                     proxy_pass_request_body off; proxy_set_header Content-Length ""; }}
    {statuses}
  }}
  server {{ listen unix:{dir}/sink.sock; location / {{ return 200 "{version} stored\\n"; }} }}
  {extra}
}}
"""


def nginx(topo, pod, version, workdir, port=8080, workers=1, extra="", who=None):
    """nginx on PORT of the pod: / /seen /files/1m /files/big (1 GB, sparse) /sink /status/NNN. It answers with its
    version and `who` it is (the pod)."""
    d = os.path.join(workdir, f"nginx-{pod}-{port}")
    os.makedirs(f"{d}/files", exist_ok=True)
    with open(f"{d}/files/1m", "wb") as f:
        f.write(bytes(range(256)) * 4096)
    with open(f"{d}/files/30k", "wb") as f:
        f.write(bytes(range(256)) * 120)
    with open(f"{d}/files/big", "wb") as f:
        f.truncate(1 << 30)
    statuses = "\n    ".join(f'location = /status/{c} {{ return {c} "{version} {c}\\n"; }}'
                             for c in (200, 201, 400, 401, 403, 404, 429, 500, 502, 503, 504))
    statuses += "\n    location = /status/204 { return 204; }"
    conf = f"{d}/nginx.conf"
    with open(conf, "w") as f:
        f.write(_NGINX_CONF.format(dir=d, port=port, version=version, pod=who or pod, workers=workers,
                                   statuses=statuses, extra=extra))
    log = open(f"{d}/out.log", "w")
    proc = topo.spawn(pod, [NGINX, "-p", d, "-e", f"{d}/error.log", "-c", conf], stdout=log, stderr=log)
    topo.wait_port(pod, port)
    return proc


def origin(topo, pod, version, workdir, port=9000):
    """origin.py: HTTP on PORT, a server that speaks first on PORT+1, a TCP echo on PORT+2, a forward proxy on PORT+3."""
    log = open(os.path.join(workdir, f"origin-{pod}.log"), "w")
    proc = topo.spawn(pod, [PYTHON, os.path.join(HERE, "origin.py"), "--port", str(port), "--version", version,
                            "--pod", pod], stdout=log, stderr=log)
    for p in range(port, port + 4):
        topo.wait_port(pod, p)
    return proc


def tell(message):
    print(message, file=sys.stderr, flush=True)
