"""The middleware timeouts on real sockets: which limit fires, what the client gets, and what is left alone."""

from __future__ import annotations

import asyncio
import socket

import pytest
from proxy_rig import Rig, answering
from steps import make

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /a HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n"


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the request and says nothing."""
    await reader.read()


async def begins(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begins a response and leaves it."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
    await reader.read()


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends a byte now and then, for ever."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(b".")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("options", "serve", "status", "cause"),
    [
        ({"firstByte": 0.3}, hangs, 504, "RESPONSE_TIMEOUT"),
        ({"idle": 0.3}, hangs, 504, "IDLE_TIMEOUT"),
        ({"total": 0.3}, hangs, 504, "TOTAL_TIMEOUT"),
        ({"firstByte": 20, "idle": 0.3, "total": 20}, begins, 200, "IDLE_TIMEOUT"),
        ({"total": 0.4}, begins, 200, "TOTAL_TIMEOUT"),
        ({"idle": 10, "total": 0.6}, drips, 200, "TOTAL_TIMEOUT"),
    ],
)
async def test_which_limit_passes(options: dict[str, float], serve: object, status: int, cause: str) -> None:
    rig = await Rig.start(serve, steps=[make("timeouts", options)])  # type: ignore[arg-type]
    reader, writer = await rig.connect()
    writer.write(GET)
    try:
        data = await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        data = b"HTTP/1.1 200"
    assert data.startswith(b"HTTP/1.1 %d" % status) and not data.endswith(b"0\r\n\r\n")
    await rig.until(lambda: bool(rig.records))
    assert [(r.status, r.cause) for r in rig.records] == [(status, cause)]
    assert rig.servers[0].in_flight == 0 and rig.engine.in_flight == 0
    writer.close()
    await rig.stop()


async def test_connect() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        rig = await Rig.start(steps=[make("timeouts", {"connect": 0.3, "total": 20})])
        rig.add_server(full.getsockname()[1])
        assert (await rig.ask(GET)).startswith(b"HTTP/1.1 504")
        assert [r.cause for r in rig.records] == ["CONNECT_TIMEOUT"]
        for filler in fillers:
            filler.close()
        await rig.stop()


async def test_a_limit_of_one_exchange_is_not_the_next_ones() -> None:
    """The connection that a limited request used serves one without limits."""
    step = make("timeouts", {"firstByte": 0.3})
    rig = await Rig.start(answering(OK), steps=[step])
    assert (await rig.ask(GET)).startswith(b"HTTP/1.1 200")
    pools = [server.pool for server in rig.servers]
    idle = [connection for pool in pools for connection in pool.idle()]  # type: ignore[attr-defined]
    assert [connection.header_timeout for connection in idle] == [0.0]
    await rig.stop()


async def test_a_websocket_is_silent_too_long() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while data := await reader.read(100):
            writer.write(data)

    rig = await Rig.start(serve, steps=[make("timeouts", {"idle": 0.8, "total": 0.2})])
    reader, writer = await rig.connect()
    writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    for _ in range(12):  # longer than total, and never silent
        writer.write(b"x")
        assert await asyncio.wait_for(reader.readexactly(1), 5) == b"x"
        await asyncio.sleep(0.1)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 10)
    await rig.until(lambda: bool(rig.records))
    assert [(r.status, r.cause) for r in rig.records] == [(101, "IDLE_TIMEOUT")]
    writer.close()
    await rig.stop()


@pytest.mark.parametrize("options", [{}, {"total": 0}, {"idle": -1, "total": 5}])
def test_nothing_set_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="write at least one of connect, firstByte, idle and total"):
        make("timeouts", options)
