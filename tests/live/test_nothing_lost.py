"""Requests with ids under constant load, while the configuration changes and servers restart: what was lost, and why.

Two kinds of server. G goes on for two seconds after SIGTERM, then closes; whoever runs it takes it out of the
configuration meanwhile, as a provider does that hears of the stop. K exits at once, and nobody says so.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from live.test_upgrade import App, Requests, Tunnel, under_load
from live.toolbox import Router, exchange, until, wait_until

CHANGES = 200
RATE = 500
SOON = 0.1  # seconds by which a new connection may be answered later, whatever worker was killed
KILLS = 8  # at most, until one is as quick as that

SERVER = """
import asyncio, os, signal, sys
port, kind, log = int(sys.argv[1]), sys.argv[2], os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode()
            length = next((int(l[15:]) for l in head.split("\\r\\n") if l.lower().startswith("content-length:")), 0)
            body = await reader.readexactly(length)
            os.write(log, (" ".join(head.split(" ")[:2]) + "\\n").encode())
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    except (EOFError, OSError):
        writer.close()

async def main():
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    if kind == "G":
        loop.add_signal_handler(signal.SIGTERM, loop.call_later, 2.0, end.set)
    await asyncio.start_server(serve, "127.0.0.1", port, reuse_port=True)
    print("ready", flush=True)
    await end.wait()

asyncio.run(main())
"""


class Server:
    """One of kind G or K, on a port of its own; ``log`` holds one line for each request that it read."""

    def __init__(self, kind: str, log: Path) -> None:
        self.kind, self.log = kind, log
        self._holder = socket.socket()  # keeps the port ours between two lives
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.port = int(self._holder.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", SERVER, str(self.port), self.kind, str(self.log)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None and self.process.stdout.readline() == b"ready\n"

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        self.process.wait(30)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._holder.close()


class World:
    """A router, two servers, and what the file says of them; ``changes`` counts how often it said something new."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.log = folder / "requests.log"
        self.servers = [Server(kind, self.log), Server(kind, self.log)]
        self.up = list(self.servers)
        self.changes = 0
        self.tunnel_url = ""
        self._stop = False

    def dynamic(self) -> dict[str, Any]:
        routers = {
            "app": {"rule": "PathPrefix(`/`)", "service": "app", "entryPoints": ["web"]},
            "ws": {"rule": "Path(`/ws`)", "service": "ws", "entryPoints": ["web"], "priority": 99},
            f"new{self.changes}": {"rule": f"Host(`new{self.changes}.test`)", "service": "app"},
        }
        services = {
            "app": {"loadBalancer": {"servers": [{"url": server.url} for server in self.up]}},
            "ws": {"loadBalancer": {"servers": [{"url": self.tunnel_url}]}},
        }
        return {"http": {"routers": routers, "services": services}}

    async def keep_changing(self, router: Router) -> None:
        while not self._stop:
            self.changes += 1
            await asyncio.to_thread(router.write_dynamic, self.dynamic())
            router.process.send_signal(signal.SIGHUP)  # sooner than the provider looks by itself
            await asyncio.sleep(0.05)

    def stop(self) -> None:
        self._stop = True

    def seen(self) -> Counter[str]:
        """How often each id reached a server: ``POST /17``."""
        return Counter(self.log.read_text().splitlines())


@asynccontextmanager
async def world(folder: Path, kind: str) -> AsyncIterator[tuple[World, Router, Requests]]:
    made = World(folder, kind)
    tunnels = await asyncio.start_server(App(), "127.0.0.1", 0)
    made.tunnel_url = f"http://127.0.0.1:{tunnels.sockets[0].getsockname()[1]}"
    static = {"providers": {"providersThrottleDuration": "10ms"}}
    try:
        async with Router(folder, made.dynamic(), static, workers=2) as router:
            requests = Requests(router.port(), RATE)
            tasks = [asyncio.ensure_future(requests.run()), asyncio.ensure_future(made.keep_changing(router))]
            talkers = [await Tunnel().open(router.port()) for _ in range(20)]
            yield made, router, requests
            await asyncio.gather(*(tunnel.say(b"still there") for tunnel in talkers))
            for tunnel in talkers:
                tunnel.writer.close()
            made.stop()
            requests.stop()
            await asyncio.gather(*tasks)
    finally:
        tunnels.close()
        for server in made.servers:
            server.end()


