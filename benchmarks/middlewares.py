"""What does each middleware cost? Instructions a request beyond a route without any, and bytes an instance.

Every middleware is configured as the example on its page is. A worker's own parts (``_worker.py``) run under callgrind
with one route for each; counting begins when it serves, and the counters are set to zero before and read after each
middleware's requests. A middleware that answers itself (respond, redirects, refusals) costs less than nothing: no
server is asked; its status is shown.
``python benchmarks/middlewares.py [--json FILE] [name ...]``.
"""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import tracemalloc
from contextlib import ExitStack
from typing import Any

import msgspec
import yaml
from _peers import Peer, free_port, running, start_upstream, wait_for

from edgerouter.config.pages import module_docstring, read_manual
from edgerouter.config.types import decode_hook
from edgerouter.contracts.plugins import PluginContext
from edgerouter.registry import load
from edgerouter.telemetry.records import SharedRecords

REQUESTS, INSTANCES = 400, 200
FIELDS = {"Accept-Encoding": "gzip, deflate, br", "Accept": "text/html,*/*;q=0.8", "Cookie": "session=1; theme=dark"}


def examples() -> dict[str, dict[str, Any]]:
    """Each middleware's own example, by its kind."""
    found = {}
    for kind, plugin in sorted(load("middlewares").items()):
        written = yaml.safe_load(read_manual(module_docstring(plugin.cls)).example)["http"]["middlewares"]
        fitting = [one for one in written.values() if kind in one]
        if fitting and kind != "chain":  # a chain is gone once it is built
            found[kind] = fitting[0]
    return found


def configuration(chosen: dict[str, dict[str, Any]], upstream: int) -> dict[str, Any]:
    """One router a middleware, and one without. The server that ``forwardAuth`` asks is there, and says yes."""
    if "forwardAuth" in chosen:
        chosen["forwardAuth"]["forwardAuth"]["address"] = f"http://127.0.0.1:{upstream}/auth"
    app = {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{upstream}"}]}}
    names = set(re.findall(r'"(?:fallbackS|s)ervice": "(\w+)"', json.dumps(chosen)))
    routers = {
        kind: {"rule": f"Host(`{kind.lower()}.test`)", "service": "app", "middlewares": [kind]} for kind in chosen
    }
    routers["none"] = {"rule": "Host(`none.test`)", "service": "app"}
    services = dict.fromkeys({"app", *names}, app)
    return {"http": {"routers": routers, "services": services, "middlewares": chosen}}


def ask(port: int, kind: str, number: int) -> int:
    """That many requests over one connection; the last status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    status = 0
    for _ in range(number):
        connection.request("GET", "/api/items?page=4", headers={**FIELDS, "Host": f"{kind.lower()}.test"})
        response = connection.getresponse()
        response.read()
        status = response.status
    connection.close()
    return status


def control(pid: int, *options: str) -> None:
    subprocess.run(["callgrind_control", *options, str(pid)], check=True, capture_output=True)


def counted(folder: pathlib.Path, pid: int, port: int, kind: str) -> tuple[float, int]:
    """Instructions a request of this route, and its status."""
    ask(port, kind, 50)
    control(pid, "--zero")
    status = ask(port, kind, REQUESTS)
    before = set(folder.glob("cg.*"))
    control(pid, f"--dump={kind}")
    fresh = [path for path in folder.glob("cg.*") if path not in before]
    totals = [int(n) for path in fresh for n in re.findall(r"^totals: (\d+)", path.read_text(errors="replace"), re.M)]
    return max(totals, default=0) / REQUESTS, status


def instance_bytes(kind: str, given: dict[str, Any]) -> float:
    """What one router's instance holds."""
    plugin = load("middlewares")[kind]
    records = SharedRecords()
    options = msgspec.convert(given[kind], plugin.options, dec_hook=decode_hook)

    def make(number: int) -> Any:
        context = PluginContext(f"{kind}@file", f"r{number}", "s", lambda name: None, records, lambda: 0.0, 0)
        return plugin.cls(options, context)

    make(0)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = [make(number) for number in range(1, INSTANCES)]
    size = (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    tracemalloc.stop()
    return size


def measure(chosen: dict[str, dict[str, Any]], folder: pathlib.Path, upstream: int) -> dict[str, tuple[float, int]]:
    """Every route's instructions, the one without middlewares first."""
    port = free_port()
    file = folder / "dynamic.json"
    file.write_text(json.dumps(configuration(chosen, upstream)))
    here = pathlib.Path(__file__).parent
    tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/cg.%p"]
    command = [*tool, sys.executable, str(here / "_worker.py"), str(port), "file", str(file)]
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=here)
    with running(Peer("edgerouter", process, port)):
        wait_for(port, process, "none.test", seconds=900)
        control(process.pid, "--instr=on")
        return {kind: counted(folder, process.pid, port, kind) for kind in ("none", *chosen)}


def main(arguments: list[str]) -> int:
    out = None
    if arguments[:1] == ["--json"]:
        out, arguments = arguments[1], arguments[2:]
    chosen = {kind: given for kind, given in examples().items() if not arguments or kind in arguments}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = pathlib.Path(name)
        os.chmod(folder, 0o777)
        upstream = stack.enter_context(running(start_upstream(folder)))
        found = measure(chosen, folder, upstream.port)
    base = found.pop("none")[0]
    print(f"{'':20}{'status':>7}{'instructions':>14}{'beyond none':>13}{'bytes each':>12}")
    print(f"{'none':20}{200:7}{base:14.0f}")
    rows = {}
    for kind, (count, status) in found.items():
        size = instance_bytes(kind, chosen[kind])
        rows[kind] = {"status": status, "instructions": count, "beyond": count - base, "bytes": size}
        print(f"{kind:20}{status:7}{count:14.0f}{count - base:13.0f}{size:12.0f}", flush=True)
    if out:
        pathlib.Path(out).write_text(json.dumps(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
