"""Slow heads, slow bodies, slow readers and floods, by slowhttptest: bounded, counted by cause; others are served."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from live.toolbox import Router, fetch, read_reply

ATTACKERS = 120
PER_ADDRESS = 80
INNOCENT = "127.0.0.2"
MODES = {
    # what slowhttptest does, and the causes that it must be given
    "header": (["-H", "-i", "1", "-x", "10"], {"REQUEST_TIMEOUT", "TOO_MANY_CONNECTIONS_PER_IP"}),
    "body": (["-B", "-i", "6", "-s", "8192", "-x", "10"], {"REQUEST_TIMEOUT", "TOO_MANY_CONNECTIONS_PER_IP"}),
    "drip": (["-B", "-i", "1", "-s", "8192", "-x", "10"], {"TOTAL_TIMEOUT", "TOO_MANY_CONNECTIONS_PER_IP"}),
    "read": (
        ["-X", "-w", "256", "-y", "512", "-z", "8", "-n", "1"],
        {"CLIENT_STALLED", "TOO_MANY_CONNECTIONS_PER_IP"},
    ),
}


def static(mode: str) -> dict[str, Any]:
    """A slow reader is patient: its own head must not be what is late. Bodies that drip are never late by themselves:
    what bounds them is the middleware ``timeouts``, for all routers of the entry point."""
    timeouts = {"readTimeout": "60s" if mode == "read" else "3s", "idleTimeout": "3s"}
    web: dict[str, Any] = {
        "maxConnectionsPerIP": PER_ADDRESS,
        "maxConnections": 200,
        "transport": {"respondingTimeouts": timeouts},
    }
    if mode == "drip":
        web["http"] = {"defaultMiddlewares": ["whole@file"]}
    return {"entryPoints": {"web": web}}


def dynamic(url: str) -> dict[str, Any]:
    services = {"s": {"loadBalancer": {"servers": [{"url": url}]}}}
    routers = {"r": {"rule": "PathPrefix(`/`)", "service": "s", "entryPoints": ["web"]}}
    middlewares = {"whole": {"timeouts": {"total": "3s"}}}
    return {"http": {"routers": routers, "services": services, "middlewares": middlewares}}


async def big(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that reads the whole request before it answers 8 MB, for readers that want little of it."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            size = 2 if b"/innocent" in head else 8_000_000
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def attack(port: int, flags: list[str]) -> None:
    words = ["-c", str(ATTACKERS), "-r", "60", "-l", "8", "-p", "20", "-u", f"http://127.0.0.1:{port}/big", *flags]
    process = await asyncio.create_subprocess_exec(
        "slowhttptest", *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    await asyncio.wait_for(process.wait(), 60)


async def ask_as_innocent(port: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(INNOCENT, 0))
    try:
        writer.write(b"GET /innocent HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        reply = await asyncio.wait_for(read_reply(reader), 20)
    finally:
        writer.close()
    return reply.status


async def counted(router: Router) -> dict[str, float]:
    page = (await fetch(router.port("traefik"), "/metrics")).text
    found: dict[str, float] = {}
    for cause, value in re.findall(r'exchange_failures_total\{cause="(\w+)",entrypoint="web"\} ([\d.e+]+)', page):
        found[cause] = found.get(cause, 0.0) + float(value)
    return found


async def open_now(router: Router) -> float:
    page = (await fetch(router.port("traefik"), "/metrics")).text
    return sum(float(value) for value in re.findall(r'open_connections\{entrypoint="web"[^}]*\} ([\d.e+]+)', page))


@pytest.mark.parametrize("mode", MODES)
async def test_slow_clients(tmp_path: Path, mode: str) -> None:
    flags, causes = MODES[mode]
    server = await asyncio.start_server(big, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with Router(tmp_path, dynamic(url), static(mode), workers=2) as router:
        attacking = asyncio.create_task(attack(router.port(), flags))
        most, statuses = 0.0, []
        while not attacking.done():
            statuses.append(await ask_as_innocent(router.port()))
            most = max(most, await open_now(router))
            await asyncio.sleep(0.1)
        await attacking
        assert set(statuses) == {200}, "somebody else is served throughout"
        assert most <= PER_ADDRESS + 5, "one address holds no more than it may"
        seen = await counted(router)
        assert causes <= set(seen), seen
        assert "TOO_MANY_CONNECTIONS" not in seen

        async def gone() -> bool:
            return await open_now(router) == 0

        async with asyncio.timeout(20):
            while not await gone():
                await asyncio.sleep(0.1)
        told = [line for line in router.lines if "maxConnectionsPerIP" in str(line)]
        assert 1 <= len(told) <= 6, "a flood does not flood the log"
    server.close()
