"""Faults that a careful reader found once, each with the sequence that showed it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct

import pytest
from proxy_rig import Rig, RoundRobin, Serve, answering

from edgerouter.contracts.plugins import Middleware
from edgerouter.http.body import BodyFilter
from edgerouter.http.exchange import Exchange
from edgerouter.net.client_connection import ClientConnection
from edgerouter.net.pool import TransportSettings
from edgerouter.proxy.forwarded import _host_lines

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /a HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n"


async def test_head_gets_no_body_from_the_router_itself() -> None:
    rig = await Rig.start(answering(OK))
    data = await rig.ask(b"HEAD /none HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
    first, _, rest = data.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 404") and b"Content-Length: 19" in first
    assert rest.startswith(b"HTTP/1.1 200 OK")
    await rig.stop()


class Becomes304(Middleware):
    def on_response(self, exchange: Exchange) -> None:
        assert exchange.response is not None
        exchange.response.status = 304


async def test_a_response_that_becomes_304_loses_its_body() -> None:
    rig = await Rig.start(answering(OK), steps=[Becomes304()])
    data = await rig.ask(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
    assert data.count(b"HTTP/1.1 304") == 2 and b"ok" not in data
    await rig.stop()


async def test_a_closed_pool_never_dials_without_tls() -> None:
    heads: list[bytes] = []
    settings = TransportSettings(tls=ssl.create_default_context(), dial_timeout=1)
    rig = await Rig.start(answering(OK, log=heads), transport=settings)
    server = rig.servers[0]
    server.scheme = "https"
    pool = rig.engine.make_pool(server)
    pool.close()
    assert not (await rig.ask(GET)).startswith(b"HTTP/1.1 200")
    assert heads == []
    await rig.stop()


def buffered(rig: Rig) -> int:
    """Bytes that wait in the router for its clients."""
    connections = [c for c in rig.engine.connections.all() if isinstance(c, ClientConnection)]
    return sum(c._transport.get_write_buffer_size() for c in connections if c._transport is not None)


async def silent_client(rig: Rig, raw: bytes) -> socket.socket:
    """A client that sends and never reads."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await rig.loop.sock_connect(client, ("127.0.0.1", rig.port))
    await rig.loop.sock_sendall(client, raw)
    return client


