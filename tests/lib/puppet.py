# SPDX-License-Identifier: Apache-2.0
"""Runs functions of clients.py on request: one JSON line in ([name, kwargs]), one out ({ok} or {error})."""
import json
import sys
import traceback

import clients

for line in sys.stdin:
    name, kwargs = json.loads(line)
    try:
        out = {"ok": getattr(clients, name)(**kwargs)}
    except Exception as e:
        out = {"error": f"{e.__class__.__name__}: {e}", "trace": traceback.format_exc()}
    print(json.dumps(out), flush=True)
