"""What do 2,000 Ingresses with 10,000 endpoints cost, on a real API server (kube-apiserver and etcd of the live tests)?

From the router's start to the first route and to all of them; from the write of one endpoint to the first answer of the
new server, twenty times; memory of the control process; requests to the API server while nothing changes (none is
wanted: only watches); the longest stall of a worker while all this happens under load.
``python benchmarks/ingresses.py [ingresses] [endpoints of each]``.
"""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))
from live.kubernetes_server import ROUTER, ApiServer, Objects, eventually, grant, own_address, path_of
from live.toolbox import EchoServer, Router, fetch

NAMESPACES, CHANGES, QUIET = 20, 20, 20.0


def main(arguments: list[str]) -> int:
    ingresses = int(arguments[0]) if arguments else 2000
    endpoints = int(arguments[1]) if len(arguments) > 1 else 5
    with tempfile.TemporaryDirectory(prefix="er-kube-") as name:
        server = ApiServer(pathlib.Path(name))
        try:
            server.start()
            asyncio.run(grant(server))
            asyncio.run(measure(server, ingresses, endpoints))
        finally:
            server.stop()
    return 0


async def measure(server: ApiServer, ingresses: int, endpoints: int) -> None:
    """Fill the cluster, start the router, and print one line for each question."""
    async with contextlib.AsyncExitStack() as stack:
        admin = await stack.enter_async_context(server.admin())
        one, two = [await stack.enter_async_context(EchoServer(name, host=own_address())) for name in ("one", "two")]
        await admin.apply(*map(namespace, range(NAMESPACES)))
        began = time.monotonic()
        await write(admin, (thing for at in range(ingresses) for thing in objects(at, endpoints, one.address)))
        say(f"{ingresses:,} Ingresses, {ingresses * endpoints:,} endpoints written", time.monotonic() - began, "s")
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        began = time.monotonic()
        router = stack.enter_context(Router(folder, static=static(server), workers=2))
        if not router.put_workers_first():
            print("not permitted to put workers first: their stalls are those of a shared machine")
        await first_answer(router, 0)
        say("start to the first route", time.monotonic() - began, "s")
        say("CPU of the control process until then", cpu_seconds(router), "s")
        await asyncio.gather(*(first_answer(router, at) for at in range(1, ingresses, ingresses // 20)))
        say("start to all of them", time.monotonic() - began, "s")
        await changes(admin, router, [one, two], endpoints)
        await quiet(server, router)
        for worker, stall in enumerate(await router.stalls()):
            say(f"worker {worker}: longest stall", stall * 1000, "ms")


def say(what: str, figure: float, unit: str) -> None:
    print(f"{what:52}{figure:10.2f} {unit}", flush=True)


def static(server: ApiServer) -> dict[str, Any]:
    given = {"endpoint": server.url, "token": ROUTER, "certAuthFilePath": str(server.ca)}
    status = {"ingressEndpoint": {"ip": "192.0.2.7"}}
    return {"providers": {"kubernetesIngress": {**given, **status}}, "log": {"level": "INFO"}}


def namespace(at: int) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{at}"}}


def objects(at: int, endpoints: int, server: tuple[str, int]) -> Iterable[dict[str, Any]]:
    """An Ingress with its Service and its endpoints: all of them but one are addresses that nobody has."""
    meta = {"name": f"shop-{at}", "namespace": f"team-{at % NAMESPACES}"}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"name": "http", "port": 80}]}}
    yield slice_of(at, endpoints, server)
    backend = {"service": {"name": f"shop-{at}", "port": {"name": "http"}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    spec = {"rules": [{"host": f"shop-{at}.test", "http": {"paths": paths}}]}
    yield {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": spec}


def slice_of(at: int, endpoints: int, server: tuple[str, int]) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": f"shop-{at}"}
    hosts = [server[0]]
    hosts += [f"10.{128 + number}.{at >> 8}.{at & 255}" for number in range(endpoints - 1)]
    # Those that nobody has are draining: they are servers to count, but no request is sent to them.
    gone = {"ready": False, "serving": True, "terminating": True}
    found = [{"addresses": [host], "conditions": gone} for host in hosts[1:]]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"shop-{at}", "namespace": f"team-{at % NAMESPACES}", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": server[1]}],
        "endpoints": [{"addresses": [hosts[0]], "conditions": {"ready": True}}, *found],
    }


async def write(admin: Objects, documents: Iterable[dict[str, Any]]) -> None:
    """Create everything, sixteen at a time."""
    waiting = iter(documents)

    async def some() -> None:
        for document in waiting:
            await admin.call("POST", path_of(document), document)

    await asyncio.gather(*(some() for _ in range(16)))


async def first_answer(router: Router, at: int) -> str:
    """The name of the server behind this Ingress, as soon as it answers."""

    async def asked() -> str:
        reply = await fetch(router.port(), "/", host=f"shop-{at}.test")
        return str(reply.json()["name"]) if reply.status == 200 else ""

    return str(await eventually(asked, f"shop-{at}"))


async def changes(admin: Objects, router: Router, servers: list[EchoServer], endpoints: int) -> None:
    """Move one Service from one server to the other and back, and time each move."""
    before, took = cpu_seconds(router), []
    for number in range(CHANGES):
        server = servers[(number + 1) % 2]
        await admin.apply(slice_of(7, endpoints, server.address))
        began = time.monotonic()

        async def moved(name: str = server.name) -> bool:
            return await first_answer(router, 7) == name

        await eventually(moved, "the move")
        took.append(time.monotonic() - began)
    spent = (cpu_seconds(router) - before) / CHANGES
    say("one endpoint change until it is live, median", statistics.median(took) * 1000, "ms")
    say("the slowest of them", max(took) * 1000, "ms")
    say("CPU of the control process a change", spent * 1000, "ms")


async def quiet(server: ApiServer, router: Router) -> None:
    """What is asked while nothing changes, and what memory is held."""
    say("control process, resident", status(router, "VmRSS"), "MB")
    say("control process, most ever", status(router, "VmHWM"), "MB")
    await written(server)
    seen, before = len(server.asked()), cpu_seconds(router)
    await asyncio.sleep(QUIET)
    asked = Counter(line for line in server.asked()[seen:] if not line.startswith("watch "))
    say(f"CPU of the control process in {QUIET:.0f} quiet seconds", (cpu_seconds(router) - before) * 1000, "ms")
    say(f"requests that are no watch in that time {dict(asked) or ''}", sum(asked.values()), "")
    everything = Counter(line.partition(" ")[0] for line in server.asked())
    say(f"requests since the start {dict(everything)}", sum(everything.values()), "")


async def written(server: ApiServer) -> None:
    """Wait until all statuses are there: nothing but watches was asked for three seconds."""
    count, since = -1, time.monotonic()
    while time.monotonic() - since < 3:
        now = sum(not line.startswith("watch ") for line in server.asked())
        if now != count:
            count, since = now, time.monotonic()
        await asyncio.sleep(0.5)


def status(router: Router, field: str) -> float:
    """Megabytes, from /proc."""
    text = pathlib.Path(f"/proc/{router.pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+)", text, re.MULTILINE).group(1)) / 1024  # type: ignore[union-attr]


def cpu_seconds(router: Router) -> float:
    """User and system time of the control process."""
    fields = pathlib.Path(f"/proc/{router.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