def generations(router: Router) -> int:
    """How many configurations were live in all workers."""
    return max((int(line["generation"]) for line in list(router.lines) if line.get("event") == "applied"), default=0)


async def test_graceful_servers_restart_and_the_configuration_changes_and_nothing_is_lost(tmp_path: Path) -> None:
    async with world(tmp_path, "G") as (made, router, requests):
        for turn in range(4):
            server = made.servers[turn % 2]
            server.terminate()
            made.up.remove(server)
            await asyncio.to_thread(server.wait)
            await asyncio.to_thread(server.start)
            made.up.append(server)
            since = generations(router)
            await until(lambda since=since: generations(router) > since + 2, "the server to be back")
        await until(lambda: generations(router) >= CHANGES, "the changes", 180)
    assert requests.failures == []
    seen = made.seen()
    assert sum(1 for name in seen if name.startswith("POST")) > 100
    assert [name for name, times in seen.items() if name.startswith("POST") and times > 1] == []
    answered = {f"POST /{number}" for number in range(1, requests.sent + 1, 2)}
    assert answered <= set(seen)


async def test_servers_that_vanish_cost_at_most_the_posts_that_they_had(tmp_path: Path) -> None:
    async with world(tmp_path, "K") as (made, _, requests):
        for turn in range(6):
            server = made.servers[turn % 2]
            server.terminate()
            await asyncio.to_thread(server.wait)
            sent = requests.sent
            await until(lambda sent=sent: requests.sent > sent + 50, "requests while it is gone")
            await asyncio.to_thread(server.start)
            sent = requests.sent
            await until(lambda sent=sent: requests.sent > sent + 100, "requests after its return")
    failed = [failure.split(":")[0] for failure in requests.failures]
    assert [number for number in failed if int(number) % 2 == 0] == [], "a GET was lost"
    assert all(": 502 " in failure for failure in requests.failures), requests.failures
    assert len(failed) <= 6 * 20, "more than what was in flight"
    seen = made.seen()
    assert [name for name, times in seen.items() if name.startswith("POST") and times > 1] == []


async def test_new_connections_are_answered_at_once_when_a_worker_is_killed(tmp_path: Path) -> None:
    """The kernel puts half of them into the dead one's queue. What counts is how much longer the slowest takes than the
    slowest of as many just before, and the best kill: what else this machine does is no fault of the router's. Each
    waits until the one before is made good: with both workers dead nobody is there to take over."""
    longer: list[float] = []
    async with under_load(tmp_path, RATE, workers=2) as (router, _, requests):
        while min(longer, default=SOON) >= SOON and len(longer) < KILLS:
            old, since = router.worker_pids(), len(router.lines)
            usual = await slowest(router.port())
            os.kill(old[0], signal.SIGKILL)
            longer.append(await slowest(router.port()) - usual)
            line = await asyncio.to_thread(router.wait_log, f"(pid {old[0]}) ended", since)
            assert "SIGKILL" in line["message"]
            await until(lambda since=since: router.find_log(") serves after", since), "the replacement", 60)
    assert min(longer) < SOON, longer
    held = [text for text in requests.failures if "IncompleteRead" in text or "ConnectionReset" in text]
    assert held == requests.failures and len(held) <= len(longer) * 20, "more than the connections of the dead"


async def slowest(port: int) -> float:
    """Seconds that the slowest of some new connections waits for its answer."""
    return max(await asyncio.gather(*(answered(port) for _ in range(24))))


async def answered(port: int) -> float:
    """Seconds from the first packet of a new connection to its answer."""
    began = time.monotonic()
    streams = await asyncio.open_connection("127.0.0.1", port)
    assert (await exchange(*streams, "/0")).status == 200
    took = time.monotonic() - began
    streams[1].close()
    return took


def test_the_servers_of_this_file_are_what_they_say(tmp_path: Path) -> None:
    for kind, code in (("G", 0), ("K", -signal.SIGTERM)):
        server = Server(kind, tmp_path / "log")
        try:
            server.terminate()
            if kind == "G":
                with socket.create_connection(("127.0.0.1", server.port), timeout=5):
                    pass
            assert wait_until(lambda server=server: server.process.poll() is not None, "its end")
            assert server.process.returncode == code
        finally:
            server.end()
