"""What does a WebSocket message of 100 bytes cost there and back, beside nginx in the same run?

50 connections, each sends the next frame when the last came back; CPU microseconds of the process tree per echo.
``python benchmarks/websockets.py [rounds] [seconds]``.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pathlib
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack

from _peers import Peer, available, free_port, running, start

CONNECTIONS = 50
FRAME = b"\x82\xe4" + b"mask" + bytes(100)  # binary, 100 bytes, masked; a tunnel does not look inside
ASK = b"GET /ws HTTP/1.1\r\nHost: host-0.bench.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
ASK += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class Echo(asyncio.Protocol):
    """Answers the upgrade (or a plain request, which asks whether somebody is there), then returns what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.switched = False
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        answer = data
        if not self.switched:
            self.switched = b"pgrade: websocket" in data
            answer = ANSWER if self.switched else b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        self.transport.write(answer)  # type: ignore[attr-defined]


def upstream(port: int) -> None:
    """The server behind the peers, on core 1."""
    os.sched_setaffinity(0, {1})

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=1024)
        await server.serve_forever()

    asyncio.run(serve())


async def echoes(port: int, seconds: float) -> int:
    """How many frames came back."""
    deadline = time.monotonic() + seconds

    async def one() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ASK)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise SystemExit(f"no upgrade: {head!r}")
        count = 0
        while time.monotonic() < deadline:
            writer.write(FRAME)
            if await reader.readexactly(len(FRAME)) != FRAME:
                raise SystemExit("another frame came back")
            count += 1
        writer.close()
        return count

    return sum(await asyncio.gather(*[one() for _ in range(CONNECTIONS)]))


def cost(peer: Peer, seconds: float) -> float:
    """CPU microseconds per echo."""
    before = peer.cpu_seconds()
    count = asyncio.run(echoes(peer.port, seconds))
    return (peer.cpu_seconds() - before) * 1e6 / count


def main(arguments: list[str]) -> int:
    rounds = int(arguments[0]) if arguments else 5
    seconds = float(arguments[1]) if len(arguments) > 1 else 4.0
    port = free_port()
    server = multiprocessing.get_context("spawn").Process(target=upstream, args=(port,), daemon=True)
    server.start()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = pathlib.Path(folder)
        peers = [
            stack.enter_context(running(start(n, "hosts", 1, port, path))) for n in available(["nginx", "edgerouter"])
        ]
        os.sched_setaffinity(0, {1})
        costs = [[cost(peer, seconds) for peer in peers] for _ in range(rounds)]
        print(f"{'':12}{'CPU us/echo':>12}{'x nginx':>9}")
        for i, peer in enumerate(peers):
            ratio = statistics.median(row[i] / row[0] for row in costs)
            print(f"{peer.name:12}{statistics.median(row[i] for row in costs):12.1f}{ratio:9.2f}")
    server.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
