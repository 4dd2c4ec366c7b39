"""Every cause of the error tree, provoked with real sockets: its status, its body, its record."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from typing import Any

import pytest
from proxy_rig import OneRoute, Rig, answering

from edgerouter import errors
from edgerouter.config.static import (
    EncodedCharacters,
    EntryPoint,
    EntryPointHttp,
    ProxyProtocol,
    RespondingTimeouts,
    Transport,
)
from edgerouter.contracts.plugins import Middleware
from edgerouter.errors import BodyTooLarge, BreakerOpen, EdgeError
from edgerouter.http.exchange import Exchange
from edgerouter.net.pool import TransportSettings
from edgerouter.proxy.connection_limits import ConnectionLimits
from edgerouter.telemetry.records import SharedRecords, create_records

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET /a HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n"


class Raises(Middleware):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def on_request(self, exchange: Exchange) -> None:
        raise self.error


class ReadsAll(Middleware):
    needs_body = 4


async def check(rig: Rig, raw: bytes, status: int, cause: str) -> bytes:
    data = await rig.ask(raw)
    assert data.startswith(b"HTTP/1.1 %d " % status), data
    await rig.until(lambda: bool(rig.records))
    assert [(r.status, r.cause) for r in rig.records] == [(status, cause)]
    await rig.stop()
    return data


async def test_no_route() -> None:
    data = await check(await Rig.start(answering(OK)), GET.replace(b"/a", b"/none"), 404, "NO_ROUTE")
    assert data.endswith(b"\r\n\r\n404 page not found\n")
    assert b"Content-Type: text/plain; charset=utf-8" in data and b"X-Content-Type-Options: nosniff" in data


async def test_bad_config() -> None:
    rig = await Rig.start(answering(OK))
    assert isinstance(rig.engine.table, OneRoute)
    rig.engine.table.route.refused = "middleware auth@file does not exist"
    data = await check(rig, GET, 500, "BAD_CONFIG")
    assert b"auth@file" not in data


async def test_asleep() -> None:
    rig = await Rig.start(answering(OK))
    assert isinstance(rig.engine.table, OneRoute)
    rig.engine.table.route.asleep = "container web is stopped"
    await check(rig, GET, 503, "ASLEEP")


async def test_middleware_failed() -> None:
    rig = await Rig.start(answering(OK), steps=[Raises(KeyError("x"))])
    await check(rig, GET, 500, "MIDDLEWARE_FAILED")


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        (BreakerOpen("tripped"), 503, "BREAKER_OPEN"),
        (BodyTooLarge("big"), 413, "BODY_TOO_LARGE"),
        (errors.BadRequest("no"), 400, "BAD_REQUEST"),
        (errors.NotImplementedMethod("no"), 501, "NOT_IMPLEMENTED"),
        (errors.UpstreamError("no"), 502, "UPSTREAM_ERROR"),
        (errors.BadResponse("no"), 502, "BAD_RESPONSE"),
        (EdgeError("no"), 500, "INTERNAL"),
    ],
)
async def test_what_middlewares_raise(error: EdgeError, status: int, cause: str) -> None:
    rig = await Rig.start(answering(OK), steps=[Raises(error)])
    await check(rig, GET, status, cause)


async def test_what_an_entry_point_forbids() -> None:
    http = EntryPointHttp(
        underscore_headers_strategy="reject", encoded_characters=EncodedCharacters(allow_encoded_slash=False)
    )
    rig = await Rig.start(answering(OK), settings=EntryPoint(address=":0", http=http))
    await check(rig, GET.replace(b"Connection", b"X_Y: z\r\nConnection"), 400, "BAD_REQUEST_UNDERSCORE")
    rig = await Rig.start(answering(OK), settings=EntryPoint(address=":0", http=http))
    await check(rig, GET.replace(b"/a", b"/a%2Fb"), 400, "BAD_REQUEST_ENCODED_CHARACTER")


async def test_body_too_large() -> None:
    rig = await Rig.start(answering(OK), steps=[ReadsAll()])
    await check(
        rig, b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", 413, "BODY_TOO_LARGE"
    )


async def test_a_chunked_body_too_large() -> None:
    rig = await Rig.start(answering(OK), steps=[ReadsAll()])
    raw = (
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    await check(rig, raw, 413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("ended", [True, False])
async def test_head_too_large(ended: bool) -> None:
    settings = EntryPoint(address=":0", http=EntryPointHttp(max_header_bytes=1000))
    rig = await Rig.start(answering(OK), settings=settings)
    raw = GET.replace(b"Connection", b"X-Big: " + b"a" * 2000 + (b"\r\nConnection" if ended else b""))
    await check(rig, raw, 431, "HEAD_TOO_LARGE")


async def test_a_bad_proxy_header() -> None:
    settings = EntryPoint(address=":0", proxy_protocol=ProxyProtocol(insecure=True))
    rig = await Rig.start(answering(OK), settings=settings)
    reader, writer = await rig.connect()
    writer.write(b"PROXY TCP4 nonsense\r\n" + GET)
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    assert rig.refusals == ["BAD_REQUEST_PROXY_PROTOCOL"] and rig.records == []
    writer.close()
    await rig.stop()


async def test_connect_timeout() -> None:
    """A listening socket whose queue is full: the kernel answers no SYN."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        rig = await Rig.start(transport=TransportSettings(dial_timeout=0.3))
        rig.add_server(full.getsockname()[1])
        await check(rig, GET, 504, "CONNECT_TIMEOUT")
        for filler in fillers:
            filler.close()