async def test_pipelined_requests_wait_for_a_client_that_does_not_read() -> None:
    served = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        while True:
            await reader.readuntil(b"\r\n\r\n")
            served += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + bytes(50000))

    rig = await Rig.start(serve)
    client = await silent_client(rig, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
    previous = -1
    while previous != served or served == 0:
        previous = served
        await asyncio.sleep(0.3)
    assert buffered(rig) < 4 << 20 and served < 500
    received = 0
    async with asyncio.timeout(60):
        while received < 1000 * 50000:
            received += len(await rig.loop.sock_recv(client, 1 << 20))
    await rig.until(lambda: len(rig.records) == 1000)
    client.close()
    await rig.stop()


async def test_a_large_response_behind_small_ones_is_held_back() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = 40_000_000 if b"/big" in head else 30_000
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(size // 10_000):
                writer.write(bytes(10_000))
                await writer.drain()

    rig = await Rig.start(serve)
    few = b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n" * 200 + b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n"
    client = await silent_client(rig, few)
    previous = -1
    while previous != buffered(rig) or previous <= 0:
        previous = buffered(rig)
        await asyncio.sleep(0.3)
    assert buffered(rig) < 8 << 20
    client.close()
    await rig.stop()


async def test_a_client_that_does_not_wait_for_100_is_paused_all_the_same() -> None:
    """The server is being dialled in vain; the client sends 30 MB at once."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        rig = await Rig.start(transport=TransportSettings(dial_timeout=5))
        rig.add_server(full.getsockname()[1])
        _, writer = await rig.connect()
        size = 30 << 20
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % size)
        await writer.drain()
        await rig.until(lambda: rig.engine.in_flight == 1)
        writer.write(bytes(size))
        await asyncio.sleep(1)
        assert writer.transport.get_write_buffer_size() > size // 2
        writer.transport.abort()
        for filler in fillers:
            filler.close()
        await rig.stop()


class BadAuthority(Middleware):
    def on_request(self, exchange: Exchange) -> None:
        exchange.request.authority = "exa\u00e4mple"


class BadFilter(Middleware):
    def response_filter(self, exchange: Exchange) -> BodyFilter:
        raise RuntimeError("no filter today")


class BadRequestFilter(Middleware):
    def request_filter(self, exchange: Exchange) -> BodyFilter:
        raise RuntimeError("no filter today")


@pytest.mark.parametrize("step", [BadAuthority(), BadFilter(), BadRequestFilter()], ids=lambda s: type(s).__name__)
async def test_a_plugin_that_fails_late_is_answered_500(step: Middleware) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"hi")
        writer.write(OK)

    rig = await Rig.start(serve, steps=[step])
    data = await rig.ask(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")
    assert data.startswith(b"HTTP/1.1 500")
    assert [(r.status, r.cause) for r in rig.records] == [(500, "MIDDLEWARE_FAILED")]
    assert rig.servers[0].in_flight == 0 and rig.engine.in_flight == 0
    await rig.stop()


class BadChoice(RoundRobin):
    def choose(self, exchange: Exchange) -> None:
        raise RuntimeError("cannot choose")


async def test_a_balancer_that_fails_is_answered_500() -> None:
    rig = await Rig.start(answering(OK))
    route = rig.engine.table.route  # type: ignore[attr-defined]
    route.service = BadChoice("bad@test", [])
    assert (await rig.ask(GET)).startswith(b"HTTP/1.1 500")
    await rig.stop()


async def test_a_reset_does_not_make_a_response_complete() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(0.1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    rig = await Rig.start(serve)
    reader, writer = await rig.connect()
    writer.write(GET)
    data = b""
    with pytest.raises(ConnectionError):
        while chunk := await reader.read(1000):
            data += chunk
        raise ConnectionError("an end of stream is as good as a reset, if no last chunk came")
    assert b"0\r\n\r\n" not in data
    await rig.until(lambda: bool(rig.records))
    assert rig.records[0].cause == "UPSTREAM_RESET"
    writer.close()
    await rig.stop()


async def test_a_server_that_stalls_an_upload_is_not_blamed_on_the_client() -> None:
    go = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go.wait()
        received = 0
        while received < 20 << 20:
            received += len(await reader.read(1 << 20))
        writer.write(OK)

    rig = await Rig.start(serve, read_timeout=0.4)
    reader, writer = await rig.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (20 << 20) + bytes(20 << 20))
    await asyncio.sleep(1.2)
    assert rig.records == []
    go.set()
    assert (await asyncio.wait_for(reader.readuntil(b"ok"), 20)).startswith(b"HTTP/1.1 200")
    writer.close()
    await rig.stop()


async def test_dripping_does_not_put_a_heads_deadline_off() -> None:
    rig = await Rig.start(answering(OK), read_timeout=0.5)
    reader, writer = await rig.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"ok")
    writer.write(b"GET / HTTP/1.1\r\nX: ")
    answer = asyncio.ensure_future(reader.read(100))
    async with asyncio.timeout(5):
        while not answer.done():
            writer.write(b"a")
            await asyncio.sleep(0.05)
    assert (await answer).startswith(b"HTTP/1.1 408")
    writer.close()
    await rig.stop()


def test_host_lines_of_two_schemes_are_told_apart() -> None:
    _host_lines("http", "sbank.com")
    assert b"X-Forwarded-Host: bank.com" in _host_lines("https", "bank.com")


async def test_mixed_spellings_of_forwarded_headers_are_cleaned() -> None:
    heads: list[bytes] = []
    rig = await Rig.start(answering(OK, log=heads))
    await rig.ask(GET.replace(b"Connection", b"X-Forwarded_For: 6.6.6.6\r\nx_Real-IP: 6.6.6.6\r\nConnection"))
    assert b"6.6.6.6" not in heads[0]
    await rig.stop()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that was killed while the connection waited in its queue."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize(
    ("method", "serves", "status", "retries"),
    [
        ("GET", [resets, answering(OK)], 200, {0, 1}),
        ("PUT", [resets, answering(OK)], 200, {0, 1}),
        ("POST", [resets, answering(OK)], 502, {0}),
        ("GET", [resets], 502, {0}),
        ("GET", [resets, resets, resets], 502, {1}),
    ],
)
async def test_a_server_that_resets_new_connections_costs_no_idempotent_request(
    method: str, serves: list[Serve], status: int, retries: set[int]
) -> None:
    """Two requests: round robin begins one of them at the server that resets."""
    rig = await Rig.start(*serves)
    request = f"{method} /a HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n".encode()
    answers = [await rig.ask(request) for _ in range(2)]
    assert f"HTTP/1.1 {status}".encode() in {answer[:12] for answer in answers}
    assert {record.retries for record in rig.records} == retries
    if status == 200:
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    await rig.stop()
