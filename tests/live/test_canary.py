"""Canary and blue-green by file (scenario S5): exact shares over all workers, and no failed request at any switch.

nginx is the upstream and counts what it got (one byte of access log for each request); wrk and h2load are the load.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from live.toolbox import Router, fetch, until

WORKERS = 4
REQUESTS = 100_000
CONNECTIONS = 48
PATIENCE = 400.0  # seconds for the load on a busy machine
NEITHER_MORE_NOR_LESS = 10

NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
    log_format one 1;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen unix:{folder}/ready; }}
    server {{ listen 127.0.0.1:{stable}; access_log {folder}/stable.log one; location / {{ return 200 stable; }} }}
    server {{ listen 127.0.0.1:{canary}; access_log {folder}/canary.log one; location / {{ return 200 canary; }} }}
}}
"""


@dataclass
class Upstreams:
    """Two servers in one nginx, and how many requests each got."""

    folder: Path
    ports: dict[str, int]

    def count(self, name: str) -> int:
        """Each request is a line "1"."""
        return (self.folder / f"{name}.log").stat().st_size // 2

    def counts(self) -> tuple[int, int]:
        return self.count("stable"), self.count("canary")

    def dynamic(self, stable: int, canary: int) -> dict[str, Any]:
        """The shop, divided by these weights."""
        services: dict[str, Any] = {
            name: {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{port}"}]}}
            for name, port in self.ports.items()
        }
        shares = [{"name": "stable", "weight": stable}, {"name": "canary", "weight": canary}]
        routers = {"shop": {"rule": "PathPrefix(`/`)", "service": "shop", "entryPoints": ["web"]}}
        return {"http": {"routers": routers, "services": {"shop": {"weighted": {"services": shares}}, **services}}}


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def program(name: str) -> str:
    """Its path; .ci/live-peers.sh installs it."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    assert found, f"{name} is not installed: run .ci/live-peers.sh as root"
    return found


@asynccontextmanager
async def upstreams(folder: Path) -> AsyncIterator[Upstreams]:
    stable, canary = free_ports(2)
    folder.mkdir()
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(folder=folder, stable=stable, canary=canary))
    process = await asyncio.create_subprocess_exec(
        program("nginx"), "-p", str(folder), "-c", str(file), "-e", str(folder / "error.log")
    )
    try:
        servers = Upstreams(folder, {"stable": stable, "canary": canary})
        await until(lambda: process.returncode is not None or answers(canary), "nginx to listen")
        assert process.returncode is None, (folder / "error.log").read_text()
        yield servers
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@asynccontextmanager
async def shop(tmp_path: Path, stable: int, canary: int) -> AsyncIterator[tuple[Upstreams, Router]]:
    async with upstreams(tmp_path / "nginx") as servers:
        dynamic = servers.dynamic(stable, canary)
        async with Router(tmp_path, dynamic, {"log": {"level": "INFO"}}, workers=WORKERS) as router:
            yield servers, router


async def run(*command: str) -> str:
    """What a program printed; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, output.decode()
    return output.decode()


class Wrk:
    """wrk, until it is stopped. ``requests`` are the responses that it counted, ``failures`` all it complains of."""

    def __init__(self, port: int, *options: str) -> None:
        load = ("-t1", f"-c{CONNECTIONS}", f"-d{int(PATIENCE)}s", "--timeout", "60s")
        self._command = (program("wrk"), *load, *options, f"http://127.0.0.1:{port}/")
        self.requests = 0
        self.failures: list[str] = []

    async def __aenter__(self) -> Wrk:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
        raw, _ = await asyncio.wait_for(self._process.communicate(), 60)
        output = raw.decode()
        found = re.search(r"(\d+) requests in", output)
        assert found, output
        self.requests = int(found[1])
        self.failures = re.findall(r"(?:Socket errors|Non-2xx).*", output)


async def test_one_in_a_hundred_with_keep_alive(tmp_path: Path) -> None:
    async with shop(tmp_path, 99, 1) as (servers, router):
        load = ("--h1", "-t1", f"-c{CONNECTIONS}", f"-n{REQUESTS}", f"http://127.0.0.1:{router.port()}/")
        output = await run(program("h2load"), *load)
        assert f"{REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout" in output, output
        assert f"status codes: {REQUESTS} 2xx" in output, output
        await until(lambda: sum(servers.counts()) >= REQUESTS, "the last lines of the upstreams' logs")
        stable, canary = servers.counts()
        assert stable + canary == REQUESTS
        assert abs(canary - REQUESTS // 100) <= NEITHER_MORE_NOR_LESS


async def test_one_in_a_hundred_without_keep_alive(tmp_path: Path) -> None:
    async with shop(tmp_path, 99, 1) as (servers, router):
        async with Wrk(router.port(), "-H", "Connection: close") as load:
            await until(lambda: sum(servers.counts()) >= REQUESTS, f"{REQUESTS} requests", PATIENCE)
        assert not load.failures
        await settled(servers)
        stable, canary = servers.counts()
        assert load.requests <= stable + canary <= load.requests + CONNECTIONS
        assert abs(canary - (stable + canary) / 100) <= NEITHER_MORE_NOR_LESS


async def settled(servers: Upstreams) -> None:
    """Wait until nothing is counted any more: what was under way when wrk left has come to its end."""
    before = None
    async with asyncio.timeout(30):
        while before != servers.counts():
            before = servers.counts()
            await asyncio.sleep(0.5)


async def test_switches_under_load(tmp_path: Path) -> None:
    """99/1, then 50/50, then 0/100, while both kinds of clients go on: nobody notices."""
    async with shop(tmp_path, 99, 1) as (servers, router):
        async with Wrk(router.port()) as keeping, Wrk(router.port(), "-H", "Connection: close") as closing:
            await shared(servers, 0.01)
            await switch(servers, router, 50, 50)
            await shared(servers, 0.5)
            await switch(servers, router, 0, 100)
            await only(servers, "canary", "stable")
            await switch(servers, router, 100, 0)
            await only(servers, "stable", "canary")
        assert (keeping.failures, closing.failures) == ([], [])
        await settled(servers)
        total = keeping.requests + closing.requests
        assert total <= sum(servers.counts()) <= total + 2 * CONNECTIONS
        assert (await fetch(router.port())).body == b"stable"


async def switch(servers: Upstreams, router: Router, stable: int, canary: int) -> None:
    """Rewrite the file; all workers have it when the router says so."""
    seen = len(router.lines)
    router.write_dynamic(servers.dynamic(stable, canary))
    await until(lambda: router.find_log(event="applied", since=seen), f"{stable}/{canary} to be live")


async def shared(servers: Upstreams, share: float) -> None:
    """Of the next 2,000 requests the canary has its share; what is under way at both ends may shift it a little."""
    start = sum(servers.counts())
    await until(lambda: sum(servers.counts()) > start + 4 * CONNECTIONS, "requests under way to end")
    stable, canary = servers.counts()
    await until(lambda: sum(servers.counts()) >= stable + canary + 2000, "2,000 requests", PATIENCE)
    now_stable, now_canary = servers.counts()
    got, total = now_canary - canary, now_stable + now_canary - stable - canary
    assert abs(got - total * share) <= NEITHER_MORE_NOR_LESS + 4 * CONNECTIONS * share


async def only(servers: Upstreams, busy: str, idle: str) -> None:
    """From some moment on the idle one gets nothing, while the busy one gets a thousand requests."""
    start = (servers.count(idle), servers.count(busy))

    def has_all() -> bool:
        nonlocal start
        if servers.count(idle) != start[0]:  # was on its way when the switch came
            start = (servers.count(idle), servers.count(busy))
        return servers.count(busy) >= start[1] + 1000

    await until(has_all, f"a thousand requests for {busy} and none for {idle}", 60)
