"""Does memory grow while configurations come and go? A change brings 50 routers of new names and takes the last away.

A million requests over 500 changes by default, each new router asked once so that it has series. Resident memory of the
whole tree after each half (at most 2 % more after the second is wanted), and series of routers that are gone after two
scrapes (none). ``python benchmarks/soak.py [requests] [changes]``.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

from _peers import Peer, free_port, running, start_upstream, wait_for

NEW = 50  # routers a change
HERE = pathlib.Path(__file__).parent


def main(arguments: list[str]) -> int:
    requests = int(arguments[0]) if arguments else 1_000_000
    changes = int(arguments[1]) if len(arguments) > 1 else 500
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        upstream = start_upstream(folder)
        with running(upstream):
            router, metrics = start(folder, upstream.port)
            with running(router):
                report(router, metrics, folder, upstream.port, requests, changes)
    return 0


def report(router: Peer, metrics: int, folder: pathlib.Path, upstream: int, requests: int, changes: int) -> None:
    """Both halves, and what they left."""
    halves = []
    for half in (0, 1):
        for change in range(half * changes // 2, (half + 1) * changes // 2):
            renew(router, folder, upstream, change)
            load(router, requests // changes)
            if change % 50 == 49:
                parts = " + ".join(f"{router.rss_mb_of(pid):.1f}" for pid in router.pids())
                print(f"  change {change + 1:4}: control process + worker {parts} MB", flush=True)
            if change % 5 == 0:  # as a scraper would: what is gone is kept until it has seen that twice
                ask(metrics, "localhost", "/metrics")
        time.sleep(3)  # old plans are let go in slices
        halves.append(router.rss_mb())
        print(f"after {requests * (half + 1) // 2:9,} requests: {halves[-1]:7.1f} MB", flush=True)
    print(f"growth in the second half: {(halves[1] / halves[0] - 1) * 100:.1f} %")
    ask(metrics, "localhost", "/metrics")
    page = ask(metrics, "localhost", "/metrics")
    shown = set(re.findall(r'router="(n[^"@]+)@', page))
    kept = {name for name in shown if name.startswith(f"n{changes - 1}-")}
    print(f"routers with series: {len(kept)} that are there, {len(shown - kept)} that are gone")


def start(folder: pathlib.Path, upstream: int) -> tuple[Peer, int]:
    """The router on core 0, with series for routers; its port for metrics too."""
    port, metrics = free_port(), free_port()
    write(folder, upstream, -1)
    flags = [f"--entrypoints.web.address=127.0.0.1:{port}", f"--entrypoints.traefik.address=127.0.0.1:{metrics}"]
    flags += [f"--providers.file.filename={folder / 'soak.yaml'}", "--workers=1"]
    flags += ["--metrics.prometheus.addrouterslabels=true", "--providers.providersthrottleduration=10ms"]
    command = ["taskset", "-c", "0", sys.executable, "-m", "edgerouter", *flags]
    log = (folder / "router.log").open("wb")
    process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.DEVNULL, stderr=log)
    wait_for(port, process, "stays.test")
    return Peer("edgerouter", process, port), metrics


def write(folder: pathlib.Path, upstream: int, change: int) -> None:
    """The configuration of one change, put in place at once."""
    routers: dict[str, Any] = {"stays": {"rule": "Host(`stays.test`)", "service": "s"}}
    for number in range(NEW if change >= 0 else 0):
        routers[f"n{change}-{number}"] = {"rule": f"Host(`n{change}-{number}.test`)", "service": "s"}
    services = {"s": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{upstream}"}]}}}
    fresh = folder / "soak.new"
    fresh.write_text(json.dumps({"http": {"routers": routers, "services": services}}))
    os.replace(fresh, folder / "soak.yaml")


def renew(router: Peer, folder: pathlib.Path, upstream: int, change: int) -> None:
    """One change; returns when all its routers have answered."""
    write(folder, upstream, change)
    wait_for(router.port, router.process, f"n{change}-{NEW - 1}.test")
    for number in range(NEW - 1):
        if "200" not in ask(router.port, f"n{change}-{number}.test", "/").split("\r\n")[0]:
            raise SystemExit(f"router n{change}-{number} does not answer")


def load(router: Peer, requests: int) -> None:
    """That many requests to the router that stays; every one must succeed."""
    command = ["taskset", "-c", "1", "h2load", "--h1", f"-n{requests}", "-c20"]
    command += [f"--connect-to=127.0.0.1:{router.port}", f"http://stays.test:{router.port}/"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if f"{requests} succeeded" not in out:
        raise SystemExit(out)


def ask(port: int, host: str, path: str) -> str:
    """One request on a connection of its own; the whole answer."""
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while chunk := client.recv(65536):
            data += chunk
    return data.decode("utf-8", "replace")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
