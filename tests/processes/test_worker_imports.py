"""A worker stays small: what only the control process needs is never imported, with every plugin of a worker loaded."""

from __future__ import annotations

import json
import subprocess
import sys

FORBIDDEN = {"aiohttp", "aiodocker", "kubernetes_asyncio", "cryptography", "acme", "yaml", "prometheus_client"}
CODE = """
import json, sys
import edgerouter.worker.main
from edgerouter.registry import load
for room in ("middlewares", "services", "balancers", "matchers"):
    assert load(room), room
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_what_a_worker_imports() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    modules = set(json.loads(done.stdout))
    assert {"edgerouter", "msgspec", "asyncio"} <= modules
    assert modules & FORBIDDEN == set()