async def test_a_trusted_server() -> None:
    import trustme

    ca = trustme.CA()
    context, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    ca.issue_cert("localhost").configure_cert(context)
    ca.configure_trust(trusting)
    server = await asyncio.start_server(answering(OK), "127.0.0.1", 0, ssl=context)
    rig = await Rig.start(transport=TransportSettings(tls=trusting))
    entry = rig.add_server(server.sockets[0].getsockname()[1])
    entry.scheme, entry.host = "https", "localhost"
    await check(rig, GET, 200, "")
    server.close()


def every_cause(cls: type[EdgeError] = EdgeError) -> list[Any]:
    found = [cls]
    for child in cls.__subclasses__():
        found += every_cause(child)
    return found


def test_every_error_has_a_cause_a_status_and_a_side_of_its_own() -> None:
    tree = [c for c in every_cause() if c.__module__ == errors.__name__]
    leaves = [c for c in tree if not c.__subclasses__()]
    causes = [c.cause for c in leaves if c is not errors.ConfigurationError]
    assert len(set(causes)) >= len(causes) - 2, causes
    for cls in tree:
        assert 400 <= cls.status <= 599 and cls.side in ("downstream", "upstream", "internal")
        assert cls.retry in ("never", "reused_only", "always")


async def flood(rig: Rig, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open connections one after another; those that stay open."""
    kept = []
    for _ in range(count):
        reader, writer = await rig.connect()
        kept.append((reader, writer))
    await rig.until(lambda: len(rig.refusals) + rig.engine.open_connections() >= count)
    return kept


async def served(pairs: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> int:
    """How many of the connections get an answer; the others were closed."""
    good = 0
    for reader, writer in pairs:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(GET)
            good += (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 200")
        writer.close()
    return good


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        (EntryPoint(address=":0", max_connections=3), "TOO_MANY_CONNECTIONS"),
        (EntryPoint(address=":0", max_connections_per_ip=3), "TOO_MANY_CONNECTIONS_PER_IP"),
    ],
)
async def test_too_many_connections(settings: EntryPoint, cause: str, capsys: pytest.CaptureFixture[str]) -> None:
    rig = await Rig.start(answering(OK), settings=settings)
    for _ in range(3):  # what was closed makes room again
        pairs = await flood(rig, 5)
        assert await served(pairs) == 3
        await rig.until(lambda: rig.engine.open_connections() == 0)
    assert rig.refusals == [cause] * 6
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and "entry point web: maxConnections" in told[0], "a flood must not flood the log"
    await rig.stop()


def test_connections_are_counted_across_workers() -> None:
    fd = create_records(workers=4)
    workers = [ConnectionLimits(SharedRecords(fd, slot), "web", 10, 6) for slot in range(4)]
    assert [workers[i % 4].enter("192.0.2.1") for i in range(7)] == [""] * 6 + ["TOO_MANY_CONNECTIONS_PER_IP"]
    assert [workers[i % 4].enter("192.0.2.2") for i in range(5)] == [""] * 4 + ["TOO_MANY_CONNECTIONS"]
    workers[1].leave("192.0.2.1")
    assert workers[3].enter("192.0.2.1") == ""
    SharedRecords(fd, 0).zero_gauges(0)  # worker 0 was killed: what it held is free again
    assert workers[1].enter("192.0.2.3") == ""
    os.close(fd)


def test_one_address_of_ipv6_is_its_network() -> None:
    limits = ConnectionLimits(SharedRecords(), "web", 0, 1)
    assert limits.enter("2001:db8:0:1::5") == ""
    assert limits.enter("2001:db8:0:1:ffff::6") != "" and limits.enter("2001:db8:0:2::5") == ""
    assert limits.enter("::ffff:192.0.2.1") == "" and limits.enter("192.0.2.1") != ""
    assert limits.enter("::1") == "" and limits.enter("::ffff:192.0.2.2") == ""


async def test_a_client_that_reads_nothing_is_let_go() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40000000\r\n\r\n")
        for _ in range(4000):
            writer.write(bytes(10_000))
            await writer.drain()

    timeouts = RespondingTimeouts(idle_timeout=0.5)
    rig = await Rig.start(serve, settings=EntryPoint(address=":0", transport=Transport(responding_timeouts=timeouts)))
    reader, writer = await rig.connect()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(GET)
    await rig.until(lambda: bool(rig.records), 20)
    assert rig.records[0].cause == "CLIENT_STALLED" and rig.engine.in_flight == 0
    assert reader is not None
    writer.transport.abort()
    await rig.stop()
